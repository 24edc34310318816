"""Six typical runs, built from records in memory: what report.md and the live table show of them.

What a record decides (outcome, findings, figures) is decided by the classification, and what the
ranks' story decides by the judge of ranks. Causes are given as the supervisor gives them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import fakes
import msgspec
import ranked_jobs
import records

from harness.analysis.classify import classify
from harness.analysis.diagnosis.diagnose import diagnose
from harness.beats.record import Record
from harness.detect.ranks import judge
from harness.detect.watchdog import State
from harness.model import Cause, Ending, Outcome, Position, RunResult, ScenarioResult, Settings
from harness.report.input import ReportInput

MICRO = Settings(model="micro", steps=10)


@dataclass(frozen=True)
class Running:
    """One job under way, as the live table sees it."""

    name: str
    phase: str
    step: int
    loss: float | None
    step_s: float
    running_s: float
    state: State = State.ALIVE

    def job(self, now: float) -> Any:
        return SimpleNamespace(
            info=fakes.info(self.name),
            spec=SimpleNamespace(settings=SimpleNamespace(steps=10)),
            position=Position(self.step, self.phase, 0.0) if self.phase else None,
            last=None
            if self.loss is None
            else SimpleNamespace(loss=self.loss, phases={"eval": self.step_s}),
            rss_peak=412 << 20,
            started=now - self.running_s,
            judgment=SimpleNamespace(state=self.state, reason="", about=""),
            notes=[],
        )


@dataclass(frozen=True)
class Typical:
    """A run, its records by scenario, and its jobs while it was under way."""

    run: RunResult
    records: dict[str, Record]
    under_way: tuple[Running, ...]

    def report(self) -> ReportInput:
        texts = {"1-pystack.txt": "Event::wait\n"}
        return ReportInput(
            self.run,
            record=lambda result: self.records.get(result.scenario, Record()),
            stacks=lambda result: tuple(texts) if result.cause else (),
            stack_texts=lambda result: texts if result.cause else {},
        )


def result(name: str, record: Record, **ending: Any) -> ScenarioResult:
    usual = {"wall_s": 1.5, "exit_code": 0}
    return classify(record, Ending(**(usual | ending)), fakes.info(name), MICRO)


def run(*results: ScenarioResult) -> RunResult:
    command = ("harness", "run", *(one.scenario for one in results))
    made = fakes.run(*results, settings=MICRO, command=command)
    return fakes.run(
        *results,
        settings=MICRO,
        command=command,
        diagnosis=diagnose(results, MICRO, made.environment),
    )


def hang(
    code: str, summary: str, position: Position, proven: bool = False, **evidence: Any
) -> Ending:
    return Ending(
        wall_s=9.5,
        cause=Cause(code=code, summary=summary, proven=proven, evidence=evidence),
        position=position,
        detected_at_s=7.5,
        stalled_at_s=1.5,
        signal="SIGTERM",
    )


def hung(name: str, record: Record, ending: Ending) -> ScenarioResult:
    return classify(record, ending, fakes.info(name), MICRO)


def completed() -> Typical:
    parts = {
        "baseline_update": records.make(),
        "eval_after_update": records.make(seconds=0.03, left=0),
        "grad_without_update": records.make(losses=5.0, seconds=0.01, active=records.P),
    }
    return Typical(
        run(*(result(name, record) for name, record in parts.items())),
        parts,
        (Running("baseline_update", "eval", 4, 4.6, 0.02, 0.7),),
    )


def deadlock() -> Typical:
    record = records.make(3, end=False)
    ending = hang(
        "deadlock",
        "deadlock in phase forward of step 3: every thread waits for another one",
        Position(3, "forward", 3.0),
        proven=True,
        wait_site="waits for a lock, from two_locks.py:22 in lock_both",
        wait_category="lock",
        stack_tool="pystack",
    )
    return Typical(
        run(hung("two_locks", record, ending)),
        {"two_locks": record},
        (Running("two_locks", "forward", 3, 4.7, 0.02, 2.7, State.SUSPECT),),
    )


def stalled() -> Typical:
    record = records.make(5, end=False)
    ending = hang(
        "stalled",
        "busy in phase forward for 6.0 s (before, at most 1.0 ms): always in spin",
        Position(5, "forward", 5.0),
        wait_site="is in spin, from python_spin.py:9",
        wait_category="running",
        stack_tool="py-spy",
    )
    return Typical(
        run(hung("python_spin", record, ending)),
        {"python_spin": record},
        (Running("python_spin", "forward", 5, 4.5, 0.02, 8.2, State.SUSPECT),),
    )


def diverged() -> Typical:
    record = records.make(losses=lambda step: math.nan if step > 3 else 5.0 + step)
    return Typical(
        run(result("exploding_learning_rate", record)),
        {"exploding_learning_rate": record},
        (Running("exploding_learning_rate", "eval", 6, math.nan, 0.02, 0.9),),
    )


def crashed() -> Typical:
    record = records.make(2, end=False, error=records.failure("the batch has 3 columns, not 4"))
    return Typical(
        run(result("uncaught_exception", record, exit_code=1, position=Position(2, "data", 2.0))),
        {"uncaught_exception": record},
        (Running("uncaught_exception", "", 0, None, 0.0, 0.3),),
    )


def ranks() -> Typical:
    story = ranked_jobs.gone(4, 2, 5, 0, "killed")
    verdict = judge(story.states, story.now)
    record = records.make(5, end=False)
    one = result("rank_killed", record, exit_code=1, position=Position(5, "eval", 5.0))
    one = msgspec.structs.replace(
        one,
        outcome=Outcome.CRASHED,
        reason=verdict.summary,
        ranks=verdict.ranks,
        findings=(*one.findings, *verdict.findings),
    )
    return Typical(
        run(one), {"rank_killed": record}, (Running("rank_killed", "eval", 5, 4.5, 0.1, 3.2),)
    )


TYPICAL = {
    "completed": completed,
    "deadlock": deadlock,
    "stalled": stalled,
    "diverged": diverged,
    "crashed": crashed,
    "ranks": ranks,
}
OUTCOMES = {
    "completed": Outcome.COMPLETED,
    "deadlock": Outcome.HUNG,
    "stalled": Outcome.HUNG,
    "diverged": Outcome.DIVERGED,
    "crashed": Outcome.CRASHED,
    "ranks": Outcome.CRASHED,
}
