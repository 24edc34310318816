"""Two runs side by side: what differs, what is significant, and what is the same."""

from __future__ import annotations

import io
import json
import math
import random

import fakes
import msgspec
import pytest
import rich.console
from hypothesis import given, settings

from harness import cli
from harness.analysis import regressions
from harness.analysis.compare import REPEATS, Mark, compare, enough
from harness.cli import consoles
from harness.model import Outcome
from harness.report import runjson

replace = msgspec.structs.replace


def runs(step_s=0.02, count=REPEATS, hung=0, seed=0, **fields):
    """So many repeats of the baseline, some of them hung, with step times a tenth apart."""
    draw = random.Random(seed)
    results = [
        fakes.hung("baseline_update", repeat=n)
        if n < hung
        else fakes.result(
            repeat=n, metrics=fakes.metrics(step_s * draw.uniform(0.95, 1.05), **fields)
        )
        for n in range(count)
    ]
    return fakes.run(*results)


def marks(a, b):
    (one,) = compare(a, b).scenarios
    return {one.name: one.mark for one in (one.outcomes, *one.counts, *one.figures)}


@given(fakes.RUNS)
@settings(max_examples=20)
def test_a_run_is_the_same_as_itself_whatever_it_is(run):
    found = compare(run, run)
    assert found.setup == ()
    every = [
        other.mark for one in found.scenarios for other in (one.outcomes, *one.counts, *one.figures)
    ]
    assert set(every) <= {Mark.SAME, Mark.MISSING}
    json.dumps(runjson.storable(msgspec.to_builtins(found)), allow_nan=False)


def test_twice_the_time_is_significant_with_repeats_and_differs_without():
    slow = {"step_median_s", "step_p99_s", "step_first_s"}
    found = marks(runs(0.02, 10), runs(0.05, 10, seed=1))
    assert {name for name, mark in found.items() if mark is Mark.SIGNIFICANT} == slow
    found = marks(runs(0.02, 1), runs(0.05, 1))
    assert found["step_median_s"] is Mark.DIFFERS
    assert found["peak_over_p"] is Mark.SAME


def test_noise_alone_is_the_same():
    assert set(marks(runs(count=10), runs(count=10, seed=1)).values()) == {Mark.SAME}


def test_a_hang_that_came_with_a_version_is_significant():
    found = compare(runs(count=20), runs(count=20, hung=12)).scenarios[0].outcomes
    assert (found.a, found.b) == ({"completed": 20}, {"hung": 12, "completed": 8})
    assert found.mark is Mark.SIGNIFICANT
    assert found.p < 0.001
    rare = compare(runs(count=20), runs(count=20, hung=1)).scenarios[0].outcomes
    assert rare.mark is Mark.SAME


def ladder(count, seed=0, odd=None):
    """So many repeats of 21 scenarios, one of them other than the rest."""
    draw = random.Random(seed)
    step_s = {True: 0.2, False: 0.02}
    return fakes.run(
        *(
            fakes.hung(name, repeat=n)
            if odd == "hangs" and name == "s03"
            else fakes.result(
                name,
                repeat=n,
                metrics=fakes.metrics(step_s[odd == "slow" and name == "s03"] * draw.uniform(1, 2)),
            )
            for name in (f"s{i:02d}" for i in range(21))
            for n in range(count)
        )
    )


@pytest.mark.parametrize("odd", ["hangs", "slow"])
def test_more_runs_never_hide_what_single_ones_show(odd):
    seen = []
    for count in range(1, 13):
        found = compare(ladder(count), ladder(count, 1, odd))
        (one,) = [one for one in found.scenarios if one.scenario == "s03"]
        name = "outcome" if odd == "hangs" else "step_median_s"
        seen += [
            other.mark for other in (one.outcomes, *one.counts, *one.figures) if other.name == name
        ]
    assert seen[:4] == [Mark.DIFFERS] * 4
    assert seen[-1] is Mark.SIGNIFICANT
    assert seen == sorted(seen, key=[Mark.DIFFERS, Mark.SIGNIFICANT].index)
    assert seen.index(Mark.SIGNIFICANT) + 1 <= enough(found)


def test_one_figure_thrice_as_high_is_significant_with_five_runs():
    def of(peak):
        made = runs().results
        memory = [replace(one.metrics.memory, peak_over_p=peak) for one in made]
        metrics = [replace(one.metrics, memory=m) for one, m in zip(made, memory, strict=True)]
        return fakes.run(*(replace(one, metrics=m) for one, m in zip(made, metrics, strict=True)))

    assert marks(of(5.0), of(15.0))["peak_over_p"] is Mark.SIGNIFICANT


def test_what_no_two_runs_share_is_not_lost_by_repeating():
    """A loss that is the same in each run of one version, and another in each of the next."""
    for count in (1, 5, 20):
        a, b = (fakes.run(*runs(count=count, last=last).results) for last in (3.0, 3.05))
        assert marks(a, b)["loss_last"] in (Mark.DIFFERS, Mark.SIGNIFICANT)


def test_a_finding_that_one_side_has_is_named():
    finding = fakes.finding("parameters_unchanged")
    plain = runs(count=1)
    learns_nothing = fakes.run(replace(plain.results[0], findings=(finding,)))
    found = marks(plain, learns_nothing)
    assert found["finding parameters_unchanged"] is Mark.DIFFERS
    assert found["outcome"] is Mark.SAME


def test_two_hangs_of_different_cause_are_told_apart():
    one = fakes.hung("x")
    cause = replace(one.cause, code="waiting", proven=False, evidence={"fingerprint": "other"})
    other = replace(one, last_step=7, cause=cause)
    found = marks(fakes.run(one), fakes.run(other))
    assert found["outcome"] is Mark.SAME
    assert found["cause"] is found["step"] is Mark.DIFFERS


def test_a_leak_that_one_side_has_differs_and_a_slope_of_noise_does_not():
    def of(slope):
        one = runs(count=1).results[0]
        memory = replace(one.metrics.memory, p_per_step=slope)
        return fakes.run(replace(one, metrics=replace(one.metrics, memory=memory)))

    assert marks(of(0.0), of(1.0))["p_per_step"] is Mark.DIFFERS
    assert marks(of(-0.001), of(0.009))["p_per_step"] is Mark.SAME


def test_one_run_each_with_another_outcome_only_differs():
    found = marks(runs(count=1), runs(count=1, hung=1))
    assert found["outcome"] is Mark.DIFFERS
    assert Mark.SIGNIFICANT not in found.values()


def test_what_was_run_on_one_side_only_is_missing_not_different():
    both = fakes.run(fakes.result(), fakes.result("sgd_step"))
    found = {one.scenario: one.outcomes.mark for one in compare(both, runs(count=1)).scenarios}
    assert found == {"baseline_update": Mark.SAME, "sgd_step": Mark.MISSING}
    skipped = fakes.run(fakes.result(outcome=Outcome.SKIPPED))
    assert compare(runs(count=1), skipped).scenarios[0].outcomes.mark is Mark.MISSING


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_differs_from_one_that_is(value):
    found = marks(runs(count=1), runs(count=1, last=value))
    assert found["loss_last"] is Mark.DIFFERS
    assert marks(runs(count=1, last=value), runs(count=1, last=value))["loss_last"] is Mark.SAME


def test_an_outcome_is_not_significant_for_being_one_of_several():
    kinds = (Outcome.COMPLETED, Outcome.CRASHED, Outcome.DIVERGED, Outcome.UNFINISHED)

    def of(*counts):
        each = [kind for kind, count in zip(kinds, counts, strict=True) for _ in range(count)]
        return fakes.run(
            *(
                fakes.result(outcome=kind, repeat=n, metrics=fakes.Metrics())
                for n, kind in enumerate(each)
            )
        )

    two = compare(of(14, 6, 0, 0), of(6, 14, 0, 0)).scenarios[0].outcomes
    four = compare(of(14, 2, 2, 2), of(6, 6, 4, 4)).scenarios[0].outcomes
    assert two.p == pytest.approx(0.0256, abs=1e-4)  # both outcomes make the same table
    assert two.mark is Mark.SIGNIFICANT
    assert four.p == pytest.approx(4 * two.p)
    assert four.mark is Mark.SAME


def test_another_device_is_named_though_nobody_asked_for_one():
    base = runs(count=1)
    other = replace(base, environment=replace(base.environment, device="gpu (NVIDIA H100)"))
    (one,) = compare(base, other).setup
    assert (one.name, one.a, one.b) == ("device", "cpu (AMD EPYC)", "gpu (NVIDIA H100)")
    asked = replace(base, settings=replace(base.settings, device="cpu"))
    assert [one.name for one in compare(base, asked).setup] == ["device asked for"]


def test_runs_beside_each_other_are_told_from_runs_alone():
    base = runs(count=1)
    beside = replace(base, command=(*base.command, "--jobs", "4"))
    (one,) = compare(base, beside).setup
    assert (one.name, one.a, one.b) == ("command", "harness run-all", "harness run-all --jobs 4")


def test_what_is_not_the_same_comes_in_the_order_of_the_runs():
    names = [f"scenario_{n}" for n in range(20)]
    base = fakes.run(*map(fakes.result, names))
    other = replace(base, scenarios=tuple(replace(one, source="") for one in base.scenarios))
    assert [one.name for one in compare(base, other).setup] == [f"code of {n}" for n in names]


def test_versions_settings_and_code_that_are_not_the_same_are_named():
    base = runs(count=1)
    newer = replace(base.environment, versions=base.environment.versions | {"mlx": "0.33.0"})
    other = replace(
        base,
        environment=newer,
        settings=replace(base.settings, batch_size=8),
        scenarios=(replace(base.scenarios[0], source="def make_step(training): ..."),),
    )
    assert {(one.name, one.a, one.b) for one in compare(base, other).setup} == {
        ("mlx", "0.32.4", "0.33.0"),
        ("batch_size", "2", "8"),
        ("code of baseline_update", "A's", "B's"),
    }


def test_a_version_of_python_that_is_known_in_part_is_no_other():
    base = runs(count=1)
    shorter, other = (
        replace(base, environment=replace(base.environment, python=python))
        for python in (base.environment.python.rpartition(".")[0], "3.1")
    )
    assert compare(base, shorter).setup == compare(shorter, base).setup == ()
    assert [one.name for one in compare(base, other).setup] == ["python"]


# --- the answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (runs(0.02, 10), runs(0.05, 10, seed=1), "B is slower (1 of 1 scenario): baseline_update "),
        (runs(0.05, 10), runs(0.02, 10, seed=1), "B is faster (1 of 1 scenario): baseline_update "),
        (runs(0.02, 1), runs(0.05, 1), "B is perhaps slower"),
        (runs(count=20), runs(count=20, hung=12), "B is worse (1 of 1 scenario): baseline_update "
         "completed 20 of 20 runs in A and 8 of 20 runs in B"),
        (runs(count=20, hung=12), runs(count=20), "B is better"),
        (runs(count=1, last=1.0), runs(count=1, last=math.nan), "B is perhaps worse"),
        (runs(count=1, last=1.0), fakes.run(replace(fakes.hung("baseline_update"),
         metrics=fakes.metrics(0.02, last=9.0))), "B is perhaps worse (1 of 1 scenario): "
         "baseline_update completed 1 of 1 run in A and 0 of 1 run in B"),
        (runs(count=1, peak_over_p=5.0), runs(count=1, peak_over_p=9.0),
         "B perhaps needs more memory (1 of 1 scenario): baseline_update needs 1.8 times as much"),
        (runs(), runs(seed=1), "same: no difference that matters in 1 scenario"),
        (runs(), fakes.run(fakes.result("other")), "nothing to compare: the two runs have no"),
        (fakes.run(fakes.hung("x")), fakes.run(fakes.result("x", Outcome.CRASHED)),
         "different, and neither is better: 1 scenario of 1, such as x"),
    ],
)  # fmt: skip
def test_the_headline_is_the_answer(a, b, says):
    assert regressions.headline(compare(a, b)).startswith(says)


@given(fakes.RUNS, fakes.RUNS)
@settings(max_examples=20)
def test_any_two_runs_have_an_answer(a, b):
    found = compare(a, b)
    assert regressions.headline(found)
    worse = regressions.regressions(found, 0.0)
    assert all(change.worse for change in worse)
    assert {change.sentence for change in regressions.regressions(found, 0.5)} <= {
        change.sentence for change in worse
    }
    assert regressions.regressions(compare(a, a), 0.0) == []


@pytest.mark.parametrize(
    ("a", "b", "least", "count"),
    [
        (runs(0.02, 10), runs(0.023, 10, seed=1), 0.05, 1),
        (runs(0.02, 10), runs(0.023, 10, seed=1), 0.5, 0),
        (runs(0.023, 10), runs(0.02, 10, seed=1), 0.05, 0),
        (runs(0.02, 10), runs(0.0201, 10, seed=1), 0.0, 0),  # tested, and not significant
        (runs(0.02, 1), runs(0.023, 1), 0.05, 1),  # not tested: the factor alone decides
        (runs(count=20), runs(count=20, hung=12), 5.0, 1),
        (runs(count=1, last=-2.0), runs(count=1, last=-1.0), 0.05, 1),
        (runs(count=1, last=-1.0), runs(count=1, last=-2.0), 0.05, 0),
        (runs(count=1, last=1.0), runs(count=1, last=math.nan), 0.05, 1),
    ],
)
def test_a_regression_is_what_is_worse_by_more_than_was_allowed(a, b, least, count):
    assert len(regressions.regressions(compare(a, b), least)) == count


def test_one_node_of_a_graph_and_one_percent_are_no_difference():
    def of(nodes):
        one = runs(count=1).results[0]
        return fakes.run(replace(one, metrics=replace(one.metrics, graph_nodes_last=nodes)))

    assert marks(of(20), of(21))["graph_nodes_last"] is Mark.SAME
    assert marks(of(1000), of(1009))["graph_nodes_last"] is Mark.SAME
    assert marks(of(20), of(22))["graph_nodes_last"] is Mark.DIFFERS


@pytest.fixture
def folders(tmp_path):
    def made(name, run):
        (tmp_path / name).mkdir()
        runjson.write(run, tmp_path / name)
        return str(tmp_path / name)

    return (
        made("a", runs(0.02, 6)), made("b", runs(0.05, 6, seed=1)),
        made("c", fakes.run(fakes.result("other"))),
    )  # fmt: skip


def test_a_regression_is_an_exit_code(folders, capsys):
    a, b, c = folders
    assert cli.main(["compare", a, b]) == 0
    assert capsys.readouterr().out.startswith("B is slower (1 of 1 scenario): baseline_update ")
    assert cli.main(["compare", a, b, "--fail-on-regression", "5%", "--json"]) == 1
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["headline"].startswith("B is slower")
    assert document["regressions"][0]["scenario"] == "baseline_update"
    assert "regression: baseline_update takes" in told.err
    assert cli.main(["compare", b, a, "--fail-on-regression", "5"]) == 0
    assert "no regression of more than 5 %" in capsys.readouterr().err
    # What ran on one side only cannot have become worse, nor be said to be as good.
    assert cli.main(["compare", a, c, "--fail-on-regression", "5%"]) == 2
    assert capsys.readouterr().out.startswith("nothing to compare")
    with pytest.raises(SystemExit):
        cli.main(["compare", a, b, "--fail-on-regression", "much"])
    assert "must be a percentage such as 5%, not much" in capsys.readouterr().err


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_mark_is_cut(folders, monkeypatch, width):
    made = rich.console.Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False
    )
    monkeypatch.setattr(consoles, "console", lambda *_, **__: made)
    cli.main(["compare", *folders[:2]])
    lines = made.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    marked = [line for line in lines if line.rstrip().endswith("significant")]
    assert [line.split("  ")[1] for line in marked][:1] == ["step time, median"]
    assert len(marked) == 3
