"""Lines of a validation, where the loss is called nothing but that.

Test set: Average loss: 0.05              [val] step 10 loss 2.4
====> Test set loss: 127.3                Epoch 1 | Validation | Loss: 2.3
"""

from __future__ import annotations

import re

from harness.text import late

_BEGINS = late.compile(
    r"[ \[]{0,6}(?:val|valid|validation|validating|eval|evaluation|evaluating|test|testing)"
    r"(?![\w/.-])",
    re.IGNORECASE | re.ASCII,
)
_MARK = late.compile(
    r"(?<![\w/.-])(?:(?:val|valid|validation|validating|eval|evaluation|evaluating)"
    r"(?=[\])|,]|:(?!\s{0,4}[-+]?[\d.])|\s{1,3}(?:[|–-]|set\b|epoch\b|step\b|batch\b|iter)|\s{0,3}$)"
    r"|test(?:[ -]set\b|(?:ing)?[\])|:,]{0,2}\s{0,3}(?:average\s|avg\.?\s|mean\s)?$))"
    r"|\b(?:phase|split|mode|subset|stage)['\"]?\s?[=:]\s?['\"]?(?:val|valid|validation|eval|test)\b",
    re.IGNORECASE,
)
_BEFORE = 200
"""Characters before the loss that are looked at."""


def is_validation(line: str, name: str) -> bool:
    """Return True if the loss that `line` gives under `name` is a validation's.

    A name that says of what it is, such as `train_loss`, is asked elsewhere.
    """
    if _BEGINS.match(line):
        return True
    before = line[:_BEFORE].partition(name)[0] if name.lower().endswith("loss") else ""
    return "rain" not in before and _MARK.search(before) is not None
