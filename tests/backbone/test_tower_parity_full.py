"""Parity at the sizes of published models, with random values."""

from __future__ import annotations

import copy
from collections.abc import Callable

import open_clip
import pytest
import torch
from torch import Tensor

from interlace import DualEncoder
from interlace.backbone.checkpoints.families import from_open_clip, open_clip_spec

#: Largest difference allowed, as a share of the features' own scale: here they are not near 1.
TOLERANCE = 1e-5


def _compare(name: str, quick_gelu: bool, ids: Callable[[int], Tensor]) -> DualEncoder:
    config = open_clip.get_model_config(name)
    settings = {**copy.deepcopy(config), "quick_gelu": quick_gelu}
    kind = open_clip.CustomTextCLIP if settings.pop("custom_text", False) else open_clip.CLIP
    torch.manual_seed(0)
    stock = kind(**settings).eval()
    with torch.no_grad():
        for parameter in stock.parameters():
            if parameter.ndim == 1:  # stock starts biases at 0 and LayerNorms at 1
                parameter.add_(0.1 * torch.randn_like(parameter))
    state = stock.state_dict()
    spec = open_clip_spec(state, config, quick_gelu)
    ours = DualEncoder(spec)
    ours.load_state_dict(from_open_clip(state, spec))
    images = torch.randn(2, 3, spec.image.image_size, spec.image.image_size)
    texts = ids(spec.text.vocab_size)
    with torch.no_grad():
        pairs = (
            (ours.encode_image(images), stock.encode_image(images)),
            (ours.encode_text(texts), stock.encode_text(texts)),
        )
    for found, expected in pairs:
        assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
    return ours


def test_vit_b_16() -> None:
    def ids(vocabulary: int) -> Tensor:
        texts = torch.randint(1, vocabulary - 2, (2, 77))
        texts[0, 9] = texts[1, 30] = vocabulary - 1
        return texts

    clip = _compare("ViT-B-16", True, ids)
    assert sum(p.numel() for p in clip.parameters()) == 149_620_737


def test_vit_b_16_siglip(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = _compare("ViT-B-16-SigLIP", False, lambda size: torch.randint(1, size, (2, 64)))
    assert clip.spec.image.pool == "map"
    assert sum(p.numel() for p in clip.parameters()) == 203_155_970
