"""Processes and threads as /proc shows them, on Linux. Nothing here needs more than one's own user.

What cannot be read is None, and a process that has gone is left out: nothing here raises. A look
reads a small file for each process and thread; benchmarks/run_all.py shows what it costs.
"""

from __future__ import annotations

from harness.observe.linux.deep import world
from harness.observe.linux.files import devices, open_files
from harness.observe.linux.memory import held, machine, oom_kills
from harness.observe.linux.reading import foreign
from harness.observe.linux.tree import processes, transfers

__all__ = [
    "devices",
    "foreign",
    "held",
    "machine",
    "oom_kills",
    "open_files",
    "processes",
    "transfers",
    "world",
]
