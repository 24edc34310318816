"""The order of the tests where several processes of pytest share them.

Of the integration tests, most wait for something, and the others compute; the unit tests are short.
So that the cores are busy all the time, each process begins with files of both, and has unit tests
between them. So that no process waits for the long test of another one, those that are left are
unit tests: what is taken from a process that has more to do is taken from its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

LAST = 0.3
"""The share of the unit tests that come after all others."""
FIRST = (
    "test_issue_draft_real", "test_on_hang", "test_situations_real", "test_privacy",
    "test_ranks_watch", "test_hosts", "test_bisect_real", "test_planning", "test_original_report",
    "test_faults_around", "test_dead_child_real", "test_proof_real",
)  # fmt: skip
"""Files with the longest tests, two for each of six processes: what is left for the end is short.
"""


def shared(tests: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """The tests in as many blocks as there are processes, each of which begins with one."""
    files: dict[Path, list[pytest.Item]] = {}
    short: list[pytest.Item] = []
    for test in tests:
        into = files.setdefault(test.path, []) if "integration" in test.path.parts else short
        into.append(test)
    named = {file.stem: tests for file, tests in files.items()}
    first = [named.pop(name) for name in FIRST if name in named]
    waiting = [file for file in named.values() if any(map(waits, file))]
    computing = [file for file in named.values() if not any(map(waits, file))]
    long = [*first, *evenly(waiting, computing)]
    ends = [len(short) * n // workers for n in range(workers + 1)]
    blocks = (between(long[n::workers], short[ends[n] : ends[n + 1]]) for n in range(workers))
    return [test for block in blocks for test in block]


def waits(test: pytest.Item) -> bool:
    """True if it spends its time waiting for something."""
    return test.get_closest_marker("waits") is not None


def evenly(*lists: Sequence[list[pytest.Item]]) -> list[list[pytest.Item]]:
    """What is in the lists, so that each stretch has of each its share."""
    placed = [((n + 0.5) / len(one), item) for one in lists for n, item in enumerate(one)]
    return [item for _, item in sorted(placed, key=lambda one: one[0])]


def between(
    files: Sequence[list[pytest.Item]], short: Sequence[pytest.Item]
) -> Iterable[pytest.Item]:
    """Each file, and after each as many of the short tests; LAST of these come at the end."""
    step = round((1 - LAST) * len(short) / max(1, len(files)))
    for n, file in enumerate(files):
        yield from file
        yield from short[n * step : (n + 1) * step]
    yield from short[len(files) * step :]
