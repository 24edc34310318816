"""Times that decide a bisect: noise never names a wrong release."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from harness.model import Outcome
from harness.releases import bisect, matrix, plan, symptoms, timed
from harness.releases.plan import BisectRequest, Plan
from harness.releases.probe import Ran
from harness.releases.search import Answer, Problem
from harness.releases.symptoms import Symptoms, When

COUNT, USUAL_S = 22, 0.1
SLOW = symptoms.parse("step_s > 2x")


def took(seconds: float) -> Symptoms:
    return Symptoms(
        outcome=Outcome.COMPLETED, summary="completed", figures={"step_median_s": seconds}
    )


def searched(seed, busy, most, factor=3.0):
    """The end of a search for a release that is slower by `factor`, and the number of its runs.

    In a share `busy` of them the machine makes the run up to `most` times as slow.
    """
    generator = random.Random(seed)
    begins = generator.randrange(1, COUNT)
    runs = [(0, took(USUAL_S))]
    while True:
        when = symptoms.settled(SLOW, [run for release, run in runs if release == 0], [])
        step = timed.next_round(COUNT, runs, when)
        if not isinstance(step, tuple):
            return begins, step, len(runs)
        noise = generator.uniform(1, most) if generator.random() < busy else 1.0
        noise *= generator.uniform(1, 1.1)
        seconds = USUAL_S * noise * (factor if step[0] >= begins else 1)
        runs.append((step[0], took(seconds)))


def test_on_a_quiet_machine_the_release_is_found_with_few_runs():
    for seed in range(60):
        begins, step, runs = searched(seed, 0.0, 1.0)
        assert step == Answer(begins - 1, begins)
        assert runs <= 7 + 4 * (timed.RUNS - 1)


@pytest.mark.unmeasured
@pytest.mark.parametrize(("busy", "most"), [(0.3, 3.0), (0.5, 4.0)])
def test_on_a_busy_machine_the_answer_is_right_or_there_is_none_in_99_of_100(busy, most):
    ends = Counter()
    for seed in range(100):
        begins, step, _ = searched(seed, busy, most, factor=6.0)
        right = isinstance(step, Answer) and step.absent < begins <= step.shown
        ends["right" if right else "none" if isinstance(step, Problem) else "wrong"] += 1
    assert ends["wrong"] <= 1
    assert ends["right"] > ends["none"]


def test_a_release_near_the_limit_is_on_neither_side():
    runs = [(0, took(0.1)), (1, took(0.2)), (2, took(0.4))] * timed.RUNS
    when = symptoms.settled(SLOW, [took(0.1)], [])
    assert timed.next_round(3, runs, when) == Answer(0, 2)


def test_the_runs_of_an_answer_are_made_in_turns():
    when = symptoms.settled(SLOW, [took(0.1)], [])
    assert timed.next_round(2, [(1, took(0.4)), (0, took(0.1))], when, width=4) == (0, 1, 0, 1)


def test_the_limit_follows_the_fastest_run_of_the_good_end():
    whole = Plan(
        kind="bisect", harness_version="1", cwd="/", settings=None, target=None,  # type: ignore[arg-type]
        cells=plan.axes({"mlx": ["1", "2"]}, [], [], "/py", "cpu"),
        bisect=BisectRequest(package="mlx", good="1", bad="2", when="step_s > 2x"),
    )  # fmt: skip
    runs = [Ran(cell="mlx-1", symptoms=(took(seconds),)) for seconds in (0.3, 0.1, 0.2)]
    slow = Ran(cell="mlx-2", symptoms=(took(0.4),))
    assert bisect.settled(whole, [*runs, slow]) == When(figure="step_median_s", limit=0.2)
    noisy = [Ran(cell="mlx-1", symptoms=(took(s),)) for s in (0.1, 0.5, *[0.1] * 4)]
    noisy += [Ran(cell="mlx-2", symptoms=(took(0.3),))] * timed.MORE_RUNS
    ended = bisect.judged(whole, noisy)
    assert not isinstance(ended, tuple)
    assert "the times of one release differ" in (ended.problem or "")


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ([3e-6], [9e-6], False),  # nobody waits for that
        ([0.1], [0.16], True),
        ([0.1], [0.14], False),
        ([0.1] * 4, [0.13] * 4, True),
        ([0.1] * 3 + [0.14], [0.13] * 4, False),  # they overlap
        ([0.1, 0.3], [0.2, 0.5], False),
        ([0.3] * 4, [0.1] * 4, True),
    ],
)
def test_a_time_of_a_matrix_differs_beyond_its_noise_and_by_what_matters(old, new, differs):
    assert matrix.differ("step_median_s", old, new) is differs


def test_a_peak_needs_no_millisecond():
    assert matrix.differ("peak_over_p", [4e-4], [8e-4])
