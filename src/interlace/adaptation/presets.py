"""Presets: which one a fit takes, and whether a name is that of one."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from interlace._util.schema import check, shown
from interlace._util.text import did_you_mean, listed
from interlace.config import PUBLISHED, preset_defaults, preset_names, read_packaged
from interlace.data.datasets.benchmarks import BenchmarkDataset, benchmark_names, find_benchmark
from interlace.data.datasets.registry import is_known
from interlace.data.datasets.retrieval_table import RetrievalEntry, find_retrieval, retrieval_names
from interlace.errors import InterlaceError


def preset_name(protocol: str, data: str, root: Path | str | None = None) -> str | None:
    """Return the preset of published values for a data set; None for images of the user's own.

    Args:
        protocol: name of the protocol.
        data: a folder, a table or the name of a data set; of one for retrieval, with or without
            what it holds out (``domainnet:sketch``).
        root: the data root, where the name may be that of a data set below it.
    """
    entry: BenchmarkDataset | RetrievalEntry | None
    entry = find_benchmark(data) if is_known(data, root) else find_retrieval(data.partition(":")[0])
    return None if entry is None else f"{PUBLISHED}/{protocol}/{entry.name}"


def choose_preset(
    preset: str, protocol: str | None, data: str, root: Path | str | None = None
) -> str | None:
    """Say which preset a fit takes, as ``--preset`` asks for it.

    Args:
        preset: ``none``, ``auto``, ``published`` or a name.
        protocol: name of the protocol; None for a fit that belongs to none.
        data: a folder, a table or the name of a data set.
        root: the data root.

    Returns:
        The preset as :func:`interlace.fit` takes it.

    Raises:
        InterlaceError: as :func:`check_preset`.
    """
    chosen = None if preset == "none" else preset
    if preset == PUBLISHED:
        chosen = None if protocol is None else preset_name(protocol, data, root)
    check_preset(chosen)
    return chosen


def check_preset(preset: str | None) -> None:
    """Check that a preset exists, before hours of runs that would each find that it does not.

    Args:
        preset: a name, ``published``, ``auto`` or None.

    Raises:
        InterlaceError: if there is none of this name, or no protocol or data set of the name in
            ``published/<protocol>/<data set>``: it would act for no method.
    """
    if preset in (None, "auto", PUBLISHED):
        return
    preset = str(check("preset", preset, str))
    preset_defaults(preset, "zero_shot")
    if preset in preset_names():
        return
    _, protocol, data = preset.split("/")
    there = {"protocol": sorted(_protocols()), "data set": [*benchmark_names(), *retrieval_names()]}
    for what, name in (("protocol", protocol), ("data set", data)):
        if name not in there[what]:
            hint = did_you_mean(name, there[what])
            raise InterlaceError(
                f"preset {shown(preset)}: no {what} {shown(name)}; {hint or listed(there[what])}"
            )


@cache
def _protocols() -> frozenset[str]:
    """Return the protocols for which the authors of any method published values."""
    folder = files("interlace").joinpath("configs", "presets", PUBLISHED)
    found = (read_packaged(f"presets/{PUBLISHED}/{item.name}") for item in folder.iterdir())
    return frozenset(protocol for blocks in found for protocol in blocks)
