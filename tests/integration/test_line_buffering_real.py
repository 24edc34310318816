"""A program in C that prints its steps into our pipe, and then hangs with a block not full."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import forked
import pytest

ROOT = Path(__file__).parents[2]
SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) {
    for (int step = 1; step <= 5; step++)
        printf("step %d loss=%.4f\n", step, 2.0 / step);
    if (getenv("ENDS")) { printf("no end of line"); return 7; }
    pause();
}
"""
pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which("stdbuf") is None,
    reason="needs gcc, and stdbuf of GNU's coreutils",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    (folder / "trainer.c").write_text(SOURCE)
    command = ["gcc", "-O1", "-Wall", "-Werror", folder / "trainer.c", "-o", folder / "trainer"]
    subprocess.run(command, check=True)
    return folder / "trainer"


def watched(folder, program, *options, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    words = ("watch", "--json", *options, "--", program)
    return forked.harness(*words, folder=folder, environment=environment)


def test_the_steps_of_a_program_that_hangs_are_seen(tmp_path, program):
    done = watched(tmp_path, program, "--budget", "8")
    (result,) = json.loads(done.stdout)["results"]
    # Hung, where it was doubted before its budget ended.
    assert result["outcome"] in ("hung", "unfinished")
    assert result["last_step"] == 5
    assert result["metrics"]["loss"]["last"] == 0.4


def test_bytes_and_exit_code_stay_as_they_are(tmp_path, program):
    """What it prints is the same with the library, without it, and started directly."""
    alone = subprocess.run(
        [program], env={**os.environ, "ENDS": "1"}, capture_output=True, text=True
    )
    for options in ((), ("--no-inject",)):
        done = watched(tmp_path, program, *options, ENDS="1")
        assert done.returncode == alone.returncode == 7
        (log,) = tmp_path.glob("reports/*/trainer/0/stdout.log")
        assert log.read_text() == alone.stdout
        shutil.rmtree(tmp_path / "reports")
