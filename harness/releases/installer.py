"""The two ways to an environment: uv where it is found, else venv and pip.

Each is used as its user has set it up: it asks the index that its own settings name.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol

from harness.errors import HarnessError, UsageError
from harness.releases import versions
from harness.text.units import duration

TIMEOUT_S, LEAST_S = 900.0, 1.0
"""The limit of one call, in seconds: a release can be large, and a line slow. And the least."""
_DESCRIBE = (
    "import json, platform, sys; print(json.dumps([sys.executable, platform.python_version(), "
    "sys.implementation.cache_tag + '-' + platform.machine()]))"
)


class NotInstalledError(HarnessError):
    """An environment that cannot be had. The message is the reason of pip or uv, in one line."""


class GivenUpError(NotInstalledError):
    """One that could perhaps be had, with more time than there was (`within`)."""


class Python:
    """A Python that environments are made from, or that is one."""

    def __init__(self, path: str) -> None:
        """Ask the program `path` what it is. Raises NotInstalledError when it does not run."""
        try:
            answer = subprocess.run(
                [path, "-c", _DESCRIBE], capture_output=True, text=True, timeout=60
            )
            described = json.loads(answer.stdout)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            raise NotInstalledError(f"{path} is not a Python that runs") from None
        self.path, self.version, self.tag = described


class Installer(Protocol):
    """The maker of environments."""

    name: str

    def python(self, wanted: str) -> Python:
        """The Python of a version such as 3.12, or of a path. Raises NotInstalledError."""
        ...

    def make(self, folder: Path, python: Python) -> None:
        """Make an environment in `folder`. Raises NotInstalledError."""
        ...

    def install(self, python: Path, requirements: Sequence[str], file: Path | None) -> None:
        """Install into the environment of `python`. Raises NotInstalledError."""
        ...

    def add(self, folder: Path, python: Path, requirements: Sequence[str], bare: bool) -> None:
        """Put packages into a plain folder; `bare`: without what they need themselves."""
        ...

    def releases(
        self, package: str, python: Path, first: str, last: str, pre: bool
    ) -> Sequence[str]:
        """The releases that the index has for `python`. Raises HarnessError."""
        ...

    def newest(self, package: str, python: Path, before: str | None = None) -> str | None:
        """The newest release that the index has for `python`, or had before a date (ISO 8601).

        None where that is not known.
        """
        ...


_left: ContextVar[Callable[[], float]] = ContextVar("left", default=lambda: TIMEOUT_S)


@contextlib.contextmanager
def within(left: Callable[[], float]) -> Iterator[None]:
    """Give up what an installer does here after the seconds that are `left` when it begins."""
    token = _left.set(left)
    try:
        yield
    finally:
        _left.reset(token)


def find() -> Installer:
    """uv where it is installed, else pip."""
    uv = shutil.which("uv")
    beside = Path(sys.executable).with_name("uv")
    if uv is None and beside.is_file():
        uv = str(beside)
    return Pip() if uv is None else Uv(uv)


class Uv:
    """uv: it shares the files of a release between all environments that have it."""

    name = "uv"

    def __init__(self, program: str) -> None:
        self._program = program

    def python(self, wanted: str) -> Python:
        if os.sep in wanted:
            return Python(wanted)
        return Python(_call([self._program, "python", "find", "--no-project", wanted]).strip())

    def make(self, folder: Path, python: Python) -> None:
        _call([self._program, "venv", "--quiet", "--no-project", "--python", python.path,
               str(folder)])  # fmt: skip

    def install(self, python: Path, requirements: Sequence[str], file: Path | None) -> None:
        more = ["-r", str(file)] if file else []
        _call([self._program, "pip", "install", "--quiet", "--python", str(python), *more,
               *requirements])  # fmt: skip

    def add(self, folder: Path, python: Path, requirements: Sequence[str], bare: bool) -> None:
        more = ["--no-deps"] if bare else []
        _call([self._program, "pip", "install", "--quiet", "--python", str(python), *more,
               "--target", str(folder), *requirements])  # fmt: skip

    def releases(
        self, package: str, python: Path, first: str, last: str, pre: bool
    ) -> Sequence[str]:
        low, high = sorted((versions.parse(first), versions.parse(last)))
        return tuple(self._descend(package, python, str(low), f"<{high}", pre))

    def newest(self, package: str, python: Path, before: str | None = None) -> str | None:
        command = [self._program, "pip", "compile", "--quiet", "--no-deps", "--no-header",
                   "--no-annotate", "--python", str(python), "-"]  # fmt: skip
        if before is not None:
            command += ["--exclude-newer", before]
        try:
            match = re.search(r"==([^\s;]+)", _call(command, f"{package}\n"))
        except GivenUpError:
            raise
        except NotInstalledError:
            return None  # an index need not tell when a release came
        return match[1] if match else None

    def _descend(
        self, package: str, python: Path, low: str, below: str, pre: bool
    ) -> Iterator[str]:
        """The releases from the newest one `below` on. uv has no list, but resolves the best."""
        command = [self._program, "pip", "compile", "--quiet", "--no-deps", "--no-header",
                   "--no-annotate", "--python", str(python), "-"]  # fmt: skip
        if pre:
            command += ["--prerelease", "allow"]
        while True:
            try:
                answer = _call(command, f"{package}{below},>{low}\n")
            except GivenUpError:
                raise  # a search in a part of the releases would name a wrong one
            except NotInstalledError:
                return  # there is none that is older
            match = re.search(r"==([^\s;]+)", answer)
            if match is None:
                return
            yield match[1]
            below = f"<{match[1]}"


class Pip:
    """venv and pip of the Python itself."""

    name = "pip"

    def python(self, wanted: str) -> Python:
        if os.sep in wanted:
            return Python(wanted)
        found = shutil.which(f"python{wanted}")
        if found is None:
            raise NotInstalledError(f"there is no python{wanted} on the PATH: give a path")
        return Python(found)

    def make(self, folder: Path, python: Python) -> None:
        _call([python.path, "-m", "venv", str(folder)])

    def install(self, python: Path, requirements: Sequence[str], file: Path | None) -> None:
        more = ["-r", str(file)] if file else []
        _call([*_pip(str(python)), "install", *more, *requirements])

    def add(self, folder: Path, python: Path, requirements: Sequence[str], bare: bool) -> None:
        more = ["--no-deps"] if bare else []
        _call([*_pip(str(python)), "install", *more, "--target", str(folder), *requirements])

    def releases(
        self, package: str, python: Path, first: str, last: str, pre: bool
    ) -> Sequence[str]:
        more = ["--pre"] if pre else []
        try:
            answer = _call([*_pip(str(python)), "index", "versions", package, *more])
        except GivenUpError:
            raise
        except NotInstalledError as error:
            raise UsageError(f"the index does not list {package}: {error}") from None
        _, _, listed = answer.partition("Available versions:")
        return tuple(listed.partition("\n")[0].replace(",", " ").split())

    def newest(self, package: str, python: Path, before: str | None = None) -> str | None:
        if before is not None:
            return None  # the pip of most environments knows no dates
        try:
            found = self.releases(package, python, "", "", False)
        except UsageError:
            return None
        return found[0] if found else None


def _pip(python: str) -> list[str]:
    return [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]


def _call(command: Sequence[str], given: str = "") -> str:
    """The output of a command. Raises NotInstalledError with its reason when it fails."""
    limit = max(LEAST_S, min(TIMEOUT_S, _left.get()()))
    try:
        answer = subprocess.run(command, input=given, capture_output=True, text=True, timeout=limit)
    except OSError as error:
        raise NotInstalledError(f"{command[0]} cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        kind = NotInstalledError if limit == TIMEOUT_S else GivenUpError
        raise kind(f"{Path(command[0]).name} took over {duration(limit)}") from None
    if answer.returncode != 0:
        raise NotInstalledError(reason(answer.stderr) or f"exit code {answer.returncode}")
    return answer.stdout


def reason(errors: str) -> str:
    """The reason in what pip or uv wrote, in one line. Pure.

    uv draws its reasons as a tree; the last branch has the point. pip marks the lines.
    """
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    marked = [line[6:].strip() for line in lines if line.startswith("ERROR:")]
    if marked:
        return marked[-1]
    bare = [re.sub(r"^(╰─▶|├─▶|×|error:|│|cause:)\s*", "", line) for line in lines]
    begins = [
        at for at, line in enumerate(lines) if line.startswith(("╰─▶", "error:", "×", "cause:"))
    ]
    if not begins:
        return lines[-1] if lines else ""
    end = next((at for at, line in enumerate(lines) if line.startswith("hint:")), len(lines))
    return " ".join(bare[begins[-1] : end])
