"""The hang of a run, and those hangs of it that resolved themselves."""

from __future__ import annotations

from collections.abc import Callable

from harness.model import Cause, Position, Transient
from harness.supervise.run_state import RunState


class Hangs:
    """Remembers where the run was when it was called hung, to see that it went on."""

    def __init__(self, run: RunState, position: Callable[[], Position | None]) -> None:
        self._run = run
        self._position = position
        self.transients: list[Transient] = []
        self._place: tuple[int | None, str | None] = (None, None)
        self._progress = (0, False)

    def begin(self, cause: Cause, now: float) -> None:
        """The run is hung, for this cause."""
        run = self._run
        run.cause, run.detected_at = cause, now
        position = run.snapshot.position if run.snapshot else None
        self._place = (position.step, position.phase) if position else (None, None)
        self._progress = (run.steps, run.failed)

    def moved(self) -> bool:
        """True if there was a beat since the run was called hung."""
        position = self._position()
        here = (position.step, position.phase) if position else (None, None)
        return (here, self._run.steps, self._run.failed) != (self._place, *self._progress)

    def went_on(self) -> bool:
        """True if what was hung, and has ended, was hung no more by then.

        One that was killed, or that fails without a beat, may have been hung to its very end. So
        may one that ends because its user typed Ctrl-C, whatever its exit code is.
        """
        return self.moved() or (self._run.process.exit_code == 0 and not self._run.stop_typed)

    def resolve(self, since: float, now: float) -> None:
        """The run goes on. `since` is its last progress before the hang."""
        assert self._run.cause is not None
        step, phase = self._place
        self.transients.append(
            Transient(
                cause=self._run.cause,
                step=step,
                phase=phase,
                stalled_at_s=max(0.0, since - self._run.clock.start),
                lasted_s=now - since,
            )
        )
        self.drop()

    def drop(self) -> None:
        """The run is not hung, and never was."""
        self._run.cause = self._run.detected_at = self._run.proof = None
