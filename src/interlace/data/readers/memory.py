"""Read labelled images that a program holds: torch data sets, arrays, PIL images.

An image that comes as values is held as a PPM: the same pixels are then the same bytes, whatever
library version wrote them, so that a digest means the same picture wherever it is made.
"""

import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from interlace._util.text import first_line, printable
from interlace.data.images.decode import open_image, verify_image
from interlace.data.names import resolve_class_names
from interlace.data.readers.folder import twins
from interlace.data.records import Record
from interlace.data.source import Source
from interlace.errors import InterlaceError, UnreadableImage

_ACCEPTED = (
    "a PIL image, a path, encoded bytes, or uint8 values of shape [H, W], [H, W, 1|3|4] or "
    "[1|3, H, W]"
)


class MapDataset(Protocol):
    """A map-style data set: item ``i`` is an image and its label."""

    def __len__(self) -> int:
        """Count the images."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """Return an image and its label."""
        ...


class Pairs:
    """Images and labels side by side, as a map-style data set.

    Raises:
        InterlaceError: There are not as many labels as images, or these cannot be counted.
    """

    def __init__(self, images: Any, labels: Any) -> None:
        for what, given in (("images", images), ("labels", labels)):
            if not hasattr(given, "__len__") or not hasattr(given, "__getitem__"):
                raise InterlaceError(f"{what}: a {type(given).__name__}, not a list or an array")
        if len(images) != len(labels):
            raise InterlaceError(f"{len(images)} images and {len(labels)} labels")
        self._images, self._labels = images, labels

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._images[index], self._labels[index]


def read_datasets(
    parts: Mapping[str, MapDataset], class_names: Sequence[str] | None, name: str
) -> Source:
    """Read every image of map-style data sets once, and hold it.

    Args:
        parts: Data sets by part: ``"train"``, from which shots are drawn, and ``"test"``.
        class_names: Names of the classes, which the labels index; None takes the attribute
            ``classes`` of the first data set.
        name: What the source is called.

    Returns:
        The images. Their keys are made of label and content, so that they outlive re-ordering.

    Raises:
        InterlaceError: Something is not as described; the message names the image by its index.
    """
    if class_names is None:
        class_names = getattr(next(iter(parts.values())), "classes", None)
        if class_names is None:
            raise InterlaceError(f"{name}: class_names: the data set does not name its classes")
    if isinstance(class_names, str) or not isinstance(class_names, Sequence | np.ndarray):
        raise InterlaceError(f"{name}: class_names: must be a list of names")
    numbers = [str(label) for label in range(len(class_names))]
    classes = resolve_class_names(numbers, [*class_names], numbered=True)
    if len(classes) < 2:
        raise InterlaceError(f"{name}: {len(classes)} classes: at least two are needed")
    prefixes = {part: f"{part}/" if len(parts) > 1 else "" for part in parts}
    pools = {
        part: _records(own, len(classes), prefixes[part], f"{name}, {prefixes[part]}")
        for part, own in parts.items()
    }
    every = [record for own in pools.values() for record in own]
    return Source(
        name,
        classes,
        pools,
        cleaned=True,
        order="label",
        notes=tuple(twins(every, classes)),
    )


def _records(dataset: MapDataset, n_classes: int, prefix: str, where: str) -> list[Record]:
    try:
        count = len(dataset)
    except TypeError:
        raise InterlaceError(
            f"{where.rstrip(', /')}: has no length: it must be a map-style data set, with len() "
            "and an index"
        ) from None
    records: list[Record] = []
    met: Counter[str] = Counter()
    for index in range(count):
        name = f"{where}image {index}"
        image, label = _item(dataset, index, name)
        number = _label(label, n_classes, name)
        record = Record(_held(image, name), number, "")
        key = f"{prefix}{number}/{record.digest()}"
        met[key] += 1
        # copies of one picture in one class are told apart by number: nothing else differs
        key += f"#{met[key]}" if met[key] > 1 else ""
        records.append(Record(record.image, number, key))
    if not records:
        raise InterlaceError(f"{where.rstrip(', /')}: there are no images")
    return records


def _item(dataset: MapDataset, index: int, name: str) -> tuple[Any, Any]:
    try:
        item = dataset[index]
    except Exception as error:  # whatever somebody else's data set raises
        raise InterlaceError(f"{name}: {type(error).__name__}: {first_line(error)}") from None
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise InterlaceError(f"{name}: a {type(item).__name__}, not a pair of image and label")
    return item[0], item[1]


def _label(value: Any, n_classes: int, name: str) -> int:
    try:
        if "bool" in str(getattr(value, "dtype", type(value).__name__)):
            raise TypeError
        label = operator.index(value)
    except (TypeError, ValueError):
        raise InterlaceError(
            f"{name}: label {printable(repr(value))[:40]}: must be a whole number"
        ) from None
    if not 0 <= label < n_classes:
        raise InterlaceError(f"{name}: label {label}: there are {n_classes} classes, from 0")
    return label


def _held(image: Any, name: str) -> Path | bytes:
    """Return what a record holds of an image: its path, or bytes that decode to its pixels."""
    try:
        if isinstance(image, str | Path):
            verify_image(image)
            return Path(image)
        if isinstance(image, bytes):
            verify_image(image)
            return image
        if not isinstance(image, Image.Image):
            image = _from_values(image)
        return _encoded(open_image(image))
    except UnreadableImage as error:
        raise InterlaceError(f"{name}: {error.reason}") from None
    except InterlaceError as error:
        raise InterlaceError(f"{name}: {error}") from None


def _from_values(values: Any) -> Image.Image:
    """Make a PIL image of uint8 values.

    Raises:
        InterlaceError: They are of another type, of which nothing is rounded or scaled by guess, or
            have another shape.
    """
    dtype = str(getattr(values, "dtype", type(values).__name__)).removeprefix("torch.")
    if dtype != "uint8":
        hint = ""
        if "float" in dtype:
            hint = "; leave out ToTensor and normalisation: they are the model's own"
        raise InterlaceError(f"{dtype}: must be {_ACCEPTED}{hint}")
    array = np.asarray(values.cpu() if hasattr(values, "cpu") else values)
    shape = list(array.shape)
    channels_last = array.ndim == 2 or (array.ndim == 3 and shape[-1] in (1, 3, 4))
    channels_first = array.ndim == 3 and shape[0] in (1, 3)
    if array.size == 0 or not (channels_last or channels_first):
        raise InterlaceError(f"shape {shape}: must be {_ACCEPTED}")
    if channels_last and channels_first:
        raise InterlaceError(f"shape {shape}: it does not say which side is the channels")
    if channels_first:
        array = np.moveaxis(array, 0, -1)
    if array.shape[2:] == (1,):
        array = array[..., 0]
    return Image.fromarray(np.ascontiguousarray(array))


def _encoded(image: Image.Image) -> bytes:
    return b"P6 %d %d 255\n" % image.size + image.tobytes()
