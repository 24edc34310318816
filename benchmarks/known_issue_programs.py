"""Programs that run into a known issue, each with a release that has it and one that has not."""

from __future__ import annotations

from typing import NamedTuple


class Program(NamedTuple):
    issue: str
    bad: str
    good: str
    source: str


_COMPILED = """
import mlx.core as mx
scales = [mx.array(float(i)) for i in range(20)]
shifts = [mx.array(float(2 * i)) for i in range(20)]
zero = mx.array(0.0)
@mx.compile
def step(x):
    y = 0
    for scale, shift in zip(scales, shifts):
        y = y + shift * x * scale * zero
    return y
for number in range(2):
    mx.eval(step(mx.ones((2, 2))))
    print("step", number, flush=True)
"""

PROGRAMS = (
    Program("mlx#4100", "0.32.0", "0.32.1", """
import mlx.core as mx
for step in range(6):
    exponent = -1 if step == 4 else 2
    x = mx.power(mx.array([2, 3]), mx.array([exponent, 2]))
    mx.eval(x)
    print(f"step {step} loss {float(x[0]):.3f}", flush=True)
"""),
    Program("mlx#3743", "0.31.2", "0.32.0", """
import mlx.nn as nn
model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
model.update_modules({"layers": [{}, nn.Linear(3, 4), nn.Linear(5, 5)]}, strict=False)
"""),
    Program("mlx#3214", "0.31.0", "0.31.1", """
import mlx.core as mx
import mlx.nn as nn
weights = {"layers.0.weight": mx.ones((2, 2)), "layers.0.bias": mx.ones((2,))}
extra = {"layers.1.weight": mx.ones((2, 2)), "layers.1.bias": mx.ones((2,))}
nn.Sequential(nn.Linear(2, 2)).load_weights([*(weights | extra).items()], strict=False)
"""),
    Program("mlx#4215", "0.32.0", "0.32.1", """
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
optimizer = optim.MultiOptimizer(
    [optim.SGD(learning_rate=0.01), optim.AdamW(learning_rate=0.01)], [lambda _, w: w.ndim >= 2]
)
gradients = nn.value_and_grad(model, lambda model, x: model(x).sum())
for step in range(3):
    loss, grads = gradients(model, mx.ones((1, 4)))
    optimizer.update(model, grads)
    mx.eval(model.parameters())
    print(f"step {step} loss {loss.item():.3f}", flush=True)
"""),
    Program("mlx#3652", "0.31.2", "0.32.0", """
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
model = nn.Conv1d(3, 4, 2)
optimizer = optim.Adafactor()
gradients = nn.value_and_grad(model, lambda model, x: model(x).sum())
for step in range(3):
    loss, grads = gradients(model, mx.ones((1, 8, 3)))
    optimizer.update(model, grads)
    mx.eval(model.parameters())
    print(f"step {step} loss {loss.item():.3f}", flush=True)
"""),
    Program("mlx#4240", "0.32.0", "0.32.1", """
import mlx.core as mx
step = mx.compile(lambda x: mx.abs(x) + 1)
print(step(mx.array([1, 2], mx.uint32)))
"""),
    Program("mlx#3742", "0.32.0", "0.32.1", """
import mlx.core as mx
mx.eval(mx.linalg.inv(mx.array([[1.0, 2.0], [2.0, 4.0]]), stream=mx.cpu))
"""),
    Program("mlx#3165", "0.26.3", "0.31.0", _COMPILED),
    Program("mlx#2345", "0.26.3", "0.26.5", """
import mlx.core as mx
hessian = mx.grad(lambda x: mx.grad(lambda y: (mx.sort(y) * mx.arange(3)).sum())(x).sum())
print(hessian(mx.array([3.0, 1.0, 2.0])))
"""),
    Program("mlx#3599", "0.31.2", "0.32.0", """
import mlx.core as mx
print(mx.grad(lambda x: mx.cummax(x).sum())(mx.array([3.0, 1.0, 2.0])))
"""),
    Program("mlx#3708", "0.31.2", "0.32.0", """
import mlx.core as mx
x = mx.ones((2, 3))
print(mx.jvp(lambda x: mx.logsumexp(x, axis=-1), [x], [x]))
"""),
    Program("mlx#4200", "0.32.0", "0.32.1", """
import mlx.core as mx
def place(x):
    y = mx.zeros((4,))
    y[1:3] = x
    return y
print(mx.jvp(place, [mx.array([1.0, 2.0])], [mx.ones((2,))]))
"""),
    Program("mlx#4125", "0.32.0", "0.32.1", """
import mlx.core as mx
print(mx.einsum("...ij,...jk->...ik", mx.ones((1, 3, 4)), mx.ones((2, 4, 5))).shape)
"""),
    Program("mlx#4255", "0.32.0", "0.32.1", """
import mlx.core as mx
print(mx.arange(2147483646, 2147483650).shape)
"""),
    Program("mlx#3786", "0.31.2", "0.32.0", """
import mlx.nn as nn
print(nn.HardShrink(lambd=0.3))
"""),
    Program("mlx#3769", "0.31.2", "0.32.0", """
import mlx.core as mx
import mlx.nn as nn
print(nn.Upsample(scale_factor=1, mode="linear", align_corners=True)(mx.ones((1, 1, 1))))
"""),
    Program("mlx#3651", "0.31.2", "0.32.0", """
import mlx.core as mx
import mlx.nn as nn
scores = mx.log(mx.softmax(mx.ones((2, 3, 4)), axis=1))
print(nn.losses.nll_loss(scores, mx.zeros((2, 4), mx.int32), axis=1).shape)
"""),
    Program("mlx#2641", "0.29.2", "0.29.3", """
import mlx.core as mx
import mlx.nn as nn
print(nn.losses.cross_entropy(mx.ones((2, 3, 4)), mx.zeros((2, 4), mx.int32), axis=1).shape)
"""),
    Program("mlx#3674", "0.31.2", "0.32.0", """
from collections import namedtuple
from mlx.utils import tree_map_with_path
State = namedtuple("State", "mean variance")
print(tree_map_with_path(lambda path, x: x + 1, State(1, 2)))
"""),
    Program("mlx#3727", "0.32.0", "0.31.1", """
import threading
import mlx.core as mx
x = mx.ones((2, 8)) @ mx.ones((8, 8))
raised = []
def evaluate():
    try:
        mx.eval(x)
    except RuntimeError as error:
        raised.append(error)
thread = threading.Thread(target=evaluate)
thread.start()
thread.join()
if raised:
    raise raised[0]
"""),
)  # fmt: skip
"""None of the sources is anybody's report: each is the shortest call that shows the issue."""
