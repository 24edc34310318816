"""The machine's memory on macOS, and that of processes. No tool is started for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from harness.model import Machine
from harness.observe.footprint import Held
from harness.observe.macos import kernel

_LEVEL = "kern.memorystatus_vm_pressure_level"
_LEVELS = (1, 2, 4)
"""Normal, warning, critical."""
_PAGES = (4096, 16384)
"""Sizes of a page, of Intel and of Apple silicon."""


def machine(whole: bool = False) -> Machine:
    """The machine's memory now; `whole`: also the compressor's, and what the kernel says of it."""
    pages, swap = kernel.pages(), kernel.swap()
    page = kernel.number("vm.pagesize") or 0
    page = page if page in _PAGES else os.sysconf("SC_PAGE_SIZE")
    level = kernel.number(_LEVEL) if whole else None
    counts = pages if whole else None
    return Machine(
        available=None
        if pages is None
        else kernel.size((pages.free_count + pages.inactive_count) * page),
        swap_used=None if swap is None else kernel.size(swap.xsu_used),
        compressed=None if counts is None else kernel.size(counts.compressor_page_count * page),
        pressure_level=level if level in _LEVELS else None,
        page_outs=None if counts is None else kernel.count(counts.pageouts),
        decompressions=None if counts is None else kernel.count(counts.decompressions),
    )


def footprint(pids: Iterable[int]) -> int | None:
    """Bytes of the physical footprint of these processes together, as Activity Monitor shows it."""
    known = _held(pids)
    return sum(known.values()) if known else None


class Footprint:
    """Measures the physical footprint of one tree; every look is exact and cheap.

    The kernel charges a process with what it holds in RAM, compressed or swapped, and with the
    memory of the GPU, which is the same memory. Clean pages of files are not charged.
    """

    def look(self, pids: Sequence[int], now: float, enough: int) -> Held | None:
        """See `harness.observe.footprint.Footprint`."""
        of = _held(pids)
        return Held(total=sum(of.values()), of=of) if of else None


def _held(pids: Iterable[int]) -> dict[int, int]:
    """The memory that each process holds, where that was measured: a bound on memory ends nothing
    else."""
    read = {pid: used.ri_phys_footprint for pid in pids if (used := kernel.rusage(pid)) is not None}
    known = {pid: kernel.size(held) for pid, held in read.items()}
    return {pid: held for pid, held in known.items() if held is not None}
