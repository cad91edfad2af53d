// SPDX-License-Identifier: Apache-2.0
/* The frame of a part; see part_file.h. */
#include "store/part_file.h"

#include "store/bytes.h"

#include "base/clock.h"
#include "base/file.h"
#include "store/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

enum { WRITE_SIZE = 1 << 20, SECTION_COMPRESS_MIN = 128 };

static status fail_part(error *err, int errnum, const char *what, const char *path)
{
    return fail_errno(err, errnum == EFBIG ? ENOSPC : errnum, "%s %s", what, path);
}

static void make_header(const part_file_writer *w, char h[PART_HEADER])
{
    uint32_t signal = w->id.signal;
    memset(h, 0, PART_HEADER);
    for (size_t i = 0; i < 8; i++)
        h[i] = PART_MAGIC[i];
    memcpy(h + 8, &w->version, 4);
    memcpy(h + 12, &signal, 4);
    memcpy(h + 16, &w->id.first, 8);
    memcpy(h + 24, &w->id.last, 8);
    memcpy(h + 32, &w->created_ns, 8);
    uint64_t sum = XXH3_64bits(h, 56);
    memcpy(h + 56, &sum, 8);
}

status part_file_begin(part_file_writer *w, const part_identity *id, error *err)
{
    char path[PATH_MAX];
    *w = (part_file_writer){ .id = *id,
                             .version = PART_VERSION,
                             .created_ns = clock_now_ns(),
                             .fd = -1,
                             .min_time = INT64_MAX,
                             .max_time = INT64_MIN };
    buf_init(&w->pending, 0); /* written out beyond WRITE_SIZE */
    w->dir = strdup(id->dir);
    part_path(path, sizeof(path), id->dir, id->signal, id->day, id->first, id->last, 0);
    status st = make_dirs_durably(path, err);
    if (st != STATUS_OK)
        return st;
    if (asprintf(&w->temporary, "%s/%llu.tmp", path, (unsigned long long)id->n) < 0)
        w->temporary = NULL;
    if (!w->dir || !w->temporary)
        return fail(err, STATUS_NO_MEMORY, "no memory to write a part");
    w->id.dir = w->dir;
    w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->fd < 0)
        return fail_part(err, errno, "creating", w->temporary);
    char header[PART_HEADER];
    make_header(w, header);
    part_file_write(w, str_n(header, sizeof(header)));
    return STATUS_OK;
}

uint64_t part_file_offset(const part_file_writer *w)
{
    return w->flushed + w->pending.len;
}

static void flush(part_file_writer *w)
{
    const char *p = w->pending.ptr;
    size_t n = w->pending.len;
    if (w->pending.failed && w->trouble == STATUS_OK)
        w->trouble = fail(&w->why, STATUS_NO_MEMORY, "no memory to write %s", w->temporary);
    while (n && w->trouble == STATUS_OK) {
        ssize_t done = write(w->fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            w->trouble = fail_part(&w->why, done < 0 ? errno : ENOSPC, "writing", w->temporary);
            break;
        }
        p += done;
        n -= (size_t)done;
    }
    w->flushed += w->pending.len;
    buf_clear(&w->pending);
}

void part_file_write(part_file_writer *w, str bytes)
{
    buf_str(&w->pending, bytes);
    if (w->pending.len >= WRITE_SIZE || w->pending.failed)
        flush(w);
}

void part_file_section(part_file_writer *w, section_kind kind, str raw)
{
    part_section *s = &w->sections[kind];
    s->offset = part_file_offset(w);
    s->length = s->stored = raw.len;
    if (raw.len >= SECTION_COMPRESS_MIN) {
        size_t bound = ZSTD_compressBound(raw.len);
        char *packed = malloc(bound);
        size_t n = packed ? ZSTD_compress(packed, bound, raw.ptr, raw.len, 1) : raw.len;
        if (packed && !ZSTD_isError(n) && n < raw.len) {
            s->stored = n;
            s->sum = XXH3_64bits(packed, n);
            part_file_write(w, str_n(packed, n));
            free(packed);
            return;
        }
        free(packed);
    }
    s->sum = XXH3_64bits(raw.ptr, raw.len);
    part_file_write(w, raw);
}

void part_file_times(part_file_writer *w, int64_t min, int64_t max)
{
    w->min_time = MIN(w->min_time, min);
    w->max_time = MAX(w->max_time, max);
}

static void write_footer(part_file_writer *w)
{
    buf f;
    buf_init(&f, 0);
    uint32_t count = 0;
    for (int k = 1; k < SECTION_END; k++)
        count += w->sections[k].length > 0;
    put_u64(&f, w->rows);
    put_u64(&f, (uint64_t)w->min_time);
    put_u64(&f, (uint64_t)w->max_time);
    put_u32(&f, count);
    put_u32(&f, 0);
    for (uint32_t k = 1; k < SECTION_END; k++) {
        const part_section *s = &w->sections[k];
        if (s->length == 0)
            continue;
        put_u32(&f, k);
        put_u32(&f, 0);
        put_u64(&f, s->offset);
        put_u64(&f, s->stored);
        put_u64(&f, s->length);
        put_u64(&f, s->sum);
    }
    char t[PART_TRAILER] = { 0 };
    uint64_t offset = part_file_offset(w), sum = XXH3_64bits(f.ptr, f.len);
    uint32_t length = (uint32_t)f.len;
    memcpy(t, &offset, 8);
    memcpy(t + 8, &length, 4);
    memcpy(t + 12, &w->version, 4);
    memcpy(t + 16, &sum, 8);
    for (size_t i = 0; i < 8; i++)
        t[24 + i] = PART_MAGIC_END[i];
    if (f.failed)
        w->pending.failed = true;
    part_file_write(w, buf_view(&f));
    part_file_write(w, str_n(t, sizeof(t)));
    buf_done(&f);
}

status part_file_finish(part_file_writer *w, part **ret, error *err)
{
    char path[PATH_MAX], dir[PATH_MAX];
    write_footer(w);
    flush(w);
    if (w->version != PART_VERSION && w->trouble == STATUS_OK) { /* known only now */
        char header[PART_HEADER];
        make_header(w, header);
        if (pwrite(w->fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
            w->trouble = fail_part(&w->why, errno, "writing", w->temporary);
    }
    if (w->trouble != STATUS_OK) {
        if (err)
            *err = w->why;
        return w->trouble;
    }
    part_path(path, sizeof(path), w->dir, w->id.signal, w->id.day, w->id.first, w->id.last,
              w->id.n);
    part_path(dir, sizeof(dir), w->dir, w->id.signal, w->id.day, 0, 0, 0);
    if (fdatasync(w->fd) != 0)
        return fail_part(err, errno, "syncing", w->temporary);
    if (rename(w->temporary, path) != 0)
        return fail_part(err, errno, "renaming into place", path);
    status st = file_sync_dir(dir, err);
    if (st == STATUS_OK)
        st = part_open(ret, w->dir, w->id.signal, w->id.day, w->id.first, w->id.last, w->id.n, err);
    return st;
}

void part_file_done(part_file_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    if (w->temporary)
        unlink(w->temporary); /* not there any more after the rename */
    free(w->temporary);
    free(w->dir);
    buf_done(&w->pending);
    *w = (part_file_writer){ .fd = -1 };
}
