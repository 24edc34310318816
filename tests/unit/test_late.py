"""Patterns that are compiled when they are first used."""

import copy
import enum
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness.text import late

ROOT = Path(harness.__file__).parents[1]


def test_a_pattern_of_a_module_is_compiled_at_its_first_use_and_kept(monkeypatch):
    compiled = []

    def counted(*given, real=re.compile):
        compiled.append(given)
        return real(*given)

    monkeypatch.setattr(re, "compile", counted)
    number = late.compile(r"(\d+) STEPS", re.IGNORECASE)
    assert number.pattern == r"(\d+) STEPS"
    assert not compiled
    assert number.search("after 12 steps")[1] == "12"
    assert number.search("no step") is None
    assert number.sub("n", "12 steps") == "n"
    assert compiled == [(r"(\d+) STEPS", re.IGNORECASE)] * 2  # once for each method


def test_a_wrong_pattern_is_told_at_its_use():
    wrong = late.compile("(")
    with pytest.raises(re.error):
        wrong.search("")


def test_what_an_enum_and_a_copy_ask_of_it_is_no_use():
    wrong = late.compile("(")
    assert enum.Enum("Way", {"READS": wrong})["READS"].value is wrong
    number = late.compile(r"\d+")
    assert copy.copy(number).search("12 steps")[0] == "12"


def patterns(value: object) -> Iterator[late.Late]:
    if isinstance(value, late.Late):
        yield value
    elif isinstance(value, enum.EnumMeta):
        yield from patterns([one.value for one in value])
    elif isinstance(value, dict):
        yield from patterns(tuple(value.items()))
    elif isinstance(value, tuple | list):
        for one in value:
            yield from patterns(one)


def test_each_pattern_of_the_package_compiles():
    found = 0
    for file in sorted((ROOT / "harness").rglob("*.py")):
        if "late.compile(" not in file.read_text(encoding="utf-8"):
            continue
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for pattern in patterns(tuple(vars(importlib.import_module(name)).values())):
            assert pattern.groups >= 0, (name, pattern.pattern)
            found += 1
    assert found > 300
