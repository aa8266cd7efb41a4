"""Optimiser, learning rate and precision of a fit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from interlace._util.text import first_line
from interlace.config import TrainConfig
from interlace.errors import InterlaceError


def make_optimizer(
    parameters: Iterable[nn.Parameter], config: TrainConfig
) -> torch.optim.Optimizer:
    """Make AdamW, Adam, or SGD with momentum 0.9."""
    trained = list(parameters)
    options: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay}
    if config.optimizer == "sgd":
        return torch.optim.SGD(trained, momentum=0.9, **options)
    if config.optimizer == "adam":
        return torch.optim.Adam(trained, **options)
    return torch.optim.AdamW(trained, **options)


def learning_rate(config: TrainConfig, epoch: int) -> float:
    """Return the rate of ``epoch`` (0-based): constant warm-up, then a cosine that falls per epoch.

    The cosine starts at ``lr`` in the first epoch after warm-up and has the period of the whole
    run, as in the methods' released code, so it ends slightly above zero.
    """
    if epoch < config.warmup_epochs < config.epochs:
        return config.warmup_lr
    start = config.warmup_epochs if config.warmup_epochs < config.epochs else 0
    return 0.5 * config.lr * (1 + math.cos(math.pi * (epoch - start) / config.epochs))


def autocast_dtype(config: TrainConfig, device: torch.device) -> torch.dtype | None:
    """Return the data type of autocast, or None for float32.

    ``auto`` is bfloat16 on a GPU that supports it, float16 on any other GPU, and float32 on a CPU,
    where most machines emulate low precision and are far slower with it.

    Raises:
        InterlaceError: if float16 is asked for on a CPU, where it has no scaler and overflows.
    """
    if config.precision == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if config.precision == "float16" and device.type == "cpu":
        raise InterlaceError("precision=float16 needs a GPU; use float32 or bfloat16 on a CPU")
    dtypes = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return dtypes[config.precision]


def resolve_device(name: str) -> torch.device:
    """Return the device of this name; ``auto`` is the first GPU if there is one, else the CPU.

    Raises:
        InterlaceError: if this machine does not have the device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        if reason.startswith("Expected one of"):  # torch lists a page of types of devices
            reason = "it must be auto, cpu, cuda, cuda:1, ..."
        raise InterlaceError(f"device {name!r} is not available here: {reason}") from None
    return device
