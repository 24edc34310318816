"""Runs of a plan on several hosts: who gets what, and what becomes of it."""

from __future__ import annotations

import msgspec
import pytest

from harness import cli
from harness.errors import HarnessError, UsageError
from harness.model import Host, Hostfile, Outcome, ScenarioInfo, Settings
from harness.releases import bisect, collect, crew, matrix, part, plan, probe, search
from harness.releases.deal import Deal
from harness.releases.folder import begin, publishable, read_plan, save_state
from harness.releases.news import News
from harness.releases.plan import BisectRequest, Plan
from harness.releases.probe import Ran
from harness.releases.search import Answer, Problem, Seen
from harness.releases.symptoms import Symptoms

RELEASES = [f"1.{number}" for number in range(9)]


def planned(releases=("1", "2", "3"), **more):
    return Plan(
        **{
            "kind": "matrix", "harness_version": "1", "cwd": "/", "settings": None,
            "cells": plan.axes({"steady": releases}, [], [], "/py", "cpu", worker=False),
            "target": ScenarioInfo(name="x", path="", summary="", doc="", source=""),
            **more,
        }
    )  # fmt: skip


def searching(**more):
    request = BisectRequest(package="steady", good=RELEASES[0], bad=RELEASES[-1], **more)
    return planned(RELEASES, kind="bisect", bisect=request)


def ran(whole, number, outcome=Outcome.COMPLETED, **more):
    seen = Symptoms(outcome=outcome, summary=outcome.value)
    cell = plan.cell_of(whole, number)
    return Ran(cell=cell.name, number=number, symptoms=(seen,), **more)


# -- the numbers of a plan


def test_each_run_of_a_plan_has_a_number_all_cells_first():
    whole = planned(repeat=2)
    assert [plan.label(whole, number) for number in whole.runs] == [
        "steady-1 #0", "steady-2 #0", "steady-3 #0", "steady-1 #1", "steady-2 #1", "steady-3 #1",
    ]  # fmt: skip
    assert plan.label(planned(), 2) == "steady-3"
    with pytest.raises(UsageError, match="no run 6; give a number from 0 to 5"):
        plan.cell_of(whole, 6)


def test_a_bisect_with_a_certainty_has_as_many_rounds_as_it_takes():
    assert plan.cell_of(searching(certainty=0.95), 9 * 40 + 3).name == "steady-1.3"
    with pytest.raises(UsageError, match="no run 9"):
        plan.cell_of(searching(), 9)


def test_a_plan_is_the_same_one_wherever_it_is_read(tmp_path):
    whole = planned(settings=Settings(learning_rate=0.1), budget=3, file="numpy\n")
    folder = begin(whole, tmp_path)
    read = read_plan(folder)
    assert read is not None
    assert plan.digest(read) == plan.digest(whole)
    assert plan.digest(planned(repeat=2)) != plan.digest(planned())


# -- which host has which run


def test_a_host_gets_its_next_run_when_it_is_free():
    deal = Deal(["alpha", "beta"])
    deal.add(range(3))
    assert deal.give() == [(0, 0), (1, 1)]
    assert deal.give() == []
    deal.ended(1)
    assert deal.give() == [(1, 2)]
    deal.ended(0)
    assert deal.open
    deal.ended(1)
    assert not deal.open


def test_the_run_of_a_host_that_is_lost_goes_first_to_another_one():
    deal = Deal(["alpha", "beta"])
    deal.add(range(4))
    deal.give()
    assert deal.lost(0, "not heard for 60 s", during=True) is None
    assert deal.waiting == (0, 2, 3)
    deal.ended(1)
    assert deal.give() == [(1, 0)]
    assert deal.left == 1


def test_a_run_that_takes_two_hosts_with_it_is_given_up():
    deal = Deal(["alpha", "beta", "gamma"])
    deal.add([7, 8])
    deal.give()
    assert deal.lost(0, "gone", during=True) is None
    assert deal.give() == [(2, 7)]
    assert deal.lost(2, "not heard", during=True) == (7, "alpha: gone; gamma: not heard")
    assert deal.waiting == ()
    assert deal.open  # beta has its run


def test_hosts_that_never_answered_say_nothing_against_a_run():
    deal = Deal(["alpha", "beta"])
    deal.add([0])
    for host in (0, 1):
        assert deal.give() == [(host, 0)]
        assert deal.lost(host, "Connection refused", during=False) is None
    assert deal.give() == []
    assert deal.open
    assert deal.why_none() == "alpha: Connection refused; beta: Connection refused"


# -- rounds of a search


def searched(truth, width, count=22, unusable=(), certainty=None):
    """The answer of a search whose rounds have `width` runs, and the number of rounds."""
    seen, rounds = [], 0
    while isinstance(step := search.next_round(count, seen, certainty, width), tuple):
        assert 1 <= len(step) <= width
        rounds += 1
        for release in step:
            shown = Seen.SHOWN if release >= truth else Seen.ABSENT
            seen.append((release, Seen.UNUSABLE if release in unusable else shown))
    return step, rounds


@pytest.mark.parametrize("truth", range(1, 22))
@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
def test_a_round_of_several_hosts_finds_each_boundary_sooner(truth, width):
    answer, rounds = searched(truth, width)
    assert answer == Answer(truth - 1, truth)
    assert rounds <= {1: 7, 2: 5, 3: 4, 5: 3, 8: 3}[width]


@pytest.mark.parametrize("truth", range(1, 22))
def test_releases_that_cannot_be_used_are_searched_around_in_rounds_too(truth):
    unusable = {5, 6, 11} - {truth, truth - 1}
    answer, _ = searched(truth, 3, unusable=unusable)
    assert answer == Answer(truth - 1, truth)


def test_a_round_runs_no_release_twice():
    first = search.next_round(22, [], None, 6)
    assert isinstance(first, tuple)
    assert first[:2] == (21, 0)
    assert len(set(first)) == 6
    assert search.next_round(3, [], None, 8) == (2, 0, 1)


def test_a_round_of_one_is_the_next_step():
    seen = [(21, Seen.SHOWN), (0, Seen.ABSENT), (10, Seen.UNUSABLE)]
    for certainty in (None, 0.95):
        step = search.next_step(22, seen, certainty)
        assert isinstance(step, search.Probe)
        assert search.next_round(22, seen, certainty) == (step.release,)


def test_a_rare_symptom_is_looked_for_by_all_hosts_at_the_bad_end():
    assert search.next_round(5, [], 0.95, 3) == (4, 4, 4)
    answer, _ = searched(3, 4, count=5, certainty=0.95)
    assert isinstance(answer, Answer)
    assert (answer.absent, answer.shown) == (2, 3)
    assert searched(9, 4, count=5, certainty=0.95)[0] is Problem.NOT_SHOWN


def test_the_ends_come_first_and_then_what_lies_between():
    whole = searching()
    assert bisect.judged(whole, [], 1) == (8,)
    assert bisect.judged(whole, [], 4) == (8, 0, 3, 5)
    # An interrupted round goes on with what it lacks.
    assert bisect.judged(whole, [ran(whole, 8, Outcome.HUNG), ran(whole, 3)], 2) == (0, 4)


def test_runs_of_one_release_in_one_round_have_numbers_of_their_own():
    whole = searching(certainty=0.95)
    assert bisect.judged(whole, [], 4) == (8, 0, 17, 26)
    known = [ran(whole, 8), ran(whole, 0)]
    assert bisect.judged(whole, known, 2) == (17, 26)


# -- joining


def test_what_is_left_of_a_matrix_are_the_runs_without_a_result():
    whole = planned(repeat=2)
    assert matrix.remaining(whole, []) == [0, 1, 2, 3, 4, 5]
    here = msgspec.structs.replace(
        ran(whole, 0), number=None
    )  # all runs of the cell, by this machine alone
    assert matrix.remaining(whole, [here, ran(whole, 5)]) == [1, 2, 4]


def test_runs_of_one_cell_from_several_hosts_are_one_row():
    whole = planned(repeat=3)
    runs = [ran(whole, 4, run="steady-2/b"), ran(whole, 1, Outcome.HUNG, run="steady-2/a")]
    result = matrix.joined(whole, [*runs, ran(whole, 0)], twice=("steady-1 #0",))
    assert [(row.cell, row.outcomes, row.run) for row in result.rows] == [
        ("steady-1", {"completed": 1}, None),
        ("steady-2", {"hung": 1, "completed": 1}, "steady-2/a"),
    ]
    assert result.missing == (
        "steady-3 #0", "steady-1 #1", "steady-3 #1", "steady-1 #2", "steady-2 #2", "steady-3 #2",
    )  # fmt: skip
    assert result.twice == ("steady-1 #0",)


def test_of_several_results_of_one_run_the_first_counts_that_was_not_skipped():
    whole = planned()
    gone = probe.skipped(whole.cells[0], "lost", 0)
    first, again = ran(whole, 0, run="a"), ran(whole, 0, run="b")
    joined = collect.chosen([gone, ran(whole, 2), first, again])
    assert joined.runs == (first, ran(whole, 2))
    assert joined.twice == (0,)
    assert collect.skipped([gone, gone]) == ["steady-1"]


def test_numbers_are_written_as_an_array_of_jobs_has_them():
    assert collect.spans([7, 0, 1, 2, 5, 8]) == "0-2,5,7-8"
    assert collect.spans([3]) == "3"


def recorded(folder, whole, one, host="alpha"):
    (folder / one.cell).mkdir(parents=True, exist_ok=True)
    record = part.Part(plan=plan.digest(whole), host=host, ran=one)
    (folder / one.cell / f"part-{one.number}.json").write_bytes(msgspec.json.encode(record))


def test_records_of_several_folders_are_joined_and_their_runs_are_found(tmp_path):
    whole = planned()
    home, other = begin(whole, tmp_path), tmp_path / "other"
    recorded(home, whole, ran(whole, 0, run="steady-1/r"))
    recorded(other, whole, ran(whole, 1, run="steady-2/r"), "beta")
    save_state(home, [ran(whole, 2, run="steady-3/r")])
    joined = collect.join(whole, [home, other, other])
    assert [(one.number, one.run, one.host) for one in joined.runs] == [
        (0, "steady-1/r", "alpha"),
        (1, "../other/steady-2/r", "beta"),
        (2, "steady-3/r", None),
    ]
    assert joined.twice == ()


def test_a_record_of_another_plan_is_refused_and_one_that_is_broken_too(tmp_path):
    whole = planned()
    recorded(tmp_path, planned(repeat=2), ran(whole, 0))
    with pytest.raises(UsageError, match="is of another plan"):
        part.read(tmp_path, whole)
    (tmp_path / "steady-1" / "part-0.json").write_text("{")
    with pytest.raises(UsageError, match="delete it, and run it again"):
        part.read(tmp_path, whole)


def test_a_bisect_is_answered_by_runs_that_others_carried_out():
    whole = searching()
    bad = [ran(whole, number, Outcome.HUNG) for number in range(5, 9)]
    result, needed = bisect.joined(whole, [ran(whole, number) for number in range(5)] + bad)
    assert (result.last_good, result.first_bad, needed) == ("1.4", "1.5", ())
    result, needed = bisect.joined(whole, [ran(whole, 0), *bad[1:]])
    assert not result.found
    assert not result.interrupted
    assert needed == (3,)
    assert result.missing == ("steady-1.3",)
    assert result.problem == "1 run more is needed"


def test_a_rare_symptom_needs_another_round_of_all_releases():
    whole = searching(certainty=0.95)
    runs = [ran(whole, number, Outcome.HUNG if number == 8 else Outcome.COMPLETED)
            for number in range(9)]  # fmt: skip
    result, needed = bisect.joined(whole, runs)
    assert needed == tuple(range(9, 18))
    assert result.problem == "9 runs more are needed"


def test_the_names_of_hosts_are_not_published():
    whole = planned()
    lost = probe.skipped(whole.cells[0], "studio-two: not heard for 60 s", 0)
    result = matrix.joined(whole, [lost, ran(whole, 1, host="studio-two")])
    assert "studio-two" in str(publishable(result, True, ["studio-two"]))
    published = publishable(result, False, ["studio-two"])
    assert "studio-two" not in str(published)
    assert published["runs"][1]["host"] == "host-0"


# -- the command line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cell", "nothing", "--number", "0"], "nothing has no plan.json"),
        (["cell", "nothing"], "cell needs --number N"),
        (["collect", "nothing"], "nothing has no plan.json"),
        (["matrix", "x", "--python", "3", "--plan", "--hostfile", "{}"], "omit --hostfile"),
        (["matrix", "x", "--python", "3", "--jobs", "2", "--hostfile", "{}"], "--jobs is for this"),
    ],
)
def test_a_mistake_is_told_with_what_to_do(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "{}").write_text('[{"ssh": "alpha"}]')
    assert cli.main(words) == 2
    assert message in capsys.readouterr().err


def test_a_plan_can_be_made_without_running_anything(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("harness.releases.installer.find", None)
    words = ["matrix", "sgd_step", "--mlx", "0.31.2,0.32.4", "--repeat", "3", "--plan"]
    assert cli.main(words) == 0
    told = capsys.readouterr().err
    assert "6 runs, numbered from 0: reports/" in told
    (folder,) = tmp_path.glob("reports/2*")
    assert f"cell {folder.relative_to(tmp_path)} --number 0" in told
    assert len(part.plan_of(folder).cells) == 2
    assert cli.main(["collect", str(folder)]) == 1
    assert "their numbers, for an array of jobs: 0-5" in capsys.readouterr().err


# -- what a host says


@pytest.fixture
def silent(tmp_path, monkeypatch):
    """A crew whose only host answers ssh, says nothing, and is soon given up."""
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text("#!/bin/sh\nexec sleep 1000\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:/usr/bin:/bin")
    for name, seconds in (("LEASE_S", 0.2), ("LOOK_S", 0.02), ("LEAVE_S", 0.0)):
        monkeypatch.setattr(crew, name, seconds)
    said = []
    file = Hostfile(hosts=(Host(ssh="alpha"),))
    return crew.Crew(planned(), tmp_path, file, said.append), said


def test_a_host_that_says_nothing_is_waited_for_no_longer_than_its_lease(silent):
    made, said = silent
    with made, pytest.raises(crew.NoHostError, match="no host is left: alpha: not heard for"):
        list(made.run([0]))
    (line,) = said
    assert line.startswith("alpha is used no more: not heard for")


@pytest.mark.parametrize("name", ["/etc/passwd", "../other", "a/../../b"])
def test_a_host_cannot_write_anywhere_but_into_the_folder_of_its_run(tmp_path, name):
    with pytest.raises(HarnessError, match="is refused"):
        crew.Link._keep(tmp_path / "run", name, News(file=name, data=b"x"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_comes_in_pieces_with_its_mode(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    for data in (b"one ", b"two"):
        crew.Link._keep(tmp_path, "a/b", News(file="a/b", data=data, mode=0o4600))
    assert (tmp_path / "a" / "b").read_bytes() == b"one two"
    assert (tmp_path / "a" / "b").stat().st_mode & 0o7777 == 0o600
    with pytest.raises(OSError, match="symbolic"):
        crew.Link._keep(tmp_path, "link", News(file="link", data=b"x"))
