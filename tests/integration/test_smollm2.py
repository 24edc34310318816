"""The model that the other tests train is a real one: it knows something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import forked
import pytest

ROOT = Path(__file__).parents[2]


def harness(*words, folder):
    return forked.harness(*words, folder=folder, environment=os.environ | {"PYTHONPATH": str(ROOT)})


def test_mlx_lm_continues_a_sentence_with_what_is_true(smollm2_folder: Path):
    command = [sys.executable, "-m", "mlx_lm", "generate", "--model", smollm2_folder]
    command += ["--prompt", "The capital of France is", "--ignore-chat-template"]
    command += ["--max-tokens", "2", "--temp", "0"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Paris" in said


def test_tokenizer_splits_digits_and_gives_back_every_text(smollm2_folder: Path):
    text = "In 1789, naïve  «Übermut»\n\t日本 🙂"
    program = """
import json, sys
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
tokens = tokenizer.encode(sys.argv[2])
print(json.dumps([tokens.tokens, tokenizer.decode(tokens.ids)]))
"""
    command = [sys.executable, "-c", program, smollm2_folder / "tokenizer.json", text]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    tokens, decoded = json.loads(said)
    assert decoded == text
    assert set("1789") <= set(tokens)


def test_lora_steps_of_a_quantised_model_train_the_adapters_and_nothing_else(
    smollm2_folder: Path, tmp_path: Path
):
    words = ["run", "constant_batch", "--json", "--steps", "3", "--model", smollm2_folder]
    words += ["--batch-size", "1", "--seq-len", "4", "--learning-rate", "1e-4"]
    done = harness(*words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["outcome"] == "completed"
    loss = result["metrics"]["loss"]
    assert loss["finite"] is True
    assert loss["last"] < loss["first"]
    assert result["metrics"]["parameters_changed"] is True
    assert not {f["code"] for f in result["findings"]} & {
        "frozen_parameters_changed",
        "parameters_unchanged",
    }
    (beats,) = tmp_path.glob("reports/*/constant_batch/0/beats.jsonl")
    end = next(b for b in map(json.loads, beats.read_text().splitlines()) if b["k"] == "end")
    # LoRA's B matrices start at zero, so that A gets no gradient in the first step only.
    assert end["trainable"]["changed"] == end["trainable"]["total"] > 0
    assert end["frozen"]["total"] > 0
    assert end["frozen"]["changed"] == 0


def test_a_quantised_model_is_not_trained_in_full(smollm2_folder: Path, tmp_path: Path):
    done = harness("run-all", "--model", smollm2_folder, "--train", "full", folder=tmp_path)
    assert done.returncode == 2
    assert "quantized" in done.stderr
    assert len(done.stderr.splitlines()) == 1


MAKE_FOLDER = """
import json, shutil, sys
from pathlib import Path
import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models import llama
source, folder = Path(sys.argv[1]), Path(sys.argv[2])
for file in source.glob("tokenizer*"):
    shutil.copy(file, folder)
config = {
    "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64,
    "num_attention_heads": 4, "rms_norm_eps": 1e-5, "vocab_size": 49152, "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
model = llama.Model(llama.ModelArgs.from_dict(config))
mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
(folder / "config.json").write_text(json.dumps(config))
"""


@pytest.mark.slow
def test_a_model_folder_that_is_not_quantised_is_trained_as_asked(
    smollm2_folder: Path, tmp_path: Path
):
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run([sys.executable, "-c", MAKE_FOLDER, smollm2_folder, folder], check=True)
    trained = {}
    for train in ("full", "last:1", "lora"):
        words = ["run", "baseline_update", "--steps", "2", "--json"]
        words += ["--model", folder, "--train", train, "--out", tmp_path / train]
        done = harness(*words, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        (result,) = json.loads(done.stdout)["results"]
        assert result["metrics"]["loss"]["finite"] is True
        (beats,) = (tmp_path / train).glob("*/baseline_update/0/beats.jsonl")
        end = next(b for b in map(json.loads, beats.read_text().splitlines()) if b["k"] == "end")
        assert end["trainable"]["changed"] > 0
        assert end["frozen"]["changed"] == 0
        trained[train] = (result["metrics"]["memory"]["parameter_bytes"], end["frozen"]["total"])
    assert trained["full"][1] == 0
    assert trained["last:1"][0] < trained["full"][0]
    assert trained["last:1"][1] > 0
    assert trained["lora"][0] < trained["full"][0]
