"""transformers' Trainer on a tiny model. `python trainer.py [--no-bar] [--nan]`."""

import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

if __name__ == "__main__":
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    data = [{"input_ids": x, "labels": x} for x in torch.randint(0, 64, (24, 16))]
    arguments = TrainingArguments(
        "/tmp/trainer",
        num_train_epochs=2,
        per_device_train_batch_size=2,
        logging_steps=4,
        eval_strategy="epoch",
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm="--no-bar" in sys.argv,
        learning_rate=1e30 if "--nan" in sys.argv else 1e-3,
        max_grad_norm=0.0,
        logging_nan_inf_filter=False,
    )
    Trainer(LlamaForCausalLM(config), arguments, train_dataset=data, eval_dataset=data[:8]).train()
