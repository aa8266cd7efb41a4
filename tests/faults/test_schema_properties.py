"""Arbitrary settings, files and runs give a value or one line, in little time."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from interlace import methods
from interlace.cli._options import numbers
from interlace.config import RunConfig, TrainConfig, read_settings, resolve, training_hints
from interlace.errors import InterlaceError

QUICK = settings(
    deadline=None,
    max_examples=150,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just("huge").map(lambda _: 10**5_000)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.binary(max_size=8)
    | st.dates()
    | st.just(datetime.timedelta(1))
)
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(scalars.filter(lambda k: k == k), inner, max_size=4)
        | st.tuples(inner)
    ),
    max_leaves=12,
)
PIECES = (
    "lr epochs - [ ] { } &a *a !!x ' \" ? | > % --- ... # 1e-3 010 0x1 1:30 ² ~ \\U FFFFFFFF é << ,"
).split() + [":", ": ", "\n", "\t", "  ", "\0", "\ud800"]
yaml_like = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


def value_or_line(call, *arguments):
    try:
        return call(*arguments)
    except InterlaceError as error:
        text = str(error)
        assert text and "\n" not in text and len(text) < 1_000
        return None


@QUICK
@given(st.binary(max_size=200) | yaml_like.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_as_a_file_of_settings(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    found = value_or_line(read_settings, path, [])
    if found is not None:
        assert all(isinstance(name, str) for name in found)
        value_or_line(resolve, "mmrl", methods.parameters("mmrl"), found)


@QUICK
@given(st.text(st.characters(exclude_categories=()), max_size=40) | yaml_like)
def test_any_assignment(text: str) -> None:
    value_or_line(read_settings, None, [text])
    found = value_or_line(read_settings, None, [f"epochs={text}"])
    config = found and value_or_line(resolve, "mmrl", methods.parameters("mmrl"), found)
    assert config is None or 0 <= config.train.epochs <= 1_000_000


@QUICK
@given(st.sampled_from(sorted(methods.available())), st.data())
def test_any_value_of_any_setting(method: str, data: st.DataObject) -> None:
    known = methods.parameters(method)
    name = data.draw(st.sampled_from(sorted({*known, *training_hints()})))
    config = value_or_line(resolve, method, known, {name: data.draw(nested)})
    if config is not None:  # what passes is plain, and the same when it comes back from a file
        text = json.dumps(config.to_dict(), allow_nan=False)
        assert RunConfig.from_dict(json.loads(text)) == config


@QUICK
@given(nested)
def test_any_data_as_a_run(value: object) -> None:
    good = RunConfig("mmrl", {"dim": 3}, TrainConfig()).to_dict()
    value_or_line(RunConfig.from_dict, value)
    for key in good:
        value_or_line(RunConfig.from_dict, {**good, key: value})
        value_or_line(RunConfig.from_dict, {**good, "train": {**good["train"], "lr": value}})


@QUICK
@given(nested)
@example(2**47)
def test_any_seed(value: object) -> None:
    config = value_or_line(lambda: RunConfig("mmrl", seed=value))
    assert config is None or 0 <= config.seed < 2**47


@QUICK
@given(st.text(max_size=30) | st.text("0123456789,² ", max_size=30))
def test_any_list_of_numbers(text: str) -> None:
    found = value_or_line(numbers, text, "seeds")
    assert found is None or (len(set(found)) == len(found) and all(n >= 0 for n in found))


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(InterlaceError, match="plain data"):
        RunConfig("mine", {"anything": endless})
    with pytest.raises(InterlaceError, match=r"^epochs=\[\.\.\.\]"):
        TrainConfig(epochs=endless)  # type: ignore[arg-type]
