"""Reads the file in which a rank of a watched command tells what it issues, as it grows.

`harness/inject/inside/collectives.py` writes it: a ring of entries, of which the oldest are
overwritten.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.inject.inside.collectives import (
    APART,
    ENTRIES,
    ENTRY,
    HEAD,
    LAYOUT,
    NAME,
    RING,
    SIGNATURE,
    SIZE,
)
from harness.model import CollectiveBeat

_NUMBERS = 1 << 32
"""Numbers are stored modulo this."""


class IssuedReader:
    """The collectives of one process, in the order in which they were issued."""

    def __init__(self, path: Path) -> None:
        self.began: float | None = None
        """When the process began to tell; None before it has."""
        self.issued = 0
        """Collectives that it has issued, as far as they were read."""
        self.joined = APART
        """True if it has joined the other ranks."""
        self.incomplete = False
        """True if the process says that something went wrong in it."""
        self._path = path
        self._signatures: dict[int, tuple[str, tuple[int, ...], str]] = {}

    def read(self) -> list[CollectiveBeat]:
        """The collectives issued since. Where some were overwritten before, numbers are missing."""
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return []
        try:
            return self._read(file)
        finally:
            os.close(file)

    def _read(self, file: int) -> list[CollectiveBeat]:
        head = os.pread(file, HEAD.size, 0)
        if len(head) < HEAD.size:
            return []
        layout, _, began, incomplete, joined = HEAD.unpack(head)
        if layout != LAYOUT:
            return []  # it has not begun, or another version of ours writes it
        self.began, self.incomplete, self.joined = began, bool(incomplete), joined
        at = RING + self.issued % ENTRIES * ENTRY.size
        first = os.pread(file, ENTRY.size, at)
        if len(first) < ENTRY.size or not self._since(ENTRY.unpack(first)[4]):
            return []
        ring = os.pread(file, SIZE - RING, RING)
        if len(ring) < SIZE - RING:
            return []
        found = [
            (self._since(number), t, step, signature, traced)
            for t, step, signature, traced, number in ENTRY.iter_unpack(ring)
            if self._since(number)
        ]
        beats: list[CollectiveBeat] = []
        issued = self.issued
        for since, t, step, signature, traced in sorted(found):
            if since != self.issued - issued + 1 and beats:
                break  # the one between is being written
            self.issued = issued + since
            op, shape, dtype = self._signature(file, signature)
            beats.append(
                CollectiveBeat(
                    t=t,
                    n=self.issued - 1,
                    step=step,
                    op=op,
                    shape=shape,
                    dtype=dtype,
                    traced=bool(traced),
                )
            )
        return beats

    def _since(self, number: int) -> int:
        """The number issued since the last one read, this one included; 0 of an old one."""
        since = (number - self.issued) % _NUMBERS
        return since if number and since < _NUMBERS // 2 else 0

    def _signature(self, file: int, index: int) -> tuple[str, tuple[int, ...], str]:
        known = self._signatures.get(index)
        if known is None:
            data = os.pread(file, SIGNATURE, HEAD.size + index * SIGNATURE)
            words = data.rstrip(b"\0").decode("ascii", "replace").split(" ")
            op, dtype, shape = (words + ["", ""])[:3]
            sizes = tuple(int(size) for size in shape.split(",") if size.isdecimal())
            known = self._signatures[index] = op, sizes, dtype
        return known


def files(folder: Path) -> list[Path]:
    """The files that the processes of one rank have left in `folder`."""
    return sorted(folder.glob(f"{NAME}.*"))
