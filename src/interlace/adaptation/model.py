"""An adapted model: predict, evaluate, change the classes, save.

Shapes: N images, C classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interlace import methods
from interlace._util.text import listed
from interlace.adaptation import bundle
from interlace.adaptation.merge import merge
from interlace.adaptation.prediction import ImageSource, Prediction, pixel_batches, ranked
from interlace.backbone.dual import DualEncoder
from interlace.backbone.prompts import Prompts, Template
from interlace.backbone.tower import TowerOutput
from interlace.config import RunConfig
from interlace.data.images.loader import batches
from interlace.data.records import Record
from interlace.data.used import Used
from interlace.errors import InterlaceError
from interlace.evaluation.classification import Scores
from interlace.methods.base import Edits, Method
from interlace.methods.inference import (
    NotFinite,
    check_distinct,
    encode_images,
    encode_prompts,
    logits_in_parts,
)

__all__ = ["AdaptedModel", "ImageSource", "Prediction"]


class AdaptedModel:
    """A dual encoder and a trained method, with the classes it answers for.

    Args:
        method: the trained method; it holds the frozen model.
        classes: names of the current classes.
        template: prompt with ``{}`` for the class name, or several, which make an ensemble.
        trained_classes: the classes the method was trained on; empty for a method without
            training.
        config: settings of the fit.
        history: one row per epoch of the fit.
        used: the images used for training and validation, or their digests; never tested on.
        split_hash: hash of the split they were drawn in.
        class_names: name of each class by what the data of the fit calls it (its folder).
        published: whether ``classes`` are the published names of a standard data set, of which
            some may be equal.

    Raises:
        InterlaceError: as :meth:`set_classes`.
    """

    def __init__(
        self,
        method: Method,
        classes: Sequence[str],
        template: Template,
        *,
        trained_classes: Sequence[str],
        config: RunConfig,
        history: Sequence[dict[str, float]] = (),
        used: Used | Iterable[str] = (),
        split_hash: str = "",
        class_names: Mapping[str, str] | None = None,
        published: bool = False,
    ) -> None:
        self.method = method.eval()
        self.template = template
        self.trained_classes = tuple(trained_classes)
        self.config = config
        self.history = list(history)
        self.used = used if isinstance(used, Used) else Used(frozenset(used), None)
        self.split_hash = split_hash
        self.class_names = dict(class_names or {})
        self.set_classes(classes, published)

    @property
    def clip(self) -> DualEncoder:
        """The frozen dual encoder."""
        return self.method.clip

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the current classes."""
        return self._classes

    @property
    def shots(self) -> frozenset[str]:
        """The former name of ``used.digests``."""
        return self.used.digests

    @property
    def trained_parameters(self) -> int:
        """Number of parameters that the method trained."""
        return sum(parameter.numel() for parameter in self.method.parameters())

    @property
    def published(self) -> bool:
        """Whether the current classes are published names, of which some may be equal."""
        return self._published

    @property
    def seen(self) -> bool:
        """Whether the method was trained on all current classes."""
        return set(self._classes) <= set(self.trained_classes)

    def set_classes(self, classes: Sequence[str], published: bool = False) -> None:
        """Change the classes to choose from; no training is needed.

        Args:
            classes: their names.
            published: whether these are the published names of a standard data set, of which some
                may be equal: of equal ones the first is predicted.

        Raises:
            InterlaceError: if there are no classes, the model cannot distinguish two of them, or a
                prompt does not fit.
        """
        names = tuple(classes)
        if not names:
            raise InterlaceError("set_classes needs at least one class name")
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice and not published:
            raise InterlaceError(f"class names must differ; more than once: {listed(twice)}")
        if self.method.fixed_classes and self.trained_classes and names != self.trained_classes:
            raise InterlaceError(
                f"{self.method.key} answers only for the {len(self.trained_classes)} classes it "
                "was fitted on: fit it again for others"
            )
        prompts = self.method.prompts(names, self.template)
        if not published:
            check_distinct(prompts, names)
        self._prompts: Prompts = prompts
        self._classes = names
        self._published = published
        self._kept: tuple[tuple[int, ...], Edits, TowerOutput] | None = None

    def text_output(self) -> TowerOutput:
        """Return the text features of the current classes.

        They are computed once, and again when the method's parameters have changed.
        """
        return self._constants()[1]

    @torch.no_grad()
    def _constants(self) -> tuple[Edits, TowerOutput]:
        """Return the part that is the same for every image: the edits and the text output."""
        versions = tuple(p._version for p in self.method.parameters())
        if self._kept is None or self._kept[0] != versions:
            text = encode_prompts(self.method, self._prompts)
            self._kept = (versions, self.method.edits(), text)
        return self._kept[1:]

    def predict(
        self, images: Sequence[ImageSource], top: int = 5, batch_size: int = 64
    ) -> list[Prediction]:
        """Classify images.

        Args:
            images: paths, encoded bytes or PIL images.
            top: how many classes to rank.
            batch_size: images encoded at a time.

        Raises:
            InterlaceError: if an image cannot be read, or a single one is given in place of a
                list.
            NotFinite: as :meth:`predict_pixels`.
        """
        parts = self._probabilities(images, batch_size)
        return [ranked(row, self._classes, top) for part in parts for row in part]

    def predict_proba(self, images: Sequence[ImageSource], batch_size: int = 64) -> Tensor:
        """Return the probability of each class for each image.

        Args:
            images: paths, encoded bytes or PIL images.
            batch_size: images encoded at a time.

        Returns:
            [N, C], float32 on the CPU: rows in the order of ``images``, columns in that of
            :attr:`classes`; each row sums to 1.

        Raises:
            InterlaceError: as :meth:`predict`.
            NotFinite: as :meth:`predict_pixels`.
        """
        parts = [part.float().cpu() for part in self._probabilities(images, batch_size)]
        return torch.cat(parts) if parts else torch.empty(0, len(self._classes))

    def _probabilities(self, images: Sequence[ImageSource], batch_size: int) -> Iterator[Tensor]:
        """Go through the probabilities [B, C] of images, a batch at a time."""
        transform = self.clip.preprocess.eval_transform()
        for pixels, own in pixel_batches(images, transform, batch_size):
            yield self._pixel_probabilities(pixels, own)

    def predict_pixels(
        self, pixels: Tensor, top: int = 5, images: Sequence[object] = ()
    ) -> list[Prediction]:
        """Classify preprocessed images [B, 3, H, W].

        Args:
            pixels: outputs of the model's ``preprocess.eval_transform()``.
            top: how many classes to rank.
            images: their sources, for the error.

        Raises:
            NotFinite: naming the first image or class whose answer is not finite.
        """
        rows = self._pixel_probabilities(pixels, images)
        return [ranked(row, self._classes, top) for row in rows]

    def _pixel_probabilities(self, pixels: Tensor, images: Sequence[object]) -> Tensor:
        labels = torch.zeros(len(pixels), dtype=torch.long)
        try:
            scores, _ = self.logits([(pixels, labels)])
        except NotFinite as error:
            raise self._named(error, images) from None
        return scores.softmax(dim=-1)

    def _named(self, error: NotFinite, images: Sequence[object]) -> NotFinite:
        """Return the error with the name of the class or image."""
        if error.what == "class":
            return NotFinite("class", error.index, self._classes[error.index])
        image = images[error.index] if images else None
        return NotFinite("image", error.index, str(image) if isinstance(image, str | Path) else "")

    def logits(
        self, batched: Iterable[tuple[Tensor, Tensor]], seen: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return logits [N, C] of preprocessed batches over the current classes, and labels [N].

        Args:
            batched: images [B, 3, H, W] and labels [B].
            seen: whether the method was trained on the classes; by default :attr:`seen`.
        """
        parts, labels = self._logits(batched, seen)
        return torch.cat(list(parts)), labels

    def _logits(
        self, batched: Iterable[tuple[Tensor, Tensor]], seen: bool | None
    ) -> tuple[Iterator[Tensor], Tensor]:
        """Return an iterator over rows of logits, and all labels."""
        edits, text = self._constants()
        image, labels = encode_images(self.method, batched, edits)
        known = self.seen if seen is None else seen
        return logits_in_parts(self.method, image, text, known), labels

    def evaluate(
        self, records: Sequence[Record], *, seen: bool | None = None, batch_size: int = 64
    ) -> Scores:
        """Score the current classes on labelled images, without those that the fit has used.

        Args:
            records: images whose labels index :attr:`classes`.
            seen: whether the method was trained on the classes; by default :attr:`seen`.
            batch_size: images encoded at a time.

        Returns:
            The scores; ``left_out`` counts the images that the fit has used.

        Raises:
            InterlaceError: if there are no images, or none that the fit has not used, a label names
                no class, or an answer is not finite.
        """
        if not records:
            raise InterlaceError("nothing to evaluate: no images were given")
        given, records = len(records), self.used.others(records)
        if not records:
            raise InterlaceError(
                f"nothing to evaluate: all {given} images were used to fit this model"
            )
        worst = max(record.label for record in records)
        if worst >= len(self._classes):
            raise InterlaceError(f"label {worst}: there are only {len(self._classes)} classes")
        loader = batches(records, self.clip.preprocess.eval_transform(), batch_size)
        try:
            scores = Scores.from_logits(*self._logits(loader, seen))
        except NotFinite as error:
            raise self._named(error, [record.key for record in records]) from None
        return replace(scores, left_out=given - len(records))

    def zero_shot(self) -> AdaptedModel:
        """Return the frozen model over the same classes, for comparison on the same images.

        Its evaluation leaves out the images of this model's fit too.
        """
        return AdaptedModel(
            methods.create("zero_shot", self.clip),
            self._classes,
            self.template,
            trained_classes=(),
            config=RunConfig("zero_shot"),
            used=self.used,
            published=self._published,
        )

    def merge(self) -> DualEncoder:
        """Merge the method into the weights of a plain model with the same features.

        Raises:
            NotMergeable: with the reason, if there is no such model.
        """
        return merge(self.method)

    def header(self) -> dict[str, Any]:
        """Return everything but the tensors, as ``bundle.json`` stores it."""
        return {
            "backbone": {
                "source": self.clip.source,
                "fingerprint": self.clip.fingerprint(),
                "configuration": self.clip.configuration_hash(),
            },
            "classes": self.classes,
            "trained_classes": self.trained_classes,
            "published": self.published,
            "class_names": dict(self.class_names),
            "template": self.template,
            "run": self.config.to_dict(),
            "split_hash": self.split_hash,
            "shots": sorted(self.used.digests),
            "shot_sizes": None if self.used.sizes is None else sorted(self.used.sizes),
            "history": self.history,
        }

    def save(self, folder: Path | str, overwrite: bool = False) -> None:
        """Write a bundle, which :func:`interlace.load_adapted` reads.

        Args:
            folder: where to; made if it does not exist.
            overwrite: whether an adapted model that is there may be replaced.

        Raises:
            InterlaceError: if the folder already holds an adapted model and ``overwrite`` is off.
        """
        bundle.save(Path(folder), self.header(), self.method.state_dict(), overwrite)
