"""The child that is recorded, as its parent has it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from typing import IO, Any

from harness.errors import UsageError
from harness.observe import installation
from harness.record import child
from harness.text.units import duration

MARK = "HARNESS_RECORDED"
"""A variable that the child has."""
_ANSWER_S = 120.0
"""The first import of MLX may take long."""
_Json = dict[str, Any]


class Known:
    """The known child, in a temporary folder of its own."""

    def __enter__(self) -> Known:
        self._own = tempfile.TemporaryDirectory(prefix="harness-")
        on_gpu = ["gpu"] if installation.has_mlx() else []
        self._process = subprocess.Popen(
            [sys.executable, child.__file__, *on_gpu],
            env={**os.environ, "TMPDIR": self._own.name, MARK: "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip
        return self

    def ask(self, word: str) -> _Json:
        """Its own words of itself; with `word`, once it has done that."""
        out, into = self._process.stdout, self._process.stdin
        assert out is not None
        assert into is not None
        if word:
            into.write(f"{word}\n")
            into.flush()
        if not select.select([out], [], [], _ANSWER_S)[0]:
            raise UsageError(f"--record: the child gave no answer in {duration(_ANSWER_S)}")
        line = out.readline()
        if not line:
            raise UsageError("--record: the child has ended by itself")
        found: _Json = json.loads(line)
        return found

    def __exit__(self, *reason: object) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, 9)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            _close(stream)
        self._own.cleanup()


def _close(stream: IO[str] | None) -> None:
    with contextlib.suppress(OSError):
        if stream is not None:
            stream.close()
