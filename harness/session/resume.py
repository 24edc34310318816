"""The continuation of a run: checks if results can be added to it, and plans what is added.

Results are comparable only where nothing but the scenario differs. So a continued run keeps its
settings, and a different machine, version or file is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from harness import __version__, privacy
from harness.errors import UsageError
from harness.model import Continuation, Environment, RunResult, ScenarioInfo, Settings
from harness.observe import environment
from harness.privacy.personal import recall
from harness.report import runjson
from harness.scenario import load as scenario
from harness.session import hostfile, plan, recover
from harness.session.folder import PLAN, SavedPlan, locked, read_plan
from harness.session.plan import Options, PlannedRun
from harness.text import invocation

CHANGES = frozenset(("swap", "device"))
"""The fields of an environment that can differ: swap grows on demand, and the device is not known
before a worker reports it."""

OPTIONS = ("jobs", "budget", "on_hang", "cold", "hostfile")
"""The fields of Options that have an effect on the results."""


class EarlierRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that can be continued."""

    folder: Path
    plan: SavedPlan
    run: RunResult
    """The result in the folder, with its scenarios and names as before redaction, and with the
    results that a killed supervisor did not write."""


def plan_to_save(
    runs: Sequence[PlannedRun], settings: Settings | None, options: Options, machine: Environment
) -> SavedPlan | None:
    """The plan to save for a new run, or None when the run could not be continued.

    Every scenario must be a file that still says the same. A command is no file, and the file of a
    function is deleted when the call that made it returns.
    """
    infos = tuple({run.info.name: run.info for run in runs}.values())
    if settings is None or not all(map(_is_its_file, infos)):
        return None
    return SavedPlan(
        harness_version=__version__,
        environment=machine,
        cwd=str(Path.cwd()),
        settings=settings,
        scenarios=infos,
        **{name: getattr(options, name) for name in OPTIONS},
    )


def _is_its_file(info: ScenarioInfo) -> bool:
    try:
        return info.command is None and scenario.again(info) == info
    except UsageError:
        return False


@contextmanager
def opened(folder: Path) -> Iterator[EarlierRun]:
    """The run in `folder`, with its lock held. Raises as `load` does."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a run folder: there is no such folder")
    with locked(folder):
        yield load(folder)


def load(folder: Path) -> EarlierRun:
    """The run in `folder`. Raises UsageError when it cannot be continued."""
    published = runjson.read(folder)
    if published.settings is None:
        raise UsageError(f"{folder} is a run of commands; only a run of scenarios can be continued")
    saved = read_plan(folder)
    if saved is None:
        raise UsageError(
            f"{folder} cannot be continued: it has no readable {PLAN}, which only a run of "
            "scenario files has; make a new run"
        )
    differences = [*_differences(saved)]
    if differences:
        raise UsageError(
            f"{folder} cannot be continued, because new results would not be comparable: "
            f"{'; '.join(differences)}; make a new run"
        )
    return EarlierRun(folder=folder, plan=saved, run=_unredacted(published, saved, folder))


def _differences(saved: SavedPlan) -> Iterator[str]:
    now = environment.gather()
    if saved.harness_version != __version__:
        yield f"harness {saved.harness_version} then, {__version__} now"
    for field in Environment.__struct_fields__:
        then, today = getattr(saved.environment, field), getattr(now, field)
        if then == today or field in CHANGES:
            continue
        if not isinstance(then, dict):
            yield _difference(field.replace("_", " "), then, today)
            continue
        for name in sorted(then.keys() | today.keys()):
            if then.get(name) != today.get(name):
                yield _difference(name, then.get(name), today.get(name))


def _difference(name: str, then: object, now: object) -> str:
    then, now = ("none" if value is None else str(value) for value in (then, now))
    return f"{name} {then} then, {now} now"


def _unredacted(published: RunResult, saved: SavedPlan, folder: Path) -> RunResult:
    """`published` with the scenarios, settings and names that redaction has replaced."""
    known = recall(folder)
    infos = {privacy.named(info.name, known): info for info in saved.scenarios}
    infos |= {info.name: info for info in saved.scenarios} if published.full else {}
    if len({info.name for info in infos.values()}) < len(saved.scenarios):
        raise UsageError(
            f"{folder} cannot be continued: two of its scenarios have the same redacted name; "
            "make a new run"
        )
    complete = recover.complete(published, folder)
    try:
        return msgspec.structs.replace(
            complete,
            environment=msgspec.structs.replace(
                saved.environment, device=published.environment.device
            ),
            settings=saved.settings,
            scenarios=tuple(infos[info.name] for info in complete.scenarios),
            results=tuple(_renamed(infos, result) for result in complete.results),
            left_out=tuple(_renamed(infos, left) for left in complete.left_out),
        )
    except KeyError as error:
        raise UsageError(
            f"{folder} cannot be continued: {PLAN} does not have the scenario {error.args[0]}; "
            "make a new run"
        ) from None


def _renamed(infos: dict[str, ScenarioInfo], named: Any) -> Any:
    return msgspec.structs.replace(named, scenario=infos[named.scenario].name)


def runs_to_add(earlier: EarlierRun, words: Sequence[str], repeats: int) -> tuple[PlannedRun, ...]:
    """The runs of the scenarios that `words` name; their repeats continue the numbers of `earlier`.

    A name is first that of a scenario of the run. Raises UsageError when a scenario is unknown or
    broken, or when its file is deleted or changed.
    """
    infos = tuple(info for word in words for info in _find(earlier, word))
    names = [info.name for info in infos]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two scenarios are named {name}; name it once")
    first = {name: _next_repeat(earlier, name) for name in names}
    runs = plan.make(infos, earlier.plan.settings, repeats)
    hostfile.check(runs, earlier.plan.hostfile)
    return tuple(
        msgspec.structs.replace(run, repeat=first[run.info.name] + run.repeat) for run in runs
    )


def missing(earlier: EarlierRun, names: Sequence[str]) -> list[str]:
    """The `names` of scenarios of which `earlier` has no result that is whole.

    Raises UsageError when it has all of them.
    """
    whole = {
        result.scenario
        for result in earlier.run.results
        if not (result.reason or "").startswith("interrupted")
    }
    left = [name for name in names if name not in whole]
    if not left:
        raise UsageError(
            f"{earlier.folder} has a result of each scenario; to repeat one, run: "
            f"{invocation.command('run', names[0], '--continue', str(earlier.folder))}"
        )
    return left


def _find(earlier: EarlierRun, word: str) -> list[ScenarioInfo]:
    known = {info.name: info for info in earlier.plan.scenarios}
    if word in known:
        return [_unchanged(known[word], earlier)]
    infos = []
    for info in _variations(earlier, word) or scenario.find([word]):
        there = known.get(info.name)
        if there is None:
            infos.append(msgspec.structs.replace(info, path=_path_from(earlier, info.path)))
        elif there.source == info.source:
            infos.append(_unchanged(there, earlier))
        else:
            raise UsageError(
                f"{earlier.folder} has another scenario that is named {info.name}; rename the file"
            )
    return infos


def varied(earlier: EarlierRun) -> Path | None:
    """The user's file whose step the run varies; None where it varies none."""
    own = [info.own.path for info in earlier.plan.scenarios if info.own is not None]
    return Path(earlier.plan.cwd) / own[0] if own else None


def _variations(earlier: EarlierRun, name: str) -> list[ScenarioInfo]:
    """The variation of this name of the step that the run varies; empty where it has none."""
    own = varied(earlier)
    infos = () if own is None else scenario.variations(own)
    return [info for info in infos if info.name == name]


def _path_from(earlier: EarlierRun, path: str) -> str:
    """`path` as it leads to the file from the folder in which the run was started."""
    return path if str(Path.cwd()) == earlier.plan.cwd else str(Path(path).absolute())


def _unchanged(info: ScenarioInfo, earlier: EarlierRun) -> ScenarioInfo:
    """`info` with the whole path of its file. Raises UsageError when the file has changed."""
    here = _located(info, Path(earlier.plan.cwd))
    mine = here.own or here
    if not Path(mine.path).is_file():
        raise UsageError(
            f"the file of {info.name} in {earlier.folder} does not exist: {mine.path}; restore it "
            "or make a new run"
        )
    now = scenario.again(here)
    if now.source != info.source or (now.own or now).source != mine.source:
        raise UsageError(
            f"{mine.path} has changed since {earlier.folder} was made, so results would not be "
            "comparable; make a new run"
        )
    return here


def _located(info: ScenarioInfo, folder: Path) -> ScenarioInfo:
    """`info` with the whole paths of its files, of which relative ones begin in `folder`."""
    own = info.own and msgspec.structs.replace(info.own, path=str(folder / info.own.path))
    return msgspec.structs.replace(info, path=str(folder / info.path), own=own)


def _next_repeat(earlier: EarlierRun, name: str) -> int:
    numbers = [result.repeat for result in earlier.run.results if result.scenario == name]
    folders = (earlier.folder / name).glob("*")
    numbers += [int(folder.name) for folder in folders if folder.name.isdecimal()]
    return max(numbers, default=-1) + 1


def extended_run(
    earlier: EarlierRun, runs: Sequence[PlannedRun], command: Sequence[str], now: str
) -> RunResult:
    """The result of `earlier` when `command` begins to add `runs` to it."""
    continued = Continuation(command=tuple(command), started=now)
    return msgspec.structs.replace(
        earlier.run,
        scenarios=_extended(earlier.run.scenarios, runs),
        continued=(*earlier.run.continued, continued),
    )


def extended_plan(earlier: EarlierRun, runs: Sequence[PlannedRun]) -> SavedPlan:
    """The plan of `earlier` with the scenarios of `runs`."""
    scenarios = _extended(earlier.plan.scenarios, runs)
    return msgspec.structs.replace(earlier.plan, scenarios=scenarios)


def options(earlier: EarlierRun, given: Options) -> Options:
    """`given`, but with the options of `earlier` that have an effect on its results."""
    return msgspec.structs.replace(
        given,
        out=earlier.folder.parent,
        full=earlier.run.full,
        **{name: getattr(earlier.plan, name) for name in OPTIONS},
    )


def _extended(
    infos: Sequence[ScenarioInfo], runs: Sequence[PlannedRun]
) -> tuple[ScenarioInfo, ...]:
    """`infos`, and after them the new ones of `runs`."""
    known = {info.name for info in infos}
    new = {run.info.name: run.info for run in runs if run.info.name not in known}
    return (*infos, *new.values())
