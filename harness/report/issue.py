"""A draft for MLX's issue tracker: what reproduces it, and what was measured. Pure.

In the order of MLX's own template. That asks for words of a person's own and forbids those of a
machine: the description and what was expected are left blank, and nothing is stated but facts. They
stand before the code, which is long.
"""

from __future__ import annotations

import html
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from harness.errors import UsageError
from harness.model import Outcome, ScenarioResult
from harness.model.settings import BUILT_IN_MODELS
from harness.observe.environment import PACKAGES
from harness.report import repro, screen
from harness.report.input import LOGS, Group, ReportInput, groups, subject
from harness.report.sections.scenario import last_lines
from harness.report.sections.verdicts import steps
from harness.report.text import NOTHING, cell, code, details, fence, line
from harness.scenario.load import apply
from harness.text import late, phrases
from harness.text.known_issues import describe
from harness.text.units import duration, number, plural, size

LIMIT = 65_000
"""GitHub cuts a body at 65,536 characters, as UTF-16 counts them."""
CODE = 40_000
TITLE = 160
STACK = 12_000
OTHERS = 30
SMALL = "reduced.py"
_BLANK = """**Describe the bug**

<!-- In your own words: what did you do, what did you see? MLX's template begins with a line on the
use of AI, which is yours to confirm: https://github.com/ml-explore/mlx/issues/new/choose -->"""

_MARK = late.compile(
    r"<(?:user|host|secret|token|path|project|harness|site-packages|python|email|address|credentials|query|key"
    r"|hidden|tmp)>"
)
_MARKS = (
    " In its strings and comments words such as `<path>` stand for what was redacted: put back "
    "what the code needs."
)


def draft(data: ReportInput, more: Sequence[str] = (), small: str = "") -> str:
    """At most LIMIT characters.

    `more` are facts of other runs, with other releases or settings. `small` is a file that shows
    it by itself, in place of the program.
    """
    group = subject(groups(data.run))
    parts = [
        _title(data, group),
        _BLANK,
        *(_facts(data, group.worst) if group else ()),
        "Other releases and settings:\n\n" + "\n".join(f"- {cell(one, 400)}" for one in more)
        if more
        else "",
        f"**To Reproduce**\n\nOne file (`python {SMALL}`).\n\n{fence(small, 'python')}"
        if small
        else _reproduce(group, data),
        "**Expected behavior**\n\n<!-- In your own words. -->",
        _desktop(data),
        "**Additional context**\n\n" + _made_by(data),
        _others(data, group),
        *(_evidence(group, data) if group else ()),
    ]
    return _fitted([part for part in parts if part])


def _title(data: ReportInput, group: Group | None) -> str:
    """A title made of facts: what happened, with which MLX, on which device."""
    if group is None:
        return ""
    what = screen.of_run(data.run, group.worst).what
    mlx = data.run.environment.versions.get("mlx")
    where = [f"mlx {mlx}"] if mlx else []
    where += [data.run.environment.device] if data.run.environment.device else []
    # A comment ends at two hyphens.
    title = line(f"{what} ({', '.join(where) or 'MLX not known'})", TITLE).replace("--", "-")
    return f"<!-- Proposed title: {html.escape(title, quote=False)} -->"


def _reproduce(group: Group | None, data: ReportInput) -> str:
    return "**To Reproduce**\n\n" + (_code(group, data) if group else "")


def _code(group: Group, data: ReportInput) -> str:
    info = group.info
    if info is None:
        return ""
    if info.command is not None or data.run.settings is None:
        argv = info.command.argv if info.command else data.run.command
        return fence(line(shlex.join(argv), 4_000), "sh")
    try:
        settings = apply(data.run.settings, info)
        script = repro.script(info, settings, data.siblings(group))
    except (ValueError, UsageError) as error:
        return f"The scenario cannot be shown as one file: {cell(str(error))}."
    block = fence(script, "python")
    if _units(block) > CODE:
        return f"The scenario's code is too long for an issue ({plural(len(script), 'character')})."
    needs = [*repro.requires(script)]
    if settings.model not in BUILT_IN_MODELS:
        needs.append(f"the model {code(settings.model)}")
    modules = f"MLX, {', '.join(needs)}" if needs else "MLX alone"
    note = _MARKS if _MARK.search(info.source) else ""
    return f"One file, which needs {modules} (`{repro.command(settings)}`).{note}\n\n{block}"


def _desktop(data: ReportInput) -> str:
    env = data.run.environment
    versions = [f"{name} {env.versions[name]}" for name in PACKAGES if env.versions.get(name)]
    rows = (
        f"OS Version: {env.platform}, {env.machine}",
        f"Version: {', '.join(versions) or 'not known'}",
        f"Device: {env.device or 'not known'}; memory {size(env.memory)}; Python {env.python}",
        *(f"{name}={value}" for name, value in env.variables.items()),
        "Other environment variables: not listed; please add those that matter",
    )
    return "**Desktop**\n\n" + "\n".join(f" - {cell(row)}" for row in rows)


def _made_by(data: ReportInput) -> str:
    return (
        f"What follows, and the code above, was written by a program (mlx-hang-harness "
        f"{cell(data.run.harness_version, 40)}) from measurements, not by a person and not by a "
        "language model."
    )


def _facts(data: ReportInput, result: ScenarioResult) -> Iterator[str]:
    metrics, memory = result.metrics, result.metrics.memory
    made = screen.of_run(data.run, result)
    facts = [
        ("outcome", result.outcome.value),
        *(("line", place) for place in made.where),
        ("steps", done if (done := steps([result])) != NOTHING else None),
        ("reason", None if result.cause else result.reason),
        ("cause", result.cause and f"{result.cause.code}: {result.cause.summary}"),
        ("proven", "yes" if result.cause and result.cause.proven else None),
        *(("known issue", describe(match)) for match in result.known_issues),
        ("waits", result.cause and result.cause.evidence.get("wait_site")),
        ("place", _place(result)),
        ("ended by", _ended_by(result)),
        ("loss", metrics.loss and f"{number(metrics.loss.first)} to {number(metrics.loss.last)}"),
        ("step time", metrics.step_s and _times(metrics.step_s.first, metrics.step_s.median)),
        ("active memory, highest", memory.active_peak and size(memory.active_peak)),
        ("RSS, highest", memory.rss_peak and size(memory.rss_peak)),
        *((one.code, one.summary) for one in result.findings if not one.expected),
        *((f"rank {one.rank}", f"{one.state.value}: {one.reason}") for one in result.ranks[:16]),
    ]
    if memory.parameter_bytes:
        facts.append(("P", f"the size of the trainable parameters, {size(memory.parameter_bytes)}"))
    yield "Measured:\n\n" + "\n".join(
        f"- {cell(name, 40)}: {cell(str(text), 400)}" for name, text in facts if text
    )


def _ended_by(result: ScenarioResult) -> str | None:
    """Name the ending; of a hung run the harness caused it."""
    if result.outcome is not Outcome.CRASHED:
        return None
    return result.signal or (None if result.exit_code is None else f"exit code {result.exit_code}")


def _place(result: ScenarioResult) -> str | None:
    if result.outcome is Outcome.COMPLETED or result.last_phase is None:
        return None
    return phrases.place(result.last_step, result.last_phase).removeprefix("in ")


def _times(first: float, median: float) -> str:
    return f"{duration(first)} the first, {duration(median)} the median"


def _others(data: ReportInput, about: Group | None) -> str:
    """The results of the same step in other variations."""
    rest = [group for group in groups(data.run) if about is None or group.name != about.name]
    lines = [
        f"- {code(group.name)}: {_became(group.results)}"
        + (f" ({cell(group.info.summary, 120)})" if group.info and group.info.summary else "")
        for group in rest[:OTHERS]
    ]
    return "Variations of the step:\n\n" + "\n".join(lines) if lines else ""


def _became(results: Sequence[ScenarioResult]) -> str:
    counts = Counter(result.outcome for result in results)
    if len(results) == 1:
        return results[0].outcome.value
    return ", ".join(f"{counts[outcome]} of {len(results)} {outcome.value}" for outcome in counts)


def _evidence(group: Group, data: ReportInput) -> Iterator[str]:
    result = group.worst
    for name, text in _telling(data.stack_texts(result), result)[:2]:
        text_of_stacks = "\n".join(text.split("\n")[:200])[:STACK]
        yield details(f"Stacks ({line(name, 60)})", fence(text_of_stacks, "text"))
    tails = data.log_tails(result)
    for name in LOGS:
        if text := last_lines(tails.get(name, "")):
            yield details(f"End of {name}", fence(text, "text"))


def _telling(texts: Mapping[str, str], result: ScenarioResult) -> list[tuple[str, str]]:
    """The stacks in the order in which they are to be shown; of a job's ranks the first look at
    each, and those of who is to blame first."""
    if not result.ranks:
        return list(texts.items())
    first: dict[str, tuple[str, str]] = {}
    for name, text in texts.items():
        first.setdefault(name.rpartition("/")[0], (name, text))
    blamed = {f"rank-{rank.rank}" for rank in result.ranks if rank.culprit}
    # In runs of old the stacks of who is to blame had no folder.
    return [first[folder] for folder in sorted(first, key=lambda f: f not in blamed and bool(f))]


def _fitted(parts: Sequence[str]) -> str:
    """Whole parts only, from the first; what does not fit is left out."""
    chosen, room = [], LIMIT - 200
    left_out = 0
    for part in parts:
        cost = _units(part) + 2
        if cost <= room:
            chosen.append(part)
            room -= cost
        else:
            left_out += 1
    note = [f"*{left_out} more parts do not fit: report.md has them.*"] if left_out else []
    return "\n\n".join([*chosen, *note]) + "\n"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
