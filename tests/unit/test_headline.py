"""The first screen: what happened, where, who waits for whom, how sure, and what to do now."""

from __future__ import annotations

import fakes
import msgspec
import pytest

from harness.analysis import headline
from harness.analysis.findings import learning
from harness.analysis.headline import suspects
from harness.model import Cause, Located, Origin, Outcome, RankResult, Severity, Standing
from harness.report import screen
from harness.text import places

SOURCE = """import threading

kept = []


def make_step(training):
    model, losses = training.model, []

    def step(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        losses.append(loss)
        local = []
        local.append(loss)
        kept[0] = gradients
        if training.rank == 1:
            return loss
        return loss

    return step
"""
LOCKS = [
    {
        "name": "main",
        "wait": "lock",
        "detail": "waits for a Python lock",
        "place": "a.py:10 in step",
    },
    {
        "name": "saver",
        "wait": "lock",
        "detail": "waits for a Python lock",
        "place": "b.py:7 in save",
    },
]
RING = {"kind": "cycle", "detail": "main and saver wait for one another", "sure": True}


def hung(chain=(), end=None, proven=True, code="deadlock", **fields):
    evidence = {"chain": list(chain), "end": end or {}} | fields.pop("evidence", {})
    cause = Cause(code=code, summary="it does not go on", proven=proven, evidence=evidence)
    return msgspec.structs.replace(fakes.hung("a"), cause=cause, **fields)


def info(source=SOURCE):
    return fakes.info("a", path="ladder/a.py", source=source)


def test_a_deadlock_names_both_places_the_ring_and_the_cure():
    made = headline.of(hung(LOCKS, RING), info())
    assert made.what == "hung in step 1, phase eval: deadlock"
    assert made.where == (
        "a.py:10 in step: loss, gradients = loss_and_grad(model, inputs, targets)",
        "b.py:7 in save",
    )
    assert made.who == (
        "main at a.py:10 in step waits for a Python lock, for 1.25 s",
        "saver at b.py:7 in save waits for a Python lock",
        "main and saver wait for one another",
    )
    assert made.sure.startswith("proven")
    assert made.now == "take these locks in the same order everywhere"
    assert [link.ring for link in made.chain] == [False, False, True]


def test_a_child_that_died_is_named_and_is_what_to_look_at():
    waits = {"name": "main", "wait": "queue", "detail": "waits for a queue", "place": "a.py:3 in f"}
    nobody = {"kind": "dead", "detail": "and its process has no other thread"}
    killed = {"name": "process 7 (python)", "signal": "SIGKILL", "oom_killer": True}
    fine = {"name": "process 6 (git)", "exit_code": 0, "oom_killer": False}
    made = headline.of(hung([waits], nobody, evidence={"ended_children": [fine, killed]}), info())
    died = "was killed by SIGKILL, probably by the kernel's out-of-memory killer"
    assert made.who[1:] == (nobody["detail"], f"process 7 (python), its child, {died}")
    assert made.now.startswith("find out why the one that is gone ended")
    made = headline.of(hung([waits], nobody, evidence={"ended_children": [fine]}), info())
    assert made.who[-1] == "process 6 (git), its child, exited with code 0"
    assert made.now.startswith("look who should give that lock back")


def test_a_lock_that_is_taken_twice_has_another_cure():
    made = headline.of(hung(LOCKS[:1], RING | {"detail": "waits for itself"}))
    assert "RLock" in made.now


NOTIFIED = "waits for another thread to notify it"
ENDS = "waits for another thread to end"


@pytest.mark.parametrize(
    ("waits", "now"),
    [
        ((("lock", NOTIFIED), ("lock", "waits for a condition variable")), "look who should wake"),
        ((("lock", NOTIFIED), ("queue", "waits for a queue")), "look who should wake"),
        ((("future", "waits for a future"), ("queue", "waits for a future")), "look who should"),
        ((("lock", ENDS), ("lock", "waits for a Python lock")), "let one of them take no part"),
        ((("join", "waits for thread 7 to end"), ("lock", NOTIFIED)), "let one of them take no"),
        ((("lock", ENDS), ("lock", NOTIFIED)), "let one of them take no part"),
        ((("mutex", "waits for main to release a lock"),) * 2, "take these locks in the same"),
        ((("lock", "waits for a lock that is held by process 7 (a)"),) * 2, "take these locks in"),
        ((("pipe", "waits for a pipe to process 7 (a)"),) * 2, "let one of them take no part"),
        (
            (("child", "waits for a child process"), ("pipe", "waits for room in a pipe to main")),
            "read what is written while it is written",
        ),
    ],
)
def test_a_ring_of_other_waits_than_locks_has_another_cure(waits, now):
    chain = [{**LOCKS[0], "wait": wait, "detail": detail} for wait, detail in waits]
    assert headline.of(hung(chain, RING)).now.startswith(now)


ALONE = "and its process has no other thread"
BY_NOBODY = "look who should give that lock back or end that wait: no thread is seen that would"


@pytest.mark.parametrize(
    ("wait", "detail", "now"),
    [
        ("stream_evaluation", ALONE, "start the child with the spawn method"),
        ("lock", ALONE, BY_NOBODY),
        ("lock", "nobody is seen who would end that wait (thread 5 only goes on)", BY_NOBODY),
        (
            "pipe",
            "waits for a pipe, which nobody else has open",
            "look who should wake it: its process alone has the other end",
        ),
    ],
)
def test_who_is_seen_by_nobody_has_not_been_forked_for_it(wait, detail, now):
    run = hung([{**LOCKS[0], "wait": wait}], {"kind": "dead", "detail": detail})
    assert headline.of(run, info()).now.startswith(now)


def test_tasks_whose_loop_nothing_wakes_are_asked_what_they_await():
    """asyncio has a pair of sockets to wake its own loop by."""
    end = {"kind": "dead", "detail": "waits for a local socket, which nobody else has open"}
    site = {"wait_site": "waits for a file or socket to become ready (epoll_wait), from a.py:9"}
    run = hung([{**LOCKS[0], "wait": "local_socket"}], end, evidence=site)
    assert headline.of(run, info()).now.startswith("look what its tasks await")


def test_who_had_the_other_end_and_was_killed_is_asked_for_first():
    end = {"kind": "dead", "detail": "waits for a pipe, which nobody else has open"}
    ended = {"ended_children": [{"name": "process 7 (loader)", "signal": "SIGKILL"}]}
    run = hung([{**LOCKS[0], "wait": "pipe"}], end, evidence=ended)
    assert headline.of(run, info()).now.startswith("find out why the one that is gone ended")


def test_what_is_stopped_has_somebody_who_stopped_it_also_where_no_chain_was_followed():
    assert headline.of(hung(code="stopped", proven=False)).now.startswith("find out who stopped it")


def test_what_is_not_proven_says_how_long_the_phase_took_before():
    end = {"kind": "outside", "detail": "waits for a signal", "sure": True}
    waits = {"name": "main", "wait": "pipe", "detail": "waits for a signal", "place": "a.py:10"}
    evidence = {"phase_s": 9.1, "phase_max_s": 0.05}
    made = headline.of(hung([waits], end, False, "waiting", evidence=evidence))
    assert made.sure == "not proven: phase eval has run for 9.1 s; the longest before took 50 ms"
    # The end repeats what the last one waits for.
    assert len(made.who) == 1


@pytest.mark.parametrize("place", ["<string>:1 in <module>", "sleep+0x64af", ""])
def test_a_place_that_nobody_can_open_is_none(place):
    waits = {"name": "main", "wait": "signal", "detail": "waits for a signal", "place": place}
    made = headline.of(hung([waits]), info())
    assert made.where == ("the step of a.py:9",)


def test_without_a_chain_the_wait_site_and_the_summary_speak():
    made = headline.of(hung(evidence={"wait_site": "waits for a lock, from a.py:10 in step"}))
    assert made.where == ("a.py:10 in step",)
    assert made.who[0].startswith("it does not go on, for ")
    assert made.chain == ()


def test_the_ranks_stand_in_the_order_of_their_blame():
    ranks = (
        RankResult(rank=0, state=Standing.WAITING, reason="waits for rank 1"),
        RankResult(
            rank=1, state=Standing.STALLED, reason="sleeps", culprit=True, python_frame="a.py:10"
        ),
        RankResult(rank=2, state=Standing.WAITING, reason="waits for rank 1"),
    )
    made = headline.of(hung(ranks=ranks), info())
    assert made.where[0].startswith("a.py:10: ")
    assert made.who == (
        "rank 1 (stalled, to blame): sleeps",
        "ranks 0 and 2 (waiting): waits for rank 1",
    )
    assert made.now == "look at what rank 1 does there: the others wait for it"


def test_ranks_that_nobody_waits_for_are_looked_at_all_the_same():
    ranks = (
        RankResult(rank=0, state=Standing.FINISHED, reason="exited with code 0"),
        RankResult(rank=1, state=Standing.STALLED, reason="sleeps", culprit=True),
        RankResult(rank=2, state=Standing.STALLED, reason="sleeps", culprit=True),
    )
    assert headline.of(hung(ranks=ranks), info()).now == "look at what ranks 1 and 2 do there"


def test_an_exception_stands_at_its_line():
    crashed = fakes.result("a", Outcome.CRASHED, reason="ValueError: no", place="a.py:10 in step")
    made = headline.of(crashed, info())
    assert made.what == "crashed: ValueError: no"
    assert made.where == (
        "a.py:10 in step: loss, gradients = loss_and_grad(model, inputs, targets)",
    )


@pytest.mark.parametrize(
    ("reason", "now"),
    [
        ("the program trian was not found", "check its name, and that its folder is on the PATH"),
        ("the program ./train.py cannot be executed", "put the program before it that runs it"),
        ("exited with code 1", "read the end of its output"),
    ],
)
def test_a_program_that_was_never_started_has_no_output_to_read(reason, now):
    result = fakes.result("a", Outcome.CRASHED, reason=reason)
    assert headline.of(result, info()).now.startswith(now)


@pytest.mark.parametrize(
    ("reason", "findings", "rows"),
    [
        ("stopped by --budget in step 3", (), ["sure", "now"]),
        ("interrupted in step 3", (), []),  # the user knows
        ("alive: uses 98 % of a core", (fakes.finding("attached", Severity.INFO),), []),
    ],
)
def test_what_was_not_finished_has_advice_only_where_there_is_some(reason, findings, rows):
    result = fakes.result("a", Outcome.UNFINISHED, reason=reason, findings=findings)
    assert [name for name, _ in headline.of(result, info()).rows()] == rows


@pytest.mark.parametrize("code", learning.REASONS)
def test_each_reason_for_learning_nothing_has_advice(code):
    found = fakes.finding(code, Severity.ERROR)
    (now,) = [
        text
        for name, text in headline.of(fakes.result("a", findings=(found,)), info()).rows()
        if name == "now"
    ]
    assert "docs/reference" not in now


def test_a_leak_points_at_the_lines_that_may_keep_what_a_step_made():
    growth = fakes.finding("memory_growth", Severity.WARNING)
    made = headline.of(fakes.result("a", findings=(growth,)), info())
    assert made.what.startswith("completed 10 steps, but ")
    assert [text.split(",")[0] for text in made.where] == [
        "maybe a.py:11: losses.append(loss)",
        "maybe a.py:14: kept[0] = gradients",
    ]


def test_a_finding_that_names_its_place_is_believed():
    found = fakes.finding("loss_not_finite", evidence={"place": "a.py:10 in step"})
    made = headline.of(fakes.result("a", Outcome.DIVERGED, reason="nan", findings=(found,)), info())
    assert made.where[0].startswith("a.py:10 in step: loss")


def test_ranks_that_differ_point_at_the_lines_that_ask_for_the_rank():
    found = fakes.finding("collective_mismatch")
    made = headline.of(fakes.result("a", Outcome.CRASHED, reason="x", findings=(found,)), info())
    assert made.where == ("maybe a.py:15: if training.rank == 1, which not every rank does",)


def test_a_source_that_is_of_no_file_gives_no_lines():
    bound = info(f"{SOURCE}\n\nSCENARIO = {{'make_step': make_step}}\n")
    assert headline.of(hung(LOCKS, RING), bound).where[0] == "a.py:10 in step"


def test_what_is_expected_or_well_has_nothing_to_add():
    for findings in ((), (fakes.finding(expected=True),), (fakes.finding(severity=Severity.INFO),)):
        made = headline.of(fakes.result("a", findings=findings), info())
        assert made.rows() == ()


@pytest.mark.parametrize("source", ["", "def broken(:", "x = 1\n" * 3, "\0"])
def test_a_source_that_says_nothing_is_no_fault(source):
    assert suspects.step(source) is None
    assert suspects.kept(source) == suspects.by_rank(source) == ()


def test_one_line_holds_all_of_it():
    text = screen.as_sentence(headline.of(hung(LOCKS, RING), info()), 2_000)
    assert "\n" not in text
    for part in ("deadlock", "at a.py:10", "who: main", "sure: proven", "now: take"):
        assert part in text


TRACEBACK = """noise
Traceback (most recent call last):
  File "/x/harness/worker.py", line 103, in _run
  File "/home/u/train.py", line 12, in step
    loss()
  File "/v/lib/python3.11/site-packages/mlx/nn/a.py", line 5, in call
  File "/usr/lib/python3.11/json/x.py", line 6, in load
ValueError: no
"""


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (TRACEBACK, "train.py:12 in step"),
        (
            TRACEBACK.replace("/home/u/train.py", "/v/site-packages/mlx_lm/lora.py"),
            "a.py:5 in call",
        ),
        (TRACEBACK.replace("in step", "in <module>"), "train.py:12"),
        (TRACEBACK + TRACEBACK.replace("12", "99"), "train.py:99 in step"),
        ("Traceback (most recent call last):\nValueError", None),
        ("", None),
        (
            "Fatal Python error: Aborted\n\nCurrent thread 0x7f (most recent call first):\n"
            '  File "/v/site-packages/mlx/a.py", line 3 in b\n'
            '  File "/u/train.py", line 8 in step\n'
            '  File "/u/train.py", line 30 in <module>\n\nExtension modules: a\n',
            "train.py:8 in step",
        ),
    ],
)
def test_the_innermost_line_of_the_users_own_is_the_place(text, place):
    found = places.raised(text)
    assert (None if found is None else str(found)) == place


@pytest.mark.parametrize(
    ("summary", "place", "now"),
    [
        ("log of 0", "forward", "add an epsilon"),
        ("0/0, where the divisor is the sum of 63 zeros", "forward", "leave out batches"),
        ("float16 overflow: matmul reaches 4,590,944, above 65,504", "forward", "bfloat16"),
        ("a division of 1 by 0", "update", "larger eps"),
        ("array 0 of the batch holds NaN", "data", "look at the data"),
        ("the slope of sqrt at 0", "backward", "slope is not finite"),
        ("something else", "forward", "their ranges"),
    ],
)
def test_where_nan_was_born_is_the_place_and_says_what_to_do(summary, place, now):
    told = f"{summary} at a.py:10 in step ({place})"
    origin = Origin(status=Located.LOCATED, summary=told, place=place, site="a.py:10 in step")
    fault = fakes.finding("loss_not_finite", Severity.ERROR, "the loss is nan from step 6 on")
    result = fakes.result("a", Outcome.DIVERGED, reason=f"diverged at step 6: {told}")
    result = msgspec.structs.replace(result, origin=origin, findings=(fault,))
    made = headline.of(result, info())
    assert made.what == f"diverged at step 6: {told}"
    line = "loss, gradients = loss_and_grad(model, inputs, targets)"
    assert made.where == (f"a.py:10 in step: {line}",)
    assert "replay" in made.sure
    assert now in made.now
    lost = msgspec.structs.replace(origin, status=Located.NOT_AGAIN, site=None)
    unknown = headline.of(msgspec.structs.replace(result, origin=lost), info())
    assert "not proven" in unknown.sure
