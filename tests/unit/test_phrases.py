"""Places in sentences."""

from __future__ import annotations

import pytest

from harness.text.phrases import place


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
