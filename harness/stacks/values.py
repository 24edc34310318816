"""The change of a thread's local variables: it tells a loop without end from work.

pystack reads them from the memory of the process, which goes on meanwhile. They are nobody's
business: no value is kept or written, only a digest of all of a thread's.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from importlib.util import find_spec

import msgspec

from harness.observe import run_tool
from harness.stacks.parse import frames
from harness.text import late

_THREAD = late.compile(r"^Traceback for thread (\d+)[^\n]*\n", re.M)
_FRAME = late.compile(r"^    \(Python\) File ", re.M)
_NAMED = late.compile(r"^        \S+: .*\n", re.M)
_EVENTS = late.compile(r"/(asyncio/\w+|selectors)\.py\"")
"""Loops that run tasks whose frames are not on the stack while they wait."""
_VARIABLE = late.compile(r"^        \S+: (.*)$", re.M)
_OPAQUE = late.compile(r"<.* at 0x[0-9a-f]+>")
"""An object of which only the address is shown: nobody sees what changes within it."""
_MOVES = late.compile(
    r"^        \S+: <(?:.*iterator|generator|itertools\.\S+|_io\.\S+|_csv\.reader|zip|map|filter"
    r"|enumerate|reversed)\b",
    re.M,
)
"""What hands out something else each time that it is asked, as a loop that skips rows does."""
_SHOWN = late.compile(r"^      (?:Arguments|Locals):\n", re.M)
_BYTES = "<BINARY>"
_TIMEOUT_S = 5.0


class Variables(msgspec.Struct, frozen=True, kw_only=True):
    """Digests of the local variables of a process's Python threads, by the thread's number."""

    every: dict[int, str] = {}
    """Of all frames. A thread whose variables tell nothing is missing: those of a module, which
    pystack does not show, and objects of which it shows the address alone."""
    own: dict[int, str] = {}
    """Of the user's own frames, with the addresses of objects. Also of frames without variables."""
    telling: frozenset[int] = frozenset()
    """Threads whose work is likely to show in `own`."""
    tasks: frozenset[int] = frozenset()
    """Threads that run a loop of events: nobody sees the variables of its tasks."""
    bytes: frozenset[int] = frozenset()
    """Threads with bytes in one of the user's own variables. No content of these is shown."""


def read(pid: int, stop: threading.Event | None = None) -> Variables:
    """The digests of a process; none without pystack or the rights, or in another language."""
    if find_spec("pystack") is None:
        return Variables()
    command = [sys.executable, "-m", "pystack", "remote", "--no-color", "--no-block", "--locals"]
    try:
        answer = run_tool.run([*command, str(pid)], _TIMEOUT_S, stop=stop)
    except OSError:
        return Variables()
    return parse(answer.output) if answer.code == 0 else Variables()


def parse(output: str) -> Variables:
    """The digests, of what pystack prints."""
    _, *parts = _THREAD.split(output)
    threads = {int(tid): text for tid, text in zip(parts[::2], parts[1::2], strict=True)}
    own = {tid: _own(text) for tid, text in threads.items()}
    return Variables(
        every={tid: _digest(_state(text)) for tid, text in threads.items() if _tells(text)},
        own={tid: _digest("".join(shown)) for tid, shown in own.items() if shown is not None},
        telling=frozenset(
            tid for tid, shown in own.items() if shown and _shows(shown[-1], threads[tid])
        ),
        tasks=frozenset(tid for tid, text in threads.items() if _EVENTS.search(text)),
        bytes=frozenset(tid for tid, shown in own.items() if shown and _BYTES in "".join(shown)),
    )


def varied(before: Variables, after: Variables) -> dict[int, bool]:
    """By thread, True if a variable of the user's own code has changed, False if none did; missing
    where they tell nothing."""
    both = before.own.keys() & after.own.keys()
    shown = (tid for tid in both if _NOTHING not in (before.own[tid], after.own[tid]))
    changed = {tid: before.own[tid] != after.own[tid] for tid in shown}
    telling = before.telling & after.telling
    return {tid: one for tid, one in changed.items() if one or tid in telling}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_NOTHING = _digest("")


def same(before: Variables, after: Variables) -> dict[int, bool]:
    """By thread, True if all that is shown of the user's own code is the same."""
    both = (before.own.keys() & after.own.keys()) - before.tasks - after.tasks
    return {tid: before.own[tid] == after.own[tid] for tid in both}


def _own(thread: str) -> list[str] | None:
    """The variables of each frame of the user's own code that has some, outermost first; None of a
    thread that is in none of these."""
    parts = _FRAME.split(thread)[1:]
    own = [frame for frame in parts if not _is_library(frame)]
    if not own:
        return None
    return [shown for frame in own if (shown := "".join(_NAMED.findall(frame)))]


def _is_library(frame: str) -> bool:
    return frames.python("", frame.partition('"')[2].partition('"')[0], None).system


def _shows(variables: str, thread: str) -> bool:
    """True if a variable could be seen to change, and no loop of events runs the work."""
    return _plain(variables) and not _EVENTS.search(thread)


def _plain(text: str) -> bool:
    return any(not _OPAQUE.fullmatch(value.strip()) for value in _VARIABLE.findall(text))


def _state(thread: str) -> str:
    """The text of a thread that tells whether it gets on, without the line of its innermost
    function: a loop may be seen at any of its lines."""
    *outer, inner = _FRAME.split(thread)
    shown = _SHOWN.search(inner)
    return "".join([*outer, inner[shown.start() :] if shown else ""])


def _tells(thread: str) -> bool:
    """True if the innermost function shows a variable that could be seen to change, and none that
    gets on unseen."""
    inner = _FRAME.split(thread)[-1]
    return _plain(inner) and not _MOVES.search(inner)
