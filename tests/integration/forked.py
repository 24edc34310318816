"""The command line in processes that need not import it first.

To start Python and to import the harness takes longer than most of the runs in these tests. So a
server does both once for each process of pytest, and forks for each command. Each is a process of
its own with its own signals, folder and environment, and what it changes ends with it. This is not
for a test of the start itself, of a terminal or of what others see of the command's process.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        *(f"harness.cli.{name}" for name in ("run", "run_all", "watch", "attach", "report")),
        *(f"harness.cli.{name}" for name in ("defaults", "running")),
        "harness.attach.result",
        "harness.report.html",
    ]
)


def harness(
    *words: object, folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What `python -m harness WORDS` does in `folder`, without an input.

    Of `environment`, variables that Python reads at its start have no effect on this process, but
    on those that it starts.
    """
    words = tuple(map(str, words))
    measured = os.environ.pop("HARNESS_MEASURED", None)  # each process measures itself
    try:
        forkserver.ensure_running()
    finally:
        if measured is not None:
            os.environ["HARNESS_MEASURED"] = measured
    with tempfile.TemporaryDirectory() as outputs:
        files = (Path(outputs, "stdout"), Path(outputs, "stderr"))
        variables = dict(os.environ if environment is None else environment)
        process = PROCESSES.Process(target=_main, args=(words, folder, variables, files))
        process.start()
        try:
            process.join()
        finally:  # a test that took too long
            process.kill()
            process.join()
        code = process.exitcode
        process.close()
        return subprocess.CompletedProcess(words, code, *(one.read_text() for one in files))


def _main(words, folder, variables, files) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    for number, file in enumerate((os.devnull, *files)):
        flags = os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY
        opened = os.open(file, flags)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = [str(ROOT / "harness" / "__main__.py"), *words]
    if variables.get("HARNESS_MEASURED"):
        import measured  # as each Python does at its start, which this one has behind it

        measured.measure(str(ROOT))  # nothing, where the import has done it
    from harness.cli import main

    try:
        sys.exit(main())
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()  # multiprocessing leaves them out
