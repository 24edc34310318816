"""Runs of a plan on hosts that are network namespaces with ssh servers, and one by one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import forked
import netns
import pytest
from trial import until

ROOT = Path(__file__).parents[2]
REASON = netns.missing()
NEEDS_HOSTS = pytest.mark.skipif(REASON is not None, reason=REASON or "")
TRAIN = """
import os, pathlib, sys, time
here = pathlib.Path(sys.argv[1])
print("step 1 loss 0.5", flush=True)
(here / f"began-{os.environ.get('PLACE', '')}-{os.getpid()}").touch()
while not (here / "go").exists():
    time.sleep(0.05)
print("step 2 loss 0.4", flush=True)
"""


class Hosts:
    """A harness on the first host of a network, which gives its runs to the two others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = netns.Network(folder, ["alpha", "beta", "gamma"])
        self.process: subprocess.Popen | None = None
        (folder / "train.py").write_text(TRAIN)
        (folder / "hosts.json").write_text('[{"ssh": "beta"}, {"ssh": "gamma"}]')

    def start(self, repeat: int) -> subprocess.Popen:
        self.process = self.network.start(
            sys.executable, "-m", "harness", "matrix", "--python", sys.executable,
            *("--hostfile", "hosts.json", "--out", str(self.folder / "out"), "--json"),
            *("--repeat", str(repeat), "--", "python", "train.py", str(self.folder)),
            cwd=self.folder, env={"PYTHONPATH": str(ROOT)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        return self.process

    def running(self) -> bool:
        """True once both hosts train; fails when the harness has ended before."""
        assert self.process is not None
        assert self.process.poll() is None, self.process.communicate()
        return len(list(self.folder.glob("began-*"))) == 2

    def close(self) -> None:
        if self.process is not None:
            with self.process:
                self.process.kill()
        self.network.close()


@pytest.fixture
def hosts(tmp_path):
    made = Hosts(tmp_path)
    yield made
    made.close()


@NEEDS_HOSTS
@pytest.mark.waits
def test_the_run_of_a_host_that_dies_goes_to_another_one(hosts):
    process = hosts.start(repeat=2)
    assert until(hosts.running)
    for pid in hosts.network.everything(1):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    (hosts.folder / "go").touch()
    out, errors = process.communicate()
    document = json.loads(out)
    assert process.returncode == 0, errors
    assert document["rows"][0]["outcomes"] == {"completed": 2}
    assert sorted(run["number"] for run in document["runs"]) == [0, 1]
    assert "beta is used no more: the connection broke" in errors
    (folder,) = (hosts.folder / "out").glob("2*")
    for run in document["runs"]:
        assert run["host"] == "host-0"  # gamma, by no name of its own
        result = json.loads((folder / run["run"] / "run.json").read_bytes())
        assert result["results"][0]["steps_completed"] == 2
    for number in (1, 2):
        assert until(lambda number=number: not hosts.network.processes(number))


@NEEDS_HOSTS
@pytest.mark.waits
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_nothing_runs_on_the_hosts_any_more_when_the_harness_is_ended(hosts, number):
    process = hosts.start(repeat=2)
    assert until(hosts.running)
    process.send_signal(number)
    process.communicate()
    for at in (1, 2):
        assert until(lambda at=at: not hosts.network.processes(at))
    if number == signal.SIGINT:
        assert process.returncode == 130


def test_a_run_of_a_plan_is_carried_out_alone_and_collected(tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "go").touch()

    def harness(*words):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = forked.harness(*words, folder=tmp_path, environment=environment)
        return done.returncode, done.stdout, done.stderr

    words = ("--python", sys.executable, "--repeat", "2", "--plan")
    assert harness("matrix", *words, "--", "python", "train.py", ".")[0] == 0
    (folder,) = tmp_path.glob("reports/2*")
    code, out, errors = harness("cell", str(folder), "--number", "1", "--out", "parts", "--json")
    assert code == 0, errors
    assert json.loads(out)["number"] == 1
    code, out, errors = harness("collect", str(folder), "parts", "--json")
    assert code == 1
    (cell,) = (row["cell"] for row in json.loads(out)["rows"])
    assert f"missing: {cell} #0" in errors
    (ran,) = json.loads(out)["runs"]
    assert (folder / ran["run"] / "run.json").is_file()
