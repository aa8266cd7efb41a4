"""Every argument of every method and every setting of training: one line for what it cannot be."""

from __future__ import annotations

import datetime
import math
import subprocess
import sys
from dataclasses import asdict, fields
from typing import Annotated, Any, Literal, get_args, get_origin

import numpy as np
import pytest

import interlace
from interlace import methods
from interlace._util.schema import Range, check, describe, shown
from interlace.adaptation.presets import check_preset
from interlace.cli.show import _describe
from interlace.config import (
    PUBLISHED,
    RunConfig,
    TrainConfig,
    method_defaults,
    preset_defaults,
    preset_names,
    read_packaged,
    resolve,
    training_hints,
)
from interlace.errors import InterlaceError
from interlace.experiments.grid import list_cells, settings_of_each
from tests import models

OWN = [
    (method, name, hint)
    for method in interlace.list_methods()
    for name, hint in methods.parameters(method).items()
]
ALL = [*OWN, *(("mmrl", name, hint) for name, hint in training_hints().items())]

#: Nothing takes these.
NEVER = {
    "nan": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "huge": 1e38,
    "huge and whole": 10**9,
    "5,000 digits": 9**5240,
    "negative": -3,
    "a list of numbers": [1, [2]],
    "a mapping": {"a": 1},
    "a date": datetime.date(2026, 1, 1),
    "a set": {1},
    "a complex number": 1j,
    "bytes": b"1",
    "an object": object(),
    "a lone surrogate": "\ud800",
    "a NUL": "a\0b",
    "a text without end": "x" * 20_000,
}


def kinds(hint: Any) -> set[Any]:
    """The plain types that an annotation allows."""
    if get_origin(hint) is Annotated:
        return kinds(get_args(hint)[0])
    if get_origin(hint) is Literal:
        return {Literal}
    if get_args(hint) and type(None) in get_args(hint):
        return set().union(*map(kinds, get_args(hint)))
    return {get_origin(hint) or hint}


def bad_values(hint: Any) -> dict[str, Any]:
    allowed = kinds(hint)
    bad = dict(NEVER)
    if str not in allowed:
        bad |= {"a word": "abc", "empty": "", "a number as text": "3", "a small two": "²"}
    if bool not in allowed:
        bad |= {"true": True, "false": False}
    if type(None) not in allowed:
        bad |= {"none": None}
    if float not in allowed:
        bad |= {"a fraction": 2.5}
    return bad


def one_line(error: pytest.ExceptionInfo[InterlaceError], name: str) -> None:
    text = str(error.value)
    assert text.startswith(f"{name}="), text
    assert ": must be " in text and "\n" not in text and len(text) < 250, text
    text.encode()


@pytest.mark.parametrize(("method", "name", "hint"), ALL, ids=[f"{m}-{n}" for m, n, _ in ALL])
def test_what_a_setting_cannot_be_is_one_line_that_names_it(method, name, hint):
    for value in bad_values(hint).values():
        with pytest.raises(InterlaceError) as error:
            resolve(method, methods.parameters(method), {name: value})
        one_line(error, name)


@pytest.mark.parametrize(("method", "name", "hint"), OWN, ids=[f"{m}-{n}" for m, n, _ in OWN])
def test_a_method_is_not_built_with_it_either(method, name, hint):
    clip = models.tiny()
    for value in bad_values(hint).values():
        with pytest.raises(InterlaceError) as error:
            methods.create(method, clip, **{name: value})
        one_line(error, name)


def test_every_argument_of_the_package_has_a_type_and_every_number_bounds():
    def bounded(hint):
        if get_origin(hint) is Annotated:
            bounds = get_args(hint)[1]
            lowest = bounds.least if bounds.above is None else bounds.above
            highest = next(b for b in (bounds.most, bounds.below, bounds.limit) if b is not None)
            return lowest is not None and highest <= 1_000_000
        return hint not in (int, float) and all(map(bounded, get_args(hint)))

    assert len(ALL) >= 50
    for _, name, hint in ALL:
        assert hint is not Any and bounded(hint), name


def test_training_built_in_python_is_held_to_the_same():
    for name, hint in training_hints().items():
        for value in bad_values(hint).values():
            with pytest.raises(InterlaceError) as error:
                TrainConfig(**{name: value})
            one_line(error, name)
    config = TrainConfig(epochs=np.int64(3), lr=np.float32(0.5), weight_decay=0, batch_size=16.0)
    assert (config.epochs, config.lr, config.weight_decay, config.batch_size) == (3, 0.5, 0.0, 16)
    kept = {name: type(value) for name, value in asdict(config).items()}
    assert (kept["epochs"], kept["weight_decay"], kept["batch_size"]) == (int, float, int)


@pytest.mark.parametrize("method", interlace.list_methods())
def test_defaults_and_presets_pass(method):
    known = methods.parameters(method)
    plain = resolve(method, known, {})
    assert plain.arguments == dict(method_defaults(method).method)
    for preset in preset_names():
        layers = preset_defaults(preset, method)
        config = resolve(method, known, {}, preset=preset)
        for layer in layers:
            assert {k: config.arguments[k] for k in layer.method} == dict(layer.method)
            assert {k: getattr(config.train, k) for k in layer.train} == dict(layer.train)
    for protocol, block in read_packaged(f"presets/{PUBLISHED}/{method}.yaml").items():
        for data in block["data_sets"]:
            resolve(method, known, {}, preset=f"{PUBLISHED}/{protocol}/{data}")
    assert RunConfig.from_dict(plain.to_dict()) == plain


def test_a_preset_that_would_act_for_nothing_is_refused():
    for preset in (None, "auto", "picto", PUBLISHED, "published/few_shot/eurosat"):
        check_preset(preset)
    for preset, words in (
        ("pictoo", "no preset 'pictoo': there are picto"),
        ("published/few_shot/eurosatt", "no data set 'eurosatt'; did you mean 'eurosat'?"),
        ("published/fewshot/eurosat", "no protocol 'fewshot'; did you mean 'few_shot'?"),
        ("published/few_shot/../x", "no preset"),
        (3, "^preset=3: must be text"),
        ("a\x1b", r"no preset 'a\\x1b'"),
    ):
        with pytest.raises(InterlaceError, match=words):
            check_preset(preset)


@pytest.mark.parametrize(
    ("method", "settings", "line"),
    [
        ("clip_lora", {"rank": "abc"}, "rank='abc': must be a whole number of at least 1"),
        ("mail", {"rank": -1}, "rank=-1: must be a whole number of at least 0"),
        ("mail", {"rank": 10**9}, "rank=1000000000: must be a whole number of at least 0 and at "
         "most 4,096"),
        ("mmrl", {"reg": math.nan}, "reg=nan: must be a number of at least 0"),
        ("mmrl", {"alpha": math.inf}, "alpha=inf: must be a number between 0 and 1"),
        ("mmrl", {"lr": 1e38}, "lr=1e+38: must be a positive number of at most 1,000"),
        ("mmrl", {"epochs": 2.5}, "epochs=2.5: must be a whole number of at least 0"),
        ("mmrl", {"first_block": "x"}, "first_block='x': must be a whole number of at least 1, or "
         "null"),
        ("clip_lora", {"dropout": 1.0}, "dropout=1.0: must be a number of at least 0 and below 1"),
        ("mmrl", {"crop_scale": 0}, "crop_scale=0: must be a number above 0 and at most 1"),
        ("mmrl", {"flip": 1}, "flip=1: must be true or false"),
        ("mmrl", {"dim": 9**5240}, "dim=(about 10^5,000): must be a whole number of at "
         "least 1 and at most 16,384"),
        ("multimodal_adapter", {"mask": 3}, "mask=3: must be one of cross, released, none"),
        ("zero_shot", {"templates": "a {}"}, "templates='a {}': must be a list (each text), or "
         "null"),
    ],
)  # fmt: skip
def test_the_line_says_what_is_allowed(method, settings, line):
    with pytest.raises(InterlaceError) as error:
        resolve(method, methods.parameters(method), settings)
    assert str(error.value) == line


def test_unknown_names_get_close_matches_and_stay_printable():
    for name, words in (
        ("epoch", "no setting 'epoch'; did you mean 'epochs'? mmrl takes alpha, dim"),
        ("zzz", "no setting 'zzz'; mmrl takes alpha, dim"),
        ("a\x1b[2J\ud800", r"no setting 'a\x1b[2J\ud800'; mmrl takes"),
    ):
        with pytest.raises(InterlaceError) as error:
            resolve("mmrl", methods.parameters("mmrl"), {name: 1})
        assert str(error.value).startswith(words)
    for name in ("mmlr", "mm\x1b", None, 3, ["mmrl"]):
        with pytest.raises(InterlaceError, match="^no method .*available: "):
            methods.get(name)


def test_whole_numbers_may_be_written_as_floats():
    config = resolve("mmrl", methods.parameters("mmrl"), {"epochs": 3.0, "dim": 64.0, "reg": 1})
    assert (config.train.epochs, config.arguments["dim"], config.arguments["reg"]) == (3, 64, 1.0)
    assert type(config.arguments["dim"]) is int and type(config.arguments["reg"]) is float


def test_a_third_party_method_is_held_to_what_it_says(monkeypatch):
    @methods.register
    class Mine(methods.Method):
        key = "mine"
        summary = "A method of a third party."

        def __init__(self, clip, *, anything, ratio: Annotated[float, Range(0, 1)], odd: Unknown):  # noqa: F821
            super().__init__(clip)
            self.given = (anything, ratio, odd)

    @methods.register
    class Typed(methods.Method):
        key = "typed"
        summary = "Another one."

        def __init__(self, clip, *, count: int):
            super().__init__(clip)
            self.count = count

    try:
        own = methods.parameters("mine")  # where an annotation is none, plain data may be
        assert own == {"anything": Any, "ratio": Annotated[float, Range(0, 1)], "odd": Any}
        values = {"anything": {"a": [1, None, "x"]}, "ratio": 1, "odd": "y"}
        built = methods.create("mine", models.tiny(), **values)
        assert built.given == ({"a": [1, None, "x"]}, 1.0, "y")
        with pytest.raises(InterlaceError, match="^ratio=2: must be a number between 0 and 1"):
            methods.create("mine", models.tiny(), **{**values, "ratio": 2})
        for bad in (math.nan, object(), {1: 2}, [[[[[[[[[[1]]]]]]]]]], datetime.date(2026, 1, 1)):
            with pytest.raises(InterlaceError, match="^anything=.*must be plain data"):
                resolve("mine", own, {**values, "anything": bad})
        assert methods.create("typed", models.tiny(), count=2).count == 2
        with pytest.raises(InterlaceError, match="count=2.5: must be a whole number"):
            methods.create("typed", models.tiny(), count=2.5)
    finally:
        for cls in (Mine, Typed):
            methods.unregister(cls.key)


@pytest.mark.parametrize("damage", [
    {"method": 3}, {"method": None}, {"arguments": [1]}, {"arguments": None},
    {"arguments": {"dim": math.nan}}, {"arguments": {1: 2}}, {"train": 3}, {"train": [["lr", 1]]},
    {"train": {"lr": "x"}}, {"train": {"other": 1}}, {"seed": 1.5}, {"seed": -1}, {"seed": True},
    {"seed": 2**48}, {"preset": 3}, {"tuned": ["x"]}, {"other": 1}, {"preset": "a\0"},
])  # fmt: skip
def test_a_run_read_from_a_file_is_checked(damage):
    data = resolve("mmrl", methods.parameters("mmrl"), {}).to_dict()
    assert RunConfig.from_dict(data).to_dict() == data
    with pytest.raises(InterlaceError) as error:
        RunConfig.from_dict({**data, **damage})
    assert "\n" not in str(error.value)


def test_a_run_without_its_method_is_none():
    for data in ({}, [], None, 3, "mmrl"):
        with pytest.raises(InterlaceError, match="must name its method"):
            RunConfig.from_dict(data)


def test_settings_of_a_variant_and_of_a_grid_go_through_the_same_gate():
    for names, settings, words in (
        (["mail:rank=abc"], {}, "rank='abc': must be a whole number of at least 0"),
        (["mail:rank=010"], {}, "rank='010': must be a whole number"),
        (["mail"], {"epochs": 2.5}, "epochs=2.5"),
        (["mail"], {"a\x1b": 1}, r"takes a setting 'a\\x1b'"),
    ):
        with pytest.raises(InterlaceError, match=words):
            settings_of_each(names, settings)
        with pytest.raises(InterlaceError, match=words):
            list_cells("few_shot", ["a"], names, [1], [1], settings=settings)
    assert settings_of_each(["mail:rank=0:lr=1e-3"], {})["mail:rank=0:lr=1e-3"] == {
        "rank": 0, "lr": 1e-3
    }  # fmt: skip


def test_check_and_its_words():
    assert check("x", [1, 2.0], list[int]) == [1, 2]
    assert check("x", ["a"], tuple[str, ...]) == ("a",)
    assert check("x", "a", int | str) == "a"
    with pytest.raises(InterlaceError, match=r"x=\[\.\.\.\]: must be a list \(each text\)"):
        check("x", ["a", 3], list[str])
    assert describe(int | None) == "a whole number, or null"
    assert shown("a" * 100) == "'" + "a" * 60 + "...'"
    assert [shown(v) for v in (None, [], [1], {}, {1: 2}, True)] == [
        "None", "[]", "[...]", "{}", "{...}", "True"
    ]  # fmt: skip


def test_fields_of_training_are_all_in_the_table():
    assert {field.name for field in fields(TrainConfig)} == set(training_hints())


@pytest.mark.parametrize("method", interlace.list_methods())
def test_show_says_what_each_setting_may_be(method):
    facts = _describe(method)
    assert set(facts["allowed"]) == {*methods.parameters(method), *training_hints()}
    assert facts["allowed"]["epochs"] == "a whole number of at least 0"
    clip = interlace.load("picto")
    assert facts["parameters on picto"] == methods.count_parameters(method, clip.spec)


HEAVY = "scipy open_clip torchvision matplotlib pyarrow transformers lancedb".split()


@pytest.mark.parametrize(
    "code",
    [
        "import interlace.methods as m; m.available()",
        "from interlace.cli.show import _describe; _describe('mmrl++')",
    ],
)
def test_the_registry_and_show_bring_in_no_heavy_library(code):
    code += f"\nimport sys; print([x for x in {HEAVY} if x in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr
