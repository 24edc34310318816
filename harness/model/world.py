"""One deep look at a process tree: what each process could be woken by, and who is at the other
end of its files."""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.model.snapshot import Process

LinkKind = Literal[
    "pipe",
    "fifo",
    "local_socket",
    "tcp",
    "udp",
    "socket",
    "terminal",
    "terminal_master",
    "eventfd",
    "pidfd",
    "timerfd",
    "signalfd",
    "inotify",
    "io_uring",
    "lock",
    "file",
    "device",
    "other",
]
FutexKind = Literal["mutex", "pi_mutex", "robust", "rlock", "join", "private", "shared", "vector"]
"""`rlock` is that of CPython 3.10 to 3.13; `vector` waits for the first of several futexes."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """The things that could wake a process from outside its threads. None is "could not be
    read"."""

    tracer: int | None = None
    """Pid of a debugger that is attached; 0 for none."""
    pending: bool | None = None
    """True if a signal is waiting to be delivered that is not blocked."""
    alarm: bool | None = None
    """True if an interval timer, which /proc does not show, may be armed: SIGALRM has a handler.
    None where a timer would end the process and the process was not asked for it."""
    alarm_blocked: bool | None = False
    """True if the main thread blocks SIGALRM, or a thread waits to take it: who takes signals one
    by one may wait for it."""
    timers: int | None = None
    """POSIX timers."""
    devices: tuple[str, ...] | None = None
    """Open device files that work on their own: all that are not known to be harmless."""
    asynchronous: tuple[str, ...] | None = None
    """The things that can raise a signal or complete by themselves: O_ASYNC, a lease, an open
    folder, io_uring, a handler for SIGIO or SIGURG."""
    handlers: tuple[str, ...] | None = ()
    """Signals that others may send and for which the process has a handler of its own: SIGTERM,
    SIGUSR1, ... Python's own for SIGINT and those for faults do not count."""
    child_handler: bool | None = False
    """True if it has a handler for SIGCHLD: the end of any child interrupts what it waits for."""


class Timers(msgspec.Struct, frozen=True, kw_only=True):
    """The timers that send signals to a process, as it was asked for them."""

    armed: bool
    """True if its interval timer ITIMER_REAL is armed."""
    rings_s: float | None = None
    """Seconds until the first of that and of its POSIX timers rings; None where none is armed."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """One deep look at a whole process tree."""

    t: float
    processes: tuple[Process, ...]
    surroundings: dict[int, Surroundings] = {}
    """The surroundings of a process, by pid."""
    unseen: tuple[int, ...] = ()
    """Pids of children that the kernel lists and of which nothing could be read."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """The thing behind a file that a thread waits for."""

    told: str
    """Such as `a pipe`, `a terminal`, `a socket to port 80 of another machine`."""
    peers: tuple[int, ...] = ()
    """The processes at its other end, as far as they can be seen."""
    only_own: bool = False
    """True if only the process itself holds the other end, so that nothing will come of it."""
    also_own: bool = False
    """True if the process itself holds the other end beside its `peers`."""
    kind: LinkKind = "other"
    remote: str | None = None
    """Address and port of a TCP peer on another machine, such as `10.0.0.5:443`."""
    complete: bool = True
    """False when the files of some process could not be read, so that `peers` may lack one."""
    reopenable: bool = False
    """True of a FIFO or a socket that listens: a process that is not a peer now can become one."""
    queued: int | None = None
    """Bytes that wait in it to be read or sent, where the kernel tells them."""
    retransmits: int | None = None
    """The number of times that TCP has sent its oldest unanswered data again."""
    mount: str | None = None
    """Mount point of the file system that a file lies in."""
    fs: str | None = None
    """Type of that file system, such as `ext4`, `nfs4` or `fuse.sshfs`."""
    timed: bool | None = False
    """True if the wait ends by a timeout that the socket itself has (SO_RCVTIMEO, SO_SNDTIMEO).
    None where that could not be read."""
    left_s: float | None = None
    """Seconds until a timer rings that rings once; of a socket with a timeout of its own all of
    that. None of any other file."""
    reads: bool | None = None
    """True of an end that the process can only read, False of one that it can only write to; None
    of any other."""
    unseen: bool = False
    """True of one that a process which cannot be looked into has open at its other end."""
    person: bool = False
    """True of a terminal in the foreground that the thread waits to read: a person can type."""


class Futex(msgspec.Struct, frozen=True, kw_only=True):
    """The futex that a thread waits in, and who could wake it."""

    kind: FutexKind
    owner: int | None = None
    """Thread that holds the lock or that is joined, as our PID namespace numbers it."""
    sharers: tuple[int, ...] = ()
    """Processes that have the memory of the futex, the waiting process included: mapped, or as an
    open file, which they can map."""
    complete: bool = True
    """False when `sharers` may lack one: another process may map it by a name, or could not be
    looked into."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A process that has ended, and that its parent has asked for."""

    pid: int
    ppid: int
    name: str
    status: int
    """As of wait4."""
    t: float
    """The time of the first look at which it was gone."""


class GpuUse(msgspec.Struct, frozen=True, kw_only=True):
    """The work of the machine's GPUs for some processes in the last seconds."""

    own: int | None = None
    """Percent of its time in which a GPU's multiprocessors worked for these processes. The GPU with
    the highest figure counts. None when the driver tells nothing about them."""
    named: bool = False
    """True once the driver has named one of these processes, in this call or an earlier one. Only
    then does its silence mean that they do nothing."""
    others: bool = False
    """True when a GPU worked for processes that are not among these."""
    busy: int | None = None
    """Percent of the time in which a GPU worked for anybody: the highest of all GPUs."""
    memory: int | None = None
    """Percent of the time in which the memory of a GPU was read or written: the highest of the GPUs
    that these processes have open, or of all where the driver does not name them."""
    power_w: float | None = None
    """Watts that all GPUs draw together."""


class Gpus(msgspec.Struct, frozen=True, kw_only=True):
    """The GPUs of the machine, and who has them open."""

    on: frozenset[int] = frozenset()
    """Processes that have a GPU open, of those that are asked about."""
    lines: tuple[str, ...] = ()
    """A line for each GPU, such as `NVIDIA H100, 100 %, 1024 MiB`."""
    use: GpuUse | None = None


class Relations(msgspec.Struct, frozen=True, kw_only=True):
    """The sources that could end the waits of a tree. Read only while there is doubt."""

    links: dict[int, tuple[Link, ...]] = {}
    """The things behind the files that a thread waits for, by thread."""
    futexes: dict[int, Futex] = {}
    """The futex that a thread waits in, by thread."""
    files: dict[int, tuple[Link, ...]] = {}
    """The pipes, streams, terminals, devices and files that a process has open, by pid: where it is
    not shown which of them a thread waits for."""
    peers: dict[int, tuple[int, ...]] = {}
    """The processes that a process has a connection to, by pid."""
    shares: frozenset[int] = frozenset()
    """Processes that share, or may share, their memory with another one, in the tree or not."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A process that no signal ends, and what holds it."""

    pid: int
    name: str = ""
    state: str = ""
    wait: str = "does not end"
    """Its activity, in words that follow its name: `waits for the file data`."""
    mount: str | None = None
    fs: str | None = None
    served_by: tuple[int, ...] = ()
    """The processes that answer for its file system."""
    remedies: tuple[str, ...] = ()
    """Commands of which each would end it. They harm who else uses the file system or group."""


class More(msgspec.Struct, frozen=True, kw_only=True):
    """The facts that a deep look reads of a process beyond `Process`. None: could not be read."""

    started: int | None = None
    """Clock ticks from the machine's start to the process's: with the pid, it names a process. On
    macOS, microseconds since 1970."""
    age_s: float | None = None
    """Seconds since its start, where `started` does not tell them."""
    minor_faults: int | None = None
    swap: int | None = None
    """Bytes of it that are swapped out."""
    status: int | None = None
    """The end of one that has ended, as of wait4. None also where only its parent may know."""
    oom_kills: int | None = None
    """Kills of the out-of-memory killer in its control group since that was made. Read only of
    one that SIGKILL ended."""
    sleeps: dict[int, int] = {}
    """Voluntary context switches by thread: how often it has gone to wait for something."""
    queued: dict[int, float] = {}
    """Seconds by thread in which it wanted a core and had none."""
    ran: dict[int, float] = {}
    """Seconds by thread in which it was on a core, to the nanosecond."""
    io: dict[int, tuple[int, int]] = {}
    """Bytes by thread that it has read, and that it has written. Only of processes of few
    threads."""
    calls: int | None = None
    """The number of times that any thread of it called the kernel, or sent or got a message."""
    moves: int | None = None
    """The number of times that any thread of it was switched in, called the kernel, or sent or got
    a message. Only where threads are not counted by themselves."""
