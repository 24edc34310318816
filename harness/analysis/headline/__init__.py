"""The first screen: what happened, where, who waits for whom, how sure that is, what to do. Pure.

Every report shows this before all else: the terminal, the files, a test's failure, annotations.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.headline import advice, hang, suspects
from harness.analysis.headline.faults import worst
from harness.model import Finding, Outcome, ScenarioInfo, ScenarioResult
from harness.scenario.from_function import BOUND, NOT_WHOLE
from harness.text import phrases
from harness.text.places import Place, parsed
from harness.text.units import plural

__all__ = ["ROWS", "Headline", "of"]

ROWS = ("where", "who", "sure", "now")
"""The fields below `what`, in the order in which they are read."""


@dataclass(frozen=True)
class Headline:
    """The answer to a person's first five questions, each as plain text; empty where unknown."""

    what: str
    where: tuple[str, ...] = ()
    """The place in the user's code, with its line of source; below it, other lines to look at."""
    who: tuple[str, ...] = ()
    """A line for each thread, process or rank that waits, from the one that trains on."""
    sure: str = ""
    now: str = ""
    chain: tuple[hang.Link, ...] = ()
    """The same as `who`, in parts, where the waits are known one by one."""

    def rows(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The fields below `what` that say something, each as its name and its lines."""
        texts = {"where": self.where, "who": self.who, "sure": (self.sure,), "now": (self.now,)}
        return tuple((name, lines) for name in ROWS if (lines := tuple(filter(None, texts[name]))))


def of(result: ScenarioResult, info: ScenarioInfo | None = None) -> Headline:
    """The headline of one run. `info` lends it the scenario's source, which has the lines."""
    file, source = _users(info) if info is not None else ("", "")
    if result.outcome is Outcome.HUNG and result.cause is not None:
        made = hang.seen(result, result.cause)
        found = (*_lines(made.places, file, source), *_apart(result, file, source))
        where = tuple(dict.fromkeys(found)) or _step(file, source)
        return Headline(
            hang.what(result, result.cause), where, made.who, made.sure, made.now, made.chain
        )
    fault = worst(result)
    if result.outcome is Outcome.COMPLETED and fault is None:
        return Headline(f"completed {_steps(result)}; nothing wrong was found")
    return _ended(result, fault, file, source)


def _users(info: ScenarioInfo) -> tuple[str, str]:
    """The name and the source of the file that the user wrote, of which the scenario may be a
    variation."""
    if info.own is not None:
        return posixpath.basename(info.own.path), info.own.source
    return posixpath.basename(info.path), info.source if _is_of_its_file(info) else ""


def _is_of_its_file(info: ScenarioInfo) -> bool:
    """True unless the source was put together from functions: its lines are no file's then."""
    return not info.source.startswith(NOT_WHOLE) and f"\n{BOUND} = {{" not in info.source


def _ended(result: ScenarioResult, fault: Finding | None, file: str, source: str) -> Headline:
    """The headline of a run that ended: badly, or with a fault that was found."""
    born = result.origin.site if result.origin is not None else None
    where = _lines(tuple(filter(None, (born, result.place, _place_of(fault)))), file, source)
    where = (*where, *_apart(result, file, source))
    if not where and fault is not None:
        where = _candidates(fault, file, source) or _step(file, source)
    return Headline(
        _what(result, fault),
        where,
        hang.ranks(result),
        advice.sure(result, fault),
        advice.ended(result, fault),
    )


def _what(result: ScenarioResult, fault: Finding | None) -> str:
    if result.outcome is not Outcome.COMPLETED:
        text = phrases.reason(result) or (fault.summary if fault else "")
        # What became of the others is told of each rank.
        text = text.partition("; ")[0] if result.ranks else text
        if text.startswith(f"{result.outcome.value} "):
            return text
        return f"{result.outcome.value}: {text}" if text else str(result.outcome.value)
    assert fault is not None
    return f"completed {_steps(result)}, but {fault.summary}"


def _place_of(fault: Finding | None) -> str | None:
    """The place that a finding names itself, in its evidence as `place`."""
    place = fault.evidence.get("place") if fault is not None else None
    return place if isinstance(place, str) else None


def _candidates(fault: Finding | None, file: str, source: str) -> tuple[str, ...]:
    """Lines of the step that may do what was found, as the source alone tells."""
    if fault is None or fault.code not in suspects.GROWTH:
        return ()
    return tuple(
        f"maybe {file}:{line}: {text}, which keeps what a step made"
        for line, text in suspects.kept(source)
    )


def _apart(result: ScenarioResult, file: str, source: str) -> tuple[str, ...]:
    """Lines that ranks may go apart at, where one of them left the others."""
    if not any(finding.code in suspects.APART for finding in result.findings):
        return ()
    return tuple(
        f"maybe {file}:{line}: {text.rstrip(':')}, which not every rank does"
        for line, text in suspects.by_rank(source)
    )


def _step(file: str, source: str) -> tuple[str, ...]:
    """The step as a whole, where nothing tells the line."""
    line = suspects.step(source)
    return (f"the step of {file}:{line}" if line else file,) if file and source else ()


def _lines(places: Sequence[str], file: str, source: str) -> tuple[str, ...]:
    """The places, with the source of the lines that are the scenario's own."""
    lines = source.splitlines()
    told = []
    for place in dict.fromkeys(places):
        at = parsed(place) or Place("", 0, "")
        own = at.file == file and 0 < at.line <= len(lines)
        told.append(f"{place}: {lines[at.line - 1].strip()}" if own else place)
    return tuple(told)


def _steps(result: ScenarioResult) -> str:
    if result.steps_requested in (None, result.steps_completed):
        return plural(result.steps_completed, "step")
    return f"{result.steps_completed} of {plural(result.steps_requested or 0, 'step')}"
