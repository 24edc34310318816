"""The ranks of a watched command: which processes they are, and what each of them tells."""

from __future__ import annotations

import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.beats.file import read_beats
from harness.inject.inside import launcher, writer
from harness.inject.inside.launcher import HEAD, PART, SAID, Said
from harness.inject.inside.writer import home, open_writer
from harness.logs import ADAPTERS
from harness.model import Process, StepBeat
from harness.observe import rank_env
from harness.observe.rank_env import among
from harness.supervise import command_ranks
from harness.supervise.command_ranks import Numbers, Ranks

# --- which processes they are -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "rank"),
    [
        ({"MLX_RANK": "2"}, 2),
        ({"OMPI_COMM_WORLD_RANK": "0"}, 0),
        ({"PMI_RANK": "7"}, 7),
        ({"MLX_RANK": "1", "OMPI_COMM_WORLD_RANK": "5"}, 1),
        ({"MLX_RANK": "", "PMI_RANK": "3"}, 3),
        ({"MLX_RANK": "-1"}, None),
        ({"MLX_RANK": "two"}, None),
        ({"RANK": "4"}, None),
        ({}, None),
    ],
)
def test_the_rank_is_what_the_launcher_has_told(variables, rank):
    assert among(variables) == rank


def test_one_that_cannot_be_asked_is_no_rank():
    assert among(rank_env.variables(2**22 + 1)) is None


def process(pid, ppid, name="python"):
    return Process(pid=pid, ppid=ppid, name=name, state="S", cpu_s=0.0)


def numbered(monkeypatch, ranks):
    asked = []

    def variables(pid):
        asked.append(pid)
        return {"HOME": "/", "MLX_RANK": str(ranks.get(pid, ""))}

    monkeypatch.setattr(command_ranks.rank_env, "variables", variables)
    return asked


def test_what_a_rank_has_started_is_not_the_rank(monkeypatch):
    numbered(monkeypatch, {11: 0, 12: 0, 13: 0, 21: 1, 22: 1})
    tree = [process(1, 0), process(11, 1), process(12, 11), process(13, 12), process(21, 1)]
    assert Numbers().of([*tree, process(22, 21)]) == {0: 11, 1: 21}


def test_each_process_is_asked_once_and_again_when_it_has_become_another(monkeypatch):
    ranks = {}
    asked = numbered(monkeypatch, ranks)
    numbers = Numbers()
    assert numbers.of([process(1, 0), process(11, 1, "bash")]) == {}
    assert numbers.of([process(1, 0), process(11, 1, "bash")]) == {}
    assert asked == [1, 11]
    ranks[11] = 3
    assert numbers.of([process(1, 0), process(11, 1, "python")]) == {3: 11}


def test_one_that_has_no_variables_yet_is_asked_again(monkeypatch):
    # While a shell becomes Python it has the new name, and nothing else.
    given = {}
    monkeypatch.setattr(command_ranks.rank_env, "variables", lambda pid: given)
    numbers = Numbers()
    assert numbers.of([process(11, 1)]) == {}
    given["MLX_RANK"] = "2"
    assert numbers.of([process(11, 1)]) == {2: 11}


def test_a_number_that_no_job_has_is_not_believed(monkeypatch):
    numbered(monkeypatch, {11: 10**9, 12: 1})
    assert Numbers().of([process(11, 1), process(12, 1)]) == {1: 12}


@pytest.mark.parametrize(
    ("name", "argv", "far"),
    [
        ("mpirun", ("mpirun", "-H", "a,b", "-n", "4", "python", "x.py"), True),
        ("ssh", ("ssh", "a", "x"), True),
        ("mpirun", ("mpirun", "-n", "4", "python", "x.py"), False),
        ("bash", ("bash", "run.sh"), False),
    ],
)
def test_ranks_may_be_elsewhere_if_their_starter_reaches_other_machines(
    monkeypatch, name, argv, far
):
    command_lines = {1: ("watch",), 10: argv, 11: ("ssh", "of", "a", "rank")}
    monkeypatch.setattr(command_ranks.process_names, "argv", command_lines.__getitem__)
    tree = [process(1, 0), process(10, 1, name), process(11, 10, "python"), process(12, 11, "ssh")]
    assert command_ranks.elsewhere(tree, [11]) is far


def test_a_rank_that_is_not_seen_never_started_unless_it_may_be_on_another_machine():
    here = {9: 90, 8: 80, 11: 110}
    assert list(command_ranks.expected(here, elsewhere=True)) == [8, 9, 11]
    assert list(command_ranks.expected({0: 1, 2: 3}, elsewhere=False)) == [0, 1, 2]


# --- in the launcher ----------------------------------------------------------------------------


class RemoteProcess:
    """As MLX's: the first line of a rank is the launcher's own."""

    def __init__(self, rank, host, python, cwd, files, env, command):
        self.first = True

    def preprocess_output(self, data, is_stdout=False):
        if self.first:
            self.first = False
            return data.partition("\n")[2]
        return data


def test_the_launcher_gets_its_output_and_each_rank_has_its_own(tmp_path):
    module = types.SimpleNamespace(RemoteProcess=type("P", (RemoteProcess,), {}))
    launcher.wrap(module, str(tmp_path))
    zero, one = (module.RemoteProcess(n, "h", "", "", [], {}, []) for n in range(2))
    assert zero.preprocess_output("/tmp/pid\nstep 0\n", True) == "step 0\n"
    assert one.preprocess_output("/tmp/pid\n", is_stdout=True) == ""
    assert one.preprocess_output("so\udcffit is", False) == "so\udcffit is"
    said = {path.name: path.read_bytes()[HEAD.size :] for path in (tmp_path / SAID).iterdir()}
    assert said["0.stdout.0"] == b"step 0\n"
    assert said["1.stderr.0"] == b"so?it is"


def test_a_launcher_that_is_not_known_is_left_alone(tmp_path):
    module = types.SimpleNamespace()
    launcher.wrap(module, str(tmp_path))
    assert vars(module) == {}


def test_without_the_folder_nothing_is_raised(tmp_path):
    (tmp_path / "file").write_text("")
    Said(str(tmp_path / "file"), 0, "stdout").write(b"x")
    assert (tmp_path / "file").read_text() == ""


# --- what they say ------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    return Ranks(tmp_path, own, ADAPTERS), own


def steps(folder):
    return [beat.step for beat in read_beats(folder) if isinstance(beat, StepBeat)]


def test_what_each_rank_prints_is_its_log_and_its_steps(job, tmp_path):
    ranks, own = job
    said = [Said(str(own), rank, "stdout") for rank in range(2)]
    for step in range(3):
        said[0].write(b"step %d loss 0.5\n" % step)
        said[1].write(b"step %d loss 0.7\n" % (step + 10))
    ranks.listen()
    ranks.begun({0: 100, 1: 101}, "train")
    found = [(rank, beat.step) for rank, beat, _ in ranks.beats() if isinstance(beat, StepBeat)]
    assert sorted(found) == [(0, 0), (0, 1), (0, 2), (1, 10), (1, 11), (1, 12)]
    assert ranks.position(1).step == 12
    ranks.close()
    assert steps(tmp_path / "rank-0") == [0, 1, 2]
    assert (tmp_path / "rank-1" / "stdout.log").read_text().startswith("step 10 loss 0.7\n")


@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(1, 60), max_size=30))
def test_no_byte_is_lost_in_whatever_parts_it_comes(tmp_path_factory, data, cuts):
    folder = tmp_path_factory.mktemp("job")
    own = folder / "own"
    own.mkdir()
    ranks = Ranks(folder, own, ADAPTERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launcher, "PART", 16)
        said = Said(str(own), 0, "stderr")
        said.write(b"x")
        rest, lots = data, iter(cuts)
        while rest:
            size = next(lots, 7)
            said.write(rest[:size])
            rest = rest[size:]
            if size % 2:
                ranks.listen()
    ranks.close()
    assert (folder / "rank-0" / "stderr.log").read_bytes() == b"x" + data


def test_what_was_read_is_taken_away(job):
    ranks, own = job
    said = Said(str(own), 0, "stdout")
    for _ in range(3):
        said.write(b"-" * PART)
        ranks.listen()
    left = sum(path.stat().st_size for path in (own / SAID).iterdir())
    ranks.close()
    assert left <= PART + HEAD.size


def test_steps_have_the_times_at_which_they_were_said(job, tmp_path, monkeypatch):
    ranks, own = job
    said = Said(str(own), 0, "stdout")
    for step in range(4):
        monkeypatch.setattr(launcher.time, "monotonic", lambda step=step: 1e9 + step / 4)
        said.write(b"step %d loss 0.5\n" % step)
    monkeypatch.undo()
    ranks.listen()
    ranks.close()
    (first, *others) = [b for b in read_beats(tmp_path / "rank-0") if isinstance(b, StepBeat)]
    assert first.t == 1e9
    assert [sum(beat.phases.values()) for beat in others] == [0.25] * 3


def test_a_piece_that_is_being_written_is_awaited(job, tmp_path):
    ranks, own = job
    Said(str(own), 0, "stdout").write(b"step 0 loss 0.5\n")
    (path,) = (own / SAID).iterdir()
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        ranks.listen()
    ranks.close()
    assert (tmp_path / "rank-0" / "stdout.log").read_bytes() == b"step 0 loss 0.5\n"


def test_the_exception_at_the_end_is_told(job):
    ranks, own = job
    Said(str(own), 1, "stderr").write(
        b"Traceback (most recent call last):\n  raise OSError(1)\nOSError: 1\n"
        b"\nDuring handling of the above exception, another exception occurred:\n\n"
        b"Traceback (most recent call last):\n  raise DataError(1)\n"
        b"mlx.Oops.DataError: the batch is empty\n"
    )
    ranks.close()
    assert ranks.error(1) == "mlx.Oops.DataError: the batch is empty"
    assert ranks.error(0) is None


def test_ranks_that_report_rarely_are_not_compared_with_those_that_report_often(job):
    ranks, own = job
    for rank, every in ((0, 1), (1, 10), (2, 1)):
        said = Said(str(own), rank, "stdout")
        for step in range(0, 41, every):
            said.write(b"step %d loss 0.5\n" % step)
    Said(str(own), 3, "stdout").write(b"loading\n")
    ranks.close()
    assert ranks.comparable((0, 2))
    assert not ranks.comparable((0, 1))
    assert not ranks.comparable((0, 3))  # it has reported nothing


# --- ranks that report themselves ---------------------------------------------------------------


def test_each_rank_reports_in_a_folder_of_its_own(job, tmp_path, monkeypatch):
    ranks, own = job
    assert home(str(own)) == str(own)
    for rank in range(2):
        monkeypatch.setenv("MLX_RANK", str(rank))
        assert writer.rank() == rank
        mine = open_writer(home(str(own)), "harness.beats")
        mine.at("step", 0)
        mine.end(loss=0.5 + rank)
        mine.finish()
    assert ranks.reporting == (0, 1)
    ranks.close()
    told = list(ranks.beats())
    assert {itself for _, _, itself in told} == {True}
    assert [(rank, beat.loss) for rank, beat, _ in told if isinstance(beat, StepBeat)] == [
        (0, 0.5), (1, 1.5)
    ]  # fmt: skip
    assert steps(tmp_path / "rank-1") == [0]
    assert next(beat.rank for beat in read_beats(tmp_path / "rank-1")) == 1


def test_a_rank_beyond_the_most_that_a_job_has_is_none(job, monkeypatch):
    """The supervisor has no place for it, and must not end for it."""
    ranks, own = job
    for rank in (1, command_ranks._MOST):
        monkeypatch.setenv("MLX_RANK", str(rank))
        open_writer(home(str(own)), "harness.beats").finish()
    assert ranks.reporting == (1,)
    assert {rank for rank, _, _ in ranks.beats()} == {1}
