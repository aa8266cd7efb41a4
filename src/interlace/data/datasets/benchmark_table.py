"""The standard benchmarks as data: where each lies, and what a complete copy has."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from interlace.data.datasets.benchmark_readers import (
    CLASS_NAMES,
    Listing,
    Reader,
    aircraft,
    imagenet,
    numbered_test,
    shared_names,
    split_json,
    wordnet_test,
)
from interlace.data.source import DEFAULT_TEMPLATE

SOURCE_DATA_SET = "imagenet"
"""The data set that cross-dataset and domain generalization are published from."""

CROSS_DATASET_TARGETS = (
    "caltech101",
    "oxford_pets",
    "stanford_cars",
    "oxford_flowers",
    "food101",
    "fgvc_aircraft",
    "sun397",
    "dtd",
    "eurosat",
    "ucf101",
)
"""The data sets that cross-dataset results are published on (CoCoOp, 2203.05557)."""

DOMAIN_GENERALIZATION_TARGETS = ("imagenetv2", "imagenet-sketch", "imagenet-a", "imagenet-r")
"""The ImageNet variants that domain generalization is published on (CoCoOp, 2203.05557)."""

FEW_SHOT_DATA_SETS = (SOURCE_DATA_SET, *CROSS_DATASET_TARGETS)
"""The eleven data sets of the published few-shot and base-to-novel protocols (2109.01134)."""

_LISTS = "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"


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
    """A standard benchmark.

    Attributes:
        name: Its name, such as ``"eurosat"``.
        title: Its name as papers write it.
        folder: Its folder below the data root.
        images: Where its images are, below ``folder``; its lists name images relative to this.
        lists: Files below ``folder`` without which it cannot be read.
        reader: Reads classes and the images of each part from the folder.
        totals: What a complete copy has.
        images_from: Where to get the images.
        lists_from: Where to get the lists.
        template: The prompt that is published with it.
        aliases: Other names it is asked for by.
        needs: Folders below ``folder`` that must be there; ``images`` if none is named.
    """

    name: str
    title: str
    folder: str
    images: str
    lists: tuple[str, ...]
    reader: Reader
    totals: Totals
    images_from: str
    lists_from: str = _LISTS
    template: str = DEFAULT_TEMPLATE
    aliases: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def read(self, root: Path) -> Listing:
        """Read its lists below a data root; no image is opened.

        Raises:
            InterlaceError: A list cannot be read or is not as described.
        """
        return self.reader(root / self.folder, self.images, self.lists)

    def missing(self, root: Path) -> tuple[str, ...]:
        """List what is not below the data root, each with where to get it."""
        folder = root / self.folder
        wanted = [(folder / name, self.images_from) for name in self.needs or (self.images,)]
        wanted += [
            (folder / name, self.lists_from)
            for name in self.lists
            if name != CLASS_NAMES or not os.path.exists(shared_names(folder))
        ]
        return tuple(
            f"{path}: get it from {where}" for path, where in wanted if not os.path.exists(path)
        )


_SETS = (
    BenchmarkDataset(
        name="imagenet",
        title="ImageNet",
        folder="imagenet",
        images="images",
        lists=(CLASS_NAMES,),
        needs=("images/train", "images/val"),
        reader=imagenet,
        totals=Totals(1000, 1_281_167, None, 25_000, 25_000, 50_000),
        images_from="https://image-net.org/download (ILSVRC2012)",
    ),
    BenchmarkDataset(
        name="caltech101",
        title="Caltech101",
        folder="caltech-101",
        images="101_ObjectCategories",
        lists=("split_zhou_Caltech101.json",),
        reader=split_json,
        totals=Totals(100, 4_128, 1_649, 1_549, 916, 2_465),
        images_from="https://data.caltech.edu/records/mzrjq-6wc02",
    ),
    BenchmarkDataset(
        name="oxford_pets",
        title="OxfordPets",
        folder="oxford_pets",
        images="images",
        lists=("split_zhou_OxfordPets.json",),
        reader=split_json,
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
        reader=split_json,
        totals=Totals(196, 6_509, 1_635, 4_002, 4_039, 8_041),
        images_from="https://github.com/pytorch/vision/issues/7545 (the official page is gone)",
    ),
    BenchmarkDataset(
        name="oxford_flowers",
        title="OxfordFlowers",
        folder="oxford_flowers",
        images="jpg",
        lists=("split_zhou_OxfordFlowers.json",),
        reader=split_json,
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
        reader=split_json,
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
        reader=aircraft,
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
        reader=split_json,
        totals=Totals(397, 15_880, 3_970, 9_950, 9_900, 19_850),
        images_from="https://vision.princeton.edu/projects/2010/SUN/",
    ),
    BenchmarkDataset(
        name="dtd",
        title="DTD",
        folder="dtd",
        images="images",
        lists=("split_zhou_DescribableTextures.json",),
        reader=split_json,
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
        reader=split_json,
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
        reader=split_json,
        totals=Totals(101, 7_639, 1_898, 1_934, 1_849, 3_783),
        images_from=f"{_LISTS} (the middle frame of each video)",
        template="a photo of a person doing {}.",
    ),
    BenchmarkDataset(
        name="imagenetv2",
        title="ImageNetV2",
        folder="imagenetv2",
        images="imagenetv2-matched-frequency-format-val",
        lists=(CLASS_NAMES,),
        reader=numbered_test,
        totals=Totals(1000, None, None, 5_000, 5_000, 10_000),
        images_from="https://github.com/modestyachts/ImageNetV2",
    ),
    BenchmarkDataset(
        name="imagenet-sketch",
        title="ImageNet-Sketch",
        folder="imagenet-sketch",
        images="images",
        lists=(CLASS_NAMES,),
        reader=wordnet_test,
        totals=Totals(1000, None, None, None, None, 50_889),
        images_from="https://github.com/HaohanWang/ImageNet-Sketch",
    ),
    BenchmarkDataset(
        name="imagenet-a",
        title="ImageNet-A",
        folder="imagenet-adversarial",
        images="imagenet-a",
        lists=(CLASS_NAMES,),
        reader=wordnet_test,
        totals=Totals(200, None, None, None, None, 7_500),
        images_from="https://github.com/hendrycks/natural-adv-examples",
    ),
    BenchmarkDataset(
        name="imagenet-r",
        title="ImageNet-R",
        folder="imagenet-rendition",
        images="imagenet-r",
        lists=(CLASS_NAMES,),
        reader=wordnet_test,
        totals=Totals(200, None, None, None, None, 30_000),
        images_from="https://github.com/hendrycks/imagenet-r",
    ),
)

BENCHMARKS: Mapping[str, BenchmarkDataset] = MappingProxyType(
    {entry.name: entry for entry in _SETS}
)
"""The standard benchmarks by name."""
