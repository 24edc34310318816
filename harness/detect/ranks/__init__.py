"""Several ranks of one job: which is silent, in which collective, and since when. Pure."""

from harness.detect.ranks.columns import JobColumns, RankColumns
from harness.detect.ranks.state import BY_ITSELF, EXITED, GONE, RankState
from harness.detect.ranks.verdict import JobVerdict, judge

__all__ = [
    "BY_ITSELF",
    "EXITED",
    "GONE",
    "JobColumns",
    "JobVerdict",
    "RankColumns",
    "RankState",
    "judge",
]
