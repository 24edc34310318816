"""Where a program stands, by what faulthandler prints of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import pytest

from harness.model import Patience
from harness.reduce import glance, looker, search, target
from harness.reduce.carry_out import _Reduction
from harness.reduce.glance import Pose
from harness.reduce.judge import Judge
from harness.reduce.symptom import Keep, Symptom
from harness.reduce.target import Target

WAITS = """Timeout (0:00:00.100000)!
Thread 0x00007f1 (most recent call first):
  File "/tmp/1/program.py", line 18 in flush
  File "/lib/python3.11/threading.py", line 982 in run
  File "/lib/python3.11/threading.py", line 1002 in _bootstrap

Thread 0x00007f2 (most recent call first):
  File "/lib/python3.11/threading.py", line 320 in wait
  File "/lib/python3.11/queue.py", line 171 in get
  File "/tmp/1/program.py", line 65 in next
  File "/tmp/1/program.py", line 90 in <module>
"""
MAIN = ("threading.py wait", "queue.py get", "program.py next")
FLUSH = ("program.py flush",)
SYMPTOM = Symptom(
    keep=Keep.FINGERPRINT, parts=("hung", "lock in flush", "queue in next"), summary="hung"
)
POSE = Pose(MAIN, (FLUSH,))
ELSEWHERE = Pose(("program.py build",), ())


def test_the_main_thread_is_the_last_one_and_ends_at_the_first_function_of_the_program():
    assert glance.poses(WAITS * 2, "program.py") == [POSE]


def test_of_a_thread_of_a_library_the_innermost_function_counts():
    text = WAITS.replace('  File "/tmp/1/program.py", line 18 in flush\n', "")
    (pose,) = glance.poses(text * 2, "program.py")
    assert pose == Pose(MAIN, (("threading.py run",),))
    pool = Symptom(keep=Keep.FINGERPRINT, parts=("hung", "poll in run", "queue in next"),
                   summary="hung")  # fmt: skip
    assert glance.wanted([(0.2, pose), (1.5, pose)], pool) == (pose, 0.2)


def test_a_glance_that_is_half_printed_does_not_count():
    assert glance.poses(WAITS, "program.py") == []
    assert glance.poses("", "program.py") == []


def test_the_pose_of_the_whole_program_is_known_once_it_has_lasted():
    times = [(0.2, ELSEWHERE), (0.4, POSE), (0.9, POSE)]
    assert glance.wanted(times, SYMPTOM) is None
    assert glance.wanted([*times, (1.5, POSE)], SYMPTOM) == (POSE, 0.4)


def test_a_program_that_took_long_to_get_there_is_watched_for_longer():
    times = [(0.1 * n, ELSEWHERE if n < 100 else POSE) for n in range(1, 131)]
    assert glance.wanted(times, SYMPTOM) is None


@pytest.mark.parametrize("main", [("program.py build",), ()])
def test_who_stands_in_no_function_of_the_symptom_is_not_glanced_at(main):
    assert glance.wanted([(1.0, Pose(main, ())), (3.0, Pose(main, ()))],
                         SYMPTOM) is None  # fmt: skip


def test_only_threads_that_were_there_each_time_and_in_the_symptom_are_wanted():
    idle = ("threading.py wait", "program.py idle")
    often = Pose(MAIN, (FLUSH, idle))
    assert glance.wanted([(0.1, often), (1.5, often)], SYMPTOM) == (POSE, 0.1)
    found = glance.wanted([(0.1, Pose(MAIN, ())), (1.5, often)], SYMPTOM)
    assert found == (Pose(MAIN, ()), 0.1)


def test_a_candidate_stands_there_only_after_some_glances_in_a_row():
    assert not glance.stands([POSE] * (glance.FEW - 1), POSE)
    assert not glance.stands([POSE, ELSEWHERE, *[POSE] * (glance.FEW - 1)], POSE)
    assert glance.stands([ELSEWHERE, *[POSE] * glance.FEW], POSE)


def test_a_candidate_may_have_threads_elsewhere_but_not_fewer_or_more_in_one_place():
    more = Pose(MAIN, (*POSE.others, ("program.py other",)))
    fewer = Pose(MAIN, ())
    twice = Pose(MAIN, (FLUSH, FLUSH))
    assert glance.stands([more] * glance.FEW, POSE)
    assert not glance.stands([twice] * glance.FEW, POSE)
    assert not glance.stands([POSE] * glance.FEW, twice)
    assert not glance.stands([fewer] * glance.FEW, POSE)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 17])
@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("eager", [False, True])
def test_the_last_right_one_is_found(count, width, eager):
    for last in range(-1, count):
        asked = []

        def right(some, last=last, asked=asked):
            assert len(some) <= width
            assert not set(some) & set(asked)
            asked += some
            return [at <= last for at in some]

        assert search.last_right(count, right, width, eager) == last


class HastyJudge:
    """Believes of each program that keeps `queue` that it hangs; its verdicts also want `get`."""

    jobs, width, tries, takes_s, glances = 2, 4, 0, 0.0, True

    def __init__(self):
        self.verdicts = []

    def steady(self, text, wanted):
        pass

    def shown(self, texts, wanted):
        return ["queue" in text for text in texts]

    def steadily(self, text):
        return True

    def printed(self, text):
        return ""

    def was_hasty(self, text):
        return False

    def confirmed(self, texts, wanted):
        self.verdicts += texts
        return ["queue" in text and "get" in text for text in texts]


def test_a_program_that_only_seems_right_is_taken_back(tmp_path):
    text = "import queue\na = 1\nb = 2\nwaiting = queue.Queue()\nwaiting.get()\nprint(a, b)\n"
    judge = HastyJudge()
    program = Target("train.py", text, 6, ("python",), ())
    reduction = _Reduction(program, judge, tmp_path, None, None)
    reduction._reduce(SYMPTOM, frozenset(), frozenset())
    left = reduction.path.read_text()
    assert "get" in left
    assert "print" not in left
    assert left in judge.verdicts


@pytest.mark.parametrize("outcome", ["hung", "crashed"])
def test_only_a_candidate_of_a_hang_is_judged_sooner(monkeypatch, outcome):
    """Not what is checked at the end, nor the good release, where nothing is known to hang."""
    monkeypatch.setattr("harness.reduce.judge.shows", lambda seen, wanted: True)
    monkeypatch.setattr("harness.reduce.judge.fails_alike", lambda seen, wanted: False)
    asked = []

    def several(texts, well=False, hasty=False):
        asked.append((well, hasty))
        return [SimpleNamespace(result=None) for _ in texts]

    wanted = Symptom(keep=Keep.OUTCOME, parts=(outcome,), summary="")
    with Judge(("python",), (), jobs=2, patience=Patience(seconds=2.0), well=("good",)) as judge:
        monkeypatch.setattr(judge, "_several", several)
        assert judge.confirmed(["f()\n"], wanted) == [True]
        judge.check("f()\n", wanted, 3)
    assert asked == [(False, outcome == "hung"), (True, False), (False, False)]


class Ran(NamedTuple):
    """A run as a sign looks at it."""

    ended: bool


class Shows(NamedTuple):
    answer: bool | None

    def decided(self, run):
        return self.answer


@pytest.mark.parametrize(
    ("shows", "ended", "well"),
    [(True, False, False), (True, True, False), (None, False, None), (False, False, None),
     (False, True, True), (None, True, True)],
)  # fmt: skip
def test_a_program_is_well_that_ends_without_the_sign(shows, ended, well):
    assert looker.Without(Shows(shows)).decided(Ran(ended)) is well


def test_another_python_runs_what_the_program_s_own_does():
    words = ("nice", "/envs/mine/bin/python3.12", "-u")
    assert target.with_python(words, "/good/python") == ("nice", "/good/python", "-u")
    assert target.with_python(("nice",), "/good/python") == ()
