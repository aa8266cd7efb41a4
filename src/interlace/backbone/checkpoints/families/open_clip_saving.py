"""Writing open_clip's format: the ``model_cfg`` of an architecture, and its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from interlace.backbone.checkpoints.families.layout import write
from interlace.backbone.checkpoints.families.open_clip import open_clip_layout
from interlace.backbone.checkpoints.families.timm_trunk import timm_image_spec
from interlace.backbone.spec import ImageSpec, Spec, TowerSpec
from interlace.errors import InterlaceError

_IMAGE_POOLS = {"cls": "tok", "mean": "avg"}
_TIMM_POOLS = {"cls": "token", "mean": "avg", "map": "map"}


def to_open_clip(
    state: Mapping[str, Tensor], spec: Spec
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Translate our tensors to open_clip's, with the ``model_cfg`` that describes them.

    An image tower that open_clip's own transformer can express is written as that one, with the
    text tower at top level; any other as a timm model with the text tower under ``text.``.

    Raises:
        InterlaceError: if open_clip can express the architecture in neither way.
    """
    timm = not _is_native(spec.image)
    config: dict[str, Any] = {
        "embed_dim": spec.embed_dim,
        "vision_cfg": _timm_config(spec.image) if timm else _native_config(spec),
        "text_cfg": _text_config(spec),
    }
    if spec.text.activation == "quick_gelu":
        config["quick_gelu"] = True
    if timm:
        config["custom_text"] = True
    if spec.logit_bias:
        config["init_logit_bias"] = -10
    return write(state, spec, open_clip_layout(spec, timm, "text." if timm else "")), config


def _is_native(image: ImageSpec) -> bool:
    return (
        image.class_token
        and not image.patch_bias
        and image.pool in _IMAGE_POOLS
        and image.projection
        and not image.projection_bias
    )


def _native_config(spec: Spec) -> dict[str, Any]:
    image = spec.image
    if (image.activation == "quick_gelu") != (spec.text.activation == "quick_gelu"):
        raise InterlaceError(
            f"open_clip's format has one quick-GELU switch for both towers; here the image tower "
            f"uses {image.activation} and the text tower {spec.text.activation}: save as 'hf'"
        )
    config = {
        "image_size": image.image_size,
        "layers": image.depth,
        "width": image.width,
        "head_width": image.width // image.heads,
        "patch_size": image.patch_size,
        **_tower_config(image),
    }
    if not image.ln_pre:
        config["no_ln_pre"] = True
    if image.pool != "cls":
        config["pool_type"] = _IMAGE_POOLS[image.pool]
    return config


def _text_config(spec: Spec) -> dict[str, Any]:
    text = spec.text
    config = {
        "context_length": text.context_length,
        "vocab_size": text.vocab_size,
        "width": text.width,
        "heads": text.heads,
        "layers": text.depth,
        **_tower_config(text),
    }
    optional = {
        "no_causal_mask": not text.causal,
        "proj_bias": text.projection_bias,
        "pool_type": text.pool if text.pool != "argmax" else None,
        "eos_id": text.eos_id,
        "proj_type": None if text.projection else "none",
    }
    return {**config, **{key: value for key, value in optional.items() if value}}


def _tower_config(tower: TowerSpec) -> dict[str, Any]:
    """Return the settings of a native tower that differ from open_clip's defaults."""
    config: dict[str, Any] = {}
    if tower.hidden != 4 * tower.width:
        config["mlp_ratio"] = _ratio(tower)
    if tower.norm_eps != 1e-5:
        config["norm_kwargs"] = {"eps": tower.norm_eps}
    if tower.activation == "gelu_tanh":
        config["act_kwargs"] = {"approximate": "tanh"}
    return config


def _ratio(tower: TowerSpec) -> float:
    """Return a number that open_clip turns into the hidden width by ``int(width * ratio)``."""
    ratio = tower.hidden / tower.width
    if int(tower.width * ratio) != tower.hidden:
        # the product may fall a hair short of the whole number
        ratio = (tower.hidden + 0.5) / tower.width
    return ratio


def _timm_config(image: ImageSpec) -> dict[str, Any]:
    return {
        "image_size": image.image_size,
        "timm_model_name": _timm_name(image),
        "timm_model_pretrained": False,
        "timm_pool": _TIMM_POOLS[image.pool],
        "timm_proj": "linear" if image.projection else "none",
        **({"timm_proj_bias": True} if image.projection_bias else {}),
    }


def _timm_name(image: ImageSpec) -> str:
    """Return timm's name for exactly this architecture; open_clip refers to it by that name.

    Raises:
        InterlaceError: if timm has none.
    """
    import timm

    wanted = replace(image, projection=False, projection_bias=False)
    near = None
    for name in timm.list_models(f"vit_*patch{image.patch_size}_*_{image.image_size}"):
        if ("siglip" in name) == image.class_token:
            continue
        config = {
            "timm_model_name": name,
            "timm_pool": _TIMM_POOLS[image.pool],
            "timm_proj": "linear" if image.projection else "none",
        }
        try:
            found = timm_image_spec(None, config)
        except InterlaceError:
            continue
        if found == wanted:
            return name
        if replace(found, activation=image.activation) == wanted:
            near = (
                near or f"{name} is the same with {found.activation} in place of {image.activation}"
            )
    reason = near or "no timm model has these sizes"
    hint = "" if image.projection else ": save as 'hf'"  # which has no image projection
    raise InterlaceError(
        f"open_clip knows image towers of this kind by timm's names only, and {reason}{hint}"
    )
