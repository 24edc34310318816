"""What is told of a process that was not started here: names, result, report."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from observations import READS, SPIN, awaits, busy, process, seen, stack, thread

from harness.attach import observe, result
from harness.attach.observe import Watched
from harness.detect.tree import judge_tree
from harness.model import Outcome
from harness.observe import process_names
from harness.report import html, junit, markdown, runjson
from harness.report.input import ReportInput
from harness.report.sections.attached import attached

ROOT = Path(__file__).parents[2]
replace = msgspec.structs.replace


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["/usr/bin/python3", "-u", "/home/me/train.py", "--key", "s"], "python3 train.py ..."),
        (["python", "-m", "mlx_lm", "lora", "--model", "m"], "python -m mlx_lm ..."),
        (["python", "-X", "dev", "-c", "print('secret')"], "python -c ..."),
        (["/opt/trainer"], "trainer"),
        (["sh", "-c", "SECRET=1 x"], "sh ..."),
        (["python"], "python"),
        (["postgres: writer process of me"], "trainer"),
        ([], "trainer"),
    ],
)
def test_a_command_is_named_without_its_arguments(argv, shown):
    assert " ".join(process_names.words(argv, "trainer")) == shown


@given(st.lists(st.text(min_size=1), max_size=6))
def test_no_argument_but_the_script_is_ever_shown(arguments):
    shown = process_names.words(["/usr/bin/python", "train.py", *arguments])
    assert shown[:2] == ("python", "train.py")
    assert set(shown[2:]) <= {"..."}


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["python", "-m", "mlx_lm", "lora"], "mlx_lm.lora"),
        (["python", "/venv/bin/mlx_lm.lora", "--train"], "mlx_lm.lora"),
        (["python", "-m", "mlx_lm.lora"], "mlx_lm.lora"),
        (["python", "/a/train.py"], "train"),
        (["./trainer", "--steps", "3"], "trainer"),
    ],
)
def test_a_program_is_known_by_its_names(argv, name):
    assert name in process_names.names(argv)


# --- what becomes of it --------------------------------------------------------------------------


def told(found):
    watched = Watched(seen=found, tree=judge_tree(found), captures={}, seconds=4.0)
    return result.run(watched, "train.py", ("python", "train.py", "..."),
                      datetime.now(timezone.utc), ("harness", "attach", "1"))  # fmt: skip


DEAD, ALIVE = seen(process()), seen(SPIN, later=(busy(SPIN),))


@pytest.mark.parametrize(
    ("child", "name", "taken"),
    [
        ((thread(5),), "trainer", True),
        ((thread(5, **READS),), "cat", False),
        ((thread(5, **READS),), "python train.py", True),
        ((thread(5, **READS), thread(6, **READS)), "trainer", True),
        ((thread(5, **awaits()),), "sh", False),
    ],
)
def test_the_stacks_of_a_child_are_taken_where_they_tell_more_than_its_wait(child, name, taken):
    family = process(1, thread(1, **awaits(5))), process(5, *child, ppid=1)
    looked = msgspec.structs.replace(seen(*family), names={5: name})
    assert (5 in observe._wanted(judge_tree(looked), looked)) is taken


def test_the_dead_are_hung_with_a_cause_and_the_living_are_not():
    (dead,), (alive,) = told(DEAD).results, told(ALIVE).results
    assert (dead.outcome, dead.cause.code, dead.cause.proven) == (Outcome.HUNG, "deadlock", True)
    assert dead.cause.summary.startswith("deadlock: cannot go on: ")
    assert (alive.outcome, alive.cause) == (Outcome.UNFINISHED, None)
    assert alive.reason.startswith("alive")


@pytest.mark.parametrize("found", [DEAD, ALIVE], ids=["dead", "alive"])
def test_its_document_follows_the_schema(found):
    schema = json.loads((ROOT / "docs" / "run.schema.json").read_text())
    jsonschema.validate(runjson.document(told(found)), schema)


def test_the_report_names_the_answer_and_each_process():
    text = attached(ReportInput(run=told(DEAD)))
    assert "Answer: deadlock" in text
    assert "| 1 python train.py ... |" in text


@pytest.mark.parametrize(("found", "answer"), [(DEAD, "deadlock"), (ALIVE, "alive")])
def test_a_report_is_titled_by_the_process_and_counts_no_steps(found, answer):
    run = told(found)
    text = markdown.render(ReportInput(run=run))
    assert text.startswith(f"# train.py (process 1): {answer}\n")
    assert "of 0" not in text
    assert "MLX training step" not in text
    page = html.render(ReportInput(run=run))
    assert f"<h1>train.py (process 1): {answer}</h1>" in page
    assert "0 of 0" not in page
    assert f'failures="{int(found is DEAD)}"' in junit.render(run).decode()


@pytest.mark.parametrize(("state", "does"), [("T", "was"), ("t", "was"), ("R", "is")])
def test_what_is_stopped_is_not_said_to_run(state, does):
    spins = (stack("py:spin"),)
    held = process(1, thread(1, state=state, syscall=None), state=state)
    found = seen(held, stacks={1: (spins, spins)})
    shown = judge_tree(found).processes[0].evidence["wait_site"]
    assert shown == f"{does} running, from train.py:7 in spin"


def test_other_runs_have_no_such_section():
    run = told(DEAD)
    other = replace(run, results=(replace(run.results[0], findings=()),))
    assert attached(ReportInput(run=other)) == ""
