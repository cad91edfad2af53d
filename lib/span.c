// SPDX-License-Identifier: Apache-2.0
/* Spans. An open span lives in a slot of the recorder's live table, so that it survives the
 * process; ending it copies the slot into the thread's ring. */
#include "sonde/span.h"

#include "lib/context.h"
#include "lib/ids.h"
#include "lib/log_attr.h"
#include "lib/recorder_internal.h"
#include "lib/span_slots.h"
#include "lib/span_stream.h"
#include "lib/state_internal.h"
#include "lib/tsc.h"

#define NAME_BYTES 256u
#define SCOPE_OFF  UINT32_MAX /* entered while the library was off: nothing to restore */

typedef struct {
    sonde_site *site; /* NULL: `name` names it */
    str name;
    int kind;
    const uint8_t *trace_id; /* of the parent; NULL or zero: a new trace */
    const uint8_t *span_id;
    uint32_t flags;
    const sonde_context *bag, *parent;
    const sonde_attr *kvs;
    size_t count;
    const sonde_context *links;
    size_t link_count;
} span_start;

typedef struct {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_id[8];
    bool sampled;
} span_ids;

/* The last 7 bytes, as OpenTelemetry's consistent sampling has it. */
static bool keeps(const uint8_t trace[16], uint64_t reject_below)
{
    uint64_t number;
    if (reject_below == 0)
        return true;
    memcpy(&number, trace + 8, 8);
    return (__builtin_bswap64(number) & (STATE_REJECT_ALL - 1)) >= reject_below;
}

static bool is_set(const uint8_t trace[16])
{
    uint64_t half[2];
    memcpy(half, trace, 16);
    return (half[0] | half[1]) != 0;
}

static void choose_ids(writer *w, const span_start *start, span_ids *ids)
{
    random_state own, *random = &w->thread->random;
    if (UNLIKELY(w->nested)) {
        uint64_t seed;
        random_seed(&seed, sizeof(seed));
        random_init(&own, seed);
        random = &own;
    }
    bool child = start->trace_id && is_set(start->trace_id);
    if (child) {
        memcpy(ids->trace_id, start->trace_id, 16);
        memcpy(ids->parent_id, start->span_id, 8);
    } else {
        ids_fill_trace(random, ids->trace_id);
        memset(ids->parent_id, 0, 8);
    }
    ids_fill_span(random, ids->span_id);
    ids->sampled = child && state_one.sampler.parent_based
                       ? (start->flags & CONTEXT_SAMPLED) != 0
                       : keeps(ids->trace_id, state_one.sampler.reject_below);
}

static void add_text(span_stream *s, uint8_t tag, str text)
{
    text = str_slice(text, 0, RECORDER_RECORD_MAX / 2);
    char head[3] = { (char)tag };
    memcpy(head + 1, &(uint16_t){ (uint16_t)text.len }, 2);
    span_stream_add(s, head, sizeof(head));
    span_stream_add(s, text.ptr, text.len);
    span_stream_commit(s);
}

static void add_link(span_stream *s, const sonde_context *link)
{
    char bytes[1 + 16 + 8 + 4] = { RECORDER_TAG_LINK };
    uint32_t flags = link->flags & CONTEXT_SAMPLED;
    memcpy(bytes + 1, link->trace_id, 16);
    memcpy(bytes + 17, link->span_id, 8);
    memcpy(bytes + 25, &flags, 4);
    span_stream_add(s, bytes, sizeof(bytes));
    span_stream_commit(s);
}

static void add_rest(writer *w, recorder_span *span, const span_start *start, bool attrs_too)
{
    span_stream s = span_stream_open(w, span);
    if (span->site == 0)
        add_text(&s, RECORDER_TAG_NAME, start->name);
    for (size_t i = 0; attrs_too && i < start->count; i++) {
        span_stream_attr(&s, &start->kvs[i]);
        span_stream_commit(&s);
    }
    if (attrs_too && start->bag) {
        span_stream_add(&s, start->bag->bytes, start->bag->used);
        span_stream_commit(&s);
    }
    for (size_t i = 0; i < start->link_count; i++)
        add_link(&s, &start->links[i]);
    const sonde_context *from = start->parent ? start->parent : start->bag;
    str tracestate = from && from->hidden ? context_tracestate(from) : STR_EMPTY;
    if (tracestate.len)
        add_text(&s, RECORDER_TAG_TRACESTATE, tracestate);
}

/* The usual case: attributes and context fit into the slot, and nobody sees it yet. */
static void fill_stream(writer *w, recorder_span *span, const span_start *start)
{
    const sonde_context *bag = start->bag;
    bool fits = attrs_bound(start->kvs, start->count) + (bag ? bag->used : 0u) <=
                RECORDER_SLOT_HEAD_PAYLOAD;
    if (LIKELY(fits && span->site)) {
        char *begin = (char *)(span + 1), *p = begin;
        for (size_t i = 0; i < start->count; i++)
            p = attr_encode_at(p, start->site, i, &start->kvs[i], ATTR_VALUE_MAX);
        if (bag) {
            memcpy(p, bag->bytes, bag->used);
            p += bag->used;
        }
        span->bytes = (uint32_t)(p - begin);
    }
    if (UNLIKELY(!fits || !span->site || start->link_count || start->parent ||
                 (bag && bag->hidden)))
        add_rest(w, span, start, !fits || !span->site);
}

/* A new span in the live table, or NULL: counted. */
static recorder_span *span_begin(writer *w, span_start *start, const span_ids *ids)
{
    uint32_t slot = span_slot_take(w);
    if (UNLIKELY(slot == SLOT_NONE)) {
        recorder_count_drop(w->recorder, SIGNAL_TRACES, RECORDER_DROP_LIVE, 1);
        return NULL;
    }
    recorder_span *span = (recorder_span *)slot_address(w->recorder, slot);
    span->end_ticks = 0;
    span->site = 0;
    if (LIKELY(start->site != NULL))
        span->site = site_number(w->recorder, w->generation, start->site, start->kvs, start->count);
    if (UNLIKELY(start->site && !span->site))
        start->name = str_slice(str_c(start->site->name), 0, NAME_BYTES);
    span->kind = (uint8_t)(start->kind ? start->kind : SONDE_INTERNAL);
    span->status = SPAN_STATUS_UNSET;
    bool remote = (start->flags & CONTEXT_REMOTE) && is_set(ids->trace_id);
    span->flags = (uint16_t)((ids->sampled ? RECORDER_FLAG_SAMPLED : 0) |
                             (remote ? RECORDER_FLAG_REMOTE : 0));
    memcpy(span->trace_id, ids->trace_id, 32);
    span->bytes = 0;
    span->dropped = 0;
    span->end_seq = 0;
    span->next = 0;
    span->start_ticks = tsc_now();
    if (LIKELY(ids->sampled))
        fill_stream(w, span, start);
    atomic_store_explicit(atomic_u64(&span->word),
                          ids->sampled ? RECORDER_SLOT_LIVE : RECORDER_SLOT_UNSAMPLED,
                          memory_order_release);
    return span;
}

/* Puts a finished span into the ring. */
static void record_span(writer *w, recorder_span *span)
{
    size_t size = sizeof(*span) + span->bytes;
    char *at = ring_reserve(w->recorder, w->ring, size);
    if (UNLIKELY(!at)) {
        recorder_count_drop(w->recorder, SIGNAL_TRACES, RECORDER_DROP_FULL, 1);
        return;
    }
    recorder_span *record = (recorder_span *)at;
    memcpy(at + 16, (char *)span + 16, sizeof(*span) - 16);
    record->end_ticks = tsc_now();
    record->end_seq = 0;
    record->end_ring = record->next = record->lock = 0;
    span_stream_copy(w->recorder, span, at + sizeof(*span));
    span->end_ring = w->ring->id;
    atomic_store_explicit(atomic_u64(&span->end_seq), ring_sequence(w->ring), memory_order_release);
    ring_commit(w->ring, size, RECORDER_SPAN);
}

/* Bounded: a handler must not wait for ever for the call that it interrupted. */
static bool span_lock(recorder_span *span)
{
    for (int i = 0; i < 4096; i++) {
        if (atomic_exchange_explicit(atomic_u32(&span->lock), 1, memory_order_acquire) == 0)
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

static void span_unlock(recorder_span *span)
{
    atomic_store_explicit(atomic_u32(&span->lock), 0, memory_order_release);
}

static void span_finish(writer *w, recorder_span *span)
{
    uint32_t slot = slot_number(w->recorder, span);
    if (UNLIKELY(slot == SLOT_NONE || !span_lock(span)))
        return;
    uint64_t state = atomic_load_explicit(atomic_u64(&span->word), memory_order_relaxed);
    bool open = state == RECORDER_SLOT_LIVE || state == RECORDER_SLOT_UNSAMPLED;
    if (LIKELY(state == RECORDER_SLOT_LIVE))
        record_span(w, span);
    if (LIKELY(open)) {
        atomic_store_explicit(atomic_u64(&span->word), RECORDER_SLOT_FREE, memory_order_release);
        if (UNLIKELY(span->next))
            span_stream_free(w, span);
    }
    span_unlock(span);
    if (LIKELY(open))
        span_slot_free(w, slot);
}

/* ---- scopes ---- */

sonde_span_scope *sonde_span_enter_(sonde_span_scope *scope, sonde_site *site, int kind,
                                    const sonde_attr *kvs, size_t count)
{
    writer w;
    scope->span = NULL;
    if (UNLIKELY(sonde_gate_.level >= GATE_OFF)) {
        if (sonde_gate_.level == GATE_NOT_STARTED)
            state_count_early(SIGNAL_TRACES);
        scope->saved.generation = SCOPE_OFF;
        return scope;
    }
    thread_self *t = thread_context();
    scope->saved = t->current;
    scope->saved.generation = t->fork_id;
    if (UNLIKELY(!thread_enter(&w, SIGNAL_TRACES)))
        return scope;
    span_start start = { .site = site,
                         .kind = kind,
                         .trace_id = t->current.trace_id,
                         .span_id = t->current.span_id,
                         .flags = t->current.flags,
                         .bag = t->current.bag,
                         .kvs = kvs,
                         .count = count };
    span_ids ids;
    choose_ids(&w, &start, &ids);
    recorder_span *span = LIKELY(ids.sampled) ? span_begin(&w, &start, &ids) : NULL;
    if (LIKELY(span != NULL) || !ids.sampled) {
        memcpy(t->current.trace_id, ids.trace_id, 24);
        t->current.flags = ids.sampled ? CONTEXT_SAMPLED : 0;
        t->current.span = scope->span = (sonde_span *)span;
    }
    thread_leave(&w);
    return scope;
}

void sonde_span_leave_(sonde_span_scope *scope)
{
    writer w;
    if (UNLIKELY(scope->saved.generation == SCOPE_OFF))
        return;
    thread_self *t = thread_context();
    if (LIKELY(scope->saved.generation == t->fork_id)) {
        const sonde_context *bag = t->current.bag;
        t->current = scope->saved;
        t->current.bag = bag;
    }
    if (UNLIKELY(!scope->span) || UNLIKELY(!thread_enter(&w, SIGNAL_TRACES)))
        return;
    span_finish(&w, (recorder_span *)scope->span);
    thread_leave(&w);
}

/* ---- without scopes ---- */

sonde_span *sonde_span_start(const char *name, const sonde_span_options *options)
{
    static const sonde_span_options none;
    const sonde_span_options *o = options ? options : &none;
    writer w;
    if (sonde_gate_.level == GATE_OFF || !thread_enter(&w, SIGNAL_TRACES))
        return NULL;
    const sonde_current_ *current = &w.thread->current;
    const sonde_context *parent = o->parent;
    span_start start = { .name = str_slice(str_c(name), 0, NAME_BYTES),
                         .kind = (int)o->kind,
                         .trace_id = parent ? parent->trace_id : current->trace_id,
                         .span_id = parent ? parent->span_id : current->span_id,
                         .flags = parent ? parent->flags : current->flags,
                         .bag = parent && parent->used ? parent : current->bag,
                         .parent = parent,
                         .kvs = o->attrs,
                         .count = o->attr_count,
                         .links = o->links,
                         .link_count = o->link_count };
    span_ids ids;
    choose_ids(&w, &start, &ids);
    recorder_span *span = span_begin(&w, &start, &ids);
    thread_leave(&w);
    return (sonde_span *)span;
}

void sonde_span_end(sonde_span *span)
{
    writer w;
    if (!span || !thread_enter(&w, SIGNAL_TRACES))
        return;
    span_finish(&w, (recorder_span *)span);
    thread_leave(&w);
}

sonde_context sonde_span_context(sonde_span *span)
{
    sonde_context c = sonde_context_capture();
    recorder *r = state_recorder();
    if (!span || !r || slot_number(r, span) == SLOT_NONE)
        return c;
    const recorder_span *s = (const recorder_span *)span;
    memcpy(c.trace_id, s->trace_id, 16);
    memcpy(c.span_id, s->span_id, 8);
    c.flags = s->flags & RECORDER_FLAG_SAMPLED ? CONTEXT_SAMPLED : 0;
    c.span = span;
    return c;
}

sonde_span *sonde_span_current(void)
{
    return thread_context()->current.span;
}

/* ---- changing an open span ---- */

/* Locks `span`, or the current one when NULL, if it is open and its own; else false. */
static bool span_edit(writer *w, sonde_span *given, recorder_span **ret)
{
    thread_self *t = thread_context();
    recorder_span *span = (recorder_span *)(given ? given : t->current.span);
    if (!span || !thread_enter(w, SIGNAL_TRACES))
        return false;
    if (slot_number(w->recorder, span) != SLOT_NONE && span_lock(span)) {
        bool own = given || memcmp(span->span_id, t->current.span_id, 8) == 0;
        if (span->word == RECORDER_SLOT_LIVE && own) {
            *ret = span;
            return true;
        }
        span_unlock(span);
    }
    thread_leave(w);
    return false;
}

static void span_edit_done(writer *w, recorder_span *span)
{
    span_unlock(span);
    thread_leave(w);
}

static void add_attrs(writer *w, recorder_span *span, const sonde_attr *kvs, size_t count)
{
    span_stream s = span_stream_open(w, span);
    for (size_t i = 0; i < count; i++) {
        span_stream_attr(&s, &kvs[i]);
        span_stream_commit(&s);
    }
}

void sonde_span_set_on_(sonde_span *given, const sonde_attr *kvs, size_t count)
{
    writer w;
    recorder_span *span;
    if (!given || !span_edit(&w, given, &span))
        return;
    add_attrs(&w, span, kvs, count);
    span_edit_done(&w, span);
}

void sonde_span_set_(const sonde_attr *kvs, size_t count)
{
    sonde_span_set_on_(sonde_span_current(), kvs, count);
}

static void event_add(sonde_span *given, const char *name, const sonde_attr *kvs, size_t count)
{
    writer w;
    recorder_span *span;
    if (!span_edit(&w, given, &span))
        return;
    str text = str_slice(str_c(name), 0, 255);
    uint64_t ticks = tsc_now();
    char head[1 + 8 + 1] = { RECORDER_TAG_EVENT };
    memcpy(head + 1, &ticks, 8);
    head[9] = (char)text.len;
    count = MIN(count, (size_t)UINT16_MAX);
    span_stream s = span_stream_open(&w, span);
    span_stream_add(&s, head, sizeof(head));
    span_stream_add(&s, text.ptr, text.len);
    span_stream_add(&s, &(uint16_t){ (uint16_t)count }, 2);
    for (size_t i = 0; i < count; i++)
        span_stream_attr(&s, &kvs[i]);
    span_stream_commit(&s);
    span_edit_done(&w, span);
}

void sonde_span_event_on(sonde_span *span, const char *name, const sonde_attr *kvs, size_t count)
{
    if (span)
        event_add(span, name, kvs, count);
}

void sonde_span_event_(const char *name, const sonde_attr *kvs, size_t count)
{
    event_add(NULL, name, kvs, count);
}

static void span_fail(sonde_span *given, const char *message, const sonde_attr *kvs, size_t count)
{
    writer w;
    recorder_span *span;
    if (!span_edit(&w, given, &span))
        return;
    span->status = SPAN_STATUS_ERROR;
    add_attrs(&w, span, kvs, count);
    if (message) {
        span_stream s = span_stream_open(&w, span);
        add_text(&s, RECORDER_TAG_STATUS, str_c(message));
    }
    span_edit_done(&w, span);
}

void sonde_span_fail_on(sonde_span *span, const char *message, const sonde_attr *kvs, size_t count)
{
    if (span)
        span_fail(span, message, kvs, count);
}

void sonde_span_fail_(const char *message, const sonde_attr *kvs, size_t count)
{
    span_fail(NULL, message, kvs, count);
}

void sonde_span_ok(void)
{
    writer w;
    recorder_span *span;
    if (!span_edit(&w, NULL, &span))
        return;
    span->status = SPAN_STATUS_OK;
    span_edit_done(&w, span);
}

void sonde_span_rename_on(sonde_span *given, const char *name)
{
    writer w;
    recorder_span *span;
    if (!given || !name || !span_edit(&w, given, &span))
        return;
    span_stream s = span_stream_open(&w, span);
    add_text(&s, RECORDER_TAG_NAME, str_slice(str_c(name), 0, NAME_BYTES));
    span_edit_done(&w, span);
}

void sonde_span_rename(const char *name)
{
    sonde_span_rename_on(sonde_span_current(), name);
}
