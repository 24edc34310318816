"""`harness doctor --record` on the simulated Mac: also where it is told nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from trial import ROOT

from harness.record import guesses
from harness.record.folder import FILES

pytestmark = [
    pytest.mark.mac,
    pytest.mark.skipif(sys.platform != "linux", reason="the simulated Mac answers from /proc"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]

MAC = ROOT / "tests" / "macos"
SOURCES = "task ids threads rusage children files pipes pages swap ticks arguments wired"
NOTHING = {"DARWIN_REFUSES": SOURCES, "SAMPLE_REFUSES": "1", "IOREG_REFUSES": "1",
           "PMSET_REFUSES": "1"}  # fmt: skip
MAY_DIFFER = {"counted_late", "pages"}
"""The time of the fake's GPU grows at each look; who tells nothing of its pages tells that."""


@pytest.mark.parametrize("refused", [{}, NOTHING], ids=["all", "nothing"])
def test_a_folder_is_made_and_read(library, tmp_path, refused):
    folder = tmp_path / "folder"
    done = subprocess.run(
        [sys.executable, MAC / "pretend.py", "doctor", "--json", "--record", folder],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{MAC / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "DARWIN_LIBRARY": str(library),
            "SAMPLE_PYTHON": sys.executable,
            "IOREG_CLIENTS": "record/child.py",
            "IOREG_GROWS": "1",
            "SECRET_TOKEN": "do-not-tell",
            **refused,
        },
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    told = json.loads(done.stdout)["recorded"]["guesses"]
    assert {file.name for file in folder.iterdir()} == set(FILES)
    recorded = guesses.read(folder)
    assert [one.guess for one in guesses.judge(recorded)] == [one["guess"] for one in told]
    fails = {one["guess"]: one["shown"] for one in told if one["holds"] is not True}
    if not refused:
        assert {name: why for name, why in fails.items() if name not in MAY_DIFFER} == {}
    for file in folder.iterdir():
        assert "do-not-tell" not in file.read_text()
        assert str(tmp_path) not in file.read_text()
    # Nothing of it lives on.
    assert not any(
        Path(f"/proc/{recorded.child[0][name]}/exe").exists() for name in ("pid", "sleeper")
    )
