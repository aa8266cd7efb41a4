"""The training loop: about sixty lines that any method uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial

import torch

from interlace.backbone.prefix import PrefixState
from interlace.backbone.prompts import Prompts
from interlace.backbone.tower import TowerOutput
from interlace.config import TrainConfig
from interlace.data.images.loader import Images, batches, epoch_order, grouped_order
from interlace.data.records import Record
from interlace.errors import InterlaceError
from interlace.methods.base import Method, Output
from interlace.methods.inference import (
    NotFinite,
    check_finite,
    encode_images,
    encode_prompts,
    logits,
    logits_in_parts,
    take,
)
from interlace.train import memory
from interlace.train.callbacks import Tracker
from interlace.train.checkpoint import Checkpoint, State
from interlace.train.objectives import make_objective
from interlace.train.optim import autocast_dtype, learning_rate, make_optimizer

#: Learnt values beyond this are looked at once more: those of a fit that went well are far below.
_SUSPICIOUS = 1e3

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
    planned: Callable[[memory.MemoryPlan], None] | None = None,
    tracker: Tracker | None = None,
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
        planned: called before the first step with the memory that a step needs.
        tracker: takes the row of each epoch.

    Returns:
        One row per epoch: loss, accuracy, learning rate, and validation accuracy where computed.

    Raises:
        InterlaceError: if the loss, a gradient, what was learnt or its answers are not finite.
    """
    method.shortcuts = config.shortcuts
    history: list[dict[str, float]] = []
    with _advised(method):
        if type(method).init_from_shots is not Method.init_from_shots:
            method.init_from_shots(*_encode(method, prompts, Images(records)))
        if list(method.parameters()) and config.epochs:
            run = partial(_loop, method, prompts, records, validation, config, seed)
            with method.clip.compiled() if config.compile else nullcontext():
                history = run(checkpoint, report, planned, tracker)
        if validation and type(method).tune_on_validation is not Method.tune_on_validation:
            method.tune_on_validation(*_encode(method, prompts, Images(validation)))
        method.eval()
        _check_learnt(method)
        if history and not validation and _largest(method) > _SUSPICIOUS:
            # finite tensors may still be so large that no answer is; validation would have seen it
            image, _, text = _encode(method, prompts, Images(records[:8]))
            logits(method, image, text, seen=True)
    return history


@contextmanager
def _advised(method: Method) -> Iterator[None]:
    """Say what to try where the answers stop being numbers."""
    try:
        yield
    except NotFinite as error:
        raise InterlaceError(f"{error}; {_advice(method)}") from None


def _check_learnt(method: Method) -> None:
    try:
        check_finite(method.state_dict())
    except InterlaceError as error:
        raise InterlaceError(f"after the fit, {error}; {_advice(method)}") from None


def _loop(
    method: Method,
    prompts: Prompts,
    records: tuple[Record, ...],
    validation: tuple[Record, ...],
    config: TrainConfig,
    seed: int,
    checkpoint: Checkpoint | None,
    report: Callable[[Progress], None] | None,
    planned: Callable[[memory.MemoryPlan], None] | None,
    tracker: Tracker | None,
) -> list[dict[str, float]]:
    """Return the epochs of :func:`train`."""
    clip = method.clip
    device, dtype = clip.device, autocast_dtype(config, clip.device)
    objective = make_objective(method, config)
    optimizer = make_optimizer(method.parameters(), config)
    scaler = torch.amp.GradScaler(device.type) if dtype is torch.float16 else None
    state = State() if checkpoint is None else checkpoint.load(method, optimizer, scaler)
    if state.epoch == config.epochs:  # all was learnt before the fit was interrupted
        method.load_state_dict(state.best or method.state_dict())
        return state.history
    method.train()
    if method.uses_frozen_features:
        epoch_batches = _features(method, prompts, records, config, seed)
    else:
        prompts = method.run_prompt_prefix(prompts)
        source = _images(method, records, config, seed)
        if method.shortcuts:
            prompts = _within_memory(method, prompts, config, planned)
        epoch_batches = _outputs(method, prompts, source)
    validate = _validation(method, prompts, validation, often=config.select == "best")
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
                    loss = objective(out, labels)
                where = f"epoch {epoch + 1}, step {step}"
                _step(method, loss, out, optimizer, scaler, where)
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
        if tracker is not None:
            figures = {k: v for k, v in state.history[-1].items() if k != "epoch"}
            tracker.log(figures, state.epoch)
        if checkpoint is not None:
            checkpoint.save(method, optimizer, scaler, state)
    if state.best:
        method.load_state_dict(state.best)
    return state.history


def _encode(
    method: Method, prompts: Prompts, images: Images
) -> tuple[TowerOutput, torch.Tensor, TowerOutput]:
    """Return the outputs for images without augmentation, their labels, and for the classes."""
    loader = batches(images, method.clip.preprocess.eval_transform(), 64)
    return *encode_images(method, loader), encode_prompts(method, prompts)


#: Of an epoch: batches of images, or of images that went through blocks already, and labels [B].
BatchSource = Callable[[int], Iterator[tuple[torch.Tensor | PrefixState, torch.Tensor]]]


def _images(
    method: Method, records: Sequence[Record], config: TrainConfig, seed: int
) -> BatchSource:
    """Batches of images, augmented as configured."""
    clip = method.clip
    # crops are resized to the model's size: photos need not stay in memory at their own
    images = Images(records, least_side=2 * clip.preprocess.size if config.augments else None)
    transform = clip.preprocess.train_transform((config.crop_scale, 1.0), config.flip)

    def pixels(epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch, labels in batches(
            images,
            transform,
            config.batch_size,
            shuffle_seed=(seed, epoch),
            order=_order(records, config, seed, epoch),
            workers=config.workers,
        ):
            yield batch.to(clip.device), labels.to(clip.device)

    if config.augments or not method.shortcuts:
        return pixels
    whole = _image_prefix(method, images, method.needs_frozen)
    if whole is None:
        return pixels
    prefix, labels = whole

    def parts(epoch: int) -> Iterator[tuple[PrefixState, torch.Tensor]]:
        order = torch.tensor(_order(records, config, seed, epoch), device=labels.device)
        for rows in order.split(config.batch_size):
            yield prefix.take(rows), labels[rows]

    return parts


def _order(records: Sequence[Record], config: TrainConfig, seed: int, epoch: int) -> Sequence[int]:
    """Return the order in which an epoch takes the shots; batches are its consecutive parts."""
    if config.groups:
        return grouped_order(records, config.per_class, (seed, epoch))
    return epoch_order(len(records), (seed, epoch))


def _image_prefix(
    method: Method, images: Images, frozen: bool
) -> tuple[PrefixState, torch.Tensor] | None:
    """Images that never differ, taken once through the blocks that are not edited; their labels.

    None where they do not fit into a quarter of the free memory.
    """
    clip, spec = method.clip, method.clip.spec.image
    one = 4 * spec.positions * spec.width
    if one * len(images) > memory.available(clip.device) / 4:
        return None
    loader = batches(images, clip.preprocess.eval_transform(), 64)
    pairs = [(method.run_image_prefix(x.to(clip.device), frozen), labels) for x, labels in loader]
    labels = torch.cat([labels for _, labels in pairs]).to(clip.device)
    return PrefixState.cat([prefix for prefix, _ in pairs]), labels


def _outputs(method: Method, prompts: Prompts, source: BatchSource) -> Callable[[int], Batches]:
    """Return what computes the method's output for each batch of images."""

    def epoch_batches(epoch: int) -> Batches:
        for images, labels in source(epoch):
            yield partial(method, images, prompts), labels

    return epoch_batches


def _within_memory(
    method: Method,
    prompts: Prompts,
    config: TrainConfig,
    planned: Callable[[memory.MemoryPlan], None] | None,
) -> Prompts:
    """Return the prompts in parts, where they do not fit the memory at once."""
    dtype = autocast_dtype(config, method.clip.device)
    with torch.autocast(method.clip.device.type, dtype) if dtype else nullcontext():
        plan = memory.plan(method, config.batch_size, prompts)
    if planned is not None:
        planned(plan)
    if prompts.prefix is None or plan.chunk is None:
        return prompts
    return replace(prompts, prefix=replace(prompts.prefix, chunk=plan.chunk))


def _features(
    method: Method, prompts: Prompts, records: Sequence[Record], config: TrainConfig, seed: int
) -> Callable[[int], Batches]:
    """Batches of frozen features, encoded once without augmentation."""
    image, labels, text = _encode(method, prompts, Images(records))

    def epoch_batches(epoch: int) -> Batches:
        order = torch.tensor(_order(records, config, seed, epoch), device=labels.device)
        for rows in order.split(config.batch_size):
            yield partial(method.score, take(image, rows), text), labels[rows]

    return epoch_batches


def _step(
    method: Method,
    loss: torch.Tensor,
    out: Output,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    where: str,
) -> None:
    """One optimiser step, refused when a number of it is none."""
    if not torch.isfinite(loss):
        tensors = {f.name: getattr(out, f.name) for f in fields(out)}
        culprit = _not_finite({**dict(method.named_parameters()), **tensors})
        raise InterlaceError(
            f"the loss became {loss.item()} at {where}{culprit}; {_advice(method)}"
        )
    optimizer.zero_grad()
    if scaler is None:
        loss.backward()
        found = {n: p.grad for n, p in method.named_parameters() if p.grad is not None}
        if not torch.isfinite(torch.nn.utils.get_total_norm(found.values())):
            culprit = _not_finite(found)
            raise InterlaceError(f"a gradient is no number at {where}{culprit}; {_advice(method)}")
        optimizer.step()
        return
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()


def _largest(method: Method) -> float:
    """Return the greatest absolute value that was learnt."""
    return max((p.detach().abs().max().item() for p in method.parameters() if p.numel()), default=0)


def _advice(method: Method) -> str:
    """Return what to do about numbers that are none."""
    culprit = _not_finite(dict(method.clip.state_dict()))
    if culprit:
        return f"the model's own weights are not finite{culprit}: take another copy of the model"
    return "try a smaller lr or precision=float32"


def _not_finite(tensors: Mapping[str, torch.Tensor | None]) -> str:
    """Names the first tensor that holds a number that is none."""
    for name, tensor in tensors.items():
        if tensor is not None and not bool(torch.isfinite(tensor).all()):
            return f", first seen in {name}"
    return ""


def _validation(
    method: Method, prompts: Prompts, records: Sequence[Record], often: bool
) -> Callable[[], float]:
    """Return what computes the share of ``records`` that the method classifies right at the moment.

    Args:
        method: the method.
        prompts: of the classes.
        records: validation shots.
        often: whether it is asked after each epoch; what does not change is then kept.
    """
    images = Images(records)
    # frozen features do not change while the method learns
    kept = _encode(method, prompts, images) if method.uses_frozen_features and records else None
    keep = often and method.shortcuts and kept is None and len(records)
    prefix = _image_prefix(method, images, frozen=False) if keep else None

    def accuracy() -> float:
        method.eval()
        if prefix is None:
            image, labels, text = kept or _encode(method, prompts, images)
        else:
            whole, known = prefix
            parts = torch.arange(len(known), device=known.device).split(64)
            image, labels = encode_images(method, ((whole.take(p), known[p]) for p in parts))
            text = encode_prompts(method, prompts)
        scores = logits_in_parts(method, image, text, seen=True)
        answers = torch.cat([part.argmax(dim=-1) for part in scores])
        return (answers == labels).float().mean().item()

    return accuracy
