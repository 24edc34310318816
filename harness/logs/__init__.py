"""Log formats: lines of a foreign training's output -> what they say of its progress.

Each format is a module with a pure `read(line)`, registered in `formats.ADAPTERS`. A `Recognizer`
takes the bytes of one stream and finds out by itself which format they are in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from harness.logs import plain
from harness.logs.formats import ADAPTERS, Adapter, from_pattern
from harness.logs.lines import Lines
from harness.logs.parameters import trainable
from harness.logs.reading import Reading
from harness.logs.steps import Steps
from harness.logs.words import LastWords

__all__ = ["ADAPTERS", "Adapter", "Reading", "Recognition", "Recognizer", "from_pattern"]


class Recognition(msgspec.Struct, frozen=True, kw_only=True):
    """The format that was recognized in a stream."""

    format: str | None
    """The format of most of the readings; None without any."""
    matched: int
    """Lines that said something; a redraw is a line."""
    lines: int
    """All lines but empty ones."""


CERTAIN = 10
"""The number of readings, some with a loss, that decide the format."""
CERTAIN_WITHOUT_LOSS = 100
"""The number that decides it when no other format could say as much."""
LOST = 200
"""The number of lines in a row, unread by the chosen format, that open the choice again: what was
recognized may have been the preparation of the data only."""


class Recognizer:
    """Reads one stream, chunk by chunk, and finds out its format.

    As long as it is open which format it is, all read each line, and the one that has said most so
    far is believed: nothing waits for the decision. A line that only redraws what is known (a bar's
    clock ticks on while the training hangs) gives no reading.
    """

    def __init__(self, adapters: Sequence[Adapter] = ADAPTERS) -> None:
        self._adapters = adapters
        self._lines = Lines()
        self._readers = [adapter.begin() if adapter.begin else adapter.read for adapter in adapters]
        self._steps = [Steps() for _ in adapters]
        self._peeked = ""
        self._latest: list[Reading | None] = [None] * 16
        self._count = 0
        self._matched: Counter[int] = Counter()
        self._chosen: int | None = None  # indices of `adapters`, here and below
        self._told = False  # a format gave a loss with its step
        self._aside = False  # the chosen one reads bars: what is printed beside them is read too
        self._best = 0  # of the last line that said something
        self._missed = 0
        self.words = LastWords()
        """The other facts that the output gave beside its reports."""
        self.said_by: list[int] = []
        """The formats that gave the last readings."""
        self._open()

    def _open(self) -> None:
        """Forget what spoke for each format."""
        self._chosen, self._missed, self._aside = None, 0, False
        self._scores = [0] * len(self._adapters)
        self._reads = [0] * len(self._adapters)
        self._losses = [0] * len(self._adapters)

    def feed(self, chunk: bytes) -> list[Reading]:
        """The readings of the lines that `chunk` completes; of any size, cut anywhere."""
        lines = self._lines.feed(chunk)
        if lines and self._peeked:
            if lines[0] == self._peeked:
                del lines[0]
            self._peeked = ""
        return self._read_all(lines)

    def peek(self) -> list[Reading]:
        """The reading of the unfinished line as it stands: for a pause in the output.

        A bar's last redraw has no end of line, and before a hang it is the one that counts.
        """
        rest = self._lines.rest()
        if not rest or rest == self._peeked:
            return self._read_all([])
        self._peeked = rest
        return self._read_all([rest])

    def close(self) -> list[Reading]:
        """The reading of the unfinished line at the stream's end."""
        rest = self._lines.close()
        return self._read_all([rest] if rest and rest != self._peeked else [])

    @property
    def recognition(self) -> Recognition:
        best = self._matched.most_common(1)
        return Recognition(
            format=self._adapters[best[0][0]].name if best else None,
            matched=self._matched.total(),
            lines=self._count,
        )

    def _read_all(self, lines: list[str]) -> list[Reading]:
        self._count += len(lines)
        readings = []
        self.said_by = said_by = []
        words, readers, steps = self.words, self._readers, self._steps
        for line in lines:
            chosen = self._chosen
            if chosen is None:
                reading = self._compete(line)
            elif (reading := readers[chosen](line)) is None:
                reading = self._missed_by_chosen(line)
            else:
                self._missed, self._best = 0, chosen
                self._matched[chosen] += 1
                reading = steps[chosen].place(reading)
            if reading is None:
                words.unread(line)
                if "rainable" in line and (count := trainable(line)) is not None:
                    readings.append(Reading(trainable=count))
                    said_by.append(self._best)
                continue
            words.last = line
            if words.tail:
                words.read(reading.step)
            else:
                words.step = reading.step
            if self._is_new(reading):
                readings.append(reading)
                said_by.append(self._best)
        return readings

    def _missed_by_chosen(self, line: str) -> Reading | None:
        """The reading of a line in which the chosen format finds nothing."""
        self._missed += 1
        if self._missed >= LOST:
            self._open()
        return self._compete(line) if self._aside or "%|" in line else None

    def _compete(self, line: str) -> Reading | None:
        """The reading of the line by the most convincing of the formats that can read it."""
        best = None
        placed_best: Reading | None = None
        for index, read in enumerate(self._readers):
            if self._told and self._adapters[index].alone:
                continue
            reading = read(line)
            if reading is not None and reading.dates is not None:
                self._steps[index].place(reading)  # a heading, which alone is no report
                continue
            if reading is None or (
                reading.step is None and not self._reads[index] and _needs_others(reading)
            ):
                continue  # such as a validation without a training
            self._scores[index] += _figures(reading)
            self._reads[index] += 1
            self._losses[index] += reading.loss is not None
            self._told = self._told or (reading.loss is not None and reading.step is not None)
            # Each counts its steps, also those that another is believed about.
            placed = self._steps[index].place(reading)
            if best is None or self._scores[index] > self._scores[best]:
                best, placed_best = index, placed
        if best is None:
            return None
        self._matched[best] += 1
        self._best = best
        if self._chosen is None and self._is_certain(best):
            self._chosen, self._aside = best, placed_best is not None and placed_best.drawn
        return placed_best

    def _is_certain(self, index: int) -> bool:
        score, reads = self._scores[index], self._reads[index]
        if self._losses[index]:
            return reads >= CERTAIN and score == max(self._scores)
        # Bars of tqdm may be those of Hugging Face's Trainer, whose losses come much later.
        return reads >= CERTAIN_WITHOUT_LOSS and sorted(self._scores)[-2] < score

    def _is_new(self, reading: Reading) -> bool:
        """Check whether it says something else than the last one of its kind."""
        no_step, no_batch = reading.step is None, reading.batch is None
        if no_step and no_batch and (reading.loss is not None or reading.epoch is None):
            return True  # nothing counts: a line with the same figures may be a further step
        kind = no_step + 2 * no_batch + 4 * reading.validation + 8 * (reading.phase is None)
        last = self._latest[kind]
        # Steps are compared first: they alone tell most lines apart.
        if last is not None and last.step == reading.step and last == reading:
            return False
        self._latest[kind] = reading
        return True


def _needs_others(reading: Reading) -> bool:
    """True of a line that says something only amid a training: before it, it may be a setting."""
    return reading is plain.HEADER or (
        reading.loss is None
        and reading.epoch is None
        and reading.phase is None
        and reading.batch is None
    )


def _figures(reading: Reading) -> int:
    """The number of things that a reading says of the training's progress.

    Figures without a field do not count: each format takes those that it meets.
    """
    said = msgspec.structs.astuple(reading)
    twice = reading.peak_bytes is not None and reading.memory_bytes is not None
    beside = (reading.figures is not None) + (reading.clock is not None) + twice
    return len(said) - said.count(None) - beside
