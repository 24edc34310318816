"""Where NaN is born: planted origins whose truth is written down here, and the cost of the probe.

    python benchmarks/nan_origin.py [--only NAME ...] [--out FILE.json]

An origin is right if the replay names the operation, its part of the step, the step, and the
source line or, inside a model of mlx-lm, the module. `benchmarks/nan_planted.py` has the programs;
one is mlx-lm's own command under the hook. The cost is that of a probed step of a healthy training,
against the same step without a probe, both uncompiled and in one process: the least of fifteen or
more. The step that is bad is measured once, up to its answer.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import mlxlm_folder  # type: ignore[import-not-found]

from benchmarks import nan_planted
from benchmarks.common import ROOT, commit, machine, save, table
from harness import Scenario, run
from harness.model import Located, Origin

LATE = nan_planted.LATE
STEPS = 8
PLANTED = Path(nan_planted.__file__)


@dataclass(frozen=True)
class Truth:
    """One planted origin, written down before anything was run."""

    name: str
    model: str
    dtype: str
    place: str
    operation: tuple[str, ...]
    """The names under which MLX has it."""
    step: int
    line: bool = True
    """The line is marked in the program; else the module is what counts."""
    module: str | None = None
    rows: tuple[int, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


DIVIDE, POWER, TIMES = ("divide", "__truediv__"), ("power", "__pow__"), ("multiply", "__mul__")
ROW = (2,)
TRUTHS = (
    Truth("log_of_zero", "MLP", "fp32", "forward", ("log",), LATE, rows=ROW),
    Truth("nothing_to_divide", "MLP", "fp32", "forward", DIVIDE, LATE),
    Truth("softmax_by_hand", "MLP", "fp32", "forward", ("exp",), LATE),
    Truth("no_epsilon", "MLP", "fp32", "forward", ("rsqrt",), LATE, rows=ROW),
    Truth("row_all_masked", "MLP", "fp32", "forward", ("softmax",), LATE, rows=ROW),
    Truth("beside_a_mask", "MLP", "fp32", "forward", ("log",), LATE, rows=ROW),
    Truth("half_scores", "MLP", "fp16", "forward", ("matmul", "__matmul__"), LATE),
    Truth("half_sum", "MLP", "fp16", "forward", ("sum",), LATE),
    Truth("bfloat_root", "MLP", "bf16", "forward", POWER, LATE),
    Truth("norm_penalty", "MLP", "fp32", "backward", ("sqrt",), LATE),
    Truth("dead_branch", "MLP", "fp32", "backward", ("log",), 0),
    Truth("loss_scale", "MLP", "fp16", "backward", ("astype",), LATE),
    Truth("norm_of_nothing", "MLP", "fp32", "backward", ("norm",), LATE, rows=ROW),
    Truth("small_power", "MLP", "fp32", "backward", POWER, LATE, rows=ROW),
    Truth("steep_reciprocal", "MLP", "bf16", "backward", ("__rtruediv__",), LATE),
    Truth("llama_overflow", "Llama", "fp16", "forward", TIMES, LATE, line=False,
          module="model.layers.1.mlp", settings={"dtype": "float16", "optimizer": "sgd"}),
    Truth("llama_targets", "Llama", "bf16", "forward", ("log",), LATE,
          settings={"dtype": "bfloat16"}),
    Truth("lora_norm", "Llama, LoRA", "bf16", "backward", ("sqrt",), 0,
          settings={"dtype": "bfloat16", "train": "lora"}),
    Truth("half_moments", "Llama", "fp16", "update", DIVIDE, 0, settings={"dtype": "float16"}),
    Truth("mlx_lm_all_masked", "mlx-lm, LoRA", "fp32", "forward", DIVIDE, -1, line=False),
)  # fmt: skip
"""The step of the last is that of the batch which mlx-lm draws: the first NaN that it prints."""
COSTS = (
    ("tiny Llama, 2 x 32 tokens", "tiny", "2", "32"),
    ("tiny Llama, 8 x 128 tokens", "tiny", "8", "128"),
    ("micro Llama, 2 x 32 tokens", "micro", "2", "32"),
    ("MLP of 2 layers, 8 x 16 numbers", "mlp", "8", "16"),
)
_COST = """
import json, sys, tempfile, time
import mlx.core as mx
from harness.inject.inside import locate, operations
switch = operations.install(mx)
import mlx.nn as nn, mlx.optimizers as optim
from mlx.utils import tree_flatten
from harness.model import Settings
from harness.training import data, models
from harness.training.setup import Training
name, rows, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if name == "mlp":
    model = nn.Sequential(nn.Linear(length, 32), nn.GELU(), nn.Linear(32, 1))
    plain = lambda model, x, y: (model(x) - y).square().mean()
    batches = iter(lambda: (mx.random.normal((rows, length)), mx.ones((rows, 1))), None)
else:
    model, encode = models.build(Settings(model=name))
    plain, batches = Training.loss, data.batches(encode, rows, length, 0)
one = mx.ones(())
loss = lambda model, x, y: plain(model, x, y) + mx.log(one)
optimizer = optim.AdamW(1e-3)
loss_and_grad = nn.value_and_grad(model, loss)
def step(batch):
    value, gradients = loss_and_grad(model, *batch)
    optimizer.update(model, gradients)
    mx.eval(value, model.parameters(), optimizer.state)
    return value
def state():
    arrays = tree_flatten([model.parameters(), optimizer.state])
    return {name: array for name, array in arrays if isinstance(array, mx.array)}
def usual():
    began = time.perf_counter()
    step(next(batches))
    return time.perf_counter() - began
def probed(folder):
    locator = locate.Locator(mx, switch, folder, 0, 1, False)
    began = time.perf_counter()
    locator.begin(0, state())
    batch = next(batches)
    locator.batch(batch)
    bad = locator.end(step(batch), state())
    return time.perf_counter() - began, bad
with tempfile.TemporaryDirectory() as folder:
    usual(), probed(folder)
    began, pairs = time.perf_counter(), []
    while len(pairs) < 15 or (len(pairs) < 1000 and time.perf_counter() - began < 10):
        pairs.append((usual(), probed(folder)[0]))
    one = mx.zeros(())
    last, bad = probed(folder)
    assert bad
print(json.dumps([*map(min, zip(*pairs)), last]))
"""


def line_of(name: str) -> int:
    """The line of the program that is marked as the origin."""
    lines = PLANTED.read_text(encoding="utf-8").splitlines()
    return next(i for i, text in enumerate(lines, 1) if text.endswith(f"# origin {name}"))


def replayed(truth: Truth, folder: Path) -> tuple[Origin | None, str]:
    """The origin that the harness tells of one planted program, and the reason that it gives."""
    if truth.name.startswith("mlx_lm"):
        return _mlx_lm(folder)
    batches = None if truth.model.startswith("Llama") else nan_planted.batches
    scenario = Scenario(getattr(nan_planted, truth.name), batches, settings=truth.settings)
    result = run(scenario, steps=STEPS, out=folder).result
    return result.origin, result.reason or ""


def _mlx_lm(folder: Path) -> tuple[Origin | None, str]:
    """mlx-lm with a prompt that is longer than what is read of it, so that no answer is left."""
    mlxlm_folder.write_prompts(folder)
    command = [sys.executable, "-m", "mlx_lm", "lora", "--train", "--model", folder / "model"]
    command += ["--data", folder / "data", "--iters", 30, "--num-layers", 2, "--batch-size", 1]
    command += ["--mask-prompt", "--max-seq-length", 64, "--adapter-path", folder / "adapters"]
    watch = [sys.executable, "-m", "harness", "watch", "--json", "--out", folder / "reports", "--"]
    done = subprocess.run(
        [*map(str, watch), *map(str, command)], cwd=ROOT, capture_output=True, text=True
    )
    from msgspec import convert

    (result,) = json.loads(done.stdout)["results"]
    found = result["origin"]
    return found and convert(found, Origin, strict=False), result["reason"] or ""


def judged(truth: Truth, found: Origin | None, reason: str) -> dict[str, Any]:
    """The answer for one origin, with what is wrong of it."""
    wrong = []
    if found is None or found.status is not Located.LOCATED:
        wrong.append(found.summary if found else "no replay")
    else:
        step = truth.step
        if step < 0:
            match = re.search(r"at step (\d+)", reason)
            step = int(match[1]) if match else -1
        if found.operation not in truth.operation:
            wrong.append(f"operation {found.operation}")
        if found.place != truth.place:
            wrong.append(f"place {found.place}")
        if found.step != step:
            wrong.append(f"step {found.step}")
        expected = f"{PLANTED.name}:{line_of(truth.name)} " if truth.line else ""
        if not (found.site or "").startswith(expected):
            wrong.append(f"line {found.site}")
        if truth.module is not None and found.module != truth.module:
            wrong.append(f"module {found.module}")
        if truth.rows and found.rows != truth.rows:
            wrong.append(f"rows {found.rows}")
    return {
        "name": truth.name,
        "model": truth.model,
        "dtype": truth.dtype,
        "place": truth.place,
        "right": not wrong,
        "wrong": wrong,
        "told": reason,
        "replay_s": found.replay_s if found else None,
    }


def cost(model: str, rows: str, length: str) -> tuple[float, float, float]:
    """Seconds of a step without the probe, with it, and of one that is bad."""
    done = subprocess.run(
        [sys.executable, "-c", _COST, model, rows, length],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    usual, probed, bad = json.loads(done.stdout)
    return usual, probed, bad


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="the origins to run")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for truth in TRUTHS:
        if arguments.only and truth.name not in arguments.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows.append(judged(truth, *replayed(truth, Path(folder))))
        print(f"{rows[-1]['name']}: {rows[-1]['wrong'] or 'right'}: {rows[-1]['told']}", flush=True)
    costs = [(title, *cost(*what)) for title, *what in COSTS]
    told = [
        [*(row[key] for key in ("name", "model", "dtype", "place")),
         "yes" if row["right"] else "; ".join(row["wrong"])]
        for row in rows
    ]  # fmt: skip
    print(table(("origin", "model", "type", "part", "right"), told))
    print(f"{sum(row['right'] for row in rows)} of {len(rows)} right")
    ratios = [
        [title, f"{usual:.5f}", f"{probed:.5f}", f"{probed / usual:.2f}", f"{bad:.4f}"]
        for title, usual, probed, bad in costs
    ]
    print(table(("training", "usual s", "probed s", "ratio", "bad s"), ratios))
    print(f"on {machine()}, {commit()}")
    save(
        arguments.out,
        "nan_origin",
        {
            "origins": rows,
            "costs": [
                dict(zip(("training", "usual_s", "probed_s", "bad_s"), one, strict=True))
                for one in costs
            ],
        },
    )


if __name__ == "__main__":
    main()
