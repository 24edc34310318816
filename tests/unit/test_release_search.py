"""The search for a release: binary, with skips, and for what comes now and then."""

from __future__ import annotations

import random

import pytest

from harness.releases import search
from harness.releases.search import Answer, Probe, Problem, Seen

S, A, U = Seen.SHOWN, Seen.ABSENT, Seen.UNUSABLE


def searched(count, truth, certainty=None, probability=1.0, unusable=(), rng=None):
    """The last step of a search whose symptom begins at the release `truth`, and its runs."""
    seen = []
    while isinstance(step := search.next_step(count, seen, certainty), Probe):
        release = step.release
        if release in unusable:
            answer = U
        else:
            comes = probability == 1.0 or rng.random() < probability
            answer = S if release >= truth and comes else A
        seen.append((release, answer))
    return step, seen


@pytest.mark.parametrize("truth", range(1, 22))
def test_each_boundary_among_22_releases_takes_at_most_seven_runs(truth):
    answer, seen = searched(22, truth)
    assert answer == Answer(truth - 1, truth)
    assert len(seen) <= 7
    assert seen[0][0] == 21
    assert len({release for release, _ in seen}) == len(seen)


def test_two_releases_need_the_two_ends_alone():
    answer, seen = searched(2, 1)
    assert answer == Answer(0, 1)
    assert [release for release, _ in seen] == [1, 0]


@pytest.mark.parametrize("truth", range(1, 12))
@pytest.mark.parametrize("unusable", [{5}, {5, 6}, {4, 5, 6, 7}, {1, 10}])
def test_a_release_that_cannot_be_used_is_searched_around(truth, unusable):
    answer, seen = searched(12, truth, unusable=unusable)
    assert isinstance(answer, Answer)
    assert answer.absent < truth <= answer.shown
    assert set(range(answer.absent + 1, answer.shown)) <= unusable
    assert answer.exact == (answer.shown - answer.absent == 1)
    assert len({release for release, _ in seen}) == len(seen)


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        ([(4, U)], Problem.BAD_UNUSABLE),
        ([(4, S), (0, U)], Problem.GOOD_UNUSABLE),
        ([(4, A), (0, A)], Problem.NOT_SHOWN),
        ([(4, S), (0, S)], Problem.SHOWN_AT_GOOD),
    ],
)
def test_ends_that_do_not_fit_are_a_problem(seen, problem):
    assert search.next_step(5, seen) is problem


def test_the_next_step_follows_from_the_runs_alone():
    """A search that is interrupted goes on as it would have."""
    _, seen = searched(22, 9)
    for known in range(len(seen)):
        assert search.next_step(22, seen[:known]) == Probe(seen[known][0])


@pytest.mark.unmeasured
def test_a_hang_that_comes_now_and_then_is_found_as_surely_as_asked():
    rng = random.Random(20)
    wrong = 0
    for _ in range(60):
        truth = rng.randrange(1, 22)
        answer, _ = searched(22, truth, 0.95, 0.3, rng=rng)
        assert isinstance(answer, Answer)
        assert answer.sure is not None
        assert answer.sure >= 0.95
        wrong += answer.shown != truth
    assert wrong <= 6  # of 60 with 2.4 % wrong, more than 6 come once in 4,000 series


def test_a_hang_that_always_comes_needs_few_runs_more():
    answer, seen = searched(22, 9, 0.95)
    assert isinstance(answer, Answer)
    assert answer.shown == 9
    assert len(seen) < 20


def test_a_hang_that_never_comes_is_given_up():
    answer, seen = searched(22, 22, 0.95)
    assert answer is Problem.NOT_SHOWN
    assert len(seen) == search.runs_for(search.RAREST, 0.95) == 29


def test_a_hang_at_the_good_end_is_found_too():
    answer, _ = searched(6, 0, 0.95)
    assert answer is Problem.SHOWN_AT_GOOD


def test_a_release_without_a_wheel_is_left_out_of_the_repeats_too():
    rng = random.Random(3)
    answer, seen = searched(8, 4, 0.9, 0.6, unusable={3}, rng=rng)
    assert isinstance(answer, Answer)
    assert [r for r, _ in seen].count(3) <= 1
    assert 3 not in (answer.absent, answer.shown)


def test_the_posterior_is_a_distribution_that_a_hang_cuts_off():
    runs = [(4, S), (2, A), (2, A), (3, S)]
    weights = search.posterior([0, 1, 2, 3, 4], runs)
    assert sum(weight for weight, _ in weights) == pytest.approx(1)
    assert weights[4][0] == 0  # it hung at 3 already
    assert weights[3][0] > weights[2][0] == weights[0][0]
    # B(3, 2) against B(3, 4): 1/12 to 1/60, of three releases with the latter.
    assert weights[3][0] == pytest.approx((1 / 12) / (1 / 12 + 3 / 60))
