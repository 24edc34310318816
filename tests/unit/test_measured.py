"""The lines that tests/measured.py notes of a process, and what becomes of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import coverage
from gather_lines import gather

MEASURED = Path(__file__).parents[1] / "measured.py"
SHARED = """\
import threading


def begin():
    threads = [threading.Thread(target=body, args=(n,)) for n in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def body(n):
    if n:
        return n + 1
    return -1


def silent():
    return 2
"""
STARTED = f"""\
import importlib, os
os.environ["HARNESS_MEASURED"] = os.path.abspath("tests/_")
exec(compile(open({str(MEASURED)!r}).read(), "measured.py", "exec"), {{}})
importlib.import_module("harness.shared").begin()
"""


def test_the_lines_of_all_threads_and_processes_become_one_file_of_coverage(tmp_path):
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").touch()
    (tmp_path / "harness" / "shared.py").write_text(SHARED)
    environ = {**os.environ, "PYTHONPATH": "", "HARNESS_MEASURED": ""}
    for left_out in ("", "another", "harness"):
        # The last word is what the file knows a process of the harness by.
        command = [sys.executable, "-c", STARTED, "harness"]
        given = {**environ, "HARNESS_UNMEASURED": left_out}
        subprocess.run(command, cwd=tmp_path, env=given, check=True)
    assert len(list(tmp_path.glob(".coverage-lines.*"))) == 2
    gather(tmp_path)
    assert [path.name for path in tmp_path.glob(".coverage*")] == [".coverage.processes"]
    data = coverage.CoverageData(str(tmp_path / ".coverage"), suffix="processes")
    data.read()
    files = {Path(name).as_posix() for name in data.measured_files()}
    assert files - {"harness/__init__.py"} == {"harness/shared.py"}  # 3.12 sees a line in no text
    found = set(data.lines("harness/shared.py") or ())
    assert found >= {5, 6, 7, 8, 9, 13, 14}
    assert not found & {15, 19}
