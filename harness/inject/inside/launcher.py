"""The output of each rank of `mlx.launch`, told apart: its launcher mixes them.

What it reads of a rank is also written to a file of that rank, in parts: the supervisor takes a
part away as soon as the next one has begun, so that no output fills the disk.
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
import time
from typing import Any

SAID = "said"
PART = 1 << 20
"""Bytes after which a part is full."""
HEAD = struct.Struct("<dI")
"""Before each piece: when it was read, in seconds of the monotonic clock, and its length."""


def wrap(module: Any, folder: str) -> None:
    """Look on in `module`, MLX's launcher, as the output of its ranks comes by."""
    process = getattr(module, "RemoteProcess", None)
    if process is None:
        return  # a version of it that we do not know
    begin, heard = process.__init__, process.preprocess_output

    @functools.wraps(begin)
    def start(self: Any, rank: int, *args: Any, **kwargs: Any) -> None:
        begin(self, rank, *args, **kwargs)
        self._harness_said = [Said(folder, rank, stream) for stream in ("stderr", "stdout")]

    @functools.wraps(heard)
    def preprocess_output(self: Any, data: str, is_stdout: bool = False) -> str:
        text: str = heard(self, data, is_stdout)
        self._harness_said[is_stdout].write(text.encode(errors="replace"))
        return text

    process.__init__, process.preprocess_output = start, preprocess_output


class Said:
    """The output of a rank in one stream, in files `said/<rank>.<stream>.<n>`. Never raises."""

    def __init__(self, folder: str, rank: int, stream: str) -> None:
        self._path = os.path.join(folder, SAID, f"{rank}.{stream}")
        self._part = self._filled = 0
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self._path), exist_ok=True)

    def write(self, data: bytes) -> None:
        if self._filled >= PART:
            self._part, self._filled = self._part + 1, 0
        data = HEAD.pack(time.monotonic(), len(data)) + data
        self._filled += len(data)
        # The supervisor may have gone, and its folder with it.
        with contextlib.suppress(OSError), open(f"{self._path}.{self._part}", "ab") as file:
            file.write(data)
