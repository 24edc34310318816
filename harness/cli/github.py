"""`--github-summary`: what a step of GitHub Actions shows."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness.model import RunResult


def add(group: Any) -> None:
    group.add_argument(
        "--github-summary", action="store_true",
        help="add report.md to the summary of the step of GitHub Actions, annotate what failed",
    )  # fmt: skip


def show(
    arguments: argparse.Namespace,
    folder: Path,
    commands: Callable[[RunResult, str], Iterable[str]],
) -> None:
    """Do so for the run in `folder`, if it was asked for.

    `commands` is called with what is published of it, and our folder's path in the repository.
    A full disk does not change the exit code.
    """
    from harness.report import runjson

    if not arguments.github_summary:
        return
    try:
        _summarise(folder)
    except OSError as error:
        print(f"no step summary: {error}", file=sys.stderr)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        # GitHub reads both streams; with --json stdout is the document's.
        stream = sys.stderr if arguments.json else sys.stdout
        for command in commands(runjson.read(folder), _root()):
            print(command, file=stream, flush=True)


def _root() -> str:
    try:
        return Path.cwd().relative_to(os.environ.get("GITHUB_WORKSPACE", "")).as_posix()
    except ValueError:
        return ""


def _summarise(folder: Path) -> None:
    from harness.report import github

    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        print("no step summary: GITHUB_STEP_SUMMARY is not set", file=sys.stderr)
        return
    report = (folder / "report.md").read_text(encoding="utf-8")
    with Path(name).open("ab") as file:
        told = github.summary(report, github.SUMMARY - file.tell())
        file.write(told.encode())
    if not told:
        print("no step summary: the file is full", file=sys.stderr)
