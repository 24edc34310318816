"""The memory law: what a training step will hold, from its shapes alone. Pure.

A step is traced without being evaluated (`harness.training.shapes`), and a few such steps are
replayed under MLX's rules (`harness.memory.replay`). What a scenario evaluates, and when, is a
`Pattern`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from harness.memory.fuse import fuse
from harness.memory.replay import CPU, METAL, Array, Lag, Memory, Node, Seen
from harness.memory.trace import Shapes, Trace

LAGS = {"metal": METAL}
"""The lag of each backend that differs; all others are like the CPU."""
ROLES = ("parameters", "frozen", "gradients", "optimizer", "")
STEPS = 4
"""Replayed steps, at least. Step 1 pays for step 0's update and makes the optimizer's state, step 2
is the first that holds all of it from its beginning; later ones are like it."""
READINGS = 2
"""Readings of a loss that is not read in every step."""
STEADY = 0.001
"""A step whose peak differs less from that of the step before it, as a share: the later ones are
like both, and are not replayed."""


class Pattern(msgspec.Struct, frozen=True):
    """The arrays that a scenario's step evaluates before it returns; its loss is read
    afterwards."""

    evaluates: tuple[str, ...] = ()
    """A selection of `loss`, `gradients`, `updated`, `next_state`."""
    updates: bool = True
    every: int = 1
    """The loss is read in every so many steps."""
    norm: bool = False
    """The norm of the gradients is read before the step ends."""
    compiled: bool = False
    given: bool = False
    """The gradients are made up: there is no backward pass."""


BASELINE = Pattern()
PATTERNS = {
    "baseline_update": BASELINE,
    "clear_cache_after_update": BASELINE,
    "constant_batch": BASELINE,
    "half_precision": BASELINE,
    "lora_step": BASELINE,
    "sgd_step": BASELINE,
    "uncompiled_step": BASELINE,
    "value_and_grad_recreated": BASELINE,
    "value_and_grad_reused": BASELINE,
    "vjp_step": BASELINE,
    "tiny_model": BASELINE,
    "compiled_step": Pattern(compiled=True),
    "compiled_step_initialized": Pattern(compiled=True),
    "rebuild_compiled": Pattern(compiled=True),
    "eval_after_update": Pattern(("loss", "updated", "next_state")),
    "eval_parameters_only": Pattern(("loss", "updated")),
    # Its other loss, before the step, is read while nothing else is alive: never the peak.
    "stale_loss_oracle": Pattern(("updated", "next_state")),
    "grad_without_update": Pattern(updates=False),
    "grad_evaluated_without_update": Pattern(("loss", "gradients"), updates=False, norm=True),
    "loss_read_every_k": Pattern(every=3),
    "update_without_grad": Pattern(("loss", "updated", "next_state"), given=True),
}
"""The pattern of a scenario of the ladder, by its name."""


STATE = {"adam": 2.0, "adamw": 2.0, "lion": 1.0, "sgd": 0.0, "adafactor": 0.0}
"""The state of an optimizer, in P: what is sure to be held between steps beside the parameters
themselves. Adafactor's rows and columns depend on the shapes."""


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of MLX memory that a training will hold."""

    active: int
    """The highest at the end of a step."""
    peak: int
    trainable: int
    """P, the unit of the law: bytes of the trainable parameters."""
    parts: tuple[tuple[str, int], ...]
    """The parts of the peak, by role: parameters, frozen, gradients, optimizer, and the rest,
    activations and temporary results."""
    steps: tuple[tuple[int, int], ...]
    """(active at its end, peak) of each replayed step."""

    @property
    def peak_over_p(self) -> float:
        return self.peak / self.trainable

    @property
    def active_over_p(self) -> float:
        return self.active / self.trainable


class Fit(str, Enum):
    """The relation of a peak to the memory of a machine."""

    FITS = "fits"
    SWAPS = "swaps"
    """Only together with the swap: far slower, and it may look like a hang."""
    TOO_LARGE = "too large"


def fit(peak: int, memory: int, swap: int) -> Fit:
    if peak <= memory:
        return Fit.FITS
    return Fit.SWAPS if peak <= memory + swap else Fit.TOO_LARGE


def project(shapes: Shapes, pattern: Pattern = BASELINE, steps: int | None = None) -> Projection:
    """The memory of the first `steps` steps of a training that repeats the traced one.

    The default number is enough for the highest peak.
    """
    trace = fuse(shapes.merged) if pattern.compiled else shapes.trace
    return replay(trace, pattern, LAGS.get(shapes.backend, CPU), steps)


def replay(
    trace: Trace, pattern: Pattern = BASELINE, lag: Lag = CPU, steps: int | None = None
) -> Projection:
    """Project a training for a given trace and device."""
    memory = Memory(lag)
    current, graph = _begin(trace, memory), _Graph(trace)
    measured: list[tuple[int, int]] = []
    best: dict[str, int] = {}
    for step in range(steps or max(STEPS, READINGS * pattern.every)):
        if steps is None and pattern.every == 1 and _steady(measured):
            break
        memory.reset_peak()
        _step(trace, graph, pattern, memory, current, read=(step + 1) % pattern.every == 0)
        if not measured or memory.peak > max(peak for _, peak in measured):
            best = memory.at_peak
        measured.append((memory.active, memory.peak))
    # Lets go of the pending graph, whose arrays and operations refer to each other.
    memory.release(current.values())
    return Projection(
        active=max(active for active, _ in measured),
        peak=max(peak for _, peak in measured),
        trainable=trace.nbytes(trace.trainable),
        parts=tuple((role or "activations", best[role]) for role in ROLES if best.get(role)),
        steps=tuple(measured),
    )


def _steady(measured: Sequence[tuple[int, int]]) -> bool:
    """True if the step that is the first to hold everything was like the one before it."""
    if len(measured) < STEPS - 1:
        return False
    before, last = measured[-2][1], measured[-1][1]
    return abs(last - before) <= STEADY * last


def _begin(trace: Trace, memory: Memory) -> dict[int, Array]:
    """The parameters, evaluated, and the optimizer's state, pending: its first update makes it."""
    current: dict[int, Array] = {}
    for role, indices in (("parameters", trace.trainable), ("frozen", trace.frozen)):
        for index in indices:
            current[index] = memory.store(Array(*trace.arrays[index], role))
    for index in trace.state:
        current[index] = _full(trace, index, "optimizer", memory)
    for array in current.values():
        array.references += 1
    return current


def _full(trace: Trace, index: int, role: str, memory: Memory) -> Array:
    """Build a graph like that of `mx.zeros`: one number, broadcast, then written out."""
    shape, itemsize = trace.arrays[index]
    number, wide, array = (
        Array((), itemsize, ""),
        Array(shape, itemsize, ""),
        Array(shape, itemsize, role),
    )
    Node("Broadcast", (), [memory.store(number)], [wide])
    Node("Full", (), [wide], [array])
    return array


def _step(
    trace: Trace,
    graph: _Graph,
    pattern: Pattern,
    memory: Memory,
    current: dict[int, Array],
    read: bool,
) -> None:
    known = dict(current)
    if pattern.given:
        known |= {i: _full(trace, i, "gradients", memory) for i in trace.gradients}
    made = graph.build(memory, known)
    # Python holds what the step's function returned, and until the step ends its gradients.
    held = {name: [made[i] for i in _named(trace, name)] for name in _OUTPUTS}
    for arrays in held.values():
        for array in arrays:
            array.references += 1
    for array in made.values():
        array.references += 1
    memory.release(made.values())
    if pattern.updates:
        old = [current[i] for i in (*trace.trainable, *trace.state)]
        for before, after in zip(
            (*trace.trainable, *trace.state), (*held["updated"], *held["next_state"]), strict=True
        ):
            after.references += 1
            current[before] = after
        memory.release(old)
    memory.release(held.pop("updated") if "updated" not in pattern.evaluates else [])
    memory.release(held.pop("next_state") if "next_state" not in pattern.evaluates else [])
    if pattern.evaluates:
        memory.evaluate([array for name in pattern.evaluates for array in held[name]])
    if pattern.norm:
        memory.evaluate([_norm(held["gradients"])])
    memory.release(held.pop("gradients"))
    if read:
        memory.evaluate(held["loss"])
    for arrays in held.values():
        memory.release(arrays)


def _norm(gradients: Sequence[Array]) -> Array:
    """Build the norm as `Training.gradients` computes it."""
    total = Array((), 4, "")
    Node("Full", (), [], [total])
    for array in gradients:
        gradient = array
        if array.itemsize != 4:
            gradient = Array(array.shape, 4, "")
            Node("AsType", (), [array], [gradient])
        square, norm, last = Array(gradient.shape, 4, ""), Array((), 4, ""), total
        Node("Square", (), [gradient], [square])
        Node("Reduce", (), [square], [norm])
        total = Array((), 4, "")
        Node("Add", (), [last, norm], [total])
    return total


_OUTPUTS = ("loss", "gradients", "updated", "next_state")


def _named(trace: Trace, name: str) -> Sequence[int]:
    return {
        "loss": (trace.loss,),
        "gradients": trace.gradients,
        "updated": trace.updated,
        "next_state": trace.next_state,
    }[name]


class _Graph:
    """The arrays and operations of a step, listed once: all steps build the same."""

    def __init__(self, trace: Trace) -> None:
        roles = (
            dict.fromkeys(trace.gradients, "gradients")
            | dict.fromkeys(trace.updated, "parameters")
            | dict.fromkeys(trace.next_state, "optimizer")
        )
        held = {*trace.trainable, *trace.frozen, *trace.state}
        produced = {i for op in trace.ops for i in op.outputs}
        used = {i for op in trace.ops for i in op.inputs}
        used.update(produced, *(_named(trace, name) for name in _OUTPUTS))
        self.arrays = [(i, *trace.arrays[i], roles.get(i, "")) for i in used - held]
        """Those that a step makes, and those that it is given: index, shape, bytes of an element,
        role."""
        self.given = used - held - produced
        self.ops = [(op, Seen()) for op in trace.ops]

    def build(self, memory: Memory, made: dict[int, Array]) -> dict[int, Array]:
        """The lazy graph of one step over the arrays of `made`, which are there already."""
        made = dict(made)
        for index, shape, itemsize, role in self.arrays:
            if index in made:
                continue
            made[index] = array = Array(shape, itemsize, role)
            if index in self.given:
                memory.store(array)
        for op, seen in self.ops:
            outputs = [made[i] for i in op.outputs]
            if not any(out.node for out in outputs):
                Node(op.name, op.arguments, [made[i] for i in op.inputs], outputs, seen)
        return made
