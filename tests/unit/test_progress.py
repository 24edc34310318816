"""The line below a notebook's cell, by stand-ins for IPython and for jobs."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import fakes

from harness.model import Position
from harness.session import progress
from harness.supervise.scheduler import Silent


class Handle:
    def __init__(self):
        self.shown = []

    def __call__(self, data, raw, display_id):
        assert raw
        assert display_id
        self.shown.append(data["text/plain"])
        return self

    def update(self, data, raw):
        assert raw
        self.shown.append(data["text/plain"])


def job(step, phase="eval", reason=""):
    return SimpleNamespace(
        info=fakes.info("mine"),
        spec=SimpleNamespace(settings=SimpleNamespace(steps=10)),
        position=Position(step, phase, 0.0),
        judgment=SimpleNamespace(reason=reason),
    )


def test_the_line_says_where_each_run_is_and_how_many_have_ended(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    handle = Handle()
    line = progress.Line(2, handle)
    for step, reason in ((-1, ""), (3, ""), (3, "it stands still")):
        now[0] += 1
        line.looked([job(step, reason=reason)])
        line.looked([job(step, reason=reason)])  # too soon
    line.finished(job(9), fakes.result("mine"))
    assert handle.shown == [
        "starts",
        "0 of 2 runs ended; mine starts",
        "0 of 2 runs ended; mine: step 3 of 10, eval",
        "0 of 2 runs ended; mine: step 3 of 10, eval (it stands still)",
        "1 of 2 runs ended, after 3 s",
    ]


def test_nothing_is_shown_outside_of_a_kernel(monkeypatch):
    assert isinstance(progress.observer(1), Silent)
    shell = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert isinstance(progress.observer(1), Silent)
    shell.kernel, handle = object(), Handle()
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=handle))
    assert isinstance(progress.observer(1), progress.Line)
    assert handle.shown == ["starts"]
