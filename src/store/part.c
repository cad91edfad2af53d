// SPDX-License-Identifier: Apache-2.0
/* Parts: what the footer says, references, checked reads; see part.h. */
#include "store/part.h"

#include "store/bytes.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "store/part_file.h"

enum { FOOTER_MAX = 1 << 16 };
#define SECTION_MAX GiB(1)

void part_path(char *ret, size_t size, const char *dir, signal_kind signal, int32_t day,
               uint64_t first, uint64_t last, uint64_t n)
{
    struct tm tm;
    time_t t = (time_t)day * 86400;
    gmtime_r(&t, &tm);
    char date[64];
    if (strftime(date, sizeof(date), "%Y-%m-%d", &tm) == 0)
        date[0] = 0;
    if (n)
        snprintf(ret, size, "%s/%s/%s/%llu-%llu-%llu.part", dir, signal_name(signal), date,
                 (unsigned long long)first, (unsigned long long)last, (unsigned long long)n);
    else
        snprintf(ret, size, "%s/%s/%s", dir, signal_name(signal), date);
}

void part_set_aside(const char *dir, const char *path)
{
    char aside[PATH_MAX], to[PATH_MAX + 300];
    if (snprintf(aside, sizeof(aside), "%s/aside", dir) >= (int)sizeof(aside))
        return;
    mkdir(aside, 0700);
    const char *name = strrchr(path, '/');
    snprintf(to, sizeof(to), "%s%s", aside, name ? name : "/part");
    if (rename(path, to) != 0)
        return; /* it stays where it is, and out of the manifest */
}

/* ---- opening ---- */

static status parse_footer(part *p, str footer, uint64_t data_end, error *err)
{
    bytes_reader r = bytes_read(footer);
    p->rows = get_u64(&r);
    p->min_time = (int64_t)get_u64(&r);
    p->max_time = (int64_t)get_u64(&r);
    uint32_t count = get_u32(&r);
    get_u32(&r);
    for (uint32_t i = 0; i < count && !r.failed; i++) {
        uint32_t kind = get_u32(&r);
        get_u32(&r);
        part_section s;
        s.offset = get_u64(&r);
        s.stored = get_u64(&r);
        s.length = get_u64(&r);
        s.sum = get_u64(&r);
        if (r.failed || s.offset > data_end || s.stored > data_end - s.offset ||
            s.length > SECTION_MAX)
            return fail(err, STATUS_CORRUPT, "%s: a section lies outside of the file", p->path);
        if (kind < SECTION_END)
            p->sections[kind] = s;
    }
    if (r.failed)
        return fail(err, STATUS_CORRUPT, "%s: the footer is cut short", p->path);
    return STATUS_OK;
}

static status read_footer(part *p, int fd, error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return fail_errno(err, errno, "looking at %s", p->path);
    uint64_t size = (uint64_t)info.st_size;
    char header[PART_HEADER], trailer[PART_TRAILER];
    if (size < PART_HEADER + PART_TRAILER)
        return fail(err, STATUS_CORRUPT, "%s: %llu bytes are not a part", p->path,
                    (unsigned long long)size);
    status st = file_pread_all(fd, header, sizeof(header), 0, err);
    if (st == STATUS_OK)
        st = file_pread_all(fd, trailer, sizeof(trailer), (off_t)(size - PART_TRAILER), err);
    if (st != STATUS_OK)
        return st;
    uint32_t version, length;
    uint64_t header_sum, offset, sum;
    memcpy(&version, header + 8, 4);
    memcpy(&header_sum, header + 56, 8);
    memcpy(&offset, trailer, 8);
    memcpy(&length, trailer + 8, 4);
    memcpy(&sum, trailer + 16, 8);
    if (memcmp(header, PART_MAGIC, 8) != 0 || header_sum != XXH3_64bits(header, 56) ||
        memcmp(trailer + 24, PART_MAGIC_END, 8) != 0)
        return fail(err, STATUS_CORRUPT, "%s: not a part, or cut short", p->path);
    if (version < PART_VERSION || version > PART_VERSION_HISTOGRAMS)
        return fail(err, STATUS_UNSUPPORTED, "%s: format version %u; this build reads %d and %d",
                    p->path, version, PART_VERSION, PART_VERSION_HISTOGRAMS);
    if (length > FOOTER_MAX || offset > size - PART_TRAILER ||
        length != size - PART_TRAILER - offset)
        return fail(err, STATUS_CORRUPT, "%s: the footer lies outside of the file", p->path);
    char footer[FOOTER_MAX];
    st = file_pread_all(fd, footer, length, (off_t)offset, err);
    if (st != STATUS_OK)
        return st;
    if (XXH3_64bits(footer, length) != sum)
        return fail(err, STATUS_CORRUPT, "%s: the footer's checksum is wrong", p->path);
    p->bytes = size;
    return parse_footer(p, str_n(footer, length), offset, err);
}

status part_open(part **ret, const char *dir, signal_kind signal, int32_t day, uint64_t first,
                 uint64_t last, uint64_t n, error *err)
{
    char path[PATH_MAX];
    part_path(path, sizeof(path), dir, signal, day, first, last, n);
    size_t len = strlen(path) + 1;
    part *p = calloc(1, sizeof(*p) + len);
    if (!p)
        return fail(err, STATUS_NO_MEMORY, "no memory for a part");
    atomic_init(&p->refs, 1);
    p->signal = signal;
    p->day = day;
    p->first = first;
    p->last = last;
    p->n = n;
    memcpy(p->path, path, len);
    int fd = -1;
    status st = part_file(p, &fd, err);
    if (st == STATUS_OK) {
        st = read_footer(p, fd, err);
        close(fd);
    }
    if (st != STATUS_OK) {
        free(p);
        return st;
    }
    *ret = p;
    return STATUS_OK;
}

void part_ref(part *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
}

void part_unref(part *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (p->open_in)
        part_cache_forget(p);
    if (atomic_load(&p->doomed))
        unlink(p->path);
    free(p);
}

/* ---- reading ---- */

status part_file(const part *p, int *ret_fd, error *err)
{
    int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fail_errno(err, errno, "opening %s", p->path);
    *ret_fd = fd;
    return STATUS_OK;
}

status part_damage(part *p, error *err, const char *what)
{
    atomic_store(&p->damaged, true);
    return fail(err, STATUS_CORRUPT, "%s: %s does not check out", p->path, what);
}

status part_bytes_read(part *p, int fd, uint64_t offset, uint64_t length, uint64_t sum, arena *a,
                       str *ret, error *err)
{
    if (offset > p->bytes || length > p->bytes - offset)
        return part_damage(p, err, "the place of a block");
    char *bytes = arena_alloc_aligned(a, MAX(length, (uint64_t)1), 8);
    if (!bytes)
        return fail(err, STATUS_LIMIT, "reading %s needs more memory than the query may use",
                    p->path);
    status st = file_pread_all(fd, bytes, length, (off_t)offset, err);
    if (st == STATUS_CORRUPT)
        return part_damage(p, err, "the file's length");
    if (st != STATUS_OK)
        return st;
    if (XXH3_64bits(bytes, length) != sum)
        return part_damage(p, err, "a checksum");
    *ret = str_n(bytes, length);
    return STATUS_OK;
}

status part_section_read(part *p, int fd, section_kind kind, arena *a, str *ret, error *err)
{
    const part_section *s = &p->sections[kind];
    *ret = STR_EMPTY;
    if (s->length == 0)
        return STATUS_OK;
    str stored;
    status st = part_bytes_read(p, fd, s->offset, s->stored, s->sum, a, &stored, err);
    if (st != STATUS_OK || s->stored == s->length) {
        *ret = stored;
        return st;
    }
    char *raw = arena_alloc_aligned(a, s->length, 8);
    if (!raw)
        return fail(err, STATUS_LIMIT, "reading %s needs more memory than the query may use",
                    p->path);
    if (ZSTD_decompress(raw, s->length, stored.ptr, stored.len) != s->length)
        return part_damage(p, err, "a compressed section");
    *ret = str_n(raw, s->length);
    return STATUS_OK;
}
