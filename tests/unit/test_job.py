"""One run, its worker made up: what its budget counts, and what it is called when that is over."""

from __future__ import annotations

import itertools
import os
from types import SimpleNamespace

import msgspec
import pytest
from endless_worker import Steps, Worker
from fakes import info

from harness.detect.policy import LOG_POLICY, Policy
from harness.detect.ranks import BY_ITSELF, EXITED, GONE
from harness.detect.watchdog import Judgment, State
from harness.inject.inside import writer
from harness.inject.inside.launcher import Said
from harness.inject.inside.versions import PROCESSES
from harness.model import Command, WorkerSpec
from harness.supervise import examiner, job, run_state
from harness.supervise.command import OWN, CommandSteps
from harness.supervise.handling import Handling
from harness.supervise.scheduler import TICK_S
from harness.supervise.stage import NEXT, Stage

BUDGET = 100.0


class Run(job.Job):
    def close(self) -> None:
        self._samples.close()

    @property
    def over(self) -> bool:
        return self._process.ended or self._run.cause is not None


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0, used=0.0)
    made = SimpleNamespace(monotonic=lambda: clock.now, thread_time=lambda: clock.used)
    for module in (job, run_state):
        monkeypatch.setattr(module, "time", made)
    return clock


@pytest.fixture
def run(tmp_path, clock):
    spec = WorkerSpec(scenario="a", path="a.py", folder=str(tmp_path), settings=None)
    run = Run(info(), spec, Handling(BUDGET), Steps)
    yield run
    run.close()


def ticks(run, clock, seconds, every=1.0):
    for _ in range(round(seconds / every)):
        clock.now += every
        run.tick()


def test_a_run_is_ended_when_its_budget_is_over(run, clock):
    ticks(run, clock, BUDGET)
    assert not run.over
    ticks(run, clock, 1.0)
    assert run.over


def test_the_time_in_which_we_were_stopped_ourselves_is_not_of_the_budget(run, clock):
    """Else one that was stopped with us, and is continued a moment later, would be called hung."""
    ticks(run, clock, 60.0)
    run._run.judgment = Judgment(state=State.STOPPED, reason="stopped by a signal")
    ticks(run, clock, 3600.0, every=3600.0)
    assert not run.over
    run._run.judgment = Judgment(state=State.ALIVE)
    ticks(run, clock, 40.0)
    assert not run.over
    ticks(run, clock, 1.0)
    assert run.over


def test_a_run_that_ends_does_not_run_again(run, clock):
    ticks(run, clock, BUDGET + 1.0)
    for stage in set(Stage) - {Stage.ENDING, Stage.FINISHED}:
        with pytest.raises(AssertionError, match=f"from ending to {stage.value}"):
            run._enter(stage)
    run.interrupt(0.0)
    run._enter(Stage.FINISHED)
    with pytest.raises(AssertionError, match="from finished to running"):
        run._enter(Stage.RUNNING)


def test_every_stage_but_the_last_leads_to_the_end():
    assert set(NEXT) == set(Stage)
    for stage in set(Stage) - {Stage.FINISHED, Stage.ENDING}:
        assert NEXT[stage] >= {Stage.ENDING, Stage.FINISHED}
    reached = {Stage.STARTING}.union(*NEXT.values())
    assert reached == set(Stage)


@pytest.mark.parametrize(
    ("spent", "pause"),
    [(0.001, examiner.LOOK_S), (0.02, 0.02 / examiner.LOOKS.share), (0.5, examiner.LOOKS.latest_s)],
    ids=["a few threads", "a thousand", "very many"],
)
def test_looks_that_take_long_are_rarer(run, clock, monkeypatch, spent, pause):
    looked = []

    def look(now, pid):
        looked.append(now)
        clock.used += spent

    monkeypatch.setattr(run, "_look", look)
    run._process.pid = 1
    ticks(run, clock, 20.0, every=0.01)
    gaps = [after - before for before, after in itertools.pairwise(looked)]
    assert min(gaps) == pytest.approx(pause, abs=0.011)
    assert max(gaps) == pytest.approx(pause, abs=0.011)


def test_looks_are_never_so_rare_that_we_seem_to_have_been_stopped():
    assert Policy().gap_s - 2 * TICK_S > examiner.LOOKS.latest_s


@pytest.mark.parametrize("own", [False, True])
def test_a_command_that_is_known_to_hang_is_doubted_sooner(tmp_path, own):
    """Also once it reports its steps itself, in a first phase of which nothing is known."""
    spec = WorkerSpec(scenario="a", path="", folder=str(tmp_path), settings=None)
    what = info(command=Command(argv=("python", "a.py")))
    allowed = []
    for after in (None, 2.0):
        state = run_state.RunState(what, spec)
        steps = CommandSteps(state, None, after)
        if own:
            steps._listen_to(tmp_path / OWN, Policy())
        allowed.append(state.watchdog.allowance("start"))
    assert allowed == [(Policy() if own else LOG_POLICY).first_s, 2.0]


@pytest.mark.parametrize("seen", [{}, {0: 7}, {0: 7, 1: 8}])
def test_ranks_that_report_and_end_between_two_looks_are_known_by_the_end(
    tmp_path, monkeypatch, seen
):
    spec = WorkerSpec(scenario="a", path="", folder=str(tmp_path), settings=None)
    state = run_state.RunState(info(command=Command(argv=("python", "a.py"))), spec)
    state.process = Worker()
    steps = CommandSteps(state)
    steps.tracker.pids.update(seen)
    for rank in range(3):
        monkeypatch.setenv("MLX_RANK", str(rank))
        writer.open_writer(writer.home(str(tmp_path / OWN)), "harness.beats").finish()
    steps.read()
    assert steps.tracker.pids == seen, "while it runs, a rank is a process that is seen"
    steps.before_end()
    assert steps.tracker.pids == {rank: seen.get(rank, os.getpid()) for rank in range(3)}
    # Of a job of which nothing was seen, others may have run elsewhere.
    assert steps._elsewhere == (len(seen) < 2)


@pytest.mark.parametrize("seen", [{}, {0: 7}])
def test_ranks_that_only_print_and_end_between_two_looks_are_known_by_the_end(tmp_path, seen):
    """As on a busy machine, where the first exception of a job comes before the second look."""
    spec = WorkerSpec(scenario="a", path="", folder=str(tmp_path), settings=None)
    state = run_state.RunState(info(command=Command(argv=("mlx.launch", "a.py"))), spec)
    state.process = Worker()
    steps = CommandSteps(state)
    (tmp_path / OWN).mkdir()
    steps.tracker.pids.update(seen)
    for rank in range(2):
        Said(str(tmp_path / OWN), rank, "stderr").write(f"ValueError: rank {rank}\n".encode())
    steps.before_end()
    assert steps.tracker.pids.keys() == {0, 1}
    assert [steps._error(rank) for rank in range(2)] == ["ValueError: rank 0", "ValueError: rank 1"]
    steps._ranks.close()


def test_the_end_of_a_rank_is_as_it_tells_itself_where_no_launcher_tells_it(tmp_path):
    """A launcher of one's own, such as a shell, says nothing of a rank that raised."""
    spec = WorkerSpec(scenario="a", path="", folder=str(tmp_path), settings=None)
    state = run_state.RunState(info(command=Command(argv=("./start.sh",))), spec)
    state.process = Worker()
    steps = CommandSteps(state)
    (tmp_path / OWN).mkdir()
    raised = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\nValueError: no\n'
    with (tmp_path / OWN / PROCESSES).open("wb") as file:
        for pid, error in ((7, raised), (8, None)):
            line = {"k": "end", "pid": pid, "python": "3.11.2", "error": error}
            file.write(msgspec.json.encode(line) + b"\n")
    steps.tracker.pids.update({0: 7, 1: 8, 2: 9})
    steps.tracker.ended.update(dict.fromkeys(range(3), 1.0))
    ends = [steps._state(rank, None) for rank in range(3)]
    assert [(end.exit_code, end.well) for end in ends] == [(1, EXITED), (0, BY_ITSELF), (0, GONE)]
    assert ends[0].error == "ValueError: no, at a.py:3 in f"
    steps._spoken_for = True
    ends = [steps._state(rank, None) for rank in range(3)]
    assert [(end.exit_code, end.well) for end in ends] == [(0, EXITED)] * 3
