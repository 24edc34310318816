/* Waits of many kinds, each by its name. Prints `ready`, and the numbers that a test asks for. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t *lock = &mutex;
static pthread_barrier_t taken;
static pid_t other;

static pid_t self(void) { return syscall(SYS_gettid); }

static void ready(pid_t number) {
  printf("ready %d\n", number);
  fflush(stdout);
}

static void *hold(void *unused) {
  pthread_mutex_lock(lock);
  other = self();
  pthread_barrier_wait(&taken);
  pause();
  return unused;
}

static void *idle(void *unused) {
  other = self();
  pthread_barrier_wait(&taken);
  pause();
  return unused;
}

static pthread_t start(void *(*work)(void *)) {
  pthread_t thread;
  pthread_barrier_init(&taken, NULL, 2);
  pthread_create(&thread, NULL, work, NULL);
  pthread_barrier_wait(&taken);
  return thread;
}

static void of_mutex(int type, int protocol, int robust, int shared, int timed) {
  pthread_mutexattr_t how;
  pthread_mutexattr_init(&how);
  pthread_mutexattr_settype(&how, type);
  pthread_mutexattr_setprotocol(&how, protocol);
  pthread_mutexattr_setrobust(&how, robust);
  pthread_mutexattr_setpshared(&how, shared);
  pthread_mutex_init(lock, &how);
  start(hold);
  ready(other);
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 600;
  if (timed)
    pthread_mutex_timedlock(lock, &until);
  else
    pthread_mutex_lock(lock);
}

static void *mapped(int flags) {
  return mmap(NULL, 4096, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
}

/* A mutex in memory that a child maps too, which holds it. */
static void of_another_process(int robust) {
  lock = mapped(MAP_SHARED);
  int told[2];
  if (pipe(told)) exit(3);
  pthread_mutexattr_t how;
  pthread_mutexattr_init(&how);
  pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&how, robust);
  pthread_mutex_init(lock, &how);
  pid_t child = fork();
  if (child == 0) {
    pthread_mutex_lock(lock);
    if (write(told[1], "x", 1) != 1) exit(3);
    pause();
  }
  char one;
  if (read(told[0], &one, 1) != 1) exit(3);
  ready(child);
  pthread_mutex_lock(lock);
}

static void once_more(void) {
  ready(self());
  pthread_mutex_lock(lock);
  pthread_mutex_lock(lock);
}

static void joins(void) {
  pthread_t thread = start(idle);
  ready(other);
  pthread_join(thread, NULL);
}

static void condition(void) {
  static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  pthread_mutex_lock(lock);
  ready(0);
  for (;;) pthread_cond_wait(&cond, lock);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void *writes(void *unused) {
  pthread_rwlock_wrlock(&rwlock);
  return idle(unused);
}

static void reads(void) {
  start(writes);
  ready(0);
  pthread_rwlock_rdlock(&rwlock);
}

static void semaphore(int shared) {
  sem_t *one = mapped(shared ? MAP_SHARED : MAP_PRIVATE);
  sem_init(one, shared, 0);
  pid_t child = shared ? fork() : 0;
  if (shared && child == 0) pause();
  ready(child);
  sem_wait(one);
}

static void futex_on_stack(void) {
  uint32_t word = 7;
  ready(0);
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 7, NULL, NULL, 0);
}

static void futex_without_private(void) {
  static uint32_t word = 7;
  ready(0);
  syscall(SYS_futex, &word, FUTEX_WAIT, 7, NULL, NULL, 0);
}

static void vector(void) {
  static uint32_t words[2] = {7, 8};
  struct { uint64_t value, address; uint32_t flags, reserved; } waits[2];
  for (int i = 0; i < 2; i++) {
    waits[i].value = words[i];
    waits[i].address = (uintptr_t)&words[i];
    waits[i].flags = 2 | 128;
    waits[i].reserved = 0;
  }
  ready(0);
  syscall(449, waits, 2, 0, NULL, 0);
}

/* Waits for a lock on a file that a child holds. */
static void file_lock(const char *how, const char *path) {
  int told[2];
  if (pipe(told)) exit(3);
  pid_t child = fork();
  int file = open(path, O_RDWR | O_CREAT, 0600);
  struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
  int set = strcmp(how, "fcntl") == 0 ? F_SETLKW : F_OFD_SETLKW;
  if (child == 0) {
    if (strcmp(how, "flock") == 0) flock(file, LOCK_EX); else fcntl(file, set, &range);
    if (write(told[1], "x", 1) != 1) exit(3);
    pause();
  }
  char one;
  if (read(told[0], &one, 1) != 1) exit(3);
  ready(child);
  if (strcmp(how, "flock") == 0) flock(file, LOCK_EX); else fcntl(file, set, &range);
}

/* The process that took the lock has ended; its child has the file open still, and so the lock. */
static void inherited_lock(const char *path) {
  int told[2];
  if (pipe(told)) exit(3);
  if (fork() == 0) {
    int file = open(path, O_RDWR | O_CREAT, 0600);
    flock(file, LOCK_EX);
    pid_t child = fork();
    if (child == 0) pause();
    if (write(told[1], &child, sizeof child) != sizeof child) exit(3);
    exit(0);
  }
  wait(NULL);
  pid_t child;
  if (read(told[0], &child, sizeof child) != sizeof child) exit(3);
  int file = open(path, O_RDWR | O_CREAT, 0600);
  ready(child);
  flock(file, LOCK_EX);
}

/* `how` waits for the first of: one file that never comes, and a pipe that a child can write to. */
static void set(const char *how) {
  int ends[2], none = eventfd(0, 0);
  if (pipe(ends)) exit(3);
  pid_t child = fork();
  if (child == 0) { close(ends[0]); pause(); }
  close(ends[1]);
  ready(child);
  if (strncmp(how, "poll", 4) == 0) {
    struct pollfd each[2] = {{none, POLLIN, 0}, {ends[0], POLLIN, 0}};
    poll(each, 2, -1);
  } else if (strncmp(how, "select", 6) == 0) {
    fd_set reads;
    FD_ZERO(&reads);
    FD_SET(none, &reads);
    FD_SET(ends[0], &reads);
    select(ends[0] + none + 1, &reads, NULL, NULL, NULL);
  } else {
    int inner = epoll_create1(0), outer = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(inner, EPOLL_CTL_ADD, none, &event);
    epoll_ctl(inner, EPOLL_CTL_ADD, ends[0], &event);
    epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event);
    epoll_wait(strcmp(how, "nested") == 0 ? outer : inner, &event, 1, -1);
  }
}

static void event_of_child(void) {
  int file = eventfd(0, 0);
  eventfd(0, 0);
  pid_t child = fork();
  if (child == 0) pause();
  ready(child);
  uint64_t value;
  if (read(file, &value, 8) != 8) exit(3);
}

static void end_of_child(void) {
  pid_t child = fork();
  if (child == 0) pause();
  struct pollfd one = {syscall(434, child, 0), POLLIN, 0};
  ready(child);
  poll(&one, 1, -1);
}

static void read_from(int file) {
  char some[512];
  ready(0);
  if (read(file, some, sizeof some) < 0) exit(3);
}

static int watching(const char *path) {
  int file = inotify_init();
  inotify_add_watch(file, path, IN_MODIFY);
  return file;
}

static int signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, NULL);
  return signalfd(-1, &set, 0);
}

static int timer(void) {
  struct itimerspec later = {.it_value = {600, 0}};
  int file = timerfd_create(CLOCK_MONOTONIC, 0);
  timerfd_settime(file, 0, &later, NULL);
  return file;
}

static void open_fifo(const char *path) {
  mkfifo(path, 0600);
  ready(0);
  open(path, O_RDONLY);
}

static void read_fifo(const char *path) {
  mkfifo(path, 0600);
  int ours = open(path, O_RDWR);
  read_from(ours);
}

static void own_pipe(void) {
  int ends[2];
  if (pipe(ends)) exit(3);
  read_from(ends[0]);
}

static void own_pair(void) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) exit(3);
  read_from(ends[0]);
}

static void pair(void) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) exit(3);
  pid_t child = fork();
  close(ends[child == 0 ? 0 : 1]);
  if (child == 0) pause();
  ready(child);
  char some[8];
  if (read(ends[0], some, 8) < 0) exit(3);
}

/* The child does not read what its parent sends. */
static void fills(void) {
  int ends[2];
  static char much[1 << 20];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) exit(3);
  pid_t child = fork();
  close(ends[child == 0 ? 0 : 1]);
  if (child == 0) pause();
  ready(child);
  if (send(ends[0], much, sizeof much, 0) < 0) exit(3);
}

static void accepts(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  int file = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(file, (void *)&address, sizeof address) || listen(file, 5)) exit(3);
  ready(0);
  accept(file, NULL, NULL);
}

int main(int count, char **words) {
  const char *how = count > 1 ? words[1] : "", *path = count > 2 ? words[2] : "";
  int n = PTHREAD_PRIO_NONE, s = PTHREAD_MUTEX_STALLED, p = PTHREAD_PROCESS_PRIVATE;
#define IS(name) (strcmp(how, name) == 0)
  if (IS("normal")) of_mutex(PTHREAD_MUTEX_NORMAL, n, s, p, 0);
  if (IS("recursive")) of_mutex(PTHREAD_MUTEX_RECURSIVE, n, s, p, 0);
  if (IS("errorcheck")) of_mutex(PTHREAD_MUTEX_ERRORCHECK, n, s, p, 0);
  if (IS("adaptive")) of_mutex(PTHREAD_MUTEX_ADAPTIVE_NP, n, s, p, 0);
  if (IS("timed")) of_mutex(PTHREAD_MUTEX_NORMAL, n, s, p, 1);
  if (IS("pi")) of_mutex(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, s, p, 0);
  if (IS("robust")) of_mutex(PTHREAD_MUTEX_NORMAL, n, PTHREAD_MUTEX_ROBUST, p, 0);
  if (IS("shared-flag")) of_mutex(PTHREAD_MUTEX_NORMAL, n, s, PTHREAD_PROCESS_SHARED, 0);
  if (IS("shared-mutex")) of_another_process(PTHREAD_MUTEX_STALLED);
  if (IS("shared-robust")) of_another_process(PTHREAD_MUTEX_ROBUST);
  if (IS("itself")) once_more();
  if (IS("join")) joins();
  if (IS("condition")) condition();
  if (IS("rwlock")) reads();
  if (IS("semaphore")) semaphore(0);
  if (IS("shared-semaphore")) semaphore(1);
  if (IS("stack")) futex_on_stack();
  if (IS("plain")) futex_without_private();
  if (IS("vector")) vector();
  if (IS("flock") || IS("fcntl") || IS("ofd")) file_lock(how, path);
  if (IS("inherited")) inherited_lock(path);
  if (IS("poll") || IS("select") || IS("epoll") || IS("nested")) set(how);
  if (IS("eventfd")) event_of_child();
  if (IS("pidfd")) end_of_child();
  if (IS("own-eventfd")) read_from(eventfd(0, 0));
  if (IS("timerfd")) read_from(timer());
  if (IS("signalfd")) read_from(signals());
  if (IS("inotify")) read_from(watching(path));
  if (IS("open-fifo")) open_fifo(path);
  if (IS("fifo")) read_fifo(path);
  if (IS("own-pipe")) own_pipe();
  if (IS("own-pair")) own_pair();
  if (IS("pair")) pair();
  if (IS("fills")) fills();
  if (IS("accept")) accepts(path);
  return 1;
}
