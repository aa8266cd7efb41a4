from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib._pylab_helpers import Gcf
from PIL import Image, ImageColor

from interlace.errors import InterlaceError
from interlace.evaluation.plots import Example, GainRow, confusion_png, gain_png
from interlace.evaluation.plots.drawing import ADAPTED, MORE_ADAPTED, ZERO_SHOT

BASE = GainRow("base", [0.4, 0.5, 0.6], [[0.7, 0.7, 0.7]])
NOVEL = GainRow("novel", [0.5, 0.5, 0.5], [[0.3, 0.5, 0.7]])
HM = GainRow("HM", [0.44, 0.5, 0.55], [[0.42, 0.58, 0.7]], (0.5, 2 * 0.7 * 0.5 / 1.2))


def is_drawn(path: Path) -> bool:
    pixels = np.asarray(Image.open(path).convert("L"))
    return bool(pixels.std() > 5)


def height(path: Path) -> int:
    with Image.open(path) as image:
        return image.height


@pytest.mark.parametrize("n_classes", [1, 3, 30, 150])
def test_confusion_of_any_size(tmp_path: Path, n_classes: int) -> None:
    confusion = torch.arange(n_classes**2).view(n_classes, n_classes) % 5
    names = [f"a class with a long name {index}" for index in range(n_classes)]
    confusion_png(tmp_path / "c.png", confusion, names, "title")
    assert is_drawn(tmp_path / "c.png")


def test_confusion_without_errors_or_without_images(tmp_path: Path) -> None:
    for confusion in (np.eye(30), np.zeros((30, 30))):
        confusion_png(tmp_path / "c.png", confusion, [str(index) for index in range(30)])
        assert is_drawn(tmp_path / "c.png")


def test_confusion_needs_a_name_per_class(tmp_path: Path) -> None:
    with pytest.raises(InterlaceError, match=r"\[2, 2\] for 1 class names"):
        confusion_png(tmp_path / "c.png", [[1, 0], [0, 1]], ["cat"])


def test_bars_may_stand_elsewhere_than_at_the_means() -> None:
    assert [height for _, height in BASE.bars()] == [pytest.approx(0.5), pytest.approx(0.7)]
    # as those of the HM do, which is that of the averages
    assert [height for _, height in HM.bars()] == [0.5, 2 * 0.7 * 0.5 / 1.2]


def test_gain_with_and_without_examples(tmp_path: Path) -> None:
    image = Image.new("RGB", (30, 20), "red")
    examples = [Example(image, "cat", ("dog", "cat"))] * 7
    rows = [BASE, NOVEL, HM]
    gain_png(tmp_path / "with.png", rows, title="t", methods=["mail"], examples=examples)
    gain_png(tmp_path / "without.png", [GainRow("top-1", [0.0], [[0.0]])])
    assert is_drawn(tmp_path / "with.png")
    assert is_drawn(tmp_path / "without.png")
    assert height(tmp_path / "with.png") > height(tmp_path / "without.png")
    # pyplot, whose figures are global state, knows of none
    assert not Gcf.figs


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([GainRow("base", [0.5], [[0.5, 0.6]])], "'base': 1 zero-shot and 2 adapted"),
        ([GainRow("base", [0.5], [])], "'base': 0 adapted, 1 methods"),
        ([GainRow("base", [], [[]])], "no value to average"),
    ],
)
def test_rows_that_cannot_be_drawn(tmp_path: Path, rows: list[GainRow], message: str) -> None:
    with pytest.raises(InterlaceError, match=message):
        gain_png(tmp_path / "g.png", rows)


def test_gain_of_several_methods_has_a_bar_for_each(tmp_path: Path) -> None:
    rows = [GainRow("base", [0.4, 0.5], [[0.7, 0.8], [0.6, 0.6]])]
    image = Image.new("RGB", (30, 20), "red")
    examples = [Example(image, "cat", ("dog", "cat", "cow"))]
    gain_png(tmp_path / "g.png", rows, methods=["mmrl++", "mail"], examples=examples)
    with Image.open(tmp_path / "g.png") as picture:
        colors = {color for _, color in picture.convert("RGB").getcolors(10**6) or ()}
    assert {ImageColor.getrgb(own) for own in (ZERO_SHOT, ADAPTED, MORE_ADAPTED[0])} <= colors
    assert ImageColor.getrgb(MORE_ADAPTED[1]) not in colors
    many = [GainRow("base", [0.4], [[0.7]] * 9)]
    with pytest.raises(InterlaceError, match="9 methods: the picture has room for 1 to 4"):
        gain_png(tmp_path / "many.png", many, methods=["m"] * 9)
