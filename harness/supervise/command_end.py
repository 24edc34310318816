"""The end of an outside command, where its exit code does not say what happened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.model import Command, Outcome, ScenarioResult
from harness.model.finding import error
from harness.supervise.launcher_log import Exits

_NO_PROGRAM = (126, 127)
"""The exit codes where a program cannot be started, as of a shell."""


def not_started(command: Command, result: ScenarioResult) -> str | None:
    """Why there never was a program, where that is so; a shell gives the same exit codes."""
    if result.exit_code not in _NO_PROGRAM:
        return None
    name = command.argv[0]
    search = command.variables.get("PATH", os.environ.get("PATH"))
    if shutil.which(name, path=search) is not None:
        return None
    if shutil.which(name, os.F_OK, search) is not None or (os.sep in name and Path(name).exists()):
        return f"the program {name} cannot be executed"
    hint = "; a command line that is one text is run by a shell: sh -c '...'"
    return f"the program {name} was not found" + hint * (" " in name)


def with_ranks_that_died(result: ScenarioResult, streams: Sequence[Exits]) -> ScenarioResult:
    """`result` with what the launcher says of ranks, of which nothing else is known."""
    codes = {rank: code for exits in streams for rank, code in exits.codes.items()}
    ends = "; ".join(filter(None, (exits.told() for exits in streams)))
    finding = error(
        "rank_died",
        f"the launcher says that {ends}",
        ranks=sorted(codes),
        codes=[codes[rank] for rank in sorted(codes)],
    )
    result = msgspec.structs.replace(result, findings=(*result.findings, finding))
    if result.outcome is not Outcome.COMPLETED:
        return result
    # It returns 0 all the same.
    return msgspec.structs.replace(result, outcome=Outcome.CRASHED, reason=ends)
