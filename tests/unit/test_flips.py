"""The environment ladder: what is tried, what is still needed, and when a cure is one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from types import SimpleNamespace

import pytest

from harness import cli
from harness.flips import certainty, judge, plan, table
from harness.flips.certainty import Counts
from harness.inject.inside import flips as inside
from harness.model import (
    Cause,
    Command,
    Environment,
    FlipVerdict,
    Outcome,
    RunResult,
    ScenarioInfo,
    ScenarioResult,
    Settings,
)
from harness.privacy import VARIABLES
from harness.report.input import ReportInput
from harness.report.sections import ladder as section

TRAIN = ScenarioInfo(
    name="train.py", path="", summary="", doc="", source="",
    command=Command(argv=("python", "train.py"), variables={"A": "1"}),
)  # fmt: skip
DEADLOCK = Cause(code="deadlock", summary="two locks", proven=True)


def result(name, outcome=Outcome.COMPLETED, repeat=0, **more):
    if outcome is Outcome.HUNG:
        more = {"cause": DEADLOCK, **more}
    return ScenarioResult(
        scenario=name, outcome=outcome, steps_requested=None, steps_completed=1, wall_s=1.0,
        repeat=repeat, **more,
    )  # fmt: skip


def run_of(results, **versions):
    machine = Environment(
        platform="Linux 6", machine="x86_64", python="3.11", cpu_count=2, memory=1,
        versions=versions,
    )  # fmt: skip
    return RunResult(
        harness_version="1", started="", environment=machine, settings=None, results=tuple(results)
    )


def made(*names, limit=plan.LIMIT):
    return plan.ladder(TRAIN, {}, "cpu", names or None, limit)


# -- the table and the plan


def test_each_flip_has_a_name_a_reason_and_one_change():
    names = [flip.name for flip in table.FLIPS]
    assert len(set(names)) == len(names)
    for flip in table.FLIPS:
        assert flip.why
        assert flip.hooked == (flip.name in inside.MODULES)
        assert set(flip.variables) <= {*VARIABLES, "CUDA_LAUNCH_BLOCKING"}


def test_what_other_machines_have_is_left_out_and_said():
    ladder = plan.ladder(TRAIN, {"OMP_NUM_THREADS": "4"}, "cpu")
    reasons = {one.name: one.reason for one in ladder.left_out}
    assert reasons["other_synch"] == "it is for Metal; this machine has the CPU backend"
    assert reasons["one_op_per_buffer"] == (
        "it is for Metal and CUDA; this machine has the CPU backend"
    )
    assert reasons["one_omp_thread"] == "it is set to 4 already"
    tried = {flip.name for flip in ladder.flips}
    assert {"no_compile", "one_worker", "no_cache", "one_blas_thread"} <= tried
    assert not tried & set(reasons)
    assert tried | set(reasons) == {flip.name for flip in table.FLIPS}


def test_metal_and_cuda_have_flips_of_their_own():
    metal = {flip.name for flip in plan.ladder(TRAIN, {}, "metal").flips}
    cuda = {flip.name for flip in plan.ladder(TRAIN, {}, "cuda").flips}
    assert {"other_synch", "no_wiring", "device_cpu", "one_veclib_thread"} <= metal
    assert {"no_cuda_graphs", "blocking_launches", "device_cpu"} <= cuda
    assert "no_cuda_graphs" not in metal
    assert "other_synch" not in cuda


def test_a_variant_of_a_command_is_the_command_with_one_variable_more():
    (flip,) = made("no_compile").flips
    info = plan.variant(TRAIN, flip)
    assert info.command.argv == TRAIN.command.argv
    assert info.command.variables == {"A": "1", "MLX_DISABLE_COMPILE": "1"}
    assert info.summary == flip.why


def test_a_variant_of_a_scenario_has_the_variable_in_its_worker():
    scenario = ScenarioInfo(name="mine", path="mine.py", summary="", doc="", source="")
    (flip,) = made("no_cache").flips
    assert plan.variant(scenario, flip).variables == {"HARNESS_FLIP": "no_cache"}
    assert plan.runs(plan.Ladder(scenario, (flip,), (), 2), Settings())[0].settings == Settings()


def test_no_run_is_planned_twice():
    runs = [(run.info.name, run.repeat) for run in plan.runs(made(limit=4), None)]
    assert len(set(runs)) == len(runs)
    assert runs[:5] == [*(("train.py", n) for n in range(4)), ("no_compile", 0)]


# -- what is needed, and what it says


def carried_out(ladder, shows, changed=lambda name, repeat: 1, go_on=lambda: True, **versions):
    """The ladder of a training whose outcomes `shows` gives; returns the run and its ladder."""
    deciding = judge.LadderJudge(ladder, go_on)
    deciding._assessed = lambda run, folder: judge.assessed(ladder, run, changed)
    results = []
    for planned in plan.runs(ladder, None):
        run = run_of(results, **versions)
        if deciding.wanted(planned, run, (), None):
            outcome = shows(planned.info.name, planned.repeat)
            results.append(result(planned.info.name, outcome, planned.repeat))
    run = run_of(results, **versions)
    return [one.scenario for one in results], judge.assessed(ladder, run, changed)


def verdicts(seen):
    return {one.name: one.verdict for one in seen.flips}


def always(name, repeat):
    return Outcome.HUNG


def test_a_hang_that_always_comes_takes_one_run_of_each_flip_and_three_of_the_cure():
    ladder = made()
    names, seen = carried_out(
        ladder, lambda name, _: Outcome.COMPLETED if name == "no_compile" else Outcome.HUNG
    )
    assert verdicts(seen).pop("no_compile") is FlipVerdict.CURED
    assert list(verdicts(seen).values()).count(FlipVerdict.NOT_CURED) == len(ladder.flips) - 1
    assert names.count("no_compile") == 3
    assert all(names.count(flip.name) == 1 for flip in ladder.flips if flip.name != "no_compile")
    assert names[:3] == ["train.py"] * 3
    assert seen.symptom == "hung"
    assert section.answer(seen).startswith("MLX_DISABLE_COMPILE=1 cured it: hung, in ")


def test_one_run_without_the_symptom_is_no_cure():
    names, seen = carried_out(
        made("no_compile", "no_cache", limit=1),
        lambda name, _: Outcome.COMPLETED if name == "no_compile" else Outcome.HUNG,
    )
    assert verdicts(seen)["no_compile"] is FlipVerdict.UNDECIDED
    assert names == ["train.py", "no_compile", "no_cache"]


def test_a_healthy_training_is_told_so_and_nothing_is_flipped():
    names, seen = carried_out(made(limit=4), lambda *_: Outcome.COMPLETED)
    assert names == ["train.py"] * 4
    assert seen.symptom is None
    assert section.answer(seen) == "the plain training showed nothing wrong in 4 runs"


def test_a_flip_that_had_nothing_to_change_is_a_plain_run_more():
    names, seen = carried_out(
        made("one_worker", "no_compile"), always, changed=lambda name, repeat: 0
    )
    assert verdicts(seen)["one_worker"] is FlipVerdict.NO_EFFECT
    assert names.count("one_worker") == 1
    # However often it completes by chance.
    _, seen = carried_out(
        made("one_worker", "no_compile"),
        lambda name, _: Outcome.COMPLETED if name == "one_worker" else Outcome.HUNG,
        changed=lambda name, repeat: 0,
    )
    assert verdicts(seen)["one_worker"] is FlipVerdict.NO_EFFECT


def test_another_failure_is_no_cure():
    names, seen = carried_out(
        made("no_compile", "no_cache"),
        lambda name, _: Outcome.CRASHED if name == "no_cache" else Outcome.HUNG,
    )
    assert verdicts(seen)["no_cache"] is FlipVerdict.FAILED
    assert names.count("no_cache") == 2


def test_a_release_that_does_not_know_a_variable_does_not_try_it():
    names, seen = carried_out(made("depth_first", "no_compile"), always, mlx="0.20.0")
    assert "depth_first" not in names
    assert [one.reason for one in seen.left_out if one.name == "depth_first"] == [
        "mlx 0.20.0 does not know it; it came with 0.21.0"
    ]


def test_a_run_that_the_user_ended_says_nothing():
    ladder = made("no_compile")
    ended = result("no_compile", Outcome.UNFINISHED, reason="interrupted in step 1")
    run = run_of([*(result("train.py", Outcome.HUNG, n) for n in range(3)), ended])
    (flip,) = judge.assessed(ladder, run, lambda *_: 1).flips
    assert (flip.shown, flip.absent, flip.other) == (0, 0, 0)
    assert flip.verdict is FlipVerdict.UNDECIDED


def test_without_time_no_run_is_wanted():
    names, seen = carried_out(made(), always, go_on=lambda: False)
    assert names == []
    assert seen.symptom is None


def drawn(draw, rate, cure=None, count=8, limit=11):
    """The flips that a ladder of `count` flips calls a cure, where a hang comes at `rate`."""

    def run(flip=-1):
        return int(flip == cure or draw.random() >= rate)

    plain, flips = [0, 0], {n: [0, 0] for n in range(count)}
    while sum(plain) < limit and (sum(plain) < plan.FIRST or not plain[0]):
        plain[run()] += 1
    cured = set()
    for _ in range(limit if plain[0] else 0):
        sure = certainty.cures(Counts(*plain), {n: Counts(*c) for n, c in flips.items()})
        cured = {
            n for n, (shown, absent) in flips.items()
            if not shown and absent >= judge.AT_LEAST and sure[n] >= certainty.CERTAINTY
        }  # fmt: skip
        for n in flips:
            if not flips[n][0] and n not in cured:
                flips[n][run(n)] += 1
        plain[run()] += 1
    return cured


@pytest.mark.unmeasured
@pytest.mark.parametrize("rate", [0.3, 0.6, 0.8, 0.9, 0.95])
def test_a_hang_that_comes_now_and_then_is_cured_by_no_chance(rate):
    """Of 150 ladders without a cure at most 5 % may name one."""
    draw = random.Random(7)
    assert sum(bool(drawn(draw, rate)) for _ in range(150)) <= 7


@pytest.mark.unmeasured
def test_a_cure_of_a_hang_that_comes_mostly_is_found():
    draw = random.Random(3)
    assert sum(drawn(draw, 0.8, cure=0) == {0} for _ in range(40)) >= 34


def test_the_probability_grows_with_each_run_and_falls_to_nothing():
    def of(absent, shown=0):
        return certainty.cures(Counts(3, 0), {"a": Counts(shown, absent)})["a"]

    assert pytest.approx(certainty.cures(Counts(), {"a": Counts()})["a"]) == certainty.CURES
    assert of(0) == pytest.approx(certainty.CURES)
    assert of(1) < of(2) < of(5) < 1
    assert of(9, shown=1) == 0


def test_flips_that_show_it_make_another_one_surer():
    alone = certainty.cures(Counts(3, 0), {"a": Counts(0, 2)})["a"]
    others = {f"b{n}": Counts(1, 0) for n in range(8)}
    assert certainty.cures(Counts(3, 0), {"a": Counts(0, 2), **others})["a"] > alone


# -- the report


def test_the_report_has_the_flips_the_reasons_and_what_was_not_tried():
    _, seen = carried_out(
        made(), lambda name, _: Outcome.COMPLETED if name == "no_compile" else Outcome.HUNG
    )
    text = section.ladder(ReportInput(run=RunResult(
        harness_version="1", started="", environment=run_of([]).environment, settings=None,
        ladder=seen,
    )))  # fmt: skip
    rows = [line for line in text.splitlines() if line.startswith("| `no_compile`")]
    assert len(rows) == 1
    assert "cured it | 0 of 3" in rows[0]
    assert "no function is compiled" in rows[0]
    assert text.count("did not cure it") == len(seen.flips) - 1
    assert "| `one_op_per_buffer`" not in text
    assert section.ladder(ReportInput(run=run_of([]))) == ""


# -- inside a Python


def test_pools_get_one_worker_and_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv(inside.FLIP, "one_worker")

    class ThreadPoolExecutor:
        def __init__(self, max_workers=None, prefix=""):
            self.got = max_workers

    class ProcessPoolExecutor(ThreadPoolExecutor):
        def __init__(self, max_workers=None):
            self.got = max_workers

    for name, kind in (("thread", ThreadPoolExecutor), ("process", ProcessPoolExecutor)):
        module = SimpleNamespace(__name__=f"concurrent.futures.{name}", **{kind.__name__: kind})
        inside.wrap(module, str(tmp_path))
    assert ThreadPoolExecutor(4).got == 1
    assert ThreadPoolExecutor(prefix="x").got == 1
    assert ProcessPoolExecutor(max_workers=8).got == 1
    assert (tmp_path / inside.FLIPPED).read_text().count("\n") == 3
    assert ThreadPoolExecutor(1).got == 1
    assert (tmp_path / inside.FLIPPED).read_text().count("\n") == 3


def test_a_loader_without_workers_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv(inside.FLIP, "one_worker")

    class DataLoader:
        def __init__(self, dataset, batch_size=1, shuffle=None, sampler=None,
                     batch_sampler=None, num_workers=0):  # fmt: skip
            self.got = num_workers

    module = SimpleNamespace(__name__="torch.utils.data.dataloader", DataLoader=DataLoader)
    inside.wrap(module, str(tmp_path))
    assert DataLoader([]).got == 0
    assert not (tmp_path / inside.FLIPPED).exists()
    assert DataLoader([], num_workers=4).got == 1
    assert DataLoader([], 1, None, None, None, 4).got == 1


@pytest.mark.parametrize(
    ("flip", "called"),
    [("device_cpu", ["cpu"]), ("no_cache", [0]), ("no_wiring", [])],
)
def test_mlx_gets_its_setting_as_it_is_imported(flip, called, tmp_path, monkeypatch):
    monkeypatch.setenv(inside.FLIP, flip)
    calls = []
    module = SimpleNamespace(
        __name__="mlx.core", cpu="cpu", set_default_device=calls.append,
        set_cache_limit=calls.append, set_wired_limit=calls.append,
    )  # fmt: skip
    inside.wrap(module, str(tmp_path))
    assert calls == called
    if flip != "device_cpu":
        getattr(module, "set_cache_limit" if flip == "no_cache" else "set_wired_limit")(1 << 30)
        assert calls == called
        assert "was ignored" in (tmp_path / inside.FLIPPED).read_text()


def test_the_hook_flips_in_a_python_of_its_own(tmp_path):
    """A pool of a program that knows nothing of it; another setting is left alone."""
    from harness import inject

    code = (
        "from concurrent.futures import ThreadPoolExecutor as T, ProcessPoolExecutor as P\n"
        "import multiprocessing as m, multiprocessing.pool\n"
        "print(T(4)._max_workers, P(4)._max_workers, m.get_start_method())\n"
    )
    for flip, printed in (
        ("one_worker", ("1", "1", None)),
        ("spawned_workers", ("4", "4", "spawn")),
        ("no_cache", ("4", "4", None)),
    ):
        folder = tmp_path / flip
        folder.mkdir()
        environ = inject.environment(folder, {**os.environ, inside.FLIP: flip}, hook=True)
        answer = subprocess.run(
            [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
        )
        said = answer.stdout.split()
        assert all(want in (None, got) for want, got in zip(printed, said, strict=True)), said
        assert inject.flips_made(folder) == (2 if flip == "one_worker" else 0)


# -- the command line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--variants", "builtin:environment"], "needs a command: add -- COMMAND"),
        (["--", "python", "train.py"], "a command needs --variants builtin:environment"),
        (
            ["--variants", "builtin:environment", "--stop-after", "1", "--", "python"],
            "--stop-after cannot be used with --variants builtin:environment",
        ),
        (["--variants", "builtin:environment", "-k", "nothing_at_all", "--", "python"],
         "leave no scenario"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_before_anything_runs(words, message, capsys):
    assert cli.main(["run-all", *words]) == 2
    assert message in capsys.readouterr().err
