"""Trainings that are healthy, and of which some look as if nothing were learned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.learning_programs import (
    COMPILED,
    HALF,
    IGNORED,
    LLAMA,
    LM,
    LORA,
    MASKED,
    NEXT,
    NOISE,
    NORM,
    RATE,
    WHOLE,
    Program,
    indented,
    text,
)

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
    vocabulary = half.replace("vocab_size=64", "vocab_size=8192")
    for name, optimizer in (("sgd", "optim.SGD(1.0)"), ("adafactor", OPTIMIZERS["adafactor"][0])):
        made = optimizer.format(1e-3)
        yield replace(LM, name=f"rare_tokens_{name}", model=vocabulary, optimizer=made, steps=40)
    yield replace(
        mlp, name="made_up", data="while True:\n    yield mx.ones((4, 32)), mx.ones((4, 1))"
    )
    untied = LLAMA.replace("vocab_size=64", "vocab_size=64, tie_word_embeddings=False")
    yield replace(
        LM, name="head_alone", model=untied + "\nmodel.freeze()\nmodel.lm_head.unfreeze()"
    )
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
    one = f"def fresh():\n{indented(NOISE)}\nbatch = next(fresh())\nwhile True:\n    yield batch"
    yield replace(mlp, name="overfit", data=one)
    yield replace(mlp, name="teacher", model=TEACHER)
    yield replace(
        LM,
        name="labels_partly_ignored",
        loss=IGNORED,
        data=text("tokens[:, :-1], mx.where(tokens[:, 1:] > 50, tokens[:, 1:], -100)"),
    )
    yield replace(
        LM,
        name="masked_in_part",
        loss=MASKED,
        data=text(f"{NEXT}, (tokens[:, 1:] > 8).astype(mx.float32)"),
    )
    yield replace(LM, name="loss_shifts", loss=SHIFTED, data=text("tokens, tokens"), steps=60)
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
