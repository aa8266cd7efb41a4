"""Record a comparison of methods: ``quality/<name>.json`` with commit, machine and versions."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import interlace
from interlace.cli.compare import parse_seeds, show, tell
from interlace.config import read_settings

HERE = Path(__file__).parent


def git(*arguments: str) -> str:
    """Output of a git command in this checkout."""
    command = ["git", "-C", str(HERE), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def circumstances() -> dict[str, Any]:
    """Commit, machine and versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(git("status", "--porcelain", "--untracked-files=no")),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("interlace", "torch", "open_clip_torch")},
        },
    }


def main() -> None:
    """Run the comparison and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="name of the record")
    parser.add_argument("data", help="a folder, or a name such as picto/food-drink")
    parser.add_argument("--methods", default="mmrl++")
    parser.add_argument("--model", default="picto")
    parser.add_argument("--shots", type=int, default=2)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--preset", default="auto")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    arguments = parser.parse_args()
    path = HERE / f"{arguments.name}.json"
    if path.exists():
        sys.exit(f"{path} is there already: records are added, never edited")
    clip = interlace.load(arguments.model)
    started = time.perf_counter()
    cells = interlace.compare(
        clip,
        lambda seed: interlace.FewShotTask.load(arguments.data, arguments.shots, seed),
        arguments.methods.split(","),
        parse_seeds(arguments.seeds),
        settings=read_settings(None, arguments.settings),
        preset=None if arguments.preset == "none" else arguments.preset,
        finished=tell,
    )
    record = {
        "command": vars(arguments),
        **circumstances(),
        "model": {"source": clip.source, "fingerprint": clip.fingerprint()},
        "seconds": time.perf_counter() - started,
        "cells": [cell.to_dict() for cell in cells],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    show(cells, f"{arguments.data}, {arguments.shots} shots per base class: accuracy in %")
    print(f"recorded in {path}")


if __name__ == "__main__":
    main()
