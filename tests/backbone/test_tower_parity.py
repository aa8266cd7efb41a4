"""Our towers compute what the stock libraries compute, for small models of every family."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from interlace import load
from tests.backbone.families import FAMILIES, HF_CLIP, changed, inputs, of_clip

TOLERANCE = {"atol": 1e-5, "rtol": 0}


@pytest.mark.parametrize("family", FAMILIES)
def test_features_and_logits_are_those_of_the_stock_model(family: str, tmp_path: Path) -> None:
    stock = FAMILIES[family]()
    ours = load(stock.save(tmp_path / "model"))
    images, ids = inputs()
    with torch.no_grad():
        expected = stock.image(images), stock.text(ids), stock.logits(images, ids)
        found = ours.encode_image(images), ours.encode_text(ids), ours(images, ids)
    for theirs, mine in zip(expected, found, strict=True):
        assert theirs.std() > 0.1, "features so small that they agree with anything"
        torch.testing.assert_close(mine, theirs, **TOLERANCE)


@pytest.mark.parametrize(("eos", "place"), [(2, 6), (598, 3)])
def test_clip_reads_where_its_config_says_the_text_ends(
    eos: int, place: int, tmp_path: Path
) -> None:
    """The legacy rule reads the largest id, the present one the first end-of-text id."""
    stock = of_clip(changed(HF_CLIP, text_config__eos_token_id=eos))
    ours = load(stock.save(tmp_path / "model"))
    ids = torch.full((1, 12), 5)
    ids[0, 3], ids[0, 6], ids[0, 9] = 598, 599, 598
    assert ours.text.read_position(ids).tolist() == [place]
    with torch.no_grad():
        torch.testing.assert_close(ours.encode_text(ids), stock.text(ids), **TOLERANCE)
