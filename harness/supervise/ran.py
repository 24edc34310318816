"""The processes of a command and their ends, as its processes tell it or have it mapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.death import last_words
from harness.inject import processes
from harness.inject.processes import Told
from harness.model import Ending, Process
from harness.observe import mapped
from harness.supervise import final_words


class Ran:
    """The processes of one command."""

    def __init__(self) -> None:
        self.told: tuple[Told, ...] = ()
        """Their own words of themselves; known at the end."""
        self._mapped: dict[int, dict[str, str]] = {}
        self._looks = 0

    def look(self, tree: Sequence[Process]) -> None:
        """Ask in some of the looks, more and more seldom: MLX may be imported late."""
        self._looks += 1
        if self._looks & (self._looks - 1):
            return
        for process in tree[: mapped.MOST]:
            if "mlx" not in self._mapped.get(process.pid, {}) and (
                found := mapped.versions(process.pid)
            ):
                self._mapped[process.pid] = found

    def settle(self, folder: Path) -> None:
        """Read what they have left in `folder`. They have all ended."""
        self.told = processes.read(folder)

    def end(self, folder: Path, pid: int | None) -> Told | None:
        """What the process `pid` has told of its end in `folder`."""
        ended = (one for one in self.told or processes.read(folder) if one.ended)
        return next((one for one in ended if one.pid == pid), None)

    def error(self, folder: Path, pid: int | None) -> str | None:
        """The exception that ended the process `pid`, as it has told in `folder`."""
        told = self.end(folder, pid)
        words = last_words.of_told(told.error) if told is not None and told.error else None
        return words.told if words is not None else None

    def completed(
        self, ending: Ending, files: Sequence[Path], heard: Sequence[float], stepped: float
    ) -> Ending:
        """`ending` with the last words, which are in `files`, one for each output.

        `heard` says when each was last heard, and `stepped` when the last step was reported.
        """
        return final_words.complete(ending, files, heard, stepped, self.told)

    def versions(self, pid: int | None) -> Mapping[str, str]:
        """The versions of the process that trains: the first that has imported MLX, or else `pid`,
        the command itself, or else the first Python."""
        seen = {one: dict(found) for one, found in self._mapped.items()}
        for one in self.told:
            seen[one.pid] = {**seen.get(one.pid, {}), **one.versions, "python": one.python}
        order = sorted(seen, key=lambda one: ("mlx" not in seen[one], one != pid, one))
        return seen[order[0]] if order else {}
