"""What a thread waits for, as the kernel says: no stack, and often no debugger's rights, needed.

Pure. The system call is the better word; where it may not be read (Yama), the name of the kernel's
own function that the thread sleeps in is still to be had.
"""

from __future__ import annotations

import re
from enum import Enum

from harness import syscalls
from harness.model import Thread


class Wait(str, Enum):
    CHILD = "child"
    FILE = "file"
    """A pipe, socket, terminal or file, or several of them by poll and its like."""
    SIGNAL = "signal"
    SLEEP = "sleep"
    FUTEX = "futex"
    SHARED = "shared"
    """A futex that other processes may share: a semaphore of multiprocessing, for example."""
    MESSAGE = "message"
    """Of a queue of the kernel's: that one comes, or that there is room for one."""


_FILES = frozenset(
    ("read", "write", "readv", "writev", "pread64", "pwrite64", "pwritev", "pwritev2", "connect",
     "accept", "accept4", "sendto", "recvfrom", "sendmsg", "sendmmsg", "recvmsg", "recvmmsg",
     "ioctl", "fcntl", "flock", "fsync", "fdatasync", "poll", "ppoll", "select", "pselect6",
     "epoll_wait", "epoll_pwait", "epoll_pwait2", "open", "openat", "openat2", "creat",
     "sendfile", "splice", "tee", "vmsplice", "io_getevents", "io_uring_enter")
)  # fmt: skip
_CALLS = {
    **dict.fromkeys(_FILES, Wait.FILE),
    **dict.fromkeys(("wait4", "waitid"), Wait.CHILD),
    **dict.fromkeys(("pause", "rt_sigsuspend", "rt_sigtimedwait"), Wait.SIGNAL),
    **dict.fromkeys(("nanosleep", "clock_nanosleep", "restart_syscall"), Wait.SLEEP),
    **dict.fromkeys(("semop", "semtimedop"), Wait.SHARED),
    **dict.fromkeys(("msgsnd", "msgrcv", "mq_timedsend", "mq_timedreceive"), Wait.MESSAGE),
}
_KERNEL = (
    (re.compile(r"nanosleep"), Wait.SLEEP),
    (re.compile(r"^futex_|^do_futex"), Wait.FUTEX),
    (re.compile(r"^(do|kernel)_wait"), Wait.CHILD),
    (re.compile(r"sigsuspend|sigtimedwait|_pause$|^pause"), Wait.SIGNAL),
    (re.compile(r"^do_msg|^wq_sleep|mq_timed"), Wait.MESSAGE),
    (re.compile(r"pipe|wait_for_partner|fifo_open|io_uring|io_cqring|read_events|poll|select|^sk_|skb|tcp|unix|inet_|tty|wait_woken|sock|flock|eventfd"),
     Wait.FILE),
)  # fmt: skip
_FUTEX_PRIVATE = 0x80


def kernel_wait(thread: Thread, waits_in: str, arch: str) -> Wait | None:
    """What `thread` waits for; None when it runs, or when it is something else.

    `waits_in` is the kernel's function that it sleeps in, "" where that is not known.
    """
    if thread.state not in "SD":
        return None
    if thread.syscall is None:
        return next((wait for pattern, wait in _KERNEL if pattern.search(waits_in)), None)
    name = syscalls.name(thread.syscall, arch)
    if name in ("futex", "futex_wait", "futex_waitv"):
        place = 1 if name == "futex" else 3
        private = name != "futex_waitv" and len(thread.args) > place and (
            thread.args[place] & _FUTEX_PRIVATE
        )  # fmt: skip
        return Wait.FUTEX if private else Wait.SHARED
    if name in ("select", "pselect6") and thread.args[:1] == (0,):
        return Wait.SLEEP
    return _CALLS.get(name or "")
