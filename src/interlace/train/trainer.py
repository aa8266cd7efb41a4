"""The training loop that every method is fitted by."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from interlace.backbone.prompts import Prompts
from interlace.config import TrainConfig
from interlace.data.images.loader import Images
from interlace.data.records import Record
from interlace.methods.base import Method, Output
from interlace.methods.inference import logits
from interlace.train.callbacks import Callback, Progress
from interlace.train.checkpoint import Checkpoint, State
from interlace.train.encoding import encode
from interlace.train.finite import advised, check_gradients, check_learnt, check_loss, largest
from interlace.train.objectives import Objective, make_objective
from interlace.train.optim import autocast_dtype, learning_rate, make_optimizer
from interlace.train.randomness import dropout_stream
from interlace.train.sources import BatchSource, FeatureBatches, ImageBatches
from interlace.train.validation import Validation

#: Learnt values beyond this are looked at once more: those of a fit that went well are far below.
_SUSPICIOUS = 1e3


def check_training(method: Method, config: TrainConfig) -> None:
    """Refuse before a fit what it would refuse.

    Args:
        method: the method, on the model's device.
        config: how to fit.

    Raises:
        InterlaceError: naming the setting that cannot be used.
    """
    autocast_dtype(config, method.clip.device)
    make_objective(method, config)


class Trainer:
    """Fits a method in place.

    Every random choice of an epoch follows from ``seed`` and the epoch's number
    (:mod:`interlace.train.randomness`), so a run that was interrupted and resumed ends with the
    same numbers.

    Args:
        method: the method, on the model's device.
        prompts: the C class prompts.
        records: labelled shots.
        validation: validation shots; used to select an epoch, and scored once at the end.
        config: how to fit.
        seed: decides order and augmentation.
        checkpoint: where to save after each epoch and resume from; None saves nothing.
        callbacks: what hears of it, in this order.

    Attributes:
        state: how far the fit has come.
    """

    # made by _restore and _prepare, once the method has taken its size from the shots
    _objective: Objective
    _optimizer: torch.optim.Optimizer
    _scaler: torch.amp.GradScaler | None
    _source: BatchSource[Any]
    _validation: Validation

    def __init__(
        self,
        method: Method,
        prompts: Prompts,
        records: tuple[Record, ...],
        validation: tuple[Record, ...],
        config: TrainConfig,
        *,
        seed: int,
        checkpoint: Checkpoint | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.method, self.prompts, self.config, self.seed = method, prompts, config, seed
        self.records, self.validation = records, validation
        self.checkpoint, self.callbacks = checkpoint, callbacks
        self.state = State()
        self._device = method.clip.device
        self._dtype = autocast_dtype(config, self._device)

    def fit(self) -> list[dict[str, float]]:
        """Fit the method: what it takes from the shots, its epochs, what it tunes on validation.

        Returns:
            The row of each epoch.

        Raises:
            InterlaceError: if the loss, a gradient, what was learnt or its answers are not finite.
        """
        method = self.method
        method.shortcuts = self.config.shortcuts
        for callback in self.callbacks:
            callback.on_fit_start()
        with advised(method):
            if type(method).init_from_shots is not Method.init_from_shots:
                method.init_from_shots(*encode(method, self.prompts, Images(self.records)))
            if _learns(method, self.config):
                with method.clip.compiled() if self.config.compile else nullcontext():
                    self.run_epochs()
            self._tune()
            method.eval()
            self._check()
        for callback in self.callbacks:
            callback.on_fit_end()
        return self.state.history

    def run_epochs(self) -> None:
        """Train for the epochs that are left, and take the best one where one is selected."""
        self._restore()
        if self.state.epoch < self.config.epochs:
            self._prepare()
        for epoch in range(self.state.epoch, self.config.epochs):
            row = self.train_epoch(epoch)
            self._end_epoch(row)
        if self.state.best:
            self.method.load_state_dict(self.state.best)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Go through the shots once.

        Args:
            epoch: 0-based.

        Returns:
            The row of the epoch: its 1-based number, mean loss, accuracy and learning rate.
        """
        rate = learning_rate(self.config, epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self.method.train()
        total, right, count = 0.0, 0, 0
        epochs, steps = self.config.epochs, self._source.steps
        with dropout_stream(self.seed, epoch):
            for step, (inputs, labels) in enumerate(self._source.epoch(epoch), 1):
                loss, out = self.step(inputs, labels, f"epoch {epoch + 1}, step {step}")
                total += loss.item() * len(labels)
                right += int((out.logits.argmax(dim=-1) == labels).sum())
                count += len(labels)
                progress = Progress(epoch + 1, epochs, step, steps, total / count, right / count)
                for callback in self.callbacks:
                    callback.on_step(progress)
        return {"epoch": epoch + 1, "loss": total / count, "accuracy": right / count, "lr": rate}

    def step(self, inputs: Any, labels: Tensor, where: str) -> tuple[Tensor, Output]:
        """Take one optimiser step.

        Args:
            inputs: of B images, as the batch source gives them.
            labels: [B].
            where: the epoch and step, for messages.

        Returns:
            The loss before the step, a scalar, and the output it was computed from.

        Raises:
            InterlaceError: if the loss or a gradient is not finite.
        """
        with self._autocast():
            out = self._source.forward(inputs)
            loss = self._objective(out, labels)
        check_loss(self.method, loss, out, where)
        self._optimizer.zero_grad()
        if self._scaler is None:
            loss.backward()
            check_gradients(self.method, where)
            self._optimizer.step()
        else:
            self._scaler.scale(loss).backward()
            self._scaler.step(self._optimizer)
            self._scaler.update()
        return loss, out

    def validate(self) -> float:
        """Return the share of the validation shots that the method classifies right now."""
        self.method.eval()
        return self._validation.accuracy()

    def _restore(self) -> None:
        """Make objective and optimiser, and go back to where an earlier run was interrupted."""
        method, config = self.method, self.config
        self._objective = make_objective(method, config)
        self._optimizer = make_optimizer(method.parameters(), config)
        scaled = self._dtype is torch.float16
        self._scaler = torch.amp.GradScaler(self._device.type) if scaled else None
        if self.checkpoint is not None:
            self.state = self.checkpoint.load(method, self._optimizer, self._scaler)

    def _prepare(self) -> None:
        """Compute once what is the same in every step."""
        self.method.train()
        self._source = self._make_source()
        if self.validation:
            often = self.config.select == "best"
            prompts = self._source.prompts
            self._validation = Validation(self.method, prompts, self.validation, often)

    def _make_source(self) -> BatchSource[Any]:
        given = (self.method, self.prompts, self.records, self.config, self.seed)
        if self.method.uses_frozen_features:
            return FeatureBatches(*given)
        source = ImageBatches(*given)
        if self.method.shortcuts:
            with self._autocast():
                plan = source.fit_memory()
            for callback in self.callbacks:
                callback.on_plan(plan)
        return source

    def _end_epoch(self, row: dict[str, float]) -> None:
        """Validate where asked, keep the best epoch, tell and save."""
        state, best = self.state, self.config.select == "best"
        state.history.append(row)
        state.epoch = len(state.history)
        if self.validation and (best or state.epoch == self.config.epochs):
            accuracy = row["validation_accuracy"] = self.validate()
            if best and accuracy > state.best_accuracy:
                state.best_accuracy = accuracy
                state.best = {k: v.detach().clone() for k, v in self.method.state_dict().items()}
        for callback in self.callbacks:
            callback.on_epoch_end(row)
        if self.checkpoint is not None:
            self.checkpoint.save(self.method, self._optimizer, self._scaler, state)

    def _tune(self) -> None:
        method = self.method
        if self.validation and type(method).tune_on_validation is not Method.tune_on_validation:
            method.tune_on_validation(*encode(method, self.prompts, Images(self.validation)))

    def _check(self) -> None:
        """See that what was learnt is finite, and so are its answers."""
        check_learnt(self.method)
        trained = self.state.history and not self.validation
        if trained and largest(self.method) > _SUSPICIOUS:
            # finite tensors may still be so large that no answer is; validation would have seen it
            image, _, text = encode(self.method, self.prompts, Images(self.records[:8]))
            logits(self.method, image, text, seen=True)

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, self._dtype) if self._dtype else nullcontext()


def _learns(method: Method, config: TrainConfig) -> bool:
    """Whether gradients change anything."""
    return bool(list(method.parameters()) and config.epochs)
