"""Committing the rows of a build as they come, so that a kill loses only the last few."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from interlace.search.table import PhotoTable, rows

#: A commit follows after so many rows or so many seconds, whichever comes first.
ROWS = 1024
SECONDS = 10.0


class Writer:
    """Collects rows and commits them in a thread of its own, one commit after the other.

    Args:
        table: the gallery's table.
        dim: E, the length of a vector.
        known: keys that have a row already, which is replaced.
    """

    def __init__(self, table: PhotoTable, dim: int, known: Collection[str]) -> None:
        self._table, self._dim, self._known = table, dim, known
        self._rows: list[Mapping[str, Any]] = []
        self._since = time.monotonic()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="interlace-commit")
        self._running: Future[None] | None = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._commit()  # also after an error: what was encoded is not lost
            self._wait()
        finally:
            self._pool.shutdown()

    def put(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take rows; they are in the table when the context ends, at the latest."""
        self._rows += rows
        due = time.monotonic() - self._since >= SECONDS
        if len(self._rows) >= ROWS or due:
            self._commit()

    def _commit(self) -> None:
        self._wait()
        batch, self._rows, self._since = self._rows, [], time.monotonic()
        if batch:
            self._running = self._pool.submit(self._write, batch)

    def _write(self, batch: list[Mapping[str, Any]]) -> None:
        for replaces, write in ((False, self._table.add), (True, self._table.replace)):
            own = [row for row in batch if (row["path"] in self._known) is replaces]
            if own:
                write(rows(own, self._dim))

    def _wait(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            running.result()
