"""Which methods there are: one file per family in this package, and what other packages offer.

A class becomes a method by ``@register``. Modules of this package are found by file; other packages
name their classes under the entry-point group ``interlace.methods``, by key::

    [project.entry-points."interlace.methods"]
    mine = "my_package.mine:Mine"

A package is imported when its method is asked for by name, or when all methods are listed. A class
that only a script registers is known to the process that runs the script.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, TypeVar

from interlace._util.plugins import Extension, extensions
from interlace._util.schema import check, keyword_hints, shown
from interlace._util.text import did_you_mean, first_line, listed
from interlace.config import TRAINING, MethodDefaults, method_defaults, training_hints
from interlace.errors import InterlaceError
from interlace.methods.base import Method

#: Entry-point group under which other packages name their methods.
METHOD_GROUP = "interlace.methods"
#: What a key may be: it stands in lists, in ``key:setting=value`` and in names of files.
_KEY = re.compile(r"[a-z0-9][a-z0-9_+.-]*")
_PACKAGE = __name__.rpartition(".")[0]
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

_classes: dict[str, type[Method]] = {}

AnyMethod = TypeVar("AnyMethod", bound=type[Method])


def register(cls: AnyMethod) -> AnyMethod:
    """Offer a method under its ``key``, as a decorator of its class.

    A class of the same module and name is replaced, as when a cell of a notebook runs again.

    Args:
        cls: a subclass of :class:`Method` with a ``key`` and a ``summary`` of its own, whose
            ``__init__`` takes the model and keyword-only arguments.

    Returns:
        The class.

    Raises:
        InterlaceError: if the class is no such method, or another one has its key.
    """
    _check_contract(cls)
    if not cls.__module__.startswith(f"{_PACKAGE}."):
        _import_families()
    there = _classes.get(cls.key)
    if there is not None and _place(there) != _place(cls):
        raise InterlaceError(
            f"two methods are called {cls.key!r}: {_place(there)} and {_place(cls)}"
        )
    _classes[cls.key] = cls
    return cls


def unregister(key: str) -> None:
    """Take a registered method back, as tests do; one that is not there is no error."""
    _classes.pop(key, None)


def available() -> list[str]:
    """List the names of all methods, sorted.

    What cannot be loaded is left out; :func:`unavailable` says why.
    """
    _import_families()
    offered = (key for key, found in _offers() if not _problem(key, found))
    return sorted({*offered, *_classes})


def unavailable() -> list[str]:
    """Say which methods of installed packages cannot be used, a line for each."""
    return [line for key, found in _offers() if (line := _problem(key, found))]


def get(name: str) -> type[Method]:
    """Return the class of a method.

    Raises:
        InterlaceError: if there is no such method, or the package that offers it is broken.
    """
    if isinstance(name, str):
        _import_families()
        if name in _classes:
            return _classes[name]
        found = dict(_offers()).get(name)
        if found is not None:
            return _load(name, found)
    there = available()
    hint = did_you_mean(shown(name).strip("'"), there)
    raise InterlaceError(
        f"no method {shown(name)}; {hint + ' ' if hint else ''}available: {', '.join(there)}"
    )


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


def defaults(name: str) -> MethodDefaults:
    """Return a method's default arguments and how it is trained by default.

    Those of this package's methods stand in ``configs/methods.yaml``; those of other methods in
    their signature and in ``train_defaults``.

    Args:
        name: the method's key.

    Raises:
        InterlaceError: if there is no such method.
    """
    cls, packaged = get(name), method_defaults(name)
    return MethodDefaults(
        {**_signature_defaults(cls), **packaged.method}, {**cls.train_defaults, **packaged.train}
    )


@cache
def _import_families() -> None:
    """Import every module of this package, each of which registers its methods."""
    for module in pkgutil.iter_modules(importlib.import_module(_PACKAGE).__path__):
        importlib.import_module(f"{_PACKAGE}.{module.name}")


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _offers() -> Iterator[tuple[str, list[Extension]]]:
    """Go through the keys that installed packages offer; several packages may offer one."""
    found: dict[str, list[Extension]] = {}
    for extension in extensions(METHOD_GROUP):
        found.setdefault(extension.name, []).append(extension)
    yield from found.items()


def _problem(key: str, found: list[Extension]) -> str:
    """Say why what is offered under ``key`` cannot be used; "" where it can."""
    try:
        _load(key, found)
    except InterlaceError as error:
        return str(error)
    return ""


def _load(key: str, found: list[Extension]) -> type[Method]:
    """Import the class that a package offers under ``key``, and register it.

    Raises:
        InterlaceError: if that fails, or the key is taken.
    """
    packages = [extension.package or "unknown" for extension in found]
    if len(found) > 1:
        raise InterlaceError(f"two packages offer a method {key!r}: {listed(packages)}")
    loaded = found[0].load()
    try:
        own_key = getattr(loaded, "key", key)
        if own_key != key:
            raise InterlaceError(f"its key is {shown(own_key)}")
        return register(loaded)
    except InterlaceError as error:
        raise InterlaceError(
            f"the method {key!r} of the package {packages[0]!r} cannot be used: {first_line(error)}"
        ) from None


def _check_contract(cls: Any) -> None:
    """See that a class can be offered as a method.

    Raises:
        InterlaceError: saying what it lacks.
    """
    if not (inspect.isclass(cls) and issubclass(cls, Method)):
        what = _place(cls) if inspect.isclass(cls) else shown(cls)
        raise InterlaceError(f"{what} is no method: @register takes a subclass of Method")
    where = _place(cls)
    key = cls.__dict__.get("key")
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InterlaceError(
            f"{where}: key={shown(key)}: a method needs a key of its own, of lower-case letters, "
            "digits and _ + . -"
        )
    if not isinstance(cls.summary, str) or not cls.summary.strip():
        raise InterlaceError(f"{where}: a method needs a summary, one sentence")
    arguments = list(inspect.signature(cls).parameters.values())
    if not arguments or arguments[0].kind not in _POSITIONAL:
        raise InterlaceError(f"{where}: __init__ must take the model first: __init__(self, clip)")
    wrong = [one.name for one in arguments[1:] if one.kind is not one.KEYWORD_ONLY]
    if wrong:
        raise InterlaceError(f"{where}: the argument {wrong[0]} must be keyword-only (after a *)")
    _check_settings(cls, where)


def _check_settings(cls: type[Method], where: str) -> None:
    """See that names and default values of a method's settings are ones that can be used.

    Raises:
        InterlaceError: naming the first that is not.
    """
    hints = keyword_hints(cls.__init__)
    shared = sorted(TRAINING & set(hints))
    if shared:
        raise InterlaceError(f"{where}: the argument {shared[0]} is also a setting of training")
    unknown = sorted(set(cls.train_defaults) - TRAINING)
    if unknown:
        raise InterlaceError(f"{where}: train_defaults: no setting of training {unknown[0]!r}")
    values = {**_signature_defaults(cls), **cls.train_defaults}
    try:
        for name, value in values.items():
            check(name, value, {**hints, **training_hints()}[name])
    except InterlaceError as error:
        raise InterlaceError(f"{where}: default {error}") from None


def _signature_defaults(cls: type[Method]) -> dict[str, Any]:
    arguments = inspect.signature(cls).parameters.values()
    return {
        one.name: one.default
        for one in arguments
        if one.kind is one.KEYWORD_ONLY and one.default is not one.empty
    }
