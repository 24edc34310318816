"""The results that count as failed: by their outcome, or by a finding that nobody expected. Pure.

By default a run has failed if it hung, diverged, crashed or stayed unfinished, and also if it
completed with an unexpected finding of severity error: one that learned nothing is not green.
"""

from __future__ import annotations

import difflib

import msgspec

from harness.analysis.findings import CODES
from harness.errors import UsageError
from harness.model import Finding, Outcome, ScenarioResult, Severity

FAILURES = (Outcome.HUNG, Outcome.DIVERGED, Outcome.CRASHED, Outcome.UNFINISHED)
"""The outcomes that count as failed, unless others are named."""
NONE = "none"
_SEVERITIES = {
    "error": (Severity.ERROR,),
    "warning": (Severity.ERROR, Severity.WARNING),
}
"""The meaning of each word: a warning is the less, so errors count with it."""


class FailOn(msgspec.Struct, frozen=True):
    """The meaning of `--fail-on`."""

    outcomes: tuple[Outcome, ...] = FAILURES
    severities: tuple[Severity, ...] = (Severity.ERROR,)
    """Those of unexpected findings that count."""
    codes: tuple[str, ...] = ()
    """Codes of unexpected findings that count, whatever their severity."""


DEFAULT = FailOn()
NOTHING = FailOn((), ())
OUTCOMES = FailOn(severities=())
"""The usual outcomes, and no finding."""


def parse(text: str) -> FailOn:
    """The meaning of outcomes, severities and codes with commas between them, or of `none`.

    Where no outcome is named, the usual ones count as well: whoever asks for warnings wants to
    know of a hang too. Raises UsageError for a word that is none of these.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if words == [NONE]:
        return NOTHING
    outcomes: list[Outcome] = []
    severities: tuple[Severity, ...] = ()
    codes: list[str] = []
    for word in words:
        if word in set(Outcome):
            outcomes.append(Outcome(word))
        elif word in _SEVERITIES:
            severities = max(severities, _SEVERITIES[word], key=len)
        elif word in CODES:
            codes.append(word)
        else:
            raise UsageError(_unknown(word))
    if not words:
        raise UsageError(
            f"nothing is named; use {NONE}, outcomes, {', '.join(_SEVERITIES)} or codes"
        )
    return FailOn(tuple(outcomes) or FAILURES, severities, tuple(codes))


def _unknown(word: str) -> str:
    if word == NONE:
        return f"{NONE} goes with no other word"
    close = difflib.get_close_matches(word, [*Outcome, *_SEVERITIES, *CODES], 1)
    if close:
        return f"unknown outcome, severity or code {word}; did you mean {close[0]!s}?"
    known = ", ".join(outcome.value for outcome in Outcome)
    return (
        f"unknown outcome, severity or code {word}; use {NONE}, or some of {known}, "
        f"{', '.join(_SEVERITIES)} and the codes of findings"
    )


def findings(result: ScenarioResult, fail_on: FailOn = DEFAULT) -> tuple[Finding, ...]:
    """The findings for which `result` counts as failed."""
    return tuple(
        finding
        for finding in result.findings
        if not finding.expected
        and (finding.severity in fail_on.severities or finding.code in fail_on.codes)
    )


def failed(result: ScenarioResult, fail_on: FailOn = DEFAULT) -> bool:
    """True if `result` counts as failed: by its outcome, or by one of its findings."""
    return result.outcome in fail_on.outcomes or bool(findings(result, fail_on))


def reasons(result: ScenarioResult, fail_on: FailOn = DEFAULT) -> tuple[str, ...]:
    """The outcome and the codes for which `result` counts as failed; empty if it does not."""
    outcome = (result.outcome.value,) if result.outcome in fail_on.outcomes else ()
    return tuple(dict.fromkeys((*outcome, *(f.code for f in findings(result, fail_on)))))
