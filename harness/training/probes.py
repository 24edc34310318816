"""Looking into MLX from inside the worker: how often it traces, and how much is pending."""

from __future__ import annotations

import gc
import io
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from harness.beats.file import Recorder
from harness.inject.inside.wrapping import wraps

SHARE = 0.01
FREE_S = 0.2
"""The budget of looks at the pending graph: this share of the time, or so many seconds."""
DEEPEST = 10_000
"""Depth up to which the pending graph is walked. MLX walks it recursively, and a graph some
tens of thousands deep overflows the 8 MB stack: the probe must not kill what it looks at."""


class CompileProbe:
    """Counts traces and calls of the functions that a scenario compiles.

    It wraps `mx.compile` before the scenario is imported. Functions of MLX and mlx-lm themselves
    are left alone: what matters is whether the user's step is retraced.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.traces = 0
        self.calls = 0
        self.tracing = False
        self._recorder = recorder
        self._original = mx.compile

    def install(self) -> None:
        mx.compile = self._compile

    def _compile(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
        home = str(getattr(fun, "__module__", ""))
        if home.partition(".")[0] in ("mlx", "mlx_lm"):
            return self._original(fun, *args, **kwargs)

        @wraps(fun)
        def traced(*a: Any, **k: Any) -> Any:
            self.traces += 1
            before, self.tracing = self.tracing, True
            phase = self._recorder.current
            self._recorder.phase("compile")
            try:
                return fun(*a, **k)
            finally:
                self.tracing = before
                self._recorder.phase(phase)

        compiled = self._original(traced, *args, **kwargs)

        @wraps(fun)
        def called(*a: Any, **k: Any) -> Any:
            self.calls += 1
            return compiled(*a, **k)

        return called

    def works(self) -> bool | None:
        """Check whether compilation is in force: a compiled function called twice is traced once.

        None when the scenario compiled nothing. Nothing is evaluated, so no kernel is built.
        """
        if not self.calls:
            return None
        bodies = 0

        def body(x: mx.array) -> mx.array:
            nonlocal bodies
            bodies += 1
            return mx.exp(x) * 2

        compiled = self._original(body)
        x = mx.zeros(2)
        compiled(x)
        compiled(x)
        return bodies == 1


def alive() -> int:
    """The number of MLX arrays that the program holds, by whatever object.

    Takes some 0.1 microseconds for each object of the process, so it is not for each step.
    """
    # By `is`: the class of a foreign object may have an `==` of its own, which may raise.
    return sum(type(one) is mx.array for one in gc.get_objects())


@dataclass(frozen=True)
class Graph:
    """The operations that are pending behind some arrays."""

    operations: Counter[str]
    """The number of times that each primitive is pending, by its address. An operation has a
    primitive of its own; those of a compiled function are the same at each of its calls."""
    depth: int
    """Operations in the longest chain."""

    @property
    def nodes(self) -> int:
        return self.operations.total()


_OPERATION = re.compile(r"^\{ (\S+) \[label", re.MULTILINE)
_EDGE = re.compile(r"^(\S+) -> (\S+)$", re.MULTILINE)
NOTHING = Graph(Counter(), 0)


def pending(arrays: Sequence[mx.array]) -> Graph:
    """The operations pending behind `arrays`.

    Takes 2 or 3 microseconds an operation, half of them MLX's. The export lists operations in the
    order in which they will run, an operation's inputs before its outputs, so that one pass gives
    the depth: an edge from an array, which is in quotes, leads into an operation.
    """
    written = io.StringIO()
    mx.export_to_dot(written, *arrays)
    text = written.getvalue()
    depth: dict[str, int] = {}
    for source, target in _EDGE.findall(text):
        reached = depth.get(source, 0) + (source[0] == '"')
        if reached > depth.get(target, 0):
            depth[target] = reached
    return Graph(Counter(_OPERATION.findall(text)), max(depth.values(), default=0))


def carried(before: Graph, built: Graph, after: Graph) -> int:
    """The number of operations pending `before` a step that its evaluation has run.

    `built` is what was pending when the step's graph stood, `after` what still was when the
    evaluation had returned. Where one primitive is pending several times, those that are left are
    taken for the newest.
    """
    total = 0
    for primitive, old in before.operations.items():
        new = max(0, built.operations[primitive] - old)
        total += old - min(old, max(0, after.operations[primitive] - new))
    return total


class GraphSampler:
    """Looks at the pending graph in as many steps as the time allows.

    A sampled step is looked at when it begins, when its graph stands and when its evaluation has
    returned. That takes some milliseconds on the built-in model, too much for each of its steps
    and nothing beside a step of a large one. So a step is sampled while all looks together stay
    below FREE_S seconds or SHARE of the time since the first step; and always when its index is 0
    or a power of two, and when it is the last one.
    """

    def __init__(self, steps: int, roots: Callable[[], list[mx.array]]) -> None:
        """`roots` gives the parameters and the optimizer state, which outlive a step."""
        self.on = False
        """True if the step under way is sampled."""
        self._last = steps - 1
        self._roots = roots
        self._began: float | None = None
        self._spent = 0.0
        self._price = 0.0
        self._deepest = 0
        self._before = self._built = NOTHING
        self._seen_after: int | None = None
        """The step after which `_before` was looked at."""

    def wants(self, step: int) -> bool:
        """Check whether `step`, which begins now, is sampled. To be asked once a step."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        affordable = self._spent + self._price <= FREE_S + SHARE * (now - self._began)
        wanted = affordable or step & (step - 1) == 0 or step == self._last
        self.on = wanted and 2 * self._deepest < DEEPEST
        return self.on

    def begin(self, step: int) -> None:
        """Look at what earlier steps left, unless the step before was sampled too."""
        self._price = 0.0
        if self._seen_after is None or self._seen_after != step - 1:
            self._before = self._look()

    def built(self, loss: mx.array | None) -> tuple[int, int]:
        """(operations, depth) of what is pending when the step's graph stands."""
        self._built = self._look([] if loss is None else [loss])
        self._deepest = max(self._deepest, self._built.depth)
        return self._built.nodes, self._built.depth

    def returned(self, step: int) -> tuple[int, int]:
        """(operations left pending, those left by earlier steps that this evaluation has run)."""
        after = self._look()
        ran = carried(self._before, self._built, after)
        self._before, self._seen_after = after, step
        return after.nodes, ran

    def _look(self, arrays: Sequence[mx.array] = ()) -> Graph:
        began = time.monotonic()
        graph = pending([*arrays, *self._roots()])
        took = time.monotonic() - began
        self._spent += took
        self._price += took
        return graph
