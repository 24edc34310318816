"""Which versions a command ran, and how its processes told of their ends."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from harness import inject
from harness.inject import processes
from harness.inject.inside import versions as inside
from harness.model import Environment, RunResult
from harness.observe import environment, mapped
from harness.session.begin import with_versions
from harness.supervise.ran import Ran

HERE = Environment(
    platform="Linux", machine="x86_64", python="3.11.7", cpu_count=2, memory=1,
    versions={"mlx": "9.9", "mlx-lm": "9.9"},
)  # fmt: skip


def write(folder, *lines):
    with (folder / processes.PROCESSES).open("ab") as file:
        for line in lines:
            file.write(msgspec.json.encode(line) + b"\n")


def ran(pid, name, version):
    return {"k": "ran", "pid": pid, "python": "3.12.1", "name": name, "version": version}


def end(pid, error=None, forked=False):
    return {"k": "end", "pid": pid, "python": "3.12.1", "error": error, "forked": forked}


def test_what_processes_tell_of_themselves(tmp_path):
    assert processes.read(tmp_path) == ()
    write(tmp_path, ran(7, "mlx", "0.30.1"), end(8, "x", True), ran(7, "mlx-lm", "0.28"), end(7))
    with (tmp_path / processes.PROCESSES).open("ab") as file:
        file.write(b'{"k":"end","pid')
    child, main = processes.read(tmp_path)
    assert (child.pid, child.error, child.forked) == (8, "x", True)
    assert (main.pid, main.ended, main.error) == (7, True, None)
    assert main.versions == {"mlx": "0.30.1", "mlx-lm": "0.28"}


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "ValueError", "SystemExit(3)", None])
def test_a_hooked_python_ends_as_it_would(tmp_path, raised):
    """After Ctrl-C that is by SIGINT: a shell, and our exit code, tell it from a failure."""
    hook = Path(inject.__file__).parent / "hook"
    argv = [sys.executable, "-I", "-c", f"raise {raised}" if raised else "pass"]
    plain = subprocess.run(argv, capture_output=True, check=False)
    argv.remove("-I")
    variables = {"PYTHONPATH": str(hook), "HARNESS_BEATS": str(tmp_path)}
    hooked = subprocess.run(argv, capture_output=True, check=False, env=os.environ | variables)
    assert hooked.returncode == plain.returncode
    (told,) = processes.read(tmp_path)
    raises = raised if raised in ("KeyboardInterrupt", "ValueError") else None
    assert (told.error.splitlines()[-1] if told.error else None) == raises


def test_a_module_tells_its_version(tmp_path):
    module = SimpleNamespace(__name__="mlx.core", __version__="0.30.1")
    inside.wrap(module, str(tmp_path))
    inside.wrap(SimpleNamespace(__name__="mlx.core"), str(tmp_path))
    (told,) = processes.read(tmp_path)
    assert told.versions == {"mlx": "0.30.1"}
    inside.wrap(module, str(tmp_path / "gone"))


def test_the_versions_are_those_of_the_process_that_imported_mlx(tmp_path):
    write(tmp_path, end(7), ran(9, "mlx", "0.30.1"))
    seen = Ran()
    seen.settle(tmp_path)
    assert seen.versions(7) == {"mlx": "0.30.1", "python": "3.12.1"}
    assert Ran().versions(7) == {}


def test_what_is_mapped_is_looked_up_where_it_lies(tmp_path, monkeypatch):
    site = tmp_path / "site-packages"
    (site / "mlx" / "lib").mkdir(parents=True)
    for name in ("mlx-0.29.0", "mlx_metal-0.29.0", "numpy-2.0", "mlx_lm-1.0"):
        (site / f"{name}.dist-info").mkdir()

    class Here:
        def code(self, pid):
            return f"7f-80 r-xp 0 08:01 5 {site}/mlx/lib/libmlx.so\n"

    monkeypatch.setattr(mapped.platform, "current", Here)
    monkeypatch.setattr(mapped, "_executable", lambda pid: "/usr/bin/python3.12")
    assert mapped.versions(5) == {"python": "3.12", "mlx": "0.29.0", "mlx-metal": "0.29.0"}
    assert mapped.of_tree([5]) == mapped.versions(5)
    assert mapped.of_tree([]) == {}


def test_the_harnesss_own_versions_are_not_those_of_a_command():
    nobody, ours = environment.of_nobody(), environment.gather()
    assert (ours.python, ours.machine) == (platform.python_version(), nobody.machine)
    assert (nobody.python, nobody.versions) == ("not known", {})
    run = RunResult(harness_version="1", started="now", environment=nobody, settings=None)
    run = with_versions(run, {})
    assert run.environment == nobody
    run = with_versions(run, {"python": "3.12.1", "mlx": "0.30.1"})
    assert (run.environment.python, run.environment.versions) == ("3.12.1", {"mlx": "0.30.1"})
    run = with_versions(run, {"python": "3.12.1", "mlx": "0.31.0"})
    assert run.environment.versions == {"mlx": "0.30.1 and 0.31.0"}


@pytest.mark.parametrize("name", ["python", "mlx"])
def test_a_version_that_differs_is_compared_first(name):
    from harness.analysis.compare import compare

    def run(version):
        env = msgspec.structs.replace(HERE, versions={"mlx": "1"}, cpu_count=int(version))
        env = (
            msgspec.structs.replace(env, python=version)
            if name == "python"
            else msgspec.structs.replace(env, versions={"mlx": version})
        )
        return RunResult(harness_version=version, started="now", environment=env, settings=None)

    first = compare(run("1"), run("2")).setup[0]
    assert (first.name, first.a, first.b) == (name, "1", "2")


def test_a_module_that_tells_no_version_is_looked_up(tmp_path, monkeypatch):
    """A program that takes only the trees of MLX never imports mlx.core."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"1.2 of {name}")
    inside.wrap(SimpleNamespace(__name__="mlx.utils"), str(tmp_path))
    (told,) = processes.read(tmp_path)
    assert told.versions == {"mlx": "1.2 of mlx"}


def test_the_exception_of_a_rank_as_it_tells_it(tmp_path):
    text = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\nValueError: no shard\n'
    write(tmp_path, ran(8, "mlx", "0.30.1"), end(9, text), end(10))
    assert Ran().error(tmp_path, 9) == "ValueError: no shard, at a.py:3 in f"
    assert [Ran().error(tmp_path, pid) for pid in (8, 10, 11, None)] == [None] * 4
