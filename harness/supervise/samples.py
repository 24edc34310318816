"""samples.jsonl: what a report needs of a worker's looks, closely at first and later seldom."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from harness.model import Sample, Snapshot
from harness.observe import memory_limits
from harness.observe import processes as observe


class Samples:
    """The samples of one worker."""

    def __init__(self, file: Path) -> None:
        self.rss_peak = 0
        """The peak of all looks, those without a sample too."""
        self._last: Sample | None = None
        self._read: set[str] = set()
        self._file = file.open("ab", buffering=0)
        self._next = 0.0

    def due(self, now: float) -> bool:
        """True if the next look is to be a sample."""
        return now >= self._next

    def take(self, snapshot: Snapshot, age: float) -> None:
        """Write what a report needs of `snapshot`, if that is due; `age` is the worker's."""
        processes = snapshot.processes
        rss = sum(process.rss or 0 for process in processes)
        self.rss_peak = max(self.rss_peak, rss)
        if not self.due(snapshot.t):
            return
        self._next = snapshot.t + (0.0 if age < 60 else 1.0 if age < 3600 else 10.0)
        position = snapshot.position
        machine = snapshot.machine
        footprint, swapped = observe.held(process.pid for process in processes)
        sample = self._last = Sample(
            t=snapshot.t,
            step=position.step if position else None,
            phase=position.phase if position else None,
            rss=rss,
            cpu_s=sum(process.cpu_s for process in processes),
            major_faults=sum(process.major_faults or 0 for process in processes),
            threads=sum(len(process.threads) for process in processes),
            processes=len(processes),
            available=machine.available,
            swap_used=machine.swap_used,
            footprint=footprint,
            swapped=swapped,
            compressed=machine.compressed,
            pressure=machine.pressure,
            pressure_level=machine.pressure_level,
            page_outs=machine.page_outs,
            decompressions=machine.decompressions,
        )
        values = msgspec.structs.asdict(sample)
        self._read |= {name for name, value in values.items() if value is not None}
        line = msgspec.json.encode(sample)
        # A full disk costs the samples; the verdict does not need them.
        with contextlib.suppress(OSError):
            self._file.write(line + b"\n")

    def unread(self) -> dict[str, str]:
        """The reasons for the figures that no sample has: a process that has ended has none."""
        reasons = observe.unread(self._last) if self._last is not None else {}
        return {name: why for name, why in reasons.items() if name not in self._read}

    @staticmethod
    def usable() -> int | None:
        """Bytes that a training may use here; None where it may use those of a GPU instead."""
        return memory_limits.usable().memory if memory_limits.of_gpu() is None else None

    def close(self) -> None:
        self._file.close()
