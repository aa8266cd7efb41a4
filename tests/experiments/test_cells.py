"""Cells: their identity, their records, what is run again and what is not."""

from __future__ import annotations

import json
import math

import pytest

from interlace import methods
from interlace.adaptation.fit import ready
from interlace.backbone.load import load
from interlace.errors import InterlaceError
from interlace.experiments.cell import CellSpec, plan_cell, run_cell, settings_of
from interlace.experiments.grid import check_results, list_cells, run_grid
from interlace.experiments.store import Store
from interlace.protocols import Condition
from tests.train.test_fit import folder

__all__ = ["folder"]

SPEC = CellSpec("few_shot", "picto/activities", "linear_probe", 1, 1, settings={"epochs": 1})


class InProcess:
    """Runs cells one after the other, and says which."""

    workers = 1

    def __init__(self):
        self.ran = []

    def run(self, specs, started):
        for spec in specs:
            started(spec)
            self.ran.append(spec)
            yield run_cell(spec)


def test_a_record_has_everything_that_decides_it_and_what_it_cost():
    record = run_cell(SPEC)
    assert record["format"] == "interlace.cell/1"
    assert record["id"] == SPEC.id and CellSpec.from_dict(record["spec"]) == SPEC
    assert record["status"] == "done" and record["error"] is None
    assert record["run"]["train"]["epochs"] == 1 and record["run"]["preset"] == "picto"
    assert record["backbone"]["source"] == "picto" and len(record["backbone"]["fingerprint"]) == 16
    assert len(record["split_hash"]) == 64
    found = record["metrics"]["all"]
    assert found["n"] == 306 and all(0 <= found[k] <= 1 for k in ("top1", "mean_per_class", "ece"))
    # a data set that is known keeps no pictures in its record
    assert "details" not in found
    assert record["parameters"] > 0
    assert record["seconds"]["fit"] > 0 and record["seconds"]["score"] > 0
    assert record["seconds"]["fit_cpu"] > 0
    assert record["versions"]["torch"] and record["machine"]["threads"] == 1
    assert json.loads(json.dumps(record)) == record


def test_equal_specs_have_equal_results():
    first, second = run_cell(SPEC), run_cell(SPEC)
    assert first["metrics"] == second["metrics"] and first["split_hash"] == second["split_hash"]


def test_the_id_follows_everything_that_is_asked_for():
    others = [
        CellSpec(**{**vars(SPEC), **change})
        for change in (
            {"protocol": "base_to_novel"},
            {"data": "picto/objects"},
            {"method": "mail"},
            {"shots": 2},
            {"seed": 2},
            {"settings": {"epochs": 2}},
            {"targets": ("a",)},
            {"condition": Condition("typos", 0.1)},
            {"model": "x"},
            {"preset": None},
            {"template": "{}"},
            {"split": "a.json"},
        )
    ]
    assert len({spec.id for spec in (SPEC, *others)}) == len(others) + 1
    store = Store("runs")
    assert len({store.path(spec) for spec in (SPEC, *others)}) == len(others) + 1
    assert CellSpec.from_dict(SPEC.to_dict()).id == SPEC.id


def test_a_grid_has_zero_shot_and_every_combination():
    specs = list_cells("few_shot", ["a", "b"], ["mail", "coop"], [1, 2], [1, 2, 3])
    assert len(specs) == 2 * 3 * 2 * 3
    assert {spec.method for spec in specs} == {"zero_shot", "mail", "coop"}


def test_a_setting_goes_to_the_methods_that_know_it():
    for_all = {"rank": 3, "lr": 1}
    specs = list_cells(
        "few_shot", ["a"], ["mail", "mail:rank=0", "coop"], [1], [1], settings=for_all
    )
    # all methods of a comparison were asked for with the same settings
    assert all(spec.settings == for_all for spec in specs)
    assert {spec.method: settings_of(spec.method, spec.settings) for spec in specs} == {
        "zero_shot": {"lr": 1},
        "mail": {"rank": 3, "lr": 1},
        "mail:rank=0": {"rank": 0, "lr": 1},
        "coop": {"lr": 1},
    }
    for wrong, reason in (
        ({"settings": {"rang": 3}}, "none of zero_shot, mail takes a setting 'rang'"),
        ({"settings": {"lr": -1}}, "lr=-1"),
        ({"kinds": ["typos"]}, "few_shot has no condition 'typos'; it has none"),
    ):
        with pytest.raises(InterlaceError, match=reason):
            list_cells("few_shot", ["a"], ["mail"], [1], [1], **wrong)
    with pytest.raises(InterlaceError, match="no method"):
        list_cells("few_shot", ["a"], ["mial"], [1], [1])
    with pytest.raises(InterlaceError, match="at least one"):
        list_cells("few_shot", [], ["mail"], [1], [1])


def test_kinds_choose_conditions():
    specs = list_cells("robustness", ["a"], ["mail"], [1], [1], kinds=["typos"])
    conditions = [str(spec.condition) for spec in specs if spec.method == "mail"]
    assert conditions == ["clean", "typos=0.05", "typos=0.1", "typos=0.2"]


def test_a_failing_cell_is_recorded_and_the_rest_run(tmp_path):
    store, engine = Store(tmp_path), InProcess()
    broken = CellSpec(**{**vars(SPEC), "shots": 99})
    records = run_grid([broken, SPEC], store, engine)
    assert [record["status"] for record in records] == ["failed", "done"]
    error = records[0]["error"]
    assert error["type"] == "TooFewImages" and "99 shots" in error["message"]
    assert "Traceback" in error["traceback"]
    assert "metrics" not in records[0]
    assert not store.is_done(broken) and store.is_done(SPEC)


def test_finished_cells_are_skipped_and_the_others_run_again(tmp_path):
    store = Store(tmp_path)
    broken = CellSpec(**{**vars(SPEC), "shots": 99})
    first = run_grid([broken, SPEC], store, InProcess())
    again = InProcess()
    second = run_grid([broken, SPEC, SPEC], store, again)
    assert again.ran == [broken]
    assert second[1] == first[1]
    # a file that was cut short is no result
    path = store.path(SPEC)
    path.write_text(path.read_text()[:100])
    assert not store.is_done(SPEC)
    third = InProcess()
    run_grid([SPEC], store, third)
    assert third.ran == [SPEC] and store.is_done(SPEC)
    assert not list(tmp_path.rglob("*.partial"))


def test_own_images_keep_confusion_and_surest_mistakes(folder):
    spec = CellSpec("few_shot", str(folder), "zero_shot", 2, 1)
    (found,) = run_cell(spec)["metrics"].values()
    kept = found["details"]
    assert kept["classes"] == ["blue", "green", "red", "yellow"]
    total = sum(count for *_, count in kept["counts"])
    right = sum(count for truth, answer, count in kept["counts"] if truth == answer)
    assert total == found["n"] and right == round(found["top1"] * total)
    mistakes = kept["mistakes"]
    assert len(mistakes) == min(12, total - right)
    assert all(m["truth"] != m["answer"] and m["thumbnail"] for m in mistakes)
    sure = [m["probability"] for m in mistakes]
    assert sure == sorted(sure, reverse=True) and not any(map(math.isnan, sure))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"backbone": {"source": "picto", "fingerprint": "0" * 16}}, "with another model than 'pi"),
        ({"split_hash": "0" * 64}, "with other images of 'picto/activities'"),
        ({"run": ("train", "lr", 0.25)}, "with lr=0.25, not "),
        ({"run": ("train", "added", 1)}, "with added=1, not None"),
        ({"run": (None, "preset", "former")}, "with preset='former', not 'picto'"),
    ],
)
def test_a_result_that_would_be_another_today_is_not_mixed_with_new_ones(tmp_path, change, reason):
    store = Store(tmp_path)
    (record,) = run_grid([SPEC], store, InProcess())
    clip = load(SPEC.model)
    check_results([SPEC, CellSpec(**{**vars(SPEC), "seed": 2})], store, clip)
    name, value = next(iter(change.items()))
    if name == "run":
        part, key, value = value
        run = record["run"]
        changed = {**run[part], key: value} if part else value
        value = {**run, (part or key): changed}
    store.write({**record, name: value})
    with pytest.raises(InterlaceError, match=reason) as error:
        check_results([SPEC], store, clip)
    assert "\n" not in str(error.value) and str(store.path(SPEC)) in str(error.value)


def test_every_method_s_own_results_are_known_again(tmp_path):
    store = Store(tmp_path)
    specs = list_cells(
        "few_shot", ["picto/activities"], methods.available(), [1], [1], settings={"epochs": 1}
    )
    frozen, clip = run_cell(specs[0]), load(specs[0].model)
    for spec in specs:  # what a fit would record, without the fit
        cell = plan_cell(spec, clip, None, "cpu")
        run = ready(clip, cell.plan.task, spec.key, preset=cell.preset, **cell.settings)[2]
        own = {"id": spec.id, "spec": spec.to_dict(), "run": run.to_dict()}
        store.write(json.loads(json.dumps({**frozen, **own})))
    assert all(map(store.is_done, specs))
    check_results(specs, store, clip)
