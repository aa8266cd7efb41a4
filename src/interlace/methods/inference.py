"""Inference with a method: encode once, score many times.

Shapes: N images, C classes, E embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from interlace._util.text import printable
from interlace.backbone.prefix import PrefixState
from interlace.backbone.prompts import Prompts
from interlace.backbone.tower import TowerOutput
from interlace.errors import InterlaceError
from interlace.methods.base import Edits, Method


class NotFinite(InterlaceError):
    """A feature or a logit is not finite, so there is no answer.

    Attributes:
        what: ``image``, ``class`` or ``text``.
        index: the first such image, class or text.
        name: its name, where that is known.
    """

    def __init__(self, what: str, index: int, name: str = "") -> None:
        self.what, self.index, self.name = what, index, name
        shown = f"'{printable(name)}'" if name else f"number {index + 1}"
        super().__init__(
            f"the model gives no finite numbers for {what} {shown}: its weights, or those of the "
            "method, are damaged or far out of range"
        )

    def __reduce__(self) -> tuple[type[NotFinite], tuple[str, int, str]]:
        """Keep all fields between processes, which otherwise copy an error by its message."""
        return type(self), (self.what, self.index, self.name)


def shared_prompts(prompts: Prompts) -> list[tuple[int, int]]:
    """Find classes whose prompts are the same token ids, which no model can distinguish.

    Different names may give the same ids: they may differ in capitals, in how accents are composed,
    or in HTML entities.

    Returns:
        Pairs of indices: the first class with these ids, and another one.
    """
    first: dict[bytes, int] = {}
    pairs = []
    rows = prompts.ids.cpu().reshape(len(prompts), -1).numpy()
    for index, row in enumerate(rows):
        earlier = first.setdefault(row.tobytes(), index)
        if earlier != index:
            pairs.append((earlier, index))
    return pairs


def check_distinct(prompts: Prompts, names: Sequence[str]) -> None:
    """Check that every class has a prompt of its own.

    Raises:
        InterlaceError: naming two classes that have the same.
    """
    for first, second in shared_prompts(prompts):
        one, other = (printable(names[index]) for index in (first, second))
        raise InterlaceError(
            f"'{one}' and '{other}' give the same prompt to the model, which cannot tell them "
            "apart: rename one of the classes, or merge them"
        )


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Check that all values are finite.

    Raises:
        InterlaceError: naming the first tensor that holds NaN or infinity.
    """
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InterlaceError(f"{name} holds numbers that are not finite")


@torch.no_grad()
def encode_images(
    method: Method,
    batches: Iterable[tuple[Tensor | PrefixState, Tensor]],
    edits: Edits | None = None,
) -> tuple[TowerOutput, Tensor]:
    """Encode all images of ``batches``.

    Args:
        method: the method.
        batches: images [B, 3, H, W], or what ``method.run_image_prefix`` made of them, and
            labels [B].
        edits: the result of ``method.edits()`` in evaluation mode, if it is known already.

    Returns:
        The image tower's output for all N images, and their labels [N], on the model's device.
    """
    method.eval()
    device = method.clip.device
    outputs, labels = [], []
    edits = method.edits() if edits is None else edits
    for images, batch_labels in batches:
        there = images if isinstance(images, PrefixState) else images.to(device)
        outputs.append(method.encode_image(there, edits=edits))
        labels.append(batch_labels)
    tokens = [o.token_features for o in outputs if o.token_features is not None]
    features = torch.cat([o.features for o in outputs])
    return TowerOutput(features, torch.cat(tokens) if tokens else None), torch.cat(labels).to(
        device
    )


@torch.no_grad()
def encode_prompts(method: Method, prompts: Prompts) -> TowerOutput:
    """Encode the class prompts."""
    method.eval()
    return method.encode_text(prompts)


@torch.no_grad()
def logits(
    method: Method, image: TowerOutput, text: TowerOutput, seen: bool, chunk: int = 1024
) -> Tensor:
    """Return the logits [N, C] of encoded images against encoded classes, all at once.

    The arguments are those of :func:`logits_in_parts`.

    Raises:
        NotFinite: as :func:`logits_in_parts`.
    """
    return torch.cat(list(logits_in_parts(method, image, text, seen, chunk)))


@torch.no_grad()
def logits_in_parts(
    method: Method, image: TowerOutput, text: TowerOutput, seen: bool, chunk: int = 1024
) -> Iterator[Tensor]:
    """Go through the logits [N, C] of encoded images against encoded classes, some rows at a time.

    With a fixed number of images per class, all rows would grow with the square of the classes.

    Args:
        method: the method, in evaluation mode.
        image: output for N images.
        text: output for C classes.
        seen: whether the method was trained on these classes.
        chunk: images scored at a time.

    Raises:
        NotFinite: if a feature or a logit is NaN or infinite.
    """
    if (wrong := without_length(text.features)) is not None:
        raise NotFinite("class", wrong)
    for start in range(0, len(image.features), chunk):
        part = slice(start, start + chunk)
        tokens = None if image.token_features is None else image.token_features[part]
        features = image.features[part]
        if (wrong := without_length(features)) is not None:
            raise NotFinite("image", start + wrong)
        found = method.score(TowerOutput(features, tokens), text, seen).logits
        finite = torch.isfinite(found).all(dim=1)
        if not bool(finite.all()):
            raise NotFinite("image", start + int((~finite).nonzero()[0]))
        yield found


def without_length(features: Tensor) -> int | None:
    """Find the first of ``features`` [N, E] that cannot be normalised; None if all can.

    It holds NaN or infinity, or values so large that their squares are infinite: divided by that
    length, all of it would be 0.
    """
    wrong = ~torch.isfinite(features.float().norm(dim=1))
    return int(wrong.nonzero()[0]) if bool(wrong.any()) else None


def take(output: TowerOutput, index: Tensor) -> TowerOutput:
    """Select the rows ``index`` of an output."""
    tokens = None if output.token_features is None else output.token_features[index]
    return TowerOutput(output.features[index], tokens)
