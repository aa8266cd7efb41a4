"""``interlace reproduce`` as a user runs it, on a tiny data set and the embedded model."""

from __future__ import annotations

import json

import pytest
import torch

from interlace.experiments.cell import run_cell
from tests.data import trees

TRIAL = ["--model", "picto", "--set", "epochs=1", "--set", "batch_size=32"]


class Here:
    """Runs cells in this process."""

    workers = 1

    def __init__(self, root):
        self.root, self.ran = root, []

    def run(self, specs, started):
        for spec in specs:
            started(spec)
            self.ran.append(spec)
            yield run_cell(spec, root=self.root, device="cpu")


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.delenv("INTERLACE_DATA", raising=False)
    monkeypatch.setattr(trees, "COUNTS", {"train": 17, "val": 4, "test": 3})
    trees.split_json(tmp_path / "data", "eurosat")
    return tmp_path / "data"


@pytest.fixture
def engine(monkeypatch, data):
    here = Here(data)
    monkeypatch.setattr("interlace.cli.reproduce.make_engine", lambda *_: here)
    threads = torch.get_num_threads()
    yield here
    torch.set_num_threads(threads)


def test_a_trial_run_from_end_to_end(interlace_command, data, engine, tmp_path):
    command = [
        *("reproduce", "mmrl/base_to_novel", "--data", "eurosat", "--data-root", data, *TRIAL),
        *("--seeds", "1,2", "-o", tmp_path / "runs"),
    ]
    code, printed, err = interlace_command(*command)
    assert code == 0 and [spec.seed for spec in engine.ran] == [1, 2], err
    assert "NOT COMPARABLE: the model is picto" in printed
    assert "NOT THE PUBLISHED SETTING: epochs=1, batch_size=32." in printed
    assert "NOT THE PUBLISHED DATA: EuroSAT: 3 classes instead of 10." in printed
    assert "Seeds 1, 2; the published runs have 1, 2, 3." in printed
    assert "eurosat *" in printed and "tuned: values the authors chose" in printed
    assert "95.60 a" in printed and "80.17 a" in printed and "72.33 b" in printed
    assert "b  independent re-run: Yejiaxuan/AlignedNorm-Jittor" in printed
    assert "No average: it is over 11 data sets, 1 ran." in printed

    code, printed, err = interlace_command(*command, "--json")  # nothing runs again
    assert code == 0 and len(engine.ran) == 2 and "2 of 2 cells are done already" in err
    result = json.loads(printed)
    assert result["as_published"] is False and len(result["notes"]) == 4
    assert "arXiv 2503.08497" in result["tuned"]["eurosat"]
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("*.json")]
    novel = [100 * record["metrics"]["novel"]["top1"] for record in records]
    row = next(row for row in result["rows"] if row["measure"] == "novel")
    assert row["ours"]["mean"] == pytest.approx(sum(novel) / 2) and row["ours"]["n"] == 2
    assert [v["value"] for v in row["published"]] == [80.17, 72.33]
    for published in row["published"]:
        assert published["difference"] == pytest.approx(row["ours"]["mean"] - published["value"])
    for record in records:
        run = record["run"]
        assert (run["arguments"]["reg"], run["arguments"]["dim"]) == (0.01, 2048)
        assert (run["train"]["lr"], run["train"]["epochs"]) == (1e-3, 1)


def test_a_cell_that_fails_is_said(interlace_command, data, engine, tmp_path, monkeypatch):
    monkeypatch.setattr("interlace.protocols.classification.score", lambda *_: 1 / 0)
    code, printed, err = interlace_command(
        *("reproduce", "zero_shot/few_shot", "--data", "eurosat", "--data-root", data),
        *("--model", "picto", "-o", tmp_path / "runs"),
    )
    assert code == 1 and "1 cells failed, the first with: division by zero" in err
    assert "eurosat" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["mmrl/base_to_novel", "--data", "picto/food-drink"],
            "not published on 'picto/food-drink'",
        ),
        (["mmrl/base_to_novel"], "those that are there run with --data eurosat"),
        (["mmrl/base_to_novel", "--data", "dtd"], "not there or not complete: dtd: interlace data"),
        (["mmrl/cross_dataset", "--data", "eurosat"], "not there or not complete: imagenet"),
        (["mmrl/few_sho"], "did you mean 'mmrl/few_shot'"),
        (["maple/cross_dataset"], "the setting that reached them is not known"),
        (["mmrl/few_shot", "--data", "eurosat", "--seeds", "a"], "expected whole numbers"),
        (["mmrl/few_shot", "--data", "eurosat", "--set", "epoch=1"], "'epoch'"),
        (
            ["mmrl/few_shot", "--data", "eurosat", "--model", "./none"],
            "the model ./none is not there",
        ),
    ],
)
def test_refusals_are_one_line(interlace_command, data, engine, tmp_path, arguments, message):
    code, printed, err = interlace_command(
        "reproduce", *arguments, "--data-root", data, "-o", tmp_path / "runs"
    )
    assert (code, printed) == (2, "") and not engine.ran
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert ("--data eurosat" in err) == (arguments == ["mmrl/base_to_novel"])


def test_the_list(interlace_command):
    code, printed, _ = interlace_command("reproduce")
    assert code == 0 and "mmrl/base_to_novel" in printed and "tuned for each data set" in printed
    code, printed, _ = interlace_command("reproduce", "--list", "--json")
    found = {one["name"]: one for one in json.loads(printed)}
    assert found["mmrl/base_to_novel"]["published_values"] == 55
    assert found["mmrl/base_to_novel"]["tuned"] is True
    assert found["coop/base_to_novel"]["tuned"] is False
    assert found["maple/cross_dataset"]["setting"] is None


@pytest.mark.parametrize(
    ("arguments", "preset", "batch"),
    [
        (["--classes", "base"], "published/base_to_novel/eurosat", 4),
        ([], "published/few_shot/eurosat", 32),
    ],
)
def test_fit_takes_the_published_values(
    interlace_command, data, tmp_path, arguments, preset, batch
):
    code, printed, err = interlace_command(
        *("fit", "EuroSAT", "--data-root", data, "--method", "mmrl", "--preset", "published"),
        *("--shots", 1, "--set", "epochs=0", "--set", "dim=8", "-o", tmp_path / "run", *arguments),
    )
    assert code == 0, err
    assert "tuned: published values for this data set (MMRL, CVPR 2025" in printed
    run = json.loads((tmp_path / "run" / "result.json").read_text())["run"]
    assert (run["preset"], run["arguments"]["reg"]) == (preset, 0.01)
    assert run["train"]["batch_size"] == batch
    assert "2503.08497" in run["tuned"]
    code, printed, _ = interlace_command("show", tmp_path / "run", "--json")
    assert "2503.08497" in json.loads(printed)["tuned"]


def test_fit_says_where_nothing_is_published(interlace_command, data, tmp_path):
    code, printed, err = interlace_command(
        *("fit", "eurosat", "--data-root", data, "--method", "linear_probe", "--shots", 1),
        *("--preset", "published", "--set", "epochs=0", "-o", tmp_path / "run"),
    )
    assert code == 0 and "no published values of linear_probe for eurosat" in err
    assert "tuned" not in printed
    code, _, err = interlace_command("fit", "eurosat", "--preset", "publishd", "-o", tmp_path / "x")
    assert code == 2 and "no preset 'publishd'" in err
