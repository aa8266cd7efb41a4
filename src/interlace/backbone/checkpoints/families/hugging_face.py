"""The transformers library's ``CLIPModel`` and ``SiglipModel``: architecture and layout.

Sizes are read from the tensors; heads, activation, epsilon, image size and the end-of-text id from
``config.json``, with the library's own defaults for what a config leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from interlace._util.text import printable
from interlace.backbone.checkpoints.families import tables
from interlace.backbone.checkpoints.families.layout import (
    TensorLayout,
    agree,
    depth,
    read,
    size,
    write,
)
from interlace.backbone.spec import Activation, ImageSpec, Spec, TextPool, TextSpec, TowerSpec
from interlace.errors import InterlaceError

_ACTIVATIONS: dict[str, Activation] = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
}
_HF_ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}

#: What transformers assumes where a tower's config is silent.
_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "clip": {
        "vision_config": {
            "num_attention_heads": 12,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
            "image_size": 224,
        },
        "text_config": {
            "num_attention_heads": 8,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
            "eos_token_id": 49407,
        },
    },
    "siglip": {
        "vision_config": {
            "num_attention_heads": 12,
            "hidden_act": "gelu_pytorch_tanh",
            "layer_norm_eps": 1e-6,
            "image_size": 224,
        },
        "text_config": {
            "num_attention_heads": 12,
            "hidden_act": "gelu_pytorch_tanh",
            "layer_norm_eps": 1e-6,
        },
    },
}
#: Before transformers 4.31 configs carried this wrong id, and the feature was read at the largest
#: id instead. transformers still does so where it finds it, and so do we.
_LEGACY_EOS = 2


def hugging_face_family(config: Mapping[str, Any]) -> str:
    """Return ``clip`` or ``siglip``, as a ``config.json`` says.

    Raises:
        InterlaceError: if the model is of another kind.
    """
    family = config.get("model_type") or ""
    if family in _DEFAULTS:
        return family
    what = {
        "siglip2": "a SigLIP 2 NaFlex model (images of any shape); its fixed-size models, whose "
        "model_type is 'siglip', are supported",
        "clip_vision_model": "half of a CLIP, without a text tower",
        "clip_text_model": "half of a CLIP, without an image tower",
    }.get(family, f"a transformers model of type {printable(repr(family))}")
    raise InterlaceError(f"this checkpoint is {what}; Interlace takes CLIPModel and SiglipModel")


def _tower(config: Mapping[str, Any], family: str, part: str) -> dict[str, Any]:
    """Return one tower's config, completed with the defaults."""
    defaults, given = _DEFAULTS[family][part], config.get(part) or {}
    # old configs repeat the tower's config under this key, and that copy counts
    override = config.get(f"{part}_dict")
    return {**defaults, **given, **({**defaults, **override} if override else {})}


def _common(
    state: Mapping[str, Tensor], config: Mapping[str, Any], tower: str, width: int
) -> dict[str, Any]:
    """Return what both towers have in common; the config must not contradict the tensors' sizes."""
    layers = f"{tower}_model.encoder.layers."
    blocks, hidden = depth(state, layers), size(state, f"{layers}0.mlp.fc1.weight", 0)
    stated = {"hidden_size": width, "num_hidden_layers": blocks, "intermediate_size": hidden}
    agree(config, stated, f"{tower}_config")
    activation = config["hidden_act"]
    if activation not in _ACTIVATIONS:
        raise InterlaceError(
            f"hidden_act {printable(repr(activation))}: "
            f"expected one of {', '.join(sorted(_ACTIVATIONS))}"
        )
    return {
        "width": width,
        "depth": blocks,
        "hidden": hidden,
        "heads": config["num_attention_heads"],
        "activation": _ACTIVATIONS[activation],
        "norm_eps": config["layer_norm_eps"],
    }


def _image(state: Mapping[str, Tensor], config: Mapping[str, Any], clip: bool) -> ImageSpec:
    patch = size(state, "vision_model.embeddings.patch_embedding.weight", 3)
    image_size = config["image_size"]
    if not isinstance(image_size, int):
        raise InterlaceError(f"image_size {image_size}: expected one number, the side of a square")
    if not clip and not config.get("vision_use_head", True):
        raise InterlaceError("a SiglipModel without its pooling head has no image features")
    width = size(state, "vision_model.embeddings.patch_embedding.weight", 0)
    agree(config, {"patch_size": patch}, "vision_config")
    return ImageSpec(
        **_common(state, config, "vision", width),
        projection=clip,
        image_size=image_size,
        patch_size=patch,
        class_token=clip,
        ln_pre=clip,
        patch_bias=not clip,
        pool="cls" if clip else "map",
    )


def _text(state: Mapping[str, Tensor], config: Mapping[str, Any], clip: bool) -> TextSpec:
    table = "text_model.embeddings.token_embedding.weight"
    eos: int | None = None
    pool: TextPool = "last"
    if clip:
        given = config["eos_token_id"]
        if not isinstance(given, int):
            raise InterlaceError(f"eos_token_id {given!r}: expected one id")
        pool, eos = ("argmax", None) if given == _LEGACY_EOS else ("eos", given)
    rows = size(state, table, 0)
    context = size(state, "text_model.embeddings.position_embedding.weight", 0)
    agree(config, {"vocab_size": rows, "max_position_embeddings": context}, "text_config")
    return TextSpec(
        **_common(state, config, "text", size(state, table, 1)),
        projection=True,
        projection_bias=not clip,
        vocab_size=rows,
        context_length=context,
        causal=clip,
        begins_with_token=clip,
        pool=pool,
        eos_id=eos,
    )


def hugging_face_spec(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> Spec:
    """Return the architecture of a ``CLIPModel`` or ``SiglipModel`` with this ``config.json``.

    Raises:
        InterlaceError: if it is a model of another kind.
    """
    family = hugging_face_family(config)
    clip = family == "clip"
    projection = "text_projection.weight" if clip else "text_model.head.weight"
    return Spec(
        image=_image(state, _tower(config, family, "vision_config"), clip),
        text=_text(state, _tower(config, family, "text_config"), clip),
        embed_dim=size(state, projection, 0),
        logit_bias=not clip,
    )


def _layout(clip: bool) -> TensorLayout:
    return TensorLayout(
        name=f"transformers' {'CLIPModel' if clip else 'SiglipModel'}",
        image=tables.HF_CLIP_IMAGE if clip else tables.HF_SIGLIP_IMAGE,
        text=tables.HF_CLIP_TEXT if clip else tables.HF_SIGLIP_TEXT,
        image_prefix="",
        text_prefix="",
        scalar_lead=0 if clip else 1,
    )


def from_hugging_face(state: Mapping[str, Tensor], spec: Spec) -> dict[str, Tensor]:
    """Translate the tensors of a ``CLIPModel`` or ``SiglipModel`` to ours, in float32.

    Raises:
        InterlaceError: if a tensor is missing, misshapen or not part of such a model.
    """
    # a corrected spelling of the format's own, found in some converted checkpoints
    state = {name.replace("pre_layernorm", "pre_layrnorm"): t for name, t in state.items()}
    return read(state, spec, _layout(spec.image.class_token))


def to_hugging_face(
    state: Mapping[str, Tensor], spec: Spec
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Translate our tensors to a ``CLIPModel``'s or ``SiglipModel``'s, with its ``config.json``.

    Raises:
        InterlaceError: if neither can express the architecture.
    """
    clip = spec.image.class_token
    _check(spec, clip)
    image = {
        **_common_config(spec.image),
        "image_size": spec.image.image_size,
        "patch_size": spec.image.patch_size,
        "num_channels": 3,
    }
    text = {
        **_common_config(spec.text),
        "vocab_size": spec.text.vocab_size,
        "max_position_embeddings": spec.text.context_length,
        "bos_token_id": None,  # no part of the model reads it; the default fits OpenAI's table only
    }
    if clip:
        image["projection_dim"] = text["projection_dim"] = spec.embed_dim
        text["eos_token_id"] = _LEGACY_EOS if spec.text.pool == "argmax" else spec.text.eos_id
    else:
        text["projection_size"] = spec.embed_dim
        text["eos_token_id"] = None
    family = "clip" if clip else "siglip"
    config: dict[str, Any] = {
        "architectures": ["CLIPModel" if clip else "SiglipModel"],
        "model_type": family,
        "vision_config": {"model_type": f"{family}_vision_model", **image},
        "text_config": {"model_type": f"{family}_text_model", **text},
    }
    if clip:
        config["projection_dim"] = spec.embed_dim
    return write(state, spec, _layout(clip)), config


def _common_config(tower: TowerSpec) -> dict[str, Any]:
    return {
        "hidden_size": tower.width,
        "intermediate_size": tower.hidden,
        "num_hidden_layers": tower.depth,
        "num_attention_heads": tower.heads,
        "hidden_act": _HF_ACTIVATIONS[tower.activation],
        "layer_norm_eps": tower.norm_eps,
    }


def _check(spec: Spec, clip: bool) -> None:
    """Check what the tensors do not show; the layout refuses the rest."""
    image, text = spec.image, spec.text
    fits = {
        "image pooling": (image.pool, ("cls",) if clip else ("map",)),
        "text pooling": (text.pool, ("argmax", "eos") if clip else ("last",)),
        "causal text": (text.causal, (clip,)),
        "a LayerNorm after the image embedding": (image.ln_pre, (clip,)),
        "a patch bias": (image.patch_bias, (not clip,)),
        "an image projection": (image.projection, (clip,)),
        "a text projection bias": (text.projection_bias, (not clip,)),
        "a logit bias": (spec.logit_bias, (not clip,)),
        "legacy end-of-text id": (text.eos_id == _LEGACY_EOS, (False,)),
    }
    for what, (value, allowed) in fits.items():
        if value not in allowed:
            raise InterlaceError(
                f"transformers' {'CLIPModel' if clip else 'SiglipModel'} cannot express this "
                f"model: {what} is {value!r} here, "
                f"and {' or '.join(repr(choice) for choice in allowed)} there"
            )
