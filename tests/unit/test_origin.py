"""Where NaN was born: which run is replayed, what follows, and the words for what was found."""

from __future__ import annotations

import json
from types import SimpleNamespace

import fakes
import msgspec
import pytest

from harness.analysis import origin
from harness.analysis.diagnosis.diagnose import diagnose
from harness.analysis.operations import sentence
from harness.model import (
    Command,
    Finding,
    Locate,
    Located,
    Outcome,
    Replay,
    Settings,
    Severity,
    Support,
)
from harness.report import summary
from harness.report.sections import origin as section
from harness.session import locate

ARRAY = {"shape": [4, 31], "dtype": "float32", "low": 0.0, "high": 0.5}
FACTS = {
    "status": "located",
    "kind": "operation",
    "operation": "log",
    "place": "forward",
    "step": 12,
    "site": "train.py:41 in loss_fn",
    "frames": ["train.py:41 in loss_fn", "train.py:60 in step"],
    "module": "model.layers.7.mlp",
    "inputs": [{**ARRAY, "at": [0.0, 0.0]}],
    "output": {"shape": [4, 31], "dtype": "float32", "nan": 0, "inf": 2, "size": 124},
    "rows": [1],
    "columns": [3, 4],
    "tokens": [17, 9],
    "batch": [ARRAY],
    "probed_s": 0.2,
    "usual_s": 0.1,
}


def bad(code="loss_not_finite", step=12, severity=Severity.ERROR):
    evidence = {} if step is None else {"step": step}
    return Finding(code=code, severity=severity, summary=code, evidence=evidence)


def run(*found, outcome=Outcome.DIVERGED, **fields):
    return msgspec.structs.replace(fakes.result("mine", outcome), findings=found, **fields)


# --- which run is replayed ------------------------------------------------------------------------


def test_the_step_before_the_first_bad_one_is_probed_too():
    assert origin.request(run(bad()), Locate.DIVERGED) == Replay(probe=11, last=12)
    assert origin.request(run(bad(step=0)), Locate.DIVERGED) == Replay(probe=0, last=0)


def test_bad_gradients_are_an_end_of_their_own():
    found = origin.request(run(bad("gradients_not_finite", 3), bad(step=7)), Locate.DIVERGED)
    assert found == Replay(probe=2, last=3, gradients=True)


def test_parameters_that_are_bad_at_the_end_are_looked_for_in_each_step():
    found = origin.request(run(bad("parameters_not_finite", None)), Locate.DIVERGED)
    assert found is not None
    assert found.probe > 10**9


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        (run(bad()), Locate.NEVER),
        (run(bad("loss_exploded")), Locate.ANY),
        (run(bad("validation_not_finite")), Locate.ANY),
        (run(outcome=Outcome.COMPLETED), Locate.ANY),
        (run(bad(severity=Severity.WARNING), outcome=Outcome.COMPLETED), Locate.DIVERGED),
        (run(bad(), outcome=Outcome.HUNG), Locate.DIVERGED),
    ],
)
def test_no_other_run_is_replayed(result, wanted):
    assert origin.request(result, wanted) is None


def test_one_that_got_over_it_is_replayed_when_asked_for():
    result = run(bad("gradients_not_finite", 5, Severity.WARNING), outcome=Outcome.COMPLETED)
    assert origin.request(result, Locate.ANY) == Replay(probe=4, last=5, gradients=True)


@pytest.mark.parametrize(
    ("argv", "by_itself"),
    [
        (("python", "-m", "mlx_lm", "lora", "--train"), True),
        (("/usr/bin/python3", "-m", "mlx_lm.lora", "--train"), True),
        (("/opt/bin/mlx_lm.lora", "--train"), True),
        (("python", "train.py"), False),
        (("python", "mlx_lm.py"), False),
        (("uv", "run", "python3.12", "-u", "-m", "mlx_lm", "lora"), True),
        (("python", "train.py", "-m", "mlx_lm"), False),
        (("python", "-m", "study", "-m", "mlx_lm"), False),
    ],
)
def test_a_program_of_ones_own_is_run_again_only_when_asked_for(argv, by_itself):
    hooked = Finding(
        code="steps_reported", severity=Severity.INFO, summary="", evidence={"library": "mlx-lm 1"}
    )
    command = Command(argv=argv)
    asks = locate._may_be_run_again
    assert asks(command, run(bad(), hooked), Locate.DIVERGED) is by_itself
    assert asks(command, run(bad(), hooked), Locate.ANY)
    # Nobody is in it to be asked.
    assert not asks(command, run(bad()), Locate.ANY)
    assert asks(None, run(bad()), Locate.DIVERGED)


# --- what follows a replay ------------------------------------------------------------------------


def test_what_an_earlier_step_left_bad_is_probed_there():
    replay = Replay(probe=11, last=12, gradients=True)
    again = origin.again(replay, {"status": "earlier", "step": 4})
    assert again == Replay(probe=4, last=4, gradients=True)


def test_what_a_checkpoint_does_not_show_is_replayed_from_the_start():
    replay = Replay(probe=11, last=12, since=100.0)
    for status in ("not_again", "earlier"):
        facts = {"status": status, "step": 10, "checkpoint": 9}
        assert origin.again(replay, facts) == Replay(probe=11, last=12)
    assert origin.again(replay, {"status": "not_again", "step": 12}) is None
    assert origin.again(replay, FACTS) is None


class Ended(SimpleNamespace):
    """A job that has ended."""

    __hash__ = object.__hash__


def replayed(tmp_path, number, facts):
    """A replay that has ended with `facts`, and the run that it follows."""
    (tmp_path / "origin.json").write_text(json.dumps(facts))
    own = SimpleNamespace(
        info=fakes.info(), spec=SimpleNamespace(folder=str(tmp_path / "gone")), notes=[]
    )
    job = Ended(folder=tmp_path, ended_by_user=False)
    replays = locate.Replays(Locate.ANY, 600.0)
    following = locate._Following(own, run(bad()), Replay(probe=3, last=4), 0.0, number)
    replays._under_way[job] = following
    return replays, job, own


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_replay_that_cannot_be_followed_still_belongs_to_its_run(tmp_path, monkeypatch, number):
    """There are three at most, and there may be no room for one."""
    replays, job, own = replayed(tmp_path, number, {"status": "earlier", "step": 2})
    if number < locate.MOST:
        monkeypatch.setattr(replays, "_start", lambda following: None)
    assert replays.next(job, run()) is None
    whose, result = replays.combined(job, run())
    assert whose is own
    assert result.origin is not None
    assert result.origin.status is Located.FAILED
    assert "after step 2" in result.origin.summary


def test_a_replay_is_followed_by_the_next_one(tmp_path, monkeypatch):
    replays, job, _ = replayed(tmp_path, 1, {"status": "earlier", "step": 2})
    started = []
    monkeypatch.setattr(replays, "_start", lambda following: started.append(following) or "more")
    assert replays.next(job, run()) == "more"
    assert [(one.replay, one.number) for one in started] == [(Replay(probe=2, last=2), 2)]
    assert job not in replays._under_way


# --- what is said ---------------------------------------------------------------------------------


def test_the_reason_names_the_operation_and_its_line():
    found = origin.origin(FACTS, 3.0)
    result = origin.with_origin(run(bad()), found)
    assert result.reason == "diverged at step 12: log of 0 at train.py:41 in loss_fn (forward)"
    assert summary.verdict(result) == result.reason
    assert (found.module, found.rows, found.tokens) == ("model.layers.7.mlp", (1,), (17, 9))


def test_an_origin_is_the_same_wherever_a_custom_function_moves():
    def of(line):
        facts = {**FACTS, "operation": f"custom function kernel (train.py:{line})"}
        return origin.identity(origin.with_origin(run(bad()), origin.origin(facts, 3.0)))

    assert of(3) == of(300) == "custom function kernel in loss_fn (forward)"


def test_the_reason_names_the_step_if_it_is_another():
    found = origin.origin({**FACTS, "place": "backward", "step": 11}, 3.0)
    reason = origin.with_origin(run(bad()), found).reason
    assert reason is not None
    assert reason.startswith("diverged at step 12: the slope of log at 0 ")
    assert reason.endswith("(backward of step 11)")


def test_what_does_not_come_again_is_told_as_that():
    found = origin.origin({"status": "not_again", "step": 12}, 3.0)
    result = origin.with_origin(run(bad(), reason="the loss is nan"), found)
    assert found.status is Located.NOT_AGAIN
    assert found.operation is None
    assert result.reason == "the loss is nan"
    assert "stay finite up to step 12 in a replay" in found.summary


def test_data_that_are_bad_are_no_operation():
    facts = {**FACTS, "kind": "outside", "operation": "", "about": "array 0 of the batch"}
    found = origin.origin({**facts, "place": "data", "site": None, "result": "nan"}, 1.0)
    assert found.summary == "array 0 of the batch holds NaN before the step computes with it"
    assert found.operation is None


def test_the_report_shows_the_facts_that_there_are():
    rows = dict(section.rows(origin.origin(FACTS, 3.0)))
    assert rows["input 0"] == "float32 4 x 31, 0 to 0.5; 0 where the result is not finite"
    assert rows["result"] == "float32 4 x 31: 2 infinite of 124 elements"
    assert rows["tokens there"] == "17, 9"
    assert "cotangent 0" not in rows
    assert section.rows(origin.failed("was interrupted", 1.0)) == [("time of the replay", "1 s")]


def test_a_located_operation_supports_numerics_and_nothing_else():
    result = origin.with_origin(run(bad()), origin.origin(FACTS, 3.0))
    found = diagnose([result], Settings(), fakes.ENVIRONMENT).hypotheses
    supported = [h for h in found if h.verdict is Support.SUPPORTED]
    assert [h.id for h in supported] == ["numerics"]
    assert "log of 0 at train.py:41" in supported[0].because[0]


@pytest.mark.parametrize("facts", [
    {"status": "not_again", "step": 12},
    {**FACTS, "kind": "outside", "operation": "", "about": "array 0 of the batch"},
])  # fmt: skip
def test_what_no_operation_did_supports_nothing(facts):
    result = origin.with_origin(run(bad()), origin.origin(facts, 3.0))
    found = diagnose([result], Settings(), fakes.ENVIRONMENT).hypotheses
    assert not [h.id for h in found if h.verdict is Support.SUPPORTED]


# --- the words ------------------------------------------------------------------------------------


def numbers(low, high=None, **more):
    high = low if high is None else high
    return {"shape": [2], "dtype": "float32", "low": low, "high": high, "at": [low, high], **more}


OUT = {"dtype": "float32", "inf": 1, "nan": 0}
HALF = {"dtype": "float16", "inf": 1, "nan": 0}


@pytest.mark.parametrize(
    ("operation", "inputs", "more", "words"),
    [
        ("log", [numbers(0.0)], {}, "log of 0"),
        ("log", [numbers(-3.0, 0.0)], {}, "log of -3 to 0"),
        ("rsqrt", [numbers(0.0)], {}, "rsqrt of 0"),
        ("exp", [numbers(89.0, 812.0)], {}, "exp of 812"),
        ("sinh", [numbers(-812.0, -90.0)], {}, "sinh of -812"),
        ("divide", [numbers(0.0), numbers(0.0)], {}, "0/0"),
        ("__truediv__", [numbers(1.5), {"number": 0}], {}, "1.5/0"),
        ("__rtruediv__", [numbers(0.0), {"number": 1}], {}, "1/0"),
        ("__truediv__", [numbers(-1.0, 1.0), numbers(0.0)], {}, "a division of -1 to 1 by 0"),
        ("__itruediv__", [numbers(1.0), numbers(0.0)], {}, "1/0"),
        ("__pow__", [numbers(-2.0), {"number": 0.5}], {}, "-2 to the power 0.5"),
        ("__rpow__", [numbers(200.0), {"number": 10}], {}, "10 to the power 200"),
        ("softmax", [{**numbers(1.0), "not_finite": 3}], {}, "softmax of a row that is all -inf"),
        ("__sub__", [{**numbers(1.0), "not_finite": 3}, numbers(1.0)], {},
         "a subtraction of infinities that do not cancel"),
        ("__matmul__", [numbers(-1e20, 2e20), numbers(3e19)], {},
         "float32 overflow in matmul of values up to 2e20"),
        ("rms_norm", [numbers(1e28)], {"output": {"dtype": "float32", "nan": 4}},
         "float32 NaN in rms_norm of values up to 1e28"),
        ("matmul", [numbers(300.0)], {"output": HALF, "wide": 81204.0},
         "float16 overflow: matmul reaches 81,204, above 65,504"),
        ("astype", [numbers(1e6)], {"output": HALF, "wide": 1e6},
         "float16 overflow: a cast of 1,000,000, above 65,504"),
        ("log", [numbers(0.0)], {"output": HALF, "wide": "inf"}, "log of 0"),
        ("sqrt", [numbers(0.0)], {"place": "backward"}, "the slope of sqrt at 0"),
        ("power", [numbers(0.0), {"number": 0.3}], {"place": "backward"},
         "the slope of 0 to the power 0.3"),
        ("__rtruediv__", [numbers(1e-25), {"number": 1}], {"place": "backward"},
         "the slope of a division of 1 by 1e-25"),
        ("rms_norm", [numbers(-1e28)], {"place": "backward"},
         "float32 overflow in the gradient of rms_norm of values up to 1e28"),
        ("multiply", [numbers(3e4)], {"place": "backward", "output": HALF, "wide": 9e4},
         "float16 overflow: the gradient of a multiplication reaches 90,000, above 65,504"),
        ("concatenate", [], {}, "float32 overflow in concatenate of what it was given"),
        ("__truediv__", [numbers(1.0), {"number": 0}],
         {"place": "backward", "own": "custom function safe (train.py:3)"},
         "1/0, in the gradient of custom function safe (train.py:3)"),
        ("custom function kernel (train.py:3)", [numbers(2.0)], {},
         "float32 infinity in custom function kernel (train.py:3) of values up to 2"),
    ],
)  # fmt: skip
def test_an_operation_in_words(operation, inputs, more, words):
    facts = {"operation": operation, "inputs": inputs, "place": "forward", "output": OUT, **more}
    assert sentence(facts) == words


@pytest.mark.parametrize(
    ("operation", "inputs", "words"),
    [
        ("__mul__", [numbers(1e30), numbers(2e30)], "float32 overflow in a multiplication of"),
        ("__add__", [numbers(3e38), numbers(3e38)], "float32 overflow in an addition of"),
        ("matmul", [numbers(1e30), numbers(2e30)], "float32 overflow in matmul of"),
        ("__mul__", [numbers(0.01), {"number": "inf"}], "a multiplication with inf"),
        ("vmap", [numbers(0.3)], "float32 infinity in vmap of values up to 0.3"),
    ],
)
def test_what_is_no_power_is_not_called_one(operation, inputs, words):
    output = {"dtype": "float32", "inf": 1}
    facts = {"operation": operation, "place": "forward", "inputs": inputs, "output": output}
    assert sentence(facts).startswith(words)


def test_a_divisor_that_is_a_sum_of_zeros_is_told():
    divisor = {"operation": "sum", "shape": [4, 31], "low": 0.0, "high": 0.0}
    facts = {"operation": "divide", "inputs": [numbers(0.0), numbers(0.0)], "divisor": divisor}
    assert sentence(facts) == "0/0, where the divisor is the sum of 4 x 31 zeros"


def test_what_a_replay_shows_of_one_that_got_over_it_is_told_and_no_fault():
    result = run(
        bad("gradients_not_finite", 5, Severity.WARNING), outcome=Outcome.COMPLETED, reason=None
    )
    result = origin.with_origin(result, origin.origin(FACTS, 3.0))
    assert result.reason is None
    assert summary.replay(result) == "log of 0 at train.py:41 in loss_fn (forward)"
    found = diagnose([result], Settings(), fakes.ENVIRONMENT).hypotheses
    assert not [h.id for h in found if h.verdict is Support.SUPPORTED]


def test_a_reason_that_has_the_place_is_not_told_twice():
    result = origin.with_origin(run(bad()), origin.origin(FACTS, 3.0))
    assert summary.replay(result) == ""
    missed = origin.with_origin(run(bad()), origin.failed("was interrupted", 1.0))
    assert summary.replay(missed) == "the replay was interrupted"
    assert summary.replay(run(bad())) == ""
