"""The wait site of stacks: which thread waits for what, and a fingerprint of the whole.

Pure. Each thread is judged by the first rule of an ordered table that matches one of its frames;
then the thread that names the cause is picked. The fingerprint is the same for each run of the
same hang, whatever the addresses, the number of idle workers and the order of the threads, as long
as the same tool takes the stacks.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import msgspec

from harness.inject.inside import answering
from harness.stacks import frame_names, native_waits
from harness.stacks.parse.frames import UNKNOWN, Frame, Gil, ThreadStack, in_interpreter
from harness.stacks.parse.names import bare_name
from harness.stacks.wait_rules import (
    BLOCKING,
    EVENTS,
    NATIVE_LOCKS,
    REDRAWS,
    RULES,
    SERVES_MPI,
    SIGNALED,
    WORKER,
    Category,
    Scope,
)
from harness.text import late


class WaitSite(msgspec.Struct, frozen=True, kw_only=True):
    """The work or wait of one thread."""

    category: Category
    description: str
    """The end of a sentence: "waits for the network"."""
    function: str | None = None
    """The frame that says so."""
    python_frame: str | None = None
    """The user's code that it is called from, such as `train.py:12 in step`."""
    native_frame: str | None = None
    """The same where there is no Python: `trainer.cpp:28 in fault`, `trainer::step` without
    lines, `trainer+0x1a2b3c` without symbols."""
    tid: int | None = None
    thread: str = ""
    main: bool = False
    holds_gil: bool = False

    @property
    def place(self) -> str | None:
        """The user's own line that it is in, as far as the stack shows it."""
        return self.python_frame or self.native_frame


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """The waits of a whole process."""

    overall: WaitSite
    """The site of the thread that names the cause; usually, but not always, the main one."""
    threads: tuple[WaitSite, ...]
    """All of them, the main one first."""
    fingerprint: str


_STREAM = late.compile(r"mlx::core::")


def explain(threads: Sequence[ThreadStack]) -> Waits | None:
    """The waits of the process that has `threads`; None when there are none."""
    if not threads:
        return None
    looked = _look(threads)
    return Waits(
        overall=_overall(looked)[1],
        threads=tuple(site for _, site in looked),
        fingerprint=fingerprint(threads),
    )


def describe(site: WaitSite) -> str:
    """`waits for ... (function), from file.py:12 in step`."""
    place = site.place if site.place != site.function else None
    again = place is not None and place.endswith(f" in {site.function}")
    function = f" ({site.function})" if site.function and not again else ""
    return site.description + function + (f", from {place}" if place else "")


def clearest(looks: Iterable[Sequence[ThreadStack]]) -> Waits | None:
    """The waits in the first of `looks` in which the thread that names the cause could be seen.

    Where none is such, what the first one shows. One caught in code without names, as of a C
    library that copies memory, may well have been seen by the next.
    """
    explained = [waits for threads in looks if (waits := explain(threads)) is not None]
    known = (waits for waits in explained if waits.overall.category is not Category.UNKNOWN)
    return next(known, explained[0] if explained else None)


_Looked = Sequence[tuple[ThreadStack, WaitSite]]


def _look(threads: Iterable[ThreadStack]) -> _Looked:
    """Each thread with what it does, the main one first."""
    looked = [(thread, wait_site(thread)) for thread in threads]
    return sorted(looked, key=lambda pair: not (pair[0].main or frame_names.in_module(pair[0])))


def wait_site(thread: ThreadStack) -> WaitSite:
    """The work or wait of one thread: the one that it was in most, where it was looked at often."""
    thread = _most_seen(thread)
    category, function, description = _judge(thread)
    holds = thread.gil is Gil.HOLDS
    if holds and (category is Category.SLEEP or description == SIGNALED):
        category, description = Category.GIL, "holds Python's global interpreter lock and sleeps"
    return WaitSite(
        category=category,
        description=description,
        function=function,
        python_frame=(code := frame_names.python_frame(frame_names.whole(thread))),
        native_frame=None if code else _native_frame(thread.frames, category, function),
        tid=thread.tid,
        thread=thread.name,
        main=thread.main,
        holds_gil=holds,
    )


def classes(thread: ThreadStack) -> Mapping[Category, float]:
    """The share of the looks at a thread in which it was seen to do each kind of thing."""
    ways = _ways(thread)
    every = sum(looks for _, looks in ways)
    shares: Counter[Category] = Counter()
    for way, looks in ways:
        shares[_judge(way)[0]] += looks
    return {category: looks / every for category, looks in shares.most_common()}


def moves(thread: ThreadStack) -> bool:
    """True if the looks of one capture saw a thread in several places.

    One that runs in the interpreter may be anywhere: no frame tells of which line.
    """
    return lines_unseen(thread) or places(thread) > 1


def lines_unseen(thread: ThreadStack) -> bool:
    """True if a thread was seen to run in the interpreter, and nothing tells in which functions."""
    return not thread.python and any(
        not frame_names.own_lines(way.frames) and _judge(way)[0] is Category.RUNNING
        for way, _ in (_ways(thread) if thread.shares else ())
    )


def places(thread: ThreadStack) -> int:
    """The number of places of a user's code in which one capture saw a thread."""
    return len({frame_names.own_lines(way.frames) for way, _ in _ways(thread)})


def _ways(thread: ThreadStack) -> list[tuple[ThreadStack, int]]:
    """Each path that a thread was seen in as a stack of its own, with the number of looks."""
    if not thread.shares:
        return [(thread, 1)]
    change = msgspec.structs.replace
    return [
        (change(thread, frames=one.frames, running=one.running, shares=()), one.looks)
        for one in thread.shares
    ]


def _most_seen(thread: ThreadStack) -> ThreadStack:
    """A thread as it was seen most: of the commonest kind of thing the commonest path."""
    if not thread.shares:
        return thread
    most = next(iter(classes(thread)))
    return next(way for way, _ in _ways(thread) if _judge(way)[0] is most)


def _judge(thread: ThreadStack) -> tuple[Category, str | None, str]:
    frames = thread.frames
    if thread.name == answering.NAME:
        return Category.IDLE, None, "has nothing to do but to answer the harness"
    tip = frame_names.tip(frames)
    keys = [frame_names.key(frame) for frame in frames]
    blocked = any(pattern.search(key) for key in keys[:tip] for pattern in BLOCKING)
    if thread.gil is Gil.WAITS or frame_names.interrupted(frames):
        return Category.GIL, "take_gil", "waits for Python's global interpreter lock"
    worker = tip < len(frames) and _is_worker(frames[tip])
    # The ring's socket threads poll at full speed: running in their loop is no work either.
    if worker and (blocked or "SocketThread" in keys[tip]):
        return Category.IDLE, keys[tip], "has nothing to do"
    if blocked and _waits_for_events(frames):
        return Category.IDLE, keys[tip], SERVES_MPI
    waits_in_pool = native_waits.idle(frames) if blocked else None
    if waits_in_pool:
        return Category.IDLE, waits_in_pool[1].bare, waits_in_pool[0].description
    for rule in RULES:
        if rule.scope is Scope.ANYWHERE_BLOCKED and not blocked:
            continue
        end = tip if rule.scope is Scope.TIP else len(frames)
        for index in range(end):
            if rule.pattern.search(keys[index]):
                wait = rule.pattern in NATIVE_LOCKS and native_waits.native_wait(frames)
                if wait:
                    return wait[0].category, wait[1].bare, wait[0].description
                return rule.category, frame_names.name(frames[index]), rule.description
    # The C library's own function may have no name.
    wait = native_waits.native_wait(frames) if _hidden(frames[0]) and not thread.running else None
    if wait:
        return wait[0].category, wait[1].bare, wait[0].description
    return _unmatched(thread)


def _is_worker(frame: Frame) -> bool:
    key = frame_names.key(frame)
    return WORKER.search(key) is not None or (frame.installed, key) in REDRAWS


def _waits_for_events(frames: Sequence[Frame]) -> bool:
    """Check whether this is a thread of MPI itself, which waits for messages of the launcher."""
    first = next((frame for frame in reversed(frames) if not frame.system), None)
    return (
        first is not None
        and not first.python
        and any(EVENTS.match(name) for name in (first.file or "", bare_name(first.function)))
    )


def _unmatched(thread: ThreadStack) -> tuple[Category, str | None, str]:
    first = thread.frames[0]
    known = next(
        (frame_names.name(frame) for frame in thread.frames if frame.function != UNKNOWN), None
    )
    visible = thread.native and not _hidden(first)
    if thread.running or (thread.running is None and visible):
        return Category.RUNNING, known, "is running"
    return Category.UNKNOWN, known, "is blocked" if thread.running is False else "was not seen"


def _hidden(frame: Frame) -> bool:
    """Check whether `frame` may wait: the interpreter's own code does so in the C library alone."""
    return frame.function == UNKNOWN and frame.system and not in_interpreter(frame)


def _overall(looked: _Looked) -> tuple[ThreadStack, WaitSite]:
    """The main thread, unless what it waits for is visible in another one."""
    (thread, main), *others = looked
    change = msgspec.structs.replace
    if main.category is Category.GIL and not main.holds_gil:
        return next((pair for pair in others if pair[1].holds_gil), looked[0])
    if main.category is Category.STREAM_EVALUATION:
        workers = [pair for pair in others if _works_for_a_stream(pair[0])]
        for category in _NAMED_BY_A_WORKER:
            for worker, site in workers:
                if site.category is category:
                    return worker, change(site, python_frame=main.python_frame)
    waiting = sum(site.category is Category.GIL for _, site in others)
    sits = main.category in (Category.SLEEP, Category.UNKNOWN) or main.description == SIGNALED
    if waiting and sits:
        description = "is blocked while another thread waits for the global interpreter lock"
        return thread, change(main, category=Category.GIL, description=description)
    locked = sum(
        site.category is Category.LOCK and site.python_frame is not None for _, site in others
    )
    if locked and main.category is Category.LOCK:
        many = "does another Python thread" if locked == 1 else f"do {locked} other Python threads"
        also = f"{main.description}, and so {many}"
        return thread, change(main, description=also)
    return looked[0]


_NAMED_BY_A_WORKER = (
    Category.COLLECTIVE,
    Category.JIT,
    Category.MEMORY,
    Category.CHILD,
    Category.LOCK,
    Category.GIL,
    Category.IO,
    Category.RUNNING,
)


def _works_for_a_stream(thread: ThreadStack) -> bool:
    return not any(frame.python for frame in thread.frames) and any(
        _STREAM.match(bare_name(frame.function)) for frame in thread.frames if not frame.python
    )


def fingerprint(threads: Iterable[ThreadStack]) -> str:
    """12 hexadecimal digits that name this hang.

    Threads count once however many are alike, and not at all if they have nothing to do. Of a
    blocked one counts what it waits for and the code it is in, lines of Python included; of one
    that runs only the functions of Python, or the outermost native one: where exactly it was caught
    is chance. Digests, offsets and lines of native code do not count: each build has others.
    """
    most = map(_most_seen, threads)
    judged = [(thread, _judge(thread)[0]) for thread in most]
    busy = [pair for pair in judged if pair[1] is not Category.IDLE]
    return digest(sorted({_signature(*pair) for pair in busy or judged}))


def digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode(errors="backslashreplace")).hexdigest()[:12]


def _signature(thread: ThreadStack, category: Category) -> str:
    if not any(frame.python for frame in thread.frames):
        return _native_signature(thread, category)
    own = [
        frame
        for frame in thread.frames
        if not frame.system and frame.function not in (UNKNOWN, *frame_names.COMPREHENSIONS)
    ]
    if category in (Category.RUNNING, Category.GIL, Category.UNKNOWN):
        names = [frame_names.last(frame.function) for frame in own if frame.python]
    else:
        names = [
            f"{frame.file}:{frame.line}:{frame_names.last(frame.function)}"
            if frame.python
            else frame.bare
            for frame in own
        ]
    return " ".join([category.value, *names])


def _native_signature(thread: ThreadStack, category: Category) -> str:
    own = native_waits.written(thread.frames)
    names = [_written_name(frame) for frame in own if frame.function != UNKNOWN]
    if not names:
        # Without symbols a depth and the thread's name are all that survives another build.
        title = "" if thread.main else re.sub(r"\d+", "", thread.name)
        names = [word for word in (f"{len(own)} without names" if own else "", title) if word]
    elif category in (Category.RUNNING, Category.GIL, Category.UNKNOWN):
        names = names[-1:]
    wait = native_waits.native_wait(thread.frames) if category in _NATIVE_KINDS else None
    kind = [wait[0].kind] if wait else []
    return " ".join([category.value, *kind, *(name for name, _ in groupby(names))])


_NATIVE_KINDS = (Category.LOCK, Category.QUEUE)


def _written_name(frame: Frame) -> str:
    """A function's name without the closures in it, which are numbered or inlined anew."""
    return re.sub(r"(::\{+(closure|lambda)[^}]*\}+)+(::operator\(\))?", "", frame.bare)


def same_place(first: Sequence[ThreadStack], other: Sequence[ThreadStack]) -> bool:
    """Check whether the main thread and the one that names the cause have not moved between two
    looks, nor during one of them.

    Others are not asked: a network thread may spin for ever in a job that is dead.
    """
    if any(moves(thread) for threads in (first, other) for thread in _that_matter(threads)):
        return False
    return _places(first) == _places(other) and fingerprint(first) == fingerprint(other)


def ways(thread: ThreadStack) -> tuple[tuple[Frame, ...], ...]:
    """Each path that a thread was seen in."""
    return tuple(way.frames for way, _ in _ways(thread))


def _places(threads: Sequence[ThreadStack]) -> set[tuple[object, ...]]:
    return {
        (thread.tid, *frame_names.own_lines(frame_names.whole(_most_seen(thread))))
        for thread in _that_matter(threads)
    }


def _that_matter(threads: Sequence[ThreadStack]) -> tuple[ThreadStack, ...]:
    """The main thread and the one that names the cause."""
    if not threads:
        return ()
    looked = _look(threads)
    return looked[0][0], _overall(looked)[0]


def _native_frame(frames: Sequence[Frame], category: Category, function: str | None) -> str | None:
    """The innermost native frame that a user wrote; of a known package where there is none such
    and the wait itself is not in a package."""
    if category is Category.IDLE:
        return None
    code = native_waits.written(frames)
    own = next((frame for frame in code if not frame.package), None)
    if own is None and function not in [frame.bare for frame in code]:
        own = next(iter(code), None)
    if own is None:
        return None
    if own.function == UNKNOWN:
        return own.module_offset
    return f"{own.file}:{own.line} in {own.bare}" if own.line else own.bare
