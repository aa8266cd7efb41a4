"""The configuration files of model folders, checked field by field before anything uses them.

A schema says what each field may be; a field outside its range is one line that names the file and
the field. open_clip's settings are all known here: one that is not could change what the model
computes, and is refused. transformers' files carry much that no model reads, which is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interlace._util.reading import read_json_object
from interlace._util.text import did_you_mean, printable
from interlace.errors import InterlaceError

Check = Callable[[Any], bool]
#: What a field may be and how that is said, or the fields of an object.
Rule = tuple[str, Check] | Mapping[str, Any]

_NULLABLE = "eos_token_id"
#: Letters of a name or value that a message shows.
_SHOWN = 80
#: Sizes above these belong to no model, and would ask for memory that no machine has.
_WIDTH, _BLOCKS, _PIXELS, _WORDS, _POSITIONS = 1 << 16, 512, 4096, 1 << 24, 1 << 16


def _whole(least: int, most: int) -> Rule:
    def check(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    return f"a whole number from {least} to {most:,}", check


def _number(least: float, most: float) -> Rule:
    def check(value: Any) -> bool:
        known = isinstance(value, int | float) and not isinstance(value, bool)
        return known and least <= value <= most  # neither NaN nor an integer of 400 digits is

    return f"a number from {least:g} to {most:g}", check


def _word(*choices: str) -> Rule:
    if choices:
        return f"one of {', '.join(choices)}", lambda value: value in choices
    return "text", lambda value: isinstance(value, str) and len(value) < 1000


def _either(*rules: tuple[str, Check]) -> Rule:
    checks = [check for _, check in rules]
    return " or ".join(words for words, _ in rules), lambda value: any(c(value) for c in checks)


def _list(rule: Any, least: int, most: int) -> Rule:
    words, check = rule

    def every(value: Any) -> bool:
        listed = isinstance(value, list | tuple) and least <= len(value) <= most
        return listed and all(map(check, value))

    many = f"{least}" if least == most else f"{least} to {most}"
    return f"a list of {many}, each {words}", every


_FLAG: Rule = ("true or false", lambda value: isinstance(value, bool))
_ANY: Rule = ("anything", lambda value: True)
_OBJECT: Rule = ("an object", lambda value: isinstance(value, dict))
_EPS = _number(1e-12, 1.0)
_SIDE: Any = _whole(1, _PIXELS)
_SIDES = _either(_SIDE, _list(_SIDE, 2, 2))  # type: ignore[arg-type]
_IDS = _whole(0, _WORDS)
_COLOURS = _list(_number(-1000, 1000), 3, 3)
_SPREADS = _list(_number(1e-6, 1000), 3, 3)

_TOWER: dict[str, Rule] = {
    "width": _whole(1, _WIDTH),
    "mlp_ratio": _number(1e-3, 1000),
    "ls_init_value": _number(-1e6, 1e6),
    "act_kwargs": {"approximate": _word("none", "tanh")},
    "norm_kwargs": {"eps": _EPS, "elementwise_affine": _FLAG, "bias": _FLAG},
    "final_ln_after_pool": _FLAG,
    "output_tokens": _FLAG,
    "block_type": _word(),
    **{
        name: _FLAG
        for name in "qk_norm scaled_cosine_attn scale_heads scale_attn_inner scale_attn "
        "scale_fc".split()
    },
}
_IMAGE_CONFIG: dict[str, Rule] = {
    **_TOWER,
    "layers": _either(_whole(1, _BLOCKS), _list(_whole(1, _BLOCKS), 4, 4)),  # type: ignore[arg-type]
    "head_width": _whole(1, _WIDTH),
    "patch_size": _SIDE,
    "image_size": _SIDES,
    "patch_dropout": _number(0, 1),
    "attentional_pool": _either(_FLAG, _word()),  # type: ignore[arg-type]
    "attn_pooler_queries": _whole(1, _POSITIONS),
    "attn_pooler_heads": _whole(1, _WIDTH),
    "no_ln_pre": _FLAG,
    "pos_embed_type": _word(),
    "pool_type": _word(),
    "timm_model_name": _word(),
    "timm_model_pretrained": _FLAG,
    "timm_pool": _word(),
    "timm_proj": _word(),
    "timm_proj_bias": _FLAG,
    "timm_drop": _number(0, 1),
    "timm_drop_path": _number(0, 1),
}
_TEXT_CONFIG: dict[str, Rule] = {
    **_TOWER,
    "context_length": _whole(1, _POSITIONS),
    "vocab_size": _whole(1, _WORDS),
    "hf_tokenizer_name": _word(),
    "tokenizer_mode": _word(),
    "tokenizer_kwargs": _OBJECT,
    "heads": _whole(1, _WIDTH),
    "layers": _whole(1, _BLOCKS),
    "embed_cls": _FLAG,
    "pad_id": _IDS,
    "eos_id": _IDS,
    "no_causal_mask": _FLAG,
    "pool_type": _word(),
    "proj_bias": _FLAG,
    "proj_type": _word(),
    "hf_model_name": _word(),
    "hf_model_pretrained": _FLAG,
    "hf_proj_type": _word(),
    "hf_pooler_type": _word(),
}
_OPEN_CLIP: dict[str, Rule] = {
    "embed_dim": _whole(1, _WIDTH),
    "vision_cfg": _IMAGE_CONFIG,
    "text_cfg": _TEXT_CONFIG,
    "quick_gelu": _FLAG,
    "custom_text": _FLAG,
    "init_logit_scale": _number(-100, 100),
    "init_logit_bias": _number(-1000, 1000),
    "nonscalar_logit_scale": _FLAG,
    "cast_dtype": _word(),
    "output_dict": _FLAG,
    "multimodal_cfg": _ANY,
}
_OPEN_CLIP_IMAGES: dict[str, Rule] = {
    "size": _SIDES,
    "mode": _word("RGB"),
    "mean": _COLOURS,
    "std": _SPREADS,
    "interpolation": _word("bicubic", "bilinear"),
    "resize_mode": _word("shortest", "squash", "longest"),
    "fill_color": _whole(0, 255),
}
_HF_TOWER: dict[str, Rule] = {
    "num_attention_heads": _whole(1, _WIDTH),
    "hidden_act": _word(),
    "layer_norm_eps": _EPS,
    "image_size": _SIDES,
    "patch_size": _SIDES,
    "hidden_size": _whole(1, _WIDTH),
    "intermediate_size": _whole(1, 1 << 20),
    "num_hidden_layers": _whole(1, _BLOCKS),
    "vision_use_head": _FLAG,
    "eos_token_id": _either(_IDS, _list(_IDS, 1, 100)),  # type: ignore[arg-type]
    "vocab_size": _whole(1, _WORDS),
    "max_position_embeddings": _whole(1, _POSITIONS),
}
_HF: dict[str, Rule] = {
    "model_type": _word(),
    "vision_config": _HF_TOWER,
    "text_config": _HF_TOWER,
    "vision_config_dict": _HF_TOWER,
    "text_config_dict": _HF_TOWER,
}
_HF_SIZE = {name: _SIDE for name in ("height", "width", "shortest_edge", "longest_edge")}
_HF_IMAGES: dict[str, Rule] = {
    "image_processor_type": _word(),
    "feature_extractor_type": _word(),
    "image_mean": _either(_COLOURS, _number(-1000, 1000)),  # type: ignore[arg-type]
    "image_std": _either(_SPREADS, _number(1e-6, 1000)),  # type: ignore[arg-type]
    "resample": _either(_whole(0, 5), _word()),  # type: ignore[arg-type]
    "rescale_factor": _number(1e-9, 1e3),
    **{
        name: _FLAG
        for name in "do_resize do_center_crop do_rescale do_normalize do_pad rescale_offset".split()
    },
}
_SETTINGS: dict[str, Rule] = {
    "template": (
        "text with {} for the class name",
        lambda value: isinstance(value, str) and value.count("{}") == 1,
    ),
    "clean": _word("lower", "whitespace", "canonicalize"),
}


def read_open_clip(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read ``model_cfg`` and ``preprocess_cfg`` of an ``open_clip_config.json`` and check them.

    Raises:
        InterlaceError: naming the file and the field.
    """
    where = printable(str(path))
    whole = _without_nulls(read_json_object(path, "configuration"))
    model, images = whole.get("model_cfg", whole), whole.get("preprocess_cfg") or {}
    if not isinstance(model, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= set(model):
        raise InterlaceError(f"{where} has no 'model_cfg' with embed_dim, vision_cfg and text_cfg")
    check_open_clip(model, where)
    check_preprocess(images, where, "preprocess_cfg")
    return model, images


def check_open_clip(model: Mapping[str, Any], where: str) -> None:
    """Check an open_clip ``model_cfg``."""
    check(model, _OPEN_CLIP, where, "model_cfg", closed=True)


def check_preprocess(images: Any, where: str, section: str = "") -> None:
    """Check an open_clip ``preprocess_cfg``."""
    check(images, _OPEN_CLIP_IMAGES, where, section, closed=True)


def read_hugging_face(path: Path) -> dict[str, Any]:
    """Read transformers' ``config.json`` and check it.

    Raises:
        InterlaceError: naming the file and the field.
    """
    return check_hugging_face(read_json_object(path, "configuration"), printable(str(path)))


def check_hugging_face(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check the configuration of a transformers model, and return it without nulls.

    Raises:
        InterlaceError: naming the place and the field.
    """
    config = _without_nulls(config)
    check(config, _HF, where)
    return dict(config)


def read_processor(path: Path) -> dict[str, Any]:
    """Read the image processor of transformers' ``preprocessor_config.json`` and check it.

    Raises:
        InterlaceError: naming the file and the field.
    """
    whole = _without_nulls(read_json_object(path, "configuration"))
    return check_processor(whole.get("image_processor", whole), printable(str(path)))


def check_processor(config: Any, where: str) -> dict[str, Any]:
    """Check the configuration of a transformers image processor, and return it without nulls.

    Raises:
        InterlaceError: naming the place and the field.
    """
    config = _without_nulls(config)
    check(config, _HF_IMAGES, where)
    for name in ("size", "crop_size"):
        value = config.get(name)
        if isinstance(value, dict):
            check(value, _HF_SIZE, where, name)
        elif value is not None:
            check({name: value}, {name: _SIDE}, where)
    return config


def read_settings(path: Path) -> dict[str, Any]:
    """Read what Interlace keeps beside a checkpoint and check it.

    Raises:
        InterlaceError: naming the file and the field.
    """
    settings = _without_nulls(read_json_object(path, "configuration"))
    check(settings, _SETTINGS, printable(str(path)))
    return settings


def check(
    values: Any, rules: Mapping[str, Rule], where: str, section: str = "", closed: bool = False
) -> None:
    """Check the fields of an object against their rules; null counts as left out.

    Args:
        values: the object.
        rules: by name; a mapping stands for an object inside.
        where: the file, with which a message begins.
        section: name of the object in the file.
        closed: whether a field without a rule is an error.

    Raises:
        InterlaceError: naming the file and the field.
    """
    if not isinstance(values, Mapping):
        raise InterlaceError(f"{where}: {section or 'the file'} is not an object")
    for name, value in values.items():
        shown = printable(f"{section}.{name}" if section else str(name))[:_SHOWN]
        rule = rules.get(name)
        if value is None or (rule is None and not closed):
            continue
        if rule is None:
            hint = did_you_mean(str(name), rules)
            raise InterlaceError(
                f"{where}: {shown} is a setting that Interlace does not know"
                + (f"; {hint}" if hint else ", and it may change what the model computes")
            )
        if isinstance(rule, Mapping):
            check(value, rule, where, shown, closed)
        elif not rule[1](value):
            raise InterlaceError(f"{where}: {shown} = {_short(value)}: expected {rule[0]}")


@contextmanager
def about(what: Path | str) -> Iterator[None]:
    """Prefix the message of an error with the file, or whatever else it is about."""
    try:
        yield
    except InterlaceError as error:
        raise type(error)(f"{printable(str(what))}: {error}") from None


def _without_nulls(value: Any) -> Any:
    """Return an object without the fields that are null, which count as left out."""
    if not isinstance(value, dict):
        return value
    # but for the end of text, null is no default and no id: it is refused where one is needed
    return {k: _without_nulls(v) for k, v in value.items() if v is not None or k == _NULLABLE}


def _short(value: Any) -> str:
    text = printable(repr(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def sides(value: Any) -> Sequence[int]:
    """Return one side of a square, or two sides, as a pair."""
    return (value, value) if isinstance(value, int) else tuple(value)
