"""The chain of waits ends in a person, or not: real programs in real terminals."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time

import pytest
from pty_session import Session
from waiting import ARCH

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

from harness.detect.chain.facts import Facts  # noqa: E402
from harness.detect.chain.follow import follow  # noqa: E402
from harness.detect.chain.links import Ends  # noqa: E402
from harness.detect.observation import Look, Observation  # noqa: E402
from harness.observe import linux, platform  # noqa: E402
from harness.observe.linux import file_peers  # noqa: E402

SETTLE_S = 60.0

INPUT, TTY = "input()", "open('/dev/tty').read(1)"
READLINE = "import readline; input('> ')"
SELECT = "select.select([0, os.pipe()[0]], [], [])"
POLL = (
    "one = select.poll(); one.register(0, select.POLLIN)\n"
    "one.register(os.pipe()[0], select.POLLIN); one.poll()"
)
EPOLL = (
    "one = select.epoll(); one.register(0, select.EPOLLIN)\n"
    "one.register(os.pipe()[0], select.EPOLLIN); one.poll()"
)
NESTED = (
    "inner = select.epoll(); inner.register(0, select.EPOLLIN)\n"
    "one = select.epoll(); one.register(inner.fileno(), select.EPOLLIN); one.poll()"
)
ASYNCIO = (
    "import asyncio\n"
    "async def main():\n"
    "    loop = asyncio.get_running_loop()\n"
    "    got = loop.create_future()\n"
    "    loop.add_reader(0, got.set_result, None)\n"
    "    await got\n"
    "asyncio.run(main())"
)
THREAD = "threading.Thread(target=input).start(); threading.Event().wait()"
WRITES_ONLY = (
    # The terminal takes no more: it is full, and nobody reads it.
    "one = select.epoll(); one.register(os.pipe()[0], select.EPOLLIN)\n"
    "one.register(1, select.EPOLLET | select.EPOLLOUT); one.poll(); one.poll()"
)
NOT_ASKED = "one = select.epoll(); one.register(0, 0); one.poll()"
PASSES_ON = (
    # As `script` and `mpirun` do: what is typed goes to a child, whose output is waited for.
    "ends = os.pipe()\n"
    "if not os.fork(): os.close(ends[0]); os.read(os.pipe()[0], 1)\n"
    "os.close(ends[1]); select.select([0, ends[0]], [], [])"
)
BACKGROUND = (
    "signal.signal(signal.SIGTTOU, signal.SIG_IGN)\n"
    "if not (child := os.fork()): os.setpgid(0, 0); os.read(os.pipe()[0], 1)\n"
    "time.sleep(0.2); os.tcsetpgrp(0, child); select.select([0], [], [])"
)
OTHER_SESSION = "if os.fork(): os.wait()\nos.setsid(); select.select([0], [], [])"


def seen(pid: int) -> list[bool]:
    """Of each process of a tree, whether its chain ends in what a person types."""
    processes = linux.processes([pid], deep=True)
    between = platform.current().relations()(processes)
    facts = Facts(
        Observation(
            root=pid,
            windows=((Look(t=0.0, processes=processes),),),
            arch=ARCH,
            links=between.links,
            futexes=between.futexes,
        )
    )
    chains = [follow(facts.candidates(one.pid), facts) for one in processes]
    return [chain.end.kind is Ends.PERSON for chain in chains]


def answers(argv, folder, expected: list[bool]) -> list[bool]:
    """What is said of the processes of a program, once they have come to where they wait: as
    expected at some look, if that has a prompt, and at each look of a second, if it has none."""
    terminal = Session(argv, str(folder))
    try:
        terminal.until(b"here")
        time.sleep(0.5)
        end = time.monotonic() + SETTLE_S
        while (found := seen(terminal.pid)) != expected and time.monotonic() < end:
            time.sleep(0.05)
        end = time.monotonic() + 1.0
        while not any(expected) and found == expected and time.monotonic() < end:
            time.sleep(0.05)
            found = seen(terminal.pid)
        return found
    finally:
        for one in linux.processes([terminal.pid])[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, 9)
        terminal.close()


def program(code: str) -> list[str]:
    begin = "import os, select, signal, sys, threading, time; print('here', flush=True)\n"
    return [sys.executable, "-c", begin + code]


@pytest.mark.parametrize(
    "code", [INPUT, TTY, READLINE, SELECT, POLL, EPOLL, NESTED, ASYNCIO, THREAD],
    ids=["input", "tty", "readline", "select", "poll", "epoll", "nested", "asyncio", "thread"],
)  # fmt: skip
def test_a_person_is_waited_for_in_a_set_of_any_size(tmp_path, code):
    assert answers(program(code), tmp_path, [True]) == [True]


@pytest.mark.parametrize(
    ("code", "processes"),
    [
        (WRITES_ONLY, 1),
        (NOT_ASKED, 1),
        (PASSES_ON, 2),
        (BACKGROUND, 2),
        (OTHER_SESSION, 2),
        ("os.read(os.pipe()[0], 1)", 1),
        ("time.sleep(600)", 1),
    ],
    ids=["writes", "not-asked", "passes-on", "background", "other-session", "pipe", "sleep"],
)
def test_no_person_can_end_it(tmp_path, code, processes):
    assert answers(program(code), tmp_path, [False] * processes) == [False] * processes


def test_a_shell_waits_for_the_person_whom_the_program_below_it_asks(tmp_path):
    command = " ".join(["echo here;", sys.executable, "-c", "'input()';", "true"])
    assert answers(["sh", "-c", command], tmp_path, [True, True]) == [True, True]


@pytest.mark.skipif(not shutil.which("node"), reason="there is no node")
def test_a_prompt_of_node_is_one_and_a_program_of_it_that_prints_is_none(tmp_path):
    asks = "console.log('here'); process.stdin.on('data', () => {})"
    prints = "console.log('here'); setTimeout(() => {}, 600000)"
    assert answers(["node", "-e", asks], tmp_path, [True]) == [True]
    assert answers(["node", "-e", prints], tmp_path, [False]) == [False]


def waited_for(terminal):
    """The links of the program at a terminal, once it waits."""
    end = time.monotonic() + SETTLE_S
    links = ()
    while not links and time.monotonic() < end:
        family = linux.processes([terminal.pid], deep=True)
        links = file_peers.waited_for(family[0], family[0].threads[0], ARCH, file_peers.Ends())
    return links


def test_the_link_of_a_prompt_says_that_a_person_can_type(tmp_path):
    terminal = Session(program("input()"), str(tmp_path))
    try:
        terminal.until(b"here")
        links = waited_for(terminal)
        assert [(one.kind, one.person, one.peers) for one in links] == [("terminal", True, ())]
    finally:
        terminal.close()


def test_what_a_terminal_does_not_take_waits_for_who_holds_its_other_end(tmp_path):
    terminal = Session(program("os.write(1, b'x' * (1 << 20))"), str(tmp_path))
    try:
        terminal.until(b"here")
        links = waited_for(terminal)
        (link,) = links
        assert (link.kind, link.person, link.peers) == ("terminal", False, (os.getpid(),))
    finally:
        terminal.close()
