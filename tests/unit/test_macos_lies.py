"""macOS's libraries may answer anything: nothing raises, and nobody is taken for a child."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.observe.macos import kernel, memory, power
from harness.observe.macos.platform import MacOS
from harness.supervise.guarding.kin import Kin
from harness.supervise.guarding.macos import Libproc

NUMBERS = (-1, 0, 1, 4, 7, 8, 2**31 - 1, -(2**31))
"""Answers of calls; each call also knows the size of the buffer that it was given."""
SAYS_NOTHING = ("proc_pid_rusage", "host_statistics64", "sysctl", "sysctlbyname",
                "mach_timebase_info")  # fmt: skip
"""Their answer is 0 where they have filled the buffer."""


class Lie:
    """A function of a library: it fills its buffer with anything, and answers anything."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name = name
        self._chance = chance

    def __call__(self, *arguments: Any) -> int:
        size = 0
        for one in arguments:
            target = getattr(one, "_obj", one)  # of byref, or the buffer itself
            if isinstance(target, (ctypes.Structure, ctypes.Array, ctypes._SimpleCData)):
                size = max(size, ctypes.sizeof(target))
                self._fill(target, ctypes.sizeof(target))
                if isinstance(target, ctypes.Array) and self._chance.random() < 0.9:
                    size = ctypes.sizeof(target._type_) * self._chance.randrange(9)
        if self._chance.random() < 0.8:
            return 0 if self.name in SAYS_NOTHING else size
        return self._chance.choice((size - 1, size + 1, 2 * size, *NUMBERS))

    def _fill(self, target: Any, size: int) -> None:
        how, few = self._chance.randrange(4), min(size, 4096)
        told = (
            b"", bytes(few), b"\xff" * few, self._chance.randbytes(few)
        )[how][: self._chance.choice((few, few, few // 2))]  # fmt: skip
        ctypes.memmove(ctypes.addressof(target), told, len(told))


class Liar:
    """A library of which each function lies."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def __getattr__(self, name: str) -> Lie:
        return Lie(name, self._chance)


def looks(here: MacOS) -> list[Callable[[], object]]:
    """All that is asked of a Mac."""
    kin = Kin(Libproc(b"HARNESS_FOLDER=/there"), (1, 2))
    return [
        lambda: here.processes([7, 9]),
        lambda: [here.more(one) for one in here.processes([7])],
        lambda: here.relations()(here.processes([7, 8])),
        lambda: here.machine(whole=True),
        lambda: here.held([7, 8, 9]),
        lambda: here.footprint().look([7, 8, 9], 0.0, 1),
        lambda: here.open_files(7),
        lambda: here.holds([7]),
        lambda: here.pthreads(7),
        lambda: kin.adopt(7),
        kin.look,
        lambda: kin.forked(7),
        power.read,
        memory.machine,
    ]


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], MacOS]:
    """`lying(seed)`: a Mac whose libraries answer anything, and which has no tools."""

    def no_tool(*asked: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(power.run_tool, "run", no_tool)

    def begin(seed: int) -> MacOS:
        liar = Liar(seed)
        monkeypatch.setattr(kernel, "_library", lambda path: liar)
        for cached in (kernel.tick_s, kernel._host):
            cached.cache_clear()
        return MacOS("darwin", "arm64")

    yield begin
    for cached in (kernel.tick_s, kernel._host):
        cached.cache_clear()


def numbers(told: object) -> Iterator[float]:
    """All numbers in plain values."""
    if isinstance(told, dict):
        told = [*told.keys(), *told.values()]
    if isinstance(told, list | tuple):
        for one in told:
            yield from numbers(one)
    elif isinstance(told, int | float):
        yield told


def test_whatever_is_answered_nothing_raises_and_all_can_be_written(lying):
    @given(seed=st.integers(0, 2**32))
    def with_any(seed: int) -> None:
        here = lying(seed)
        for look in looks(here):
            msgspec.json.encode(look(), enc_hook=list)
        # Figures are kept in 64 bits with a sign.
        figures = [here.machine(whole=True), power.read().wired_limit, here.held([7, 8, 9])]
        for one in here.processes([7]):
            figures += [one.rss, one.io_bytes, one.major_faults, here.more(one)]
        assert all(abs(one) < 2**63 for one in numbers(msgspec.to_builtins(figures)))

    with_any()


def test_no_memory_is_taken_for_more_threads_than_there_can_be(lying):
    lying(0)
    assert kernel.thread_ids(7, 2**31 - 1)[0] == ()
    assert kernel.handles(7, 2**31 - 1) == ()


def test_a_function_that_cannot_be_called_answers_nothing(monkeypatch):
    def raises(*asked: object) -> int:
        raise ctypes.ArgumentError("argument 1: wrong type")

    monkeypatch.setattr(kernel, "_library", lambda path: SimpleNamespace(proc_pidinfo=raises))
    assert (kernel.task(7), kernel.thread_ids(7, 3), kernel.files(7)) == (None, ((), True), ())
