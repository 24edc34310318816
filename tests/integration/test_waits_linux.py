"""What real processes wait for, and who could end it: kind, owner and peers of each wait."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import ARCH, ROOT, compiled, python, settled, started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

from harness.observe.linux import file_peers, futexes, mounts  # noqa: E402
from harness.observe.linux.file_table import FileTable  # noqa: E402

FUTEX = ("futex", "futex_waitv", "futex_wait")


@pytest.fixture(scope="module")
def waits(tmp_path_factory):
    return compiled("waits", tmp_path_factory.mktemp("waits"))


def futex_of(pid):
    family, main = settled(pid, *FUTEX)
    return futexes.Futexes(ARCH).of(family[0])[main.tid], family


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("normal", "mutex"),
        ("recursive", "mutex"),
        ("errorcheck", "mutex"),
        ("adaptive", "mutex"),
        ("timed", "mutex"),
        ("itself", "mutex"),
        ("shared-flag", "mutex"),
        ("pi", "pi_mutex"),
        ("robust", "robust"),
        ("join", "join"),
    ],
)
def test_the_owner_of_a_lock_is_the_thread_that_holds_it(waits, how, kind):
    with started(waits, how) as (process, owner):
        found, family = futex_of(process.pid)
        assert (found.kind, found.owner) == (kind, owner)
        assert owner in {thread.tid for thread in family[0].threads}
        assert (found.sharers, found.complete) == ((process.pid,), True)


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("condition", "private"),
        ("rwlock", "private"),
        ("semaphore", "private"),
        ("stack", "private"),
        ("plain", "private"),
        ("vector", "vector"),
    ],
)
def test_what_has_no_owner_is_given_none(waits, how, kind):
    with started(waits, how) as (process, _):
        found, _ = futex_of(process.pid)
        assert (found.kind, found.owner, found.sharers) == (kind, None, (process.pid,))
        assert found.complete


@pytest.mark.parametrize(("how", "kind"), [("shared-mutex", "mutex"), ("shared-robust", "robust")])
def test_a_lock_in_shared_memory_can_be_another_processs(waits, how, kind):
    with started(waits, how) as (process, child):
        found, _ = futex_of(process.pid)
        assert (found.kind, found.owner) == (kind, child)
        assert set(found.sharers) == {process.pid, child}
        assert found.complete


def test_a_shared_semaphore_has_no_owner_and_names_who_maps_it(waits):
    with started(waits, "shared-semaphore") as (process, child):
        found, _ = futex_of(process.pid)
        assert (found.kind, found.owner) == ("shared", None)
        assert set(found.sharers) == {process.pid, child}


SEMAPHORE = """
import multiprocessing, time
lock = multiprocessing.get_context("fork").Lock()
lock.acquire()
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
child.start()
print("ready", child.pid, flush=True)
lock.acquire()
"""


def test_a_lock_of_multiprocessing_names_who_maps_it():
    with python(SEMAPHORE) as (process, child):
        found, _ = futex_of(process.pid)
        assert (found.kind, found.owner) == ("shared", None)
        assert set(found.sharers) == {process.pid, child}
        assert found.complete


NAMED = """
import ctypes, os, time
posix, name = ctypes.CDLL(None), b"/harness-test-%d" % os.getpid()
posix.sem_open.restype = ctypes.c_void_p
semaphore = ctypes.c_void_p(posix.sem_open(name, os.O_CREAT, 0o600, 0))
print("ready", 0, flush=True)
posix.sem_wait(semaphore)
posix.sem_unlink(name)
time.sleep(600)
"""


def test_a_semaphore_with_a_name_can_be_opened_by_others():
    with python(NAMED) as (process, _):
        name = Path(f"/dev/shm/sem.harness-test-{process.pid}")
        try:
            found, _ = futex_of(process.pid)
            assert (found.kind, found.sharers, found.complete) == ("shared", (process.pid,), False)
        finally:
            name.unlink()
        found, _ = futex_of(process.pid)
        assert (found.sharers, found.complete) == ((process.pid,), True)


LOCKS = """
import sys, threading, time, queue
lock, held = getattr(threading, sys.argv[1])(), threading.Event()
def hold():
    global owner
    with lock:
        owner = threading.get_native_id()
        held.set()
        time.sleep(600)
threading.Thread(target=hold, daemon=True).start()
held.wait()
print("ready", owner, flush=True)
lock.acquire()
"""


def versions():
    """Each Python of this machine whose locks are known, by its path."""
    found = {sys.executable: "this"}
    for minor in range(10, 14):
        path = shutil.which(f"python3.{minor}")
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            found[path] = f"3.{minor}"
    return [pytest.param(path, id=name) for path, name in found.items()]


@pytest.mark.parametrize("version", versions())
def test_the_owner_of_an_rlock_is_found_around_it_and_a_lock_has_none(version):
    with python(LOCKS, "RLock", version=version) as (process, owner):
        found, _ = futex_of(process.pid)
        assert (found.kind, found.owner) == ("rlock", owner)
    with python(LOCKS, "Lock", version=version) as (process, _):
        found, _ = futex_of(process.pid)
        assert (found.kind, found.owner) == ("private", None)


def test_an_rlock_is_asked_again_at_each_look():
    code = LOCKS.replace("time.sleep(600)", "sys.stdin.read(1)") + "\ntime.sleep(600)\n"
    with python(code, "RLock", stdin=subprocess.PIPE) as (process, owner):
        family, main = settled(process.pid, "futex")
        reader = futexes.Futexes(ARCH)
        assert reader.of(family[0])[main.tid].owner == owner
        reader.look(FileTable())
        assert reader.of(family[0])[main.tid].owner == owner
        process.stdin.close()
        family, main = settled(process.pid, "clock_nanosleep", "pselect6", "select")
        assert reader.of(family[0]) == {}


def test_a_process_of_another_pid_name_space_is_told_by_our_numbers(waits):
    command = ["unshare", "--pid", "--fork", "--kill-child", waits, "normal"]
    if subprocess.run([*command[:4], "true"], capture_output=True).returncode:
        pytest.skip("this user may not make PID namespaces")
    with started(*command) as (process, inner):
        from harness.observe import linux

        child = next(one for one in linux.processes([process.pid]) if one.pid != process.pid)
        found, family = futex_of(child.pid)
        assert found.kind == "mutex"
        assert found.owner != inner
        assert found.owner in {thread.tid for thread in family[0].threads} - {child.pid}


def test_what_has_ended_or_cannot_be_read_has_no_futexes(waits):
    with started(waits, "normal") as (process, _):
        family, main = settled(process.pid, "futex")
    found = futexes.Futexes(ARCH).of(family[0])
    assert found[main.tid].owner is None
    assert not found[main.tid].complete


def links_of(pid, *calls):
    family, main = settled(pid, *calls)
    return file_peers.waited_for(family[0], main, ARCH, file_peers.Ends())


CALLS = {
    "flock": "flock", "inherited": "flock", "fcntl": "fcntl", "ofd": "fcntl", "poll": "poll",
    "select": "pselect6", "epoll": "epoll_wait", "nested": "epoll_wait", "pidfd": "poll",
    "pair": "read", "fills": "sendto", "accept": "accept", "open-fifo": "openat",
}  # fmt: skip


def calls(how):
    return {CALLS.get(how, "read"), "select", "epoll_pwait", "ppoll"}


@pytest.mark.parametrize("how", ["flock", "fcntl", "ofd", "inherited"])
def test_who_holds_a_lock_on_a_file_is_found_in_its_open_files(waits, tmp_path, how):
    with started(waits, how, str(tmp_path / "locked")) as (process, child):
        (link,) = links_of(process.pid, CALLS[how])
        assert (link.kind, link.peers, link.only_own) == ("lock", (child,), False)
        assert link.told == "a lock on the file locked"
        assert link.mount
        assert link.fs


RANGES = """
import fcntl, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
children, told = [], os.pipe()
for start in (0, 100):
    if not (child := os.fork()):
        fcntl.lockf(file, fcntl.LOCK_EX, 10, start)
        os.write(told[1], b"x")
        time.sleep(600)
    children.append(child)
while len(os.read(told[0], 1)) and (children := children[1:]): pass
print("ready", child, flush=True)
fcntl.lockf(file, fcntl.LOCK_SH, 10, 105)
"""


def test_of_locks_on_parts_of_a_file_only_those_in_the_way_count(tmp_path):
    with python(RANGES, str(tmp_path / "locked")) as (process, second):
        (link,) = links_of(process.pid, "fcntl")
        assert link.peers == (second,)


def test_a_lock_of_its_own_is_its_own(tmp_path):
    code = (
        "import fcntl, sys\n"
        "files = [open(sys.argv[1], 'w') for _ in range(2)]\n"
        "fcntl.flock(files[0], fcntl.LOCK_EX); print('ready 0', flush=True)\n"
        "fcntl.flock(files[1], fcntl.LOCK_SH)"
    )
    with python(code, str(tmp_path / "locked")) as (process, _):
        (link,) = links_of(process.pid, "flock")
        assert (link.peers, link.only_own) == ((), True)


def test_a_process_may_hold_the_other_end_beside_its_peers():
    """Of a pipe and of a pair of sockets: then its own threads may write as well."""
    pipe, pair, event = os.pipe(), socket.socketpair(), os.eventfd(0)
    passed = (pipe[1], pair[1].fileno(), event)
    peer = subprocess.Popen([shutil.which("sleep"), "600"], pass_fds=passed)
    waited = {"pipe": pipe[0], "local_socket": pair[0].fileno(), "eventfd": event}
    try:
        for own in (True, False):
            ends = file_peers.Ends()
            found = {kind: ends.link(os.getpid(), file, True) for kind, file in waited.items()}
            assert {
                kind: (link.kind, link.peers, link.also_own) for kind, link in found.items()
            } == {kind: (kind, (peer.pid,), own or kind == "eventfd") for kind in waited}
            if own:
                os.close(pipe[1])
                pair[1].close()
    finally:
        peer.kill()
        peer.wait()
        os.close(pipe[0])
        os.close(event)
        pair[0].close()


@pytest.mark.parametrize("how", ["poll", "select", "epoll", "nested"])
def test_each_member_of_a_set_is_named(waits, how):
    with started(waits, how) as (process, child):
        links = links_of(process.pid, *calls(how))
        assert {link.kind for link in links} == {"pipe", "eventfd"}
        assert all(link.peers == (child,) for link in links)


@pytest.mark.parametrize(
    ("how", "kind", "has_peer", "own", "reopenable"),
    [
        ("eventfd", "eventfd", True, False, False),
        ("own-eventfd", "eventfd", False, True, False),
        ("pidfd", "pidfd", True, False, False),
        ("timerfd", "timerfd", False, False, True),
        ("signalfd", "signalfd", False, False, True),
        ("inotify", "inotify", False, False, True),
        ("open-fifo", "fifo", False, False, True),
        ("fifo", "fifo", False, True, True),
        ("own-pipe", "pipe", False, True, False),
        ("own-pair", "local_socket", False, True, False),
        ("pair", "local_socket", True, False, False),
        ("fills", "local_socket", True, False, False),
        ("accept", "local_socket", False, False, True),
    ],
)
def test_what_a_file_is_and_who_has_its_other_end(waits, tmp_path, how, kind, has_peer, own,
                                                  reopenable):  # fmt: skip
    place = tmp_path if how == "inotify" else tmp_path / "here"
    with started(waits, how, str(place)) as (process, child):
        (link,) = links_of(process.pid, *calls(how))
        assert (link.kind, link.only_own, link.reopenable) == (kind, own, reopenable)
        assert link.peers == ((child,) if has_peer else ())
        assert (link.queued or 0) > 0 if how == "fills" else not link.queued


CONNECTED = """
import os, socket, sys, time
family = socket.AF_INET6 if "6" in sys.argv[1] else socket.AF_INET
listening = socket.create_server(("", 0), family=family, dualstack_ipv6=sys.argv[1] == "46")
port = listening.getsockname()[1]
if not (child := os.fork()):
    one, _ = listening.accept()
    one.send(b"x")
    time.sleep(600)
host = "::1" if sys.argv[1] == "6" else "127.0.0.1"
one = socket.create_connection((host, port))
listening.close()
one.recv(1)  # the child has taken the connection
print("ready", child, flush=True)
one.recv(1)
"""


@pytest.mark.parametrize("versions", ["4", "6", "46"])
def test_the_other_end_of_a_connection_on_this_machine_is_its_process(versions):
    with python(CONNECTED, versions) as (process, child):
        (link,) = links_of(process.pid, "recvfrom")
        assert (link.kind, link.peers, link.remote) == ("tcp", (child,), None)
        assert (link.queued, link.retransmits) == (0, 0)
        assert link.told.endswith("of this machine")


def test_the_other_end_of_a_socket_for_datagrams_is_who_serves_all_at_its_address():
    code = (
        "import os, socket, time\n"
        "serves = socket.socket(type=socket.SOCK_DGRAM); serves.bind(('', 0))\n"
        "child = os.fork() or time.sleep(600)\n"
        "asks = socket.socket(type=socket.SOCK_DGRAM)\n"
        "asks.connect(('127.0.0.1', serves.getsockname()[1])); serves.close()\n"
        "print('ready', child, flush=True); asks.recv(9)"
    )
    with python(code) as (process, child):
        (link,) = links_of(process.pid, "recvfrom")
        assert (link.kind, link.peers, link.remote) == ("udp", (child,), None)
        assert link.reopenable


@pytest.mark.parametrize(
    ("make", "call", "kind"),
    [
        ("socket.create_server(('127.0.0.1', 0)).accept()", "accept4", "tcp"),
        ("one = socket.socket(type=socket.SOCK_DGRAM); one.bind(('127.0.0.1', 0)); one.recv(9)",
         "recvfrom", "udp"),
    ],
)  # fmt: skip
def test_what_anybody_can_connect_or_send_to_has_no_peer_yet(make, call, kind):
    with python(f"import socket; print('ready 0', flush=True); {make}") as (process, _):
        (link,) = links_of(process.pid, call)
        assert (link.kind, link.peers, link.reopenable, link.only_own) == (kind, (), True, False)


def test_a_sleep_or_a_child_is_no_file():
    for code, call in [
        ("import time; time.sleep(600)", "clock_nanosleep"),
        ("import os; os.fork() and os.wait(); os.read(os.pipe()[0], 1)", "wait4"),
    ]:
        with python(f"print('ready 0', flush=True); {code}") as (process, _):
            assert links_of(process.pid, call) == ()


def test_the_pipe_of_a_process_that_is_not_seen_is_not_its_own(tmp_path):
    """As of a container whose input is held outside: no end of nobody, but of somebody unseen."""
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c"]
    look = (
        "import os, sys, time\n"
        "if not (child := os.fork()):\n    os.read(0, 1)\n"
        "from harness.observe import linux\n"
        "from harness.observe.linux import file_peers\n"
        "links = ()\n"
        "while not links:\n"
        "    time.sleep(0.1)\n"
        "    (one,) = linux.processes([child], deep=True)\n"
        f"    links = file_peers.waited_for(one, one.threads[0], {ARCH!r}, file_peers.Ends())\n"
        "(link,) = links\n"
        "print('ready', int(link.only_own) * 2 + int(link.complete), flush=True)\n"
        "os.kill(child, 9)"
    )
    if subprocess.run([*command[:5], "true"], capture_output=True).returncode:
        pytest.skip("this user may not make PID namespaces")
    with started(*command, look, stdin=subprocess.PIPE) as (_, told):
        assert told == 0


@pytest.fixture
def silent(tmp_path, silent_alone):
    """The mount point of a file system that answers no read and no close, and its daemon."""
    place = tmp_path / "mounted"
    place.mkdir()
    script = str(ROOT / "tests" / "victims" / "silent_fuse.py")
    if os.geteuid() or not Path("/dev/fuse").exists():
        pytest.skip("FUSE takes root and /dev/fuse")
    with started(sys.executable, script, str(place)) as (daemon, _):
        try:
            yield place, daemon
        finally:
            daemon.kill()  # which ends all who wait for it
            daemon.wait()
            subprocess.run(["umount", "-l", str(place)])


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("os.read(file, 1)", "read"),
        ("os.close(file)", None),
        ("import mmap; mmap.mmap(file, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)[0]", None),
    ],
)
def test_a_file_system_that_does_not_answer_is_named_with_its_daemon(silent, code, call):
    place, daemon = silent
    begin = "import os, sys; file = os.open(sys.argv[1], os.O_RDONLY); print('ready 0', flush=True)"
    with python(f"{begin}; {code}", str(place / "data")) as (process, _):
        family, main = settled(process.pid, call, wchan="request_wait_answer")
        (link,) = file_peers.waited_for(family[0], main, ARCH, file_peers.Ends())
        assert (link.kind, link.mount, link.fs) == ("file", str(place), "fuse.silent")
        assert (link.peers, link.complete) == ((daemon.pid,), True)
        assert link.told == ("the file data" if call else "a file")
        daemon.kill()  # before the process is ended: it could not be


def test_no_question_is_asked_of_a_file_system_that_may_not_answer(silent, tmp_path):
    place, daemon = silent
    (tmp_path / "link").symlink_to(place)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "pipe")
    os.kill(daemon.pid, signal.SIGSTOP)  # from now on nothing at all is answered
    try:
        mounted = mounts.mounts(os.getpid())
        here = f"{tmp_path}/folder/../link/../link/data"
        for path in (f"{place}/data/more", here, str(place), str(tmp_path / "link")):
            mount, mode = mounts.mode(os.getpid(), "cwd", path, mounted)
            assert (mount.place, mode) == (str(place), None)
        mount, mode = mounts.mode(os.getpid(), "cwd", f"{tmp_path}/folder/./pipe", mounted)
        assert stat.S_ISFIFO(mode)
        assert not mount.remote
        assert mounts.mode(os.getpid(), "cwd", f"{tmp_path}/gone", mounted)[1] is None
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
