"""The parameters of a training with mlx-lm, followed from outside its loop."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from .as_before import as_before
from .kept_batches import KeptBatches
from .learning import Follower
from .taps import Taps
from .writer import rank


class FollowedTraining:
    """One call of mlx-lm's `train`, with these `arguments`. Nothing of it is wrapped: the optimizer
    counts its updates itself."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        model, optimizer = arguments["model"], arguments["optimizer"]
        self._model, self._loss = model, arguments["loss"]
        self._accumulates = getattr(arguments["args"], "grad_accumulation_steps", 1)
        self._taps = Taps()
        self._follower = Follower(lambda: model, lambda: optimizer, self._taps)
        own = getattr(self._loss, "__name__", "") == "default_loss"
        self._follower.batches = KeptBatches(lengths=own)
        self._last: Any = None
        self._follower.begin()

    def see(self, batch: Any) -> None:
        """`batch` is that of the step which begins."""
        self._follower.batches.see(batch)
        self._last = batch

    def explains_error(self) -> bool:
        """Return True if an exception may come from what is known of the parameters."""
        try:
            return self._follower.explains_error()
        except Exception:
            return False

    def look(self, steps: int) -> dict[str, Any]:
        """The fields of a LearningBeat, after `steps` steps."""
        last, self._last = self._last, None
        # Another rank may see no reason for one more step, and would not take part in it.
        again = None if last is None or not _alone() else lambda: self._again(last)
        fields = self._follower.look(steps, again)
        return {**fields, "accumulates": self._accumulates}

    def _again(self, batch: Any) -> Any:
        """The loss of one more step, whose gradients are looked at and not applied."""
        with as_before(self._model):
            values, gradients = nn.value_and_grad(self._model, self._loss)(self._model, *batch)
            if self._taps.look is not None:
                self._taps.look.computed(gradients)
                self._taps.look.given(gradients, {}, {})
            loss = values[0] if isinstance(values, (tuple, list)) else values
            mx.eval(loss)
        return loss


def _alone() -> bool:
    """Return True if this process is the only one of its training. mlx-lm has joined the others."""
    try:
        return rank() is None and int(mx.distributed.init().size()) == 1
    except Exception:  # nobody can say
        return False
