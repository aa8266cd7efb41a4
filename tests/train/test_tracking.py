"""Figures of a fit in TensorBoard and Weights & Biases."""

from __future__ import annotations

import sys
import types

import pytest

from interlace.errors import InterlaceError
from interlace.train.callbacks import make_tracker
from tests.train.test_fit import fit, folder, task  # noqa: F401  (fixtures)


class Noted:
    """A tracker of one's own."""

    def __init__(self):
        self.settings, self.rows, self.closed = None, [], False

    def begin(self, settings):
        self.settings = settings

    def log(self, values, step):
        self.rows.append((step, values))

    def close(self):
        self.closed = True


def test_a_tracker_gets_the_settings_and_every_epoch(task):  # noqa: F811
    noted = Noted()
    adapted = fit(task, epochs=3, tracker=noted)
    assert noted.settings["method"] == "mmrl++" and noted.settings["train"]["epochs"] == 3
    assert [step for step, _ in noted.rows] == [1, 2, 3]
    for (step, values), row in zip(noted.rows, adapted.history, strict=True):
        assert {"epoch": step, **values} == row
    assert "validation_accuracy" in noted.rows[-1][1]
    assert not noted.closed


def test_a_resumed_fit_goes_on_where_it_was(task, tmp_path):  # noqa: F811
    first, second = Noted(), Noted()

    def kill(step):
        if step.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(task, epochs=4, output=tmp_path / "run", tracker=first, report=kill)
    fit(task, epochs=4, output=tmp_path / "run", tracker=second)
    assert [step for step, _ in (*first.rows, *second.rows)] == [1, 2, 3, 4]


def test_tensorboard(task, tmp_path):  # noqa: F811
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = make_tracker("tensorboard", tmp_path)
    assert not list(tmp_path.iterdir())
    adapted = fit(task, epochs=2, tracker=tracker)
    tracker.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    losses = [(event.step, event.value) for event in events.Scalars("loss")]
    assert losses == [(r["epoch"], pytest.approx(r["loss"])) for r in adapted.history]


def test_weights_and_biases(task, tmp_path, monkeypatch):  # noqa: F811
    asked, run = {}, Noted()
    run.log = lambda values, step: run.rows.append((step, values))
    run.finish = run.close

    def init(**arguments):
        asked.update(arguments)
        return run

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    tracker = make_tracker("wandb", tmp_path / "first")
    assert not asked
    fit(task, epochs=2, tracker=tracker)
    tracker.close()
    assert asked["name"] == "first" and asked["config"]["train"]["epochs"] == 2
    assert [step for step, _ in run.rows] == [1, 2] and run.closed


def test_what_cannot_track_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(InterlaceError, match="track='csv': must be tensorboard or wandb"):
        make_tracker("csv", tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InterlaceError, match="wandb is not installed: pip install wandb"):
        make_tracker("wandb", tmp_path)
