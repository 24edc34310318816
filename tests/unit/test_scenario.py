"""Scenario files are read without being run."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.model import Settings
from harness.scenario import load

GOOD = '''"""First line.

More."""
import mlx_that_does_not_exist

def make_step(training):
    ...
'''
LITERALS = """
EXPECTS = ("loss_flat",)
SETTINGS = {"steps": 3}
"""


def write(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_is_read_without_importing_it(tmp_path):
    info = load.load(write(tmp_path, GOOD + 'EXPECTS = ("loss_flat",)\nSETTINGS = {"steps": 3}\n'))
    assert (info.name, info.summary, info.expects) == ("mine", "First line.", ("loss_flat",))
    assert load.apply(Settings(), info).steps == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def make_step(:\n", ":1: not Python"),
        ("x = 1\n", "no make_step"),
        (GOOD + "SETTINGS = dict(steps=3)\n", "must be a literal"),
        (GOOD + "SETTINGS = [1]\n", "must be a dict"),
        (GOOD + "SETTINGS = {'stepz': 3}\n", "stepz is unknown (did you mean steps?)"),
        (GOOD + "SETTINGS = {'color': 3}\n", "color is unknown (known are steps, model, "),
        (GOOD + "SETTINGS = {'steps': 'many'}\n", "SETTINGS: steps: expected int, got str"),
        (GOOD + "EXPECTS = 3\n", "EXPECTS must be"),
        ("\x00", "not Python"),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path, text, told):
    with pytest.raises(UsageError) as caught:
        load.load(write(tmp_path, text))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_python_is_told_as_such(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, told in (("a.sh", "a.sh is no scenario"), ("a.py", "a.py: not Python: it is no tex")):
        (tmp_path / name).write_bytes(b"\x89PNG\xff")
        with pytest.raises(UsageError, match=told):
            load.find([name])


def test_make_step_may_be_imported_or_assigned(tmp_path):
    for text in (
        "from baseline_update import make_step\n",
        "import x\nmake_step = x.f\n",
        "from x import f as make_step\n",
    ):
        assert load.load(write(tmp_path, text)).name == "mine"


def test_unknown_names_are_answered_with_close_ones():
    with pytest.raises(UsageError, match="did you mean baseline_update"):
        load.find(["baseline_updat"])
    with pytest.raises(UsageError, match="harness list"):
        load.find(["zzzz"])
    with pytest.raises(UsageError, match="no such scenario file"):
        load.find(["nowhere/mine.py"])


def test_the_same_name_twice_is_refused(tmp_path):
    path = write(tmp_path, GOOD)
    with pytest.raises(UsageError, match="two scenarios are named mine"):
        load.find([str(path), str(path)])


def test_a_folder_stands_for_its_files(tmp_path):
    write(tmp_path, GOOD, "b.py")
    write(tmp_path, GOOD, "a.py")
    write(tmp_path, "not a scenario", "_helper.py")
    assert [info.name for info in load.find([str(tmp_path)])] == ["a", "b"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no scenario in the folder"):
        load.find([str(tmp_path / "empty")])


def test_every_shipped_scenario_loads_and_says_what_it_separates():
    ladder = load.ladder()
    assert ladder[0].name == load.BASELINE
    files = (load.root() / "ladder").glob("[!_]*.py")
    assert sorted(info.name for info in ladder) == sorted(file.stem for file in files)
    for info in ladder:
        assert info.summary.endswith(".")
        assert "Varies:" in info.doc, info.name
        assert "Separates:" in info.doc, info.name
