"""Kill commands at many moments, run them again, and compare what comes out, byte by byte.

``python tools/kill.py`` makes a small input, runs ``fit`` (into a new folder and over an older
run), ``embed``, ``search build``, ``export --overwrite`` and ``bench`` once undisturbed, and then
kills each (SIGKILL) in two ways:

- at *random times* over its whole duration (``--kills`` of them): every second time only the
  command's own process, so that workers left alone are seen (``--parent-only``: every time),
  otherwise its whole group. Every third time the run that follows is killed too.
- at every *write point*: just before each call that changes a name under the output (a rename, a
  removal, a folder made or removed) and just after each that opens a file for writing, when it is
  empty, as Python's audit events tell them. Nothing in the package knows of it. LanceDB writes in
  another language, without such events: there it is just before each write to a table.

Right after a kill what has its final name must be whole: an older export until the new one is
there, a record, a file of a run. Then the same command is run again, with no option added, and
everything must be as in the undisturbed run: the same files with the same bytes, nothing besides,
no process left alive.

A fresh interpreter takes seconds to import torch. So this process imports everything once, without
a thread, and each run is a fork of it that calls the command line, and the workers of ``bench`` are
forks of that: real processes that are really killed, a second long. One run of each command and
``--fresh`` of its kills are processes from scratch, with workers from scratch.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forks import end_all, finish, in_child, orphans, preload, start, watcher
from kill_cases import DIFFERS, Case, loads, make_cases

TRIES = 3
#: Commands; the last imports LanceDB, which has a thread of its own that forks have to do without.
NAMES = ("fit", "fit --overwrite", "embed", "export", "bench", "search build")


@dataclass
class Outcome:
    """What the kills of one command came to; the lists hold a line per fault.

    Attributes:
        timed: kills at random times, and among them: of a fresh process, of the parent only.
        points: kills at write points.
        again: runs that were needed after a kill, at most.
    """

    timed: int = 0
    fresh: int = 0
    parent_only: int = 0
    points: int = 0
    same: int = 0
    again: int = 0
    seconds: float = 0.0
    differ: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    broken_between: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """All of them."""
        return [*self.differ, *self.leftovers, *self.orphans, *self.broken_between]


class Killing:
    """All kills of one command.

    Args:
        case: the command.
        log: file for the output of its runs.
        fresh: whether the first run is a process from scratch.
    """

    def __init__(self, case: Case, log: Path, fresh: bool) -> None:
        self.case, self.log, self.outcome = case, log, Outcome()
        note = log.with_suffix(".points")
        self.fresh_seconds = self.undisturbed(fresh=fresh)
        self.wanted = case.content()
        self.seconds = self.undisturbed(watch=watcher(case.output.parent, note=note))
        self.points = note.read_text(encoding="utf-8").splitlines()
        if case.content() != self.wanted:
            raise SystemExit(f"{case.name}: two undisturbed runs differ: {self.difference()}")
        if case.leftovers():
            raise SystemExit(f"{case.name}: an undisturbed run leaves {case.leftovers()}")
        folders = [case.output, case.older] if case.replaces else []
        if not all(in_child(loads, folder) is True for folder in folders):
            raise SystemExit(f"{case.name}: an undisturbed output cannot be loaded")
        case.prepare()
        self.before = case.content()

    def undisturbed(self, fresh: bool = False, watch: Any = None) -> float:
        """Run the command from the beginning; how long it took."""
        self.case.prepare()
        started = time.monotonic()
        if finish(start(self.case.arguments, self.log, fresh, watch), self.log):
            raise SystemExit(f"{self.case.name} fails undisturbed: {self.last_line()}")
        return time.monotonic() - started

    def at_random(self, generator: random.Random, fresh: bool, parent: bool, twice: bool) -> bool:
        """Kill a run at a random time; whether it was still running then."""
        after = generator.uniform(0, self.fresh_seconds if fresh else self.seconds)
        again = generator.uniform(0, self.seconds) if twice else None
        where = f"killed after {after:.3f} s{', parent only' * parent}{', fresh' * fresh}"
        self.case.prepare()
        if not self._kill_after(after, fresh, parent, where):
            return False
        if again is not None:
            where += f" and again after {again:.3f} s"
            self._kill_after(again, False, parent, where)
        self.recover(where)
        self.outcome.timed += 1
        self.outcome.fresh += fresh
        self.outcome.parent_only += parent
        return True

    def _kill_after(self, seconds: float, fresh: bool, parent: bool, where: str) -> bool:
        process = start(self.case.arguments, self.log, fresh)
        time.sleep(seconds)
        (os.kill if parent else os.killpg)(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        self.look(process, where)
        return os.WIFSIGNALED(status)

    def at_point(self, number: int) -> None:
        """Kill a run at its write point of a number, from 1."""
        where = f"killed at point {number}, {self.points[number - 1]}"
        self.case.prepare()
        watch = watcher(self.case.output.parent, kill_at=number)
        process = start(self.case.arguments, self.log, watch=watch)
        finish(process, self.log)
        self.look(process, where)
        self.recover(where)
        self.outcome.points += 1

    def look(self, process: int, where: str) -> None:
        """Right after a kill: what is there is whole, and nothing runs any more."""
        if wrong := self.case.wrong_between(self.before, self.wanted):
            self.outcome.broken_between.append(f"{where}: {wrong}")
        for one in orphans(process, self.log):
            self.outcome.orphans.append(f"{where}: still runs: {one}")

    def recover(self, where: str) -> None:
        """Run the command again, and compare."""
        complete = not self.case.leftovers() and self.case.content() == self.wanted
        runs, code = 0, -1
        # a finished output may be refused as one that is there already
        while runs < TRIES and not (code == 0 or (complete and code == 2)):
            code = finish(start(self.case.arguments, self.log), self.log)
            runs += 1
        self.outcome.again = max(self.outcome.again, runs)
        found = self.case.content()
        if found != self.wanted:
            self.outcome.differ.append(f"{where}: {self.difference()}; {self.last_line()}")
        elif code and not complete:
            self.outcome.differ.append(f"{where}: exit code {code}: {self.last_line()}")
        else:
            self.outcome.same += 1
        if self.case.leftovers():
            self.outcome.leftovers.append(f"{where}: left over: {', '.join(self.case.leftovers())}")

    def difference(self) -> str:
        """Which names are missing, too many or of other content."""
        found = self.case.content()
        missing, more = sorted(self.wanted.keys() - found), sorted(found.keys() - self.wanted)
        other = sorted(k for k in self.wanted.keys() & found if self.wanted[k] != found[k])
        parts = {"missing": missing, "too many": more, "other content": other}
        return "; ".join(f"{k}: {', '.join(v[:4])}" for k, v in parts.items() if v) or "none"

    def last_line(self) -> str:
        """Return the last line that a run has printed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "(no output)"


def kill(case: Case, log: Path, arguments: argparse.Namespace) -> Outcome:
    """All kills of one command."""
    if case.name == "search build":
        warnings.filterwarnings("ignore", "lancedb fork support", RuntimeWarning)
        importlib.import_module("lancedb")
    started = time.monotonic()
    generator = random.Random(f"{arguments.seed} {case.name}")
    killing = Killing(case, log, fresh=arguments.fresh > 0)
    outcome, tries = killing.outcome, 0
    while outcome.timed < arguments.kills and tries < 2 * arguments.kills + 5:
        fresh = outcome.timed < arguments.fresh
        parent = arguments.parent_only or tries % 2 == 1
        killing.at_random(generator, fresh, parent, twice=tries % 3 == 2)
        tries += 1
    points = enumerate(killing.points, 1)
    numbers = [number for number, point in points if re.search(arguments.only, point)]
    if arguments.points is not None and len(numbers) > arguments.points:
        numbers = sorted(generator.sample(numbers, arguments.points))
    for number in numbers:
        killing.at_point(number)
    outcome.seconds = round(time.monotonic() - started, 1)
    return outcome


def show(outcomes: dict[str, Outcome]) -> None:
    """Print the table, and every fault under it."""
    print(
        f"\n{'command':13} kills (times + points)  same bytes  left-overs  orphans  "
        "broken between  seconds"
    )
    for name, own in outcomes.items():
        kills = f"{own.timed + own.points} ({own.timed} + {own.points})"
        print(
            f"{name:13} {kills:>22}  {own.same:10}  {len(own.leftovers):10}  "
            f"{len(own.orphans):7}  {len(own.broken_between):14}  {own.seconds:7.0f}"
        )
    for name, own in outcomes.items():
        for fault in own.faults:
            print(f"{name}: {fault}")


@contextmanager
def workplace() -> Iterator[tuple[Path, dict[str, Case]]]:
    """Give a folder and the commands to kill; nothing of them is left at the end."""
    for name in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = "1"
    preload()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the end below is reached
    # not TemporaryDirectory: each fork would remove it when it ends
    place = Path(tempfile.mkdtemp(prefix="interlace-kill-")).resolve()
    try:
        yield place, make_cases(place)
    finally:
        end_all(place)
        shutil.rmtree(place, ignore_errors=True)


def main() -> int:
    """Kill, print the table, write the record; 1 if anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="at random times, per command")
    parser.add_argument("--points", type=int, help="write points at most; all of them by default")
    parser.add_argument("--only", default="", help="write points that this expression finds")
    parser.add_argument("--fresh", type=int, default=2, help="of these, in fresh processes")
    parser.add_argument("--commands", default=",".join(NAMES), help="separated by commas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parent-only", action="store_true", help="never the whole group")
    parser.add_argument("--json", type=Path, help="file to record the result in")
    arguments = parser.parse_args()
    commands = [name.strip() for name in arguments.commands.split(",")]
    if unknown := [name for name in commands if name not in NAMES]:
        parser.error(f"{unknown[0]!r}: expected some of {', '.join(NAMES)}")
    outcomes: dict[str, Outcome] = {}
    with workplace() as (place, cases):
        for name in [name for name in NAMES if name in commands]:
            outcomes[name] = kill(cases[name], place / f"{name}.log", arguments)
            print(f"{name}: {len(outcomes[name].faults)} faults", flush=True)
    show(outcomes)
    if arguments.json:
        record(arguments, outcomes)
    return int(any(own.faults for own in outcomes.values()))


def record(arguments: argparse.Namespace, outcomes: dict[str, Outcome]) -> None:
    """Write what was found, with the commit and the machine."""
    from interlace.experiments.cost import environment

    facts = {
        "command": {k: v for k, v in vars(arguments).items() if k != "json"},
        **environment(1),
        "may_differ": DIFFERS,
        "outcomes": {name: vars(own) for name, own in outcomes.items()},
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
