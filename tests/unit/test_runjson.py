"""run.json: whole, valid against its schema, and read back as it was."""

from __future__ import annotations

import json
import math
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.model import (
    Cause,
    Environment,
    Finding,
    LossSummary,
    Metrics,
    Outcome,
    RunResult,
    ScenarioInfo,
    ScenarioResult,
    Settings,
    Severity,
    StepTimes,
)
from harness.report import runjson, schema

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "run.schema.json").read_text())
ENVIRONMENT = Environment(platform="Linux", machine="x86_64", python="3.11", cpu_count=2, memory=1)


def run(*results, **fields):
    infos = tuple(
        ScenarioInfo(name=name, path=f"{name}.py", summary="", doc="", source="")
        for name in dict.fromkeys(result.scenario for result in results)
    )
    return RunResult(
        harness_version="0",
        started="2026-01-01T00:00:00+00:00",
        environment=ENVIRONMENT,
        settings=Settings(),
        scenarios=infos,
        results=results,
        **fields,
    )


def result(name="baseline_update", outcome=Outcome.COMPLETED, **fields):
    return ScenarioResult(
        scenario=name,
        outcome=outcome,
        steps_requested=10,
        steps_completed=10,
        wall_s=1.0,
        **fields,
    )


def test_the_committed_schema_is_that_of_the_types():
    assert schema.schema() == SCHEMA, "python -m harness.report.schema > docs/run.schema.json"


numbers = st.floats(allow_nan=True, allow_infinity=True)
losses = st.builds(
    LossSummary,
    first=numbers,
    last=numbers,
    min=st.none() | numbers,
    max=st.none() | numbers,
    finite=st.booleans(),
)
findings = st.builds(
    Finding,
    code=st.text(),
    severity=st.sampled_from(Severity),
    summary=st.text(),
    evidence=st.dictionaries(st.text(), numbers | st.text() | st.lists(numbers)),
)
results = st.builds(
    result,
    outcome=st.sampled_from(Outcome),
    cause=st.none() | st.builds(Cause, code=st.text(), summary=st.text()),
    findings=st.lists(findings, max_size=3).map(tuple),
    metrics=st.builds(
        Metrics,
        step_s=st.none()
        | st.builds(StepTimes, first=numbers, median=numbers, p99=numbers, max=numbers),
        loss=st.none() | losses,
    ),
)


@given(st.lists(results, max_size=3))
def test_any_result_is_valid_json_and_comes_back(tmp_path_factory, made):
    folder = tmp_path_factory.mktemp("run")
    whole = run(*made)
    runjson.write(whole, folder)
    text = (folder / "run.json").read_text()
    document = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    jsonschema.validate(document, SCHEMA)
    again = runjson.read(folder)
    assert [r.outcome for r in again.results] == [r.outcome for r in made]
    for ours, theirs in zip(made, again.results, strict=True):
        assert same(ours.metrics.loss, theirs.metrics.loss)


def same(a, b):
    """Equal, NaN being equal to itself."""
    if a is None or b is None:
        return a is b
    pairs = zip(msgspec.structs.astuple(a), msgspec.structs.astuple(b), strict=True)
    return all(x == y or (math.isnan(x) and math.isnan(y)) for x, y in pairs)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "no run's folder"),
        ("{", "not JSON"),
        ("[]", "schema None"),
        ('{"schema": 99}', "schema 99"),
        ('{"schema": 1}', "missing required field"),
    ],
)
def test_what_is_no_run_is_one_clear_line(tmp_path, text, told):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(UsageError, match=told) as caught:
        runjson.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    runjson.write(run(), tmp_path)
    before = (tmp_path / "run.json").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        runjson.write(run(result()), tmp_path)
    assert (tmp_path / "run.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
