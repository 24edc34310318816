"""A program in C that crashes, watched: its line is in the reason, and its core is gone."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import forked
import pytest

from harness.observe.linux import cores

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """\
struct model { float *weights; };
static float update(struct model *m, int i) { return m->weights[i]; }
int main(void) { struct model m = {0}; return (int)update(&m, 3); }
"""


def here(folder):
    """The reason why no core can be had in `folder`; empty if one can."""
    if sys.platform != "linux":
        return "cores are read on Linux alone"
    if missing := [tool for tool in ("gcc", "gdb") if shutil.which(tool) is None]:
        return f"needs {missing[0]}"
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    return "its user wants cores" if soft else cores.refusal(cores.rule(), folder, hard)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """The result of the run, and its folder."""
    folder = tmp_path_factory.mktemp("crash")
    if why := here(folder):
        pytest.skip(why)
    (folder / "trainer.c").write_text(SOURCE)
    built = ["gcc", "-g", "-O0", "trainer.c", "-o", "trainer"]
    subprocess.run(built, cwd=folder, check=True)
    done = forked.harness(
        *("watch", "--json", "--", "sh", "-c", "./trainer; exit 9"),
        folder=folder,
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    (result,) = json.loads(done.stdout)["results"]
    return result, folder


def test_the_reason_has_the_line(crashed):
    result, _ = crashed
    assert result["reason"] == "exited with code 9: trainer crashed at trainer.c:2 in update"
    found = {one["code"]: one for one in result["findings"]}["crash_stack"]
    assert found["evidence"]["frames"] == ["update (trainer.c:2)", "main (trainer.c:3)"]


def test_no_core_is_left(crashed):
    _, folder = crashed
    left = {path.name for path in folder.iterdir()}
    assert left == {"trainer.c", "trainer", "reports"}
