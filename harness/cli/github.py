"""`--github-summary`: the report in the summary of a step of GitHub Actions."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness.model import RunResult


def add(group: Any) -> None:
    """Add the option --github-summary."""
    group.add_argument(
        "--github-summary", action="store_true",
        help="in GitHub Actions: add report.md to the summary of the step, and annotate failures",
    )  # fmt: skip


def show(
    arguments: argparse.Namespace,
    folder: Path,
    commands: Callable[[RunResult, str], Iterable[str]],
) -> None:
    """Add the run in `folder` to the summary, if the option was given.

    `commands` gets the published run, and the path of the working folder in the repository.
    A full disk does not change the exit code.
    """
    from harness.report import runjson

    if not arguments.github_summary:
        return
    try:
        _write_summary(folder)
    except OSError as error:
        print(f"cannot write the step summary: {error}", file=sys.stderr)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        # GitHub reads both streams; with --json, stdout has the document alone.
        stream = sys.stderr if arguments.json else sys.stdout
        for command in commands(runjson.read(folder), _root()):
            print(command, file=stream, flush=True)


def _root() -> str:
    try:
        return Path.cwd().relative_to(os.environ.get("GITHUB_WORKSPACE", "")).as_posix()
    except ValueError:
        return ""


def _write_summary(folder: Path) -> None:
    from harness.report import github

    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        print(
            "cannot write the step summary: GITHUB_STEP_SUMMARY is not set; use --github-summary "
            "in GitHub Actions only",
            file=sys.stderr,
        )
        return
    report = (folder / "report.md").read_text(encoding="utf-8")
    with Path(name).open("ab") as file:
        summary = github.summary(report, github.SUMMARY - file.tell())
        file.write(summary.encode())
    if not summary:
        print("cannot write the step summary: its file is full", file=sys.stderr)
