"""report.html: nothing that was measured is lost, and nothing that was written gets out of hand."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
import re
import sys
from array import array
from dataclasses import replace
from html.parser import HTMLParser
from operator import itemgetter

import fakes
import jinja2
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.model import EnvironmentLadder, FlipResult, FlipVerdict, Outcome, Sample
from harness.report import html, markdown, stacks, write_all
from harness.report.html import page_template, series, timeline
from harness.report.input import ReportInput, groups, load_run

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
HOSTILE = "</script><!--</title></style>\"'><img src=x onerror=alert(1)>{{7*7}}&lt;\u202e\x1b[31m"
TAGS = """html head meta title style body a header div nav button h1 p span main section h2 h3 h4
h5 table thead tbody tr th td pre strong noscript label select option output figure figcaption input
svg rect path line text article ol li details summary code dl dt dd i script"""
WITH_ADDRESS = {"href", "src", "action", "data", "formaction", "poster", "srcset", "style"}


class Elements(HTMLParser):
    """The elements of a page, and the text of its scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.found, self.raw = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self.raw.append([tag, dict(attributes).get("type"), ""])

    def handle_data(self, data):
        if self.found and self.found[-1][0] in ("script", "style") and self.raw:
            self.raw[-1][2] += data

    def handle_endtag(self, tag):
        self.found.append((f"/{tag}", {}))


def check(page):
    """Only our elements, no handler, no address but of the page itself, no script but ours.
    Returns what the charts are given."""
    page.encode()
    elements = Elements(page)
    for tag, attributes in elements.found:
        assert tag.removeprefix("/") in TAGS.split()
        assert not [name for name in attributes if name.startswith("on")]
        for name in WITH_ADDRESS & attributes.keys():
            assert attributes[name].startswith("#")
    policy = next(a["content"] for t, a in elements.found if "http-equiv" in a)
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    run = [text for _, kind, text in elements.raw if kind is None]
    digests = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in run]
    assert sorted(allowed) == sorted(digests)
    assert len(digests) == 3
    assert "unsafe" not in policy
    data = [text for _, kind, text in elements.raw if kind == "application/json"]
    return json.loads(data[0]) if data else None


@given(st.lists(FLOATS, min_size=1, max_size=400), st.integers(2, 100))
def test_a_shortened_curve_keeps_the_ends_and_every_spike(values, points):
    kept = series.landmarks(values, points)
    assert kept == sorted(set(kept))
    assert {0, len(values) - 1} <= set(kept)
    assert len(kept) <= max(points + 2, 2)
    shown = [values[i] for i in kept]
    assert (min(shown), max(shown)) == (min(values), max(values))


def test_each_of_a_hundred_spikes_stays_where_it_was():
    values = array("d", [0.02]) * 100_000
    spikes = range(7, 100_000, 1000)
    for i in spikes:
        values[i] = 5.0
    curve = series.curve(series.TIME, "eval", range(100_000), values, 1000)
    shown = dict(zip(curve.steps, curve.values, strict=True))
    assert [step for step, value in shown.items() if value == 5.0] == list(spikes)


def test_missing_sizes_are_left_out_and_losses_that_are_no_number_are_counted():
    curve = series.curve(series.MEMORY, "peak", [0, 1, 2], array("q", [5, -1, 7]), 10)
    assert (curve.steps, curve.values, curve.not_finite) == ([0, 2], [5, 7], 0)
    losses = array("d", [-1.0, math.nan, 2.5, math.inf])
    curve = series.curve(series.LOSS, "loss", [0, 1, 2, 3], losses, 10)
    assert (curve.steps, curve.values, curve.not_finite) == ([0, 2], [-1, 2.5], 2)


def test_steps_of_a_log_that_began_anew_are_in_order():
    curve = series.curve(series.TIME, "eval", [5, 6, 0, 1], [1.0, 2.0, 3.0, 4.0], 10)
    assert (curve.steps, curve.values) == ([0, 1, 5, 6], [3, 4, 1, 2])


def test_a_spike_of_a_step_that_came_again_is_kept_beside_it():
    curve = series.curve(series.TIME, "eval", [0, 1, 2, 0, 1, 2], [1, 9, 1, 1, 2, 3], 10)
    assert (curve.steps, curve.values) == ([0, 1, 1.5, 2, 2.5], [1, 9, 2, 1, 3])


ENTRIES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1000)), min_size=1, max_size=200)


@given(ENTRIES, st.integers(2, 60))
def test_no_spike_is_lost_however_often_a_log_begins_anew(entries, points):
    steps, values = zip(*entries, strict=True)
    curve = series.curve(series.TIME, "eval", steps, values, points)
    assert all(a < b for a, b in itertools.pairwise(curve.steps))
    shown = {}
    for at, value in zip(curve.steps, curve.values, strict=True):
        shown.setdefault(int(at), []).append(value)
    # Only what was measured is shown, at its step.
    assert all((step, value) in entries for step, found in shown.items() for value in found)
    assert {min(values), max(values)} <= set(curve.values)
    if len(entries) <= points:
        for step in set(steps):
            of_step = [value for at, value in entries if at == step]
            assert {min(of_step), max(of_step)} == set(shown[step])
    else:
        slices = points // 2
        for i in range(slices):
            begin, end = i * len(entries) // slices, (i + 1) * len(entries) // slices
            for step, value in (min(entries[begin:end], key=itemgetter(1)),
                                max(entries[begin:end], key=itemgetter(1))):  # fmt: skip
                assert min(shown[step]) <= value <= max(shown[step])


def test_the_highest_of_the_samples_in_each_step():
    seen = [(None, 9), (0, 3), (0, 5), (0, 4), (1, None), (2, 6)]
    samples = [Sample(t=0.0, step=step, rss=rss) for step, rss in seen]
    found = series.highest(samples)
    assert [list(column) for column in found["RSS"]] == [[0, 2], [5, 6]]
    assert not found["footprint"][0]


def test_samples_before_the_first_step_and_after_the_last_add_no_steps():
    seen = [(-1, "import", 9), (0, "eval", 3), (1, "eval", 4), (2, "drain", 7), (2, "exit", 5)]
    samples = [Sample(t=0.0, step=step, phase=phase, rss=rss) for step, phase, rss in seen]
    # What the last step had put off until after it counts to it.
    assert list(map(list, series.highest(samples)["RSS"])) == [[0, 1], [3, 7]]
    assert list(map(list, series.highest(samples[:1])["RSS"])) == [[], []]


def test_many_long_runs_together_stay_within_what_a_page_may_hold():
    record = fakes.record(5000, seconds=lambda step: 0.01 + step % 7)
    run = fakes.run(*(fakes.result(f"scenario_{i}") for i in range(40)))
    data = check(html.render(ReportInput(run, record=lambda _: record)))
    points = sum(len(c["values"]) for s in data["scenarios"] for c in s["curves"])
    assert 0 < points <= html.ALL_POINTS
    assert len(data["steps"]) < len(data["scenarios"])  # curves over the same steps share them


def test_the_page_of_one_of_everything(tmp_path):
    write_all(fakes.write(fakes.mixed(), tmp_path))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    data = check(page)
    assert [chart["id"] for chart in data["charts"]] == ["time", "memory", "loss"]
    assert "gpu_step" not in [one["name"] for one in data["scenarios"]]  # it was not run
    for told in ("1 hung, 1 crashed", "sgd_step clears it", "deadlock (proven)", "Event::wait",
                 "loss_not_finite", "AMD EPYC", "parameters_unchanged", "red text"):  # fmt: skip
        assert told in page
    # Whoever hung, in which order the sections come.
    ids = re.findall(r'<section id="(\w+)"', page)
    assert ids == ["first", "stacks", "scenarios", "diagnosis", "charts", "timeline", "findings",
                   "details", "environment"]  # fmt: skip


def test_hostile_text_stays_text(tmp_path):
    made = fakes.mixed()
    raw = msgspec.to_builtins(made)

    def spoiled(value, key=None):
        if isinstance(value, dict):
            return {k: spoiled(v, k) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [spoiled(v, key) for v in value]
        fixed = ("outcome", "severity", "verdict", "scenario", "started", "usable_of")
        return HOSTILE + value if isinstance(value, str) and key not in fixed else value

    run = msgspec.convert(spoiled(raw), type=type(made))
    names = {info.name.removeprefix(HOSTILE): info.name for info in run.scenarios}
    run = msgspec.structs.replace(
        run,
        results=tuple(
            msgspec.structs.replace(result, scenario=names[result.scenario])
            for result in run.results
        ),
    )
    record = fakes.record()
    phases = {HOSTILE + name: column for name, column in record.phases.items()}
    page = html.render(
        ReportInput(
            run,
            record=lambda _: replace(record, phases=phases),
            log_tails=lambda _: {"stdout": HOSTILE, "stderr": HOSTILE},
            stack_texts=lambda _: {HOSTILE: HOSTILE, "1/2-pystack.txt": HOSTILE},
        )
    )
    data = check(page)
    assert data["scenarios"][0]["name"].startswith("</script><!--</title>")
    assert "<img" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(fakes.RUNS)
def test_any_run_has_a_page(run):
    check(html.render(ReportInput(run, record=lambda _: fakes.record(3))))


def test_the_timeline_of_a_hang():
    result = msgspec.structs.replace(fakes.hung(), wall_s=4.0, stalled_at_s=1.0, detected_at_s=3.0)
    course = timeline.Course(ready=0.5, steps=(0.75, 1.0))
    bar = timeline.bar("some", result, course, longest=8.0)
    assert [(part.kind, part.x, part.width) for part in bar.parts] == [
        ("startup", 0, 62.5),
        ("steps", 62.5, 62.5),
        ("stalled", 125, 250),
        ("after", 375, 125),
    ]
    assert [(mark.kind, mark.x) for mark in bar.marks] == [("stall", 125), ("verdict", 375)]
    assert bar.ticks == "M93.8 7v10M125 7v10"
    assert bar.text == "last progress at 1 s, verdict 2 s later"


@pytest.mark.parametrize(
    ("begin", "end", "texts"),
    [
        (0, 9.54, ["0 s", "2 s", "4 s", "6 s", "8 s"]),
        (0, 0.0031, ["0 s", "1 ms", "2 ms", "3 ms"]),
        (0, 61, ["0 s", "15 s", "30 s", "45 s", "1 min"]),
        (0, 7000, ["0 s", "30 min", "1 h", "1 h 30 min"]),
        (3.3, 7.7, ["4 s", "5 s", "6 s", "7 s"]),
        (0, 0, ["0 s"]),
        (0, 1e300, ["0 s"]),
        (0, float("nan"), ["0 s"]),
    ],
)
def test_the_axis_of_the_timeline_has_round_times(begin, end, texts):
    assert [tick.text for tick in timeline.scale(begin, end)] == texts


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_any_axis_has_a_few_ticks_in_order(begin, span):
    ticks = timeline.scale(begin, begin + span)
    assert len(ticks) <= 7
    assert all(0 <= tick.x <= timeline.WIDTH for tick in ticks)
    assert sorted(ticks, key=lambda tick: tick.x) == list(ticks)


def test_the_course_of_a_run_begins_when_its_first_step_does(tmp_path):
    fakes.write(fakes.run(fakes.result()), tmp_path)
    data = load_run(tmp_path)
    found = timeline.course(data.record(data.run.results[0]))
    # The first step's beat is as old as the start; what it took cannot lie before it.
    assert found == timeline.Course(ready=0.0, steps=tuple(map(float, range(10))))


def test_runs_that_hung_in_one_way_share_a_column():
    results = [fakes.hung(repeat=i, fingerprint=mark) for i, mark in enumerate("aab")]
    run = fakes.run(*results, fakes.result())
    found = stacks.columns(groups(run), ReportInput(run))
    assert [(column.name, column.same) for column in found] == [
        ("compiled_step [0]", 2),
        ("compiled_step [2]", 1),
    ]


def test_stacks_are_shown_of_a_run_that_did_not_hang(request):
    text = (request.path.parent / "stack_samples" / "locks-pystack.txt").read_text()
    limited = fakes.result("slow", Outcome.UNFINISHED, reason="ended by pytest-timeout after 3 s")
    data = ReportInput(
        fakes.run(limited, fakes.result("fine")),
        stacks=lambda result: ("1-pystack.txt",) if result.scenario == "slow" else (),
        stack_texts=lambda _: {"1-pystack.txt": text, "2-pystack.txt": text},
    )
    (column,) = stacks.columns(groups(data.run), data)
    assert (column.name, column.text, column.site) == ("slow", "unfinished", limited.reason)
    assert column.processes[0].threads
    assert "Stacks of slow" in markdown.render(data)


@pytest.mark.parametrize("tool", ["pystack", "py-spy"])
def test_stacks_fold_what_nobody_wrote(tool, request):
    text = (request.path.parent / "stack_samples" / f"locks-{tool}.txt").read_text()
    run = fakes.run(fakes.hung(stack_tool=tool))
    texts = {f"1-{tool}.txt": "an earlier look", f"2-{tool}.txt": text, "7/2-gdb.txt": "no frames"}
    (column,) = stacks.columns(groups(run), ReportInput(run, stack_texts=lambda _: texts))
    worker, child = column.processes
    calls = [call for thread in worker.threads for call in thread.calls]
    assert any(call.python for call in calls)
    assert all(call.system for call in calls if "more" in call.place)
    assert worker.text == ""
    assert (child.threads, child.text) == ((), "no frames")


def test_stacks_fold_the_frames_of_the_harness(request):
    text = (
        'Thread 7 (active): "MainThread"\n    step (<project>/train.py:9)\n'
        "    _steps (<harness>/harness/training/loop.py:61)\n"
        "    main (<harness>/harness/worker.py:51)\n    <module> (<string>:1)\n"
    )
    data = ReportInput(fakes.run(fakes.hung(stack_tool="py-spy")),
                       stack_texts=lambda _: {"1-py-spy.txt": text})  # fmt: skip
    (column,) = stacks.columns(groups(data.run), data)
    calls = column.processes[0].threads[0].calls
    assert [(call.function, len(call.system)) for call in calls] == [("step", 0), ("_steps", 3)]
    theirs = text.replace("    _steps (<harness>/harness/training/loop.py:61)\n", "").replace(
        "    main (<harness>/harness/worker.py:51)\n", ""
    )
    data = replace(data, stack_texts=lambda _: {"1-py-spy.txt": theirs})
    (column,) = stacks.columns(groups(data.run), data)
    assert len(column.processes[0].threads[0].calls) == 2


def test_a_run_of_nothing_has_a_page():
    page = html.render(ReportInput(fakes.run()))
    assert check(page) is None
    skipped = fakes.result(outcome=Outcome.SKIPPED, reason="no gpu")
    assert "no gpu" in html.render(ReportInput(fakes.run(skipped)))


def test_the_flips_of_an_environment_are_a_table_like_all_others():
    flip = FlipResult(name="one_worker", change="1 worker", why="b", verdict=FlipVerdict.CURED)
    flips = EnvironmentLadder(plain="train", symptom="hung", certainty=0.95, flips=(flip,))
    page = html.render(
        ReportInput(msgspec.structs.replace(fakes.run(fakes.result()), ladder=flips))
    )
    section = page.partition('<section id="environment-ladder"')[2].partition("</section>")[0]
    assert '<th scope="row">one_worker</th>' in section
    assert '<td data-label="change">1 worker</td>' in section
    assert "<table>" not in page, "it has no style: columns would touch each other"
    titles = re.findall("<h2[^>]*>([^<]*)<", page)
    assert len(titles) == len(set(titles))


def test_the_template_is_compiled_once_for_what_it_and_jinja_are(monkeypatch, tmp_path):
    compiled = []
    real = page_template._Loader.source_to_code

    def counted(self, *arguments, **options):
        compiled.append(arguments)
        return real(self, *arguments, **options)

    def uses(times):
        compiled.clear()
        page_template.template.cache_clear()
        assert "</html>" in html.render(ReportInput(run=fakes.run(fakes.result())))
        return len(compiled) == times

    monkeypatch.setattr(page_template._Loader, "source_to_code", counted)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "cache"))
    assert uses(1)
    assert uses(0)
    monkeypatch.setattr(jinja2, "__version__", "99")
    assert uses(1)
    assert uses(0)
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "file"))  # nothing can be kept there
    assert uses(1)
    assert uses(1)
    page_template.template.cache_clear()
