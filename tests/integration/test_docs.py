"""What the documents say is so."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path

import forked
import jsonschema
import pytest

from harness.report import markdown
from harness.scenario import load

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guide" / "scenarios.md").read_text()
REFERENCE = (ROOT / "docs" / "reference" / "scenarios.md").read_text()
SAMPLE = ROOT / "reports" / "samples" / "run-all"


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", GUIDE, flags=re.S))
def test_a_scenario_from_the_documents_runs(tmp_path, block):
    (tmp_path / "mine.py").write_text(block)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = forked.harness("run", "mine.py", "--json", folder=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["metrics"]["parameters_changed"] is True
    assert len(block.splitlines()) <= 25


def test_the_documents_name_every_scenario_of_the_ladder_and_no_other():
    table = REFERENCE.partition("## The ladder")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, flags=re.M)
    assert sorted(named) == sorted(info.name for info in load.ladder())


def test_the_readme_shows_the_sample_and_the_sample_is_whole():
    spec = importlib.util.spec_from_file_location("sample", ROOT / "benchmarks" / "sample.py")
    sample = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sample)
    report = (SAMPLE / "report.md").read_text()
    readme = (ROOT / "README.md").read_text()
    assert sample.put(sample.excerpt(report), readme, "sample") == readme
    assert len(report) <= markdown.LIMIT
    document = json.loads((SAMPLE / "run.json").read_text())
    jsonschema.validate(document, json.loads((ROOT / "docs" / "run.schema.json").read_text()))
    assert {r["scenario"] for r in document["results"]} == {s.name for s in load.ladder()}


def test_the_readme_is_short_and_says_early_what_has_never_been_run():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) < 120
    top = " ".join(lines[:20])
    assert all(word in top for word in ("never been run", "macOS", "aarch64", "Yama"))
