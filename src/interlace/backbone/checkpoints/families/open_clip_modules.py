"""The architecture of a live open_clip model, read from its modules.

A module says all that a configuration would, and cannot contradict itself: heads, activation and
epsilon of every block, pooling, the attention mask. Sizes come from the tensors, as for a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from interlace.backbone.checkpoints.families.modules import (
    activation_of,
    blocks_of,
    common,
    epsilon_of,
)
from interlace.backbone.checkpoints.families.open_clip import open_clip_spec, refuse
from interlace.backbone.checkpoints.families.timm_trunk import trunk_spec
from interlace.backbone.spec import Activation, ImageSpec, Spec
from interlace.errors import InterlaceError


def check_open_clip_class(model: Any) -> None:
    """Refuse anything but a plain open_clip model.

    Raises:
        InterlaceError: naming its class.
    """
    import open_clip

    if type(model) not in (open_clip.CLIP, open_clip.CustomTextCLIP):
        raise InterlaceError(
            f"expected an open_clip.CLIP or CustomTextCLIP, got a {type(model).__name__}; pass the "
            "model itself, without wrappers"
        )


def open_clip_model_spec(model: Any, state: Mapping[str, Tensor]) -> Spec:
    """Return the architecture of a live open_clip model.

    Args:
        model: the ``CLIP`` or ``CustomTextCLIP``.
        state: its tensors.

    Raises:
        InterlaceError: if the towers cannot express it.
    """
    text_config, text_activation = _text(model)
    image = _timm_image(model.visual, state)
    if image is not None:
        return _with_text(
            open_clip_spec(state, {"vision_cfg": {}, "text_cfg": text_config}, image=image),
            text_activation,
        )
    image_config, image_activation = _native_image(model.visual)
    config = {"vision_cfg": image_config, "text_cfg": text_config}
    refuse(config)
    spec = open_clip_spec(state, config)
    spec = replace(spec, image=replace(spec.image, activation=image_activation))
    return _with_text(spec, text_activation)


def _with_text(spec: Spec, activation: Activation) -> Spec:
    return replace(spec, text=replace(spec.text, activation=activation))


def _timm_image(visual: Any, state: Mapping[str, Tensor]) -> ImageSpec | None:
    """Return a timm image tower; None where it is another."""
    from open_clip.timm_model import TimmModel

    if type(visual) is not TimmModel:
        return None
    heads = {name for name, _ in visual.head.named_children()}
    if heads - {"drop", "proj"}:
        raise InterlaceError(
            f"the image tower's head has a part {sorted(heads - {'drop', 'proj'})[0]!r}; "
            "Interlace takes a linear projection or none"
        )
    return trunk_spec(visual.trunk, type(visual.trunk).__name__, state)


def _native_image(visual: Any) -> tuple[dict[str, Any], Activation]:
    """Return open_clip's ``vision_cfg`` of a native image tower, and its activation."""
    from open_clip.transformer import VisionTransformer

    if type(visual) is not VisionTransformer:
        raise InterlaceError(
            f"the image tower is a {type(visual).__name__}; "
            "Interlace takes vision-transformer CLIP and SigLIP models"
        )
    if visual.attn_pool is not None:
        raise InterlaceError("the image tower pools by attention as CoCa does, not by class token")
    height, width = visual.image_size
    if height != width:
        raise InterlaceError(
            f"the image tower reads images of {height} x {width} pixels, not a square"
        )
    norms = [] if isinstance(visual.ln_pre, nn.Identity) else [visual.ln_pre]
    config, activation = _blocks(visual.transformer, [*norms, visual.ln_post])
    heads = config.pop("heads")
    return {
        **config,
        "head_width": visual.transformer.width // heads,
        "image_size": height,
        "pool_type": visual.pool_type,
        "final_ln_after_pool": bool(getattr(visual, "final_ln_after_pool", False)),
    }, activation


def _text(model: Any) -> tuple[dict[str, Any], Activation]:
    """Return open_clip's ``text_cfg`` of a text tower, and its activation."""
    from open_clip.transformer import TextTransformer

    text = getattr(model, "text", model)
    if text is not model and type(text) is not TextTransformer:
        raise InterlaceError(
            f"the text tower is a {type(text).__name__}; Interlace takes open_clip's own"
        )
    if getattr(text, "cls_emb", None) is not None:
        raise InterlaceError("the text tower has an appended class token")
    if getattr(text, "use_pad_mask", False):
        raise InterlaceError("the text tower masks its padding, which the towers do not")
    config, activation = _blocks(text.transformer, [text.ln_final])
    pool = text.text_pool_type if text is model else text.pool_type
    eos = getattr(text, "text_eos_id" if text is model else "eos_id", None)
    if pool == "eos" and eos is None:
        raise InterlaceError("the text tower reads an end-of-text token and does not say which")
    causal = text.attn_mask is not None
    if causal and not _is_causal(text.attn_mask):
        raise InterlaceError("the text tower has an attention mask that is not causal")
    return {
        **config,
        "pool_type": pool,
        "no_causal_mask": not causal,
        **({"eos_id": eos} if pool == "eos" else {}),
    }, activation


def _is_causal(mask: Tensor) -> bool:
    later = torch.ones_like(mask, dtype=torch.bool).triu(1)
    return bool(torch.equal(mask.isneginf(), later) and (mask[~later] == 0).all())


def _blocks(transformer: Any, norms: list[Any]) -> tuple[dict[str, Any], Activation]:
    """Return heads and epsilon of a stack of blocks as a config states them, and the activation."""
    from open_clip.transformer import ResidualAttentionBlock

    blocks = blocks_of(transformer.resblocks, ResidualAttentionBlock)
    norms = [*norms, *(norm for block in blocks for norm in (block.ln_1, block.ln_2))]
    config = {
        "heads": common((block.attn.num_heads for block in blocks), "attention heads"),
        "norm_kwargs": {"eps": epsilon_of(norms)},
    }
    return config, common((activation_of(block.mlp.gelu) for block in blocks), "activations")
