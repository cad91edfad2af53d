// SPDX-License-Identifier: Apache-2.0
/* Merging the rings by time. Each ring is read in pieces; a heap holds the rings by the time of
 * their next record.
 *
 * A copy of a file that is being written may hold a commit word newer than the body behind it. So
 * bytes are read once to learn which records are committed, and once more to use them. */
#include "codec/recorder_reader.h"

#include "base/clock.h"

#include <stdlib.h>

#define PIECE KiB(16)

static bool stream_room(ring_stream *s, uint32_t bytes)
{
    if (bytes <= s->capacity)
        return true;
    char *larger = realloc(s->copy, bytes);
    if (!larger)
        return false;
    s->copy = larger;
    s->capacity = bytes;
    return true;
}

/* With acquire, for those that are read where they were written. */
static uint64_t word_at(const char *p)
{
    return __atomic_load_n((const uint64_t *)(const void *)p, __ATOMIC_ACQUIRE);
}

/* A committed record that can begin at this offset of this extent. */
static bool word_is_good(uint64_t word, const extent_place *place, uint32_t offset)
{
    uint32_t size = RECORDER_WORD_SIZE(word), kind = RECORDER_WORD_RECORD(word);
    uint32_t bytes = place->blocks * (uint32_t)RECORDER_BLOCK_BYTES;
    if (size < 8 || size % 8 || size > RECORDER_RECORD_MAX || offset > bytes - 8)
        return false;
    if (kind != RECORDER_LOG && kind != RECORDER_SPAN && kind != RECORDER_NEXT)
        return false;
    if (kind != RECORDER_NEXT && (size < sizeof(recorder_log) || size > bytes - 8 - offset))
        return false;
    return RECORDER_WORD_CHECK(word) == recorder_check(place->ring, place->index, offset);
}

static bool extent_is_good(recorder_reader *r, const extent_place *place)
{
    recorder_extent head;
    return recorder_read(r, block_offset(r, place->block), &head, sizeof(head), NULL) ==
               STATUS_OK &&
           head.magic == (RECORDER_EXTENT_MAGIC ^ r->header.id) && head.ring == place->ring &&
           head.index == place->index;
}

typedef enum { PIECE_RECORDS, PIECE_NEXT, PIECE_NOTHING, PIECE_DAMAGED } piece;

/* Bytes of whole committed records at the start of what was read, and what follows them. */
static piece measure(const ring_stream *s, const extent_place *place, uint32_t have,
                     uint32_t *ret_len, uint32_t *ret_wanted)
{
    uint32_t len = 0;
    piece after = PIECE_NOTHING;
    while (have - len >= 8) {
        uint64_t word = word_at(s->bytes + len);
        if (word == 0)
            break;
        if (!word_is_good(word, place, s->offset + len)) {
            after = PIECE_DAMAGED;
            break;
        }
        if (RECORDER_WORD_RECORD(word) == RECORDER_NEXT) {
            after = PIECE_NEXT;
            break;
        }
        if (RECORDER_WORD_SIZE(word) > have - len) {
            *ret_wanted = RECORDER_WORD_SIZE(word);
            break;
        }
        len += RECORDER_WORD_SIZE(word);
    }
    *ret_len = len;
    return len ? PIECE_RECORDS : after;
}

/* As many bytes from the stream's position as there are, at most `most`. A file cut short gives
 * fewer. */
static uint32_t read_piece(recorder_reader *r, ring_stream *s, const extent_place *place,
                           uint32_t most)
{
    uint32_t bytes = place->blocks * (uint32_t)RECORDER_BLOCK_BYTES;
    uint64_t at = block_offset(r, place->block) + s->offset;
    if (s->offset >= bytes || at >= r->bytes)
        return 0;
    uint32_t n = (uint32_t)MIN((uint64_t)MIN(most, bytes - s->offset), r->bytes - at);
    if (!stream_room(s, n) || recorder_read(r, at, s->copy, n, NULL) != STATUS_OK)
        return 0;
    s->bytes = s->copy;
    return n;
}

/* The one who gives blocks back may read records of its own process where they lie: a commit word
 * that is there has its body behind it, and nothing changes either. So they are looked at one by
 * one, and what is younger than the horizon not at all. */
static piece piece_in_place(recorder_reader *r, ring_stream *s, const extent_place *place)
{
    uint32_t bytes = place->blocks * (uint32_t)RECORDER_BLOCK_BYTES;
    uint64_t at = block_offset(r, place->block) + s->offset;
    if (s->offset + 8 > bytes || at + (bytes - s->offset) > r->bytes)
        return PIECE_NOTHING;
    s->bytes = r->base + at;
    s->place = *place;
    s->used = s->len = 0;
    uint64_t word = word_at(s->bytes);
    if (word == 0)
        return PIECE_NOTHING;
    if (!word_is_good(word, place, s->offset))
        return PIECE_DAMAGED;
    if (RECORDER_WORD_RECORD(word) == RECORDER_NEXT)
        return PIECE_NEXT;
    s->len = RECORDER_WORD_SIZE(word);
    return PIECE_RECORDS;
}

/* One more record behind those that were looked at; else the stream is filled again, which tells
 * what is there instead. */
static bool one_more_in_place(ring_stream *s)
{
    uint32_t bytes = s->place.blocks * (uint32_t)RECORDER_BLOCK_BYTES;
    if (s->offset + 8 > bytes)
        return false;
    uint64_t word = word_at(s->bytes + s->used);
    if (word == 0 || !word_is_good(word, &s->place, s->offset) ||
        RECORDER_WORD_RECORD(word) == RECORDER_NEXT)
        return false;
    s->len = s->used + RECORDER_WORD_SIZE(word);
    return true;
}

static piece load_piece(recorder_reader *r, ring_stream *s, const extent_place *place)
{
    uint32_t len = 0, wanted = 0;
    if (r->in_place)
        return piece_in_place(r, s, place);
    uint32_t have = read_piece(r, s, place, PIECE);
    piece found = measure(s, place, have, &len, &wanted);
    if (found == PIECE_NOTHING && wanted > have) {
        have = read_piece(r, s, place, wanted);
        found = measure(s, place, have, &len, &wanted);
    }
    if (found != PIECE_RECORDS)
        return found;
    /* The bodies, now that they are known to be committed; then see that nobody gave the blocks
     * back meanwhile. */
    uint64_t word;
    uint64_t word_offset = r->header.table_offset + (uint64_t)place->block * 8;
    if (read_piece(r, s, place, len) != len ||
        recorder_read(r, word_offset, &word, sizeof(word), NULL) != STATUS_OK ||
        word != recorder_block_word(RECORDER_EXTENT, place->blocks, place->ring, place->index))
        return PIECE_NOTHING;
    s->used = 0;
    s->len = len;
    return PIECE_RECORDS;
}

static bool after_damage(recorder_reader *r, ring_stream *s)
{
    const extent_place *place = recorder_find_extent(r, s->ring, s->index + 1);
    if (!place)
        return false;
    s->index = place->index;
    s->offset = 0;
    return true;
}

static void set_time(recorder_reader *r, ring_stream *s)
{
    uint64_t ticks;
    memcpy(&ticks, s->bytes + s->used + 8, sizeof(ticks));
    s->time_ns = recorder_ticks_to_ns(r, ticks);
}

bool recorder_stream_fill(recorder_reader *r, ring_stream *s)
{
    s->used = s->len = 0;
    for (uint32_t steps = 0; steps <= r->header.block_count; steps++) {
        const extent_place *found = recorder_find_extent(r, s->ring, s->index);
        if (!found)
            return false;
        if (found->index != s->index) {
            /* The table is no snapshot: look again before the missing one is given up. */
            if (recorder_refresh(r, NULL) != STATUS_OK)
                return false;
            found = recorder_find_extent(r, s->ring, s->index);
            if (!found)
                return false;
            if (found->index != s->index)
                s->offset = 0;
        }
        extent_place place = *found;
        s->index = place.index;
        s->offset = MAX(s->offset, (uint32_t)sizeof(recorder_extent));
        switch (extent_is_good(r, &place) ? load_piece(r, s, &place) : PIECE_DAMAGED) {
        case PIECE_RECORDS:
            set_time(r, s);
            return true;
        case PIECE_NEXT:
            s->index++;
            s->offset = 0;
            break;
        case PIECE_DAMAGED:
            if (!after_damage(r, s))
                return false;
            break;
        case PIECE_NOTHING:
            return false;
        }
    }
    return false;
}

const char *recorder_stream_front(const ring_stream *s, uint32_t *ret_size, uint32_t *ret_kind)
{
    uint64_t word = word_at(s->bytes + s->used);
    uint32_t left = s->len - s->used, size = RECORDER_WORD_SIZE(word);
    /* Looked at before; but a stray write of the program may have come since. */
    *ret_size = size >= 8 && size <= left ? size : left;
    *ret_kind = RECORDER_WORD_RECORD(word);
    return s->bytes + s->used;
}

bool recorder_stream_step(recorder_reader *r, ring_stream *s)
{
    uint32_t size, kind;
    recorder_stream_front(s, &size, &kind);
    s->used += size;
    s->offset += size;
    if (s->used >= s->len && (!r->in_place || !one_more_in_place(s)))
        return false;
    set_time(r, s);
    return true;
}

bool recorder_is_committed(recorder_reader *r, uint32_t ring, uint64_t sequence)
{
    const extent_place *place = recorder_find_extent(r, ring, RECORDER_SEQ_INDEX(sequence));
    if (!place || place->index != RECORDER_SEQ_INDEX(sequence))
        return true; /* drained and given back */
    uint64_t word, at = block_offset(r, place->block) + RECORDER_SEQ_OFFSET(sequence);
    return RECORDER_SEQ_OFFSET(sequence) < place->blocks * RECORDER_BLOCK_BYTES &&
           recorder_read(r, at, &word, sizeof(word), NULL) == STATUS_OK &&
           word_is_good(word, place, RECORDER_SEQ_OFFSET(sequence));
}

/* ---- the heap ---- */

static bool earlier(const recorder_reader *r, uint32_t a, uint32_t b)
{
    const ring_stream *x = &r->streams[a], *y = &r->streams[b];
    return x->time_ns != y->time_ns ? x->time_ns < y->time_ns : x->ring < y->ring;
}

static void swap(uint32_t *a, uint32_t *b)
{
    uint32_t t = *a;
    *a = *b;
    *b = t;
}

static void heap_down(recorder_reader *r, uint32_t i)
{
    for (;;) {
        uint32_t least = i, left = 2 * i + 1, right = left + 1;
        if (left < r->heap_count && earlier(r, r->heap[left], r->heap[least]))
            least = left;
        if (right < r->heap_count && earlier(r, r->heap[right], r->heap[least]))
            least = right;
        if (least == i)
            return;
        swap(&r->heap[i], &r->heap[least]);
        i = least;
    }
}

static void heap_push(recorder_reader *r, uint32_t stream)
{
    uint32_t i = r->heap_count++;
    r->heap[i] = stream;
    while (i && earlier(r, r->heap[i], r->heap[(i - 1) / 2])) {
        swap(&r->heap[i], &r->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

static void heap_pop(recorder_reader *r)
{
    r->heap[0] = r->heap[--r->heap_count];
    heap_down(r, 0);
}

/* ---- polling ---- */

static bool streams_for(recorder_reader *r, uint32_t count)
{
    if (count <= r->stream_count)
        return true;
    ring_stream *streams = realloc(r->streams, count * sizeof(*streams));
    if (streams)
        r->streams = streams;
    uint32_t *heap = streams ? realloc(r->heap, count * sizeof(*heap)) : NULL;
    if (!heap)
        return false;
    r->heap = heap;
    for (uint32_t i = r->stream_count; i < count; i++)
        streams[i] = (ring_stream){ .ring = i };
    r->stream_count = count;
    return true;
}

static void start_streams(recorder_reader *r, const recorder_cursor *c, int64_t horizon_ns)
{
    r->heap_count = 0;
    for (uint32_t ring = 0; ring < c->count; ring++) {
        ring_stream *s = &r->streams[ring];
        s->index = RECORDER_SEQ_INDEX(c->at[ring]);
        s->offset = RECORDER_SEQ_OFFSET(c->at[ring]);
        if (recorder_stream_fill(r, s) && s->time_ns <= horizon_ns)
            heap_push(r, ring);
    }
}

static uint32_t find_scope(const recorder_reader *r, const batch *b, str name)
{
    for (uint32_t i = b->scope_count; i > 0; i--) {
        const batch_scope *s = &b->scopes[i - 1];
        if (b->resources[s->resource].attributes.items == r->resource.items &&
            str_eq(s->name, name))
            return i - 1;
    }
    return BATCH_FULL;
}

uint32_t recorder_logger_scope(recorder_reader *r, batch *b, uint32_t scope, str name)
{
    uint32_t found = find_scope(r, b, name);
    if (found != BATCH_FULL)
        return found;
    found = batch_add_scope(b, b->scopes[scope].resource);
    if (found != BATCH_FULL)
        b->scopes[found].name = name;
    return found;
}

uint32_t recorder_batch_scope(recorder_reader *r, batch *b)
{
    uint32_t found = find_scope(r, b, STR("sonde"));
    if (found != BATCH_FULL)
        return found;
    uint32_t resource = batch_add_resource(b);
    if (resource == BATCH_FULL)
        return BATCH_FULL;
    uint32_t scope = batch_add_scope(b, resource);
    if (scope == BATCH_FULL)
        return BATCH_FULL;
    b->resources[resource].attributes = r->resource;
    b->scopes[scope].name = STR("sonde");
    b->scopes[scope].version = STR(SONDE_VERSION);
    return scope;
}

typedef struct {
    batch *logs, *spans;
    uint32_t log_scope, span_scope;
    uint32_t rows;
} poll_output;

static decode_result emit(recorder_reader *r, const ring_stream *s, poll_output *out)
{
    uint32_t size, kind;
    const char *record = recorder_stream_front(s, &size, &kind);
    char id[RECORD_ID_MAX];
    batch *into = kind == RECORDER_LOG ? out->logs : out->spans;
    if (!into)
        return DECODED;
    str record_id = recorder_record_id(r, s->ring, RECORDER_SEQ(s->index, s->offset), id);
    decode_result result =
        kind == RECORDER_LOG
            ? recorder_decode_log(r, into, out->log_scope, record, size, record_id)
            : recorder_decode_span(r, into, out->span_scope, record, size, record_id);
    out->rows += result == DECODED;
    return result;
}

status recorder_poll(recorder_reader *r, recorder_cursor *c, int64_t horizon_ns, uint32_t max_rows,
                     batch *logs, batch *spans, uint32_t *ret_rows, bool *ret_full, error *err)
{
    poll_output out = { .logs = logs, .spans = spans };
    bool full = false;
    *ret_rows = 0;
    *ret_full = false;
    status st = recorder_refresh(r, err);
    if (st != STATUS_OK)
        return st;
    if (!recorder_cursor_follow(r, c) || !streams_for(r, c->count))
        return fail(err, STATUS_NO_MEMORY, "no memory for %u rings", recorder_ring_count(r));
    out.log_scope = logs ? recorder_batch_scope(r, logs) : 0;
    out.span_scope = spans ? recorder_batch_scope(r, spans) : 0;
    if (out.log_scope == BATCH_FULL || out.span_scope == BATCH_FULL) {
        *ret_full = true;
        return STATUS_OK;
    }
    start_streams(r, c, horizon_ns);
    while (r->heap_count && out.rows < max_rows && !full) {
        ring_stream *s = &r->streams[r->heap[0]];
        full = emit(r, s, &out) == DECODE_FULL;
        if (full)
            break;
        bool more = recorder_stream_step(r, s);
        c->at[s->ring] = RECORDER_SEQ(s->index, s->offset);
        if (!more) {
            more = recorder_stream_fill(r, s);
            c->at[s->ring] = RECORDER_SEQ(s->index, s->offset);
        }
        if (more && s->time_ns <= horizon_ns)
            heap_down(r, 0);
        else
            heap_pop(r);
    }
    *ret_rows = out.rows;
    *ret_full = full;
    return STATUS_OK;
}
