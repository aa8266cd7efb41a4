"""See that ``kill.py`` finds what it looks for: kill sound commands, then broken ones.

``python tools/kill_broken.py`` kills some commands a few times as they are, when nothing may be
found, and again with one mechanism taken out, when just that must be found. 1 if it is not so.
"""

from __future__ import annotations

import argparse
import copy
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import forks
from kill import kill, workplace
from kill_cases import Case


@contextmanager
def _in_place(path: Path) -> Iterator[Path]:
    """In place of ``written_whole``: what is there is emptied and written again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path


def _removed_first(fresh: Path, target: Path, old: Path) -> None:
    """In place of the exchange of two folders."""
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


@dataclass(frozen=True)
class Broken:
    """A mechanism to take out.

    Attributes:
        name: the command.
        only: expression for the write points to kill at.
        owner: where the mechanism is.
        part: its name there.
        instead: what takes its place.
        wanted: the list of an outcome that must not stay empty.
    """

    name: str
    only: str
    owner: Any
    part: str
    instead: Callable[..., Any]
    wanted: str


def _broken() -> list[Broken]:
    """Return what can be broken: one mechanism for each kind of fault, and for each command."""
    from interlace._util import files, folders
    from interlace.experiments.engines import local as engines
    from interlace.search import scan
    from interlace.train.checkpoint import Checkpoint

    def nothing(*_: Any) -> None: ...

    def all_known(found: Any, known: Any) -> scan.Difference:
        return scan.Difference((), (), len(found)) if known else difference(found, known)

    def forgetful(own: Any, method: Any, optimizer: Any, scaler: Any) -> Any:
        return load(own, method, copy.deepcopy(optimizer), scaler)  # no momentum comes back

    difference, load = scan.difference, Checkpoint.load
    return [
        Broken("fit", "bundle.json", files, "written_whole", _in_place, "broken_between"),
        Broken("fit", "open.*checkpoint", Checkpoint, "load", forgetful, "differ"),
        Broken("embed", "os.rename .vectors", files, "sweep", nothing, "leftovers"),
        Broken("export", "os.rmdir", folders, "_put", _removed_first, "broken_between"),
        Broken("bench", "seed-1.*json$", engines, "_end_with", nothing, "orphans"),
        Broken("search build", "PhotoTable.add", scan, "difference", all_known, "differ"),
    ]


def check(broken: Broken, case: Case, log: Path) -> bool:
    """Kill a command as it is and broken, and print what is found; whether that is right."""
    how = argparse.Namespace(fresh=0, kills=0, points=3, seed=1, only=broken.only)
    sound = kill(case, log, how)
    with mock.patch.object(broken.owner, broken.part, broken.instead):
        found = getattr(kill(case, log, how), broken.wanted)
    print(
        f"{case.name}: {len(sound.faults)} faults in {sound.points} kills; "
        f"without {broken.part}: {len(found)} {broken.wanted}",
        *[f"  {fault}" for fault in [*sound.faults, *found[:1]]],
        sep="\n",
        flush=True,
    )
    return bool(sound.points and not sound.faults and found)


def main() -> int:
    """Kill sound and broken commands; 1 if one is taken for the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commands", default="fit,embed,export,bench,search build")
    commands = parser.parse_args().commands.split(",")
    # a worker that ends by itself has done so after a second; a broken one never does
    forks.GRACE = 10.0
    with workplace() as (place, cases):
        right = [
            check(broken, cases[broken.name], place / "log")
            for broken in _broken()
            if broken.name in commands
        ]
    return int(not all(right))


if __name__ == "__main__":
    sys.exit(main())
