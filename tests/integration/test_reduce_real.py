"""`harness reduce` on real programs, and what a shortened program is kept from."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.model import Outcome, Patience
from harness.reduce import looker, nursery, reduce
from harness.reduce.fence import sitecustomize as fence
from harness.reduce.glance import Pose
from harness.reduce.judge import Judge

PROGRAM = '''
"""Raises in a function, after some work, beside a module of its own."""
import argparse
import helper


def compute(values, scale):
    total = 0
    for value in values:
        total += value * scale
    return helper.share(total, len(values) - 3)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=int, default=2)
    args = parser.parse_args()
    print("result", compute([1, 2, 3], args.scale))


if __name__ == "__main__":
    main()
'''
HELPER = '''
"""A module beside it."""


def unused():
    return 1


def share(part, whole):
    return part / whole
'''
REACHES_OUT = """
import ctypes, os, shutil, subprocess, sys
path = {path!r}
for attempt in (
    lambda: open(path, "w"),
    lambda: os.remove(path),
    lambda: shutil.rmtree(os.path.dirname(path)),
    lambda: os.rename(path, "here"),
    lambda: subprocess.run(["rm", path]),
    lambda: subprocess.run([sys.executable, "-c", "import os; os.remove(%r)" % path]),
    lambda: os.kill(os.getppid(), 9),
):
    try:
        attempt()
    except PermissionError:
        pass
open("own", "w").write("allowed")
os.remove("own")
print(open(path).read(), os.listdir())
assert os.path.exists(path)
"""


@pytest.mark.slow  # some forty processes
def test_a_script_becomes_a_file_of_its_own_that_fails_the_same_way(tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    (tmp_path / "helper.py").write_text(HELPER)
    done = subprocess.run(
        [sys.executable, "-m", "harness", "reduce", "--json", "--jobs", "2", "--",
         sys.executable, "train.py", "--scale", "5"],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["verified"]
    assert document["lines"] <= 5
    text = (tmp_path / document["path"]).read_text()
    assert text.startswith("# Shows: crashed")
    assert "Shown in 3 of 3 runs of this file alone, with python" in text
    alone = subprocess.run(
        [sys.executable, tmp_path / document["path"]], capture_output=True, text=True, cwd="/"
    )
    assert "ZeroDivisionError" in alone.stderr
    assert "in share" in alone.stderr


OF_A_RELEASE = """
import os, threading
lock = threading.Lock()

def work():
    lock.acquire()
    if not os.environ.get("WELL"):
        lock.acquire()

work()
"""


@pytest.mark.slow  # some fifty processes
def test_what_is_left_is_well_where_the_whole_program_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(OF_A_RELEASE)
    other = tmp_path / "other"
    other.write_text(f'#!/bin/sh\nWELL=1 exec {sys.executable} "$@"\n')
    other.chmod(0o755)
    alike = reduce("train.py", out=tmp_path / "a").path.read_text()
    assert "WELL" not in alike
    made = reduce("train.py", out=tmp_path / "b", well=other)
    assert made.verified
    assert "WELL" in made.path.read_text()


def test_what_reaches_out_of_its_folder_is_refused(tmp_path):
    file = tmp_path / "precious" / "file"
    file.parent.mkdir()
    file.write_text("kept")
    with Judge([sys.executable], [], jobs=1, patience=Patience(seconds=5)) as judge:
        # The whole program is allowed no other program here, which it would be if it was the first.
        judge.whole("print('nothing used')", trace=False)
        seen = judge.seen(REACHES_OUT.format(path=str(file)))
    assert seen.result.outcome is Outcome.COMPLETED, seen.printed
    assert file.read_text() == "kept"


GLANCED = {
    "waits": "import queue\n\ndef take():\n    queue.Queue().get()\n\ntake()\n",
    "ends": "import queue\n\ndef take():\n    pass\n\ntake()\n",
    "child": "import queue, subprocess, sys\n\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
    " start_new_session=True)\n\n"
    "def take():\n    queue.Queue().get()\n\ntake()\n",
}


def looks(folder):
    found = []
    for name, text in GLANCED.items():
        home = folder / name
        (home / fence.WORK).mkdir(parents=True)
        (home / "printed").mkdir()
        (home / "program.py").write_text(text)
        found.append(
            looker.Look(
                argv=[sys.executable, str(home / "program.py")],
                file=home / "program.py",
                variables={
                    "PYTHONPATH": str(Path(fence.__file__).parent),
                    fence.FOLDER: str(home),
                    fence.LOOKED: str(home / "stacks"),
                },
                folder=home / "printed",
                stacks=home / "stacks",
            )
        )
    return found


SIGN = looker.Stands(
    Pose(("threading.py wait", "queue.py get", "program.py take"), ()), frozenset()
)


def test_a_program_is_seen_where_it_stands(tmp_path):
    seen = looker.together(looks(tmp_path), SIGN, math.inf, lambda: False, None)
    assert [one.shows for one in seen] == [True, False, True]


@pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux alone")
def test_a_copy_stands_where_the_program_does_and_leaves_nothing(tmp_path):
    own = tmp_path / "nursery"
    own.mkdir()
    opened = nursery.Nursery.open([sys.executable], ["queue", "no_such"], {}, own, lambda: False)
    assert opened is not None, (own / "stderr.log").read_text()
    try:
        seen = looker.together(looks(tmp_path), SIGN, math.inf, lambda: False, opened)
        # Each copy has ended with what it started before its end is told.
        (parent,) = [p for p in psutil.process_iter() if str(own / "s") in _words(p)[2:3]]
        assert parent.children(recursive=True) == []
    finally:
        opened.close()
    assert [one.shows for one in seen] == [True, False, True]
    assert not parent.is_running()


def _words(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []
