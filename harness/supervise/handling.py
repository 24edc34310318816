"""The handling of a run: its budget, the patience with it, and the receivers of its doubts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.model import Cause, OnHang, Patience
from harness.model.settings import RUN_PATIENCE, MemoryLimit
from harness.supervise.memory_guard import MemoryGuard
from harness.supervise.run_state import RunState

Notify = Callable[[str, str, Cause], None]
"""Called for `doubt`, `taken_back` and `hung`, of which run, and why."""


def _nobody(event: str, name: str, cause: Cause) -> None:
    """Nobody wants to be told."""


@dataclass(frozen=True)
class Handling:
    """The limits of one run, its patience, and the receiver of its doubts."""

    budget: float
    """Seconds."""
    cold: bool = False
    """Start without the kernels that earlier runs compiled."""
    on_hang: OnHang = OnHang.KILL
    patience: Patience = RUN_PATIENCE
    notify: Notify = _nobody
    memory: MemoryLimit | None = None
    """The bound on the memory of all its processes."""
    once: bool = False
    """One look at the stacks of a hang is enough: whether they move is of no interest."""
    known_hangs: set[str] = field(default_factory=set)
    """Fingerprints of hangs that have stood their patience, in runs of the same command: shared by
    these runs."""

    def memory_guard(self, run: RunState) -> MemoryGuard | None:
        """Somebody who looks on at the memory of `run`; None where it has no limit."""
        return MemoryGuard(self.memory, run) if self.memory is not None else None
