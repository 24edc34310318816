"""The parts of a stack, whatever tool printed it."""

from __future__ import annotations

import re
import sys
from enum import Enum
from pathlib import PurePath

import msgspec

from harness.stacks.parse import names
from harness.text import late


class Gil(str, Enum):
    """The relation of a thread to Python's global interpreter lock, when the tool says so."""

    HOLDS = "holds"
    WAITS = "waits"


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One call. A native function that has no symbol is `???`."""

    function: str
    file: str | None = None
    """Name of the source file without its folder; of the library for a native frame without one."""
    line: int | None = None
    python: bool = False
    system: bool = False
    """True for a frame of the C library, the interpreter, or the standard library of Python, C++ or
    Rust: not what a user wrote."""
    package: bool = False
    """True for a native frame of a package that is known, such as MLX, CUDA or tokio."""
    installed: str | None = None
    """The installed package that a Python frame belongs to: its folder or file in site-packages."""
    ours: bool = False
    """True for a frame of the harness, which calls the step that a user wrote."""
    source: str | None = None
    """The text of its line, where the tool prints it."""
    offset: int | None = None
    """The distance from the beginning of `file`, its module; only of a frame without a symbol."""

    @property
    def bare(self) -> str:
        """The function's plain name, as of `harness.stacks.parse.names`."""
        return names.bare_name(self.function)

    @property
    def title(self) -> str:
        """The name that people read: whole, but without digests; else module and offset."""
        return self.module_offset or names.without_digests(self.function)

    @property
    def module_offset(self) -> str | None:
        """`trainer+0x1a2b3c`, for a native frame without a symbol; None where it is not known."""
        if self.function != UNKNOWN or self.offset is None or self.file is None:
            return None
        return f"{self.file}+{self.offset:#x}"


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One of the paths that a thread was seen in, by a tool that looks many times."""

    frames: tuple[Frame, ...]
    """Innermost first."""
    looks: int
    running: bool
    """True if its innermost frame does not wait."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The thread that another one waits for, by the kernel's own word."""

    pid: int
    tid: int | None = None
    """None where only the process is told."""
    deadlock: bool = False
    """True if the kernel itself says that this wait is a part of a deadlock."""


class ThreadStack(msgspec.Struct, frozen=True, kw_only=True):
    """One thread at one moment."""

    frames: tuple[Frame, ...]
    """Innermost first."""
    tid: int | None = None
    """As the tool numbers threads: the kernel's number, but for faulthandler's and `sample`'s."""
    name: str = ""
    main: bool = False
    running: bool | None = None
    """True if it was on a CPU; None when the tool does not say."""
    native: bool = True
    """True if native frames were asked for: if not, what a Python frame waits in is unknown."""
    gil: Gil | None = None
    shares: tuple[Share, ...] = ()
    """The paths that a tool saw which looks many times, the one that it saw most first: `frames` is
    that one. Empty where it looks once."""
    owner: Owner | None = None
    """The thread that it waits for at every look, where a tool tells that."""
    python: tuple[Frame, ...] = ()
    """The functions of Python that it was in at one moment, as told beside a tool that knows none;
    innermost first."""
    variables: str = ""
    """A digest of its variables at that moment; empty where they are not told."""
    timeout_s: float | None = None
    """The timeout with which it waits, infinite of a wait without one; None where it is not
    told."""


UNKNOWN = "???"
_SYSTEM = late.compile(
    r"^(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s|python[\d.]*|ffi|c\+\+|c\+\+abi|system_\w+|dyld)"
    r"|ld-linux[\w-]*|ld|linux-vdso|dyld|python[\d.]*|Python)(-[\d.]+)?(\.(so|dylib)[\d.]*)?t?$"
    r"|^\[(vdso|vsyscall)\b"  # as pystack and the kernel name what the kernel itself maps
)
_OF_MACOS = late.compile(
    r"^(lib(c\+\+|c\+\+abi|objc|System|dispatch|xpc|swift\w+|BLAS|LAPACK|vDSP|vMisc|BNNS|SparseBLAS"
    r"|LinearAlgebra|Quadrature|MTLHud|GPUSupport\w*)(\.\w+)?\.dylib"
    r"|IOKit|IOSurface|IOGPU|IOAccelerator|Metal|MetalPerformance\w+|MetalTools|MPS\w+|AGX\w+"
    r"|MTLCompiler|Foundation|CoreFoundation|CoreServices|Accelerate|vecLib|Security|libRosetta\w*)$"
)
"""macOS's libraries and frameworks that a training calls, as `sample` names them."""
_SOURCE = late.compile(
    r"(^|/)(Python|Objects|Modules|Parser|Include)/[\w/]+\.[ch]$"
    r"|(^(nptl|sysdeps|csu|stdio-common)"
    r"|(^\.{1,2}/|/glibc[^/]*/)(nptl|sysdeps|csu|stdio-common|stdlib|string|io|socket|posix|misc|time"
    r"|libio|elf|malloc|resolv|inet|dlfcn|debug|signal|setjmp|rt|nss|termios|dirent|wcsmbs|sysvipc)"
    r")/[\w./+-]+\.[chSs]$"
)
"""Paths of the sources of CPython and of glibc, as debug information has them. NCCL, which is in
C++, has a folder `misc` as well, and a program that is built as `cc io/reader.c` has one `io`."""


_OFFSET = late.compile(r"(.+)\+0x([0-9a-f]{1,16})$")
_INTERPRETER = late.compile(r"^((lib)?python[\d.]*t?(\.(so|dylib)[\d.]*)?|Python)$")


def in_interpreter(frame: Frame) -> bool:
    """Check whether a native frame without a name is in the code of Python's interpreter."""
    return not frame.python and bool(_INTERPRETER.match(frame.file or ""))


def native(function: str, source: str | None, line: int | None, library: str | None) -> Frame:
    """A native frame; `source` and `library` are paths, as far as the tool gives them.

    The library may carry the place of a frame without a symbol: `/opt/trainer+0x1a2b3c`.
    """
    known = source if source and source != UNKNOWN else None
    library, offset = _parted(library)
    system = bool(
        (library and (_is_system(PurePath(library).name) or "/lib-dynload/" in library))
        or (known and (_SOURCE.search(known) or _SYSTEM.match(PurePath(known).name)))
        or names.is_standard(function, known)
    )
    file = known or library
    return Frame(
        function=function or UNKNOWN,
        file=PurePath(file).name if file else None,
        line=line or None,
        system=system,
        package=not system and names.is_package(function, known, library),
        offset=offset if function in ("", UNKNOWN) else None,
    )


def _parted(library: str | None) -> tuple[str | None, int | None]:
    """A library, and the offset behind its name."""
    match = _OFFSET.match(library or "")
    return (match[1], int(match[2], 16)) if match else (library, None)


def _is_system(library: str) -> bool:
    return bool(_SYSTEM.match(library) or _OF_MACOS.match(library))


def python(function: str, path: str, line: int | None) -> Frame:
    """A Python frame; `path` may be whole, or from the package on, as py-spy prints it."""
    return Frame(
        function=function,
        file=PurePath(path).name,
        line=line,
        python=True,
        system=_is_library(path),
        installed=_package(path),
        ours=_is_ours(path),
    )


_INSTALLED = ("site-packages", "dist-packages", "<site-packages>")


def _package(path: str) -> str | None:
    parts = PurePath(path).parts
    places = [place for place, part in enumerate(parts[:-1]) if part in _INSTALLED]
    return parts[places[-1] + 1].removesuffix(".py") if places else None


def _is_library(path: str) -> bool:
    """Check whether a Python file belongs to the standard library; installed packages do not."""
    if path.startswith("<frozen"):
        return True
    parts = PurePath(path).parts
    if "site-packages" in parts or "dist-packages" in parts:
        return False
    # As a report shows them, the interpreter's folder and the home have names.
    if PurePath(path).is_absolute() or parts[:1] in (("<python>",), ("~",)):
        return any(re.fullmatch(r"python3(\.\d+)?t?", part) for part in parts[:-1])
    return bool(parts) and parts[0].removesuffix(".py") in sys.stdlib_module_names


_PACKAGE = PurePath(__file__).parents[2]
_MARKS = ("<harness>/", "<site-packages>/")
"""The folders that it may lie in, as a report shows them."""
_IN_WORKERS = late.compile(r"^harness/(worker\.py|(training|inject)/)")
"""The paths of ours in py-spy's output: it leaves out the folder in which a package lies."""


def _is_ours(path: str) -> bool:
    pure = PurePath(path)
    if not pure.is_absolute() and not path.startswith(_MARKS):
        return _IN_WORKERS.match(path) is not None
    for package in (_PACKAGE, *(PurePath(mark, "harness") for mark in _MARKS)):
        if pure.is_relative_to(package):
            return not pure.is_relative_to(package / "scenarios")
    return False
