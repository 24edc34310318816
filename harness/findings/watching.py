"""How an outside command was watched: where its steps came from, and what was not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.adapters import Recognition
from harness.findings.make import count, info, warning
from harness.inject import Told
from harness.model import Finding


def find(
    outputs: Sequence[Recognition], skipped: int, itself: bool, hook: Told | None
) -> tuple[Finding, ...]:
    """What to say of a command whose `outputs` were read but for so many bytes (`skipped`).

    `itself`: it has reported its steps itself. `hook`: what became of the one injected, if any.
    """
    return (*_hook(hook), *_steps(outputs, itself), *_skipped(skipped))


def _hook(hook: Told | None) -> Iterator[Finding]:
    if hook is not None and hook.disabled is not None:
        yield warning(
            "hook_disabled",
            f"the hook into mlx-lm switched itself off, and the run went on without: "
            f"{hook.disabled}",
            reason=hook.disabled,
        )


def _steps(outputs: Sequence[Recognition], itself: bool) -> Iterator[Finding]:
    best = max(outputs, key=lambda output: output.matched, default=None)
    if itself:
        yield info("steps_reported", "the command reported its steps itself")
    elif best is None or best.format is None:
        yield info(
            "no_steps_seen",
            "nothing that it printed names a step: it was watched from outside alone",
            lines=sum(output.lines for output in outputs),
        )
    else:
        yield info(
            "steps_printed",
            f"its steps are read from what it printed: the format is {best.format}, "
            f"{best.matched} of {count(best.lines, 'line')} say something",
            format=best.format,
            matched=best.matched,
            lines=best.lines,
        )


def _skipped(skipped: int) -> Iterator[Finding]:
    if skipped:
        yield info(
            "output_skipped",
            f"it printed faster than it could be read: {skipped} bytes were passed on unread",
            bytes=skipped,
        )
