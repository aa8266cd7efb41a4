"""The training loop: about sixty lines that any method uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch

from interlace.backbone.text import Prompts
from interlace.backbone.tower import TowerOutput
from interlace.config import TrainConfig
from interlace.data.loader import Images, batches, epoch_order
from interlace.data.records import Record
from interlace.errors import InterlaceError
from interlace.inference import encode_images, encode_prompts, logits, take
from interlace.methods.base import Method, Output
from interlace.train.checkpoint import Checkpoint, State
from interlace.train.optim import autocast_dtype, learning_rate, make_optimizer

#: For each step: what computes the method's output, and the labels [B].
Batches = Iterator[tuple[Callable[[], Output], torch.Tensor]]


@dataclass(frozen=True)
class Progress:
    """One training step, for a progress bar.

    Attributes:
        epoch: 1-based epoch of ``epochs``.
        epochs: epochs of the whole run.
        step: 1-based step of ``steps`` in this epoch.
        steps: steps of this epoch.
        loss: mean loss of the epoch so far.
        accuracy: share of the epoch's images classified right so far, 0 to 1.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float


def train(
    method: Method,
    prompts: Prompts,
    records: tuple[Record, ...],
    validation: tuple[Record, ...],
    config: TrainConfig,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    report: Callable[[Progress], None] | None = None,
) -> list[dict[str, float]]:
    """Fit ``method`` in place.

    Every random choice of an epoch follows from ``seed`` and the epoch's number, so a run that was
    interrupted and resumed ends with the same numbers.

    Args:
        method: the method, on the model's device.
        prompts: the C class prompts.
        records: labelled shots.
        validation: validation shots; used to select an epoch, and scored once at the end.
        config: how to fit.
        seed: decides order and augmentation.
        checkpoint: where to save after each epoch and resume from; None saves nothing.
        report: called after each step.

    Returns:
        One row per epoch: loss, accuracy, learning rate, and validation accuracy where computed.

    Raises:
        InterlaceError: if the loss stops being finite.
    """
    if type(method).prepare is not Method.prepare:
        method.prepare(*_encode(method, prompts, Images(records)))
    history: list[dict[str, float]] = []
    if list(method.parameters()) and config.epochs:
        history = _loop(method, prompts, records, validation, config, seed, checkpoint, report)
    if validation and type(method).tune is not Method.tune:
        method.tune(*_encode(method, prompts, Images(validation)))
    method.eval()
    return history


def _loop(
    method: Method,
    prompts: Prompts,
    records: tuple[Record, ...],
    validation: tuple[Record, ...],
    config: TrainConfig,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[Progress], None] | None,
) -> list[dict[str, float]]:
    """The epochs of :func:`train`."""
    clip = method.clip
    device, dtype = clip.device, autocast_dtype(config, clip.device)
    optimizer = make_optimizer(method.parameters(), config)
    scaler = torch.amp.GradScaler(device.type) if dtype is torch.float16 else None
    state = State() if checkpoint is None else checkpoint.load(method, optimizer, scaler)
    source = _features if method.on_features else _images
    epoch_batches = source(method, prompts, records, config, seed)
    validate = _validation(method, prompts, validation)
    steps = -(-len(records) // config.batch_size)

    for epoch in range(state.epoch, config.epochs):
        rate = learning_rate(config, epoch)
        for group in optimizer.param_groups:
            group["lr"] = rate
        total_loss, right, count = 0.0, 0, 0
        method.train()
        with torch.random.fork_rng():
            torch.manual_seed(seed * 100_003 + epoch)
            for step, (compute, labels) in enumerate(epoch_batches(epoch), 1):
                with torch.autocast(device.type, dtype) if dtype else nullcontext():
                    out = compute()
                    loss = method.loss(out, labels)
                _step(loss, optimizer, scaler, where=f"epoch {epoch + 1}, step {step}")
                total_loss += loss.item() * len(labels)
                right += int((out.logits.argmax(dim=-1) == labels).sum())
                count += len(labels)
                if report is not None:
                    mean, share = total_loss / count, right / count
                    report(Progress(epoch + 1, config.epochs, step, steps, mean, share))
        row = {"epoch": epoch + 1, "loss": total_loss / count, "accuracy": right / count}
        state.history.append(row | {"lr": rate})
        state.epoch = epoch + 1
        if validation and (config.select == "best" or state.epoch == config.epochs):
            accuracy = validate()
            state.history[-1]["validation_accuracy"] = accuracy
            if config.select == "best" and accuracy > state.best_accuracy:
                state.best_accuracy = accuracy
                state.best = {k: v.detach().clone() for k, v in method.state_dict().items()}
        if checkpoint is not None:
            checkpoint.save(method, optimizer, scaler, state)
    if state.best:
        method.load_state_dict(state.best)
    return state.history


def _encode(
    method: Method, prompts: Prompts, images: Images
) -> tuple[TowerOutput, torch.Tensor, TowerOutput]:
    """The method's outputs for images without augmentation, their labels, and for the classes."""
    loader = batches(images, method.clip.preprocess.eval_transform(), 64)
    return *encode_images(method, loader), encode_prompts(method, prompts)


def _images(
    method: Method, prompts: Prompts, records: Sequence[Record], config: TrainConfig, seed: int
) -> Callable[[int], Batches]:
    """Batches of augmented images, through both towers at each step."""
    clip = method.clip
    # crops are resized to the model's size: photos need not stay in memory at their own
    images = Images(records, least_side=2 * clip.preprocess.size)
    transform = clip.preprocess.train_transform((config.crop_scale, 1.0), config.flip)

    def epoch_batches(epoch: int) -> Batches:
        for pixels, labels in batches(
            images,
            transform,
            config.batch_size,
            shuffle_seed=(seed, epoch),
            workers=config.workers,
        ):
            yield partial(method, pixels.to(clip.device), prompts), labels.to(clip.device)

    return epoch_batches


def _features(
    method: Method, prompts: Prompts, records: Sequence[Record], config: TrainConfig, seed: int
) -> Callable[[int], Batches]:
    """Batches of frozen features, encoded once without augmentation."""
    image, labels, text = _encode(method, prompts, Images(records))

    def epoch_batches(epoch: int) -> Batches:
        order = torch.tensor(epoch_order(len(labels), (seed, epoch)), device=labels.device)
        for rows in order.split(config.batch_size):
            yield partial(method.score, take(image, rows), text), labels[rows]

    return epoch_batches


def _step(
    loss: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    where: str,
) -> None:
    """One optimiser step, refused when the loss is no longer a number."""
    if not torch.isfinite(loss):
        raise InterlaceError(
            f"the loss became {loss.item()} at {where}; try a smaller lr or precision=float32"
        )
    optimizer.zero_grad()
    if scaler is None:
        loss.backward()
        optimizer.step()
        return
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()


def _validation(method: Method, prompts: Prompts, records: Sequence[Record]) -> Callable[[], float]:
    """What computes the share of ``records`` that the method classifies right at the moment."""
    images = Images(records)
    # frozen features do not change while the method learns
    kept = _encode(method, prompts, images) if method.on_features and records else None

    def accuracy() -> float:
        method.eval()
        image, labels, text = kept or _encode(method, prompts, images)
        scores = logits(method, image, text, seen=True)
        return (scores.argmax(dim=-1) == labels).float().mean().item()

    return accuracy
