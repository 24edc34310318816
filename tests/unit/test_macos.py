"""macOS's libproc, sysctl and Mach: structures as in XNU, and what is made of the answers."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.detect.blindness import blind
from harness.observe import environment
from harness.observe.macos import developer, kernel, layouts, memory, socket_layouts, tree
from harness.observe.macos.layouts import (
    BsdInfo,
    Rusage,
    SwapUsage,
    TaskAllInfo,
    ThreadInfo,
    VmStatistics,
)
from harness.observe.macos.platform import MacOS

OFFSETS = Path(__file__).parents[1] / "macos" / "xnu_offsets.txt"
"""As gcc lays out the structures of XNU: structure, field, offset; `-` is the size."""
OF_XNU = {**layouts.OF_XNU, **socket_layouts.OF_XNU}
MAIN, OTHER = 35_070_053, 35_070_054


def layout() -> list[tuple[str, str, int]]:
    lines = (line.split() for line in OFFSETS.read_text(encoding="utf-8").splitlines())
    return [(name, field, int(at)) for name, field, at in lines]


def test_structures_are_those_of_xnu() -> None:
    checked = set()
    for name, field, at in layout():
        if name not in OF_XNU:
            continue
        kind = OF_XNU[name]
        found = ctypes.sizeof(kind) if field == "-" else getattr(kind, field).offset
        assert found == at, (name, field)
        checked.add((name, field))
    of_some = {"proc_taskallinfo"}  # of which only the size is known; its parts are checked
    for name, kind in OF_XNU.items():
        fields = {field for field, *_ in kind._fields_} if name not in of_some else set()
        assert {(name, field) for field in (fields | {"-"})} <= checked, name


class Kernel:
    """A kernel that knows one process, with its threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.task = TaskAllInfo()
        self.task.pbsd.pbi_status, self.task.pbsd.pbi_ppid = 2, 1
        self.task.pbsd.pbi_comm, self.task.pbsd.pbi_name = b"python3.14", b"python3.14 long"
        self.task.ptinfo.pti_threadnum = 2
        self.task.ptinfo.pti_total_user = 24_000_000  # Mach ticks: a second on Apple silicon
        self.task.ptinfo.pti_csw, self.task.ptinfo.pti_syscalls_unix = 5, 7
        self.threads = {MAIN: self.thread(3, 2_000_000_000), OTHER: self.thread(3, 0)}
        self.refused: set[str] = set()
        self.tick: float | None = 125 / 3 / 1e9
        put = monkeypatch.setattr
        put(kernel, "task", lambda pid: None if self.no("task", pid) else self.task)
        put(kernel, "process", lambda pid: None)
        put(kernel, "children", lambda pid: ())
        put(kernel, "thread_ids", lambda pid, about: (tuple(self.threads), True))
        put(kernel, "thread", lambda pid, tid, number: self.threads[tid])
        put(kernel, "rusage", lambda pid: None if self.no("rusage", pid) else self.rusage())
        put(kernel, "tick_s", lambda: self.tick)

    def no(self, what: str, pid: int) -> bool:
        return pid != 7 or what in self.refused

    @staticmethod
    def thread(state: int, user_ns: int) -> ThreadInfo:
        info = ThreadInfo()
        info.pth_run_state, info.pth_user_time, info.pth_name = state, user_ns, b"loader"
        return info

    @staticmethod
    def rusage() -> Rusage:
        used = Rusage()
        used.ri_phys_footprint, used.ri_diskio_bytesread, used.ri_diskio_byteswritten = 9, 3, 4
        return used


@pytest.fixture
def one(monkeypatch):
    return Kernel(monkeypatch)


def test_a_process_is_shown_with_its_threads_and_times(one):
    (seen,) = tree.processes([7, 7, 8])
    assert (seen.pid, seen.ppid, seen.name, seen.state) == (7, 1, "python3.14 long", "S")
    assert seen.cpu_s == pytest.approx(1.0)
    assert seen.io_bytes == 7
    assert seen.main_thread == MAIN
    assert [(t.tid, t.state, t.cpu_s) for t in seen.threads] == [(MAIN, "S", 2.0), (OTHER, "S", 0)]
    assert blind([seen], 7) == ""


@pytest.mark.parametrize(
    ("states", "status", "flags", "shown"),
    [
        ((3, 1), 2, 0, ("S", "SR")),
        ((1, 3), 2, 0, ("R", "RS")),
        ((4, 3), 2, 0, ("D", "DS")),
        ((3, 3), 4, 0, ("T", "TT")),
        ((3, 3), 4, 2, ("t", "tt")),
        ((2, 2), 2, 0, ("t", "tt")),  # suspended from outside, as by sample
        ((9, 0), 2, 0, ("S", "SS")),  # a state that is not known says nothing of work
    ],
)
def test_states_are_those_of_threads_and_of_stops(one, states, status, flags, shown):
    one.threads = {
        tid: one.thread(state, 1000) for tid, state in zip((MAIN, OTHER), states, strict=True)
    }
    one.task.pbsd.pbi_status, one.task.pbsd.pbi_flags = status, flags
    (seen,) = tree.processes([7])
    assert (seen.state, "".join(thread.state for thread in seen.threads)) == shown


def test_what_is_refused_is_missing_and_nothing_raises(one):
    one.refused, one.tick = {"rusage"}, None
    (seen,) = tree.processes([7])
    assert (seen.io_bytes, seen.cpu_s) == (None, 2.0)
    one.threads = {}
    (hidden,) = tree.processes([7])
    assert "threads of other processes cannot be read" in blind([hidden], 7)
    one.refused = {"task"}
    assert tree.processes([7]) == ()
    assert MacOS("darwin", "arm64").more(seen) is None
    assert MacOS("darwin", "arm64").holds([7]) == ()


def test_a_process_that_has_ended_is_no_blindness(one, monkeypatch):
    gone = BsdInfo()
    gone.pbi_status, gone.pbi_ppid, gone.pbi_comm = 5, 3, b"python3.14"
    monkeypatch.setattr(kernel, "task", lambda pid: None)
    monkeypatch.setattr(kernel, "process", lambda pid: gone)
    (seen,) = tree.processes([7])
    assert (seen.state, seen.ppid, seen.threads) == ("Z", 3, ())
    assert blind([seen], 7) == ""
    gone.pbi_status = 2  # it only cannot be read
    assert tree.processes([7]) == ()


def test_threads_that_are_not_all_listed_or_have_no_times_are_not_believed(one):
    one.task.ptinfo.pti_threadnum = 3
    assert [seen.threads for seen in tree.processes([7])] == [()]
    one.task.ptinfo.pti_threadnum = 1  # one has come since
    assert len(tree.processes([7])[0].threads) == 2
    one.threads = {MAIN: one.thread(3, 0), OTHER: one.thread(1, 0)}
    (seen,) = tree.processes([7])
    assert "threads of other processes cannot be read" in blind([seen], 7)


def test_one_that_is_listed_as_a_child_and_names_another_parent_is_none(one, monkeypatch):
    monkeypatch.setattr(kernel, "children", lambda pid: (8,) if pid == 7 else (7, 8))
    monkeypatch.setattr(kernel, "task", lambda pid: one.task)
    assert [process.pid for process in tree.processes([7])] == [7]
    one.task.pbsd.pbi_ppid = 7
    assert [process.pid for process in tree.processes([7])] == [7, 8]


def test_where_no_child_is_listed_each_names_its_parent(one, monkeypatch):
    """Else a child would be another program, and its parent be ended for waiting for it."""
    infos = {pid: BsdInfo() for pid in (7, 8, 9)}
    infos[8].pbi_ppid, infos[9].pbi_ppid = 7, 1
    tasks = {pid: TaskAllInfo.from_buffer_copy(one.task) for pid in (7, 8)}
    tasks[8].pbsd.pbi_ppid = 7
    monkeypatch.setattr(kernel, "task", lambda pid: tasks.get(pid, one.task))
    monkeypatch.setattr(kernel, "process", infos.get)
    monkeypatch.setattr(kernel, "of_user", lambda uid: (7, 8, 9))
    assert [process.pid for process in tree.processes([7])] == [7, 8]
    # Its own parent lists it: what lists nothing has none.
    monkeypatch.setattr(kernel, "children", lambda pid: (7,) if pid == 1 else ())
    assert [process.pid for process in tree.processes([7])] == [7]


def test_a_child_that_a_debugger_has_is_one_all_the_same(one, monkeypatch):
    monkeypatch.setattr(kernel, "children", lambda pid: (8,) if pid == 7 else ())
    monkeypatch.setattr(kernel, "task", lambda pid: one.task)
    traced = BsdInfo()
    traced.pbi_flags = 2
    monkeypatch.setattr(kernel, "process", lambda pid: traced)
    assert [process.pid for process in tree.processes([7])] == [7, 8]


def test_what_moves_is_counted_until_a_counter_is_full(one):
    (seen,) = tree.processes([7])
    here = MacOS("darwin", "arm64")
    assert here.more(seen).moves == 12
    one.task.ptinfo.pti_messages_sent = 2**31 - 1
    assert here.more(seen).moves is None


def test_threads_are_found_by_where_they_keep_their_data(one, monkeypatch):
    here = MacOS("darwin", "arm64")
    monkeypatch.setattr(kernel, "handles", lambda pid, about: (0x1000, 0x2000))
    assert here.pthreads(7) == {0x1000: MAIN, 0x2000: OTHER}
    # One has gone in between, or nothing is numbered.
    monkeypatch.setattr(kernel, "handles", lambda pid, about: (0x1000,))
    assert here.pthreads(7) == {}
    monkeypatch.setattr(kernel, "handles", lambda pid, about: (0x1000, 0x2000))
    lists = iter([((MAIN, OTHER), True), ((OTHER, MAIN), True)])
    monkeypatch.setattr(kernel, "thread_ids", lambda pid, about: next(lists))
    assert here.pthreads(7) == {}
    monkeypatch.setattr(kernel, "thread_ids", lambda pid, about: ((0x1000, 0x2000), False))
    assert here.pthreads(7) == {}


def test_the_machines_memory(monkeypatch):
    pages, swap = VmStatistics(), SwapUsage()
    pages.free_count, pages.inactive_count, pages.compressor_page_count = 10, 5, 3
    pages.pageouts, pages.decompressions = 2**33, 8
    swap.xsu_used = 77
    numbers = {"vm.pagesize": 16384, "kern.memorystatus_vm_pressure_level": 2}
    monkeypatch.setattr(kernel, "pages", lambda: pages)
    monkeypatch.setattr(kernel, "swap", lambda: swap)
    monkeypatch.setattr(kernel, "number", numbers.get)
    whole = memory.machine(whole=True)
    assert (whole.available, whole.swap_used) == (15 * 16384, 77)
    assert (whole.compressed, whole.pressure_level) == (3 * 16384, 2)
    assert (whole.page_outs, whole.decompressions) == (2**33, 8)
    assert (memory.machine().compressed, memory.machine().page_outs) == (None, None)
    numbers["kern.memorystatus_vm_pressure_level"] = 99
    assert memory.machine(whole=True).pressure_level is None
    monkeypatch.setattr(kernel, "pages", lambda: None)
    monkeypatch.setattr(kernel, "swap", lambda: None)
    assert (memory.machine(True).available, memory.machine(True).swap_used) == (None, None)


def test_the_footprint_is_that_of_the_processes_that_can_be_read(one):
    assert memory.footprint([7, 8]) == 9
    assert memory.footprint([8]) is None


def test_a_footprint_that_no_mac_has_was_not_measured(one, monkeypatch):
    wrong = one.rusage()
    wrong.ri_phys_footprint = 2**63
    monkeypatch.setattr(kernel, "rusage", lambda pid: wrong if pid == 7 else one.rusage())
    assert memory.footprint([7]) is None
    held = memory.Footprint().look([7, 8], 0.0, 1 << 30)
    assert held is not None
    assert (held.total, held.of) == (9, {8: 9})
    assert memory.Footprint().look([7], 0.0, 1 << 30) is None


def selects(monkeypatch, tools, found, code=0):
    """The developer tools are at `tools`, as xcode-select says; `found` is the g++ on the path."""
    started = []

    def run(command, **rest):
        started.append(command[0])
        if command[0] == "xcode-select" and tools is None:
            raise FileNotFoundError(2, "no such file", command[0])
        told = f"{tools}\n" if command[0] == "xcode-select" else "clang 17\n"
        return subprocess.CompletedProcess(command, code, stdout=told, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(environment.shutil, "which", lambda name: found)
    monkeypatch.setattr(environment.sys, "platform", "darwin")
    return started


@pytest.mark.parametrize(
    "place", ["usr/bin", "Toolchains/XcodeDefault.xctoolchain/usr/bin"], ids=["tools", "xcode"]
)
def test_the_real_compiler_is_started_in_place_of_apples_shim(monkeypatch, tmp_path, place):
    real = tmp_path / place / "g++"
    real.parent.mkdir(parents=True)
    real.write_text("")
    real.chmod(0o755)
    started = selects(monkeypatch, tmp_path, "/usr/bin/g++")
    monkeypatch.setattr(developer.os.path, "realpath", lambda path: path)  # it is no link there
    assert environment.compiler() == "clang 17"
    assert started == ["xcode-select", str(real)]


@pytest.mark.parametrize(
    ("tools", "code"), [(None, 0), ("/nowhere", 0), ("", 0), ("", 2)],
    ids=["none", "moved", "silent", "fails"],
)  # fmt: skip
def test_a_shim_is_never_started(monkeypatch, tmp_path, tools, code):
    link = tmp_path / "g++"
    link.symlink_to("/usr/bin/g++")
    monkeypatch.setattr(developer.os.path, "realpath", lambda path: "/usr/bin/g++")
    for found in ("/usr/bin/g++", str(link)):
        started = selects(monkeypatch, tools, found, code)
        assert environment.compiler() is None
        assert started == ["xcode-select"]


def test_a_compiler_of_homebrew_is_started_itself(monkeypatch):
    started = selects(monkeypatch, None, "/opt/homebrew/bin/g++")
    monkeypatch.setattr(developer.os.path, "realpath", lambda path: "/opt/homebrew/Cellar/g++")
    assert environment.compiler() == "clang 17"
    assert started == ["/opt/homebrew/bin/g++"]


def test_a_program_that_xcode_select_does_not_stand_for_is_itself():
    assert developer.program("/opt/homebrew/bin/g++") == "/opt/homebrew/bin/g++"


def test_without_the_libraries_everything_is_missing(monkeypatch):
    monkeypatch.setattr(kernel, "_library", lambda path: None)
    kernel.tick_s.cache_clear()
    kernel._host.cache_clear()
    try:
        assert (kernel.task(7), kernel.process(7), kernel.rusage(7)) == (None, None, None)
        assert (kernel.thread_ids(7, 3), kernel.thread(7, 1, True)) == (((), True), None)
        assert (kernel.children(7), kernel.files(7), kernel.pipe(7, 3)) == ((), (), None)
        assert (kernel.tick_s(), kernel.pages(), kernel.swap()) == (None, None, None)
        assert kernel.number("vm.pagesize") is None
    finally:
        kernel.tick_s.cache_clear()
        kernel._host.cache_clear()


@pytest.mark.skipif(sys.platform != "darwin", reason="asks a real Mac")
def test_a_real_mac_answers_as_its_source_says():
    other = threading.Event()
    beside = threading.Thread(target=other.wait, daemon=True)
    beside.start()
    try:
        (seen,) = tree.processes([os.getpid()])[:1]
        assert seen.ppid == os.getppid()
        assert seen.main_thread == threading.main_thread().native_id
        assert {thread.tid for thread in seen.threads} >= {seen.main_thread, beside.native_id}
        states = {thread.tid: thread.state for thread in seen.threads}
        assert states[beside.native_id] == "S"
        used = time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)
        assert seen.cpu_s == pytest.approx(used, rel=0.2, abs=0.5)
        more = MacOS("darwin", "arm64").more(seen)
        assert more is not None
        assert more.moves is not None
        whole = memory.machine(whole=True)
        assert (whole.available or 0) > 1 << 20
        assert whole.pressure_level is not None
        assert (memory.footprint([os.getpid()]) or 0) > 1 << 20
        ours, theirs = os.pipe()
        one, peer = kernel.pipe(os.getpid(), ours), kernel.pipe(os.getpid(), theirs)
        os.close(ours)
        os.close(theirs)
        assert one is not None
        assert peer is not None
        assert one.pipeinfo.pipe_peerhandle == peer.pipeinfo.pipe_handle
        assert peer.pipeinfo.pipe_peerhandle == one.pipeinfo.pipe_handle
    finally:
        other.set()
        beside.join()
