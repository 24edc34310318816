"""Fixtures of the tests that start real processes."""

from __future__ import annotations

import fcntl
import subprocess
import tempfile
from pathlib import Path

import pytest
from trial import ROOT, Trial


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test with many values, only the first is measured: the others run the same lines, and
    the tracer costs each process that they start a third of its time."""
    for item in items:
        values = getattr(item, "callspec", None)
        ours = Path(__file__).parent in item.path.parents
        if ours and values is not None and any(values.indices.values()):
            item.add_marker(pytest.mark.unmeasured)


@pytest.fixture(autouse=True)
def few_workers_are_measured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """The tracer takes a seventh of a worker's time, and two files start workers of each kind: one
    process and ranks."""
    if request.path.stem not in ("test_api_real", "test_ranks_real"):
        monkeypatch.setenv("HARNESS_UNMEASURED", "harness.worker")


@pytest.fixture
def trial(tmp_path):
    trial = Trial(tmp_path)
    yield trial
    trial.close()


@pytest.fixture
def silent_alone():
    """No other test has a silent file system at the same time: of two, which one is waited for by a
    call that names no file cannot be told."""
    with open(Path(tempfile.gettempdir()) / "mlx-harness-tests-fuse.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def library(once) -> Path:
    """The libproc and the libSystem of the simulated Mac in one file."""

    def compiled(folder: Path) -> None:
        command = ["cc", "-Wall", "-Werror", "-O1", "-shared", "-fPIC"]
        source = ROOT / "tests" / "macos" / "darwin.c"
        subprocess.run([*command, source, "-o", folder / "darwin.so"], check=True)

    return once("darwin", compiled) / "darwin.so"
