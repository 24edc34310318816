"""One run of a scenario on several ranks, which MLX's own launcher starts."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from harness.beats.file import BeatReader, read_position
from harness.detect.policy import STANDARD
from harness.detect.ranks import JobColumns, JobVerdict, RankState
from harness.model import (
    Ending,
    ErrorBeat,
    Finding,
    Outcome,
    Position,
    Process,
    ScenarioResult,
    Snapshot,
    Standing,
    StartBeat,
)
from harness.observe import rank_env
from harness.supervise import launch, nccl_log
from harness.supervise.launcher_log import Exits
from harness.supervise.ports import Ports
from harness.supervise.rank_tracker import RankTracker, below
from harness.supervise.remote import hosts
from harness.supervise.remote.frame import Seen
from harness.supervise.run_state import RunState
from harness.supervise.streams import captured

_LAUNCH = (
    "import sys; from importlib.metadata import entry_points; sys.argv[0] = 'mlx.launch'; "
    "sys.exit(next(iter(entry_points(group='console_scripts', name='mlx.launch'))).load()())"
)
"""`mlx.launch` of the MLX that our own interpreter has, wherever its script lies."""
_MPIRUN = ("mpirun", "--oversubscribe")
"""MPI's own launcher: mlx.launch knows only how to call that of Open MPI 5."""
_TELLING = (
    'trap : TERM; "$@"; code=$?; if [ $code -gt 128 ]; then code=-$((code - 128)); fi; if '
    '[ $code != 0 ]; then echo "Node with rank $OMPI_COMM_WORLD_RANK exited with code $code" >&2; '
    "exit 1; fi"
)
"""Says of a rank that did not end well what mlx.launch would; mpirun does so of the first alone."""
_MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
"""In a container one is root, and nobody else's account is at risk."""
WORD_S = 1.0
"""The time after a rank's end in which the launcher says how it ended, if it says it."""


class ScenarioRanks:
    """Beats, processes and verdicts by rank. The watchdog sees progress when any of them moves."""

    ours = True
    versions: Mapping[str, str] = {}

    def __init__(self, run: RunState) -> None:
        assert run.spec.settings is not None
        self._run = run
        self.tracker: RankTracker = RankTracker(run, self)
        self._size = run.spec.settings.ranks
        self._folders = [run.folder / f"rank-{rank}" for rank in range(self._size)]
        self._readers = [BeatReader(folder) for folder in self._folders]
        self._columns = JobColumns(self._size)
        self._exits = Exits()
        self._nccl = nccl_log.NcclErrors()
        self._hosts = hosts.Hosts(run.spec, self._folders)
        self._ports: Ports | None = None

    def launch(self, cold: bool) -> launch.Launched:
        spec = self._run.spec
        assert spec.settings is not None
        command, variables = self._started_by(spec.settings.backend)
        # The launcher reads its input as fast as it comes, the end of it over and over.
        silent, writer = os.pipe()
        try:
            return launch.worker(
                spec,
                cold,
                command,
                ends=replace(captured(), stdin=silent, held=(writer,)),
                hear=(self._hear, self._hear),
                variables={**self._run.info.variables, **variables},
            )
        finally:
            self._hosts.speak(writer)

    def _hear(self, data: bytes) -> None:
        self._exits.hear(data)
        self._nccl.hear(data)

    def _started_by(self, backend: str) -> tuple[list[str], dict[str, str]]:
        """The launcher's command, and the variables that it needs."""
        run = self._run
        if run.spec.hostfile is not None:
            launcher = [sys.executable, "-c", _LAUNCH]
            return hosts.command(run.spec, launcher, run.policy), hosts.variables(run.folder)
        other = run.spec.interpreter
        worker = launch.boot("harness.worker", str(run.folder / launch.SPEC), interpreter=other)
        if backend == "mpi":
            ranks = [*_MPIRUN, "-n", str(self._size), "--"]
            return [*ranks, "sh", "-c", _TELLING, "sh", *worker], _MPI
        kind = "ring" if backend == "any" else backend
        python = sys.executable if other is None else other.python
        ranks = [python, "-c", _LAUNCH, "-n", str(self._size), "--backend", kind]
        if kind == "ring":
            self._ports = Ports(self._size)
            ranks += ["--starting-port", str(self._ports.first)]
        elif kind == "nccl":
            self._ports = Ports(1)
            ranks += ["--nccl-port", str(self._ports.first)]
            return [*ranks, "--", *worker], rank_env.nccl(os.environ)
        return [*ranks, "--", *worker], {}

    def read(self) -> None:
        for rank, reader in enumerate(self._readers):
            for beat in reader.read():
                self._run.learn(beat, first=rank == 0)
                self._columns[rank].add(beat)
                if isinstance(beat, ErrorBeat):
                    self._run.failed = True
                elif isinstance(beat, StartBeat):
                    self.tracker.pids[rank] = self._hosts.number(rank, beat.pid)

    def position(self) -> Position | None:
        """The position of the rank that is furthest behind; its time is that of the last move of
        any."""
        known = [p for folder in self._folders if (p := read_position(folder)) is not None]
        if not known:
            return None
        slowest = min(known, key=lambda position: position.step)
        return Position(slowest.step, slowest.phase, max(position.t for position in known))

    def look(self, now: float) -> None:
        self._hosts.look(now)

    def fell_silent(self) -> bool:
        return False

    def watched(self, snapshot: Snapshot) -> Snapshot:
        """The launcher's threads spin while they wait for output of the ranks: no progress."""
        launcher, *others = snapshot.processes or (None,)
        if launcher is None or launcher.pid != self._run.process.pid:
            return snapshot
        if self._run.spec.hostfile is not None:
            # Nor is it progress that the hosts are heard.
            others = [*below(others, self.tracker.pids.values()), *self._hosts.processes()]
        return msgspec.structs.replace(
            snapshot, processes=(self.tracker.at_rest(launcher, others), *others)
        )

    def states(self, now: float) -> list[RankState]:
        # In this order: no beat must be missing of what the positions and the ends say.
        positions = [read_position(folder) for folder in self._folders]
        run, tracker = self._run, self.tracker
        # The last look may be older than the end of it all, and nothing outlives its launcher.
        near = run.snapshot.processes if run.snapshot and run.process.status is None else ()
        processes = {p.pid: p for p in (*near, *self._hosts.processes())}
        gone = {rank for rank, pid in tracker.pids.items() if self._gone(rank, processes.get(pid))}
        gone.update(self._hosts.unreached())
        self.read()
        for rank in gone:
            tracker.ended.setdefault(rank, now)
            tracker.used.pop(rank, None)
        for rank, pid in tracker.pids.items():
            if rank not in gone and pid in processes:
                tracker.follow(rank, tuple(processes.values()), now)
        return [self._state(rank, positions[rank], now) for rank in range(self._size)]

    def remote(self, rank: int) -> Seen | None:
        return self._hosts.of(rank) if rank in self._hosts else None

    def inspect_remote(self) -> None:
        self._hosts.inspect()

    def grace_is_over(self, verdict: JobVerdict, failed_at: float, now: float) -> bool:
        if verdict.code == "rank_cut_off":
            return now - max(failed_at, self._run.judgment.last_progress) > STANDARD.host_silent_s
        return now - failed_at > STANDARD.peers_end_s

    def _gone(self, rank: int, process: Process | None) -> bool:
        if rank in self._hosts:
            return self._hosts.of(rank).status is not None or self._hosts.of(rank).ended
        return process is None or process.state in "ZX"

    def _state(self, rank: int, position: Position | None, now: float) -> RankState:
        tracker = self.tracker
        code, used = self._exit_code(rank), tracker.used.get(rank)
        ended = tracker.ended.get(rank)
        state, since = tracker.in_state.get(rank, (None, None))
        alive = used is not None
        alone = sum(one > 0 for one in self._exits.codes.values()) == 1
        return RankState(
            rank=rank,
            host=self._hosts.names[rank],
            columns=self._columns[rank],
            started=rank in tracker.pids,
            position=position,
            process=state if alive else None,
            process_since=since if alive else None,
            ended_t=ended,
            swept=self._exits.ends_all and ended is not None and code is None,
            exit_code=code if code is not None and code >= 0 else None,
            signal=launch.signal_name(-code) if code is not None and code < 0 else None,
            wait=self._run.evidence.waits.get(tracker.pids.get(rank, -1)),
            cpu=used.cores if used else None,
            cut_off_since=None if self._run.end_reason else self._hosts.cut_off_since(rank, now),
            error=self._hosts.of(rank).said or None,
            library_error=self._nccl.of(tracker.pids.get(rank), alone) if code else None,
        )

    def _exit_code(self, rank: int) -> int | None:
        """The rank's own; that of its connection only if nothing else was ever heard of it."""
        host = self._hosts.of(rank)
        if host.status is not None:
            return os.waitstatus_to_exitcode(host.status)
        if host.ended:
            return -signal.SIGTERM
        if host.heard is not None:
            return None
        return self._exits.codes.get(rank, 0 if self._ended_well(rank) else None)

    def _ended_well(self, rank: int) -> bool:
        """True if the launcher says nothing of a rank that has ended, which it does of none that
        ended well; it is given a moment for it."""
        run, ended = self._run, self.tracker.ended.get(rank)
        if (
            ended is None
            or rank in self._hosts
            or self._exits.ends_all
            or run.end_reason
            or run.killed_by
        ):
            return False
        if run.process.status is None:
            return time.monotonic() - ended > WORD_S
        return run.process.exit_code == 0

    def before_end(self) -> None:
        self._hosts.close()
        if self._ports is not None:
            self._ports.close()
        if self._run.cause is None:
            self._hosts.look(time.monotonic())

    def settle(self) -> None:
        pass

    def completed(self, ending: Ending) -> Ending:
        return ending

    def finished(self, result: ScenarioResult) -> ScenarioResult:
        verdict = self.tracker.verdict
        # The launcher may have ended the first rank before it could say so itself.
        skipped = verdict.skipped if verdict and self._run.end_reason is None else None
        if skipped is None:
            return result
        return msgspec.structs.replace(result, outcome=Outcome.SKIPPED, reason=skipped)

    def findings(self, verdict: JobVerdict) -> list[Finding]:
        """The hosts that were not heard for a while, and came back."""
        lost = [result.rank for result in verdict.ranks if result.state is Standing.CUT_OFF]
        return self._hosts.findings(rank for rank in range(self._size) if rank not in lost)
