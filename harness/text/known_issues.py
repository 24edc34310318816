"""A match with a known issue in a sentence. Pure."""

from __future__ import annotations

import re

from harness.model import KnownIssueMatch, Sameness
from harness.text import late

_ADDRESS = late.compile(r"https://github\.com/[\w./-]+", re.ASCII)

_SAME = {
    Sameness.WAIT_SITE: "same wait site",
    Sameness.ERROR: "same error",
}


def describe(match: KnownIssueMatch) -> str:
    """`same error and version as mlx#1 (title), fixed in mlx 0.2: cure`, without a full stop."""
    version = " and version" if match.version else ""
    unknown = "" if match.version else f"; the version of {match.package} is not known"
    fixed = f", fixed in {match.package} {match.fixed}" if match.fixed else ""
    cure = f"{match.cure[:1].lower()}{match.cure[1:]}".removesuffix(".")
    same = f"{_SAME[match.same]}{version} as {match.id} ({match.title})"
    return f"{same}{fixed}{unknown}: {cure}"


def address(match: KnownIssueMatch) -> str | None:
    """The address that a page may link to; None: run.json has something else there."""
    return match.url if _ADDRESS.fullmatch(match.url) else None
