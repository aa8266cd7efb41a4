"""Published weights, against the stock libraries. Needs the network: ``pytest -m network``."""

from __future__ import annotations

import open_clip
import pytest
import torch
from transformers import AutoModel

from interlace import load
from tests.backbone.families import Stock

pytestmark = pytest.mark.network

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
TEXTS = ["a photo of a cat.", "two dogs on a beach", "It's raining, again!"]


@pytest.mark.parametrize(
    ("model", "tag"),
    [
        ("ViT-B-16", "openai"),
        ("ViT-B-32", "laion2b_s34b_b79k"),
        ("ViT-B-16-SigLIP", "webli"),
        ("ViT-B-16-SigLIP2", "webli"),
    ],
)
def test_open_clip_tags(model: str, tag: str) -> None:
    ours = load(f"{model}:{tag}")
    quick_gelu = {"force_quick_gelu": True} if tag == "openai" else {}
    stock, _, transform = open_clip.create_model_and_transforms(model, tag, **quick_gelu)
    assert ours.tokenizer is not None
    ids = ours.tokenizer(TEXTS)
    assert torch.equal(ids, open_clip.get_tokenizer(model)(TEXTS))
    _compare(ours, Stock(stock.eval(), {}), ids)
    assert tuple(transform.transforms[-1].mean) == ours.preprocess.mean


@pytest.mark.parametrize(
    "repository", ["openai/clip-vit-base-patch16", "google/siglip-base-patch16-224"]
)
def test_transformers_repositories(repository: str) -> None:
    ours = load(f"hf:{repository}")
    assert ours.tokenizer is not None
    _compare(ours, Stock(AutoModel.from_pretrained(repository).eval(), {}), ours.tokenizer(TEXTS))


def _compare(ours: torch.nn.Module, stock: Stock, ids: torch.Tensor) -> None:
    size = ours.spec.image.image_size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours.encode_image(images), stock.image(images), **TOLERANCE)
        torch.testing.assert_close(ours.encode_text(ids), stock.text(ids), **TOLERANCE)
