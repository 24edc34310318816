"""The program of `--notify`: it is told of few doubts, of the end of each, and of the verdict."""

from __future__ import annotations

import pytest

from harness.model import Cause
from harness.supervise import notify
from harness.supervise.notify import Notifier

CAUSE = Cause(code="waiting", summary="waits for a queue")


@pytest.fixture
def told(monkeypatch):
    """The events that a program was told of; the clock stands, unless a test sets `now`."""
    events: list[str] = []
    monkeypatch.setattr(Notifier, "_tell", lambda self, document: events.append(document))
    monkeypatch.setattr(notify.threading, "Thread", _AtOnce)
    monkeypatch.setattr(notify.time, "monotonic", lambda: _AtOnce.now)
    return events


class _AtOnce:
    now = 1000.0

    def __init__(self, target, args, name):
        self._target, self._args = target, args

    def start(self):
        self._target(*self._args)


def events_of(told):
    return [document.split(b'"event":"')[1].split(b'"')[0].decode() for document in told]


def test_the_end_of_a_doubt_that_was_told_comes_within_the_minute_and_no_other(told, monkeypatch):
    notifier = Notifier(["true"])
    for event in ("doubt", "taken_back", "doubt", "taken_back"):
        notifier(event, "a", CAUSE)
    assert events_of(told) == ["doubt", "taken_back"]
    monkeypatch.setattr(_AtOnce, "now", 1061.0)
    notifier("doubt", "a", CAUSE)
    notifier("hung", "a", CAUSE)
    assert events_of(told)[2:] == ["doubt", "hung"]


def test_each_run_is_told_of_for_itself(told):
    notifier = Notifier(["true"])
    notifier("doubt", "a", CAUSE)
    notifier("doubt", "b", CAUSE)
    assert events_of(told) == ["doubt", "doubt"]


def test_the_verdict_comes_within_the_minute(told):
    notifier = Notifier(["true"])
    notifier("doubt", "a", CAUSE)
    notifier("hung", "a", CAUSE)
    assert events_of(told) == ["doubt", "hung"]
