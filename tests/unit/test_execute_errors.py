"""A run that cannot go on says why, and blames the disk only where it is the disk."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import psutil
import pytest

from harness.errors import HarnessError, NotWrittenError, UsageError, with_remedy
from harness.model import Settings
from harness.session import execute as module
from harness.session import folder, under_way
from harness.session.execute import execute
from harness.session.folder import explain
from harness.session.plan import Options
from harness.supervise import launch, streams


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("no free ports on loopback"), "no free ports on loopback"),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot write to {}: No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "/dev/kfd"), "/dev/kfd"),
        # Another disk than the run's is full.
        (
            OSError(errno.ENOSPC, "No space left on device", "/mnt/x"),
            "left on device: /mnt/x",
        ),
        (OSError(errno.ENOSPC, "No space left on device", 7), "cannot write to {}: No space left"),
        (OSError(errno.EFBIG, "File too large"), "cannot write to {}: File too large"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files; too few files"),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), "raise `ulimit -u`"),
    ],
)
def test_an_error_is_told_as_what_it_is(tmp_path, monkeypatch, error, told):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(module.scheduler, "run", fails)
    with pytest.raises(HarnessError) as caught:
        execute((), Settings(), Options(out=tmp_path), None, ("harness",))
    (home,) = tmp_path.iterdir()
    assert told.format(home) in str(caught.value)
    assert ("cannot write" in str(caught.value)) is ("cannot write" in told)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOENT, HarnessError), (errno.ENOSPC, NotWrittenError), (errno.EFBIG, NotWrittenError)],
)
def test_a_file_of_the_run_that_cannot_be_written_is_the_runs(tmp_path, monkeypatch, number, kind):
    def fails(home, *_):
        raise OSError(number, os.strerror(number), str(home / "run.json"))

    monkeypatch.setattr(module.scheduler, "run", lambda *_, **__: (None, False))
    monkeypatch.setattr(under_way, "write_all", fails)
    with pytest.raises(HarnessError, match="cannot write to") as caught:
        execute((), Settings(), Options(out=tmp_path), None, ("harness",))
    assert type(caught.value) is kind
    if isinstance(caught.value, NotWrittenError):
        assert caught.value.run.finished is not None
        assert (caught.value.folder / "run.json").exists()


def test_a_folder_that_was_deleted_under_us_is_named(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match="working folder was deleted"):
        execute((), Settings(), Options(), None, ("harness",))


def test_a_thread_that_cannot_be_started_is_an_error_of_the_machine(tmp_path, monkeypatch):
    def refused(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(streams.Relay, "start", refused)
    argv = (sys.executable, "-c", "import time; time.sleep(60)")
    before = set(psutil.Process().children())
    with pytest.raises(OSError, match="can't start") as caught:
        launch.Launched(argv, tmp_path)
    assert "ulimit -u" in with_remedy(caught.value)
    assert set(psutil.Process().children()) <= before  # nothing is left behind


@pytest.mark.parametrize(
    ("name", "ours"), [("a/run/mine/0", True), ("a/run", True), ("a/run-2/x", False), ("a", False)]
)
def test_a_folder_is_told_by_whatever_path_it_was_named(tmp_path, monkeypatch, name, ours):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "true").mkdir()
    (tmp_path / "a").symlink_to("true")
    for file in (name, str(tmp_path / name), str((tmp_path / name).resolve())):
        error = PermissionError(errno.EACCES, "Permission denied", file)
        assert explain(error, Path("a/run")).startswith("cannot write to a/run: ") is ours


def test_a_new_folder_of_reports_is_not_committed(tmp_path):
    out = tmp_path / "a" / "reports"
    folder.new_folder(out)
    ignored = out / ".gitignore"
    assert ignored.read_text() == "*\n"
    ignored.unlink()
    folder.new_folder(out)  # it is the user's by now
    assert not ignored.exists()
