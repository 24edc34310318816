"""A headless Chromium, driven over a pipe by the DevTools protocol: no library, and no port."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",  # a container's root cannot have one, and only our own pages are opened
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
)
WAIT_S = 120.0
"""The wait for an answer, in seconds. A longer one is a browser that hangs, not a slow page."""
KEYS = {" ": ("Space", 32), "Enter": ("Enter", 13), "Tab": ("Tab", 9)}
SHIFT = 8


def find() -> str | None:
    """The browser's executable, or None when there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab. `problems` are errors of the console, of scripts and of the page's policy;
    `requests` every address that was asked for."""

    def __init__(self, process: subprocess.Popen[bytes], send: int, receive: int) -> None:
        self._process, self._send, self._receive = process, send, receive
        self._pending = b""
        self._count = 0
        self._session: str | None = None
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command. Raises RuntimeError for an error, or when none comes."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> dict[str, Any]:
        until = time.monotonic() + WAIT_S
        while b"\0" not in self._pending:
            ready, _, _ = select.select([self._receive], [], [], max(0, until - time.monotonic()))
            part = os.read(self._receive, 1 << 20) if ready else b""
            if not part:
                raise RuntimeError(f"no answer from the browser (exit {self._process.poll()})")
            self._pending += part
        line, _, self._pending = self._pending.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._event(message.get("method"), message.get("params", {}))
        return message

    def _event(self, method: str | None, told: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            self.problems.append(json.dumps(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.problems.append(told["entry"]["text"])

    def open(self, file: Path) -> None:
        """Load a file, until its scripts have run and it has been painted."""
        self._loaded = False
        self.call("Page.navigate", url=file.resolve().as_uri())
        while not self._loaded:
            self._read()
        self.settle()

    def settle(self) -> None:
        """Wait for two frames: what was changed is drawn then."""
        self.evaluate("new Promise(f => requestAnimationFrame(() => requestAnimationFrame(f)))")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, a promise awaited. Raises what it throws."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def window(self, width: int, height: int, dark: bool = False, scale: float = 1) -> None:
        """The size of the page in CSS pixels; a narrow one is a phone's."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.settle()

    def press(self, key: str, shift: bool = False) -> None:
        """A key as a person would press it."""
        code, number = KEYS.get(key, (key, 0))
        same = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        same["modifiers"] = SHIFT if shift else 0
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **same, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **same)
        self.settle()

    def mouse(self, kind: str, x: float, y: float, count: int = 1) -> None:
        """`mouseMoved`, `mousePressed` or `mouseReleased`, at a place of the window."""
        held = {} if kind == "mouseMoved" else {"button": "left", "clickCount": count}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **held)

    def screenshot(self, file: Path, clip: tuple[float, float, float, float] | None = None) -> None:
        """A PNG of the window, or of x, y, width and height of the page."""
        options: dict[str, Any] = {"format": "png", "captureBeyondViewport": False}
        if clip is not None:
            names = ("x", "y", "width", "height")
            options["clip"] = {**dict(zip(names, clip, strict=True)), "scale": 1}
        shot = self.call("Page.captureScreenshot", **options)
        file.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def opened(executable: str) -> Iterator[Page]:
    """A tab of a browser of its own, which is ended with it."""
    (theirs_in, send), (receive, theirs_out) = os.pipe(), os.pipe()
    # Its ends have to be descriptors 3 and 4: out of the way first, one may be the other's number.
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (theirs_in, theirs_out)]

    def arranged() -> None:  # two system calls: safe after a fork, whatever threads there are
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [executable, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(3, 4, *high),
            preexec_fn=arranged,  # noqa: PLW1509
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in (theirs_in, theirs_out, *high):
            os.close(fd)
        try:
            yield Page(process, send, receive)
        finally:
            os.close(send)  # it ends when its pipe does
            os.close(receive)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
