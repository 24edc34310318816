"""A folder of programs whose end is known, and what each of them needs of a machine.

    FOLDER/cases/*      the programs; the first lines of each are its labels
    FOLDER/setup.sh     makes what they need, once, in the folder that it lies in
    FOLDER/srv.py       servers outside of what is watched; prints `ready` once they listen
    FOLDER/fusesrv.py   a file system for the mount point that it is given; prints `mounted`

A label is a comment `# key: value` before the first line of code:

    truth    healthy, hang, notproven (whatever comes of it, it must not be proven), or either
    end      the right ends of its chain, such as `network program`
    budget   seconds after which the harness ends it (90)
    cmd      the command that is watched (@P @F)
    opts     more options of `harness watch`
    harness  another command line of the harness; `attach ... @N` looks at `cmd` after some seconds
    after    these seconds (5)
    side     a shell command beside it
    pty      it runs in a terminal, into which `text` (y) is typed after `answer` seconds (70)

@P is the Python, @F the program, @B the folder, @B/work the folder that it runs in, @R this
repository, @O where reports go, @N the number of the process to attach to.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENDS = Path(__file__).with_name("situation_ends.json")
"""The right ends of programs that do not name their own."""
LABEL = re.compile(r"(?:#|//|--) (\w+): (.*)")
TRUTHS = ("healthy", "hang", "notproven", "either")
TOOLS = ("bash", "flock", "g++", "nice", "node", "pgrep", "script", "tee", "timeout", "vi")
TOOL = re.compile(rf"(?<![\w./-])({'|'.join(map(re.escape, TOOLS))})(?![\w./-])")
SETUP_S = 600.0


@dataclass(frozen=True)
class Program:
    """One program of the corpus with its labels."""

    file: Path
    labels: dict[str, str]
    ends: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.file.stem

    @property
    def truth(self) -> str:
        return self.labels["truth"]

    @property
    def kind(self) -> str:
        """The end of its chain, the likeliest of those that are right."""
        return self.ends[0] if self.ends else "unknown"

    @property
    def budget_s(self) -> float:
        return float(self.labels.get("budget", 90))

    @property
    def command(self) -> str:
        return self.labels.get("cmd", "@P @F")

    @property
    def attaches(self) -> bool:
        return "@N" in self.labels.get("harness", "")

    @property
    def wanted(self) -> str:
        """The right outcome, for people."""
        healthy = "unfinished" if self.attaches else "completed"
        return {"healthy": healthy, "hang": "hung", "notproven": "not proven"}.get(
            self.truth, "any"
        )


def programs(folder: Path) -> list[Program]:
    """The programs of a corpus by name. Raises SystemExit where one has no label `truth`."""
    known = json.loads(ENDS.read_text())
    labeled = []
    for file in sorted(one for one in folder.glob("cases/*") if one.is_file()):
        labels = read_labels(file.read_text(errors="replace"))
        if labels.get("truth") not in TRUTHS:
            raise SystemExit(f"{file}: add a line `# truth: ...`, one of {', '.join(TRUTHS)}")
        ends = labels["end"].split() if "end" in labels else known.get(file.stem, ())
        labeled.append(Program(file, labels, tuple(ends)))
    if not labeled:
        raise SystemExit(f"{folder} has no programs: put them into {folder}/cases")
    return labeled


def read_labels(text: str) -> dict[str, str]:
    labels = {}
    for line in text.splitlines():
        if not (match := LABEL.match(line)):
            break
        labels[match[1]] = match[2].strip()
    return labels


class Corpus:
    """A copy of the corpus in a folder that can be written to, set up, with its services."""

    def __init__(self, source: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for item in source.iterdir():
            if item.is_dir():
                shutil.copytree(
                    item, folder / item.name, copy_function=shutil.copyfile, dirs_exist_ok=True
                )
            else:
                shutil.copyfile(item, folder / item.name)
        self.folder = folder
        self.mounted = folder / "mnt"
        # The copy may still have programs of another corpus.
        named = {file.name for file in source.glob("cases/*")}
        self.programs = [one for one in programs(folder) if one.file.name in named]
        self._services: dict[str, subprocess.Popen[str]] = {}
        self._lock = threading.Lock()
        self._modules: dict[tuple[str, str], bool] = {}

    def set_up(self) -> None:
        """Run its set-up. What that could not make is missed by the programs which need it."""
        if (self.folder / "setup.sh").exists():
            subprocess.run(
                ["bash", "setup.sh"], cwd=self.folder, timeout=SETUP_S, stdin=subprocess.DEVNULL
            )

    @contextlib.contextmanager
    def services(self) -> Iterator[None]:
        """Its servers and its file system run."""
        try:
            self.start_services()
            yield
        finally:
            for service in self._services.values():
                service.kill()
                service.wait()
            self._unmount()

    def start_services(self) -> None:
        """Start those that do not run: some end by themselves after hours."""
        with self._lock:
            self._start("srv.py", "ready")
            if os.geteuid() == 0 and Path("/dev/fuse").exists():
                self._start("fusesrv.py", "mounted", str(self.mounted))

    def _is_mounted(self) -> bool:
        # The mount point itself may not answer.
        try:
            mounts = Path("/proc/mounts").read_text()
        except OSError:
            return False
        return any(line.split()[1] == str(self.mounted) for line in mounts.splitlines())

    def _unmount(self) -> None:
        if self._is_mounted():
            subprocess.run(["umount", "-l", str(self.mounted)])

    def _start(self, script: str, word: str, *arguments: str) -> None:
        running = self._services.get(script)
        if not (self.folder / script).exists() or (running and running.poll() is None):
            return
        if arguments:
            self._unmount()  # what another one has left
        process = subprocess.Popen(
            [sys.executable, script, *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        if process.stdout.readline().strip() != word:
            process.kill()
            raise SystemExit(f"{script} did not start: end what uses its ports or its mount point")
        self._services[script] = process

    def fill(self, text: str, program: Program, run: Path, **more: str) -> str:
        """`text` with its placeholders replaced."""
        given = {"@P": sys.executable, "@F": str(program.file), "@B/work": str(run), **more}
        for sign, value in (*given.items(), ("@B", str(self.folder)), ("@R", str(ROOT))):
            text = text.replace(sign, value)
        return text

    # -- what a program needs

    def missing(self, program: Program) -> str:
        """The first thing that this machine lacks for a program, in words; empty if nothing."""
        labels = program.labels
        shell = " ".join(
            [program.command, *(labels.get(key, "") for key in ("side", "harness", "opts"))]
        )
        named = re.findall(r"@B/([\w./-]+)", shell)
        sources = [program.file, *(self.folder / path for path in named if path.endswith(".py"))]
        texts = [file.read_text(errors="replace") for file in sources if file.exists()]
        checks = (
            self._tool(shell, sources),
            self._file(named),
            self._control_group(shell),
            self._mount(texts),
            self._module(program, sources),
        )
        return next((lack for lack in checks if lack), "")

    def _tool(self, shell: str, sources: Sequence[Path]) -> str:
        tools = set(TOOL.findall(shell))
        for file in sources:
            if file.suffix == ".sh":
                tools |= set(TOOL.findall(file.read_text()))
            elif file.suffix == ".py" and file.exists():
                tools |= {text for text in _strings(file) if text in TOOLS}
        return next((f"no {tool}" for tool in sorted(tools) if not shutil.which(tool)), "")

    def _file(self, named: Sequence[str]) -> str:
        for path in named:
            if path.split("/")[0] != "work" and not (self.folder / path).exists():
                return f"the set-up made no {path}"
        return ""

    def _control_group(self, shell: str) -> str:
        for controller in re.findall(r"/sys/fs/cgroup/(\w+)/", shell):
            if not os.access(f"/sys/fs/cgroup/{controller}/cgroup.procs", os.W_OK):
                return f"no {controller} control group of version 1 that may be written to"
        for major, minor in re.findall(r'"(\d+):(\d+) \d+"', shell):
            if os.makedev(int(major), int(minor)) != self.folder.stat().st_dev:
                return f"{self.folder} is not on device {major}:{minor}, which it throttles"
        return ""

    def _mount(self, texts: Sequence[str]) -> str:
        if any("../mnt/" in text for text in texts) and not self._is_mounted():
            return "no FUSE: that needs root and /dev/fuse"
        return ""

    def _module(self, program: Program, sources: Sequence[Path]) -> str:
        made = self.folder / "v" / "bin" / "python"
        python = str(made) if "@B/v/bin/python" in program.command else sys.executable
        for file in sources:
            if file.suffix == ".py" and file.exists():
                for name in sorted(_imports(file)):
                    own = (self.folder / f"{name}.py").exists()
                    if not own and not self._importable(python, name):
                        return f"no Python module {name}"
        return ""

    def _importable(self, python: str, name: str) -> bool:
        if (python, name) not in self._modules:
            code = "import importlib.util, sys; sys.exit(not importlib.util.find_spec(sys.argv[1]))"
            try:
                done = subprocess.run([python, "-c", code, name], env=environment())
                self._modules[python, name] = done.returncode == 0
            except OSError:  # its set-up has made no Python of its own
                self._modules[python, name] = False
        return self._modules[python, name]


def environment(**more: str) -> dict[str, str]:
    """The environment of a program: it finds this harness, and nothing of another one."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def _strings(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
