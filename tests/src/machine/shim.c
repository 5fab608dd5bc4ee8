/* Loaded before libc by LD_PRELOAD: calls on chosen files fail on demand, and the wall clock can be set.
 *
 * SHIM_RULES names a file, read again at every call, of lines
 *     write <errno> <part of a path>      write, pwrite, writev, pwritev
 *     sync <errno> <part of a path>       fsync, fdatasync
 *     allocate <errno> <part of a path>   fallocate, posix_fallocate
 *     hold 1 <part of a path>             fsync, fdatasync do not return while the rule is there
 *     clock <seconds> -                   added to the time of day; the monotonic clock is left alone
 * An empty or missing file changes nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The rules, or nothing. Bare system calls: the wrappers below must not meet themselves. */
static int rules(char *text, size_t room) {
    const char *path = getenv("SHIM_RULES");
    if (!path) return 0;
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    long got = syscall(SYS_read, fd, text, room - 1);
    syscall(SYS_close, fd);
    if (got <= 0) return 0;
    text[got] = 0;
    return 1;
}

/* The errno that a call on this descriptor must fail with; zero for none. */
static int fails(const char *what, int fd) {
    int kept = errno;
    char text[1024], link[64], path[1024];
    int found = 0;
    if (rules(text, sizeof text)) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
        if (length > 0) {
            path[length] = 0;
            char *rest = text, *line;
            while (!found && (line = strsep(&rest, "\n"))) {
                char op[16], part[512];
                int number;
                if (sscanf(line, "%15s %d %511s", op, &number, part) == 3 && !strcmp(op, what) && strstr(path, part))
                    found = number;
            }
        }
    }
    errno = kept;
    return found;
}

/* Does not return while a rule says so. */
static void hold(int fd) {
    while (fails("hold", fd)) usleep(5000);
}

static long offset(void) {
    int kept = errno;
    char text[1024];
    long seconds = 0;
    if (rules(text, sizeof text)) {
        char *rest = text, *line;
        while ((line = strsep(&rest, "\n"))) sscanf(line, "clock %ld", &seconds);
    }
    errno = kept;
    return seconds;
}

#define GUARD(what, fd) do { int why = fails(what, fd); if (why) { errno = why; return -1; } } while (0)

ssize_t write(int fd, const void *from, size_t n) { GUARD("write", fd); return NEXT(write)(fd, from, n); }
ssize_t pwrite(int fd, const void *from, size_t n, off_t at) { GUARD("write", fd); return NEXT(pwrite)(fd, from, n, at); }
ssize_t pwrite64(int fd, const void *from, size_t n, off64_t at) { GUARD("write", fd); return NEXT(pwrite64)(fd, from, n, at); }
ssize_t writev(int fd, const struct iovec *v, int n) { GUARD("write", fd); return NEXT(writev)(fd, v, n); }
ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at) { GUARD("write", fd); return NEXT(pwritev)(fd, v, n, at); }
int fsync(int fd) { hold(fd); GUARD("sync", fd); return NEXT(fsync)(fd); }
int fdatasync(int fd) { hold(fd); GUARD("sync", fd); return NEXT(fdatasync)(fd); }
int fallocate(int fd, int mode, off_t at, off_t n) { GUARD("allocate", fd); return NEXT(fallocate)(fd, mode, at, n); }
int fallocate64(int fd, int mode, off64_t at, off64_t n) { GUARD("allocate", fd); return NEXT(fallocate64)(fd, mode, at, n); }

int clock_gettime(clockid_t which, struct timespec *out) {
    int done = NEXT(clock_gettime)(which, out);
    if (!done && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) out->tv_sec += offset();
    return done;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    int done = NEXT(gettimeofday)(out, zone);
    if (!done) out->tv_sec += offset();
    return done;
}
