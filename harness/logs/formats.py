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
from harness.logs.blocks import Blocks
from harness.logs.framed import Framed
from harness.logs.reading import Reading


class Adapter(msgspec.Struct, frozen=True):
    """One format. `read` takes a line without its end and never raises, whatever the line."""

    name: str
    read: Callable[[str], Reading | None]
    given_up: Callable[[], str] = str
    """The reason why it reads nothing any more, and the remedy; empty while it reads."""
    begin: Callable[[], Callable[[str], Reading | None]] | None = None
    """Makes the `read` of one stream, for a format in which a line depends on those before it."""
    alone: bool = False
    """Not believed once another format has given a loss with its step: then it counts other things,
    such as the samples of an evaluation."""


ADAPTERS = (
    Adapter("mlx-lm", mlx_lm.read),
    Adapter("original trainer", original_trainer.read),
    Adapter("JSON lines", jsonlines.read, begin=lambda: Blocks(jsonlines.read).read),
    Adapter("Lightning", lightning.read),
    Adapter("Keras", keras.read),
    Adapter(
        "Ultralytics",
        ultralytics.Detection().read,
        begin=lambda: ultralytics.Detection().read,
    ),
    Adapter("tqdm", tqdm.read),
    Adapter("Hugging Face Trainer", huggingface.read, begin=lambda: Blocks(huggingface.read).read),
    Adapter("table", table.Table().read, begin=lambda: table.Table().read),
    Adapter("bare counts", bare.Bare().read, begin=lambda: bare.Bare().read, alone=True),
    Adapter("plain text", plain.read, begin=lambda: Framed(plain.read).reader()),
)
"""The particular before the general: of formats that say the same, the first is meant."""


def from_pattern(regex: str) -> Adapter:
    """The format of a user's regex; ValueError when it cannot be used (see `UserPattern`)."""
    own = pattern.UserPattern(regex)
    return Adapter(f"pattern {regex}", own.read, lambda: own.given_up)
