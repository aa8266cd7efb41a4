"""open_clip's formats, OpenAI's among them: which architecture a config and its tensors describe.

Sizes are read from the tensors; heads, activations, epsilons and pooling, which tensors cannot
say, from open_clip's ``model_cfg``. Three layouts occur: a native image tower with the text tower's
tensors at top level (OpenAI's), the same with the text tower under ``text.``, and a timm vision
transformer under ``visual.trunk.`` with the text tower under ``text.`` (SigLIP).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from interlace.backbone.checkpoints.families import tables
from interlace.backbone.checkpoints.families.layout import TensorLayout, agree, depth, read, size
from interlace.backbone.checkpoints.families.timm_trunk import timm_image_spec
from interlace.backbone.spec import Activation, ImagePool, ImageSpec, Spec, TextPool, TextSpec
from interlace.errors import InterlaceError

#: Settings of a native tower that change what it computes in ways our towers cannot.
_UNSUPPORTED = {
    "ls_init_value": "layer scale",
    "attentional_pool": "attentional pooling",
    "qk_norm": "normalised queries and keys",
    "scaled_cosine_attn": "cosine attention",
    "scale_heads": "scaled attention heads",
    "scale_attn_inner": "a norm inside attention",
    "scale_attn": "a norm after attention",
    "scale_fc": "a norm inside the MLP",
    "embed_cls": "an appended text class token",
}
_IMAGE_POOLS: dict[str, ImagePool] = {"tok": "cls", "avg": "mean"}
#: Width of OpenAI's largest tower; the larger ones of others have heads 80, 88 and 104 wide.
_OPENAI_WIDTH = 1024
_TEXT_POOLS: tuple[TextPool, ...] = ("argmax", "eos", "last", "first")


def refuse(config: Mapping[str, Any]) -> None:
    """Refuse an open_clip ``model_cfg`` whose architecture the towers cannot express.

    Raises:
        InterlaceError: naming what it is.
    """
    image, text = config["vision_cfg"], config["text_cfg"]
    what = None
    if "multimodal_cfg" in config:
        what = "a CoCa model (a captioner with attentional pooling)"
    elif isinstance(image.get("layers"), list | tuple):
        what = "a ResNet CLIP"
    elif text.get("hf_model_name"):
        what = f"a CLIP with the text tower {text['hf_model_name']!r} of transformers"
    elif image.get("pool_type") == "avg" and image.get("final_ln_after_pool"):
        what = "a CLIP whose last LayerNorm comes after average pooling (CLIPA)"
    elif image.get("timm_pool") in ("abs_attn", "rot_attn") or image.get("timm_proj") == "mlp":
        what = "a convolutional or hybrid image tower of timm"
    for tower in (image, text):
        for key, name in _UNSUPPORTED.items():
            if tower.get(key) not in (None, False):
                what = what or f"a tower with {name}"
        if tower.get("block_type") == "custom":
            what = what or "a tower of open_clip's custom blocks"
    if what:
        raise InterlaceError(
            f"this checkpoint is {what}; Interlace takes vision-transformer CLIP and SigLIP models"
        )
    if image.get("timm_model_name"):
        timm_image_spec(None, image)


def _activation(tower: Mapping[str, Any], quick_gelu: bool) -> Activation:
    if quick_gelu:
        return "quick_gelu"
    return "gelu_tanh" if (tower.get("act_kwargs") or {}).get("approximate") == "tanh" else "gelu"


def _epsilon(tower: Mapping[str, Any]) -> float:
    return float((tower.get("norm_kwargs") or {}).get("eps", 1e-5))


def _native_image(
    state: Mapping[str, Tensor], config: Mapping[str, Any], quick_gelu: bool
) -> ImageSpec:
    if any(name.startswith("visual.layer1.") for name in state):
        raise InterlaceError("a ResNet CLIP: only vision-transformer image towers are supported")
    width, patch = (size(state, "visual.conv1.weight", i) for i in (0, 3))
    blocks = depth(state, "visual.transformer.resblocks.")
    agree(config, {"width": width, "patch_size": patch, "layers": blocks}, "vision_cfg")
    pool = config.get("pool_type") or "tok"
    if pool not in _IMAGE_POOLS:
        raise InterlaceError(f"image pooling {pool!r}: expected {' or '.join(_IMAGE_POOLS)}")
    positions = size(state, "visual.positional_embedding", 0)
    side = round((positions - 1) ** 0.5)
    image_size = config.get("image_size", side * patch)
    if not isinstance(image_size, int) or side**2 + 1 != positions or image_size // patch != side:
        raise InterlaceError(
            f"the checkpoint has {positions} image positions, which do not fit an image size of "
            f"{image_size} in patches of {patch}"
        )
    return ImageSpec(
        width=width,
        depth=blocks,
        heads=width // config.get("head_width", 64),
        hidden=size(state, "visual.transformer.resblocks.0.mlp.c_fc.weight", 0),
        activation=_activation(config, quick_gelu),
        norm_eps=_epsilon(config),
        projection="visual.proj" in state,
        image_size=image_size,
        patch_size=patch,
        ln_pre="visual.ln_pre.weight" in state,
        pool=_IMAGE_POOLS[pool],
    )


def _text(
    state: Mapping[str, Tensor], config: Mapping[str, Any] | None, quick_gelu: bool
) -> TextSpec:
    prefix = text_prefix(state)
    width = size(state, f"{prefix}token_embedding.weight", 1)
    # a bare state dict is OpenAI's, whose heads are 64 wide; open_clip's default is 8 heads
    heads = width // 64 if config is None else config.get("heads", 8)
    config = config or {}
    rows = size(state, f"{prefix}token_embedding.weight", 0)
    context = size(state, f"{prefix}positional_embedding", 0)
    blocks = depth(state, f"{prefix}transformer.resblocks.")
    sizes = {"width": width, "layers": blocks, "vocab_size": rows, "context_length": context}
    agree(config, sizes, "text_cfg")
    pool = config.get("pool_type", "argmax")
    if pool not in _TEXT_POOLS:
        raise InterlaceError(f"text pooling {pool!r}: expected one of {', '.join(_TEXT_POOLS)}")
    causal = not config.get("no_causal_mask", False)
    bias = f"{prefix}text_projection.bias" in state
    return TextSpec(
        width=width,
        depth=blocks,
        heads=heads,
        hidden=size(state, f"{prefix}transformer.resblocks.0.mlp.c_fc.weight", 0),
        activation=_activation(config, quick_gelu),
        norm_eps=_epsilon(config),
        projection=bias or f"{prefix}text_projection" in state,
        projection_bias=bias,
        vocab_size=rows,
        context_length=context,
        causal=causal,
        begins_with_token=causal,
        pool=pool,
        eos_id=config.get("eos_id", 2) if pool == "eos" else None,
    )


def text_prefix(state: Mapping[str, Tensor]) -> str:
    """Return what stands before the text tower's names: ``text.`` or nothing."""
    return "text." if "text.token_embedding.weight" in state else ""


def open_clip_spec(
    state: Mapping[str, Tensor],
    config: Mapping[str, Any] | None = None,
    quick_gelu: bool | None = None,
    image: ImageSpec | None = None,
) -> Spec:
    """Return the architecture of an open_clip checkpoint.

    Args:
        state: its tensors.
        config: open_clip's ``model_cfg``. Without one the tensors must be a native CLIP with heads
            64 wide, as OpenAI's format means.
        quick_gelu: overrides the config's flag; a pretrained tag knows better than the
            architecture's config whether it was trained with quick-GELU.
        image: the image tower, where that is known already.

    Raises:
        InterlaceError: if the towers cannot express it.
    """
    if config is not None:
        refuse(config)
    if quick_gelu is None:
        quick_gelu = bool((config or {}).get("quick_gelu", False))
    image_config = (config or {}).get("vision_cfg", {})
    if image is not None:
        pass
    elif any(name.startswith("visual.trunk.") for name in state):
        if not image_config.get("timm_model_name"):
            raise InterlaceError(
                "a checkpoint with a timm image tower says its heads and activation only in "
                "open_clip_config.json: give the folder that holds it"
            )
        image = timm_image_spec(state, image_config)
    else:
        image = _native_image(state, image_config, quick_gelu)
    text = _text(state, config["text_cfg"] if config else None, quick_gelu)
    prefix = text_prefix(state)
    if text.projection_bias:
        embed_dim = size(state, f"{prefix}text_projection.weight", 0)
    elif text.projection:
        embed_dim = size(state, f"{prefix}text_projection", 1)
    else:
        embed_dim = text.width
    agree(config or {}, {"embed_dim": embed_dim}, "model_cfg")
    return Spec(image=image, text=text, embed_dim=embed_dim, logit_bias="logit_bias" in state)


def open_clip_layout(spec: Spec, timm: bool, prefix: str) -> TensorLayout:
    """Return the tables for a model of ``spec`` with a timm or native image tower."""
    return TensorLayout(
        name="open_clip's format",
        image=tables.TIMM_IMAGE if timm else tables.NATIVE_IMAGE,
        text=tables.NATIVE_TEXT_BIAS if spec.text.projection_bias else tables.NATIVE_TEXT,
        image_prefix="visual.",
        text_prefix=prefix,
    )


def from_open_clip(state: Mapping[str, Tensor], spec: Spec) -> dict[str, Tensor]:
    """Translate an open_clip or OpenAI state dict of ``spec`` to ours, in float32.

    Raises:
        InterlaceError: if a tensor is missing, misshapen or not part of such a model.
    """
    timm = any(name.startswith("visual.trunk.") for name in state)
    return read(state, spec, open_clip_layout(spec, timm, text_prefix(state)))


def native_spec(state: Mapping[str, Tensor], activation: Activation = "quick_gelu") -> Spec:
    """Return the architecture of an OpenAI-format CLIP, from its tensors alone; heads are 64 wide.

    Raises:
        InterlaceError: if ``state`` is no vision-transformer CLIP under OpenAI's key names.
    """
    spec = open_clip_spec(state)
    widest = max(spec.image.width, spec.text.width)
    if widest > _OPENAI_WIDTH:
        raise InterlaceError(
            f"a tower {widest} wide is none of OpenAI's, and its heads may not be 64 wide: load "
            "the file with its architecture, as in interlace.load(path, arch='ViT-H-14')"
        )
    return replace(
        spec,
        image=replace(spec.image, activation=activation),
        text=replace(spec.text, activation=activation),
    )
