"""Tiny copies of the standard benchmarks, each in its exact layout."""

import json
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

from PIL import Image

WORDNET = {
    "n01440764": "tench",
    "n01443537": "goldfish",
    "n01484850": "great white shark",
    "n01491361": "tiger shark",
    "n01494475": "hammerhead shark",
}

COUNTS = {"train": 3, "val": 2, "test": 2}

# data set: folder, images, list, and (class folder, class name) in the order of the labels
SPLIT_JSON: Mapping[str, tuple[str, str, str, tuple[tuple[str, str], ...]]] = {
    "caltech101": (
        "caltech-101",
        "101_ObjectCategories",
        "split_zhou_Caltech101.json",
        (("Faces", "face"), ("airplanes", "airplane"), ("wild_cat", "wild_cat")),
    ),
    "oxford_pets": (
        "oxford_pets",
        "images",
        "split_zhou_OxfordPets.json",
        (("Abyssinian", "abyssinian"), ("american_bulldog", "american_bulldog")),
    ),
    "stanford_cars": (
        "stanford_cars",
        ".",
        "split_zhou_StanfordCars.json",
        (("cars_train", "2000 AM General Hummer SUV"), ("cars_test", "2012 Acura RL Sedan")),
    ),
    "oxford_flowers": (
        "oxford_flowers",
        "jpg",
        "split_zhou_OxfordFlowers.json",
        # numbered against the alphabet
        (("a", "pink primrose"), ("b", "hard-leaved pocket orchid"), ("c", "canterbury bells")),
    ),
    "food101": (
        "food-101",
        "images",
        "split_zhou_Food101.json",
        (("apple_pie", "apple_pie"), ("baby_back_ribs", "baby_back_ribs")),
    ),
    "sun397": (
        "sun397",
        "SUN397",
        "split_zhou_SUN397.json",
        (("a/abbey", "abbey"), ("b/bakery/shop", "shop bakery")),
    ),
    "dtd": (
        "dtd",
        "images",
        "split_zhou_DescribableTextures.json",
        (("banded", "banded"), ("zigzagged", "zigzagged")),
    ),
    "eurosat": (
        "eurosat",
        "2750",
        "split_zhou_EuroSAT.json",
        (
            ("AnnualCrop", "Annual Crop Land"),
            ("Forest", "Forest"),
            ("SeaLake", "Sea or Lake"),
        ),
    ),
    "ucf101": (
        "ucf101",
        "UCF-101-midframes",
        "split_zhou_UCF101.json",
        (("Apply_Eye_Makeup", "Apply_Eye_Makeup"), ("Yo_Yo", "Yo_Yo")),
    ),
}


def image_bytes(color: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8), (color % 256, color * 7 % 256, color * 31 % 256)).save(buffer, "PNG")
    return buffer.getvalue()


def put(path: Path, color: int = 250) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image_bytes(color))


def split_json(root: Path, name: str) -> None:
    folder, images, lists, classes = SPLIT_JSON[name]
    content: dict[str, list[list[object]]] = {}
    color = 0
    for part, count in COUNTS.items():
        content[part] = []
        for label, (own, class_name) in enumerate(classes):
            for number in range(count):
                key = f"{own}/{part}_{number}.jpg"
                content[part].append([key, label, class_name])
                put(root / folder / images / key, color := color + 1)
    (root / folder / lists).write_text(json.dumps(content))


def aircraft(root: Path) -> None:
    folder, number = root / "fgvc_aircraft", 0
    variants = ("707-320", "A300B4", "Boeing 717")
    for part, count in COUNTS.items():
        lines = []
        for variant in variants:
            for _ in range(count):
                number += 1
                put(folder / "images" / f"{number:07}.jpg", number)
                lines.append(f"{number:07} {variant}")
        (folder / f"images_variant_{part}.txt").write_text("\n".join(lines) + "\n")
    (folder / "variants.txt").write_text("\n".join(variants) + "\n")


def class_names(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = (f"{number} {name}\n" for number, name in WORDNET.items())
    (folder / "classnames.txt").write_text("".join(lines))


def imagenet(root: Path) -> None:
    class_names(root / "imagenet")
    for color, number in enumerate(WORDNET):
        for i in range(3):
            put(root / f"imagenet/images/train/{number}/{number}_{i}.JPEG", 10 * color + i)
        put(root / f"imagenet/images/val/{number}/ILSVRC2012_val_{color:08}.JPEG", 100 + color)


def imagenet_v2(root: Path) -> None:
    class_names(root / "imagenetv2")
    images = root / "imagenetv2" / "imagenetv2-matched-frequency-format-val"
    for label in range(len(WORDNET)):
        put(images / str(label) / "0a1b.jpeg", 150 + label)


def sketch(root: Path) -> None:
    class_names(root / "imagenet-sketch")
    for number in WORDNET:
        put(root / "imagenet-sketch" / "images" / number / "sketch_0.JPEG")


def adversarial(root: Path) -> None:
    class_names(root / "imagenet-adversarial")
    images = root / "imagenet-adversarial" / "imagenet-a"
    for number in ("n01443537", "n01494475"):
        put(images / number / "0.00_fox.jpg")
    (images / "README.txt").write_text("about the images")


def rendition(root: Path) -> None:
    # the class names are those beside ImageNet
    class_names(root / "imagenet")
    for number in ("n01484850", "n01440764"):
        put(root / "imagenet-rendition" / "imagenet-r" / number / "art_0.jpg")
    (root / "imagenet-rendition" / "imagenet-r" / "README.txt").write_text("about the images")


def _json_maker(name: str) -> Callable[[Path], None]:
    return lambda root: split_json(root, name)


MAKERS: Mapping[str, Callable[[Path], None]] = {
    **{name: _json_maker(name) for name in SPLIT_JSON},
    "fgvc_aircraft": aircraft,
    "imagenet": imagenet,
    "imagenetv2": imagenet_v2,
    "imagenet-sketch": sketch,
    "imagenet-a": adversarial,
    "imagenet-r": rendition,
}
