"""Hangs that did not last: seen only by a run that waits them out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.findings.make import seconds, warning
from harness.model import Finding, Transient


def hang_transient(transients: Iterable[Transient]) -> Iterator[Finding]:
    for one in transients:
        place = f"phase {one.phase}" + (f" of step {one.step}" if (one.step or 0) >= 0 else "")
        yield warning(
            "hang_transient",
            f"hung in {place} for {seconds(one.lasted_s)}, then went on: {one.cause.summary}",
            step=one.step,
            phase=one.phase,
            stalled_at_s=one.stalled_at_s,
            lasted_s=one.lasted_s,
            cause=one.cause.code,
            proven=one.cause.proven,
            wait_site=one.cause.evidence.get("wait_site"),
            fingerprint=one.cause.evidence.get("fingerprint"),
        )
