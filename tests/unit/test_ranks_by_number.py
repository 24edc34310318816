"""Verdicts on the ranks of a watched command, which tell what they issue and not in which step."""

from __future__ import annotations

import types
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from observations import process, seen

from harness.detect.chain.links import Chain, End, Ends
from harness.detect.ranks import RankColumns, RankState, judge
from harness.detect.ranks.columns import BLOCK, Tables
from harness.detect.ranks.sequences import first_mismatch
from harness.detect.tree import Tree
from harness.detect.verdicts import Answer, Judged
from harness.model import (
    CollectiveBeat,
    Position,
    ScenarioInfo,
    Severity,
    Standing,
    WorkerSpec,
)
from harness.stacks.wait_rules import LEAVES, Category
from harness.stacks.wait_site import WaitSite
from harness.supervise.inspection import Inspected
from harness.supervise.rank_tracker import RankTracker
from harness.supervise.run_state import RunState

A, B, C = ("all_sum", (4,), "float32"), ("all_sum", (), "float32"), ("all_max", (4,), "float32")
IN_IT = WaitSite(category=Category.COLLECTIVE, description="waits for another rank", function="f")
READS = WaitSite(category=Category.IO, description="waits for a file", python_frame="a.py:3 in f")
LOCKED = WaitSite(category=Category.LOCK, description="waits for a lock")
EVALUATES = WaitSite(category=Category.STREAM_EVALUATION, description="waits for a stream")


class Job:
    def __init__(self):
        self.tables = Tables()

    def rank(self, number, issued, t=1000.0, traced=False, **fields):
        columns = RankColumns(self.tables, by_number=True)
        for n, (op, shape, dtype, *flag) in enumerate(issued):
            beat = CollectiveBeat(
                t=t, n=n, step=-1, op=op, shape=shape, dtype=dtype, traced=traced or bool(flag)
            )
            columns.add(beat)
        return RankState(rank=number, numbered=columns, says_end=False, process="S", **fields)


def of(*sequences, waits=(), **fields):
    job = Job()
    sites = [*waits, *[None] * (len(sequences) - len(waits))]
    return [
        job.rank(number, issued, wait=sites[number], **fields)
        for number, issued in enumerate(sequences)
    ]


# --- a rank that never issued one -----------------------------------------------------------------


def test_the_rank_that_never_issued_a_collective_is_named_with_its_number():
    whole = [A, B] * 60
    found = judge(of(whole, whole[:118], whole, waits=(IN_IT, READS, IN_IT)), 1012.0, hung=True)
    assert (found.code, found.culprits) == ("rank_silent", (1,))
    assert found.summary == (
        "rank 1 never issued all_sum #118; ranks 0 and 2 have waited in it for 12 s; "
        "rank 1 waits for a file at a.py:3 in f"
    )
    (finding,) = found.findings
    assert finding.evidence["never_issued"] == {"n": 118, "op": "all_sum", "ranks": [1]}
    assert [one.state for one in found.ranks] == [
        Standing.WAITING,
        Standing.STALLED,
        Standing.WAITING,
    ]
    assert [one.collective for one in found.ranks] == [119, 117, 119]
    assert {one.collective_step for one in found.ranks} == {None}


def test_without_stacks_the_count_alone_names_it():
    found = judge(of([A] * 5, [A] * 5, [A] * 4), 1012.0, hung=True)
    assert (found.culprits, found.ranks[0].state) == ((2,), Standing.STALLED)
    assert found.summary == "rank 2 never issued all_sum #4; rank 2 has not moved"
    assert judge(of([A] * 5, [A] * 4), 1012.0).findings == ()  # it may be on its way


def test_one_that_issues_more_than_it_evaluates_is_not_taken_for_ahead_of_the_others():
    """Rank 0 builds steps ahead and reads a file; the others wait in the last that it has run."""
    found = judge(of([A] * 9, [A] * 6, [A] * 6, waits=(READS, IN_IT, IN_IT)), 1012.0, hung=True)
    assert found.culprits == (0,)
    assert found.summary == (
        "rank 0 waits for a file at a.py:3 in f; ranks 1 and 2 have waited in a collective for 12 s"
    )


def test_one_that_waits_in_it_is_not_to_blame_though_it_has_issued_no_more():
    """Ranks 0 and 1 wait for rank 2 in #3; rank 0 has built on meanwhile."""
    found = judge(of([A] * 5, [A] * 4, [A] * 4, waits=(EVALUATES, IN_IT, LOCKED)), 1.0, hung=True)
    assert found.culprits == (2,)


def test_if_all_wait_in_collectives_the_one_with_the_fewest_is_named():
    found = judge(of([A] * 5, [A] * 4, [A] * 5, waits=[IN_IT] * 3), 1012.0, hung=True)
    assert found.culprits == (1,)
    leaves = replace(of([A])[0], rank=1, wait=WaitSite(category="collective", description=LEAVES))
    others = of([A] * 2, [A], [A] * 2, waits=[IN_IT] * 3)
    found = judge([others[0], leaves, others[2]], 1012.0, hung=True)
    assert found.culprits == (1,)


def test_what_compiled_functions_issue_accuses_nobody():
    """When a function is traced anew differs from rank to rank."""
    states = of([A] * 9, [A] * 6, [A] * 6, waits=(IN_IT, IN_IT, LOCKED), traced=True)
    found = judge(states, 1012.0, hung=True)
    assert (found.culprits, "never issued" in found.summary) == ((2,), False)
    assert judge(of([A, B], [B, A], traced=True), 1.0, hung=True).code == "rank_silent"
    # What they issue besides is compared as ever, wherever they traced anew.
    traced = (*C, True)
    found = judge(of([A, traced, B, A], [A, B, traced, traced], [traced, A, B, A]), 1.0, hung=True)
    assert found.culprits == (1,)
    assert found.summary.startswith("rank 1 never issued all_sum #2;")


def test_a_rank_of_which_nothing_is_known_is_not_taken_for_one_that_is_behind():
    away = RankState(rank=0, says_end=False)
    states = [away, *of([A], [A] * 3, [A] * 2, waits=(IN_IT, IN_IT, LOCKED))[1:]]
    assert judge(states, 1012.0, hung=True).culprits == (2,)


def test_what_it_prints_does_not_count_against_what_it_issues():
    states = of([A] * 5, [A] * 4)
    printed = [replace(s, position=Position(9 - s.rank, "after_report", 1.0)) for s in states]
    swapped = [replace(s, position=Position(5 + s.rank, "after_report", 1.0)) for s in states]
    for each in (printed, swapped):
        assert judge(each, 1012.0, hung=True).culprits == (1,)


# --- ranks that issue different ones --------------------------------------------------------------


def mismatch(*sequences):
    found = first_mismatch(of(*sequences), frozenset())
    return None if found is None else (found.kind, found.n, found.odd)


@pytest.mark.parametrize(
    ("odd", "kind", "told"),
    [
        ([A, B, A, A, B], "missing", "rank 1 never issued all_sum #3 of float32[]: its #3 is "
         "all_sum of float32[4], which is #4 of the others"),
        ([A, B, A, C, B, A], "extra", "rank 1 issued all_max #3 of float32[4], which the others "
         "did not"),
        ([A, B, A, C], "op", "rank 1 issued all_max as #3, the others all_sum"),
        ([A, B, A, ("all_sum", (2,), "float32")], "shape", "rank 1 issued all_sum #3 with "
         "float32[2], the others with float32[]"),
        ([A, B, A, ("all_sum", (), "int8")], "dtype", "rank 1 issued all_sum #3 with int8[], the "
         "others with float32[]"),
    ],
)  # fmt: skip
def test_the_difference_is_told(odd, kind, told):
    found = judge(of([A, B] * 3, odd, [A, B] * 3), 1.0, hung=True)
    assert (found.code, found.culprits) == ("collective_mismatch", (1,))
    assert found.summary.startswith(told)
    assert found.findings[0].evidence["kind"] == kind
    assert found.findings[0].evidence["differs_in_step"] is None


@given(
    ranks=st.integers(2, 9),
    pattern=st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=7),
    steps=st.integers(1, 60),
    behind=st.lists(st.integers(0, 9), min_size=9, max_size=9),
)
def test_ranks_that_are_only_behind_never_differ(ranks, pattern, steps, behind):
    whole = pattern * steps
    assert mismatch(*(whole[: max(0, len(whole) - n)] for n in behind[:ranks])) is None


@given(
    ranks=st.integers(3, 9),
    odd=st.integers(0, 2),
    pattern=st.permutations([A, B, C]),
    at=st.integers(0, 5 * BLOCK),
    behind=st.lists(st.integers(0, 3), min_size=9, max_size=9),
)
def test_the_one_that_leaves_one_out_is_found_wherever_it_was(ranks, odd, pattern, at, behind):
    whole = list(pattern) * (2 * BLOCK)
    issued = [whole[: at + 9 - n] for n in behind[:ranks]]
    issued[odd] = whole[:at] + whole[at + 1 : at + 6]
    assert mismatch(*issued) == ("missing", at, (odd,))


@given(odd=st.integers(0, 1), at=st.integers(30, 3 * BLOCK))
def test_of_two_ranks_it_is_the_one_that_does_otherwise_than_before(odd, at):
    whole = [A, B, C] * (2 * BLOCK)
    issued = [whole[: at + 5], whole[: at + 5]]
    issued[odd] = whole[:at] + whole[at + 1 : at + 4]
    assert mismatch(*issued) == ("missing", at, (odd,))


def test_of_two_ranks_without_a_past_none_is_blamed_alone():
    found = judge(of([A, B], [C, B]), 1.0, hung=True)
    assert found.culprits == (0, 1)
    assert found.summary.startswith("ranks 0 and 1 do not agree: ")


def test_one_of_which_some_were_missed_is_not_compared():
    states = of([A, B, C], [A, C, C])
    states[1].numbered.gaps = True
    assert first_mismatch(states, frozenset()) is None


# --- no healthy one is harmed ---------------------------------------------------------------------


def test_a_command_that_goes_on_or_ends_well_has_not_failed_by_a_difference():
    for fields in ({}, {"exit_code": 0, "ended_t": 9.0}):
        found = judge(of([A, B, A], [A, C, A], [A, B, A], **fields), 10.0)
        assert (found.code, found.failed) == ("collective_mismatch", False)
        assert [one.severity for one in found.findings] == [Severity.WARNING]
    lost = of([A, B, A], [A, C, A], [A, B, A])
    lost[0] = replace(lost[0], signal="SIGKILL", ended_t=9.0)
    found = judge(lost, 10.0)
    assert (found.code, found.culprits) == ("rank_died", (0,))


def lost_cause(folder, states, ends):
    """What the tracker says of these ranks when the job stands still. `ends`: where they wait."""
    run = RunState(
        ScenarioInfo(name="train", path="", summary="", doc="", source=""),
        WorkerSpec(scenario="train", path="", folder=str(folder), settings=None),
    )
    source = types.SimpleNamespace(remote=lambda rank: None)
    tracker = RankTracker(run, source, least=2)
    tracker.pids = {rank: 10 + rank for rank in range(len(states))}
    tracker.ended = {state.rank: 9.0 for state in states if state.ended}
    tracker._states = states
    judged = [
        Judged(
            pid=10 + rank,
            answer=Answer.WAITING,
            summary="",
            good=False,
            chain=Chain(links=(), end=End(kind=kind, detail="")),
        )
        for rank, kind in enumerate(ends)
    ]
    tree = Tree(
        answer=Answer.WAITING, summary="", good=False, decided_by=10, processes=tuple(judged)
    )
    inspected = Inspected(t=1.0, tree=tree, observed=seen(process(10)), alive=False)
    return tracker.lost_cause(inspected, 9.0)


@pytest.mark.parametrize(
    ("ends", "says_end", "lost"),
    [
        ((Ends.PEERS, Ends.PEERS), False, True),
        ((Ends.PEERS, Ends.NETWORK), False, False),
        ((Ends.PEERS,), False, False),
        ((), False, False),
        ((Ends.PEERS, Ends.NETWORK), True, True),
    ],
)
def test_a_command_is_lost_by_a_difference_only_if_all_wait_for_one_another(
    tmp_path, ends, says_end, lost
):
    """What differs may be as it should: then who does not wait may go on. A worker's is not."""
    states = [replace(state, says_end=says_end) for state in of([A, B, A], [A, C, A])]
    cause = lost_cause(tmp_path, states, ends)
    assert (cause is not None) == lost
    assert cause is None or cause.evidence["reason"] == "collective_mismatch"


@pytest.mark.parametrize(
    ("ends", "lost"),
    [((Ends.PEERS, Ends.PEERS), True), ((Ends.NETWORK, Ends.PEERS), False), ((), False)],
)
def test_a_command_is_lost_by_a_rank_that_ended_only_if_the_others_wait_for_it(
    tmp_path, ends, lost
):
    """The first rank may save or upload the model alone, and the others have nothing left to do."""
    states = of([A] * 3, [A] * 3, [A] * 2)
    states[2] = replace(states[2], exit_code=0, ended_t=9.0)
    cause = lost_cause(tmp_path, states, ends)
    assert (cause is not None) == lost
    assert cause is None or cause.evidence["reason"] == "rank_left_early"


@pytest.mark.parametrize(
    ("wait", "issued", "code", "culprits"),
    [
        (None, 3, "rank_silent", (1,)),
        (None, 4, "rank_left_early", (0, 2)),
        (READS, 3, "rank_silent", (1,)),
        (LOCKED, 3, "rank_silent", (1,)),
        (LOCKED, 4, "rank_silent", (1,)),
        (READS, 4, "rank_left_early", (0, 2)),
        (IN_IT, 3, "rank_left_early", (0, 2)),
    ],
)
def test_ranks_that_ended_well_are_to_blame_only_if_the_last_one_may_wait_for_them(
    wait, issued, code, culprits
):
    states = of([A] * 3, [A] * issued, [A] * 3, waits=(None, wait))
    for rank in (0, 2):
        states[rank] = replace(states[rank], exit_code=0, ended_t=9.0)
    found = judge(states, 1012.0, hung=True)
    assert (found.code, found.culprits) == (code, culprits)
    if wait is None and code == "rank_silent":
        assert found.summary == "rank 1 has not moved"
    elif wait is not None and code == "rank_silent":
        at = f" at {wait.place}" if wait.place else ""
        assert found.summary == f"rank 1 {wait.description}{at}"


def test_numbers_are_compared_where_only_some_ranks_report_their_steps():
    states = of([A] * 3, [A] * 2)
    states[0] = replace(states[0], position=Position(2, "step", 1.0))
    assert judge(states, 1012.0, hung=True).culprits == (1,)
