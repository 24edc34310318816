"""Steps that restart with each epoch, counted through."""

from __future__ import annotations

from msgspec.structs import replace

from harness.logs.reading import Reading


class Steps:
    """Places one log's readings on one count of steps.

    A step begins a new epoch when it is not above the last one and the epoch has changed since,
    or, in logs without epochs, when it is not above the epoch's first step or when the last one was
    its epoch's last (`100/100`). The length of the epoch that ended is the total that its lines
    give, and else follows from the last step and the stride of the reports. Any other step that
    goes back (another rank's line that came late) stays as it is.
    """

    def __init__(self) -> None:
        self._offset = 0
        self._before = 0  # the offset of the epoch before
        self._epoch: int | None = None
        self._first_epoch = 0
        self._turned = False  # the epoch has changed since the last step
        self._ahead = False  # the steps have restarted, and the epoch has not changed yet
        self._fractions = False
        self._by_epochs = False  # the epochs are the steps
        self._first: int | None = None
        self._last = 0
        self._stride = 0
        self._total = 0
        self._validates = False  # the last line said that what comes next is a validation's
        self._dates: int | None = None  # the step of the next line, by the heading before it
        self._shown: tuple[object, object] | None = None  # the figures behind the bar
        self._shown_at: int | None = None  # and the count at which they were set

    def place(self, reading: Reading) -> Reading | None:
        """The reading with its step counted through; a loss without a step gets the last one.

        A bar of fewer than the training's steps is one within it: it counts batches. None for a
        bar that is drawn again as it stood before the last step.
        """
        if (
            reading.step is not None
            and reading.step > self._last
            and self._stride
            and reading.epoch is None
            and reading.total is None
            and not reading.drawn
            and not reading.validation
        ):
            # Nearly every line of most logs: the same as below, in a third of the time.
            self._last, self._turned, self._dates, self._validates = (
                reading.step,
                False,
                None,
                False,
            )
            offset = self._offset
            return replace(reading, step=offset + reading.step) if offset else reading
        if reading.dates is not None:
            self._dates = reading.dates
            return None
        if reading.drawn and (reading.loss is not None or reading.figures is not None):
            reading = self._set_anew(reading)
        step = reading.step
        if step is None:
            reading = self._dated(reading)
            step = reading.step
        else:
            self._dates = None
        if self._validates and step is None and reading.loss is not None:
            reading = replace(reading, validation=True)
        self._validates = reading.validation and reading.batch is None and reading.loss is None
        if step is None and reading.loss is not None:
            # Its epoch is where the training is, in fractions or whole, and begins nothing.
            return reading if self._first is None else replace(reading, step=self._now())
        late = reading.epoch is not None and self._turn(reading.epoch, step)
        if step is None:
            return reading
        if late:
            return replace(reading, step=self._before + step)
        total = reading.total or 0
        if total and total < self._total and not self._turned:
            return replace(reading, step=None, batch=step)
        drawn = total > 0 and reading.loss is None and reading.phase is None
        if not reading.validation and not self._count(step, total, drawn) and drawn:
            return None
        return replace(reading, step=self._offset + step) if self._offset else reading

    def _set_anew(self, reading: Reading) -> Reading:
        """The reading without figures that only were drawn again: a bar shows the last ones."""
        shown = (reading.loss, reading.figures)
        if shown == self._shown and reading.step != self._shown_at:
            return replace(reading, loss=None, figures=None, learning_rate=None)
        self._shown, self._shown_at = shown, reading.step
        return reading

    def _dated(self, reading: Reading) -> Reading:
        """The reading with the step that it has by the heading before it, or by its epoch."""
        says = reading.loss is not None or reading.figures is not None
        if self._dates is not None and says and not reading.validation:
            dated, self._dates = replace(reading, step=self._dates), None
            return dated
        epoch = reading.epoch
        if epoch is None or not says or reading.validation or reading.batch is not None:
            return reading
        whole = int(epoch)
        if whole != epoch and self._by_epochs:
            # The first report was at a whole one by chance.
            self._by_epochs, self._first, self._last = False, None, 0
        self._fractions = self._fractions or whole != epoch
        if self._first is None and whole == epoch and not self._fractions:
            # Nothing else counts. Without an epoch of its own it restarts with none.
            self._by_epochs = True
        if self._by_epochs and whole == epoch:
            return replace(reading, step=whole, epoch=None)
        return reading

    def _now(self) -> int:
        return self._offset + self._last

    def _turn(self, exact: float, step: int | None) -> bool:
        """Note the epoch; True when it is one that has been left."""
        epoch = int(exact)
        self._fractions = self._fractions or epoch != exact
        if self._fractions:  # steps of such logs go on through all epochs
            return False
        if self._epoch is None:
            self._first_epoch = epoch
        elif epoch < self._epoch:
            if not self._is_anew(epoch, step):
                return True
            self._epoch, self._turned, self._ahead = epoch, True, False
        if self._epoch is not None and epoch > self._epoch:
            self._turned, self._ahead = not self._ahead, False
        self._epoch = epoch
        return False

    def _is_anew(self, epoch: int, step: int | None) -> bool:
        """True if it begins another training, and is no late line of another rank."""
        assert self._epoch is not None
        if step is None or self._first is None or epoch != self._first_epoch:
            return False
        far = step < self._last or self._epoch - epoch > 1
        return far and step <= self._first

    def _count(self, step: int, total: int, drawn: bool) -> bool:
        """Count a step; False when it goes back. `drawn`: it is nothing but a bar."""
        if self._first is not None and step > self._last:
            self._stride = self._stride or step - self._last
        elif self._first is None or (total > self._total > 0 and not self._turned):
            self._first, self._stride = step, 0  # the first of all, or another bar's
        elif self._restarts(step, drawn):
            self._before = self._offset
            self._offset += self._length(step)
            self._ahead = not self._turned
            self._first, self._stride = step, 0
        elif step < self._last:
            return False
        self._last, self._turned = step, False
        self._total = total or self._total
        return True

    def _restarts(self, step: int, drawn: bool) -> bool:
        assert self._first is not None
        if self._turned:
            return True
        if step == self._last:
            return False
        # A bar may be drawn late, and is then a step or two behind.
        ended = 0 < self._total <= self._last and 2 * step < self._last
        return ended or (step <= self._first and not drawn)

    def _length(self, step: int) -> int:
        """The length of the epoch that ended, such that the count never goes back."""
        if self._total >= self._last:
            return max(self._total, 1)
        if not self._stride:  # one report an epoch
            return max(self._last, self._last - step + 1)
        return self._last + max(self._stride - step, 1 - step)
