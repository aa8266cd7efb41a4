"""The tensor names of the checkpoint formats, as tables; see :mod:`.layout` for their notation."""

from __future__ import annotations

from interlace.backbone.checkpoints.families.layout import TensorRow

#: A block of OpenAI's and open_clip's own transformers.
_NATIVE_BLOCKS = (
    TensorRow("blocks.#.ln_1.*", "transformer.resblocks.#.ln_1.*"),
    TensorRow("blocks.#.attn.qkv.weight", "transformer.resblocks.#.attn.in_proj_weight"),
    TensorRow("blocks.#.attn.qkv.bias", "transformer.resblocks.#.attn.in_proj_bias"),
    TensorRow("blocks.#.attn.out.*", "transformer.resblocks.#.attn.out_proj.*"),
    TensorRow("blocks.#.ln_2.*", "transformer.resblocks.#.ln_2.*"),
    TensorRow("blocks.#.mlp.fc.*", "transformer.resblocks.#.mlp.c_fc.*"),
    TensorRow("blocks.#.mlp.proj.*", "transformer.resblocks.#.mlp.c_proj.*"),
)

NATIVE_IMAGE = (
    TensorRow("patch.weight", "conv1.weight"),
    TensorRow("class_token", "class_embedding"),
    TensorRow("positions", "positional_embedding"),
    TensorRow("ln_pre.*", "ln_pre.*"),
    *_NATIVE_BLOCKS,
    TensorRow("ln_final.*", "ln_post.*"),
    TensorRow("projection", "proj"),
)

_NATIVE_TEXT = (
    TensorRow("table.weight", "token_embedding.weight"),
    TensorRow("positions", "positional_embedding"),
    *_NATIVE_BLOCKS,
    TensorRow("ln_final.*", "ln_final.*"),
)

#: open_clip's text tower with a bare projection matrix.
NATIVE_TEXT = (*_NATIVE_TEXT, TensorRow("projection", "text_projection"))

#: open_clip's text tower with a projection that has a bias; it is then a linear layer.
NATIVE_TEXT_BIAS = (
    *_NATIVE_TEXT,
    TensorRow("projection", "text_projection.weight", transpose=True),
    TensorRow("projection_bias", "text_projection.bias"),
)

#: timm's vision transformer as open_clip's ``visual.trunk``.
TIMM_IMAGE = (
    TensorRow("patch.*", "trunk.patch_embed.proj.*"),
    TensorRow("class_token", "trunk.cls_token", lead=2),
    TensorRow("positions", "trunk.pos_embed", lead=1),
    TensorRow("ln_pre.*", "trunk.norm_pre.*"),
    TensorRow("blocks.#.ln_1.*", "trunk.blocks.#.norm1.*"),
    TensorRow("blocks.#.attn.qkv.*", "trunk.blocks.#.attn.qkv.*"),
    TensorRow("blocks.#.attn.out.*", "trunk.blocks.#.attn.proj.*"),
    TensorRow("blocks.#.ln_2.*", "trunk.blocks.#.norm2.*"),
    TensorRow("blocks.#.mlp.fc.*", "trunk.blocks.#.mlp.fc1.*"),
    TensorRow("blocks.#.mlp.proj.*", "trunk.blocks.#.mlp.fc2.*"),
    TensorRow("ln_final.*", "trunk.norm.*"),
    TensorRow("pool.query", "trunk.attn_pool.latent", lead=2),
    TensorRow("pool.q.*", "trunk.attn_pool.q.*"),
    TensorRow("pool.kv.*", "trunk.attn_pool.kv.*"),
    TensorRow("pool.out.*", "trunk.attn_pool.proj.*"),
    TensorRow("pool.norm.*", "trunk.attn_pool.norm.*"),
    TensorRow("pool.mlp.fc.*", "trunk.attn_pool.mlp.fc1.*"),
    TensorRow("pool.mlp.proj.*", "trunk.attn_pool.mlp.fc2.*"),
    TensorRow("projection", "head.proj.weight", transpose=True),
    TensorRow("projection_bias", "head.proj.bias"),
)

#: A block of the transformers library's CLIP and SigLIP.
_HF_BLOCKS = (
    TensorRow("blocks.#.ln_1.*", "encoder.layers.#.layer_norm1.*"),
    TensorRow(
        "blocks.#.attn.qkv.*",
        "encoder.layers.#.self_attn.q_proj.* "
        "encoder.layers.#.self_attn.k_proj.* "
        "encoder.layers.#.self_attn.v_proj.*",
    ),
    TensorRow("blocks.#.attn.out.*", "encoder.layers.#.self_attn.out_proj.*"),
    TensorRow("blocks.#.ln_2.*", "encoder.layers.#.layer_norm2.*"),
    TensorRow("blocks.#.mlp.fc.*", "encoder.layers.#.mlp.fc1.*"),
    TensorRow("blocks.#.mlp.proj.*", "encoder.layers.#.mlp.fc2.*"),
)

_HF_TEXT = (
    TensorRow("table.weight", "text_model.embeddings.token_embedding.weight"),
    TensorRow("positions", "text_model.embeddings.position_embedding.weight"),
    *(
        TensorRow(row.ours, row.theirs.replace("encoder", "text_model.encoder"))
        for row in _HF_BLOCKS
    ),
    TensorRow("ln_final.*", "text_model.final_layer_norm.*"),
)

_HF_IMAGE = (
    TensorRow("positions", "vision_model.embeddings.position_embedding.weight"),
    *(
        TensorRow(row.ours, row.theirs.replace("encoder", "vision_model.encoder"))
        for row in _HF_BLOCKS
    ),
    TensorRow("ln_final.*", "vision_model.post_layernorm.*"),
)

HF_CLIP_IMAGE = (
    *_HF_IMAGE,
    TensorRow("patch.weight", "vision_model.embeddings.patch_embedding.weight"),
    TensorRow("class_token", "vision_model.embeddings.class_embedding"),
    # the misspelling is the format's own
    TensorRow("ln_pre.*", "vision_model.pre_layrnorm.*"),
    TensorRow("projection", "visual_projection.weight", transpose=True),
)

HF_CLIP_TEXT = (*_HF_TEXT, TensorRow("projection", "text_projection.weight", transpose=True))

HF_SIGLIP_IMAGE = (
    *_HF_IMAGE,
    TensorRow("patch.*", "vision_model.embeddings.patch_embedding.*"),
    TensorRow("pool.query", "vision_model.head.probe", lead=2),
    TensorRow(
        "pool.q.weight pool.kv.weight",
        "vision_model.head.attention.in_proj_weight",
        shares=(1, 2),
    ),
    TensorRow(
        "pool.q.bias pool.kv.bias", "vision_model.head.attention.in_proj_bias", shares=(1, 2)
    ),
    TensorRow("pool.out.*", "vision_model.head.attention.out_proj.*"),
    TensorRow("pool.norm.*", "vision_model.head.layernorm.*"),
    TensorRow("pool.mlp.fc.*", "vision_model.head.mlp.fc1.*"),
    TensorRow("pool.mlp.proj.*", "vision_model.head.mlp.fc2.*"),
)

HF_SIGLIP_TEXT = (
    *_HF_TEXT,
    TensorRow("projection", "text_model.head.weight", transpose=True),
    TensorRow("projection_bias", "text_model.head.bias"),
)
