"""The chain from the thread that trains to the end that decides, on observations made up."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from observations import (
    PAUSE,
    READS,
    RUNNING,
    SHARED,
    awaits,
    busy,
    calls,
    process,
    replace,
    seen,
    sleeps,
    stack,
    thread,
    twice,
)

from harness.detect.chain import follow as follow_module
from harness.detect.chain.facts import Facts
from harness.detect.chain.follow import follow
from harness.detect.chain.links import (
    ALIVE,
    BEST_FIRST,
    LOST,
    Chain,
    ChainLink,
    End,
    Ends,
    Node,
    Wait,
)
from harness.detect.registry import Subject
from harness.detect.tree import judge_tree
from harness.model.world import Futex, Link

MAIN = Node(1, 1)
PIPE = Link(told="a pipe", kind="pipe")
LOOKS = stack("clock_nanosleep", "py:wait")
LOCK = stack("futex_wait", "PyThread_acquire_lock_timed", "py:train", tid=2, main=False)


def chain(found, *starts, apart=frozenset()):
    facts = Facts(found, apart=apart)
    return follow(starts or (MAIN,), facts, "the main thread")


def path(found):
    return [(link.tid, link.wait) for link in found.links]


@pytest.fixture
def waits(monkeypatch):
    """A graph of waits instead of an observation: by thread, its `Wait`."""

    def chosen(graph, *starts):
        monkeypatch.setattr(follow_module, "wait_of", lambda node, facts: graph[node])
        return chain(seen(process()), *starts)

    return chosen


def node(number):
    return Node(1, number)


def on(*numbers, known=True, ends=(), code="futex"):
    return Wait(code=code, detail=f"waits for {numbers}", on=tuple(map(node, numbers)),
                known=known, ends=tuple(End(kind=kind) for kind in ends))  # fmt: skip


# --- real chains ---------------------------------------------------------------------------------


def test_a_loader_that_computes_in_a_child_is_the_end():
    """main waits for a queue's thread, which reads from a child, which computes."""
    main = process(1, thread(1), thread(2, name="loader", **READS))
    child = process(5, thread(5, **RUNNING), ppid=1)
    links = {2: (Link(told="a pipe", kind="pipe", peers=(5,)),)}
    found = chain(seen(main, child, later=(main, busy(child)), links=links))
    assert path(found) == [(1, "futex"), (2, "pipe"), (5, "run")]
    assert (found.end.kind, found.alive, found.on) == (Ends.WORKS, True, (5,))
    assert found.followed == "the main thread"


@pytest.mark.parametrize("outer", [awaits(), calls(34)], ids=["sh", "timeout"])
def test_wrappers_around_one_another_are_followed_to_what_they_run(outer):
    tree = [process(1, thread(1, **outer))]
    tree += [process(pid, thread(pid, **outer), ppid=pid - 1) for pid in (2, 3)]
    tree.append(process(4, thread(4, **sleeps(5.0)), ppid=3))
    found = chain(seen(*tree))
    assert [link.pid for link in found.links] == [1, 2, 3, 4]
    assert (found.end.kind, found.end.left_s) == (Ends.CLOCK, 5.0)
    assert found.describe().endswith("(wakes in 5 s)")


def test_a_relay_that_copies_an_output_waits_for_who_writes_it():
    """As `tee`, or a launcher: it reads from a process beside it."""
    relay = process(1, thread(1, **READS))
    trainer = process(2, thread(2, **sleeps(3.0)), ppid=1)
    found = chain(seen(relay, trainer, links={1: (Link(told="a pipe", kind="pipe", peers=(2,)),)}))
    assert (path(found), found.end.kind) == ([(1, "pipe"), (2, "sleep")], Ends.CLOCK)


def test_a_heartbeat_that_nobody_waits_for_is_no_end():
    main = process(1, thread(1), thread(2), thread(3, **sleeps(1.0)))
    futexes = {1: Futex(kind="mutex", owner=2), 2: Futex(kind="mutex", owner=1)}
    found = chain(seen(main, futexes=futexes))
    assert found.end.kind is Ends.CYCLE
    assert path(found) == [(1, "mutex"), (2, "mutex")]
    assert found.describe().endswith("main and thread 2 wait for one another")


@pytest.mark.parametrize(
    ("frames", "left", "kind"),
    [
        (("threading.py:wait", "threading.py:run"), 1800.0, Ends.OUTSIDE),
        (("threading.py:wait", "threading.py:run"), 50.0, Ends.CLOCK),
        (("threading.py:wait", "py:load"), 1800.0, Ends.CLOCK),
        (None, 1800.0, Ends.CLOCK),
    ],
)
def test_a_late_timer_beside_a_wait_does_not_hide_it(frames, left, kind):
    """The `Timer` of a checkpoint in half an hour. It may be what ends the wait: it is believed."""
    main = process(1, thread(1), thread(2, wakes_in=left))
    timer = stack("sem_clockwait", *frames, tid=2, main=False) if frames else None
    found = chain(seen(main, stacks={1: ((timer,), (timer,))} if timer else {}))
    assert (found.end.kind, found.believed) == (kind, kind is Ends.OUTSIDE)
    if kind is Ends.OUTSIDE:
        assert found.end.believed_s == left
        assert found.describe().endswith("; wakes in 30 min")


def test_a_late_timer_that_is_joined_is_waited_for():
    joins = stack("sem_wait", "threading.py:join", "py:main")
    timer = stack("sem_clockwait", "threading.py:wait", "threading.py:run", tid=2, main=False)
    main = process(1, thread(1), thread(2, wakes_in=300.0), thread(3))
    other = stack("sem_wait", "py:load", tid=3, main=False)
    found = chain(seen(main, stacks=twice(joins, timer, other)))
    assert (found.end.kind, found.end.left_s) == (Ends.CLOCK, 300.0)


def test_a_thread_that_waits_for_itself_is_told_so():
    found = chain(seen(process(), futexes={1: Futex(kind="mutex", owner=1)}))
    assert (found.end.kind, found.end.detail) == (Ends.CYCLE, "waits for itself")
    assert found.describe().count("itself") == 1


@pytest.mark.parametrize(
    ("frames", "kind"),
    [(("thread.py:run", "thread.py:_worker"), Ends.PERSON), (("a.py:keys",), Ends.POLLS)],
)
def test_who_polls_while_an_executor_asks_a_person_waits_for_that(frames, kind):
    """`run_in_executor(None, input)` in a loop with a heartbeat. Another thread that reads keys is
    nobody who is waited for."""
    main = process(1, thread(1, **sleeps(0.5)), thread(2, **READS))
    asks = stack("read", *frames, tid=2, main=False)
    person = Link(told="a terminal", kind="terminal", person=True)
    found = seen(main, rearmed={1: 9}, links={2: (person,)}, stacks={1: ((asks,), (asks,))})
    assert chain(found).end.kind is kind


@pytest.mark.parametrize(("beside", "believed"), [((), True), ((LOCK,), False)])
def test_who_looks_for_what_only_a_person_could_answer_is_not_ended(beside, believed):
    """`answers.get(timeout=1)` in a loop, beside a thread in `input()`. A thread in a lock, such as
    a loader, may be looked for as well."""
    asks = stack("read", "py:ask", tid=3, main=False)
    threads = [thread(one.tid) for one in beside]
    main = process(1, thread(1, **sleeps(0.5)), *threads, thread(3, **READS))
    person = Link(told="a terminal", kind="terminal", person=True)
    stacks = {1: ((LOOKS, *beside, asks),)}
    found = chain(seen(main, rearmed={1: 9}, links={3: (person,)}, stacks=stacks))
    assert (found.end.kind, found.believed) == (Ends.POLLS, believed)


def test_a_join_of_a_thread_in_a_cycle_leads_into_it():
    main = process(1, thread(1, **SHARED), thread(2), thread(3))
    futexes = {
        1: Futex(kind="join", owner=2),
        2: Futex(kind="mutex", owner=3),
        3: Futex(kind="mutex", owner=2),
    }
    found = chain(seen(main, futexes=futexes))
    assert path(found) == [(1, "join"), (2, "mutex"), (3, "mutex")]
    assert found.end.kind is Ends.CYCLE


def test_a_thread_that_is_joined_has_to_end_however_idle_it_seems():
    """A condition variable in code that was inlined into the thread's own function."""
    worker = stack("pthread_cond_wait", "std::thread::_State_impl::_M_run", tid=2, main=False)
    beside = thread(3, **sleeps(25.0))
    for rest, kind in (((beside,), Ends.CLOCK), ((), Ends.CYCLE)):
        main = process(1, thread(1, **SHARED), thread(2), *rest)
        joins = seen(main, futexes={1: Futex(kind="join", owner=2)}, stacks={1: ((worker,),)})
        found = chain(joins)
        assert (found.end.kind, path(found)[:2]) == (kind, [(1, "join"), (2, "futex")])


def test_a_main_thread_that_has_ended_leaves_its_work_to_the_others():
    gone = {"state": "Z", "syscall": None}
    for fields, kind in ((sleeps(25.0), Ends.CLOCK), (RUNNING, Ends.WORKS), ({}, Ends.DEAD)):
        one = process(1, thread(1, **gone), thread(2, **fields), state="Z")
        starts, told = Subject(Facts(seen(one)), 1).starts()
        assert (starts, told) == ((Node(1, 2),), "the only thread that is left")
        assert chain(seen(one), *starts).end.kind is kind
        parent = process(9, thread(9, **awaits()))
        waited = seen(parent, replace(one, ppid=9), root=9)
        assert chain(waited, Node(9, 9)).end.kind is kind


STOPPED = {
    "it waits for one that sleeps": (awaits(5), True),
    "for any of them": (awaits(), False),
    "for the stopped one": (awaits(6), False),
    "it sleeps, and may look for it": (sleeps(3.0), False),
    "for nobody that is seen": ({}, True),
}


@pytest.mark.parametrize(("fields", "passes"), STOPPED.values(), ids=STOPPED)
def test_nobody_waits_for_a_stopped_process_if_the_chain_leads_elsewhere(fields, passes):
    family = [process(1, thread(1, **fields)), process(5, thread(5, **sleeps(25.0)), ppid=1)]
    family.append(process(6, thread(6, state="T"), ppid=1, state="T"))
    assert chain(seen(*family)).passes_by([6]) == passes


def test_a_process_apart_is_a_peer_and_is_not_followed():
    rank = process(1, thread(1, **READS))
    other = process(2, thread(2, **RUNNING), ppid=0)
    links = {1: (Link(told="a socket", kind="tcp", peers=(2,)),)}
    together = seen(rank, other, later=(rank, busy(other)), links=links)
    assert chain(together).end.kind is Ends.WORKS
    found = chain(together, apart=frozenset({2}))
    assert (found.end.kind, found.on) == (Ends.PEERS, (2,))
    assert path(found) == [(1, "tcp")]


@pytest.mark.parametrize(("apart", "end"), [((), Ends.WORKS), ((6,), Ends.OUTSIDE)])
def test_neither_a_launcher_nor_another_rank_is_guessed_to_end_a_wait_of_a_rank(apart, end):
    launcher = process(1, thread(1, **RUNNING))
    ranks = process(5, thread(5, **calls(PAUSE)), ppid=1), process(6, thread(6, **READS), ppid=1)
    found = seen(launcher, *ranks, later=(busy(launcher), *ranks))
    assert chain(found, Node(5, 5), apart=frozenset(apart)).end.kind is end


@pytest.mark.parametrize(("again", "end"), [(0, Ends.CLOCK), (3, Ends.OUTSIDE)])
def test_a_launcher_that_sleeps_may_wake_a_rank_when_its_clock_rings(again, end):
    launcher = process(1, thread(1, **sleeps(20.0)))
    ranks = process(5, thread(5, **calls(PAUSE)), ppid=1), process(6, thread(6, **READS), ppid=1)
    found = seen(launcher, *ranks, rearmed={1: again})
    assert chain(found, Node(5, 5), apart=frozenset((6,))).end.kind is end


def test_of_several_candidates_one_that_lives_is_enough_and_it_is_told():
    one = process(1, thread(1), thread(2, **RUNNING), thread(3, **READS))
    links = {3: (Link(told="a pipe", kind="pipe", peers=(99,)),)}
    one_lives = seen(one, later=(one,), links=links)
    found = chain(one_lives, Node(1, 3), Node(1, 2))
    assert (path(found), found.end.kind) == ([(2, "run")], Ends.WORKS)


def test_the_users_own_line_is_in_the_chain():
    stacks = {1: ((stack("sem_wait", "py:step", lines={"py:step": 12}),),)}
    found = chain(seen(process(), stacks=stacks))
    assert found.links[0].place == "train.py:12 in step"
    assert found.describe().startswith("main at train.py:12 in step waits for another thread")


# --- which end decides ---------------------------------------------------------------------------


@given(st.permutations(list(Ends)), st.integers(2, 6))
def test_of_several_ends_the_best_one_decides_wherever_it_is(order, count):
    """All are as certain: what may still go on, does."""
    kinds = order[:count]
    graph = {node(1): on(*range(2, 2 + count))}
    graph |= {node(n): on(ends=(kind,)) for n, kind in enumerate(kinds, 2)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follow_module, "wait_of", lambda one, facts: graph[one])
        found = chain(seen(process()))
    rest = [kind for kind in kinds if kind not in (*LOST, Ends.IDLE)] or [
        kind for kind in kinds if kind is not Ends.IDLE
    ]
    if rest:
        assert found.end.kind is min(rest, key=BEST_FIRST.index)
        assert {end.kind for end in found.all_ends} == set(kinds)
    else:
        assert found.end.kind in LOST


def test_every_end_has_its_place_in_the_order():
    assert sorted(BEST_FIRST) == sorted(Ends)
    assert set(BEST_FIRST[: len(ALIVE)]) == ALIVE


LOOSE = (Ends.PERSON, Ends.NETWORK, Ends.OUTSIDE, Ends.PROGRAM, Ends.FILE_SYSTEM, Ends.UNKNOWN)


@pytest.mark.parametrize("kind", LOOSE)
def test_a_thread_by_guess_that_waits_for_the_outside_decides_nothing(kind, waits):
    """A server's thread in accept is beside a main thread that waits for its memory."""
    graph = {
        node(1): on(2, 3, known=False),
        node(2): on(ends=(kind,)),
        node(3): on(ends=(Ends.SPINS,)),
    }
    assert waits(graph).end.kind is Ends.SPINS
    graph[node(1)] = on(2, 3)
    decides = kind if BEST_FIRST.index(kind) < BEST_FIRST.index(Ends.SPINS) else Ends.SPINS
    assert waits(graph).end.kind is decides


def test_what_is_reached_by_a_guess_stays_one(waits):
    graph = {
        node(1): on(2, known=False, ends=(Ends.POLLS,)),
        node(2): on(3),
        node(3): on(ends=(Ends.NETWORK,)),
    }
    assert waits(graph).end.kind is Ends.POLLS


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ((LOCK,), "; thread 2 at train.py:7 in train waits for a Python lock"),
        ((replace(LOCK, frames=LOCK.frames[:2]),), ""),  # it is in no line of the user's
        ((LOCK, replace(LOCK, tid=3)), ""),  # either could be meant
    ],
)
def test_who_polls_looks_for_the_only_thread_that_could_be_meant(others, told):
    """`while trainer.is_alive(): trainer.join(1)`: the lock of the trainer is the cause."""
    threads = [thread(one.tid) for one in others]
    main = process(1, thread(1, **sleeps(1.0)), *threads)
    found = chain(seen(main, stacks={1: ((LOOKS, *others),)}, rearmed={1: 9}))
    assert (found.end.kind, [link.tid for link in found.links]) == (Ends.POLLS, [1])
    assert found.describe().partition(" every 1 s")[2] == told
    assert [link["tid"] for link in found.evidence()["chain"]] == [1, 2][: 2 if told else 1]


def test_works_decides_also_by_a_guess(waits):
    graph = {node(1): on(2, 3, known=False), node(2): on(ends=(Ends.WORKS,)),
             node(3): on(ends=(Ends.NETWORK,))}  # fmt: skip
    assert waits(graph).end.kind is Ends.WORKS


def test_the_shortest_way_to_an_end_is_told(waits):
    graph = {node(1): on(2, 3), node(2): on(4), node(3): on(2, 4), node(4): on(ends=(Ends.CLOCK,))}
    assert [link.tid for link in waits(graph).links] == [1, 2, 4]


def test_a_cycle_beside_an_end_is_no_cycle(waits):
    graph = {node(1): on(2), node(2): on(1, 3), node(3): on(ends=(Ends.NETWORK,))}
    found = waits(graph)
    assert (found.end.kind, [link.tid for link in found.links]) == (Ends.NETWORK, [1, 2, 3])


def test_threads_that_wait_for_one_another_beside_idle_ones_are_a_cycle(waits):
    graph = {node(1): on(2, 3), node(2): on(1), node(3): on(ends=(Ends.IDLE,))}
    found = waits(graph)
    assert (found.end.kind, [link.tid for link in found.links]) == (Ends.CYCLE, [1, 2])


def test_who_waits_beside_idle_threads_alone_waits_for_nobody(waits):
    """As at a queue of its own process, whose writer was a child that has ended."""
    graph = {node(1): on(2), node(2): on(3, code="own"), node(3): on(ends=(Ends.IDLE,))}
    found = waits(graph)
    assert (found.end.kind, [link.tid for link in found.links]) == (Ends.DEAD, [1, 2])
    assert found.end.detail == "and no other thread has work"
    graph |= {node(1): on(2, 4), node(4): on(1)}
    found = waits(graph)
    assert (found.end.kind, [link.tid for link in found.links]) == (Ends.CYCLE, [1, 4])


def test_of_starts_that_all_hang_the_main_thread_is_told(waits):
    graph = {node(1): on(ends=(Ends.NETWORK,)), node(2): on(ends=(Ends.NETWORK,))}
    assert [link.tid for link in waits(graph, node(2), node(1)).links] == [1]


def test_without_a_start_nothing_is_said():
    found = follow((), Facts(seen(process())))
    assert (found.links, found.end.kind, found.end.sure) == ((), Ends.UNKNOWN, False)


@given(st.data(), st.integers(1, 6))
def test_whoever_waits_for_whom_there_is_one_end_and_a_way_to_it(data, count):
    numbers = list(range(1, count + 1))
    graph = {
        node(n): on(
            *data.draw(st.lists(st.sampled_from(numbers), max_size=3, unique=True)),
            known=data.draw(st.booleans()),
            ends=tuple(data.draw(st.lists(st.sampled_from(list(Ends)), max_size=2))),
        )
        for n in numbers
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follow_module, "wait_of", lambda one, facts: graph[one])
        found = chain(seen(process()))
    tids = [link.tid for link in found.links]
    assert tids[0] == 1
    assert len(set(tids)) == len(tids)
    for one, other in itertools.pairwise(tids):
        assert node(other) in graph[node(one)].on
    last = graph[node(tids[-1])]
    if found.end.kind is Ends.DEAD and found.end not in last.ends:
        assert not any(graph[other].on for other in last.on)
    elif found.end.kind is not Ends.CYCLE:
        assert found.end in last.ends
    kinds = {end.kind for end in reachable(graph)}
    if kinds & (ALIVE - {Ends.PERSON}):
        assert found.alive, "a person who is reached by a guess alone may not decide"
    assert not found.alive or kinds & ALIVE


def reachable(graph):
    """All ends below thread 1."""
    todo, done = [node(1)], {node(1)}
    while todo:
        for other in graph[todo.pop()].on:
            if other not in done:
                done.add(other)
                todo.append(other)
    return [end for one in done for end in graph[one].ends]


def test_each_thread_of_a_tree_is_looked_into_once_though_all_may_wait_for_all(monkeypatch):
    """The time for a tree must not grow with the square of its threads, for each of its starts."""
    looked, chosen = Counter(), Counter()
    wait_of, candidates = follow_module.wait_of, Facts._candidates
    monkeypatch.setattr(
        follow_module, "wait_of", lambda node, facts: looked.update([node]) or wait_of(node, facts)
    )
    monkeypatch.setattr(
        Facts, "_candidates", lambda facts, pid: chosen.update([pid]) or candidates(facts, pid)
    )
    many = range(20, 30)
    tree = [process(n, *(thread(n + 100 * i, **calls(PAUSE)) for i in range(4))) for n in many]
    judge_tree(replace(seen(*tree), root=20))
    assert len(looked) == 40
    assert set(looked.values()) == {1}
    assert chosen == Counter(many)


# --- words ---------------------------------------------------------------------------------------


def test_who_was_named_by_the_wait_for_it_is_not_named_again():
    links = (
        ChainLink(pid=1, tid=1, name="main", wait="join", detail="waits for the end of thread a"),
        ChainLink(pid=1, tid=2, name="thread a", wait="pipe", detail="waits for a pipe"),
        ChainLink(pid=5, tid=5, name="process 5", wait="run", detail="uses 9 % of a core"),
    )
    found = Chain(links=links, end=End(kind=Ends.WORKS, detail="uses 9 % of a core"))
    assert found.describe() == (
        "main waits for the end of thread a, which waits for a pipe; process 5 uses 9 % of a core"
    )


def test_the_evidence_has_each_link_and_only_what_is_known_of_the_end():
    found = chain(seen(process(1, thread(1, **sleeps(5.0)))))
    told = found.evidence()
    assert told["chain"] == [
        {"pid": 1, "tid": 1, "name": "main", "wait": "sleep", "detail": "sleeps", "place": None}
    ]
    assert told["end"] == {"kind": "clock", "detail": "sleeps", "left_s": 5.0, "sure": True}
    assert told["followed"] == "the main thread"
