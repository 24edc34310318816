"""The proof on real processes: the dead are proven so, what something can wake never is."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from harness.detect import deadlock
from harness.detect.chain.closure import closed, prove
from harness.detect.chain.links import Node
from harness.detect.policy import STANDARD

pytestmark = [pytest.mark.waits, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

from harness.observe import linux  # noqa: E402
from harness.observe.linux import deep, freezer  # noqa: E402
from harness.supervise.gather import Gatherer  # noqa: E402

DEAD = {
    "event": "threading.Event().wait()",
    "lock taken twice": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "queue": "import queue; queue.Queue().get()",
    "joined thread": "t = threading.Thread(target=threading.Event().wait); t.start(); t.join()",
    "two locks": (
        "a, b = threading.Lock(), threading.Lock()\n"
        "both = threading.Barrier(2)\n"
        "def take(one, other):\n"
        "    with one:\n"
        "        both.wait()\n"
        "        other.acquire()\n"
        "threading.Thread(target=take, args=(a, b)).start()\n"
        "take(b, a)"
    ),
    "waits for a dead child": (
        "child = os.fork()\nif child == 0: threading.Event().wait()\nos.waitpid(child, 0)"
    ),
    "waits for one dead child beside one that has ended": (
        "os.fork() or os._exit(0)\n"
        "child = os.fork()\nif child == 0: threading.Event().wait()\nos.waitpid(child, 0)"
    ),
    "waits for a dead child by another call": (
        "os.fork() or os._exit(0)\n"
        "child = os.fork()\nif child == 0: threading.Event().wait()\n"
        "os.waitid(os.P_PID, child, os.WEXITED)"
    ),
    "a lock of processes of which the others are gone": (
        "import multiprocessing as m; s = m.Semaphore(0); s.acquire()"
    ),
    "an idle socket and pipe": (
        "import socket; kept = socket.socketpair(), os.pipe(); threading.Event().wait()"
    ),
    "a zombie beside it": "os.fork() or os._exit(0); threading.Event().wait()",
    "a signal that is blocked": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])\n"
        "os.kill(os.getpid(), signal.SIGUSR2); threading.Event().wait()"
    ),
    "pipe": ("r, w = os.pipe(); os.read(r, 1)"),
    "full pipe": ("r, w = os.pipe(); os.write(w, b'x' * (1 << 22))"),
    "socket": ("import socket; a, b = socket.socketpair(); a.recv(1)"),
    "a socket that only sends with a timeout": (
        "import socket, struct; a, b = socket.socketpair()\n"
        "a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('ll', 600, 0)); a.recv(1)"
    ),
    "a socket with a timeout that does not count for who polls": (
        "import select, socket, struct; a, b = socket.socketpair()\n"
        "a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 600, 0))\n"
        "select.select([a], [], [])"
    ),
    "eventfd": ("import ctypes; fd = ctypes.CDLL(None).eventfd(0, 0); os.read(fd, 8)"),
    "select": ("import select; select.select([os.pipe()[0]], [], [])"),
    "poll of several files of its own": (
        "import select; kept = os.pipe(), os.pipe(); select.select([p[0] for p in kept], [], [])"
    ),
    "epoll": ("import select; e = select.epoll(); e.register(os.pipe()[0]); e.poll()"),
    "a futex that hands on a priority": (
        "import ctypes, platform\n"
        "held = ctypes.c_int(threading.get_native_id())\n"
        "call, lock = {'x86_64': 202, 'aarch64': 98}[platform.machine()], 6 | 128\n"
        "libc, where = ctypes.CDLL(None), ctypes.c_void_p(ctypes.addressof(held))\n"
        "threading.Thread(target=libc.syscall, args=(call, where, lock, 0, None)).start()\n"
        "threading.Event().wait()"
    ),
    "a futex of its own that is not private, as that of std::future": (
        "import ctypes, platform\n"
        "state = (ctypes.c_uint * 16)(7)\n"
        "call = {'x86_64': 202, 'aarch64': 98}[platform.machine()]\n"
        "where = ctypes.c_void_p(ctypes.addressof(state))\n"
        "ctypes.CDLL(None).syscall(call, where, 0, 7, None, None, 0)"
    ),
    "a futex in the data of its program, as that of a global std::atomic": (
        "import ctypes, platform\n"
        "word = ctypes.c_uint.in_dll(ctypes.pythonapi, 'PyImport_FrozenModules')\n"
        "call = {'x86_64': 202, 'aarch64': 98}[platform.machine()]\n"
        "where = ctypes.c_void_p(ctypes.addressof(word))\n"
        "ctypes.CDLL(None).syscall(call, where, 0, word.value, None, None, 0)"
    ),
    "harmless devices, a terminal, shared memory and a deleted file": (
        "import pty, tempfile\n"
        "names = ('null', 'zero', 'full', 'random', 'urandom')\n"
        "kept = [open('/dev/' + name) for name in names], pty.openpty()\n"
        "shared = os.memfd_create('shared'), tempfile.TemporaryFile(dir='/dev/shm')\n"
        "threading.Event().wait()"
    ),
}
ALIVE = {
    "sleep": ("time.sleep(600)", "timed_wait"),
    "event with a timeout": ("threading.Event().wait(600)", "timed_wait"),
    "one thread sleeps": (
        "threading.Thread(target=time.sleep, args=(600,)).start(); threading.Event().wait()",
        "timed_wait",
    ),
    "accept": (
        "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); s.accept()",
        "io",
    ),
    "terminal": ("import pty; m, s = pty.openpty(); os.read(s, 1)", "io"),
    "handlers for signals": (
        "import faulthandler; faulthandler.enable(); faulthandler.register(signal.SIGUSR1)\n"
        "signal.signal(signal.SIGTERM, lambda *_: None); threading.Event().wait()",
        "signal_handler",
    ),
    "a handler for a real-time signal": (
        "lock = threading.Lock(); lock.acquire()\n"
        "signal.signal(signal.SIGRTMIN + 3, lambda *_: lock.release()); lock.acquire()",
        "signal_handler",
    ),
    "a socket with a timeout of its own": (
        "import socket, struct; a, b = socket.socketpair()\n"
        "a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 600, 0)); a.recv(1)",
        "timed_wait",
    ),
    "pause": ("signal.pause()", "signal_wait"),
    "sigwait": ("signal.sigwait([signal.SIGUSR2])", "signal_wait"),
    "spin": ("while True: pass", "running"),
    "interval timer": (
        "signal.signal(signal.SIGALRM, lambda *_: None)\n"
        "signal.setitimer(signal.ITIMER_REAL, 600); threading.Event().wait()",
        "timer",
    ),
    "posix timer": (
        "import ctypes\n"
        "signal.signal(signal.SIGUSR2, lambda *_: None)\n"
        "event = (ctypes.c_int * 16)(0, 0, signal.SIGUSR2, 0)\n"
        "timer = ctypes.c_void_p()\n"
        "ctypes.CDLL('librt.so.1').timer_create(1, event, ctypes.byref(timer))\n"
        "threading.Event().wait()",
        "timer",
    ),
    "shared semaphore": (
        # The harness does not count the other names of this file, by which it may be mapped.
        "import ctypes, mmap, tempfile\n"
        "file = tempfile.TemporaryFile()\n"
        "file.truncate(4096)\n"
        "shared = mmap.mmap(file.fileno(), 4096)\n"
        "place = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(shared)))\n"
        "ctypes.CDLL(None).sem_init(place, 1, 0)\n"
        "ctypes.CDLL(None).sem_wait(place)",
        "shared_futex",
    ),
    "live child": (
        "child = os.fork()\nif child == 0: time.sleep(600)\nos.waitpid(child, 0)",
        "timed_wait",
    ),
    "signal on input": (
        "import fcntl, socket\n"
        "a, b = socket.socketpair()\n"
        "fcntl.fcntl(a, fcntl.F_SETOWN, os.getpid())\n"
        "fcntl.fcntl(a, fcntl.F_SETFL, fcntl.fcntl(a, fcntl.F_GETFL) | os.O_ASYNC)\n"
        "threading.Event().wait()",
        "async_io",
    ),
    "a parent that waits in the kernel for its child's exec": (
        "os.mkfifo('fifo')\n"
        "opened = [(os.POSIX_SPAWN_OPEN, 0, 'fifo', os.O_RDONLY, 0)]\n"
        "os.posix_spawn(sys.executable, [sys.executable], {}, file_actions=opened)",
        "io",
    ),
    "a folder that signals its changes": (
        "import fcntl\n"
        "signal.signal(signal.SIGIO, lambda *_: None)\n"
        "fcntl.fcntl(os.open('.', os.O_RDONLY), fcntl.F_NOTIFY, fcntl.DN_CREATE)\n"
        "threading.Event().wait()",
        "async_io",
    ),
    "a folder that signals its changes by another signal": (
        "import fcntl\n"
        "signal.signal(signal.SIGUSR2, lambda *_: None)\n"
        "folder = os.open('.', os.O_RDONLY)\n"
        "fcntl.fcntl(folder, 10, int(signal.SIGUSR2))  # F_SETSIG\n"
        "fcntl.fcntl(folder, fcntl.F_NOTIFY, fcntl.DN_CREATE)\n"
        "threading.Event().wait()",
        "async_io",
    ),
    "a lease on a file that another may break": (
        "import fcntl\n"
        "signal.signal(signal.SIGUSR2, lambda *_: None)\n"
        "open('leased', 'w').close()\n"
        "leased = os.open('leased', os.O_RDONLY)\n"
        "fcntl.fcntl(leased, 10, int(signal.SIGUSR2))  # F_SETSIG\n"
        "fcntl.fcntl(leased, fcntl.F_SETLEASE, fcntl.F_RDLCK)\n"
        "threading.Event().wait()",
        "async_io",
    ),
    "a handler for what comes out of band": (
        "import fcntl, socket\n"
        "signal.signal(signal.SIGURG, lambda *_: None)\n"
        "listens = socket.create_server(('127.0.0.1', 0))\n"
        "a = socket.create_connection(listens.getsockname()); b = listens.accept()\n"
        "fcntl.fcntl(a, fcntl.F_SETOWN, os.getpid())\n"
        "threading.Event().wait()",
        "async_io",
    ),
    "a child that has ended, while another one may stop": (
        "ended = os.fork() or os._exit(0)\n"
        "child = os.fork()\nif child == 0: threading.Event().wait()\n"
        "os.waitid(os.P_ALL, 0, os.WSTOPPED)",
        "child",
    ),
    "stopped": ("os.kill(os.getpid(), signal.SIGSTOP)", "stopped"),
    "only the main thread has ended": (
        "import ctypes, platform\n"
        "r, w = os.pipe(); threading.Thread(target=os.read, args=(r, 1)).start()\n"
        "ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)",
        "main_thread_ended",
    ),
    "an alarm that a child has kept over its exec": (
        "child = os.fork()\n"
        "if child == 0:\n"
        "    signal.alarm(600)\n"
        "    os.execv(sys.executable,\n"
        "        [sys.executable, '-c', 'import threading; threading.Event().wait()'])\n"
        "os.waitpid(child, 0)",
        "timer",
    ),
}


def proof_lacks(pid):
    """Codes of the reasons why a process is not proven dead, by looks like the supervisor's."""
    gatherer = Gatherer(pid)
    while True:
        window = gatherer.window(STANDARD.proof_s, STANDARD.proof_looks)
        worlds = [world for look in window for world in look.worlds.values()]
        reasons = prove(worlds, gatherer.complete([window]))
        if not ((asked := deadlock.unasked(reasons)) and gatherer.ask(asked)):
            return {reason.code for reason in reasons}


def lacks_of_main(pid):
    """Codes of the reasons why the main thread of a process is not proven dead by itself."""
    gatherer = Gatherer(pid)
    window = gatherer.window(STANDARD.proof_s, STANDARD.proof_looks)
    worlds = [world for look in window for world in look.worlds.values()]
    reasons = closed([Node(pid, pid)], worlds, gatherer.complete([window]))
    return {reason.code for reason in reasons}


class Victim:
    """A Python process that runs `code` and then does whatever the code does, for ever."""

    def __init__(self, code):
        program = f"import os, signal, sys, threading, time\nprint('up', flush=True)\n{code}\n"
        self._home = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd=self._home.name,
        )
        self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self._home.cleanup()

    def reasons(self):
        """Codes that forbid the claim, by looks like the supervisor's."""
        return proof_lacks(self.process.pid)

    def settles(self, wanted):
        """Until the victim has come to rest, which a loaded machine may take long for."""
        end = time.monotonic() + 60
        while (seen := self.reasons()) != wanted and time.monotonic() < end:
            pass
        return seen


@pytest.mark.parametrize("code", DEAD.values(), ids=DEAD)
def test_what_nothing_can_wake_is_proven(code):
    with Victim(code) as victim:
        assert victim.settles(set()) == set()


@pytest.mark.parametrize(("code", "reason"), ALIVE.values(), ids=ALIVE)
def test_what_something_can_wake_is_never_proven(code, reason):
    with Victim(code) as victim:
        end = time.monotonic() + 60
        while reason not in (seen := victim.reasons()) and time.monotonic() < end:
            assert seen, "proven dead, and it is not"
        assert reason in seen
        # Once at rest, the reason stays: no later look proves what an earlier one could not.
        assert reason in victim.reasons()


def test_a_wait_that_the_end_of_a_child_interrupts_is_not_proven():
    """The handler of SIGCHLD releases the lock: a launcher may wait so for what it has started."""
    code = (
        "lock = threading.Lock(); lock.acquire()\n"
        "signal.signal(signal.SIGCHLD, lambda *_: lock.release())\n"
        "os.fork() or (time.sleep(600), os._exit(0)); lock.acquire()"
    )
    with Victim(code) as victim:
        assert victim.settles({"timed_wait"}) == {"timed_wait"}  # its child has come to rest
        assert lacks_of_main(victim.process.pid) == {"timed_wait"}


def test_one_that_has_ended_is_not_called_dead():
    with Victim("os._exit(0)") as victim:
        assert victim.settles({"ended"}) == {"ended"}


def test_one_child_among_many_that_goes_on_forbids_it():
    # The kernel hands out a page of children at a time.
    code = (
        "for index in range(1000):\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(600) if index == 999 else threading.Event().wait()\n"
        "threading.Event().wait()"
    )
    with Victim(code) as victim:
        assert victim.settles({"timed_wait"}) == {"timed_wait"}


@pytest.mark.parametrize(
    ("controller", "file", "stop", "go"),
    [("", "cgroup.freeze", "1", "0"), ("freezer", "freezer.state", "FROZEN", "THAWED")],
    ids=["second version", "first version"],
)
def test_a_frozen_control_group_is_stopped_not_dead(controller, file, stop, go):
    mounted = freezer._mounted("").get(controller)
    if mounted is None:
        pytest.skip("no control groups of this version")
    outer = Path(mounted[1], f"harness-test-{os.getpid()}")
    inner = outer / "inner"
    try:
        outer.mkdir()
        inner.mkdir()
    except OSError:
        pytest.skip("this user may not make control groups")
    try:
        with Victim("threading.Event().wait()") as victim:
            assert victim.settles(set()) == set()
            (inner / "cgroup.procs").write_text(str(victim.process.pid))
            assert freezer.frozen(victim.process.pid) is False
            (outer / file).write_text(stop)
            assert victim.settles({"stopped"}) == {"stopped"}
            assert linux.processes([victim.process.pid])[0].state == "T"
            assert freezer.frozen(victim.process.pid) is True
            (outer / file).write_text(go)
            assert victim.settles(set()) == set()
    finally:
        for group in (inner, outer):
            while group.exists():
                with contextlib.suppress(OSError):
                    group.rmdir()


def test_a_tracer_forbids_it():
    with Victim("threading.Event().wait()") as victim:
        assert victim.settles(set()) == set()
        code = (
            "import ctypes, sys; libc = ctypes.CDLL(None, use_errno=True)\n"
            f"sys.exit(3) if libc.ptrace(0x4206, {victim.process.pid}, None, None) else None\n"
            "print('traced', flush=True); input()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as tracer:
            if not tracer.stdout.readline():
                pytest.skip("this machine does not let a process be traced")
            assert "traced" in victim.reasons()


def test_an_io_uring_forbids_it():
    code = (
        "import ctypes\n"
        "ring = ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(120))\n"
        "print(ring, flush=True); threading.Event().wait()"
    )
    with Victim(code) as victim:
        if int(victim.process.stdout.readline()) < 0:
            pytest.skip("this kernel does not let us make an io_uring")
        assert victim.settles({"async_io"}) == {"async_io"}


def test_an_io_uring_whose_file_is_closed_forbids_it():
    code = (
        "import ctypes, mmap\n"
        "ring = ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(120))\n"
        "kept = ring < 0 or mmap.mmap(ring, 4096, flags=mmap.MAP_SHARED)\n"
        "os.closerange(3, 99)  # also the copy that mmap has made\n"
        "print(ring, flush=True); threading.Event().wait()"
    )
    with Victim(code) as victim:
        if int(victim.process.stdout.readline()) < 0:
            pytest.skip("this kernel does not let us make an io_uring")
        assert victim.settles({"async_io"}) == {"async_io"}


def test_a_context_of_asynchronous_input_that_may_signal_an_eventfd_forbids_it():
    code = (
        "import ctypes, platform\n"
        "libc, context = ctypes.CDLL(None), ctypes.c_ulong(0)\n"
        "call = {'x86_64': 206, 'aarch64': 0}[platform.machine()]\n"
        "print(libc.syscall(call, 8, ctypes.byref(context)), flush=True)\n"
        "event = libc.eventfd(0, 0); os.read(event, 8)"
    )
    with Victim(code) as victim:
        if int(victim.process.stdout.readline()) < 0:
            pytest.skip("this kernel has no asynchronous input of its own")
        assert victim.settles({"async_io"}) == {"async_io"}


def test_a_pipe_that_a_child_has_in_an_io_uring_alone_is_not_closed():
    code = (
        "import ctypes\n"
        "r, w = os.pipe()\n"
        "if (child := os.fork()) == 0:\n"
        "    call = ctypes.CDLL(None).syscall\n"
        "    ring = call(425, 8, ctypes.create_string_buffer(120))\n"
        "    print(min(ring, call(427, ring, 2, (ctypes.c_int * 1)(w), 1)), flush=True)\n"
        "    os.close(r); os.close(w); time.sleep(600)\n"
        "os.read(r, 1)"
    )
    with Victim(code) as victim:
        if int(victim.process.stdout.readline()) < 0:
            pytest.skip("this kernel does not let us make an io_uring")
        assert lacks_of_main(victim.process.pid) == {"io"}


# A fork; then its child waits for a private futex, and itself for the end of an asynchronous read:
# io_getevents, whose number among the calls of 32 bits is that of waitid among those of 64.
OF_32_BITS = bytes.fromhex(
    "b002cd8085c07429b8f50000006a085bb900900408cd80b8f70000008b1d0090"
    "04086a01596a015abe0091040831ffcd80b8c7010000bb009004086aff5abe82"
    "0000006a015dcd80f4"
)


def test_the_calls_of_a_program_of_32_bits_are_not_taken_for_those_of_64():
    start, size = 0x08048000, 0x2000
    header = struct.pack(
        "<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", 2, 3, 1, start + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0
    )
    segment = struct.pack("<8I", 1, 0, start, start, 84 + len(OF_32_BITS), size, 7, 4096)
    code = (
        f"open('program', 'wb').write({header + segment + OF_32_BITS!r})\n"
        "os.chmod('program', 0o755)\n"
        "os.execv('./program', ['program'])"
    )
    with Victim(code) as victim:
        end = time.monotonic() + 60
        while (seen := victim.reasons()) not in ({"unreadable"}, {"ended"}):
            assert time.monotonic() < end, seen
        if seen == {"ended"}:
            pytest.skip("this kernel runs no program of 32 bits")


def test_a_userfaultfd_forbids_it():
    code = (
        "import ctypes, platform\n"
        "call, of_users_alone = {'x86_64': 323, 'aarch64': 282}[platform.machine()], 1\n"
        "print(ctypes.CDLL(None).syscall(call, of_users_alone), flush=True)\n"
        "threading.Event().wait()"
    )
    with Victim(code) as victim:
        if int(victim.process.stdout.readline()) < 0:
            pytest.skip("this kernel does not let us make a userfaultfd")
        assert victim.settles({"async_io"}) == {"async_io"}


def test_an_open_device_forbids_it():
    code = (
        "import contextlib\n"
        "nodes = 'kmsg', 'loop-control', 'fuse', 'net/tun', 'mem', 'kvm', 'hwrng', 'rtc0'\n"
        "found = ''\n"
        "for node in nodes:\n"
        "    with contextlib.suppress(OSError):\n"
        "        kept = os.open('/dev/' + node, os.O_RDONLY | os.O_NONBLOCK); found = node; break\n"
        "print(found, flush=True); threading.Event().wait()"
    )
    with Victim(code) as victim:
        if not victim.process.stdout.readline().strip():
            pytest.skip("none of the devices can be opened here")
        assert victim.settles({"device"}) == {"device"}


def test_one_that_is_stopped_is_not_called_dead():
    with Victim("threading.Event().wait()") as victim:
        os.kill(victim.process.pid, signal.SIGSTOP)
        assert victim.settles({"stopped"}) == {"stopped"}


def test_one_that_ran_between_two_looks_and_waits_as_before_has_moved():
    code = "signal.signal(signal.SIGUSR2, lambda *_: None); threading.Event().wait()"
    with Victim(code) as victim:
        assert victim.settles({"signal_handler"}) == {"signal_handler"}
        gatherer = Gatherer(victim.process.pid)
        looks = [gatherer.look()]
        os.kill(victim.process.pid, signal.SIGUSR2)
        victim.reasons()
        looks += [gatherer.look() for _ in range(STANDARD.proof_looks - 1)]
        worlds = [world for look in looks for world in look.worlds.values()]
        reasons = prove(worlds, gatherer.complete([tuple(looks)]))
        assert "moved" in {reason.code for reason in reasons}


def test_a_wait_for_what_is_no_child_of_the_tree_forbids_it():
    # A tracer can wait for a process that somebody else has started.
    code = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
        "r, w = os.pipe()\n"
        "between = os.fork()\n"
        "if between == 0:\n"
        "    other = os.fork()\n"
        "    if other == 0:\n"
        "        libc.prctl(0x59616D61, ctypes.c_ulong(-1))  # any process may trace it\n"
        "        os.write(w, b'%d' % os.getpid())\n"
        "        threading.Event().wait()\n"
        "    os._exit(0)\n"
        "os.waitpid(between, 0)\n"
        "other = int(os.read(r, 20))\n"
        "print(libc.ptrace(0x4206, other, None, None), flush=True)\n"
        "os.waitpid(other, 0)"
    )
    with Victim(code) as victim:
        if int(victim.process.stdout.readline()):
            pytest.skip("this machine does not let a process be traced")
        assert victim.settles({"child"}) == {"child"}


def test_timers_that_a_kernel_does_not_list_are_not_taken_to_be_gone(monkeypatch):
    monkeypatch.setattr(deep, "_TIMERS", "no-such-file")
    with Victim(ALIVE["posix timer"][0]) as victim:
        assert victim.settles({"unreadable"}) == {"unreadable"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user who has no other process")
def test_where_the_user_has_no_timer_at_all_the_kernel_need_not_list_them(monkeypatch):
    monkeypatch.setattr(deep, "_TIMERS", "no-such-file")
    with Victim(f"os.setuid({1 << 30 | os.getpid()}); threading.Event().wait()") as victim:
        assert victim.settles(set()) == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's process")
def test_what_cannot_be_read_is_not_called_dead():
    with Victim("threading.Event().wait()") as victim:
        assert victim.settles(set()) == set()
        code = (
            "import os; os.setgid(65534); os.setuid(65534)\n"
            "from test_proof_real import proof_lacks\n"
            f"print(proof_lacks({victim.process.pid}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=Path(__file__).parent,
        )
        if done.returncode:
            pytest.skip(f"the other user cannot run this Python: {done.stderr[-200:]}")
        assert "unreadable" in done.stdout
