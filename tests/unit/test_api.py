"""The API's types, how functions become scenarios, and how results show themselves."""

from __future__ import annotations

import functools
import inspect
import linecache
import subprocess
import sys
import types
from html.parser import HTMLParser
from pathlib import Path

import fakes
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness import api
from harness.errors import UsageError
from harness.model import OnHang, Outcome, ScenarioResult, Settings, Severity, Support
from harness.report import summary
from harness.scenario import from_function, from_notebook, pytest_stub

ROOT = Path(__file__).parents[2]


def make_step(training, scale=1.0):
    """A step for tests."""
    return lambda batch: scale


def make_batches(training):
    yield 0.0


def test_the_package_gives_what_it_promises():
    assert {name: getattr(harness, name) for name in harness.__all__}.keys() == set(harness.__all__)
    assert harness.run is api.run
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = harness.nothing


def test_importing_the_package_imports_nothing_more():
    told = subprocess.run(
        [sys.executable, "-c", "import sys; a = set(sys.modules); import harness; "
         "print(*sorted(set(sys.modules) - a - {'__future__'}))"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.split() == ["harness"]


def test_the_keywords_are_the_settings():
    assert api.Changes.__annotations__.keys() == set(Settings.__struct_fields__)


@pytest.mark.parametrize(
    "settings", [{"steps": "many"}, {"stepps": 2}, {"model": 3}, {"learning_rate": None}]
)
def test_wrong_settings_are_usage_errors(settings):
    with pytest.raises(UsageError):
        api.checked(settings)


def test_arguments_win_over_a_scenarios_own_settings():
    info = msgspec.structs.replace(fakes.info("one"), settings={"steps": 60, "model": "micro"})
    assert api.own(info, {"steps": 3}).settings == {"steps": 3, "model": "micro"}


@pytest.mark.parametrize("name", ["budget", "repeat", "jobs"])
def test_what_must_be_above_nothing(name, tmp_path):
    with pytest.raises(UsageError, match=f"{name} must be above 0, not 0"):
        api.run_all(["sgd_step"], out=tmp_path, **{name: 0})


def test_on_hang_is_a_word():
    assert api._on_hang("wait") is OnHang.WAIT
    with pytest.raises(UsageError, match="one of kill, keep, wait"):
        api._on_hang("shrug")


# -- scenarios


def test_a_shipped_scenario_by_its_name(tmp_path):
    info = api.Scenario("sgd_step", name="mine", settings={"steps": 4}, expects=["loss_flat"])
    made = info.info(tmp_path)
    assert (made.name, made.settings) == ("mine", {"optimizer": "sgd", "steps": 4})
    assert made.expects == ("loss_flat",)


def written(file, **functions):
    """What the scenario binds that is written of `functions`."""
    from_function.write(file, functions)
    scope: dict = {"__name__": file.stem}
    exec(compile(file.read_text(), str(file), "exec"), scope)
    return scope


def test_a_function_is_imported_from_where_it_stands(tmp_path):
    step = functools.partial(make_step, scale=2.5)
    info = api.Scenario(step, batches=make_batches).info(tmp_path)
    assert (info.name, info.summary) == ("make_step", "A step for tests.")
    assert "def make_step" in info.source
    scope: dict = {}
    path = list(sys.path)
    exec(Path(info.path).read_text(), scope)
    assert sys.path == path
    assert scope["make_step"](None)(0) == 2.5
    assert scope["batches"] is make_batches


class Steps:
    @staticmethod
    def make_step(training):
        return "static"

    def method(self, training): ...


def test_a_static_method_is_imported_too(tmp_path):
    scope = written(tmp_path / "static.py", make_step=Steps.make_step)
    assert scope["make_step"](None) == "static"


def test_paths_and_members_of_an_enum_are_arguments(tmp_path):
    given = (Path("a b"), Outcome.HUNG, [1, "x"])
    function = functools.partial(make_step, *given, other=Path("/c"))
    made = written(tmp_path / "arguments.py", make_step=function)["make_step"]
    assert (made.args, made.keywords) == (given, {"other": Path("/c")})


@pytest.mark.parametrize(
    "function",
    [
        lambda training: None,
        Settings,
        functools.partial(make_step, scale=object()),
        Steps.method,
        types.SimpleNamespace,
    ],
)
def test_what_no_other_process_can_import_is_refused(tmp_path, function):
    with pytest.raises(UsageError):
        api.Scenario(function).info(tmp_path)


def test_a_nested_function_is_refused(tmp_path):
    def inner(training): ...

    with pytest.raises(UsageError, match="inner is not at the top level"):
        api.Scenario(inner).info(tmp_path)


def test_batches_do_not_go_with_a_file(tmp_path):
    with pytest.raises(UsageError, match="batches needs a function"):
        api.Scenario("sgd_step", batches=make_batches).info(tmp_path)


def test_a_folder_is_not_one_scenario(tmp_path):
    with pytest.raises(UsageError, match="use run_all"):
        api.Scenario(ROOT / "scenarios" / "ladder").info(tmp_path)


@pytest.mark.parametrize("name", ["../up", "a/b", ".", "a b"])
def test_a_name_must_do_for_a_folder(tmp_path, name):
    with pytest.raises(UsageError, match="cannot be the name of a scenario"):
        api.Scenario("sgd_step", name=name).info(tmp_path)


def test_names_must_differ(tmp_path):
    with pytest.raises(UsageError, match="two scenarios are named sgd_step"):
        api._infos(["sgd_step", api.Scenario("lora_step", name="sgd_step")], tmp_path)


# -- functions in no file


def cells(*texts):
    """The variables of a notebook with these cells, whose text is in linecache alone."""
    world = {"__name__": "__main__"}
    for text in texts:
        name = f"<cell {id(world)}-{len(linecache.cache)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), world)
    return world


DATACLASSES = (
    "from dataclasses import dataclass\n",
    "@dataclass\nclass Width:\n    value: int = 7\n",
    "@dataclass\nclass Width:\n    value: int = 8\n",
    "class Empty(Exception): pass\n",
    "def make_step(training):\n    return Width().value, Empty('x').args\n",
)
NOTEBOOK = (
    "import math\nimport json as j\nfrom pathlib import Path\nWIDTH = 8\n",
    "class Base:\n    def width(self):\n        return WIDTH\n\n\nclass Model(Base):\n"
    "    def __init__(self, scale):\n        self.scale = scale\n",
    "def helper(x):\n    return helper(x - 1) if x else math.pi\n",
    "def make_step(training):\n    '''Of a notebook.'''\n    model = Model(2)\n"
    "    def step(batch):\n        return j.dumps([model.width() * model.scale, Path('a').name,\n"
    "            round(helper(batch))])\n    return step\n",
)


def test_a_notebooks_function_is_written_out_with_what_it_uses(tmp_path):
    world = cells(*NOTEBOOK, "unused = object()\n")
    scope = written(tmp_path / "used.py", make_step=functools.partial(world["make_step"]))
    assert scope["make_step"](None)(2) == '[16, "a", 3]'
    assert scope["__doc__"] == "Of a notebook."


def test_a_notebooks_names_mean_what_they_mean_there(tmp_path):
    world = cells(
        "SETTINGS = 'none of a scenario'\ndef make_step(training):\n    return training + 1\n",
        "def batches(training):\n    return SETTINGS\n",
        "def partial(training):\n    return make_step(training), batches(training)\n",
    )
    info = api.Scenario(world["partial"], batches=world["batches"]).info(tmp_path)
    assert info.settings == {}
    scope = written(tmp_path / "named.py", make_step=functools.partial(world["partial"]))
    assert scope["make_step"](1) == (2, "none of a scenario")


def test_a_notebooks_classes_without_methods_are_written_out(tmp_path):
    world = cells(*DATACLASSES)
    scope = written(tmp_path / "classes.py", make_step=world["make_step"])
    assert scope["make_step"](None) == (8, ("x",))


def test_what_cannot_be_written_out_is_named():
    world = cells("model = object()\n", "def make_step(training):\n    return model\n")
    with pytest.raises(UsageError, match="make_step uses model, a object"):
        from_notebook.source([world["make_step"]])


@pytest.mark.parametrize("cached", [False, True])
def test_a_function_without_any_source_is_refused(monkeypatch, cached):
    world: dict = {"__name__": "__main__"}
    exec("def make_step(training): ...", world)
    # As Python 3.13 keeps the text of `python -c`.
    known = {"<string>": (14, None, ["import harness\n"], "<string>")} if cached else {}
    monkeypatch.setattr(linecache, "cache", known)
    with pytest.raises(UsageError, match="source of make_step cannot be had"):
        from_notebook.source([world["make_step"]])


# -- what stands in for pytest


@pytest.fixture
def without_pytest(monkeypatch):
    real = sys.modules["pytest"]
    monkeypatch.delitem(sys.modules, "pytest")
    return real


def test_marks_mean_nothing_in_a_worker(without_pytest):
    with pytest_stub.for_pytest() as stand_in:
        import pytest

        assert pytest is stand_in

        @pytest.mark.slow
        @pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.skip(reason="x"))])
        def function(n):
            return n

        @pytest.fixture(scope="module")
        def fixed():
            return 5

        assert (function(3), fixed(), stand_in.used, stand_in.real) == (3, 5, True, None)
        assert pytest.approx(1.0) == 1.0
        assert stand_in.real is not None
        assert pytest.mark is stand_in.real.mark
    assert sys.modules["pytest"] is stand_in.real


def test_a_module_that_needs_the_real_pytest_gets_it(without_pytest, tmp_path, monkeypatch):
    file = tmp_path / "needs_marks.py"
    file.write_text("import pytest\nname = pytest.mark.slow.mark.name.upper()\n"
                    "assert isinstance(name, str)\nget = lambda: name\n")  # fmt: skip
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert from_function.function("needs_marks", str(file), "get", [])() == "SLOW"
    del sys.modules["needs_marks"]


# -- how results show themselves


class Table(HTMLParser):
    """The texts of all cells, and every tag."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.tags = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data


@given(fakes.drawn(ScenarioResult))
def test_any_result_shows_itself(result):
    run = api.Run(result, Path("folder"), Path("<report>.md"))
    table = Table(run._repr_html_())
    assert table.tags <= {"table", "tbody", "tr", "td", "p", "a"}
    assert table.cells[-1].endswith("report: <report>.md")
    assert 'href="report.html"' in run._repr_html_()
    assert result.outcome.value in str(run)
    assert "\n" not in repr(run)
    assert "\x1b" not in str(run)
    assert len(summary.row(result)) == len(summary.TITLES)


@given(st.text())
def test_no_text_of_a_run_becomes_html(text):
    (page,) = {summary.as_html(("a",), [(text,)], text)}
    assert Table(page).tags <= {"table", "thead", "tbody", "tr", "td", "th", "p"}


def test_a_word_is_printed_as_it_is():
    for word in (Outcome.HUNG, Severity.ERROR, Support.SUPPORTED):
        assert word == word.value == str(word) == f"{word}"


def test_several_runs_are_a_sequence_of_them():
    results = tuple(fakes.result(name, repeat=n) for name in ("a", "b") for n in range(2))
    runs = api.Runs(fakes.run(*results), Path("folder"))
    assert len(runs) == 4
    assert [run.scenario for run in runs] == ["a", "a", "b", "b"]
    assert [run.result.repeat for run in runs.of("b")] == [0, 1]
    assert runs[3].folder == Path("folder/b/1")
    assert [run.result.repeat for run in runs[1:3]] == [1, 0]
    assert runs.index(runs[2]) == 2
    assert runs[0].outcome == "completed"
    assert runs[0].outcome is Outcome.COMPLETED
    assert "folder/report.md" in str(runs)
    assert len(Table(runs._repr_html_()).cells) == 5 * len(summary.TITLES)


def test_every_public_thing_says_what_it_is():
    for name in harness.__all__:
        assert inspect.getdoc(getattr(harness, name))
