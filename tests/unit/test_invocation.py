"""Commands that the harness suggests begin as the one by which it was started."""

from __future__ import annotations

import sys

import pytest

from harness.analysis.diagnosis import next_experiment
from harness.cli import known
from harness.errors import UsageError
from harness.model import Settings
from harness.scenario import load
from harness.text import invocation

PYTHON = "python3.11"


def test_a_hint_names_a_command_as_this_one_was_started(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/mlx-harness", "doctor"])
    found = [{"package": "mlx", "version": "0.32.4"}]
    assert "; to list them: mlx-harness doctor --known" in known.count({"known_issues": found})
    with pytest.raises(UsageError, match="with: mlx-harness list"):
        load.find(["no/such/file.py"])


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


@pytest.mark.parametrize(
    ("typed", "arguments", "words"),
    [
        ("/bin/uv tool uvx --from ./here harness run a", "run a", "uvx --from ./here harness"),
        ("uv tool run --from x harness list", "list", "uv tool run --from x harness"),
        ("uv run --with x mlx-harness list", "list", "uv run --with x mlx-harness"),
        ("uv run python -m harness list", "list", "uv run python -m harness"),
        ("uv run train.py list", "list", None),
        ("uv run pytest harness", "x", None),
        ("bash harness list", "list", None),
        ("uv", "", None),
        ("", "", None),
    ],
)
def test_a_command_begins_as_uv_was_told_to_start_this_one(typed, arguments, words):
    found = invocation.by_uv(typed.split(), arguments.split())
    assert found == (words and tuple(words.split()))


def test_a_process_that_uv_did_not_start_is_not_asked_twice(monkeypatch):
    monkeypatch.setenv("UV", "/bin/uv")
    monkeypatch.setattr(sys, "argv", ["/venv/bin/harness", "list"])
    assert invocation.command("list") == "harness list"


@pytest.mark.parametrize(
    ("started", "words"),
    [
        ("/h/.cache/pipx/85a6528a58a0859/bin/harness",
         "pipx run --spec mlx-hang-harness harness"),
        ("/h/.local/share/pipx/venvs/mlx-hang-harness/bin/harness", "harness"),
        ("/h/.local/bin/harness", "harness"),
    ],
)  # fmt: skip
def test_a_command_of_pipx_run_begins_with_pipx(started, words, monkeypatch):
    monkeypatch.setattr(sys, "argv", [started, "list"])
    assert invocation.command("list") == f"{words} list"
