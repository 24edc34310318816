"""Markers of many kinds wherever a worker can write; none of them in what is published."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import forked
import pytest

pytestmark = pytest.mark.waits

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit"))

from private_markers import MARKERS  # noqa: E402

HERE = {
    kind: value
    for kind, value in MARKERS.items()
    if "studio-7" not in value[0] and not kind.startswith("person's name")
}
"""Neither the name of this machine nor its user's in full can be chosen."""
PUBLISHED = ("run.json", "report.md", "report.html", "junit.xml")

SAY = """
import json, os, sys, threading
MARKERS = json.load(open(os.environ["MARKERS"]))
def say():
    for text in MARKERS:
        print("out", text)
        print("\\x1b[31merr\\x1b[0m", text, file=sys.stderr)
        print(json.dumps({"message": text}))
    sys.stdout.flush()
    for text in MARKERS:
        threading.Thread(target=threading.Event().wait, name=text, daemon=True).start()
"""
SCENARIO = (
    SAY
    + """
from baseline_update import make_step as make_baseline

def alice_password(*words, secret="password=Zq9Xw3Lk7"):
    happens()

def make_step(training):
    baseline = make_baseline(training)
    def step(*batch):
        if training.step == 1:
            for number, text in enumerate(MARKERS):
                training.check(text, 1.0, 2.0)
                training.phase(text)
        if training.step == 2:
            say()
            alice_password(*MARKERS)
        return baseline(*batch)
    return step
"""
)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "markers.json").write_text(json.dumps([text for text, _ in HERE.values()]))
    return tmp_path


def from_the_source(folder, *words, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return forked.harness(*words, folder=folder, environment=environment)


def harness(project, command, *arguments):
    done = from_the_source(
        project,
        *(command, "--json", "--out", project / "out", *arguments),
        MARKERS=str(project / "markers.json"),
        HOME="/home/alice",
        LOGNAME="asmith42",
        XDG_CACHE_HOME=str(project / "cache"),
        HF_TOKEN="hf_Zq9Xw3Lk7environment",
    )
    (folder,) = (project / "out").glob("*-*")
    return done, folder


def texts(done, folder):
    yield "--json", done.stdout
    for name in (*PUBLISHED, *(path.name for path in folder.glob("issue.md"))):
        yield name, (folder / name).read_text()


def found(done, folder, project):
    """What is left of the markers, and of this very folder, in what is published."""
    # What JSON escapes is the same text to whoever reads it.
    return {
        (kind, name)
        for name, text in texts(done, folder)
        for kind, (_, secrets) in {**HERE, "this folder": ("", (str(project),))}.items()
        for secret in secrets
        if secret in text or json.dumps(secret)[1:-1] in text
    }


def logs(folder):
    return "".join(path.read_text(errors="replace") for path in folder.glob("*/0/*.log"))


@pytest.mark.parametrize(
    ("happens", "outcome"),
    [
        ("raise ValueError(' '.join(MARKERS))", "crashed"),
        ("threading.Lock().acquire(); l = threading.Lock(); l.acquire(); l.acquire()", "hung"),
    ],
)
def test_no_marker_of_a_scenario_is_published(project, happens, outcome):
    doc = "\n".join(text for text, _ in HERE.values()).replace("\\", "\\\\")
    doc = doc.replace('"', '\\"')
    (project / "alice_mine.py").write_text(
        f'"""What alice@example.org does.\n\n{doc}\n"""\nimport threading\n'
        f"def happens():\n    {happens}\n" + SCENARIO
    )
    done, folder = harness(project, "run", "alice_mine.py")
    assert json.loads(done.stdout)["results"][0]["scenario"] == "user_mine"
    assert json.loads(done.stdout)["results"][0]["outcome"] == outcome, done.stderr
    assert HERE["password"][0] in logs(folder)  # it was really said
    assert found(done, folder, project) == set()
    again = from_the_source(project, "report", folder, "--json", "--issue")
    assert again.returncode == 0, again.stderr
    draft = (folder / "issue.md").read_text()
    # What was redacted in the source has not made it unreadable, and its logs were found.
    assert "# --- user_mine" in draft
    assert "End of stderr" in draft
    assert found(again, folder, project) == set()


def test_no_marker_of_a_watched_command_is_published(project):
    (project / "train.py").write_text(SAY + "say()\nraise SystemExit(' '.join(MARKERS))\n")
    words = ["--hf-token", "hf_Zq9Xw3Lk7abcdefghijklmnop", "--api-key=Zq9Xw3Lk7", "/home/bob/x"]
    done, folder = harness(project, "watch", "--", sys.executable, "train.py", *words)
    assert HERE["password"][0] in logs(folder)
    assert found(done, folder, project) == set()


def test_no_marker_of_a_process_that_is_attached_to_is_published(project):
    code = "def alice(password='Zq9Xw3Lk7'):\n    import time; time.sleep(1000)\nalice()"
    words = ["--hf-token", "hf_Zq9Xw3Lk7abcdefghijklmnop", "/home/bob/x", "alice@example.org"]
    process = subprocess.Popen([sys.executable, "-c", code, *words], cwd=project)
    try:
        done, folder = harness(project, "attach", str(process.pid), "--for", "1")
    finally:
        process.kill()
        process.wait()
    assert json.loads(done.stdout)["results"]
    assert found(done, folder, project) == set()


def test_everything_is_kept_on_demand_and_the_files_say_so(project):
    (project / "mine.py").write_text(
        "import threading\ndef happens():\n    raise ValueError('password=Zq9Xw3Lk7')\n" + SCENARIO
    )
    done, folder = harness(project, "run", "mine.py", "--full")
    document = json.loads(done.stdout)
    assert document["full"] is True
    assert "password=Zq9Xw3Lk7" in document["results"][0]["reason"]
    report = (folder / "report.md").read_text()
    assert "do not publish" in report.partition("##")[0]
    assert "do not publish" in (folder / "report.html").read_text()
    assert 'name="redacted" value="no"' in (folder / "junit.xml").read_text()
    assert from_the_source(project, "report", folder).returncode == 0
    assert "Zq9Xw3Lk7" not in (folder / "run.json").read_text()
    assert "do not publish" not in (folder / "report.md").read_text()
