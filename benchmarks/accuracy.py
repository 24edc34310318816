"""The page docs/reference/accuracy.md, made of the results in benchmarks/results.

    python benchmarks/accuracy.py [--check]

Each file there that judges labeled runs becomes a table: situations, false_hangs, selftest,
rank_controls, detection, doubt, attach, simulated_diagnosis. --check says whether the page is what
this script makes.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import accuracy_delays as delays
from benchmarks import accuracy_tables as tables
from benchmarks.accuracy_tables import Document, Line
from harness.detect.chain.links import Ends

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "reference" / "accuracy.md"
INTRODUCTION = """\
# Accuracy

This page counts how often the harness is right. Before each run here it was known whether the
program hangs, and why. `python benchmarks/accuracy.py` makes the page from the files in
`benchmarks/results/`. A unit test holds that it is up to date.

- **Interval:** behind each count is Wilson's 95 % interval for the share. 20 of 20 can mean 84 %.
  Several runs of one program are not independent: there, the interval should be wider.
- **Machine, versions, commit:** stand above each table. A figure of an older commit says what
  that commit did. A `+` after a commit means that the product had changes.
- **Wrong verdicts** are listed below the table in which they are counted.
"""
UNMEASURED = (
    "macOS, Metal and aarch64: nothing on this page was measured there.",
    "Several hosts: the controls of ranks ran on one machine.",
    "Trainings of users: no labeled collection of real reports exists. The programs here were "
    "written to hang or not to hang.",
    "The diagnosis on real faults: the faults in its table are simulated. The controls have one "
    "real fault for each hypothesis.",
)


class Part(NamedTuple):
    """The section of one kind of result."""

    title: str
    text: str
    """The paragraph below the heading: what the set is, and what counts as right."""
    lines: Callable[[Document], Iterator[Line]]
    body: Callable[[Document], Iterator[str]]
    script: str
    """The script that makes such a result."""


PARTS = {
    "situations": Part(
        "Situations",
        "Programs of the kind that people run: launchers, loaders, pools, remote calls, prompts, "
        "slow disks, monitors beside a dead trainer. A healthy one must be `completed`, one that "
        "hangs must be `hung`. If a budget cuts a run short, a healthy one may be `unfinished`. "
        "One that waits for something outside may then also be `hung`, not proven, with the right "
        "end; and so without patience. One that is stopped when its budget ends is `hung`, too. "
        "*Ended by mistake* counts other healthy ones that were called hung. *Wrongly proven* "
        "counts each proof of what is not dead. *Right end named* is counted over the runs in "
        "which the [chain of waits](../internals/wait-chains.md) is named.",
        tables.situation_lines,
        tables.situation_body,
        "benchmarks/situations.py",
    ),
    "false_hangs": Part(
        "Healthy runs made hard",
        "Each run is healthy and does what is easily taken for a stall. It runs undisturbed, "
        "beside spinning processes, and with the worker or the supervisor stopped for a while. A "
        "doubt that is taken back harms nobody.",
        tables.false_lines,
        tables.false_body,
        "benchmarks/false_hangs.py",
    ),
    "selftest": Part(
        "Controls",
        "[Controls](controls.md) declare their verdict. *All right* means outcome, cause, step, "
        "findings and ranks as declared. A healthy control with an error finding that it does not "
        "declare is wrong.",
        tables.control_lines,
        tables.control_body,
        "benchmarks/controls.py",
    ),
    "rank_controls": Part(
        "Controls of several ranks",
        "The rank that fails is the first, the last or one between them, in turn. Right means that "
        "outcome, finding and rank are as declared.",
        tables.rank_lines,
        tables.rank_body,
        "benchmarks/rank_controls.py",
    ),
    "detection": Part(
        "Delays",
        "Each kind of stall comes after steps of a known length. A deadlock is to be proven within "
        "1.5 s of it. Any other stall is to be doubted within max(10 s, 5 times the steps' p99). "
        "The doubt about one that ends is taken back at the next step.",
        delays.detection_lines,
        delays.detection_body,
        "benchmarks/detection.py",
    ),
    "doubt": Part(
        "Delays of situations",
        "The same for the programs above that hang, each run once, and for some stalls. A proof "
        "counts as a doubt does.",
        delays.doubt_lines,
        delays.doubt_body,
        "benchmarks/doubt.py",
    ),
    "attach": Part(
        "Answers of attach",
        "Each control is started by hand, and `harness attach` looks at it. *Unharmed* means that "
        "it goes on as one that nobody looked at.",
        tables.attach_lines,
        tables.attach_body,
        "benchmarks/attach.py",
    ),
    "simulated_diagnosis": Part(
        "Simulated diagnosis",
        "A small physical model of a training makes the runs, and knows nothing of the [table of "
        "the diagnosis](diagnosis.md). In half of the cases some scenarios are missing. *Named* "
        "counts the cases in which a fault that acted is supported. A *false claim* supports what "
        "is not true, or refutes what is.",
        tables.diagnosis_lines,
        tables.diagnosis_body,
        "benchmarks/simulated_diagnosis.py",
    ),
}


def documents(folder: Path) -> dict[str, list[Document]]:
    """The results of labeled runs, by their benchmark."""
    results: dict[str, list[Document]] = {name: [] for name in PARTS}
    for file in sorted(folder.glob("*.json")):
        document = json.loads(file.read_text())
        # How soon a stall is doubted was not counted at first.
        if document["benchmark"] == "detection" and not delays.counted(document):
            continue
        if document["benchmark"] in results:
            results[document["benchmark"]].append({**document, "file": file.name})
    return results


def unmeasured(results: dict[str, list[Document]]) -> Iterator[str]:
    """Sentences about what no result covers."""
    for name, part in PARTS.items():
        if not results[name]:
            yield f"{part.title}: no result of `{part.script}` is in the repository yet."
    situations = [document["result"] for document in results["situations"]]
    if situations:
        if not any(result["patience"] is not None for result in situations):
            yield "Situations without patience: no run with `--patience 0` is among them."
        if not any(result["budget"] is not None for result in situations):
            yield "Situations that a budget cuts short: no run with `--budget` is among them."
        if not any(result["spinners"] for result in situations):
            yield "Situations on a busy machine: no run beside spinning processes is among them."
        covered = {row["kind"] for result in situations for row in result["programs"]}
        if lacking := sorted({end.value for end in Ends} - covered - {Ends.UNKNOWN.value}):
            names = ", ".join(name.replace("_", " ") for name in lacking)
            yield f"Situations whose chain ends in one of these: {names}."
    if not any(
        "gpu" in (document["environment"].get("device") or "") for document in results["selftest"]
    ):
        yield "Controls on a GPU: no result is in the repository yet."
    yield from UNMEASURED


def summary(results: dict[str, list[Document]]) -> str:
    """The first table: one or a few lines for each result."""
    rows = []
    for name, part in PARTS.items():
        for document in results[name]:
            note = f" ({document['note']})" if "note" in document else ""
            for line in part.lines(document):
                counts = tables.cells(line.some, line.total)
                rows.append([line.title + note, line.what, *counts, line.commit])
    return tables.table(("set", "what is counted", "count", "95 %", "commit"), rows)


def page(folder: Path = RESULTS) -> str:
    """The whole page, from the results in `folder`."""
    results = documents(folder)
    blocks = [INTRODUCTION.strip(), summary(results)]
    for name, part in PARTS.items():
        if results[name]:
            blocks.append(f"## {part.title}")
            blocks.append(filled(f"{part.text} `{part.script}` makes the runs."))
        for document in results[name]:
            blocks += [tables.made_on(document), *part.body(document)]
    missing = [filled(f"- {text}", "  ") for text in unmeasured(results)]
    return "\n\n".join([*blocks, "## Not measured yet", "\n".join(missing)]) + "\n"


def filled(text: str, indent: str = "") -> str:
    """`text` in lines that a person can read in an editor."""
    return textwrap.fill(
        text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    made = page()
    if not arguments.check:
        PAGE.write_text(made)
    elif not PAGE.exists() or PAGE.read_text() != made:
        raise SystemExit(f"{PAGE.relative_to(ROOT)} is not up to date: run this without --check")


if __name__ == "__main__":
    main()
