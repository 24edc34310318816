"""The headline of a run in plain text and in markdown: all reports begin with it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.analysis import headline
from harness.analysis.headline import Headline
from harness.model import RunResult, ScenarioInfo, ScenarioResult
from harness.report.text import cell, line

LABELS = {"where": "Where", "who": "Who", "sure": "How sure", "now": "Now"}
LIMIT = 400
"""Characters of one line."""
_WIDTH = 7
HANGING = " " * _WIDTH
"""The indent of the rest of a line that is too long, below its label."""


def of(result: ScenarioResult, infos: Iterable[ScenarioInfo] = ()) -> Headline:
    """The headline of one run; `infos` are those of its scenario and of others."""
    return headline.of(result, next((i for i in infos if i.name == result.scenario), None))


def of_run(run: RunResult, result: ScenarioResult) -> Headline:
    """The headline of one of the run's results."""
    return of(result, run.scenarios)


def below(made: Headline) -> Iterator[str]:
    """The lines below the first one, each with its label in front of it."""
    for name, lines in made.rows():
        for index, text in enumerate(lines):
            yield f"{name if not index else '':<{_WIDTH}}{line(text, LIMIT)}"


def as_lines(made: Headline) -> Iterator[str]:
    """All lines, the first of them without a label."""
    yield line(made.what, LIMIT)
    yield from below(made)


def as_sentence(made: Headline, limit: int) -> str:
    """As one line of at most `limit` characters, for what shows one line alone."""
    first = [line(made.what, LIMIT), *(f"at {place}" for place in made.where[:1])]
    rest = [f"{name}: {'; '.join(lines)}" for name, lines in made.rows() if name != "where"]
    return line(". ".join([", ".join(first), *rest]), limit)


def as_markdown(made: Headline) -> str:
    """A list with a line for each question; empty where there is nothing but what happened."""
    rows = []
    for name, lines in made.rows():
        texts = [cell(text, LIMIT) for text in lines]
        rows.append(f"- **{LABELS[name]}**: {texts[0]}")
        rows += [f"  - {text}" for text in texts[1:]]
    return "\n".join(rows)
