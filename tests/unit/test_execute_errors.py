"""A run that cannot go on says why, and blames the disk only where it is the disk."""

from __future__ import annotations

import errno

import pytest

from harness import execute as module
from harness.errors import HarnessError
from harness.execute import execute
from harness.model import Settings
from harness.plan import Options


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("no free ports on loopback"), "no free ports on loopback"),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot write to {}: No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "/dev/kfd"), "/dev/kfd"),
    ],
)
def test_an_error_is_told_as_what_it_is(tmp_path, monkeypatch, error, told):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(module.scheduler, "run", fails)
    with pytest.raises(HarnessError) as caught:
        execute((), Settings(), Options(out=tmp_path), None, ("harness",))
    (folder,) = tmp_path.iterdir()
    assert told.format(folder) in str(caught.value)
    assert ("cannot write" in str(caught.value)) is ("cannot write" in told)


def test_a_file_of_the_run_that_cannot_be_written_is_the_runs(tmp_path, monkeypatch):
    def fails(folder, *_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(folder / "run.json"))

    monkeypatch.setattr(module.scheduler, "run", lambda *_, **__: (None, False))
    monkeypatch.setattr(module, "write_all", fails)
    with pytest.raises(HarnessError, match="cannot write to"):
        execute((), Settings(), Options(out=tmp_path), None, ("harness",))
