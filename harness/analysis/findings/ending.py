"""Findings that only the supervisor can make: from outside, or at the end of a worker."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis import death
from harness.model import Ending, Finding
from harness.model.finding import error, info, warning
from harness.text import phrases
from harness.text.units import duration, size

MEMORY_KILLS = frozenset(("SIGKILL", "SIGSEGV", "SIGBUS", "SIGABRT"))
"""Signals as which the end of memory can show."""


def find(ending: Ending) -> tuple[Finding, ...]:
    return (*hang_transient(ending), *memory_limited(ending), *oom_killer(ending))


def hang_transient(ending: Ending) -> Iterator[Finding]:
    for hang in ending.transients:
        place = phrases.place(hang.step, hang.phase)
        yield warning(
            "hang_transient",
            f"hung {place} for {duration(hang.lasted_s)}, then continued: {hang.cause.summary}",
            step=hang.step,
            phase=hang.phase,
            stalled_at_s=hang.stalled_at_s,
            lasted_s=hang.lasted_s,
            cause=hang.cause.code,
            proven=hang.cause.proven,
            wait_site=hang.cause.evidence.get("wait_site"),
            fingerprint=hang.cause.evidence.get("fingerprint"),
        )


def memory_limited(ending: Ending) -> Iterator[Finding]:
    """A kill under a limit: MLX dies by SIGSEGV, without a word, of an allocation that fails."""
    if ending.address_space is None or ending.signal not in MEMORY_KILLS:
        return
    yield info(
        "memory_limited",
        f"killed by {ending.signal}, and its address space was limited to "
        f"{size(ending.address_space)}: MLX ends in this way when an allocation exceeds the limit",
        limit=ending.address_space,
        signal=ending.signal,
    )


def oom_killer(ending: Ending) -> Iterator[Finding]:
    found = death.killer(ending)
    if ending.signal != "SIGKILL" or found is None or found.code != "oom_killer":
        return
    yield error(
        "oom_killer",
        f"killed by SIGKILL: {found.told}",
        kills=ending.oom_kills,
        **found.evidence,
    )
