"""The form in which frames are compared and told, and what the innermost of them say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.stacks.parse.frames import Frame, ThreadStack
from harness.stacks.parse.names import bare_name
from harness.text import late

COMPREHENSIONS = ("<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>")
"""A thread is caught in one of these or in the function around it by chance."""
_MADE = "<string>"
"""The file of code that was made from a text, as of `python -c` as well."""
_EVALUATOR = late.compile(r"_?PyEval_EvalFrame(Default|Ex)?$")


def evaluates(frame: Frame) -> bool:
    """True of the interpreter's function that runs a function of Python."""
    return not frame.python and _EVALUATOR.match(frame.function) is not None


def hides_python(thread: ThreadStack) -> bool:
    """True if functions of Python are on its stack, and nothing tells which."""
    return not any(frame.python for frame in whole(thread)) and any(map(evaluates, thread.frames))


def tip(frames: Sequence[Frame]) -> int:
    """The number of innermost frames that are the system's."""
    return next((index for index, frame in enumerate(frames) if not frame.system), len(frames))


def interrupted(frames: Sequence[Frame]) -> bool:
    """Check whether Python code itself waits on a condition: so it does for the GIL and nothing
    else.

    A Python frame that calls a lock or a sleep has that function of the interpreter in between.
    """
    names = []
    for frame in frames:
        if frame.python:
            break
        names.append(bare_name(frame.function))
    return bool(names) and len(names) < len(frames) and names[-1] == "pthread_cond_timedwait"


def in_module(thread: ThreadStack) -> bool:
    return any(frame.python and frame.function == "<module>" for frame in thread.frames)


def key(frame: Frame) -> str:
    return f"{frame.file}:{last(frame.function)}" if frame.python else bare_name(frame.function)


def name(frame: Frame) -> str:
    return last(frame.function) if frame.python else bare_name(frame.function)


def last(qualified: str) -> str:
    """`Queue.get` is `get`: not every tool and version of Python knows the class."""
    return qualified.rpartition(".")[2]


def python_frame(frames: Sequence[Frame]) -> str | None:
    code = [frame for frame in frames if frame.python]
    others = [frame for frame in code if not frame.system] or code[:1]
    # What `exec` has made, such as a property of multiprocessing, stands in no file of the user's.
    written = [frame for frame in others if frame.file != _MADE or others[-1].file == _MADE]
    theirs = [frame for frame in written if not frame.ours] or others
    users = (one for one in theirs if one.installed is None and one.file != _MADE)
    own = next(users, theirs[0] if theirs else None)
    return f"{own.file}:{own.line} in {last(own.function)}" if own else None


def own_lines(frames: Iterable[Frame]) -> tuple[tuple[str, int | None], ...]:
    """The functions and lines of those frames that a user wrote."""
    return tuple((key(frame), frame.line) for frame in frames if not frame.system)


def whole(thread: ThreadStack) -> tuple[Frame, ...]:
    """The frames of a thread; before them the functions of Python that were told beside its stack,
    where it shows none."""
    return (
        thread.frames
        if any(one.python for one in thread.frames)
        else (*thread.python, *thread.frames)
    )


def functions(thread: ThreadStack) -> str:
    """The functions that a thread is in, innermost first, without their lines.

    Those of the C library and the interpreter do not count: any loop calls one or the other.
    """
    return " ".join(key(frame) for frame in whole(thread) if frame.python or not frame.system)


def place(thread: ThreadStack) -> tuple[object, ...]:
    """Return a thread's callers to the line, and the function that it is in.

    The line in that function says nothing, if the thread runs.
    """
    own = [f for f in thread.frames if not (f.system or f.function in COMPREHENSIONS)]
    names = [(frame.file, bare_name(frame.function)) for frame in own]
    return (names[:1], [(*name, f.line) for name, f in zip(names[1:], own[1:], strict=True)])
