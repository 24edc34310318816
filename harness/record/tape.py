"""The calls of macOS's libraries, with their answers: recorded, and played back."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from harness.observe.macos import kernel


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call and its answer."""

    name: str
    given: tuple[int | str, ...]
    """Its numbers and texts, in their order."""
    answer: int
    errno: int = 0
    buffers: tuple[str, ...] = ()
    """The contents of each of its buffers, as hexadecimal digits, without the zeros at the
    end."""


@contextmanager
def recording() -> Iterator[list[Call]]:
    """A list to which each call is added that this process makes from now on."""
    calls: list[Call] = []

    def hear(name: str, arguments: Sequence[object], answer: int) -> None:
        given, buffers = _told(arguments)
        calls.append(
            Call(
                name=name,
                given=given,
                answer=answer,
                errno=ctypes.get_errno() if answer <= 0 else 0,
                buffers=tuple(bytes(one).rstrip(b"\0").hex() for one in buffers),
            )
        )

    for cache in (kernel.tick_s, kernel._host):
        cache.cache_clear()  # what is remembered would be asked of nobody
    before, kernel.listener = kernel.listener, hear
    try:
        yield calls
    finally:
        kernel.listener = before


def _told(arguments: Iterable[object]) -> tuple[tuple[int | str, ...], list[Any]]:
    """The plain values among the arguments of a call, and the objects that it fills in."""
    given: list[int | str] = []
    buffers: list[Any] = []
    for one in arguments:
        if isinstance(one, int):
            given.append(one)
        elif isinstance(one, bytes):
            given.append(one.decode("ascii", "replace"))
        elif one is not None:
            buffers.append(getattr(one, "_obj", one))  # of ctypes.byref
    return tuple(given), buffers


class Player:
    """The libraries of the machine on which calls were recorded, as `kernel` asks for them."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self._calls: dict[tuple[object, ...], deque[Call]] = {}
        for call in calls:
            self._calls.setdefault((call.name, call.given), deque()).append(call)
        self.missed: list[tuple[object, ...]] = []
        """The calls that were not recorded: they are refused."""

    def library(self, path: str) -> Player:
        """For `kernel._library`: one library in the place of all."""
        return self

    def __getattr__(self, name: str) -> Callable[..., int]:
        def function(*arguments: object) -> int:
            given, buffers = _told(arguments)
            known = self._calls.get((name, given))
            if not known:
                self.missed.append((name, given))
                return -1 if name in ("proc_pid_rusage", "sysctlbyname", "sysctl") else 0
            # The last one stands for all later ones.
            call = known.popleft() if len(known) > 1 else known[0]
            for buffer, held in zip(buffers, call.buffers, strict=True):
                raw = bytes.fromhex(held)
                ctypes.memset(ctypes.addressof(buffer), 0, ctypes.sizeof(buffer))
                ctypes.memmove(ctypes.addressof(buffer), raw, len(raw))
            return call.answer

        return function
