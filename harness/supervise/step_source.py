"""The source of a run's steps: what is launched, and how its progress is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from harness.beats.file import BeatReader, read_position
from harness.model import (
    BuiltBeat,
    Ending,
    ErrorBeat,
    Position,
    ScenarioResult,
    Snapshot,
    StartBeat,
)
from harness.supervise import final_words, launch
from harness.supervise.rank_tracker import RankTracker
from harness.supervise.run_state import RunState


class StepSource(Protocol):
    """The part of a job that differs between a scenario, its ranks and an outside command."""

    ours: bool
    """True if the process is a worker, whose handler of SIGUSR1 is ours."""

    @property
    def tracker(self) -> RankTracker | None:
        """The ranks; None where there cannot be any."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions that were seen to run, where that is not what is installed here."""
        ...

    def launch(self, cold: bool) -> launch.Launched:
        """Start the process."""
        ...

    def look(self, now: float) -> None:
        """Look at what only this source knows of, before the processes are looked at."""
        ...

    def read(self) -> None:
        """Read the beats that are new."""
        ...

    def position(self) -> Position | None:
        """The step and phase that the run is in."""
        ...

    def watched(self, snapshot: Snapshot) -> Snapshot:
        """The part of a snapshot that may count as progress."""
        ...

    def fell_silent(self) -> bool:
        """True if it has just stopped to report by itself, which is no hang."""
        ...

    def before_end(self) -> None:
        """Let go of what was opened for the run. All that it started has ended."""
        ...

    def settle(self) -> None:
        """Bring the beats to their last place. The process is gone and its output is read."""
        ...

    def completed(self, ending: Ending) -> Ending:
        """`ending` with what only this source knows."""
        ...

    def finished(self, result: ScenarioResult) -> ScenarioResult:
        """`result` with what only this source knows."""
        ...


class WorkerBeats:
    """Reads the beats of one process."""

    def __init__(self, run: RunState, home: Path) -> None:
        self._run = run
        self._reader = BeatReader(home)

    def read(self) -> None:
        """Take in the beats that are new."""
        run = self._run
        for beat in self._reader.read():
            run.learn(beat)
            if isinstance(beat, ErrorBeat):
                run.failed = True
            elif isinstance(beat, StartBeat) and beat.tid is not None:
                run.trainer = (beat.pid, beat.tid)
            elif isinstance(beat, BuiltBeat) and beat.nodes is not None:
                run.last_graph = beat


class WorkerSteps:
    """The steps that one worker reports."""

    ours = True
    tracker = None
    versions: Mapping[str, str] = {}

    def __init__(self, run: RunState) -> None:
        self._run = run
        self._beats = WorkerBeats(run, run.folder)

    def launch(self, cold: bool) -> launch.Launched:
        return launch.worker(self._run.spec, cold, variables=self._run.info.variables)

    def look(self, now: float) -> None:
        pass

    def read(self) -> None:
        self._beats.read()

    def position(self) -> Position | None:
        return read_position(self._run.folder)

    def watched(self, snapshot: Snapshot) -> Snapshot:
        return snapshot

    def fell_silent(self) -> bool:
        return False

    def before_end(self) -> None:
        pass

    def settle(self) -> None:
        pass

    def completed(self, ending: Ending) -> Ending:
        folder = self._run.folder
        return final_words.complete(ending, [folder / "stdout.log", folder / "stderr.log"])

    def finished(self, result: ScenarioResult) -> ScenarioResult:
        return result
