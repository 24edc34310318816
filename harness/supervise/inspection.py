"""Two closer looks at a worker in doubt: when nothing in it moves, and when it is busy too long."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec

from harness.detect import deadlock, sleeping, transfers
from harness.detect.watchdog import Inspection, Policy, burns
from harness.model import Cause
from harness.model.world import World
from harness.observe import platform
from harness.observe.linux import timeouts
from harness.supervise import evidence

POLL_S = 7.0
"""One that wakes now and then is believed for so long to find what it looks for."""
_KEPT = 8
_EAGER = 12
_LATER = 4
"""After _EAGER looks only each _LATER-th is a deep one: it costs a millisecond or two."""
_LONGEST_S = 60.0


class Prover:
    """Deep looks at a tree in which nothing moves: is it dead, or does it sleep? Linux only.

    Also at one that uses the CPU for too long: does it exchange data with others?
    """

    def __init__(self, pid: int, guard: int) -> None:
        self._roots = (pid, guard)
        self._worlds: list[World] = []
        """Those between which nothing has moved, as far as the watchdog can see."""
        self._recent: list[World] = []
        """The last ones, whatever has moved between them."""
        self._still = self._busy = 0
        self._left = timeouts.Left(platform.current().arch)

    def look(self, still: bool, busy: bool = False) -> None:
        """Call at each look; `still` says that nothing has moved since the one before, `busy` that
        it uses the CPU, and is in doubt."""
        if not still:
            self._worlds.clear()
        self._still = self._still + 1 if still else 0
        self._busy = self._busy + 1 if busy and not still else 0
        looks = self._still or self._busy
        if not looks:
            self._recent.clear()
            return
        if looks > _EAGER and looks % _LATER:
            return
        world = platform.current().world(*self._roots)
        if world is None:
            return
        left = self._left.of(world.processes, world.t)
        world = msgspec.structs.replace(world, processes=left)
        self._recent.append(world)
        del self._recent[: -transfers.LOOKS]
        if still:
            self._worlds.append(world)
            del self._worlds[:-_KEPT]

    def flows(self) -> bool:
        """Whether it receives or sends data, which a snapshot does not show."""
        found = transfers.flows(self._recent, platform.current().arch, self._still > 0)
        if found:
            # A look at which it did not wait for more says nothing: the next is to come soon.
            self._still, self._busy = min(self._still, 1), min(self._busy, 1)
        return found

    def proven(self, place: str) -> Cause | None:
        """The deadlock, if the looks prove one. `place` says where, as in `in phase eval`."""
        arch = platform.current().arch
        if not self._worlds or deadlock.prove(self._worlds, arch):
            return None
        return deadlock.deadlock(self._worlds, place, arch)

    def asleep(self) -> float | None:
        """Seconds until the worker's main thread, which only waits for a time to pass, wakes.

        0.0 when it sleeps and nobody can say how long; None when it does anything else.
        """
        arch = platform.current().arch
        if not sleeping.asleep(self._worlds, arch):
            return None
        return sleeping.wakes_in(self._worlds[-1], arch) or 0.0

    def prompts(self) -> bool:
        """Whether a thread of it waits for what a person types."""
        return bool(self._worlds) and platform.current().at_prompt(self._worlds[-1].processes)

    def may_find(self, lasted: float) -> bool:
        """Whether it wakes now and then to look for something, and has for `lasted` seconds."""
        return lasted < POLL_S and sleeping.polls(self._worlds)


class Inspector:
    """Captures the stacks of an overdue worker, again and again, in a thread of its own."""

    def __init__(
        self, pid: int, folder: Path, policy: Policy, stop: threading.Event | None = None
    ) -> None:
        """Once `stop` is set, a tool that runs is ended."""
        self._pid = pid
        self._stop = stop or threading.Event()
        self._policy = policy
        self._folder = folder
        self._thread: threading.Thread | None = None
        self._seen: list[Inspection] = []
        self._since = 0.0
        self._next = 0.0
        self._patience = 1.0

    @property
    def busy(self) -> bool:
        """Whether a tool holds the worker at this moment: what is seen of it then says nothing."""
        return self._thread is not None and self._thread.is_alive()

    def look(self, now: float, last_progress: float) -> Cause | None:
        """Call while the worker is overdue; the cause once the inspections agree on one."""
        if last_progress != self._since:
            self._since = last_progress
            self._seen.clear()
        cause = burns(self._seen, self._policy)
        if cause is None and now >= self._next:
            # Each one that shows work makes the next one rarer: it stops the worker for a moment.
            self._patience = min(_LONGEST_S, 2 * self._patience) if len(self._seen) > 1 else 1.0
            self._next = now + self._patience
            self._thread = threading.Thread(target=self._inspect, name="inspector", daemon=True)
            self._thread.start()
        return cause

    def told(self, last_progress: float) -> str:
        """The wait site that it saw last; empty when it has seen none since `last_progress`."""
        return self._seen[-1].told if self._seen and last_progress == self._since else ""

    def _inspect(self) -> None:
        found = evidence.inspect(self._pid, self._folder, self._stop)
        if found is not None and not self._stop.is_set():
            self._seen.append(found)
