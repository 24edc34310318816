"""Which system calls a tool that stops the process would cut short."""

from __future__ import annotations

import pytest

from harness import syscalls

ARCHS = ("x86_64", "aarch64")
WAITALL, DONTWAIT = 0x100, 0x40
SIX = (3, 0x7F00, 1 << 20, 0, 0, 0)


def number(called: str, arch: str) -> int:
    return {name: n for n, name in syscalls.TABLES[arch].items()}[called]


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize(
    "called",
    ["write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg",
     "sendfile", "splice", "tee", "vmsplice", "recvmmsg"],
)  # fmt: skip
def test_a_call_that_may_have_sent_a_part_is_a_transfer(called, arch):
    assert syscalls.transfer(number(called, arch), SIX, arch) == called


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize(("called", "place"), [("recvfrom", 3), ("recvmsg", 2)])
def test_to_receive_is_one_only_if_all_is_waited_for(called, place, arch):
    def args(flags: int) -> tuple[int, ...]:
        return (*SIX[:place], flags, *SIX[place + 1 :])

    this = number(called, arch)
    assert syscalls.transfer(this, args(WAITALL | DONTWAIT), arch) == called
    assert syscalls.transfer(this, args(DONTWAIT), arch) is None
    assert syscalls.transfer(this, (), arch) is None


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize(
    "called", ["read", "readv", "futex", "ppoll", "openat", "wait4", "clock_nanosleep", "msgrcv"]
)
def test_what_returns_with_the_first_byte_or_moves_none_is_none(called, arch):
    assert syscalls.transfer(number(called, arch), SIX, arch) is None


def test_the_same_number_is_another_call_on_another_processor():
    assert syscalls.transfer(1, SIX, "x86_64") == "write"
    assert syscalls.transfer(64, SIX, "aarch64") == "write"
    assert syscalls.transfer(1, SIX, "aarch64") is None
    assert syscalls.transfer(1, SIX, "riscv64") is None
