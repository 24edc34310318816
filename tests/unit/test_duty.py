"""What is done again and again stays a share of a core."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.supervise.duty import Duty

SPENT = st.floats(0.001, 100.0)


@given(SPENT, st.floats(0.01, 1.0))
def test_what_costs_more_rests_longer_in_proportion(spent, share):
    rest = Duty(share=share, latest_s=1e9).rest(spent)
    assert abs(spent / rest - share) < 1e-6


@given(SPENT)
def test_no_rest_is_longer_than_the_longest_and_what_is_cheap_needs_none(spent):
    duty = Duty(share=0.02, free_s=0.1, latest_s=5.0)
    rest = duty.rest(spent)
    assert (rest == 0.0) == (spent <= 0.1)
    assert rest <= 5.0
