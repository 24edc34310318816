"""One process with what the rules ask of it, and the words for what it does. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import msgspec

from harness.detect.activity import Motion, motion
from harness.detect.kernel_waits import Wait, kernel_wait
from harness.detect.observation import Capture, Seen
from harness.model import Process, Thread
from harness.stacks import wait_site
from harness.stacks.parse import ThreadStack
from harness.stacks.parse.frames import bare_name
from harness.stacks.wait_rules import Category
from harness.stacks.wait_site import WaitSite
from harness.text.units import percent, rate, throughput

BUSY = 0.02
"""Share of a core from which on a thread or process uses the CPU."""
_COMPREHENSION = ("<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>")
"""Whether it is caught in one of these or in the function around it is chance."""


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
    def waits(self) -> wait_site.Waits | None:
        if not self.captures:
            return None
        return wait_site.explain([self._at_rest(one) for one in self.captures[-1]])

    def _at_rest(self, stack: ThreadStack) -> ThreadStack:
        """Not every tool says that a thread does not run; the looks do."""
        pace = self.motion.threads.get(stack.tid or 0)
        rests = pace is not None and set(pace.states) <= set("SD") and not pace.wakes
        return msgspec.structs.replace(stack, running=False) if rests else stack

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
        return kernel_wait(thread, waits_in, self.seen.arch)

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
    names = [(frame.file, bare_name(frame.function)) for frame in own]
    return (names[:1], [(*name, f.line) for name, f in zip(names[1:], own[1:], strict=True)])


def told(site: WaitSite) -> str:
    """`waits for ... (function), from file.py:12 in step`."""
    function = f" ({site.function})" if site.function else ""
    return (
        site.description + function + (f", from {site.python_frame}" if site.python_frame else "")
    )


def switches(moved: Motion) -> int | None:
    """Of all its threads together; None when none could be read."""
    known = [pace.switches for pace in moved.threads.values() if pace.switches is not None]
    return sum(known) if known else None


def at_site(case: Case) -> str:
    """Which of its threads names the cause, and what that one waits for."""
    if case.waits is None:
        return "waits"
    site = case.waits.overall
    who = "the main thread" if site.main else f"thread {site.tid}"
    return f"{who} {told(site)}"


def place_from(case: Case) -> str:
    """The line of the user's code that it is called from, where a stack was seen."""
    frame = case.waits.overall.python_frame if case.waits else None
    return f", from {frame}" if frame else ""


def named(case: Case, pids: tuple[int, ...], prefix: str = "") -> str:
    """`: process 12 (sh ...) and process 13 (sleep ...)`; empty without any."""
    if not pids:
        return ""
    more = f" and {len(pids) - 2} more" if len(pids) > 2 else ""
    return ": " + prefix + " and ".join(case.seen.name(pid) for pid in pids[:2]) + more


def at_work(case: Case) -> str:
    """Its rate of progress as seen from outside."""
    moved = case.motion
    top = sorted(moved.threads.items(), key=lambda pair: -pair[1].cpu)[:2]
    threads = [
        f"{'main thread' if tid == case.pid else pace.name} {percent(pace.cpu)}"
        for tid, pace in top
        if pace.cpu >= BUSY
    ]
    parts = [f"uses {percent(moved.cpu)} of a core" + (f" ({', '.join(threads)})" * bool(threads))]
    if moved.io:
        parts.append(f"reads and writes {throughput(moved.rate(moved.io))}")
    if count := switches(moved):
        parts.append(f"switches threads {rate(moved.rate(count), 'time')}")
    if moved.major:
        parts.append(f"pages in {rate(moved.rate(moved.major), 'time')}")
    if moved.came_or_went:
        parts.append("threads or children come and go")
    return ", ".join(parts) + (f"; {at_site(case)}" if case.waits else "")
