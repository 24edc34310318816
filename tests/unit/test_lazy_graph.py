"""What is pending in a step, when it is looked at, and which step in the end evaluates it."""

from __future__ import annotations

import itertools
from collections import Counter
from types import SimpleNamespace

import pytest

mx = pytest.importorskip("mlx.core")

import mlx.nn as nn  # noqa: E402
import mlx.optimizers as optim  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from records import make  # noqa: E402

from harness.analysis import findings  # noqa: E402
from harness.beats.file import Recorder  # noqa: E402
from harness.beats.record import Record, gather, load  # noqa: E402
from harness.model import BuiltBeat, Settings  # noqa: E402
from harness.report.sections.scenario import pending as shown  # noqa: E402
from harness.training import loop, probes  # noqa: E402
from harness.training.probes import Graph, GraphSampler, carried, pending  # noqa: E402
from harness.training.setup import Training  # noqa: E402


def sizes(arrays):
    graph = pending(arrays)
    return graph.nodes, graph.depth


# --- a look --------------------------------------------------------------------------------------


def test_the_pending_graph_is_counted_and_its_longest_chain_found():
    x = mx.ones(3)
    mx.eval(x)
    assert sizes([x]) == (0, 0)
    chain = x
    for _ in range(7):
        chain = mx.abs(chain)
    side = mx.sin(x)
    assert sizes([chain, side]) == (8, 7)
    mx.eval(chain, side)
    assert sizes([chain, side]) == (0, 0)


def graph(text: str) -> Graph:
    return Graph(Counter(text), len(text))


@pytest.mark.parametrize(
    ("before", "built", "after", "expected"),
    [
        ("", "abc", "bc", 0),  # a first step leaves some
        ("bc", "bcdef", "ef", 2),  # the next one runs them
        ("bc", "bcdef", "bcdef", 0),  # or leaves them too
        ("bcd", "bcdef", "bf", 2),  # or runs a part
        ("bc", "", "", 2),  # they were run before the graph stood
        ("pq", "ppqq", "pq", 2),  # a compiled function's operations are the same every time
        ("pq", "ppqq", "ppqq", 0),
        ("ppqq", "pppqqq", "pq", 4),
        ("ppqq", "pppqqq", "ppqq", 2),  # those that are left are the newest
    ],
)
def test_what_a_step_ran_of_earlier_ones(before, built, after, expected):
    assert carried(graph(before), graph(built), graph(after)) == expected


@given(*[st.text("abcd", max_size=6)] * 3)
def test_no_step_runs_more_of_earlier_ones_than_they_left(before, built, after):
    assert 0 <= carried(graph(before), graph(built), graph(after)) <= len(before)


# --- when it is looked at ------------------------------------------------------------------------


def sampled(steps: int, look_s: float, step_s: float) -> tuple[set[int], float, float]:
    """(the steps that are sampled, seconds of all looks, seconds in all), on a clock of our own."""
    now = spent = 0.0

    def roots():
        nonlocal now, spent
        now += look_s
        spent += look_s
        return []

    found = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probes, "time", SimpleNamespace(monotonic=lambda: now))
        sampler = GraphSampler(steps, roots)
        for step in range(steps):
            if sampler.wants(step):
                found.add(step)
                sampler.begin(step)
            now += step_s
            if sampler.on:
                sampler.built(None)
                sampler.returned(step)
    return found, spent, now


@given(look_s=st.floats(1e-4, 0.1), step_s=st.floats(1e-4, 10))
def test_looks_take_a_small_share_of_the_time_but_some_steps_are_always_sampled(look_s, step_s):
    steps = 200
    found, spent, lasted = sampled(steps, look_s, step_s)
    always = {0, 1, 2, 4, 8, 16, 32, 64, 128, steps - 1}
    assert found >= always
    # What a look takes is known when it is over.
    over = 3 * look_s * (len(always) + 1)
    assert spent <= probes.FREE_S + probes.SHARE * lasted + over
    if 3 * look_s <= probes.SHARE * step_s:
        assert len(found) == steps


def test_cheap_steps_are_sampled_all_over_the_run():
    found, _, _ = sampled(2000, look_s=0.002, step_s=0.03)
    gaps = [b - a for a, b in itertools.pairwise(sorted(found))]
    assert len(found) < 500
    assert max(gaps) < 50


def test_a_graph_that_could_be_too_deep_to_walk_is_not_walked():
    x = mx.ones(3)
    for _ in range(probes.DEEPEST // 2 + 1):
        x = mx.abs(x)
    sampler = GraphSampler(40, lambda: [x])
    assert sampler.wants(0)
    sampler.begin(0)
    sampler.built(None)
    assert not any(sampler.wants(step) for step in range(1, 40))


# --- what is found in it -------------------------------------------------------------------------


def train(folder, variation, steps=6) -> Record:
    """A recorded training of a small model; `variation` is what is done with the loss."""
    recorder = Recorder(folder)
    probe = probes.CompileProbe(recorder)
    training = Training(Settings(steps=steps), recorder, probe)
    model, optimizer = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)), optim.AdamW(0.1)
    training.watch(model, optimizer)

    def mean_square(model, x):
        value = mx.mean(mx.square(model(x)))
        training.phase("backward")
        return value

    loss_and_grad = nn.value_and_grad(model, mean_square)

    def step(x):
        loss, gradients = loss_and_grad(model, x)
        if variation == "no update":
            return loss
        training.phase("update")
        optimizer.update(model, gradients)
        if variation == "evaluated":
            training.phase("eval")
            mx.eval(loss, model.parameters(), optimizer.state)
        if variation == "evaluated unannounced":
            mx.eval(loss, model.parameters(), optimizer.state)
        if variation == "read in every third" and training.step % 3 != 2:
            return None
        return loss

    x = mx.ones((2, 4))
    mx.eval(x)
    try:
        loop.run(training, step, itertools.repeat(x), recorder, probe)
    finally:
        recorder.close()
    return load(folder)


def deferred(record):
    return [f for f in findings.find(record) if f.code == "deferred_evaluation"]


def test_a_step_whose_loss_alone_is_read_pays_for_the_one_before(tmp_path):
    record = train(tmp_path, "baseline")
    (finding,) = deferred(record)
    assert "also ran the backward pass and update of step 0: " in finding.summary
    assert "4 of 4 later sampled steps" in finding.summary
    assert finding.evidence["step"] == 1
    # What step 1 ran is its own forward pass, as in step 0, and what step 0 had left.
    forward = record.nodes[0] - record.left[0]
    assert finding.evidence["of"] == forward + finding.evidence["operations"]
    assert finding.evidence["operations"] == pytest.approx(record.left[0], abs=2)


@pytest.mark.parametrize("variation", ["evaluated", "evaluated unannounced", "no update"])
def test_a_step_that_leaves_nothing_defers_nothing(tmp_path, variation):
    record = train(tmp_path, variation)
    assert list(record.left) == [0] * 6
    assert not deferred(record)


def test_a_read_in_every_third_step_evaluates_three(tmp_path):
    record = train(tmp_path, "read in every third")
    (finding,) = deferred(record)
    assert finding.summary.startswith("step 2 (")
    assert "also ran all of steps 0 and 1: " in finding.summary
    assert "1 of 3 later sampled steps" in finding.summary
    assert list(record.carried[:2]) == [0, 0]
    assert record.left[0] == record.nodes[0]
    assert finding.evidence["operations"] == pytest.approx(record.left[1], abs=4)


def test_of_a_step_that_never_returned_it_is_said_what_it_has_to_run():
    ran = make(steps=1, nodes=1200, left=800, end=False)
    assert not deferred(ran)
    stuck = gather([BuiltBeat(t=2.0, step=1, nodes=2000, depth=9)])
    (finding,) = deferred(
        Record(**vars(ran) | {"built": stuck.built, "node_step": [0, 1], "nodes": [1200, 2000]})
    )
    assert "step 1 did not return and also has to run the backward pass and update of step 0" in (
        finding.summary
    )
    assert finding.evidence["operations"] == 800


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        (5.0, "the backward pass and update of step 8: "),
        (lambda step: None if step == 8 else 5.0,
         "the backward pass and update of step 7 and all of step 8: "),
        (lambda step: 5.0 if step == 2 else None,
         "the backward pass and update of step 2 and all of steps 3 to 8: "),
        (None, "all of steps 0 to 8: "),
    ],
)  # fmt: skip
def test_the_words_say_whose_work_it_was(losses, told):
    last = [0] * 9 + [900]
    (finding,) = deferred(make(losses=losses, nodes=2000, left=900, carried=last))
    assert f"also ran {told}" in finding.summary


def test_the_report_shows_the_first_and_the_last_looks():
    assert shown(make()) == ""
    nodes = [1223 if step % 7 == 0 else None for step in range(100)]
    left = [883 if step % 7 == 0 else None for step in range(100)]
    text = shown(make(steps=100, nodes=nodes, left=left, carried=800))
    assert "Looked at in 15 of 100 steps" in text
    assert "growing" not in text
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    assert rows[2:] == ["| 0", "| 7", "| 14", "| 21", "| 77", "| 84", "| 91", "| 98"]
    assert "| 1,223 | 9 | 340 | 800 | 883 |" in text
    growing = shown(make(nodes=lambda step: 350 * step, left=0))
    assert "growing by 350 a step" in growing
