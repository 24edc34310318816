"""The lines that people print themselves, and many trainers: names with figures.

step 12 loss=1.23                       epoch 1, iter 20: 0.123
Epoch [1/10], Step [100/600], Loss: 0.5        iter 100: loss 2.5, time 12.1ms, mfu 3.1%
step    1/74 | train loss 4.36 | lr 3.0e-04 | 5000 tok/s
iteration      100/     500 | learning rate: 1.5E-04 | lm loss: 6.5E+00 |
Epoch 00 [010] | Train loss 1.234              [ 12/100] loss 1.2        12: loss 1.5
loss: 2.302945  [   64/60000]                  step 12.500 | loss: 1.234,5
"""

from __future__ import annotations

import re
from typing import Any

from harness.logs.framed import Framed
from harness.logs.numbers import FIGURE_TEXT, NAN, NUMBER, count, number, plainly
from harness.logs.reading import FIGURE, MOST, PAIR, Read, Reading, meaning, settle
from harness.logs.tongues import in_english
from harness.logs.unnamed import unnamed_step
from harness.logs.validating import is_validation
from harness.text import late

HEADER = Reading(phase="validate", validation=True)
"""`Test Error:` alone on a line: the loss that comes next is a validation's (see `Steps.place`)."""
LONGEST = 4096
"""Characters of a line that are looked at: the work for a line stays small, whatever it holds."""

_KNOWN: dict[str, tuple[str, str, Any]] = {}
_PRECISE = frozenset({"loss", "validation", "rate"})
_MMENGINE = late.compile(
    r"Epoch\((train|val|test)\) {1,3}(?:\[(\d{1,9})\])?\[ {0,8}(\d{1,15})/ {0,8}(\d{1,15})\]",
    re.ASCII,
)
_ONLY_FIGURE = late.compile(rf"\d[\])]{{0,2}} {{0,4}}[:,|-] {{1,8}}({NUMBER}) {{0,8}}$", re.ASCII)
_PLACE = late.compile(r"\| {1,4}[\w.<>]{1,80}:[\w.<>]{1,80}:\d{1,6} - ")
"""`| __main__:train:123 - step 10 | loss 2.34`."""
_TIMES = late.compile(r"\| Tot: [\dDhms]{1,20} \|(.{1,200}?) (\d{1,9}/\d{1,9})\s{0,8}$", re.ASCII)
"""`Step: 123ms | Tot: 2s345ms | Loss: 2.301 | Acc: 10.000% (13/128) 1/391`: `Step` is a time."""
_GROUPED = late.compile(r"[=:\[(\t ]{1,12}(\d{1,3}(?:[. ]\d{3}){0,4})(?![\d,])", re.ASCII)
_BROKEN = late.compile(r"[=:\[(\t ]{1,12}\d{1,15}\.[A-Za-z]", re.ASCII)
_OF = late.compile(r" {0,8}/ {0,8}(\d{1,3}(?:[. ]\d{3}){0,4})(?![\d,])", re.ASCII)
_TOTAL = late.compile(
    r"\b(?:step|iter|iteration|batch|update)[ :#]{1,3}(\d{1,12}) (?:out )?of (\d{1,12})"
    r"(?![\d.]|,\d)",
    re.IGNORECASE,
)
_MARKS = late.compile(r"['’\u00a0\u202f](?<=\d.)(?=\d{3}(?!\d))")
_HEADER = late.compile(
    r"\s{0,8}(?:Test|Val|Valid|Validation|Eval|Evaluation) (?:Error|Loss):\s{0,8}"
)
_TOKENS = late.compile(r"tok(?:en)?s?/s(?:ec)?(?![a-z])", re.ASCII)
_SHORT = 120
"""Characters that a line of a block has at most."""
_BLOCK = late.compile(
    r"[\s•*|-]{0,40}(?=[A-Za-z])"
    r"(?P<name>(?:total |group |mean |avg\.? |average )?rewards?|kl(?: divergence| penalty)?"
    r"|learning rate|grad(?:ient)?[ _]norm|perplexity|ppl|acc(?:uracy)?|speed|(?:peak )?memory"
    r"|clipping|margins?|entropy|mse|bleu|f1"
    r"|(?:(?:train|optim|throughput|device)/){1,3}"
    r"(?:(?:total_)?grad_norm|learning_rate|tokens_per_second))"
    r"\s{0,4}[:=]\s{0,8}(?P<rest>\S)",
    re.IGNORECASE,
)
_MEAN = late.compile(rf"[μu]\s?=\s?({NUMBER})(?:,?\s{{1,4}}[σs]\s?=\s?({NUMBER}))?")
_DICT = late.compile(r"\bloss(?:es)?\s{0,2}[:=]?\s{0,2}\{([^{}]{1,600})\}")
_KEY = late.compile(r"[\s'\",]{0,4}\b([A-Za-z_][\w/.-]{0,40})['\"]?\s{0,2}[:=]\s{0,2}", re.ASCII)
_ALL = frozenset({"loss", "total", "all", "sum", "total_loss"})
_TRAIN = late.compile(r"(?:^|[\d\]])[\s|,;:()\[-]{0,8}train", re.IGNORECASE | re.ASCII)
"""`step 10 | train 2.31`, where nothing says of what: `acc: train 0.9` is no loss."""
_SCALED = late.compile(
    r"[=:\[(\t ]{1,12}(\d{1,6}(?:\.\d{1,3})?)([kKM])(?![A-Za-z])"
    r"(?:/(\d{1,6}(?:\.\d{1,3})?)([kKM])(?![A-Za-z]))?",
    re.ASCII,
)
_UNDERSCORED = late.compile(r"[=:\[(\t ]{1,12}(\d{1,3}(?:_\d{3}){1,4})(?!\w)", re.ASCII)
_POWERS = {"k": 10**3, "K": 10**3, "M": 10**6}
_NULL = late.compile(r"(?<![\w/.-])(?:train(?:ing)?[ _/])?loss[\s:=]{1,8}null\b", re.IGNORECASE)
_CROSS = late.compile(r"cross[ -]entropy loss", re.IGNORECASE)
"""The loss of most trainings, where `entropy loss` is a part of that of a policy."""
_DATES = late.compile(
    r"\((?:iteration|iter|step|global step)s? {0,2}:? {0,2}(\d{1,15})(?: {0,2}/ {0,2}\d{1,15})?\)"
    r"[\s=:*#─═-]{0,200}$",
    re.IGNORECASE | re.ASCII,
)


def read(line: str) -> Reading | None:
    """What a line says of the training; None where it is no report, or is a bar drawn again."""
    ascii_only = line.isascii()
    bar = -1
    # One character is found so much faster than two that it is looked for first.
    if "|" in line and (bar := line.rfind("%|", 0, LONGEST)) >= 0:
        # The figures behind a bar are set once and drawn again and again. What is printed may
        # stand after it on the same line.
        behind = line[bar:LONGEST].partition("]")[2]
        if not behind.strip():
            return None
    # Most lines have these in lower case: then nothing is copied.
    if not ascii_only or "loss" not in line:
        line = in_english(line)
        if not ("loss" in line or "step" in line or _is_of_training(line.lower())):
            if len(line) > _SHORT or bar >= 0 or not (":" in line or "=" in line):
                return None
            return HEADER if len(line) < 40 and _HEADER.fullmatch(line) else _of_block(line)
    if bar >= 0:
        return read(behind)
    line = _without_wrapping(line, ascii_only)
    given: dict[str, Any] = {}
    figures: dict[str, float] = {}
    counted, exact, precise = _take_pairs(line, given, figures)
    if "entropy_loss" in figures and "loss" not in given and (match := _CROSS.search(line)):
        exact, given["loss"] = match[0], figures.pop("entropy_loss")
    if precise.isdigit() and (broken := _BROKEN.match(line, line.find(exact) + len(exact))):
        # `loss=2.step 2 ...`: the figure's end is lost, and another line begins.
        return read(line[: broken.start()])
    _complete(line, counted, precise, given, figures)
    return _as_reading(line, counted, exact, given, figures)


def _without_wrapping(line: str, ascii_only: bool) -> str:
    """The part of the line that is looked at, its figures and names written as `PAIR` has them."""
    if len(line) > LONGEST:
        line = line[:LONGEST]
    if "(" in line or "#" in line:
        line = plainly(line)
    if "|" in line and " | " in line:
        line = _without_places(line)
    if not ascii_only or "'" in line or "{" in line:
        line = _MARKS.sub("", line)  # 12'500
        if "{" in line and line[0] != "{":
            line = _DICT.sub(_parts, line).replace("'", "")
    return line


def _take_pairs(
    line: str, given: dict[str, Any], figures: dict[str, float]
) -> tuple[str, str, str]:
    """Take the first figure of each name into `given` and `figures`.

    Returns the name of what was counted, and the name and the text of the first figure that has
    decimals; each is empty where there is none.
    """
    counted = exact = precise = ""
    known = _KNOWN
    for name, figure, total, unit in PAIR.findall(line):
        kind, fills, parse = known.get(name) or _learn(name) if not unit else meaning(name, unit)
        if kind == FIGURE:
            if fills in figures:
                continue
            own: float | None
            try:  # faster than `number`: this is asked of each figure of each line
                own = float(figure)
            except ValueError:
                own = number(figure)
            if total and own and (whole := count(total)):
                own /= whole  # `Accuracy: 9825/10000`
            if own is not None:
                figures[fills] = own if own == own else NAN
        elif kind == "step":
            if not counted:
                counted = name
                if total:
                    given["total"] = count(total)
            if fills not in given:
                if 3 < len(figure) < 16 and figure.isdecimal():  # as nearly always
                    given[fills] = int(figure)
                elif (value := parse(figure)) is not None:
                    given[fills] = value
                    _scaled(line, name, figure, given)
        elif kind in _PRECISE:
            if not exact:
                exact, precise = name, figure
            if fills not in given:
                try:
                    value = float(figure)
                except ValueError:
                    value = parse(figure)
                if value is not None:
                    given[fills] = value if value == value else NAN
        elif kind and fills not in given and (value := parse(figure)) is not None:
            if kind == "tokens" and isinstance(value, float) and value < 1000:
                value *= _scale(line, name, figure)
            given[fills] = value
    return counted, exact, precise


def _complete(
    line: str, counted: str, precise: str, given: dict[str, Any], figures: dict[str, float]
) -> None:
    """Add what the line says otherwise than by a name with its figure."""
    if counted and "," in precise:
        _grouped(line, counted, given)
    if len(line) <= _SHORT and " of " in line and "total" not in given:
        _in_words(line, given)
    if "step" not in given:
        unnamed_step(line, given, figures)
    if "loss" not in given and "null" in line and _NULL.search(line):
        figures["loss"] = NAN
    if "step" in given and "loss" not in given and "validation" not in given:
        only = _ONLY_FIGURE.search(line)
        if only and not only[1].isdigit():
            given["loss"] = number(only[1])
    if "tokens_per_s" not in given and "tok" in (lower := line.lower()):
        _speed(line, lower, given)
    if "val" in figures or ("total" in figures and "loss" not in given):
        _of_both(line, given, figures)
    if figures:
        given["figures"] = figures if len(figures) <= MOST else dict([*figures.items()][:MOST])
    if "validation" in given or "phase" in given:
        settle(given)
    if "Epoch(" in line:
        _mmengine(line, given)


def _as_reading(
    line: str, counted: str, exact: str, given: dict[str, Any], figures: dict[str, float]
) -> Reading | None:
    """The reading, if what was found is a report of a training."""
    if "loss" in given:
        # What begins so may be in capitals; all else has these letters.
        told = (("v" in line or "V" in line) and "al" in line) or "est" in line
        if (told or line[0] in " [vetVET") and is_validation(line, exact):
            given["validation"] = True
        return Reading(**given)
    if _says_enough(line, given, counted):
        return Reading(**given)
    if figures and len(line) <= _SHORT and all(name.endswith("loss") for name in figures):
        return Reading(figures=figures)  # some of several losses, in a report of more lines
    return _heading(line) if ")" in line else None


def begin() -> Read:
    """Make the `read` of one stream, in which a report may have a frame."""
    return Framed(read).reader()


def _parts(match: re.Match[str]) -> str:
    """`losses: {'ce': 2.3, 'kl': 0.1}` as `loss_ce: 2.3, loss_kl: 0.1`."""
    return _KEY.sub(lambda key: " loss: " if key[1] in _ALL else f" loss_{key[1]}: ", match[1])


def _of_both(line: str, given: dict[str, Any], figures: dict[str, float]) -> None:
    """`train 2.31 val 2.40`, `loss train: 2.31, val: 2.40`, and the total of several losses."""
    if "loss" in given:
        if "loss train" in line:
            figures["val_loss"] = figures.pop("val")
    elif "train" in figures and "val" in figures:
        if "test" in figures or not _TRAIN.search(line):
            return  # `Train: 0.9, Val: 0.8, Test: 0.7` are accuracies: a loss has no test
        given["loss"], figures["val_loss"] = figures.pop("train"), figures.pop("val")
    elif "total" in figures and any(name.startswith("loss_") for name in figures):
        given["loss"] = figures.pop("total")


def _without_places(line: str) -> str:
    """The line without the place that loguru gives, and with the batch of a bar of times first."""
    if ":" in line and " - " in line:
        line = _PLACE.sub("| ", line)
    if "| Tot:" in line and (bar := _TIMES.search(line)):
        return f"step {bar[2]} {bar[1]}"
    return line


def _is_of_training(lower: str) -> bool:
    if "loss" in lower or "step" in lower or "iter" in lower or "epoch" in lower:
        return True
    return "episode" in lower and ("reward" in lower or "return" in lower or "score" in lower)


def _learn(name: str) -> tuple[str, str, Any]:
    """The meaning of a name without a unit, as `meaning` has it, found faster from then on."""
    if len(_KNOWN) >= 4096:
        _KNOWN.clear()
    what = _KNOWN[name] = meaning(name)
    return what


def _of_block(line: str) -> Reading | None:
    """A line of a report of several, which names no step: `KL Divergence: 0.0123`.

    Anything may be printed so; only the names of a training's figures are taken.
    """
    match = _BLOCK.match(line)
    if match is None:
        return None
    given: dict[str, Any] = {}
    figures: dict[str, float] = {}
    at = match.start("rest")
    mean = _MEAN.match(line, at)
    if mean:  # `Total Rewards:  μ=0.512, σ=0.110`
        _, own, parse = meaning(match["name"])
        if own and (value := parse(mean[1])) is not None:
            figures[own] = value  # type: ignore[assignment]
            if mean[2]:
                figures[f"{own}_std"] = number(mean[2]) or 0.0
    else:
        for name, figure, _, unit in PAIR.findall(line, match.start("name")):
            kind, fills, parse = meaning(name, unit) if unit else meaning(name)
            if kind == FIGURE:
                figures[fills] = number(figure) or 0.0
            elif kind and kind != "step" and (value := parse(figure)) is not None:
                given[fills] = value
    lower = line.lower()
    if "tok" in lower:
        _speed(line, lower, given)
    if figures:
        given["figures"] = figures
    return Reading(**given) if given else None


def _heading(line: str) -> Reading | None:
    """`--- Training report (iteration 25) ---`: the step of the lines that come next."""
    match = _DATES.search(line)
    if match is None or any(map(str.isdigit, line[: match.start()])):
        return None  # `Best loss: 0.3 (step 20)` is about that one
    return Reading(dates=int(match[1]))


def _grouped(line: str, name: str, given: dict[str, Any]) -> None:
    """`step 12.500 loss 1,5`, `step 12 500 loss 1,5`: with decimal commas these are thousands."""
    match = _GROUPED.match(line, line.find(name) + len(name))
    if match:
        given["step"] = int(match[1].replace(".", "").replace(" ", ""))
        rest = _OF.match(line, match.end())
        if rest:
            given["total"] = int(rest[1].replace(".", "").replace(" ", ""))


def _scaled(line: str, name: str, figure: str, given: dict[str, Any]) -> None:
    """`step 1.2k/10k`, `step 12_500`."""
    at = line.find(name) + len(name)
    if match := _UNDERSCORED.match(line, at):
        given["step"] = int(match[1].replace("_", ""))
    elif (match := _SCALED.match(line, at)) and match[1] == figure:
        given["step"] = round(float(figure) * _POWERS[match[2]])
        if match[3]:
            given["total"] = round(float(match[3]) * _POWERS[match[4]])


def _scale(line: str, name: str, figure: str) -> int:
    """1000 of `tok/s: 12.3k`."""
    match = _SCALED.match(line, line.find(name) + len(name))
    return _POWERS[match[2]] if match and match[1] == figure else 1


def _in_words(line: str, given: dict[str, Any]) -> None:
    """`Step 10 of 100`. In `step 250, batch 10 of 100` it is the total of another count."""
    match = _TOTAL.search(line)
    if match and int(match[1]) == given.get("step"):
        given["total"] = int(match[2])


def _speed(line: str, lower: str, given: dict[str, Any]) -> None:
    """`5000 tok/s`, `12.3k tok/s`."""
    unit = _TOKENS.search(lower)
    before = line[max(0, unit.start() - 30) : unit.start()].split() if unit else []
    if not before:
        return
    figure, scale = before[-1], 1
    if figure[-1] in _POWERS:
        figure, scale = figure[:-1], _POWERS[figure[-1]]
    value = number(figure, comma_is_decimal=False) if FIGURE_TEXT.fullmatch(figure) else None
    if value is not None:
        given["tokens_per_s"] = value * scale


def _mmengine(line: str, given: dict[str, Any]) -> None:
    """`Epoch(train) [1][50/391]  lr: 1.0000e-01 ... loss: 2.3`."""
    match = _MMENGINE.search(line)
    if match:
        kind, epoch, done, total = match.groups()
        given["total"] = count(total)
        if epoch:
            given["epoch"] = float(epoch)
        if kind == "train":
            given["step"] = count(done)
        else:
            given.update(batch=count(done), phase="validate", validation=True)


def _says_enough(line: str, given: dict[str, Any], counted: str) -> bool:
    """Check whether a line without a loss is a report. A step alone must not stand amid prose."""
    if "step" not in given and "epoch" not in given:
        return False
    if counted.lower().endswith("batch") and not ("total" in given and "epoch" in given):
        return False  # `batch=32` may be a size
    if len(given) > 1 + ("total" in given):
        return True
    if "step" not in given:
        return line.lstrip(" \t=*#>─━═-").lower().startswith("epoch")
    before = counted.rpartition(" ")[0]
    return not before.islower() and f"({counted}" not in line
