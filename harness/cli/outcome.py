"""The end of the commands that run something: summary, reports and documents."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.cli import github
from harness.cli.console import Screen
from harness.errors import NotWrittenError
from harness.model import RunResult
from harness.report import runjson

Annotations = Callable[[RunResult, str], Iterable[str]]


class Executed:
    """The result of a run, also where the disk had no room for it."""

    def __init__(self, execute: Callable[[], tuple[RunResult, Path]], screen: Screen) -> None:
        """Call `execute`, and print the summary on `screen`."""
        self._document: str | None = None
        try:
            self.result, self.folder = execute()
        except NotWrittenError as error:
            self.result, self.folder = error.run, error.folder
            self._document = runjson.encode(error.published)
            screen.summary(self.result, str(error))
        else:
            screen.summary(self.result, self.folder)

    def annotate(self, arguments: argparse.Namespace, commands: Annotations) -> None:
        """Add the report to the summary of GitHub's step, where there is a report."""
        if self._document is None:
            github.show(arguments, self.folder, commands)

    @property
    def document(self) -> str:
        """The text of run.json."""
        return runjson.text(self.folder) if self._document is None else self._document
