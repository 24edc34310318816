"""The machine, the versions and the settings of the run."""

from __future__ import annotations

from harness.model import Settings
from harness.report.input import ReportInput
from harness.report.sections.verdicts import model
from harness.report.text import cell, code, counted, seconds, size, table


def environment(data: ReportInput) -> str:
    run = data.run
    env, settings = run.environment, run.settings
    memory = size(env.memory) + ("" if env.swap is None else f", swap {size(env.swap)}")
    rows = [
        *((cell(name, 60), cell(found or "not installed", 60)) for name, found in _versions(data)),
        ("Python", cell(env.python, 60)),
        ("device", cell(env.device or "not known", 120)),
        ("platform", cell(f"{env.platform}, {env.machine}, {counted(env.cpu_count, 'CPU')}")),
        ("memory", memory),
        ("C++ compiler", cell(env.compiler or "none", 120)),
        *((cell(name, 60), cell(value, 60)) for name, value in sorted(env.variables.items())),
        *(
            (("model", code(model(settings.model))), ("training", cell(_training(settings))))
            if settings
            else ()
        ),
        ("command", cell(" ".join(run.command), 400)),
        ("started", cell(run.started, 40)),
        ("runs took", seconds(sum(result.wall_s for result in run.results))),
        ("harness", cell(run.harness_version, 40)),
    ]
    return "## Environment\n\n" + table(("what", "value"), rows, limit=4_000)


def _versions(data: ReportInput) -> list[tuple[str, str | None]]:
    return sorted(data.run.environment.versions.items())


def _training(s: Settings) -> str:
    return (
        f"{s.train or 'what the model allows'}, {counted(s.steps, 'step')}, {s.optimizer}, "
        f"learning rate {s.learning_rate:g}, batch {s.batch_size} × {s.seq_len} tokens, "
        f"{s.dtype or 'dtype of the model'}, seed {s.seed}"
    )
