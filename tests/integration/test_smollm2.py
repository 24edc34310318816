"""The model that the other tests train is a real one: it knows something."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


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
