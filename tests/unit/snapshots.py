"""Texts that are compared with files: what people read, so that no change to it goes unseen.

UPDATE_SNAPSHOTS=1 writes the files anew; then `git diff` shows what changed.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"


def check(name: str, text: str) -> None:
    """Fail unless `text` is what the file of this name contains."""
    file = FOLDER / name
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        FOLDER.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert file.is_file(), f"{file} is missing: run this test with UPDATE_SNAPSHOTS=1"
    assert text.splitlines() == file.read_text(encoding="utf-8").splitlines(), (
        f"{file} differs: if the new text is better, run this test with UPDATE_SNAPSHOTS=1"
    )
