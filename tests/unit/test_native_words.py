"""Words and fingerprints of native threads: C++ and Rust, with and without symbols.

The stacks are made up in gdb's form, from functions that compilers and libraries really have.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stacks import wait_site
from harness.stacks.parse import parse
from harness.stacks.parse.frames import native
from harness.stacks.parse.names import bare_name, is_package, is_standard
from harness.stacks.wait_rules import Category

CONDITION = (
    "__futex_abstimed_wait_common64 (private=0, op=393) at ./nptl/futex-internal.c:57",
    "__pthread_cond_wait_common (cond=0x7ffc0010) at ./nptl/pthread_cond_wait.c:503",
    "___pthread_cond_wait (cond=0x7ffc0010) at ./nptl/pthread_cond_wait.c:618",
)
MUTEX = (
    "futex_wait (private=0, expected=2) at ../sysdeps/nptl/futex-internal.h:146",
    "__GI___lll_lock_wait (futex=0x7ffc0010, private=0) at ./nptl/lowlevellock.c:49",
    "___pthread_mutex_lock (mutex=0x7ffc0010) at ./nptl/pthread_mutex_lock.c:93",
)
JOIN = (
    "__futex_abstimed_wait_common64 (private=128, op=265) at ./nptl/futex-internal.c:57",
    "__pthread_clockjoin_ex (threadid=1405845, abstime=0x0) at ./nptl/pthread_join_common.c:102",
)
SYSCALL = ("syscall () at ../sysdeps/unix/sysv/linux/x86_64/syscall.S:38",)
START = ("start_thread (arg=<optimized out>) at ./nptl/pthread_create.c:442",)
CPP_THREAD = ("?? () from /lib/x86_64-linux-gnu/libstdc++.so.6", *START)
STREAM = (*CONDITION, "mlx::core::scheduler::StreamThread::thread_fn() () from /opt/libmlx.so",
          *CPP_THREAD)  # fmt: skip
HEADERS = "/usr/include/c++/12"
GUARD = (
    "__gthread_mutex_lock (__mutex=0x1) at /usr/include/x86_64-linux-gnu/c++/12/bits/gthr.h:74",
    f"std::mutex::lock (this=0x7ffc0010) at {HEADERS}/bits/std_mutex.h:100",
    f"std::lock_guard<std::mutex>::lock_guard (__m=...) at {HEADERS}/bits/std_mutex.h:229",
)
CPP = ("Trainer::run (this=0x7ffc0010, steps=12) at src/trainer.cpp:41",
       "main (argc=1, argv=0x7ffc0999) at src/trainer.cpp:77")  # fmt: skip
RUST = ("trainer::fit::h0123456789abcdef ()", "trainer::main::hfedcba9876543210 ()",
        "std::sys::backtrace::__rust_begin_short_backtrace::h1111111111111111 ()",
        "std::rt::lang_start::{{closure}}::h2222222222222222 ()",
        "std[e28293b1aa0f68bd]::rt::lang_start_internal ()", "main ()")  # fmt: skip
RUST_THREAD = ("std::sys::backtrace::__rust_begin_short_backtrace::h3333333333333333 ()",
               "core::ops::function::FnOnce::call_once{{vtable.shim}}::h4444444444444444 ()",
               "<std[e28293b1aa0f68bd]::sys::thread::unix::Thread>::new::thread_start ()",
               *START)  # fmt: skip
PARK = "<std[e28293b1aa0f68bd]::thread::thread::Thread>::park ()"
LOCK = "<std[e28293b1aa0f68bd]::sys::sync::mutex::futex::Mutex>::lock_contended ()"
WAIT = "<std[e28293b1aa0f68bd]::sys::sync::condvar::futex::Condvar>::wait ()"
NAMELESS = ("?? ()",) * 5

KINDS = {
    "mutex": ((*MUTEX, *GUARD, *CPP),),
    "two mutexes": (
        (*MUTEX, *GUARD, *CPP),
        (*MUTEX, *GUARD, "Saver::save (this=0x1) at src/saver.cpp:9", *CPP_THREAD),
    ),
    "condition": ((
        *CONDITION,
        "std::condition_variable::wait<Trainer::run()::<lambda()> > (__p=...) at "
        f"{HEADERS}/condition_variable:102",
        *CPP,
    ),),
    "future": ((
        *SYSCALL,
        "std::__atomic_futex_unsigned_base::_M_futex_wait_until(unsigned int*, bool) () from "
        "/lib/x86_64-linux-gnu/libstdc++.so.6",
        f"std::__future_base::_State_baseV2::wait (this=0x1) at {HEADERS}/future:337",
        f"std::future<int>::get (this=0x7ffc0010) at {HEADERS}/future:806",
        *CPP,
    ),),
    "atomic": ((
        *SYSCALL,
        f"std::__detail::__platform_wait<int> (__addr=0x1) at {HEADERS}/bits/atomic_wait.h:108",
        f"std::__atomic_base<int>::wait (__m=...) at {HEADERS}/bits/atomic_base.h:596",
        *CPP,
    ),),
    "join": ((*JOIN, "std::thread::join() () from /lib/x86_64-linux-gnu/libstdc++.so.6", *CPP),),
    "rwlock": ((
        *CONDITION[:1],
        "___pthread_rwlock_wrlock (rwlock=0x7ffc0010) at ./nptl/pthread_rwlock_wrlock.c:26",
        f"std::shared_mutex::lock (this=<optimized out>) at {HEADERS}/shared_mutex:420",
        *CPP,
    ),),
    "rust mutex": ((*SYSCALL, LOCK, *RUST),),
    "rust two mutexes": ((*SYSCALL, LOCK, *RUST), (*SYSCALL, LOCK, *RUST_THREAD)),
    "rust condition": ((*SYSCALL, WAIT, *RUST),),
    "rust park": ((*SYSCALL, "std[e28293b1aa0f68bd]::thread::functions::park ()", *RUST),),
    "rust channel": ((
        *SYSCALL, PARK,
        "std::sync::mpmc::list::Channel<T>::recv::{{closure}}::h5555555555555555 ()",
        "std::sync::mpmc::list::Channel<T>::recv::h6666666666666666 ()", *RUST,
    ),),
    "crossbeam": ((
        *SYSCALL, "std[e28293b1aa0f68bd]::thread::functions::park ()",
        "crossbeam_channel::flavors::list::Channel<T>::recv::h7777777777777777 ()",
        "crossbeam_channel::channel::Receiver<T>::recv::h8888888888888888 ()", *RUST,
    ),),
    "rust join": ((
        *JOIN, "<std[e28293b1aa0f68bd]::sys::thread::unix::Thread>::join ()",
        "std::thread::lifecycle::JoinInner<T>::join::h9999999999999999 ()", *RUST,
    ), (*SYSCALL, PARK, *RUST_THREAD)),
    "block_on": ((
        *SYSCALL, WAIT, "tokio::runtime::park::Inner::park::h7deeaaaabbbbcccc ()",
        "tokio::runtime::runtime::Runtime::block_on::h341daaaabbbbcccc ()", *RUST,
    ),),
    "rayon": ((
        *SYSCALL, WAIT, "rayon_core::latch::LockLatch::wait_and_reset::h0a85aaaabbbbcccc ()",
        "std::thread::local::LocalKey<T>::with::h0c8eaaaabbbbcccc ()", *RUST,
    ),),
    "rust child": ((
        "__GI___wait4 (pid=14688, options=0) at ../sysdeps/unix/sysv/linux/wait4.c:30", *RUST,
    ),),
    "rust network": ((
        "__libc_recv (fd=4, len=64) at ../sysdeps/unix/sysv/linux/recv.c:28",
        "<std[e28293b1aa0f68bd]::net::tcp::TcpStream as std[e28293b1aa0f68bd]::io::Read>::read ()",
        *RUST,
    ),),
    "rust loop": (("trainer::spin::haaaaaaaaaaaaaaaa ()", *RUST),),
    "stripped": ((*SYSCALL, *NAMELESS),),
    "two stripped": ((*SYSCALL, *NAMELESS), (*SYSCALL, *NAMELESS[:3], *START)),
}  # fmt: skip


def gdb(*threads: tuple[str, ...], names: tuple[str, ...] = ("trainer", "saver")) -> str:
    """gdb's text; the first of `threads` is the main one, which gdb prints last."""
    lines = []
    for number, frames in reversed(list(enumerate(threads, 1))):
        name = names[number - 1] if number <= len(names) else "trainer"
        lines.append(f'Thread {number} (Thread 0x7f{number:010x} (LWP {6 + number}) "{name}"):')
        lines += [f"#{i}  0x{0x5600000000 + i:016x} in {f}" for i, f in enumerate(frames)]
    return "\n".join(lines)


def explain(*threads: tuple[str, ...]) -> wait_site.Waits:
    waits = wait_site.explain(parse("gdb", gdb(*threads), 7))
    assert waits is not None
    return waits


def fingerprint(text: str) -> str:
    return wait_site.fingerprint(parse("gdb", text, 7))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("mutex", "waits for a mutex (std::mutex::lock), from trainer.cpp:41 in Trainer::run"),
        ("condition", "waits for a condition variable (std::condition_variable::wait), from "
                      "trainer.cpp:41 in Trainer::run"),
        ("future", "waits for a future (std::future::get), from trainer.cpp:41 in Trainer::run"),
        ("atomic", "waits for an atomic: a latch, barrier, semaphore or flag "
                   "(std::__atomic_base::wait), from trainer.cpp:41 in Trainer::run"),
        ("join", "waits for another thread to end (std::thread::join), from trainer.cpp:41 in "
                 "Trainer::run"),
        ("rwlock", "waits for a read-write lock (std::shared_mutex::lock), from trainer.cpp:41 in "
                   "Trainer::run"),
        ("rust mutex", "waits for a mutex (std::sys::sync::mutex::futex::Mutex::lock_contended), "
                       "from trainer::fit"),
        ("rust condition", "waits for a condition variable "
                           "(std::sys::sync::condvar::futex::Condvar::wait), from trainer::fit"),
        ("rust park", "waits for another thread to unpark it (std::thread::functions::park), from "
                      "trainer::fit"),
        ("rust channel", "waits for a message from a channel (std::sync::mpmc::list::Channel::recv)"
                         ", from trainer::fit"),
        ("crossbeam", "waits for a message from a channel "
                      "(crossbeam_channel::channel::Receiver::recv), from trainer::fit"),
        ("rust join", "waits for another thread to end "
                      "(std::thread::lifecycle::JoinInner::join), from trainer::fit"),
        ("block_on", "waits for an async task to complete "
                     "(tokio::runtime::runtime::Runtime::block_on), from trainer::fit"),
        ("rayon", "waits for the jobs of a thread pool "
                  "(rayon_core::latch::LockLatch::wait_and_reset), from trainer::fit"),
        ("rust child", "waits for a child process (wait4), from trainer::fit"),
        ("rust network", "waits for the network (recv), from trainer::fit"),
        ("rust loop", "is running (trainer::spin)"),
        ("stripped", "waits for another thread (syscall)"),
    ],
)  # fmt: skip
def test_the_words_name_the_wait_and_the_users_own_code(kind: str, words: str) -> None:
    assert wait_site.describe(explain(*KINDS[kind]).overall) == words


def test_a_running_function_with_a_line_is_named_once() -> None:
    spins = explain(("Trainer::spin (this=0x1) at src/trainer.cpp:9", *CPP))
    assert wait_site.describe(spins.overall) == "is running, from trainer.cpp:9 in Trainer::spin"


def test_the_code_of_a_package_is_named_where_nobodys_own_is() -> None:
    job = (
        *SYSCALL, LOCK,
        "<rayon_core::job::StackJob<L,F,R> as rayon_core::job::Job>::execute::h286aaaaabbbbcccc ()",
        "rayon_core::registry::WorkerThread::wait_until_cold::hbe0caaaabbbbcccc ()", *RUST_THREAD,
    )  # fmt: skip
    site = explain(KINDS["rayon"][0], job).threads[1]
    assert site.category is Category.LOCK
    assert site.place == "rayon_core::job::StackJob::execute"


def test_a_c_library_without_names_does_not_hide_the_wait() -> None:
    hidden = "?? () from /lib/x86_64-linux-gnu/libc.so.6"
    site = explain((hidden, LOCK, *RUST)).overall
    assert (site.category, site.description) == (Category.LOCK, "waits for a mutex")
    assert (
        explain((hidden, LOCK, *RUST)).fingerprint == explain((*SYSCALL, LOCK, *RUST)).fingerprint
    )


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("std::latch::wait", "waits for a latch"),
        ("std::barrier<std::__empty_completion>::wait", "waits at a barrier for other threads"),
        ("std::counting_semaphore<1l>::acquire", "waits for a semaphore"),
    ],
)
def test_what_is_inlined_alters_the_words_alone(function: str, words: str) -> None:
    (inlined,) = KINDS["atomic"]
    whole = (*inlined[: -len(CPP)], f"{function} (this=0x1) at {HEADERS}/latch:74", *CPP)
    assert explain(whole).overall.description == words
    assert explain(whole).fingerprint == explain(inlined).fingerprint


def test_a_thread_of_which_all_code_is_the_librarys_has_no_place() -> None:
    assert explain(*KINDS["rust join"]).threads[1].place is None


# --- idle threads -------------------------------------------------------------------------------

ROOT = ("core::ops::function::FnOnce::call_once{{vtable.shim}}::h4444444444444444 ()", *START)
IDLE = {
    "mlx": STREAM,
    "mlx without symbols": (*CONDITION, "?? () from /opt/mlx/lib/libmlx.so", *CPP_THREAD),
    "cpp pool": (
        *CONDITION,
        "std::thread::_State_impl<std::thread::_Invoker<std::tuple<F> > >::_M_run() () from "
        "/opt/libpool.so",
        *CPP_THREAD,
    ),
    "rayon": (*SYSCALL, WAIT, "rayon_core::sleep::Sleep::sleep::h167caaaabbbbcccc ()",
              "rayon_core::registry::WorkerThread::wait_until_cold::hbe0caaaabbbbcccc ()", *ROOT),
    "tokio": (*SYSCALL, WAIT,
              "tokio::runtime::scheduler::multi_thread::park::Parker::park::h7f56aaaabbbbcccc ()",
              "tokio::runtime::scheduler::multi_thread::worker::run::hd2eaaaaabbbbcccc ()", *ROOT),
    "tokio blocking": (*SYSCALL, WAIT,
                       "tokio::runtime::blocking::pool::Inner::run::h452baaaabbbbcccc ()", *ROOT),
}  # fmt: skip


@pytest.mark.parametrize("kind", IDLE)
def test_an_idle_thread_is_called_so_and_does_not_count(kind: str) -> None:
    main = KINDS["rust channel"][0]
    waits = explain(main, IDLE[kind])
    site = waits.threads[1]
    assert site.category is Category.IDLE
    assert site.description.startswith("has nothing to do")
    assert site.place is None
    for number in range(3):
        assert explain(main, *[IDLE[kind]] * number).fingerprint == waits.fingerprint


def test_mlx_own_threads_are_named() -> None:
    for kind in ("mlx", "mlx without symbols"):
        site = explain(KINDS["mutex"][0], IDLE[kind]).threads[1]
        assert site.description == "has nothing to do: an idle stream thread of MLX"


def test_a_thread_that_waits_for_a_lock_is_no_idle_one() -> None:
    run = (
        "std::thread::_State_impl<std::thread::_Invoker<std::tuple<F> > >::_M_run() () at src/a.h:9"
    )
    for wait in (MUTEX, JOIN):
        site = explain(KINDS["mutex"][0], (*wait, run, *CPP_THREAD)).threads[1]
        assert site.category is Category.LOCK


def test_the_worker_that_drives_a_runtime_is_no_idle_one() -> None:
    driver = (
        *SYSCALL, WAIT, "tokio::runtime::park::Inner::park::h7deeaaaabbbbcccc ()",
        "tokio::runtime::time::Driver::park_internal::hf87baaaabbbbcccc ()",
        "tokio::runtime::scheduler::multi_thread::park::Parker::park::h7f56aaaabbbbcccc ()", *ROOT,
    )  # fmt: skip
    site = explain(KINDS["block_on"][0], driver).threads[1]
    assert site.category is Category.LOCK
    assert site.description == "waits for timers and events of an async runtime"


def test_the_worker_of_a_pool_that_waits_in_a_job_is_no_idle_one() -> None:
    for inside in (
        "rayon_core::join::join_context::{{closure}}::h1234aaaabbbbcccc ()",
        "trainer::parallel_sum::h1234aaaabbbbcccc ()",
    ):
        worker = (*IDLE["rayon"][: -len(ROOT)], inside, *ROOT)
        site = explain(KINDS["rayon"][0], worker).threads[1]
        assert site.category is Category.QUEUE
        assert site.description == "waits for the jobs of a thread pool"


def test_a_stream_that_evaluates_is_at_work() -> None:
    kernel = ("mlx::core::matmul<float>(float const*) () from /opt/libmlx.so", *STREAM[3:])
    assert explain(KINDS["mutex"][0], kernel).threads[1].category is Category.RUNNING
    nameless = ("?? () from /opt/libmlx.so", *CPP_THREAD)
    assert explain(KINDS["mutex"][0], nameless).threads[1].category is not Category.IDLE


# --- fingerprints -------------------------------------------------------------------------------


def test_each_kind_has_a_fingerprint_of_its_own() -> None:
    assert len({explain(*threads).fingerprint for threads in KINDS.values()}) == len(KINDS)


@given(st.sampled_from(sorted(KINDS)), st.randoms())
def test_a_rebuild_does_not_change_a_fingerprint(kind: str, chance) -> None:
    """Digests, addresses, lines, and the versions of the libraries are another build's."""
    text = gdb(*KINDS[kind])

    def digits(match: re.Match[str]) -> str:
        return match[1] + f"{chance.getrandbits(64):016x}" + match[3]

    again = re.sub(r"(::h)([0-9a-f]{16})( )", digits, text)
    again = re.sub(r"(std\[)([0-9a-f]{16})(\])", digits, again)
    again = re.sub(r"(0x)([0-9a-f]+)()", digits, again)
    again = re.sub(r":\d+$", lambda _: f":{chance.randint(1, 999)}", again, flags=re.M)
    assert again != text
    assert fingerprint(again) == fingerprint(text)


def test_the_name_of_a_closure_does_not_count() -> None:
    one, two = ((*SYSCALL, LOCK, f"trainer::fit::{end} ()", *RUST[1:]) for end in
                ("{{closure}}::h0123456789abcdef", "{closure#3}"))  # fmt: skip
    assert explain(one).fingerprint == explain(two).fingerprint


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("<std[e28293b1aa0f68bd]::sys::sync::condvar::futex::Condvar>::wait",
         "std::sys::sync::condvar::futex::Condvar::wait"),
        ("<std[e28293b1aa0f68bd]::net::tcp::TcpStream as std[e28293b1aa0f68bd]::io::Read>::read",
         "std::net::tcp::TcpStream::read"),
        ("trainer::fit::h08cb1a26324a7e33", "trainer::fit"),
        ("trainer::fit::h08cb1a26324a7e33.llvm.1234", "trainer::fit"),
        ("core::ops::function::FnOnce::call_once{{vtable.shim}}::h0fa6d813c4c62481",
         "core::ops::function::FnOnce::call_once"),
        ("trainer[8f01234567890abc]::main::{closure#0}", "trainer::main::{{closure}}"),
        ("<trainer[8f01234567890abc]::Model<f32>>::step::<u8>", "trainer::Model::step"),
        ("_$LT$a..B$LT$L$C$F$GT$$u20$as$u20$c..D$GT$::run::h286ac798731b6ad7", "a::B::run"),
        ("<fn() -> () as core::ops::function::FnOnce<()>>::call_once",
         "core::ops::function::FnOnce::call_once"),
        ("<&mut F as core::ops::FnMut<A>>::call_mut", "F::call_mut"),
        ("<signal handler called>", "<signal handler called>"),
        ("std::vector<int>::operator[](unsigned long)", "std::vector::operator[]"),
        ("___pthread_mutex_lock", "pthread_mutex_lock"),
    ],
)  # fmt: skip
def test_names_of_rust_are_unwrapped(long: str, short: str) -> None:
    assert bare_name(long) == short


def test_the_standard_libraries_are_told_from_code_that_somebody_wrote() -> None:
    assert is_standard("f", "/rustc/2fd73fabe469357a12c2c974c140f67e7cdd76d0/library/core/src/x.rs")
    assert is_standard("f", "/usr/include/x86_64-linux-gnu/c++/12/bits/gthr-default.h")
    assert is_standard("f", "/opt/llvm/include/c++/v1/mutex")
    assert is_standard("core::ops::function::FnOnce::call_once", None)
    # Others have a namespace of this name, too.
    assert not is_standard("core::Trainer::step", None)
    assert not is_standard("alloc::pool", None)
    assert not is_standard("train::std::f", "/home/user/include/trainer.h")
    assert is_package("tokio::runtime::park::Inner::park", None, None)
    assert is_package("f", "/home/user/.cargo/registry/src/index/flume-0.11.1/src/lib.rs", None)
    assert is_package("f", None, "/usr/lib/x86_64-linux-gnu/libcudart.so.12")
    assert not is_package("tokioish::run", None, "/home/user/train/libmine.so")


def test_glibcs_sources_are_the_systems_wherever_it_was_built() -> None:
    for source in ("../nptl/pthread_mutex_lock.c", "./nptl/futex-internal.c",
                   "/usr/src/debug/glibc-2.38/nptl/lowlevellock.c",
                   "/build/glibc-LcI20x/glibc-2.31/nptl/pthread_join.c", "nptl/pthread_join.c",
                   "./stdio-common/flockfile.c", "../sysvipc/semop.c"):  # fmt: skip
        assert native("f", source, 1, None).system
    for own in ("src/io/reader.c", "/home/user/train/io/reader.c", "io/reader.c", "time/beat.c"):
        assert not native("f", own, 1, None).system


_NAMES = st.text(alphabet="<>[](){}&*:$.#, asbdh0123456789_-=u")


@given(_NAMES)
def test_no_name_makes_the_unwrapping_raise(name: str) -> None:
    assert native(name, name, 1, name).bare == bare_name(name or "???")


@given(st.lists(st.tuples(_NAMES, st.one_of(st.none(), _NAMES)), max_size=8))
def test_no_stack_makes_the_words_raise(frames: list[tuple[str, str | None]]) -> None:
    lines = tuple(
        f"{name} ()" + (f" from {library}" if library else "") for name, library in frames
    )
    threads = parse("gdb", gdb((*SYSCALL, *lines), (*CONDITION, *lines)), 7)
    waits = wait_site.explain(threads)
    assert waits is not None
    assert all(wait_site.describe(site) for site in waits.threads)
    assert re.fullmatch(r"[0-9a-f]{12}", waits.fingerprint)
