"""Tracebacks of Python in printed text: plain ones, groups, and those that rich draws. Pure.

The form is that of the `traceback` module, of Python 3.8 to 3.15. Lines may have a mark in front
that a launcher adds, such as `[rank0]: `.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.death.frames import Frame, own
from harness.text import late

_HEAD = late.compile(r"^(.*?)(\+ Exception Group )?Traceback \(most recent call last\):\s*$")
_FRAME = late.compile(r'^  File "(.+?)", line (\d+)(?:, in (.+?))?\s*$')
_ERROR = late.compile(r"^((?:(?:[A-Za-z_]\w*|<locals>)\.)*[A-Za-z_]\w*)(?::(?: (.*))?)?$")
_LINKS = {
    "The above exception was the direct cause of the following exception:": True,
    "During handling of the above exception, another exception occurred:": False,
}
"""The sentences between two exceptions of a chain; True: one was raised from the other."""
_SEPARATOR = late.compile(r"^\s*\+(?:-\+)?-{4,} (?:\d+|\.\.\.) -{4,}\s*$")
_GROUP_END = late.compile(r"^\s*\+-{10,}\s*$")
_SYNTAX = late.compile(r"^(?:SyntaxError|IndentationError|TabError): ")
_BOX = late.compile(r"^(.*?)[╭┌+][─-]+ Traceback \(most recent call last\) [─-]+[╮┐+]?\s*$")
_BOX_FRAME = late.compile(r"^[│|] (?:in )?(\S.*?):(\d+) in (.+?)\s*[│|]?\s*$")
_BOX_END = late.compile(r"^[╰└+][─-]+")
_THREAD = late.compile(r"^Exception in thread (.+?):\s*$")
_PROCESS = late.compile(r"^Process (\S+):\s*$")
_GOES_ON = late.compile(
    r"^(?:Exception ignored (?:in|on|while)\b|Error in atexit\b|--- Logging error ---"
    r"|Task exception was never retrieved|Future exception was never retrieved"
    r"|Exception in callback |Error in sys\.excepthook:)"
)
"""Lines before the traceback of an exception that ends nothing."""
_ABOVE = 3
"""Lines above a traceback that can say whose it is."""
_SYNTAX_LINES = 5
_LONGEST = 5000
"""Lines of one traceback at most: those of a recursion through two functions are not folded."""


@dataclass(frozen=True)
class Raised:
    """One exception as it was printed."""

    type: str
    message: str
    """Its first line."""
    frames: tuple[Frame, ...]
    first: int
    """The index of its first line."""
    end: int
    """The index of the line after its last."""
    who: str = ""
    """The thread or process that raised it, as `thread Thread-1 (work)`; empty: not said."""
    goes_on: bool = False
    """True if its form says that it ended nothing."""
    quoted: bool = False
    """True if another process hands it on."""
    leaf: Raised | None = None
    """The first exception of a group."""
    before: Raised | None = None
    """The exception of the same chain that was printed before it."""
    direct: bool = False
    """True if it was raised from that one."""

    @property
    def text(self) -> str:
        """`ValueError: bad shape`; of a group with its first exception."""
        name = self.type.removeprefix("__main__.")
        text = f"{name}: {self.message}" if self.message else name
        return f"{text}: {self.leaf.text}" if self.leaf else text

    @property
    def place(self) -> str:
        """The user's line in which it was raised; empty where no frame was printed."""
        if self.leaf is not None and self.leaf.frames:
            return self.leaf.place
        # Where a worker of a pool raised it is told by the worker. The frames here are of the wait.
        quoted = self.before is not None and self.before.quoted
        frames = self.before.frames if quoted and self.before is not None else self.frames
        frame = own(frames)
        return frame.told if frame else ""

    @property
    def chained_from(self) -> int:
        """The index of the first line of its chain."""
        return self.first if self.before is None else self.before.chained_from

    @property
    def cause(self) -> Raised | None:
        """The exception that it was raised from, if that says more."""
        if not self.direct or self.before is None or self.before.text == self.text:
            return None
        return self.before

    @property
    def chain(self) -> tuple[str, ...]:
        """The exceptions before it, the first one first."""
        if self.before is None:
            return ()
        return (*self.before.chain, self.before.text)


def find(lines: Sequence[str]) -> list[Raised]:
    """The exceptions in `lines` in their order. One of a chain is its last, which has the others.

    The lines have no terminal sequences.
    """
    found: list[Raised] = []
    at = 0
    before: Raised | None = None
    direct = False
    while at < len(lines):
        one = _at(lines, at)
        if one is None:
            at += 1
            continue
        if before is not None:
            who, goes_on = one.who or before.who, one.goes_on or before.goes_on
            one = replace(one, before=before, direct=direct, who=who, goes_on=goes_on)
            before = None
        link = _link(lines, one.end)
        if link is None:
            found.append(one)
            at = one.end
        else:
            before, (at, direct) = one, link
    return found + ([before] if before is not None else [])


def _at(lines: Sequence[str], at: int) -> Raised | None:
    """The exception whose traceback begins in the line `at`; None where none does."""
    line = lines[at]
    if "Traceback (most recent call last)" in line:
        if head := _HEAD.match(line):
            return _plain(lines, at, head)
        if head := _BOX.match(line):
            return _drawn(lines, at, head[1])
    if _SYNTAX.match(line):
        return _syntax(lines, at)
    return None


def _plain(lines: Sequence[str], at: int, head: re.Match[str]) -> Raised | None:
    group = head[2] is not None
    mark = f"{head[1]}| " if group else head[1]
    if not group and at + 1 < len(lines) and not lines[at + 1].startswith(f"{mark}  "):
        mark = ""  # what is before it is the text of a logger
    frames: list[Frame] = []
    end = at + 1
    while end < min(len(lines), at + _LONGEST):
        text = lines[end].removeprefix(mark)
        if found := _FRAME.match(text):
            frames.append(Frame(found[1], int(found[2]), found[3] or ""))
        elif not text.startswith("  "):
            break
        end += 1
    error = _error(lines, end, mark)
    if error is None:
        return None
    who, goes_on = _whose(lines, at, head[1])
    one = Raised(
        type=error[0],
        message=error[1],
        frames=tuple(frames),
        first=at,
        end=end + 1,
        who=who,
        goes_on=goes_on,
        quoted=at > 0 and lines[at - 1].strip() == '"""',
    )
    return _grouped(lines, one) if group else one


def _error(lines: Sequence[str], at: int, mark: str) -> tuple[str, str] | None:
    """Type and message of the exception that the line `at` names."""
    found = _ERROR.match(lines[at].removeprefix(mark).rstrip()) if at < len(lines) else None
    if found is None:
        return None
    message = (found[2] or "").strip()
    if not message and lines[at].rstrip().endswith(":"):
        # It begins with an empty line, or with one that is drawn, as torchrun's does.
        rest = [line.removeprefix(mark).strip() for line in lines[at + 1 : at + 3]]
        message = next((line for line in rest if re.search(r"\w", line)), "")
    return found[1], message


def _grouped(lines: Sequence[str], one: Raised) -> Raised:
    """`one` with the first of the exceptions that it is made of."""
    end, leaf = one.end, None
    while end < len(lines) and not _GROUP_END.match(lines[end]):
        if leaf is None and end and _SEPARATOR.match(lines[end - 1]):
            leaf = _at(lines, end) or _bare(lines, end)
        end += 1
        if end - one.end > _LONGEST:
            return replace(one, leaf=leaf)
    return replace(one, leaf=leaf, end=min(len(lines), end + 1))


def _bare(lines: Sequence[str], at: int) -> Raised | None:
    """An exception of a group that was never raised: it has no traceback."""
    mark = re.match(r"^[\s|]*", lines[at])
    error = _error(lines, at, mark[0] if mark else "")
    return Raised(*error, frames=(), first=at, end=at + 1) if error else None


def _drawn(lines: Sequence[str], at: int, mark: str) -> Raised | None:
    """The exception below a box that rich has drawn."""
    frames = []
    end = at + 1
    while end < len(lines) and not _BOX_END.match(lines[end].removeprefix(mark)):
        if found := _BOX_FRAME.match(lines[end].removeprefix(mark)):
            frames.append(Frame(found[1], int(found[2]), found[3]))
        end += 1
    error = _error(lines, end + 1, mark)
    if error is None:
        return None
    who, goes_on = _whose(lines, at, mark)
    return Raised(*error, tuple(frames), first=at, end=end + 2, who=who, goes_on=goes_on)


def _syntax(lines: Sequence[str], at: int) -> Raised | None:
    """A syntax error of the script itself, which has no head."""
    for line in reversed(lines[max(0, at - _SYNTAX_LINES) : at]):
        if found := _FRAME.match(line):
            kind, _, message = lines[at].partition(": ")
            frame = Frame(found[1], int(found[2]))
            return Raised(kind, message.strip(), (frame,), first=at, end=at + 1)
    return None


def _whose(lines: Sequence[str], at: int, mark: str) -> tuple[str, bool]:
    """The owner of the traceback at `at`, and True if it says that it ends nothing."""
    for line in reversed(lines[max(0, at - _ABOVE) : at]):
        text = line.removeprefix(mark).strip()
        if _GOES_ON.match(text):
            return "", True
        if found := _THREAD.match(text):
            return f"thread {found[1]}", False
        if found := _PROCESS.match(text):
            return f"process {found[1]}", False
        if _HEAD.match(line) or _FRAME.match(line):
            break
    return "", False


def _link(lines: Sequence[str], at: int) -> tuple[int, bool] | None:
    """The line after a sentence that links what ends at `at` to the next exception, and its kind.

    Between them may stand blank lines, notes, and the end of a quotation.
    """
    for index in range(at, min(len(lines), at + 40)):
        text = lines[index].strip(" |")
        for sentence, direct in _LINKS.items():
            if text.endswith(sentence):
                return index + 1, direct
        if "Traceback (most recent call last)" in text:
            return None
    return None
