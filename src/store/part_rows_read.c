// SPDX-License-Identifier: Apache-2.0
/* Reading parts of logs and traces; see part_rows.h. Everything is checked by its checksum before
 * it is looked at, and bounded when it is. */
#include "store/column.h"
#include "store/part_rows.h"
#include "store/token.h"

#include <unistd.h>
#include <xxhash.h>

enum { COUNT_MAX = 1 << 26, TRACE_ENTRY = 12 };

static status read_texts(part_rows *pr, section_kind kind, const str **ret, uint32_t *ret_count,
                         error *err)
{
    str section;
    status st = part_section_read(pr->part, pr->fd, kind, pr->memory, &section, err);
    if (st != STATUS_OK)
        return st;
    bytes_reader r = bytes_read(section);
    uint32_t count = get_count(&r, COUNT_MAX);
    if (r.failed || count > bytes_left(&r))
        return part_damage(pr->part, err, "a list of texts");
    str *texts = ARENA_ARRAY(pr->memory, str, MAX(count, 1u));
    if (!texts)
        return fail(err, STATUS_LIMIT, "reading a part needs more memory than the query may use");
    for (uint32_t i = 0; i < count; i++)
        texts[i] = get_text(&r);
    if (r.failed)
        return part_damage(pr->part, err, "a list of texts");
    *ret = texts;
    *ret_count = count;
    return STATUS_OK;
}

static bool read_block(bytes_reader *r, row_block *b, uint32_t streams)
{
    b->stream = (uint32_t)get_varint(r);
    b->rows = get_count(r, PART_BLOCK_ROWS);
    b->min_time_ns = get_zigzag(r);
    b->max_time_ns = (int64_t)((uint64_t)b->min_time_ns + get_varint(r));
    b->min_extra = get_zigzag(r);
    b->max_extra = (int64_t)((uint64_t)b->min_extra + get_varint(r));
    b->levels = (uint32_t)get_varint(r);
    b->offset = get_varint(r);
    uint8_t columns = get_u8(r);
    for (uint8_t i = 0; i < columns && !r->failed; i++) {
        uint8_t id = get_u8(r);
        uint32_t length = get_count(r, UINT32_MAX);
        uint64_t sum = get_u64(r);
        if (id >= ROW_COLUMNS)
            return false;
        b->length[id] = length;
        b->sum[id] = sum;
    }
    return !r->failed && b->stream < streams && b->rows > 0;
}

static status read_directory(part_rows *pr, error *err)
{
    str section;
    status st = part_section_read(pr->part, pr->fd, SECTION_BLOCKS, pr->memory, &section, err);
    if (st != STATUS_OK)
        return st;
    bytes_reader r = bytes_read(section);
    uint32_t count = get_count(&r, COUNT_MAX);
    if (r.failed || count > bytes_left(&r) / 8)
        return part_damage(pr->part, err, "the block directory");
    pr->blocks = ARENA_ARRAY(pr->memory, row_block, MAX(count, 1u));
    if (!pr->blocks)
        return fail(err, STATUS_LIMIT, "reading a part needs more memory than the query may use");
    for (uint32_t i = 0; i < count; i++) {
        if (!read_block(&r, &pr->blocks[i], pr->names.resource_count))
            return part_damage(pr->part, err, "the block directory");
    }
    pr->block_count = count;
    return STATUS_OK;
}

status part_rows_open(part_rows *ret, part *p, arena *a, error *err)
{
    *ret = (part_rows){ .part = p, .memory = a, .fd = -1 };
    status st = part_file(p, &ret->fd, err);
    if (st == STATUS_OK)
        st = read_texts(ret, SECTION_STREAMS, &ret->names.resources, &ret->names.resource_count,
                        err);
    if (st == STATUS_OK)
        st = read_texts(ret, SECTION_SCOPES, &ret->names.scopes, &ret->names.scope_count, err);
    if (st == STATUS_OK)
        st = read_directory(ret, err);
    if (st != STATUS_OK) {
        part_rows_close(ret);
        ret->block_count = 0;
    }
    return st;
}

void part_rows_close(part_rows *pr)
{
    if (pr->fd >= 0)
        close(pr->fd);
    pr->fd = -1;
}

/* ---- blocks ---- */

static void set_int(row *r, int column, int64_t v)
{
    switch (column) {
    case COLUMN_TIME:
        r->time_ns = v;
        break;
    case COLUMN_EXTRA:
        r->extra_ns = v; /* made absolute at the end */
        break;
    case COLUMN_LEVEL:
        r->level = (uint8_t)v;
        break;
    case COLUMN_STATUS:
        r->status = (uint8_t)v;
        break;
    case COLUMN_FLAGS:
        r->flags = (uint32_t)v;
        break;
    default:
        r->scope = (uint32_t)v;
    }
}

static bool set_text(row *r, int column, str v)
{
    uint8_t *to = column == COLUMN_TRACE  ? r->trace.bytes
                  : column == COLUMN_SPAN ? r->span.bytes
                                          : r->parent.bytes;
    size_t size = column == COLUMN_TRACE ? 16 : 8;
    if (column >= COLUMN_TEXT) {
        r->text[column - COLUMN_TEXT] = v;
        return true;
    }
    if (v.len == 0)
        memset(to, 0, size);
    else if (v.len == size)
        memcpy(to, v.ptr, size);
    else
        return false;
    return true;
}

static bool decode_ints(bytes_reader *r, int column, row *rows, uint32_t n, uint32_t scopes)
{
    int64_t v[PART_BLOCK_ROWS];
    if (!column_get_ints(r, v, n))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (column == COLUMN_SCOPE && (v[i] < 0 || v[i] >= scopes))
            return false;
        set_int(&rows[i], column, v[i]);
    }
    return true;
}

static bool decode_texts(bytes_reader *r, int column, row *rows, uint32_t n, arena *a)
{
    str v[PART_BLOCK_ROWS];
    if (!column_get_texts(r, v, n, a))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!set_text(&rows[i], column, v[i]))
            return false;
    }
    return true;
}

status part_rows_read(part_rows *pr, uint32_t block, uint32_t columns, arena *a, row *rows,
                      error *err)
{
    const row_block *b = &pr->blocks[block];
    uint64_t offset = b->offset;
    for (int c = COLUMN_TIME; c < ROW_COLUMNS; c++) {
        uint64_t at = offset;
        offset += b->length[c];
        if (!(columns & COLUMN_BIT(c)) || b->length[c] == 0)
            continue;
        str bytes;
        status st = part_bytes_read(pr->part, pr->fd, at, b->length[c], b->sum[c], a, &bytes, err);
        if (st != STATUS_OK)
            return st;
        bytes_reader r = bytes_read(bytes);
        bool ok = c <= COLUMN_SCOPE ? decode_ints(&r, c, rows, b->rows, pr->names.scope_count)
                                    : decode_texts(&r, c, rows, b->rows, a);
        if (!ok && a->limit && a->used >= a->limit / 2)
            return fail(err, STATUS_LIMIT, "a block exceeds the query's memory limit");
        if (!ok)
            return part_damage(pr->part, err, "a column");
    }
    for (uint32_t i = 0; i < b->rows; i++) {
        rows[i].resource = b->stream;
        if (columns & COLUMN_BIT(COLUMN_EXTRA))
            rows[i].extra_ns = (int64_t)((uint64_t)rows[i].extra_ns + (uint64_t)rows[i].time_ns);
        for (int t = 0; t < ROW_TEXTS; t++) {
            if (!rows[i].text[t].ptr)
                rows[i].text[t] = STR_EMPTY;
        }
    }
    return STATUS_OK;
}

/* ---- filters ---- */

static status load_filters(part_rows *pr, error *err)
{
    str section;
    status st = part_section_read(pr->part, pr->fd, SECTION_TOKENS, pr->memory, &section, err);
    if (st != STATUS_OK)
        return st;
    str *filters = ARENA_ARRAY(pr->memory, str, MAX(pr->block_count, 1u));
    if (!filters)
        return fail(err, STATUS_LIMIT, "reading a part needs more memory than the query may use");
    bytes_reader r = bytes_read(section);
    for (uint32_t i = 0; i < pr->block_count; i++) {
        uint64_t words = get_varint(&r);
        if (words & (words - 1) || words > (UINT64_C(1) << 32))
            r.failed = true;
        filters[i] = get_bytes(&r, words * 8);
    }
    if (r.failed)
        return part_damage(pr->part, err, "the token filters");
    pr->filters = filters;
    return STATUS_OK;
}

status part_rows_tokens(part_rows *pr, uint32_t stream, const uint64_t *hashes, uint32_t count,
                        uint8_t *keep, error *err)
{
    if (!pr->filters) {
        status st = load_filters(pr, err);
        if (st != STATUS_OK)
            return st;
    }
    for (uint32_t i = 0; i < pr->block_count; i++) {
        str f = pr->filters[i];
        if (f.len == 0 || (stream != UINT32_MAX && pr->blocks[i].stream != stream))
            continue;
        for (uint32_t k = 0; k < count && keep[i]; k++)
            keep[i] = bloom_has(f.ptr, f.len / 8, hashes[k] ? hashes[k] : 1);
    }
    return STATUS_OK;
}

/* ---- the trace index ---- */

typedef struct {
    uint64_t offset, sum;
    uint32_t entries;
} trace_page;

static status search_page(part_rows *pr, const trace_page *page, uint64_t hash, uint8_t *hit,
                          error *err)
{
    str bytes;
    status st =
        part_bytes_read(pr->part, pr->fd, page->offset, (uint64_t)page->entries * TRACE_ENTRY,
                        page->sum, pr->memory, &bytes, err);
    for (uint32_t i = 0; st == STATUS_OK && i < page->entries; i++) {
        uint64_t h;
        uint32_t block;
        memcpy(&h, bytes.ptr + (size_t)i * TRACE_ENTRY, 8);
        memcpy(&block, bytes.ptr + (size_t)i * TRACE_ENTRY + 8, 4);
        if (h == hash && block < pr->block_count)
            hit[block] = 1;
    }
    return st;
}

status part_rows_trace(part_rows *pr, trace_id id, uint8_t *hit, error *err)
{
    str section;
    uint64_t hash, low;
    memcpy(&hash, id.bytes, 8);
    memcpy(&low, id.bytes + 8, 8);
    hash ^= low;
    status st = part_section_read(pr->part, pr->fd, SECTION_TRACES, pr->memory, &section, err);
    if (st != STATUS_OK || section.len == 0)
        return st;
    bytes_reader r = bytes_read(section);
    uint32_t pages = get_count(&r, COUNT_MAX);
    /* The hash may be in a page whose successor begins after it, and in those that begin with it.
     */
    trace_page before = { 0 };
    for (uint32_t i = 0; i < pages && !r.failed && st == STATUS_OK; i++) {
        uint64_t first = get_u64(&r);
        trace_page page;
        page.offset = get_varint(&r);
        page.entries = get_count(&r, 1 << 16);
        page.sum = get_u64(&r);
        if (r.failed)
            break;
        if (first >= hash && before.entries)
            st = search_page(pr, &before, hash, hit, err);
        before = first <= hash ? page : (trace_page){ 0 };
        if (first > hash)
            break;
    }
    if (st == STATUS_OK && r.failed)
        return part_damage(pr->part, err, "the trace index");
    if (st == STATUS_OK && before.entries)
        st = search_page(pr, &before, hash, hit, err);
    return st;
}
