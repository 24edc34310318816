"""The verdicts on programs of which it is known whether they hang, and what they wait for.

    python benchmarks/situations.py FOLDER [--jobs 6] [--repeat 1] [--patience S] [--budget S]
                                    [--spinners N] [--only NAME ...] [--check] [--out FILE.json]
                                    [--work FOLDER] [--mac [--refuse SOURCE ...]]
                                    [--limit SECONDS] [--heavy NAME ...]

`benchmarks/corpus.py` says how such a folder looks. It is copied and set up below --work, where
each run has a folder of its own. A program that needs what this machine lacks is skipped, and the
summary says why; --check says it without a run. Each run that has ended is kept at once in --work,
so that the same command goes on where another one was interrupted. One program never runs twice at
the same time, as its runs could meet. With --budget, each run is cut short, in the midst of what it
waits for: a healthy one is then right too if it is unfinished; or hung, not proven and with the
right end, if it waits for something outside. That end is right as well with --patience 0. With
--mac the harness runs on the simulated Mac. With --limit, no run begins that might last longer.

Without --only, the summary is written below benchmarks/results.

Measures: no healthy program is ended, nothing is proven that is not dead, at least 66 of 69 right,
and at least 90 % of the ends of chains named rightly.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import simulated_mac
from benchmarks.common import Deadline, commit, figures, interrupted_once, machine, save, table
from benchmarks.corpus import Corpus, Program
from benchmarks.false_hangs import spinners
from benchmarks.situation_run import Run, Running, go
from harness.detect.chain.links import ALIVE, LOST

RESULTS = Path(__file__).with_name("results")
CERTAIN = {end.value for end in LOST}
LIVES = {end.value for end in ALIVE} | {"stopped", "traced"}
BESIDE_S = 25.0
"""That a run takes beside its budget, on a quiet machine."""
HEAVY = 4
"""Places of others that a program takes which computes for all of its time."""
HEAD = ("truth, end", "programs", "runs", "right", "ended", "proven", "end named", "s")


def excused(program: Program, run: Run, cut: bool, hasty: bool) -> bool:
    """A healthy one is called hung for the right end, which does not end by itself for certain.

    `cut`: its budget was short, and it may wait for nothing else; or it is stopped when that ends.
    `hasty`: it had no patience.
    """
    if cut and run.cause == "stopped":
        return program.truth == "healthy" and "stopped" in program.ends
    ends = {*program.ends} if cut else {*([run.end] if run.end else run.doubted)}
    soon = (cut or hasty) and program.truth == "healthy" and run.outcome == "hung"
    return soon and not LIVES & ends and not run.proven and named(program, run) is True


def right(program: Program, run: Run, cut: bool = False, hasty: bool = False) -> bool:
    """The verdict is the one that was wanted; `cut`: its budget was short; `hasty`: it had no
    patience."""
    if cut and program.truth == "healthy" and run.outcome == "unfinished":
        return True
    if program.truth == "healthy":
        wanted = run.outcome == program.wanted or excused(program, run, cut, hasty)
        return wanted and not run.harmed
    if program.truth == "hang":
        return run.outcome == "hung"
    return run.outcome is not None and not (program.truth == "notproven" and run.proven)


def ended(program: Program, run: Run, cut: bool = False, hasty: bool = False) -> bool:
    """A healthy one was taken for hung, or harmed by being looked at."""
    hung = run.outcome == "hung" and not excused(program, run, cut, hasty)
    return program.truth == "healthy" and (hung or run.harmed)


def wrongly_proven(program: Program, run: Run) -> bool:
    """A proof of what is not dead."""
    return run.proven and (program.truth != "hang" or not CERTAIN & {*program.ends})


def named(program: Program, run: Run) -> bool | None:
    """The end that was named is a right one; None where none was named, or none is known."""
    ends = [run.end] if run.end else run.doubted
    return {*ends} <= {*program.ends} if ends and program.ends else None


# -- the runs that are kept


class Journal:
    """The runs that have ended, one a line, behind a line of what they have in common."""

    def __init__(self, file: Path, conditions: dict[str, Any]) -> None:
        self.file = file
        self.runs: list[Run] = []
        if file.exists():
            first, *rest = file.read_text().splitlines()
            before = json.loads(first)
            if differs := [key for key in conditions if before.get(key) != conditions[key]]:
                raise SystemExit(
                    f"{file} has runs with another {', '.join(differs)}: remove it to begin anew"
                )
            self.runs = [msgspec.json.decode(line, type=Run) for line in rest]
        else:
            file.write_text(json.dumps(conditions) + "\n")

    def add(self, run: Run) -> None:
        self.runs.append(run)
        with self.file.open("ab") as out:
            out.write(msgspec.json.encode(run) + b"\n")

    def has(self, program: Program, turn: int) -> bool:
        return any((run.program, run.turn) == (program.name, turn) for run in self.runs)


Task = tuple[Program, int]


def side_by_side(
    tasks: Sequence[Task],
    jobs: int,
    do: Callable[[Program, int], None],
    heavy: Collection[str] = (),
) -> None:
    """Do all tasks, so many at once, those of one program one after the other. One of the programs
    `heavy` takes the places of `HEAVY`.

    Raises the first exception that one of them raised.
    """
    # The long ones first, so that none of them is left to run alone at the end.
    pending = sorted(tasks, key=lambda task: (task[0].name not in heavy, -task[0].budget_s))
    busy: set[str] = set()
    changed = threading.Condition()
    failed: list[BaseException] = []

    def fits(name: str) -> bool:
        taken = sum(HEAVY if one in heavy else 1 for one in (*busy, name))
        return name not in busy and (taken <= jobs or not busy)

    def lane() -> None:
        while True:
            with changed:
                while not (free := [task for task in pending if fits(task[0].name)]):
                    if not pending:
                        return
                    changed.wait()
                task = free[0]
                pending.remove(task)
                busy.add(task[0].name)
            try:
                do(*task)
            except BaseException as error:
                failed.append(error)
                pending.clear()
            finally:
                with changed:
                    busy.discard(task[0].name)
                    changed.notify_all()

    lanes = [threading.Thread(target=lane, daemon=True) for _ in range(jobs)]
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join()
    for error in failed:
        raise error


# -- what comes of it


def row(title: str, programs: Sequence[dict[str, Any]]) -> list[str]:
    runs, ends = (sum(program[key] for program in programs) for key in ("runs", "ends_named"))
    seconds = [program["wall_s"]["median"] for program in programs]
    return [
        title,
        str(len(programs)),
        *(str(value) for value in (runs, sum(program["right"] for program in programs))),
        *(str(sum(program[key] for program in programs)) for key in ("ended", "proven")),
        f"{sum(program['ends_right'] for program in programs)} of {ends}" if ends else "–",
        f"{max(seconds):.0f}",
    ]


def summary(
    program: Program, runs: Sequence[Run], cut: bool = False, hasty: bool = False
) -> dict[str, Any]:
    """Counts of the runs of one program."""
    ends = [answer for run in runs if (answer := named(program, run)) is not None]
    wrong = [
        run for run in runs if not right(program, run, cut, hasty) or wrongly_proven(program, run)
    ]
    return {
        "program": program.name,
        "truth": program.truth,
        "kind": program.kind,
        "wanted": program.wanted,
        "runs": len(runs),
        "right": sum(right(program, run, cut, hasty) for run in runs),
        "got": dict(Counter(run.verdict for run in runs)),
        "ended": sum(ended(program, run, cut, hasty) for run in runs),
        "proven": sum(run.proven for run in runs),
        "wrongly_proven": sum(wrongly_proven(program, run) for run in runs),
        "ends": dict(Counter(run.end or " ".join(run.doubted) or "none" for run in runs)),
        "ends_named": len(ends),
        "ends_right": sum(ends),
        "left": sum(bool(run.left) for run in runs),
        "blind": sum(run.blind for run in runs),
        "wall_s": figures([run.wall_s for run in runs]),
        "wrong": [f"{run.verdict}: {run.says}" for run in wrong],
    }


def show(summaries: Sequence[dict[str, Any]], skipped: dict[str, str]) -> None:
    """Print the table, then each wrong verdict and each program that was skipped."""
    kinds = sorted({(program["truth"], program["kind"]) for program in summaries})
    rows = [
        row(
            f"{truth}, {kind}",
            [
                program
                for program in summaries
                if (program["truth"], program["kind"]) == (truth, kind)
            ],
        )
        for truth, kind in kinds
    ]
    if rows:
        print(table(HEAD, [*rows, row("all", summaries)]))
    for program in summaries:
        for text in program["wrong"]:
            print(f"{program['program']}: {program['wanted']} is right, not {text}")
    for name, lack in skipped.items():
        print(f"{name} is skipped: {lack}")
    count = sum(program["right"] == program["runs"] for program in summaries)
    print(f"{count} of {len(summaries)} programs right in each run, {len(skipped)} skipped")
    print(f"on {machine()}, {commit()}")


def soon(arguments: argparse.Namespace) -> tuple[bool, bool]:
    """True for runs that are cut short, and for those without patience."""
    return arguments.budget is not None, arguments.patience is not None and not float(
        arguments.patience
    )


def measure(
    corpus: Corpus,
    chosen: Sequence[Program],
    journal: Journal,
    arguments: argparse.Namespace,
    harness: Sequence[str],
) -> None:
    """Make the runs that the journal does not have yet."""
    running = Running()
    limit = Deadline(None if arguments.limit is None else arguments.limit / 60)
    stopped = threading.Event()

    def do(program: Program, turn: int) -> None:
        if stopped.is_set():
            return
        if not limit.leaves(BESIDE_S + float(arguments.budget or program.budget_s)):
            print(f"left out  {program.name}: there is no time for it", flush=True)
            return
        corpus.start_services()
        given = {"--patience": arguments.patience, "--budget": arguments.budget}
        run = go(program, corpus, turn, given, running, harness)
        if stopped.is_set():
            return
        journal.add(run)
        answer = "right" if right(program, run, *soon(arguments)) else "WRONG"
        print(f"{answer}  {program.name}: {run.verdict} in {run.wall_s:.0f} s", flush=True)

    tasks = [
        (program, turn)
        for turn in range(arguments.repeat)
        for program in chosen
        if not journal.has(program, turn)
    ]
    with spinners(arguments.spinners) if arguments.spinners else nullcontext():
        try:
            side_by_side(tasks, arguments.jobs, do, arguments.heavy)
        except KeyboardInterrupt:
            print("interrupted: what has ended is kept")
        finally:
            stopped.set()
            running.end()


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=6, help="runs at once (6)")
    parser.add_argument(
        "--heavy", nargs="+", default=(), metavar="NAME",
        help=f"programs that compute: they begin first, and take the places of {HEAVY} each",
    )  # fmt: skip
    parser.add_argument("--repeat", type=int, default=1, help="runs of each program (1)")
    parser.add_argument("--patience", help="seconds (the default of each command)")
    parser.add_argument("--budget", help="seconds (the label of each program)")
    parser.add_argument("--spinners", type=int, default=0, help="processes that take a core each")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these programs")
    parser.add_argument("--check", action="store_true", help="say what is missing, run nothing")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--limit", type=float, help="seconds in which all runs end")
    simulated_mac.add_options(parser)
    arguments = parser.parse_args(argv)
    if arguments.work is None:
        arguments.work = Path(tempfile.gettempdir()) / f"harness-situations-{os.getuid()}"
    return arguments


def label(arguments: argparse.Namespace) -> str:
    """The name of the conditions, in names of files: `linux-2cpu-patience-0`."""
    given = [f"{sys.platform}-{os.cpu_count()}cpu"]
    given += [f"patience-{arguments.patience}"] * (arguments.patience is not None)
    given += [f"budget-{arguments.budget}"] * (arguments.budget is not None)
    given += [f"spinners-{arguments.spinners}"] * bool(arguments.spinners)
    return "-".join([*given, *simulated_mac.label(arguments)])


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parsed(argv)
    interrupted_once()
    folder = arguments.work.resolve() / label(arguments)
    corpus = Corpus(arguments.folder.resolve(), folder)
    names = {program.name for program in corpus.programs}
    if unknown := {*(arguments.only or ()), *arguments.heavy} - names:
        raise SystemExit(f"no such program: {', '.join(sorted(unknown))}; use: {sorted(names)}")
    chosen = [program for program in corpus.programs if program.name in (arguments.only or names)]
    corpus.set_up()
    harness = simulated_mac.harness(arguments, folder)
    conditions = {
        "commit": commit(),
        "machine": machine(),
        "patience": arguments.patience,
        "budget": arguments.budget,
        "spinners": arguments.spinners,
        "jobs": arguments.jobs,
        "mac": arguments.mac,
        "refused": list(simulated_mac.refused(arguments)),
    }
    with corpus.services():
        skipped = {program.name: lack for program in chosen if (lack := corpus.missing(program))}
        if arguments.check:
            for name, lack in skipped.items():
                print(f"{name}: {lack}")
            print(f"{len(chosen) - len(skipped)} of {len(chosen)} programs can run here")
            return
        journal = Journal(folder / "runs.jsonl", conditions)
        measure(
            corpus,
            [program for program in chosen if program.name not in skipped],
            journal,
            arguments,
            harness,
        )
    summaries = [
        summary(program, runs, *soon(arguments))
        for program in chosen
        if (runs := [run for run in journal.runs if run.program == program.name])
    ]
    show(summaries, skipped)
    out = arguments.out
    if out is None and not arguments.only:
        out = RESULTS / f"situations-{label(arguments)}.json"
    shared = {key: value for key, value in conditions.items() if key not in ("commit", "machine")}
    save(out, "situations", {**shared, "programs": summaries, "skipped": skipped})


if __name__ == "__main__":
    main()
