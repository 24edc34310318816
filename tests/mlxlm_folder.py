"""A tiny Llama with random weights, and data to train it on, as mlx-lm reads them from a folder.

`python tests/mlxlm_folder.py FOLDER` writes `FOLDER/model` and `FOLDER/data`. Nothing but the
standard library is needed: the tests' own process stays without mlx.
"""

from __future__ import annotations

import json
import random
import struct
import sys
from array import array
from pathlib import Path
from typing import Any

LAYERS, WIDTH, HEADS, VOCABULARY = 2, 32, 2, 320
BYTES = 256
SPECIAL = ("<s>", "</s>", "<unk>")
EXAMPLES = 24


def write(folder: Path, layers: int = LAYERS, width: int = WIDTH) -> None:
    """`folder/model`, and `folder/data` with train.jsonl and valid.jsonl.

    `python -m mlx_lm lora --model folder/model --train --data folder/data --iters 20
    --num-layers 2 --batch-size 1` then works without a network; a step takes milliseconds.
    """
    model, data = folder / "model", folder / "data"
    model.mkdir(parents=True, exist_ok=True)
    data.mkdir(parents=True, exist_ok=True)
    _json(model / "config.json", _config(layers, width))
    _json(model / "tokenizer.json", _tokenizer())
    _json(model / "tokenizer_config.json", _tokenizer_config())
    (model / "model.safetensors").write_bytes(_safetensors(_shapes(layers, width)))
    for name, seed in (("train", 1), ("valid", 2)):
        texts = _texts(random.Random(seed))
        lines = [json.dumps({"text": text}) for text in texts]
        (data / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_prompts(folder: Path) -> None:
    """The same with prompts and answers, and one prompt that leaves no room for its answer.

    With `--mask-prompt --max-seq-length 64` no token of that one is left to learn from.
    """
    write(folder)
    config = folder / "model" / "tokenizer_config.json"
    chat = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    _json(config, json.loads(config.read_text(encoding="utf-8")) | {"chat_template": chat})
    rows = [{"prompt": f"say {i}", "completion": f"the number {i}"} for i in range(15)]
    rows.append({"prompt": "x" * 200, "completion": "y"})
    for name in ("train", "valid"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "data" / f"{name}.jsonl").write_text(text, encoding="utf-8")


def _config(layers: int, width: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "vocab_size": VOCABULARY,
        "bos_token_id": BYTES,
        "eos_token_id": BYTES + 1,
    }


def _shapes(layers: int, width: int) -> dict[str, tuple[int, ...]]:
    inner = 2 * width
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, width),
        "model.norm.weight": (width,),
    }
    for layer in range(layers):
        block = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{block}.{norm}.weight"] = (width,)
        for name in "qkvo":
            shapes[f"{block}.self_attn.{name}_proj.weight"] = (width, width)
        shapes[f"{block}.mlp.gate_proj.weight"] = (inner, width)
        shapes[f"{block}.mlp.up_proj.weight"] = (inner, width)
        shapes[f"{block}.mlp.down_proj.weight"] = (width, inner)
    return shapes


def _safetensors(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """The format is a length, a JSON header with each tensor's place, and the numbers."""
    rng = random.Random(0)
    header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    numbers = array("f")
    for name, shape in shapes.items():
        start = 4 * len(numbers)
        if len(shape) == 1:
            numbers.extend([1.0] * shape[0])
        else:
            numbers.extend(rng.gauss(0.0, shape[1] ** -0.5) for _ in range(shape[0] * shape[1]))
        place = [start, 4 * len(numbers)]
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": place}
    if sys.byteorder == "big":
        numbers.byteswap()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + numbers.tobytes()


def _tokenizer() -> dict[str, Any]:
    """Byte-level BPE without merges: each byte of the text is a token."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    byte_level["use_regex"] = False
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": BYTES + index,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for index, token in enumerate(SPECIAL)
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {
                **{character: index for index, character in enumerate(_characters())},
                **{token: BYTES + index for index, token in enumerate(SPECIAL)},
            },
            "merges": [],
        },
    }


def _characters() -> list[str]:
    """The printable character that stands for each byte, as GPT-2 has it."""
    own = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in own else chr(next(others)) for byte in range(BYTES)]


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 512,
        "clean_up_tokenization_spaces": False,
        **dict(zip(("bos_token", "eos_token", "unk_token"), SPECIAL, strict=True)),
    }


def _texts(rng: random.Random) -> list[str]:
    words = ["one", "two", "three", "four", "five", "six", "seven"]
    return [" ".join(rng.choices(words, k=4)) for _ in range(EXAMPLES)]


def _json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
