"""Commands that are killed at any moment end in the same bytes when they are run again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KILL = Path(__file__).parents[2] / "tools" / "kill.py"


@pytest.mark.skipif(sys.platform != "linux", reason="forks and reads /proc")
@pytest.mark.parametrize("command", ["fit", "embed", "export"])
def test_a_killed_command_ends_in_the_same_bytes(command):
    arguments = ["--commands", command, "--kills", "2", "--fresh", "0"]
    done = subprocess.run(
        [sys.executable, KILL, *arguments], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith(command + "  "))
    timed, points, same = (int(row.split()[i].strip("()")) for i in (2, 4, 5))
    assert timed == 2 and points >= 3 and same == timed + points
