"""Robust statistics: right on what is known, and not moved by what they must not be moved by."""

from __future__ import annotations

import random
import statistics
from array import array

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness import stats

floats = st.floats(-1e9, 1e9)


@given(st.lists(floats, min_size=1, max_size=50))
def test_median_of_a_few_is_the_median(values):
    assert stats.median(values) == pytest.approx(statistics.median(values))


@given(st.lists(floats, min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_lies_among_the_values(values, q):
    assert min(values) <= stats.quantile(values, q) <= max(values)


def test_a_quantile_is_linear_between_neighbors():
    assert stats.quantile([0.0, 10.0], 0.25) == 2.5


def test_no_values_have_no_median():
    with pytest.raises(ValueError, match="no values"):
        stats.median([])


def test_a_long_column_is_sampled_without_aliasing():
    # Every 100th value is large; a sample of every 100th would see only those, or none.
    column = array("d", [1000.0 if i % 100 == 0 else 1.0 for i in range(1_000_000)])
    seen = stats.sample(column)
    assert len(seen) == stats.SAMPLE
    assert 0.005 < sum(value == 1000.0 for value in seen) / len(seen) < 0.015


def test_spread_of_normal_values_is_their_deviation_and_outliers_do_not_move_it():
    normal = statistics.NormalDist(5.0, 2.0)
    values = [normal.inv_cdf((i + 0.5) / 1000) for i in range(1000)]
    assert stats.spread(values) == pytest.approx(2.0, rel=0.01)
    assert stats.spread([*values, *[1e9] * 50]) == pytest.approx(2.0, rel=0.15)


@given(st.integers(2, 40), floats, st.floats(-1e3, 1e3))
def test_the_slope_of_a_line_is_found(count, start, slope):
    found = stats.theil_sen([(x, start + slope * x) for x in range(count)])
    assert found.value == pytest.approx(slope, abs=1e-5)
    assert found.low <= found.value <= found.high


@given(st.data())
def test_a_fifth_of_wild_points_do_not_move_the_slope(data):
    points = [(x, 3.0 * x) for x in range(40)]
    for x in data.draw(st.lists(st.integers(0, 39), max_size=8, unique=True)):
        points[x] = (x, data.draw(floats))
    assert stats.theil_sen(points).value == pytest.approx(3.0)


def test_the_interval_of_pure_noise_holds_zero_nineteen_times_in_twenty():
    draw = random.Random(0)
    slopes = [stats.theil_sen([(x, draw.gauss(0, 1)) for x in range(20)]) for _ in range(400)]
    held = sum(slope.low < 0 < slope.high for slope in slopes)
    assert 0.92 < held / len(slopes) < 0.99


@given(st.integers(1, 3000), st.integers(1, 300))
def test_blocks_cover_the_column_in_order(length, count):
    column = array("d", range(length))
    found = stats.blocks(column, count)
    starts = [start for start, _ in found]
    assert len(found) <= count
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    size = starts[1] if len(starts) > 1 else length
    assert all(start <= middle < start + size for start, middle in found)


@given(st.integers(1, 50), st.integers(1, 50), floats, floats)
def test_a_change_of_level_is_found_where_it_is(before, after, low, high):
    assume(abs(high - low) > 1)
    assert stats.change_of_level([low] * before + [high] * after) == before
