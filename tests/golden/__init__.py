"""Reference numbers: a tiny random CLIP, and what each method makes of it.

``clip.npz`` holds the weights under OpenAI's key names, one batch and the frozen features; the
others a method's parameters (``params/``), outputs (``before/``, ``after/``), first gradients
(``grads/``), the losses of three AdamW steps and their settings (``meta``, JSON).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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


def check_three_steps(
    method: nn.Module,
    loss_of: Callable[[], Tensor],
    name: str,
    *,
    prefix: str = "",
    learning_rate: float,
) -> None:
    """Train three AdamW steps and compare losses and first gradients with ``<name>.npz``."""
    gradients, losses = arrays(name, f"{prefix}grads/"), []
    assert set(gradients) == {n for n, _ in method.named_parameters()}
    optimizer = torch.optim.AdamW(method.parameters(), lr=learning_rate, weight_decay=5e-4)
    for step in range(4):
        loss = loss_of()
        losses.append(loss.item())
        if step == 3:
            break
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            for key, parameter in method.named_parameters():
                difference = (parameter.grad - gradients[key]).norm() / gradients[key].norm()
                assert difference < 1e-3, (key, difference)
        optimizer.step()
    expected = arrays(name)[f"{prefix}losses"]
    torch.testing.assert_close(torch.tensor(losses).double(), expected, rtol=1e-4, atol=0)
