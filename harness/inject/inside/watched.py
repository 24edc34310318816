"""A model that a program of its own asks to have followed: `beats.watch(model, optimizer)`.

What is seen is written once: when the program lets go of the model, or ends by itself. Steps may be
read from its log all the same: this writes to a file of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
import time
from typing import Any, Optional

from .learning import Follower
from .let_go import UntilLetGo
from .taps import Look, Taps
from .writer import process

NAME = "learning.jsonl"
ARMED = 3
"""The update after which the parameters are looked at for the first time. Where none has moved, the
gradients of the next step are read."""
_followed: Optional[Followed] = None


class Followed:
    """The model of this process, and the file that tells of it."""

    def __init__(self, folder: str, model: Any, optimizer: Any) -> None:
        """Raises FileExistsError if another process is followed already."""
        os.makedirs(folder, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._file = os.open(os.path.join(folder, NAME), flags, 0o644)
        self._pid = process()
        self._look: Optional[Look] = None
        self._closed = False
        self._taps = Taps()
        self._model = self._taps.model = UntilLetGo(model, self.finish)
        self._taps.on_update = self._updated
        self._follower = Follower(self._model, lambda: optimizer, self._taps)
        self._follower.begin()
        self._taps.on_batch = self._seen
        self._taps.install()
        atexit.register(self.finish)

    def _updated(self) -> None:
        self._model.refresh(True)
        taps, updates = self._taps, self._taps.updates
        if updates < ARMED or updates > ARMED + 1:
            return
        if updates == ARMED and self._follower.inert():
            taps.look = Look()
        elif updates > ARMED and taps.look is not None:
            self._look, taps.look = taps.look, None

    def _seen(self, batch: Any) -> None:
        self._model.refresh(self._taps.updates > 0)
        self._follower.batches.see(batch)

    def finish(self) -> None:
        """Write what was seen. A forked child has nothing to tell; a program that failed has only
        what can be the reason."""
        if self._closed or process() != self._pid:
            return
        with contextlib.suppress(Exception):
            failed = hasattr(sys, "last_type") and not self._follower.explains_error()
            if not failed and (self._model.known() or not self._taps.updates):
                self._write()
        self.close()

    def _write(self) -> None:
        fields = self._follower.look(self._taps.updates)
        if self._look is not None:
            fields.update(self._follower.gradients(self._look))
        line = json.dumps({"k": "learning", "t": time.monotonic(), **fields})
        os.write(self._file, line.encode() + b"\n")

    def close(self) -> None:
        """Let go of the model's parts, of the optimizer, and of what was wrapped."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.finish)
        self._taps.remove()
        os.close(self._file)
        del self._follower, self._taps, self._model, self._look


def follow(folder: str, model: Any, optimizer: Any) -> None:
    """Follow `model`, once in a process and in the first one that asks for it."""
    global _followed
    if _followed is None:
        with contextlib.suppress(Exception):
            _followed = Followed(folder, model, optimizer)
