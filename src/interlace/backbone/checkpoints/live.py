"""Models of other libraries that are in memory: read from their modules, as a checkpoint is.

The model is neither changed nor shared: its tensors are copied, in float32 and to the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from torch import Tensor, nn

from interlace.backbone.checkpoints.configs import (
    check_hugging_face,
    check_preprocess,
    check_processor,
)
from interlace.backbone.checkpoints.families import (
    from_hugging_face,
    from_open_clip,
    hugging_face_family,
    hugging_face_spec,
)
from interlace.backbone.checkpoints.families.modules import activation_of, common, epsilon_of
from interlace.backbone.checkpoints.families.names import check_no_adapter
from interlace.backbone.checkpoints.families.open_clip_modules import (
    check_open_clip_class,
    open_clip_model_spec,
)
from interlace.backbone.checkpoints.image_processor import (
    hugging_face_preprocess,
    open_clip_preprocess,
)
from interlace.backbone.checkpoints.live_tokenizers import from_open_clip_tokenizer
from interlace.backbone.checkpoints.loaded import LoadedModel, own_tokenizer
from interlace.backbone.preprocess import Preprocess
from interlace.backbone.spec import Spec, TowerSpec
from interlace.backbone.tokenizer import TextTokenizer, wrap_transformers
from interlace.errors import InterlaceError

_MODEL = "the model's configuration"
_TowerSpec = TypeVar("_TowerSpec", bound=TowerSpec)


def read_open_clip_model(
    model: nn.Module, tokenizer: Any = None, preprocess: Preprocess | None = None
) -> LoadedModel:
    """Return the parts of a live open_clip model; see :meth:`interlace.DualEncoder.from_open_clip`.

    Raises:
        InterlaceError: if the towers cannot express it, or an argument does not fit it.
    """
    if isinstance(model, nn.Module):
        check_no_adapter(name for name, _ in model.named_parameters())
    check_open_clip_class(model)
    state = _tensors(model)
    spec = open_clip_model_spec(model, state)
    return LoadedModel(
        spec,
        from_open_clip(state, spec),
        own_tokenizer(spec)
        if tokenizer is None
        else from_open_clip_tokenizer(tokenizer, spec.text.context_length),
        _open_clip_constants(model, spec) if preprocess is None else _given(preprocess, spec),
    )


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    for name, module in model.named_modules():
        # a hook may change what the module computes, and its tensors would not say so
        if module._forward_hooks or module._forward_pre_hooks:
            raise InterlaceError(
                f"the model's module {name or 'itself'!r} has forward hooks, which are not read: "
                "remove them first"
            )
    state = model.state_dict()
    for name, tensor in state.items():
        if tensor.is_meta:
            raise InterlaceError(f"the model's tensor {name!r} has no values (it is on 'meta')")
    return {name: tensor.detach().cpu() for name, tensor in state.items()}


def _given(preprocess: Any, spec: Spec) -> Preprocess:
    if not isinstance(preprocess, Preprocess):
        raise InterlaceError(
            f"expected preprocess to be an interlace.data.Preprocess, or None for the model's own "
            f"constants, got a {type(preprocess).__name__}"
        )
    if preprocess.size != spec.image.image_size:
        side = spec.image.image_size
        raise InterlaceError(
            f"preprocess.size = {preprocess.size}: the model reads images of {side} x {side} pixels"
        )
    return preprocess


def _open_clip_constants(model: Any, spec: Spec) -> Preprocess:
    visual = model.visual
    config = dict(getattr(visual, "preprocess_cfg", None) or {})
    for name in ("mean", "std"):  # what open_clip kept before it had preprocess_cfg
        value = getattr(visual, f"image_{name}", None)
        if name not in config and value is not None:
            config[name] = value
    config = {name: value for name, value in config.items() if value is not None}
    check_preprocess(config, "model.visual.preprocess_cfg")
    return open_clip_preprocess(spec, config)


def read_transformers_model(model: nn.Module, processor: Any = None) -> LoadedModel:
    """Return the parts of a live transformers model.

    See :meth:`interlace.DualEncoder.from_transformers`.

    Raises:
        InterlaceError: if the towers cannot express it, or the processor does not fit it.
    """
    if isinstance(model, nn.Module):
        check_no_adapter(name for name, _ in model.named_parameters())
    config = _config(model)
    state = _tensors(model)
    spec = hugging_face_spec(state, config)
    spec = replace(
        spec,
        image=_as_computed(spec.image, model.vision_model),
        text=_as_computed(spec.text, model.text_model),
    )
    constants, tokenizer = _processor(processor, spec)
    return LoadedModel(
        spec,
        from_hugging_face(state, spec),
        tokenizer,
        hugging_face_preprocess(spec, constants),
    )


def _config(model: Any) -> dict[str, Any]:
    """Return the configuration that ``model`` runs with, checked."""
    try:
        from transformers import CLIPModel, PreTrainedModel, SiglipModel
    except ImportError:
        raise InterlaceError(
            "from_transformers needs the transformers library: pip install 'interlace[hf]'"
        ) from None
    if isinstance(model, PreTrainedModel):
        hugging_face_family(model.config.to_dict())  # says what relatives are
    if type(model) not in (CLIPModel, SiglipModel):
        raise InterlaceError(
            f"expected a transformers CLIPModel or SiglipModel, got a {type(model).__name__}; pass "
            "the model itself, without wrappers"
        )
    config = model.config.to_dict()
    # the id is read when the model is made
    eos = getattr(model.text_model, "eos_token_id", config["text_config"].get("eos_token_id"))
    config["text_config"] = {**config["text_config"], "eos_token_id": eos}
    return check_hugging_face(config, _MODEL)


def _as_computed(spec: _TowerSpec, tower: Any) -> _TowerSpec:
    """Return ``spec`` with what the modules of a tower compute, whatever its configuration says."""
    layers = list(tower.encoder.layers)
    head: Any = getattr(tower, "head", None)
    pool = [head] if hasattr(head, "attention") else []  # SigLIP's text tower has a linear there
    heads = [layer.self_attn.num_heads for layer in layers]
    heads += [part.attention.num_heads for part in pool]
    activations = [activation_of(part.mlp.activation_fn) for part in (*layers, *pool)]
    norms = [norm for layer in layers for norm in (layer.layer_norm1, layer.layer_norm2)]
    norms += [part for part in tower.modules() if isinstance(part, nn.LayerNorm)]
    return replace(
        spec,
        heads=common(heads, "attention heads"),
        activation=common(activations, "activations"),
        norm_eps=epsilon_of(norms),
    )


def _processor(processor: Any, spec: Spec) -> tuple[Mapping[str, Any], TextTokenizer | None]:
    """Return the image constants and the tokenizer of a processor; the defaults without one."""
    if processor is None:
        return {}, own_tokenizer(spec) if spec.text.causal else None
    images = getattr(processor, "image_processor", None)
    texts = getattr(processor, "tokenizer", None)
    if images is None or texts is None:
        raise InterlaceError(
            f"a {type(processor).__name__} is not a processor of a CLIPModel or SiglipModel: it "
            f"has no {'image_processor' if images is None else 'tokenizer'}"
        )
    constants = check_processor(images.to_dict(), "the image processor")
    name = str(getattr(texts, "name_or_path", "") or "tokenizer")
    return constants, wrap_transformers(texts, name, spec.text.context_length)
