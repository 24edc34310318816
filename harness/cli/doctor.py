"""`harness doctor`: what works on this machine, and why the rest does not."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.cli import help, options
from harness.errors import Exit, UsageError

NEED_A_MODEL = (
    "train", "optimizer", "dtype", "batch_size", "seq_len", "device", "memory", "grad_checkpoint"
)  # fmt: skip
"""The options that need --model."""


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "doctor",
        "Show what works on this machine. With --model, also project the memory that a training "
        "needs, before you run it, and the largest batch and length that fit.",
        usage="",
        examples=(
            "harness doctor",
            "harness doctor --known",
            "harness doctor --model tiny --train full --optimizer adamw",
            "harness doctor --model config.json --memory 96GB --device gpu",
            "harness doctor --model config.json --grad-checkpoint",
        ),
        exits={
            Exit.OK: "MLX works, or it is not installed",
            Exit.USAGE: "the command line is wrong, or the model cannot be loaded",
            Exit.INTERNAL: "MLX does not work here, or the harness itself failed",
        },
    )
    parser.add_argument(
        "--known",
        action="store_true",
        help="list the public bugs and pitfalls that the installed versions have",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="DIR",
        help="macOS: record what it answers about a known process into the new folder DIR, for an "
        "issue (default: record nothing)",
    )
    group = parser.add_argument_group("training whose memory is projected; all need --model")
    options.add_model(group, default_model="none: project nothing")
    group.add_argument(
        "--memory", type=options.bytes_of, metavar="SIZE",
        help="memory of the machine that is to train, such as 96GB or 80GiB (default: what this "
        "machine has)",
    )  # fmt: skip
    group.add_argument(
        "--grad-checkpoint", action="store_true", default=None,
        help="compute the activations of each block again in the backward pass, as mlx-lm does "
        "with this option (default: keep them)",
    )  # fmt: skip
    unused = {name: getattr(options.DEFAULTS, name) for name in ("steps", "learning_rate", "seed")}
    parser.set_defaults(command=run, model=None, **unused)


def run(arguments: argparse.Namespace) -> int:
    from harness.cli import known, machine
    from harness.observe import installation

    for name in NEED_A_MODEL:
        given = getattr(arguments, name) != getattr(options.DEFAULTS, name, None)
        if arguments.model is None and given:
            raise UsageError(f"--{name.replace('_', '-')} needs --model")
    if arguments.model is not None:
        installation.need_mlx()
    if arguments.record is not None:
        from harness.cli import recording

        recorded = recording.make(arguments.record)
    document = machine.examine()
    show: list[Callable[[dict[str, Any]], None]] = [machine.show]
    if arguments.known:
        show.append(known.show)
    if arguments.model is not None:
        from harness.cli import projection
        from harness.session.forecast import forecast

        if not arguments.json:
            print("tracing the training: a large model takes a minute", file=sys.stderr)
        projected = forecast(
            options.settings(arguments),
            given=arguments.memory,
            grad_checkpoint=bool(arguments.grad_checkpoint),
        )
        document["projection"] = projection.document(projected)
        show.append(lambda _: projection.show(projected, arguments.batch_size, arguments.seq_len))
    if arguments.record is not None:
        document["recorded"] = recording.document(arguments.record, recorded)
        show.append(lambda _: recording.show(arguments.record, recorded))
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        for part in show:
            part(document)
    # Without MLX, the harness can still watch and attach.
    return Exit.OK if document["mlx"]["ok"] or not installation.has_mlx() else Exit.INTERNAL
