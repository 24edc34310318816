"""The harness from Python: `from harness import run, run_all, Scenario`.

A run is carried out as the command `harness run` does it: in a worker of its own, under a watchdog,
with the same folder and the same report. The calling process never imports mlx for it.
"""

from __future__ import annotations

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
    RunResult,
    ScenarioInfo,
    ScenarioResult,
    Settings,
    Verdict,
)
from harness.report import summary
from harness.scenario import from_function, load
from harness.session import plan
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
    that stands at the top level of a module or a notebook (or a `functools.partial` of one, with
    literals for arguments). It is called in the worker and returns the step.
    """

    step: str | PathLike[str] | Step
    batches: Step | None = None
    """For a function: `batches(training)`, called in the worker; else the built-in batches."""
    name: str | None = None
    """The file's or the function's own name, if not given."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of the run's settings."""
    expects: Sequence[str] = ()
    """Codes of findings that belong to it."""

    def info(self, folder: Path) -> ScenarioInfo:
        """What a plan is made of. For a function its scenario file is written to `folder`.

        Raises UsageError when the scenario is unknown or broken.
        """
        if callable(self.step):
            info = self._of_function(self.step, folder)
        elif self.batches is not None:
            raise UsageError("batches go with a function; a scenario's file has its own")
        else:
            found = load.find([str(self.step)])
            if len(found) > 1:
                raise UsageError(f"{self.step} is a folder of {len(found)} scenarios: use run_all")
            info = found[0]
        if self.name and not re.fullmatch(r"\w[\w.-]*", self.name):
            raise UsageError(f"{self.name!r} cannot be a scenario's name: a folder gets it")
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
        # The report shows what a person wrote, not what we did.
        return msgspec.structs.replace(info, source=from_function.text(functions) or info.source)


Runnable = str | PathLike[str] | Step | Scenario


@dataclass(frozen=True, repr=False)
class Run:
    """One run of one scenario. Shows itself as a table in a notebook."""

    result: ScenarioResult
    """Everything, as in run.json."""
    folder: Path
    """Where its beats, samples, logs and stacks are."""
    report: Path
    """report.md of the whole run."""

    @property
    def scenario(self) -> str:
        return self.result.scenario

    @property
    def outcome(self) -> Outcome:
        """A string too: `run.outcome == "completed"`."""
        return self.result.outcome

    @property
    def cause(self) -> Cause | None:
        """Why it is hung; None when it is not."""
        return self.result.cause

    @property
    def reason(self) -> str | None:
        """One line: why it was skipped, crashed, called diverged or left unfinished."""
        return self.result.reason

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.result.findings

    @property
    def metrics(self) -> Metrics:
        return self.result.metrics

    @property
    def losses(self) -> tuple[float, ...]:
        """The losses in the order of the steps; shorter than those when some read none."""
        return tuple(self.record.loss)

    @property
    def step_times(self) -> tuple[float, ...]:
        """Seconds of each step that returned, the harness's own part left out."""
        return tuple(self.record.seconds)

    @cached_property
    def record(self) -> record.Record:
        """All that the worker wrote, in columns; read from `folder` when first asked for."""
        return record.load(self.folder)

    def __repr__(self) -> str:
        return f"<Run {summary.name(self.result)}: {summary.verdict(self.result)}>"

    def __str__(self) -> str:
        return summary.as_text([*summary.rows(self.result), ("report", str(self.report))])

    def _repr_html_(self) -> str:
        return summary.as_html((), [*summary.rows(self.result), ("report", str(self.report))])


@dataclass(frozen=True, repr=False)
class Runs(Sequence[Run]):
    """The runs of several scenarios, in the order of the plan. Shows itself as a table."""

    result: RunResult
    """run.json."""
    folder: Path

    @property
    def report(self) -> Path:
        return self.folder / "report.md"

    @property
    def diagnosis(self) -> Diagnosis:
        return self.result.diagnosis

    @cached_property
    def _runs(self) -> tuple[Run, ...]:
        return tuple(
            Run(one, self.folder / one.scenario / str(one.repeat), self.report)
            for one in self.result.results
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
        return f"<Runs of {len(self)}: {self._told()}>"

    def __str__(self) -> str:
        lines = [summary.TITLES, *map(summary.row, self.result.results)]
        return f"{summary.as_text(lines)}\n{self._told()}\nreport: {self.report}"

    def _repr_html_(self) -> str:
        told = f"{self._told()}; report: {self.report}"
        return summary.as_html(summary.TITLES, map(summary.row, self.result.results), told)

    def _told(self) -> str:
        supported = [
            one.title for one in self.diagnosis.hypotheses if one.verdict is Verdict.SUPPORTED
        ]
        return f"supported: {'; '.join(supported)}" if supported else "no hypothesis is supported"


def run(
    scenario: Runnable,
    *,
    batches: Step | None = None,
    budget: float = DEFAULTS.budget,
    on_hang: OnHang | str = OnHang.KILL,
    cold: bool = False,
    out: str | PathLike[str] = DEFAULTS.out,
    **settings: Unpack[Changes],
) -> Run:
    """Run one scenario once and wait for its end; see `Scenario` for what can be one.

    `settings` (steps, model, optimizer, ...) win over the scenario's own. After `budget` seconds it
    is ended. The report goes to a new folder in `out`.

    Raises UsageError when the scenario or a setting is wrong, HarnessError when `out` cannot be
    written to, and KeyboardInterrupt on Ctrl-C, once the worker is gone and the report is written.
    """
    one = scenario if isinstance(scenario, Scenario) else Scenario(scenario, batches=batches)
    options = Options(out=Path(out), budget=budget, on_hang=_on_hang(on_hang), cold=cold)
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        info = one.info(Path(folder))
        return carry_out([own(info, settings)], Settings(), options)[0]


def run_all(
    scenarios: Sequence[Runnable] | None = None,
    *,
    repeat: int = 1,
    jobs: int = 1,
    stop_after: int | None = None,
    until_decided: bool = False,
    budget: float = DEFAULTS.budget,
    on_hang: OnHang | str = OnHang.KILL,
    cold: bool = False,
    out: str | PathLike[str] = DEFAULTS.out,
    **settings: Unpack[Changes],
) -> Runs:
    """Run `scenarios`, the ladder if None, each `repeat` times, and compare them.

    A folder stands for all scenarios in it. A scenario's own settings win over `settings`. The
    other arguments are those of the command `harness run-all`. Raises as `run` does.
    """
    options = Options(
        out=Path(out), jobs=jobs, budget=budget, on_hang=_on_hang(on_hang),
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
    """Plan, run and report; `command` is what the report names. Raises as `run` does."""
    for name, value in (("budget", options.budget), ("repeat", repeat), ("jobs", options.jobs)):
        if not value > 0:
            raise UsageError(f"{name} must be above 0, not {value}")
    if from_function.inside_worker():
        raise UsageError(
            "a scenario's own file starts a run when it is imported: put that under "
            'if __name__ == "__main__":'
        )
    if threading.current_thread() is not threading.main_thread():
        raise UsageError("a run can be started from the main thread only: it takes signals")
    runs = plan.make(infos, settings, repeat)
    result, folder = execute(runs, settings, options, observer or Silent(), command)
    if result.interrupted:
        raise KeyboardInterrupt(f"what was known by then is in {folder}")
    return Runs(result, folder)


class Silent:
    """An observer that shows nothing."""

    def started(self, job: object) -> None: ...
    def looked(self, jobs: object) -> None: ...
    def finished(self, job: object, result: ScenarioResult) -> None: ...


def own(info: ScenarioInfo, settings: Mapping[str, Any]) -> ScenarioInfo:
    """`info` with `settings` in place of its own. Raises UsageError when one is unknown."""
    checked(settings)
    return msgspec.structs.replace(info, settings={**info.settings, **settings})


def checked(settings: Mapping[str, Any]) -> Settings:
    """`settings` as their type. Raises UsageError when one is unknown or of a wrong type."""
    try:
        return msgspec.convert(dict(settings), type=Settings)
    except msgspec.ValidationError as error:
        raise UsageError(load.mistake(error, Settings)) from error


def _infos(scenarios: Sequence[Runnable] | None, folder: Path) -> Sequence[ScenarioInfo]:
    if scenarios is None:
        ladder = {info.name: info for info in load.ladder()}
        return [ladder[name] for name in diagnose.order(list(ladder))]
    infos: list[ScenarioInfo] = []
    for one in scenarios:
        if isinstance(one, Scenario):
            infos.append(one.info(folder))
        elif callable(one):
            infos.append(Scenario(one).info(folder))
        else:
            infos.extend(load.find([str(one)]))
    names = [info.name for info in infos]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two scenarios are named {name}: give one a name of its own")
    return infos


def _on_hang(word: OnHang | str) -> OnHang:
    try:
        return OnHang(word)
    except ValueError:
        known = ", ".join(one.value for one in OnHang)
        raise UsageError(f"unknown on_hang {word}: one of {known}") from None
