"""The cost of judging a large tree: it grows as the tree does, and not as its square."""

from __future__ import annotations

import time

import pytest
from observations import process, seen, thread

from harness.detect.tree import judge_tree, unasked
from harness.detect.verdicts import Answer
from harness.model.world import More

pytestmark = pytest.mark.unmeasured  # times what is judged in other tests too

FEW, MANY, TIMES = 100, 1000, 5
"""The larger one may take so many times as long for each thread: caches, and a loaded machine."""


def pool(number):
    """One process of so many threads that all wait in a lock without an owner."""
    threads = [thread(tid) for tid in range(1, number + 1)]
    more = {1: More(started=1, sleeps=dict.fromkeys(range(1, number + 1), 3))}
    return seen(process(1, *threads), more=more)


def family(number):
    """A launcher and so many children of eight threads each."""
    children = [
        process(pid, *(thread(pid + one) for one in range(8)), ppid=1)
        for pid in range(100, 100 + 10 * number, 10)
    ]
    return seen(process(), *children)


def cost(found):
    """Seconds of CPU time, the best of three."""
    took = []
    for _ in range(3):
        began = time.process_time()
        judge_tree(found)
        unasked(found)
        took.append(time.process_time() - began)
    return min(took)


@pytest.mark.parametrize(
    "make", [pool, lambda number: family(number // 10)], ids=["pool", "family"]
)
def test_the_cost_of_a_thread_does_not_grow_with_the_tree(make):
    few, many = cost(make(FEW)) / FEW, cost(make(MANY)) / MANY
    assert many < TIMES * few


def test_of_many_that_wait_for_one_another_a_short_ring_is_told():
    tree = judge_tree(pool(500))
    assert tree.answer is Answer.DEADLOCK
    assert len(tree.processes[0].evidence["chain"]) <= 6
    assert len(tree.summary) < 500
