"""Logs in other languages, with commas between columns, or of several losses."""

from __future__ import annotations

import math
import re
import sys

import pytest

from harness.logs import Recognizer
from harness.logs.tongues import _FOREIGN_WORDS, _key, in_english


def read(*lines):
    recognizer = Recognizer()
    data = "".join(f"{line}\n" for line in lines).encode()
    return [*recognizer.feed(data), *recognizer.close()]


@pytest.mark.parametrize(
    ("line", "step", "loss", "rate"),
    [
        ("Étape 3/100 - perte : 2,34 - taux d'apprentissage : 1,0e-4", 3, 2.34, 1e-4),
        ("Schritt 3: Verlust 2,34, Lernrate 1e-4", 3, 2.34, 1e-4),
        ("paso 3/100 pérdida: 2.34 tasa de aprendizaje: 0.0001", 3, 2.34, 1e-4),
        ("Passo 3 | Perda 2.34", 3, 2.34, None),
        ("Шаг 3: потери 2.34, скорость обучения 1e-4", 3, 2.34, 1e-4),
        ("步骤 3/100，损失：2.34，学习率：1e-4", 3, 2.34, 1e-4),
        ("第 3 步，损失值 2.34", 3, 2.34, None),
        ("第3/100步 损失=2.34 lr=1e-4", 3, 2.34, 1e-4),
        ("step 3 loss：2.34", 3, 2.34, None),
        ("ステップ 3/100: 損失 2.34 学習率 0.0001", 3, 2.34, 1e-4),
        ("스텝 3: 손실 2.34", 3, 2.34, None),
    ],
)
def test_a_report_is_read_in_any_of_these_languages(line, step, loss, rate):
    (found,) = read(line)
    assert (found.step, found.loss, found.learning_rate) == (step, loss, rate)
    assert found.total == (100 if "100" in line else None)


@pytest.mark.parametrize(
    "line",
    ["Época {}/40 - pérdida: {} - precisión: 0.5", "エポック {}: 損失 {}", "第 {} 轮 损失 {}"],
)
def test_epochs_are_the_steps_there_too(line):
    found = read(*(line.format(n, 3 - n / 10) for n in range(1, 6)))
    assert [reading.step for reading in found] == [1, 2, 3, 4, 5]
    assert [reading.loss for reading in found] == [2.9, 2.8, 2.7, 2.6, 2.5]


def test_nan_is_seen_in_them():
    for line in ("步骤 3/100，损失：nan", "Schritt 3: Verlust nan"):
        (found,) = read(line)
        assert found.step == 3
        assert math.isnan(found.loss)


def test_a_loss_of_validation_is_none_of_the_training():
    found = read(*(f"步骤 {n}，训练损失：{3 - n / 10:.1f}，验证损失：{n}" for n in range(1, 4)))
    assert [reading.loss for reading in found] == [2.9, 2.8, 2.7]
    assert [reading.figures["val_loss"] for reading in found] == [1, 2, 3]


@pytest.mark.parametrize(
    "line",
    [
        "the perte of words, converted 3 times",  # nothing to count
        "cuda: 100%|████| 3/3 [00:01<00:00, perte=2.1]",
        "Mot de passe 12",
        "inserted 12 rows in 3 ms",
        "Impasse 3",
        "passo",
    ],
)
def test_prose_is_no_report(line):
    assert not [reading for reading in read(line) if reading.loss is not None]


def test_words_within_words_stay():
    assert in_english("Überverlusten 3") == "Überverlusten 3"
    assert in_english("schrittweise 4 Verlust") == "schrittweise 4 loss "


@pytest.mark.parametrize(
    ("line", "step", "loss"),
    [
        ("ADIM 3/100 - KAYIP: 2,34 é", 3, 2.34),
        ("Adim 3/100 - kayıp: 2,34", 3, 2.34),
        ("İTERAÇÃO 3: PERDA 2,34", 3, 2.34),
        ("ſchritt 3: Verluſt 2,34", 3, 2.34),
    ],
)
def test_letters_that_are_the_same_but_for_their_case_are_read(line, step, loss):
    (found,) = read(line)
    assert (found.step, found.loss) == (step, loss)


def test_every_letter_that_is_found_for_another_is_known():
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, sys.maxunicode + 1))))
    for letter in sorted(set("".join(_FOREIGN_WORDS))):
        for twin in re.findall(re.escape(letter), every, re.IGNORECASE):
            assert _key(twin) == _key(letter)


def test_a_table_may_have_commas():
    found = read("step,loss,lr,grad_norm", "10,2.5,0.0001,1.5", "20,nan,0.0001,inf")
    assert [(r.step, r.learning_rate, r.figures["grad_norm"]) for r in found] == [
        (10, 1e-4, 1.5),
        (20, 1e-4, float("inf")),
    ]
    assert found[0].loss == 2.5
    assert math.isnan(found[1].loss)


def test_lists_with_commas_are_no_table():
    assert read("files, steps, more", "1, 2, 3", "loading, please wait, step") == []


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("[0/5][{}/1583]\tLoss_D: 0.5\tLoss_G: 3.2\tD(x): 0.8", 50),
        ("[{}]\ttrain-logloss:0.51\teval-logloss:0.55", 50),
        ("I1130 01:00:00.1 99 logging_writer.py:48] [{}] learning_rate=0.001, loss=2.5", 50),
    ],
)
def test_a_number_in_brackets_counts_the_losses_behind_it(line, step):
    (found,) = read(line.format(step))
    assert found.step == step
    named = set(found.figures or ())
    assert not {name for name in named if name.endswith("_py")}
    assert found.loss == 2.5 or any("loss" in name for name in named)


def test_the_line_of_a_source_file_is_no_figure():
    (found,) = read("I1130 01:00:00.1 99 train.py:112] step: 3, loss: 2.5, note.rs:7 ratio: 0.5")
    assert found.figures == {"ratio": 0.5}


def test_fractions_of_epochs_count_nothing_if_the_first_is_whole():
    lines = [f"{{'loss': '{3 - n / 10:.1f}', 'epoch': '{n / 100:.2f}'}}" for n in range(5)]
    found = read(*lines)
    assert [reading.loss for reading in found] == [3.0, 2.9, 2.8, 2.7, 2.6]
    assert [reading.step for reading in found[1:]] == [None] * 4


def test_a_place_of_loguru_is_no_figure():
    line = "2026-11-30 01:00:00.123 | INFO     | __main__:train:123 - step 10 | loss 2.5"
    (found,) = read(line)
    assert (found.step, found.loss, found.figures) == (10, 2.5, None)


def test_a_bar_of_times_counts_its_batches():
    bar = " [====>....]  Step: 123ms | Tot: 2s345ms | Loss: {} | Acc: 10.000% (13/128) {}/391 "
    found = read(*(bar.format(3 - n / 10, n) for n in range(1, 4)))
    assert [(r.step, r.total, r.loss) for r in found] == [
        (1, 391, 2.9),
        (2, 391, 2.8),
        (3, 391, 2.7),
    ]
