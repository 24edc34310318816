"""The symptom that is searched for: what a run showed, and if that is it. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import msgspec

from harness.analysis import origin, repeats
from harness.analysis.findings import CODES
from harness.errors import UsageError
from harness.model import Outcome, ScenarioResult, Severity
from harness.releases.search import Seen
from harness.text import late
from harness.text.units import duration, number, size

CAUSES = ("deadlock", "stalled", "waiting", "stopped", "starved")
"""The codes of a hang's cause."""
ALIASES = {"step_s": "step_median_s", "peak": "peak_over_p"}
"""Short names of figures of `harness.analysis.repeats.FIGURES`."""
FAILED = (Outcome.HUNG, Outcome.DIVERGED, Outcome.CRASHED)
"""The outcomes that are a symptom by themselves."""
_UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "MiB": 2.0**20, "GiB": 2.0**30, "MB": 1e6, "GB": 1e9}
_FIGURE = late.compile(r"(\w+)\s*([<>])\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)")


class Symptoms(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a result that tells one release from another."""

    outcome: Outcome
    summary: str
    """One line for people."""
    cause: str | None = None
    proven: bool = False
    signature: str | None = None
    """The signal, the exception or the exit code of a crash."""
    fingerprint: str | None = None
    """The fingerprint of the stacks of a hang; the operation that a divergence began with, if
    known."""
    codes: tuple[str, ...] = ()
    """The codes of all findings."""
    notable: tuple[str, ...] = ()
    """Those of severity error and warning that were not expected."""
    figures: dict[str, float] = {}
    """The figures of the run by name: seconds, bytes and P."""


class When(msgspec.Struct, frozen=True, kw_only=True):
    """The symptom. One of the fields says which."""

    outcome: Outcome | None = None
    signature: str | None = None
    """With an outcome: of a crash, the only kind that counts."""
    code: str | None = None
    """The code of a finding, or of the cause of a hang."""
    same_failure: bool = False
    fingerprint: str | None = None
    """With `same_failure`, once it is known."""
    figure: str | None = None
    above: bool = True
    limit: float = 0.0
    """The limit of the figure; a multiple of that of the good end as long as `relative`."""
    relative: bool = False

    @property
    def open(self) -> bool:
        """True while it depends on what the two ends show."""
        return self.relative or (self.same_failure and self.fingerprint is None)

    def __str__(self) -> str:
        if self.figure is not None:
            sign = ">" if self.above else "<"
            if self.relative:
                return f"{self.figure} {sign} {number(self.limit)} times that of the good end"
            return f"{self.figure} {sign} {_written(self.figure, self.limit)}"
        if self.same_failure:
            return f"failed with the fingerprint {self.fingerprint or 'of the bad end'}"
        if self.code is not None:
            return self.code
        assert self.outcome is not None
        return self.outcome.value + (f" ({self.signature})" if self.signature else "")


def _written(figure: str, value: float) -> str:
    if figure.endswith("_s"):
        return duration(value)
    return size(value) if figure == "rss_peak" else number(value, 3)


def is_time(when: When) -> bool:
    """True of a symptom that is a time above a limit, or below it."""
    return when.figure is not None and when.figure.endswith("_s")


def described(when: When | None, run: Symptoms) -> str:
    """One line about a run, with the part of it that decides."""
    if when is not None and when.figure in run.figures:
        assert when.figure is not None
        value = _written(when.figure, run.figures[when.figure])
        return f"{run.summary}; {when.figure} {value}"
    if when is not None and when.code in run.codes:
        return f"{run.summary}; {when.code}"
    return run.summary


def parse(text: str) -> When:
    """The symptom of `--when`. Raises UsageError when `text` is none."""
    words = text.strip()
    if words in [outcome.value for outcome in FAILED]:
        return When(outcome=Outcome(words))
    if (kind := re.fullmatch(r"crashed \((.+)\)", words)) is not None:
        return When(outcome=Outcome.CRASHED, signature=kind[1])
    if words == "fingerprint":
        return When(same_failure=True)
    if words in CODES or words in CAUSES:
        return When(code=words)
    if (match := _FIGURE.fullmatch(words)) is not None:
        name = ALIASES.get(match[1], match[1])
        unit = match[4]
        if name in repeats.FIGURES and (unit == "x" or unit in _UNITS):
            return When(
                figure=name,
                above=match[2] == ">",
                limit=float(match[3]) * _UNITS.get(unit, 1.0),
                relative=unit == "x",
            )
    figures = ", ".join([*ALIASES, *repeats.FIGURES])
    raise UsageError(
        f"unknown symptom {text}; use hung, diverged, crashed, fingerprint, the code of a finding, "
        f"or a figure such as 'step_s > 2x' (figures: {figures})"
    )


def of(result: ScenarioResult, summary: str) -> Symptoms:
    """The symptoms of a result, which `summary` describes in one line."""
    figures = {
        name: float(value)
        for name, figure in repeats.FIGURES.items()
        if (value := figure(result)) is not None and math.isfinite(value)
    }
    fingerprint = (
        result.cause.evidence.get("fingerprint") if result.cause else origin.identity(result)
    )
    return Symptoms(
        outcome=result.outcome,
        summary=summary,
        cause=result.cause.code if result.cause else None,
        proven=result.cause is not None and result.cause.proven,
        signature=_signature(result),
        fingerprint=fingerprint if isinstance(fingerprint, str) else None,
        codes=tuple(finding.code for finding in result.findings),
        notable=tuple(
            finding.code
            for finding in result.findings
            if finding.severity is not Severity.INFO and not finding.expected
        ),
        figures=figures,
    )


def _signature(result: ScenarioResult) -> str | None:
    """The kind of a crash: releases differ in what they say, and fail at other places."""
    if result.outcome is not Outcome.CRASHED:
        return None
    if result.signal is not None:
        return result.signal
    raised = re.match(
        r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)(?=:)", result.reason or ""
    )
    return raised[0] if raised else f"exit code {result.exit_code}"


def default(good: Sequence[Symptoms], bad: Sequence[Symptoms]) -> When | None:
    """The symptom that the runs of the bad end showed and those of the good end did not.

    None where they do not differ.
    """
    for one in bad:
        if one.outcome in FAILED:
            when = When(outcome=one.outcome, signature=one.signature)
            if not any(judge(when, other) is Seen.SHOWN for other in good):
                return when
    there = {code for one in good for code in one.codes}
    new = [code for one in bad for code in one.notable if code not in there]
    return When(code=new[0]) if new else None


def settled(when: When, good: Sequence[Symptoms], bad: Sequence[Symptoms]) -> When:
    """`when` with what it takes from the two ends. Raises UsageError where they do not have it."""
    if when.relative:
        assert when.figure is not None
        values = [one.figures[when.figure] for one in good if when.figure in one.figures]
        if not values:
            raise UsageError(
                f"the good end has no {when.figure} to compare with; use another symptom"
            )
        # A busy machine makes a run slower, and none makes one faster.
        usual = min(values) if is_time(when) else sorted(values)[len(values) // 2]
        return msgspec.structs.replace(when, limit=when.limit * usual, relative=False)
    if when.same_failure:
        prints = [one.fingerprint for one in bad if one.fingerprint]
        if not prints:
            raise UsageError(
                "the bad end did not hang with stacks that could be read, and did not diverge at "
                "an operation that a replay found; use --when hung or --when diverged"
            )
        return msgspec.structs.replace(when, fingerprint=prints[0])
    return when


def judge(when: When, run: Symptoms) -> Seen:
    """The answer of a run: the symptom is there, is not, or another failure hides it."""
    if run.outcome is Outcome.SKIPPED:
        return Seen.UNUSABLE
    if when.figure is not None:
        if when.figure not in run.figures or run.outcome in FAILED:
            return Seen.UNUSABLE
        value = run.figures[when.figure]
        shown = value > when.limit if when.above else value < when.limit
        return Seen.SHOWN if shown else Seen.ABSENT
    if when.same_failure:
        shown = run.outcome in FAILED and run.fingerprint == when.fingerprint
    elif when.code is not None:
        shown = when.code in (run.cause, *run.codes)
    else:
        shown = run.outcome is when.outcome and when.signature in (None, run.signature)
    if shown:
        return Seen.SHOWN
    return Seen.ABSENT if run.outcome is Outcome.COMPLETED else Seen.UNUSABLE
