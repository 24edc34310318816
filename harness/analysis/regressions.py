"""The answer of a comparison in a sentence, and what of it is a regression. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from harness.analysis.compare import Compared, Comparison, Figure, Mark
from harness.model import Outcome
from harness.text.units import number, plural

WORDS = {
    "step_median_s": "step time, median",
    "step_p99_s": "step time, p99",
    "step_first_s": "first step",
    "peak_over_p": "peak memory in P",
    "active_over_p": "active memory in P",
    "p_per_step": "growth, P a step",
    "rss_peak": "peak RSS",
    "loss_last": "last loss",
    "traces": "traces",
    "graph_nodes_last": "graph nodes",
    "cause": "cause of the hang",
    "hang": "stacks of the hang",
    "step": "step of the hang",
}
"""The names of figures and counts for people."""
REGRESSIONS = {
    "step_median_s": ("slower", "takes", "as long for a step"),
    "peak_over_p": ("more memory", "needs", "as much memory at its peak"),
    "rss_peak": ("more memory", "needs", "as much RSS"),
    "loss_last": ("worse", "ends at", "the loss"),
}
"""The figures of which more is worse: the word for that, and the parts of a sentence."""
BETTER = {"slower": "faster", "more memory": "less memory", "worse": "better"}
_MARKED = (Mark.DIFFERS, Mark.SIGNIFICANT)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A difference that has a better side."""

    scenario: str
    worse: bool
    """True if B is the worse side."""
    kind: str
    """`slower`, `faster`, `more memory`, `less memory`, `worse` or `better`."""
    sentence: str
    amount: float
    """The size of the change as a share; of outcomes, that of the runs that completed."""
    sure: bool
    """True if it was tested and is significant."""


def words(name: str) -> str:
    """The name of a figure or a count for people."""
    return WORDS.get(name, name)


def common(comparison: Comparison) -> list[str]:
    """The scenarios that ran on both sides."""
    both = comparison.scenarios
    return [one.scenario for one in both if one.outcomes.mark is not Mark.MISSING]


def headline(comparison: Comparison) -> str:
    """The answer: `B is slower (2 of 20 scenarios): sgd_step takes 2 times as long for a step`."""
    shared = common(comparison)
    if not shared:
        return "nothing to compare: the two runs have no scenario in common"
    found = list(changes(comparison))
    other = [compared.scenario for compared in comparison.scenarios if _differs(compared)]
    if not found and other:
        return (
            f"different, and neither is better: {plural(len(other), 'scenario')} of "
            f"{len(shared)}, such as {other[0]}"
        )
    if not found:
        return f"same: no difference that matters in {plural(len(shared), 'scenario')}"
    outcomes = [_outcome(compared) for compared in comparison.scenarios]
    kinds = dict.fromkeys(change.kind for change in found)
    parts = []
    for kind in kinds:
        alike = [change for change in found if change.kind == kind]
        # A run that hangs is worse than any loss.
        most = max(alike, key=lambda change: (change in outcomes, change.amount))
        scenarios = len({change.scenario for change in alike})
        doubt = "" if any(change.sure for change in alike) else "perhaps "
        verb = f"{doubt}needs" if kind.endswith("memory") else f"is {doubt}".rstrip()
        parts.append(
            f"B {verb} {kind} ({scenarios} of {plural(len(shared), 'scenario')}): {most.sentence}"
        )
    return "\n".join(parts)


def _differs(compared: Compared) -> bool:
    counts = (compared.outcomes, *compared.counts)
    marks = [*(count.mark for count in counts), *(figure.mark for figure in compared.figures)]
    return any(mark in _MARKED for mark in marks)


def changes(comparison: Comparison) -> Iterator[Change]:
    """The marked differences that have a better side, outcomes first."""
    for compared in comparison.scenarios:
        if (change := _outcome(compared)) is not None and compared.outcomes.mark in _MARKED:
            yield change
    for compared in comparison.scenarios:
        for figure in compared.figures:
            if figure.mark in _MARKED and (change := _figure(compared, figure)) is not None:
                yield change


def regressions(comparison: Comparison, least: float) -> list[Change]:
    """The changes for the worse: each outcome, and each figure that grew by more than `least`.

    Where both sides have enough runs for a test, only what is significant counts.
    """
    found = []
    for compared in comparison.scenarios:
        outcome = _outcome(compared)
        if outcome is not None and outcome.worse and compared.outcomes.mark in _MARKED:
            found.append(outcome)
        for figure in compared.figures:
            change = _figure(compared, figure)
            if change is None or not change.worse or change.amount <= least:
                continue
            if figure.p is None or change.sure:
                found.append(change)
    return found


def _outcome(compared: Compared) -> Change | None:
    counts = compared.outcomes
    totals = [sum(side.values()) for side in (counts.a, counts.b)]
    if not all(totals):
        return None
    completed = [side.get(Outcome.COMPLETED.value, 0) for side in (counts.a, counts.b)]
    shares = [done / total for done, total in zip(completed, totals, strict=True)]
    if shares[0] == shares[1]:
        return None
    worse = shares[1] < shares[0]
    sides = " and ".join(
        f"{done} of {plural(total, 'run')} in {name}"
        for name, done, total in zip("AB", completed, totals, strict=True)
    )
    return Change(
        scenario=compared.scenario,
        worse=worse,
        kind="worse" if worse else "better",
        sentence=f"{compared.scenario} completed {sides}",
        amount=abs(shares[1] - shares[0]),
        sure=counts.mark is Mark.SIGNIFICANT,
    )


def _figure(compared: Compared, figure: Figure) -> Change | None:
    known = REGRESSIONS.get(figure.name)
    if known is None or figure.a is None or figure.b is None:
        return None
    before, after = figure.a.median, figure.b.median
    if before == after or not (math.isfinite(before) or math.isfinite(after)):
        return None
    # A loss that is no number is worse than any that is one.
    worse = math.isfinite(before) and not after <= before
    kind, verb, rest = known
    if figure.ratio is not None and figure.ratio > 0 and before > 0:
        sentence = f"{verb} {number(figure.ratio, 3)} times {rest}"
    else:
        sentence = f"has {words(figure.name)} {number(after)}, and {number(before)} in A"
    amount = abs(after - before) / abs(before) if before else math.inf
    return Change(
        scenario=compared.scenario,
        worse=worse,
        kind=kind if worse else BETTER[kind],
        sentence=f"{compared.scenario} {sentence}",
        amount=amount if math.isfinite(amount) else math.inf,
        sure=figure.mark is Mark.SIGNIFICANT,
    )
