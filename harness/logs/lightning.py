"""Lightning's bars, tqdm's and rich's, which both end in `v_num`.

Epoch 0:  50%|█████     | 5/10 [00:01<00:01,  4.90it/s, v_num=0, train_loss=0.512]
Validation DataLoader 0:  50%|█████     | 1/2 [00:00<00:00, 99.0it/s]
Epoch 0/9  ━━━━━━╸━━━━━━ 5/10 0:00:01 • 0:00:01 4.90it/s v_num: 0.000 train_loss: 0.512
"""

from __future__ import annotations

import re

from harness.logs import tqdm
from harness.logs.numbers import count
from harness.logs.reading import PAIR, Reading, from_pairs
from harness.text import late

_RICH = late.compile(
    r"\s{0,20}(?:Epoch (\d{1,9})/\S{1,20}|(Validation|Sanity Checking|Testing|Predicting))"
    r"\s{1,20}[━╸╺ ]{1,400}(\d{1,15})/(\d{1,15}) \d+:\d\d:\d\d • \S{1,20}",
    re.ASCII,
)


def read(line: str) -> Reading | None:
    if " • " in line:
        return _rich(line)
    if "v_num=" in line or "DataLoader " in line:
        return tqdm.read_bar(line)
    return None


def _rich(line: str) -> Reading | None:
    match = _RICH.match(line)
    if match is None:
        return None
    epoch, other, done, total = match.groups()
    if other:
        return Reading(batch=count(done), total=count(total), phase="validate", validation=True)
    given = from_pairs((name, value) for name, value, *_ in PAIR.findall(line, match.end()))
    given.update(step=count(done), total=count(total), epoch=float(epoch))
    return Reading(**given)
