"""Several ranks of one job: which is silent, in which collective, and since when. Pure."""

from harness.ranks.columns import JobColumns, RankColumns
from harness.ranks.judge import JobVerdict, judge
from harness.ranks.state import RankState

__all__ = ["JobColumns", "JobVerdict", "RankColumns", "RankState", "judge"]
