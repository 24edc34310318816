"""The judge of candidates: runs each in a fresh process, fenced in, under the supervisor."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from harness.model import Command, Locate, OnHang, Outcome, Patience, ScenarioInfo, ScenarioResult
from harness.observe import processes
from harness.reduce import looker
from harness.reduce.fence import sitecustomize as fence
from harness.reduce.glance import Pose
from harness.reduce.symptom import Seen, Symptom, shows
from harness.session import jobs
from harness.session.plan import Options, PlannedRun
from harness.supervise import kernel_cache, scheduler
from harness.supervise.job import Job

NAME = "program.py"
"""The name of each candidate, so that messages that have it do not differ."""
LEAST_BUDGET_S = 5.0
SLOWER = 3.0
PRINTED = 65536
FEW_RUNS, MORE_RUNS, MOST_RUNS = 3, 9, 30
LINE = "line "
REFUSED = "refused "
USED = "used "
T = TypeVar("T")


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
        glances: int | None = None,
        patience: Patience,
    ) -> None:
        """`python` is the program that runs each file, with its options. `data` are files and
        folders that each run finds in its own folder, under these names. `glances` are made at the
        same time, where a glance is enough (default: `jobs`)."""
        processes.check()
        self._python = tuple(python)
        self._data = tuple(data)
        self.jobs = jobs
        self._glances = glances or jobs
        self.patience = patience
        self._budget = Options().budget
        self.versions: dict[str, str] = {}
        """What the programs were seen to run, by distribution, and `python`."""
        self.over: Callable[[], bool] = lambda: False
        """Asked between runs; once it says yes, no run is started or waited for."""
        self._folder = Path(tempfile.mkdtemp(prefix="harness-reduce-"))
        # To delete the kernels of MLX that each run was lent takes as long as to glance at it.
        self._sweeper = ThreadPoolExecutor(1, "sweeper")
        self._number = 0
        self._known: dict[str, bool] = {}
        self._stood: dict[str, bool] = {}
        self._pose: Pose | None = None
        """Where the whole program stands in its hang, if it is there each time."""
        self._limit = 0.0
        self._wall_s = 0.0
        self.repeats = 1
        """Runs of a candidate at most, of one that shows the symptom now and then."""
        self.needed = 1
        """Runs of these that must show it."""
        self.tries = 0
        """Runs so far."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._sweeper.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)

    def whole(self, text: str, trace: bool) -> tuple[Seen, Notes]:
        """Run the whole program once. What it uses is what shorter ones may use."""
        run = self._prepared(text)
        if trace:
            run.variables[fence.TRACED] = str(run.file)
        (seen,) = self._run([run])
        notes = run.notes()
        # Under load one run may take a few times as long as another one.
        self._wall_s = seen.result.wall_s
        self._budget = max(LEAST_BUDGET_S, SLOWER * self._wall_s)
        with (self._folder / "used").open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in notes.used)
        return seen, notes

    def seen(self, text: str) -> Seen:
        """One run of a candidate. Raises InterruptedReductionError."""
        return self._run([self._fenced(text)])[0]

    def steady(self, text: str, wanted: Symptom) -> None:
        """Learn how often the whole program shows the symptom, and so how often to run others.

        Where a hang is in one place each time, candidates are glanced at from then on.
        Raises InterruptedReductionError.
        """
        if wanted.parts[0] == Outcome.HUNG.value and self._settles(text, wanted):
            return
        runs = FEW_RUNS
        shown = sum(shows(result, wanted) for result in self._several([text] * runs))
        if shown < runs:
            runs += MORE_RUNS
            shown += sum(shows(result, wanted) for result in self._several([text] * MORE_RUNS))
            # Its first run is known to have shown it.
            self.repeats, self.needed = repeats((shown + 1) / (runs + 1)), 2

    def _settles(self, text: str, wanted: Symptom) -> bool:
        found = self._looked(lambda: looker.first(
            self._fenced(text).look(), wanted, self._wall_s, self.over))  # fmt: skip
        if found is None:
            return False
        self._pose, _ = found
        # Side by side it takes longer, and all others run so.
        self._limit = self._budget
        shown, slowest = self._glanced([text] * max(FEW_RUNS, self.width), wanted)
        if not all(shown):
            self._pose = None
        self._limit = max(looker.LEAST_S, looker.LATER * slowest)
        return self._pose is not None

    @property
    def glances(self) -> bool:
        """True if `shown` only glances: what it says is to be confirmed by `confirmed`."""
        return self._pose is not None

    @property
    def width(self) -> int:
        """The candidates that `shown` runs at the same time."""
        return self._glances if self.glances else self.jobs

    @property
    def takes_s(self) -> float:
        """The seconds that a verdict takes, by the whole program."""
        return self._wall_s

    def shown(self, texts: Sequence[str], wanted: Symptom) -> list[bool]:
        """For each candidate, True if it shows the symptom, or seems to. They run side by side.

        Raises InterruptedReductionError.
        """
        if self._pose is None:
            return self.confirmed(texts, wanted)
        new = list(dict.fromkeys(t for t in texts if _key(t) not in self._stood))
        for start in range(0, len(new), self.width):
            some = new[start : start + self.width]
            shown, seconds = self._glanced(some, wanted)
            if seconds:
                # A smaller program is there sooner, and one that is not is given up sooner.
                self._limit = max(looker.LEAST_S, (self._limit + looker.LATER * seconds) / 2)
            self._stood.update(zip(map(_key, some), shown, strict=True))
        # What was judged since then counts more.
        return [self._known.get(_key(text), self._stood[_key(text)]) for text in texts]

    def _glanced(self, texts: Sequence[str], wanted: Symptom) -> tuple[list[bool], float]:
        """For each program, True if it seems to show the symptom; the seconds that the slowest one
        of these took."""
        pose = self._pose
        assert pose is not None
        runs = [self._fenced(text) for text in texts]
        looks = [run.look() for run in runs]
        seen = self._looked(lambda: looker.stand(looks, pose, wanted, self._limit, self.over))
        self.tries += len(runs)
        for run in runs:
            self._sweeper.submit(shutil.rmtree, run.home, ignore_errors=True)
        return [one.stands for one in seen], max(
            (one.seconds for one in seen if one.stands), default=0.0
        )

    def _looked(self, look: Callable[[], T]) -> T:
        if self.over():
            raise InterruptedReductionError
        try:
            return look()
        except looker.StoppedError:
            raise InterruptedReductionError from None

    def confirmed(self, texts: Sequence[str], wanted: Symptom) -> list[bool]:
        """For each candidate, True if a verdict says that it shows the symptom.

        One that shows it now and then runs again until it has shown it twice, or not often enough.
        Raises InterruptedReductionError.
        """
        left = list(dict.fromkeys(t for t in texts if _key(t) not in self._known))
        counts = dict.fromkeys(left, 0)
        for run in range(self.repeats):
            for text, result in zip(left, self._several(left), strict=True):
                counts[text] += shows(result, wanted)
            missing = self.repeats - run - 1
            done = [t for t in left if counts[t] >= self.needed or
                    counts[t] + missing < self.needed]  # fmt: skip
            for text in done:
                self._known[_key(text)] = counts[text] >= self.needed
            left = [text for text in left if text not in done]
        return [self._known[_key(text)] for text in texts]

    def always(self, text: str, wanted: Symptom, times: int) -> bool:
        """True if each of so many runs shows the symptom, whatever is known of the program.

        For one that shows it now and then: if it comes about as often as in the whole program.
        """
        runs = times if self.repeats == 1 else self.repeats
        results = self._several([text] * runs)
        return sum(shows(result, wanted) for result in results) >= (
            times if self.repeats == 1 else self.needed
        )

    def _several(self, texts: Sequence[str]) -> Iterator[Seen]:
        for start in range(0, len(texts), self.jobs):
            some = texts[start : start + self.jobs]
            yield from self._run([self._fenced(text) for text in some])

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

    def _run(self, runs: Sequence[_Run]) -> tuple[Seen, ...]:
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
        seen = tuple(
            Seen(result=result, printed=run.printed(self._folder / "runs"))
            for run, result in zip(runs, results, strict=True)
        )
        shutil.rmtree(self._folder / "runs", ignore_errors=True)
        return seen


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
        if "mlx" in text:
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

    def look(self) -> looker.Look:
        folder = self.home / "printed"
        folder.mkdir()
        stacks = self.home / "stacks"
        variables = {**self.variables, fence.LOOKED: str(stacks)}
        return looker.Look(self._argv, variables, folder, stacks, NAME)

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

    def printed(self, runs: Path) -> str:
        try:
            data = (runs / self.home.name / "0" / "stderr.log").read_bytes()
        except OSError:
            return ""
        return data[-PRINTED:].decode("utf-8", "replace")

    def finished(self, result: ScenarioResult) -> None:
        if result.outcome is Outcome.COMPLETED:
            kernel_cache.keep(self._temporary, kernel_cache.store())
        for part in (self.home / fence.WORK, self._temporary):
            shutil.rmtree(part, ignore_errors=True)


def repeats(rate: float) -> int:
    """The runs after which a program that shows the symptom in this share of its runs has shown it
    twice, with a probability of 90 %. Pure."""
    runs = 2
    # 1 - P(none) - P(one) of the binomial distribution.
    while runs < MOST_RUNS and (1 - rate) ** (runs - 1) * (1 - rate + runs * rate) > 0.1:
        runs += 1
    return runs


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
