"""Lines of a program in C, C++ or Swift as they are printed, also where they go into a pipe.

The C library holds what is printed into a pipe back until a block is full, so that a training that
hangs has printed its last steps to nobody. GNU's `stdbuf` has a library that changes this before
`main` begins. It goes only into a program that is sure to take it: linked to glibc when it starts,
of the library's own machine, and without a sanitizer, which has to come first itself. Programs that
start others (shells, `timeout`, `make`, launchers) are left alone, for they pass it on to any
program; so is Python, which has a variable of its own.
"""

from __future__ import annotations

import mmap
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path

PRELOAD = "LD_PRELOAD"
MODE = "_STDBUF_O"
_LIBRARY = "libstdbuf.so"
_FOLDERS = ("libexec/coreutils", "lib/coreutils", "lib/*/coreutils")
"""Its folders below that of `bin/stdbuf`, by distribution."""
_LOADER = b"/ld-linux"
"""The start of the name of glibc's loader."""
_SANITIZERS = (b"__asan_init", b"__tsan_init", b"__msan_init", b"__hwasan_init")
_OTHERS = ("python", "pypy", "bash", "dash", "fish", "ksh", "sh", "tcsh", "zsh", "busybox", "env")
_LAUNCHERS = (
    "apptainer", "go", "mpiexec", "mpirun", "orterun", "prterun", "prun", "singularity", "srun",
)  # fmt: skip
"""Programs that leave it to a library, or to another machine, to start others."""
_STARTS_OTHERS = tuple(
    f"\0{name}\0".encode()
    for name in (
        "execl", "execle", "execlp", "execv", "execve", "execveat", "execvp", "execvpe", "fexecve",
        "posix_spawn", "posix_spawnp",
    )
)  # fmt: skip
"""Names in the table of what a program takes from the C library. With `system` and `popen` it
starts a tool of the machine's own, as MLX does with the compiler."""
_HEADER = struct.Struct("<16sHHIQQQIHHH")
"""Of ELF in 64 bits, little endian, up to the number of program headers."""
_SEGMENT = struct.Struct("<IIQQQQ")
_INTERPRETER = 3
_MOST_SEGMENTS = 64


def variables(program: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that make the stdout of `program` pass on each line; empty if they may harm.

    `program` is searched in the PATH of `environ`, in which it will be started.
    """
    if PRELOAD in environ or MODE in environ:
        return {}  # somebody else decides
    found = shutil.which(program, path=environ.get("PATH"))
    library = _library(environ.get("PATH"))
    if found is None or library is None:
        return {}
    file = Path(found).resolve()
    name = file.name.lower()
    if any(name == other or name.startswith(f"{other}3") for other in _OTHERS):
        return {}
    if any(name == other or name.startswith(f"{other}.") for other in _LAUNCHERS):
        return {}
    return {PRELOAD: str(library), MODE: "L"} if _takes(file, library) else {}


def _library(path: str | None) -> Path | None:
    stdbuf = shutil.which("stdbuf", path=path)
    if stdbuf is None:
        return None
    prefix = Path(stdbuf).resolve().parent.parent
    for pattern in _FOLDERS:
        for file in sorted(prefix.glob(f"{pattern}/{_LIBRARY}")):
            # A blank or a colon would end its name there.
            if not set(str(file)) & set(" :"):
                return file
    return None


def _takes(file: Path, library: Path) -> bool:
    try:
        with (
            library.open("rb") as other,
            file.open("rb") as opened,
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as program,
        ):
            machine = _machine(program[: _HEADER.size])
            return (
                machine is not None
                and machine == _machine(other.read(_HEADER.size))
                and _LOADER in _interpreter(program)
                and all(program.find(name) < 0 for name in (*_SANITIZERS, *_STARTS_OTHERS))
            )
    except (OSError, ValueError, struct.error):
        return False


def _machine(start: bytes) -> int | None:
    """The machine of an ELF file of 64 bits that begins so; None of any other file."""
    if start[:6] != b"\x7fELF\x02\x01" or len(start) < _HEADER.size:
        return None
    return int(_HEADER.unpack(start)[2])


def _interpreter(program: mmap.mmap) -> bytes:
    """The name of the loader; empty of a program that needs none."""
    header = _HEADER.unpack(program[: _HEADER.size])
    offset, size, count = header[5], header[9], header[10]
    for at in range(offset, offset + size * min(count, _MOST_SEGMENTS), size or 1):
        kind, _, place, _, _, length = _SEGMENT.unpack(program[at : at + _SEGMENT.size])
        if kind == _INTERPRETER:
            return program[place : place + min(length, 256)]
    return b""
