"""The parameters of a model after its training, and all that its learning depends on.

A `Follower` looks twice: before the first step, and after the last one. In between it counts
(`taps.py`) and keeps a few batches. What it returns are the fields of a LearningBeat
(harness/model/beats.py). Nothing here raises into the training.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any, Callable, Optional

import mlx.core as mx
from mlx.utils import tree_flatten

from .compilation import in_force
from .digest import Digest, digest, item, sample
from .kept_batches import KeptBatches
from .modules import adapters, unregistered
from .taps import Look, Taps

EXAMPLES = 8
NARROW = (mx.bfloat16, mx.float16)
WITH_STATE = ("Adam", "AdamW", "Adamax", "Lion", "Adagrad", "AdaDelta", "RMSprop", "Muon", "SGD")
"""Optimizers whose state is 0 as long as a parameter had no gradient."""
SMALL = 1 << 30
"""Bytes of a model's parameters up to which a look at the gradients of a healthy run needs no room
that it may not have."""
SCHEDULED = 1000
"""Steps up to which a schedule is asked for its learning rate."""


class Follower:
    """Follows one model and its optimizer."""

    def __init__(self, model: Callable[[], Any], optimizer: Callable[[], Any], taps: Taps) -> None:
        """`model` and `optimizer` return what is followed; None as long as there is none."""
        self.taps = taps
        self.batches = KeptBatches()
        self._model = model
        self._optimizer = optimizer
        self._before: dict[str, Digest] = {}
        self._samples: dict[str, mx.array] = {}
        self._hidden: dict[str, Digest] = {}
        self._begun = False

    def begin(self, digests: Optional[dict[str, Digest]] = None) -> None:
        """Look at the model before its first step. `digests` are those of its parameters, if they
        are known already."""
        model = self._model()
        if model is None or self._begun:
            return
        with contextlib.suppress(Exception):
            trainable = _arrays(model.trainable_parameters())
            self._before = digests or {name: digest(value) for name, value in trainable.items()}
            for name, value in trainable.items():
                if value.dtype in NARROW and value.size:
                    self._samples[name] = sample(value)
            mx.eval(list(self._samples.values()))
            for found in unregistered(model):
                self._hidden[found.path] = _digest_of(found.module)
            self._begun = True

    def moved(self) -> bool:
        """Return True if a trainable tensor has changed, or nothing is known."""
        trainable = _arrays(self._model().trainable_parameters())
        return not self._begun or any(
            digest(value) != self._before.get(name) for name, value in trainable.items()
        )

    def inert(self) -> bool:
        """Return True if nothing moved so far, or no gradient was ever anything but 0."""
        try:
            moments = self._moments().get("moments")
            return not self.moved() or (moments is not None and not moments["changed"])
        except Exception:
            return False

    def explains_error(self) -> bool:
        """Return True if what is known can be the reason for an exception: no parameter to train,
        or parameters that a compiled step has lost."""
        model = self._model()
        if self.taps.compiled is not None or model is None:
            return self.taps.compiled is not None
        return not _arrays(model.trainable_parameters())

    def look(self, steps: int, again: Optional[Callable[[], Any]] = None) -> dict[str, Any]:
        """The fields of a LearningBeat, after `steps` steps.

        `again` makes one more step. It is called only if there were updates and nothing moved, or
        if no gradient was ever anything but 0: then the gradients of that step are looked at. A
        run that never updates may have no room for its gradients.
        """
        fields: dict[str, Any] = {}
        model = self._model()
        parts = [self._updates, self._moments]
        if model is not None and self._begun:
            # What a compiled step lost cannot be read any more.
            parts += [self._tensors, self._still, self._adapters, self._hidden_modules]
        parts += [self.batches.facts, lambda: self._rate(steps, _is_suspicious(fields))]
        for part in parts:
            try:
                fields.update(part())
            except Exception:
                continue
        moments = fields.get("moments")
        # Nothing says which weights had a gradient: those that stand still need one more look.
        coarse = not fields.pop("known", True) and 2 * fields["still"] > fields["looked"]
        still = (fields.get("trainable") or {}).get("changed") == 0
        inert = moments is not None and not moments["changed"]
        total = (fields.get("trainable") or {}).get("total")
        small = coarse and sum(v.nbytes for v in self._narrow().values()) <= SMALL
        if again is not None and total and fields.get("updates") and (still or inert or small):
            fields.update(self._once_more(again, fields))
            coarse = not fields.pop("known", not coarse)
        if coarse:
            fields.update(half=None, looked=0, still=0)
        return fields

    def _narrow(self) -> dict[str, mx.array]:
        """The parameters of narrow dtypes."""
        trainable = _arrays(self._model().trainable_parameters())
        return {name: value for name, value in trainable.items() if name in self._samples}

    def _used(self) -> Any:
        """The optimizer that is at work: the one that was named, unless another one is."""
        named, seen = self._optimizer(), self.taps.optimizer
        return named if seen is None or (named is not None and _count(named)) else seen

    # -- the parts

    def _updates(self) -> dict[str, Any]:
        taps = self.taps
        used = self._used()
        return {
            "updates": taps.updates or (_count(used) if used is not None else 0),
            "traced": taps.traced,
            "place": taps.place or None,
            "followed": used is not None,
            "compiled": taps.compiled,
        }

    def _rate(self, steps: int, suspicious: bool) -> dict[str, Any]:
        """The learning rate. A schedule of the program's own may print and count: it is only asked
        where what was seen needs an explanation."""
        used = self._used()
        if used is None:
            return {}
        rate = _float(used.learning_rate)
        schedule = getattr(used, "_schedulers", {}).get("learning_rate")
        if schedule is not None and not suspicious and not _is_mlx(schedule):
            return {"rate": _number(rate)}
        first = rate if self.taps.first_rate is None else _float(self.taps.first_rate)
        highest, warming = max(rate, first), rate > 1.01 * first
        if schedule is not None:
            count = max(1, min(steps, SCHEDULED))
            every = [_float(schedule(mx.array(at))) for at in range(count + 1)]
            highest = max(highest, *every)
            warming = every[-1] > 1.01 * every[0] or every[-1] > 1.0001 * every[-2]
        return {"rate": _number(rate), "highest_rate": _number(highest), "warming": warming}

    def _moments(self) -> dict[str, Any]:
        """Count the parameters whose optimizer state is not 0: they once had a gradient."""
        used = self._used()
        states = _states(used)
        if not states:
            return {}
        zero = [name for name, arrays in states.items() if not any(map(_any, arrays))]
        total = len(states)
        return {
            "moments": {
                "total": total, "changed": total - len(zero), "examples": tuple(zero[:EXAMPLES])
            }
        }  # fmt: skip

    def _tensors(self) -> dict[str, Any]:
        model = self._model()
        trainable = _arrays(model.trainable_parameters())
        still = [name for name, value in trainable.items() if digest(value) == self._before[name]]
        total = len(trainable)
        return {
            "trainable": {
                "total": total, "changed": total - len(still), "examples": tuple(still[:EXAMPLES])
            },
            "parameters": sum(value.size for value in _arrays(model.parameters()).values()),
            "model": type(model).__name__,
        }  # fmt: skip

    def _still(self, had: Optional[dict[str, mx.array]] = None) -> dict[str, Any]:
        """Compare single weights of narrow dtypes, of those that had a gradient.

        `had` says which those are, where the optimizer's state does not: without either, all count.
        """
        trainable, narrow = _arrays(self._model().trainable_parameters()), self._narrow()
        most = sum(v.size for v in narrow.values()) * 2 > sum(v.size for v in trainable.values())
        if not most or self.taps.wide:
            return {}
        states = _states(self._used())
        looked = still = 0
        for name, value in narrow.items():
            same = sample(value) == self._samples[name]
            if states:
                moments = [sample(s) != 0 for s in states.get(name, ()) if s.shape == value.shape]
                counts = functools.reduce(mx.logical_or, moments, mx.zeros_like(same))
            else:
                counts = mx.ones_like(same) if had is None else had.get(name, mx.zeros_like(same))
            weigh = value.size / max(same.size, 1)
            looked += round(weigh * int(item(counts.sum())))
            still += round(weigh * int(item(mx.logical_and(same, counts).sum())))
        kinds = sorted({str(v.dtype).rpartition(".")[2] for v in narrow.values()})
        known = bool(states) or had is not None
        return {"half": " and ".join(kinds), "looked": looked, "still": still, "known": known}

    def _adapters(self) -> dict[str, Any]:
        layers = adapters(self._model())
        return {
            "lora": len(layers),
            "lora_zero": sum(not _any(module["lora_b"]) for module in layers),
            "lora_frozen": sum("lora_b" not in module.trainable_parameters() for module in layers),
        }

    def _hidden_modules(self) -> dict[str, Any]:
        return {
            "unregistered": tuple(
                {
                    "path": found.path,
                    "holder": found.holder,
                    "parameters": sum(v.size for v in _arrays(found.module.parameters()).values()),
                    "changed": self._hidden.get(found.path) != _digest_of(found.module),
                }
                for found in unregistered(self._model())[:EXAMPLES]
            )
        }

    def _once_more(self, again: Callable[[], Any], seen: dict[str, Any]) -> dict[str, Any]:
        """Make one more step, uncompiled, and look at its gradients."""
        look = self.taps.look = Look()
        compiles = in_force()
        mx.disable_compile()
        try:
            mx.eval(again())
        except Exception:
            return {}
        finally:
            self.taps.look = None
            if compiles:  # or else the program has turned it off
                mx.enable_compile()
        return {
            **self.gradients(look),
            **(self._still(look.had) if seen.get("looked") and look.had else {}),
        }

    def gradients(self, look: Look) -> dict[str, Any]:
        """The fields of a LearningBeat that tell of the gradients of one step."""
        fields: dict[str, Any] = {}
        if look.weights is not None:
            counted, of = look.weights
            fields["labels"] = {"counted": counted, "of": of}
        if look.tensors:
            fields["gradients"] = {
                "tensors": look.tensors,
                "zero": look.zero,
                "largest": _number(look.largest),
                "made": None if look.made is None else _number(look.made),
                "stored": None if not look.differs else self.moved(),
            }
        elif look.made is not None:
            fields["gradients"] = {
                "tensors": 0, "zero": 0, "largest": 0.0, "made": _number(look.made)
            }  # fmt: skip
        return fields


def _arrays(tree: Any) -> dict[str, mx.array]:
    return dict(tree_flatten(tree))


def _states(optimizer: Any) -> dict[str, list[mx.array]]:
    """The arrays of the optimizer's state by parameter, where they tell of gradients."""
    parts = getattr(optimizer, "optimizers", None) or ([] if optimizer is None else [optimizer])
    states: dict[str, list[mx.array]] = {}
    for part in parts:
        if type(part).__name__ not in WITH_STATE:
            return {}
        if type(part).__name__ == "SGD" and getattr(part, "momentum", 0) <= 0:
            return {}
        for name, value in tree_flatten(part.state):
            path = name.rpartition(".")[0]
            if path and isinstance(value, mx.array):
                states.setdefault(path, []).append(value)
    return states


def _is_suspicious(fields: dict[str, Any]) -> bool:
    """Return True where the learning rate may explain what was seen, or nothing is known."""
    trainable = fields.get("trainable")
    return (
        trainable is None
        or trainable["changed"] == 0
        or 2 * fields.get("still", 0) > fields.get("looked", 0)
        or 0 < fields.get("lora", 0) == fields.get("lora_zero")
    )


def _is_mlx(schedule: Any) -> bool:
    """Return True for a schedule of MLX's, made of no other."""
    if not str(getattr(schedule, "__module__", "")).startswith("mlx."):
        return False
    held = [cell.cell_contents for cell in getattr(schedule, "__closure__", None) or ()]
    parts = [part for one in held for part in (one if isinstance(one, (list, tuple)) else [one])]
    return all(_is_mlx(part) for part in parts if callable(part))


def _digest_of(module: Any) -> Digest:
    total = weighted = 0
    for value in _arrays(module.parameters()).values():
        a, b = digest(value)
        total, weighted = (total + a) % (1 << 32), (weighted * 3 + b) % (1 << 32)
    return total, weighted


def _count(optimizer: Any) -> int:
    """The updates that an optimizer has counted itself."""
    try:
        parts = getattr(optimizer, "optimizers", None) or [optimizer]
        return max(int(item(part.step)) for part in parts)
    except Exception:
        return 0


def _any(array: mx.array) -> bool:
    return bool(mx.any(array != 0).item())


def _float(value: Any) -> float:
    return float(item(value) if isinstance(value, mx.array) else value)


def _number(value: float) -> Any:
    """A float as a beat holds it."""
    return value if value - value == 0 else str(value)
