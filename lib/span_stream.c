// SPDX-License-Identifier: Apache-2.0
/* Appending to live spans. What is written lies beyond span->bytes until the commit, so a process
 * that dies in the middle leaves whole entries. */
#include "lib/span_stream.h"

#include "lib/log_attr.h"
#include "lib/recorder_internal.h"
#include "lib/span_slots.h"

#define REFILL      8u
#define GROUP_BYTES 4096u /* a group that does not fit where the stream is, at most */
#define SLACK       2048u /* a cut value leaves room for what comes after it */

uint32_t span_slot_take(writer *w)
{
    uint32_t slot;
    thread_self *t = w->thread;
    if (UNLIKELY(w->nested))
        return slots_take(w->recorder, &slot, 1) ? slot : SLOT_NONE;
    if (UNLIKELY(t->slot_count == 0)) {
        t->slot_count = slots_take(w->recorder, t->slots, REFILL);
        if (t->slot_count == 0)
            return SLOT_NONE;
    }
    return t->slots[--t->slot_count];
}

void span_slot_free(writer *w, uint32_t slot)
{
    thread_self *t = w->thread;
    if (UNLIKELY(w->nested)) {
        slots_give_back(w->recorder, &slot, 1);
        return;
    }
    if (UNLIKELY(t->slot_count == THREAD_SLOTS)) {
        t->slot_count -= REFILL;
        slots_give_back(w->recorder, t->slots + t->slot_count, REFILL);
    }
    t->slots[t->slot_count++] = slot;
}

static recorder_slot_more *more_at(const recorder *r, uint32_t next)
{
    return (recorder_slot_more *)slot_address(r, next - 1);
}

span_stream span_stream_open(writer *w, recorder_span *span)
{
    span_stream s = { .span = span,
                      .w = w,
                      .at = (char *)(span + 1),
                      .room = RECORDER_SLOT_HEAD_PAYLOAD,
                      .next = &span->next,
                      .bytes = span->bytes };
    size_t used = span->bytes;
    while (used > s.room || (used == s.room && *s.next)) {
        recorder_slot_more *more = more_at(w->recorder, *s.next);
        used -= s.room;
        s.at = (char *)(more + 1);
        s.room = RECORDER_SLOT_MORE_PAYLOAD;
        s.next = &more->next;
    }
    s.at += used;
    s.room -= used;
    return s;
}

static bool next_slot(span_stream *s)
{
    if (*s->next == 0) {
        uint32_t slot = span_slot_take(s->w);
        if (slot == SLOT_NONE)
            return false;
        recorder_slot_more *more = (recorder_slot_more *)slot_address(s->w->recorder, slot);
        more->next = 0;
        atomic_store_explicit(atomic_u64(&more->word), RECORDER_SLOT_MORE, memory_order_release);
        atomic_store_explicit(atomic_u32(s->next), slot + 1, memory_order_release);
    }
    recorder_slot_more *more = more_at(s->w->recorder, *s->next);
    s->at = (char *)(more + 1);
    s->room = RECORDER_SLOT_MORE_PAYLOAD;
    s->next = &more->next;
    return true;
}

void span_stream_add(span_stream *s, const void *bytes, size_t n)
{
    const char *from = bytes;
    if (s->full || s->bytes + n > RECORDER_STREAM_MAX) {
        s->full = true;
        return;
    }
    s->bytes += n;
    while (n) {
        if (s->room == 0 && !next_slot(s)) {
            s->full = true;
            return;
        }
        size_t part = MIN(n, s->room);
        memcpy(s->at, from, part);
        s->at += part;
        s->room -= part;
        from += part;
        n -= part;
    }
}

/* Does not fit where the stream is: the value goes piece by piece. */
static void attr_in_pieces(span_stream *s, const sonde_attr *a)
{
    bool secret = attr_is_secret(a);
    bool text = a->type == SONDE_TYPE_STR || a->type == SONDE_TYPE_BYTES;
    size_t head_bytes = 4u + a->key_len;
    size_t left = RECORDER_STREAM_MAX - MIN(s->bytes, (size_t)RECORDER_STREAM_MAX);
    char head[4 + 255 + 8];
    if (a->type == SONDE_TYPE_GROUP && !secret) {
        char group[GROUP_BYTES];
        s->full = s->full || attr_bound(a) > sizeof(group);
        if (!s->full)
            span_stream_add(s, group,
                            (size_t)(attr_encode(group, a, true, false, ATTR_VALUE_MAX) - group));
        return;
    }
    if (secret || !text) {
        span_stream_add(s, head, (size_t)(attr_encode(head, a, true, secret, 0) - head));
        return;
    }
    if (left < head_bytes + SLACK && left < head_bytes + a->len) {
        s->full = true;
        return;
    }
    uint32_t longest = (uint32_t)MIN(left - head_bytes, (size_t)ATTR_VALUE_MAX), n = a->len;
    uint8_t tag = a->type | RECORDER_TAG_KEY;
    if (n > longest) {
        longest = (uint32_t)MIN(left - head_bytes - SLACK / 2, (size_t)ATTR_VALUE_MAX);
        n = a->type == SONDE_TYPE_STR ? attr_cut_at(a->value.ptr, longest) : longest;
        tag |= RECORDER_TAG_CUT;
    }
    head[0] = (char)tag;
    head[1] = (char)a->key_len;
    memcpy(head + 2, a->key, a->key_len);
    memcpy(head + 2 + a->key_len, &(uint16_t){ (uint16_t)n }, 2);
    span_stream_add(s, head, head_bytes);
    span_stream_add(s, a->value.ptr, n);
}

void span_stream_attr(span_stream *s, const sonde_attr *a)
{
    size_t bound = attr_bound(a);
    if (s->full || s->bytes + bound > RECORDER_STREAM_MAX || bound > s->room) {
        attr_in_pieces(s, a);
        return;
    }
    char *end = attr_encode_keyed(s->at, a, ATTR_VALUE_MAX);
    size_t n = (size_t)(end - s->at);
    s->at = end;
    s->room -= n;
    s->bytes += n;
}

void span_stream_commit(span_stream *s)
{
    if (s->full) {
        uint16_t *dropped = s->is_event ? &s->span->dropped_events : &s->span->dropped;
        if (*dropped < UINT16_MAX)
            ++*dropped;
        recorder_count_drop(s->w->recorder, SIGNAL_TRACES, RECORDER_DROP_CUT, 1);
        *s = span_stream_open(s->w, s->span);
        return;
    }
    atomic_store_explicit(atomic_u32(&s->span->bytes), (uint32_t)s->bytes, memory_order_release);
}

void span_stream_copy(const recorder *r, const recorder_span *span, size_t bytes, char *to)
{
    size_t left = bytes, part = MIN(left, RECORDER_SLOT_HEAD_PAYLOAD);
    memcpy(to, span + 1, part);
    uint32_t next = span->next;
    while ((left -= part) > 0) {
        to += part;
        const recorder_slot_more *more = more_at(r, next);
        part = MIN(left, RECORDER_SLOT_MORE_PAYLOAD);
        memcpy(to, more + 1, part);
        next = more->next;
    }
}

void span_stream_free(writer *w, recorder_span *span)
{
    uint32_t next = span->next;
    span->next = 0;
    while (next) {
        recorder_slot_more *more = more_at(w->recorder, next);
        uint32_t slot = next - 1;
        next = more->next;
        /* What the stream left there must not look like a lock to the slot's next span. */
        atomic_store_explicit(atomic_u32(&((recorder_span *)more)->lock), 0, memory_order_relaxed);
        atomic_store_explicit(atomic_u64(&more->word), RECORDER_SLOT_FREE, memory_order_release);
        span_slot_free(w, slot);
    }
}
