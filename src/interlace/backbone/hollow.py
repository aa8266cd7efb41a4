"""Modules built for their shapes alone: to be filled with loaded values, or to be counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

#: Operations that fill or scale a tensor: on the meta device only its shape remains.
_IN_PLACE = frozenset(
    "normal_ uniform_ trunc_normal_ kaiming_uniform_ xavier_uniform_ zeros_ ones_ constant_ zero_ "
    "fill_".split()
)
_KEEPS_SHAPE = _IN_PLACE | {"mul", "__mul__", "__rmul__", "log"}


@contextmanager
def hollow() -> Iterator[None]:
    """Make tensors on the meta device, without memory or values, inside the context.

    PyTorch computes most operations on that device in Python, and for the first of them imports
    its compiler, which takes longer than reading a small model. Filling and scaling, which is all
    that towers do when they are made, need neither.
    """
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    """Returns a tensor as it is where an operation would fill it."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.randn, torch.zeros, torch.ones):
            return torch.empty(*args, **kwargs)
        if func is torch.tensor and isinstance(args[0], int | float):
            return torch.empty((), **kwargs)
        given = [*args, *kwargs.values()]  # functions of nn.init hand on everything by name
        tensors = [value for value in given if isinstance(value, torch.Tensor)]
        # a product of two tensors may have another shape than either
        if len(tensors) == 1 and tensors[0].is_meta and func.__name__ in _KEEPS_SHAPE:
            return tensors[0] if func.__name__ in _IN_PLACE else tensors[0].detach()
        return func(*args, **kwargs)
