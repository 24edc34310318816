"""Functions in files, written out with what they use of the project's own modules."""

from __future__ import annotations

import functools
import importlib
import sys
import textwrap

import pytest

from harness.errors import UsageError
from harness.scenario import from_function, slice_source

SHAPES = """
    from __future__ import annotations
    import json as j
    from os import path
    UNUSED = object()
    SIDES: dict[str, int] = {}
    SIDES["square"] = 4
    SIDES |= {"triangle": 3}

    def sides(name):
        return path.basename(j.loads(j.dumps(name))), SIDES["triangle"]

    def unused():
        return UNUSED
"""
STEP = """
    import os
    from functools import lru_cache
    import own_shapes
    from own_shapes import sides as count, SIDES

    class Base:
        factor = 2

    @lru_cache
    def helper(sides):
        return Base.factor * sides[1]

    def make_step(training, extra=0):
        count = own_shapes.sides
        return lambda batch: helper(count("a/b")) + extra

    def other(training):
        return make_step(training, count("x")[1])

    def whole(training):
        return repr(own_shapes)

    if __name__ == "__main__":
        helper = os = None
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    write("own_shapes", SHAPES)
    yield write("own_step", STEP), write
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def ran(text):
    scope: dict = {"__name__": "alone"}
    exec(compile(text, "alone.py", "exec"), scope)
    return scope


def test_what_is_used_comes_with_it_and_nothing_else(project):
    module, _ = project
    text = from_function.text({"make_step": module.make_step})
    scope = ran(text)
    assert scope["make_step"](None)(0) == 6
    assert not {"UNUSED", "unused", "other", "os"} & set(scope)
    assert "import own_" not in text


def test_arguments_and_other_names_are_bound(project):
    module, _ = project
    step = functools.partial(module.other)
    bound = ran(from_function.text({"make_step": step, "batches": module.make_step}))["SCENARIO"]
    assert bound["make_step"](None)(0) == 9
    assert bound["batches"](None, extra=1)(0) == 7
    bound = ran(from_function.text({"make_step": functools.partial(module.make_step, extra=5)}))[
        "SCENARIO"
    ]
    assert bound["make_step"](None)(0) == 11


def test_what_cannot_be_one_text_is_said(project):
    module, write = project
    text = from_function.text({"make_step": module.whole})
    assert text.startswith(from_function.NOT_WHOLE + "the module own_shapes is used as a whole\n")
    assert "def whole" in text
    other = write("own_other", "import own_shapes\ndef sides(x):\n    return own_shapes.sides(x)\n")
    with pytest.raises(UsageError, match="sides is one thing in own_"):
        slice_source.source([("own_other", tmp(other), "sides")])


def tmp(module):
    return from_function.Path(module.__file__)
