"""What a launcher says of its ranks, in whatever pieces it comes."""

from __future__ import annotations

import pytest
from fakes import result
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Outcome, RankResult, Standing
from harness.supervise.command_end import LauncherWords
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


@pytest.mark.parametrize(
    ("known", "outcome", "ends"),
    [
        ((), Outcome.COMPLETED, Outcome.CRASHED),
        ((1, 2), Outcome.COMPLETED, Outcome.CRASHED),
        ((0, 1), Outcome.COMPLETED, Outcome.COMPLETED),
        ((1, 2), Outcome.HUNG, Outcome.HUNG),
    ],
    ids=["no rank is known", "another rank died", "its own end is judged", "more is known"],
)
def test_a_rank_that_died_and_was_never_seen_is_told_beside_those_that_were(known, outcome, ends):
    """`mlx.launch` returns 0 all the same."""
    words = LauncherWords(1)
    words.streams[0].hear(b"Node with rank 0 exited with code 1\n")
    ranks = tuple(RankResult(rank=one, state=Standing.FINISHED, reason="") for one in known)
    told = words.added_to(result(outcome=outcome, ranks=ranks, findings=()))
    assert told.outcome is ends
    died = [one.evidence["ranks"] for one in told.findings if one.code == "rank_died"]
    assert died == [[0]] * (ends is Outcome.CRASHED)
