"""The collection of a run's evidence, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import msgspec

from harness.detect.tree import judge
from harness.detect.watchdog import refine
from harness.model import Snapshot
from harness.supervise import evidence, launch
from harness.supervise.doubt import proven
from harness.supervise.run_state import RunState

TOOLS_S = 5.0
"""Seconds to wait for a stack tool after it was canceled."""


class Collector:
    """Takes stacks and state of a run. A tool may take seconds, and other runs are watched too."""

    def __init__(self, run: RunState, once: bool = False) -> None:
        """`once`: one look at the stacks of a hang is enough."""
        self._run = run
        self._once = once
        self._thread: threading.Thread | None = None
        self.place = ""
        """The wait that the stacks show of a run that is not hung."""

    @property
    def waiting(self) -> bool:
        """True from the start of a collection until its evidence is taken over."""
        return self._thread is not None

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(
        self, snapshot: Snapshot, before: int, pids: Sequence[int], ranks: Mapping[int, int]
    ) -> None:
        """Collect the evidence of `pids`, or else of the worker and its children. There were
        `before` hangs of this run before."""
        run, last = self._run, self._run.last
        # A budget that is over waits for no second look: nothing is asked but the place.
        once = self._once or run.cause is None

        def collect() -> None:
            handler = run.folder / launch.FAULTHANDLER
            run.evidence = evidence.collect(
                run.folder, snapshot, last, handler, before, pids, run.no_tools, ranks,
                once=once,
            )  # fmt: skip

        self._thread = threading.Thread(target=collect, name="evidence", daemon=True)
        self._thread.start()

    def take(self) -> None:
        """Make what the stacks say a part of the cause, or where there is none, of the reason."""
        self._thread = None
        shown, cause = self._run.evidence.told, self._run.cause
        if cause is None:
            self.place = str(shown.get("wait_site", ""))
            return
        proof = self._run.proof
        if proof is not None and self._run.evidence.stacks:
            # Now the stacks say where each thread waits.
            proof = msgspec.structs.replace(proof, stacks=self._run.evidence.stacks)
            cause = proven(judge(proof.root, proof), self._run.place())
        together = {**shown, **cause.evidence}
        self._run.cause = refine(
            msgspec.structs.replace(cause, evidence=together), together.get("wait_category")
        )

    def end(self) -> None:
        """There is nothing left to look at: what was seen by now is the evidence."""
        self._run.no_tools.set()
        if self._thread is not None:
            self._thread.join(TOOLS_S)
            if not self._thread.is_alive():
                self.take()
