"""The words between a crew and its hosts: an order there, and news back."""

from __future__ import annotations

import msgspec

from harness.releases.plan import Plan
from harness.releases.probe import Ran


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The run that a host is to carry out."""

    plan: Plan
    number: int


class News(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One frame of a host. One without a field says that it is there.

    At the end of a run: the outcome, then the files of its folder in pieces, then `whole`.
    """

    ran: Ran | None = None
    file: str | None = None
    """The path of a file in the run's folder, of which `data` is the next piece."""
    mode: int = 0o600
    data: bytes = b""
    whole: bool = False
    problem: str | None = None
    """The reason why the host cannot run it."""
