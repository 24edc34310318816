"""The environment ladder of a program whose two workers lock each other, and an investigation."""

from __future__ import annotations

import json
import sys

import forked
import pytest

PROGRAM = """
import threading
from concurrent.futures import ThreadPoolExecutor

tokens, cache = threading.Lock(), threading.Lock()
here, there = threading.Event(), threading.Event()


def load(locks):
    first, second, mine, other = locks
    with first:
        mine.set()
        if pool._max_workers > 1:
            other.wait()  # both have their first lock now
        with second:
            return 0.5


with ThreadPoolExecutor(max_workers=2) as pool:
    work = [(tokens, cache, here, there), (cache, tokens, there, here)]
    futures = [pool.submit(load, one) for one in work]
    losses = [future.result() for future in futures]
print(f"step 1 loss {sum(losses):.3f}", flush=True)
"""


@pytest.fixture
def program(tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    return tmp_path


def test_the_one_flip_that_cures_a_command_is_found(program):
    done = forked.harness(
        "run-all", "--variants", "builtin:environment", "-k", "one_worker or no_cache",
        "--json", "--", sys.executable, "train.py", folder=program,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    made = document["ladder"]
    assert made["symptom"] == "hung"
    assert (made["shown"], made["absent"]) >= (3, 0)
    answers = {one["name"]: one for one in made["flips"]}
    assert set(answers) == {"one_worker", "no_cache"}
    assert answers["one_worker"]["verdict"] == "cured"
    assert answers["one_worker"]["absent"] >= 3
    assert answers["one_worker"]["sure"] > 0.95
    # It never imports MLX, so that its cache has no limit to set.
    assert answers["no_cache"]["verdict"] == "no_effect"
    assert "pools and loaders of Python get 1 worker cured it: hung" in done.stderr
    (folder,) = program.glob("reports/2*")
    assert "| `one_worker` |" in (folder / "report.md").read_text()


def test_an_error_of_the_program_s_own_is_told_without_other_releases(tmp_path):
    (tmp_path / "train.py").write_text("print('step 1 loss 0.5')\nprint(undefined)\n")
    done = forked.harness("investigate", "train.py", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["own"]
    assert [one["status"] for one in document["stages"]] == ["done", *["skipped"] * 3]
    assert "the exception comes from the program itself" in document["answer"]
    assert "it takes 30 min at most" in done.stderr
    (folder,) = tmp_path.glob("reports/2*")
    assert "NameError" in (folder / "investigation.md").read_text()
    assert not (folder / "issue.md").exists()
