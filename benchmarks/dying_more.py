"""Further programs that die, written after the rules: other languages, wrappers and ways to leave.

`benchmarks/deaths.py --more` runs them. What each reason must say was written down before anything
was run.
"""

from __future__ import annotations

from benchmarks.dying import Program

PYTHON = (
    Program(
        "raised_in_del",
        "import sys\nclass Cache:\n    def __del__(self):\n        raise OSError('cache is gone')\n"
        "def main():\n    cache = Cache()\n    del cache\n    raise ValueError('no tokens left')\n"
        "main()\n",
        ("ValueError: no tokens left", "raised_in_del.py:8 in main"),
        ("cache is gone",),
    ),
    Program(
        "raised_in_atexit",
        "import atexit, os\ndef save():\n    raise OSError('cannot save the last checkpoint')\n"
        "atexit.register(save)\natexit.register(lambda: None)\n"
        "import sys\nsys.exit(3)\n",
        ("exited with code 3",),
    ),
    Program(
        "thread_pool",
        "from concurrent.futures import ThreadPoolExecutor\ndef fetch(n):\n"
        "    raise TimeoutError(f'shard {n} timed out')\n"
        "with ThreadPoolExecutor(2) as pool:\n    list(pool.map(fetch, range(2)))\n",
        ("TimeoutError: shard 0 timed out", "thread_pool.py:3 in fetch"),
    ),
    Program(
        "task_nobody_awaits",
        "import asyncio, sys\nasync def log():\n    raise RuntimeError('tracker is offline')\n"
        "async def main():\n    task = asyncio.create_task(log())\n    await asyncio.sleep(0.1)\n"
        "    del task\n    raise ValueError('bad batch')\nasyncio.run(main())\n",
        ("ValueError: bad batch", "task_nobody_awaits.py:8 in main"),
        ("tracker is offline",),
    ),
    Program(
        "chain_of_three",
        "def a():\n    return [][0]\ndef b():\n    try:\n        a()\n"
        "    except IndexError as error:\n        raise KeyError('shard') from error\n"
        "def c():\n    try:\n        b()\n    except KeyError as error:\n"
        "        raise RuntimeError('no data') from error\nc()\n",
        ("RuntimeError: no data", "chain_of_three.py:12 in c", "caused by KeyError: 'shard'"),
    ),
    Program(
        "import_error_in_child",
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import no_such_package'], check=True)\n",
        ("CalledProcessError", "ModuleNotFoundError: No module named 'no_such_package'"),
    ),
    Program(
        "exit_with_text",
        "import sys\nsys.exit('dataset is empty')\n",
        ("exited with code 1", "dataset is empty"),
    ),
    Program(
        "left_at_once",
        "import os\nprint('bye', flush=True)\nos._exit(3)\n",
        ("exited with code 3",),
        ("Traceback",),
    ),
    Program(
        "memory_error_of_numpy",
        "import numpy as np\ndef build():\n    return np.zeros((1 << 40, 1 << 10))\nbuild()\n",
        ("Unable to allocate", "memory_error_of_numpy.py:3 in build"),
        error="out_of_memory",
    ),
    Program(
        "recursion",
        "def flatten(tree):\n    return [flatten(child) for child in tree]\ntree = []\n"
        "tree.append(tree)\nflatten(tree)\n",
        ("RecursionError: maximum recursion depth exceeded", "recursion.py:2 in"),
    ),
    Program(
        "unicode_in_message",
        "def main():\n    raise ValueError('schlechter Pfad: Übung/数据')\nmain()\n",
        ("ValueError: schlechter Pfad: Übung/数据", "unicode_in_message.py:2 in main"),
    ),
    Program(
        "message_of_many_lines",
        "def main():\n    raise RuntimeError('shapes differ:\\n  wq (3, 4)\\n  wk (4, 3)')\n"
        "main()\n",
        ("RuntimeError: shapes differ:", "message_of_many_lines.py:2 in main"),
    ),
    Program(
        "exception_of_own_type",
        "class LossIsNaN(Exception):\n    pass\ndef check():\n    raise LossIsNaN\ncheck()\n",
        ("LossIsNaN", "exception_of_own_type.py:4 in check"),
    ),
    Program(
        "assertion_without_text",
        "def check(x):\n    assert x > 3\ncheck(1)\n",
        ("AssertionError", "assertion_without_text.py:2 in check"),
    ),
    Program(
        "signal_from_itself",
        "import os, signal\nprint('step 1 loss 2', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n",
        ("killed by SIGTERM",),
        by="unknown",
    ),
    Program(
        "torchrun_like",
        "class ChildFailedError(Exception):\n    pass\n"
        "def main():\n    raise ChildFailedError('\\n' + '=' * 60 + '\\ntrain.py FAILED\\n'\n"
        "        + '-' * 60 + '\\nRoot Cause (first observed failure):\\n[0]:\\n'\n"
        "        '  rank      : 1 (local_rank: 1)\\n  exitcode  : 1 (pid: 4242)\\n' + '=' * 60)\n"
        "main()\n",
        ("ChildFailedError: train.py FAILED",),
    ),
)
"""Ways in which Python leaves."""

NATIVE = (
    Program(
        "terminate_without_exception",
        "#include <thread>\nint main() { std::thread t([] {}); }\n",
        ("killed by SIGABRT", "std::terminate was called without an exception"),
        suffix=".cpp",
    ),
    Program(
        "exception_without_what",
        "struct NoData {};\nint main() { throw NoData(); }\n",
        ("killed by SIGABRT", "NoData"),
        suffix=".cpp",
    ),
    Program(
        "pure_virtual_call",
        "struct Base { Base() { call(); } void call() { run(); } virtual void run() = 0; };\n"
        "struct Model : Base { void run() override {} };\nint main() { Model m; }\n",
        ("killed by SIGABRT", "pure virtual method called"),
        suffix=".cpp",
    ),
    Program(
        "bad_alloc",
        "#include <vector>\nint main() { std::vector<double> v(1ul << 58); return v[0]; }\n",
        ("killed by SIGABRT", "std::bad_alloc"),
        suffix=".cpp",
        error="out_of_memory",
    ),
    Program(
        "stack_smashed",
        "#include <string.h>\n#include <stdio.h>\n"
        "__attribute__((noinline)) void fill(char *s) "
        "{ char name[8]; strcpy(name, s); puts(name); }\n"
        'int main(int c, char **v) { fill("a name that is too long for it"); return 0; }\n',
        ("killed by SIGABRT", "stack smashing detected"),
        suffix=".c",
    ),
    Program(
        "invalid_free",
        # Zeros before it: what lies there decides what glibc finds to be wrong.
        "#include <stdlib.h>\nint main(void) { char *x = calloc(9, 8); free(x + 24); return 0; }\n",
        ("killed by SIGABRT", "free(): invalid"),
        suffix=".c",
    ),
    Program(
        "divided_by_zero",
        "int main(int argc, char **argv) { return 7 / (argc - 1); }\n",
        ("killed by SIGFPE", "main"),
        suffix=".c",
    ),
    Program(
        "illegal_instruction",
        "int main(void) { __builtin_trap(); }\n",
        ("killed by SIGILL", "main"),
        suffix=".c",
    ),
    Program(
        "mapped_file_was_cut",
        "#include <sys/mman.h>\n#include <fcntl.h>\n#include <unistd.h>\n"
        "int read_shard(volatile char *p) { return p[0]; }\n"
        'int main(void) { int f = open("shard", O_RDWR | O_CREAT, 0600); ftruncate(f, 4096);\n'
        "  char *p = mmap(0, 4096, PROT_READ, MAP_SHARED, f, 0); ftruncate(f, 0);\n"
        "  return read_shard(p); }\n",
        ("killed by SIGBUS", "read_shard"),
        suffix=".c",
    ),
    Program(
        "null_pointer_in_thread",
        "#include <thread>\nvoid load(int *p) { *p = 1; }\n"
        "int main() { std::thread t(load, nullptr); t.join(); }\n",
        ("killed by SIGSEGV", "load"),
        suffix=".cpp",
    ),
    Program(
        "panic_in_thread",
        'fn main() {\n    let t = std::thread::Builder::new().name("loader".into())\n'
        '        .spawn(|| { panic!("no shard {}", 7); }).unwrap();\n'
        "    std::process::exit(if t.join().is_err() { 3 } else { 0 });\n}\n",
        ("exited with code 3", "no shard 7", "panic_in_thread.rs:3"),
        suffix=".rs",
    ),
    Program(
        "panic_of_unwrap",
        'fn main() {\n    let r: Result<i32, String> = Err("bad header".to_string());\n'
        "    r.unwrap();\n}\n",
        ('called `Result::unwrap()` on an `Err` value: "bad header"', "panic_of_unwrap.rs:3"),
        suffix=".rs",
    ),
    Program(
        "main_returns_error",
        'fn main() -> Result<(), String> {\n    Err("config has no layers".into())\n}\n',
        ("exited with code 1", "config has no layers"),
        suffix=".rs",
    ),
)
"""C, C++ and Rust."""

OTHERS = (
    Program(
        "go_panic",
        "import sys\nprint('panic: runtime error: index out of range [5] with length 3\\n\\n"
        "goroutine 1 [running]:\\nmain.step(...)\\n\\t/home/me/train/main.go:12\\n"
        "main.main()\\n\\t/home/me/train/main.go:20 +0x1d\\nexit status 2', file=sys.stderr)\n"
        "sys.exit(2)\n",
        ("panic: runtime error: index out of range [5] with length 3", "main.go:12"),
    ),
    Program(
        "node_throws",
        "function load() {\n  throw new Error('no weights');\n}\nload();\n",
        ("exited with code 1", "Error: no weights", "node_throws.js:2"),
        suffix=".js",
    ),
    Program(
        "node_rejects",
        "async function load() {\n  throw new TypeError('bad tensor');\n}\nload();\n",
        ("exited with code 1", "TypeError: bad tensor"),
        suffix=".js",
    ),
    Program(
        "node_out_of_memory",
        "const kept = [];\nfor (;;) kept.push(new Array(1 << 16).fill(kept.length));\n",
        ("SIGABRT", "JavaScript heap out of memory"),
        suffix=".js",
        before="export NODE_OPTIONS=--max-old-space-size=64 &&",
        error="out_of_memory",
    ),
    Program(
        "java_throws",
        "public class java_throws {\n  static void load() {\n"
        '    throw new IllegalStateException("no model");\n  }\n'
        "  public static void main(String[] a) { load(); }\n}\n",
        ("exited with code 1", "java.lang.IllegalStateException: no model", "java_throws.java:3"),
        suffix=".java",
    ),
)
"""Other languages. The panic of Go is printed as it is there."""

WRAPPED = (
    Program(
        "bash_set_e",
        "raise SystemExit('no such split: valid')\n",
        ("exited with code 1", "no such split: valid"),
        shell="set -e; PROGRAM; echo done",
    ),
    Program(
        "by_timeout",
        "import time\nfor i in range(400):\n    print(f'step {i} loss 1', flush=True)\n"
        "    time.sleep(0.05)\n",
        ("exited with code 124", "timeout"),
        shell="timeout 2 PROGRAM",
    ),
    Program(
        "by_timeout_with_kill",
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "for i in range(400):\n    print(f'step {i} loss 1', flush=True)\n    time.sleep(0.05)\n",
        ("137", "SIGKILL"),
        shell="timeout -k 1 1 PROGRAM",
    ),
    Program(
        "address_limit_of_numpy",
        "import numpy as np\nkept = []\nwhile True:\n    kept.append(np.zeros(1 << 22))\n",
        ("Unable to allocate", "address_limit_of_numpy.py:4"),
        before="ulimit -v 4000000 &&",
        error="out_of_memory",
    ),
    Program(
        "no_such_command_below",
        "import sys\nsys.exit(0)\n",
        ("exited with code 127", "not found"),
        shell="PROGRAM && no_such_trainer --lr 1",
    ),
    Program(
        "exception_below_a_shell",
        "def main():\n    raise ValueError('bad learning rate')\nmain()\n",
        ("ValueError: bad learning rate", "exception_below_a_shell.py:2 in main"),
        shell="PROGRAM",
    ),
    Program(
        "exception_below_a_pipe",
        "def main():\n    raise ValueError('bad vocabulary')\nmain()\n",
        ("ValueError: bad vocabulary", "exception_below_a_pipe.py:2 in main"),
        shell="PROGRAM 2>&1 | cat; exit 1",
    ),
    Program(
        "killed_in_a_name_space",
        "import os, signal\nprint('step 1 loss 2', flush=True)\n"
        "os.kill(os.getppid(), 0)\nraise KeyError('shard 3')\n",
        ("KeyError: 'shard 3'", "killed_in_a_name_space.py:4"),
        shell="unshare --map-root-user --pid --fork PROGRAM",
        needs="mount",
    ),
    Program(
        "mpirun_aborts",
        "import os, sys, time\nif os.environ.get('OMPI_COMM_WORLD_RANK') == '1':\n"
        "    raise ValueError('rank 1 has no shard')\ntime.sleep(20)\n",
        ("ValueError: rank 1 has no shard", "mpirun_aborts.py:3"),
        shell="mpirun --allow-run-as-root --oversubscribe -n 2 PROGRAM",
    ),
)
"""Below shells, launchers and limits."""


def _raises(name: str, text: str, error: str) -> Program:
    return Program(
        name,
        f"def step():\n    raise RuntimeError({text!r})\nstep()\n",
        (f"RuntimeError: {text}", f"{name}.py:2 in step"),
        error=error,
    )


LIBRARIES = (
    _raises(
        "metal_malloc_too_large",
        "[metal::malloc] Attempting to allocate 21474836480 bytes which is greater than the "
        "maximum allowed buffer size of 17179869184 bytes.",
        "metal_buffer_too_large",
    ),
    _raises(
        "mlx_allocation",
        "[malloc_or_wait] Unable to allocate 34359738368 bytes.",
        "mlx_malloc",
    ),
    _raises("ring_peer", "[ring] Too many send/recv errors. Aborting...", "ring_peer_lost"),
    _raises("ring_no_bind", "[ring] Couldn't bind socket (error: 98)", "ring_bind"),
    _raises("jaccl_send", "[jaccl] Send failed with error code 12", "jaccl_connection"),
    Program(
        "quota",
        "import errno, os\ndef save():\n"
        "    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), 'model.safetensors')\nsave()\n",
        ("Disk quota exceeded", "quota.py:3 in save"),
        error="disk_full",
    ),
)
"""Errors as libraries print them."""

MORE = (*PYTHON, *NATIVE, *OTHERS, *WRAPPED, *LIBRARIES)
