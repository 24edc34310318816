"""Writes beats in the format of harness/beats/file.py, and needs nothing but the standard library.

One process writes, of several ranks one of each, the first one that starts to: data loaders and a
second library in the same process stay silent, and so does what is forked off later. Nothing here
raises into the training: what goes wrong switches the writer off and is left in hook.json.
"""

from __future__ import annotations

import functools
import json
import math
import mmap
import os
import struct
import sys
import time
from _thread import get_native_id
from typing import Any, Callable, Optional

VARIABLE = "HARNESS_BEATS"
"""The environment variable that names the folder."""
REPLAY = "HARNESS_REPLAY"
"""The one with the request for a replay, as JSON."""
RANKS = ("MLX_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
"""The variables by which a launcher tells a process its rank; no other variable of a process is
read."""
HOOK = "hook.json"
BEATS = "beats.jsonl"
NOW = "now.bin"
SCHEMA = 1
SLOT = struct.Struct("<QqdqQ")
NAMES = 32
NAME = 40
_now = time.monotonic
_process = os.getpid()
"""This process; kept here because asking costs more than the rest of a phase's change."""


def _forked() -> None:
    global _process
    _process = os.getpid()


os.register_at_fork(after_in_child=_forked)
reports: Optional[Writer] = None
"""The one that reports the steps of this process."""


def process() -> int:
    """The number of this process."""
    return _process


def rank() -> Optional[int]:
    """The rank of this process; None when it was not started as one."""
    for name in RANKS:
        if os.environ.get(name, "").isdecimal():
            return int(os.environ[name])
    return None


def home(folder: str) -> str:
    """The folder to which this process writes: a rank has a folder of its own in `folder`."""
    return folder if rank() is None else os.path.join(folder, f"rank-{rank()}")


def note(folder: str, **told: Optional[str]) -> None:
    """Leave hook.json: which library was `wrapped`, why the writer was `disabled`."""
    path = os.path.join(folder, HOOK)
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(folder, exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({name: value for name, value in told.items() if value is not None}, file)
        os.replace(temporary, path)
    except OSError:
        pass  # then there is nobody to tell


def reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def open_writer(folder: str, source: str) -> Optional[Writer]:
    """The writer of `folder`; None when another one was first, or none can be had.

    `source` says who reports: it is the StartBeat's scenario.
    """
    global reports
    try:
        os.makedirs(folder, exist_ok=True)
        reports = Writer(folder, source)
        return reports
    except FileExistsError:
        return None
    except Exception as error:
        note(folder, disabled=reason(error))
        return None


def _harmless(method: Callable[..., None]) -> Callable[..., None]:
    """Do nothing in a forked child or once switched off; switch off rather than raise."""

    @functools.wraps(method)
    def guarded(self: Writer, *args: Any, **kwargs: Any) -> None:
        if self.off or self._pid != _process:
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.disable(reason(error))

    return guarded


class Writer:
    """The steps are counted from 0. All phases' seconds since the last step's end belong to the
    step that ends next, so that no time is lost between two of them.

    One thread writes; it is the training loop's own.
    """

    def __init__(self, folder: str, source: str) -> None:
        """Raises FileExistsError when beats are written to `folder` already."""
        self.off = False
        self.step = -1
        """The step under way; -1 before the first."""
        self.phase = "start"
        self.ended = 0
        """Steps that have ended."""
        self._folder = folder
        self._wrapped: Optional[str] = None
        self._pid = _process
        self._lost = 0
        self._fault: Optional[str] = None
        self._torn = False
        self._mlx: Any = None
        self._seq = 0
        self._since = _now()
        self._phases: dict[str, float] = {}
        self._names: dict[str, tuple[int, str]] = {}
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._file = os.open(os.path.join(folder, BEATS), flags, 0o644)
        self._append(
            f'{{"k":"start","t":{_now():.6f},"schema":{SCHEMA},"pid":{self._pid},'
            f'"tid":{get_native_id()},"wall":{time.time():.6f},'
            f'"scenario":{_quoted(source)},"rank":{rank() or 0}}}\n'
        )
        self._slot = _open_slot(os.path.join(folder, NOW))
        self.at("start")

    @_harmless
    def wrapped(self, library: str) -> None:
        """Leave word that the training of `library` is hooked into."""
        self._wrapped = library
        note(self._folder, wrapped=library)

    def disable(self, why: str) -> None:
        self.off = True
        note(self._folder, wrapped=self._wrapped, disabled=why)

    @_harmless
    def at(self, phase: str, step: Optional[int] = None) -> None:
        """Begin `phase`, in `step`; in the same one if not given."""
        now = self._charge()
        if step is not None:
            self.step = step
        self.phase = phase
        index, _ = self._names.get(phase) or self._name(phase)
        self._seq = seq = self._seq + 1
        SLOT.pack_into(self._slot, 0, seq, self.step, now, index, seq)

    @_harmless
    def move(self, seconds: float, phase: str) -> None:
        """Move seconds from the phase under way to `phase`."""
        self._charge()
        spent = self._phases.get(self.phase, 0.0)
        moved = min(max(seconds, 0.0), spent)
        self._phases[self.phase] = spent - moved
        self._phases[phase] = self._phases.get(phase, 0.0) + moved

    @_harmless
    def end(
        self,
        loss: Optional[float] = None,
        traces: int = 0,
        calls: int = 0,
        covers: int = 1,
        then: Optional[str] = "between",
        inputs: tuple[int, int] = (0, 0),
    ) -> None:
        """The step's evaluation has returned; from now on the phase `then` is under way. None where
        the caller says so itself at once. `inputs` are different shapes of batches so far, and the
        bytes of this one."""
        now = self._charge()
        seconds = ",".join(
            f"{(self._names.get(name) or self._name(name))[1]}:{spent:.9f}"
            for name, spent in self._phases.items()
        )
        line = f'{{"k":"step","t":{now:.6f},"step":{self.step},"phases":{{{seconds}}}'
        if loss is not None:
            line += f',"loss":{_number(loss)}'
        mx = self._mlx or self._look_for_mlx()
        if mx is not None:
            line += (
                f',"active":{mx.get_active_memory()},"cache":{mx.get_cache_memory()}'
                f',"peak":{mx.get_peak_memory()}'
            )
        if inputs[0]:
            line += f',"shapes":{inputs[0]},"inputs":{inputs[1]}'
        self._append(f'{line},"traces":{traces},"calls":{calls},"covers":{covers}}}\n')
        self._phases = {}
        self.ended += 1
        if then is not None:
            self.at(then)

    @_harmless
    def model(self, **described: Any) -> None:
        """A ModelBeat; `described` are its fields but for `t` and `active`."""
        mx = self._mlx or self._look_for_mlx()
        active = None if mx is None else mx.get_active_memory()
        beat = {"k": "model", "t": _now(), **described, "active": active}
        self._append(json.dumps(beat) + "\n")

    @_harmless
    def learning(self, **seen: Any) -> None:
        """A LearningBeat; `seen` are its fields but for `t`."""
        self._append(json.dumps({"k": "learning", "t": _now(), **seen}) + "\n")

    @_harmless
    def finish(self, compile_works: Optional[bool] = None) -> None:
        """The training is over; more may follow."""
        beat = {"k": "end", "t": _now(), "steps": self.ended, "drain_s": 0.0}
        beat.update(compile_works=compile_works, fault=self._fault, lost=self._lost)
        self._append(json.dumps(beat) + "\n")

    def _charge(self) -> float:
        """The phase under way gets its seconds until now. Returns the time."""
        now = _now()
        phases, phase = self._phases, self.phase
        phases[phase] = phases.get(phase, 0.0) + (now - self._since)
        self._since = now
        return now

    def _look_for_mlx(self) -> Any:
        """mlx.core, if the training uses it and it can say how much memory it holds."""
        mx = sys.modules.get("mlx.core")
        if mx is None or not hasattr(mx, "get_active_memory"):
            return None
        self._mlx = mx
        beat = {"k": "mlx", "t": _now(), "version": str(mx.__version__), "device": _device(mx)}
        self._append(json.dumps(beat) + "\n")
        return mx

    def _name(self, phase: str) -> tuple[int, str]:
        """A place in the slot's table, from 1, and the name as JSON.

        When the table is full, its last place is written anew for each name that comes.
        """
        index = min(len(self._names) + 1, NAMES)
        start = SLOT.size + (index - 1) * NAME
        self._slot[start : start + NAME] = _encoded(phase)[:NAME].ljust(NAME, b"\0")
        entry = index, _quoted(phase)
        if index < NAMES:
            self._names[phase] = entry
        return entry

    def _append(self, line: str) -> None:
        """One write for a line. What a full disk loses is counted: it may have room again."""
        data = line.encode()
        if self._torn:
            data = b"\n" + data
        try:
            self._torn = os.write(self._file, data) < len(data)
            fault = "a beat was written only in part: the disk is full" if self._torn else None
        except OSError as error:
            fault = error.strerror or str(error)
        if fault is not None:
            self._lost += 1
            self._fault = self._fault or fault


def _open_slot(path: str) -> mmap.mmap:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        # Really allocate the block: a write through a mapping to a full disk is a SIGBUS.
        size = SLOT.size + NAMES * NAME
        if os.write(file, bytes(size)) < size:
            raise OSError("the disk is full")
        return mmap.mmap(file, size)
    except OSError:
        os.unlink(path)  # where it exists, the supervisor listens to us
        raise
    finally:
        os.close(file)


def _device(mx: Any) -> str:
    kind = str(mx.default_device().type).rpartition(".")[2]
    try:
        name = str(mx.device_info().get("device_name", ""))
    except Exception:  # older versions have no device_info, or only under mx.metal
        name = ""
    return f"{kind} ({name})" if name else kind


def _number(value: float) -> str:
    """A float as a beat holds it."""
    value = float(value)
    return repr(value) if math.isfinite(value) else f'"{value}"'


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _quoted(text: str) -> str:
    return json.dumps(_encoded(text).decode(), ensure_ascii=False)
