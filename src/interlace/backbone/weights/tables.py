"""The names of the field's checkpoint formats, as tables; see :mod:`.layout` for their notation."""

from __future__ import annotations

from interlace.backbone.weights.layout import Row

#: A block of OpenAI's and open_clip's own transformers.
_NATIVE_BLOCKS = (
    Row("blocks.#.ln_1.*", "transformer.resblocks.#.ln_1.*"),
    Row("blocks.#.attn.qkv.weight", "transformer.resblocks.#.attn.in_proj_weight"),
    Row("blocks.#.attn.qkv.bias", "transformer.resblocks.#.attn.in_proj_bias"),
    Row("blocks.#.attn.out.*", "transformer.resblocks.#.attn.out_proj.*"),
    Row("blocks.#.ln_2.*", "transformer.resblocks.#.ln_2.*"),
    Row("blocks.#.mlp.fc.*", "transformer.resblocks.#.mlp.c_fc.*"),
    Row("blocks.#.mlp.proj.*", "transformer.resblocks.#.mlp.c_proj.*"),
)

NATIVE_IMAGE = (
    Row("patch.weight", "conv1.weight"),
    Row("class_token", "class_embedding"),
    Row("positions", "positional_embedding"),
    Row("ln_pre.*", "ln_pre.*"),
    *_NATIVE_BLOCKS,
    Row("ln_final.*", "ln_post.*"),
    Row("projection", "proj"),
)

_NATIVE_TEXT = (
    Row("table.weight", "token_embedding.weight"),
    Row("positions", "positional_embedding"),
    *_NATIVE_BLOCKS,
    Row("ln_final.*", "ln_final.*"),
)

#: open_clip's text tower with a bare projection matrix.
NATIVE_TEXT = (*_NATIVE_TEXT, Row("projection", "text_projection"))

#: open_clip's text tower with a projection that has a bias; it is then a linear layer.
NATIVE_TEXT_BIAS = (
    *_NATIVE_TEXT,
    Row("projection", "text_projection.weight", transpose=True),
    Row("projection_bias", "text_projection.bias"),
)

#: timm's vision transformer as open_clip's ``visual.trunk``.
TIMM_IMAGE = (
    Row("patch.*", "trunk.patch_embed.proj.*"),
    Row("class_token", "trunk.cls_token", lead=2),
    Row("positions", "trunk.pos_embed", lead=1),
    Row("ln_pre.*", "trunk.norm_pre.*"),
    Row("blocks.#.ln_1.*", "trunk.blocks.#.norm1.*"),
    Row("blocks.#.attn.qkv.*", "trunk.blocks.#.attn.qkv.*"),
    Row("blocks.#.attn.out.*", "trunk.blocks.#.attn.proj.*"),
    Row("blocks.#.ln_2.*", "trunk.blocks.#.norm2.*"),
    Row("blocks.#.mlp.fc.*", "trunk.blocks.#.mlp.fc1.*"),
    Row("blocks.#.mlp.proj.*", "trunk.blocks.#.mlp.fc2.*"),
    Row("ln_final.*", "trunk.norm.*"),
    Row("pool.query", "trunk.attn_pool.latent", lead=2),
    Row("pool.q.*", "trunk.attn_pool.q.*"),
    Row("pool.kv.*", "trunk.attn_pool.kv.*"),
    Row("pool.out.*", "trunk.attn_pool.proj.*"),
    Row("pool.norm.*", "trunk.attn_pool.norm.*"),
    Row("pool.mlp.fc.*", "trunk.attn_pool.mlp.fc1.*"),
    Row("pool.mlp.proj.*", "trunk.attn_pool.mlp.fc2.*"),
    Row("projection", "head.proj.weight", transpose=True),
    Row("projection_bias", "head.proj.bias"),
)

#: A block of the transformers library's CLIP and SigLIP.
_HF_BLOCKS = (
    Row("blocks.#.ln_1.*", "encoder.layers.#.layer_norm1.*"),
    Row(
        "blocks.#.attn.qkv.*",
        "encoder.layers.#.self_attn.q_proj.* "
        "encoder.layers.#.self_attn.k_proj.* "
        "encoder.layers.#.self_attn.v_proj.*",
    ),
    Row("blocks.#.attn.out.*", "encoder.layers.#.self_attn.out_proj.*"),
    Row("blocks.#.ln_2.*", "encoder.layers.#.layer_norm2.*"),
    Row("blocks.#.mlp.fc.*", "encoder.layers.#.mlp.fc1.*"),
    Row("blocks.#.mlp.proj.*", "encoder.layers.#.mlp.fc2.*"),
)

_HF_TEXT = (
    Row("table.weight", "text_model.embeddings.token_embedding.weight"),
    Row("positions", "text_model.embeddings.position_embedding.weight"),
    *(Row(row.ours, row.theirs.replace("encoder", "text_model.encoder")) for row in _HF_BLOCKS),
    Row("ln_final.*", "text_model.final_layer_norm.*"),
)

_HF_IMAGE = (
    Row("positions", "vision_model.embeddings.position_embedding.weight"),
    *(Row(row.ours, row.theirs.replace("encoder", "vision_model.encoder")) for row in _HF_BLOCKS),
    Row("ln_final.*", "vision_model.post_layernorm.*"),
)

HF_CLIP_IMAGE = (
    *_HF_IMAGE,
    Row("patch.weight", "vision_model.embeddings.patch_embedding.weight"),
    Row("class_token", "vision_model.embeddings.class_embedding"),
    # the misspelling is the format's own
    Row("ln_pre.*", "vision_model.pre_layrnorm.*"),
    Row("projection", "visual_projection.weight", transpose=True),
)

HF_CLIP_TEXT = (*_HF_TEXT, Row("projection", "text_projection.weight", transpose=True))

HF_SIGLIP_IMAGE = (
    *_HF_IMAGE,
    Row("patch.*", "vision_model.embeddings.patch_embedding.*"),
    Row("pool.query", "vision_model.head.probe", lead=2),
    Row(
        "pool.q.weight pool.kv.weight",
        "vision_model.head.attention.in_proj_weight",
        shares=(1, 2),
    ),
    Row("pool.q.bias pool.kv.bias", "vision_model.head.attention.in_proj_bias", shares=(1, 2)),
    Row("pool.out.*", "vision_model.head.attention.out_proj.*"),
    Row("pool.norm.*", "vision_model.head.layernorm.*"),
    Row("pool.mlp.fc.*", "vision_model.head.mlp.fc1.*"),
    Row("pool.mlp.proj.*", "vision_model.head.mlp.fc2.*"),
)

HF_SIGLIP_TEXT = (
    *_HF_TEXT,
    Row("projection", "text_model.head.weight", transpose=True),
    Row("projection_bias", "text_model.head.bias"),
)
