"""An observation of a tree in doubt: looks, who is at the other end of its waits, and stacks.

What `attach` does once, a watched run does again and again while it is in doubt. Reading /proc and
the memory of a process stops nothing. Stacks are taken by tools, of which those that stop their
target are used only where that does no harm (`harness.stacks.stopping`).
"""

from __future__ import annotations

import contextlib
import platform
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from harness.detect.observation import Capture, Look, More, Observation, Window
from harness.model import Process, Thread
from harness.observe import gpu, linux, names, threads
from harness.observe import processes as observe
from harness.observe.linux import file_peers, futexes, timeouts
from harness.stacks import capture as stacks
from harness.stacks import tools as stack_tools
from harness.stacks.capture import StackCapture
from harness.stacks.tools import Tool

BETWEEN_S = 0.15
"""Between two looks."""
WORLDS = 8
"""Processes of a tree that are looked into as worlds of their own, at most."""
TOOL_S = 5.0
"""For one tool at one process."""
AT_ONCE = 4
"""Processes whose stacks are taken at a time."""
_FUTEX_PROCESSES = 64
"""Processes of a tree whose futexes are looked into, at most."""


class Gatherer:
    """Observes one tree. It remembers what must be known from one observation to the next."""

    def __init__(self, pid: int, guard: int | None = None, ours: bool = False) -> None:
        """`guard` adopts what is orphaned in the tree of `pid`, and is no part of it. `ours` says
        that the process is a worker, whose handler of SIGUSR1 is ours."""
        self.pid = pid
        self._guard = guard
        self._ours = ours
        self._left = timeouts.Left(platform.machine())
        self._names: dict[int, str] = {}
        self._clocks: dict[int, set[tuple[object, ...]]] = {}
        """By thread, the timed waits that it was seen in since the last step."""

    def reset(self) -> None:
        """A step came: what was counted since the last one is over."""
        self._clocks.clear()

    def window(self, seconds: float, least: int = 2) -> Window:
        """Look for so long, and at least `least` times; fewer if the process ends."""
        end = time.monotonic() + seconds
        looks = [self.look()]
        while looks[-1].processes and (len(looks) < least or time.monotonic() < end):
            time.sleep(min(BETWEEN_S, max(seconds, 0.01)))
            looks.append(self.look())
        return tuple(looks)

    def look(self) -> Look:
        """One deep look."""
        roots = [] if self._guard is None else [self._guard]
        found = observe.processes(self.pid, also=roots, deep=True)
        processes = tuple(process for process in found if process.pid != self._guard)
        if processes and processes[0].pid != self.pid:
            processes = ()
        t = time.monotonic()
        processes = self._left.of(processes, t)
        for process in processes:
            for thread in process.threads:
                self._count_clock(thread)
        on_linux = observe.ON_LINUX
        return Look(
            t=t,
            processes=processes,
            worlds=self._worlds(processes, t) if on_linux else {},
            more={one.pid: _more(one) for one in processes} if on_linux else {},
            machine=observe.machine(),
        )

    def _worlds(self, processes: Sequence[Process], t: float) -> dict[int, linux.World]:
        world = linux.world(self.pid, self._guard)
        if self._ours and self.pid in world.surroundings:
            around = world.surroundings[self.pid]
            kept = tuple(name for name in around.handlers or () if name != "SIGUSR1")
            changed = msgspec.structs.replace(
                around, handlers=None if around.handlers is None else kept
            )
            surroundings = {**world.surroundings, self.pid: changed}
            world = msgspec.structs.replace(world, surroundings=surroundings)
        return {self.pid: world}

    def _count_clock(self, thread: Thread) -> None:
        if thread.wakes_in is not None:
            wait = (thread.syscall, thread.args[:1], thread.switches)
            clocks = self._clocks.setdefault(thread.tid, set())
            if len(clocks) < 1000:
                clocks.add(wait)

    def complete(self, windows: Sequence[Window], stop: threading.Event | None = None) -> Observation:
        """The observation that `windows` and what is read beside them make; without stacks."""
        arch = platform.machine()
        seen = Observation(root=self.pid, windows=tuple(windows), arch=arch)
        processes = seen.last.processes
        change = msgspec.structs.replace
        if not observe.ON_LINUX:
            return change(seen, names=self._named(one.pid for one in processes))
        ends = file_peers.Ends()
        links = {
            thread.tid: found
            for process in processes
            for thread in process.threads
            if (found := file_peers.waited_for(process, thread, arch, ends))
        }
        waits: dict[int, futexes.Futex] = {}
        for process in processes[:_FUTEX_PROCESSES]:
            waits |= futexes.futexes(process, arch)
        listed = {one.pid for one in processes}
        sockets = {pid: ends.peers(pid) for pid in listed}
        peers = {peer for each in links.values() for link in each for peer in link.peers}
        peers |= {peer for each in sockets.values() for peer in each}
        peers |= {pid for wait in waits.values() for pid in wait.sharers}
        on_gpu = frozenset(pid for pid in listed if linux.devices(pid))
        return change(
            seen,
            links=links,
            futexes=waits,
            sockets=sockets,
            names=self._named(listed | peers),
            shares=frozenset(
                one.pid for one in processes[:WORLDS] if linux.shares_memory(one.pid, one.ppid)
            ),
            on_gpu=on_gpu,
            gpu=tuple(gpu.utilisation(timeout=2.0, stop=stop)) if on_gpu else (),
            gpu_use=gpu.gpu_use(on_gpu) if on_gpu else None,
            rearmed={tid: len(clocks) - 1 for tid, clocks in self._clocks.items()},
        )

    def _named(self, pids: Iterable[int]) -> dict[int, str]:
        for pid in pids:
            if pid not in self._names and (found := names.of(pid)):
                self._names[pid] = " ".join(found)
        return dict(self._names)


def _more(process: Process) -> More:
    stat = _read(f"/proc/{process.pid}/stat").rpartition(")")[2].split()
    swap = re.search(r"^VmSwap:\s*(\d+)", _read(f"/proc/{process.pid}/status"), re.M)
    sleeps = {}
    for thread in process.threads:
        folder = f"/proc/{process.pid}/task/{thread.tid}"
        found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", _read(f"{folder}/status"), re.M)
        if found:
            sleeps[thread.tid] = int(found[1])
    return More(
        started=int(stat[19]) if len(stat) > 19 else None,
        minor_faults=int(stat[7]) if len(stat) > 7 else None,
        swap=int(swap[1]) * 1024 if swap else None,
        sleeps=sleeps,
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


class StackTaker:
    """Takes the stacks of several processes at once, again by the tool that answered before."""

    def __init__(self, folder: Path, stop: threading.Event, place: Callable[[int], Path]) -> None:
        """Captures go to `place(pid)`. Once `stop` is set, a tool that runs is ended."""
        self._folder = folder
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
    ) -> None:
        """Take one capture of each of `pids`; those of before stay."""

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
                spare=spare(pid),
                stop=self._stop,
            )
            if taken.file is not None:
                redact(folder / taken.file)
            return taken

        taken = threads.each(pids, one, AT_ONCE, self._stop)
        for pid, capture in zip(pids, taken, strict=True):
            self.captures[pid] = (*self.captures.get(pid, ()), capture)

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
