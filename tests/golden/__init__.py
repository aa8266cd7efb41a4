"""Reference numbers: a tiny random CLIP, and what each method makes of it.

``clip.npz`` holds the weights under OpenAI's key names, one batch and the frozen features; the
others a method's parameters (``params/``), outputs (``before/``, ``after/``), first gradients
(``grads/``), the losses of three AdamW steps and their settings (``meta``, JSON).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interlace.backbone.dual import DualEncoder

FOLDER = Path(__file__).parent


def arrays(name: str, prefix: str = "") -> dict[str, Tensor]:
    """Arrays of ``<name>.npz`` whose name starts with ``prefix``, which is cut off."""
    with np.load(FOLDER / f"{name}.npz") as archive:
        return {
            key[len(prefix) :]: torch.from_numpy(archive[key])
            for key in archive.files
            if key.startswith(prefix) and key != "meta"
        }


def meta(name: str) -> dict[str, Any]:
    """Sizes and settings of a method's run."""
    with np.load(FOLDER / f"{name}.npz") as archive:
        return json.loads(str(archive["meta"]))


def clip() -> DualEncoder:
    """The tiny random CLIP."""
    return DualEncoder.from_openai_state_dict(arrays("clip", "clip/"))
