"""Glances at candidates: what a whole program is known by, and which shorter ones show that."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from harness.model import Outcome
from harness.reduce import looker, nursery, signs
from harness.reduce.errors import InterruptedReductionError
from harness.reduce.looker import Look, Seen, Sign
from harness.reduce.runs import Run
from harness.reduce.symptom import Symptom

FEW_RUNS = 3
LONGER = 1.3
"""A time that grew by less is the same one."""
T = TypeVar("T")


class Glances:
    """Runs programs for a glance, `width` at the same time."""

    def __init__(
        self, prepared: Callable[[str], Run], python: Sequence[str], folder: Path, width: int,
        over: Callable[[], bool],
    ) -> None:  # fmt: skip
        """`prepared` makes the run of a program. `over` is asked while they run."""
        self._prepared = prepared
        self._python = tuple(python)
        self._folder = folder
        self.width = width
        self._over = over
        self._sign: Sign | None = None
        self._limits = {True: 0.0, False: 0.0}
        """The seconds after which a run is given up, one of many side by side and one of few: many
        take each other's time."""
        self._nursery: nursery.Nursery | None = None
        self.late: set[str] = set()
        """The programs that were given up while it was open if they show it."""
        self.tries = 0

    def close(self) -> None:
        if self._nursery is not None:
            self._nursery.close()

    def learn(
        self, text: str, wanted: Symptom, imports: Sequence[str], takes_s: float, budget_s: float
    ) -> bool:
        """Learn what the whole program is known by; False if a glance does not tell.

        It imports these modules. It takes so many seconds, and less than the budget.
        Raises InterruptedReductionError.
        """
        sign = self._of(text, wanted, takes_s, budget_s)
        if sign is None:
            return False
        return self._settled(text, sign, imports, budget_s)

    def learn_without(
        self, other: Glances, text: str, imports: Sequence[str], budget_s: float
    ) -> bool:
        """Learn how a program looks that does not show what `other` looks for; False if the whole
        program is not such a one here.

        Raises InterruptedReductionError.
        """
        sign = other._sign
        return sign is not None and self._settled(text, looker.Without(sign), imports, budget_s)

    def _settled(self, text: str, sign: Sign, imports: Sequence[str], budget_s: float) -> bool:
        """Learn how long it takes to see `sign`; False if it is not seen each time."""
        # Side by side it takes longer, and all others run so.
        self._limits = dict.fromkeys(self._limits, budget_s)
        self._sign = sign
        self._nursery = self._opened(imports)
        # On a loaded machine one of several copies may be late once.
        slowest = self._always(text) or self._always(text)
        if slowest is None and self._nursery is not None:
            self._nursery.close()
            self._nursery = None  # this program is not itself as a copy
            slowest = self._always(text)
        if slowest is None:
            return False
        self._limits = dict.fromkeys(self._limits, max(looker.LEAST_S, looker.LATER * slowest))
        return True

    def _of(self, text: str, wanted: Symptom, takes_s: float, budget_s: float) -> Sign | None:
        if wanted.parts[0] == Outcome.HUNG.value:
            # Verdicts alone would take far longer than a second attempt.
            return self._stands(text, wanted, takes_s) or self._stands(text, wanted, takes_s)
        if not signs.seen_without_verdict(wanted):
            return None
        if wanted.parts[0] == Outcome.DIVERGED.value:
            return looker.Reports(wanted)
        look = self._prepared(text).look()
        end = self._asked(lambda: looker.ends(look, budget_s, self._over))
        if end is None or not end.failed:
            return None
        return looker.Ends(end.as_kept(wanted.keep), wanted.keep)

    def _stands(self, text: str, wanted: Symptom, takes_s: float) -> Sign | None:
        look = self._prepared(text).look()
        return self._asked(lambda: looker.first(look, wanted, takes_s, self._over))

    def _opened(self, imports: Sequence[str]) -> nursery.Nursery | None:
        home = Path(tempfile.mkdtemp(prefix="n", dir=self._folder))
        variables = {"PYTHONDONTWRITEBYTECODE": "1"}
        return nursery.Nursery.open(self._python, imports, variables, home, self._over)

    def _always(self, text: str) -> float | None:
        """The seconds of the slowest of some runs of it; None if one of them does not show it."""
        shown, slowest = self._glanced([text] * max(FEW_RUNS, self.width))
        return slowest if all(shown) else None

    def was_hasty(self, text: str) -> bool:
        """True if `text`, which shows the symptom, now takes longer than others were given: they
        get more from then on.

        Raises InterruptedReductionError.
        """
        slowest = self._always(text)
        needed = self._limits[True] * 2 if slowest is None else looker.LATER * slowest
        if needed <= self._limits[True] * LONGER:
            return False
        self._limits = dict.fromkeys(self._limits, needed)
        return True

    def shown(self, texts: Sequence[str]) -> list[bool]:
        """For each program, True if it seems to show the symptom.

        Raises InterruptedReductionError.
        """
        found: list[bool] = []
        for start in range(0, len(texts), self.width):
            some = texts[start : start + self.width]
            shown, seconds = self._glanced(some)
            if seconds:
                # A smaller program is there sooner, and one that is not is given up sooner.
                many = self._is_many(some)
                later = (self._limits[many] + looker.LATER * seconds) / 2
                self._limits[many] = max(looker.LEAST_S, later)
            found += shown
        return found

    def _is_many(self, some: Sequence[object]) -> bool:
        return 2 * len(some) > self.width

    def _glanced(self, texts: Sequence[str]) -> tuple[list[bool], float]:
        """For each program, True if it shows the sign; the seconds that the slowest one of these
        took."""
        sign = self._sign
        assert sign is not None
        if self._nursery is not None and not self._nursery.runs:
            self._nursery.close()
            self._nursery = None
        runs = [self._prepared(text) for text in texts]
        seen = self._looked([run.look() for run in runs], sign)
        for run in runs:
            run.glanced()
        self.late.update(text for text, one in zip(texts, seen, strict=True) if one.late)
        times = [one.seconds for one in seen if one.shows]
        return [one.shows for one in seen], max(times, default=0.0)

    def _looked(self, looks: Sequence[Look], sign: Sign) -> list[Seen]:
        self.tries += len(looks)
        return self._asked(
            lambda: looker.together(
                looks, sign, self._limits[self._is_many(looks)], self._over, self._nursery
            )
        )

    def printed(self, text: str) -> str:
        """The standard error of one run, up to where it shows the sign or is given up."""
        assert self._sign is not None
        run = self._prepared(text)
        look = run.look()
        self._looked([look], self._sign)
        try:
            found = (look.folder / "stderr.log").read_text(errors="replace")
        except OSError:
            found = ""
        run.glanced()
        return found

    def _asked(self, look: Callable[[], T]) -> T:
        if self._over():
            raise InterruptedReductionError
        try:
            return look()
        except looker.StoppedError:
            raise InterruptedReductionError from None
