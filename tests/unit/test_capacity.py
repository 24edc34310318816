"""The largest batch and length that fit: found by few peaks, and asked itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.memory.capacity import Bounded, largest

GB = 10**9


class Law:
    """A peak of `fixed` bytes and a polynomial of the size, and what was asked of it."""

    def __init__(self, fixed: int, slope: int, square: int = 0, jump: int = 0) -> None:
        self.fixed, self.slope, self.square, self.jump = fixed, slope, square, jump
        self.asked: list[int] = []

    def at(self, size: int) -> int:
        ripple = self.jump * (size % 3)
        return self.fixed + self.slope * size + self.square * size * size + ripple

    def __call__(self, size: int) -> int:
        self.asked.append(size)
        return self.at(size)


def found(law, start, memory, **more):
    capacity = largest(law, {start: law.at(start)}, law.fixed, memory, **more)
    assert len(law.asked) == len(set(law.asked)) == capacity.traces
    return capacity


def test_the_largest_batch_is_found_by_one_trace_where_the_law_is_a_line():
    law = Law(15 * GB, 5 * GB)
    capacity = found(law, 1, 96 * GB)
    assert (capacity.largest, capacity.peak) == (16, 95 * GB)
    assert (capacity.next, capacity.next_peak, capacity.expected) == (17, 100 * GB, True)
    assert capacity.bounded is Bounded.MEMORY
    assert law.asked == [16]


def test_the_next_size_is_traced_where_the_fit_was_too_high():
    """What a step is thought to hold without activations is a guess."""
    law = Law(15 * GB, 5 * GB)
    capacity = largest(law, {1: law.at(1)}, 10 * GB, 96 * GB)
    assert (capacity.largest, capacity.next) == (16, 17)
    assert law.at(17) > 96 * GB
    assert capacity.next_peak == pytest.approx(100 * GB, rel=0.01)


def test_a_length_grows_with_its_square_and_goes_by_units():
    law = Law(15 * GB, 8_000_000, 2500)
    capacity = found(law, 500, 96 * GB, unit=32)
    assert capacity.largest % 32 == 0
    assert law.at(capacity.largest) <= 96 * GB < law.at(capacity.largest + 32)
    assert capacity.next == capacity.largest + 32
    assert capacity.next_peak == pytest.approx(law.at(capacity.next), rel=1e-6)
    assert capacity.traces <= 3


def test_nothing_fits_where_the_smallest_does_not():
    capacity = found(Law(15 * GB, 5 * GB), 4, 16 * GB)
    assert (capacity.largest, capacity.peak) == (0, None)
    assert (capacity.next, capacity.next_peak, capacity.expected) == (1, 20 * GB, False)
    beside = found(Law(15 * GB, 5 * GB), 1, 10 * GB)
    assert (beside.largest, beside.next_peak) == (0, 20 * GB)


def test_the_model_ends_the_search_before_the_memory_does():
    law = Law(GB, 1000)
    capacity = found(law, 512, 96 * GB, unit=32, most=8192)
    assert (capacity.largest, capacity.bounded) == (8192, Bounded.MODEL)
    assert capacity.next_peak is None
    assert capacity.peak == law.at(8192)
    assert max(law.asked) == 8192


def test_a_length_beyond_the_model_is_no_answer():
    capacity = found(Law(GB, 1000), 10_000, 96 * GB, unit=32, most=8192)
    assert (capacity.largest, capacity.bounded) == (8192, Bounded.MODEL)


def test_what_mlx_cannot_hold_ends_the_search():
    def peak(size: int) -> int | None:
        return GB + size if size < 1000 else None

    capacity = largest(peak, {2: GB + 2}, GB, 96 * GB)
    assert (capacity.largest, capacity.next) == (999, 1000)
    assert (capacity.bounded, capacity.next_peak) == (Bounded.MLX, None)


def test_the_largest_is_traced_where_the_first_size_is_between_two_units():
    law = Law(0, 1000)
    capacity = found(law, 500, 511_000, unit=32)
    assert (capacity.largest, capacity.peak) == (480, 480_000)
    assert (capacity.next, capacity.next_peak) == (512, 512_000)


@given(
    st.integers(0, 10**10),
    st.integers(1, 10**8),
    st.integers(0, 10**4),
    st.integers(0, 100),
    st.integers(1, 5000),
    st.integers(0, 10**12),
    st.sampled_from([1, 32]),
)
def test_what_is_said_to_fit_fits_whatever_the_law_is(
    fixed, slope, square, jump, start, memory, unit
):
    law = Law(fixed, slope, square, min(jump, slope // 3))
    capacity = found(law, start, memory, unit=unit)
    assert capacity.next == capacity.largest + unit
    assert capacity.largest == 0 or law.at(capacity.largest) <= memory
    assert capacity.largest == 0 or capacity.peak == law.at(capacity.largest)
    assert capacity.next_peak is not None
    assert capacity.next_peak > memory or capacity.expected
    if not law.jump:
        # Of a polynomial the fit is right to a rounding: one size of two that differ by less.
        assert law.at(capacity.next) * (1 + 1e-9) > memory
    assert capacity.traces <= 60


@pytest.mark.parametrize("memory", [30 * GB, 96 * GB, 500 * GB])
def test_a_law_in_steps_needs_few_traces_more(memory):
    law = Law(15 * GB, 9_000_000, 2500, jump=2_000_000)
    assert found(law, 512, memory, unit=32).traces <= 8
