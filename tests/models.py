"""Tiny random models of each kind, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from interlace.backbone.dual import DualEncoder
from interlace.backbone.spec import ImageSpec, Spec, TextSpec

CONTEXT = 16
VOCABULARY = 64


def tokenize(texts: Sequence[str]) -> Tensor:
    """Hash words to ids; begin- and end-of-text are the last two of the vocabulary."""
    rows = torch.zeros(len(texts), CONTEXT, dtype=torch.long)
    for row, text in zip(rows, texts, strict=True):
        words = [_word(word) for word in text.split()]
        ids = [VOCABULARY - 2, *words, VOCABULARY - 1]
        row[: len(ids)] = torch.tensor(ids)
    return rows


def _word(word: str) -> int:
    return 1 + int.from_bytes(word.encode(), "little") % (VOCABULARY - 3)


SPECS = {
    "clip": Spec(
        image=ImageSpec(width=32, depth=4, heads=2, hidden=64, image_size=16, patch_size=8),
        text=TextSpec(
            width=24, depth=4, heads=2, hidden=48, vocab_size=VOCABULARY, context_length=CONTEXT
        ),
        embed_dim=20,
    ),
    "unequal": Spec(
        image=ImageSpec(
            width=48,
            depth=6,
            heads=4,
            hidden=96,
            image_size=16,
            patch_size=8,
            activation="quick_gelu",
        ),
        text=TextSpec(
            width=24,
            depth=3,
            heads=2,
            hidden=48,
            vocab_size=VOCABULARY,
            context_length=CONTEXT,
            activation="quick_gelu",
        ),
        embed_dim=16,
    ),
    "siglip": Spec(
        image=ImageSpec(
            width=32,
            depth=4,
            heads=2,
            hidden=64,
            image_size=16,
            patch_size=8,
            class_token=False,
            ln_pre=False,
            patch_bias=True,
            pool="map",
            projection=False,
            activation="gelu_tanh",
            norm_eps=1e-6,
        ),
        text=TextSpec(
            width=32,
            depth=4,
            heads=2,
            hidden=64,
            vocab_size=VOCABULARY,
            context_length=CONTEXT,
            causal=False,
            begins_with_token=False,
            pool="last",
            projection_bias=True,
            activation="gelu_tanh",
            norm_eps=1e-6,
        ),
        embed_dim=32,
        logit_bias=True,
    ),
    "mean": Spec(
        image=ImageSpec(
            width=32,
            depth=3,
            heads=2,
            hidden=64,
            image_size=16,
            patch_size=8,
            class_token=False,
            pool="mean",
        ),
        text=TextSpec(
            width=24,
            depth=3,
            heads=2,
            hidden=48,
            vocab_size=VOCABULARY,
            context_length=CONTEXT,
            pool="eos",
            eos_id=VOCABULARY - 1,
        ),
        embed_dim=20,
    ),
}


def tiny(kind: str = "clip", seed: int = 0) -> DualEncoder:
    """A random model; every parameter is drawn, so that no bias or scale is a silent default."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        clip = DualEncoder(SPECS[kind], source=f"tiny:{kind}", tokenizer=tokenize)
        draw_parameters(clip)
    return clip


def draw_parameters(clip: DualEncoder) -> None:
    """Give every parameter but the temperature a random value."""
    for name, parameter in clip.named_parameters():
        if name == "logit_scale":
            continue
        noise = torch.randn_like(parameter)
        with torch.no_grad():
            if "ln_" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif parameter.ndim > 1:
                parameter.copy_(noise * parameter.shape[-1] ** -0.5)
            else:
                parameter.copy_(0.2 * noise)


def images(clip: DualEncoder, count: int = 3, seed: int = 1) -> Tensor:
    """Random preprocessed images [count, 3, size, size]."""
    size = clip.spec.image.image_size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def ids(texts: Sequence[str] = ("a red fox", "a very large grey owl", "an eel")) -> Tensor:
    """Token ids of texts of different length."""
    return tokenize(texts)


def with_tokenizer() -> DualEncoder:
    """A small random CLIP with CLIP's own tokenizer, so that it can be saved and loaded."""
    from interlace.backbone.tokenizer import byte_pair_tokenizer

    with torch.random.fork_rng():
        torch.manual_seed(0)
        text = replace(SPECS["clip"].text, vocab_size=49408, context_length=77)
        return DualEncoder(
            replace(SPECS["clip"], text=text), tokenizer=byte_pair_tokenizer(text.context_length)
        )
