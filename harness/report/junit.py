"""junit.xml: a test case a run, for the readers that CI systems have."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from harness.model import Outcome, RunResult, ScenarioResult
from harness.report.text import plain

FAILURES = (Outcome.HUNG, Outcome.DIVERGED, Outcome.UNFINISHED)


def render(run: RunResult) -> bytes:
    """The document, UTF-8, with its declaration."""
    kinds = [result.outcome for result in run.results]
    suite = ET.Element(
        "testsuite",
        name="harness",
        tests=str(len(kinds)),
        failures=str(sum(kind in FAILURES for kind in kinds)),
        errors=str(kinds.count(Outcome.CRASHED)),
        skipped=str(kinds.count(Outcome.SKIPPED)),
        time=f"{sum(result.wall_s for result in run.results):.3f}",
        timestamp=run.started,
    )
    for result in run.results:
        suite.append(_case(result))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _case(result: ScenarioResult) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname="harness",
        name=result.scenario + (f"[{result.repeat}]" if result.repeat else ""),
        time=f"{result.wall_s:.3f}",
    )
    reason = plain(result.reason or result.outcome.value)
    if result.outcome in FAILURES:
        ET.SubElement(case, "failure", type=result.outcome.value, message=reason)
    elif result.outcome is Outcome.CRASHED:
        ET.SubElement(case, "error", type="crashed", message=reason)
    elif result.outcome is Outcome.SKIPPED:
        ET.SubElement(case, "skipped", message=reason)
    findings = "\n".join(f"{f.code}: {plain(f.summary)}" for f in result.findings)
    if findings:
        ET.SubElement(case, "system-out").text = findings
    return case
