"""The judge of candidates: runs each in a fresh process, fenced in, under the supervisor."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from harness.model import Command, Locate, OnHang, Outcome, Patience, ScenarioInfo, ScenarioResult
from harness.observe import processes
from harness.reduce.fence import sitecustomize as fence
from harness.reduce.symptom import Symptom, shows
from harness.session import jobs
from harness.session.plan import Options, PlannedRun
from harness.supervise import kernel_cache, scheduler
from harness.supervise.job import Job

NAME = "program.py"
"""The name of each candidate, so that messages that have it do not differ."""
LEAST_BUDGET_S = 20.0
SLOWER = 3.0
LINE = "line "
REFUSED = "refused "
USED = "used "


class InterruptedReductionError(Exception):
    """The user asked to stop, or the time is over."""


class Notes:
    """What the fence wrote down of one run."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = frozenset(
            int(line.removeprefix(LINE)) for line in lines if line.startswith(LINE)
        )
        """The numbers of the lines that ran."""
        self.refused = tuple(
            line.removeprefix(REFUSED) for line in lines if line.startswith(REFUSED)
        )
        self.used = tuple(
            dict.fromkeys(line.removeprefix(USED) for line in lines if line.startswith(USED))
        )


class Judge(AbstractContextManager["Judge"]):
    """Runs programs, `jobs` at the same time, and knows those that it has run."""

    def __init__(
        self,
        python: Sequence[str],
        data: Sequence[tuple[Path, str]],
        *,
        jobs: int,
        patience: Patience,
    ) -> None:
        """`python` is the program that runs each file, with its options. `data` are files and
        folders that each run finds in its own folder, under these names."""
        processes.check()
        self._python = tuple(python)
        self._data = tuple(data)
        self.jobs = jobs
        self.patience = patience
        self._budget = Options().budget
        self.versions: dict[str, str] = {}
        """What the programs were seen to run, by distribution, and `python`."""
        self.over: Callable[[], bool] = lambda: False
        """Asked between runs; once it says yes, no run is started or waited for."""
        self._folder = Path(tempfile.mkdtemp(prefix="harness-reduce-"))
        self._number = 0
        self._known: dict[str, bool] = {}
        self.tries = 0
        """Runs so far."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        shutil.rmtree(self._folder, ignore_errors=True)

    def whole(self, text: str, trace: bool) -> tuple[ScenarioResult, Notes]:
        """Run the whole program once. What it uses is what shorter ones may use."""
        run = self._prepared(text)
        if trace:
            run.variables[fence.TRACED] = str(run.file)
        (result,) = self._run([run])
        notes = run.notes()
        # Under load one run may take a few times as long as another one.
        self._budget = max(LEAST_BUDGET_S, SLOWER * result.wall_s)
        with (self._folder / "used").open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in notes.used)
        return result, notes

    def always(self, text: str, wanted: Symptom, times: int) -> bool:
        """True if each of so many runs shows the symptom, whatever is known of the program."""
        left = times
        while left:
            some = min(left, self.jobs)
            results = self._run([self._fenced(text) for _ in range(some)])
            if not all(shows(result, wanted) for result in results):
                return False
            left -= some
        return True

    def shown(self, texts: Sequence[str], wanted: Symptom) -> list[bool]:
        """For each candidate, True if it shows the symptom. They run side by side.

        Raises InterruptedReductionError.
        """
        new = list(dict.fromkeys(t for t in texts if _key(t) not in self._known))
        for start in range(0, len(new), self.jobs):
            some = new[start : start + self.jobs]
            for text, result in zip(some, self._run([self._fenced(t) for t in some]), strict=True):
                self._known[_key(text)] = shows(result, wanted)
        return [self._known[_key(text)] for text in texts]

    def _fenced(self, text: str) -> _Run:
        run = self._prepared(text)
        run.variables[fence.USED] = str(self._folder / "used")
        return run

    def _prepared(self, text: str) -> _Run:
        self._number += 1
        home = self._folder / str(self._number)
        run = _Run(home, self._python, text)
        for source, name in self._data:
            target = home / fence.WORK / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy2(source, target)
        return run

    def _run(self, runs: Sequence[_Run]) -> tuple[ScenarioResult, ...]:
        if self.over():
            raise InterruptedReductionError
        options = Options(
            jobs=self.jobs,
            budget=self._budget,
            on_hang=OnHang.KILL,
            patience=self.patience,
            locate=Locate.NEVER,
        )
        starts = [run.starter(options, self._folder / "runs") for run in runs]
        with scheduler.requests() as interrupts:
            observer = _Quick(self.over, self.versions)
            results, stopped = scheduler.run(starts, self.jobs, observer, interrupts)
        if stopped or len(results) < len(runs):
            raise InterruptedReductionError
        self.tries += len(runs)
        for run, result in zip(runs, results, strict=True):
            run.finished(result)
        return results


class _Quick(scheduler.Silent):
    """Ends the runs when the time is over, and learns which versions they ran."""

    def __init__(self, over: Callable[[], bool], versions: dict[str, str]) -> None:
        self._over = over
        self._told = False
        self._versions = versions

    def finished(self, job: Job, result: ScenarioResult) -> None:  # type: ignore[override]
        self._versions.update(job.versions)

    def looked(self, jobs: object) -> None:
        if not self._told and self._over():
            self._told = True
            os.kill(os.getpid(), signal.SIGINT)  # to the scheduler, which ends what runs


class _Run:
    """One run of one candidate, in a folder of its own."""

    def __init__(self, home: Path, python: Sequence[str], text: str) -> None:
        self.home = home
        self.file = home / NAME
        (home / fence.WORK).mkdir(parents=True)
        self.file.write_text(text, encoding="utf-8")
        self._temporary = home / "tmp"
        self._temporary.mkdir()
        kernel_cache.lend(kernel_cache.store(), self._temporary)
        inherited = os.environ.get("PYTHONPATH")
        here = str(Path(fence.__file__).parent)
        self.variables = {
            fence.FOLDER: str(home),
            "PYTHONPATH": f"{here}{os.pathsep}{inherited}" if inherited else here,
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self._temporary),
        }
        self._argv = (*python, str(self.file))

    def starter(self, options: Options, runs: Path) -> Callable[[], Job]:
        info = ScenarioInfo(
            name=self.home.name,
            path="",
            summary="",
            doc="",
            source="",
            command=Command(argv=self._argv, variables=self.variables),
        )
        planned = PlannedRun(info=info, settings=None, repeat=0)
        return lambda: jobs.start(planned, options, runs, None, set())

    def notes(self) -> Notes:
        try:
            text = (self.home / fence.NOTES).read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        return Notes(text.splitlines())

    def finished(self, result: ScenarioResult) -> None:
        if result.outcome is Outcome.COMPLETED:
            kernel_cache.keep(self._temporary, kernel_cache.store())
        for part in (self.home / fence.WORK, self._temporary):
            shutil.rmtree(part, ignore_errors=True)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
