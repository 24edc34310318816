"""A process that imports mlx and traces trainings, one after another."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import IO, Any

import msgspec

from harness.errors import HarnessError
from harness.memory.trace import Shapes
from harness.model import Settings
from harness.supervise import launch
from harness.text.units import duration

TIMEOUT = 600
"""The limit of building and tracing a model, in seconds; it may have to be downloaded first."""


class Tracer:
    """The process, for one `with` block. It starts with the first question."""

    def __init__(self) -> None:
        # One thread: the process answers in the order of its questions.
        self._thread = ThreadPoolExecutor(1)
        self._child: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Tracer:
        self._said = self._stack.enter_context(tempfile.TemporaryFile())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self._child is not None:
            self._child.kill()
        self._thread.shutdown(cancel_futures=True)
        if self._child is not None:
            with contextlib.suppress(OSError):  # a question that it did not read
                self._child.communicate()
        self._stack.close()

    def ask(self, settings: Settings, grad_checkpoint: bool = False) -> Future[Shapes | str]:
        """The model that the settings train; the reason where they cannot be traced.

        The future raises HarnessError when the process fails, or takes longer than TIMEOUT.
        """
        return self._thread.submit(self._ask, (settings, grad_checkpoint), Shapes | str)

    def peak(self, settings: Settings, grad_checkpoint: bool, backend: str) -> Future[int | str]:
        """The peak of the baseline in bytes, on a device of this backend; else as `ask`."""
        return self._thread.submit(self._ask, (settings, grad_checkpoint, backend), int | str)

    def _ask(self, request: tuple[Any, ...], kind: Any) -> Any:
        if self._child is None:
            self._child = subprocess.Popen(
                launch.boot("harness.training.shapes"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
            )
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(TIMEOUT, end)
        timer.daemon = True
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # it is dead: the answer is empty
                child.stdin.write(msgspec.json.encode(request) + b"\n")
                child.stdin.flush()
            answer = child.stdout.readline()
        finally:
            timer.cancel()
        if late.is_set():
            raise HarnessError(
                f"the trace of the training took more than {duration(TIMEOUT)}; try a smaller model"
            )
        if not answer.endswith(b"\n"):
            raise HarnessError(f"the training cannot be traced: {self._last_words(child)}")
        return msgspec.json.decode(answer, type=kind)

    def _last_words(self, child: subprocess.Popen[bytes]) -> str:
        code = child.wait()
        assert self._said is not None
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {code}"
