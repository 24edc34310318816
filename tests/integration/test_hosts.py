"""Ranks on several hosts, which are network namespaces with ssh servers, and networks that fail."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import netns
import pytest
from trial import until

from harness.beats.file import read_beats
from harness.detect.policy import STANDARD
from harness.model import StepBeat
from harness.supervise.remote.lease import LEASE_S

ROOT = Path(__file__).parents[2]
REASON = netns.missing()
pytestmark = [pytest.mark.waits, pytest.mark.skipif(REASON is not None, reason=REASON or "")]
STEP = '''
"""A small step, with time between two of them."""
import time

from baseline_update import make_step as make_baseline


def make_step(training):
    baseline = make_baseline(training)

    def step(*batch):
        time.sleep(0.05)
        return baseline(*batch)

    return step
'''


HARNESS = """
import sys
from harness.cli import main
import msgspec
from harness.supervise import scenario_ranks as ranks
silent_s = float(sys.argv.pop(1))
ranks.STANDARD = msgspec.structs.replace(ranks.STANDARD, host_silent_s=silent_s)
sys.exit(main())
"""
SLOW = pytest.mark.slow


class Job:
    """A run of the harness on the hosts of a network."""

    def __init__(self, network: netns.Network) -> None:
        self.network = network
        self.process: subprocess.Popen | None = None
        (network.folder / "slowly.py").write_text(STEP)

    def start(
        self,
        *arguments: str,
        scenario: str = "slowly",
        local: bool = True,
        cut_off_s: float = STANDARD.host_silent_s,
    ) -> None:
        """Rank 0 is `local`, on the harness's own host, or all ranks are elsewhere."""
        network = self.network
        hosts = [
            {
                "ssh": name if index or not local else "127.0.0.1",
                "ips": [network.address(index)],
            }
            for index, name in enumerate(network.names)
        ]
        file = network.folder / "hosts.json"
        file.write_text(json.dumps(hosts if local else hosts[1:]))
        path = network.folder / f"{scenario}.py"
        self.process = network.start(
            *(sys.executable, "-c", HARNESS, str(cut_off_s)),
            *("run", str(path) if path.exists() else scenario),
            *("--hostfile", str(file), "--out", str(network.folder / "out"), "--json", "--full"),
            *("--model", "micro", *arguments),
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> dict:
        assert self.process is not None
        output, errors = self.process.communicate()
        assert output, errors
        assert "Traceback" not in errors
        (result,) = json.loads(output)["results"]
        return result

    @property
    def home(self) -> Path:
        """The folder of the run, once it is there."""
        assert until(lambda: list(self.network.folder.glob("out/*/*/0")))
        (home,) = self.network.folder.glob("out/*/*/0")
        return home

    def steps(self, rank: int) -> int:
        """Steps of a rank that are known here."""
        beats = read_beats(self.home / f"rank-{rank}")
        return sum(isinstance(beat, StepBeat) for beat in beats)

    def reached(self, rank: int, steps: int) -> None:
        """Wait until a rank has come so far. The job may be over by then."""
        until(lambda: self.steps(rank) >= steps or self.process.poll() is not None)
        assert self.steps(rank) >= steps, self.process.stderr.read()

    def nothing_is_left(self) -> None:
        network = self.network
        assert until(lambda: not any(map(network.processes, range(len(network.names)))))


@pytest.fixture
def job(tmp_path):
    network = netns.Network(tmp_path, ["alpha", "beta", "gamma"])
    job = Job(network)
    yield job
    if job.process is not None:
        with job.process:
            job.process.kill()
    network.close()


def codes(result):
    return {finding["code"] for finding in result["findings"]}


def finding(result, code):
    (found,) = [one for one in result["findings"] if one["code"] == code]
    return found


def test_ranks_train_on_hosts_that_share_neither_disk_nor_clock(job):
    job.start("--steps", "10")
    job.reached(1, 5)
    job.reached(2, 5)
    result = job.finish()
    assert result["outcome"] == "completed"
    assert [(one["host"], one["state"]) for one in result["ranks"]] == [
        ("127.0.0.1", "finished"),
        ("beta", "finished"),
        ("gamma", "finished"),
    ]
    assert [job.steps(rank) for rank in range(3)] == [10, 10, 10]
    assert not {code for code in codes(result) if code.startswith(("rank_", "host_"))}
    # The same step ends at about the same moment, by whatever clock it was taken.
    last = [list(read_beats(job.home / f"rank-{rank}"))[-2].t for rank in range(3)]
    assert max(last) - min(last) < netns.CLOCK_APART_S / 100
    job.nothing_is_left()


def test_all_ranks_may_be_elsewhere(job):
    job.start("--steps", "5", local=False)
    result = job.finish()
    assert result["outcome"] == "completed"
    assert [one["host"] for one in result["ranks"]] == ["beta", "gamma"]
    assert result["steps_completed"] == 5
    assert result["metrics"]["loss"]["finite"]
    job.nothing_is_left()


def test_a_worker_killed_on_its_host_is_named_with_it(job):
    job.start(scenario="rank_killed")
    result = job.finish()
    assert result["outcome"] in ("crashed", "hung")
    found = finding(result, "rank_died")
    assert (found["evidence"]["ranks"], found["evidence"]["hosts"]) == ([1], ["beta"])
    assert "rank 1 on host beta was killed by SIGKILL" in found["summary"]
    job.nothing_is_left()


@pytest.mark.slow
def test_a_worker_stopped_on_its_host_is_seen_from_afar(job):
    job.start(scenario="rank_stopped")
    result = job.finish()
    assert result["outcome"] == "hung"
    assert finding(result, "rank_stopped")["evidence"]["hosts"] == ["beta"]
    assert [one["state"] for one in result["ranks"]] == ["waiting", "stopped", "waiting"]
    job.nothing_is_left()


def test_a_host_that_is_cut_off_is_named_and_what_it_wrote_is_kept(job):
    # The ranks that wait for it keep both cores busy meanwhile.
    job.start("--steps", "5000", cut_off_s=8.0)
    job.reached(1, 5)
    job.network.links[1].up = False
    result = job.finish()
    assert result["outcome"] == "hung"
    assert result["cause"]["code"] == "waiting"
    found = finding(result, "rank_cut_off")
    assert (found["evidence"]["ranks"], found["evidence"]["hosts"]) == ([1], ["beta"])
    assert [one["state"] for one in result["ranks"]] == ["waiting", "cut_off", "waiting"]
    assert result["ranks"][1]["steps_completed"] == job.steps(1) >= 5


@SLOW
def test_a_worker_that_nobody_can_reach_any_more_ends_by_itself(job):
    job.start("--steps", "5000")
    job.reached(1, 5)
    job.network.links[1].up = False
    job.finish()
    assert until(lambda: not job.network.processes(1), LEASE_S + 120.0)
    job.nothing_is_left()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cable", pytest.param("device", marks=SLOW)])
def test_a_link_that_comes_back_costs_time_and_nothing_else(job, how):
    job.start("--steps", "100")
    job.reached(1, 5)
    link = job.network.links[1]
    if how == "cable":
        link.up = False
    else:
        job.network.interface(1, up=False)
    time.sleep(6.0)
    if how == "cable":
        link.up = True
    else:
        job.network.interface(1, up=True)
    result = job.finish()
    assert result["outcome"] == "completed", result["cause"]
    assert [job.steps(rank) for rank in range(3)] == [100, 100, 100]
    found = finding(result, "host_silent")
    assert (found["evidence"]["rank"], found["evidence"]["host"]) == (1, "beta")
    assert found["evidence"]["silence_s"] >= 5.0
    assert not {code for code in codes(result) if code.startswith("rank_")}
    job.nothing_is_left()


@pytest.mark.slow
@pytest.mark.parametrize(
    "trouble",
    [
        {"loss": 0.01, "delay": 0.02},
        pytest.param({"loss": 0.03}, marks=SLOW),
        pytest.param({"delay": 0.1}, marks=SLOW),
    ],
)
def test_a_bad_link_is_not_a_hang(job, trouble):
    link = job.network.links[2]
    link.loss, link.delay = trouble.get("loss", 0.0), trouble.get("delay", 0.0)
    job.start("--steps", "30")
    result = job.finish()
    assert result["outcome"] == "completed", result["cause"]
    assert [job.steps(rank) for rank in range(3)] == [30, 30, 30]
    job.nothing_is_left()


@pytest.mark.parametrize("why", ["refused", "unreachable"])
def test_a_host_that_cannot_be_reached_has_never_started(job, why):
    if why == "refused":
        job.network.stop_server(1)
    else:
        job.network.links[1].up = False
    job.start()
    result = job.finish()
    assert result["outcome"] in ("crashed", "hung")
    found = finding(result, "rank_never_started")
    assert (found["evidence"]["ranks"], found["evidence"]["hosts"]) == ([1], ["beta"])
    told = "Connection refused" if why == "refused" else "No route to host"
    assert told in found["summary"]
    job.nothing_is_left()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_on_the_hosts_when_the_harness_is_ended(job, number):
    job.start("--steps", "5000")
    job.reached(2, 5)
    job.process.send_signal(number)
    job.process.wait()
    job.nothing_is_left()
