"""Releases of a package in their order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from harness.errors import UsageError


def parse(text: str) -> Version:
    """The version that `text` names. Raises UsageError where it names none."""
    try:
        return Version(text)
    except InvalidVersion:
        raise UsageError(f"{text} is not a version; give one such as 0.32.0") from None


def package(text: str) -> str:
    """The normal form of a package's name. Raises UsageError for what is no name."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise UsageError(f"{text} is not the name of a package") from None
    if requirement.specifier or requirement.extras or requirement.url or requirement.marker:
        raise UsageError(f"{text} is more than the name of a package; give the name alone")
    return canonicalize_name(requirement.name)


def requirement(text: str) -> str:
    """`text`, a requirement that an index can satisfy. Raises UsageError for anything else."""
    try:
        parsed = Requirement(text)
    except InvalidRequirement:
        parsed = None
    if parsed is None or parsed.url:
        raise UsageError(
            f"{text} is not a package of the index; give a requirement such as numpy==2.1, and "
            "add folders of your own with PYTHONPATH"
        )
    return str(parsed)


def name_of(requirement: str) -> str:
    """The normal name of the package that a requirement asks for."""
    return canonicalize_name(Requirement(requirement).name)


def between(known: Iterable[str], first: str, last: str, pre: bool = False) -> tuple[str, ...]:
    """The releases of `known` from `first` to `last`, both included, from the oldest on.

    The two ends are there also where the index does not name them. Pre-releases and development
    releases between them are left out without `pre`. `first` and `last` come in either order.
    """
    low, high = sorted((parse(first), parse(last)))
    if low == high:
        raise UsageError(f"both ends are the release {first}; give two different ones")
    inside = set()
    for text in known:
        try:
            version = Version(text)
        except InvalidVersion:  # an old release of a package may have any name
            continue
        if low < version < high and (pre or not version.is_prerelease):
            inside.add(version)
    return tuple(str(version) for version in sorted({low, high} | inside))


def ordered(versions: Sequence[str]) -> tuple[str, ...]:
    """`versions` without duplicates, in the order in which they are given."""
    return tuple(dict.fromkeys(str(parse(version)) for version in versions))
