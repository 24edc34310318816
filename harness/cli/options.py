"""The options that several commands share, and the settings that they stand for."""

from __future__ import annotations

import argparse
import math
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import github
from harness.errors import Exit, UsageError
from harness.model import (
    Hostfile,
    Locate,
    OnHang,
    Outcome,
    Patience,
    RunResult,
    ScenarioInfo,
    ScenarioResult,
    Settings,
)
from harness.model.settings import BUILT_IN_MODELS
from harness.scenario import load
from harness.session import plan
from harness.session.plan import Options

if TYPE_CHECKING:
    from harness.analysis.failing import FailOn

DEFAULTS = Settings()
UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


def add_training(parser: argparse.ArgumentParser, hosts: bool = True) -> None:
    """Add the options of the training and of its ranks, which may be on other `hosts`."""
    group = parser.add_argument_group("training")
    add = group.add_argument
    add("--steps", "--iters", type=positive, default=DEFAULTS.steps, metavar="N",
        help="number of training steps (default: %(default)s)")  # fmt: skip
    add_model(group)
    add("--learning-rate", type=float, default=DEFAULTS.learning_rate, metavar="X",
        help="learning rate of the optimizer (default: %(default)s)")  # fmt: skip
    add("--seed", type=int, default=DEFAULTS.seed, metavar="N",
        help="seed of the random numbers (default: %(default)s)")  # fmt: skip
    ranks = parser.add_argument_group("distributed training")
    add = ranks.add_argument
    one_each = ", or one for each host of --hostfile" if hosts else ""
    add("--ranks", type=positive, metavar="N",
        help="train in N processes and average their gradients "
        f"(default: 1{one_each})")  # fmt: skip
    if hosts:
        add("--hostfile", type=_hostfile, metavar="FILE",
            help="hosts of the ranks, in the format of mlx.launch "
            "(default: this machine only)")  # fmt: skip
    add("--backend", choices=plan.BACKENDS, default=DEFAULTS.backend,
        help="backend of mx.distributed (default: %(default)s)")  # fmt: skip
    add("--no-collective-beats", dest="collective_beats", action="store_false",
        help="do not record the collective operations of each rank")  # fmt: skip


def add_model(group: Any, default_model: str = DEFAULTS.model) -> None:
    """Add the options that decide how much memory a training needs."""
    add = group.add_argument
    add("--model", default=DEFAULTS.model, metavar="tiny|micro|PATH|ID",
        help="built-in model, folder of an mlx-lm model, or ID on the Hugging Face hub "
        f"(default: {default_model})")  # fmt: skip
    add("--train", metavar="full|lora|last:N",
        help="train all parameters, LoRA adapters, or the last N blocks (default: full; lora for "
        "a quantized model)")  # fmt: skip
    add("--optimizer", choices=plan.OPTIMIZERS, default=DEFAULTS.optimizer,
        help="optimizer of mlx.optimizers (default: %(default)s)")  # fmt: skip
    add("--dtype", choices=plan.DTYPES,
        help="convert the model to this type (default: keep the type of the model)")  # fmt: skip
    add("--batch-size", type=positive, default=DEFAULTS.batch_size, metavar="N",
        help="sequences in a batch (default: %(default)s)")  # fmt: skip
    add("--seq-len", "--max-seq-length", type=positive, default=DEFAULTS.seq_len, metavar="N",
        help="tokens in a sequence (default: %(default)s)")  # fmt: skip
    add("--device", choices=plan.DEVICES, help="device to run on (default: the default of MLX)")


def bytes_of(text: str) -> int:
    """A size such as `96GB` (decimal) or `80GiB` (binary) in bytes, for argparse."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT])(i?)B?", text.strip(), re.IGNORECASE | re.ASCII)
    if found is None or not float(found[1]):
        raise argparse.ArgumentTypeError(f"cannot use the size {text}; write one such as 96GB")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** (1 + "KMGT".index(found[2].upper())))


def add_running(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how scenarios are run, and what is done with the results."""
    group = parser.add_argument_group("runs")
    add = group.add_argument
    add("--repeat", type=positive, default=1, metavar="N",
        help="run each scenario N times (default: %(default)s)")  # fmt: skip
    add("--stop-after", type=positive, metavar="K",
        help="do not repeat a scenario again after K runs that did not complete "
        "(default: repeat it)")  # fmt: skip
    add("--jobs", type=positive, default=1, metavar="N",
        help="runs at the same time (default: %(default)s)")  # fmt: skip
    add("--budget", "--timeout", type=positive_seconds, default=Options().budget, metavar="SECONDS",
        help="time limit of one run; a run that still makes progress then is unfinished "
        "(default: %(default)g)")  # fmt: skip
    add("--cold", action="store_true", help="do not reuse kernels that earlier runs compiled")
    add_on_hang(group)
    add_patience(group, "60, and 10 times the longest such phase before")
    add_locate(group)
    add_results(parser)


def add_locate(group: Any) -> None:
    """Add the options that say which runs are replayed to find where NaN begins."""
    choice = group.add_mutually_exclusive_group()
    choice.add_argument(
        "--locate-nan", dest="locate", action="store_const", const=Locate.ANY,
        default=Options().locate,
        help="replay each run with a number that is not finite, also one that got over it, to "
        "find the operation (default: replay a run that diverged)",
    )  # fmt: skip
    choice.add_argument(
        "--no-locate", dest="locate", action="store_const", const=Locate.NEVER,
        help="do not replay a run that diverged",
    )  # fmt: skip


def add_on_hang(group: Any) -> None:
    """Add the option that says what to do with a hung run."""
    group.add_argument(
        "--on-hang", choices=[choice.value for choice in OnHang], default=Options().on_hang.value,
        help="what to do with a hung run after its stacks are saved: kill it, keep it for a "
        "debugger, or wait for it until its time limit (default: %(default)s)",
    )  # fmt: skip


def add_patience(group: Any, default: str) -> None:
    """Add the options for possible hangs; `default` is the patience that is usual here."""
    group.add_argument(
        "--patience", type=_seconds, metavar="SECONDS",
        help="how long a possible hang may last before it is called a hang without a proof "
        f"(default: {default})",
    )  # fmt: skip
    group.add_argument(
        "--notify", metavar="CMD",
        help="run CMD with a JSON document on its standard input when a run may hang, goes on, or "
        "is hung (default: none)",
    )  # fmt: skip


def patience(arguments: argparse.Namespace) -> Patience | None:
    """The patience that was given; None where it was not."""
    return None if arguments.patience is None else Patience(seconds=arguments.patience)


def notify(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The words of the command that is told; empty where none was given.

    Raises UsageError where it cannot be split as a shell would.
    """
    if arguments.notify is None:
        return ()
    try:
        words = tuple(shlex.split(arguments.notify))
    except ValueError as error:
        raise UsageError(f"--notify: {error}; quote it as for a shell") from None
    if not words:
        raise UsageError("--notify needs a command")
    return words


def add_debug(group: Any, file: str = "stderr") -> None:
    """Add the option for the debug log, which goes to `file`."""
    group.add_argument(
        "--debug", action="store_true",
        help=f"write to {file} why each observation is or is not called a hang; "
        "HARNESS_DEBUG=1 does the same (default: off)",
    )  # fmt: skip


def add_out(group: Any) -> None:
    """Add the option that names the folder of the reports."""
    group.add_argument(
        "--out", type=Path, default=Options().out, metavar="DIR",
        help="make the folder of the run in DIR (default: %(default)s)",
    )  # fmt: skip


def add_results(
    parser: argparse.ArgumentParser,
    debug_file: str = "stderr",
    failures: str = "the outcomes hung, diverged, crashed and unfinished, and error",
) -> None:
    """Add the options that say where the results go and what they count for.

    `failures` is what counts as failed where --fail-on is not given.
    """
    group = parser.add_argument_group("results")
    add_out(group)
    add_debug(group, debug_file)
    group.add_argument(
        "--fail-on", type=fail_on, metavar="WORDS",
        help="what makes the exit code 1, separated by commas: outcomes, error or warning for "
        "unexpected findings of that severity or worse, codes of findings; or none (default: "
        f"{failures})",
    )  # fmt: skip
    # GitHub publishes what it shows.
    publishing = group.add_mutually_exclusive_group()
    add_full(publishing)
    github.add(publishing)
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="print the verdicts only")
    loudness.add_argument("-v", "--verbose", action="store_true", help="print the findings too")


def add_scenarios(parser: argparse.ArgumentParser, nargs: str, **more: Any) -> None:
    """Add the arguments that name scenarios: names, files or folders."""
    group = parser.add_argument_group("arguments")
    action = group.add_argument("scenario", nargs=nargs, **more)
    action.completer = _scenarios  # type: ignore[attr-defined]  # what argcomplete looks for


def _scenarios(prefix: str, **_: Any) -> list[str]:
    from argcomplete.completers import FilesCompleter

    return [*load.shipped(), *FilesCompleter(["py"])(prefix)]


def settings(arguments: argparse.Namespace) -> Settings:
    """Make Settings of the training options."""
    from harness.session import hostfile

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
        # `doctor` has no ranks.
        ranks=hostfile.ranks(
            getattr(arguments, "ranks", None), getattr(arguments, "hostfile", None)
        ),
        backend=getattr(arguments, "backend", DEFAULTS.backend),
        collective_beats=getattr(arguments, "collective_beats", DEFAULTS.collective_beats),
    )


def planned(
    arguments: argparse.Namespace, infos: Sequence[ScenarioInfo]
) -> tuple[Sequence[plan.PlannedRun], Settings]:
    """Plan the runs of scenarios; returns them with the settings that they share."""
    from harness.session import hostfile

    shared = settings(arguments)
    runs = plan.make(infos, shared, arguments.repeat)
    hostfile.check(runs, arguments.hostfile)
    return runs, shared


def add_full(group: Any) -> None:
    """Add the option that turns redaction off."""
    group.add_argument(
        "--full", action="store_true",
        help="do not redact the reports: keep names, paths, addresses and tokens",
    )  # fmt: skip


def running(arguments: argparse.Namespace) -> Options:
    """Make Options of the options of runs. Raises UsageError when two contradict each other."""
    if arguments.stop_after is not None and arguments.repeat == 1:
        raise UsageError("--stop-after needs --repeat N, with N of at least 2")
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
        patience=patience(arguments),
        notify=notify(arguments),
        locate=arguments.locate,
        debug=arguments.debug,
    )


def _seconds(text: str) -> float:
    """A span of time that is not negative."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, 0 or more, not {text}")
    return value


def exit_code(result: RunResult, arguments: argparse.Namespace) -> int:
    """The exit code of a run, by `--fail-on`. A run of which everything was skipped has failed."""
    from harness.analysis import failing

    if result.interrupted:
        return Exit.INTERRUPTED
    chosen = arguments.fail_on or failing.DEFAULT
    failed = sum(is_failed(scenario, chosen) for scenario in result.results) > 0
    skipped = [scenario.outcome is Outcome.SKIPPED for scenario in result.results]
    if skipped and all(skipped) and chosen != failing.NOTHING:
        print("harness: every run was skipped: nothing was tested", file=sys.stderr)
        failed = True
    return Exit.VERDICT if failed else Exit.OK


def is_failed(result: ScenarioResult, chosen: FailOn) -> bool:
    """Check whether a run counts as failed, and say why where its outcome does not show it."""
    from harness.analysis import failing

    reasons = failing.reasons(result, chosen)
    if reasons and result.outcome not in chosen.outcomes:
        name = result.scenario + (f" #{result.repeat}" if result.repeat else "")
        codes = ", ".join(reasons)
        print(f"harness: {name} counts as failed: {codes} (see --fail-on)", file=sys.stderr)
    return bool(reasons)


def _hostfile(path: str) -> Hostfile:
    from harness.session import hostfile

    return hostfile.read(path)


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text}")
    return value


def positive_seconds(text: str) -> float:
    """A number of seconds above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text}")
    return value


def span(text: str) -> float:
    """A time such as 10m in seconds, for argparse."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    value = float(match[1]) * UNITS_S.get(match[2], 1.0) if match else 0.0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"must be a time such as 10m, 90s or 1h, not {text}")
    return value


def fail_on(text: str) -> FailOn:
    """The meaning of `--fail-on`, for argparse."""
    from harness.analysis import failing

    try:
        return failing.parse(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
