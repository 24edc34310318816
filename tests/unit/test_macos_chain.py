"""The chain where stacks alone show what is waited for, and where they show nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from observations import process, seen, thread

from harness.detect.blindness import Looks
from harness.detect.chain.facts import Facts
from harness.detect.chain.follow import follow
from harness.detect.chain.links import Chain, Ends
from harness.detect.observation import Doings, Observation
from harness.detect.policy import Policy
from harness.detect.registry import Subject, decide
from harness.detect.verdicts import Answer, Says
from harness.model import Machine, Process
from harness.model.world import GpuUse, Link, More
from harness.observe.macos import gpu
from harness.observe.macos.gpu import Reading, Registry, judge
from harness.stacks.parse import Owner, ThreadStack, parse

FOLDER = Path(__file__).parents[1] / "macos" / "samples"
GPU_WAIT, GIL = "composed-py-gpu-event-wait", "real-python310-gil-oncelock-macos26"
MEMORY, BUSY = "composed-py-buffer-create", "real-mlx-swift-busy-macos26"
replace = msgspec.structs.replace


def stacks(name: str) -> tuple[ThreadStack, ...]:
    return parse("sample", (FOLDER / f"{name}.txt").read_text(encoding="utf-8"), 1)


def leaf(name: str, number: int = 5, within: str = "mine") -> tuple[ThreadStack, ...]:
    text = f"Call graph:\n    9 Thread_{number}\n    + 9 {within}  (in app) + 4  [0x1]\n"
    text += f"    +   9 {name}  (in libsystem_kernel.dylib) + 8  [0x2]\n"
    return parse("sample", text, number)


def quiet(pid: int, tids: list[int], **fields: object) -> Process:
    """A process of which all threads wait, as macOS shows it."""
    threads = [thread(tid, syscall=None, wchan=None, switches=None) for tid in tids]
    return process(pid, *threads, main=tids[0], **fields)


def on_mac(*captured: tuple[ThreadStack, ...], pid: int = 1, **fields: object) -> Observation:
    """A process with these stacks in two captures, and a thread for each of them."""
    tids = [stack.tid for stack in captured[0]] if captured else [5]
    return seen(
        quiet(pid, [tid for tid in tids if tid is not None]),
        root=pid,
        stacks={pid: captured} if captured else {},
        **{"shows_waits": False, "more": {pid: More(started=pid, moves=40)}, **fields},
    )


def chain_of(observed: Observation) -> Chain:
    subject = Subject(Facts(observed), observed.root)
    starts, followed = subject.starts()
    return follow(starts, subject.facts, followed)


@pytest.mark.parametrize(
    ("captured", "end"),
    [
        (stacks(MEMORY), Ends.MEMORY),
        (stacks(GIL), Ends.CYCLE),
        (stacks(BUSY), Ends.WORKS),
        (leaf("__semwait_signal"), Ends.CLOCK),
        (leaf("__psynch_cvwait"), Ends.DEAD),
        (leaf("__read_nocancel"), Ends.OUTSIDE),
        (leaf("mach_msg2_trap", within="MTLCompilerRequest"), Ends.PROGRAM),
        (leaf("a_call_of_tomorrow"), Ends.UNSEEN),
    ],
)
def test_a_stack_says_what_is_waited_for(captured, end):
    assert chain_of(on_mac(captured, captured)).end.kind is end


def test_the_main_thread_is_not_known_by_the_number_of_its_process():
    chain = chain_of(on_mac(stacks(GIL), stacks(GIL)))
    assert chain.links[0].name == "main"
    assert chain.links[0].tid == 24199907


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({"on_gpu": frozenset([1]), "gpu_use": GpuUse(own=9, named=True)}, Ends.GPU_WORKS),
        ({"on_gpu": frozenset([1]), "gpu_use": GpuUse(own=0, named=True)}, Ends.GPU_IDLE),
        ({"on_gpu": frozenset([1]), "gpu_use": GpuUse(busy=97)}, Ends.GPU_WORKS),
        ({"on_gpu": frozenset([1])}, Ends.UNSEEN),
        ({}, Ends.DEAD),
    ],
)
def test_a_wait_for_the_gpu_is_judged_by_the_gpu(fields, end):
    captured = stacks(GPU_WAIT)
    assert chain_of(on_mac(captured, captured, **fields)).end.kind is end


def test_a_child_that_works_is_what_its_parent_waits_for():
    parent, child = quiet(1, [5]), quiet(2, [6], ppid=1)
    waits, signaled, sleeps, stuck = (
        leaf(name) for name in ("__wait4", "__sigsuspend", "__semwait_signal", "__psynch_cvwait")
    )
    for of_child, end in ((sleeps, Ends.CLOCK), (stuck, Ends.DEAD)):
        for own in (waits, signaled):  # as timeout(1) waits
            observed = seen(parent, child, shows_waits=False, stacks={1: (own,), 2: (of_child,)})
            assert chain_of(observed).end.kind is end
    alone = seen(parent, shows_waits=False, stacks={1: (signaled,)})
    assert chain_of(alone).end.kind is Ends.OUTSIDE
    unseen = seen(parent, child, shows_waits=False, stacks={1: (waits,)})
    assert chain_of(unseen).alive


def test_a_child_may_share_a_semaphore_and_no_lock_of_python():
    parent, child = quiet(1, [5]), quiet(2, [6], ppid=1)

    def chain(own, of_child, within="mine"):
        stacks_of = {1: (leaf(own, within=within),), 2: (leaf(of_child, 6),)}
        return chain_of(seen(parent, child, shows_waits=False, stacks=stacks_of))

    for waits in ("__psynch_cvwait", "__psynch_mutexwait", "sem_wait"):
        assert chain(waits, "__semwait_signal").alive
        assert chain(waits, "__psynch_cvwait").end.kind is Ends.DEAD
    for lock in ("PyThread_acquire_lock_timed", "_PySemaphore_Wait", "PyMutex_LockTimed"):
        assert chain("__psynch_cvwait", "__semwait_signal", lock).end.kind is Ends.DEAD


@pytest.mark.parametrize("children", [(), (process(2, ppid=1, state="S", name="sudo"),)])
def test_a_child_that_cannot_be_looked_into_may_go_on(children):
    hidden = tuple(replace(child, threads=()) for child in children)
    observed = seen(quiet(1, [5]), *hidden, shows_waits=False, stacks={1: (leaf("__wait4"),)})
    chain = chain_of(observed)
    assert (chain.end.kind, chain.alive) == (Ends.UNSEEN, True)


def test_a_thread_that_is_not_shown_and_works_may_be_what_is_waited_for():
    before = quiet(1, [5])
    waits = leaf("__psynch_cvwait")
    for used, end in ((0.4, Ends.DEAD), (4.0, Ends.UNSEEN)):
        after = replace(before, cpu_s=before.cpu_s + used)
        observed = seen(before, later=(after,), shows_waits=False, stacks={1: (waits, waits)})
        assert chain_of(observed).end.kind is end


@pytest.mark.parametrize(
    ("level", "out", "read", "end"),
    [
        (2, 500, 500, Ends.MEMORY),
        (4, 500, 500, Ends.MEMORY),
        (None, 500, 500, Ends.MEMORY),
        (1, 500, 500, Ends.OUTSIDE),
        (2, 3, 500, Ends.OUTSIDE),
        (2, 500, 3, Ends.OUTSIDE),
        (2, None, 500, Ends.OUTSIDE),
    ],
)
def test_memory_is_scarce_while_the_machine_writes_pages_out_and_reads_ours(level, out, read, end):
    captured = leaf("__read_nocancel")
    found = on_mac(captured, captured)

    def at(look, number):
        machine = Machine(
            available=8 << 30, pressure_level=level, page_outs=None if out is None else out * number
        )
        one = replace(look.processes[0], major_faults=read * number)
        return replace(look, machine=machine, processes=(one,))

    windows = [tuple(at(look, n) for n, look in enumerate(window)) for window in found.windows]
    chain = chain_of(replace(found, windows=tuple(windows)))
    assert chain.end.kind is end
    if end is Ends.MEMORY:
        assert chain.end.detail == (
            "waits for memory: 500 pages a second come back from the disk, and the machine writes "
            "500 a second to it"
        )


def test_what_no_stack_shows_is_not_doubted():
    bare = on_mac()
    assert chain_of(bare).end.kind is Ends.UNSEEN
    assert decide(Subject(Facts(bare), 1)).says.answer is Answer.ALIVE
    python = tuple(replace(one, native=False, shares=(), running=False) for one in leaf("x"))
    assert chain_of(on_mac(python, python)).end.kind is Ends.UNSEEN
    # Where waits are shown, what is not shown is a doubt.
    shown = seen(process(1, thread(1, syscall=None, wchan="")))
    assert chain_of(shown).end.kind is Ends.UNKNOWN


def test_that_a_wait_is_not_shown_is_told_once():
    looks = Looks()
    assert "blind on this machine" in looks.unseen()
    assert looks.unseen() == ""


def no_switch_of(observed: Observation) -> object:
    return decide(Subject(Facts(observed), observed.root)).says.evidence.get("no_switch")


def test_a_tree_of_which_no_thread_ran_is_said_to_have_stood_still():
    captured = leaf("__psynch_cvwait")
    still = on_mac(captured, captured)
    told = no_switch_of(still)
    assert told["processes"] == [1]
    assert told["seconds"] == pytest.approx(4.0)
    assert told["told"] == "for 4 s no thread of these processes ran"
    idle = {"on_gpu": frozenset([1]), "gpu_use": GpuUse(own=0, named=True)}
    with_gpu = no_switch_of(on_mac(stacks(GPU_WAIT), **idle))
    assert with_gpu["told"].endswith("and the GPU did nothing for them")


@pytest.mark.parametrize("change", ["moves", "cpu", "runs", "unread", "gpu"])
def test_whatever_ran_or_was_not_read_forbids_that_claim(change):
    captured = leaf("__psynch_cvwait")
    still, later = quiet(1, [5]), quiet(1, [5])
    more = More(started=1, moves=None if change == "unread" else 40)
    if change == "cpu":
        later = replace(later, cpu_s=still.cpu_s + 0.01)
    if change == "runs":
        later = replace(later, threads=(replace(later.threads[0], state="R"),))
    fields = {"on_gpu": frozenset([1])} if change == "gpu" else {}
    observed = seen(
        still, later=(later,), more={1: more}, shows_waits=False, stacks={1: (captured,)}, **fields
    )
    if change == "moves":
        window = observed.windows[-1]
        last = replace(window[-1], more={1: replace(more, moves=41)})
        observed = replace(observed, windows=(observed.windows[0], (*window[:-1], last)))
    assert no_switch_of(observed) is None


IOREG = """<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><array><dict>
<key>IORegistryEntryName</key><string>AGXAcceleratorG15X</string>
<key>PerformanceStatistics</key><dict><key>Device Utilization %</key><integer>7</integer></dict>
<key>IORegistryEntryChildren</key><array>
<dict><key>IOUserClientCreator</key><string>pid 71, python3.14</string>
<key>AppUsage</key><array>
<dict><key>API</key><string>Metal</string><key>accumulatedGPUTime</key><integer>3000</integer></dict>
<dict><key>accumulatedGPUTime</key><integer>400</integer></dict></array></dict>
<dict><key>IOUserClientCreator</key><string>pid 71, python3.14</string>
<key>AppUsage</key><array>
<dict><key>accumulatedGPUTime</key><integer>5</integer></dict></array></dict>
<dict><key>IOUserClientCreator</key><string>pid 9, WindowServer</string></dict>
</array></dict></array></plist>"""


def test_the_registry_of_drivers_is_read():
    read = gpu.parse(IOREG)
    assert read is not None
    assert read.utilization == {"AGXAcceleratorG15X": 7}
    assert read.clients == {71: 3405, 9: None}


@given(st.data())
def test_no_registry_makes_it_raise(data):
    cut = data.draw(st.integers(0, len(IOREG)))
    other = data.draw(st.text(max_size=40) | st.just("<integer>99999999999999999999</integer>"))
    damaged = IOREG[:cut] + other + IOREG[data.draw(st.integers(cut, len(IOREG))) :]
    for text in (damaged, "", "x", "<plist><array><string>x</string></array></plist>"):
        read = gpu.parse(text)
        assert read is None or all(isinstance(busy, int) for busy in read.utilization.values())


def reading(t: float, busy: int | None = 5, **clients: int | None) -> Reading:
    return Reading(
        t=t,
        utilization={} if busy is None else {"AGX": busy},
        clients={int(pid[1:]): used for pid, used in clients.items()},
    )


@pytest.mark.parametrize(
    ("before", "now", "use"),
    [
        (reading(0, p1=0), reading(1, p1=500_000_000), GpuUse(own=50, named=True, busy=5)),
        (reading(0, p1=0), reading(1, p1=10), GpuUse(own=1, named=True, busy=5)),
        (reading(0, p1=7), reading(1, p1=7), GpuUse(own=0, named=True, busy=5)),
        # One command may take minutes, and be counted when it is over.
        (reading(0, p1=7), reading(1, 98, p1=7), GpuUse(busy=98)),
        (reading(0, p1=None), reading(1, p1=None), GpuUse(busy=5)),
        (reading(0, p1=9), reading(1, p1=7), GpuUse(busy=5)),
        (reading(0), reading(1, p1=7), GpuUse(busy=5)),
        (reading(0), reading(1), GpuUse(busy=5)),
        (reading(0, p1=7), reading(1, None, p1=7), None),
    ],
)
def test_gpu_time_of_a_process(before, now, use):
    gpus = judge(before, now, frozenset([1]))
    assert (gpus.on, gpus.use) == (frozenset([1]), use)


def test_a_registry_that_cannot_be_read_calls_nothing_idle():
    assert judge(None, None, frozenset([1])).on == {1}
    assert judge(None, None, frozenset([1])).use is None
    # Who is not listed beside others has no GPU open.
    assert judge(reading(0, p2=1), reading(1, p2=2), frozenset([1])).on == frozenset()


def test_the_first_question_takes_two_readings(monkeypatch):
    monkeypatch.setattr(gpu, "APART_S", 0.0)
    readings = iter([reading(0, p1=0), reading(1, p1=10**9), reading(2, p1=10**9)])
    monkeypatch.setattr(gpu, "read", lambda stop: next(readings))
    registry = Registry()
    assert registry.gpus([1]).use == GpuUse(own=100, named=True, busy=5)
    assert registry.gpus([1]).use == GpuUse(own=0, named=True, busy=5)


def opened(**fields: object) -> Link:
    """A pipe that process 1 can read, with process 2 at its other end."""
    return Link(**{"told": "a pipe", "kind": "pipe", "peers": (2,), "reads": True, **fields})


def on_disk(**fields: object) -> Link:
    """A regular file that process 1 has open."""
    given = {"told": "the file it.lock", "kind": "file", "peers": (), "reads": None}
    return opened(**{**given, **fields})


def at_a_file(call: str, *links: Link, child: str = "__psynch_cvwait") -> Chain:
    """The chain of process 1 in `call`, with these pipes open, above a child in `child`."""
    parent, below = quiet(1, [5]), quiet(2, [6], ppid=1)
    stacks_of = {1: (leaf(call),), 2: (leaf(child, 6),)}
    observed = seen(parent, below, shows_waits=False, stacks=stacks_of, files={1: links})
    return chain_of(observed)


@pytest.mark.parametrize(
    ("call", "link", "end"),
    [
        ("read", opened(), Ends.DEAD),
        ("__read_nocancel", opened(), Ends.DEAD),
        ("__recvfrom", opened(kind="local_socket", reads=None), Ends.DEAD),
        ("__select", opened(kind="tcp", reads=None), Ends.DEAD),
        ("kevent", opened(), Ends.DEAD),
        ("write", opened(reads=False, queued=9), Ends.DEAD),
        # It does not wait there: bytes are there to be read, or there is room to write.
        ("read", opened(queued=9), Ends.OUTSIDE),
        ("write", opened(reads=False, queued=0), Ends.OUTSIDE),
        ("read", opened(reads=False), Ends.OUTSIDE),
        ("__recvfrom", opened(), Ends.OUTSIDE),
        # Nothing is known of the other end, or it is somewhere else.
        ("read", opened(peers=(), kind="other"), Ends.OUTSIDE),
        ("read", opened(peers=(), kind="other", unseen=True), Ends.UNSEEN),
        ("read", opened(peers=(71,)), Ends.PROGRAM),
        ("__recvfrom", opened(kind="tcp", peers=(), reads=None, remote="10.0.0.5:443"),
         Ends.NETWORK),
        ("kevent", opened(peers=(), only_own=True), Ends.OUTSIDE),
        ("read", opened(kind="terminal", peers=(), reads=None, person=True), Ends.PERSON),
        ("read", opened(kind="terminal", peers=(), reads=None), Ends.OUTSIDE),
        # Of files: who holds the lock, or the file system that does not answer.
        ("flock", on_disk(), Ends.PROGRAM),
        ("__fcntl_nocancel", on_disk(), Ends.PROGRAM),
        ("flock", opened(), Ends.OUTSIDE),
        ("read", on_disk(), Ends.FILE_SYSTEM),
        ("read", on_disk(reads=False), Ends.OUTSIDE),
        ("__write_nocancel", on_disk(reads=False), Ends.FILE_SYSTEM),
        ("kevent", on_disk(), Ends.OUTSIDE),
        # What is not shown may bring it something.
        ("read", opened(peers=(), kind="other", reads=None, unseen=True), Ends.UNSEEN),
        ("write", opened(peers=(), kind="other", reads=None, unseen=True), Ends.UNSEEN),
        ("kevent", opened(peers=(), kind="socket", reads=None, unseen=True), Ends.UNSEEN),
        ("__recvfrom", opened(peers=(), kind="udp", reads=None), Ends.OUTSIDE),
        ("read", opened(peers=(), kind="device"), Ends.OUTSIDE),
    ],
)  # fmt: skip
def test_a_pipe_or_stream_is_followed_to_its_other_end(call, link, end):
    chain = at_a_file(call, link)
    assert chain.end.kind is end
    if end is Ends.DEAD:
        assert [one.pid for one in chain.links] == [1, 2]


def test_of_several_pipes_one_whose_other_end_lives_is_enough():
    stuck, elsewhere = opened(), opened(peers=(71,))
    assert at_a_file("read", stuck, elsewhere).end.kind is Ends.PROGRAM
    assert at_a_file("read", stuck, child="__semwait_signal").alive
    # Who reads a file may read what is typed. Who reads a pipe in C does not.
    typed = opened(kind="terminal", peers=(), reads=None, person=True)
    assert at_a_file("read", stuck, typed).end.kind is Ends.DEAD


def test_the_file_is_named_and_who_of_the_tree_may_hold_its_lock():
    assert "for the lock of the file it.lock" in at_a_file("flock", on_disk()).describe()
    shared = replace(on_disk(), peers=(2,))
    stuck = at_a_file("flock", shared)
    assert stuck.end.kind is Ends.PROGRAM
    assert "which process 2" in stuck.links[0].detail
    assert at_a_file("flock", shared, child="__semwait_signal").alive
    read = at_a_file("read", on_disk(), on_disk(fs="unknown", told="a file that is silent"))
    assert read.end.detail == "waits for a file that is silent"


def test_a_child_may_write_to_the_device_that_its_parent_reads():
    """As one on a terminal of its own, which its parent has opened for it."""
    master = opened(kind="device", peers=(), reads=None)
    for links in ((master,), (master, on_disk())):
        assert at_a_file("read", *links, child="__semwait_signal").alive
        assert at_a_file("read", *links).end.kind is Ends.OUTSIDE


def beating(call: str, *links: Link, **did: object) -> Chain:
    """Main waits for a lock, beside a thread that goes on in a beat in `call`; `did`: of that."""
    doings = Doings(**{"seconds": 20.0, "wakes": 20, "cpu_s": 0.001, "looks": 3, **did})
    both = [
        thread(tid, syscall=None, wchan=None, switches=None, cpu_s=cpu_s)
        for tid, cpu_s in ((5, 9.0), (6, 0.1))
    ]
    observed = seen(
        process(1, *both, main=5), shows_waits=False, files={1: links},
        stacks={1: ((*leaf("__psynch_cvwait"), *leaf(call, 6)),) * 2},
        rearmed={6: 9}, doings={6: doings},
    )  # fmt: skip
    return chain_of(observed)


OUTPUT = opened(peers=(71,), reads=False)


def test_nobody_ends_a_wait_beside_a_thread_that_gets_nothing_and_does_not_compute():
    for call, link in (("__semwait_signal", OUTPUT), ("kevent", opened(only_own=True, peers=()))):
        chain = beating(call, link)
        assert (chain.end.kind, chain.believed) == (Ends.DEAD, True)
        assert "nobody is seen who would end that wait" in chain.describe()


@pytest.mark.parametrize(
    ("links", "did"),
    [
        ((), {}),  # its files are not told
        ((OUTPUT, opened(kind="tcp", reads=None, remote="10.0.0.5:443")), {}),
        ((OUTPUT, opened(kind="udp", peers=(), reads=None)), {}),
        ((OUTPUT, opened(kind="file", peers=())), {}),
        ((OUTPUT, opened(kind="other", peers=(), reads=None, unseen=True)), {}),
        ((OUTPUT,), {"looks": 2}),
        ((OUTPUT,), {"cpu_s": None}),
        ((OUTPUT,), {"cpu_s": 0.02}),
        ((OUTPUT,), {"varied": True}),
    ],
)
def test_who_may_be_brought_something_or_computes_may_work_for_it(links, did):
    assert beating("__semwait_signal", *links, **did).end.kind is Ends.POLLS


def test_a_thread_that_has_always_been_in_its_beat_is_not_taken_for_the_one_that_trains():
    def candidates(age_s):
        def look(used):
            each = ((5, 0.5), (6, 0.3 + used))
            both = [thread(tid, syscall=None, wchan=None, switches=None, cpu_s=cpu_s)
                    for tid, cpu_s in each]  # fmt: skip
            return process(1, *both, main=5)

        stacks_of = {1: ((*leaf("__psynch_cvwait"), *leaf("__semwait_signal", 6)),) * 2}
        more = {1: More(started=10**15, age_s=age_s, moves=1)}
        observed = seen(
            look(0.0), later=(look(0.02),), shows_waits=False, stacks=stacks_of, more=more,
            rearmed={6: 9},
        )  # fmt: skip
        return [node.tid for node in Facts(observed).candidates(1)]

    assert candidates(20.0) == [5]
    assert candidates(1.0) == [5, 6]  # it has used more before
    assert candidates(None) == [5, 6]


def test_an_event_loop_that_wakes_again_and_again_may_work_by_its_own_clock():
    def chain(*links, woke=9, seconds=9.0):
        observed = seen(
            quiet(1, [5]), shows_waits=False, stacks={1: (leaf("kevent"),) * 2},
            files={1: links}, rearmed={5: woke}, doings={5: Doings(seconds=seconds, wakes=woke)},
        )  # fmt: skip
        return chain_of(observed)

    own = opened(kind="local_socket", peers=(), only_own=True, reads=None)
    remote = opened(kind="socket", peers=(), reads=None)
    nothing = opened(kind="device", peers=(), reads=True)  # as /dev/null is
    for links in ((own, OUTPUT), (own, nothing), (), (own, remote)):
        assert chain(*links).believed
    assert chain(own, OUTPUT).end.kind is Ends.POLLS
    assert chain(own, remote).end.kind is Ends.NETWORK
    assert chain(own, nothing, woke=0).end.kind is Ends.OUTSIDE
    once = chain(own, nothing, woke=0)
    assert "waits, perhaps with a timeout, for" in once.describe()
    assert (once.alive, once.believed) == (False, True)
    assert not chain(own, nothing, woke=0, seconds=Policy().clock_believed_s).believed


def test_who_waits_for_a_disk_waits_for_no_person():
    typed = opened(kind="terminal", peers=(), reads=None, person=True)
    for state, end in (("S", Ends.PERSON), ("D", Ends.OUTSIDE)):
        waits = process(1, thread(5, syscall=None, wchan=None, state=state), main=5)
        observed = seen(waits, shows_waits=False, stacks={1: (leaf("read"),)}, files={1: (typed,)})
        assert chain_of(observed).end.kind is end


def test_a_server_that_waits_for_its_client_has_nothing_to_do():
    parent, below = quiet(1, [5]), quiet(2, [6], ppid=1)
    pair = {"told": "a socket", "kind": "local_socket"}
    files = {1: (Link(peers=(2,), **pair),), 2: (Link(peers=(1,), **pair),)}

    def chain(call):
        stacks_of = {1: (leaf(call),), 2: (leaf("__recvfrom", 6),)}
        return chain_of(seen(parent, below, shows_waits=False, stacks=stacks_of, files=files))

    assert chain("kevent").end.kind is Ends.OUTSIDE  # it may only sleep
    assert chain("__recvfrom").end.kind is Ends.CYCLE


def locked(tid: int, owner: Owner | None, name: str = "") -> ThreadStack:
    """A thread that waits for a mutex, with the owner that the kernel names."""
    (one,) = leaf("__psynch_mutexwait", tid)
    return replace(one, owner=owner, main=tid == 5, name=name)


def mutexes(*owners: Owner | None, before: tuple[Owner | None, ...] = ()) -> Observation:
    """Threads 5, 6, ..., each with the owner that it waits for; `before`: at the first capture."""
    first, last = (
        tuple(locked(5 + place, owner) for place, owner in enumerate(each))
        for each in (before or owners, owners)
    )
    return on_mac(first, last)


def said(observed: Observation) -> Says:
    return decide(Subject(Facts(observed), observed.root)).says


def test_owners_that_wait_for_one_another_are_a_deadlock_on_the_kernels_word():
    told = said(mutexes(Owner(pid=1, tid=6), Owner(pid=1, tid=5, deadlock=True)))
    assert told.answer is Answer.DEADLOCK
    assert "turnstiles" in told.evidence["told_by"]
    assert told.summary.endswith("main and thread 6 wait for one another")
    alone = said(mutexes(Owner(pid=1, tid=5)))
    assert (alone.answer, alone.chain.end.kind) == (Answer.DEADLOCK, Ends.CYCLE)
    assert alone.summary.endswith("waits for itself to release a lock")
    through = said(mutexes(Owner(pid=1, tid=5, deadlock=True)))
    assert through.summary.endswith("waits for itself, through the locks of others")


def test_a_thread_that_waits_for_a_cycle_waits_for_ever():
    into = mutexes(Owner(pid=1, tid=6), Owner(pid=1, tid=7), Owner(pid=1, tid=6))
    told = said(into)
    assert told.answer is Answer.DEADLOCK
    assert [link.tid for link in told.chain.links] == [5, 6, 7]


@pytest.mark.parametrize(
    "observed",
    [
        mutexes(None, Owner(pid=1, tid=5)),
        mutexes(Owner(pid=1, tid=6), None),
        mutexes(Owner(pid=1, tid=6), Owner(pid=1, tid=7)),  # which is not seen
        mutexes(Owner(pid=1, tid=6), Owner(pid=71)),
        # At one capture it was another one's, or nobody's.
        mutexes(Owner(pid=1, tid=6), Owner(pid=1, tid=5),
                before=(Owner(pid=1, tid=6), Owner(pid=1, tid=9))),
        mutexes(Owner(pid=1, tid=6), Owner(pid=1, tid=5), before=(Owner(pid=1, tid=6), None)),
        on_mac(tuple(locked(5, Owner(pid=1, tid=5)) for _ in "1")),  # only one capture
        replace(mutexes(Owner(pid=1, tid=5)), shows_waits=True),
    ],
)  # fmt: skip
def test_what_the_kernel_does_not_say_each_time_proves_nothing(observed):
    assert said(observed).answer is not Answer.DEADLOCK


def test_a_thread_that_ran_between_the_looks_is_in_no_proven_cycle():
    still = mutexes(Owner(pid=1, tid=5))
    assert said(still).answer is Answer.DEADLOCK
    window = still.windows[0]
    ran = replace(quiet(1, [5]), threads=(thread(5, syscall=None, cpu_s=1.5),), main=5)
    moved = (*window[:-1], replace(window[-1], processes=(ran,)))
    assert said(replace(still, windows=(moved, still.windows[1]))).answer is not Answer.DEADLOCK


def test_an_owner_in_another_process():
    assert chain_of(mutexes(Owner(pid=71, tid=9))).end.kind is Ends.PROGRAM
    works = mutexes(Owner(pid=1, tid=6), None)
    stacks_of = {
        1: tuple((capture[0], *leaf("__semwait_signal", 6)) for capture in works.stacks[1])
    }
    assert chain_of(replace(works, stacks=stacks_of)).end.kind is Ends.CLOCK


@pytest.mark.parametrize(
    ("busy", "power_w", "told"), [(100, 3.2, True), (100, 31.0, False), (60, 3.2, False),
                                  (100, None, False)],
)  # fmt: skip
def test_a_gpu_that_is_busy_and_draws_little_may_spin_at_a_fence(busy, power_w, told):
    use = GpuUse(own=busy, named=True, busy=busy, power_w=power_w)
    captured = stacks(GPU_WAIT)
    found = on_mac(captured, captured, on_gpu=frozenset([1]), gpu_use=use)
    end = chain_of(found).end
    assert end.kind is Ends.GPU_WORKS
    assert ("3.2 W only, as where a fence spins" in end.detail) is told


POWERMETRICS = """*** Sampled system activity (Fri Nov 15 10:00:00 2024 -0800) (502ms elapsed) ***

**** GPU usage ****

GPU HW active frequency: 1380 MHz
GPU HW active residency: 100.00% (389 MHz: 0% 1380 MHz: 100%)
GPU idle residency:   0.00%
GPU Power: 3201 mW
"""


def test_root_is_told_what_the_gpu_draws(monkeypatch):
    assert gpu.watts(POWERMETRICS) == pytest.approx(3.201)
    assert gpu.watts("GPU Power: unknown") is None
    monkeypatch.setattr(gpu, "APART_S", 0.0)
    monkeypatch.setattr(gpu, "power", lambda stop: 3.2)
    for root, busy, watts in ((0, 98, 3.2), (501, 98, None), (0, 40, None)):
        readings = iter([reading(0, busy, p1=0), reading(1, busy, p1=10**9)])
        monkeypatch.setattr(gpu, "read", lambda stop, readings=readings: next(readings))
        monkeypatch.setattr(gpu.os, "geteuid", lambda root=root: root)
        assert Registry().gpus([1]).use.power_w == watts


WAITS_AND_WORKS = parse(
    "sample",
    "Call graph:\n    20 Thread_5: Main Thread\n    + 20 mine  (in app) + 4  [0x1]\n"
    "    +   20 __psynch_cvwait  (in libsystem_kernel.dylib) + 8  [0x2]\n"
    "    20 Thread_6\n    + 20 theirs  (in app) + 4  [0x3]\n"
    "    +   20 multiplies  (in libBLAS.dylib) + 8  [0x4]\n",
    1,
)
"""A main thread that waits for another one, which computes at each look of `sample`."""
ANY_TIME = st.sampled_from((0.0, 1.0, 1.001, 5.0, 1e9))


@given(
    times=st.lists(st.tuples(ANY_TIME, ANY_TIME), min_size=2, max_size=2),
    states=st.lists(
        st.tuples(st.sampled_from("RSD"), st.sampled_from("RSD")), min_size=2, max_size=2
    ),
    total=st.tuples(ANY_TIME, ANY_TIME),
    moves=st.sampled_from((None, 0, 40)),
    io=st.sampled_from((None, 0, 100)),
    captures=st.sampled_from((1, 2)),
)
def test_whatever_the_counters_say_who_is_seen_to_compute_goes_on(
    times, states, total, moves, io, captures
):
    def look(at: int) -> Process:
        both = (
            thread(
                tid,
                syscall=None,
                wchan=None,
                switches=None,
                state=states[at][place],
                cpu_s=times[at][place],
            )
            for place, tid in enumerate((5, 6))
        )
        return process(1, *both, main=5, cpu_s=total[at], io_bytes=io)

    observed = seen(
        look(0), later=(look(1),), shows_waits=False, more={1: More(started=1, moves=moves)},
        stacks={1: (WAITS_AND_WORKS,) * captures},
    )  # fmt: skip
    assert chain_of(observed).alive
