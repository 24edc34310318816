"""What is said where a worker cannot be looked into, or a look fails."""

from __future__ import annotations

from observations import process

from harness.detect.blindness import Looks, blind
from harness.detect.policy import STANDARD
from harness.model import Process

SEEN = [process(7)]
HIDDEN = [Process(pid=7, ppid=1, name="python", state="S", cpu_s=1.0)]


def test_who_sees_no_process_or_no_thread_is_blind():
    assert blind(SEEN, 7) == ""
    assert "processes cannot be read, so nothing is called hung" in blind([], 7)
    assert "threads of other processes cannot be read" in blind(HIDDEN, 7)
    assert blind(SEEN, 8)


def test_blindness_is_told_once_and_only_of_the_first_looks():
    looks = Looks()
    told = [looks.took(HIDDEN, 7) for _ in range(2 * STANDARD.blind_looks)]
    assert [bool(text) for text in told] == [
        n == STANDARD.blind_looks - 1 for n in range(2 * STANDARD.blind_looks)
    ]
    looks = Looks()
    assert not any(looks.took(seen, 7) for seen in [[], SEEN, *[HIDDEN] * 9])


def test_a_look_that_fails_is_told_once_with_its_error():
    looks = Looks()
    first = looks.failed(RuntimeError("array not large enough"))
    assert "RuntimeError: array not large enough" in first
    assert looks.failed(ValueError()) == ""
    assert "(ValueError)" in Looks().failed(ValueError())
