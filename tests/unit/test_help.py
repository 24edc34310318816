"""The help texts of the command line, and how it answers a word that it does not know."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness import cli
from harness.cli import commands

ROOT = Path(harness.__file__).parents[1]
ALONE = """
import sys
sys.path.insert(0, {root!r})
from harness.cli import main
try:
    code = main({words!r})
finally:
    print(*sys.modules, sep=" ", file=sys.stderr)
sys.exit(code)
"""


def alone(*words):
    """The command in a Python without any installed package: its output and its modules."""
    program = ALONE.format(root=str(ROOT), words=words)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0
    return done.stdout, set(done.stderr.split())


def subparser(name):
    (action,) = (
        action
        for action in cli.parser([name])._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return action.choices[name]


def refused(capsys, *words):
    """The only line that a wrong command line gets."""
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert left.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    return line


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_of_a_command_is_whole(name):
    text = subparser(name).format_help()
    usage, opening, *_ = text.split("\n\n")
    assert usage.startswith(f"usage: harness {name} ")
    assert re.match(r"[A-Z][^.]+\.", opening)
    assert "\nexit codes:\n  0  " in text or name == "watch"
    assert "\n  2  " in text
    assert text.rstrip().endswith(f"more: {commands.page(name)}")
    assert (ROOT / commands.page(name)).is_file()


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_option_that_takes_a_value_shows_its_default(name):
    for action in subparser(name)._actions:
        assert action.help
        if action.option_strings and action.nargs != 0:
            shown = re.search(r"\(default: (.+)\)$", action.help % vars(action))
            assert shown, action.option_strings
            if type(action.default) in (int, float, str) and action.default != float("inf"):
                assert shown[1] == str(action.default).removesuffix(".0")


@pytest.mark.parametrize("columns", ["60", "80", "200"])
@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_help_text_breaks_no_word(name, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    whole = set(subparser(name).format_help().split())
    monkeypatch.setenv("COLUMNS", columns)
    text = subparser(name).format_help()
    assert set(text.split()) == whole
    assert max(map(len, text.splitlines())) <= 80


def test_the_help_lists_all_commands_and_imports_none():
    text, modules = alone("--help")
    for name, command in cli.COMMANDS.items():
        assert f"    {name} " in text
        assert " ".join(command.summary.split()) in " ".join(text.split())
    assert not {f"harness.cli.{command.module}" for command in cli.COMMANDS.values()} & modules


def test_the_bare_command_prints_the_help_as_an_error(capsys):
    assert cli.main([]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("usage: harness COMMAND [options]\n")


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_names_that_of_mlx(option, capsys):
    from importlib.metadata import version

    with pytest.raises(SystemExit) as left:
        cli.main([option])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"harness {harness.__version__} (mlx {version('mlx')})\n"


def test_the_version_says_that_mlx_is_not_installed():
    text, modules = alone("--version")
    assert text == f"harness {harness.__version__} (mlx not installed)\n"
    assert "mlx" not in modules


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "baseline_update", "--step", "3"], "run: error: unknown option --step; "
         "did you mean --steps?"),
        (["run", "--step=3"], "run: error: unknown option --step; did you mean --steps?"),
        (["report", "--isue"], "report: error: unknown option --isue; did you mean --issue?"),
        (["watch", "--patern", "x", "--", "true", "--foo"],
         "watch: error: unknown option --patern; did you mean --pattern?"),
        (["watch", "--budget", "x", "true", "--foo"],
         "watch: error: argument --budget/--timeout: must be a number of seconds above 0, not x"),
        (["watch", "--patience", "x", "true"],
         "watch: error: argument --patience: must be a number of seconds, 0 or more, not x"),
        (["compare", "a", "b", "--qqq"],
         "compare: error: unknown option --qqq; see: harness compare --help"),
        (["list", "-z"], "list: error: unknown option -z; see: harness list --help"),
        (["list", "all"], "list: error: unexpected argument all; see: harness list --help"),
        (["watch", "--bogus", "--", "true"],
         "watch: error: unknown option --bogus; see: harness watch --help"),
        (["--versio"], "error: unknown option --versio; did you mean --version?"),
        (["--foo", "list"], "error: unknown option --foo; see: harness --help"),
        (["rnu"], "error: unknown command rnu; did you mean run?"),
        (["qqq"], f"error: unknown command qqq; use one of {', '.join(cli.COMMANDS)}"),
    ],
)  # fmt: skip
def test_an_unknown_word_gets_a_hint(words, message, capsys):
    start = "harness: " if message.startswith("error") else "harness "
    assert refused(capsys, *words) == start + message


def test_what_a_watched_command_is_given_is_left_to_it():
    words = ["watch", "--budget", "5", "--", "python", "t.py", "--step", "3", "--budge=1"]
    arguments = cli.parser(words).parse_args(words)
    assert arguments.argv[-5:] == ["python", "t.py", "--step", "3", "--budge=1"]
