"""Methods, found by looking: every :class:`Method` with a ``key`` in a module of this package."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from interlace._util.schema import keyword_hints, shown
from interlace._util.text import did_you_mean
from interlace.backbone.dual import DualEncoder
from interlace.backbone.hollow import hollow
from interlace.backbone.spec import Spec
from interlace.config import check_arguments, method_defaults
from interlace.errors import InterlaceError
from interlace.methods.base import Method, Output

__all__ = [
    "Method",
    "Output",
    "available",
    "count_parameters",
    "create",
    "get",
    "parameters",
]


def _registry() -> dict[str, type[Method]]:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    found: dict[str, type[Method]] = {}
    for cls in _subclasses(Method):
        if not cls.__dict__.get("key"):
            continue
        if cls.key in found:
            raise InterlaceError(f"two methods are called {cls.key!r}: {found[cls.key]} and {cls}")
        found[cls.key] = cls
    return found


def _subclasses(cls: type[Method]) -> list[type[Method]]:
    direct = cls.__subclasses__()
    return direct + [deeper for sub in direct for deeper in _subclasses(sub)]


def available() -> list[str]:
    """Names of all methods, sorted."""
    return sorted(_registry())


def get(name: str) -> type[Method]:
    """Return the class of a method.

    Raises:
        InterlaceError: if there is no such method.
    """
    registry = _registry()
    if not isinstance(name, str) or name not in registry:
        there = sorted(registry)
        hint = did_you_mean(shown(name).strip("'"), there)
        raise InterlaceError(
            f"no method {shown(name)}; {hint + ' ' if hint else ''}available: {', '.join(there)}"
        )
    return registry[name]


def parameters(name: str) -> dict[str, Any]:
    """Return the arguments a method is created with, and what each may be.

    Args:
        name: the method's key.

    Returns:
        Annotations by name, as :func:`interlace._util.schema.check` takes them.

    Raises:
        InterlaceError: if there is no such method.
    """
    return keyword_hints(get(name).__init__)


def count_parameters(name: str, spec: Spec, **arguments: Any) -> int:
    """How many numbers a method trains on a model of these sizes, without building the model.

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


def create(name: str, clip: DualEncoder, **arguments: Any) -> Method:
    """Make a method for a model; arguments not given take the defaults of ``methods.yaml``.

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
    values = {**method_defaults(name).method, **arguments}
    missing = [argument for argument in known if argument not in values]
    if missing:
        raise InterlaceError(f"{name} needs a value for {', '.join(missing)}: there is no default")
    return cls(clip, **check_arguments(values, known)).to(clip.device)
