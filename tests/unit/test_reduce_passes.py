"""Each pass by itself: what it changes, and what it leaves alone."""

from __future__ import annotations

import pytest
from reduced import each, plain

from harness.errors import UsageError
from harness.model import Cause, Finding, Located, Origin, Outcome, ScenarioResult, Severity
from harness.reduce import (
    arguments,
    calls,
    edit,
    expressions,
    file,
    join,
    judge,
    passes,
    settings,
    slices,
    target,
)
from harness.reduce.symptom import Keep, Seen, of, shows, words


def after(text, made):
    """`text` after all edits of `made`, in the form that ast gives it."""
    module = edit.parsed(text)
    return plain(edit.applied(module, made(module)) or "")


def without(text, depth=0):
    """`text` without each statement at `depth`, by itself."""
    candidates = passes.statements(text, depth)
    return [plain(candidates.text(frozenset([n])) or "") for n in range(candidates.number)]


def swept(text):
    return passes.unused(text).text(frozenset([0]))


def test_who_needs_a_statement_goes_with_it():
    assert without("x = f()\ny = x + 1\nprint(y)\ng()\n")[0] == "g()"


def test_the_last_of_several_imports_goes():
    assert (
        swept("import a, b\nfrom c import d, e\na.f(d)\n") == "import a\nfrom c import d\na.f(d)\n"
    )
    assert swept("import a, b\nb.f()\n") == "import b\nb.f()\n"
    module = edit.parsed("if a:\n    import b, c\nd()\n")
    line = module.body[0].body.body[0].body[0]
    both = [{line: edit.remove}, {line.names[1]: edit.remove}]
    assert edit.applied(module, both) == "if a:\n    pass\nd()\n"
    assert swept("from c import (\n    d,\n    e,\n)\nd()\n").startswith("from c import (\n    d")


def test_in_a_race_the_sleeps_stay():
    text = "import time\n\ndef f():\n    time.sleep(1)\n    g()\n\nf()\nh()\n"
    at_0 = passes.statements(text, 0, race=True)
    assert at_0.text(frozenset([0])) is None
    assert plain(at_0.text(frozenset([1]))) == "h()"
    at_1 = passes.statements(text, 1, race=True)
    assert [at_1.text(frozenset([n])) is None for n in range(at_1.number)] == [True, False]
    assert passes.statements(text, 0).text(frozenset([0])) is not None


def test_a_call_of_the_programs_own_goes_on_with_none():
    text = "def log(name, value):\n    print(name)\n\nx = f()\nlog('loss', x)\n"
    gone = without(text)[1]
    assert gone.endswith("log('loss', None)")


def test_a_call_of_a_library_goes_with_its_argument():
    assert "update" not in without("x = f()\noptimizer.update(model, x)\ng()\n")[0]


def test_an_element_of_arguments_is_cut_and_the_others_stay():
    text = "stop = Event()\nlog = f()\nThread(target=work, args=(log, stop)).start()\n"
    assert "args=(log, None)" in without(text)[0]


def test_what_nobody_uses_is_swept_away_unless_it_does_something():
    text = "import a, b\nfrom c import d\nx = 1\ny = call()\ndef f():\n    return x\nb.run()\n"
    assert plain(swept(text)) == "import b\ny = call()\nb.run()"


@pytest.mark.parametrize(
    "text",
    [
        "class T(Thread):\n\n    def run(self):\n        work()\nT().start()",
        "@register\ndef f():\n    pass",
        "def f():\n    pass\ncall('f')",
        "x: int = 1\nprint(x)",
        "for i in range(3):\n    print(i)",
        "with a() as b:\n    print(b)",
        "def f():\n    global n\n    n = 1\nf()\nprint(n)",
    ],
)
def test_what_may_be_used_stays(text):
    assert plain(swept(text)) == plain(text)


def test_an_import_that_loses_all_names_goes_whole():
    assert plain(swept("from a import (\n    b,\n    c,\n)\nimport d.e\nf()\n")) == "f()"


def test_a_block_that_loses_everything_is_still_a_program():
    assert without("if a:\n    b()\n", depth=1) == ["if a:\n    pass"]


def test_numbers_become_small_together():
    text = "dims, steps = 64, 10\nmodel = Linear(64, 1)\n"
    assert each(text, settings.smaller) == [
        plain("dims, steps = (2, 10)\nmodel = Linear(2, 1)"),
        plain("dims, steps = (64, 2)\nmodel = Linear(64, 1)"),
    ]


def test_types_and_optimizers_become_plain():
    text = "o = optim.AdamW(learning_rate=0.1, weight_decay=0.2)\nx = y.astype(mx.float16)\n"
    assert after(text, settings.plainer) == (
        "o = optim.SGD(learning_rate=0.1)\nx = y.astype(mx.float32)"
    )


def test_a_constant_takes_the_place_of_its_name():
    text = "N = 3\n\nclass C:\n    width: int = 4\n\nprint(N, C().width)\n"
    assert after(text, settings.propagated).endswith("print(3, 4)")


def test_what_changes_is_no_constant():
    text = "n = 1\nn += 1\nfor m in (1, 2):\n    m = 3\n\ndef f(k=1):\n    k = 2\n    return k\n"
    assert settings.propagated(edit.parsed(text)) == []


def test_prose_goes():
    text = (
        '"""Doc."""\n\n\ndef f(a: int) -> int:\n    """Doc."""\n\n    # why\n    return a  # so\n'
    )
    module = edit.parsed(text)
    assert edit.applied(module, expressions.prose(module)) == "def f(a):\n    return a\n"


def test_bodies_that_do_something_become_empty():
    text = "class A:\n    def __init__(self):\n        self.value = compute()\n"
    assert after(text, expressions.hollow) == plain(
        "class A:\n    def __init__(self):\n        pass"
    )
    text = "def f(x):\n    y = x + 1\n    return y * 2 + 3\n"
    assert after(text, expressions.hollow) == plain("def f(x):\n    return 0")


def test_a_body_that_is_empty_stays():
    text = "def f(x):\n    return 0\n"
    assert not each(text, expressions.hollow)


def test_what_is_computed_becomes_zero():
    text = "x = f(1)\nself.y = [a for a in b]\nz = 3\n"
    assert each(text, expressions.zeros) == [
        "x = 0\nself.y = [a for a in b]\nz = 3",
        "x = f(1)\nself.y = 0\nz = 3",
    ]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("if a:\n    b()\n", "b()"),
        ("if __name__ == '__main__':\n    b()\n", "b()"),
        ("while a:\n    b()\n", "b()"),
        ("with a as c:\n    b(c)\n", "c = a\nb(c)"),
        ("try:\n    b()\nexcept E:\n    c()\n", "b()"),
        ("for i in range(9):\n    b(i)\n", "b(0)"),
        ("for i in range(9):\n    b(i, i)\n", "i = 0\nb(i, i)"),
        ("for i in c:\n    b(i)\n", "b(next(iter(c)))"),
        ("for _ in c:\n    b()\n", "_ = next(iter(c))\nb()"),
        ("for i, j in c:\n    b(i)\n", "i, j = next(iter(c))\nb(i)"),
    ],
)
def test_a_block_gives_way_to_what_is_in_it(text, left):
    assert each(text, expressions.unwrapped)[0] == plain(left)


def test_a_parameter_goes_with_what_is_given_for_it():
    text = "def f(a, b):\n    print(a)\n\nf(1, 2)\nThread(target=f, args=(1, 2))\n"
    changes = calls.parameters(edit.parsed(text))
    assert "def f(a):\n    print(a)\nf(1)\nThread(target=f, args=(1,))" in {
        *each(text, calls.parameters)
    }
    assert changes


def test_a_parameter_of_a_class_goes_with_what_is_given_for_it():
    text = "class A:\n    def __init__(self, a, b):\n        print(b)\n\nA(1, b=2)\n"
    found = each(text, calls.parameters)
    assert "class A:\n\n    def __init__(self, b):\n        print(b)\nA(b=2)" in found


@pytest.mark.parametrize("around", ["class A:\n    if x:\n", "if x:\n    if y:\n"])
def test_a_parameter_of_an_odd_init_goes(around):
    text = f"{around}        def __init__(self, a):\n            f()\n"
    left = text.replace("self, a", "self")
    assert plain(left) in each(text, calls.parameters)


def test_a_name_in_a_row_of_strings_gives_no_program():
    module = edit.parsed("f(f'{a}' 'b')\n")
    assert [edit.applied(module, [one]) for one in expressions.shorter(module)].count(None) == 1


def test_a_try_gives_way_to_its_body_and_what_always_comes_after():
    text = "try:\n    a()\nexcept E:\n    b()\nfinally:\n    c()\n"
    assert each(text, expressions.unwrapped) == ["a()", "a()\nc()"]


def test_a_comprehension_and_an_await_give_way_to_what_is_in_them():
    assert "x = f(y)" in each("x = [f(y) for _ in z]\n", expressions.shorter)
    assert "async def g():\n    f()" in each("async def g():\n    await f()\n", expressions.shorter)


def test_expressions_give_way_to_their_parts():
    assert set(each("x = f(a, b) + c\n", expressions.shorter)) >= {"x = f(a, b)", "x = c"}
    assert each("y = self.layer(x)\n", expressions.passed_through) == ["y = x"]


def test_text_that_is_no_program_is_refused():
    with pytest.raises(SyntaxError):
        edit.parsed("def f(:\n")
    module = edit.parsed("def f():\n    x = 1\n")
    (line,) = module.body[0].body.body
    assert edit.applied(module, [{line: edit.by(edit.parsed("break").body[0])}]) is None


LOCKS = """import threading
import time
lock = threading.Lock()
model = make()

def save(value):
    with lock:
        time.sleep(0.1)
        best(value)

def best(value):
    with lock:
        return value
for step in range(3):
    loss = train(model)
    print(loss)
    save(loss)
"""


def test_a_slice_has_what_leads_to_the_symptom():
    narrow, wide = slices.programs(LOCKS, {12}, frozenset())
    assert "model" not in narrow
    assert "save(None)" in narrow
    assert "time.sleep(0.1)" in narrow
    assert "best(value)" in narrow
    assert "print(loss)" not in narrow
    assert "loss = train(model)" in wide
    assert "print(loss)" not in wide


FILES = {
    "data": "import config\n\nSIZE = 3\n\ndef load():\n    return config.SEED + SIZE\n",
    "config": "SEED = 7\n",
    "pkg": "",
    "pkg.model": "from . import parts\nfrom .parts import Part as P\n\nclass Model(P):\n    pass\n",
    "pkg.parts": "class Part:\n    pass\n\nif __name__ == '__main__':\n    Part()\n",
}


def find(name):
    return FILES.get(name.removesuffix(".__init__") if name == "pkg.__init__" else name)


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("import data\nprint(data.load(), data.SIZE)\n", "print(load(), SIZE)"),
        ("from data import load as fetch\nprint(fetch())\n", "print(load())"),
        ("from data import *\nprint(load())\n", "print(load())"),
        ("import os, data\nprint(data.load(), os.name)\n", "print(load(), os.name)"),
        ("import os, data, config, sys, pkg\nprint(data.load(), sys)\n", "print(load(), sys)"),
        ("import pkg.model\nprint(pkg.model.Model())\n", "print(Model())"),
        ("from pkg.model import Model\nprint(Model())\n", "print(Model())"),
        ("import config as c\n\ndef load():\n    return c.SEED\nprint(load())\n", "print(load())"),
        ("import data\n\ndef load():\n    return 1\nprint(load(), data.load())\n",
         "print(load(), load_data())"),
    ],
)  # fmt: skip
def test_local_modules_become_part_of_the_file(text, last, capsys):
    whole = join.joined(text, find)
    assert whole.rstrip().endswith(last)
    exec(compile(whole, "joined", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out
    assert "import data" not in whole
    assert "if __name__" not in whole


def test_an_import_of_the_future_stays_first():
    whole = join.joined("from __future__ import annotations\nimport config\nconfig.SEED\n", find)
    assert whole.splitlines()[0] == "from __future__ import annotations"
    compile(whole, "joined", "exec")


SCRIPT = '''"""Doc."""
import argparse


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=3, help=HELP)
    parser.add_argument("--fast", action="store_true")
    return parser.parse_args()


args = arguments()
print(args.steps, args.fast)
'''


def test_arguments_of_the_command_line_become_part_of_the_program():
    text = arguments.given(SCRIPT, ["--steps", "5"])
    assert text.startswith('"""Doc."""\nimport sys\nsys.argv[1:] = ')
    assert after(text, arguments.folded).endswith("print(5, False)")


@pytest.mark.parametrize("odd", ["type=my_type", "default=compute()", "**more"])
def test_arguments_that_are_computed_are_left_alone(odd):
    assert arguments.folded(edit.parsed(SCRIPT.replace("type=int", odd))) == []


def hung(line=3, function="step", end="cycle", wait="lock"):
    evidence = {
        "chain": [{"wait": wait, "place": f"program.py:{line} in {function}"}],
        "end": {"kind": end},
        "wait_category": "lock",
        "wait_site": f"waits for a lock (acquire), from program.py:{line} in {function}",
        "fingerprint": str(line),
    }
    cause = Cause(code="deadlock", summary="", proven=True, evidence=evidence)
    return Seen(result=result(outcome=Outcome.HUNG, cause=cause))


def result(**fields):
    given = {
        "scenario": "1", "outcome": Outcome.COMPLETED, "steps_requested": None,
        "steps_completed": 0, "wall_s": 1.0, **fields,
    }  # fmt: skip
    return ScenarioResult(**given)


def test_of_what_is_added_to_a_name_that_alone_is_left():
    assert "loss(x)" in each("total += loss(x)\n", expressions.fewer)


def test_a_hang_is_the_same_wherever_its_lines_went():
    wanted = of(hung(3), None)
    assert wanted.keep is Keep.FINGERPRINT
    assert shows(hung(90), wanted)
    assert not shows(hung(3, function="other"), wanted)
    assert not shows(hung(3, end="dead"), wanted)
    assert shows(hung(3, function="other"), of(hung(), Keep.CAUSE))
    assert wanted.mark == of(hung(12), None).mark != of(hung(3, "f"), None).mark


def test_what_only_the_process_itself_has_open_is_one_symptom():
    """A thread more turns the one into the other."""
    wanted = of(hung(wait="own"), None)
    assert shows(hung(wait="local_socket", end="dead"), wanted)
    assert not wanted.is_race
    assert not shows(hung(wait="pipe", end="program"), wanted)
    assert of(hung(), None).is_race
    assert not of(hung(wait="pipe"), None).is_race


def test_nan_is_the_same_where_its_operation_is():
    def diverged(operation, line):
        born = Origin(
            status=Located.LOCATED,
            summary=f"{operation} of 0",
            operation=operation,
            place="forward",
            site=f"program.py:{line} in loss",
        )
        given = {"outcome": Outcome.DIVERGED, "reason": f"diverged: {operation} of 0"}
        number = Finding(
            code="loss_not_finite",
            severity=Severity.ERROR,
            summary="the loss is inf",
        )
        return Seen(result=result(**given, origin=born, findings=(number,)))

    wanted = of(diverged("log", 3), None)
    assert {"number inf", "born: log in loss (forward)"} <= set(wanted.parts)
    assert shows(diverged("log", 90), wanted)
    assert not shows(diverged("exp", 3), wanted)


def test_a_thread_that_died_of_an_exception_belongs_to_the_hang():
    died = (
        "Exception in thread loader:\nTraceback (most recent call last):\n  File 'a'\n"
        "ValueError: bad line\n"
    )
    wanted = of(Seen(result=hung().result, printed=died), None)
    assert "thread raised ValueError" in wanted.parts
    assert not shows(hung(), wanted)


@pytest.mark.parametrize(
    ("reason", "same"),
    [
        ("ValueError: Shapes (4,6) and (2,2) cannot be broadcast, at p.py:9 in f", True),
        ("ValueError: Shapes (4,6) and (2,2) cannot be broadcast, at p.py:9 in g", False),
        ("ValueError: Sizes differ, at p.py:9 in f", False),
        ("NameError: name 'x' is not defined, at p.py:9 in f", False),
    ],
)
def test_a_crash_is_the_same_by_its_kind_its_words_and_its_function(reason, same):
    def crashed(text):
        return Seen(result=result(outcome=Outcome.CRASHED, reason=text, exit_code=1))

    whole = "ValueError: Shapes (8,3) and (1,7) cannot be broadcast, at p.py:1 in f (after step 2)"
    assert shows(crashed(reason), of(crashed(whole), None)) is same


@pytest.mark.parametrize(
    ("text", "other", "same"),
    [
        ("AttributeError: 'Adder' object has no attribute 'go'",
         "AttributeError: 'NoneType' object has no attribute 'go'", False),
        ("NameError: name 'losses' is not defined",
         "NameError: name 'model' is not defined", False),
        ("KeyError: 'loss'", 'KeyError: "rate"', False),
        ("No such file: '/tmp/a/b'", "No such file: '/var/c'", True),
        ("ValueError: could not convert '1.5e'", "ValueError: could not convert '2 x'", True),
    ],
)  # fmt: skip
def test_a_name_in_a_message_counts_and_other_quoted_text_does_not(text, other, same):
    assert (words(text) == words(other)) is same


def test_a_finding_is_kept_of_a_program_that_completes():
    leak = Finding(code="memory_growth", severity=Severity.WARNING, summary="")
    seen = Seen(result=result(findings=(leak,)))
    wanted = of(seen, None)
    assert (wanted.keep, wanted.parts) == (Keep.FINDING, ("memory_growth",))
    assert shows(seen, wanted)
    assert not shows(Seen(result=result()), wanted)
    assert not shows(hung(), wanted)


def test_a_program_without_a_failure_is_refused():
    with pytest.raises(UsageError, match="shows no finding"):
        of(Seen(result=result()), None)
    with pytest.raises(UsageError, match="--keep finding"):
        of(Seen(result=result()), Keep.CAUSE)


def test_rare_symptoms_are_looked_for_more_often():
    assert judge.repeats(1.0) == 2
    assert judge.repeats(0.5) == 7
    assert judge.repeats(0.01) == judge.MOST_RUNS


def test_a_file_says_what_it_needs_besides_mlx():
    text = "import os.path, numpy as np\nimport mlx.core as mx\nfrom mlx_lm import load\n"
    assert file.needs(text) == ("mlx_lm", "numpy")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["python", "ls"], "runs no file of Python"),
        (["train.py"], "put python before train.py"),
        (["python", "-m", "train"], None),
        (["python", "train.py", "--steps", "3"], None),
    ],
)
def test_the_program_of_a_command_is_found(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("print(open('rows.csv').read(), 'absent.csv')\n")
    (tmp_path / "rows.csv").write_text("1\n")
    if said is not None:
        with pytest.raises(UsageError, match=said):
            target.of_command(words)
        return
    found = target.of_command(words)
    assert found.python == ("python",)
    assert found.data == ((tmp_path / "rows.csv", "rows.csv"),)
    assert ("sys.argv[1:]" in found.text) is ("--steps" in words)


def test_a_file_that_is_no_program_is_refused(tmp_path):
    (tmp_path / "a.py").write_text("def f(:\n")
    with pytest.raises(UsageError, match="is no Python program"):
        target.of_file(tmp_path / "a.py", None)


def test_a_scenario_becomes_a_program_of_its_own(tmp_path):
    file = tmp_path / "a.py"
    file.write_text('"""One."""\n\n\ndef make_step(training):\n    return lambda x, y: None\n')
    found = target.of_file(file, None)
    assert "def make_step(training)" in found.text
    assert "harness" not in found.text
