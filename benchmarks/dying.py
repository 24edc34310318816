"""Programs that die in a known way, and healthy ones that look as if they did.

`benchmarks/deaths.py` runs them. What each reason must say was written down before anything was
run.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Program:
    """A program, and what is true of it."""

    name: str
    source: str
    says: tuple[str, ...] = ()
    """Parts of the reason that must be there; of a healthy program none."""
    never: tuple[str, ...] = ()
    """Parts that must not be there."""
    suffix: str = ".py"
    """`.py`, or one that `benchmarks/deaths.py` compiles or has an interpreter for."""
    before: str = ""
    """Words of a shell before the program, which is `exec`uted after them."""
    shell: str = ""
    """A whole command of a shell in place of that; PROGRAM stands for the words that run it."""
    ranks: int = 0
    signal: str = ""
    """The signal that somebody else sends, once the program has written the file `ready`."""
    needs: str = ""
    """What the machine must allow: `group`, `mount`."""
    error: str = ""
    """The code of a known error."""
    by: str = ""
    """The code of who or what ended it."""
    findings: tuple[str, ...] = field(default=())
    """Codes of other findings that must be there."""

    @property
    def healthy(self) -> bool:
        return not self.says


LOOP = """
def step(i):
    print(f"step {i} loss {1 / (i + 1):.4f}", flush=True)
    time.sleep(0.02)
"""

PYTHON = (
    Program(
        "exception_in_main",
        f"import time\n{LOOP}\ndef train():\n    for i in range(9):\n        step(i)\n"
        "    raise ValueError('bad shape (3, 4)')\ntrain()\n",
        ("ValueError: bad shape (3, 4)", "exception_in_main.py:10 in train"),
    ),
    Program(
        "exception_from_another",
        "def load():\n    return {}['weights']\ndef main():\n    try:\n        load()\n"
        "    except KeyError as error:\n        raise RuntimeError('cannot load') from error\n"
        "main()\n",
        (
            "RuntimeError: cannot load",
            "exception_from_another.py:7 in main",
            "caused by KeyError: 'weights'",
            "exception_from_another.py:2 in load",
        ),
    ),
    Program(
        "exception_while_handling",
        "import json\ndef main():\n    try:\n        json.loads('{')\n    except ValueError:\n"
        "        raise LookupError('no fallback')\nmain()\n",
        ("LookupError: no fallback", "exception_while_handling.py:6 in main"),
        ("JSONDecodeError",),
    ),
    Program(
        "exception_group",
        "import asyncio\nasync def read(n):\n    raise OSError(f'shard {n} is gone')\n"
        "async def main():\n    async with asyncio.TaskGroup() as group:\n"
        "        group.create_task(read(1))\n        group.create_task(read(2))\n"
        "asyncio.run(main())\n",
        ("ExceptionGroup", "OSError: shard 1 is gone", "exception_group.py:3 in read"),
    ),
    Program(
        "exception_with_notes",
        "def main():\n    error = ValueError('batch is empty')\n"
        "    error.add_note('TypeError: this is only a note')\n"
        "    error.add_note('file: train.jsonl')\n    raise error\nmain()\n",
        ("ValueError: batch is empty", "exception_with_notes.py:5 in main"),
        ("TypeError",),
    ),
    Program(
        "exception_with_own_hook",
        "import sys\nsys.excepthook = lambda kind, error, tb: print('it went wrong')\n"
        "def main():\n    raise ArithmeticError('loss scale is 0')\nmain()\n",
        ("ArithmeticError: loss scale is 0", "exception_with_own_hook.py:4 in main"),
    ),
    Program(
        "exception_drawn_by_rich",
        "from rich import traceback\ntraceback.install()\ndef main():\n"
        "    raise ValueError('bad rank')\nmain()\n",
        ("ValueError: bad rank", "exception_drawn_by_rich.py:4 in main"),
    ),
    Program(
        "syntax_error",
        "def main():\n    pass\n\nfor x in range(3)\n    main()\n",
        ("SyntaxError", "syntax_error.py:4"),
    ),
    Program(
        "exit_with_message",
        "import sys\nprint('reading the config', flush=True)\n"
        "sys.exit('config.yaml has no learning rate')\n",
        ("exited with code 1", "config.yaml has no learning rate"),
    ),
    Program(
        "wrong_option",
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--lr')\n"
        "parser.parse_args(['--learning-rate', '1'])\n",
        ("exited with code 2", "unrecognized arguments: --learning-rate 1"),
    ),
    Program(
        "interrupt_raised",
        "def wait():\n    raise KeyboardInterrupt\nwait()\n",
        ("KeyboardInterrupt", "interrupt_raised.py:2 in wait"),
    ),
    Program(
        "exception_in_thread",
        "import sys, threading\ndef load():\n    raise ConnectionError('no route to host')\n"
        "loader = threading.Thread(target=load, name='loader')\nloader.start()\nloader.join()\n"
        "sys.exit(4)\n",
        (
            "exited with code 4",
            "thread loader",
            "ConnectionError: no route to host",
            "exception_in_thread.py:3 in load",
        ),
    ),
    Program(
        "exception_in_forked_child",
        "import os, sys\nif os.fork() == 0:\n    raise ValueError('only the child')\n"
        "os.wait()\nsys.exit(3)\n",
        ("exited with code 3", "forked raised ValueError: only the child"),
    ),
    Program(
        "exception_in_process",
        "import multiprocessing, sys\ndef work():\n    raise ValueError('bad sample 17')\n"
        "one = multiprocessing.get_context('fork').Process(target=work, name='Loader-1')\n"
        "one.start()\none.join()\nsys.exit(5)\n",
        (
            "exited with code 5",
            "process Loader-1",
            "ValueError: bad sample 17",
            "exception_in_process.py:3 in work",
        ),
    ),
    Program(
        "exception_in_pool",
        "from concurrent.futures import ProcessPoolExecutor\ndef work(x):\n"
        "    raise ValueError('bad token')\nif __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(1) as pool:\n        list(pool.map(work, [1]))\n",
        ("ValueError: bad token", "exception_in_pool.py:3 in work"),
    ),
    Program(
        "exception_in_rank",
        "import sys\nimport mlx.core as mx\ngroup = mx.distributed.init(strict=True)\n"
        "def step():\n    if group.rank() == 1:\n        raise ValueError('rank 1 has no data')\n"
        "    mx.eval(mx.distributed.all_sum(mx.ones(3)))\nstep()\n",
        ("rank 1 raised ValueError: rank 1 has no data", "exception_in_rank.py:6 in step"),
        ranks=2,
    ),
    Program(
        "exception_of_mlx",
        "import mlx.core as mx\ndef forward(x):\n    return x @ mx.ones((5, 2))\n"
        "mx.eval(forward(mx.ones((3, 4))))\n",
        ("ValueError: [matmul]", "exception_of_mlx.py:3 in forward"),
    ),
    Program(
        "exit_code_alone",
        "import os, time\nprint('step 1 loss 2.0', flush=True)\ntime.sleep(0.2)\nos._exit(7)\n",
        ("exited with code 7",),
        ("raised", "Error"),
    ),
    Program(
        "left_after_caught_exception",
        "import os, sys, traceback\ndef main():\n    raise ValueError('bad checkpoint')\ntry:\n"
        "    main()\nexcept ValueError:\n    traceback.print_exc()\n    sys.exit(9)\n",
        (
            "exited with code 9",
            "after it printed ValueError: bad checkpoint",
            "left_after_caught_exception.py:3 in main",
        ),
    ),
    Program(
        "exit_long_after_caught_exception",
        f"import sys, time, traceback\n{LOOP}\ntry:\n    open('/does/not/exist')\n"
        "except OSError:\n    traceback.print_exc()\nfor i in range(150):\n    step(i)\n"
        "sys.exit(6)\n",
        ("exited with code 6",),
        ("FileNotFoundError", "exist"),
    ),
)
"""Exceptions, and exits that look like one."""

NATIVE = (
    Program(
        "panic",
        'fn pick(v: &[i32], i: usize) -> i32 { v[i] }\nfn main() {\n    println!("start");\n'
        '    println!("{}", pick(&[1, 2], std::env::args().count() + 6));\n}\n',
        ("index out of bounds: the len is 2 but the index is 7", "panic.rs:1"),
        suffix=".rs",
    ),
    Program(
        "uncaught_in_cpp",
        '#include <stdexcept>\nint main() { throw std::out_of_range("vocabulary id 70000"); }\n',
        ("killed by SIGABRT", "std::out_of_range: vocabulary id 70000"),
        suffix=".cpp",
    ),
    Program(
        "assertion_in_c",
        "#include <assert.h>\nint main(int n, char **a) { assert(n == 5); return 0; }\n",
        ("killed by SIGABRT", "assertion failed: n == 5", "assertion_in_c.c:2"),
        suffix=".c",
    ),
    Program(
        "double_free",
        "#include <stdlib.h>\nint main(void) { char *p = malloc(64); free(p); free(p); }\n",
        ("killed by SIGABRT", "double free"),
        suffix=".c",
    ),
    Program(
        "segfault_in_c",
        "int main(int n, char **a) { int *p = (int *)(long)(n - 1); return *p; }\n",
        ("killed by SIGSEGV", "null pointer", "segfault_in_c"),
        suffix=".c",
        by="fault",
    ),
    Program(
        "segfault_in_python",
        "import ctypes\ndef kernel():\n    ctypes.string_at(1)\nkernel()\n",
        ("killed by SIGSEGV", "segfault_in_python.py:3 in kernel"),
    ),
    Program(
        "abort_in_python",
        "import os\ndef check():\n    os.abort()\ncheck()\n",
        ("killed by SIGABRT", "abort_in_python.py:3 in check"),
    ),
    Program(
        "stack_overflow",
        "int deep(volatile int n) { volatile int big[256]; big[n & 255] = n;\n"
        "  return deep(n + 1) + big[0]; }\nint main(void) { return deep(0); }\n",
        ("killed by SIGSEGV", "stack was used up"),
        suffix=".c",
        by="stack",
    ),
    Program(
        "segfault_at_exit",
        "import atexit, ctypes\nprint('step 1 loss 1.0', flush=True)\n"
        "class Library:\n    def __del__(self):\n        ctypes.string_at(1)\n"
        "import builtins\nbuiltins.kept = Library()\n",
        ("killed by SIGSEGV",),
        findings=("died_at_exit",),
    ),
)
"""Panics, aborts and faults."""

KILLED = (
    Program(
        "out_of_memory_killer",
        "import time\nkept = []\nwhile True:\n    kept.append(bytearray(16 << 20))\n"
        "    time.sleep(0.02)\n",
        ("killed by SIGKILL", "out-of-memory killer"),
        before="echo $$ > GROUP/cgroup.procs &&",
        needs="group",
        by="oom_killer",
        findings=("oom_killer",),
    ),
    Program(
        "killer_takes_child",
        "import subprocess, sys\nhog = 'kept = []\\nwhile True: kept.append(bytearray(16 << 20))'\n"
        "done = subprocess.run([sys.executable, '-c', hog])\n"
        "sys.exit(1 if done.returncode else 0)\n",
        ("exited with code 1", "out-of-memory killer"),
        before="echo $$ > GROUP/cgroup.procs &&",
        needs="group",
        by="oom_killer",
    ),
    Program(
        "address_limit",
        "import mlx.core as mx, time\nkept = []\nfor i in range(4000):\n"
        "    kept.append(mx.full((1 << 21,), i * 1.0))\n    mx.eval(kept[-1])\n"
        "    time.sleep(0.01)\n",
        ("out of memory", "ulimit -v"),
        before="ulimit -v 1500000 &&",
    ),
    Program(
        "cpu_limit",
        "n = 0\nwhile True:\n    n += 1\n",
        ("killed by SIGKILL", "CPU time reached the limit of 1 s"),
        before="ulimit -t 1 &&",
        by="cpu_limit",
    ),
    Program(
        "soft_cpu_limit",
        "n = 0\nwhile True:\n    n += 1\n",
        ("killed by SIGXCPU", "CPU time reached"),
        before="ulimit -S -t 1 &&",
        by="cpu_limit",
    ),
    Program(
        "file_limit",
        '#include <stdio.h>\nint main(void) { FILE *f = fopen("big", "w");\n'
        "  for (long i = 0; i < 1 << 22; i++) fputc('x', f); return 0; }\n",
        ("killed by SIGXFSZ", "size limit", "ulimit -f"),
        suffix=".c",
        before="ulimit -f 16 &&",
        by="file_limit",
    ),
    Program(
        "killed_from_outside",
        f"import pathlib, time\n{LOOP}\nfor i in range(4000):\n    step(i)\n"
        "    if i == 20: pathlib.Path('ready').write_text('yes')\n",
        ("killed by SIGKILL", "from outside, by whom is not known"),
        signal="SIGKILL",
        by="unknown",
    ),
    Program(
        "terminated_from_outside",
        f"import pathlib, time\n{LOOP}\nfor i in range(4000):\n    step(i)\n"
        "    if i == 20: pathlib.Path('ready').write_text('yes')\n",
        ("killed by SIGTERM", "from outside, by whom is not known"),
        signal="SIGTERM",
        by="unknown",
    ),
    Program(
        "hung_up",
        f"import pathlib, time\n{LOOP}\nfor i in range(4000):\n    step(i)\n"
        "    if i == 20: pathlib.Path('ready').write_text('yes')\n",
        ("killed by SIGHUP", "terminal or its session"),
        signal="SIGHUP",
        by="unknown",
    ),
    Program(
        "broken_pipe",
        "#include <unistd.h>\nint main(void) { int p[2]; pipe(p); close(p[0]);\n"
        '  write(p[1], "x", 1); return 0; }\n',
        ("killed by SIGPIPE", "nobody reads any more"),
        suffix=".c",
        by="broken_pipe",
    ),
    Program(
        "disk_full",
        "def save():\n    with open('disk/model.bin', 'wb') as file:\n"
        "        file.write(bytes(4 << 20))\nsave()\n",
        ("OSError: [Errno 28] No space left on device", "disk_full.py:3 in save"),
        before="mkdir disk && mount -t tmpfs -o size=1m none disk &&",
        needs="mount",
        error="disk_full",
    ),
    Program(
        "child_left_unasked",
        "import os, subprocess, sys, time\n"
        "one = subprocess.Popen([sys.executable, '-I', '-c', 'import os; os.abort()'])\n"
        "time.sleep(1.0)\nos._exit(8)\n",
        ("exited with code 8", "its child", "was killed by SIGABRT", "nobody asked for it"),
        findings=("child_died",),
    ),
    Program(
        "killed_below_a_shell",
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
        ("exited with code 137", "SIGKILL"),
        shell="PROGRAM; exit $?",
    ),
)
"""Limits, signals and a full disk."""


def _aborts(name: str, text: str, error: str, *says: str) -> Program:
    return Program(
        name,
        "import os, sys, time\nprint('step 1 loss 2.5', flush=True)\ntime.sleep(0.1)\n"
        f"os.write(2, {text!r}.encode() + b'\\n')\nos.abort()\n",
        ("killed by SIGABRT", *says),
        error=error,
    )


_TERMINATES = "libc++abi: terminating due to uncaught exception of type std::runtime_error: "
_FAILED = f"{_TERMINATES}[METAL] Command buffer execution failed: "
GPU = (
    _aborts(
        "metal_out_of_memory",
        f"{_FAILED}Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
        "metal_out_of_memory",
        "[METAL] Command buffer execution failed: Insufficient Memory",
    ),
    _aborts(
        "metal_timeout",
        f"{_FAILED}Caused GPU Timeout Error (00000002:kIOGPUCommandBufferCallbackErrorTimeout)",
        "metal_timeout",
        "Caused GPU Timeout Error",
    ),
    _aborts(
        "metal_interactivity",
        f"{_FAILED}Impacting Interactivity "
        "(0000000e:kIOGPUCommandBufferCallbackErrorImpactingInteractivity)",
        "metal_impacting_interactivity",
        "Impacting Interactivity",
    ),
    Program(
        "metal_resources",
        "def step():\n"
        "    raise RuntimeError('[metal::malloc] Resource limit (499000) exceeded.')\nstep()\n",
        ("RuntimeError: [metal::malloc] Resource limit (499000) exceeded.",),
        error="metal_resource_limit",
    ),
    Program(
        "cuda_out_of_memory",
        "def step():\n    raise RuntimeError('cudaMallocAsync(&data, size, stream) failed: "
        "out of memory')\nstep()\n",
        ("failed: out of memory", "cuda_out_of_memory.py:2 in step"),
        error="cuda_out_of_memory",
    ),
    Program(
        "cuda_illegal_address",
        'import os, sys\nsys.stderr.write("terminate called after throwing an instance of '
        "'std::runtime_error'\\n  what():  cudaFreeAsync(buf->data) failed: an illegal memory "
        'access was encountered\\n")\nos.abort()\n',
        ("std::runtime_error: cudaFreeAsync(buf->data) failed: an illegal memory access",),
        error="cuda_illegal_address",
    ),
    Program(
        "nccl_error",
        "import os, sys\nsys.stderr.write(\"NCCL error nccl.cpp:301 'unhandled system error "
        "(run with NCCL_DEBUG=INFO for details)'\\n\")\nos._exit(1)\n",
        ("exited with code 1", "unhandled system error"),
        error="nccl_system",
    ),
    Program(
        "ring_lost",
        "def step():\n    raise RuntimeError('[ring] connection to a peer was lost')\nstep()\n",
        ("[ring] connection to a peer was lost",),
        error="ring_peer_lost",
    ),
)
"""Errors of GPUs and of connections between ranks, as they are printed."""

HEALTHY = (
    Program(
        "prints_a_traceback_and_goes_on",
        f"import time, traceback\n{LOOP}\nfor i in range(60):\n    step(i)\n    if i == 5:\n"
        "        try:\n            {}['x']\n        except KeyError:\n"
        "            traceback.print_exc()\n",
    ),
    Program(
        "prints_a_traceback_last",
        "import traceback\ntry:\n    {}['x']\nexcept KeyError:\n    traceback.print_exc()\n",
    ),
    Program(
        "logs_an_exception",
        "import logging\ntry:\n    int('x')\nexcept ValueError:\n"
        "    logging.exception('cannot read the old checkpoint, starting anew')\n"
        "print('step 1 loss 1.0')\n",
    ),
    Program(
        "ignored_exception",
        "class Handle:\n    def __del__(self):\n        raise OSError('already closed')\n"
        "Handle()\nprint('done')\n",
    ),
    Program(
        "exception_in_a_thread_that_nobody_needs",
        "import threading, time\ndef ping():\n    raise TimeoutError('no metrics server')\n"
        "t = threading.Thread(target=ping)\nt.start()\nt.join()\n"
        "for i in range(20):\n    print(f'step {i} loss 1.0', flush=True)\n    time.sleep(0.02)\n",
    ),
    Program(
        "child_fails_and_is_tried_again",
        "import subprocess, sys\nfor code in ('1/0', 'pass'):\n"
        "    if subprocess.run([sys.executable, '-c', code]).returncode == 0: break\n"
        "print('done')\n",
    ),
    Program(
        "ends_its_own_children",
        "import os, subprocess, sys, time\nkept = [subprocess.Popen([sys.executable, '-c', "
        "'import time; time.sleep(60)']) for _ in range(3)]\ntime.sleep(0.5)\n"
        "kept[0].terminate()\nkept[1].kill()\nkept[2].send_signal(1)\ntime.sleep(0.3)\n"
        "print('done')\n",
    ),
    Program(
        "shows_a_log_with_errors",
        "print(open(__file__).read() * 3)\n"
        "TEXT = '''\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n"
        "ValueError: bad\nlibc++abi: terminating due to uncaught exception of type E: x\n"
        "Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)\n'''\n"
        "print(TEXT)\n",
    ),
    Program(
        "catches_in_cpp",
        "#include <cstdio>\n#include <stdexcept>\nint main() { try { throw std::runtime_error("
        '"x"); } catch (std::exception &e) { fprintf(stderr, "what():  %s\\n", e.what()); }'
        " return 0; }\n",
        suffix=".cpp",
    ),
    Program(
        "catches_a_panic",
        'fn main() { let r = std::panic::catch_unwind(|| panic!("no gpu")); '
        'println!("{}", r.is_err()); }\n',
        suffix=".rs",
    ),
)
"""Programs that end well, whatever they print."""

DEATHS = (*PYTHON, *NATIVE, *KILLED, *GPU)
