"""Environments in the user's cache: made once, shared by all runs, locked while they are made."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness import __version__
from harness.model.settings import Interpreter
from harness.observe import user_cache
from harness.releases.installer import Installer, NotInstalledError, Python

WHOLE = "whole.json"
"""The file that an environment has once all is installed."""
LIBRARIES = ("msgspec>=0.19", "psutil>=6")
"""The packages of others that a worker imports."""
_LISTED = (
    "import json, importlib.metadata as m; "
    "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
)

_PAGES = (
    "import json, sys, importlib.metadata as m; d = m.metadata(sys.argv[1]); "
    "urls = [tuple(map(str.strip, u.split(',', 1))) for u in d.get_all('Project-URL') or []]; "
    "print(json.dumps(urls + [('homepage', d['Home-page'])] * bool(d['Home-page'])))"
)


class Environments:
    """The environments of one user."""

    def __init__(self, installer: Installer, home: Path | None = None) -> None:
        self._installer = installer
        self._home = home or user_cache.folder() / "environments"
        self._pythons: dict[str, Python] = {}

    def python(self, wanted: str) -> Python:
        """The Python of a version or a path. Raises NotInstalledError."""
        if wanted not in self._pythons:
            self._pythons[wanted] = self._installer.python(wanted)
        return self._pythons[wanted]

    def made(
        self,
        wanted: str,
        requirements: Sequence[str],
        file: str | None = None,
        worker: bool = True,
    ) -> Interpreter:
        """The environment of these packages, made if it is not there. `file` is the text of a file
        of requirements. A `worker` needs more than a command does.

        Raises NotInstalledError with the reason of pip or uv.
        """
        base = self.python(wanted)
        key = _key([base.path, base.version, self._installer.name, *sorted(requirements), file])
        folder = self._home / key
        program = folder / "bin" / "python"
        with self._locked(key):
            versions = _read(folder / WHOLE)
            if versions is None:
                shutil.rmtree(folder, ignore_errors=True)
                self._installer.make(folder, base)
                self._fill(folder, program, requirements, file)
                versions = _installed(str(program))
                (folder / WHOLE).write_text(json.dumps(versions), encoding="utf-8")
        return self._interpreter(str(program), base, versions, worker)

    def own(self, path: str, worker: bool = True) -> Interpreter:
        """An environment of the user's own, as it is. Raises NotInstalledError."""
        base = self.python(path)
        # Its path as it was given: that of the program itself would be that of the base.
        program = str(Path(path).absolute())
        versions = _installed(program)
        # What it has itself is not installed beside it.
        worker = worker and not {"msgspec", "psutil"} <= versions.keys()
        return self._interpreter(program, base, versions, worker)

    def _fill(
        self, folder: Path, program: Path, requirements: Sequence[str], file: str | None
    ) -> None:
        listed = None
        if file is not None:
            listed = folder / "requirements.txt"
            listed.write_text(file, encoding="utf-8")
        if requirements or listed:
            self._installer.install(program, requirements, listed)

    def _interpreter(
        self, program: str, base: Python, versions: dict[str, str | None], worker: bool
    ) -> Interpreter:
        folder = Path(program).parent
        path = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
        return Interpreter(
            python=program,
            version=base.version,
            package=str(self._package()),
            libraries=str(self._libraries(base, Path(program))) if worker else "",
            variables={"PATH": path, "VIRTUAL_ENV": str(folder.parent)},
            versions=versions,
        )

    def _package(self) -> Path:
        """A folder with our own package alone: beside it lies all else that is installed."""
        ours = Path(__file__).resolve().parents[1]
        folder = self._home / f"package-{_key([str(ours), __version__])}"
        folder.mkdir(parents=True, exist_ok=True)
        link = folder / ours.name
        if not link.is_symlink():
            partial = folder / f".{os.getpid()}"
            partial.symlink_to(ours, target_is_directory=True)
            partial.replace(link)
        return folder

    def _libraries(self, base: Python, program: Path) -> Path:
        """A folder with what a worker needs of other packages, for this kind of Python."""
        own = _own_version("mlx-lm")
        # The built-in model is the same in all releases, and needs nothing but MLX.
        bare = [f"mlx-lm=={own}" if own else "mlx-lm"]
        key = f"libraries-{_key([base.tag, self._installer.name, *LIBRARIES, *bare])}"
        folder = self._home / key
        with self._locked(key):
            if not (folder / WHOLE).exists():
                shutil.rmtree(folder, ignore_errors=True)
                self._installer.add(folder, program, LIBRARIES, bare=False)
                self._installer.add(folder, program, bare, bare=True)
                (folder / WHOLE).write_text("{}", encoding="utf-8")
        return folder

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Hold the lock of one environment: two runs do not make it at the same time."""
        self._home.mkdir(parents=True, exist_ok=True)
        with (self._home / f".{key}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _key(parts: Sequence[str | None]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _read(file: Path) -> dict[str, str | None] | None:
    try:
        found: dict[str, str | None] = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found


def _installed(python: str) -> dict[str, str | None]:
    try:
        answer = subprocess.run(
            [python, "-I", "-c", _LISTED], capture_output=True, text=True, timeout=60
        )
        found: dict[str, str | None] = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        raise NotInstalledError(f"{python} does not run") from None
    return found


def pages(interpreter: Interpreter, package: str) -> tuple[tuple[str, str], ...]:
    """The addresses that the metadata of an installed package has, each with its label."""
    try:
        answer = subprocess.run(
            [interpreter.python, "-I", "-c", _PAGES, package],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return tuple((label, url) for label, url in json.loads(answer.stdout))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ()


def _own_version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
