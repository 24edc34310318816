"""How MLX is to be installed, by the way in which the harness was."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.errors import Exit, UsageError
from harness.observe import installation
from harness.session import forecast, plan
from harness.session.plan import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def plain(requirement: str) -> str:
    """A requirement without its version and marker."""
    return re.split(r"[<>=;]", requirement)[0].strip()


def test_the_extras_are_those_of_the_distribution():
    extras = PROJECT["optional-dependencies"]
    for name, wanted in installation.EXTRAS.items():
        assert tuple(map(plain, extras[name])) == wanted
    assert PROJECT["name"] == installation.DISTRIBUTION


def test_without_an_extra_nothing_of_mlx_is_installed():
    assert not {"mlx", "mlx-lm", "transformers"} & set(map(plain, PROJECT["dependencies"]))


@pytest.mark.parametrize(
    ("kind", "source", "expected"),
    [
        ("", None, "PYTHON -m pip install mlx[cpu] mlx-lm py-spy"),
        ("", (Path("/a/clone"), True), "PYTHON -m pip install -e /a/clone[cpu]"),
        ("", (Path("/a/clone"), False), "PYTHON -m pip install /a/clone[cpu]"),
        ("pipx_metadata.json", None, "pipx inject mlx-hang-harness mlx[cpu] mlx-lm py-spy"),
        (
            "pipx_metadata.json",
            (Path("/c"), True),
            "pipx inject mlx-hang-harness mlx[cpu] mlx-lm py-spy",
        ),
        ("uv-receipt.toml", None, "uv pip install --python PYTHON mlx[cpu] mlx-lm py-spy"),
    ],
)
def test_the_command_is_that_of_the_installer(kind, source, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/an/env/bin/python3")
    monkeypatch.setattr(installation, "find_spec", lambda name: name == "pip")
    if kind:
        (tmp_path / kind).touch()
    words = " ".join(installation.words(tmp_path, source, "cpu"))
    assert words == expected.replace("PYTHON", sys.executable)


def test_an_environment_without_pip_is_one_of_uv(tmp_path, monkeypatch):
    monkeypatch.setattr(installation, "find_spec", lambda name: None)
    words = installation.words(tmp_path, None, "metal")
    assert words == ("uv", "pip", "install", "--python", sys.executable, "mlx", "mlx-lm")


def test_the_python_that_is_meant_anyway_has_a_short_name(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(installation, "find_spec", lambda name: name == "pip")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installation.words(tmp_path, None, "cpu")[0] == "python"


@pytest.fixture
def no_mlx(tmp_path, monkeypatch):
    """A module path without MLX. A folder of its name is there, as in a clone of MLX."""
    (tmp_path / "mlx").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])


def test_where_mlx_is_missing_one_line_says_so(no_mlx):
    assert not installation.has_mlx()
    with pytest.raises(UsageError) as told:
        installation.need_mlx()
    assert "\n" not in str(told.value)
    assert str(told.value).startswith(f"MLX is not installed in {sys.prefix}; to install it, run: ")


def test_an_extra_that_is_missing_is_told_as_mlx_is(monkeypatch):
    monkeypatch.setattr(installation, "_source", lambda: None)
    told = installation.missing("libcst", extra="reduce")
    assert told.startswith(f"libcst is not installed in {sys.prefix}; to install it, run: ")
    assert told.split()[-1] == "libcst"


def test_an_investigation_begins_nothing_without_mlx(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(installation, "has_mlx", lambda: False)
    assert cli.main(["investigate", "tiny_model"]) == Exit.USAGE
    said = capsys.readouterr().err
    assert said.startswith("harness: error: MLX is not installed in ")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_mlx_is_found_and_not_imported():
    code = (
        "import sys; from harness.observe import installation; "
        "print(installation.has_mlx(), 'mlx.core' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True False\n", done.stderr


def test_a_plan_of_scenarios_needs_mlx_and_one_of_commands_does_not(no_mlx):
    assert plan.commands([], 1) == ()
    with pytest.raises(UsageError, match="MLX is not installed"):
        plan.make([], Settings(), 1)
    with pytest.raises(UsageError, match="MLX is not installed"):
        forecast.forecast(Settings())
