"""macOS, as the rest of the package asks for it. It has never run there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.model import Machine
from harness.observe.macos import memory
from harness.observe.portable import Portable


class MacOS(Portable):
    """macOS by psutil, and by the kernel's own figures of memory."""

    unread: Mapping[str, str] = {
        "swap_used": "sysctl vm.swapusage does not tell",
        "major_faults": "the process's counters could not be read",
        "footprint": "proc_pid_rusage failed",
        "swapped": "macOS does not tell it of a process",
        "compressed": "vm_stat does not tell",
        "pressure": "Linux alone has it",
        "pressure_level": "sysctl kern.memorystatus_vm_pressure_level does not tell",
    }

    def machine(self, whole: bool = False) -> Machine:
        figures = super().machine()
        return memory.strained(figures) if whole else figures

    def held(self, pids: Iterable[int]) -> tuple[int | None, int | None]:
        return memory.footprint(pids), None
