"""A model folder or hub repository: weights beside the configuration that describes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from torch import Tensor

from interlace._util.text import printable
from interlace.backbone.byte_pairs import CLIP_VOCABULARY, OPENAI_MERGES
from interlace.backbone.checkpoints.configs import (
    about,
    read_hugging_face,
    read_open_clip,
    read_processor,
    read_settings,
)
from interlace.backbone.checkpoints.families import (
    from_hugging_face,
    from_open_clip,
    hugging_face_family,
    hugging_face_spec,
    open_clip_spec,
    refuse,
)
from interlace.backbone.checkpoints.image_processor import (
    hugging_face_preprocess,
    open_clip_preprocess,
)
from interlace.backbone.checkpoints.loaded import TEMPLATE, LoadedModel
from interlace.backbone.checkpoints.tensors import read_tensors
from interlace.backbone.files import CheckpointFiles, LocalFolder
from interlace.backbone.spec import Spec
from interlace.backbone.tokenizer import (
    MERGES_FILE,
    TextTokenizer,
    byte_pair_tokenizer,
    has_clip_merges,
    transformers_tokenizer,
)
from interlace.errors import InterlaceError

OPEN_CLIP_CONFIG = "open_clip_config.json"
#: What Interlace remembers beside a checkpoint, and no other tool needs.
SETTINGS = "interlace.json"
#: Weight files in the order in which they are looked for.
OPEN_CLIP_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "model.safetensors",
    "open_clip_pytorch_model.bin",
)
HUGGING_FACE_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
)

#: Tensors that were read already, or names that their file may have.
Weights = Mapping[str, Tensor] | tuple[str, ...]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "spiece.model")


def _settings(files: CheckpointFiles) -> dict[str, Any]:
    path = files.find(SETTINGS)
    return read_settings(path) if path else {}


def _state(files: CheckpointFiles, weights: Weights) -> Mapping[str, Tensor]:
    return read_tensors(files, weights) if isinstance(weights, tuple) else weights


def open_clip_checkpoint(files: CheckpointFiles, weights: Weights) -> LoadedModel:
    """Read a checkpoint beside open_clip's config.

    Args:
        files: the folder or repository.
        weights: its tensors, or names that their file may have.

    Raises:
        InterlaceError: if a file is missing or broken, or the towers cannot express the model.
    """
    path = files.find(OPEN_CLIP_CONFIG)
    if path is None:
        hint = "; load its transformers model as hf:" if files.find("config.json") else ""
        raise InterlaceError(f"{files.name} holds no {OPEN_CLIP_CONFIG}{hint}")
    model, images = read_open_clip(path)
    with about(path):
        refuse(model)
    state = _state(files, weights)
    with about(path):
        spec = open_clip_spec(state, model)
        preprocess = open_clip_preprocess(spec, images)
    with about(files.name):
        state = from_open_clip(state, spec)
    return LoadedModel(
        spec,
        state,
        open_clip_tokenizer(spec, model["text_cfg"], files, files.cache_dir),
        preprocess,
        template=_settings(files).get("template", TEMPLATE),
    )


def open_clip_tokenizer(
    spec: Spec,
    config: Mapping[str, Any],
    files: CheckpointFiles | None,
    cache_dir: str | None = None,
) -> TextTokenizer | None:
    """Return the tokenizer that an open_clip ``text_cfg`` names; None where it names none.

    Raises:
        InterlaceError: if it cannot be made.
    """
    options = dict(config.get("tokenizer_kwargs") or {})
    clean, length = options.pop("clean", None), spec.text.context_length
    # a path of the machine that wrote the config means nothing here; its file lies in the folder
    named = "bpe_path" in options
    merges_name = PurePath(str(options.pop("bpe_path", MERGES_FILE)).replace("\\", "/")).name
    merges = files.find(merges_name) if files else None
    name = config.get("hf_tokenizer_name")
    if options or config.get("tokenizer_mode"):
        shown = printable(repr(options or config["tokenizer_mode"]))
        raise InterlaceError(f"tokenizer settings {shown} are not supported")
    openais = spec.text.vocab_size == CLIP_VOCABULARY
    if merges is None and not name and named and not (openais and merges_name == OPENAI_MERGES):
        raise InterlaceError(
            f"{files.name if files else 'the model'} lacks {printable(merges_name)!r}, the merges "
            f"that its {OPEN_CLIP_CONFIG} names as its tokenizer; no other tokenizer is tried, and "
            "no code that may lie beside them is run"
        )
    if merges is None and not name and not openais:
        return None
    if merges is not None or not name:
        return byte_pair_tokenizer(length, spec.text.vocab_size, merges, clean or "lower")
    source: str | Path = name
    if isinstance(files, LocalFolder):
        if not any(files.find(file) for file in _TOKENIZER_FILES):
            return None
        source = files.folder
    settings = {"hf_tokenizer_name": name}
    return transformers_tokenizer(source, length, clean or "whitespace", settings, cache_dir)


def hugging_face_checkpoint(files: CheckpointFiles, weights: Weights) -> LoadedModel:
    """Read a checkpoint beside transformers' ``config.json``.

    Args:
        files: the folder or repository.
        weights: its tensors, or names that their file may have.

    Raises:
        InterlaceError: if a file is missing or broken, or the towers cannot express the model.
    """
    path = files.find("config.json")
    if path is None:
        hint = "; load its open_clip model as hf-hub:" if files.find(OPEN_CLIP_CONFIG) else ""
        raise InterlaceError(f"{files.name} holds no config.json{hint}")
    config = read_hugging_face(path)
    with about(path):
        hugging_face_family(config)
    state = _state(files, weights)
    with about(path):
        spec = hugging_face_spec(state, config)
    settings = _settings(files)
    with about(files.name):
        state = from_hugging_face(state, spec)
        preprocess = hugging_face_preprocess(spec, _processor(files))
    return LoadedModel(
        spec,
        state,
        _hugging_face_tokenizer(spec, files, settings.get("clean")),
        preprocess,
        template=settings.get("template", TEMPLATE),
    )


def _processor(files: CheckpointFiles) -> dict[str, Any]:
    """Read ``preprocessor_config.json``, or newer ``processor_config.json``; empty without both."""
    for file in ("preprocessor_config.json", "processor_config.json"):
        path = files.find(file)
        if path is not None and (config := read_processor(path)):
            return config
    return {}


def _hugging_face_tokenizer(
    spec: Spec, files: CheckpointFiles, clean: str | None
) -> TextTokenizer | None:
    """Return the repository's tokenizer.

    OpenAI's byte pairs need no transformers library. A CLIP of their vocabulary has them where its
    merges are OpenAI's, or where it comes with no tokenizer at all.
    """
    length = spec.text.context_length
    has_files = any(files.find(file) for file in _TOKENIZER_FILES)
    if spec.text.causal and spec.text.vocab_size == CLIP_VOCABULARY:
        merges = files.find("merges.txt")
        if has_clip_merges(merges) if merges else not has_files:
            return byte_pair_tokenizer(length)
    if not has_files:
        return None
    return transformers_tokenizer(files.tokenizer_source, length, clean, cache_dir=files.cache_dir)
