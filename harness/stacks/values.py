"""The change of a thread's local variables: it tells a loop without end from work.

pystack reads them from the memory of the process, which goes on meanwhile. They are nobody's
business: no value is kept or written, only a digest of all of a thread's.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from importlib.util import find_spec

from harness.observe import run_tool

_THREAD = re.compile(r"^Traceback for thread (\d+)[^\n]*\n", re.M)
_FRAME = re.compile(r"^    \(Python\) File ", re.M)
_VARIABLE = re.compile(r"^        \S+: (.*)$", re.M)
_OPAQUE = re.compile(r"<.* at 0x[0-9a-f]+>")
"""An object of which only the address is shown: nobody sees what changes within it."""
_TIMEOUT_S = 5.0


def digests(pid: int, stop: threading.Event | None = None) -> dict[int, str]:
    """A digest of all frames and local variables of each Python thread, by its number.

    A thread whose variables tell nothing is missing: those of a module, which pystack does not
    show, and objects of which it shows the address alone. All are missing without pystack, without
    the rights, or in another language.
    """
    if find_spec("pystack") is None:
        return {}
    command = [sys.executable, "-m", "pystack", "remote", "--no-color", "--no-block", "--locals"]
    try:
        answer = run_tool.run([*command, str(pid)], _TIMEOUT_S, stop=stop)
    except OSError:
        return {}
    if answer.code != 0:
        return {}
    return parse(answer.output)


def parse(output: str) -> dict[int, str]:
    """The digests, of what pystack prints."""
    _, *parts = _THREAD.split(output)
    return {
        int(tid): hashlib.sha256(text.encode()).hexdigest()
        for tid, text in zip(parts[::2], parts[1::2], strict=True)
        if _tells(text)
    }


def _tells(thread: str) -> bool:
    """True if the innermost function shows a variable that could be seen to change."""
    innermost = _FRAME.split(thread)[-1]
    return any(not _OPAQUE.fullmatch(value.strip()) for value in _VARIABLE.findall(innermost))
