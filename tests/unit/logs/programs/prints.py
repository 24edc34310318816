"""Prints a log in the format of a trainer that is not run here: `python prints.py NAME`.

Each function follows the trainer's own print statement, which its docstring names.
"""

import json
import math
import sys
from collections.abc import Iterator


def loss(step: int) -> float:
    return 2.0 * math.exp(-step / 20) + 0.1


def lr(step: int) -> float:
    return 3e-4 * min(1.0, (step + 1) / 5)


# --- the original report's Rust trainer ------------------------------------------------------


def original_clearing() -> Iterator[str]:
    """eprintln of Test 1; one line a step."""
    for step in range(8):
        yield f"[DEBUG] Step {step}: Clearing MLX cache\n"


def original_skipping() -> Iterator[str]:
    """eprintln of Test 2."""
    yield "Loading model...\n"
    for step in range(10):
        yield f"[DEBUG] Step {step}: Skipping gradient update (diagnostic mode)\n"


def original_bar() -> Iterator[str]:
    """The message of its indicatif bar, redrawn with a carriage return."""
    for step in range(0, 60, 10):
        bar = "#" * (step // 10) + "-" * (6 - step // 10)
        trend = " ↓1.2%" if step else ""
        for second in range(2):  # its clock ticks on while the step is under way
            yield (
                f"\r[00:00:{step + second:02d}] {bar} {step}/5000 ETA:1h loss: {loss(step):.4f} "
                f"(avg: {loss(step) + 0.01:.2f}){trend} | lr: {lr(step):.2e} | 0.2 steps/s | "
                f"ETA: 1h23m | mem: {18 + step / 100:.2f} GB"
            )


def original_template() -> Iterator[str]:
    """The bar by the template `{spinner} [{elapsed}] [{bar}] {pos}/{len} ({eta}) {msg}`."""
    yield "  [DEBUG] Optimizer updating 3 parameter groups\n"
    for step in range(0, 31, 10):
        yield (
            f"\r\x1b[2K\x1b[32m⠋\x1b[0m [00:01:{step:02d}] [\x1b[36m###>\x1b[34m-----\x1b[0m] "
            f"{step}/100 (2m) loss: {loss(step):.4f} (avg: 2.00) ~ | lr: {lr(step):.2e} | "
            "0.5 steps/s | ETA: 3m 20s | mem: 512.00 MB"
        )
        yield "\n  [MEM] Active: 18.42 GB | Peak: 30.10 GB | Cache: 1.20 GB\n"


def original_terminal() -> Iterator[str]:
    """Bar and eprintln on one terminal: the line that is printed begins behind the bar."""
    for step in range(8):
        yield (
            f"\r\x1b[2K[00:00:{step:02d}] {'#' * step}{'-' * (8 - step)} {step}/100 ETA:1h "
            f"loss: {loss(step):.4f} (avg: 2.00) | lr: {lr(step):.2e} | 0.5 steps/s | ETA: 3m | "
            "mem: 18.42 GB"
        )
        yield f"[DEBUG] Step {step}: Clearing MLX cache\r\n"
        yield "  [MEM] Active: 16.00 GB | Peak: 30.10 GB | Cache: 1.20 GB\r\n"


def original_days() -> Iterator[str]:
    """The same after more than 99 hours, with indicatif's counts and blocks for people."""
    for step in range(4990, 5021, 10):
        yield (
            f"\r[100:00:{step % 60:02d}] [███▋░░░░░░] {step:,}/10,000 (2d) "
            f"loss: {loss(step % 50):.4f} (avg: 2.00) ~ | lr: {lr(step):.2e} | 0.5 steps/s | "
            "ETA: 2d | mem: 18.42 GB"
        )
    yield "\n"


def original_metrics() -> Iterator[str]:
    """Its file of metrics: serde_json's maps are sorted."""
    for step in range(0, 60, 10):
        record = {
            "avg_loss": loss(step) + 0.01,
            "elapsed_secs": step * 5.0,
            "loss": loss(step) if step < 40 else None,  # serde_json writes nan as null
            "lr": lr(step),
            "memory_gb": 18.5,
            "step": step,
            "timestamp": "2025-01-01T00:00:00+00:00",
        }
        yield json.dumps(record, separators=(",", ":")) + "\n"


def original_phases() -> Iterator[str]:
    """Its debug log: `log_debug`."""
    for step in range(2):
        for phase in ("init", "pre_grad", "post_grad", "post_adamw", "end"):
            record = {
                "avail_mb": 70000.5,
                "hypothesisId": "B-metal-memory",
                "location": f"trainer.rs:{phase}",
                "message": "Memory",
                "mlx_active_mb": 1024.0 * (step + 1),
                "mlx_cache_mb": 0.0,
                "mlx_peak_mb": 2048.0,
                "phase": phase,
                "rss_mb": 900.25,
                "step": step,
                "timestamp": 1735689600000 + step,
            }
            yield json.dumps(record, separators=(",", ":")) + "\n"


# --- JSON lines ------------------------------------------------------------------------------


def json_common() -> Iterator[str]:
    for step in range(1, 8):
        record = {"step": step, "loss": loss(step), "lr": lr(step), "tokens_per_sec": 1234.5}
        yield json.dumps(record) + "\n"


def json_nan() -> Iterator[str]:
    """Python's json writes NaN and Infinity."""
    for step, figure in enumerate([2.5, math.inf, math.nan, -math.inf]):
        yield json.dumps({"iter": step, "train_loss": figure, "learning_rate": 1e-5}) + "\n"


def json_nested() -> Iterator[str]:
    for step in range(3):
        metrics = {"loss": loss(step), "grad_norm": 1.5}
        yield json.dumps({"global_step": step, "epoch": 0, "metrics": metrics}) + "\n"
        yield json.dumps({"global_step": step, "val": {"loss": loss(step) + 0.2}}) + "\n"


def json_logger() -> Iterator[str]:
    """A time and a level before each; one split or another; two writers run together."""
    for step in range(4):
        for split in ("train", "val"):
            record = json.dumps({"split": split, "step": step, "loss": round(loss(step), 3)})
            yield f"2025-01-01 12:00:0{step} INFO {record}\n"
    yield '{"step": 4, "loss": 1.5}{"step": 4, "loss": 1.6}\n\n'
    yield '{"step": 5, "lo'  # killed while it wrote


# --- text ------------------------------------------------------------------------------------


def plain_step() -> Iterator[str]:
    for step in range(1, 13):
        yield f"step {step} loss={loss(step):.4f}\n"


def plain_epoch_iter() -> Iterator[str]:
    """Iterations that start anew with each epoch, every 20th."""
    for epoch in range(1, 4):
        for iteration in range(20, 101, 20):
            yield f"epoch {epoch}, iter {iteration}: {loss(iteration * epoch):.3f}\n"


def plain_restart() -> Iterator[str]:
    """No word of an epoch."""
    for _ in range(3):
        for step in range(0, 50, 10):
            yield f"[step {step}] loss: {loss(step):.3f}\n"


def plain_tutorial() -> Iterator[str]:
    """Of many a tutorial of PyTorch."""
    for epoch in range(1, 3):
        for step in range(100, 601, 100):
            yield f"Epoch [{epoch}/2], Step [{step}/600], Loss: {loss(step):.4f}\n"


def plain_mnist() -> Iterator[str]:
    """pytorch/examples, mnist/main.py."""
    for epoch in range(1, 3):
        for batch in range(0, 60000, 19200):
            done = f"{batch}/60000 ({batch / 600:.0f}%)"
            yield f"Train Epoch: {epoch} [{done}]\tLoss: {loss(batch // 6000):.6f}\n"
        yield "\nTest set: Average loss: 0.0500, Accuracy: 9825/10000 (98%)\n\n"


def plain_imagenet() -> Iterator[str]:
    """pytorch/examples, imagenet/main.py."""
    for epoch in range(2):
        for batch in range(0, 391, 130):
            yield (
                f"Epoch: [{epoch}][{batch:3d}/391]\tTime  0.312 ( 0.350)\tData  0.001 ( 0.020)\t"
                f"Loss {loss(batch // 10):.4e} (2.0000e+00)\tAcc@1  10.16 ( 12.00)\n"
            )


def plain_nanogpt() -> Iterator[str]:
    """karpathy/nanoGPT, train.py."""
    for step in range(0, 31, 10):
        if step % 20 == 0:
            yield f"step {step}: train loss {loss(step):.4f}, val loss {loss(step) + 0.1:.4f}\n"
        yield f"iter {step}: loss {loss(step):.4f}, time {123.4:.2f}ms, mfu {3.1:.2f}%\n"


def plain_llm_c() -> Iterator[str]:
    """karpathy/llm.c, train_gpt2.py."""
    for step in range(1, 8):
        yield (
            f"step {step:4d}/74 | train loss {loss(step):.6f} | norm 15.3000 | lr {lr(step):.2e} | "
            f"({1000:.2f} ms | {5000:.0f} tok/s)\n"
        )


def plain_modded() -> Iterator[str]:
    """KellerJordan/modded-nanogpt."""
    yield "step:0/1750 val_loss:10.8258 train_time:0ms step_avg:nanms\n"
    for step in range(1, 6):
        yield f"step:{step}/1750 train_time:{step * 140}ms step_avg:140.00ms\n"


def plain_megatron() -> Iterator[str]:
    """NVIDIA/Megatron-LM, training_log."""
    for step in range(100, 501, 100):
        skipped = 1 if step == 500 else 0
        yield (
            f" [2025-01-01 12:00:00] iteration {step:8d}/{500:8d} | consumed samples: {step:12d}"
            f" | elapsed time per iteration (ms): 1234.5 | learning rate: {lr(step):.6E} | "
            f"global batch size: {8:5d} | lm loss: {loss(step // 10):.6E} | loss scale: 1.0 | "
            f"grad norm: 1.234 | number of skipped iterations: {skipped:3d} |\n"
        )


def plain_torchtitan() -> Iterator[str]:
    """pytorch/torchtitan, with its colors."""
    for step in (1, *range(10, 41, 10)):
        yield (
            f"[titan] 2025-01-01 12:00:00,123 - root - INFO - \x1b[31mstep: {step:2}  "
            f"\x1b[32mloss: {loss(step):7.4f}  \x1b[38;2;180;60;0mgrad_norm: {1.2:7.4f}  "
            "\x1b[38;2;54;234;195mmemory: 40.12GiB(43.10%)  \x1b[34mtps: 5,123  "
            "\x1b[36mtflops: 123.40  \x1b[35mmfu: 12.30%\x1b[39m\n"
        )


def plain_detectron() -> Iterator[str]:
    """facebookresearch/detectron2, CommonMetricPrinter."""
    for step in range(19, 100, 20):
        yield (
            f"\x1b[32m[01/01 12:00:00 d2.utils.events]: \x1b[0m eta: 0:10:10  iter: {step}  "
            f"total_loss: {loss(step):.4g}  loss_cls: 0.31  loss_box_reg: 0.2  time: 0.3521  "
            f"last_time: 0.3413  data_time: 0.0123  lr: {lr(step):.5g}  max_mem: 2345M\n"
        )


def plain_mmengine() -> Iterator[str]:
    """open-mmlab/mmengine, LogProcessor."""
    for epoch in (1, 2):
        for step in (50, 100):
            yield (
                f"01/01 12:00:00 - mmengine - INFO - Epoch(train)  [{epoch}][{step:3d}/100]  "
                f"lr: {lr(step):.4e}  eta: 0:00:10  time: 0.1010  data_time: 0.0010  memory: 500  "
                f"loss: {loss(step):.4f}\n"
            )
        yield f"01/01 12:00:00 - mmengine - INFO - Epoch(val)  [{epoch}][10/10]    acc: 0.5\n"


def plain_fairseq() -> Iterator[str]:
    """facebookresearch/fairseq, SimpleProgressBar."""
    for epoch in (1, 2):
        for step in range(10, 41, 10):
            yield (
                f"2025-01-01 12:00:00 | INFO | train_inner | epoch {epoch:03d}: {step:6d} / 40 "
                f"loss={loss(step * epoch):.3f}, ppl=12.3, wps=4567.8, ups=1.2, wpb=3800, bsz=64, "
                f"num_updates={step + 40 * (epoch - 1)}, lr=0.0001, gnorm=1.5, wall=12\n"
            )


def plain_mlx_lm_lora() -> Iterator[str]:
    """Trainers that grew out of mlx-lm: a preference loss, and no capital letters."""
    yield "Starting DPO training..., iters: 30\n"
    for step in range(10, 31, 10):
        yield (
            f"Iter {step}: loss {loss(step):.3f}, chosen_r 0.1, rejected_r -0.1, acc 0.750, "
            f"margin 0.2, lr {lr(step):.3e}, it/s 0.522, tok/s 201.1, peak_mem 28.349GB\n"
        )


def plain_decimal_commas() -> Iterator[str]:
    """A German locale."""
    for step in range(1, 6):
        figure = f"{loss(step):.4f}".replace(".", ",")
        yield f"Schritt step {step}: loss = {figure}; lr = 3,0e-04; 1.234,5 tok/s\n"


def plain_nan() -> Iterator[str]:
    for step, figure in enumerate(["2.5", "1e4", "inf", "nan", "NaN", "-inf"]):
        yield f"Step: {step} | Loss: {figure} | LR: 1e-3\n"


def plain_partial() -> Iterator[str]:
    """A line in pieces, and ranks whose lines run into each other."""
    for step in range(1, 5):
        yield f"[rank0]: step {step} "
        yield f"loss={loss(step):.3f}\n[rank1]: step {step} loss={loss(step):.3f}"
        yield "\n" if step % 2 else "[rank2]: done\n\n"


def plain_steps_only() -> Iterator[str]:
    yield "max_steps=6 batch=32 epochs: 3 steps: 6\n"
    yield "Resuming from checkpoint step 500\n"
    for step in range(6):
        yield f"2025-01-01 12:00:00 INFO step {step}/6\n"
    yield "Best loss: 0.3 (step 4)\n"


def plain_mlx_cifar() -> Iterator[str]:
    """ml-explore/mlx-examples, cifar/main.py."""
    for epoch in range(2):
        for batch in range(0, 31, 10):
            figure = loss(batch + 31 * epoch)
            yield (
                f"Epoch {epoch:02d} [{batch:03d}] | Train loss {figure:.3f} | Train acc 0.412 | "
                "Throughput: 1234.56 images/second\n"
            )
        yield (
            f"Epoch: {epoch} | avg. Train loss {loss(15 + 31 * epoch):.3f} | avg. Train acc 0.400 "
            "| Throughput: 1234.56 images/sec\n"
        )
        yield f"Epoch: {epoch} | Test acc 0.500\n"


def plain_quickstart() -> Iterator[str]:
    """PyTorch's quickstart: a validation whose line does not say that it is one."""
    for epoch in range(2):
        yield f"Epoch {epoch + 1}\n-------------------------------\n"
        for batch in range(0, 900, 300):
            figure, done = loss(batch // 30 + 30 * epoch), (batch + 1) * 64
            yield f"loss: {figure:>7f}  [{done:>5d}/60000]\n"
        yield f"Test Error: \n Accuracy: {64.9:>0.1f}%, Avg loss: {1.5:>8f} \n\n"


def plain_thousands() -> Iterator[str]:
    """A German locale, whose counts have points."""
    for step in range(800, 2401, 400):
        grouped = f"{step:,}".replace(",", ".")
        yield f"step {grouped}/10.000 | loss: {f'{loss(step // 100):.3f}'.replace('.', ',')}\n"


def prose() -> Iterator[str]:
    """A program that is no training."""
    yield "Loading the configuration from config.toml\n"
    yield "The loss of step by step guides is felt: 3 of 5 epochs of history have one\n"
    yield "worker 3: fetched 12 objects in 3 ms (100%)\n"
    yield "Test Error: \n"
    yield "[2/5] Building wheels; [3/5] loss functions tested\n"
    yield "12: the losses of 3 teams\n"
    yield "tensor(3) and array(2.5) are no steps\n"
    yield "[100:00:12] done - 3/4 of it\n"
    yield "copying: 12%|#2  | 1.20G/9.99G [00:03<00:22, 390MB/s]\n"
    yield "\x1b[33mwarning\x1b[0m: unused variable at line 12\n"


def keras_2() -> Iterator[str]:
    """Keras up to 2, in a pipe."""
    for epoch in (1, 2):
        yield f"Epoch {epoch}/2\n"
        for step in range(1, 5):
            bar = "=" * (step * 7) + ">" + "." * (28 - step * 7)
            yield (
                f"\r{step}/4 [{bar[:29]}] - ETA: 0s - loss: {loss(step):.4f} - acc: 0.5"
                + "\x08" * 70
            )
        yield f"\r4/4 [{'=' * 30}] - 1s 12ms/step - loss: 1.5 - acc: 0.5 - val_loss: 1.6\n"


def huggingface_4() -> Iterator[str]:
    """transformers up to 4: figures, not texts."""
    for step in (10, 20, 30):
        record = {"loss": round(loss(step), 4), "grad_norm": 1.5, "learning_rate": 4.5e-05}
        yield f"{ {**record, 'epoch': step / 30} }\n"
    yield "{'eval_loss': 0.61, 'eval_runtime': 0.5, 'eval_steps_per_second': 12.0, 'epoch': 1.0}\n"
    yield "{'train_runtime': 9.1, 'train_steps_per_second': 3.3, 'train_loss': 1.0, 'epoch': 1.0}\n"


# --- mlx-lm-lora, mlx-vlm, mlx-tune, mlx-examples -------------------------------------------------


def mlx_lm_lora_sft() -> Iterator[str]:
    """sft_trainer.py: the bar and its postfix, and what tqdm.write prints, on one terminal."""
    shown = ""
    for step in range(1, 31):
        if step == 1 or step == 20:
            yield f"Iter {step}: Val loss {loss(step) + 0.2:.3f}, Val took 1.234s\n"
        if step % 10 == 0:
            shown = f", loss={loss(step):.3f}, it/s=9.100"
            yield f"\rTraining:  {step}%|##  | {step - 1}/30 [00:12<00:22,  9.10it/s{shown}]"
            yield (
                f"\r                    \r\nIter {step}: loss {loss(step):.3f}, lr {lr(step):.3e}, "
                f"it/s 9.100, tok/s 201.118, trained_tok {100 * step}, peak_mem 28.349GB\n"
            )
            yield f"\rTraining:  {step}%|##  | {step - 1}/30 [00:12<00:22,  9.10it/s{shown}]"
        yield f"\rTraining:  {step}%|##  | {step}/30 [00:12<00:22,  9.10it/s{shown}]"
    yield "\nSaved final weights to adapters/adapters.safetensors.\n"


def mlx_lm_lora_dpo() -> Iterator[str]:
    """dpo_trainer.py, orpo_trainer.py and cpo_trainer.py print the same."""
    for step in range(10, 41, 10):
        if step % 20 == 0:
            yield (
                f"Iter {step}: Val loss {loss(step) + 0.2:.3f}, Val chosen reward 0.110, "
                "Val rejected reward -0.120, Val accuracy 0.700, Val margin 0.230, "
                "Val took 1.234s\n"
            )
        yield (
            f"\nIter {step}: loss {loss(step):.3f}, chosen_r {step / 100:.3f}, rejected_r -0.100, "
            f"acc 0.750, margin 0.200, lr {lr(step):.3e}, it/s 0.522, tok/s 201.118, "
            "peak_mem 28.349GB\n"
        )


def mlx_lm_lora_grpo() -> Iterator[str]:
    """grpo_trainer.py: a block of lines, of which the first alone names the step."""
    for step in range(10, 41, 10):
        yield (
            f"Iter {step}: Val loss {loss(step) + 0.2:.3f}, Val took 1.234s\n" if step == 20 else ""
        )
        yield (
            f"\n{'=' * 80}\nIter {step}:\n{'-' * 80}\nLoss: {loss(step):.3f}\n"
            f"Total Rewards:  μ={step / 50:.3f}, σ=0.110\n"
            f"Group Rewards:  μ={step / 60:.3f}, σ=0.100\n"
            f"KL Divergence: {step / 1e4:.12f}\n{'-' * 80}\nGeneration Stats:\n"
            f"  • Avg tokens: 120.5\n  • Min tokens: 12\n  • Max tokens: 256 (limit: 256)\n"
            f"  • Hit limit: 12.5%\n{'-' * 80}\nIndividual Reward Functions:\n"
            f"  • accuracy: μ=0.500, σ=0.500, cov=100.00%\n{'-' * 80}\n"
            f"Clipping:  low=0.000, high=0.012, total=0.012\nLearning Rate: {lr(step):.4e}\n"
            f"Speed: 0.522 it/s, 201.1 tok/s\nMemory: 28.349GB\n{'=' * 80}\n\n"
        )


def mlx_lm_lora_online_dpo() -> Iterator[str]:
    """online_dpo_trainer.py, xpo_trainer.py and ppo_trainer.py: mlx-lm's sentence, and more."""
    for step in range(10, 41, 10):
        yield (
            f"Iter {step}: Train loss {loss(step):.3f}, Accuracy 0.625, Margin 0.125, "
            f"Learning Rate {lr(step):.3e}, It/sec 0.522, Tokens/sec 201.118, "
            f"Trained Tokens {step * 100}, Peak mem 28.349 GB\n"
        )


def mlx_vlm() -> Iterator[str]:
    """sft_trainer.py, with its colors."""
    for step in range(10, 41, 10):
        if step % 20 == 0:
            yield f"\x1b[96mIter {step}: Val loss {loss(step) + 0.2:.3f}, Val took 1.234s\x1b[0m\n"
        yield (
            f"Iter {step}: Train loss \x1b[92m{loss(step):.8f}\x1b[0m, "
            f"Learning Rate {lr(step):.3e}, It/sec 0.522, Tokens/sec 201.118, "
            f"Trained Tokens {step * 100}, Peak mem 28.349 GB\n"
        )


def mlx_tune_grpo() -> Iterator[str]:
    """rl_trainers.py, GRPOTrainer."""
    yield "  Learning rate: 1e-06\n  Iterations: 40\n\nStarting training for 40 iterations...\n"
    for step in range(0, 40, 10):
        more = " (skipped, equal rewards)" if step == 20 else ""
        yield f"  Step {step + 10}/40 | Loss: {loss(step):.4f} | Reward: {step / 50:.3f}{more}\n"


def mlx_tune_jepa() -> Iterator[str]:
    """lewm.py and jepa.py: names without a loss among them."""
    for step in range(10, 41, 10):
        yield f"  step {step}/40 | pred {loss(step):.4f} | sigreg {loss(step) / 10:.4f}\n"


def mlx_gcn() -> Iterator[str]:
    """mlx-examples, gcn/main.py: nothing but epochs."""
    for epoch in range(8):
        yield (
            f"Epoch: {epoch:3d} | Train loss: {loss(epoch):.3f} | "
            f"Val loss: {loss(epoch) + 0.2:.3f} | Val acc: 0.{40 + epoch} | Time: 12.345 (ms)\n"
        )
    yield "Test loss: 0.912  |  Test acc: 0.81\n"


def mlx_mnist() -> Iterator[str]:
    """mlx-examples, mnist/main.py: an accuracy for each epoch, and no loss."""
    for epoch in range(6):
        yield f"Epoch {epoch}: Test accuracy 0.{90 + epoch}, Time 0.123 (s)\n"


def mlx_transformer_lm() -> Iterator[str]:
    """mlx-examples, transformer_lm/main.py."""
    for step in range(10, 61, 10):
        yield f"Iter {step}: Train loss {loss(step):.3f}, It/sec 1.234\n"
        if step % 30 == 0:
            yield (
                f"Iter {step}: Val loss {loss(step) + 0.2:.3f}, Val ppl "
                f"{math.exp(loss(step) + 0.2):.3f}, Val took 1.234s, \n"
            )
    yield "Test loss 0.500, Test ppl 1.649.\n"


def mlx_flux() -> Iterator[str]:
    """mlx-examples, flux/dreambooth.py."""
    for step in range(10, 61, 10):
        yield f"Iter: {step} Loss: {loss(step):.3f} It/s: 0.522 Peak mem: 28.349 GB\n"


# --- tables ---------------------------------------------------------------------------------------


def table_pipes() -> Iterator[str]:
    """What transformers writes of a notebook into a model's card."""
    yield "| Training Loss | Epoch | Step | Validation Loss |\n|:---:|:---:|:---:|:---:|\n"
    for step in range(100, 501, 100):
        told = f"{loss(step // 10):.4f}" if step > 100 else "No log"
        yield f"| {told} | {step / 500:.1f} | {step} | {loss(step // 10) + 0.2:.4f} |\n"


def table_rich() -> Iterator[str]:
    """A table of rich, a row at a time."""
    yield "┏━━━━━━┳━━━━━━━━┳━━━━━━━━━━━┓\n┃ step ┃ loss   ┃ grad norm ┃\n"
    yield "┡━━━━━━╇━━━━━━━━╇━━━━━━━━━━━┩\n"
    for step in range(10, 61, 10):
        yield f"│ {step:>4} │ {loss(step):.4f} │     1.210 │\n"
    yield "└──────┴────────┴───────────┘\n"


def mlx_lora() -> Iterator[str]:
    """mlx-examples' lora/lora.py: mlx-lm's sentence before it had a learning rate."""
    yield "Loading pretrained model\nTotal parameters 1244.041M\nTrainable parameters 0.852M\n"
    yield "Loading datasets\nTraining\n"
    yield f"Iter 1: Val loss {loss(1) + 0.2:.3f}, Val took 12.345s\n"
    for step in range(10, 61, 10):
        speed = f"It/sec 0.522, Tokens/sec {200 + step:.3f}"
        yield f"Iter {step}: Train loss {loss(step):.3f}, {speed}\n"
        if step == 40:
            yield f"Iter 40: Val loss {loss(40) + 0.2:.3f}, Val took 11.876s\n"
            yield "Iter 40: Saved adapter weights to adapters.npz.\n"
    yield "Testing\nTest loss 0.412, Test ppl 1.510.\n"


def mlx_cvae() -> Iterator[str]:
    """mlx-examples' cvae/main.py: batches redrawn with a carriage return, then the epoch."""
    yield "Options: \n  Device: GPU\n  Seed: 0\n  Batch size: 128\n  Learning rate: 0.001\n"
    yield "Number of trainable params: 0.3456 M\n"
    for epoch in range(1, 4):
        for batch in range(10, 41, 10):
            level = 400 * loss(40 * epoch + batch)
            yield (
                f"Epoch {epoch:4d} | Loss {level:10.2f} | Throughput {1800 + batch:8.2f} im/s | "
                f"Batch {batch:5d}\r"
            )
        yield (
            f"Epoch {epoch:4d} | Loss {400 * loss(40 * epoch + 46):10.2f} | "
            f"Throughput {1850:8.2f} im/s | Time {25.5:8.1f} (s)\n"
        )


def table_plain() -> Iterator[str]:
    """Columns set with blanks alone."""
    yield "  step      loss        lr   reward\n"
    for step in range(10, 61, 10):
        yield f"{step:>6}{loss(step):>10.4f}{lr(step):>10.2e}{step / 50:>9.3f}\n"


def heading() -> Iterator[str]:
    """A heading that dates the lines that come next, as reports of several lines have it."""
    for step in range(25, 101, 25):
        yield f"\n===== Training report (iteration {step}) =====\n"
        yield f"loss: {loss(step):.4f} | grad norm: 1.21 | perplexity: {math.exp(loss(step)):.3f}\n"
        yield f"KL Divergence: {step / 1e4:.6f}\n"


def json_null() -> Iterator[str]:
    """A loss that is no number, as serializers write it that know none."""
    for step in range(12):
        record = {"step": step, "loss": loss(step) if step < 7 else None, "grad_norm": 1.25}
        yield json.dumps(record) + "\n"


def ultralytics() -> Iterator[str]:
    """ultralytics' trainer and validator on a terminal: bars whose descriptions are a table."""
    names = ("Epoch", "GPU_mem", "box_loss", "cls_loss", "dfl_loss", "Instances", "Size")
    scores = ("Class", "Images", "Instances", "Box(P", "R", "mAP50", "mAP50-95)")
    yield "Starting training for 3 epochs...\n"
    for epoch in (1, 2, 3):
        yield "\n" + ("%11s" * 7) % names + "\n"
        for batch in (1, 4, 8):
            level = loss(10 * epoch + batch) if epoch < 3 else math.nan
            losses = "%11.4g" * 3 % (level / 2, level, level / 3)
            row = f"{f'{epoch}/3':>11}{'2.35G':>11}{losses}{140 + batch:>11}{640:>11}"
            bar = "━" * batch + "─" * (8 - batch)
            yield f"\r\x1b[K{row}: {12.5 * batch:.0f}% {bar} {batch}/8 2.4it/s {batch / 2.4:.1f}s"
        yield "\n"
        bar = "━" * 12 + " 4/4 3.2it/s 1.3s\n"
        yield "\r\x1b[K" + ("%22s" + "%11s" * 6) % scores + f": 100% {bar}"
        yield f"{'all':>22}{128:>11}{929:>11}{0.673:>11}{0.531:>11}{epoch / 10:>11}{0.452:>11}\n"


def yolov5() -> Iterator[str]:
    """YOLOv5 in a notebook: bars without blocks, and losses that are not called so."""
    names = ("Epoch", "GPU_mem", "box", "obj", "cls", "labels", "img_size")
    scores = ("Class", "Images", "Instances", "P", "R", "mAP50", "mAP50-95")
    for epoch in (0, 1, 2):
        yield "\n" + ("%11s" * 7) % names + "\n"
        losses = "%11.4g" * 3 % (loss(10 * epoch) / 9, loss(10 * epoch) / 7, 0)
        row = f"{f'{epoch}/2':>11}{'3.36G':>11}{losses}{19:>11}{640:>11}"
        yield f"{row}: 100% 8/8 [00:03<00:00,  2.42it/s]\n"
        head = ("%22s" + "%11s" * 6) % scores
        yield f"{head}: 100% 4/4 [00:01<00:00,  3.27it/s]\n"
        yield f"{'all':>22}{128:>11}{929:>11}{0.673:>11}{0.531:>11}{epoch / 10:>11}{0.452:>11}\n"


def table_spacy() -> Iterator[str]:
    """spaCy's ConsoleLogger: epoch and step are called E and #, names are cut."""
    yield "ℹ Pipeline: ['tok2vec', 'textcat_multilabel']\nℹ Initial learn rate: 0.001\n"
    names = ("E", "#", "LOSS TOK2VEC", "LOSS TEXTC...", "CATS_SCORE", "SCORE ")
    widths = (3, 6, 12, 13, 10, 6)
    yield "   ".join(f"{name:<{width}}" for name, width in zip(names, widths, strict=True)) + "\n"
    yield "   ".join("-" * width for width in widths) + "\n"
    for step in range(0, 1001, 200):
        level = 90 * loss(step // 10) if step < 800 else math.nan
        row = (step // 400, step, f"{level / 2:.2f}", f"{level:.2f}", f"{step / 20:.2f}", "0.45")
        yield "   ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) + "\n"
    yield "✔ Saved pipeline to output directory\nmodel-last\n"


def bare_counts() -> Iterator[str]:
    """makemore's notebooks: a padded count of all steps, and the loss, with no word."""
    for step in range(0, 200_000, 20_000):
        yield f"{step:7d}/{200_000:7d}: {loss(step // 2000):.4f}\n"


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="")
    sys.stdout.writelines(globals()[sys.argv[1]]())
