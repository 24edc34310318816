"""Decides what of an investigation is worth a try, and how long it may take. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness.investigate.model import StageName, StageResult, Status
from harness.model import Outcome, RunResult, ScenarioResult
from harness.releases import symptoms
from harness.releases.search import Seen
from harness.releases.symptoms import Symptoms, When
from harness.text.units import duration, percent, plural

OF_PYTHON = frozenset(("lock", "queue", "future", "join"))
"""The waits of a chain, by their codes, that Python's own objects can end."""
OWN_ERRORS = frozenset(
    ("SyntaxError", "IndentationError", "NameError", "UnboundLocalError", "ModuleNotFoundError")
    + ("FileNotFoundError", "PermissionError")
)
"""Exceptions that the program's own code raises with any release of MLX, where none is named.

An AssertionError or a KeyError is none of them: numbers and names can differ between releases.
"""
PREPARE_S = 6.0
"""Seconds that an environment of a release takes, where it has to be made."""
SHARES = {StageName.RUNS: 0.3, StageName.ENVIRONMENT: 0.4, StageName.RELEASES: 0.6}
"""The most that a stage may take of the time that is left; the last one may take all of it."""
_FEW = 20
"""Releases that a year has, as far as is known before the index is asked."""


class Shown(NamedTuple):
    """The result of the runs of the training as it is."""

    when: When | None
    """The symptom; None: nothing was found to be wrong."""
    shown: int
    runs: int

    @property
    def always(self) -> bool:
        """True if each run showed it."""
        return self.shown == self.runs


def shown(runs: Sequence[Symptoms]) -> Shown:
    """The symptom of the runs, and in how many of them it came."""
    when = symptoms.default((), runs)
    if when is None:
        return Shown(None, 0, len(runs))
    answers = [symptoms.judge(when, one) for one in runs]
    return Shown(when, answers.count(Seen.SHOWN), len(runs))


def in_words(seen: Shown, run: RunResult) -> str:
    """The result of the runs, in one line."""
    runs = plural(seen.runs, "run")
    if seen.when is not None:
        return f"{seen.when}, in {seen.shown} of {runs}"
    if any(one.outcome is Outcome.UNFINISHED for one in run.results):
        return f"nothing wrong in {runs}; it was still at work when its time was over"
    return f"nothing wrong in {runs}"


def closed(run: RunResult) -> str:
    """The reason why no setting, release or smaller file can change the answer; empty if one may.

    True of a deadlock in which threads wait for each other in locks and queues of Python alone, and
    of exceptions that have nothing to do with MLX.
    """
    bad = [one for one in run.results if one.outcome in symptoms.FAILED]
    if not run.results or any(one.outcome is Outcome.SKIPPED for one in run.results):
        skipped = next((one.reason for one in run.results if one.reason), "nothing was run")
        return "" if bad else f"it cannot be run here: {skipped}"
    if bad and all(map(_own_deadlock, bad)):
        return "the deadlock is proven, and its ring passes through locks of the program alone"
    if bad and all(map(_own_error, bad)):
        return "the exception comes from the program itself, whatever the release of MLX"
    return ""


def _own_deadlock(result: ScenarioResult) -> bool:
    """True for a proven ring of threads that wait for each other outside of MLX.

    A chain whose end is dead is none: MLX may be what ended it.
    """
    cause = result.cause
    if cause is None or not cause.proven:
        return False
    end, chain = cause.evidence.get("end"), cause.evidence.get("chain")
    ring = isinstance(end, dict) and end.get("kind") == "cycle" and end.get("sure") is True
    return ring and bool(chain) and all(map(_of_python, chain or ()))


def _of_python(link: Mapping[str, object]) -> bool:
    """True for a thread at a line of Python whose wait no native code is known to hold."""
    wait, detail = link.get("wait"), str(link.get("detail"))
    return bool(link.get("place")) and wait in OF_PYTHON and (wait != "lock" or "Python" in detail)


def _own_error(result: ScenarioResult) -> bool:
    raised = re.match(r"(?:\w+\.)*(\w+):", result.reason or "")
    own = raised is not None and raised[1] in OWN_ERRORS
    return own and "mlx" not in (result.reason or "")


def unneeded(stage: StageName, reason: str, seen: Shown | None) -> str:
    """The reason why `stage` cannot change the answer; empty if it may.

    `reason` is that of `closed`.
    """
    if stage is StageName.RUNS or reason:
        return reason if stage is not StageName.RUNS else ""
    if seen is None:
        return "nothing was run"
    if seen.when is None:
        return "nothing was found to be wrong"
    return ""


def answer(stages: Sequence[StageResult], reason: str, headline: str, seen: Shown | None) -> str:
    """The whole answer in one line, without a full stop."""
    if seen is None or not seen.runs:
        return reason or "nothing was run"
    if seen.when is None:
        return reason or (
            f"nothing was found to be wrong in {plural(seen.runs, 'run')}; a problem that comes in "
            f"1 of 10 runs stays away in {plural(seen.runs, 'run')} with a probability of "
            f"{percent(0.9**seen.runs)}"
        )
    times = "" if seen.always else f" in {seen.shown} of {seen.runs} runs"
    parts = [f"{headline}{times}"]
    parts += [one.summary for one in stages if one.found and one.stage is not StageName.RUNS]
    if reason:
        parts.append(reason)
    return "; ".join(parts)


def is_answered(stages: Sequence[StageResult], reason: str, seen: Shown | None) -> bool:
    """True if the program is well, or if something is known of why it is not."""
    if seen is None or not seen.runs:
        return False
    if seen.when is None or reason:
        return not reason or seen.when is not None
    return any(one.found for one in stages)


def seconds(stage: StageName, run_s: float, flips: int, releases: int = _FEW) -> float:
    """The time that a stage takes, from that of one run."""
    if stage is StageName.RUNS:
        return 3 * run_s
    if stage is StageName.ENVIRONMENT:
        return (flips + 3) * run_s
    probes = math.ceil(math.log2(max(2, releases))) + 3
    return probes * (run_s + PREPARE_S) if stage is StageName.RELEASES else 60 * run_s


def forecast(within: float, flips: int) -> str:
    """The line that is printed before anything is run."""
    quick = sum(seconds(stage, 3.0, flips) for stage in StageName)
    return (
        f"it takes {duration(within)} at most (--within); with runs of 3 s some "
        f"{duration(round(quick / 60) * 60)}"
    )


def about(took: float, left: float) -> str:
    """The time that a stage takes, in words, and no more than what is left."""
    return f", some {duration(max(1, round(min(took, left))))}"


def share(stage: StageName, left: float) -> float:
    """The time that `stage` may take of what is `left`, in seconds."""
    return left * SHARES.get(stage, 1.0)


def is_over(stages: Sequence[StageResult], stage: StageName) -> bool:
    """True if `stage` came to its end in an earlier part of an investigation that goes on."""
    return any(one.stage is stage and one.status is not Status.INTERRUPTED for one in stages)
