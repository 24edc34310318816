"""Looking into MLX from inside the worker: how often it traces, and how much is pending."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

from harness.beats import Recorder

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

        @functools.wraps(fun)
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

        @functools.wraps(fun)
        def called(*a: Any, **k: Any) -> Any:
            self.calls += 1
            return compiled(*a, **k)

        return called

    def works(self) -> bool | None:
        """Whether compilation is in force: a compiled function called twice is traced once.

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


def graph_size(arrays: Sequence[mx.array]) -> tuple[int, int]:
    """Operations pending behind `arrays`, and the longest chain of them.

    Takes about a microsecond an operation. The export lists operations in the order in which they
    will run, an operation's inputs before its outputs, so that one pass gives the depth.
    """
    text = io.StringIO()
    mx.export_to_dot(text, *arrays)
    nodes = deepest = 0
    depth: dict[str, int] = {}
    for line in text.getvalue().splitlines():
        if "[label" in line:
            nodes += 1
            continue
        source, arrow, target = line.partition(" -> ")
        if not arrow:
            continue
        into_operation = source.startswith('"')
        reached = depth.get(source, 0) + into_operation
        if reached > depth.get(target, 0):
            depth[target] = reached
            deepest = max(deepest, reached)
    return nodes, deepest


class GraphSampler:
    """Decides at which steps the pending graph is measured: 0 to 3, then the powers of two.

    A look costs a millisecond or two on the built-in model and more on a large one, too much for
    every step; it is timed as the phase `graph` and left out of the step's time.
    """

    def __init__(self) -> None:
        self._deepest = 0

    def wants(self, step: int) -> bool:
        return (step < 4 or step & (step - 1) == 0) and 2 * self._deepest < DEEPEST

    def measure(self, arrays: Sequence[mx.array]) -> tuple[int, int]:
        nodes, depth = graph_size(arrays)
        self._deepest = max(self._deepest, depth)
        return nodes, depth
