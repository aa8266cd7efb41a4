"""Models of other libraries in memory: as from a saved folder, and left as they were."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch import nn
from transformers import CLIPImageProcessor, CLIPTokenizer, SiglipImageProcessor

from interlace import DualEncoder, InterlaceError, load
from interlace.backbone.byte_pairs import BytePairs
from interlace.backbone.preprocess import Preprocess
from interlace.backbone.tokenizer import TextTokenizer, byte_pair_tokenizer
from tests.backbone.families import (
    CLIP_VOCABULARY,
    FAMILIES,
    HF_CLIP,
    NATIVE,
    Stock,
    changed,
    inputs,
    of_clip,
    of_open_clip,
)

TOLERANCE = {"atol": 1e-5, "rtol": 0}
ROOT = Path(__file__).parents[2]


def live(stock: Stock, *given: Any) -> DualEncoder:
    if stock.is_open_clip:
        return DualEncoder.from_open_clip(stock.model, *given)
    return DualEncoder.from_transformers(stock.model, *given)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_model_that_the_saved_folder_holds(family: str, tmp_path: Path) -> None:
    stock = FAMILIES[family]()
    found, saved = live(stock), load(stock.save(tmp_path / "model"))
    assert found.spec == saved.spec
    assert found.fingerprint() == saved.fingerprint()
    images, ids = inputs()
    with torch.no_grad():
        torch.testing.assert_close(found(images, ids), stock.logits(images, ids), **TOLERANCE)
        torch.testing.assert_close(found.encode_image(images), stock.image(images), **TOLERANCE)
        torch.testing.assert_close(found.encode_text(ids), stock.text(ids), **TOLERANCE)
    # `save` gave the model its constants, where it is open_clip's
    assert live(stock).preprocess == saved.preprocess
    assert (found.tokenizer is None) == (saved.tokenizer is None)
    assert found.template == saved.template and found.source == ""


@pytest.mark.parametrize("family", ["native_gelu", "timm_siglip", "hf_clip", "hf_siglip"])
def test_the_callers_model_is_neither_changed_nor_shared(family: str) -> None:
    model = FAMILIES[family]().model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    clip = live(Stock(model, {}))
    assert model.training and all(p.requires_grad for p in model.parameters())
    tensors = [*clip.parameters(), *clip.buffers()]
    assert not clip.training and not any(tensor.requires_grad for tensor in tensors)
    theirs = {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}
    assert theirs.isdisjoint(tensor.untyped_storage().data_ptr() for tensor in tensors)
    for tensor in tensors:
        tensor.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("family", ["native_gelu", "hf_clip"])
def test_half_precision_comes_in_full(family: str) -> None:
    stock = FAMILIES[family]()
    stock.model.half()
    assert {p.dtype for p in live(stock).parameters()} == {torch.float32}


@pytest.mark.parametrize("family", ["native_gelu", "timm_siglip", "hf_clip", "hf_siglip"])
def test_hooks_are_refused_and_running_the_model_leaves_none(family: str) -> None:
    stock = FAMILIES[family]()
    images, ids = inputs()
    with torch.no_grad():
        stock.model(ids, images) if family.startswith("hf") else stock.model(images, ids)
    live(stock)
    handle = stock.model.register_forward_hook(lambda module, given, output: output)
    with pytest.raises(InterlaceError, match="module 'itself' has forward hooks") as caught:
        live(stock)
    assert "\n" not in str(caught.value)
    handle.remove()
    live(stock)


@pytest.mark.parametrize("family", ["native_quick_gelu", "timm_siglip", "hf_clip", "hf_siglip"])
def test_it_saves_as_any_other_model(family: str, tmp_path: Path) -> None:
    clip = live(FAMILIES[family]())
    format = "hf" if family.startswith("hf") else "open_clip"
    assert load(clip.save(tmp_path / "saved", format=format)).fingerprint() == clip.fingerprint()


class TestArguments:
    @pytest.fixture
    def stock(self) -> Stock:
        return of_open_clip(CLIP_VOCABULARY)

    def test_openais_tokenizer(self, stock: Stock) -> None:
        texts = ["a cat &amp; a FOX", "snow"]
        theirs = open_clip.SimpleTokenizer(context_length=12)
        for given in ((), (theirs,)):
            tokenizer = live(stock, *given).tokenizer
            assert isinstance(tokenizer, TextTokenizer)
            assert torch.equal(tokenizer(texts), theirs(texts))

    def test_a_tokenizer_never_cuts_a_text(self, stock: Stock) -> None:
        clip = live(stock, open_clip.SimpleTokenizer(context_length=77))
        with pytest.raises(InterlaceError, match="reads at most 12"):
            clip.prompts(["cat " * 20])

    def test_cleaning_is_kept(self, stock: Stock, tmp_path: Path) -> None:
        theirs = open_clip.SimpleTokenizer(context_length=12, clean="canonicalize")
        clip = live(stock, theirs)
        expected = theirs(["a cat, a fox!"])
        assert clip.tokenizer is not None
        assert torch.equal(clip.tokenizer(["a cat, a fox!"]), expected)
        again = load(clip.save(tmp_path / "saved"))
        assert again.tokenizer is not None
        assert torch.equal(again.tokenizer(["a cat, a fox!"]), expected)

    def test_own_merges_and_other_special_tokens(self, tmp_path: Path) -> None:
        merges = tmp_path / "merges.txt.gz"
        merges.write_bytes(BytePairs(600).packed())
        theirs = open_clip.SimpleTokenizer(str(merges), context_length=12)
        clip = live(of_open_clip(NATIVE), theirs)
        texts = ["a cat", "snow"]
        assert clip.tokenizer is not None
        assert torch.equal(clip.tokenizer(texts), theirs(texts))
        again = load(clip.save(tmp_path / "saved"))
        assert again.tokenizer is not None
        assert torch.equal(again.tokenizer(texts), theirs(texts))
        special = open_clip.SimpleTokenizer(additional_special_tokens=["<mask>"])
        with pytest.raises(InterlaceError, match="more than CLIP's two special tokens"):
            live(of_open_clip(NATIVE), special)

    def test_open_clips_wrapper_of_transformers(self, tmp_path: Path, stock: Stock) -> None:
        byte_pair_tokenizer(12).save(tmp_path, "hf")
        theirs = open_clip.tokenizer.HFTokenizer(str(tmp_path), context_length=12)
        clip = live(stock, theirs)
        assert clip.tokenizer is not None
        assert torch.equal(clip.tokenizer(["a Cat"]), theirs(["a Cat"]))
        theirs.strip_sep_token = True
        with pytest.raises(InterlaceError, match="strip_sep_token is not supported"):
            live(stock, theirs)

    def test_a_function_and_something_else(self, stock: Stock) -> None:
        def tokenize(texts: list[str]) -> torch.Tensor:
            return torch.ones(len(texts), 12, dtype=torch.long)

        assert live(stock, tokenize).tokenizer is tokenize
        with pytest.raises(
            InterlaceError, match="function from texts to ids, got a tokenizer of class int"
        ):
            live(stock, 3)

    def test_image_constants(self, stock: Stock) -> None:
        constants = {"mean": (0.1, 0.2, 0.3), "std": (0.3, 0.2, 0.1), "interpolation": "bilinear"}
        open_clip.model.set_model_preprocess_cfg(stock.model, {**constants, "mode": "RGB"})
        expected = Preprocess(32, (0.1, 0.2, 0.3), (0.3, 0.2, 0.1), "bilinear")
        assert live(stock).preprocess == expected
        given = Preprocess(32, resize_mode="squash")
        assert live(stock, None, given).preprocess == given
        for wrong, words in (
            (Preprocess(224), r"preprocess.size = 224: the model reads images of 32 x 32"),
            (lambda image: image, "preprocess to be an interlace.data.Preprocess.* got a function"),
        ):
            with pytest.raises(InterlaceError, match=words):
                live(stock, None, wrong)
        open_clip.model.set_model_preprocess_cfg(stock.model, {**constants, "resize_mode": "fill"})
        with pytest.raises(
            InterlaceError, match="model.visual.preprocess_cfg: resize_mode = 'fill'"
        ):
            live(stock)

    def test_a_processor_gives_tokenizer_and_constants(self, tmp_path: Path) -> None:
        settings = changed(HF_CLIP, text_config__vocab_size=49408, text_config__eos_token_id=49407)
        stock = of_clip(settings)
        byte_pair_tokenizer(12).save(tmp_path, "hf")
        images = CLIPImageProcessor(size=32, crop_size=32, image_mean=[0.1, 0.2, 0.3], resample=2)
        processor = _Processor(images, CLIPTokenizer.from_pretrained(tmp_path))
        clip = live(stock, processor)
        assert clip.preprocess.mean == pytest.approx((0.1, 0.2, 0.3))
        assert clip.preprocess.interpolation == "bilinear"
        theirs = processor.tokenizer(["a photo of a cat."])["input_ids"][0]
        assert clip.prompts(["cat"]).ids[0, : len(theirs)].tolist() == theirs
        with pytest.raises(InterlaceError, match="reads at most 12"):
            clip.prompts(["cat " * 20])

    def test_a_processor_that_does_not_fit(self, tmp_path: Path) -> None:
        byte_pair_tokenizer(12).save(tmp_path, "hf")
        tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
        stock = FAMILIES["hf_siglip"]()
        with pytest.raises(InterlaceError, match="supported are resizing to 32 x 32"):
            live(stock, _Processor(SiglipImageProcessor(), tokenizer))
        with pytest.raises(InterlaceError, match="is not a processor .* has no tokenizer"):
            live(stock, _Processor(SiglipImageProcessor(), None))


class _Processor:
    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        self.image_processor, self.tokenizer = image_processor, tokenizer


class TestModulesCount:
    """What a module computes counts, not what a configuration once said."""

    def test_open_clip(self) -> None:
        stock = of_open_clip(NATIVE)
        for block in stock.model.visual.transformer.resblocks:
            block.mlp.gelu = open_clip.transformer.QuickGELU()
        for block in stock.model.transformer.resblocks:
            block.mlp.gelu = nn.GELU("tanh")
        clip = live(stock)
        assert (clip.spec.image.activation, clip.spec.text.activation) == (
            "quick_gelu",
            "gelu_tanh",
        )
        images, ids = inputs()
        with torch.no_grad():
            torch.testing.assert_close(clip(images, ids), stock.logits(images, ids), **TOLERANCE)

    def test_transformers(self) -> None:
        stock = FAMILIES["hf_clip"]()
        for layer in stock.model.text_model.encoder.layers:
            layer.mlp.activation_fn = nn.GELU()
        stock.model.config.text_config.hidden_act = "relu"  # never looked at again
        with pytest.raises(InterlaceError, match="'relu'"):
            live(stock)
        stock.model.config.text_config.hidden_act = "quick_gelu"
        clip = live(stock)
        assert (clip.spec.image.activation, clip.spec.text.activation) == ("quick_gelu", "gelu")
        images, ids = inputs()
        with torch.no_grad():
            torch.testing.assert_close(clip(images, ids), stock.logits(images, ids), **TOLERANCE)


def _with(change: Any, family: str = "native_gelu") -> nn.Module:
    model = copy.deepcopy(FAMILIES[family]().model)
    change(model)
    return model


def _first(model: Any) -> Any:
    return model.visual.transformer.resblocks[0]


class TestRefused:
    @pytest.mark.parametrize(
        ("model", "words"),
        [
            (lambda: nn.Linear(2, 2), "expected an open_clip.CLIP or .* got a Linear"),
            (lambda: "ViT-B-16", "expected an open_clip.CLIP or .* got a str"),
            (lambda: FAMILIES["hf_clip"]().model, "got a CLIPModel; pass"),
            (lambda: nn.DataParallel(FAMILIES["native_gelu"]().model), "without wrappers"),
            (lambda: of_open_clip(_resnet()).model, "image tower is a ModifiedResNet"),
            (
                lambda: of_open_clip(changed(NATIVE, vision_cfg__ls_init_value=0.1)).model,
                "ls_1.gamma.* cannot express",
            ),
            (
                lambda: of_open_clip(changed(NATIVE, text_cfg__qk_norm=True)).model,
                "a block of class CustomResidualAttentionBlock",
            ),
            (
                lambda: of_open_clip(changed(NATIVE, vision_cfg__attentional_pool=True)).model,
                "pools by attention as CoCa",
            ),
            (
                lambda: (
                    of_open_clip(
                        changed(
                            NATIVE,
                            vision_cfg__pool_type="avg",
                            vision_cfg__final_ln_after_pool=True,
                        )
                    ).model
                ),
                "after average pooling",
            ),
            (
                lambda: (
                    of_open_clip(
                        changed({**NATIVE, "custom_text": True}, text_cfg__embed_cls=True)
                    ).model
                ),
                "appended class token",
            ),
            (lambda: _with(lambda m: m.attn_mask.zero_()), "attention mask that is not causal"),
            (lambda: _with(lambda m: setattr(_first(m).mlp, "gelu", nn.ReLU())), "activation ReLU"),
            (
                lambda: _with(lambda m: setattr(_first(m).ln_1, "eps", 0.1)),
                "epsilons 1e-05 and",
            ),
            (
                lambda: _with(lambda m: setattr(m.visual, "pool_type", "none")),
                "image pooling 'none'",
            ),
            (lambda: FAMILIES["native_gelu"]().model.to("meta"), "has no values"),
            (lambda: _with(lambda m: m.logit_scale.data.fill_(99.0)), "'logit_scale' is 99"),
            (lambda: _with(lambda m: m.visual.proj.data.fill_(torch.nan)), "not finite"),
            (
                lambda: _with(lambda m: m.text.register_buffer("x", torch.ones(1)), "timm_siglip"),
                "'text.x'.* cannot express",
            ),
            (
                lambda: _with(lambda m: setattr(m.text, "use_pad_mask", True), "timm_siglip"),
                "masks its padding",
            ),
        ],
    )
    def test_open_clip(self, model: Any, words: str) -> None:
        with pytest.raises(InterlaceError, match=words) as caught:
            DualEncoder.from_open_clip(model())
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("model", "words"),
        [
            (
                lambda: nn.Linear(2, 2),
                "expected a transformers CLIPModel or .* got a Linear",
            ),
            (lambda: FAMILIES["native_gelu"]().model, "got a CLIP; pass"),
            (lambda: FAMILIES["hf_clip"]().model.text_model, "half of a CLIP"),
            (lambda: FAMILIES["hf_clip"]().model.to("meta"), "has no values"),
            (
                lambda: _with(
                    lambda m: setattr(
                        m.vision_model.encoder.layers[0].mlp, "activation_fn", nn.Tanh()
                    ),
                    "hf_siglip",
                ),
                "activation Tanh is none of",
            ),
        ],
    )
    def test_transformers(self, model: Any, words: str) -> None:
        with pytest.raises(InterlaceError, match=words) as caught:
            DualEncoder.from_transformers(model())
        assert "\n" not in str(caught.value)

    def test_an_adapter(self) -> None:
        model = FAMILIES["hf_clip"]().model
        model.text_projection.lora_A = nn.Linear(2, 2)
        with pytest.raises(InterlaceError, match="peft adapter: merge it first"):
            DualEncoder.from_transformers(model)


def _resnet() -> dict[str, Any]:
    return changed(
        NATIVE,
        vision_cfg__layers=[1, 1, 1, 1],
        vision_cfg__width=8,
        vision_cfg__head_width=8,
    )


def test_parts_make_the_same_model_again() -> None:
    clip = live(FAMILIES["native_gelu"]())
    with pytest.raises(InterlaceError, match="has no name to load it by"):
        load(clip.source)
    again = DualEncoder.from_parts(replace(clip.parts(), source="somewhere"))
    assert again.fingerprint() == clip.fingerprint() and again.source == "somewhere"


def test_the_example_of_the_documents(no_network: None) -> None:
    text = (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")
    section = text.split("## A model that is in memory")[1].split("\n## ")[0]
    examples = re.findall(r"^```python\n(.*?)^```", section, flags=re.M | re.S)
    assert len(examples) == 2
    for example in examples:
        found: dict[str, Any] = {}
        exec(example, found)
        assert isinstance(found["clip"], DualEncoder)
