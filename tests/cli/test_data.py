"""`interlace data`, and data sets by name in the other commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interlace.data.splits import Split
from tests import models
from tests.data.trees import MAKERS, image_bytes, split_json

FAST = ["--set", "epochs=1", "--set", "n_tokens=2", "--set", "dim=8"]


@pytest.fixture
def command(monkeypatch, interlace_command):
    """Run the command line where no data root is set, with room for long lines."""
    monkeypatch.delenv("INTERLACE_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return interlace_command


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "DATA"
    for name in ("eurosat", "imagenet-a"):
        MAKERS[name](root)
    return root


def test_list(command, root):
    code, out, err = command("data", "list", "--data-root", root)
    assert code == 0, err
    assert all(name in out for name in (*MAKERS, "picto/food-drink"))
    rows = {row[1]: row[-2] for row in map(str.split, out.splitlines()) if len(row) > 5}
    code, out, _ = command("data", "list", "--data-root", root, "--json")
    there = {row["name"]: row["there"] for row in json.loads(out)["benchmarks"]}
    assert [name for name, is_there in there.items() if is_there] == ["eurosat", "imagenet-a"]
    assert (rows["eurosat"], rows["dtd"]) == ("yes", "no")


def test_check_compares_with_the_known_totals(command, root):
    code, out, err = command("data", "check", "eurosat", "--data-root", root)
    assert code == 2
    assert "test images of novel classes" in out and "3,900" in out
    assert err.count("\n") == 1
    assert "2 test images of novel classes instead of 3,900" in err
    code, out, _ = command("data", "check", "eurosat", "--data-root", root, "--json")
    assert code == 2 and json.loads(out)["ok"] is False


def test_check_says_what_is_missing_and_where_to_get_it(command, root):
    (root / "eurosat" / "split_zhou_EuroSAT.json").unlink()
    for arguments in (["data", "check"], ["fit"], ["data", "split"]):
        code, _, err = command(*arguments, "eurosat", "--data-root", root)
        assert code == 2 and err.count("\n") == 1
        assert str(root / "eurosat" / "split_zhou_EuroSAT.json") in err and "http" in err


def test_check_of_a_folder_of_ones_own(command, root):
    (root / "eurosat/2750/Forest/train_0.jpg").write_bytes(b"")
    code, out, err = command("data", "check", root / "eurosat" / "2750")
    assert code == 0
    assert "train images of 'Forest', the fewest" in out
    assert "skipped Forest/train_0.jpg: the file is empty" in err


def test_split_is_drawn_stored_and_fitted(command, root, tmp_path):
    stored, model, run = tmp_path / "split.json", tmp_path / "model", tmp_path / "run"
    models.with_tokenizer().save(model, format="open_clip")
    place = ["--data-root", root]
    code, out, err = command(
        "data", "split", "eurosat", "--shots", 2, "--seed", 5, "-o", stored, "--json", *place
    )
    assert code == 0, err
    facts = json.loads(out)
    assert (facts["train"], facts["val"], facts["test"]) == (6, 6, 6)
    assert facts["sha256"] == Split.load(stored).sha256
    method = ["--method", "mmrl", "--model", model, "--device", "cpu", *FAST]
    code, out, err = command(
        "fit", "EuroSAT", "--split", stored, "-o", run, "--json", *method, *place
    )
    assert code == 0, err
    result = json.loads(out)
    assert (result["task"], result["split_hash"]) == ("eurosat", facts["sha256"])
    assert json.loads((run / "bundle.json").read_text())["template"].startswith("a centered")
    # the images of another data set, which only tests
    code, out, err = command("evaluate", run, "imagenet-a", "--device", "cpu", "--json", *place)
    assert code == 0, err
    assert json.loads(out)["adapted"]["n"] == 2
    # scored among its own classes, and not those of the fit
    code, out, err = command("evaluate", run, "imagenet-a", "--device", "cpu", *place)
    assert code == 0 and "imagenet-a: 2 images, 2 classes" in out, err


def test_what_only_tests_cannot_be_fitted(command, root, tmp_path):
    place = ["--data-root", root, "-o", tmp_path / "run"]
    code, _, err = command("fit", "imagenet-a", "--method", "mmrl", *place)
    assert code == 2
    assert "training images" in err


def test_a_table(command, tmp_path):
    rows = ["path,label"]
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(image_bytes(number))
        rows.append(f"{number}.png,{'ab'[number % 2]}")
    (tmp_path / "photos.csv").write_text("\n".join([*rows, "9.png,a"]))
    code, out, err = command("data", "check", tmp_path / "photos.csv")
    assert code == 0 and "skipped 9.png: no such file" in err
    split = ["data", "split", tmp_path / "photos.csv", "-o", tmp_path / "s.json"]
    code, _, err = command(*split, "--shots", 1, "--strict")
    assert code == 2 and "9.png: no such file" in err
    code, _, err = command(*split, "--shots", 5)
    assert code == 0 and "fewer than 5 shots because of too few images: a 3, b 3" in err


def test_get_without_a_network(command, tmp_path, monkeypatch):
    import torchvision.datasets

    def fail(root: str, download: bool) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets, "DTD", fail)
    code, _, err = command("data", "get", "dtd", "--data-root", tmp_path)
    assert code == 2 and "DTD could not be downloaded (no network): get it from https" in err
    code, _, err = command("data", "get", "pets2", "--data-root", tmp_path)
    assert code == 2 and "no data set 'pets2'" in err


def test_get_says_what_is_still_missing(command, tmp_path, monkeypatch):
    import torchvision.datasets

    def make(root: str, download: bool) -> None:
        split_json(Path(root), "eurosat")

    monkeypatch.setattr(torchvision.datasets, "EuroSAT", make)
    code, out, err = command("data", "get", "eurosat", "--data-root", tmp_path)
    assert code == 0, err
    assert "still missing: " in out and "split_zhou_EuroSAT.json" in out


def test_help_has_an_example(command):
    for name in ("list", "check", "split", "get"):
        code, out, _ = command("data", name, "--help")
        assert code == 0
        assert f"interlace data {name}" in out and "Example" in out
    code, out, _ = command("data", "--help")
    assert code == 0 and "interlace data check" in out


def test_show_describes_a_benchmark(command):
    code, out, _ = command("show", "OxfordPets")
    assert code == 0
    assert "a type of pet" in out and "3,669" in out


def test_compare_takes_a_stored_draw_for_each_seed(command, root, tmp_path):
    model = tmp_path / "model"
    models.with_tokenizer().save(model, format="open_clip")
    place = ["--data-root", root]
    hashes = []
    for seed in (4, 9):
        file = tmp_path / f"draw-{seed}.json"
        arguments = ["--shots", 2, "--seed", seed + 10, "-o", file, *place]
        assert command("data", "split", "eurosat", *arguments)[0] == 0
        hashes.append(Split.load(file).sha256)
    code, out, err = command(
        *("compare", "eurosat", "--methods", "zero_shot", "--model", model, "--seeds", "4,9"),
        *("--split", tmp_path / "draw-{seed}.json", "--device", "cpu", "--json", *place),
    )
    assert code == 0, err
    record = json.loads(out)
    assert record["shots"] == 2
    assert {cell["scores"]["n_base"] for cell in record["cells"]} == {4}
    assert len({cell["split_hash"] for cell in record["cells"]}) == len(set(hashes)) == 2
