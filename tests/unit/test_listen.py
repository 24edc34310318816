"""What a command prints, turned into beats; and what is said of how it was watched."""

from __future__ import annotations

import time

import pytest

from harness.analysis.findings import watching
from harness.beats.file import read_beats, read_position
from harness.beats.record import load
from harness.inject import HookReport
from harness.logs import ADAPTERS, Reading, Recognition
from harness.model import FiguresBeat, StepBeat
from harness.supervise import listen
from harness.supervise.listen import Ear
from harness.supervise.log_beats import BETWEEN, NAMES, VALIDATES, LogBeats


def steps(folder):
    return [beat for beat in read_beats(folder) if isinstance(beat, StepBeat)]


def test_each_report_is_a_step_and_says_how_many_it_stands_for(tmp_path):
    log = LogBeats(tmp_path)
    for step, loss in ((10, 2.5), (20, 2.25), (25, float("nan"))):
        log.take(Reading(step=step, loss=loss, memory_bytes=7))
    assert [(beat.step, beat.covers, beat.loss, beat.active) for beat in steps(tmp_path)] == [
        (10, 0, 2.5, 7), (20, 10, 2.25, 7), (25, 5, "nan", 7)
    ]  # fmt: skip
    position = read_position(tmp_path)
    assert (position.step, position.phase) == (25, BETWEEN)


def test_how_long_the_first_report_took_is_no_steps_time(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=1, loss=2.5))
    log.take(Reading(step=2, loss=2.25))
    record = load(tmp_path)
    assert list(record.step) == [2]
    assert (list(record.loss_step), list(record.loss)) == ([1, 2], [2.5, 2.25])


def test_a_bar_drawn_again_is_progress_and_no_step(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=3, total=100))
    before = read_position(tmp_path)
    log.take(Reading(step=3, total=100, learning_rate=0.1))
    assert len(steps(tmp_path)) == 1
    assert read_position(tmp_path) != before
    assert log.total == 100


class Clock:
    """Goes on by a second each time it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def told(tmp_path, *lines, clock=None):
    """(step, seconds, covers, loss) of the beats of what is said, by (source, reading) or a pause
    in seconds between."""
    clock = clock or Clock()
    log = LogBeats(tmp_path, clock)
    for line in lines:
        if isinstance(line, float):
            clock.now += line
        else:
            log.take(line[1], line[0])
    return [
        (beat.step, sum(beat.phases.values()), beat.covers, beat.loss) for beat in steps(tmp_path)
    ]


def test_a_step_that_is_reported_twice_has_its_time_once(tmp_path):
    lines = []
    for step in (1, 2, 3):
        lines += [1.0, ("bar", Reading(step=step, total=3)), 0.0]
        lines += [("bar", Reading(step=step, loss=2.0 - step, memory_bytes=step))]
    assert told(tmp_path, *lines) == [
        (1, 1.0, 0, None), (1, 0, 0, 1.0), (2, 1.0, 1, None), (2, 0, 0, 0.0), (3, 1.0, 1, None),
        (3, 0, 0, -1.0),
    ]  # fmt: skip
    record = load(tmp_path)
    assert (list(record.step), list(record.seconds)) == ([2, 3], [1.0, 1.0])
    assert list(record.active) == [2, 3]
    assert (list(record.loss_step), list(record.loss)) == ([1, 2, 3], [1.0, 0.0, -1.0])


def test_of_the_losses_of_several_ranks_the_first_counts_and_none_is_lost_that_is_no_number(
    tmp_path,
):
    losses = {0: [4.0, 4.1], 1: [3.0, float("nan"), float("nan")], 2: [2.0, 2.1]}
    lines = [
        line
        for step, of in losses.items()
        for line in (1.0, *(("log", Reading(step=step, loss=loss)) for loss in of))
    ]
    assert told(tmp_path, *lines) == [
        (0, 1.0, 0, 4.0), (1, 1.0, 1, 3.0), (1, 0, 0, "nan"), (2, 1.0, 1, 2.0)
    ]  # fmt: skip


def test_the_line_of_another_rank_that_comes_late_is_no_step(tmp_path):
    seen = (5, 6, 5, 7, 6, 6, 8)
    lines = [x for step in seen for x in (0.5, ("log", Reading(step=step, loss=1.0)))]
    assert told(tmp_path, *lines) == [
        (5, 0.5, 0, 1.0), (6, 0.5, 1, 1.0), (7, 1.0, 1, 1.0), (8, 1.5, 1, 1.0)
    ]  # fmt: skip
    assert read_position(tmp_path).step == 8


def test_a_training_that_goes_back_to_a_checkpoint_goes_on_from_there(tmp_path):
    seen = (*range(100), *range(50, 60))
    lines = [x for step in seen for x in (1.0, ("log", Reading(step=step, loss=1.0)))]
    beats = told(tmp_path, *lines)
    assert [step for step, *_ in beats][100:] == [54, 55, 56, 57, 58, 59]
    assert [seconds for _, seconds, *_ in beats][101:] == [1.0] * 5


def bar(step):
    return "bar", Reading(step=step, total=20)


@pytest.mark.parametrize("first", ["bar", "line"])
def test_a_bar_from_1_and_lines_from_0_on_the_other_output_are_the_same_steps(tmp_path, first):
    lines = [bar(0)]
    for step in range(20):
        both = [("lines", Reading(step=step, loss=2.0)), bar(step + 1)]
        lines += [0.25, *(both if first == "line" else reversed(both))]
    beats = told(tmp_path, *lines)
    assert [beat for beat in beats if beat[2]][-19:] == [
        (step, 0.25, 1, 2.0) for step in range(1, 20)
    ]
    assert [loss for *_, loss in beats if loss is not None] == [2.0] * 20
    losses = load(tmp_path).loss_step
    assert (losses[0], losses[-1]) == (0, 19)


def test_a_bar_tells_more_steps_than_a_line_every_tenth(tmp_path):
    lines = [bar(0)]
    for step in range(40):
        if step % 10 == 0:
            lines.append(("lines", Reading(step=step, loss=2.0 - step / 10)))
        lines += [1.0, bar(step + 1)]
    beats = told(tmp_path, *lines)
    assert [loss for *_, loss in beats if loss is not None] == [2.0, 1.0, 0.0, -1.0]
    timed = [(step, seconds) for step, seconds, covers, _ in beats if covers]
    assert timed == [(step, 1.0) for step in range(6, 41)]


@pytest.mark.parametrize("output", ["same", "other"])
def test_losses_without_a_number_belong_to_the_steps_of_the_bar(tmp_path, output):
    lines = [("bar", Reading(step=0, total=20))]
    for step in range(1, 8):
        lines += [1.0, bar(step), (output, Reading(loss=2.0))]
    beats = told(tmp_path, *lines)
    assert [beat for beat in beats if beat[2]] == [(step, 1.0, 1, None) for step in range(1, 8)]
    assert [beat[0] for beat in beats if beat[3]] == list(range(1, 8))


def test_a_bar_that_has_come_to_its_end_gives_way_to_what_goes_on(tmp_path):
    lines = [("bar", Reading(step=step, total=4)) for step in range(5)]
    lines += [x for _ in range(20) for x in (1.0, ("lines", Reading(loss=2.0)))]
    beats = told(tmp_path, *lines)
    assert sum(beat[3] is not None for beat in beats) == 20
    assert [beat[1] for beat in beats[-15:]] == [1.0] * 15


def test_a_bar_is_read_as_it_is_drawn(tmp_path):
    ear = listened(
        tmp_path, b"\r  0%|   | 0/20 [00:00<?, ?it/s]", b"\r  5%|#  | 1/20 [00:00<00:03,"
    )
    assert [beat.step for beat in steps(tmp_path)] == [0]
    ear.hear(b"  4.88it/s]")
    ear.hear(b"\r  5%|#  | 1/20 [00:00<00:03,  4.88it/s]\n")
    assert [beat.step for beat in steps(tmp_path)] == [0, 1]


def test_losses_without_a_step_are_counted(tmp_path):
    log = LogBeats(tmp_path)
    for loss in (3.0, 2.0, 1.0):
        log.take(Reading(loss=loss))
    assert [(beat.step, beat.loss) for beat in steps(tmp_path)] == [(0, 3.0), (1, 2.0), (2, 1.0)]


def test_the_time_until_a_validation_is_over_is_the_validations(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=1, loss=2.0))
    log.take(Reading(step=1, loss=2.5, validation=True))
    log.take(Reading(step=2, loss=1.0))
    assert set(steps(tmp_path)[-1].phases) == {VALIDATES, BETWEEN}
    assert [beat.loss for beat in steps(tmp_path)] == [2.0, 1.0]


def test_a_bar_of_a_validation_is_its_phase(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=1, loss=2.0))
    log.take(Reading(validation=True, batch=3, total=10))
    assert read_position(tmp_path).phase == VALIDATES


def test_a_report_may_say_what_comes_next(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=5, loss=1.0, phase="clear_cache"))
    position = read_position(tmp_path)
    assert [beat.loss for beat in steps(tmp_path)] == [1.0]
    assert (position.step, position.phase) == (5, "clear_cache")


def test_a_line_that_names_a_phase_begins_it(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=4, loss=2.0))
    log.take(Reading(step=5, phase="clear_cache"))
    position = read_position(tmp_path)
    assert (position.step, position.phase) == (5, "clear_cache")


def listened(tmp_path, *chunks):
    log = LogBeats(tmp_path)
    ear = Ear(log, ADAPTERS)
    for chunk in chunks:
        ear.hear(chunk)
    return ear


def test_a_line_that_is_not_ended_is_read_when_the_output_pauses(tmp_path, monkeypatch):
    ear = listened(tmp_path, b"step 1 loss 2.0\nstep 2 lo", b"ss 1.5")
    assert [beat.step for beat in steps(tmp_path)] == [1]
    ear.pause()
    assert [beat.step for beat in steps(tmp_path)] == [1]
    monkeypatch.setattr(listen, "PAUSE_S", 0.0)
    ear.pause()
    assert [beat.step for beat in steps(tmp_path)] == [1, 2]
    ear.close()
    assert [beat.step for beat in steps(tmp_path)] == [1, 2]


def test_what_comes_too_fast_is_skipped_but_for_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "CREDIT_S", 0.0)
    monkeypatch.setattr(listen, "SHARE", 0.0)
    ear = listened(tmp_path, b"step 1 loss 2.0\nstep 2 loss", b" 1.5\nstep 3 loss 1.0\n")
    assert steps(tmp_path) == []
    recognition = ear.close()
    assert ear.skipped == len(b"step 1 loss 2.0\nstep 2 loss")
    assert [beat.step for beat in steps(tmp_path)] == [3]
    assert recognition.matched == 1


def test_two_outputs_share_their_beats(tmp_path):
    log = LogBeats(tmp_path)
    out, err = Ear(log, ADAPTERS), Ear(log, ADAPTERS)
    out.hear(b"step 1 loss 2.0\n")
    err.hear(b"downloading\n")
    out.hear(b"step 2 loss 1.0\n")
    assert [beat.step for beat in steps(tmp_path)] == [1, 2]
    assert (out.close().matched, err.close().matched) == (2, 0)


def test_beats_have_the_time_of_their_line(tmp_path):
    before = time.monotonic()
    listened(tmp_path, b"step 1 loss 2.0\n")
    assert before <= steps(tmp_path)[0].t <= time.monotonic()


READ = Recognition(format="tqdm", matched=3, lines=9)
UNREAD = Recognition(format=None, matched=0, lines=5)


@pytest.mark.parametrize(
    ("outputs", "skipped", "itself", "hook", "codes"),
    [
        ((UNREAD, READ), 0, False, None, {"steps_printed"}),
        ((UNREAD, UNREAD), 0, False, None, {"no_steps_seen"}),
        ((), 0, False, None, {"no_steps_seen"}),
        ((READ,), 0, True, HookReport(), {"steps_reported"}),
        ((READ,), 10, False, None, {"steps_printed", "output_skipped"}),
        ((READ,), 0, False, HookReport(disabled="unknown"), {"steps_printed", "hook_disabled"}),
    ],
)
def test_how_it_was_watched_is_said(outputs, skipped, itself, hook, codes):
    assert {one.code for one in watching.find(outputs, skipped, itself, hook)} == codes


def test_a_pattern_that_was_given_up_is_a_warning_that_says_what_to_do():
    one, *_ = (
        one for one in watching.find((READ,), 0, False, None, given_up="the pattern x is too slow")
        if one.code == "output_skipped"
    )  # fmt: skip
    assert one.severity.value == "warning"
    assert one.summary == "the pattern x is too slow. The steps after that are not counted"


@pytest.mark.parametrize(
    ("outputs", "itself", "severity"),
    [((UNREAD,), False, "warning"), ((READ,), False, "info"), ((UNREAD,), True, "info")],
)
def test_what_it_leaves_behind_is_told_aloud_where_it_has_done_nothing_else(
    outputs, itself, severity
):
    *_, one = watching.find(outputs, 0, itself, None, left_behind=2)
    assert (one.code, one.severity.value) == ("left_behind", severity)
    assert "2 processes that it started still ran" in one.summary


def test_each_output_that_was_read_is_named():
    other = Recognition(format="plain text", matched=2, lines=4)
    (one,) = watching.find((UNREAD, other, READ), 0, False, None)
    assert "tqdm, found in 3 of 9 lines" in one.summary
    assert "plain text, found in 2 of 4 lines" in one.summary
    assert one.evidence["others"] == [{"format": "plain text", "matched": 2, "lines": 4}]
    assert "Its parameters were not checked" in one.summary


def test_parameters_that_were_looked_at_are_not_called_unchecked():
    (one,) = watching.find((READ,), 0, False, None, followed=True)
    assert "checked" not in one.summary


@pytest.mark.parametrize("itself", [False, True])
def test_what_was_not_read_may_have_told_of_steps(itself):
    *_, one = watching.find((READ,), 10, itself, None)
    assert ("their steps are not counted" in one.summary) is not itself


# --- the figures beside the loss ------------------------------------------------------------------


def figures(folder):
    return [
        (beat.step, beat.figures) for beat in read_beats(folder) if isinstance(beat, FiguresBeat)
    ]


def test_the_figures_of_a_line_are_kept_by_their_names(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=1, loss=2.5, learning_rate=0.1, figures={"grad_norm": 1.5}))
    log.take(Reading(step=2, loss=2.0, tokens_per_s=7.0, figures={"grad_norm": float("nan")}))
    assert figures(tmp_path) == [
        (1, {"grad_norm": 1.5, "learning_rate": 0.1}),
        (2, {"grad_norm": "nan", "tokens_per_s": 7.0}),
    ]
    kept = load(tmp_path).figures
    assert (list(kept["grad_norm"].step), kept["grad_norm"].value[0]) == ([1, 2], 1.5)


def test_a_validation_is_kept_under_names_of_its_own(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=1, loss=2.5, figures={"val_loss": 2.75}))
    log.take(Reading(step=1, loss=float("nan"), validation=True, figures={"acc": 0.5}))
    assert figures(tmp_path) == [(1, {"val_loss": 2.75}), (1, {"val_acc": 0.5, "val_loss": "nan"})]
    assert list(load(tmp_path).loss) == [2.5]


def test_a_figure_of_a_step_counts_once_unless_it_is_no_number_then(tmp_path):
    log = LogBeats(tmp_path)
    for rank, norm in enumerate((1.0, 2.0, float("inf"), float("inf"))):
        log.take(Reading(step=1, loss=2.5, figures={"grad_norm": norm}), rank)
    assert figures(tmp_path) == [(1, {"grad_norm": 1.0}), (1, {"grad_norm": "inf"})]


def test_no_more_names_are_kept_than_a_training_has(tmp_path):
    log = LogBeats(tmp_path)
    for step in range(100):
        log.take(Reading(step=step, loss=2.5, figures={f"of {step}": 1.0}))
    assert len(load(tmp_path).figures) == NAMES


def test_the_memory_that_the_first_report_tells_is_kept(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=10, loss=2.5, memory_bytes=900, peak_bytes=1000))
    log.take(Reading(step=20, loss=2.5, memory_bytes=100))
    record = load(tmp_path)
    assert (list(record.early), list(record.early_peak), list(record.active)) == (
        [900],
        [1000],
        [100],
    )


def test_a_peak_is_no_memory_that_is_held(tmp_path):
    log = LogBeats(tmp_path)
    for step in range(1, 4):
        log.take(Reading(step=step, loss=2.5, peak_bytes=step))
    record = load(tmp_path)
    assert (list(record.active), list(record.peak)) == ([-1, -1], [2, 3])


def test_exact_lines_win_over_bars(tmp_path):
    """The bar is set while it still shows the step before, and drawn with old figures after it."""
    ear = Ear(LogBeats(tmp_path), ADAPTERS)
    shown = ""
    for step in range(1, 41):
        if step % 10 == 0:
            shown = f", loss={5 - step / 100:.3f}"
            ear.hear(f"\r 1%|# | {step - 1}/40 [00:01<00:02, 9.1it/s{shown}]".encode())
            ear.hear(f"\nIter {step}: loss {5 - step / 100:.3f}, lr 1e-05\n".encode())
        ear.hear(f"\r 1%|# | {step}/40 [00:01<00:02, 9.1it/s{shown}]".encode())
    ear.close()
    record = load(tmp_path)
    assert list(record.step) == list(range(2, 41))
    assert list(record.loss) == [4.9, 4.9, 4.8, 4.7, 4.6]  # the first bar came before any line
    assert list(record.loss_step) == [9, 10, 20, 30, 40]


# --- the end before the total ---------------------------------------------------------------------


def ended(tmp_path, *lines, end="\n"):
    """(what is missing, whether the output explains it)."""
    clock = Clock()
    log = LogBeats(tmp_path, clock)
    ear = Ear(log, ADAPTERS)
    for line in lines:
        clock.now += 1.0
        ear.hear(f"{line}{end}".encode())
    ear.close()
    return log.early, ear.end_is_explained


def test_a_training_that_ends_before_its_total(tmp_path):
    lines = [f"step:{step}/100 train_loss:{5 - step / 50:.4f}" for step in range(1, 38)]
    assert ended(tmp_path, *lines, "Saved final weights to adapters.safetensors") == (
        (37, 100), False
    )  # fmt: skip


def test_a_training_that_counts_from_0_has_done_one_more(tmp_path):
    lines = [f"step {step}/50 loss {5 - step / 50:.4f}" for step in range(20)]
    assert ended(tmp_path, *lines) == ((20, 50), False)


@pytest.mark.parametrize(
    "lines",
    [
        [f"step:{step}/100 loss:{5 - step / 50:.4f}" for step in range(1, 101)],
        [f"step:{step}/100 loss:{5 - step / 50:.4f}" for step in range(1, 100)],  # from 0 to 99
        [f"step:{step}/105 loss:{5 - step / 50:.4f}" for step in range(10, 101, 10)],
        [f"step:{step}/100 loss:{5 - step / 50:.4f}" for step in range(51, 101)],
        [f"step:{step} loss:{5 - step / 50:.4f}" for step in range(1, 38)],
        [f"Processing item {step}/100" for step in range(1, 38)],
        [f"step {step}/100" for step in range(1, 38)],  # no figure
        [f"Epoch {epoch}/40: train_loss={5 - epoch / 50:.4f}" for epoch in range(1, 9)],
        [
            f"Epoch: {epoch} | step {step}/40 | loss {5 - step / 50:.4f}"
            for epoch in range(2)
            for step in range(1, 41)
        ],
        [f"Loading weights:  37%|##  | {n}/100 [00:01<00:02,  9.1it/s]" for n in range(1, 38)],
        [f"Validation:  37%|##  | {n}/100 [00:01<00:02,  9.1it/s]" for n in range(1, 38)],
    ],
)  # fmt: skip
def test_what_is_no_early_end(tmp_path, lines):
    assert ended(tmp_path, *lines)[0] is None


@pytest.mark.parametrize(
    "word",
    [
        "Early stopping: no improvement for 5 evaluations",
        "Converged.",
        "Stopping: the target loss was reached",
        "Time limit reached, saving",
        "EarlyStopping counter: 5 out of 5 (patience)",
    ],
)
def test_an_end_that_the_training_explains(tmp_path, word):
    lines = [f"step:{step}/100 loss:{5 - step / 50:.4f}" for step in range(1, 38)]
    assert ended(tmp_path, *lines, word, "Saved weights") == ((37, 100), True)
    other = tmp_path / "other"
    other.mkdir()
    assert ended(other, word, *lines)[1] is False  # said before, and then it went on


def test_a_training_that_was_resumed_may_have_done_the_rest_before(tmp_path):
    lines = [f"step:{step}/100 loss:{5 - step / 50:.4f}" for step in range(1, 51)]
    assert ended(tmp_path, "Resuming from checkpoint-50", *lines)[1] is True


def test_a_bar_is_not_drawn_for_each_step(tmp_path):
    bars = [f"\r 37%|##  | {n}/1000 [00:01<00:02,  999it/s, loss=2.{n}]" for n in range(1, 960, 10)]
    clock = Clock()
    log = LogBeats(tmp_path, clock)
    ear = Ear(log, ADAPTERS)
    for bar_line in bars:
        clock.now += 0.1
        ear.hear(bar_line.encode())
    ear.close()
    assert log.early is None  # 49 steps of 10 ms


# --- lines that name the phases of a step ---------------------------------------------------------


def phase(step, name, **more):
    return Reading(step=step, phase=name, **more)


def test_lines_of_phases_give_steps_phases_and_memory(tmp_path):
    clock = Clock()
    log = LogBeats(tmp_path, clock)
    for step in range(3):
        for name, held in (("init", 100), ("post_grad", 300), ("post_update", 200)):
            clock.now += 1.0
            log.take(phase(step, name, memory_bytes=held + step, peak_bytes=900 + step), "log")
    position = read_position(tmp_path)
    assert (position.step, position.phase) == (2, "post_update")
    assert [(beat.step, beat.covers) for beat in steps(tmp_path)] == [(0, 0), (1, 1)]
    log.close(ended_well=True)
    record = load(tmp_path)
    assert (list(record.step), list(record.active), list(record.peak)) == (
        [1, 2], [201, 202], [901, 902]
    )  # fmt: skip
    assert list(record.early) == [200]  # of the first step, whose time is not known
    assert record.seconds[0] == 3.0
    assert {"init", "post_grad", "post_update"} <= set(record.phases)


def test_the_step_that_a_killed_command_was_in_is_not_over(tmp_path):
    log = LogBeats(tmp_path)
    for step in range(5):
        log.take(phase(step, "clear_cache"))
    log.close()
    assert [beat.step for beat in steps(tmp_path)] == [0, 1, 2, 3]
    assert read_position(tmp_path).step == 4


def test_a_bar_beside_lines_of_phases_has_the_same_steps(tmp_path):
    log = LogBeats(tmp_path)
    for step in range(20):
        log.take(phase(step, "clear_cache"), "err")
        log.take(Reading(step=step, loss=2.0 - step / 20, total=20), "out")
    log.close(ended_well=True)
    record = load(tmp_path)
    assert list(record.step) == list(range(1, 20))
    assert list(record.loss_step) == list(range(20))


def test_updates_that_each_step_skips_are_told(tmp_path):
    log = LogBeats(tmp_path)
    for step in range(10):
        log.take(phase(step, "skip_update"))
    assert log.skips == (10, 10)
    (one,) = watching.updates_skipped(*log.skips)
    assert one.summary.endswith("nothing is learned")
    assert not watching.updates_skipped(9, 10)


def test_lines_that_were_held_back_are_dated_by_their_own_clock(tmp_path):
    log = LogBeats(tmp_path, Clock())  # which stands: all came at once
    for step in range(4):
        log.take(Reading(step=10 * step, loss=1.0, clock=100 + 25.0 * step))
    assert list(load(tmp_path).seconds) == [2.5, 2.5, 2.5]


def test_a_program_that_holds_back_its_lines_is_told_what_to_do():
    (one,) = watching.find((UNREAD,), 0, False, None, program="./trainer")
    assert "stdbuf -oL" in one.summary
    for passed_on in ("/usr/bin/python3.11", ""):
        (one,) = watching.find((UNREAD,), 0, False, None, program=passed_on)
        assert "stdbuf" not in one.summary
