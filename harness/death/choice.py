"""The failure that explains an end, from all that is known of it. Pure.

What Python itself told (`harness.inject.processes`) is certain. What was printed counts where it
told nothing: it was killed, it is no Python, or it was started without the hook.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from harness.death import codes, last_words
from harness.death.last_words import CRASHES, Printed
from harness.inject.processes import Told
from harness.model.death import EndFacts, ErrorCode, LastWords
from harness.text import late

TAIL = 15
"""Lines at the end of an output in which a known error is looked for."""
_BY_ANOTHER = late.compile(
    r"CalledProcessError|BrokenProcessPool|ProcessRaisedException|ProcessExitedException"
    r"|ChildFailedError|terminated abruptly|exited unexpectedly|is killed by signal"
)
"""Exceptions that tell of the end of another process."""


def complete(
    facts: EndFacts,
    code: int | None,
    signal: str | None,
    printed: Sequence[Printed],
    told: Sequence[Told] = (),
) -> EndFacts:
    """`facts` with the words for an end with this exit `code`, or by this `signal`."""
    if code == 0 or (code is None and signal is None):
        return facts
    main = next((one for one in told if one.pid == facts.pid), None)
    words = _words(main, code, signal, printed, told)
    other = None
    if words is None or not words.uncaught or _BY_ANOTHER.search(words.text):
        other = _other(facts.pid, printed, told)
    if words is not None and other is not None and words.text == other.text:
        words = None  # what was printed last is another's
    error = _error(words, other, signal, printed) or _driver(facts)
    over = signal is not None and main is not None and main.ended and main.error is None
    return msgspec.structs.replace(
        facts,
        words=words,
        other=other,
        error=error[0] if error else None,
        line=last_words.cut(error[1]) if error else "",
        over=over,
    )


def _words(
    main: Told | None,
    code: int | None,
    signal: str | None,
    printed: Sequence[Printed],
    told: Sequence[Told],
) -> LastWords | None:
    raised = main.error if main is not None else _of_wrapped(code, printed, told)
    if raised is not None and (signal is None or signal == "SIGINT"):
        return last_words.of_told(raised)
    if signal is not None:
        if signal == "SIGINT":
            return last_words.interrupted(printed)
        return last_words.of_crash(printed) if signal in CRASHES else None
    assert code is not None
    if main is not None and main.ended:
        return last_words.caught(printed)
    return last_words.of_exit(code, printed)


def _of_wrapped(code: int | None, printed: Sequence[Printed], told: Sequence[Told]) -> str | None:
    """The traceback of the Python that a shell or another program had started, and whose exit code
    it passed on."""
    ended = [one for one in told if one.ended and not one.forked]
    if code != 1 or not ended or (raised := ended[-1].error) is None:
        return None
    words = last_words.of_told(raised)
    return raised if words is not None and last_words.stands(words, printed) else None


def _other(pid: int | None, printed: Sequence[Printed], told: Sequence[Told]) -> LastWords | None:
    """The last failure of a thread or of another process, if it came shortly before the end."""
    shown = last_words.of_others(printed)
    for one in reversed(told):
        found = last_words.of_told(one.error) if one.error is not None else None
        if one.pid == pid or found is None:
            continue
        if not last_words.stands(found, printed):
            continue
        who = "a process that it forked" if one.forked else "a process that it started"
        return msgspec.structs.replace(found, who=who)
    return shown


def _error(
    words: LastWords | None,
    other: LastWords | None,
    signal: str | None,
    printed: Sequence[Printed],
) -> tuple[ErrorCode, str] | None:
    """The known error that counts, and its line. What a signal from outside ended has none."""
    if signal is not None and signal not in CRASHES and words is None:
        return None
    return codes.search(_lines(words, other, printed))


def _driver(facts: EndFacts) -> tuple[ErrorCode, str] | None:
    """The failure that the driver of a GPU has logged of this process, or of a whole GPU."""
    return codes.search(
        word.text for word in facts.kernel if word.kind == "xid" and word.pid in (None, facts.pid)
    )


def _lines(
    words: LastWords | None, other: LastWords | None, printed: Sequence[Printed]
) -> Iterator[str]:
    for one in (words, other):
        if one is not None:
            yield from (one.text, one.cause, *one.chain)
    if words is None or not words.uncaught:
        for each in printed:
            said = [i for i, line in enumerate(each.lines) if line.strip()][-TAIL:]
            yield from (each.lines[i] for i in said if each.stands(i, TAIL))
