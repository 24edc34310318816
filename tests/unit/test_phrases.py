"""Places in sentences."""

from __future__ import annotations

import pytest

from harness.text import exits
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


def test_the_end_of_a_process_is_an_exit_code_or_a_signal():
    assert exits.ended(0) == "exited with code 0"
    assert exits.ended(3) == "exited with code 3"
    assert exits.ended(-9) == "was killed by SIGKILL"
    assert exits.ended(-60) == "was killed by signal 60"
