"""report.html: the whole run on one page that needs no network and no other file.

Whatever a worker wrote reaches the page in two ways only: through the template, which escapes it,
or as JSON in a block of data whose `<` is escaped. A Content-Security-Policy lets no script run but
the two that are shipped here, and nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
import math
from pathlib import Path
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from harness.model import Severity
from harness.report import lanes, stacks
from harness.report.html import ranks, timeline, view
from harness.report.html.page_template import template
from harness.report.html.series import GRAPH, LOSS, MEMORY, TIME, Curve, curves
from harness.report.input import Group, ReportInput, groups, subject
from harness.report.sections import first, ladder, verdicts
from harness.report.sections.diagnosis import ranked, worth
from harness.report.text import line
from harness.text.units import count

HERE = Path(__file__).parent
POINTS = 4000
"""The most points of a curve: about two a pixel of a wide screen, and as many again to zoom."""
ALL_POINTS = 240_000
"""The most points of all curves together, some 4 MB of text."""
LEAST_POINTS = 100
KINDS = 14
"""Curves of a scenario, about."""
CHARTS = (
    (TIME, "Step time", "s"),
    (MEMORY, "Memory", "B"),
    (LOSS, "Loss", ""),
    (GRAPH, "Graph size", "operations"),
)


def render(data: ReportInput) -> str:
    """The page of a run. Reads each scenario's worst run, one after the other."""
    run, every = data.run, groups(data.run)
    drawn, courses, units = _read(every, data)
    charts = _charts(drawn)
    walls = [result.wall_s for result in run.results if math.isfinite(result.wall_s)]
    longest = max(walls, default=0.0)
    licence = f"/*!\n{_file('vendor/uPlot.LICENSE')}*/\n"
    scripts = [licence + _file("vendor/uPlot.iife.min.js"), _file("units.js") + _file("report.js")]
    style = _file("vendor/uPlot.min.css") + _file("report.css")
    return template().render(
        Severity=Severity,
        title=first.title(run),
        warning=first.NOT_REDACTED if run.full else "",
        run=run,
        about=view.about(run),
        screen=view.first(run, subject(every)),
        left_out=verdicts.left_out(run),
        ladder=ladder.plain(run.ladder) if run.ladder else None,
        known=view.known_issues(run),
        hypotheses=ranked(run.diagnosis.hypotheses) if worth(run) else [],
        rows=[view.row(group) for group in every],
        charts=charts,
        drawn=list(drawn),
        data=_json({"charts": charts, **_data(every, drawn, units)}),
        bars=[
            timeline.bar(
                group.label(result),
                result,
                courses[group.name] if result is group.worst else timeline.Course(),
                longest,
            )
            for group in every
            for result in group.results
        ],
        scale=timeline.scale(0.0, longest),
        jobs=ranks.jobs(every, data),
        kinds=lanes.LABELS,
        columns=stacks.columns(every, data),
        findings=view.finding_rows(every),
        details=[view.detail(group, data) for group in every],
        facts=view.facts(run),
        scripts=[Markup(script) for script in scripts],
        style=Markup(style),
        policy=_policy(scripts, style),
    )


def _read(
    every: tuple[Group, ...], data: ReportInput
) -> tuple[dict[str, list[Curve]], dict[str, timeline.Course], dict[str, int]]:
    """By the name of each scenario: its curves, its course, and the bytes of what it trains."""
    points = max(LEAST_POINTS, min(POINTS, ALL_POINTS // (KINDS * max(1, len(every)))))
    drawn: dict[str, list[Curve]] = {}
    courses: dict[str, timeline.Course] = {}
    units: dict[str, int] = {}
    for group in every:
        record = data.record(group.worst)
        if lines := curves(record, data.samples(group.worst), points):
            drawn[group.name] = lines
        courses[group.name] = timeline.course(record)
        if record.model is not None and record.model.trainable_bytes > 0:
            units[group.name] = record.model.trainable_bytes
    return drawn, courses, units


def _charts(drawn: dict[str, list[Curve]]) -> list[dict[str, Any]]:
    """The charts that have a curve: what the template needs of them."""
    made = []
    for name, title, unit in CHARTS:
        of_chart = {
            scenario: [curve for curve in curves if curve.chart == name]
            for scenario, curves in drawn.items()
        }
        quantities = dict.fromkeys(c.quantity for part in of_chart.values() for c in part)
        if quantities:
            notes = [
                f"{scenario}: {count(curve.not_finite)} not finite"
                for scenario, part in of_chart.items()
                for curve in part
                if curve.not_finite
            ]
            made.append(
                {"id": name, "title": title, "unit": unit, "quantities": list(quantities),
                 "notes": notes}
            )  # fmt: skip
    return made


def _data(
    every: tuple[Group, ...], drawn: dict[str, list[Curve]], units: dict[str, int]
) -> dict[str, Any]:
    """The data of the charts. Curves over the same steps share them."""
    steps: dict[tuple[float, ...], int] = {}
    scenarios = [
        {
            "name": line(group.name, 80),
            "outcome": group.worst.outcome.value,
            "p": units.get(group.name),
            "curves": [
                {
                    "chart": curve.chart,
                    "quantity": curve.quantity,
                    "steps": steps.setdefault(tuple(curve.steps), len(steps)),
                    "values": curve.values,
                }
                for curve in drawn[group.name]
            ],
        }
        for group in every
        if group.name in drawn
    ]
    return {"steps": list(steps), "scenarios": scenarios}


def _json(value: Any) -> Markup:
    return htmlsafe_json_dumps(value, separators=(",", ":"), allow_nan=False)


def _policy(scripts: list[str], style: str) -> str:
    allowed = " ".join(map(_digest, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
