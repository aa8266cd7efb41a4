"""What the speed benchmark measures of a step: time, memory, positions, multiply-adds."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from steps import Cell, Route, autocast, step
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from interlace.backbone.tower import TowerOutput
from interlace.train import memory

LIBC = ctypes.CDLL("libc.so.6") if sys.platform == "linux" else None


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(cell: Cell, path: Route) -> dict[str, float]:
    """Milliseconds of one step, by part."""
    parts: dict[str, float] = {}
    gc.collect()
    synchronize()
    last = started = time.perf_counter()

    def note(part: str) -> None:
        nonlocal last
        synchronize()
        now = time.perf_counter()
        parts[part] = 1e3 * (now - last)
        last = now

    step(cell, path, note)
    return {**parts, "total": 1e3 * (last - started)}


def process(key: str) -> int:
    """Bytes that Linux reports of this process under ``key``."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"^{key}:\s+(\d+) kB", status, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


@contextmanager
def peak_memory(cell: Cell, path: Route, result: dict[str, Any]) -> Iterator[None]:
    """Put into ``result`` by how much memory rises at most, over model, method and optimiser."""
    cell.optimizer.zero_grad()
    gc.collect()
    cuda = cell.method.clip.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    elif LIBC is not None:
        LIBC.malloc_trim(0)  # what earlier steps left in the heap would hide what this one takes
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = process("VmRSS")
    yield
    if cuda:
        result["peak_bytes"] = torch.cuda.max_memory_allocated() - before + path.held
    elif LIBC is not None:
        result["peak_bytes"] = process("VmHWM") - before + path.held


@contextmanager
def positions(cell: Cell, path: Route, result: dict[str, Any]) -> Iterator[None]:
    """Put into ``result`` how many positions enter the blocks of each tower, summed over blocks."""
    clip, counts = cell.method.clip, {"image": 0, "text": 0}

    def counter(tower: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def count(block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            counts[tower] += inputs[0].shape[0] * inputs[0].shape[1]

        return count

    handles = [
        block.register_forward_pre_hook(counter(name))
        for name, tower in (("image", clip.image), ("text", clip.text))
        for block in tower.blocks
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if not cell.method.uses_frozen_features:
        result["tokens"] = counts


@contextmanager
def limited(device: torch.device) -> Iterator[None]:
    """Let an allocation beyond the free memory fail here instead of taking the machine down."""
    if device.type == "cuda" or sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = process("VmSize") + int(0.95 * memory.available(device))
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def multiply_adds(cell: Cell, path: Route) -> int:
    """Multiply-adds of the matrix products, convolutions and attention of one step."""

    def forward(q: Any, k: Any, v: Any, *rest: Any, out_shape: Any = None, **more: Any) -> int:
        return sdpa_flop_count(q, k, v)

    def backward(g: Any, q: Any, k: Any, v: Any, *rest: Any, **more: Any) -> int:
        return 2 * sdpa_flop_count(q, k, v)  # kernels compute the scores again: it is not a must

    aten = torch.ops.aten
    with FlopCounterMode(
        display=False,
        custom_mapping={
            aten._scaled_dot_product_flash_attention_for_cpu: forward,
            aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
        },
    ) as counter:
        step(cell, path)
    return counter.get_total_flops() // 2


def multiply_adds_of_batch(cell: Cell, path: Route) -> int:
    """:func:`multiply_adds` of the whole batch, from a step of one image and one of two."""
    one, two = (multiply_adds(cell.cut(n, len(cell.prompts)), path) for n in (1, 2))
    return one + (len(cell.images) - 1) * (two - one)


def product_rate(device: torch.device, dtype: torch.dtype | None) -> float:
    """Multiply-adds per second of a matrix product of an MLP's shape, the best of three."""
    rows = 1616 if device.type == "cpu" else 65536  # a GPU needs more to be busy
    left = torch.randn(rows, 768, device=device, dtype=dtype)
    right = torch.randn(768, 3072, device=device, dtype=dtype)
    seconds = []
    for _ in range(4):
        synchronize()
        started = time.perf_counter()
        left @ right
        synchronize()
        seconds.append(time.perf_counter() - started)
    return rows * 768 * 3072 / min(seconds[1:])


@dataclass
class Prediction:
    """What a plain step will take.

    Attributes:
        seconds: of a step.
        kept: bytes that autograd keeps.
        peak: bytes at the peak, roughly.
        multiply_adds: of a step.
    """

    seconds: float
    kept: int
    peak: int
    multiply_adds: int


class Forecast:
    """What plain steps of a method take, from steps of a few images and texts.

    Plain steps are linear in both: every text has all positions. On features, where images and
    classes form pairs, the classes stay as many as they are.
    """

    def __init__(self, cell: Cell, path: Route) -> None:
        method, self.uses_frozen_features = cell.method, cell.method.uses_frozen_features
        method.shortcuts = False
        clip, texts = method.clip, len(path.prompts)
        few, more = (texts, texts) if self.uses_frozen_features else (min(2, texts), min(4, texts))
        two = min(16 if self.uses_frozen_features else 2, len(cell.labels))
        one = max(1, two // 2)

        def small(images: int, count: int) -> tuple[Cell, Route]:
            cut = cell.cut(images, count)
            return cut, replace(path, prompts=cut.prompts)

        base = multiply_adds(*small(one, few))
        self.per_image = (multiply_adds(*small(two, few)) - base) // max(1, two - one)
        self.per_text = (multiply_adds(*small(one, more)) - base) // max(1, more - few)
        self.base = base - one * self.per_image - few * self.per_text
        self.rate = self.work(two, more) / timed(*small(two, more))["total"] * 1e3
        cut, _ = small(two, few)
        self.temporary = 0
        if isinstance(cut.prompts, Tensor):
            features = TowerOutput(cut.prompts)
            run = partial(method.score, TowerOutput(cut.images), features)
            self.kept_image, self.kept_text = self.kept(cell, run) // two, 0
        else:
            self.kept_image = self.kept(cell, partial(method.encode_image, cut.images[:1]))
            self.kept_text = self.kept(cell, partial(method.encode_text, cut.prompts)) // few
            text = clip.spec.text
            self.temporary = 3 * 4 * text.context_length * text.hidden  # beside what is kept

    def kept(self, cell: Cell, run: Callable[[], object]) -> int:
        """Bytes that autograd keeps of ``run``."""
        with autocast(cell):
            return memory.kept_for_gradient(run, cell.method)

    def work(self, images: int, texts: int) -> int:
        """Multiply-adds of a step."""
        return self.base + images * self.per_image + texts * self.per_text

    def of(self, images: int, texts: int) -> Prediction:
        """Return what a step of that size takes."""
        work = self.work(images, texts)
        kept = images * self.kept_image + texts * self.kept_text
        peak = 2 * kept if self.uses_frozen_features else kept + texts * self.temporary
        return Prediction(work / self.rate, kept, peak, work)


def first_step(cell: Cell, path: Route) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the parts of a step, and the peak of its memory and its positions."""
    facts: dict[str, Any] = {}
    with positions(cell, path, facts), peak_memory(cell, path, facts), limited(cell.labels.device):
        parts = timed(cell, path)
    return parts, facts
