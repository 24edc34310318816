"""What is said of made-up jobs: who is there, who is gone, and because of whom the others wait."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from observations import (
    LAUNCHER,
    READS,
    RUNNING,
    awaits,
    busy,
    process,
    seen,
    sleeps,
    stack,
    thread,
)

from harness.attach import observe, result
from harness.attach.observe import Watched
from harness.detect.ranks.attached import ranks_of
from harness.detect.tree import judge_tree
from harness.detect.verdicts import Answer
from harness.model import Outcome, Standing
from harness.model.world import Link, More
from harness.observe import launchers
from harness.report import html, markdown, runjson
from harness.report.input import ReportInput
from harness.supervise import command_ranks

ROOT = Path(__file__).parents[2]
IN_EVAL = ("py:step", "mlx::core::distributed::ring::RingGroup::all_reduce_impl")
# A launcher that copies what its ranks print is never at rest.
BUSY = process(1, thread(1, **RUNNING))


def waits(rank):
    """A rank that waits in a collective, while its socket's thread spins."""
    pid = 10 + rank
    spins = thread(100 + rank, **RUNNING)
    return process(pid, thread(pid), spins, ppid=1)


def spun(one):
    first, spins = one.threads
    return msgspec.structs.replace(
        one,
        cpu_s=one.cpu_s + 1.0,
        threads=(first, msgspec.structs.replace(spins, cpu_s=spins.cpu_s + 1.0)),
    )


def collective(pid, line=7):
    """Its stacks, twice: the main thread is in the collective, the other one in its loop."""
    main = stack("futex_wait", *reversed(IN_EVAL), tid=pid, lines={"py:step": line})
    spins = stack("mlx::core::distributed::SocketThread::worker", tid=pid + 90, main=False)
    return ((main, spins),) * 2


def still(rank, **fields):
    pid = 10 + rank
    return process(pid, thread(pid, **{**READS, **fields}), ppid=1)


def job(*, rank1=None, later1=None, stacks1=None, launcher=BUSY, numbers=(0, 1, 2), **fields):
    """Ranks 0 and 2 wait for rank 1, which is as is said, or gone."""
    others = [waits(rank) for rank in numbers if rank != 1]
    own = [rank1] if rank1 else []
    stacks = {one.pid: collective(one.pid) for one in others} | (stacks1 or {})
    return seen(
        launcher,
        *others,
        *own,
        later=(
            busy(launcher) if launcher is BUSY else launcher,
            *map(spun, others),
            *([later1] if later1 else own),
        ),
        stacks=stacks,
        **{"ranks": {rank: 10 + rank for rank in numbers}, **fields},
    )


STOPPED = still(1, state="T")
STOPPED = msgspec.structs.replace(STOPPED, state="T")
NOBODY = {11: (Link(told="a pipe", kind="pipe", only_own=True),)}
STRANGER = {1: (Link(told="a pipe", kind="pipe", peers=(99,)),)}
READING = {11: ((stack("read", "py:load", tid=11),),) * 2}


def culprits(found):
    return [one.rank for one in found.job.ranks if one.culprit]


def states(found):
    return {one.rank: one.state for one in found.job.ranks}


def test_a_rank_that_is_stopped_is_to_blame_whatever_the_launcher_does():
    found = judge_tree(job(rank1=STOPPED))
    assert (found.answer, found.good, found.decided_by) == (Answer.STOPPED, False, 11)
    assert culprits(found) == [1]
    assert states(found) == {0: Standing.WAITING, 1: Standing.STOPPED, 2: Standing.WAITING}
    assert found.summary.startswith("rank 1 (process 11) is stopped by a signal")
    assert found.summary.endswith("ranks 0 and 2 wait for it")
    assert [one.pid for one in found.processes] == [11, 10, 12, 1]
    assert found.job.reason == "rank_stopped"


def test_the_one_that_waits_elsewhere_is_to_blame():
    found = judge_tree(job(rank1=still(1), stacks1=READING, links=NOBODY))
    assert (found.answer, found.good, found.decided_by) == (Answer.DEADLOCK, False, 11)
    assert culprits(found) == [1]
    assert states(found)[1] is Standing.STALLED
    assert "rank 1 (process 11) cannot go on: at train.py:7 in load waits for" in found.summary
    assert found.summary.count("rank 1") == 1
    assert found.job.ranks[1].wait_site == "read"
    assert found.job.reason == "rank_silent"


@pytest.mark.parametrize("asked", [None, 3])
def test_a_gap_in_the_numbers_is_a_rank_that_is_dead(asked):
    found = judge_tree(job(numbers=(0, 2), rank_count=asked))
    assert (found.answer, found.good) == (Answer.WAITING, False)
    assert culprits(found) == [1]
    assert states(found) == {0: Standing.WAITING, 1: Standing.DEAD, 2: Standing.WAITING}
    assert found.summary == "rank 1 has ended: no process is left; ranks 0 and 2 wait for it"
    assert found.job.reason == "rank_died"


def test_so_is_one_that_the_launcher_was_told_to_start():
    found = judge_tree(job(numbers=(0, 2), rank_count=5))
    assert culprits(found) == [1, 3, 4]
    assert found.summary.startswith("ranks 1, 3 and 4 have ended: no process is left; ")
    assert found.summary.endswith("ranks 0 and 2 wait for them")


def test_so_is_one_that_was_there_and_ends_while_it_is_looked_at():
    gone = job(numbers=(0, 2), ranks={0: 10, 1: 11, 2: 12})
    assert culprits(judge_tree(gone)) == [1]
    zombie = process(11, thread(11, state="Z"), ppid=1, state="Z")
    assert culprits(judge_tree(job(rank1=zombie))) == [1]


def test_a_gap_is_no_death_where_ranks_may_be_on_other_machines():
    found = judge_tree(job(numbers=(0, 2), elsewhere=True, rank_count=3))
    assert set(states(found)) == {0, 2}
    assert culprits(found) == []
    assert not found.good
    assert found.job.reason == "rank_silent"


def test_the_last_of_a_job_that_its_launcher_counted_waits_for_the_dead():
    alone = seen(LAUNCHER, still(0), ranks={0: 10}, rank_count=2)
    assert culprits(judge_tree(alone)) == [1]


@pytest.mark.parametrize(
    "rank1",
    [
        process(11, thread(11, **RUNNING), ppid=1),
        process(11, thread(11, **sleeps(5.0)), ppid=1),
    ],
)
def test_a_job_goes_on_while_one_rank_does(rank1):
    later = busy(rank1) if rank1.threads[0].state == "R" else rank1
    found = judge_tree(job(rank1=rank1, later1=later))
    assert found.good
    assert found.job.culprits == ()
    assert found.job.findings == ()
    assert states(found) == {0: Standing.WAITING, 1: Standing.WORKING, 2: Standing.WAITING}
    assert found.summary.startswith("rank 1 goes on: rank 1 (process 11) ")


def test_a_rank_that_has_ended_is_not_blamed_while_another_one_goes_on():
    works = waits(0)
    found = judge_tree(
        seen(LAUNCHER, works, later=(LAUNCHER, busy(works)), ranks={0: 10, 1: 11}, stacks={})
    )
    assert found.good
    assert states(found) == {0: Standing.WORKING, 1: Standing.FINISHED}
    assert "rank 1 has ended" in found.summary


def test_ranks_of_which_none_differs_are_told_to_be_alike():
    found = judge_tree(job(rank1=waits(1), later1=spun(waits(1)), stacks1={11: collective(11)}))
    assert not found.good
    assert culprits(found) == []
    assert "no rank differs from the others" in found.summary


def test_of_ranks_that_all_wait_for_each_other_the_odd_one_is_told_but_not_blamed():
    stacks = {11: collective(11, line=31)}
    found = judge_tree(job(rank1=waits(1), later1=spun(waits(1)), stacks1=stacks))
    assert not found.good
    assert culprits(found) == []
    assert found.decided_by == found.processes[0].pid == 11
    assert "rank 1 waits elsewhere than the others; rank 1 (process 11) at " in found.summary
    assert "at train.py:31 in step waits for another rank in a collective" in found.summary


def test_ranks_that_step_are_alive_wherever_they_were_seen():
    """Their sockets' threads spin, and both captures may fall into a wait."""
    before = [waits(rank) for rank in range(3)]
    after = [spun(one) for one in before]
    slept = {one.pid: More(started=one.pid, sleeps={one.pid: 5}) for one in before}
    stacks = {one.pid: collective(one.pid) for one in before}
    found = seen(BUSY, *before, later=(busy(BUSY), *after), stacks=stacks,
                 ranks={rank: 10 + rank for rank in range(3)})  # fmt: skip
    assert not judge_tree(found).good
    windows = [
        (*window[:-1], msgspec.structs.replace(window[-1], more=slept)) for window in found.windows
    ]
    firsts = {one.pid: More(started=one.pid, sleeps={one.pid: 0}) for one in before}
    windows = tuple(
        (msgspec.structs.replace(window[0], more=firsts), *window[1:]) for window in windows
    )
    assert judge_tree(msgspec.structs.replace(found, windows=windows)).good


def test_a_dead_lock_of_one_rank_is_to_blame_while_another_one_still_works():
    locked = process(11, thread(11), ppid=1)
    works = process(10, thread(10, **RUNNING), ppid=1)
    found = judge_tree(
        seen(BUSY, works, locked, later=(busy(BUSY), busy(works), locked), ranks={0: 10, 1: 11})
    )
    assert (found.answer, found.decided_by) == (Answer.DEADLOCK, 11)
    assert culprits(found) == [1]
    assert found.summary.endswith("rank 0 still goes on")


def test_a_rank_is_as_the_process_below_it_that_it_waits_for():
    loader = process(20, thread(20, **RUNNING), ppid=11)
    parent = process(11, thread(11, **awaits(20)), ppid=1)
    others = [waits(0), waits(2)]
    ranks = {"ranks": {0: 10, 1: 11, 2: 12}}
    stacks = {one.pid: collective(one.pid) for one in others}
    later = (busy(BUSY), *map(spun, others), parent)
    works = seen(BUSY, *others, parent, loader, later=(*later, busy(loader)), stacks=stacks,
                 **ranks)  # fmt: skip
    assert judge_tree(works).good
    held = msgspec.structs.replace(process(20, thread(20, state="T"), ppid=11), state="T")
    found = judge_tree(seen(BUSY, *others, parent, held, later=(*later, held),
                            stacks=stacks | {11: ((stack("wait4", "py:step", tid=11),),) * 2},
                            **ranks))  # fmt: skip
    assert not found.good
    assert found.answer is Answer.STOPPED
    assert found.decided_by == 20


def test_a_launcher_that_is_stopped_is_the_answer_and_the_ranks_are_told():
    held = msgspec.structs.replace(process(1, thread(1, state="T")), state="T")
    found = judge_tree(job(rank1=still(1), stacks1=READING, launcher=held))
    assert (found.answer, found.decided_by) == (Answer.STOPPED, 1)
    assert culprits(found) == [1]


def test_one_ranks_own_process_is_judged_as_any_other_and_named():
    alone = seen(process(1, thread(1, **READS)), links=STRANGER, ranks={2: 1}, rank_count=None)
    found = judge_tree(alone)
    assert found.job is None
    assert found.answer is Answer.WAITING
    assert result.lines(found, watched(alone))[0] == "rank 2 (process 1): waiting"


def test_a_shell_with_one_rank_below_it_is_as_that_one():
    found = judge_tree(seen(LAUNCHER, still(5), ranks={5: 15}))
    assert found.job is None
    assert "rank 5 (process 15)" in found.summary


@given(
    st.dictionaries(st.integers(0, 9), st.booleans(), max_size=6),
    st.none() | st.integers(1, 12),
    st.booleans(),
)
def test_ranks_are_those_seen_and_the_gaps_where_all_are_here(there, asked, elsewhere):
    alive = [still(rank) for rank, is_there in there.items() if is_there]
    found = seen(LAUNCHER, *alive, ranks={rank: 10 + rank for rank in there}, rank_count=asked,
                 elsewhere=elsewhere)  # fmt: skip
    ranks = ranks_of(found)
    assert list(ranks) == sorted(ranks)
    assert {pid for pid in ranks.values() if pid} <= {one.pid for one in alive}
    if ranks:
        assert alive
        assert len(ranks) > 1
        assert set(there) <= set(ranks)
        assert elsewhere or set(ranks) == set(range(max(ranks) + 1))
        assert elsewhere or len(ranks) >= (asked or 0)


@pytest.mark.parametrize(
    ("argv", "asked"),
    [
        ("python3 /venv/bin/mlx.launch -n 3 --backend ring -- python train.py -n 9", 3),
        ("/venv/bin/mlx.launch --repeat-hosts=4 train.py", 4),
        ("python mlx.launch -n2 train.py", 2),
        ("python mlx.launch train.py -n 9", None),
        ("python mlx.launch -- train -n 9", None),
        ("python mlx.launch --hostfile hosts.json -n 2 train.py", None),
        ("mpirun --oversubscribe -np 8 python train.py", 8),
        ("/usr/bin/mpiexec -n 2 ./a : -n 3 ./b", None),
        ("mpirun python train.py -n 9", None),
        ("mpirun -n", None),
        ("python train.py -n 9", None),
        ("", None),
    ],
)
def test_how_many_ranks_a_launcher_was_told_to_start(argv, asked):
    assert launchers.rank_count(argv.split()) == asked


@pytest.mark.parametrize(
    ("argv", "program", "expected"),
    [
        ("mpirun -H a,b -n 2 x", "mpirun", True),
        ("mpirun -n 2 x", "mpirun", False),
        ("python mlx.launch --hosts a,b x.py", "mlx.launch", False),
        ("ssh -tt a cmd", "ssh", True),
        ("orted", "orted", True),
        ("bash run.sh", "bash", False),
    ],
)
def test_whether_ranks_may_be_on_other_machines(argv, program, expected):
    assert launchers.elsewhere(argv.split(), program) is expected


def test_ranks_and_their_launcher_are_asked_for_and_nothing_below_a_rank(monkeypatch):
    found = seen(
        process(1), process(10, ppid=1), process(11, ppid=1), process(20, ppid=10),
        process(21, ppid=20),
    )  # fmt: skip
    asked = []

    def argv(pid):
        asked.append(pid)
        return ("mlx.launch", "-n", "4", "x.py")

    ranks = {10: "0", 11: "1", 20: "7"}
    told = {pid: {"MLX_RANK": ranks.get(pid, "")} for pid in (1, 10, 11, 20)}
    monkeypatch.setattr(command_ranks.rank_env, "variables", told.get)
    monkeypatch.setattr(command_ranks.process_names, "argv", argv)
    told = observe._Job().complete(found)
    assert told.ranks == {0: 10, 1: 11}
    assert told.rank_count == 4
    assert not told.elsewhere
    assert asked == [1]


def watched(found):
    return Watched(seen=found, tree=judge_tree(found), captures={}, seconds=4.0)


def document(found):
    began = datetime(2026, 1, 2, tzinfo=timezone.utc)
    return result.run(watched(found), "mlx.launch", ("mlx.launch",), began, ["harness"])


def test_the_reports_have_the_table_of_ranks_with_the_culprit_first():
    run = document(job(rank1=STOPPED))
    (told,) = run.results
    assert told.outcome is Outcome.HUNG
    assert told.cause.code == "stopped"
    assert told.cause.evidence["culprits"] == [1]
    assert told.cause.evidence["reason"] == "rank_stopped"
    schema = msgspec.json.decode((ROOT / "docs" / "run.schema.json").read_bytes())
    jsonschema.validate(runjson.document(run), schema)
    shown = markdown.render(ReportInput(run=run))
    assert "**3 ranks**: 2 waiting, 1 stopped" in shown
    assert "| rank 1: 11 python train.py ... | stopped |" in shown
    assert shown.index("| **1** | **stopped** |") < shown.index("| 0 and 2 | waiting |")
    assert "rank 1 (process 11) is stopped by a signal" in html.render(ReportInput(run=run))


def test_the_terminal_names_each_rank_and_those_that_are_gone():
    found = job(numbers=(0, 2))
    lines = result.lines(judge_tree(found), watched(found))
    assert any(line.startswith("  waiting   rank 0 (process 10) ") for line in lines)
    assert any(line.startswith("  dead      rank 1 has ended") for line in lines)


def test_a_job_that_is_alive_shows_its_ranks_too():
    works = process(11, thread(11, **RUNNING), ppid=1)
    (told,) = document(job(rank1=works, later1=busy(works))).results
    assert told.outcome is Outcome.UNFINISHED
    assert [one.state.value for one in told.ranks] == ["waiting", "working", "waiting"]
    assert [one.code for one in told.findings] == ["attached"]
