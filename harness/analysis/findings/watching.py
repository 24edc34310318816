"""Findings about the watching of an outside command: the source of its steps, and gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath

import msgspec

from harness.inject import HookReport
from harness.logs import Recognition
from harness.model import Finding
from harness.model.finding import info, warning
from harness.text.units import plural, size

UNFOLLOWED = (
    ". Its parameters were not checked: in Python, call harness.beats.watch(model, optimizer)"
)


def find(
    outputs: Sequence[Recognition],
    skipped: int,
    itself: bool,
    hook: HookReport | None,
    left_behind: int = 0,
    given_up: str = "",
    program: str = "python",
    followed: bool = False,
) -> tuple[Finding, ...]:
    """Report how a command was watched; `skipped` bytes of its `outputs` were not read.

    `itself`: it has reported its steps itself. `hook`: what became of the one injected, if any.
    `left_behind`: so many processes that it had started were there when it ended.
    `given_up`: why the pattern given by the user was not searched to the end.
    `program`: what was started; empty where it was made to pass its lines on at once. Python is.
    `followed`: its parameters were looked at.
    """
    return (
        *_hook(hook),
        *_steps(outputs, itself, program, hook.wrapped if hook else None, followed),
        *_skipped(skipped, itself),
        *_given_up(given_up, itself),
        *_left_behind(left_behind, itself or any(output.format is not None for output in outputs)),
    )


def ended_early(done: int, total: int) -> tuple[Finding, ...]:
    """The finding about a command that ended well and short of the total that it printed."""
    return (
        warning(
            "ended_early",
            f"it ended after {done} of {plural(total, 'step')}, with exit code 0, and does not say "
            "why: the data may have come to their end",
            done=done,
            total=total,
        ),
    )


def updates_skipped(skipped: int, steps: int) -> tuple[Finding, ...]:
    """The finding about a command whose own lines say that each step skips its update."""
    if skipped < 3 or skipped < steps:
        return ()
    return (
        warning(
            "updates_skipped",
            f"each of {plural(steps, 'step')} says that it skips its gradient update: nothing is "
            "learned",
            steps=steps,
        ),
    )


def _hook(hook: HookReport | None) -> Iterator[Finding]:
    if hook is not None and hook.disabled is not None:
        yield warning(
            "hook_disabled",
            f"the hook into mlx-lm turned itself off, and the run continued without it: "
            f"{hook.disabled}",
            reason=hook.disabled,
        )


def _steps(
    outputs: Sequence[Recognition],
    itself: bool,
    program: str,
    library: str | None,
    followed: bool,
) -> Iterator[Finding]:
    read = sorted(
        (output for output in outputs if output.format is not None),
        key=lambda output: -output.matched,
    )
    if itself:
        yield info(
            "steps_reported",
            "the command reported its steps itself",
            **({"library": library} if library else {}),
        )
    elif not read:
        yield info(
            "no_steps_seen",
            "no printed line names a step: only the process was watched" + _held_back(program),
            lines=sum(output.lines for output in outputs),
        )
    else:
        best, *others = read
        formats = [_read(best), *(f"on its other output it is {_read(other)}" for other in others)]
        yield info(
            "steps_printed",
            f"the steps come from the printed output: the format is {', and '.join(formats)}"
            + ("" if followed else UNFOLLOWED),
            format=best.format,
            matched=best.matched,
            lines=best.lines,
            **({"others": [msgspec.to_builtins(other) for other in others]} if others else {}),
        )


def _held_back(program: str) -> str:
    if not program or PurePath(program).name.startswith("python"):
        return ""
    return (
        ". A program in C, C++ or Swift holds its lines back in a pipe until a block is full, and "
        "this one could not be made to pass them on: start it with stdbuf -oL, or let it flush "
        "each line"
    )


def _read(output: Recognition) -> str:
    lines = plural(output.lines, "line")
    return f"{output.format}, found in {output.matched} of {lines}"


def _skipped(skipped: int, itself: bool) -> Iterator[Finding]:
    if skipped:
        missed = "; their steps are not counted"
        yield info(
            "output_skipped",
            "it printed faster than the harness could read: "
            f"{size(skipped)} passed unread{'' if itself else missed}",
            bytes=skipped,
        )


def _given_up(reason: str, itself: bool) -> Iterator[Finding]:
    if reason:
        missed = "" if itself else ". The steps after that are not counted"
        yield warning("output_skipped", f"{reason}{missed}", reason=reason)


def _left_behind(number: int, steps: bool) -> Iterator[Finding]:
    """Warn where the command has no steps: it probably went to the background."""
    if number:
        yield (info if steps else warning)(
            "left_behind",
            f"it ended while {plural(number, 'process', 'processes')} that it started still ran; "
            "these were ended too. Give watch a command that stays in the foreground",
            processes=number,
        )
