"""Threads for which many wait: of thousands each may wait for all others. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import overload

from harness.detect.chain.links import Node


class Others(Sequence[Node]):
    """The threads of some groups, each once, without one of them.

    The groups are the same objects in each such wait, so that who follows them opens each once.
    """

    __slots__ = ("_but", "groups")

    def __init__(self, but: Node, groups: Sequence[tuple[Node, ...]]) -> None:
        self._but = but
        self.groups = tuple(groups)

    def __iter__(self) -> Iterator[Node]:
        return filter(self._but.__ne__, dict.fromkeys(chain.from_iterable(self.groups)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return any(True for group in self.groups for node in group[:2] if node != self._but)

    @overload
    def __getitem__(self, place: int) -> Node: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Node]: ...
    def __getitem__(self, place: int | slice) -> Node | Sequence[Node]:
        return tuple(self)[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (tuple, Others)) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]


def together(node: Node, *parts: Sequence[Node]) -> Sequence[Node]:
    """The threads of all `parts`, each once, without `node`, which waits for them."""
    groups = [
        group
        for part in parts
        for group in (part.groups if isinstance(part, Others) else (tuple(part),))
        if group
    ]
    return Others(node, groups)
