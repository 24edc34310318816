"""The meaning of a frame on a stack for its thread: an ordered table, the first match decides.

Names of frames are matched in one form: `file.py:function` for Python, the C++ name without
parameters and template arguments for native code.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from harness.text import late


class Category(str, Enum):
    STREAM_EVALUATION = "stream_evaluation"
    COLLECTIVE = "collective"
    JIT = "jit"
    MEMORY = "memory"
    LOCK = "lock"
    GIL = "gil"
    CHILD = "child"
    IO = "io"
    QUEUE = "queue"
    SLEEP = "sleep"
    IDLE = "idle"
    """A worker thread that has nothing to do."""
    RUNNING = "running"
    UNKNOWN = "unknown"


class Scope(Enum):
    ANYWHERE = 0
    TIP = 1
    """The innermost frames, as long as they are the C library's, the interpreter's or Python's."""
    ANYWHERE_BLOCKED = 2
    """Anywhere, if the tip waits: these functions compute as well."""


class Rule(NamedTuple):
    category: Category
    pattern: re.Pattern[str]
    """Searched in `file.py:function` for a Python frame, in the plain name for a native one."""
    description: str
    scope: Scope = Scope.TIP


def _native(names: str) -> re.Pattern[str]:
    """C functions, whatever the C library puts around them: `__GI___poll`, `recv$NOCANCEL`."""
    return late.compile(
        rf"^(_*GI_)?_*(libc_|new_|pthread_)?({names})(64|_common|_common64)?(_nocancel|\$\w+)?$"
    )


_CONDITION = _native(
    r"cond_(timed|clock)?wait\w*|psynch_cvwait|ulock_wait2?|sem_(timed|clock)?wait\w*"
    r"|futex_\w+|std::\S*_M_futex_wait_until\w*|semaphore_(timed)?wait(_signal)?_trap|join"
    r"|clockjoin\w*|syscall"
)
_MUTEX = _native(
    r"mutex_(timed)?lock\w*|lll_lock_wait|psynch_mutexwait|psynch_rw_\w+|rwlock_(rd|wr)lock|ulock_wait"
    r"|os_unfair_lock_lock_slow"
)
_NETWORK = _native(r"accept4?|connect|recv(from|m?msg)?|send(to|m?msg)?")
_READY = _native(r"p?poll|p?select|epoll_p?wait2?|kevent(_qos|_id)?|mach_msg\w*")
_FILE = _native(
    r"p?(read|write)v?|pwritev2|fsync|fdatasync|open(at2?)?|creat|flock|fcntl|ioctl|lockf|sendfile"
    r"|(vm)?splice|tee"
)
_CHILD = _native(r"wait[34]|waitpid|waitid|do_system|system|pclose|os_waitpid")
_SLEEP = _native(
    r"time_sleep|pysleep|floatsleep|clock_nanosleep|nanosleep|usleep|semwait_signal|mach_wait_until"
    r"|clock_sleep_trap"
)
LOADS = "waits for a batch of mlx-data"
JOINS = "waits for the other ranks to join"
ENDS = "waits for another thread to end"
NATIVE_LOCK, PYTHON_LOCK = "waits for a native mutex", "waits for a Python lock"
MUTEX, RW_LOCK = "waits for a mutex", "waits for a read-write lock"
LOCKS = frozenset((NATIVE_LOCK, PYTHON_LOCK, MUTEX, RW_LOCK))
"""Waits for what another thread has, and will give back."""
NATIVE_LOCKS = (_MUTEX, _CONDITION)
"""Waits of which the frames around them say more (`harness.stacks.native_waits`)."""
LEAVES = "waits for the other ranks to leave"
"""The wait of a rank that has left the others: none of them waits for it to do that."""
SERVES = "serves NCCL in the background"
"""The work of a helper thread: it polls for ever, whatever becomes of the ranks."""
_HELPERS = (
    r"^(ncclProxy(Service|ServiceUDS|Progress)|bootstrapRoot|rasThreadMain|ncclIb\w*Async\w*"
    r"|persistentSocketThread|ncclGinProgress|ncclRmaProxyProgressThread)\b"
)
"""The functions of NCCL's own threads, from `std::thread` and `pthread_create` in its source."""
SERVES_MPI = "has nothing to do but to serve MPI"
_SIGNAL = _native(r"pause|sigsuspend|sigwait(info)?|sigtimedwait")
SIGNALED = "waits for a signal"
_DRIVER = _native(r"iokit_user_client_trap|io_connect_method\w*")
BLOCKING = (_CONDITION, _MUTEX, _NETWORK, _READY, _FILE, _CHILD, _SLEEP, _SIGNAL, _DRIVER)

RULES = tuple(
    Rule(category, late.compile(pattern) if isinstance(pattern, str) else pattern, *rest)
    for category, pattern, *rest in (
        (Category.IDLE, _HELPERS, SERVES, Scope.ANYWHERE),
        (Category.JIT,
         r"JitCompiler|JitModule|^nvrtc|newLibraryWith|newComputePipelineState|^MTLCompiler",
         "waits for a kernel to be compiled", Scope.ANYWHERE),
        (Category.MEMORY,
         r"malloc_or_wait|(Metal|Cuda|Common)Allocator::malloc|^IOGPUResourceCreate$",
         "waits for memory", Scope.ANYWHERE),
        (Category.COLLECTIVE, r"distributed::(\w+::)?init$|\b(p?ncclCommInit|P?MPI_Init)",
         JOINS, Scope.ANYWHERE),
        (Category.COLLECTIVE, r"^P?MPI_Finalize$|^ompi_mpi_finalize$", LEAVES, Scope.ANYWHERE),
        (Category.COLLECTIVE,
         r"mlx::core::distributed::|(^|::)jaccl::|^(_*ibv|mlx\d|bnxt_re|irdma|efa)_\w*poll_cq"
         r"|^p?nccl[A-Z]|^P?MPI_|^ompi_|(AllReduce|AllGather)::",
         "waits for another rank in a collective", Scope.ANYWHERE),
        (Category.QUEUE, r"mlx::data::(\w+::)*(next|get)\b", LOADS, Scope.ANYWHERE_BLOCKED),
        (Category.STREAM_EVALUATION,
         r"mlx::core::Event::wait|CudaEvent::(wait|synchronize)"
         r"|^cu(da)?(Event|Stream|Device|Ctx)Synchronize|waitUntil(Completed|SignaledValue)",
         "waits for a stream to finish an evaluation", Scope.ANYWHERE),
        (Category.STREAM_EVALUATION,
         r"mlx::core::(eval|eval_impl|async_eval|synchronize|array::(wait|eval))$",
         "waits for a stream to finish an evaluation", Scope.ANYWHERE_BLOCKED),
        (Category.GIL,
         r"^(take_gil|drop_gil|create_gil|PyEval_(Restore|Acquire)Thread|PyGILState_Ensure"
         r"|_?PyThreadState_Attach)$",
         "waits for Python's global interpreter lock"),
        (Category.IDLE,
         r"^thread\.py:_worker$|^queues\.py:_feed$|^pool\.py:(worker|_handle_\w+)$|workq_kernreturn"
         r"|^faulthandler_thread$|^managers\.py:serve_forever$",
         "has nothing to do"),
        (Category.CHILD,
         r"^subprocess\.py:(wait|_wait|_try_wait|_?communicate)$|^popen_\w+\.py:(wait|poll)$"
         r"|^process\.py:join$", "waits for a child process"),
        (Category.QUEUE, r"^queues?\.py:(get|put)$|SimpleQueue_get|^pool\.py:(next|get|wait)$",
         "waits for a queue"),
        (Category.QUEUE, r"^_base\.py:(result|exception|wait)$", "waits for a future"),
        (Category.LOCK, r"^threading\.py:(join|_wait_for_tstate_lock|_shutdown)$",
         ENDS),
        (Category.LOCK, r"^threading\.py:(wait|wait_for)$",
         "waits for another thread to notify it"),
        (Category.CHILD, _CHILD, "waits for a child process"),
        (Category.SLEEP, _SLEEP, "sleeps"),
        (Category.IO, _NETWORK, "waits for the network"),
        (Category.IO, r"^socket\.py:(accept|readinto|create_connection)$|^ssl\.py:(read|recv)",
         "waits for the network"),
        (Category.IO, _READY, "waits for a file or socket to become ready"),
        (Category.IO, r"^selectors\.py:select$|^connection\.py:(poll|wait)$",
         "waits for a file or socket to become ready"),
        (Category.IO, _FILE, "waits for a file, pipe or socket"),
        (Category.IO, r"^connection\.py:_(recv|send)$", "waits for a file, pipe or socket"),
        (Category.IO, _SIGNAL, SIGNALED),
        (Category.IO, _DRIVER, "waits for a driver"),
        (Category.LOCK, _MUTEX, NATIVE_LOCK),
        (Category.LOCK, r"^(lock_PyThread_acquire_lock|rlock_acquire|PyThread_acquire_lock(_timed)?"
         r"|lock_acquire|_?PyMutex_Lock\w*|threading\.py:acquire)$", PYTHON_LOCK),
        (Category.LOCK, _CONDITION, "waits for another thread"),
    )
)  # fmt: skip

WORKER = late.compile(
    r"cu::Worker::thread_fn$|SocketThread::worker$|\bThreadPool::start_threads\b|^blas_thread_server$"
    r"|^gomp_thread_start$|__kmp_launch_worker$"
)
"""The functions of a pool's thread: waiting right in here, it has nothing to do. More of them are
in `harness.stacks.native_waits`."""
REDRAWS = frozenset((("tqdm", "_monitor.py:run"),))
"""The same of installed packages: threads that only draw the bars of others anew."""
EVENTS = late.compile(r"^lib(open-pal|open-rte|pmix|prrte)\.|^(progress_engine|progress_threads)\b")
"""The libraries and functions in which threads of MPI begin that wait for its messages to itself.
A clock wakes them each hour, whatever becomes of the ranks."""
