"""What a process that was not started here does, from looks at it and captures of its stacks. Pure.

The first rule of `RULES` that has something to say decides. Nothing is known of how long its steps
take, so that none is called dead for slowness: only for not having moved at all, and for staying in
one place while it moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import msgspec

from harness import proof, waitsite
from harness.attach.motion import Motion, Pace, motion, process_at
from harness.attach.seen import Capture, Link, Seen
from harness.attach.waits import Wait, kernel_wait
from harness.model import Process, Thread
from harness.stackparse import ThreadStack
from harness.stackparse.frames import plain
from harness.waitrules import Category
from harness.waitsite import WaitSite

BUSY = 0.02
"""Share of a core from which on a thread or process uses the CPU."""
FEW_SLEEPS = 1
"""A loop without end goes to wait for nothing; so many times may be chance."""
FEW_FAULTS = 8
"""Minor page faults that are no sign of work."""
THRASHING = 20.0
"""Pages a second that come back from a disk, from which on a process without memory starves."""
SWAPPED = 64 << 20
SCARCE = 256 << 20
"""Bytes: of a process that are swapped out, of a machine that are left."""
SLEEP_S = 60.0
"""A sleeper is believed to go on if it wakes within so long, as by `harness run`."""
_COMPREHENSION = ("<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>")
"""Whether it is caught in one of these or in the function around it is chance."""
_JOINS = ("join", "_wait_for_tstate_lock", "_shutdown")
"""Where Python waits for a thread to end, whose work it then is to go on."""
COMPILERS = frozenset(
    ("g++", "gcc", "c++", "cc", "cc1plus", "cc1", "clang", "clang++", "as", "ld", "collect2", "lld",
     "nvcc", "cicc", "ptxas", "nvlink", "metal", "metallib", "xcrun", "air-lld", "ninja", "make")
)  # fmt: skip


class Answer(str, Enum):
    DEADLOCK = "deadlock"
    STOPPED = "stopped"
    TRACED = "traced"
    STARVED = "starved"
    STALLED = "stalled"
    SPINNING = "spinning"
    WAITING = "waiting"
    ASLEEP = "asleep"
    COMPILING = "compiling"
    ALIVE = "alive"
    ENDED = "ended"


GOOD = (Answer.ALIVE, Answer.COMPILING, Answer.ENDED)


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one process."""

    pid: int
    answer: Answer
    summary: str
    """A sentence's end: "waits for its child process 12 (sleep ...)"."""
    good: bool
    """Whether it goes on by itself, as far as can be told."""
    on: tuple[int, ...] = ()
    """The processes of the tree that it waits for."""
    sure: bool = True
    """Whether another capture of its stacks could not alter the answer."""
    fingerprint: str | None = None
    evidence: dict[str, Any] = {}


class Says(msgspec.Struct, frozen=True):
    """What a rule has to say."""

    answer: Answer
    summary: str
    on: tuple[int, ...] = ()
    sure: bool = True
    good: bool | None = None
    """None: as the answer is."""
    evidence: dict[str, Any] = {}


@dataclass(frozen=True)
class Case:
    """One process, with what the rules ask of it."""

    seen: Seen
    process: Process

    @property
    def pid(self) -> int:
        return self.process.pid

    @cached_property
    def motion(self) -> Motion:
        return motion(self.seen.windows, self.pid)

    @property
    def captures(self) -> tuple[Capture, ...]:
        return self.seen.stacks.get(self.pid, ())

    @cached_property
    def waits(self) -> waitsite.Waits | None:
        return waitsite.explain(self.captures[-1]) if self.captures else None

    @property
    def category(self) -> Category | None:
        return self.waits.overall.category if self.waits else None

    @property
    def main(self) -> Thread | None:
        return next((one for one in self.process.threads if one.tid == self.pid), None)

    @property
    def living(self) -> tuple[int, ...]:
        """Its children, but for those that have ended."""
        return tuple(
            one.pid
            for one in self.seen.last.processes
            if one.ppid == self.pid and one.state not in "ZX"
        )

    @property
    def below(self) -> tuple[Process, ...]:
        """All that descends from it."""
        found = {self.pid}
        for one in self.seen.last.processes:  # parents before children
            if one.ppid in found:
                found.add(one.pid)
        return tuple(
            one for one in self.seen.last.processes if one.pid in found and one.pid != self.pid
        )

    def wait(self, thread: Thread) -> Wait | None:
        more = self.seen.last.more.get(self.pid)
        waits_in = more.waits_in.get(thread.tid, "") if more else ""
        return kernel_wait(thread, waits_in, self.seen.machine)

    def stack(self, tid: int, capture: int = -1) -> ThreadStack | None:
        if not self.captures:
            return None
        return next(
            (
                one
                for one in self.captures[capture]
                if one.tid == tid or (one.main and tid == self.pid)
            ),
            None,
        )

    def went_on(self, tid: int) -> bool | None:
        """Whether a thread was elsewhere in the last capture than in the one before it."""
        if len(self.captures) < 2:
            return None
        before, after = self.stack(tid, -2), self.stack(tid, -1)
        if before is None or after is None:
            return None
        return place(before) != place(after)


def place(thread: ThreadStack) -> tuple[object, ...]:
    """Where a thread is: its callers to the line, and the function that it is in.

    Where in that function it was caught is chance, if it runs.
    """
    own = [f for f in thread.frames if not (f.system or f.function in _COMPREHENSION)]
    names = [(frame.file, plain(frame.function)) for frame in own]
    return (names[:1], [(*name, f.line) for name, f in zip(names[1:], own[1:], strict=True)])


def judge(pid: int, seen: Seen) -> Judged:
    """The answer for one process of the tree."""
    process = process_at(seen.last, pid)
    if process is None or (process.state in "ZX" and all(t.state in "ZX" for t in process.threads)):
        return Judged(pid=pid, answer=Answer.ENDED, summary="has ended", good=True)
    case = Case(seen, process)
    says = next(found for rule in RULES if (found := rule(case)) is not None)
    return Judged(
        pid=pid,
        answer=says.answer,
        summary=says.summary,
        good=says.answer in GOOD if says.good is None else says.good,
        on=tuple(one for one in says.on if one != pid),
        sure=says.sure,
        fingerprint=case.waits.fingerprint if case.waits else None,
        evidence=_facts(case) | says.evidence,
    )


def _facts(case: Case) -> dict[str, Any]:
    """What is told of every process."""
    moved = case.motion
    facts: dict[str, Any] = {
        "watched_s": round(moved.seconds, 2),
        "cpu": round(moved.cpu, 3),
        "io_bytes": moved.io,
        "major_faults": moved.major,
        "minor_faults": moved.minor,
        "switches": _total(moved),
        "threads": len(case.process.threads),
        "rss": case.process.rss,
    }
    if case.waits is not None:
        facts["wait_site"] = told(case.waits.overall)
        facts["wait_category"] = case.waits.overall.category.value
        facts["fingerprint"] = case.waits.fingerprint
    if len(case.captures) > 1:
        facts["stacks_moved"] = not waitsite.same_place(*case.captures[-2:])
    return facts


def _total(moved: Motion) -> int | None:
    known = [pace.switches for pace in moved.threads.values() if pace.switches is not None]
    return sum(known) if known else None


def told(site: WaitSite) -> str:
    """`waits for ... (function), from file.py:12 in step`."""
    function = f" ({site.function})" if site.function else ""
    return (
        site.description + function + (f", from {site.python_frame}" if site.python_frame else "")
    )


# --- the rules, in their order ------------------------------------------------------------------


def _stopped(case: Case) -> Says | None:
    if case.process.state == "T":
        return Says(Answer.STOPPED, "is stopped by a signal, or frozen with its control group")
    if case.process.state == "t":
        around = case.seen.last.worlds.get(case.pid)
        tracer = around.surroundings[case.pid].tracer if around else None
        return Says(
            Answer.TRACED, "is held by a debugger" + (f", process {tracer}" if tracer else "")
        )
    return None


def _dead(case: Case) -> Says | None:
    """Proven by each window that is long enough for it, the last one included."""
    if case.pid in case.seen.shares:
        return None
    windows = [
        [look.worlds[case.pid] for look in window if case.pid in look.worlds]
        for window in case.seen.windows
    ]
    enough = [
        one for one in windows if len(one) >= proof.LOOKS and one[-1].t - one[0].t >= proof.SPAN_S
    ]
    if not enough or any(proof.prove(one, case.seen.machine) for one in enough):
        return None
    found = proof.deadlock(enough[-1], case.seen.name(case.pid))
    return Says(Answer.DEADLOCK, found.summary, evidence=found.evidence)


def _starved(case: Case) -> Says | None:
    moved, more = case.motion, case.seen.last.more.get(case.pid)
    if case.category is Category.MEMORY and moved.cpu < BUSY:
        return Says(Answer.STARVED, f"waits for memory: {_site(case)}")
    swapped = more.swap if more else None
    available = case.seen.last.machine.available
    scarce = (swapped or 0) > SWAPPED or (available is not None and available < SCARCE)
    if scarce and moved.rate(moved.major) >= THRASHING:
        back = f"has {moved.rate(moved.major):.0f} pages a second read back from the disk"
        return Says(Answer.STARVED, f"{back}, with {_mib(swapped)} of it swapped out")
    return None


def _compiling(case: Case) -> Says | None:
    main = case.motion.threads.get(case.pid)
    busy = case.motion.cpu >= BUSY or (main is not None and main.runnable)
    if case.category is Category.JIT and busy:
        return Says(Answer.COMPILING, f"compiles: {_site(case)}")
    if busy and (main is None or main.cpu >= BUSY):
        return None
    for one in case.below:
        if one.name in COMPILERS:
            below = motion(case.seen.windows, one.pid)
            works = any(p.runnable or p.states[-1:] in ("R", "D") for p in below.threads.values())
            if below.cpu >= BUSY or below.came_or_went or works:
                name = case.seen.name(one.pid)
                return Says(Answer.COMPILING, f"waits for a compiler that works, {name}")
    return None


def _busy(case: Case) -> Says | None:
    """It uses the CPU: alive, unless all that does so stays in one place."""
    moved = case.motion
    busy = {t: p for t, p in moved.threads.items() if p.cpu >= BUSY or p.runnable}
    if not busy and moved.cpu < BUSY:
        return None
    if not busy or _goes_elsewhere(moved):
        return Says(Answer.ALIVE, _at_work(case))
    works = {tid: _works(case, tid, pace) for tid, pace in busy.items()}
    if True in works.values():
        return Says(Answer.ALIVE, _at_work(case))
    if None in works.values():
        unread = "" if case.captures else "; whether it gets anywhere only its stacks could tell"
        return Says(Answer.ALIVE, _at_work(case) + unread, sure=False)
    return _nowhere(case, busy)


def _goes_elsewhere(moved: Motion) -> bool:
    """Whether anything moves that a loop which only runs would not move."""
    return bool(moved.io or moved.major or moved.came_or_went or (moved.minor or 0) > FEW_FAULTS)


def _works(case: Case, tid: int, pace: Pace) -> bool | None:
    """Whether a thread that uses the CPU gets anywhere; None when that cannot be told (yet)."""
    stack = case.stack(tid)
    often = pace.sleeps is not None and pace.sleeps > FEW_SLEEPS
    if stack is None:
        return True if often else None
    site = waitsite.wait_site(stack)
    if site.category in (Category.IDLE, Category.COLLECTIVE):
        return False
    if _in_mlx(stack):
        return True
    went_on = case.went_on(tid)
    if went_on is False and site.category in (Category.SLEEP, Category.GIL):
        return False
    return True if went_on or often else went_on


def _in_mlx(thread: ThreadStack) -> bool:
    """Whether it runs MLX's own code: an array operation may take as long as it likes."""
    own = next((frame for frame in thread.frames if not frame.system), None)
    return own is not None and not own.python and "mlx::core" in own.function


def _nowhere(case: Case, busy: dict[int, Pace]) -> Says:
    """It uses the CPU, and each thread that does so is where it was."""
    sites = {tid: waitsite.wait_site(stack) for tid in busy if (stack := case.stack(tid))}
    runs = [
        (tid, site)
        for tid, site in sites.items()
        if site.category not in (Category.IDLE, Category.SLEEP, Category.GIL, Category.COLLECTIVE)
    ]
    if case.category is Category.COLLECTIVE:
        return _collective(case, ", while a thread of its own spins")
    if runs:
        tid, site = next((pair for pair in runs if pair[0] == case.pid), runs[0])
        who = "the main thread" if tid == case.pid else f"thread {tid} ({busy[tid].name})"
        where = f" in {site.python_frame}" if site.python_frame else f" in {site.function}"
        return Says(
            Answer.SPINNING,
            f"uses {_percent(busy[tid].cpu)} of a core and stays in one place: {who} was{where} "
            "at each look, and nothing else moved. That is a loop without end, or one long "
            "computation",
        )
    if all(site.category is Category.SLEEP for site in sites.values()):
        return _polls(case)
    return Says(Answer.STALLED, f"{_site(case)}, while another thread spins")


def _moving(case: Case) -> Says | None:
    """It moves, and hardly uses the CPU."""
    moved = case.motion
    if _goes_elsewhere(moved):
        return Says(Answer.ALIVE, _at_work(case))
    awake = [tid for tid, pace in moved.threads.items() if pace.wakes]
    went_on = [case.went_on(tid) for tid in awake]
    if True in went_on:
        return Says(Answer.ALIVE, _at_work(case))
    if case.pid in awake:
        return _polls(case)
    return None  # other threads wake, look, and wait again: the main one does not


def _polls(case: Case) -> Says:
    pace = case.motion.threads[case.pid]
    often = f"wakes {case.motion.rate(pace.switches):.3g} times a second, and waits again"
    if case.living:
        return Says(
            Answer.WAITING, f"{often}, as who waits for children does", case.living, sure=False
        )
    told = f"{often} in the same place: it polls, or paces itself" + _from(case)
    return Says(Answer.ASLEEP, told, sure=False, good=True)


def _asleep(case: Case) -> Says | None:
    """Its main thread is in a wait that ends by itself. One that waits for a child is not."""
    main = case.main
    if main is None or case.wait(main) is Wait.CHILD:
        return None
    sleeps = case.wait(main) is Wait.SLEEP
    worlds = [look.worlds[case.pid] for look in case.seen.windows[-1] if case.pid in look.worlds]
    if not sleeps and not proof.asleep(worlds, case.seen.machine):
        return None
    what = f"sleeps{_from(case)}" if sleeps else _site(case)
    left = _left(case)
    if left is None:
        return Says(Answer.ASLEEP, f"{what}; when it wakes cannot be read", good=True)
    return Says(
        Answer.ASLEEP,
        f"{what}, and wakes in {left:.3g} s at the latest",
        good=left <= SLEEP_S,
        evidence={"wakes_in_s": round(left, 3)},
    )


def _left(case: Case) -> float | None:
    """Seconds until its main thread wakes, by the last look that could read it.

    A sleep that a tool has interrupted goes on as another system call, which tells no time.
    """
    looks = [look for window in case.seen.windows for look in window]
    for look in reversed(looks):
        process = process_at(look, case.pid)
        threads = process.threads if process else ()
        main = next((thread for thread in threads if thread.tid == case.pid), None)
        if main is not None and main.wakes_in is not None:
            return max(0.0, main.wakes_in - (case.seen.last.t - look.t))
    return None


def _outside(case: Case) -> Says | None:
    """Its main thread waits for another process, or for a file."""
    main = case.main
    wait = None if main is None else case.wait(main)
    if case.category is Category.COLLECTIVE:
        return _collective(case)
    if case.category is Category.JIT:
        names = _named(case, case.living)
        return Says(
            Answer.WAITING, f"waits for a compiler that does nothing{names}{_from(case)}",
            case.living or (),
        )  # fmt: skip
    if wait is Wait.CHILD or case.category is Category.CHILD:
        which = _named(case, case.living, "its child ") or ", which is not seen"
        return Says(
            Answer.WAITING, f"waits for a child process{which}{_from(case)}", case.living
        )  # fmt: skip
    if wait is Wait.FILE and main is not None:
        return _file(case, main)
    if wait is Wait.SIGNAL:
        return Says(Answer.WAITING, f"waits for a signal{_from(case)}")
    if wait is Wait.SHARED:
        return Says(
            Answer.WAITING,
            f"waits for a semaphore or lock that processes share{_from(case)}",
            case.living,
        )
    if main is not None and main.state == "D":
        return Says(Answer.WAITING, f"waits in the kernel, as for a disk{_from(case)}")
    return _device(case) or _through_a_thread(case)


def _file(case: Case, thread: Thread, who: str = "") -> Says:
    links = case.seen.links.get(thread.tid, ())
    listed = tuple(one.pid for one in case.seen.last.processes)
    on = tuple(dict.fromkeys(p for link in links for p in link.peers if p in listed))
    what = "; ".join(_link(case, link) for link in links[:4]) or "a file, pipe or socket"
    return Says(Answer.WAITING, f"{who}waits for {what}{_from(case)}", on)


def _link(case: Case, link: Link) -> str:
    others = [pid for pid in link.peers if pid != case.pid]
    if others:
        more = f" and {len(others) - 2} more" if len(others) > 2 else ""
        names = " and ".join(case.seen.name(pid) for pid in others[:2])
        return f"{link.told} to {names}{more}"
    if link.only_own:
        return f"{link.told} that no other process has the other end of"
    return link.told


def _device(case: Case) -> Says | None:
    """The host waits for a GPU: from here a long kernel and one without end look alike."""
    worlds = case.seen.last.worlds.get(case.pid)
    around = worlds.surroundings.get(case.pid) if worlds else None
    if not (around and around.devices and case.category is Category.STREAM_EVALUATION):
        return None
    shown = "; ".join(case.seen.gpu)
    if any(_utilisation(line) for line in case.seen.gpu):
        told = f"waits for a GPU that works ({shown}): one long kernel, or one without end"
        return Says(Answer.ALIVE, told + _from(case))
    idle = f"does nothing ({shown})" if shown else "nobody can ask"
    return Says(Answer.WAITING, f"waits for a GPU that {idle}{_from(case)}")


def _utilisation(line: str) -> float:
    """Per cent, of `name, 87 %, 1024 MiB`."""
    part = line.split(",")[1:2]
    words = part[0].split() if part else []
    return float(words[0]) if words and words[0].replace(".", "").isdigit() else 0.0


def _through_a_thread(case: Case) -> Says | None:
    """Its main thread waits for another one, which runs Python and waits for something outside."""
    for thread in case.process.threads:
        stack = case.stack(thread.tid)
        if thread.tid == case.pid or stack is None:
            continue
        site = waitsite.wait_site(stack)
        if site.python_frame is None or site.category is Category.IDLE:
            continue
        who = f"{_site(case)}; thread {thread.tid} ({thread.name}) "
        if case.wait(thread) is Wait.FILE:
            return _file(case, thread, who)
        if case.wait(thread) is Wait.CHILD:
            return Says(Answer.WAITING, f"{who}waits for a child process", case.living)
        joined = case.waits is not None and case.waits.overall.function in _JOINS
        # One that sleeps again and again feeds nobody: a heartbeat beside a main thread that hangs.
        beats = thread.tid in case.motion.threads and case.motion.threads[thread.tid].wakes
        asleep = case.wait(thread) is Wait.SLEEP and (joined or not beats)
        if asleep and thread.wakes_in is not None:
            left = thread.wakes_in
            wakes = f"{who}sleeps, and wakes in {left:.3g} s at the latest"
            return Says(Answer.ASLEEP, wakes, good=left <= SLEEP_S)
    return None


def _collective(case: Case, also: str = "") -> Says:
    peers = case.seen.sockets.get(case.pid, ())
    listed = {one.pid for one in case.seen.last.processes}
    description = case.waits.overall.description if case.waits else "waits for another rank"
    return Says(
        Answer.WAITING,
        f"{description}{_named(case, peers)}{_from(case)}{also}",
        tuple(pid for pid in peers if pid in listed),
    )


def _still(case: Case) -> Says:
    """Nothing is left that could tell it apart: it has not moved."""
    what = f": {_site(case)}" if case.waits else "; its stacks could not be read"
    if case.main is not None and case.wait(case.main) is None and not case.waits:
        what += ", so that it may be asleep"
    awake = any(pace.wakes for pace in case.motion.threads.values())
    how = (
        "its main thread has not run, and others only wake and wait again"
        if awake
        else "no thread has run, and nothing was read, written or paged in"
    )
    return Says(
        Answer.STALLED,
        f"{how} for {case.motion.seconds:.1f} s{what}",
        sure=len(case.captures) > 1,
    )


RULES = (
    _stopped, _dead, _starved, _compiling, _busy, _moving, _asleep, _outside, _still,
)  # fmt: skip


# --- words ---------------------------------------------------------------------------------------


def _site(case: Case) -> str:
    if case.waits is None:
        return "waits"
    site = case.waits.overall
    who = "the main thread" if site.main else f"thread {site.tid}"
    return f"{who} {told(site)}"


def _from(case: Case) -> str:
    frame = case.waits.overall.python_frame if case.waits else None
    return f", from {frame}" if frame else ""


def _named(case: Case, pids: tuple[int, ...], prefix: str = "") -> str:
    if not pids:
        return ""
    more = f" and {len(pids) - 2} more" if len(pids) > 2 else ""
    return ": " + prefix + " and ".join(case.seen.name(pid) for pid in pids[:2]) + more


def _at_work(case: Case) -> str:
    """Its rate of progress as seen from outside."""
    moved = case.motion
    top = sorted(moved.threads.items(), key=lambda pair: -pair[1].cpu)[:2]
    threads = [
        f"{'main thread' if tid == case.pid else pace.name} {_percent(pace.cpu)}"
        for tid, pace in top
        if pace.cpu >= BUSY
    ]
    parts = [f"uses {_percent(moved.cpu)} of a core" + (f" ({', '.join(threads)})" * bool(threads))]
    if moved.io:
        parts.append(f"reads and writes {_mib(moved.rate(moved.io))} a second")
    if switches := _total(moved):
        parts.append(f"switches threads {moved.rate(switches):.3g} times a second")
    if moved.major:
        parts.append(f"pages in {moved.rate(moved.major):.3g} times a second")
    if moved.came_or_went:
        parts.append("threads or children come and go")
    return ", ".join(parts) + (f"; {_site(case)}" if case.waits else "")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _mib(count: float | None) -> str:
    if count is None:
        return "an unknown amount"
    return f"{count / (1 << 20):.3g} MiB" if count >= 1 << 20 else f"{count / 1024:.3g} KiB"
