"""The waits of native code, C, C++ and Rust: an ordered table, the first match decides.

Which function of the C library a thread sits in says little: a queue, a future and a latch all end
in one. The functions between it and the first frame that somebody wrote say what is waited for.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from harness.stacks.parse.frames import UNKNOWN, Frame
from harness.stacks.wait_rules import MUTEX, RW_LOCK, Category
from harness.text import late


class NativeWait(NamedTuple):
    """A kind of wait that is told apart from the others."""

    kind: str
    """Part of fingerprints: it stays as it is whatever the words become."""
    category: Category
    pattern: re.Pattern[str]
    """Searched in the plain name of a function."""
    description: str


class Idle(NamedTuple):
    """A thread that has nothing to do, by the innermost function that is not the C library's."""

    pattern: re.Pattern[str]
    description: str
    conditions_only: bool = False
    """True if such a thread may as well wait for a lock in code that was inlined into it."""


_RUST_SYNC = r"std::(sys::(\w+::)*|sync::(\w+::)*)"
WAITS = tuple(
    NativeWait(kind, category, late.compile(pattern), description)
    for kind, category, pattern, description in (
        ("rwlock", Category.LOCK,
         _RUST_SYNC + r"RwLock::(read|write|lock)|parking_lot::(\w+::)*RawRwLock::"
         r"|std::(__)?shared_(timed_)?mutex\w*::(try_)?lock|std::__glibcxx_rwlock_"
         r"|^_?pthread_rwlock_",
         RW_LOCK),
        ("mutex", Category.LOCK,
         _RUST_SYNC + r"Mutex::lock|parking_lot::(\w+::)*Raw(Reentrant)?Mutex::lock"
         r"|std::(\w+::)?(recursive_)?(timed_)?mutex::(try_)?lock|^__gthread_\w*mutex\w*lock"
         r"|^_?pthread_mutex_(timed|clock)?lock|^_*(GI_)?_*lll_lock_wait",
         MUTEX),
        ("join", Category.LOCK,
         r"std::thread::(\w+::)*(JoinInner|JoinHandle|scoped)\b.*::(join|scope)|Thread::join$"
         r"|std::(\w+::)?j?thread::join$|^_?pthread_(timed|clock|try)?join(_\w+)?$",
         "waits for another thread to end"),
        ("once", Category.LOCK,
         _RUST_SYNC + r"Once(Lock)?::|once_cell::|std::call_once|^_?pthread_once"
         r"|__cxa_guard_acquire",
         "waits for an initialization by another thread"),
        ("barrier", Category.LOCK,
         r"std::sync::(\w+::)*Barrier::wait|^_?pthread_barrier_wait",
         "waits at a barrier for other threads"),
        ("send", Category.QUEUE,
         r"std::sync::(mpsc|mpmc)::(\w+::)*\w+::send|(crossbeam_channel|flume|kanal)::(\w+::)*\w+::send"
         r"|tokio::sync::mpsc::(\w+::)*\w+::blocking_send",
         "waits for room in a channel"),
        ("channel", Category.QUEUE,
         r"std::sync::(mpsc|mpmc)::|(crossbeam_channel|flume|kanal)::"
         r"|tokio::sync::mpsc::(\w+::)*\w+::blocking_recv",
         "waits for a message from a channel"),
        ("runtime", Category.QUEUE,
         r"::block_on\b",
         "waits for an async task to complete"),
        ("future", Category.QUEUE,
         r"std::(__)?(basic_|shared_)?future\w*::|std::__future_base::|std::packaged_task"
         r"|std::__atomic_futex_unsigned",
         "waits for a future"),
        ("pool", Category.QUEUE,
         r"rayon_core::(latch|registry|join|scope)::", "waits for the jobs of a thread pool"),
        # Whether these are seen, or only the atomics below them, is the compiler's choice.
        ("atomic", Category.LOCK, r"std::(\w+::)?latch::", "waits for a latch"),
        ("atomic", Category.LOCK, r"std::(\w+::)?barrier::",
         "waits at a barrier for other threads"),
        ("atomic", Category.LOCK, r"std::(\w+::)?counting_semaphore::", "waits for a semaphore"),
        ("semaphore", Category.LOCK, r"^_*(new_)?sem_(timed|clock)?wait", "waits for a semaphore"),
        ("condition", Category.LOCK,
         _RUST_SYNC + r"Condvar::wait|parking_lot::(\w+::)*Condvar::"
         r"|std::(\w+::)?condition_variable(_any)?::wait|^_?pthread_cond_(timed|clock)?wait",
         "waits for a condition variable"),
        ("park", Category.LOCK,
         r"std::thread::(\w+::)*(Thread::)?park|std::sys\w*::(\w+::)*thread_park|parking_lot_core::|crossbeam_utils::sync::parker",
         "waits for another thread to unpark it"),
        ("atomic", Category.LOCK,
         r"std::__atomic_base::wait|std::__atomic_wait_address|std::(\w+::)?atomic\w*::wait"
         r"|std::__detail::__(waiter|platform_wait)|std::atomic_flag::wait",
         "waits for an atomic: a latch, barrier, semaphore or flag"),
    )
)  # fmt: skip

STREAM = "has nothing to do: an idle stream thread of MLX"
IDLE = tuple(
    Idle(late.compile(pattern), description, only)
    for pattern, description, only in (
        (r"StreamThread::thread_fn$", STREAM, False),
        (r"std::(\w+::)?thread::_State_impl::_M_run$|__thread_proxy$", "has nothing to do", True),
        (r"^rayon_core::sleep::|^rayon_core::registry::WorkerThread::wait_until_cold$",
         "has nothing to do: an idle worker of rayon", True),
        (r"^tokio::runtime::scheduler::multi_thread::park::",
         "has nothing to do: an idle worker of tokio", True),
        (r"^tokio::runtime::blocking::pool::Inner::run$",
         "has nothing to do: an idle worker of tokio", True),
    )
)  # fmt: skip
_FOR_WORK = ("condition", "park", "semaphore", "atomic")
"""The kinds of waits in which a pool's thread waits for something to do."""
_LIBMLX = late.compile(r"^libmlx\.(so|dylib)")
_DRIVES = late.compile(r"^tokio::runtime::(time|io|driver|signal|process)::")
_AT_WORK = late.compile(rf"{_DRIVES.pattern}|^rayon_core::(join|scope|job)::")
"""Functions of pools whose threads have something to do, or to look after."""
_SERVES = NativeWait(
    "driver", Category.LOCK, _DRIVES, "waits for timers and events of an async runtime"
)
"""The one worker of tokio that looks after them for all."""
_BLOCKS_ON = late.compile(r"::block_on\b")
_MAIN = late.compile(r"^std::rt::lang_start")


def written(frames: Sequence[Frame]) -> list[Frame]:
    """The native frames that are not the system's, without the `main` that Rust makes itself."""
    own: list[Frame] = []
    for frame in frames:
        if _MAIN.match(frame.bare):
            break
        if not frame.system and not frame.python:
            own.append(frame)
    return own


def between(frames: Sequence[Frame]) -> Sequence[Frame]:
    """The innermost frames, up to the first one that somebody wrote."""
    last = next(
        (i for i, f in enumerate(frames) if f.python or not (f.system or f.package)), len(frames)
    )
    return frames[:last]


def native_wait(frames: Sequence[Frame]) -> tuple[NativeWait, Frame] | None:
    """The wait that the innermost frames show, and the outermost frame that says so.

    None of a thread of Python, which has words of its own, and of one that shows none of them.
    """
    if any(frame.python for frame in frames):
        return None
    inner = between(frames)
    drives = [frame for frame in inner if _DRIVES.match(frame.bare)]
    if drives and not any(_BLOCKS_ON.search(frame.bare) for frame in inner):
        return _SERVES, drives[-1]
    best = min((number for frame in inner for number in _tells(frame.bare)), default=None)
    if best is None:
        return None
    return WAITS[best], [frame for frame in inner if best in _tells(frame.bare)][-1]


@functools.lru_cache(maxsize=4096)
def _tells(name: str) -> tuple[int, ...]:
    """The rows of the table that a plain name matches."""
    return tuple(number for number, wait in enumerate(WAITS) if wait.pattern.search(name))


def idle(frames: Sequence[Frame]) -> tuple[Idle, Frame] | None:
    """The pool whose thread has nothing to do, where these are the frames of one that waits."""
    place = next((i for i, f in enumerate(frames) if not f.system or _is_worker(f.bare)), None)
    if place is None or any(_AT_WORK.match(frame.bare) for frame in frames):
        return None
    frame, rest = frames[place], frames[place + 1 :]
    if any(not one.package and one.function != UNKNOWN for one in written(rest)):
        return None
    wait = native_wait(frames[:place])
    for_work = wait is None or wait[0].kind in _FOR_WORK
    if frame.function == UNKNOWN and _LIBMLX.match(frame.file or ""):
        return (IDLE[0], frame) if for_work and rest and not written(rest) else None
    for one in IDLE:
        if one.pattern.search(frame.bare) and (for_work or not one.conditions_only):
            return one, frame
    return None


@functools.lru_cache(maxsize=4096)
def _is_worker(name: str) -> bool:
    return any(one.pattern.search(name) for one in IDLE)
