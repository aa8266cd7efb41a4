"""State of an unfinished fit: safetensors for tensors, its metadata for everything else."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from interlace.errors import InterlaceError


@dataclass
class State:
    """How far a fit has come.

    Attributes:
        epoch: epochs finished.
        history: one row per finished epoch.
        best: the method's tensors of the best epoch so far, where one is selected.
        best_accuracy: its accuracy on the validation shots.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_accuracy: float = -1.0


def write_atomically(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file so that a reader sees the old one or the new one, never a part."""
    temporary = path.with_name(path.name + ".partial")
    contiguous = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    save_file(contiguous, temporary, metadata=metadata)
    os.replace(temporary, path)


class Checkpoint:
    """Saves a fit after each epoch and restores it.

    Args:
        path: the file; its folder must exist.
        identity: text that names the run (settings, model, split). A file of another run is
            refused instead of being continued.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.identity = identity

    def save(
        self,
        method: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler | None,
        state: State,
    ) -> None:
        """Write everything the next epoch depends on."""
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
        write_atomically(self.path, tensors, {"interlace": json.dumps(header)})

    def load(
        self,
        method: nn.Module,
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
        if header["identity"] != self.identity:
            raise InterlaceError(
                f"{self.path} belongs to an unfinished run with other settings, data or model; "
                "choose another output folder or overwrite it"
            )
        groups: dict[str, dict[str, Tensor]] = {"method": {}, "best": {}, "optimizer": {}}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = value
        method.load_state_dict(groups["method"])
        slots: dict[int, dict[str, Any]] = {}
        for name, value in groups["optimizer"].items():
            index, _, slot = name.partition(".")
            slots.setdefault(int(index), {})[slot] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
        if scaler is not None and header["scaler"]:
            scaler.load_state_dict(header["scaler"])
        return State(header["epoch"], header["history"], groups["best"], header["best_accuracy"])

    def remove(self) -> None:
        """Delete the file of a finished fit."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        try:
            with safe_open(self.path, framework="pt") as file:
                header = json.loads(file.metadata()["interlace"])
                return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except Exception as error:  # safetensors raises its own type for a damaged file
            raise InterlaceError(f"cannot resume from {self.path}: {error}") from None
