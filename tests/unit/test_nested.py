"""A harness inside of a watched command: its verdict is not lost in an exit code."""

from __future__ import annotations

import fakes
import pytest

from harness.inject.inside.writer import VARIABLE
from harness.model import Outcome
from harness.supervise import nested


@pytest.fixture
def watched(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


def crashed(code):
    return fakes.result("harness", Outcome.CRASHED, exit_code=code, reason=f"exited with {code}")


def test_a_hang_inside_is_a_hang_outside(watched):
    hung = fakes.hung("train.py")
    nested.tell([fakes.result("a"), hung, fakes.result("b", Outcome.CRASHED)])
    joined = nested.joined(crashed(1), nested.read(watched))
    assert (joined.scenario, joined.outcome) == ("harness", Outcome.HUNG)
    assert joined.reason == hung.reason
    assert (joined.cause.code, joined.cause.summary) == (hung.cause.code, hung.cause.summary)


def test_what_else_the_command_does_is_its_own_end(watched):
    nested.tell([fakes.hung("train.py")])
    inner = nested.read(watched)
    for own in (fakes.result("sh"), crashed(2), crashed(137)):
        assert nested.joined(own, inner) == own
    # What the exit code shows needs no other word.
    nested.tell([fakes.result("b", Outcome.CRASHED)])
    assert nested.joined(crashed(1), nested.read(watched)) == crashed(1)


def test_nobody_watches_or_nothing_is_wrong(watched, monkeypatch):
    nested.tell([fakes.result("a")])
    assert nested.read(watched) is None
    (watched / nested.NAME).write_text("{")
    assert nested.read(watched) is None
    assert nested.joined(crashed(1), None) == crashed(1)
    (watched / nested.NAME).unlink()
    monkeypatch.setenv(VARIABLE, str(watched / "gone"))
    nested.tell([fakes.hung("train.py")])
    monkeypatch.delenv(VARIABLE)
    nested.tell([fakes.hung("train.py")])
    assert list(watched.iterdir()) == []
