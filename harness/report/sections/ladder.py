"""The section on an environment ladder: which one flip cured the symptom."""

from __future__ import annotations

from typing import NamedTuple

from harness.model import EnvironmentLadder, FlipResult, FlipVerdict
from harness.report.input import ReportInput
from harness.report.text import NOTHING, cell, code, table
from harness.text.units import percent, plural

TITLES = ("flip", "change", "answer", "shown", "sure", "why it could")
LEGEND = (
    "Each flip is one change beside the plain training. *Shown*: in how many runs the symptom "
    "came, of those that showed it or completed. *Sure*: the probability that the flip cures, and "
    "that the symptom did not stay away by chance. A flip that only makes it rare can look the "
    "same."
)
_ORDER = tuple(FlipVerdict)
ANSWERS = {
    FlipVerdict.CURED: "cured it",
    FlipVerdict.NOT_CURED: "did not cure it",
    FlipVerdict.UNDECIDED: "not decided",
    FlipVerdict.NO_EFFECT: "there was nothing to change",
    FlipVerdict.FAILED: "fails in another way",
}


class PlainLadder(NamedTuple):
    """A ladder in texts without markup."""

    answer: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: tuple[str, ...]


def ladder(data: ReportInput) -> str:
    made = data.run.ladder
    if made is None:
        return ""
    rows = [_row(one) for one in ordered(made)]
    parts = ["## Settings of the environment", f"**{cell(answer(made))}.**"]
    if rows and made.symptom is not None:
        parts += [table(TITLES, rows, limit=7_000), LEGEND]
    if made.left_out:
        left = [[code(one.change), cell(one.reason)] for one in made.left_out]
        parts += ["Not tried:", table(("change", "reason"), left, limit=4_000)]
    return "\n\n".join(parts)


def ordered(made: EnvironmentLadder) -> list[FlipResult]:
    """The flips, those first that say most."""
    return sorted(made.flips, key=lambda one: _ORDER.index(one.verdict))


def answer(made: EnvironmentLadder) -> str:
    """The answer of the ladder, in one line without a full stop."""
    runs = made.shown + made.absent + made.other
    if made.symptom is None:
        return f"the plain training showed nothing wrong in {plural(runs, 'run')}"
    cured = [one.change for one in made.flips if one.verdict is FlipVerdict.CURED]
    open_ones = [one.change for one in made.flips if one.verdict is FlipVerdict.UNDECIDED]
    symptom = f"{made.symptom}, in {made.shown} of {plural(runs, 'plain run')}"
    if cured:
        alone = ", each alone," if len(cured) > 1 else ""
        return f"{' or '.join(cured)}{alone} cured it: {symptom}"
    if open_ones:
        return f"no flip is known to cure it, and {len(open_ones)} are not decided: {symptom}"
    return f"no flip cured it: {symptom}"


def plain(made: EnvironmentLadder) -> PlainLadder:
    """The same as plain text, for a page that escapes it."""
    return PlainLadder(
        answer(made),
        TITLES if made.symptom is not None else (),
        tuple(map(_cells, ordered(made))) if made.symptom is not None else (),
        tuple(f"Not tried: {one.change}: {one.reason}" for one in made.left_out),
    )


def _row(one: FlipResult) -> list[str]:
    name, change, *rest = _cells(one)
    return [code(name), code(change), *map(cell, rest)]


def _cells(one: FlipResult) -> tuple[str, ...]:
    runs = one.shown + one.absent
    return (
        one.name,
        one.change,
        ANSWERS[one.verdict],
        f"{one.shown} of {runs}" if runs else NOTHING,
        NOTHING if one.sure is None else percent(one.sure),
        one.why,
    )
