"""Stopping a fit whose numbers overflow, with the place and with advice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields

import torch
from torch import Tensor

from interlace.errors import InterlaceError
from interlace.methods.base import Method, Output
from interlace.methods.inference import NotFinite, check_finite


@contextmanager
def advised(method: Method) -> Iterator[None]:
    """Add to an answer that is not finite what to try.

    Raises:
        InterlaceError: in the place of a :class:`NotFinite`.
    """
    try:
        yield
    except NotFinite as error:
        raise InterlaceError(f"{error}; {_advice(method)}") from None


def check_loss(method: Method, loss: Tensor, out: Output, where: str) -> None:
    """See that a loss is finite.

    Args:
        method: the method.
        loss: a scalar.
        out: what it was computed from.
        where: the epoch and step.

    Raises:
        InterlaceError: naming the first tensor that is not finite.
    """
    if torch.isfinite(loss):
        return
    tensors = {field.name: getattr(out, field.name) for field in fields(out)}
    culprit = _first_seen({**dict(method.named_parameters()), **tensors})
    raise InterlaceError(f"the loss became {loss.item()} at {where}{culprit}; {_advice(method)}")


def check_gradients(method: Method, where: str) -> None:
    """See that the gradients of a method are finite.

    Args:
        method: the method, after the backward pass.
        where: the epoch and step.

    Raises:
        InterlaceError: naming the first parameter whose gradient is not.
    """
    found = {n: p.grad for n, p in method.named_parameters() if p.grad is not None}
    if not torch.isfinite(torch.nn.utils.get_total_norm(found.values())):
        culprit = _first_seen(found)
        raise InterlaceError(f"gradient is not finite at {where}{culprit}; {_advice(method)}")


def check_learnt(method: Method) -> None:
    """See that what was learnt is finite.

    Raises:
        InterlaceError: naming the first tensor that is not.
    """
    try:
        check_finite(method.state_dict())
    except InterlaceError as error:
        raise InterlaceError(f"after the fit, {error}; {_advice(method)}") from None


def largest(method: Method) -> float:
    """Return the greatest absolute value that was learnt; 0 where nothing was."""
    return max((p.detach().abs().max().item() for p in method.parameters() if p.numel()), default=0)


def _advice(method: Method) -> str:
    """Return what to do about numbers that are not finite."""
    culprit = _first_seen(dict(method.clip.state_dict()))
    if culprit:
        return f"the model's own weights are not finite{culprit}: take another copy of the model"
    return "try a smaller lr or precision=float32"


def _first_seen(tensors: Mapping[str, Tensor | None]) -> str:
    """Name the first tensor that holds a number that is not finite."""
    for name, tensor in tensors.items():
        if tensor is not None and not bool(torch.isfinite(tensor).all()):
            return f", first seen in {name}"
    return ""
