"""Only harness.text.units formats quantities: no other module gives a number digits and a unit."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

import harness

pytestmark = pytest.mark.unmeasured  # reads the package, and runs nothing of it

PACKAGE = Path(harness.__file__).parent
SPEC = re.compile(r"[\d.]*[eEfFgG%]$|,")
"""A format that cuts digits or groups them."""
UNIT = re.compile(r" (ns|µs|ms|s|min|h|d|B|[kKMGT]i?B|bytes|%)(?![A-Za-z0-9=])")
ALLOWED = {
    "text/units.py": "the one place",
    "inject/inside/writer.py": "JSON of beats; runs in a Python without this package",
    "inject/inside/timeouts.py": "seconds for the harness; runs in a Python without this package",
    "record/guesses.py": "the width of a structure's field, a small number of bytes",
    "report/charts.py": "the data of a Mermaid chart, whose unit stands on its axis",
    "report/repro/alone.py": "a line of a script without this package, which is read again",
    "report/junit.py": "the attribute `time` of JUnit, which is a number of seconds",
    "report/html/ranks.py": "coordinates of SVG",
    "report/html/timeline.py": "coordinates of SVG",
    "report/html/series.py": "the data of the page's curves, cut to six digits",
}
"""Modules that format numbers of their own, and why."""


def strings(file: Path):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield node


def formats(node: ast.JoinedStr):
    """The formats of the values in an f-string that cut or group digits."""
    for value in node.values:
        if isinstance(value, ast.FormattedValue) and isinstance(value.format_spec, ast.JoinedStr):
            parts = value.format_spec.values
            # A part that is computed, such as a number of digits, can be anything.
            text = "".join(str(p.value) if isinstance(p, ast.Constant) else "9" for p in parts)
            if SPEC.search(text):
                yield text


def units(node: ast.JoinedStr):
    """The units that follow a value in an f-string."""
    for value, after in zip(node.values, node.values[1:], strict=False):
        follows = isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant)
        if follows and (found := UNIT.match(str(after.value))):
            yield found[1]


def found(file: Path) -> Counter[str]:
    return Counter(text for node in strings(file) for text in (*formats(node), *units(node)))


def test_only_text_units_formats_quantities():
    files = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    places = {name: kinds for name, path in files.items() if (kinds := found(path))}
    assert {name: dict(kinds) for name, kinds in places.items() if name not in ALLOWED} == {}
    assert places.keys() >= ALLOWED.keys(), "allowed, and not needed any more"


def test_a_number_with_digits_or_a_unit_is_found(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        'a = f"{x:.1f} s"\nb = f"{x} MiB"\nc = f"{x:,}"\nd = f"{x:>8}"\ne = f"{x:.{n}g}"\n'
        'f = f"{x} steps"\ng = f"{100 * x:.0f} %"\nh = f"{x} s: {y!r}"\n'
    )
    assert found(file) == Counter([".1f", "s", "MiB", ",", ".9g", ".0f", "%", "s"])
