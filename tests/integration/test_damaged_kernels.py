"""A worker killed while it compiles leaves nothing that a later run could load."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import forked
import pytest

ROOT = Path(__file__).parents[2]
COMPILES = """
from functools import partial
import mlx.core as mx

def make_step(training):
    @partial(mx.compile)
    def step(inputs, targets):
        return (mx.exp(inputs * 0.123) * mx.sin(targets + 0.456)).sum()
    return step
"""
TRUNCATING = """#!/bin/sh
for last; do :; done
if [ "$1" = --version ] || [ "$1" = -dumpversion ]; then exec {real} "$@"; fi
while [ "$1" != -o ]; do shift; done
printf 'half a library' > "$2"
sleep 600
"""


def harness(folder, *arguments, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = forked.harness(*arguments, "--json", folder=folder, environment=environment)
    (result,) = json.loads(done.stdout)["results"]
    return result


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.skipif(sys.platform != "linux", reason="on the CPU backend only")
def test_a_kernel_left_half_written_is_never_loaded(tmp_path):
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "g++"
    fake.write_text(TRUNCATING.format(real=shutil.which("g++")))
    fake.chmod(0o755)
    (tmp_path / "compiles.py").write_text(COMPILES)
    mine = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    run = ("run", "compiles.py", "--steps", 3, "--device", "cpu")

    broken = {**mine, "PATH": f"{fake.parent}:{os.environ['PATH']}"}
    killed = harness(tmp_path, *run, "--budget", 5, **broken)
    assert killed["outcome"] in ("unfinished", "hung")
    assert not list((tmp_path / "cache").rglob("*.so"))

    first = harness(tmp_path, *run, **mine)
    assert first["outcome"] == "completed", first
    kept = list((tmp_path / "cache").rglob("*.so"))
    assert kept

    # With a compiler that would spoil anything: only what was kept can make this complete.
    again = harness(tmp_path, *run, **broken)
    assert again["outcome"] == "completed", again
    cold = harness(tmp_path, *run, "--cold", "--budget", 5, **broken)
    assert cold["outcome"] in ("unfinished", "hung")


SLOW = """#!/bin/sh
case "$1" in --version | -dumpversion) exec {real} "$@" ;; esac
{first}
exec {real} "$@"
"""
COMPUTES = (
    "timeout 9 sh -c 'while :; do n=0; while [ $n -lt 9999 ]; do n=$((n+1)); done; sleep 0.1; done'"
)
"""It computes for nine seconds, and leaves most of a core to others."""

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None or sys.platform != "linux", reason="needs g++ on Linux"
)


def compiler(tmp_path, first):
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "g++"
    fake.write_text(SLOW.format(real=shutil.which("g++"), first=first))
    fake.chmod(0o755)
    (tmp_path / "compiles.py").write_text(COMPILES)
    return {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PATH": f"{fake.parent}:{os.environ['PATH']}",
    }


@needs_compiler
def test_a_long_first_compile_is_not_suspected(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **compiler(tmp_path, COMPUTES)}
    words = ("run", "compiles.py", "--steps", 3, "--device", "cpu")
    done = forked.harness(*words, folder=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    assert "possible hang" not in done.stderr
    assert "completed" in done.stderr


@pytest.mark.slow
@needs_compiler
def test_a_compiler_that_never_returns_is_hung_and_named(tmp_path):
    os.mkfifo(tmp_path / "never")
    environment = compiler(tmp_path, f"read _ < {tmp_path / 'never'}")
    result = harness(tmp_path, "run", "compiles.py", "--steps", 3, "--device", "cpu", **environment)
    assert result["outcome"] == "hung"
    assert result["cause"]["proven"] is False
    assert result["last_step"] == 0
