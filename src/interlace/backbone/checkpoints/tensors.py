"""Tensors of a checkpoint's files: one file, or the shards that an index names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interlace._util.reading import check_regular, read_json_object
from interlace._util.text import first_line, printable
from interlace.backbone.checkpoints.configs import about
from interlace.backbone.checkpoints.families.names import plain_names
from interlace.backbone.checkpoints.pickles import is_pickled, read_pickled
from interlace.backbone.files import CheckpointFiles
from interlace.errors import InterlaceError

_MOST_SHARDS = 1000


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of one weights file, safetensors or PyTorch's.

    Raises:
        InterlaceError: if it is neither, or holds anything but tensors.
    """
    if path.suffix == ".safetensors":
        state, metadata = _read_safetensors(path)
    elif is_pickled(path):
        state, metadata = read_pickled(path), {}
    else:
        raise InterlaceError(
            f"{printable(str(path))}: weights are read from .safetensors files, PyTorch's .pt, "
            ".pth and .bin files, and model folders"
        )
    with about(path):
        state = plain_names(state)
        for name, tensor in state.items():
            _check_stored(name, tensor)
    return state, metadata


def read_tensors(files: CheckpointFiles, candidates: tuple[str, ...]) -> dict[str, Tensor]:
    """Read the tensors of the first of ``candidates`` that exists; an index stands for its shards.

    Raises:
        InterlaceError: if there is none, or it cannot be read.
    """
    for candidate in candidates:
        path = files.find(candidate)
        if path is not None:
            return _read_shards(files, path) if path.suffix == ".json" else read_weights(path)[0]
    if files.find("adapter_config.json"):
        raise InterlaceError(
            f"{files.name} holds a peft adapter and no model: merge it first, with "
            "model.merge_and_unload(), and save the merged model"
        )
    raise InterlaceError(f"{files.name} holds no weights; expected {candidates[0]}")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import safe_open

    check_regular(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except Exception as error:  # its own type, and torch's for types of numbers unknown to it
        raise InterlaceError(
            f"{printable(str(path))} cannot be read as safetensors: {first_line(error)}"
        ) from None


def _read_shards(files: CheckpointFiles, index: Path) -> dict[str, Tensor]:
    """Read all tensors that an index names, each from the shard named for it."""
    shown = printable(str(index))
    weight_map = read_json_object(index, "index of weights").get("weight_map")
    if not isinstance(weight_map, Mapping) or not weight_map:
        raise InterlaceError(f"{shown}: 'weight_map' names no tensors and files")
    for shard in weight_map.values():
        if not _is_plain(shard):
            raise InterlaceError(
                f"{shown}: weight_map holds {printable(repr(shard))}, not a file name of its folder"
            )
    shards = sorted(set(weight_map.values()))
    if len(shards) > _MOST_SHARDS:
        raise InterlaceError(f"{shown}: names {len(shards):,} shards; at most {_MOST_SHARDS:,}")
    tensors: dict[str, Tensor] = {}
    for shard in shards:
        path = files.find(shard)
        if path is None:
            raise InterlaceError(f"{files.name} lacks {shard!r}, a shard that its index names")
        found = _read_safetensors(path)[0]
        named = {name for name, place in weight_map.items() if place == shard}
        for name in sorted(named ^ set(found)):
            what = "lacks" if name in named else "also holds"
            raise InterlaceError(
                f"{printable(str(path))} {what} {printable(name)!r}, against its index"
            )
        tensors.update(found)
    with about(index):
        tensors = plain_names(tensors)
        for name, tensor in tensors.items():
            _check_stored(name, tensor)
    return tensors


def _is_plain(name: Any) -> bool:
    """Return whether a name is that of a safetensors file in the folder itself."""
    return (
        isinstance(name, str)
        and name.endswith(".safetensors")
        and not set(name) & set("/\\:\0")
        and name.isprintable()
    )


def _check_stored(name: str, tensor: Tensor) -> None:
    """Refuse tensors that are not dense, or whose elements share memory."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise InterlaceError(f"{printable(name)!r} is not an ordinary dense CPU tensor")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise InterlaceError(f"{printable(name)!r} has fewer values than its shape says")
