/* The calls of macOS's libproc and libSystem that the harness makes, answered live from Linux's /proc.
 *
 * Tests compile it and load it in the place of both libraries. Its structures are declared here anew, as
 * XNU's public headers have them, so that they check those of the harness.
 *
 * $DARWIN_REFUSES: what is refused, as a list of words: task, ids, threads, rusage, children, users, files,
 *                  pipes, sockets, paths, pages, swap, ticks.
 * $DARWIN_LIES:    what is answered wrongly (lies.h).
 * $DARWIN_ROSETTA: the one that asks is translated, and is told the ticks of Intel.
 * $DARWIN_COUNTS:  a file to which each call of libproc adds one byte.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lies.h"

#define TID_BASE 5000000000ULL /* a thread has another number than its process, and needs 64 bits */
#define NUMER 125
#define DENOM 3
#define PAGE 16384

struct bsd {
  uint32_t flags, status, xstatus, pid, ppid, uid, gid, ruid, rgid, svuid, svgid, rfu;
  char comm[16], name[32];
  uint32_t nfiles, pgid, pjobc, tdev, tpgid;
  int32_t nice;
  uint64_t start_sec, start_usec;
};
struct task {
  uint64_t virtual, resident, total_user, total_system, threads_user, threads_system;
  int32_t policy, faults, pageins, cow, sent, received, mach, unix_calls, csw, threads, running, priority;
};
struct all { struct bsd bsd; struct task task; };
struct thread {
  uint64_t user, system;
  int32_t usage, policy, run_state, flags, sleep, curpri, priority, maxpriority;
  char name[64];
};
struct fd { int32_t number; uint32_t type; };
struct pipe_answer {
  char file[24], stat[136];
  uint64_t handle, peer;
  int32_t status, rfu;
};
struct buffer { uint32_t cc, hiwat, mbcnt, mbmax, lowat; int16_t flags, timeo; };
struct internet {
  int32_t fport, lport;
  uint64_t gencnt;
  uint32_t flags, flow;
  uint8_t vflag, ttl;
  uint32_t rfu;
  uint8_t faddr[16], laddr[16], rest[16];
};
struct socket_answer {
  uint32_t openflags;
  char file[20], stat[136];
  uint64_t so, pcb;
  int32_t type, protocol, family;
  int16_t options, linger, state, qlen, incqlen, qlimit, timeo;
  uint16_t error;
  uint32_t oobmark;
  struct buffer rcv, snd;
  int32_t kind;
  uint32_t rfu;
  union {
    struct { struct internet in; int32_t state; char rest[36]; } tcp;
    struct { uint64_t conn_so, conn_pcb; char address[255], other[255]; } un;
  } of;
};
struct path_answer { char file[24], stat[136]; int32_t type, pad, system[2]; char path[1024]; };
_Static_assert(sizeof(struct socket_answer) == 792, "as XNU's socket_fdinfo");
_Static_assert(sizeof(struct path_answer) == 1200, "as XNU's vnode_fdinfowithpath");

struct line { char name[64], state; long ppid, user, system, minor, major, start, rss, pgrp, terminal, front; };

static int refused(const char *word) {
  const char *list = getenv("DARWIN_REFUSES");
  return list != NULL && strstr(list, word) != NULL;
}

static void counted(void) {
  const char *path = getenv("DARWIN_COUNTS");
  if (path == NULL) return;
  int file = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (file >= 0) { if (write(file, ".", 1) != 1) abort(); close(file); }
}

static int slurp(const char *path, char *text, size_t room) {
  int file = open(path, O_RDONLY);
  if (file < 0) return -1;
  ssize_t got = read(file, text, room - 1);
  close(file);
  if (got < 0) return -1;
  text[got] = 0;
  return (int)got;
}

static int stat_of(const char *path, struct line *out) {
  char text[2048];
  if (slurp(path, text, sizeof text) <= 0) return -1;
  char *open_ = strchr(text, '('), *close_ = strrchr(text, ')');
  if (open_ == NULL || close_ == NULL) return -1;
  snprintf(out->name, sizeof out->name, "%.*s", (int)(close_ - open_ - 1), open_ + 1);
  long f[24] = {0};
  char *rest = close_ + 2;
  out->state = *rest;
  rest++;
  for (int i = 1; i < 24 && *rest; i++) f[i] = strtol(rest, &rest, 10);
  out->ppid = f[1]; out->pgrp = f[2]; out->terminal = f[4]; out->front = f[5]; out->minor = f[7]; out->major = f[9];
  out->user = f[11]; out->system = f[12]; out->start = f[19]; out->rss = f[21];
  return 0;
}

static long figure(const char *path, const char *label) {
  char text[8192];
  if (slurp(path, text, sizeof text) <= 0) return 0;
  char *at = strstr(text, label);
  return at == NULL ? 0 : strtol(at + strlen(label), NULL, 10);
}

static uint64_t mach(long hundredths) { return (uint64_t)hundredths * 10000000ULL * DENOM / NUMER; }

static int threads_of(int pid, long *tids, int room) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *folder = opendir(path);
  if (folder == NULL) return -1;
  int found = 0;
  struct dirent *entry;
  while ((entry = readdir(folder)) != NULL)
    if (isdigit((unsigned char)entry->d_name[0]) && found < room) tids[found++] = atol(entry->d_name);
  closedir(folder);
  return found;
}

/* Hundredths of a second since 1970 at which the machine has started: the same for one process. */
static uint64_t booted(void) {
  static uint64_t known;
  struct timespec now, up;
  if (known == 0 && clock_gettime(CLOCK_REALTIME, &now) == 0 && clock_gettime(CLOCK_BOOTTIME, &up) == 0)
    known = (uint64_t)((now.tv_sec - up.tv_sec) * 100 + (now.tv_nsec - up.tv_nsec) / 10000000);
  return known;
}

static int fill_bsd(int pid, struct bsd *out) {
  char path[64];
  struct line line;
  struct stat owner;
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  if (stat_of(path, &line) != 0 || stat(path, &owner) != 0) { errno = ESRCH; return -1; }
  memset(out, 0, sizeof *out);
  out->status = line.state == 'Z' ? 5 : line.state == 'T' || line.state == 't' ? 4 : 2;
  out->flags = line.state == 't' ? 2 : 0;
  out->pid = (uint32_t)pid; out->ppid = (uint32_t)line.ppid; out->pgid = (uint32_t)line.pgrp;
  if (line.terminal) { out->tdev = (uint32_t)line.terminal; out->tpgid = (uint32_t)line.front; }
  out->uid = owner.st_uid;
  snprintf(out->comm, sizeof out->comm, "%.15s", line.name);
  snprintf(out->name, sizeof out->name, "%.31s", line.name);
  uint64_t started = booted() + (uint64_t)line.start;
  out->start_sec = started / 100; out->start_usec = started % 100 * 10000;
  return 0;
}

static int fill_task(int pid, struct task *out) {
  char path[96];
  struct line line;
  long tids[4096];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  if (stat_of(path, &line) != 0) return -1;
  memset(out, 0, sizeof *out);
  out->resident = (uint64_t)line.rss * 4096;
  out->total_user = mach(line.user); out->total_system = mach(line.system);
  out->faults = (int32_t)(line.minor + line.major); out->pageins = (int32_t)line.major;
  out->threads = threads_of(pid, tids, 4096);
  for (int i = 0; i < out->threads; i++) {
    struct line each;
    snprintf(path, sizeof path, "/proc/%d/task/%ld/stat", pid, tids[i]);
    if (stat_of(path, &each) == 0 && each.state == 'R') out->running++;
    snprintf(path, sizeof path, "/proc/%d/task/%ld/status", pid, tids[i]);
    int32_t waits = (int32_t)figure(path, "\nvoluntary_ctxt_switches:");
    out->unix_calls += waits; /* each of them is a call at least */
    out->csw += waits + (int32_t)figure(path, "\nnonvoluntary_ctxt_switches:");
  }
  return 0;
}

static int fill_thread(int pid, long tid, struct thread *out) {
  char path[96];
  struct line line;
  snprintf(path, sizeof path, "/proc/%d/task/%ld/stat", pid, tid);
  if (stat_of(path, &line) != 0) return -1;
  memset(out, 0, sizeof *out);
  /* To the microsecond, as XNU tells it. What it spends in the kernel is known to 10 ms here. */
  snprintf(path, sizeof path, "/proc/%d/task/%ld/schedstat", pid, tid);
  uint64_t ran = (uint64_t)figure(path, "") / 1000 * 1000, kernel = (uint64_t)line.system * 10000000ULL;
  if (ran == 0) ran = (uint64_t)(line.user + line.system) * 10000000ULL; /* not every Linux counts it */
  if (ran == 0) ran = 1000; /* who is there has run */
  out->system = kernel < ran ? kernel : ran;
  out->user = ran - out->system;
  out->run_state = line.state == 'R' ? 1 : line.state == 'D' ? 4 : line.state == 'Z' ? 5
                 : line.state == 'T' || line.state == 't' ? 2 : 3;
  snprintf(out->name, sizeof out->name, "%.63s", line.name);
  return 0;
}

static int list_files(int pid, struct fd *out, int size) {
  char path[64], target[256], each[128];
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR *folder = opendir(path);
  if (folder == NULL) { errno = EPERM; return 0; }
  int found = 0, room = size / (int)sizeof *out;
  struct dirent *entry;
  while ((entry = readdir(folder)) != NULL) {
    if (!isdigit((unsigned char)entry->d_name[0])) continue;
    if (out != NULL && found < room) {
      snprintf(each, sizeof each, "%s/%.20s", path, entry->d_name);
      ssize_t got = readlink(each, target, sizeof target - 1);
      target[got < 0 ? 0 : got] = 0;
      out[found].number = atoi(entry->d_name);
      out[found].type = strncmp(target, "pipe:", 5) == 0 ? 6 : strncmp(target, "socket:", 7) == 0 ? 2
                        : strncmp(target, "anon_inode:", 11) == 0 ? 5 : 1;
    }
    found++;
  }
  closedir(folder);
  if (out == NULL) return (found + 20) * (int)sizeof(struct fd);
  return (found < room ? found : room) * (int)sizeof *out;
}

static int true_pidinfo(int pid, int flavor, uint64_t argument, void *buffer, int size) {
  if (flavor == 3 && size >= (int)sizeof(struct bsd)) {
    struct bsd *out = buffer;
    if (refused("task") || fill_bsd(pid, out) != 0) return 0;
    return out->status == 5 && !argument ? 0 : (int)sizeof *out;
  }
  if (flavor == 2 && size >= (int)sizeof(struct all)) {
    struct all *out = buffer;
    if (refused("task") || fill_bsd(pid, &out->bsd) != 0 || fill_task(pid, &out->task) != 0) return 0;
    return out->bsd.status == 5 ? 0 : (int)sizeof *out;
  }
  if (flavor == 28 || flavor == 6) {
    long tids[4096];
    uint64_t *out = buffer;
    if (refused("threads") || (flavor == 28 && refused("ids"))) { errno = EPERM; return 0; }
    int found = threads_of(pid, tids, 4096), room = size / 8;
    if (found < 0) { errno = ESRCH; return 0; }
    if (found > room) found = room;
    for (int i = 0; i < found; i++) out[i] = (uint64_t)tids[i] + (flavor == 28 ? TID_BASE : 2 * TID_BASE);
    return found * 8;
  }
  if ((flavor == 15 || flavor == 5) && size >= (int)sizeof(struct thread)) {
    uint64_t base = flavor == 15 ? TID_BASE : 2 * TID_BASE;
    if (refused("threads") || argument < base || fill_thread(pid, (long)(argument - base), buffer) != 0) {
      errno = ESRCH;
      return 0;
    }
    return (int)sizeof(struct thread);
  }
  if (flavor == 1) return refused("files") ? 0 : list_files(pid, buffer, size);
  errno = EINVAL;
  return 0;
}

int proc_pidinfo(int pid, int flavor, uint64_t argument, void *buffer, int size) {
  counted();
  int found = true_pidinfo(pid, flavor, argument, buffer, size);
  uint64_t key = (uint64_t)pid << 40 ^ (uint64_t)flavor << 32 ^ argument;
  if (flavor == 2 || flavor == 3) return told("task", key, buffer, found, 1);
  if (flavor == 28 || flavor == 6) return told("ids", key, buffer, found, 8);
  if (flavor == 15 || flavor == 5) return told("threads", key, buffer, found, 1);
  return flavor == 1 ? told("files", key, buffer, found, (int)sizeof(struct fd)) : found;
}

/* The inode of the unix socket that another one is connected to; 0 for none. */
static uint32_t unix_peer(uint32_t inode) {
  struct { struct nlmsghdr head; struct unix_diag_req ask; } request = {
    {sizeof request, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0},
    {.sdiag_family = AF_UNIX, .udiag_states = ~0u, .udiag_ino = inode, .udiag_show = UDIAG_SHOW_PEER,
     .udiag_cookie = {~0u, ~0u}}};
  char text[4096];
  int link = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  uint32_t peer = 0;
  if (link < 0) return 0;
  ssize_t got = send(link, &request, sizeof request, 0) < 0 ? -1 : recv(link, text, sizeof text, 0);
  close(link);
  struct nlmsghdr *head = (struct nlmsghdr *)text;
  if (got < (ssize_t)NLMSG_LENGTH(sizeof(struct unix_diag_msg)) || head->nlmsg_type != SOCK_DIAG_BY_FAMILY)
    return 0;
  char *end = text + got, *at = (char *)NLMSG_DATA(head) + sizeof(struct unix_diag_msg);
  while (at + 4 <= end) {
    struct nlattr *one = (struct nlattr *)at;
    if (one->nla_len < 4) break;
    if (one->nla_type == UNIX_DIAG_PEER) memcpy(&peer, at + 4, 4);
    at += (one->nla_len + 3) & ~3;
  }
  return peer;
}

/* The two ends of the TCP socket with this inode, from a table of the kernel; 0 where it is in none. */
static int tcp_ends(uint32_t inode, struct socket_answer *out) {
  FILE *table = fopen("/proc/net/tcp", "r");
  char line[512];
  int found = 0;
  if (table == NULL) return 0;
  while (!found && fgets(line, sizeof line, table) != NULL) {
    unsigned here, hport, there, tport, state, sent, waits;
    unsigned long number;
    if (sscanf(line, " %*d: %x:%x %x:%x %x %x:%x %*s %*s %*s %*s %lu", &here, &hport, &there, &tport, &state,
               &sent, &waits, &number) != 8 || number != inode) continue;
    struct internet *in = &out->of.tcp.in;
    memcpy(in->laddr + 12, &here, 4); memcpy(in->faddr + 12, &there, 4);
    in->lport = (int32_t)(((hport & 0xff) << 8) | hport >> 8);
    in->fport = (int32_t)(((tport & 0xff) << 8) | tport >> 8);
    in->vflag = 1;
    out->of.tcp.state = state == 10 ? 1 : 4;
    out->rcv.cc = waits; out->snd.cc = sent;
    out->kind = 2; out->type = 1;
    found = 1;
  }
  fclose(table);
  return found;
}

static int socket_info(const char *target, struct socket_answer *out) {
  unsigned inode;
  if (refused("sockets") || sscanf(target, "socket:[%u]", &inode) != 1) { errno = EBADF; return 0; }
  memset(out, 0, sizeof *out);
  out->openflags = 3; out->so = inode; out->type = 1;
  if (tcp_ends(inode, out)) return (int)sizeof *out;
  out->of.un.conn_so = unix_peer(inode);
  out->kind = 3;
  return (int)sizeof *out;
}

/* How a file is open: FREAD 1, FWRITE 2. */
static uint32_t open_flags(int pid, int number) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", pid, number);
  char *flags = slurp(path, text, sizeof text) > 0 ? strstr(text, "flags:") : NULL;
  long mode = flags == NULL ? O_RDONLY : strtol(flags + 6, NULL, 8) & O_ACCMODE;
  return mode == O_RDWR ? 3 : mode == O_WRONLY ? 2 : 1;
}

static int path_info(const char *path, const char *target, uint32_t flags, struct path_answer *out) {
  struct stat found;
  if (refused("paths") || target[0] != '/' || stat(path, &found) != 0) { errno = EBADF; return 0; }
  memset(out, 0, sizeof *out);
  memcpy(out->file, &flags, 4);
  memcpy(out->stat, &(uint32_t){(uint32_t)found.st_dev}, 4);
  memcpy(out->stat + 8, &(uint64_t){found.st_ino}, 8);
  out->type = S_ISFIFO(found.st_mode) ? 7 : S_ISCHR(found.st_mode) ? 4 : S_ISDIR(found.st_mode) ? 2 : 1;
  /* A terminal has a name of its own there. */
  snprintf(out->path, sizeof out->path, "%s%s", strncmp(target, "/dev/pts/", 9) == 0 ? "/dev/ttys0" : "",
           strncmp(target, "/dev/pts/", 9) == 0 ? target + 9 : target);
  return (int)sizeof *out;
}

static int true_pidfdinfo(int pid, int number, int flavor, void *buffer, int size) {
  char path[64], target[512];
  struct pipe_answer *out = buffer;
  unsigned long inode;
  snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, number);
  ssize_t got = readlink(path, target, sizeof target - 1);
  if (got <= 0) { errno = EBADF; return 0; }
  target[got] = 0;
  if (flavor == 3 && size >= (int)sizeof(struct socket_answer)) return socket_info(target, buffer);
  if (flavor == 2 && size >= (int)sizeof(struct path_answer)) return path_info(path, target, open_flags(pid, number), buffer);
  if (refused("pipes") || flavor != 6 || size < (int)sizeof *out) { errno = EPERM; return 0; }
  if (sscanf(target, "pipe:[%lu]", &inode) != 1) { errno = EBADF; return 0; }
  memset(out, 0, sizeof *out);
  uint32_t flags = open_flags(pid, number);
  int writes = flags == 2, waits = 0, closed = 0;
  int file = open(path, (writes ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC);
  if (file >= 0) {
    struct pollfd end = {file, writes ? POLLOUT : POLLIN, 0};
    if (poll(&end, 1, 0) > 0) closed = (end.revents & (POLLHUP | POLLERR)) != 0;
    if (ioctl(file, FIONREAD, &waits) != 0) waits = 0;
    close(file);
  }
  memcpy(out->stat + 88, &(int64_t){waits}, 8);
  memcpy(out->file, &flags, 4);
  out->handle = inode * 2 + (unsigned)writes;
  out->peer = closed ? 0 : inode * 2 + (unsigned)!writes; /* XNU forgets an end that is closed */
  return (int)sizeof *out;
}

int proc_pidfdinfo(int pid, int number, int flavor, void *buffer, int size) {
  counted();
  const char *word = flavor == 2 ? "paths" : flavor == 3 ? "sockets" : "pipes";
  int found = true_pidfdinfo(pid, number, flavor, buffer, size);
  return told(word, (uint64_t)pid << 32 | (unsigned)number, buffer, found, 1);
}

static int true_listpids(uint32_t type, uint32_t parent, void *buffer, int size) {
  int *out = buffer, found = 0, room = size / (int)sizeof(int);
  if (type != 6 && type != 4) { errno = EINVAL; return 0; }
  if (refused(type == 6 ? "children" : "users")) { errno = EPERM; return 0; }
  DIR *folder = opendir("/proc");
  if (folder == NULL) return 0;
  struct dirent *entry;
  while ((entry = readdir(folder)) != NULL) {
    char path[64];
    struct line line;
    if (!isdigit((unsigned char)entry->d_name[0])) continue;
    struct stat owner;
    snprintf(path, sizeof path, "/proc/%.20s/stat", entry->d_name);
    if (stat_of(path, &line) != 0 || stat(path, &owner) != 0 || found >= room) continue;
    if (type == 6 ? line.ppid == (long)parent : owner.st_uid == parent) out[found++] = atoi(entry->d_name);
  }
  closedir(folder);
  return found * (int)sizeof(int);
}

int proc_listpids(uint32_t type, uint32_t parent, void *buffer, int size) {
  counted();
  int found = true_listpids(type, parent, buffer, size);
  return told(type == 6 ? "children" : "users", parent, buffer, found, (int)sizeof(int));
}

int proc_pid_rusage(int pid, int flavor, void *buffer) {
  counted();
  char path[64];
  struct line line;
  uint64_t *out = buffer;
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  if (refused("rusage") || flavor != 4 || stat_of(path, &line) != 0) { errno = EPERM; return -1; }
  memset(buffer, 0, 296);
  out[64 / 8] = (uint64_t)line.rss * 4096;
  out[72 / 8] = (uint64_t)line.rss * 4096;
  snprintf(path, sizeof path, "/proc/%d/io", pid);
  out[144 / 8] = (uint64_t)figure(path, "\nread_bytes:");
  out[152 / 8] = (uint64_t)figure(path, "\nwrite_bytes:");
  told("rusage", (uint64_t)pid, buffer, 296, 1);
  return 0;
}

int mach_timebase_info(uint32_t *out) {
  if (refused("ticks")) return 5;
  int intel = getenv("DARWIN_ROSETTA") != NULL;
  out[0] = intel ? 1 : NUMER; out[1] = intel ? 1 : DENOM;
  told("ticks", 0, out, 8, 1);
  return 0;
}

unsigned mach_host_self(void) { return 0x1403; }

/* As on macOS 27: it fills in more than the structure of today, and fails where there is no room for that. */
int host_statistics64(unsigned host, int flavor, void *buffer, uint32_t *count) {
  if (refused("pages") || host != 0x1403 || flavor != 4) return 4;
  if (*count < 60) return -307;
  uint32_t *out = buffer;
  memset(out, 0xff, 60 * 4);
  memset(out, 0, 152);
  out[0] = (uint32_t)(figure("/proc/meminfo", "MemFree:") / (PAGE / 1024));
  out[2] = (uint32_t)(figure("/proc/meminfo", "\nInactive:") / (PAGE / 1024));
  memcpy((char *)buffer + 40, &(uint64_t){70}, 8);  /* page-outs, */
  memcpy((char *)buffer + 96, &(uint64_t){1ULL << 33}, 8);  /* decompressions, */
  out[32] = 1000; /* and the compressor's pages */
  *count = (uint32_t)told("pages", 0, buffer, 60 * 4, 4) / 4;
  return 0;
}

int sysctlbyname(const char *name, void *out, size_t *size, void *value, size_t given) {
  (void)value; (void)given;
  if (strcmp(name, "vm.swapusage") == 0 && !refused("swap") && *size >= 32) {
    memset(out, 0, 32);
    ((uint64_t *)out)[0] = 4096ULL << 20; ((uint64_t *)out)[2] = 3ULL << 20;
    *size = (size_t)told("swap", 0, out, 32, 1);
    return 0;
  }
  if (strcmp(name, "iogpu.wired_limit_mb") == 0 && !refused("wired") && *size >= 4) {
    memset(out, 0, 4);
    *size = 4;
    return 0;
  }
  if (strcmp(name, "sysctl.proc_translated") == 0 && *size >= sizeof(int)) {
    memcpy(out, &(int){getenv("DARWIN_ROSETTA") != NULL}, sizeof(int));
    *size = sizeof(int);
    return 0;
  }
  int number = strcmp(name, "vm.pagesize") == 0 ? PAGE : strcmp(name, "kern.memorystatus_vm_pressure_level") == 0;
  if (number == 0 || *size < sizeof number) { errno = ENOENT; return -1; }
  memcpy(out, &number, sizeof number);
  *size = sizeof number;
  return 0;
}

/* KERN_PROCARGS2 of a process: the number of its arguments, its program, padding, arguments, environment.
 * That of a program in the system's folders is not told. */
int sysctl(int *names, unsigned number, void *out, size_t *size, void *value, size_t given) {
  (void)value; (void)given;
  char path[64], *text = out;
  if (number != 3 || names[0] != 1 || names[1] != 49 || refused("arguments")) { errno = EINVAL; return -1; }
  snprintf(path, sizeof path, "/proc/%d/exe", names[2]);
  size_t at = sizeof(int32_t);
  ssize_t got = readlink(path, text + at, *size - at - 4096);
  if (got <= 0) { errno = EINVAL; return -1; }
  at += (size_t)got;
  do text[at++] = 0; while (at % 8);
  int32_t arguments = 0;
  snprintf(path, sizeof path, "/proc/%d/cmdline", names[2]);
  int read_ = slurp(path, text + at, *size - at);
  for (int i = 0; i < read_; i++) arguments += text[at + (size_t)i] == 0;
  at += read_ < 0 ? 0 : (size_t)read_;
  snprintf(path, sizeof path, "/proc/%d/environ", names[2]);
  int protected_ = strncmp(text + sizeof(int32_t), "/usr/bin/", 9) == 0 || strncmp(text + sizeof(int32_t), "/bin/", 5) == 0;
  read_ = protected_ ? 0 : slurp(path, text + at, *size - at);
  at += read_ < 0 ? 0 : (size_t)read_;
  memcpy(out, &arguments, sizeof arguments);
  *size = at;
  return 0;
}
