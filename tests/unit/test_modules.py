"""Module and offset of frames without a symbol, from made-up mappings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.observe.linux import mappings
from harness.stacks import modules, wait_site
from harness.stacks.parse import Frame, parse

MAPS = """\
5600000000-5600001000 r--p 00000000 fe:00 11       /opt/my trainer/trainer
5600001000-5600003000 r-xp 00001000 fe:00 11       /opt/my trainer/trainer
5600003000-5600004000 rw-p 00003000 fe:00 11       /opt/my trainer/trainer
5600009000-560000a000 rw-p 00000000 00:00 0        [heap]
7f0000000000-7f0000010000 r--p 00000000 fe:00 12   /opt/lib/libstep.so (deleted)
7f0000010000-7f0000020000 r-xp 00010000 fe:00 12   /opt/lib/libstep.so (deleted)
7f0000030000-7f0000040000 r--p 00000000 fe:00 13   /opt/data/weights.bin
7fff00000000-7fff00001000 r-xp 00000000 00:00 0    [vdso]
"""
GDB = """\
Thread 1 (Thread 0x7f0000 (LWP 7) "trainer"):
#0  syscall () at ../sysdeps/unix/sysv/linux/x86_64/syscall.S:38
#1  0x00007f0000012345 in ?? () from /opt/lib/libstep.so
#2  0x0000005600001abc in ?? ()
#3  0x0000005600001def in main () from /opt/trainer
#4  0x00000000deadbeef in ?? ()
#5  0x00007f0000030010 in ?? ()
"""


def test_only_files_with_code_are_saved_each_with_its_beginning() -> None:
    saved = mappings.code(MAPS.encode())
    assert saved.splitlines() == [MAPS.splitlines()[i] for i in (0, 1, 4, 5)]
    assert modules.modules(saved) == modules.modules(MAPS)


def test_a_frame_without_a_symbol_gets_its_module_and_offset() -> None:
    text = modules.annotated("gdb", GDB, MAPS)
    (thread,) = parse("gdb", text, 7)
    named = [frame.module_offset for frame in thread.frames]
    assert named == [None, "libstep.so+0x12345", "trainer+0x1abc", None, None, None]
    assert [frame.function for frame in thread.frames] == [
        frame.function for frame in parse("gdb", GDB, 7)[0].frames
    ]


def test_the_offset_of_a_program_with_fixed_addresses_counts_from_its_beginning() -> None:
    maps = "00401000-00402000 r-xp 00001000 fe:00 11 /opt/fixed\n"
    text = modules.annotated("gdb", "#1  0x0000000000401234 in ?? ()\n", maps)
    assert text == "#1  0x0000000000401234 in ?? () from /opt/fixed+0x1234\n"


def test_py_spys_frames_get_their_offset_too() -> None:
    text = 'Thread 7 (idle): "MainThread"\n    0x7f0000012345 (libstep.so)\n    step (train.py:3)\n'
    (thread,) = parse("py-spy", modules.annotated("py-spy", text, MAPS), 7)
    assert thread.frames[0].module_offset == "libstep.so+0x12345"
    assert thread.frames[1] == Frame(function="step", file="train.py", line=3, python=True)


def test_sample_prints_the_offset_itself() -> None:
    text = """Call graph:
    840 Thread_1   DispatchQueue_1: com.apple.main-thread  (serial)
      840 ???  (in trainer)  load address 0x105000000 + 0x1a2b3c  [0x1051a2b3c]
"""
    (thread,) = parse("sample", text, 7)
    assert thread.frames[0].module_offset == "trainer+0x1a2b3c"


def test_the_words_of_a_stripped_program_have_module_and_offset() -> None:
    (thread,) = parse("gdb", modules.annotated("gdb", GDB.replace("#1", "#9"), MAPS), 7)
    # The library is somebody's own as well.
    assert wait_site.wait_site(thread).place == "libstep.so+0x12345"


def test_people_read_module_and_offset_and_no_digests() -> None:
    text = modules.annotated("gdb", GDB.replace("main ()", "a::f::h0123456789abcdef ()"), MAPS)
    (thread,) = parse("gdb", text, 7)
    titles = [frame.title for frame in thread.frames]
    assert titles == ["syscall", "libstep.so+0x12345", "trainer+0x1abc", "a::f", "???", "???"]


def test_a_stripped_program_has_one_fingerprint_wherever_it_is_loaded() -> None:
    here = GDB.replace("main () from /opt/trainer", "?? ()")
    moved = MAPS.replace("56000", "55000")
    there = modules.annotated("gdb", here.replace("56000", "55000"), moved)
    marks = {wait_site.fingerprint(parse("gdb", text, 7)) for text in (here, there)}
    assert len(marks) == 1
    assert "trainer+0x1abc" in there


@pytest.mark.parametrize("parser", ["gdb", "py-spy", "pystack", "sample", "faulthandler"])
@given(text=st.text(), maps=st.text())
def test_nothing_makes_it_raise(parser: str, text: str, maps: str) -> None:
    modules.annotated(parser, text, maps)
    assert mappings.code(maps.encode()).count("\n") <= maps.count("\n") + 1


@given(
    st.integers(min_value=0, max_value=(1 << 64) - 1),
    st.lists(st.tuples(st.integers(0, 1 << 47), st.integers(1, 1 << 30)), max_size=5),
)
def test_an_address_is_told_by_what_it_lies_in_or_not_at_all(
    address: int, stretches: list[tuple[int, int]]
) -> None:
    maps = "".join(
        f"{start:x}-{start + size:x} r-xp 00000000 fe:00 1 /opt/m{number}\n"
        for number, (start, size) in enumerate(stretches)
    )
    line = f"#1  0x{address:016x} in ?? ()"
    text = modules.annotated("gdb", line, maps)
    if text != line:
        name, _, offset = text.partition(" from /opt/m")[2].partition("+")
        start, size = stretches[int(name)]
        assert address == start + int(offset, 16)
        assert int(offset, 16) < size
