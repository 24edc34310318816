"""Trainings whose learning is known before they run: reasons planted, and healthy ones.

A program is rendered twice from the same parts: as a scenario for `harness run`, and as a script
with a loop of its own, followed by `beats.watch`, for `harness watch`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
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
        data = f"def batches(training=None):\n{_in(self.data)}\n"
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
            f"def make_step(training):\n{_in(body)}\n{data}"
        )


def _in(text: str) -> str:
    return textwrap.indent(text, "    ")


def _text(given: str = NEXT) -> str:
    return TEXT.format(given=given)


LM = Program(name="", model=LLAMA, loss=TOKENS, data=_text())
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
        data=_text("tokens[:, :-1], mx.full((4, 16), -100)"),
    ),
    replace(
        LM, name="labels_masked_compiled", reason="labels_masked", also=("gradients_zero",),
        loss=MASKED, data=_text(f"{NEXT}, mx.zeros((4, 16))"),
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
    replace(
        LM, name="labels_are_inputs", reason="labels_leak", optimizer="optim.AdamW(1e-2)",
        data=_text("tokens[:, :-1], tokens[:, :-1]"), steps=120,
    ),
)  # fmt: skip


# --- healthy -------------------------------------------------------------------------------------

OPTIMIZERS = {
    "adam": ("optim.Adam({})", 1e-3),
    "adamw": ("optim.AdamW({})", 1e-3),
    "sgd": ("optim.SGD({})", 1e-2),
    "momentum": ("optim.SGD({}, momentum=0.9)", 1e-3),
    "lion": ("optim.Lion({})", 1e-4),
    "adafactor": ("optim.Adafactor({}, relative_step=False, scale_parameter=False)", 1e-3),
    "rmsprop": ("optim.RMSprop({})", 1e-3),
    "adagrad": ("optim.Adagrad({})", 1e-2),
    "adamax": ("optim.Adamax({})", 1e-3),
    "muon": ("optim.Muon({})", 1e-3),
}
ACCUMULATED = """\
held = []
def step(*batch):
    loss, gradients = loss_and_grad(model, *batch)
    held.append(gradients)
    if len(held) == 4:
        optimizer.update(model, tree_map(lambda *g: sum(g) / 4, *held))
        held.clear()
    return loss"""
MASTER = """\
master = tree_map(lambda p: p.astype(mx.float32), model.trainable_parameters())
def step(*batch):
    global_state = master
    loss, gradients = loss_and_grad(model, *batch)
    gradients = tree_map(lambda g: g.astype(mx.float32), gradients)
    new = optimizer.apply_gradients(gradients, global_state)
    mx.eval(new, optimizer.state)
    master.update(new)
    model.update(tree_map(lambda p: p.astype(mx.bfloat16), new))
    return loss"""
TEACHER = """\
class Teacher:
    def __init__(self):
        self.net = nn.Linear(32, 1)
        self.net.freeze()
class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.teacher, self.net = Teacher(), nn.Linear(32, 1)
        self._hidden = nn.Linear(32, 1)
    def __call__(self, x):
        return self.net(x)
model = Student()"""
SHIFTED = """\
def loss_fn(model, x, y):
    logits = model(x)[:, :-1].astype(mx.float32)
    return nn.losses.cross_entropy(logits, y[:, 1:], reduction="mean")"""
MULTI = "optim.MultiOptimizer([optim.Muon(1e-3), optim.AdamW(1e-3)], [lambda n, w: w.ndim == 2])"
WARM = "optim.AdamW(optim.linear_schedule(0.0, 1e-3, {}))"
COSINE = (
    "optim.SGD(optim.join_schedules("
    "[optim.linear_schedule(0, 1e-2, 4), optim.cosine_decay(1e-2, 8)], [4]))"
)
POLICY = """\
def loss_fn(model, s, a, advantage):
    p = nn.log_softmax(model(s), axis=-1)
    p = mx.take_along_axis(p, a[..., None], -1)[..., 0]
    return -(mx.exp(p - mx.stop_gradient(p)) * advantage).mean()"""
ROLLOUTS = """\
while True:
    s = mx.random.randint(0, 64, (8, 16))
    a = mx.random.randint(0, 64, (8, 16))
    r = (a == (s + 1) % 64).astype(mx.float32)
    yield s, a, (r - r.mean()) / (r.std() + 1e-4)"""


def _special() -> Iterator[Program]:
    half = LLAMA + HALF.format(dtype="bfloat16")
    mlp = Program(name="")
    yield replace(mlp, name="warm_up", optimizer=WARM.format(5))
    yield replace(mlp, name="long_warm_up", optimizer=WARM.format(1000))
    yield replace(LM, name="long_warm_up_bfloat16", optimizer=WARM.format(1000), model=half)
    yield replace(mlp, name="warm_up_and_cosine", optimizer=COSINE, steps=14)
    yield replace(mlp, name="decayed_to_zero", optimizer="optim.Adam(optim.cosine_decay(1e-3, 6))")
    yield replace(mlp, name="accumulated", step=ACCUMULATED)
    yield replace(LM, name="accumulated_llama", step=ACCUMULATED)
    yield replace(LM, name="master", model=half, step=MASTER)
    yield replace(
        LM, name="master_small_rate", model=half, step=MASTER, optimizer="optim.Adam(1e-5)"
    )
    yield replace(LM, name="bfloat16", model=half)
    yield replace(LM, name="bfloat16_lion", model=half, optimizer="optim.Lion(1e-3)")
    yield replace(LM, name="bfloat16_sgd_fast", model=half, optimizer="optim.SGD(1.0)")
    yield replace(LM, name="head_alone", model=LLAMA + "\nmodel.freeze()\nmodel.lm_head.unfreeze()")
    yield replace(LM, name="embedding_frozen", model=LLAMA + "\nmodel.model.embed_tokens.freeze()")
    yield replace(LM, name="lora", model=LLAMA + LORA)
    yield replace(LM, name="lora_bfloat16", model=half + LORA, optimizer="optim.Adam(1e-3)")
    dora = LORA.replace('"dropout": 0.0}', '"dropout": 0.1}, use_dora=True')
    yield replace(LM, name="dora", model=LLAMA + dora)
    yield replace(
        mlp, name="dropout",
        model="model = nn.Sequential(nn.Linear(32, 64), nn.Dropout(0.5), nn.Linear(64, 1))",
    )  # fmt: skip
    yield replace(
        mlp, name="batch_norm",
        model="model = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm(64), nn.Linear(64, 1))",
    )  # fmt: skip
    for name, program in (("mlp", mlp), ("llama", LM)):
        yield replace(program, name=f"compiled_{name}", step=COMPILED.format(captures=WHOLE))
        state = COMPILED.format(captures=WHOLE).replace(
            "state = [model.state, optimizer.state]",
            "optimizer.init(model.trainable_parameters())\n"
            "state = [model.state, optimizer.state, mx.random.state]",
        )
        yield replace(program, name=f"compiled_initialized_{name}", step=state)
        yield replace(program, name=f"clipped_{name}", step=NORM.format(norm=1.0))
        yield replace(program, name=f"several_optimizers_{name}", optimizer=MULTI)
    yield replace(
        mlp, name="overfit", data="batch = next(fresh())\nwhile True:\n    yield batch\n",
        model=f"def fresh():\n{_in(NOISE)}\n{MLP}",
    )  # fmt: skip
    yield replace(mlp, name="teacher", model=TEACHER)
    yield replace(
        LM,
        name="labels_partly_ignored",
        loss=IGNORED,
        data=_text("tokens[:, :-1], mx.where(tokens[:, 1:] > 50, tokens[:, 1:], -100)"),
    )
    yield replace(
        LM,
        name="masked_in_part",
        loss=MASKED,
        data=_text(f"{NEXT}, (tokens[:, 1:] > 8).astype(mx.float32)"),
    )
    yield replace(LM, name="loss_shifts", loss=SHIFTED, data=_text("tokens, tokens"), steps=60)
    yield replace(
        mlp, name="autoencoder",
        data="while True:\n    x = mx.random.normal((32, 32))\n    yield x, x",
        model="model = nn.Sequential(nn.Linear(32, 8), nn.Linear(8, 32))",
    )  # fmt: skip
    yield replace(
        LM,
        name="policy",
        loss=POLICY,
        data=ROLLOUTS,
        optimizer="optim.Adam(1e-2)",
        model="model = nn.Sequential(nn.Embedding(64, 16), nn.Linear(16, 64))",
    )
    yield replace(
        mlp,
        name="logged_rate",
        watched=True,
        followed=False,
        prints=RATE,
        steps=80,
        optimizer="optim.Adam(1e-3)",
    )


def healthy() -> tuple[Program, ...]:
    """The healthy programs: each optimizer at three learning rates on two models, and what often
    looks like nothing learned; some of them again under `harness watch`."""
    programs: list[Program] = []
    for label, base in (("mlp", Program(name="")), ("llama", LM)):
        for name, (optimizer, rate) in OPTIMIZERS.items():
            for size, factor in (("small", 0.03), ("usual", 1), ("large", 3)):
                made = optimizer.format(rate * factor)
                programs.append(replace(base, name=f"{label}_{name}_{size}", optimizer=made))
    programs += _special()
    usual = [
        p for p in programs if not p.watched and (p.name.endswith("_usual") or p.name in AGAIN)
    ]
    return (*programs, *(replace(p, name=f"{p.name}_watched", watched=True) for p in usual))


AGAIN = (
    "warm_up", "long_warm_up_bfloat16", "accumulated", "master", "bfloat16", "lora", "dora",
    "dropout", "compiled_mlp", "compiled_initialized_llama", "clipped_mlp", "teacher", "overfit",
    "several_optimizers_llama", "policy", "head_alone", "loss_shifts",
)  # fmt: skip
