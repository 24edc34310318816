"""What holds of the chain and the proof whatever is observed: random trees, waits and relations."""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from observations import ALONE, seen, stack
from still_worlds import number

from harness import syscalls
from harness.detect.chain.closure import closed, prove
from harness.detect.chain.facts import Facts
from harness.detect.chain.follow import follow
from harness.detect.chain.links import ALIVE, Ends, Node
from harness.detect.registry import Subject
from harness.detect.spinning import inspect
from harness.detect.tree import judge, judge_tree
from harness.detect.verdicts import GOOD_ENDS, OF_END, Answer
from harness.model import Process, Thread
from harness.model.world import Futex, FutexKind, GpuUse, Link, LinkKind, More, Surroundings
from harness.stacks.parse.frames import Gil

replace = msgspec.structs.replace
PIDS = (1, 2, 3, 4)
STRANGER = 99
CALLS = sorted(syscalls.X86_64.values())
WCHANS = (
    None, "", "futex_do_wait", "do_wait", "hrtimer_nanosleep", "anon_pipe_read", "do_sys_poll",
    "get_signal", "kernel_clone", "request_wait_answer", "rt_mutex_schedule", "shrink_node",
)  # fmt: skip
FRAMES = (
    "py:step", "py:load", "thread.py:_worker", "_base.py:result", "queues.py:get", "sem_wait",
    "pthread_mutex_lock", "take_gil", "read", "wait4", "clock_nanosleep", "mlx::core::eval",
    "mlx::core::Event::wait", "mlx::core::scheduler::StreamThread::thread_fn", "MPI_Allreduce",
    "mlx::core::distributed::SocketThread::worker", "mlx::core::malloc_or_wait", "nvrtcCompile",
)  # fmt: skip
timeouts = st.none() | st.floats(0.0, 1e6)
pids = st.sampled_from((*PIDS, STRANGER))
kinds = st.sampled_from(LinkKind.__args__)


@st.composite
def threads(draw, tid):
    call = draw(st.sampled_from((*CALLS, "futex", "futex", "wait4", "read", "")) | st.none())
    args = st.sampled_from([0, 1, 2, 3, 9, 128, 137, 0x7F00, 2**32 - 1, 2**64 - 1])
    shown = call is not None
    return Thread(
        tid=tid,
        name=draw(st.sampled_from(["python", "loader"])),
        state=draw(st.sampled_from("SSSSSSRDTtZI")),
        cpu_s=draw(st.sampled_from([0.0, 0.1, 2.0])),
        system_s=draw(st.none() | st.just(0.0)),
        syscall=None if not shown else number(call) if call else draw(st.sampled_from([-1, 999])),
        args=tuple(draw(st.lists(args, min_size=6, max_size=6))) if shown else (),
        switches=draw(st.none() | st.integers(0, 90)),
        wakes_in=draw(timeouts),
        wchan=draw(st.sampled_from(WCHANS)),
    )


@st.composite
def trees(draw):
    """A root and up to three processes below it."""
    count = draw(st.integers(1, len(PIDS)))
    made = []
    for pid in PIDS[:count]:
        tids = [pid, *(10 * pid + n for n in range(draw(st.integers(0, 2))))]
        made.append(
            Process(
                pid=pid,
                ppid=0 if pid == 1 else draw(st.sampled_from(PIDS[: pid - 1])),
                name=draw(st.sampled_from(["python", "sh", "cc1plus"])),
                state=draw(st.sampled_from("SSSSSRDTtZ")),
                cpu_s=2.0,
                major_faults=draw(st.none() | st.integers(0, 9)),
                io_bytes=draw(st.none() | st.just(100)),
                threads=tuple(draw(threads(tid)) for tid in tids)
                if draw(st.integers(0, 9))
                else (),
            )
        )
    return tuple(made)


@st.composite
def dead_graphs(draw):
    """Processes whose threads all wait, for one another or for any of their own."""
    tree, owners = [], {}
    for pid in PIDS[: draw(st.integers(1, 4))]:
        tids = [pid, *(10 * pid + n for n in range(draw(st.integers(0, 2))))]
        tree.append((pid, tids))
    every = [tid for _, tids in tree for tid in tids]
    for tid in every:
        if draw(st.booleans()):
            owners[tid] = draw(st.sampled_from(every))
    made = tuple(
        Process(
            pid=pid,
            ppid=pid - 1,
            name="python",
            state="S",
            cpu_s=1.0,
            threads=tuple(
                Thread(tid=tid, name="python", state="S", cpu_s=1.0, switches=40,
                       syscall=number("futex"), args=(0x7F00, 128, 2, 0, 0, 0),
                       wchan="futex_do_wait")
                for tid in tids
            ),
        )
        for pid, tids in tree
    )  # fmt: skip
    kinds = ("mutex", "join", "robust", "pi_mutex")
    named = {
        tid: Futex(kind=draw(st.sampled_from(kinds)), owner=owner, sharers=PIDS)
        for tid, owner in owners.items()
    }
    return made, named


@st.composite
def nearly_dead(draw):
    """A tree in which all wait for one another, but for a thread that may do anything."""
    tree, _ = draw(dead_graphs())
    chosen = draw(st.sampled_from([one.tid for process in tree for one in process.threads]))
    return tuple(
        replace(
            one,
            threads=tuple(draw(threads(chosen)) if t.tid == chosen else t for t in one.threads),
        )
        for one in tree
    )


@st.composite
def later(draw, tree):
    """The tree at the last look: as it was, or with threads that moved, came or went."""
    moved = []
    for one in tree:
        if not draw(st.integers(0, 6)):
            continue
        kept = [
            replace(
                each,
                cpu_s=each.cpu_s + draw(st.sampled_from([0.0, 0.0, 0.0, 1.0])),
                switches=each.switches and each.switches + draw(st.sampled_from([0, 0, 1, 50])),
            )
            for each in one.threads
            if draw(st.integers(0, 9))
        ]
        moved.append(replace(one, threads=tuple(kept)))
    return tuple(moved) if draw(st.booleans()) else tree


@st.composite
def links(draw):
    return Link(
        told="a thing",
        kind=draw(kinds),
        peers=tuple(draw(st.lists(pids, max_size=2, unique=True))),
        only_own=draw(st.booleans()),
        remote=draw(st.none() | st.just("10.0.0.5:443")),
        complete=draw(st.booleans()),
        reopenable=draw(st.booleans()),
        queued=draw(st.none() | st.sampled_from([0, 5])),
        retransmits=draw(st.none() | st.just(3)),
        fs=draw(st.none() | st.sampled_from(["ext4", "nfs4"])),
        person=draw(st.booleans()),
    )


@st.composite
def futexes(draw, tids):
    kind = draw(st.sampled_from(FutexKind.__args__))
    owned = kind in ("mutex", "pi_mutex", "robust", "join")  # an RLock is its process's own
    return Futex(
        kind=kind,
        owner=draw(st.none() | st.sampled_from((*tids, 777))) if owned else None,
        sharers=tuple(draw(st.lists(pids, max_size=3, unique=True))),
        complete=draw(st.booleans()),
    )


@st.composite
def captures(draw, process):
    """The stacks of a process, once or twice."""
    each = []
    for one in process.threads:
        names = draw(st.lists(st.sampled_from(FRAMES), min_size=1, max_size=4))
        made = stack(*names, tid=one.tid, main=one.tid == process.pid)
        gil = draw(st.sampled_from([None, None, Gil.HOLDS, Gil.WAITS]))
        each.append(replace(made, gil=gil, running=draw(st.sampled_from([None, True, False]))))
    return tuple(tuple(each) for _ in range(draw(st.integers(1, 2))))


surroundings = st.sampled_from(
    [ALONE, ALONE, ALONE, replace(ALONE, timers=1), replace(ALONE, handlers=("SIGUSR1",)),
     Surroundings()]
)  # fmt: skip


@st.composite
def observations(draw):
    tree = draw(trees() | nearly_dead() | dead_graphs().map(lambda graph: graph[0]))
    tids = [one.tid for process in tree for one in process.threads] or [1]
    chosen = st.sampled_from(tids)
    end = draw(later(tree))
    return seen(
        *tree,
        later=end or tree,
        more={
            one.pid: More(started=one.pid, swap=draw(st.none() | st.just(1 << 30)), minor_faults=0)
            for one in tree
        },
        around=draw(surroundings),
        links={
            tid: tuple(draw(st.lists(links(), min_size=1, max_size=3)))
            for tid in draw(st.sets(chosen, max_size=4))
        },
        futexes={tid: draw(futexes(tids)) for tid in draw(st.sets(chosen, max_size=4))},
        stacks={
            one.pid: draw(captures(one)) for one in tree if one.threads and draw(st.booleans())
        },
        shares=draw(st.sampled_from([frozenset(), frozenset(), frozenset({2})])),
        on_gpu=draw(st.sampled_from([frozenset(), frozenset({1})])),
        gpu_use=draw(st.none() | st.builds(GpuUse, own=st.none() | st.integers(0, 100))),
        rearmed={tid: draw(st.integers(0, 9)) for tid in draw(st.sets(chosen, max_size=3))},
        spins=dict.fromkeys(draw(st.sets(chosen, max_size=1)), "x.py:1"),
        trains=draw(st.none() | st.tuples(st.sampled_from(PIDS), chosen)),
        ranks=draw(st.sampled_from([{}, {}, {0: 2, 1: 3}, {0: 1}])),
    )


whatever = settings(suppress_health_check=[HealthCheck.too_slow])


@whatever
@given(observations())
def test_whatever_is_observed_there_is_an_answer_that_is_as_good_as_its_end(found):
    tree = judge_tree(found)
    assert tree.processes
    for one in tree.processes:
        chain = one.chain
        if chain is None:
            continue
        assert chain.describe()
        assert one.evidence["detector"] in ("held", "deadlock", "chain")
        if one.evidence["detector"] == "chain":
            end = chain.end
            assert one.good == (end.seen and end.kind in GOOD_ENDS)
            usual = OF_END[end.kind] if end.seen else Answer.STALLED
            assert one.answer in (usual, Answer.COMPILING)
        else:
            assert not one.good
        for before, after in zip(chain.links, chain.links[1:], strict=False):
            assert (before.pid, before.tid) != (after.pid, after.tid)
    assert msgspec.json.encode(tree)


@whatever
@given(observations())
def test_nothing_that_has_a_living_end_is_ever_proven(found):
    """Also where the end is a guess: that it may go on is enough."""
    facts = Facts(found)
    for process in found.last.processes:
        one = judge(process.pid, found)
        if one.answer is not Answer.DEADLOCK:
            continue
        starts, _ = Subject(facts, process.pid).starts()
        event("proven")
        ends = {end.kind for end in follow(starts, facts).all_ends}
        assert not ends & (ALIVE | {Ends.POLLS, Ends.SPINS, Ends.STOPPED, Ends.TRACED}), ends


@whatever
@given(observations(), st.data())
def test_whoever_is_proven_to_be_dead_shows_no_movement_and_no_clock(found, data):
    looks = [look.worlds[1] for look in found.windows[-1] if 1 in look.worlds]
    nodes = [Node(p.pid, t.tid) for p in looks[-1].processes for t in p.threads] if looks else []
    if not nodes:
        return
    start = data.draw(st.sampled_from(nodes))
    if closed([start], looks, found):
        return
    shown = [
        (one.state, one.syscall, one.args, one.cpu_s, one.switches)
        for look in looks
        for process in look.processes
        for one in process.threads
        if one.tid == start.tid
    ]
    assert len(shown) == len(looks)
    assert len(set(shown)) == 1
    assert shown[0][0] == "S"
    assert looks[-1].surroundings[start.pid] == ALONE


TIMED = [
    ("nanosleep", (0x7F00, 0, 0, 0, 0, 0)),
    ("clock_nanosleep", (1, 1, 0x7F00, 0, 0, 0)),
    ("restart_syscall", (0,) * 6),
    ("futex", (0x7F00, 128, 2, 0x7FFC, 0, 0)),
    ("futex", (0x7F00, 9 | 128 | 256, 2, 0x7FFC, 0, 0xFFFFFFFF)),
    ("futex_wait", (0x7F00, 2, 0, 0x80, 0x7FFC, 1)),
    ("poll", (0x7F00, 1, 1000, 0, 0, 0)),
    ("epoll_wait", (4, 0x7F00, 1, 0, 0, 0)),
    ("epoll_pwait", (4, 0x7F00, 1, 60_000, 0, 0)),
    ("epoll_pwait2", (4, 0x7F00, 1, 0x7FFC, 0, 0)),
    ("ppoll", (0x7F00, 1, 0x7FFC, 0, 0, 0)),
    ("select", (6, 0x7F00, 0, 0, 0x7FFC, 0)),
    ("pselect6", (0, 0, 0, 0, 0x7FFC, 0)),
    ("semtimedop", (1, 0x7F00, 1, 0x7FFC, 0, 0)),
]


def members(start, tree, named):
    """All threads that could wake `start`, and those that could wake these."""
    of = {t.tid: p for p in tree for t in p.threads}
    found, todo = {start}, [start]
    while todo:
        tid = todo.pop()
        # Who waits for a mutex of its own waits for whoever unlocks it.
        lock = named.get(tid)
        anybody = lock is None or (lock.owner == tid and lock.kind == "mutex")
        waker = tid if anybody else lock.owner
        # The end of another process hands its robust locks over, and any thread of it may end it.
        ends = of[waker] is not of[tid] and lock.kind in ("robust", "pi_mutex")
        wakers = [t.tid for t in of[waker].threads] if anybody or ends else [waker]
        for other in wakers:
            if other not in found:
                found.add(other)
                todo.append(other)
    return found


def with_thread(tree, tid, **fields):
    return tuple(
        replace(
            one, threads=tuple(replace(t, **fields) if t.tid == tid else t for t in one.threads)
        )
        for one in tree
    )


@whatever
@given(dead_graphs(), st.data())
def test_a_closed_set_is_proven_and_one_with_a_timed_wait_in_it_never_is(graph, data):
    tree, named = graph
    of = {t.tid: p.pid for p in tree for t in p.threads}
    start = data.draw(st.sampled_from(sorted(of)))
    inside = members(start, tree, named)
    chosen = data.draw(st.sampled_from(sorted(of)))
    call, args = data.draw(st.sampled_from(TIMED))

    def proven(processes):
        found = seen(*processes, futexes=named)
        looks = [look.worlds[1] for look in found.windows[-1]]
        return not closed([Node(of[start], start)], looks, found), not prove(looks, found)

    assert proven(tree) == (True, True)
    timed = with_thread(tree, chosen, syscall=number(call), args=args)
    assert proven(timed) == (chosen not in inside, False)


@whatever
@given(observations())
def test_who_stays_in_one_place_uses_the_cpu(found):
    for tid in inspect(found).stays:
        paces = [
            Facts(found).pace(Node(process.pid, tid))
            for process in found.last.processes
            if any(one.tid == tid for one in process.threads)
        ]
        assert all(pace and (pace.cpu > 0 or pace.runnable) for pace in paces)
