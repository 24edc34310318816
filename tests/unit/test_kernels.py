"""Compiled kernels are shared between runs, damaged ones never."""

from __future__ import annotations

from harness.supervise import kernel_cache


def compiled(temporary, name="libk.so", content=b"\x7fELF"):
    path = temporary / "mlx" / "0.32.4" / "cpu" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_what_one_run_compiled_the_next_one_finds(tmp_path):
    store, first, second = tmp_path / "store", tmp_path / "first", tmp_path / "second"
    compiled(first)
    compiled(first, "libk.cpp", b"source")
    assert kernel_cache.keep(first, store) == 1
    kernel_cache.lend(store, second)
    found = second / "mlx" / "0.32.4" / "cpu" / "libk.so"
    assert found.read_bytes() == b"\x7fELF"
    assert not (found.parent / "libk.cpp").exists()


def test_lent_kernels_are_not_stored_again_and_empty_ones_never(tmp_path):
    store, first, second = tmp_path / "store", tmp_path / "first", tmp_path / "second"
    compiled(first)
    kernel_cache.keep(first, store)
    kernel_cache.lend(store, second)
    compiled(second, "libempty.so", b"")
    assert kernel_cache.keep(second, store) == 0


def test_a_name_as_long_as_a_file_name_can_be(tmp_path):
    # MLX clips its names at what a file system takes, so that no suffix fits any more.
    name = "lib" + "k" * 249 + ".so"
    compiled(tmp_path / "first", name)
    assert kernel_cache.keep(tmp_path / "first", tmp_path / "store") == 1
    assert [path.name for path in (tmp_path / "store").rglob("*.so")] == [name]


def test_a_store_that_cannot_be_written_costs_nothing(tmp_path):
    compiled(tmp_path / "first")
    (tmp_path / "store").write_text("a file, not a folder")
    assert kernel_cache.keep(tmp_path / "first", tmp_path / "store") == 0
