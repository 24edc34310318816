"""mlx-lm's `lora`: sentences up to 0.31, a table and bars drawn by rich from 0.32.

Iter 10: Train loss 0.986, Learning Rate 1.000e-05, It/sec 0.522, Tokens/sec 201.1, ...
Iter 1: Val loss 2.866, Val took 11.9s
Iter 100: Saved adapter weights to adapters/adapters.safetensors and ...

  iter   train_loss     tok/s     tokens
    10    2.345 ▼    1,234     12.3k
     1    val 2.866    1.23s
  save  0000100_adapters.safetensors
train ████░░░░  33% ·    10/30
"""

from __future__ import annotations

import re

from harness.logs import tqdm
from harness.logs.numbers import NUMBER, count, number, size
from harness.logs.reading import PAIR, Reading, from_pairs
from harness.text import late

_SENTENCE = late.compile(
    rf"Iter (\d{{1,15}}): (Train|Val) loss ({NUMBER})"
    rf"(?:, Learning Rate ({NUMBER}))?(?:, It/sec ({NUMBER}))?(?:, Tokens/sec ({NUMBER}))?"
    rf"(?:, Trained Tokens ({NUMBER}))?(?:, Peak mem ({NUMBER}) GB)?",
    re.ASCII,
)
_PEAK = late.compile(rf", Peak mem ({NUMBER}) GB", re.ASCII)
_SAVED = late.compile(r"Iter (\d{1,15}): Saved ", re.ASCII)
_ROW = late.compile(
    rf"\s{{0,20}}(\d{{1,15}})\s{{1,20}}({NUMBER}) [▼▲]\s{{1,20}}({NUMBER})\s{{1,20}}{NUMBER}k",
    re.ASCII,
)
_VALIDATED = late.compile(
    rf"\s{{0,20}}(\d{{1,15}})\s{{1,20}}val\s{{1,20}}({NUMBER})\s+\d", re.ASCII
)
_SAVE = late.compile(r"\s{0,20}save\s{1,20}(\d{1,15})_adapters", re.ASCII)
_BAR = late.compile(
    r"\s{0,20}(train|val)\s{1,10}[█▏▎▍▌▋▊▉░]{1,200}\s{1,10}\d{1,3}% ·"
    r"\s{1,10}([\d,]{1,15})/([\d,]{1,15})",
    re.ASCII,
)


def read(line: str) -> Reading | None:
    if "Iter " in line:
        return _sentence(line)
    if "▼" in line or "▲" in line:
        row = _ROW.match(line)
        return row and Reading(
            step=count(row[1]), loss=number(row[2]), tokens_per_s=number(row[3], False)
        )
    if "% · " in line:
        return _bar(line)
    if " val " in line:
        row = _VALIDATED.match(line)
        return row and Reading(step=count(row[1]), loss=number(row[2]), validation=True)
    if "_adapters" in line:
        row = _SAVE.match(line)
        return row and Reading(step=count(row[1]), phase="checkpoint")
    # Up to 0.31 a validation has a bar of tqdm.
    return tqdm.read(line) if line.lstrip().startswith("Calculating loss...") else None


def _sentence(line: str) -> Reading | None:
    # Searched, not matched: an unfinished bar may stand before it.
    match = _SENTENCE.search(line)
    if match:
        step, kind, loss, rate, speed, tokens, trained, peak = match.groups()
        figures: dict[str, float] = {}
        if speed and (value := number(speed)) is not None:
            figures["it_sec"] = value
        if trained and (value := number(trained, False)) is not None:
            figures["trained_tokens"] = value
        end = match.end()
        # Trainers that grew out of it put figures of their own between these.
        rest = from_pairs(p[:2] for p in PAIR.findall(line, end)) if len(line) > end + 2 else {}
        figures |= rest.get("figures", {})
        return Reading(
            step=count(step),
            loss=number(loss),
            learning_rate=number(rate) if rate else rest.get("learning_rate"),
            tokens_per_s=number(tokens) if tokens else rest.get("tokens_per_s"),
            peak_bytes=size(peak, 10**9) if peak else _peak(line, end),
            validation=kind == "Val",
            figures=figures or None,
        )
    saved = _SAVED.search(line)
    return saved and Reading(step=count(saved[1]), phase="checkpoint")


def _peak(line: str, at: int) -> int | None:
    match = _PEAK.search(line, at)
    return match and size(match[1], 10**9)


def _bar(line: str) -> Reading | None:
    match = _BAR.match(line)
    if match is None:
        return None
    if match[1] == "train":
        return Reading(step=count(match[2]), total=count(match[3]))
    return Reading(batch=count(match[2]), total=count(match[3]), phase="validate", validation=True)
