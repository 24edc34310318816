"""Rest after what has cost CPU time, so that it stays a share of a core. Pure."""

from __future__ import annotations

import msgspec


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """The share of a core that something which is done again and again may take. In seconds."""

    share: float
    free_s: float = 0.0
    """What costs no more than this may be done again at once."""
    latest_s: float
    """The longest rest: what is not looked at for longer would be missed."""

    def rest(self, spent: float) -> float:
        """The time for which the CPU is left to others, once `spent` seconds of it were used."""
        return 0.0 if spent <= self.free_s else min(self.latest_s, spent / self.share)
