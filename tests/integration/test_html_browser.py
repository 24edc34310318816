"""report.html as a browser shows it: drawn, without an error, by mouse, by keyboard, on a phone."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import forked
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHARTS = ("time", "memory", "loss", "graph")
HOSTILE = "</script><img src=x onerror='window.broken = 1'>"


def module(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def tab():
    """A tab of a headless Chromium."""
    browser = module("browser")
    executable = browser.find()
    if executable is None:
        pytest.skip(f"there is no Chromium: none of {', '.join(browser.NAMES)} is on the PATH")
    with browser.opened(executable) as tab:
        yield tab


@pytest.fixture(scope="session")
def report(once):
    """The page of a real run, one of whose scenarios hangs."""
    out = once("html", run_of_three)
    (file,) = out.glob("*/report.html")
    return file


def run_of_three(out):
    names = ("baseline_update", "sgd_step", "two_locks")
    forked.harness("run", *names, "--steps", 20, "--model", "micro", "--out", out, folder=ROOT)


@pytest.fixture
def page(tab, report):
    """The report, just opened in a window of a desktop; nothing may have gone wrong in the end."""
    tab.problems.clear()
    tab.requests.clear()
    tab.window(1280, 900)
    tab.open(report)
    yield tab
    assert tab.problems == []
    assert tab.requests == [report.resolve().as_uri()]


def ink(page, chart):
    """How many pixels of a chart are drawn, and in how many colors."""
    return page.evaluate(
        f"""(() => {{
          const canvas = document.querySelector("#chart-{chart} canvas");
          const {{width, height}} = canvas;
          // Of a copy: Chromium warns of a canvas that is read often and was not made for it.
          const copy = new OffscreenCanvas(width, height)
            .getContext("2d", {{willReadFrequently: true}});
          copy.drawImage(canvas, 0, 0);
          const all = copy.getImageData(0, 0, width, height).data;
          const colors = new Set();
          let drawn = 0;
          for (let i = 0; i < all.length; i += 4) {{
            if (all[i + 3] > 0) drawn++;
            if (all[i + 3] === 255) colors.add((all[i] << 16) | (all[i + 1] << 8) | all[i + 2]);
          }}
          return [drawn, colors.size];
        }})()"""
    )


def picture(page, chart):
    return page.evaluate(f"document.querySelector('#chart-{chart} canvas').toDataURL()")


def extent(page):
    return page.evaluate("document.getElementById('range').textContent")


def box(page, chart):
    """Where a chart's plotting area is in the window, scrolled to."""
    selector = f"#chart-{chart} .u-over"
    page.evaluate(
        f"document.querySelector({selector!r}).scrollIntoView({{block: 'center', "
        "behavior: 'instant'})"
    )
    page.settle()
    return page.evaluate(
        f"(({{x, y, width, height}}) => [x, y, width, height])"
        f"(document.querySelector({selector!r}).getBoundingClientRect())"
    )


def focus(page, selector):
    page.evaluate(f"document.querySelector({selector!r}).focus()")


def test_every_chart_is_drawn(page):
    for chart in CHARTS:
        drawn, colors = ink(page, chart)
        assert drawn > 2000, chart
        assert colors > 3, chart


def test_a_chart_shows_the_values_that_were_measured(page, report):
    run = json.loads((report.parent / "run.json").read_text())
    first = run["results"][0]["metrics"]["loss"]["first"]
    x, y, _, height = box(page, "loss")
    page.mouse("mouseMoved", x + 3, y + height / 2)
    page.settle()
    rows = page.evaluate(
        "[...document.querySelectorAll('#chart-loss .u-series')].map(row => row.innerText)"
    )
    shown = dict(" ".join(row.split()).rsplit(" ", 1) for row in rows)
    assert shown["step"] == "0"
    assert float(shown["baseline_update"]) == pytest.approx(first, rel=1e-3)


def test_no_value_is_shown_of_a_run_that_had_ended(page):
    x, y, width, height = box(page, "time")
    page.mouse("mouseMoved", x + width / 2, y + height / 2)
    page.settle()
    shown = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#chart-time .u-series')].map("
        "row => [row.firstElementChild.innerText.trim(), row.lastElementChild.innerText.trim()]))"
    )
    assert shown["baseline_update"][0].isdigit()
    assert shown["two_locks"] == "–"  # it hung in step 3


def test_the_cursor_is_at_one_step_in_all_charts(page):
    x, y, width, height = box(page, "time")
    page.mouse("mouseMoved", x + width / 2, y + height / 2)
    page.settle()
    steps = page.evaluate(
        "[...document.querySelectorAll('.u-series:first-child .u-value')].map(v => v.textContent)"
    )
    # The size of the graph is looked at in some steps only.
    assert len(set(steps[:3])) == 1
    assert steps[0].isdigit()


def test_keys_zoom_and_move_all_charts(page):
    whole, before = extent(page), picture(page, "loss")
    assert whole == "steps 0 to 19"
    focus(page, "#chart-time .plot")
    page.press("ArrowUp")
    zoomed = extent(page)
    assert zoomed != whole
    assert picture(page, "loss") != before
    page.press("ArrowLeft")
    assert extent(page) not in (zoomed, whole)
    page.press("ArrowDown")
    page.press("ArrowDown")
    assert extent(page) == whole
    page.press("ArrowUp")
    page.press("Home")
    assert extent(page) == whole
    page.press("ArrowRight", shift=True)
    page.press("ArrowRight", shift=True)
    step = "document.querySelector('#chart-{} .u-value').textContent"
    assert [page.evaluate(step.format(chart)) for chart in ("time", "loss")] == ["1", "1"]


def test_the_address_leads_to_steps_and_to_a_stack(page):
    page.evaluate("location.hash = '#steps=5-9'")
    page.settle()
    assert extent(page) == "steps 5 to 9"
    focus(page, "#chart-time .plot")
    page.press("ArrowUp")
    named = page.evaluate("location.hash")
    assert named.startswith("#steps=")
    assert named != "#steps=5-9"
    page.press("Home")
    assert page.evaluate("location.hash") == ""
    page.evaluate("location.hash = '#step=15'")
    page.settle()
    assert extent(page) == "steps 10 to 19"
    stack = page.evaluate("document.querySelector('.column h5 .anchor').hash")
    assert page.evaluate(f"document.querySelector('{stack}').textContent").startswith("thread ")


def test_the_waits_of_a_deadlock_are_drawn_as_a_ring(page):
    assert page.evaluate("document.querySelectorAll('.chain.ring li').length") == 3
    assert page.evaluate("document.querySelector('main section').id") == "first"


def test_dragging_zooms_and_a_double_click_shows_all(page):
    whole = extent(page)
    x, y, width, height = box(page, "memory")
    middle = y + height / 2
    page.mouse("mouseMoved", x + width / 4, middle)
    page.mouse("mousePressed", x + width / 4, middle)
    page.mouse("mouseMoved", x + width / 2, middle)
    page.mouse("mouseReleased", x + width / 2, middle)
    page.settle()
    assert extent(page) == "steps 5 to 9"
    for count in (1, 2):
        page.mouse("mousePressed", x + width / 2, middle, count)
        page.mouse("mouseReleased", x + width / 2, middle, count)
    page.settle()
    assert extent(page) == whole


def test_a_name_of_the_legend_hides_its_curve_in_all_charts(page):
    before = [picture(page, chart) for chart in CHARTS]
    focus(page, "#chart-time .u-series:nth-child(2) [role=button]")
    page.press("Enter")
    pressed = page.evaluate(
        "[...document.querySelectorAll('.u-series:nth-child(2) [role=button]')]"
        ".map(name => name.getAttribute('aria-pressed'))"
    )
    assert pressed == ["false"] * 4
    assert all(picture(page, chart) != old for chart, old in zip(CHARTS, before, strict=True))


def test_one_scenario_is_shown_with_all_its_quantities(page):
    page.evaluate(
        "(shown => { shown.value = '0'; shown.onchange({target: shown}) })"
        "(document.getElementById('shown'))"
    )
    names = page.evaluate(
        "[...document.querySelectorAll('#chart-memory .u-label')].map(name => name.textContent)"
    )
    assert {"active", "peak", "cache", "RSS"} <= set(names)
    names = page.evaluate(
        "[...document.querySelectorAll('#chart-time .u-label')].map(name => name.textContent)"
    )
    assert {"whole step", "forward", "backward", "update", "eval"} <= set(names)


def test_memory_can_be_seen_in_bytes_and_in_p(page):
    x, y, width, height = box(page, "memory")
    value = "document.querySelector('#chart-memory .u-series:nth-child(2) .u-value').textContent"
    units = []
    for _ in range(2):
        page.mouse("mouseMoved", x + width / 2, y + height / 2)
        page.settle()
        units.append(page.evaluate(value).split()[-1])
        page.evaluate("document.querySelector('#chart-memory .in-p').click()")
        page.mouse("mouseMoved", x, y - 40)
    assert units[0].endswith("iB")
    assert units[1] == "P"


def test_dark_and_light_by_the_system_and_by_the_button(page, report):
    background = "getComputedStyle(document.body).backgroundColor"
    light, drawn = page.evaluate(background), picture(page, "loss")
    page.window(1280, 900, dark=True)
    dark = page.evaluate(background)
    assert dark != light
    assert picture(page, "loss") != drawn
    focus(page, "#theme")
    page.press("Enter")
    assert page.evaluate(background) == light
    page.open(report)
    page.requests.pop()
    assert page.evaluate(background) == light  # it is remembered
    page.evaluate("localStorage.clear()")


def test_a_phone_needs_no_scrolling_to_the_side(page):
    page.window(390, 844)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.settle()
    width, most = page.evaluate("[innerWidth, document.documentElement.scrollWidth]")
    assert width == 390
    assert most <= width
    assert ink(page, "time")[0] > 1000
    assert page.evaluate("document.querySelector('.uplot').getBoundingClientRect().width") < 390


def test_tab_reaches_every_control_and_shows_where_it_is(page):
    count = page.evaluate(
        "[...document.querySelectorAll('a[href], button, select, input, summary, [tabindex]')]"
        ".filter(one => one.checkVisibility()).length"
    )
    reached, unseen = set(), []
    for _ in range(count):
        page.press("Tab")
        which, outline = page.evaluate(
            "(one => [[...document.querySelectorAll('*')].indexOf(one), "
            "getComputedStyle(one).outlineStyle])(document.activeElement)"
        )
        reached.add(which)
        unseen += [which] * (outline == "none")
    assert len(reached) == count
    assert unseen == []


def test_the_stall_and_the_verdict_are_on_the_timeline(page):
    marks = page.evaluate(
        "[...document.querySelectorAll('#timeline .run')]"
        ".map(run => [run.querySelector('.name').textContent,"
        " run.querySelectorAll('path.stall, path.verdict').length])"
    )
    assert [name for name, count in marks if count == 2] == ["two_locks"]
    stack = page.evaluate("document.querySelector('.column').innerText")
    assert "lock_both two_locks.py" in stack


def made_anew(folder):
    """The reports of a run, from its run.json."""
    done = forked.harness("report", folder, folder=ROOT)
    assert done.returncode == 0, done.stderr


def altered(report, folder, change):
    """The page of the same run, but for what `change` does to its run.json."""
    run = json.loads((report.parent / "run.json").read_text())
    old = run["results"][0]["scenario"]
    change(run)
    (folder / "run.json").write_text(json.dumps(run))
    name = run["results"][0]["scenario"]
    if "/" not in name:
        (folder / name).symlink_to(report.parent / old)
    (folder / "sgd_step").symlink_to(report.parent / "sgd_step")
    made_anew(folder)
    return folder / "report.html"


def test_a_long_name_does_not_make_a_phone_scroll_to_the_side(tab, report, tmp_path):
    def lengthened(run):
        long = "a_step_of_" + "many_words_" * 15
        run["results"][0]["scenario"] = run["scenarios"][0]["name"] = long

    tab.problems.clear()
    tab.window(390, 844)
    tab.open(altered(report, tmp_path, lengthened))
    wide = tab.evaluate(
        "[...document.querySelectorAll('#shown, #shown *, label, select, .u-legend')]"
        ".filter(one => one.getBoundingClientRect().right > 390).map(one => one.outerHTML)"
    )
    assert wide == []
    assert "many_words" in tab.evaluate("document.getElementById('shown').textContent")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.problems == []


def test_the_lanes_of_ranks_are_drawn_on_a_phone_too(tab, report, tmp_path):
    run = json.loads((report.parent / "run.json").read_text())
    ranks = [
        {"rank": n, "state": state, "culprit": n == 1, "reason": "as " + "long_as_it_gets_" * 6,
         "phase_s": 1.0, "collective": 3, "collective_op": "all_sum",
         "wait_site": "mlx::core::distributed::ring::RingGroup::all_reduce::" * 2}
        for n, state in enumerate(("waiting", "stopped", "waiting"))
    ]  # fmt: skip
    run["results"][0]["ranks"] = ranks
    (tmp_path / "run.json").write_text(json.dumps(run))
    name = run["results"][0]["scenario"]
    for one in ranks:
        folder = tmp_path / name / "0" / f"rank-{one['rank']}"
        folder.mkdir(parents=True)
        (folder / "beats.jsonl").symlink_to(report.parent / name / "0" / "beats.jsonl")
    made_anew(tmp_path)
    tab.problems.clear()
    tab.window(1280, 900)
    tab.open(tmp_path / "report.html")
    names = "[...document.querySelectorAll('.lane .name')].map(one => one.textContent)"
    assert tab.evaluate(names) == ["rank 1", "rank 0", "rank 2"]
    # Each stepped, and its last span is as wide as the seconds until the verdict.
    drawn = tab.evaluate(
        "[...document.querySelectorAll('.lane')].map(one => ['step', 'still', 'waiting']"
        ".map(kind => one.querySelector('path.' + kind)?.getBoundingClientRect().width > 3))"
    )
    assert drawn == [[True, True, False], [True, False, True], [True, False, True]]
    tab.window(390, 844)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.problems == []


def test_what_a_worker_wrote_is_never_run(tab, report, tmp_path):
    def spoiled(run):
        run["results"][0]["scenario"] = run["scenarios"][0]["name"] = HOSTILE
        for result in run["results"]:
            result["reason"] = HOSTILE
            result["findings"] = [
                {"code": HOSTILE, "severity": "error", "summary": HOSTILE,
                 "evidence": {HOSTILE: 1}, "expected": False}
            ]  # fmt: skip

    tab.problems.clear()
    tab.open(altered(report, tmp_path, spoiled))
    assert HOSTILE in tab.evaluate("document.body.innerText")
    assert tab.evaluate("[window.broken ?? 0, document.images.length]") == [0, 0]
    assert tab.problems == []
