"""Coverage of the processes that the tests start: run by each Python at its start.

`make test` installs tests/measured.pth, which runs this file where HARNESS_MEASURED names it. Only
the harness's own processes are measured, and those that it has reported to it from inside: to load
coverage costs each process 0.1 s, and a tool that takes stacks or a stranger's program has nothing
to show for it. What ends by SIGKILL or by os._exit leaves no figures, and no half of a file where
the figures of all are combined: a file gets its name there once it is whole.
"""

import atexit
import os
import sys


def _is_ours() -> bool:
    words = sys.orig_argv[1:8]
    return (
        "HARNESS_BEATS" in os.environ
        or any(word == "harness" or "harness." in word for word in words)
        or any(word.endswith("/bin/harness") for word in words)
    )


if _is_ours():
    from importlib import _bootstrap
    from pathlib import Path

    try:
        import coverage
    except ImportError:
        pass  # an interpreter other than that of the tests
    else:
        _ROOT = Path(os.environ["HARNESS_MEASURED"]).parents[1]
        if coverage.Coverage.current() is None:  # a folder of packages may be read twice
            _measured = coverage.Coverage(
                config_file=str(_ROOT / "pyproject.toml"),
                data_file=str(_ROOT / ".coverage-unfinished"),
                data_suffix=True,
                auto_data=True,
                include=[str(_ROOT / "harness" / "*")],
            )

            def _hand_over() -> None:
                unfinished = Path(_measured.get_data().data_filename())
                if unfinished.exists():
                    unfinished.rename(
                        unfinished.with_name(unfinished.name.replace("-unfinished", "", 1))
                    )

            def _untraced(name, import_, load=_bootstrap._find_and_load):
                """Import a module: the unit tests measure its top level, and most of what a short
                process does is to import."""
                trace = sys.gettrace()
                sys.settrace(None)
                try:
                    return load(name, import_)
                finally:
                    sys.settrace(trace)

            atexit.register(_hand_over)  # the last is called first: coverage saves before it
            _measured.start()
            _bootstrap._find_and_load = _untraced
