// SPDX-License-Identifier: Apache-2.0
/* What lies where in a recorder: the block table, sites, ring rows, and the clock. */
#include "codec/recorder_reader.h"

#include <stdlib.h>

static bool grow_u32(uint32_t **list, uint32_t *count, uint32_t wanted)
{
    if (wanted <= *count)
        return true;
    uint32_t *larger = realloc(*list, wanted * sizeof(uint32_t));
    if (!larger)
        return false;
    memset(larger + *count, 0xff, (wanted - *count) * sizeof(uint32_t));
    *list = larger;
    *count = wanted;
    return true;
}

static bool note_block(uint32_t **list, uint32_t *count, uint32_t most, uint32_t index,
                       uint32_t block)
{
    if (index >= most)
        return true; /* no writer makes it: damage, not looked at */
    if (!grow_u32(list, count, index + 1))
        return false;
    (*list)[index] = block;
    return true;
}

static bool note_extent(recorder_reader *r, uint64_t word, uint32_t block)
{
    uint32_t blocks = RECORDER_WORD_BLOCKS(word), ring = RECORDER_WORD_RING(word);
    if (blocks == 0 || blocks > r->header.block_count - block || ring >= RECORDER_RINGS_MAX)
        return true;
    if (r->extent_count == r->extent_capacity) {
        uint32_t wanted = MAX(64u, r->extent_capacity * 2);
        extent_place *larger = realloc(r->extents, wanted * sizeof(*larger));
        if (!larger)
            return false;
        r->extents = larger;
        r->extent_capacity = wanted;
    }
    r->extents[r->extent_count++] =
        (extent_place){ ring, RECORDER_WORD_INDEX(word), block, blocks };
    return true;
}

static int compare_places(const void *a, const void *b)
{
    const extent_place *x = a, *y = b;
    if (x->ring != y->ring)
        return x->ring < y->ring ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static bool note_blocks(recorder_reader *r)
{
    r->extent_count = 0;
    bool good = true;
    for (uint32_t i = 0; i < r->table_count && good; i++) {
        uint64_t word = r->table[i];
        uint32_t index = RECORDER_WORD_INDEX(word);
        switch (RECORDER_WORD_KIND(word)) {
        case RECORDER_EXTENT:
            good = note_extent(r, word, i);
            break;
        case RECORDER_SITES:
            good = note_block(&r->site_blocks, &r->site_block_count, RECORDER_SITE_BLOCKS_MAX,
                              index, i);
            break;
        case RECORDER_RINGS:
            good = note_block(&r->ring_blocks, &r->ring_block_count,
                              RECORDER_RINGS_MAX / RECORDER_RINGS_PER_BLOCK, index, i);
            break;
        case RECORDER_LIVE:
            good = note_block(&r->live_blocks, &r->live_block_count, RECORDER_LIVE_BLOCKS_MAX,
                              index, i);
            break;
        default:
            break;
        }
    }
    if (r->extent_count)
        qsort(r->extents, r->extent_count, sizeof(*r->extents), compare_places);
    return good;
}

static int compare_rows(const void *a, const void *b)
{
    const recorder_clock_row *x = a, *y = b;
    return x->ticks < y->ticks ? -1 : x->ticks > y->ticks;
}

/* Without the row that the writer may just be replacing. */
static void note_clock(recorder_reader *r)
{
    uint64_t written = r->header.clock_count;
    if (r->clock_count && written == r->clock_written)
        return;
    r->clock_written = written;
    r->clock_count = 0;
    for (uint32_t i = 0; i < RECORDER_CLOCK_ROWS; i++) {
        const recorder_clock_row *row = &r->header.clock[i];
        bool being_replaced = written >= RECORDER_CLOCK_ROWS && i == written % RECORDER_CLOCK_ROWS;
        if (!being_replaced && row->sequence && row->mult)
            r->clock[r->clock_count++] = *row;
    }
    qsort(r->clock, r->clock_count, sizeof(*r->clock), compare_rows);
}

/* Most refreshes of a recorder in memory find nothing new. */
static bool table_is_same(const recorder_reader *r, uint64_t offset, uint32_t count)
{
    if (!r->in_place || count != r->table_count || !r->table)
        return false;
    const uint64_t *now = (const uint64_t *)(const void *)(r->base + offset);
    for (uint32_t i = 0; i < count; i++)
        if (__atomic_load_n(&now[i], __ATOMIC_RELAXED) != r->table[i])
            return false;
    return true;
}

status recorder_refresh(recorder_reader *r, error *err)
{
    recorder_header *h = &r->header;
    uint64_t table_offset = h->table_offset, blocks_offset = h->blocks_offset;
    uint32_t block_count = h->block_count;
    status st = recorder_read(r, 0, h, offsetof(recorder_header, resource), err);
    if (st != STATUS_OK)
        return st;
    h->table_offset = table_offset; /* as checked at the opening */
    h->blocks_offset = blocks_offset;
    h->block_count = block_count;
    uint64_t there = r->bytes > table_offset ? (r->bytes - table_offset) / 8 : 0;
    uint32_t count = (uint32_t)MIN(MIN(h->reserved, (uint64_t)block_count), there);
    note_clock(r);
    if (table_is_same(r, table_offset, count))
        return STATUS_OK;
    if (count > r->table_count || !r->table) {
        uint64_t *larger = realloc(r->table, MAX(count, 1u) * sizeof(uint64_t));
        if (!larger)
            return fail(err, STATUS_NO_MEMORY, "no memory for %u words of the block table", count);
        r->table = larger;
    }
    r->table_count = count;
    st = recorder_read(r, table_offset, r->table, count * sizeof(uint64_t), err);
    if (st != STATUS_OK)
        return st;
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* what the words speak of comes after them */
    if (note_blocks(r))
        return STATUS_OK;
    r->table_count = 0; /* to be read again */
    return fail(err, STATUS_NO_MEMORY, "no memory for extents");
}

const extent_place *recorder_find_extent(const recorder_reader *r, uint32_t ring, uint32_t index)
{
    uint32_t low = 0, high = r->extent_count;
    extent_place wanted = { ring, index, 0, 0 };
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_places(&r->extents[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->extent_count && r->extents[low].ring == ring ? &r->extents[low] : NULL;
}

uint32_t recorder_ring_count(const recorder_reader *r)
{
    return (uint32_t)MIN(r->header.ring_count, (uint64_t)RECORDER_RINGS_MAX);
}

uint64_t recorder_ring_row_offset(const recorder_reader *r, uint32_t ring)
{
    uint32_t index = ring / RECORDER_RINGS_PER_BLOCK;
    if (index >= r->ring_block_count || r->ring_blocks[index] == UINT32_MAX)
        return 0;
    return block_offset(r, r->ring_blocks[index]) +
           ring % RECORDER_RINGS_PER_BLOCK * sizeof(recorder_ring_row);
}

/* ---- sites ---- */

static bool take(str *rest, size_t n, str *ret)
{
    if (rest->len < n)
        return false;
    *ret = str_slice(*rest, 0, n);
    *rest = str_slice(*rest, n, rest->len);
    return true;
}

static bool parse_site(recorder_site *s, const recorder_site_row *row, str rest)
{
    s->severity = row->level;
    s->line = row->line;
    if (!take(&rest, row->name_bytes, &s->name) || !take(&rest, row->file_bytes, &s->file) ||
        !take(&rest, row->function_bytes, &s->function))
        return false;
    for (uint32_t i = 0; i < row->key_count && i < RECORDER_SITE_KEYS; i++) {
        str length;
        if (!take(&rest, 1, &length) || !take(&rest, (uint8_t)length.ptr[0], &s->keys[i]))
            return false;
        s->key_count++;
    }
    str length; /* not in rows of older writers */
    if (!take(&rest, 1, &length) || !take(&rest, (uint8_t)length.ptr[0], &s->logger))
        s->logger = STR_EMPTY;
    return true;
}

static bool load_site(recorder_reader *r, recorder_site *s)
{
    uint32_t index = RECORDER_SITE_INDEX(s->id), offset = RECORDER_SITE_OFFSET(s->id);
    if (index >= r->site_block_count || r->site_blocks[index] == UINT32_MAX)
        return false;
    uint64_t at = block_offset(r, r->site_blocks[index]) + offset;
    recorder_site_row row;
    if (offset + sizeof(row) > RECORDER_BLOCK_BYTES ||
        recorder_read(r, at, &row, sizeof(row), NULL) != STATUS_OK || row.word < sizeof(row) ||
        row.word > RECORDER_BLOCK_BYTES - offset)
        return false;
    size_t n = row.word - sizeof(row);
    char *text = arena_alloc(&r->arena, n + 1);
    return text && recorder_read(r, at + sizeof(row), text, n, NULL) == STATUS_OK &&
           parse_site(s, &row, str_n(text, n));
}

const recorder_site *recorder_site_get(recorder_reader *r, uint32_t id)
{
    static const recorder_site unknown = { .name = STR_INIT("unknown") };
    if (r->last_site && r->last_site->id == id)
        return r->last_site;
    uint64_t *known = map_get(&r->sites, str_n(&id, sizeof(id)));
    if (known)
        return r->last_site = (const recorder_site *)(uintptr_t)*known;
    recorder_site *s = ARENA_NEW(&r->arena, recorder_site);
    if (!s)
        return &unknown;
    s->id = id;
    if (!load_site(r, s)) {
        /* A site may be published after the table was read. */
        if (recorder_refresh(r, NULL) != STATUS_OK || !load_site(r, s))
            return &unknown;
    }
    map_put(&r->sites, str_n(&s->id, sizeof(s->id)), (uintptr_t)s, NULL);
    return s;
}

/* ---- the clock ---- */

int64_t recorder_ticks_to_ns(recorder_reader *r, uint64_t ticks)
{
    if (r->clock_count == 0)
        return r->header.start_ns;
    uint32_t i = r->clock_count - 1;
    while (i > 0 && r->clock[i].ticks > ticks)
        i--;
    const recorder_clock_row *row = &r->clock[i];
    if (LIKELY((int64_t)(ticks | row->ticks | row->mult) >= 0)) {
        int64_t ns, passed = (int64_t)ticks - (int64_t)row->ticks;
        __int128 product = (__int128)passed * (int64_t)row->mult >> 32;
        if (LIKELY((int64_t)product == product &&
                   !__builtin_add_overflow((int64_t)product, row->real_ns, &ns) && ns >= 0))
            return ns;
    }
    __int128 away = (__int128)ticks - (__int128)row->ticks;
    /* 65 bits with sign times 63 bits fits, whatever a damaged file says. */
    __int128 mult = (__int128)MIN(row->mult, (uint64_t)INT64_MAX);
    __int128 ns = (__int128)row->real_ns + (away * mult >> 32);
    return ns > INT64_MAX ? INT64_MAX : ns < 0 ? 0 : (int64_t)ns;
}
