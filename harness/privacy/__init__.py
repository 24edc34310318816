"""The run that may leave this machine: without whatever names a person, a machine or a secret."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from harness.model import RunResult
from harness.observe.environment import VARIABLES
from harness.privacy.redact import Personal, arguments, redacted
from harness.privacy.rules import RULES, Rule
from harness.privacy.source import redacted_source
from harness.scenario.load import shipped
from harness.text import late

__all__ = [
    "Personal",
    "cleaned",
    "home",
    "named",
    "numbered",
    "published",
    "redacted",
    "redacted_source",
    "with_hosts",
]

_MARK = late.compile(r"<([a-z-]+)>")


def published(run: RunResult, personal: Personal) -> RunResult:
    """`run` as it may be published, by the rules of each of its fields."""
    made: RunResult = _struct(run, with_hosts(run, personal))
    return made


def with_hosts(run: RunResult, personal: Personal) -> Personal:
    """`personal`, and the hosts of the run's ranks, numbered in the order in which they come."""
    return numbered(
        (rank.host for result in run.results for rank in result.ranks if rank.host), personal
    )


def numbered(hosts: Iterable[str], personal: Personal) -> Personal:
    """`personal`, and the names of `hosts`, numbered in the order in which they come."""
    marks = dict(personal.hosts)
    taken = {mark for mark in marks.values() if mark != "<host>"}
    for name in dict.fromkeys(hosts):
        if name not in taken and marks.get(name, "<host>") == "<host>":
            marks[name] = f"host-{len(taken)}"
            taken.add(marks[name])
    return msgspec.structs.replace(personal, hosts=tuple(marks.items()))


def named(name: str, personal: Personal) -> str:
    """A scenario's name, or a module's, as it is published: still a name."""
    return name if name in _shipped() else _MARK.sub(r"\1", redacted(name, personal))


def home(folder: Path, scenario: str, personal: Personal) -> Path:
    """The folder of a scenario in a run's folder. It may be published by another name."""
    own = folder / scenario
    if not own.is_dir() and folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.is_dir() and named(path.name, personal) == scenario:
                return path
    return own


@cache
def _shipped() -> frozenset[str]:
    return frozenset(shipped())


def cleaned(value: Any, personal: Personal) -> Any:
    """`value` with each text in it redacted, in mappings also the keys, in a struct all fields."""
    if isinstance(value, str):
        return redacted(value, personal)
    if isinstance(value, dict):
        return _cleaned_mapping(value, personal)
    if isinstance(value, tuple | list):
        return type(value)(cleaned(item, personal) for item in value)
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        new = {
            name: made for name, old in fields.items() if (made := cleaned(old, personal)) != old
        }
        return msgspec.structs.replace(value, **new) if new else value
    return value


def _cleaned_mapping(value: dict[Any, Any], personal: Personal) -> dict[Any, Any]:
    """Clean a mapping and keep the number of its entries, also where two keys were alike but for
    what is redacted."""
    entries: dict[Any, Any] = {}
    for key, item in value.items():
        name = cleaned(key, personal)
        while name in entries:
            name = f"{name}'"
        entries[name] = cleaned(item, personal)
    return entries


def _struct(value: Any, personal: Personal) -> Any:
    rules = RULES[type(value)]
    return type(value)(
        **{
            name: _field(getattr(value, name), rules[name], personal)
            for name in value.__struct_fields__
        }
    )


def _field(value: Any, rule: Rule, personal: Personal) -> Any:
    if value is None or rule is Rule.KEEP:
        return value
    if rule is Rule.TEXT:
        return cleaned(value, personal)
    if rule is Rule.SOURCE:
        return redacted_source(value, personal)
    if rule is Rule.NAME:
        return named(value, personal)
    if rule is Rule.WORDS:
        return arguments(value, personal)
    if rule is Rule.HOST:
        return dict(personal.hosts).get(value, value)
    if rule is Rule.VARIABLES:
        return {name: _variable(name, text, personal) for name, text in value.items()}
    return _nested(value, personal)


def _nested(value: Any, personal: Personal) -> Any:
    if isinstance(value, msgspec.Struct):
        return _struct(value, personal)
    if isinstance(value, dict):
        return {key: _nested(item, personal) for key, item in value.items()}
    return tuple(_nested(item, personal) for item in value)


def _variable(name: str, text: str, personal: Personal) -> str:
    return redacted(text, personal) if name in VARIABLES else "<hidden>"
