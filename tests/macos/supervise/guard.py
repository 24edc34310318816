"""The guard's program on Linux as on a Mac: macOS's libraries as in darwin.c, its kqueue, no /proc.

It imports the harness's guard and what that imports, and nothing else: a guard starts with each
worker, and without site-packages.
"""

import ctypes
import importlib
import os
import runpy
import select
import sys
from pathlib import Path

HERE = Path(__file__).parents[1]
sys.path.append(str(HERE))
kqueue = importlib.import_module("kqueue")
sys.path.remove(str(HERE))
for name in ("fcntl", "resource", "shutil", "signal", "socket", "termios", "typing"):
    importlib.import_module(name)  # they may look at the platform while they are imported

load, open_, listdir = ctypes.CDLL, open, os.listdir


def loaded(name, *rest, **named):
    assert name is not None, "a guard on macOS asks for no call of Linux"
    return load(os.environ["DARWIN_LIBRARY"], *rest, **named)


def listed(path="."):
    assert not str(path).startswith("/proc"), "macOS has no /proc"
    return listdir(path)


sys.platform = "darwin"
ctypes.CDLL, os.listdir = loaded, listed
for name in ("kqueue", "kevent", "KQ_FILTER_PROC", "KQ_EV_ADD", "KQ_NOTE_EXIT", "KQ_NOTE_FORK"):
    setattr(select, name, getattr(kqueue, name))
runpy.run_path(str(HERE.parents[1] / "harness" / "supervise" / "guard.py"), run_name="__main__")
