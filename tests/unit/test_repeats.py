"""Repeats taken together: intervals, hangs that are one, the spread of the figures."""

from __future__ import annotations

import math
from itertools import combinations

import fakes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import stats
from harness.analysis import repeats
from harness.model import Outcome

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
numbers = st.lists(st.floats(-1e6, 1e6), max_size=12)


@given(counts)
def test_wilson_holds_the_share_and_stays_a_probability(drawn):
    count, of = drawn
    low, high = stats.wilson(count, of)
    assert 0 <= low <= count / of <= high <= 1
    assert low < high
    assert math.isclose(low, 1 - stats.wilson(of - count, of)[1], abs_tol=1e-12)
    assert stats.wilson(10 * count, 10 * of)[1] - stats.wilson(10 * count, 10 * of)[0] < high - low
    if count < of:
        more = stats.wilson(count + 1, of)
        assert low < more[0]
        assert high < more[1] or high == 1


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(3, 20, 0.0524, 0.3604), (0, 300, 0.0, 0.0126), (20, 20, 0.8389, 1.0), (0, 0, 0.0, 1.0)],
)
def test_wilson_agrees_with_published_values(count, of, low, high):
    assert stats.wilson(count, of) == pytest.approx((low, high), abs=1e-4)


@given(counts, counts)
def test_fisher_is_a_probability_and_does_not_care_for_order(a, b):
    p = stats.fisher(*a, *b)
    assert 0 < p <= 1
    assert p == stats.fisher(*b, *a)
    assert stats.fisher(*a, *a) == 1


def test_fisher_agrees_with_the_lady_tasting_tea():
    assert stats.fisher(3, 4, 1, 4) == pytest.approx(0.4857, abs=1e-4)
    assert stats.fisher(4, 4, 0, 4) == pytest.approx(0.0286, abs=1e-4)


@given(numbers, numbers)
def test_mann_whitney_is_a_probability_and_does_not_care_for_order_or_scale(a, b):
    p = stats.mann_whitney(a, b)
    assert 0 <= p <= 1
    assert p == pytest.approx(stats.mann_whitney(b, a))
    assert stats.mann_whitney(a, a) == 1


def test_mann_whitney_of_few_values_is_exact():
    """Against the published tables, and by counting every way to draw them."""
    assert stats.mann_whitney(range(5), range(5, 10)) == pytest.approx(2 / 252)
    assert stats.mann_whitney(range(4), range(4, 8)) == pytest.approx(2 / 70)
    a, b = [1.0, 2.0, 2.0, 5.0], [2.0, 3.0, 5.0, 5.0, 7.0]
    every = [*a, *b]

    def above(chosen):
        rest = [v for i, v in enumerate(every) if i not in chosen]
        return sum((every[i] > y) + 0.5 * (every[i] == y) for i in chosen for y in rest)

    ways = [above(chosen) for chosen in combinations(range(len(every)), len(a))]
    far = abs(above((0, 1, 2, 3)) - len(a) * len(b) / 2)
    share = sum(abs(way - len(a) * len(b) / 2) >= far for way in ways) / len(ways)
    assert stats.mann_whitney(a, b) == pytest.approx(share)


def test_mann_whitney_sees_what_is_apart_and_not_what_is_mixed():
    assert stats.mann_whitney(range(10), range(10, 20)) < 0.001
    assert stats.mann_whitney([1, 3, 5, 7, 9], [2, 4, 6, 8, 10]) > 0.5


@given(st.lists(st.floats(0, 1), max_size=50))
def test_fewer_stand_after_the_correction_than_before_it(p_values):
    stands = stats.discoveries(p_values)
    assert len(stands) == len(p_values)
    assert all(p <= 0.05 for p, one in zip(p_values, stands, strict=True) if one)
    assert stats.discoveries([0.04]) == [True]
    assert stats.discoveries([0.04, 0.5]) == [False, False]


def test_three_of_twenty_in_words():
    runs = [fakes.hung("a", repeat=n, fingerprint="f1") for n in range(3)]
    runs += [fakes.result("a", repeat=n) for n in range(3, 20)]
    (one,) = repeats.summarize(runs)
    (hang,) = one.hangs
    assert repeats.describe_hang(hang) == "hung at step 1 in 3 of 20 runs (5.2 to 36 %)"
    assert one.outcomes["completed"].count == 17
    assert list(one.outcomes) == ["completed", "hung"]


def test_hangs_with_one_fingerprint_are_one_and_others_are_apart():
    prints = ["f1", "f2", "f1", None, None, "f1"]
    runs = [fakes.hung("a", repeat=n, fingerprint=name) for n, name in enumerate(prints)]
    (one,) = repeats.summarize(runs)
    assert [(h.fingerprint, h.share.count, h.repeats) for h in one.hangs] == [
        ("f1", 3, (0, 2, 5)), (None, 2, (3, 4)), ("f2", 1, (1,))
    ]  # fmt: skip


def test_fingerprints_are_compared_only_where_one_tool_took_all_the_stacks():
    def summed(*tools):
        prints = ["f1", "f1", "f2"]
        runs = [
            fakes.hung("a", repeat=n, fingerprint=mark, stack_tool=tool)
            for n, (mark, tool) in enumerate(zip(prints, tools, strict=True))
        ]
        (one,) = repeats.summarize(runs)
        return [(hang.fingerprint, hang.repeats) for hang in one.hangs]

    assert summed("pystack", "pystack", "pystack") == [("f1", (0, 1)), ("f2", (2,))]
    # The other one may be the same hang, seen by a tool that shows less of it.
    assert summed("pystack", "pystack", "faulthandler") == [(None, (0, 1, 2))]


def test_one_run_is_no_repeat_and_skipped_ones_do_not_count():
    assert repeats.summarize([fakes.result("a"), fakes.result("b")]) == ()
    runs = [fakes.result("a"), fakes.result("a", Outcome.SKIPPED, repeat=1)]
    assert repeats.summarize(runs)[0].outcomes["completed"].of == 1


@given(st.lists(st.floats(), min_size=1, max_size=9).flatmap(lambda v: st.tuples(
    st.just(v), st.permutations(v))))  # fmt: skip
def test_a_spread_does_not_care_for_order_whatever_the_values_are(drawn):
    first, second = (repeats.spread(values) for values in drawn)
    figures = [(found.min, found.median, found.max) for found in (first, second)]
    assert figures[0] == pytest.approx(figures[1], rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([math.nan, 2.0, 1.0], (1.0, 2.0, math.nan)),
        ([1.0, math.inf, 2.0], (1.0, 2.0, math.inf)),
        ([1.0, math.nan, math.inf], (1.0, math.inf, math.nan)),
        ([math.inf, math.inf], (math.inf,) * 3),
    ],
)
def test_a_loss_that_is_no_number_is_the_worst_of_the_repeats(values, told):
    found = repeats.spread(values)
    assert (found.min, found.median, found.max) == pytest.approx(told, nan_ok=True)


def test_figures_have_their_spread_and_missing_ones_are_left_out():
    times = (0.02, 0.04, 0.03)
    runs = [fakes.result("a", metrics=fakes.metrics(t), repeat=n) for n, t in enumerate(times)]
    figures = repeats.summarize(runs)[0].figures
    step = figures["step_median_s"]
    assert (step.min, step.median, step.max, step.runs) == (0.02, 0.03, 0.04, 3)
    assert "traces" not in figures
