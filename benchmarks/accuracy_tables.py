"""The tables of docs/reference/accuracy.md: one for each kind of result, and its summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from harness.stats import median, wilson

Document = dict[str, Any]
"""A file of benchmarks/results, with its name as `file`."""


class Line(NamedTuple):
    """A line of the first table."""

    title: str
    what: str
    """What is counted."""
    some: int
    total: int
    commit: str


# -- figures


def interval(count: int, of: int) -> str:
    """Wilson's interval in percent, as exact as its width asks for."""
    low, high = (100 * bound for bound in wilson(count, of))
    digits = 0 if high - low >= 5 else 1
    return " to ".join(f"{bound:.{digits}f}".removesuffix(".0") for bound in (low, high)) + " %"


def share(count: int, of: int) -> str:
    return f"{count} of {of}" if of else "–"


def cells(count: int, of: int) -> tuple[str, str]:
    return (share(count, of), interval(count, of)) if of else ("–", "–")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of markdown, the first column left and the others right."""
    marks = [":--", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, marks, *rows))


def made_on(document: Document) -> str:
    """Machine, versions, commit and file of a result."""
    here = document["environment"]
    versions = [f"{name} {version}" for name, version in here["versions"].items() if version]
    gpu = f", {here['device']}" if "gpu" in (here.get("device") or "") else ""
    words = [
        f"{here['platform']}, {here['machine']}, {here['cpu_count']} CPUs{gpu}",
        f"Python {here['python']}, {', '.join(versions)}",
        f"commit {commit_of(document)}" + (f" of {document['date']}" if "date" in document else ""),
        f"`benchmarks/results/{document['file']}`",
        *([document["note"]] if "note" in document else []),
    ]
    return f"*{'; '.join(words)}*"


def commit_of(document: Document) -> str:
    return str(document.get("commit", "not recorded"))


def total(rows: Sequence[dict[str, Any]], *keys: str) -> list[int]:
    return [sum(row[key] for row in rows) for key in keys]


def listed(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A list of names, each with a text in which nothing is markdown."""
    if pairs:
        yield "\n".join(f"- `{name}`: {plain(text)}" for name, text in pairs)


def plain(text: str) -> str:
    for sign in "\\`*_[]<>|":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


# -- situations

TRUTHS = {
    "hang": "hangs",
    "healthy": "healthy",
    "notproven": "not to be proven",
    "either": "either verdict",
}


def conditions(result: dict[str, Any]) -> str:
    patience = result["patience"]
    words = ["default patience" if patience is None else f"--patience {patience}"]
    words += [f"each cut short after {result['budget']} s"] * (result["budget"] is not None)
    words += [f"{result['spinners']} spinning processes beside it"] * bool(result["spinners"])
    words.append(f"{result['jobs']} runs at once" if result["jobs"] > 1 else "one run at a time")
    if any(program["kind"].startswith("gpu") for program in result["programs"]):
        words.insert(0, "on a GPU")
    if result.get("mac"):
        refused = f" with {', '.join(result['refused'])} refused" if result["refused"] else ""
        words.insert(0, f"on the simulated Mac{refused}")
    return ", ".join(words)


def situation_lines(document: Document) -> Iterator[Line]:
    programs = document["result"]["programs"]
    given = conditions(document["result"])
    for truth, title in TRUTHS.items():
        if chosen := [program for program in programs if program["truth"] == truth]:
            right, runs = total(chosen, "right", "runs")
            name = f"Situations, {title} ({given})"
            yield Line(name, "right outcome", right, runs, commit_of(document))
    healthy = [program for program in programs if program["truth"] == "healthy"]
    if healthy:
        ended, runs = total(healthy, "ended", "runs")
        title = f"Situations, healthy ({given})"
        yield Line(title, "ended by mistake", ended, runs, commit_of(document))


def situation_body(document: Document) -> Iterator[str]:
    result = document["result"]
    yield f"Conditions: {conditions(result)}."
    head = ("truth", "end of the chain", "programs", "right outcome", "95 %", "ended by mistake",
            "wrongly proven", "right end named", "95 %")  # fmt: skip
    rows = []
    for truth, title in TRUTHS.items():
        programs = [program for program in result["programs"] if program["truth"] == truth]
        kinds = sorted({program["kind"] for program in programs})
        groups = [
            (kind, [program for program in programs if program["kind"] == kind]) for kind in kinds
        ]
        for kind, some in [*groups, *([("all", programs)] if len(kinds) > 1 else [])]:
            runs, right, ended, proven, named, rightly = total(
                some, "runs", "right", "ended", "wrongly_proven", "ends_named", "ends_right"
            )
            of_healthy = share(ended, runs) if truth == "healthy" else "–"
            rows.append(
                [
                    *(title, kind.replace("_", " "), str(len(some)), *cells(right, runs)),
                    *(of_healthy, str(proven), *cells(rightly, named)),
                ]
            )
    yield table(head, rows)
    wrong = [(program["program"], f"{program['wanted']} is right, not {text}")
             for program in result["programs"] for text in program["wrong"]]  # fmt: skip
    yield from listed(wrong)
    if result["skipped"]:
        yield "Not run on this machine:"
        yield from listed([*result["skipped"].items()])


# -- controls

OUTCOMES = "hung", "crashed", "diverged", "completed"


def judged(control: dict[str, Any]) -> int:
    """The runs of a control that could run."""
    return int(control["runs"]) - int(control["got"].get("skipped", 0))


def control_lines(document: Document) -> Iterator[Line]:
    controls = document["result"]["controls"]
    title, commit = f"Controls{on_gpu(document)}", commit_of(document)
    runs, right = sum(map(judged, controls)), sum(control["right"] for control in controls)
    yield Line(title, "right verdict", right, runs, commit)
    healthy = [control for control in controls if control["expected"] == "completed"]
    runs, right = sum(map(judged, healthy)), sum(control["right"] for control in healthy)
    yield Line(f"{title}, healthy", "false alarm", runs - right, runs, commit)


def on_gpu(document: Document) -> str:
    return " on a GPU" if "gpu" in (document["environment"].get("device") or "") else ""


def control_body(document: Document) -> Iterator[str]:
    controls = document["result"]["controls"]
    head = ("expected", "controls", "right outcome", "right cause", "findings found",
            "all right", "95 %")  # fmt: skip
    rows = []
    for kind in [*sorted({control["expected"] for control in controls}), "all"]:
        chosen = [control for control in controls if kind in (control["expected"], "all")]
        runs = sum(map(judged, chosen))
        outcomes = sum(
            count
            for control in chosen
            for got, count in control["got"].items()
            if got.partition("/")[0] == control["expected"].partition("/")[0]
        )
        caused = [control for control in chosen if "/" in control["expected"]]
        causes = sum(control["got"].get(control["expected"], 0) for control in caused)
        counted = [control for control in chosen if "findings_declared" in control]
        declared, present = total(counted, "findings_declared", "findings_found")
        right = sum(control["right"] for control in chosen)
        rows.append(
            [
                *(kind, str(len(chosen)), share(outcomes, runs)),
                *(share(causes, sum(map(judged, caused))), share(present, declared)),
                *cells(right, runs),
            ]
        )
    yield table(head, rows)
    skipped = [control for control in controls if not judged(control)]
    wrong = [
        (control["control"], text)
        for control in controls
        if judged(control)
        for text in control["wrong"]
    ]
    yield from listed(wrong)
    if skipped:
        yield "Not run on this machine:"
        yield from listed(
            [(control["control"], "; ".join(control["wrong"])) for control in skipped]
        )


def rank_lines(document: Document) -> Iterator[Line]:
    result = document["result"]
    title = "Controls of several ranks"
    yield Line(title, "right verdict", result["right"], result["runs"], commit_of(document))


def rank_body(document: Document) -> Iterator[str]:
    controls = document["result"]["controls"]
    sizes = sorted({size for control in controls for size in control["runs"]}, key=int)
    head = ("control", *(f"{size} ranks" for size in sizes), "all", "95 %")
    rows = [
        [
            f"`{control['control']}`",
            *(share(control["right"].get(size, 0), control["runs"].get(size, 0)) for size in sizes),
            *cells(sum(control["right"].values()), sum(control["runs"].values())),
        ]
        for control in controls
    ]
    yield table(head, rows)
    yield from listed(
        [(control["control"], text) for control in controls for text in control["wrong"]]
    )


# -- healthy runs, attach, diagnosis


def hung(cell: dict[str, Any]) -> int:
    return sum(text.startswith("hung") for text in cell["others"])


def false_lines(document: Document) -> Iterator[Line]:
    result, commit = document["result"], commit_of(document)
    title = f"Healthy runs made hard{hardness(result)}"
    if "ended" in result:
        ended, runs = result["ended"], result["runs"]
    else:  # of the time when no wait was excused
        ended, runs = sum(map(hung, result["cells"])), total(result["cells"], "runs")[0]
    yield Line(title, "called hung", ended, runs, commit)
    if "doubted" in result:
        doubted, may_not = result["doubted"], result["of_runs_that_may_not_be"]
        what = "doubted for a while, of those that work, sleep or wait for a person"
        yield Line(title, what, doubted, may_not, commit)
    if result.get("excused"):
        what = "called hung after a wait that was longer than the patience"
        yield Line(title, what, result["excused_and_ended"], result["excused"], commit)


def hardness(result: dict[str, Any]) -> str:
    if "event_s" not in result:
        return ""
    patience = result["patience_s"]
    given = "default patience" if patience is None else f"--patience {patience:g}"
    return f" ({given}, stalls of up to {result['event_s']:g} s)"


def false_body(document: Document) -> Iterator[str]:
    cells_run = [cell for cell in document["result"]["cells"] if cell["runs"]]
    rows = []
    for kind in [*dict.fromkeys(cell["kind"] for cell in cells_run), "all"]:
        chosen = [cell for cell in cells_run if kind in (cell["kind"], "all")]
        runs, completed = total(chosen, "runs", "completed")
        wrong = sum(map(hung, chosen))
        doubted = [cell["doubted"] for cell in chosen if "doubted" in cell]
        name = kind if kind == "all" else f"`{kind}`"
        doubts = share(sum(doubted), runs) if doubted else "–"
        rows.append([name, str(runs), doubts, *cells(wrong, runs), str(runs - completed - wrong)])
    yield table(("what it does", "runs", "doubted", "called hung", "95 %", "other ends"), rows)


def attach_lines(document: Document) -> Iterator[Line]:
    controls = document["result"]["controls"]
    commit = commit_of(document)
    right = sum(control["right"] for control in controls)
    yield Line("Answers of attach", "right answer", right, len(controls), commit)
    harmed = sum(not control["unharmed"] for control in controls)
    yield Line("Answers of attach", "process harmed", harmed, len(controls), commit)


def attach_body(document: Document) -> Iterator[str]:
    controls = document["result"]["controls"]
    rows = []
    for title, healthy in (("hangs", False), ("healthy", True)):
        chosen = [control for control in controls if control["healthy"] == healthy]
        right, unharmed = total(chosen, "right", "unharmed")
        after = f"{median([control['seconds'] for control in chosen]):.1f} s" if chosen else "–"
        rows.append([title, *cells(right, len(chosen)), share(unharmed, len(chosen)), after])
    yield table(("controls", "right answer", "95 %", "unharmed", "answered after, median"), rows)
    wrong = [control for control in controls if not control["right"] or not control["unharmed"]]
    yield from listed(
        [(control["control"], f"{control['answer']}: {control['says']}") for control in wrong]
    )


def diagnosis_lines(document: Document) -> Iterator[Line]:
    kinds = document["result"]["kinds"]
    named, acted, false, cases = total(kinds, "named", "acted", "false", "cases")
    yield Line("Simulated diagnosis", "a fault named", named, acted, commit_of(document))
    yield Line("Simulated diagnosis", "false claim", false, cases, commit_of(document))


def diagnosis_body(document: Document) -> Iterator[str]:
    kinds = document["result"]["kinds"]
    whole = dict(zip(kinds[0], ["all", *total(kinds, *[*kinds[0]][1:])], strict=True))
    rows = [
        [
            *(
                f"`{kind['kind']}`"
                if " " not in kind["kind"] and kind is not whole
                else kind["kind"],
            ),
            *(str(kind["cases"]), *cells(kind["named"], kind["acted"])),
            *(share(kind["all_named"], kind["acted"]), *cells(kind["false"], kind["cases"])),
        ]
        for kind in (*kinds, whole)
    ]
    head = ("fault", "cases", "named", "95 %", "all faults named", "false claims", "95 %")
    yield table(head, rows)
