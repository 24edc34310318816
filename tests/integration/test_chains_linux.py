"""Whole programs whose wait ends in a known way, as `attach` and `watch` tell it to a user."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time

import forked
import pytest
from waiting import ROOT, compiled, python, started

pytestmark = [pytest.mark.waits, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

LOOKS_S = 60.0

# --- what goes on, and what waits for somebody else ----------------------------------------------

LAUNCHER = """
import subprocess, sys
trainer = '''
import hashlib, os
print("ready", os.getpid(), flush=True)
while True: hashlib.sha256(bytes(1 << 16)).digest()
'''
with subprocess.Popen([sys.executable, "-u", "-c", trainer], stdout=subprocess.PIPE) as below:
    for line in below.stdout: sys.stdout.write(line.decode()); sys.stdout.flush()
"""
LOADER = """
import multiprocessing, zlib
def load(batches):
    while True:
        for _ in range(400_000_000): zlib.crc32(b"batch")
        batches.send(0)
context = multiprocessing.get_context("fork")
mine, theirs = context.Pipe()
child = context.Process(target=load, args=(theirs,), daemon=True)
child.start()
print("ready", child.pid, flush=True)
mine.recv()
"""
SLEEPING_THREAD = """
import threading, time
there = threading.Condition()
def load():
    time.sleep(300)
    with there: there.notify()
threading.Thread(target=load, daemon=True).start()
print("ready 0", flush=True)
with there: there.wait()
"""
LOCKED_FILE = """
import fcntl, subprocess, sys
holds = "import fcntl, os, time; file = open('held', 'w'); fcntl.lockf(file, fcntl.LOCK_EX)"
holds += "; print(os.getpid(), flush=True); time.sleep(600)"
detached = ["setsid", "--fork", sys.executable, "-c", holds]
with subprocess.Popen(detached, stdout=subprocess.PIPE) as between:
    print("ready", int(between.stdout.readline()), flush=True)
file = open("held", "w"); fcntl.lockf(file, fcntl.LOCK_EX)
"""
STOPPED_CHILD = """
import multiprocessing, os, signal, time
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
child.start()
os.kill(child.pid, signal.SIGSTOP)
print("ready", child.pid, flush=True)
child.join()
"""
FUTURE = """
import socket
from concurrent.futures import ThreadPoolExecutor, wait
listens = socket.create_server(("127.0.0.1", 0))
one = socket.create_connection(listens.getsockname())
print("ready 0", flush=True)
with ThreadPoolExecutor(3) as pool: wait([pool.submit(one.recv, 1)])
"""
FOLDER = """
import pathlib, time
print("ready 0", flush=True)
while not list(pathlib.Path(".").glob("checkpoint-*")): time.sleep(0.3)
"""
HANDED = """
import collections, queue, threading, time
items = {items}
def put():
    for number in range(10**9):
        items.{put}(number); time.sleep(0.002)
threading.Thread(target=put, daemon=True).start()
print("ready 0", flush=True)
def take(size=4):
    total = 0
    while True: {take}
take()
"""
FROM_A_QUEUE = HANDED.format(items="queue.Queue(4)", put="put", take="items.get()")
TAKES = "total += items.popleft() if items else time.sleep(0.002) or 0"
FROM_A_DEQUE = HANDED.format(items="collections.deque()", put="append", take=TAKES)
TASKS = """
import asyncio
async def main():
    items = asyncio.Queue(4)
    async def put():
        while True: await items.put(1); await asyncio.sleep(0.002)
    there = asyncio.create_task(put())
    print("ready 0", flush=True)
    while True: await items.get()
asyncio.run(main())
"""
IN_VAIN = """
import threading, time
changed = threading.Condition()
def beat():
    while True:
        with changed: changed.notify_all()
        time.sleep(0.3)
threading.Thread(target=beat, daemon=True).start()
print("ready 0", flush=True)
def train(ready=False):
    with changed:
        while not ready: changed.wait()
train()
"""
BESIDE_A_BEAT = """
import threading, time
def beat():
    while True: print("alive", time.time(), flush=True); time.sleep(0.2)
print("ready 0", flush=True)
threading.Thread(target=beat, name="beat", daemon=True).start()
threading.Barrier(2).wait()
"""
BESIDE_MESSAGES = """
import queue, threading, time
asked, answered, done = queue.Queue(), queue.Queue(), threading.Lock()
def asks():
    while True: asked.put(1); answered.get(); time.sleep(0.02)
def answers():
    while True: asked.get(); answered.put(1)
for monitor in (asks, answers): threading.Thread(target=monitor, daemon=True).start()
print("ready 0", flush=True)
done.acquire(); done.acquire()
"""
RESTARTED = """
import multiprocessing, os
print("ready 0", flush=True)
with multiprocessing.get_context("fork").Pool(2, initializer=os._exit, initargs=(3,)) as pool:
    pool.map(abs, range(4), chunksize=1)  # without, Python divides by the workers there are
"""
ATTACHED = {
    "items that a thread puts into a queue every 2 ms": (
        FROM_A_QUEUE, "alive", 0, ("in take is given something again and again",)),
    "items that a thread appends to a list every 2 ms": (
        FROM_A_DEQUE, "alive", 0, ("in take is given something again and again",)),
    "tasks of one event loop": (
        TASKS, "alive", 0, ("is given something again and again",)),
    "a condition that a thread notifies in vain": (
        IN_VAIN, "asleep", 0, ("in train looks for something again and again",)),
    "a barrier beside a thread that prints": (
        BESIDE_A_BEAT, "stalled", 1, ("nobody is seen who would end that wait (thread ",)),
    "a lock beside monitors that exchange messages": (
        BESIDE_MESSAGES, "stalled", 1, ("nobody is seen who would end that wait (thread ",)),
    "a trainer whose lines a launcher reads": (
        LAUNCHER, "alive", 0, ("main at <string>:9", "waits for a pipe", "at <string>:4")),
    "a loader process that computes": (
        LOADER, "alive", 0, ("main at <string>:12", "at <string>:5 in load")),
    "a thread that loads at a limited rate": (
        SLEEPING_THREAD, "asleep", 0, ("main at <string>:9", "at <string>:5 in load sleeps")),
    "a child that was stopped": (
        STOPPED_CHILD, "stopped", 1, ("main at <string>:7", "waits for a child process")),
    "a future of a thread that reads from a socket": (
        FUTURE, "waiting", 0, ("waits for a future", "waits for an unaccepted connection to port")),
    "a pool whose workers end as soon as they are started": (
        RESTARTED, "stalled", 1, ("has workers that end one after the other", "at <string>:5")),
    "a folder in which a file is to appear": (
        FOLDER, "asleep", 0, ("main at <string>:4", "looks for something again and again")),
}  # fmt: skip


def attached(pid, out):
    """Exit code, answer and summary of one look."""
    done = forked.harness("attach", pid, "--json", "--out", out, folder=ROOT)
    assert done.returncode in (0, 1), done.stderr
    (result,) = json.loads(done.stdout)["results"]
    (found,) = (one for one in result["findings"] if one["code"] == "attached")
    return done.returncode, found["evidence"]["answer"], found["evidence"]["summary"]


def settled(pid, out, expected, *says):
    """The exit code, once a program has come to what is expected of it and said of it."""
    end = time.monotonic() + LOOKS_S
    while True:
        returned, answer, summary = attached(pid, out)
        lacks = [text for text in says if text not in summary]
        if (answer == expected and not lacks) or time.monotonic() > end:
            assert (answer, lacks) == (expected, []), summary
            return returned


@pytest.mark.parametrize(("code", "answer", "returned", "says"), ATTACHED.values(), ids=ATTACHED)
def test_attach_follows_a_wait_to_whom_it_ends_in(tmp_path, code, answer, returned, says):
    with python(code, cwd=tmp_path) as (process, _):
        assert settled(process.pid, tmp_path / "reports", answer, *says) == returned


def test_attach_names_the_program_that_holds_a_file_and_is_not_of_the_tree(tmp_path):
    with python(LOCKED_FILE, cwd=tmp_path) as (process, holder):
        try:
            says = f"a lock that is held by process {holder} "
            assert settled(process.pid, tmp_path / "reports", "waiting", says) == 0
        finally:
            os.kill(holder, signal.SIGKILL)  # it is in no group of ours


NODE = """
const child = require("child_process");
const computes = "import zlib\\nwhile True: zlib.crc32(bytes(1 << 16))";
const below = child.spawn(process.argv[1], ["-c", computes], {stdio: "inherit"});
console.log("ready", below.pid);
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_attach_follows_the_event_loop_of_node_to_its_child(tmp_path):
    with started(shutil.which("node"), "-e", NODE, sys.executable) as (process, child):
        assert settled(process.pid, tmp_path / "reports", "alive", f"process {child}") == 0


# --- what is dead, and what only looks like it ---------------------------------------------------

STEPS = """
import time
for i in range(6): print(f"step {i} loss {2 - i / 9}", flush=True); time.sleep(0.1)
"""
BESIDE_A_MONITOR = """
import os, queue
if not os.fork():
    while True:
        with open("/proc/meminfo") as figures, open("log", "w") as log: log.write(figures.read())
        time.sleep(0.5)
results = queue.Queue(); results.put(1); results.join()
"""
OVER_PIPES = """
import os
results, orders = os.pipe(), os.pipe()
if not (worker := os.fork()): os.close(orders[1]); os.read(orders[0], 1); os._exit(0)
if not os.fork(): os.read(orders[0], 1); os._exit(0)
os.close(results[1])
os.kill(worker, 9)
os.read(results[0], 1)
"""
RING_OF_LOCKS = """
import threading
locks, all_hold = [threading.Lock() for _ in range(3)], threading.Barrier(3)
def take(n):
    with locks[n]: all_hold.wait(); locks[(n + 1) % 3].acquire()
for n in (1, 2): threading.Thread(target=take, args=(n,)).start()
take(0)
"""
ENDED_BY_ITS_OWN_CLOCK = """
import faulthandler, queue
faulthandler.dump_traceback_later(4, exit=True)
queue.SimpleQueue().get()
"""


def watched(tmp_path, *command, options=("--budget", "90")):
    """The result of a command under `harness watch`."""
    forked.harness(
        *("watch", *options, "--out", tmp_path / "reports", "--", *command),
        folder=tmp_path,
        environment={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
    )
    (file,) = tmp_path.glob("reports/*/run.json")
    (result,) = json.loads(file.read_text())["results"]
    return result


@pytest.mark.parametrize(
    ("code", "through", "end", "place"),
    [
        (BESIDE_A_MONITOR, (), "dead", "<string>:10 in <module>"),
        (OVER_PIPES, (), "cycle", "<string>:11 in <module>"),
        (RING_OF_LOCKS, ("timeout", "600", "sh", "-c", '"$0" "$@"; true'), "cycle",
         "<string>:8 in take"),
    ],
    ids=["beside a monitor that lives", "over pipes whose worker was killed",
         "a ring of locks below timeout and sh"],
)  # fmt: skip
def test_watch_proves_what_is_dead_within_a_tree_and_names_the_line(
    tmp_path, code, through, end, place
):
    one = watched(tmp_path, *through, sys.executable, "-c", STEPS + code)
    assert (one["outcome"], one["cause"]["code"]) == ("hung", "deadlock"), one["reason"]
    assert one["cause"]["proven"]
    assert one["steps_completed"] == 6
    evidence = one["cause"]["evidence"]
    assert evidence["end"]["kind"] == end
    assert place in {link["place"] for link in evidence["chain"]}


ENDS_AFTER_20_S = "import os, threading; threading.Timer(20.0, os._exit, (0,)).start()\n"
CHECKPOINT = """
import os
with open("checkpoint", "wb") as file:
    while True: file.write(bytes(1 << 18)); file.flush(); os.fsync(file.fileno()); time.sleep(0.06)
"""
THROUGH_A_FILTER = """
import subprocess
lines = "import time\\nfor i in range(10**9): print(i, flush=True); time.sleep(0.05)"
with open("lines.py", "w") as script: script.write(lines)
with subprocess.Popen(f"{sys.executable} lines.py | grep nothing", shell=True,
                      stdout=subprocess.PIPE) as filtered: filtered.stdout.read()
"""
SMALL_TASKS = """
from multiprocessing.pool import ThreadPool
ThreadPool(2).map(time.sleep, [0.01] * 10**5, chunksize=1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [FROM_A_QUEUE, FROM_A_DEQUE, TASKS, CHECKPOINT, THROUGH_A_FILTER, SMALL_TASKS],
    ids=["queue", "deque", "tasks", "checkpoint", "filter", "pool"],
)
def test_watch_without_patience_ends_no_work_that_uses_little_of_the_cpu(tmp_path, code):
    one = watched(
        tmp_path, sys.executable, "-c", f"import sys\n{STEPS}{ENDS_AFTER_20_S}{code}",
        options=("--patience", "0", "--budget", "90"),
    )  # fmt: skip
    assert (one["outcome"], one["doubts"]) == ("completed", []), one["reason"]


PACED = """
def work():
    words = {}
    while True:
        for i in range(9000): words[str(i)] = len(words)
        time.sleep(0.4)
"""
FOR_A_QUEUE = (
    PACED
    + """
import queue
threading.Thread(target=work, daemon=True).start()
queue.Queue().get()
"""
)
FOR_A_FUTURE = (
    PACED
    + """
from concurrent.futures import ThreadPoolExecutor
ThreadPoolExecutor(1).submit(work).result()
"""
)
LOOKS_IN_VAIN = """
from concurrent.futures import ThreadPoolExecutor
def look():
    while not os.path.exists("never"): time.sleep(0.4)
ThreadPoolExecutor(1).submit(look).result()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "code", [FOR_A_QUEUE, FOR_A_FUTURE, PACED + "work()"], ids=["queue", "future", "main"]
)
def test_watch_without_patience_ends_nobody_who_works_in_a_beat(tmp_path, code):
    ends = "import os, threading; threading.Timer(40.0, os._exit, (0,)).start()\n"
    one = watched(
        tmp_path, sys.executable, "-c", f"{STEPS}{ends}{code}",
        options=("--patience", "0", "--budget", "120"),
    )  # fmt: skip
    assert one["outcome"] == "completed", one["reason"]


@pytest.mark.slow
def test_watch_without_patience_ends_who_looks_in_vain_in_a_beat(tmp_path):
    one = watched(
        tmp_path, sys.executable, "-c", f"import os\n{STEPS}{LOOKS_IN_VAIN}",
        options=("--patience", "0", "--budget", "600"),
    )  # fmt: skip
    assert (one["outcome"], one["cause"]["evidence"]["end"]["kind"]) == ("hung", "polls")


CONTINUES_IT = """
import multiprocessing, os, signal, subprocess
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1,))
child.start()
os.kill(child.pid, signal.SIGSTOP)
subprocess.Popen(["setsid", "--fork", "sh", "-c", f"sleep 15; kill -CONT {child.pid}"])
child.join()
print("step 6 loss 1", flush=True)
time.sleep(1)
"""


def test_watch_tells_of_a_child_that_is_stopped_and_takes_it_back_once_it_goes_on(tmp_path):
    """The process that continues it is none of the tree."""
    one = watched(tmp_path, sys.executable, "-c", STEPS + CONTINUES_IT, options=("--patience", "0"))
    assert (one["outcome"], one["steps_completed"]) == ("completed", 7), one["reason"]
    (doubt,) = one["doubts"]
    assert doubt["end"]["kind"] == "stopped"
    assert "waits for a child process" in doubt["summary"]
    assert doubt["taken_back_s"] > doubt["said_s"]


@pytest.mark.parametrize("kin", [(), ("beside",)], ids=["child", "beside"])
def test_watch_lets_who_shares_the_memory_open_the_gate(tmp_path, kin):
    one = watched(tmp_path, compiled("shares", tmp_path), "9", *kin)
    assert (one["outcome"], one["steps_completed"]) == ("completed", 5)
    assert one["cause"] is None


def test_watch_proves_nothing_of_what_ends_itself_by_a_clock(tmp_path):
    one = watched(tmp_path, sys.executable, "-c", STEPS + ENDED_BY_ITS_OWN_CLOCK)
    assert (one["outcome"], one["cause"]) == ("crashed", None)
    assert one["reason"].startswith("exited with code 1")
