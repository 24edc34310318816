"""What a person sees in terminals of some width, in one that changes, and where there is none."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import forked
import pyte
import pytest
from pty_session import Session

pytestmark = pytest.mark.waits

ROOT = Path(__file__).parents[2]
CALM = ROOT / "tests" / "calm"
ROWS = 90


class Terminal:
    """A terminal's screen, as `pyte` makes it of what the harness writes."""

    def __init__(self, folder, columns, *command):
        words = " ".join(f"'{word}'" for word in (sys.executable, "-m", "harness", *command))
        # Whoever sets COLUMNS wants that width, whatever the terminal's is.
        environment = f"env -u COLUMNS -u LINES PYTHONPATH='{CALM}:{ROOT}' TERM=xterm-256color"
        self.session = Session(["sh", "-c", f"{environment} {words}"], str(folder), (ROWS, columns))
        self.screen = pyte.Screen(columns, ROWS)
        self._stream = pyte.ByteStream(self.screen)
        self._fed = 0

    @property
    def lines(self):
        self._stream.feed(self.session.output[self._fed :])
        self._fed = len(self.session.output)
        return [line.rstrip() for line in self.screen.display if line.strip()]

    @property
    def titles(self):
        return [line.split() for line in self.lines if "scenario" in line]

    def resize(self, columns):
        _ = self.lines
        self.screen.resize(ROWS, columns)
        self.session.resize(ROWS, columns)

    def count(self, told):
        return sum(told in line for line in self.lines)

    def until(self, told):
        self.session.until(lambda: any(told in line for line in self.lines))


@pytest.fixture
def terminal(tmp_path, monkeypatch):
    # In CI nothing is redrawn, and the tests run there too.
    monkeypatch.delenv("CI", raising=False)
    made = []

    def start(columns, *command):
        made.append(Terminal(tmp_path, columns, *command))
        return made[-1]

    yield start
    for one in made:
        one.session.close()


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "columns", [200, pytest.param(80, marks=SLOW), pytest.param(40, marks=SLOW), 28]
)
def test_the_picture_fits_whatever_the_width(terminal, columns):
    seen = terminal(columns, "run", "two_locks", "baseline_update", "--model", "micro")
    seen.until("━")
    # Whole: the terminal may be read while the picture is drawn anew.
    seen.session.until(lambda: [titles[-1:] for titles in seen.titles] == [["state"]])
    (titles,) = seen.titles
    assert titles[0] == "scenario"
    if columns >= 80:
        assert " ".join(titles) == "scenario phase step loss per step memory time state"
    assert not any("…" in line for line in seen.lines)
    assert seen.session.end() == 1
    lines = seen.lines
    # The table is gone, and each run has its line and its figures.
    assert not any("scenario  " in line or "━" in line for line in lines)
    assert [line for line in lines if line.startswith("[1/2] ✗ hung       two_locks")]
    assert [line for line in lines if line.startswith("[2/2] ✓ completed")]
    figures = [line for line in lines if re.search(r"5\.\d+→\d\.\d+", line)]
    assert len(figures) == 2
    assert ("completed" in figures[1]) is (columns >= 80)


HELD = """
import os, time
import mlx.core as mx

def make_step(training):
    def step(*batch):
        while not os.path.exists({go!r}): time.sleep(0.05)
        return mx.array(1.0 / (1 + training.step))
    return step
"""


@pytest.mark.parametrize(
    ("before", "after"), [pytest.param(120, 50, marks=SLOW), (50, 120), (80, 30)]
)
def test_the_picture_stays_right_when_the_window_changes(terminal, tmp_path, before, after):
    go = tmp_path / "go"
    (tmp_path / "held.py").write_text(HELD.format(go=str(go)))
    seen = terminal(before, "run", "baseline_update", "held.py", "--model", "micro")
    seen.until("held  ")
    seen.resize(after)
    since = len(seen.session.output)
    drawn = b"\x1b[2J" if after < before else "━".encode()
    seen.session.until(lambda: drawn in seen.session.output[since:])
    # Never two of them for longer than it takes to draw one.
    seen.session.until(lambda: seen.count("scenario ") == seen.count("completed") == 1)
    go.touch()
    assert seen.session.end() == 0
    assert not any("scenario  " in line or "━" in line for line in seen.lines)
    assert seen.count("[1/2] ✓ completed") == 1
    assert seen.count("[2/2] ✓") == 1


def piped(folder, *command, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return forked.harness(*command, folder=folder, environment=environment)


@pytest.mark.parametrize("variables", [{}, {"CI": "true"}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_where_there_is_no_terminal_there_are_lines_alone(tmp_path, variables):
    done = piped(tmp_path, "run", "two_locks", "--model", "micro", **variables)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "\x1b" not in done.stderr
    assert "━" not in done.stderr
    assert done.stderr.startswith("[1/1] ✗ hung       two_locks")


def test_no_color_is_no_color(terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    seen = terminal(80, "run", "baseline_update", "--model", "micro")
    assert seen.session.end() == 0
    assert not re.search(rb"\x1b\[[0-9;]*3[0-9][;m]", seen.session.output)
    assert any(line.startswith("[1/1] ✓ completed") for line in seen.lines)


def test_a_terminal_of_a_ci_system_gets_lines_alone(terminal, monkeypatch):
    monkeypatch.setenv("CI", "true")
    seen = terminal(80, "run", "two_locks", "--model", "micro")
    assert seen.session.end() == 1
    assert "━".encode() not in seen.session.output
    assert b"\x1b[2K" not in seen.session.output
    assert any(line.startswith("[1/1] ✗ hung       two_locks") for line in seen.lines)


@pytest.mark.parametrize("columns", [200, pytest.param(80, marks=SLOW), 34])
def test_the_verdicts_of_a_selftest_are_whole(terminal, columns):
    seen = terminal(columns, "selftest", "two_locks", "abort")
    assert seen.session.end() == 0
    lines = seen.lines
    assert not any("…" in line for line in lines)
    table = [line for line in lines if not line.startswith("[")]  # above it are the runs
    for control, verdict in (("two_locks", "hung/deadlock"), ("abort", "crashed")):
        assert sum("✓" in line and control in line and verdict in line for line in table) == 1
    assert "2 of 2 got the expected verdict" in lines
    # What is told in words is broken between them.
    told = " ".join(" ".join(lines).split())
    assert "deadlock in phase forward of step 3: main at two_locks.py:" in told


@pytest.mark.parametrize(
    "columns", [pytest.param(200, marks=SLOW), 80, pytest.param(34, marks=SLOW)]
)
def test_ranks_are_one_line_as_any_run_is(terminal, columns):
    seen = terminal(columns, "run", "baseline_update", "--model", "micro", "--ranks", "2")
    seen.until("━")
    seen.session.until(lambda: seen.count("baseline_update") == 1)
    assert seen.session.end() == 0
    assert seen.count("✓ completed  baseline_update") == 1
    assert not any("━" in line for line in seen.lines)


@pytest.mark.parametrize("columns", [200, 40])
def test_a_watched_command_keeps_its_own_lines(terminal, columns):
    code = "print(*(f'Iter {n}: loss {5 - n}.5' for n in range(3)), sep=chr(10))"
    seen = terminal(columns, "watch", "--", sys.executable, "-c", code.replace("'", '"'))
    assert seen.session.end() == 0
    lines = seen.lines
    assert lines[:3] == [f"Iter {n}: loss {5 - n}.5" for n in range(3)]
    assert lines[3].startswith("[1/1] ✓ completed")
    assert not any("━" in line for line in lines)
