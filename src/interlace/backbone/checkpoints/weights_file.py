"""A weights file by itself, whose tensors say neither heads nor activation.

Nothing is guessed: the configuration beside the file counts, else the architecture that the user
names. Of an architecture without its activation, or the other way round, as much is taken from
open_clip's list as is certain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from torch import Tensor

from interlace._util.text import did_you_mean, listed, printable
from interlace.backbone.checkpoints.configs import about, check_open_clip
from interlace.backbone.checkpoints.families import from_open_clip, open_clip_spec, refuse
from interlace.backbone.checkpoints.image_processor import open_clip_preprocess
from interlace.backbone.checkpoints.loaded import LoadedModel, own_tokenizer
from interlace.backbone.checkpoints.model_folder import (
    OPEN_CLIP_CONFIG,
    hugging_face_checkpoint,
    open_clip_checkpoint,
    open_clip_tokenizer,
)
from interlace.backbone.checkpoints.tensors import read_weights
from interlace.backbone.files import LocalFolder
from interlace.backbone.preprocess import Preprocess
from interlace.backbone.spec import Activation, Spec
from interlace.errors import InterlaceError


def file_checkpoint(path: Path, arch: str | None, activation: Activation | None) -> LoadedModel:
    """Read the model of one weights file.

    Args:
        path: a safetensors or PyTorch file.
        arch: open_clip's name of its architecture, where no configuration lies beside it.
        activation: the MLPs' nonlinearity, where it is not the architecture's.

    Raises:
        InterlaceError: if the file cannot be read, or nothing says what its tensors mean.
    """
    if activation is not None:
        _check_activation(activation)
    config = architecture(arch) if arch else None
    state, metadata = read_weights(path)
    hugging_face = any(name.startswith("vision_model.") for name in state)
    if config is None:
        folder = LocalFolder(path.parent)
        beside = "config.json" if hugging_face else OPEN_CLIP_CONFIG
        if folder.find(beside):
            take = hugging_face_checkpoint if hugging_face else open_clip_checkpoint
            return _as_configured(take(folder, state), path, activation, beside)
    if hugging_face:
        raise InterlaceError(
            f"{printable(str(path))} holds transformers' tensor names: give the folder with its "
            "config.json"
        )
    metadata = {k: v for k, v in metadata.items() if k == "activation"}
    stated = activation or metadata.get("activation")
    if stated is not None:
        _check_activation(stated)
    if config is None or arch is None:
        arch, spec = _known(path, state, stated)
        tokenizer, preprocess = own_tokenizer(spec), Preprocess(spec.image.image_size)
    else:
        with about(f"{path} as {arch}"):
            spec = _with_activation(open_clip_spec(state, config), stated)
        named = config["text_cfg"].get("hf_tokenizer_name")
        files = LocalFolder(path.parent) if named else None
        tokenizer = open_clip_tokenizer(spec, config["text_cfg"], files)
        preprocess = open_clip_preprocess(spec, _image_constants(arch))
    # its source alone loads the same model again
    own = open_clip_spec(state, config or architecture(arch)) == spec
    words = arch if activation is None or (own and not metadata) else f"{arch},{activation}"
    source = f"{words}:{path.resolve()}"
    with about(path):
        ours = from_open_clip(state, spec)
    return LoadedModel(spec, ours, tokenizer, preprocess, source)


def architecture(name: str) -> dict[str, Any]:
    """Return open_clip's ``model_cfg`` of an architecture.

    Raises:
        InterlaceError: if open_clip knows none of that name, or the towers cannot express it.
    """
    import open_clip

    config = open_clip.get_model_config(name) if _is_name(name) else None
    if config is None:
        plain, known = name.replace("/", "-"), open_clip.list_models()
        near = [one for one in (plain, f"{plain}-quickgelu") if one in known]
        hint = f"did you mean {' or '.join(near)}?" if near else did_you_mean(plain, known, 3)
        raise InterlaceError(
            f"unknown architecture {printable(name)!r}; {hint or 'give one of open_clip, '}"
            + ("" if hint else "such as ViT-B-16 or ViT-B-16-quickgelu")
        )
    check_open_clip(config, f"architecture {name}")
    refuse(config)
    return config


def _is_name(name: str) -> bool:
    """Return whether it is a plain name: open_clip takes others as folders or repositories."""
    return bool(name) and not set(name) & set(":/\\\0")


def _check_activation(activation: str) -> None:
    if activation not in get_args(Activation):
        raise InterlaceError(
            f"activation {printable(repr(activation))}: "
            f"expected {' or '.join(get_args(Activation))}"
        )


def _with_activation(spec: Spec, activation: Any) -> Spec:
    if activation is None:
        return spec
    return replace(
        spec,
        image=replace(spec.image, activation=activation),
        text=replace(spec.text, activation=activation),
    )


def _as_configured(
    found: LoadedModel, path: Path, activation: Activation | None, beside: str
) -> LoadedModel:
    said = {found.spec.image.activation, found.spec.text.activation}
    if activation is not None and said != {activation}:
        raise InterlaceError(
            f"{printable(str(path))}: {beside} beside it says {' and '.join(sorted(said))}, "
            f"not {activation}"
        )
    return replace(found, source=str(path.resolve()))


def _known(path: Path, state: Mapping[str, Tensor], stated: str | None) -> tuple[str, Spec]:
    """Find the one architecture of open_clip with tensors of these sizes and this activation."""
    import open_clip

    fitting: dict[str, Spec] = {}
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        if config is None or config["vision_cfg"].get("timm_model_name"):
            continue
        try:
            fitting[name] = open_clip_spec(state, config)
        except InterlaceError:
            continue
    meant = {_with_activation(spec, stated) for spec in fitting.values()}
    if stated is not None and len(meant) == 1:
        # the name whose own activation it is, where there is one
        name = next((n for n, spec in fitting.items() if spec in meant), next(iter(fitting)))
        return name, meant.pop()
    if not fitting:  # says what is wrong where it is no such model at all
        open_clip_spec(state)
    shown = printable(str(path))
    fits = f"; its sizes fit {listed(list(fitting))}" if fitting else ""
    example = next(iter(fitting), "ViT-B-16")
    raise InterlaceError(
        f"{shown}: the tensors say neither heads nor activation: put the model's "
        f"{OPEN_CLIP_CONFIG} beside the file, or name its architecture in open_clip, as in "
        f"{example}:{shown}{fits}"
    )


def _image_constants(arch: str) -> dict[str, Any]:
    """Return the image constants of an architecture's published weights; none where they differ."""
    import open_clip

    keys = ("mean", "std", "interpolation", "resize_mode")
    found = []
    for tag in open_clip.list_pretrained_tags_by_model(arch):
        config = open_clip.get_pretrained_cfg(arch, tag)
        constants = {key: config[key] for key in keys if config.get(key) is not None}
        if constants not in found:
            found.append(constants)
    return found[0] if len(found) == 1 else {}
