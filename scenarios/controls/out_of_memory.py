"""The address space ends: the next large allocation fails."""

import resource
import sys
from pathlib import Path

import mlx.core as mx
from _event import in_step
from _gpu import skip_on_cuda

from harness.errors import SkipError

VERDICT = {"outcome": "crashed", "step": 3, "findings": ("memory_limited",)}
ROOM = 64 << 20


def allocate():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    mx.eval(mx.zeros((16, ROOM)))


def make_step(training):
    if sys.platform != "linux":
        raise SkipError("only Linux limits the address space")
    skip_on_cuda("MLX for NVIDIA GPUs says that memory is out, and dies of nothing")
    return in_step(training, allocate)
