"""Prompts: class names put into a template and turned into token ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interlace.backbone.prefix import PrefixState
from interlace.errors import InterlaceError

#: A prompt with ``{}`` in the place of the class name, or several whose features are averaged.
Template = str | tuple[str, ...]

#: Texts to ids [n, L], padded; raises InterlaceError for a text longer than the context.
Tokenizer = Callable[[Sequence[str]], Tensor]


@dataclass(frozen=True)
class Prompts:
    """The tokenised prompts of C classes: one each, or an ensemble of T templates.

    Attributes:
        ids: [C * T, L] token ids as the text tower reads them, the T prompts of a class together.
        names: the class names, where known.
        n_templates: T.
        prefix: the same prompts after the text blocks that a method does not change, in that
            method's form; see :meth:`interlace.methods.base.Method.run_prompt_prefix`.
    """

    ids: Tensor
    names: tuple[str, ...] = ()
    n_templates: int = 1
    prefix: PrefixState | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check the shape.

        Raises:
            InterlaceError: if ``ids`` is not a non-empty matrix of T rows per name.
        """
        if self.ids.ndim != 2 or not len(self.ids):
            raise InterlaceError(f"prompt ids have shape {list(self.ids.shape)}, expected [C, L]")
        if self.n_templates < 1 or len(self.ids) % self.n_templates:
            raise InterlaceError(
                f"{len(self.ids)} prompts are not {self.n_templates} for each class"
            )
        if self.names and len(self.names) != len(self):
            raise InterlaceError(f"{len(self.names)} class names for {len(self)} prompts")

    def __len__(self) -> int:
        """Return C, the number of classes."""
        return len(self.ids) // self.n_templates


def make_room(ids: Tensor, at: int, count: int, read: Tensor, context_length: int) -> Tensor:
    """Insert ``count`` placeholders into every prompt, at the cost of padding at its end.

    Args:
        ids: [C, L] token ids.
        at: position of the first placeholder.
        count: placeholders per prompt.
        read: [C], the position each prompt's feature is read at, before the insertion.
        context_length: the longest sequence the model takes.

    Returns:
        [C, at most context_length] ids; the placeholders are 0.

    Raises:
        InterlaceError: if a prompt has too little padding to give up.
    """
    room = torch.zeros(len(ids), count, dtype=ids.dtype, device=ids.device)
    longer = torch.cat([ids[:, :at], room, ids[:, at:]], dim=1)
    lost = longer[:, context_length:]
    padding = ids[:, -1:]
    ends_early = read + count < context_length  # prompts that are read at an end-of-text token
    whole = ends_early | (lost == padding).all(dim=1)
    if not bool(whole.all()):
        raise InterlaceError(
            f"{count} context tokens leave a prompt no room: with it they make more than the "
            f"{context_length} positions of the model"
        )
    return longer[:, :context_length]


def fill(template: str, names: Sequence[str]) -> list[str]:
    """Put each class name into ``template``, which holds ``{}`` once.

    Raises:
        InterlaceError: if the template has no place for the name, or a name is empty.
    """
    if template.count("{}") != 1:
        raise InterlaceError(f"template {template!r} must hold {{}} exactly once")
    for name in names:
        if not name.strip():
            raise InterlaceError("an empty class name: every class needs words the model can read")
    return [template.replace("{}", name) for name in names]
