"""Which programs are made to pass on each line: those that are sure to take it."""

from __future__ import annotations

import struct

import pytest

from harness.supervise import line_buffering

X86, ARM = 62, 183
GLIBC, MUSL = b"/lib64/ld-linux-x86-64.so.2\0", b"/lib/ld-musl-x86_64.so.1\0"


def elf(machine=X86, loader=GLIBC, more=b"", bits=2):
    """A program of one segment, which names its loader."""
    segments = 1 if loader else 0
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF" + bytes([bits, 1, 1]), 3, machine, 1, 0, 64, 0, 0, 64, 56, segments, 0, 0, 0,
    )  # fmt: skip
    body = struct.pack("<IIQQQQQQ", 3, 4, 64 + 56, 0, 0, len(loader), len(loader), 1)
    return header + body * segments + loader + more


@pytest.fixture
def place(tmp_path):
    """A PATH with `stdbuf`, whose library stands where GNU's installation puts it."""
    library = tmp_path / "libexec" / "coreutils" / "libstdbuf.so"
    for file, content in ((tmp_path / "bin" / "stdbuf", b"#!"), (library, elf(loader=b""))):
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        file.chmod(0o755)
    return tmp_path


def asked(place, name, content, **environ):
    file = place / "bin" / name
    file.write_bytes(content)
    file.chmod(0o755)
    return line_buffering.variables(name, {"PATH": str(place / "bin"), **environ})


def test_a_program_linked_to_glibc_gets_the_library(place):
    given = asked(place, "trainer", elf())
    assert given == {
        "LD_PRELOAD": str(place / "libexec" / "coreutils" / "libstdbuf.so"),
        "_STDBUF_O": "L",
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("static", elf(loader=b"")),
        ("musl", elf(loader=MUSL)),
        ("other_machine", elf(machine=ARM)),
        ("of_32_bits", elf(bits=1)),
        ("sanitized", elf(more=b"\0__asan_init\0")),
        ("cut_short", elf()[:80]),
        ("script", b"#!/bin/sh\nexec ./trainer\n"),
        ("empty", b""),
        ("python3.11", elf()),
        ("bash", elf()),
        ("timeout", elf(more=b"\0execvp\0")),
        ("make", elf(more=b"\0fork\0posix_spawn\0")),
        ("mpiexec.hydra", elf()),
    ],
)
def test_a_program_that_may_not_take_it_is_left_alone(place, name, content):
    assert asked(place, name, content) == {}


@pytest.mark.parametrize("name", ["LD_PRELOAD", "_STDBUF_O"])
def test_what_is_set_already_stays(place, name):
    assert asked(place, "trainer", elf(), **{name: "mine"}) == {}


def test_a_program_or_a_stdbuf_that_is_not_there(place):
    (place / "bin" / "trainer").unlink(missing_ok=True)
    assert line_buffering.variables("trainer", {"PATH": str(place / "bin")}) == {}
    (place / "bin" / "stdbuf").unlink()
    assert asked(place, "trainer", elf()) == {}


def test_a_name_that_the_loader_would_cut_is_not_given(place):
    renamed = place.with_name(f"{place.name} of me")
    place.rename(renamed)
    assert asked(renamed, "trainer", elf()) == {}


def test_a_program_that_starts_tools_by_a_shell_gets_it(place):
    # MLX's own library does, to compile.
    assert asked(place, "trainer", elf(more=b"\0system\0popen\0fork\0"))
