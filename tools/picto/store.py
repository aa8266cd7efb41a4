"""The rendered image store, its splits, and the image transformations of training."""

from __future__ import annotations

import json
import math
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sources import STYLES
from torch import Tensor

MEAN = (0.75, 0.72, 0.70)
STD = (0.30, 0.30, 0.30)
LUMA = (0.299, 0.587, 0.114)


@dataclass
class Store:
    """All rendered images with their records.

    ``images`` is N x 64 x 64 x 4 (straight-alpha RGBA, uint8); ``concept`` is -1 for icons that are
    no concept; ``kind`` is "emoji", "redrawn" or "icon".
    """

    images: Tensor
    concepts: list[dict]
    kind: np.ndarray
    style: np.ndarray
    concept: np.ndarray
    names: list[str]
    tags: list[list[str]]

    @classmethod
    def load(cls, work: Path) -> Store:
        """Read images.npy and store.json."""
        meta = json.loads((work / "store.json").read_text())
        records = meta["records"]
        return cls(
            images=torch.from_numpy(np.load(work / "images.npy")),
            concepts=meta["concepts"],
            kind=np.array([r["kind"] for r in records]),
            style=np.array([r["style"] for r in records]),
            concept=np.array([r["concept"] for r in records]),
            names=[r["name"] for r in records],
            tags=[r["tags"] for r in records],
        )

    def style_rows(self, style: str) -> np.ndarray:
        """Rows of one emoji style."""
        return np.flatnonzero((self.kind == "emoji") & (self.style == style))

    def pools(self) -> dict[str, np.ndarray]:
        """Rows used in training: emoji, redrawn, named (icons that are concepts), extra."""
        train = np.array([s for s in STYLES if STYLES[s].role == "train"])
        return {
            "emoji": np.flatnonzero((self.kind == "emoji") & np.isin(self.style, train)),
            "redrawn": np.flatnonzero(self.kind == "redrawn"),
            "named": np.flatnonzero((self.kind == "icon") & (self.concept >= 0)),
            "extra": np.flatnonzero((self.kind == "icon") & (self.concept < 0)),
        }


def git_commit() -> str:
    """Name the commit that a record is made with."""
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def on_white(rgba: Tensor) -> Tensor:
    """uint8 B x H x W x 4 to float B x 3 x H x W composed on white, in [0, 1]."""
    x = rgba.permute(0, 3, 1, 2).float() / 255
    return x[:, :3] * x[:, 3:] + (1 - x[:, 3:])


def normalise(rgb: Tensor) -> Tensor:
    """Subtract the mean and divide by the deviation of the checkpoint's preprocessing."""
    mean = torch.tensor(MEAN, device=rgb.device).view(1, 3, 1, 1)
    return (rgb - mean) / torch.tensor(STD, device=rgb.device).view(1, 3, 1, 1)


def canonical(rgba: Tensor, size: int) -> Tensor:
    """Return the evaluation view: on white, resized with antialiasing, normalised."""
    rgb = on_white(rgba)
    if rgb.shape[-1] != size:
        rgb = F.interpolate(rgb, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
    return normalise(rgb)


def _mix(choice: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(choice.view(-1, 1, 1, 1), new, old)


def _sketch(rgb: Tensor, gain: Tensor) -> Tensor:
    """Dark edges on white by the Sobel magnitude over the three channels."""
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=rgb.device)
    kernels = torch.stack([kernel, kernel.T]).unsqueeze(1).repeat(3, 1, 1, 1)
    edges = F.conv2d(F.pad(rgb, (1, 1, 1, 1), mode="replicate"), kernels, groups=3)
    magnitude = edges.square().sum(1, keepdim=True).sqrt()
    return (1 - (magnitude * gain).clamp(0, 1)).expand_as(rgb)


def augment(rgba: Tensor, size: int, strength: float, generator: torch.Generator) -> Tensor:
    """Random view of B drawings: geometry, recolouring, restyling and background.

    ``strength`` in [0, 1] scales every effect; the returned batch is normalised.
    """
    device = rgba.device
    x = rgba.permute(0, 3, 1, 2).float() / 255
    batch = len(x)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    def chance(p: float) -> Tensor:
        return rand(batch) < p

    alpha, rgb = x[:, 3:], x[:, :3]
    mono = (rgb * alpha).amax((1, 2, 3)) < 0.02
    jitter = 0.15 + 0.2 * strength
    gain = 1 + (rand(batch, 3, 1, 1) * 2 - 1) * jitter
    lift = (rand(batch, 1, 1, 1) * 2 - 1) * jitter * 0.4
    coloured = (rgb * gain + lift).clamp(0, 1)
    # a random rotation of the colour channels, on some images
    order = torch.stack([torch.randperm(3, generator=generator, device=device) for _ in range(8)])
    pick = order[torch.randint(0, 8, (batch,), generator=generator, device=device)]
    turned = coloured.gather(1, pick.view(-1, 3, 1, 1).expand_as(coloured))
    coloured = _mix(chance(0.12 * strength), turned, coloured)
    luma = torch.tensor(LUMA, device=device).view(1, 3, 1, 1)
    grey = (coloured * luma).sum(1, keepdim=True)
    contrast = 1 + 3 * rand(batch, 1, 1, 1) * chance(0.4).view(-1, 1, 1, 1)
    grey = ((grey - 0.5) * contrast + 0.5).clamp(0, 1).expand_as(coloured)
    coloured = _mix(chance(0.10 + 0.08 * strength), grey, coloured)
    # black drawings get another dark ink
    ink = rand(batch, 3, 1, 1) * 0.55 * chance(0.4).view(-1, 1, 1, 1)
    coloured = _mix(mono, ink.expand_as(coloured), coloured)
    silhouette = chance(0.03 + 0.03 * strength) & ~mono
    coloured = _mix(silhouette, ink.expand_as(coloured), coloured)

    angle = (rand(batch) * 2 - 1) * (8 + 10 * strength) * math.pi / 180
    smallest = 0.85 - 0.2 * strength
    zoom = 1 / (smallest + rand(batch) * (1.12 - smallest))
    shift = (rand(batch, 2) * 2 - 1) * (0.08 + 0.08 * strength)
    aspect = 1 + (rand(batch) * 2 - 1) * (0.05 + 0.07 * strength)
    flip = torch.where(chance(0.4), -1.0, 1.0)
    shear = (rand(batch) * 2 - 1) * 0.12 * strength
    cos, sin = angle.cos(), angle.sin()
    row_x = torch.stack([flip * cos * zoom * aspect, (shear - sin) * zoom, shift[:, 0]], 1)
    row_y = torch.stack([flip * sin * zoom * aspect, cos * zoom, shift[:, 1]], 1)
    grid = F.affine_grid(torch.stack([row_x, row_y], 1), [batch, 4, size, size], False)
    premultiplied = torch.cat([coloured * alpha, alpha], 1)
    moved = F.grid_sample(premultiplied, grid, mode="bilinear", align_corners=False)

    # background: mostly white; else a flat colour or a gradient, light under black drawings
    floor = torch.where(mono, 0.6, 0.15).view(-1, 1, 1, 1)
    first = floor + rand(batch, 3, 1, 1) * (1 - floor)
    second = floor + rand(batch, 3, 1, 1) * (1 - floor)
    theta = rand(batch) * 2 * math.pi
    line = torch.linspace(-0.7, 0.7, size, device=device)
    ramp = theta.cos().view(-1, 1, 1) * line + theta.sin().view(-1, 1, 1) * line.view(-1, 1)
    ramp = (ramp + 0.5).clamp(0, 1).unsqueeze(1)
    kind = rand(batch).view(-1, 1, 1, 1)
    plain = 0.85 - 0.15 * strength
    ground = torch.where(kind < plain, 1.0, first)
    ground = torch.where(kind > 0.5 + plain / 2, first * ramp + second * (1 - ramp), ground)
    out = moved[:, :3] + ground * (1 - moved[:, 3:])

    subset = torch.nonzero(chance(0.06 + 0.06 * strength)).flatten()
    if len(subset):
        out[subset] = _sketch(out[subset], 0.5 + 0.7 * rand(len(subset), 1, 1, 1))
    out = _mix(chance(0.03 + 0.04 * strength), 1 - out, out)
    subset = torch.nonzero(chance(0.15 * strength)).flatten()
    if len(subset):
        soft = F.avg_pool2d(F.pad(out[subset], (1, 1, 1, 1), mode="replicate"), 3, 1)
        amount = rand(len(subset), 1, 1, 1) * 2 - 0.6  # below zero sharpens
        out[subset] = (out[subset] + amount * (soft - out[subset])).clamp(0, 1)
    return normalise(out)
