import pytest

from interlace.errors import InterlaceError
from interlace.report import load_cells, notices
from tests.report.making import FAILURE, cell, write


def kinds(results):
    return {notice.kind: notice.text for notice in notices(results)}


def runs(methods=("zero_shot", "mail"), seeds=range(1, 6), **spec):
    return [cell(m, s, 0.5 + 0.01 * len(m), **spec) for m in methods for s in seeds]


def test_a_whole_grid_needs_no_notice(results):
    assert kinds(results(runs())) == {}


def test_few_seeds_and_failures_and_gaps(results):
    cells = runs(seeds=(1, 2, 3))
    cells[-1] = cell("mail", 3, error=FAILURE)
    said = kinds(results(cells))
    assert "(2 or 3)" in said["seeds"]
    assert said["failed"].startswith("1 cell failed, of mail")
    assert "missing" not in said  # it failed, so it is there
    said = kinds(results([*runs(), *runs(seeds=(1, 2), data="other")]))
    # 2 methods, 2 data sets, 5 seeds; 3 seeds of the other data set are not there
    assert "6 of 20 cells of the grid are missing, of mail, zero_shot" in said["missing"]


def test_the_baseline_must_be_there_if_it_is_asked_for(results, tmp_path):
    with pytest.raises(InterlaceError, match="baseline 'coop' has no cell: there are mail"):
        results(runs(("mail",)), "coop")
    found = load_cells(tmp_path / "cells")
    assert "nothing is compared" in kinds(found)["pairs"]
    assert all(s.comparison is None for s in found.summaries())


def test_missing_pairs_are_said(results):
    cells = runs()
    cells[0]["split_hash"] = "other"
    assert "missing for mail" in kinds(results(cells))["pairs"]


def test_backbones_and_presets_are_not_averaged(results):
    cells = runs() + runs(model="ViT-B-16:openai") + runs(preset="none")
    found = results(cells)
    assert len(found.setups) == 3
    assert all(len(s.values) == 5 for s in found.summaries())
    assert "ViT-B-16:openai; picto, preset auto; picto, preset none" in kinds(found)["setups"]
    # the same name with other weights
    cells = runs()
    for made in cells[:3]:
        made["backbone"] = {"source": "picto", "fingerprint": "ffff0000"}
    found = results(cells)
    assert sorted(map(found.setup_label, found.setups))[-1].startswith("picto, weights")


def test_settings_that_differ_are_told_apart(results):
    cells = runs()
    for made in cells[-2:]:
        made["run"]["train"]["lr"] = 0.002
        made["run"]["preset"] = None
    cells[0]["run"]["train"]["lr"] = 7  # zero_shot trains nothing, so this changes nothing
    cells[1]["run"]["train"]["workers"] = 4  # nor does this
    found = results(cells)
    assert found.methods == [
        "zero_shot",
        "mail (lr=0.001, preset=picto)",
        "mail (lr=0.002, preset=None)",
    ]
    assert sorted(len(s.seeds) for s in found.summaries()) == [2, 3, 5]
    assert "Cells of mail were run with different settings" in kinds(found)["settings"]


def test_settings_may_differ_between_data_sets(results):
    cells = runs() + runs(data="b", arguments={"rank": 3})
    assert results(cells).methods == ["zero_shot", "mail"]


def test_equal_specs_with_other_ids_count_once(results):
    again = cell("mail", 1, 0.9, date="2027-01-01") | {"id": "other"}
    found = results([*runs(), again])
    mail = next(s for s in found.summaries() if s.method == "mail")
    assert mail.values[0] == 0.9 and len(mail.values) == 5
    assert kinds(found)["replaced"].startswith("1 older cell left out")


def test_origins_are_said(results, tmp_path):
    cells = runs()
    cells[0]["commit"] = "abcdef0123456"
    cells[1]["uncommitted_changes"] = True
    cells[2]["versions"] = cells[2]["versions"] | {"torch": "2.15"}
    cells[3]["machine"] = cells[3]["machine"] | {"cores": 64}
    cells[4]["tuned"] = "Table 7 of the paper"
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "other.json").write_text("{}")
    said = kinds(results(cells))
    assert "2 commits: 0f1ae8780f, abcdef0123" in said["commits"]
    assert "1 cell ran with uncommitted changes" in said["changes"]
    assert "2.14.1, 2.15" in said["versions"]
    assert "machines" in said and "tuned" in said
    assert said["skipped"].startswith("1 JSON file")


def test_failed_cells_belong_to_the_backbone_that_was_meant(results):
    found = results([*runs(), cell("coop", 1, error=FAILURE)])
    assert len(found.setups) == 1 and len(found.failed) == 1


def test_only_failures(tmp_path):
    found = load_cells(write(tmp_path, [cell("coop", 1, error=FAILURE)]))
    assert found.summaries() == [] and "failed" in kinds(found)


def test_another_baseline_of_the_same_cells(results, tmp_path):
    found = results(runs())
    other = load_cells(tmp_path / "cells", "mail")
    assert {s.comparison.baseline for s in other.summaries() if s.comparison} == {"mail"}
    assert {s.comparison.baseline for s in found.summaries() if s.comparison} == {"zero_shot"}
