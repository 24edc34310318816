"""Ctrl-C: counted while it matters, never in the middle of a report."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.observe import threads
from harness.session import execute as session
from harness.session import under_way
from harness.session.plan import Options
from harness.supervise import foreground, scheduler
from harness.supervise.guarding import spawn
from harness.supervise.scheduler import requests


@pytest.fixture(autouse=True)
def handlers():
    """Whatever a test does, ours are there afterwards. Who runs the tests may ignore Ctrl-C."""
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = {number: signal.getsignal(number) for number in scheduler.STOPS}
    yield
    assert before == {number: signal.getsignal(number) for number in scheduler.STOPS}
    signal.signal(signal.SIGINT, ignored)


class Observer:
    def looked(self, jobs):
        pass


def test_nothing_is_started_for_who_has_asked_to_stop():
    with requests() as interrupts:
        signal.raise_signal(signal.SIGINT)
        results, stopped = scheduler.run([pytest.fail], 1, Observer(), interrupts)
    assert (results, stopped) == ((), True)


def test_no_request_leaves_a_descriptor_open():
    with requests() as interrupts:
        opened = interrupts.woken
        os.fstat(opened)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened)


def run_with(monkeypatch, tmp_path, interrupted, write):
    monkeypatch.setattr(scheduler, "run", lambda *_, **__: ((), interrupted))
    monkeypatch.setattr(under_way, "write_all", write)
    return session.execute([], None, Options(out=tmp_path), Observer(), ["harness"])


@pytest.mark.parametrize("number", scheduler.STOPS)
def test_reports_are_written_whole_whoever_is_impatient(monkeypatch, tmp_path, number):
    def write(folder: Path, full: bool) -> None:
        for name in ("one", "two", "three"):
            signal.raise_signal(number)
            (folder / name).touch()

    result, folder = run_with(monkeypatch, tmp_path, True, write)
    assert result.interrupted
    assert {"one", "two", "three"} <= {path.name for path in folder.iterdir()}


def test_a_first_request_while_reports_are_written_is_honored_after_them(monkeypatch, tmp_path):
    def write(folder: Path, full: bool) -> None:
        signal.raise_signal(signal.SIGINT)
        (folder / "report.md").touch()

    with pytest.raises(KeyboardInterrupt):
        run_with(monkeypatch, tmp_path, False, write)
    assert list(tmp_path.glob("*/report.md"))


def test_each_of_several_in_their_order():
    under_way, most = set(), []

    def do(item):
        under_way.add(item)
        most.append(len(under_way))
        assert threading.current_thread().daemon  # an interpreter that ends does not wait for it
        under_way.discard(item)
        return 2 * item

    found = threads.each(range(20), do, 3, threading.Event())
    assert found == [2 * item for item in range(20)]
    assert max(most) <= 3
    assert threads.each([], do, 3, threading.Event()) == []


def test_what_one_of_several_raises_is_raised():
    def do(item):
        raise ValueError(item)

    with pytest.raises(ValueError, match="7"):
        threads.each([7], do, 2, threading.Event())


def test_an_interrupted_wait_tells_the_others_to_stop():
    stop = threading.Event()

    begun = threading.Barrier(2)

    def do(item):
        begun.wait()
        if item == 0:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        stop.wait()

    with pytest.raises(KeyboardInterrupt):
        threads.each(range(2), do, 2, stop)
    assert stop.is_set()


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with requests() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert interrupts.count == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", scheduler.NOTES)
def test_a_note_is_the_commands_and_no_request_to_stop(number):
    handed = []
    job = SimpleNamespace(signal=lambda number, alone: handed.append((number, alone)))
    with requests() as interrupts, interrupts.caught(*scheduler.NOTES):
        signal.raise_signal(number)
        assert interrupts.count == 0
        for one in interrupts.taken():
            foreground._signaled(one, interrupts.count, job, None)
    assert handed == [(number, True)]
    assert number in spawn.IGNORED, "a cluster may send it to the guard as well"
