"""Batches of images whose augmentation depends on the seed, the epoch and the sample alone."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from interlace.backbone.preprocess import Transform
from interlace.data.images.decode import add_noise, open_image
from interlace.data.records import Record
from interlace.errors import InterlaceError

DEFAULT_CACHE_BYTES = 1 << 30


class Images:
    """Decoded images of records, kept in memory while they fit.

    Args:
        records: What to decode.
        cache_bytes: Bound on the decoded images kept; those beyond it are decoded every time.
        least_side: Keeps larger images at a reduced size: see ``open_image``. With twice the side
            of a backbone's input, a random crop loses no visible detail and photos of a camera
            take a tenth of the time and of the memory. None keeps the full size, which evaluation
            needs to give exactly what other libraries give.
    """

    def __init__(
        self,
        records: Sequence[Record],
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        least_side: int | None = None,
    ) -> None:
        self.records = tuple(records)
        self._least_side = least_side
        self._left = cache_bytes
        self._cache: dict[int, Image.Image] = {}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Image.Image:
        """Decode one image.

        Raises:
            InterlaceError: The image cannot be read.
        """
        if index in self._cache:
            return self._cache[index]
        record = self.records[index]
        image = open_image(record.image, self._least_side)
        if record.noise:
            image = add_noise(image, record.noise, record.key)
        size = image.width * image.height * 3
        if size <= self._left:
            self._left -= size
            self._cache[index] = image
        return image

    def preload(self) -> None:
        """Decode images until all are in memory or the bound is reached."""
        for index in range(len(self)):
            before = len(self._cache)
            self[index]
            if len(self._cache) == before and index not in self._cache:
                return


def batches(
    images: Images | Sequence[Record],
    transform: Transform,
    batch_size: int,
    *,
    shuffle_seed: tuple[int, int] | None = None,
    index_batches: Sequence[Sequence[int]] | None = None,
    workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over images once.

    The order is a function of the seed and the epoch, and the random numbers that ``transform``
    draws from torch are a function of the seed, the epoch and the sample's index. So the batches
    do not depend on the global random state, which they leave as it was, nor on ``workers``; and a
    run that was interrupted continues with the batches it would have had.

    Args:
        images: Records, or ``Images`` to keep the decoded ones from epoch to epoch.
        transform: Makes a float32 tensor [3, H, W] of a PIL RGB image.
        batch_size: Images per batch; the last batch may be smaller.
        shuffle_seed: The seed and the epoch, or None to keep the order of the records.
        index_batches: Indices of the images of each batch, in the place of ``batch_size`` and the
            order of ``shuffle_seed``.
        workers: Processes that prepare batches; 0 uses this one.

    Yields:
        Images [B, 3, H, W], float32, and their labels [B], int64.

    Raises:
        InterlaceError: An image cannot be read, or ``batch_size`` is not positive.
    """
    if batch_size < 1:
        raise InterlaceError(f"batch size = {batch_size}: must be 1 or more")
    if not isinstance(images, Images):
        images = Images(images, cache_bytes=0)
    elif workers:
        # forked workers then share the decoded images instead of each decoding them every epoch
        images.preload()
    samples = _Samples(images, transform, shuffle_seed or (0, 0))
    if index_batches is None:
        order = epoch_order(len(images), shuffle_seed)
        index_batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    loader = DataLoader(
        samples,
        batch_sampler=[list(batch) for batch in index_batches],
        num_workers=workers,
        collate_fn=_collate,
        # without one of its own, the loader would take a number from the global generator
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, InterlaceError):
            raise batch
        yield batch


def epoch_order(count: int, shuffle_seed: tuple[int, int] | None) -> Sequence[int]:
    """Return the order of an epoch's ``count`` samples: a function of the seed and the epoch."""
    if shuffle_seed is None:
        return range(count)
    generator = torch.Generator().manual_seed(_mix(*shuffle_seed))
    return torch.randperm(count, generator=generator).tolist()


def grouped_order(
    records: Sequence[Record], per_class: int, shuffle_seed: tuple[int, int]
) -> Sequence[int]:
    """Return an order in which images of one class stand together, from several domains.

    Every image comes once. A class is dealt into groups of at most ``per_class`` images whose sizes
    differ by one at most; neighbours in a group come from different domains as long as the class
    has others left. The groups go round over the classes, each round in a random order, so that a
    batch holds different classes. A function of the seed and the epoch.

    Args:
        records: The images.
        per_class: Images of a group.
        shuffle_seed: The seed and the epoch.
    """
    random = epoch_order(len(records), shuffle_seed)
    by_class: dict[int, dict[str, list[int]]] = {}
    for index in random:
        domains = by_class.setdefault(records[index].label, {})
        domains.setdefault(records[index].domain, []).append(index)
    groups: list[tuple[int, list[int]]] = []
    for domains in by_class.values():
        rounds = zip_longest(*domains.values())
        own = [index for drawn in rounds for index in drawn if index is not None]
        count = -(-len(own) // per_class)
        edges = [len(own) * number // count for number in range(count + 1)]
        groups += [(turn, own[a:b]) for turn, (a, b) in enumerate(pairwise(edges))]
    rank = {index: position for position, index in enumerate(random)}
    groups.sort(key=lambda group: (group[0], rank[group[1][0]]))
    return [index for _, group in groups for index in group]


class _Samples(Dataset[tuple[Tensor, int] | InterlaceError]):
    """Transformed images by index, each under its own seed."""

    def __init__(self, images: Images, transform: Transform, seed_epoch: tuple[int, int]) -> None:
        self.images, self.transform, self.seed_epoch = images, transform, seed_epoch

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int] | InterlaceError:
        try:
            image = self.images[index]
        except InterlaceError as error:
            # handed on, not raised: a worker process would wrap it into a long traceback
            return error
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would also restart the accelerators' generators
            torch.default_generator.manual_seed(_mix(*self.seed_epoch, index))
            return self.transform(image), self.images.records[index].label


def _collate(
    samples: list[tuple[Tensor, int] | InterlaceError],
) -> tuple[Tensor, Tensor] | InterlaceError:
    good: list[tuple[Tensor, int]] = []
    for sample in samples:
        if isinstance(sample, InterlaceError):
            return sample
        good.append(sample)
    return torch.stack([image for image, _ in good]), torch.tensor([label for _, label in good])


def _mix(*numbers: int) -> int:
    """Hash numbers to a seed, so that neighbours in any of them share nothing."""
    digest = hashlib.sha256(repr(numbers).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
