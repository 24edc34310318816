"""A run that is added to: what it was stays, and what would not be comparable is refused."""

from __future__ import annotations

import json
import math
import shlex
import stat
from types import SimpleNamespace

import fakes
import msgspec
import pytest

from harness import cli
from harness.cli import continuing
from harness.cli import run as command
from harness.errors import UsageError
from harness.model import Host, Hostfile, LeftOut, OnHang, Outcome, Settings
from harness.privacy.personal import Personal
from harness.report import runjson
from harness.scenario import load
from harness.session import begin, jobs, plan, resume, under_way
from harness.session import execute as session
from harness.session.folder import PLAN, path_to_continue
from harness.session.plan import Options

SETTINGS = Settings(steps=4)
HOSTS = Hostfile(hosts=(Host(ssh="a", ips=("10.0.0.1",)), Host(ssh="b", ips=("10.0.0.2",))))


class Done(SimpleNamespace):
    __hash__ = object.__hash__


class Machine:
    """The scheduler, on which whatever is started completes at once; or what is told instead."""

    def __init__(self):
        self.ran = []
        self.outcome = Outcome.COMPLETED
        self.usage = None
        self.interrupted = False

    def run(self, jobs, _, observer, _interrupts, keep_going, wanted, followers):
        for index, start in enumerate(jobs):
            if not keep_going() or not wanted(index) or (self.interrupted and index):
                continue
            job = start()
            observer.started(job)
            observer.finished(job, job.result)
        return (), self.interrupted

    def job(self, info, spec, *_):
        self.ran.append((info.name, spec))
        result = fakes.result(info.name, self.outcome, repeat=spec.repeat)
        error = SimpleNamespace(usage=True, message=self.usage) if self.usage else None
        return Done(info=info, error=error, mlx=None, result=result)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    made = Machine()
    monkeypatch.setattr(session.scheduler, "run", made.run)
    monkeypatch.setattr(jobs, "Job", made.job)
    monkeypatch.setattr(begin.environment, "gather", lambda: fakes.ENVIRONMENT)
    monkeypatch.chdir(tmp_path)
    return made


class Watcher:
    def started(self, job): ...
    def finished(self, job, result): ...


def carry_out(words, settings=SETTINGS, repeats=1, **how):
    runs = plan.make(load.find(words), settings, repeats)
    return session.execute(runs, settings, Options(**how), Watcher(), ("first", *words))


def go_on(folder, words, repeats=1):
    with resume.opened(folder) as earlier:
        runs = resume.runs_to_add(earlier, words, repeats)
        how = resume.options(earlier, Options())
        given = (runs, earlier.plan.settings, how, Watcher(), ("then", *words))
        return session.execute(*given, earlier=earlier)[0]


def keys(run):
    return [(one.scenario, one.repeat) for one in run.results]


def mine(folder, name="mine", step="return training.step"):
    file = folder / f"{name}.py"
    file.write_text(f'"""Mine."""\ndef make_step(training):\n    {step}\n')
    return file


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_old_results_stay_and_repeats_are_numbered_on(machine):
    first, folder = carry_out(["baseline_update"], repeats=2)
    went = go_on(folder, ["baseline_update", "compiled_step"], 2)
    assert keys(went) == [("baseline_update", 0), ("baseline_update", 1),
                          ("baseline_update", 2), ("compiled_step", 0),
                          ("baseline_update", 3), ("compiled_step", 1)]  # fmt: skip
    assert went.results[:2] == first.results
    assert [info.name for info in went.scenarios] == ["baseline_update", "compiled_step"]
    assert (went.started, went.command) == (first.started, first.command)
    assert [one.command for one in went.continued] == [("then", "baseline_update", "compiled_step")]
    assert [one.scenario for one in went.repeats] == ["baseline_update", "compiled_step"]
    assert {spec.settings.steps for _, spec in machine.ran} == {4}
    assert keys(runjson.read(folder)) == keys(went)
    for name in ("report.md", "report.html", "junit.xml"):
        assert "compiled_step" in (folder / name).read_text(encoding="utf-8")
    assert "then baseline_update compiled_step" in (folder / "report.md").read_text("utf-8")


def test_what_it_was_run_with_is_kept_for_this_user_alone(machine):
    settings = Settings(ranks=2, learning_rate=math.inf, model="some/model")
    how = {"budget": 7.5, "jobs": 3, "cold": True, "on_hang": OnHang.KEEP, "hostfile": HOSTS}
    _, folder = carry_out(["baseline_update"], settings, **how)
    assert stat.S_IMODE((folder / PLAN).stat().st_mode) == 0o600
    with resume.opened(folder) as earlier:
        assert earlier.plan.settings == settings
        told = resume.options(earlier, Options(stop_after=2))
        assert told == Options(stop_after=2, out=folder.parent, **how)
    go_on(folder, ["baseline_update"])
    assert [(spec.ranks, spec.hostfile) for _, spec in machine.ran] == [(2, HOSTS)] * 2


def test_names_that_are_redacted_lead_to_what_they_stand_for(machine, tmp_path, monkeypatch):
    owner = Personal(users=("kowalska",), folders=((str(tmp_path), "<project>"),))
    monkeypatch.setattr(under_way.personal, "gather", lambda: owner)
    file = mine(tmp_path, "kowalska_step")
    _, folder = carry_out([str(file)])
    published = runjson.read(folder)
    assert "kowalska" not in (folder / "run.json").read_text()
    went = go_on(folder, ["kowalska_step"])
    assert keys(went) == [("kowalska_step", 0), ("kowalska_step", 1)]
    again = runjson.read(folder)
    assert again.results[0] == published.results[0]
    assert again.scenarios == published.scenarios
    assert "kowalska" not in (folder / "run.json").read_text()
    assert (folder / "kowalska_step" / "1").is_dir()


def test_what_was_left_out_is_so_no_more_once_it_was_run(machine, tmp_path):
    first, folder = carry_out(["baseline_update"])
    left = (LeftOut(scenario="baseline_update", repeat=1, reason="x"),)
    runjson.write(msgspec.structs.replace(first, left_out=left), folder)
    assert go_on(folder, ["compiled_step"]).left_out == left
    assert go_on(folder, ["baseline_update"]).left_out == ()


def test_an_interrupt_leaves_the_old_results_and_is_told(machine):
    first, folder = carry_out(["baseline_update"])
    machine.interrupted = True
    went = go_on(folder, ["compiled_step", "sgd_step"])
    assert keys(went) == [("baseline_update", 0), ("compiled_step", 0)]
    assert went.results[0] == first.results[0]
    assert went.interrupted
    machine.interrupted = False
    after = go_on(folder, ["sgd_step"])
    assert after.interrupted
    assert [one.interrupted for one in after.continued] == [True, False]


def test_a_mistake_that_a_worker_finds_leaves_the_run_as_it_was(machine):
    _, folder = carry_out(["baseline_update"])
    before = files(folder)
    machine.usage = "the model is broken"
    with pytest.raises(UsageError, match="broken"):
        go_on(folder, ["baseline_update", "compiled_step"])
    assert files(folder) == before
    assert not (folder / "compiled_step").exists()


def test_a_run_that_is_under_way_is_left_alone(machine):
    _, folder = carry_out(["baseline_update"])
    with resume.opened(folder), pytest.raises(UsageError, match="under way"):
        go_on(folder, ["baseline_update"])
    go_on(folder, ["baseline_update"])


def test_what_is_no_run_of_scenarios_is_refused(machine, tmp_path):
    def refused(folder):
        with pytest.raises(UsageError) as caught:
            go_on(folder, ["baseline_update"])
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "not a run folder" in refused(tmp_path / "none")
    assert "not a run folder" in refused(tmp_path)
    made, folder = carry_out(["baseline_update"])
    (folder / PLAN).write_text("{")
    assert PLAN in refused(folder)
    (folder / PLAN).unlink()
    assert PLAN in refused(folder)
    assert path_to_continue(folder) is None
    runjson.write(msgspec.structs.replace(made, settings=None), folder)
    assert "commands" in refused(folder)
    document = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(document | {"schema": 2}))
    assert "schema 2" in refused(folder)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("machine", "arm64", "machine x86_64 then, arm64 now"),
        ("versions", {"mlx": "0.40"}, "mlx 0.32.4 then, 0.40 now"),
        ("variables", {}, "MLX_DISABLE_COMPILE 1 then, none now"),
        ("swap", 1 << 30, None),
    ],
)
def test_results_of_another_world_are_not_added(machine, monkeypatch, field, value, told):
    _, folder = carry_out(["baseline_update"])
    now = msgspec.structs.replace(fakes.ENVIRONMENT, **{field: value})
    monkeypatch.setattr(begin.environment, "gather", lambda: now)
    before = files(folder)
    if told is None:
        go_on(folder, ["baseline_update"])
        return
    with pytest.raises(UsageError) as caught:
        go_on(folder, ["baseline_update"])
    assert told in str(caught.value)
    assert files(folder) == before


def test_nor_those_of_another_version_of_the_harness(machine, monkeypatch):
    _, folder = carry_out(["baseline_update"])
    monkeypatch.setattr(resume, "__version__", "99")
    with pytest.raises(UsageError, match="99 now"):
        go_on(folder, ["baseline_update"])


def test_a_name_is_first_that_of_the_runs_own_scenario(machine, tmp_path, monkeypatch):
    file = mine(tmp_path, "baseline_update")
    _, folder = carry_out(["baseline_update.py"])
    folder = folder.resolve()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    other = mine(elsewhere, "other")
    went = go_on(folder, ["baseline_update", "other.py"])
    assert [spec.path for _, spec in machine.ran] == [str(file), str(file), str(other)]
    assert went.scenarios[0].path == "baseline_update.py"
    # Wherever it is gone on from.
    monkeypatch.chdir(tmp_path)
    go_on(folder, ["other"])
    assert machine.ran[-1][1].path == str(other)


def test_a_scenario_that_is_not_what_it_was_is_refused(machine, tmp_path):
    file = mine(tmp_path)
    _, folder = carry_out(["mine.py"])
    mine(tmp_path, step="return training.model")
    with pytest.raises(UsageError, match="has changed"):
        go_on(folder, ["mine"])
    with pytest.raises(UsageError, match="another scenario"):
        go_on(folder, ["mine.py"])
    file.unlink()
    with pytest.raises(UsageError, match="does not exist"):
        go_on(folder, ["mine"])
    go_on(folder, ["baseline_update"])


def test_what_is_no_file_by_the_end_of_the_call_cannot_be_added_to(machine):
    (info,) = load.find(["baseline_update"])
    function = msgspec.structs.replace(info, source="def make_step(training): ...")
    own = msgspec.structs.replace(info, settings={"steps": 3})
    for one in (function, own):
        runs = plan.make([one], SETTINGS, 1)
        _, folder = session.execute(runs, SETTINGS, Options(), Watcher(), ("harness.run",))
        assert path_to_continue(folder) is None


def test_the_options_that_are_given_also_where_they_are_the_default():
    words = ["run", "baseline_update", "--continue", "x", "--steps", "10", "--jobs=1", "-q"]
    given = {"scenario", "earlier", "steps", "jobs", "quiet"}
    assert set(continuing.given_options(words, command._add_options)) == given
    assert set(
        continuing.given_options([*words, "--no-collective-beats"], command._add_options)
    ) == {
        *given,
        "collective_beats",
    }


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ("--steps 4", True),
        ("--steps 10", False),
        ("--budget 5 --jobs 2 --ranks 1", True),
        ("--budget 600", False),
        ("--jobs 1", False),
        ("--cold", False),
        ("--full", False),
        ("--no-collective-beats", False),
        ("--model micro", False),
        ("--out reports", True),
        ("--out elsewhere", False),
        ("--repeat 3 --stop-after 2 --fail-on none -v", True),
    ],
)
def test_options_must_be_those_of_the_run(machine, capsys, given, same):
    _, folder = carry_out(["baseline_update"], budget=5.0, jobs=2)
    before = files(folder)
    code = cli.main(["run", "sgd_step", "--continue", str(folder), *given.split()])
    assert code == (0 if same else 2)
    told = capsys.readouterr().err
    if not same:
        assert given.split()[0] in told
        assert files(folder) == before


def test_the_exit_code_is_that_of_what_was_added(machine):
    machine.outcome = Outcome.CRASHED
    _, folder = carry_out(["baseline_update"])
    again = ["run", "baseline_update", "--continue", str(folder)]
    assert cli.main(again) == 1
    machine.outcome = Outcome.COMPLETED
    assert cli.main(again) == 0
    machine.interrupted = True
    assert cli.main(again) == 130
    machine.interrupted = False
    assert cli.main(again) == 0


def test_the_next_run_is_one_to_paste(machine, tmp_path):
    made, folder = carry_out(["baseline_update"], out=tmp_path / "my reports")
    words = shlex.split(made.diagnosis.next_experiment)
    assert words[:5] == ["python", "-m", "harness", "run", "compiled_step"]
    assert words[5:] == ["--continue", f"my reports/{folder.name}"]
    assert cli.main(words[3:]) == 0
    assert runjson.read(folder).diagnosis.next_experiment.startswith(
        f"python -m harness run uncompiled_step --continue 'my reports/{folder.name}'"
    )


def test_run_all_adds_what_is_missing(machine, capsys):
    _, folder = carry_out(["baseline_update", "sgd_step"])
    words = ["run-all", "-k", "baseline or sgd or tiny", "--continue", str(folder)]
    assert cli.main(words) == 0
    results = runjson.read(folder).results
    names = [result.scenario for result in results]
    assert sorted(set(names)) == sorted(names)  # none was run again
    assert {"baseline_update", "sgd_step", "tiny_model"} <= set(names)
    capsys.readouterr()
    assert cli.main(words) == 2
    assert "has a result of each scenario; to repeat one, run: " in capsys.readouterr().err
    assert cli.main([*words, "--steps", "99"]) == 2
    assert "--steps cannot differ from the run that is continued" in capsys.readouterr().err
