"""Cells of a grid as tasks on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from interlace._util.ray_cluster import connect
from interlace.experiments.cell import CellSpec, run_cell
from interlace.experiments.engines.local import TRIES, killed


class Ray:
    """Tasks on the cluster that ``ray start --head`` began, or on a local one this starts.

    Data must lie under the same path on every node. A task whose node dies is run on another one.

    Args:
        workers: cells at a time; by default as many as the cluster has GPUs, or else cores.
        root: the data root, for standard benchmarks.
        device: as in :func:`interlace.fit`.

    Raises:
        InterlaceError: if Ray is not installed, or there is no cluster to be had.
    """

    def __init__(
        self, workers: int | None = None, root: Path | str | None = None, device: str = "auto"
    ) -> None:
        self._ray = connect(workers)
        resources = self._ray.cluster_resources()
        gpus = resources.get("GPU", 0.0) if device in ("auto", "cuda") else 0.0
        self.workers = workers or int(gpus or resources.get("CPU", 1))
        self._root, self._device = root, device
        share = gpus / self.workers  # several cells may share a GPU, none spans two
        self._options = {
            "num_cpus": 1,
            "num_gpus": share if share < 1 else 1,
            "max_retries": TRIES - 1,
        }

    def run(
        self, specs: Sequence[CellSpec], started: Callable[[CellSpec], None]
    ) -> Iterator[dict[str, Any]]:
        """See :class:`interlace.experiments.engines.Engine`."""
        ray = self._ray
        task = ray.remote(run_cell).options(**self._options)
        waiting = list(reversed(specs))
        running: dict[Any, CellSpec] = {}
        while waiting or running:
            while waiting and len(running) < self.workers:
                spec = waiting.pop()
                started(spec)
                running[task.remote(spec, root=self._root, device=self._device, threads=1)] = spec
            for reference in ray.wait(list(running), num_returns=1)[0]:
                spec = running.pop(reference)
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayError as error:
                    yield killed(spec, f"{type(error).__name__}: {error}")
