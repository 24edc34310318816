"""The end of a process in its own words, and what the kernel and its guard know of it."""

from __future__ import annotations

import msgspec

from harness.model.enums import TextEnum


class Kind(TextEnum):
    """The kind of last words."""

    EXCEPTION = "exception"
    PANIC = "panic"
    """Of Rust."""
    TERMINATE = "terminate"
    """Of the C++ library: an exception that nobody caught."""
    ABORT = "abort"
    """The C library or an assertion found something wrong, and aborted."""
    FAULT = "fault"
    """A signal, with the Python line at which it came."""
    LINE = "line"
    """Nothing of these: the last line that it printed."""


class LastWords(msgspec.Struct, frozen=True, kw_only=True):
    """One failure, as a process printed it."""

    kind: Kind
    text: str
    """One line, such as `ValueError: bad shape`."""
    place: str = ""
    """The user's own line, such as `train.py:12 in main`."""
    cause: str = ""
    """The exception from which it was raised, in the same words."""
    who: str = ""
    """A thread or a child process whose failure it is; empty: the process itself."""
    uncaught: bool = False
    """True if it is known that nobody caught it, so that it ended the process."""
    chain: tuple[str, ...] = ()
    """The exceptions before it, the first one first."""

    @property
    def told(self) -> str:
        """Text, place and cause in one line."""
        at = f", at {self.place}" if self.place else ""
        return f"{self.text}{at}" + (f", caused by {self.cause}" if self.cause else "")


class DeadChild(msgspec.Struct, frozen=True, kw_only=True):
    """A child that had ended badly before its parent did, and that nobody had asked for."""

    pid: int
    name: str
    code: int
    """The exit code; negative: the signal that ended it."""


class ErrorCode(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of known errors."""

    code: str
    """Stable: `metal_out_of_memory`."""
    pattern: str
    """A regular expression, searched for in one line."""
    meaning: str
    """A clause, without a full stop."""
    cure: str
    """A sentence that says what to try."""
    source: str
    """A public address that shows the error."""
    follows: bool = False
    """True if it is the consequence of another error, which counts more."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a process as it ended (`ulimit`); None without one."""

    address_space: int | None = None
    """Bytes."""
    cpu_s: float | None = None
    """The hard one, at which the kernel kills."""
    file: int | None = None
    """Bytes of one file."""


class KernelWord(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the kernel's log about a process."""

    kind: str
    """`oom_kill`, `fault` or `xid`."""
    pid: int | None
    """The number of the process, if it is numbered as here."""
    name: str
    """Its name, cut to 15 characters by the kernel."""
    text: str
    """The event, as a clause."""
    of_group: bool = False
    """True of a kill because a control group was full, not the machine."""


class CrashStack(msgspec.Struct, frozen=True, kw_only=True):
    """The stack of the thread that crashed, as it was read after the end."""

    frames: tuple[str, ...] = ()
    """Such as `update (trainer.cpp:12)`, innermost first."""
    place: str = ""
    """The user's own line or function, such as `trainer.cpp:12 in update`."""
    fault: str = ""
    """The action of the thread, as a clause."""
    who: str = ""
    """The process, where it is one that the command had started."""
    source: str = ""
    """`core`, `systemd-coredump` or `macos`."""
    why_not: str = ""
    """The reason why there are no frames."""
    core: str = ""
    """The core that is left, with its size; empty if there is none any more."""


class EndFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts that the supervisor knows of an end beside the exit code and the signal."""

    pid: int | None = None
    cpu_s: float = 0.0
    """CPU time of the process and of the children that it had waited for."""
    limits: Limits = Limits()
    address_peak: int | None = None
    """The most address space that it was seen with, in bytes."""
    group_kills: int | None = None
    """Kills by the out-of-memory killer in its control group while it ran; None: not known."""
    kernel: tuple[KernelWord, ...] = ()
    """The kernel's log since it was started, where that can be read."""
    jetsam: str = ""
    """macOS's report of a kill for want of memory."""
    children: tuple[DeadChild, ...] = ()
    timed: bool = False
    """True if the program timeout(1) was seen among its processes."""
    crash: CrashStack | None = None
    """The stack of a crash; None where nobody looked for one."""
    words: LastWords | None = None
    """The failure that explains the end, as printed."""
    other: LastWords | None = None
    """A failure of a thread or a child, before the end."""
    error: ErrorCode | None = None
    """The known error in what was printed last."""
    line: str = ""
    """The line in which that error stands."""
    over: bool = False
    """True if its program had come to its end, and it died while it was taken down."""
