"""Where a checkpoint's files come from: a local folder or a repository of the Hugging Face hub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from interlace._util.text import first_line, printable
from interlace.errors import InterlaceError


class CheckpointFiles(Protocol):
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
        """Return a local path of ``file``, or None where the place has no such file."""
        ...


@dataclass(frozen=True)
class LocalFolder:
    """A folder on this machine; nothing is fetched."""

    folder: Path
    cache_dir: None = None

    @property
    def name(self) -> str:
        """The folder's path."""
        return printable(str(self.folder))

    @property
    def tokenizer_source(self) -> Path:
        """The folder."""
        return self.folder

    def find(self, file: str) -> Path | None:
        """Return a local path of ``file``, or None where the folder has no such file."""
        path = self.folder / file
        return path if os.path.isfile(path) else None


@dataclass(frozen=True)
class HubRepository:
    """A repository of the Hugging Face hub; files are fetched once and kept in its cache."""

    repository: str
    cache_dir: str | None = None

    @property
    def name(self) -> str:
        """The repository's name."""
        return printable(self.repository)

    @property
    def tokenizer_source(self) -> str:
        """The repository's name."""
        return self.repository

    def find(self, file: str) -> Path | None:
        """Return a local path of ``file``, or None where the repository has no such file.

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
            reason = first_line(error)
        except EntryNotFoundError:
            return None
        except Exception as error:  # the hub's client raises those of whatever carries it
            reason = f"{type(error).__name__}: {first_line(error)}"
        shown = printable(self.repository)
        raise InterlaceError(f"cannot fetch {file!r} of {shown!r}: {reason}")

    def _was_fetched(self) -> bool:
        from huggingface_hub import try_to_load_from_cache

        return any(
            isinstance(try_to_load_from_cache(self.repository, file, self.cache_dir), str)
            for file in ("config.json", "open_clip_config.json")
        )
