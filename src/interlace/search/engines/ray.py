"""Embedding on a Ray cluster: Ray Data hands units to encoders, which write their part files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from interlace._util.ray_cluster import connected
from interlace.errors import InterlaceError
from interlace.search.encoder import Encoder, ModelId
from interlace.search.parts import VectorParts
from interlace.search.sources import Unit
from interlace.search.worker import Worker

#: Cores of an encoder that has no GPU, where the cluster has as many.
CORES = 4


class Embedder:
    """An encoder on one machine of the cluster; Ray Data makes it once and feeds it units."""

    def __init__(
        self,
        model: ModelId,
        parts: VectorParts,
        units: Mapping[int, Unit],
        device: str,
        settings: dict[str, Any],
    ) -> None:
        self._parts, self._units, self._error = parts, units, ""
        try:
            encoder = Encoder(model.source, device)
            if encoder.id.hash != model.hash:
                raise InterlaceError(f"a machine of the cluster loads {encoder.id} for {model}")
            self._worker = Worker(encoder, **settings)
        except InterlaceError as error:
            self._error = str(error)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        """Embed units; an error is handed on, since Ray would wrap it into a long traceback."""
        images, errors = [], []
        for number in batch["item"].tolist():
            count, error = 0, self._error
            if not error:
                try:
                    count = self._parts.write(number, *self._worker.embed(self._units[number]))
                except InterlaceError as problem:
                    error = str(problem)
            images.append(count)
            errors.append(error)
        return {"images": images, "error": errors}


def run(
    model: ModelId,
    parts: VectorParts,
    remaining: Sequence[tuple[int, Unit]],
    device: str,
    settings: dict[str, Any],
) -> Iterator[int]:
    """Embed units on the cluster; the number of images of each as it is finished.

    Args:
        model: the model, which every machine loads by itself.
        parts: where the part files are written.
        remaining: units that have no part file yet, with their numbers.
        device: where the encoders compute.
        settings: arguments of :class:`~interlace.search.worker.Worker`.

    Raises:
        InterlaceError: if Ray is not installed, its cluster cannot be reached, or a unit cannot be
            embedded.
    """
    if not remaining:
        return
    if not model.source:
        raise InterlaceError("engine ray needs a model by name or folder: others load it again")
    with connected() as ray:
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        numbers = [number for number, _ in remaining]
        encoders, needs = _share(ray.cluster_resources(), len(remaining), device)
        embedded = ray.data.from_items(numbers, override_num_blocks=len(remaining)).map_batches(
            Embedder,
            fn_constructor_args=(model, parts, dict(remaining), device, settings),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=encoders),
            num_cpus=needs["num_cpus"],
            num_gpus=needs["num_gpus"],
        )
        try:
            for row in embedded.iter_rows():
                if row["error"]:
                    raise InterlaceError(row["error"])
                yield int(row["images"])
        except ray.exceptions.RayError as error:
            last = (str(error).strip().splitlines() or [""])[-1]
            raise InterlaceError(f"Ray failed: {type(error).__name__}: {last}") from None


def _share(resources: Mapping[str, float], units: int, device: str) -> tuple[int, dict[str, float]]:
    """Return how many encoders the cluster takes, and what each needs of it."""
    gpus = 0 if device == "cpu" else int(resources.get("GPU", 0))
    cores = max(1, int(resources.get("CPU", 1)) - 1)  # one is left for Ray Data itself
    if gpus:
        return min(gpus, units), {"num_cpus": max(1, cores // gpus), "num_gpus": 1}
    own = min(CORES, cores)
    return max(1, min(cores // own, units)), {"num_cpus": own, "num_gpus": 0}
