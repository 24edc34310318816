"""The sentences of a launcher about the ranks it has started: MLX's own, and Open MPI's."""

from __future__ import annotations

import re

from harness.text import exits

_EXITED = re.compile(rb"Node with rank (\d+) exited with code (-?\d+)")
_MPI = r"process rank (\d+) with PID \d+ on\s+node \S+ "
_FIRST = (
    (re.compile(rf"{_MPI}exited on signal (\d+)\s".encode()), -1),
    (re.compile(rb"Process name: \[\S+,(\d+)\]\s+Exit code:\s+(\d+)\s"), 1),
    (re.compile(rf"{_MPI}exiting (im)properly".encode()), 0),
)
"""The sentences of mpirun about the first rank that has ended otherwise than it should, and the
meaning of their number: a signal, a code, or nothing for one that left with code 0 and without a
word to MPI."""
_LONGEST = 400
"""Bytes of such a sentence, of which a part may come later than the rest."""


class Exits:
    """Hears which ranks did not end well. `mlx.launch` warns of them, and returns 0."""

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.ends_all = False
        """True if it has ended all others because of one, and says nothing of them."""
        self._rest = b""

    def hear(self, data: bytes) -> None:
        text = self._rest + data
        for rank, code in _EXITED.findall(text):
            self.codes[int(rank)] = int(code)
        for sentence, sign in _FIRST:
            for rank, number in sentence.findall(text):
                # Of a rank that a shell has started it knows only the shell's code.
                self.codes.setdefault(int(rank), sign * int(number) if sign else 0)
                self.ends_all = True
        # The last match may be one with more digits to come: it is found again.
        self._rest = text[-_LONGEST:]

    def describe(self) -> str:
        """Such as `rank 2 was killed by SIGKILL`; empty when all ended well."""
        return ", ".join(f"rank {rank} {exits.ended(code)}" for rank, code in self.codes.items())
