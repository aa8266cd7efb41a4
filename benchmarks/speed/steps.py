"""What the speed benchmark runs: random models, a method on random images, and its steps."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from interlace import DualEncoder, methods
from interlace.backbone.prompts import Prompts
from interlace.backbone.spec import VIT_B_16
from interlace.backbone.tokenizer import byte_pair_tokenizer
from interlace.backbone.tower import TowerOutput
from interlace.config import TrainConfig, resolve
from interlace.data.datasets import picto
from interlace.methods.base import Method
from interlace.train.optim import autocast_dtype, make_optimizer

TEMPLATE = "a photo of a {}."
#: ``tiny`` is for trying the script itself.
MODELS = {
    "vit-b-16": VIT_B_16,
    "tiny": replace(
        VIT_B_16,
        image=replace(
            VIT_B_16.image, width=64, heads=1, hidden=128, depth=3, image_size=32, patch_size=16
        ),
        text=replace(VIT_B_16.text, width=64, heads=1, hidden=128, depth=3),
        embed_dim=32,
    ),
}


@dataclass
class Cell:
    """A method at C classes and a batch size: everything that steps of both paths need.

    Attributes:
        method: the method, in training mode.
        optimizer: over its parameters.
        images: [B, 3, H, W]; for a method on features [B, E].
        labels: [B].
        prompts: of C classes; for a method on features their features [C, E].
        dtype: of autocast, or None.
    """

    method: Method
    optimizer: torch.optim.Optimizer
    images: Tensor
    labels: Tensor
    prompts: Prompts | Tensor
    dtype: torch.dtype | None

    def cut(self, images: int, texts: int) -> Cell:
        """Return the same with fewer images and classes."""
        whole = self.prompts
        some = whole[:texts] if isinstance(whole, Tensor) else Prompts(whole.ids[:texts])
        labels = self.labels[:images] % texts
        return replace(self, images=self.images[:images], labels=labels, prompts=some)


@dataclass
class Route:
    """One path of a cell.

    Attributes:
        shortcuts: False for the plain path.
        prompts: as its steps take them.
        frozen: [C, E], frozen text features that were computed before the steps; None where
            ``prompts`` hold them or nobody needs them.
        held: bytes of what is kept from step to step, beside the model and the method.
    """

    shortcuts: bool
    prompts: Prompts | Tensor
    frozen: Tensor | None = None
    held: int = 0


def make_clip(name: str, device: torch.device) -> DualEncoder:
    """Return a model with random weights."""
    spec = MODELS[name]
    torch.manual_seed(0)
    return DualEncoder(spec, tokenizer=byte_pair_tokenizer(spec.text.context_length)).to(device)


def class_names(count: int) -> list[str]:
    """Return the class names of picto in random order; beyond those, the same in colours."""
    names = sorted({name for task in picto.task_names() for name in picto.task(task)["classes"]})
    random.Random(0).shuffle(names)
    colours = ("red", "blue", "dark green", "striped")
    return (names + [f"{colour} {name}" for colour in colours for name in names])[:count]


def make_cell(
    clip: DualEncoder, name: str, classes: int, batch: int, precision: str
) -> tuple[Cell, TrainConfig]:
    """Return the method as published, on random images."""
    config = resolve(name, methods.parameters(name), {"precision": precision})
    torch.manual_seed(1)
    method = methods.create(name, clip, **config.arguments).train()
    optimizer = make_optimizer(method.parameters(), config.train)
    for parameter in method.parameters():  # the optimiser's state is there before the first step
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    side, device = clip.spec.image.image_size, clip.device
    if method.uses_frozen_features:
        images = torch.randn(batch, clip.spec.embed_dim, device=device)
        prompts: Prompts | Tensor = torch.randn(classes, clip.spec.embed_dim, device=device)
    else:
        images = torch.randn(batch, 3, side, side, device=device)
        prompts = method.prompts(class_names(classes), TEMPLATE)
    labels = torch.randint(classes, (batch,), device=device)
    dtype = autocast_dtype(config.train, device)
    return Cell(method, optimizer, images, labels, prompts, dtype), config.train


def autocast(cell: Cell) -> Any:
    """Return the precision of the forward pass."""
    device = cell.method.clip.device.type
    return torch.autocast(device, cell.dtype) if cell.dtype else nullcontext()


def step(cell: Cell, path: Route, note: Callable[[str], None] = lambda part: None) -> None:
    """One training step, as the training loop makes it; ``note`` is told where a part ends."""
    method, frozen = cell.method, cell.method.needs_frozen
    method.shortcuts = path.shortcuts
    with autocast(cell):
        if isinstance(path.prompts, Tensor):
            image, text = TowerOutput(cell.images), TowerOutput(path.prompts)
        else:
            edits = method.edits()
            note("edits")
            image = method.encode_image(cell.images, frozen, edits)
            note("image")
            text = method.encode_text(path.prompts, frozen and path.frozen is None, edits)
            if path.frozen is not None:
                text = replace(text, frozen=path.frozen[: len(text.features)])
            note("text")
        loss = method.loss(method.score(image, text), cell.labels)
        note("score")
    del image, text
    cell.optimizer.zero_grad()
    loss.backward()
    note("backward")
    cell.optimizer.step()
    note("optimiser")
