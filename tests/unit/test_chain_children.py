"""A pool whose workers end as soon as they are started gives nothing."""

from __future__ import annotations

import msgspec
import pytest
from observations import READS, RUNNING, process, seen, stack, thread

from harness.detect.chain.facts import Facts
from harness.detect.chain.follow import follow
from harness.detect.chain.links import Ends, Node
from harness.model.world import More

replace = msgspec.structs.replace
STARTS, TAKES = "pool.py:_handle_workers", "pool.py:_handle_results"
NEW = tuple((100 + 2 * look, 101 + 2 * look) for look in range(6))
"""The two workers that each look meets: none is there a second time."""


def pool(workers=NEW, results=0, starts=STARTS, inner="connection.py:_recv"):
    """A main thread that waits for a result; `results` come in each window."""
    own = process(1, thread(1), thread(2, **READS), thread(3, **READS))
    stacks = (
        stack("sem_wait", "queue.py:get", "py:train"),
        stack("poll", starts, tid=2, main=False),
        stack("read", inner, TAKES, tid=3, main=False),
    )
    found = seen(own, stacks={1: (stacks, stacks)})
    pids = iter(workers)
    windows = []
    for window in found.windows:
        looks = []
        for place, look in enumerate(window):
            every = [process(pid, thread(pid, **RUNNING), ppid=1) for pid in next(pids)]
            # Whoever has ended shows for a moment how.
            gone = process(90 + place, thread(90 + place, state="Z"), ppid=1, state="Z")
            sleeps = {3: place * results, 2: place}
            more = {1: More(started=1, sleeps=sleeps), gone.pid: More(started=2, status=256)}
            looks.append(replace(look, processes=(own, *every, gone), more=look.more | more))
        windows.append(tuple(looks))
    return replace(found, windows=tuple(windows))


def chain(found):
    return follow([Node(1, 1)], Facts(found))


def test_workers_that_end_at_once_again_and_again_are_a_dead_end():
    told = chain(pool())
    assert (told.end.kind, told.end.sure) == (Ends.DEAD, False)
    assert "has workers that end one after the other, and give nothing" in told.describe()
    assert told.end.detail.endswith("the last one exited with code 1")


LASTS = tuple((100 + 2 * look, 99) for look in range(6))
"""One worker is there at each look."""


@pytest.mark.parametrize(
    "told",
    [
        {"workers": LASTS},
        {"results": 1},
        {"starts": "launch.py:start"},
        {"workers": (*(((100, 101),) * 3), *(((102, 103),) * 3))},
        {"inner": "py:callback"},
    ],
    ids=["one lasts", "results come", "no pool", "too few", "a callback waits"],
)
def test_a_pool_that_may_work_is_alive(told):
    assert chain(pool(**told)).end.kind is Ends.WORKS
