"""What MLX's launcher says of the ranks it has started."""

from __future__ import annotations

import re

from harness.supervise.launch import signal_name

_EXITED = re.compile(rb"Node with rank (\d+) exited with code (-?\d+)")
_LONGEST = 80
"""Bytes of such a sentence, of which a part may come later than the rest."""


class Exits:
    """Hears which ranks did not end well. `mlx.launch` warns of them, and returns 0."""

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self._rest = b""

    def hear(self, data: bytes) -> None:
        text = self._rest + data
        for rank, code in _EXITED.findall(text):
            self.codes[int(rank)] = int(code)
        # The last match may be one with more digits to come: it is found again.
        self._rest = text[-_LONGEST:]

    def told(self) -> str:
        """Such as `rank 2 was killed by SIGKILL`; empty when all ended well."""
        return ", ".join(
            f"rank {rank} "
            + (f"was killed by {signal_name(-code)}" if code < 0 else f"exited with code {code}")
            for rank, code in self.codes.items()
        )
