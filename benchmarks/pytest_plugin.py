"""The cost of the pytest plugin: a trivial training as a test, a hung one, and not being used.

    python benchmarks/pytest_plugin.py [--tests 500] [--out FILE.json]

Each figure is from pytest run as a user runs it, in a process of its own, in a project made for it.
Trivial: `--tests` tests, each with a worker of its own that takes five steps of one multiplication;
the seconds are those of the whole session, over the number of tests. Hung: tests that wait in
different ways; the seconds from the call of the fixture to the failure. Inert: the
import of the plugin, which is all that it does where it is not used.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import figures, machine, save, shown, table

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = "harness.pytest_plugin"
TRIVIAL = """
import mlx.core as mx
import pytest


def make_step(training):
    return lambda batch: batch / (1 + training.step)


def batches(training):
    while True:
        yield mx.array(2.0)


@pytest.mark.training(steps=5)
@pytest.mark.parametrize("number", range({tests}))
def test_trivial(harness_run, number):
    run = harness_run(make_step, batches=batches)
    assert run.losses[0] > run.losses[-1]
"""
HUNG = """
import socket
import threading

import mlx.core as mx
import pytest

SETTINGS = dict(model="micro", steps=20)


def in_step(training, hang):
    def step(inputs, targets):
        if training.step == 10:
            hang()
        return training.loss(training.model, inputs, targets)

    return step


def deadlock(training):
    lock = threading.Lock()

    def twice():
        with lock, lock:
            pass

    return in_step(training, twice)


def livelock(training):
    def look():
        while True:
            pass

    return in_step(training, look)


def silent_peer(training):
    ours, theirs = socket.socketpair()
    return in_step(training, lambda: ours.recv(1) or theirs)


def event_never_set(training):
    return in_step(training, threading.Event().wait)


@pytest.mark.parametrize("make", [deadlock, livelock, silent_peer, event_never_set])
def test_hung(harness_run, make):
    harness_run(make, **SETTINGS)
"""


def pytest(folder: Path, *options: str) -> tuple[float, ElementTree.Element]:
    """Seconds of a session in `folder`, and its junit.xml."""
    junit = folder / "junit.xml"
    # As for an installed package: with the compiled files of what is imported.
    environment = {
        key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"
    } | {
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", PLUGIN]
    command += [f"--junit-xml={junit}", f"--basetemp={folder / 'tmp'}", *options]
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    seconds = time.monotonic() - began
    if done.returncode not in (0, 1, 5):
        raise RuntimeError(done.stdout + done.stderr)
    return seconds, ElementTree.parse(junit).getroot()


def project(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


def trivial(folder: Path, tests: int) -> dict[str, Any]:
    """Seconds a test, of the whole session and of the single tests."""
    project(folder, TRIVIAL.format(tests=tests))
    pytest(folder, "-k", "[0]")  # compiles what is imported
    seconds, junit = pytest(folder)
    cases = junit.findall(".//testcase")
    failed = junit.findall(".//failure") + junit.findall(".//error")
    if failed or len(cases) != tests:
        raise RuntimeError(f"{len(failed)} of {len(cases)} failed: {failed[0].text}")
    each = [float(case.attrib["time"]) for case in cases]
    return {"tests": tests, "a_test_s": seconds / tests, "single_s": figures(each)}


def hung(folder: Path) -> list[dict[str, Any]]:
    """The seconds, for each way to hang, until its test failed, and its first line."""
    project(folder, HUNG)
    _, junit = pytest(folder)
    found = []
    for case in junit.findall(".//testcase"):
        failure = case.find("failure")
        if failure is None:
            raise RuntimeError(f"{case.attrib['name']} did not fail")
        said = failure.attrib["message"].partition("\n")[0]
        found.append({"name": case.attrib["name"], "s": float(case.attrib["time"]), "said": said})
    return found


def inert(runs: int = 25) -> dict[str, float]:
    """Milliseconds that importing the plugin takes beside pytest: all it does where it is not used.

    What is longer about a whole session drowns in what sessions differ by anyway.
    """
    code = (
        "import time, pytest; began = time.perf_counter(); import harness.pytest_plugin; "
        "print(1e3 * (time.perf_counter() - began))"
    )
    command = [sys.executable, "-c", code]
    times = [
        float(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
        for _ in range(runs)
    ]
    return figures(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tests", type=int, default=500)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result: dict[str, Any] = {
            "inert_ms": inert(),
            "hung": hung(folder / "hung"),
            "trivial": trivial(folder / "trivial", arguments.tests),
        }
    print(f"inert: {result['inert_ms']['median']:.1f} ms (median)")
    print(table(("hung", "s", "said"), [
        (one["name"], shown(one["s"]), one["said"]) for one in result["hung"]
    ]))  # fmt: skip
    cheap = result["trivial"]
    print(f"trivial: {shown(cheap['a_test_s'])} s a test, of {cheap['tests']}")
    print({key: shown(value) for key, value in cheap["single_s"].items()})
    print(f"on {machine()}")
    save(arguments.out, "pytest_plugin", result)


if __name__ == "__main__":
    main()
