"""Record how time, memory and results grow with images and classes: ``scale/<name>.json``.

Small images of noise are written to a temporary folder. ``fit`` (which scores all images that are
no shots), ``embed`` and ``search build`` meet 1,000, 5,000 and 20,000 of them in 40 classes;
``fit`` and ``evaluate`` of zero-shot meet 500, 2,000 and 5,000 classes of three images. Each
command is a process of its own; its peak of memory includes the processes it starts.

What grows is said per image or class that is *added* between two sizes, so that what a start costs
drops out; processor time hardly knows what else runs on the machine. Commands compute in one thread
each: several would wait for each other where cores are shared, which counts as processor time. Flat
means that the last step costs at most 1.5 times per unit what the first did. Growth with the square
of the number would show as 4 or more.

``python benchmarks/scale/run.py NAME`` takes about 20 minutes on two cores; ``--quick`` takes two.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from interlace.experiments.cost import environment

HERE = Path(__file__).parent
#: How much more a unit may cost between the two larger sizes than between the two smaller.
FLAT = 1.5
IMAGES, CLASSES, EACH = (1_000, 5_000, 20_000), (500, 2_000, 5_000), 3
QUICK_IMAGES, QUICK_CLASSES = (200, 600, 1_800), (100, 200, 400)
FIRST = (
    "red blue green black white yellow brown grey pink purple orange golden silver old new small "
    "large tall short round square flat thin thick heavy light soft hard warm cold wet dry clean "
    "dirty wild tame young happy sad quiet loud fast slow bright dark sweet sour fresh empty full "
    "open closed broken wooden metal plastic paper glass stone cotton leather striped spotted "
    "plain fancy northern southern eastern western royal common giant tiny hollow frozen"
).split()
SECOND = (
    "dog cat horse cow sheep goat pig hen duck goose swan fox wolf bear deer lion tiger zebra fish "
    "shark whale crab snail spider bee ant tree flower grass leaf apple pear cherry lemon banana "
    "carrot onion potato bread cake cheese egg cup plate fork knife spoon table chair bed lamp "
    "door window house tower bridge road car bus train boat plane bike clock book pen ball drum "
    "guitar piano hat shoe glove coat ring key lock bag box hammer saw rope"
).split()


def images(folder: Path, classes: int, count: int) -> Path:
    """Distinct images of noise of 32 x 32 pixels, ``count`` in all, in turns in each class."""
    pairs = itertools.product(SECOND, FIRST)
    names = [f"{first} {second}" for second, first in pairs]
    names = names[:: len(names) // classes][:classes]
    generator = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
    for number in range(count):
        noise = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        place = folder / names[number % classes] / f"{number:06d}.png"
        Image.fromarray(noise).save(place, compress_level=1)
    return folder


def command(*arguments: str | Path) -> dict[str, Any]:
    """Seconds, wall and processor, and peak memory of a command; the last line if it failed."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "interlace", *map(str, arguments)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        family, peak = psutil.Process(process.pid), 0
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            try:
                own = [family, *family.children(recursive=True)]
                peak = max(peak, sum(one.memory_info().rss for one in own))
            except psutil.Error:
                pass
            time.sleep(0.05)
        _, status, usage = ended
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        printed = output.tell()
        output.seek(max(0, printed - 1000))
        last = output.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    found = {
        "command": arguments[0],
        "seconds": round(seconds, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_memory_mb": round(max(peak / 2**20, usage.ru_maxrss / 2**10)),
        "printed_bytes": printed,
    }
    return found if not process.returncode else {**found, "failed": "".join(last)}


def with_images(folder: Path, count: int, at_once: bool) -> list[dict[str, Any]]:
    """Fit, embed and build over a number of images in 40 classes."""
    photos = images(folder / "photos", 40, count)
    run = ["fit", photos, "--method", "linear_probe", "--shots", "4", "-o", folder / "run"]
    commands = [
        run,
        ["embed", photos, "--model", "picto", "-o", folder / "vectors.parquet"],
        ["search", "build", photos, "--model", "picto", "-o", folder / "gallery"],
    ]
    with ThreadPoolExecutor(len(commands) if at_once else 1) as pool:
        found = list(pool.map(lambda own: command(*own), commands))
    found[0]["result_bytes"] = size(folder / "run" / "result.json")
    found[2]["command"] = "search build"
    return [{**one, "images": count} for one in found]


def with_classes(folder: Path, count: int, at_once: bool) -> list[dict[str, Any]]:
    """Fit and evaluate of zero-shot over a number of classes."""
    photos = images(folder / "photos", count, EACH * count)
    run = folder / "run"
    found = [command("fit", photos, "--method", "zero_shot", "--shots", "1", "-o", run)]
    commands = [["evaluate", run, photos], ["evaluate", run, photos, "--json"]]
    with ThreadPoolExecutor(len(commands) if at_once else 1) as pool:
        found += pool.map(lambda own: command(*own), commands)
    found[0]["result_bytes"] = size(run / "result.json")
    found[2]["command"] = "evaluate --json"
    return [{**one, "classes": count} for one in found]


def size(path: Path) -> int | None:
    """Bytes of a file, None where there is none."""
    return path.stat().st_size if path.exists() else None


def growth(rows: list[dict[str, Any]], unit: str) -> list[dict[str, Any]]:
    """By command and measure: cost per added unit in the first step, and in the last against it."""
    found = []
    for name in dict.fromkeys(row["command"] for row in rows):
        own = [row for row in rows if row["command"] == name and "failed" not in row]
        for key in ("seconds", "cpu_seconds", "peak_memory_mb", "result_bytes", "printed_bytes"):
            points = [(row[unit], row[key]) for row in own if row.get(key) is not None]
            if len(points) != 3 or (key == "printed_bytes" and points[-1][1] < 1e5):
                continue
            first, last = (
                (points[i + 1][1] - points[i][1]) / (points[i + 1][0] - points[i][0])
                for i in (0, 1)
            )
            # what hardly grows at all is flat, however its noise compares
            small = {"seconds": 2e-4, "cpu_seconds": 2e-4, "peak_memory_mb": 0.01}.get(key, 10) * (
                2 if unit == "classes" else 1
            )
            flat = last <= max(FLAT * first, small)
            found.append(
                {
                    "command": name,
                    "measure": key,
                    f"per_{unit}_first": first,
                    f"per_{unit}_last": last,
                    "flat": flat,
                }
            )
    return found


def measure(
    sizes: tuple[int, ...], task: Callable[[Path, int, bool], list[dict[str, Any]]], at_once: bool
) -> list[Any]:
    """All rows of a task over its sizes."""

    def rows(count: int) -> list[dict[str, Any]]:
        with tempfile.TemporaryDirectory(prefix="interlace-scale-") as folder:
            found = task(Path(folder), count, at_once)
        for row in found:
            print(json.dumps(row), flush=True)
        return found

    with ThreadPoolExecutor(len(sizes) if at_once else 1) as pool:
        return list(itertools.chain.from_iterable(pool.map(rows, sizes)))


def main() -> None:
    """Run what is asked for and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="name of the record")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", choices=("images", "classes"))
    parser.add_argument(
        "--at-once",
        action="store_true",
        help="run all sizes and commands at once: for a machine that is shared anyway, where only "
        "processor time and memory say something",
    )
    parser.add_argument("--note", default="", help="what else ran on the machine")
    parser.add_argument("--output", type=Path, default=HERE)
    arguments = parser.parse_args()
    path = arguments.output / f"{arguments.name}.json"
    if path.exists():
        sys.exit(f"{path} is there already: records are added, never edited")
    settings = {k: v for k, v in vars(arguments).items() if k != "output"}
    record: dict[str, Any] = {"command": settings, **environment(threads=1)}
    tasks = {
        "images": (QUICK_IMAGES if arguments.quick else IMAGES, with_images),
        "classes": (QUICK_CLASSES if arguments.quick else CLASSES, with_classes),
    }
    for unit, (sizes, task) in tasks.items():
        if arguments.only in (None, unit):
            rows = measure(sizes, task, arguments.at_once)
            record[unit] = {"rows": rows, "growth": growth(rows, unit)}
    record["machine"]["load_after"] = [round(value, 2) for value in os.getloadavg()]
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for unit in tasks:
        for one in record.get(unit, {}).get("growth", []):
            first, last = one[f"per_{unit}_first"], one[f"per_{unit}_last"]
            word = "flat" if one["flat"] else "NOT FLAT"
            what = f"{unit:7} {one['command']:15} {one['measure']:14}"
            print(f"{what} {first:11.5f} {last:11.5f}  {word}")
    print(f"recorded in {path}")


if __name__ == "__main__":
    main()
