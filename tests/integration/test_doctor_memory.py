"""`doctor --model`: what it projects, and what runs of the harness then really hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import forked
import msgspec
import pytest

from harness.memory import law
from harness.memory.trace import Shapes
from harness.model import Settings
from harness.session import forecast

ROOT = Path(__file__).parents[2]


def python(*arguments) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def harness(*words, **variables) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return forked.harness(*words, folder=ROOT, environment=environment)


@pytest.fixture(scope="session")
def doctor(once):
    """`doctor(*options)` beside a gdb that answers nothing: to try the real one, which is no matter
    here, takes as long as to project."""

    def make(folder: Path) -> None:
        (folder / "gdb").write_text("#!/bin/sh\nexit 1\n")
        (folder / "gdb").chmod(0o755)

    path = os.pathsep.join([str(once("silent-gdb", make)), os.environ["PATH"]])
    variables = {"PATH": path, "PYTHONPATH": f"{ROOT / 'tests' / 'light'}:{ROOT}"}
    return lambda *options, **more: harness("doctor", *options, **variables, **more)


@pytest.fixture(scope="session")
def projection(doctor):
    """What doctor says of a model. Unmeasured: the unit tests run the same lines."""

    def projected(*options) -> dict:
        done = doctor("--json", *options, HARNESS_MEASURED="")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["projection"]

    return projected


@pytest.fixture(scope="session")
def middle(once) -> Path:
    """A model of 10 million parameters."""
    return once("middle", make_middle) / "model"


def make_middle(folder: Path) -> None:
    code = "import sys, pathlib, benchmarks.memory_law as b; b.middle(pathlib.Path(sys.argv[1]))"
    made = python("-c", code, folder / "model")
    assert made.returncode == 0, made.stderr


@pytest.fixture(scope="session")
def of_middle(once, middle):
    """`of_middle(train, dtype, optimizer)`: what is trained of that model, with a batch of one."""

    def traced(train: str, dtype: str, optimizer: str) -> Shapes:
        how = Settings(model=str(middle), train=train, dtype=dtype, optimizer=optimizer,
                       batch_size=1)  # fmt: skip

        def make(folder: Path) -> None:
            (shapes,) = forecast.trace([how])
            (folder / "shapes.json").write_bytes(msgspec.json.encode(shapes))

        made = once(f"middle-{train}-{dtype}-{optimizer}", make)
        return msgspec.json.decode((made / "shapes.json").read_bytes(), type=Shapes)

    return traced


@pytest.fixture(scope="session")
def tiny(once, projection) -> dict:
    """The projection of the built-in model, all of which is trained with AdamW."""

    def make(folder: Path) -> None:
        found = projection("--model", "tiny")
        (folder / "projection.json").write_text(json.dumps(found))

    return json.loads((once("tiny", make) / "projection.json").read_text())


def scenarios(document: dict) -> dict:
    return {row["scenario"]: row for row in document["scenarios"]}


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "adafactor"])
def test_a_run_holds_what_was_projected(tmp_path, optimizer, projection):
    expected = scenarios(projection("--model", "tiny", "--optimizer", optimizer))
    done = harness("run", "baseline_update", "eval_after_update",
                   "--optimizer", optimizer, "--steps", 3, "--repeat", 3, "--json",
                   "--out", tmp_path)  # fmt: skip
    for name in ("baseline_update", "eval_after_update"):
        results = [r for r in json.loads(done.stdout)["results"] if r["scenario"] == name]
        memory = [result["metrics"]["memory"] for result in results]
        row = expected[name]
        assert memory[0]["active_over_p"] == pytest.approx(row["active_over_p"], rel=0.02)
        # How far the host really runs ahead of operations that take microseconds is the machine's
        # affair; the law has the farthest.
        peak = max(one["peak_over_p"] for one in memory)
        assert 0.75 * row["peak_over_p"] < peak < 1.1 * row["peak_over_p"]


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("train", "dtype", "optimizer"),
    [
        pytest.param("full", "float32", "adamw", marks=pytest.mark.slow),
        ("lora", "float32", "adamw"),
        pytest.param("full", "bfloat16", "adafactor", marks=pytest.mark.slow),
    ],
)
def test_the_law_holds_to_a_tenth_where_operations_take_a_while(
    tmp_path, middle, of_middle, train, dtype, optimizer
):
    how = ("--model", middle, "--train", train, "--dtype", dtype, "--optimizer", optimizer,
           "--batch-size", 1)  # fmt: skip
    expected = law.project(of_middle(train, dtype, optimizer)).peak_over_p
    highest = 0.0
    # A machine that others keep busy may for once hold the host back: the highest of three.
    for _ in range(3):
        done = harness("run", "baseline_update", *how, "--steps", 3, "--json",
                       "--out", tmp_path)  # fmt: skip
        (result,) = json.loads(done.stdout)["results"]
        highest = max(highest, result["metrics"]["memory"]["peak_over_p"])
        if highest >= 0.9 * expected:
            break
    assert highest == pytest.approx(expected, rel=0.1)


def test_every_scenario_is_projected(tiny):
    for row in tiny["scenarios"]:
        assert row["reason"] is None
        assert row["fit"] == "fits"
        # The benchmark measures three steps; the projection is of six.
        assert max(peak for _, peak in row["steps"][:3]) >= 0.98 * row["peak"]
        assert row["active"] <= row["peak"] == sum(row["parts"].values())
    assert tiny["verdict"].startswith("full AdamW on this model peaks at about ")
    rows = scenarios(tiny)
    assert rows["sgd_step"]["peak"] < rows["baseline_update"]["peak"]
    assert rows["lora_step"]["trainable"] < rows["baseline_update"]["trainable"]
    assert rows["lora_step"]["parts"]["frozen"] == tiny["model"]["parameter_bytes"]


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    "optimizer",
    [pytest.param(one, marks=() if one == "adamw" else pytest.mark.slow) for one in law.STATE],
)
def test_what_the_diagnosis_takes_for_sure_is_held(optimizer):
    (model,) = forecast.trace([Settings(model="micro", optimizer=optimizer, dtype="bfloat16")])
    assert model.trainable_bytes == 2 * model.parameters
    for name in ("baseline_update", "eval_after_update"):
        projected = law.project(model, law.PATTERNS[name])
        assert projected.active_over_p >= 1 + law.STATE[optimizer]


@pytest.mark.unmeasured
def test_nothing_is_allocated_for_a_model_in_a_folder(of_middle):
    model = of_middle("lora", "float32", "adamw")
    assert (model.blocks, model.width, model.vocabulary) == (8, 256, 8192)
    assert model.allocated < model.parameter_bytes / 100


def test_a_model_that_cannot_be_had_is_a_mistake_of_the_user(tmp_path, doctor):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    done = doctor("--json", "--model", tmp_path)
    assert done.returncode == 2
    assert "cannot load the model" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_table_ends_with_the_verdict_and_what_fits(doctor):
    done = doctor("--model", "micro", "--train", "lora")
    assert done.returncode == 0, done.stderr
    verdict, fits = done.stdout.rstrip().splitlines()[-2:]
    assert verdict.startswith("LoRA with AdamW on this model peaks at about ")
    assert fits.startswith("fits: baseline_update, ")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("tracing ")


@pytest.mark.unmeasured
def test_what_cannot_be_trained_has_its_reason(tmp_path):
    """The reason is what doctor says, as of a model that cannot be had."""
    (tmp_path / "bad.json").write_text("{}")
    reasons = forecast.trace(
        [
            Settings(batch_size=100_000, seq_len=100_000),
            Settings(train="last:99"),
            Settings(model=str(tmp_path / "bad.json")),
        ]
    )
    assert "are more than MLX can hold" in reasons[0]
    assert "--train last:99: the model has 2 blocks" in reasons[1]
    assert "cannot load the model" in reasons[2]


def test_no_run_trains_more_blocks_than_there_are(tmp_path):
    done = harness("run", "baseline_update", "--train", "last:3", "--quiet", "--out", tmp_path)
    assert done.returncode == 2
    assert "--train last:3: the model has 2 blocks" in done.stderr


CONFIG = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 172,
    "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "vocab_size": 256,
}  # fmt: skip


@pytest.mark.unmeasured
def test_a_config_alone_is_enough_and_the_machine_may_be_another(tmp_path, tiny, projection):
    """The built-in model `tiny`, described by its config."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    there = projection("--model", tmp_path / "config.json", "--memory", "1MB", "--device", "gpu")
    (folder,) = forecast.trace([Settings(model=str(tmp_path))])
    assert there["model"]["parameters"] == folder.parameters == tiny["model"]["parameters"]
    known = scenarios(tiny)["baseline_update"]
    assert list(map(list, law.project(folder).steps)) == known["steps"]
    assert (there["memory"], there["memory_of"], there["swap"]) == (1_000_000, "given", 0)
    assert scenarios(there)["baseline_update"]["fit"] == "too large"
    # The host of a GPU runs further ahead.
    assert scenarios(there)["baseline_update"]["peak"] >= known["peak"]


@pytest.mark.unmeasured
def test_what_is_said_to_fit_is_what_the_law_has_of_it(projection):
    how = ("--model", "tiny", "--train", "full", "--memory", "20MB", "--grad-checkpoint")
    first = projection(*how, "--seq-len", 128)
    found = first["capacity"]["batch_size"]
    assert first["grad_checkpoint"] is True
    assert found["peak"] <= 20_000_000 < found["next_peak"]
    assert found["next"] == found["largest"] + 1
    batches = [Settings(train="full", seq_len=128, batch_size=found[one])
               for one in ("largest", "next")]  # fmt: skip
    fits, one_more = forecast.trace(batches, grad_checkpoint=True)
    assert law.project(fits).peak == found["peak"]
    assert law.project(one_more).peak > 20_000_000


@pytest.mark.unmeasured
def test_the_types_of_a_config_count(tmp_path):
    (tmp_path / "half.json").write_text(json.dumps(CONFIG | {"torch_dtype": "bfloat16"}))
    quantized = CONFIG | {"intermediate_size": 192, "quantization": {"group_size": 32, "bits": 4}}
    (tmp_path / "quantized.json").write_text(json.dumps(quantized))
    (tmp_path / "model.safetensors").touch()  # a file that is named is read alone
    names = ("half", "quantized")
    half, small = forecast.trace([Settings(model=str(tmp_path / f"{one}.json")) for one in names])
    assert half.parameter_bytes == 2 * half.parameters
    assert small.parameter_bytes < half.parameter_bytes
    assert small.trainable < small.parameters


def test_what_has_no_weights_is_not_trained(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    done = harness("run", "baseline_update", "--model", tmp_path / "config.json",
                   "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 2
    assert "has no weights, so it cannot be trained" in done.stderr


MEASURED = """
import sys, types
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn

from harness.errors import UsageError
from harness.memory import law
from harness.model import Settings
from harness.training import models, shapes
from harness.training.setup import OPTIMIZERS, Training


def settings(name, **more):
    return Settings(model=name, train="full", dtype="float32", batch_size=2, seq_len=64, **more)


def step_of(name):
    chosen = settings(name)
    model = models.prepare(chosen, lazy=True)[0]
    mx.eval(model.parameters())
    optimizer = OPTIMIZERS[chosen.optimizer](learning_rate=1e-4)
    gradients_of = nn.value_and_grad(model, Training.loss)
    batch = mx.zeros((2, 64), mx.int32)
    mx.eval(batch)
    for _ in range(3):
        loss, gradients = gradients_of(model, batch, batch)
        optimizer.update(model, gradients)
        del gradients
        loss.item()


experts = sys.argv[1]
traced = shapes.measure(settings(experts))
print(sum(op.name == "SegmentedMM" for op in traced.trace.ops), traced.allocated)
print(law.project(traced, steps=3).peak)
mx.synchronize()
mx.clear_cache()
mx.reset_peak_memory()
before = mx.get_active_memory()
step_of(experts)
print(mx.get_peak_memory() - before)
from mlx_lm.models import switch_layers
switch_layers.mx = types.SimpleNamespace(**vars(mx))
for name in sys.argv[1:]:
    try:
        shapes.measure(settings(name))
    except UsageError as error:
        print(error)
"""


def test_a_mixture_of_experts_is_projected_and_what_cannot_be_has_its_reason(tmp_path):
    experts = {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
    short = {"model_type": "gemma3_text", "sliding_window_pattern": 6, "head_dim": 16}
    names = []
    for name, more in {"experts": experts, "short": short, "olmo": {"model_type": "olmo"}}.items():
        names.append(tmp_path / f"{name}.json")
        names[-1].write_text(json.dumps(CONFIG | more))
    done = python("-c", MEASURED, *names)
    assert done.returncode == 0, done.stderr
    found, projected, measured, *refused = done.stdout.splitlines()
    products, allocated = map(int, found.split())
    assert products == 3 * CONFIG["num_hidden_layers"]
    assert allocated < 100_000
    assert int(projected) == pytest.approx(int(measured), rel=0.1)
    assert "cannot show the operations of this training ([export_function]" in refused[0]
    assert "the model cannot build a step of this training: IndexError" in refused[1]
    assert "install ai2-olmo" in refused[2]
