"""Quantities in text: one spelling each, no exponents, nothing rounded past its unit."""

from __future__ import annotations

import doctest
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.text import units

SECONDS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "day": 86400}
BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
LARGE = {"": 1, "billion": 1e9, "trillion": 1e12}

durations = st.one_of(st.floats(0, 100), st.floats(0, 1e10), st.floats(0, 1e-3))
sizes = st.one_of(st.integers(0, 2**53), st.integers(0, 2**21), st.floats(0, 2**50))
finite = st.floats(-1e300, 1e300)


def value(text: str) -> float:
    return float(text.replace(",", ""))


def parsed_seconds(text: str) -> float:
    """Read a duration back: an amount and a unit, once or twice."""
    parts = text.split(" ")
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return sum(value(amount) * SECONDS[unit.removesuffix("s") or "s"]
               if unit.startswith("day") else value(amount) * SECONDS[unit]
               for amount, unit in pairs)  # fmt: skip


def parsed_size(text: str) -> float:
    amount, unit = text.split(" ")
    return value(amount) * BYTES[unit]


def significant(text: str) -> int:
    return len(re.sub(r"[^0-9]", "", text).lstrip("0"))


def test_examples_of_the_documentation():
    result = doctest.testmod(units, raise_on_error=False)
    assert result.failed == 0
    assert result.attempted > 10


@given(durations)
def test_a_duration_keeps_its_value(seconds):
    assert math.isclose(
        parsed_seconds(units.duration(seconds)), seconds, rel_tol=0.0101, abs_tol=0.51e-9
    )


@given(durations)
def test_a_duration_has_few_digits_and_no_exponent(seconds):
    text = units.duration(seconds)
    assert re.fullmatch(r"[\d,.]+ (ns|µs|ms|s|min|h|days?)( \d\d? (s|min|h))?", text)
    if seconds < 59:
        amount, _ = text.split(" ")
        assert significant(amount) <= 3
        assert value(amount) < 1000


@given(durations)
def test_a_duration_never_fills_the_next_unit(seconds):
    text = units.duration(seconds)
    if rest := re.fullmatch(r"\S+ (?:min|h) (\d\d) (?:s|min)", text):
        assert 0 < int(rest[1]) < 60
    if hours := re.fullmatch(r"\S+ days? (\d+) h", text):
        assert 0 < int(hours[1]) < 24


@given(durations, durations)
def test_a_longer_duration_is_not_written_as_a_shorter_one(a, b):
    least, most = sorted((a, b))
    written = [parsed_seconds(units.duration(seconds)) for seconds in (least, most)]
    assert written[0] <= written[1] * (1 + 1e-12)


@given(sizes)
def test_a_size_keeps_its_value_and_fits_its_unit(nbytes):
    text = units.size(nbytes)
    amount, unit = text.split(" ")
    assert "e" not in amount
    assert value(amount) < 1024 or unit == "TiB"
    assert value(amount) >= 0.999 or unit == "B"
    assert math.isclose(parsed_size(text), nbytes, rel_tol=0.00501, abs_tol=1e-7)


@given(st.integers(0, 1023))
def test_bytes_are_exact_below_the_first_unit(nbytes):
    assert units.size(nbytes) == f"{nbytes} B"


@pytest.mark.parametrize("power", range(1, 5))
def test_a_size_just_below_a_unit_is_rounded_into_it(power):
    assert units.size(1024**power - 0.001 * 1024 ** (power - 1)) == f"1 {list(BYTES)[power]}"
    assert units.size(1023 * 1024 ** (power - 1)) == f"1023 {list(BYTES)[power - 1]}"


@given(st.integers(-(10**9) + 10**6, 10**9 - 10**6))
def test_a_count_below_a_billion_has_all_its_digits(n):
    assert int(units.count(n).replace(",", "")) == n


@given(st.one_of(st.integers(0, 10**20), st.floats(0.001, 1e20)))
def test_a_count_keeps_its_value(n):
    amount, _, unit = units.count(n).partition(" ")
    assert "e" not in amount
    assert math.isclose(value(amount) * LARGE[unit], n, rel_tol=0.00501)


@given(finite)
def test_a_number_keeps_its_value_without_a_needless_exponent(x):
    text = units.number(x)
    assert math.isclose(value(text), x, rel_tol=0.000501, abs_tol=1e-300)
    assert ("e" in text) == (x != 0 and not 1e-4 <= abs(x) < 1e9)


@given(st.floats(-1e6, 1e6), st.integers(1, 6))
def test_a_number_has_the_digits_that_are_asked_for(x, digits):
    text = units.number(x, digits)
    assert significant(text.partition("e")[0]) <= max(digits, len(f"{abs(x):.0f}"))


@given(st.floats(-2, 2))
def test_a_share_is_given_in_per_cent(share):
    amount, sign = units.percent(share).split(" ")
    assert sign == "%"
    assert math.isclose(value(amount) / 100, share, rel_tol=0.0501, abs_tol=0.00005)


@given(st.floats(0.001, 1e6))
def test_a_rate_names_a_period_in_which_it_happens(per_second):
    text = units.rate(per_second, "step")
    amount, noun, period = re.fullmatch(r"(\S+) (steps?)/(s|min|h)", text).groups()
    assert value(amount) >= 1
    assert math.isclose(value(amount) / SECONDS[period], per_second, rel_tol=0.00501)
    assert (noun == "step") == (amount == "1")


@given(finite)
def test_zero_has_no_sign(x):
    for text in (units.duration(x), units.size(x), units.count(x), units.number(x),
                 units.percent(x)):  # fmt: skip
        assert not re.match(r"-0( |$)", text)


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_a_word(x):
    for text in (units.duration(x), units.size(x), units.count(x), units.number(x)):
        assert text == str(x)
    assert units.percent(x) == f"{x} %"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.duration(-1.5), "-1.5 s"),
        (units.duration(59.96), "1 min"),
        (units.duration(3599.7), "1 h"),
        (units.duration(86_399), "1 day"),
        (units.size(-2048), "-2 KiB"),
        (units.throughput(0), "0 B/s"),
        (units.rate(0, "wake"), "0 wakes/s"),
        (units.plural(1_222, "operation"), "1,222 operations"),
        (units.plural(1, "entry", "entries"), "1 entry"),
    ],
)
def test_edges(text, expected):
    assert text == expected
