"""The examination of a run that is not called hung: each look, and the inspections in doubt."""

from __future__ import annotations

import msgspec

from harness.detect.chain.links import Ends
from harness.detect.tree import judge
from harness.detect.watchdog import State, Watchdog
from harness.model import Cause, Snapshot
from harness.observe import platform
from harness.supervise import launch
from harness.supervise.doubt import Doubts, deciding, is_dead, proven, stopped, suspected
from harness.supervise.duty import Duty
from harness.supervise.gather import Gatherer
from harness.supervise.inspection import Inspected, Inspector, Prover
from harness.supervise.run_state import RunState
from harness.supervise.step_source import StepSource

LOOK_S = 0.25
"""Between two looks at a worker."""
SOON_S = 0.1
"""The same, while nothing but time lacks for a proof."""
LOOKS = Duty(share=0.02, latest_s=1.25)
"""Looks that take long, for there are many threads, are rarer: but a step is to be seen soon."""


class Examiner:
    """Says for which cause a run is hung, if it is."""

    def __init__(self, run: RunState, source: StepSource, doubts: Doubts) -> None:
        self._run = run
        self._source = source
        self._doubts = doubts
        self._closer: tuple[Watchdog, Gatherer, Prover, Inspector] | None = None
        """The watchdog, and those that look closer for it."""
        self._soon = False
        """True if nothing but time lacks for a proof since the last look."""
        self._stopped_at = 0.0
        """The last look at which it was stopped, or waited for a process that is."""

    def pause(self, spent: float) -> float:
        """Seconds from a look that used the CPU for `spent` seconds to the next one."""
        soon, self._soon = self._soon, False  # not each look asks for a proof
        return SOON_S if soon else max(LOOK_S, LOOKS.rest(spent))

    def look(self, snapshot: Snapshot, pid: int) -> Cause | None:
        """Judge the run as it is now. `pid` is the process that was launched."""
        run, now = self._run, snapshot.t
        if self._closer is None or self._closer[0] is not run.watchdog:
            # The first look, or the first one since the steps come from elsewhere.
            gatherer = Gatherer(pid, run.process.guard_pid, ours=self._source.ours)
            looks = run.folder / "looks"
            answers = run.folder / launch.FAULTHANDLER if self._source.ours else None
            inspector = Inspector(gatherer, looks, run.policy, run.no_tools, run.log, answers)
            self._closer = run.watchdog, gatherer, Prover(gatherer, run.log), inspector
        watchdog, gatherer, prover, inspector = self._closer
        judgment = watchdog.look(self._source.watched(snapshot))
        gatherer.follow(snapshot, judgment.last_progress)
        if judgment.state is State.STOPPED:
            self._stopped_at = now
        if inspector.busy and judgment.state is not State.ALIVE:
            return None  # a tool may hold it at this moment
        run.judgment = judgment
        inspector.noticed(judgment.still, now)
        run.log.judged(judgment, snapshot)
        return self._in_doubt(prover, inspector, now)

    def _in_doubt(self, prover: Prover, inspector: Inspector, now: float) -> Cause | None:
        """The reason why it is hung: proven, or doubted for as long as its patience lasts."""
        run, tracker = self._run, self._source.tracker
        if self._source.fell_silent():
            return None
        at_ranks = tracker.look(now) if tracker is not None else None
        if at_ranks is not None and at_ranks.decided:
            return at_ranks.cause
        if at_ranks is None:
            dead = prover.look(run.judgment.still)
            self._soon = prover.lacks_time
            if dead is not None:
                run.proof = dead
                return proven(judge(dead.root, dead), run.place())
        if self._doubts.went_on():
            self._doubts.take_back(now)
        if run.judgment.held and at_ranks is None:
            self._ask_for_whom(inspector, now)
        overdue = run.judgment.overdue or self._continued()
        # What alone shows the waits there takes seconds: its answer is to be there in time.
        early = not platform.current().shows_waits and run.judgment.stands(run.policy.early)
        if not overdue and not early:
            return None
        progress = run.judgment.last_progress
        if tracker is None or at_ranks is None:
            inspected = inspector.look(now, progress, run.trainer)
            return None if inspected is None or not overdue else self._weigh(inspected, now)
        if not overdue:
            return None
        inspected = inspector.look(now, progress, ranks=tracker.local())
        if inspected is None:
            return None
        if tracker.goes_on(inspected):
            self._doubts.take_back(now)
            return None
        return tracker.lost_cause(inspected, now) or self._weigh(inspected, now)

    def _continued(self) -> bool:
        """True if it can go on, and was doubted for a process that is stopped: it may do so."""
        judgment = self._run.judgment
        counts = judgment.state is State.ALIVE and judgment.allowed > 0.0
        return counts and self._doubts.of("stopped") is not None

    def _ask_for_whom(self, inspector: Inspector, now: float) -> None:
        """Doubt it where it waits for a process that is stopped; else let the time count again."""
        run = self._run
        inspected = inspector.look(now, run.judgment.last_progress, run.trainer)
        judged = None if inspected is None else deciding(inspected)
        if judged is None or judged.chain is None:
            return
        if judged.chain.passes_by(run.judgment.held):
            run.watchdog.beside(run.judgment.held)
        elif judged.chain.end.kind is Ends.STOPPED:
            self._doubts.say(stopped(judged, run.place()), judged.fingerprint or "", now)

    def _weigh(self, inspected: Inspected, now: float) -> Cause | None:
        """The cause that an inspection gives, once the doubt has stood for its patience."""
        judged, run = deciding(inspected), self._run
        if inspected.t <= self._stopped_at:
            return None  # it can go on since
        if is_dead(inspected):
            return proven(judged, run.place())
        if judged.chain is not None and judged.chain.end.kind is Ends.UNSEEN:
            run.wait_unseen()
        if inspected.alive or judged.chain is None:
            self._doubts.take_back(now)
            return None
        cause = suspected(judged, run.judgment)
        self._doubts.say(cause, judged.fingerprint or "", now)
        run.judgment = msgspec.structs.replace(
            run.judgment, state=State.SUSPECT, reason=cause.summary
        )
        if judged.chain.believed:
            return None  # what may be work is believed for longer than any patience
        if not (inspected.observed.shows_waits or self._doubts.seen_since(inspected.t)):
            return None  # only time shows there that something wakes by its own clock
        return cause if self._doubts.stood_its_patience(now) else None

    def summary(self) -> str:
        """The summary of the last inspection as a clause, if there was no progress since."""
        last = self._closer[3].last if self._closer else None
        if last is None:
            return ""
        judged = deciding(last)
        named = judged.pid == last.observed.root and judged.chain and judged.chain.links
        return judged.summary if named else f"it {judged.summary}"
