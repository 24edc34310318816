"""Small models of the families that mlx-lm trains, for `benchmarks/memory_law.py`."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

_SIZE = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 512}
_HEADS = {
    **_SIZE,
    "intermediate_size": 172,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
}
_ROPE = {"head_dim": 16, "rope_theta": 10000.0, "max_position_embeddings": 2048}
_EXPERTS = {
    "num_experts": 8,
    "num_local_experts": 8,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
}
_LATENT = {
    **_HEADS,
    **_EXPERTS,
    "num_key_value_heads": 4,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "qk_nope_head_dim": 16,
    "n_group": 1,
    "topk_group": 1,
}
_STATES = {
    **_SIZE,
    "intermediate_size": 128,
    "state_size": 16,
    "conv_kernel": 4,
    "use_bias": False,
    "use_conv_bias": True,
    "time_step_rank": 4,
}

DENSE: dict[str, dict[str, Any]] = {
    "llama": _HEADS,
    "qwen2": _HEADS,
    "qwen3": {**_HEADS, **_ROPE, "tie_word_embeddings": False},
    "gemma2": {**_HEADS, "head_dim": 16},
    "gemma3_text": {**_HEADS, "head_dim": 16, "sliding_window": 16, "sliding_window_pattern": 2},
    "phi3": _HEADS,
    "olmo2": _HEADS,
    "starcoder2": _HEADS,
    "mamba": _STATES,
    "mamba2": {
        **_STATES,
        "num_heads": 8,
        "head_dim": 16,
        "layer_norm_epsilon": 1e-5,
        "n_groups": 1,
        "tie_word_embeddings": True,
        "time_step_limit": [0.0, 100.0],
    },
}
"""Configs by `model_type`; mlx-lm takes mistral's for a llama."""
EXPERTS: dict[str, dict[str, Any]] = {
    "mixtral": {**_HEADS, **_EXPERTS, "intermediate_size": 128},
    "qwen2_moe": {**_HEADS, **_EXPERTS, "shared_expert_intermediate_size": 96},
    "qwen3_moe": {
        **_HEADS,
        **_EXPERTS,
        **_ROPE,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "tie_word_embeddings": False,
        "norm_topk_prob": True,
    },
    "deepseek": {**_LATENT, "moe_layer_freq": 1},
    "deepseek_v3": _LATENT,
    "gpt_oss": {
        **_HEADS,
        **_EXPERTS,
        "intermediate_size": 64,
        "head_dim": 16,
        "sliding_window": 16,
    },
}
"""Mixtures of experts."""
_WIDER = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "vocab_size": 4096,
    "intermediate_size": 512,
    "moe_intermediate_size": 256,
}
LARGER = {f"{name}_larger": {**EXPERTS[name], **_WIDER} for name in ("mixtral", "qwen3_moe")}
"""The same with some ten million parameters."""


def config(name: str) -> dict[str, Any]:
    """The config.json of one of the models."""
    known = DENSE | EXPERTS | LARGER
    return {"model_type": name.removesuffix("_larger"), **known[name]}


def folder(home: Path, described: dict[str, Any]) -> Path:
    """An mlx-lm folder with random weights, and a token for each byte."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    home.mkdir()
    module = importlib.import_module(f"mlx_lm.models.{described['model_type']}")
    model = module.Model(module.ModelArgs.from_dict(described))
    mx.save_safetensors(
        str(home / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"}
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(home / "tokenizer.json"))
    kind = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (home / "tokenizer_config.json").write_text(json.dumps(kind))
    (home / "config.json").write_text(json.dumps(described))
    return home
