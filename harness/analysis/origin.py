"""The place where NaN was born: which run is replayed for it, and what the replay's facts say.

Pure. `harness/inject/inside/facts.py` writes the facts; docs/internals/nan-origin.md tells of them.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from harness.analysis.operations import sentence
from harness.model import (
    Finding,
    Locate,
    Located,
    Origin,
    Outcome,
    Replay,
    ScenarioResult,
    Severity,
)
from harness.text import late

CODES = ("loss_not_finite", "gradients_not_finite", "parameters_not_finite", "figure_not_finite")
"""Findings that a replay can explain. A validation is not replayed."""
_DEFINED = late.compile(r" \([^()]*:\d+\)$")
"""The line at which a custom function is defined, behind its name."""
_FAR = 1 << 40
"""A step that no run has: parameters are known to be bad at the end, and not since when."""


def request(result: ScenarioResult, locate: Locate) -> Replay | None:
    """The replay that `result` asks for; None where its numbers stayed finite, or none is wanted.

    The loss of the step before the first bad one was finite: it is replayed under the probe too,
    because its backward pass and its update come after its loss.
    """
    if locate is Locate.NEVER or len(result.ranks) > 1:
        return None
    found = [finding for finding in result.findings if finding.code in CODES]
    if locate is Locate.DIVERGED:
        found = [f for f in found if f.severity is Severity.ERROR]
        found = found if result.outcome is Outcome.DIVERGED else []
    if not found:
        return None
    steps = [step for finding in found if (step := _step(finding)) is not None]
    codes = {finding.code for finding in found}
    if not steps:
        return Replay(probe=_FAR, last=_FAR)
    first = min(steps)
    return Replay(probe=max(0, first - 1), last=first, gradients="gradients_not_finite" in codes)


def _step(finding: Finding) -> int | None:
    step = finding.evidence.get("step")
    return step if isinstance(step, int) and step >= 0 else None


def again(replay: Replay, facts: dict[str, Any]) -> Replay | None:
    """The replay that is to follow one that came to `facts`; None where that one decides.

    What an earlier step left bad is looked for there, and what a checkpoint's replay does not show
    from the start.
    """
    whole = msgspec.structs.replace(replay, since=None)
    if facts.get("status") == "earlier":
        step = int(facts["step"])
        if facts.get("checkpoint") is not None:
            return whole
        return msgspec.structs.replace(whole, probe=step, last=step)
    if facts.get("status") == "not_again" and facts.get("checkpoint") is not None:
        return whole
    return None


def origin(facts: dict[str, Any], replay_s: float) -> Origin:
    """The origin that the facts of a replay of `replay_s` seconds tell."""
    status, step, site = Located(facts["status"]), facts.get("step"), facts.get("site")
    known = Origin(
        status=status,
        summary=(
            f"the numbers stay finite up to step {step} in a replay, uncompiled and from the same "
            "seed: a compiled kernel, other random numbers or another order of the data decide"
            if status is Located.NOT_AGAIN
            else _summary(facts, site)
        ),
        step=step,
        checkpoint=facts.get("checkpoint"),
        replay_s=replay_s,
        usual_step_s=facts.get("usual_s"),
        probed_step_s=facts.get("probed_s"),
    )
    if status is Located.NOT_AGAIN:
        return known
    return msgspec.structs.replace(
        known,
        place=facts.get("place"),
        operation=facts.get("operation") or None,
        site=site,
        frames=tuple(facts.get("frames", ())),
        module=facts.get("module"),
        about=facts.get("about") or None,
        inputs=tuple(facts.get("inputs", ())),
        cotangents=tuple(facts.get("cotangents", ())),
        output=facts.get("output", {}),
        rows=tuple(facts.get("rows", ())),
        columns=tuple(facts.get("columns", ())),
        tokens=tuple(facts.get("tokens", ())),
        batch=tuple(facts.get("batch", ())),
    )


def identity(result: ScenarioResult) -> str | None:
    """The operation and function in which the numbers of `result` were lost, the same wherever the
    line goes: `log in loss_fn (forward)`. None where no replay found it."""
    found = result.origin
    if found is None or found.status is not Located.LOCATED:
        return None
    function = (found.site or "").partition(" in ")[2] or found.about or "?"
    operation = _DEFINED.sub("", found.operation or "data")
    return f"{operation} in {function} ({found.place})"


def failed(why: str, replay_s: float) -> Origin:
    """The origin of a replay that did not come to an answer."""
    return Origin(status=Located.FAILED, summary=f"the replay {why}", replay_s=replay_s)


def _summary(facts: dict[str, Any], site: str | None) -> str:
    if facts["status"] == Located.UNSEEN.value:
        near = f" near {site}" if site else ""
        return (
            f"an operation that the probe does not see{near}: inside a kernel of one's own, a "
            "custom_function, or code that was not written in Python"
        )
    if facts.get("kind") == "outside":
        bad = "NaN" if facts.get("result") == "nan" else "an infinity"
        return f"{facts.get('about')} holds {bad} before the step computes with it"
    at = f" at {site}" if site else ""
    place = facts.get("place")
    return f"{sentence(facts)}{at} ({_PLACES.get(str(place), place)})"


_PLACES = {"gradients": "what is done with the gradients"}


def with_origin(result: ScenarioResult, found: Origin) -> ScenarioResult:
    """`result` with its origin, which is also the reason where it is known."""
    reason = result.reason
    if found.status is Located.LOCATED and result.outcome is Outcome.DIVERGED:
        steps = [step for f in result.findings if f.code in CODES if (step := _step(f)) is not None]
        first = min(steps, default=found.step)
        summary = found.summary
        if found.step != first:
            summary = re.sub(r"\)$", f" of step {found.step})", summary)
        reason = f"diverged at step {first}: {summary}"
    return msgspec.structs.replace(result, origin=found, reason=reason)
