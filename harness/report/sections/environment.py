"""The machine, the versions and the settings of the run."""

from __future__ import annotations

from harness.model import Bound, Environment, RunResult, Settings
from harness.report.input import ReportInput
from harness.report.sections.verdicts import model
from harness.report.text import cell, code, details, line, table
from harness.text import mac
from harness.text.units import duration, number, plural, size

LIMITS = {"command": 400, "continued": 400, "platform": 240, "training": 240}
"""Characters that are shown of some; of the others 120."""


def environment(data: ReportInput) -> str:
    rows = [
        (cell(name), code(value) if name == "model" else cell(value, 400))
        for name, value in facts(data.run)
    ]
    return details("Environment", table(("what", "value"), rows, limit=4_000))


def facts(run: RunResult) -> list[tuple[str, str]]:
    """The facts on the environment, each as its name and one plain line."""
    env, settings = run.environment, run.settings
    rows = [
        *((name, version or "not installed") for name, version in sorted(env.versions.items())),
        ("Python", env.python),
        ("device", env.device or "not known"),
        ("platform", f"{env.platform}, {env.machine}, {plural(env.cpu_count, 'CPU')}"),
        ("memory", size(env.memory) + ("" if env.swap is None else f", swap {size(env.swap)}")),
        *_usable(env),
        *(mac.lines(env.mac) if env.mac is not None else ()),
        ("C++ compiler", env.compiler or "none"),
        *sorted(env.variables.items()),
        *(
            (("model", model(settings.model)), ("training", _training(settings)))
            if settings
            else ()
        ),
        ("command", " ".join(run.command)),
        ("started", run.started),
        *(("continued", f"{part.started}: {' '.join(part.command)}") for part in run.continued),
        ("runs took", duration(sum(result.wall_s for result in run.results))),
        ("harness", run.harness_version),
    ]
    return [(line(name, 60), line(value, LIMITS.get(name, 120))) for name, value in rows]


def _usable(env: Environment) -> list[tuple[str, str]]:
    """The limit of memory, where it is not all memory of the machine."""
    if env.usable_memory is None or env.usable_of is Bound.MACHINE:
        return []
    return [("usable memory", f"{env.usable_of.sentence} {size(env.usable_memory)}")]


def _training(s: Settings) -> str:
    return (
        f"{s.train or 'what the model allows'}, {plural(s.steps, 'step')}, {s.optimizer}, "
        f"learning rate {number(s.learning_rate)}, batch {s.batch_size} × {s.seq_len} tokens, "
        f"{s.dtype or 'dtype of the model'}, seed {s.seed}"
    )
