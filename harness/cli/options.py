"""The options that several commands share, and what they turn into."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.cli import github
from harness.errors import Exit, UsageError
from harness.model import OnHang, Outcome, Patience, RunResult, ScenarioInfo, Settings
from harness.model.settings import BUILT_IN_MODELS
from harness.scenario import load
from harness.session import hostfile, plan
from harness.session.plan import Options

Commands = Any
"""What `add_subparsers` returns; argparse keeps its type private."""

DEFAULTS = Settings()
FAILURES = (Outcome.HUNG, Outcome.DIVERGED, Outcome.CRASHED, Outcome.UNFINISHED)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Long lines are no easier to read where there is room for them."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(80, shutil.get_terminal_size().columns) - 2)


def command(commands: Commands, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    """A subparser whose help ends with an example."""
    subparser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=_Help,
    )
    subparser.add_argument(
        "--json", action="store_true", help="print one JSON document on stdout and nothing else"
    )
    return subparser


def add_training(parser: argparse.ArgumentParser) -> None:
    """What is trained, and how."""
    group = parser.add_argument_group("training")
    add = group.add_argument
    add("--steps", type=positive, default=DEFAULTS.steps, metavar="N", help="steps (%(default)s)")
    add_model(group)
    add("--batch-size", type=positive, default=DEFAULTS.batch_size, metavar="N",
        help="sequences a step (%(default)s)")  # fmt: skip
    add("--seq-len", type=positive, default=DEFAULTS.seq_len, metavar="N",
        help="tokens a sequence (%(default)s)")  # fmt: skip
    add("--learning-rate", type=float, default=DEFAULTS.learning_rate, metavar="X",
        help="(%(default)s)")  # fmt: skip
    add("--seed", type=int, default=DEFAULTS.seed, metavar="N", help="(%(default)s)")
    add(
        "--ranks",
        type=positive,
        metavar="N",
        help="processes that train together, their gradients averaged (1, or one for each host)",
    )
    add("--hostfile", type=hostfile.read, metavar="FILE",
        help="the ranks' machines, in the format of mlx.launch (this one)")  # fmt: skip
    add("--backend", choices=plan.BACKENDS, default=DEFAULTS.backend,
        help="of mx.distributed (%(default)s)")  # fmt: skip
    add("--no-collective-beats", dest="collective_beats", action="store_false",
        help="do not record the collectives of each rank")  # fmt: skip
    add("--device", choices=plan.DEVICES, help="MLX's default device if not given")


def add_model(group: Any) -> None:
    """The options that decide how much memory a training needs."""
    add = group.add_argument
    add("--model", default=DEFAULTS.model, metavar="tiny|PATH|ID",
        help="built-in model, folder of an mlx-lm model, or hub id (%(default)s)")  # fmt: skip
    add("--train", metavar="full|lora|last:N",
        help="what is trained (full; lora for a quantised model)")  # fmt: skip
    add("--optimizer", choices=plan.OPTIMIZERS, default=DEFAULTS.optimizer, help="(%(default)s)")
    add("--dtype", choices=plan.DTYPES, help="cast the model (its own dtype if not given)")


def add_running(parser: argparse.ArgumentParser) -> None:
    """How it is carried out and reported."""
    group = parser.add_argument_group("running")
    add = group.add_argument
    add("--repeat", type=positive, default=1, metavar="N", help="run each scenario N times")
    add("--stop-after", type=positive, metavar="K",
        help="stop repeating a scenario after K runs that did not complete")  # fmt: skip
    add("--jobs", type=positive, default=1, metavar="N", help="runs at once (%(default)s)")
    add("--budget", type=positive_seconds, default=Options().budget, metavar="SECONDS",
        help="for one run; what still makes progress then is unfinished (%(default)g)")  # fmt: skip
    add("--cold", action="store_true", help="do not reuse kernels compiled by earlier runs")
    add_outcome(group)


def add_outcome(group: Any) -> None:
    """What is done with what becomes of it."""
    add = group.add_argument
    add("--on-hang", choices=[one.value for one in OnHang], default=Options().on_hang.value,
        help="what is hung, once its evidence is saved: kill it, keep it for a debugger, or wait "
        "until the budget ends for it to resolve itself (%(default)s)")  # fmt: skip
    add("--patience", type=_seconds, metavar="SECONDS",
        help="how long a doubt stands before a run is called hung that is not proven dead "
        "(default: watch 600, run and run-all 60, and longer after long phases)")  # fmt: skip
    add("--out", type=Path, default=Options().out, metavar="DIR",
        help="where the run's folder is made (%(default)s)")  # fmt: skip
    add("--fail-on", type=outcomes, default=FAILURES, metavar="OUTCOMES",
        help="outcomes that make the exit code 1, with commas, or none "
        "(hung,diverged,crashed,unfinished)")  # fmt: skip
    # What GitHub shows is published.
    publishing = group.add_mutually_exclusive_group()
    add_full(publishing)
    github.add(publishing)
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="only the verdicts")
    loudness.add_argument("-v", "--verbose", action="store_true", help="findings too")


def add_scenarios(parser: argparse.ArgumentParser, nargs: str, **more: Any) -> None:
    """Scenarios by name, file or folder."""
    action = parser.add_argument("scenario", nargs=nargs, **more)
    action.completer = _scenarios  # type: ignore[attr-defined]  # what argcomplete looks for


def _scenarios(prefix: str, **_: Any) -> list[str]:
    from argcomplete.completers import FilesCompleter

    return [*load.shipped(), *FilesCompleter(["py"])(prefix)]


def settings(arguments: argparse.Namespace) -> Settings:
    """The training options as Settings."""
    model = arguments.model
    if model not in BUILT_IN_MODELS and Path(model).expanduser().exists():
        # A worker may run in another folder.
        model = str(Path(model).expanduser().absolute())
    return Settings(
        steps=arguments.steps,
        model=model,
        train=arguments.train,
        optimizer=arguments.optimizer,
        learning_rate=arguments.learning_rate,
        dtype=arguments.dtype,
        batch_size=arguments.batch_size,
        seq_len=arguments.seq_len,
        seed=arguments.seed,
        device=arguments.device,
        # What only runs something has no use for: `doctor` has no ranks.
        ranks=hostfile.ranks(
            getattr(arguments, "ranks", None), getattr(arguments, "hostfile", None)
        ),
        backend=getattr(arguments, "backend", DEFAULTS.backend),
        collective_beats=getattr(arguments, "collective_beats", DEFAULTS.collective_beats),
    )


def planned(
    arguments: argparse.Namespace, infos: Sequence[ScenarioInfo]
) -> tuple[Sequence[plan.Run], Settings]:
    """The runs of scenarios that the options ask for, and the settings that they share."""
    asked = settings(arguments)
    runs = plan.make(infos, asked, arguments.repeat)
    hostfile.check(runs, arguments.hostfile)
    return runs, asked


def add_full(group: Any) -> None:
    group.add_argument(
        "--full", action="store_true",
        help="redact nothing in what is written: names, paths, addresses and tokens stay",
    )  # fmt: skip


def running(arguments: argparse.Namespace) -> Options:
    """The running options as Options. Raises UsageError for those that contradict each other."""
    if arguments.stop_after is not None and arguments.repeat == 1:
        raise UsageError("--stop-after K says when to stop repeating: give --repeat N as well")
    return Options(
        out=arguments.out,
        jobs=arguments.jobs,
        budget=arguments.budget,
        stop_after=arguments.stop_after,
        cold=arguments.cold,
        full=arguments.full,
        hostfile=getattr(arguments, "hostfile", None),
        on_hang=OnHang(arguments.on_hang),
        until_decided=getattr(arguments, "until_decided", False),
        patience=None if arguments.patience is None else Patience(seconds=arguments.patience),
    )


def _seconds(text: str) -> float:
    """A span of time that is not negative."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def exit_code(result: RunResult, arguments: argparse.Namespace) -> int:
    """Of a run, as `--fail-on` wants it."""
    if result.interrupted:
        return Exit.INTERRUPTED
    failed = any(one.outcome in arguments.fail_on for one in result.results)
    return Exit.VERDICT if failed else Exit.OK


def positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text}")
    return value


def positive_seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text}")
    return value


def outcomes(text: str) -> tuple[Outcome, ...]:
    if text == "none":
        return ()
    try:
        return tuple(Outcome(word.strip()) for word in text.split(","))
    except ValueError:
        known = ", ".join(outcome.value for outcome in Outcome)
        raise argparse.ArgumentTypeError(f"unknown outcome in {text}: {known}") from None
