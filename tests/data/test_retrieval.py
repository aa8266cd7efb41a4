"""Retrieval data: the benchmarks' layouts, and what is drawn from them."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from interlace.data.datasets.retrieval_sets import open_retrieval, read_domains
from interlace.data.datasets.retrieval_table import (
    DOMAINNET_UNSEEN,
    SKETCHY_UNSEEN,
    TUBERLIN_UNSEEN,
    retrieval_names,
)
from interlace.data.records import Record
from interlace.data.retrieval import RetrievalSet, RetrievalSetting, unseen_by_hash
from interlace.data.retrieval_task import RetrievalTask, draw_retrieval
from interlace.data.source import Source
from interlace.errors import InterlaceError
from tests.data.conftest import write_photo

DOMAINS = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")
TRAINED = ("The_Eiffel_Tower", "aircraft_carrier", "zebra")


def plant(root: Path, classes: Iterable[str], count: int, suffix: str = ".jpg") -> None:
    """Files that are named like images; benchmarks are not decoded when they are read."""
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f"{number:03}{suffix}").write_bytes(b"-")


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three data sets, with one image per unseen class and more of some others."""
    root = tmp_path_factory.mktemp("benchmarks")
    for domain in DOMAINS:
        plant(root / "DomainNet" / domain, DOMAINNET_UNSEEN, 1)
        plant(root / "DomainNet" / domain, TRAINED, 25 if domain == "real" else 12)
    for folder, suffix in (("sketch", ".png"), ("extended_photo", ".jpg"), ("photo", ".jpg")):
        plant(root / "Sketchy" / folder, (*SKETCHY_UNSEEN, "ant", "car_(sedan)"), 3, suffix)
    for folder in ("sketches", "images"):
        plant(root / "TUBerlin" / folder, (*TUBERLIN_UNSEEN, "angel", "hot_air_balloon"), 3)
    return root


def domains_of(records: Iterable[Record]) -> set[str]:
    return {record.domain for record in records}


def classes_of(task: RetrievalTask, records: Iterable[Record]) -> set[str]:
    return {task.classes[record.label] for record in records}


def keys(records: Iterable[Record]) -> set[str]:
    return {record.key for record in records}


def check_apart(task: RetrievalTask) -> None:
    """What trains is never searched, and nothing asks and is searched at once."""
    for target in task.targets.values():
        train, queries, gallery = map(keys, (task.fit.train, target.queries, target.gallery))
        assert len(queries) == len(target.queries) and len(gallery) == len(target.gallery)
        assert not train & queries and not train & gallery and not queries & gallery


def test_the_lists_of_unseen_classes() -> None:
    assert [len(set(names)) for names in (DOMAINNET_UNSEEN, SKETCHY_UNSEEN, TUBERLIN_UNSEEN)] == [
        45,
        21,
        25,
    ]
    assert retrieval_names() == ("picto/retrieval", "domainnet", "sketchy", "tuberlin")


def test_domainnet(benchmarks: Path) -> None:
    data = open_retrieval("domainnet", root=benchmarks)
    assert data.domains == DOMAINS and data.gallery == "real"
    assert [(s.held_out, s.seen) for s in data.settings] == [
        ("sketch", "quickdraw"),
        ("quickdraw", "sketch"),
        ("painting", "infograph"),
        ("infograph", "painting"),
        ("clipart", "painting"),
    ]
    for setting in data.settings:
        task = draw_retrieval(data, "ucdr", 2, 1, setting.name)
        route = f"ucdr/{setting.held_out}->real"
        assert list(task.targets) == [route, f"{route}/mixed"]
        assert set(task.train_classes) == {"The Eiffel Tower", "aircraft carrier", "zebra"}
        # all other domains train, the gallery's too
        assert domains_of(task.fit.train) == set(DOMAINS) - {setting.held_out}
        counts = Counter((record.label, record.domain) for record in task.fit.train)
        assert set(counts.values()) == {2} and len(counts) == 3 * 5
        alone, mixed = task.targets.values()
        assert domains_of(alone.queries) == {setting.held_out}
        assert domains_of(mixed.gallery) == {"real"}
        assert classes_of(task, alone.queries) == classes_of(task, alone.gallery)
        assert classes_of(task, alone.gallery) == set(DOMAINNET_UNSEEN)
        assert alone.queries == mixed.queries
        # 8 % of 25 images of each of three classes
        added = keys(mixed.gallery) - keys(alone.gallery)
        assert len(added) == 3 * 2
        assert Counter(key.split("/")[1] for key in added) == dict.fromkeys(TRAINED, 2)
        check_apart(task)


def test_domainnet_other_protocols(benchmarks: Path) -> None:
    data = open_retrieval("DomainNet", root=benchmarks)
    seen = draw_retrieval(data, "uccdr", 2, 1, "sketch")
    assert list(seen.targets) == ["uccdr/quickdraw->real", "uccdr/quickdraw->real/mixed"]
    assert domains_of(seen.targets["uccdr/quickdraw->real"].queries) == {"quickdraw"}
    assert "quickdraw" in domains_of(seen.fit.train)
    for name, share in (("sketch", 0.25), ("quickdraw", 0.1)):
        task = draw_retrieval(data, "udcdr", 2, 1, name)
        (target,) = task.targets.values()
        assert classes_of(task, target.queries) == set(task.train_classes)
        assert domains_of(target.queries) == {name}
        assert len(target.queries) == 3 * math.ceil(share * 12)
        assert len(target.gallery) == 3 * math.ceil(share * 25)
        check_apart(task)
    # one fit serves every protocol of a setting
    hashes = {draw_retrieval(data, p, 2, 1, "sketch").fit.split_hash for p in PROTOCOLS}
    assert len(hashes) == 1


PROTOCOLS = ("ucdr", "uccdr", "udcdr")


@pytest.mark.parametrize(
    ("name", "unseen", "folders", "measures"),
    [
        ("sketchy", SKETCHY_UNSEEN, ("sketch", "extended_photo"), ("map_200", "prec_200")),
        ("TU-Berlin", TUBERLIN_UNSEEN, ("sketches", "images"), ("map_all", "prec_100")),
    ],
)
def test_sketches_and_photos(
    benchmarks: Path, name: str, unseen: tuple[str, ...], folders: tuple[str, str], measures: object
) -> None:
    data = open_retrieval(name, root=benchmarks)
    task = draw_retrieval(data, "uccdr", 2, 1)
    (target,) = task.targets.values()
    assert list(task.targets) == ["uccdr/sketch->photo"]
    assert classes_of(task, target.queries) == set(unseen)
    assert len(target.queries) == len(target.gallery) == 3 * len(unseen)
    assert {key.split("/")[0] for key in keys(target.queries)} == {folders[0]}
    assert {key.split("/")[0] for key in keys(target.gallery)} == {folders[1]}
    assert len(task.fit.train) == 2 * 2 * 2 and domains_of(task.fit.train) == {"sketch", "photo"}
    assert task.measures == measures
    check_apart(task)
    for protocol in ("ucdr", "udcdr"):
        with pytest.raises(InterlaceError, match=f"{protocol} needs a held-out domain"):
            draw_retrieval(data, protocol, 2, 1)


def test_shots_follow_the_seed_and_the_rest_does_not(benchmarks: Path) -> None:
    data = open_retrieval("domainnet", root=benchmarks)
    first, again, other = (draw_retrieval(data, "ucdr", 2, seed, "sketch") for seed in (1, 1, 2))
    assert first.split_hash == again.split_hash != other.split_hash
    assert first.targets == other.targets
    assert keys(first.fit.train) != keys(other.fit.train)
    fewer = draw_retrieval(data, "ucdr", 1, 1, "sketch")
    assert keys(fewer.fit.train) < keys(first.fit.train)
    # no order of files matters
    source = data.source
    turned = replace(source, pools={"train": list(reversed(list(source.records())))})
    assert draw_retrieval(replace(data, source=turned), "ucdr", 2, 1, "sketch") == first


def test_domainnet_by_its_lists(tmp_path: Path) -> None:
    root = tmp_path / "DomainNet"
    for domain in DOMAINS:
        plant(root / domain, (*DOMAINNET_UNSEEN, *TRAINED), 2)
    lines = [f"real/{name}/{n:03}.jpg 7" for name in (*DOMAINNET_UNSEEN, *TRAINED) for n in (0, 1)]
    (root / "real_train.txt").write_text("\n".join(lines[::2]) + "\nreal/zebra/lost.jpg 9\n")
    (root / "real_test.txt").write_text("\n".join(lines[1:-2:2]))
    (root / "clipart_train.txt").write_text("clipart/zebra/000.jpg 3\n")  # half a list says nothing
    source = open_retrieval("domainnet", root=tmp_path).source
    real = [record.key for record in source.records() if record.domain == "real"]
    assert sorted(real) == sorted(line.split()[0] for line in (*lines[::2], *lines[1:-2:2]))
    assert [skipped.key for skipped in source.skipped] == ["real/zebra/lost.jpg"]
    assert sum(r.domain == "clipart" for r in source.records()) == 2 * 48
    with pytest.raises(InterlaceError, match=r"lost\.jpg: listed, and no such file"):
        open_retrieval("domainnet", root=tmp_path, strict=True)
    (root / "real_test.txt").write_text("zebra/000.jpg 3\n")
    with pytest.raises(InterlaceError, match=r"line 1: 'zebra/000\.jpg 3': expected real/<class>"):
        open_retrieval("domainnet", root=tmp_path)


def test_an_incomplete_copy(
    benchmarks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INTERLACE_DATA", raising=False)
    with pytest.raises(InterlaceError, match="DomainNet: where is it"):
        open_retrieval("domainnet")
    plant(tmp_path / "Sketchy" / "sketch", ("ant", "bat"), 1)
    with pytest.raises(InterlaceError, match="Sketchy-extended: no folder .*extended_photo"):
        open_retrieval("sketchy", root=tmp_path)
    plant(tmp_path / "Sketchy" / "extended_photo", ("ant", "bat"), 1)
    with pytest.raises(InterlaceError, match="20 of 21 unseen classes are not there: cabin, cow"):
        open_retrieval("sketchy", root=tmp_path)
    with pytest.raises(InterlaceError, match="are fixed"):
        open_retrieval("sketchy", root=benchmarks, gallery="sketch")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Three domains of ten classes, three images each."""
    for d, domain in enumerate(("cctv", "drone", "phone")):
        for label in range(10):
            for number in range(3):
                path = tmp_path / "own" / domain / f"class_{label}" / f"{number}.png"
                write_photo(path, 100 * d + 10 * label + number, (12, 12))
    (tmp_path / "own" / "phone" / "class_0" / "broken.png").write_bytes(b"no image")
    return tmp_path / "own"


def test_images_of_your_own(own: Path) -> None:
    data = open_retrieval(own, gallery="phone", template="a {} photo")
    assert data.settings == (RetrievalSetting("cctv", "drone"), RetrievalSetting("drone", "cctv"))
    assert data.unseen == unseen_by_hash(f"class_{label}" for label in range(10))
    assert [skipped.key for skipped in data.source.skipped] == ["phone/class_0/broken.png"]
    for protocol in PROTOCOLS:
        task = draw_retrieval(data, protocol, 1, 1, "cctv")
        check_apart(task)
        assert len(task.fit.train) == 8 * 2 and task.template == "a {} photo"
        assert domains_of(task.fit.train) == {"drone", "phone"}
    given = open_retrieval(own, gallery="phone", held_out="drone", unseen=["class_3"])
    assert given.unseen == ("class_3",) and [s.held_out for s in given.settings] == ["drone"]
    with pytest.raises(InterlaceError, match=r"broken\.png"):
        read_domains(own, strict=True)


def test_a_table_with_domains(own: Path) -> None:
    (own / "phone" / "class_0" / "broken.png").unlink()
    rows = ["path,class,domain"]
    rows += [f"{p.relative_to(own)},{p.parts[-2]},{p.parts[-3]}" for p in own.rglob("*.png")]
    (own / "all.csv").write_text("\n".join(rows))
    table = open_retrieval(own / "all.csv", gallery="phone")
    (own / "all.csv").unlink()
    folder = open_retrieval(own, gallery="phone")
    one, other = (draw_retrieval(data, "ucdr", 1, 1, "cctv") for data in (table, folder))
    assert one.targets.keys() == other.targets.keys()
    assert keys(one.fit.train) == keys(other.fit.train)


BAD: list[tuple[dict, str]] = [
    ({}, r"gallery=\.\.\.: must be one of cctv, drone, phone"),
    ({"gallery": "x"}, "no gallery domain 'x': there are cctv, drone, phone"),
    ({"gallery": "phone", "held_out": "y"}, "no held-out domain 'y'"),
    ({"gallery": "phone", "held_out": "phone"}, "must be different domains"),
    ({"gallery": "phone", "unseen": ["z"]}, "1 of 1 unseen classes are not there: z"),
    ({"gallery": "phone", "unseen": []}, "0 of 10 classes are unseen"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_arguments(own: Path, arguments: dict, message: str) -> None:
    with pytest.raises(InterlaceError, match=message):
        open_retrieval(own, **arguments)


def test_bad_draws(own: Path, tmp_path: Path) -> None:
    data = open_retrieval(own, gallery="phone")
    for arguments, message in (
        (("x", 1, 1, "cctv"), "protocol 'x': must be ucdr, uccdr or udcdr"),
        (("ucdr", 0, 1, "cctv"), "shots=0: must be"),
        (("ucdr", 1, 1, None), "setting 'None': must be one of cctv, drone"),
        (("ucdr", 1, 1, "phone"), "setting 'phone': must be one of cctv, drone"),
    ):
        with pytest.raises(InterlaceError, match=message):
            draw_retrieval(data, *arguments)
    with pytest.raises(InterlaceError, match="no such folder or table: .*nor a known retrieval"):
        open_retrieval("domainet")
    with pytest.raises(InterlaceError, match="1 domains: at least two"):
        plant_one = tmp_path / "one"
        write_photo(plant_one / "a" / "x" / "0.png", 1)
        open_retrieval(plant_one, gallery="a")


def made(records: Callable[[int, str], int], **options: object) -> RetrievalSet:
    """Ten classes in the domains a, b, c, with so many images."""
    pool = [
        Record(b"", label, f"{domain}/{label}/{number}", domain)
        for label in range(10)
        for domain in "abc"
        for number in range(records(label, domain))
    ]
    source = Source("made", tuple(f"class {n}" for n in range(10)), {"train": pool}, cleaned=True)
    defaults = {"unseen": ("class 0",), "gallery": "c", "settings": (RetrievalSetting("a", "b"),)}
    return RetrievalSet(source, **{**defaults, **options})


def test_classes_with_few_images() -> None:
    # one image per class and domain: all of the gallery's are set aside, and the shots are one
    task = draw_retrieval(made(lambda label, domain: 1), "ucdr", 2)
    assert Counter(r.domain for r in task.fit.train) == {"b": 9}
    assert len(task.targets["ucdr/a->c/mixed"].gallery) == 10
    with pytest.raises(InterlaceError, match="class 'class 4' has no image to train on in b, c"):
        draw_retrieval(made(lambda label, d: int(label != 4 or d == "a")), "ucdr")
    with pytest.raises(InterlaceError, match="ucdr/a->c: there are no queries"):
        draw_retrieval(made(lambda label, d: int(label != 0 or d != "a")), "ucdr")


def test_families_stay_on_one_side() -> None:
    with pytest.raises(InterlaceError, match="none drawn over another's shapes"):
        made(lambda label, d: 2, families={"a": "one", "c": "one"})
    with pytest.raises(InterlaceError, match="none drawn over another's shapes"):
        made(lambda label, d: 2, families={"a": "one", "b": "one"})
    alone = (RetrievalSetting("a"),)
    data = made(lambda label, d: 20, families={"b": "x", "c": "x"}, settings=alone)
    assert data.training_domains(alone[0]) == ("c",)


def test_unseen_classes_by_hash_depend_on_names_alone() -> None:
    names = [f"class {number}" for number in range(50)]
    chosen = unseen_by_hash(names)
    assert len(chosen) == 10 and chosen == unseen_by_hash(reversed(names))
    assert set(unseen_by_hash(names, 0.1)) < set(chosen)


def test_picto() -> None:
    from interlace.data.datasets import picto

    styles = picto.task("styles")["domains"]
    data = open_retrieval("picto/retrieval")
    assert not any(styles[name]["seen"] for name in data.domains)
    assert len(data.source.classes) == 849 and len(data.unseen) == 425
    for number, setting in enumerate(data.settings):
        for protocol in PROTOCOLS[number:]:
            task = draw_retrieval(data, protocol, 1, 1, setting)
            check_apart(task)
            family = {name: style["family"] for name, style in styles.items()}
            tested = {setting.held_out, data.gallery}
            assert not {family[d] for d in domains_of(task.fit.train)} & {family[d] for d in tested}
            for target in task.targets.values():
                # every query finds one drawing of its concept
                found = Counter(record.label for record in target.gallery)
                assert {found[record.label] for record in target.queries} == {1}
