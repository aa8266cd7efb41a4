"""Everything random in a fit, in one place.

| what | follows from | drawn by |
|---|---|---|
| shots, initial values of a method | the seed | ``data``; ``adaptation.fit.ready`` |
| order of an epoch, and so its batches | (seed, epoch) | :func:`global_batches` |
| augmentation of an image | (seed, epoch, index of the image) | ``data.images.loader.batches`` |
| dropout | (seed, epoch), then one stream in the order of the steps | :func:`dropout_stream` |

Nothing else draws, and the global generators are neither read nor moved. So an epoch does not
depend on the epochs before it (an interrupted fit resumes to the same bits), nor on how many
processes read images.

Nor need it depend on how many processes train. :func:`global_batches` knows of one only: the
batches of an epoch, as lists of indices of images. A process of several takes its :func:`shard` of
each, its images are augmented as they would be elsewhere, and the batch is whole again once the
shards are joined in the order of their ranks. Two things are left to whoever adds such training:
a loss is a mean over images, so gradients are to be averaged with the sizes of the shards as
weights; and dropout has a single stream, which every process draws alike: right for masks over
texts, which all processes compute, while those over images then differ from a single process's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from interlace.config import TrainConfig
from interlace.data.images.loader import epoch_order, grouped_order
from interlace.data.records import Record


def global_batches(
    records: Sequence[Record], config: TrainConfig, seed: int, epoch: int
) -> list[list[int]]:
    """Return the batches of an epoch: indices of the images, in the order of the steps.

    The same whatever the number of processes.

    Args:
        records: the images to draw from, each of which comes once.
        config: its ``batch_size``, ``drop_last`` and how it samples.
        seed: of the run.
        epoch: 0-based.
    """
    if config.groups:
        order = grouped_order(records, config.per_class, (seed, epoch))
    else:
        order = epoch_order(len(records), (seed, epoch))
    size, steps = config.batch_size, steps_per_epoch(len(records), config)
    return [list(order[step * size : (step + 1) * size]) for step in range(steps)]


def steps_per_epoch(count: int, config: TrainConfig) -> int:
    """Return how many batches an epoch of ``count`` images has.

    Args:
        count: images.
        config: its ``batch_size`` and ``drop_last``.
    """
    full, rest = divmod(count, config.batch_size)
    # a batch that is not full is kept where it is the only one: one shot of ten classes, say
    return full + bool(rest and not (config.drop_last and full))


def shard(batch: Sequence[int], rank: int, world: int) -> list[int]:
    """Return the part of a global batch that one of several processes takes.

    Consecutive images, so that those of one class stay together; sizes differ by one at most, and
    a batch smaller than ``world`` leaves some processes none.

    Args:
        batch: indices of the whole batch.
        rank: 0-based number of the process.
        world: number of processes.

    Raises:
        ValueError: if there is no such process.
    """
    if not 0 <= rank < world:
        raise ValueError(f"rank {rank} of {world} processes")
    first, last = (len(batch) * number // world for number in (rank, rank + 1))
    return list(batch[first:last])


@contextmanager
def dropout_stream(seed: int, epoch: int) -> Iterator[None]:
    """Give an epoch its stream of random numbers, and the generators their state back after it.

    Args:
        seed: of the run.
        epoch: 0-based.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed * 100_003 + epoch)
        yield
