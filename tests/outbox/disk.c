/* A disk that is watched, fails, or is killed at any write: loaded before the C library (LD_PRELOAD) of a Python that
 * uses an outbox below one directory. Each change of a file there (made, written, cut, synced, renamed, removed) is
 * counted, and written to a log with its octets; at a chosen one the process dies, or it and those after it fail.
 * Nothing here knows what an outbox is. What a loss of power would leave, power.py makes of the log.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MADE = 'c', OPENED = 'o', WRITTEN = 'w', CUT = 't', SYNCED = 's', LISTED = 'd', RENAMED = 'r', REMOVED = 'u',
       FOLDER = 'm', TOLD = 'T' };
enum { FILES = 1024, LENGTH = 512 };

static char paths[FILES][LENGTH]; /* by descriptor: what is open below the directory */
static char root[LENGTH];
static size_t root_length;
static int log_fd = -1, recording;
static long count, at = -1, until;
static int failure; /* an errno; 0 = die */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static ssize_t really_write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    return real(fd, data, size);
}

static void note(char kind, int64_t a, int64_t b, const char *one, size_t n, const void *other, size_t m) {
    struct __attribute__((packed)) { char kind; int64_t a, b; uint32_t n, m; } head = {kind, a, b, n, m};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)one, n}, {(void *)other, m}};
    if (log_fd >= 0 && (recording || kind == TOLD))
        if (writev(log_fd, parts, 3) < 0)
            _exit(99);
}

/* -- what a test says, by ctypes -- */

void disk_watch(const char *directory, int log, int record) {
    strncpy(root, directory, LENGTH - 1);
    root_length = strlen(root);
    log_fd = log;
    recording = record;
    count = 0;
    at = -1;
}

void disk_fails(long first, long last, int error) { at = first; until = last; failure = error; }

long disk_count(void) { return count; }

void disk_told(const char *text, long size) {
    pthread_mutex_lock(&lock);
    note(TOLD, 0, 0, "", 0, text, size);
    pthread_mutex_unlock(&lock);
}

/* -- what happens at each change -- */

static int ours(const char *path) {
    return root_length && path && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static const char *open_path(int fd) { return fd >= 0 && fd < FILES && *paths[fd] ? paths[fd] : NULL; }

static int hits(char kind) { /* a full disk takes no more, but lets go; a read-only one does neither; a broken one... */
    switch (failure) {
        case ENOSPC: return kind == MADE || kind == WRITTEN || kind == FOLDER || kind == RENAMED;
        case EROFS: return kind != SYNCED && kind != LISTED;
        default: return kind == WRITTEN || kind == SYNCED || kind == LISTED || kind == CUT;
    }
}

static int due(char kind) { /* 1: dies here, -1: fails here, 0: goes on */
    long mine = count++;
    if (at < 0 || mine < at)
        return 0;
    if (!failure)
        return mine == at;
    if (mine > until || !hits(kind))
        return 0;
    errno = failure;
    return -1;
}

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

#define ENTER(kind) \
    pthread_mutex_lock(&lock); \
    switch (due(kind)) { case 1: die(); case -1: pthread_mutex_unlock(&lock); return -1; }
#define LEAVE int kept = errno; pthread_mutex_unlock(&lock); errno = kept

static int opened(const char *path, int flags, mode_t mode) {
    REAL(int, "open64", const char *, int, ...);
    if (!ours(path))
        return real(path, flags, mode);
    struct stat found;
    int there = !lstat(path, &found), makes = (flags & O_CREAT) && !there;
    if (makes) { ENTER(MADE) }
    else if ((flags & O_ACCMODE) != O_RDONLY) { ENTER(OPENED) }
    else pthread_mutex_lock(&lock);
    int fd = real(path, flags, mode);
    if (fd >= 0 && fd < FILES) {
        strncpy(paths[fd], path, LENGTH - 1);
        fstat(fd, &found);
        if (makes)
            note(MADE, found.st_ino, 0, path, strlen(path), "", 0);
        else if (flags & O_TRUNC)
            note(CUT, found.st_ino, 0, path, strlen(path), "", 0);
    }
    LEAVE;
    return fd;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, int); va_end(more); \
        return opened(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

int openat(int at_fd, const char *path, int flags, ...) {
    REAL(int, "openat64", int, const char *, int, ...);
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, int); va_end(more);
    return ours(path) ? opened(path, flags, mode) : real(at_fd, path, flags, mode);
}
int openat64(int at_fd, const char *path, int flags, ...) {
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, int); va_end(more);
    return openat(at_fd, path, flags, mode);
}

int close(int fd) {
    REAL(int, "close", int);
    if (fd >= 0 && fd < FILES)
        *paths[fd] = 0;
    return real(fd);
}

static int64_t inode(int fd) { struct stat found; return fstat(fd, &found) ? 0 : (int64_t)found.st_ino; }

static ssize_t placed(int fd, const void *data, size_t size, off_t offset, int moves) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
    const char *path = open_path(fd);
    if (!path)
        return moves ? really_write(fd, data, size) : real(fd, data, size, offset);
    pthread_mutex_lock(&lock);
    if (moves)
        offset = lseek(fd, 0, SEEK_CUR);
    switch (due(WRITTEN)) {
        case 1: real(fd, data, size / 2, offset); die(); /* half of it is there */
        case -1: pthread_mutex_unlock(&lock); return -1;
    }
    ssize_t done = moves ? really_write(fd, data, size) : real(fd, data, size, offset);
    if (done > 0)
        note(WRITTEN, inode(fd), offset, path, strlen(path), data, done);
    LEAVE;
    return done;
}
ssize_t write(int fd, const void *data, size_t size) { return placed(fd, data, size, 0, 1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return placed(fd, data, size, offset, 0); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) { return placed(fd, data, size, offset, 0); }

int ftruncate64(int fd, off_t size) {
    REAL(int, "ftruncate64", int, off_t);
    const char *path = open_path(fd);
    if (!path)
        return real(fd, size);
    ENTER(CUT)
    int done = real(fd, size);
    if (!done)
        note(CUT, inode(fd), size, path, strlen(path), "", 0);
    LEAVE;
    return done;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd, int (*real)(int)) {
    const char *path = open_path(fd);
    if (!path)
        return real(fd);
    struct stat found;
    fstat(fd, &found);
    char kind = S_ISDIR(found.st_mode) ? LISTED : SYNCED;
    ENTER(kind)
    note(kind, found.st_ino, 0, path, strlen(path), "", 0); /* on a test's disk there is nothing to wait for */
    LEAVE;
    return 0;
}
int fsync(int fd) { REAL(int, "fsync", int); return synced(fd, real); }
int fdatasync(int fd) { REAL(int, "fdatasync", int); return synced(fd, real); }

int rename(const char *old, const char *new) {
    REAL(int, "rename", const char *, const char *);
    if (!ours(old))
        return real(old, new);
    ENTER(RENAMED)
    int done = real(old, new);
    if (!done)
        note(RENAMED, 0, 0, old, strlen(old), new, strlen(new));
    LEAVE;
    return done;
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    if (!ours(path))
        return real(path);
    ENTER(REMOVED)
    int done = real(path);
    if (!done)
        note(REMOVED, 0, 0, path, strlen(path), "", 0);
    LEAVE;
    return done;
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    if (!ours(path))
        return real(path, mode);
    struct stat found;
    if (!lstat(path, &found)) {
        errno = EEXIST;
        return -1;
    }
    ENTER(FOLDER)
    int done = real(path, mode);
    if (!done)
        note(FOLDER, 0, 0, path, strlen(path), "", 0);
    LEAVE;
    return done;
}
