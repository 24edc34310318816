"""The reference pages list each type field by field, so that they cannot fall behind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from harness.errors import Exit
from harness.model import AnyBeat, RunResult, Sample, Tensors
from harness.model.beats import Compiled, Gradients, Labels, Unregistered

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
TEXT = "\n".join(
    (REFERENCE / page).read_text(encoding="utf-8") for page in ("run-json.md", "streams.md")
)
BEATS = {beat.__struct_config__.tag: beat for beat in get_args(AnyBeat)}


def structs(kind):
    """The struct types that `kind` is made of, itself included."""
    if isinstance(kind, msgspec.inspect.StructType):
        yield kind.cls
        for field in kind.fields:
            yield from structs(field.type)
    elif isinstance(kind, msgspec.inspect.VarTupleType):
        yield from structs(kind.item_type)
    elif isinstance(kind, msgspec.inspect.DictType):
        yield from structs(kind.value_type)
    elif isinstance(kind, msgspec.inspect.UnionType):
        for part in kind.types:
            yield from structs(part)


OTHERS = {cls.__name__: cls for cls in structs(msgspec.inspect.type_info(RunResult))}
OTHERS |= {
    cls.__name__: cls for cls in (Sample, Tensors, Gradients, Labels, Unregistered, Compiled)
}


def documented(name):
    section = re.search(rf"^### `{name}`$(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert section, f"no section for {name}"
    return re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE)


@pytest.mark.parametrize(("name", "cls"), [*BEATS.items(), *OTHERS.items()])
def test_every_field_is_documented_in_order(name, cls):
    assert documented(name) == list(cls.__struct_fields__)


def test_nothing_else_is_documented():
    assert set(re.findall(r"^### `(\w+)`$", TEXT, re.MULTILINE)) == {*BEATS, *OTHERS}


def test_every_exit_code_is_documented():
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    table = page[page.index("## Exit codes") :]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == sorted(Exit)
