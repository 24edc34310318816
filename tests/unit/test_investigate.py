"""An investigation: what is worth a try, when it ends, how it goes on, and what it says."""

from __future__ import annotations

import argparse
import errno
import json
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from harness import cli
from harness.cli import cells, options
from harness.errors import HarnessError, UsageError
from harness.investigate import chain, judgment, releases, report, small, stages
from harness.investigate.model import Investigation, StageName, StageResult, Status
from harness.investigate.releases import chosen
from harness.model import (
    Cause,
    Command,
    Environment,
    Outcome,
    Patience,
    RunResult,
    ScenarioInfo,
    ScenarioResult,
)
from harness.reduce import Reduced
from harness.releases import bisect, plan, symptoms
from harness.releases.installer import GivenUpError
from harness.releases.plan import BisectRequest, InvestigateRequest, Plan
from harness.releases.probe import Ran
from harness.report import issue, runjson
from harness.report.input import ReportInput

LINK = {"pid": 1, "tid": 1, "name": "main", "place": "train.py:4 in step"}
LOCK = {**LINK, "wait": "lock", "detail": "waits for a Python lock"}
FUTURE = {**LINK, "wait": "future", "detail": "waits for a future"}
EVALUATES = {**LINK, "wait": "stream_evaluation", "detail": "waits for MLX"}
MUTEX = {**LINK, "wait": "lock", "detail": "waits for a mutex"}
NATIVE = {**LOCK, "place": None}
RING, DEAD = {"kind": "cycle", "sure": True}, {"kind": "dead", "sure": True}


def hung(*chain_of, end=RING, proven=True):
    cause = Cause(
        code="deadlock", summary="", proven=proven, evidence={"chain": [*chain_of], "end": end}
    )
    return result(Outcome.HUNG, cause=cause)


def result(outcome=Outcome.COMPLETED, **more):
    return ScenarioResult(
        scenario="train.py", outcome=outcome, steps_requested=None, steps_completed=1, wall_s=2.0,
        **more,
    )  # fmt: skip


def run_of(*results):
    machine = Environment(
        platform="Linux 6", machine="x86_64", python="3.11", cpu_count=2, memory=1,
        versions={"mlx": "0.32.4"},
    )  # fmt: skip
    return RunResult(
        harness_version="1", started="", environment=machine, settings=None, results=results
    )


# -- what can still change the answer


@pytest.mark.parametrize(
    "bad",
    [
        hung(FUTURE, LOCK, LOCK),
        result(Outcome.CRASHED, reason="NameError: name 'x' is not defined, at train.py:4"),
        result(Outcome.CRASHED, reason="ModuleNotFoundError: No module named 'numpy'"),
    ],
)
def test_what_is_the_program_s_own_needs_no_release(bad):
    reason = judgment.closed(run_of(bad))
    assert reason
    for stage in (StageName.ENVIRONMENT, StageName.RELEASES, StageName.REDUCE):
        assert judgment.unneeded(stage, reason, judgment.Shown(None, 0, 1)) == reason


@pytest.mark.parametrize(
    "bad",
    [
        hung(FUTURE, LOCK, end=DEAD),  # MLX may have ended it
        hung(LOCK, EVALUATES),
        hung(LOCK, MUTEX),
        hung(LOCK, NATIVE),
        hung(LOCK, LOCK, proven=False),
        hung(),
        result(Outcome.CRASHED, reason="RuntimeError: There is no Stream(cpu, 0)"),
        result(Outcome.CRASHED, reason="AttributeError: module 'mlx.core' has no attribute 'x'"),
        result(Outcome.CRASHED, reason="ModuleNotFoundError: No module named 'mlx.nn.new'"),
        result(Outcome.CRASHED, reason="AssertionError: 0.5 is not 0.4"),
        result(Outcome.CRASHED, signal="SIGSEGV", reason="killed by SIGSEGV"),
        result(Outcome.DIVERGED, reason="the loss is nan"),
    ],
)
def test_what_may_be_of_mlx_is_tried_with_other_releases(bad):
    assert judgment.closed(run_of(bad)) == ""


def test_one_run_of_another_kind_keeps_the_question_open():
    assert judgment.closed(run_of(hung(LOCK, LOCK), hung(LOCK, EVALUATES))) == ""


def test_what_cannot_be_run_is_told():
    skipped = result(Outcome.SKIPPED, reason="MLX has no gpu here")
    assert judgment.closed(run_of(skipped)) == "it cannot be run here: MLX has no gpu here"


def seen(*outcomes):
    return judgment.shown([symptoms.Symptoms(outcome=one, summary="") for one in outcomes])


def test_the_symptom_is_what_the_runs_show_and_how_often():
    now_and_then = seen(Outcome.COMPLETED, Outcome.HUNG, Outcome.COMPLETED)
    assert (str(now_and_then.when), now_and_then.shown, now_and_then.runs) == ("hung", 1, 3)
    assert not now_and_then.always
    assert seen(Outcome.HUNG, Outcome.HUNG).always


def test_a_healthy_program_is_told_so_and_what_that_is_worth():
    well = seen(*[Outcome.COMPLETED] * 3)
    assert judgment.unneeded(StageName.RELEASES, "", well) == "nothing was found to be wrong"
    text = judgment.answer((), "", "completed", well)
    assert text.startswith("nothing was found to be wrong in 3 runs")
    assert "with a probability of 73 %" in text


def test_the_answer_has_what_each_stage_found():
    made = (
        stage(StageName.RUNS, "hung, in 3 of 3 runs"),
        stage(StageName.ENVIRONMENT, "no flip cured it"),
        stage(StageName.RELEASES, "mlx 0.32.0 broke it", found=True),
    )
    text = judgment.answer(made, "", "hung in step 0", seen(Outcome.HUNG))
    assert text == "hung in step 0; mlx 0.32.0 broke it"
    assert judgment.is_answered(made, "", seen(Outcome.HUNG))
    assert not judgment.is_answered(made[:2], "", seen(Outcome.HUNG))
    assert judgment.is_answered((), "it is its own", seen(Outcome.HUNG))


def test_a_stage_leaves_time_for_those_after_it():
    left = 600.0
    for name in (StageName.RUNS, StageName.ENVIRONMENT, StageName.RELEASES):
        left -= judgment.share(name, left)
        assert left > 0
    assert judgment.share(StageName.REDUCE, left) == left


def test_a_long_run_makes_each_stage_longer():
    for name in StageName:
        assert judgment.seconds(name, 60.0, 8) > judgment.seconds(name, 3.0, 8)
    assert judgment.forecast(600.0, 8).startswith("it takes 10 min at most (--within)")


@pytest.mark.parametrize("text", ["crashed (SIGSEGV)", "crashed (RuntimeError)"])
def test_a_symptom_in_words_can_be_read_again(text):
    assert str(symptoms.parse(text)) == text


# -- the releases to try


class Index:
    """An index with its newest release, the one of a year ago, and all of them."""

    def __init__(self, newest, old, every=()):
        self._answers, self._every = {False: newest, True: old}, every

    def newest(self, package, python, before=None):
        return self._answers[before is not None]

    def releases(self, package, python, first, last, pre):
        return self._every


@pytest.mark.parametrize(
    ("index", "ends"),
    [
        (Index("0.33.0", "0.29.4"), ("0.33.0", "0.29.4")),
        (Index("0.32.4", "0.29.4"), ("0.29.4",)),
        (Index("0.32.4", "0.32.4"), ()),
        (Index(None, None), ()),
        (Index("0.32.4", None, [f"0.{n}.0" for n in range(1, 33)]), ("0.13.0",)),
    ],
)
def test_the_newest_release_may_have_mended_it_and_one_a_year_old_may_be_well(index, ends):
    assert chosen(index, Path("/py"), "0.32.4") == ends


# -- the chain


def stage(name, summary="", status=Status.DONE, **more):
    return StageResult(stage=name, status=status, summary=summary, **more)


def plan_of(within=600.0):
    target = ScenarioInfo(
        name="train.py", path="", summary="", doc="", source="",
        command=Command(argv=("/envs/mine/bin/python", "train.py")),
    )  # fmt: skip
    return Plan(
        kind="investigate", harness_version="1", cwd=str(Path.cwd()), target=target, settings=None,
        cells=(), patience=Patience(seconds=5),
        investigate=InvestigateRequest(within=within, repeat=3),
    )  # fmt: skip


@pytest.fixture
def carried_out(tmp_path, monkeypatch):
    """Carry a chain out whose stages are `ends`; returns the investigation and what was asked."""

    def carry(ends, *results, within=600.0):
        asked = []

        def made(name):
            def one(case):
                asked.append(name)
                if name is StageName.RUNS:
                    case.run, case.home = run_of(*results), tmp_path / "runs"
                    case.home.mkdir(exist_ok=True)
                    runjson.write(case.run, case.home)
                    stages.look(case)
                end = ends.get(name, stage(name, name.value, folder="runs"))
                if isinstance(end, BaseException):
                    raise end
                return end

            return one

        monkeypatch.setattr(chain, "STAGES", {name: made(name) for name in StageName})
        return chain.carry_out(
            plan_of(within), tmp_path, ["harness"], lambda _: None, lambda *_: None
        ), asked

    return carry


CRASH = result(Outcome.CRASHED, signal="SIGSEGV", reason="killed by SIGSEGV")


def test_all_stages_are_carried_out_where_each_may_say_something(carried_out, tmp_path):
    made, asked = carried_out(
        {StageName.RELEASES: stage(StageName.RELEASES, "0.32", found=True)}, CRASH
    )
    assert asked == list(StageName)
    assert made.found
    assert not made.interrupted
    document = json.loads((tmp_path / report.NAME).read_bytes())
    assert [one["stage"] for one in document["stages"]] == [name.value for name in StageName]
    assert (tmp_path / report.ISSUE).is_file()


def test_a_healthy_program_and_one_s_own_deadlock_end_after_the_runs(carried_out, tmp_path):
    for results in ([result()], [hung(LOCK, LOCK)]):
        for file in tmp_path.glob("stages.json"):
            file.unlink()
        made, asked = carried_out({}, *results)
        assert asked == [StageName.RUNS]
        assert [one.status for one in made.stages[1:]] == [Status.SKIPPED] * 3
        assert made.healthy != made.own
        assert made.found
        assert not (tmp_path / report.ISSUE).exists()  # nobody else need hear of it


def test_an_interrupted_look_calls_nothing_healthy(carried_out):
    ended = stage(StageName.RUNS, status=Status.INTERRUPTED, folder="runs")
    made, asked = carried_out({StageName.RUNS: ended}, result())
    assert asked == [StageName.RUNS]
    assert made.interrupted
    assert not made.healthy


def test_a_stage_that_fails_or_is_not_there_does_not_end_the_others(carried_out):
    made, asked = carried_out(
        {
            StageName.ENVIRONMENT: OSError(errno.ENOSPC, "No space left on device"),
            StageName.RELEASES: HarnessError("the index does not answer"),
            StageName.REDUCE: UsageError("reducing a program needs libcst"),
        },
        CRASH,
    )
    assert asked == list(StageName)
    assert [one.status for one in made.stages[1:]] == [Status.FAILED] * 2 + [Status.SKIPPED]
    assert made.stages[1].summary.startswith("No space left on device; free some space")
    assert made.stages[2].summary == "the index does not answer"
    assert not made.found


@pytest.mark.parametrize("in_a_run", [False, True])
def test_a_stage_whose_reader_has_gone_ends_all_and_is_carried_out_another_time(
    carried_out, in_a_run
):
    gone: Exception = BrokenPipeError(errno.EPIPE, "Broken pipe")
    if in_a_run:
        told = HarnessError("Broken pipe")
        told.__cause__ = gone
        gone = told
    with pytest.raises(BrokenPipeError):
        carried_out({StageName.ENVIRONMENT: gone}, CRASH)
    made, asked = carried_out({}, CRASH)
    assert asked == list(StageName)[1:]
    assert Status.FAILED not in {one.status for one in made.stages}


def test_an_interrupted_one_goes_on_where_it_was(carried_out, tmp_path):
    first, asked = carried_out({StageName.RELEASES: KeyboardInterrupt()}, CRASH)
    assert first.interrupted
    assert asked == [StageName.RUNS, StageName.ENVIRONMENT, StageName.RELEASES]
    assert "**It was interrupted" in (tmp_path / report.REPORT).read_text()
    second, asked = carried_out({}, CRASH)
    assert asked == [StageName.RELEASES, StageName.REDUCE]
    assert not second.interrupted
    assert [one.stage for one in second.stages] == list(StageName)
    assert (tmp_path / "stages.json").stat().st_mode & 0o077 == 0


def test_a_stage_whose_part_is_over_leaves_the_next_one_its_own(carried_out, tmp_path):
    late = stage(StageName.RELEASES, "not decided", status=Status.INTERRUPTED, late=True)
    small = stage(StageName.REDUCE, "a file of 9 lines", found=True)
    made, asked = carried_out({StageName.RELEASES: late, StageName.REDUCE: small}, CRASH)
    assert asked == list(StageName)
    assert not made.interrupted
    assert made.found
    assert "a file of 9 lines" in made.answer
    # Another time it is the only one that goes on.
    second, asked = carried_out({}, CRASH)
    assert asked == [StageName.RELEASES]
    assert [one.stage for one in second.stages] == list(StageName)


@pytest.mark.parametrize("at", ["good_of", "python_with", "tried_with"])
def test_a_file_is_made_also_where_the_good_release_cannot_be_had(monkeypatch, tmp_path, at):
    """An error of its environment costs what the release says of the file, and not the file."""

    def broken(*asked):
        raise (UsageError("the folder cannot be read") if at == "good_of" else OSError("no cache"))

    def reduced(source, well, **more):
        file = tmp_path / "reduce" / "reduced.py"
        asked.append(well)
        return Reduced(path=file, lines=9, tries=3, verified=True, symptom="hung", checked=(3, 3))

    asked, said = [], []
    good = SimpleNamespace(version="0.31.2")
    found = {"good_of": lambda *_: good, "python_with": lambda _: "python", "tried_with": None}
    for name, answer in {**found, at: broken}.items():
        monkeypatch.setattr(small, name, answer)
    monkeypatch.setattr("harness.reduce.reduce", reduced)
    case = SimpleNamespace(
        plan=SimpleNamespace(
            target=SimpleNamespace(command=None, path="train.py"),
            settings=None, patience=Patience(seconds=5.0),
        ),
        stages=[stage(StageName.RELEASES, found=True)],
        folder=tmp_path, say=said.append, left=lambda: 100.0, run_s=lambda: 1.0, relative=str,
    )  # fmt: skip
    made = small.reduced(case)
    assert made.found
    assert made.file == str(tmp_path / "reduce" / "reduced.py")
    assert asked == ["python" if at == "tried_with" else None]
    assert len(said) == 1
    assert ("cannot be read" if at == "good_of" else "no cache") in said[0]


def test_a_search_for_whose_releases_there_is_no_time_goes_on_another_time(monkeypatch):
    def given_up(*asked):
        raise GivenUpError("uv took over 7 s")

    monkeypatch.setattr(releases, "_answered", given_up)
    environment = SimpleNamespace(versions={"mlx": "0.32.0"})
    case = SimpleNamespace(run=SimpleNamespace(environment=environment), left=lambda: 100.0)
    made = releases.releases(case)
    assert (made.status, made.late) == (Status.INTERRUPTED, True)
    assert made.summary == "not decided: uv took over 7 s"


def test_what_is_known_of_an_undecided_search_is_told():
    cells = plan.axes({"mlx": ["1", "2", "3", "4"]}, [], [], "/py", "cpu")
    request = BisectRequest(package="mlx", good="1", bad="4", when="hung")
    whole = msgspec.structs.replace(plan_of(), kind="bisect", cells=cells, bisect=request)
    well = symptoms.of(result(), "completed")
    hangs = symptoms.of(hung(LOCK), "hung")
    runs = [Ran(cell=f"mlx-{n}", symptoms=(one,)) for n, one in ((4, hangs), (1, well), (3, hangs))]
    told = releases._narrowed(bisect.unfinished(whole, runs), whole)
    assert told == ": it shows with mlx 3, and not with 1"
    assert releases._narrowed(bisect.unfinished(whole, runs[:1]), whole) == ""
    again = msgspec.structs.replace(request, certainty=0.95)
    unsure = msgspec.structs.replace(whole, bisect=again)
    assert releases._narrowed(bisect.unfinished(unsure, runs), unsure) == ""


def test_without_time_the_rest_is_left_out_and_said(carried_out):
    made, asked = carried_out({}, CRASH, within=1.0)
    assert asked == []
    assert made.stages[0].summary == "the time was over (--within)"
    assert {one.status for one in made.stages} == {Status.SKIPPED}
    assert not made.found
    assert not made.healthy


def test_a_target_that_cannot_be_run_is_an_error_of_the_command_line(carried_out):
    with pytest.raises(UsageError):
        carried_out({StageName.RUNS: UsageError("there is no such command")}, CRASH)


def test_another_release_runs_the_command_with_its_own_python():
    assert stages.portable(plan_of()).target.command.argv == ("python", "train.py")
    script = msgspec.structs.replace(
        plan_of().target, command=Command(argv=("./train.sh", "python"))
    )
    other = msgspec.structs.replace(plan_of(), target=script)
    assert stages.portable(other).target.command.argv == ("./train.sh", "python")


# -- the report


def test_the_draft_has_the_facts_of_other_releases_and_the_small_file():
    data = ReportInput(run=run_of(CRASH))
    text = issue.draft(data, ["mlx 0.32.0 broke it: hung"], "import mlx.core as mx\n")
    assert "- mlx 0.32.0 broke it: hung" in text
    assert "```python\nimport mlx.core as mx\n```" in text
    assert "Other releases" not in issue.draft(data)


def test_the_facts_are_those_of_all_stages():
    made = Investigation(
        harness_version="1", target="x", within_s=1.0,
        stages=(stage(StageName.RUNS), stage(StageName.RELEASES, facts=("a", "b"))),
    )  # fmt: skip
    assert report.facts(made) == ("a", "b")


# -- the command line


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600.0), ("90s", 90.0), ("1h", 3600.0), ("45", 45.0)]
)
def test_a_time_is_a_number_with_a_unit(text, seconds):
    assert options.span(text) == seconds


@pytest.mark.parametrize("text", ["0", "soon", "-5m", "5 days"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        options.span(text)


def test_a_file_that_is_no_scenario_is_a_script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text("print('step 1 loss 0.5')\n")
    Path("mine.py").write_text("def make_step(training):\n    return lambda x: x\n")

    def taken(name):
        given = argparse.Namespace(words=["investigate", name], target=[name])
        cells.take_script(given)
        return given.words

    assert taken("train.py")[-2:][1] == "train.py"
    assert "--" in taken("train.py")
    assert taken("mine.py") == ["investigate", "mine.py"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give one scenario, or a command"),
        (["--within", "soon", "x.py"], "must be a time such as 10m"),
        (["--continue", "elsewhere"], "is not the folder of an investigation"),
        (["--continue", "elsewhere", "--within", "5m"], "cannot be given with --continue"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) if "soon" in words else _nothing():
        assert cli.main(["investigate", *words]) == 2
    assert message in capsys.readouterr().err


def _nothing():
    from contextlib import nullcontext

    return nullcontext()
