"""Any bytes, fields and texts in a model folder: a model or one line."""

from __future__ import annotations

import copy
import io
import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer

from interlace import DualEncoder, InterlaceError, load
from interlace._util.text import printable
from interlace.backbone.byte_pairs import CLEANING, BytePairs
from interlace.backbone.checkpoints.pickles import read_pickled
from tests.backbone.families import HF_CLIP, NATIVE, of_clip, of_open_clip

QUICK = settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def one_line(name: Path) -> DualEncoder | None:
    """The model, whose every number is finite, or None where one line says why not."""
    try:
        clip = load(name)
    except InterlaceError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
        assert printable(str(error)) == str(error)
        return None
    assert all(bool(p.isfinite().all()) for p in clip.parameters())
    return clip


@pytest.fixture(scope="module")
def open_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of_open_clip(NATIVE).save(tmp_path_factory.mktemp("models") / "open_clip")


@pytest.fixture(scope="module")
def hf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = of_clip(HF_CLIP).save(tmp_path_factory.mktemp("models") / "hf")
    size = {"shortest_edge": 32}
    config = {"size": size, "crop_size": 32, "do_center_crop": True, "image_mean": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return folder


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.sampled_from([0, -1, 10**9, 2**63, 10**400, 1e308, math.nan, math.inf, "", "32", 32.0])
    | st.floats()
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key in (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    ):
        yield from places(value[key], (*path, key))


@st.composite
def changed_json(draw: st.DrawFn, original: Any) -> Any:
    value = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from([p for p in places(original) if p]))
        place = value
        try:
            for key in path:
                place = place[key]
            if draw(st.booleans()) or not isinstance(place, dict):
                place[last] = draw(_JSON)
            else:
                place.pop(last, None)
        except (KeyError, TypeError, IndexError):  # an earlier change took it away
            continue
    return value


class TestConfigurations:
    @QUICK
    @given(data=st.data())
    def test_open_clip(self, data: st.DataObject, open_clip_folder: Path) -> None:
        self._change(open_clip_folder, "open_clip_config.json", data)

    @QUICK
    @given(data=st.data())
    def test_transformers(self, data: st.DataObject, hf_folder: Path) -> None:
        self._change(hf_folder, "config.json", data)

    @QUICK
    @given(data=st.data())
    def test_image_processors(self, data: st.DataObject, hf_folder: Path) -> None:
        self._change(hf_folder, "preprocessor_config.json", data)

    def _change(self, folder: Path, name: str, data: st.DataObject) -> None:
        path = folder / name
        original = path.read_text()
        try:
            path.write_text(json.dumps(data.draw(changed_json(json.loads(original)))))
            clip = one_line(folder)
            if clip is not None:
                image = torch.zeros(1, 3, 32, 32)
                assert clip.encode_image(image).shape == (1, clip.spec.embed_dim)
        finally:
            path.write_text(original)

    @QUICK
    @given(content=st.binary(max_size=200) | st.text('{}[]":,0e-n', max_size=60).map(str.encode))
    def test_any_bytes(self, content: bytes, hf_folder: Path) -> None:
        path = hf_folder / "config.json"
        original = path.read_text()
        try:
            path.write_bytes(content)
            assert one_line(hf_folder) is None
        finally:
            path.write_text(original)


def damaged(data: st.DataObject, content: bytes, start: int, until: int) -> bytes:
    """The same bytes with a few from ``start`` to ``until`` replaced, or cut short."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 5))):
        changed[data.draw(st.integers(start, until - 1))] = data.draw(st.integers(0, 255))
    ends = [len(changed), len(changed), len(changed) - 1, until]
    return bytes(changed[: data.draw(st.sampled_from(ends))])


class TestWeights:
    @QUICK
    @given(data=st.data())
    def test_safetensors(self, data: st.DataObject, open_clip_folder: Path) -> None:
        path = next(open_clip_folder.glob("*.safetensors"))
        original = path.read_bytes()
        length = int.from_bytes(original[:8], "little")
        try:
            path.write_bytes(damaged(data, original, 0, 8 + length))
            one_line(open_clip_folder)
        finally:
            path.write_bytes(original)

    @QUICK
    @given(data=st.data())
    def test_headers(self, data: st.DataObject, open_clip_folder: Path) -> None:
        path = next(open_clip_folder.glob("*.safetensors"))
        original = path.read_bytes()
        length = int.from_bytes(original[:8], "little")
        header = data.draw(changed_json(json.loads(original[8 : 8 + length])))
        text = json.dumps(header).encode()
        try:
            path.write_bytes(len(text).to_bytes(8, "little") + text + original[8 + length :])
            one_line(open_clip_folder)
        finally:
            path.write_bytes(original)

    @QUICK
    @given(data=st.data())
    def test_torch_files(self, data: st.DataObject, tmp_path: Path) -> None:
        file = io.BytesIO()
        state = {"state_dict": {"a.b": torch.ones(3, 2), "c": torch.zeros(4).half()}, "epoch": 1}
        torch.save(state, file, _use_new_zipfile_serialization=data.draw(st.booleans()))
        content = file.getvalue()
        start = max(content.find(b"\x80\x02"), 0)
        until = min(start + 500, len(content))
        self._read(tmp_path, damaged(data, content, start, until))

    #: Instructions of pickles, apart from texts and numbers.
    CODES = [bytes([code]) for code in b"})](tsu\x85\x86\x87R\x81bQN02ae"]
    CODES += [b"h\x00", b"h\x01", b"q\x00", b"q\x01", b"K\x05", b"J\xff\xff\xff\x7f"]
    CODES += [b"X\x01\x00\x00\x00a", b"ctorch\nSize\n", b"ctorch\nFloatStorage\n"]
    CODES += [b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n"]

    @QUICK
    @given(program=st.lists(st.sampled_from(CODES), max_size=40))
    def test_programs(self, program: list[bytes], tmp_path: Path) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as out:
            out.writestr("x/data.pkl", b"\x80\x02" + b"".join(program) + b".")
            out.writestr("x/version", b"3\n")
        self._read(tmp_path, file.getvalue())

    @QUICK
    @given(content=st.binary(max_size=300))
    def test_any_bytes(self, content: bytes, tmp_path: Path) -> None:
        self._read(tmp_path, content)
        (tmp_path / "x.safetensors").write_bytes(content)
        assert one_line(tmp_path / "x.safetensors") is None

    def _read(self, folder: Path, content: bytes) -> None:
        (folder / "x.pt").write_bytes(content)
        try:
            found = read_pickled(folder / "x.pt")
        except InterlaceError as error:
            assert "\n" not in str(error)
        else:
            assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())


class TestBytePairs:
    PIECES = st.sampled_from(
        [
            "&amp;lt;",
            "<start_of_text>",
            "<END_OF_TEXT>",
            "\ufb01",
            "Ã©",
            "I'LL it's",
            "\ud800",
            "&#xD800;",
            "\0",
            "e\u0301",
            "日本",
            "🦊",
            "_a_",
            "...",
            "  ",
            "1234",
            "İ",
            "ß",
        ]
    )
    PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
    TEXT = PLAIN | st.lists(st.text(max_size=20) | PIECES, max_size=6).map("".join)

    @pytest.mark.parametrize("clean", CLEANING)
    def test_ids_are_open_clips(self, clean: str) -> None:
        ours, stock = BytePairs(clean=clean), SimpleTokenizer(clean=clean)

        @settings(deadline=None, max_examples=300, derandomize=True)
        @given(text=self.TEXT)
        def check(text: str) -> None:
            assert ours(text) == [stock.sot_token_id, *stock.encode(text), stock.eot_token_id]

        check()


@QUICK
@given(name=st.text(max_size=30) | st.sampled_from([":", "a:", "a:/", ":/x.pt", "ViT-B-16,:/x.pt"]))
def test_any_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlace.backbone.load.known_names", lambda: ["picto"])
    assume(not name.startswith(("hf:", "hf-hub:")))
    assert one_line(name) is None  # type: ignore[arg-type]
