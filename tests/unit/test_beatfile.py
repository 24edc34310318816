"""The on-disk format: whatever was written whole is read back, whatever was not is counted."""

from __future__ import annotations

import math
import os

from hypothesis import given
from hypothesis import strategies as st

from harness.beats.file import BEATS, NOW, BeatReader, Recorder, read_beats, read_position
from harness.beats.record import load
from harness.model import BuiltBeat, StepBeat


def write_steps(folder, count):
    recorder = Recorder(folder)
    for step in range(count):
        recorder.begin(step)
        recorder.phase("forward")
        recorder.built()
        recorder.end(loss=float(step), active=step)
    recorder.close()


def test_a_step_is_two_beats_and_they_come_back(tmp_path):
    write_steps(tmp_path, 3)
    beats = list(read_beats(tmp_path))
    assert [type(beat) for beat in beats] == [BuiltBeat, StepBeat] * 3
    assert [beat.loss for beat in beats if isinstance(beat, StepBeat)] == [0.0, 1.0, 2.0]
    assert set(beats[1].phases) == {"data", "forward", "eval"}


def test_a_beat_is_on_disk_before_the_step_goes_on(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.begin(7)
    recorder.phase("update")
    position = read_position(tmp_path)
    assert (position.step, position.phase) == (7, "update")
    recorder.built()
    assert read_position(tmp_path).phase == "eval"
    assert len(list(read_beats(tmp_path))) == 1
    recorder.end(loss=1.0)
    assert len(list(read_beats(tmp_path))) == 2


def test_losses_that_json_cannot_hold(tmp_path):
    recorder = Recorder(tmp_path)
    for step, loss in enumerate((math.nan, math.inf, -math.inf)):
        recorder.begin(step)
        recorder.end(loss=loss)
    losses = load(tmp_path).loss
    assert math.isnan(losses[0])
    assert list(losses[1:]) == [math.inf, -math.inf]


def test_a_growing_file_is_read_on_from_where_it_was(tmp_path):
    reader = BeatReader(tmp_path)
    assert reader.read() == []
    write_steps(tmp_path, 1)
    assert len(reader.read()) == 2
    assert reader.read() == []
    with (tmp_path / BEATS).open("ab") as file:
        file.write(b'{"k":"step","t":1.0,"st')
        file.flush()
        assert reader.read() == []
        file.write(b'ep":1,"phases":{}}\n')
    assert [beat.step for beat in reader.read()] == [1]
    assert reader.torn == 0


def test_a_torn_last_line_and_garbage_are_counted_not_fatal(tmp_path):
    write_steps(tmp_path, 2)
    with (tmp_path / BEATS).open("ab") as file:
        file.write(b'\x00\xff garbage\n{"k":"unknown","t":1}\n[]\n{"k":"step","t":')
    record = load(tmp_path)
    assert len(record.step) == 2
    assert record.torn == 4


def test_a_line_without_end_neither_grows_memory_nor_hides_what_follows(tmp_path):
    write_steps(tmp_path, 1)
    with (tmp_path / BEATS).open("ab") as file:
        file.write(b"x" * (5 << 20) + b"\n")
    recorder = Recorder(tmp_path)
    recorder.begin(1)
    recorder.end(loss=1.0)
    record = load(tmp_path)
    assert list(record.step) == [0, 1]
    assert record.torn == 1


@given(st.binary(max_size=300), st.integers(min_value=0, max_value=400))
def test_no_bytes_whatever_raise(tmp_path_factory, garbage, cut):
    folder = tmp_path_factory.mktemp("beats")
    write_steps(folder, 2)
    whole = (folder / BEATS).read_bytes()
    (folder / BEATS).write_bytes(whole[:cut] + garbage + whole[cut:])
    (folder / NOW).write_bytes(garbage)
    record = load(folder)
    assert record.torn <= garbage.count(b"\n") + 2
    read_position(folder)


def test_a_full_disk_is_counted_and_the_training_goes_on(tmp_path, monkeypatch):
    recorder = Recorder(tmp_path)
    recorder.begin(0)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:20]))
    recorder.end(loss=1.0)

    def full(file, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    recorder.begin(1)
    recorder.end(loss=1.0)
    monkeypatch.undo()
    recorder.begin(2)
    recorder.end(loss=3.0)
    assert recorder.lost == 2
    assert recorder.fault
    record = load(tmp_path)
    assert list(record.step) == [2]
    assert record.torn == 1


def test_phase_times_add_up_to_the_step(tmp_path):
    write_steps(tmp_path, 5)
    record = load(tmp_path)
    for index, seconds in enumerate(record.seconds):
        assert math.isclose(seconds, sum(column[index] for column in record.phases.values()))


def test_a_phase_that_comes_late_has_zeros_before(tmp_path):
    recorder = Recorder(tmp_path)
    for step, extra in enumerate([None, "validate", None]):
        recorder.begin(step)
        if extra:
            recorder.phase(extra)
        recorder.end()
    record = load(tmp_path)
    assert [bool(seconds) for seconds in record.phases["validate"]] == [False, True, False]


def test_any_phase_name_and_any_number_of_them_fit_the_slot(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.phase('my "odd" \n phase ü' + "x" * 500)
    assert read_position(tmp_path).phase.startswith('my "odd" \n phase ü')
    for number in range(100):
        recorder.phase(f"phase {number}")
    assert read_position(tmp_path).phase.startswith("phase ")
