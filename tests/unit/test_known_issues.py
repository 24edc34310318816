"""The known issues: each one matches what it should, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import known_issue_samples as samples
import msgspec
import pytest

from harness.analysis.known_issues import catalog, versions
from harness.analysis.known_issues.catalog import Backend, KnownIssue, System
from harness.analysis.known_issues.match import Evidence, match
from harness.death.last_words import excerpt
from harness.model import (
    Environment,
    KnownIssueMatch,
    Outcome,
    Sameness,
    ScenarioResult,
)
from harness.report.known_issues import ENDED_WELL, with_known_issues
from harness.text.known_issues import describe

ISSUES = {issue.id: issue for issue in catalog.load()}
SAMPLES = samples.WAITS | samples.ERRORS


def machine(issue: KnownIssue, version: str | None) -> Environment:
    """A machine that has all that `issue` needs."""
    cuda = {"mlx-cuda-13": "0.32.4"} if Backend.CUDA in issue.backends else {}
    return Environment(
        platform="macOS 26.5" if System.MACOS in issue.systems else "Linux 6.18",
        machine="arm64",
        python="3.11.7",
        cpu_count=2,
        memory=2**34,
        versions={issue.package: version, **cuda},
    )


def result(issue: KnownIssue, **changes: Any) -> ScenarioResult:
    made = ScenarioResult(
        scenario="train",
        outcome=issue.outcomes[0],
        steps_requested=10,
        steps_completed=3,
        wall_s=1.0,
    )
    return msgspec.structs.replace(made, **changes)


def evidence(text: str, waits: bool) -> Evidence:
    other = "Traceback for thread 9 (python) [] (most recent call last):\n    (C) in poll"
    if waits:
        capture = f"{other}\n\n{text}\n"
        return Evidence(stacks=((capture, capture),))
    return Evidence(outputs=(f"step 3 loss 1.0\n{text}\n",))


def found(name: str, text: str, version: str | None, **changes: Any) -> set[str]:
    issue = ISSUES[name]
    told = evidence(text, name in samples.WAITS)
    return {one.id for one in match(result(issue, **changes), told, machine(issue, version))}


def test_each_issue_has_its_samples_and_they_are_forty_or_more():
    assert set(SAMPLES) == set(ISSUES)
    assert len(ISSUES) == len(catalog.load()) >= 40


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_an_issue_matches_what_shows_it_and_nothing_near(name: str):
    issue, sample = ISSUES[name], SAMPLES[name]
    assert name in found(name, sample.shows, sample.bad)
    assert name in found(name, sample.shows, None), "an unknown version does not hide it"
    assert name not in found(name, sample.nearly, sample.bad)
    assert name not in found(name, sample.shows, sample.bad, outcome=Outcome.COMPLETED)
    assert name not in found(name, "", sample.bad), "an outcome alone says nothing"
    if sample.good is not None:
        assert name not in found(name, sample.shows, sample.good)
    assert (sample.good is None) == (issue.fixed is None and issue.since is None)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_an_issue_matches_no_sample_of_another_one(name: str):
    issue = ISSUES[name]
    for other, sample in SAMPLES.items():
        if other == name or other in samples.ALSO.get(name, ()):
            continue
        told = evidence(sample.shows, other in samples.WAITS)
        for outcome in issue.outcomes:
            shown = match(result(issue, outcome=outcome), told, machine(issue, None), (issue,))
            assert not shown, other


@pytest.mark.parametrize("issue", catalog.load(), ids=lambda issue: issue.id)
def test_an_entry_is_whole(issue: KnownIssue):
    name, _, number = issue.id.partition("#")
    assert name == issue.package
    assert name in ("mlx", "mlx-lm")
    assert re.fullmatch(rf"https://github\.com/ml-explore/{name}/(pull|issues)/{number}", issue.url)
    assert bool(issue.wait_site) != bool(issue.error)
    for pattern in (*issue.wait_site, *filter(None, (issue.error,))):
        re.compile(pattern)
    for version in filter(None, (issue.since, issue.fixed)):
        assert versions.release(version) is not None
    if issue.since and issue.fixed:
        assert versions.concerns(issue, issue.since)
        assert not versions.concerns(issue, issue.fixed)
    assert not issue.title.endswith(".")
    assert issue.cure.endswith(".")
    assert all(len(sentence.split()) <= 25 for sentence in issue.cure.split(". "))


def test_releases_are_ordered_by_their_numbers():
    assert versions.release("0.32") == versions.release("0.32.0") == (0, 32)
    assert versions.release("0.9.1") < versions.release("0.32.0")  # type: ignore[operator]
    assert versions.release("0.32.1.post2+cpu") == (0, 32, 1)
    assert versions.release("0.32.0.dev20260427") is None, "a build before it may have the fix"
    assert versions.release(None) is None


def test_what_a_machine_lacks_hides_an_issue():
    issue = msgspec.structs.replace(
        ISSUES["mlx#4100"], systems=(System.MACOS,), backends=(Backend.METAL,)
    )
    mac = machine(issue, "0.32.0")
    assert versions.possible(issue, mac)
    assert not versions.possible(issue, msgspec.structs.replace(mac, platform="Linux 6.18"))
    cuda = msgspec.structs.replace(issue, systems=(), backends=(Backend.CUDA,))
    assert not versions.possible(cuda, mac)


def test_a_wait_that_is_over_in_the_second_look_is_not_the_issue():
    issue, sample = ISSUES["mlx#4100"], samples.WAITS["mlx#4100"]
    told = Evidence(stacks=((sample.shows, samples.stack("mlx::core::sin")),))
    assert match(result(issue), told, machine(issue, "0.32.0")) == ()


@pytest.mark.parametrize(
    "header",
    [
        "Traceback for thread {} (python) [] (most recent call last):",
        'Thread {} (idle): "MainThread"',
        'Thread {} (Thread 0x7f (LWP 7) "python"):',
        "    842 Thread_{}   DispatchQueue_1: com.apple.main-thread  (serial)",
    ],
)
def test_frames_of_two_threads_are_not_one_wait_site(header: str):
    issue = ISSUES["mlx-lm#1834"]
    server, evaluation = samples.WAITS["mlx-lm#1834"].shows.split("\n")[1:]
    text = f"{header.format(1)}\n{server}\n{header.format(2)}\n{evaluation}"
    apart = Evidence(stacks=((text,),))
    assert match(result(issue), apart, machine(issue, "0.31.3")) == ()
    together = Evidence(stacks=((f"{header.format(1)}\n{server}\n{evaluation}",),))
    assert match(result(issue), together, machine(issue, "0.31.3"))


HANDLED = samples.trace(error="RuntimeError: There is no Stream(cpu, 0) in current thread.")


def test_a_python_frame_is_known_in_the_form_of_each_tool():
    issue = ISSUES["mlx-lm#1834"]
    text = (
        'Thread 7 (idle): "Thread-2 (_generate)"\n    mlx::core::eval_impl (libmlx.dylib)\n'
        "    _generate (mlx_lm/server.py:803)\n    run (threading.py:975)\n"
    )
    assert match(result(issue), Evidence(stacks=((text, text),)), machine(issue, "0.31.3"))


def test_an_error_that_was_handled_is_not_the_last_word():
    later = "\n".join(f"step {step} loss 1.0" for step in range(60))
    assert "There is no Stream" not in excerpt(f"{HANDLED}\n{later}\nKilled")
    assert "There is no Stream" in excerpt(f"step 1\n{HANDLED}\nwarning: leaked semaphore")


def test_the_words_of_a_compiler_belong_to_the_message():
    compiler = "\n".join(
        f"/usr/include/math.h:{line}:9: note: candidate: 'int abs(int)'\n  {line} | int abs(int)"
        for line in range(60)
    )
    where = "/usr/include/math.h: In instantiation of 'int f(int)':"
    assert "There is no Stream" in excerpt(f"{HANDLED}\n{where}\n{compiler}\n")
    going_on = "\n".join(f"loss: {step}" for step in range(60))
    assert "There is no Stream" not in excerpt(f"{HANDLED}\n{going_on}\n")


def test_the_cause_of_an_exception_belongs_to_its_last_word():
    chain = (
        f"{HANDLED}\n\nDuring handling of the above exception, another exception occurred:\n\n"
        + samples.trace(*["own.py:a:b()"] * 30, error="ValueError: no batch")
    )
    assert "There is no Stream" in excerpt(chain)
    apart = f"{HANDLED}\ngoing on\n" + samples.trace(
        *["own.py:a:b()"] * 30, error="ValueError: no batch"
    )
    assert "There is no Stream" not in excerpt(apart)


def test_the_exception_of_an_ended_thread_is_a_last_word():
    later = "\n".join(f"waiting {step}" for step in range(60))
    told = excerpt(f"Exception in thread Thread-1 (work):\n{HANDLED}\n{later}")
    assert "There is no Stream" in told


def test_a_sentence_says_how_sure_it_is():
    known = KnownIssueMatch(
        id="mlx#4100",
        title="an integer power never ends",
        url="https://github.com/ml-explore/mlx/pull/4100",
        package="mlx",
        same=Sameness.WAIT_SITE,
        seen="binary_op",
        version="0.32.0",
        fixed="0.32.1",
        cure="Upgrade mlx.",
    )
    assert describe(known) == (
        "same wait site and version as mlx#4100 (an integer power never ends), fixed in mlx "
        "0.32.1: upgrade mlx"
    )
    unsure = msgspec.structs.replace(known, version=None, fixed=None, same=Sameness.ERROR)
    assert describe(unsure) == (
        "same error as mlx#4100 (an integer power never ends); the version of mlx is not known: "
        "upgrade mlx"
    )


def test_the_files_of_a_result_are_read(tmp_path: Path):
    issue, sample = ISSUES["mlx#4100"], samples.WAITS["mlx#4100"]
    stacks = tmp_path / "stacks"
    stacks.mkdir()
    for look in (1, 2):
        (stacks / f"{look}-pystack.txt").write_text(sample.shows)
    here = machine(issue, "0.32.0")
    (known,) = with_known_issues(result(issue), tmp_path, here).known_issues
    assert (known.id, known.same, known.version) == ("mlx#4100", Sameness.WAIT_SITE, "0.32.0")
    assert "detail::Power" in known.seen
    well = result(issue, outcome=Outcome.COMPLETED)
    assert with_known_issues(well, tmp_path, here) is well
    assert all(set(ENDED_WELL).isdisjoint(one.outcomes) for one in catalog.load())


def test_the_last_look_stands_for_stacks(tmp_path: Path):
    issue, sample = ISSUES["mlx#4100"], samples.WAITS["mlx#4100"]
    for look, text in ((9, samples.stack("mlx::core::sin")), (10, sample.shows)):
        home = tmp_path / "looks" / str(look)
        home.mkdir(parents=True)
        (home / "1-pystack.txt").write_text(text)
    here = machine(issue, "0.32.0")
    made = with_known_issues(result(issue, outcome=Outcome.UNFINISHED), tmp_path, here)
    assert [one.id for one in made.known_issues] == ["mlx#4100"]


def test_the_log_of_a_rank_is_read(tmp_path: Path):
    issue, sample = ISSUES["mlx#3652"], samples.ERRORS["mlx#3652"]
    home = tmp_path / "rank-1"
    home.mkdir()
    (home / "stderr.log").write_text(sample.shows)
    made = with_known_issues(result(issue), tmp_path, machine(issue, "0.31.2"))
    assert [one.id for one in made.known_issues] == ["mlx#3652"]
