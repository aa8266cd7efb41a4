"""Callbacks hear of a fit in a stated order, whatever the method."""

from __future__ import annotations

import pytest

import interlace
from interlace.train.callbacks import Callback
from tests import models
from tests.train.test_fit import fit, folder, same_tensors, task  # noqa: F401  (fixtures)


class Heard(Callback):
    """Notes what it hears, and what of it."""

    def __init__(self, name="", log=None):
        self.name, self.log = name, [] if log is None else log
        self.rows, self.plans = [], []

    def note(self, what):
        self.log.append(f"{self.name}{what}")

    def on_fit_start(self):
        self.note("start")

    def on_plan(self, plan):
        self.plans.append(plan)
        self.note("plan")

    def on_step(self, progress):
        self.note(f"step {progress.epoch}.{progress.step}/{progress.steps}")

    def on_epoch_end(self, row):
        self.rows.append(dict(row))
        self.note(f"epoch {row['epoch']}")

    def on_fit_end(self):
        self.note("end")


STEPS = ["step 1.1/2", "step 1.2/2", "epoch 1", "step 2.1/2", "step 2.2/2", "epoch 2"]


def test_what_is_heard_and_in_which_order(task):  # noqa: F811
    heard = Heard()
    adapted = fit(task, epochs=2, batch_size=8, callbacks=[heard])
    assert heard.log == ["start", "plan", *STEPS, "end"]
    assert heard.rows == adapted.history
    assert heard.plans[0].count == len(task.classes)


@pytest.mark.parametrize(
    ("method", "settings", "expected"),
    [
        ("zero_shot", {}, ["start", "end"]),
        ("linear_probe", {"epochs": 2, "batch_size": 8}, ["start", *STEPS, "end"]),
        (
            "mail",
            {"epochs": 2, "batch_size": 8, "rank": 2, "shortcuts": False},
            ["start", *STEPS, "end"],
        ),
    ],
)
def test_memory_is_planned_only_where_it_is_measured(task, method, settings, expected):  # noqa: F811
    heard = Heard()
    interlace.fit(models.tiny(), task, method, callbacks=[heard], **settings)
    assert heard.log == expected


def test_several_hear_in_their_order_after_the_functions(task):  # noqa: F811
    log = []
    fit(
        task,
        epochs=1,
        batch_size=16,
        report=lambda progress: log.append("report"),
        planned=lambda plan: log.append("planned"),
        callbacks=[Heard("a ", log), Heard("b ", log)],
    )
    assert log == [
        *("a start", "b start", "planned", "a plan", "b plan"),
        *("report", "a step 1.1/1", "b step 1.1/1", "a epoch 1", "b epoch 1", "a end", "b end"),
    ]


def test_one_that_overrides_nothing_changes_nothing(task):  # noqa: F811
    assert same_tensors(fit(task, epochs=2), fit(task, epochs=2, callbacks=[Callback()]))


@pytest.mark.parametrize("select", ["last", "best"])
def test_one_that_fails_ends_the_fit_which_resumes(task, tmp_path, select):  # noqa: F811
    class Full(Callback):
        def on_epoch_end(self, row):
            if row["epoch"] == 2:
                raise OSError("no space left")

    settings = {"epochs": 3, "select": select}
    with pytest.raises(OSError, match="no space left"):
        fit(task, output=tmp_path / "run", callbacks=[Full()], **settings)
    heard = Heard()
    resumed = fit(task, output=tmp_path / "run", callbacks=[heard], **settings)
    assert [row["epoch"] for row in heard.rows] == [2, 3]
    assert same_tensors(resumed, fit(task, **settings))
