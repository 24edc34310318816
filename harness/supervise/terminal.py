"""Our own terminal, lent to a command: all is as if the command had been started directly in it.

Where our outputs are a terminal the command gets a pseudo-terminal in its place, the same one for
all streams that are. What is none is handed on as it is (its input) or goes through a pipe, the
same one for both outputs if both of ours are one file (`2>&1`): two would lose their order.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import select
import signal
import stat
import termios
import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from harness.supervise.streams import Ends, Output

_INTERRUPT, _SUSPEND = b"\x03", b"\x1a"
_PIECE = 64
"""Bytes typed that are handed on at once: little enough for a pseudo-terminal to take them."""
INSIST = 3
INSIST_S = 2.0
"""So many times Ctrl-C within so many seconds is meant for us: the command does not listen."""


def _is_piped(file: int) -> bool:
    kind = os.fstat(file).st_mode
    return stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)


def _is_one(first: int, second: int) -> bool:
    """True if what is written to both comes to one place, where its order can be seen."""
    a, b = os.fstat(first), os.fstat(second)
    return os.path.samestat(a, b) and not stat.S_ISCHR(a.st_mode)  # as /dev/null is


_SEQUENCES = re.compile(rb"(?:\x1b(?:\[[0-?]*[ -/]*[@-~]|[ -/]*[0-Z\\^-~]))+\Z")


def ends_open(data: bytes, before: bool) -> bool:
    """True if a terminal that is shown `data` is left within a line, as `before` it was. Pure."""
    data = data[-256:]
    found = _SEQUENCES.search(data)
    text, colors = (data[: found.start()], found[0]) if found else (data, b"")
    if not text:
        return before
    erased = text.endswith(b"\r") and (b"\x1b[K" in colors or b"\x1b[2K" in colors)
    return not (text.endswith(b"\n") or erased)


_MODES = re.compile(rb"\x1b\[\?([\d;]{1,32})([hl])")
_NORMAL = {
    b"25": b"h", b"1": b"l", b"47": b"l", b"1047": b"l", b"1049": b"l", b"1000": b"l",
    b"1002": b"l", b"1003": b"l", b"1006": b"l", b"2004": b"l",
}  # fmt: skip
"""The modes of a terminal that a program undoes when it ends, and how they usually are: the cursor
is seen, and neither another screen nor the mouse nor the marks of a paste are on."""
_LONGEST = 40
"""Bytes of a sequence at most: one may be cut in two by a read."""


class Modes:
    """The modes in which a command has left its terminal."""

    def __init__(self) -> None:
        self._modes: dict[bytes, bytes] = {}
        self._rest = b""

    def see(self, data: bytes) -> None:
        """Note what the terminal is shown."""
        data = self._rest + data
        for numbers, setting in _MODES.findall(data):
            self._modes.update(dict.fromkeys(numbers.split(b";"), setting))
        self._rest = data[-_LONGEST:]

    def undone(self) -> bytes:
        """The bytes that bring the terminal back to what is usual; empty where it is so."""
        changed = [
            b"\x1b[?%b%b" % (number, _NORMAL[number])
            for number, setting in self._modes.items()
            if _NORMAL.get(number, setting) != setting
        ]
        self._modes.clear()
        return b"".join(changed)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # it has gone
        return False


def _raw(mode: list[Any], shared: bool) -> list[Any]:
    """`mode`, such that what is typed comes as it is. What the command writes has been through its
    own terminal; what another program writes has not, so where one may, ours still ends the lines.
    """
    inputs, outputs, control, local, *speeds, characters = mode
    inputs &= ~(termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON)
    outputs &= ~(0 if shared else termios.OPOST)
    control = control & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    local &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
    characters = list(characters)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [inputs, outputs, control, local, *speeds, characters]


def _set(mode: list[Any]) -> None:
    """Give our terminal this mode once it has shown what was written; a signal does not end that.

    Raises termios.error.
    """
    while True:
        try:
            return termios.tcsetattr(0, termios.TCSADRAIN, mode)
        except termios.error as error:
            if error.args[0] != errno.EINTR:
                raise


class Typed(Enum):
    """The wish of the user, by what was typed."""

    NOTHING = "nothing"
    INTERRUPT = "interrupt"
    """An interrupt for the command, which has been told."""
    INSIST = "insist"
    SUSPEND = "suspend"


class Terminal:
    def __init__(self, stdout: int = 1) -> None:
        """Take the descriptor `stdout` as the place to show the command's own stdout."""
        self._sinks = (stdout, 2)
        self.prompts = os.isatty(0)
        """True if there is a person who can answer."""
        self._shows = [os.isatty(sink) for sink in self._sinks]
        self._shared = any(self._shows) and any(map(_is_piped, self._sinks))
        """True if another program, such as a `tee` behind us, may write to our terminal too."""
        self._interrupts: deque[float] = deque(maxlen=INSIST)
        self._cooked: list[Any] | None = None
        self._master: int | None = None
        self._modes = Modes()
        self._open_line = False
        """True if the command's last line, below which ours come, has no end yet."""
        self._closed = False
        """True if our terminal has gone, and nothing more can be typed."""
        self.typing = False
        """True if what is typed comes to us, for the command."""

    def ends(self) -> Ends:
        """The descriptors for the command; call once, while the terminal is lent.

        From here on what the command writes is shown as it is, from its first byte on.
        """
        slave = None
        if any(self._shows):
            self._master, slave = os.openpty()
            if self.prompts and _in_foreground():  # else it is in the shell's own mode
                termios.tcsetattr(slave, termios.TCSANOW, termios.tcgetattr(0))
            self.resize()
        theirs: list[int] = []
        outputs: list[Output] = []
        for sink, name, shows in zip(
            self._sinks, ("stdout.log", "stderr.log"), self._shows, strict=True
        ):
            if theirs and not shows and _is_one(*self._sinks):
                theirs.append(theirs[0])
            elif slave is None or not shows:
                reader, writer = os.pipe()
                theirs.append(writer)
                outputs.append(Output(reader, name, sink, self._heard(sink)))
            else:
                if slave not in theirs:
                    assert self._master is not None
                    # A copy: the relay closes its own when the command has gone.
                    outputs.append(Output(os.dup(self._master), name, sink, self._heard(sink)))
                theirs.append(slave)
        stdin = slave if slave is not None and self.prompts else 0
        held = () if self._master is None else (self._master,)
        self.follow()
        return Ends(stdin, theirs[0], theirs[1], tuple(outputs), held)

    def _heard(self, sink: int) -> Callable[[bytes], None] | None:
        """The listener for what is shown on `sink`, if our own lines are shown there too."""
        together = sink == 2 or all(self._shows) or _is_one(*self._sinks)
        return self._shown if together else None

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """As long as this lasts, what is typed may go to the command as it is (see `follow`)."""
        before = signal.signal(signal.SIGWINCH, lambda *_: self.resize())
        try:
            yield
        finally:
            self.take_back()
            signal.signal(signal.SIGWINCH, before)

    def follow(self) -> None:
        """Take what is typed if we are in the foreground, where the shell's `fg` may bring us.

        From the background a terminal is not to be touched: whoever does is stopped.
        """
        ours = self.prompts and self._master is not None and not self._closed
        self.typing = ours and _in_foreground()
        if not self.typing:
            self._cooked = None
        elif self._cooked is None:
            with contextlib.suppress(termios.error):
                mode = termios.tcgetattr(0)
                _set(_raw(mode, self._shared))
                self._cooked = mode

    def take_back(self) -> None:
        if self._cooked is not None and _in_foreground():
            with contextlib.suppress(termios.error):
                _set(self._cooked)
        self._cooked = None

    def _shown(self, data: bytes) -> None:
        """Note how what the command has written ends, where our own lines come next."""
        self._open_line = ends_open(data, self._open_line)
        self._modes.see(data)

    def tidy(self) -> None:
        """Undo what a command that was killed had no time to undo, such as a hidden cursor."""
        undone = self._modes.undone()
        shown = [sink for sink, shows in zip(self._sinks, self._shows, strict=True) if shows]
        if undone and shown:
            with contextlib.suppress(OSError):
                os.write(shown[-1], undone)

    def fit(self, text: str) -> str:
        """Lines of our own, as they must be written to stand below what the command has written."""
        if text and self._open_line:
            text, self._open_line = "\n" + text, False
        # Where the terminal is lent it does not end lines by itself.
        raw = self._cooked is not None and not self._shared
        return text.replace("\n", "\r\n") if raw else text

    def resize(self) -> None:
        """Give the command's terminal the size of ours."""
        if self._master is None:
            return
        ours = self._sinks[0] if self._shows[0] else self._sinks[1]
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(ours, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def typed(self) -> Typed:
        """Hand on what was typed; call when our stdin has something to read."""
        master = self._master
        assert master is not None
        if not select.select([], [master], [], 0.05)[1]:
            return Typed.NOTHING  # the command does not read; what is typed waits
        try:
            data = os.read(0, _PIECE)
        except OSError:
            data = b""
        self._closed = not data
        wanted = self._meant(data, master)
        if wanted is Typed.SUSPEND:
            data = data.replace(_SUSPEND, b"")
        with contextlib.suppress(OSError):
            os.write(master, data)
        return wanted

    def _meant(self, data: bytes, master: int) -> Typed:
        try:
            signals = termios.tcgetattr(master)[3] & termios.ISIG
        except termios.error:  # the command has just gone
            return Typed.NOTHING
        if not signals:
            return Typed.NOTHING  # an editor, or whoever else takes the keys as they are
        if _SUSPEND in data:
            return Typed.SUSPEND
        if _INTERRUPT not in data:
            return Typed.NOTHING
        now = time.monotonic()
        self._interrupts.extend([now] * data.count(_INTERRUPT))
        often = len(self._interrupts) == INSIST and now - self._interrupts[0] < INSIST_S
        return Typed.INSIST if often else Typed.INTERRUPT
