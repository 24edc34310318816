"""The threads of an executor, which end its futures. Pure."""

from __future__ import annotations

from harness.detect.chain.facts import Facts
from harness.detect.chain.links import Node

_OF_EXECUTORS = frozenset(
    (
        ("thread.py", "_worker"),
        ("process.py", "wait_result_broken_or_wakeup"),
        ("process.py", "_queue_management_worker"),  # Python 3.8
    )
)
"""Functions of the threads that end a future: a worker at work, or who waits for the processes."""


def runs_a_pool(node: Node, facts: Facts) -> bool:
    """True if a thread of an executor is at work, or waits for its processes."""
    stack = facts.stack(node)
    return stack is not None and any(
        frame.python and (frame.file, frame.function.rpartition(".")[2]) in _OF_EXECUTORS
        for frame in stack.frames
    )
