"""Time a training step with and without shortcuts: ``speed/<name>.json``.

Both paths compute the same numbers (``docs/speed.md``, ``tests/backbone/test_shortcuts.py``). They
run in one process and take turns, so that what else the machine does slows both; their ratio is
what counts. Beside them stands the arithmetic floor: the multiply-adds of the default step over
the rate of a plain matrix product, measured between the steps.

    python benchmarks/speed/run.py NAME --threads 2            # everything
    python benchmarks/speed/run.py NAME --threads 2 --quick    # 3 minutes
    python benchmarks/speed/run.py NAME --device cuda --precision bfloat16 \
        --classes 50,500,1000 --batches 4,32,256
    python benchmarks/speed/plot.py NAME                       # the plot and the tables
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any

import torch
from inference import inference
from instruments import (
    Forecast,
    first_step,
    multiply_adds_of_batch,
    product_rate,
    synchronize,
    timed,
)
from steps import MODELS, TEMPLATE, Cell, Route, autocast, class_names, make_cell, make_clip
from torch import Tensor

from interlace import DualEncoder, methods
from interlace.backbone.packing import Packing
from interlace.config import resolve
from interlace.experiments.cost import environment
from interlace.train import memory

HERE = Path(__file__).parent
COUPLED = "mmrl,mmrl++,mail,mail++,multimodal_adapter"
#: Share of the free memory that a plain step may be predicted to fill.
FILL = 0.85


def both_paths(cell: Cell) -> tuple[Route, Route, dict[str, Any]]:
    """Return the default and the plain path, as a fit sets them up, and what that took.

    Both get the frozen text features from before the first step, because released code keeps them
    too; they are the same numbers, so the plain path takes the default's.
    """
    method, prompts = cell.method, cell.prompts
    if isinstance(prompts, Tensor):
        return Route(True, prompts), Route(False, prompts), {}
    method.shortcuts = True
    synchronize()
    started = time.perf_counter()
    prefix = method.run_prompt_prefix(prompts)
    synchronize()
    seconds = time.perf_counter() - started
    with autocast(cell):
        plan = memory.plan(method, len(cell.images), prefix)
    kept = prefix.prefix
    assert kept is not None
    prefix = replace(prefix, prefix=replace(kept, chunk=plan.chunk))
    held = sum(t.nbytes for t in (kept.x, kept.frozen) if t is not None)
    setup = {"begin_ms": 1e3 * seconds, "blocks_begun": kept.block, "plan": asdict(plan)}
    return Route(True, prefix, held=held), Route(False, prompts, kept.frozen), setup


def measure(
    cell: Cell, seconds: float, plain_limit: float, forecasts: dict[Any, Forecast]
) -> dict[str, Any]:
    """Both paths of a cell, in turns.

    Args:
        cell: the cell.
        seconds: how long each path is measured, roughly; each takes a step at least, and the first
            step of a path counts where it takes longer than this.
        plain_limit: longest plain step to run, in seconds.
        forecasts: of plain steps, by method; one that is missing is made.
    """
    device, images, texts = cell.labels.device, len(cell.images), len(cell.prompts)
    default, plain, setup = both_paths(cell)
    # what steps of few images and texts say of the others, and what they cannot
    name = cell.method.key
    key = (
        (name, min(images, 16), texts)
        if cell.method.uses_frozen_features
        else (name, min(images, 2))
    )
    if key not in forecasts:
        forecasts[key] = Forecast(cell, plain)
    expected = forecasts[key].of(images, texts)
    work = multiply_adds_of_batch(cell, default)
    result: dict[str, Any] = {"plain_predicted": asdict(expected)}
    steps: dict[str, list[dict[str, float]]] = {"default": [], "plain": []}
    facts: dict[str, dict[str, Any]] = {}

    def first(route: str, path: Route) -> float:
        parts, facts[route] = first_step(cell, path)
        if parts["total"] > 1e3 * seconds:
            steps[route].append(parts)
        return parts["total"] / 1e3

    rates = [product_rate(device, cell.dtype)]
    longest, free, why = first("default", default), memory.available(device), ""
    if expected.seconds > plain_limit:
        why = f"longer than {plain_limit:g} s"
    elif expected.peak > FILL * free:
        why = f"more memory than {FILL:.0%} of the {free / 2**30:.1f} GiB free"
    else:
        try:
            longest = max(longest, first("plain", plain))
        except (RuntimeError, MemoryError) as error:
            if "memory" not in str(error):
                raise
            why = "an allocation failed: no memory"
    if why:
        cell.optimizer.zero_grad()
        gc.collect()
        size = f"{expected.seconds:.1f} s and {expected.peak / 2**30:.1f} GiB"
        facts["plain"] = {"not_run": f"{why}; predicted: {size}"}
        print(f"  plain not run: {facts['plain']['not_run']}")
    rounds = max(1, min(7, int(seconds / longest)))
    for i in range(rounds):
        if not why and not (i == 0 and steps["plain"]):
            steps["plain"].append(timed(cell, plain))
        if i == rounds // 2:
            rates.append(product_rate(device, cell.dtype))
        if not (i == 0 and steps["default"]):
            # where the plain step is long there are few rounds, and still several short steps
            steps["default"] += [timed(cell, default) for _ in range(1 if rounds >= 3 else 3)]
    rates.append(product_rate(device, cell.dtype))
    for route, samples in steps.items():
        result[route] = {**facts[route]}
        if samples:
            result[route]["ms"] = {k: median(s[k] for s in samples) for k in samples[0]}
            result[route]["samples_ms"] = [s["total"] for s in samples]
    result["default"] |= setup
    floor = 1e3 * work / max(rates)
    result["floor"] = {
        "multiply_adds": work,
        "multiply_adds_per_second": rates,
        "ms": floor,
        "default_over_floor": result["default"]["ms"]["total"] / floor,
    }
    if not why:
        ratios = {"time": result["plain"]["ms"]["total"] / result["default"]["ms"]["total"]}
        for fact in ("peak_bytes", "tokens"):
            if fact in facts["plain"]:
                ours, theirs = (
                    sum(x.values()) if isinstance(x, dict) else x
                    for x in (facts["default"][fact], facts["plain"][fact])
                )
                ratios[fact.removesuffix("_bytes")] = theirs / ours
        result["plain_over_default"] = ratios
    return result


def describe(result: dict[str, Any]) -> str:
    """One line for people."""
    default, ratios = result["default"], result.get("plain_over_default")
    line = f"  default {default['ms']['total']:.0f} ms"
    line += f", {result['floor']['default_over_floor']:.2f} x floor"
    if "peak_bytes" in default:
        line += f", {default['peak_bytes'] / 2**20:.0f} MiB"
    if ratios is None:
        return line
    line += f"; plain {result['plain']['ms']['total']:.0f} ms: "
    return line + ", ".join(f"{key} x {value:.2f}" for key, value in ratios.items())


def training(
    clip: DualEncoder, arguments: argparse.Namespace, save: Callable[[dict[str, Any]], None]
) -> None:
    """Every cell; ``save`` is called with each."""
    forecasts: dict[Any, Forecast] = {}
    for name in arguments.methods.split(","):
        for classes in arguments.classes:
            recipe = resolve(name, methods.parameters(name), {}).train.batch_size
            batches = list(arguments.batches)
            if (
                methods.get(name).uses_frozen_features
                and not arguments.quick
                and recipe not in batches
            ):
                batches.append(recipe)
            # the last limit serves the batches that have none of their own
            given = arguments.plain_limit
            limits = dict(zip_longest(batches, given[: len(batches)], fillvalue=given[-1]))
            if methods.get(name).uses_frozen_features:  # its recipe's batch is the one to see
                limits = dict.fromkeys(batches, max(given))
            for batch in batches:
                clock = time.strftime("%H:%M:%S")
                print(f"{clock} {name}, {classes} classes, batch {batch}", flush=True)
                actual = batch
                while True:
                    cell, train = make_cell(clip, name, classes, actual, arguments.precision)
                    result = measure(cell, arguments.seconds, limits[batch], forecasts)
                    reason = result["plain"].get("not_run", "")
                    # on features a smaller batch shows the same thing and fits
                    if (
                        "memory" not in reason
                        or not cell.method.uses_frozen_features
                        or actual < 16
                    ):
                        break
                    actual //= 2
                print(describe(result), flush=True)
                save(
                    {
                        "method": name,
                        "classes": classes,
                        "batch": actual,
                        "batch_asked": batch,
                        "optimizer": train.optimizer,
                        **result,
                    }
                )


def text_lengths(clip: DualEncoder, counts: list[int]) -> dict[str, Any]:
    """How many tokens the prompts have, for each C."""
    lengths = {}
    for count in counts:
        ids = clip.prompts(class_names(count), TEMPLATE).ids
        read = clip.text.read_position(ids)
        packing, kept, _ = Packing.of(ids, read, share=True)
        own = (read + 1 - packing.shared).float()
        lengths[str(count)] = {
            "positions_plain": ids.numel(),
            "positions_default": len(kept),
            "shared": packing.shared,
            "own_mean": own.mean().item(),
            "own_longest": int(own.max()),
        }
    return lengths


def numbers(text: str) -> list[int]:
    """``10,50`` as integers."""
    return [int(part) for part in text.split(",")]


def parse(given: list[str] | None) -> argparse.Namespace:
    """Return the arguments, with what ``--quick`` changes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="name of the record")
    parser.add_argument("--quick", action="store_true", help="3 minutes on 2 cores")
    parser.add_argument("--methods", help=f"default: {COUPLED}")
    parser.add_argument("--classes", type=numbers, help="default: 10,50,100,500,1000")
    parser.add_argument("--batches", type=numbers, help="default: 4,32")
    parser.add_argument("--sections", default="training,inference")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument(
        "--plain-limit",
        type=numbers,
        help="longest plain step to run in seconds, one for each batch size; default: 180,40",
    )
    parser.add_argument("--seconds", type=float, help="for each path of a cell; default: 10")
    parser.add_argument("--model", default="vit-b-16", choices=MODELS, help="tiny is for tests")
    parser.add_argument("--folder", type=Path, default=HERE, help="where the record goes")
    arguments = parser.parse_args(given)
    full = {
        "methods": COUPLED,
        "classes": [10, 50, 100, 500, 1000],
        "batches": [4, 32],
        "plain_limit": [180, 40],
        "seconds": 10.0,
    }
    quick = {
        "methods": "mmrl,mail,multimodal_adapter",
        "classes": [10, 50],
        "batches": [4],
        "plain_limit": [20],
        "seconds": 3.0,
    }
    for key, value in (quick if arguments.quick else full).items():
        if getattr(arguments, key) is None:
            setattr(arguments, key, value)
    return arguments


def main(given: list[str] | None = None) -> None:
    """Measure and write the record; it grows with every cell, so that a stop loses little."""
    arguments = parse(given)
    path = arguments.folder / f"{arguments.name}.json"
    if path.exists():
        sys.exit(f"{path} is there already: records are added, never edited")
    torch.set_num_threads(arguments.threads)
    clip = make_clip(arguments.model, torch.device(arguments.device))
    command = {key: value for key, value in vars(arguments).items() if key != "folder"}
    started = time.perf_counter()
    record: dict[str, Any] = {
        "command": command,
        **environment(torch.get_num_threads()),
        "finished": False,
    }
    record["machine"]["memory_bytes"] = memory.available(clip.device)
    record["texts"] = text_lengths(clip, arguments.classes)
    record["cells"] = []

    def save(cell: dict[str, Any] | None = None) -> None:
        if cell is not None:
            record["cells"].append(cell)
        record["seconds"] = time.perf_counter() - started
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    if "training" in arguments.sections:
        training(clip, arguments, save)
    if "inference" in arguments.sections:
        sizes = (2, 20, 5) if arguments.quick else (8, 100, 15)
        record["inference"] = inference(clip, *sizes)
    record["finished"] = True
    save()
    print(f"{record['seconds']:.0f} s; recorded in {path}")


if __name__ == "__main__":
    main()
