"""The debug log: it says why a long phase is not called a hang, and why a hang is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="what a thread waits for is known on Linux only"
)


def harness(folder, *words, **variables):
    """A command of the harness; its standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words, "--out", str(folder / "reports")],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def logged(text, logger, words):
    """The records of one logger that have these words."""
    record = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (harness\.\w+): (.*)")
    found = [match.groups() for line in text.splitlines() if (match := record.match(line))]
    return [said for name, said in found if name == logger and re.search(words, said)]


def test_the_log_says_why_a_long_phase_is_not_a_hang(tmp_path):
    text = harness(tmp_path, "selftest", "long_validation", "--debug")
    assert logged(text, "harness.detect", r"not a hang: beats come")
    assert logged(text, "harness.detect", r"overdue, to be inspected: .* has lasted .*, limit ")
    assert logged(text, "harness.detect", r"inspected: not a hang, it goes on by itself: .*uses the CPU|inspected: not a hang")
    assert logged(text, "harness.detect", r"process \d+: detector deadlock: says nothing: not proven: ")
    assert logged(text, "harness.detect", r"process \d+: detector chain: ")
    assert not logged(text, "harness.supervise", "called a hang")


def test_the_log_says_why_a_hang_is_one(tmp_path):
    text = harness(tmp_path, "selftest", "two_locks", HARNESS_DEBUG="1")
    assert logged(text, "harness.supervise", r"called a hang: deadlock \(proven\): .*two_locks")
    assert logged(text, "harness.supervise", r"suspected|confirmed|collecting")


def test_nothing_is_logged_unless_it_is_wanted(tmp_path):
    text = harness(tmp_path, "selftest", "two_locks", HARNESS_DEBUG="0")
    assert not logged(text, "harness.supervise", "")
    assert not logged(text, "harness.detect", "")
    assert not list(tmp_path.glob("reports/*/debug.log"))


def test_the_log_of_a_command_that_has_the_terminal_is_a_file(tmp_path):
    command = [sys.executable, "-c", "import time; time.sleep(1.5)"]
    errors = harness(tmp_path, "watch", "--debug", "--out", str(tmp_path / "reports"), "--", *command)
    (log,) = tmp_path.glob("reports/*/debug.log")
    assert logged(log.read_text(), "harness.detect", "not a hang: start has lasted ")
    assert not logged(errors, "harness.detect", "")


def test_attach_logs_what_each_detector_says(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        try:
            text = harness(tmp_path, "attach", str(process.pid), "--for", "2", "--debug")
        finally:
            process.kill()
    assert logged(text, "harness.attach", rf"process {process.pid}: asleep: ")
    assert logged(text, "harness.attach", r"detector deadlock: says nothing: not proven: ")
