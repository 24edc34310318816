"""Loops, generators, lists, holders and texts: each pass by itself."""

from __future__ import annotations

import pytest
from reduced import each, plain

from harness.reduce import (
    calls,
    expressions,
    holders,
    inline,
    loops,
    objects,
    passes,
    settings,
    texts,
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("for t in [f(p) for p in ps]:\n    t.go()\n", "for p in ps:\n    f(p).go()"),
        ("for t in [f(p) for p in ps]:\n    t.go(t)\n", None),
        ("for t in [f(p) for p in ps if p]:\n    t.go()\n", None),
        ("for t in ps:\n    t.go()\n", None),
    ],
)
def test_a_loop_through_a_comprehension_goes_through_what_that_goes_through(text, left):
    assert each(text, loops.joined) == ([] if left is None else [left])


@pytest.mark.parametrize(
    ("uses", "left"),
    [
        ("x = next(g(a))\n", "x = g(a)"),
        ("x = next(iter(g(a)))\n", "x = g(a)"),
        ("for x in g(a):\n    h(x)\n", "x = g(a)\nh(x)"),
        ("x = list(g(a))\n", None),
        ("x = next(g(a))\nh(g)\n", None),
    ],
)
def test_a_generator_of_which_one_element_is_taken_returns_it(uses, left):
    text = f"def g(a):\n    b()\n    yield a\n{uses}"
    function = "def g(a):\n    b()\n    return a\n"
    assert each(text, loops.generators) == ([] if left is None else [function + left])
    assert each(text.replace("    b()\n", "    yield 1\n"), loops.generators) == []


def test_the_number_of_an_element_goes_where_nobody_uses_it():
    assert each("i, x = next(iter(enumerate(a)))\nf(x)\n", loops.generators) == [
        "x = next(iter(a))\nf(x)"
    ]
    assert each("for i, x in enumerate(a):\n    f(x)\n", loops.generators) == [
        "for x in a:\n    f(x)"
    ]
    assert each("for i, x in enumerate(a):\n    f(i)\n", loops.generators) == []


def test_a_list_of_which_the_first_is_taken_gives_way_to_that():
    assert each("a = [f(x) for x in b]\nnext(iter(a))()\n", loops.lists) == [
        "a = f(next(iter(b)))\na()"
    ]
    assert each("o.a = [b, c]\ng(o.a[0])\n", loops.lists) == ["o.a = b\ng(o.a)"]
    assert each("a = [b, c]\ng(a[0], a)\n", loops.lists) == []
    assert each("a = [b, c]\ng(a[1])\n", loops.lists) == []
    assert each("a = []\ng(a[0])\n", loops.lists) == []


def test_a_class_that_holds_one_thing_gives_way_to_it():
    start = "class A:\n    def __init__(self, x):\n        self.x = x\n"
    assert each(f"{start}a = A(b + 1)\nf(a.x * 2)\n", holders.holders) == ["a = b + 1\nf(a * 2)"]
    assert each(f"{start}    def f(self):\n        pass\na = A(b)\n", holders.holders) == []
    assert each(f"{start}a = A(b)\nisinstance(a, A)\n", holders.holders) == []


def test_an_object_that_is_called_becomes_a_function():
    start = "class A:\n    def __call__(self, x):\n        f(x)\n"
    assert each(f"{start}b = A()\ng(b)\n", objects.objects) == ["def b(x):\n    f(x)\ng(b)"]
    assert each(f"{start}A()(1)\n", objects.objects) == ["def a(x):\n    f(x)\na(1)"]
    assert each(f"a = 1\n{start}A()(a)\n", objects.objects) == [
        "a = 1\n\ndef call_a(x):\n    f(x)\ncall_a(a)"
    ]


def test_an_object_of_which_one_thing_is_taken_at_once_gives_way_to_it():
    text = (
        "class A:\n    def __init__(self, size):\n        self.n = size\n"
        "    def run(self, x):\n        f(self.n, x)\ny = A(2).run(1)\n"
    )
    left = "def run(x):\n    f(n, x)\nsize = 2\nn = size\ny = run(1)"
    assert each(text, objects.objects) == [left]


def test_an_object_of_a_function_that_only_begins_gives_way_to_its_beginning():
    text = (
        "class A:\n    def __init__(self):\n        self.b = g()\ndef f():\n    A()\n    h()\nf()\n"
    )
    assert each(text, objects.objects) == ["def f():\n    b = g()\n    h()\nf()"]


def test_names_of_two_functions_are_two_variables():
    text = "def f():\n    x = 1\n    return x\n\ndef g():\n    x = 2\n    return h(x)\n"
    assert each(text, inline.single_uses) == [
        "def f():\n    return 1\n\ndef g():\n    x = 2\n    return h(x)",
        "def f():\n    x = 1\n    return x\n\ndef g():\n    return h(2)",
    ]
    assert each("def f():\n    global x\n    x = 1\nf()\nx.a(x)\n", inline.single_uses) == []
    assert each("def f():\n    f = g()\nf()\n", inline.unpacked) == ["def f():\n    g()\nf()"]


def test_a_parameter_that_the_module_has_as_well_goes():
    text = "def f(a, b):\n    a.g()\n\na = 1\nf(a, 2)\n"
    assert "def f(b):\n    a.g()\na = 1\nf(2)" in each(text, calls.parameters)
    assert each(text.replace("a = 1\n", ""), calls.parameters) == ["def f(a):\n    a.g()\nf(a)"]


def test_parameters_that_nobody_uses_go_together_with_what_is_unpacked_for_them():
    text = "def f(a, b):\n    g()\n\nf(*c)\n"
    assert each(text, calls.parameters)[0] == "def f():\n    g()\nf()"


def test_what_a_literal_decides_is_decided():
    text = "x = f(None)(a) if None else b\nif not 1:\n    c()\nif 'd':\n    e()\nelse:\n    g()\n"
    assert each(text, expressions.decided) == ["x = b\ne()"]
    assert each("x = a if b else c\n", expressions.decided) == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("if a:\n    b()\nelif 1:\n    c()\nelse:\n    d()\n", "if a:\n    b()\nelse:\n    c()"),
        ("if a:\n    b()\nelif 0:\n    c()\nelse:\n    d()\n", "if a:\n    b()\nelse:\n    d()"),
        ("if a:\n    b()\nelif 0:\n    c()\n", "if a:\n    b()"),
        ("if 0:\n    b()\nelif a:\n    c()\n", "if a:\n    c()"),
        ("if 0:\n    b()\nelif 1:\n    c()\nelse:\n    d()\n", "c()"),
        ("if 0:\n    b()\nelif 0:\n    c()\n", ""),
        ("if 0:\n    b()\nelse: c(); d()\n", "c()\nd()"),
    ],
)
def test_what_a_literal_decides_in_a_chain_of_conditions_is_decided(text, left):
    for_sure = "if 1:\n    x()\n"
    assert each(for_sure + text, expressions.decided) == [f"x()\n{left}".strip()]


def test_one_of_several_literals_that_are_bound_together_stands_for_its_name():
    left = each("A, B = 1, f()\ng(A, B)\n", settings.propagated)
    assert left == [plain("A, B = (1, f())\ng(1, B)")]


def test_one_of_several_values_goes_with_its_name():
    assert {"x = a", "y = b"} <= set(each("x, y = a, b\n", expressions.fewer))
    three = each("x, y, z = a, b, c\n", expressions.fewer)
    assert plain("x, z = a, c") in three


def test_lines_of_a_text_go_and_its_indentation_too():
    text = 'A = dedent("""\n    import b\n\n    for c in d:\n        e()\n    """)\n'
    assert each(text, texts.dedented) == ["A = '\\nimport b\\n\\nfor c in d:\\n    e()\\n'"]
    candidates = passes.lines(text)
    assert candidates.number == 3
    assert "import b" not in (candidates.text(frozenset([0])) or "")
    both = candidates.text(frozenset([1, 2])) or ""
    assert "import b" in both
    assert "for" not in both
    assert passes.lines('A = "b"\nC = """d\\\ne\n"""\n').number == 0  # it goes on
