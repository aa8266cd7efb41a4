"""What a cell cost, and under which environment it ran."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from interlace.train.optim import resolve_device

_LIBC = ctypes.CDLL("libc.so.6") if platform.libc_ver()[0] == "glibc" else None
_PACKAGES = ("interlace", "torch", "torchvision", "open_clip_torch", "numpy")


class Measured:
    """Seconds and memory of the parts of a run.

    Attributes:
        seconds: wall clock by part, and under ``<part>_cpu`` the processor time of this process,
            which does not grow where other processes share the machine.
        peak_memory: by how many bytes memory rose at most in a part, over what was in use before
            it: of the GPU where one is used, and of the process on Linux; None elsewhere.

    Args:
        device: as in :func:`interlace.fit`.
    """

    def __init__(self, device: str) -> None:
        self.seconds: dict[str, float] = {}
        self.peak_memory: int | None = None
        self._cuda = resolve_device(device).type == "cuda"

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Measure what happens inside the context."""
        before = self._begin()
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        if self._cuda:
            torch.cuda.synchronize()
        self.seconds[part] = time.perf_counter() - wall
        self.seconds[f"{part}_cpu"] = time.process_time() - cpu
        peak = torch.cuda.max_memory_allocated() if self._cuda else _resident_peak()
        if peak is not None and before is not None:
            self.peak_memory = max(self.peak_memory or 0, peak - before)

    def _begin(self) -> int | None:
        """Reset the peak, and return the bytes in use now."""
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated()
        gc.collect()
        if _LIBC is not None:
            _LIBC.malloc_trim(0)  # what earlier cells left in the heap would hide what this takes
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return None
        return _resident("VmRSS")


def _resident_peak() -> int | None:
    return _resident("VmHWM")


def _resident(key: str) -> int | None:
    """Return the bytes that Linux reports of this process."""
    if sys.platform != "linux":
        return None
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else None


def environment(threads: int) -> dict[str, Any]:
    """Return machine, versions, commit and date of a run."""
    return {
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads": threads,
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
        },
        **_commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@lru_cache(maxsize=1)
def _commit() -> dict[str, Any]:
    """Return the commit of the sources, where they are a checkout of their own."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        # an environment inside of some other project's checkout says nothing about this package
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return {
            "commit": git("rev-parse", "HEAD"),
            "uncommitted_changes": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "uncommitted_changes": None}
