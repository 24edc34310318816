"""Coverage of the processes that the tests start: imported by each Python at its start.

`make test` installs tests/measured.pth, which imports this file where HARNESS_MEASURED names it. To
compile it each time would take a third of the time in which Python starts. Only the harness's own
processes are measured. A tool that takes stacks has nothing to show for it. A program that is
watched runs harness/inject, whose lines the unit tests reach: of the 3,200 lines that only real
processes reach, 20 are there. HARNESS_UNMEASURED names a module that is not measured either. What
ends by SIGKILL or by os._exit leaves no figures.

Some thousand processes are started, and coverage takes each of them 0.1 s to import, and as long
to write its file. So its tracer alone is loaded, and the lines go into a file of text, of which
tests/gather_lines.py makes one of coverage's for all processes.
"""

import atexit
import os
import sys


def _is_ours() -> bool:
    words = sys.orig_argv[1:8]
    left_out = os.environ.get("HARNESS_UNMEASURED")
    if left_out and any(left_out in word for word in words):
        return False
    return any(
        word == "harness" or "harness." in word or word.endswith("/bin/harness") for word in words
    )


def measure(root: str) -> None:
    """Note each line of ROOT/harness that this process runs from here on, and write them at its
    end."""
    package = os.path.join(root, "harness", "")
    start = _monitored if sys.version_info >= (3, 12) else _traced
    lines = start(package)
    if lines is not None:
        atexit.register(_write, root, lines)


def _monitored(package: str) -> "dict[str, set[int]] | None":
    """By the interpreter's own means: after its first time, a line costs nothing."""
    monitoring = sys.monitoring
    if monitoring.get_tool(monitoring.COVERAGE_ID) is not None:
        return None  # a folder of packages may be read twice
    lines: dict[str, set[int]] = {}

    def line(code, number):
        if code.co_filename.startswith(package):
            lines.setdefault(code.co_filename, set()).add(number)
        return monitoring.DISABLE

    monitoring.use_tool_id(monitoring.COVERAGE_ID, "tests/measured.py")
    monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, line)
    monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)
    return lines


def _traced(package: str) -> "dict[str, set[int]] | None":
    """By coverage's tracer, whose module needs nothing of the package that it lies in."""
    import threading
    from importlib import _bootstrap, machinery, util

    found = util.find_spec("coverage")  # finds, and does not import
    if found is None or sys.gettrace() is not None:
        return None  # an interpreter other than that of the tests; or read twice
    folder = found.submodule_search_locations[0]
    file = os.path.join(folder, f"tracer{machinery.EXTENSION_SUFFIXES[0]}")
    loader = machinery.ExtensionFileLoader("coverage.tracer", file)
    module = util.module_from_spec(util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    lines: dict[str, set[int]] = {}
    known: dict[str, object] = {}
    lock = threading.Lock()

    def should_trace(name, frame):
        chosen = module.CFileDisposition()
        chosen.original_filename = chosen.canonical_filename = chosen.source_filename = name
        chosen.trace = name.startswith(package) and name.endswith(".py")
        chosen.has_dynamic_filename = False
        chosen.reason, chosen.file_tracer = "", None
        return chosen

    def begin(*event):
        """Trace this thread; each new one calls it with its first event."""
        sys.settrace(None)
        tracer = module.CTracer()
        tracer.data, tracer.trace_arcs = lines, False
        tracer.should_trace, tracer.should_trace_cache = should_trace, known
        tracer.lock_data, tracer.unlock_data = lock.acquire, lock.release
        tracer.warn = tracer.concur_id_func = tracer.should_start_context = None
        tracer.switch_context = tracer.check_include = tracer.disable_plugin = None
        tracer.file_tracers = {}
        function = tracer.start()
        return function(*event) if event else None

    def untraced(name, import_, load=_bootstrap._find_and_load):
        """Import a module: the unit tests measure its top level, and most of what a short process
        does is to import."""
        trace = sys.gettrace()
        sys.settrace(None)
        try:
            return load(name, import_)
        finally:
            sys.settrace(trace)

    threading.settrace(begin)
    begin()
    _bootstrap._find_and_load = untraced
    return lines


def _write(root: str, lines: "dict[str, set[int]]") -> None:
    """A file gets its name once it is whole: no half of one is read. Who may not write, or has no
    memory left, says nothing of it: what a program prints is tested."""
    sys.settrace(None)
    told = [" ".join([os.path.relpath(name, root), *map(str, sorted(found))])
            for name, found in list(lines.items())]  # fmt: skip
    name = f"{os.getpid()}.{os.urandom(4).hex()}"
    unfinished = os.path.join(root, f".coverage-unfinished.{name}")
    try:
        with open(unfinished, "w") as file:
            file.write("\n".join(told))
        os.rename(unfinished, os.path.join(root, f".coverage-lines.{name}"))
    except (OSError, MemoryError):
        pass


if _is_ours():
    measure(os.path.dirname(os.path.dirname(os.path.abspath(os.environ["HARNESS_MEASURED"]))))
