/* Preloaded into the gateway by tests: makes system calls fail on chosen files, moves the clock, or
 * ends the process before a chosen change of a directory. A control file that is mapped into memory
 * says what; the test rewrites it while the gateway runs. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    int32_t error;        /* errno of failing calls; 0 is no fault */
    int32_t kill_at;      /* the how-manieth change of a directory is the end; 0 is none */
    int64_t clock_offset; /* seconds */
    char part[240];       /* part of the paths that fail; `$` at its end stands for theirs */
    int32_t hang;         /* while it is not 0, changing files with such paths waits */
};

static volatile struct control *control;
static int changes;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_CONTROL");
    int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int fd = path ? real_open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *control, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        control = map;
}

static int matches(const char *path) {
    char part[sizeof control->part];
    for (size_t at = 0; at < sizeof part; at++)
        part[at] = control->part[at];
    part[sizeof part - 1] = 0;
    size_t length = strlen(part);
    if (length && part[length - 1] == '$') {
        part[--length] = 0;
        size_t all = strlen(path);
        return all >= length && !strcmp(path + all - length, part);
    }
    return length && strstr(path, part);
}

static int path_fails(const char *path) {
    if (!control || !control->error || !path || !matches(path))
        return 0;
    errno = control->error;
    return 1;
}

static int fd_fails(int fd) {
    if (!control || (!control->error && !control->hang))
        return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    while (control->hang && matches(path))
        usleep(20000);
    return path_fails(path);
}

static void change(void) {
    if (control && control->kill_at && ++changes == control->kill_at)
        _exit(137);
}

#define REAL(result, name, ...)                                   \
    static result (*real)(__VA_ARGS__);                           \
    if (!real)                                                    \
    real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define ON_FD(result, name, parameters, arguments, ...)           \
    result name parameters {                                      \
        REAL(result, name, __VA_ARGS__);                          \
        return fd_fails(fd) ? -1 : real arguments;                \
    }

ON_FD(ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size), int, const void *, size_t)
ON_FD(ssize_t, pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at), int, const void *, size_t, off_t)
ON_FD(ssize_t, pwrite64, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at), int, const void *, size_t, off64_t)
ON_FD(ssize_t, writev, (int fd, const struct iovec *from, int count), (fd, from, count), int, const struct iovec *, int)
ON_FD(ssize_t, copy_file_range, (int from, off64_t *at, int fd, off64_t *to, size_t size, unsigned flags), (from, at, fd, to, size, flags), int, off64_t *, int, off64_t *, size_t, unsigned)
ON_FD(int, fsync, (int fd), (fd), int)
ON_FD(int, fdatasync, (int fd), (fd), int)
ON_FD(int, ftruncate, (int fd, off_t size), (fd, size), int, off_t)
ON_FD(int, ftruncate64, (int fd, off64_t size), (fd, size), int, off64_t)
ON_FD(int, fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size), int, int, off_t, off_t)

#define ON_OPEN(name)                                             \
    int name(const char *path, int flags, ...) {                  \
        REAL(int, name, const char *, int, ...);                  \
        va_list rest;                                             \
        va_start(rest, flags);                                    \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                             \
        if ((flags & O_CREAT) && access(path, F_OK) && path_fails(path)) \
            return -1;                                            \
        return real(path, flags, mode);                           \
    }

ON_OPEN(open)
ON_OPEN(open64)

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    change();
    return path_fails(path) ? -1 : real(path, mode);
}

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    change();
    return path_fails(to) ? -1 : real(from, to);
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    change();
    return real(path);
}

int unlinkat(int at, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    change();
    return real(at, path, flags);
}

int rmdir(const char *path) {
    REAL(int, rmdir, const char *);
    change();
    return real(path);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int result = real(clock, now);
    if (!result && control && clock == CLOCK_REALTIME)
        now->tv_sec += control->clock_offset;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    REAL(int, gettimeofday, struct timeval *, void *);
    int result = real(now, zone);
    if (!result && control)
        now->tv_sec += control->clock_offset;
    return result;
}

time_t time(time_t *out) {
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
