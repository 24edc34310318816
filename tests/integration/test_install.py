"""What a user installs is whole: from the source distribution to commands in an empty folder.

Nothing is downloaded: what the package depends on is linked from the tests' own environment.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = "mlx-hang-harness"
Once = Callable[[str, Callable[[Path], object]], Path]


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, **options)


def check(*command: str | Path, **options: Any) -> str:
    """What the command printed; what it complained of, when it failed."""
    done = run(*command, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(folder: Path) -> None:
    check(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (archive,) = folder.glob("*.tar.gz")
    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    check(sys.executable, "-m", "pip", "wheel", *offline, "-w", folder, archive)


@pytest.fixture(scope="session")
def wheel(once: Once) -> Path:
    """The wheel, built from the source distribution."""
    (wheel,) = once("dist", build).glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def installed(wheel: Path, once: Once) -> Path:
    """A folder with the package as pip makes it."""

    def install(folder: Path) -> None:
        options = ("--no-index", "--no-deps", "--target", folder / "target")
        check(sys.executable, "-m", "pip", "install", *options, wheel)

    return once("installed", install) / "target"


@pytest.fixture
def anywhere(installed: Path, tmp_path: Path) -> dict[str, Any]:
    """An empty folder to be in, and an environment that finds the installed package first."""
    return {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(installed)}}


# -- an environment of its own, without MLX


def needed(*names: str) -> dict[str, Distribution]:
    """The distributions called `names`, and all that they require on this machine."""
    from packaging.requirements import Requirement

    found: dict[str, Distribution] = {}
    left = list(names)
    while left:
        name = left.pop()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for line in found[name].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                left.append(requirement.name)
    return found


def link(one: Distribution, home: Path, bin_folder: Path) -> None:
    """Put a distribution of the tests' environment into the site-packages `home`."""
    for file in one.files or ():
        where = Path(str(one.locate_file(file)))
        if file.parts[0] != "..":
            target = home / file.parts[0]
            source = Path(str(one.locate_file(file.parts[0])))
        elif where.parent.name == "bin":
            target, source = bin_folder / file.name, where
        else:
            continue
        if not target.exists() and "__pycache__" not in target.parts:
            target.symlink_to(source.resolve())


@pytest.fixture(scope="session")
def base(wheel: Path, once: Once) -> Path:
    """An environment with what `pip install mlx-hang-harness pytest` brings, and nothing else."""

    def make(folder: Path) -> None:
        check(sys.executable, "-m", "venv", "--without-pip", folder / "env")
        (home,) = folder.glob("env/lib/python*/site-packages")
        wanted = needed(OURS, "pytest")
        del wanted[OURS]
        for one in wanted.values():
            link(one, home, folder / "env" / "bin")
        python = folder / "env" / "bin" / "python"
        options = ("install", "--no-index", "--no-deps")
        check(sys.executable, "-m", "pip", "--python", python, *options, wheel)

    return once("base", make) / "env" / "bin"


@pytest.fixture
def clean() -> dict[str, str]:
    """The variables of a shell that knows nothing of the tests' own environment."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}


def test_every_scenario_is_in_the_wheel(installed: Path):
    shipped = {path.relative_to(ROOT) for path in (ROOT / "scenarios").rglob("*.py")}
    assert shipped
    assert all((installed / "harness" / path).is_file() for path in shipped)
    assert (installed / "harness" / "py.typed").is_file()
    assert (installed / "mlx_harness" / "py.typed").is_file()


def test_list_speaks_of_the_installed_scenarios(installed: Path, anywhere: dict[str, Any]):
    document = json.loads(check(sys.executable, "-m", "harness", "list", "--json", **anywhere))
    paths = {one["name"]: Path(one["path"]) for one in document["scenarios"]}
    assert paths["baseline_update"].is_relative_to(installed)


@pytest.mark.parametrize("script", ["harness", "mlx-harness"])
def test_console_script_runs_a_scenario(script: str, installed: Path, anywhere: dict[str, Any]):
    options = ("--steps", "2", "--json")
    said = check(installed / "bin" / script, "run", "baseline_update", *options, **anywhere)
    document = json.loads(said)
    (result,) = document["results"]
    assert (result["outcome"], result["steps_completed"]) == ("completed", 2)
    assert document["diagnosis"]["next_experiment"].startswith(f"{script} run ")


def test_what_watches_is_small():
    """Beside pip, in bytes on the disk, with what Python compiles of it."""
    sizes = {}
    for name, one in needed(OURS).items():
        paths = [Path(str(one.locate_file(file))) for file in one.files or ()]
        sizes[name] = sum(path.stat().st_size for path in paths if path.is_file())
    sizes[OURS] = sum(path.stat().st_size for path in (ROOT / "harness").rglob("*.*"))
    assert not {"mlx", "mlx-lm", "transformers", "numpy"} & sizes.keys()
    assert {"rich", "msgspec"} <= sizes.keys()
    # From Python 3.14 on, it has two tools for stacks.
    second = 10_000_000 if {"pystack", "py-spy"} <= sizes.keys() else 0
    assert sum(sizes.values()) < 60_000_000 + second, sizes


@pytest.mark.parametrize(
    "words",
    [
        ("run-all",),
        ("run", "baseline_update"),
        ("selftest",),
        ("doctor", "--model", "tiny"),
    ],
    ids=" ".join,
)
def test_without_mlx_what_trains_says_what_to_install(words, base, clean, tmp_path):
    done = run(base / "harness", *words, cwd=tmp_path, env=clean)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert re.match(r"harness: error: MLX is not installed in .*; to install it, run: ", line)
    assert re.search(r"install.*mlx", line.partition("run: ")[2])
    assert list(tmp_path.iterdir()) == []


def test_without_mlx_the_api_says_so_too(base, clean, tmp_path):
    code = "import harness; harness.run('baseline_update')"
    done = run(base / "python", "-c", code, cwd=tmp_path, env=clean)
    assert "UsageError: MLX is not installed in " in done.stderr.splitlines()[-1]
    test = tmp_path / "test_it.py"
    test.write_text("def test_it(harness_run):\n    harness_run('baseline_update')\n")
    done = run(base / "python", "-m", "pytest", "-q", test, cwd=tmp_path, env=clean)
    assert done.returncode == 1
    assert "MLX is not installed in " in done.stdout
    assert "1 failed" in done.stdout
    assert not (tmp_path / "reports").exists()


def test_without_mlx_what_only_watches_works(base, clean, tmp_path):
    here: dict[str, Any] = {"cwd": tmp_path, "env": clean}
    harness = base / "harness"
    check(harness, "watch", "--", base / "python", "-c", "print('step 1')", **here)
    (folder,) = (tmp_path / "reports").glob("*-*")
    assert "report.md" in check(harness, "report", folder, **here)
    check(harness, "compare", folder, folder, **here)
    assert "baseline_update" in check(harness, "list", **here)
    doctor = json.loads(check(harness, "doctor", "--json", **here))
    assert not doctor["mlx"]["ok"]
    assert doctor["mlx"]["reason"].startswith("MLX is not installed in ")
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        try:
            time.sleep(0.5)
            done = run(harness, "attach", str(sleeper.pid), **here)
        finally:
            sleeper.kill()
    assert done.returncode == 0  # its clock rings
    assert f"process {sleeper.pid} (sleep ...): asleep" in done.stderr


# -- beside another `harness`


@pytest.fixture(params=["harness.py", "harness/__init__.py"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A repository with a `harness` of its own, and a test of it."""
    file = tmp_path / request.param
    file.parent.mkdir(exist_ok=True)
    file.write_text("answer = 42\n")
    (tmp_path / "test_theirs.py").write_text(
        "import harness\n\ndef test_theirs():\n    assert harness.answer == 42\n"
    )
    (tmp_path / "test_ours.py").write_text("def test_ours(harness_run):\n    pass\n")
    return file


def starts(base: Path) -> Iterator[list[str | Path]]:
    yield [base / "pytest"]
    yield [base / "python", "-m", "pytest"]


@pytest.mark.parametrize("filters", [(), ("-W", "error")], ids=" ".join)
def test_pytest_runs_beside_another_harness(filters, base, clean, theirs, tmp_path):
    for start in starts(base):
        words = [*start, *filters, "test_theirs.py"]
        done = run(*words, cwd=tmp_path, env=clean)
        assert done.returncode == 0, done.stdout + done.stderr
        said = " ".join(done.stdout.split())
        why = f"the pytest plugin of mlx-hang-harness is off: {theirs} has the name of the package"
        assert said.count(why) == 1
        assert "rename it" in said
        assert "-p no:harness.pytest_plugin" in said
        assert "1 passed" in said
    silent = check(*words, "-p", "no:harness.pytest_plugin", cwd=tmp_path, env=clean)
    assert "mlx-hang-harness is off" not in silent


def test_a_test_that_needs_the_plugin_says_why_it_cannot(base, clean, theirs, tmp_path):
    done = run(base / "python", "-m", "pytest", "-q", cwd=tmp_path, env=clean)
    assert done.returncode == 1
    assert f"{theirs} has the name of the package" in done.stdout
    assert "1 passed" in done.stdout
    assert "1 error" in done.stdout
    assert "Traceback" not in done.stdout


def test_without_another_harness_there_is_no_warning(base, clean, tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n")
    for start in starts(base):
        said = check(*start, "-W", "error", cwd=tmp_path, env=clean)
        assert "mlx-hang-harness is off" not in said
        assert "1 passed" in said


@pytest.mark.parametrize("words", [("harness",), ("mlx-harness",), ("python", "-m", "mlx_harness")])
def test_commands_are_ours_beside_another_harness(words, base, clean, theirs, tmp_path):
    start: list[str | Path] = [base / words[0], *words[1:]]
    here: dict[str, Any] = {"cwd": tmp_path, "env": {**clean, "PYTHONPATH": str(tmp_path)}}
    assert "baseline_update" in check(*start, "list", **here)
    done = run(*start, "run", "no_such_thing", **here)
    assert f"(see: {' '.join(words)} list)" in done.stderr


def test_a_worker_is_ours_beside_another_harness(installed, theirs, tmp_path):
    """And the training of the project finds its own modules."""
    (tmp_path / "mine.py").write_text("DOC = 'mine'\n")
    step = (ROOT / "scenarios" / "ladder" / "tiny_model.py").read_text()
    (tmp_path / "my_scenario.py").write_text(step + "\nimport mine\n")
    path = os.pathsep.join([str(tmp_path), str(installed)])
    env = {**os.environ, "PYTHONPATH": path}
    script = installed / "bin" / "mlx-harness"
    said = check(script, "run", "my_scenario.py", "--steps", "2", "--json", cwd=tmp_path, env=env)
    (result,) = json.loads(said)["results"]
    assert result["outcome"] == "completed"
    if theirs.name == "__init__.py":  # what projects starts as a worker does
        said = check(script, "doctor", "--model", "micro", "--json", cwd=tmp_path, env=env)
        document = json.loads(said)
        assert document["mlx"]["ok"]
        assert document["projection"]["scenarios"]
