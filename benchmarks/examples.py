"""Healthy trainings that others wrote, under `harness watch`: each must complete without a finding.

    python benchmarks/examples.py MLX_EXAMPLES [--only NAME ...] [--jobs N] [--out FILE.json]

MLX_EXAMPLES is a copy of github.com/ml-explore/mlx-examples. Its mnist, cifar, gcn, transformer_lm
and lora run as they are, but for the folders of their data; `python -m mlx_lm lora` runs with the
types full, lora and dora. Nothing is downloaded. The data is made here: random, with something to
learn, in the shape and the files of the real sets, of which it is a part only. The models are tiny.
This Python needs scipy and mlx-data beside what the harness needs.

A finding is false if it is an error or a warning.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import ROOT, commit, machine, save, table
from tests import mlxlm_folder

SEED = 0
MNIST, CIFAR, NODES, WORDS = 8_192, 20, 1_600, 500
"""Pictures, papers and words. A convolution takes seconds for a picture on a CPU."""


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    if old not in text:
        raise SystemExit(f"{file.name} of mlx-examples has no {old} any more")
    file.write_text(text.replace(old, new), encoding="utf-8")


def _pictures(count: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of ten classes, each of its own brightness pattern, with noise; and their labels."""
    kinds = np.random.default_rng(SEED).integers(0, 256, (10, *shape))
    rng = np.random.default_rng(count)
    labels = rng.integers(0, 10, count)
    noise = rng.integers(0, 256, (count, *shape))
    return ((kinds[labels] + noise) // 2).astype(np.uint8), labels.astype(np.uint8)


def mnist(folder: Path) -> list[str]:
    train, test = _pictures(MNIST, (784,)), _pictures(MNIST // 8, (784,))
    names = ("training_images", "training_labels", "test_images", "test_labels")
    with (folder / "mnist.pkl").open("wb") as file:
        pickle.dump(dict(zip(names, (*train, *test), strict=True)), file)
    _replace(folder / "mnist.py", 'save_dir="/tmp"', 'save_dir="."')
    return ["main.py"]


def cifar(folder: Path) -> list[str]:
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as archive:
        names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
        for number, name in enumerate(names):
            images, labels = _pictures(CIFAR // 5 + number, (3072,))
            content = pickle.dumps({"data": images, "labels": labels.tolist()})
            _add(archive, f"cifar-10-batches-py/{name}", content)
        meta = {"label_names": [str(number) for number in range(10)]}
        _add(archive, "cifar-10-batches-py/batches.meta", pickle.dumps(meta))
    found = "root=root, validate_download=False"
    _replace(folder / "dataset.py", "root=root", found)
    _replace(
        folder / "main.py", "get_cifar10(args.batch_size)", 'get_cifar10(args.batch_size, ".")'
    )
    return ["main.py", "--cpu", "--batch_size", "2", "--epochs", "1"]


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def gcn(folder: Path) -> list[str]:
    """Papers with the words of their subject, which refer to papers of the same one."""
    rng = random.Random(SEED)
    subjects = [rng.randrange(7) for _ in range(NODES)]
    lines, cites = [], []
    for node, subject in enumerate(subjects):
        words = ["0"] * 1433
        for _ in range(18):
            words[(rng.randrange(200) + 200 * subject) if rng.random() < 0.7
                  else rng.randrange(1433)] = "1"  # fmt: skip
        lines.append("\t".join([str(1000 + node), *words, f"subject_{subject}"]))
        alike = [other for other in rng.sample(range(NODES), 40) if subjects[other] == subject]
        cites += [f"{1000 + other}\t{1000 + node}" for other in alike[:2]]
    (folder / "cora").mkdir()
    (folder / "cora" / "cora.content").write_text("\n".join(lines) + "\n")
    (folder / "cora" / "cora.cites").write_text("\n".join(cites) + "\n")
    return ["main.py"]


def transformer_lm(folder: Path) -> list[str]:
    """Sentences in which most words follow from the one before."""
    rng = random.Random(SEED)
    (folder / "ptb").mkdir()
    for name, count in (("train", 3_000), ("valid", 200), ("test", 200)):
        lines = []
        for _ in range(count):
            word, words = rng.randrange(WORDS), []
            for _ in range(20):
                word = (7 * word + 3) % WORDS if rng.random() < 0.8 else rng.randrange(WORDS)
                words.append(f"w{word}")
            lines.append(" " + " ".join(words) + " ")
        (folder / "ptb" / f"ptb.{name}.txt").write_text("\n".join(lines) + "\n")
    _replace(folder / "datasets.py", 'def ptb(save_dir="/tmp")', 'def ptb(save_dir=".")')
    return ["main.py", "--context_size", "64", "--num_blocks", "2", "--dim", "64", "--num_heads",
            "4", "--batch_size", "8", "--num_iters", "200", "--steps_per_eval", "100",
            "--lr_warmup", "20", "--learning_rate", "1e-3", "--eval_test"]  # fmt: skip


def lora(folder: Path) -> list[str]:
    """The example has its own model, whose head is not that of the embedding."""
    mlxlm_folder.write(folder / "tiny")
    file = folder / "tiny" / "model" / "model.safetensors"
    weights: Any = mx.load(str(file))
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    mx.save_safetensors(str(file), weights, metadata={"format": "mlx"})
    shutil.copy(folder / "tiny/data/valid.jsonl", folder / "tiny/data/test.jsonl")
    return ["lora.py", "--model", "tiny/model", "--data", "tiny/data", "--train", "--iters", "300",
            "--lora-layers", "2", "--batch-size", "2", "--steps-per-eval", "100",
            "--learning-rate", "1e-3"]  # fmt: skip


def mlx_lm(kind: str) -> Callable[[Path], list[str]]:
    def made(folder: Path) -> list[str]:
        mlxlm_folder.write(folder)
        return ["-m", "mlx_lm", "lora", "--train", "--model", "model", "--data", "data", "--iters",
                "200", "--num-layers", "2", "--batch-size", "2", "--fine-tune-type", kind,
                "--learning-rate", "1e-3"]  # fmt: skip

    return made


EXAMPLES: dict[str, Callable[[Path], list[str]]] = {
    "mnist": mnist,
    "cifar": cifar,
    "gcn": gcn,
    "transformer_lm": transformer_lm,
    "lora": lora,
}
TRAININGS = EXAMPLES | {f"mlx-lm {kind}": mlx_lm(kind) for kind in ("full", "lora", "dora")}


def watched(name: str, examples: Path, folder: Path) -> dict[str, Any]:
    """The result of one training, in a new folder below `folder`."""
    home = folder / name.replace(" ", "_")
    if name in EXAMPLES:
        shutil.copytree(examples / name, home)
    else:
        home.mkdir()
    words = TRAININGS[name](home)
    command = [sys.executable, "-m", "harness", "watch", "--json", "--", sys.executable, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, env=environment)
    if not done.stdout:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    (result,) = json.loads(done.stdout)["results"]
    if result["outcome"] != "completed":
        print(done.stderr[-3000:], file=sys.stderr)
    return {
        "training": name,
        "outcome": result["outcome"],
        "steps": result["steps_completed"],
        "wall_s": round(result["wall_s"], 1),
        "findings": {
            one["code"]: one["severity"] for one in result["findings"] if one["severity"] != "info"
        },
        "information": sorted(
            {one["code"] for one in result["findings"] if one["severity"] == "info"}
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("examples", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(TRAININGS), default=list(TRAININGS))
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(
            pool.map(lambda name: watched(name, arguments.examples, Path(folder)), arguments.only)
        )
    rows = [
        (
            one["training"], one["outcome"], str(one["steps"]), str(one["wall_s"]),
            ", ".join(f"{code} ({severity})" for code, severity in one["findings"].items()) or "-",
            ", ".join(one["information"]) or "-",
        )
        for one in results
    ]  # fmt: skip
    print(table(("training", "outcome", "steps", "s", "findings", "information"), rows))
    false = sum(len(one["findings"]) + (one["outcome"] != "completed") for one in results)
    print(f"{false} false findings in {len(results)} healthy trainings")
    print(f"on {machine()}, {commit()}")
    save(arguments.out, "examples", {"false": false, "trainings": results})


if __name__ == "__main__":
    main()
