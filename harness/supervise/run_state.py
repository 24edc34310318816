"""The facts of one run that its supervisor's parts share."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from harness.detect.blindness import Looks
from harness.detect.observation import Observation
from harness.detect.policy import Policy
from harness.detect.stopwatch import Stopwatch
from harness.detect.watchdog import Judgment, State, Watchdog
from harness.model import (
    AnyBeat,
    BuiltBeat,
    Cause,
    ScenarioInfo,
    Snapshot,
    StepBeat,
    WorkerSpec,
)
from harness.model.beats import BETWEEN
from harness.supervise.autopsy import Autopsy
from harness.supervise.debug import RunLog
from harness.supervise.evidence import Evidence, Last
from harness.supervise.launch import Launched
from harness.supervise.ran import Ran
from harness.supervise.stage import EndReason
from harness.text import phrases


class RunState:
    """Written by the part that learns a fact, and read by all of them."""

    process: Launched
    """Set as soon as it is launched."""

    def __init__(self, info: ScenarioInfo, spec: WorkerSpec) -> None:
        self.info = info
        self.spec = spec
        self.folder = Path(spec.folder)
        self.log = RunLog(f"{info.name}/{spec.repeat}")
        self.clock = Stopwatch(time.monotonic())
        self.autopsy = Autopsy()
        self.ran = Ran()
        self.judgment = Judgment(state=State.ALIVE)
        self.notes: list[str] = []
        """Messages for the console; the reader clears the list."""
        self._looks = Looks()
        self.missed = False
        """True if the last look has failed: what was doubted before may have gone on since."""
        self.snapshot: Snapshot | None = None
        self.last_step: StepBeat | None = None
        self.last_graph: BuiltBeat | None = None
        self.steps = 0
        self.trainer: tuple[int, int] | None = None
        """Process and thread that report the steps, where that is known."""
        self.failed = False
        """True once it has reported an exception."""
        self.stop_typed = False
        """True once its user has typed Ctrl-C, which the terminal hands to a command."""
        self.end_reason: EndReason | None = None
        self.cause: Cause | None = None
        """The reason why it is hung, as long as it is."""
        self.detected_at: float | None = None
        self.proof: Observation | None = None
        """The observation that proves the cause, from before the stacks were taken."""
        self.evidence = Evidence()
        self.no_tools = threading.Event()
        """Set once the stacks are of no use any more: a tool that runs is ended."""
        self.listen_anew(Policy())

    def listen_anew(self, policy: Policy) -> None:
        """Forget what was learned of the steps: they come from another source from now on."""
        self.policy = policy
        self.steps = 0
        self.forget_pace()

    def forget_pace(self) -> None:
        """Forget how long phases took: that says nothing of those that come."""
        self.watchdog = Watchdog(self.policy)

    def learn(self, beat: AnyBeat, first: bool = True) -> None:
        """Take in the steps; `first` is true of the only rank, or of the first one."""
        self.watchdog.learn(beat)
        if isinstance(beat, StepBeat):
            self.steps += 1
            self.last_step = beat if first else self.last_step

    def looked(self, pid: int) -> None:
        """A look was taken at the process `pid`, which was launched and runs."""
        self.missed = False
        if self.snapshot is not None and (told := self._looks.took(self.snapshot.processes, pid)):
            self.notes.append(told)

    def wait_unseen(self) -> None:
        """The run is overdue, and the wait that decides is not shown."""
        if told := self._looks.unseen():
            self.notes.append(told)

    def look_failed(self, error: Exception) -> None:
        """A look counts as missed: whatever it was, the training is not to end with us."""
        self.missed = True
        self.log.failed(error)
        if told := self._looks.failed(error):
            self.notes.append(told)

    def place(self) -> str:
        """The phase that the run was last seen in: `in phase eval of step 3`."""
        position = self.snapshot.position if self.snapshot else None
        if position is None:
            return "in phase start"
        settings = self.spec.settings
        within = position.step >= 0 and (settings is None or position.step < settings.steps)
        if within and position.phase == BETWEEN:
            return phrases.place(position.step, position.phase)
        return f"in phase {position.phase}" + (f" of step {position.step}" if within else "")

    @property
    def last(self) -> Last:
        """The last beats, for the evidence."""
        return Last(self.last_step, self.last_graph)

    @property
    def killed_by(self) -> str | None:
        """The signal, not one of ours, that has ended the process that was launched."""
        return self.process.signal if self.end_reason is None else None

    @property
    def ended_by_user(self) -> bool:
        return self.end_reason is EndReason.INTERRUPT or self.stop_typed
