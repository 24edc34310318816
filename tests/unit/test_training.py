"""What the worker shares between scenarios, in this process: needs mlx, but no training run."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

mx = pytest.importorskip("mlx.core")

import mlx.nn as nn  # noqa: E402
import mlx.optimizers as optim  # noqa: E402

from harness import worker  # noqa: E402
from harness.beats.file import Recorder  # noqa: E402
from harness.beats.record import load  # noqa: E402
from harness.errors import SkipError, UsageError  # noqa: E402
from harness.inject.inside import digest  # noqa: E402
from harness.model import Settings  # noqa: E402
from harness.training import data, models, probes  # noqa: E402
from harness.training.setup import Training  # noqa: E402

DTYPES = ["float32", "float16", "bfloat16", "int8", "uint8", "int32", "int64", "bool_", "complex64"]


@pytest.fixture
def recorder(tmp_path):
    made = Recorder(tmp_path)
    yield made
    made.close()


@pytest.fixture
def probe(recorder):
    made = probes.CompileProbe(recorder)
    original = mx.compile
    made.install()
    yield made
    mx.compile = original


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_digest_sees_a_single_changed_element_anywhere(dtype):
    base = (mx.arange(60).reshape(3, 4, 5) % 2).astype(getattr(mx, dtype))
    digests = {digest.digest(base)}
    for index in range(60):
        flat = base.reshape(-1)
        flat[index] = 1 - flat[index].astype(mx.int32).item()
        digests.add(digest.digest(flat.reshape(3, 4, 5)))
    assert len(digests) == 61
    assert digest.digest(base) == digest.digest(base + mx.zeros_like(base).astype(base.dtype))


def test_a_digest_sees_the_order_and_reads_past_its_slices(monkeypatch):
    monkeypatch.setattr(digest, "_SLICE", 8)
    one = mx.arange(30, dtype=mx.float32)
    swapped = mx.array([*range(20), 21, 20, *range(22, 30)], dtype=mx.float32)
    assert digest.digest(one) != digest.digest(swapped)
    assert digest.digest(mx.zeros((0,))) == (0, 0)


def test_finite_is_finite():
    assert digest.is_finite(mx.array([1.0, -2.0]))
    assert digest.is_finite(mx.array([1, 2]))
    for bad in (float("nan"), float("inf"), -float("inf")):
        assert not digest.is_finite(mx.array([1.0, bad]))
        assert not digest.is_finite(mx.array([1.0, bad], dtype=mx.bfloat16))


def test_traces_and_calls_of_a_compiled_function_are_counted(probe):
    step = mx.compile(lambda x: x * 2 + 1)
    for _ in range(3):
        step(mx.ones(2))
    assert (probe.traces, probe.calls) == (1, 3)
    step(mx.ones(3))
    assert (probe.traces, probe.calls) == (2, 4)
    assert probe.works() is True


def test_tracing_is_the_phase_compile(probe, recorder, tmp_path):
    recorder.begin(0)
    recorder.phase("forward")
    mx.compile(lambda x: x + 1)(mx.ones(2))
    assert recorder.current == "forward"
    recorder.end()
    assert set(load(tmp_path).phases) == {"data", "forward", "compile"}


def test_disabled_compilation_is_seen(probe):
    assert probe.works() is None
    mx.disable_compile()
    try:
        step = mx.compile(lambda x: x * 2)
        step(mx.ones(2))
        step(mx.ones(2))
        assert (probe.traces, probe.calls) == (2, 2)
        assert probe.works() is False
    finally:
        mx.enable_compile()


def test_batches_are_the_same_for_the_same_seed_and_one_token_ahead():
    def take(seed):
        drawn = itertools.islice(data.batches(data.byte_tokens, 2, 16, seed), 3)
        return [(x.tolist(), y.tolist()) for x, y in drawn]

    assert take(1) == take(1) != take(2)
    for inputs, targets in take(1):
        assert len(inputs) == 2
        for x, y in zip(inputs, targets, strict=True):
            assert len(x) == 16
            assert x[1:] == y[:-1]


def test_a_text_shorter_than_a_window_is_an_error():
    with pytest.raises(ValueError, match="fewer than one window"):
        next(data.batches(lambda text: [1, 2, 3], 1, 16, 0))


def trainable(**settings):
    model, _ = models.build(Settings(**settings))
    parameters, _, count, count_bytes, dtype = models.describe(model)
    return count, parameters, count_bytes, dtype


def test_what_is_trained_is_what_was_asked_for():
    full, parameters, full_bytes, dtype = trainable(train="full")
    assert full == parameters
    assert full_bytes == 4 * full
    assert dtype == "float32"
    one, _, _, _ = trainable(train="last:1")
    both, _, _, _ = trainable(train="last:2")
    assert 0 < one < both == 2 * one < full
    lora, with_adapters, _, _ = trainable(train="lora")
    assert 0 < lora < full / 4
    assert with_adapters == full + lora
    assert trainable(dtype="bfloat16")[2:] == (2 * full, "bfloat16")


def test_the_same_seed_makes_the_same_model():
    def digests(seed):
        model, _ = models.build(Settings(seed=seed))
        return [digest.digest(v) for _, v in nn.utils.tree_flatten(model.parameters())]

    assert digests(3) == digests(3) != digests(4)


def test_a_model_that_cannot_be_loaded_is_the_users_to_mend(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="cannot load the model"):
        models.build(Settings(model=str(tmp_path)))


def test_mlx_lm_is_whole_after_a_part_of_it_was_imported_alone():
    code = (
        "import sys\n"
        "from harness.training import models\n"
        "from harness.model import Settings\n"
        "models.build(Settings(model='micro'))\n"
        "assert 'transformers' not in sys.modules\n"
        "assert not any(m.startswith('mlx_lm') for m in sys.modules)\n"
        "import mlx_lm, mlx_lm.models.llama\n"
        "assert mlx_lm.load and mlx_lm.models.llama.Model\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_a_model_of_ones_own_is_followed_and_no_other_is_built(recorder, probe, tmp_path):
    training = Training(Settings(), recorder, probe)
    assert training.tensors() == ({}, {})
    model, optimizer = nn.Linear(3, 1), optim.SGD(0.1)
    training.watch(model, optimizer)
    assert set(training.tensors()[0]) == {"weight", "bias"}
    assert "_built" not in training.__dict__
    x, _ = next(training.batches())
    assert x.shape == (2, 32)
    assert "_built" not in training.__dict__


def test_checks_and_gradients_are_recorded(recorder, probe, tmp_path):
    training = Training(Settings(), recorder, probe)
    recorder.begin(0)
    training.check("same", 1.0, 1.0 + 1e-6)
    training.check("other", 1.0, 1.1)
    training.check("lost", float("nan"), 1.0)
    training.gradients({"a": mx.array([3.0]), "b": [mx.array([4.0])]})
    training.gradients({"a": mx.array([float("nan")])})
    record = load(tmp_path)
    assert [check.ok for check in record.checks] == [True, False, False]
    assert record.gradients[0].norm == 5.0
    assert record.gradients[1].norm == "nan"


@pytest.mark.parametrize(("required", "error"), [(True, UsageError), (False, SkipError)])
def test_a_device_that_is_not_there(required, error):
    """What a user has asked for is a mistake; what a scenario asks for is skipped."""

    def refuse(_):
        raise ValueError("Cannot set gpu device without gpu backend.")

    none = SimpleNamespace(
        Device=lambda *_: None, DeviceType=SimpleNamespace(gpu=1), set_default_device=refuse
    )
    with pytest.raises(error, match="MLX has no gpu here: Cannot set gpu device"):
        worker._choose_device(none, "gpu", required)
    worker._choose_device(none, None, required)
