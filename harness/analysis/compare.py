"""Two runs side by side: what differs, and what of it is more than chance. Pure.

What is counted (outcomes, findings, how runs hang) is compared by Fisher's exact test, figures by
Mann and Whitney's. Of the differences marked significant at most 5 % are expected to be chance
(Benjamini and Hochberg, for counts and for figures each by themselves), and each must be large
enough to matter. What is not significant, or has too few runs on either side to be, is said to
differ when it would between two single runs: when it is beyond a figure's factor, or when no run of
one side came to what a run of the other did.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from enum import Enum

import msgspec

from harness import stats
from harness.analysis import repeats
from harness.model import Outcome, RunResult, ScenarioResult, Spread

REPEATS = 5
"""Runs on each side below which nothing is tested."""
ALONE = {
    "step_median_s": 2.0,
    "step_p99_s": 3.0,
    "step_first_s": 3.0,
    "peak_over_p": 1.1,
    "active_over_p": 1.1,
    "p_per_step": 1.25,
    "rss_peak": 1.25,
    "loss_last": 1.01,
    "traces": 1.0,
    "graph_nodes_last": 1.0,
}
"""The factor beyond which two single runs differ, by figure. Step times of one and the same
scenario vary by half on a busy machine; counts do not vary at all."""
MATTERS = 1.02
"""The factor below which no difference matters, however sure it is; none above a figure's own."""
LEAST = 1.01
"""The factor below which two values of any figure are the same."""
NOISE = {"p_per_step": 0.02, "graph_nodes_last": 1.0}
"""The distance that two values may have in any case: of a figure that lies around zero, and of a
graph that is counted while it is built."""


class Mark(str, Enum):
    """How sure it is that the two sides differ."""

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


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of runs by result; p belongs to the result that differs most."""

    name: str
    """`outcome`; `finding CODE`; of those that hung `cause`, `hang` (its fingerprint) and `step`,
    the step in which they did."""
    a: dict[str, int]
    b: dict[str, int]
    mark: Mark
    p: float | None = None


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a scenario on both sides."""

    name: str
    a: Spread | None
    b: Spread | None
    mark: Mark
    ratio: float | None = None
    """Median of b over that of a."""
    p: float | None = None


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario on both sides."""

    scenario: str
    outcomes: Counted
    counts: tuple[Counted, ...] = ()
    """Findings, and how those hang that do."""
    figures: tuple[Figure, ...] = ()


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All that differs between two runs."""

    setup: tuple[Setup, ...]
    """The differences of machine, versions and settings."""
    scenarios: tuple[Compared, ...]
    tests: int
    """The number of tested differences."""


def compare(a: RunResult, b: RunResult) -> Comparison:
    """Scenario by scenario, those of `a` first."""
    names = dict.fromkeys(result.scenario for result in (*a.results, *b.results))
    compared = [_scenario(name, _of(a, name), _of(b, name)) for name in names]
    return _marked(Comparison(setup=tuple(_setup(a, b)), scenarios=tuple(compared), tests=0))


def _of(run: RunResult, name: str) -> list[ScenarioResult]:
    return [
        result
        for result in run.results
        if result.scenario == name and result.outcome is not Outcome.SKIPPED
    ]


def _setup(a: RunResult, b: RunResult) -> Iterator[Setup]:
    left, right = _described(a), _described(b)
    for name in left | right:
        one, other = left.get(name), right.get(name)
        if one != other and not (name == "python" and _one_python(one, other)):
            yield Setup(name=name, a=one, b=other)
    ours, theirs = (
        {info.name: (info.source, info.settings, info.command) for info in run.scenarios}
        for run in (a, b)
    )
    for name in ours:
        if ours[name] != theirs.get(name, ours[name]):
            yield Setup(name=f"code of {name}", a="A's", b="B's")


def _one_python(a: str | None, b: str | None) -> bool:
    """True if one is a part of the other: of a process that was ended, only `3.11` may be known."""
    return a is not None and b is not None and (a.startswith(f"{b}.") or b.startswith(f"{a}."))


def _described(run: RunResult) -> dict[str, str | None]:
    """Everything that could make two runs differ, by name."""
    env: dict[str, object] = msgspec.to_builtins(run.environment)
    settings: dict[str, object] = msgspec.to_builtins(run.settings or {})
    nested = {"versions", "variables"}
    # What runs decides most, so the versions come first.
    facts: dict[str, object] = {**run.environment.versions, "python": run.environment.python}
    facts |= {key: value for key, value in (env | settings).items() if key not in nested}
    # Both have a device: the one that was asked for, and the one that there was.
    facts |= {
        "device": run.environment.device,
        "device asked for": run.settings and run.settings.device,
    }
    # The command tells what no setting does, such as how many runs there were at once.
    facts |= {"command": " ".join(run.command), "harness": run.harness_version}
    facts |= run.environment.variables
    return {name: None if value is None else str(value) for name, value in facts.items()}


def _scenario(name: str, a: Sequence[ScenarioResult], b: Sequence[ScenarioResult]) -> Compared:
    figures = (_figure(figure, a, b) for figure in repeats.FIGURES)
    return Compared(
        scenario=name,
        outcomes=_counted(
            "outcome",
            *([result.outcome.value for result in side] for side in (a, b)),
        ),
        counts=tuple(_counts(a, b)) if a and b else (),
        figures=tuple(figure for figure in figures if figure.a or figure.b),
    )


def _counts(a: Sequence[ScenarioResult], b: Sequence[ScenarioResult]) -> Iterator[Counted]:
    codes = [[{finding.code for finding in result.findings} for result in side] for side in (a, b)]
    for code in sorted(set[str]().union(*codes[0], *codes[1])):
        answers = ([("yes" if code in result else "no") for result in side] for side in codes)
        yield _counted(f"finding {code}", *answers)
    hung = [[result for result in side if result.outcome is Outcome.HUNG] for side in (a, b)]
    if all(hung):
        tools = {_evidence(result, "stack_tool") for side in hung for result in side}
        for name, kind in _HANGS.items():
            kinds = [[kind(result) for result in side] for side in hung]
            # The fingerprints of two tools tell nothing of each other.
            if None not in kinds[0] + kinds[1] and (name != "hang" or len(tools) == 1):
                yield _counted(name, *([str(result) for result in side] for side in kinds))


def _evidence(result: ScenarioResult, name: str) -> str | None:
    return result.cause.evidence.get(name) if result.cause else None


_HANGS: dict[str, Callable[[ScenarioResult], object]] = {
    "cause": lambda result: result.cause and result.cause.code,
    "hang": lambda result: _evidence(result, "fingerprint"),
    "step": lambda result: result.last_step,
}


def _counted(name: str, a: Sequence[str], b: Sequence[str]) -> Counted:
    left, right = dict(Counter(a)), dict(Counter(b))
    if not a or not b:
        return Counted(name=name, a=left, b=right, mark=Mark.MISSING)
    shares = {kind: (left.get(kind, 0), right.get(kind, 0)) for kind in left | right}
    p = None
    if len(shares) > 1 and min(len(a), len(b)) >= REPEATS:
        least = min(stats.fisher(x, len(a), y, len(b)) for x, y in shares.values())
        # Bonferroni: the least of many p-values is small by chance. Two kinds are one table.
        p = min(1.0, least * (len(shares) if len(shares) > 2 else 1))
    apart = not left.keys() & right.keys() or (p is None and left.keys() != right.keys())
    return Counted(name=name, a=left, b=right, mark=Mark.DIFFERS if apart else Mark.SAME, p=p)


def _figure(name: str, a: Sequence[ScenarioResult], b: Sequence[ScenarioResult]) -> Figure:
    left, right = repeats.values(a, name), repeats.values(b, name)
    spreads = repeats.spread(left), repeats.spread(right)
    if spreads[0] is None or spreads[1] is None:
        return Figure(name=name, a=spreads[0], b=spreads[1], mark=Mark.MISSING)
    before, after = spreads[0].median, spreads[1].median
    enough = min(len(left), len(right)) >= REPEATS and len({*left, *right}) > 1
    differs = _beyond(name, before, after, ALONE[name])
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


def _beyond(name: str, a: float, b: float, factor: float) -> bool:
    """Return True if two values of a figure differ by more than `factor`."""
    if abs(a - b) <= NOISE.get(name, 0.0):
        return False
    if not (math.isfinite(a) and math.isfinite(b)):
        return not (a == b or (math.isnan(a) and math.isnan(b)))
    low, high = sorted((abs(a), abs(b)))
    return a * b <= 0 or high > max(factor, LEAST) * low


def _marked(comparison: Comparison) -> Comparison:
    """With the differences that stand after the correction for many tests marked significant."""
    counted = [item for both in comparison.scenarios for item in (both.outcomes, *both.counts)]
    counts = [item.p for item in counted if item.p is not None]
    figures = [
        item.p for both in comparison.scenarios for item in both.figures if item.p is not None
    ]
    sure, surely = _significant(counts), _significant(figures)

    def figure(item: Figure) -> Figure:
        assert item.a is not None
        assert item.b is not None
        factor = min(MATTERS, ALONE[item.name])
        if item.p in surely and _beyond(item.name, item.a.median, item.b.median, factor):
            return msgspec.structs.replace(item, mark=Mark.SIGNIFICANT)
        return item

    def count(item: Counted) -> Counted:
        return msgspec.structs.replace(item, mark=Mark.SIGNIFICANT) if item.p in sure else item

    scenarios = tuple(
        msgspec.structs.replace(
            compared,
            outcomes=count(compared.outcomes),
            counts=tuple(map(count, compared.counts)),
            figures=tuple(item if item.p is None else figure(item) for item in compared.figures),
        )
        for compared in comparison.scenarios
    )
    tests = len(counts) + len(figures)
    return msgspec.structs.replace(comparison, scenarios=scenarios, tests=tests)


def _significant(p_values: Sequence[float]) -> set[float | None]:
    return {p for p, stands in zip(p_values, stats.discoveries(p_values), strict=True) if stands}


def enough(comparison: Comparison) -> int:
    """Runs on each side that can make a single difference significant among all that there are."""
    every = [figure for compared in comparison.scenarios for figure in compared.figures]
    tests = comparison.tests or sum(compared.mark is not Mark.MISSING for compared in every)
    runs = REPEATS
    while 2 / math.comb(2 * runs, runs) > 0.05 / max(1, tests):
        runs += 1
    return runs
