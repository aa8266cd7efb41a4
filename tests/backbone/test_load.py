"""Folders and files that `load` takes, and those it refuses; the embedded model."""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, CLIPModel

from interlace import InterlaceError, load
from interlace.backbone.load import PICTO
from interlace.backbone.preprocess import Preprocess
from tests.backbone.families import (
    CLIP_VOCABULARY,
    FAMILIES,
    NATIVE,
    changed,
    of_open_clip,
)


class TestPaths:
    @pytest.mark.parametrize("family", ["native_gelu", "timm_siglip", "hf_clip", "hf_siglip"])
    def test_a_path_needs_no_network(self, family: str, tmp_path: Path, no_network: None) -> None:
        folder = FAMILIES[family]().save(tmp_path / "model")
        for name in (folder, str(folder), f"local-dir:{folder}"):
            clip = load(name)
            assert clip.source == str(folder)
            tensors = [*clip.parameters(), *clip.buffers()]
            assert not any(tensor.requires_grad or tensor.is_meta for tensor in tensors)
            assert not clip.training

    def test_a_saved_tokenizer_needs_no_network(self, tmp_path: Path, no_network: None) -> None:
        stock = of_open_clip(CLIP_VOCABULARY).save(tmp_path / "stock")
        clip = load(stock)
        for format in ("open_clip", "hf"):
            again = load(clip.save(tmp_path / format, format=format))
            ids, expected = again.prompts(["fox"]).ids, clip.prompts(["fox"]).ids
            end = int(expected.argmax()) + 1
            assert torch.equal(ids[:, :end], expected[:, :end])
            torch.testing.assert_close(again.encode_text(ids), clip.encode_text(expected))

    def test_clips_own_tokenizer_needs_no_transformers(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clip = load(of_open_clip(CLIP_VOCABULARY).save(tmp_path / "stock"))
        folder = clip.save(tmp_path / "hf", format="hf")
        monkeypatch.setitem(sys.modules, "transformers", None)
        assert torch.equal(load(folder).prompts(["fox"]).ids, clip.prompts(["fox"]).ids)
        merges = folder / "merges.txt"
        merges.write_text(merges.read_text().replace("t h\n", "h t\n"))
        with pytest.raises(InterlaceError, match="needs the transformers library"):
            load(folder)

    def test_shards(self, tmp_path: Path) -> None:
        stock = FAMILIES["hf_clip"]()
        stock.model.save_pretrained(tmp_path / "parts", max_shard_size="40KB")
        assert (tmp_path / "parts" / "model.safetensors.index.json").exists()
        assert load(tmp_path / "parts").fingerprint() == _fingerprint(stock, tmp_path)
        next((tmp_path / "parts").glob("model-00001*")).unlink()
        with pytest.raises(InterlaceError, match="a shard that its index names"):
            load(tmp_path / "parts")

    def test_half_precision_is_read_and_written_in_full(self, tmp_path: Path) -> None:
        stock = FAMILIES["native_gelu"]()
        stock.model.half()
        clip = load(stock.save(tmp_path / "half"))
        assert {p.dtype for p in clip.parameters()} == {torch.float32}
        fingerprint = clip.fingerprint()
        again = load(clip.half().save(tmp_path / "full"))
        assert {p.dtype for p in again.parameters()} == {torch.float32}
        assert again.fingerprint() == fingerprint

    def test_the_only_weights_of_a_folder_may_have_any_name(self, tmp_path: Path) -> None:
        folder = FAMILIES["native_gelu"]().save(tmp_path / "model")
        next(folder.glob("*.safetensors")).rename(folder / "epoch_3.safetensors")
        load(folder)
        (folder / "epoch_2.safetensors").write_bytes(b"")
        with pytest.raises(InterlaceError, match="expected open_clip_model.safetensors"):
            load(folder)

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda p: p.mkdir(), "expected open_clip_config.json or config.json"),
            (lambda p: None, "no file or folder"),
            (lambda p: p.write_bytes(b"x"), "read from .safetensors files"),
        ],
    )
    def test_a_path_with_no_model(self, make: Any, words: str, tmp_path: Path) -> None:
        make(tmp_path / "model")
        with pytest.raises(InterlaceError, match=words):
            load(tmp_path / "model")

    def test_a_folder_of_no_weights(self, tmp_path: Path) -> None:
        for family in ("native_gelu", "hf_clip"):
            folder = FAMILIES[family]().save(tmp_path / family)
            next(folder.glob("*.safetensors")).unlink()
            with pytest.raises(InterlaceError, match="holds no weights; expected"):
                load(folder)

    def test_broken_files_are_named(self, tmp_path: Path) -> None:
        folder = FAMILIES["native_gelu"]().save(tmp_path / "model")
        next(folder.glob("*.safetensors")).write_bytes(b"nonsense")
        with pytest.raises(InterlaceError, match="cannot be read as safetensors"):
            load(folder)
        (folder / "open_clip_config.json").write_text("{")
        with pytest.raises(InterlaceError, match="not JSON"):
            load(folder)
        (folder / "open_clip_config.json").write_text("{}")
        with pytest.raises(InterlaceError, match="no 'model_cfg'"):
            load(folder)


def _fingerprint(stock: Any, tmp_path: Path) -> str:
    return load(stock.save(tmp_path / "whole")).fingerprint()


class TestFiles:
    @pytest.mark.parametrize(
        ("metadata", "argument", "expected"),
        [
            ({}, "quick_gelu", "quick_gelu"),
            ({}, "gelu", "gelu"),
            ({"activation": "gelu_tanh"}, None, "gelu_tanh"),
            ({"activation": "gelu_tanh"}, "gelu", "gelu"),
        ],
    )
    def test_activation(
        self,
        metadata: dict[str, str],
        argument: Any,
        expected: str,
        tmp_path: Path,
        known_model: dict[str, Any],
    ) -> None:
        path = tmp_path / "clip.safetensors"
        save_file(of_open_clip(known_model).model.state_dict(), path, metadata=metadata)
        clip = load(path, activation=argument)
        assert clip.spec.image.activation == clip.spec.text.activation == expected
        assert (clip.spec.image.heads, clip.spec.text.heads) == (1, 2)
        assert clip.prompts(["cat"]).ids.shape == (1, 12)
        assert load(clip.source).spec == clip.spec

    @pytest.fixture
    def known_model(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """A small architecture that open_clip knows by name."""
        wide = changed(NATIVE, vision_cfg__width=64, vision_cfg__head_width=64)
        wide = changed(wide, text_cfg__width=128, text_cfg__heads=2, text_cfg__vocab_size=49408)
        monkeypatch.setattr(open_clip, "list_models", lambda: ["tiny"])
        monkeypatch.setattr(open_clip, "get_model_config", {"tiny": wide}.get)
        return wide

    def test_an_unknown_activation(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.safetensors"
        save_file(of_open_clip(NATIVE).model.state_dict(), path)
        with pytest.raises(InterlaceError, match="'relu': expected quick_gelu or gelu"):
            load(path, activation="relu")

    @pytest.mark.parametrize(
        ("family", "words"),
        [("timm_siglip", "give the folder that holds it"), ("hf_clip", "with its config.json")],
    )
    def test_tensors_that_need_a_config(self, family: str, words: str, tmp_path: Path) -> None:
        folder = FAMILIES[family]().save(tmp_path / "model")
        file = next(folder.glob("*.safetensors"))
        assert load(file).fingerprint() == load(folder).fingerprint()
        for config in folder.glob("*.json"):
            config.unlink()
        with pytest.raises(InterlaceError, match=words):
            load(file)

    def test_activation_is_for_files(self, tmp_path: Path) -> None:
        folder = FAMILIES["hf_clip"]().save(tmp_path / "model")
        for name in (folder, "ViT-B-16:openai"):
            with pytest.raises(InterlaceError, match="is for a .safetensors file"):
                load(name, activation="gelu")


class TestTransformersConfigs:
    def _folder(self, tmp_path: Path, family: str, **changes: Any) -> Path:
        folder = FAMILIES[family]().save(tmp_path / "model")
        path = folder / "config.json"
        path.write_text(json.dumps(changed(json.loads(path.read_text()), **changes)))
        return folder

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"model_type": "chinese_clip"}, "of type 'chinese_clip'"),
            ({"model_type": "siglip2"}, "NaFlex"),
            ({"model_type": "clip_vision_model"}, "without a text tower"),
            ({"vision_config__hidden_act": "relu"}, "hidden_act 'relu'"),
            ({"vision_config__image_size": [32, 64]}, "side of a square"),
            ({"vision_config__num_attention_heads": 5}, "5 attention heads do not divide"),
            ({"vision_config__image_size": 64}, "has shape"),
        ],
    )
    def test_refused(self, changes: dict[str, Any], words: str, tmp_path: Path) -> None:
        with pytest.raises(InterlaceError, match=words):
            load(self._folder(tmp_path, "hf_clip", **changes))

    def test_a_siglip_without_head(self, tmp_path: Path) -> None:
        with pytest.raises(InterlaceError, match="without its pooling head"):
            load(self._folder(tmp_path, "hf_siglip", vision_config__vision_use_head=False))

    def test_a_silent_config_means_the_librarys_defaults(self, tmp_path: Path) -> None:
        folder = FAMILIES["hf_siglip"]().save(tmp_path / "model")
        config = {"model_type": "siglip", "vision_config": {"image_size": 32}, "text_config": {}}
        for part in ("vision_config", "text_config"):
            config[part]["num_attention_heads"] = 4 if part == "text_config" else 3
        (folder / "config.json").write_text(json.dumps(config))
        spec = load(folder).spec
        assert (spec.image.activation, spec.image.norm_eps) == ("gelu_tanh", 1e-6)

    def test_the_older_copy_of_a_towers_config_counts(self, tmp_path: Path) -> None:
        folder = self._folder(
            tmp_path,
            "hf_clip",
            text_config__hidden_act="gelu",
            text_config_dict={"num_attention_heads": 2},
        )
        text = load(folder).spec.text
        assert (text.heads, text.activation, text.eos_id) == (2, "quick_gelu", 49407)

    def test_image_constants(self, tmp_path: Path) -> None:
        folder = FAMILIES["hf_clip"]().save(tmp_path / "model")
        assert load(folder).preprocess == Preprocess(32)
        constants = {
            "image_mean": [0.1, 0.2, 0.3],
            "image_std": [0.3, 0.2, 0.1],
            "resample": 2,
            "size": {"height": 32, "width": 32},
        }
        expected = Preprocess(32, (0.1, 0.2, 0.3), (0.3, 0.2, 0.1), "bilinear", "squash")
        (folder / "processor_config.json").write_text(json.dumps({"image_processor": constants}))
        assert load(folder).preprocess == expected
        (folder / "preprocessor_config.json").write_text(json.dumps({**constants, "size": 32}))
        assert load(folder).preprocess.resize_mode == "shortest"


def test_picto_is_embedded(no_network: None) -> None:
    clip = load(PICTO)
    assert clip.source == "picto"
    assert clip.template == "a drawing of {}"


def test_picto_is_an_ordinary_open_clip_model(no_network: None) -> None:
    clip = load(PICTO)
    folder = Path(str(resources.files("interlace") / "data" / "datasets" / "picto" / "model"))
    stock = open_clip.create_model_from_pretrained(f"local-dir:{folder}", return_transform=False)
    tokenize = open_clip.SimpleTokenizer(
        str(folder / "bpe_merges.txt.gz"), context_length=clip.spec.text.context_length
    )
    names = ["cat", "Snow-capped mountain", "bowl with spoon"]
    ids = clip.prompts(names).ids
    assert torch.equal(ids, tokenize([f"a drawing of {name}" for name in names]))
    images = torch.randn(2, 3, clip.spec.image.image_size, clip.spec.image.image_size)
    with torch.no_grad():
        for ours, theirs in (
            (clip.encode_image(images), stock.encode_image(images)),
            (clip.encode_text(ids), stock.encode_text(ids)),
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_picto_leaves_as_a_transformers_model(tmp_path: Path, no_network: None) -> None:
    clip = load(PICTO)
    folder = clip.save(tmp_path / "picto", format="hf")
    model, tokenizer = CLIPModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    names = ["cat", "bowl with spoon"]
    texts = tokenizer([f"a drawing of {name}" for name in names], padding=True, return_tensors="pt")
    images = torch.randn(2, 3, clip.spec.image.image_size, clip.spec.image.image_size)
    with torch.no_grad():
        theirs = model(**texts, pixel_values=images).logits_per_image
        ours = clip(images, clip.prompts(names).ids)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    assert load(folder).template == clip.template
