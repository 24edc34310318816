"""The machine's memory by psutil, which on some systems raises where others answer.

On macOS 27 `virtual_memory` and `swap_memory` raise RuntimeError after a few calls
(https://github.com/giampaolo/psutil/issues/2853). A figure that is missing harms nobody.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import psutil

FAILS = (psutil.Error, OSError, RuntimeError)
"""The errors that psutil raises where a system does not answer."""


class Memory(NamedTuple):
    """Bytes. None: could not be read."""

    total: int
    available: int | None = None
    swap_total: int | None = None
    swap_used: int | None = None


def memory() -> Memory:
    """The whole machine's memory now. Never raises."""
    found = Memory(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        ram = psutil.virtual_memory()
        found = found._replace(total=ram.total, available=ram.available)
    except FAILS:
        pass
    try:
        swap = psutil.swap_memory()
        found = found._replace(swap_total=swap.total, swap_used=swap.used)
    except FAILS:
        pass
    return found
