"""The suite: eleven sets and four variants whose images are composed, the same everywhere."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from interlace.data.datasets import picto, suite
from interlace.data.datasets.registry import (
    catalog_names,
    expand,
    open_source,
    shifted,
    transfer_source,
)
from interlace.data.datasets.suite import store
from interlace.data.datasets.suite.compose import ComposedSet, Composition, compose
from interlace.data.datasets.suite.drawings import HANDS, clusters, unseen
from interlace.data.datasets.suite.table import CHOSEN, SETS, SHIFTS, SUITE_SOURCE
from interlace.data.images.decode import open_image
from interlace.data.splits import base_and_novel, split_records
from interlace.errors import InterlaceError

EVERY = (*SETS, *SHIFTS)
ROOT = Path(__file__).parents[2]
SAMPLES = Path(__file__).with_name("suite_samples.json")
STEP = 24  # every so manieth image is composed where all of them would take too long


@cache
def composition(name: str) -> Composition:
    return Composition(name)


@cache
def drawings() -> dict[int, object]:
    return {drawing.row: drawing for drawing in unseen()}


def shown(name: str, part: str) -> list[tuple[int, int]]:
    """Label and row of every image of a part."""
    images = json.loads(composition(name).header)["images"]
    return [(label, row) for where, label, row, _ in images if where == part]


def test_there_are_eleven_sets_and_four_variants_and_all_have_a_hash():
    assert len(CHOSEN) == len(set(CHOSEN)) == 11
    assert SUITE_SOURCE in CHOSEN and set(CHOSEN) < set(SETS)
    assert len(SHIFTS) == 4 and not set(SHIFTS) & set(SETS)
    assert sorted(store.hashes()) == sorted(EVERY)
    for prefix, count in (("suite", 11), ("suite-shifts", 4), ("suite-dev", len(SETS) - 11)):
        assert len(expand(prefix)) == count
        assert set(expand(prefix)) < set(catalog_names())


@pytest.mark.parametrize("name", EVERY)
def test_a_sample_has_the_same_bytes_on_every_machine(name):
    own = composition(name)
    content = hashlib.sha256(own.header + b"\n")
    for index in range(0, len(own), STEP):
        content.update(own.image(index).tobytes())
    expected = json.loads(SAMPLES.read_text(encoding="utf-8"))[name]
    assert content.hexdigest() == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_a_set_has_the_same_bytes_on_every_machine(name):
    assert compose(name).sha256 == store.hashes()[name]


@pytest.mark.parametrize("name", EVERY)
def test_no_drawing_and_no_twin_is_on_both_sides(name):
    trained = name if name in SETS else SUITE_SOURCE
    train = {drawings()[row] for _, row in shown(trained, "train")}
    test = {drawings()[row] for _, row in shown(name, "test")}
    assert train and test
    assert not {d.twins for d in train} & {d.twins for d in test}
    if name not in ("animals", "food", "places", "tools"):  # there, a concept is a class
        assert not {d.concept for d in train} & {d.concept for d in test}


def test_the_eleven_are_those_that_the_rule_gives_on_the_recorded_scores():
    record = json.loads((ROOT / "benchmarks/quality/picto/candidates.json").read_text())
    own = {name.partition("/")[2]: found for name, found in record["sets"].items()}
    assert set(own) == set(SETS)
    chance = {name: 1 / found["classes"] for name, found in own.items()}
    above = {name: (found["linear_probe"] / 100 - chance[name]) / (1 - chance[name])
             for name, found in own.items()}  # fmt: skip
    sorts = {
        ("animals", "food", "places", "tools"): 3,
        ("groups", "kinds", "people", "signs", "smileys"): 3,
        ("capture", "colours", "hands", "prints", "textures"): 3,
        ("counting", "layouts", "positions", "turn"): 2,
    }
    assert sorted(itertools.chain(*sorts)) == sorted(SETS)
    above[SUITE_SOURCE] = 1.0
    taken = [n for sort, count in sorts.items() for n in sorted(sort, key=above.get)[-count:]]
    assert sorted(taken) == sorted(CHOSEN) == record["chosen"] and len(CHOSEN) == 11
    gains = [own[name]["linear_probe"] - own[name]["zero_shot"]["all"] for name in CHOSEN]
    assert sum(gains) / 11 >= 8


def test_what_trains_in_one_set_tests_in_none():
    train = {drawings()[row].twins for name in SETS for _, row in shown(name, "train")}
    for name in EVERY:
        assert not train & {drawings()[row].twins for _, row in shown(name, "test")}, name


def test_the_drawings_are_by_hands_that_pretraining_has_not_seen():
    table = picto.images()
    seen, styles = table["seen"].to_pylist(), table["style"].to_pylist()
    assert all(not seen[d.row] and styles[d.row] in HANDS for d in unseen())
    roles = picto.task("styles")["domains"]
    assert not any(roles[hand]["seen"] for hand in HANDS)


@pytest.mark.parametrize("name", EVERY)
def test_a_set_has_enough_images_and_names_that_can_be_split(name):
    header = json.loads(composition(name).header)
    classes = header["classes"]
    assert classes == sorted(set(classes)) and len(classes) >= 4
    assert header["template"].count("{}") == 1
    train = [label for label, _ in shown(name, "train")]
    test = [label for label, _ in shown(name, "test")]
    assert len(test) >= 500
    assert {test.count(label) for label in range(len(classes))} == {len(test) // len(classes)}
    if name in SETS:
        assert min(train.count(label) for label in range(len(classes))) >= 20
    assert all(base_and_novel(tuple(classes)))


def test_the_variants_have_the_classes_of_their_source():
    header = json.loads(composition(SUITE_SOURCE).header)
    for name in SHIFTS:
        own = json.loads(composition(name).header)
        assert (own["classes"], own["template"]) == (header["classes"], header["template"])
        assert not shown(name, "train")


def test_images_of_a_class_differ():
    own = composition("hands")
    images = [own.image(index).tobytes() for index in range(32)]
    assert len(set(images)) == 32


def test_where_transfer_starts_and_what_its_variants_are():
    assert transfer_source("suite") == f"suite/{SUITE_SOURCE}"
    assert transfer_source("picto") == transfer_source("suite-dev/hands") == ""
    assert shifted(f"suite/{SUITE_SOURCE}") == expand("suite-shifts")
    assert shifted("suite-dev/hands") == shifted("picto/objects") == ()


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A set of four images, in a cache of its own; says how often it was composed."""
    images = [["train", 0, 1, "a"], ["train", 1, 2, "a"], ["test", 0, 3, "b"], ["test", 1, 4, "b"]]
    header = json.dumps({"template": "a {}", "classes": ["x", "y"], "images": images}).encode()
    pixels = np.arange(4 * 48 * 48 * 3, dtype=np.uint32).astype(np.uint8).reshape(4, 48, 48, 3)
    made = ComposedSet(header, pixels)
    times = []

    def compose_again(name, tell):
        times.append(name)
        tell(4, 4)
        return made

    monkeypatch.setattr(store, "compose", compose_again)
    monkeypatch.setattr(store, "hashes", lambda: {"hands": made.sha256})
    monkeypatch.setenv(store.CACHE_VARIABLE, str(tmp_path / "cache"))
    return times


def the_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "cache" / "suite").iterdir()
    return path


def test_a_set_is_composed_once_and_read_after_that(tiny, tmp_path):
    first, second = open_source("suite-dev/hands"), open_source("suite-dev/hands")
    assert tiny == ["hands"]
    assert first == second
    assert (first.classes, first.template, first.notes) == (("x", "y"), "a {}", ())
    assert {part: len(own) for part, own in first.pools.items()} == {"train": 2, "test": 2}
    record = first.pools["test"][0]
    assert (record.key, record.label, record.domain) == ("suite:hands/test/0002", 0, "b")
    pixels = np.asarray(open_image(record.image))
    assert pixels.shape == (48, 48, 3) and pixels[0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("harm", [b"", b"somebody else's", "cut", "flipped"])
def test_what_is_not_the_set_is_made_anew(tiny, tmp_path, harm):
    good = open_source("suite-dev/hands")
    path = the_file(tmp_path)
    content = path.read_bytes()
    if harm == "cut":
        harm = content[:-1]
    elif harm == "flipped":
        harm = content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes(harm)
    assert open_source("suite-dev/hands") == good
    assert path.read_bytes() == content and len(tiny) == 2


def test_a_set_that_comes_out_otherwise_is_refused(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(store, "hashes", lambda: {"hands": "0" * 64})
    with pytest.raises(InterlaceError, match="hands was composed to other bytes.*not 000000000000"):
        open_source("suite-dev/hands")
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_said_and_stops_nothing(tiny, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(store.CACHE_VARIABLE, str(tmp_path / "file"))
    source = open_source("suite-dev/hands")
    assert len(source.pools["test"]) == 2
    assert "composed anew each time: cannot write" in source.notes[0]


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv(store.CACHE_VARIABLE, raising=False)
    monkeypatch.setattr(store.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store.cache_folder() == tmp_path / "interlace"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert store.cache_folder() == Path(os.path.expanduser("~/.cache/interlace"))


def test_progress_is_said_on_a_terminal_alone(tiny, monkeypatch, capsys):
    open_source("suite-dev/hands")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(store.sys.stderr, "isatty", lambda: True, raising=False)
    shown_line = store._Progress("hands")
    shown_line.tell(1, 4)
    shown_line.close()
    assert "composing the data set hands: 25 %" in capsys.readouterr().err


def test_shots_and_validation_shots_are_drawn_as_of_any_set(tiny):
    source = open_source("suite-dev/hands")
    train, _, test = split_records(source.pools, source.classes, 1, 1, True)
    assert (len(train), len(test)) == (2, 2)
    assert suite.read("suite-dev", "hands") == source


def test_clusters_join_what_shares_a_key():
    some = [d for d in unseen() if d.concept == unseen()[0].concept]
    found = clusters(some, [lambda d: d.twins])
    assert sorted(d.row for own in found for d in own) == [d.row for d in some]
    assert len(found) == len({d.twins for d in some}) > 1
    assert len(clusters(some, [lambda d: d.twins, lambda d: d.concept])) == 1
