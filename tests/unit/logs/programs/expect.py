"""Writes what is read out of logs beside them: `python expect.py LOG...`. Check it by eye.

Run from the project's root with PYTHONPATH=. set.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import msgspec

from harness.logs import Reading, Recognizer


def plain(reading: Reading) -> dict[str, Any]:
    """As JSON has it, without what the line did not give."""

    def written(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: written(inner) for name, inner in value.items()}
        return value if not isinstance(value, float) or math.isfinite(value) else str(value)

    return {name: written(value) for name, value in msgspec.to_builtins(reading).items()}


def expected(log: bytes) -> dict[str, Any]:
    recognizer = Recognizer()
    readings = [*recognizer.feed(log), *recognizer.close()]
    found = msgspec.to_builtins(recognizer.recognition)
    return {**found, "readings": [plain(reading) for reading in readings]}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        found = expected(path.read_bytes())
        readings = ",\n  ".join(json.dumps(reading) for reading in found.pop("readings"))
        head = json.dumps(found)[1:-1]
        path.with_suffix(".json").write_text(f'{{{head}, "readings": [\n  {readings}\n]}}\n')
