"""What is drawn into terminals of any width, without one."""

from __future__ import annotations

import io
import re
import shlex
import time
from types import SimpleNamespace

import fakes
import pytest
import rich.console
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from harness.analysis import controls
from harness.cli import consoles, control_table
from harness.cli.console import COLUMNS, LiveScreen, Screen, screen
from harness.detect.watchdog import State
from harness.model import Finding, Outcome, Severity

LONG = "grad_evaluated_without_update"
REASON = "deadlock in phase forward of step 3: 3 threads in 2 processes wait for one another"


def console(width, terminal=True):
    return rich.console.Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, highlight=False
    )


JOB = SimpleNamespace(info=fakes.info())


def written(screen):
    return screen.console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 32, 40, 80, 200])
def test_what_became_of_a_run_is_wrapped_between_words_and_set_in(width):
    screen = Screen(console(width), 1, False, False)
    screen.finished(JOB, fakes.result(LONG, outcome=Outcome.CRASHED, reason=REASON))
    lines = written(screen)
    assert max(map(cell_len, lines)) <= width
    lines = lines[width >= 80 :]  # below what the figures are
    told = " ".join(" ".join(lines).split())
    # A name longer than a line is the only word that may be broken.
    assert REASON in told
    assert (LONG in told) is (width > len(LONG) + 6)
    assert all(line.startswith(" " * 6) for line in lines[1:])


def test_what_the_figures_are_is_told_once_above_them():
    screen = Screen(console(80), 12, False, False)
    for _ in range(2):
        screen.finished(JOB, fakes.result("baseline_update"))
    head, first, second = written(screen)
    assert head.startswith("P: size of the trainable parameters")
    assert head.rstrip().endswith("peak")
    assert len(head) == len(first.rstrip()) == len(second.rstrip())
    assert len(head) <= 80
    for made in (console(80, terminal=False), console(60)):
        screen = Screen(made, 12, False, False)
        screen.finished(JOB, fakes.result("baseline_update"))
        assert "P:" not in made.file.getvalue()


def test_what_was_found_is_said_in_a_sentence():
    growth = fakes.finding("memory_growth", Severity.WARNING)
    for quiet, verbose, times in ((False, False, 1), (False, True, 1), (True, False, 0)):
        screen = Screen(console(80, terminal=False), 1, quiet, verbose)
        screen.finished(JOB, fakes.result("a", findings=(growth,)))
        text = screen.console.file.getvalue()
        assert text.count(f"memory_growth: {growth.summary}") == text.count("memory_growth")
        assert text.count("memory_growth") == times


@pytest.mark.parametrize(
    ("severity", "expected", "mark", "summary"),
    [
        (Severity.ERROR, False, "✓⚠ completed s", "1 completed, but 1 learned nothing"),
        (Severity.WARNING, False, "✓⚠ completed s", "1 completed, but 1 with warnings"),
        (Severity.INFO, False, "✓ completed  s", "1 completed"),
        (Severity.ERROR, True, "✓ completed  s", "1 completed"),
    ],
)
def test_a_plain_tick_is_for_what_is_well(severity, expected, mark, summary):
    found = Finding(
        code="parameters_unchanged", severity=severity, summary="Still.", expected=expected
    )
    result = fakes.result("s", findings=(found,))
    screen = Screen(console(80), 1, False, False)
    screen.finished(JOB, result)
    screen.summary(fakes.run(result), "no room")
    first = next(line for line in written(screen) if "completed" in line)
    assert mark in first
    assert summary in [line.strip() for line in written(screen)]


def test_lines_of_a_file_are_whole():
    screen = Screen(console(80, terminal=False), 1, False, False)
    screen.finished(JOB, fakes.result(LONG, outcome=Outcome.CRASHED, reason=REASON * 3))
    assert f"{' ' * 6}{REASON * 3}" in written(screen)


@given(st.text(), st.integers(1, 60))
def test_any_text_fits_any_width(text, width):
    screen = Screen(console(width), 1, False, False)
    screen.say(Text(f"      {text}"))
    # A terminal of one column has no room for a sign of two.
    assert max(map(cell_len, written(screen)), default=0) <= max(width, 8)


def job(name, phase="optimizer_update", steps=1000, seconds=700):
    return SimpleNamespace(
        info=SimpleNamespace(name=name),
        spec=SimpleNamespace(settings=SimpleNamespace(steps=steps)),
        position=SimpleNamespace(step=steps - 1, phase=phase),
        last=SimpleNamespace(loss=12.345, phases={"forward": 0.0123}),
        rss_peak=1 << 30,
        started=time.monotonic() - seconds,
        judgment=SimpleNamespace(state=State.ALIVE, reason="", about=""),
        notes=[],
    )


class Looked:
    """A job as `looked` sees it."""

    def __init__(self):
        self.info = SimpleNamespace(name="train")
        self.notes = []

    def doubts(self, screen, state, reason, about=""):
        self.judgment = SimpleNamespace(state=state, reason=reason, about=about)
        screen.looked([self])


def test_a_doubt_is_told_once_and_another_one_is_told_too():
    screen, one = Screen(console(80, terminal=False), 1, False, False), Looked()
    for seconds in (4, 5):
        one.doubts(screen, State.SUSPECT, f"busy for {seconds} s")
    for _ in range(2):
        one.doubts(screen, State.SUSPECT, "rank 1 was killed", "rank_died (1,)")
    one.doubts(screen, State.SUSPECT, "busy for 9 s")
    assert written(screen) == [
        "  train: possible hang: busy for 4 s",
        "  train: possible hang: rank 1 was killed",
    ]


@pytest.mark.parametrize(
    ("met", "wrong", "mark", "said"),
    [
        (True, "", "✓ hung", f"as expected: {REASON}"),
        (False, "step 2, not 3", "✗ hung", "not as expected: step 2, not 3"),
        (None, "no GPU", "✗ hung", "hung in step 1, phase eval: deadlock"),
    ],
)
def test_a_selftest_shows_whether_the_verdict_is_the_expected_one(met, wrong, mark, said):
    screen = Screen(console(200), 1, False, False)
    screen.expected = lambda _: (met, wrong)
    screen.finished(JOB, fakes.hung("two_locks", message=REASON))
    _, first, *rest = written(screen)
    assert mark in first
    assert said in map(str.strip, rest)
    assert any("as expected" in line for line in rest) is (met is not None)


@pytest.mark.parametrize("width", [40, 60, 80, 300])
def test_a_command_to_copy_is_one_for_the_shell_at_any_width(width):
    command = "python -m harness run 'my scenario.py' --continue reports/20260101-120000-ab12"
    made = console(width)
    consoles.suggest(made, "to narrow this down, run:", command)
    lines = made.file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    told = made.file.getvalue().partition("run:")[2].replace("\\\n", " ")
    assert shlex.split(told) == shlex.split(command)
    piped = console(width, terminal=False)
    consoles.suggest(piped, "to narrow this down, run:", command)
    assert piped.file.getvalue() == f"to narrow this down, run: {command}\n"


LONG_PATH = "/a/path/that/is/longer/than/its/column/of/a/terminal"
ROWS = [("mlx", f"does not work: {LONG_PATH}"), ("swap", "0 B")]


@pytest.mark.parametrize("width", [28, 40, 60, 80])
def test_no_word_is_cut_in_two_columns(width):
    made = console(width)
    consoles.pairs(made, ROWS, ("name", "value"))
    lines = made.file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    assert "…" not in made.file.getvalue()
    assert LONG_PATH in "".join(line.strip() for line in lines)


def test_a_file_gets_a_row_in_a_line():
    made = console(40, terminal=False)
    consoles.pairs(made, ROWS, None)
    assert [line.split(maxsplit=1)[1].strip() for line in made.file.getvalue().splitlines()] == [
        text for _, text in ROWS
    ]


def test_a_reader_that_has_gone_is_no_verdict():
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):  # rich's own ends the process, as a hang does
        consoles.console(Gone()).print("scenario")


def test_the_way_to_a_process_that_is_kept_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/mlx-harness", "watch"])
    screen = Screen(console(80), 1, False, False)
    screen.summary(fakes.run(fakes.hung("train", kept_pid=4242)), tmp_path)
    lines = list(map(str.strip, written(screen)))
    assert "look at it: mlx-harness attach 4242" in lines
    assert "end it: kill 4242" in lines


def test_colors_that_are_asked_for_make_no_terminal_of_a_file(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with screen(1) as shown:
        shown.looked([])
        shown.finished(JOB, fakes.result(LONG, outcome=Outcome.CRASHED, reason=REASON * 3))
    text = shown.console.file.getvalue()
    assert "\x1b[31m" in text
    assert f"      {REASON * 3}" in re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()
    assert not re.search(r"\x1b\[[^m]*[A-Zhl]", text)  # no cursor is moved or hidden


@pytest.mark.parametrize("width", [20, 40, 80])
def test_what_attach_says_is_folded_between_words(width):
    made = console(width)
    consoles.say(made, Text(f"  {REASON}"), "  ")
    lines = made.file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    assert all(line.startswith("  ") for line in lines)
    assert " ".join(" ".join(lines).split()) == REASON


@pytest.mark.parametrize("quiet", [False, True])
def test_a_note_is_told_once_and_to_nobody_who_wants_none(quiet):
    screen, one = Screen(console(80, terminal=False), 1, quiet, False), Looked()
    one.notes.append("rank 1 exited with code 0")
    for _ in range(2):
        one.doubts(screen, State.ALIVE, "")
    assert written(screen) == ["  train: rank 1 exited with code 0"] * (not quiet)


@pytest.mark.parametrize("width", range(20, 140))
def test_a_table_has_as_many_columns_as_there_is_room_for(width):
    screen = LiveScreen(console(width), 2, False, False)
    screen.console.print(screen._table([job(LONG), job("two_locks", "eval")]))
    head, *rows = written(screen)
    assert len(rows) == 2
    assert max(map(cell_len, (head, *rows))) <= width
    assert ("per step" in head) is (width >= 106)
    if width >= 49:
        assert "…" not in "".join(rows)
        assert all(row.rstrip().endswith("alive") for row in rows)


def test_all_columns_have_room_in_eighty():
    screen = LiveScreen(console(80), 1, False, False)
    screen.console.print(screen._table([job("baseline_update", "backward", 10, 9)]))
    assert written(screen)[0].split() == " ".join(COLUMNS).split()


def row(n, expected, got=None, wrong=()):
    return controls.ControlResult(
        control=f"control_number_{n}",
        repeat=0,
        expected=expected,
        got=got or expected,
        ok=got is None,
        wrong=wrong,
    )


@pytest.mark.parametrize("width", [24, 40, 80, 200])
def test_the_verdicts_on_the_controls_fit_with_their_matrix(width, monkeypatch):
    classes = [f"hung/{n}" for n in ("deadlock", "stalled", "stopped", "starved", "waiting")]
    classes += [one.value for one in Outcome]
    rows = [row(n, kind) for n, kind in enumerate(classes)]
    rows.append(row(99, "completed", "crashed", ("it was crashed",)))
    made = console(width)
    monkeypatch.setattr(consoles, "console", lambda *_, **__: made)
    control_table.show(rows, controls.matrix(rows))
    text = made.file.getvalue()
    assert max(map(cell_len, text.splitlines())) <= width
    assert "…" not in text
    for one in rows:
        assert one.control in text
        assert one.got in text
    assert "it was crashed" in " ".join(text.split())
    assert ("expected ↓" in text) is (width >= 40)
    assert "11 of 12 got the expected verdict" in " ".join(text.split())
