"""What far hosts tell: frames among output, other clocks, and what is kept of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from harness.beats.file import read_beats, read_position
from harness.detect.watchdog import Policy
from harness.model import Position, Settings, StartBeat, StepBeat, WorkerSpec
from harness.supervise.remote import agent, ssh
from harness.supervise.remote.frame import MARK, Clock, Frame, Splitter, line


def beat(t, step=0):
    return StepBeat(t=t, step=step, phases={})


FRAMES = st.builds(
    Frame,
    now=st.floats(0, 1e6),
    beats=st.lists(st.builds(beat, st.floats(0, 1e6)), max_size=3).map(tuple),
    position=st.none() | st.builds(Position, st.integers(-1, 9), st.text(), st.floats(0, 1e6)),
)
OUTPUT = st.binary().map(lambda data: data.replace(MARK, b""))


@given(st.lists(FRAMES | OUTPUT, max_size=6), st.randoms(), st.booleans())
def test_frames_and_output_are_told_apart_wherever_they_are_cut(parts, random, terminal):
    stream = b"".join(line(part) if isinstance(part, Frame) else part for part in parts)
    text = b"".join(part for part in parts if not isinstance(part, Frame))
    if terminal:  # which turns line feeds into two characters
        stream, text = stream.replace(b"\n", b"\r\n"), text.replace(b"\n", b"\r\n")
    splitter, seen, frames = Splitter(Frame), b"", []
    while stream:
        size = random.randint(1, len(stream))
        output, new = splitter.feed(stream[:size])
        seen, frames, stream = seen + output, frames + new, stream[size:]
    assert seen == text
    assert frames == [part for part in parts if isinstance(part, Frame)]


def test_what_is_no_frame_is_lost_and_the_next_is_not():
    damaged = MARK + b'{"now": nonsense\n' + MARK + b"\xff\xfe\n"
    assert Splitter(Frame).feed(damaged + line(Frame(now=1.0))) == (b"", [Frame(now=1.0)])


@given(
    st.floats(-1e5, 1e5),
    st.lists(st.tuples(st.floats(0.1, 5.0), st.floats(0.0, 10.0)), min_size=1),
)
def test_a_clock_is_never_more_off_than_the_quickest_message_took(ahead, messages):
    clock, now = Clock(), 0.0
    least = float("inf")
    for passed, took in messages:
        now += passed
        least = min(least + 1e-4 * (passed + 10.0), took)
        clock.heard(now + ahead - took, now)
        assert -1e-6 <= clock.ours(now + ahead) - now <= least + 1e-6


def test_a_message_held_up_does_not_make_its_beats_new():
    clock = Clock()
    clock.heard(100.0, 1000.25)
    clock.heard(101.0, 1021.0)
    assert abs(clock.ours(101.0) - 1001.25) < 0.01


def test_beats_of_another_clock_are_kept_in_ours_and_in_order(tmp_path):
    book = ssh.Book(tmp_path / "rank-1")
    start = StartBeat(t=499.0, schema=1, pid=7, wall=0.0, scenario="s", rank=1)
    book.write(Frame(now=500.0, beats=(start, beat(499.9))), 1003.0)  # three seconds on its way
    book.write(
        Frame(now=501.0, beats=(beat(500.0, 1),), position=Position(2, "eval", 500.5)), 1001.0
    )
    first, *steps = read_beats(tmp_path / "rank-1")
    assert first.t == 1002.0
    assert abs(first.wall - 0.0) > 1e9  # the date is ours as well
    assert [one.t for one in steps] == [1002.9, 1002.9]
    assert read_position(tmp_path / "rank-1") == Position(2, "eval", 1000.5)


def test_a_worker_that_stays_where_it_is_does_not_seem_to_move(tmp_path):
    book = ssh.Book(tmp_path)
    seen = set()
    for arrives in (10.5, 20.1, 30.3):
        book.write(Frame(now=arrives - 10.0, position=Position(3, "eval", 0.25)), arrives)
        book.write(Frame(now=arrives - 9.0, position=Position(3, "eval", 0.25)), arrives + 1.5)
        seen.add(read_position(tmp_path))
    assert len(seen) == 1


def test_what_is_known_of_a_host_grows_and_is_not_forgotten(tmp_path):
    book = ssh.Book(tmp_path)
    assert ssh.read(tmp_path).heard is None
    book.write(Frame(now=1.0), 10.0)
    book.write(Frame(now=9.0, status=9), 18.0)
    book.write(Frame(now=9.5, beats=(beat(8.0),)), 18.5)
    book.close(ended=False, said="words that nobody needs")
    seen = ssh.read(tmp_path)
    assert (seen.heard, seen.silence, seen.status, seen.said) == (18.5, 8.0, 9, "")
    assert seen.closed


def stand_in(tmp_path, script, rank="export MLX_RANK=1; "):
    """Our ssh around another one, which is a shell script."""
    real = tmp_path / "real"
    real.write_text(f"#!/bin/sh\n{script}\n")
    real.chmod(0o755)
    code = "import sys; from harness.supervise.remote.ssh import main; sys.exit(main(sys.argv))"
    arguments = ["-tt", "-o", "LogLevel=QUIET", "host", f"{rank}exec python"]
    return subprocess.run(
        [sys.executable, "-c", code, tmp_path, real, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )


def test_ssh_keeps_frames_and_passes_on_the_rest(tmp_path):
    frame = line(Frame(now=5.0, beats=(beat(4.0),))).decode()
    (tmp_path / "told").write_text(f"/tmp/pidfile\nbefore{frame}after\n")
    done = stand_in(tmp_path, f"cat {tmp_path}/told; exit 3")
    assert (done.stdout, done.returncode) == ("/tmp/pidfile\nbeforeafter\n", 3)
    assert len(list(read_beats(tmp_path / "rank-1"))) == 1


def test_ssh_says_why_it_could_not_connect(tmp_path):
    done = stand_in(tmp_path, 'echo "$*" >&2; echo ssh: connection refused >&2; exit 255')
    assert "LogLevel=ERROR" in done.stderr
    assert ssh.read(tmp_path / "rank-1").said == "ssh: connection refused"
    assert done.returncode == 255


def test_a_shell_over_there_says_what_it_lacks(tmp_path):
    stand_in(tmp_path, "echo /tmp/pidfile; echo python: not found; exit 127")
    assert ssh.read(tmp_path / "rank-1").said == "python: not found"


def test_an_ssh_that_starts_no_rank_is_left_alone(tmp_path):
    done = stand_in(tmp_path, 'echo "$@"', rank="")
    assert done.stdout == "-tt -o LogLevel=QUIET host exec python\n"
    assert not (tmp_path / "rank-1").exists()


def test_what_a_host_is_given_fits_a_command_line_and_comes_back():
    spec = WorkerSpec(scenario="s", path="/a b/s.py", folder="/f", settings=Settings(ranks=3))
    sent = agent.Sent(spec=spec, source="Größe = 1\n".encode() * 1000, near=(0,), policy=Policy())
    word = agent.pack(sent)
    assert agent.unpack(word) == sent
    assert word.isascii()
    assert len(word) < 2000


def test_the_end_of_a_worker_is_told_at_once_and_not_when_its_tree_is_gone(monkeypatch, tmp_path):
    """The others fail without it, and their launcher then cuts the connection."""
    said = []
    far = object.__new__(agent._Far)
    far._folder, far._position, far._looked_at, far._beat_at = tmp_path, None, 1.0, 1.0
    far._reader = SimpleNamespace(read=lambda most: ())
    far._output = SimpleNamespace(take=lambda: b"")
    far._worker = SimpleNamespace(status=None, pid=None)
    far._end_told = False
    monkeypatch.setattr(far, "_say", said.append, raising=False)
    far._tell(1.1)
    far._worker.status = signal.SIGKILL
    far._tell(1.2)
    far._tell(1.3)
    _, frames = Splitter(Frame).feed(b"".join(said))
    assert [frame.status for frame in frames] == [signal.SIGKILL]
