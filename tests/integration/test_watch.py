"""Any command under `harness watch`: as if started directly, and judged like a scenario."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import forked
import psutil
import pytest
from pty_session import Session
from trial import ROOT, until

pytestmark = pytest.mark.waits

WATCH = [sys.executable, "-m", "harness", "watch", "--out", "reports"]
STEPS = "for i in 1 2 3 4 5; do echo step $i loss 2.$i; sleep 0.1; done"


@pytest.fixture(autouse=True)
def from_the_source(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def watch(tmp_path, *argv, options=()):
    return forked.harness(*WATCH[3:], *options, "--", *argv, folder=tmp_path)


def result(tmp_path):
    (file,) = tmp_path.glob("reports/*/run.json")
    (one,) = json.loads(file.read_text())["results"]
    return one


def codes(one):
    return {finding["code"] for finding in one["findings"]}


@pytest.fixture
def session(tmp_path):
    sessions = []

    def start(*argv, options=()):
        sessions.append(Session([*WATCH, *options, "--", *argv], str(tmp_path)))
        return sessions[-1]

    yield start
    for one in sessions:
        one.close()


# --- through pipes -------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_empty_ones(tmp_path, closed):
    command = f"{shlex.join([*WATCH, '--', 'sh', '-c', 'cat; exit 7'])} {closed}"
    ran = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 7, ran.stderr
    assert result(tmp_path)["exit_code"] == 7


def test_its_output_input_and_exit_code_are_the_commands_own(tmp_path):
    code = "import sys; print(sys.stdin.read().upper()); print('err', file=sys.stderr); sys.exit(7)"
    ran = subprocess.run(
        [*WATCH, "--", sys.executable, "-c", code],
        cwd=tmp_path, input="hello", capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (7, "HELLO\n")
    assert ran.stderr.startswith("err\n")
    one = result(tmp_path)
    assert (one["outcome"], one["exit_code"]) == ("crashed", 7)


BOTH = """
import sys
for i in range(50):
    print("step", i, "loss", 2 - i / 100)
    print("err", i, file=sys.stderr)
"""


def test_both_outputs_in_one_keep_their_order(tmp_path):
    ran = subprocess.run(
        [*WATCH, "--", sys.executable, "-c", BOTH],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = [line for i in range(50) for line in (f"step {i} loss {2 - i / 100}", f"err {i}")]
    assert ran.stdout.splitlines()[:100] == lines
    assert result(tmp_path)["steps_completed"] == 50


def test_outputs_that_go_to_two_places_stay_apart(tmp_path):
    ran = watch(tmp_path, sys.executable, "-c", BOTH)
    assert ran.stdout.splitlines() == [f"step {i} loss {2 - i / 100}" for i in range(50)]
    assert ran.stderr.splitlines()[:50] == [f"err {i}" for i in range(50)]
    (log,) = tmp_path.glob("reports/*/*/0/stderr.log")
    assert log.read_text().splitlines() == ran.stderr.splitlines()[:50]


def test_a_signal_is_told_as_a_shell_tells_it(tmp_path):
    assert watch(tmp_path, "sh", "-c", "kill -SEGV $$").returncode == 128 + signal.SIGSEGV
    assert result(tmp_path)["signal"] == "SIGSEGV"


def test_a_command_that_does_not_exist_is_one_that_failed(tmp_path):
    ran = watch(tmp_path, "no-such-program")
    assert ran.returncode == 127
    assert "no-such-program" in ran.stderr
    assert result(tmp_path)["reason"] == "the program no-such-program was not found"


def test_a_command_line_in_one_text_is_no_program(tmp_path):
    ran = watch(tmp_path, "echo hi; echo there")
    assert ran.returncode == 127
    assert result(tmp_path)["reason"] == (
        "the program echo hi; echo there was not found; a command line that is one text is run "
        "by a shell: sh -c '...'"
    )


def test_what_cannot_be_executed_is_told_as_a_shell_tells_it(tmp_path):
    (tmp_path / "folder").mkdir()
    ran = watch(tmp_path, "./folder")
    assert ran.returncode == 126
    assert result(tmp_path)["reason"] == "the program ./folder cannot be executed"


def test_a_script_that_names_no_interpreter_is_run_by_sh(tmp_path):
    script = tmp_path / "train"
    script.write_text("echo $# $2; exit 5\n")
    script.chmod(0o755)
    ran = watch(tmp_path, "./train", "a", "b c", options=["-q"])
    assert (ran.returncode, ran.stdout) == (5, "2 b c\n")


@pytest.mark.parametrize(("code", "returned"), [("own", 3), ("verdict", 1)])
def test_the_exit_code_is_chosen(tmp_path, code, returned):
    options = ["--exit-code", code]
    assert watch(tmp_path, "sh", "-c", "exit 3", options=options).returncode == returned


def test_a_divergence_overrules_its_exit_code(tmp_path):
    script = "for i in 1 2 3; do echo step $i loss 2.0; done; echo step 4 loss nan; exit 0"
    assert watch(tmp_path, "sh", "-c", script).returncode == 1
    assert result(tmp_path)["outcome"] == "diverged"


def test_a_doubt_is_kept_though_its_command_ends_at_once(tmp_path):
    code = (
        "import os, time\n"
        "for step in range(5): print(f'step {step} loss 2.0', flush=True)\n"
        "while not os.path.exists('told'): time.sleep(0.01)\n"
    )
    told = ("--notify", "sh -c 'cat > told'", "--budget", "240")
    done = watch(tmp_path, sys.executable, "-c", code, options=told)
    assert done.returncode == 0, done.stderr
    one = result(tmp_path)
    (doubt,) = one["doubts"]
    assert (one["outcome"], doubt["end"]["kind"]) == ("completed", "polls")
    assert doubt["taken_back_s"] > doubt["said_s"]


def test_its_steps_are_those_that_it_prints(tmp_path):
    ran = watch(tmp_path, "sh", "-c", STEPS)
    assert ran.returncode == 0
    one = result(tmp_path)
    assert (one["steps_completed"], one["last_step"]) == (5, 5)
    assert one["metrics"]["loss"] == {
        "first": 2.1, "last": 2.5, "min": 2.1, "max": 2.5, "finite": True
    }  # fmt: skip
    assert "steps_printed" in codes(one)
    report = next(tmp_path.glob("reports/*/report.md")).read_text()
    assert "plain text, found in 5 of 5 lines" in report


LOOP = "for i in $(seq 1 {}); do echo step $i/20 loss 2.$i; sleep 0.02; done; echo {}"


@pytest.mark.parametrize(
    ("last", "says", "outcome"),
    [
        (8, "Saved final weights", "unfinished"),
        (8, "Early stopping", "completed"),
        (20, "Saved final weights", "completed"),
    ],
)
def test_a_total_that_is_not_reached_is_told(tmp_path, last, says, outcome):
    done = watch(tmp_path, "sh", "-c", LOOP.format(last, says))
    one = result(tmp_path)
    assert (done.returncode, one["outcome"]) == (0, outcome)
    assert ("ended_early" in codes(one)) == (outcome == "unfinished")
    if outcome == "unfinished":
        assert "after 8 of 20 steps" in one["reason"]


def test_the_figures_of_a_log_are_in_the_results(tmp_path):
    watch(tmp_path, "sh", "-c", "for i in 1 2 3 4; do echo step $i loss 2.$i grad_norm nan; done")
    one = result(tmp_path)
    (norm,) = one["metrics"]["figures"]
    assert (norm["name"], norm["reads"], norm["not_finite"]) == ("grad_norm", 4, 4)
    assert one["outcome"] == "diverged"


def test_a_pattern_of_ones_own(tmp_path):
    script = "for i in 1 2 3; do echo '>>' $i '~' 0.$i; done"
    pattern = r">> (?P<step>\d+) ~ (?P<loss>\S+)"
    watch(tmp_path, "sh", "-c", script, options=["--pattern", pattern])
    assert result(tmp_path)["metrics"]["loss"]["last"] == 0.3


def test_a_pattern_that_takes_for_ever_is_refused_before_anything_starts(tmp_path):
    options = ["--pattern", r"(?:a|aa)+(?P<step>!)"]
    run = watch(tmp_path, "touch", str(tmp_path / "started"), options=options)
    assert run.returncode == 2
    assert "pattern (?:a|aa)+(?P<step>!): it takes for ever" in run.stderr
    assert not (tmp_path / "started").exists()


def test_a_pattern_that_proves_slow_is_given_up_and_the_command_runs_on(tmp_path):
    lines = "for i in 1 2 3; do echo loss $i; done; for i in $(seq 100); do echo loss 1$A; done"
    script = f"A={'a' * 200}; {lines}; sleep 1; exit 3"
    pattern = r"^loss (?P<loss>\d+)(?:(?:a|aa)+!)?$"
    run = watch(tmp_path, "sh", "-c", script, options=["--pattern", pattern])
    assert f"the pattern {pattern} is too slow and is not used any more" in run.stdout + run.stderr
    one = result(tmp_path)
    assert (one["outcome"], one["exit_code"]) == ("crashed", 3)
    assert one["steps_completed"] == 3
    assert {"steps_printed", "output_skipped"} <= codes(one)


def test_without_a_step_it_is_watched_from_outside(tmp_path):
    assert watch(tmp_path, "echo", "nothing").returncode == 0
    one = result(tmp_path)
    assert (one["outcome"], one["steps_completed"]) == ("completed", 0)
    assert "no_steps_seen" in codes(one)


def test_json_has_stdout_to_itself(tmp_path):
    ran = watch(tmp_path, "sh", "-c", STEPS, options=["--json"])
    assert json.loads(ran.stdout)["results"][0]["steps_completed"] == 5
    assert "step 5 loss 2.5" in ran.stderr


@pytest.mark.parametrize("argv", [[], ["--"]])
def test_a_command_is_needed(tmp_path, argv):
    ran = forked.harness(*WATCH[3:], *argv, folder=tmp_path)
    assert ran.returncode == 2
    assert "harness watch -- COMMAND" in ran.stderr


def test_a_reader_that_goes_away_ends_it_as_it_would_end_the_command(tmp_path):
    ran = subprocess.run(
        f"{' '.join(WATCH)} -- yes | head -n 2", shell=True, cwd=tmp_path, capture_output=True
    )
    assert ran.stdout == b"y\ny\n"
    assert result(tmp_path)["signal"] == "SIGPIPE"


def test_what_it_leaves_behind_ends_with_it(tmp_path):
    script = "sleep 1000 & echo $! > pid"
    assert watch(tmp_path, "sh", "-c", script).returncode == 0
    pid = int((tmp_path / "pid").read_text())
    assert until(lambda: not psutil.pid_exists(pid))
    assert "left_behind" in codes(result(tmp_path))


def test_what_ends_with_it_by_itself_may_do_so(tmp_path):
    """As Python's resource tracker, which removes what was left in shared memory."""
    code = (
        "import time; from multiprocessing import shared_memory; "
        "print(shared_memory.SharedMemory(create=True, size=10).name); time.sleep(1)"
    )
    ran = watch(tmp_path, sys.executable, "-c", code)
    assert not Path("/dev/shm", ran.stdout.strip()).exists()
    assert "left_behind" not in codes(result(tmp_path))


def test_a_fork_deadlock_is_proven(tmp_path):
    ran = watch(tmp_path, sys.executable, ROOT / "tests/victims/foreign_deadlock.py")
    assert ran.returncode == 1
    one = result(tmp_path)
    assert (one["outcome"], one["cause"]["code"]) == ("hung", "deadlock")
    assert (one["last_step"], one["cause"]["proven"]) == (4, True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the timeout of the sleep")
def test_what_sleeps_for_less_than_a_minute_is_no_hang(tmp_path):
    """Its timeout counts from its begin: when it is in doubt, half of it is over."""
    ran = watch(tmp_path, "sh", "-c", "sleep 45; echo done")
    assert (ran.returncode, ran.stdout) == (0, "done\n")
    assert result(tmp_path)["outcome"] == "completed"


@pytest.mark.slow
def test_a_log_of_every_tenth_step_neither_looks_like_a_hang_nor_hides_one(tmp_path):
    code = """
import time
for step in range(1, 31):
    time.sleep(0.4)
    if step % 10 == 0:
        print(f"step {step} loss {3 - step / 100}", flush=True)
time.sleep(10_000)
"""
    ran = watch(tmp_path, sys.executable, "-c", code, options=("--patience", "20"))
    one = result(tmp_path)
    assert (ran.returncode, one["outcome"], one["last_step"]) == (1, "hung", 30)
    assert one["stalled_at_s"] > 11
    assert 0.2 < one["metrics"]["step_s"]["median"] < 4


def test_an_interrupt_goes_to_the_command(tmp_path):
    code = """
import time
try:
    print("ready", flush=True)
    time.sleep(1000)
except KeyboardInterrupt:
    print("saved", flush=True)
    raise SystemExit(5)
"""
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    harness = subprocess.Popen([*WATCH, "--", sys.executable, "-c", code], cwd=tmp_path, **pipes)
    assert harness.stdout.readline() == b"ready\n"
    harness.send_signal(signal.SIGINT)
    out, _ = harness.communicate()
    assert (harness.returncode, out) == (5, b"saved\n")
    assert result(tmp_path)["outcome"] == "unfinished"


def test_a_signal_that_announces_the_end_of_a_job_goes_to_the_command(tmp_path):
    """As of a cluster's scheduler, which sends it to who was started by it."""
    code = """
import signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(5))
print("ready", flush=True)
time.sleep(1000)
"""
    harness = subprocess.Popen(
        [*WATCH, "--", sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE
    )
    assert harness.stdout.readline() == b"ready\n"
    harness.send_signal(signal.SIGUSR1)
    harness.communicate()
    assert (harness.returncode, result(tmp_path)["outcome"]) == (5, "crashed")


def test_a_hang_that_an_inner_harness_has_seen_is_a_hang(tmp_path):
    code = "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()"
    inner = [*WATCH[:-1], "inner", "--", sys.executable, "-c", code]
    done = watch(tmp_path, *inner)
    assert done.returncode == 1
    found = result(tmp_path)
    assert (found["outcome"], found["cause"]["code"]) == ("hung", "deadlock")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_request_ends_what_does_not_listen(tmp_path, number):
    code = "trap '' INT TERM; echo ready; while true; do sleep 0.1; done"
    harness = subprocess.Popen(
        [*WATCH, "--", "sh", "-c", code], cwd=tmp_path, stdout=subprocess.PIPE
    )
    assert harness.stdout.readline() == b"ready\n"
    harness.send_signal(number)
    assert until(lambda: not (harness.send_signal(number) or harness.poll() is None))
    harness.communicate()
    assert result(tmp_path)["outcome"] == "unfinished"


def test_the_harness_killed_takes_the_command_with_it(tmp_path):
    code = "echo $$; sleep 1000"
    harness = subprocess.Popen(
        [*WATCH, "--", "sh", "-c", code], cwd=tmp_path, stdout=subprocess.PIPE
    )
    pid = int(harness.stdout.readline())
    harness.kill()
    harness.communicate()
    assert until(lambda: not psutil.pid_exists(pid))
    (folder,) = (tmp_path / "reports").glob("*-*")
    assert forked.harness("report", folder, folder=tmp_path).returncode == 0
    assert "interrupted" in (folder / "report.md").read_text()


# --- in a terminal -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        "printf 'a\\rb\\033[31mred\\033[0m\\n'; printf 'no end'",
        "stty size; test -t 0 && test -t 1 && test -t 2 && echo terminal",
        "printf '\\200\\377\\n'; seq 1 2000",
    ],
)
def test_a_terminal_shows_the_same_as_without_us(tmp_path, session, script):
    bare = Session(["sh", "-c", script], str(tmp_path))
    assert bare.end() == 0
    watched = session("sh", "-c", script, options=["--quiet"])
    assert watched.end() == 0
    assert watched.output.startswith(bare.output)
    bare.close()


LOOKS_LATE = """
import selectors, time
class Late(selectors.DefaultSelector):
    def __init__(self):
        time.sleep(1)
        super().__init__()
selectors.DefaultSelector = Late
"""
"""A harness that the machine lets look at its command only when that has written everything."""


@pytest.mark.parametrize("redirected", ["", "2>log", "2>&1 2>/dev/null", ">log"])
def test_a_program_that_ends_its_lines_itself_is_shown_as_without_us(
    tmp_path, redirected, monkeypatch
):
    (tmp_path / "sitecustomize.py").write_text(LOOKS_LATE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    script = "stty -opost </dev/tty; printf 'a\\nb\\n' >&{}; stty opost </dev/tty; echo over >&{}"
    where = 2 if redirected == ">log" else 1
    code = f'sh -c "{script.format(where, where)}" {redirected}'
    bare = Session(["sh", "-c", code], str(tmp_path))
    assert bare.end() == 0
    watched = Session(["sh", "-c", f"{' '.join(WATCH)} --quiet -- {code}"], str(tmp_path))
    assert watched.end() == 0
    assert b"a\nb\n" in bare.output
    assert watched.output.startswith(bare.output)
    bare.close()
    watched.close()


@pytest.mark.parametrize("through", ["| cat", "2>&1 >/dev/tty | cat"])
def test_a_program_behind_us_ends_its_lines_as_ever(tmp_path, through):
    where = 1 if through == "| cat" else 2
    script = f"printf '1\\n2\\n' >&{where}; read name; printf 'hello %s\\n' $name >&{where}"
    piped = f"{' '.join(WATCH)} --quiet -- sh -c {shlex.quote(script)} {through}"
    terminal = Session(["sh", "-c", piped], str(tmp_path))
    terminal.until(b"1\r\n2\r\n")
    terminal.type(b"you\r")
    terminal.until(b"hello you\r\n")
    assert terminal.end() == 0
    terminal.close()


@pytest.mark.parametrize(
    ("code", "shown"), [("lock.acquire(); lock.acquire()", True), ("pass", False)]
)
def test_a_cursor_that_was_hidden_comes_back_when_the_command_is_killed(session, code, shown):
    hides = f"import threading; lock = threading.Lock(); print('\\x1b[?25l', flush=True); {code}"
    terminal = session(sys.executable, "-c", hides)
    terminal.end()
    # A command that ends by itself leaves its terminal as it likes.
    assert (b"\x1b[?25h" in terminal.output) is shown


def test_our_lines_begin_on_a_line_of_their_own(tmp_path, session):
    terminal = session("printf", "to the end")
    terminal.end()
    assert b"to the end\r\n" in terminal.output
    ran = watch(tmp_path, "printf", "to the end")
    assert ran.stdout == "to the end"


def test_what_is_typed_is_read_by_the_command(tmp_path, session):
    terminal = session("sh", "-c", "printf 'name? '; read name; echo hello $name")
    terminal.until(b"name? ")
    terminal.type(b"you\r")
    terminal.until(b"hello you")
    assert terminal.end() == 0


@pytest.mark.slow
def test_a_prompt_that_nobody_answers_is_no_hang(tmp_path, session):
    code = "import time; print('step 1 loss 2', flush=True); input('go? '); print('gone')"
    terminal = session(sys.executable, "-c", code, options=["--budget", "60"])
    terminal.until(b"go? ")
    terminal.look(45.0)  # longer than a first phase is given
    terminal.type(b"\r")
    terminal.until(b"gone")
    assert terminal.end() == 0
    assert result(tmp_path)["outcome"] == "completed"


def test_ctrl_c_is_the_commands(tmp_path, session):
    code = (
        "import time\ntry:\n  print('ready', flush=True); time.sleep(1000)\n"
        "except KeyboardInterrupt:\n  print('saved'); raise SystemExit(5)"
    )
    terminal = session(sys.executable, "-c", code)
    terminal.until(b"ready")
    terminal.type(b"\x03")
    assert terminal.end() == 5
    assert b"saved" in terminal.output


def test_ctrl_c_again_and_again_ends_what_does_not_listen(tmp_path, session):
    terminal = session("sh", "-c", "trap '' INT; echo ready; sleep 1000")
    terminal.until(b"ready")
    terminal.type(b"\x03\x03\x03")
    terminal.end()
    assert result(tmp_path)["outcome"] == "unfinished"


def test_the_window_keeps_its_size(tmp_path, session):
    terminal = session(
        "sh", "-c", "trap 'stty size' WINCH; echo ready; while true; do sleep 0.1; done"
    )
    terminal.until(b"ready")
    terminal.resize(10, 20)
    terminal.until(b"10 20")
    terminal.type(b"\x03")
    terminal.end()
    assert result(tmp_path)["outcome"] == "unfinished"


def stopped_in_a_shell(tmp_path, script: str) -> tuple[Session, int]:
    """A shell in which Ctrl-Z has stopped a watched `script` at its third step, and how much it had
    shown by then."""
    shell = Session(["bash", "--norc", "-i"], str(tmp_path))
    (tmp_path / "run.sh").write_text(script)
    shell.type(f"{' '.join(WATCH)} -- bash run.sh\n".encode())
    shell.until(b"step 3")
    shell.type(b"\x1a")
    shell.until(b"Stopped")
    return shell, len(shell.output)


def test_ctrl_z_stops_both_until_they_are_continued(tmp_path, session):
    shell, shown = stopped_in_a_shell(
        tmp_path,
        "trap 'echo over; exit' TERM; i=0; "
        "while true; do i=$((i+1)); echo step $i; sleep 0.1; done",
    )
    shell.type(b"echo the shell $((40+2))\n")
    shell.until(b"the shell 42")
    assert b"step" not in shell.output[shown:]
    shell.type(b"fg\n")
    shell.until(lambda: (shell._look(), b"\nstep" in shell.output[shown:])[1])
    shell.type(b"\x03")
    shell.until(b"report: ")
    shell.type(b"exit\n")
    shell.end()
    shell.close()


def test_it_goes_on_in_the_background_and_reads_again_in_the_foreground(tmp_path):
    shell, shown = stopped_in_a_shell(
        tmp_path,
        "i=0; while [ ! -e read ]; do i=$((i+1)); echo step $i; sleep 0.1; done; "
        "echo now; read word; echo heard $word",
    )
    shell.type(b"bg\n")
    shell.until(lambda: (shell._look(), shell.output[shown:].count(b"step") > 5)[1])
    shell.type(b"fg\n")
    shell.until(lambda: (shell._look(), b"fg" in shell.output[shown:])[1])
    (tmp_path / "read").touch()
    shell.until(b"now")
    # What is typed before we take the keys goes nowhere.
    shell.until(lambda: (shell.type(b"word\r"), shell._look(), b"heard word" in shell.output)[2])
    shell.until(b"report: ")
    shell.type(b"\rexit\n")
    shell.end()
    shell.close()
    assert result(tmp_path)["outcome"] == "completed"


def test_what_began_in_the_background_has_the_mode_of_a_terminal_not_of_the_shell(tmp_path):
    shell = Session(["bash", "--norc", "-i"], str(tmp_path))
    shell.until(b"bash")
    code = "stty -a > mode; read word; echo heard $word"
    shell.type(f"{' '.join(WATCH)} -- sh -c '{code}' &\n".encode())
    mode = tmp_path / "mode"
    shell.until(lambda: (shell._look(), mode.exists() and "echoke" in mode.read_text())[1])
    assert " icanon" in mode.read_text()
    shell.type(b"fg\n")
    shell.until(lambda: (shell.type(b"word\r"), shell._look(), b"heard word" in shell.output)[2])
    shell.until(b"report: ")
    shell.type(b"\rexit\n")
    shell.end()
    shell.close()


def test_what_is_kept_lives_on_without_us_and_without_its_terminal(tmp_path, session):
    code = "import os, time; print('step 1 loss 2', os.getpid(), flush=True); "
    code += "os.kill(os.getpid(), 19)"
    terminal = session(sys.executable, "-c", code, options=["--on-hang", "keep", "--budget", "10"])
    assert terminal.end() == 1
    pid = result(tmp_path)["cause"]["evidence"]["kept_pid"]
    kept = psutil.Process(pid)
    try:
        assert kept.status() == psutil.STATUS_STOPPED
    finally:
        kept.kill()


def test_the_terminal_is_left_as_it_was_found(tmp_path, session):
    shell = Session(["sh"], str(tmp_path))
    shell.type(f"stty -a > before; {' '.join(WATCH)} -- true; stty -a > after; exit\n".encode())
    shell.end()
    shell.close()
    assert (tmp_path / "after").read_text() == (tmp_path / "before").read_text()


# --- what reports its steps itself ---------------------------------------------------------------


def test_variants_of_a_command_are_compared(tmp_path):
    (tmp_path / "train.py").write_text(
        "import sys\nfor i in range(5): print(f'step {i} loss {3 - i / 10}', flush=True)\n"
        "if '--broken' in sys.argv: raise RuntimeError('no')\n"
    )
    (tmp_path / "v.toml").write_text(
        f"command = ['{sys.executable}', 'train.py']\n"
        "[variants.baseline_update]\n[variants.sgd_step]\nargs = ['--broken']\n"
    )
    words = ["run-all", "--variants", "v.toml", "--out", "reports", "--json"]
    ran = forked.harness(*words, folder=tmp_path)
    assert ran.returncode == 1, ran.stderr
    told = json.loads(ran.stdout)
    assert [(one["scenario"], one["outcome"]) for one in told["results"]] == [
        ("baseline_update", "completed"), ("sgd_step", "crashed")
    ]  # fmt: skip
    verdicts = {one["id"]: one["verdict"] for one in told["diagnosis"]["hypotheses"]}
    assert verdicts["leak"] == "untested"
