"""A reduction from its start to its end: passes, judge, and the file that is left."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from harness.errors import UsageError
from harness.model import Patience, Settings
from harness.reduce import file, order, search, symptom, target
from harness.reduce.errors import InterruptedReductionError
from harness.reduce.judge import Checked, Judge
from harness.reduce.runs import NAME as NAME_OF_RUN
from harness.reduce.symptom import Keep, Symptom
from harness.report import files
from harness.session.folder import locked, new_folder

NAME = "reduced.py"
ALONE = 3
"""The runs in which the result must show the symptom by itself."""
SIDE_BY_SIDE = 2
"""Runs for each processor: one that hangs waits most of its time."""
CHECK = 1.4
"""Three runs side by side, against one: in the time that they take."""
CONFIRM_S = 15.0
"""Seconds, beside those of a verdict, after which one is asked for where candidates are glanced at.
"""
GLANCES = 4
"""Glances for each processor: a program that is glanced at waits even more."""
LONG_S = 10.0
"""A verdict that takes so long waits most of the time: some more cost little."""
PATIENCE_S = 2.0


@dataclass(frozen=True)
class Progress:
    """The state of a reduction while it is under way."""

    stage: str
    """The pass, in words."""
    tries: int
    lines: int
    """Lines of code of the best program so far."""
    text: str
    """The best program so far."""


@dataclass(frozen=True)
class Reduced:
    """The end of a reduction."""

    path: Path
    """The file that is left."""
    lines: int
    """Its lines of code, without the comment at its head."""
    tries: int
    """Runs that were made."""
    verified: bool
    """True if it showed the symptom in each of three runs by itself, or as often as the whole."""
    symptom: str
    """The symptom that it shows, in one line; where it was not checked, that of the whole."""
    checked: tuple[int, int] = (0, 0)
    """The runs by itself that showed it, and all of them."""
    mark: str = ""
    """12 hexadecimal digits of what was kept: the same for the whole program and for what is left.
    """
    original_lines: int = 0
    """The lines of the file and of the local modules that it imports."""
    needs: tuple[str, ...] = ()
    """The packages besides MLX that it imports."""
    seconds: float = 0.0
    interrupted: bool = False
    """True if the user or the deadline ended the search before it came to its end."""


def reduce(
    source: str | os.PathLike[str] | Sequence[str],
    *,
    keep: Keep | str | None = None,
    jobs: int | None = None,
    out: str | os.PathLike[str] = "reports",
    deadline: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    settings: Settings | None = None,
    patience: float = PATIENCE_S,
    well: str | os.PathLike[str] | None = None,
) -> Reduced:
    """Make the smallest program that still shows what `source` shows.

    `source` is the path of a scenario or a script, or the words of a command that runs one. `keep`
    is what must stay the same (default: the fingerprint, or the finding of one that completes).
    `jobs` programs run at the same time (default: two for each processor). `deadline` is in
    seconds; the best so far is what is left then, and after Ctrl-C. `on_progress` is told of the
    whole program, and of each that is smaller. `settings` are those of a scenario. A run that is
    doubted and not proven dead is called hung after `patience` seconds. `well` is a Python, such as
    one with an older MLX, with which what is left must not fail in the same way. It is left out of
    account where the whole program does.

    Call it from the main thread, for it handles signals. Raises UsageError when the program cannot
    be read or shows nothing to keep, and HarnessError when `out` cannot be written to.
    """
    program = (
        target.of_file(Path(source), settings)
        if isinstance(source, str | os.PathLike)
        else target.of_command(source)
    )
    kept = None if keep is None else Keep(keep)
    folder = new_folder(Path(out))
    with (
        _terminable(),
        locked(folder),
        Judge(
            program.python,
            program.data,
            jobs=jobs or SIDE_BY_SIDE * _processors(),
            glances=jobs or GLANCES * _processors(),
            patience=Patience(seconds=patience),
            well=() if well is None else target.with_python(program.python, os.fspath(well)),
        ) as judge,
    ):
        return _Reduction(program, judge, folder, deadline, on_progress).carry_out(kept)


def _processors() -> int:
    """The processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS keeps no process from any
        return os.cpu_count() or 1


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let a SIGTERM between two runs end the reduction as Ctrl-C does, so that it tidies up."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Reduction:
    """One reduction under way: the best program so far, and those before it."""

    def __init__(
        self, program: target.Target, judge: Judge, folder: Path, deadline: float | None,
        told: Callable[[Progress], None] | None,
    ) -> None:  # fmt: skip
        self._program = program
        self._judge = judge
        self._folder = folder
        self._began = time.monotonic()
        self._end = None if deadline is None else self._began + deadline
        self._told = told
        self._stage = "whole program"
        self._best = program.text
        self._states = [program.text]
        """The best program after each pass."""
        self._sure = program.text
        """The best program of which a verdict says that it shows the symptom."""
        self._glanced: list[str] = []
        """The programs after that one that seem to show it, each smaller than the one before."""
        self._confirmed_at = self._began
        self._misses = 0
        self._careful = 0
        """The number of smaller programs of which each needs a verdict at once."""

    @property
    def path(self) -> Path:
        return self._folder / NAME

    def carry_out(self, keep: Keep | None) -> Reduced:
        self._save()
        self._tell(self._best)
        self._judge.over = self._is_late
        try:
            wanted, lines, places = self._whole(keep)
        except InterruptedReductionError:
            if not self._is_late():
                raise KeyboardInterrupt from None
            raise UsageError(
                "the time was over before the whole program had shown what to keep; give it more "
                "(--within), or let the program fail sooner"
            ) from None
        self._judge.over = self._is_over
        interrupted = False
        try:
            self._reduce(wanted, lines, places)
        except (InterruptedReductionError, KeyboardInterrupt):
            interrupted = True
        stopped = interrupted and not self._is_over()
        self._judge.over = lambda: False
        if stopped:
            self._best = file.formatted(self._sure)
        checked = None if stopped else self._checked(wanted)
        # The whole program may show it elsewhere: in a later step.
        shown = checked.first if checked is not None else None
        said = wanted.summary if shown is None else symptom.said(shown, wanted)
        # A candidate has another name, and no comment above it.
        said = re.sub(rf"{re.escape(NAME_OF_RUN)}:\d+ in ", "", said)
        self._finish(wanted, said, checked)
        return Reduced(
            path=self.path,
            lines=search.size(self._best)[0],
            tries=self._judge.tries,
            verified=checked is not None,
            checked=(checked.shown, checked.runs) if checked is not None else (0, 0),
            symptom=said,
            mark=wanted.mark,
            original_lines=self._program.lines,
            needs=file.needs(self._best),
            seconds=time.monotonic() - self._began,
            interrupted=interrupted,
        )

    def _is_late(self) -> bool:
        return self._end is not None and time.monotonic() > self._end

    def _is_over(self) -> bool:
        # The check at the end takes as long as one verdict, and one more if it was only glanced at.
        checks = 2 if self._glanced else 1
        check_s = checks * CHECK * self._judge.takes_s
        return self._end is not None and time.monotonic() + check_s > self._end

    def _whole(self, keep: Keep | None) -> tuple[Symptom, frozenset[int], frozenset[int]]:
        """The symptom of the whole program, the lines that ran, and those where it is."""
        seen, notes = self._judge.whole(self._best, trace=True)
        lines = notes.lines
        if keep is not Keep.FINDING and not symptom.failed(seen):
            # One that fails now and then may not have done so.
            again = self._judge.again(self._best, symptom.failed)
            if again is not None:
                seen, lines = again, frozenset()
        try:
            found = symptom.of(seen, keep)
        except UsageError as error:
            if notes.refused:
                raise UsageError(
                    f"{error}; the program was refused what reaches outside of its folder: "
                    f"{notes.refused[0]}"
                ) from None
            if self._program.of_scenario:
                raise UsageError(
                    f"{error}; a scenario is reduced as a program of its own, whose graphs, "
                    "arrays and parameters nobody sees"
                ) from None
            raise
        return found, lines, symptom.places(seen, NAME_OF_RUN)

    def _reduce(self, wanted: Symptom, lines: frozenset[int], places: frozenset[int]) -> None:
        judge = self._judge

        def test(texts: Sequence[str]) -> Sequence[bool]:
            shown = judge.shown(texts, wanted)
            good = [text for text, is_shown in zip(texts, shown, strict=True) if is_shown]
            if good and judge.glances and self._careful:
                confirmed = dict(zip(good, judge.confirmed(good, wanted), strict=True))
                shown = [confirmed.get(text, False) for text in texts]
                good = [text for text in good if confirmed[text]]
            while good and self._comes_by_chance(wanted) and not judge.steadily(good[0]):
                shown = [
                    known and text != good[0] for text, known in zip(texts, shown, strict=True)
                ]
                good = good[1:]
            # The first one is what the search takes.
            if good:
                self._accept(good[0])
                self._careful = max(0, self._careful - 1)
            return shown

        def begin(stage: str, text: str) -> str:
            due = time.monotonic() - self._confirmed_at > CONFIRM_S + judge.takes_s
            guessed = self._stage == order.GUESS and judge.takes_s <= LONG_S
            if judge.glances and (due or guessed):
                self._confirm(wanted)
            self._stage = stage
            if self._best != self._states[-1]:
                self._states.append(self._best)
            return self._best

        judge.steady(self._best, wanted)
        misses = -1
        while misses < self._misses:
            # What had to be taken back leaves more to do, with more verdicts each time.
            misses = self._misses
            order.reduced(self._best, test, judge.width, lines, places, begin,
                          wanted.is_race, judge.printed, judge.was_hasty)  # fmt: skip
            self._confirm(wanted)
            lines = places = frozenset()  # those of the whole program

    def _comes_by_chance(self, wanted: Symptom) -> bool:
        """True where one glance may be luck: in a race of threads, and where it was before."""
        return self._judge.glances and (self._misses > 0 or wanted.is_race)

    def _confirm(self, wanted: Symptom) -> None:
        """Ask for a verdict on the program that was glanced at; where it is wrong, go back."""
        glanced, self._glanced = self._glanced, []
        if glanced:
            right = search.last_right(
                len(glanced),
                lambda some: self._judge.confirmed([glanced[at] for at in some], wanted),
                self._judge.jobs,
                eager=self._judge.takes_s > LONG_S,
            )
            if right + 1 < len(glanced):
                self._misses += 1
                self._careful = 2**self._misses
            if right >= 0:
                self._sure = glanced[right]
                self._save()
            self._best = self._sure
        self._confirmed_at = time.monotonic()

    def _accept(self, text: str) -> None:
        self._best = text
        if self._judge.glances and not self._careful:
            self._glanced.append(text)
        else:
            self._sure = text
            self._save()
        self._tell(text)

    def _tell(self, text: str) -> None:
        if self._told is not None:
            tries, lines = self._judge.tries, search.size(text)[0]
            self._told(Progress(stage=self._stage, tries=tries, lines=lines, text=text))

    def _save(self) -> None:
        files.replace(self.path, self._sure.encode())

    def _checked(self, wanted: Symptom) -> Checked | None:
        """Go back to the last state that shows the symptom each time; None if there is none.

        The best program is then in the form in which it was checked.
        """
        for text in dict.fromkeys([self._best, self._sure, *reversed(self._states)]):
            self._best = file.formatted(text)
            try:
                found = self._judge.check(self._best, wanted, ALONE)
            except (InterruptedReductionError, KeyboardInterrupt):
                self._best = file.formatted(self._sure)  # the other one may only seem to show it
                return None
            if found.enough:
                return found
        return None

    def _finish(self, wanted: Symptom, said: str, checked: Checked | None) -> None:
        runs = None if checked is None else (checked.shown, checked.runs)
        head = file.head(self._program, wanted, said, runs, self._judge.versions)
        files.replace(self.path, (head + self._best).encode())
