"""No line of a log leaves its place in a report. benchmarks/privacy.py does it 100,000 times."""

from __future__ import annotations

import random

import escapes
import pytest

from harness.report.sections.scenario import LOG_LINES


@pytest.mark.parametrize("seed", range(20))
def test_no_line_of_a_log_leaves_its_place(seed):
    draw = random.Random(seed)
    assert escapes.escaped([escapes.line(draw) for _ in range(LOG_LINES)]) == []


def test_what_does_leave_its_place_is_seen():
    calm = "```\nx\n```"
    assert escapes._markdown("```\nx\n```\n<script>alert(1)</script>\n```\n```", calm)
    assert escapes._markdown("hello @octocat", "hello x")
    assert escapes._markdown("see [a](b)", "see x")
    assert escapes._html("<p><script>x</script></p>", "<p></p>")
