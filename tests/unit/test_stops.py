"""Ranks that are stopped, die or leave while a job is watched: what is told of them, and when."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from ranked_jobs import begun

from harness.detect.policy import STANDARD
from harness.detect.ranks import RankState, judge
from harness.detect.ranks.stopped import Stop, Stops
from harness.detect.watchdog import State
from harness.model import Cause, Position, Process, ScenarioInfo, Snapshot, WorkerSpec
from harness.stacks.wait_rules import Category
from harness.stacks.wait_site import WaitSite
from harness.supervise import rank_tracker
from harness.supervise.evidence import Evidence
from harness.supervise.rank_tracker import RankTracker
from harness.supervise.run_state import RunState


def caught(size=3, at=4):
    """A job whose ranks all evaluate step `at`."""
    told, ops = begun(size, 1, at)
    for one in told:
        one.enter(at, ops)
    return told, max(one.t for one in told)


def states(told):
    return [one.state() for one in told]


def test_a_stop_that_was_continued_is_kept():
    told, now = caught()
    stops = Stops()
    told[1].fields |= {"process": "T", "process_since": now}
    assert stops.look(states(told), now) == []
    assert stops.look(states(told), now + 4) == []
    told[1].fields |= {"process": "S", "process_since": now + 5}
    assert stops.look(states(told), now + 5) == [Stop(1, 4, 5.0)]
    assert stops.look(states(told), now + 6) == []
    (finding,) = stops.findings()
    assert finding.code == "rank_was_stopped"
    assert finding.evidence == {"rank": 1, "step": 4, "seconds": 5.0}


@pytest.mark.parametrize(
    ("ending", "kept"),
    [
        ({"exit_code": 0}, True),
        ({"signal": "SIGKILL"}, False),
        ({"process": None}, False),
    ],
)
def test_what_ends_well_was_continued_and_what_is_killed_was_not(ending, kept):
    told, now = caught()
    stops = Stops()
    told[1].fields |= {"process": "T", "process_since": now}
    stops.look(states(told), now)
    told[1].fields |= {"process": None, "process_since": None, "ended_t": now + 4, **ending}
    stops.look(states(told), now + 4)
    assert bool(stops.over) is kept


WAITS = {
    11: WaitSite(category=Category.COLLECTIVE, description="waits for another rank"),
    12: WaitSite(category=Category.SLEEP, description="sleeps"),
}


class Source:
    """Its ranks are what a test says they are, all of them on this machine."""

    now: Sequence[RankState] = ()

    def states(self, now):
        return self.now

    def remote(self, rank):
        return None

    def grace_is_over(self, verdict, failed_at, now):
        return now - failed_at > STANDARD.peers_end_s


class Watched:
    """A run, its ranks, and what the last look at them has decided."""

    def __init__(self, run, source):
        self.run = run
        self.source = source
        self.tracker = RankTracker(run, source)
        self.cause = None

    @property
    def notes(self):
        return self.run.notes

    @property
    def judgment(self):
        return self.run.judgment


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """A job that looks at `told` at a time, and what it then thinks."""
    monkeypatch.setattr(rank_tracker.evidence, "collect", lambda *_: Evidence(waits=WAITS))
    run = RunState(
        ScenarioInfo(name="train", path="", summary="", doc="", source=""),
        WorkerSpec(scenario="train", path="", folder=str(tmp_path), settings=None),
    )
    made = Watched(run, Source())

    def look(told, now, since):
        made.source.now = states(told)
        run.snapshot = Snapshot(t=now, position=Position(4, "eval", since), processes=())
        run.judgment = msgspec.structs.replace(
            run.judgment, state=State.ALIVE, reason="", about="", last_progress=since
        )
        made.cause = made.tracker.look(now).cause
        return made

    return look


def saved(job):
    return [note for note in job.notes if "are saved in" in note]


def test_a_stop_is_told_once_nothing_moves_and_again_when_it_is_over(watch):
    told, now = caught()
    told[0].fields |= {"process": "T", "process_since": now}
    job = watch(told, now + 1, now)
    job.tracker.pids = {0: 10, 1: 11, 2: 12}
    assert (job.judgment.state, job.judgment.reason, job.tracker._saving) == (
        State.ALIVE,
        "",
        None,
    )
    job = watch(told, now + STANDARD.rank_stopped_s + 1, now)
    assert job.judgment.state is State.STOPPED
    assert "rank 0 is stopped by a signal in step 4" in job.judgment.reason
    assert "ranks 1 and 2 have waited" in job.judgment.reason
    assert job.cause is None
    job.tracker._saving.join()
    for later in (20, 1000):
        watch(told, now + later, now)
        (note,) = saved(job)
        assert note.startswith("rank 1 waits in a collective; stacks and state are saved in ")
    told[0].fields |= {"process": "S", "process_since": now + 1001}
    watch(told, now + 1001, now)
    (note,) = [note for note in job.notes if "continued" in note]
    assert note.startswith("rank 0 was stopped by a signal in step 4 for 16 min 41 s")


def test_a_stopped_rank_does_not_hide_a_dead_one(watch):
    told, now = caught(4)
    told[2].fields |= {"process": "T", "process_since": now}
    job = watch(told, now + STANDARD.rank_stopped_s + 1, now)
    before = job.judgment.about
    told[0].dies("SIGKILL", now + 8)
    job = watch(told, now + 9, now)
    assert job.judgment.state is State.SUSPECT
    assert job.judgment.about != before
    assert "rank 2 is stopped" in job.judgment.reason
    assert "rank 0 was killed" in job.judgment.reason
    assert job.cause is None
    job = watch(told, now + 9.1 + STANDARD.peers_end_s, now)
    assert job.cause is not None


def test_a_command_s_rank_that_leaves_while_others_run_is_told(watch):
    told, now = caught()
    for one in told:
        one.fields["says_end"] = False
    told[1].leave(4)
    told[1].fields |= {"exit_code": 0, "ended_t": now + 1, "process": None}
    job = watch(told, now + 2, now)
    assert (job.notes, job.judgment.reason) == ([], "")
    assert watch(told, now + 1 + STANDARD.peers_end_s + 1, now).notes == [
        "rank 1 exited with code 0 in step 4, phase eval; ranks 0 and 2 are still running"
    ]
    job = watch(told, now + 20, now)
    assert len(job.notes) == 1
    assert job.cause is None


def test_the_stacks_that_are_told_are_those_of_the_rank_to_blame(watch):
    told, now = caught()
    sites = {
        rank: WaitSite(category=category, description=what, python_frame=f"train.py:{rank} in step")
        for rank, (category, what) in enumerate(
            [(Category.COLLECTIVE, "waits for another rank")] * 2 + [(Category.SLEEP, "sleeps")]
        )
    }
    for rank, site in sites.items():
        told[rank].fields["wait"] = site
    job = watch(told, now + 1, now)
    job.tracker.pids = {0: 10, 1: 11, 2: 12}
    each = {
        10 + rank: {
            "wait_site": site.description,
            "wait_category": site.category.value,
            "fingerprint": str(rank),
        }
        for rank, site in sites.items()
    }
    job.run.evidence = Evidence(each[10], {}, each)
    verdict = judge(job.source.now, now + 30, hung=True)
    assert verdict.culprits == (2,)
    assert "where it sleeps at train.py:2 in step" in verdict.summary
    assert verdict.ranks[2].python_frame == "train.py:2 in step"
    assert job.tracker._blamed(verdict) == {
        "wait_site": "rank 2 sleeps",
        "wait_category": "sleep",
        "fingerprint": "2",
    }


@pytest.mark.parametrize("behind", [None, 2])
def test_where_no_rank_is_to_blame_the_gpus_are_told(watch, behind):
    told, ops = begun(3, 1, 4)
    for rank, one in enumerate(told):
        one.enter(4, () if rank == behind else ops)
    now = max(one.t for one in told)
    job = watch(told, now, now)
    job.tracker.pids = {0: 10, 1: 11, 2: 12}
    site = WaitSite(category=Category.STREAM_EVALUATION, description="waits for a stream")
    gpus = ["H200, 100 %, 9 MiB", "H200, 100 %, 9 MiB"]
    job.run.evidence = Evidence({"gpu": gpus}, {10: site}, {})
    job.run.cause = Cause(code="waiting", summary="overdue")
    job.tracker.blame()
    shown = "; the GPUs then: H200, 100 %, 9 MiB; H200, 100 %, 9 MiB"
    assert job.run.cause.summary.endswith(shown) is (behind is None)


@pytest.mark.parametrize("proven", [False, True])
def test_what_is_proven_stays_so_when_the_ranks_say_who_is_to_blame(watch, proven):
    told, ops = begun(3, 1, 4)
    for rank, one in enumerate(told):
        one.enter(4, () if rank == 2 else ops)
    now = max(one.t for one in told)
    job = watch(told, now, now)
    job.tracker.pids = {0: 10, 1: 11, 2: 12}
    lock = WaitSite(category=Category.LOCK, description="waits for a Python lock")
    job.run.evidence = Evidence({}, {12: lock}, {})
    job.run.cause = Cause(code="deadlock", summary="dead", proven=proven)
    job.tracker.blame()
    assert job.run.cause.evidence["culprits"] == [2]
    assert (job.run.cause.code, job.run.cause.proven) == ("deadlock", proven)


def test_who_starts_up_while_stacks_are_taken_is_not_continued(watch):
    told, now = caught()
    told[0].fields |= {"process": "T", "process_since": now}
    job = watch(told, now, now)
    job.tracker.pids = {0: 10, 1: 11, 2: 12}
    job.tracker.follow(0, [process(10, "T")], now)
    job = watch(told, now + STANDARD.rank_stopped_s + 1, now)
    job.tracker._saving.join()
    job.tracker.follow(0, [process(10, "R")], now + 8)
    assert job.tracker.in_state[0] == ("T", now)
    watch(told, now + 8, now)
    job.tracker.follow(0, [process(10, "S")], now + 9)
    assert job.tracker.in_state[0] == ("S", now + 9)


def process(pid, state="S"):
    return Process(pid=pid, ppid=1, name="python", state=state, cpu_s=1.0, threads=())


def test_what_starts_the_ranks_stands_for_the_job_and_stops_with_any_of_them(watch):
    told, now = caught()
    job = watch(told, now, now)
    job.tracker.pids = {0: 10, 1: 11, 2: 12}
    launcher = process(9, "T")
    running = [process(pid) for pid in (10, 11, 12)]
    assert job.tracker.at_rest(launcher, running).state == "S"
    assert job.tracker.at_rest(launcher, [*running[:2], process(12, "T")]).state == "T"
    traced = [process(10, "t"), *running[1:]]
    assert job.tracker.at_rest(launcher, traced).state == "S"
    job.tracker.in_state[0] = ("T", now)
    assert job.tracker.at_rest(launcher, traced).state == "T"
