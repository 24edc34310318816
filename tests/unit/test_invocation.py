"""Commands that the harness suggests begin as the one by which it was started."""

from __future__ import annotations

import sys

import pytest

from harness.analysis.diagnosis import next_experiment
from harness.errors import UsageError
from harness.model import Settings
from harness.scenario import load
from harness.text import invocation

PYTHON = "python3.11"


@pytest.mark.parametrize(
    ("started", "words"),
    [
        ("/venv/bin/harness", "harness"),
        ("harness", "harness"),
        ("/venv/bin/mlx-harness", "mlx-harness"),
        ("/venv/lib/harness/__main__.py", f"{PYTHON} -m harness"),
        ("/venv/lib/mlx_harness/__main__.py", f"{PYTHON} -m mlx_harness"),
        ("/venv/lib/pytest/__main__.py", f"{PYTHON} -m harness"),
        ("train.py", f"{PYTHON} -m harness"),
        ("", f"{PYTHON} -m harness"),
        (None, f"{PYTHON} -m harness"),
    ],
)
def test_a_command_begins_as_this_one_did(started, words, monkeypatch):
    monkeypatch.setattr(sys, "argv", [] if started is None else [started, "list"])
    monkeypatch.setattr(sys, "executable", f"/usr/bin/{PYTHON}")
    assert invocation.command("list") == f"{words} list"
    # In what is printed.
    command = next_experiment.command("tiny_model", Settings())
    assert command.startswith(f"{words} run tiny_model ")
    assert f"see: {words} list" in next_experiment.command("tiny_model", None)
    with pytest.raises(UsageError) as told:
        load.find(["no_such_thing"])
    assert str(told.value) == f"unknown scenario no_such_thing (see: {words} list)"
