"""The machine's memory, and what processes hold of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from harness.model import Machine
from harness.observe.linux import reading


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


def oom_kills() -> int:
    """Since the machine started; 0 on a kernel before 4.13, which does not count them."""
    for line in reading.read("/proc/vmstat").splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return 0


def _sizes(path: str, names: tuple[bytes, ...]) -> dict[bytes, int]:
    """The lines `Name: N kB` with these names, in bytes."""
    lines = (line.partition(b":") for line in reading.read(path).splitlines())
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
