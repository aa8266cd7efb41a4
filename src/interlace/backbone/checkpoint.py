"""Checkpoints of the supported formats: everything that makes a model, read from its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from torch import Tensor

from interlace.backbone.files import Files, LocalFolder, read_json, read_safetensors, read_tensors
from interlace.backbone.spec import Activation, Spec
from interlace.backbone.tokenizer import (
    CLIP_VOCABULARY,
    MERGES_FILE,
    TextTokenizer,
    byte_pair_tokenizer,
    has_clip_merges,
    transformers_tokenizer,
)
from interlace.backbone.weights import (
    from_hugging_face,
    from_open_clip,
    hugging_face_family,
    hugging_face_spec,
    native_spec,
    open_clip_spec,
    refuse,
)
from interlace.data.transforms import Preprocess
from interlace.errors import InterlaceError

TEMPLATE = "a photo of a {}."

OPEN_CLIP_CONFIG = "open_clip_config.json"
#: What Interlace remembers beside a checkpoint, and no other tool needs.
SETTINGS = "interlace.json"
#: Weight files in the order in which they are looked for.
OPEN_CLIP_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "model.safetensors",
)
HUGGING_FACE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "spiece.model")


@dataclass(frozen=True)
class Checkpoint:
    """Everything that makes a model.

    Attributes:
        spec: the architecture.
        state: the tensors, under our names and in float32.
        tokenizer: texts to ids, where the checkpoint has one.
        preprocess: image constants.
        source: where it came from, as :func:`interlace.load` takes it.
        template: the default prompt.
    """

    spec: Spec
    state: dict[str, Tensor]
    tokenizer: TextTokenizer | None
    preprocess: Preprocess
    source: str = ""
    template: str = TEMPLATE


def _settings(files: Files) -> dict[str, Any]:
    path = files.find(SETTINGS)
    return read_json(path) if path else {}


def open_clip_checkpoint(files: Files, weights: tuple[str, ...]) -> Checkpoint:
    """A checkpoint beside open_clip's config.

    Args:
        files: the folder or repository.
        weights: names that its weights may have.

    Raises:
        InterlaceError: if a file is missing or broken, or the towers cannot express the model.
    """
    path = files.find(OPEN_CLIP_CONFIG)
    if path is None:
        hint = "; load its transformers model as hf:" if files.find("config.json") else ""
        raise InterlaceError(f"{files.name} holds no {OPEN_CLIP_CONFIG}{hint}")
    config = read_json(path)
    model = config.get("model_cfg", config)
    if not {"embed_dim", "vision_cfg", "text_cfg"} <= set(model):
        raise InterlaceError(f"{path} has no 'model_cfg' with embed_dim, vision_cfg and text_cfg")
    refuse(model)
    state = read_tensors(files, weights)
    spec = open_clip_spec(state, model)
    return Checkpoint(
        spec,
        from_open_clip(state, spec),
        open_clip_tokenizer(spec, model["text_cfg"], files, files.cache_dir),
        open_clip_preprocess(spec, config.get("preprocess_cfg", {})),
        template=_settings(files).get("template", TEMPLATE),
    )


def own_tokenizer(spec: Spec) -> TextTokenizer | None:
    """OpenAI's byte pairs, for tensors without a config; None for another vocabulary."""
    if spec.text.vocab_size != CLIP_VOCABULARY:
        return None
    return byte_pair_tokenizer(spec.text.context_length)


def open_clip_tokenizer(
    spec: Spec, config: Mapping[str, Any], files: Files | None, cache_dir: str | None = None
) -> TextTokenizer | None:
    """The tokenizer that an open_clip ``text_cfg`` means; None where nothing says which.

    Raises:
        InterlaceError: if it cannot be made.
    """
    options = dict(config.get("tokenizer_kwargs") or {})
    clean, length = options.pop("clean", None), spec.text.context_length
    # a path of the machine that wrote the config means nothing here; its file lies in the folder
    merges_name = Path(options.pop("bpe_path", MERGES_FILE)).name
    merges = files.find(merges_name) if files else None
    name = config.get("hf_tokenizer_name")
    if options or config.get("tokenizer_mode"):
        raise InterlaceError(
            f"tokenizer settings {options or config['tokenizer_mode']!r} are not supported"
        )
    if merges is None and not name and spec.text.vocab_size != CLIP_VOCABULARY:
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


def open_clip_preprocess(spec: Spec, config: Mapping[str, Any]) -> Preprocess:
    """Image constants of an open_clip ``preprocess_cfg`` or pretrained tag."""
    known = ("mean", "std", "interpolation", "resize_mode", "fill_color")
    values = {key: config[key] for key in known if config.get(key) is not None}
    return Preprocess.from_dict({**Preprocess(spec.image.image_size).to_dict(), **values})


def hugging_face_checkpoint(files: Files, weights: tuple[str, ...]) -> Checkpoint:
    """A checkpoint beside transformers' ``config.json``.

    Args:
        files: the folder or repository.
        weights: names that its weights may have.

    Raises:
        InterlaceError: if a file is missing or broken, or the towers cannot express the model.
    """
    path = files.find("config.json")
    if path is None:
        hint = "; load its open_clip model as hf-hub:" if files.find(OPEN_CLIP_CONFIG) else ""
        raise InterlaceError(f"{files.name} holds no config.json{hint}")
    config = read_json(path)
    hugging_face_family(config)
    state = read_tensors(files, weights)
    spec = hugging_face_spec(state, config)
    settings = _settings(files)
    return Checkpoint(
        spec,
        from_hugging_face(state, spec),
        _hugging_face_tokenizer(spec, files, settings.get("clean")),
        _hugging_face_preprocess(spec, files),
        template=settings.get("template", TEMPLATE),
    )


def _hugging_face_tokenizer(spec: Spec, files: Files, clean: str | None) -> TextTokenizer | None:
    """The repository's tokenizer.

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


def _hugging_face_preprocess(spec: Spec, files: Files) -> Preprocess:
    """Image constants of ``preprocessor_config.json``, or of newer ``processor_config.json``."""
    config: dict[str, Any] = {}
    for file in ("preprocessor_config.json", "processor_config.json"):
        path = files.find(file)
        if path is not None and not config:
            whole = read_json(path)
            config = whole.get("image_processor", whole)
    values: dict[str, Any] = Preprocess(spec.image.image_size).to_dict()
    if not spec.image.class_token:
        values.update(mean=[0.5] * 3, std=[0.5] * 3, resize_mode="squash")
    for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
        values[ours] = config.get(theirs) or values[ours]
    size = config.get("size")
    if isinstance(size, dict):
        values["resize_mode"] = "shortest" if "shortest_edge" in size else "squash"
    if "resample" in config:
        values["interpolation"] = {2: "bilinear", 3: "bicubic"}.get(config["resample"], "bicubic")
    return Preprocess.from_dict(values)


def file_checkpoint(path: Path, activation: Activation | None) -> Checkpoint:
    """A single safetensors file under OpenAI's or open_clip's key names.

    Raises:
        InterlaceError: if it is of another kind.
    """
    if path.suffix != ".safetensors":
        raise InterlaceError(
            f"{path}: weights are read from .safetensors files and model folders only"
        )
    state, metadata = read_safetensors(path)
    if any(name.startswith("vision_model.") for name in state):
        raise InterlaceError(
            f"{path} holds transformers' tensor names: give the folder with its config.json"
        )
    stated = activation or metadata.get("activation", "quick_gelu")
    if stated not in get_args(Activation):
        raise InterlaceError(f"activation {stated!r}: expected {' or '.join(get_args(Activation))}")
    spec = native_spec(state, cast(Activation, stated))
    return Checkpoint(
        spec,
        from_open_clip(state, spec),
        own_tokenizer(spec),
        Preprocess(spec.image.image_size),
    )
