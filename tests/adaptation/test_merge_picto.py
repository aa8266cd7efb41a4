"""What merges, merges on the embedded model: stock open_clip gives the adapted model's answers."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image

import interlace
from interlace import methods
from interlace.methods import Method

METHODS = ("clip_lora", "mail", "mail++")


@cache
def half() -> interlace.FewShotTask:
    return interlace.FewShotTask.load("picto/activities", shots=1, seed=1).classes_subset("base")


def answers(folder: Path, images: list, adapted: interlace.AdaptedModel) -> torch.Tensor:
    """What stock open_clip says of images among the classes: probabilities [B, C]."""
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokenize = open_clip.get_tokenizer(
        f"local-dir:{folder}", bpe_path=str(next(folder.glob("bpe*")))
    )
    texts = tokenize([adapted.template.format(name) for name in adapted.classes])
    pixels = torch.stack([transform(image) for image in images])
    model.eval()
    with torch.no_grad():
        image, text, scale = model(pixels, texts)
    return (scale * image @ text.T).softmax(dim=1)


def test_these_are_all_that_merge() -> None:
    clip = interlace.load("picto")
    found = {
        name
        for name in methods.available()
        if methods.get(name).__module__.startswith("interlace.")
        and methods.get(name).score is Method.score
        and all(not edit or edit.tokens is None for edit in methods.create(name, clip).edits())
    }
    assert found == {*METHODS, "zero_shot"}


@pytest.mark.parametrize("method", METHODS)
def test_the_merged_model_leaves_as_an_open_clip_model(method: str, tmp_path: Path) -> None:
    adapted = interlace.fit(
        "picto", half(), method, preset=None, device="cpu",
        epochs=1, batch_size=16, lr=1e-2, warmup_epochs=0,
    )  # fmt: skip
    images = [Image.open(io.BytesIO(record.image)).convert("RGB") for record in half().test[:12]]
    expected = adapted.predict_proba(images)
    plain = interlace.fit("picto", half(), "zero_shot", device="cpu").predict_proba(images)
    assert (expected - plain).abs().max() > 0.01, "nothing was learnt"
    merged = adapted.merge()
    folder = merged.save(tmp_path / "merged", format="open_clip")
    found = answers(folder, images, adapted)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert torch.equal(found.argmax(dim=1), expected.argmax(dim=1))
    assert interlace.load(folder).fingerprint() == merged.fingerprint()
