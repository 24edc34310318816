"""Our package beside another `harness`, each way in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import harness
import mlx_harness

ROOT = Path(mlx_harness.__file__).parents[1]
OURS = "ours " + str(Path(harness.__file__))


@pytest.fixture(params=["harness.py", "harness/__init__.py"])
def theirs(request, tmp_path):
    """A folder with a `harness` that is not ours."""
    file = tmp_path / request.param
    file.parent.mkdir(exist_ok=True)
    file.write_text("answer = 42\n")
    return file


def folder_of(theirs: Path) -> Path:
    """Where a module path finds `theirs`."""
    return theirs.parent if theirs.name == "harness.py" else theirs.parents[1]


def python(folder: Path, code: str, **variables: str) -> str:
    """What `code` prints, run in `folder`, whose modules come before all others."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_other_is_found(theirs):
    code = "import mlx_harness; print(mlx_harness.occupant())"
    folder = folder_of(theirs)
    assert python(folder, code) == str(theirs)
    assert python(folder, f"import harness; {code}") == str(theirs)
    assert python(ROOT, code) == "None"


def test_ours_is_imported_by_its_place(theirs):
    code = (
        "import mlx_harness; mlx_harness.package(); import harness; print('ours', harness.__file__)"
    )
    assert python(folder_of(theirs), code) == OURS


def test_once_theirs_is_imported_it_stays(theirs):
    code = """
import harness, mlx_harness
for use in (mlx_harness.package, lambda: mlx_harness.run):
    try:
        use()
    except mlx_harness.NameTakenError as error:
        print(error)
print(harness.answer, mlx_harness.main())
"""
    first, second, last = python(folder_of(theirs), code).splitlines()
    assert first == second
    assert first.startswith(f"{theirs} has the name of the package")
    assert last == "42 2"


def test_beats_work_beside_theirs(theirs, tmp_path):
    listening = tmp_path / "beats"
    listening.mkdir()
    code = """
from mlx_harness import beats
import harness
with beats.step() as step:
    step.loss = 1.5
print(harness.answer, beats.__name__)
"""
    told = python(folder_of(theirs), code, HARNESS_BEATS=str(listening))
    assert told == "42 _mlx_harness.beats"
    assert '"loss":1.5' in (listening / "beats.jsonl").read_text().replace(" ", "")


def test_where_the_name_is_ours_all_names_are_the_same_objects():
    code = """
import harness, mlx_harness
from harness import beats
print(all(getattr(mlx_harness, name) is getattr(harness, name) for name in harness.__all__),
      mlx_harness.beats is beats)
"""
    assert python(ROOT, code) == "True True"


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mlx_harness.nothing


@pytest.mark.parametrize("safe", ["", "1"])
def test_a_worker_gets_ours_and_keeps_the_rest_of_its_path(theirs, safe):
    folder = folder_of(theirs)
    (folder / "beside.py").write_text("")
    code = f"""
import subprocess, sys
import mlx_harness; mlx_harness.package()
from harness.supervise import launch
words = launch.boot("harness.text.invocation")
words[2] = words[2].replace("from harness" ".text.invocation import main; sys.exit(main(sys.argv))",
    "import harness, beside; print('ours', harness.__file__)")
print(subprocess.run(words, capture_output=True, text=True, cwd={str(folder)!r}).stdout)
"""
    assert python(folder, code, PYTHONSAFEPATH=safe) == OURS
