"""A worker that never ends by itself, and the source of its steps, for jobs without a process."""

from __future__ import annotations

from harness.supervise.step_source import WorkerSteps


class Worker:
    """It never ends by itself."""

    quiet = ended = False
    status = pid = exit_code = signal = None

    def listen(self) -> None:
        pass

    def reap(self, grace: float) -> None:
        self.ended = True


class Steps(WorkerSteps):
    def launch(self, cold):
        return Worker()
