"""The ladder's steps on a Llama of 47 million parameters, in an address space with room for 3 P.

P is what the parameters take, 178 MiB. The limit stands in for a machine whose memory is too small:
96 GB for a model of 32 GB, in the report. It is set before step 0, and counts from what the
process then has, parameters included. The variable ROOM gives another room, in P.
"""

import importlib.util
import os
import resource
import sys
from pathlib import Path

import mlx.core as mx
import mlx.optimizers as optim
from mlx_lm.models import llama

from harness.errors import SkipError
from harness.scenario.load import root

ROOM = float(os.environ.get("ROOM", "3"))
SIZE = {"hidden_size": 1024, "intermediate_size": 2752, "num_hidden_layers": 4}
P = 186_683_392
"""Bytes of the large one's parameters."""
TINY = {"hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 2}


def limited(name="baseline_update", optimizer=optim.AdamW, size=SIZE, room=ROOM):
    """`make_step` of the ladder's scenario `name`, under the limit."""

    def make_step(training):
        if sys.platform != "linux":
            raise SkipError("only Linux limits the address space")
        mx.random.seed(training.settings.seed)
        model = build(size)
        mx.eval(model.parameters())
        training.watch(model, optimizer(learning_rate=1e-5))
        step = ladder(name).make_step(training)

        def limited_step(*batch):
            if training.step == 0:
                limit(int((room - 1) * P))
            return step(*batch)

        return limited_step

    return make_step


def build(size):
    args = llama.ModelArgs(
        model_type="llama",
        num_attention_heads=8,
        num_key_value_heads=4,
        rms_norm_eps=1e-5,
        vocab_size=256,
        **size,
    )
    return llama.Model(args)


def limit(more):
    """Let the address space grow by `more` bytes from here on."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def ladder(name):
    """The module of the ladder's file; by its path, because the files here have the same names."""
    path = root() / "ladder" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"ladder_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
