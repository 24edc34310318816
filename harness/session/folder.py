"""The folder of a run: its name, its lock, run.json, and the plan for who continues it.

The plan stays in the folder as it was made, for this user alone. run.json is redacted.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from harness import privacy
from harness.errors import UsageError, with_remedy
from harness.model import Environment, Hostfile, OnHang, RunResult, ScenarioInfo, Settings
from harness.privacy import Personal, personal
from harness.report import runjson

PLAN = "plan.json"
"""The file in which the plan is saved."""


class SavedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a run: what it runs, with which settings and options, and where."""

    harness_version: str
    environment: Environment
    cwd: str
    """The folder that the paths of the scenarios are relative to."""
    settings: Settings
    scenarios: tuple[ScenarioInfo, ...]
    jobs: int
    budget: float
    on_hang: OnHang
    cold: bool
    hostfile: Hostfile | None


def new_folder(out: Path) -> Path:
    """Make a new folder OUT/<YYYYMMDD-HHMMSS>-<id>/; never one that exists."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError("the working folder was deleted; go to one that exists") from None
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = out / f"{stamp}-{secrets.token_hex(2)}"
    try:
        if not out.exists():
            out.mkdir(parents=True)
            # The folders of runs are large, and are not to be committed by accident.
            (out / ".gitignore").write_text("*\n", encoding="utf-8")
        folder.mkdir()
    except OSError as error:
        raise UsageError(
            f"cannot write to --out {out}: {error.strerror or error}; name another folder"
        ) from error
    return folder


def explain(error: OSError, folder: Path) -> str:
    """The message for `error`. It names `folder` only when the error is about that folder."""
    if isinstance(error.filename, (str, bytes)):
        file = Path(os.fsdecode(error.filename))
        ours = file.resolve().is_relative_to(folder.resolve())
    else:
        # The error of a write has no file name.
        ours = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
    if ours:
        return with_remedy(error, f"cannot write to {folder}: {error.strerror or error}")
    return with_remedy(error)


def published(run: RunResult, known: Personal) -> RunResult:
    """The run as its folder has it: redacted, unless it is `full`."""
    return run if run.full else privacy.published(run, known)


def save(run: RunResult, folder: Path, known: Personal) -> None:
    """Write run.json, redacted unless the run is `full`. Raises OSError."""
    runjson.write(published(run, known), folder)


def save_first(run: RunResult, folder: Path) -> None:
    """Write run.json into a new folder, and beside it what is to be redacted of it later on too.

    Raises OSError.
    """
    known = personal.gather()
    personal.keep(known, folder)
    save(run, folder, known)


def save_plan(plan: SavedPlan, folder: Path) -> None:
    """Write the plan, readable by this user alone. Raises OSError."""
    # JSON has no NaN and no infinity; run.json has the same form.
    text = json.dumps(runjson.storable(msgspec.to_builtins(plan)), allow_nan=False)
    partial = folder / f".{PLAN}"
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    partial.replace(folder / PLAN)


def read_plan(folder: Path) -> SavedPlan | None:
    """The plan that is saved in `folder`, or None when there is none that can be read."""
    try:
        raw = json.loads((folder / PLAN).read_bytes())
        return msgspec.convert(raw, type=SavedPlan, strict=False)
    except (OSError, ValueError, msgspec.ValidationError):
        return None


def path_to_continue(folder: Path) -> str | None:
    """The path of `folder` for `--continue`, or None when its run cannot be continued."""
    if not (folder / PLAN).is_file():
        return None
    # Relative to the working folder where possible: the rest of a path is redacted.
    whole, here = folder.resolve(), Path.cwd().resolve()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`. Raises UsageError when another process holds it."""
    # The kernel releases the lock however this process ends; a worker does not inherit it.
    file = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise UsageError(f"{folder} is a run that is under way; wait until it ends") from None
    except OSError:
        pass  # some network file systems have no locks
    try:
        yield
    finally:
        os.close(file)
