"""A doubt about a run: how long it stands, what is kept of it, and what becomes of it."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest
from endless_worker import Steps
from fakes import info
from observations import READS, RUNNING, awaits, busy, process, seen, sleeps, stack, thread, twice

from harness.detect.chain.links import Ends
from harness.detect.observation import Doings
from harness.detect.policy import STANDARD
from harness.detect.tree import judge_tree
from harness.detect.watchdog import Judgment, State
from harness.model import Cause, Patience, Position, Snapshot, StepBeat, WorkerSpec
from harness.model.settings import RUN_PATIENCE, WATCH_PATIENCE
from harness.model.world import Link
from harness.supervise import doubt, examiner, inspection, job
from harness.supervise.doubt import OpenDoubt
from harness.supervise.handling import Handling
from harness.supervise.inspection import Inspected
from harness.supervise.stage import EndReason, Stage

replace = msgspec.structs.replace
STALLED = Cause(
    code="stalled",
    summary="eval has run for 12 s: main waits",
    evidence={"chain": [{"tid": 1}], "end": {"kind": "unknown"}},
)


def standing(**fields):
    given = {"since": 100.0, "lasted": 6.0, "cause": STALLED, "fingerprint": "abc"}
    return OpenDoubt(**{**given, **fields})


# --- patience ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patience", "longest", "lasts"),
    [
        (RUN_PATIENCE, 0.1, 60.0),
        (RUN_PATIENCE, 30.0, 300.0),
        (WATCH_PATIENCE, 0.1, 600.0),
        (WATCH_PATIENCE, 60.0, 1200.0),
        (Patience(seconds=0.0), 60.0, 0.0),
    ],
)
def test_a_doubt_stands_for_its_patience(patience, longest, lasts):
    assert not standing().over(6.0 + lasts - 0.1, patience, longest, known=False) or lasts == 0.0
    assert standing().over(6.0 + lasts, patience, longest, known=False)


def test_a_hang_that_is_known_is_given_less_and_never_more():
    assert not standing().over(6.0 + STANDARD.known_hang_s - 0.1, WATCH_PATIENCE, 60.0, known=True)
    assert standing().over(6.0 + STANDARD.known_hang_s, WATCH_PATIENCE, 60.0, known=True)
    assert standing().over(7.0, Patience(seconds=1.0), 60.0, known=True)


def test_what_is_recorded_is_in_seconds_after_the_start():
    taken_back = standing().record(40.0, 130.0)
    assert (taken_back.said_s, taken_back.taken_back_s) == (60.0, 90.0)
    assert (taken_back.summary, taken_back.chain, taken_back.end) == (
        STALLED.summary,
        ({"tid": 1},),
        {"kind": "unknown"},
    )
    assert standing().record(40.0, None).taken_back_s is None


# --- causes --------------------------------------------------------------------------------------


def inspected(found):
    tree = judge_tree(found)
    return Inspected(t=found.last.t, tree=tree, observed=found, alive=inspection.alive(tree, found))


def suspected(found):
    one = inspected(found)
    judgment = Judgment(state=State.ALIVE, phase="eval", lasted=12.0, allowed=6.0, usual=0.1)
    return doubt.suspected(doubt.deciding(one), judgment)


BESIDE = thread(2, cpu_s=0.01, **READS)


def link(**fields):
    return {1: (Link(told="a thing", **fields),)}


@pytest.mark.parametrize(
    ("found", "code", "end"),
    [
        (seen(process(1, thread(1), BESIDE)), "stalled", Ends.UNKNOWN),
        (seen(process(1, thread(1, **READS)), links=link(kind="tcp", remote="10.0.0.5:1")),
         "waiting", Ends.NETWORK),
        (seen(process(1, thread(1, **READS)), links=link(kind="file", fs="nfs4")),
         "waiting", Ends.FILE_SYSTEM),
        (seen(process(1, thread(1, **READS)), links=link(kind="pipe", peers=(9,))),
         "waiting", Ends.PROGRAM),
        (seen(process(1, thread(1, state="D", wchan="mem_cgroup_oom_x"))),
         "starved", Ends.MEMORY),
        (seen(process(), stacks=twice(stack("sem_wait", "mlx::core::Event::wait", "py:step")),
              on_gpu=frozenset({1}), gpu=("GPU, 0 %, 1 MiB",), shares=frozenset({1})),
         "stalled", Ends.GPU_IDLE),
        (seen(process(1, thread(1, **awaits())), process(2, thread(2, state="T"), ppid=1)),
         "stopped", Ends.STOPPED),
        (seen(process(1, thread(1, **sleeps(5.0))), rearmed={1: 3}), "waiting", Ends.POLLS),
    ],
)  # fmt: skip
def test_the_end_of_a_chain_is_the_cause(found, code, end):
    cause = suspected(found)
    assert (cause.code, cause.proven) == (code, False)
    assert cause.evidence["end"]["kind"] == end.value
    assert cause.summary.startswith("eval has run for 12 s (longest before: 100 ms): main ")
    assert (cause.evidence["phase_s"], cause.evidence["allowed_s"]) == (12.0, 6.0)


def test_what_is_proven_is_a_deadlock_with_its_chain():
    one = inspected(seen(process()))
    assert doubt.is_dead(one)
    cause = doubt.proven(doubt.deciding(one), "in phase eval of step 3")
    assert (cause.code, cause.proven) == ("deadlock", True)
    assert cause.summary.startswith("deadlock in phase eval of step 3: main waits for another")
    assert cause.evidence["chain"][0]["wait"] == "futex"
    assert "rss" not in cause.evidence


def test_of_a_job_the_rank_to_blame_decides():
    launcher = process(1, thread(1, **awaits()))
    works = process(10, thread(10, **awaits(77)), ppid=1)
    dead = process(11, thread(11), ppid=1)
    one = inspected(seen(launcher, works, dead, ranks={0: 10, 1: 11}))
    assert doubt.deciding(one).pid == 11
    assert not one.alive


def test_the_last_rank_of_a_job_decides_and_not_its_launcher():
    """A launcher that passes on what its ranks print uses the CPU whatever becomes of them."""
    launcher, last = process(1, thread(1, **RUNNING)), process(10, thread(10), ppid=1)
    one = inspected(seen(launcher, last, later=(busy(launcher), last), ranks={0: 10}))
    assert doubt.deciding(one).pid == 10


def test_of_a_tree_that_has_just_ended_its_end_is_told():
    """Both are still listed, for nobody has waited for them yet."""
    ended = [process(pid, thread(pid, state="Z"), ppid=pid - 1, state="Z") for pid in (1, 2)]
    assert doubt.deciding(inspected(seen(*ended))).summary == "has ended"


# --- a run that is doubted -----------------------------------------------------------------------


class Run(job.Job):
    """Its evidence is of no interest here."""

    def _collect(self, snapshot):
        pass


class Silent:
    """Proves nothing."""

    def __init__(self, lacks_time=False):
        self.lacks_time = lacks_time

    def look(self, still):
        return None


class Sees:
    """An inspector that has seen `last`."""

    busy = False
    last = None

    def look(self, now, last_progress, trains=None, ranks=None):
        return self.last


class Doubted:
    """A run, in phase eval of step 3 since 100 s, and what is told of it."""

    def __init__(self, folder, **handling):
        self.told = []
        self.sees = Sees()
        spec = WorkerSpec(scenario="a", path="a.py", folder=str(folder), settings=None)
        given = {"patience": Patience(seconds=60.0, factor=10.0), **handling}
        told = self.told
        handling = Handling(1e9, notify=lambda event, name, _: told.append((event, name)), **given)
        self.run = Run(info("a"), spec, handling, Steps)
        self.state = self.run._run
        self.state.clock.restart(0.0)
        self.run._enter(Stage.RUNNING)
        for step in range(5):
            self.state.learn(StepBeat(t=float(step), step=step, phases={"eval": 0.1}))

    def look(self, now, found=None, since=100.0, overdue=True, paused=0.0, held=()):
        """The cause that a look at `now` gives; `found` is what the inspection shows, and `paused`
        how long it could not go on since the last step."""
        self.sees.last = None if found is None else inspected(found)
        self.state.judgment = Judgment(
            state=State.ALIVE, overdue=overdue, phase="eval", lasted=now - since - paused,
            allowed=6.0, usual=0.1, last_progress=since,
        )  # fmt: skip
        if held:
            self.state.judgment = Judgment(state=State.STOPPED, last_progress=since, held=held)
            self.run._examiner._stopped_at = now
        cause = self.run._examiner._in_doubt(Silent(), self.sees, now)
        self.run._enter(Stage.SUSPECTED if self.run._doubts.open else Stage.RUNNING)
        return cause


@pytest.fixture
def doubted(tmp_path):
    made = []

    def make(**handling):
        made.append(Doubted(tmp_path, **handling))
        return made[-1]

    yield make
    for one in made:
        one.run._samples.close()


def test_the_next_look_is_soon_only_after_one_that_lacks_nothing_but_time(doubted):
    """A look that asks for no proof says nothing of it: ranks have begun, or a tool is at work."""
    one = doubted()
    examine = one.run._examiner
    examine._in_doubt(Silent(lacks_time=True), one.sees, 1.0)
    assert [examine.pause(0.0), examine.pause(0.0)] == [examiner.SOON_S, examiner.LOOK_S]
    examine._in_doubt(Silent(), one.sees, 2.0)
    assert examine.pause(1.0) == examiner.LOOKS.latest_s


def test_what_it_was_at_is_a_clause_of_its_own(doubted):
    """It stands behind "stopped by --budget in step 3;"."""
    one = doubted()
    waits = seen(process(1, thread(1, **awaits())), process(5, thread(5, **sleeps(9.0)), ppid=1))
    stopped = seen(process(1, thread(1, state="T"), state="T"))
    said = []
    for found in (waits, stopped):
        one.sees.last = inspected(found)
        one.run._examiner._closer = (None, None, None, one.sees)
        said.append(one.run._examiner.summary())
    assert said[0].startswith("main waits for a child process: ")
    assert said[1] == "it is stopped by a signal, or frozen with its container"


def test_when_all_ranks_have_ended_what_started_them_is_looked_at(doubted):
    one = doubted()
    ended = SimpleNamespace(look=lambda now: None, ranks={31: 0, 32: 1})
    one.run._examiner._source = SimpleNamespace(tracker=ended, fell_silent=lambda: False)
    asked = []
    one.sees.look = lambda now, progress, trains=None, ranks=None: asked.append(ranks)
    one.look(110.0)
    assert asked == [None]


HANGS = seen(
    process(1, thread(1), thread(2, **READS)), links={2: link(kind="tcp", remote="x:1")[1]}
)
WORKS = seen(process(1, thread(1, **RUNNING)), later=(busy(process(1, thread(1, **RUNNING))),))
SLEEPS = seen(process(1, thread(1, **sleeps(30.0))))
DEAD = seen(process())


def seen_at(t, found):
    """The same, as it is seen by an inspection at `t`."""
    return replace(found, windows=((replace(found.last, t=t),),))


def test_a_doubt_is_said_at_once_and_the_run_ended_after_its_patience(doubted):
    one = doubted()
    assert one.look(106.0, HANGS) is None
    assert one.told == [("doubt", "a")]
    assert one.state.judgment.state is State.SUSPECT
    assert one.look(165.9, HANGS) is None
    assert one.told == [("doubt", "a")], "it is said once"
    cause = one.look(166.0, HANGS)
    assert (cause.code, cause.proven) == ("waiting", False)


def test_the_time_in_which_it_could_not_go_on_is_not_of_its_patience(doubted):
    """It was stopped, or we were, or the machine slept: else it would be ended as it goes on."""
    one = doubted()
    one.look(106.0, HANGS)
    assert one.look(3706.0, HANGS, paused=3600.0) is None
    assert one.look(3765.9, HANGS, paused=3600.0) is None
    assert one.look(3766.0, HANGS, paused=3600.0) is not None


def test_the_longest_phase_of_the_run_stretches_its_patience(doubted):
    one = doubted()
    one.state.learn(StepBeat(t=9.0, step=9, phases={"eval": 20.0}))
    one.look(106.0, HANGS)
    assert one.look(305.0, HANGS) is None
    assert one.look(306.0, HANGS) is not None


def test_without_patience_the_first_doubt_is_the_verdict(doubted):
    assert doubted(patience=Patience(seconds=0.0)).look(106.0, HANGS) is not None


def test_where_waits_are_not_shown_a_later_inspection_has_to_find_the_same(doubted):
    """What wakes each second looks dead to the first one."""
    one = doubted(patience=Patience(seconds=0.0))
    waits = process(1, thread(1, syscall=None, wchan=None, switches=None))
    hidden = seen(waits, shows_waits=False, stacks=twice(stack("read")))
    assert one.look(106.0, hidden) is None
    assert one.look(170.0, hidden) is None, "it is still the same inspection"
    assert one.told == [("doubt", "a")]
    assert one.look(171.0, seen_at(107.0, hidden)) is not None


def test_a_timeout_that_may_be_there_and_is_not_shown_is_believed_without_patience(doubted):
    one = doubted(patience=Patience(seconds=0.0))
    waits = process(1, thread(1, syscall=None, wchan=None, switches=None))
    hidden = seen(waits, shows_waits=False, stacks=twice(stack("kevent")))
    assert one.look(106.0, hidden) is None
    assert one.look(171.0, seen_at(107.0, hidden)) is None
    assert one.told == [("doubt", "a")]


HELD = process(2, thread(2, state="T"), ppid=1, state="T")
WAITS_FOR_HELD = seen(process(1, thread(1, **awaits())), HELD)
BESIDE_HELD = replace(HANGS, windows=seen(process(1, thread(1), thread(2, **READS)), HELD).windows)


@pytest.mark.parametrize(
    ("found", "beside", "events"),
    [
        (None, set(), []),
        (BESIDE_HELD, {2}, []),
        (WAITS_FOR_HELD, set(), ["doubt"]),
        (seen(process(1, thread(1, **sleeps(30.0))), HELD), set(), []),
    ],
    ids=["no inspection", "beside", "waited for", "asleep"],
)
def test_it_is_asked_whether_what_is_stopped_is_waited_for(doubted, found, beside, events):
    one, told = doubted(), set()
    one.state.watchdog.beside = told.update
    assert one.look(106.0, found, held=(2,)) is None
    assert (told, [event for event, _ in one.told]) == (beside, events)


def test_who_waits_for_a_stopped_process_is_looked_at_again_once_that_is_continued(doubted):
    one = doubted(patience=Patience(seconds=0.0))
    for now in (106.0, 3600.0):
        assert one.look(now, WAITS_FOR_HELD, held=(2,)) is None, "no patience ends it"
    assert one.run._doubts.of("stopped").summary == (
        "in phase start: main waits for a child process: process 2 (python train.py ...), which is"
        " stopped by a signal, or frozen with its container"
    )
    assert one.look(3600.2, WAITS_FOR_HELD, paused=3490.0) is None, "so it was before"
    assert one.told == [("doubt", "a")]
    assert one.look(3601.0, seen_at(3600.5, SLEEPS), overdue=False, paused=3490.0) is None
    assert one.told == [("doubt", "a"), ("taken_back", "a")]


def test_the_patience_with_what_waited_for_a_stopped_process_begins_when_that_goes_on(doubted):
    one = doubted()
    one.look(106.0, WAITS_FOR_HELD, held=(2,))
    hangs = seen_at(3999.0, HANGS)
    assert one.look(4000.0, hangs, paused=3890.0) is None
    assert one.look(4059.9, hangs, paused=3890.0) is None
    assert one.look(4060.0, hangs, paused=3890.0).code == "waiting"


def test_a_budget_that_ends_while_what_is_waited_for_is_stopped_ends_a_hang(doubted):
    one = doubted()
    one.look(106.0, WAITS_FOR_HELD, held=(2,))
    one.state.snapshot = Snapshot(t=110.0, position=Position(3, "eval", 100.0))
    one.run._spent(110.0)
    assert (one.state.cause.code, one.state.cause.evidence["end"]["kind"]) == ("stopped", "stopped")


def test_what_is_proven_needs_no_patience(doubted):
    one = doubted()
    cause = one.look(106.0, DEAD)
    assert (cause.code, cause.proven, one.told) == ("deadlock", True, [])


@pytest.mark.parametrize("found", [WORKS, SLEEPS], ids=["works", "sleeps"])
def test_what_goes_on_by_itself_is_not_doubted_however_long(doubted, found):
    one = doubted()
    for now in (106.0, 1000.0, 1e6):
        assert one.look(now, found) is None
    assert (one.told, one.state.judgment.state) == ([], State.ALIVE)


def test_a_step_takes_the_doubt_back_and_the_next_one_begins_anew(doubted):
    one = doubted()
    one.look(106.0, HANGS)
    assert one.look(140.0, None, since=139.0, overdue=False) is None
    assert one.told == [("doubt", "a"), ("taken_back", "a")]
    assert one.run.notes == ["the doubt is taken back after 34 s: it goes on"]
    (record,) = one.run._doubts.over
    assert (record.said_s, record.taken_back_s) == (106.0, 140.0)
    assert one.look(170.0, HANGS, since=139.0) is None, "its patience begins now"
    assert one.look(229.0, HANGS, since=139.0) is None
    assert one.look(230.0, HANGS, since=139.0) is not None


@pytest.mark.parametrize(("by_itself", "taken_back"), [(True, 110.0), (False, None)])
def test_a_run_that_ends_while_it_is_doubted_keeps_its_doubt(doubted, by_itself, taken_back):
    one = doubted()
    one.look(106.0, HANGS)
    one.run._doubts.ended(110.0, by_itself)
    assert [record.taken_back_s for record in one.run._doubts.over] == [taken_back]
    assert [event for event, _ in one.told] == ["doubt", "taken_back"][: 1 + by_itself]


def test_work_that_is_seen_takes_it_back_as_well(doubted):
    one = doubted()
    one.look(106.0, HANGS)
    one.look(120.0, WORKS)
    assert [event for event, _ in one.told] == ["doubt", "taken_back"]
    assert one.look(170.0, HANGS) is None


def test_between_two_inspections_the_doubt_stands(doubted):
    one = doubted()
    one.look(106.0, HANGS)
    assert one.look(110.0, None) is None
    assert [event for event, _ in one.told] == ["doubt"]


def fingerprinted(line):
    stacks = twice(stack("sem_wait", "py:step", lines={"py:step": line}))
    return replace(HANGS, stacks=stacks)


def test_a_hang_that_has_stood_its_patience_is_known_to_later_runs(doubted):
    known = set()
    first = doubted(known_hangs=known)
    first.look(106.0, fingerprinted(12))
    assert known == set(), "it may be taken back"
    assert first.look(166.0, fingerprinted(12)) is not None
    assert len(known) == 1
    again = doubted(known_hangs=known)
    again.look(106.0, fingerprinted(12))
    assert again.look(106.0 + STANDARD.known_hang_s, fingerprinted(12)) is not None
    elsewhere = doubted(known_hangs=known)
    elsewhere.look(106.0, fingerprinted(31))
    assert elsewhere.look(106.0 + STANDARD.known_hang_s, fingerprinted(31)) is None


MAY_WORK = replace(
    seen(process(1, thread(1, **sleeps(0.2))), rearmed={1: 9}),
    doings={1: Doings(seconds=9.0, wakes=30, cpu_s=0.06, looks=4)},
)


def test_what_may_be_work_in_a_beat_is_doubted_and_stands_any_patience(doubted):
    one = doubted(patience=Patience(seconds=0.0), known_hangs={""})
    for now in (106.0, 200.0, 1500.0):
        assert one.look(now, MAY_WORK) is None
    assert one.told == [("doubt", "a")]
    late = replace(MAY_WORK.doings[1], seconds=1800.0)
    assert one.look(1900.0, replace(MAY_WORK, doings={1: late})).code == "waiting"


def test_a_hang_without_stacks_is_known_to_nobody(doubted):
    known = set()
    first = doubted(known_hangs=known)
    first.look(106.0, HANGS)
    assert first.look(166.0, HANGS) is not None
    again = doubted(known_hangs=known)
    again.look(106.0, HANGS)
    assert again.look(106.0 + STANDARD.known_hang_s, HANGS) is None


def test_who_interrupts_a_run_that_is_doubted_has_waited_for_a_hang(doubted):
    one = doubted()
    one.look(106.0, HANGS)
    one.run.interrupt(2.0)
    assert (one.state.end_reason, one.state.cause.code) == (EndReason.HUNG, "waiting")
    assert [record.taken_back_s for record in one.run._doubts.over] == [None]
    other = doubted()
    other.look(106.0, WORKS)
    other.run.interrupt(2.0)
    assert (other.state.end_reason, other.state.cause) == (EndReason.INTERRUPT, None)


def test_a_budget_that_ends_while_a_run_is_doubted_ends_a_hang(doubted):
    one = doubted()
    one.look(106.0, HANGS)
    one.state.snapshot = Snapshot(t=110.0, position=Position(3, "eval", 100.0))
    one.run._spent(110.0)
    assert (one.state.cause.code, one.state.detected_at) == ("waiting", 110.0)
    assert [event for event, _ in one.told] == ["doubt", "hung"]
