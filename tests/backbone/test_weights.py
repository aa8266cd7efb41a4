"""Key maps: both directions undo each other, and nothing of a checkpoint is lost in silence."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from interlace import DualEncoder, InterlaceError
from interlace.backbone.checkpoints.families import (
    from_hugging_face,
    from_open_clip,
    hugging_face_spec,
    native_spec,
    open_clip_spec,
    refuse,
    to_hugging_face,
    to_open_clip,
)
from interlace.backbone.checkpoints.families.layout import TensorRow, parameter_shapes
from tests.backbone.families import FAMILIES, NATIVE, changed, inputs, of_open_clip


@pytest.mark.parametrize("family", FAMILIES)
def test_writing_undoes_reading(family: str) -> None:
    stock = FAMILIES[family]()
    state = stock.model.state_dict()
    if stock.is_open_clip:
        spec = open_clip_spec(state, stock.config)
        ours = from_open_clip(state, spec)
        back, _ = to_open_clip(ours, spec)
        if family == "native_custom_text":  # written with the text tower at top level
            back = {k if k in state else f"text.{k}": v for k, v in back.items()}
    else:
        spec = hugging_face_spec(state, stock.model.config.to_dict())
        ours = from_hugging_face(state, spec)
        back, _ = to_hugging_face(ours, spec)
    assert {name: tensor.shape for name, tensor in ours.items()} == parameter_shapes(spec)
    assert set(back) == set(state)
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor), name
        assert back[name].is_contiguous()


def test_the_shapes_are_those_of_a_model() -> None:
    spec = open_clip_spec(of_open_clip(NATIVE).model.state_dict(), NATIVE)
    state = DualEncoder(spec).state_dict()
    assert {name: tensor.shape for name, tensor in state.items()} == parameter_shapes(spec)


def test_a_row_names_every_block_and_leaf() -> None:
    rows = list(TensorRow("blocks.#.ln.*", "h.#.n.*").over("image.", "visual.", depth=2))
    assert [(row.ours, row.theirs) for row in rows] == [
        ("image.blocks.0.ln.weight", "visual.h.0.n.weight"),
        ("image.blocks.0.ln.bias", "visual.h.0.n.bias"),
        ("image.blocks.1.ln.weight", "visual.h.1.n.weight"),
        ("image.blocks.1.ln.bias", "visual.h.1.n.bias"),
    ]


class TestBareStateDict:
    """What `DualEncoder.from_openai_state_dict` takes."""

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        return changed(
            {**NATIVE, "quick_gelu": True},
            vision_cfg__width=128,
            vision_cfg__head_width=64,
            text_cfg__width=64,
            text_cfg__heads=1,
        )

    @pytest.mark.parametrize("layout", ["native", "custom text"])
    def test_sizes_come_from_the_tensors(self, config: dict[str, Any], layout: str) -> None:
        stock = of_open_clip({**config, "custom_text": layout == "custom text"})
        state = {name: tensor.half() for name, tensor in stock.model.state_dict().items()}
        state["input_resolution"] = state["context_length"] = torch.tensor(1)  # OpenAI's archives
        clip = DualEncoder.from_openai_state_dict(state)
        assert (clip.spec.image.heads, clip.spec.text.heads) == (2, 1)
        stock.model.load_state_dict(state, strict=False)
        images, ids = inputs()
        with torch.no_grad():
            torch.testing.assert_close(
                clip.encode_image(images), stock.image(images), atol=1e-5, rtol=0
            )
            torch.testing.assert_close(clip.encode_text(ids), stock.text(ids), atol=1e-5, rtol=0)

    def test_activation_is_the_callers(self, config: dict[str, Any]) -> None:
        state = of_open_clip(config).model.state_dict()
        assert native_spec(state).image.activation == "quick_gelu"
        assert native_spec(state, "gelu").text.activation == "gelu"

    def test_class_names_where_the_vocabulary_is_openais(self, config: dict[str, Any]) -> None:
        state = of_open_clip(changed(config, text_cfg__vocab_size=49408)).model.state_dict()
        ids = DualEncoder.from_openai_state_dict(state).prompts(["cat"]).ids
        assert ids.shape == (1, 12) and int(ids.max()) == 49407
        with pytest.raises(InterlaceError, match="without a tokenizer"):
            DualEncoder.from_openai_state_dict(of_open_clip(config).model.state_dict()).prompts(
                ["cat"]
            )

    def test_a_resnet(self) -> None:
        state = {"visual.layer1.0.conv1.weight": torch.ones(1)}
        with pytest.raises(InterlaceError, match="ResNet"):
            DualEncoder.from_openai_state_dict(state)

    def test_something_else(self) -> None:
        with pytest.raises(InterlaceError, match=r"'visual.conv1.weight' is missing"):
            DualEncoder.from_openai_state_dict({"weight": torch.ones(1)})


class TestDamage:
    @pytest.fixture
    def state(self) -> dict[str, Tensor]:
        return dict(of_open_clip(NATIVE).model.state_dict())

    def _read(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return from_open_clip(state, open_clip_spec(state, NATIVE))

    def test_a_missing_tensor(self, state: dict[str, Tensor]) -> None:
        del state["visual.transformer.resblocks.1.attn.out_proj.bias"]
        with pytest.raises(InterlaceError, match=r"lacks .*resblocks.1.attn.out_proj.bias"):
            self._read(state)

    def test_a_tensor_of_another_shape(self, state: dict[str, Tensor]) -> None:
        state["ln_final.weight"] = torch.ones(31)
        with pytest.raises(InterlaceError, match=r"'ln_final.weight' has shape \[31\]"):
            self._read(state)

    def test_a_layer_that_the_towers_have_not(self, state: dict[str, Tensor]) -> None:
        state["visual.transformer.resblocks.0.ls_1.gamma"] = torch.ones(48)
        with pytest.raises(InterlaceError, match="ls_1.gamma.* cannot express"):
            self._read(state)

    def test_an_image_size_that_is_not_the_checkpoints(self, state: dict[str, Tensor]) -> None:
        config = changed(NATIVE, vision_cfg__image_size=64)
        with pytest.raises(InterlaceError, match="17 image positions.* image size of 64"):
            open_clip_spec(state, config)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vision_cfg__ls_init_value": 1e-5}, "layer scale"),
        ({"vision_cfg__attentional_pool": True}, "attentional pooling"),
        ({"text_cfg__qk_norm": True}, "normalised queries"),
        ({"text_cfg__embed_cls": True}, "class token"),
        ({"vision_cfg__block_type": "custom"}, "custom blocks"),
        ({"text_cfg__hf_model_name": "roberta-base"}, "roberta-base"),
        ({"vision_cfg__layers": [3, 4, 6, 3]}, "ResNet"),
    ],
)
def test_architectures_that_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InterlaceError, match=words):
        refuse(changed(NATIVE, **change))


def test_dropping_patches_in_training_changes_nothing() -> None:
    stock = of_open_clip(changed(NATIVE, vision_cfg__patch_dropout=0.5))
    spec = open_clip_spec(stock.model.state_dict(), stock.config)
    clip = DualEncoder(spec)
    clip.load_state_dict(from_open_clip(stock.model.state_dict(), spec))
    images, _ = inputs()
    with torch.no_grad():
        torch.testing.assert_close(
            clip.encode_image(images), stock.image(images), atol=1e-5, rtol=0
        )


def test_every_small_transformer_of_open_clip_is_read_or_refused() -> None:
    """No architecture of this open_clip leads to another error than ours."""
    taken, refused = set(), set()
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        timm = config["vision_cfg"].get("timm_model_name", "")
        if timm and not re.match("vit_(base|medium|pe_core_tiny)", timm):
            continue  # the larger ones are of the same kinds and slow to set up
        try:
            refuse(config)
            taken.add(name)
        except InterlaceError:
            refused.add(name)
    assert {"ViT-B-16", "ViT-H-14", "ViT-B-16-SigLIP2-256"} <= taken
    assert {"RN50", "coca_ViT-B-32", "PE-Core-T-16-384", "mt5-base-ViT-B-32"} <= refused


def test_mlp_ratio_gives_the_hidden_width_again() -> None:
    """1152 * (4304 / 1152) falls short of 4304 in floating point."""
    from interlace.backbone.checkpoints.families.open_clip_saving import _ratio

    text = open_clip_spec(of_open_clip(NATIVE).model.state_dict(), NATIVE).text
    for width, hidden in ((1152, 4304), (48, 100), (1664, 8192), (1408, 6144), (32, 80)):
        tower = replace(text, width=width, heads=1, hidden=hidden)
        assert int(width * _ratio(tower)) == hidden
