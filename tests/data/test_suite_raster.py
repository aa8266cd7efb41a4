"""Pictures as whole numbers: the hash, the compositing, and that no floats are in it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from interlace.data.datasets.suite import capture, prints, textures
from interlace.data.datasets.suite.chance import Chance, mixed
from interlace.data.datasets.suite.grounds import GROUNDS, ground
from interlace.data.datasets.suite.raster import (
    PIXEL,
    SIDE,
    blurred,
    cosine,
    cut_out,
    enlarged,
    flat,
    paste,
    root,
    shrunk,
    sine,
    tinted,
)

CENTRE = (SIDE * PIXEL // 2, SIDE * PIXEL // 2)


@pytest.fixture(scope="module")
def drawing():
    """A red L on white with a hole that white does not reach from outside."""
    rgb = np.full((64, 64, 3), 255, np.uint8)
    rgb[10:54, 12:24] = rgb[42:54, 12:50] = (200, 30, 20)
    rgb[46:50, 30:40] = 255
    return rgb


def laid(sprite, **how):
    canvas = flat((10, 20, 30))
    paste(canvas, sprite, 40 * PIXEL, CENTRE, **how)
    return canvas


def test_the_hash_is_the_published_one():
    assert mixed(0) == 0xE220A8397B1DCDAF  # first number of splitmix64 from 0


def test_draws_follow_from_the_words_alone():
    assert Chance("a", 1).bits() == Chance("a", 1).bits() != Chance("a", 2).bits()
    own = Chance("set", "train", 3)
    assert [own.below(10) for _ in range(8)] == [0, 6, 9, 2, 7, 3, 5, 4]
    assert sorted(own.shuffled(range(20))) == list(range(20))
    assert own.levels(5, 4).tolist() == [4, 0, 3, 0]


def test_draws_are_spread_evenly():
    own = Chance("spread")
    counts = np.bincount([own.below(6) for _ in range(6000)])
    assert counts.min() > 850 and counts.max() < 1150
    field = own.bell(30, 100, 100)
    assert abs(field.mean()) < 1 and abs(field.std() - 30) < 1.5
    assert set(own.levels(3, 500).tolist()) == {0, 1, 2}


@pytest.mark.parametrize("degrees", [0, 1, 45, 90, 135, 200, 359, -30, 400])
def test_sines(degrees):
    assert sine(degrees) == round(65536 * math.sin(math.radians(degrees)))
    assert cosine(degrees) == round(65536 * math.cos(math.radians(degrees)))


def test_roots():
    values = np.array([0, 1, 2, 3, 4, 99, 100, 10**10, 2**40 - 1])
    assert root(values).tolist() == [math.isqrt(int(v)) for v in values]


def test_paper_is_cut_away_and_holes_stay(drawing):
    alpha = cut_out(drawing)[1:-1, 1:-1, 3]
    assert set(np.unique(alpha)) == {0, 255}
    assert alpha[0, 0] == 0 and alpha[20, 40] == 0  # the paper
    assert alpha[20, 15] == 255 and alpha[48, 35] == 255  # the ink, and the hole in it


def test_a_paste_covers_what_it_should(drawing):
    canvas = laid(cut_out(drawing))
    assert canvas[0, 0].tolist() == [10, 20, 30]
    assert canvas[20, 15].tolist() == [200, 30, 20]
    assert canvas.min() >= 0 and canvas.max() <= 255


def test_turns_and_mirrors_are_exact_to_a_step(drawing):
    sprite = cut_out(drawing)
    plain = laid(sprite)
    for quarter in (1, 2, 3):
        turned = laid(sprite, angle=90 * quarter)
        assert np.abs(turned - np.rot90(plain, quarter)).max() <= 1
    assert np.abs(laid(sprite, mirrored=True) - plain[:, ::-1]).max() <= 1


def test_a_paste_beyond_the_canvas_is_cut_or_nothing(drawing):
    canvas = flat((1, 2, 3))
    paste(canvas, cut_out(drawing), 20 * PIXEL, (-100 * PIXEL, 0))
    assert (canvas == (1, 2, 3)).all()
    paste(canvas, cut_out(drawing), 40 * PIXEL, (0, 0), 30)
    assert not (canvas[:24, :24] == (1, 2, 3)).all() and (canvas[40:, 40:] == (1, 2, 3)).all()


def test_a_tint_keeps_the_shape(drawing):
    sprite = cut_out(drawing)
    found = tinted(sprite, (0, 100, 200))
    assert (found[..., 3] == sprite[..., 3]).all()
    assert found[49, 36].tolist()[1:3] == [100, 200]  # what was white takes all of the colour


def test_blurs_and_means_keep_the_lightness():
    canvas = Chance("noise").levels(256, 48, 48, 3)
    assert abs(blurred(canvas, 3).mean() - canvas.mean()) < 2
    assert shrunk(canvas, 2).shape == (24, 24, 3)
    assert abs(shrunk(canvas, 4).mean() - canvas.mean()) < 1
    small = np.array([[0, 100], [200, 300]])
    large = enlarged(small, 9)
    assert large[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 100, 200, 300]
    assert (np.diff(large, axis=1) >= 0).all()


@pytest.mark.parametrize("kind", GROUNDS)
def test_grounds_are_whole_numbers(kind):
    found = ground(Chance(kind), kind)
    assert found.dtype == np.int64 and found.shape == (48, 48, 3)
    assert 0 <= found.min() <= found.max() <= 255


@pytest.mark.parametrize("name", [*capture.CONDITIONS, *prints.PROCESSES, *textures.TEXTURES])
def test_what_is_done_to_a_picture_is_whole_and_changes_it(name, drawing):
    scene = laid(cut_out(drawing))
    if name in capture.CONDITIONS:
        found = capture.captured(scene, name, Chance(name))
    elif name in prints.PROCESSES:
        found = prints.printed(scene, prints.PROCESSES[name], Chance(name))
    else:
        found = textures.surface(name, Chance(name))
    assert found.dtype == np.int64 and found.shape == (48, 48, 3)
    assert 0 <= found.min() <= found.max() <= 255
    assert np.abs(found - scene).mean() > 2
    assert found.std() > 1
