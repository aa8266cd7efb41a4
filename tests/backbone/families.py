"""Small random models of every checkpoint family, as the stock libraries build them."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import timm
import torch
from open_clip.push_to_hf_hub import save_for_hf
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

#: Unequal on purpose: widths, depths, heads and hidden widths differ between the towers.
NATIVE: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {
        "image_size": 32,
        "layers": 3,
        "width": 48,
        "head_width": 16,
        "patch_size": 8,
        "mlp_ratio": 3.0,
    },
    "text_cfg": {"context_length": 12, "vocab_size": 600, "width": 32, "heads": 4, "layers": 2},
}
TIMM: dict[str, Any] = {
    "embed_dim": 48,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 32,
        "timm_model_name": "vit_test_patch8_siglip_32",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": 12,
        "vocab_size": 600,
        "width": 32,
        "heads": 4,
        "layers": 2,
        "mlp_ratio": 2.5,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
    },
}
_HF_IMAGE: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 100,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "image_size": 32,
    "patch_size": 8,
}
_HF_TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 600,
    "max_position_embeddings": 12,
    "bos_token_id": 597,
    "eos_token_id": 598,
}
HF_CLIP: dict[str, Any] = {
    "projection_dim": 24,
    "vision_config": {**_HF_IMAGE, "projection_dim": 24},
    "text_config": {**_HF_TEXT, "projection_dim": 24},
}
HF_SIGLIP: dict[str, Any] = {
    "vision_config": _HF_IMAGE,
    "text_config": {**_HF_TEXT, "projection_size": 48},
}


def changed(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """``base`` with settings replaced; ``vision_cfg__width=64`` reaches into a part."""
    result = copy.deepcopy(base)
    for name, value in changes.items():
        *path, last = name.split("__")
        place = result
        for part in path:
            place = place[part]
        place[last] = value
    return result


#: A small model that reads OpenAI's tokens.
CLIP_VOCABULARY = changed(NATIVE, text_cfg__vocab_size=49408, text_cfg__width=16)


def _register(name: str, **settings: Any) -> None:
    """Give timm a small model under ``name``, as its own modules do."""

    def build(pretrained: bool = False, pretrained_cfg: Any = None, **kwargs: Any) -> nn.Module:
        options = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 3}
        kwargs.pop("cache_dir", None)
        kwargs.pop("pretrained_cfg_overlay", None)
        model = VisionTransformer(**{**options, **settings, **kwargs})
        model.default_cfg = {}
        return model

    build.__name__ = name
    module = sys.modules[__name__]
    setattr(module, name, build)
    timm.models.register_model(build)


if not timm.is_model("vit_test_patch8_siglip_32"):
    _siglip: dict[str, Any] = {"class_token": False, "global_pool": "map"}
    _register("vit_test_patch8_siglip_32", **_siglip)
    _register("vit_test_tanh_patch8_siglip_32", **_siglip, act_layer="gelu_tanh", mlp_ratio=2.25)
    _register("vit_test_patch8_siglip_gap_32", class_token=False, global_pool="avg", fc_norm=False)
    _register("vit_test_patch8_clip_32", pre_norm=True)


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random values everywhere, LayerNorms and embeddings included, so no tensor equals another."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(1 + 0.3 * noise if norm else 0.2 * noise)
        for name, parameter in model.named_parameters():
            if name == "logit_scale":
                parameter.fill_(2.5)
            elif name == "logit_bias":
                parameter.fill_(-3.25)
    return model.eval()


def inputs(size: int = 32, context: int = 12, vocabulary: int = 600) -> tuple[Tensor, Tensor]:
    """Images [3, 3, size, size] and ids [3, context].

    The end-of-text id, the last but one of the vocabulary, stands at another place in each text.
    The text after it holds larger ids in no row and equal ones in none.
    """
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(3, 3, size, size, generator=generator)
    ids = torch.randint(1, vocabulary - 3, (3, context), generator=generator)
    for row, place in enumerate((4, context - 1, 7)):
        ids[row, place] = vocabulary - 2
    return images, ids


@dataclass
class Stock:
    """A model of another library with one face: features as that library computes them."""

    model: nn.Module
    config: dict[str, Any]

    @property
    def is_open_clip(self) -> bool:
        return isinstance(self.model, open_clip.CLIP | open_clip.CustomTextCLIP)

    def image(self, images: Tensor) -> Tensor:
        if self.is_open_clip:
            return self.model.encode_image(images)
        return _tensor(self.model.get_image_features(pixel_values=images))

    def text(self, ids: Tensor) -> Tensor:
        if self.is_open_clip:
            return self.model.encode_text(ids)
        return _tensor(self.model.get_text_features(input_ids=ids))

    def logits(self, images: Tensor, ids: Tensor) -> Tensor:
        if self.is_open_clip:
            return self.model.get_logits(images, ids)[0]
        return self.model(input_ids=ids, pixel_values=images).logits_per_image

    def save(self, folder: Path) -> Path:
        """As the stock library saves it."""
        if self.is_open_clip:
            open_clip.model.set_model_preprocess_cfg(
                self.model, {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
            )
            tokenizer = SimpleNamespace(save_pretrained=lambda folder: None)
            save_for_hf(self.model, tokenizer, self.config, str(folder), safe_serialization=True)
        else:
            self.model.save_pretrained(folder)
        return folder


def _tensor(output: Any) -> Tensor:
    """Older transformers give the features, newer ones wrap them."""
    return output if isinstance(output, Tensor) else output.pooler_output


def of_open_clip(config: dict[str, Any]) -> Stock:
    """A stock open_clip model with random values."""
    settings = copy.deepcopy(config)
    kind = open_clip.CustomTextCLIP if settings.pop("custom_text", False) else open_clip.CLIP
    return Stock(randomise(kind(**settings)), config)


def of_clip(config: dict[str, Any]) -> Stock:
    """A stock ``CLIPModel`` with random values."""
    return Stock(randomise(CLIPModel(CLIPConfig(**copy.deepcopy(config)))), config)


def of_siglip(config: dict[str, Any]) -> Stock:
    """A stock ``SiglipModel`` with random values."""
    return Stock(randomise(SiglipModel(SiglipConfig(**copy.deepcopy(config)))), config)


_TANH = {"approximate": "tanh"}

#: Every family and variant, by name.
FAMILIES: dict[str, Callable[[], Stock]] = {
    "native_gelu": lambda: of_open_clip(NATIVE),
    "native_quick_gelu": lambda: of_open_clip({**NATIVE, "quick_gelu": True}),
    "native_custom_text": lambda: of_open_clip({**NATIVE, "custom_text": True}),
    "native_variants": lambda: of_open_clip(
        changed(
            NATIVE,
            vision_cfg__no_ln_pre=True,
            vision_cfg__pool_type="avg",
            vision_cfg__act_kwargs=_TANH,
            vision_cfg__norm_kwargs={"eps": 1e-3},
            text_cfg__pool_type="eos",
            text_cfg__eos_id=598,
            text_cfg__norm_kwargs={"eps": 1e-4},
        )
    ),
    "native_sigmoid": lambda: of_open_clip(
        changed(
            NATIVE, init_logit_bias=-10, text_cfg__no_causal_mask=True, text_cfg__pool_type="first"
        )
    ),
    "timm_siglip": lambda: of_open_clip(TIMM),
    "timm_siglip2": lambda: of_open_clip(
        changed(
            TIMM,
            vision_cfg__timm_model_name="vit_test_tanh_patch8_siglip_32",
            text_cfg__act_kwargs=_TANH,
        )
    ),
    "timm_gap": lambda: of_open_clip(
        changed(
            TIMM,
            vision_cfg__timm_model_name="vit_test_patch8_siglip_gap_32",
            vision_cfg__timm_pool="avg",
        )
    ),
    "timm_projected": lambda: of_open_clip(
        changed(
            TIMM,
            embed_dim=24,
            vision_cfg__timm_proj="linear",
            vision_cfg__timm_proj_bias=True,
            vision_cfg__timm_model_name="vit_test_patch8_clip_32",
            vision_cfg__timm_pool="token",
        )
    ),
    "hf_clip": lambda: of_clip(HF_CLIP),
    "hf_clip_legacy_eos": lambda: of_clip(
        changed(
            HF_CLIP,
            vision_config__hidden_act="gelu",
            vision_config__layer_norm_eps=1e-3,
            text_config__hidden_act="gelu",
            text_config__eos_token_id=2,
        )
    ),
    "hf_siglip": lambda: of_siglip(HF_SIGLIP),
    "hf_siglip_gelu": lambda: of_siglip(
        changed(
            HF_SIGLIP,
            vision_config__hidden_act="gelu",
            vision_config__intermediate_size=192,  # as a timm model has it
            text_config__hidden_act="gelu",
        )
    ),
}
