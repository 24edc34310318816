"""What GitHub Actions is given: commands that it can read, and a summary that it shows."""

from __future__ import annotations

import argparse
import re

import fakes
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from harness.analysis import failing
from harness.analysis.controls import ControlResult
from harness.cli import github as cli
from harness.cli import parser
from harness.errors import Exit
from harness.model import Outcome
from harness.report import github, runjson

FAILURES = failing.OUTCOMES
COMMAND = re.compile(r"::(error|warning) ((?:\w+=[^,:\r\n]*,?)*)::([^\r\n]*)")


def run_of(*results, path="<project>/train/mine.py"):
    infos = tuple(
        fakes.info(name, path=path, source='"""One."""\n\n\ndef make_step(training):\n    pass\n')
        for name in dict.fromkeys(one.scenario for one in results)
    )
    return msgspec.structs.replace(fakes.run(*results), scenarios=infos)


def commands(run):
    found = [COMMAND.fullmatch(text) for text in github.commands(run, FAILURES)]
    assert all(found)
    return [(one[1], dict(part.split("=") for part in one[2].split(",")), one[3]) for one in found]


def test_a_failed_run_is_an_error_at_its_step():
    crashed = fakes.result("mine", outcome=Outcome.CRASHED, reason="ValueError: no\nmore")
    ((kind, where, told),) = commands(run_of(crashed, fakes.result("other")))
    assert kind == "error"
    assert where == {"file": "train/mine.py", "line": "4", "title": "mine%3A crashed"}
    assert told.split("%0A")[0] == "crashed: ValueError: no more"


def test_a_hang_is_told_with_what_it_waits_for():
    hung = fakes.hung("mine", message="2 threads wait", wait_site="waits for a lock, from a.py:3")
    ((_, _, told),) = commands(run_of(hung))
    lines = told.split("%0A")
    assert "where a.py:3" in lines
    assert any(line.startswith("who 2 threads wait, for ") for line in lines)
    assert any(line.strip() == "waits for a lock, from a.py:3" for line in lines)
    hung = fakes.hung("mine", message="it waits for a lock", wait_site="waits for a lock")
    ((_, _, told),) = commands(run_of(hung))
    assert "%0Awho it waits for a lock, for 1.25 s%0A" in told


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("mine.py", "a/b/mine.py"),
        ("./sub/mine.py", "a/b/sub/mine.py"),
        ("<project>/mine.py", "a/b/mine.py"),
        ("../mine.py", None),
        ("~/mine.py", None),
        ("/x/mine.py", None),
        ("<harness>/scenarios/ladder/mine.py", None),
        ("", None),
    ],
)
def test_a_file_is_named_where_the_repository_has_it(path, file):
    crashed = fakes.result("mine", outcome=Outcome.CRASHED, reason="no")
    (told,) = github.commands(run_of(crashed, path=path), FAILURES, "./a/b")
    assert (f"file={file},line=4" in told) if file else ("file=" not in told)


def test_a_run_that_completed_and_learned_nothing_is_a_warning():
    poor = fakes.result("mine", findings=(fakes.finding(summary="nothing changed"),))
    ((kind, _, told),) = commands(run_of(poor))
    assert kind == "warning"
    assert told.startswith("completed 10 steps, but nothing changed%0A")


def test_not_more_than_github_shows_and_the_rest_is_counted():
    many = [fakes.result(f"s{n}", outcome=Outcome.CRASHED, reason="no") for n in range(25)]
    found = commands(run_of(*many))
    assert len(found) == github.MOST
    assert "16 more runs" in found[-1][2]


@given(st.text())
def test_no_reason_breaks_out_of_its_command(reason):
    crashed = fakes.result("mine", outcome=Outcome.CRASHED, reason=reason)
    (told,) = github.commands(run_of(crashed, path=f"<project>/{reason}"), FAILURES)
    assert COMMAND.fullmatch(told)


def test_of_a_selftest_what_had_to_hang_and_did_is_no_error():
    rows = [
        ControlResult(
            control=name, repeat=2, expected="hung/deadlock", got=got, ok=ok, wrong=("not hung",)
        )
        for name, got, ok in (
            ("mine", "completed", False),
            ("other", "hung/deadlock", True),
            ("third", "skipped", None),
        )
    ]
    (told,) = github.missed(run_of(fakes.hung("mine", 2), fakes.hung("other", 2)), rows)
    place = "file=train/mine.py,line=4"
    assert told == f"::error {place},title=mine #2%3A completed::not hung"


@pytest.mark.parametrize("command", ["run-all", "watch"])
def test_what_is_not_redacted_is_not_put_before_all_eyes(command, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([command, "--full", "--github-summary", "true"])
    assert ended.value.code == Exit.USAGE
    assert "not allowed with" in capsys.readouterr().err


BLOCKS = st.lists(
    st.sampled_from(
        [
            "some text 🦊\n",
            "```text\nx\ny\n```\n",
            "````\n```\nnot the end\n````\n",
            "<details>\n<summary>more</summary>\n\n```\nlog\n```\n\n</details>\n",
            "| a | b |\n| :-- | --: |\n| 1 | 2 |\n\n",
        ]
    ),
    min_size=1,
)


@given(BLOCKS, st.integers(0, 600))
def test_a_summary_fits_and_every_block_is_closed(blocks, room):
    report = "\n".join(blocks)
    cut = github.summary(report, room)
    assert len(cut.encode()) <= room
    if len(report.encode()) <= room:
        assert cut == report
        return
    assert cut.count("<details>") == cut.count("</details>")
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(cut)
    if cut:
        # The note stands outside of every block.
        assert tokens[-2].content.startswith("*Cut short")


@pytest.fixture
def folder(tmp_path):
    crashed = fakes.result("mine", outcome=Outcome.CRASHED, reason="no")
    runjson.write(run_of(crashed), tmp_path)
    (tmp_path / "report.md").write_text("# it crashed\n")
    return tmp_path


def show(folder, json=False, wanted=True):
    arguments = argparse.Namespace(github_summary=wanted, json=json)
    cli.show(arguments, folder, lambda run, root: github.commands(run, FAILURES, root))


def test_the_summary_is_added_to_what_is_there(folder, monkeypatch, capsys):
    file = folder / "summary.md"
    file.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(folder))
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")
    show(folder)
    assert file.read_text() == "before\n# it crashed\n"
    told = capsys.readouterr()
    assert told.out.startswith("::error file=sub/train/mine.py,line=4,")
    assert told.err == ""


def test_with_json_stdout_is_left_alone(folder, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    show(folder, json=True)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("::error ")


@pytest.mark.parametrize("name", [None, "no/such/folder/summary.md"])
def test_without_a_file_it_says_so_and_goes_on(folder, monkeypatch, capsys, name):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    if name:
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / name))
    show(folder)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("cannot write the step summary: ")


def test_a_full_summary_is_left_as_it_is(folder, monkeypatch, capsys):
    file = folder / "summary.md"
    file.write_bytes(b"x" * github.SUMMARY)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    show(folder)
    assert file.stat().st_size == github.SUMMARY
    assert "full" in capsys.readouterr().err


def test_nothing_happens_unless_it_is_asked_for(folder, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    show(folder, wanted=False)
    assert not (folder / "summary.md").exists()
    assert capsys.readouterr().out == ""
