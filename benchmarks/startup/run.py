"""Record what it costs to start: ``startup/<label>.json`` with commit, machine and versions.

Each command runs in fresh processes, in turns with ``import torch``, so that all meet the same
neighbours on the machine; what counts is the ratio of the medians. Beside the wall clock stands the
processor time of the process, which neighbours change less. A run of its own, which also warms the
disk's cache and is not timed, lists which of the heavy packages a command has loaded when it ends.

``python benchmarks/startup/run.py --label before`` takes about three minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from interlace.experiments.cost import environment

HERE = Path(__file__).parent
#: What all others are compared with.
BASE = "import torch"
#: Packages that take long to load, or bring what does.
HEAVY = (
    "torch",
    "torchvision",
    "torchvision.models",
    "torch._dynamo",
    "open_clip",
    "timm",
    "transformers",
    "scipy.stats",
    "pyarrow",
    "matplotlib",
    "matplotlib.pyplot",
    "pandas",
    "lancedb",
    "ray",
    "pydantic",
)
#: Ratios to ``import torch`` and seconds that a command is to stay under.
GOALS = {
    "data list": {"seconds": 1.0},
    "show mail": {"ratio": 1.3},
    "predict, linear_probe": {"ratio": 1.6},
    "predict, mmrl++": {"ratio": 1.6},
}
#: Runs a module or a line, and writes what is loaded when the process ends.
LISTING = """
import atexit, sys, runpy
def write(path=sys.argv.pop(1)):
    open(path, "w").write("\\n".join(sys.modules))
atexit.register(write)
if sys.argv[1] == "-c":
    exec(sys.argv[2])
else:
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def commands(folder: Path) -> dict[str, list[str]]:
    """Return arguments of the interpreter by name; what they need is made in ``folder``."""
    image = folder / "one.png"
    image.write_bytes(one_drawing())
    predictions = {}
    for method in ("linear_probe", "mmrl++"):
        run = folder / method
        fit = ["fit", "picto/animals-nature", "--shots", "2", "--method", method, "-o", str(run)]
        quick = [] if method == "linear_probe" else ["--set", "epochs=1"]
        done = subprocess.run(
            [sys.executable, "-m", "interlace", *fit, *quick], capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"cannot make a model to predict with: {done.stderr.strip()}")
        predictions[f"predict, {method}"] = ["predict", str(run), str(image)]
    ours = {
        "--version": ["--version"],
        "--help": ["--help"],
        "data list": ["data", "list"],
        "show mail": ["show", "mail"],
        **predictions,
    }
    return {
        BASE: ["-c", "import torch"],
        "import interlace": ["-c", "import interlace"],
        "interlace.fit": ["-c", "import interlace; interlace.fit"],
        **{name: ["-m", "interlace", *arguments] for name, arguments in ours.items()},
    }


def one_drawing() -> bytes:
    """Return a drawing of the embedded set, as PNG."""
    from interlace.data.datasets import picto

    image, _ = picto.task("animals-nature")["test"][0]
    return bytes(picto.images().column("image")[image].as_py())


def timed(arguments: list[str]) -> dict[str, float]:
    """Wall clock, processor time and peak memory (MB) of a fresh interpreter."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    with process:
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            assert process.stderr is not None
            sys.exit(f"{arguments} failed: {process.stderr.read().decode().strip()}")
    return {
        "seconds": seconds,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss / 1024,
    }


def heavy(arguments: list[str], note: Path) -> dict[str, Any]:
    """Which of the heavy packages are loaded when a command ends, and how many modules in all."""
    rest = arguments if arguments[0] == "-c" else arguments[1:]
    command = [sys.executable, "-c", LISTING, str(note), *rest]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{arguments} failed: {done.stderr.strip()}")
    loaded = note.read_text().split()
    return {"heavy": [name for name in HEAVY if name in loaded], "modules": len(loaded)}


def measure(rounds: int) -> dict[str, dict[str, Any]]:
    """All commands in turns: their times, ratios and heavy packages, by name."""
    with tempfile.TemporaryDirectory() as folder:
        what = commands(Path(folder))
        found: dict[str, dict[str, Any]] = {
            name: heavy(arguments, Path(folder) / "modules") for name, arguments in what.items()
        }
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in what}
        for number in range(rounds):
            for name, arguments in what.items():
                runs[name].append(timed(arguments))
            print(f"round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", flush=True)
    for name, own in runs.items():
        for key in ("seconds", "cpu", "memory"):
            values = [run[key] for run in own]
            found[name] |= {
                f"{key}_median": round(statistics.median(values), 3),
                f"{key}_least": round(min(values), 3),
            }
        found[name]["seconds_all"] = [round(run["seconds"], 3) for run in own]
    for own in found.values():
        for key in ("seconds_median", "seconds_least", "cpu_median", "cpu_least"):
            own[f"ratio_of_{key}"] = round(own[key] / found[BASE][key], 3)
    return found


def show(found: dict[str, dict[str, Any]]) -> None:
    """Print the table."""
    print(f"{'':24} median    least  ratio  cpu ratio  heavy")
    for name, own in found.items():
        packages = " ".join(own["heavy"]) or "-"
        print(
            f"{name:24} {own['seconds_median']:5.2f} s  {own['seconds_least']:5.2f} s"
            f"  {own['ratio_of_seconds_median']:5.2f}  {own['ratio_of_cpu_least']:9.2f}  {packages}"
        )


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--label", required=True, help="name of the record, such as before")
    parser.add_argument("-n", "--rounds", type=int, default=7)
    parser.add_argument("--note", default="", help="what else ran on the machine")
    parser.add_argument("--output", type=Path, default=HERE)
    arguments = parser.parse_args()
    path = arguments.output / f"{arguments.label}.json"
    if path.exists():
        sys.exit(f"{path} is there already: records are added, never edited")
    load = [round(value, 2) for value in os.getloadavg()]
    threads = os.environ.get("OMP_NUM_THREADS")
    found = measure(arguments.rounds)
    record: dict[str, Any] = {
        "label": arguments.label,
        "command": {"rounds": arguments.rounds, "note": arguments.note},
        **environment(int(threads) if threads else os.cpu_count() or 1),
        "goals": GOALS,
        "commands": found,
    }
    record["machine"] |= {
        "load_before": load,
        "load_after": [round(value, 2) for value in os.getloadavg()],
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    show(found)
    print(f"recorded in {path}")


if __name__ == "__main__":
    main()
