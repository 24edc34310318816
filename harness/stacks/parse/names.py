"""Names of native functions, as compilers and tools write them: C, C++ and Rust."""

from __future__ import annotations

import functools
import re
from pathlib import PurePath

from harness.text import late

_HASH = late.compile(r"::h[0-9a-f]{16}(?![0-9a-zA-Z_])")
"""The digest at the end of a Rust name, another one in each build."""
_CRATE = late.compile(r"\b([A-Za-z_]\w*)\[[0-9a-f]{8,16}\]")
"""A Rust crate with the digest of its version: `std[e28293b1aa0f68bd]`."""
_CLOSURE = late.compile(r"\{\{?closure(?:[#:][^{}]*)?\}?\}")
_SHIM = late.compile(r"\{\{?(?:vtable\.)?shim(?:[:.#][^{}]*)?\}?\}")
_ESCAPES = {
    "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ",", "RF": "&", "BP": "*", "SP": "@",
}  # fmt: skip
_ESCAPE = late.compile(r"\$(LT|GT|LP|RP|C|RF|BP|SP|u[0-9a-f]{1,4})\$")
"""The signs of a Rust name that a tool has read as one of C++."""
_SUFFIX = late.compile(
    r" *\((inlined|deleted)\)$|@.*$|\.llvm\.\d+|\.(constprop|part|isra|cold|lto_priv)\.?\d*"
)

_STANDARD = late.compile(
    r"^(std|__gnu_cxx|__cxxabiv1|proc_macro|compiler_builtins|panic_unwind)::"
    r"|^core::(alloc|any|array|ascii|borrow|cell|char|clone|cmp|convert|default|error|ffi|fmt|future"
    r"|hash|hint|intrinsics|iter|marker|mem|net|num|ops|option|panic|panicking|pin|ptr|result|slice"
    r"|str|sync|task|time|unicode)::"
    r"|^alloc::(alloc|borrow|boxed|collections|ffi|fmt|raw_vec|rc|slice|str|string|sync|task|vec)::"
    r"|^(__rust_\w+|rust_(begin_unwind|panic|eh_personality)|lang_start|__gthread_\w+|_start)$"
)
"""The standard libraries of C++ and Rust. `core` and `alloc` are names that others use too."""
_STANDARD_SOURCE = late.compile(
    r"^/rustc/|/rustlib/src/|/library/(std|core|alloc)/src/"
    r"|(^|/)include/(?:[\w.+-]+/)*c\+\+/|(^|/)libstdc\+\+-v3/"
)
_PACKAGE = late.compile(
    r"^(mlx|at|c10|torch|tbb|boost|absl|folly|grpc|fmt|spdlog|dispatch)::"
    r"|^(mlx_(rs|sys|macros|internal_macros)|tokio(_\w+)?|rayon(_\w+)?|crossbeam(_\w+)?|parking_lot(_\w+)?|futures(_\w+)?|flume"
    r"|async_\w+|smol|mio|polling|hyper(_\w+)?|reqwest|tonic|once_cell|lock_api|kanal|thread_local"
    r"|candle_\w+|burn_\w+)::"
    r"|^P?(MPI|nccl|NCCL)_?[A-Z]|^ompi_|^cblas_|^(cu|cuda|nvrtc)[A-Z]\w+$|^mlx_[a-z]\w+$"
)
"""Known packages of native code: people use them, but have not written them."""
_PACKAGE_SOURCE = late.compile(r"/(\.cargo|cargo|\.rustup)/(registry|git)/|/vendor/")
_PACKAGE_LIBRARY = late.compile(r"^(/usr)?(/local)?/lib(32|64)?/|/site-packages/|/dist-packages/")


@functools.lru_cache(maxsize=4096)
def is_standard(function: str, source: str | None) -> bool:
    """Check whether a function is part of the standard library of C++ or Rust."""
    if source and _STANDARD_SOURCE.search(source):
        return True
    return bool(_STANDARD.match(bare_name(function)))


@functools.lru_cache(maxsize=4096)
def is_package(function: str, source: str | None, library: str | None) -> bool:
    """Check whether a function is part of a package that its user has only installed."""
    if source and _PACKAGE_SOURCE.search(source):
        return True
    if library and (_PACKAGE_LIBRARY.search(library) or _is_mlx(library)):
        return True
    return bool(_PACKAGE.match(bare_name(function)))


def _is_mlx(library: str) -> bool:
    return PurePath(library).name.startswith("libmlx")


@functools.lru_cache(maxsize=4096)
def bare_name(function: str) -> str:
    """A name without template arguments, parameters, return type, digests, and compilers' marks.

    `<std[e28293b1aa0f68bd]::net::TcpStream as std[e28293b1aa0f68bd]::io::Read>::read` is
    `std::net::TcpStream::read`.
    """
    if function.startswith(("-[", "+[")):
        return function
    name = _unwrapped(_SUFFIX.sub("", without_digests(function)))
    name = name.replace("(anonymous namespace)::", "").replace("operator()", "operator\0")
    name = re.sub(r" \[(clone|abi:)[^]]*\]|\[abi:\w+\]", "", name)
    name = re.sub(r"operator(<<|>>|<=>|<=|>=|->|<|>)", "operator", name)
    outside, depth = [], 0
    for character in name:
        if character in "<(":
            depth += 1
        elif character in ">)":
            depth = max(0, depth - 1)
        elif depth == 0:
            outside.append(character)
    parts = [part for part in "".join(outside).split() if part.strip("*&") not in ("const", "")]
    last = (parts[-1] if parts else function).lstrip("*&").replace("operator\0", "operator()")
    last = re.sub(r":{3,}", "::", last)
    last = (last.removesuffix("::") or last) if last != "::" else last
    return re.sub(r"^__(GI_+)?(libc_)?(?=[a-z]+\d?$)|^__GI_+(libc_)?|^_{2,}(?=pthread_)", "", last)


def without_digests(name: str) -> str:
    """A Rust name in one form, whichever the compiler's mangling and the tool's reading are."""
    if "$" in name:
        name = _ESCAPE.sub(_sign, name).replace("..", "::")
        name = re.sub(r"(^|::)_(?=[<{])", r"\1", name)
    if "[" in name:
        name = _CRATE.sub(r"\1", name)
    if "::h" in name:
        name = _HASH.sub("", name)
    if "{" in name:
        name = _SHIM.sub("", _CLOSURE.sub("{{closure}}", name))
    return name


def _sign(match: re.Match[str]) -> str:
    word = match[1]
    return _ESCAPES[word] if word in _ESCAPES else chr(int(word[1:], 16))


def _unwrapped(name: str) -> str:
    """`<A as B>::f` and `<A>::f` are `A::f`; C++ has no names that begin so."""
    while name.startswith("<"):
        end = _closing(name)
        if end is None or not name.startswith("::", end + 1):
            break
        inner, trait = _parted(name[1:end])
        # A function, a slice or a tuple has no name of its own, and a trait has one.
        named = re.match(r"[<A-Za-z_](?!n\()", inner)
        name = (inner if named or not trait else trait) + name[end + 1 :]
    return name


def _closing(name: str) -> int | None:
    """The place of the `>` that belongs to the `<` at the beginning."""
    depth = 0
    for index, character in enumerate(name):
        if character == "<":
            depth += 1
        elif character == ">" and name[index - 1] not in "-=":
            depth -= 1
            if depth == 0:
                return index
    return None


def _parted(inner: str) -> tuple[str, str]:
    """The type and the trait of `&mut A<B> as C`; without a trait its name is empty."""
    depth, place = 0, len(inner)
    for index, character in enumerate(inner):
        if character in "<([":
            depth += 1
        elif character in ")]" or (character == ">" and inner[index - 1] not in "-="):
            depth -= 1
        elif depth == 0 and inner.startswith(" as ", index):
            place = index
            break
    own = re.sub(r"^(&|\*(const|mut) |'\w+ |mut |dyn |impl )+", "", inner[:place].strip())
    return own, inner[place + 4 :].strip()
