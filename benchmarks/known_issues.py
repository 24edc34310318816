"""Known issues on the release that has them, and on one that has not.

    python benchmarks/known_issues.py [--cache FOLDER] [--only ISSUE ...] [--out FILE.json]
    python benchmarks/known_issues.py --page > docs/reference/known_issues.md
    python benchmarks/known_issues.py --elsewhere FOLDER ... [--out FILE.json]

Each program of `benchmarks/known_issue_programs.py` runs under `harness watch`, in an environment
of each release below --cache, which is made where it is missing: by uv where there is one, else by
venv and pip. Without --only, the summary is written below benchmarks/results.

--elsewhere looks at all runs below the folders, which have none of the issues. It names the results
that match one: with the versions that ran, and as if no version were known.

Measures: all match on the bad release. On the good one none matches, and none would if its version
were not known. None matches elsewhere.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import ROOT, save, table
from benchmarks.known_issue_programs import PROGRAMS, Program
from harness.analysis.known_issues.catalog import Kind, KnownIssue, load
from harness.analysis.known_issues.match import match
from harness.model import Environment, RunResult, ScenarioResult
from harness.report.known_issues import read

RESULTS = Path(__file__).with_name("results")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mlx-hang-harness"
BUDGET_S = 60
LATE_S = 300
"""Seconds in which a run that ended or spent its budget must have written its report."""
TITLES = ("issue", "bad", "seen there", "good", "seen there")


def environment(cache: Path, version: str) -> Path:
    """The Python of an environment that has this release of MLX, and what the harness needs."""
    home = cache / f"mlx-{version}"
    python = home / "bin" / "python"
    done = home / "complete"
    if done.exists():
        return python
    needed = [
        one
        for one in importlib.metadata.requires("mlx-hang-harness") or []
        if "extra ==" not in one.partition(";")[2]
    ]
    wanted = [f"mlx[cpu]=={version}", "numpy", *needed]
    shutil.rmtree(home, ignore_errors=True)
    if uv := shutil.which("uv"):
        _call(uv, "venv", "--quiet", "--python", sys.executable, str(home))
        _call(uv, "pip", "install", "--quiet", "--python", str(python), *wanted)
    else:
        _call(sys.executable, "-m", "venv", str(home))
        _call(str(python), "-m", "pip", "install", "--quiet", *wanted)
    done.touch()
    return python


def _call(*command: str) -> None:
    subprocess.run(command, check=True)


def run(program: Program, version: str, cache: Path) -> dict[str, Any]:
    """The verdict on a program under one release, and the known issues that it names."""
    python = environment(cache, version)
    with tempfile.TemporaryDirectory(prefix="known-issue-") as work:
        home = Path(work)
        (home / "program.py").write_text(program.source)
        command = [str(python), "-m", "harness", "watch", "--budget", str(BUDGET_S), "-q"]
        command += ["--out", str(home / "out"), "--", str(python), "program.py"]
        subprocess.run(
            command,
            cwd=home,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=BUDGET_S + LATE_S,
        )
        (file,) = home.glob("out/*/run.json")
        made = msgspec.json.decode(file.read_bytes(), type=RunResult, strict=False)
        (result,) = made.results
        # A fixed release never matches. That the signs are gone as well is what is to be shown.
        unknown = msgspec.structs.replace(made.environment, versions={})
        signs = match(result, read(file.parent / result.scenario / str(result.repeat)), unknown)
    ran = made.environment.versions.get("mlx")
    assert ran == version, f"mlx {ran} ran, and not {version}"
    return {
        "version": version,
        "outcome": result.outcome.value,
        "known_issues": [
            {"id": one.id, "same": one.same.value, "version": one.version, "seen": one.seen}
            for one in result.known_issues
        ],
        "signs": [one.id for one in signs],
    }


def reproduce(only: Sequence[str], cache: Path) -> list[dict[str, Any]]:
    rows = []
    for program in PROGRAMS:
        if only and program.issue not in only:
            continue
        bad, good = (run(program, version, cache) for version in (program.bad, program.good))
        shown = [one["id"] for one in bad["known_issues"]]
        right = shown == [program.issue] and not good["known_issues"] + good["signs"]
        rows.append({"issue": program.issue, "right": right, "bad": bad, "good": good})
        print(f"{program.issue}: {'right' if right else 'WRONG'}", file=sys.stderr, flush=True)
    return rows


def _seen(side: dict[str, Any]) -> str:
    issues = ", ".join(f"{one['id']} ({one['same']})" for one in side["known_issues"])
    return f"{side['outcome']}; {issues or 'no known issue'}"


# --- runs that have no known issue ---------------------------------------------------------------


def elsewhere(folders: Sequence[Path]) -> dict[str, Any]:
    """The results of all runs below `folders`, and those that match a known issue."""
    outcomes: Counter[str] = Counter()
    matched: list[str] = []
    for result, home, where in _results(folders):
        outcomes[result.outcome.value] += 1
        evidence = read(home)
        # Whatever ran, on whatever machine: what an issue's own signs alone would say.
        anywhere = tuple(msgspec.structs.replace(one, systems=(), backends=()) for one in load())
        unknown = msgspec.structs.replace(where, versions={})
        for how, found in (
            ("as it ran", match(result, evidence, where)),
            ("any version", match(result, evidence, unknown, anywhere)),
        ):
            matched += [f"{home}: {one.id}, {how}" for one in found]
    return {"results": outcomes.total(), "outcomes": dict(outcomes), "matched": matched}


def _results(folders: Sequence[Path]) -> Iterator[tuple[ScenarioResult, Path, Environment]]:
    seen = set()
    for folder in folders:
        for file in sorted(folder.rglob("run.json")):
            if file.parent.name in seen:
                continue  # a copy
            seen.add(file.parent.name)
            try:
                made = msgspec.json.decode(file.read_bytes(), type=RunResult, strict=False)
            except (OSError, msgspec.MsgspecError):
                continue
            for result in made.results:
                home = file.parent / result.scenario / str(result.repeat)
                if home.is_dir():
                    yield result, home, made.environment


# --- the page ------------------------------------------------------------------------------------

_PAGE = """# List of known issues

The harness compares each result with {number} public bugs and pitfalls of MLX and mlx-lm. A match
needs the same wait site or the same error. Where the version that ran is known, it must also be one
that has the issue. [Known issues](../guide/known_issues.md) says how a match reads.

This page is made from `harness/analysis/known_issues/known_issues.toml` by
`python benchmarks/known_issues.py --page`.
"""


def page() -> str:
    """The text of docs/reference/known_issues.md."""
    issues = load()
    parts = [_PAGE.format(number=len(issues))]
    for title, kind in (("Bugs", Kind.BUG), ("Pitfalls", Kind.PITFALL)):
        parts.append(f"## {title}\n")
        parts += [_entry(issue) for issue in issues if issue.kind is kind]
    return "\n".join(parts)


def _entry(issue: KnownIssue) -> str:
    signs = [f"`{one}`" for one in (*issue.wait_site, *filter(None, (issue.error,)))]
    sign = "wait site" if issue.wait_site else "error"
    needs = [*(one.value for one in (*issue.systems, *issue.backends))]
    lines = [
        f"### {issue.id}: {issue.title}\n",
        f"- address: <{issue.url}>",
        f"- releases of {issue.package}: {_range(issue)}",
        f"- outcome: {', '.join(one.value for one in issue.outcomes)}",
        *([f"- needs: {', '.join(needs)}"] if needs else []),
        f"- {sign}: {' and '.join(signs)}",
        f"- cure: {issue.cure}",
    ]
    return "\n".join(lines) + "\n"


def _range(issue: KnownIssue) -> str:
    since = f"{issue.since} and later" if issue.since else "all"
    if issue.fixed is None:
        return since
    return f"{issue.since} to before {issue.fixed}" if issue.since else f"before {issue.fixed}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--elsewhere", type=Path, nargs="+")
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    if arguments.page:
        print(page(), end="")
        return 0
    if arguments.elsewhere:
        looked = elsewhere(arguments.elsewhere)
        print(json.dumps(looked, indent=1))
        save(arguments.out, "known_issues_elsewhere", looked)
        return 1 if looked["matched"] else 0
    rows = reproduce(arguments.only, arguments.cache)
    cells = [
        (row["issue"], row["bad"]["version"], _seen(row["bad"]), row["good"]["version"],
         _seen(row["good"]))
        for row in rows
    ]  # fmt: skip
    right = sum(row["right"] for row in rows)
    print(table(TITLES, cells), f"{right} of {len(rows)} right", sep="\n")
    out = arguments.out
    if out is None and not arguments.only:
        out = RESULTS / "known_issues-linux-2cpu.json"
    save(out, "known_issues", {"right": right, "of": len(rows), "rows": rows})
    return 0 if right == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
