"""Numbers and places in sentences."""

from __future__ import annotations

import pytest

from harness.detect.process_state import mib
from harness.text.phrases import count, duration, place


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "0 s"), (0.4, "0.4 s"), (3.04, "3 s"), (35.2, "35 s"), (119.4, "119 s"),
     (119.6, "2 min"), (1000, "17 min"), (7199.9, "2 h"), (18_000, "5 h"), (1e6, "12 days"),
     (1e9, "11,600 days")],
)  # fmt: skip
def test_a_duration_has_the_unit_that_people_use(seconds, told):
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "0"), (0.254, "0.25"), (7.52, "7.5"), (9.97, "10"), (42.3, "42"), (99.7, "100"),
     (480.2, "480"), (5000, "5,000"), (23_214, "23,200"), (1.5e6, "1,500,000")],
)  # fmt: skip
def test_a_count_has_no_exponent(value, told):
    assert count(value) == told


@pytest.mark.parametrize(
    ("step", "phase", "told"),
    [
        (3, "eval", "in step 3, phase eval"),
        (50, "after_report", "after the report of step 50"),
        (-1, "import", "in phase import"),
        (None, "start", "in phase start"),
        (4, None, "in step 4"),
        (None, None, ""),
    ],
)
def test_a_place_is_told_as_far_as_it_is_known(step, phase, told):
    assert place(step, phase) == told


@pytest.mark.parametrize(
    ("size", "told"),
    [(0.986, "0.99 bytes"), (700, "700 bytes"), (1024, "1 KiB"), (3 << 20, "3 MiB")],
)
def test_few_bytes_are_told_as_bytes(size, told):
    assert mib(size) == told
