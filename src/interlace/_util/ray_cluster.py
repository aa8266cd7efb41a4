"""The Ray cluster that grids and bulk embedding run on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from interlace._util.text import first_line
from interlace.errors import InterlaceError


def connect(cores: int | None = None) -> Any:
    """Return the ``ray`` package, connected to a cluster.

    It is the one that the environment variable RAY_ADDRESS names, or that ``ray start`` began on
    this machine; where there is none, or RAY_ADDRESS is ``local``, one of this process alone.

    Args:
        cores: cores of the latter; by default those of the machine.

    Raises:
        InterlaceError: if Ray is not installed, or the cluster cannot be reached or started.
    """
    # tasks without a GPU see what the machine shows them: Ray's default to be, else a warning
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise InterlaceError(
            "the engine ray needs a package: pip install 'interlace[ray]'"
        ) from None
    if ray.is_initialized():
        return ray
    address = os.environ.get("RAY_ADDRESS")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    alone: dict[str, Any] = {"address": "local", "num_cpus": cores, "include_dashboard": False}
    try:
        if address == "local":
            ray.init(**alone, **quiet)
        else:
            try:
                ray.init(address="auto", **quiet)
            except ConnectionError:
                if address:
                    raise
                ray.init(**alone, **quiet)
    except Exception as error:  # whatever keeps it from starting
        where = f"the Ray cluster at {address}" if address else "a Ray cluster on this machine"
        raise InterlaceError(f"cannot reach or start {where}: {first_line(error)}") from None
    return ray


@contextmanager
def connected() -> Iterator[Any]:
    """Return ``ray`` package as :func:`connect` gives it; a connection of its own ends with it."""
    try:
        import ray

        begun = not ray.is_initialized()
    except ImportError:
        begun = False
    ray = connect()
    try:
        yield ray
    finally:
        if begun:
            ray.shutdown()
