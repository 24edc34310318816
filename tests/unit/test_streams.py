"""Bounded logs: the first and the last MiB of anything. And where a line of what is shown ends."""

from __future__ import annotations

import errno
import os
import termios
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.supervise import streams, terminal
from harness.supervise.terminal import Modes, ends_open


@given(st.lists(st.binary(max_size=40), max_size=40))
def test_head_and_tail_are_kept_and_the_rest_is_counted(tmp_path_factory, chunks):
    path = tmp_path_factory.mktemp("log") / "stdout.log"
    keep, streams.KEEP = streams.KEEP, 64
    try:
        log = streams.Log(path)
        for chunk in chunks:
            log.write(chunk)
        log.close()
    finally:
        streams.KEEP = keep
    whole = b"".join(chunks)
    kept = path.read_bytes()
    if len(whole) <= 128:
        assert kept == whole
    else:
        left_out = len(whole) - 128
        assert kept == whole[:64] + b"\n[... %d bytes left out ...]\n" % left_out + whole[-64:]


def test_everything_is_on_disk_before_it_is_closed(tmp_path):
    log = streams.Log(tmp_path / "stderr.log")
    log.write(b"a" * streams.KEEP)
    log.write(b"the end")
    on_disk = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))
    log.close()
    assert on_disk.count(b"the end") == 1


@pytest.mark.parametrize(
    ("data", "open_line"),
    [
        (b"step 1", True),
        (b"step 1\n", False),
        (b"step 1\n\x1b[0m\x1b[?25h", False),
        (b"step 1\x1b[0m", True),
        (b"\r 10%|# | 1/10", True),
        (b"\r 10%|# | 1/10\r", True),
        (b":\r\x1b[K\x1b[?1l\x1b>\x1b[?1049l", False),
        (b"\x1b" * 100_000, True),
    ],
)
def test_it_is_known_whether_a_line_has_ended(data, open_line):
    assert ends_open(data, False) is open_line


def test_a_color_neither_ends_nor_begins_a_line():
    assert [ends_open(b"\x1b[1;31m", before) for before in (True, False)] == [True, False]


@pytest.mark.parametrize(
    ("shown", "undone"),
    [
        ([b"\x1b[?25l step 1"], b"\x1b[?25h"),
        ([b"\x1b[?25l step 1 \x1b[?25h"], b""),
        ([b"\x1b[?2", b"5l step 1"], b"\x1b[?25h"),
        ([b"\x1b[?1049;25l\x1b[?1049h"], b"\x1b[?1049l\x1b[?25h"),
        ([b"\x1b[?7l\x1b[25l\x1b[1;31mred"], b""),
    ],
)
def test_what_a_killed_command_left_of_a_terminal_is_undone_once(shown, undone):
    modes = Modes()
    for data in shown:
        modes.see(data)
    assert modes.undone() == undone
    assert modes.undone() == b""


def test_a_signal_does_not_keep_the_terminal_in_its_old_mode(monkeypatch):
    answers = [termios.error(errno.EINTR, "a signal"), None]

    def tcsetattr(fd, when, mode):
        if (answer := answers.pop(0)) is not None:
            raise answer

    monkeypatch.setattr(terminal.termios, "tcsetattr", tcsetattr)
    terminal._set([])
    assert answers == []
    answers += [termios.error(errno.EIO, "it has gone")]
    with pytest.raises(termios.error):
        terminal._set([])


def test_a_listener_that_fails_holds_up_nobody(tmp_path):
    """The writer of a pipe that nobody drains would stand still."""
    source, writer = os.pipe()
    heard = []

    def hears(data):
        heard.append(data)
        if len(heard) == 1:
            raise KeyError("a word")

    relay = streams.Relay(streams.Output(source, "stdout.log", None), tmp_path, hears)
    for word in (b"first\n", b"second\n"):
        os.write(writer, word)
        while not any(word in data for data in heard):
            time.sleep(0.001)
    os.close(writer)
    relay.finish()
    assert not relay.is_alive()
    assert (tmp_path / "stdout.log").read_bytes() == b"first\nsecond\n"
