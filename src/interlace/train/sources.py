"""Where the batches of a fit come from: images through the towers, or features encoded once.

Shapes: B images, C classes, N shots.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from interlace.backbone.prefix import PrefixState
from interlace.backbone.prompts import Prompts
from interlace.backbone.tower import TowerOutput
from interlace.config import TrainConfig
from interlace.data.images.loader import Images, batches
from interlace.data.records import Record
from interlace.methods.base import Method, Output
from interlace.methods.inference import take
from interlace.train import memory
from interlace.train.encoding import encode, image_prefix
from interlace.train.memory import MemoryPlan
from interlace.train.randomness import global_batches, steps_per_epoch

Inputs = TypeVar("Inputs")


class BatchSource(ABC, Generic[Inputs]):
    """The batches of each epoch, and how the method answers for one.

    Args:
        method: the method.
        prompts: of the C classes.
        records: the N shots.
        config: how to fit.
        seed: of the run.

    Attributes:
        method: the method.
        prompts: of the C classes, perhaps with their prefix run; validation takes them too.
        steps: batches of an epoch.
    """

    def __init__(
        self,
        method: Method,
        prompts: Prompts,
        records: Sequence[Record],
        config: TrainConfig,
        seed: int,
    ) -> None:
        self.method, self.prompts = method, prompts
        self.steps = steps_per_epoch(len(records), config)
        self._records, self._config, self._seed = records, config, seed

    @abstractmethod
    def epoch(self, epoch: int) -> Iterator[tuple[Inputs, Tensor]]:
        """Go through the batches of an epoch, which follow from the seed and its number.

        Args:
            epoch: 0-based.

        Yields:
            What :meth:`forward` takes of B images, and their labels [B], on the model's device.
        """

    @abstractmethod
    def forward(self, inputs: Inputs) -> Output:
        """Answer for a batch, with all that the loss needs."""

    def _batches(self, epoch: int) -> list[list[int]]:
        # one of several processes would take its shard of each here
        return global_batches(self._records, self._config, self._seed, epoch)


class ImageBatches(BatchSource[Tensor | PrefixState]):
    """Images that go through the towers in every step.

    What is the same in every step is computed once: the blocks before the first edited one, of the
    texts, and of the images where nothing augments them and memory allows.
    """

    def __init__(
        self,
        method: Method,
        prompts: Prompts,
        records: Sequence[Record],
        config: TrainConfig,
        seed: int,
    ) -> None:
        super().__init__(method, method.run_prompt_prefix(prompts), records, config, seed)
        preprocess = method.clip.preprocess
        # crops are resized to the model's size: photos need not stay in memory at their own
        self._images = Images(records, least_side=2 * preprocess.size if config.augments else None)
        self._transform = preprocess.train_transform((config.crop_scale, 1.0), config.flip)
        self._prefix: tuple[PrefixState, Tensor] | None = None
        if method.shortcuts and not config.augments:
            self._prefix = image_prefix(method, self._images, method.needs_frozen)
        if self._prefix is not None:
            self._images = Images(())  # the decoded images are not needed any more

    def fit_memory(self) -> MemoryPlan:
        """Measure what a step needs, and from now on take the texts in parts if they do not fit."""
        plan = memory.plan(self.method, self._config.batch_size, self.prompts)
        if self.prompts.prefix is not None and plan.chunk is not None:
            parts = replace(self.prompts.prefix, chunk=plan.chunk)
            self.prompts = replace(self.prompts, prefix=parts)
        return plan

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor | PrefixState, Tensor]]:
        """Go through the batches of an epoch: images [B, 3, H, W], or what was made of them."""
        if self._prefix is not None:
            prefix, known = self._prefix
            for indices in self._batches(epoch):
                rows = torch.tensor(indices, device=known.device)
                yield prefix.take(rows), known[rows]
            return
        device = self.method.clip.device
        for images, labels in batches(
            self._images,
            self._transform,
            self._config.batch_size,
            shuffle_seed=(self._seed, epoch),
            index_batches=self._batches(epoch),
            workers=self._config.workers,
        ):
            yield images.to(device), labels.to(device)

    def forward(self, inputs: Tensor | PrefixState) -> Output:
        """Run both towers and compare."""
        return self.method(inputs, self.prompts)


class FeatureBatches(BatchSource[TowerOutput]):
    """Frozen features of the shots, encoded once without augmentation."""

    def __init__(
        self,
        method: Method,
        prompts: Prompts,
        records: Sequence[Record],
        config: TrainConfig,
        seed: int,
    ) -> None:
        super().__init__(method, prompts, records, config, seed)
        self._image, self._labels, self._text = encode(method, prompts, Images(records))

    def epoch(self, epoch: int) -> Iterator[tuple[TowerOutput, Tensor]]:
        """Go through the batches of an epoch: features of B images."""
        for indices in self._batches(epoch):
            rows = torch.tensor(indices, device=self._labels.device)
            yield take(self._image, rows), self._labels[rows]

    def forward(self, inputs: TowerOutput) -> Output:
        """Score the features against those of the classes."""
        return self.method.score(inputs, self._text)
