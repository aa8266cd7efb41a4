"""From an RGB image to the tensor a backbone was trained on."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from interlace._util.text import printable
from interlace.errors import InterlaceError

MAX_INPUT_SIDE = 4096
"""Pixels that the side of a model's input may have; the largest in use is about 1,000."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Transform = Callable[[Image.Image], Tensor]

_MODES: Mapping[str, tuple[str, ...]] = {
    "interpolation": ("bicubic", "bilinear"),
    "resize_mode": ("shortest", "squash", "longest"),
}


@dataclass(frozen=True, slots=True)
class Preprocess:
    """The image constants of a backbone, in the words of open_clip's ``preprocess_cfg``.

    The defaults are those of OpenAI's CLIP ViT-B/16.

    Attributes:
        size: Side of the square input, in pixels.
        mean: Mean of the red, green and blue channel, in [0, 1].
        std: Standard deviation of each channel.
        interpolation: ``"bicubic"`` or ``"bilinear"``.
        resize_mode: ``"shortest"`` scales the shorter side to ``size`` and crops the centre;
            ``"squash"`` scales both sides to ``size``; ``"longest"`` scales the longer side to
            ``size`` and fills the rest.
        fill_color: Grey value in 0..255 that ``"longest"`` fills with.
    """

    size: int = 224
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize_mode: Literal["shortest", "squash", "longest"] = "shortest"
    fill_color: int = 0

    def __post_init__(self) -> None:
        _check_whole("size", self.size, 1, MAX_INPUT_SIDE)
        _check_whole("fill_color", self.fill_color, 0, 255)
        object.__setattr__(self, "mean", _triple("mean", self.mean))
        object.__setattr__(self, "std", _triple("std", self.std))
        if min(self.std) <= 0:
            raise InterlaceError(f"preprocess std = {list(self.std)}: must be more than 0")
        for name, allowed in _MODES.items():
            if getattr(self, name) not in allowed:
                raise InterlaceError(
                    f"preprocess {name} = '{getattr(self, name)}': must be "
                    f"{' or '.join(map(repr, allowed))}"
                )

    def eval_transform(self) -> Transform:
        """Make the deterministic transform, equal to open_clip's for evaluation.

        Returns:
            A function from a PIL RGB image to a float32 tensor [3, size, size].
        """
        return _Chain((self._resize(), _Normalize(self.mean, self.std)))

    def train_transform(
        self, scale: tuple[float, float] = (0.5, 1.0), flip: bool = True
    ) -> Transform:
        """Make the augmenting transform: a random crop, resized, and a random flip.

        With a scale of 1 nothing is cropped: images are resized as for evaluation.

        Its random numbers are torch's; ``loader.batches`` seeds them for each sample.

        Args:
            scale: Least and greatest area of the crop, as fractions of the image's.
            flip: Whether to mirror every other image, by chance.

        Returns:
            A function from a PIL RGB image to a float32 tensor [3, size, size].
        """
        crop = _RandomCrop(self.size, scale, self._filter()) if scale[0] < 1 else self._resize()
        mirror: tuple[_Step, ...] = (_flip,) if flip else ()
        return _Chain((crop, *mirror, _Normalize(self.mean, self.std)))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocess":
        """Undo :meth:`to_dict`.

        Raises:
            InterlaceError: A field is unknown, or has a value that is not allowed.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise InterlaceError(
                f"preprocess values: unknown '{unknown[0]}': known are {', '.join(known)}"
            )
        return cls(**values)

    def _filter(self) -> Image.Resampling:
        return Image.Resampling[self.interpolation.upper()]

    def _resize(self) -> "_Step":
        if self.resize_mode == "squash":
            return _Squash(self.size, self._filter())
        if self.resize_mode == "longest":
            return _FitInside(self.size, self._filter(), self.fill_color)
        return _FillCentre(self.size, self._filter())


# The steps below give the bits that torchvision's v2 transforms give on PIL images, and draw the
# same random numbers, without the seconds that importing torchvision takes. They are dataclasses
# so that other processes can be given them.

_Step = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True, slots=True)
class _Chain:
    """Steps from image to image, and a last one to a tensor."""

    steps: tuple[Any, ...]

    def __call__(self, image: Any) -> Any:
        for step in self.steps:
            image = step(image)
        return image


@dataclass(frozen=True, slots=True)
class _Normalize:
    """Make a normalised tensor [3, H, W] of an image."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, image: Image.Image) -> Tensor:
        values = torch.from_numpy(np.array(image)).permute(2, 0, 1).to(torch.float32)
        mean, std = (torch.tensor(three).view(-1, 1, 1) for three in (self.mean, self.std))
        return values.mul_(1.0 / 255).sub(mean).div_(std)


@dataclass(frozen=True, slots=True)
class _Squash:
    """Scale both sides to ``size``."""

    size: int
    filter: Image.Resampling

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.resize((self.size, self.size), self.filter)


@dataclass(frozen=True, slots=True)
class _FitInside:
    """Scale an image until its longer side is ``size``, and pads the shorter one evenly."""

    size: int
    filter: Image.Resampling
    fill: int

    def __call__(self, image: Image.Image) -> Image.Image:
        scale = self.size / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        page = Image.new("RGB", (self.size, self.size), (self.fill,) * 3)
        place = (self.size - width) // 2, (self.size - height) // 2
        page.paste(image.resize((width, height), self.filter), place)
        return page


@dataclass(frozen=True, slots=True)
class _FillCentre:
    """Scale an image until its shorter side is ``size``, and keeps the square in the middle."""

    size: int
    filter: Image.Resampling

    def __call__(self, image: Image.Image) -> Image.Image:
        size, (width, height) = self.size, image.size
        long = int(size * max(width, height) / min(width, height))
        new = (size, long) if width <= height else (long, size)
        left, top = (int(round((side - size) / 2.0)) for side in new)
        box = left, top, left + size, top + size
        if long * size <= max(_MANY * size * size, _FEW_PIXELS):
            return image.resize(new, self.filter).crop(box)
        return _part_resized(image, new, box, self.filter)


_MANY, _FEW_PIXELS = 8, 1 << 24
"""An image is cut before it is resized, and not after, where it would become longer than this many
squares and have more than so many pixels (64 MB)."""

_SUPPORT = 2  # pixels that a bicubic filter reaches to either side, at the coarser scale


def _part_resized(
    image: Image.Image, new: tuple[int, int], box: tuple[int, int, int, int], by: Image.Resampling
) -> Image.Image:
    """Return what ``image.resize(new, by).crop(box)`` gives, from the part that counts.

    Both in time and in memory the cost is that of the part. The result may differ by roundings:
    PIL chooses by the sizes which side it resizes first, and rounds between the two.
    """
    scales = tuple(old / side for old, side in zip(image.size, new, strict=True))
    edges = tuple(edge * scale for edge, scale in zip(box, scales * 2, strict=True))
    reach = [math.ceil(_SUPPORT * max(scale, 1)) + 1 for scale in scales]
    left, top = (max(0, math.floor(edges[i]) - reach[i]) for i in (0, 1))
    right, bottom = (min(image.size[i], math.ceil(edges[i + 2]) + reach[i]) for i in (0, 1))
    # PIL holds a box in 32 bits: near 0 these tell fractions of a pixel apart
    within = edges[0] - left, edges[1] - top, edges[2] - left, edges[3] - top
    size = box[2] - box[0], box[3] - box[1]
    return image.crop((left, top, right, bottom)).resize(size, by, within)


_RATIOS = (3.0 / 4.0, 4.0 / 3.0)
"""Bounds on width / height of a random crop."""


@dataclass(frozen=True, slots=True)
class _RandomCrop:
    """Cut out a random part and scales it to ``size``."""

    size: int
    scale: tuple[float, float]
    filter: Image.Resampling

    def __call__(self, image: Image.Image) -> Image.Image:
        left, top, width, height = self._draw(*image.size)
        part = image.crop((left, top, left + width, top + height))
        return part.resize((self.size, self.size), self.filter)

    def _draw(self, width: int, height: int) -> tuple[int, int, int, int]:
        narrow, wide = torch.log(torch.tensor(_RATIOS)).tolist()
        for _ in range(10):
            area = width * height * torch.empty(1).uniform_(*self.scale).item()
            ratio = torch.exp(torch.empty(1).uniform_(narrow, wide)).item()
            w, h = int(round(math.sqrt(area * ratio))), int(round(math.sqrt(area / ratio)))
            if 0 < w <= width and 0 < h <= height:
                top = int(torch.randint(0, height - h + 1, size=(1,)).item())
                left = int(torch.randint(0, width - w + 1, size=(1,)).item())
                return left, top, w, h
        # the middle, as wide or as high as may be
        if width / height < min(_RATIOS):
            w, h = width, int(round(width / min(_RATIOS)))
        elif width / height > max(_RATIOS):
            w, h = int(round(height * max(_RATIOS))), height
        else:
            w, h = width, height
        return (width - w) // 2, (height - h) // 2, w, h


def _flip(image: Image.Image) -> Image.Image:
    """Mirror an image with probability one half."""
    if torch.rand(1) >= 0.5:
        return image
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _check_whole(name: str, value: Any, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        shown = printable(repr(value))[:40]
        raise InterlaceError(
            f"preprocess {name} = {shown}: must be a whole number from {least} to {most}"
        )


def _triple(name: str, values: Any) -> tuple[float, float, float]:
    wrong = InterlaceError(
        f"preprocess {name}: {printable(repr(values))[:60]} is not three numbers"
    )
    try:
        if isinstance(values, str) or any(isinstance(value, bool | str) for value in values):
            raise wrong
        red, green, blue = (float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        raise wrong from None
    if not all(map(math.isfinite, (red, green, blue))):
        raise wrong
    return red, green, blue
