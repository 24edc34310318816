"""The end of an outside command, where its exit code does not say what happened."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec

from harness.model import Command, Outcome, ScenarioResult
from harness.model.finding import error
from harness.supervise import nested
from harness.supervise.launcher_log import Exits

_NO_PROGRAM = (126, 127)
"""The exit codes where a program cannot be started, as of a shell."""


def not_started(command: Command, result: ScenarioResult) -> str | None:
    """The reason why there never was a program, where that is so; a shell gives the same exit
    codes."""
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


class LauncherWords:
    """The end as the command tells it: of ranks, by a launcher in one of its output streams, or by
    the verdict of a harness that it runs."""

    def __init__(self, streams: int) -> None:
        # One for each stream: a sentence is not to be put together from two.
        self.streams = [Exits() for _ in range(streams)]
        self._inner: nested.InnerVerdict | None = None

    @property
    def codes(self) -> dict[int, int]:
        """Exit codes of ranks that did not end well."""
        return {rank: code for exits in self.streams for rank, code in exits.codes.items()}

    @property
    def ends_all(self) -> bool:
        """True if a launcher has ended all others because of one, and says nothing of them."""
        return any(exits.ends_all for exits in self.streams)

    def settle(self, own: Path) -> None:
        """Read what the command has left in its folder `own`."""
        self._inner = nested.read(own)

    def added_to(self, result: ScenarioResult) -> ScenarioResult:
        """`result` with the verdict of an inner harness, and with the ranks that died where nothing
        else is known of ranks, or where those that are known have all ended well."""
        result = nested.joined(result, self._inner)
        known = {one.rank for one in result.ranks}
        codes = {rank: code for rank, code in self.codes.items() if rank not in known}
        if not codes or (known and result.outcome is not Outcome.COMPLETED):
            return result
        ends = "; ".join(filter(None, (exits.describe() for exits in self.streams)))
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
