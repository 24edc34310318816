"""Reports in a frame, a figure a line, as Stable Baselines and boxes of rich have them.

----------------------------------      ╭───── train ─────╮      +-----------+-------+
| train/             |          |      │ step        100 │      | iteration | 5     |
|    loss            | 6.12     |      │ loss       2.31 │      +-----------+-------+
| total_timesteps    | 4096     |      ╰─────────────────╯      | loss      | 0.512 |
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec.structs import asdict, replace

from harness.logs.numbers import NUMBER
from harness.logs.reading import PAIR, VALIDATIONS, Reading, field, from_pairs
from harness.text import late

_EDGES = frozenset("|│┃║")
_BEGINS = frozenset("|│┃║+-=*#─━═╭┌┏╔╰└┗╚├┣╠w")
_SUMMARY = "wandb: "
"""Begins lines that repeat at the end what was logged before."""
_LAST = frozenset("╰└┗╚")
_RULE = late.compile(
    r"[-+=*#|─━═┄╌│┃║╭┌┏╔╰└┗╚├┣╠╞┡┼┿╪╬╋┴┬┤┫╣┘┐╯╮┛┓╝╗╡┩]{3,400}"
    r"|[╭┌┏╔├+][-─━═┄]{1,400} (?P<title>[^│┃║|]{1,80}) [-─━═┄]{1,400}[╮┐┓╗┤+]"
)
_ROW = late.compile(
    r"[|│┃║]\s{0,40}(?P<name>[A-Za-z][\w/.@%()-]{0,40}(?: [A-Za-z(][\w/.@%()-]{0,30}){0,4})"
    r"(?:\s{0,80}[|│┃║:=]\s{0,40}|\s{1,80})"
    rf"(?:(?P<value>{NUMBER}|null)(?: ?/ ?\d[\d,]{{0,20}})?(?: ?%| ?(?P<unit>[KMGT]i?B))?|)"
    r"\s{0,80}[|│┃║]",
    re.ASCII,
)
_COUNTS = frozenset(("total_timesteps", "timesteps", "env_steps", "num_timesteps"))
"""Names that count where figures are reported, and are a setting anywhere else."""
_RESULTS = late.compile(
    r"loss|rew|return|acc(?!um|el)|kl|norm|perplexity|ppl|score|entropy|error|mse"
)
"""Parts of the names of what is measured: a frame of settings has none."""
_SETTINGS = late.compile(
    r"(?:^|/)(?:max|target|desired)[_ ](?:grad|kl|norm)|layer_?norm"
    r"|(?:coef|coeff|coefficient|scale|weight|eps|epsilon|fn|type|layers?)$"
)
"""Those of settings that are called after what is measured: `max_grad_norm`, `target_kl`."""
_MOST = 64
_LONGEST = 400


class Framed:
    """Reads one stream by `read`, but for the frames, each of which is read as one report."""

    def __init__(self, read: Callable[[str], Reading | None]) -> None:
        self._read = read
        self._open = False
        self._group = ""
        self._pairs: dict[str, str | None] = {}

    def reader(self) -> Callable[[str], Reading | None]:
        """Make the function that gives the reading of a line, or of the frame that it closes."""
        plain, framed, begins = self._read, self._framed, _BEGINS

        def read(line: str) -> Reading | None:
            return framed(line) if line[0] in begins or self._open else plain(line)

        return read

    def _framed(self, line: str) -> Reading | None:
        stripped = line.strip()
        if len(line) <= _LONGEST and (rule := _RULE.fullmatch(stripped)):
            self._open, self._group = True, ""
            report = self._report(closes=stripped[0] in _LAST)
            for name, figure, *_ in PAIR.findall(rule["title"] or ""):
                self._pairs.setdefault(name, figure)
            return report
        if not self._open:
            return None if line.startswith(_SUMMARY) else self._read(line)
        if stripped[0] not in _EDGES or len(line) > _LONGEST:
            self._open = False
            return _both(self._report(closes=True), self._read(line))
        match = _ROW.fullmatch(stripped)
        return self._read(line) if match is None else self._row(match)

    def _row(self, match: re.Match[str]) -> Reading | None:
        name, value, unit = match.group("name", "value", "unit")
        if value is None:
            self._group = name.lower() if name.endswith("/") else ""
            return None
        if self._group.rstrip("/") in VALIDATIONS and "/" not in name:
            name = self._group + name
        if unit and field(name)[0] in ("memory", "peak"):
            name = f"{name}_{unit}"
        before = self._report(closes=True) if name in self._pairs else None
        if len(self._pairs) < _MOST:
            self._pairs[name] = None if value == "null" else value
        return before

    def _report(self, closes: bool) -> Reading | None:
        """The report so far. One that lacks its step or what was measured waits for more rows,
        unless the frame closes here."""
        if not self._pairs:
            return None
        given = from_pairs(self._pairs.items())
        counts = [name for name in self._pairs if name.lower() in _COUNTS]
        if "step" not in given and counts:
            given |= from_pairs([("step", self._pairs[counts[0]])])
            given.get("figures", {}).pop(counts[0].lower(), None)
        measured = "loss" in given or any(map(_is_measured, map(str.lower, self._pairs)))
        if closes or (measured and ("step" in given or "epoch" in given)):
            self._pairs = {}
            return Reading(**given) if measured else None
        return None


def _both(report: Reading | None, line: Reading | None) -> Reading | None:
    """The report of a frame and the line behind it, which may tell its step."""
    if report is None or line is None:
        return report or line
    if line.step is None or report.step is not None:
        return report
    added = {name: one for name, one in asdict(report).items() if getattr(line, name) is None}
    if line.validation != report.validation:
        added.pop("loss", None)  # it is another one
    added["figures"] = {**(report.figures or {}), **(line.figures or {})} or None
    return replace(line, **added)


def _is_measured(name: str) -> bool:
    return _RESULTS.search(name) is not None and _SETTINGS.search(name) is None
