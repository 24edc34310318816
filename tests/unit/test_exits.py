"""What a launcher says of its ranks, in whatever pieces it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.supervise.launcher_log import Exits

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
    assert not exits.ends_all
    assert exits.describe() == "rank 2 was killed by SIGKILL, rank 13 exited with code 137"


MPIRUN = (
    (
        b"Primary job  terminated normally, but 1 process returned\na non-zero exit code.\n"
        b"mpirun noticed that process rank 12 with PID 0 on node vm exited on signal 9 (Killed).\n",
        {12: -9},
    ),
    (
        b"the job to be terminated. The first process to do so was:\n\n"
        b"  Process name: [[21004,1],1]\n  Exit code:    13\n-----\n",
        {1: 13},
    ),
    (
        b"mpirun has exited due to process rank 3 with PID 0 on\nnode vm exiting improperly. \n",
        {3: 0},
    ),
    (
        b"Node with rank 1 exited with code -11\n"
        b"  Process name: [[21004,1],1]\n  Exit code:    1\n-----\n",
        {1: -11},
    ),
)
"""As Open MPI 4.1.4 says it; the last of a rank that a shell had started."""


@pytest.mark.parametrize(("said", "codes"), MPIRUN)
@given(cuts=st.lists(st.integers(0, 200), max_size=12).map(sorted))
def test_the_first_rank_is_heard_because_of_which_mpirun_ends_all(said, codes, cuts):
    exits = Exits()
    for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True):
        exits.hear(said[start:end])
    assert exits.codes == codes
    assert exits.ends_all


def test_who_says_nothing_of_ranks_says_nothing():
    exits = Exits()
    exits.hear(b"Node with rank one exited with code zero\nloss 1.0\n" * 100)
    assert exits.codes == {}
    assert exits.describe() == ""
