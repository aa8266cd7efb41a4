"""Fits that were recorded before the training loop was rewritten: the loop still takes these steps.

``recorded/*.json`` holds, for a random model and drawn images, the loss and accuracy of every step,
the row of every epoch, and of each learnt tensor its shape, norm and first values. On the machine
that recorded them the numbers were equal to the last bit before and after; other processors and
libraries sum in another order, so they are held to 1e-5 here.

A change that is meant to change them records them anew: ``python -m tests.train.test_recorded``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

import interlace
from tests import models
from tests.train.test_fit import draw

RECORDED = Path(__file__).parent / "recorded"
FIXED = {"crop_scale": 1, "flip": False}
COMMON = {"epochs": 3, "batch_size": 6, "optimizer": "sgd", "lr": 0.005, "warmup_epochs": 1}
#: What is fitted: every batch source, sampler, objective and selection, and a method with dropout.
RUNS: dict[str, dict[str, Any]] = {
    "augmented": {"method": "mmrl++", "n_tokens": 2, "dim": 8, "select": "best"},
    "dropout": {"method": "clip_lora", "rank": 2},
    "prefix": {"method": "mail", "rank": 2, **FIXED},
    "plain": {"method": "mmrl", "n_tokens": 2, "dim": 8, "shortcuts": False},
    "features": {"method": "tip_adapter_f", "select": "best"},
    "retrieval": {"method": "mail", "rank": 2, "objective": "retrieve", "per_class": 2},
}


def run(name: str, folder: Path) -> dict[str, Any]:
    """Fit, and say what came of it."""
    task = interlace.FewShotTask.from_folder(folder, shots=4, seed=1, template="a {} patch")
    steps: list[Any] = []
    adapted = interlace.fit(models.tiny(), task, report=steps.append, **{**COMMON, **RUNS[name]})
    return {
        "settings": {**COMMON, **RUNS[name]},
        "steps": [[one.epoch, one.step, one.steps, one.loss, one.accuracy] for one in steps],
        "history": adapted.history,
        "tensors": {
            key: [list(value.shape), value.double().norm().item(), *value.flatten()[:3].tolist()]
            for key, value in adapted.method.state_dict().items()
        },
    }


def close(found: Any, recorded: Any, where: str) -> None:
    """See that two structures agree, numbers to 1e-5."""
    if isinstance(recorded, dict):
        assert found.keys() == recorded.keys(), where
        for key, value in recorded.items():
            close(found[key], value, f"{where}.{key}")
    elif isinstance(recorded, list):
        assert len(found) == len(recorded), where
        for number, value in enumerate(recorded):
            close(found[number], value, f"{where}[{number}]")
    elif isinstance(recorded, float):
        assert found == pytest.approx(recorded, rel=1e-5, abs=1e-5), where
    else:
        assert found == recorded, where


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("colours"))


@pytest.mark.parametrize("name", RUNS)
def test_a_recorded_fit_takes_the_same_steps(name: str, drawn: Path) -> None:
    recorded = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    close(run(name, drawn), recorded, name)


def test_every_record_is_looked_at() -> None:
    assert {path.stem for path in RECORDED.glob("*.json")} == set(RUNS)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as given:
        images = draw(Path(given))
        for one in sys.argv[1:] or RUNS:
            text = json.dumps(run(one, images), indent=1)
            (RECORDED / f"{one}.json").write_text(text + "\n", encoding="utf-8")
