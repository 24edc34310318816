"""Bytes of a terminal or a pipe -> lines of text, as a person would see them."""

from __future__ import annotations

from harness.text import late

LIMIT = 64 * 1024
"""The most bytes of a line that are read."""

# A sequence ends at the latest where the next begins or the line ends, so that one that was
# never finished costs its own line only. No two parts can match the same character, so nothing is
# tried twice.
_ESCAPES = late.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)"
)
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n\r\x07\x1b"))  # \x07 may end a sequence


class Lines:
    """Splits a stream that comes in chunks; holds no more than one unfinished line.

    A carriage return ends a line as a newline does: each redraw of a bar is a line. Empty lines
    are left out. Escape sequences, control characters and the echo of Ctrl-C are removed,
    undecodable bytes replaced.
    """

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that `chunk` completes."""
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if not end:
            self._keep(chunk)
            return []
        # A cut line stays one: its rest has been dropped up to this chunk's first end of line.
        whole = bytes(self._rest) + chunk[:end]
        self._rest.clear()
        self._keep(chunk[end:])
        return _lines(whole)

    def rest(self) -> str:
        """The unfinished line as it stands; empty when there is none."""
        return next(iter(_lines(bytes(self._rest))), "")

    def close(self) -> str:
        """The unfinished line, which is finished by the stream's end."""
        rest = self.rest()
        self._rest.clear()
        return rest

    def _keep(self, part: bytes) -> None:
        self._rest += part[: LIMIT - len(self._rest)]


def _lines(data: bytes) -> list[str]:
    text = data.translate(None, _CONTROLS).decode("utf-8", "replace").replace("\r", "\n")
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    if "^C" in text:  # how a terminal shows the key that was typed, before what comes next
        text = text.replace("^C", "")
    if "\x07" in text:
        text = text.replace("\x07", "")
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    return [line[:LIMIT] for line in lines] if len(data) > LIMIT else lines
