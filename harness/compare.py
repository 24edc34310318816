"""Two runs side by side: what differs, and what of it is more than chance. Pure.

Outcomes are compared by Fisher's exact test, figures by Mann and Whitney's. Of the differences
marked significant at most 5 % are expected to be chance (Benjamini and Hochberg), and each must be
large enough to matter. With fewer than REPEATS runs on either side nothing is called significant:
what is beyond a figure's threshold, or another outcome, is only said to differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from enum import Enum

import msgspec

from harness import repeats, stats
from harness.model import Outcome, RunResult, ScenarioResult, Spread

REPEATS = 5
ALONE = {
    "step_median_s": 2.0,
    "step_p99_s": 3.0,
    "step_first_s": 3.0,
    "peak_over_p": 1.1,
    "active_over_p": 1.1,
    "rss_peak": 1.25,
    "loss_last": 1.01,
    "traces": 1.0,
    "graph_nodes_last": 1.0,
}
"""By figure: the factor beyond which two single runs differ. Step times of one and the same
scenario vary by half on a busy machine; counts do not vary at all."""
MATTERS = 1.02
"""The factor below which no difference matters, however sure it is."""


class Mark(str, Enum):
    SAME = "same"
    DIFFERS = "differs"
    SIGNIFICANT = "significant"
    MISSING = "missing"
    """One of the two sides has no such run or figure."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """A version, a setting or a property of the machine that the two runs do not share."""

    name: str
    a: str | None
    b: str | None


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """How often each outcome came; p is of the one that differs most, for so many that could."""

    a: dict[str, int]
    b: dict[str, int]
    mark: Mark
    p: float | None = None


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    a: Spread | None
    b: Spread | None
    mark: Mark
    ratio: float | None = None
    """Median of b over that of a."""
    p: float | None = None


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    scenario: str
    outcomes: Outcomes
    figures: tuple[Figure, ...] = ()


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    setup: tuple[Setup, ...]
    """What differs before anything was run."""
    scenarios: tuple[Compared, ...]
    tests: int
    """How many differences were tested."""


def compare(a: RunResult, b: RunResult) -> Comparison:
    """Scenario by scenario, those of `a` first."""
    names = dict.fromkeys(result.scenario for result in (*a.results, *b.results))
    found = [_scenario(name, _of(a, name), _of(b, name)) for name in names]
    return _marked(Comparison(setup=tuple(_setup(a, b)), scenarios=tuple(found), tests=0))


def _of(run: RunResult, name: str) -> list[ScenarioResult]:
    return [
        result
        for result in run.results
        if result.scenario == name and result.outcome is not Outcome.SKIPPED
    ]


def _setup(a: RunResult, b: RunResult) -> Iterator[Setup]:
    left, right = _described(a), _described(b)
    for name in left | right:
        if left.get(name) != right.get(name):
            yield Setup(name=name, a=left.get(name), b=right.get(name))
    ours, theirs = (
        {info.name: (info.source, info.settings, info.command) for info in run.scenarios}
        for run in (a, b)
    )
    for name in ours:
        if ours[name] != theirs.get(name, ours[name]):
            yield Setup(name=f"code of {name}", a="A's", b="B's")


def _described(run: RunResult) -> dict[str, str | None]:
    """Everything that could make two runs differ, by name."""
    env: dict[str, object] = msgspec.to_builtins(run.environment)
    settings: dict[str, object] = msgspec.to_builtins(run.settings or {})
    nested = {"versions", "variables"}
    plain = {key: value for key, value in (env | settings).items() if key not in nested}
    # Both have a device: the one that was asked for, and the one that there was.
    plain |= {
        "device": run.environment.device,
        "device asked for": run.settings and run.settings.device,
    }
    # The command tells what no setting does, such as how many runs there were at once.
    plain |= {"command": " ".join(run.command), "harness": run.harness_version}
    plain |= run.environment.versions
    plain |= run.environment.variables
    return {name: None if value is None else str(value) for name, value in plain.items()}


def _scenario(name: str, a: Sequence[ScenarioResult], b: Sequence[ScenarioResult]) -> Compared:
    figures = (_figure(figure, a, b) for figure in repeats.FIGURES)
    return Compared(
        scenario=name,
        outcomes=_outcomes(a, b),
        figures=tuple(one for one in figures if one.a or one.b),
    )


def _outcomes(a: Sequence[ScenarioResult], b: Sequence[ScenarioResult]) -> Outcomes:
    left, right = _counts(a), _counts(b)
    if not a or not b:
        return Outcomes(a=left, b=right, mark=Mark.MISSING)
    shares = {name: (left.get(name, 0), right.get(name, 0)) for name in left | right}
    differs = any(x * len(b) != y * len(a) for x, y in shares.values())
    p = None
    if min(len(a), len(b)) >= REPEATS:
        least = min(stats.fisher(x, len(a), y, len(b)) for x, y in shares.values())
        # Bonferroni: the least of many p-values is small by chance. Two outcomes are one table.
        p = min(1.0, least * (len(shares) if len(shares) > 2 else 1))
    return Outcomes(a=left, b=right, mark=Mark.DIFFERS if differs else Mark.SAME, p=p)


def _counts(results: Sequence[ScenarioResult]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for result in results:
        counts[result.outcome.value] = counts.get(result.outcome.value, 0) + 1
    return counts


def _figure(name: str, a: Sequence[ScenarioResult], b: Sequence[ScenarioResult]) -> Figure:
    left, right = repeats.values(a, name), repeats.values(b, name)
    spreads = repeats.spread(left), repeats.spread(right)
    if spreads[0] is None or spreads[1] is None:
        return Figure(name=name, a=spreads[0], b=spreads[1], mark=Mark.MISSING)
    before, after = spreads[0].median, spreads[1].median
    enough = min(len(left), len(right)) >= REPEATS
    differs = _beyond(before, after, MATTERS if enough else ALONE[name])
    return Figure(
        name=name,
        a=spreads[0],
        b=spreads[1],
        mark=Mark.DIFFERS if differs else Mark.SAME,
        ratio=after / before if before and math.isfinite(after / before) else None,
        p=_p(left, right) if enough else None,
    )


def _p(left: Sequence[float], right: Sequence[float]) -> float:
    # A NaN is ranked above all numbers: it compares with nothing, and is worse than any of them.
    def rank(value: float) -> float:
        return math.inf if math.isnan(value) else value

    return stats.mann_whitney([rank(v) for v in left], [rank(v) for v in right])


def _beyond(a: float, b: float, factor: float) -> bool:
    """Whether two values lie further apart than by `factor`."""
    if not (math.isfinite(a) and math.isfinite(b)):
        return not (a == b or (math.isnan(a) and math.isnan(b)))
    if a == b:
        return False
    low, high = sorted((abs(a), abs(b)))
    return a * b <= 0 or high > factor * low


def _marked(found: Comparison) -> Comparison:
    """With the differences that stand after the correction for many tests marked significant."""
    every: list[Outcomes | Figure] = []
    for compared in found.scenarios:
        every += [compared.outcomes, *compared.figures]
    tested = [one.p for one in every if one.p is not None]
    stands = dict(zip(tested, stats.discoveries(tested), strict=True))

    def mark(one: Outcomes | Figure) -> Mark:
        if one.p is None or one.mark is not Mark.DIFFERS:
            return one.mark
        return Mark.SIGNIFICANT if stands[one.p] else Mark.SAME

    replace = msgspec.structs.replace
    scenarios = tuple(
        replace(
            compared,
            outcomes=replace(compared.outcomes, mark=mark(compared.outcomes)),
            figures=tuple(replace(figure, mark=mark(figure)) for figure in compared.figures),
        )
        for compared in found.scenarios
    )
    return replace(found, scenarios=scenarios, tests=len(tested))
