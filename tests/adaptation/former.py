"""The first embedded model, by its shape: what the bundles kept under ``bundles/`` were fitted on.

Its weights are in the history of this repository and not in the package any more. The bundles stay
as they were written then, and are read here on a model of the same shape with random weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

import interlace
from interlace.backbone.dual import DualEncoder
from interlace.backbone.preprocess import Preprocess
from interlace.backbone.spec import ImageSpec, Spec, TextSpec
from tests import models

BUNDLES = Path(__file__).parent / "bundles"
SPEC = Spec(
    image=ImageSpec(width=128, depth=10, heads=4, hidden=512, image_size=48, patch_size=12),
    text=TextSpec(width=128, depth=8, heads=4, hidden=512, vocab_size=8192, context_length=32),
    embed_dim=192,
)
CONSTANTS = Preprocess(48, (0.75, 0.72, 0.7), (0.3, 0.3, 0.3), resize_mode="squash", fill_color=255)


def backbone() -> DualEncoder:
    """A random model of the shape and with the constants of the first embedded model."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        clip = DualEncoder(
            SPEC,
            source="former",
            tokenizer=interlace.load("picto").tokenizer,
            preprocess=CONSTANTS,
            template="a drawing of {}",
        )
        models.draw_parameters(clip)
    return clip


def bundle(name: str, folder: Path, clip: DualEncoder) -> Path:
    """A copy of a kept bundle that names ``clip`` as its backbone; the rest stays."""
    copy = Path(shutil.copytree(BUNDLES / f"format_1_{name}", folder / name))
    header = json.loads((copy / "bundle.json").read_text(encoding="utf-8"))
    header["backbone"]["fingerprint"] = clip.fingerprint()
    (copy / "bundle.json").write_text(json.dumps(header), encoding="utf-8")
    return copy
