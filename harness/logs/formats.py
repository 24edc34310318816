"""The log formats, in the order in which they are believed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from harness.logs import (
    bare,
    huggingface,
    jsonlines,
    keras,
    lightning,
    mlx_lm,
    original_trainer,
    pattern,
    plain,
    table,
    tqdm,
    ultralytics,
)
from harness.logs.reading import Read


class Adapter(msgspec.Struct, frozen=True):
    """One format."""

    name: str
    read: Read
    given_up: Callable[[], str] = str
    """The reason why it reads nothing any more, and the remedy; empty while it reads."""
    begin: Callable[[], Read] | None = None
    """Makes the `read` of one stream, for a format in which a line depends on those before it."""
    alone: bool = False
    """Not believed once another format has given a loss with its step: then it counts other things,
    such as the samples of an evaluation."""


ADAPTERS = (
    Adapter("mlx-lm", mlx_lm.read),
    Adapter("original trainer", original_trainer.read),
    Adapter("JSON lines", jsonlines.read, begin=jsonlines.begin),
    Adapter("Lightning", lightning.read),
    Adapter("Keras", keras.read),
    Adapter("Ultralytics", ultralytics.begin(), begin=ultralytics.begin),
    Adapter("tqdm", tqdm.read),
    Adapter("Hugging Face Trainer", huggingface.read, begin=huggingface.begin),
    Adapter("table", table.begin(), begin=table.begin),
    Adapter("bare counts", bare.begin(), begin=bare.begin, alone=True),
    Adapter("plain text", plain.read, begin=plain.begin),
)
"""The particular before the general: of formats that say the same, the first is meant."""


def from_pattern(regex: str) -> Adapter:
    """The format of a user's regex; ValueError when it cannot be used (see `UserPattern`)."""
    own = pattern.UserPattern(regex)
    return Adapter(f"pattern {regex}", own.read, lambda: own.given_up)
