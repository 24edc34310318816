"""The delay from a stall to the first word of it, and from the next step until it is taken back.

    python benchmarks/doubt.py [FOLDER] [--runs 5] [--jobs 4] [--step-s 0.1] [--minutes M]
                               [--kinds ...] [--only NAME ...] [--work FOLDER] [--out FILE.json]

The stalls are the kinds of `benchmarks/detection.py` that are not proven, and those that end after
a while. With FOLDER, a corpus of programs of known end (`benchmarks/corpus.py`), these are also its
programs that hang, each run once. There a proof counts as a word as well.

Measures: said within max(10 s, 5 x the steps' p99) of the stall at p95, with the right end; taken
back within 2 s of the next step.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import detection
from benchmarks.common import Deadline, commit, figures, machine, save, server, shown, table
from benchmarks.corpus import Corpus, Program
from benchmarks.situation_run import Run, Running, go
from benchmarks.situations import named, side_by_side

KINDS = tuple(kind for kind in detection.ENDS if kind not in detection.ON_GPU)
PATIENCE_S = "2"
"""With a doubt in a program of the corpus: what is measured has come by then."""
LONGEST_S = 80.0
"""The budget of a program of the corpus, at most: its stall comes within the first seconds."""
HEAD = ("stall", "runs", "said", "in time", "median s", "p95", "max", "limit", "ends", "right",
        "back s", "p95")  # fmt: skip


def limit_s(step_p99_s: float | None) -> float:
    """The time in which a doubt is to be said."""
    return max(detection.DOUBT_S, detection.DOUBT_FACTOR * (step_p99_s or 0.0))


def of_kind(cell: detection.Cell, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The summary of the runs of one kind of `benchmarks/detection.py`."""
    limit = cell.limit_s  # of a stall that ends, the steps' own p99 has the stall in it
    said = [run["doubt_s"] for run in runs if "doubt_s" in run]
    ends = [run["end"] for run in runs if "doubt_s" in run]
    right = sum(end in detection.ENDS[cell.kind] for end in ends)
    back = [run["back_s"] for run in runs if "back_s" in run]
    return _summary(cell.kind, len(runs), said, limit, ends, right, back)


def of_program(program: Program, runs: Sequence[Run]) -> dict[str, Any]:
    """The summary of the runs of one program of the corpus."""
    limit = max((limit_s(run.step_p99_s) for run in runs), default=detection.DOUBT_S)
    said = [run.said_s for run in runs if run.said_s is not None]
    ends = [end for run in runs for end in (run.doubted or [run.end])]
    right = sum(named(program, run) is True for run in runs)
    return _summary(program.name, len(runs), said, limit, ends, right, [])


def _summary(
    name: str,
    runs: int,
    said: Sequence[float],
    limit: float,
    ends: Sequence[str],
    right: int,
    back: Sequence[float],
) -> dict[str, Any]:
    return {
        "stall": name,
        "runs": runs,
        "said": len(said),
        "in_time": sum(seconds <= limit for seconds in said),
        "said_s": figures(said),
        "limit_s": limit,
        "ends": dict(Counter(ends)),
        "right_ends": right,
        "back_s": figures(back),
        "back_in_time": sum(seconds <= detection.BACK_S for seconds in back),
    }


def row(one: dict[str, Any]) -> list[str]:
    """One row of the table."""
    said, back = one["said_s"], one["back_s"]
    return [
        one["stall"],
        *(str(one[key]) for key in ("runs", "said", "in_time")),
        *(shown(said.get(key)) for key in ("median", "p95", "max")),
        f"{one['limit_s']:.3g}",
        ",".join(map(str, one["ends"])) or "–",
        str(one["right_ends"]),
        *(shown(back.get(key)) for key in ("median", "p95")),
    ]


def kinds(arguments: argparse.Namespace, deadline: Deadline) -> list[dict[str, Any]]:
    """The summaries of the kinds, one after the other; of those only for which there is time."""
    found = []
    with server() as port:
        for kind in arguments.kinds:
            cell = detection.Cell(kind, arguments.step_s, arguments.runs, 2.0, port)
            if deadline.leaves(cell.takes_s):
                found.append(of_kind(cell, detection.measure(cell)))
                print(table(HEAD, [row(found[-1])]).partition("\n")[2], file=sys.stderr, flush=True)
    return found


def hangs(
    corpus: Corpus, arguments: argparse.Namespace, deadline: Deadline
) -> list[dict[str, Any]]:
    """The summaries of the programs of the corpus that hang, each run once."""
    running = Running()
    runs: dict[str, Run] = {}

    def do(program: Program, turn: int) -> None:
        budget_s = min(program.budget_s, LONGEST_S)
        if not deadline.leaves(budget_s):
            return
        corpus.start_services()
        given: dict[str, str | None] = {"--patience": PATIENCE_S, "--budget": f"{budget_s:g}"}
        runs[program.name] = one = go(program, corpus, turn, given, running)
        told = "not said" if one.said_s is None else f"said after {one.said_s:.1f} s"
        print(f"{program.name}: {told}", file=sys.stderr, flush=True)

    corpus.set_up()
    with corpus.services():
        chosen = [
            program
            for program in corpus.programs
            if program.truth == "hang" and not program.attaches and not corpus.missing(program)
            and program.name in (arguments.only or [program.name])
        ]  # fmt: skip
        try:
            side_by_side([(program, 0) for program in chosen], arguments.jobs, do)
        finally:
            running.end()
    return [of_program(one, [runs[one.name]]) for one in chosen if one.name in runs]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=5, help="of each kind, at once (5)")
    parser.add_argument("--jobs", type=int, default=4, help="programs of the corpus at once (4)")
    parser.add_argument(
        "--step-s", type=float, default=0.1, choices=list(detection.STEPS_BEFORE), help="(0.1)"
    )
    parser.add_argument("--minutes", type=float, help="start nothing that would end later")
    parser.add_argument(
        "--kinds", nargs="*", choices=KINDS, default=KINDS, help="these; none: the corpus alone"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these programs of the corpus")
    parser.add_argument("--work", type=Path, help="the folder of the copy of the corpus")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    deadline = Deadline(arguments.minutes)
    results = kinds(arguments, deadline)
    if arguments.folder is not None:
        with tempfile.TemporaryDirectory(prefix="harness-doubt-") as home:
            work = (arguments.work or Path(home)).resolve()
            corpus = Corpus(arguments.folder.resolve(), work)
            results += hangs(corpus, arguments, deadline)
    print(table(HEAD, [row(one) for one in results]))
    said, in_time = (sum(one[key] for one in results) for key in ("said", "in_time"))
    print(f"{said} said, {in_time} of them in time; {sum(one['runs'] for one in results)} runs")
    print(f"on {machine()}, {commit()}")
    save(arguments.out, "doubt", results)


if __name__ == "__main__":
    main()
