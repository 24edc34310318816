"""The symptom of a run in the form that survives a reduction. Pure.

The fingerprint of a hang has the lines of the user's code, which move while the code shrinks. Here
the lines are left out: what stays is who waits for what, in which function, and how the chain ends.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from harness.analysis import origin
from harness.errors import UsageError
from harness.model import Outcome, ScenarioResult, Severity
from harness.model.enums import TextEnum
from harness.releases import symptoms
from harness.report import summary
from harness.text import late


class Keep(TextEnum):
    """The part of a symptom that a shorter program must still show."""

    OUTCOME = "outcome"
    CAUSE = "cause"
    """The outcome, and the cause of a hang, the exception or signal of a crash."""
    FINGERPRINT = "fingerprint"
    """The cause, and who waits where, or where it crashed or lost its numbers."""
    FINDING = "finding"
    """The code of a finding."""


class Symptom(msgspec.Struct, frozen=True, kw_only=True):
    """The symptom to keep."""

    keep: Keep
    parts: tuple[str, ...]
    """The things that must be the same; sorted words for people."""
    summary: str
    """One line for people."""
    several: bool = False
    """True of a hang in which several processes wait for each other."""

    @property
    def is_race(self) -> bool:
        """True of threads that hold a lock each that another one waits for: whether they do may be
        chance. A pipe that is full, or a queue that stays empty, is so each time."""
        waits = {part.partition(" in ")[0] for part in self.parts}
        return RACE in self.parts and not waits.isdisjoint(LOCKS)

    @property
    def mark(self) -> str:
        """12 hexadecimal digits, the same for each run with these parts."""
        return hashlib.sha256("\n".join(self.parts).encode()).hexdigest()[:12]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The facts about one run."""

    result: ScenarioResult
    printed: str = ""
    """The end of its standard error."""


def of(seen: Seen, keep: Keep | None) -> Symptom:
    """The symptom of the whole program, in which `keep` says what counts; None: the most there is.

    Raises UsageError when there is no such symptom.
    """
    result = seen.result
    keep = keep or (Keep.FINGERPRINT if failed(seen) else Keep.FINDING)
    verdict = summary.verdict(result)
    if keep is Keep.FINDING:
        notable = [
            finding.code
            for finding in result.findings
            if finding.severity is not Severity.INFO and not finding.expected
        ]
        if not notable:
            raise UsageError(
                f"the program shows no finding to keep: {verdict}; reduce a program that does"
            )
        parts: tuple[str, ...] = (notable[0],)
    elif not failed(seen):
        raise UsageError(
            f"the program shows no failure to keep: {verdict}; reduce one that hangs, crashes or "
            "diverges, or use --keep finding"
        )
    else:
        parts = _parts(seen, keep)
    links = result.cause.evidence.get("chain") or () if result.cause is not None else ()
    several = len({link.get("pid") for link in links}) > 1
    found = Symptom(keep=keep, parts=parts, summary=verdict, several=several)
    return msgspec.structs.replace(found, summary=said(result, found))


def said(result: ScenarioResult, wanted: Symptom) -> str:
    """The symptom as a run shows it, in one line."""
    for finding in result.findings:
        if wanted.keep is Keep.FINDING and finding.code == wanted.parts[0]:
            return f"{finding.code}: {finding.summary}"
    return summary.verdict(result)


def failed(seen: Seen) -> bool:
    """True of a run that hung, crashed or diverged."""
    return seen.result.outcome in symptoms.FAILED


def shows(seen: Seen, wanted: Symptom) -> bool:
    """True if the run has the symptom."""
    result = seen.result
    if wanted.keep is Keep.FINDING:
        return result.outcome not in symptoms.FAILED and any(
            finding.code == wanted.parts[0] for finding in result.findings
        )
    return result.outcome in symptoms.FAILED and _parts(seen, wanted.keep) == wanted.parts


def fails_alike(seen: Seen, wanted: Symptom) -> bool:
    """True if the run ends as the symptom does, wherever: the other release is then no better."""
    if wanted.keep is Keep.FINDING:
        return shows(seen, wanted)
    return seen.result.outcome.value == wanted.parts[0]


def places(seen: Seen, file: str) -> frozenset[int]:
    """The lines of `file` at which the symptom is: the waits of a hang, the line of a crash."""
    result = seen.result
    texts = [result.reason or ""]
    if result.cause is not None:
        evidence = result.cause.evidence
        texts += [str(link.get("place")) for link in evidence.get("chain") or ()]
        texts.append(str(evidence.get("wait_site")))
    found = re.findall(rf"{re.escape(file)}\D{{1,9}}(\d+)", "\n".join([*texts, seen.printed]))
    return frozenset(map(int, found))


def _parts(seen: Seen, keep: Keep) -> tuple[str, ...]:
    result = seen.result
    parts = [result.outcome.value]
    if keep is not Keep.OUTCOME:
        parts += [f"cause {result.cause.code}"] if result.cause else []
        parts += [f"raised {kind}"] if (kind := symptoms.of(result, "").signature) else []
    if keep is Keep.FINGERPRINT:
        parts += sorted(_places(result))
        if result.cause is not None:
            # Who should have ended the wait may have died before.
            parts += sorted(raised(seen.printed))
    return tuple(parts)


def raised(printed: str) -> set[str]:
    """The part of a symptom for each exception that ended a thread, from what was printed."""
    return {f"{DIED}{kind[1]}" for kind in _RAISED.finditer(printed)}


RACE = "end cycle"
"""The part of the symptom of those that wait for each other."""
LOCKS = frozenset(("lock", "mutex", "futex", "shared_lock"))
"""The waits for what another thread took first."""
OWN = ("own", "local_socket", "pipe", "eventfd")
"""The waits of a process for its own other threads alone."""
ALONE = ("dead", "cycle")
"""The ends of a chain that nobody else can end."""
DIED = "thread raised "
_RAISED = late.compile(r"^Exception in thread [^\n]*\n(?:(?:Traceback| ).*\n)+(\w[\w.]*)", re.M)


def _places(result: ScenarioResult) -> Iterator[str]:
    """The waiting threads, their waits and functions; of a crash or a divergence, the function."""
    if result.cause is not None:
        evidence = result.cause.evidence
        end = evidence.get("end") or {}
        links: Sequence[Mapping[str, object]] = evidence.get("chain") or ()
        # With a thread more, what nobody else has open is said to be the process's own.
        alone = len(links) == 1 and links[0].get("wait") in OWN and end.get("kind") in ALONE
        for link in links:
            yield f"{'own' if alone else link.get('wait')} in {function(link.get('place'))}"
        if end:
            yield f"end {'dead' if alone else end.get('kind')}"
        category = evidence.get("wait_category")
        if category:
            place = str(evidence.get("wait_site", "")).rpartition(", from ")[2]
            yield f"site {category} in {function(place)}"
    elif result.outcome is Outcome.CRASHED:
        said, _, place = (result.reason or "").rpartition(", at ")
        yield f"in {function(place)}"
        yield f"says {words(said)}"
    else:
        told = [result.reason or "", *(finding.summary for finding in result.findings)]
        kind = re.search(r"\b(nan|inf)\b", "\n".join(told))
        yield f"number {kind[1] if kind else None}"
        if (born := origin.identity(result)) is not None:
            yield f"born: {born}"


def function(place: object) -> str:
    """The function of `train.py:12 in step`, or what there is."""
    text = str(place or "")
    name = re.search(r" in ([\w.<>]+)(?: \(.*\))?\W*$", text)
    return name[1] if name else re.sub(r"[^A-Za-z_<>]+", " ", text).strip()


def words(reason: str) -> str:
    """The words of a message without what varies: numbers, quoted text, addresses, steps.

    A name in quotes stays: a missing attribute of None is another fault than one of a model.
    """
    text = re.sub(r"^in step \d+, \w+: ", "", reason)
    text = re.sub(r"'([A-Za-z_]+)'|\"([A-Za-z_]+)\"", r" \1\2 ", text)
    text = re.sub(r"'[^']*'|\"[^\"]*\"|\([^()]*\)|\[[^\[\]]*\]", " ", text)
    return " ".join(re.findall(r"[A-Za-z_]{3,}", text)[:12])
