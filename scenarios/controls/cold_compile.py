"""Healthy: a compiled step whose every kernel has yet to be compiled."""

import os
import tempfile

from compiled_step import make_step as make_compiled

SETTINGS = {"steps": 4}
EXPECTS = ("double_trace",)
VERDICT = {"outcome": "completed"}


def make_step(training):
    # MLX keeps its kernels below TMPDIR: there are none in a new one.
    os.environ["TMPDIR"] = tempfile.mkdtemp()
    return make_compiled(training)
