"""One run of one candidate: its folder, its fence, and what it leaves."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.model import Command, Outcome, ScenarioInfo, ScenarioResult
from harness.reduce.fence import sitecustomize as fence
from harness.reduce.looker import Look
from harness.session import jobs
from harness.session.plan import Options, PlannedRun
from harness.supervise import kernel_cache
from harness.supervise.job import Job

NAME = "program.py"
"""The name of each candidate, so that messages that have it do not differ."""
PRINTED = 65536
COMPILED_S = 2.0
"""A library of MLX that is older than that was written to its end, also if its program hung."""
LINE = "line "
REFUSED = "refused "
USED = "used "


class Notes:
    """The notes of the fence on one run."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = frozenset(
            int(line.removeprefix(LINE)) for line in lines if line.startswith(LINE)
        )
        """The numbers of the lines that ran."""
        self.refused = tuple(
            line.removeprefix(REFUSED) for line in lines if line.startswith(REFUSED)
        )
        self.used = tuple(
            dict.fromkeys(line.removeprefix(USED) for line in lines if line.startswith(USED))
        )


def _tidy(folder: Path, kernels: Path) -> None:
    """Delete all but links to `kernels`, and what is empty then."""
    with os.scandir(folder) as entries:
        for entry in list(entries):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                _tidy(path, kernels)
                with contextlib.suppress(OSError):
                    path.rmdir()
            elif not (entry.is_symlink() and path.readlink().is_relative_to(kernels)):
                path.unlink()


class Lender:
    """Temporary folders with MLX's compiled kernels. One that comes back is lent again."""

    def __init__(self, folder: Path) -> None:
        """`folder` is a new one of its own."""
        self._folder = folder
        self.kernels = folder / kernel_cache.KERNELS
        """All kernels that it lends; what is added is lent with each folder that is new."""
        self.kernels.mkdir(parents=True)
        kernel_cache.lend(kernel_cache.store(), folder)
        self._spare: list[Path] = []
        self._number = 0

    def lend(self, to: Path) -> None:
        """Make the folder `to`."""
        if self._spare:
            self._spare.pop().rename(to)
        else:
            to.mkdir()
            kernel_cache.lend(self.kernels, to)

    def take_back(self, temporary: Path) -> None:
        """Take a folder that nobody uses any more, without what was written to it."""
        _tidy(temporary, self.kernels)
        self._number += 1
        spare = self._folder / str(self._number)
        temporary.rename(spare)
        self._spare.append(spare)


class Run:
    """One run of one candidate, in a folder of its own."""

    def __init__(self, home: Path, python: Sequence[str], text: str, lender: Lender) -> None:
        self.home = home
        self._lender = lender
        self.file = home / NAME
        (home / fence.WORK).mkdir(parents=True)
        self.file.write_text(text, encoding="utf-8")
        self._temporary = home / "tmp"
        lender.lend(self._temporary)
        inherited = os.environ.get("PYTHONPATH")
        here = str(Path(fence.__file__).parent)
        self.variables = {
            fence.FOLDER: str(home),
            "PYTHONPATH": f"{here}{os.pathsep}{inherited}" if inherited else here,
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self._temporary),
        }
        self._argv = (*python, str(self.file))

    def look(self) -> Look:
        """The question to a glance at it."""
        folder = self.home / "printed"
        folder.mkdir()
        stacks = self.home / "stacks"
        variables = {**self.variables, fence.LOOKED: str(stacks)}
        return Look(self._argv, self.file, variables, folder, stacks)

    def starter(self, options: Options, runs: Path) -> Callable[[], Job]:
        info = ScenarioInfo(
            name=self.home.name,
            path="",
            summary="",
            doc="",
            source="",
            command=Command(argv=self._argv, variables=self.variables),
        )
        planned = PlannedRun(info=info, settings=None, repeat=0)
        return lambda: jobs.start(planned, options, runs, None, set())

    def notes(self) -> Notes:
        try:
            text = (self.home / fence.NOTES).read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        return Notes(text.splitlines())

    def printed(self, runs: Path) -> str:
        try:
            data = (runs / self.home.name / "0" / "stderr.log").read_bytes()
        except OSError:
            return ""
        return data[-PRINTED:].decode("utf-8", "replace")

    def finished(self, result: ScenarioResult) -> None:
        if result.outcome is Outcome.COMPLETED:
            kernel_cache.keep(self._temporary, kernel_cache.store())
        if all(time.time() - file.stat().st_mtime > COMPILED_S for file in self._compiled()):
            kernel_cache.keep(self._temporary, self._lender.kernels)
        for part in (self.home / fence.WORK, self._temporary):
            shutil.rmtree(part, ignore_errors=True)

    def glanced(self) -> None:
        """Delete all of it."""
        with contextlib.suppress(OSError):
            self._lender.take_back(self._temporary)
        shutil.rmtree(self.home, ignore_errors=True)

    def _compiled(self) -> list[Path]:
        files = self._temporary.rglob("*")
        return [file for file in files if file.is_file() and not file.is_symlink()]
