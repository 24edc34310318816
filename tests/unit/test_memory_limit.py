"""A bound on memory: what counts, when it is said, when a run is ended, and what is said of it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import fakes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import classify
from harness.analysis.findings import ending as from_outside
from harness.beats.record import Record
from harness.cli import memory_limit, watch
from harness.detect.memory_limit import Act, Rules
from harness.detect.policy import STANDARD
from harness.errors import UsageError
from harness.model import Ending, Outcome, Process, Snapshot
from harness.model.outcome import MemoryUse
from harness.model.settings import MemoryLimit
from harness.observe import gpu_memory
from harness.observe.footprint import Held
from harness.observe.gpu import Device
from harness.observe.linux import deep
from harness.observe.linux.memory import Footprint
from harness.supervise import memory_guard

MB = 1 << 20


def acts(*shares, every=0.25, asked_at=None):
    rules, told = Rules(), []
    for number, share in enumerate(shares):
        if number == asked_at:
            rules.asked(number * every)
        told.append(rules.look(number * every, share))
    return told, rules


# --- the rules


def test_it_is_said_once_and_ended_in_two_looks_that_agree():
    told, rules = acts(0.5, 0.9, 0.95, 0.97, 1.0, 1.01)
    assert told == [None, None, Act.SAY, None, None, Act.END]
    assert rules.reached


@pytest.mark.parametrize("between", [0.5, 0.89, None])
def test_a_spike_that_one_look_shows_does_nothing(between):
    told, rules = acts(*[2.0, between] * 20)
    assert set(told) == {None}
    assert not rules.reached


@given(st.lists(st.one_of(st.none(), st.floats(0.0, 0.8999)), max_size=30))
def test_below_the_band_nothing_is_ever_done(shares):
    assert set(acts(*shares)[0]) <= {None}


def test_it_is_said_again_only_once_it_was_calm_in_between():
    told, _ = acts(0.9, 0.9, 0.85, 0.9, 0.9, 0.8, 0.9, 0.9)
    assert [number for number, act in enumerate(told) if act] == [1, 7]


def test_a_checkpoint_has_its_time_and_no_more():
    looks = int(STANDARD.memory_grace_s / 0.25)
    told, _ = acts(*[1.05] * (looks + 3), asked_at=2)
    assert told[1] is Act.SAY
    assert set(told[2 : looks + 2]) == {None}
    assert told[looks + 2] is Act.END


def test_far_above_the_limit_no_checkpoint_is_waited_for():
    told, _ = acts(1.0, 1.0, 1.2, 1.2, asked_at=2)
    assert told == [None, Act.SAY, None, Act.END_NOW]


def test_after_a_checkpoint_that_helped_the_next_one_is_asked_for_anew():
    told, rules = acts(0.95, 0.95, 0.5, 1.0, 1.0, 1.0, asked_at=2)
    assert told[4:] == [Act.SAY, Act.END], rules


# --- what counts on Linux


def tree(processes, reads):
    """A reader of a /proc in which each process has these sizes, in MB."""
    names = {
        "status": ("RssAnon", "RssShmem", "VmSwap"),
        "smaps_rollup": ("Pss_Anon", "Pss_Shmem", "SwapPss"),
    }

    def read(path):
        _, _, pid, file = path.split("/")
        reads.append(file)
        sizes = processes.get(int(pid), {}).get(file)
        lines = zip(names[file], sizes, strict=True) if sizes else ()
        return "".join(f"{name}:\t{mb * 1024} kB\n" for name, mb in lines).encode()

    return read


def measured(processes, enough, reads=None, at=0.0, footprint=None):
    reads = [] if reads is None else reads
    one = footprint or Footprint(tree(processes, reads), clock=lambda: 0.0)
    held = one.look(tuple(processes), at, enough * MB)
    return None if held is None else held.total // MB


FORKED = {
    pid: {"status": (800, 0, 0), "smaps_rollup": (200, 0, 0)} for pid in (1, 2, 3, 4)
}  # one array, and three children that were forked from its owner


def test_pages_that_forked_children_share_count_once():
    assert measured(FORKED, enough=900) == 800


def test_the_bound_is_enough_where_it_is_below_what_matters():
    reads = []
    assert measured(FORKED, enough=4000, reads=reads) == 3200
    assert set(reads) == {"status"}


def test_one_process_that_holds_it_all_needs_no_walk_over_its_pages():
    reads = []
    small = {"status": (1, 0, 0), "smaps_rollup": (1, 0, 0)}
    assert measured({1: {"status": (990, 0, 8)}, 2: small}, enough=900, reads=reads) == 999
    assert set(reads) == {"status"}


def test_swapped_and_shared_memory_count():
    shared = {"status": (100, 500, 100), "smaps_rollup": (100, 250, 100)}
    assert measured({1: shared, 2: shared}, enough=500) == 900


def test_walks_take_a_small_part_of_the_time_and_between_them_one_that_grows_is_seen():
    reads, clock = [], iter(float(number) for number in range(100))
    processes = dict(FORKED)
    one = Footprint(tree(processes, reads), clock=lambda: next(clock))  # a walk takes 1 s
    assert measured(processes, 900, footprint=one, at=0.0) == 800
    processes[1] = {"status": (900, 0, 0), "smaps_rollup": (300, 0, 0)}
    walked = reads.count("smaps_rollup")
    assert measured(processes, 900, footprint=one, at=19.0) == 900
    assert reads.count("smaps_rollup") == walked
    assert measured(processes, 900, footprint=one, at=20.0) == 900
    assert reads.count("smaps_rollup") > walked


def test_forks_between_two_walks_add_nothing():
    clock = iter(float(number) for number in range(100))
    shared = {"status": (800, 0, 0), "smaps_rollup": (400, 0, 0)}
    one = Footprint(tree(processes := {1: shared, 2: shared}, []), clock=lambda: next(clock))
    assert measured(processes, 900, footprint=one, at=0.0) == 800
    processes |= FORKED
    assert measured(processes, 900, footprint=one, at=1.0) == 800


def test_where_no_walk_is_possible_nothing_that_may_be_shared_counts():
    processes = {pid: {"status": (800, 0, 0)} for pid in (1, 2)}
    assert measured(processes, enough=900) == 800


def test_of_a_process_that_is_gone_there_is_no_figure():
    assert measured({1: {}}, enough=1) is None


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_a_file_that_is_mapped_and_read_does_not_count(tmp_path):
    file = tmp_path / "weights"
    file.write_bytes(os.urandom(1 << 16) * 512)
    code = (
        "import mmap, sys; file = open(sys.argv[1], 'rb'); "
        "mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ); "
        "print(sum(mapped[::4096]) > 0, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as reader:
        assert reader.stdout.readline() == b"True\n"
        held = Footprint().look([reader.pid, os.getpid()], 0.0, 1)
        reader.communicate()
    assert held.of[reader.pid] < 32 * MB


# --- who gets the signal


def process(pid, ppid, name="python3"):
    return Process(pid=pid, ppid=ppid, name=name, state="S", cpu_s=0.0)


LAUNCHED = [process(1, 0, "mlx.launch"), process(2, 1), process(3, 1), process(4, 2), process(5, 4)]


@pytest.mark.parametrize(
    ("caught", "whom"),
    [
        ({1, 2, 3, 4, 5}, (1,)),
        ({2, 3, 4, 5}, (2, 3)),
        ({5}, (5,)),
        (set(), ()),
    ],
    ids=["the command", "ranks, and not their loaders", "far below", "nobody"],
)
def test_the_outermost_processes_with_a_handler_get_the_signal(caught, whom):
    assert memory_guard.handlers(LAUNCHED, lambda pid: pid in caught) == whom


def test_where_nobody_knows_of_handlers_the_command_alone_gets_it():
    assert memory_guard.handlers(LAUNCHED, lambda pid: None) == (1,)


def test_a_handler_is_seen_from_outside():
    before = signal.signal(signal.SIGUSR2, lambda *_: None)
    try:
        assert deep.catches(os.getpid(), signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert not deep.catches(os.getpid(), signal.SIGUSR2)
    assert deep.catches(2**30, signal.SIGUSR2) is None


# --- GPUs


def test_the_gpu_of_which_most_is_held_counts():
    devices = [
        Device(total=80, held=((7, 10), (8, 50), (9, 79))),
        Device(total=40, held=((7, 20),)),
    ]
    held, total = gpu_memory.fullest(devices, {7, 8})
    assert (held.total, held.of, total) == (60, {7: 10, 8: 50}, 80)
    assert gpu_memory.fullest(devices, {1}) is None


def test_the_driver_is_asked_in_a_thread_and_not_too_often(monkeypatch):
    asked, gate = [], threading.Event()

    def ask():
        asked.append(threading.current_thread().name)
        assert gate.wait(60)
        return [Device(total=80, held=((7, 10),))]

    platform = SimpleNamespace(devices=lambda pid: ("/dev/nvidia0",))
    monkeypatch.setattr(gpu_memory.platform, "current", lambda: platform)
    memory = gpu_memory.GpuMemory(ask)
    assert memory.look([7], time.monotonic()) is None
    gate.set()
    memory._thread.join(60)
    held, total = memory.look([7], time.monotonic())
    assert (held.total, total, memory.number, len(asked)) == (10, 80, 1, 1)
    assert memory.look([7], time.monotonic() + 1000.0) is None  # too old to say anything


# --- one run


class Measured:
    def __init__(self, *sizes):
        self.sizes = list(sizes)

    def look(self, pids, now, enough):
        size = self.sizes.pop(0)
        return None if size is None else Held(total=size, of={1: size - 1, 2: 1})


def guarded(*sizes, name="", caught=()):
    run = SimpleNamespace(notes=[], clock=SimpleNamespace(start=100.0))
    guard = memory_guard.MemoryGuard(MemoryLimit(size=100, signal=name), run)
    guard._footprint = Measured(*sizes)
    guard._gpus = SimpleNamespace(look=lambda pids, now: None)
    over = [
        guard.look(Snapshot(t=100.0 + at / 4, processes=(process(1, 0), process(2, 1))))
        for at in range(len(sizes))
    ]
    return guard, over, run.notes


def test_a_run_that_grows_is_told_of_and_ended():
    guard, over, notes = guarded(50, 92, 94, 101, 102, 103)
    assert over == [False] * 4 + [True, True]
    use = guard.used(ended=True)
    assert (use.peak, use.near_s, use.reached_s) == (103, 0.5, 1.0)
    assert use.processes[0] == {"pid": 1, "name": "python3", "bytes": 101}
    assert notes == ["memory: 94 B, 94 % of the limit", "memory: 102 B, the limit is 100 B"]


def test_memory_that_cannot_be_measured_ends_nothing():
    guard, over, notes = guarded(*[None] * 10)
    assert (set(over), notes, guard.used(ended=False).peak) == ({False}, [], None)


def test_there_is_time_for_stacks_unless_it_grows_far_above_the_limit():
    guard, _, _ = guarded(*[150] * 3)
    assert (guard.over, guard.late) == (True, False)
    guard, _, _ = guarded(*[150] * 9)
    assert guard.late


def test_the_signal_is_sent_to_a_process_with_a_handler(monkeypatch):
    sent = []
    platform = SimpleNamespace(
        footprint=lambda: None, catches=lambda pid, number: pid == 2 and number == signal.SIGUSR1
    )
    monkeypatch.setattr(memory_guard.platform, "current", lambda: platform)
    monkeypatch.setattr(memory_guard.os, "kill", lambda pid, number: sent.append((pid, number)))
    guard, over, notes = guarded(95, 95, 102, 102, 102, name="USR1")
    assert sent == [(2, signal.SIGUSR1)]
    assert set(over) == {False}  # it has time to save
    assert notes[0] == "memory: 95 B, 95 % of the limit; SIGUSR1 was sent to 1 process"
    assert guard.used(ended=False).sent_to == (2,)


def test_a_process_without_a_handler_gets_no_signal(monkeypatch):
    platform = SimpleNamespace(footprint=lambda: None, catches=lambda pid, number: False)
    monkeypatch.setattr(memory_guard.platform, "current", lambda: platform)
    monkeypatch.setattr(memory_guard.os, "kill", lambda *_: pytest.fail("it would end it"))
    _, over, notes = guarded(95, 95, 102, 102, name="USR1")
    assert over[-1]
    assert "no process has a handler of SIGUSR1, so it was not sent" in notes[0]


# --- what is said of it

USE = MemoryUse(
    limit=100 * MB,
    peak=104 * MB,
    near_s=3.0,
    asked="USR1",
    sent_to=(7,),
    sent_s=3.0,
    reached_s=9.0,
    processes=(
        {"pid": 7, "name": "python3", "bytes": 90 * MB},
        {"pid": 8, "name": "python3", "bytes": 14 * MB},
    ),
    ended=True,
)


def result(**fields):
    ending = Ending(wall_s=12.0, **{"signal": "SIGTERM", "memory": USE} | fields)
    return classify.classify(Record(), ending, fakes.info("train.py"), None)


def test_a_run_that_was_ended_is_unfinished_and_has_its_reason():
    made = result(doing="it sleeps")
    assert made.outcome is Outcome.UNFINISHED
    assert made.reason == (
        "stopped by --memory-limit during start-up: 104 MiB of memory were in use, and the limit "
        "is 100 MiB (python3, process 7: 90 MiB); it sleeps"
    )
    (finding,) = made.findings
    assert (finding.code, finding.severity.value) == ("memory_limit", "error")
    assert finding.summary.endswith("; SIGUSR1 was sent to 1 process 3 s after the start")
    memory = made.metrics.memory
    assert (memory.limit, memory.limited_peak) == (100 * MB, 104 * MB)
    assert watch.exit_code(fakes.run(made), argparse.Namespace(fail_on=None, exit_code="own")) == 75


def codes(**fields):
    use = MemoryUse(**{"limit": 100, "peak": 50} | fields)
    ending = Ending(wall_s=1.0, exit_code=0, memory=use)
    return [finding.code for finding in from_outside.find(ending)]


def test_what_is_found_follows_how_far_it_came():
    assert codes() == []
    assert codes(near_s=1.0) == ["memory_limit_near"]
    assert codes(near_s=1.0, reached_s=2.0) == ["memory_limit"]
    assert codes(peak=None) == ["memory_limit_unseen"]


def test_one_that_ends_by_itself_after_the_limit_still_has_our_exit_code():
    made = result(memory=MemoryUse(limit=100, peak=103, near_s=1.0, reached_s=2.0), signal=None,
                  exit_code=0)  # fmt: skip
    assert "ended by itself" in made.findings[0].summary
    assert watch.exit_code(fakes.run(made), argparse.Namespace(fail_on=None, exit_code="own")) == 75


# --- the command line


def given_options(*argv):
    parser = argparse.ArgumentParser(exit_on_error=False)
    memory_limit.add(parser)
    return memory_limit.of(parser.parse_args(argv))


def test_a_bound_is_a_size_or_a_share():
    assert given_options() is None
    assert given_options("--memory-limit", "24GiB") == MemoryLimit(size=24 << 30)
    share = given_options("--memory-limit", "80%", "--on-memory-signal", "sigusr1")
    assert share == MemoryLimit(share=0.8, signal="USR1")
    assert (share.of(1000), MemoryLimit(size=7).of(1000)) == (800, 7)


@pytest.mark.parametrize(
    "argv",
    [["--memory-limit", "0%"], ["--memory-limit", "101%"], ["--memory-limit", "24"],
     ["--memory-limit", "1GB", "--on-memory-signal", "KILL"]],
)  # fmt: skip
def test_a_bound_that_cannot_be_used(argv):
    with pytest.raises(argparse.ArgumentError):
        given_options(*argv)


def test_a_signal_needs_a_bound():
    with pytest.raises(UsageError, match="--memory-limit"):
        given_options("--on-memory-signal", "USR1")
