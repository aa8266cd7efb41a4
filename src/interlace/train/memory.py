"""How much memory a training step needs, and what to do if there is too little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil
import torch
from torch import Tensor

from interlace.backbone.edits import Edit
from interlace.backbone.prefix import PrefixState
from interlace.backbone.prompts import Prompts
from interlace.methods.base import Method

#: Share of the free memory a step may fill; the rest is for temporary tensors and other processes.
USABLE = 0.7
#: Texts a measurement runs on; what they need grows with the number of their positions.
_PROBE = 8


@dataclass(frozen=True)
class MemoryPlan:
    """What autograd keeps of a training step until its backward pass, in bytes.

    Attributes:
        images: kept of a whole batch.
        texts: kept of all texts at once.
        free: memory that the device has left.
        count: number of texts.
        chunk: texts that go through the tower at a time, each chunk recomputed in the backward
            pass; None for all at once.
    """

    images: int
    texts: int
    free: int
    count: int
    chunk: int | None = None

    def describe(self) -> str:
        """Return the plan as one line to print."""
        line = f"a step keeps about {_size(self.images + self.texts)} of activations"
        line += f" (images {_size(self.images)}, {self.count} texts {_size(self.texts)});"
        line += f" {_size(self.free)} free"
        if self.chunk is not None:
            line += f": texts go {self.chunk} at a time and are computed twice"
        if self.images > USABLE * self.free:
            line += "; the images alone may not fit: lower batch_size"
        return line


def plan(method: Method, batch_size: int, prompts: Prompts) -> MemoryPlan:
    """Measure on two images and a few texts what a step keeps, and fit it into the free memory.

    Args:
        method: the method, in training mode.
        batch_size: images of a step.
        prompts: what ``method.run_prompt_prefix`` returned.
    """
    clip, prefix = method.clip, prompts.prefix
    free, edits = available(clip.device), method.edits()
    side = clip.spec.image.image_size
    some = torch.zeros(2, 3, side, side, device=clip.device)
    one, two = (
        kept_for_gradient(partial(method.encode_image, some[:n], edits=edits), method)
        for n in (1, 2)
    )
    images = one + (batch_size - 1) * (two - one)
    if prefix is None:
        return MemoryPlan(images, 0, free, len(prompts.ids))
    count, texts = len(prefix), _texts(method, prefix, edits[1])
    left = USABLE * free - images
    if texts <= left or count == 1:
        return MemoryPlan(images, texts, free, count)
    # one part more than would just fit; single texts if not even the images fit
    parts = int(texts / left) + 2 if left > texts / count else count
    return MemoryPlan(images, texts, free, count, max(1, count // parts))


def _texts(method: Method, prefix: PrefixState, edit: Edit | None) -> int:
    """Extrapolate from a few texts the bytes that a step keeps of all."""
    needs = []
    for size in (_PROBE // 2, _PROBE):
        few = next(replace(prefix, chunk=size).parts())
        kept = kept_for_gradient(partial(method.clip.text, few, edit), method)
        if size >= len(prefix):
            return kept
        needs.append((few.x.numel(), kept))
    (small, first), (large, second) = needs
    return int(first + (prefix.x.numel() - small) * (second - first) / (large - small))


def kept_for_gradient(run: Callable[[], object], method: Method) -> int:
    """Return the bytes that autograd keeps of what ``run`` computes, the model's own left out."""
    own = {p.untyped_storage().data_ptr() for p in (*method.clip.parameters(), *method.buffers())}
    seen: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.random.fork_rng(),
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept),
    ):
        result = run()
    del result  # kept alive until here, so that no address was used twice
    return sum(seen.values())


def available(device: torch.device) -> int:
    """Return the bytes free on ``device``: a GPU, or the machine within its container's limit."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / f"memory.{what}").read_text()) for what in ("max", "current"))
        held = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # the page cache counts as used, and is given up when memory is needed
        return min(free, limit - used + int(held["inactive_file"]) + int(held["active_file"]))
    except (OSError, ValueError, KeyError):  # no control group, or one without a limit
        return free


def _size(count: float) -> str:
    gib = count / 2**30
    return f"{gib:.1f} GiB" if gib >= 1 else f"{count / 2**20:.0f} MiB"
