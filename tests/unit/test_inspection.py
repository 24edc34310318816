"""Closer looks at a worker in doubt, the looks themselves made up."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import msgspec
import pytest
from observations import ALONE, READS, RUNNING, awaits, busy, process, seen, sleeps, thread

from harness.detect.policy import STANDARD, Policy
from harness.detect.spinning import Inspection, Stay
from harness.detect.tree import judge_tree
from harness.detect.verdicts import Answer
from harness.model import Machine
from harness.model.world import Gpus, Link, More, Relations, World
from harness.stacks.parse import parse
from harness.supervise import duty, gather, inspection, loops
from harness.supervise.inspection import Inspector, Prover, alive

replace = msgspec.structs.replace
DEAD = seen(process())
NETWORK = {1: (Link(told="x", kind="tcp", remote="x:1"),)}
WAITS = seen(process(1, thread(1, **READS)), links=NETWORK)
WORKS = seen(process(1, thread(1, **RUNNING)), later=(busy(process(1, thread(1, **RUNNING))),))


class Gatherer:
    """Sees `found` again and again."""

    pid = 1

    def __init__(self, found):
        self.found = found
        self.touches = 0
        self.resets = 0
        self.go = threading.Event()
        """Set for as long as an inspection may go on."""
        self._looks = iter(())
        self.looked = 0

    def glance(self):
        return World(t=0.0, processes=self.found.last.processes)

    def reset(self):
        self.resets += 1

    def touched(self):
        self.touches += 1

    def window(self, seconds, least=2):
        assert self.go.wait(9.0)
        return self.found.windows[0]

    def look(self):
        self.looked += 1
        one = next(self._looks, None)
        if one is None:
            self._looks = iter(self.found.windows[0])
            one = next(self._looks)
        return one

    def complete(self, windows, stop=None, with_gpu=True):
        self.asked_gpu = with_gpu
        return replace(self.found, windows=tuple(windows))

    undisturbed = contextlib.nullcontext()

    def ask(self, pids):
        return False


class NoStacks:
    """No tool answers."""

    taken: ClassVar[list[tuple[int, ...]]] = []

    def __init__(self, stop, place):
        self.place = place

    def take(self, pids, label, **options):
        self.taken.append(tuple(pids))
        assert all(isinstance(self.place(pid), Path) for pid in pids)

    def stacks(self):
        return {}

    shows_all = gather.StackTaker.shows_all


@pytest.fixture
def inspector(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "StackTaker", NoStacks)
    monkeypatch.setattr(inspection, "SETTLE_S", 0.0)
    monkeypatch.setattr(NoStacks, "taken", [])

    def make(found):
        return Inspector(Gatherer(found), tmp_path, Policy())

    return make


def done(one):
    """What the inspection that runs says."""
    one._gatherer.go.set()
    one._thread.join()
    one._gatherer.go.clear()
    return one.last


def test_an_inspection_says_what_is_waited_for_and_if_that_goes_on(inspector):
    for found, lives in ((WAITS, False), (WORKS, True), (DEAD, False)):
        one = inspector(found)
        assert one.look(10.0, last_progress=5.0) is None
        assert done(one).alive is lives
        assert one.look(10.1, last_progress=5.0) is one.last
        assert one._gatherer.touches == 2, "by each of two captures"


@pytest.mark.parametrize(
    ("leaf", "moves", "captures"),
    [
        ("read  (in libsystem_kernel.dylib)", 5, 1),
        ("read  (in libsystem_kernel.dylib)", 6, 2),
        ("", 5, 2),
    ],
    ids=["stands", "ran", "unseen"],
)
def test_where_no_thread_ran_one_capture_of_many_looks_is_enough(
    inspector, monkeypatch, leaf, moves, captures
):
    found = seen(process(1, thread(1, syscall=None, wchan=None, switches=None)), shows_waits=False)
    counts = iter((5, 5, moves))
    window = tuple(
        replace(look, more={1: More(started=1, calls=0, moves=next(counts))})
        for look in found.windows[0]
    )
    text = f"Call graph:\n    9 Thread_1\n    + 9 {leaf} + 8  [0x2]\n"
    stacks = {1: (parse("sample", text, 1),)} if leaf else {}
    monkeypatch.setattr(NoStacks, "stacks", lambda taker: stacks)
    monkeypatch.setattr(loops.platform, "current", lambda: SimpleNamespace(shows_waits=False))
    one = inspector(replace(found, windows=(window, window)))
    one.look(10.0, last_progress=5.0)
    done(one)
    assert (len(NoStacks.taken), one._gatherer.touches) == (captures, captures)


def test_what_was_seen_says_nothing_once_it_has_gone_on(inspector):
    one = inspector(WAITS)
    one.look(10.0, last_progress=5.0)
    assert done(one) is not None
    assert one.look(12.0, last_progress=11.0) is None
    assert one._gatherer.resets == 2, "at the first look and now"
    assert done(one) is not None


def test_an_inspection_that_a_step_overtakes_is_dropped(inspector):
    one = inspector(WAITS)

    def window(seconds, least=2):
        one._since = 11.0
        return WAITS.windows[0]

    one._gatherer.window = window
    one.look(10.0, last_progress=5.0)
    assert done(one) is None


def test_who_must_be_asked_for_its_timers_is_asked_before_the_last_look():
    """A child that its parent waits for, and whose end would wake it."""
    family = (process(1, thread(1, **awaits())), process(2, thread(2), ppid=1))
    asked = []

    class Asked(Gatherer):
        def ask(self, pids):
            asked.append((self.looked, frozenset(pids)))
            self.found, self._looks = seen(*family), iter(())
            return True

    around = replace(ALONE, alarm=None)
    prover = Prover(Asked(seen(*family, around=around)))
    found = [prover.look(still=True) for _ in range(STANDARD.proof_looks + 1)]
    assert asked == [(STANDARD.proof_looks - 1, frozenset({2}))]
    # The look from just after the question is the first of those that prove it.
    assert [one is not None for one in found] == [*[False] * STANDARD.proof_looks, True]
    assert not prover._gatherer.asked_gpu, "that may take as long as all its looks together"


def test_what_moved_between_two_looks_is_forgotten_at_once():
    """A thread that only went to another wait: the watchdog sees nothing of it."""
    moved = process(1, thread(1, switches=41), thread(2))
    one = Gatherer(seen(process(1, thread(1), thread(2))))
    later = seen(moved).windows[0]
    one._looks = iter((one.found.windows[0][0], *later, *later))
    prover = Prover(one)
    assert [prover.look(True) is not None for _ in range(4)] == [False, False, False, True]


def test_each_inspection_makes_the_next_one_rarer(inspector):
    one, began = inspector(WAITS), []
    for tenth in range(3000):
        before = one._number
        one.look(tenth / 10, last_progress=0.0)
        done(one)
        if one._number > before:
            began.append(tenth / 10)
    gaps = [after - before for before, after in itertools.pairwise(began)]
    assert all(after >= before - 0.11 for before, after in itertools.pairwise(gaps))
    assert gaps[0] < 4.0
    assert gaps[-1] == pytest.approx(inspection.LONGEST_S + 2 * inspection.WINDOW_S, abs=0.2)


@pytest.mark.parametrize(("left", "began"), [(0.5, 3), (30.0, 1), (None, 1)])
def test_a_clock_that_rings_soon_is_looked_at_again_at_once(inspector, left, began):
    one = inspector(seen(process(1, thread(1, **sleeps(left)))))
    for tenth in range(9):
        one.look(10.0 + tenth / 10, last_progress=5.0)
        assert done(one).alive
    assert one._number == began
    one.look(11.0, last_progress=10.9)
    done(one)
    one.look(11.1, last_progress=10.9)
    done(one)
    assert one._number == began + (2 if began > 1 else 1), "a step makes it new"


def test_a_process_that_ends_meanwhile_is_not_told_of(inspector):
    one = inspector(WAITS)
    gone = replace(WAITS.last, processes=())
    one._gatherer.window = lambda *_: (gone,)
    one.look(10.0, last_progress=5.0)
    assert done(one) is None


def test_the_stacks_are_those_of_the_root_and_of_whom_it_waits_for(inspector):
    family = (process(1, thread(1, **READS)), process(5, ppid=1), process(6, ppid=1))
    links = {1: (Link(told="a pipe", kind="pipe", peers=(5,)),)}
    one = inspector(seen(*family, links=links))
    one.look(10.0, last_progress=5.0)
    done(one)
    assert NoStacks.taken == [(1, 5), (1, 5)]


@pytest.mark.parametrize(
    ("left", "costs", "taken"), [(3000.0, 2.0, 0), (3000.0, 0.01, 2), (5.0, 2.0, 2)]
)
def test_none_are_taken_where_that_is_costly_and_a_clock_is_known(
    monkeypatch, inspector, left, costs, taken
):
    clock = itertools.count(0.0, costs)
    monkeypatch.setattr(inspection, "used", lambda stop: next(clock))
    one = inspector(seen(process(1, thread(1, **sleeps(left)))))
    one.look(10.0, last_progress=5.0)
    assert done(one).alive
    assert len(NoStacks.taken) == taken


def test_one_that_was_spared_is_looked_at_again_once_it_has_come_to_a_stand(monkeypatch, inspector):
    """As a long validation that goes on for minutes, and then waits for a dead thread."""
    clock = itertools.count(0.0, 9.0)
    monkeypatch.setattr(inspection, "used", lambda stop: next(clock))
    one, t = inspector(WORKS), time.monotonic()

    def inspects(now, still):
        one.noticed(still, now)
        before, found = one._number, one.look(now, last_progress=5.0)
        done(one)
        assert found is None or found.alive
        return one._number > before

    assert inspects(t, still=False)
    assert not inspects(t + 100, still=False)
    assert not inspects(t + 101, still=True)
    assert inspects(t + 101 + inspection.STANDS_S, still=True)
    # It went on, as one that sleeps does. Nothing has moved since: it is spared again.
    assert not inspects(t + 150, still=True)
    assert not inspects(t + 151, still=False)
    assert inspects(t + 600, still=False)


def test_one_whose_clock_has_rung_is_looked_at_again_however_much_that_costs(
    monkeypatch, inspector
):
    """As node, which has a clock of its own for some seconds, and then waits without one."""
    costs, began = itertools.count(0.0, 9.0), []
    monkeypatch.setattr(inspection, "used", lambda stop: next(costs))
    one, here = inspector(seen(process(1, thread(1, **sleeps(30.0))))), SimpleNamespace()
    monkeypatch.setattr(inspection, "time", here)
    for now in range(10, 500, 10):
        before, here.monotonic = one._number, lambda now=now: float(now)
        one.look(float(now), last_progress=5.0)
        done(one)
        if one._number > before:
            began.append(now)
    # Then it is spared as any other that goes on: it may poll.
    assert began == [10, 40, 70, 370]


ONE_CALL = Stay(place="step", where="train.py:7 in step", library=True)


@pytest.mark.parametrize(("stays", "inspections"), [({}, 1), ({1: ONE_CALL}, 3)])
def test_one_that_stays_in_one_place_is_looked_at_again_before_it_is_spared(
    monkeypatch, inspector, stays, inspections
):
    """In an interpreter without names each look at a loop may be taken for one long call."""
    costs = itertools.count(0.0, 9.0)
    monkeypatch.setattr(inspection, "used", lambda stop: next(costs))
    found = Inspection(t=0.0, stays=stays)
    monkeypatch.setattr(loops, "inspect", lambda *_: found)
    one, t = inspector(WORKS), time.monotonic()
    for now in range(0, 200, 20):
        one.look(t + now, last_progress=5.0)
        done(one)
    assert one._number == inspections


def test_what_a_tool_does_to_it_is_no_movement_of_its_own(inspector):
    one = inspector(WORKS)
    one.look(10.0, last_progress=5.0)
    one.noticed(still=False, now=11.0)
    done(one)
    one._spared = 90.0
    for now in (12.0, 12.0 + inspection.STANDS_S):
        one.noticed(still=True, now=now)
    assert one._spared == 90.0


def test_of_a_job_they_are_those_of_the_ranks(inspector):
    family = (process(1, thread(1, **READS)), process(5, ppid=1), process(6, ppid=1))
    one = inspector(seen(*family))
    one.look(10.0, last_progress=5.0, ranks={0: 5, 1: 6})
    done(one)
    assert [set(pids) for pids in NoStacks.taken] == [{5, 6}] * 2


def test_a_job_goes_on_while_one_rank_does():
    launcher = process(1, thread(1, **READS))
    dead, works = process(5, ppid=1), process(6, thread(6, **RUNNING), ppid=1)
    for later, lives in ((busy(works), True), (process(6, ppid=1), False)):
        found = seen(launcher, dead, works if lives else later, later=(launcher, dead, later),
                     ranks={0: 5, 1: 6})  # fmt: skip
        assert alive(inspection.judge_tree(found), found) is lives


# --- the proof of a tree that is still -----------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [sleeps(9.0), RUNNING, {"state": "D", "syscall": None}, {"state": "T"}],
    ids=["asleep", "running", "at a disk", "stopped"],
)
def test_what_the_threads_show_by_themselves_spares_the_look_at_all_else(fields):
    prover = Prover(gatherer := Gatherer(seen(process(1, thread(1), thread(2, **fields)))))
    assert [prover.look(True) for _ in range(20)] == [None] * 20
    assert gatherer.looked == 0


def test_the_thread_that_stood_against_it_is_looked_at_first(monkeypatch):
    here = inspection.platform.current()
    state = {2: thread(2, **sleeps(9.0))}
    monkeypatch.setattr(here, "thread", lambda pid, tid: state.get(tid), raising=False)
    prover = Prover(gatherer := Gatherer(seen(process(1, thread(1), state[2]))))
    glances, glance = [], gatherer.glance
    gatherer.glance = lambda: glances.append(1) or glance()
    for _ in range(5):
        prover.look(True)
    assert len(glances) == 1
    state.clear()  # it has ended: the others are looked at, and the same is found again
    prover.look(True)
    prover.look(True)
    assert len(glances) == 3


@pytest.mark.parametrize(
    ("found", "loop", "later"), [(WORKS, False, 100.0), (WORKS, True, 2.2), (WAITS, False, 2.2)]
)
def test_an_inspection_that_took_long_and_found_life_makes_the_next_one_later(
    monkeypatch, inspector, found, loop, later
):
    monkeypatch.setattr(inspection.spinning, "may_spin", lambda history: loop)
    one, clock = inspector(found), SimpleNamespace(used=0.0)
    made = SimpleNamespace(monotonic=lambda: 10.0, thread_time=lambda: clock.used)
    monkeypatch.setattr(inspection, "time", made)
    monkeypatch.setattr(duty, "time", made)

    def stacks(taker):
        clock.used += 2.0
        return {}

    monkeypatch.setattr(NoStacks, "stacks", stacks)
    one.look(10.0, last_progress=5.0)
    done(one)
    one.look(9.9 + later, last_progress=5.0)
    assert one._number == 1
    one.look(10.1 + later, last_progress=5.0)
    done(one)
    assert one._number == 2
    one.look(10.2 + later, last_progress=10.1 + later)  # a step: another phase is judged
    done(one)
    assert one._number == 3


@pytest.mark.parametrize(("spent", "pause"), [(0.01, 0.0), (0.11, 5.0), (60.0, 5.0)])
def test_an_attempt_that_took_long_makes_the_next_one_late(monkeypatch, spent, pause):
    clock = SimpleNamespace(now=100.0, used=0.0)
    monkeypatch.setattr(
        inspection,
        "time",
        SimpleNamespace(monotonic=lambda: clock.now, thread_time=lambda: clock.used),
    )
    prover = Prover(gatherer := Gatherer(WAITS))
    complete = gatherer.complete

    def slow(windows, **options):
        clock.used += spent
        return complete(windows, **options)

    gatherer.complete = slow
    for _ in range(3):
        prover.look(True)
    before = gatherer.looked
    prover.look(False)  # a step, which is no reason to spend as much again
    clock.now += max(0.0, pause - 0.01)
    prover.look(True)
    assert gatherer.looked == before + (not pause)
    clock.now += 0.02
    prover.look(True)
    assert gatherer.looked > before


def proves(found, still):
    """At which of these looks it is proven."""
    prover = Prover(Gatherer(found))
    return [n for n, one in enumerate(still) if prover.look(one) is not None]


def test_three_still_looks_prove_a_tree_that_is_dead():
    assert proves(DEAD, [True] * 3) == [2]


def test_a_look_that_lacks_nothing_but_time_does_not_make_the_next_one_late():
    def lacks(found):
        prover = Prover(Gatherer(found))
        return [(prover.look(True), prover.lacks_time)[1] for _ in range(3)]

    assert lacks(DEAD) == [True, True, False]
    assert lacks(WAITS) == [True, False, False]
    prover = Prover(Gatherer(DEAD))
    assert [(prover.look(one), prover.lacks_time)[1] for one in (True, True, False)][-1] is False


def test_what_lacks_time_alone_is_not_read_again_until_there_was_enough(monkeypatch):
    gatherer, completed = Gatherer(DEAD), []
    complete, first = gatherer.complete, DEAD.windows[0][0]
    times = itertools.count(first.t, 0.1)

    def look():
        t = next(times)
        worlds = {pid: replace(world, t=t) for pid, world in first.worlds.items()}
        return replace(first, t=t, worlds=worlds)

    def note(windows, with_gpu):
        completed.append(len(windows[0]))
        return complete(windows, with_gpu=with_gpu)

    monkeypatch.setattr(gatherer, "look", look)
    monkeypatch.setattr(gatherer, "complete", note)
    prover = Prover(gatherer)
    assert [prover.look(True) is not None for _ in range(7)].index(True) == 6
    assert completed == [2, 7]


def test_what_moves_in_between_begins_anew():
    assert proves(DEAD, [True, True, False, True, True]) == []


def test_what_is_not_dead_is_never_proven_and_looked_at_ever_more_rarely():
    prover = Prover(gatherer := Gatherer(WAITS))
    looks = []
    gatherer.look = lambda: looks.append(1) or WAITS.last
    assert not any(prover.look(True) for _ in range(100))
    assert len(looks) == 12 + (100 - 12) // 4


def test_where_waits_are_not_shown_nothing_is_proven(monkeypatch):
    monkeypatch.setattr(inspection.platform, "current", lambda: type("Blind", (), {
        "shows_waits": False
    }))  # fmt: skip
    assert proves(DEAD, [True] * 9) == []


# --- two that look at once -----------------------------------------------------------------------


class Crowded:
    """A platform on which each look shows other threads, all with a timeout."""

    arch = "x86_64"
    shows_waits = True
    interval_timers = staticmethod(lambda pids: {})
    world = staticmethod(lambda pid, guard=None: None)
    more = staticmethod(lambda process: None)
    machine = staticmethod(lambda whole=False: Machine())
    gpus = staticmethod(lambda pids, stop=None: Gpus())
    relations = staticmethod(lambda: lambda processes: Relations())
    thread = staticmethod(lambda pid, tid: None)

    def oom_kills(self):
        return 0

    def __init__(self):
        self._tids = itertools.count(1)

    def processes(self, roots, deep=False):
        threads = [thread(next(self._tids), **sleeps(5.0)) for _ in range(50)]
        return (process(1, *threads),)


def test_the_prover_and_the_inspector_may_look_at_the_same_time(monkeypatch):
    """Each look brings threads that the other one is just counting."""
    here = Crowded()
    monkeypatch.setattr(gather.platform, "current", lambda: here)
    monkeypatch.setattr(gather.process_names, "named", lambda pid: ())
    gatherer, failed = gather.Gatherer(1), []
    window = (gatherer.look(),)

    def again(what):
        try:
            for _ in range(150):
                what()
        except RuntimeError as error:
            failed.append(error)

    uses = (gatherer.look, gatherer.reset, lambda: gatherer.complete([window]))
    threads = [threading.Thread(target=again, args=(use,)) for use in uses]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    finally:
        sys.setswitchinterval(interval)
    assert failed == []


def test_what_an_overtaken_inspection_saw_is_no_part_of_the_next_stall(inspector):
    """It would make a loop of two calls that are a step apart."""
    one = inspector(WORKS)

    def window(seconds, least=2):
        if one._since == 5.0:
            one.look(11.0, last_progress=11.0)  # a step comes while it looks
        return WORKS.windows[0]

    one._gatherer.window = window
    one.look(10.0, last_progress=5.0)
    done(one)
    assert one._history == []


class Woken(Crowded):
    """A platform on which a process is woken while it is read who could wake it: the child that
    was to write has written and ended, so that nobody seems left who could."""

    def __init__(self):
        self.switches = 40

    def processes(self, roots, deep=False):
        return (process(1, thread(1, switches=self.switches)),)

    def world(self, pid, guard=None):
        return World(t=time.monotonic(), processes=self.processes([pid]), surroundings={1: ALONE})

    def relations(self):
        def read(processes):
            self.switches += 1
            return Relations()

        return read


def test_who_is_woken_while_files_are_read_is_not_proven_dead(monkeypatch):
    here = Woken()
    monkeypatch.setattr(gather.platform, "current", lambda: here)
    monkeypatch.setattr(gather.process_names, "named", lambda pid: ())
    gatherer = gather.Gatherer(1)
    window = gatherer.window(STANDARD.proof_s, STANDARD.proof_looks)
    assert judge_tree(gatherer.complete([window])).answer is not Answer.DEADLOCK
    prover = Prover(gatherer)
    assert [prover.look(True) for _ in range(STANDARD.proof_looks + 1)] == [None] * (
        STANDARD.proof_looks + 1
    )


def test_a_tool_holds_nobody_between_a_window_and_the_files_that_belong_to_it(inspector):
    """What becomes of a wait while a tool looks is seen by no look of the window."""
    one, order = inspector(WAITS), []
    gatherer = one._gatherer
    window, complete = gatherer.window, gatherer.complete
    gatherer.window = lambda *given: order.append("window") or window(*given)
    gatherer.complete = lambda *given: order.append("files") or complete(*given)
    gatherer.touched = lambda: order.append("tool")
    one.look(10.0, last_progress=5.0)
    done(one)
    assert order == ["window", "files", "tool"] * 2
