"""The report of macOS `spindump`, which needs root: whom the kernel says a thread waits for.

The kernel keeps a turnstile for each lock that has an owner. By it the kernel knows that owner, or
the thread that the owner waits for in turn. Behind the innermost frame stands `blocked by turnstile
waiting for NAME [PID] thread 0xTID`, `... this thread` or `... main thread`. After them may stand
`after N hops`, or `part of a deadlock`. Frames of the kernel have a star. Thread numbers are the
kernel's, as those of `sample`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from harness.stacks.parse.frames import UNKNOWN, Frame, Owner, ThreadStack, native
from harness.text import late

_PROCESS = late.compile(r"Process: +(.*?) \[(\d{1,9})\]")
_THREAD = late.compile(r" +Thread 0x([0-9a-f]{1,16})\b(.*)$")
_LOOKS = late.compile(r" (\d{1,9}) samples? ")
_NAME = late.compile(r'Thread name "(.*?)"')
_MAIN = 'DispatchQueue "com.apple.main-thread"'
_NODE = late.compile(r"( *)(\*?)(\d{1,9}) +(\S.*)$")
_CALL = late.compile(r"(.+?)(?: \+ \d+)?(?: \((.+?)(?: \+ \d+)?\))? \[0x[0-9a-f]+\]")
_WAITS = late.compile(r"blocked by turnstile waiting for (.*?)(?:\)$|\) |$)")
_THIS = late.compile(r"this thread\b")
_OTHER = late.compile(r"(?:.*\[(\d{1,9})\] )?(?:.* )?thread 0x([0-9a-f]{1,16})\b")
_MAIN_THREAD = late.compile(r"(?:.*\[(\d{1,9})\] )?.*\bmain thread\b")
_PROGRAM = late.compile(r".*\[(\d{1,9})\]")
_DEADLOCK = "part of a deadlock"


@dataclass
class _Listed:
    """One thread of the report."""

    tid: int
    name: str
    main: bool
    looks: int | None
    frames: list[Frame] = field(default_factory=list)
    """Outermost first: the path that was seen most."""
    depth: int = -1
    over: bool = False
    """True once that path is at its end."""
    owners: dict[str, int] = field(default_factory=dict)
    """The looks at which the kernel said so, by its words."""


def parse(text: str, pid: int) -> tuple[ThreadStack, ...]:
    """The threads of process `pid`; of others none."""
    listed: list[_Listed] = []
    ours = False
    for line in text.splitlines():
        if process := _PROCESS.match(line):
            ours = int(process[2]) == pid
        elif ours and "Binary Images:" in line:
            ours = False
        elif ours and (header := _THREAD.match(line)):
            listed.append(_header(header))
        elif ours and listed and (node := _NODE.match(line)):
            _take(listed[-1], node)
    main = next((one.tid for one in listed if one.main), None)
    return tuple(_thread(one, main, pid) for one in listed)


def _header(match: re.Match[str]) -> _Listed:
    rest = match[2]
    name, looks = _NAME.search(rest), _LOOKS.search(rest)
    main = _MAIN in rest
    title = name[1] if name and not main else ""
    return _Listed(int(match[1], 16), title, main, int(looks[1]) if looks else None)


def _take(thread: _Listed, node: re.Match[str]) -> None:
    # The star of a frame of the kernel stands in the place of a space.
    depth, kernel, looks, rest = len(node[1]) + len(node[2]), node[2], int(node[3]), node[4]
    if waits := _WAITS.search(rest):
        thread.owners[waits[1]] = thread.owners.get(waits[1], 0) + looks
    if thread.over or depth <= thread.depth:
        thread.over = True
        return
    thread.depth = depth
    call = _CALL.match(rest)
    if call and not kernel:
        function = UNKNOWN if call[1].startswith(UNKNOWN) else call[1]
        thread.frames.append(native(function, None, None, call[2]))


def _thread(one: _Listed, main: int | None, pid: int) -> ThreadStack:
    return ThreadStack(
        frames=tuple(reversed(one.frames)),
        tid=one.tid,
        name=one.name,
        main=one.main,
        owner=_owner(one, main, pid),
    )


def _owner(one: _Listed, main: int | None, pid: int) -> Owner | None:
    """Whom a thread has waited for at every look; None where it did not, or it is not told."""
    if len(one.owners) != 1 or one.looks is None:
        return None
    ((words, looks),) = one.owners.items()
    if looks != one.looks:
        return None
    deadlock = _DEADLOCK in words
    if _THIS.match(words):
        return Owner(pid=pid, tid=one.tid, deadlock=deadlock)
    if found := _OTHER.match(words):
        return Owner(pid=int(found[1] or pid), tid=int(found[2], 16), deadlock=deadlock)
    if found := _MAIN_THREAD.match(words):
        named = int(found[1] or pid)
        known = main if named == pid else None
        return None if known is None else Owner(pid=pid, tid=known, deadlock=deadlock)
    found = _PROGRAM.match(words)
    return Owner(pid=int(found[1]), deadlock=deadlock) if found else None
