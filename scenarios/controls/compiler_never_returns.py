"""The compiler that MLX starts for a new kernel never returns."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
from _event import in_step

from harness.errors import SkipError

VERDICT = {"outcome": "hung", "cause": "waiting", "step": 3}


def compile_a_kernel():
    folder = Path(tempfile.mkdtemp())
    compiler = folder / "g++"
    compiler.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "import signal; signal.pause()"\n')
    compiler.chmod(0o700)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    # MLX keeps its kernels below TMPDIR: there are none in a new one.
    os.environ["TMPDIR"] = str(folder)
    with mx.stream(mx.cpu):
        mx.eval(mx.compile(lambda x: mx.exp(x) * 2 + 1)(mx.ones(8)))


def make_step(training):
    if shutil.which("g++") is None:
        raise SkipError("there is no g++ here: MLX compiles no kernel for the CPU")
    return in_step(training, compile_a_kernel)
