"""What a robustness study changes of a run, and by how much."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """What a robustness study changes, and by how much.

    Attributes:
        kind: what is changed; ``clean`` changes nothing.
        severity: by how much, in the unit of the kind.
    """

    kind: str = "clean"
    severity: float = 0.0

    def __str__(self) -> str:
        return self.kind if self == CLEAN else f"{self.kind}={self.severity:g}"


CLEAN = Condition()
