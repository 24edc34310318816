"""The plan of a run: scenarios, settings and repeats, checked before anything is started."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from harness.errors import UsageError
from harness.model import (
    Hostfile,
    Locate,
    OnHang,
    Patience,
    RunResult,
    ScenarioInfo,
    Settings,
)
from harness.model.settings import BUILT_IN_MODELS, Interpreter, MemoryLimit
from harness.observe import installation
from harness.scenario import load
from harness.text import invocation

OPTIMIZERS = ("adam", "adamw", "sgd", "lion", "adafactor")
DTYPES = ("float32", "bfloat16", "float16")
DEVICES = ("cpu", "gpu")
BACKENDS = ("any", "ring", "mpi", "nccl", "jaccl", "jaccl-ring")
"""The names that `mlx.launch` has for them."""


class PlannedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one scenario, with the settings that it gets."""

    info: ScenarioInfo
    settings: Settings | None
    """None for an outside command."""
    repeat: int


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a run that do not change what it trains."""

    out: Path = Path("reports")
    jobs: int = 1
    budget: float = 600.0
    """The time limit of one run, in seconds."""
    on_hang: OnHang = OnHang.KILL
    patience: Patience | None = None
    """With a run that is doubted and not proven dead; None: the default of the command."""
    notify: tuple[str, ...] = ()
    """The command that is told of doubts and verdicts; empty: none."""
    until_decided: bool = False
    """Stop when no remaining scenario can change the diagnosis."""
    stop_after: int | None = None
    """Do not repeat a scenario again after this number of runs that did not complete."""
    cold: bool = False
    """Do not reuse the kernels that earlier runs compiled."""
    full: bool = False
    """Do not redact the reports."""
    hostfile: Hostfile | None = None
    """The machines of the ranks; None for this one."""
    locate: Locate = Locate.DIVERGED
    """The runs that are replayed to find where their numbers stop being finite."""
    interpreter: Interpreter | None = None
    """The Python that runs what is planned; None for that of the harness."""
    memory: MemoryLimit | None = None
    """The bound on the memory of a run."""
    doubted_after: float | None = None
    """Seconds after which a phase of a command is looked at more closely, whatever is known of it;
    None: when it is overdue. Where a hang is known, its next run need not wait for that. One look
    at the stacks is enough then."""
    debug: bool = False
    """Log why each observation was or was not called a hang."""


class Judge(Protocol):
    """The judge of a plan that has more runs than may be needed."""

    def wanted(
        self, planned: PlannedRun, run: RunResult, active: Sequence[str], folder: Path
    ) -> bool:
        """Tell whether `planned` can still tell something: `run` has the results so far, and
        `active` the scenarios that are under way."""
        ...

    def concluded(self, run: RunResult, folder: Path) -> RunResult:
        """`run`, whose folder is `folder`, with what its results say together."""
        ...


def make(
    infos: Sequence[ScenarioInfo], settings: Settings, repeats: int, here: bool = True
) -> tuple[PlannedRun, ...]:
    """Plan every scenario `repeats` times: all of them once before any of them twice.

    Raises UsageError when the settings, or a scenario's own, cannot be run, or when MLX is not in
    this Python. It need not be if another one runs them, so not `here`.
    """
    runs = [
        PlannedRun(info=info, settings=load.apply(settings, info), repeat=repeat)
        for repeat in range(repeats)
        for info in infos
    ]
    for run in runs:
        assert run.settings is not None
        check(run.settings)
        if Path(run.settings.model).expanduser().is_file():
            raise UsageError(
                f"{run.settings.model} has no weights, so it cannot be trained; project its memory "
                f"with: {invocation.command('doctor', '--model', run.settings.model)}"
            )
    if here:
        installation.need_mlx()
    return tuple(runs)


def commands(infos: Sequence[ScenarioInfo], repeats: int) -> tuple[PlannedRun, ...]:
    """Plan outside commands, which have no settings.

    Raises UsageError when a pattern is not a regex with the group of a figure.
    """
    for info in infos:
        pattern = info.command.pattern if info.command else None
        if pattern is not None:
            from harness.logs import from_pattern  # no other command needs the log formats

            try:
                from_pattern(pattern)
            except ValueError as error:
                raise UsageError(f"cannot use the pattern {pattern}: {error}") from None
    return tuple(
        PlannedRun(info=info, settings=None, repeat=repeat)
        for repeat in range(repeats)
        for info in infos
    )


def name_of(argv: Sequence[str]) -> str:
    """The name of a command: the script or module that an interpreter runs, or else the program."""
    from harness.observe import process_names  # psutil is slow to import where a shell completes

    words = list(argv)
    name = Path(words[0]).name
    if process_names.is_python(name):
        # Its own options can take another word (`-X faulthandler`).
        run = [word for word in process_names.words(words)[1:] if word not in ("-m", "-c", "...")]
        name = Path(run[0]).name if run else name
    elif re.fullmatch(r"(bash|sh|uv|uvx|env|nice|time)[\d.]*", name):
        names = [word for word in words[1:] if re.fullmatch(r"[\w./-]*\w", word)]
        names = [word for word in names if not word.startswith("-") and word != "run"]
        name = Path(names[0]).name if names else name
    return re.sub(r"[^\w.-]", "_", name).strip(".") or "command"


def check(settings: Settings) -> None:
    """Raise UsageError for settings that cannot be run, as far as this is known without mlx."""
    from harness.supervise import ports  # nor is the supervisor needed there

    for name, value, known in (
        ("optimizer", settings.optimizer, OPTIMIZERS),
        ("dtype", settings.dtype, DTYPES),
        ("device", settings.device, DEVICES),
        ("backend", settings.backend, BACKENDS),
    ):
        if value is not None and value not in known:
            raise UsageError(f"unknown {name} {value}; use one of {', '.join(known)}")
    for name in ("steps", "batch_size", "seq_len", "ranks"):
        if getattr(settings, name) < 1:
            raise UsageError(f"{name.replace('_', ' ')} must be at least 1")
    if settings.ranks > ports.MOST:
        raise UsageError(f"{settings.ranks} ranks are too many; use {ports.MOST} or fewer")
    if not 0 <= settings.seed < 2**64:
        raise UsageError(f"the seed must be from 0 to 2**64 - 1, not {settings.seed}")
    train = settings.train
    if (
        train is not None
        and train not in ("full", "lora")
        and not re.fullmatch(r"last:[1-9]\d*", train)
    ):
        raise UsageError(f"unknown --train {train}; use full, lora or last:N")
    config = _config(settings.model)
    if config.get("quantization") and train not in (None, "lora"):
        raise UsageError(
            f"{settings.model} is quantized and cannot be trained with --train {train}; "
            "use --train lora"
        )


def _config(model: str) -> dict[str, Any]:
    """The config.json of a model folder; empty for a built-in model or one on a hub."""
    folder = Path(model).expanduser()
    if model in BUILT_IN_MODELS:
        return {}
    if not folder.is_dir() and not (folder.suffix == ".json" and folder.is_file()):
        if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model) and not folder.exists():
            return {}
        raise UsageError(
            f"unknown model {model}; use {', '.join(BUILT_IN_MODELS)}, a model folder, or "
            "OWNER/NAME on the Hugging Face hub"
        )
    file = folder / "config.json" if folder.is_dir() else folder
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{model} is not a model folder: it has no config.json") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {file}: {error}") from error
    if not isinstance(config, dict):
        raise UsageError(f"{file} is not a JSON object")
    return config
