"""Commands that are killed at any moment end in the same bytes when they are run again.

``tools/kill_broken.py`` kills sound commands, which must lose nothing, and the same commands with a
mechanism taken out, which must be seen: a comparison that can find nothing proves nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
ROW = re.compile(r"^(\S.*?) +(\d+) \((\d+) \+ (\d+)\) +(\d+) +0 +0 +0 ", re.MULTILINE)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and reads /proc")


def run(tool: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, TOOLS / tool, *arguments], capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_killed_command_loses_nothing_and_a_broken_one_is_found():
    said = run("kill_broken.py", "--commands", "fit,export")
    assert len(re.findall(r"0 faults in [123] kills; without \w+: [123] ", said)) == 3, said


@pytest.mark.slow
def test_every_kind_of_fault_is_found():
    said = run("kill_broken.py")
    assert len(re.findall(r"0 faults in \d kills; without \w+: \d", said)) == 6, said


@pytest.mark.slow
def test_every_command_killed_at_random_times_and_at_every_write_point():
    rows = ROW.findall(run("kill.py", "--kills", "5"))
    assert len(rows) == 6
    for name, kills, timed, points, same in rows:
        assert int(timed) == 5 and int(points) >= 5 and same == kills, name
