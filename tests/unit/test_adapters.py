"""Lines of foreign logs become readings; no input raises, stalls or grows the memory."""

from __future__ import annotations

import itertools
import json
import math
import re
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.logs import ADAPTERS, LOST, Reading, Recognizer, from_pattern, ultralytics
from harness.logs.lines import LIMIT, Lines
from harness.logs.numbers import NAN, count, number, size
from harness.logs.reading import field
from harness.logs.steps import Steps

LOGS = sorted((Path(__file__).parent / "logs").glob("*.log"))
BY_NAME = {adapter.name: adapter.read for adapter in ADAPTERS}
plain = BY_NAME["plain text"]
PATTERN = from_pattern(r"batch (?P<step>\d+) gave (?P<loss>\S+)")


def read(log: bytes, piece: int | None = None) -> tuple[Recognizer, list[Reading]]:
    """All of `log` at once, or so many bytes at a time."""
    recognizer = Recognizer()
    readings = []
    for start in range(0, len(log), piece or len(log) or 1):
        readings += recognizer.feed(log[start : start + (piece or len(log))])
    return recognizer, readings + recognizer.close()


def written(reading: Reading) -> dict[str, Any]:
    def plainly(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plainly(inner) for name, inner in value.items()}
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value

    return plainly(msgspec.to_builtins(reading))


# --- the corpus ------------------------------------------------------------------------------


def test_the_corpus_is_there():
    assert len(LOGS) >= 60
    formats = {json.loads(log.with_suffix(".json").read_text())["format"] for log in LOGS}
    missing = {adapter.name for adapter in ADAPTERS} - formats
    assert not missing, f"add a log of {sorted(missing)} to tests/unit/logs (see its README.md)"


@pytest.mark.parametrize("piece", [None, 7])
@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_a_log_gives_its_beats(log: Path, piece: int | None):
    expected = json.loads(log.with_suffix(".json").read_text())
    recognizer, readings = read(log.read_bytes(), piece)
    assert [written(reading) for reading in readings] == expected.pop("readings")
    assert msgspec.to_builtins(recognizer.recognition) == expected


PRINTS = json.loads((Path(__file__).parent / "logs/prints.json").read_text())


@pytest.mark.parametrize("piece", [None, 7])
@pytest.mark.parametrize("name", PRINTS)
def test_the_prints_of_a_trainer_give_each_figure(name: str, piece: int | None):
    expected = PRINTS[name]
    recognizer, readings = read("".join(expected["text"]).encode(), piece)
    assert [written(reading) for reading in readings] == expected["readings"]
    assert recognizer.recognition.format == expected["format"]


@pytest.mark.parametrize(
    "line",
    [
        "disk 45% (45 of 100) loss 0.3",
        "gpu0: 45% 45/100 loss 0.3",
        "gpu ████━━━━ 45% 45/100 loss 0.3",
        "GPU mem [45/100] loss 0.3",
        "padding 45% (45 of 100) loss 0.3",
        "acc: 45% 45/100 loss 0.3",
        "12/31 INFO loss 0.3",
        "3/4 of the data: loss 0.3",
        "31/12 loss 0.3",
    ],
)
def test_a_share_of_something_else_is_no_step(line: str):
    reading = plain(line)
    assert (reading.loss, reading.step, reading.total) == (0.3, None, None)


@pytest.mark.parametrize(
    "line",
    [
        "45% (45 of 100) |####     | Elapsed Time: 0:00:01 loss 0.3",
        "Training: 45% (45 of 100) loss 0.3",
        "Llama ━━━━╸━━━ 45% 45/100 loss 0.3",
        "rank0 [45/100] loss 0.3",
        "gpu0 [45/100] loss 0.3",
        "45/100 train loss 0.3",
        "finetune 45% 45/100 loss 0.3",
        "Training |██████     | 45/100 [45%] in 2s loss 0.3",
    ],
)
def test_a_share_of_the_training_is_its_step(line: str):
    reading = plain(line)
    assert (reading.loss, reading.step, reading.total) == (0.3, 45, 100)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (
            "{'loss': 2.5, 'memory/max_active (GiB)': 1.5, 'memory/device_reserved (GiB)': 2.0, "
            "'epoch': 0.5}\n",
            [{"epoch": 0.5, "loss": 2.5, "memory_bytes": 2**31, "peak_bytes": 3 * 2**29}],
        ),
        (
            "epoch: 1 step: 100, loss is 2.5, accuracy is 0.9\n",
            [{"step": 100, "epoch": 1.0, "loss": 2.5, "figures": {"accuracy": 0.9}}],
        ),
        (
            "[step 10] losses/total_loss: 0.25 | losses/policy_loss: -0.5\n",
            [{"step": 10, "loss": 0.25, "figures": {"losses_policy_loss": -0.5}}],
        ),
        (
            "| trial | status | iter | total time (s) | reward |\n"
            "| PPO_CartPole | RUNNING | 5 | 12.5 | 123.5 |\n",
            [{"step": 5, "figures": {"total_time_(s)": 12.5, "reward": 123.5}}],
        ),
        (
            "step  split   loss\n  10  train    2.5\n  10  val      2.75\n  so it goes\n",
            [{"step": 10, "loss": 2.5}, {"step": 10, "loss": 2.75, "validation": True}],
        ),
        (
            "| step | split | loss |\n| 10 | train | 2.5 |\n| 20 | - | 2.25 |\n",
            [{"step": 10, "loss": 2.5}, {"step": 20, "loss": 2.25}],
        ),
        (
            "INFO [step=10/100,epoch=0]\n    optim/total_grad_norm=1.5\n"
            "    train/CrossEntropyLoss=2.5\n    throughput/device/tokens_per_second=12,345\n",
            [
                {"step": 10, "epoch": 0.0, "total": 100},
                {"figures": {"optim_total_grad_norm": 1.5}},
                {"step": 10, "loss": 2.5},
                {"tokens_per_s": 12345.0},
            ],
        ),
        (
            "Iteration 1\npolicy loss 0.25 value loss 1.5\n",
            [{"step": 1}, {"figures": {"policy_loss": 0.25, "value_loss": 1.5}}],
        ),
        (
            "Batch 10 of 100, loss is 2.5\nBatch 20 out of 100, loss was 2.25\n",
            [{"step": 10, "loss": 2.5, "total": 100}, {"step": 20, "loss": 2.25, "total": 100}],
        ),
        (
            "step 250, batch 10 of 100, loss 2.5\n",
            [{"step": 250, "loss": 2.5}],
        ),
        (
            "[00:12:34] 10/100 loss=2.5 lr=0.5\n",
            [{"step": 10, "loss": 2.5, "learning_rate": 0.5, "total": 100}],
        ),
        (
            'INFO:__main__:Metrics at step 10: {"loss": 2.5, "acc": 0.5}\n',
            [{"step": 10, "loss": 2.5, "figures": {"acc": 0.5}}],
        ),
    ],
    ids=["axolotl", "mindspore", "trlx", "rllib", "a column of words", "a word is missing", "olmo"]
    + ["two of a policy", "sentences", "a total of another count", "a clock", "before JSON"],
)
def test_what_other_trainers_print_gives_each_figure(log, expected):
    assert [written(reading) for reading in read(log.encode())[1]] == expected


@pytest.mark.parametrize(
    ("said", "loss"),
    [
        ("train loss is 0.5", 0.5),
        ("the loss was 0.5", 0.5),
        ("Best loss is 0.25 (step 3)", None),
        ("lowest loss was 0.25 at step 3", None),
        ("policy loss is 0.25", None),
    ],
)
def test_a_loss_in_a_sentence_is_the_one_that_its_words_name(said, loss):
    _, readings = read(f"step 10 loss 0.75\n{said}\n".encode())
    assert [one.loss for one in readings if one.loss is not None][1:] == [loss] * bool(loss)
    assert {one.step for one in readings} <= {10, None}


@pytest.mark.parametrize("name", ["epoch", "step", "total", "phase"])
def test_a_column_of_a_detectors_table_may_have_any_name(name):
    read_line = ultralytics.Detection().read
    assert read_line(f"  Epoch  GPU_mem  box_loss  {name}  Size") is None
    reading = read_line("  1/3  2G  1.25  7  640: 100%|████| 8/8 [00:03<00:00, 2.4it/s]")
    assert reading is not None
    assert (reading.epoch, reading.step, reading.total) == (1, 8, 8)


def test_a_row_of_all_classes_without_a_figure_says_nothing():
    read_line = ultralytics.Detection().read
    read_line("  Epoch  GPU_mem  box_loss  Size")
    read_line("  Class  Images  Instances  Box(P  R): 100%|████| 4/4 [00:01<00:00, 3.1it/s]")
    assert read_line("  all  128  929  more  follows") is None


@pytest.mark.parametrize(
    "log",
    [
        "1/2: 0.3\n2/2: 0.5\n1/2: 0.4\n",
        "12/2024: 3.3\n",
        "10/100: 5\n20/100: 6\n30/100: 7\n",
        "3/10: 0.5\n2/10: 0.4\n1/10: 0.3\n",
    ],
    ids=["folds", "a month", "whole numbers", "a countdown"],
)
def test_a_share_and_a_figure_alone_are_no_training(log):
    assert read(log.encode())[1] == []


def test_counts_without_a_word_in_an_evaluation_are_no_steps():
    counted = "".join(f"{n}/150: 0.9{n}\n" for n in range(1, 151))
    reports = [f"step {step} loss {3 - step / 100}\n" for step in range(10, 90, 10)]
    recognizer, readings = read("".join(one + counted for one in reports).encode())
    assert recognizer.recognition.format == "plain text"
    assert [reading.step for reading in readings] == [*range(10, 90, 10)]


def test_a_dictionary_that_never_ends_costs_no_later_line():
    log = b"{\n" + b'  "x": 1,\n' * 100 + b"step 20 loss 2.2\nstep 30 loss 2.1\n"
    assert [reading.step for reading in read(log)[1]] == [20, 30]


@pytest.mark.parametrize("indent", [0, 2])
def test_a_dictionary_has_lists_of_others(indent: int):
    logs = [{"groups": [{"size": 1}, {"size": 2}], "step": n, "loss": 2.5} for n in (10, 20)]
    log = "".join(f"{json.dumps(one, indent=indent)}\n" for one in logs)
    assert [reading.step for reading in read(log.encode())[1]] == [10, 20]


@pytest.mark.parametrize(
    ("rows", "behind", "reading"),
    [
        ("| loss | 0.5 |\n| acc | 0.9 |\n", "step {} loss 2.5\n", (2.5, {"acc": 0.9})),
        ("| loss | 0.5 |\n| acc | 0.9 |\n", "step {}/100\n", (0.5, {"acc": 0.9})),
        ("| mse | 0.5 |\n", "step {}/100\n", (None, {"mse": 0.5})),
    ],
)
def test_the_line_behind_a_frame_keeps_its_step(rows: str, behind: str, reading):
    steps = range(1, 30)
    frame = f"-------\n{rows}| lr | 0.001 |\n-------\n"
    log = "".join(frame + behind.format(step) for step in steps)
    _, readings = read(log.encode())
    assert [one.step for one in readings] == list(steps)
    assert (readings[-1].loss, readings[-1].figures) == reading
    assert readings[-1].learning_rate == 0.001


@pytest.mark.parametrize(
    "rows",
    [
        "| batch | 32 |\n| loss_scale | 128 |\n",
        "| epoch | 10 |\n| max_grad_norm | 1.0 |\n| warmup steps | 100 |\n",
        "| total_timesteps | 1000000 |\n| target_kl | 0.01 |\n| ent_coef | 0.0 |\n",
    ],
)
def test_a_frame_of_settings_is_no_report(rows: str):
    _, readings = read(f"------\n{rows}------\nstep 1 loss 2.5\n".encode())
    assert [(one.step, one.loss, one.figures) for one in readings] == [(1, 2.5, None)]


def test_the_name_of_a_deployment_makes_no_validation():
    assert plain("stage=dev region=local step=3 loss=2.5") == Reading(step=3, loss=2.5)


@pytest.mark.parametrize(
    ("line", "reading"),
    [
        ("step 10 | cross entropy loss: 2.5", Reading(step=10, loss=2.5)),
        ("step 10 Binary Cross Entropy Loss = 2.5", Reading(step=10, loss=2.5)),
        ("step 10 entropy loss: 2.5", Reading(step=10, figures={"entropy_loss": 2.5})),
    ],
)
def test_a_cross_entropy_is_no_entropy_of_a_policy(line: str, reading: Reading):
    assert plain(line) == reading


def test_many_bars_on_one_line_are_one():
    bars = "50%|#5   | 1/2 [00:01]" * 150
    assert plain(f"{bars} step 3 loss 2.5") == Reading(step=3, loss=2.5)
    assert plain(f"{'%|]' * 1300} loss 2.5") == Reading(loss=2.5)


@pytest.mark.parametrize("opens", ['{"prompt": "for (;;) {",\n "reward": 1\n}\n', '{"step": 9,\n'])
def test_a_dictionary_that_seems_open_costs_none_of_the_next(opens: str):
    """Seconds or hours of training may lie between two of them."""
    steps = range(10, 60, 10)
    log = "".join(f'{opens}{{"step": {step}, "loss": 2.5}}\n' for step in steps)
    assert [reading.step for reading in read(log.encode())[1]] == list(steps)


def test_a_late_line_of_another_rank_begins_no_other_training():
    lines = [(0, 10), (0, 20), (1, 10), (0, 20), (1, 20)]
    log = "".join(f"epoch {epoch} step {step} loss 2.5\n" for epoch, step in lines)
    _, readings = read(log.encode())
    assert [reading.step for reading in readings] == [10, 20, 30, 20, 40]


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_steps_of_a_log_never_go_back(log: Path):
    _, readings = read(log.read_bytes())
    for drawn in (False, True):  # a bar is a step behind the lines that are printed beside it
        steps = [one.step for one in readings if one.step is not None and one.drawn == drawn]
        assert steps == sorted(steps)


# --- lines -----------------------------------------------------------------------------------


def test_lines_are_what_a_person_sees():
    lines = Lines()
    assert lines.feed(b"\x1b[1mone\x1b[0m\r\n\x1b]0;title\x07two\x08\n   \nthr") == ["one", "two"]
    assert lines.rest() == "thr"
    assert lines.feed(b"ee\r\x1b[2K\x1b[1Afo") == ["three"]
    assert lines.close() == "fo"
    assert lines.close() == ""


def test_a_character_or_a_sequence_that_is_cut_in_two_is_one():
    text = "\x1b[38;5;244m10\x1b[0m ▼ é\r\nnext\n".encode()
    lines = Lines()
    seen = [line for byte in text for line in lines.feed(bytes([byte]))]
    assert seen == ["10 ▼ é", "next"]


def test_a_line_without_an_end_is_cut_and_the_next_is_whole():
    lines = Lines()
    for _ in range(100):
        assert lines.feed(b"x" * 10_000) == []
    assert len(lines.rest()) == LIMIT
    assert lines.feed(b"tail\nnext\n") == ["x" * LIMIT, "next"]


def test_a_long_line_within_a_chunk_is_cut_too():
    assert Lines().feed(b"y" * (LIMIT + 9) + b"\nnext\n") == ["y" * LIMIT, "next"]


def test_the_echo_of_a_key_is_no_part_of_the_line():
    assert Lines().feed(b"^Cstep 5 loss 1.5\r\n") == ["step 5 loss 1.5"]


def test_an_unfinished_sequence_costs_its_own_line_only():
    assert Lines().feed(b"a\x1b]0;no end\nb\x1b[12\nc\x1b\nd\n") == ["a", "b", "c", "d"]


# --- what is unfinished, and what is drawn again ---------------------------------------------


def test_the_last_redraw_before_a_hang_is_seen_in_the_pause():
    recognizer = Recognizer()
    bar = "\r  1%|▏   | {}/100 [00:01<01:48,  1.20s/it, loss=2.5]"
    assert recognizer.feed(bar.format(1).encode()) == []
    (reading,) = recognizer.peek()
    assert (reading.step, reading.loss, reading.total) == (1, 2.5, 100)
    assert recognizer.peek() == []
    assert recognizer.feed(bar.format(2).encode()) == []
    assert [reading.step for reading in recognizer.close()] == [2]
    assert recognizer.recognition.lines == 2


def test_a_line_that_was_looked_at_unfinished_is_read_again_when_it_grew():
    recognizer = Recognizer()
    recognizer.feed(b"step 3 ")
    assert [reading.step for reading in recognizer.peek()] == [3]
    (reading,) = recognizer.feed(b"loss=1.5\n")
    assert (reading.step, reading.loss) == (3, 1.5)


@pytest.mark.parametrize("loss", ["2.5", "nan"])
def test_a_clock_that_ticks_on_is_no_progress(loss: str):
    bar = "\r[00:00:{:02d}] ##-- 10/50 ETA:1h loss: {} (avg: 2.5) | lr: 1e-4 | 0.2 steps/s"
    recognizer = Recognizer()
    seen = [recognizer.feed(bar.format(second, loss).encode()) for second in range(30)]
    assert sum(map(len, seen)) == 1
    assert recognizer.recognition.matched == 29


def test_lines_that_count_nothing_are_progress_each():
    _, readings = read(b"loss: 0.5\n" * 3)
    assert [reading.loss for reading in readings] == [0.5] * 3


# --- recognition -----------------------------------------------------------------------------


def test_nothing_recognized_is_told_as_such():
    recognizer, readings = read(b"hello\n\nworld\n")
    assert readings == []
    found = recognizer.recognition
    assert (found.format, found.matched, found.lines) == (None, 0, 2)


def test_a_format_that_was_chosen_too_early_is_given_up():
    preparation = "".join(f"step {i} loss=0.{i}\n" for i in range(20))
    noise = "reading a file\n" * LOST
    training = "".join(f'{{"step": {i}, "loss": 1.5}}\n' for i in range(50))
    recognizer, readings = read((preparation + noise + training).encode())
    assert readings[-1] == Reading(step=49, loss=1.5)
    assert recognizer.recognition.format == "JSON lines"


def test_bars_alone_do_not_hide_the_reports_that_come_late():
    bars = "".join(f"\r {i // 30}%|#  | {i}/3000 [00:01<00:02, 9.1it/s]" for i in range(1, 501))
    report = "\n{'loss': '2.5', 'learning_rate': '1e-05', 'epoch': '0.5'}\n"
    recognizer, readings = read((bars + report).encode())
    assert readings[-1] == Reading(step=500, loss=2.5, learning_rate=1e-5, epoch=0.5)
    assert recognizer.recognition.matched == 501


def test_once_certain_another_format_is_not_listened_to():
    lines = "".join(f"Iter {i}: Train loss 2.5, Learning Rate 1e-05\n" for i in range(1, 20))
    _, readings = read((lines + "step 99 loss=7\nIter 20: Train loss 2.0\n").encode())
    assert [reading.step for reading in readings] == list(range(1, 21))


def test_what_is_printed_beside_a_bar_is_read_too():
    log = b"".join(
        b"\r 10%%|# | %d/40 [00:01<00:02, 9.1it/s, loss=%d.5]" % (step, 90 - step)
        + (b"\nIter %d: loss 2.5, lr 1e-05, tok/s 7\n" % step if step % 10 == 0 else b"")
        for step in range(1, 41)
    )
    recognizer, readings = read(log)
    lines = [reading for reading in readings if not reading.drawn]
    assert [(line.step, line.tokens_per_s) for line in lines] == [
        (n, 7.0) for n in (10, 20, 30, 40)
    ]
    assert recognizer.recognition.format == "tqdm"


def test_a_setting_or_a_heading_alone_is_no_training():
    recognizer, readings = read(
        b"Learning Rate: 1e-4\n= Loaded checkpoint (step 500)\nMemory: 80 GB\n"
    )
    assert readings == []
    assert recognizer.recognition.format is None


def test_two_tables_are_two_tables():
    first, second = Recognizer(), Recognizer()
    first.feed(b"step  loss  lr\n")
    assert second.feed(b"10  2.5  1e-4\n") == []
    assert first.feed(b"10  2.5  1e-4\n") == [Reading(step=10, loss=2.5, learning_rate=1e-4)]


# --- steps -----------------------------------------------------------------------------------


@given(
    length=st.integers(1, 50),
    stride=st.integers(1, 10),
    epochs=st.integers(1, 5),
    start=st.integers(0, 1),
    named=st.booleans(),
    total=st.booleans(),
)
def test_steps_are_counted_through_the_epochs(
    length: int, stride: int, epochs: int, start: int, named: bool, total: bool
):
    """Reports every `stride` steps of epochs of so many strides."""
    steps = Steps()
    placed, true = [], []
    whole = length * stride
    raw = range(0, whole, stride) if start == 0 else range(stride, whole + 1, stride)
    if not named and len(raw) == 1:
        return  # one and the same step, again and again
    for epoch in range(epochs):
        for step in raw:
            reading = Reading(
                step=step,
                loss=1.0,
                epoch=float(epoch) if named else None,
                total=whole if total else None,
            )
            after = steps.place(reading)
            assert after is not None
            placed.append(after.step)
            true.append(epoch * whole + step)
    if len(raw) > 1 or total or start == 1:
        assert placed == true
    assert all(a < b for a, b in itertools.pairwise(placed))


def test_another_ranks_line_that_comes_late_begins_no_epoch():
    steps = Steps()
    seen = [steps.place(Reading(step=step, epoch=0.0)) for step in (1, 2, 3, 2, 4)]
    assert [reading.step for reading in seen if reading] == [1, 2, 3, 2, 4]
    again = [steps.place(Reading(step=s, epoch=e)) for s, e in ((1, 1.0), (4, 0.0), (2, 1.0))]
    assert [reading.step for reading in again if reading] == [5, 4, 6]


def test_a_bar_within_the_training_counts_batches():
    steps = Steps()
    steps.place(Reading(step=10, total=24))
    assert steps.place(Reading(step=1, total=4)) == Reading(batch=1, total=4)
    assert steps.place(Reading(step=11, total=24)) == Reading(step=11, total=24)


def test_a_setup_bar_before_the_training_is_no_epoch_of_it():
    steps = Steps()
    steps.place(Reading(step=3, total=4))
    assert steps.place(Reading(step=0, total=100)) == Reading(step=0, total=100)


def test_figures_that_a_bar_only_draws_again_are_no_new_ones():
    steps = Steps()
    drawn = [(9, 2.5), (9, 2.0), (10, 2.0), (11, 2.0), (11, 1.5)]
    placed = [steps.place(Reading(step=n, loss=x, drawn=True)) for n, x in drawn]
    assert [(one.step, one.loss) for one in placed if one] == [
        (9, 2.5), (9, 2.0), (10, None), (11, None), (11, 1.5)
    ]  # fmt: skip


def test_a_heading_dates_the_next_report_and_no_other():
    steps = Steps()
    assert steps.place(Reading(dates=25)) is None
    assert steps.place(Reading(loss=1.0)) == Reading(step=25, loss=1.0)
    steps.place(Reading(dates=50))
    assert steps.place(Reading(step=51, loss=1.0)) == Reading(step=51, loss=1.0)
    assert steps.place(Reading(loss=1.0)) == Reading(step=51, loss=1.0)


def test_epochs_are_the_steps_where_nothing_else_counts():
    steps = Steps()
    assert steps.place(Reading(epoch=1.0)) == Reading(epoch=1.0)  # a heading
    placed = [steps.place(Reading(epoch=float(n), loss=1.0)) for n in (1, 2, 3)]
    assert [one.step for one in placed if one] == [1, 2, 3]
    fractions = Steps()
    placed = [fractions.place(Reading(epoch=n / 4, loss=1.0)) for n in range(1, 9)]
    assert {one.step for one in placed if one} == {None}
    within = Steps()
    within.place(Reading(step=7, epoch=0.0))
    assert within.place(Reading(epoch=0.0, loss=1.0)) == Reading(step=7, epoch=0.0, loss=1.0)


def test_a_loss_without_a_step_belongs_to_the_last_one():
    steps = Steps()
    assert steps.place(Reading(loss=1.0)) == Reading(loss=1.0)
    steps.place(Reading(step=7))
    assert steps.place(Reading(loss=1.0)) == Reading(step=7, loss=1.0)


# --- figures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        ("1,5", 1.5),
        ("0,123", 0.123),
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("1,234,567", 1234567.0),
        ("1,0e-04", 1e-4),
        ("-inf", -math.inf),
        ("Infinity", math.inf),
        (3, 3.0),
        ("array(nan, dtype=float32)", NAN),
        ("tensor(2.5, device='cuda:0')", 2.5),
        ("-1.#IND00", NAN),
        ("1.#INF", math.inf),
        ("array([1, 2])", None),
        (True, None),
        (None, None),
        ("", None),
        ("x", None),
        (10**400, None),
    ],
)
def test_number(text: object, value: float | None):
    assert number(text) == value or number(text) is value


def test_every_nan_is_the_same_one():
    assert number("NaN") is number(math.nan) is NAN


def test_a_comma_is_of_thousands_where_one_counts():
    assert number("1,234", comma_is_decimal=False) == 1234
    assert count("1,234") == 1234
    assert size("28,349", 10**9) == 28_349_000_000
    assert size("1,234", 2**20) == 1234 * 2**20


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e300", "", None, [], "9" * 5000])
def test_what_is_no_count_is_none(value: object):
    assert count(value) is None
    assert size(value, 1) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("train/loss", "loss"),
        ("Train loss", "loss"),
        ("then loss", "loss"),
        ("Best loss", ""),
        ("eval_loss", "validation"),
        ("Evaluating loss", "validation"),
        ("Learning Rate", "rate"),
        ("Tokens/sec", "tokens"),
        ("peak_mem", "peak"),
        ("grad_norm", ""),
        ("loss_scale", ""),
    ],
)
def test_names(name: str, kind: str):
    assert field(name)[0] == kind


# --- single lines ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reading"),
    [
        ("step 12 loss=1.23", Reading(step=12, loss=1.23)),
        ("epoch 1, iter 20: 0.123", Reading(step=20, epoch=1.0, loss=0.123)),
        ("global_step=7;train_loss=2", Reading(step=7, loss=2.0)),
        (
            "Epoch 3: train_loss=nan val_loss=inf",
            Reading(epoch=3.0, loss=NAN, figures={"val_loss": math.inf}),
        ),
        (
            "step 3 loss 2.5 grad_norm nan acc 5/10 best_acc 0.9 elapsed 3.5 it/s 9.1",
            Reading(step=3, loss=2.5, figures={"grad_norm": NAN, "acc": 0.5, "it_s": 9.1}),
        ),
        ("step 3 loss 2.5 peak_mem 1.5GB", Reading(step=3, loss=2.5, peak_bytes=1_500_000_000)),
        ("--- Report (iteration 25/100) ---", Reading(dates=25)),
        ("KL Divergence: 0.5", Reading(figures={"kl_divergence": 0.5})),
        (
            "Total Rewards:  μ=0.5, σ=0.1",
            Reading(figures={"total_rewards": 0.5, "total_rewards_std": 0.1}),
        ),
        ("Saved 12 files: 3 of 4", None),
        (
            "Epoch 2, train: 2.5, val: 2.6",
            Reading(epoch=2.0, loss=2.5, figures={"val_loss": 2.6}),
        ),
        (
            "Epoch: 002, Train: 0.9, Val: 0.8, Test: 0.7",  # as PyTorch Geometric's examples
            Reading(epoch=2.0, figures={"train": 0.9, "val": 0.8, "test": 0.7}),
        ),
        (
            "epoch 2 acc: train 0.9, val 0.8",
            Reading(epoch=2.0, figures={"train": 0.9, "val": 0.8}),
        ),
        ("Epoch 3 - val_loss: 0.5", Reading(epoch=3.0, loss=0.5, validation=True)),
        ("[val] step 3 loss 0.5", Reading(step=3, loss=0.5, validation=True)),
        ("[VAL] step 3 loss 0.5", Reading(step=3, loss=0.5, validation=True)),
        ("[test-run] step 3 loss 0.5", Reading(step=3, loss=0.5)),
        ("step 5", Reading(step=5)),
        ("INFO step 5/10", Reading(step=5, total=10)),
        ("Epoch 2", Reading(epoch=2.0)),
        ("step 5, loss", Reading(step=5)),
        ("step 3 loss array(nan, dtype=float32)", Reading(step=3, loss=NAN)),
        ("val loss tensor(2.5) step 3", Reading(step=3, loss=2.5, validation=True)),
        ("step 3 loss: tensor(2., grad_fn=<NllLossBackward0>)", Reading(step=3, loss=2.0)),
        ("step 3 loss tf.Tensor(2.5, shape=(), dtype=float32)", Reading(step=3, loss=2.5)),
        ("step 3 loss=np.float32(1.5)", Reading(step=3, loss=1.5)),
        ("step 3 loss=mx.array(1.5)", Reading(step=3, loss=1.5)),
        ("step 3 loss array([1.5, 2.5], dtype=float32)", Reading(step=3)),
        ("step 1 loss=1.#QNAN", Reading(step=1, loss=NAN)),
        ("step 1 loss: -1.#INF00 lr: 0.1", Reading(step=1, loss=-math.inf, learning_rate=0.1)),
        ("step 1 loss=2.step 2 loss=3.5", Reading(step=1)),
        ("step 1 loss=2.5[rank2]: done", Reading(step=1, loss=2.5)),
        ("step 1.000 loss=0,5", Reading(step=1000, loss=0.5)),
        ("step 1.000/5.000 loss=0,5", Reading(step=1000, loss=0.5, total=5000)),
        ("step 12.500 | loss: 1.234,5", Reading(step=12500, loss=1234.5)),
        ("step 12 500 loss: 0,5", Reading(step=12500, loss=0.5)),
        ("step 12\u202f500/20\u202f000 loss: 0,5", Reading(step=12500, loss=0.5, total=20000)),
        ("step 12'500 loss: 0.5", Reading(step=12500, loss=0.5)),
        ("step 1,000/5,000 loss: 0.5", Reading(step=1000, loss=0.5, total=5000)),
        ("step 5.000 loss 2.500", Reading(step=5, loss=2.5)),
        ("step 12 500 loss 2.5", Reading(step=12, loss=2.5)),
        ("Epoch 00 [010] | Train loss 1.2", Reading(step=10, epoch=0.0, loss=1.2)),
        ("[ 12/100] loss 1.2", Reading(step=12, loss=1.2, total=100)),
        ("[0/25][5/1583] loss: 1.3", Reading(step=5, epoch=0.0, loss=1.3, total=1583)),
        ("loss: 2.3  [   64/60000]", Reading(step=64, loss=2.3, total=60000)),
        ("12: loss 1.5", Reading(step=12, loss=1.5)),
        ("12:30:01 loss 1.5", Reading(loss=1.5)),
        ("[1/10] loss functions tested", None),
        ("12: the losses of 3 teams", None),
        ("[2/5] tensor(3) of an epoch", None),
        ("array(3) steps", None),
        ("Resuming from checkpoint step 500", None),
        ("Best loss: 0.3 (step 20)", None),
        ("Starting training..., iters: 25", None),
        ("batch=32 epochs=3 lr=0.1", None),
        ("lr: 0.1", None),
        ("the loss of step by step guides", None),
    ],
)
def test_plain_text(line: str, reading: Reading | None):
    found = plain(line)
    if reading is None or found is None:
        assert found is reading
    else:
        assert msgspec.structs.astuple(found) == msgspec.structs.astuple(reading)


@pytest.mark.parametrize(
    ("line", "reading"),
    [
        ("10%|# | 1.00k/10.0k [00:12<01:48, 1.20kit/s]", Reading(step=1000, total=10_000)),
        ("10%|# | 1.00/20.0 [00:12<01:48, 1.20it/s]", Reading(step=1, total=20)),
        ("1.20kit [00:12, 1.20kit/s, loss=2.5]", Reading(step=1200, loss=2.5)),
        ("10%|# | 1/20 [00:12<01:48, 1.20it/s, step_loss=2]", Reading(step=1, total=20, loss=2.0)),
        ("10%|# | 1/20 [00:12<01:48, 1.20it/s, avr_loss=2]", Reading(step=1, total=20, loss=2.0)),
        ("10%|# | 1/2 [00:12<01:48, 1.2it/s, loss=tensor(2.)]", Reading(step=1, total=2, loss=2.0)),
    ],
)
def test_bars_of_steps(line: str, reading: Reading):
    found = BY_NAME["tqdm"](line)
    assert found is not None
    assert found.drawn
    assert msgspec.structs.replace(found, drawn=False) == reading


@pytest.mark.parametrize("line", ["{'loss': array(2.5, dtype=float32)}", "{'loss': tensor(2.5)}"])
def test_a_dict_of_arrays(line: str):
    assert BY_NAME["Hugging Face Trainer"](line) == Reading(loss=2.5)


@pytest.mark.parametrize(
    "bar",
    [
        "[00:00:12] ███░░░ 1,000/5,000 ",
        "[100:00:12] [#>--] 1000/5000 ",
        "[4d 01:00:12] [█  ] 1000/5000 ",
    ],
)
def test_the_original_trainers_bar_as_its_library_may_draw_it(bar: str):
    read_line = BY_NAME["original trainer"]
    assert read_line(bar + "ETA:1h loss: 2.5") == Reading(step=1000, total=5000, loss=2.5)
    assert read_line("[00:00:12] done - 3/4 of it") is None


def test_the_loss_after_a_heading_is_a_validations():
    log = "step 1 loss: 2.5\nTest Error: \n Avg loss: 1.91 \nstep 2 loss: 2.25\n"
    _, readings = read(log.encode())
    assert [(one.loss, one.validation) for one in readings] == [
        (2.5, False), (None, True), (1.91, True), (2.25, False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "Downloading: 12%|#2  | 1.20M/9.99M [00:03<00:22, 3.9MB/s]",
        "weights.safetensors: 12%|#2  | 1.20G/9.99G [00:03<00:22, 390MB/s]",
        "rows: 12%|#2  | 1.20k/9.99k [00:03<00:22, 3.9kexamples/s]",
        "Map: 12%|#2   | 12/100 [00:03<00:22, 3.9 examples/s]",
        "Tokenizing: 12%|#2  | 12/100 [00:03<00:22, 3.9it/s]",
        "100%|##| broken",
        "Epoch 0: 12%|# | 1/10 [00:01<00:01, 4.90it/s, v_num=0]",
    ],
)
def test_bars_of_other_things_are_no_steps(line: str):
    assert BY_NAME["tqdm"](line) is None


@pytest.mark.parametrize(
    "line",
    [
        '{"step": "twelve", "loss": null}',
        '{"a": 1}',
        '[{"step": 1}]',
        '{"step": 1, "loss": 2',
        '{"step": NaN}',
        '{"x":' * 10_000,
        "{" * 10_000,
    ],
)
def test_json_that_says_nothing(line: str):
    assert BY_NAME["JSON lines"](line) is None
    assert BY_NAME["original trainer"](line) is None


# --- the user's pattern ----------------------------------------------------------------------


def test_a_pattern_names_its_groups():
    _, *readings = Recognizer((PATTERN,)).feed(b"batch 1 gave 2.5\nbatch 2 gave nan\nbatch 3\n")
    assert [(reading.step, reading.loss) for reading in readings] == [(2, NAN)]
    read_line = from_pattern(
        r"(?P<epoch>\d+)/(?P<step>\d+) (?P<phase>\w+) (?P<memory_gb>\S+) (?P<lr>\S+)"
    ).read
    assert read_line("1/20 update 1.5 1e-4") == Reading(
        epoch=1.0, step=20, phase="update", memory_bytes=1_500_000_000, learning_rate=1e-4
    )
    assert from_pattern(r"(?P<step>\d*)x(?P<loss>y)?").read("x") is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "not a regular expression"),
        (r"step (\d+)", "names no group"),
        (r"(?P<stepp>\d+)", "no such figure: stepp"),
        (r"(?:a|a)+(?P<step>\d)", "takes for ever on a line such as 'aaaa'.*in several ways"),
    ],
)
def test_a_pattern_that_cannot_be_used(pattern: str, words: str):
    with pytest.raises(ValueError, match=words):
        from_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?:a|aa)+(?P<step>!)",
        r"(?:(a+)\1)*(?P<step>b)",
        r"(?:x|xx)+(?P<step>q)",
        r"(?:.*?,){11}(?P<step>\d)",
        r"(?:a{1,30}){1,30}(?P<step>b)",
    ],
)
def test_a_pattern_that_takes_for_ever_is_refused_at_once(pattern: str):
    began = time.process_time()
    with pytest.raises(ValueError, match=r"takes for ever.*Write the repetition so"):
        from_pattern(pattern)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?:\w+ )*loss=(?P<loss>[\d.]+)",
        r"(?:\w+=\S+ )*loss=(?P<loss>\S+)",
        r"^(?:[^,]*,){12}(?P<loss>[^,]+)",
        r"(?:\[[^\]]*\] )*step (?P<step>\d+)",
        r"(?P<step>\d{1,3}(?:,\d{3})*) .*?loss.*?(?P<loss>[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)",
        r"(?:bar|baz)+(?P<step>\d)",
        r"(?:a?b?)*(?P<step>c)",
        r"(?P<loss>(\w+\s?)+)$",
    ],
)
def test_a_pattern_that_is_accepted_stays_fast_whatever_the_line(pattern: str):
    adapter = from_pattern(pattern)
    began = time.process_time()
    for piece in ("a", " ", ",", "a ", "a, ", "1", "1,", "a=", "a=a ", "[", "[] ", "a,a,,", "loss"):
        adapter.read(piece * 1000 + "!")
    assert time.process_time() - began < 20


def test_a_pattern_that_proves_slow_is_given_up_and_says_so():
    # None of the lines that are tried first begins with "loss", so none shows what it does.
    adapter = from_pattern(r"^loss (?P<loss>\d+)(?:a|aa)+!")
    assert adapter.read("loss 3a!") == Reading(loss=3.0)
    assert adapter.given_up() == ""
    began = time.process_time()
    for _ in range(1000):
        assert adapter.read("loss 3" + "a" * 200) is None
    assert time.process_time() - began < 20
    assert re.search(r"pattern \^loss.* too slow .* 206 characters.*Write", adapter.given_up())


def test_one_slow_line_now_and_then_does_not_cost_the_pattern():
    adapter = from_pattern(r"(?P<step>\d+)$|^loss (?:a|aa)+!")
    assert adapter.read("loss " + "a" * 200 + "?") is None
    assert adapter.given_up() == ""
    assert adapter.read("12") == Reading(step=12)


def test_other_threads_run_while_a_pattern_is_searched():
    adapter = from_pattern(r"^loss (?P<loss>\d+)(?:a|aa)+(?P<step>!)")
    over = threading.Event()
    rounds = []

    def count_rounds() -> None:
        while not over.wait(0.001):
            rounds.append(0)

    thread = threading.Thread(target=count_rounds)
    thread.start()
    for _ in range(5):
        adapter.read("loss 3" + "a" * 200)
    over.set()
    thread.join()
    # Who holds the interpreter's lock lets one round pass between two of its searches of 0.1 s.
    assert len(rounds) > 20


# --- no input whatever -----------------------------------------------------------------------

FRAGMENTS = [
    "Iter ", "Train loss ", ", Learning Rate ", " ▼ ", " val ", "train ", "██", "% · ", "_adapters",
    "[DEBUG] Step ", "[00:00:12] ", "#--", "loss: ", " | lr: ", " | mem: ", " GB", "[MEM] Active: ",
    '{"', '"step": ', '"loss": ', '"elapsed_secs": ', '"location": ', "NaN", "Infinity", "}", "}{",
    "{'", "'loss': ", "'epoch': '", "'train_runtime'", "%|", "| ", " [", "00:01<00:02, ", "it/s, ",
    "it [00:", "Epoch ", "Epoch(train) [", "][", "epoch", "/", "v_num=0", "DataLoader 0: ", " • ",
    "━━╸", "0:00:01", "Epoch 1/5", "/step", " - ", "/Unknown ", "step ", "iter=", ": ", ", ", "=",
    "tok/s", "tokens/sec ", " ", "\t", "\x1b[", "\x1b]", "\x07", "\r", "\n", "\x08", "1", "0", "99",
    "array(", "tensor(", ", dtype=float32)", ")", "1.#QNAN", ".#", "Test Error:", "k/", "kit [00:",
    "'", "] ", "░", "[0/25]", "\u202f", "1.000", "2.step",
    "1,234", "1.5", "e-5", "-", "+", ".", "nan", "inf", "9" * 400, "٣", "²", "\ud800", "é",
]  # fmt: skip


@given(st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=5)), max_size=30))
def test_no_line_raises(parts: list[str]):
    line = "".join(parts)
    for adapter in (*ADAPTERS, PATTERN):
        reading = adapter.read(line)
        assert reading is None or isinstance(reading, Reading)
        if reading is not None:
            msgspec.convert(msgspec.to_builtins(reading), Reading)  # each field has its type


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(FRAGMENTS)), max_size=40))
def test_no_stream_raises(chunks: list[bytes | str]):
    recognizer = Recognizer()
    for chunk in chunks:
        data = chunk if isinstance(chunk, bytes) else chunk.encode("utf-8", "surrogatepass")
        recognizer.feed(data)
        recognizer.peek()
    recognizer.close()
    found = recognizer.recognition
    assert 0 <= found.matched <= found.lines


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.none() | st.integers(0, 3), st.none() | st.integers(0, 9),
            st.booleans(), st.booleans(),
        )
    )
)  # fmt: skip
def test_no_order_of_steps_raises(seen: list[tuple[int, int | None, int | None, bool, bool]]):
    steps = Steps()
    for step, epoch, total, validation, loss in seen:
        placed = steps.place(
            Reading(
                step=step,
                epoch=None if epoch is None else epoch / 2,
                total=total,
                validation=validation,
                loss=1.0 if loss else None,
            )
        )
        assert placed is None or placed.step is None or placed.step >= 0


LONG = [fragment * (LIMIT // len(fragment)) for fragment in FRAGMENTS]
LONG += [start + fragment * 30_000 for start in ("step ", "Iter 1: ", "{'loss': ", '{"step": 1') for
         fragment in (" ", "1", "a", "a ", "1,", "1.", "'a", "e", "\x1b[", " 1/", "(")]  # fmt: skip
LONG += ["1 ━" + "━" * 60_000, "9%|" + "|" * 60_000, "train " + "█" * 20_000, "a=" * 30_000]


def test_no_long_line_stalls():
    """Anything worse than linear would take hours for some of these."""
    began = time.process_time()
    for line in LONG:
        for adapter in (*ADAPTERS, PATTERN):
            adapter.read(line)
        recognizer = Recognizer()
        recognizer.feed(line.encode("utf-8", "surrogatepass") + b"\n")
    assert time.process_time() - began < 120
