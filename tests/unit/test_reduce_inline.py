"""What is used once stands in the place of its use."""

from __future__ import annotations

import pytest
from reduced import each

from harness.reduce import inline, objects


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("def main(a, b=2):\n    f(a)\n    g(b)\n\nmain(1)\n", "a = 1\nb = 2\nf(a)\ng(b)"),
        ("def f(a):\n    g(a)\n    return a.b\n\nx = f(c)\n", "g(c)\nx = c.b"),
        ("def f(a):\n    return a + 1\n\ng(f(c), 2)\n", "g(c + 1, 2)"),
        ("def f(a):\n    return a + 1\n\ng(f(c) * 2)\n", "g((c + 1) * 2)"),
        (
            "class A:\n    x = 1\n    def f(self, a):\n        self.b = a.self\no = A()\no.f(c)\n",
            "class A:\n    x = 1\no = A()\no.b = c.self",
        ),
        (
            "async def f():\n    await g()\n    return 1\n\nasync def h():\n    x = await f()\n",
            "async def h():\n    await g()\n    x = 1",
        ),
    ],
)
def test_a_function_that_is_called_once_gives_way_to_its_body(text, left):
    assert each(text, inline.functions) == [left]


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    yield 1\n\nx = f()\n",
        "def f():\n    global x\n    x = 1\n\nf()\n",
        "def f():\n    if x:\n        return 1\n    return 2\n\ny = f()\n",
        "def f(*a):\n    g(a)\n\nf(1)\n",
        "def f(a):\n    g(a)\n\nf(*b)\n",
        "def f(a):\n    g(a)\n\nf()\n",
        "def f():\n    g()\n\nf()\nf()\n",
        "def f():\n    g()\n\nf()\nThread(target=f)\n",
        "@cache\ndef f():\n    g()\n\nf()\n",
        "async def f():\n    await g()\n\nx = f()\n",
        "class A:\n    def f(self):\n        g()\n\na().f()\n",
        "def f():\n    g()\n    h()\n\nif f():\n    i()\n",
    ],
)
def test_a_function_that_cannot_stand_there_stays(text):
    assert each(text, inline.functions) == []


def test_a_function_of_a_thread_takes_what_it_is_given_by_name():
    text = "def f(a, b):\n    a.g(b)\n    h()\n\nThread(target=f, args=(log, 2)).start()\n"
    assert each(text, inline.targets) == [
        "def f():\n    log.g(2)\n    h()\nThread(target=f).start()"
    ]
    assert each(text.replace("2)", "i())"), inline.targets) == []
    assert each(f"{text}f(1, 2)\n", inline.targets) == []


def test_a_function_of_a_thread_that_only_calls_another_gives_way_to_it():
    text = "def f():\n    log.flush()\n\nThread(target=f).start()\n"
    assert each(text, inline.targets) == ["Thread(target=log.flush).start()"]
    assert each(text.replace("flush()", "flush(1)"), inline.targets) == []


def test_a_class_with_one_object_gives_way_to_functions_and_names():
    text = (
        "class Log:\n"
        "    def __init__(self, size):\n"
        "        self.lock = Lock(size)\n"
        "    def flush(self, now):\n"
        "        with self.lock:\n"
        "            self.write(now)\n"
        "    def write(self, now):\n"
        "        print(now)\n"
        "log = Log(2)\n"
        "Thread(target=log.flush, args=(1,)).start()\n"
    )
    left = (
        "def flush(now):\n    with lock:\n        write(now)\n\n"
        "def write(now):\n    print(now)\n"
        "size = 2\nlock = Lock(size)\nThread(target=flush, args=(1,)).start()"
    )
    assert each(text, objects.objects) == [left]


def test_an_object_that_is_made_beside_another_one_gives_way_too():
    kind = "class Rate:\n    def __call__(self, n):\n        return n / 0\n"
    left = "def rate(n):\n    return n / 0\n"
    assert each(f"{kind}model, rate = Net(), Rate()\nrate(1)\n", objects.objects) == [
        f"{left}model = Net()\nrate(1)"
    ]
    assert each(f"{kind}rates[0], b = Rate(), 1\n", objects.objects) == []
    assert each(f"{kind}a, b = [Rate(), 1]\n", objects.objects) == []


def test_an_attribute_with_the_name_of_another_thing_gets_the_class_before_it():
    text = (
        "class Log:\n"
        "    def __init__(self):\n"
        "        self.queue = queue.Queue()\n"
        "        self.count = 0\n"
        "    def add(self):\n"
        "        self.count += 1\n"
        "        self.queue.put(self.count)\n"
        "log = Log()\n"
        "log.add()\n"
        "print(log.queue)\n"
    )
    left = (
        "def add():\n    global count\n    count += 1\n    log_queue.put(count)\n"
        "log_queue = queue.Queue()\ncount = 0\nadd()\nprint(log_queue)"
    )
    assert each(text, objects.objects) == [left]


@pytest.mark.parametrize(
    "text",
    [
        "class A(Base):\n    def f(self):\n        g()\n\na = A()\na.f()\n",
        "class A:\n    def f(self):\n        g()\n\na = A()\nb = A()\na.f()\n",
        "class A:\n    def f(self):\n        g()\n\na = A()\nh(a)\n",
        "class A:\n    def __len__(self):\n        g()\n\na = A()\n",
        "class A:\n    @property\n    def f(self):\n        g()\n\na = A()\na.f\n",
        "class A:\n    def f(self):\n        g()\n\ndef h():\n    a = A()\n    a.f()\n",
    ],
)
def test_a_class_that_may_need_its_object_stays(text):
    assert each(text, objects.objects) == []


def test_a_base_class_becomes_part_of_the_only_one_that_has_it():
    base = "class A(X):\n    a = 1\n    def f(self):\n        a()\n"
    text = f"{base}class B(A):\n    def f(self):\n        b()\n"
    assert each(text, objects.merged) == ["class B(X):\n    a = 1\n\n    def f(self):\n        b()"]
    assert each(f"{text}\nclass C(A):\n    pass\n", objects.merged) == []


def test_a_name_that_is_used_once_gives_way_to_its_value():
    assert each("x = a + 1\nf(x * 2)\n", inline.single_uses) == ["f((a + 1) * 2)"]
    assert each("x = a\nf(x)\ng(x)\n", inline.single_uses) == []
    assert each("x = x\n", inline.single_uses) == []
    assert each(f"x = f({'a' * 60})\ng({'b' * 40}, x)\n", inline.single_uses) == []


def test_a_name_that_is_only_another_one_gives_way_to_it():
    assert each("x = a\nf(x)\ng(x)\n", inline.aliases) == ["f(a)\ng(a)"]
    assert each("x = a\nx = b\nf(x)\n", inline.aliases) == []
    assert each("x, y = a, a\nf(x)\ng(y)\n", inline.aliases) == ["f(a)\ng(a)"]
    assert each("x, y = a, f()\ng(x, y)\n", inline.aliases) == []


def test_a_value_that_nobody_uses_is_only_computed():
    assert each("x = f()\n", inline.unpacked) == ["f()"]
    assert each("x, y = f()\n", inline.unpacked) == ["f()"]
    assert each("x, y = f()\nprint(y)\n", inline.unpacked) == []
    assert each("self.x = f()\n", inline.unpacked) == []


def test_a_subscript_of_settings_gives_way_to_its_value():
    text = "C = {'a': 1, 'b': g()}\nf(C['a'], C['b'], C[d])\n"
    assert each(text, inline.unpacked) == ["C = {'a': 1, 'b': g()}\nf(1, C['b'], C[d])"]
