"""The part of `harness doctor` about known issues: those that the installed versions have."""

from __future__ import annotations

import sys
from typing import Any

from rich.text import Text

from harness.analysis.known_issues import catalog, versions
from harness.cli import consoles
from harness.model import Environment
from harness.text import invocation
from harness.text.units import plural


def concerning(environment: Environment) -> list[dict[str, Any]]:
    """The issues that concern the installed versions, as --json prints them."""
    return [
        {
            "id": issue.id,
            "title": issue.title,
            "url": issue.url,
            "kind": issue.kind.value,
            "package": issue.package,
            "version": version,
            "fixed": issue.fixed,
            "cure": issue.cure,
        }
        for issue, version in versions.concerning(catalog.load(), environment)
    ]


def count(document: dict[str, Any]) -> str:
    """The number of issues in words, and the command that lists them."""
    found = document["known_issues"]
    names = " and ".join(dict.fromkeys(f"{one['package']} {one['version']}" for one in found))
    if not found:
        return "none of the versions here"
    return f"{len(found)} of {names}; to list them: {invocation.command('doctor', '--known')}"


def show(document: dict[str, Any]) -> None:
    """Print what `machine.examine` has found of them."""
    console = consoles.console(sys.stdout)
    found = document["known_issues"]
    known = plural(len(catalog.load()), "known issue")
    consoles.say(console, Text(f"\n{len(found)} of {known} concern the versions here"))
    for one in found:
        fixed = f", fixed in {one['package']} {one['fixed']}" if one["fixed"] else ""
        consoles.say(console, Text(f"{one['id']} ({one['kind']}): {one['title']}{fixed}"))
        consoles.say(console, Text(f"  {one['cure']} {one['url']}", style="dim"), "  ")
