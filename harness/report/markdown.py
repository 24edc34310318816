"""report.md: the verdicts first, then what differs, then each scenario, the environment last.

Each block below is a function from the run's data to markdown. When the whole is longer than
LIMIT, whole kinds of block are left out, in the order of DROPPED, never a part of a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.model import Outcome, RunResult, ScenarioInfo, ScenarioResult
from harness.report import scenario_section
from harness.report.differences import differences
from harness.report.load import RunData
from harness.report.text import cell, seconds, size, table
from harness.report.verdicts import headline, verdicts

LIMIT = 60_000
"""Characters. GitHub cuts an issue at 65,536; the rest is left to whoever attaches it."""

DROPPED = ("charts", "logs", "code", "completed scenarios", "details", "scenarios")
"""What is left out when the report is too long, the first one first."""


@dataclass(frozen=True)
class Block:
    """A piece of the report; `kind` is one of DROPPED, or empty for what always stays."""

    text: str
    kind: str = ""


def render(data: RunData) -> str:
    """The report of a run, under LIMIT characters."""
    blocks = list(_blocks(data))
    left_out: list[str] = []
    for kind in ("", *DROPPED):
        if kind:
            blocks = [block for block in blocks if block.kind != kind]
            left_out.append(kind)
        text = _join(blocks, left_out)
        if len(text) <= LIMIT:
            return text
    # Only the tables are left: a plan of hundreds of scenarios. Rows go, from the end.
    return _cut(text)


def _blocks(data: RunData) -> Sequence[Block]:
    run = data.run
    blocks = [Block(f"# {headline(run)}"), Block(verdicts(run))]
    blocks.append(Block("## What differs between the variations\n\n" + differences(run)))
    if run.diagnosis.hypotheses:
        blocks.append(Block(_diagnosis(run)))
    blocks.append(Block("## Scenarios"))
    for info in run.scenarios:
        results = [result for result in run.results if result.scenario == info.name]
        if results:
            blocks += _scenario(data, info, results)
    blocks.append(Block(_environment(run)))
    return blocks


def _scenario(
    data: RunData, info: ScenarioInfo, results: Sequence[ScenarioResult]
) -> Sequence[Block]:
    worst = min(results, key=lambda result: _ORDER.index(result.outcome))
    fine = worst.outcome is Outcome.COMPLETED
    kind = "completed scenarios" if fine else "scenarios"
    # The parts of a section leave with the section, or before it.
    blocks = [Block(scenario_section.numbers(info, results), kind)]
    if worst.cause is not None:
        blocks.append(Block(scenario_section.cause(worst), kind if fine else "details"))
    written = data.record(worst)
    blocks += [Block(chart, "charts") for chart in scenario_section.charts(worst, written)]
    blocks.append(Block(scenario_section.code(info), "code"))
    if log := scenario_section.log(data.log_tail(worst)):
        blocks.append(Block(log, "logs"))
    return blocks


_ORDER = (
    Outcome.HUNG,
    Outcome.CRASHED,
    Outcome.DIVERGED,
    Outcome.UNFINISHED,
    Outcome.COMPLETED,
    Outcome.SKIPPED,
)
"""Worst first: the run a section shows when a scenario was repeated."""


def _diagnosis(run: RunResult) -> str:
    rows = [
        [cell(h.title), f"**{h.verdict.value}**", "; ".join(cell(why) for why in h.because)]
        for h in run.diagnosis.hypotheses
    ]
    text = "## Diagnosis\n\n" + table(["hypothesis", "verdict", "because"], rows)
    if run.diagnosis.next_experiment:
        text += f"\n\nNext: `{run.diagnosis.next_experiment}`"
    return text


def _environment(run: RunResult) -> str:
    env = run.environment
    settings = run.settings
    rows = [
        ["command", cell(" ".join(run.command))],
        ["harness", run.harness_version],
        *[[cell(name), cell(version or "not installed")] for name, version in env.versions.items()],
        ["device", cell(env.device or "not known")],
        ["platform", cell(f"{env.platform}, {env.machine}, {env.cpu_count} CPUs")],
        ["memory", f"{size(env.memory)}, swap {size(env.swap)}"],
        ["Python", env.python],
        ["C++ compiler", cell(env.compiler or "none")],
        *[[cell(name), cell(value)] for name, value in env.variables.items()],
        ["model", cell(_last_part(settings.model))],
        [
            "training",
            cell(
                f"{settings.train or 'default'}, {settings.optimizer}, learning rate "
                f"{settings.learning_rate:g}, batch {settings.batch_size} x {settings.seq_len}, "
                f"{settings.dtype or 'dtype of the model'}, seed {settings.seed}"
            ),
        ],
        ["started", run.started],
        ["runs took", seconds(sum(result.wall_s for result in run.results))],
    ]
    return "## Environment\n\n" + table(["", ""], rows)


def _last_part(model: str) -> str:
    """A hub's id as it is; of a folder its name alone, for the path is its owner's."""
    return model.rstrip("/").rpartition("/")[2] if model.startswith(("/", "~", ".")) else model


def _join(blocks: Sequence[Block], left_out: Sequence[str]) -> str:
    text = "\n\n".join(block.text for block in blocks)
    if left_out:
        text += (
            f"\n\n*Left out to stay under {LIMIT:,} characters: {', '.join(left_out)}. "
            "They are in the run's folder.*"
        )
    return text + "\n"


def _cut(text: str) -> str:
    """Drop whole lines that are rows of tables, the last first, until it fits."""
    lines = text.splitlines()
    index = len(lines) - 1
    excess = len(text) - LIMIT + 200
    while excess > 0 and index > 0:
        if lines[index].startswith("| ") and lines[index - 1].startswith("| "):
            excess -= len(lines.pop(index)) + 1
        index -= 1
    return "\n".join(lines) + "\n\n*Rows were left out; run.json has them all.*\n"
