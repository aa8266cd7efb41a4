"""Any bytes, names and JSON: a result, or one line that says why there is none."""

from __future__ import annotations

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace._util.text import printable
from interlace.cli._console import PlainConsole
from interlace.errors import InterlaceError
from interlace.experiments.record import check_record
from interlace.report import flat, results_of, tables
from interlace.search.sources import Shard, find_source
from tests.report.making import cell

FEW = settings(deadline=None, max_examples=80, derandomize=True)
ANY_TEXT = st.text(st.characters(codec=None), max_size=30)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


def one_line(error):
    assert "\n" not in str(error) and 0 < len(str(error)) < 2000


@FEW
@given(ANY_TEXT)
def test_no_text_moves_the_cursor(text):
    from rich.table import Table

    console = PlainConsole()
    console.file, console.width = io.StringIO(), 400
    table = Table(title=text, caption=text)
    table.add_column(text)
    table.add_row(text)
    console.print(text)
    console.print(table)
    printed = console.file.getvalue()
    printed.encode("utf-8")
    assert all(line in printed for line in printable(text, keep="\n").split("\n"))
    assert not {c for c in printed if ord(c) < 32 or 127 <= ord(c) < 160} - {"\n"}


PLACES = [(), ("spec",), ("metrics",), ("metrics", "all"), ("run",), ("seconds",), ("backbone",)]


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.sampled_from(PLACES), st.data(), PLAIN)
def test_a_record_of_anything_is_refused_or_reported(place, data, value):
    record = json.loads(json.dumps(cell("mail", 1, 0.5)))
    part = record
    for name in place:
        part = part[name]
    part[data.draw(st.sampled_from(sorted(part)))] = value
    try:
        check_record(record)
        results = results_of([record, cell("zero_shot", 1, 0.4)])
    except InterlaceError as error:
        one_line(error)
        return
    for text in (tables.markdown(results), flat.to_csv(results), tables.latex(results)):
        text.encode("utf-8")


@FEW
@given(PLAIN)
def test_anything_else_is_no_record(value):
    with pytest.raises(InterlaceError) as raised:
        check_record(value)
    one_line(raised.value)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("sources")


def whole_shard():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in ("a.png", "a.cls", "b.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 40
            tar.addfile(info, io.BytesIO(bytes(40)))
    return stream.getvalue()


def whole_table():
    stream = io.BytesIO()
    pq.write_table(pa.table({"image": [b"abc", b"d"], "label": ["x", None]}), stream)
    return stream.getvalue()


@pytest.mark.parametrize(("ending", "whole"), [("tar", whole_shard()), ("parquet", whole_table())])
@settings(deadline=None, max_examples=150, derandomize=True)
@given(data=st.data())
def test_damaged_sources_are_one_line(place, ending, whole, data):
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 3))):
        start = data.draw(st.integers(0, len(content) - 1))
        change = data.draw(st.binary(min_size=1, max_size=12))
        content[start : start + len(change)] = change
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    path = place / f"x.{ending}"
    path.write_bytes(content[:cut])
    try:
        items = [item for unit in find_source(path).units for item in unit.items()]
    except InterlaceError as error:
        one_line(error)
        return
    for item in items:
        assert isinstance(item.key, str) and isinstance(item.label, str | None)
        assert item.image is None or isinstance(item.image, bytes)


@FEW
@given(st.binary(max_size=600))
def test_any_bytes_are_no_shard(place, content):
    path = place / "any.tar"
    path.write_bytes(content)
    try:
        assert all(item.image is None for item in Shard(path).items())
    except InterlaceError as error:
        one_line(error)


@FEW
@given(st.lists(PLAIN, min_size=1, max_size=3))
def test_a_table_of_anything_gives_items_or_one_line(place, cells):
    path = place / "any.parquet"
    try:
        pq.write_table(pa.table({"image": pa.array(cells), "label": pa.array(cells)}), path)
    except (pa.ArrowException, UnicodeError, OverflowError, ValueError, TypeError):
        return
    try:
        items = list(find_source(path).units[0].items())
    except InterlaceError as error:
        one_line(error)
        return
    assert len(items) == len(cells)
