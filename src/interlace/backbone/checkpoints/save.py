"""Saving a model as an ordinary checkpoint, which stock open_clip or transformers loads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, get_args

from safetensors.torch import save_file

from interlace._util.files import check_writable, write_json
from interlace._util.folders import replaced_folder
from interlace._util.reading import reason_of
from interlace._util.text import printable
from interlace.backbone.checkpoints.families import to_hugging_face, to_open_clip
from interlace.backbone.checkpoints.loaded import LoadedModel
from interlace.backbone.checkpoints.model_folder import (
    HUGGING_FACE_WEIGHTS,
    OPEN_CLIP_CONFIG,
    OPEN_CLIP_WEIGHTS,
    SETTINGS,
)
from interlace.backbone.preprocess import Preprocess
from interlace.backbone.tokenizer import TextTokenizer
from interlace.errors import InterlaceError

CheckpointFormat = Literal["open_clip", "hf"]


def save_model(
    model: LoadedModel, folder: str | Path, format: CheckpointFormat, overwrite: bool = False
) -> Path:
    """Write ``model`` to ``folder``; see :meth:`interlace.DualEncoder.save`."""
    if format not in get_args(CheckpointFormat):
        raise InterlaceError(
            f"format {format!r}: expected {' or '.join(get_args(CheckpointFormat))}"
        )
    target = Path(os.path.expanduser(folder))
    check_free(target, overwrite)
    with replaced_folder(target) as fresh:
        check_free(target, overwrite)  # again: another process may have been first
        if format == "hf":
            _write_hugging_face(model, fresh)
        else:
            _write_open_clip(model, fresh)
    return target


def check_free(target: Path, overwrite: bool) -> None:
    """Check that a model can be saved to a folder.

    Raises:
        InterlaceError: if it holds something that is not to be replaced, or takes no files.
    """
    shown = printable(str(target))
    if not os.path.lexists(target):
        check_writable(target, folder=True)
        return
    if not os.path.isdir(target):
        raise InterlaceError(f"{shown} is a file: a model is saved as a folder")
    try:
        names = os.listdir(target)
    except OSError as error:
        raise InterlaceError(f"{shown}: {reason_of(error)}") from None
    if not names:
        return
    if not overwrite:
        raise InterlaceError(f"{shown} is not empty: overwrite=True (--overwrite) replaces it")
    if not {OPEN_CLIP_CONFIG, "config.json"} & set(names):
        raise InterlaceError(f"{shown} holds something that is not a saved model: not replaced")


def _write_open_clip(model: LoadedModel, folder: Path) -> None:
    tensors, config = to_open_clip(model.state, model.spec)
    if isinstance(model.tokenizer, TextTokenizer):
        config["text_cfg"].update(model.tokenizer.save(folder, "open_clip"))
    preprocess = {"mode": "RGB", **model.preprocess.to_dict()}
    write_json(folder / OPEN_CLIP_CONFIG, {"model_cfg": config, "preprocess_cfg": preprocess})
    write_json(folder / SETTINGS, {"template": model.template})
    save_file(tensors, folder / OPEN_CLIP_WEIGHTS[0], metadata={"format": "pt"})


def _write_hugging_face(model: LoadedModel, folder: Path) -> None:
    tensors, config = to_hugging_face(model.state, model.spec)
    settings: dict[str, Any] = {"template": model.template}
    if isinstance(model.tokenizer, TextTokenizer):
        saved = model.tokenizer.save(folder, "hf")
        clean = saved.get("tokenizer_kwargs", {}).get("clean")
        settings.update({"clean": clean} if clean else {})
    write_json(folder / "config.json", config)
    write_json(
        folder / "preprocessor_config.json",
        _image_processor(model.preprocess, "CLIP" if model.spec.image.class_token else "Siglip"),
    )
    write_json(folder / SETTINGS, settings)
    save_file(tensors, folder / HUGGING_FACE_WEIGHTS[0], metadata={"format": "pt"})


def _image_processor(preprocess: Preprocess, family: str) -> dict[str, Any]:
    """Return the image constants as transformers' image processors state them."""
    if preprocess.resize_mode == "longest":
        raise InterlaceError(
            "transformers' image processors cannot fit an image inside the square and fill the "
            "rest, as resize_mode 'longest' does: save as 'open_clip'"
        )
    square = {"height": preprocess.size, "width": preprocess.size}
    crop = preprocess.resize_mode == "shortest"
    return {
        "image_processor_type": f"{family}ImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": preprocess.size} if crop else square,
        "resample": {"bilinear": 2, "bicubic": 3}[preprocess.interpolation],
        "do_center_crop": crop,
        **({"crop_size": square} if crop else {}),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocess.mean),
        "image_std": list(preprocess.std),
        "do_convert_rgb": True,
    }
