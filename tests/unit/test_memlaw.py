"""The memory law on traces made by hand: peaks that can be worked out on paper."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.projection import capacity_lines
from harness.errors import HarnessError
from harness.memory import law, layout
from harness.memory.capacity import Bounded, Capacity
from harness.memory.fuse import DEPTH, fuse
from harness.memory.law import Fit, Pattern
from harness.memory.merge import merge
from harness.memory.replay import METAL, Array, Lag, Memory, Node
from harness.memory.splice import Cuts, splice
from harness.memory.trace import Op, Shapes, Trace
from harness.memory.uncollected import uncollected
from harness.memory.unmerge import unmerge
from harness.model import Bound, Settings
from harness.observe.memory_limits import Usable
from harness.session import forecast

N = 1 << 20
P = 4 * N
"""Bytes of one parameter of N numbers."""
PROMPT = Lag(dispatches=1, tasks=0)
"""A device that is done as soon as the host has asked."""


def sgd(parameters: int = 1) -> Trace:
    """Parameters w and inputs x: loss = sum(w * x), gradient 2 * x, update w - lr * gradient."""
    arrays: list[tuple[tuple[int, ...], int]] = []
    ops: list[Op] = []

    def array(*shape: int) -> int:
        arrays.append((shape, 4))
        return len(arrays) - 1

    def op(name: str, *inputs: int, shape: tuple[int, ...] = (N,)) -> int:
        out = array(*shape)
        ops.append(Op(name, inputs, (out,)))
        return out

    weights = tuple(array(N) for _ in range(parameters))
    batch, two, rate = array(1), array(), array()
    losses = [op("Reduce", op("Multiply", w, op("Broadcast", batch)), shape=()) for w in weights]
    loss = losses[0]
    for other in losses[1:]:
        loss = op("Add", loss, other, shape=())
    gradients = tuple(op("Multiply", w, op("Broadcast", two)) for w in weights)
    updated = tuple(
        op("Subtract", w, op("Multiply", g, op("Broadcast", rate)))
        for w, g in zip(weights, gradients, strict=True)
    )
    return Trace(
        arrays=tuple(arrays),
        ops=tuple(ops),
        trainable=weights,
        frozen=(),
        state=(),
        batch=(batch,),
        loss=loss,
        gradients=gradients,
        updated=updated,
        next_state=(),
    )


def in_p(count: int) -> float:
    return round(count / P, 2)


def test_gradients_that_nobody_evaluates_cost_nothing():
    held = law.replay(sgd(), Pattern(updates=False), PROMPT)
    assert [in_p(active) for active, _ in held.steps] == [1] * 3
    # The parameters and the product whose sum is the loss.
    assert in_p(held.peak) == 2


def test_what_is_evaluated_together_is_alive_together():
    # MLX begins with the last output: the gradient is there when the loss makes its product.
    both = law.replay(sgd(), Pattern(("loss", "gradients"), updates=False), PROMPT)
    assert in_p(both.peak) == 3
    assert in_p(both.active) == 1
    # The other way round the product is gone by then.
    turned = law.replay(sgd(), Pattern(("gradients", "loss"), updates=False), PROMPT)
    assert in_p(turned.peak) == 2


def test_the_update_is_paid_for_in_the_next_step():
    held = law.replay(sgd(), law.BASELINE, PROMPT)
    (_, first), (_, second), *_ = held.steps
    assert in_p(first) == 2
    assert second >= first
    assert in_p(held.active) == 1


def test_a_gradient_that_nobody_else_needs_becomes_the_new_parameter():
    """2 P, not 4: the gradient's buffer is scaled and subtracted in place."""
    held = law.replay(sgd(), Pattern(("updated",)), PROMPT)
    # The gradient itself is held by the step's function, so that only its product is donated.
    assert in_p(held.peak) == 3
    lazy = law.replay(sgd(), law.BASELINE, PROMPT, steps=2)
    assert in_p(lazy.peak) <= 3


def test_a_slow_device_keeps_buffers_alive():
    peaks = [law.replay(sgd(8), lag=Lag(2, tasks)).peak for tasks in (0, 2, 10)]
    assert peaks[0] < peaks[-1]
    assert peaks == sorted(peaks)


def test_a_task_ends_with_the_elements_it_read():
    eager = law.replay(sgd(8), lag=msgspec.structs.replace(METAL, elements=N))
    assert eager.peak <= law.replay(sgd(8), lag=METAL).peak


def test_the_parts_add_up_to_the_peak():
    for pattern in law.PATTERNS.values():
        held = law.replay(sgd(3), pattern)
        assert sum(count for _, count in held.parts) == held.peak


def test_nothing_is_left_but_parameters_when_all_is_evaluated():
    held = law.replay(sgd(3), law.PATTERNS["eval_after_update"])
    assert {in_p(active) for active, _ in held.steps} == {3}


@given(st.integers(1, 12), st.integers(1, 20), st.integers(0, 12), st.integers(1, 6))
def test_memory_is_bounded_and_never_lost(parameters, dispatches, tasks, steps):
    trace = sgd(parameters)
    held = law.replay(trace, law.BASELINE, Lag(dispatches, tasks), steps=steps)
    assert len(held.steps) == steps
    assert all(parameters * P <= active <= peak for active, peak in held.steps)
    everything = sum(trace.nbytes([i]) for op in trace.ops for i in op.outputs)
    assert held.peak <= trace.nbytes(trace.trainable) + 2 * everything + P


def chain(*, held: bool) -> int:
    """Peak of exp(exp(x)) over P; `held`: somebody keeps the value in between."""
    memory = Memory(PROMPT)
    x, middle, last = (Array((N,), 4, "") for _ in range(3))
    memory.store(x).references += 1
    Node("Exp", (), [x], [middle])
    Node("Exp", (), [middle], [last])
    last.references += 1
    middle.references += held
    memory.evaluate([last])
    return round(memory.peak / P)


def test_a_buffer_is_donated_only_when_nobody_holds_it():
    assert chain(held=False) == 2
    assert chain(held=True) == 3


def test_arrays_of_another_width_are_not_donated():
    memory = Memory(PROMPT)
    x, narrow, wide = Array((N,), 4, ""), Array((N,), 2, ""), Array((N,), 4, "")
    memory.store(x).references += 1
    Node("AsType", (), [x], [narrow])
    Node("AsType", (), [narrow], [wide])
    memory.evaluate([wide])
    assert memory.peak == 2.5 * P


def test_a_dropped_graph_frees_what_it_held():
    memory = Memory(PROMPT)
    x, y = Array((N,), 4, ""), Array((N,), 4, "")
    memory.store(x)
    x.references += 1
    Node("Exp", (), [x], [y])
    y.references += 1
    memory.release([x])
    assert memory.active == P
    memory.release([y])
    assert memory.active == 0


@pytest.mark.parametrize(
    ("name", "arguments", "shape", "strides", "row"),
    [
        ("Transpose", ([1, 0],), (3, 2), (1, 3), False),
        ("Broadcast", ((4, 2, 3),), (4, 2, 3), (0, 3, 1), False),
        ("ExpandDims", ([0],), (1, 2, 3), (1, 3, 1), True),
        ("Slice", ((0, 1), (2, 3), (1, 1)), (2, 2), (3, 1), False),
        ("Reshape", ((6,),), (6,), (1,), True),
        ("Copy", (), (2, 3), (3, 1), True),
    ],
)
def test_views(name, arguments, shape, strides, row):
    seen = layout.view(name, arguments, layout.row_major((2, 3)), shape)
    assert seen is not None
    assert (seen.shape, seen.strides, seen.row) == (shape, strides, row)


def test_a_transposed_matrix_is_copied_to_be_flattened():
    turned = layout.view("Transpose", ([1, 0],), layout.row_major((2, 3)), (3, 2))
    assert layout.view("Flatten", (), turned, (6,)) is None
    assert layout.view("Unflatten", (), turned, (3, 1, 2)) is not None
    assert layout.copied("Matmul", [turned, layout.row_major((2, 3))]) == []


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.randoms())
def test_transposing_there_and_back(shape, random):
    axes = list(range(len(shape)))
    random.shuffle(axes)
    back = [axes.index(i) for i in range(len(axes))]
    there = layout.view("Transpose", (axes,), layout.row_major(tuple(shape)), ())
    again = layout.view("Transpose", (back,), there, ())
    assert again == layout.row_major(tuple(shape))


def test_fit():
    assert law.fit(10, 10, 0) is Fit.FITS
    assert law.fit(11, 10, 1) is Fit.SWAPS
    assert law.fit(12, 10, 1) is Fit.TOO_LARGE


# --- what an export merges


MERGED = Trace(
    arrays=(((4,), 4), ((), 4), ((4,), 4), ((4,), 4), ((), 4)),
    ops=(Op("Exp", (0,), (2,)), Op("Multiply", (2, 2), (3,)), Op("Reduce", (3,), (4,))),
    trainable=(0,),
    frozen=(),
    state=(),
    batch=(),
    loss=4,
    gradients=(3,),
    updated=(2,),
    next_state=(),
)
"""loss = sum(g), g = exp(w) * exp(w), updated = exp(w), where the export has one exp for two."""


def dot(*edges: str, labels: dict[str, str]) -> str:
    lines = [
        f'{{ {number} [label ="{label}", shape=rectangle]; }}' for number, label in labels.items()
    ]
    return "\n".join(["digraph {", *lines, *edges, "}"])


def test_merged_operations_are_taken_apart():
    graph = dot(
        *['"w" -> 10', '10 -> "c"', '"c" -> 1', '1 -> "a"', '"c" -> 2', '2 -> "b"'],
        *['"a" -> 3', '"b" -> 3', '3 -> "g"', '"g" -> 4', '4 -> "l"'],
        *['"l" -> 5', '"g" -> 5', '"a" -> 5', '"l" -> 5', '5 -> "end"'],
        labels={"10": "Copy", "1": "Exp", "2": "Exp", "3": "Multiply", "4": "Sum", "5": "Depends"},
    )
    apart = unmerge(MERGED, graph)
    assert sorted(op.name for op in apart.ops) == ["Copy", "Exp", "Exp", "Multiply", "Reduce"]
    made = {out: op for op in apart.ops for out in op.outputs}
    product = made[apart.gradients[0]]
    assert product.name == "Multiply"
    assert product.inputs[0] == apart.updated[0] != product.inputs[1]
    assert made[apart.loss].inputs == apart.gradients
    assert all(i in made or i == 0 for op in apart.ops for i in op.inputs)


def test_what_was_compiled_by_itself_stays_as_it_was_traced():
    graph = dot(
        *['"w" -> 1', '1 -> "g"', '"w" -> 2', '2 -> "a"', '"g" -> 4', '4 -> "l"'],
        *['"l" -> 5', '"g" -> 5', '"a" -> 5', '"l" -> 5', '5 -> "end"'],
        labels={"1": "CompiledExpMultiply", "2": "Exp", "4": "Sum", "5": "Depends"},
    )
    apart = unmerge(MERGED, graph)
    assert sorted(op.name for op in apart.ops) == ["Exp", "Exp", "Multiply", "Reduce"]
    position = {out: at for at, op in enumerate(apart.ops) for out in op.outputs}
    assert all(
        position[i] < at for at, op in enumerate(apart.ops) for i in op.inputs if i in position
    )


def checkpointed() -> tuple[Trace, str]:
    """A step of one block, exp, sin and square, whose gradient needs the first two: as it is
    exported, and the graph that it makes with a checkpoint around the block."""
    wide = ((N,), 4)
    plain = Trace(
        arrays=(wide, wide, wide, ((), 4), wide, wide),
        ops=(
            Op("Exp", (0,), (1,)),
            Op("Sin", (1,), (5,)),
            Op("Square", (5,), (2,)),
            Op("Reduce", (2,), (3,)),
            Op("Multiply", (1, 5), (4,)),
        ),
        trainable=(0,),
        frozen=(),
        state=(),
        batch=(),
        loss=3,
        gradients=(4,),
        updated=(4,),
        next_state=(),
    )
    graph = dot(
        *['"w" -> 1', '1 -> "e"', '"e" -> 9', '9 -> "q"', '"q" -> 2', '2 -> "s"'],
        *['"w" -> 3', '"s" -> 3', '3 -> "o"', '"e2" -> 10', '10 -> "q2"'],
        *['"o" -> 4', '4 -> "l"', '"w" -> 5', '"o" -> 5', '5 -> "w2"'],
        *['"w2" -> 6', '6 -> "e2"', '"e2" -> 7', '"q2" -> 7', '7 -> "g"'],
        *['"l" -> 8', '"g" -> 8', '"g" -> 8', '"l" -> 8', '8 -> "end"'],
        labels={
            "1": "Exp", "9": "Sin", "2": "Square", "3": "CustomTransforms", "4": "Sum",
            "5": "Depends", "6": "Exp", "10": "Sin", "7": "Multiply", "8": "Depends",
        },
    )  # fmt: skip
    return plain, graph


def test_a_checkpoint_repeats_the_operations_of_its_block():
    apart = unmerge(*checkpointed())
    made = {out: op for op in apart.ops for out in op.outputs}
    names = sorted(op.name for op in apart.ops)
    assert names == [
        "CustomTransforms", "Depends", "Exp", "Exp", "Multiply", "Reduce", "Sin", "Sin", "Square"
    ]  # fmt: skip
    block = made[made[apart.loss].inputs[0]]
    assert block.name == "CustomTransforms"
    assert block.inputs[0] == 0
    assert made[block.inputs[1]].name == "Square"
    again, beside = made[apart.gradients[0]].inputs
    assert made[beside].inputs == (again,)
    (weights,) = made[again].inputs
    assert made[weights].name == "Depends"
    assert made[weights].inputs == (0, block.outputs[0])


def test_what_is_handed_on_shares_the_buffer_of_its_own_input():
    first, second, third = (layout.row_major((n,)) for n in (2, 3, 4))
    where = [first, second, third]
    waited = layout.rule("Depends", (), where, ((2,), (3,)))
    assert waited.views == ((0, first), (1, second))
    returned = layout.rule("CustomTransforms", (), where, ((3,), (4,)))
    assert returned.views == ((1, second), (2, third))
    assert waited.kernels == returned.kernels == 0


def test_equal_operations_are_merged_but_never_across_a_checkpoint():
    apart = unmerge(*checkpointed())
    assert merge(apart) == apart
    twice = Trace(
        arrays=(*[((N,), 4)] * 5, ((), 4)),
        ops=(
            Op("Exp", (0,), (1,)),
            Op("Exp", (0,), (2,)),
            Op("Square", (2,), (3,)),
            Op("Square", (1,), (4,)),
            Op("Reduce", (3,), (5,)),
        ),
        trainable=(0,),
        frozen=(),
        state=(),
        batch=(),
        loss=5,
        gradients=(4,),
        updated=(4,),
        next_state=(),
    )
    once = merge(twice)
    assert [op.name for op in once.ops] == ["Exp", "Square", "Reduce"]
    assert once.ops[2].inputs == once.gradients == once.updated


def test_the_trace_is_not_walked_anew_for_each_array():
    """Else a model of 8 billion parameters takes minutes."""
    walks = []

    class Ops(tuple):
        def __iter__(self):
            walks.append(1)
            return super().__iter__()

    weights = 50
    trace = Trace(
        arrays=((((4,), 4),) * (2 * weights + 1)),
        ops=Ops(Op("Exp", (i,), (weights + i,)) for i in range(weights)),
        trainable=tuple(range(weights)),
        frozen=(),
        state=(),
        batch=(),
        loss=weights,
        gradients=tuple(range(weights, 2 * weights)),
        updated=(),
        next_state=(),
    )
    edges = [f'"w{i}" -> {i}' for i in range(weights)] + [f'{i} -> "g{i}"' for i in range(weights)]
    ends = ['"g0" -> 99', *[f'"g{i}" -> 99' for i in range(weights)], '99 -> "end"']
    labels = {str(i): "Exp" for i in range(weights)} | {"99": "Depends"}
    apart = unmerge(trace, dot(*edges, *ends, labels=labels))
    assert len(apart.ops) == weights
    assert len(walks) < 10


# --- what a compiled step fuses


def names(trace: Trace) -> list[str]:
    return sorted(op.name for op in trace.ops)


def test_a_chain_of_elementwise_operations_becomes_one():
    fused = fuse(sgd())
    # loss = sum(w * x), and the whole update: nothing is evaluated in between.
    assert names(fused) == ["Compiled", "Compiled", "Reduce"]
    update = next(op for op in fused.ops if fused.updated[0] in op.outputs)
    assert fused.trainable[0] in update.inputs
    assert in_p(law.replay(fused, law.PATTERNS["compiled_step"], PROMPT).active) == 1


def test_what_somebody_else_needs_is_not_fused_away():
    # exp(w) is an output and an input of the product: it comes out of the fused operation.
    fused = fuse(MERGED)
    (compiled,) = (op for op in fused.ops if op.name == "Compiled")
    assert compiled.outputs == (2, 3)
    assert compiled.inputs == (0,)
    assert names(fused) == ["Compiled", "Reduce"]


@given(st.integers(1, 60))
def test_fusing_stops_at_a_depth_and_loses_nothing(length):
    ops = tuple(Op("Exp", (i,), (i + 1,)) for i in range(length))
    chain = msgspec.structs.replace(
        MERGED,
        arrays=(((4,), 4),) * (length + 1),
        ops=ops,
        loss=length,
        gradients=(),
        updated=(length,),
    )
    fused = fuse(chain)
    assert len(fused.ops) == -(-length // DEPTH)
    made = {out for op in fused.ops for out in op.outputs}
    assert all(i in made or i == 0 for op in fused.ops for i in op.inputs)
    assert length in made


# --- the forecast for a machine


def shapes(trace: Trace) -> Shapes:
    return Shapes(
        parameters=N,
        parameter_bytes=P,
        trainable=N,
        trainable_bytes=P,
        dtype="float32",
        blocks=1,
        width=8,
        vocabulary=16,
        backend="cpu",
        allocated=0,
        trace=trace,
        merged=trace,
    )


def traced_by(monkeypatch, trace: Callable[[Settings], Shapes | str]) -> list[str]:
    """Let `trace` take the place of the processes; returns what they are asked for."""
    asked = []

    class Tracer:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def ask(self, settings, grad_checkpoint=False):
            asked.append(f"shapes of {settings.batch_size} x {settings.seq_len}")
            return done(trace(settings))

        def peak(self, settings, grad_checkpoint, backend):
            asked.append(f"peak of {settings.batch_size} x {settings.seq_len} on {backend}")
            found = trace(settings)
            return done(found if isinstance(found, str) else law.project(found).peak)

    def done(answer):
        future = Future()
        future.set_result(answer)
        return future

    monkeypatch.setattr(forecast, "Tracer", Tracer)
    return asked


@pytest.fixture
def asked(monkeypatch):
    """Every training is the one of `sgd`, but for LoRA, which cannot be had, and for long ones."""

    def ask(settings):
        if settings.batch_size * settings.seq_len > 1 << 20:
            return "more than MLX can hold"
        return "no adapters here" if settings.train == "lora" else shapes(sgd())

    return traced_by(monkeypatch, ask)


def held(settings: Settings, memory: int, swap: int = 0, **more: Any) -> forecast.Forecast:
    has = Usable(memory=memory, swap=swap, bound=Bound.MACHINE)
    return forecast.forecast(settings, lambda *_: has, **more)


@pytest.mark.usefixtures("asked")
def test_a_sequence_that_the_model_is_not_made_for_is_said(monkeypatch):
    traced_by(monkeypatch, lambda _: msgspec.structs.replace(shapes(sgd()), positions=64))
    assert "longer" not in held(Settings(train="full", seq_len=64), P).verdict
    beyond = held(Settings(train="full", seq_len=65), P)
    told = "; sequences of 65 tokens are longer than the 64 that the model is made for"
    assert beyond.verdict.endswith(told)
    assert beyond.length.largest <= 64


def test_what_fits_is_asked_of_traces_of_both_sides(asked):
    """The memory of `sgd` does not depend on the batch: MLX ends the search, and a batch of it."""
    done = held(Settings(optimizer="sgd", batch_size=2, seq_len=1024), 9 * P)
    assert (done.batch.largest, done.batch.next) == (1024, 1025)
    assert done.batch.bounded is done.length.bounded is Bounded.MLX
    assert done.length.largest * 2 == 1 << 20
    assert asked.count("shapes of 2 x 1024") == len([a for a in asked if a.startswith("shapes")])
    peaks = [a for a in asked if a.startswith("peak")]
    assert len(peaks) == done.batch.traces + done.length.traces
    assert {"peak of 1024 x 1024 on cpu", "peak of 1025 x 1024 on cpu"} <= set(peaks)
    assert done.batch.expected is done.length.expected is False


@pytest.mark.usefixtures("asked")
def test_each_bound_is_one_line():
    done = held(Settings(optimizer="sgd", batch_size=2, seq_len=1024), 9 * P)
    of = Capacity(
        largest=12, peak=90 << 30, next=13, next_peak=97 << 30, bounded=Bounded.MEMORY, traces=3
    )
    none = Capacity(
        largest=0, peak=None, next=32, next_peak=97 << 30, bounded=Bounded.MEMORY, traces=4
    )
    lines = capacity_lines(msgspec.structs.replace(done, batch=of, length=none), 1, 1024)
    assert lines == [
        "largest batch of 1,024 tokens: 12 sequences (90 GiB); 13 sequences need 97 GiB",
        "longest sequence in a batch of 1: none; 32 tokens need 97 GiB",
        "7 more traces of the training showed that",
    ]
    fit = msgspec.structs.replace(of, expected=True)
    lines = capacity_lines(msgspec.structs.replace(done, batch=fit), 1, 1024)
    assert lines[0].endswith("12 sequences (90 GiB); 13 sequences need about 97 GiB")
    model = msgspec.structs.replace(of, next_peak=None, bounded=Bounded.MODEL)
    mlx = msgspec.structs.replace(of, next_peak=None, bounded=Bounded.MLX)
    lines = capacity_lines(msgspec.structs.replace(done, batch=mlx, length=model), 1, 1024)
    assert lines[0].endswith("12 sequences (90 GiB); MLX cannot hold 13 sequences in one array")
    assert lines[1].endswith("12 tokens (90 GiB); the model is made for no more")


@pytest.mark.usefixtures("asked")
def test_the_verdict_names_the_peak_the_machine_and_what_fits():
    sgd_in_full = Settings(train="full", optimizer="sgd")
    small = held(sgd_in_full, P)
    assert small.verdict == (
        "full SGD on this model peaks at about 3 P = 12 MiB; this machine has 4 MiB; "
        "too large; no smaller training that was tried fits"
    )
    fits = {row.scenario: row.fit for row in small.rows}
    assert fits["baseline_update"] is Fit.TOO_LARGE
    assert fits["lora_step"] is None
    assert {row.scenario: row.reason for row in small.rows}["lora_step"] == "no adapters here"
    swapped = held(sgd_in_full, P, 3 * P).verdict
    assert "this machine has 4 MiB; it fits only with 8 MiB of swap" in swapped
    assert held(sgd_in_full, 9 * P).verdict.endswith("; this machine has 36 MiB; it fits")


def of_sizes(monkeypatch, **parameters: int) -> None:
    """Let each way of training be as large as so many parameters of `sgd`, and of six blocks."""

    def ask(settings):
        size = parameters.get(str(settings.train).replace(":", ""), 8)
        size = size // 2 if settings.dtype == "bfloat16" else size
        # Longer sequences are as good as any: the verdict is about the batch that was asked for.
        return msgspec.structs.replace(shapes(sgd(size)), blocks=6, positions=32)

    traced_by(monkeypatch, ask)


def test_the_verdict_offers_lora(monkeypatch):
    of_sizes(monkeypatch, lora=1)
    verdict = held(Settings(train="full"), 10 * P).verdict
    assert verdict.endswith("has 40 MiB; too large; LoRA needs 12 MiB: it fits")


def test_the_verdict_offers_what_fits_when_lora_does_not(monkeypatch):
    of_sizes(monkeypatch, lora=6, last1=1, last2=2, last4=6)
    verdict = held(Settings(train="full"), 8 * P).verdict
    assert "; LoRA needs " in verdict
    assert ": too large as well; `--train last:2` needs " in verdict
    assert verdict.endswith(": it fits")


def test_the_verdict_offers_half_the_bytes_last(monkeypatch):
    of_sizes(monkeypatch, lora=8, last1=6, last2=8, last4=8)
    verdict = held(Settings(train="full"), 10 * P).verdict
    assert "too large as well; `--train last:1 --dtype bfloat16` needs " in verdict


def test_the_verdict_says_that_nothing_fits(monkeypatch):
    of_sizes(monkeypatch, lora=8)
    verdict = held(Settings(train="full"), 2 * P).verdict
    assert verdict.endswith("too large as well; no smaller training that was tried fits")


@pytest.mark.parametrize("name", law.PATTERNS)
def test_the_first_steps_show_what_later_ones_hold(name):
    """Measurements of three steps are compared with a projection, which stops after a few."""
    trace, pattern = sgd(6), law.PATTERNS[name]
    many = law.replay(trace, pattern, steps=12)
    assert law.replay(trace, pattern, steps=3).peak == pytest.approx(many.peak, rel=0.05)
    assert law.replay(trace, pattern).peak == pytest.approx(many.peak, rel=0.01)


def test_a_step_like_the_one_before_it_ends_the_replay():
    """The first step that holds everything is the third: none is left out before it."""
    steady = law.replay(sgd(), law.BASELINE, PROMPT)
    assert len(steady.steps) == law.STEPS - 1
    assert steady.steps == law.replay(sgd(), law.BASELINE, PROMPT, steps=9).steps[:3]
    assert len(law.replay(sgd(), law.PATTERNS["loss_read_every_k"], PROMPT).steps) == 6
    assert not law._steady([(1, 100), (1, 100)])
    assert not law._steady([(1, 100), (1, 100), (1, 101)])
    assert law._steady([(1, 50), (1, 100_000), (1, 100_001)])


@pytest.mark.parametrize("name", law.PATTERNS)
def test_a_replay_leaves_nothing_to_the_collector(name):
    """It is off while a forecast is made."""

    with uncollected():
        gc.freeze()  # what is there already is not looked through
        law.replay(sgd(6), law.PATTERNS[name])
        assert not any(isinstance(one, Node) for one in gc.get_objects())


def test_the_collector_is_left_as_it_was_found():
    assert gc.isenabled()
    with uncollected(), uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_child_that_dies_is_an_error_of_one_line(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(HarnessError, match="cannot be traced: exit code 1"):
        forecast.trace([Settings()])


def test_an_error_ends_the_searches_too(monkeypatch):
    """They wait for answers that come no more once their processes have ended."""
    searches = threading.Semaphore(0)

    class Tracer:
        def __enter__(self):
            self.ended = Future()
            return self

        def __exit__(self, *_):
            self.ended.set_exception(HarnessError("the process has ended"))

        def ask(self, settings, grad_checkpoint=False):
            answer = Future()
            if settings == asked_first:
                answer.set_result(shapes(sgd()))
            else:
                answer.set_exception(HarnessError("no room for adapters"))
            return answer

        def peak(self, settings, grad_checkpoint, backend):
            searches.release()
            return self.ended

    asked_first = Settings(optimizer="sgd")
    monkeypatch.setattr(forecast, "Tracer", Tracer)
    raised: list[HarnessError] = []

    def run():
        try:
            held(asked_first, 9 * P)
        except HarnessError as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert [str(error) for error in raised] == ["no room for adapters"]
    assert searches.acquire(blocking=False)


# --- what cannot be exported ---------------------------------------------------------------------


def cut_step() -> tuple[Trace, Cuts]:
    """y = w * x, loss = sum(y + added); the gradient by w was given, and dy, x, y are its operands.

    Arrays: w 0, x 1, added 2, given 3, y 4, its sum with `added` 5, loss 6, dy 7, updated 8, an
    array that nothing needs 9.
    """
    wide = ((N,), 4)
    trace = Trace(
        arrays=(wide, wide, wide, wide, wide, wide, ((), 4), wide, wide, wide),
        ops=(
            Op("Subtract", (0, 3), (8,)),
            Op("Multiply", (0, 1), (4,)),
            Op("Add", (4, 2), (5,)),
            Op("Exp", (5,), (7,)),
            Op("Sin", (5,), (9,)),
            Op("Reduce", (5,), (6,)),
        ),
        trainable=(0,),
        frozen=(),
        state=(),
        batch=(1,),
        loss=6,
        gradients=(3,),
        updated=(8,),
        next_state=(),
    )
    cuts = Cuts(name="SegmentedMM", operands=((7, 1, 5),), results=(3,), added=(2,))
    return trace, cuts


def test_what_was_cut_out_is_put_back_where_its_operands_are_known():
    whole = splice(*cut_step())
    made = {op.outputs[0]: op for op in whole.ops}
    assert sorted(made) == [3, 4, 6, 7, 8]  # neither the sum nor what nobody needs
    assert (made[3].name, made[3].inputs) == ("SegmentedMM", (7, 1, 4))
    assert (made[7].inputs, made[6].inputs) == ((4,), (4,))
    at = {out: place for place, op in enumerate(whole.ops) for out in op.outputs}
    assert all(at[i] < at[op.outputs[0]] for op in whole.ops for i in op.inputs if i in at)


def test_a_sum_that_was_taken_away_is_no_output_either():
    trace, cuts = cut_step()
    whole = splice(msgspec.structs.replace(trace, loss=5, updated=(5,)), cuts)
    assert (whole.loss, whole.updated, whole.gradients) == (4, (4,), (3,))
