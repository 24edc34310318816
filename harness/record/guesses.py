"""The answers of a recorded folder to each guess of docs/internals/macos.md. Pure, but for
`read`."""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.observe.macos import gpu, kernel, power
from harness.observe.macos.layouts import (
    BsdInfo,
    PipeFdInfo,
    TaskAllInfo,
    ThreadInfo,
    Timebase,
)
from harness.observe.macos.socket_layouts import FilePath
from harness.observe.macos.vnodes import TERMINAL
from harness.record.tape import Call
from harness.stacks import joined
from harness.stacks.parse import parse
from harness.text.units import duration, percent

Layout = TypeVar("Layout", bound=ctypes.Structure)

_WAITING = 3
_REFUSED, _GONE = "appropriate privileges to examine", "no longer appears to be running"
_NEAR_S = 0.2
"""The child's own count of its CPU time is not of the same moment."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that was recorded."""

    texts: dict[str, str]
    """By the name of a file; that of one that is missing is empty."""
    calls: tuple[Call, ...] = ()
    child: tuple[dict[str, Any], ...] = ()

    @property
    def pid(self) -> int:
        return int(self.child[0]["pid"])

    def told(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.texts[name])
        return found

    def filled(self, kind: type[Layout], name: str, *given: int) -> list[Layout]:
        """The buffers that calls of this name filled in, those that begin with these numbers."""
        size = ctypes.sizeof(kind)
        raw = [
            bytes.fromhex(call.buffers[0])
            for call in self.calls
            if call.name == name and call.given[: len(given)] == given and call.buffers
            if call.answer > 0 or name == "mach_timebase_info"
        ]
        return [kind.from_buffer_copy(one.ljust(size, b"\0")[:size]) for one in raw]

    def numbers(self, name: str, width: int, *given: int) -> list[int]:
        """The list of numbers of `width` bytes that the first such call has filled in."""
        for call in self.calls:
            if call.name == name and call.given[: len(given)] == given and call.answer > 0:
                raw = bytes.fromhex(call.buffers[0]).ljust(call.answer, b"\0")
                steps = range(0, call.answer, width)
                return [int.from_bytes(raw[at : at + width], "little") for at in steps]
        return []


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a folder to one guess."""

    guess: str
    what: str
    files: tuple[str, ...]
    holds: bool | None
    """None: the folder does not tell."""
    shown: str = ""
    """The evidence for it."""


class Guess(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    what: str
    files: tuple[str, ...]
    check: Callable[[Recorded], tuple[bool | None, str]]


def read(folder: Path) -> Recorded:
    """The folder as it lies there. Raises OSError and ValueError."""
    texts = {one.name: one.read_text("utf-8", "replace") for one in folder.iterdir()}
    return Recorded(
        texts=texts,
        calls=msgspec.json.decode(texts["calls.json"], type=tuple[Call, ...]),
        child=tuple(json.loads(texts["child.json"])),
    )


def judge(recorded: Recorded) -> tuple[Verdict, ...]:
    """The answers of the folder to each guess. What is missing in it says nothing."""
    found = []
    for guess in GUESSES:
        try:
            holds, shown = guess.check(recorded)
        except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
            holds, shown = None, f"not in the folder: {type(error).__name__} {error}"
        found.append(
            Verdict(guess=guess.name, what=guess.what, files=guess.files, holds=holds, shown=shown)
        )
    return tuple(found)


_Answer = tuple[bool | None, str]


def _ids(recorded: Recorded) -> list[int]:
    return recorded.numbers("proc_pidinfo", 8, recorded.pid, 28)


def _kernels_numbers(recorded: Recorded) -> _Answer:
    own = set(recorded.child[0]["threads"].values())
    listed = set(_ids(recorded))
    if not listed:
        return None, "PROC_PIDLISTTHREADIDS answered nothing"
    return own <= listed, f"{len(own & listed)} of {len(own)} threads"


def _one_distance(recorded: Recorded) -> _Answer:
    kept = recorded.numbers("proc_pidinfo", 8, recorded.pid, 6)
    own = list(recorded.child[0]["pthreads"].values())
    if not kept:
        return None, "PROC_PIDLISTTHREADS answered nothing"
    fits = joined.distances(own, kept)
    return len(fits) == 1, " or ".join(f"{one} bytes" for one in sorted(fits)) or "no distance fits"


def _of_sample(recorded: Recorded) -> _Answer:
    shown = {one.tid for one in parse("sample", recorded.texts["sample.txt"], recorded.pid)}
    if not shown:
        return None, "sample shows no thread"
    own = set(recorded.child[0]["threads"].values())
    return own <= shown, f"{len(own & shown)} of {len(own)} threads"


def _oldest_first(recorded: Recorded) -> _Answer:
    listed, main = _ids(recorded), recorded.child[0]["main"]
    return (listed.index(main) == 0, f"at place {listed.index(main) + 1}") if listed else (None, "")


def _counted(recorded: Recorded) -> _Answer:
    listed = _ids(recorded)
    (task,) = recorded.filled(TaskAllInfo, "proc_pidinfo", recorded.pid, 2)[:1]
    number = task.ptinfo.pti_threadnum
    return (len(listed) == number, f"{len(listed)} of {number}") if listed else (None, "")


def _clock(recorded: Recorded) -> _Answer:
    clock = recorded.child[0]["clock"]
    return clock.startswith("mach_absolute_time"), clock


def _terminal(recorded: Recorded) -> _Answer:
    asked = recorded.pid, recorded.child[0]["terminal"]
    (found,) = recorded.filled(FilePath, "proc_pidfdinfo", *asked)[:1]
    return TERMINAL.fullmatch(bytes(found.path)) is not None, ""


def _ticks(recorded: Recorded) -> _Answer:
    sums = recorded.filled(TaskAllInfo, "proc_pidinfo", recorded.pid, 2)[0].ptinfo
    seconds = (sums.pti_total_user + sums.pti_total_system) * _tick_s(recorded)
    least, most = (one["cpu_s"] for one in (recorded.child[0], recorded.child[-1]))
    return _between(least, seconds, most), _said(seconds, least, most)


def _tick_s(recorded: Recorded) -> float:
    """As `kernel.tick_s`: a Python that Rosetta translates is told another length."""
    for call in recorded.calls:
        asked = call.name == "sysctlbyname" and call.given[0] == kernel.TRANSLATED
        if asked and call.answer == 0 and call.buffers[0].startswith("01"):
            return kernel.OF_APPLE_SILICON_S
    (base,) = recorded.filled(Timebase, "mach_timebase_info")[:1]
    return float(base.numer / base.denom / 1e9)


def _nanoseconds(recorded: Recorded) -> _Answer:
    number = recorded.child[0]["threads"]["spins"]
    info = recorded.filled(ThreadInfo, "proc_pidinfo", recorded.pid, 15, number)[0]
    seconds = (info.pth_user_time + info.pth_system_time) / 1e9
    least, most = (one["thread_cpu_s"]["spins"] for one in (recorded.child[0], recorded.child[-1]))
    return _between(least, seconds, most), _said(seconds, least, most)


def _said(seconds: float, least: float, most: float) -> str:
    return f"{duration(seconds)}; it says {duration(least)} to {duration(most)}"


def _between(least: float, value: float, most: float) -> bool:
    return least - _NEAR_S <= value <= most + _NEAR_S


def _waiting(recorded: Recorded) -> _Answer:
    states = [
        recorded.filled(ThreadInfo, "proc_pidinfo", recorded.pid, 15, number)[0].pth_run_state
        for name, number in recorded.child[0]["threads"].items()
        if name in ("waits", "sleeps")
    ]
    return set(states) == {_WAITING}, f"run states {states}"


def _children(recorded: Recorded) -> _Answer:
    listed = recorded.numbers("proc_listpids", 4, 6, recorded.pid)
    return recorded.child[0]["sleeper"] in listed, f"{len(listed)} listed"


def _started(recorded: Recorded) -> _Answer:
    bsd = recorded.filled(BsdInfo, "proc_pidinfo", recorded.pid, 3)
    task = recorded.filled(TaskAllInfo, "proc_pidinfo", recorded.pid, 2)
    one = bsd[0] if bsd else task[0].pbsd
    apart = recorded.child[0]["begun"] - one.pbi_start_tvsec - one.pbi_start_tvusec / 1e6
    return 0 <= apart < 60, f"{duration(max(apart, 0.0))} before its first line"


def _pipe(recorded: Recorded) -> _Answer:
    reads, writes = (
        recorded.filled(PipeFdInfo, "proc_pidfdinfo", recorded.pid, number)[0].pipeinfo
        for number in recorded.child[0]["pipe"]
    )
    named = reads.pipe_handle == writes.pipe_peerhandle, writes.pipe_handle == reads.pipe_peerhandle
    return all(named), ""


def _variables(recorded: Recorded) -> _Answer:
    told = recorded.told("arguments.json")
    return told["child"]["marked"], f"{told['child']['variables']} variables"


def _protected(recorded: Recorded) -> _Answer:
    told = recorded.told("arguments.json")["sleeper"]
    return not told["marked"], f"{told['variables']} variables of /bin/sleep"


def _forks(recorded: Recorded) -> _Answer:
    heard = recorded.told("events.json")["heard"]
    return any(one.get("own") and one.get("forked") for one in heard), f"{len(heard)} events"


def _sample_answers(recorded: Recorded) -> _Answer:
    told = recorded.told("tools.json")
    took, refused, gone = (told[name] for name in ("sample", "launchd", "ended"))
    words = [
        _REFUSED in refused["errors"] + refused["output"],
        _GONE in gone["errors"] + gone["output"],
    ]
    done = took["code"] == 0
    return done and all(
        words
    ), f"it took {duration(took['took_s'])}, codes {refused['code']}, {gone['code']}"


def _readings(recorded: Recorded) -> list[gpu.Reading]:
    names = sorted(name for name in recorded.texts if name.startswith("ioreg-"))
    read = [gpu.parse(recorded.texts[name]) for name in names]
    return [one for one in read if one is not None]


def _names_clients(recorded: Recorded) -> _Answer:
    if not recorded.child[0]["gpu"]:
        return None, "the child had no GPU: install MLX"
    readings = _readings(recorded)
    times = [one.clients.get(recorded.pid) for one in readings]
    shares = [max(one.utilization.values(), default=None) for one in readings]
    most = max((one for one in shares if one is not None), default=0)
    return any(times) and any(shares), f"utilization up to {percent(most / 100)}"


def _counted_late(recorded: Recorded) -> _Answer:
    if not recorded.child[0]["gpu"]:
        return None, "the child had no GPU: install MLX"
    times = [one.clients.get(recorded.pid) or 0 for one in _readings(recorded)]
    steps = [later - first for first, later in pairwise(times)]
    if not any(steps):
        return None, "its GPU time did not grow at all"
    return not all(steps), f"grown by {', '.join(duration(one / 1e9) for one in steps)}"


def _cache(recorded: Recorded) -> _Answer:
    inside = recorded.child[-1]["caches_in_tmpdir"]
    metal = [one for one in recorded.child[-1]["in_tmpdir"] if re.search("metal", one, re.I)]
    if inside is None:
        return None, "there is no such folder"
    return not inside and not metal, f"in TMPDIR: {metal or 'nothing of Metal'}"


def _power(recorded: Recorded) -> _Answer:
    told = recorded.told("tools.json")
    settings, heat = (told[" ".join(one)].get("output", "") for one in (power.SETTINGS, power.HEAT))
    low, limits = power.low_power(settings), power.heat_of(heat)
    return low is not None and bool(limits), f"low power mode {low}, heat: {limits or 'not told'}"


def _wired(recorded: Recorded) -> _Answer:
    for call in recorded.calls:
        if call.name == "sysctlbyname" and call.given[0] == power.WIRED_LIMIT:
            return call.answer == 0, f"bytes {call.buffers[0] or '0'}, size {call.buffers[1]}"
    return None, ""


def _pages(recorded: Recorded) -> _Answer:
    for call in recorded.calls:
        if call.name == "host_statistics64":
            return (
                call.answer == 0,
                f"it filled in {int.from_bytes(bytes.fromhex(call.buffers[1]), 'little')} numbers",
            )
    return None, ""


def _guess(
    name: str, what: str, files: Sequence[str], check: Callable[[Recorded], _Answer]
) -> Guess:
    return Guess(name=name, what=what, files=tuple(files), check=check)


_CALLS, _TOLD = "calls.json", "child.json"
GUESSES = (
    _guess("native_id", "libproc's numbers of threads are those that Python has",
           (_CALLS, _TOLD), _kernels_numbers),
    _guess("thread_n", "`Thread_N` of `sample` is the kernel's number", ("sample.txt", _TOLD),
           _of_sample),
    _guess("pthreads", "the kernel keeps each thread's data at one distance from its pthread",
           (_CALLS, _TOLD), _one_distance),
    _guess("oldest_first", "the main thread is the first one in the list", (_CALLS, _TOLD),
           _oldest_first),
    _guess("all_listed", "all threads of a task are listed", (_CALLS,), _counted),
    _guess("ticks", "the times of a task are in Mach ticks", (_CALLS, _TOLD), _ticks),
    _guess("nanoseconds", "the times of a thread are in nanoseconds", (_CALLS, _TOLD),
           _nanoseconds),
    _guess("waiting", "a thread that sleeps or waits is shown as one that waits", (_CALLS, _TOLD),
           _waiting),
    _guess("children", "a parent's children are listed to its own user", (_CALLS, _TOLD),
           _children),
    _guess("started", "a start is shown in microseconds since 1970", (_CALLS, _TOLD), _started),
    _guess("pipe_ends", "the two ends of a pipe name one another", (_CALLS, _TOLD), _pipe),
    _guess("terminal", "a terminal has a path like that of /dev/ttys000", (_CALLS, _TOLD),
           _terminal),
    _guess("clock", "Python's monotonic clock stands still while the Mac sleeps", (_TOLD,),
           _clock),
    _guess("variables", "the variables of a process can be read by its user",
           ("arguments.json",), _variables),
    _guess("protected", "those of a program of Apple's cannot", ("arguments.json",), _protected),
    _guess("note_fork", "kqueue tells of each fork", ("events.json",), _forks),
    _guess("sample_answers", "`sample` answers, and says why where it does not",
           ("tools.json",), _sample_answers),
    _guess("gpu_clients", "`ioreg` names who uses the GPU, with the time of each",
           ("ioreg-1.plist", _TOLD), _names_clients),
    _guess("counted_late", "a long command of the GPU is counted only when it is over",
           ("ioreg-1.plist", "ioreg-2.plist", "ioreg-3.plist", "ioreg-4.plist"), _counted_late),
    _guess("metal_cache", "Metal's cache of kernels does not follow TMPDIR", (_TOLD,), _cache),
    _guess("pmset", "`pmset` tells of low power mode and heat in the known forms",
           ("tools.json",), _power),
    _guess("wired_limit", "the wired limit is a sysctl of 32 or 64 bits", (_CALLS,), _wired),
    _guess("pages", "host_statistics64 answers into a roomy buffer", (_CALLS,), _pages),
)  # fmt: skip
