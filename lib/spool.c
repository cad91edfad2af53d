// SPDX-License-Identifier: Apache-2.0
/* The spool; see spool.h. An index of all entries is kept in memory: 24 bytes for each body. */
#include "lib/spool.h"

#if SONDE_EXPORT
#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define SEGMENT_MAGIC   0x314c5053444e4f53ull /* "SONDSPL1" */
#define SEGMENT_VERSION 1u
#define ENTRY_MAGIC     0x59525445u
#define SERVICE_MAX     200u
#define SEGMENTS        8u /* that the limit is divided into */
#define SEGMENT_MIN     KiB(64)
#define BODY_LIMIT      MiB(64)

typedef struct {
    uint64_t magic;
    uint32_t version;
    uint32_t sequence; /* of the segment in its process */
    int64_t created_ns;
    uint32_t service_bytes;
    uint32_t check; /* crc32 of this struct, with 0 here */
    char service[SERVICE_MAX];
    char zero[24];
} segment_header;

typedef struct {
    uint32_t magic;
    uint32_t check; /* crc32 from `lane` to the end of the body */
    uint32_t done;  /* 1: taken by the receiver */
    uint32_t lane;
    uint32_t rows;
    uint32_t bytes; /* of the body that follows */
    int64_t time_ns;
} entry_header;

typedef struct {
    uint64_t offset; /* of the header */
    uint32_t bytes;
    uint32_t rows;
    uint8_t lane;
    bool done;
} entry;

typedef struct segment {
    struct segment *next;
    char *path;
    int fd;
    segment_header header;
    uint64_t bytes;
    entry *entries;
    size_t count, capacity;
    size_t left; /* entries that are not done */
} segment;

/* What spool_peek gave: gone from the disk when its segment was dropped meanwhile. */
typedef struct {
    segment *of; /* NULL: none, or gone */
    size_t index;
    uint32_t orphaned_rows;
} peeked;

struct spool {
    spool_options options;
    char *dir;
    segment *first, *last; /* oldest first; `own` is the last one where there is one */
    segment *own;
    uint32_t sequence;
    uint64_t bytes;
    uint64_t rows[LANE_COUNT];
    peeked peeked[LANE_COUNT];
};

static size_t padded(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static uint32_t header_check(segment_header h)
{
    h.check = 0;
    return (uint32_t)crc32(0, (const Bytef *)&h, sizeof(h));
}

static uint32_t entry_check(const entry_header *h, str body)
{
    size_t from = offsetof(entry_header, lane);
    uLong check = crc32(0, (const Bytef *)h + from, (uInt)(sizeof(*h) - from));
    return (uint32_t)crc32(check, (const Bytef *)body.ptr, (uInt)body.len);
}

/* ---- segments ---- */

static void segment_free(segment *g)
{
    if (!g)
        return;
    if (g->fd >= 0)
        close(g->fd);
    free(g->path);
    free(g->entries);
    free(g);
}

/* A lock of the process, not of the descriptor: a child of fork does not share it. */
static bool segment_lock(int fd)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    return fcntl(fd, F_SETLK, &whole) == 0;
}

static bool segment_note(segment *g, const entry_header *h, uint64_t offset)
{
    if (g->count == g->capacity) {
        size_t capacity = g->capacity ? 2 * g->capacity : 64;
        entry *larger = realloc(g->entries, capacity * sizeof(*larger));
        if (!larger)
            return false;
        g->entries = larger;
        g->capacity = capacity;
    }
    g->entries[g->count++] = (entry){ offset, h->bytes, h->rows, (uint8_t)h->lane, h->done != 0 };
    g->left += !h->done;
    return true;
}

static void spool_append(spool *s, segment *g)
{
    if (s->last)
        s->last->next = g;
    else
        s->first = g;
    s->last = g;
    s->bytes += g->bytes;
    for (size_t i = 0; i < g->count; i++)
        if (!g->entries[i].done)
            s->rows[g->entries[i].lane] += g->entries[i].rows;
}

/* Takes the segment out and removes its file. What it has unsent is reported as dropped, but for
 * the bodies that the lanes are just sending. */
static void segment_drop(spool *s, segment *g)
{
    segment **at = &s->first, *before = NULL;
    for (; *at != g; at = &(*at)->next)
        before = *at;
    *at = g->next;
    if (s->last == g)
        s->last = before;
    if (s->own == g)
        s->own = NULL;
    s->bytes -= g->bytes;
    for (size_t i = 0; i < g->count; i++) {
        entry *e = &g->entries[i];
        peeked *p = &s->peeked[e->lane];
        if (e->done)
            continue;
        s->rows[e->lane] -= e->rows;
        if (p->of == g && p->index == i)
            *p = (peeked){ .orphaned_rows = e->rows };
        else
            s->options.dropped(s->options.user, (lane_id)e->lane, e->rows);
    }
    unlink(g->path);
    segment_free(g);
}

static status segment_create(spool *s, error *err)
{
    char path[PATH_MAX];
    segment *g = calloc(1, sizeof(*g));
    snprintf(path, sizeof(path), "%s/%016llx-%08u.spool", s->dir, (unsigned long long)s->options.id,
             s->sequence);
    if (!g || !(g->path = strdup(path))) {
        free(g);
        return fail(err, STATUS_NO_MEMORY, "no memory for a spool file");
    }
    segment_header *h = &g->header;
    *h = (segment_header){ .magic = SEGMENT_MAGIC,
                           .version = SEGMENT_VERSION,
                           .sequence = s->sequence++,
                           .created_ns = clock_now_ns() };
    h->service_bytes = (uint32_t)MIN(s->options.service.len, SERVICE_MAX);
    memcpy(h->service, s->options.service.ptr, h->service_bytes);
    h->check = header_check(*h);
    status st = STATUS_OK;
    g->bytes = sizeof(*h);
    g->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (g->fd < 0 || !segment_lock(g->fd))
        st = fail_errno(err, errno, "the spool file %s cannot be made", path);
    else
        st = file_pwrite_all(g->fd, h, sizeof(*h), 0, err);
    if (st != STATUS_OK) {
        if (g->fd >= 0)
            unlink(path);
        segment_free(g);
        return st;
    }
    spool_append(s, g);
    s->own = g;
    return STATUS_OK;
}

/* ---- what dead processes left ---- */

/* Reads the entries' headers as far as they are good. Bodies are checked when they are read. */
static bool segment_index(segment *g, uint64_t file_bytes)
{
    entry_header h;
    g->bytes = sizeof(segment_header);
    while (g->bytes + sizeof(h) <= file_bytes &&
           file_pread_all(g->fd, &h, sizeof(h), (off_t)g->bytes, NULL) == STATUS_OK) {
        uint64_t end = g->bytes + padded(sizeof(h) + h.bytes);
        if (h.magic != ENTRY_MAGIC || h.lane >= LANE_COUNT || h.bytes > BODY_LIMIT ||
            g->bytes + sizeof(h) + h.bytes > file_bytes)
            break;
        if (!segment_note(g, &h, g->bytes))
            return false;
        g->bytes = end;
    }
    return true;
}

/* NULL when it is not for us: a living process's, another service's, damaged at its start. */
static segment *segment_adopt(const spool *s, const char *path)
{
    struct stat about, again;
    segment *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    g->path = strdup(path);
    segment_header *h = &g->header;
    bool good = g->path && g->fd >= 0 && segment_lock(g->fd) && fstat(g->fd, &about) == 0 &&
                S_ISREG(about.st_mode) &&
                file_pread_all(g->fd, h, sizeof(*h), 0, NULL) == STATUS_OK &&
                h->magic == SEGMENT_MAGIC && h->version == SEGMENT_VERSION &&
                h->check == header_check(*h) && h->service_bytes <= SERVICE_MAX &&
                str_eq(str_n(h->service, h->service_bytes),
                       str_slice(s->options.service, 0, SERVICE_MAX)) &&
                /* Another process may have finished it between the two calls. */
                stat(path, &again) == 0 && again.st_ino == about.st_ino &&
                segment_index(g, (uint64_t)about.st_size);
    if (good && g->left)
        return g;
    if (good)
        unlink(path);
    segment_free(g);
    return NULL;
}

static bool is_older(const segment *a, const segment *b)
{
    return a->header.created_ns != b->header.created_ns
               ? a->header.created_ns < b->header.created_ns
               : a->header.sequence < b->header.sequence;
}

static void spool_adopt(spool *s)
{
    char path[PATH_MAX], own[32];
    segment *found = NULL;
    DIR *d = opendir(s->dir);
    snprintf(own, sizeof(own), "%016llx-", (unsigned long long)s->options.id);
    for (struct dirent *one; d && (one = readdir(d));) {
        str name = str_c(one->d_name);
        if (!str_ends(name, STR(".spool")) || str_starts(name, str_c(own)))
            continue;
        snprintf(path, sizeof(path), "%s/%s", s->dir, one->d_name);
        segment *g = segment_adopt(s, path);
        if (!g)
            continue;
        segment **at = &found;
        while (*at && is_older(*at, g))
            at = &(*at)->next;
        g->next = *at;
        *at = g;
    }
    if (d)
        closedir(d);
    while (found) {
        segment *next = found->next;
        found->next = NULL;
        spool_append(s, found);
        found = next;
    }
}

/* ---- the spool ---- */

status spool_open(spool **ret, const spool_options *options, error *err)
{
    spool *s = calloc(1, sizeof(*s));
    if (!s)
        return fail(err, STATUS_NO_MEMORY, "no memory for the spool");
    s->options = *options;
    s->dir = strndup(options->dir.ptr, options->dir.len);
    status st = s->dir ? file_make_dirs(s->dir, 0700, err)
                       : fail(err, STATUS_NO_MEMORY, "no memory for the spool");
    if (st != STATUS_OK) {
        spool_close(s);
        return st;
    }
    if (options->adopt)
        spool_adopt(s);
    while (s->first && s->bytes > s->options.bytes)
        segment_drop(s, s->first);
    *ret = s;
    return STATUS_OK;
}

void spool_close(spool *s)
{
    if (!s)
        return;
    for (lane_id i = 0; i < LANE_COUNT; i++)
        if (s->peeked[i].orphaned_rows)
            s->options.dropped(s->options.user, i, s->peeked[i].orphaned_rows);
    while (s->first) {
        segment *next = s->first->next;
        if (s->first->left == 0)
            unlink(s->first->path);
        segment_free(s->first);
        s->first = next;
    }
    free(s->dir);
    free(s);
}

/* Room for n bytes in the own segment. */
static status make_room(spool *s, size_t n, error *err)
{
    uint64_t segment_bytes = MAX(s->options.bytes / SEGMENTS, SEGMENT_MIN);
    if (sizeof(segment_header) + n > s->options.bytes)
        return fail(err, STATUS_LIMIT, "%zu bytes are more than the spool's limit of %llu", n,
                    (unsigned long long)s->options.bytes);
    bool begin = !s->own || s->own->bytes + n > segment_bytes;
    size_t need = n + (begin ? sizeof(segment_header) : 0);
    while (s->first && s->bytes + need > s->options.bytes) {
        begin = begin || s->first == s->own;
        need = n + (begin ? sizeof(segment_header) : 0);
        segment_drop(s, s->first);
    }
    return begin ? segment_create(s, err) : STATUS_OK;
}

status spool_add(spool *s, lane_id lane, str body, uint32_t rows, error *err)
{
    static const char zeros[8];
    size_t n = padded(sizeof(entry_header) + body.len);
    if (body.len > BODY_LIMIT)
        return fail(err, STATUS_LIMIT, "a body of %zu bytes is too large", body.len);
    status st = make_room(s, n, err);
    if (st != STATUS_OK)
        return st;
    segment *g = s->own;
    entry_header h = { .magic = ENTRY_MAGIC,
                       .lane = (uint32_t)lane,
                       .rows = rows,
                       .bytes = (uint32_t)body.len,
                       .time_ns = clock_now_ns() };
    h.check = entry_check(&h, body);
    off_t at = (off_t)g->bytes, after = at + (off_t)sizeof(h) + (off_t)body.len;
    /* The header comes last: without it, a body that a crash cut short is not seen. */
    st = file_pwrite_all(g->fd, body.ptr, body.len, at + (off_t)sizeof(h), err);
    if (st == STATUS_OK)
        st = file_pwrite_all(g->fd, zeros, n - sizeof(h) - body.len, after, err);
    if (st == STATUS_OK)
        st = file_pwrite_all(g->fd, &h, sizeof(h), at, err);
    if (st == STATUS_OK && !segment_note(g, &h, (uint64_t)at))
        st = fail(err, STATUS_NO_MEMORY, "no memory for the spool's index");
    if (st != STATUS_OK) {
        (void)!ftruncate(g->fd, at);
        return st;
    }
    g->bytes += n;
    s->bytes += n;
    s->rows[lane] += rows;
    return STATUS_OK;
}

bool spool_has(const spool *s, lane_id lane)
{
    return s && (s->rows[lane] || s->peeked[lane].orphaned_rows);
}

/* Marks an entry as done, in the file too: another process will not send it again. */
static void entry_done(spool *s, segment *g, size_t index)
{
    entry *e = &g->entries[index];
    uint32_t done = 1;
    e->done = true;
    s->rows[e->lane] -= e->rows;
    (void)!pwrite(g->fd, &done, sizeof(done), (off_t)(e->offset + offsetof(entry_header, done)));
    if (--g->left == 0)
        segment_drop(s, g);
}

static bool find_oldest(spool *s, lane_id lane, peeked *ret)
{
    for (segment *g = s->first; g; g = g->next)
        for (size_t i = 0; g->left && i < g->count; i++)
            if (!g->entries[i].done && g->entries[i].lane == lane) {
                *ret = (peeked){ g, i, 0 };
                return true;
            }
    return false;
}

static bool read_body(const segment *g, const entry *e, buf *body)
{
    entry_header h;
    size_t start = body->len;
    if (!buf_reserve(body, e->bytes) ||
        file_pread_all(g->fd, &h, sizeof(h), (off_t)e->offset, NULL) != STATUS_OK ||
        file_pread_all(g->fd, body->ptr + start, e->bytes, (off_t)(e->offset + sizeof(h)), NULL) !=
            STATUS_OK)
        return false;
    body->len = start + e->bytes;
    if (h.bytes == e->bytes && h.check == entry_check(&h, str_n(body->ptr + start, e->bytes)))
        return true;
    body->len = start;
    return false;
}

status spool_peek(spool *s, lane_id lane, buf *body, uint32_t *ret_rows, error *err)
{
    peeked p;
    while (find_oldest(s, lane, &p)) {
        entry *e = &p.of->entries[p.index];
        *ret_rows = e->rows;
        if (read_body(p.of, e, body)) {
            s->peeked[lane] = p;
            return STATUS_OK;
        }
        s->options.dropped(s->options.user, lane, e->rows);
        entry_done(s, p.of, p.index);
    }
    return fail(err, STATUS_NOT_FOUND, "the spool has nothing for %s", lane_name(lane));
}

void spool_done(spool *s, lane_id lane)
{
    peeked p = s->peeked[lane];
    s->peeked[lane] = (peeked){ 0 };
    if (p.of)
        entry_done(s, p.of, p.index);
}

spool_report spool_state(const spool *s)
{
    spool_report r = { 0 };
    if (!s)
        return r;
    r.bytes = s->bytes;
    r.limit = s->options.bytes;
    memcpy(r.rows, s->rows, sizeof(r.rows));
    return r;
}

#else /* nothing is sent, so nothing waits */

status spool_open(spool **ret UNUSED, const spool_options *options UNUSED, error *err)
{
    return fail(err, STATUS_UNSUPPORTED, "this build of libsonde sends nothing over the network");
}

void spool_close(spool *s UNUSED)
{
}

status spool_add(spool *s UNUSED, lane_id lane UNUSED, str body UNUSED, uint32_t rows UNUSED,
                 error *err)
{
    return fail(err, STATUS_UNSUPPORTED, "this build of libsonde has no spool");
}

bool spool_has(const spool *s UNUSED, lane_id lane UNUSED)
{
    return false;
}

status spool_peek(spool *s UNUSED, lane_id lane UNUSED, buf *body UNUSED, uint32_t *ret_rows UNUSED,
                  error *err)
{
    return fail(err, STATUS_UNSUPPORTED, "this build of libsonde has no spool");
}

void spool_done(spool *s UNUSED, lane_id lane UNUSED)
{
}

spool_report spool_state(const spool *s UNUSED)
{
    return (spool_report){ 0 };
}
#endif
