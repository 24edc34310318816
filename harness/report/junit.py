"""junit.xml: a test case a run, for the readers that CI systems have.

A run that completed with an unexpected finding of severity error is a failure, as for the exit
code. The findings of each run are in its output, with their severities.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

from harness.analysis import failing
from harness.model import Outcome, RunResult, ScenarioResult
from harness.report import screen, summary
from harness.report.input import Group, groups
from harness.report.sections.attached import attachments
from harness.report.text import line
from harness.text import phrases
from harness.text.known_issues import describe

FAILURES = (Outcome.HUNG, Outcome.DIVERGED, Outcome.UNFINISHED)
LIMIT = 500
"""Characters of a message."""


def render(run: RunResult) -> bytes:
    """The document, UTF-8, with its declaration."""
    kinds = [result.outcome for result in run.results]
    suite = ET.Element(
        "testsuite",
        name="harness",
        tests=str(len(kinds)),
        failures=str(sum(map(_failed, run.results))),
        errors=str(kinds.count(Outcome.CRASHED)),
        skipped=str(kinds.count(Outcome.SKIPPED)),
        time=_time(sum(result.wall_s for result in run.results)),
        timestamp=line(run.started, 40),
    )
    if run.full:
        ET.SubElement(ET.SubElement(suite, "properties"), "property", name="redacted", value="no")
    for group in groups(run):
        suite.extend(_test_case(result, group, run) for result in group.results)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _test_case(result: ScenarioResult, group: Group, run: RunResult) -> ET.Element:
    repeated = len(group.results) > 1
    name = line(result.scenario, LIMIT) + (f"[{result.repeat}]" if repeated else "")
    element = ET.Element("testcase", classname="harness", name=name, time=_time(result.wall_s))
    known = [line(f"{describe(match)} {match.url}", LIMIT) for match in result.known_issues]
    wrong = failing.findings(result)
    made = screen.of_run(run, result)
    message = "; ".join([screen.as_sentence(made, LIMIT), *known[:1]])
    text = "\n".join(screen.as_lines(made))
    if result.outcome in FAILURES and _failed(result):
        ET.SubElement(element, "failure", type=result.outcome.value, message=message).text = text
    elif result.outcome is Outcome.CRASHED:
        ET.SubElement(element, "error", type="crashed", message=message).text = text
    elif result.outcome is Outcome.SKIPPED:
        reason = line(phrases.reason(result) or result.outcome.value, LIMIT)
        ET.SubElement(element, "skipped", message=reason)
    elif wrong and _failed(result):
        message = line("; ".join(finding.summary for finding in wrong), LIMIT)
        ET.SubElement(element, "failure", type=line(wrong[0].code, LIMIT), message=message)
    lines = [line(summary.format_finding(finding), LIMIT) for finding in result.findings] + known
    if lines:
        ET.SubElement(element, "system-out").text = "\n".join(lines)
    return element


def _failed(result: ScenarioResult) -> bool:
    """An attached process that is left alive has not failed by not having ended."""
    alive = result.outcome is Outcome.UNFINISHED and attachments(result)
    if result.outcome is Outcome.COMPLETED:
        return bool(failing.findings(result))
    return result.outcome in FAILURES and not alive


def _time(seconds: float) -> str:
    return f"{seconds if math.isfinite(seconds) else 0:.3f}"
