"""Run commands over prepared inputs, and print what came of each as a table to paste.

``python tools/cases.py OUT`` reads ``OUT/commands.txt``, or the file that ``--commands`` names: a
line for each case, its name (one word) and the command, and where wanted a second line ``-> what
should happen``, as a script that makes inputs may print it:
``python make.py OUT > commands.txt; python tools/cases.py OUT --commands commands.txt``. Lines that
are empty, or start with ``#``, do not count. Commands run by the shell in OUT, one after the other,
with ``interlace`` the one of this interpreter.

The table has exit code, seconds, peak memory of the largest process, and the last lines printed. A
line that looks like a traceback, and a command that runs into ``--limit``, are marked.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """What a command came to; memory in MB, of its largest process."""

    case: str
    command: str
    should: str
    code: int
    seconds: float
    memory: int
    last: list[str]
    marks: list[str]


def read(path: Path) -> list[tuple[str, str, str]]:
    """Case, command and what should happen, of each case of a list."""
    found: list[tuple[str, str, str]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if text.startswith("->") and found:
            found[-1] = (*found[-1][:2], text.removeprefix("->").strip())
        elif text and not text.startswith("#"):
            case, _, command = text.replace("\t", " ").partition(" ")
            if not command.strip():
                sys.exit(f"{path}, line {number}: expected a case and a command")
            found.append((case, command.strip(), ""))
    return found


def run(case: str, command: str, should: str, folder: Path, limit: float, lines: int) -> Result:
    """Run one command in ``folder``; after ``limit`` seconds it is killed with all it started."""
    here = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"COLUMNS": "160", "NO_COLOR": "1"}
    started = time.perf_counter()
    late: list[bool] = []
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            shell=True,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

        def stop() -> None:
            late.append(True)
            os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(limit, stop)
        timer.start()
        # of the shell and of all it waited for
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        output.seek(0)
        printed = output.read().decode("utf-8", "backslashreplace").splitlines()
    marks = ["LIMIT"] * bool(late) + ["TRACEBACK"] * any("Traceback" in one for one in printed)
    last = [line.rstrip() for line in printed if line.strip()][-lines:]
    memory = usage.ru_maxrss // 1024
    code = process.returncode
    return Result(case, command, should, code, round(seconds, 1), memory, last, marks)


def row(result: Result) -> str:
    """Return a line of the table, in Markdown."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|").replace("\n", " ")

    last = "<br>".join(cell(line[:200]) for line in result.last) or "(nothing)"
    marks = " ".join(["", *result.marks])
    return (
        f"| {cell(result.case)} | `{cell(result.command)}` | {result.code}{marks} | "
        f"{result.seconds:.1f} | {result.memory} | {last} | {cell(result.should)} |"
    )


def main() -> int:
    """Run them all; 1 if one ran into the limit, or printed a traceback."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="what holds the inputs")
    parser.add_argument("--commands", type=Path, help="the list (FOLDER/commands.txt)")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for each command")
    parser.add_argument("--lines", type=int, default=3, help="last lines to show")
    parser.add_argument("--json", type=Path, help="file to write all results to")
    arguments = parser.parse_args()
    listed = read(arguments.commands or arguments.folder / "commands.txt")
    print("| case | command | exit | seconds | MB | last lines | should |")
    print("|---|---|---:|---:|---:|---|---|")
    results = []
    for case, command, should in listed:
        if arguments.only not in case:
            continue
        result = run(case, command, should, arguments.folder, arguments.limit, arguments.lines)
        results.append(result)
        print(row(result), flush=True)
    if arguments.json:
        content = json.dumps([asdict(result) for result in results], indent=1)
        arguments.json.write_text(content + "\n", encoding="utf-8")
    return int(any(result.marks for result in results))


if __name__ == "__main__":
    sys.exit(main())
