"""The search for the operation at which a training's numbers stop being finite, in a replay.

Steps before the one that is asked for run without a probe; only the parameters and the optimizer
state are looked at after each. From then on each step is recorded until its loss, its state or,
where asked for, its gradients are bad: the tape then says where that was born.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Optional

from . import facts
from .backward import BACKWARD
from .operations import Switch
from .tape import NAN, Node, Tape, birth

ORIGIN = "origin.json"
"""The file in the replay's folder that has the answer."""


class Locator:
    """One replay, in one process."""

    def __init__(
        self, mx: Any, switch: Switch, folder: str, probe: int, last: int, gradients: bool
    ) -> None:
        """Probe from step `probe` on; the numbers were bad by step `last`. With `gradients`, bad
        gradients alone are the end."""
        self._mx = mx
        self._switch = switch
        self._folder = folder
        self._probe = probe
        self._last = last
        self._gradients = gradients
        self._tape: Optional[Tape] = None
        self._usual: list[float] = []
        self._began = 0.0
        self.step = -1
        self.checkpoint: Optional[int] = None
        """The step of the checkpoint that the replay began from."""

    def begin(self, step: int, state: dict[str, Any]) -> None:
        """A step begins; `state` are the arrays that outlive it, by name."""
        self.step = step
        if step >= self._probe:
            self._tape = Tape(self._switch, self._mx)
            for label, array in state.items():
                self._tape.name(label, array)
            self._switch.tape = self._tape
        self._began = time.monotonic()

    def batch(self, batch: Any) -> None:
        """The batch of the step has been drawn."""
        if self._tape is not None:
            self._tape.batch = batch
            self._tape.name("array {} of the batch", batch)

    def end(self, loss: Any, state: dict[str, Any]) -> bool:
        """The step is over; True if the replay is, because the answer is written or will not come.

        `loss` is the array that the step returned, or None.
        """
        tape, self._tape = self._tape, None
        self._switch.tape = None
        self._mx.eval([loss] if loss is not None else [], list(state.values()))
        if tape is None:
            self._usual.append(time.monotonic() - self._began)
            return self._looked(state)
        with self._switch.off():
            ends = [*([] if loss is None else [loss]), *state.values()]
            fine = tape.fine(ends, self._gradients)
        seconds = time.monotonic() - self._began
        bad = [] if fine else self._bad(tape, loss, state)
        if not bad:
            tape.end()
            if self.step < self._last:
                return False
            self._write({"status": "not_again", "step": self.step, "loss": _loss(loss)})
            return True
        with self._switch.off():
            self._write({**self._answer(tape, bad), "probed_s": seconds})
        return True

    def ran_out(self) -> None:
        """The training is over, and its numbers have stayed finite."""
        self._write({"status": "not_again", "step": self.step, "loss": None})

    def _looked(self, state: dict[str, Any]) -> bool:
        """Look at the state after a step without a probe: what is bad by now was born earlier."""
        if not self._names(state):
            return False
        self._write({"status": "earlier", "step": self.step})
        return True

    def _names(self, state: dict[str, Any]) -> list[str]:
        """The names of the arrays that are not finite."""
        mx = self._mx
        floats = {name: a for name, a in state.items() if mx.issubdtype(a.dtype, mx.inexact)}
        if not floats:
            return []
        flags = mx.stack([mx.isfinite(array).all() for array in floats.values()])
        if flags.all().item():
            return []
        return [name for name, fine in zip(floats, flags.tolist()) if not fine]

    def _bad(self, tape: Tape, loss: Any, state: dict[str, Any]) -> list[Node]:
        """The nodes of what is not finite: the loss, or else the state, or else the gradients."""
        tape.settle()
        values = [] if loss is None else [tape.value(loss)]
        if bad := [node for node in values + tape.last if node.state and node.name != BACKWARD]:
            return bad[:1]
        if names := self._names(state):
            nodes = [tape.value(state[name]) for name in names]
            tape.look()
            return nodes
        if self._gradients:
            return [node for node in tape.last if node.state]
        return []

    def _answer(self, tape: Tape, bad: list[Node]) -> dict[str, Any]:
        node = birth(bad)
        made: dict[str, Any] = {"status": "unseen", "step": self.step}
        if node is not None and node.facts:
            made.update(node.facts, status="located", result="nan" if node.state == NAN else "inf")
            if made["kind"] == "outside":
                made.update(operation="", place="data", about=node.label)
                if not node.label:
                    made["status"] = "unseen"
            elif made["kind"] == "unseen":
                made["status"] = "unseen"
        made["batch"] = facts.of_batch(tape)
        return made

    def _write(self, answer: dict[str, Any]) -> None:
        usual = sorted(self._usual)
        answer["checkpoint"] = self.checkpoint
        answer["usual_s"] = usual[len(usual) // 2] if usual else None
        path = os.path.join(self._folder, ORIGIN)
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(answer, file, allow_nan=False)
        os.replace(path + ".new", path)


def _loss(loss: Any) -> Optional[facts.Number]:
    return None if loss is None else facts.number(loss.item())
