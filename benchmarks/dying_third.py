"""A third set of programs that die, and of healthy ones, written after the rules of the other two.

`benchmarks/deaths.py --third` runs them. What each reason must say was written down before anything
was run.
"""

from __future__ import annotations

from benchmarks.dying import LOOP, Program

PYTHON = (
    Program(
        "traceback_then_killed",
        f"import os, pathlib, time, traceback\n{LOOP}\ntry:\n    open('/no/such/shard')\n"
        "except OSError:\n    traceback.print_exc()\nfor i in range(4000):\n    step(i)\n"
        "    if i == 20: pathlib.Path('ready').write_text('yes')\n",
        ("killed by SIGKILL", "from outside, by whom is not known"),
        ("FileNotFoundError", "shard"),
        signal="SIGKILL",
        by="unknown",
    ),
    Program(
        "interrupted_from_outside",
        f"import pathlib, time\n{LOOP}\nfor i in range(4000):\n    step(i)\n"
        "    if i == 20: pathlib.Path('ready').write_text('yes')\n",
        ("KeyboardInterrupt", "interrupted_from_outside.py:"),
        signal="SIGINT",
    ),
    Program(
        "own_alarm",
        "import signal, time\nprint('step 1 loss 2', flush=True)\nsignal.alarm(1)\n"
        "time.sleep(30)\n",
        ("killed by SIGALRM",),
    ),
    Program(
        "user_signal_without_handler",
        f"import pathlib, time\n{LOOP}\nfor i in range(4000):\n    step(i)\n"
        "    if i == 20: pathlib.Path('ready').write_text('yes')\n",
        ("killed by SIGUSR1",),
        signal="SIGUSR1",
    ),
    Program(
        "raised_in_a_library",
        "import json\ndef load():\n    return json.loads('{\"lr\": 0.1,}')\nload()\n",
        ("JSONDecodeError", "raised_in_a_library.py:3 in load"),
    ),
    Program(
        "raised_from_none",
        "def read():\n    try:\n        {}['wq']\n    except KeyError:\n"
        "        raise ValueError('weights have no wq') from None\nread()\n",
        ("ValueError: weights have no wq", "raised_from_none.py:5 in read"),
        ("KeyError",),
    ),
    Program(
        "error_without_str",
        "class Odd(Exception):\n    def __str__(self):\n        raise TypeError('no text')\n"
        "def main():\n    raise Odd()\nmain()\n",
        ("Odd", "error_without_str.py:5 in main"),
        ("TypeError",),
    ),
    Program(
        "long_message",
        "def main():\n    raise ValueError('bad ids: ' + ', '.join(map(str, range(20000))))\n"
        "main()\n",
        ("ValueError: bad ids: 0, 1, 2", "long_message.py:2 in main"),
    ),
    Program(
        "escapes_in_message",
        "def main():\n    raise ValueError('bad \\x1b[31mcolor\\x1b[0m\\r\\nname')\nmain()\n",
        ("ValueError: bad", "escapes_in_message.py:2 in main"),
        ("\x1b", "\r"),
    ),
    Program(
        "warning_as_error",
        "import warnings\nwarnings.simplefilter('error')\ndef main():\n"
        "    warnings.warn('lr is 0')\nmain()\n",
        ("UserWarning: lr is 0", "warning_as_error.py:4 in main"),
    ),
    Program(
        "worker_killed_in_pool",
        "import os, signal\nfrom concurrent.futures import ProcessPoolExecutor\ndef work(x):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\nif __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(1) as pool:\n        list(pool.map(work, [1]))\n",
        ("BrokenProcessPool", "worker_killed_in_pool.py:7"),
    ),
    Program(
        "child_was_killed",
        "import subprocess, sys\nkill = 'import os; os.kill(os.getpid(), 9)'\n"
        "def main():\n    subprocess.run([sys.executable, '-c', kill], check=True)\nmain()\n",
        ("CalledProcessError", "SIGKILL", "child_was_killed.py:4 in main"),
    ),
    Program(
        "negative_exit",
        "import sys\nprint('step 1 loss 2', flush=True)\nsys.exit(-1)\n",
        ("exited with code 255",),
    ),
    Program(
        "logged_and_left",
        "import logging, sys\nlogging.basicConfig()\nlogging.critical('no GPU left for rank 3')\n"
        "sys.exit(2)\n",
        ("exited with code 2", "no GPU left for rank 3"),
    ),
    Program(
        "logged_traceback",
        "import logging, sys\nlogging.basicConfig(format='%(asctime)s %(levelname)s %(message)s')\n"
        "def main():\n    raise ValueError('bad shard 4')\ntry:\n    main()\nexcept ValueError:\n"
        "    logging.exception('training failed')\n    sys.exit(1)\n",
        ("exited with code 1", "ValueError: bad shard 4", "logged_traceback.py:4 in main"),
    ),
    Program(
        "fatal_error_of_python",
        "import ctypes\ndef main():\n    ctypes.pythonapi.Py_FatalError(b'heap is damaged')\n"
        "main()\n",
        ("killed by SIGABRT", "heap is damaged", "fatal_error_of_python.py:3 in main"),
    ),
    Program(
        "segfault_in_a_thread",
        "import ctypes, threading\ndef load():\n    ctypes.string_at(1)\n"
        "t = threading.Thread(target=load)\nt.start()\nt.join()\n",
        ("killed by SIGSEGV", "segfault_in_a_thread.py:3 in load"),
    ),
    Program(
        "no_such_module",
        "import sys\n",
        ("exited with code 1", "No module named no_such_trainer"),
        shell="python -m no_such_trainer",
    ),
    Program(
        "no_such_script",
        "pass\n",
        ("exited with code 2", "can't open file"),
        shell="python no_such_script_here.py",
    ),
    Program(
        "broken_module",
        "import pathlib\npathlib.Path('settings_of_mine.py').write_text('def f():\\nreturn 1\\n')\n"
        "import settings_of_mine\n",
        ("IndentationError", "settings_of_mine.py:2"),
    ),
    Program(
        "too_many_open",
        "kept = []\ndef main():\n    while True:\n        kept.append(open('/dev/null'))\nmain()\n",
        ("Too many open files", "too_many_open.py:4 in main"),
        before="ulimit -n 64 &&",
        error="too_many_files",
    ),
    Program(
        "progress_bar_before",
        "import sys, time\ndef main():\n    for i in range(30):\n"
        "        sys.stderr.write(f'\\r{i}/30 [{\"#\" * i:30}] loss=0.{i}')\n"
        "        sys.stderr.flush()\n"
        "    raise RuntimeError('validation set is empty')\nmain()\n",
        ("RuntimeError: validation set is empty", "progress_bar_before.py:6 in main"),
    ),
    Program(
        "prefix_of_a_launcher",
        'import subprocess, sys\ncode = \'def f():\\n    raise ValueError("rank has no data")\\n'
        "f()'\n"
        "done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)\n"
        "for line in done.stderr.splitlines(): print(f'[rank1]: {line}', file=sys.stderr)\n"
        "sys.exit(1)\n",
        ("exited with code 1", "ValueError: rank has no data"),
    ),
    Program(
        "torch_out_of_memory",
        "class OutOfMemoryError(RuntimeError):\n    pass\nOutOfMemoryError.__module__ = 'torch'\n"
        "def main():\n    raise OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB.')\n"
        "main()\n",
        ("OutOfMemoryError: CUDA out of memory", "torch_out_of_memory.py:5 in main"),
        error="cuda_out_of_memory",
    ),
    Program(
        "dump_later",
        "import faulthandler, time\ndef wait():\n    time.sleep(60)\n"
        "faulthandler.dump_traceback_later(1, exit=True)\nwait()\n",
        ("exited with code 1", "Timeout", "dump_later.py:3 in wait"),
    ),
    Program(
        "tests_failed",
        "import pathlib, sys\npathlib.Path('test_loss.py').write_text("
        "'def test_loss():\\n    assert 2.5 < 1.0\\n')\nimport pytest\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', 'test_loss.py']))\n",
        ("AssertionError: assert 2.5 < 1.0", "test_loss.py:2 in test_loss"),
    ),
)
"""Ways in which Python leaves."""

OTHERS = (
    Program(
        "errx",
        '#include <err.h>\nint main(void) { errx(3, "cannot read %s", "vocab.bin"); }\n',
        ("exited with code 3", "cannot read vocab.bin"),
        suffix=".c",
    ),
    Program(
        "perror",
        "#include <stdio.h>\n#include <stdlib.h>\n"
        'int main(void) { fopen("weights.bin", "r"); perror("weights.bin"); exit(4); }\n',
        ("exited with code 4", "weights.bin: No such file or directory"),
        suffix=".c",
    ),
    Program(
        "breakpoint_trap",
        "#include <signal.h>\nint check(void) { return raise(SIGTRAP); }\n"
        "int main(void) { return check(); }\n",
        ("killed by SIGTRAP",),
        suffix=".c",
    ),
    Program(
        "thrown_in_thread",
        "#include <stdexcept>\n#include <thread>\nvoid load() { throw std::runtime_error("
        '"shard 9 is cut"); }\nint main() { std::thread t(load); t.join(); }\n',
        ("killed by SIGABRT", "std::runtime_error: shard 9 is cut"),
        suffix=".cpp",
    ),
    Program(
        "shell_variable",
        "pass\n",
        ("MODEL", "no model was given"),
        shell=': "${MODEL:?no model was given}"; PROGRAM',
    ),
    Program(
        "not_executable",
        "pass\n",
        ("exited with code 126", "ermission denied"),
        shell="chmod 644 not_executable.py; ./not_executable.py",
    ),
    Program(
        "no_library",
        "import pathlib, subprocess\n",
        ("exited with code 127", "cannot open shared object file"),
        shell="echo 'int f(void){return 0;}' > f.c; "
        "echo 'int f(void); int main(void){return f();}' > m.c; gcc -shared -o libf.so f.c; "
        "gcc -o m m.c -L. -lf; rm libf.so; ./m",
    ),
    Program(
        "perl_dies",
        "pass\n",
        ("no weights at",),
        shell="perl -e 'die \"no weights\"'",
    ),
)
"""Other languages, and shells."""

HEALTHY = (
    Program(
        "tells_of_a_dump",
        "import faulthandler, time\nfaulthandler.dump_traceback()\ntime.sleep(0.2)\n"
        "print('step 1 loss 1.0')\n",
    ),
    Program(
        "falls_back_to_the_cpu",
        "print('CUDA error: out of memory, falling back to the CPU')\n"
        "for i in range(5): print(f'step {i} loss 1.0', flush=True)\n"
        "print('Segmentation fault (core dumped)')\n",
    ),
    Program(
        "child_crashes_and_is_replaced",
        "import subprocess, sys\ncrash = 'import ctypes; ctypes.string_at(1)'\n"
        "assert subprocess.run([sys.executable, '-c', crash]).returncode == -11\nprint('done')\n",
    ),
    Program(
        "expected_failures",
        "import pathlib, sys\npathlib.Path('test_x.py').write_text('import pytest\\n"
        "@pytest.mark.xfail\\ndef test_x():\\n    raise ValueError(1)\\n')\nimport pytest\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-rx', 'test_x.py']))\n",
    ),
    Program(
        "handles_its_signal",
        "import os, signal, time\nsignal.signal(signal.SIGTERM, lambda *_: print('saving'))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\nprint('step 1 loss 1.0')\n",
    ),
    Program(
        "panics_in_its_log",
        "import sys\nprint('thread main panicked at src/lib.rs:3:5: retrying', file=sys.stderr)\n"
        "print('goroutine 1 [running]:', file=sys.stderr)\nprint('step 9 loss 1.0')\n",
    ),
)
"""Programs that end well, whatever they print."""

THIRD = (*PYTHON, *OTHERS, *HEALTHY)
