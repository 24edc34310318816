"""The ranks that a watched command has started: which processes they are, and what each tells.

A rank reports its steps itself (`harness.beats`, mlx-lm), or they are made of what it prints, where
MLX's launcher lets its output be told from that of the others.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from harness.beats.file import BEATS, NOW, BeatReader, read_position
from harness.death import last_words
from harness.detect.ranks import JobColumns, RankColumns
from harness.inject.inside.launcher import HEAD, SAID
from harness.logs import Adapter
from harness.model import AnyBeat, Position, Process
from harness.observe import launchers, process_names, rank_env
from harness.supervise import nccl_log
from harness.supervise.issued import IssuedByRanks
from harness.supervise.listen import Ear
from harness.supervise.log_beats import LogBeats
from harness.supervise.streams import Log

STREAMS = ("stdout", "stderr")
_MOST = 1024
"""Ranks that one job is believed to have at most."""
_ERROR = re.compile(rb"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt)\b.*", re.MULTILINE)
_KEPT = 16384
"""Bytes at the end of a rank's stderr in which the exception is looked for that has ended it."""


class Numbers:
    """The processes that are ranks: the uppermost ones that were told that they are."""

    def __init__(self) -> None:
        self._asked: dict[tuple[int, str], int | None] = {}

    def of(self, processes: Sequence[Process]) -> dict[int, int]:
        """The process of each rank, of these, by rank; parents come before children."""
        found: dict[int, int] = {}
        below: set[int] = set()
        for process in processes:
            if process.ppid in below:
                below.add(process.pid)
                continue
            # What a shell becomes by exec has another name, and other variables.
            key = process.pid, process.name
            # One that has no variables yet is asked again.
            if key not in self._asked and (told := rank_env.variables(process.pid)):
                self._asked[key] = rank_env.among(told)
            rank = self._asked.get(key)
            if rank is not None and rank < _MOST:
                below.add(process.pid)
                found.setdefault(rank, process.pid)
        return found


def starters(
    processes: Sequence[Process], ranks: Iterable[int]
) -> list[tuple[tuple[str, ...], str]]:
    """The command lines and names of those of these processes that are no part of a rank; `ranks`
    are the processes of the ranks. Parents come before children."""
    below = set(ranks)
    found = []
    for process in processes:
        if process.pid in below or process.ppid in below:
            below.add(process.pid)
        else:
            found.append((tuple(process_names.argv(process.pid)), process.name))
    return found


def spoken_for(processes: Sequence[Process], ranks: Iterable[int]) -> bool:
    """True if a launcher has started them that tells of those that do not end well."""
    return any(launchers.tells_ends(argv) for argv, _ in starters(processes, ranks))


def elsewhere(processes: Sequence[Process], ranks: Iterable[int]) -> bool:
    """True if ranks of the job may run on other machines, where they are not seen."""
    return any(launchers.elsewhere(argv, name) for argv, name in starters(processes, ranks))


def expected(seen: Iterable[int], elsewhere: bool) -> Sequence[int]:
    """The ranks by which a job is judged. One that was not seen among others never started, unless
    ranks may run on other machines."""
    return sorted(seen) if elsewhere else range(max(seen) + 1)


class Ranks:
    """The reports of a job's ranks in `folder`. In `own` those write that report themselves."""

    def __init__(self, folder: Path, own: Path, adapters: Sequence[Adapter]) -> None:
        self._folder = folder
        self._own = own
        self._adapters = adapters
        self._voices: dict[int, _Voice] = {}
        self._readers: dict[int, tuple[Path, BeatReader]] = {}
        self._columns = JobColumns(_MOST)
        self._issued = IssuedByRanks(own, self._columns)
        self._last: tuple[tuple[int, AnyBeat, bool], ...] | None = None
        """The last beats, read when the ranks had gone."""

    @property
    def reporting(self) -> tuple[int, ...]:
        """The ranks that report their steps themselves."""
        told = (int(path.parent.name[5:]) for path in self._own.glob(f"rank-*/{NOW}"))
        return tuple(sorted(rank for rank in told if rank < _MOST))

    @property
    def heard(self) -> tuple[int, ...]:
        """The ranks whose output the launcher tells from that of the others."""
        return tuple(sorted(self._voices))

    def listen(self) -> None:
        """Take what the launcher has heard of them since."""
        for path in self._own.glob(f"{SAID}/*.0"):
            rank = int(path.name.partition(".")[0])
            if rank < _MOST and rank not in self._voices:
                self._voices[rank] = _Voice(rank, self._folder, self._own / SAID, self._adapters)
        for voice in self._voices.values():
            voice.listen()

    def begun(self, pids: Mapping[int, int], name: str) -> None:
        """Write down that these processes run `name`, as workers would."""
        for rank, pid in pids.items():
            if rank in self._voices:
                self._voices[rank].begun(pid, name)

    def beats(self) -> Iterator[tuple[int, AnyBeat, bool]]:
        """The new beats: (rank, beat, True if the rank itself reports it)."""
        if self._last is not None:
            yield from self._last
            self._last = ()
            return
        reporting = self.reporting
        for rank in {*reporting, *self._voices}:
            home = self._home(rank)
            known = self._readers.get(rank)
            if known is None or known[0] != home:
                known = self._readers[rank] = home, BeatReader(home)
            for beat in known[1].read():
                self._columns[rank].add(beat)
                yield rank, beat, rank in reporting

    def issued(self, ranks: Iterable[int]) -> dict[int, RankColumns]:
        """The collectives that each of `ranks` has issued, by number: where they tell that, and
        `columns` do not.
        Call it after `beats`: no collective must be missing of the steps that they tell of."""
        ranks = tuple(ranks)
        self._issued.read(ranks)
        reporting = set(ranks) <= set(self.reporting)
        return {} if reporting and self._issued.by_step(ranks) else self._issued.by_number(ranks)

    def joining(self, rank: int, now: float) -> Position | None:
        """The place of a rank that has not joined the others, if that is known."""
        return self._issued.place(rank, now)

    def columns(self, rank: int) -> RankColumns:
        return self._columns[rank]

    def position(self, rank: int) -> Position | None:
        return read_position(self._home(rank))

    def comparable(self, ranks: Iterable[int]) -> bool:
        """True if where these are can be compared: of those that only print, if they report their
        steps equally often."""
        printing = [rank for rank in ranks if rank not in self.reporting]
        voices = [self._voices.get(rank) for rank in printing]
        every = {voice.beats.every if voice else None for voice in voices}
        return len(every) < 2 and None not in every

    @property
    def first(self) -> int | None:
        """The lowest rank that has said anything: others may run elsewhere."""
        return min((*self.reporting, *self._voices), default=None)

    @property
    def total(self) -> int | None:
        """The steps that there are to be, as the first rank prints it."""
        voice = self._voices.get(-1 if self.first is None else self.first)
        return voice.beats.total if voice else None

    def error(self, rank: int) -> str | None:
        """The exception that its output shows last."""
        voice = self._voices.get(rank)
        if voice is None:
            return None
        if (words := last_words.of_text(voice.stderr.decode("utf-8", "replace"))) is not None:
            return words.told
        found = _ERROR.findall(voice.stderr)
        return found[-1].decode("utf-8", "replace") if found else None

    def library_error(self, rank: int) -> str | None:
        """The failure of NCCL that its output shows."""
        voice = self._voices.get(rank)
        return nccl_log.error(voice.stderr) if voice else None

    def close(self) -> None:
        """Bring what is left to its last place; all ranks are gone."""
        self.listen()
        for voice in self._voices.values():
            voice.close()
        self._last = tuple(self.beats())
        for rank in self.reporting:
            home = self._folder / f"rank-{rank}"
            home.mkdir(exist_ok=True)
            for name in (BEATS, NOW):
                (self._own / home.name / name).rename(home / name)

    def _home(self, rank: int) -> Path:
        own = self._own / f"rank-{rank}"
        return own if (own / NOW).exists() else self._folder / f"rank-{rank}"


class _Voice:
    """The output of one rank, drained from the parts that the launcher writes."""

    def __init__(self, rank: int, folder: Path, said: Path, adapters: Sequence[Adapter]) -> None:
        home = folder / f"rank-{rank}"
        home.mkdir(exist_ok=True)
        self._rank = rank
        self._now = time.monotonic()
        """The time at which the line that is read was printed."""
        self.beats = LogBeats(home, lambda: self._now)
        self._parts = {name: _Parts(said / f"{rank}.{name}") for name in STREAMS}
        self._logs = {name: Log(home / f"{name}.log") for name in STREAMS}
        self._ears = {name: Ear(self.beats, adapters) for name in STREAMS}
        self._begun = False
        self.stderr = b""
        """The end of it."""

    def begun(self, pid: int, name: str) -> None:
        if not self._begun:
            self._begun, self._now = True, time.monotonic()
            self.beats.started(pid, name, self._rank)

    def listen(self) -> None:
        for name, parts in self._parts.items():
            for self._now, data in parts.read():
                self._logs[name].write(data)
                self._ears[name].hear(data)
                if name == "stderr":
                    self.stderr = (self.stderr + data)[-_KEPT:]
            self._now = time.monotonic()
            self._ears[name].pause()

    def close(self) -> None:
        for ear in self._ears.values():
            ear.close()
        for log in self._logs.values():
            log.close()
        self.beats.close()


class _Parts:
    """Reads the parts of a stream one after the other, and takes away those that are read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = 0
        self._offset = 0

    def read(self) -> Iterator[tuple[float, bytes]]:
        """The new output, in pieces, each with the time at which the launcher read it."""
        while True:
            following = self._file(self._part + 1).exists()  # then this one grows no more
            try:
                with self._file(self._part).open("rb") as file:
                    file.seek(self._offset)
                    data = file.read()
            except OSError:
                return
            at = 0
            while at + HEAD.size <= len(data):
                said_at, size = HEAD.unpack_from(data, at)
                if at + HEAD.size + size > len(data):
                    break  # it is being written
                yield said_at, data[at + HEAD.size : at + HEAD.size + size]
                at += HEAD.size + size
            self._offset += at
            if not following:
                return
            self._file(self._part).unlink(missing_ok=True)
            self._part, self._offset = self._part + 1, 0

    def _file(self, part: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{part}")
