/* Preloaded, this fails (or kills the process at) one chosen operation on files below one folder.

   Counted are the calls of libc that change something there: opening for writing, write, fsync, rename, link, unlink,
   mkdir, rmdir, truncate. `fault_arm` chooses; before it nothing is counted. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long counted, chosen = -1;
static int code, lasting;
static char said[64];

enum { KILL = -1 };

/* Count from zero; fail operation `at` with errno `with`, or kill the process there; `from_then_on` fails all after it. */
void fault_arm(const char *path, long at, int with, int from_then_on) {
    snprintf(folder, sizeof folder, "%s", path);
    counted = 0;
    chosen = at;
    code = with;
    lasting = from_then_on;
    said[0] = 0;
}

long fault_counted(void) { return counted; }

const char *fault_said(void) { return said; }

static int inside_path(int at, const char *path) {
    char whole[PATH_MAX], base[PATH_MAX] = "";
    if (!folder[0] || !path) return 0;
    if (path[0] != '/') {
        if (at == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return 0;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", at);
            ssize_t n = readlink(link, base, sizeof base - 1);
            base[n < 0 ? 0 : n] = 0;
        }
        snprintf(whole, sizeof whole, "%s/%s", base, path);
    } else {
        snprintf(whole, sizeof whole, "%s", path);
    }
    return !strncmp(whole, folder, strlen(folder));
}

static int inside_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return !strncmp(path, folder, strlen(folder));
}

/* Whether this operation is to fail; errno is set. */
static int fails(const char *name) {
    long mine = counted++;
    if (chosen < 0 || mine < chosen || (mine > chosen && !lasting)) return 0;
    if (mine == chosen) snprintf(said, sizeof said, "%s", name);
    if (code == KILL) kill(getpid(), SIGKILL);
    errno = code;
    return 1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define OPEN(name, first, at, ...)                                          \
    int name(first const char *path, int flags, ...) {                      \
        REAL(name);                                                         \
        mode_t mode = 0;                                                    \
        if (flags & (O_CREAT | O_TMPFILE)) {                                \
            va_list list;                                                   \
            va_start(list, flags);                                          \
            mode = va_arg(list, mode_t);                                    \
            va_end(list);                                                   \
        }                                                                   \
        if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && inside_path(at, path) && fails("open")) \
            return -1;                                                      \
        return real(__VA_ARGS__);                                           \
    }
#define COMMA ,
OPEN(open, , AT_FDCWD, path, flags, mode)
OPEN(open64, , AT_FDCWD, path, flags, mode)
OPEN(openat, int at COMMA, at, at, path, flags, mode)
OPEN(openat64, int at COMMA, at, at, path, flags, mode)

FILE *fopen64(const char *path, const char *mode) {
    REAL(fopen64);
    if (strpbrk(mode, "wa+") && inside_path(AT_FDCWD, path) && fails("fopen")) return NULL;
    return real(path, mode);
}

#define ON_FD(type, name, arguments, ...)                 \
    type name arguments {                                 \
        REAL(name);                                       \
        if (inside_fd(fd) && fails(#name)) return -1;     \
        return real(__VA_ARGS__);                         \
    }
ON_FD(ssize_t, write, (int fd, const void *from, size_t n), fd, from, n)
ON_FD(ssize_t, pwrite64, (int fd, const void *from, size_t n, off64_t at), fd, from, n, at)
ON_FD(ssize_t, writev, (int fd, const struct iovec *from, int n), fd, from, n)
ON_FD(ssize_t, sendfile64, (int fd, int in, off64_t *at, size_t n), fd, in, at, n)
ON_FD(ssize_t, copy_file_range, (int in, off64_t *a, int fd, off64_t *b, size_t n, unsigned f), in, a, fd, b, n, f)
ON_FD(int, fsync, (int fd), fd)
ON_FD(int, fdatasync, (int fd), fd)
ON_FD(int, ftruncate64, (int fd, off64_t n), fd, n)

#define ON_PATH(name, arguments, at, path, ...)                    \
    int name arguments {                                           \
        REAL(name);                                                \
        if (inside_path(at, path) && fails(#name)) return -1;      \
        return real(__VA_ARGS__);                                  \
    }
ON_PATH(rename, (const char *a, const char *b), AT_FDCWD, b, a, b)
ON_PATH(renameat, (int p, const char *a, int q, const char *b), q, b, p, a, q, b)
ON_PATH(link, (const char *a, const char *b), AT_FDCWD, b, a, b)
ON_PATH(linkat, (int p, const char *a, int q, const char *b, int f), q, b, p, a, q, b, f)
ON_PATH(unlink, (const char *a), AT_FDCWD, a, a)
ON_PATH(unlinkat, (int p, const char *a, int f), p, a, p, a, f)
ON_PATH(mkdir, (const char *a, mode_t m), AT_FDCWD, a, a, m)
ON_PATH(mkdirat, (int p, const char *a, mode_t m), p, a, p, a, m)
ON_PATH(rmdir, (const char *a), AT_FDCWD, a, a)
