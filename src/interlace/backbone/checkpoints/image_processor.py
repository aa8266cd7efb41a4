"""Image constants of checkpoints: what our transform supports is honoured, the rest refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlace.backbone.checkpoints.configs import sides
from interlace.backbone.preprocess import Preprocess
from interlace.backbone.spec import Spec
from interlace.errors import InterlaceError

#: What transformers' processors do where their file is silent, by family.
_PROCESSORS: dict[str, dict[str, Any]] = {
    "CLIP": {"do_center_crop": True, "do_convert_rgb": True},
    "Siglip": {
        "do_center_crop": False,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "resize": "squash",
    },
}
_RESAMPLING = {2: "bilinear", 3: "bicubic", "bilinear": "bilinear", "bicubic": "bicubic"}


def open_clip_preprocess(spec: Spec, config: Mapping[str, Any]) -> Preprocess:
    """Read the image constants of an open_clip ``preprocess_cfg`` or pretrained tag.

    Raises:
        InterlaceError: if the images are of another size than the model's.
    """
    side = spec.image.image_size
    size = config.get("size")
    if size is not None and tuple(sides(size)) != (side, side):
        raise InterlaceError(
            f"preprocess_cfg.size = {size}: the model reads images of {side} x {side} pixels"
        )
    known = ("mean", "std", "interpolation", "resize_mode", "fill_color")
    values = {key: config[key] for key in known if config.get(key) is not None}
    return Preprocess.from_dict({**Preprocess(side).to_dict(), **values})


def hugging_face_preprocess(spec: Spec, given: Mapping[str, Any]) -> Preprocess:
    """Read the image constants of a transformers image processor.

    Args:
        spec: the model, which says the family and the size where the file is silent.
        given: the processor's configuration, checked; empty where there is none.

    Raises:
        InterlaceError: if the processor does what our transform cannot.
    """
    kind = str(given.get("image_processor_type") or given.get("feature_extractor_type") or "")
    family = "CLIP" if spec.image.class_token else "Siglip"
    if kind.startswith(tuple(_PROCESSORS)):
        family = next(name for name in _PROCESSORS if kind.startswith(name))
    config = {**_PROCESSORS[family], **{k: v for k, v in given.items() if v is not None}}
    side = spec.image.image_size
    _refuse(config, kind)
    values: dict[str, Any] = Preprocess(side).to_dict()
    values["resize_mode"] = _resize_mode(config, side)
    values["interpolation"] = _interpolation(config.get("resample", 3))
    # what follows the resizing is (255 f x - mean) / std, on values x in [0, 1]
    factor = 255 * config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 255
    mean, std = config.get("image_mean", values["mean"]), config.get("image_std", values["std"])
    if not config.get("do_normalize", True):
        mean, std = 0.0, 1.0
    values["mean"] = [value / factor for value in _three(mean)]
    values["std"] = [value / factor for value in _three(std)]
    return Preprocess.from_dict(values)


def _refuse(config: Mapping[str, Any], kind: str) -> None:
    for name, wanted in (("do_resize", True), ("do_pad", False), ("rescale_offset", False)):
        if config.get(name, wanted) != wanted:
            raise InterlaceError(
                f"the image processor {kind or 'of this model'} says {name} = {config[name]}: "
                f"only {str(wanted).lower()} is supported"
            )
    if kind and not kind.startswith(tuple(_PROCESSORS)):
        silent = [
            name
            for name in ("size", "resample", "image_mean", "image_std", "do_center_crop")
            if name not in config
        ]
        if silent:
            raise InterlaceError(
                f"the image processor {kind} is not known here and leaves {silent[0]!r} to its "
                "own default: state it in preprocessor_config.json"
            )


def _resize_mode(config: Mapping[str, Any], side: int) -> str:
    """Return how images are resized to the model's square; other sizes and crops are refused."""
    size, crop = config.get("size"), config.get("crop_size")
    cropped = config["do_center_crop"]
    if size is None:
        mode = config.get("resize", "shortest")
    elif isinstance(size, int):  # the older way to state the shorter side, or SigLIP's square
        mode, size = config.get("resize", "shortest"), {"shortest_edge": size}
    elif set(size) == {"shortest_edge"}:
        mode = "shortest"
    else:
        mode = "squash" if set(size) == {"height", "width"} else ""
    found = set(size.values()) if size else {side}
    if cropped and crop is not None:
        found |= {crop} if isinstance(crop, int) else set(crop.values())
    if not mode or found != {side} or (mode == "shortest" and not cropped):
        what = f"size {size}, do_center_crop {cropped}" + (f", crop_size {crop}" if crop else "")
        raise InterlaceError(
            f"the image processor's {what}: supported are resizing to {side} x {side}, and the "
            f"shortest edge to {side} with a centre crop of {side}, as the model reads"
        )
    return mode


def _interpolation(resample: Any) -> str:
    if resample not in _RESAMPLING:
        names = {0: "nearest", 1: "lanczos", 4: "box", 5: "hamming"}
        raise InterlaceError(
            f"the image processor's resample = {resample!r} ({names.get(resample, 'unknown')}): "
            "expected 2 (bilinear) or 3 (bicubic)"
        )
    return _RESAMPLING[resample]


def _three(value: Any) -> list[float]:
    return [float(value)] * 3 if isinstance(value, int | float) else [float(v) for v in value]
