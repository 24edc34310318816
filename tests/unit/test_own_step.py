"""The variations of a user's own step, and what a diagnosis of it may rest on."""

from __future__ import annotations

from pathlib import Path

import fakes
import msgspec
import pytest

from harness.analysis.diagnosis.hypotheses import LADDER
from harness.errors import UsageError
from harness.model import Outcome, Settings, Support
from harness.report.repro import script
from harness.scenario import load
from harness.session.conclude import conclude

STEP = """'''Mine.'''
import helper
SETTINGS = {"steps": 7}
EXPECTS = ("loss_flat",)
def make_step(training):
    return helper.step
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "helper.py").write_text("def step(batch):\n    return batch.sum()\n")
    file = tmp_path / "mine.py"
    file.write_text(STEP)
    return file


def test_variations_have_the_settings_of_the_file_and_names_of_the_ladder(mine):
    infos = {info.name: info for info in load.variations(mine)}
    assert set(infos) - set(LADDER) == {"smaller_batch"}
    assert {info.own.source for info in infos.values()} == {STEP}
    assert all(info.settings["steps"] == 7 for info in infos.values())
    assert infos["grad_without_update"].expects == ("loss_flat", "parameters_unchanged")
    assert not any(map(load.is_shipped, infos.values()))
    for info in infos.values():
        assert load.again(info) == info
        assert "Varies:" in info.doc
        assert "Separates:" in info.doc


def test_the_reference_lists_the_variations(mine):
    text = (ROOT / "docs/reference/scenarios.md").read_text()
    table = text.partition("## Variations of your own step")[2].partition("\n## ")[0]
    rows = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    assert rows == {info.name for info in load.variations(mine)}


def test_a_file_that_is_no_scenario_has_no_variations(tmp_path):
    (tmp_path / "x.py").write_text("1")
    with pytest.raises(UsageError, match="has no make_step"):
        load.variations(tmp_path / "x.py")


def test_only_a_file_of_the_ladder_as_it_is_counts_as_shipped(tmp_path):
    (shipped,) = load.find(["baseline_update"])
    assert load.is_shipped(shipped)
    changed = tmp_path / "baseline_update.py"
    changed.write_text(shipped.source + "\n# mine\n")
    assert not load.is_shipped(load.load(changed))


def test_a_variation_can_be_written_as_one_file(mine):
    infos = {info.name: info for info in load.variations(mine)}
    text = script(infos["sgd_step"], Settings(), load.siblings(infos["sgd_step"]))
    order = [text.index(f"module({name!r}") for name in ("helper", load.OWN, load.STEP)]
    assert order == sorted(order)
    unchanged = script(infos["baseline_update"], Settings(), load.siblings(infos["sgd_step"]))
    assert load.OWN not in unchanged
    assert "return helper.step" in unchanged


def diagnosed(infos, *results):
    run = fakes.run(*results, settings=Settings(), scenarios=tuple(infos))
    return conclude(run, Path("reports/x")).diagnosis


def slow(name, outcome=Outcome.HUNG):
    hung = fakes.hung(name)
    cause = msgspec.structs.replace(hung.cause, code="stalled", proven=False)
    return msgspec.structs.replace(hung, cause=cause, outcome=outcome)


def test_what_the_ladder_does_neither_refutes_nor_supports_anything_of_an_own_step(mine):
    own = load.load(mine)
    ladder = load.find(["baseline_update", "eval_after_update", "sgd_step", "tiny_model"])
    alone = diagnosed([own], slow("mine"))
    beside = diagnosed([own, *ladder], slow("mine"), *(fakes.result(i.name) for i in ladder))
    assert alone.hypotheses == beside.hypotheses
    assert {h.verdict for h in beside.hypotheses} == {Support.UNTESTED}


def test_of_an_own_step_its_variations_are_next(mine):
    own = load.load(mine)
    command = diagnosed([own], slow("mine")).next_experiment
    assert command == f"python -m harness run-all --own {mine} --steps 10"


def test_variations_are_judged_by_the_table_and_only_a_variation_is_next(mine):
    infos = {info.name: info for info in load.variations(mine)}
    some = [infos["baseline_update"], infos["uncompiled_step"]]
    found = diagnosed(some, slow("baseline_update"), fakes.result("uncompiled_step"))
    by_id = {h.id: h.verdict for h in found.hypotheses}
    assert by_id["stale_compile"] is Support.SUPPORTED
    following = diagnosed(some[:1], slow("baseline_update")).next_experiment
    assert following.split()[4] in infos
