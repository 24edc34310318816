"""run.json: whole, valid against its schema, and read back as it was."""

from __future__ import annotations

import json
import math
from pathlib import Path

import fakes
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from harness.errors import UsageError
from harness.model import Environment, RunResult, Settings
from harness.report import runjson, schema

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "run.schema.json").read_text())
VALID = jsonschema.Draft202012Validator(SCHEMA)
MINIMAL = RunResult(
    harness_version="0",
    started="",
    environment=Environment(platform="", machine="", python="", cpu_count=1, memory=1),
    settings=Settings(),
)


def strictly(text):
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_the_committed_schema_is_that_of_the_types():
    assert schema.schema() == SCHEMA, "python -m harness.report.schema > docs/run.schema.json"
    VALID.check_schema(SCHEMA)


@pytest.mark.parametrize("run", [MINIMAL, fakes.mixed()], ids=["minimal", "mixed"])
def test_a_run_is_valid_and_comes_back(run, tmp_path):
    runjson.write(run, tmp_path)
    document = strictly((tmp_path / "run.json").read_text())
    VALID.validate(document)
    assert document == runjson.document(run)
    assert runjson.document(runjson.read(tmp_path)) == document


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=30)
@given(fakes.RUNS)
def test_any_run_is_valid_and_comes_back(tmp_path_factory, run):
    folder = tmp_path_factory.getbasetemp()
    runjson.write(run, folder)
    document = strictly((folder / "run.json").read_text())
    VALID.validate(document)
    assert runjson.document(runjson.read(folder)) == document


def test_what_is_not_finite_is_a_string_and_a_float_again(tmp_path):
    losses = [math.nan, math.inf, -math.inf]
    run = fakes.run(*(fakes.result(metrics=fakes.metrics(last=loss)) for loss in losses))
    stored = [one["metrics"]["loss"]["last"] for one in runjson.document(run)["results"]]
    assert stored == ["nan", "inf", "-inf"]
    runjson.write(run, tmp_path)
    read = [one.metrics.loss.last for one in runjson.read(tmp_path).results]
    assert math.isnan(read[0])
    assert read[1:] == losses[1:]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.update(surprise=1),
        lambda document: document.update(schema=2),
        lambda document: document.pop("finished"),
        lambda document: document["results"][0].update(outcome="odd"),
        lambda document: document["results"][0]["metrics"]["loss"].update(last="NaN"),
        lambda document: document["results"][0]["metrics"]["loss"].pop("last"),
        lambda document: document["settings"].update(extra=None),
    ],
)
def test_the_schema_is_strict(spoil):
    document = runjson.document(fakes.mixed())
    spoil(document)
    assert not VALID.is_valid(document)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "it has no run.json"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"", "not JSON"),
        (b"[]", "schema None"),
        (b'{"schema": 99}', "schema 99"),
        (b'{"schema": 1}', "missing required field"),
    ],
    ids=["missing", "cut", "bytes", "deep", "empty", "list", "schema", "fields"],
)
def test_what_is_no_run_is_one_clear_line(tmp_path, data, told):
    if data is not None:
        (tmp_path / "run.json").write_bytes(data)
    with pytest.raises(UsageError, match=told) as caught:
        runjson.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    runjson.write(MINIMAL, tmp_path)
    before = (tmp_path / "run.json").read_bytes()
    write = Path.write_bytes

    def full(path, data):
        write(path, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        runjson.write(fakes.mixed(), tmp_path)
    assert (tmp_path / "run.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
