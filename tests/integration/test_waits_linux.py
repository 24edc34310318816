"""What real processes wait for, and who could end it: kind, owner and peers of each wait."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from waiting import ARCH, compiled, python, settled, started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

from harness.observe.linux import futexes  # noqa: E402

FUTEX = ("futex", "futex_waitv", "futex_wait")


@pytest.fixture(scope="module")
def waits(tmp_path_factory):
    return compiled("waits", tmp_path_factory.mktemp("waits"))


def futex_of(pid):
    family, main = settled(pid, *FUTEX)
    return futexes.futexes(family[0], ARCH, family)[main.tid], family


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
    ("how", "kind", "where"),
    [
        ("condition", "private", "anonymous"),
        ("rwlock", "private", "anonymous"),
        ("semaphore", "private", "anonymous"),
        ("stack", "private", "stack"),
        ("plain", "private", ""),
        ("vector", "vector", ""),
    ],
)
def test_what_has_no_owner_is_given_none(waits, how, kind, where):
    with started(waits, how) as (process, _):
        found, _ = futex_of(process.pid)
        assert (found.kind, found.owner, found.sharers) == (kind, None, (process.pid,))
        assert found.where == (where or waits)


@pytest.mark.parametrize(("how", "kind"), [("shared-mutex", "mutex"), ("shared-robust", "robust")])
def test_a_lock_in_shared_memory_can_be_another_processs(waits, how, kind):
    with started(waits, how) as (process, child):
        found, _ = futex_of(process.pid)
        assert (found.kind, found.owner) == (kind, child)
        assert set(found.sharers) == {process.pid, child}
        assert found.where.startswith("/dev/zero")


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
        assert found.where.startswith("/dev/shm/sem.")


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
    code = LOCKS.replace("time.sleep(600)", "time.sleep(5)") + "\ntime.sleep(600)\n"
    with python(code, "RLock") as (process, owner):
        family, main = settled(process.pid, "futex")
        reader = futexes.Futexes(ARCH)
        assert reader.of(family[0])[main.tid].owner == owner
        reader.look()
        assert reader.of(family[0])[main.tid].owner == owner
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
    found = futexes.futexes(family[0], ARCH, family)
    assert found[main.tid].owner is None
    assert not found[main.tid].complete
