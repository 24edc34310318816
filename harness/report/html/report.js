// What the page does beyond its text: the theme, and uPlot's charts over one range of steps.
"use strict";

(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const theme = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const onTheme = [() => (theme.textContent = isDark() ? "Light" : "Dark")];

  // A browser may keep nothing for a file that was opened from the disk.
  const kept = (write) => { try { return write(localStorage); } catch { return null; } };
  const stored = kept((s) => s.getItem("harness-theme"));
  if (stored === "dark" || stored === "light") root.dataset.theme = stored;
  theme.onclick = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept((s) => s.setItem("harness-theme", root.dataset.theme));
    onTheme.forEach((f) => f());
  };
  system.addEventListener("change", () => onTheme.forEach((f) => f()));
  onTheme[0]();
  theme.hidden = false;

  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target?.matches("details")) target.open = true;
    // What was folded when the browser looked for it was nowhere.
    for (let around = target; around; around = around.parentElement) if (around.matches("details")) around.open = true;
    target?.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  const source = document.getElementById("data");
  if (source) charts(JSON.parse(source.textContent), onTheme);

  function charts({ charts, scenarios, steps }, onTheme) {
    const firsts = steps.map((s) => s[0]), lasts = steps.map((s) => Math.floor(s.at(-1)));
    const lowest = firsts.reduce((a, b) => Math.min(a, b), Infinity);
    const highest = lasts.reduce((a, b) => Math.max(a, b), -Infinity);
    const margin = Math.max(0.3, (highest - lowest) * 0.02);
    const whole = highest >= lowest ? [lowest - margin, highest + margin] : [0, 1];
    let range = whole, only = scenarios.length === 1 ? 0 : null, plots = [];
    const hidden = new Set();

    // A color of the style sheet, as the theme that is in force has it.
    const probe = document.body.appendChild(document.createElement("i"));
    probe.hidden = true;
    const color = (name) => ((probe.style.color = `var(--${name})`), getComputedStyle(probe).color);

    const SHOWN = {
      s: units.duration,
      B: units.size,
      P: (v) => `${units.number(v, 3)} P`,
      operations: units.count,
      "": (v) => units.number(v),
    };
    const POWERS = { 2: [...Array(50).keys()].map((i) => 2 ** i) };
    const INTEGERS = [...Array(12).keys()].flatMap((i) => [1, 2, 5].map((n) => n * 10 ** i));

    const extent = document.getElementById("range");
    function setRange(from, to) {
      const least = 2, most = whole[1] - whole[0];
      const span = Math.min(most, Math.max(least, to - from));
      const start = Math.min(Math.max(from + (to - from - span) / 2, whole[0]), whole[1] - span);
      range = [start, start + span];
      extent.textContent = `steps ${units.count(Math.max(lowest, Math.ceil(range[0])))} to ${units.count(Math.min(highest, Math.floor(range[1])))}`;
      plots.forEach((u) => u.setScale("x", { min: range[0], max: range[1] }));
      if (linked) note();
    }

    // The address names the steps that are shown: `#steps=40-60`, or `#step=50` with some around it.
    let linked = false;
    function note() {
      const all = range[0] <= whole[0] && range[1] >= whole[1];
      const steps = `#steps=${Math.max(lowest, Math.ceil(range[0]))}-${Math.min(highest, Math.floor(range[1]))}`;
      try { history.replaceState(null, "", all ? location.pathname + location.search : steps); } catch { /* not of a file, in some browsers */ }
    }
    function follow() {
      const found = /^#steps?=(\d+)(?:-(\d+))?$/.exec(location.hash);
      if (!found) return;
      const first = Number(found[1]), last = Number(found[2] ?? found[1]);
      linked = false;
      setRange(first - (found[2] ? 0.3 : 5), last + (found[2] ? 0.3 : 5));
      linked = true;
      document.getElementById("charts").scrollIntoView();
    }

    function act(what) {
      const [from, to] = range, span = to - from;
      if (what === "left") setRange(from - span / 5, to - span / 5);
      if (what === "right") setRange(from + span / 5, to + span / 5);
      if (what === "in") setRange(from + span / 5, to - span / 5);
      if (what === "out") setRange(from - span / 3, to + span / 3);
      if (what === "all") setRange(...whole);
    }

    // The cursor of the chart that has it goes to the next point, and the others' follow.
    function read(u, by) {
      const known = u.data[0];
      let at = u.cursor.idx ?? (by > 0 ? -1 : known.length);
      do at += by; while (at >= 0 && at < known.length && known[at] < range[0]);
      at = Math.min(Math.max(at, 0), known.length - 1);
      if (known[at] < range[0] || known[at] > range[1]) setRange(known[at] - (range[1] - range[0]) / 2, known[at] + (range[1] - range[0]) / 2);
      plots.forEach((p) => p.setCursor({ left: p.valToPos(known[at], "x"), top: 1 }));
    }

    // What a chart shows: of all scenarios one quantity, or of one scenario all of them.
    function drawn(chart, figure, inP) {
      const wanted = figure.querySelector(".quantity")?.value ?? chart.quantities[0];
      const made = (one, curve, label) => ({
        label,
        steps: curve ? steps[curve.steps] : [],
        values: !curve ? [] : !inP ? curve.values : one.p ? curve.values.map((v) => v / one.p) : curve.values.map(() => null),
        bold: one.outcome !== "completed",
      });
      if (only === null) {
        return scenarios.map((one) => made(
          one, one.curves.find((c) => c.chart === chart.id && c.quantity === wanted), one.name));
      }
      const one = scenarios[only];
      return one.curves.filter((c) => c.chart === chart.id).map((c) => ({ ...made(one, c, c.quantity), bold: false }));
    }

    const reaches = (line, step) => line.steps[0] <= step && step <= line.steps.at(-1);

    function draw(chart) {
      const figure = document.getElementById(`chart-${chart.id}`);
      const place = figure.querySelector(".plot");
      const log = figure.querySelector(".log")?.checked ?? false;
      const inP = figure.querySelector(".in-p")?.checked ?? false;
      const unit = inP ? "P" : chart.unit, shown = SHOWN[unit];
      const lines = drawn(chart, figure, inP);
      const data = lines.length
        ? uPlot.join(lines.map((l) => [l.steps, log ? l.values.map((v) => (v > 0 ? v : null)) : l.values]))
        : [[]];
      // Of curves that lie on one another each later one has wider gaps, which show those below it.
      const before = new Map();
      const nth = lines.map((line) => {
        const key = JSON.stringify([line.steps, line.values.map((v) => v?.toPrecision(3))]), n = before.get(key) ?? 0;
        before.set(key, n + 1);
        return n;
      });
      const ink = color("soft"), grid = color("line");
      const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 5 } };
      const u = new uPlot({
        width: place.clientWidth,
        height: 260,
        scales: {
          x: { time: false, range: () => range },
          y: { distr: log ? 3 : 1, range: log || chart.id === "loss" ? undefined : (_, __, max) => [0, max > 0 ? max * 1.06 : 1] },
        },
        axes: [
          { ...axis, size: 34, incrs: INTEGERS, values: (_, ticks) => ticks.map((v) => units.count(v)) },
          { ...axis, incrs: unit === "B" ? POWERS[2] : undefined, size: (_, ticks) => 14 + 6.5 * Math.max(3, ...(ticks ?? []).map((t) => (t ?? "").length)),
            values: (_, ticks) => ticks.map((v) => (v === null ? null : shown(v))) },
        ],
        series: [
          // Of a step that came twice the second point stands half a step further on.
          { label: "step", value: (_, v) => (v == null ? "–" : units.count(Math.floor(v))) },
          ...lines.map((line, i) => ({
            label: line.label,
            show: !hidden.has(line.label),
            stroke: color(`c${i % 10}`),
            dash: nth[i] ? [8, 8 * nth[i]] : [[], [7, 4], [2, 3]][Math.floor(i / 10) % 3],
            width: line.bold ? 2.5 : 1.5,
            spanGaps: true,
            // Where a run that did not complete ended.
            points: line.bold && line.steps.length
              ? { show: true, size: 8, fill: color(`c${i % 10}`), filter: () => [data[0].indexOf(line.steps.at(-1))] }
              : {},
            // Between its points a curve shows the nearest; before the first and after the last, nothing.
            value: (u, v) => (v == null || !reaches(line, u.data[0][u.cursor.idx]) ? "–" : shown(v)),
          })),
        ],
        legend: { markers: { dash: (_, i) => (nth[i - 1] ? "dashed" : ["solid", "dashed", "dotted"][Math.floor((i - 1) / 10) % 3]) } },
        focus: { alpha: 0.25 },
        cursor: {
          focus: { prox: 24 },
          drag: { x: true, y: false, setScale: false },
          sync: { key: "steps", setSeries: only === null, scales: ["x", null] },
          bind: { dblclick: () => () => act("all") },
        },
        hooks: {
          setSelect: [(u) => {
            if (u.select.width > 3) setRange(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          }],
          setSeries: [(u, i, change) => {
            const rows = u.root.querySelectorAll(".u-legend .u-series");
            if ("show" in change) {
              u.series.slice(1).forEach((s, j) => {
                hidden[s.show ? "delete" : "add"](s.label);
                rows[j + 1].firstElementChild.setAttribute("aria-pressed", s.show);
              });
            } else {
              rows.forEach((row, j) => row.classList.toggle("near", j > 0 && j === i));
            }
          }],
        },
      }, data, place);
      u.root.querySelectorAll(".u-legend .u-series").forEach((row, i) => {
        if (i === 0) return;
        const name = row.firstElementChild;
        Object.assign(name, { tabIndex: 0, role: "button", title: u.series[i].label });
        name.setAttribute("aria-pressed", u.series[i].show);
        name.onkeydown = (event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          event.stopPropagation();
          u.setSeries(i, { show: !u.series[i].show }, true, only === null);
        };
      });
      return u;
    }

    function drawAll() {
      plots.forEach((u) => u.destroy());
      plots = charts.map(draw);
      charts.forEach((chart) => {
        const quantity = document.querySelector(`#chart-${chart.id} .quantity`);
        if (quantity) quantity.hidden = only !== null;
      });
    }

    const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "in", ArrowDown: "out", "+": "in", "=": "in", "-": "out", Home: "all", 0: "all" };
    charts.forEach((chart, i) => {
      const figure = document.getElementById(`chart-${chart.id}`);
      figure.querySelector(".plot").onkeydown = (event) => {
        if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
        const what = KEYS[event.key];
        if (!what) return;
        event.preventDefault();
        if (event.shiftKey && (what === "left" || what === "right")) read(plots[i], what === "left" ? -1 : 1);
        else act(what);
      };
      figure.querySelectorAll("select, input").forEach((control) => (control.onchange = drawAll));
    });
    document.querySelectorAll("#charts [data-do]").forEach((button) => (button.onclick = () => act(button.dataset.do)));
    const choice = document.getElementById("shown");
    choice.value = only ?? "";
    choice.onchange = (event) => {
      only = event.target.value === "" ? null : Number(event.target.value);
      hidden.clear();
      drawAll();
    };
    document.querySelectorAll("#charts [hidden]").forEach((control) => (control.hidden = false));
    drawAll();
    setRange(...whole);
    follow();
    linked = true;
    addEventListener("hashchange", follow);
    onTheme.push(drawAll);
    new ResizeObserver(() => plots.forEach((u) => {
      const width = u.root.parentElement.clientWidth;
      if (width && width !== u.width) u.setSize({ width, height: 260 });
    })).observe(document.querySelector(".charts"));
  }
})();
