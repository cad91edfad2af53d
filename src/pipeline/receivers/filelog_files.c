// SPDX-License-Identifier: Apache-2.0
/* The files that filelog follows. A file is its inode, as long as its first bytes are the same: a
 * renamed one is the same file, one whose first bytes changed, or that became shorter, starts
 * again. Another inode with the same first bytes is a copy (logrotate's copytruncate), or the file
 * of an earlier run: it goes on where the first one was. */
#include "pipeline/receivers/filelog.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#define PRINT_MAX    KiB(64)
#define LOST_OPEN_NS (10 * NS_PER_S) /* a rotated file that stays quiet so long is closed */
#define COPY_NS      (5 * NS_PER_S)  /* a copy has grown as far as its original within this time */
#define LOST_KEPT    1024u           /* of closed ones that no pattern matches, remembered */

/* ---- one file ---- */

void filelog_file_free(filelog_files *files, filelog_file *f)
{
    for (filelog_file **at = &files->first; *at; at = &(*at)->next) {
        if (*at != f)
            continue;
        *at = f->next;
        files->count--;
        break;
    }
    if (f->fd >= 0) {
        close(f->fd);
        files->open--;
    }
    buf_done(&f->data);
    buf_done(&f->group.text);
    arena_done(&f->group.arena);
    free(f->path);
    free(f);
    files->changed = true;
}

void filelog_files_done(filelog_files *files)
{
    while (files->first)
        filelog_file_free(files, files->first);
}

static void close_file(filelog_files *files, filelog_file *f)
{
    if (f->fd < 0)
        return;
    close(f->fd);
    f->fd = -1;
    files->open--;
}

/* Closes the file that was quiet longest, all of which was read. */
static void close_one(filelog_files *files)
{
    filelog_file *quiet = NULL;
    for (filelog_file *f = files->first; f; f = f->next)
        if (f->fd >= 0 && !f->lost_ns && f->emitted + f->data.len >= f->size &&
            (!quiet || f->grown_ns < quiet->grown_ns))
            quiet = f;
    if (quiet)
        close_file(files, quiet);
}

/* Another inode may have taken the path since it was looked at. */
static bool open_file(filelog_files *files, filelog_file *f, uint32_t open_max)
{
    struct stat st;
    if (f->fd >= 0)
        return true;
    if (files->open >= open_max)
        close_one(files);
    if (files->open >= open_max)
        return false;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    if (fstat(fd, &st) != 0 || st.st_dev != f->dev || st.st_ino != f->ino) {
        close(fd);
        return false;
    }
    f->fd = fd;
    files->open++;
    return true;
}

static ssize_t read_at(int fd, char *to, size_t n, uint64_t at)
{
    for (;;) {
        ssize_t got = pread(fd, to, n, (off_t)at);
        if (got >= 0 || errno != EINTR)
            return got;
    }
}

int64_t filelog_file_fill(filelog_files *files, filelog_file *f, size_t room, uint32_t open_max)
{
    uint64_t at = f->emitted + f->data.len;
    if (at >= f->size)
        return 0;
    if (!open_file(files, f, open_max))
        return -1;
    if (f->data.len >= room)
        return (int64_t)(f->size - at);
    size_t want = room - f->data.len;
    if (f->data.cap == 0)
        buf_init(&f->data, 0); /* bounded by `room` */
    if (!buf_reserve(&f->data, want))
        return -1;
    ssize_t got = read_at(f->fd, f->data.ptr + f->data.len, want, at);
    if (got <= 0)
        return got < 0 ? -1 : 0;
    f->data.len += (size_t)got;
    f->grown_ns = clock_mono_ns();
    f->size = MAX(f->size, at + (uint64_t)got);
    return (int64_t)(f->size - at) - got;
}

/* ---- known by the first bytes ---- */

typedef struct {
    const filelog_files *files;
    const filelog_finder *finder;
    char bytes[PRINT_MAX];
    size_t length;
} prints;

/* The first bytes of an open file. */
static bool read_print(prints *p, int fd, uint64_t size)
{
    size_t want = (size_t)MIN(MIN((uint64_t)p->finder->settings->fingerprint_size, size),
                              (uint64_t)PRINT_MAX);
    ssize_t got = read_at(fd, p->bytes, want, 0);
    p->length = got > 0 ? (size_t)got : 0;
    return got >= 0;
}

static bool same_print(const prints *p, const filelog_file *f)
{
    return f->print_length <= p->length && XXH3_64bits(p->bytes, f->print_length) == f->print_hash;
}

/* A file that has grown is known by more. */
static void set_print(filelog_files *files, const prints *p, filelog_file *f)
{
    if (p->length == f->print_length)
        return;
    f->print_length = (uint32_t)p->length;
    f->print_hash = XXH3_64bits(p->bytes, p->length);
    files->changed = true;
}

/* gzip, zstd, xz, bzip2: what rotation has compressed was read before. */
static bool is_compressed(const prints *p)
{
    static const struct {
        const char *magic;
        size_t length;
    } kinds[] = { { "\x1f\x8b", 2 },
                  { "\x28\xb5\x2f\xfd", 4 },
                  { "\xfd"
                    "7zXZ",
                    5 },
                  { "BZh", 3 } };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (p->length >= kinds[i].length && memcmp(p->bytes, kinds[i].magic, kinds[i].length) == 0)
            return true;
    return false;
}

/* ---- what became of a path ---- */

static bool set_path(filelog_file *f, str path)
{
    if (f->path && str_is(path, f->path))
        return true;
    char *copy = malloc(path.len + 1);
    if (!copy)
        return false;
    str_copy_c(copy, path.len + 1, path);
    free(f->path);
    f->path = copy;
    return true;
}

filelog_file *filelog_files_add(filelog_files *files, str path, dev_t dev, ino_t ino)
{
    if (files->count >= FILELOG_FILES_MAX)
        return NULL;
    filelog_file *f = calloc(1, sizeof(*f));
    if (!f || !set_path(f, path)) {
        free(f);
        return NULL;
    }
    f->fd = -1;
    f->dev = dev;
    f->ino = ino;
    arena_init(&f->group.arena, MiB(64));
    buf_init(&f->data, 0);
    buf_init(&f->group.text, MiB(64));
    f->next = files->first;
    files->first = f;
    files->count++;
    files->changed = true;
    return f;
}

/* Another file with the same first bytes, of which most was read. */
static filelog_file *find_twin(const filelog_files *files, const prints *p, const filelog_file *own)
{
    filelog_file *best = NULL;
    for (filelog_file *f = files->first; f; f = f->next)
        if (f != own && f->print_length && same_print(p, f) && (!best || f->offset > best->offset))
            best = f;
    return best;
}

/* A copy goes on where its original was read to; it may still be growing up to there. */
static void follow_twin(filelog_file *f, const filelog_file *twin)
{
    f->emitted = f->offset = twin->offset;
    f->copying = true;
}

/* What the file was is remembered: a copy of it may turn up (copytruncate). */
static void remember(filelog_files *files, const filelog_file *f)
{
    filelog_file *past =
        f->print_length && f->offset ? filelog_files_add(files, str_c(f->path), 0, 0) : NULL;
    if (!past)
        return;
    past->offset = past->emitted = f->emitted;
    past->print_length = f->print_length;
    past->print_hash = f->print_hash;
}

static void restart(filelog_files *files, const filelog_finder *finder, filelog_file *f)
{
    finder->restart(finder->user, f);
    if (!f->copying)
        remember(files, f);
    buf_clear(&f->data);
    f->copying = false;
    f->offset = f->emitted = f->records = 0;
    f->print_length = 0;
    files->changed = true;
}

static int64_t mtime_ns(const struct stat *st)
{
    return st->st_mtim.tv_sec * NS_PER_S + st->st_mtim.tv_nsec;
}

/* A file whose inode is known. */
static void look_again(filelog_files *files, prints *p, filelog_file *f, const struct stat *st)
{
    uint64_t size = (uint64_t)st->st_size;
    if (f->copying && size < f->emitted && clock_mono_ns() - f->grown_ns > COPY_NS)
        restart(files, p->finder, f); /* a new file that begins like an old one */
    if (size == f->size && mtime_ns(st) == f->changed_ns)
        return;
    f->copying = f->copying && size >= f->size && size < f->emitted;
    if (size < f->emitted + f->data.len && !f->copying)
        restart(files, p->finder, f);
    int fd = f->fd >= 0 ? f->fd : open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && read_print(p, fd, size)) {
        if (!same_print(p, f))
            restart(files, p->finder, f);
        const filelog_file *twin = f->print_length ? NULL : find_twin(files, p, f);
        if (twin && !f->emitted && !is_compressed(p)) /* it was empty when it was met */
            follow_twin(f, twin);
        set_print(files, p, f);
        f->size = size;
        f->changed_ns = mtime_ns(st);
    }
    if (fd >= 0 && fd != f->fd)
        close(fd);
}

/* A file of an inode that is not known. */
static void meet(filelog_files *files, prints *p, const char *path, const struct stat *st)
{
    const filelog_settings *s = p->finder->settings;
    uint64_t size = (uint64_t)st->st_size;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || !read_print(p, fd, size)) {
        p->finder->trouble(p->finder->user, path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    close(fd);
    filelog_file *twin = find_twin(files, p, NULL);
    filelog_file *f =
        is_compressed(p) ? NULL : filelog_files_add(files, str_c(path), st->st_dev, st->st_ino);
    if (!f)
        return;
    if (twin)
        follow_twin(f, twin);
    else if (s->start_at == 0 && files->polls == 1 && !files->known)
        f->emitted = size;
    f->offset = f->emitted;
    f->size = size;
    f->changed_ns = mtime_ns(st);
    f->grown_ns = clock_mono_ns();
    f->poll = files->polls;
    set_print(files, p, f);
}

static void look_at(filelog_files *files, prints *p, const char *path)
{
    struct stat st;
    const filelog_settings *s = p->finder->settings;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    filelog_file *f = files->first;
    while (f && (f->ino != st.st_ino || f->dev != st.st_dev))
        f = f->next;
    if (f && f->poll == files->polls)
        return; /* by another name */
    if (!f) {
        bool old = s->exclude_older_than && mtime_ns(&st) < clock_now_ns() - s->exclude_older_than;
        if (!old)
            meet(files, p, path, &st);
        return;
    }
    f->poll = files->polls;
    f->lost_ns = 0;
    if (set_path(f, str_c(path)))
        look_again(files, p, f, &st);
}

/* Files that no pattern matches any more are read to their end while they are open. */
static void look_at_lost(filelog_files *files, prints *p)
{
    struct stat st;
    uint32_t kept = 0;
    int64_t now = clock_mono_ns();
    for (filelog_file *f = files->first, *next; f; f = next) {
        next = f->next;
        if (f->poll == files->polls)
            continue;
        if (!f->lost_ns)
            f->lost_ns = now;
        if (f->fd >= 0 && fstat(f->fd, &st) == 0) {
            look_again(files, p, f, &st);
            bool quiet = f->emitted >= f->size && now - MAX(f->grown_ns, f->lost_ns) > LOST_OPEN_NS;
            if (quiet)
                close_file(files, f);
        } else if (f->group.count == 0 && f->emitted == f->offset && ++kept > LOST_KEPT) {
            filelog_file_free(files, f);
        }
    }
}

void filelog_files_poll(filelog_files *files, const filelog_finder *finder)
{
    filelog_paths paths;
    prints *p = malloc(sizeof(*p));
    files->polls++;
    if (!p || !filelog_paths_find(&paths, &finder->settings->include, &finder->settings->exclude)) {
        free(p);
        finder->trouble(finder->user, "", "no memory to look for files");
        return;
    }
    p->files = files;
    p->finder = finder;
    for (uint32_t i = 0; i < paths.count; i++)
        look_at(files, p, paths.items[i]);
    look_at_lost(files, p);
    filelog_paths_done(&paths);
    free(p);
}
