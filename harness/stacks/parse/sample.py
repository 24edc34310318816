"""The report of macOS `sample`: a tree of calls for each thread, with the number of looks.

A waiting thread has one branch. Where a thread was seen in several, the one seen most is taken.
Offsets and addresses follow the library: `f  (in libmlx.dylib) + 100  [0x10]`.
"""

from __future__ import annotations

import re

from harness.stacks.parse.frames import UNKNOWN, Frame, ThreadStack, native

_NODE = re.compile(r"([\s+!:|]*)(\d+) (.+)$")
_THREAD = re.compile(r"Thread_(\d+)(?:: | +)?(.*)$")
_CALL = re.compile(r"(.+?)  \(in (.+?)\)(?: \+ [\d,.]+)?(?:  \[.*\])?(?:  (\S+):(\d+))?")
_LOADED = re.compile(r"  load address 0x[0-9a-f]+ \+ (0x[0-9a-f]{1,16})\b")
"""The place in its library of a call without a name."""
_MAIN = "com.apple.main-thread"


def parse(text: str, pid: int) -> tuple[ThreadStack, ...]:
    """`pid` is not in a thread's line: the main one is told by its dispatch queue."""
    _, _, tree = text.partition("Call graph:\n")
    threads: list[tuple[re.Match[str], list[tuple[int, int, Frame]]]] = []
    for line in tree.splitlines():
        node = _NODE.match(line)
        if not node:
            break
        if header := _THREAD.match(node[3]):
            threads.append((header, []))
        elif threads:
            threads[-1][1].append((len(node[1]), int(node[2]), _frame(node[3])))
    return tuple(
        ThreadStack(
            frames=tuple(reversed(_heaviest(nodes))),
            tid=int(header[1]),
            name=header[2].strip(),
            main=_MAIN in header[2],
        )
        for header, nodes in threads
    )


def _heaviest(nodes: list[tuple[int, int, Frame]]) -> list[Frame]:
    """The path that takes the most often seen child at each node; outermost first."""
    path: list[Frame] = []
    start, end = 0, len(nodes)
    while start < end:
        depth = nodes[start][0]
        children = [index for index in range(start, end) if nodes[index][0] == depth]
        best = max(children, key=lambda index: nodes[index][1])
        path.append(nodes[best][2])
        start, end = best + 1, next((index for index in children if index > best), end)
    return path


def _frame(text: str) -> Frame:
    call = _CALL.match(text)
    if not call:
        return native(text.strip(), None, None, None)
    function = UNKNOWN if call[1].startswith(UNKNOWN) else call[1]
    loaded = _LOADED.search(text) if function == UNKNOWN else None
    library = f"{call[2]}+{loaded[1]}" if loaded else call[2]
    return native(function, call[3], int(call[4]) if call[4] else None, library)
