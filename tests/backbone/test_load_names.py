"""Names that `load` takes: open_clip's tags, OpenAI's names, and repositories of the hub."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from interlace import InterlaceError, load
from interlace.backbone.files import HubRepository, LocalFolder
from interlace.backbone.load import known_names
from interlace.backbone.preprocess import Preprocess
from tests.backbone.families import CLIP_VOCABULARY, FAMILIES, of_open_clip


class TestTags:
    @pytest.fixture
    def fetch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """open_clip with small architectures, whose download is a file on this machine."""
        path = tmp_path / "weights.safetensors"
        save_file(of_open_clip(CLIP_VOCABULARY).model.state_dict(), path)
        monkeypatch.setattr(open_clip, "get_model_config", lambda name: dict(CLIP_VOCABULARY))
        monkeypatch.setattr(
            "open_clip.download_pretrained", lambda config, cache_dir=None: str(path)
        )

    @pytest.mark.parametrize(
        ("name", "source", "activation"),
        [
            ("ViT-B-16:openai", "ViT-B-16:openai", "quick_gelu"),
            ("ViT-B/16", "ViT-B-16:openai", "quick_gelu"),
            ("ViT-L/14@336px", "ViT-L-14-336:openai", "quick_gelu"),
            ("ViT-B/16:openai", "ViT-B-16:openai", "quick_gelu"),
            ("ViT-B-16:laion2b_s34b_b88k", "ViT-B-16:laion2b_s34b_b88k", "gelu"),
            ("ViT-B-16-quickgelu:dfn2b", "ViT-B-16-quickgelu:dfn2b", "quick_gelu"),
            ("ViT-B-16-quickgelu:openai", "ViT-B-16-quickgelu:openai", "quick_gelu"),
        ],
    )
    def test_names_and_activations(
        self, name: str, source: str, activation: str, fetch: None
    ) -> None:
        clip = load(name)
        assert clip.source == source
        assert clip.spec.image.activation == clip.spec.text.activation == activation
        assert clip.preprocess == Preprocess(32)
        assert clip.prompts(["cat"]).ids[0, 1] == 320

    def test_template(self, fetch: None) -> None:
        assert load("ViT-B-16:openai").template == "a photo of a {}."
        assert load("ViT-B-16:openai", template="{}").template == "{}"

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("pikto", "unknown model 'pikto'; did you mean picto"),
            ("ViT-B-16:opena", "did you mean ViT-B-16:openai"),
            ("ViT-B-16", "did you mean ViT-B-16:openai"),
            ("RN50", "a ResNet CLIP"),
            ("RN50x4:openai", "a ResNet CLIP"),
            ("coca_ViT-B-32:laion2b_s13b_b90k", "a CoCa model"),
            ("convnext_base:laion400m_s13b_b51k", "is a ConvNeXt"),
            ("EVA02-B-16:merged2b_s8b_b131k", "is a Eva"),
            ("roberta-ViT-B-32:laion2b_s12b_b32k", "text tower 'roberta-base' of transformers"),
            ("MobileCLIP-B:datacompdr", "a hybrid"),
            ("MobileCLIP-S1:datacompdr", "is a FastVit"),
            ("ViTamin-S:datacomp1b", "takes plain vision transformers"),
            ("ViT-L-14-CLIPA:datacomp1b", "LayerNorm comes after average pooling"),
        ],
    )
    def test_refused_before_anything_is_fetched(
        self, name: str, words: str, no_network: None
    ) -> None:
        with pytest.raises(InterlaceError, match=words):
            load(name)

    def test_no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise OSError("no route\nto host")

        monkeypatch.setattr("open_clip.download_pretrained", fail)
        with pytest.raises(InterlaceError, match="cannot fetch ViT-B-16:openai: OSError: no route"):
            load("ViT-B-16:openai")

    def test_nothing_is_used_that_open_clip_4_may_lack(
        self, fetch: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The public functions of both versions are all there is: no module of the package."""
        stand_in = ModuleType("open_clip")
        stand_in.__spec__, stand_in.__path__ = open_clip.__spec__, open_clip.__path__
        for name in (
            *("get_model_config", "get_pretrained_cfg", "download_pretrained", "list_models"),
            *("list_pretrained", "list_pretrained_tags_by_model"),
        ):
            setattr(stand_in, name, getattr(open_clip, name))
        for name in [name for name in sys.modules if name.startswith("open_clip.")]:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setitem(sys.modules, "open_clip", stand_in)
        for name in ("ViT-B-16:openai", "ViT-B/16", "ViT-B-16:laion2b_s34b_b88k"):
            clip = load(name)
            assert clip.prompts(["cat"]).ids[0, 1] == 320
            assert load(tmp_path / "weights.safetensors", arch="ViT-B-16").spec.image == replace(
                clip.spec.image, activation="gelu"
            )
        with pytest.raises(InterlaceError, match="did you mean ViT-B-16:openai"):
            load("ViT-B-16:opena")
        assert "ViT-B-16-SigLIP:webli" in known_names()

    def test_known_names(self) -> None:
        assert {"picto", "ViT-B-16:openai", "ViT-B-16-SigLIP:webli"} <= set(known_names())


class TestHub:
    @pytest.fixture
    def hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A hub whose repositories are folders."""
        monkeypatch.setattr(
            HubRepository,
            "find",
            lambda self, file: LocalFolder(tmp_path / self.repository).find(file),
        )
        (tmp_path / "org").mkdir()
        return tmp_path / "org"

    def test_transformers_repository(self, hub: Path) -> None:
        FAMILIES["hf_siglip"]().save(hub / "siglip")
        assert load("hf:org/siglip").source == "hf:org/siglip"

    def test_open_clip_repository(self, hub: Path) -> None:
        FAMILIES["native_quick_gelu"]().save(hub / "clip")
        clip = load("hf-hub:org/clip")
        assert clip.source == "hf-hub:org/clip"
        assert clip.spec.image.activation == "quick_gelu"
        assert clip.preprocess.mean == (0.1, 0.2, 0.3)

    def test_published_pickles_hold_nothing_but_tensors(self, hub: Path) -> None:
        stock = FAMILIES["hf_clip"]()
        folder = stock.save(hub / "old")
        (folder / "model.safetensors").unlink()
        torch.save(stock.model.state_dict(), folder / "pytorch_model.bin")
        assert load("hf:org/old").spec.embed_dim == 24
        torch.save({"weight": Path("code")}, folder / "pytorch_model.bin")
        with pytest.raises(InterlaceError, match="holds more than tensors"):
            load("hf:org/old")

    def test_the_other_kind_of_repository_is_named(self, hub: Path) -> None:
        FAMILIES["native_gelu"]().save(hub / "clip")
        FAMILIES["hf_clip"]().save(hub / "model")
        with pytest.raises(InterlaceError, match="open_clip model as hf-hub:"):
            load("hf:org/clip")
        with pytest.raises(InterlaceError, match="transformers model as hf:"):
            load("hf-hub:org/model")

    def test_what_was_fetched_once_needs_no_network(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        repository = tmp_path / "models--org--name"
        FAMILIES["hf_siglip"]().save(repository / "snapshots" / "0a1b")
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("0a1b")
        assert load("hf:org/name", cache_dir=str(tmp_path)).spec.image.pool == "map"
        with pytest.raises(InterlaceError, match="cannot fetch 'config.json' of 'org/other'"):
            load("hf:org/other", cache_dir=str(tmp_path))

    def test_a_repository_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise OSError("unreachable")

        monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
        with pytest.raises(InterlaceError, match="cannot fetch 'config.json' of 'org/name'"):
            load("hf:org/name")
