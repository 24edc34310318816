"""Made-up jobs with one fault each: the verdict names it, however the others reacted to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import ranked_jobs as jobs
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import findings
from harness.detect.ranks import BY_ITSELF, GONE, JobColumns, RankState, judge
from harness.model import CollectiveBeat, ErrorBeat, Position, Severity, Standing
from harness.model.beats import BETWEEN
from harness.stacks.wait_rules import LEAVES, Category
from harness.stacks.wait_site import WaitSite

SIZES, PER_STEP = st.integers(2, 16), st.integers(1, 5)
STEPS, SEEDS = st.integers(0, 9), st.integers(0, 10**9)
STORIES = {
    **{
        how: lambda *a, how=how: jobs.gone(*a, how)
        for how in ("killed", "crashes", "raises", "exits", "vanishes", "exits with 0")
    },
    "breaks off": jobs.breaks_off,
    **{
        how: lambda *a, how=how: jobs.stuck(*a, how)
        for how in ("stopped", "blocked", "cut off")
    },
    "never starts": jobs.never_starts,
    "never joins": jobs.never_joins,
    **{
        how: lambda *a, how=how: jobs.differs(*a, how)
        for how in ("skips", "extra", "op", "shape", "dtype")
    },
    **{
        f"compiled, {how}": lambda *a, how=how: jobs.compiled(*a, how)
        for how in ("killed", "stopped", "blocked")
    },
    "evaluates twice": lambda size, per_step, *a: jobs.evaluates_twice(
        size, min(per_step, 4), *a, "blocked"
    ),
    "slow": jobs.slow,
}  # fmt: skip


def test_of_a_command_one_that_ended_well_is_to_blame_if_all_that_is_wrong_follows_from_it():
    lost = {
        "exit_code": 1,
        "ended_t": 9.0,
        "error": "RuntimeError: [ring] connection to a peer was lost",
    }
    left = {"exit_code": 0, "ended_t": 9.0}
    job = JobColumns(3)
    states = [
        RankState(rank=rank, columns=job[rank], says_end=False, **(left if rank == 1 else lost))
        for rank in range(3)
    ]
    found = judge(states, now=10.0)
    assert (found.code, found.culprits) == ("rank_left_early", (1,))
    assert "exited with code 0, and the others were left" in found.summary
    well = [RankState(rank=rank, columns=job[rank], says_end=False, **left) for rank in range(3)]
    assert not judge(well, now=10.0).failed


@pytest.mark.parametrize(("well", "code"), [(BY_ITSELF, "rank_left_early"), (GONE, "rank_died")])
def test_no_exit_code_is_told_of_a_rank_where_its_launcher_tells_none(well, code):
    lost = {"exit_code": 1, "error": "RuntimeError: [ring] connection to a peer was lost"}
    ends = {0: lost, 1: {"exit_code": 0, "well": well}, 2: lost}
    states = [
        RankState(rank=rank, says_end=False, ended_t=9.0, **end) for rank, end in ends.items()
    ]
    found = judge(states, now=10.0)
    assert (found.code, found.culprits, found.failed) == (code, (1,), True)
    assert found.summary.startswith(f"rank 1 {well}, and the others were left")
    assert found.ranks[1].exit_code is None
    well_all = [replace(states[1], rank=rank) for rank in range(3)]
    assert not judge(well_all, now=10.0).failed


@given(
    ended=st.lists(st.sampled_from([None, "lost", "aborted", "late"]), min_size=2, max_size=8),
    at=STEPS,
)
def test_a_launcher_that_died_is_what_is_wrong_however_the_ranks_ended_then(ended, at):
    job = JobColumns(len(ended))
    how = {
        None: {},
        "lost": {"error": "RuntimeError: [ring] connection to a peer was lost"},
        "aborted": {"signal": "SIGABRT"},
        "late": {"started": False},
    }
    states = [
        RankState(
            rank=rank,
            columns=job[rank],
            **({"ended_t": 9.0, "position": Position(at, "eval", 8.0)} | how[kind]),
        )
        for rank, kind in enumerate(ended)
    ]
    found = judge(states, 10.0, launcher="SIGKILL")
    assert (found.code, found.culprits, found.failed) == ("launcher_died", (), True)
    assert found.summary.startswith("the launcher was killed by SIGKILL")
    assert found.findings[0].evidence["signal"] == "SIGKILL"
    assert not any(one.culprit for one in found.ranks)
    gone = [one.reason for one, kind in zip(found.ranks, ended, strict=True) if kind is None]
    assert gone == [f"ended with the launcher in step {at}, phase eval"] * len(gone)


def test_of_a_rank_that_died_the_launcher_has_told_before_it_died_itself():
    job = JobColumns(2)
    states = [
        RankState(rank=0, columns=job[0], ended_t=9.0),
        RankState(rank=1, columns=job[1], ended_t=8.0, signal="SIGKILL"),
    ]
    found = judge(states, 10.0, launcher="SIGKILL")
    assert (found.code, found.culprits) == ("rank_died", (1,))


def test_a_job_of_which_nothing_was_seen_has_nobody_to_blame():
    found = judge([], now=1.0, hung=True)
    assert found.culprits == ()
    assert "nothing moves" in found.summary


def test_of_a_command_that_tells_nothing_no_place_is_told():
    job = JobColumns(3)
    wait = {
        "peer": WaitSite(category=Category.COLLECTIVE, description="waits for another rank"),
        "pipe": WaitSite(category=Category.IO, description="waits for a file, pipe or socket"),
    }
    states = [
        RankState(
            rank=rank,
            columns=job[rank],
            says_end=False,
            process="S",
            wait=wait["pipe" if rank == 1 else "peer"],
        )
        for rank in range(3)
    ]
    found = judge(states, now=10.0, hung=True)
    assert found.culprits == (1,)
    assert "ranks 0 and 2 wait in a collective" in found.summary
    dead = [replace(states[1], process=None, ended_t=9.0, signal="SIGKILL"), *states[::2]]
    told = judge(sorted(dead, key=lambda state: state.rank), now=10.0)
    assert told.summary.startswith("rank 1 was killed by SIGKILL;")
    for one in (*found.ranks, *told.ranks):
        assert "before its first" not in one.reason
        assert "  " not in one.reason


def test_ranks_that_the_launcher_ended_because_of_one_are_not_to_blame():
    job = JobColumns(3)
    others = {"swept": True, "ended_t": 8.0}
    for how, code in (({"exit_code": 3}, "rank_died"), ({"exit_code": 0}, "rank_left_early")):
        states = [
            RankState(
                rank=rank,
                columns=job[rank],
                says_end=False,
                **({"ended_t": 9.0} | how if rank == 1 else others),
            )
            for rank in range(3)
        ]
        found = judge(states, now=10.0)
        assert (found.code, found.culprits) == (code, (1,))
        assert found.ranks[2].reason == "was ended by the launcher, after rank 1 had failed"


def test_nobody_waits_for_a_rank_to_leave_but_it_for_them():
    job = JobColumns(3)

    def waits(what):
        return WaitSite(category=Category.COLLECTIVE, description=what)

    states = [
        RankState(
            rank=rank,
            columns=job[rank],
            says_end=False,
            wait=waits(LEAVES if rank == 1 else "waits for another rank in a collective"),
        )
        for rank in range(3)
    ]
    found = judge(states, now=10.0, hung=True)
    assert (found.code, found.culprits) == ("rank_silent", (1,))
    assert found.summary.startswith(f"rank 1 {LEAVES}")


def even_ranks(*ops, phase="eval"):
    """Ranks that have all come to step 3, each with as many collectives as `ops` says."""
    job = JobColumns(len(ops))
    for rank, number in enumerate(ops):
        for n in range(number):
            job[rank].add(
                CollectiveBeat(t=1.0, n=n, step=n, op="all_sum", shape=(8,), dtype="float32")
            )
    return [
        RankState(rank=rank, columns=job[rank], position=Position(3, phase, 2.0))
        for rank in range(len(ops))
    ]


def test_who_brought_another_size_and_waits_in_it_has_not_left_it_out():
    """NCCL lets the other ranks through, which go on to the next one."""
    job, usual = JobColumns(2), [(8,), (64,)]
    for rank in range(2):
        for step in range(4):
            sizes = usual if step < 3 or not rank else [(4096,)]
            for n, shape in enumerate(sizes):
                job[rank].add(
                    CollectiveBeat(
                        t=1.0, n=2 * step + n, step=step, op="all_sum", shape=shape, dtype="float32"
                    )
                )
    at = Position(3, "forward", 2.0)
    states = [RankState(rank=rank, columns=job[rank], position=at) for rank in range(2)]
    found = judge(states, now=10.0, hung=True)
    assert (found.code, found.culprits) == ("collective_mismatch", (1,))
    told = "issued all_sum #6 (step 3) with float32[4096], the others with float32[8]"
    assert told in found.summary


def test_a_collective_that_all_have_issued_and_that_never_ends_is_named():
    named = "all have issued all_sum #3 (step 3), and its evaluation does not end"
    found = judge(even_ranks(4, 4), now=10.0, hung=True)
    assert (found.code, found.culprits) == ("rank_silent", ())
    assert named in found.summary
    assert "has not ended" not in judge(even_ranks(4, 4), now=10.0).summary
    for others in (even_ranks(4, 3), even_ranks(0, 0), even_ranks(4, 4, phase="data")):
        assert named not in judge(others, now=10.0, hung=True).summary


WORDS = "RuntimeError: [ring] connection to a peer was lost"


def command_states(*how):
    """Ranks of a command that tells nothing but how each of them ended."""
    job = JobColumns(len(how))
    return [
        RankState(rank=rank, columns=job[rank], says_end=False, **fields)
        for rank, fields in enumerate(how)
    ]


@pytest.mark.parametrize("text", [f"ValueError: {one}" for one in jobs.OWN_FAULTS])
def test_what_only_sounds_like_a_lost_peer_is_the_ranks_own_fault(text):
    lost = {"exit_code": 1, "ended_t": 8.0, "error": WORDS}
    found = judge(command_states(lost, lost | {"ended_t": 9.0, "error": text}, lost), now=10.0)
    assert (found.code, found.culprits) == ("rank_died", (1,))
    assert found.summary.startswith(f"rank 1 raised {text}")


ENDED = {"signal": "SIGTERM", "ended_t": 9.0}


def test_one_that_raised_and_was_ended_while_it_exited_is_to_blame():
    # Its connections close as it exits: a peer raises, is gone first, and the launcher ends all.
    lost = {"exit_code": 1, "ended_t": 8.0, "error": WORDS}
    raised = ENDED | {"error": "ValueError: no more"}
    found = judge(command_states(lost, raised, ENDED), now=10.0)
    assert (found.code, found.culprits) == ("rank_died", (1,))
    assert found.summary.startswith("rank 1 raised ValueError: no more")


@pytest.mark.parametrize("text", [WORDS, "KeyboardInterrupt"])
def test_what_a_rank_raised_because_it_was_ended_or_lost_a_peer_is_not_its_fault(text):
    raised = {"exit_code": 1, "ended_t": 8.0, "error": "ValueError: no more"}
    found = judge(command_states(ENDED | {"error": text}, raised, ENDED), now=10.0)
    assert found.culprits == (1,)
    alone = judge(command_states(ENDED | {"error": text}, ENDED, ENDED), now=10.0)
    assert "raised" not in alone.summary


@pytest.mark.parametrize(("raised_t", "blamed"), [(7.9, 1), (8.3, 1), (8.8, 0)])
def test_what_a_rank_raised_after_another_was_gone_is_not_its_fault(raised_t, blamed):
    """As of a store of the training's own, whose words for a lost peer nobody knows."""
    states = command_states({"signal": "SIGABRT", "ended_t": 8.0}, ENDED, ENDED)
    states[1].columns.error = ErrorBeat(t=raised_t, type="StoreError", message="", traceback="")
    found = judge(states, now=10.0)
    assert (found.code, found.culprits) == ("rank_died", (blamed,))


def test_an_exception_that_one_printed_and_survived_does_not_excuse_who_exited():
    raised = {"exit_code": 1, "ended_t": 8.0, "error": "ValueError: no more"}
    printed = ENDED | {"error": "TimeoutError: tried again"}
    assert judge(command_states(printed, raised, ENDED), now=10.0).culprits == (1,)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"signal": "SIGKILL"}, "were killed by SIGKILL"),
        ({"signal": "SIGSEGV"}, "were killed by SIGSEGV"),
        ({"exit_code": 1, "error": "OSError: no data"}, "raised OSError: no data"),
        ({"exit_code": 3}, "exited with code 3"),
    ],
)
@pytest.mark.parametrize("apart", [0.0, 0.25])
def test_what_befalls_ranks_together_has_no_first(how, told, apart):
    told_here = jobs.begun(4, 1, 3)[0]
    for one in told_here:
        one.at(3, "data")
        one.fields |= {"ended_t": 2000.0 + apart * (one.rank == 2)}
        one.fields |= how if one.rank in (1, 2) else {"signal": "SIGTERM", "ended_t": 2001.0}
    found = judge([one.state() for one in told_here], now=2002.0)
    assert (found.code, found.culprits) == ("rank_died", (1, 2))
    assert found.summary.startswith(f"ranks 1 and 2 {told}")
    assert "; then ranks 0 and 3 were ended by a signal" in found.summary
    assert [one.culprit for one in found.ranks] == [False, True, True, False]
    assert [" had failed" in one.reason for one in found.ranks] == [True, False, False, True]


def test_of_those_that_fail_a_look_later_it_is_said_that_they_came_after():
    ends = ({"signal": "SIGKILL", "ended_t": t} for t in (7.0, 9.0))
    found = judge(command_states(*ends), now=10.0)
    assert found.culprits == (0,)
    assert found.summary == "rank 0 was killed by SIGKILL; then rank 1 was killed"
    assert found.ranks[1].reason == "was killed by SIGKILL, after rank 0 had failed"


def test_no_order_is_told_of_different_ends_within_a_look():
    ends = ({"signal": "SIGKILL", "ended_t": 9.0}, {"signal": "SIGSEGV", "ended_t": 9.0})
    found = judge(command_states(*ends), now=10.0)
    assert found.culprits == (0,)
    assert found.summary == "rank 0 was killed by SIGKILL; rank 1 crashed at the same time"
    assert found.ranks[1].reason == "was killed by SIGSEGV"


def test_a_rank_that_is_gone_comes_before_one_that_may_be_continued():
    stopped = {"process": "T", "process_since": 5.0}
    found = judge(command_states(stopped, {"signal": "SIGKILL", "ended_t": 9.0}, {}), now=10.0)
    assert (found.code, found.culprits) == ("rank_died", (1,))
    assert found.summary == "rank 1 was killed by SIGKILL; rank 0 is stopped by a signal"


@pytest.mark.parametrize("codes", [(1, 1, 1), (3, 3, None), (1, 2, 2)])
def test_of_ranks_that_exited_alike_in_one_look_nobody_is_named(codes):
    ends = ({} if code is None else {"exit_code": code, "ended_t": 9.0} for code in codes)
    found = judge(command_states(*ends), now=10.0)
    assert (found.code, found.culprits, found.failed) == ("rank_died", (), True)
    code = max(code for code in codes if code)
    among = [rank for rank, one in enumerate(codes) if one == code]
    assert found.findings[0].evidence["among"] == among
    assert f"exited with code {code} at the same time" in found.summary
    assert "which of them failed first is not known" in found.summary
    assert not any(one.culprit for one in found.ranks)


def test_the_one_that_exits_with_a_code_of_its_own_is_named_and_one_that_exits_first():
    own = ({"exit_code": code, "ended_t": 9.0} for code in (1, 7, 1))
    assert judge(command_states(*own), now=10.0).culprits == (1,)
    early = ({"exit_code": 1, "ended_t": t} for t in (9.0, 9.0, 8.75))
    found = judge(command_states(*early), now=10.0)
    assert found.culprits == (2,)
    assert found.summary.startswith("rank 2 exited with code 1; ")


def test_what_cannot_run_here_is_nobodys_fault():
    told = jobs.begun(3, 1, 0)[0]
    for one in told[:2]:
        text = "MLX cannot start the backend nccl"
        one.write(ErrorBeat(t=one.t, type="SkipError", message=text, traceback="", skip=True))
        one.fields |= {"exit_code": 1, "ended_t": one.t + 0.3}
    told[2].dies("SIGTERM", told[2].t)
    found = judge([one.state() for one in told], now=jobs.T0 + 2)
    assert (found.code, found.culprits, found.findings) == (None, (), ())
    assert found.skipped == found.summary == "cannot run here: MLX cannot start the backend nccl"
    told[2].dies("SIGSEGV", told[2].t - 5)
    found = judge([one.state() for one in told], now=jobs.T0 + 2)
    assert (found.culprits, found.skipped) == ((2,), None)


@pytest.mark.parametrize("says_end", [True, False])
def test_a_rank_that_left_long_before_the_others_is_told_of_when_all_is_over(says_end):
    told = jobs.begun(3, 1, 0)[0]
    for one in told:
        steps = 30 if one.rank == 1 else 120
        for step in range(steps):
            one.step(step, ())
        if says_end:
            one.over(steps)
        else:
            one.fields |= {"says_end": False, "exit_code": 0, "ended_t": one.t + 0.2}
    found = judge([one.state() for one in told], now=jobs.T0 + 50)
    (left,) = found.findings
    assert (left.code, left.severity, left.evidence["ranks"]) == (
        "rank_left_early", Severity.WARNING, [1]
    )  # fmt: skip
    assert found.summary == "rank 1 left after step 29, while others have begun step 119"
    assert (found.failed, found.culprits) == (False, ())
    assert [one.state for one in found.ranks] == [Standing.FINISHED] * 3


@pytest.mark.parametrize(
    ("size", "phase", "told"),
    [
        (
            1,
            BETWEEN,
            "rank 1 has not moved since it reported step 30; it sleeps at train.py:7 in f",
        ),
        (2, BETWEEN, "ranks 1 and 2 have not moved since they reported step 30; they sleep at "),
        (1, "data", "rank 1 stays in step 30, phase data, where it sleeps at train.py:7 in f"),
        (2, "data", "ranks 1 and 2 stay in step 30, phase data, where they sleep at train.py"),
    ],
)
def test_where_a_silent_rank_is_and_what_it_does_there_is_said(size, phase, told):
    wait = WaitSite(category=Category.SLEEP, description="sleeps", python_frame="train.py:7 in f")
    bad = {"position": Position(30, phase, 8.0), "wait": wait}
    good = {"position": Position(31, phase, 8.0)}
    states = command_states(good, *[bad] * size, good, good)
    found = judge(states, now=20.0, hung=True)
    assert told in found.summary


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"process": "T"}, "ranks 1 and 2 are stopped by a signal in step 4"),
        (
            {"cut_off_since": 5.0},
            "ranks 1 and 2 have been cut off in step 4: nothing is heard from there any more",
        ),
        ({"signal": "SIGBUS", "ended_t": 9.0}, "ranks 1 and 2 were killed by SIGBUS in step 4"),
        ({"exit_code": 0, "ended_t": 9.0}, "ranks 1 and 2 exited with code 0 in step 4, before "),
        ({"ended_t": 9.0}, "ranks 1 and 2 are gone without a word in step 4"),
    ],
)
def test_several_are_told_of_in_the_plural_with_the_step_that_they_share(fields, told):
    one = [RankState(rank=0, position=Position(4, "eval", 9.0))]
    others = [
        RankState(rank=rank, position=Position(4, phase, 5.0), **fields)
        for rank, phase in ((1, "data"), (2, "forward"))
    ]
    assert judge(one + others, now=10.0).summary.startswith(told)


@given(per_step=st.integers(2, 5), at=st.integers(1, 9), bad=st.integers(0, 1))
def test_of_two_ranks_one_is_odd_by_its_other_steps_also_where_the_step_was_broken_off(
    per_step, at, bad
):
    told, ops = jobs.begun(2, per_step, at)
    for one in told:
        one.at(at, "forward")
        op, shape, dtype = ops[0]
        one.issue(at, [(op, (*shape, 2) if one.rank == bad else shape, dtype)])
        one.dies("SIGABRT" if one.rank == bad else "SIGTERM", one.t)
    found = judge([one.state() for one in told], now=told[0].t + 1)
    assert (found.code, found.culprits) == ("collective_mismatch", (bad,)), found.summary


def verdict(story):
    return judge(story.states, story.now, story.hung)


@pytest.mark.parametrize("name", STORIES)
@given(size=SIZES, per_step=PER_STEP, at=STEPS, seed=SEEDS)
def test_the_fault_and_the_rank_are_named_however_the_others_react(name, size, per_step, at, seed):
    story = STORIES[name](size, per_step, at, seed)
    found = verdict(story)
    assert found.code == story.code, found.summary
    undecided = size == 2 and at == 0 and story.kind in ("extra", "op", "shape", "dtype")
    if undecided:  # the first step of two ranks: neither a majority nor a habit
        assert set(story.culprits) <= {0, 1}
    else:
        assert found.culprits == story.culprits, found.summary
    if story.kind:
        evidence = found.findings[0].evidence
        assert evidence["n"] == story.n
        assert undecided or evidence["kind"] == story.kind


@pytest.mark.parametrize(
    "make",
    [
        jobs.healthy,
        lambda *a: jobs.compiled(*a, "healthy"),
        lambda size, per_step, *a: jobs.evaluates_twice(size, min(per_step, 4), *a, "healthy"),
    ],
)
@given(size=SIZES, per_step=PER_STEP, at=STEPS, seed=SEEDS)
def test_a_healthy_job_has_no_culprit(make, size, per_step, at, seed):
    found = verdict(make(size, per_step, at, seed))
    assert (found.code, found.culprits, found.findings) == (None, (), ()), found.summary
    good = {Standing.WORKING, Standing.WAITING, Standing.AHEAD, Standing.BEHIND, Standing.FINISHED}
    assert {one.state for one in found.ranks} <= good


def test_a_host_that_could_not_be_reached_is_to_blame_and_not_those_that_then_did_not_start():
    job = JobColumns(3)
    waiting = RankState(rank=0, columns=job[0], started=False)
    refused = RankState(
        rank=1,
        columns=job[1],
        host="b",
        started=False,
        ended_t=5.0,
        exit_code=255,
        error="ssh: connect to host b port 22: Connection refused",
    )
    ended = RankState(rank=2, columns=job[2], host="c", started=False, signal="SIGTERM")
    found = judge([waiting, refused, ended], 6.0)
    assert (found.code, found.culprits) == ("rank_never_started", (1,))
    assert "rank 1 on host b has never started" in found.summary
    assert "Connection refused" in found.summary


@pytest.mark.parametrize("name", STORIES)
@given(size=SIZES, seed=SEEDS)
def test_a_verdict_is_whole_and_in_one_line(name, size, seed):
    found = verdict(STORIES[name](size, 3, 4, seed))
    assert [one.rank for one in found.ranks] == list(range(size))
    assert found.failed == (name != "slow")
    assert all(one.reason and "\n" not in one.reason for one in found.ranks)
    assert "\n" not in found.summary
    for finding in found.findings:
        assert finding.code in findings.CODES
        assert finding.evidence
        assert finding.severity is (Severity.WARNING if name == "slow" else Severity.ERROR)
