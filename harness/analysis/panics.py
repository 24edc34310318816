"""The kernel panic that ended a run: which one it was, and what is said of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from harness.model import Finding, Outcome, ScenarioResult
from harness.model.finding import error
from harness.observe.macos.panics import Names, Panic
from harness.text import phrases
from harness.text.sanitize import sanitize
from harness.text.units import duration, size

BEFORE_S = 5.0
"""A beat may seem to be this much later than the panic: files have the times of another clock."""
AFTER_S = 900.0
"""A panic that comes later after the last beat ended something else. A watchdog of macOS waits for
90 s and more, and the disk has what was written half a minute before."""
CODE = "kernel_panic"
_NAMED = {
    Names.GPU: "it names the GPU",
    Names.MEMORY: "it names memory",
    Names.NEITHER: "it names neither the GPU nor memory",
}
_CURES = {
    Names.GPU: "update macOS; fewer loads of models and shorter sequences make it rarer",
    Names.MEMORY: "use a smaller batch or model, and harness watch --memory-limit 80%",
    Names.NEITHER: "use harness watch --memory-limit 80%: without memory a machine stands still",
}


def of_run(panics: Iterable[Panic], last: float) -> Panic | None:
    """The first panic after the last beat, of the machine as it was started before that beat.

    `last` is the time of the beat, in seconds since 1970.
    """
    found = [
        panic
        for panic in panics
        if panic.at is not None
        and last - BEFORE_S <= panic.at <= last + AFTER_S
        and (panic.boot is None or panic.boot <= last)
    ]
    return min(found, key=lambda panic: panic.at or 0.0, default=None)


def joined(
    result: ScenarioResult, panic: Panic, last: float, pid: int | None = None
) -> ScenarioResult:
    """`result`, whose run had its last beat at `last` and was the process `pid`, with its panic."""
    after = max(0.0, (panic.at or last) - last)
    where = phrases.place(result.last_step, result.last_phase)
    at = f" {where}" if where else ""
    said = sanitize(panic.said)
    reason = f"the kernel panicked {duration(after)} after the last beat{at}: {said}"
    kept = tuple(one for one in result.findings if one.code != CODE)
    return msgspec.structs.replace(
        result,
        outcome=Outcome.CRASHED,
        reason=reason,
        findings=(_finding(panic, after, said, pid), *kept),
    )


def _finding(panic: Panic, after: float, said: str, pid: int | None) -> Finding:
    held = panic.resident.get(pid) if pid is not None else None
    parts = [f"the machine went down with a kernel panic; {_NAMED[panic.names]}"]
    if panic.pid is not None and panic.pid == pid:
        parts.append("it came while this run's process was on the processor")
    if held is not None:
        parts.append(f"this run's process had {size(held)} in RAM")
    return error(
        CODE,
        f"{'; '.join(parts)}. To do: {_CURES[panic.names]}",
        said=said,
        names=panic.names.value,
        after_s=after,
        own_process=panic.pid == pid if panic.pid is not None and pid is not None else None,
        resident=held,
        kexts=list(panic.kexts),
        compressor=sanitize(panic.compressor),
        system=sanitize(panic.system),
    )
