"""timm vision transformers as image towers of open_clip models.

timm names an architecture; heads, activation, epsilon and pooling are read from the module that the
name stands for, made without memory on torch's ``meta`` device.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from interlace._util.text import first_line, printable
from interlace.backbone.checkpoints.families.modules import common, epsilon_of
from interlace.backbone.spec import Activation, ImagePool, ImageSpec
from interlace.errors import InterlaceError

_POOLS: dict[str, ImagePool] = {"map": "map", "avg": "mean", "token": "cls"}


@cache
def _trunk(name: str, pool: str, projection: str) -> Any:
    """Return the trunk as open_clip makes it.

    Without a projection pooling is chosen when the model is made, with one it is changed
    afterwards. That matters: average pooling chosen at first moves the last LayerNorm behind it.
    """
    import timm

    # a name such as hf-hub:..., which timm would fetch, is no architecture
    if not isinstance(name, str) or not timm.is_model(name):
        raise InterlaceError(
            f"the image tower {printable(repr(name))} is not a vision transformer of this timm: "
            "unknown name"
        )
    try:
        with torch.device("meta"):
            if projection == "none":
                return timm.create_model(name, pretrained=False, num_classes=0, global_pool=pool)
            trunk: Any = timm.create_model(name, pretrained=False)
            trunk.reset_classifier(0, **({"global_pool": pool} if pool else {}))
            return trunk
    except Exception as error:  # timm checks with whatever comes to hand
        raise InterlaceError(
            f"the image tower {name!r} is not a vision transformer of this timm: "
            f"{first_line(error)}"
        ) from None


def _activation(layer: nn.Module) -> Activation | None:
    if isinstance(layer, nn.GELU):
        return "gelu_tanh" if layer.approximate == "tanh" else "gelu"
    names: dict[str, Activation] = {
        "GELU": "gelu",
        "GELUTanh": "gelu_tanh",
        "QuickGELU": "quick_gelu",
    }
    return names.get(type(layer).__name__)


def _difference(trunk: Any) -> str | None:
    """Return how a timm model differs from our image towers; None where it does not."""
    from timm.models import vision_transformer as timm_vit

    kind = type(trunk)
    if kind is not timm_vit.VisionTransformer:
        return f"a {kind.__name__}"
    blocks: list[Any] = list(trunk.blocks)
    if type(trunk.patch_embed) is not timm_vit.PatchEmbed:
        return f"a hybrid with {type(trunk.patch_embed).__name__} for its patches"
    if any(type(block) is not timm_vit.Block for block in blocks):
        return f"built of {type(blocks[0]).__name__} blocks"
    if not isinstance(blocks[0].ls1, nn.Identity):
        return "with layer scale"
    if not isinstance(trunk.norm, nn.LayerNorm):
        return "without a LayerNorm before pooling"
    if trunk.global_pool not in _POOLS:
        return f"pooled by {trunk.global_pool!r}"
    for block in blocks:
        if _activation(block.mlp.act) is None:
            return f"activated by {type(block.mlp.act).__name__}"
    height, width = trunk.patch_embed.img_size
    return None if height == width else f"for images of {height} x {width} pixels"


def timm_image_spec(state: Mapping[str, Tensor] | None, config: Mapping[str, Any]) -> ImageSpec:
    """Return the image tower of an open_clip ``vision_cfg`` that names a timm model.

    Args:
        state: the checkpoint's tensors, which say whether there is a projection; None where only
            the architecture is asked for.
        config: open_clip's ``vision_cfg``.

    Raises:
        InterlaceError: if it is not a plain vision transformer.
    """
    name = config["timm_model_name"]
    trunk = _trunk(name, config.get("timm_pool", "avg"), config.get("timm_proj", "linear"))
    return trunk_spec(trunk, name, state)


def trunk_spec(trunk: Any, name: str, state: Mapping[str, Tensor] | None) -> ImageSpec:
    """Return the image tower that a timm module is.

    Args:
        trunk: the module.
        name: what messages call it.
        state: see :func:`timm_image_spec`.

    Raises:
        InterlaceError: if it is not a plain vision transformer.
    """
    difference = _difference(trunk)
    if difference:
        raise InterlaceError(
            f"the image tower {name!r} is {difference}; Interlace takes plain vision transformers"
        )
    blocks, pool = list(trunk.blocks), [trunk.attn_pool] if trunk.attn_pool else []
    norms = [norm for block in blocks for norm in (block.norm1, block.norm2)]
    ln_pre = [trunk.norm_pre] if isinstance(trunk.norm_pre, nn.LayerNorm) else []
    activations = [_activation(part.mlp.act) or "gelu" for part in (*blocks, *pool)]
    heads = [block.attn.num_heads for block in blocks] + [part.num_heads for part in pool]
    keys = state.keys() if state is not None else ()
    return ImageSpec(
        width=trunk.embed_dim,
        depth=len(blocks),
        heads=common(heads, "attention heads"),
        hidden=blocks[0].mlp.fc1.out_features,
        activation=common(activations, "activations"),
        norm_eps=epsilon_of([*norms, *ln_pre, trunk.norm, *(part.norm for part in pool)]),
        projection="visual.head.proj.weight" in keys,
        projection_bias="visual.head.proj.bias" in keys,
        image_size=trunk.patch_embed.img_size[0],
        patch_size=trunk.patch_embed.patch_size[0],
        class_token=trunk.cls_token is not None,
        ln_pre=bool(ln_pre),
        patch_bias=trunk.patch_embed.proj.bias is not None,
        pool=_POOLS[trunk.global_pool],
    )
