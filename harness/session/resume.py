"""A run that is added to: what is kept of it for that, and whether it can be. Never imports mlx.

What a run was asked to do stays in its folder as it was, unlike run.json, which is redacted.
Results are taken together only where nothing but the scenario differs between them: so the settings
are the old ones, and another machine, another version of anything or a changed file is refused.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from harness import __version__, privacy
from harness.errors import UsageError
from harness.model import (
    Continuation,
    Environment,
    Hostfile,
    OnHang,
    RunResult,
    ScenarioInfo,
    Settings,
)
from harness.observe import environment
from harness.privacy.personal import recall
from harness.report import runjson
from harness.scenario import load as scenario
from harness.session import hostfile as hosts
from harness.session import plan, recover
from harness.session.plan import Options, Run

NAME = "plan.json"
CHANGES = frozenset(("swap", "device"))
"""Of the environment: some systems make swap when it is needed, and the device is not yet known."""

OPTIONS = ("jobs", "budget", "on_hang", "cold", "hostfile")
"""Of how a run is carried out, what has to do with its results."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was asked to do, for this user alone."""

    harness_version: str
    environment: Environment
    cwd: str
    """Where the paths of the scenarios begin."""
    settings: Settings
    scenarios: tuple[ScenarioInfo, ...]
    jobs: int
    budget: float
    on_hang: OnHang
    cold: bool
    hostfile: Hostfile | None


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """A run that can be added to."""

    folder: Path
    kept: Kept
    run: RunResult
    """As it is in its folder, but with its scenarios and their names as they were before redaction;
    results that a killed supervisor left unwritten are there as well."""


# --- what is kept --------------------------------------------------------------------------------


def of(
    asked: Sequence[Run], settings: Settings | None, how: Options, found: Environment
) -> Kept | None:
    """What is to be kept of a new run; None when nothing could be added to it.

    It must be of scenarios that are what their files say: not of commands, nor of functions, whose
    files are gone when the call that made them returns.
    """
    infos = tuple({run.info.name: run.info for run in asked}.values())
    if settings is None or not all(map(_as_its_file, infos)):
        return None
    return Kept(
        harness_version=__version__,
        environment=found,
        cwd=str(Path.cwd()),
        settings=settings,
        scenarios=infos,
        **{name: getattr(how, name) for name in OPTIONS},
    )


def _as_its_file(info: ScenarioInfo) -> bool:
    try:
        return info.command is None and scenario.load(Path(info.path)) == info
    except UsageError:
        return False


def keep(kept: Kept, folder: Path) -> None:
    """Write it into `folder`, readable by this user alone. Raises OSError."""
    # As in run.json: JSON has no NaN, and no infinity.
    text = json.dumps(runjson.storable(msgspec.to_builtins(kept)), allow_nan=False)
    partial = folder / f".{NAME}"
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)
    partial.replace(folder / NAME)


def _recalled(folder: Path) -> Kept | None:
    try:
        raw = json.loads((folder / NAME).read_bytes())
        return msgspec.convert(raw, type=Kept, strict=False)
    except (OSError, ValueError, msgspec.ValidationError):
        return None


def named(folder: Path) -> str | None:
    """`folder` as `--continue` is given it; None when nothing can be added to the run in it."""
    if not (folder / NAME).is_file():
        return None
    # Below the folder that we are in by no more than that: the rest of a path is redacted.
    whole, here = folder.resolve(), Path.cwd().resolve()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


# --- what is added -------------------------------------------------------------------------------


def load(folder: Path) -> Earlier:
    """The run in `folder`. Raises UsageError when nothing can be added to it."""
    published = runjson.read(folder)
    if published.settings is None:
        raise UsageError(f"{folder} is a run of commands: only a run of scenarios can be continued")
    kept = _recalled(folder)
    if kept is None:
        raise UsageError(
            f"{folder} cannot be continued: it has no readable {NAME}, which harness run leaves "
            "where all scenarios are files"
        )
    differs = [*_differences(kept)]
    if differs:
        raise UsageError(
            f"{folder} cannot be continued, since its results would not be comparable: "
            f"{'; '.join(differs)}"
        )
    return Earlier(folder=folder, kept=kept, run=_unredacted(published, kept, folder))


def _differences(kept: Kept) -> Iterator[str]:
    now = environment.gather()
    if kept.harness_version != __version__:
        yield f"harness {kept.harness_version} then, {__version__} now"
    for field in Environment.__struct_fields__:
        then, today = getattr(kept.environment, field), getattr(now, field)
        if then == today or field in CHANGES:
            continue
        if not isinstance(then, dict):
            yield f"{field.replace('_', ' ')} {_told(then)} then, {_told(today)} now"
            continue
        for name in sorted(then.keys() | today.keys()):
            if then.get(name) != today.get(name):
                yield f"{name} {_told(then.get(name))} then, {_told(today.get(name))} now"


def _told(value: object) -> str:
    return "none" if value is None else str(value)


def _unredacted(published: RunResult, kept: Kept, folder: Path) -> RunResult:
    """`published` with what was never published in place of what stands there for it."""
    known = recall(folder)
    infos = {privacy.named(info.name, known): info for info in kept.scenarios}
    infos |= {info.name: info for info in kept.scenarios} if published.full else {}
    if len({info.name for info in infos.values()}) < len(kept.scenarios):
        raise UsageError(f"{folder} cannot be continued: two of its scenarios are published alike")
    complete = recover.complete(published, folder)
    try:
        return msgspec.structs.replace(
            complete,
            environment=msgspec.structs.replace(
                kept.environment, device=published.environment.device
            ),
            settings=kept.settings,
            scenarios=tuple(infos[info.name] for info in complete.scenarios),
            results=tuple(_called(infos, one) for one in complete.results),
            left_out=tuple(_called(infos, one) for one in complete.left_out),
        )
    except KeyError as error:
        raise UsageError(
            f"{folder} cannot be continued: {NAME} does not know the scenario {error.args[0]}"
        ) from None


def _called(infos: dict[str, ScenarioInfo], one: Any) -> Any:
    return msgspec.structs.replace(one, scenario=infos[one.scenario].name)


def added(earlier: Earlier, words: Sequence[str], repeats: int) -> tuple[Run, ...]:
    """The runs of the scenarios that `words` name, their repeats numbered on from those there are.

    A name is first that of a scenario of the run. Raises UsageError when one is unknown, broken,
    gone, or not what it was.
    """
    infos = tuple(info for word in words for info in _find(earlier, word))
    names = [info.name for info in infos]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two scenarios are named {name}")
    first = {name: _next_repeat(earlier, name) for name in names}
    runs = plan.make(infos, earlier.kept.settings, repeats)
    hosts.check(runs, earlier.kept.hostfile)
    return tuple(
        msgspec.structs.replace(run, repeat=first[run.info.name] + run.repeat) for run in runs
    )


def _find(earlier: Earlier, word: str) -> list[ScenarioInfo]:
    known = {info.name: info for info in earlier.kept.scenarios}
    if word in known:
        return [_still(known[word], earlier)]
    found = []
    for info in scenario.find([word]):
        there = known.get(info.name)
        if there is None:
            found.append(msgspec.structs.replace(info, path=_seen_from(earlier, info.path)))
        elif there.source == info.source:
            found.append(_still(there, earlier))
        else:
            raise UsageError(f"{earlier.folder} has another scenario that is named {info.name}")
    return found


def _seen_from(earlier: Earlier, path: str) -> str:
    """`path` as it leads to the file from where the run was started."""
    return path if str(Path.cwd()) == earlier.kept.cwd else str(Path(path).absolute())


def _still(info: ScenarioInfo, earlier: Earlier) -> ScenarioInfo:
    """`info` with its file's whole path. Raises UsageError when the file is not what it was."""
    path = Path(earlier.kept.cwd) / info.path
    if not path.is_file():
        raise UsageError(f"the file of {info.name} in {earlier.folder} is gone: {path}")
    if scenario.load(path).source != info.source:
        raise UsageError(
            f"{path} has changed since {earlier.folder} was made: its results would not be "
            "comparable"
        )
    return msgspec.structs.replace(info, path=str(path))


def begun(earlier: Earlier, asked: Sequence[Run], command: Sequence[str], now: str) -> RunResult:
    """The run as it is when `command` begins to add the runs `asked` to it."""
    continued = Continuation(command=tuple(command), started=now)
    return msgspec.structs.replace(
        earlier.run,
        scenarios=_with(earlier.run.scenarios, asked),
        continued=(*earlier.run.continued, continued),
    )


def kept(earlier: Earlier, asked: Sequence[Run]) -> Kept:
    """What is to be kept of it then."""
    scenarios = _with(earlier.kept.scenarios, asked)
    return msgspec.structs.replace(earlier.kept, scenarios=scenarios)


def options(earlier: Earlier, given: Options) -> Options:
    """`given`, with what is the run's own as it was for that."""
    return msgspec.structs.replace(
        given,
        out=earlier.folder.parent,
        full=earlier.run.full,
        **{name: getattr(earlier.kept, name) for name in OPTIONS},
    )


def _with(infos: Sequence[ScenarioInfo], asked: Sequence[Run]) -> tuple[ScenarioInfo, ...]:
    """`infos`, and after them those of `asked` that are new."""
    known = {info.name for info in infos}
    new = {run.info.name: run.info for run in asked if run.info.name not in known}
    return (*infos, *new.values())


def _next_repeat(earlier: Earlier, name: str) -> int:
    there = [result.repeat for result in earlier.run.results if result.scenario == name]
    there += [int(one.name) for one in (earlier.folder / name).glob("*") if one.name.isdecimal()]
    return max(there, default=-1) + 1


# --- who runs in a folder ------------------------------------------------------------------------


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else runs anything in `folder`. Raises UsageError when somebody does."""
    # The kernel gives the lock back whatever becomes of us; a worker does not inherit it.
    file = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise UsageError(f"{folder} is a run that is still under way") from None
    except OSError:
        pass  # some network's file system has no locks
    try:
        yield
    finally:
        os.close(file)


@contextmanager
def opened(folder: Path) -> Iterator[Earlier]:
    """The run in `folder`, to which nobody else adds meanwhile. Raises as `load` does."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no run's folder")
    with alone(folder):
        yield load(folder)
