"""The data sets of the field, read where the field keeps them on disk.

The tree is the one of CoOp (Zhou et al., "Learning to Prompt for Vision-Language Models", 2022,
https://arxiv.org/abs/2109.01134): one folder per data set below a data root, and lists that say
which images train, validate and test. ``docs/data.md`` shows it.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from interlace._util.reading import parse_json, read_text
from interlace._util.text import count_of, printable
from interlace.data.readers.folder import class_folders
from interlace.data.readers.walk import walk
from interlace.data.records import Record, Skipped
from interlace.data.source import DEFAULT_TEMPLATE, Source
from interlace.errors import InterlaceError

ROOT_VARIABLE = "INTERLACE_DATA"
"""Environment variable that names the data root."""

_LISTS = "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"
_CLASS_NAMES = "classnames.txt"


@dataclass(frozen=True, slots=True)
class Totals:
    """Numbers that a complete copy of a data set has.

    Attributes:
        classes: Number of classes.
        train: Training images; None where there are none.
        val: Images set apart for validation; None where there are none.
        base: Test images of the base classes: the first ceil(classes / 2) labels.
        novel: Test images of the other classes. Both None where only their sum is known.
        test: Test images.
    """

    classes: int
    train: int | None
    val: int | None
    base: int | None
    novel: int | None
    test: int


@dataclass(frozen=True, slots=True)
class BenchmarkDataset:
    """A data set of the field.

    Attributes:
        name: Its name, such as ``"eurosat"``.
        title: Its name as papers write it.
        folder: Its folder below the data root.
        images: Where its images are, below ``folder``; its lists name images relative to this.
        lists: Files below ``folder`` without which it cannot be read.
        read: Reads classes and the images of each part from the folder.
        totals: What a complete copy has.
        images_from: Where to get the images.
        lists_from: Where to get the lists.
        template: The prompt the field uses for it.
        aliases: Other names it is asked for by.
        needs: Folders below ``folder`` that must be there; ``images`` if none is named.
    """

    name: str
    title: str
    folder: str
    images: str
    lists: tuple[str, ...]
    read: Callable[["BenchmarkDataset", Path], "Listing"]
    totals: Totals
    images_from: str
    lists_from: str = _LISTS
    template: str = DEFAULT_TEMPLATE
    aliases: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def missing(self, root: Path) -> tuple[str, ...]:
        """List what is not below the data root, each with where to get it."""
        folder = root / self.folder
        wanted = [(folder / name, self.images_from) for name in self.needs or (self.images,)]
        wanted += [
            (folder / name, self.lists_from)
            for name in self.lists
            if name != _CLASS_NAMES or not os.path.exists(_shared_names(folder))
        ]
        return tuple(
            f"{path}: get it from {where}" for path, where in wanted if not os.path.exists(path)
        )


@dataclass(frozen=True, slots=True)
class Listing:
    """Class names, which labels index; the images of each part as (key, label, path); notes."""

    classes: tuple[str, ...]
    parts: Mapping[str, Sequence[tuple[str, int, Path]]]
    notes: tuple[str, ...] = ()


def benchmark_names() -> tuple[str, ...]:
    """List the data sets of the field, in the field's order."""
    return tuple(BENCHMARKS)


def find_benchmark(name: str) -> BenchmarkDataset | None:
    """Find a data set by its name in any common spelling: ``OxfordPets``, ``oxford-pets``, ..."""
    wanted = _plain(name)
    for entry in BENCHMARKS.values():
        if wanted in {_plain(own) for own in (entry.name, entry.title, *entry.aliases)}:
            return entry
    return None


def data_root(root: Path | str | None = None) -> Path | None:
    """Return the data root: ``root``, or what the environment variable INTERLACE_DATA says."""
    chosen = root or os.environ.get(ROOT_VARIABLE)
    return Path(chosen).expanduser() if chosen else None


def read_field(
    entry: BenchmarkDataset, root: Path | str | None = None, strict: bool = False
) -> Source:
    """Read a data set of the field. Its images are not decoded.

    Args:
        entry: The data set.
        root: The data root; None takes the environment variable INTERLACE_DATA.
        strict: Whether an image that is listed and not there is an error instead of being skipped.

    Returns:
        Its images, whose keys are their paths in the lists, and whose labels are the field's.

    Raises:
        InterlaceError: No data root is known, a folder or list is not there or cannot be read, or
            ``strict`` is set and an image is missing.
    """
    base = data_root(root)
    if base is None:
        raise InterlaceError(
            f"{entry.title}: where is it? Give the data root (--data-root, root=...) or set "
            f"{ROOT_VARIABLE}: the folder that holds {entry.folder}/"
        )
    missing = entry.missing(base)
    if missing:
        raise InterlaceError(f"{entry.title} is not complete: no {'; no '.join(missing)}")
    listing = entry.read(entry, base / entry.folder)
    there = _Presence()
    pools: dict[str, Sequence[Record]] = {}
    skipped: list[Skipped] = []
    for part, images in listing.parts.items():
        present = [there(path) for _, _, path in images]
        rows = list(zip(images, present, strict=True))
        pools[part] = [
            Record(path, label, key) for (key, label, path), is_there in rows if is_there
        ]
        skipped += [Skipped(key, "no such file") for (key, _, _), is_there in rows if not is_there]
    if strict and listing.notes:
        raise InterlaceError(f"{entry.title}: {listing.notes[0]}")
    if strict and skipped:
        raise InterlaceError(
            f"{entry.title}: {len(skipped)} images are listed but not in "
            f"{base / entry.folder / entry.images}: the first is {skipped[0].key}"
        )
    return Source(
        name=entry.name,
        classes=listing.classes,
        pools=pools,
        template=entry.template,
        description=f"{entry.title}, {entry.totals.classes} classes",
        skipped=tuple(skipped),
        cleaned=True,
        order="label",
        published=True,
        problems=listing.notes,
    )


class _Presence:
    """Whether files exist, with one look into each folder instead of one at each file."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def __call__(self, path: Path) -> bool:
        folder, name = os.path.split(path)
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._names[folder] = frozenset()
        return name in self._names[folder]


def _split_json(entry: BenchmarkDataset, folder: Path) -> Listing:
    """Read ``{"train": [[image, label, class name], ...], "val": ..., "test": ...}``."""
    path = folder / entry.lists[0]
    images = folder / entry.images
    try:
        content = parse_json(read_text(path), str(path))
    except InterlaceError as error:
        raise _no_list(path, str(error).removeprefix(f"{path}: ")) from None
    if not isinstance(content, dict):
        raise _no_list(path, "no JSON object")
    rows = {part: [_listed(row, path) for row in _list(content, part, path)] for part in _PARTS}
    names: dict[int, str] = {}
    for key, label, name in (row for part in rows.values() for row in part):
        if names.setdefault(label, name) != name:
            raise InterlaceError(
                f"{path}: label {label} is '{names[label]}' and, at {key}, '{name}'"
            )
    parts = {
        part: [(key, label, images / key) for key, label, _ in own] for part, own in rows.items()
    }
    return Listing(_in_order(names, path), parts)


_PARTS = ("train", "val", "test")


def _list(content: Mapping[str, object], part: str, path: Path) -> list[object]:
    rows = content.get(part)
    if not isinstance(rows, list):
        raise _no_list(path, f"no list under '{part}'")
    return rows


def _listed(row: object, path: Path) -> tuple[str, int, str]:
    """Read an image of a list; it must lie below the folder of the images."""
    if isinstance(row, list) and len(row) == 3:
        key, label, name = row
        if isinstance(key, str) and type(label) is int and label >= 0 and isinstance(name, str):
            key = key.lstrip("/")
            if key and "\0" not in key and ".." not in key.split("/"):
                return key, label, name
    raise _no_list(path, f"'{printable(repr(row))[:80]}'")


def _no_list(path: Path, what: str) -> InterlaceError:
    return InterlaceError(
        f"{path}: not a split file of the field, which lists [image, label, class name] under "
        f"train, val and test ({what})"
    )


def _in_order(names: Mapping[int, str], path: Path) -> tuple[str, ...]:
    absent = next((label for label in range(len(names)) if label not in names), None)
    if absent is not None:
        raise InterlaceError(f"{path}: no image has label {absent}")
    # the one change the field's own code makes to names before they enter a prompt
    return tuple(names[label].replace("_", " ") for label in sorted(names))


def _aircraft(entry: BenchmarkDataset, folder: Path) -> Listing:
    """Read the lists of FGVC-Aircraft: variants, and ``<image> <variant>`` lines for each part."""
    classes = tuple(_lines(folder / "variants.txt"))
    label_of = {name: label for label, name in enumerate(classes)}
    parts: dict[str, list[tuple[str, int, Path]]] = {}
    for part in ("train", "val", "test"):
        path = folder / f"images_variant_{part}.txt"
        images: list[tuple[str, int, Path]] = []
        for line in _lines(path):
            image, _, variant = line.partition(" ")
            if variant not in label_of:
                raise InterlaceError(f"{path}: '{line}': variants.txt has no '{variant}'")
            key = f"{image}.jpg"
            images.append((key, label_of[variant], folder / entry.images / key))
        parts[part] = images
    return Listing(classes, parts)


def _imagenet(entry: BenchmarkDataset, folder: Path) -> Listing:
    """Read ImageNet: class folders by WordNet number; its validation images are the test."""
    names = _wordnet_names(folder)
    wordnet = sorted(names)
    images = folder / entry.images
    parts = {
        part: list(_class_images(images, images / own, wordnet))
        for part, own in (("train", "train"), ("test", "val"))
    }
    notes = []
    if not parts["test"]:
        loose = count_of(_loose(images / "val"), "loose file")
        notes.append(
            f"{images / 'val'} has no class folders ({loose}), so there are no test images: sort "
            f"them into folders such as {wordnet[0] if wordnet else 'n01440764'}/"
        )
    return Listing(tuple(names[number] for number in wordnet), parts, tuple(notes))


def _wordnet_test(entry: BenchmarkDataset, folder: Path) -> Listing:
    """Read class folders by WordNet number that only test: all 1000, or a part of them.

    The classes are those that have a folder. ImageNet-A and -R so answer among their own 200.
    """
    names = _wordnet_names(folder)
    images = folder / entry.images
    wordnet = [number for number in class_folders(images) if re.fullmatch(r"n\d{8}", number)]
    unknown = sorted(set(wordnet) - set(names))
    if unknown:
        raise InterlaceError(f"{images / unknown[0]}: {_CLASS_NAMES} has no {unknown[0]}")
    found = list(_class_images(images, images, wordnet))
    return Listing(tuple(names[number] for number in wordnet), {"test": found})


def _numbered_test(entry: BenchmarkDataset, folder: Path) -> Listing:
    """Read ImageNetV2: class folders 0 to 999, numbered as the sorted WordNet numbers are."""
    names = _wordnet_names(folder)
    images = folder / entry.images
    numbers = [str(label) for label in range(len(names))]
    found = list(_class_images(images, images, numbers))
    return Listing(tuple(names[number] for number in sorted(names)), {"test": found})


def _class_images(
    base: Path, parent: Path, folders: Sequence[str]
) -> Iterable[tuple[str, int, Path]]:
    """Walk class folders, whose positions are the labels; keys are relative to ``base``."""
    for label, folder in enumerate(folders):
        if (parent / folder).is_dir():
            for path in walk(parent / folder).images:
                yield path.relative_to(base).as_posix(), label, path


def _loose(folder: Path) -> int:
    """Count files that lie in a folder itself, where class folders are expected."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.is_file() and not entry.name.startswith(".") for entry in entries)
    except OSError:
        return 0


def _shared_names(folder: Path) -> Path:
    """Return the class names of ImageNet, which its relatives may use in place of a copy."""
    return folder.parent / "imagenet" / _CLASS_NAMES


def _wordnet_names(folder: Path) -> dict[str, str]:
    """Read lines such as ``n01440764 tench``."""
    own = folder / _CLASS_NAMES
    path = own if os.path.exists(own) else _shared_names(folder)
    names: dict[str, str] = {}
    for line in _lines(path):
        number, _, name = line.partition(" ")
        if not re.fullmatch(r"n\d{8}", number) or not name.strip():
            raise InterlaceError(f"{path}: '{line}': expected a line such as 'n01440764 tench'")
        names[number] = name.strip()
    return names


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def _plain(name: str) -> str:
    # dots and slashes stay, so that "./eurosat" is a path
    return re.sub(r"[-_ ]", "", name.lower())


_SETS = (
    BenchmarkDataset(
        name="imagenet",
        title="ImageNet",
        folder="imagenet",
        images="images",
        lists=(_CLASS_NAMES,),
        needs=("images/train", "images/val"),
        read=_imagenet,
        totals=Totals(1000, 1_281_167, None, 25_000, 25_000, 50_000),
        images_from="https://image-net.org/download (ILSVRC2012)",
    ),
    BenchmarkDataset(
        name="caltech101",
        title="Caltech101",
        folder="caltech-101",
        images="101_ObjectCategories",
        lists=("split_zhou_Caltech101.json",),
        read=_split_json,
        totals=Totals(100, 4_128, 1_649, 1_549, 916, 2_465),
        images_from="https://data.caltech.edu/records/mzrjq-6wc02",
    ),
    BenchmarkDataset(
        name="oxford_pets",
        title="OxfordPets",
        folder="oxford_pets",
        images="images",
        lists=("split_zhou_OxfordPets.json",),
        read=_split_json,
        totals=Totals(37, 2_944, 736, 1_881, 1_788, 3_669),
        images_from="https://www.robots.ox.ac.uk/~vgg/data/pets/",
        template="a photo of a {}, a type of pet.",
        aliases=("OxfordIIITPet",),
    ),
    BenchmarkDataset(
        name="stanford_cars",
        title="StanfordCars",
        folder="stanford_cars",
        images=".",
        lists=("split_zhou_StanfordCars.json",),
        needs=("cars_train", "cars_test"),
        read=_split_json,
        totals=Totals(196, 6_509, 1_635, 4_002, 4_039, 8_041),
        images_from="https://github.com/pytorch/vision/issues/7545 (the official page is gone)",
    ),
    BenchmarkDataset(
        name="oxford_flowers",
        title="OxfordFlowers",
        folder="oxford_flowers",
        images="jpg",
        lists=("split_zhou_OxfordFlowers.json",),
        read=_split_json,
        totals=Totals(102, 4_093, 1_633, 1_053, 1_410, 2_463),
        images_from="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        template="a photo of a {}, a type of flower.",
        aliases=("Flowers102",),
    ),
    BenchmarkDataset(
        name="food101",
        title="Food101",
        folder="food-101",
        images="images",
        lists=("split_zhou_Food101.json",),
        read=_split_json,
        totals=Totals(101, 50_500, 20_200, 15_300, 15_000, 30_300),
        images_from="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        template="a photo of {}, a type of food.",
    ),
    BenchmarkDataset(
        name="fgvc_aircraft",
        title="FGVCAircraft",
        folder="fgvc_aircraft",
        images="images",
        lists=(
            "variants.txt",
            "images_variant_train.txt",
            "images_variant_val.txt",
            "images_variant_test.txt",
        ),
        read=_aircraft,
        totals=Totals(100, 3_334, 3_333, 1_666, 1_667, 3_333),
        images_from="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
        lists_from="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
        template="a photo of a {}, a type of aircraft.",
    ),
    BenchmarkDataset(
        name="sun397",
        title="SUN397",
        folder="sun397",
        images="SUN397",
        lists=("split_zhou_SUN397.json",),
        read=_split_json,
        totals=Totals(397, 15_880, 3_970, 9_950, 9_900, 19_850),
        images_from="https://vision.princeton.edu/projects/2010/SUN/",
    ),
    BenchmarkDataset(
        name="dtd",
        title="DTD",
        folder="dtd",
        images="images",
        lists=("split_zhou_DescribableTextures.json",),
        read=_split_json,
        totals=Totals(47, 2_820, 1_128, 864, 828, 1_692),
        images_from="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
        template="{} texture.",
        aliases=("DescribableTextures",),
    ),
    BenchmarkDataset(
        name="eurosat",
        title="EuroSAT",
        folder="eurosat",
        images="2750",
        lists=("split_zhou_EuroSAT.json",),
        read=_split_json,
        totals=Totals(10, 13_500, 5_400, 4_200, 3_900, 8_100),
        images_from="https://github.com/phelber/EuroSAT (the RGB images)",
        template="a centered satellite photo of {}.",
    ),
    BenchmarkDataset(
        name="ucf101",
        title="UCF101",
        folder="ucf101",
        images="UCF-101-midframes",
        lists=("split_zhou_UCF101.json",),
        read=_split_json,
        totals=Totals(101, 7_639, 1_898, 1_934, 1_849, 3_783),
        images_from=f"{_LISTS} (the middle frame of each video)",
        template="a photo of a person doing {}.",
    ),
    BenchmarkDataset(
        name="imagenetv2",
        title="ImageNetV2",
        folder="imagenetv2",
        images="imagenetv2-matched-frequency-format-val",
        lists=(_CLASS_NAMES,),
        read=_numbered_test,
        totals=Totals(1000, None, None, 5_000, 5_000, 10_000),
        images_from="https://github.com/modestyachts/ImageNetV2",
    ),
    BenchmarkDataset(
        name="imagenet-sketch",
        title="ImageNet-Sketch",
        folder="imagenet-sketch",
        images="images",
        lists=(_CLASS_NAMES,),
        read=_wordnet_test,
        totals=Totals(1000, None, None, None, None, 50_889),
        images_from="https://github.com/HaohanWang/ImageNet-Sketch",
    ),
    BenchmarkDataset(
        name="imagenet-a",
        title="ImageNet-A",
        folder="imagenet-adversarial",
        images="imagenet-a",
        lists=(_CLASS_NAMES,),
        read=_wordnet_test,
        totals=Totals(200, None, None, None, None, 7_500),
        images_from="https://github.com/hendrycks/natural-adv-examples",
    ),
    BenchmarkDataset(
        name="imagenet-r",
        title="ImageNet-R",
        folder="imagenet-rendition",
        images="imagenet-r",
        lists=(_CLASS_NAMES,),
        read=_wordnet_test,
        totals=Totals(200, None, None, None, None, 30_000),
        images_from="https://github.com/hendrycks/imagenet-r",
    ),
)

BENCHMARKS: Mapping[str, BenchmarkDataset] = MappingProxyType(
    {entry.name: entry for entry in _SETS}
)
"""The data sets of the field by name."""
