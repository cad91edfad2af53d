// SPDX-License-Identifier: Apache-2.0
/* Spans that were started and not ended, from the live table: what was the process doing? */
#include "codec/recorder_reader.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define DIED               "process died before the span ended"
#define TRACE_FLAG_SAMPLED 1u

/* All live blocks in memory, by index. */
typedef struct {
    char *bytes;
    uint32_t blocks;
} live_table;

static status load_table(recorder_reader *r, live_table *ret, error *err)
{
    uint32_t count = r->live_block_count;
    char *bytes = calloc(MAX(count, 1u), RECORDER_BLOCK_BYTES);
    if (!bytes)
        return fail(err, STATUS_NO_MEMORY, "no memory for %u blocks of live spans", count);
    for (uint32_t i = 0; i < count; i++) {
        if (r->live_blocks[i] == UINT32_MAX)
            continue;
        uint64_t at = block_offset(r, r->live_blocks[i]);
        size_t n = at < r->bytes ? MIN(r->bytes - at, (uint64_t)RECORDER_BLOCK_BYTES) : 0;
        char *to = bytes + (size_t)i * RECORDER_BLOCK_BYTES;
        if (recorder_read(r, at, to, n, NULL) != STATUS_OK)
            memset(to, 0, RECORDER_BLOCK_BYTES);
    }
    *ret = (live_table){ bytes, count };
    return STATUS_OK;
}

static const char *slot_at(const live_table *t, uint32_t slot)
{
    return slot < t->blocks * RECORDER_SLOTS_PER_BLOCK
               ? t->bytes + (size_t)slot * RECORDER_SLOT_BYTES
               : NULL;
}

/* The span as a record: its head, and the stream put together. As much of it as is good. */
static uint32_t gather(const live_table *t, const char *slot, char *record)
{
    recorder_span span;
    memcpy(&span, slot, sizeof(span));
    uint32_t wanted = MIN(span.bytes, (uint32_t)RECORDER_STREAM_MAX), have = 0;
    const char *from = slot + sizeof(span);
    uint32_t room = RECORDER_SLOT_HEAD_PAYLOAD, next = span.next;
    for (;;) {
        uint32_t part = MIN(wanted - have, room);
        memcpy(record + sizeof(span) + have, from, part);
        have += part;
        const char *more = have < wanted && next ? slot_at(t, next - 1) : NULL;
        recorder_slot_more head;
        if (!more)
            break;
        memcpy(&head, more, sizeof(head));
        if (head.word != RECORDER_SLOT_MORE)
            break;
        from = more + sizeof(head);
        room = RECORDER_SLOT_MORE_PAYLOAD;
        next = head.next;
    }
    span.bytes = have;
    memcpy(record, &span, sizeof(span));
    return (uint32_t)sizeof(span) + have;
}

/* The thread that began a span which is open still. A ring's row names its last owner. */
static void add_thread(recorder_reader *r, batch *b, uint32_t row, const recorder_span *span)
{
    recorder_ring_row ring;
    attrs *list = &b->spans.attributes[row];
    uint32_t capacity = list->count;
    if (span->word != RECORDER_SLOT_LIVE || span->end_seq || !span->end_ring)
        return;
    uint64_t at = recorder_ring_row_offset(r, span->end_ring - 1);
    if (!at || recorder_read(r, at, &ring, sizeof(ring), NULL) != STATUS_OK || !ring.tid)
        return;
    str name = arena_str(&b->arena, str_n(ring.thread, strnlen(ring.thread, sizeof(ring.thread))));
    if (name.ptr && !attrs_get(list, STR("thread.id")) &&
        attrs_append(&b->arena, list, &capacity, STR("thread.id"), VALUE_I(ring.tid)) && name.len)
        attrs_append(&b->arena, list, &capacity, STR("thread.name"), VALUE_S(name));
}

static decode_result add_span(recorder_reader *r, batch *b, uint32_t scope, uint32_t slot,
                              const char *record, uint32_t size, int64_t end_ns, bool died)
{
    recorder_span head;
    char id[RECORD_ID_MAX];
    int n = snprintf(id, sizeof(id), "%016llx:live:%u", (unsigned long long)r->header.id, slot);
    decode_result result = recorder_decode_span(r, b, scope, record, size, str_n(id, (size_t)n));
    if (result != DECODED)
        return result;
    uint32_t row = b->spans.count - 1;
    memcpy(&head, record, sizeof(head));
    if (died)
        b->spans.flags[row] |= TRACE_FLAG_SAMPLED; /* from here on a tentative one is, too */
    if (head.word == RECORDER_SLOT_KEPT)
        return DECODED;
    add_thread(r, b, row, &head);
    const span_events *events = &b->spans.events[row];
    for (uint32_t i = 0; i < events->count; i++)
        end_ns = MAX(end_ns, events->items[i].time_ns);
    b->spans.end_ns[row] = MAX(end_ns, b->spans.start_ns[row]);
    if (died) {
        b->spans.status[row] = SPAN_STATUS_ERROR;
        b->spans.status_message[row] = STR(DIED);
    }
    return DECODED;
}

/* Whether the local root of a tentative or kept span is open still, and hence decides about it. */
static bool has_open_root(const live_table *t, const recorder_span *span)
{
    recorder_span root;
    const char *slot = slot_at(t, span->end_ring - 1);
    if (!slot)
        return false;
    memcpy(&root, slot, sizeof(root));
    return root.word == RECORDER_SLOT_TENTATIVE && root.end_ring == span->end_ring &&
           memcmp(root.trace_id, span->trace_id, sizeof(root.trace_id)) == 0;
}

/* Open, and not one whose record made it into the ring. Of a dead process also those that ended and
 * waited for their local root: it failed by the death. */
static bool is_open(recorder_reader *r, const live_table *t, const recorder_span *span, bool died)
{
    if (span->word == RECORDER_SLOT_TENTATIVE || (span->word == RECORDER_SLOT_KEPT && died))
        return has_open_root(t, span);
    if (span->word != RECORDER_SLOT_LIVE)
        return false;
    return span->end_seq == 0 || !recorder_is_committed(r, span->end_ring, span->end_seq);
}

static status add_all(recorder_reader *r, const live_table *t, batch *spans, char *record,
                      int64_t end_ns, bool died, error *err)
{
    uint32_t scope = recorder_batch_scope(r, spans);
    for (uint32_t i = 0; i < t->blocks * RECORDER_SLOTS_PER_BLOCK; i++) {
        recorder_span span;
        const char *slot = slot_at(t, i);
        memcpy(&span, slot, sizeof(span));
        if (!is_open(r, t, &span, died))
            continue;
        uint32_t size = gather(t, slot, record);
        if (scope == BATCH_FULL ||
            add_span(r, spans, scope, i, record, size, end_ns, died) == DECODE_FULL)
            return fail(err, STATUS_LIMIT, "the batch has no room for all open spans: %u fit",
                        spans->spans.count);
    }
    return STATUS_OK;
}

/* The newest record of a ring, and with it the last time its thread did anything. */
static int64_t last_in_ring(recorder_reader *r, uint32_t ring)
{
    int64_t last = 0;
    const extent_place *place = recorder_find_extent(r, ring, 0);
    const extent_place *end = place ? r->extents + r->extent_count : NULL;
    while (place && place + 1 < end && place[1].ring == ring)
        place++;
    ring_stream s = { .ring = ring, .index = place ? place->index : 0 };
    while (place && recorder_stream_fill(r, &s)) {
        do {
            last = MAX(last, s.time_ns);
        } while (recorder_stream_step(r, &s));
    }
    free(s.copy);
    return last;
}

int64_t recorder_last_sign_ns(recorder_reader *r)
{
    live_table t;
    if (recorder_refresh(r, NULL) != STATUS_OK)
        return r->header.start_ns;
    int64_t last = MAX(r->header.start_ns, recorder_ticks_to_ns(r, r->header.heartbeat));
    for (uint32_t ring = 0; ring < recorder_ring_count(r); ring++)
        last = MAX(last, last_in_ring(r, ring));
    if (load_table(r, &t, NULL) != STATUS_OK)
        return last;
    for (uint32_t i = 0; i < t.blocks * RECORDER_SLOTS_PER_BLOCK; i++) {
        recorder_span span;
        memcpy(&span, slot_at(&t, i), sizeof(span));
        if (span.word == RECORDER_SLOT_LIVE || span.word == RECORDER_SLOT_TENTATIVE)
            last = MAX(last, recorder_ticks_to_ns(r, span.start_ticks));
    }
    free(t.bytes);
    return MIN(last, clock_now_ns());
}

status recorder_live_spans(recorder_reader *r, batch *spans, error *err)
{
    live_table t;
    recorder_info info = recorder_reader_info(r);
    int64_t end_ns = info.alive ? clock_now_ns() : recorder_last_sign_ns(r);
    status st = recorder_refresh(r, err);
    if (st == STATUS_OK)
        st = load_table(r, &t, err);
    if (st != STATUS_OK)
        return st;
    char *record = malloc(RECORDER_RECORD_MAX);
    st = record ? add_all(r, &t, spans, record, end_ns, !info.alive, err)
                : fail(err, STATUS_NO_MEMORY, "no memory for a record");
    free(record);
    free(t.bytes);
    return st;
}
