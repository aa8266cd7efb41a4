"""The contact sheet shows what was found, whatever is missing."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from interlace.search.gallery import Hit
from interlace.search.sheet import CAPTION, CELL, GAP, contact_sheet


def encoded(color, size):
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def cell(sheet, number):
    left = 2 * GAP + (CELL + GAP) + number % 5 * (CELL + GAP)
    top = GAP + number // 5 * (CELL + CAPTION + GAP)
    return np.asarray(sheet)[top : top + CELL + CAPTION, left : left + CELL]


@pytest.mark.parametrize("query", ["a very long query " * 20, Image.new("RGB", (900, 3), "red")])
def test_seven_hits_take_two_rows_and_a_missing_thumbnail_leaves_a_frame(query):
    hits = [Hit("", 0.9 - i / 10, "a label that is far too long " * 3, str(i)) for i in range(7)]
    sizes = [(160, 40), (3, 3), (1, 160), (64, 64), (160, 160), (50, 20)]
    small = {str(i): encoded((0, 0, 200), size) for i, size in enumerate(sizes)}
    sheet = contact_sheet(query, hits, small)
    assert sheet.size[1] == 2 * (CELL + CAPTION + GAP) + GAP
    for number in range(7):
        pixels = cell(sheet, number)
        blue = (pixels[:CELL] == (0, 0, 200)).all(-1).sum()
        assert (blue > 0) == (number < 6)
        assert (pixels[CELL + 1 :] < 100).any(), "no rank and score under the picture"
    assert (cell(sheet, 1)[:CELL] == (0, 0, 200)).all(-1).sum() == 159**2  # 3 pixels, 53 times each
    assert (cell(sheet, 7) == 255).all()


def test_without_hits_the_sheet_says_so():
    sheet = contact_sheet("a rocket", [], {})
    assert (cell(sheet, 0)[:30] < 150).any()
