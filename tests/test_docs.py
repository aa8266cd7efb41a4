"""The method pages say what the code says, and every link of the documents leads somewhere."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml

from interlace import methods
from interlace.backbone.dual import DualEncoder
from interlace.backbone.spec import VIT_B_16
from interlace.backbone.tower import TowerOutput
from interlace.config import TRAINING, TrainConfig, method_defaults, read_settings, resolve

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "methods"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "tests/golden/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
# other tests register methods of their own
NAMES = [n for n in methods.available() if methods.get(n).__module__.startswith("interlace.")]
COUNT = "trainable parameters at ViT-B/16"
CLASSES, SHOTS = 3, 7


def tables(path):
    """Every table of a page: its header and its rows, as lists of cells."""
    found, lines = [], []
    for line in [*path.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("|"):
            lines.append([cell.strip() for cell in line.strip("|").split("|")])
        elif lines:
            header, rule, *rows = lines
            assert all(set(cell) == {"-"} for cell in rule), f"{path.name}: {header}"
            assert all(len(row) == len(header) for row in lines), f"{path.name}: {header}"
            found.append((header, rows))
            lines = []
    return found


@cache
def index():
    """The row of each method in the table of methods, by column."""
    header, rows = tables(PAGES / "README.md")[0]
    return {row[0].strip("`"): dict(zip(header, row, strict=True)) for row in rows}


@cache
def page(name):
    """The page of a method, as the index links it."""
    label = re.fullmatch(r"\[page\]\[(\w+)\]", index()[name]["page"]).group(1)
    text = (PAGES / "README.md").read_text(encoding="utf-8")
    return PAGES / re.search(rf"^\[{label}\]: (\S+)$", text, re.MULTILINE).group(1)


def stated(name):
    """What the tables with a column of the method's own say of it, by the row's first cell."""
    values = {}
    for header, rows in tables(page(name)):
        if f"`{name}`" in header:
            column = header.index(f"`{name}`")
            for row in rows:
                assert row[0] not in values, f"{name}: {row[0]} stands twice"
                values[row[0]] = row[column]
    return values


def settings(name, known):
    """The stated settings among ``known``, read as YAML."""
    cells = {row.strip("`"): cell for row, cell in stated(name).items() if row.startswith("`")}
    return {
        row: yaml.safe_load(cell.strip("`"))
        for row, cell in cells.items()
        if cell != "–" and row in known
    }


@cache
def vit_b_16():
    with torch.device("meta"):
        return DualEncoder(VIT_B_16)


def trained(name):
    """How many numbers training moves, with the shots of CLASSES classes seen."""
    with torch.device("meta"):
        method = methods.create(name, vit_b_16())
        features = [TowerOutput(torch.empty(n, 512)) for n in (SHOTS, CLASSES)]
        method.init_from_shots(features[0], torch.empty(SHOTS, dtype=torch.long), features[1])
    return sum(p.numel() for p in method.parameters())


def count(cell):
    """The number a cell such as ``8,192`` or ``512 per class`` stands for."""
    number, _, per = cell.partition(" per ")
    return int(number.replace(",", "")) * {"": 1, "class": CLASSES, "shot": SHOTS}[per]


def test_the_index_lists_every_method_and_no_other():
    assert sorted(index()) == sorted(NAMES)
    linked = {page(name) for name in NAMES}
    assert all(path.is_file() for path in linked)
    assert linked == set(PAGES.glob("*.md")) - {PAGES / "README.md"}


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_their_defaults(name):
    defaults, known = method_defaults(name), methods.parameters(name)
    assert settings(name, known) == dict(defaults.method)
    assert set(known) == set(defaults.method)
    assert settings(name, TRAINING) == dict(defaults.train)
    rows = {row.strip("`") for row in stated(name) if row.startswith("`")}
    on_the_page = [n for n in NAMES if page(n) == page(name)]
    assert rows <= TRAINING.union(*map(methods.parameters, on_the_page))


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_trained_parameters(name):
    assert count(stated(name)[COUNT]) == count(index()[name][COUNT]) == trained(name)


@pytest.mark.parametrize("name", NAMES)
def test_new_classes_and_merging(name):
    facts, row, cls = stated(name), index()[name], methods.get(name)
    new = facts["new classes without training"]
    assert new.split(",")[0] == row["new classes"] == ("no" if cls.fixed_classes else "yes")
    with torch.device("meta"):
        edits = methods.create(name, vit_b_16()).edits()
    tokens = any(edit is not None and edit.tokens is not None for edit in edits)
    merges = cls.score is methods.Method.score and not tokens
    merging = facts["merges into a plain model"]
    assert merging.split(",")[0] == row["merges"] == ("yes" if merges else "no")


def test_the_examples_name_settings_that_exist():
    used = set()
    for path in PAGES.glob("*.md"):
        for line in re.findall(r"^interlace fit .*$", path.read_text(encoding="utf-8"), re.M):
            words = shlex.split(line)
            name = words[words.index("--method") + 1]
            pairs = [
                after for word, after in zip(words, words[1:], strict=False) if word == "--set"
            ]
            resolve(name, methods.parameters(name), read_settings(None, pairs))
            used.add(name)
    assert used == set(NAMES)


def test_the_common_training_settings():
    text = " ".join((PAGES / "README.md").read_text(encoding="utf-8").split())
    config = TrainConfig()
    assert config.warmup_epochs == 1 and config.warmup_lr == 1e-5
    assert "one warm-up epoch at 1e-5" in text
    for setting in ("crop_scale=0.5", "flip=true", "precision=auto", "select=last"):
        field, value = setting.split("=")
        assert getattr(config, field) == yaml.safe_load(value)
        assert f"`{setting}`" in text
    uses_frozen_features = {name for name in NAMES if methods.get(name).uses_frozen_features}
    listed = re.search(r"((?:`\w+`,? (?:and )?)+)work on the frozen features", text).group(1)
    assert set(re.findall(r"`(\w+)`", listed)) == uses_frozen_features


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    links += re.findall(r"^\[[^\]]+\]: (\S+)$", text, flags=re.M)
    targets = [path.parent / link.partition("#")[0] for link in links if ":" not in link]
    assert not [target for target in targets if not target.exists()]


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.md")), ids=lambda p: p.name)
def test_lines_are_short_and_references_defined(path):
    text = path.read_text(encoding="utf-8")
    assert all(len(line) <= 100 for line in text.splitlines())
    assert text.count("```") % 2 == 0
    used = set(re.findall(r"\]\[([^\]]+)\]", text))
    assert used == set(re.findall(r"^\[([^\]]+)\]: ", text, flags=re.M))
