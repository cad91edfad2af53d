// SPDX-License-Identifier: Apache-2.0
/* A disk that forgets what was not synced. Preloaded into a server, it keeps beside POWERCUT_DIR a
 * shadow of what would survive a power cut: a file's bytes as of its last returned fsync or
 * fdatasync, a directory's entries as of its last returned fsync. After a kill the test rebuilds
 * the directory from the shadow (tests/e2e/powercut.py). Writes wait while a sync runs, so a sync
 * covers exactly what was written before it. POWERCUT_SKIP=file or dir makes those syncs cover
 * nothing: the server without one fsync.
 *
 * Shadow: f<id> holds a file's bytes, d<id> a directory's entries ("f|d id name" a line). Ids are
 * given at creation, because inode numbers are used again. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MAX_FILES = 65536, MAX_FDS = 65536 };

typedef struct {
    ino_t ino;
    unsigned id;
    off_t dirty_from, dirty_to; /* bytes written since the last sync */
} file;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX], shadow[PATH_MAX];
static file files[MAX_FILES];
static unsigned file_count, next_id = 1;
static bool tracked[MAX_FDS], skip_file, skip_dir, on;
static _Thread_local bool own; /* the shim's own calls go straight to the C library */

static void enter(void)
{
    pthread_mutex_lock(&lock);
    own = true;
}

static void leave(void)
{
    own = false;
    pthread_mutex_unlock(&lock);
}

#define REAL(ret, name, ...) \
    static ret (*real)(__VA_ARGS__); \
    if (!real) \
    real = (ret(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static void give_up(const char *what)
{
    dprintf(2, "powercut shim: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static file *find(ino_t ino, bool created)
{
    for (unsigned i = file_count; i-- > 0;)
        if (files[i].ino == ino && !created)
            return &files[i];
    if (file_count == MAX_FILES)
        give_up("too many files");
    files[file_count] = (file){ .ino = ino, .id = next_id++, .dirty_from = -1 };
    return &files[file_count++];
}

static bool inside(const char *path)
{
    size_t n = strlen(root);
    return on && strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static bool path_of(int fd, char *ret)
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, ret, PATH_MAX - 1);
    if (n < 0)
        return false;
    ret[n] = 0;
    return inside(ret);
}

/* Bytes [from, to) of the file go to the shadow, whose length becomes the file's. */
static void keep_bytes(int fd, unsigned id, off_t from, off_t to)
{
    char path[PATH_MAX + 32];
    static char bytes[1 << 16];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* which may be open for writing only */
    int in = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "%s/f%u", shadow, id);
    int out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (in < 0 || out < 0 || fstat(fd, &st) != 0)
        give_up(path);
    to = to < st.st_size ? to : st.st_size;
    while (from < to) {
        size_t want = (size_t)(to - from) < sizeof(bytes) ? (size_t)(to - from) : sizeof(bytes);
        ssize_t n = pread(in, bytes, want, from);
        if (n <= 0 || pwrite(out, bytes, (size_t)n, from) != n)
            give_up("copying to the shadow");
        from += n;
    }
    if (ftruncate(out, st.st_size) != 0)
        give_up("sizing the shadow");
    close(in);
    close(out);
}

static void keep_entries(const char *path, unsigned id)
{
    char to[PATH_MAX + 32], temporary[PATH_MAX + 40], entry[PATH_MAX + 256];
    snprintf(to, sizeof(to), "%s/d%u", shadow, id);
    snprintf(temporary, sizeof(temporary), "%s.tmp", to);
    FILE *out = fopen(temporary, "w");
    DIR *dir = opendir(path);
    if (!out || !dir)
        give_up(path);
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        snprintf(entry, sizeof(entry), "%s/%s", path, e->d_name);
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || lstat(entry, &st) != 0)
            continue;
        fprintf(out, "%c %u %s\n", S_ISDIR(st.st_mode) ? 'd' : 'f', find(st.st_ino, false)->id,
                e->d_name);
    }
    closedir(dir);
    fclose(out);
    if (rename(temporary, to) != 0)
        give_up(to);
}

/* What stands in the directory at the start is on the disk already. */
static void keep_tree(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        give_up(path);
    unsigned id = find(st.st_ino, false)->id;
    DIR *dir = opendir(path);
    if (!dir)
        give_up(path);
    for (struct dirent *e; (e = readdir(dir));) {
        char entry[PATH_MAX + 256];
        snprintf(entry, sizeof(entry), "%s/%s", path, e->d_name);
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || lstat(entry, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            keep_tree(entry);
            continue;
        }
        int fd = open(entry, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            give_up(entry);
        keep_bytes(fd, find(st.st_ino, false)->id, 0, st.st_size);
        close(fd);
    }
    closedir(dir);
    keep_entries(path, id);
}

__attribute__((constructor)) static void start(void)
{
    const char *dir = getenv("POWERCUT_DIR"), *where = getenv("POWERCUT_SHADOW");
    const char *skip = getenv("POWERCUT_SKIP");
    if (!dir || !where || !realpath(dir, root) || !realpath(where, shadow))
        return;
    skip_file = skip && strcmp(skip, "file") == 0;
    skip_dir = skip && strcmp(skip, "dir") == 0;
    keep_tree(root);
    on = true;
}

static int opened(int fd, bool existed)
{
    char path[PATH_MAX];
    struct stat st;
    if (fd >= 0 && fd < MAX_FDS) {
        tracked[fd] = path_of(fd, path) && fstat(fd, &st) == 0;
        if (tracked[fd])
            find(st.st_ino, !existed);
    }
    return fd;
}

static int open_any(int at, const char *path, int flags, mode_t mode)
{
    REAL(int, "openat", int, const char *, int, ...);
    int saved;
    if (!on || own)
        return real(at, path, flags, mode);
    enter();
    bool existed = !(flags & (O_CREAT | O_TMPFILE)) || faccessat(at, path, F_OK, 0) == 0;
    int fd = opened(real(at, path, flags, mode), existed);
    saved = errno;
    if (fd >= 0 && fd < MAX_FDS && tracked[fd] && (flags & O_TRUNC)) {
        struct stat st;
        if (fstat(fd, &st) == 0)
            find(st.st_ino, false)->dirty_from = 0;
    }
    leave();
    errno = saved;
    return fd;
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        va_list args; \
        va_start(args, flags); \
        mode_t mode = mode_of(flags, args); \
        va_end(args); \
        return open_any(AT_FDCWD, path, flags, mode); \
    }
#define OPENAT(name) \
    int name(int at, const char *path, int flags, ...) \
    { \
        va_list args; \
        va_start(args, flags); \
        mode_t mode = mode_of(flags, args); \
        va_end(args); \
        return open_any(at, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

/* Runs a change of a file's bytes and marks what it may have touched. */
#define CHANGE(call, from_expression, to_expression) \
    do { \
        if (!on || own || fd < 0 || fd >= MAX_FDS || !tracked[fd]) \
            return call; \
        enter(); \
        struct stat st; \
        off_t before = lseek(fd, 0, SEEK_CUR); \
        bool appends = fcntl(fd, F_GETFL) & O_APPEND; \
        if (fstat(fd, &st) == 0 && appends) \
            before = st.st_size; \
        __typeof__(call) result = call; \
        int saved = errno; \
        (void)before; \
        file *f = find(st.st_ino, false); \
        off_t from = (from_expression), to = (to_expression); \
        if (f->dirty_from < 0) { \
            f->dirty_from = from; \
            f->dirty_to = to; \
        } \
        f->dirty_from = from < f->dirty_from ? from : f->dirty_from; \
        f->dirty_to = to > f->dirty_to ? to : f->dirty_to; \
        leave(); \
        errno = saved; \
        return result; \
    } while (0)

ssize_t write(int fd, const void *bytes, size_t n)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    CHANGE(real(fd, bytes, n), before, before + (off_t)n);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    CHANGE(real(fd, parts, count), before, before + (result > 0 ? result : 0));
}

#define PWRITE(name) \
    ssize_t name(int fd, const void *bytes, size_t n, off_t at) \
    { \
        REAL(ssize_t, "pwrite", int, const void *, size_t, off_t); \
        CHANGE(real(fd, bytes, n, at), at, at + (off_t)n); \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define PWRITEV(name) \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t at) \
    { \
        REAL(ssize_t, "pwritev", int, const struct iovec *, int, off_t); \
        CHANGE(real(fd, parts, count, at), at, at + (result > 0 ? result : 0)); \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define FTRUNCATE(name) \
    int name(int fd, off_t size) \
    { \
        REAL(int, "ftruncate", int, off_t); \
        CHANGE(real(fd, size), size < st.st_size ? size : st.st_size, size); \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

static int sync_any(int fd, int (*real)(int))
{
    char path[PATH_MAX];
    struct stat st;
    if (!on || fstat(fd, &st) != 0 || !path_of(fd, path))
        return real(fd);
    enter();
    file *f = find(st.st_ino, false);
    if (S_ISDIR(st.st_mode)) {
        if (!skip_dir)
            keep_entries(path, f->id);
    } else if (!skip_file) {
        if (f->dirty_from >= 0)
            keep_bytes(fd, f->id, f->dirty_from, f->dirty_to);
        else
            keep_bytes(fd, f->id, 0, 0);
        f->dirty_from = -1;
    }
    leave();
    return 0;
}

int fsync(int fd)
{
    REAL(int, "fsync", int);
    return sync_any(fd, real);
}

int fdatasync(int fd)
{
    REAL(int, "fdatasync", int);
    return sync_any(fd, real);
}

int mkdir(const char *path, mode_t mode)
{
    REAL(int, "mkdir", const char *, mode_t);
    struct stat st;
    int result = real(path, mode), saved = errno;
    if (on && !own && result == 0 && stat(path, &st) == 0) {
        enter();
        find(st.st_ino, true);
        leave();
    }
    errno = saved;
    return result;
}

int close(int fd)
{
    REAL(int, "close", int);
    if (fd >= 0 && fd < MAX_FDS)
        tracked[fd] = false;
    return real(fd);
}
