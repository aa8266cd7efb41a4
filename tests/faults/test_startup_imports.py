"""What a command does not need, it does not load: each of these takes a second or brings what does.

torchvision's models bring torch._dynamo; open_clip brings timm and transformers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import interlace
from tests.report.making import cell, write

SLOW = ("scipy.stats", "torchvision.models", "torch._dynamo", "open_clip", "timm", "transformers")
#: Runs the command line and writes the names of all loaded modules when the process ends.
LISTING = """
import atexit, sys
atexit.register(lambda: open(note, "w").write("\\n".join(sys.modules)))
note = sys.argv.pop(1)
if sys.argv[1] == "-c":
    exec(sys.argv[2])
else:
    from interlace.cli import main
    main()
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A fit of each of two methods to drawings, and one of the drawings."""
    from interlace.data.datasets import picto

    folder = tmp_path_factory.mktemp("startup")
    task, table = picto.task("animals-nature"), picto.images().column("image")
    found: dict[int, list[bytes]] = {}
    for image, label in task["train"]:
        found.setdefault(label, []).append(table[image].as_py())
    for label in [label for label, own in found.items() if len(own) >= 4][:2]:
        own = folder / "photos" / task["classes"][label]
        own.mkdir(parents=True)
        for number, content in enumerate(found[label][:4]):
            (own / f"{number}.png").write_bytes(content)
    photos = interlace.FewShotTask.load(folder / "photos", shots=2)
    for method in ("linear_probe", "mmrl++"):
        interlace.fit("picto", photos, method, output=folder / method, epochs=1)
    (folder / "one.png").write_bytes(content)
    return folder


def loaded(folder: Path, *arguments: object) -> set[str]:
    """Modules that a fresh process has loaded at its end."""
    note = folder / "modules"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", LISTING, str(note), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return set(note.read_text(encoding="utf-8").split())


def slow(modules: set[str]) -> list[str]:
    return [name for name in SLOW if name in modules]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", "import interlace"),
        ("--help",),
        ("--version",),
        ("data", "list"),
    ],
    ids=" ".join,
)
def test_what_trains_nothing_loads_no_torch(tmp_path, arguments):
    modules = loaded(tmp_path, *arguments)
    assert "interlace" in modules
    assert "torch" not in modules
    assert not slow(modules)


@pytest.mark.parametrize(
    "arguments",
    [("-c", "import interlace; interlace.fit"), ("show",), ("show", "mail"), ("show", "mmrl++")],
    ids=" ".join,
)
def test_what_names_methods_loads_nothing_slow(tmp_path, arguments):
    assert not slow(loaded(tmp_path, *arguments))


@pytest.mark.parametrize("suffix", ["", ".csv", ".html"])
def test_a_report_loads_no_torch(tmp_path, suffix):
    runs = [cell(name, seed, 0.5 + seed / 9) for name in ("zero_shot", "mail") for seed in (1, 2)]
    output = ("-o", tmp_path / f"report{suffix}") if suffix else ()
    modules = loaded(tmp_path, "report", write(tmp_path / "runs", runs), *output)
    assert "torch" not in modules
    assert suffix == ".html" or "matplotlib" not in modules


@pytest.mark.parametrize("method", ["linear_probe", "mmrl++"])
def test_a_prediction_with_the_embedded_model_loads_nothing_slow(bundle, method):
    modules = loaded(bundle, "predict", bundle / method, bundle / "one.png")
    assert "torch" in modules
    assert not slow(modules)
    assert "matplotlib" not in modules
