"""How much memory a training step needs, and what to do where it is short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch
from torch import Tensor

from interlace.backbone.text import Prompts
from interlace.methods.base import Method

#: Share of the free memory a step may fill; the rest is for what is not kept, and for others.
USABLE = 0.7
#: Texts a measurement runs over; their need grows with their positions.
_PROBE = 8


@dataclass(frozen=True)
class Plan:
    """What a training step keeps for its gradient, in bytes.

    Attributes:
        images: of a whole batch.
        texts: of all texts at once.
        free: what the device has left.
        count: how many texts there are.
        chunk: how many go through the tower at a time, each part computed once more for its
            gradient; None for all at once.
    """

    images: int
    texts: int
    free: int
    count: int
    chunk: int | None = None

    def describe(self) -> str:
        """One line for people."""
        line = f"a step keeps about {_size(self.images + self.texts)} for its gradient"
        line += f" (images {_size(self.images)}, {self.count} texts {_size(self.texts)});"
        line += f" {_size(self.free)} free"
        if self.chunk is not None:
            line += f": texts go {self.chunk} at a time and are computed twice"
        if self.images > USABLE * self.free:
            line += "; the images alone may not fit: lower batch_size"
        return line


def plan(method: Method, batch_size: int, prompts: Prompts) -> Plan:
    """Measure on one image and a few texts what a step keeps, and fit it to what is free.

    Args:
        method: the method, as it is while it trains.
        batch_size: how many images a step takes.
        prompts: what ``method.begin_prompts`` returned.
    """
    free = available(method.clip.device)
    side = method.clip.spec.image.image_size
    one = torch.zeros(1, 3, side, side, device=method.clip.device)
    need = batch_size * kept_for_gradient(lambda: method.encode_image(one), method)
    begun = prompts.begun
    if begun is None:
        return Plan(need, 0, free, len(prompts.ids))
    few = next(replace(begun, chunk=_PROBE).parts())
    edit = method.edits()[1]
    small = kept_for_gradient(lambda: method.clip.text(few, edit), method)
    texts = int(small * begun.x.numel() / few.x.numel())
    left = USABLE * free - need
    if texts <= left or len(begun) < 2:
        return Plan(need, texts, free, len(begun))
    # one part more than would just fit; where not even the images fit, parts of a tenth
    parts = max(2, min(-(-texts // int(left)) + 1 if left > texts / 10 else 10, len(begun)))
    return Plan(need, texts, free, len(begun), -(-len(begun) // parts))


def kept_for_gradient(run: Callable[[], object], method: Method) -> int:
    """Bytes that autograd keeps of what ``run`` computes, without the model's own tensors."""
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
    del result  # kept until here, so that no address was used twice
    return sum(seen.values())


def available(device: torch.device) -> int:
    """Bytes that are free on ``device``: of a GPU, of the machine, or of the container's limit."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        return min(free, limit - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no control group, or one without a limit
        return free


def _size(count: float) -> str:
    gib = count / 2**30
    return f"{gib:.1f} GiB" if gib >= 1 else f"{count / 2**20:.0f} MiB"
