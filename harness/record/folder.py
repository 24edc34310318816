"""The folder that a Mac user can send: what macOS answers about a child that is known."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness import __version__
from harness.errors import UsageError
from harness.observe import installation, platform
from harness.observe.macos import kernel, power, tree
from harness.privacy import cleaned, personal
from harness.record import guesses, tape, told
from harness.record.known import MARK, Known
from harness.supervise.guarding.macos import environment
from harness.text import invocation

READINGS = 4
"""Of the GPU's registry. One command of the child lasts longer than the time between two."""
FILES = {
    "record.json": "the versions of Python and the harness, and when it was made",
    "child.json": "what the child says of itself, at the beginning and at the end",
    "calls.json": "the calls of libproc, sysctl and Mach about the child, with their raw answers",
    "arguments.json": "whether the variables of the child and of a program of Apple's are seen",
    "events.json": "what kqueue told of the child's forks and of its end",
    "sample.txt": "the child's stacks, as sample prints them",
    "tools.json": "how long sample takes, how it refuses, and what pmset and others print",
    **{
        f"ioreg-{number}.plist": "the registry of drivers, while the GPU works for the child"
        for number in range(1, READINGS + 1)
    },
    "guesses.json": "what all this says of each guess",
}
"""The files of a folder, and what is in each."""
_APART_S = 0.3
_LAUNCHD = 1
_Json = dict[str, Any]


def check(folder: Path) -> None:
    """Raise UsageError where there is nothing to record, or no place for it."""
    if platform.current().name != "darwin":
        raise UsageError(
            "--record is for macOS: it records what only a real Mac can tell. On this machine, "
            f"this shows what works: {invocation.command('selftest')}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"--record: {folder} is not empty; name a new folder")
    except OSError as error:
        raise UsageError(f"--record: {folder}: {error.strerror or error}") from None


def make(folder: Path, say: Callable[[str], None]) -> tuple[guesses.Verdict, ...]:
    """Fill `folder`, which `check` has made, and return what it says. It takes some ten seconds."""
    whose = personal.gather()

    def write(name: str, value: object) -> None:
        # Redacted before it is packed: a list of calls is digits alone, and no words.
        clean = cleaned(value, whose) if name != "calls.json" else value
        text = clean if isinstance(clean, str) else json.dumps(clean, indent=1)
        (folder / name).write_text(text, encoding="utf-8")

    begun = time.time()
    write(
        "record.json",
        {
            "harness": __version__,
            "made": time.strftime("%Y-%m-%d", time.gmtime(begun)),
            "machine": platform.current().arch,
            "python": sys.version.split()[0],
            "mlx": installation.has_mlx(),
            "files": FILES,
        },
    )
    with Known() as known:
        first = known.ask("")
        pid: int = first["pid"]
        say(f"recording process {pid}, which the harness has started")
        with tape.recording() as calls:
            _look(pid, first)
        for number in range(1, READINGS + 1):
            write(f"ioreg-{number}.plist", told.registry(pid))
            time.sleep(_APART_S)
        write("calls.json", msgspec.to_builtins(calls))
        write("arguments.json", _arguments(pid, first["sleeper"]))
        text, answers = told.sampled(pid)
        write("sample.txt", text)
        answers["launchd"] = told.asked(told.sample(_LAUNCHD, os.devnull))
        answers |= {" ".join(command): told.asked(command) for command in told.TOOLS}
        events, last = _events(pid, known)
        write("events.json", events)
        write("child.json", [first, last])
    answers["ended"] = told.asked(told.sample(pid, os.devnull))
    write("tools.json", answers)
    found = guesses.judge(guesses.read(folder))
    write("guesses.json", msgspec.to_builtins(found))
    return found


def _look(pid: int, first: _Json) -> None:
    """Ask all that a look and a deep look ask, and the machine."""
    for one in tree.processes([pid]):
        tree.more(one.pid)
    platform.current().pthreads(pid)
    kernel.files(pid)
    for number in first["pipe"]:
        kernel.pipe(pid, number)
    kernel.path(pid, first["terminal"])
    kernel.process(_LAUNCHD)
    kernel.pages()
    kernel.swap()
    for name in ("vm.pagesize", "kern.memorystatus_vm_pressure_level"):
        kernel.number(name)
    kernel.integer(power.WIRED_LIMIT)


def _arguments(pid: int, sleeper: int) -> _Json:
    """No variable itself: they may hold secrets."""
    return {
        name: {
            "variables": len(found),
            "marked": f"{MARK}=1".encode() in found,
            "bytes": len(raw),
        }
        for name, one in (("child", pid), ("sleeper", sleeper))
        for raw in [kernel.arguments(one)]
        for found in [environment(raw)]
    }


def _events(pid: int, known: Known) -> tuple[_Json, _Json]:
    """The events of kqueue about the child while it forks, and the child's own words after it."""
    make = getattr(select, "kqueue", None)
    if make is None:
        return {"problem": "this Python has no kqueue"}, known.ask("fork")
    with contextlib.closing(make()) as queue:
        heard = list(_followed(queue, pid, lambda: known.ask("fork")))
        last = known.ask("again")
    return {"heard": heard}, last


def _followed(queue: Any, pid: int, do: Callable[[], object]) -> Iterator[_Json]:
    kq: Any = select
    added = kq.kevent(pid, kq.KQ_FILTER_PROC, kq.KQ_EV_ADD, kq.KQ_NOTE_FORK | kq.KQ_NOTE_EXIT)
    try:
        queue.control([added], 0)
    except OSError as error:
        yield {"problem": error.strerror or str(error)}
        return
    do()
    for event in queue.control([], 16, _APART_S):
        yield {
            "own": event.ident == pid,
            "forked": bool(event.fflags & kq.KQ_NOTE_FORK),
            "ended": bool(event.fflags & kq.KQ_NOTE_EXIT),
        }
