"""A replay of mlx-lm's `train` in a process that was started for it: nothing is saved, validated or
reported to others, and the process ends as soon as the answer is written.

A checkpoint of the trainer's own shortens it. The optimizer then begins anew, so that the replay
may differ: one from the start follows where it shows nothing.
"""

from __future__ import annotations

import copy
import inspect
import json
import os
import re
from typing import Any, Callable, Iterator, Optional

from . import trainer
from .locate import Locator
from .operations import Switch, install
from .writer import REPLAY

CORE = "mlx.core"
NEVER = 1 << 60
LEFT_OUT = {
    "mlx_lm.utils": "save_config",
    "mlx_lm.tuner.callbacks": "get_reporting_callbacks",
}
"""What a command of mlx-lm does before it trains, and did in the run that is replayed: the file of
the adapter's settings, and the reports to a service, each of which begins a run there."""
_CHECKPOINT = re.compile(r"(\d{7})_adapters\.safetensors")
_switches: list[Switch] = []


def wrap(module: Any, folder: str) -> None:
    """Prepare `module`: mlx.core, whose operations are put under a probe, mlx-lm's trainer, or a
    module of LEFT_OUT."""
    if module.__name__ == CORE:
        _switches.append(install(module))
        return
    if module.__name__ in LEFT_OUT:
        setattr(module, LEFT_OUT[module.__name__], lambda *args, **kwargs: None)
        return
    request = json.loads(os.environ[REPLAY])
    trainer.wrap(module, folder)
    reported = module.train
    signature = inspect.signature(inspect.unwrap(reported))

    def train(*args: Any, **kwargs: Any) -> None:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        replayed = _Replayed(folder, request, arguments)
        replayed.prepare()
        reported(**arguments)
        replayed.over()

    module.train = train


class _Replayed:
    """One call of `train`, whose arguments are changed in place."""

    def __init__(self, folder: str, request: dict[str, Any], arguments: dict[str, Any]) -> None:
        import mlx.core
        from mlx.utils import tree_flatten

        self._mx: Any = mlx.core
        self._flatten = tree_flatten
        self._arguments = arguments
        self._batches: Callable[..., Iterator[Any]] = arguments["iterate_batches"]
        self._since: Optional[float] = request.get("since")
        self._probe: int = request["probe"]
        self._locator = Locator(
            self._mx,
            _switches[0],
            os.path.dirname(folder),  # its own is for the beats alone, and does not stay
            self._probe,
            request["last"],
            request.get("gradients", False),
        )
        self._saved = folder
        self._checkpoints = os.path.dirname(
            str(getattr(arguments["args"], "adapter_file", None) or "")
        )
        self._started = False
        self._open = False
        """A batch was handed out, and the loop has not asked for the one after it."""

    def prepare(self) -> None:
        args = copy.copy(self._arguments["args"])
        args.steps_per_save = NEVER
        # After its last step the loop saves whatever the number says.
        args.adapter_file = os.path.join(self._saved, "adapters.safetensors")
        self._arguments.update(
            args=args, training_callback=None, iterate_batches=self.iterate_batches
        )

    def over(self) -> None:
        """The training has returned: its own process would now save what it has learned.

        Its loop asked for no batch after the last step, so that this step is looked at here.
        """
        if not (self._open and self._locator.end(None, self._state())):
            self._locator.ran_out()
        os._exit(0)

    def iterate_batches(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        batches = iter(self._batches(*args, **kwargs))
        if self._started:
            return self._validation(batches)
        self._started = True
        return self._training(batches)

    def _validation(self, batches: Iterator[Any]) -> Iterator[Any]:
        """No batch; but its first is drawn, which draws random numbers as it did then."""
        for _ in batches:
            break
        return iter(())

    def _training(self, batches: Iterator[Any]) -> Iterator[Any]:
        locator = self._locator
        step = self._from_checkpoint(batches)
        while True:
            locator.begin(step, self._named())
            batch = next(batches, None)
            if batch is None:
                return
            locator.batch(batch)
            self._open = True
            yield batch
            self._open = False
            if locator.end(None, self._state()):
                os._exit(0)
            step += 1

    def _from_checkpoint(self, batches: Iterator[Any]) -> int:
        """Load the last checkpoint before the probe, and draw the batches up to it."""
        folder = self._checkpoints
        if self._since is None or not os.path.isdir(folder):
            return 0
        steps = {
            int(match[1]): os.path.join(folder, name)
            for name in os.listdir(folder)
            if (match := _CHECKPOINT.fullmatch(name)) and int(match[1]) <= self._probe
        }
        steps = {n: path for n, path in steps.items() if os.path.getmtime(path) >= self._since}
        if not steps:
            return 0
        step = max(steps)
        for _ in range(step):
            next(batches)
        self._arguments["model"].load_weights(steps[step], strict=False)
        self._locator.checkpoint = step
        return step

    def _state(self) -> dict[str, Any]:
        model, optimizer = self._arguments["model"], self._arguments["optimizer"]
        state = dict(self._flatten(model.trainable_parameters()))
        return {**state, **self._optimizer(optimizer, "optimizer.{}")}

    def _named(self) -> dict[str, Any]:
        model, optimizer = self._arguments["model"], self._arguments["optimizer"]
        named = {f"parameter {name}": a for name, a in self._flatten(model.parameters())}
        return {**named, **self._optimizer(optimizer, "optimizer state {}")}

    def _optimizer(self, optimizer: Any, label: str) -> dict[str, Any]:
        return {
            label.format(name): value
            for name, value in self._flatten(optimizer.state)
            if isinstance(value, self._mx.array)
        }
