"""Grids and reports: workers that outlive their parent, records of others, hostile names."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from interlace.errors import InterlaceError
from interlace.experiments import cell as module
from interlace.experiments.cell import CellSpec, run_cell
from interlace.experiments.reading import parse_cell, read_cells
from interlace.experiments.store import Store
from interlace.report import flat, load_cells, notices, results_of, tables, write_html
from interlace.report.svg import new_figure, to_svg
from tests.report.making import FAILURE, cell, write

SPEC = CellSpec("few_shot", "picto/activities", "zero_shot", 1, 1)


def children_of(process):
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def parent_of(process):
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return None


def test_no_worker_outlives_a_killed_command(tmp_path):
    arguments = "bench few_shot --data picto/activities --methods clip_lora --shots 1 --workers 2"
    more = "--set epochs=2000 --set workers=1 --seeds 1,2"
    command = [sys.executable, "-m", "interlace", *arguments.split(), *more.split()]
    with open(tmp_path / "log", "wb") as log:
        grid = subprocess.Popen([*command, "-o", tmp_path / "runs"], stderr=log, stdout=log)
    try:
        own, seen, loading = psutil.Process(grid.pid), set(), set()
        end = time.monotonic() + 240
        # both work: each has a process that loads images for it
        while len(loading) < 2 and time.monotonic() < end:
            time.sleep(0.2)
            seen |= set(children_of(own))
            workers = {child.pid for child in own.children()}
            loading = {parent for parent in map(parent_of, seen) if parent in workers}
            assert grid.poll() is None, (tmp_path / "log").read_text()
        assert len(loading) == 2
    finally:
        grid.kill()
        grid.wait()
    _, alive = psutil.wait_procs(seen, timeout=20)
    for process in alive:
        process.kill()
    assert not alive


def test_a_worker_whose_parent_is_gone_already_ends_at_once():
    code = "from interlace.experiments.engines.local import _end_with; _end_with(1 << 22)"
    found = subprocess.run([sys.executable, "-c", code], timeout=100, check=False)
    assert found.returncode == 1


def stored(tmp_path):
    store = Store(tmp_path)
    record = json.loads(json.dumps(run_cell(SPEC)))
    store.write(record)
    return store, record


def test_a_record_that_is_not_this_cell_s_is_no_result(tmp_path):
    store, record = stored(tmp_path)
    assert store.is_done(SPEC) and store.read(SPEC) == record
    path = store.path(SPEC)
    for change in (
        {"id": "0" * 16},
        {"spec": {**record["spec"], "seed": 2}},
        {"metrics": {"all": {"top1": 7.0}}},
        {"metrics": {}},
        {"metrics": None},
        {"status": "maybe"},
        {"seconds": {"fit": -1}},
    ):
        path.write_text(json.dumps(record | change))
        assert store.read(SPEC) is None and not store.is_done(SPEC)
    for content in (b"", b"{", b"[" * 100_000, b'{"a": NaN}', b"\xff", b"9" * 5000):
        path.write_bytes(content)
        assert not store.is_done(SPEC)
    path.unlink()
    os.mkfifo(path)
    assert not store.is_done(SPEC)


def test_what_a_killed_writer_left_is_swept(tmp_path):
    store, record = stored(tmp_path)
    left = store.path(SPEC).with_name(f".{store.path(SPEC).name}.999999999.partial")
    left.write_text("{")
    store.write(record)
    assert not left.exists() and store.is_done(SPEC)


def test_a_result_that_is_no_number_is_a_failed_cell(monkeypatch):
    values = {"metrics": {"all": {"n": 3, "top1": float("nan")}}}
    monkeypatch.setattr(module, "_run", lambda *_: values)
    found = run_cell(SPEC)
    assert found["status"] == "failed"
    assert "not finite (top1 of all)" in found["error"]["message"]


BAD = {
    "shots": {"spec": {"shots": True}},
    "seed": {"spec": {"seed": "1"}},
    "huge": {"spec": {"seed": 10**400}},
    "severity": {"spec": {"condition": {"kind": "x", "severity": "much"}}},
    "method": {"spec": {"method": ["mail"]}},
    "measure": {"metrics": {"all": {"top1": 1.01}}},
    "negative": {"metrics": {"all": {"top1": -0.5}}},
    "target": {"metrics": {"all": [0.5]}},
    "mistake": {"metrics": {"all": {"top1": 0.5, "details": {"mistakes": [{"key": 1}]}}}},
    "matrix": {"metrics": {"all": {"top1": 0.5, "details": {"confusion": [[-1]]}}}},
    "cost": {"parameters": 10**400},
    "memory": {"peak_memory": "a lot"},
    "run": {"run": {"train": [1]}},
    "versions": {"versions": {"torch": {}}},
    "commit": {"commit": 7},
    "error": {"error": {"message": []}, "status": "failed"},
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_record_is_named_with_its_reason(name, tmp_path):
    write(tmp_path, [cell("mail", 1, 0.5)])
    record = cell("mail", 2, 0.5)
    for part, value in BAD[name].items():
        own = record.get(part)
        both = isinstance(own, dict) and part in ("spec",)
        record[part] = {**own, **value} if both else value
    (tmp_path / "bad.json").write_text(json.dumps(record))
    found = load_cells(tmp_path)
    assert len(found.done) == 1
    (damaged,) = found.damaged
    assert damaged.key.endswith("bad.json") and "\n" not in damaged.reason
    (notice,) = [notice for notice in notices(found) if notice.kind == "damaged"]
    assert notice.serious and "bad.json" in notice.text


def test_traps_in_a_folder_of_records(tmp_path):
    write(tmp_path, [cell("mail", 1, 0.5)])
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    (tmp_path / "up").symlink_to(tmp_path)
    (tmp_path / "deep.json").write_text('{"format": "interlace.cell/1", "a": ' + "[" * 100_000)
    found = read_cells([tmp_path])
    assert len(found.cells) == 1
    reasons = {item.key.rpartition("/")[2]: item.reason for item in found.damaged}
    assert "not a regular file" in reasons["pipe.json"]
    assert "not a regular file" in reasons["zero.json"]
    assert "nested deeper" in reasons["deep.json"]
    for path in ("a\0b", "x" * 5000, tmp_path / "pipe.json"):
        with pytest.raises(InterlaceError):
            read_cells([path])


HOSTILE = [
    *("=cmd()|'/c calc'!A1", "+1", "-1", "@SUM(A1)", "[/red]", "[bold]b", "*[x]", "$\\frac{$"),
    *("<script>alert(1)</script>", "a|b`c`~~d~~ &lt;", "\x1b[2J\0\x08", "\udcff", "\u202ex"),
    *('id="x" #010001 font-family: x;', "a\nb\r\nc", "\\end{table}\\input{x} % # _ ^ ~"),
]


def odd(method, seed, value, data="picto/food-drink"):
    """A cell of a method and of data with any name."""
    made = cell("mail", seed, value, split=f"{seed:064x}")
    made["spec"] |= {"method": method, "data": data}
    return made | {"id": f"{len(method)}-{hash((method, data, seed))}"}


def hostile():
    cells = [odd("zero_shot", seed, 0.5) for seed in (1, 2)]
    for number, name in enumerate(HOSTILE):
        for seed in (1, 2):
            cells.append(odd(name, seed, 0.5 + number / 100 + seed / 1000))
            cells.append(odd("mail", seed, 0.6, data=name))
    cells.append(cell("mail", 3, error={**FAILURE, "message": "".join(HOSTILE)}))
    return results_of(cells)


def test_no_name_is_read_as_anything_else(tmp_path):
    results = hostile()
    write_html(results, tmp_path / "page.html", title="".join(HOSTILE))
    page = (tmp_path / "page.html").read_text("utf-8")
    texts = (page, tables.markdown(results), flat.to_csv(results), tables.latex(results))
    for text in texts:
        text.encode()
        assert not {c for c in text if ord(c) < 32} - {"\n"} and "\x7f" not in text
        assert "\u202e" not in text and "nan" not in text.lower().replace("nan]", "")
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "$\\frac{$" in page and "id=&#34;x&#34; #010001 font-family: x;" in page
    # matplotlib writes names into text of the drawing, where they stay what they are
    assert 'id="x" #010001 font-family: x;</text>' in page
    found = list(csv.DictReader(io.StringIO(texts[2])))
    methods = {row["method"] for row in found}
    assert {"'=cmd()|'/c calc'!A1", "'+1", "'-1", "'@SUM(A1)"} <= methods
    assert not any(row["method"][:1] in "=+-@" for row in found)
    gains = [float(row["difference"]) for row in found if row["difference"]]
    assert gains  # numbers stay numbers, also those below zero
    assert "{*}{[}x{]} &" in texts[3] and "\\end{table}\\input" not in texts[3]


def test_a_negative_difference_stays_a_number_in_csv():
    cells = [cell(m, s, v) for m, v in (("zero_shot", 0.5), ("mail", 0.4)) for s in (1, 2, 3)]
    found = list(csv.DictReader(io.StringIO(flat.to_csv(results_of(cells)))))
    assert [row["difference"] for row in found if row["method"] == "mail"] == ["-0.1"] or [
        round(float(row["difference"]), 6) for row in found if row["method"] == "mail"
    ] == [-0.1]


def test_formulas_in_any_text_of_a_drawing():
    figure = new_figure(100)
    figure.text(0.5, 0.5, "$\\frac{$")
    figure.add_axes((0.2, 0.2, 0.6, 0.6)).set_xticks([1], ["x^2$_$"])
    assert "$\\frac{$" in to_svg(figure, "x") and "x^2$_$" in to_svg(figure, "x")


def test_a_page_is_whole_or_not_there(tmp_path, monkeypatch):
    from pathlib import Path

    path = tmp_path / "page.html"
    path.write_text("old")

    def full(self, content):
        with open(self, "wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InterlaceError, match="no space left on the disk"):
        write_html(results_of([cell("mail", 1, 0.5)]), path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["page.html"]


def test_names_of_a_record_hold_no_control_characters():
    found = parse_cell(odd("m\x1bail", 1, 0.5, data="\udcff\0"))
    assert (found.method, found.data) == ("m\\x1bail", "\\xff\\x00")
