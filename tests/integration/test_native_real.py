"""Words about real programs of C++ and Rust that are built here, with and without symbols."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import forked
import pytest

from harness.observe import linux
from harness.stacks import tools, wait_site
from harness.stacks.capture import capture
from harness.stacks.parse import ThreadStack

VICTIMS = Path(__file__).parents[1] / "victims"
GDB = next(tool for tool in tools.TOOLS if tool.name == "gdb")
PATIENCE_S = 60.0
pytestmark = [
    pytest.mark.waits,
    pytest.mark.skipif(sys.platform != "linux", reason="the tools of Linux"),
    pytest.mark.skipif(shutil.which("gdb") is None, reason="needs gdb"),
]
BUILDS = {
    "cpp": ("g++", "-std=c++17", "-pthread", str(VICTIMS / "native_waits.cpp")),
    "rust": ("rustc", "--edition", "2021", str(VICTIMS / "native_waits.rs")),
}
OPTIONS = {
    ("cpp", "lines"): ("-O1", "-g"),
    ("cpp", "names"): ("-O2",),
    ("cpp", "again"): ("-O2", "-Wl,--build-id=none", "-DREBUILT"),
    ("cpp", "stripped"): ("-O2", "-s"),
    ("rust", "lines"): ("-C", "opt-level=1", "-g"),
    ("rust", "names"): ("-C", "opt-level=2"),
    # Another metadata gives each function another digest, as another version of a crate does.
    ("rust", "again"): ("-C", "opt-level=2", "-C", "metadata=another"),
    ("rust", "stripped"): ("-C", "opt-level=2", "-C", "strip=symbols"),
}
TRUTH = {
    ("cpp", "mutex"): ("waits for a mutex", "lock_weights_then_log"),
    ("cpp", "condition"): ("waits for a condition variable", "wait_for_batch"),
    ("cpp", "future"): ("waits for a future", "get_result"),
    ("cpp", "join"): ("waits for another thread to end", "join_saver"),
    ("rust", "mutex"): ("waits for a mutex", "native_waits::lock_both"),
    ("rust", "channel"): ("waits for a message from a channel", "native_waits::next_batch"),
    ("rust", "condition"): ("waits for a condition variable", "native_waits::wait_for_batch"),
    ("rust", "join"): ("waits for another thread to end", "native_waits::join_loader"),
}
OTHERS = {
    ("cpp", "mutex"): "lock_log_then_weights",
    ("cpp", "join"): "wait_for_batch",
    ("rust", "mutex"): "native_waits::lock_both",
    ("rust", "join"): "native_waits::wait_for_batch",
}
"""The function that the other thread is in."""


@pytest.fixture(scope="session")
def built(once):
    """Builds a victim once; skips the test where there is no compiler."""

    def build(language: str, how: str) -> Path:
        compiler, *rest = BUILDS[language]
        if shutil.which(compiler) is None:
            pytest.skip(f"needs {compiler}")
        # The same name each time: it is a part of Rust's function names.
        command = [compiler, *rest, *OPTIONS[language, how], "-o", "native_waits"]
        made = once(
            f"{language}-{how}", lambda folder: subprocess.run(command, check=True, cwd=folder)
        )
        return made / "native_waits"

    return build


@contextlib.contextmanager
def hanging(program: Path, kind: str) -> Iterator[int]:
    with subprocess.Popen([str(program), kind], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGKILL)


def settled(pid: int, folder: Path) -> tuple[ThreadStack, ...]:
    """The stacks once no thread moves any more."""
    before: tuple[object, ...] = ()
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        (process,) = linux.processes([pid], deep=True)
        marks = tuple((one.tid, one.state, one.switches) for one in process.threads)
        if marks == before and all(one.state == "S" for one in process.threads):
            return capture(pid, folder, [GDB]).threads
        before = marks
        time.sleep(0.3)
    raise AssertionError("the threads move on")


@pytest.fixture(scope="module")
def seen(built, tmp_path_factory):
    """The waits of each build in each kind of hang, looked at once."""
    done: dict[tuple[str, str, str], wait_site.Waits] = {}

    def look(language: str, how: str, kind: str) -> wait_site.Waits:
        key = (language, how, kind)
        if key not in done:
            with hanging(built(language, how), kind) as pid:
                waits = wait_site.explain(settled(pid, tmp_path_factory.mktemp("stacks")))
            assert waits is not None
            done[key] = waits
        return done[key]

    return look


@pytest.mark.parametrize(("language", "kind"), TRUTH, ids=map("-".join, TRUTH))
def test_the_words_name_the_wait_and_the_users_function(seen, language: str, kind: str) -> None:
    wait, function = TRUTH[language, kind]
    for how in ("lines", "names"):
        waits = seen(language, how, kind)
        place = waits.overall.place or ""
        assert waits.overall.main
        assert waits.overall.description == wait
        if how == "lines":
            assert re.fullmatch(rf"native_waits\.(cpp|rs):\d+ in {function}", place)
        else:
            assert place == function
        places = [site.place or "" for site in waits.threads[1:]]
        assert len(places) == ((language, kind) in OTHERS)
        assert all(other.endswith(OTHERS[language, kind]) for other in places)


@pytest.mark.parametrize("language", BUILDS)
def test_two_kinds_have_two_fingerprints_and_two_builds_have_one(seen, language: str) -> None:
    kinds = [kind for other, kind in TRUTH if other == language]
    assert len({seen(language, "names", kind).fingerprint for kind in kinds}) == len(kinds)
    again = seen(language, "again", "mutex")
    assert again.fingerprint == seen(language, "names", "mutex").fingerprint


@pytest.mark.parametrize("language", BUILDS)
def test_a_stripped_program_is_named_by_module_and_offset(
    built, tmp_path: Path, language: str
) -> None:
    program = built(language, "stripped")
    places, prints = set(), set()
    for _ in range(2):
        with hanging(program, "mutex") as pid:
            threads = settled(pid, tmp_path)
        waits = wait_site.explain(threads)
        assert waits is not None
        places.add(waits.overall.place)
        prints.add(waits.fingerprint)
    # Wherever it is loaded.
    assert len(places) == len(prints) == 1
    (place,) = places
    assert re.fullmatch(r"native_waits\+0x[0-9a-f]+", place or "")
    assert f"/native_waits+{place.partition('+')[2]}\n" in (tmp_path / "1-gdb.txt").read_text()
    assert f" {program}\n" in (tmp_path / tools.MAPPINGS).read_text()


@pytest.mark.skipif(shutil.which("addr2line") is None, reason="needs binutils")
def test_the_offset_leads_to_the_function_where_somebody_has_the_symbols(
    built, tmp_path: Path
) -> None:
    named = built("cpp", "names")
    stripped = tmp_path / "native_waits"
    subprocess.run(["strip", "-o", str(stripped), str(named)], check=True)
    with hanging(stripped, "mutex") as pid:
        waits = wait_site.explain(settled(pid, tmp_path))
    assert waits is not None
    offset = (waits.overall.place or "").partition("+")[2]
    told = subprocess.run(
        ["addr2line", "-Cfe", str(named), offset], check=True, capture_output=True, text=True
    )
    assert "lock_weights_then_log" in told.stdout


def test_attach_follows_the_chain_through_the_users_own_lines(built, tmp_path: Path) -> None:
    with hanging(built("cpp", "lines"), "mutex") as pid:
        end = time.monotonic() + PATIENCE_S
        while True:
            out = tmp_path / str(time.monotonic_ns())
            answer = forked.harness("attach", pid, "--out", out, folder=tmp_path)
            (file,) = out.glob("*/run.json")
            cause = json.loads(file.read_text())["results"][0]["cause"]
            # Its threads may not have come to rest, or the machine was too slow to ask.
            if (cause and cause["proven"]) or time.monotonic() > end:
                break
    assert answer.returncode == 1
    assert cause["proven"] is True
    main, saver = cause["evidence"]["chain"][:2]
    assert main["place"].endswith(" in lock_weights_then_log")
    assert saver["place"].endswith(" in lock_log_then_weights")
    assert main["place"] in cause["summary"]
