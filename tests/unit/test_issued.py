"""What a rank of a watched command issues: written in its own Python, read here, and compared."""

from __future__ import annotations

import inspect
import os
import pickle
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.beats.issued import IssuedReader, files
from harness.detect.ranks import JobColumns
from harness.inject.inside import collectives, writer
from harness.inject.inside.collectives import (
    APART,
    ENTRIES,
    JOINS,
    OPERATIONS,
    SIGNATURES,
    TOGETHER,
)
from harness.model import Position
from harness.supervise.issued import EARLY, IssuedByRanks


class Array:
    def __init__(self, *shape, dtype="mlx.core.float32"):
        self.shape = shape
        self.dtype = dtype


class Group:
    def __init__(self, size):
        self._size = size

    def size(self):
        return self._size


class Mlx:
    """As much of mlx.core as is hooked into, in a job of `ranks` ranks."""

    def __init__(self, ranks=2):
        self.asked = 0
        self.compiled = []
        self.distributed = types.SimpleNamespace(init=self.init, send=lambda x, dst: x)
        self._ranks = ranks
        for name in OPERATIONS:
            setattr(self.distributed, name, self.operation(name))

    def init(self):
        self.asked += 1
        return Group(self._ranks)

    @staticmethod
    def operation(name):
        def operation(x, *, group=None, stream=None):
            """Adds up."""
            if x is None:
                raise TypeError("no array")
            return x

        operation.__name__ = name
        return operation

    def compile(self, fun, inputs=None, outputs=None, shapeless=False):
        """Compiles."""
        self.compiled.append(fun)
        return fun


@pytest.fixture(autouse=True)
def nobody_reports_steps():
    """Another test of this process may have opened a writer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "reports", None)
        yield


@pytest.fixture
def rank(monkeypatch):
    for name in writer.RANKS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLX_RANK", "1")


def hooked(folder, ranks=2):
    mlx = Mlx(ranks)
    collectives.wrap(mlx, str(folder))
    return mlx


def reader(folder):
    (path,) = files(folder / "rank-1")
    return IssuedReader(path)


def told(beats):
    return [(beat.n, beat.op, beat.shape, beat.dtype) for beat in beats]


# --- written and read ---------------------------------------------------------------------------


def test_what_is_issued_is_read_back(rank, tmp_path):
    mlx = hooked(tmp_path)
    one = reader(tmp_path)
    assert (one.read(), one.began is None) == ([], False)
    mlx.distributed.all_sum(Array(4, 3))
    mlx.distributed.all_gather(x=Array(dtype="mlx.core.int8"), stream=None)
    assert told(one.read()) == [
        (0, "all_sum", (4, 3), "float32"),
        (1, "all_gather", (), "int8"),
    ]
    assert one.read() == []
    mlx.distributed.all_sum(Array(4, 3))
    (beat,) = one.read()
    assert (beat.n, beat.step, beat.traced, one.issued) == (2, -1, False, 3)


@given(calls=st.lists(st.integers(0, 40), max_size=8), ring=st.integers(1, 9))
def test_whatever_is_overwritten_is_missed_and_never_misread(tmp_path_factory, calls, ring):
    folder = tmp_path_factory.mktemp("issued")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLX_RANK", "1")
        mlx, one = hooked(folder), reader(folder)
        issued = 0
        for many in calls:
            for _ in range(many * ENTRIES // 40 * ring // 9):
                mlx.distributed.all_sum(Array(issued % 7))
                issued += 1
            for beat in one.read():
                assert beat.shape == (beat.n % 7,)
            assert one.issued == issued


def test_ranks_that_share_shapes_up_to_the_end_of_the_table_still_agree(rank, tmp_path):
    mlx, one = hooked(tmp_path), reader(tmp_path)
    for size in range(SIGNATURES + 50):
        mlx.distributed.all_sum(Array(size))
    mlx.distributed.all_max(Array(*range(40)))  # longer than a place in the table
    beats = one.read()
    assert [beat.shape for beat in beats[:3]] == [(0,), (1,), (2,)]
    assert {(beat.op, beat.shape) for beat in beats[-3:-1]} == {("all_sum", ())}
    assert (beats[-1].op, beats[-1].shape) == ("all_max", ())


def test_a_traced_one_says_so_and_the_same_function_is_compiled_as_the_same(rank, tmp_path):
    mlx, one = hooked(tmp_path), reader(tmp_path)

    def step(x):
        """A step."""
        return mlx.distributed.all_sum(x)

    compiled = mlx.compile(step)
    mlx.compile(fun=step, shapeless=True)
    assert compiled(Array(2)).shape == (2,)
    mlx.distributed.all_sum(Array(2))
    assert [beat.traced for beat in one.read()] == [True, False]
    first, second = mlx.compiled
    assert first is second
    assert (first.__name__, first.__doc__) == ("step", "A step.")
    with pytest.raises(ZeroDivisionError):
        mlx.compile(lambda x: 1 // 0)(None)
    mlx.distributed.all_sum(Array(2))
    assert not one.read()[0].traced
    mlx.compile("no function")
    assert mlx.compiled[-1] == "no function"


def test_the_functions_look_as_they_did(rank, tmp_path):
    plain, mlx = Mlx(), hooked(tmp_path)
    for name in OPERATIONS:
        before, after = getattr(plain.distributed, name), getattr(mlx.distributed, name)
        assert (after.__name__, after.__doc__) == (before.__name__, before.__doc__)
        assert inspect.signature(after) == inspect.signature(before)
    assert inspect.signature(mlx.compile) == inspect.signature(plain.compile)
    with pytest.raises(TypeError, match="no array"):
        mlx.distributed.all_sum(None)
    assert reader(tmp_path).read() == []


def test_groups_of_some_ranks_are_left_out_and_one_alone_issues_nothing(rank, tmp_path):
    mlx, one = hooked(tmp_path, ranks=4), reader(tmp_path)
    mlx.distributed.all_sum(Array(1), group=Group(1))
    assert mlx.asked == 0  # what has no other ranks must not be made to look for them
    mlx.distributed.all_sum(Array(2), group=Group(2))
    mlx.distributed.all_sum(Array(3), group=Group(4))
    mlx.distributed.all_sum(Array(4))
    assert [beat.shape for beat in one.read()] == [(3,), (4,)]
    alone = hooked(tmp_path / "alone", ranks=1)
    for _ in range(3):
        alone.distributed.all_sum(Array(1))
    assert (reader(tmp_path / "alone").read(), alone.asked) == ([], 1)


def test_a_process_that_is_no_rank_is_left_alone(rank, tmp_path, monkeypatch):
    monkeypatch.delenv("MLX_RANK")
    mlx = Mlx()
    before = {**vars(mlx.distributed)}
    collectives.wrap(mlx, str(tmp_path))
    collectives.wrap(types.SimpleNamespace(), str(tmp_path))
    assert vars(mlx.distributed) == before
    assert list(tmp_path.iterdir()) == []


def test_what_goes_wrong_reaches_nobody_but_leaves_word(rank, tmp_path):
    mlx, one = hooked(tmp_path), reader(tmp_path)
    odd = Array(3)
    odd.shape = [3]  # cannot be looked up
    assert mlx.distributed.all_sum(odd) is odd
    one.read()
    assert one.incomplete
    (tmp_path / "file").write_text("")
    blocked = Mlx()
    before = {**vars(blocked.distributed)}
    collectives.wrap(blocked, str(tmp_path / "file"))
    assert vars(blocked.distributed) == before


def test_a_full_disk_leaves_no_file(rank, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda file, data: len(data) - 1)
    hooked(tmp_path)
    assert list((tmp_path / "rank-1").iterdir()) == []


def test_a_forked_child_writes_nothing(rank, tmp_path, monkeypatch):
    mlx, one = hooked(tmp_path), reader(tmp_path)
    monkeypatch.setattr(writer, "_process", os.getpid() + 1)
    mlx.distributed.all_sum(Array(1))
    assert one.read() == []


def test_the_step_is_that_of_whoever_reports_steps(rank, tmp_path, monkeypatch):
    mlx, one = hooked(tmp_path), reader(tmp_path)
    monkeypatch.setattr(writer, "reports", types.SimpleNamespace(step=7))
    mlx.distributed.all_sum(Array(1))
    monkeypatch.setitem(sys.modules, "harness.inject.inside.writer", None)
    mlx.distributed.all_sum(Array(1))
    assert [beat.step for beat in one.read()] == [7, -1]


def test_it_says_whether_it_has_joined_the_others(rank, tmp_path):
    mlx, one = hooked(tmp_path), reader(tmp_path)
    init = mlx.distributed.init
    one.read()
    assert one.joined == APART
    assert init().size() == 2
    one.read()
    assert (one.joined, init.__name__) == (TOGETHER, "init")
    assert init().size() == 2
    issues = Mlx()

    def unreachable():
        raise RuntimeError("[ring] Couldn't connect")

    issues.distributed.init = unreachable
    collectives.wrap(issues, str(tmp_path / "other"))
    with pytest.raises(RuntimeError, match="connect"):
        issues.distributed.init()
    other = reader(tmp_path / "other")
    other.read()
    assert other.joined == JOINS


def test_who_issues_one_has_joined_and_before_it_waits_to(rank, tmp_path):
    mlx, seen = Mlx(), []

    def gather(x, *, group=None, stream=None):
        one = reader(tmp_path)
        one.read()
        seen.append(one.joined)
        return x

    mlx.distributed.all_gather = gather
    collectives.wrap(mlx, str(tmp_path))
    for _ in range(2):
        mlx.distributed.all_gather(Array(1))
    assert seen == [JOINS, TOGETHER]


def test_the_hook_and_the_writer_mean_the_same_ranks():
    source = (collectives.__file__.rpartition("inside")[0]) + "hook/sitecustomize.py"
    with open(source, encoding="utf-8") as file:
        assert f"RANKS = {writer.RANKS}".replace("'", '"') in file.read()


def test_a_file_of_another_version_is_not_read(rank, tmp_path):
    hooked(tmp_path).distributed.all_sum(Array(1))
    (path,) = files(tmp_path / "rank-1")
    data = bytearray(path.read_bytes())
    for changed in (data[:10], bytes([99]) + data[1:], data[: len(data) // 2]):
        path.write_bytes(changed)
        assert IssuedReader(path).read() == []
    assert IssuedReader(tmp_path / "none").read() == []


def test_the_wrapped_functions_can_be_pickled_by_their_name(rank, tmp_path, monkeypatch):
    module = types.ModuleType("made_up_distributed")
    mlx = Mlx()
    for name in OPERATIONS:
        function = getattr(mlx.distributed, name)
        function.__module__, function.__qualname__ = module.__name__, name
        setattr(module, name, function)
    module.init = mlx.init
    monkeypatch.setitem(sys.modules, module.__name__, module)
    collectives.wrap(types.SimpleNamespace(distributed=module), str(tmp_path))
    assert pickle.loads(pickle.dumps(module.all_sum)) is module.all_sum


# --- of several ranks ---------------------------------------------------------------------------


class Job:
    """Ranks that tell, each in a process with a number of its own."""

    def __init__(self, folder, patch):
        self.own, self._patch = folder, patch
        self.columns = JobColumns(8)
        self.issued = IssuedByRanks(folder, self.columns)

    def rank(self, number, pid=100):
        self._patch.setenv("MLX_RANK", str(number))
        self._patch.setattr(os, "getpid", lambda: pid + number)
        mlx = hooked(self.own)
        self._patch.undo()
        issued = mlx.distributed.all_sum.__closure__
        (file,) = [c.cell_contents for c in issued if hasattr(c.cell_contents, "tracing")]
        file._pid = os.getpid()
        return mlx.distributed

    def totals(self, *ranks):
        self.issued.read(ranks)
        return {rank: one.total for rank, one in self.issued.by_number(ranks).items()}


@pytest.fixture
def job(tmp_path, monkeypatch):
    return Job(tmp_path, monkeypatch)


def test_where_a_rank_is_that_has_not_joined_is_known_if_others_tell(job):
    job.issued.read((0, 1))
    assert job.issued.place(1, 5.0) is None  # nobody tells: the hook may not be there
    zero = job.rank(0)
    job.issued.read((0, 1))
    assert job.issued.place(1, 5.0) == Position(-1, "import", 5.0)
    assert job.issued.place(0, 5.0).phase == "import"
    zero.init()
    job.issued.read((0, 1))
    assert job.issued.place(0, 5.0) is None
    assert job.issued.place(7, 5.0) is None


def test_ranks_are_compared_only_if_all_tell(job):
    zero = job.rank(0)
    zero.all_sum(Array(1))
    assert job.totals(0) == {0: 1}
    assert job.totals(0, 1) == {}
    job.rank(1)
    assert job.totals(0, 1) == {0: 1, 1: 0}
    job.issued._ranks[1]._readers.popitem()[1].incomplete = True


def test_of_two_programs_the_second_counts_once_all_have_begun_it(job):
    ranks = [job.rank(0), job.rank(1)]
    for one in ranks:
        one.all_sum(Array(1))
        one.all_sum(Array(2))
    assert job.totals(0, 1) == {0: 2, 1: 2}
    # Numbers of processes begin anew, and do not tell which one was the first.
    second = [job.rank(number, pid=20) for number in range(2)]
    assert job.totals(0, 1) == {0: 2, 1: 2}  # it may issue none
    second[0].all_sum(Array(3))
    assert job.totals(0, 1) == {}
    second[1].all_sum(Array(3))
    assert job.totals(0, 1) == {0: 1, 1: 1}


def test_a_rank_in_which_something_went_wrong_is_compared_with_no_other(job):
    ranks = [job.rank(0), job.rank(1)]
    for one in ranks:
        one.all_sum(Array(1))
    assert job.totals(0, 1) == {0: 1, 1: 1}
    odd = Array(1)
    odd.shape = [1]
    ranks[1].all_sum(odd)
    assert job.totals(0, 1) == {}


def test_ranks_are_not_compared_of_which_only_one_has_compiled(job):
    def rank(number):
        one = job.rank(number)
        issued = next(c.cell_contents for c in one.all_sum.__closure__
                      if hasattr(c.cell_contents, "tracing"))  # fmt: skip
        return one, issued

    (zero, _), (one, issued) = rank(0), rank(1)
    zero.all_sum(Array(1))
    issued.tracing = 1
    one.all_sum(Array(1))
    issued.tracing = 0
    assert job.totals(0, 1) == {}
    one.all_sum(Array(1))
    assert job.totals(1) == {1: 1}
    for _ in range(ENTRIES + 1):
        one.all_sum(Array(1))
    assert job.totals(1) == {}  # which of those that were missed were traced is not known


def test_steps_count_where_they_are_known_from_early_on(job, monkeypatch):
    ranks = [job.rank(0), job.rank(1)]
    for one in ranks:
        one.all_sum(Array(1))  # before the first step
    job.issued.read((0, 1))
    assert not job.issued.by_step((0, 1))
    monkeypatch.setattr(writer, "reports", types.SimpleNamespace(step=0))
    for one in ranks:
        one.all_sum(Array(2))
        one.all_max(Array(2))
    job.issued.read((0, 1))
    assert job.issued.by_step((0, 1))
    assert [len(job.columns[1].issued_in(step)) for step in (-1, 0)] == [1, 2]
    assert not job.columns[1].gaps


def test_of_a_rank_that_never_reports_a_step_not_all_is_kept_twice(job, monkeypatch):
    one = job.rank(0)
    for _ in range(3):
        for _ in range(EARLY // 2):
            one.all_sum(Array(1))
        job.issued.read((0,))
    monkeypatch.setattr(writer, "reports", types.SimpleNamespace(step=0))
    one.all_sum(Array(1))
    job.issued.read((0,))
    assert (job.columns[0].total, job.issued.by_step((0,))) == (EARLY, False)
    assert job.totals(0) == {0: EARLY // 2 * 3 + 1}
