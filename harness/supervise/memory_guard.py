"""`--memory-limit`: the memory of a run's processes is measured, and held against a limit."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from signal import Signals

from msgspec.structs import replace

from harness.detect.memory_limit import Act, Rules
from harness.detect.policy import STANDARD
from harness.model import Process, Snapshot
from harness.model.outcome import MemoryUse
from harness.model.settings import MemoryLimit
from harness.observe import memory_limits, platform
from harness.observe.footprint import Held
from harness.observe.gpu_memory import GpuMemory
from harness.supervise.run_state import RunState
from harness.text.units import percent, plural, size

EVIDENCE_S = 1.0
"""For the stacks of a run whose memory is far above its limit."""
_MOST = 8
"""Processes that the evidence has, those that hold most."""


class MemoryGuard:
    """Looks on at one run. The rules are those of `harness.detect.memory_limit`."""

    def __init__(self, asked: MemoryLimit, run: RunState) -> None:
        self._asked = asked
        self._run = run
        self._limit = asked.of(memory_limits.usable().memory)
        self._host, self._gpu = Rules(), Rules()
        self._footprint = platform.current().footprint()
        self._gpus = GpuMemory()
        self._gpu_answers = 0
        self._over_s: float | None = None
        self.late = False
        """True if there is no time for more evidence."""
        self.use = MemoryUse(limit=self._limit)

    @property
    def over(self) -> bool:
        """True once the limit was reached, and no grace is left."""
        return self._over_s is not None

    def look(self, snapshot: Snapshot) -> bool:
        """Measure the processes of `snapshot`, and say and send what is due; True once it is to
        end."""
        now, pids = snapshot.t, [one.pid for one in snapshot.processes if one.state not in "ZX"]
        held = self._footprint.look(pids, now, int(STANDARD.memory_near * self._limit))
        acts = [self._judge(self._host, snapshot, held, self._limit, "memory")]
        if (found := self._gpus.look(pids, now)) is not None:
            on_gpu, total = found
            limit = self._asked.of(total) if total is not None else self._limit
            if self._gpus.number > self._gpu_answers:
                self._gpu_answers = self._gpus.number
                acts.append(self._judge(self._gpu, snapshot, on_gpu, limit, "GPU memory"))
        if Act.END in acts or Act.END_NOW in acts:
            self._over_s = now if self._over_s is None else self._over_s
        self.late = Act.END_NOW in acts and self.over and now - (self._over_s or now) >= EVIDENCE_S
        return self.over

    def used(self, ended: bool) -> MemoryUse:
        """The facts for the result; `ended` is true if the run was ended for its memory."""
        return replace(self.use, ended=ended)

    def _judge(
        self, rules: Rules, snapshot: Snapshot, held: Held | None, limit: int, what: str
    ) -> Act | None:
        """Judge one kind of memory; what is said of it goes to the notes and to the facts."""
        now, age = snapshot.t, snapshot.t - self._run.clock.start
        act = rules.look(now, None if held is None else held.total / limit)
        if held is None:
            return act
        fullest = held.total / limit > (self.use.peak or 0) / self.use.limit
        if fullest:
            self.use = replace(self.use, peak=held.total, limit=limit, what=what)
        if act is Act.SAY:
            sent = self._ask_for_checkpoint(snapshot.processes)
            if sent:
                rules.asked(now)
            self.use = replace(
                self.use,
                near_s=age if self.use.near_s is None else self.use.near_s,
                asked=self._asked.signal,
                sent_to=sent,
                sent_s=age if sent else self.use.sent_s,
            )
            share = percent(held.total / limit)
            self._run.notes.append(
                f"{what}: {size(held.total)}, {share} of the limit{self._sent()}"
            )
        if rules.reached and self.use.reached_s is None:
            self.use = replace(
                self.use, reached_s=age, processes=_named(held, snapshot.processes), what=what,
                limit=limit,
            )  # fmt: skip
            self._run.notes.append(f"{what}: {size(held.total)}, the limit is {size(limit)}")
        return act

    def _sent(self) -> str:
        use = self.use
        if not use.asked:
            return ""
        if not use.sent_to:
            return f"; no process has a handler of SIG{use.asked}, so it was not sent"
        return f"; SIG{use.asked} was sent to {plural(len(use.sent_to), 'process', 'processes')}"

    def _ask_for_checkpoint(self, processes: Sequence[Process]) -> tuple[int, ...]:
        """Send the signal to those that handle it: it would end any other process.

        Of a process and those that it has started, the outermost one gets it: a child has the
        handlers of the process that it was forked from.
        """
        if not self._asked.signal:
            return ()
        number = Signals[f"SIG{self._asked.signal}"]
        sent: list[int] = []
        for pid in handlers(processes, lambda pid: platform.current().catches(pid, number)):
            with contextlib.suppress(OSError):
                os.kill(pid, number)
                sent.append(pid)
        return tuple(sent)


def handlers(
    processes: Sequence[Process], catches: Callable[[int], bool | None]
) -> tuple[int, ...]:
    """The outermost of `processes` that have a handler. The first one is the command itself. Pure.

    Where `catches` does not know, the command is taken to have one, and no other process.
    """
    covered: set[int] = set()
    found: list[int] = []
    for at, process in enumerate(processes):
        if process.ppid in covered:
            covered.add(process.pid)
            continue
        known = catches(process.pid)
        if known or (known is None and at == 0):
            covered.add(process.pid)
            found.append(process.pid)
    return tuple(found)


def _named(held: Held, processes: Sequence[Process]) -> tuple[dict[str, int | str], ...]:
    """The processes that hold most, each with its bytes."""
    names = {one.pid: one.name for one in processes}
    most = sorted(held.of.items(), key=lambda one: -one[1])[:_MOST]
    return tuple({"pid": pid, "name": names.get(pid, ""), "bytes": own} for pid, own in most)
