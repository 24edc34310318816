"""What a user installs is whole: from the source distribution to a run in an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def check(*command: str | Path, **options: Any) -> str:
    """What the command printed; what it complained of, when it failed."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def installed(once: Any) -> Path:
    """A folder with the package as pip makes it from the source distribution, not editable.

    What the package depends on is that of the tests' own environment: nothing is downloaded.
    """
    return once("install", install) / "target"


def install(folder: Path) -> None:
    check(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (archive,) = folder.glob("*.tar.gz")
    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    check(sys.executable, "-m", "pip", "install", *offline, "--target", folder / "target", archive)


@pytest.fixture
def anywhere(installed: Path, tmp_path: Path) -> dict[str, Any]:
    """An empty folder to be in, and an environment that finds the installed package first."""
    return {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(installed)}}


def test_every_scenario_is_in_the_wheel(installed: Path):
    shipped = {path.relative_to(ROOT) for path in (ROOT / "scenarios").rglob("*.py")}
    assert shipped
    assert all((installed / "harness" / path).is_file() for path in shipped)
    assert (installed / "harness" / "py.typed").is_file()


def test_list_speaks_of_the_installed_scenarios(installed: Path, anywhere: dict[str, Any]):
    document = json.loads(check(sys.executable, "-m", "harness", "list", "--json", **anywhere))
    paths = {one["name"]: Path(one["path"]) for one in document["scenarios"]}
    assert paths["baseline_update"].is_relative_to(installed)


def test_console_script_runs_a_scenario(installed: Path, anywhere: dict[str, Any]):
    options = ("--steps", "2", "--json")
    said = check(installed / "bin" / "harness", "run", "baseline_update", *options, **anywhere)
    (result,) = json.loads(said)["results"]
    assert (result["outcome"], result["steps_completed"]) == ("completed", 2)
