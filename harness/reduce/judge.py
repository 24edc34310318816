"""The judge of candidates: runs each in a fresh process, fenced in, under the supervisor."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from harness.model import Locate, OnHang, Outcome, Patience, ScenarioResult
from harness.observe import processes
from harness.reduce import nursery
from harness.reduce.errors import InterruptedReductionError
from harness.reduce.fence import sitecustomize as fence
from harness.reduce.glances import FEW_RUNS, Glances
from harness.reduce.runs import Lender, Notes, Run
from harness.reduce.symptom import Seen, Symptom, fails_alike, shows
from harness.session.plan import Options
from harness.supervise import scheduler
from harness.supervise.job import Job

LEAST_BUDGET_S = 5.0
SLOWER = 3.0
MORE_RUNS, MOST_RUNS = 9, 30
DOUBTED_AFTER_S = 2.0
"""A candidate is doubted after this time, for it is known to hang; the patience comes after it."""


class Checked(NamedTuple):
    """The runs of a program by itself."""

    runs: int
    shown: int
    """The runs of these that showed the symptom."""
    enough: bool
    """True if these are as many as of the whole program."""
    first: ScenarioResult | None
    """The first of those that showed it."""


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
        well: Sequence[str] = (),
    ) -> None:
        """`python` is the program that runs each file, with its options. `data` are files and
        folders that each run finds in its own folder, under these names. `glances` are made at the
        same time, where a glance is enough (default: `jobs`). With `well`, which runs files too,
        no candidate may show the symptom, as far as the whole program does not."""
        processes.check()
        self._python = tuple(python)
        self._data = tuple(data)
        self.jobs = jobs
        self.patience = patience
        self._budget = Options().budget
        self.versions: dict[str, str] = {}
        """The versions that the programs were seen to run, by distribution, and `python`."""
        self.over: Callable[[], bool] = lambda: False
        """Asked between runs; once it says yes, no run is started or waited for."""
        self._folder = Path(tempfile.mkdtemp(prefix="harness-reduce-"))
        self._lender = Lender(self._folder / "lent")
        self._number = 0
        self._known: dict[str, bool] = {}
        self._stood: dict[str, bool] = {}
        self._steady: set[str] = set()
        """Those of `_stood` that were run several times."""
        self._glances = Glances(
            self._fenced, self._python, self._folder, glances or jobs, self._is_over
        )
        self._well = tuple(well)
        self._glances_well = Glances(
            self._fenced_well, self._well, self._folder, glances or jobs, self._is_over
        )
        self._looks_well = False
        """True if candidates are glanced at with `well` too."""
        self.glances = False
        """True if `shown` only glances: what it says is to be confirmed by `confirmed`."""
        self._wall_s = 0.0
        self.repeats = 1
        """Runs of a candidate at most, of one that shows the symptom now and then."""
        self.needed = 1
        """Runs of these that must show it."""
        self._verdicts = 0
        self._ran: frozenset[int] = frozenset()
        """The lines of the whole program that ran."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._glances.close()
        self._glances_well.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def whole(self, text: str, trace: bool) -> tuple[Seen, Notes]:
        """Run the whole program once. What it uses is what shorter ones may use."""
        run = self._prepared(text)
        if trace:
            run.variables[fence.TRACED] = str(run.file)
        (seen,) = self._run([run])
        notes = run.notes()
        self._ran = notes.lines
        # Under load one run may take a few times as long as another one.
        self._wall_s = seen.result.wall_s
        self._budget = max(LEAST_BUDGET_S, SLOWER * self._wall_s)
        with (self._folder / "used").open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in notes.used)
        return seen, notes

    def again(self, text: str, wanted: Callable[[Seen], bool]) -> Seen | None:
        """The first of some more runs that is `wanted`; None if none is.

        Raises InterruptedReductionError.
        """
        for _ in range(0, MORE_RUNS, self.jobs):
            found = list(filter(wanted, self._several([text] * self.jobs)))
            if found:
                return found[0]
        return None

    def seen(self, text: str) -> Seen:
        """One run of a candidate. Raises InterruptedReductionError."""
        return self._run([self._fenced(text)])[0]

    def steady(self, text: str, wanted: Symptom) -> None:
        """Learn how often the whole program shows the symptom, and so how often to run others.

        Where a glance tells so each time, candidates are glanced at from then on.
        Raises InterruptedReductionError.
        """
        self.glances = self._glances.learn(
            text, wanted, nursery.imports(text, self._ran), self._wall_s, self._budget
        )
        if self.glances and self._well:
            self._looks_well = self._glances_well.learn_without(
                self._glances, text, nursery.imports(text, self._ran), self._budget
            )
            if not self._looks_well:
                self._well = ()
        if self.glances:
            return
        if self._well:
            (alone,) = self._several([text], well=True)
            if fails_alike(alone, wanted):
                self._well = ()
        runs = FEW_RUNS
        shown = sum(shows(result, wanted) for result in self._several([text] * runs))
        if shown < runs:
            runs += MORE_RUNS
            shown += sum(shows(result, wanted) for result in self._several([text] * MORE_RUNS))
            # Its first run is known to have shown it.
            self.repeats, self.needed = repeats((shown + 1) / (runs + 1)), 2

    def _is_over(self) -> bool:
        return self.over()

    @property
    def tries(self) -> int:
        """Runs so far."""
        return self._verdicts + self._glances.tries + self._glances_well.tries

    @property
    def width(self) -> int:
        """The candidates that `shown` runs at the same time."""
        return self._glances.width if self.glances else self.jobs

    @property
    def takes_s(self) -> float:
        """The seconds that a verdict takes, by the whole program."""
        return self._wall_s

    def shown(self, texts: Sequence[str], wanted: Symptom) -> list[bool]:
        """For each candidate, True if it shows the symptom, or seems to. They run side by side.

        Raises InterruptedReductionError.
        """
        if not self.glances:
            return self.confirmed(texts, wanted)
        new = list(dict.fromkeys(t for t in texts if _key(t) not in self._stood))
        self._stood.update(zip(map(_key, new), self._glances.shown(new), strict=True))
        if self._looks_well:
            some = [text for text in new if self._stood[_key(text)]]
            self._stood.update(zip(map(_key, some), self._glances_well.shown(some), strict=True))
        # What was judged since then counts more.
        return [self._known.get(_key(text), self._stood[_key(text)]) for text in texts]

    def printed(self, text: str) -> str:
        """The standard error of one run of a program, up to where it shows the symptom.

        Empty where nothing is glanced at. Raises InterruptedReductionError.
        """
        return self._glances.printed(text) if self.glances else ""

    def was_hasty(self, text: str) -> bool:
        """True if the machine became slower, so that others than `text` were given up too early.

        These are not known any more, and get more time. Raises InterruptedReductionError.
        """
        if not (self.glances and self._glances.late and self._glances.was_hasty(text)):
            return False
        for late in self._glances.late:
            self._stood.pop(_key(late), None)
        self._glances.late.clear()
        return True

    def steadily(self, text: str) -> bool:
        """True if a candidate that was seen to show the symptom is, as often as it is run now.

        Raises InterruptedReductionError.
        """
        key = _key(text)
        if key not in self._steady:
            self._stood[key] = all(self._glances.shown([text] * self.width))
            self._steady.add(key)
        return self._stood[key]

    def confirmed(self, texts: Sequence[str], wanted: Symptom) -> list[bool]:
        """For each candidate, True if a verdict says that it shows the symptom.

        One that shows it now and then runs again until it has shown it twice, or not often enough.
        Raises InterruptedReductionError.
        """
        hangs = wanted.parts[0] == Outcome.HUNG.value
        left = list(dict.fromkeys(t for t in texts if _key(t) not in self._known))
        counts = dict.fromkeys(left, 0)
        for run in range(self.repeats):
            for text, result in zip(left, self._several(left, hasty=hangs), strict=True):
                counts[text] += shows(result, wanted)
            missing = self.repeats - run - 1
            done = [t for t in left if counts[t] >= self.needed or
                    counts[t] + missing < self.needed]  # fmt: skip
            self._known.update({_key(text): counts[text] >= self.needed for text in done})
            if self._well:
                some = [text for text in done if self._known[_key(text)]]
                for text, well in zip(some, self._several(some, well=True), strict=True):
                    self._known[_key(text)] = not fails_alike(well, wanted)
            left = [text for text in left if text not in done]
        return [self._known[_key(text)] for text in texts]

    def check(self, text: str, wanted: Symptom, times: int) -> Checked:
        """Run a program so many times, whatever is known of it.

        One that shows the symptom now and then runs as often as a candidate does.
        Raises InterruptedReductionError.
        """
        runs = times if self.repeats == 1 else self.repeats
        showing = [seen for seen in self._several([text] * runs) if shows(seen, wanted)]
        needed = times if self.repeats == 1 else self.needed
        return Checked(
            runs, len(showing), len(showing) >= needed, showing[0].result if showing else None
        )

    def _several(
        self, texts: Sequence[str], well: bool = False, hasty: bool = False
    ) -> Iterator[Seen]:
        fenced = self._fenced_well if well else self._fenced
        for start in range(0, len(texts), self.jobs):
            some = texts[start : start + self.jobs]
            yield from self._run([fenced(text) for text in some], known=not well, hasty=hasty)

    def _fenced(self, text: str) -> Run:
        return self._limited(self._prepared(text))

    def _fenced_well(self, text: str) -> Run:
        return self._limited(self._prepared(text, self._well))

    def _limited(self, run: Run) -> Run:
        run.variables[fence.USED] = str(self._folder / "used")
        return run

    def _prepared(self, text: str, python: Sequence[str] = ()) -> Run:
        self._number += 1
        home = self._folder / str(self._number)
        run = Run(home, python or self._python, text, self._lender)
        for source, name in self._data:
            target = home / fence.WORK / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy2(source, target)
        return run

    def _run(
        self, runs: Sequence[Run], known: bool = True, hasty: bool = False
    ) -> tuple[Seen, ...]:
        """Judge them; `known`: the versions that they run are those of the symptom. A `hasty`
        judgment may call one hung that is only slow."""
        if self.over():
            raise InterruptedReductionError
        options = Options(
            jobs=self.jobs,
            budget=self._budget,
            on_hang=OnHang.KILL,
            patience=self.patience,
            locate=Locate.NEVER,
            doubted_after=DOUBTED_AFTER_S if hasty else None,
        )
        starts = [run.starter(options, self._folder / "runs") for run in runs]
        with scheduler.requests() as interrupts:
            observer = _Quick(self.over, self.versions if known else {})
            results, stopped = scheduler.run(starts, self.jobs, observer, interrupts)
        if stopped or len(results) < len(runs):
            raise InterruptedReductionError
        self._verdicts += len(runs)
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

    def finished(self, job: Job, result: ScenarioResult) -> None:
        self._versions.update(job.versions)

    def looked(self, jobs: object) -> None:
        if not self._told and self._over():
            self._told = True
            os.kill(os.getpid(), signal.SIGINT)  # to the scheduler, which ends what runs


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
