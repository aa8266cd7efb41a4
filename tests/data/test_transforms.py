import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from interlace.backbone.preprocess import Preprocess
from interlace.errors import InterlaceError

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def photo(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [(80, 50), (50, 81), (64, 64), (20, 31), (300, 7)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize_mode", ["shortest", "squash", "longest"])
def test_evaluation_equals_open_clip(
    size: tuple[int, int], interpolation: str, resize_mode: str
) -> None:
    preprocess = Preprocess(32, MEAN, STD, interpolation, resize_mode, 7)  # type: ignore[arg-type]
    reference = open_clip.image_transform(
        32, False, MEAN, STD, resize_mode, interpolation, fill_color=7
    )
    image = photo(*size)
    ours = preprocess.eval_transform()(image)
    assert ours.shape == (3, 32, 32)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, reference(image), rtol=0, atol=1e-6)


def test_training_crops_flips_and_normalises() -> None:
    torch.manual_seed(0)
    transform = Preprocess(32, MEAN, STD).train_transform()
    first, second = transform(photo(80, 50)), transform(photo(80, 50))
    assert first.shape == (3, 32, 32)
    assert not torch.equal(first, second)


def test_the_whole_image_without_a_flip_is_a_plain_resize() -> None:
    preprocess = Preprocess(32, MEAN, STD)
    image = photo(64, 64)
    whole = preprocess.train_transform(scale=(1.0, 1.0), flip=False)
    ratio_one = preprocess.eval_transform()(image)
    # the crop's side ratio is still random: fixed here by asking for it often enough
    torch.manual_seed(0)
    assert any(torch.allclose(whole(image), ratio_one, atol=1e-5) for _ in range(50))


def test_dict_round_trip_and_defaults() -> None:
    preprocess = Preprocess(32, MEAN, STD, "bilinear", "squash", 3)
    assert Preprocess.from_dict(preprocess.to_dict()) == preprocess
    assert Preprocess.from_dict({"size": 64}) == Preprocess(64)
    assert Preprocess().mean == open_clip.OPENAI_DATASET_MEAN


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "size = 0"),
        ({"sise": 1}, "unknown 'sise'"),
        ({"interpolation": "nearest"}, "'nearest': must be 'bicubic' or 'bilinear'"),
        ({"mean": [1, 2]}, "not three numbers"),
        ({"std": None}, "not three numbers"),
    ],
)
def test_bad_values(values: dict[str, object], message: str) -> None:
    with pytest.raises(InterlaceError, match=message):
        Preprocess.from_dict(values)
