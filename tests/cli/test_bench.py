"""``interlace bench``: grids from the command line."""

from __future__ import annotations

import json

import pytest

from interlace.cli.bench import usable_shots
from interlace.errors import TooFewImages

GRID = ("bench", "few-shot", "--data", "picto/activities", "--methods", "tip_adapter")


def test_a_grid_runs_once(interlace_command, tmp_path):
    asked = (*GRID, "--shots", "1,9", "--seeds", "1", "-o", tmp_path / "runs", "--workers", "1")
    code, out, err = interlace_command(*asked, "--json")
    assert code == 0
    records = json.loads(out)
    assert [record["spec"]["method"] for record in records] == ["zero_shot", "tip_adapter"]
    assert {record["status"] for record in records} == {"done"}
    # what cannot be drawn is said, once
    assert err.count("left out: picto/activities with 9 shots: too few images") == 1
    assert "2/2 tip_adapter on picto/activities, 1 shots, seed 1: all " in err
    files = sorted((tmp_path / "runs" / "few_shot" / "picto-activities").iterdir())
    assert len(files) == 2 and all(path.suffix == ".json" for path in files)
    stamps = [path.stat().st_mtime_ns for path in files]

    code, out, err = interlace_command(*asked)
    assert code == 0 and "2 of 2 cells are done already" in err
    assert "2 cells in " in out
    assert [path.stat().st_mtime_ns for path in files] == stamps


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("bench", "few_shots"), "no protocol 'few_shots': did you mean 'few_shot'?"),
        ((*GRID, "--shots", "1.5"), "shots '1.5': expected whole numbers"),
        ((*GRID, "--shots", "7,9"), "no data set has enough images for these shots"),
        ((*GRID, "--seeds", ""), "seeds '': expected whole numbers"),
        ((*GRID, "--methods", "tip"), "no method 'tip'"),
        ((*GRID, "--data", "picto/food"), "did you mean 'picto/food-drink'"),
        ((*GRID, "--conditions", "typos"), "few_shot has no condition 'typos'"),
        ((*GRID, "--set", "betta=1"), "takes a setting 'betta'"),
        (("bench", "cross_dataset", "--targets", "nowhere", *GRID[2:]), "no such folder: nowhere"),
    ],
)
def test_bad_input_is_one_line_before_anything_runs(interlace_command, tmp_path, arguments, reason):
    code, out, err = interlace_command(*arguments, "-o", tmp_path / "runs")
    assert code == 2 and not out
    assert reason in " ".join(err.split())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("asked", "enough_for", "expected", "said"),
    [
        ([1, 2], 16, [1, 2], ""),
        ([1, 9], 3, [1], "left out: x with 9 shots: 3"),
        ([9], 3, [], "left out: x with 9 shots: 3"),
        (None, 16, [4, 16], ""),
        (None, 5, [4], ""),
        (None, 2, [2], "x: 2 shots, because there are 2"),
        (None, 0, [], "left out: x: 0"),
    ],
)
def test_the_shots_a_data_set_has_images_for(capsys, asked, enough_for, expected, said):
    def draw(shots):
        if shots > enough_for:
            raise TooFewImages(f"{enough_for}")

    assert usable_shots(asked, (4, 16), draw, "x") == expected
    assert capsys.readouterr().err.strip() == said


def test_the_prefix_of_a_collection_means_all_of_it():
    from interlace.data.datasets.registry import catalog_names, expand

    of_picto = tuple(name for name in catalog_names() if name.startswith("picto/"))
    assert expand("picto") == of_picto and len(of_picto) == 6
    assert expand("picto/objects") == ("picto/objects",)
    assert expand("photos/") == ("photos/",)
