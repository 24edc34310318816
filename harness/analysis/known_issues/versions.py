"""Releases and their order, and what of a machine a known issue needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from harness.analysis.known_issues.catalog import Backend, KnownIssue, System
from harness.model import Environment
from harness.text import late

_RELEASE = late.compile(r"(\d+(?:\.\d+)*)(?:\.post\d+)?(?:\+[\w.]+)?")


def watched(environment: Environment) -> dict[str, str | None]:
    """The versions of the packages that ran, by distribution; a missing one is not known."""
    return environment.versions


def release(version: str | None) -> tuple[int, ...] | None:
    """The numbers of a release, without zeros at its end.

    None where the version is not known, and for a build before a release: it may have a fix or not.
    """
    match = _RELEASE.fullmatch(version or "")
    if match is None:
        return None
    numbers = [int(number) for number in match[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def concerns(issue: KnownIssue, version: str | None) -> bool | None:
    """True if `version` has the issue, None where that is not known."""
    number = release(version)
    since, fixed = release(issue.since), release(issue.fixed)
    if number is None:
        return None
    return (since is None or since <= number) and (fixed is None or number < fixed)


def concerning(
    issues: Iterable[KnownIssue], environment: Environment
) -> list[tuple[KnownIssue, str]]:
    """Those of `issues` that the installed versions have on this machine, each with its version."""
    installed = watched(environment)
    return [
        (issue, version)
        for issue in issues
        if possible(issue, environment)
        and (version := installed.get(issue.package)) is not None
        and concerns(issue, version)
    ]


def possible(issue: KnownIssue, environment: Environment) -> bool:
    """Check that the issue can show on this machine, whatever the versions."""
    system = System.MACOS if environment.platform.startswith("macOS") else System.LINUX
    if issue.systems and system not in issue.systems:
        return False
    return not issue.backends or bool(set(issue.backends) & _backends(environment, system))


def _backends(environment: Environment, system: System) -> set[Backend]:
    """The devices that the machine may have computed on."""
    if system is System.MACOS:
        return {Backend.CPU, Backend.METAL}
    named = any(name.startswith("mlx-cuda") for name in environment.versions)
    return {Backend.CPU, Backend.CUDA} if named else {Backend.CPU}
