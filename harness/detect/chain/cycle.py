"""The way into a cycle of waits, and around it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from harness.detect.chain.links import Node, Wait

_LONG = 6
"""Threads of a cycle from which on it is closed where that is possible: a pool has thousands."""


def ring(start: Node, waits: Mapping[Node, Wait]) -> tuple[tuple[Node, ...], bool]:
    """The way from `start` into a cycle and once around it, by a shorter one if that is long.

    False beside a way that leads to none: who waits last waits for idle threads alone.
    """
    waiting = {node for node, wait in waits.items() if wait.on}
    around = set(waiting)
    while out := {node for node in around if around.isdisjoint(waits[node].on)}:
        around -= out
    path: list[Node] = []
    node = start
    while node not in path:
        path.append(node)
        on = waits[node].on
        following = [other for other in on if other in (around if start in around else waiting)]
        if not following:
            break
        back = [other for other in path if len(path) >= _LONG and other in on]
        others = (other for other in following if other not in path)
        node = back[0] if back else next(others, following[0])
    return tuple(path), start in around
