"""Completion in the shells themselves: a word is begun, Tab is pressed, and the line looked at."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pyte
import pytest
from pty_session import Session

pytestmark = pytest.mark.waits

ROOT = Path(__file__).parents[2]
SHELLS = {
    "bash": (["--norc", "-i"], 'eval "$(harness completion bash)"'),
    "zsh": (
        ["-f", "-i"],
        'autoload -U compinit; compinit -u -D; eval "$(harness completion zsh)"',
    ),
    "fish": (["--no-config", "-i"], "harness completion fish | source"),
}
LINES = {
    "harness selft": "harness selftest",
    "harness run baseline_u": "harness run baseline_update",
    "harness run tiny_model my_o": "harness run tiny_model my_own_step.py",
    "harness run-all --until": "harness run-all --until-decided",
    "harness run-all --optimizer adaf": "harness run-all --optimizer adafactor",
}


@pytest.fixture(params=SHELLS)
def shell(request, tmp_path, monkeypatch):
    """A shell in a terminal, with a `harness` on its path, in which completion is set up."""
    if shutil.which(request.param) is None:
        pytest.skip(f"there is no {request.param} here")
    command = tmp_path / "bin" / "harness"
    command.parent.mkdir()
    command.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from harness.cli import main\nsys.exit(main())\n"
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm")
    work = tmp_path / "work"
    work.mkdir()
    (work / "my_own_step.py").write_text("")
    arguments, setup = SHELLS[request.param]
    session = Session([request.param, *arguments], str(work))
    session.type(f"{setup}; echo rea''dy\n".encode())
    session.until(b"ready\r\n")
    yield session
    session.close()


def test_tab_ends_the_word(shell):
    screen = pyte.Screen(100, 40)
    stream = pyte.ByteStream(screen)
    fed = 0

    def shown(line):
        nonlocal fed
        stream.feed(shell.output[fed:])
        fed = len(shell.output)
        return screen.display[screen.cursor.y].rstrip().endswith(line)

    for typed, line in LINES.items():
        shell.type(typed.encode() + b"\t")
        shell.until(lambda line=line: shown(line))
        shell.type(b"\x15")  # Ctrl-U takes the line away
        shell.until(lambda line=line: not shown(line))
