"""A known pitfall that the installed MLX still has, run as a user runs it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import forked

ROOT = Path(__file__).parents[2]
PROGRAM = """
import mlx.core as mx

def loss(scores):
    chosen = mx.argsort(scores, axis=1)[:, :1]
    return mx.put_along_axis(mx.zeros((3, 3)), chosen, scores.sum(axis=1, keepdims=True), 1).sum()

mx.grad(loss)(mx.ones((3, 3)))
"""


def test_a_pitfall_is_named_wherever_the_run_is_told_of(tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    words = ("watch", "--json", "--", sys.executable, "train.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = forked.harness(*words, folder=tmp_path, environment=environment)
    (result,) = json.loads(done.stdout)["results"]
    (match,) = result["known_issues"]
    assert (match["id"], match["same"]) == ("mlx#3787", "error")
    assert match["version"] is not None
    words = "same error and version as mlx#3787"
    assert words in done.stderr
    (folder,) = (tmp_path / "reports").glob("*-*")
    assert words in (folder / "junit.xml").read_text()
    for name in ("report.md", "report.html"):
        assert match["url"] in (folder / name).read_text()
