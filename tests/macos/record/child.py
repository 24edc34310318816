"""The child of `doctor --record` on Linux as on a Mac: its threads have the numbers of darwin.c.

Their pthreads lie at one distance from what that keeps of them.
"""

import os
import runpy
import sys
import threading
import time
import types
from pathlib import Path

TID_BASE = 5_000_000_000
DISTANCE = 224
native_id = threading.get_native_id


class Gpu:
    """mlx.core with a GPU that works for as long as it is asked to."""

    gpu = float32 = None
    fast = property(lambda self: self)

    def set_default_device(self, device):
        pass

    def metal_kernel(self, **named):
        return lambda **inputs: None

    def ones(self, *shape):
        pass

    def eval(self, *arrays):
        time.sleep(0.5)


threading.get_native_id = lambda: native_id() + TID_BASE
threading.get_ident = lambda: native_id() + 2 * TID_BASE - DISTANCE
sys.modules["mlx"] = types.ModuleType("mlx")
sys.modules["mlx.core"] = sys.modules["mlx"].core = Gpu()
time.get_clock_info = lambda name: types.SimpleNamespace(implementation="mach_absolute_time()")
os.confstr = lambda name: "/var/folders/it/C/"
runpy.run_path(
    str(Path(__file__).parents[3] / "harness" / "record" / "child.py"), run_name="__main__"
)
