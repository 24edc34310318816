"""Times that decide a bisect: a busy machine makes a run slower, and none makes one faster. Pure.

So the shortest time of several runs stands for a release. In the search each release runs once. The
two releases of an answer, and the two ends, must have run several times, in turns: if their
shortest times say otherwise, the search goes on. Where the runs of one release differ, more of them
are made, and the two releases must not overlap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.releases import search
from harness.releases.search import Answer, Problem, Round, Seen
from harness.releases.symptoms import Symptoms, When, judge

RUNS, MORE_RUNS = 3, 6
"""The runs of each release that an answer rests on, and those on a machine with noise."""
NOISE = 1.3
"""There is noise where the slowest run of a release takes so many times as long as its fastest."""
NEAR = 1.1
"""A release whose shortest time is within this factor of the limit is on neither side of it."""


def next_round(
    count: int, runs: Sequence[tuple[int, Symptoms]], when: When, width: int = 1
) -> Round:
    """The next releases to run, at most `width`, or the answer.

    `runs` are the number of each release and what its run showed. Of `when` the limit is known.
    """
    by_release: dict[int, list[Symptoms]] = {}
    for release, run in runs:
        by_release.setdefault(release, []).append(run)
    step = search.next_round(count, list(_answers(count, by_release, when).items()), width=width)
    if isinstance(step, Answer):
        needed: tuple[int, ...] = (step.absent, step.shown, 0, count - 1)
    elif step in (Problem.NOT_SHOWN, Problem.SHOWN_AT_GOOD):
        needed = (0, count - 1)
    else:
        return step
    values = {release: _times(some, when) for release, some in by_release.items()}
    noisy = any(max(some) > NOISE * min(some) for some in values.values() if some)
    enough = MORE_RUNS if noisy else RUNS
    times = Counter({release: len(some) for release, some in by_release.items()})
    wanted: list[int] = []
    while len(wanted) < width:
        left = [one for one in needed if times[one] < enough]
        if not left:
            break
        # In turns: what slows the machine down for a while slows down both.
        release = min(left, key=lambda one: times[one])
        times[release] += 1
        wanted.append(release)
    if wanted:
        return tuple(wanted)
    if isinstance(step, Answer) and _overlap(values[step.absent], values[step.shown], when.above):
        return Problem.NOISE
    return step


def _times(runs: Sequence[Symptoms], when: When) -> list[float]:
    usable = [run for run in runs if judge(when, run) is not Seen.UNUSABLE]
    return [run.figures[str(when.figure)] for run in usable]


def _overlap(absent: Sequence[float], shown: Sequence[float], above: bool) -> bool:
    """True if the slowest run of the faster release is as slow as the fastest of the other one."""
    fast, slow = (absent, shown) if above else (shown, absent)
    return max(fast) >= min(slow)


def _answers(count: int, runs: Mapping[int, Sequence[Symptoms]], when: When) -> dict[int, Seen]:
    """The answer of each release that has run."""
    found: dict[int, Seen] = {}
    for release, some in runs.items():
        best = shortest(some, when)
        found[release] = Seen.UNUSABLE if best is None else judge(when, best)
        if best is None or release in (0, count - 1) or len(some) < RUNS:
            continue
        value = best.figures[str(when.figure)]
        if when.limit / NEAR < value < when.limit * NEAR:
            found[release] = Seen.UNUSABLE
    return found


def shortest(runs: Sequence[Symptoms], when: When) -> Symptoms | None:
    """The run with the shortest time of those that have one; None if none has."""
    usable = [run for run in runs if judge(when, run) is not Seen.UNUSABLE]
    return min(usable, key=lambda run: run.figures[str(when.figure)], default=None)
