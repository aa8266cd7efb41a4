"""Methods: trained tensors become a pair of edits.

This module lists, describes and creates them by key; :mod:`.registry` says how they are found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlace._util.schema import Range, shown
from interlace._util.text import first_line
from interlace.backbone.dual import DualEncoder
from interlace.backbone.hollow import hollow
from interlace.backbone.spec import Spec
from interlace.config import RunConfig, check_arguments, resolve
from interlace.errors import InterlaceError
from interlace.methods.base import Method, Output
from interlace.methods.registry import (
    available,
    defaults,
    get,
    parameters,
    register,
    unavailable,
    unregister,
)

__all__ = [
    "Method",
    "Output",
    "Range",
    "available",
    "configure",
    "count_parameters",
    "create",
    "defaults",
    "get",
    "parameters",
    "register",
    "unavailable",
    "unregister",
]


def count_parameters(name: str, spec: Spec, **arguments: Any) -> int:
    """Count the parameters a method trains on a model of these sizes, without building the model.

    Args:
        name: the method's key.
        spec: sizes of the model.
        **arguments: as in :func:`create`.

    Returns:
        The count; 0 for a method whose tensors follow from the shots.

    Raises:
        InterlaceError: as :func:`create`.
    """
    with hollow():
        method = create(name, DualEncoder(spec), **arguments)
    return sum(parameter.numel() for parameter in method.parameters())


def configure(
    name: str, settings: Mapping[str, Any], *, seed: int = 1, preset: str | None = None
) -> RunConfig:
    """Put a method's defaults, a preset and the caller's settings together.

    Args:
        name: the method's key.
        settings: arguments of the method and settings of training, by name.
        seed: the run's seed.
        preset: name of a preset, or None.

    Raises:
        InterlaceError: as :func:`interlace.config.resolve`, or if there is no such method.
    """
    return resolve(
        name, parameters(name), settings, seed=seed, preset=preset, defaults=defaults(name)
    )


def create(name: str, clip: DualEncoder, **arguments: Any) -> Method:
    """Make a method for a model; arguments not given take the method's :func:`defaults`.

    Args:
        name: the method's key, such as ``mmrl++``.
        clip: the frozen dual encoder.
        **arguments: the method's own arguments.

    Raises:
        InterlaceError: if the method or an argument is unknown, or a value is of another type or
            out of range.
    """
    cls, known = get(name), parameters(name)
    for argument in arguments:
        if argument not in known:
            raise InterlaceError(
                f"{name} has no argument {shown(argument)}; it takes: {', '.join(known) or 'none'}"
            )
    values = {**defaults(name).method, **arguments}
    missing = [argument for argument in known if argument not in values]
    if missing:
        raise InterlaceError(f"{name} needs a value for {', '.join(missing)}: there is no default")
    arguments = check_arguments(values, known)
    try:
        return cls(clip, **arguments).to(clip.device)
    except Exception as error:
        if isinstance(error, InterlaceError) or cls.__module__.startswith("interlace."):
            raise
        raise InterlaceError(
            f"the method {name!r} of {cls.__module__} cannot be made: {type(error).__name__}: "
            f"{first_line(error)}"
        ) from error
