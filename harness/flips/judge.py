"""Decides which runs an environment ladder still needs, and what they have shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from harness.analysis.known_issues.versions import release
from harness.flips import certainty
from harness.flips.certainty import CERTAINTY, Counts
from harness.flips.plan import FIRST, Ladder
from harness.flips.table import Flip
from harness.inject import flips_made
from harness.model import (
    EnvironmentLadder,
    FlipLeftOut,
    FlipResult,
    FlipVerdict,
    Outcome,
    RunResult,
    ScenarioResult,
)
from harness.releases import symptoms
from harness.releases.search import Seen
from harness.releases.symptoms import When
from harness.report import summary
from harness.session.plan import PlannedRun

AT_LEAST = 3
"""Runs without the symptom that a cure takes, however sure fewer of them make it."""
FAILURES = 2
"""Runs after which a flip is given up under which the training fails in another way."""
Effects = Callable[[str, int], int]
"""For a scenario and a repeat: the number of things that the hook has changed in it."""


class LadderJudge:
    """The judge of a session that runs a ladder."""

    def __init__(
        self,
        ladder: Ladder,
        go_on: Callable[[], bool] = lambda: True,
        known: tuple[ScenarioResult, ...] = (),
    ) -> None:
        """Without `go_on`, no further run is wanted. `known` are earlier runs of the plain
        training."""
        self._ladder = ladder
        self._go_on = go_on
        self._known = known

    def wanted(
        self, planned: PlannedRun, run: RunResult, active: Sequence[str], folder: Path
    ) -> bool:
        """Tell whether `planned` can still tell something, beside the scenarios in `active`."""
        name, seen = planned.info.name, self._assessed(run, folder)
        if not self._go_on():
            return False
        if name != self._ladder.plain.name:
            return name in needed(seen, self._ladder.limit, active)
        if planned.repeat < self._ladder.limit:
            return planned.repeat < FIRST - len(self._known) or seen.symptom is None
        return any(
            one.absent for one in seen.flips if one.name in needed(seen, self._ladder.limit, ())
        )

    def concluded(self, run: RunResult, folder: Path) -> RunResult:
        """`run` with what the ladder has shown so far."""
        return msgspec.structs.replace(run, ladder=self._assessed(run, folder))

    def _assessed(self, run: RunResult, folder: Path) -> EnvironmentLadder:
        run = msgspec.structs.replace(run, results=(*self._known, *run.results))
        return assessed(
            self._ladder, run, lambda name, repeat: flips_made(folder / name / str(repeat))
        )


def needed(seen: EnvironmentLadder, limit: int, active: Sequence[str]) -> frozenset[str]:
    """The flips of which another run can tell something. Pure."""
    if seen.symptom is None:
        return frozenset()
    return frozenset(
        one.name
        for one in seen.flips
        if one.verdict is FlipVerdict.UNDECIDED
        and one.shown + one.absent + one.other + active.count(one.name) < limit
    )


def assessed(ladder: Ladder, run: RunResult, changed: Effects) -> EnvironmentLadder:
    """The answer of all runs so far; `changed` is asked for flips that the hook does. Pure."""
    plain = [_symptoms(one) for one in _of(run, ladder.plain.name)]
    when = symptoms.default((), plain)
    counts = _counted(when, plain)
    flips, left_out = _known(ladder, run)
    runs = {flip.name: _of(run, flip.name) for flip in flips}
    seen = {name: _counted(when, [_symptoms(one) for one in of]) for name, of in runs.items()}
    vain = {
        flip.name
        for flip in flips
        if flip.hooked
        and runs[flip.name]
        and not any(changed(flip.name, one.repeat) for one in runs[flip.name])
    }
    # What has changed nothing is one more run of the plain training.
    same = [seen[name] for name in vain]
    told = Counts(counts[0] + sum(one[0] for one in same), counts[1] + sum(one[1] for one in same))
    sure = certainty.cures(
        told, {name: Counts(*three[:2]) for name, three in seen.items() if name not in vain}
    )
    return EnvironmentLadder(
        plain=ladder.plain.name,
        symptom=None if when is None else str(when),
        shown=counts[0],
        absent=counts[1],
        other=counts[2],
        certainty=CERTAINTY,
        flips=tuple(_result(flip, seen[flip.name], sure.get(flip.name)) for flip in flips),
        left_out=(*ladder.left_out, *left_out),
    )


def _result(flip: Flip, counts: tuple[int, int, int], sure: float | None) -> FlipResult:
    shown, absent, other = counts
    if sure is None:
        verdict = FlipVerdict.NO_EFFECT
    elif shown:
        verdict, sure = FlipVerdict.NOT_CURED, None
    elif other >= FAILURES or (other and absent):
        verdict, sure = FlipVerdict.FAILED, None
    elif absent >= AT_LEAST and sure >= CERTAINTY:
        verdict = FlipVerdict.CURED
    else:
        verdict = FlipVerdict.UNDECIDED
    return FlipResult(
        name=flip.name, change=flip.change, why=flip.why, verdict=verdict,
        shown=shown, absent=absent, other=other, sure=sure if absent else None,
    )  # fmt: skip


def _known(ladder: Ladder, run: RunResult) -> tuple[list[Flip], list[FlipLeftOut]]:
    """The flips that the MLX of the runs knows, and the others, once it is seen which one that is.

    One that was run before that was seen stays.
    """
    version = run.environment.versions.get("mlx")
    number, ran = release(version), {one.scenario for one in run.results}
    known, others = [], []
    for flip in ladder.flips:
        since = release(flip.since)
        if since is None or number is None or number >= since or flip.name in ran:
            known.append(flip)
        else:
            reason = f"mlx {version} does not know it; it came with {flip.since}"
            others.append(FlipLeftOut(name=flip.name, change=flip.change, reason=reason))
    return known, others


def _of(run: RunResult, name: str) -> list[ScenarioResult]:
    """The runs of a scenario that came to their end."""
    return [
        one
        for one in run.results
        if one.scenario == name
        and not (one.outcome is Outcome.UNFINISHED and (one.reason or "").startswith("interrupt"))
    ]


def _symptoms(result: ScenarioResult) -> symptoms.Symptoms:
    return symptoms.of(result, summary.verdict(result))


def _counted(when: When | None, runs: Sequence[symptoms.Symptoms]) -> tuple[int, int, int]:
    """The runs that showed it, that completed without it, and that failed otherwise."""
    if when is None:
        return 0, len(runs), 0
    answers = [symptoms.judge(when, one) for one in runs]
    return answers.count(Seen.SHOWN), answers.count(Seen.ABSENT), answers.count(Seen.UNUSABLE)
