"""report.md and junit.xml: the right things in order, rendered as meant, never too long."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import fakes
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from harness.beats.file import BEATS
from harness.errors import UsageError
from harness.model import FigureSummary, ModelBeat, Outcome, Severity, StepBeat
from harness.model.finding import info
from harness.report import charts, junit, markdown, runjson, write_all
from harness.report.input import ReportInput, load_run
from harness.report.sections.diagnosis import none_supported
from harness.report.sections.differences import differences

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
DELIMITER = re.compile(r"\|( (:--|--:) \|)+")
OURS = re.compile(r"(<details>\n<summary>[^<>]*</summary>|</details>)\n?")


def render(run, **streams):
    return markdown.render(ReportInput(run, **streams))


def check(report):
    """GitHub shows it as meant: tables whole, fences closed, no HTML but ours, nobody mentioned."""
    assert len(report) <= markdown.LIMIT
    tokens = MARKDOWN.parse(report)
    lines = report.splitlines()
    fenced = {i for t in tokens if t.type == "fence" for i in range(*t.map)}
    delimiters = [i for i, line in enumerate(lines) if DELIMITER.fullmatch(line)]
    tables = [token.map for token in tokens if token.type == "table_open"]
    assert [start + 1 for start, _ in tables] == [i for i in delimiters if i not in fenced]
    for start, end in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines[start:end]}) == 1
    for token in tokens:
        if token.type == "fence":
            assert re.fullmatch("(`{3,})", lines[token.map[1] - 1]), "a fence is not closed"
        assert token.type != "html_block" or OURS.fullmatch(token.content), token.content
        for child in token.children or []:
            assert child.type not in ("html_inline", "link_open", "image"), token.content
            assert child.type != "text" or not re.search(r"@\w", child.content), token.content
    html = "".join(token.content for token in tokens if token.type == "html_block")
    assert html.count("<details>") == html.count("</details>")
    assert "<summary>Environment</summary>" in report, "the report is not whole"


def titles(report):
    tokens = MARKDOWN.parse(report)
    return [b.content for a, b in pairwise(tokens) if a.type == "heading_open"]


def test_why_no_run_is_suggested_stands_where_the_suggestion_would(tmp_path):
    run = fakes.mixed()
    none = msgspec.structs.replace(run.diagnosis, next_experiment=None, no_experiment="all is own")
    write_all(fakes.write(msgspec.structs.replace(run, diagnosis=none), tmp_path))
    for name in ("report.md", "report.html"):
        told = (tmp_path / name).read_text()
        assert "No next run is suggested: all is own." in told
        assert "Most informative next run" not in told


def test_a_model_that_a_scenario_builds_itself_is_not_called_the_settings():
    results = [fakes.result(name) for name in ("baseline_update", "sgd_step", "mine")]
    run = fakes.run(*results)
    first = render(run).splitlines()[2]
    assert "of `tiny` with adamw" in first
    sizes = {"baseline_update": 46_670_848, "sgd_step": 46_670_848, "mine": 115_000}
    first = render(run, own_model=lambda result: sizes[result.scenario]).splitlines()[2]
    assert "of a model that the scenario builds itself (115,000 to 46,670,848 parameters)" in first
    assert "tiny" not in first
    assert "adamw" not in first
    some = {"mine": 0, "sgd_step": 10}
    first = render(run, own_model=lambda result: some.get(result.scenario)).splitlines()[2]
    assert "itself (10 parameters) or of `tiny` with adamw" in first
    unknown = render(run, own_model=lambda _: 0).splitlines()[2]
    assert "builds itself, mlx" in unknown


@pytest.mark.parametrize(
    ("beats", "own"),
    [
        ([{"own": True}], 1000),
        ([{}], None),
        ([], 0),
    ],
)
def test_whose_model_it_is_is_read_from_the_first_beats(tmp_path, beats, own):
    models = [
        ModelBeat(t=0.0, parameters=1000, parameter_bytes=1, trainable=1, trainable_bytes=1,
                  dtype="float32", **fields)
        for fields in beats
    ]  # fmt: skip
    folder = fakes.write(fakes.run(fakes.result("baseline_update")), tmp_path)
    home = folder / "baseline_update" / "0"
    home.mkdir(parents=True, exist_ok=True)
    first, second = (StepBeat(t=1.0, step=step, phases={}) for step in range(2))
    lines = [first, *models, second]
    (home / BEATS).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    data = load_run(folder)
    assert data.own_model(data.run.results[0]) == own


def test_where_no_hypothesis_is_supported_it_is_said_whether_all_is_well():
    wrong = fakes.finding("parameters_unchanged", Severity.ERROR)
    expected = msgspec.structs.replace(wrong, expected=True)
    ordinary = fakes.finding("first_step_slow", Severity.INFO)
    skipped = fakes.result("gpu_step", outcome=Outcome.SKIPPED)
    well = fakes.result("baseline_update", findings=(expected, ordinary))
    assert none_supported([well, skipped]) == "no problem was found"
    for bad in (
        fakes.result("baseline_update", findings=(wrong,)),
        fakes.result("baseline_update", outcome=Outcome.DIVERGED),
    ):
        assert none_supported([well, bad]) == "no known cause matched"
    assert none_supported([skipped]) == "no known cause matched"


def test_the_order_of_the_report(tmp_path):
    write_all(fakes.write(fakes.mixed(), tmp_path))
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    check(report)
    ordered = [
        "MLX training step: 1 hung, 1 crashed, 1 diverged, 1 unfinished, 2 completed, 1 skipped, "
        "of 7 scenarios",
        "Stacks",
        "Diagnosis",
        "What differs between the variations",
        "How to reproduce",
        "Scenarios",
    ]
    folded = [
        "✅ baseline_update",
        "✅ grad_without_update",
        "⛔ compiled_step",
        "📈 half_precision",
        "💥 sgd_step",
        "⏭️ gpu_step",
        "⏳ slow_step",
        "Environment",
    ]
    places = [report.index(f"<summary>{name}</summary>") for name in folded]
    assert places == sorted(places)
    assert [title for title in titles(report) if title in ordered] == ordered
    ET.parse(tmp_path / "junit.xml")


def test_the_table_of_verdicts_says_what_matters():
    report = render(fakes.mixed())
    rows = {line.split(" | ")[0]: line for line in report.splitlines() if line.startswith("| `")}
    table = report[: report.index("## Diagnosis")]
    for row in (
        "| `baseline_update` | ✅ completed | 10 of 10 | 20 ms | 5.5 → 3.2 | 3 / 5.5 P | "
        "`step_time_jump` |",
        "| `grad_without_update` | ✅ completed | 10 of 10 | 5 ms | 5.5 → 5.6 | 3 / 1 P | "
        "`parameters_unchanged` (expected) |",
        "| `compiled_step` | ⛔ hung in step 1, eval: deadlock (proven) | 1 of 10 |",
        "| `half_precision` | 📈 diverged | 10 of 10 | 20 ms | 5.5 → nan | 3 / 5.5 P | "
        "**`loss_not_finite`** |",
        "| `gpu_step` | ⏭️ skipped | 0 of 10 | – | – | – |  |",
    ):
        assert row in table, rows


def test_the_figures_of_a_log_are_shown_and_no_time_is_called_that_of_step_0():
    told = [
        FigureSummary(
            name="grad_norm", first=1.5, last=math.nan, min=0.5, max=1.5, reads=9, not_finite=4
        ),
        *(FigureSummary(name=f"figure|{n}", first=n, last=n, min=None, max=None, reads=1)
          for n in range(30)),
    ]  # fmt: skip
    metrics = fakes.metrics(figures=tuple(told))
    printed = info("steps_printed", "the steps come from the printed output")
    report = render(fakes.run(fakes.result(metrics=metrics, findings=(printed,))))
    assert "| `grad_norm` | 1.5 | nan | 0.5 | 1.5 | 9, 4 not finite |" in report
    assert "and 11 more figures." in report
    assert "step 0 |" not in report
    check(report)
    assert "step 0 |" in render(fakes.run(fakes.result()))


def test_a_hang_shows_cause_wait_site_evidence_and_stacks(tmp_path):
    data = load_run(fakes.write(fakes.mixed(), tmp_path))
    report = markdown.render(data)
    assert "**Cause: deadlock** (proven): every thread waits for another" in report
    assert "Wait site: `mlx::core::Event::wait`" in report
    assert "verdict 1.25 s later" in report
    assert "| threads | name python, state S (× 2) |" in report
    assert "Stacks: `stacks/first-pystack.txt`" in report


def test_the_evidence_has_plain_names_and_no_addresses():
    evidence = {
        "stack_attempts": ["pystack: ok (0.1 s)"],
        "threads": [{"name": "a", "waits_in": f"futex 0x7f{n}"} for n in range(2)],
        "some_new_key": 3,
    }
    report = markdown.render(ReportInput(fakes.run(fakes.hung(**evidence))))
    assert "| stack tools tried | pystack: ok (0.1 s) |" in report
    assert "| seen still for | 4" in report
    assert "| threads | name a, waits in futex (× 2) |" in report
    assert re.search(r"\| some\S*new\S*key \| 3 \|", report)
    assert "still_s" not in report


def test_a_hang_shows_its_stacks_without_the_calls_that_nobody_wrote(request):
    text = (request.path.parent / "stack_samples" / "locks-pystack.txt").read_text()
    data = ReportInput(
        fakes.run(fakes.hung(stack_tool="pystack")),
        stacks=lambda _: ("1-pystack.txt",),
        stack_texts=lambda _: {"1-pystack.txt": text},
    )
    report = markdown.render(data)
    check(report)
    assert "the worker, by stacks/1-pystack.txt\n  thread" in report
    assert re.search(
        r"\n    locks  stacks_hangs.py:\d+\n      .+\n    <module>  stacks_hangs", report
    )
    assert "_PyEval_EvalFrameDefault" not in report


def test_threads_that_are_alike_are_shown_once_the_main_one_first():
    frame = '    (C) File "???", line 0, in {} (/lib/libmlx.so)\n'
    thread = "Traceback for thread {} (python) [] (most recent call last):\n" + frame
    text = "\n".join(
        thread.format(tid, function)
        for tid, function in ((7, "mlx::main"), (8, "mlx::idle"), (9, "mlx::idle"))
    )
    data = ReportInput(
        fakes.run(fakes.hung(stack_tool="pystack")),
        stacks=lambda _: ("1-pystack.txt",),
        stack_texts=lambda _: {"1-pystack.txt": text},
    )
    report = markdown.render(data)
    main = report.index("  thread 7 (python), main\n    mlx::main  libmlx.so\n")
    assert report.index("  thread 8 (python) and 1 more like it\n    mlx::idle  libmlx.so\n") > main
    assert "thread 9" not in report


def test_the_log_is_shown_without_what_the_terminal_redrew(tmp_path):
    report = markdown.render(load_run(fakes.write(fakes.run(fakes.result()), tmp_path)))
    check(report)
    assert "step 1\nred text" in report
    assert "step 0\r" not in report
    assert "````text\nTraceback\n```\n</details>\n# no title\n````" in report


def test_the_code_is_ready_to_paste():
    report = render(fakes.run(fakes.result()))
    assert "```python\ndef make_step(training):\n    return training.step\n```" in report
    assert "rest of the docstring" not in report


@pytest.mark.parametrize(
    ("results", "title"),
    [
        ([], "nothing was run"),
        ([fakes.result("a"), fakes.result("b")], "all 2 scenarios completed"),
        ([fakes.result(repeat=i) for i in range(3)], "all 3 runs of 1 scenario completed"),
        ([fakes.hung("a"), fakes.result("b")], "1 hung, 1 completed, of 2 scenarios"),
        (
            [fakes.result("a", findings=(fakes.finding(),)), fakes.result("b")],
            "all 2 scenarios completed, but 1 learned nothing",
        ),
    ],
)
def test_the_title_is_the_verdict(results, title):
    report = render(fakes.run(*results))
    assert report.splitlines()[0] == f"# MLX training step: {title}"
    check(report)


@pytest.mark.parametrize(
    ("result", "title"),
    [
        (fakes.result("a"), "a: completed 10 steps; nothing wrong was found"),
        (fakes.hung("a"), "a: hung in step 1, phase eval: deadlock"),
        (
            fakes.result("a", findings=(fakes.finding("check_failed"),)),
            "a: completed 10 steps, but why",
        ),
        (
            fakes.result("a", findings=(fakes.finding(expected=True),)),
            "a: completed 10 steps; nothing wrong was found",
        ),
    ],
)
def test_the_title_of_one_run_is_its_headline(result, title):
    report = render(fakes.run(result))
    assert report.splitlines()[0] == f"# {title}"
    check(report)


def test_an_interrupted_run_says_so():
    assert "(interrupted)" in render(fakes.run(interrupted=True)).splitlines()[0]


def test_repeats_are_counted_together():
    results = [fakes.hung("a", repeat=i) for i in range(3)]
    results += [fakes.result("a", repeat=i) for i in range(3, 20)]
    report = render(fakes.run(*results))
    check(report)
    assert "⛔ 3/20 hung, ✅ 17/20 completed" in report
    assert "| ⛔ hung: deadlock | step 1, eval | 3/20 | 0, 1, 2 |" in report
    assert "| of all runs |" in report


def test_repeats_that_all_completed_need_one_line():
    report = render(fakes.run(*(fakes.result("a", repeat=i) for i in range(3))))
    assert "**✅ completed** in all 3 runs, loss 5.5 → 3.2" in report
    assert "last seen in" not in report


# --- what differs --------------------------------------------------------------------------------


def told(base, *others, **fields):
    return differences(ReportInput(fakes.run(base, *others, **fields)))


def test_twins_do_not_differ():
    slower = fakes.metrics(step_s=0.03, peak_over_p=5.6, last=3.2001)
    text = told(fakes.result(), fakes.result("a"), fakes.result("b", metrics=slower))
    assert "Nothing that matters" in text
    assert "|" not in text


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (fakes.hung("a"), "hung"),
        (fakes.result("a", metrics=fakes.metrics(step_s=0.1)), "× 5 (100 ms)"),
        (fakes.result("a", metrics=fakes.metrics(peak_over_p=2.5)), "× 0.45 (2.5 P)"),
        (fakes.result("a", metrics=fakes.metrics(peak_over_p=55.0, p=fakes.P // 20)), "(55 P)"),
        (fakes.result("a", metrics=fakes.metrics(last=4.0)), " 4 "),
        (fakes.result("a", metrics=fakes.metrics(last=math.nan)), " nan "),
        (fakes.result("a", findings=(fakes.finding("loss_flat"),)), "`loss_flat`"),
    ],
)
def test_what_differs_is_told(other, said):
    text = told(fakes.result(), other, fakes.result("b"))
    assert said in text
    assert "`b`" not in text
    assert "The other 1 do as the baseline does." in text


def test_the_same_bytes_in_another_p_do_not_differ():
    lora = fakes.metrics(peak_over_p=55.0, p=fakes.P // 10)
    assert "Nothing that matters" in told(fakes.result(), fakes.result("a", metrics=lora))


def test_a_variation_that_ends_before_its_first_step_is_in_no_step():
    def crashed(name, step, phase):
        return fakes.result(name, Outcome.CRASHED, last_step=step, last_phase=phase)

    base = crashed("baseline_update", 3, "eval")
    assert "| crashed in phase setup |" in told(base, crashed("a", None, "setup"))
    assert "| crashed in step 4, phase eval |" in told(base, crashed("a", 4, "eval"))


def test_nan_is_no_other_loss_than_nan():
    nan = fakes.metrics(last=math.nan)
    assert "Nothing that matters" in told(fakes.result(metrics=nan), fakes.result("a", metrics=nan))


def test_a_jump_that_a_variation_clears_is_told():
    jump = fakes.finding("step_time_jump", Severity.WARNING, evidence={"step": 1, "ratio": 20.0})
    text = told(fakes.result(findings=(jump,)), fakes.result("a"))
    assert "jumps 20 times" in text
    assert "| `a` | no jump |" in text


def test_a_run_that_did_not_get_past_step_1_has_cleared_no_jump():
    jump = fakes.finding("step_time_jump", Severity.WARNING, evidence={"step": 1, "ratio": 20.0})
    assert "no jump" not in told(fakes.result(findings=(jump,)), fakes.hung("a"))


def test_without_a_baseline_or_others_there_is_nothing_to_compare():
    assert "was not run" in told(fakes.result("a"), fakes.result("b"))
    assert told(fakes.result()) == ""


# --- charts --------------------------------------------------------------------------------------


def line(curve, **fields):
    drawn = charts.draw(curve, "some", fakes.record(**fields))
    return [float(value) for value in re.findall(r"line \[(.*)\]", drawn)[0].split(", ")]


def test_a_long_run_keeps_its_spikes_in_few_points():
    step_time, memory, _ = charts.CURVES
    seconds = line(step_time, count=10_000, seconds=lambda i: 0.9 if i == 7_777 else 0.02)
    assert len(seconds) <= charts.POINTS
    assert max(seconds) == 900.0
    assert min(seconds) == 20.0
    dip = line(memory, count=10_000, active=lambda i: 0 if i == 5 else 3 << 20)
    assert (min(dip), max(dip)) == (0.0, 3.0)


@given(st.lists(st.floats() | st.floats(0.1, 10), max_size=200), st.sampled_from(charts.CURVES[2:]))
def test_mermaid_can_read_every_chart(values, curve):
    record = fakes.record(count=len(values), loss=lambda step: values[step])
    drawn = charts.draw(curve, 'a "name" ]', record)
    if not drawn:
        return
    assert re.fullmatch(
        r"```mermaid\nxychart-beta\n"
        r'    title "[A-Za-z0-9_. -]+: loss( \(\d+ not finite\))?"\n'
        r'    x-axis "step" \d+ --> \d+\n'
        r'    y-axis "[\w ]+" -?\d+(\.\d+)? --> -?\d+(\.\d+)?\n'
        r"    line \[-?\d+(\.\d+)?(, -?\d+(\.\d+)?){2,49}\]\n```",
        drawn,
    )


def test_only_curves_that_say_something_are_drawn():
    growth = fakes.finding("memory_growth", Severity.WARNING)
    run = fakes.run(fakes.result(), fakes.result("a"), fakes.result("b", findings=(growth,)))
    rising = fakes.record(seconds=lambda step: 0.01 * (step + 1), active=lambda step: step << 20)
    report = render(run, record=lambda _: rising)
    drawn = re.findall(r'title "(.*)"', report)
    assert drawn == [
        "baseline_update: step time",
        "baseline_update: active memory",
        "baseline_update: loss",
        "b: active memory",
    ]


def test_a_flat_line_is_not_drawn():
    assert charts.draw(charts.CURVES[0], "some", fakes.record()) == ""


def test_streams_that_are_not_needed_are_not_read():
    def unread(_):
        raise AssertionError("read for nothing")

    render(fakes.run(fakes.result("a")), record=unread)


# --- whatever comes ------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=30)
@given(fakes.RUNS, st.text() | fakes.ODD)
def test_any_run_renders(run, log):
    check(
        render(
            run,
            record=lambda _: fakes.record(),
            log_tails=lambda _: {"stdout": log, "stderr": f"```\n{log}"},
            stacks=lambda _: (log,),
        )
    )
    ET.fromstring(junit.render(run))


def test_a_large_run_stays_small_and_whole():
    words = "wait | for `the` <other> @side " * 200
    source = fakes.SOURCE + "# filler\n" * 300
    results = [
        fakes.hung(f"scenario_{i}", repeat, words + str(repeat), note=words, more=[words] * 50)
        for repeat in range(20)
        for i in range(25)
    ]
    run = fakes.run(
        *results, scenarios=[fakes.info(f"scenario_{i}", source=source) for i in range(25)]
    )
    report = render(run, log_tails=lambda _: {"stderr": words * 10})
    check(report)
    assert report.count("⛔ 20/20 hung") == 25
    assert "Left out" in report
    assert "log tails of 25 scenarios" in report


@pytest.mark.unmeasured
def test_hundreds_of_scenarios_still_fit():
    long = "x" * 200
    report = render(
        fakes.run(
            *(fakes.hung(f"{i}{long}", message=long) for i in range(600)),
            fakes.result(),
            fakes.hung(),
        )
    )
    check(report)
    assert "rows are left out" in report


def test_pieces_leave_in_the_stated_order():
    names = ["baseline_update", *(f"s{i}" for i in range(30))]
    source = fakes.SOURCE + "x = 1\n" * 300
    infos = [fakes.info(name, source=source) for name in names]
    results = [fakes.hung("s0"), *(fakes.result(name) for name in names if name != "s0")]
    report = render(
        fakes.run(*results, scenarios=infos),
        record=lambda _: fakes.record(),
        log_tails=lambda _: {"stdout": "line\n" * 20},
    )
    check(report)
    assert "xychart" not in report
    assert "End of the output" not in report
    # Of the code, that of the last completed scenarios went; the failed one kept its own.
    assert "Code of s0" in report
    assert "Code of baseline_update" in report
    assert "Code of s29" not in report
    assert report.count("<summary>✅ s29</summary>") == 1
    assert re.search(r"Left out.*charts of 1 scenario.*log tails of 31 scenarios.*code of", report)


# --- junit and files -----------------------------------------------------------------------------


def test_junit_counts_and_names():
    run = fakes.mixed()
    suite = ET.fromstring(junit.render(run)).find("testsuite")
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "7",
        "failures": "3",
        "errors": "1",
        "skipped": "1",
    }
    assert [case.get("name") for case in suite] == [one.scenario for one in run.results]
    (failure,) = suite.findall("testcase[@name='compiled_step']/failure")
    assert failure.get("message").startswith("hung in step 1, phase eval: deadlock, at ")
    assert "\nwho    every thread waits for another, for " in failure.text


def test_junit_tells_repeats_apart():
    run = fakes.run(fakes.result(), fakes.result(repeat=1), fakes.result("b"))
    cases = ET.fromstring(junit.render(run)).findall(".//testcase")
    assert [c.get("name") for c in cases] == ["baseline_update[0]", "baseline_update[1]", "b"]


def test_reports_need_nothing_but_run_json(tmp_path):
    runjson.write(fakes.mixed(), tmp_path)
    write_all(tmp_path)
    check((tmp_path / "report.md").read_text(encoding="utf-8"))


def test_a_folder_without_a_run_is_left_alone(tmp_path):
    with pytest.raises(UsageError):
        write_all(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_reports_are_the_same_each_time(tmp_path):
    folder = fakes.write(fakes.mixed(), tmp_path)
    write_all(folder)
    first = (folder / "report.md").read_bytes()
    write_all(folder)
    assert (folder / "report.md").read_bytes() == first


def test_outcomes_all_have_a_place():
    for outcome in Outcome:
        report = render(fakes.run(msgspec.structs.replace(fakes.result(), outcome=outcome)))
        check(report)
        assert [one for one in Outcome if f" {one}" in report] == [outcome]
