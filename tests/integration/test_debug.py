"""The debug log: it says why a long phase is not called a hang, and why a hang is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import forked
import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="what a thread waits for is known on Linux only"
)


LONG = """
import time
from harness import beats
began = time.monotonic()
with beats.step():
    beats.phase("batch")
    time.sleep(0.2)
with beats.step():
    beats.phase("batch")
    time.sleep(max(20, 5 * (time.monotonic() - began)))
"""
"""Its second batch takes longer than any before, and ends by itself."""


def harness(folder, *words, command=(), **variables):
    """A command of the harness; its standard error."""
    words = [*words, "--out", str(folder / "reports"), *(["--", *command] if command else [])]
    done = forked.harness(*words, folder=ROOT, environment={**os.environ, **variables})
    assert done.returncode == 0, done.stderr
    return done.stderr


def logged(text, logger, words):
    """The records of one logger that have these words."""
    record = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (harness\.\w+): (.*)")
    found = [match.groups() for line in text.splitlines() if (match := record.match(line))]
    return [said for name, said in found if name == logger and re.search(words, said)]


def watched(folder, code):
    """The log of a command that runs `code`, and what went to the terminal."""
    errors = harness(folder, "watch", "--debug", command=[sys.executable, "-c", code])
    (log,) = folder.glob("reports/*/debug.log")
    return log.read_text(), errors


def test_the_log_says_why_a_long_phase_is_not_a_hang(tmp_path):
    text, errors = watched(tmp_path, LONG)
    for words in (
        r"not a hang: beats come",
        r"not a hang: batch has lasted .*, limit [\d.]+ s; nothing moves",
        r"no proven deadlock: .* waits with a timeout",
        r"overdue, to be inspected: batch has lasted .*, limit [\d.]+ s; nothing moves",
        r"inspected: not a hang, it goes on by itself: .*sleep",
        r"process \d+: detector ended: says nothing: it has not ended",
        r"process \d+: detector deadlock: says nothing: not proven: ",
        r"process \d+: detector chain: ",
    ):
        assert logged(text, "harness.detect", words), words
    assert not logged(text, "harness.supervise", "called a hang")
    assert not logged(errors, "harness.detect", "")


def test_the_log_says_why_a_hang_is_one(tmp_path):
    text = harness(tmp_path, "selftest", "two_locks", HARNESS_DEBUG="1")
    assert logged(text, "harness.supervise", r"called a hang: deadlock \(proven\): ")
    for stage in ("starting", "running", "confirmed", "collecting", "ending", "finished"):
        assert logged(text, "harness.supervise", rf"stage {stage}\b"), stage


def test_nothing_is_logged_unless_it_is_wanted(tmp_path):
    text = harness(tmp_path, "selftest", "two_locks", HARNESS_DEBUG="0")
    assert not logged(text, "harness.supervise", "")
    assert not logged(text, "harness.detect", "")
    assert not list(tmp_path.glob("reports/*/debug.log"))


def test_attach_logs_what_each_detector_says(tmp_path):
    code = "import time; print('up', flush=True); time.sleep(600)"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            text = harness(tmp_path, "attach", str(process.pid), "--for", "2", "--debug")
        finally:
            process.kill()
    assert logged(text, "harness.attach", rf"process {process.pid}: asleep: ")
    assert logged(text, "harness.attach", r"detector deadlock: says nothing: not proven: ")
