"""Linux system calls in which a thread may wait, by number, on the two architectures supported.

Numbers are those of the kernel's arch/x86/entry/syscalls/syscall_64.tbl and of its generic table,
include/uapi/asm-generic/unistd.h, which aarch64 uses.
"""

from __future__ import annotations

from collections.abc import Sequence

X86_64 = {
    0: "read", 1: "write", 2: "open", 7: "poll", 16: "ioctl", 17: "pread64", 18: "pwrite64",
    19: "readv", 20: "writev", 23: "select", 34: "pause", 35: "nanosleep", 40: "sendfile",
    42: "connect", 43: "accept", 44: "sendto", 45: "recvfrom", 46: "sendmsg", 47: "recvmsg",
    58: "vfork", 61: "wait4", 65: "semop", 69: "msgsnd", 70: "msgrcv", 72: "fcntl", 73: "flock",
    74: "fsync", 75: "fdatasync", 85: "creat", 128: "rt_sigtimedwait", 130: "rt_sigsuspend",
    202: "futex", 208: "io_getevents", 219: "restart_syscall", 220: "semtimedop",
    230: "clock_nanosleep", 232: "epoll_wait", 242: "mq_timedsend", 243: "mq_timedreceive",
    247: "waitid", 257: "openat", 270: "pselect6", 271: "ppoll", 275: "splice", 276: "tee",
    278: "vmsplice", 281: "epoll_pwait", 288: "accept4", 296: "pwritev", 299: "recvmmsg",
    307: "sendmmsg", 328: "pwritev2", 333: "io_pgetevents", 426: "io_uring_enter", 437: "openat2",
    441: "epoll_pwait2", 449: "futex_waitv", 455: "futex_wait",
}  # fmt: skip
AARCH64 = {
    4: "io_getevents", 22: "epoll_pwait", 25: "fcntl", 29: "ioctl", 32: "flock", 56: "openat",
    63: "read", 64: "write", 65: "readv", 66: "writev", 67: "pread64", 68: "pwrite64",
    70: "pwritev", 71: "sendfile", 72: "pselect6", 73: "ppoll", 75: "vmsplice", 76: "splice",
    77: "tee", 82: "fsync", 83: "fdatasync", 95: "waitid", 98: "futex", 101: "nanosleep",
    115: "clock_nanosleep", 128: "restart_syscall", 133: "rt_sigsuspend", 137: "rt_sigtimedwait",
    182: "mq_timedsend", 183: "mq_timedreceive", 188: "msgrcv", 189: "msgsnd", 192: "semtimedop",
    193: "semop", 202: "accept", 203: "connect", 206: "sendto", 207: "recvfrom", 211: "sendmsg",
    212: "recvmsg", 242: "accept4", 243: "recvmmsg", 260: "wait4", 269: "sendmmsg",
    287: "pwritev2", 292: "io_pgetevents", 426: "io_uring_enter", 437: "openat2",
    441: "epoll_pwait2", 449: "futex_waitv", 455: "futex_wait",
}  # fmt: skip
TABLES = {"x86_64": X86_64, "aarch64": AARCH64}


def name(number: int, arch: str) -> str | None:
    """The call's name; None when the number is none of those above, or the machine is another."""
    return TABLES.get(arch, {}).get(number)


_SENDS = frozenset(
    ("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg",
     "sendfile", "splice", "tee", "vmsplice")
)  # fmt: skip
_RECEIVES = {"recvfrom": 3, "recvmsg": 2}
"""The place of the argument with the flags."""
_WAITALL = 0x100


def transfer(number: int, args: Sequence[int], arch: str) -> str | None:
    """The name of a call that may have moved a part of its bytes and wait to move the rest.

    Whoever stops a thread in it cuts it short: the kernel does not restart such a call, and it
    returns how much it has moved.
    """
    called = name(number, arch)
    if called == "recvmmsg":
        return called  # it counts messages
    if called in _RECEIVES:
        place = _RECEIVES[called]
        return called if len(args) > place and args[place] & _WAITALL else None
    return called if called in _SENDS else None
