// SPDX-License-Identifier: Apache-2.0
/* How far each sink has read: positions per ring in the ring rows, names in the header; and giving
 * back what all sinks have passed. */
#include "codec/recorder_reader.h"

#include <stdlib.h>

static uint64_t sink_offset(uint32_t sink)
{
    return offsetof(recorder_header, sinks) + (uint64_t)sink * RECORDER_SINK_NAME;
}

static uint64_t cursor_offset(const recorder_reader *r, uint32_t ring, uint32_t sink)
{
    uint64_t row = recorder_ring_row_offset(r, ring);
    return row ? row + offsetof(recorder_ring_row, cursor) + sink * sizeof(uint64_t) : 0;
}

static bool sink_is(const recorder_reader *r, uint32_t sink, str name)
{
    const char *has = r->header.sinks[sink];
    return has[0] && str_eq(str_n(has, strnlen(has, RECORDER_SINK_NAME)), name);
}

static int find_sink(const recorder_reader *r, str name)
{
    for (uint32_t i = 0; i < RECORDER_SINKS; i++) {
        if (sink_is(r, i, name))
            return (int)i;
    }
    return -1;
}

/* Rings that came since; a named sink's committed positions come from the file. */
bool recorder_cursor_follow(recorder_reader *r, recorder_cursor *c)
{
    uint32_t wanted = recorder_ring_count(r);
    if (wanted <= c->count)
        return true;
    uint64_t *committed = realloc(c->committed, wanted * sizeof(uint64_t));
    if (committed)
        c->committed = committed;
    uint64_t *at = committed ? realloc(c->at, wanted * sizeof(uint64_t)) : NULL;
    if (!at)
        return false;
    c->at = at;
    for (uint32_t ring = c->count; ring < wanted; ring++) {
        uint64_t sequence = 0, offset = c->sink < 0 ? 0 : cursor_offset(r, ring, (uint32_t)c->sink);
        if (offset && recorder_read(r, offset, &sequence, sizeof(sequence), NULL) != STATUS_OK)
            sequence = 0;
        c->committed[ring] = c->at[ring] = sequence;
    }
    c->count = wanted;
    return true;
}

static status cursor_new(recorder_reader *r, recorder_cursor **ret, int sink, error *err)
{
    recorder_cursor *c = calloc(1, sizeof(*c));
    if (!c)
        return fail(err, STATUS_NO_MEMORY, "no memory for a cursor");
    c->sink = sink;
    c->next = r->cursors;
    r->cursors = c;
    if (!recorder_cursor_follow(r, c))
        return fail(err, STATUS_NO_MEMORY, "no memory for a cursor");
    *ret = c;
    return STATUS_OK;
}

static status enter_sink(recorder_reader *r, str name, int *ret, error *err)
{
    char padded[RECORDER_SINK_NAME] = { 0 };
    for (uint32_t i = 0; i < RECORDER_SINKS; i++) {
        if (r->header.sinks[i][0])
            continue;
        memcpy(padded, name.ptr, name.len);
        status st = source_write(r, sink_offset(i), padded, sizeof(padded), err);
        if (st != STATUS_OK)
            return st;
        memcpy(r->header.sinks[i], padded, sizeof(padded));
        *ret = (int)i;
        return STATUS_OK;
    }
    return fail(err, STATUS_LIMIT, "the recorder has %u sinks already", RECORDER_SINKS);
}

status recorder_cursor_open(recorder_reader *r, recorder_cursor **ret, str sink, error *err)
{
    if (sink.len == 0 || sink.len >= RECORDER_SINK_NAME)
        return fail(err, STATUS_INVALID, "a sink's name has 1 to %u bytes: \"%.*s\"",
                    RECORDER_SINK_NAME - 1, STR_ARG(sink));
    status st = recorder_refresh(r, err);
    if (st != STATUS_OK)
        return st;
    int number = find_sink(r, sink);
    if (number < 0 && !r->options.read_only)
        st = enter_sink(r, sink, &number, err);
    return st == STATUS_OK ? cursor_new(r, ret, number, err) : st;
}

status recorder_cursor_open_unnamed(recorder_reader *r, recorder_cursor **ret, error *err)
{
    status st = recorder_refresh(r, err);
    return st == STATUS_OK ? cursor_new(r, ret, -1, err) : st;
}

void recorder_cursor_rewind(recorder_reader *r, recorder_cursor *c)
{
    (void)r;
    if (c->count)
        memcpy(c->at, c->committed, c->count * sizeof(uint64_t));
}

/* The extent index up to which every sink has read a ring. */
static uint32_t passed_by_all(recorder_reader *r, uint32_t ring)
{
    recorder_ring_row row;
    uint64_t offset = recorder_ring_row_offset(r, ring), least = UINT64_MAX;
    if (!offset || recorder_read(r, offset, &row, sizeof(row), NULL) != STATUS_OK)
        return 0;
    for (uint32_t s = 0; s < RECORDER_SINKS; s++) {
        if (r->header.sinks[s][0])
            least = MIN(least, row.cursor[s]);
    }
    return least == UINT64_MAX ? 0 : RECORDER_SEQ_INDEX(least);
}

/* One byte per block: the only thing that a reader changes in the block table. The head goes first,
 * so that no other reader sees a head whose run is partly somebody else's. */
static status free_run(recorder_reader *r, const extent_place *place, error *err)
{
    static const uint8_t free_kind = RECORDER_FREE;
    for (uint32_t i = 0; i < place->blocks; i++) {
        uint64_t offset = r->header.table_offset + (uint64_t)(place->block + i) * 8;
        status st = source_write(r, offset, &free_kind, 1, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

static status free_passed(recorder_reader *r, error *err)
{
    uint32_t ring = UINT32_MAX, passed = 0;
    for (uint32_t i = 0; i < r->extent_count; i++) {
        const extent_place *place = &r->extents[i];
        if (place->ring != ring) {
            ring = place->ring;
            passed = passed_by_all(r, ring);
        }
        if (place->index >= passed)
            continue;
        status st = free_run(r, place, err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

status recorder_cursor_commit(recorder_reader *r, recorder_cursor *c, error *err)
{
    bool next_extent = false, changed = false;
    if (c->sink < 0)
        return STATUS_OK;
    for (uint32_t ring = 0; ring < c->count; ring++) {
        if (c->at[ring] == c->committed[ring])
            continue;
        uint64_t offset = cursor_offset(r, ring, (uint32_t)c->sink);
        if (!offset)
            continue;
        status st = source_write(r, offset, &c->at[ring], sizeof(uint64_t), err);
        if (st != STATUS_OK)
            return st;
        next_extent |= RECORDER_SEQ_INDEX(c->at[ring]) != RECORDER_SEQ_INDEX(c->committed[ring]);
        c->committed[ring] = c->at[ring];
        changed = true;
    }
    if (!changed || !next_extent)
        return STATUS_OK;
    status st = recorder_refresh(r, err);
    return st == STATUS_OK ? free_passed(r, err) : st;
}

uint64_t recorder_cursor_behind_bytes(recorder_reader *r, recorder_cursor *c)
{
    uint64_t sum = 0;
    if (recorder_refresh(r, NULL) != STATUS_OK || !recorder_cursor_follow(r, c))
        return 0;
    for (uint32_t i = 0; i < r->extent_count; i++) {
        const extent_place *place = &r->extents[i];
        uint64_t at = place->ring < c->count ? c->at[place->ring] : 0;
        if (place->index < RECORDER_SEQ_INDEX(at))
            continue;
        ring_stream s = { .ring = place->ring, .index = place->index };
        if (place->index == RECORDER_SEQ_INDEX(at))
            s.offset = RECORDER_SEQ_OFFSET(at);
        while (recorder_stream_fill(r, &s) && s.index == place->index) {
            sum += s.len - s.used;
            s.offset += s.len - s.used;
            s.used = s.len;
        }
        free(s.copy);
    }
    return sum;
}

uint64_t recorder_cursor_behind_extents(recorder_reader *r, recorder_cursor *c)
{
    uint64_t blocks = 0;
    for (uint32_t i = 0; i + 1 < r->extent_count; i++) {
        const extent_place *place = &r->extents[i];
        uint64_t at = place->ring < c->count ? c->committed[place->ring] : 0;
        if (place[1].ring == place->ring && place->index >= RECORDER_SEQ_INDEX(at))
            blocks += place->blocks;
    }
    return blocks * RECORDER_BLOCK_BYTES;
}

status recorder_sink_remove(recorder_reader *r, str sink, error *err)
{
    static const char none[RECORDER_SINK_NAME];
    status st = recorder_refresh(r, err);
    int number = st == STATUS_OK ? find_sink(r, sink) : -1;
    if (number < 0)
        return st;
    st = source_write(r, sink_offset((uint32_t)number), none, sizeof(none), err);
    for (uint32_t ring = 0; st == STATUS_OK && ring < recorder_ring_count(r); ring++) {
        uint64_t offset = cursor_offset(r, ring, (uint32_t)number), zero = 0;
        if (offset)
            st = source_write(r, offset, &zero, sizeof(zero), err);
    }
    if (st == STATUS_OK)
        st = recorder_refresh(r, err);
    return st == STATUS_OK ? free_passed(r, err) : st;
}
