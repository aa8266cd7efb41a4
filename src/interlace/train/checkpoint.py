"""The state of an unfinished fit, in a safetensors file whose metadata holds the rest as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from interlace._util.files import write_bytes
from interlace._util.reading import check_regular, parse_json
from interlace._util.text import first_line, listed, printable
from interlace.errors import InterlaceError
from interlace.methods.base import Method
from interlace.methods.inference import check_finite

#: What each optimiser keeps for a parameter.
_SLOTS = {"SGD": {"momentum_buffer"}, "Adam": {"step", "exp_avg", "exp_avg_sq"}}


@dataclass
class State:
    """How far a fit has come.

    Attributes:
        epoch: epochs finished.
        history: one row per finished epoch.
        best: the method's tensors after the best epoch so far, if ``select=best``.
        best_accuracy: accuracy of that epoch on the validation shots.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_accuracy: float = -1.0


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file in one step: a reader sees the old file or the new one.

    Raises:
        InterlaceError: if it cannot be written.
    """
    contiguous = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    # safetensors' save_file raises its own type of error on a full disk
    write_bytes(path, save(contiguous, metadata))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a safetensors file, to the CPU, and its metadata.

    Raises:
        InterlaceError: if it is missing, damaged, or no such file.
    """
    check_regular(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except Exception as error:  # safetensors raises its own type for a damaged file
        raise InterlaceError(f"cannot read {printable(str(path))}: {first_line(error)}") from None


def restore(method: Method, tensors: Mapping[str, Tensor], sized: Sequence[str] = ()) -> None:
    """Load the tensors that were saved of a method into it.

    Args:
        method: the method.
        tensors: its state by name.
        sized: names of tensors whose first dimension may be anything, if it is the same for all.

    Raises:
        InterlaceError: if one is missing, unknown, of another type or shape, or not finite.
    """
    own = method.state_dict()
    unknown, missing = (list(a.keys() - b.keys()) for a, b in ((tensors, own), (own, tensors)))
    if unknown or missing:
        what = "without" if missing else "with"
        raise InterlaceError(
            f"not the tensors of {method.key}: {what} {listed(sorted(missing or unknown))}"
        )
    rows = set()
    for name, found in tensors.items():
        there, free = own[name], name in sized
        if found.dtype != there.dtype:
            raise InterlaceError(f"{name} is {found.dtype}, expected {there.dtype}")
        if found.ndim != there.ndim or found.shape[free:] != there.shape[free:]:
            wanted = ["any", *there.shape[1:]] if free else list(there.shape)
            raise InterlaceError(f"{name} has shape {list(found.shape)}, expected {wanted}")
        if free:
            rows.add(len(found))
    if len(rows) > 1:
        raise InterlaceError(f"{listed(sized)} differ in length")
    check_finite(tensors)
    method.load_state_dict(dict(tensors))


class Checkpoint:
    """Saves a fit after each epoch and restores it.

    Args:
        path: the file; its folder must exist.
        identity: text that names the run (settings, model, split). A file of another run is
            refused instead of being resumed.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.identity = identity

    def save(
        self,
        method: Method,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler | None,
        state: State,
    ) -> None:
        """Write everything that the next epoch depends on."""
        tensors = {f"method.{k}": v for k, v in method.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in state.best.items()}
        content = optimizer.state_dict()
        for index, slots in content["state"].items():
            for name, value in slots.items():
                if value is not None:
                    tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
        header = {
            "identity": self.identity,
            "epoch": state.epoch,
            "history": state.history,
            "best_accuracy": state.best_accuracy,
            "scaler": scaler.state_dict() if scaler is not None else {},
        }
        write_tensors(self.path, tensors, {"interlace": json.dumps(header)})

    def load(
        self,
        method: Method,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler | None,
    ) -> State:
        """Restore a saved state in place; a fresh :class:`State` where nothing was saved.

        Raises:
            InterlaceError: if the file belongs to another run or is damaged.
        """
        if not self.path.exists():
            return State()
        header, tensors = self._read()
        if header.get("identity") != self.identity:
            raise InterlaceError(
                f"{self.path} belongs to an unfinished run with other settings, data or model; "
                "choose another output folder or overwrite it"
            )
        try:
            return _restored(header, tensors, method, optimizer, scaler)
        except (InterlaceError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise self._damaged(first_line(error)) from None

    def is_ours(self) -> bool:
        """Return whether there is a readable file of this run."""
        try:
            return self.path.exists() and self._read()[0].get("identity") == self.identity
        except InterlaceError:
            return False

    def remove(self) -> None:
        """Delete the file of a finished fit."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        try:
            tensors, metadata = read_tensors(self.path)
            header = parse_json(metadata.get("interlace", ""), "its header")
        except InterlaceError as error:
            raise self._damaged(str(error)) from None
        if not isinstance(header, dict):
            raise self._damaged("its header is not an object")
        return header, tensors

    def _damaged(self, reason: str) -> InterlaceError:
        return InterlaceError(
            f"cannot resume from {self.path} ({reason}): remove that file to start again"
        )


def _restored(
    header: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    method: Method,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
) -> State:
    """Check what a file holds, load it into method and optimiser, and return the state."""
    epoch, history, best = (header[name] for name in ("epoch", "history", "best_accuracy"))
    if type(epoch) is not int or not is_history(history) or len(history) != epoch:
        raise ValueError("its epochs and their history do not agree")
    if not _is_number(best):
        raise ValueError("best_accuracy is not a number")
    groups: dict[str, dict[str, Tensor]] = {"method": {}, "best": {}, "optimizer": {}}
    for name, value in tensors.items():
        group, _, rest = name.partition(".")
        groups[group][rest] = value
    check_finite(groups["optimizer"])
    if groups["best"]:
        restore(method, groups["best"])  # only to see that it could be
    restore(method, groups["method"])
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    slots: dict[int, dict[str, Any]] = {}
    for name, value in groups["optimizer"].items():
        index, _, slot = name.partition(".")
        if value.ndim and value.shape != parameters[int(index)].shape:
            raise ValueError(f"{name} of the optimiser has another shape")
        slots.setdefault(int(index), {})[slot] = value
    wanted = _SLOTS["SGD" if isinstance(optimizer, torch.optim.SGD) else "Adam"]
    if any(set(own) != wanted or not 0 <= i < len(parameters) for i, own in slots.items()):
        raise ValueError("the state of the optimiser is not complete")
    optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
    if scaler is not None and header["scaler"]:
        scaler.load_state_dict(header["scaler"])
    return State(epoch, history, groups["best"], float(best))


def is_history(value: Any) -> bool:
    """Return whether a value that was read is a list of rows of named finite numbers."""
    return isinstance(value, list) and all(
        isinstance(row, dict) and all(map(_is_number, row.values())) for row in value
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
