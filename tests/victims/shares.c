/* A process that shares the memory, and is no thread, opens the gate that the first one waits at: a
 * child, or with a second argument one beside it. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic int gate;

static long futex(int operation, int value)
{
    return syscall(SYS_futex, &gate, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static int opens(void *seconds)
{
    sleep(*(unsigned *)seconds);
    atomic_store(&gate, 1);
    futex(FUTEX_WAKE, 1);
    return 0;
}

int main(int count, char **arguments)
{
    unsigned seconds = count > 1 ? atoi(arguments[1]) : 1;
    int kin = count > 2 ? CLONE_PARENT : 0;
    size_t size = 1 << 16;
    char *stack = malloc(size);

    for (int step = 0; step < 4; step++) {
        printf("step %d loss %d.5\n", step, 9 - step);
        fflush(stdout);
        usleep(200000);
    }
    if (clone(opens, stack + size, CLONE_VM | SIGCHLD | kin, &seconds) < 0)
        return 1;
    while (!atomic_load(&gate))
        futex(FUTEX_WAIT, 0);
    printf("step 4 loss 5.5\n");
    return 0;
}
