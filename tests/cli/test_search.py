"""The search and embed commands as a user runs them."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from PIL import Image

import interlace
from interlace.data.datasets import picto


@pytest.fixture
def photos(tmp_path):
    """Six drawings in two class folders, and a broken file."""
    table, root = picto.images(), tmp_path / "photos"
    for name in ("rocket", "banana"):
        (root / name).mkdir(parents=True)
        rows = [i for i, other in enumerate(table["name"].to_pylist()) if other == name]
        for number in rows[:3]:
            content = table["image"][number].as_py()
            (root / name / f"{number}.webp").write_bytes(content)
    (root / "broken.png").write_bytes(b"not a picture")
    return root


def test_build_info_and_query(interlace_command, photos, tmp_path):
    gallery = tmp_path / "gallery"
    code, out, err = interlace_command("search", "build", photos, "-o", gallery, "--model", "picto")
    assert code == 0, err
    assert "6 images; 6 new, 0 changed, 0 removed, 0 unchanged, 1 skipped" in out
    assert "skipped broken.png: not an image of a known format" in err

    next(photos.glob("banana/*")).rename(photos / "banana" / "renamed.webp")
    code, out, _ = interlace_command("search", "build", photos, "-o", gallery, "--json")
    built = json.loads(out)
    assert code == 0 and (built["images"], built["added"], built["reused"]) == (6, 1, 1)
    assert built["removed"] == 1 and built["skipped"][0]["path"] == "broken.png"

    code, out, _ = interlace_command("search", "info", gallery, "--json")
    info = json.loads(out)
    assert code == 0 and info["images"] == 6 and info["complete"] and info["index"] == "exact"
    assert info["model"]["source"] == "picto" and info["photos"] == str(photos)
    code, out, err = interlace_command("search", "info", gallery)
    assert code == 0 and "exact" in out and "did not finish" not in err

    sheet = tmp_path / "sheets" / "found.png"
    code, out, err = interlace_command(
        "search", "query", gallery, "a yellow banana", "-k", 3, "--sheet", sheet, "--json"
    )
    found = json.loads(out)
    assert code == 0 and found["kind"] == "text" and found["model"] == info["model"]
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert found["hits"][0]["label"] == "banana"
    scores = [hit["score"] for hit in found["hits"]]
    assert scores == sorted(scores, reverse=True) and scores[0] < 1
    with Image.open(sheet) as picture:
        assert picture.format == "PNG" and picture.width > 3 * 160 and picture.height > 160

    path = next(photos.glob("rocket/*"))
    code, out, _ = interlace_command("search", "query", gallery, path, "-k", 50)
    assert code == 0 and "1.000" in out and out.count("rocket") >= 3
    for sheet, reason in (
        (tmp_path / "x.sheet", "unknown file"),
        (tmp_path / "x.xbm", "cannot write mode RGB"),
        (path / "x.png", "is not a folder"),
    ):
        code, _, err = interlace_command("search", "query", gallery, path, "--sheet", sheet)
        assert code == 2 and str(sheet.parent) in err and reason in err
        assert len(err.strip().splitlines()) == 1


def test_an_unfinished_build_is_told(interlace_command, photos, tmp_path):
    gallery = tmp_path / "gallery"
    code, _, err = interlace_command(
        "search", "build", photos, "-o", gallery, "--model", "picto", "--strict"
    )
    assert code == 2 and "broken.png: not an image of a known format" in err
    code, _, err = interlace_command("search", "info", gallery)
    assert code == 0 and "its last build did not finish" in err


def test_refusals_are_one_line(interlace_command, photos, tmp_path):
    gallery, file = tmp_path / "gallery", tmp_path / "file"
    file.touch()
    for arguments, message in (
        (["search", "build", photos, "-o", gallery], "a new gallery needs a model to make"),
        (["search", "build", tmp_path / "no", "-o", gallery, "--model", "picto"], "no such folder"),
        (["search", "query", gallery, "a rocket"], "holds no gallery"),
        (["search", "query", gallery, "a", "--image", "--text"], "a query is one of them"),
        (["search", "info", gallery, "--storage", "region"], "expected key=value"),
        (["embed", photos, "-o", tmp_path / "o", "--model", "picto", "--engine", "x"], "--engine"),
        (["embed", tmp_path / "no", "-o", tmp_path / "o", "--model", "picto"], "no such file"),
        (
            ["embed", photos, "-o", file / "o", "--model", "picto"],
            f"{file}/o: {file} is not a folder",
        ),
    ):
        code, out, err = interlace_command(*arguments)
        assert (code, out) == (2, ""), arguments
        assert message in err and len(err.strip().splitlines()) == 1
    assert not gallery.exists()


def test_embed(interlace_command, photos, tmp_path):
    output = tmp_path / "out.parquet"
    code, out, err = interlace_command("embed", photos, "-o", output, "--model", "picto", "--json")
    assert code == 0, err
    said = json.loads(out)
    assert said["images"] == 6 and said["skipped"][0]["key"] == "broken.png"
    table = pq.read_table(output)
    assert table.column_names == ["key", "label", "vector"] and len(table) == 6
    code, out, err = interlace_command("embed", photos, "-o", output, "--model", "picto")
    assert code == 2 and "is there already" in err
    code, out, err = interlace_command(
        "embed", photos, "-o", output, "--model", "picto", "--overwrite"
    )
    dim = table.schema.field("vector").type.list_size
    assert dim == interlace.load("picto").spec.embed_dim
    assert code == 0 and f"6 vectors of {dim} numbers, 1 skipped" in out


@pytest.mark.parametrize(
    "command", [["search"], ["search", "build"], ["search", "query"], ["embed"]]
)
def test_help_has_an_example(interlace_command, command):
    code, out, _ = interlace_command(*command, "--help")
    assert code == 0 and "Example: interlace " in out
