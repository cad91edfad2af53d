// SPDX-License-Identifier: Apache-2.0
/* The manifest: which parts are the store, and how far they cover the intake log; layout in
 * docs/format/part.md. One atomic replacement makes parts and cursor change together. */
#include "store/store_internal.h"

#include "base/file.h"
#include "store/part_file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { MANIFEST_VERSION = 1, PARTS_MAX = 1 << 20, PART_ENTRY = 48 };
#define MANIFEST_MAGIC "SONDMANI"
#define MANIFEST_MAX   MiB(512)

/* ---- writing ---- */

static void put_part(buf *out, const part *p)
{
    uint32_t signal = p->signal;
    put_u32(out, signal); /* u8 and three zero bytes */
    put_u32(out, (uint32_t)p->day);
    put_u64(out, p->first);
    put_u64(out, p->last);
    put_u64(out, p->n);
    put_u64(out, p->bytes);
    put_u64(out, p->rows);
}

static status write_manifest(store *s, part **parts, uint32_t count, uint64_t cursor,
                             const buf *dedup_state, error *err)
{
    buf out;
    buf_init(&out, MANIFEST_MAX);
    buf_lit(&out, MANIFEST_MAGIC);
    put_u32(&out, MANIFEST_VERSION);
    put_u32(&out, 0);
    put_u64(&out, cursor);
    put_u64(&out, atomic_load(&s->next_part));
    put_u32(&out, count);
    put_u32(&out, 0);
    for (uint32_t i = 0; i < count; i++)
        put_part(&out, parts[i]);
    put_u64(&out, dedup_state->len);
    buf_str(&out, buf_view(dedup_state));
    if (!out.failed)
        put_u64(&out, XXH3_64bits(out.ptr, out.len));
    status st = buf_check(&out, err, "the manifest");
    if (st == STATUS_OK)
        st = file_replace(s->dir, "MANIFEST", buf_view(&out), err);
    buf_done(&out);
    return st;
}

static int by_place(const void *a, const void *b)
{
    const part *x = *(part *const *)a, *y = *(part *const *)b;
    if (x->signal != y->signal)
        return (int)x->signal - (int)y->signal;
    if (x->last != y->last)
        return x->last < y->last ? -1 : 1;
    return x->n < y->n ? -1 : x->n > y->n;
}

static bool is_removed(const part_change *c, const part *p)
{
    for (uint32_t i = 0; i < c->removed_count; i++) {
        if (c->removed[i] == p)
            return true;
    }
    return false;
}

/* Files of parts that never became visible; `keep` when a manifest on disk may name them. */
static void give_up(const part_change *c, bool keep)
{
    for (uint32_t i = 0; i < c->added_count; i++) {
        if (!keep)
            atomic_store(&c->added[i]->doomed, true);
        part_unref(c->added[i]);
    }
}

/* With s->lock held: the oldest part in memory is in sealed parts now. */
static void drop_oldest_mem(store *s)
{
    mem_part *m = s->mems[0];
    memmove(s->mems, s->mems + 1, (s->mem_count - 1) * sizeof(mem_part *));
    s->mem_count--;
    buf swap = s->dedup_state;
    s->dedup_state = m->dedup_state;
    m->dedup_state = swap;
    s->cursor = m->last_sequence;
    mem_part_unref(m);
}

status manifest_change(store *s, const part_change *c, error *err)
{
    pthread_mutex_lock(&s->manifest_lock);
    /* Only holders of manifest_lock change s->parts, so that reading it here needs no other lock.
     */
    uint32_t count = 0;
    part **parts = malloc((s->part_count + c->added_count + 1) * sizeof(part *));
    if (!parts) {
        pthread_mutex_unlock(&s->manifest_lock);
        give_up(c, false);
        return fail(err, STATUS_NO_MEMORY, "no memory for the list of parts");
    }
    for (uint32_t i = 0; i < s->part_count; i++) {
        if (!is_removed(c, s->parts[i]))
            parts[count++] = s->parts[i];
    }
    for (uint32_t i = 0; i < c->added_count; i++)
        parts[count++] = c->added[i];
    if (count)
        qsort(parts, count, sizeof(part *), by_place);
    status st = write_manifest(s, parts, count, c->sealed ? c->sealed->last_sequence : s->cursor,
                               c->sealed ? &c->sealed->dedup_state : &s->dedup_state, err);
    if (st != STATUS_OK) {
        pthread_mutex_unlock(&s->manifest_lock);
        free(parts);
        give_up(c, st != STATUS_FULL);
        return st;
    }
    pthread_mutex_lock(&s->lock);
    part **old = s->parts;
    s->parts = parts;
    s->part_count = count;
    if (c->sealed)
        drop_oldest_mem(s);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_unlock(&s->manifest_lock);
    free(old);
    for (uint32_t i = 0; i < c->removed_count; i++) {
        atomic_store(&c->removed[i]->doomed, true);
        part_unref(c->removed[i]);
    }
    return STATUS_OK;
}

/* ---- opening ---- */

static status open_listed(store *s, bytes_reader *r, error *err)
{
    signal_kind signal = (signal_kind)get_u32(r);
    int32_t day = (int32_t)get_u32(r);
    uint64_t first = get_u64(r), last = get_u64(r), n = get_u64(r);
    get_u64(r);
    get_u64(r);
    if (r->failed || signal >= SIGNAL_COUNT)
        return fail(err, STATUS_CORRUPT, "%s/MANIFEST lists a part that cannot be", s->dir);
    part *p;
    error why;
    status st = part_open(&p, s->dir, signal, day, first, last, n, &why);
    if (st == STATUS_OK) {
        s->parts[s->part_count++] = p;
        return STATUS_OK;
    }
    if (st != STATUS_CORRUPT && st != STATUS_UNSUPPORTED && st != STATUS_NOT_FOUND) {
        if (err)
            *err = why;
        return st;
    }
    char path[PATH_MAX];
    part_path(path, sizeof(path), s->dir, signal, day, first, last, n);
    part_set_aside(s->dir, path);
    s->stats.corrupt_parts++;
    return STATUS_OK;
}

static status parse_manifest(store *s, str bytes, error *err)
{
    uint64_t sum = 0;
    if (bytes.len >= 8)
        memcpy(&sum, bytes.ptr + bytes.len - 8, 8);
    if (bytes.len < 56 || memcmp(bytes.ptr, MANIFEST_MAGIC, 8) != 0)
        return fail(err, STATUS_CORRUPT, "%s/MANIFEST is not a manifest", s->dir);
    bytes_reader r = bytes_read(str_slice(bytes, 8, bytes.len - 8));
    uint32_t version = get_u32(&r);
    if (version != MANIFEST_VERSION)
        return fail(err, STATUS_UNSUPPORTED,
                    "%s/MANIFEST has format version %u; this build reads %d", s->dir, version,
                    MANIFEST_VERSION);
    if (sum != XXH3_64bits(bytes.ptr, bytes.len - 8))
        return fail(err, STATUS_CORRUPT, "the checksum of %s/MANIFEST is wrong", s->dir);
    get_u32(&r);
    s->cursor = get_u64(&r);
    atomic_store(&s->next_part, get_u64(&r));
    uint32_t count = get_u32(&r);
    get_u32(&r);
    if (r.failed || count > bytes_left(&r) / PART_ENTRY || count > PARTS_MAX)
        return fail(err, STATUS_CORRUPT, "%s/MANIFEST is cut short", s->dir);
    s->parts = calloc(MAX(count, 1u), sizeof(part *));
    if (!s->parts)
        return fail(err, STATUS_NO_MEMORY, "no memory for %u parts", count);
    for (uint32_t i = 0; i < count; i++) {
        status st = open_listed(s, &r, err);
        if (st != STATUS_OK)
            return st;
    }
    str state = get_bytes(&r, get_u64(&r));
    if (r.failed || !dedup_load(&s->seen, state))
        return fail(err, STATUS_CORRUPT, "%s/MANIFEST: the record ids cannot be read", s->dir);
    buf_str(&s->dedup_state, state);
    return STATUS_OK;
}

typedef struct {
    store *s;
    bool remove; /* what the manifest does not name; else only look */
    uint32_t parts;
} sweep;

static bool is_listed(const store *s, const char *path)
{
    for (uint32_t i = 0; i < s->part_count; i++) {
        if (strcmp(s->parts[i]->path, path) == 0)
            return true;
    }
    return false;
}

static void sweep_day(sweep *w, const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        str name = str_c(e->d_name);
        char path[PATH_MAX];
        bool is_part = str_ends(name, STR(".part"));
        if ((!is_part && !str_ends(name, STR(".tmp"))) ||
            snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= (int)sizeof(path))
            continue;
        w->parts += is_part;
        if (w->remove && !is_listed(w->s, path))
            unlink(path);
    }
    if (d)
        closedir(d);
    if (w->remove)
        rmdir(dir); /* only an empty one goes */
}

static void sweep_all(sweep *w)
{
    for (int signal = 0; signal < SIGNAL_COUNT; signal++) {
        char dir[PATH_MAX], day[PATH_MAX];
        if (snprintf(dir, sizeof(dir), "%s/%s", w->s->dir, signal_name((signal_kind)signal)) >=
            (int)sizeof(dir))
            continue;
        DIR *d = opendir(dir);
        for (struct dirent *e; d && (e = readdir(d));) {
            if (e->d_name[0] != '.' &&
                snprintf(day, sizeof(day), "%s/%s", dir, e->d_name) < (int)sizeof(day))
                sweep_day(w, day);
        }
        if (d)
            closedir(d);
    }
}

status manifest_open(store *s, error *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/MANIFEST", s->dir);
    buf bytes;
    buf_init(&bytes, MANIFEST_MAX);
    sweep w = { .s = s };
    status st = file_read(path, &bytes, err);
    if (st == STATUS_OK) {
        st = parse_manifest(s, buf_view(&bytes), err);
        w.remove = st == STATUS_OK;
        if (w.remove)
            sweep_all(&w);
    } else if (st == STATUS_NOT_FOUND) {
        sweep_all(&w);
        atomic_store(&s->next_part, 1);
        st = w.parts ? fail(err, STATUS_CORRUPT,
                            "%s has %u parts and no MANIFEST; restore it, or move the parts away",
                            s->dir, w.parts)
                     : write_manifest(s, NULL, 0, 0, &s->dedup_state, err);
    }
    buf_done(&bytes);
    return st;
}
