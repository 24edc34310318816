"""Environments of other releases, for real: from an index that is a folder of wheels."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import forked
import pytest

TRAIN = "import steady; print('step 1 loss 0.5'); raise SystemExit(steady.code)"


def wheel(folder, version, code):
    """A wheel of the package `steady`, whose release exits with `code`."""
    info = f"steady-{version}.dist-info"
    files = {
        "steady.py": f"code = {code}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: steady\nVersion: {version}\n"
        "Project-URL: Source, https://github.com/someone/steady\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(folder / f"steady-{version}-py3-none-any.whl", "w") as made:
        for name, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            record += f"{name},sha256={digest.rstrip(b'=').decode()},{len(text)}\n"
            made.writestr(name, text)
        made.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The variables of a user whose index is a folder, and whose cache is empty, without uv."""
    home = tmp_path_factory.mktemp("releases")
    wheels = home / "wheels"
    wheels.mkdir()
    for version, code in (("1.0", 0), ("2.0", 0), ("3.0", 3), ("4.0", 3)):
        wheel(wheels, version, code)
    tools = home / "bin"
    tools.mkdir()
    (tools / "python3").symlink_to(sys.executable)
    return {
        **{name: text for name, text in os.environ.items() if not name.startswith("PIP_")},
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CONFIG_FILE": os.devnull,
        "XDG_CACHE_HOME": str(home / "cache"),
        "PATH": f"{tools}:/usr/bin:/bin",
    }


def told(code, out, errors):
    return code, json.loads(out) if out else None, errors


def harness(world, folder, *words):
    done = forked.harness(*words, folder=folder, environment=world)
    return told(done.returncode, done.stdout, done.stderr)


def test_the_release_that_broke_a_command_is_found_after_an_interruption_too(world, tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    begun = subprocess.Popen(
        [sys.executable, "-m", "harness", "bisect", "--package", "steady", "--good", "2.0",
         "--bad", "3.0", "--json", "--", "python", "train.py"],
        cwd=tmp_path, env=world, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while not (states := list(tmp_path.glob("reports/*/state.json"))) or not json.loads(
        states[0].read_bytes()
    ):
        assert begun.poll() is None, begun.communicate()
        time.sleep(0.05)
    begun.send_signal(signal.SIGINT)
    out, errors = begun.communicate()
    code, document, errors = told(begun.returncode, out, errors)
    (folder,) = tmp_path.glob("reports/2*")
    if document["interrupted"]:  # else the signal came after the last run
        assert code == 130
        assert f"--continue {folder.relative_to(tmp_path)}" in errors
        before = len(document["runs"])
        code, document, errors = harness(world, tmp_path, "bisect", "--continue", folder, "--json")
        assert len(document["runs"]) >= before
    assert code == 0, errors
    assert (document["change"], document["last_good"], document["first_bad"]) == (
        "broke", "2.0", "3.0",
    )  # fmt: skip
    assert document["found"] is True
    assert document["when"] == "crashed (exit code 3)"
    assert document["changes"] == "https://github.com/someone/steady/compare/v2.0...v3.0"
    assert [run["cell"] for run in document["runs"]] == ["steady-3.0", "steady-2.0"]
    for run in document["runs"]:
        assert (folder / run["run"] / "run.json").is_file()
    assert json.loads((folder / "bisect.json").read_bytes()) == document
    assert (folder / "plan.json").stat().st_mode & 0o077 == 0


def test_a_release_that_is_not_there_is_a_skipped_cell_with_the_reason(world, tmp_path):
    """The environments of an earlier test are shared."""
    code, document, errors = harness(
        world, tmp_path, "bisect", "--package", "steady", "--good", "2.0", "--bad", "9.0",
        "--json", "--", "python", "-c", TRAIN,
    )  # fmt: skip
    assert code == 1
    assert document["releases"] == ["2.0", "3.0", "4.0", "9.0"]  # as the index lists them
    assert "steady 9.0 cannot be used: skipped: " in document["problem"]
    assert "steady==9.0" in document["problem"]
    assert "no release found" in errors


def test_an_environment_of_ones_own_is_a_cell(world, tmp_path):
    code, document, errors = harness(
        world, tmp_path, "matrix", "sgd_step", "--model", "micro", "--steps", "3", "--json",
        "--python", sys.executable,
    )  # fmt: skip
    assert code == 0, errors
    (row,) = document["rows"]
    assert row["outcomes"] == {"completed": 1}
    assert row["figures"]["step_median_s"] > 0
    (folder,) = tmp_path.glob("reports/2*")
    run = json.loads((folder / row["run"] / "run.json").read_bytes())
    assert run["environment"]["versions"]["mlx"]


@pytest.mark.slow
@pytest.mark.timeout(1500)  # three releases are fetched: an index may be slow
def test_a_training_bisects_releases_of_mlx(world, tmp_path):
    """By the index of this machine, with uv or pip as it has them, and with their own caches."""
    bug = Path(__file__).parents[2] / "benchmarks" / "bisected" / "stream_of_main.py"
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    world = {
        "PIP_CACHE_DIR": str(caches / "pip"),
        "UV_CACHE_DIR": str(caches / "uv"),
        **os.environ,
        "XDG_CACHE_HOME": world["XDG_CACHE_HOME"],
    }
    code, document, errors = harness(
        world, tmp_path, "bisect", bug, "--good", "0.31.1", "--bad", "0.32.0", "--json"
    )
    assert code == 0, errors
    assert document["releases"] == ["0.31.1", "0.31.2", "0.32.0"]
    assert (document["last_good"], document["first_bad"]) == ("0.31.2", "0.32.0")
