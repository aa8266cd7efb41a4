"""Names of the same tensors in the checkpoint formats of the field, both ways."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from interlace.backbone.spec import Activation, ImageSpec, Spec, TextSpec
from interlace.errors import InterlaceError

_BLOCK = {
    "ln_1": "ln_1",
    "attn.qkv.weight": "attn.in_proj_weight",
    "attn.qkv.bias": "attn.in_proj_bias",
    "attn.out": "attn.out_proj",
    "ln_2": "ln_2",
    "mlp.fc": "mlp.c_fc",
    "mlp.proj": "mlp.c_proj",
}


def _native_names(spec: Spec) -> dict[str, str]:
    """Our parameter name to OpenAI's and open_clip's, for a CLIP of their own layout."""
    names = {
        "logit_scale": "logit_scale",
        "image.patch.weight": "visual.conv1.weight",
        "image.class_token": "visual.class_embedding",
        "image.positions": "visual.positional_embedding",
        "image.ln_pre": "visual.ln_pre",
        "image.ln_final": "visual.ln_post",
        "image.projection": "visual.proj",
        "text.table.weight": "token_embedding.weight",
        "text.positions": "positional_embedding",
        "text.ln_final": "ln_final",
        "text.projection": "text_projection",
    }
    for ours, theirs, depth in (
        ("image", "visual.transformer", spec.image.depth),
        ("text", "transformer", spec.text.depth),
    ):
        for i in range(depth):
            for part, their_part in _BLOCK.items():
                names[f"{ours}.blocks.{i}.{part}"] = f"{theirs}.resblocks.{i}.{their_part}"
    full: dict[str, str] = {}
    for ours, theirs in names.items():
        is_tensor = ours.rsplit(".", 1)[-1] in _LEAVES
        for leaf in [""] if is_tensor else [".weight", ".bias"]:
            full[ours + leaf] = theirs + leaf
    return full


_LEAVES = {"weight", "bias", "logit_scale", "class_token", "positions", "projection"}


def native_spec(state: Mapping[str, Tensor], activation: Activation = "quick_gelu") -> Spec:
    """Read the sizes of an OpenAI-format CLIP from its tensors.

    Heads are width / 64, as that format means.

    Raises:
        InterlaceError: if ``state`` is no vision-transformer CLIP under OpenAI's key names.
    """
    if "visual.layer1.0.conv1.weight" in state:
        raise InterlaceError("a ResNet CLIP: only vision-transformer image towers are supported")
    try:
        patch = state["visual.conv1.weight"]
        positions = state["visual.positional_embedding"]
        table = state["token_embedding.weight"]
        context = state["positional_embedding"]
        embed_dim = state["text_projection"].shape[1]
    except KeyError as error:
        raise InterlaceError(f"no CLIP under OpenAI's key names: {error} is missing") from None

    def depth(prefix: str) -> int:
        ids = {k[len(prefix) :].split(".")[0] for k in state if k.startswith(prefix)}
        return len(ids)

    width, side = patch.shape[0], round((len(positions) - 1) ** 0.5)
    text_width = table.shape[1]
    image_blocks, text_blocks = "visual.transformer.resblocks.", "transformer.resblocks."
    return Spec(
        image=ImageSpec(
            width=width,
            depth=depth(image_blocks),
            heads=width // 64,
            hidden=state[image_blocks + "0.mlp.c_fc.weight"].shape[0],
            activation=activation,
            image_size=side * patch.shape[-1],
            patch_size=patch.shape[-1],
        ),
        text=TextSpec(
            width=text_width,
            depth=depth(text_blocks),
            heads=text_width // 64,
            hidden=state[text_blocks + "0.mlp.c_fc.weight"].shape[0],
            activation=activation,
            vocab_size=len(table),
            context_length=len(context),
        ),
        embed_dim=embed_dim,
    )


def from_native(state: Mapping[str, Tensor], spec: Spec) -> dict[str, Tensor]:
    """Translate an OpenAI-format state dict to ours, in float32.

    Raises:
        InterlaceError: if a tensor is missing.
    """
    names = _native_names(spec)
    missing = sorted(theirs for theirs in names.values() if theirs not in state)
    if missing:
        raise InterlaceError(f"the checkpoint lacks {missing[0]!r} and {len(missing) - 1} more")
    return {ours: state[theirs].to(torch.float32) for ours, theirs in names.items()}
