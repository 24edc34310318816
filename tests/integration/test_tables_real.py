"""What a real supervisor opens: no table of files, sockets or locks before there is doubt."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ROOT = Path(__file__).resolve().parents[2]
TABLES = re.compile(r"^/proc/(\d+|self)/(task/\d+/)?(fd|fdinfo|net|maps|map_files)\b|^/proc/locks")
HOOKED = """
import sys

log = open(sys.argv.pop(1), "w", buffering=1)

def hear(event, arguments):
    if event in ("open", "os.listdir", "os.scandir"):
        print(arguments[0], file=log)
    elif event == "socket.__new__" and arguments[1] == 16:
        print("/proc/self/net (asked of the kernel)", file=log)

sys.addaudithook(hear)

from harness.cli import main

sys.exit(main(sys.argv[1:]))
"""
SCENARIO = """
import subprocess, sys, time

import mlx.core as mx


def make_step(training):
    def step():
        {step}
        return mx.array(1.0 / (1 + training.step))

    return step


def batches(training):
    while True:
        yield ()
"""
WORKS = """end = time.monotonic() + 0.1
        while time.monotonic() < end:
            mx.eval(mx.eye(64) @ mx.eye(64))"""
SLEEPS = "time.sleep(1.5)"
AWAITS_A_CHILD = "subprocess.run([sys.executable, '-c', 'import time; time.sleep(1.5)'])"
STALLS = "__import__('queue').Queue().get() if training.step == 2 else time.sleep(0.05)"


def tables(tmp_path, step, steps):
    """The tables that were read in a run of so many of these steps."""
    scenario, log = tmp_path / "steps.py", tmp_path / "opened"
    scenario.write_text(SCENARIO.format(step=step))
    subprocess.run(
        [sys.executable, "-c", HOOKED, str(log), "run", str(scenario), "--steps", str(steps),
         "--out", str(tmp_path / "out"), "--json"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=False,
        timeout=300,
    )  # fmt: skip
    opened = log.read_text().splitlines()
    assert [path for path in opened if re.match(r"/proc/\d+/stat$", path)], "nobody looked"
    return sorted({path for path in opened if TABLES.match(path)})


@pytest.mark.parametrize(
    ("step", "steps"),
    [(WORKS, 15), (SLEEPS, 4), (AWAITS_A_CHILD, 3)],
    ids=["works", "sleeps", "awaits a child that sleeps"],
)
def test_no_table_is_read_of_a_run_that_goes_on(tmp_path, step, steps):
    assert tables(tmp_path, step, steps) == []


def test_the_tables_are_read_to_prove_that_nothing_will_go_on(tmp_path):
    read = tables(tmp_path, STALLS, 4)
    assert [path for path in read if path.endswith("/fd")]
