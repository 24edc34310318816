"""What a launcher says of its ranks, in whatever pieces it comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.supervise.exits import Exits

SAID = (
    b"step 1\n\x1b[33m[WARN] Node with rank 2 exited with code -9\x1b[0m\nstep 2\n"
    b"[WARN] Node with rank 13 exited with code 137\n"
)


@given(st.lists(st.integers(0, len(SAID)), max_size=12).map(sorted))
def test_each_rank_is_heard_however_the_text_is_cut(cuts):
    exits = Exits()
    for start, end in zip([0, *cuts], [*cuts, len(SAID)], strict=True):
        exits.hear(SAID[start:end])
    assert exits.codes == {2: -9, 13: 137}
    assert exits.told() == "rank 2 was killed by SIGKILL, rank 13 exited with code 137"


def test_who_says_nothing_of_ranks_says_nothing():
    exits = Exits()
    exits.hear(b"Node with rank one exited with code zero\nloss 1.0\n" * 100)
    assert exits.codes == {}
    assert exits.told() == ""
