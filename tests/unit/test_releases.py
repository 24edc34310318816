"""Releases, cells, symptoms and answers: everything about them that starts no process."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from harness import cli
from harness.cli.bisect import certainty
from harness.errors import UsageError
from harness.model import (
    Cause,
    Finding,
    KnownIssueMatch,
    Located,
    Origin,
    Outcome,
    Sameness,
    ScenarioInfo,
    ScenarioResult,
    Severity,
)
from harness.model.run import Environment, Metrics, RunResult, StepTimes
from harness.releases import bisect, installer, matrix, plan, probe, symptoms, versions
from harness.releases.plan import BisectRequest, Plan
from harness.releases.probe import Ran
from harness.releases.search import Answer, Seen
from harness.releases.symptoms import Symptoms, When
from harness.report import runjson

INDEX = ("0.25.2", "0.30.10", "0.30.9", "0.31.0rc1", "0.31.0", "0.32.0.dev1", "0.32.0", "old-one")


def test_releases_are_those_between_in_their_order():
    assert versions.between(INDEX, "0.32.0", "0.30.9") == ("0.30.9", "0.30.10", "0.31.0", "0.32.0")


def test_pre_releases_come_on_request():
    found = versions.between(INDEX, "0.30.10", "0.32.0", pre=True)
    assert found == ("0.30.10", "0.31.0rc1", "0.31.0", "0.32.0.dev1", "0.32.0")


def test_an_end_may_be_a_pre_release_or_unknown_to_the_index():
    found = versions.between(INDEX, "0.31.0rc1", "0.33")
    assert found == ("0.31.0rc1", "0.31.0", "0.32.0", "0.33")


def test_the_same_release_at_both_ends_is_refused():
    with pytest.raises(UsageError, match="give two different ones"):
        versions.between(INDEX, "0.31", "0.31.0")


@pytest.mark.parametrize("text", ["newest", "", "0.31.2,"])
def test_what_is_no_version_is_refused(text):
    with pytest.raises(UsageError, match="is not a version"):
        versions.parse(text)


def test_a_package_has_one_name():
    assert versions.package("MLX_LM") == "mlx-lm"
    with pytest.raises(UsageError, match="give the name alone"):
        versions.package("mlx>=0.3")


@pytest.mark.parametrize("text", ["./mine", "mine @ file:///tmp/mine", "-e ."])
def test_a_folder_is_no_package_of_the_index(text):
    with pytest.raises(UsageError, match="PYTHONPATH"):
        versions.requirement(text)


# -- cells


def test_cells_are_all_combinations_with_a_name_each():
    cells = plan.axes({"mlx": ["0.31.2", "0.32.0"]}, ["3.11", "3.13"], ["numpy"], "/py", "cpu")
    assert [cell.name for cell in cells] == [
        "mlx-0.31.2_python-3.11", "mlx-0.31.2_python-3.13",
        "mlx-0.32.0_python-3.11", "mlx-0.32.0_python-3.13",
    ]  # fmt: skip
    assert cells[0].requirements == ("mlx[cpu]==0.31.2", "numpy")
    assert cells[3].python == "3.13"


def test_a_cell_of_another_package_has_mlx_too_unless_its_version_is_given():
    (cell,) = plan.axes({"mlx-lm": ["0.31.2"]}, [], [], "/py", "metal")
    assert cell.requirements == ("mlx-lm==0.31.2", "mlx")
    (cell,) = plan.axes({"mlx-lm": ["0.31.2"]}, [], ["mlx[cpu]==0.31.0"], "/py", "cpu")
    assert cell.requirements == ("mlx-lm==0.31.2", "mlx[cpu]==0.31.0")


def test_a_command_gets_what_is_named_alone():
    (cell,) = plan.axes({"steady": ["2"]}, [], ["numpy"], "/py", "cpu", worker=False)
    assert cell.requirements == ("steady==2", "numpy")
    # mlx-lm brings MLX without its backend.
    (cell,) = plan.axes({"mlx-lm": ["0.31.2"]}, [], [], "/py", "cpu", worker=False)
    assert cell.requirements == ("mlx-lm==0.31.2", "mlx[cpu]")


def test_a_path_without_a_package_is_an_environment_of_ones_own():
    cells = plan.axes({}, ["a/old/bin/python", "b/old/bin/python"], [], "/py", "cpu")
    assert [cell.name for cell in cells] == ["python-old", "python-old-2"]
    assert all(cell.own and cell.requirements == () for cell in cells)
    with pytest.raises(UsageError, match="used as it is"):
        plan.axes({}, ["a/old/bin/python"], ["numpy"], "/py", "cpu")


def test_a_path_with_a_package_is_what_environments_are_made_from():
    (cell,) = plan.axes({"mlx": ["0.32.0"]}, ["/opt/python"], [], "/py", "cpu")
    assert not cell.own
    assert cell.python == "/opt/python"


def test_a_plan_is_data():
    whole = searching("0.31.0", "0.32.4", ["0.31.0", "0.32.0", "0.32.4"])
    raw = msgspec.json.encode(whole)
    assert msgspec.json.decode(raw, type=Plan) == whole


# -- what pip and uv say


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        (
            "  x\nERROR: Could not find a version that satisfies mlx==9 (from versions: 0.2.0)\n"
            "ERROR: No matching distribution found for mlx==9\n",
            "No matching distribution found for mlx==9",
        ),
        (
            "  × No solution found when resolving dependencies:\n"
            "  ╰─▶ Because there is no version of mlx==9\n      and you require it, no.\n",
            "Because there is no version of mlx==9 and you require it, no.",
        ),
        (
            "error: No solution found\n  cause: Because there is no version\nhint: try another\n",
            "Because there is no version",
        ),
        ("something else\n", "something else"),
        ("", ""),
    ],
)
def test_the_reason_is_the_one_line_that_says_it(errors, reason):
    assert installer.reason(errors) == reason


# -- symptoms


def result(outcome=Outcome.COMPLETED, **more):
    return ScenarioResult(
        scenario="x", outcome=outcome, steps_requested=3, steps_completed=3, wall_s=1.0, **more
    )


def symptom(outcome=Outcome.COMPLETED, **more):
    return Symptoms(outcome=outcome, summary=outcome.value, **more)


HUNG = symptom(Outcome.HUNG, cause="deadlock", fingerprint="aa")


def test_symptoms_are_taken_from_the_result():
    cause = Cause(code="deadlock", summary="", proven=True, evidence={"fingerprint": "aa"})
    finding = Finding(code="graph_growth", severity=Severity.WARNING, summary="")
    other = Finding(code="steps_printed", severity=Severity.INFO, summary="")
    times = StepTimes(first=1.0, median=0.5, p99=1.0, max=1.0)
    found = symptoms.of(
        result(Outcome.HUNG, cause=cause, findings=(finding, other), metrics=Metrics(step_s=times)),
        "hung",
    )
    assert found.cause == "deadlock"
    assert found.fingerprint == "aa"
    assert found.codes == ("graph_growth", "steps_printed")
    assert found.notable == ("graph_growth",)
    assert found.figures["step_median_s"] == 0.5


@pytest.mark.parametrize(
    ("more", "signature"),
    [
        ({"signal": "SIGSEGV"}, "SIGSEGV"),
        ({"reason": "mlx.core.Error: no (in step 1, phase eval)"}, "mlx.core.Error"),
        ({"reason": "exited with code 3", "exit_code": 3}, "exit code 3"),
    ],
)
def test_a_crash_is_known_by_its_kind(more, signature):
    assert symptoms.of(result(Outcome.CRASHED, **more), "").signature == signature


@pytest.mark.parametrize(
    ("when", "run", "seen"),
    [
        ("hung", HUNG, Seen.SHOWN),
        ("hung", symptom(), Seen.ABSENT),
        ("hung", symptom(Outcome.CRASHED, signature="TypeError"), Seen.UNUSABLE),
        ("hung", symptom(Outcome.SKIPPED), Seen.UNUSABLE),
        ("hung", symptom(Outcome.UNFINISHED), Seen.UNUSABLE),
        ("deadlock", HUNG, Seen.SHOWN),
        ("graph_growth", symptom(codes=("graph_growth",)), Seen.SHOWN),
        ("graph_growth", symptom(), Seen.ABSENT),
        ("graph_growth", HUNG, Seen.UNUSABLE),
        ("step_s > 50 ms", symptom(figures={"step_median_s": 0.06}), Seen.SHOWN),
        ("step_s > 50 ms", symptom(figures={"step_median_s": 0.04}), Seen.ABSENT),
        ("step_s > 0.05", symptom(), Seen.UNUSABLE),
        ("rss_peak < 1 GiB", symptom(figures={"rss_peak": 2e9}), Seen.ABSENT),
    ],
)
def test_a_run_shows_the_symptom_or_not_or_fails_otherwise(when, run, seen):
    assert symptoms.judge(symptoms.parse(when), run) is seen


@pytest.mark.parametrize("text", ["hang", "completed", "step_s > 2 y", "step_s >", "steps > 2x"])
def test_an_unknown_symptom_is_refused(text):
    with pytest.raises(UsageError, match="unknown symptom"):
        symptoms.parse(text)


def test_a_relative_figure_is_settled_by_the_good_end():
    when = symptoms.parse("step_s > 2x")
    good = [symptom(figures={"step_median_s": value}) for value in (0.1, 0.2, 0.9)]
    settled = symptoms.settled(when, good, [])
    assert str(settled) == "step_median_s > 200 ms"  # noise only makes it slower
    with pytest.raises(UsageError, match="has no step_median_s"):
        symptoms.settled(when, [symptom()], [])


def test_the_fingerprint_is_that_of_the_bad_end():
    settled = symptoms.settled(symptoms.parse("fingerprint"), [], [symptom(), HUNG])
    assert symptoms.judge(settled, HUNG) is Seen.SHOWN
    other = msgspec.structs.replace(HUNG, fingerprint="bb")
    assert symptoms.judge(settled, other) is Seen.UNUSABLE
    with pytest.raises(UsageError, match="--when hung"):
        symptoms.settled(symptoms.parse("fingerprint"), [], [symptom()])


def diverged(operation, line=41):
    site = f"train.py:{line} in loss_fn"
    born = Origin(
        status=Located.LOCATED, summary="", operation=operation, place="forward", site=site
    )
    return symptoms.of(result(Outcome.DIVERGED, origin=born), "diverged")


def test_nan_of_another_operation_is_another_symptom():
    settled = symptoms.settled(symptoms.parse("fingerprint"), [], [diverged("log")])
    assert "log in loss_fn (forward)" in str(settled)
    assert symptoms.judge(settled, diverged("log", 90)) is Seen.SHOWN
    assert symptoms.judge(settled, diverged("exp")) is Seen.UNUSABLE


def test_the_usual_symptom_is_what_the_bad_end_showed():
    raised = symptom(Outcome.CRASHED, signature="TypeError")
    killed = symptom(Outcome.CRASHED, signature="SIGSEGV")
    grown = symptom(codes=("graph_growth", "loss_flat"), notable=("graph_growth",))
    assert symptoms.default([symptom()], [HUNG]) == When(outcome=Outcome.HUNG)
    crashed = symptoms.default([raised], [killed])
    assert crashed == When(outcome=Outcome.CRASHED, signature="SIGSEGV")
    assert crashed is not None
    assert symptoms.judge(crashed, raised) is Seen.UNUSABLE
    assert symptoms.default([symptom()], [grown]) == When(code="graph_growth")
    assert symptoms.default([grown], [grown]) is None
    assert symptoms.default([HUNG], [HUNG]) is None


# -- a whole bisect, without a run


def searching(good, bad, releases, **more):
    made = plan.axes({"mlx": releases}, [], [], "/py", "cpu")
    return Plan(
        kind="bisect", harness_version="1", cwd="/",
        target=ScenarioInfo(name="x", path="", summary="", doc="", source=""),
        settings=None, cells=made,
        bisect=BisectRequest(package="mlx", good=good, bad=bad, **more),
    )  # fmt: skip


def answered(whole, shows):
    """Carry the search out, with `shows` as the run of each release."""
    runs = []
    while True:
        when = bisect.settled(whole, runs)
        step = bisect.next_round(whole, runs, when)
        if not isinstance(step, tuple):
            return bisect.finished(whole, runs, when, step), runs
        cell = whole.cells[step[0]]
        runs.append(
            Ran(cell=cell.name, symptoms=(shows(cell.packages["mlx"]),), run=f"{cell.name}/1")
        )


NEW_FIRST = ["0.32.4", "0.32.1", "0.32.0", "0.31.2"]


def test_the_release_that_broke_it_is_named_so():
    whole = searching("0.31.2", "0.32.4", NEW_FIRST[::-1])
    found, _ = answered(whole, lambda version: HUNG if version >= "0.32.1" else symptom())
    assert (found.change, found.last_good, found.first_bad) == ("broke", "0.32.0", "0.32.1")
    assert found.first_good is found.last_bad is None
    assert found.found
    assert bisect.sentences(whole, found)[0] == "mlx 0.32.1 broke it: hung"


def test_the_release_that_mended_it_is_named_so():
    whole = searching("0.32.4", "0.31.2", NEW_FIRST)
    found, _ = answered(whole, lambda version: HUNG if version < "0.32.1" else symptom())
    assert (found.change, found.last_bad, found.first_good) == ("mended", "0.32.0", "0.32.1")
    assert found.first_bad is found.last_good is None
    assert bisect.sentences(whole, found)[1:] == [
        "  last bad   0.32.0     hung; mlx-0.32.0/1",
        "  first good 0.32.1     completed; mlx-0.32.1/1",
    ]


def test_releases_that_cannot_be_used_leave_a_range():
    def shows(version):
        if version in ("0.32.0", "0.32.1"):
            return symptom(Outcome.SKIPPED)
        return HUNG if version > "0.32" else symptom()

    whole = searching("0.31.2", "0.32.4", NEW_FIRST[::-1])
    found, _ = answered(whole, shows)
    assert not found.found
    assert found.between == ("0.32.0", "0.32.1")
    assert "or one of 0.32.0, 0.32.1" in bisect.sentences(whole, found)[0]


def test_ends_that_show_the_same_are_told_at_once():
    whole = searching("0.31.2", "0.32.4", NEW_FIRST[::-1])
    with pytest.raises(UsageError, match="show the same"):
        answered(whole, lambda version: symptom())
    whole = searching("0.31.2", "0.32.4", NEW_FIRST[::-1], when="hung")
    found, runs = answered(whole, lambda version: symptom())
    assert "mlx 0.32.4 does not show it (hung)" in found.problem
    assert len(runs) == 2


def test_a_bad_end_that_shows_it_rarely_is_repeated_until_it_does():
    whole = searching("0.31.2", "0.32.4", NEW_FIRST[::-1], certainty=0.9)
    left = iter([symptom(), symptom(), symptom(), HUNG])
    turns = {"0.32.4": left}
    found, runs = answered(
        whole,
        lambda version: (
            next(turns.get(version, iter(())), HUNG) if version > "0.32.0" else symptom()
        ),
    )
    assert found.first_bad == "0.32.1"
    assert found.sure >= 0.9
    assert len(runs) > 6


def test_the_known_issue_is_that_of_the_bad_one_of_the_two_releases(tmp_path):
    whole = searching("0.31.2", "0.32.4", NEW_FIRST[::-1])
    found, runs = answered(whole, lambda version: HUNG if version >= "0.32.1" else symptom())
    known = KnownIssueMatch(
        id="mlx#1", title="it hangs", url="https://github.com/ml-explore/mlx/issues/1",
        package="mlx", same=Sameness.WAIT_SITE, seen="mlx::core::wait", version="0.32.1",
        fixed=None, cure="Update.",
    )  # fmt: skip
    for ran in runs:
        folder = tmp_path / ran.run
        folder.mkdir(parents=True)
        # The end of the search shows another one: its release is none of the two.
        match = known if ran.cell == "mlx-0.32.1" else msgspec.structs.replace(known, id="mlx#2")
        one = result(Outcome.HUNG, known_issues=(match,))
        there = Environment(platform="", machine="", python="", cpu_count=1, memory=1)
        run = RunResult(
            harness_version="1", started="", environment=there, settings=None, results=(one,)
        )
        runjson.write(run, folder)
    matches = bisect.matches(whole, found, tmp_path)
    assert [match.id for match in matches] == ["mlx#1"]
    told = bisect.sentences(whole, msgspec.structs.replace(found, known_issues=matches))
    assert told[-2:] == [
        "known issue: same wait site and version as mlx#1 (it hangs): update",
        "  https://github.com/ml-explore/mlx/issues/1",
    ]
    # A run whose folder has gone has none.
    assert bisect.matches(whole, found, tmp_path / "elsewhere") == ()


def test_an_interrupted_search_says_what_it_has():
    whole = searching("0.31.2", "0.32.4", NEW_FIRST[::-1], when="hung")
    run = Ran(cell="mlx-0.32.4", symptoms=(HUNG,))
    found = bisect.unfinished(whole, [run])
    assert found.interrupted
    assert found.seen == ("shown",)
    assert not found.found


@pytest.mark.parametrize(
    ("pages", "address"),
    [
        ([("homepage", "https://github.com/o/p")], "https://github.com/o/p/compare/v1.0...v2.0"),
        ([("Source", "https://github.com/o/p/")], "https://github.com/o/p/compare/v1.0...v2.0"),
        ([("Funding", "https://github.com/sponsors/o")], None),
        ([("Home", "https://a.org"), ("Change Log", "https://a.org/log")], "https://a.org/log"),
        ([], None),
    ],
)
def test_the_changes_are_where_the_package_says(pages, address):
    assert bisect.address(pages, "1.0", "2.0") == address


def test_an_answer_names_its_releases_from_the_old_one_on():
    step = Answer(0, 1)
    found = bisect.finished(searching("2", "1", ["2", "1"]), [], When(outcome=Outcome.HUNG), step)
    assert bisect.ends(found) == ("1", "2")


@pytest.mark.parametrize(("text", "share"), [("95%", 0.95), ("99", 0.99), ("50 %", 0.5)])
def test_certainty_is_a_percentage(text, share):
    assert certainty(text) == share


@pytest.mark.parametrize(
    ("imported", "wrong"), [("0.32.4", True), ("0.31.2", False), (None, False)]
)
def test_a_command_with_another_mlx_than_that_of_its_cell_tells_nothing_of_it(imported, wrong):
    (cell,) = plan.axes({"mlx": ["0.31.2"]}, [], [], "/py", "cpu")
    there = Environment(
        platform="", machine="", python="", cpu_count=1, memory=1, versions={"mlx": imported}
    )
    run = RunResult(harness_version="1", started="", environment=there, settings=None)
    assert bool(probe._other_release(cell, run, Path())) is wrong


def test_an_installation_is_given_up_when_its_part_of_the_time_is_over(monkeypatch):
    asked = []

    def run(command, **options):
        asked.append(options["timeout"])
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(installer.subprocess, "run", run)
    with installer.within(lambda: 7.0), pytest.raises(installer.GivenUpError, match="7 s"):
        installer._call(["uv"])
    with installer.within(lambda: -7.0), pytest.raises(installer.GivenUpError):
        installer._call(["uv"])
    with pytest.raises(installer.NotInstalledError) as raised:
        installer._call(["uv"])
    assert raised.type is installer.NotInstalledError, "it takes too long with any time"
    assert asked == [7.0, installer.LEAST_S, installer.TIMEOUT_S]


@pytest.mark.parametrize("made", [installer.Uv("uv"), installer.Pip()])
def test_a_list_of_releases_that_was_given_up_is_not_taken_for_a_whole_one(made, monkeypatch):
    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(installer.subprocess, "run", run)
    with installer.within(lambda: 7.0):
        for ask in (
            lambda: list(made.releases("mlx", Path("python"), "0.1", "0.3", False)),
            lambda: made.newest("mlx", Path("python")),
        ):
            with pytest.raises(installer.GivenUpError):
                ask()


@pytest.mark.parametrize(
    ("error", "gave_up"), [(installer.GivenUpError, True), (installer.NotInstalledError, False)]
)
def test_a_release_that_was_given_up_for_want_of_time_is_not_called_unusable(
    error, gave_up, monkeypatch
):
    def prepare(*asked):
        raise error("uv took over 7 s")

    monkeypatch.setattr(probe, "find", lambda: None)
    monkeypatch.setattr(probe, "prepare", prepare)
    (cell,) = plan.axes({"mlx": ["1"]}, [], [], "/py", "cpu")
    ran = probe.run(None, cell, Path(), ())
    assert (ran.interrupted, ran.symptoms[0].outcome) == (gave_up, Outcome.SKIPPED)


# -- a matrix


def test_the_table_marks_what_changes_along_an_axis():
    cells = plan.axes({"mlx": ["1", "2", "3"]}, ["3.11", "3.13"], [], "/py", "cpu")
    whole = Plan(
        kind="matrix", harness_version="1", cwd="/", settings=None, cells=cells,
        target=ScenarioInfo(name="x", path="", summary="", doc="", source=""),
    )  # fmt: skip
    fast = symptom(figures={"step_median_s": 0.1})
    slow = symptom(figures={"step_median_s": 0.3})
    gone = symptom(Outcome.SKIPPED)
    shown = [fast, fast, gone, slow, HUNG, slow]
    runs = [Ran(cell=c.name, symptoms=(one,)) for c, one in zip(cells, shown, strict=True)]
    changed = {row.cell: row.changed for row in matrix.rows(whole, runs)}
    assert changed == {
        "mlx-1_python-3.11": (),
        "mlx-1_python-3.13": (),
        "mlx-2_python-3.11": (),
        "mlx-2_python-3.13": ("step_median_s",),
        "mlx-3_python-3.11": ("outcome", "finding"),
        "mlx-3_python-3.13": (),
    }


def test_a_row_takes_its_runs_together():
    cells = plan.axes({"mlx": ["1"]}, [], [], "/py", "cpu")
    whole = Plan(
        kind="matrix", harness_version="1", cwd="/", settings=None, cells=cells,
        target=ScenarioInfo(name="x", path="", summary="", doc="", source=""),
    )  # fmt: skip
    three = tuple(symptom(figures={"peak_over_p": peak}) for peak in (1.0, 5.0, 2.0))
    (row,) = matrix.rows(whole, [Ran(cell="mlx-1", symptoms=(*three, HUNG))])
    assert row.outcomes == {"completed": 3, "hung": 1}
    assert row.figures == {"peak_over_p": 2.0}


# -- the command line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bisect", "x.py", "--good", "1"], "needs --good VERSION and --bad VERSION"),
        (["bisect", "--good", "1", "--bad", "2"], "give one scenario, or a command"),
        (["bisect", "--good", "1", "--bad", "2", "--"], "give a command after --"),
        (["bisect", "--good", "1", "no.py", "--bad", "2"], "no such scenario file: no.py"),
        (["bisect", "--good", "1", "--bad", "2", "no.py"], "no such scenario file: no.py"),
        (
            ["bisect", "--good", "1", "--bad", "2", "--", "/usr/bin/python3", "train.py"],
            "write python instead",
        ),
        (
            ["bisect", "--good", "1", "--bad", "2", "--steps", "3", "--", "python", "train.py"],
            "--steps is for scenarios",
        ),
        (["bisect", "--continue", "r", "--when", "hung"], "--when cannot be given with --continue"),
        (["bisect", "--continue", "nothing"], "nothing is not the folder of a bisect"),
        (["bisect", "x", "--good", "1", "--bad", "2", "--when", "hang"], "unknown symptom hang"),
        (["matrix", "sgd_step"], "name what varies"),
        (["matrix", "sgd_step", "--mlx", "newest"], "newest is not a version"),
        (["matrix", "--continue", "r", "sgd_step"], "sgd_step cannot be given with --continue"),
    ],
)
def test_a_mistake_is_told_before_anything_is_installed(words, message, capsys, monkeypatch):
    monkeypatch.setattr("harness.releases.installer.find", None)
    assert cli.main(words) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.out == ""


# -- the newest release


def test_uv_knows_the_newest_release_of_a_day(monkeypatch):
    asked = []

    def call(words, given=""):
        asked.append((words, given))
        return "mlx==0.30.0\n"

    monkeypatch.setattr(installer, "_call", call)
    assert installer.Uv("uv").newest("mlx", Path("/py"), "2025-11-29") == "0.30.0"
    ((words, given),) = asked
    assert words[-2:] == ["--exclude-newer", "2025-11-29"]
    assert given == "mlx\n"


def test_an_index_without_dates_is_no_error(monkeypatch):
    def call(words, given=""):
        raise installer.NotInstalledError("no upload time")

    monkeypatch.setattr(installer, "_call", call)
    assert installer.Uv("uv").newest("mlx", Path("/py"), "2025-11-29") is None
    assert installer.Pip().newest("mlx", Path("/py")) is None


def test_pip_names_the_newest_release_and_no_day(monkeypatch):
    listed = "mlx (0.32.4)\nAvailable versions: 0.32.4, 0.32.3\n"
    monkeypatch.setattr(installer, "_call", lambda *_: listed)
    assert installer.Pip().newest("mlx", Path("/py")) == "0.32.4"
    assert installer.Pip().newest("mlx", Path("/py"), "2025-11-29") is None
