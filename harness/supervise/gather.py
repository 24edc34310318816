"""An observation of a tree in doubt: looks, who is at the other end of its waits, and stacks.

What `attach` does once, a watched run does again and again while it is in doubt. Reading /proc and
the memory of a process stops nothing. Stacks are taken by tools, of which those that stop their
target are used only where that does no harm (`harness.stacks.stopping`).
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path

import msgspec

from harness.detect import no_switch
from harness.detect.observation import Capture, Look, Observation, Window
from harness.inject.inside import answering
from harness.model import Process, Snapshot
from harness.model.world import Gpus, Relations, Surroundings, World
from harness.observe import platform, process_names, threads
from harness.observe.linux import timeouts
from harness.observe.linux.exits import Exits
from harness.stacks import capture as stacks
from harness.stacks import tools as stack_tools
from harness.stacks.capture import StackCapture
from harness.stacks.tools import Tool
from harness.supervise.clocks import Clocks
from harness.supervise.interval_timers import IntervalTimers
from harness.supervise.wakes import Wakes

BETWEEN_S = 0.15
"""Between two looks."""
TOOL_S = 5.0
"""For one tool at one process."""
AT_ONCE = 4
"""Processes whose stacks are taken at a time."""


class Gatherer:
    """Observes one tree. It remembers what must be known from one observation to the next."""

    def __init__(self, pid: int, guard: int | None = None, ours: bool | None = None) -> None:
        """`guard` adopts what is orphaned in the tree of `pid`, and is no part of it. `ours` says
        if the process is a worker, whose handler of SIGUSR1 is ours. Else its command line does."""
        self.pid = pid
        self._guard = guard
        self._ours = process_names.is_worker(process_names.argv(pid)) if ours is None else ours
        self._left = timeouts.Left(platform.current().arch)
        self._names: dict[int, str] = {}
        """Also of processes that have gone."""
        self.clocks = Clocks(platform.current().arch)
        self._wakes = Wakes()
        self._looking = threading.Lock()
        """The prover looks in one thread, and the inspector in another."""
        self._reading = threading.Lock()
        self.undisturbed = threading.RLock()
        """Held while looks are compared: who is asked for timers wakes, as one that polls does."""
        self._timers = IntervalTimers(platform.current().interval_timers)
        self._relations = platform.current().relations()
        self._exits = Exits()
        self._oom_kills = platform.current().oom_kills()

    def reset(self) -> None:
        """A step came: what was counted since the last one is over."""
        self._relations = platform.current().relations()
        with self._looking:
            self.clocks.reset()
            self._wakes.reset()
        self._timers.reset()

    def ask(self, pids: Iterable[int]) -> bool:
        """Ask processes for their timers; returns whether a look shows more now.

        One thread of each is stopped for a moment. A proof must rest on looks from after that. It
        is not done while another thread compares looks.
        """
        if not self.undisturbed.acquire(blocking=False):
            return False
        try:
            return self._timers.ask(pids, lambda: self.look().processes)
        finally:
            self.undisturbed.release()

    def touched(self) -> None:
        """A tool has looked into the tree since the last look."""
        self.clocks.touched()
        self._wakes.touched()

    def follow(self, snapshot: Snapshot, progress: float) -> None:
        """Take in a snapshot, so that it is known how a process ends that will be gone later.

        `progress` is when the last step came.
        """
        self._exits.follow(snapshot.processes[1:], snapshot.t, progress)

    def window(self, seconds: float, least: int = 2) -> Window:
        """Look for so long, and at least `least` times; fewer if the process ends."""
        end = time.monotonic() + seconds
        looks = [self.look()]
        while looks[-1].processes and (len(looks) < least or time.monotonic() < end):
            time.sleep(min(BETWEEN_S, max(seconds, 0.01)))
            looks.append(self.look())
        return tuple(looks)

    def glance(self) -> World:
        """The threads of the tree and their waits, without what each process has open."""
        roots = [self.pid] if self._guard is None else [self.pid, self._guard]
        seen = platform.current().processes(roots, deep=True)
        return World(
            t=time.monotonic(),
            processes=tuple(process for process in seen if process.pid != self._guard),
            surroundings={},
        )

    def look(self) -> Look:
        """One deep look."""
        here = platform.current()
        world = here.world(self.pid, self._guard)
        seen = world.processes if world else here.processes([self.pid], deep=True)
        if seen and seen[0].pid != self.pid:
            seen = ()
        with self._looking:
            t = time.monotonic()
            processes = self.clocks.of(self._left.of(seen, t), t)
        read = {process.pid: here.more(process) for process in processes}
        more = {pid: figures for pid, figures in read.items() if figures is not None}
        if not here.shows_waits:
            with self._looking:
                more = self._wakes.of(processes, more)
        return Look(
            t=t,
            processes=processes,
            worlds={} if world is None else {self.pid: self._known(world, processes)},
            more=more,
            machine=here.machine(whole=not here.shows_waits),
        )

    def _known(self, world: World, processes: tuple[Process, ...]) -> World:
        """`world` without the handler that is ours, with the timeouts that are left, and with what
        was answered about interval timers."""
        surroundings = {
            process.pid: msgspec.structs.replace(around, alarm=self._timers.of(process))
            if around.alarm is None
            else around
            for process in processes
            if (around := world.surroundings.get(process.pid)) is not None
        }
        if self._ours:
            # What the worker forks has the handler as well.
            surroundings = {pid: _without_ours(around) for pid, around in surroundings.items()}
        return msgspec.structs.replace(world, processes=processes, surroundings=surroundings)

    def complete(
        self,
        windows: Sequence[Window],
        stop: threading.Event | None = None,
        with_gpu: bool = True,
    ) -> Observation:
        """Make the observation of `windows` and of what is read beside them; without stacks.

        To ask a GPU for its work may start a tool that takes two seconds.

        Call it before a tool touches the tree again. The last window ends with a look from after
        that: who was woken while files were read moves in it, and is not proven dead.
        """
        here = platform.current()
        processes = windows[-1][-1].processes
        began = time.monotonic()
        with self._reading:  # it remembers what it has found
            between = self._relations(processes)
        ended = time.monotonic()
        pids = {process.pid for process in processes}
        *before, last = windows
        after = self.look()
        windows, same = (*before, (*last, after)), _in_the_same_wait(last[-1], after)
        with self._looking:
            self.clocks.timers(_timers(between), began, ended)
            rearmed = self.clocks.armed if here.shows_waits else dict(self._wakes.since_step)
        gpus = here.gpus(pids, stop) if with_gpu else Gpus()
        return Observation(
            root=self.pid,
            windows=windows,
            relay=None if self._guard is None else os.getpid(),
            arch=here.arch,
            links={tid: links for tid, links in between.links.items() if tid in same},
            futexes={tid: futex for tid, futex in between.futexes.items() if tid in same},
            files=between.files,
            sockets=between.peers,
            shares=between.shares,
            names=self._named(pids | _others(between)),
            on_gpu=gpus.on,
            gpu=gpus.lines,
            gpu_use=gpus.use,
            shows_waits=here.shows_waits,
            ended=self._exits.ended,
            oom_kills=self._killed(here.oom_kills()),
            rearmed=rearmed,
            rings=self._timers.rings(),
        )

    def _killed(self, kills: int) -> int | None:
        """The out-of-memory kills since the tree is watched. What has no guard ran before."""
        grown = kills - self._oom_kills
        return grown if self._guard is not None or kills == 0 else None

    def _named(self, pids: Iterable[int]) -> dict[int, str]:
        for pid in pids:
            if found := process_names.named(pid):  # a process can become another program
                self._names[pid] = " ".join(found)
        return dict(self._names)


def _others(between: Relations) -> set[int]:
    """The processes at the other ends of the tree's waits."""
    linked = chain(between.links.values(), between.files.values())
    others = {peer for each in linked for link in each for peer in link.peers}
    others |= {peer for each in between.peers.values() for peer in each}
    return others | {pid for wait in between.futexes.values() for pid in wait.sharers}


def _timers(between: Relations) -> dict[int, float]:
    """The seconds that are left of the timers for which a thread waits, at the first of them."""
    return {
        tid: min(left)
        for tid, links in between.links.items()
        if (left := [one.left_s for one in links if one.left_s is not None and not one.timed])
    }


def _in_the_same_wait(before: Look, after: Look) -> set[int]:
    """The threads to which it still applies what was read of their waits between two looks."""
    waits = {
        thread.tid: (thread.syscall, thread.args)
        for process in before.processes
        for thread in process.threads
    }
    return {
        thread.tid
        for process in after.processes
        for thread in process.threads
        if waits.get(thread.tid) == (thread.syscall, thread.args)
    }


def _without_ours(around: Surroundings) -> Surroundings:
    if not around.handlers:
        return around
    kept = tuple(name for name in around.handlers if name != "SIGUSR1")
    return msgspec.structs.replace(around, handlers=kept)


class StackTaker:
    """Takes the stacks of several processes at once, again by the tool that answered before."""

    def __init__(self, stop: threading.Event, place: Callable[[int], Path]) -> None:
        """Captures go to `place(pid)`. Once `stop` is set, a tool that runs is ended."""
        self._stop = stop
        self._place = place
        self.captures: dict[int, tuple[StackCapture, ...]] = {}

    def take(
        self,
        pids: Sequence[int],
        label: str,
        tools: Sequence[Tool] | None = None,
        signaled: Callable[[int], Path | None] = lambda pid: None,
        spare: Callable[[int], bool] = lambda pid: False,
        asks_by: int = answering.QUESTION,
    ) -> None:
        """Take one capture of each of `pids`; those of before stay.

        `signaled` gives the file of a process whose faulthandler answers the signal `asks_by`.
        """

        def one(pid: int) -> StackCapture:
            before = self.captures.get(pid, ())
            same = [tool for tool in stack_tools.TOOLS if before and tool.name == before[-1].tool]
            source = signaled(pid)
            folder = self._place(pid)
            taken = stacks.capture(
                pid,
                folder,
                same or tools,
                label=label,
                timeout=TOOL_S,
                faulthandler_file=source,
                may_signal=source is not None,
                asks_by=asks_by,
                spare=spare(pid),
                stop=self._stop,
            )
            if taken.file is not None:
                redact(folder / taken.file)
            return taken

        taken = threads.each(pids, one, AT_ONCE, self._stop)
        for pid, capture in zip(pids, taken, strict=True):
            self.captures[pid] = (*self.captures.get(pid, ()), capture)

    def shows_all(self, windows: Sequence[Window]) -> bool:
        """True if another capture would show what one has: no thread ran in `windows`, and the tool
        looked many times. Who owns what is believed only if it is told twice."""
        every = [one for each in self.stacks().values() for capture in each for one in capture]
        told = bool(every) and all(one.shares and one.owner is None for one in every)
        return told and no_switch.stood(windows)

    def stacks(self) -> dict[int, tuple[Capture, ...]]:
        """The stacks of all captures, by process."""
        return {
            pid: tuple(one.threads for one in captures if one.threads)
            for pid, captures in self.captures.items()
        }


def redact(file: Path) -> None:
    """Take the command line out of an answer of py-spy: its arguments are nobody's business."""
    with contextlib.suppress(OSError):
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(r"(?m)^(Process \d+):.*$", r"\1", text), encoding="utf-8")
