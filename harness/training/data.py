"""Real English text, the same on every machine with the same Python, and batches drawn from it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache

import mlx.core as mx

CHARACTERS = 200_000
"""The characters of the text that are tokenized: enough for any run, soon done with a slow
tokenizer."""


@cache
def text() -> str:
    """The Python documentation topics that the standard library carries for `help()`."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))[:CHARACTERS]


def byte_tokens(text: str) -> list[int]:
    """A token for each byte: vocabulary 256."""
    return list(text.encode())


def batches(
    encode: Callable[[str], list[int]], batch_size: int, seq_len: int, seed: int
) -> Iterator[tuple[mx.array, mx.array]]:
    """Endless (inputs, targets), both int32 of shape (batch_size, seq_len), targets one ahead."""
    tokens = encode(text())
    draw = random.Random(seed)
    last = len(tokens) - seq_len - 1
    if last < 0:
        raise ValueError(
            f"the text has {len(tokens)} tokens, fewer than one window of {seq_len}: "
            "give a smaller --seq-len"
        )
    while True:
        starts = [draw.randint(0, last) for _ in range(batch_size)]
        window = mx.array([tokens[start : start + seq_len + 1] for start in starts])
        yield window[:, :-1], window[:, 1:]
