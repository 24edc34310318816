"""The work of a Mac's GPU, and its time for each process, as the registry of drivers shows them.

`ioreg` prints that registry as a property list, to any user. It is started only while there is
doubt. It has never run on a Mac (docs/internals/macos.md).
"""

from __future__ import annotations

import os
import plistlib
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from harness.model.world import Gpus, GpuUse
from harness.observe import run_tool
from harness.text import late, units

COMMAND = ("ioreg", "-a", "-r", "-c", "IOAccelerator")
TIMEOUT_S = 5.0
APART_S, STALE_S = 0.5, 60.0
"""Between two readings of GPU time, at least and at most."""
BUSY = 50
"""Percent of a GPU's time, from which on it works hard for somebody. A command of many seconds may
be counted only when it is over, and who draws the screen uses a few percent."""
POWER = ("powermetrics", "--samplers", "gpu_power", "-n", "1", "-i", "500")
HARD = 95
"""Percent, from which on it is asked what the GPU draws."""
_POWER = late.compile(r"^GPU Power: (\d{1,9}) mW$", re.M)
_CREATOR = late.compile(r"pid (\d{1,9})\b")
_DEEP = 64


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The registry at one moment."""

    t: float
    utilization: dict[str, int]
    """Percent, by the name of a GPU."""
    clients: dict[int, int | None]
    """Nanoseconds that the GPUs have worked for a process; None where that is not told."""


class Registry:
    """The GPUs, from one reading to the next."""

    def __init__(self) -> None:
        self._before: Reading | None = None

    def gpus(self, pids: Iterable[int], stop: threading.Event | None = None) -> Gpus:
        """The work of the GPUs for `pids` between two readings."""
        asked, stop = frozenset(pids), stop or threading.Event()
        before, now = self._before, read(stop)
        if now is not None and not self._fits(before, now, asked):
            stop.wait(APART_S)
            before, now = now, read(stop)
        self._before = now
        found = judge(before, now, asked)
        use = found.use
        if use is None or (use.busy or 0) < HARD or os.geteuid() != 0:
            return found
        return msgspec.structs.replace(found, use=msgspec.structs.replace(use, power_w=power(stop)))

    @staticmethod
    def _fits(before: Reading | None, now: Reading, pids: frozenset[int]) -> bool:
        if before is None or not APART_S <= now.t - before.t <= STALE_S:
            return False
        return (now.clients.keys() & pids) <= before.clients.keys()


def judge(before: Reading | None, now: Reading | None, pids: frozenset[int]) -> Gpus:
    """The GPU work of processes between two readings. Nothing is called idle that could not be
    read."""
    if before is None or now is None:
        return Gpus(on=pids)
    lines = tuple(
        f"{name}, {units.percent(percent / 100)}" for name, percent in now.utilization.items()
    )
    busy = max(now.utilization.values(), default=None)
    if not now.clients:
        # This system does not tell who uses its GPUs: each of them may.
        return Gpus(on=pids, lines=lines, use=None if busy is None else GpuUse(busy=busy))
    on = pids & now.clients.keys()
    if not on:
        return Gpus()
    own = _share(before, now, on)
    told = own is not None and (own > 0 or (busy is not None and busy < BUSY))
    if not told and busy is None:
        return Gpus(on=on)
    use = GpuUse(own=own, named=True, busy=busy) if told else GpuUse(busy=busy)
    return Gpus(on=on, lines=lines, use=use)


def _share(before: Reading, now: Reading, pids: frozenset[int]) -> int | None:
    """Percent of the time that the GPUs worked for `pids`, at least 1 where they worked at all."""
    grown = 0
    for pid in pids:
        first, last = before.clients.get(pid), now.clients.get(pid)
        if first is None or last is None or last < first:
            return None
        grown += last - first
    seconds = now.t - before.t
    if seconds <= 0:
        return None
    return min(100, max(1, round(grown / seconds / 1e7))) if grown else 0


def read(stop: threading.Event | None = None) -> Reading | None:
    """The registry now; None where it cannot be read."""
    t = time.monotonic()
    try:
        answer = run_tool.run(COMMAND, TIMEOUT_S, stop=stop)
    except OSError:
        return None
    return parse(answer.output, t) if answer.code == 0 else None


def power(stop: threading.Event | None = None) -> float | None:
    """Watts that the GPU draws; None where nobody tells. It asks for root."""
    try:
        answer = run_tool.run(POWER, TIMEOUT_S, stop=stop)
    except OSError:
        return None
    return watts(answer.output) if answer.code == 0 else None


def watts(text: str) -> float | None:
    """The power of the GPU in what `powermetrics` printed. Never raises."""
    found = _POWER.search(text)
    return int(found[1]) / 1000 if found else None


def parse(text: str, t: float = 0.0) -> Reading | None:
    """The document that `ioreg` printed. None for what is no such list. Never raises."""
    try:
        found = plistlib.loads(text.encode("utf-8", "replace"), fmt=plistlib.FMT_XML)
    except Exception:  # expat, plistlib and the types that it makes have many errors of their own
        return None
    roots = found if isinstance(found, list) else [found]
    utilization: dict[str, int] = {}
    clients: dict[int, int | None] = {}
    for root in roots:
        if not isinstance(root, dict):
            continue
        percent = _number(_dict(root.get("PerformanceStatistics")).get("Device Utilization %"))
        if percent is not None:
            name = root.get("model") or root.get("IORegistryEntryName") or "GPU"
            told = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
            utilization[told.strip("\0 ")] = min(percent, 100)
        for node in _below(root):
            creator = _CREATOR.match(str(node.get("IOUserClientCreator", "")))
            if creator:
                pid, used = int(creator[1]), _used(node.get("AppUsage"))
                known = clients.get(pid, 0)
                clients[pid] = None if used is None or known is None else known + used
    return Reading(t=t, utilization=utilization, clients=clients) if roots else None


def _below(node: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    yield node
    children = node.get("IORegistryEntryChildren")
    for child in children if isinstance(children, list) and depth < _DEEP else ():
        if isinstance(child, dict):
            yield from _below(child, depth + 1)


def _used(usage: object) -> int | None:
    """Nanoseconds, over all uses of one client; None where none is told."""
    entries = usage if isinstance(usage, list) else []
    times = [_number(_dict(entry).get("accumulatedGPUTime")) for entry in entries]
    known = [one for one in times if one is not None]
    return sum(known) if known else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
