"""Findings that only the supervisor can make: from outside, or at the end of a worker."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis import death
from harness.model import Ending, Finding
from harness.model.finding import error, info, warning
from harness.model.outcome import MemoryUse
from harness.text import phrases
from harness.text.units import duration, plural, size

MEMORY_KILLS = frozenset(("SIGKILL", "SIGSEGV", "SIGBUS", "SIGABRT"))
"""Signals as which the end of memory can show."""


def find(ending: Ending) -> tuple[Finding, ...]:
    """All findings of an end."""
    return (
        *hang_transient(ending),
        *memory_limited(ending),
        *oom_killer(ending),
        *memory_limit(ending),
    )


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


def limited(use: MemoryUse) -> str:
    """The memory that a run held beside the limit that it was given, as a clause."""
    held = "" if use.peak is None else f"{size(use.peak)} of {use.what} were in use, "
    first = use.processes[0] if use.processes and len(use.processes) > 1 else None
    by = f" ({first['name']}, process {first['pid']}: {size(int(first['bytes']))})" if first else ""
    return f"{held}and the limit is {size(use.limit)}{by}"


def memory_limit(ending: Ending) -> Iterator[Finding]:
    """A run with `--memory-limit` that came near it, or reached it."""
    use = ending.memory
    if use is None:
        return
    if use.peak is None:
        yield warning(
            "memory_limit_unseen",
            "the memory of its processes could not be measured, so --memory-limit ended nothing",
            limit=use.limit,
        )
    if use.near_s is None:
        return
    told = limited(use)
    if use.asked and use.sent_s is not None:
        whom = plural(len(use.sent_to), "process", "processes")
        told += f"; SIG{use.asked} was sent to {whom} {duration(use.sent_s)} after the start"
    elif use.asked:
        told += f"; no process has a handler of SIG{use.asked}, so it was not sent"
    evidence = {
        "limit": use.limit,
        "memory": use.what,
        "peak": use.peak,
        "near_s": use.near_s,
        "signal": f"SIG{use.asked}" if use.asked else None,
        "sent_to": list(use.sent_to),
        "sent_s": use.sent_s,
        "reached_s": use.reached_s,
        "ended": use.ended,
        "processes": list(use.processes),
    }
    if use.reached_s is None:
        yield warning("memory_limit_near", told, **evidence)
        return
    own = "" if use.ended else "; the run ended by itself before it was ended"
    yield error("memory_limit", told + own, **evidence)


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
