"""The page's JavaScript writes quantities as harness.text.units does."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

import harness.report.html
from harness.text import units

NODE = shutil.which("node")
SCRIPT = Path(harness.report.html.__file__).with_name("units.js")
EDGES = (
    0, 1, -1, 0.25, 850e-6, 0.0241, 1.32, 9.996, 41, 59.94, 59.96, 60, 185, 3599.7, 7800, 86_399,
    1e5, 1e7, 1e9, 512, 1023, 1023.4, 1024, 1_048_000, 2_720_000, 1_084_000_000, 5e15, 1e-5, 1e-12,
)  # fmt: skip


@pytest.mark.skipif(NODE is None, reason="node runs the page's script, and is not installed")
@pytest.mark.parametrize("name", ["count", "duration", "number", "size"])
def test_the_page_writes_what_the_report_writes(name):
    chance = random.Random(name)
    values = [*EDGES, *(chance.uniform(1, 10) * 10 ** chance.uniform(-7, 13) for _ in range(3_000))]
    program = f"{SCRIPT.read_text()}\nconst values = JSON.parse(require('fs').readFileSync(0));"
    program += f"\nconsole.log(JSON.stringify(values.map((v) => units.{name}(v))));"
    done = subprocess.run(
        [str(NODE), "-e", program], input=json.dumps(values), capture_output=True, text=True
    )
    assert done.stderr == ""
    written = dict(zip(values, json.loads(done.stdout), strict=True))
    write = getattr(units, name)
    assert written == {
        value: write(int(value) if value == int(value) else value) for value in values
    }
