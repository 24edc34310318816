"""The machine's memory, and what processes hold of it.

Of processes, their own and shared memory count, in RAM or swapped out. Pages of files do not: the
kernel drops them when memory runs short. A page that several processes of a tree map counts once.
The cheap figure (/proc/PID/status) counts it in each of them, so it is an upper bound. The exact
one (/proc/PID/smaps_rollup: Pss_Anon, Pss_Shmem and SwapPss) makes the kernel walk all pages of a
process. It is asked for only where the bound is no answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from harness.model import Machine
from harness.observe.footprint import Held
from harness.observe.linux import reading

_SHARE = 0.05
"""The part of the time that exact looks may take."""
_EXACT = 0.01
"""The part of `enough` by which the bound may be wrong before an exact look is worth its time."""
_BOUND = (b"RssAnon", b"RssShmem", b"VmSwap")
_ONCE = (b"Pss_Anon", b"Pss_Shmem", b"SwapPss")


def machine(whole: bool) -> Machine:
    """Memory that can be had without swapping, and swap in use; `whole`: the rest of it, too."""
    values = _sizes("/proc/meminfo", (b"MemAvailable", b"SwapTotal", b"SwapFree", b"Zswap"))
    total, free = values.get(b"SwapTotal"), values.get(b"SwapFree")
    found = Machine(
        available=values.get(b"MemAvailable"),
        swap_used=None if total is None or free is None else total - free,
    )
    if not whole:
        return found
    compressed = [*_zram(), *([values[b"Zswap"]] if b"Zswap" in values else [])]
    return msgspec.structs.replace(
        found, compressed=sum(compressed) if compressed else None, pressure=_pressure()
    )


def held(pids: Iterable[int]) -> tuple[int | None, int | None]:
    """(memory of their own in RAM or swap, that in swap) of these processes, in bytes."""
    footprint = swapped = None
    for pid in pids:
        own = _sizes(f"/proc/{pid}/status", (b"RssAnon", b"RssShmem", b"VmSwap"))
        if len(own) == 3:  # a zombie has none, and a kernel before 4.5 does not split them
            footprint = (footprint or 0) + sum(own.values())
            swapped = (swapped or 0) + own[b"VmSwap"]
    return footprint, swapped


class Footprint:
    """Measures one tree; it remembers what the last exact look has shown."""

    def __init__(
        self,
        read: Callable[[str], bytes] = reading.read,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._exact = (0, 0)
        """At the last exact look: the memory of all, and the sure part of it."""
        self._next = 0.0

    def look(self, pids: Sequence[int], now: float, enough: int) -> Held | None:
        """See `harness.observe.footprint.Footprint`."""
        bounds = {pid: sizes for pid in pids if (sizes := self._sizes(pid, "status", _BOUND))}
        if not bounds:
            return None
        of = {pid: sum(sizes.values()) for pid, sizes in bounds.items()}
        total = sum(of.values())
        # What the largest process holds alone counts once in any case.
        sure = max(sizes[b"RssAnon"] + sizes[b"VmSwap"] for sizes in bounds.values())
        if total < enough or total - sure <= _EXACT * enough:
            return Held(total=total, of=of)
        if now < self._next:
            # A fork adds nothing that is sure, so what counts since is the growth of one process.
            grown = max(0, sure - self._exact[1])
            return Held(total=min(total, max(sure, self._exact[0] + grown)), of=of)
        began = self._clock()
        once = {pid: sum(self._sizes(pid, "smaps_rollup", _ONCE).values()) for pid in bounds}
        self._next = now + (self._clock() - began) / _SHARE
        if not any(once.values()):
            # A kernel before 5.4 does not tell. What is counted twice is to end nothing.
            return Held(total=sure, of=of)
        self._exact = sum(once.values()), sure
        return Held(total=sum(once.values()), of=once)

    def _sizes(self, pid: int, file: str, names: tuple[bytes, ...]) -> dict[bytes, int]:
        """The named lines of a file of the process, in bytes; empty if one is missing."""
        found = _parsed(self._read(f"/proc/{pid}/{file}"), names)
        return found if len(found) == len(names) else {}


def oom_kills() -> int:
    """The count since the machine started; 0 on a kernel before 4.13, which does not count them."""
    for line in reading.read("/proc/vmstat").splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return 0


def _sizes(path: str, names: tuple[bytes, ...]) -> dict[bytes, int]:
    return _parsed(reading.read(path), names)


def _parsed(text: bytes, names: tuple[bytes, ...]) -> dict[bytes, int]:
    """The lines `Name: N kB` with these names, in bytes."""
    lines = (line.partition(b":") for line in text.splitlines())
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in lines if name in names}


def _zram() -> Iterator[int]:
    """The memory that each compressed block device takes: the third figure of its mm_stat."""
    for path in Path("/sys/block").glob("zram*/mm_stat"):
        figures = reading.read(str(path)).split()
        if len(figures) > 2:
            yield int(figures[2])


def _pressure() -> float | None:
    """Percent of the last 10 s in which some task waited for memory."""
    found = re.search(rb"some avg10=([\d.]+)", reading.read("/proc/pressure/memory"))
    return float(found[1]) if found else None
