"""A scenario's model, followed by the worker: what became of its learning, as one beat."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import msgspec

from harness.beats.file import Recorder
from harness.inject.inside.digest import Digest
from harness.inject.inside.learning import Follower
from harness.inject.inside.taps import Taps
from harness.model import LearningBeat
from harness.training.setup import Training


class Following:
    """Follows what a `Training` knows of its model and its optimizer."""

    def __init__(self, training: Training, taps: Taps | None = None) -> None:
        """`taps` were installed before the scenario was imported; without any, updates and
        compiled steps are not seen."""
        self._training = training
        self._taps = taps or Taps()
        self._taps.model = lambda: training.known_model
        self._follower = Follower(
            lambda: training.known_model, lambda: training.known_optimizer, self._taps
        )
        self._last: Any = None

    def begin(self, digests: dict[str, Digest]) -> None:
        """Look at the model before its first step; `digests` are those of its parameters."""
        self._follower.begin(digests)

    def seen(self, batches: Iterator[Any]) -> Iterator[Any]:
        """`batches`, of which the last one is kept, and a few others."""
        see = self._follower.batches.see
        for batch in batches:
            see(batch)
            self._last = batch
            yield batch

    def write(self, recorder: Recorder, step: Callable[..., Any]) -> None:
        """Write the beat. Where nothing moved, make one more `step` and look at its gradients."""
        recorder.phase("learning")
        self._training.over = True

        def again() -> list[mx.array]:
            batch = self._last
            loss = step(*batch) if isinstance(batch, tuple) else step(batch)
            return [*self._training.pending(), *([] if loss is None else [loss])]

        # Another rank may see no reason for one more step, and would not take part.
        self._write(recorder, again if self._training.settings.ranks == 1 else None)

    @property
    def state_is_lost(self) -> bool:
        """True if a compiled step took the parameters with it: nothing can read them."""
        return self._taps.compiled is not None

    def write_after_error(self, recorder: Recorder) -> None:
        """Write the beat of a run that an exception ends, if it says why."""
        if self._follower.explains_error():
            self._write(recorder, None)

    def _write(self, recorder: Recorder, again: Callable[[], Any] | None) -> None:
        with contextlib.suppress(Exception):  # what cannot be seen must not end the run
            fields = self._follower.look(self._training.settings.steps, again)
            told = {"k": "learning", "t": time.monotonic(), **fields}
            recorder.write(msgspec.convert(told, LearningBeat))
