"""How a corpus of programs is read, scheduled and judged, without running one of them."""

from __future__ import annotations

import argparse
import threading
from itertools import product
from pathlib import Path

import pytest

from benchmarks import macos_refused, simulated_mac, situations
from benchmarks.corpus import ENDS, Corpus, Program, programs, read_labels
from benchmarks.situation_run import Run


def program(truth="healthy", ends=("clock",), name="one", **labels):
    return Program(Path(f"{name}.py"), {"truth": truth, **labels}, ends)


def run(outcome, **fields):
    return Run(program="one", turn=0, outcome=outcome, wall_s=1.0, **fields)


@pytest.fixture
def corpus(tmp_path):
    """A corpus made of texts, copied to another folder."""

    def make(**cases):
        source = tmp_path / "source"
        (source / "cases").mkdir(parents=True)
        for name, text in cases.items():
            (source / "cases" / name.replace("_py", ".py").replace("_txt", ".txt")).write_text(text)
        return Corpus(source, tmp_path / "copy")

    return make


def test_labels_end_at_the_first_line_that_is_none():
    text = "# truth: hang\n# cmd: bash -c 'a: b'\nimport os\n# budget: 5\n"
    assert read_labels(text) == {"truth": "hang", "cmd": "bash -c 'a: b'"}
    assert read_labels("// truth: either\n") == {"truth": "either"}


def test_the_end_of_its_chain_is_its_own_label_or_the_known_one(corpus):
    made = corpus(c_plain_py="# truth: healthy\n", x_py="# truth: hang\n# end: dead cycle\n")
    known, own = made.programs
    assert (known.kind, known.ends) == ("clock", ("clock",))
    assert (own.kind, own.ends) == ("dead", ("dead", "cycle"))
    assert ENDS.exists()


def test_what_another_corpus_left_in_the_copy_is_not_run(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name / "cases").mkdir(parents=True)
        (tmp_path / name / "cases" / f"{name}.py").write_text("# truth: healthy\n")
        made = Corpus(tmp_path / name, tmp_path / "copy")
    assert [one.name for one in made.programs] == ["new"]


def test_a_program_without_a_truth_is_refused(corpus):
    with pytest.raises(SystemExit, match="add a line `# truth"):
        corpus(x_py="import os\n")


def test_a_folder_without_programs_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="has no programs"):
        programs(tmp_path)


def test_what_python_leaves_beside_the_programs_is_none_of_them(tmp_path):
    (tmp_path / "cases" / "__pycache__").mkdir(parents=True)
    (tmp_path / "cases" / "x.py").write_text("# truth: hang\n")
    assert [one.name for one in programs(tmp_path)] == ["x"]


def test_a_program_finds_what_this_repository_has(corpus):
    made = corpus(x_py="# truth: healthy\n# cmd: env PYTHONPATH=@B:@R @P @F\n")
    (one,) = made.programs
    filled = made.fill(one.command, one, made.folder / "run").split()
    assert filled[1] == f"PYTHONPATH={made.folder}:{Path(situations.__file__).parents[1]}"


@pytest.mark.parametrize(
    ("text", "lack"),
    [
        ("import json\n", ""),
        ("import no_such_module_at_all\n", "no Python module no_such_module_at_all"),
        ("# cmd: @B/c/none x\n", "the set-up made no c/none"),
        ("open('../mnt/x')\n", "no FUSE: that needs root and /dev/fuse"),
        ("# side: echo 1 > /sys/fs/cgroup/none/g/x\n",
         "no none control group of version 1 that may be written to"),
        ('# side: echo "9999:9 1000" > x\n', "is not on device 9999:9"),
    ],
)  # fmt: skip
def test_what_a_program_lacks_is_said(corpus, text, lack):
    made = corpus(x_py=f"# truth: healthy\n{text}")
    said = made.missing(made.programs[0])
    assert lack in said
    assert bool(lack) == bool(said)


def test_a_tool_that_is_not_here_is_said(corpus, monkeypatch):
    made = corpus(
        x_txt="# truth: healthy\n# cmd: bash -c '@P | tee log'\n",
        y_py="# truth: healthy\nimport subprocess\nsubprocess.run(['nice', 'g++', 'a.cpp'])\n",
        z_py="# truth: healthy\nnode = 'not a tool here: node'\n",
    )
    monkeypatch.setenv("PATH", "")
    assert [made.missing(one) for one in made.programs] == ["no bash", "no g++", ""]


@pytest.mark.parametrize(
    ("one", "came", "answers"),
    [
        # right, ended, wrongly proven
        (program(), run("completed"), (True, False, False)),
        (program(), run("hung", cause="waiting"), (False, True, False)),
        (program(), run("hung", cause="deadlock", proven=True), (False, True, True)),
        (program(), run("unfinished"), (False, False, False)),
        (program(), run(None), (False, False, False)),
        (program(harness="attach @N"), run("unfinished"), (True, False, False)),
        (program(harness="attach @N"), run("unfinished", harmed=True), (False, True, False)),
        (program("hang", ("cycle",)), run("hung", proven=True), (True, False, False)),
        (program("hang", ("network",)), run("hung", proven=True), (True, False, True)),
        (program("hang"), run("unfinished"), (False, False, False)),
        (program("notproven", ("cycle",)), run("hung"), (True, False, False)),
        (program("notproven", ("cycle",)), run("hung", proven=True), (False, False, True)),
        (program("either"), run("hung"), (True, False, False)),
        (program("either"), run(None), (False, False, False)),
    ],
)
def test_a_verdict_is_held_against_the_truth(one, came, answers):
    judged = (situations.right, situations.ended, situations.wrongly_proven)
    assert tuple(judge(one, came) for judge in judged) == answers


@pytest.mark.parametrize(
    ("one", "came", "right"),
    [
        (program(), run("unfinished"), True),
        (program(), run("completed"), True),
        (program(), run("hung", end="clock"), False),
        (program(ends=("network",)), run("hung", end="network"), True),
        (program(ends=("network",)), run("hung", end="polls"), False),
        (program(ends=("network",)), run("hung", end="network", proven=True), False),
        (program("hang", ("network",)), run("unfinished"), False),
        (program(ends=("stopped",)), run("hung", cause="stopped"), True),
        (program(ends=("clock",)), run("hung", cause="stopped"), False),
    ],
)
def test_one_that_is_cut_short_is_unfinished_or_waits_for_the_right_end(one, came, right):
    assert situations.right(one, came, cut=True) == right


@pytest.mark.parametrize(
    ("ends", "came", "right"),
    [
        (("file_system",), run("hung", end="file_system"), True),
        (("program",), run("hung", end="polls"), False),
        (("program",), run("hung", end="program", proven=True), False),
        (("program",), run("unfinished"), False),
        (("clock", "polls"), run("hung", end="polls"), True),
        (("clock", "polls"), run("hung", end="clock"), False),
        (("stopped",), run("hung", end="stopped"), False),
    ],
)
def test_without_patience_one_that_waits_for_something_outside_is_excused(ends, came, right):
    one = program(ends=ends)
    assert situations.right(one, came, hasty=True) == right
    assert situations.ended(one, came, hasty=True) == (not right and came.outcome == "hung")
    assert not situations.right(one, came)


@pytest.mark.parametrize("more", [[], ["--mac"]])
def test_sources_are_refused_on_the_simulated_mac_alone(tmp_path, monkeypatch, more):
    """It is said before anything runs: the runs may take hours."""
    monkeypatch.setattr(simulated_mac, "on_mac", lambda folder, sources: sources)
    parser = argparse.ArgumentParser()
    simulated_mac.add_options(parser)
    arguments = parser.parse_args([*more, "--refuse", "sample", "ids", "sample"])
    if more:
        assert simulated_mac.harness(arguments, tmp_path) == ("sample", "ids")
    else:
        with pytest.raises(SystemExit, match="--refuse needs --mac"):
            simulated_mac.harness(arguments, tmp_path)


def test_an_end_is_named_rightly_wrongly_or_not_at_all():
    one = program(ends=("program", "network"))
    assert situations.named(one, run("completed")) is None
    assert situations.named(one, run("completed", doubted=["network"])) is True
    assert situations.named(one, run("completed", doubted=["network", "polls"])) is False
    assert situations.named(one, run("hung", end="unknown", doubted=["network"])) is False
    assert situations.named(program(ends=()), run("hung", end="network")) is None


def test_what_has_run_is_kept_and_only_under_the_same_conditions(tmp_path):
    file = tmp_path / "runs.jsonl"
    journal = situations.Journal(file, {"commit": "a"})
    journal.add(run("completed", doubted=["clock"]))
    again = situations.Journal(file, {"commit": "a"})
    assert again.runs == journal.runs
    assert again.has(program(), 0)
    assert not again.has(program(), 1)
    with pytest.raises(SystemExit, match="another commit: remove it"):
        situations.Journal(file, {"commit": "b"})


def test_runs_of_one_program_never_meet_and_others_do():
    lock, now, met, done = threading.Lock(), set(), [], []
    together = threading.Event()

    def do(one, turn):
        with lock:
            if one.name in now:
                met.append(one.name)
            now.add(one.name)
            if len(now) > 1:
                together.set()
        together.wait(60)
        with lock:
            now.discard(one.name)
            done.append((one.name, turn))

    tasks = [(program(name=name), turn) for turn in range(3) for name in "abc"]
    situations.side_by_side(tasks, 3, do)
    assert sorted(done) == sorted((one.name, turn) for one, turn in tasks)
    assert met == []
    assert together.is_set()


def test_a_program_that_computes_takes_the_places_of_others():
    going: set[str] = set()
    with_heavy: list[set[str]] = []
    changed = threading.Condition()

    def do(one, turn):
        with changed:
            going.add(one.name)
            with_heavy.append({*going})
            changed.notify_all()
            changed.wait_for(lambda: len(with_heavy) > 1, 0.01)
        with changed:
            going.discard(one.name)

    tasks = [(program(name=name), 0) for name in ("light", "other", "more", "computes")]
    situations.side_by_side(tasks, situations.HEAVY + 1, do, heavy=["computes"])
    assert "computes" in with_heavy[0]
    assert sum(map(len, with_heavy)) >= len(tasks)
    assert all(len(one) < 3 for one in with_heavy if "computes" in one)
    alone: list[str] = []
    situations.side_by_side(tasks, 1, lambda one, turn: alone.append(one.name), ["computes"])
    assert (alone[0], len(alone)) == ("computes", 4)


def test_a_run_that_fails_ends_the_series():
    def do(one, turn):
        raise ValueError(one.name)

    with pytest.raises(ValueError, match="a"):
        situations.side_by_side([(program(name="a"), turn) for turn in range(9)], 2, do)


def test_a_summary_counts_what_came():
    runs = [
        run("completed", doubted=["clock"]),
        run("completed"),
        run("hung", cause="waiting", end="network", says="waits", left=["sleep"]),
    ]
    found = situations.summary(program(), runs)
    assert (found["runs"], found["right"], found["ended"], found["left"]) == (3, 2, 1, 1)
    assert found["got"] == {"completed": 2, "hung/waiting": 1}
    assert found["ends"] == {"clock": 1, "none": 1, "network": 1}
    assert (found["ends_named"], found["ends_right"]) == (2, 1)
    assert found["wrong"] == ["hung/waiting: waits"]


def test_each_source_is_refused_to_each_program_and_each_round_has_all_of_them():
    rounds = [[*macos_refused.dealt([turn])] for turn in (1, 2, 3)]
    every = [pair for one in rounds for pair in one]
    assert [*macos_refused.dealt([1, 2, 3])] == every
    kind_of = {name: number for number, kind in enumerate(macos_refused.KINDS) for name in kind}
    assert sorted(every) == sorted(product(macos_refused.SOURCES, kind_of))
    for pairs in rounds:
        kinds = [(source, kind_of[name]) for source, name in pairs]
        assert sorted(kinds) == sorted(product(macos_refused.SOURCES, range(6)))
        assert {name for _, name in pairs} == {*kind_of}
    assert (len(kind_of), len(macos_refused.HANGING)) == (18, 6)


@pytest.mark.parametrize(
    ("healthy", "outcome", "blind", "right"),
    [
        (True, "completed", True, True),
        (True, "hung", True, False),
        (True, "unfinished", True, False),
        (False, "hung", False, True),
        (False, "unfinished", True, True),
        (False, "unfinished", False, False),
        (False, "raised", True, False),
    ],
)
def test_what_is_right_where_a_source_is_refused(healthy, outcome, blind, right):
    run = {"healthy": healthy, "outcome": outcome, "blind": blind}
    assert macos_refused.right(run) is right
