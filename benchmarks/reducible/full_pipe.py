"""A tokenizer in another process writes more than its pipe holds, and nobody reads it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import mlx.core as mx
from data import Dataset, batches
from network import Trainer

TOKENIZER = textwrap.dedent(
    """
    import json
    import sys

    for line in sys.stdin:
        words = line.split()
        print(json.dumps({"length": len(words), "words": words * 4000}))
        sys.stdout.flush()
    """
)


class Tokenizer:
    """Speaks JSON with a process of its own."""

    def __init__(self, source):
        self.process = subprocess.Popen(
            [sys.executable, "-c", source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.sent = 0
        self.answers = []

    def send(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        self.sent += 1

    def receive(self):
        answer = json.loads(self.process.stdout.readline())
        self.answers.append(answer["length"])
        return answer

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


class Curriculum:
    """Texts from short to long ones."""

    def __init__(self, words, stages):
        self.words = words
        self.stages = stages

    def texts(self):
        for stage in range(1, self.stages + 1):
            yield " ".join(self.words[i % len(self.words)] for i in range(stage * 2))


class Statistics:
    def __init__(self):
        self.total = 0
        self.count = 0

    def add(self, value):
        self.total += value
        self.count += 1

    def mean(self):
        return self.total / max(1, self.count)


def lengths(tokenizer, curriculum):
    """The number of tokens of each text; it does not wait for the answers."""
    sent = []
    for text in curriculum.texts():
        tokenizer.send(text)
        sent.append(len(text))
    code = tokenizer.close()
    if code:
        raise RuntimeError(f"the tokenizer ended with {code}")
    return sent


def main():
    dataset = Dataset(64, 16)
    trainer = Trainer(16, hidden=32, layers=1)
    statistics = Statistics()
    for step, (x, y) in enumerate(batches(dataset, 8)):
        loss = trainer.step(x, y)
        statistics.add(loss)
        print(f"step {step}: loss {loss:.4f} mean {statistics.mean():.4f}", flush=True)
        if step == 3:
            tokenizer = Tokenizer(TOKENIZER)
            found = lengths(tokenizer, Curriculum(["alpha", "beta", "gamma"], 5))
            print("lengths", found, mx.array(found).sum().item(), flush=True)


if __name__ == "__main__":
    main()
