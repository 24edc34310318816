"""Runs one command in our own place: its output is seen, its input and signals are the user's."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
from collections.abc import Callable

from harness.model import ScenarioResult
from harness.supervise.job import GRACE_S, Job
from harness.supervise.scheduler import NOTES, TICK_S, Followers, Interrupts, Observer, follow
from harness.supervise.terminal import Terminal, Typed


def run(
    terminal: Terminal,
    start: Callable[[], Job],
    observer: Observer,
    interrupts: Interrupts,
    followers: Followers,
) -> tuple[ScenarioResult, bool]:
    """Start the command, pass everything on, and wait until it is over, and what follows it.

    Returns the result, and whether the user ended it. The first Ctrl-C is the command's own; a
    second one ends it at once, as do several typed in a row where a terminal hands them on. Of
    those that are signals `interrupts` tells.
    """
    with interrupts.caught(signal.SIGTSTP, *NOTES):
        # Lent before the start: a command may write, and a Ctrl-C be typed, before the first look.
        with terminal.lent():
            job = start()
            observer.started(job)
            result = _watched(terminal, job, observer, interrupts)
        if result.signal is not None or result.cause is not None or job.ended_by_user:
            terminal.tidy()
        result = follow(job, result, followers, observer, interrupts)
        observer.finished(job, result)
    return result, job.ended_by_user


def _watched(
    terminal: Terminal, job: Job, observer: Observer, interrupts: Interrupts
) -> ScenarioResult:
    """Hand on what is typed and signaled, and look on, until the job has its result."""
    with selectors.DefaultSelector() as selector:
        selector.register(interrupts.woken, selectors.EVENT_READ, "signals")
        selector.register(job.channel, selectors.EVENT_READ, "guard")
        result, keys = None, False
        while result is None:
            terminal.follow()
            if terminal.typing and not keys:
                selector.register(0, selectors.EVENT_READ, "keys")
            elif keys and not terminal.typing:
                selector.unregister(0)
            keys = terminal.typing
            ready = {key.data for key, _ in selector.select(TICK_S)}
            if "keys" in ready:
                _obey(terminal.typed(), job, terminal)
            for number in interrupts.taken():
                _signaled(number, interrupts.count, job, terminal)
            result = job.tick()
            observer.looked((job,))
    return result


def _obey(typed: Typed, job: Job, terminal: Terminal) -> None:
    if typed is Typed.INTERRUPT:
        job.note_stop_typed()
    elif typed is Typed.INSIST:
        job.interrupt(0.0)
    elif typed is Typed.SUSPEND:
        _suspend(job, terminal)


def _signaled(number: int, count: int, job: Job, terminal: Terminal) -> None:
    if number == signal.SIGTSTP:
        _suspend(job, terminal)
    elif number in NOTES:
        job.signal(number, alone=True)
    elif number == signal.SIGINT and count == 1:
        job.signal(number)
    else:
        job.interrupt(GRACE_S if count == 1 else 0.0)


def _suspend(job: Job, terminal: Terminal) -> None:
    """Ctrl-Z: the command stops, and so do we, until the shell continues us."""
    job.stop()
    terminal.take_back()
    handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        os.kill(0, signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, handler)
    terminal.follow()
    terminal.resize()
    job.signal(signal.SIGCONT)
