"""Where a checkpoint's files come from: a local folder or a repository of the Hugging Face hub."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from interlace.errors import InterlaceError


class Files(Protocol):
    """Named files of one checkpoint."""

    @property
    def name(self) -> str:
        """What an error message calls the place."""
        ...

    @property
    def tokenizer_source(self) -> str | Path:
        """The place, as transformers takes it."""
        ...

    @property
    def cache_dir(self) -> str | None:
        """Where downloads are kept, if not at the usual place."""
        ...

    def find(self, file: str) -> Path | None:
        """A local path of ``file``, or None where the place has no such file."""
        ...


@dataclass(frozen=True)
class LocalFolder:
    """A folder on this machine; nothing is fetched."""

    folder: Path
    cache_dir: None = None

    @property
    def name(self) -> str:
        """The folder's path."""
        return str(self.folder)

    @property
    def tokenizer_source(self) -> Path:
        """The folder."""
        return self.folder

    def find(self, file: str) -> Path | None:
        """A local path of ``file``, or None where the folder has no such file."""
        path = self.folder / file
        return path if path.is_file() else None


@dataclass(frozen=True)
class HubRepository:
    """A repository of the Hugging Face hub; files are fetched once and kept in its cache."""

    repository: str
    cache_dir: str | None = None

    @property
    def name(self) -> str:
        """The repository's name."""
        return self.repository

    @property
    def tokenizer_source(self) -> str:
        """The repository's name."""
        return self.repository

    def find(self, file: str) -> Path | None:
        """A local path of ``file``, or None where the repository has no such file.

        Without a network, what an earlier load has fetched is all there is.

        Raises:
            InterlaceError: if the repository cannot be reached or does not exist.
        """
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            return Path(hf_hub_download(self.repository, file, cache_dir=self.cache_dir))
        except LocalEntryNotFoundError as error:
            if self._was_fetched():
                return None
            reason = str(error)
        except EntryNotFoundError:
            return None
        except Exception as error:  # the hub's client raises those of whatever carries it
            reason = f"{type(error).__name__}: {error}"
        first = reason.strip().split("\n")[0]
        raise InterlaceError(f"cannot fetch {file!r} of {self.repository!r}: {first}")

    def _was_fetched(self) -> bool:
        from huggingface_hub import try_to_load_from_cache

        return any(
            isinstance(try_to_load_from_cache(self.repository, file, self.cache_dir), str)
            for file in ("config.json", "open_clip_config.json")
        )


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file.

    Raises:
        InterlaceError: if the file holds no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InterlaceError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InterlaceError(f"{path} holds no JSON object")
    return value


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        InterlaceError: if it is not one.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InterlaceError(f"{path} cannot be read as safetensors: {error}") from None


def read_tensors(files: Files, candidates: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors of the first of ``candidates`` there is; an index file stands for its shards.

    Raises:
        InterlaceError: if there is none, or it cannot be read.
    """
    for candidate in candidates:
        path = files.find(candidate)
        if path is None:
            continue
        if path.suffix == ".json":
            return _read_shards(files, read_json(path))
        if path.suffix == ".safetensors":
            return read_safetensors(path)[0]
        return _read_pickled(path)
    raise InterlaceError(
        f"{files.name} holds no weights in safetensors format; expected {candidates[0]}"
    )


def _read_shards(files: Files, index: Mapping[str, Any]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(index.get("weight_map", {}).values())):
        path = files.find(shard)
        if path is None:
            raise InterlaceError(f"{files.name} lacks {shard!r}, a shard that its index names")
        tensors.update(read_safetensors(path)[0])
    return tensors


def _read_pickled(path: Path) -> dict[str, Tensor]:
    """A published PyTorch file; the restricted unpickler makes nothing but tensors."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InterlaceError(f"{path} holds more than tensors and is not opened") from None
    return state.get("state_dict", state)
