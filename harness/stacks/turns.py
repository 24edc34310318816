"""Native calls of a thread, and those that do nothing but wait for another thread. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile, takewhile

from harness.stacks import frame_names, wait_site
from harness.stacks.parse import Frame, ThreadStack
from harness.stacks.parse.frames import UNKNOWN, in_interpreter
from harness.stacks.parse.names import bare_name
from harness.text import late

_WAITS = late.compile(
    r"(^|::|\.)_*("
    r"(\w+_)?sched_yield(_impl)?|(thrd|gthread|thread|kmp)_yield|pthread_yield(_np)?|yield_now"
    r"|osyield|procyield|swtch(_pri)?|thread_switch|SwitchToThread|thread_relax"
    r"|(mm|cpu|machine)_(pause|relax)|spin_(loop|wait)(_hint)?|do_spin|atomic_spin"
    r"|(\w+_)?spin_?(try_?)?lock|OSSpinLock\w*|os_unfair_lock_trylock"
    r"|pthread_rwlock_try(rd|wr)lock|(raw_)?try_?lock(_(shared|for|until))*"
    r"|cmpxchg\w*|(atomic_)?compare_exchange(_(weak|strong|n))*"
    r")$"
    r"|(^|::)(this_thread::yield|(Backoff|atomic_backoff|SpinWait|SpinLock)::\w+)$"
)
"""Functions that do nothing but wait for another thread, by their whole names: one that a user has
written may be called `yield_batches` or `spinner_update`."""
_BACKTRACKS = late.compile(
    r"^_?sre_\w+$|^std::__detail::_Executor::|^boost::re_detail\w*::|^pcre2?_(match|exec)\w*$"
)
_ENGINES = late.compile(r"^(_sre|_regex|libpcre2?(-\w+)?|libonig)(\.|$)")
"""Functions and libraries that search with a regular expression, and try each way to match it."""
_TURNS = late.compile(
    r"^_*(pthread_cond_|pthread_mutex_|psynch_|futex|lll_|take_gil|drop_gil|PyEval_(Save|Restore|Acquire"
    r"|Release)(Thread|Lock)|PyThreadState_(At|De)tach)"
)
"""Functions by which a thread gives the interpreter to others, and waits for its turn."""
_ASKS_TIME = late.compile(
    r"^_*(time_(time|monotonic|perf_counter|process_time|thread_time)(_ns)?"
    r"|get_(monotonic|perf_counter)|py_get_(monotonic|system)_clock|(Py_?Time|pytime|vdso)_\w+"
    r"|(kernel_)?clock_gettime(64)?|gettimeofday|mach_(absolute|continuous)_time)$"
)
"""Functions that ask for the time: a call of one takes none, and most of a loop up to some time is
in one."""
_NEARLY = 0.75
"""Share of the looks. A call of Python around it takes a fraction of the time of one into the
kernel."""
_EVALUATES = ("_PyEval", "PyEval", "_PyObject", "PyObject", "_PyFunction", "PyNumber", "Py_")
"""Begins of functions of the interpreter through which every loop of Python goes."""
_RE = frozenset(
    (file, function)
    for file in ("re.py", "__init__.py")
    for function in ("match", "fullmatch", "search", "sub", "subn", "split", "findall")
)
"""Files and functions of Python's module `re` that search."""


def calls(stack: ThreadStack) -> list[list[str]]:
    """The native functions that its innermost one of Python called, innermost first: a list for
    each path that it was seen in.

    Those without a name are left out where a path may have left out the interpreter's own.
    """
    with_unknown = bool(stack.shares)
    return [_called(way, with_unknown) for way in wait_site.ways(stack)]


def _called(way: Sequence[Frame], with_unknown: bool) -> list[str]:
    own = takewhile(lambda frame: not frame.python and not frame_names.evaluates(frame), way)
    names = (bare_name(frame.function) for frame in own)
    return [name for name in names if with_unknown or name != UNKNOWN]


def only_waits(stack: ThreadStack) -> bool | None:
    """True if a thread is in a native function that does nothing but wait for another thread; None
    if it waits for its turn in the interpreter, and nothing tells what it does with it."""
    told = set(map(_only_waits, calls(stack))) - {None}
    return None if not told else told == {True}


def _only_waits(called: Sequence[str]) -> bool | None:
    inner = list(dropwhile(_TURNS.match, called))
    if inner and _WAITS.search(inner[0]):
        return True
    of_the_loop = all(name.startswith(_EVALUATES) for name in inner)
    return None if len(inner) < len(called) and of_the_loop else False


def yields(stack: ThreadStack) -> bool:
    """True if a thread was seen to yield at nearly all looks of one capture, and else to be in the
    interpreter itself, or to wait for its turn in it."""
    every = yielded = 0
    ways = zip(calls(stack), stack.shares, strict=True) if stack.shares else ()
    for called, share in ways:
        waits = _only_waits(called)
        if waits is False and called:
            return False
        every += share.looks
        # At its turn it may be about to yield, or come from it: that tells nothing.
        yielded += share.looks * (waits is not False)
    return bool(every) and yielded >= _NEARLY * every and any(map(_only_waits, calls(stack)))


def of_libraries(stack: ThreadStack) -> set[str]:
    """The calls of one thread that are no part of the interpreter, and that may take long.

    They are in each path that it was seen in.
    """
    return set.intersection(*map(_of_libraries, calls(stack)))


def _of_libraries(called: Sequence[str]) -> set[str]:
    if called and _WAITS.search(called[0]):
        return set()
    every = (name for name in called if not name.startswith(_EVALUATES))
    return {name for name in every if not (_TURNS.match(name) or _ASKS_TIME.match(name))}


def backtracks(stack: ThreadStack) -> bool:
    """True if it searches with a regular expression, which may take for ever.

    Where the interpreter has no symbols, a function of Python's own library says so.
    """
    return all(map(_backtracks, wait_site.ways(stack)))


def _backtracks(way: Sequence[Frame]) -> bool:
    called = [*takewhile(lambda frame: not frame.python, way)]
    if any(_BACKTRACKS.match(one.bare) or _ENGINES.match(one.file or "") for one in called):
        return True
    callers = way[len(called) : len(called) + 1] if called else ()
    return any(one.system and (one.file, one.function) in _RE for one in callers)


def unnamed(stack: ThreadStack) -> bool:
    """True if it is in a call within an interpreter without symbols, whatever that does."""
    called = takewhile(lambda frame: not frame.python, stack.frames)
    return any(frame.function == UNKNOWN and in_interpreter(frame) for frame in called)
