"""The signs of a crash and of a divergence, and how copies of a process are asked for."""

from __future__ import annotations

import pytest

from harness.reduce import nursery, signs
from harness.reduce.runs import Lender
from harness.reduce.symptom import Keep, Symptom
from harness.supervise import kernel_cache

RAISED = """Traceback (most recent call last):
  File "/home/1/program.py", line 30, in <module>
    main()
  File "/home/1/program.py", line 12, in best
    return self.running[name]
KeyError: 'loss'
"""
THREAD = """Exception in thread loader:
Traceback (most recent call last):
  File "/home/1/program.py", line 5, in work
    float("x")
ValueError: could not convert string to float: 'x'
"""


def test_the_end_of_a_run_is_known_by_its_last_words():
    end = signs.ending(1 << 8, RAISED)
    assert end == signs.Ending(None, True, "KeyError", "best", "KeyError loss")
    assert signs.ending(1 << 8, THREAD + RAISED) == end
    assert signs.ending(1 << 8, RAISED.replace("line 12", "line 3")) == end
    assert signs.ending(1 << 8, RAISED.replace("in best", "in worst")) != end


def test_the_exception_of_another_thread_is_no_end():
    assert signs.ending(0, THREAD) == signs.Ending(None, False)


def test_a_signal_is_an_end_of_its_own():
    assert signs.ending(11, "") == signs.Ending(11, True)
    assert signs.ending(9, "") != signs.ending(11, "")


@pytest.mark.parametrize(
    ("keep", "same"),
    [(Keep.OUTCOME, "ValueError: no"), (Keep.CAUSE, "KeyError: 'x'")],
)
def test_less_of_an_end_is_compared_where_less_is_kept(keep, same):
    end = signs.ending(256, RAISED).as_kept(keep)
    other = signs.ending(256, f"{RAISED.rpartition('KeyError')[0]}{same}\n".replace("best", "f"))
    assert other.as_kept(keep) == end
    assert signs.ending(0, "").as_kept(keep) != end


def diverged(number):
    parts = ("diverged", f"{signs.NUMBER}{number}")
    return Symptom(keep=Keep.FINGERPRINT, parts=parts, summary="diverged")


def test_reports_of_the_same_wrong_number_are_counted():
    output = b"step 0: loss 1.5\nstep 1: loss nan\nstep 2: loss nan\nstep 3: loss inf\n"
    assert signs.numbers(output, diverged("nan")) == 2
    assert signs.numbers(output, diverged("inf")) == 1
    assert signs.numbers(b"step 0: loss 1.5\nfinance\n", diverged("nan")) == 0
    any_kind = Symptom(keep=Keep.OUTCOME, parts=("diverged",), summary="diverged")
    assert signs.numbers(output, any_kind) == 3


def test_a_finding_is_seen_by_no_glance():
    assert signs.seen_without_verdict(diverged("nan"))
    finding = Symptom(keep=Keep.FINDING, parts=("memory_growth",), summary="completed")
    assert not signs.seen_without_verdict(finding)


def test_what_was_imported_is_imported_once_for_all():
    text = "from __future__ import annotations\nimport a.b, c as d\nfrom e import f\nimport c\n"
    text += "from . import g\nif x:\n    import h\ndef i():\n    import j\n"
    assert nursery.imports(text, {1, 2, 3, 4, 5, 6, 9}) == ("a.b", "c", "e", "j")


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.fixture
def lender(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stored = kernel_cache.store() / "0.32.4" / "stored.so"
    stored.parent.mkdir(parents=True)
    stored.write_text("compiled")
    lender = Lender(tmp_path / "lent")
    kernel = lender.kernels / "0.32.4" / "one.so"
    kernel.parent.mkdir(exist_ok=True)
    kernel.write_text("compiled")
    return lender


LENT = {"mlx/0.32.4/stored.so", "mlx/0.32.4/one.so"}


def test_kernels_lie_where_mlx_looks_for_them(lender, tmp_path):
    lender.lend(tmp_path / "1")
    assert files(tmp_path / "1") == LENT
    assert all((tmp_path / "1" / name).is_symlink() for name in LENT)


def test_a_folder_of_kernels_comes_back_without_what_was_written(lender, tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    lender.lend(first)
    (first / "mlx" / "0.32.4" / "half.so").write_text("")
    (first / "of_program" / "inner").mkdir(parents=True)
    (first / "of_program" / "inner" / "file").write_text("")
    (first / "latest").symlink_to("of_program")
    (first / "of_program" / "home").symlink_to(tmp_path)
    lender.take_back(first)
    assert not first.exists()
    lender.lend(second)
    assert files(second) == LENT
    assert [path.name for path in second.iterdir()] == ["mlx"]
