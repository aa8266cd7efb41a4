"""Compose the sets of the suite anew: write their hashes, or look at them.

    python tools/suite.py pin                 # hashes.json of the suite, and of the tests' samples
    python tools/suite.py sheets FOLDER       # a contact sheet of each

A set that is not named in the command line is left as it is: ``pin textures prints``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image, ImageDraw

from interlace._util.files import write_json
from interlace.data.datasets.suite.compose import Composition, compose, sha256_of
from interlace.data.datasets.suite.raster import SIDE
from interlace.data.datasets.suite.table import SETS, SHIFTS

ROOT = Path(__file__).parents[1]
HASHES = ROOT / "src/interlace/data/datasets/suite/hashes.json"
SAMPLES = ROOT / "tests/data/suite_samples.json"
STEP = 24  # every so manieth image is in the hash that a fast test compares
SHOWN = 12  # images of a class on a sheet: half of them for training where there are such


def pin(names: list[str]) -> None:
    """Write the hashes of some sets, and keep those of the others."""
    found = {name: compose(name) for name in names}
    samples = {
        name: sha256_of(own.header, own.pixels[::STEP].tobytes()) for name, own in found.items()
    }
    _update(SAMPLES, samples)
    _update(HASHES, {name: own.sha256 for name, own in found.items()})


def _update(path: Path, found: dict[str, str]) -> None:
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    every = {**known, **found}
    write_json(path, {name: every[name] for name in sorted((*SETS, *SHIFTS)) if name in every})
    for name, own in found.items():
        print(f"{path.name}: {name}: {own[:12]}{'' if known.get(name) == own else ' (new)'}")


def sheet(own: Composition) -> Image.Image:
    """Draw the first training and test images of every class, a line each."""
    header = json.loads(own.header)
    images: dict[tuple[str, int], list[int]] = {}
    for index, (part, label, _, _) in enumerate(header["images"]):
        images.setdefault((part, label), []).append(index)
    cell = SIDE + 2
    page = Image.new("RGB", (120 + SHOWN * cell, len(header["classes"]) * cell), "white")
    draw = ImageDraw.Draw(page)
    for label, name in enumerate(header["classes"]):
        draw.text((2, label * cell + 18), name[:20], fill="black")
        train = images.get(("train", label), [])[: SHOWN // 2]
        shown = train + images["test", label][: SHOWN - len(train)]
        for place, index in enumerate(shown):
            page.paste(Image.fromarray(own.image(index)), (120 + place * cell, label * cell))
    return page


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    pins, sheets = commands.add_parser("pin"), commands.add_parser("sheets")
    sheets.add_argument("folder", type=Path)
    for command in (pins, sheets):
        command.add_argument("names", nargs="*", help="sets; all of them where none is named")
    asked = parser.parse_args()
    names = asked.names or [*SETS, *SHIFTS]
    if asked.command == "pin":
        pin(names)
        return
    asked.folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        sheet(Composition(name)).save(asked.folder / f"{name}.png")


if __name__ == "__main__":
    main()
