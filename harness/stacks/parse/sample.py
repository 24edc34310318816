"""The report of macOS `sample`: a tree of calls for each thread, with the number of looks.

One run of it is many looks. So each thread has a distribution: every path that was seen, with the
number of looks that saw it. Offsets and addresses follow the library:
`f  (in libmlx.dylib) + 100  [0x10]`.

macOS 26 names the main thread in its header, and may list it after others. A thread that served
several queues has `<multiple>` for one, several threads of one queue have it for their number, and
one thread may be listed twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePath

import msgspec

from harness.stacks.parse.frames import UNKNOWN, Frame, Share, ThreadStack, native
from harness.text import late

_NODE = late.compile(r"([\s+!:|]*)(\d{1,9}) (.+)$")
_THREAD = late.compile(r"Thread_(\d{1,20}|<multiple>)(?::? +|: *|$)(.*)$")
_CALL = late.compile(r"(.+?)  \(in (.+?)\)(?: \+ [\d,.]+)?(?:  \[.*\])?(?:  (\S+):(\d{1,9}))?")
_LOADED = late.compile(r"  load address 0x[0-9a-f]+ \+ (0x[0-9a-f]{1,16})\b")
"""The place in its library of a call without a name."""
_QUEUE = late.compile(
    r" *DispatchQueue_(?:\d+|<multiple>)(?:: (.*?))?(?:  \((?:serial|concurrent)\))?$"
)
_IMAGE = late.compile(r" *0x[0-9a-f]+ - +0x[0-9a-f]+ .*?(/\S.*)$")
_TITLE = "Main Thread"
_MAIN = "com.apple.main-thread"
_OF_THE_SYSTEM = ("/usr/lib/", "/System/")
_TOUCHES_NO_KERNEL = late.compile(
    r"^_*(commpage_|gettimeofday|mach_(absolute|continuous)_time|swtch)"
)
"""Functions of the kernel's library that wait for nothing: they read a clock, or yield."""
_DRIVER = frozenset(("iokit_user_client_trap", "io_connect_method"))
"""The calls into a driver that stand outside of the kernel's library."""


@dataclass
class _Call:
    """One node of the tree."""

    depth: int
    looks: int
    frame: Frame
    library: str
    below: int = 0
    """Looks that saw it call one of its children."""


@dataclass
class _Listed:
    """One entry of the report: a thread, or a part of what one did."""

    tid: int | None
    name: str
    main: bool
    shares: list[Share] = field(default_factory=list)


def parse(text: str, pid: int) -> tuple[ThreadStack, ...]:
    """`pid` is not in a thread's line: the main one is told by its title or its dispatch queue."""
    _, _, tree = text.partition("Call graph:\n")
    system = _of_the_system(tree)
    listed: list[_Listed] = []
    path: list[_Call] = []
    for line in tree.splitlines():
        node = _NODE.match(line)
        if not node:
            break
        if header := _THREAD.match(node[3]):
            _leave(path, 0, listed)
            listed.append(_header(header))
        elif listed:
            depth, looks = len(node[1]), int(node[2])
            _leave(path, depth, listed)
            if path:
                path[-1].below += looks
            frame, library = _frame(node[3], system)
            path.append(_Call(depth, looks, frame, library))
    _leave(path, 0, listed)
    return _marked(tuple(map(_thread, _merged(listed))))


def _header(match: re.Match[str]) -> _Listed:
    number, rest = match[1], match[2]
    queue = _QUEUE.search(rest)
    title = (rest[: queue.start()] if queue else rest).strip()
    label = (queue[1] or "").strip() if queue else ""
    main = title.startswith(_TITLE) or label.startswith(_MAIN)
    tid = int(number) if number.isdecimal() else None
    return _Listed(tid, "" if main else title or label, main)


def _leave(path: list[_Call], depth: int, listed: list[_Listed]) -> None:
    """Take the calls from `depth` on off the path. What was seen as a leaf is a path of its own."""
    while path and path[-1].depth >= depth:
        call = path[-1]
        alone = call.looks - call.below
        if alone > 0:
            frames = tuple(each.frame for each in reversed(path))
            share = Share(frames=frames, looks=alone, running=not _waits(call))
            listed[-1].shares.append(share)
        path.pop()


def _waits(call: _Call) -> bool:
    """True of a leaf in the kernel's library, or in a driver."""
    name = call.frame.function
    in_kernel = call.library.startswith("libsystem_kernel")
    return name in _DRIVER or (in_kernel and not _TOUCHES_NO_KERNEL.match(name))


def _merged(listed: list[_Listed]) -> list[_Listed]:
    """The threads, each once. Those without a number cannot be told from one another."""
    found: dict[object, _Listed] = {}
    for index, one in enumerate(listed):
        key: object = one.tid if one.tid is not None else f"entry {index}"
        known = found.setdefault(key, one)
        if known is not one:
            known.shares += one.shares
            known.main = known.main or one.main
            known.name = "" if known.main else known.name or one.name
    return list(found.values())


def _thread(one: _Listed) -> ThreadStack:
    together: dict[tuple[tuple[Frame, ...], bool], int] = {}
    for share in one.shares:
        key = share.frames, share.running
        together[key] = together.get(key, 0) + share.looks
    # What was seen most comes first; of paths seen equally often the one that is listed first.
    most_first = sorted(together.items(), key=lambda item: -item[1])
    shares = tuple(
        Share(frames=frames, looks=looks, running=running)
        for (frames, running), looks in most_first
    )
    return ThreadStack(
        frames=shares[0].frames if shares else (),
        tid=one.tid,
        name=one.name,
        main=one.main,
        running=shares[0].running if shares else None,
        shares=shares,
    )


def _marked(threads: tuple[ThreadStack, ...]) -> tuple[ThreadStack, ...]:
    """`threads`, of which the first is the main one where no other is said to be."""
    if not threads or any(thread.main for thread in threads):
        return threads
    return (msgspec.structs.replace(threads[0], main=True), *threads[1:])


def _of_the_system(tree: str) -> frozenset[str]:
    """The names of the libraries that the report says lie in the system's folders."""
    _, _, images = tree.partition("Binary Images:\n")
    paths = [match[1] for line in images.splitlines() if (match := _IMAGE.match(line))]
    return frozenset(PurePath(path).name for path in paths if path.startswith(_OF_THE_SYSTEM))


def _frame(text: str, system: frozenset[str]) -> tuple[Frame, str]:
    """The frame, and the library it is in."""
    call = _CALL.match(text)
    if not call:
        return native(text.strip(), None, None, None), ""
    function = UNKNOWN if call[1].startswith(UNKNOWN) else call[1]
    loaded = _LOADED.search(text) if function == UNKNOWN else None
    place = f"{call[2]}+{loaded[1]}" if loaded else call[2]
    frame = native(function, call[3], int(call[4]) if call[4] else None, place)
    if call[2] in system:
        frame = msgspec.structs.replace(frame, system=True)
    return frame, call[2]
