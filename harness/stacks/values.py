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
_TIMEOUT_S = 5.0


def digests(pid: int, stop: threading.Event | None = None) -> dict[int, str]:
    """A digest of all frames and local variables of each Python thread, by its number.

    Empty where they cannot be read: without pystack, without the rights, of another language.
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
    _, *parts = _THREAD.split(answer.output)
    return {
        int(tid): hashlib.sha256(text.encode()).hexdigest()
        for tid, text in zip(parts[::2], parts[1::2], strict=True)
    }
