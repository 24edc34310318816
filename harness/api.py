"""The harness from Python: `from harness import run, run_all, Scenario`.

A run is the same as that of the command `harness run`: in a worker of its own, under a watchdog,
with the same folder and the same report. The calling process does not import mlx for it.
"""

from __future__ import annotations

import math
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, overload

import msgspec

from harness.analysis import failing
from harness.analysis.diagnosis import diagnose
from harness.beats import record
from harness.errors import UsageError
from harness.model import (
    Cause,
    Diagnosis,
    Finding,
    Metrics,
    OnHang,
    Outcome,
    Patience,
    RunResult,
    ScenarioInfo,
    ScenarioResult,
    Settings,
    Support,
)
from harness.model.settings import short_patience
from harness.report import summary
from harness.scenario import from_function, load
from harness.session import plan, progress
from harness.session.execute import execute
from harness.session.plan import Options
from harness.supervise.scheduler import Observer

if TYPE_CHECKING:
    from typing_extensions import Unpack

Step = Callable[..., Any]
DEFAULTS = Options()


class Changes(TypedDict, total=False):
    """The fields of `harness.model.Settings`, which describes them."""

    steps: int
    model: str
    train: str | None
    optimizer: str
    learning_rate: float
    dtype: str | None
    batch_size: int
    seq_len: int
    seed: int
    device: str | None
    ranks: int
    backend: str
    collective_beats: bool


@dataclass(frozen=True)
class Scenario:
    """A training step that can be run.

    `step` is the name of a shipped scenario, a scenario's file, or a function `make_step(training)`
    at the top level of a module or a notebook (or a `functools.partial` of it with literals as
    arguments). The worker calls the function, which returns the step.
    """

    step: str | PathLike[str] | Step
    batches: Step | None = None
    """For a function: `batches(training)`, which the worker calls. None: the built-in batches."""
    name: str | None = None
    """The name of the scenario; None for that of the file or the function."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of the run's settings."""
    expects: Sequence[str] = ()
    """The codes of the findings that are expected."""

    def info(self, folder: Path) -> ScenarioInfo:
        """The description for a plan. The scenario file of a function is written to `folder`.

        Raises UsageError when the scenario is unknown or broken.
        """
        if callable(self.step):
            info = self._of_function(self.step, folder)
        elif self.batches is not None:
            raise UsageError("batches needs a function; a scenario file defines its own batches")
        else:
            infos = load.find([str(self.step)])
            if len(infos) > 1:
                raise UsageError(f"{self.step} is a folder of {len(infos)} scenarios; use run_all")
            info = infos[0]
        if self.name and not re.fullmatch(r"\w[\w.-]*", self.name):
            raise UsageError(
                f"{self.name!r} cannot be the name of a scenario; use letters, digits, _, - and ."
            )
        return msgspec.structs.replace(
            info,
            name=self.name or info.name,
            settings={**info.settings, **self.settings},
            expects=(*info.expects, *self.expects),
        )

    def _of_function(self, step: Step, folder: Path) -> ScenarioInfo:
        functions = {"make_step": step}
        if self.batches is not None:
            functions["batches"] = self.batches
        file = folder / f"{self.name or from_function.name(step)}.py"
        from_function.write(file, functions)
        info = load.load(file)
        # The report shows the code that a person wrote, not the file that was made of it.
        return msgspec.structs.replace(info, source=from_function.text(functions) or info.source)


Runnable = str | PathLike[str] | Step | Scenario


@dataclass(frozen=True, repr=False)
class Run:
    """One run of one scenario. Shows itself as a table in a notebook."""

    result: ScenarioResult
    """The whole result, as in run.json."""
    folder: Path
    """The folder of its beats, samples, logs and stacks."""
    report: Path
    """The path of report.md of the whole run."""

    @property
    def scenario(self) -> str:
        """The name of the scenario."""
        return self.result.scenario

    @property
    def outcome(self) -> Outcome:
        """The outcome, which is also a string: `run.outcome == "completed"`."""
        return self.result.outcome

    @property
    def cause(self) -> Cause | None:
        """The cause of a hang, or None."""
        return self.result.cause

    @property
    def reason(self) -> str | None:
        """The reason, in one line, why it was skipped, crashed, diverged or stayed unfinished."""
        return self.result.reason

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was observed, each with its code, severity, summary and evidence."""
        return self.result.findings

    @property
    def metrics(self) -> Metrics:
        """Medians and peaks: seconds, bytes, losses."""
        return self.result.metrics

    def failures(self, fail_on: str = "error") -> tuple[str, ...]:
        """The outcome and the codes of findings for which it counts as failed; empty if it passed.

        `fail_on` is that of the command line: the usual outcomes count where none is named. Raises
        UsageError for a word that is unknown.
        """
        return failing.reasons(self.result, failing.parse(fail_on))

    @property
    def losses(self) -> tuple[float, ...]:
        """The losses in the order of the steps that read one."""
        return tuple(self.record.loss)

    @property
    def step_times(self) -> tuple[float, ...]:
        """The seconds of each step that returned, without the part of the harness."""
        return tuple(self.record.seconds)

    @cached_property
    def record(self) -> record.Record:
        """The whole record of the worker, in columns, read from `folder` on first use."""
        return record.load(self.folder)

    def __repr__(self) -> str:
        return f"<Run {summary.name(self.result)}: {summary.verdict(self.result)}>"

    def __str__(self) -> str:
        return summary.as_text([*summary.rows(self.result), ("report", str(self.report))])

    def _repr_html_(self) -> str:
        return summary.as_html((), summary.rows(self.result), link=self.report)


@dataclass(frozen=True, repr=False)
class Runs(Sequence[Run]):
    """The runs of several scenarios, in the order of the plan. Shows itself as a table."""

    result: RunResult
    """The whole result, as in run.json."""
    folder: Path
    """The folder of the report and of each run's own folder."""

    @property
    def report(self) -> Path:
        """The path of report.md."""
        return self.folder / "report.md"

    @property
    def diagnosis(self) -> Diagnosis:
        """What the runs together say for and against each hypothesis."""
        return self.result.diagnosis

    @cached_property
    def _runs(self) -> tuple[Run, ...]:
        return tuple(
            Run(result, self.folder / result.scenario / str(result.repeat), self.report)
            for result in self.result.results
        )

    def of(self, name: str) -> tuple[Run, ...]:
        """All runs of the scenario `name`."""
        return tuple(run for run in self._runs if run.scenario == name)

    def __len__(self) -> int:
        return len(self._runs)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Run, ...]: ...
    def __getitem__(self, index: int | slice) -> Run | tuple[Run, ...]:
        return self._runs[index]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def __repr__(self) -> str:
        return f"<Runs of {len(self)}: {self._diagnosis_line()}>"

    def __str__(self) -> str:
        lines = [summary.TITLES, *map(summary.row, self.result.results)]
        return f"{summary.as_text(lines)}\n{self._diagnosis_line()}\nreport: {self.report}"

    def _repr_html_(self) -> str:
        rows = map(summary.row, self.result.results)
        return summary.as_html(summary.TITLES, rows, self._diagnosis_line(), link=self.report)

    def _diagnosis_line(self) -> str:
        hypotheses = self.diagnosis.hypotheses
        supported = [h.title for h in hypotheses if h.verdict is Support.SUPPORTED]
        return f"supported: {'; '.join(supported)}" if supported else "no hypothesis is supported"


def run(
    scenario: Runnable,
    *,
    batches: Step | None = None,
    budget: float = DEFAULTS.budget,
    patience: float | None = None,
    on_hang: OnHang | str = OnHang.KILL,
    cold: bool = False,
    out: str | PathLike[str] = DEFAULTS.out,
    **settings: Unpack[Changes],
) -> Run:
    """Run one scenario once and wait for its end. See `Scenario` for what `scenario` can be.

    `settings` (steps, model, optimizer, ...) replace those of the scenario. The run ends after
    `budget` seconds at the latest. A run that is doubted and not proven dead is called hung after
    `patience` seconds (default: a quarter of the budget, at least 5 and at most 60). The report
    goes to a new folder in `out`.

    Raises UsageError when the scenario or a setting is wrong, HarnessError when `out` cannot be
    written to, and KeyboardInterrupt on Ctrl-C, after the worker ended and the report is written.
    """
    described = scenario if isinstance(scenario, Scenario) else Scenario(scenario, batches=batches)
    options = Options(
        out=Path(out), budget=budget, patience=_patience(patience, budget),
        on_hang=_on_hang(on_hang), cold=cold,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        info = described.info(Path(folder))
        return carry_out([own(info, settings)], Settings(), options)[0]


def run_all(
    scenarios: Sequence[Runnable] | None = None,
    *,
    repeat: int = 1,
    jobs: int = 1,
    stop_after: int | None = None,
    until_decided: bool = False,
    budget: float = DEFAULTS.budget,
    patience: float | None = None,
    on_hang: OnHang | str = OnHang.KILL,
    cold: bool = False,
    out: str | PathLike[str] = DEFAULTS.out,
    **settings: Unpack[Changes],
) -> Runs:
    """Run `scenarios`, or the ladder if None, each `repeat` times, and compare them.

    A folder stands for all scenarios in it. The settings of a scenario replace `settings`. The
    other arguments are those of the command `harness run-all`. Raises as `run` does.
    """
    options = Options(
        out=Path(out), jobs=jobs, budget=budget, patience=_patience(patience, budget),
        on_hang=_on_hang(on_hang),
        until_decided=until_decided, stop_after=stop_after, cold=cold,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        return carry_out(_infos(scenarios, Path(folder)), checked(settings), options, repeat)


def carry_out(
    infos: Sequence[ScenarioInfo],
    settings: Settings,
    options: Options,
    repeat: int = 1,
    observer: Observer | None = None,
    command: Sequence[str] = ("harness.run",),
) -> Runs:
    """Plan, run and report; the report shows `command`. Raises as `run` does."""
    for name, value in (("budget", options.budget), ("repeat", repeat), ("jobs", options.jobs)):
        if not value > 0:
            raise UsageError(f"{name} must be above 0, not {value}")
    if from_function.inside_worker():
        raise UsageError(
            "the import of a scenario file started a run; put the call under "
            'if __name__ == "__main__":'
        )
    if threading.current_thread() is not threading.main_thread():
        raise UsageError("a run must be started from the main thread, because it handles signals")
    runs = plan.make(infos, settings, repeat)
    result, folder = execute(
        runs, settings, options, observer or progress.observer(len(runs)), command
    )
    if result.interrupted:
        raise KeyboardInterrupt(f"the partial report is in {folder}")
    return Runs(result, folder)


def own(info: ScenarioInfo, settings: Mapping[str, Any]) -> ScenarioInfo:
    """`info` with `settings` added. Raises UsageError when a setting is unknown."""
    checked(settings)
    return msgspec.structs.replace(info, settings={**info.settings, **settings})


def checked(settings: Mapping[str, Any]) -> Settings:
    """`settings` as Settings. Raises UsageError when one is unknown or has a wrong type."""
    try:
        return msgspec.convert(dict(settings), type=Settings)
    except msgspec.ValidationError as error:
        raise UsageError(load.mistake(error, Settings)) from error


def _infos(scenarios: Sequence[Runnable] | None, folder: Path) -> Sequence[ScenarioInfo]:
    if scenarios is None:
        ladder = {info.name: info for info in load.ladder()}
        return [ladder[name] for name in diagnose.order(list(ladder))]
    infos: list[ScenarioInfo] = []
    for scenario in scenarios:
        if isinstance(scenario, Scenario):
            infos.append(scenario.info(folder))
        elif callable(scenario):
            infos.append(Scenario(scenario).info(folder))
        else:
            infos.extend(load.find([str(scenario)]))
    names = [info.name for info in infos]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two scenarios are named {name}; give one of them another name")
    return infos


def _patience(seconds: float | None, budget: float) -> Patience:
    """The patience that was given, or the usual one of a program with such a budget."""
    if seconds is None:
        return short_patience(budget)
    if not 0 <= seconds < math.inf:
        raise UsageError(f"patience must be a number of seconds from 0 on, not {seconds}")
    return Patience(seconds=seconds)


def _on_hang(action: OnHang | str) -> OnHang:
    try:
        return OnHang(action)
    except ValueError:
        known = ", ".join(choice.value for choice in OnHang)
        raise UsageError(f"unknown on_hang {action}; use one of {known}") from None
