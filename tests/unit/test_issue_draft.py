"""The draft of an issue: in MLX's order, short enough for GitHub, with code that is one file."""

from __future__ import annotations

import ast
import re

import fakes
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.model import Command, Outcome, RankResult, Settings, Standing
from harness.report import issue, repro
from harness.report.input import ReportInput, groups, subject
from harness.scenario import from_function, load

TITLES = ["Describe the bug", "To Reproduce", "Expected behavior", "Desktop", "Additional context"]
GITHUB = 65_536


def draft(run, siblings=None, **streams):
    return issue.draft(ReportInput(run, siblings=lambda _: siblings or {}, **streams))


def test_the_order_is_that_of_mlxs_template_and_the_description_is_left_to_the_person():
    text = draft(fakes.mixed())
    assert re.findall(r"^\*\*(.+?)\*\*$", text, re.MULTILINE) == TITLES
    for title in ("Describe the bug", "Expected behavior"):
        blank = text.partition(f"**{title}**\n\n")[2].partition("\n\n")[0]
        assert re.fullmatch(r"<!--[^<>]*-->", blank)
    assert "written by a program" in text


def test_it_is_about_the_worst_run_and_names_the_variations():
    run = fakes.mixed()
    worst = subject(groups(run))
    assert worst.worst.outcome is Outcome.HUNG
    text = draft(run)
    assert f"# --- {worst.name}\n" in text
    for group in groups(run):
        if group.name != worst.name:
            assert f"- `{group.name}`: " in text


def test_of_a_command_the_command_is_what_reproduces_it():
    info = fakes.info(
        "train", path="", source="", command=Command(argv=("python", "train.py", "--lr", "1 e"))
    )
    result = fakes.result("train", outcome=Outcome.HUNG)
    run = msgspec.structs.replace(fakes.run(result), scenarios=(info,), settings=None)
    assert "```sh\npython train.py --lr '1 e'\n```" in draft(run)


def units(text):
    return len(text.encode("utf-16-le")) // 2


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40)
@given(
    st.integers(0, 60_000), st.integers(0, 60_000), st.integers(1, 60), st.sampled_from("a🦊`\n<")
)
def test_it_is_never_too_long_for_github(source, log, many, letter):
    results = [
        fakes.result(f"s{n}", outcome=Outcome.CRASHED, reason=letter * 3_000) for n in range(many)
    ]
    info = fakes.info("s0", source=f"x = {letter * source!r}\ndef make_step(t): pass\n")
    run = fakes.run(*results)
    run = msgspec.structs.replace(run, scenarios=(info, *run.scenarios[1:]))
    text = draft(
        run,
        log_tails=lambda _: {"stdout": letter * log, "stderr": letter * log},
        stack_texts=lambda _: {"a": letter * log, "b": letter * log},
    )
    assert units(text) < GITHUB
    assert "**To Reproduce**" in text


def test_a_job_of_ranks_has_the_command_that_starts_them():
    run = fakes.run(fakes.hung("s"), settings=Settings(ranks=3))
    text = draft(run)
    assert "(`mlx.launch -n 3 -- python repro.py`)" in text
    assert "(`python repro.py`)" not in text


def test_of_a_job_it_has_the_stacks_of_the_rank_to_blame_and_of_another():
    ranks = tuple(
        RankResult(rank=n, state=Standing.WAITING, reason="why", culprit=n == 10)
        for n in (0, 2, 10)
    )
    run = fakes.run(msgspec.structs.replace(fakes.hung("several"), ranks=ranks))
    new = {f"rank-{one.rank}/{look}-pystack.txt": "x" for one in ranks for look in (1, 2)}
    old = {"1-pystack.txt": "x", "100/1-pystack.txt": "x", "2-pystack.txt": "x"}
    for texts, shown in (
        (new, ["rank-10/1-pystack.txt", "rank-0/1-pystack.txt"]),
        (old, ["1-pystack.txt", "100/1-pystack.txt"]),
    ):
        text = draft(run, stack_texts=lambda _, texts=texts: texts)
        assert re.findall(r"Stacks \((.*?)\)", text) == shown


@pytest.mark.parametrize("info", [*load.ladder(), *load.controls()], ids=lambda i: i.name)
def test_each_shipped_scenario_becomes_one_file_without_this_project(info):
    text = repro.script(info, load.apply(Settings(), info), load.siblings(info))
    tree = ast.parse(text)
    brought = set(re.findall(r"^module\('([\w.]+)'", text, re.MULTILINE))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert not name.startswith("harness") or name in brought


def test_imports_of_imports_come_first_and_once():
    siblings = {"a": "import b\nimport c\n", "b": "import c\n", "c": "x = 1\n", "d": "unused = 1\n"}
    info = fakes.info("mine", source="import a\nimport c\ndef make_step(t): pass\n")
    text = repro.script(info, Settings(), siblings)
    assert re.findall(r"^module\('(\w+)'", text, re.MULTILINE) == ["c", "b", "a"]


def test_a_source_that_is_no_python_is_said_to_be_none():
    with pytest.raises(ValueError, match="mine"):
        repro.script(fakes.info("mine", source="def make_step(:"), Settings(), {})
    info = fakes.info("mine", source="def make_step(:")
    run = msgspec.structs.replace(
        fakes.run(fakes.result("mine", outcome=Outcome.CRASHED)), scenarios=(info,)
    )
    assert "cannot be shown as one file" in draft(run)


def test_a_sibling_that_is_no_python_is_said_to_be_none():
    info = fakes.info("mine", source="import a\ndef make_step(t): pass\n")
    run = msgspec.structs.replace(
        fakes.run(fakes.result("mine", outcome=Outcome.CRASHED)), scenarios=(info,)
    )
    assert "cannot be shown as one file: a:" in draft(run, {"a": "def (:"})


def test_code_in_which_a_mark_stands_for_a_name_is_not_shown():
    source = "def make_step(t):\n    <user>_rate = 1\n"
    with pytest.raises(ValueError, match="mine"):
        repro.script(fakes.info("mine", source=source), Settings(), {})


def test_it_says_what_marks_in_the_code_stand_for():
    run = fakes.run(fakes.result("mine", outcome=Outcome.CRASHED))

    def text(said):
        info = fakes.info("mine", source=f"def make_step(t):\n    print({said!r})\n")
        return draft(msgspec.structs.replace(run, scenarios=(info,)))

    note = "what was redacted: put back what the code needs"
    assert note in text("<path>/data.npz")
    assert note not in text("<|im_end|>")


@pytest.mark.parametrize(
    ("imported", "model", "needs"),
    [
        ("import math", "tiny", "MLX alone"),
        ("import numpy.linalg, mlx.nn", "tiny", "MLX, numpy"),
        ("from helper import x", "tiny", "MLX, helper"),
        ("import math", "~/models/llama", "MLX, mlx_lm, the model `~/models/llama`"),
    ],
)
def test_it_says_what_the_code_needs(imported, model, needs):
    info = fakes.info("mine", source=f"{imported}\ndef make_step(t): pass\n")
    run = fakes.run(fakes.result("mine", outcome=Outcome.CRASHED))
    run = msgspec.structs.replace(run, scenarios=(info,), settings=Settings(model=model))
    assert f"which needs {needs} (`python repro.py`)" in draft(run)


def test_the_file_has_only_what_its_scenario_uses():
    def text(source, **settings):
        info = fakes.info("mine", source=f"def make_step(training):\n    {source}\n")
        return repro.script(info, Settings(**settings), {})

    for part in ("# only", "# end", "def check(", "mlx_lm", "set_dtype", "distributed"):
        assert part not in text("pass")
    assert "class Llama" in text("pass")
    assert "class Llama" not in text("pass", model="~/other")
    assert "def check(" in text("training.check('a', 1, 1)")
    assert "mlx_lm" in text("pass", train="lora")
    assert "set_dtype" in text("pass", dtype="float16")
    assert "distributed" in text("pass", ranks=2)
    for changed in ({}, {"train": "last:1"}, {"device": "cpu"}, {"ranks": 2}, {"model": "~/x"}):
        ast.parse(text("training.watch(training.settings)", **changed))


def test_the_file_has_each_setting_that_a_step_may_ask_for():
    info = fakes.info("mine", source="def make_step(training):\n    training.settings\n")
    tree = ast.parse(repro.script(info, Settings(), {}))
    (found,) = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == "Settings"]
    names = {one.id for one in ast.walk(found) if isinstance(one, ast.Name)}
    # Of the others nothing depends that a step does.
    assert {*Settings.__struct_fields__} - names == {"backend", "collective_beats"}


def test_what_may_stand_at_the_top_only_is_left_out():
    source = "from __future__ import annotations\ndef make_step(t): pass\n"
    text = repro.script(fakes.info("mine", source=source), Settings(), {})
    compile(text, "x", "exec")
    assert text.count("from __future__") <= 1


def test_a_name_that_the_parts_around_have_as_well_keeps_the_scenario_apart():
    source = "SEQ_LEN = 7\ndef make_step(t): pass\ndef batches(t): pass\n"
    text = repro.script(fakes.info("mine", source=source), Settings(), {})
    assert "scenario = module('scenario', " in text
    assert text.endswith("main(scenario.make_step, scenario.batches)\n")
    assert repro.requires(text) == ()


def test_functions_of_other_names_are_what_is_run():
    source = 'def mine(t): pass\n\n\nSCENARIO = {"make_step": mine, "batches": mine}\n'
    text = repro.script(fakes.info("mine", source=source), Settings(), {})
    assert text.endswith("\nmain(**SCENARIO)\n")


def test_batches_may_be_imported():
    source = "from data import batches\ndef make_step(t): pass\n"
    text = repro.script(fakes.info("mine", source=source), Settings(), {})
    assert text.endswith("\nmain(make_step, batches)\n")


def test_annotations_stay_unread():
    source = "from __future__ import annotations\ndef make_step(t: Unknown): pass\n"
    text = repro.script(fakes.info("mine", source=source), Settings(), {})
    assert text.startswith("from __future__ import annotations\n")


def test_what_is_not_whole_is_not_shown_as_one_file():
    source = f"{from_function.NOT_WHOLE}make_step uses model\ndef make_step(t): pass\n"
    run = fakes.run(fakes.result("mine", outcome=Outcome.CRASHED))
    run = msgspec.structs.replace(run, scenarios=(fakes.info("mine", source=source),))
    assert "The scenario cannot be shown as one file: make_step uses model." in draft(run)
