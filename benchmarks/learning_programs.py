"""Trainings whose learning is known before they run: here, those that learn nothing.

A program is rendered twice from the same parts: as a scenario for `harness run`, and as a script
with a loop of its own, followed by `beats.watch`, for `harness watch`.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace

IMPORTS = """\
import math
import random
from functools import partial
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten, tree_map
mx.random.seed(0)
"""
MLP = "model = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 1))"
LLAMA = """\
from mlx_lm.models.llama import Model, ModelArgs
model = Model(ModelArgs(model_type="llama", hidden_size=32, num_hidden_layers=2,
    intermediate_size=64, num_attention_heads=2, rms_norm_eps=1e-5, vocab_size=64))
mx.eval(model.parameters())"""
LORA = """
from mlx_lm.tuner.utils import linear_to_lora_layers
model.freeze()
linear_to_lora_layers(model, 2, {"rank": 4, "scale": 10.0, "dropout": 0.0})"""
SQUARES = """\
def loss_fn(model, x, y):
    return ((model(x) - y) ** 2).mean()"""
TOKENS = """\
def loss_fn(model, x, y):
    return nn.losses.cross_entropy(model(x).astype(mx.float32), y, reduction="mean")"""
MASKED = """\
def loss_fn(model, x, y, mask):
    ce = nn.losses.cross_entropy(model(x).astype(mx.float32), y) * mask
    return ce.sum() / mx.maximum(mask.sum(), 1)"""
IGNORED = """\
def loss_fn(model, x, y):
    mask = y != -100
    ce = nn.losses.cross_entropy(model(x).astype(mx.float32), mx.where(mask, y, 0)) * mask
    return ce.sum() / mx.maximum(mask.sum(), 1)"""
STEP = """\
def step(*batch):
    loss, gradients = loss_and_grad(model, *batch)
    optimizer.update(model, gradients)
    return loss"""
COMPILED = """\
state = [model.state, optimizer.state]
@partial(mx.compile{captures})
def step(*batch):
    loss, gradients = loss_and_grad(model, *batch)
    optimizer.update(model, gradients)
    return loss"""
WHOLE = ", inputs=state, outputs=state"
NOISE = """\
while True:
    x = mx.random.normal((32, 32))
    yield x, x.sum(axis=1, keepdims=True)"""
TEXT = """\
draw = random.Random(1)
while True:
    rows = [[draw.randrange(64)] for _ in range(4)]
    for row in rows:
        for _ in range(16):
            row.append((row[-1] * 5 + 3 + (draw.random() < 0.1)) % 64)
    tokens = mx.array(rows)
    yield {given}"""
NEXT = "tokens[:, :-1], tokens[:, 1:]"


@dataclass(frozen=True)
class Program:
    """One training."""

    name: str
    reason: str | None = None
    """The finding that is true of it; None: it is healthy."""
    also: tuple[str, ...] = ()
    """Findings that are true as well."""
    model: str = MLP
    optimizer: str = "optim.AdamW(1e-3)"
    loss: str = SQUARES
    step: str = STEP
    data: str = NOISE
    steps: int = 12
    watched: bool = False
    """It runs under `harness watch`."""
    followed: bool = True
    """It calls `watch`."""
    prints: str = 'f"step {n}: loss={loss.item():.5f}"'
    evaluates: str = "model.parameters(), optimizer.state, loss"

    def source(self) -> str:
        """The text of its file."""
        parts = f"{self.model}\noptimizer = {self.optimizer}"
        rest = f"{self.loss}\nloss_and_grad = nn.value_and_grad(model, loss_fn)\n{self.step}"
        data = f"def batches(training=None):\n{indented(self.data)}\n"
        if self.watched:
            follow = "from harness import beats\nbeats.watch(model, optimizer)\n"
            return (
                f"{IMPORTS}{parts}\n{follow if self.followed else ''}{rest}\n{data}"
                f"for n, batch in zip(range({self.steps}), batches()):\n"
                f"    loss = step(*batch)\n    mx.eval({self.evaluates})\n"
                f"    print({self.prints}, flush=True)\n"
            )
        body = f"{parts}\ntraining.watch(model, optimizer)\n{rest}\nreturn step"
        return (
            f"{IMPORTS}SETTINGS = {{'steps': {self.steps}}}\n"
            f"def make_step(training):\n{indented(body)}\n{data}"
        )


def indented(text: str) -> str:
    return textwrap.indent(text, "    ")


def text(given: str = NEXT) -> str:
    return TEXT.format(given=given)


LM = Program(name="", model=LLAMA, loss=TOKENS, data=text())
DETACHED = "def loss_fn(model, x, y):\n    return ((mx.stop_gradient(model(x)) - y) ** 2).mean()"
PLAIN = """\
class Encoder:
    def __init__(self):
        self.emb, self.fc = nn.Embedding(64, 16), nn.Linear(16, 16)
        self.fc.weight, self.fc.bias = mx.zeros((16, 16)), mx.zeros((16,))
    def __call__(self, x):
        return mx.tanh(self.fc(self.emb(x)))
class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.head = Encoder(), nn.Linear(16, 64)
    def __call__(self, x):
        return self.head(self.encoder(x))
model = Tagger()"""
TUPLE = """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = (nn.Linear(32, 64), nn.Linear(64, 1))
        {more}
    def __call__(self, x):
        return {head}(nn.gelu(self.layers[0](x)) @ self.layers[1].weight.T)
model = Net()"""
CLIP = """\
def step(*batch):
    loss, gradients = loss_and_grad(model, *batch)
    gradients = tree_map(lambda g: (g * 256).astype(mx.float16), gradients)
    squares = sum((g.astype(mx.float32) ** 2).sum() for _, g in tree_flatten(gradients))
    scale = mx.minimum(1e-6 / (mx.sqrt(squares) + 1e-6), 1.0)
    gradients = tree_map(lambda g: (g * scale.astype(g.dtype)).astype(mx.float32), gradients)
    optimizer.update(model, gradients)
    return loss"""
NORM = """\
def step(*batch):
    loss, gradients = loss_and_grad(model, *batch)
    gradients, _ = optim.clip_grad_norm(gradients, max_norm={norm})
    optimizer.update(model, gradients)
    return loss"""
NEVER = "def step(*batch):\n    loss, gradients = loss_and_grad(model, *batch)\n    return loss"
DROPPED = """\
def step(*batch):
    loss, gradients = loss_and_grad(model, *batch)
    mx.eval(optimizer.apply_gradients(gradients, model))
    return loss"""
OTHER = """\
import copy
other = copy.deepcopy(model)
def step(*batch):
    loss, gradients = loss_and_grad(model, *batch)
    optimizer.update(other, gradients)
    return loss"""
SEEDED = """\
while True:
    mx.random.seed(7)
    x = mx.random.normal((32, 32))
    yield x, x.sum(axis=1, keepdims=True)"""
RATE = 'f"step {n}: loss={loss.item():.4f} lr={optimizer.learning_rate.item():.3e}"'
HALF = "\nmodel.set_dtype(mx.{dtype})"

PLANTED = (
    Program("frozen", "no_trainable_parameters", model=f"{MLP}\nmodel.freeze()"),
    replace(
        LM, name="frozen_llama_watched", reason="no_trainable_parameters", watched=True,
        model=f"{LLAMA}\nmodel.freeze()",
    ),
    Program(
        "tuple_alone", "no_trainable_parameters", ("submodules_unregistered",),
        model=TUPLE.format(more="", head=""),
    ),
    Program("detached", "gradients_zero", loss=DETACHED, watched=True),
    Program("detached_sgd", "gradients_zero", loss=DETACHED, optimizer="optim.SGD(0.1)"),
    replace(
        LM, name="labels_ignored", reason="labels_masked", also=("gradients_zero",), loss=IGNORED,
        data=text("tokens[:, :-1], mx.full((4, 16), -100)"),
    ),
    replace(
        LM, name="labels_masked_compiled", reason="labels_masked", also=("gradients_zero",),
        loss=MASKED, data=text(f"{NEXT}, mx.zeros((4, 16))"),
        step=COMPILED.format(captures=WHOLE),
    ),
    Program("never_applied", "gradients_not_applied", step=NEVER, watched=True),
    replace(LM, name="dropped", reason="gradients_not_applied", step=DROPPED),
    Program("another_copy", "gradients_not_applied", step=OTHER),
    replace(
        LM, name="rate_zero_bfloat16", reason="learning_rate_zero", optimizer="optim.AdamW(0.0)",
        model=LLAMA + HALF.format(dtype="bfloat16"),
    ),
    Program(
        "rate_scheduled_zero", "learning_rate_zero", watched=True,
        optimizer="optim.Adam(lambda step: 1e-3 * (step // 1000))",
    ),
    Program(
        "rate_printed_zero", "learning_rate_zero", watched=True, followed=False, prints=RATE,
        optimizer="optim.SGD(0.0)", steps=80,
    ),
    replace(
        LM, name="bfloat16_sgd", reason="updates_too_small", optimizer="optim.SGD(1e-5)",
        model=LLAMA + HALF.format(dtype="bfloat16"),
    ),
    Program(
        "float16_adamw_watched", "updates_too_small", watched=True,
        optimizer="optim.AdamW(1e-6, weight_decay=0.0, eps=1e-4)",
        model=MLP + HALF.format(dtype="float16"),
        data=NOISE.replace("(32, 32))", "(32, 32), mx.float16)"),
    ),
    replace(
        LM, name="bfloat16_compiled", reason="updates_too_small", optimizer="optim.Adam(1e-6)",
        model=LLAMA + HALF.format(dtype="bfloat16"), step=COMPILED.format(captures=WHOLE),
    ),
    Program("clip_float16", "gradients_erased", step=CLIP),
    Program(
        "clip_tiny_norm", "gradients_erased", step=NORM.format(norm=1e-15), watched=True,
        optimizer="optim.SGD(0.1)",
    ),
    Program(
        "compiled_alone", "state_not_compiled", step=COMPILED.format(captures=""),
    ),
    replace(
        LM, name="compiled_outputs_only", reason="state_not_compiled", watched=True,
        step=COMPILED.format(captures=", outputs=state"),
    ),
    replace(
        LM, name="plain_class", reason="submodules_unregistered", model=PLAIN, steps=120,
    ),
    Program(
        "tuple_watched", "submodules_unregistered", watched=True,
        model=TUPLE.format(more="self.out = nn.Linear(1, 1)", head="self.out"),
    ),
    replace(
        LM, name="lora_b_frozen", reason="lora_b_zero", also=("gradients_zero",),
        model=LLAMA + LORA
        + '\nfor _, m in model.named_modules():\n    "lora_b" in m and m.freeze(keys=["lora_b"])',
    ),
    replace(
        LM, name="lora_scale_zero", reason="lora_b_zero", also=("gradients_zero",), watched=True,
        model=LLAMA + LORA.replace("10.0", "0.0"),
    ),
    Program("same_seed", "batch_repeats", data=SEEDED),
    Program("same_seed_watched", "batch_repeats", data=SEEDED, watched=True),
    replace(
        LM, name="labels_masked_watched", reason="labels_masked", also=("gradients_zero",),
        loss=MASKED, data=text(f"{NEXT}, mx.zeros((4, 16))"), watched=True,
        step=COMPILED.format(captures=WHOLE),
    ),
    replace(
        LM, name="labels_are_inputs_watched", reason="labels_leak", optimizer="optim.AdamW(1e-2)",
        data=text("tokens[:, :-1], tokens[:, :-1]"), steps=120, watched=True,
    ),
    replace(
        LM, name="bfloat16_sgd_in_part", reason="updates_too_small", optimizer="optim.SGD(1e-3)",
        model=LLAMA + HALF.format(dtype="bfloat16"),
    ),
    replace(
        LM, name="labels_are_inputs", reason="labels_leak", optimizer="optim.AdamW(1e-2)",
        data=text("tokens[:, :-1], tokens[:, :-1]"), steps=120,
    ),
)  # fmt: skip
