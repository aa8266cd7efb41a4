"""From an RGB image to the tensor a backbone was trained on."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional

from interlace.errors import InterlaceError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Transform = Callable[[Image.Image], Tensor]

_MODES: Mapping[str, tuple[str, ...]] = {
    "interpolation": ("bicubic", "bilinear"),
    "resize_mode": ("shortest", "squash", "longest"),
}


@dataclass(frozen=True, slots=True)
class Preprocess:
    """The image constants of a backbone, in the words of open_clip's `preprocess_cfg`.

    The defaults are those of OpenAI's CLIP ViT-B/16.

    Attributes:
        size: Side of the square input, in pixels.
        mean: Mean of the red, green and blue channel, in [0, 1].
        std: Standard deviation of each channel.
        interpolation: `"bicubic"` or `"bilinear"`.
        resize_mode: `"shortest"` scales the shorter side to `size` and crops the centre;
            `"squash"` scales both sides to `size`; `"longest"` scales the longer side to `size`
            and fills the rest.
        fill_color: Grey value in 0..255 that `"longest"` fills with.
    """

    size: int = 224
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize_mode: Literal["shortest", "squash", "longest"] = "shortest"
    fill_color: int = 0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InterlaceError(f"preprocess size = {self.size}: must be 1 or more pixels")
        for name, allowed in _MODES.items():
            if getattr(self, name) not in allowed:
                raise InterlaceError(
                    f"preprocess {name} = '{getattr(self, name)}': must be "
                    f"{' or '.join(map(repr, allowed))}"
                )

    def eval_transform(self) -> Transform:
        """Makes the deterministic transform, equal to open_clip's for evaluation.

        Returns:
            A function from a PIL RGB image to a float32 tensor [3, size, size].
        """
        return v2.Compose([*self._resize(), *self._to_tensor()])

    def train_transform(
        self, scale: tuple[float, float] = (0.5, 1.0), flip: bool = True
    ) -> Transform:
        """Makes the augmenting transform: a random crop, resized, and a random flip.

        With a scale of 1 nothing is cropped: images are resized as for evaluation.

        Its random numbers are torch's; `loader.batches` seeds them for each sample.

        Args:
            scale: Least and greatest area of the crop, as fractions of the image's.
            flip: Whether to mirror every other image, by chance.

        Returns:
            A function from a PIL RGB image to a float32 tensor [3, size, size].
        """
        fit: list[nn.Module] = self._resize()
        if scale[0] < 1:
            mode = self._interpolation()
            fit = [v2.RandomResizedCrop(self.size, scale, interpolation=mode, antialias=True)]
        mirror = [v2.RandomHorizontalFlip()] if flip else []
        return v2.Compose([*fit, *mirror, *self._to_tensor()])

    def to_dict(self) -> dict[str, Any]:
        """Gives the fields as plain JSON values."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocess":
        """Reverses `to_dict`.

        Raises:
            InterlaceError: A field is unknown, or has a value that is not allowed.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise InterlaceError(
                f"preprocess values: unknown '{unknown[0]}': known are {', '.join(known)}"
            )
        triples = {name: _triple(values[name]) for name in ("mean", "std") if name in values}
        return cls(**{**values, **triples})

    def _interpolation(self) -> InterpolationMode:
        return InterpolationMode(self.interpolation)

    def _resize(self) -> list[nn.Module]:
        side, mode = [self.size, self.size], self._interpolation()
        if self.resize_mode == "squash":
            return [v2.Resize(side, interpolation=mode, antialias=True)]
        if self.resize_mode == "longest":
            return [_FitInside(self.size, mode, self.fill_color)]
        return [
            v2.Resize([self.size], interpolation=mode, antialias=True),
            v2.CenterCrop(side),
        ]

    def _to_tensor(self) -> list[nn.Module]:
        return [
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(self.mean), list(self.std)),
        ]


class _FitInside(nn.Module):
    """Scales an image until its longer side is `size`, and pads the shorter one evenly."""

    def __init__(self, size: int, interpolation: InterpolationMode, fill: int) -> None:
        super().__init__()
        self.size, self.interpolation, self.fill = size, interpolation, fill

    def forward(self, image: Image.Image) -> Image.Image:
        """Gives an image of size x size pixels."""
        scale = self.size / max(image.size)
        width, height = (round(side * scale) for side in image.size)
        image = functional.resize(
            image, [height, width], interpolation=self.interpolation, antialias=True
        )
        left, top = (self.size - width) // 2, (self.size - height) // 2
        padding = [left, top, self.size - width - left, self.size - height - top]
        return functional.pad(image, padding, fill=self.fill)


def _triple(values: Any) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(value) for value in values)
    except (TypeError, ValueError):
        raise InterlaceError(f"preprocess mean and std: {values!r} is not three numbers") from None
    return red, green, blue
