"""Which threads work in a beat of their own, and which only look for something in vain."""

from __future__ import annotations

import msgspec
import pytest
from observations import LAUNCHER, READS, process, seen, sleeps, stack, thread

from harness.detect.chain.facts import Facts
from harness.detect.chain.follow import follow
from harness.detect.chain.links import Ends, Node
from harness.detect.chain.paced import Record
from harness.detect.observation import Doings
from harness.model.world import Link, More
from harness.stacks.values import Variables, parse

replace = msgspec.structs.replace
MAIN = (Node(1, 1),)
IN_A_QUEUE = ("sem_wait", "threading.py:wait", "queue.py:get", "py:train")
JOINS = ("sem_wait", "threading.py:join", "py:train")
FUTURE = ("sem_wait", "threading.py:wait", "_base.py:result", "py:train")
HELPER = ("clock_nanosleep", "py:load", "threading.py:run")
TASK = ("clock_nanosleep", "py:task", "thread.py:_worker")
OF_A_LIBRARY = ("clock_nanosleep", "rich.py:run", "threading.py:run")
SLEEPER = sleeps(0.2)
AGAIN = {2: 9}
EACH = 20
"""Wakes since the first inspection of the stall, over 20 s."""


def did(each_s=0.00003, **fields):
    given = {"seconds": 20.0, "wakes": EACH, "cpu_s": EACH * each_s, "read": 0, "written": 0,
             "looks": 5}  # fmt: skip
    return Doings(**{**given, **fields})


COMPUTES, COMPUTES_A_LITTLE = did(0.0015), did(0.0004)
VARIES, IS_NOT_SEEN, IS_HARDLY_SEEN = did(varied=True), did(cpu_s=None), did(looks=2)
MOVES_BYTES = did(read=400_000)
PRINTS = did(written=600)
DRAWS = did(written=600, varied=True)


def chain(main, doings, helper=HELPER, **fields):
    """The chain of a main thread that waits beside one that wakes in a beat."""
    found = seen(process(1, thread(1), thread(2, **SLEEPER)), rearmed=AGAIN, **fields)
    both = (stack(*main), stack(*helper, tid=2, main=False))
    found = replace(found, stacks={1: (both, both)}, doings={2: doings})
    return follow(MAIN, Facts(found))


# --- one that only may be waited for -------------------------------------------------------------


@pytest.mark.parametrize("doings", [COMPUTES, COMPUTES_A_LITTLE, VARIES, MOVES_BYTES])
def test_a_helper_that_does_something_in_its_beat_may_work_for_who_waits(doings):
    found = chain(IN_A_QUEUE, doings)
    assert (found.end.kind, found.believed, found.alive) == (Ends.POLLS, True, False)
    assert "only goes on in its own beat, and may work for it" in found.describe()
    assert found.end.believed_s == 1780.0


@pytest.mark.parametrize("doings", [did(), PRINTS, DRAWS, IS_NOT_SEEN])
def test_a_heartbeat_a_bar_and_a_look_in_vain_are_no_work(doings):
    found = chain(IN_A_QUEUE, doings)
    assert (found.end.kind, found.believed) == (Ends.DEAD, False)
    assert "nobody is seen who would end that wait" in found.describe()


def test_what_a_library_does_in_its_beat_is_no_work():
    assert not chain(IN_A_QUEUE, COMPUTES, OF_A_LIBRARY).believed


def installed(package, *names, **fields):
    """A stack whose innermost frame of Python is of an installed package."""
    one = stack(*names, **fields)
    first = next(place for place, frame in enumerate(one.frames) if frame.python)
    frames = list(one.frames)
    frames[first] = replace(frames[first], installed=package, system=False)
    return replace(one, frames=tuple(frames))


@pytest.mark.parametrize(
    ("package", "main", "believed"),
    [
        ("rich", stack(*IN_A_QUEUE), False),
        ("rich", installed("loaders", "sem_wait", "py:fetch", "py:train"), False),
        ("loaders", installed("loaders", "sem_wait", "py:fetch", "py:train"), True),
        (None, stack(*IN_A_QUEUE), True),
    ],
)
def test_an_installed_package_works_for_who_waits_in_it(package, main, believed):
    one = process(1, thread(1), thread(2, **SLEEPER))
    found = seen(one, rearmed=AGAIN, doings={2: COMPUTES})
    both = (main, installed(package, *HELPER, tid=2, main=False))
    chain = follow(MAIN, Facts(replace(found, stacks={1: (both, both)})))
    assert (chain.believed, chain.end.kind) == (believed, Ends.POLLS if believed else Ends.DEAD)


@pytest.mark.parametrize(
    ("doings", "varied", "kind"),
    [
        (COMPUTES, {2: False}, Ends.DEAD),
        (COMPUTES, {}, Ends.POLLS),
        (VARIES, {2: False}, Ends.POLLS),
        (MOVES_BYTES, {2: False}, Ends.DEAD),
        (replace(COMPUTES, same=True), {}, Ends.DEAD),
    ],
)
def test_a_monitor_whose_variables_stay_as_they_are_is_named_as_nobody(doings, varied, kind):
    """It is believed nevertheless: what it works on may be where no variable shows it."""
    found = chain(IN_A_QUEUE, doings, varied=varied)
    assert (found.end.kind, found.believed) == (kind, True)


def test_a_beat_of_which_too_little_was_seen_ends_nothing_yet():
    found = chain(IN_A_QUEUE, IS_HARDLY_SEEN)
    assert (found.end.kind, found.believed) == (Ends.DEAD, True)


def test_a_beat_is_not_believed_for_ever():
    for main in (IN_A_QUEUE, JOINS, FUTURE):
        late = chain(main, did(0.0015, seconds=1800.0, wakes=1800, cpu_s=2.7), TASK)
        assert (late.alive, late.believed) == (False, False)


def test_a_helper_that_may_work_is_believed_beside_another_end():
    link = Link(told="a socket", kind="tcp", remote="10.0.0.5:443")
    one = process(1, thread(1), thread(2, **SLEEPER), thread(3, **READS))
    found = seen(one, rearmed=AGAIN, links={3: (link,)}, doings={2: COMPUTES})
    stacks = (stack(*IN_A_QUEUE), stack(*HELPER, tid=2, main=False))
    assert follow(MAIN, Facts(replace(found, stacks={1: (stacks, stacks)}))).believed


# --- one that is waited for with certainty -------------------------------------------------------


@pytest.mark.parametrize(("main", "helper"), [(FUTURE, TASK), (JOINS, HELPER)])
def test_who_computes_in_a_beat_works_for_who_waits_for_nobody_else(main, helper):
    found = chain(main, COMPUTES, helper)
    assert (found.end.kind, found.alive) == (Ends.WORKS, True)
    assert "works in a beat: it uses the CPU for 1.5 ms each time" in found.describe()


@pytest.mark.parametrize("doings", [COMPUTES_A_LITTLE, VARIES, PRINTS, DRAWS])
def test_who_does_less_is_doubted_and_not_ended(doings):
    found = chain(FUTURE, doings, TASK)
    assert (found.end.kind, found.believed) == (Ends.POLLS, True)


@pytest.mark.parametrize(("main", "helper"), [(FUTURE, TASK), (JOINS, HELPER)])
def test_who_looks_in_vain_is_ended_after_the_patience(main, helper):
    found = chain(main, did(), helper)
    assert (found.end.kind, found.believed) == (Ends.POLLS, False)


def test_one_of_several_threads_is_joined_by_a_guess():
    one = process(1, thread(1), thread(2, **SLEEPER), thread(3, **SLEEPER))
    stacks = (stack(*JOINS), stack(*HELPER, tid=2, main=False), stack(*HELPER, tid=3, main=False))
    found = seen(one, rearmed={2: 9, 3: 9}, doings={2: did(), 3: did()})
    found = replace(found, stacks={1: (stacks, stacks)})
    assert follow(MAIN, Facts(found)).end.kind is Ends.DEAD


@pytest.mark.parametrize(("others", "way"), [((3,), (1, 3)), ((3, 4), (1,))])
def test_the_thread_that_is_joined_is_told_with_its_wait_beside_a_heartbeat(others, way):
    waiting = [thread(tid) for tid in others]
    one = process(1, thread(1), thread(2, **SLEEPER), *waiting)
    stacks = (stack(*JOINS), stack(*HELPER, tid=2, main=False))
    stacks += tuple(stack(*IN_A_QUEUE, tid=tid, main=False) for tid in others)
    found = seen(one, rearmed=AGAIN, doings={2: did()}, stacks={1: (stacks, stacks)})
    chain = follow(MAIN, Facts(found))
    assert (chain.end.kind, chain.end.sure) == (Ends.DEAD, False)
    assert tuple(link.tid for link in chain.links) == way


def test_lines_that_come_from_a_child_through_a_joined_thread_are_believed():
    link = Link(told="a pipe", kind="pipe", peers=(5,))
    one, child = process(1, thread(1), thread(2, **READS)), process(5, thread(5, **SLEEPER), ppid=1)
    stacks = (stack(*JOINS), stack("read", "py:reads", tid=2, main=False))
    found = seen(one, child, rearmed={5: 9}, links={2: (link,)}, doings={5: PRINTS})
    found = replace(found, stacks={1: (stacks, stacks), 5: ((stack(*HELPER, tid=5),),) * 2})
    chain = follow(MAIN, Facts(found))
    assert (chain.end.kind, chain.believed) == (Ends.POLLS, True)


@pytest.mark.parametrize(("children", "end"), [((5,), Ends.WORKS), ((5, 6), Ends.POLLS)])
def test_of_several_children_that_are_waited_for_one_may_be_a_monitor(children, end):
    below = [process(pid, thread(pid, **SLEEPER), ppid=1) for pid in children]
    found = seen(LAUNCHER, *below, rearmed=dict.fromkeys(children, 9), doings={5: COMPUTES})
    stacks = {5: ((stack(*HELPER, tid=5),),) * 2}
    found = follow(MAIN, Facts(replace(found, stacks=stacks)))
    assert (found.end.kind, found.alive or found.believed) == (end, True)


# --- the thread that trains ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("doings", "believed"),
    [(COMPUTES, True), (VARIES, True), (MOVES_BYTES, True), (did(), False), (PRINTS, False)],
)
def test_a_paced_loop_of_the_trainer_is_doubted_and_a_dot_a_second_is_ended(doings, believed):
    one = process(1, thread(1, **SLEEPER))
    found = seen(one, rearmed={1: 9}, doings={1: doings})
    both = (stack("clock_nanosleep", "py:train"),)
    chain = follow(MAIN, Facts(replace(found, stacks={1: (both, both)})))
    assert (chain.end.kind, chain.believed) == (Ends.POLLS, believed)


# --- what is counted -----------------------------------------------------------------------------


def counted(t, wakes, ran=None, io=None, started=1, **observed):
    found = seen(process(1, thread(1)), **observed)
    more = More(
        started=started, sleeps={1: wakes}, ran={} if ran is None else {1: ran},
        io={} if io is None else {1: io},
    )  # fmt: skip
    look = replace(found.last, t=t, more={1: more})
    return replace(found, windows=((look,),))


def test_the_doings_are_counted_from_the_first_inspection_on():
    record = Record()
    record.learn(counted(10.0, 5, 1.0, (100, 7), rearmed={1: 4}), {})
    assert record.doings[1] == Doings(seconds=0.0, wakes=0, armed=0, cpu_s=0.0, read=0, written=0)
    record.learn(counted(16.0, 8, 1.25, (350, 8), rearmed={1: 6}), {})
    assert record.doings[1] == Doings(
        seconds=6.0, wakes=3, armed=2, cpu_s=0.25, read=250, written=1, looks=1
    )
    record.learn(counted(20.0, 8, 1.25, (350, 8)), {})
    assert (record.doings[1].looks, record.doings[1].wakes) == (1, 3)


def test_what_cannot_be_read_is_not_nothing():
    record = Record()
    record.learn(counted(10.0, 5), {})
    record.learn(counted(16.0, 8, 1.0, (1, 1)), {})
    one = record.doings[1]
    assert (one.cpu_s, one.read, one.written) == (None, None, None)


def test_another_process_of_the_same_number_begins_anew():
    record = Record()
    record.learn(counted(10.0, 5), {})
    record.learn(counted(16.0, 2, started=9), {})
    assert record.doings[1].wakes == 0


def shown(digest, **fields):
    return {1: Variables(own={1: digest}, telling=frozenset({1}), **fields)}


def test_a_change_from_one_inspection_to_the_next_is_kept():
    record = Record()
    record.learn(counted(10.0, 5), shown("a"))
    record.learn(counted(12.0, 6), shown("a"))
    assert not record.doings[1].varied
    record.learn(counted(14.0, 7), shown("b"))
    record.learn(counted(16.0, 8), shown("b"))
    assert record.doings[1].varied


def test_a_monitor_that_is_a_class_hides_its_variables_and_stays_the_same():
    hidden = {1: Variables(own={1: "self at 0x1"})}
    record = Record()
    for t, shows in ((10.0, hidden), (12.0, hidden)):
        assert not (record.doings and record.doings[1].same), "one look shows no change"
        record.learn(counted(t, 5), shows)
    assert (record.doings[1].same, record.doings[1].varied) == (True, False)
    record.learn(counted(14.0, 6), {1: Variables(own={1: "self at 0x2"})})
    record.learn(counted(16.0, 7), {1: Variables(own={1: "self at 0x2"})})
    assert (record.doings[1].same, record.doings[1].varied) == (False, True)


LOOKS = 'Traceback for thread 1 (python) []\n    (Python) File "/t.py", line 5, in run\n'


def test_who_is_in_a_function_with_variables_now_and_then_does_not_stay_the_same():
    nothing, one = {1: parse(LOOKS)}, {1: parse(LOOKS + "        n: 1\n")}
    record = Record()
    for t, shows in ((10.0, nothing), (12.0, nothing), (14.0, one), (16.0, one)):
        record.learn(counted(t, 5), shows)
    assert (record.doings[1].same, record.doings[1].varied) == (False, False)


def test_bytes_may_change_unseen():
    record = Record()
    record.learn(counted(10.0, 5), shown("a", bytes=frozenset({1})))
    assert record.doings[1].varied
    at_once = Record()
    at_once.learn(counted(10.0, 5, varied={1: True}), {})
    assert at_once.doings[1].varied
