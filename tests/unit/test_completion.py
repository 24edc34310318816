"""What a shell is told of a word that is being typed, and that telling it takes little."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.scenario import load

ROOT = Path(__file__).parents[2]
SHIPPED = set(load.shipped())
ASKED = """
import os, sys
os.dup2(os.open("told", os.O_WRONLY | os.O_CREAT), 8)
exit = os._exit
def ended(code):
    open("imported", "w").write(" ".join(sys.modules))
    exit(code)
os._exit = ended
from harness import cli
cli.main([])
"""
HEAVY = {
    "mlx",
    "mlx_lm",
    "harness.session.execute",
    "harness.supervise",
    "harness.report",
    "harness.logs",
    "psutil",
    "rich",
}


def asked(folder, line):
    """The words that a shell is offered, and the modules that it took."""
    environment = {
        "PYTHONPATH": str(ROOT),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
    }
    subprocess.run(
        [sys.executable, "-c", ASKED], cwd=folder, env={**os.environ, **environment}, check=True
    )
    words = (folder / "told").read_text().split("\n")
    return set(filter(None, words)), set((folder / "imported").read_text().split())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("harness ", set(cli.COMMANDS)),
        ("harness ru", {"run", "run-all"}),
        ("harness run", {"run", "run-all"}),
        ("harness run ", SHIPPED | {"mine.py", "folder/"}),
        ("harness run baseline_u", {"baseline_update"}),
        ("harness run tiny_model baseline_u", {"baseline_update"}),
        ("harness run mi", {"mine.py"} | {name for name in SHIPPED if name.startswith("mi")}),
        ("harness run-all --st", {"--steps", "--stop-after"}),
        ("harness run --optimizer ad", {"adam", "adamw", "adafactor"}),
        ("harness watch --exit-code ", {"own", "verdict"}),
        ("harness attach --si", {"--signal-stacks"}),
        ("harness doctor --optimizer li", {"lion"}),
        ("harness report --is", {"--issue"}),
        ("harness compare --js", {"--json"}),
        ("harness selftest fork_d", {"fork_deadlock"}),
        ("harness completion ", {"bash", "zsh", "fish"}),
    ],
)
def test_a_word_may_become(tmp_path, line, words):
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "folder").mkdir()
    told, imported = asked(tmp_path, line)
    assert told == words
    assert imported & HEAVY == set()


def test_the_script_is_printed_alone_or_as_a_document(capsys):
    assert cli.main(["completion", "zsh"]) == 0
    script = capsys.readouterr().out
    assert script.startswith("#compdef harness")
    assert cli.main(["completion", "zsh", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["script"].strip() == script.strip()


def test_the_parser_of_one_command_is_that_of_all_of_them():
    line = ["run", "baseline_update", "--steps", "3"]
    one, every = cli.parser(line).parse_args(line), cli.parser().parse_args(line)
    assert vars(one) == vars(every)
