"""How an outside command was watched: where its steps came from, and what was not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from harness.inject import Told
from harness.logs import Recognition
from harness.model import Finding
from harness.model.finding import info, warning
from harness.text.units import plural, size


def find(
    outputs: Sequence[Recognition],
    skipped: int,
    itself: bool,
    hook: Told | None,
    left_behind: int = 0,
) -> tuple[Finding, ...]:
    """What to say of a command whose `outputs` were read but for so many bytes (`skipped`).

    `itself`: it has reported its steps itself. `hook`: what became of the one injected, if any.
    `left_behind`: so many processes that it had started were there when it ended.
    """
    return (
        *_hook(hook),
        *_steps(outputs, itself),
        *_skipped(skipped, itself),
        *_left_behind(left_behind, itself or any(output.format is not None for output in outputs)),
    )


def _hook(hook: Told | None) -> Iterator[Finding]:
    if hook is not None and hook.disabled is not None:
        yield warning(
            "hook_disabled",
            f"the hook into mlx-lm switched itself off, and the run went on without: "
            f"{hook.disabled}",
            reason=hook.disabled,
        )


def _steps(outputs: Sequence[Recognition], itself: bool) -> Iterator[Finding]:
    read = sorted(
        (output for output in outputs if output.format is not None),
        key=lambda output: -output.matched,
    )
    if itself:
        yield info("steps_reported", "the command reported its steps itself")
    elif not read:
        yield info(
            "no_steps_seen",
            "nothing that it printed names a step: it was watched from outside alone",
            lines=sum(output.lines for output in outputs),
        )
    else:
        best, *others = read
        formats = [_read(best), *(f"on its other output it is {_read(other)}" for other in others)]
        yield info(
            "steps_printed",
            f"its steps are read from what it printed: the format is {', and '.join(formats)}",
            format=best.format,
            matched=best.matched,
            lines=best.lines,
            **({"others": [msgspec.to_builtins(other) for other in others]} if others else {}),
        )


def _read(output: Recognition) -> str:
    lines = plural(output.lines, "line")
    return f"{output.format}, found in {output.matched} of {lines}"


def _skipped(skipped: int, itself: bool) -> Iterator[Finding]:
    if skipped:
        missed = ", and the steps in them were missed: there may be more steps than are counted"
        yield info(
            "output_skipped",
            "it printed faster than it could be read: "
            f"{size(skipped)} were passed on unread{'' if itself else missed}",
            bytes=skipped,
        )


def _left_behind(number: int, steps: bool) -> Iterator[Finding]:
    """One that goes to the background has trained nothing by then: that is worth a warning."""
    if number:
        yield (info if steps else warning)(
            "left_behind",
            f"it ended, and what it had started still ran and was ended with it ({number} of its "
            "processes): watch needs a command that stays in the foreground",
            processes=number,
        )
