"""A parser of texts that does not advance on a character that it does not know."""

from __future__ import annotations

import random
import string

import mlx.core as mx
from network import Trainer

DIMS = 16
ROWS = 8
STEPS = 40


class Token:
    def __init__(self, kind, text):
        self.kind = kind
        self.text = text

    def number(self):
        return float(self.text) if self.kind == "number" else float(len(self.text))


class Scanner:
    """Cuts a text into words and numbers."""

    def __init__(self, text):
        self.text = text
        self.at = 0
        self.tokens = []

    def run(self, test):
        first = self.at
        while self.at < len(self.text) and test(self.text[self.at]):
            self.at += 1
        return self.text[first : self.at]

    def scan(self):
        while self.at < len(self.text):
            character = self.text[self.at]
            if character.isdigit():
                self.tokens.append(Token("number", self.run(str.isdigit)))
            elif character.isalpha():
                self.tokens.append(Token("word", self.run(str.isalpha)))
            elif character.isspace():
                self.run(str.isspace)
        return self.tokens


class Texts:
    """Random texts; one of them has a character that is none of these."""

    def __init__(self, odd):
        self.odd = odd

    def text(self, number):
        rng = random.Random(number)
        words = []
        for _ in range(DIMS):
            if rng.random() < 0.5:
                words.append(str(rng.randrange(100)))
            else:
                words.append("".join(rng.choice(string.ascii_lowercase) for _ in range(4)))
        if number == self.odd:
            words[3] = "#" + words[3]
        return " ".join(words)


class Mean:
    def __init__(self):
        self.values = []

    def add(self, value):
        self.values = [*self.values, value][-20:]
        return sum(self.values) / len(self.values)


def row(text):
    tokens = Scanner(text).scan()
    return [token.number() / 100 for token in tokens[:DIMS]]


def batch(texts, step):
    rows = [row(texts.text(step * ROWS + i)) for i in range(ROWS)]
    return mx.array(rows), mx.array([[sum(one)] for one in rows])


def main():
    trainer = Trainer(DIMS, hidden=32, layers=2)
    texts = Texts(odd=60)
    mean = Mean()
    for step in range(STEPS):
        x, y = batch(texts, step)
        loss = trainer.step(x, y)
        print(f"step {step}: loss {loss:.4f} mean {mean.add(loss):.4f}", flush=True)


if __name__ == "__main__":
    main()
