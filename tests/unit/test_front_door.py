"""The files by which people enter the project: workflow, forms, changelog, license, hooks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from harness import __version__

ROOT = Path(__file__).parents[2]
WORKFLOWS = [ROOT / ".github" / "workflows" / "test.yml", ROOT / "docs" / "ci" / "harness.yml"]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(file: Path):
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_has_the_least_rights_pinned_actions_and_an_end(file):
    workflow = read(file)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_the_workflow_runs_ci_on_linux_and_the_unit_tests_and_controls_on_macos():
    jobs = read(WORKFLOWS[0])["jobs"].values()
    commands = {job["runs-on"]: [] for job in jobs}
    for job in jobs:
        commands[job["runs-on"]] += [step["run"] for step in job["steps"] if "run" in step]
    assert any(command.endswith(".ci/run") for command in commands["ubuntu-latest"])
    assert commands["macos-latest"] == [
        "make unit",
        'make selftest ARGS="--out reports"',
        ".venv/bin/harness doctor --record recorded",
    ]


def test_what_is_said_to_be_a_target_of_make_is_one():
    targets = re.findall(r"^([\w./$()-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for page in [*ROOT.glob("*.md"), *ROOT.glob(".github/**/*.*"), *ROOT.glob("docs/guide/*.md")]:
        named = re.findall(r"`make ([\w-]+)`|run: make ([\w-]+)", page.read_text(encoding="utf-8"))
        assert {first or second for first, second in named} <= set(targets), page.name


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.name)
def test_an_issue_form_is_one_as_github_reads_it(file):
    form = read(file)
    if file.name == "config.yml":
        assert set(form) == {"blank_issues_enabled"}  # no address is invented
        return
    assert form["name"]
    assert form["description"]
    ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
    assert len(ids) == len(set(ids)) > 2
    for part in form["body"]:
        assert part["type"] in {"markdown", "textarea", "input", "dropdown"}
        assert part["attributes"]["value" if part["type"] == "markdown" else "label"]
        assert part["type"] != "dropdown" or len(part["attributes"]["options"]) > 1


def test_the_changelog_has_this_version_and_only_known_kinds_of_changes():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[([^]]+)\]", text, re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert __version__ in versions
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_hooks_are_the_tools_of_make_lint():
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    recipe = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    tools = re.findall(r"\$\(BIN\)/(.*)", recipe)
    hooks = [hook["entry"].removeprefix(".venv/bin/") for hook in repository["hooks"]]
    assert [hook.split(" --")[0] for hook in hooks] == [re.split(r" -| \.", t)[0] for t in tools]


def test_the_license_is_the_one_that_the_package_names():
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert re.search(r'^license = "MIT"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def test_nobody_invents_a_home_for_the_project():
    pages = [*ROOT.glob("*.md"), *ROOT.glob(".github/**/*.*"), ROOT / "pyproject.toml"]
    addresses = re.findall(r"https?://[^\s)\"'>]+", "".join(p.read_text("utf-8") for p in pages))
    assert {re.split("/+", address)[1] for address in addresses} == {
        "keepachangelog.com", "semver.org",
    }  # fmt: skip
