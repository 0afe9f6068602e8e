/* Loaded into a process with LD_PRELOAD: writes down, in one order, every change that it makes below one folder.
 *
 * The real call and its record happen under one lock, so the order of the records is the order of the changes. What can
 * change a file and is not understood here becomes a record of its own (OTHER), and whoever reads the trace refuses it.
 *
 * Environment: POWER_ROOT (the folder, absolute, without links), POWER_TRACE (the file of records, appended to).
 * A record: one byte, then int32 fd, int64 a, int64 b, uint32 and uint32 (lengths), then so many bytes and so many.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ACK = 'A', BEGIN = 'B', CLOSE = 'C', LINK = 'L', MKDIR = 'M', OPEN = 'O', RENAME = 'R', RMDIR = 'D',
       SYNC = 'S', TRUNCATE = 'T', UNLINK = 'U', WRITE = 'W', OTHER = 'X' };
enum { DESCRIPTORS = 4096 };

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static int trace = -1;
static char followed[DESCRIPTORS];

#define REAL(type, name, ...)                                      \
    static type (*real)(__VA_ARGS__);                              \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static void record(char op, int fd, int64_t a, int64_t b, const void *one, size_t n, const void *two, size_t m) {
    if (trace < 0) return;
    struct __attribute__((packed)) { char op; int32_t fd; int64_t a, b; uint32_t n, m; } head = {op, fd, a, b, n, m};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)one, n}, {(void *)two, m}};
    int kept = errno;
    if (syscall(SYS_writev, trace, parts, 3) != (long)(sizeof head + n + m)) abort();
    errno = kept;
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("POWER_ROOT"), *file = getenv("POWER_TRACE");
    if (!folder || !file) return;
    root_length = strlen(strcpy(root, folder));
    trace = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (trace < 0) abort();
    unsetenv("LD_PRELOAD"); /* what this process starts is not followed */
    record(BEGIN, -1, 0, 0, 0, 0, 0, 0);
}

/* The absolute path if it lies in the folder and is none of SQLite's shared memory, which it rebuilds. */
static const char *ours(int folder, const char *path, char *whole) {
    char base[PATH_MAX] = "", self[64];
    if (path[0] != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return NULL;
        } else {
            snprintf(self, sizeof self, "/proc/self/fd/%d", folder);
            if (readlink(self, base, sizeof base - 1) < 0) return NULL;
        }
    }
    if (snprintf(whole, PATH_MAX, "%s%s%s", base, base[0] ? "/" : "", path) >= PATH_MAX) return NULL;
    size_t length = strlen(whole);
    if (strncmp(whole, root, root_length) || (whole[root_length] && whole[root_length] != '/')) return NULL;
    return length > 4 && !strcmp(whole + length - 4, "-shm") ? NULL : whole;
}

static int is_followed(int fd) { return fd >= 0 && fd < DESCRIPTORS && followed[fd]; }

static void other(const char *call, int fd) {
    if (is_followed(fd)) record(OTHER, fd, 0, 0, call, strlen(call), 0, 0);
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
    REAL(int, "openat64", int, const char *, int, ...);
    char whole[PATH_MAX];
    struct stat before;
    pthread_mutex_lock(&turn);
    const char *mine = trace < 0 ? NULL : ours(folder, path, whole);
    int kept = errno, made = mine && (flags & O_CREAT) && lstat(whole, &before) < 0;
    errno = kept;
    int fd = real(folder, path, flags, mode);
    if (fd >= DESCRIPTORS) abort();
    if (fd >= 0 && (followed[fd] = mine != NULL)) record(OPEN, fd, made, flags & O_TRUNC, mine, strlen(mine), 0, 0);
    pthread_mutex_unlock(&turn);
    return fd;
}

static mode_t mode_of(int flags, va_list more) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

#define OPENING(name, declared, folder, flags)         \
    int name declared {                                \
        va_list more;                                  \
        va_start(more, flags);                         \
        mode_t mode = mode_of(flags, more);            \
        va_end(more);                                  \
        return opened(folder, path, flags, mode);      \
    }
OPENING(open, (const char *path, int flags, ...), AT_FDCWD, flags)
OPENING(open64, (const char *path, int flags, ...), AT_FDCWD, flags)
OPENING(openat, (int folder, const char *path, int flags, ...), folder, flags)
OPENING(openat64, (int folder, const char *path, int flags, ...), folder, flags)
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* A call on a descriptor whose success is one record. */
#define CALL(type, name, declared, given, types, op, a, b, data, length)                     \
    type name declared {                                                                     \
        REAL(type, #name, types);                                                            \
        pthread_mutex_lock(&turn);                                                           \
        type done = real given;                                                              \
        if (done >= 0 && is_followed(fd)) record(op, fd, a, b, data, length, 0, 0);          \
        pthread_mutex_unlock(&turn);                                                         \
        return done;                                                                         \
    }
#define TYPES(...) __VA_ARGS__
CALL(ssize_t, pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at),
     TYPES(int, const void *, size_t, off_t), WRITE, at, 0, from, done)
CALL(ssize_t, pwrite64, (int fd, const void *from, size_t n, off64_t at), (fd, from, n, at),
     TYPES(int, const void *, size_t, off64_t), WRITE, at, 0, from, done)
CALL(int, ftruncate, (int fd, off_t to), (fd, to), TYPES(int, off_t), TRUNCATE, to, 0, 0, 0)
CALL(int, ftruncate64, (int fd, off64_t to), (fd, to), TYPES(int, off64_t), TRUNCATE, to, 0, 0, 0)
CALL(int, fsync, (int fd), (fd), TYPES(int), SYNC, 0, 0, 0, 0)
CALL(int, fdatasync, (int fd), (fd), TYPES(int), SYNC, 0, 0, 0, 0)

ssize_t write(int fd, const void *from, size_t n) {
    REAL(ssize_t, "write", int, const void *, size_t);
    pthread_mutex_lock(&turn);
    ssize_t done = real(fd, from, n);
    if (done >= 0 && fd == 1) record(ACK, fd, 0, 0, from, done, 0, 0);
    /* Behind the write, so that a file opened for appending is right as well. */
    if (done >= 0 && is_followed(fd)) record(WRITE, fd, lseek(fd, 0, SEEK_CUR) - done, 0, from, done, 0, 0);
    pthread_mutex_unlock(&turn);
    return done;
}

int close(int fd) {
    REAL(int, "close", int);
    pthread_mutex_lock(&turn);
    if (is_followed(fd)) {
        record(CLOSE, fd, 0, 0, 0, 0, 0, 0);
        followed[fd] = 0;
    }
    int done = real(fd);
    pthread_mutex_unlock(&turn);
    return done;
}

/* A call on a name whose success is one record. */
#define NAME(name, declared, given, types, folder, op)                                                  \
    int name declared {                                                                                 \
        REAL(int, #name, types);                                                                        \
        char whole[PATH_MAX];                                                                           \
        pthread_mutex_lock(&turn);                                                                      \
        const char *mine = trace < 0 ? NULL : ours(folder, path, whole);                                \
        int done = real given;                                                                          \
        if (!done && mine) record(op, -1, 0, 0, mine, strlen(mine), 0, 0);                              \
        pthread_mutex_unlock(&turn);                                                                    \
        return done;                                                                                    \
    }
NAME(unlink, (const char *path), (path), TYPES(const char *), AT_FDCWD, UNLINK)
NAME(unlinkat, (int at, const char *path, int flags), (at, path, flags), TYPES(int, const char *, int), at,
     flags & AT_REMOVEDIR ? RMDIR : UNLINK)
NAME(remove, (const char *path), (path), TYPES(const char *), AT_FDCWD, OTHER)
NAME(rmdir, (const char *path), (path), TYPES(const char *), AT_FDCWD, RMDIR)
NAME(mkdir, (const char *path, mode_t mode), (path, mode), TYPES(const char *, mode_t), AT_FDCWD, MKDIR)
NAME(mkdirat, (int at, const char *path, mode_t mode), (at, path, mode), TYPES(int, const char *, mode_t), at, MKDIR)
NAME(truncate, (const char *path, off_t to), (path, to), TYPES(const char *, off_t), AT_FDCWD, OTHER)
NAME(truncate64, (const char *path, off64_t to), (path, to), TYPES(const char *, off64_t), AT_FDCWD, OTHER)
NAME(symlink, (const char *to, const char *path), (to, path), TYPES(const char *, const char *), AT_FDCWD, OTHER)
NAME(symlinkat, (const char *to, int at, const char *path), (to, at, path), TYPES(const char *, int, const char *), at,
     OTHER)

/* A call on two names. A file that comes in from elsewhere, or leaves, is not understood. */
#define NAMES(name, declared, given, types, from_folder, to_folder, op)                                 \
    int name declared {                                                                                 \
        REAL(int, #name, types);                                                                        \
        char one[PATH_MAX], two[PATH_MAX];                                                              \
        pthread_mutex_lock(&turn);                                                                      \
        const char *source = trace < 0 ? NULL : ours(from_folder, from, one);                           \
        const char *target = trace < 0 ? NULL : ours(to_folder, to, two);                               \
        int done = real given;                                                                          \
        if (!done && source && target) record(op, -1, 0, 0, one, strlen(one), two, strlen(two));        \
        else if (!done && (source || target)) record(OTHER, -1, 0, 0, #name, strlen(#name), 0, 0);      \
        pthread_mutex_unlock(&turn);                                                                    \
        return done;                                                                                    \
    }
NAMES(rename, (const char *from, const char *to), (from, to), TYPES(const char *, const char *), AT_FDCWD, AT_FDCWD,
      RENAME)
NAMES(renameat, (int a, const char *from, int b, const char *to), (a, from, b, to),
      TYPES(int, const char *, int, const char *), a, b, RENAME)
NAMES(renameat2, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags),
      TYPES(int, const char *, int, const char *, unsigned), a, b, flags & RENAME_EXCHANGE ? OTHER : RENAME)
NAMES(link, (const char *from, const char *to), (from, to), TYPES(const char *, const char *), AT_FDCWD, AT_FDCWD, LINK)
NAMES(linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags),
      TYPES(int, const char *, int, const char *, int), a, b, LINK)

/* Known ways to change a file that nothing here needs: seen, so that the day somebody uses them is noticed. */
#define REFUSED(type, name, declared, given, types)                \
    type name declared {                                           \
        REAL(type, #name, types);                                  \
        other(#name, fd);                                          \
        return real given;                                         \
    }
REFUSED(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), TYPES(int, const struct iovec *, int))
REFUSED(ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at),
        TYPES(int, const struct iovec *, int, off64_t))
REFUSED(ssize_t, pwritev64v2, (int fd, const struct iovec *v, int n, off64_t at, int flags), (fd, v, n, at, flags),
        TYPES(int, const struct iovec *, int, off64_t, int))
REFUSED(ssize_t, sendfile64, (int fd, int from, off64_t *at, size_t n), (fd, from, at, n),
        TYPES(int, int, off64_t *, size_t))
REFUSED(ssize_t, copy_file_range, (int from, off64_t *a, int fd, off64_t *b, size_t n, unsigned flags),
        (from, a, fd, b, n, flags), TYPES(int, off64_t *, int, off64_t *, size_t, unsigned))
REFUSED(int, fallocate64, (int fd, int how, off64_t at, off64_t n), (fd, how, at, n), TYPES(int, int, off64_t, off64_t))
REFUSED(int, posix_fallocate64, (int fd, off64_t at, off64_t n), (fd, at, n), TYPES(int, off64_t, off64_t))
REFUSED(int, dup, (int fd), (fd), TYPES(int))
REFUSED(int, dup2, (int fd, int to), (fd, to), TYPES(int, int))
REFUSED(int, dup3, (int fd, int to, int flags), (fd, to, flags), TYPES(int, int, int))

#define CONTROL(name)                                                                    \
    int name(int fd, int command, ...) {                                                 \
        REAL(int, #name, int, int, ...);                                                 \
        va_list more;                                                                    \
        va_start(more, command);                                                         \
        void *argument = va_arg(more, void *);                                           \
        va_end(more);                                                                    \
        if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) other(#name, fd);          \
        return real(fd, command, argument);                                              \
    }
CONTROL(fcntl)
CONTROL(fcntl64)

#define MAPPING(name, offset)                                                                    \
    void *name(void *at, size_t n, int protection, int flags, int fd, offset from) {             \
        REAL(void *, #name, void *, size_t, int, int, int, offset);                              \
        if ((protection & PROT_WRITE) && (flags & MAP_SHARED)) other(#name, fd);                 \
        return real(at, n, protection, flags, fd, from);                                         \
    }
MAPPING(mmap, off_t)
MAPPING(mmap64, off64_t)
