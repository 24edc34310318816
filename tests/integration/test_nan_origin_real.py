"""Where NaN was born, in real trainings: the probe by itself, a scenario, and mlx-lm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import forked
import mlxlm_folder
import pytest

ROOT = Path(__file__).parents[2]
CONTROL = ROOT / "scenarios" / "controls" / "nan_log_of_zero.py"


def python(*arguments, folder):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def harness(*words, folder):
    return forked.harness(*words, folder=folder, environment=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.fixture(scope="session")
def probed(once):
    """What `nan_tape.py` prints."""

    def probe(folder: Path) -> None:
        done = python(ROOT / "tests" / "nan_tape.py", folder=folder)
        assert done.returncode == 0, done.stderr
        (folder / "told.json").write_text(done.stdout)

    return json.loads((once("nan-tape", probe) / "told.json").read_text())


@pytest.mark.parametrize(
    ("case", "operation", "place", "function"),
    [
        ("named_import", "log", "forward", "named_import"),
        ("in_place", "log", "forward", "in_place"),
        ("assigned", "log", "forward", "assigned"),
        ("added_at", "log", "forward", "added_at"),
        ("iterated", "log", "forward", "iterated.<genexpr>"),
        ("masked", "log", "forward", "masked"),
        ("mapped", "vmap", "forward", "mapped"),
        ("module", "__rtruediv__", "forward", "Bad.__call__"),
        ("backward_in_place", "sqrt", "backward", "backward_in_place"),
        ("checkpointed", "sqrt", "backward", "checkpointed.block"),
        ("gradients", "__truediv__", "gradients", "divided"),
        ("custom", "__truediv__", "backward", "custom.gone"),
        ("custom_inside", "log", "forward", "custom_inside.loss_of"),
    ],
)
def test_the_operation_is_named_however_it_is_called(probed, case, operation, place, function):
    found = probed["cases"][case]
    assert (found["status"], found["operation"], found["place"]) == ("located", operation, place)
    file, _, name = found["site"].partition(" in ")
    # Python 3.10 has no qualified names of code.
    assert name in (function, function.rpartition(".")[2])
    assert file.startswith("nan_tape.py:")


def test_a_step_that_is_looked_at_bit_by_bit_has_the_same_answers(probed):
    others = ("frames", "probed_s", "usual_s")  # who called the test, and when

    def answers(cases):
        return {
            name: {key: value for key, value in (found or {}).items() if key not in others}
            for name, found in cases.items()
        }

    assert answers(probed["large"]) == answers(probed["cases"])


def test_rows_and_names_are_those_of_the_batch_and_the_model(probed):
    cases = probed["cases"]
    assert cases["assigned"]["rows"] == cases["backward_in_place"]["rows"] == [1]
    assert cases["gradients"]["about"] == "gradient of first.weight"


@pytest.mark.parametrize(
    ("case", "place"), [("custom_kernel", "forward"), ("custom_kernel_back", "backward")]
)
def test_a_custom_function_is_named_where_nothing_inside_is_seen(probed, case, place):
    found = probed["cases"][case]
    assert (found["status"], found["place"]) == ("located", place)
    assert found["operation"].startswith("custom function kernel (nan_tape.py:")


def test_what_was_bad_before_the_step_is_no_operation(probed):
    batch, parameter = probed["cases"]["batch"], probed["cases"]["parameter"]
    assert batch["kind"] == parameter["kind"] == "outside"
    assert (batch["about"], batch["rows"]) == ("array 0 of the batch", [0])
    assert parameter["about"] == "parameter first.bias"


def test_what_is_not_seen_or_does_not_come_is_told_as_that(probed):
    cases = probed["cases"]
    assert cases["healthy"]["status"] == "not_again"
    assert cases["added_up"]["status"] == "unseen"
    assert cases["custom_healthy"]["status"] == "not_again"
    assert (cases["earlier"]["status"], cases["earlier"]["step"]) == ("earlier", 0)


def test_the_probe_changes_no_number(probed):
    plain, watched = probed["losses"]
    assert watched == plain


def test_a_run_that_diverged_is_not_replayed_without_leave(tmp_path):
    done = harness("run", CONTROL, "--no-locate", "--json", folder=tmp_path)
    (result,) = json.loads(done.stdout)["results"]
    assert (result["outcome"], result["origin"]) == ("diverged", None)
    assert not list(tmp_path.glob("reports/*/*/0/replay"))
    assert done.returncode == 1


def masked_prompts(folder: Path) -> list[str]:
    """The arguments of an mlx-lm training with one prompt that leaves no room for its answer."""
    mlxlm_folder.write_prompts(folder)
    arguments = ["lora", "--train", "--model", "model", "--data", "data", "--iters", "24"]
    arguments += ["--num-layers", "1", "--batch-size", "1", "--mask-prompt", "--save-every", "3"]
    return [*arguments, "--max-seq-length", "64", "--steps-per-report", "4"]


def test_mlx_lm_is_replayed_from_its_checkpoint_and_saves_nothing(tmp_path, monkeypatch):
    # Its kernels would be compiled for most of the time; the next test compiles the step.
    monkeypatch.setenv("MLX_DISABLE_COMPILE", "1")
    arguments = masked_prompts(tmp_path)
    train = [sys.executable, "-m", "mlx_lm", *arguments]
    done = harness("watch", "--json", "--", *train, folder=tmp_path)
    (result,) = json.loads(done.stdout)["results"]
    found = result["origin"]
    assert found["status"] == "located", found["summary"]
    assert found["summary"].startswith("0/0, where the divisor is the sum of 1 x 63 zeros")
    assert "mlx_lm/tuner/trainer.py" in found["site"]
    assert result["reason"].startswith(f"diverged at step {found['step']}: 0/0")
    assert found["checkpoint"] == 3 * ((found["step"] - 1) // 3) > 0
    assert (found["place"], found["rows"]) == ("forward", [0])
    # The replay begins after the training has written its last file.
    (replay,) = tmp_path.glob("reports/*/mlx_lm/0/replay")
    began = (replay / "spec.json").stat().st_mtime
    written = {file.name: file.stat().st_mtime for file in tmp_path.glob("adapters/*")}
    assert {"adapters.safetensors", "adapter_config.json"} <= set(written)
    assert all(time < began for time in written.values())


DIVERGES_LAST = """
import os, sys
import mlx.core as mx
from harness.inject.inside import replay
folder = sys.argv[1]
replay.wrap(mx, folder)
import mlx.nn as nn
import mlx.optimizers as optim
from mlx_lm.tuner import callbacks, trainer
replay.wrap(callbacks, folder)
assert callbacks.get_reporting_callbacks("wandb", "name", folder, {}) is None
replay.wrap(trainer, folder)

def iterate_batches(*args, **kwargs):
    for n in range(9):
        yield mx.ones((1, 2)), mx.array(0.0 if n == 3 else 1.0)

def loss(model, x, divisor):
    return (model(x) / divisor).sum() * 0, mx.array(1)

args = trainer.TrainingArgs(iters=4, adapter_file=sys.argv[2], steps_per_report=100)
model = nn.Linear(2, 2)
trainer.train(model, optim.SGD(0.1), [1], None, args, loss, iterate_batches)
raise SystemExit("the training returned")
"""


@pytest.mark.parametrize(("probe", "status"), [(2, "located"), (1 << 40, "earlier")])
def test_the_last_step_is_looked_at_and_the_adapters_stay(tmp_path, probe, status, monkeypatch):
    own, adapters = tmp_path / "own", tmp_path / "adapters.safetensors"
    own.mkdir()
    adapters.write_bytes(b"the user's own")
    request = {"probe": probe, "last": 3 if probe == 2 else probe}
    monkeypatch.setenv("HARNESS_REPLAY", json.dumps(request))
    done = python("-c", DIVERGES_LAST, own, adapters, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert adapters.read_bytes() == b"the user's own"
    answer = json.loads((tmp_path / "origin.json").read_bytes())
    assert (answer["status"], answer["step"]) == (status, 3)
