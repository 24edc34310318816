"""The output of Go, Java and JavaScript when nobody catches a failure. Pure.

The forms are those of Go 1.x, of the JVM's default handler and of Node.js.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.death.frames import Frame
from harness.text import late

LONGEST = 200
"""Lines after the first one in which more of the same is looked for."""
_GO = late.compile(r"^\t(?P<file>\S.*?):(?P<line>\d+)(?: \+0x[0-9a-f]+)?$")
_GO_LINE = late.compile(
    r"^(?:\S{1,500}\(.*\)|\tpanic: .*|goroutine \d+ .*|created by .*|\[signal .*|)$"
)
_GO_OWN = late.compile(r"/go/(?:src|pkg/mod)/|/usr/lib/go")
_AT = late.compile(
    r"^\s+at (?:(?P<function>[^()]{1,300}?) )?\(?(?:file://)?(?P<file>[^()]{0,1000}?)"
    r":(?P<line>\d+)(?::\d+)?\)?(?: \{)?$"
)
_JAVA_AT = late.compile(r"^\s+at (?P<function>[\w.$<>/@]+)\((?P<file>\w+\.\w+):(?P<line>\d+)\)$")
_MORE = late.compile(r"^\s+(?:at |\.\.\. \d+ more)|^Caused by: ")
_OF_THE_RUNTIME = late.compile(
    r"^(?:java|javax|jdk|sun|kotlin)\.|^node:|/node_modules/|^java\.base/"
)
_NODE = late.compile(r"^Node\.js v\d+")


def go(lines: Sequence[str], at: int) -> tuple[str, int]:
    """The user's line in the goroutines below the line `at`, and the line after them."""
    place, end = "", at + 1
    while end < min(len(lines), at + LONGEST):
        if found := _GO.match(lines[end]):
            if not place and not _GO_OWN.search(found["file"]):
                place = Frame(found["file"], int(found["line"])).told
        elif not _GO_LINE.match(lines[end]):
            break
        end += 1
    return place, end


def frames(lines: Sequence[str], at: int) -> tuple[str, int]:
    """The user's line in the frames of Java or JavaScript below the line `at`, and the line after
    them."""
    place, end = "", at + 1
    while end < min(len(lines), at + LONGEST):
        found = _JAVA_AT.match(lines[end]) or _AT.match(lines[end])
        if found and not place:
            where = (found["function"] or "", found["file"])
            if not any(map(_OF_THE_RUNTIME.search, where)):
                place = Frame(found["file"], int(found["line"])).told
        elif not found and not _MORE.match(lines[end]):
            break
        end += 1
    return place, _behind(lines, end)


def _behind(lines: Sequence[str], end: int) -> int:
    """The line after the name of the version, which Node.js prints last."""
    rest = [at for at in range(end, min(len(lines), end + 8)) if _NODE.match(lines[at])]
    return rest[0] + 1 if rest else end


def follows(lines: Sequence[str], at: int, start: str, within: int = 4) -> bool:
    """True if one of the lines below begins with `start`."""
    return any(line.startswith(start) for line in lines[at + 1 : at + 1 + within])
