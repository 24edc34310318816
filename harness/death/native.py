"""The last output of C++, Rust, the C library, Python's own handler and others when a process dies.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.death import runtimes
from harness.death.frames import Frame, own
from harness.model.death import Kind
from harness.text import late

_UNCAUGHT = "terminate called after throwing an instance of"
_BACKTRACE = late.compile(r"stack backtrace:|\s+\d+: |\s+at |note: ")
_WHAT = late.compile(r"^\s*what\(\):\s*(.*)$")
_SUMMARY = late.compile(r"^SUMMARY: \w+Sanitizer: .+?(?: (\S+?):(\d+)(?::\d+)? in .+)?$")
_SANITIZER = late.compile(r"(?:ERROR|WARNING): (?:Address|Thread|Memory|Leak)Sanitizer: .+$")
_ABORTING = late.compile(r"^==\d+==ABORTING")
_DOTNET_AT = late.compile(r"^   at .+?(?: in (.+):line (\d+))?$")
_JULIA_AT = late.compile(r"^\s+@ (?:(?:Base|Core)\b.*|(?:[\w.]+ )?(\S+\.jl):(\d+))$")
_PYTHON_THREAD = late.compile(r"^(Current thread|Thread) 0x[0-9a-f]+.*most recent call first")
_PYTHON_FRAME = late.compile(r'^  File "(.+?)", line (\d+) in (.+?)\s*$')


@dataclass(frozen=True)
class Said:
    """One message."""

    kind: Kind
    text: str
    first: int
    """The index of its line."""
    end: int
    """The index of the line after its last."""
    place: str = ""
    """The user's own line, where it names one."""
    leaves: bool = False
    """True if what printed it ends the process with an exit code, never by a signal."""


_Reader = Callable[[re.Match[str], Sequence[str], int], Said | None]


def find(lines: Sequence[str]) -> list[Said]:
    """The messages in `lines`, in their order. The lines have no terminal sequences."""
    found: list[Said] = []
    at = 0
    while at < len(lines):
        said = _at(lines, at)
        if said is None:
            at += 1
            continue
        found.append(said)
        at = said.end
    return found


def _at(lines: Sequence[str], at: int) -> Said | None:
    for pattern, read in _FORMS:
        match = pattern.search(lines[at])
        if match and (said := read(match, lines, at)) is not None:
            return said
    return None


def _following(lines: Sequence[str], at: int) -> str:
    return lines[at + 1].strip() if at + 1 < len(lines) else ""


def _gnu(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    said = Said(Kind.TERMINATE, match[1], at, at + 1)
    what = _WHAT.match(lines[at + 1]) if at + 1 < len(lines) else None
    return replace(said, text=f"{match[1]}: {what[1].strip()}", end=at + 2) if what else said


def _llvm(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    text = match[1].strip()
    if text.endswith(":"):  # the message begins in the next line
        text = f"{text} {_following(lines, at)}"
    return Said(Kind.TERMINATE, text, at, at + 1)


def _no_exception(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    text = "std::terminate was called without an exception, as when a joinable thread is destroyed"
    return Said(Kind.TERMINATE, text, at, at + 1)


def _pure_virtual(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    # libstdc++ then ends the process as if an exception were missing.
    end = at + 2 if "terminate called without" in _following(lines, at) else at + 1
    return Said(Kind.TERMINATE, match[1], at, end)


def _go(match: re.Match[str], lines: Sequence[str], at: int) -> Said | None:
    if not runtimes.follows(lines, at, "goroutine "):
        return None
    place, end = runtimes.go(lines, at)
    return Said(Kind.PANIC, match[0], at, end, place)


def _java(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    place, end = runtimes.frames(lines, at)
    return Said(Kind.EXCEPTION, match[1], at, end, place)


def _javascript(match: re.Match[str], lines: Sequence[str], at: int) -> Said | None:
    if not runtimes.follows(lines, at, "    at ", within=1):
        return None
    place, end = runtimes.frames(lines, at)
    return Said(Kind.EXCEPTION, match[0], at, end, place)


def _panic(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    text = f"panic: {_following(lines, at)}"
    place, end = _rust(match[2], match[3], match[1]), _behind_backtrace(lines, at + 2)
    return Said(Kind.PANIC, text, at, end, place)


def _old_panic(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    place, end = _rust(match[3], match[4], match[1]), _behind_backtrace(lines, at + 1)
    return Said(Kind.PANIC, f"panic: {match[2]}", at, end, place)


def _behind_backtrace(lines: Sequence[str], at: int) -> int:
    """The line after the backtrace of a panic, if one begins at `at` (RUST_BACKTRACE)."""
    while at < len(lines) and _BACKTRACE.match(lines[at]):
        at += 1
    return at


def _rust(file: str, line: str, thread: str) -> str:
    where = Frame(file, int(line)).told
    return where if thread in ("main", "<unnamed>") else f"{where} in thread {thread}"


def _assertion(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    place = Frame(match["file"], int(match["line"])).told
    return Said(Kind.ABORT, f"assertion failed: {match['what'].strip()}", at, at + 1, place=place)


def _as_it_is(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    return Said(Kind.ABORT, " ".join(match[0].strip(" *").split()), at, at + 1)


def _sanitizer(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    """The report of a sanitizer: its summary names the line, and a table of bytes may follow."""
    place, end = "", at + 1
    for index in range(at + 1, min(len(lines), at + runtimes.LONGEST)):
        if _SANITIZER.search(lines[index]):
            break  # the next report
        if found := _SUMMARY.match(lines[index]):
            place, end = Frame(found[1], int(found[2])).told if found[1] else "", index + 1
        elif _ABORTING.match(lines[index]):
            end = index + 1
            break
    return replace(_as_it_is(match, lines, at), end=end, place=place)


def _behind_whole(lines: Sequence[str], at: int, text: str, within: int) -> int:
    """The line after the one that is `text` and nothing else; 0: none of the next ones is."""
    below = range(at + 1, min(len(lines), at + 1 + within))
    return next((index + 1 for index in below if lines[index] == text), 0)


def _r(match: re.Match[str], lines: Sequence[str], at: int) -> Said | None:
    end = _behind_whole(lines, at, "Execution halted", within=6)
    if not end:
        return None
    text = match[0].strip()
    if text.endswith(":"):
        text = f"{text} {_following(lines, at)}"
    return Said(Kind.EXCEPTION, text, at, end, leaves=True)


def _hotspot(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    """The report of the machine of Java, each line of which has a mark."""
    end = at + 1
    while end < len(lines) and lines[end].startswith("#"):
        end += 1
    more = next((text for line in lines[at + 1 : end] if (text := line.strip("# "))), "")
    return Said(Kind.ABORT, f"{match[1]} {more}".strip(), at, end)


def _swift(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    file, line = match["before"] or match["behind"], match["line"] or match["row"]
    # Swift's own library has no folder of the user's in front.
    users = file is not None and not file.startswith(("Swift/", "_"))
    place = Frame(file, int(line)).told if users else ""
    return Said(Kind.ABORT, match["text"].strip(), at, at + 1, place=place)


def _dotnet(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    place, end = "", at + 1
    while end < len(lines) and (frame := _DOTNET_AT.match(lines[end])):
        if not place and frame[1]:
            place = Frame(frame[1], int(frame[2])).told
        end += 1
    return Said(Kind.EXCEPTION, match[1], at, end, place)


def _julia(match: re.Match[str], lines: Sequence[str], at: int) -> Said | None:
    place, end = "", _behind_whole(lines, at, "Stacktrace:", within=12)
    if not end:
        return None
    while end < len(lines) and lines[end].startswith((" ", "in expression starting at ")):
        frame = _JULIA_AT.match(lines[end])
        if frame and frame[1] and not place:
            place = Frame(frame[1], int(frame[2])).told
        end += 1
    return Said(Kind.EXCEPTION, match[1], at, end, place, leaves=True)


def _objective_c(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    return Said(Kind.TERMINATE, f"{match[1]}: {match[2]}", at, at + 1)


def _python(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    """A fatal error with the stack of the thread in which it came, or else of the main one."""
    stacks: list[tuple[bool, list[Frame]]] = []
    end = at + 1
    while end < min(len(lines), at + runtimes.LONGEST):
        if thread := _PYTHON_THREAD.match(lines[end]):
            stacks.append((thread[1] == "Current thread", []))
        elif frame := _PYTHON_FRAME.match(lines[end]):
            if stacks:
                stacks[-1][1].append(Frame(frame[1], int(frame[2]), frame[3]))
        elif lines[end].strip() and not lines[end].startswith(("  ", "Python runtime state: ")):
            break
        end += 1
    # A thread of a library has no frame of Python. The main one, which is last, waits for it.
    known = [frames for current, frames in stacks if current and frames]
    known += [frames for _, frames in stacks[-1:]]
    users = own(known[0][::-1]) if known else None
    return Said(Kind.FAULT, match[1].strip(), at, end, place=users.told if users else "")


def _time_limit(match: re.Match[str], lines: Sequence[str], at: int) -> Said:
    """The stacks of `faulthandler.dump_traceback_later`, which may then leave with exit code 1."""
    return replace(_python(match, lines, at), leaves=True)


_FORMS: tuple[tuple[re.Pattern[str], _Reader], ...] = (
    (late.compile(rf"{_UNCAUGHT} '(.+)'"), _gnu),
    (late.compile(r"([Pp]ure virtual (?:method|function) called)"), _pure_virtual),
    (late.compile(r"terminate called without an active exception"), _no_exception),
    (
        late.compile(
            r"libc\+\+abi(?:\.dylib)?: terminating (?:due to|with) uncaught exception "
            r"of type (\S.*)"
        ),
        _llvm,
    ),
    (late.compile(r"libc\+\+abi(?:\.dylib)?: terminating"), _as_it_is),
    (
        late.compile(r"Terminating app due to uncaught exception '(\w+)', reason: '(.+?)'?$"),
        _objective_c,
    ),
    (late.compile(r"^thread '(.*?)' (?:\(\d+\) )?panicked at ([^'\s].*?):(\d+):\d+:$"), _panic),
    (
        late.compile(r"^thread '(.*?)' (?:\(\d+\) )?panicked at '(.*)', (.+?):(\d+):\d+$"),
        _old_panic,
    ),
    (late.compile(r"^Fatal Python error: (.+)$"), _python),
    (late.compile(r"^(Timeout \(\d+:\d\d:\d\d(?:\.\d+)?\)!)$"), _time_limit),
    (
        late.compile(r": (?P<file>[^:\s]+):(?P<line>\d+): .+: Assertion `(?P<what>.+)' failed\.$"),
        _assertion,
    ),
    (
        late.compile(
            r"Assertion failed: (?P<what>.+), function .+, file (?P<file>\S+), line (?P<line>\d+)"
        ),
        _assertion,
    ),
    (late.compile(r"failed assertion [`'].+'?$"), _as_it_is),
    (late.compile(r"\*\*\* (?:stack smashing|buffer overflow) detected \*\*\*"), _as_it_is),
    (
        late.compile(
            r"^(?:free|malloc|realloc|calloc|munmap_chunk|malloc_consolidate|mremap_chunk)\(\): "
            r".+$|^double free or corruption.*$|^corrupted (?:size|double-linked list).*$"
            r"|^(?:\S+: )?malloc: \*\*\* error for object .+$|^Fatal glibc error: .+$"
        ),
        _as_it_is,
    ),
    (late.compile(r"^(thread '.*?' (?:\(\d+\) )?has overflowed its stack)$"), _as_it_is),
    (
        late.compile(
            r"^(?:(?P<before>\S+\.swift):(?P<line>\d+): )?"
            r"(?P<text>(?:Fatal error|Assertion failed|Precondition failed)(?:: .+?)?)"
            r"(?:: file (?P<behind>\S+\.swift), line (?P<row>\d+))?$"
        ),
        _swift,
    ),
    (
        late.compile(
            r"^# (There is insufficient memory for the Java Runtime Environment to continue\."
            r"|A fatal error has been detected by the Java Runtime Environment:)"
        ),
        _hotspot,
    ),
    (late.compile(r"^Unhandled exception\. ([\w.]+(?:: .*)?)$"), _dotnet),
    (late.compile(r"^ERROR: (?:LoadError: )?(\w+(?:: .*)?)$"), _julia),
    (late.compile(r"^(?:panic|fatal error): .+$"), _go),
    (late.compile(r'^Exception in thread "[^"]*" ([\w.$]+(?:: .*)?)$'), _java),
    (late.compile(r"^(?:Uncaught )?(?:[A-Z]\w*)?Error(?: \[\w+\])?(?:: .*)?$"), _javascript),
    (late.compile(r"^Error(?: in .+?)? ?:.*$"), _r),
    (late.compile(r"^FATAL ERROR: .+$"), _as_it_is),
    (_SANITIZER, _sanitizer),
)
"""The forms of the messages, and the function that reads each."""
