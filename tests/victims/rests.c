/* A program that rests in one kind of wait, again and again, and ends with 7 when one goes wrong.

   rests KIND TIMER: a child of its own ends each wait after a byte on stdin, and the program then
   prints a line. TIMER: none, once, again, ran (it has struck), off (it was armed, and is not), or
   posix: two POSIX timers, of which the second is armed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct shared {
    sem_t posted;
    int word;
} *shared;
static int ends[2];
static char block[PIPE_BUF];
static int capacity;
static volatile int struck;
static pid_t child;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    if (child > 0) kill(child, SIGKILL); /* it has our output open */
    _exit(7);
}

static void strike(int number) {
    (void)number;
    struck++;
}

/* The wait is over: after a byte on stdin. */
static void end_one(void) {
    char byte;
    if (read(0, &byte, 1) != 1) _exit(0);
}

static pid_t ender(const char *kind) {
    pid_t forked = fork();
    if (forked) return forked;
    for (;;) {
        end_one();
        if (!strcmp(kind, "pipe") || !strncmp(kind, "unix", 4)) {
            if (write(ends[1], "x", 1) != 1) _exit(1);
        } else if (!strcmp(kind, "full")) {
            if (read(ends[0], block, sizeof block) != sizeof block) _exit(1);
        } else if (!strcmp(kind, "registers")) {
            __atomic_store_n(&shared->word, 1, __ATOMIC_SEQ_CST);
            syscall(SYS_futex, &shared->word, FUTEX_WAKE, 1, NULL, NULL, 0);
        } else if (!strcmp(kind, "wait4") || !strcmp(kind, "waitid")) {
            _exit(5);
        } else if (sem_post(&shared->posted)) {
            _exit(1);
        }
    }
}

static void *joined(void *nothing) {
    if (sem_wait(&shared->posted)) fail("sem_wait");
    return nothing;
}

#if defined(__x86_64__)
/* A futex wait by hand, with a mark in all registers that a call must keep. */
static void by_hand(void) {
    register long rdi __asm__("rdi") = (long)&shared->word, rsi __asm__("rsi") = FUTEX_WAIT;
    register long rdx __asm__("rdx") = 0, r10 __asm__("r10") = 0, r8 __asm__("r8") = 0x1234;
    register long r9 __asm__("r9") = 0x5678, r12 __asm__("r12") = 0x12aa;
    register long r13 __asm__("r13") = 0x13aa, r14 __asm__("r14") = 0x14aa;
    register long r15 __asm__("r15") = 0x15aa, rbx __asm__("rbx") = 0xbbaa;
    long result = SYS_futex;
    double lane = 3.5;
    long below;
    /* Also far below the stack, where nobody but the kernel may write. */
    __asm__ volatile("movq %[lane], %%xmm5\n\tmovq $0x77aa, -184(%%rsp)\n\tsyscall\n\t"
                     "movq %%xmm5, %[lane]\n\tmovq -184(%%rsp), %%rcx\n\tmovq %%rcx, %%xmm5\n\t"
                     "movq %%xmm5, %[below]"
                     : "+a"(result), "+r"(rdi), "+r"(rsi), "+r"(rdx), "+r"(r10), "+r"(r8),
                       "+r"(r9), "+r"(r12), "+r"(r13), "+r"(r14), "+r"(r15), "+r"(rbx),
                       [lane] "+m"(lane), [below] "=m"(below)
                     :
                     : "rcx", "r11", "memory", "xmm5");
    int kept = rdi == (long)&shared->word && rsi == FUTEX_WAIT && rdx == 0 && r10 == 0 &&
               r8 == 0x1234 && r9 == 0x5678 && r12 == 0x12aa && r13 == 0x13aa && r14 == 0x14aa &&
               r15 == 0x15aa && rbx == 0xbbaa && lane == 3.5 && below == 0x77aa;
    if (!kept) fail("a register is another");
    if (result && result != -EAGAIN) fail("futex");
    if (__atomic_exchange_n(&shared->word, 0, __ATOMIC_SEQ_CST) != 1) fail("woken too early");
}
#else
static void by_hand(void) {
    if (syscall(SYS_futex, &shared->word, FUTEX_WAIT, 0, NULL, NULL, 0) && errno != EAGAIN)
        fail("futex");
    if (__atomic_exchange_n(&shared->word, 0, __ATOMIC_SEQ_CST) != 1) fail("woken too early");
}
#endif

static void rest(const char *kind) {
    pthread_t thread;
    siginfo_t ended;
    char byte;
    int status;
    int children = !strcmp(kind, "wait4") || !strcmp(kind, "waitid");
    if (!child || children) child = ender(kind);
    if (!strcmp(kind, "wait4")) {
        if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 5) fail("wait4");
    } else if (!strcmp(kind, "waitid")) {
        if (waitid(P_PID, child, &ended, WEXITED) || ended.si_status != 5) fail("waitid");
    } else if (!strcmp(kind, "pipe")) {
        if (read(ends[0], &byte, 1) != 1) fail("read");
    } else if (!strcmp(kind, "full")) {
        if (write(ends[1], block, sizeof block) != sizeof block) fail("write");
        if (ioctl(ends[0], FIONREAD, &status) || status != capacity) fail("written twice");
    } else if (!strncmp(kind, "unix", 4)) {
        if (recv(ends[0], &byte, 1, 0) != 1) fail("recv");
    } else if (!strcmp(kind, "join")) {
        if (pthread_create(&thread, NULL, joined, NULL)) fail("pthread_create");
        if (pthread_join(thread, NULL)) fail("pthread_join");
    } else if (!strcmp(kind, "registers")) {
        by_hand();
    } else if (sem_wait(&shared->posted)) {
        fail("sem_wait");
    }
}

static void posix_timers(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec later = {.it_value = {600, 0}};
    timer_t first, second;
    if (timer_create(CLOCK_MONOTONIC, &event, &first)) fail("timer_create");
    if (timer_create(CLOCK_REALTIME, &event, &second)) fail("timer_create");
    if (timer_settime(second, 0, &later, NULL)) fail("timer_settime");
}

int main(int count, char **words) {
    struct itimerval long_time = {{0, 0}, {600, 0}}, off = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = strike, .sa_flags = SA_RESTART};
    if (count != 3) return 2;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || sem_init(&shared->posted, 1, 0)) fail("start");
    if (strncmp(words[1], "unix", 4)) {
        if (pipe(ends)) fail("pipe");
    } else if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) {
        fail("socketpair");
    }
    if (!strcmp(words[1], "full")) {
        capacity = fcntl(ends[1], F_GETPIPE_SZ);
        for (int filled = 0; filled < capacity; filled += sizeof block)
            if (write(ends[1], block, sizeof block) != sizeof block) fail("fill");
    }
    if (!strcmp(words[1], "unix_timed")) {
        struct timeval minutes = {600, 0};
        if (setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &minutes, sizeof minutes)) fail("timeout");
    }
    sigaction(SIGUSR1, &action, NULL);
    if (!strcmp(words[2], "ran")) {
        struct itimerval soon = {{0, 0}, {0, 1000}};
        sigaction(SIGALRM, &action, NULL);
        setitimer(ITIMER_REAL, &soon, NULL);
        while (!struck) usleep(1000);
        signal(SIGALRM, SIG_DFL);
    }
    if (!strcmp(words[2], "again")) long_time.it_interval.tv_sec = 1;
    if (!strcmp(words[2], "posix")) posix_timers();
    else if (strcmp(words[2], "none") && strcmp(words[2], "ran"))
        setitimer(ITIMER_REAL, &long_time, NULL);
    if (!strcmp(words[2], "off")) setitimer(ITIMER_REAL, &off, NULL);
    for (;;) {
        printf("ready %d\n", getpid());
        fflush(stdout);
        rest(words[1]);
    }
}
