"""The failure that explains an end, chosen from what was printed. Pure.

A failure counts only if it is the last word: a traceback that was printed, and after which the
program went on, explains nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.death import native, tracebacks
from harness.death.native import Said
from harness.death.tracebacks import Raised
from harness.model.death import Kind, LastWords
from harness.text import late
from harness.text.exits import signal_name
from harness.text.sanitize import sanitize

MOST = 256 * 1024
"""Bytes at the end of an output that are read."""
AFTER = 60
"""Lines that may follow an uncaught exception: loggers and trackers have their say at an exit."""
LAST_LINES = 15
"""Lines at the end of an output that an excerpt has, whatever they are."""
AFTER_TEXT = 40
"""Lines that may follow a traceback in an excerpt."""
AT_ONCE = 3
"""Lines that may follow a failure that was caught, if the program left because of it."""
_LINE = 240
CRASHES = frozenset(("SIGABRT", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS"))
"""Signals by which a process dies of itself."""
_PANICKED, _INTERRUPTED, _RAISED = 101, 130, 1
"""Exit codes of a panic of Rust, of Ctrl-C and of an exception of Python."""
_GENERAL = late.compile(
    r"^(?:Killed|Aborted|Terminated|Segmentation fault|Bus error)\b|"
    r"^\s*(?:note:|stack backtrace|#?\d+:? |at |[│╭╰└]|\^)|Warning\b|\bwarn(?:ing)?:"
    r"|resource_tracker|\b(?:INFO|DEBUG|WARNING)\b|^\s*(?:step|epoch|iter)\b|^\W*$|\d+%\|",
    re.IGNORECASE,
)
"""Lines that are no last word: warnings, logs, progress, frames."""


_MESSAGE = late.compile(r"[ \t]+\S|In file included from |/[^\s:]+(?::\d+)*: ")
"""Lines that belong to the message above them."""
_PROGRESS = late.compile(r"^(?!wandb:).*?\b(?:step|iter|iteration|epoch)\b\W{0,3}\d", re.IGNORECASE)
"""Lines of a training that goes on. A bar is none: it is drawn once more when it is closed."""


@dataclass(frozen=True)
class Printed:
    """The end of one output, as lines that a person would see."""

    lines: tuple[str, ...]
    raised: tuple[Raised, ...]
    said: tuple[Said, ...]
    after: int | None = None
    """The index of the last line that tells of progress; None without one."""

    def stands(self, end: int, most: int) -> bool:
        """True if what ends at line `end` is followed by neither progress nor many lines."""
        if self.after is not None and self.after >= end:
            return False
        return sum(bool(line.strip()) for line in self.lines[end:]) <= most


def read(output: bytes, stale: bool = False) -> Printed:
    """The end of an output. It is `stale` if the process went on for a while after it."""
    text = sanitize(output[-MOST:].decode("utf-8", "replace"))
    lines = tuple(line.rstrip() for line in text.split("\n"))
    steps = [i for i, line in enumerate(lines) if stale or _PROGRESS.search(line)]
    return Printed(
        lines, tuple(tracebacks.find(lines)), tuple(native.find(lines)), max(steps, default=None)
    )


def of_exception(raised: Raised, uncaught: bool = False) -> LastWords:
    cause = raised.cause
    told = ""
    if cause is not None:
        told = f"{cause.text}, at {cause.place}" if cause.place else cause.text
    return LastWords(
        kind=Kind.EXCEPTION,
        text=cut(raised.text),
        place=raised.place,
        cause=cut(told),
        who=raised.who,
        uncaught=uncaught,
        chain=tuple(map(cut, raised.chain)),
    )


def of_text(text: str) -> LastWords | None:
    """The last exception of a traceback that is known to be that of the end."""
    found = [one for one in tracebacks.find(sanitize(text).split("\n")) if not one.goes_on]
    return of_exception(found[-1], uncaught=True) if found else None


def of_told(text: str) -> LastWords | None:
    """The exception that Python itself told: `text` is its traceback and nothing else.

    Its message and its notes may quote other tracebacks, which stand behind it.
    """
    found = tracebacks.find(sanitize(text).split("\n"))
    chained = [one for one in found if one.before is not None]
    return of_exception((chained[-1:] or found)[0], uncaught=True) if found else None


def of_crash(outputs: Sequence[Printed]) -> LastWords | None:
    """The words for the end by a signal such as SIGABRT.

    The message says what was wrong, and the stack of Python's own handler where.
    """
    said = [
        one
        for each in outputs
        for one in each.said
        if not one.leaves and each.stands(one.end, AFTER)
    ]
    faults = [one for one in said if one.kind is Kind.FAULT]
    others = [one for one in said if one.kind is not Kind.FAULT]
    if not said:
        return None
    best = others[-1] if others else faults[-1]
    place = best.place or (faults[-1].place if faults else "")
    return LastWords(kind=best.kind, text=cut(best.text), place=place, uncaught=True)


def of_exit(code: int, outputs: Sequence[Printed]) -> LastWords | None:
    """The words for the end with an exit code other than 0, of which nobody knows more."""
    if code == _PANICKED:
        panics = [
            one
            for each in outputs
            for one in each.said
            if one.kind is Kind.PANIC and each.stands(one.end, AFTER)
        ]
        if panics:
            one = panics[-1]
            return LastWords(kind=one.kind, text=cut(one.text), place=one.place, uncaught=True)
    if code > 128 and signal_name(code - 128) in CRASHES and (words := of_crash(outputs)):
        return words
    ends = code in (_RAISED, _INTERRUPTED)
    if (found := _raised(outputs, AFTER if ends else AT_ONCE)) is not None:
        return of_exception(found, uncaught=ends)
    return caught(outputs)


def interrupted(outputs: Sequence[Printed]) -> LastWords | None:
    """The place at which Ctrl-C, or the signal of the same name, came."""
    found = _raised(outputs, AFTER)
    if found is None or found.type != "KeyboardInterrupt":
        return None
    return of_exception(found, uncaught=True)


def caught(outputs: Sequence[Printed]) -> LastWords | None:
    """The words just before a program left by itself: a failure, or else its last line."""
    found = _raised(outputs, AT_ONCE)
    if found is not None:
        return of_exception(found)
    said = [
        one
        for each in outputs
        for one in each.said[-1:]
        if (one.leaves or one.kind is not Kind.FAULT) and each.stands(one.end, AT_ONCE)
    ]
    if said:
        return LastWords(kind=said[-1].kind, text=cut(said[-1].text), place=said[-1].place)
    return _line(outputs)


def of_others(outputs: Sequence[Printed]) -> LastWords | None:
    """The last exception of a thread or of a child process, if nothing went on after it."""
    found = [
        one
        for each in outputs
        for one in each.raised
        if one.who and not one.goes_on and each.stands(one.end, AFTER)
    ]
    return of_exception(found[-1]) if found else None


def excerpt(output: str) -> str:
    """The text of the last error: its tracebacks, those of ended threads, and the last lines.

    A program may print an exception that it has handled, and go on: that one is left out.
    """
    printed = read(output.rstrip().encode("utf-8", "replace"))
    lines = printed.lines
    chosen = set(range(max(0, len(lines) - LAST_LINES), len(lines)))
    for one in printed.raised:
        end = _end_of_message(lines, one.end)
        if one.who or printed.stands(end, AFTER_TEXT):
            chosen |= set(range(one.chained_from, end))
    return "\n".join(lines[index] for index in sorted(chosen))


def _end_of_message(lines: Sequence[str], at: int) -> int:
    """The line after a message whose first line ends at `at`: it may have a compiler's words."""
    while at < len(lines) and _MESSAGE.match(lines[at]):
        at += 1
    return at


def stands(words: LastWords, outputs: Sequence[Printed]) -> bool:
    """False if an exception was printed, and the process went on after it."""
    shown = [
        each.stands(one.end, AFTER)
        for each in outputs
        for one in each.raised
        if cut(one.text) == words.text
    ]
    return not shown or any(shown)


def _raised(outputs: Sequence[Printed], most: int) -> Raised | None:
    """The last exception of the process itself, if at most so many lines follow."""
    found = [
        one
        for each in outputs
        for one in each.raised[-1:]
        if not one.who and not one.goes_on and each.stands(one.end, most)
    ]
    return found[-1] if found else None


def _line(outputs: Sequence[Printed]) -> LastWords | None:
    """The last line that is no part of another failure, and no ordinary one."""
    for each in reversed(outputs):
        spans = [(one.first, one.end) for one in each.raised]
        spans += [(one.first, one.end) for one in each.said]
        taken = {i for first, end in spans for i in range(first, end)}
        known = [i for i, line in enumerate(each.lines) if line.strip()][-AT_ONCE:]
        for index in reversed(known):
            line = each.lines[index].strip()
            if index in taken:
                break  # what came before it is no last word
            if each.stands(index, AT_ONCE) and not _GENERAL.search(line):
                return LastWords(kind=Kind.LINE, text=cut(line))
    return None


def cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LINE else f"{text[: _LINE - 3]}..."
