"""A fourth set of programs that die, and of healthy ones, written after the rules of the others.

`benchmarks/deaths.py --fourth` runs them. What each reason must say was written down before
anything was run.
"""

from __future__ import annotations

from benchmarks.dying import LOOP, Program

TOKEN = "hf_" + "QwErTyUiOpAsDfGhJkLzXcVbNmQwErTyUi"


def prints(text: str, code: int) -> str:
    """A program that prints what another runtime prints, and leaves as that one does."""
    return f"import sys\nprint({text!r}, file=sys.stderr)\nsys.exit({code})\n"


def prints_and_dies(text: str, signal: str) -> str:
    return (
        f"import os, signal, sys\nprint({text!r}, file=sys.stderr, flush=True)\n"
        f"os.kill(os.getpid(), signal.{signal})\n"
    )


PYTHON = (
    Program(
        "base_exception_group",
        "def main():\n    raise BaseExceptionGroup('shards', [ValueError('no shard 3'), "
        "KeyboardInterrupt()])\nmain()\n",
        ("BaseExceptionGroup: shards", "ValueError: no shard 3"),
    ),
    Program(
        "task_group",
        "import asyncio\nasync def load(n):\n    if n == 2: raise OSError('shard 2 is cut')\n"
        "    await asyncio.sleep(5)\nasync def main():\n"
        "    async with asyncio.TaskGroup() as group:\n"
        "        for n in range(4): group.create_task(load(n))\nasyncio.run(main())\n",
        ("OSError: shard 2 is cut", "task_group.py:3 in load"),
    ),
    Program(
        "thread_with_own_hook",
        "import os, sys, threading, traceback\ndef hook(told):\n"
        "    traceback.print_exception(told.exc_value)\n    sys.stderr.flush()\n    os._exit(3)\n"
        "threading.excepthook = hook\ndef load():\n    raise ValueError('bad batch 7')\n"
        "one = threading.Thread(target=load)\none.start()\none.join()\n",
        ("ValueError: bad batch 7", "thread_with_own_hook.py:8 in load"),
    ),
    Program("code_of_300", "import sys\nsys.exit(300)\n", ("code 44",)),
    Program(
        "exit_with_a_list",
        "import sys\nsys.exit(['config', 'has no lr'])\n",
        ("config", "has no lr"),
    ),
    Program(
        "recursion_in_c",
        "import copy\ndef main():\n    nest = []\n    for _ in range(200000): nest = [nest]\n"
        "    return copy.deepcopy(nest)\nmain()\n",
        ("RecursionError", "recursion_in_c.py:5 in main"),
    ),
    Program(
        "memory_error",
        "def main():\n    return bytearray(1 << 62)\nmain()\n",
        ("MemoryError", "memory_error.py:2 in main"),
        error="out_of_memory",
    ),
    Program(
        "bytes_that_are_no_text",
        "def read():\n    return (b'x' * 90 + b'\\xff').decode()\nread()\n",
        ("UnicodeDecodeError", "position 90", "bytes_that_are_no_text.py:2 in read"),
    ),
    Program(
        "message_of_3000_lines",
        "def main():\n    raise RuntimeError('mismatched keys:\\n' + '\\n'.join("
        "f'layers.{n}.wq' for n in range(3000)))\nmain()\n",
        ("RuntimeError: mismatched keys:", "message_of_3000_lines.py:2 in main"),
    ),
    Program(
        "note_with_a_traceback",
        "import traceback\ndef main():\n    try:\n        {}['lr']\n    except KeyError:\n"
        "        kept = traceback.format_exc()\n    one = ValueError('config is cut')\n"
        "    one.add_note(kept)\n    raise one\nmain()\n",
        ("ValueError: config is cut", "note_with_a_traceback.py:9 in main"),
    ),
    Program(
        "del_complains_after_it",
        "class Loader:\n    def __del__(self):\n        raise OSError('already closed')\n"
        "loader = Loader()\ndef main():\n    raise ValueError('bad shape (3, 4)')\nmain()\n",
        ("ValueError: bad shape (3, 4)", "del_complains_after_it.py:6 in main"),
        ("OSError",),
    ),
    Program(
        "semaphores_after_it",
        "import multiprocessing.shared_memory as shm\n"
        "kept = shm.SharedMemory('harness-fourth-set', create=True, size=64)\n"
        "def main():\n    raise ValueError('bad stride')\nmain()\n",
        ("ValueError: bad stride", "semaphores_after_it.py:4 in main"),
        ("resource_tracker", "leaked"),
    ),
    Program(
        "uploads_after_it",
        "import atexit, sys\n"
        "@atexit.register\ndef upload():\n    for n in range(5):\n"
        "        print('wandb: uploading', n, file=sys.stderr)\n"
        "    print('wandb: View run at https://wandb.example/r/1', file=sys.stderr)\n"
        "def main():\n    raise ValueError('loss is not finite')\nmain()\n",
        ("ValueError: loss is not finite", "uploads_after_it.py:8 in main"),
        ("wandb",),
    ),
    Program(
        "traceback_on_stdout",
        "import sys, traceback\ndef main():\n    raise ValueError('bad scale')\ntry:\n    main()\n"
        "except ValueError:\n    traceback.print_exc(file=sys.stdout)\n    sys.exit(1)\n",
        ("ValueError: bad scale", "traceback_on_stdout.py:3 in main"),
    ),
    Program(
        "wrong_option_of_click",
        "import click, sys\nsys.argv[1:] = ['--lr', 'high']\n@click.command()\n"
        "@click.option('--lr', type=float)\ndef main(lr):\n    pass\nmain()\n",
        ("Invalid value for '--lr'", "code 2"),
    ),
    Program(
        "error_of_click",
        "import click\n@click.command()\ndef main():\n"
        "    raise click.ClickException('the data set has no column text')\nmain()\n",
        ("the data set has no column text",),
    ),
    Program(
        "exception_below_typer",
        "import typer\ndef main():\n    raise ValueError('bad rope')\ntyper.run(main)\n",
        ("ValueError: bad rope", "exception_below_typer.py:3 in main"),
    ),
    Program(
        "as_loguru_draws_it",
        prints(
            "2026-01-02 10:00:00.123 | ERROR    | __main__:<module>:12 - An error has been caught "
            "in function '<module>', process 'MainProcess' (12), thread 'MainThread' (140):\n"
            "Traceback (most recent call last):\n\n"
            '> File "train.py", line 12, in <module>\n    main()\n    └ <function main at 0x7f>\n\n'
            '  File "train.py", line 7, in main\n    raise ValueError(rank)\n'
            "                     └ 64\n\nValueError: rank 64 is too large",
            1,
        ),
        ("ValueError: rank 64 is too large",),
    ),
    Program(
        "as_hydra_tells_it",
        prints(
            "Error executing job with overrides: []\nTraceback (most recent call last):\n"
            '  File "train.py", line 7, in main\n    raise ValueError(rank)\n'
            "ValueError: rank 64 is too large\n\n"
            "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.",
            1,
        ),
        ("ValueError: rank 64 is too large", "train.py:7 in main"),
        ("HYDRA",),
    ),
    Program(
        "colored_traceback",
        prints(
            "Traceback (most recent call last):\n"
            '  File \x1b[35m"/home/a/train.py"\x1b[0m, line \x1b[35m12\x1b[0m, in '
            "\x1b[35mmain\x1b[0m\n    \x1b[31mstep\x1b[0m\x1b[1;31m(7)\x1b[0m\n"
            "    \x1b[31m~~~~\x1b[0m\x1b[1;31m^^^\x1b[0m\n"
            "\x1b[1;35mValueError\x1b[0m: \x1b[35mbad head size\x1b[0m",
            1,
        ),
        ("ValueError: bad head size", "train.py:12 in main"),
        ("\x1b",),
    ),
    Program(
        "lines_that_end_as_on_windows",
        "import sys\nsys.stderr.write('Traceback (most recent call last):\\r\\n"
        '  File "C:\\\\work\\\\train.py", line 9, in main\\r\\n    step()\\r\\n'
        "ValueError: bad mask\\r\\n')\nsys.exit(1)\n",
        ("ValueError: bad mask", "train.py:9 in main"),
    ),
    Program(
        "killed_in_a_spawned_pool",
        "import concurrent.futures as f, multiprocessing as m, os, signal\n"
        "def work(n):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "def main():\n    with f.ProcessPoolExecutor(1, m.get_context('spawn')) as pool:\n"
        "        pool.submit(work, 1).result()\n"
        "if __name__ == '__main__':\n    main()\n",
        ("BrokenProcessPool", "killed_in_a_spawned_pool.py:6 in main"),
    ),
    Program(
        "code_of_a_spawned_child",
        "import multiprocessing as m, sys\n"
        "def work():\n    raise LookupError('no tokenizer for <s>')\n"
        "if __name__ == '__main__':\n    one = m.get_context('spawn').Process(target=work)\n"
        "    one.start()\n    one.join()\n    sys.exit(one.exitcode)\n",
        ("LookupError: no tokenizer for <s>", "code_of_a_spawned_child.py:3 in work"),
    ),
    Program(
        "raised_below_a_launcher",
        "import subprocess, sys\n"
        "if len(sys.argv) > 1:\n    raise ValueError('no shard 7')\n"
        "subprocess.run([sys.executable, __file__, 'worker'], check=True)\n",
        ("ValueError: no shard 7", "raised_below_a_launcher.py:3"),
    ),
    Program(
        "killed_below_a_launcher",
        "import subprocess, sys\n"
        "code = 'import os, signal; os.kill(os.getpid(), signal.SIGKILL)'\n"
        "subprocess.run([sys.executable, '-c', code], check=True)\n",
        ("CalledProcessError", "SIGKILL"),
    ),
    Program(
        "log_of_json",
        "import json, sys, traceback\ntry:\n    {}['lr']\nexcept KeyError as error:\n"
        "    print(json.dumps({'level': 'error', 'event': 'config has no lr',\n"
        "        'exception': traceback.format_exc()}), file=sys.stderr)\n    sys.exit(1)\n",
        ("config has no lr",),
    ),
)

NATIVE = (
    Program(
        "nested_in_cpp",
        "#include <exception>\n#include <stdexcept>\nvoid load() {\n"
        '  try { throw std::runtime_error("shard 3 is cut"); }\n'
        '  catch (...) { std::throw_with_nested(std::runtime_error("cannot load")); }\n}\n'
        "int main() { load(); }\n",
        ("std::runtime_error", "cannot load"),
        suffix=".cpp",
    ),
    Program(
        "buffer_overflow",
        "extern void __chk_fail(void);\nint main() { __chk_fail(); }\n",
        ("buffer overflow detected", "SIGABRT"),
        suffix=".c",
    ),
    Program(
        "stack_of_rust",
        "#[inline(never)] fn down(n: u64) -> u64 { let a = [n; 64]; "
        "if n == u64::MAX { return a[3]; } down(n + 1) + a[(n % 64) as usize] }\n"
        'fn main() { println!("{}", down(0)); }\n',
        ("overflowed its stack", "SIGABRT"),
        suffix=".rs",
    ),
    Program(
        "trap_of_swift",
        prints_and_dies(
            "Swift/ContiguousArrayBuffer.swift:600: Fatal error: Index out of range", "SIGTRAP"
        ),
        ("SIGTRAP", "Fatal error: Index out of range"),
    ),
    Program(
        "nil_of_swift",
        prints_and_dies(
            "Trainer/main.swift:41: Fatal error: Unexpectedly found nil while unwrapping an "
            "Optional value",
            "SIGILL",
        ),
        ("Unexpectedly found nil while unwrapping an Optional value", "main.swift:41"),
    ),
    Program(
        "address_sanitizer",
        prints(
            "=================================================================\n"
            "==123==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010 at pc "
            "0x55e bp 0x7ff sp 0x7ff\nREAD of size 4 at 0x602000000010 thread T0\n"
            "    #0 0x55e in next_batch /src/loader.cpp:12:9\n"
            "    #1 0x55f in main /src/main.cpp:3:3\n\n"
            "SUMMARY: AddressSanitizer: heap-use-after-free /src/loader.cpp:12:9 in next_batch\n"
            "Shadow bytes around the buggy address:\n  0x0c047fff7fb0: 00 00 00 00\n"
            "==123==ABORTING",
            1,
        ),
        ("AddressSanitizer: heap-use-after-free",),
    ),
    Program(
        "undefined_behavior",
        prints(
            "loader.cpp:5:12: runtime error: signed integer overflow: 2147483647 + 1 cannot be "
            "represented in type 'int'",
            1,
        ),
        ("signed integer overflow", "loader.cpp:5"),
    ),
    Program(
        "deadlock_of_go",
        prints(
            "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\n"
            "main.main()\n\t/src/train.go:9 +0x2c\nexit status 2",
            2,
        ),
        ("all goroutines are asleep", "train.go:9"),
    ),
    Program(
        "memory_of_java",
        prints(
            "#\n# There is insufficient memory for the Java Runtime Environment to continue.\n"
            "# Native memory allocation (mmap) failed to map 2147483648 bytes for committing "
            "reserved memory.\n# An error report file with more information is saved as:\n"
            "# /tmp/hs_err_pid12.log",
            1,
        ),
        ("insufficient memory for the Java Runtime Environment",),
    ),
    Program(
        "exception_of_dotnet",
        prints_and_dies(
            "Unhandled exception. System.InvalidOperationException: no shard 3\n"
            "   at Loader.Next() in /src/Loader.cs:line 12\n   at Program.Main() in "
            "/src/Program.cs:line 4",
            "SIGABRT",
        ),
        ("System.InvalidOperationException: no shard 3",),
    ),
    Program(
        "error_of_julia",
        prints(
            "ERROR: LoadError: DimensionMismatch: A has size (3,4), B has size (3,4)\n"
            "Stacktrace:\n [1] step(x::Matrix)\n   @ Main ./train.jl:7\n"
            "in expression starting at /src/train.jl:12",
            1,
        ),
        ("DimensionMismatch: A has size (3,4)",),
    ),
    Program(
        "error_of_r",
        prints(
            "Error in fit(x, y) : object 'lr' not found\nCalls: main -> fit\nExecution halted", 1
        ),
        ("object 'lr' not found",),
    ),
)

SHELL = (
    Program(
        "below_pipefail",
        "raise ValueError('bad warmup')\n",
        ("ValueError: bad warmup", "below_pipefail.py:1"),
        shell="bash -c 'set -euo pipefail; PROGRAM 2>&1 | tee log; echo never'",
    ),
    Program(
        "own_code_of_a_shell",
        "raise ValueError('bad decay')\n",
        ("ValueError: bad decay",),
        shell="PROGRAM || exit 7",
    ),
    Program(
        "below_env_and_nice",
        "raise ValueError('bad clip')\n",
        ("ValueError: bad clip", "below_env_and_nice.py:1"),
        shell="env SEED=1 nice -n 1 PROGRAM",
    ),
    Program(
        "below_time",
        "raise ValueError('bad beta')\n",
        ("ValueError: bad beta", "below_time.py:1"),
        shell="bash -c 'time PROGRAM'",
    ),
    Program("code_of_a_signal", "", ("139",), shell="echo step 1; exit 139"),
    Program(
        "grandchild_out_of_memory",
        "import subprocess, sys\ncode = 'kept = [bytes([1]) * (8 << 20) for _ in range(64)]'\n"
        "one = subprocess.run(['sh', '-c', f'{sys.executable} -c \"{code}\"; exit $?'])\n"
        "print('worker ended with', one.returncode)\nsys.exit(5)\n",
        ("code 5", "out-of-memory killer"),
        before="echo $$ > GROUP/cgroup.procs;",
        needs="group",
        by="oom_killer",
    ),
)

SECRET = (
    Program(
        "token_in_the_message",
        f"def main():\n    raise RuntimeError('401 for {TOKEN}')\nmain()\n",
        ("RuntimeError: 401 for", "token_in_the_message.py:2 in main"),
        (TOKEN,),
    ),
)

_GOES_ON = f"import time\n{LOOP}\nfor i in range(60):\n    step(i)\n    if i == 30:\n"

HEALTHY = (
    Program("leaves_with_none", "import sys\nprint('Error: none')\nsys.exit(None)\n"),
    Program("leaves_with_false", "import sys\nprint('step 1 loss 2')\nsys.exit(False)\n"),
    Program(
        "hidden_by_a_shell",
        "raise ValueError('no GPU')\n",
        shell="PROGRAM || true; for i in 1 2 3; do echo step $i loss 1.$i; sleep 1; done",
    ),
    Program(
        "group_is_caught",
        "import traceback\n"
        + _GOES_ON
        + "        try: raise BaseExceptionGroup('two', [ValueError('a'), SystemExit(3)])\n"
        "        except BaseExceptionGroup: traceback.print_exc()\n",
    ),
    Program(
        "hook_of_a_thread_logs",
        "import sys, threading\nthreading.excepthook = lambda told: print('worker failed:', "
        "told.exc_value, file=sys.stderr)\ndef work(): raise ValueError('retry me')\n"
        + _GOES_ON
        + "        threading.Thread(target=work).start()\n",
    ),
    Program(
        "child_is_killed_and_tried_again",
        "import subprocess\n"
        + _GOES_ON
        + "        subprocess.run(['sh', '-c', 'sh -c \"kill -9 $$\"; echo again'])\n",
    ),
    Program(
        "quotes_swift",
        _GOES_ON + "        print('main.swift:3: Fatal error: Index out of range')\n",
    ),
    Program(
        "quotes_a_sanitizer",
        _GOES_ON + "        print('==9==ERROR: AddressSanitizer: heap-use-after-free on "
        "address 0x60')\n        print('loader.cpp:5:12: runtime error: overflow')\n",
    ),
    Program(
        "quotes_loguru",
        "import sys\n"
        + _GOES_ON
        + "        print('2026-01-02 10:00:00 | ERROR | __main__:main:3 - retry\\nTraceback (most "
        'recent call last):\\n\\n> File "a.py", line 1, in main\\n    main()\\n\\nOSError: '
        "reset', file=sys.stderr)\n",
    ),
    Program(
        "del_complains_at_the_end",
        "class Loader:\n    def __del__(self):\n        raise OSError('already closed')\n"
        "loader = Loader()\n" + _GOES_ON + "        pass\n",
    ),
    Program(
        "pool_is_made_anew",
        "import concurrent.futures as f, os\ndef work(n):\n    if n: os._exit(9)\n    return n\n"
        "def main():\n    for n in (1, 0):\n        try:\n"
        "            with f.ProcessPoolExecutor(1) as pool: print('got', pool.submit(work, n)"
        ".result(), flush=True)\n        except f.process.BrokenProcessPool as error:\n"
        "            print('again:', error, flush=True)\n"
        "if __name__ == '__main__':\n    main()\n",
    ),
)

FOURTH = (*PYTHON, *NATIVE, *SHELL, *SECRET, *HEALTHY)
