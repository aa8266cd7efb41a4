"""Whatever a bundle holds, it is read, or refused in one line."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import interlace
from interlace.data.records import Record
from interlace.data.used import Used
from interlace.errors import InterlaceError
from interlace.evaluation.plots import confusion_png
from interlace.evaluation.plots.drawing import shorten
from interlace.methods.inference import check_distinct
from interlace.train.checkpoint import read_tensors
from tests.adaptation import former

ONE = settings(deadline=None, max_examples=40, derandomize=True)
BUNDLE = former.BUNDLES / "format_1_tip_adapter"
CLIP = former.backbone()
HEADER = json.loads((BUNDLE / "bundle.json").read_text())
HEADER["backbone"]["fingerprint"] = CLIP.fingerprint()

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
paths = st.sampled_from(
    [
        *((name,) for name in HEADER),
        *(("run", name) for name in HEADER["run"]),
        *(("backbone", name) for name in HEADER["backbone"]),
        ("shot_sizes",),
        ("class_names",),
        ("published",),
    ]
)


def loaded_or_one_line(header: str | None = None, tensors: bytes | None = None) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        shutil.copytree(BUNDLE, folder)
        header = json.dumps(HEADER) if header is None else header
        (folder / "bundle.json").write_text(header, "utf-8", "surrogatepass")
        if tensors is not None:
            (folder / "adapted.safetensors").write_bytes(tensors)
        try:
            adapted = interlace.load_adapted(folder, CLIP)
            (prediction,) = adapted.predict([np_image()])
        except InterlaceError as error:
            assert "\n" not in str(error)
        else:
            assert 0 <= prediction.probability <= 1


def np_image() -> Any:
    from PIL import Image

    return Image.fromarray(np.full((32, 32, 3), 99, np.uint8))


def test_as_it_is_it_is_read() -> None:
    with tempfile.TemporaryDirectory() as name:
        adapted = interlace.load_adapted(former.bundle("tip_adapter", Path(name), CLIP), CLIP)
        assert adapted.config.method == "tip_adapter"


@ONE
@given(paths, values)
def test_any_field_of_a_header(path: tuple[str, ...], value: Any) -> None:
    header = json.loads(json.dumps(HEADER))
    place = header
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    loaded_or_one_line(json.dumps(header))


@ONE
@given(paths)
def test_a_field_left_out(path: tuple[str, ...]) -> None:
    header = json.loads(json.dumps(HEADER))
    place = header
    for name in path[:-1]:
        place = place[name]
    place.pop(path[-1], None)
    loaded_or_one_line(json.dumps(header))


@ONE
@given(st.text(max_size=100))
def test_any_text_as_header(text: str) -> None:
    loaded_or_one_line(text)


@ONE
@given(st.integers(0, 2567), st.binary(min_size=1, max_size=12))
def test_any_bytes_among_the_tensors(start: int, patch: bytes) -> None:
    whole = (BUNDLE / "adapted.safetensors").read_bytes()
    loaded_or_one_line(None, (whole[:start] + patch + whole[start + len(patch) :])[: len(whole)])


@ONE
@given(st.binary(max_size=64))
def test_any_bytes_as_tensors(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "t.safetensors"
        path.write_bytes(content)
        try:
            read_tensors(path)
        except InterlaceError as error:
            assert "\n" not in str(error)


@settings(deadline=None, max_examples=15, derandomize=True)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=4, unique=True))
def test_any_names_are_drawn(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.png"
        assert isinstance(confusion_png(path, np.eye(len(names)), names, names[0]), str)
        assert path.stat().st_size > 1000
    assert all(len(shorten(name, 8)) <= 8 for name in names)


@ONE
@given(st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=5, unique=True))
def test_any_names_have_prompts_of_their_own_or_two_are_named(names: list[str]) -> None:
    try:
        prompts = CLIP.prompts(names, "a {}.")
        distinct = len({tuple(row) for row in prompts.ids.tolist()}) == len(names)
        check_distinct(prompts, names)
        assert distinct
    except InterlaceError as error:
        assert "\n" not in str(error)


@ONE
@given(st.lists(st.binary(max_size=6), max_size=8), st.lists(st.binary(max_size=6), max_size=8))
def test_used_images_are_those_of_the_same_bytes(fitted: list[bytes], asked: list[bytes]) -> None:
    used = Used.of(Record(content, 0, str(i)) for i, content in enumerate(fitted))
    records = [Record(content, 0, str(i)) for i, content in enumerate(asked)]
    assert [r.image for r in used.others(records)] == [c for c in asked if c not in fitted]
    assert torch.is_grad_enabled()
