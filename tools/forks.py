"""Commands as forks of one process that has imported everything, and what they leave running.

The process that forks never starts a thread: what does, it calls in a child.
"""

from __future__ import annotations

import atexit
import importlib
import os
import pickle
import pkgutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import psutil

MARK = "INTERLACE_KILL_RUN"
#: Seconds that workers have to notice that the process they work for is gone.
GRACE = 30.0
#: Seconds after which a run counts as hanging.
LIMIT = 120.0
#: Positions of the paths among an audit event's arguments, and of the descriptors they start from.
EVENTS = {
    "open": ((0, None),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.truncate": ((0, None),),
}
TABLE_WRITES = ("create", "add", "replace", "delete", "set_about", "compact")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def preload() -> None:
    """Import the package and what it uses, but for LanceDB and Ray, which start threads."""
    import interlace

    for module in pkgutil.walk_packages(interlace.__path__, "interlace."):
        if not module.name.endswith(("cluster", "__main__")):
            importlib.import_module(module.name)
    for name in ("matplotlib.pyplot", "scipy.special"):
        importlib.import_module(name)
    interlace.load("picto")  # brings what is imported late


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns, called in a fork: this process must never start a thread."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        try:
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(function(*arguments), pipe)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(process, 0)
    return pickle.loads(answer) if answer else {"error": f"{function.__name__} failed"}


def start(arguments: list[str], log: Path, fresh: bool = False, watch: Any = None) -> int:
    """Start a command in a session of its own; returns the process number.

    Args:
        arguments: what follows ``interlace``.
        log: what takes its output.
        fresh: whether it is a process from scratch.
        watch: called first in the process.
    """
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(file, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ[MARK] = str(log)
        if fresh:
            os.execv(sys.executable, [sys.executable, "-m", "interlace", *arguments])
        importlib.import_module("interlace.experiments.engines.local").get_context = _forking
        importlib.import_module("interlace.search.writer").ROWS = 4  # several commits to kill
        if watch is not None:
            watch()
        sys.argv = ["interlace", *arguments]
        code = run_command_line()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _forking(method: str) -> BaseContext:
    """In place of ``get_context``: the workers of a fork are forks, too."""
    return get_context("fork")


def run_command_line() -> int:
    """Run it to its end as an interpreter does: threads are awaited, then what is registered."""
    from interlace.cli import main

    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    threading._shutdown()
    atexit._run_exitfuncs()
    return code


def finish(process: int, log: Path, limit: float = LIMIT) -> int:
    """Wait for a process; its exit code, negative where a signal ended it."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    with log.open("a") as file:
        file.write(f"\nhangs: not done after {limit:.0f} s\n")
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return -signal.SIGKILL


def left_alive(process: int, log: Path) -> Iterator[psutil.Process]:
    """List processes of the session, or with the mark, other than the command's own."""
    for one in psutil.process_iter():
        try:
            own = os.getsid(one.pid) == process or one.environ().get(MARK) == str(log)
            if own and one.pid != process and one.status() != psutil.STATUS_ZOMBIE:
                yield one
        except (psutil.Error, OSError):
            continue


def orphans(process: int, log: Path) -> list[str]:
    """Return what still runs some time after the command is gone; it is ended here."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        if not any(left_alive(process, log)):
            return []
        time.sleep(0.1)
    found = []
    for one in left_alive(process, log):
        try:
            memory = one.memory_info().rss // 2**20
            found.append(f"{' '.join(one.cmdline())[:80]} ({memory} MB)")
            one.kill()
        except psutil.Error:
            continue
    return found


def end_all(folder: Path) -> None:
    """End what this process started and what carries the mark of a log in ``folder``."""
    mine = psutil.Process().children(recursive=True)
    for one in psutil.process_iter():
        try:
            if one in mine or one.environ().get(MARK, "").startswith(f"{folder}{os.sep}"):
                one.kill()
        except psutil.Error:
            continue


def watcher(folder: Path, kill_at: int = 0, note: Path | None = None) -> Callable[[], None]:
    """Return what follows the changes of names under a folder in the process that calls it.

    Args:
        folder: where the output lies.
        kill_at: number of the change, from 1, at which the process kills itself: right before it,
            or, where it is a file opened for writing, right after, when nothing is in it yet.
        note: file that takes the list of all changes at the end.
    """
    seen: list[str] = []

    def place(path: Any, start_at: Any) -> str:
        if not isinstance(path, str | bytes | os.PathLike):
            return ""
        text = os.fsdecode(path)
        if not os.path.isabs(text):
            known = isinstance(start_at, int) and start_at >= 0
            text = os.path.join(os.readlink(f"/proc/self/fd/{start_at}") if known else ".", text)
        text = os.path.abspath(text)
        return text if text.startswith(f"{folder}{os.sep}") else ""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or (event == "open" and not arguments[2] & WRITES):
            return
        paths = [
            place(arguments[path], None if at is None else arguments[at])
            for path, at in EVENTS[event]
        ]
        # what is there already is not made, what is not there is not removed
        there = os.path.lexists(paths[0])
        if (
            not any(paths)
            or (event == "os.mkdir" and there)
            or (event == "os.remove" and not there)
        ):
            return
        names = [path and os.path.relpath(path, folder) for path in paths]
        emptied = (paths[0], arguments[2] & ~os.O_EXCL, 0o600) if event == "open" else None
        step(f"{event} {' -> '.join(name or '?' for name in names)}", emptied)

    def step(what: str, emptied: tuple[str, int, int] | None = None) -> None:
        seen.append(what)
        if len(seen) == kill_at:
            if emptied:
                os.open(*emptied)
            os.kill(os.getpid(), signal.SIGKILL)

    def stepped(owner: type, name: str) -> Callable[..., Any]:
        plain = getattr(owner, name)

        def method(*given: Any, **named: Any) -> Any:
            step(f"{owner.__name__}.{name}")
            return plain(*given, **named)

        return method

    def begin() -> None:
        table = importlib.import_module("interlace.search.table").PhotoTable
        for name in TABLE_WRITES:  # LanceDB writes in another language
            setattr(table, name, stepped(table, name))
        if note is not None:
            atexit.register(lambda: note.write_text("\n".join(seen), encoding="utf-8"))
        sys.addaudithook(hook)

    return begin
