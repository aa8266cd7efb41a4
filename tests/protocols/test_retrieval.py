"""The retrieval protocols in a grid."""

from __future__ import annotations

import pytest

import interlace
from interlace import protocols
from interlace.errors import InterlaceError
from interlace.experiments.cell import run_cell
from interlace.experiments.grid import list_cells
from interlace.protocols import Setting
from interlace.protocols.retrieval import Retrieval
from tests.data.conftest import write_photo

NAMES = [name for name, own in protocols.PROTOCOLS.items() if isinstance(own, Retrieval)]
SETTINGS = ("openmoji-black", "symbola", "emojione-v1")


def test_a_data_set_stands_for_its_settings():
    found = protocols.get("ucdr")
    expected = tuple(f"picto/retrieval:{name}" for name in SETTINGS)
    assert found.data_sets("picto") == found.data_sets("picto/retrieval") == expected
    assert found.data_sets("picto/retrieval:symbola") == ("picto/retrieval:symbola",)
    with pytest.raises(InterlaceError, match="no such folder or table: nowhere"):
        found.data_sets("nowhere")


def test_one_fit_serves_all_protocols():
    setting = Setting("picto/retrieval:symbola", shots=2, seed=1)
    plans = {name: protocols.get(name).plan(setting) for name in NAMES}
    assert len({plan.split_hash for plan in plans.values()}) == 1
    targets = {name: [target.name for target in plan.targets] for name, plan in plans.items()}
    assert targets == {
        "ucdr": ["ucdr", "ucdr/mixed"],
        "uccdr": ["uccdr", "uccdr/mixed"],
        "udcdr": ["udcdr"],
        "retrieval": ["ucdr", "ucdr/mixed", "uccdr", "uccdr/mixed", "udcdr"],
    }
    for name, plan in plans.items():
        assert plan.task.train and plan.tasks == (plan.task,)
        assert all(target.queries and target.gallery for target in plan.targets)
        joined = {target.name: target for target in plans["retrieval"].targets}
        assert all(joined[target.name] == target for target in plan.targets), name


def test_an_unknown_setting_is_named():
    with pytest.raises(InterlaceError, match=r"oil: there are picto/retrieval:openmoji-black"):
        protocols.get("ucdr").plan(Setting("picto/retrieval:oil", shots=2))


@pytest.fixture(scope="module")
def sketchy(tmp_path_factory):
    """A tiny Sketchy-extended: one class of the 21 unseen ones would not do."""
    from interlace.data.datasets.retrieval_table import SKETCHY_UNSEEN

    root = tmp_path_factory.mktemp("data")
    for d, folder in enumerate(("sketch", "extended_photo")):
        for c, name in enumerate((*SKETCHY_UNSEEN, "apple", "zebra")):
            for i in range(3):
                path = root / "Sketchy" / folder / name / f"{name}_{i}.png"
                write_photo(path, 1000 * d + 10 * c + i, (8, 8))
    return root


def test_a_cell_holds_what_score_says(sketchy):
    (spec,) = list_cells("uccdr", ["sketchy:sketch"], ["zero_shot"], [1], [1])
    record = run_cell(spec, root=sketchy)
    assert record["status"] == "done", record["error"]
    plan = protocols.get("uccdr").plan(Setting("sketchy:sketch", 1, 1, root=sketchy))
    adapted = interlace.fit("picto", plan.task, "zero_shot")
    (expected,) = plan.score(adapted).values()
    assert record["metrics"] == {"uccdr": expected.to_dict()}
    # what is published for the data set stands first
    assert list(record["metrics"]["uccdr"])[:2] == ["map_200", "prec_200"]
    with pytest.raises(InterlaceError, match="sketchy:sketch"):
        protocols.get("ucdr").plan(Setting("sketchy:sketch", 1, 1, root=sketchy))


def test_a_cell_takes_the_published_setting(sketchy):
    asked = {"settings": {"epochs": 0}, "preset": "published"}
    _, spec = list_cells("uccdr", ["sketchy:sketch"], ["mail"], [2], [1], **asked)
    record = run_cell(spec, root=sketchy)
    assert record["status"] == "done", record["error"]
    assert record["run"]["preset"] == "published/uccdr/sketchy"
    assert record["run"]["train"]["objective"] == "retrieve"
    assert record["run"]["arguments"]["rank"] == 8
