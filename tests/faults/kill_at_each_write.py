"""Run as a program: kill a fit before each of its write points, and let the same command finish.

The parent only imports; every fit runs in a forked child, so that a kill is a kill. Prints the
number of write points of an undisturbed fit; any difference is an error.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import filelock  # noqa: F401
import open_clip  # noqa: F401
import torchvision  # noqa: F401

import interlace.backbone.load
import interlace.cli
import interlace.data.task
import interlace.evaluation.plots
import interlace.fitting
import interlace.protocols  # noqa: F401

ROOT, MODEL, PHOTOS = map(Path, sys.argv[1:4])
FLAGS = sys.argv[4:]


def fit(output: Path, epochs: int, flags: list[str], kill_before: int = 0) -> tuple[int, int]:
    """Exit code of a fit in a child, and how often it renamed or removed a file."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        told = b""
        while part := os.read(reader, 1000):
            told += part
        os.close(reader)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(told)
    os.close(reader)
    count = 0
    for name in ("replace", "unlink"):
        plain = getattr(os, name)

        def counted(*arguments, plain=plain, **rest):
            nonlocal count
            if output.name in str(arguments[0]):
                count += 1
                if count == kill_before:
                    os.kill(os.getpid(), signal.SIGKILL)
                os.write(writer, b".")
            return plain(*arguments, **rest)

        setattr(os, name, counted)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.argv = ["interlace", "fit", str(PHOTOS), "--model", str(MODEL), "--shots", "2"]
    sys.argv += ["--method", "clip_adapter", "--set", f"epochs={epochs}", "-o", str(output), *flags]
    code = 1
    try:
        interlace.cli.main()
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    finally:
        os._exit(code)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def main() -> None:
    whole = ROOT / "undisturbed"
    old = ROOT / "old"
    assert fit(old, 1, [])[0] == 0
    if FLAGS:
        shutil.copytree(old, whole)
    code, points = fit(whole, 2, FLAGS)
    assert code == 0, code
    expected = content(whole)
    assert set(expected) == {
        "adapted.safetensors",
        "bundle.json",
        "confusion.png",
        "result.json",
        "split.json",
    }, expected.keys()
    for point in range(1, points + 1):
        output = ROOT / f"killed{point}"
        if FLAGS:
            shutil.copytree(old, output)
        code, _ = fit(output, 2, FLAGS, kill_before=point)
        assert code == -signal.SIGKILL, (point, code)
        left = content(output) if output.exists() else {}
        if "bundle.json" in left:  # a folder with a header holds all of one run
            mine = {name: data for name, data in left.items() if name in expected}
            assert mine in (expected, content(old)), (point, left.keys())
        code, again = fit(output, 2, FLAGS)
        # all was there already but for the checkpoint: the command says so, and cleans up
        done = not FLAGS and left.get("bundle.json") == expected["bundle.json"]
        assert code == (2 if done else 0), (point, code)
        assert content(output) == expected, (point, content(output).keys())
        shutil.rmtree(output)
    print(points)


main()
