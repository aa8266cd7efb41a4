"""Cells of a grid in processes of this machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from interlace.experiments.cell import CellSpec, failure, run_cell

#: How often a cell is tried whose process or node was killed.
TRIES = 3
#: Seconds after which a worker looks again whether the process that started it is there.
_LOOK = 1.0


class Local:
    """A process for each cell that runs at a time; each keeps the model for its next cell.

    A cell whose process is killed (by the system's guard of memory, say) is tried again in a new
    one; the third time it counts as failed. No other cell suffers.

    Args:
        workers: processes; by default one for each GPU, or one for each core.
        root: the data root, for standard benchmarks.
        device: as in :func:`interlace.fit`; with several GPUs, ``auto`` and ``cuda`` go round them.
    """

    def __init__(
        self, workers: int | None = None, root: Path | str | None = None, device: str = "auto"
    ) -> None:
        cores = os.cpu_count() or 1
        self._gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
        self.workers = workers or self._gpus or cores
        self._root, self._device = root, device
        self._threads = max(1, cores // self.workers) if self._gpus else 1

    def run(
        self, specs: Sequence[CellSpec], started: Callable[[CellSpec], None]
    ) -> Iterator[dict[str, Any]]:
        """See :class:`interlace.experiments.engines.Engine`."""
        waiting = [(spec, 1) for spec in specs]
        waiting.reverse()
        slots = [self._slot() for _ in range(min(self.workers, len(specs)))]
        running: dict[Future[dict[str, Any]], tuple[int, CellSpec, int]] = {}
        try:
            while waiting or running:
                busy = {slot for slot, _, _ in running.values()}
                for slot in range(len(slots)):
                    if slot in busy or not waiting:
                        continue
                    spec, attempt = waiting.pop()
                    started(spec)
                    future = slots[slot].submit(
                        run_cell,
                        spec,
                        root=self._root,
                        device=self._device_of(slot),
                        threads=self._threads,
                    )
                    running[future] = (slot, spec, attempt)
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    slot, spec, attempt = running.pop(future)
                    try:
                        yield future.result()
                    except BrokenProcessPool:
                        slots[slot].shutdown(wait=False)
                        slots[slot] = self._slot()
                        if attempt < TRIES:
                            waiting.append((spec, attempt + 1))
                        else:
                            yield killed(spec)
        finally:
            for executor in slots:
                executor.shutdown(cancel_futures=True)

    def _slot(self) -> ProcessPoolExecutor:
        # a pool of its own for each process: when it breaks, it is known which cell broke it
        return ProcessPoolExecutor(
            1,
            mp_context=get_context("spawn"),
            initializer=_prepare,
            initargs=(self._threads, os.getpid()),
        )

    def _device_of(self, slot: int) -> str:
        return f"cuda:{slot % self._gpus}" if self._gpus else self._device


def killed(spec: CellSpec, reason: str = "") -> dict[str, Any]:
    """Return the record of a cell whose process did not live to report."""
    message = f"the process was killed {TRIES} times; was there too little memory?"
    return failure(spec, {"type": "Killed", "message": message, "traceback": reason})


def _prepare(threads: int, parent: int) -> None:
    """In a worker process: end at once on an interrupt, or when the process that asked is gone."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(threads)


def _end_with(parent: int) -> None:
    """End this process when ``parent`` has: a killed one cannot tell its workers to."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    # nobody waits for what it does, and those that load images for it look for it in turn
    os._exit(1)
