"""`harness watch --memory-limit` on real programs: one grows, and one only looks large."""

from __future__ import annotations

import json
import sys

import forked
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures by /proc")

GROWS = """
import signal, time
signal.signal(signal.SIGUSR1, lambda *_: print("saved", flush=True))
held, step = [], 0
while True:
    held.append(b"x" * (4 << 20))
    step += 1
    print(f"step {step}: loss {1 / step:.4f}", flush=True)
    time.sleep(0.02)
"""
LOOKS_LARGE = """
import mmap, os, sys
array = b"x" * (100 << 20)
weights = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, access=mmap.ACCESS_READ)
assert sum(weights[::4096]) >= 0
ready, done = os.pipe(), os.pipe()
children = []
for _ in range(4):
    if not (pid := os.fork()):
        assert sum(array[::4096]) and os.write(ready[1], b"!")
        os.close(done[1])
        os._exit(len(os.read(done[0], 1)))
    children.append(pid)
for _ in children:
    os.read(ready[0], 1)
import time
time.sleep(3.0)  # several looks, if the machine is quick enough for them
os.close(done[1])
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
"""


def watch(tmp_path, program, *argv):
    script = tmp_path / "program.py"
    script.write_text(program)
    words = ("--memory-limit", "300MiB", "--on-memory-signal", "USR1", "--", sys.executable)
    done = forked.harness(
        *("watch", "--json", "--out", tmp_path / "out", *words, script, *argv), folder=tmp_path
    )
    (result,) = json.loads(done.stdout)["results"]
    return done, result


def test_a_program_that_grows_may_save_and_is_then_ended(tmp_path):
    done, result = watch(tmp_path, GROWS)
    assert (done.returncode, result["outcome"]) == (75, "unfinished"), done.stderr
    found = next(one for one in result["findings"] if one["code"] == "memory_limit")
    evidence = found["evidence"]
    assert (evidence["ended"], len(evidence["sent_to"])) == (True, 1)
    assert result["reason"].startswith("stopped by --memory-limit after the report of step ")
    assert result["metrics"]["memory"]["limited_peak"] >= 300 << 20
    assert "saved" in done.stderr  # with --json the output of the command goes there


def test_shared_pages_and_mapped_weights_end_no_run(tmp_path):
    weights = tmp_path / "weights"
    weights.write_bytes(b"w" * (400 << 20))
    done, result = watch(tmp_path, LOOKS_LARGE, str(weights))
    codes = {one["code"] for one in result["findings"]}
    assert (done.returncode, result["outcome"]) == (0, "completed"), done.stderr
    assert not {code for code in codes if code.startswith("memory_limit")}
