"""A dead child is named, with the way in which it ended."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import forked
import pytest

VICTIM = Path(__file__).parents[1] / "victims" / "dead_child.py"
GROUPS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))
MEMORY = 64 << 20
pytestmark = [
    pytest.mark.waits,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with little memory, where one can be made."""
    name = f"dead_child_{os.getpid()}"
    made: Path | None = None
    for place in GROUPS:
        with contextlib.suppress(OSError):
            made = place / name
            made.mkdir()
            limit = made / "memory.limit_in_bytes"
            (limit if limit.exists() else made / "memory.max").write_text(str(MEMORY))
            break
    else:
        pytest.skip("no control group can be made")
    yield made
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            made.rmdir()
            return
        time.sleep(0.1)


@contextlib.contextmanager
def waiting(*arguments: str) -> Iterator[tuple[int, int]]:
    """The parent, and its child that ends soon."""
    command = [sys.executable, str(VICTIM), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            parent, child = map(int, process.stdout.readline().split())
            yield parent, child
        finally:
            process.kill()


def until_ended(pid: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        time.sleep(0.05)
    raise AssertionError("the child lives on")


def cause(folder: Path) -> dict:
    (file,) = folder.glob("*/run.json")
    return json.loads(file.read_text())["results"][0]["cause"]


def attached(pid: int, folder: Path) -> dict:
    """What is told of a process, once it has come to the wait from which nothing wakes it."""
    end = time.monotonic() + 60
    while True:
        out = folder / str(time.monotonic_ns())
        answer = forked.harness("attach", pid, "--out", out, folder=Path.cwd())
        if answer.returncode == 1:
            return cause(out)
        assert time.monotonic() < end, answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ("how", "end", "words"),
    [
        ("killed", {"signal": "SIGKILL"}, "its child, was killed by SIGKILL"),
        ("exited", {"exit_code": 3}, "its child, exited with code 3"),
    ],
)
def test_attach_names_a_dead_child(how: str, end: dict, words: str, tmp_path: Path) -> None:
    with waiting(how) as (parent, child):
        until_ended(child)
        told = attached(parent, tmp_path)
    assert words in told["summary"]
    (ended,) = told["evidence"]["ended_children"]
    assert {"pid": child, "ppid": parent, **end}.items() <= ended.items()
    # Whether the killer had struck before is not known to who has just come.
    assert ended["oom_killer"] in ((False, None) if how == "killed" else (False,))


def watched(folder: Path, *arguments: str) -> dict:
    words = ("watch", "--patience", "0", "--budget", "60", "--out", folder)
    command = (sys.executable, VICTIM, *arguments)
    answer = forked.harness(*words, "--", *command, folder=Path.cwd())
    assert answer.returncode == 1, answer.stdout + answer.stderr
    return cause(folder)


def test_the_out_of_memory_killer_is_named(group: Path, tmp_path: Path) -> None:
    told = watched(tmp_path, "memory", str(group))
    (ended,) = told["evidence"]["ended_children"]
    assert (ended["signal"], ended["oom_killer"]) == ("SIGKILL", True)
    assert "probably by the kernel's out-of-memory killer" in told["summary"]


def _newer(*release: int) -> bool:
    return (
        tuple(int(part) for part in os.uname().release.split(".")[:2] if part.isdigit()) >= release
    )


@pytest.mark.skipif(not _newer(6, 15), reason="older kernels tell nobody but the parent")
def test_a_child_that_its_parent_has_asked_for_is_named_too(tmp_path: Path) -> None:
    told = watched(tmp_path, "reaped", "killed")
    (ended,) = told["evidence"]["ended_children"]
    assert (ended["signal"], ended["oom_killer"]) == ("SIGKILL", False)
    assert "its child, was killed by SIGKILL" in told["summary"]
