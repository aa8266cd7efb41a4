"""Configurations of model folders: code that never runs, fields that no model has, images."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import open_clip
import pytest
from transformers import PreTrainedTokenizerFast

import interlace
from interlace import InterlaceError, load
from interlace.backbone import byte_pairs
from interlace.backbone.byte_pairs import BytePairs, read_merges
from interlace.backbone.checkpoints.image_processor import hugging_face_preprocess
from interlace.backbone.preprocess import Preprocess
from tests.backbone.families import (
    CLIP_VOCABULARY,
    FAMILIES,
    HF_CLIP,
    NATIVE,
    changed,
    of_clip,
    of_open_clip,
)

PICTO = Path(str(resources.files("interlace") / "data" / "datasets" / "picto" / "model"))
EVIL = "open('code_ran', 'w').write('x')\nclass Tok:\n    pass\n"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(changed(json.loads(path.read_text()), **changes)))


class TestCode:
    """Code in a model folder never runs, and nobody is asked whether it may."""

    def _evil(self, folder: Path) -> Path:
        (folder / "evil.py").write_text(EVIL)
        auto = {"AutoTokenizer": ["evil.Tok", "evil.Tok"], "AutoConfig": "evil.Tok"}
        text = json.dumps({"tokenizer_class": "Tok", "auto_map": auto})
        (folder / "tokenizer_config.json").write_text(text)
        return folder

    @pytest.fixture(params=["open_clip", "hf", "without merges"])
    def folder(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        if request.param == "without merges":
            folder = Path(shutil.copytree(PICTO, tmp_path / "model"))
            (folder / "bpe_merges.txt.gz").unlink()
            return self._evil(folder)
        if request.param == "open_clip":
            named = changed(NATIVE, text_cfg__hf_tokenizer_name="org/name")
            return self._evil(of_open_clip(named).save(tmp_path / "model"))
        folder = self._evil(of_clip(HF_CLIP).save(tmp_path / "model"))
        edit(folder / "config.json", auto_map={"AutoConfig": "evil.Tok", "AutoModel": "evil.Tok"})
        return folder

    def test_a_yes_on_standard_input_runs_nothing(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 100))
        with pytest.raises(InterlaceError, match="code") as caught:
            load(folder)
        assert "\n" not in str(caught.value)
        assert "[y/N]" not in "".join(capsys.readouterr())
        assert not (folder / "code_ran").exists() and "evil" not in sys.modules

    def test_on_the_command_line(self, tmp_path: Path) -> None:
        folder = self._evil(of_clip(HF_CLIP).save(tmp_path / "model"))
        code = "import sys; from interlace.cli import main; sys.argv = ['', 'show', '.']; main()"
        source = Path(interlace.__file__).parent.parent
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            input="y\n" * 100,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(source)},
        )
        assert done.returncode == 2
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
        assert "never run" in done.stderr and not (folder / "code_ran").exists()

    def test_a_known_class_is_read_in_spite_of_code(self, tmp_path: Path) -> None:
        saved = load(of_open_clip(CLIP_VOCABULARY).save(tmp_path / "stock"))
        folder = saved.save(tmp_path / "hf", format="hf")
        expected = load(folder).prompts(["fox"]).ids
        merges = (folder / "merges.txt").read_text().splitlines()
        (folder / "merges.txt").write_text("\n".join(merges[:-1]))  # no longer OpenAI's
        auto = {"AutoTokenizer": ["evil.Tok", None]}
        (folder / "evil.py").write_text(EVIL)
        edit(folder / "tokenizer_config.json", auto_map=auto)
        ids = load(folder).prompts(["fox"]).ids
        assert ids[0, :5].tolist() == expected[0, :5].tolist()

    def test_other_classes_are_not_read(self, tmp_path: Path) -> None:
        folder = of_clip(HF_CLIP).save(tmp_path / "model")
        for name in ("TransfoXLTokenizer", "RagTokenizer", "Evil\x1b[2J", 3, ["CLIPTokenizer"]):
            (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
            with pytest.raises(InterlaceError, match="only tokenizers of word lists") as caught:
                load(folder)
            assert "\x1b" not in str(caught.value)

    def test_a_name_in_a_config_fetches_nothing(self, tmp_path: Path, no_network: None) -> None:
        folder = of_open_clip(NATIVE).save(tmp_path / "model")
        path = folder / "open_clip_config.json"
        whole = json.loads(path.read_text())
        edit(path, model_cfg=changed(whole["model_cfg"], text_cfg__hf_tokenizer_name="org/name"))
        assert load(folder).tokenizer is None
        for part, name in (
            ("text_cfg__hf_model_name", "org/name"),
            ("vision_cfg__timm_model_name", "hf-hub:org/name"),
            ("vision_cfg__timm_model_name", "local-dir:/tmp"),
            ("vision_cfg__timm_model_name", "vit_base_patch16_224@x"),
        ):
            path.write_text(
                json.dumps({**whole, "model_cfg": changed(whole["model_cfg"], **{part: name})})
            )
            with pytest.raises(InterlaceError, match="of transformers|unknown name"):
                load(folder)

    @pytest.mark.parametrize("content", ["{", '{"version": "1.0"}', "[" * 5000, "null", "\0"])
    def test_a_broken_tokenizer(self, content: str, tmp_path: Path) -> None:
        folder = of_clip(HF_CLIP).save(tmp_path / "model")
        (folder / "tokenizer.json").write_text(content)
        (folder / "tokenizer_config.json").write_text(
            '{"tokenizer_class": "PreTrainedTokenizerFast"}'
        )
        with pytest.raises(InterlaceError, match="no tokenizer can be read"):
            load(folder)

    def test_a_tokenizer_of_another_model(self, tmp_path: Path) -> None:
        from tokenizers import Tokenizer, models, pre_tokenizers

        folder = of_clip(HF_CLIP).save(tmp_path / "model")
        words = Tokenizer(models.WordLevel({"a": 1, "photo": 700, "[UNK]": 0}, unk_token="[UNK]"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(folder)
        with pytest.raises(InterlaceError, match="ids from 0 to 700 and the model has 600 tokens"):
            load(folder).prompts(["cat"])


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


class TestMerges:
    def test_a_bomb_is_not_unpacked(self, tmp_path: Path) -> None:
        path = tmp_path / "bpe_merges.txt.gz"
        path.write_bytes(gzip.compress(b"a b\n" * (64 << 20 >> 2)))
        assert path.stat().st_size < 1 << 20
        with pytest.raises(InterlaceError, match="unpacks to more than 16 MiB"):
            read_merges(path)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"#version\na b\n", "cannot be read as gzip"),
            (gzip.compress(b"#version\na b\n", mtime=0)[:-9], "cannot be read as gzip"),
            (gzip.compress(b"#version\n\xff\xfe", mtime=0), "not UTF-8"),
            (gzip.compress(b"#version\na b c\n", mtime=0), "line 2: a merge is two words, found 3"),
            (gzip.compress(b"#version\n\n", mtime=0), "a vocabulary of 515 needs 1 merges.* has 0"),
            (b"", "a vocabulary of 515 needs 1 merges.* has 0|cannot be read"),
        ],
    )
    def test_what_is_no_list(self, content: bytes, words: str, tmp_path: Path) -> None:
        (tmp_path / "m.gz").write_bytes(content)
        with pytest.raises(InterlaceError, match=words):
            BytePairs(515, tmp_path / "m.gz")

    def test_a_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "m.gz")
        with pytest.raises(InterlaceError, match="a named pipe"):
            BytePairs(515, tmp_path / "m.gz")
        with pytest.raises(InterlaceError, match="a named pipe"):
            load(tmp_path / "m.gz")

    def test_cleanings(self) -> None:
        with pytest.raises(InterlaceError, match="'evil': expected one of lower"):
            BytePairs(clean="evil")
        assert byte_pairs.cleaning("canonicalize")("  It's a_CAT &amp;amp; dog!") == "its a cat dog"


OPEN_CLIP_FIELDS = [
    ("embed_dim", -1, "a whole number from 1"),
    ("embed_dim", 10**9, "a whole number from 1"),
    ("embed_dim", 10**400, "a whole number from 1|not JSON"),
    ("embed_dim", "192", "a whole number from 1"),
    ("embed_dim", 192.0, "a whole number from 1"),
    ("embed_dim", True, "a whole number from 1"),
    ("vision_cfg__width", 10**9, "vision_cfg.width = 1000000000: expected"),
    ("vision_cfg__head_width", 0, "vision_cfg.head_width = 0: expected"),
    ("vision_cfg__image_size", 10**9, "vision_cfg.image_size"),
    ("vision_cfg__image_size", [48], "vision_cfg.image_size"),
    ("vision_cfg__layers", "10", "vision_cfg.layers"),
    ("vision_cfg__norm_kwargs", {"eps": "1e-5"}, "norm_kwargs.eps = '1e-5'"),
    ("vision_cfg__norm_kwargs", {"eps": -1}, "norm_kwargs.eps = -1"),
    ("vision_cfg__norm_kwargs", [1], "norm_kwargs is not an object"),
    ("vision_cfg__act_kwargs", {"approximate": "x"}, "act_kwargs.approximate"),
    ("vision_cfg__pool_type", "last", "image pooling 'last'"),
    ("vision_cfg__pool_type", ["tok"], "vision_cfg.pool_type"),
    ("vision_cfg__new_thing", 3, "vision_cfg.new_thing is a setting that Interlace does not know"),
    ("vision_cfg__imagesize", 3, "did you mean 'image_size'"),
    ("vision_cfg", [], "vision_cfg is not an object"),
    ("text_cfg", "x", "text_cfg is not an object"),
    ("text_cfg__heads", -4, "text_cfg.heads = -4: expected a whole number from 1"),
    ("text_cfg__heads", 5, "5 attention heads do not divide"),
    ("text_cfg__eos_id", 1.5, "text_cfg.eos_id"),
    ("text_cfg__vocab_size", 10**12, "text_cfg.vocab_size"),
    ("text_cfg__vocab_size", 8000, "text_cfg.vocab_size is 8000 and the tensors have 8192"),
    ("text_cfg__tokenizer_kwargs", 3, "text_cfg.tokenizer_kwargs"),
    ("text_cfg__tokenizer_kwargs", {"clean": 3}, "text cleaning 3"),
    ("text_cfg__tokenizer_kwargs", {"bpe_path": "../x.gz"}, "lacks 'x.gz'"),
    ("text_cfg__tokenizer_kwargs", {"bpe_path": "/etc/\0"}, "lacks"),
    ("quick_gelu", "yes", "quick_gelu = 'yes': expected true or false"),
]


@pytest.fixture(scope="module")
def picto(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(PICTO, tmp_path_factory.mktemp("picto") / "model"))


@pytest.mark.parametrize(("field", "value", "words"), OPEN_CLIP_FIELDS)
def test_open_clip_fields(field: str, value: Any, words: str, picto: Path) -> None:
    path = picto / "open_clip_config.json"
    whole = json.loads((PICTO / path.name).read_text())
    path.write_text(json.dumps(changed(whole, **{f"model_cfg__{field}": value})))
    with pytest.raises(InterlaceError, match=words) as caught:
        load(picto)
    assert str(picto) in str(caught.value) or "clean" in words
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("size", 96, "size = 96: the model reads images of 48 x 48"),
        ("size", [48, 48, 48], "preprocess_cfg.size"),
        ("mode", "L", "preprocess_cfg.mode = 'L': expected one of RGB"),
        ("interpolation", "nearest", "preprocess_cfg.interpolation"),
        ("resize_mode", "stretch", "preprocess_cfg.resize_mode"),
        ("mean", [0.5, 0.5], "preprocess_cfg.mean"),
        ("mean", [0.5, 0.5, "x"], "preprocess_cfg.mean"),
        ("std", [0.5, 0.5, 0], "preprocess_cfg.std"),
        ("fill_color", 256, "preprocess_cfg.fill_color"),
        ("crop_pct", 0.9, "preprocess_cfg.crop_pct is a setting"),
    ],
)
def test_open_clip_images(field: str, value: Any, words: str, picto: Path) -> None:
    path = picto / "open_clip_config.json"
    whole = json.loads((PICTO / path.name).read_text())
    path.write_text(json.dumps(changed(whole, **{f"preprocess_cfg__{field}": value})))
    with pytest.raises(InterlaceError, match=words):
        load(picto)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested deeper"),
        ('{"a":' * 1000 + "1" + "}" * 1000, "nested deeper"),
        ("[1]", "expected a JSON object"),
        ('{"model_cfg": NaN}', "NaN is not a JSON number"),
        ('{"model_cfg": 3}', "no 'model_cfg'"),
        ('{"model_cfg": {"embed_dim": 1}}', "no 'model_cfg'"),
        ("\xff", "not UTF-8|not JSON"),
    ],
)
def test_what_is_no_configuration(text: str, words: str, picto: Path) -> None:
    (picto / "open_clip_config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InterlaceError, match=words) as caught:
        load(picto)
    assert "open_clip_config.json" in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("model_type", ["clip"], "model_type"),
        ("model_type", "evil\x1b", "of type 'evil"),
        ("vision_config", "x", "vision_config is not an object"),
        ("vision_config__layer_norm_eps", "small", "vision_config.layer_norm_eps"),
        ("vision_config__layer_norm_eps", 0, "vision_config.layer_norm_eps"),
        ("vision_config__image_size", -32, "vision_config.image_size"),
        ("vision_config__num_attention_heads", 10**9, "vision_config.num_attention_heads"),
        ("vision_config__hidden_size", 64, "vision_config.hidden_size is 64.* have 48"),
        ("vision_config__patch_size", 16, "vision_config.patch_size is 16.* have 8"),
        ("text_config__num_hidden_layers", 3, "text_config.num_hidden_layers is 3.* have 2"),
        ("text_config__hidden_act", 3, "text_config.hidden_act"),
        ("text_config__eos_token_id", -2, "text_config.eos_token_id"),
        ("text_config__eos_token_id", "2", "text_config.eos_token_id"),
    ],
)
def test_transformers_fields(field: str, value: Any, words: str, tmp_path: Path) -> None:
    folder = FAMILIES["hf_clip"]().save(tmp_path / "model")
    edit(folder / "config.json", **{field: value})
    with pytest.raises(InterlaceError, match=words) as caught:
        load(folder)
    assert "config.json" in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"template": 3}, {"template": "x"}, {"clean": "evil"}, []])
def test_our_own_settings(settings: Any, tmp_path: Path) -> None:
    folder = FAMILIES["hf_clip"]().save(tmp_path / "model")
    (folder / "interlace.json").write_text(json.dumps(settings))
    with pytest.raises(InterlaceError, match="interlace.json: "):
        load(folder)


class TestImageProcessors:
    """What transformers' processors do is done, or refused; never left out."""

    CLIP = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "do_center_crop": True,
        "size": {"shortest_edge": 32},
        "crop_size": {"height": 32, "width": 32},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
    }

    @pytest.fixture(scope="class")
    def spec(self) -> Any:
        from interlace.backbone.checkpoints.families import hugging_face_spec

        stock = FAMILIES["hf_clip"]()
        return hugging_face_spec(stock.model.state_dict(), stock.model.config.to_dict())

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"size": {"shortest_edge": 36}}, "supported are resizing to 32 x 32"),
            ({"crop_size": {"height": 24, "width": 24}}, "supported are"),
            ({"crop_size": 24}, "supported are"),
            ({"size": {"height": 36, "width": 36}}, "supported are"),
            ({"size": {"longest_edge": 32}}, "supported are"),
            ({"size": {"shortest_edge": 32, "longest_edge": 64}}, "supported are"),
            ({"do_center_crop": False}, "do_center_crop False"),
            ({"do_resize": False}, "do_resize = False: only true"),
            ({"do_pad": True}, "do_pad = True"),
            ({"rescale_offset": True}, "rescale_offset = True"),
            ({"resample": 0}, "nearest"),
            ({"resample": 1}, "lanczos"),
            ({"resample": 4}, "box"),
            ({"resample": 5}, "hamming"),
            ({"image_processor_type": "EvilImageProcessor", "size": None}, "Evil.*'size'"),
        ],
    )
    def test_refused(self, changes: dict[str, Any], words: str, spec: Any) -> None:
        with pytest.raises(InterlaceError, match=words):
            hugging_face_preprocess(spec, {**self.CLIP, **changes})

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, {}),
            ({"size": 32, "crop_size": 32}, {}),
            ({"size": {"height": 32, "width": 32}}, {"resize_mode": "squash"}),
            ({"resample": 2}, {"interpolation": "bilinear"}),
            ({"do_normalize": False}, {"mean": (0, 0, 0), "std": (1, 1, 1)}),
            (
                {"rescale_factor": 1 / 127.5},
                {"mean": (0.05, 0.1, 0.15), "std": (0.2, 0.25, 0.3)},
            ),
        ],
    )
    def test_honoured(self, changes: dict[str, Any], expected: dict[str, Any], spec: Any) -> None:
        usual = Preprocess(32, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)).to_dict()
        found = hugging_face_preprocess(spec, {**self.CLIP, **changes}).to_dict()
        for name, value in {**usual, **expected}.items():
            assert found[name] == (pytest.approx(value) if name in ("mean", "std") else value), name

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"do_normalize": False},
            {"do_rescale": False},
            {"rescale_factor": 1 / 127.5},
            {"resample": 2},
            {"size": {"height": 32, "width": 32}},
        ],
    )
    def test_the_pixels_are_transformers(self, changes: dict[str, Any], spec: Any) -> None:
        import numpy as np
        from PIL import Image
        from transformers import CLIPImageProcessor

        config = {**self.CLIP, **changes}
        pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype("uint8")
        theirs = CLIPImageProcessor(**config)(Image.fromarray(pixels), return_tensors="pt")
        ours = hugging_face_preprocess(spec, config).eval_transform()(Image.fromarray(pixels))
        scale = float(theirs.pixel_values.abs().max())
        assert float((ours - theirs.pixel_values[0]).abs().max()) < 1e-4 * scale


def test_open_clip_without_its_list_of_openais_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip 4 has no such function."""
    monkeypatch.delattr(open_clip, "list_openai_models", raising=False)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("open_clip.download_pretrained", fail)
    for name in ("ViT-B/16", "ViT-B-16:openai", "ViT-L/14@336px"):
        with pytest.raises(InterlaceError, match="cannot fetch ViT-.*:openai: OSError"):
            load(name)
    with pytest.raises(InterlaceError, match="a ResNet CLIP"):
        load("RN50")
    with pytest.raises(InterlaceError, match="unknown model"):
        load("ViT-B-17")
