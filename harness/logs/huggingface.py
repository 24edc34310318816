"""transformers' Trainer: a dict a report, and between them a bar that has the step.

    {'loss': 2.31, 'grad_norm': 1.2, 'learning_rate': 4.5e-05, 'epoch': 0.1}
    {'eval_loss': 2.1, 'eval_runtime': 0.5, 'epoch': 1.0}
     10%|█         | 10/100 [00:12<01:48,  1.20s/it]

From version 5 the values are texts: `{'loss': '2.31', ...}`.
"""

from __future__ import annotations

import re

from harness.logs import tqdm
from harness.logs.blocks import Blocks
from harness.logs.numbers import NUMBER, plainly
from harness.logs.reading import Read, Reading, from_pairs
from harness.text import late

_ITEM = late.compile(rf"'([A-Za-z_][\w/. ()-]{{0,60}})': '?({NUMBER})", re.ASCII)


def read(line: str) -> Reading | None:
    start = line.find("{'")
    if start < 0:
        bar = tqdm.read(line) if "%|" in line else None
        # Trainer's own bars have no figures.
        return bar if bar is None or bar.loss is None else None
    given = from_pairs(_ITEM.findall(plainly(line[start:])))
    if "'train_runtime'" in line:
        # The summary at the end: its loss is the mean over the whole training.
        given.pop("loss", None)
        given.pop("figures", None)
        return Reading(**given, phase="end")
    if "loss" not in given and not ("figures" in given and ("epoch" in given or "step" in given)):
        return None
    bar = tqdm.read(line[:start]) if "%|" in line else None
    if bar is not None and bar.step is not None:
        given.setdefault("step", bar.step)
    return Reading(**given)


def begin() -> Read:
    """Make the `read` of one stream, in which a dict may have several lines."""
    return Blocks(read).read
