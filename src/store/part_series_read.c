// SPDX-License-Identifier: Apache-2.0
/* Reading parts of metrics; see part_series.h. */
#include "store/part_series.h"

#include <errno.h>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"

enum { COUNT_MAX = 1 << 28, PAGE_SOUND = 1, PAGE_DAMAGED = 2, EXPECTED_LINES = 24 };

static status too_large(error *err)
{
    return fail(err, STATUS_LIMIT, "reading a part needs more memory than the query may use");
}

static status read_series(part_series *ps, error *err)
{
    str section;
    status st = part_section_read(ps->part, ps->fd, SECTION_STREAMS, ps->memory, &section, err);
    if (st != STATUS_OK)
        return st;
    bytes_reader r = bytes_read(section);
    uint32_t symbols = get_count(&r, COUNT_MAX);
    if (symbols > bytes_left(&r))
        return part_damage(ps->part, err, "the symbols");
    ps->symbols = ARENA_ARRAY(ps->memory, str, MAX(symbols, 1u));
    if (!ps->symbols)
        return too_large(err);
    for (uint32_t i = 0; i < symbols; i++)
        ps->symbols[i] = get_text(&r);
    uint32_t count = get_count(&r, COUNT_MAX);
    size_t left = bytes_left(&r);
    if (r.failed || count > left)
        return part_damage(ps->part, err, "the series");
    ps->label_start = ARENA_ARRAY(ps->memory, uint32_t, (size_t)count + 1);
    ps->pairs = arena_alloc(ps->memory, (left + 1) * sizeof(uint32_t)); /* a byte or more each */
    if (!ps->label_start || !ps->pairs)
        return too_large(err);
    uint32_t at = 0;
    for (uint32_t i = 0; i < count && !r.failed; i++) {
        ps->label_start[i] = at;
        uint32_t labels = get_count(&r, COUNT_MAX);
        for (uint32_t k = 0; k < 2 * labels && !r.failed; k++) {
            ps->pairs[at] = get_count(&r, symbols ? symbols - 1 : 0);
            at += !r.failed;
        }
    }
    if (r.failed || symbols == 0)
        return part_damage(ps->part, err, "the series");
    ps->label_start[count] = at;
    ps->count = count;
    return STATUS_OK;
}

static status read_pages(part_series *ps, bytes_reader *r, error *err)
{
    ps->page_count = get_count(r, COUNT_MAX);
    if (r->failed || ps->page_count > bytes_left(r) / 8)
        return part_damage(ps->part, err, "the page directory");
    ps->pages = ARENA_ARRAY(ps->memory, series_page, MAX(ps->page_count, 1u));
    if (!ps->pages)
        return too_large(err);
    for (uint32_t i = 0; i < ps->page_count; i++) {
        ps->pages[i].offset = get_varint(r);
        ps->pages[i].length = get_varint(r);
        ps->pages[i].sum = get_u64(r);
    }
    return r->failed ? part_damage(ps->part, err, "the page directory") : STATUS_OK;
}

static bool read_block(part_series *ps, bytes_reader *r, series_block *b, int64_t base,
                       const series_block *before)
{
    b->series = before->series + get_count(r, ps->count);
    b->samples = get_count(r, PART_BLOCK_ROWS);
    b->min_ms = (int64_t)((uint64_t)base + (uint64_t)get_zigzag(r));
    b->max_ms = (int64_t)((uint64_t)b->min_ms + get_varint(r));
    b->page = before->page + get_count(r, ps->page_count);
    b->offset = get_count(r, UINT32_MAX);
    b->length = get_count(r, UINT32_MAX);
    return !r->failed && b->series < ps->count && b->page < ps->page_count && b->samples > 0 &&
           b->offset <= ps->pages[b->page].length &&
           b->length <= ps->pages[b->page].length - b->offset;
}

static status read_blocks(part_series *ps, error *err)
{
    str section;
    status st = part_section_read(ps->part, ps->fd, SECTION_BLOCKS, ps->memory, &section, err);
    if (st != STATUS_OK)
        return st;
    bytes_reader r = bytes_read(section);
    st = read_pages(ps, &r, err);
    if (st != STATUS_OK)
        return st;
    uint32_t count = get_count(&r, COUNT_MAX);
    int64_t base = get_zigzag(&r);
    if (r.failed || count > bytes_left(&r))
        return part_damage(ps->part, err, "the block directory");
    ps->blocks = ARENA_ARRAY(ps->memory, series_block, MAX(count, 1u));
    ps->block_start = ARENA_ARRAY(ps->memory, uint32_t, (size_t)ps->count + 1);
    if (!ps->blocks || !ps->block_start)
        return too_large(err);
    series_block before = { 0 };
    uint32_t next = 0; /* series whose first block is not known yet */
    for (uint32_t i = 0; i < count; i++) {
        if (!read_block(ps, &r, &ps->blocks[i], base, &before))
            return part_damage(ps->part, err, "the block directory");
        before = ps->blocks[i];
        while (next <= before.series)
            ps->block_start[next++] = i;
    }
    while (next <= ps->count)
        ps->block_start[next++] = count;
    return STATUS_OK;
}

/* The length was checked by part_open; a file that was cut since is not mapped. */
static status map_file(part_series *ps, error *err)
{
    struct stat info;
    if (fstat(ps->fd, &info) != 0)
        return fail_errno(err, errno, "looking at %s", ps->part->path);
    if ((uint64_t)info.st_size != ps->part->bytes)
        return part_damage(ps->part, err, "the file's length");
    void *at = mmap(NULL, ps->part->bytes, PROT_READ, MAP_SHARED, ps->fd, 0);
    if (at == MAP_FAILED)
        return fail_errno(err, errno, "mapping %s", ps->part->path);
    ps->map = at;
    ps->map_size = ps->part->bytes;
    ps->page_state = arena_calloc(ps->memory, MAX(ps->page_count, 1u), sizeof(atomic_uchar));
    return ps->page_state ? STATUS_OK : too_large(err);
}

status part_series_open(part_series *ret, part *p, arena *a, error *err)
{
    *ret = (part_series){ .part = p, .memory = a, .fd = -1 };
    status st = part_file(p, &ret->fd, err);
    if (st == STATUS_OK)
        st = read_series(ret, err);
    if (st == STATUS_OK)
        st = read_blocks(ret, err);
    if (st == STATUS_OK)
        st = part_series_mark_histograms(ret, err);
    if (st == STATUS_OK)
        st = part_section_read(p, ret->fd, SECTION_INDEX, a, &ret->index, err);
    if (st == STATUS_OK)
        st = map_file(ret, err);
    if (st != STATUS_OK)
        part_series_close(ret);
    return st;
}

void part_series_close(part_series *ps)
{
    if (ps->map)
        munmap((void *)(uintptr_t)ps->map, ps->map_size);
    if (ps->fd >= 0)
        close(ps->fd);
    ps->map = NULL;
    ps->fd = -1;
    ps->count = 0;
}

void part_series_key(const part_series *ps, uint32_t series, buf *out)
{
    for (uint32_t i = ps->label_start[series]; i < ps->label_start[series + 1]; i++)
        put_text(out, ps->symbols[ps->pairs[i]]);
}

/* Reads the page once by pread, which tells a disk's error where the mapping would end the process.
 */
static status check_page(const part_series *ps, uint32_t number, error *err)
{
    const series_page *p = &ps->pages[number];
    arena memory;
    str bytes;
    arena_init(&memory, MiB(64));
    status st =
        part_bytes_read(ps->part, ps->fd, p->offset, p->length, p->sum, &memory, &bytes, err);
    arena_done(&memory);
    if (st == STATUS_OK || st == STATUS_CORRUPT)
        atomic_store_explicit(&ps->page_state[number], st == STATUS_OK ? PAGE_SOUND : PAGE_DAMAGED,
                              memory_order_release);
    return st;
}

static status page_bytes(const part_series *ps, uint32_t number, str *ret, error *err)
{
    uint8_t state = atomic_load_explicit(&ps->page_state[number], memory_order_acquire);
    if (UNLIKELY(state == PAGE_DAMAGED))
        return part_damage(ps->part, err, "a checksum");
    if (UNLIKELY(state != PAGE_SOUND)) {
        status st = check_page(ps, number, err);
        if (st != STATUS_OK)
            return st;
    }
    *ret = str_n(ps->map + ps->pages[number].offset, ps->pages[number].length);
    return STATUS_OK;
}

/* `own`: the block's bytes, where its times stand when it shares none. */
static bool open_times(known_times *known, str page, uint64_t shared, bytes_reader *own,
                       series_block_view *ret)
{
    if (!shared)
        return column_open_ints(own, ret->count, &ret->times);
    bytes_reader r = bytes_read(str_slice(page, shared - 1, page.len));
    if (known && known->at == r.at && known->column.count == ret->count) {
        ret->times = known->column;
        ret->times_again = true;
        return true;
    }
    const char *at = r.at;
    if (!column_open_ints(&r, ret->count, &ret->times))
        return false;
    if (known)
        *known = (known_times){ at, ret->times };
    return true;
}

status part_series_view(const part_series *ps, uint32_t block, known_times *known,
                        series_block_view *ret, error *err)
{
    const series_block *b = &ps->blocks[block];
    str page = STR_EMPTY;
    status st = page_bytes(ps, b->page, &page, err);
    if (st != STATUS_OK)
        return st;
    bytes_reader r = bytes_read(str_slice(page, b->offset, (size_t)b->offset + b->length));
    uint64_t shared = get_varint(&r);
    if (r.failed || shared > page.len)
        return part_damage(ps->part, err, "a block of samples");
    *ret = (series_block_view){ .count = b->samples };
    if (!open_times(known, page, shared, &r, ret))
        return part_damage(ps->part, err, "a block of samples");
    ret->values = r;
    return STATUS_OK;
}

void part_series_expect(const part_series *ps, uint32_t block)
{
    const series_block *b = &ps->blocks[block];
    const char *at = ps->map + ps->pages[b->page].offset + b->offset;
    for (size_t line = 0; line < EXPECTED_LINES && line * 64 < b->length; line++)
        __builtin_prefetch(at + line * 64);
}

status part_series_read(const part_series *ps, uint32_t block, int64_t *times, double *values,
                        error *err)
{
    series_block_view v;
    status st = part_series_view(ps, block, NULL, &v, err);
    if (st != STATUS_OK)
        return st;
    column_ints_part(&v.times, 0, v.count, times);
    if (!column_get_doubles(&v.values, values, v.count))
        return part_damage(ps->part, err, "a block of samples");
    return STATUS_OK;
}

status part_families_read(part *p, arena *a, family **ret, uint32_t *ret_count, error *err)
{
    int fd = -1;
    str section = STR_EMPTY;
    status st = part_file(p, &fd, err);
    if (st != STATUS_OK)
        return st;
    st = part_section_read(p, fd, SECTION_FAMILIES, a, &section, err);
    close(fd);
    if (st != STATUS_OK)
        return st;
    bytes_reader r = bytes_read(section);
    uint32_t count = section.len ? get_count(&r, COUNT_MAX) : 0;
    if (r.failed || count > bytes_left(&r))
        return part_damage(p, err, "the metric families");
    family *f = ARENA_ARRAY(a, family, MAX(count, 1u));
    if (!f)
        return too_large(err);
    for (uint32_t i = 0; i < count; i++) {
        f[i].name = get_text(&r);
        f[i].type = get_text(&r);
        f[i].unit = get_text(&r);
        f[i].help = get_text(&r);
    }
    if (r.failed)
        return part_damage(p, err, "the metric families");
    *ret = f;
    *ret_count = count;
    return STATUS_OK;
}
