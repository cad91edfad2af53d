// SPDX-License-Identifier: Apache-2.0
/* Spans from start to end. An open span lives in a slot of the recorder's live table, so that it
 * survives the process; ending it copies the slot into the thread's ring. What a scope costs, and
 * why, is in docs/internals/hot-path.md. */
#include "lib/ids.h"
#include "lib/log_attr.h"
#include "lib/span_internal.h"
#include "lib/span_sampler.h"
#include "lib/tsc.h"

#include <sched.h>

#define SCOPE_OFF  UINT32_MAX /* `saved.generation`: entered while the library was off */
#define SLOT_QUIET SLOT_NONE  /* `slot`: an unsampled span below another; the trace is the same */

typedef struct {
    sonde_site *site; /* NULL: `name` names it */
    str name;
    int kind;
    uint32_t flags; /* of the parent */
    const sonde_context *bag, *parent;
    const sonde_attr *kvs;
    size_t count;
    const sonde_span_options *options; /* NULL: a scope */
} span_start;

/* As they lie in a slot. */
typedef struct {
    uint64_t trace[2];
    uint64_t span;
    uint64_t parent; /* 0: a new trace */
} span_ids;

/* Ids of a span below `trace` and `parent`; whether it is sampled. */
static inline bool choose_ids(writer *w, const uint8_t trace[16], const uint8_t parent[8],
                              uint32_t flags, span_ids *ids)
{
    thread_self *t = w->thread;
    random_state own, *random = &t->random;
    uint64_t own_ids, *span_ids = &t->span_ids;
    if (UNLIKELY(w->nested)) {
        random_seed(&own_ids, sizeof(own_ids));
        random_init(&own, own_ids);
        random = &own;
        span_ids = &own_ids;
    }
    memcpy(ids->trace, trace, 16);
    ids->span = ids_next_span(span_ids);
    if (ids->trace[0] | ids->trace[1]) {
        memcpy(&ids->parent, parent, 8);
        if (LIKELY(state_one.sampler.parent_based && !(flags & CONTEXT_DEFERRED)))
            return flags & CONTEXT_SAMPLED;
    } else {
        ids->parent = 0;
        ids_next_trace(random, ids->trace);
    }
    return sampler_keeps(ids->trace);
}

/* Ids of our own are random in every bit. */
static inline uint32_t flags_below(const span_ids *ids, uint32_t parent, bool sampled)
{
    uint32_t kept = ids->parent ? parent & (CONTEXT_RANDOM | CONTEXT_DEBUG) : CONTEXT_RANDOM;
    return kept | (sampled ? CONTEXT_SAMPLED : 0);
}

static void add_options(span_stream *s, const sonde_span_options *o)
{
    for (size_t i = 0; i < o->link_count; i++)
        span_add_link(s, &o->links[i], NULL, 0);
    if (o->start_ns)
        span_add_time(s, RECORDER_TAG_START, o->start_ns);
}

/* Nobody sees the slot yet, so that its bytes need no order; one that did not fit is counted. */
static inline void commit_unseen(span_stream *s)
{
    if (UNLIKELY(s->full))
        span_stream_commit(s);
    else
        s->span->bytes = (uint32_t)s->bytes;
}

/* What fill_stream did not do: everything, or what comes behind attributes and context. */
static void add_rest(writer *w, recorder_span *span, const span_start *start, bool attrs_too)
{
    span_stream s = span_stream_open(w, span);
    if (span->site == 0)
        span_add_text(&s, RECORDER_TAG_NAME, start->name);
    for (size_t i = 0; attrs_too && i < start->count; i++) {
        span_stream_attr(&s, &start->kvs[i]);
        commit_unseen(&s);
    }
    if (attrs_too && start->bag) {
        span_stream_add(&s, start->bag->bytes, start->bag->used);
        commit_unseen(&s);
    }
    if (start->options)
        add_options(&s, start->options);
    const sonde_context *from = start->parent ? start->parent : start->bag;
    str tracestate = from && from->hidden ? context_tracestate(from) : STR_EMPTY;
    if (tracestate.len)
        span_add_text(&s, RECORDER_TAG_TRACESTATE, tracestate);
}

/* The usual case: attributes and context fit into the slot, and nobody sees it yet. */
static inline void fill_stream(writer *w, recorder_span *span, const span_start *start)
{
    char *begin = (char *)(span + 1), *p = begin;
    const sonde_context *bag = start->bag;
    size_t room = RECORDER_SLOT_HEAD_PAYLOAD - (bag ? bag->used : 0u);
    bool fits = room <= RECORDER_SLOT_HEAD_PAYLOAD && span->site;
    char *end = begin + room;
    for (size_t i = 0; fits && i < start->count; i++) {
        if (UNLIKELY((size_t)(end - p) < attr_bound(&start->kvs[i])))
            fits = false;
        else
            p = attr_encode_at(p, start->site, i, &start->kvs[i], ATTR_VALUE_MAX);
    }
    if (LIKELY(fits)) {
        if (bag) {
            memcpy(p, bag->bytes, bag->used);
            p += bag->used;
        }
        span->bytes = (uint32_t)(p - begin);
    }
    if (UNLIKELY(!fits || start->options || (bag && bag->hidden)))
        add_rest(w, span, start, !fits);
}

/* Fills a slot that nobody sees yet. */
static inline void fill_span(writer *w, recorder_span *span, span_start *start, const span_ids *ids,
                             bool sampled)
{
    uint64_t site = 0;
    if (LIKELY(start->site != NULL)) {
        site = site_number(w->recorder, w->generation, start->site, start->kvs, start->count);
        if (UNLIKELY(!site))
            start->name = str_slice(str_c(start->site->name), 0, SPAN_NAME_BYTES);
    }
    uint64_t flags = sampled ? RECORDER_FLAG_SAMPLED : 0;
    if (start->flags & CONTEXT_REMOTE)
        flags |= RECORDER_FLAG_REMOTE;
    /* Whole words, since the end's copy of the slot waits for stores that are narrower than its
     * loads. */
    uint64_t head = site | (uint64_t)start->kind << 32 | flags << 48;
    span->end_ticks = 0;
    memcpy(&span->site, &head, sizeof(head));
    memcpy(span->trace_id, ids, sizeof(*ids));
    memset(&span->bytes, 0, 8);
    span->end_seq = 0;
    uint64_t begun = w->ring->id + 1u; /* end_ring, and next */
    memcpy(&span->end_ring, &begun, sizeof(begun));
    span->chain = 0;
    span->start_ticks = tsc_now();
    fill_stream(w, span, start);
}

_Static_assert(offsetof(recorder_span, start_ticks) ==
                   offsetof(recorder_span, trace_id) + sizeof(span_ids),
               "ids lie in a span as in span_ids");

static void count_no_slot(writer *w)
{
    recorder_count_drop(w->recorder, SIGNAL_TRACES, RECORDER_DROP_LIVE, 1);
}

/* A sampled span in the live table, or NULL: counted. */
static inline recorder_span *begin_sampled(writer *w, span_start *start, const span_ids *ids,
                                           uint32_t *ret_slot)
{
    uint32_t slot = span_slot_take(w);
    if (UNLIKELY(slot == SLOT_NONE)) {
        count_no_slot(w);
        return NULL;
    }
    recorder_span *span = (recorder_span *)slot_address(w->recorder, slot);
    fill_span(w, span, start, ids, true);
    atomic_store_explicit(atomic_u64(&span->word), RECORDER_SLOT_LIVE, memory_order_release);
    *ret_slot = slot;
    return span;
}

/* An unsampled one that is kept until its local root ends; NULL when it is not. `above` is the
 * span that the parent's context names. */
static recorder_span *begin_tentative(writer *w, span_start *start, const span_ids *ids,
                                      const sonde_span *above, uint32_t *ret_slot)
{
    bool root = ids->parent == 0 || (start->flags & CONTEXT_REMOTE);
    const recorder_span *parent = root ? NULL : (const recorder_span *)above;
    if (!root && (!parent || slot_number(w->recorder, parent) == SLOT_NONE))
        return NULL;
    uint32_t slot = span_slot_take(w);
    if (slot == SLOT_NONE) {
        count_no_slot(w);
        return NULL;
    }
    recorder_span *span = (recorder_span *)slot_address(w->recorder, slot);
    fill_span(w, span, start, ids, false);
    if (!span_keep_begin(w, span, slot, parent)) {
        span_release(w, span, slot);
        return NULL;
    }
    *ret_slot = slot;
    return span;
}

/* A slot with ids and nothing else: what a handle of an unsampled span stands for. */
static recorder_span *begin_handle(writer *w, const span_ids *ids)
{
    uint32_t slot = span_slot_take(w);
    if (slot == SLOT_NONE) {
        count_no_slot(w);
        return NULL;
    }
    recorder_span *span = (recorder_span *)slot_address(w->recorder, slot);
    span->flags = 0;
    memcpy(span->trace_id, ids, sizeof(*ids));
    span->bytes = span->next = 0;
    atomic_store_explicit(atomic_u64(&span->word), RECORDER_SLOT_UNSAMPLED, memory_order_release);
    return span;
}

/* ---- the end ---- */

/* Slots and records begin on multiples of 8. In steps of 16, so that up to 8 bytes more are read
 * and written: a slot has them, and the caller reserved them. The lock comes along, as it is. */
TSAN_BLIND static inline void copy_record(char *to, const char *from, size_t bytes)
{
    typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));
    for (size_t i = 16; i < bytes; i += 16)
        *(pair *)(to + i) = *(const pair *)(from + i);
}

/* `alone`: nobody else has the span's handle; else its lock is held, and others try to take it. */
static inline bool record_span(writer *w, recorder_span *span, uint64_t end_ticks, bool alone)
{
    uint32_t bytes = span->bytes;
    size_t size = sizeof(*span) + bytes;
    char *at = ring_reserve(w->recorder, w->ring, size + 16);
    if (UNLIKELY(!at)) {
        recorder_count_drop(w->recorder, SIGNAL_TRACES, RECORDER_DROP_FULL, 1);
        return false;
    }
    if (LIKELY(alone && bytes <= RECORDER_SLOT_HEAD_PAYLOAD)) {
        copy_record(at, (const char *)span, size);
    } else {
        enum { SHARED_HEAD = offsetof(recorder_span, end_seq) };
        memcpy(at + 16, (const char *)span + 16, SHARED_HEAD - 16);
        memset(at + SHARED_HEAD, 0, sizeof(*span) - SHARED_HEAD);
        span_stream_copy(w->recorder, span, bytes, at + sizeof(*span));
    }
    ((recorder_span *)at)->end_ticks = end_ticks;
    span->end_ring = w->ring->id;
    atomic_store_explicit(atomic_u64(&span->end_seq), ring_sequence(w->ring), memory_order_release);
    ring_commit(w->ring, size, RECORDER_SPAN);
    return true;
}

bool span_record(writer *w, recorder_span *span, uint64_t end_ticks)
{
    return record_span(w, span, end_ticks, false);
}

static inline void release(writer *w, recorder_span *span, uint32_t slot)
{
    atomic_store_explicit(atomic_u64(&span->word), RECORDER_SLOT_FREE, memory_order_release);
    if (UNLIKELY(span->next))
        span_stream_free(w, span);
    span_slot_free(w, slot);
}

void span_release(writer *w, recorder_span *span, uint32_t slot)
{
    release(w, span, slot);
}

/* Another thread holds it for moments, or longer where it was put off the processor: then it gets
 * that back. A signal handler that interrupted a call of its own thread, which may be the holder,
 * tries for a moment only: it must end before the next signal comes. */
bool span_lock(const writer *w, recorder_span *span)
{
    enum { SPINS = 4096, YIELDS = 4096, SPINS_NESTED = 64 };
    int tries = w->nested ? SPINS_NESTED : SPINS + YIELDS;
    for (int i = 0; i < tries; i++) {
        if (atomic_exchange_explicit(atomic_u32(&span->lock), 1, memory_order_acquire) == 0)
            return true;
        if (i < SPINS)
            CPU_PAUSE();
        else
            sched_yield();
    }
    return false;
}

void span_unlock(recorder_span *span)
{
    atomic_store_explicit(atomic_u32(&span->lock), 0, memory_order_release);
}

/* Any handle, from any thread. `end_ns`: 0, or the time to write down. */
static void span_finish(writer *w, recorder_span *span, int64_t end_ns)
{
    uint32_t slot = slot_number(w->recorder, span);
    if (slot == SLOT_NONE)
        return;
    if (UNLIKELY(!span_lock(w, span))) {
        recorder_count_drop(w->recorder, SIGNAL_TRACES, RECORDER_DROP_CUT, 1);
        return;
    }
    uint64_t state = atomic_load_explicit(atomic_u64(&span->word), memory_order_relaxed);
    bool live = state == RECORDER_SLOT_LIVE, tentative = state == RECORDER_SLOT_TENTATIVE;
    bool ends = live || tentative || state == RECORDER_SLOT_UNSAMPLED;
    if (end_ns && (live || tentative)) {
        span_stream s = span_stream_open(w, span);
        span_add_time(&s, RECORDER_TAG_END, end_ns);
    }
    if (live)
        record_span(w, span, tsc_now(), false);
    else if (tentative)
        ends = span_keep_end(w, span, slot);
    if (ends) {
        atomic_store_explicit(atomic_u64(&span->word), RECORDER_SLOT_FREE, memory_order_release);
        if (span->next)
            span_stream_free(w, span);
    }
    span_unlock(span);
    if (ends)
        span_slot_free(w, slot);
}

/* ---- scopes ---- */

/* What a thread has current is copied word by word, as it was written: a wider load would wait for
 * the stores before it. */
enum { CURRENT_WORDS = sizeof(sonde_current_) / 8 };

static inline void copy_words(void *to, const void *from, size_t words)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < words; i++) {
        uint64_t word = __atomic_load_n((const uint64_t *)from + i, __ATOMIC_RELAXED);
        __atomic_store_n((uint64_t *)to + i, word, __ATOMIC_RELAXED);
    }
}

static inline void set_word(void *at, uint64_t word)
{
    __atomic_store_n((uint64_t *)at, word, __ATOMIC_RELAXED);
}

static inline void save_current(sonde_span_scope *scope, const thread_self *t)
{
    uint64_t flags = t->current.flags;
    copy_words(&scope->saved, &t->current, CURRENT_WORDS);
    set_word(&scope->saved.flags, flags | (uint64_t)t->fork_id << 32);
}

/* The flags come first: a signal handler that comes in between sees no trace yet, and what it
 * records begins one, instead of a trace that seems to be unsampled. */
static inline void set_current(thread_self *t, const span_ids *ids, recorder_span *span,
                               uint32_t flags)
{
    set_word(&t->current.flags, flags);
    COMPILER_BARRIER();
    copy_words(t->current.trace_id, ids, 3);
    t->current.span = (sonde_span *)span;
}

static sonde_span_scope *enter_closed(sonde_span_scope *scope)
{
    if (sonde_gate_.level == GATE_NOT_STARTED)
        state_count_early(SIGNAL_TRACES);
    scope->saved.generation = SCOPE_OFF;
    return scope;
}

static sonde_span_scope *enter_with(writer *w, sonde_span_scope *scope, sonde_site *site, int kind,
                                    const sonde_attr *kvs, size_t count)
{
    span_ids ids;
    const sonde_current_ *parent = &scope->saved;
    recorder_span *span = NULL;
    bool sampled = choose_ids(w, parent->trace_id, parent->span_id, parent->flags, &ids);
    if (LIKELY(sampled) || UNLIKELY(state_one.sampler.on_error)) {
        span_start start = { .site = site,
                             .kind = kind,
                             .flags = parent->flags,
                             .bag = parent->bag,
                             .kvs = kvs,
                             .count = count };
        if (LIKELY(sampled))
            span = begin_sampled(w, &start, &ids, &scope->slot);
        else
            span = begin_tentative(w, &start, &ids, parent->span, &scope->slot);
    }
    if (LIKELY(span || !sampled)) {
        set_current(w->thread, &ids, span, flags_below(&ids, parent->flags, sampled));
        scope->span = (sonde_span *)span;
    }
    thread_leave(w);
    return scope;
}

/* The library is off, the thread's first call, or one that interrupted another. */
static NOINLINE sonde_span_scope *enter_slowly(sonde_span_scope *scope, sonde_site *site, int kind,
                                               const sonde_attr *kvs, size_t count)
{
    writer w;
    scope->span = NULL;
    scope->generation = scope->slot = 0;
    if (sonde_gate_.level >= GATE_OFF)
        return enter_closed(scope);
    save_current(scope, thread_context());
    if (!thread_enter(&w, SIGNAL_TRACES))
        return scope;
    if (!w.nested)
        scope->generation = w.generation;
    return enter_with(&w, scope, site, kind, kvs, count);
}

static NOINLINE sonde_span_scope *enter_recorded(sonde_span_scope *scope, sonde_site *site,
                                                 int kind, const sonde_attr *kvs, size_t count)
{
    thread_self *t = thread_get();
    if (UNLIKELY(t->busy))
        return enter_slowly(scope, site, kind, kvs, count);
    scope->slot = 0;
    scope->span = NULL;
    save_current(scope, t);
    t->busy = 1;
    COMPILER_BARRIER();
    writer w = { t, t->ring, t->recorder, t->generation, false };
    return enter_with(&w, scope, site, kind, kvs, count);
}

/* Below an unsampled span there is nothing to do but to find an id. A thread whose generation is
 * the page's is attached, in this process and to the current recorder. */
sonde_span_scope *sonde_span_enter_(sonde_span_scope *scope, sonde_site *site, int kind,
                                    const sonde_attr *kvs, size_t count)
{
    thread_self *t = thread_get();
    uint32_t generation = t->generation, flags = t->current.flags;
    if (UNLIKELY(generation != state_shared_page->generation))
        return enter_slowly(scope, site, kind, kvs, count);
    scope->generation = generation;
    if (LIKELY((flags & (CONTEXT_SAMPLED | CONTEXT_DEFERRED)) || !context_has_trace(&t->current)) ||
        UNLIKELY(!state_one.sampler.parent_based) || UNLIKELY(state_one.sampler.on_error))
        return enter_recorded(scope, site, kind, kvs, count);
    scope->slot = SLOT_QUIET;
    scope->span = NULL;
    copy_words(scope->saved.span_id, t->current.span_id, 1);
    set_word(&scope->saved.flags, flags | (uint64_t)t->fork_id << 32);
    scope->saved.span = t->current.span;
    set_word(t->current.span_id, ids_next_quiet(&t->span_ids));
    set_word(&t->current.flags, flags & CONTEXT_RANDOM);
    t->current.span = NULL;
    return scope;
}

/* All but the bag, which is the last word and stays. */
static inline void restore_current(thread_self *t, const sonde_span_scope *scope)
{
    if (scope->slot != SLOT_QUIET)
        copy_words(t->current.trace_id, scope->saved.trace_id, 2);
    copy_words(t->current.span_id, scope->saved.span_id, 2);
    t->current.span = scope->saved.span;
}

/* The thread is inside of another call, or the process is not the one of the start, or the
 * recorder is not. */
static NOINLINE void leave_slowly(sonde_span_scope *scope)
{
    writer w;
    if (scope->saved.generation == SCOPE_OFF)
        return;
    thread_self *t = thread_context();
    if (LIKELY(scope->saved.generation == t->fork_id))
        restore_current(t, scope);
    if (!scope->span || !thread_enter(&w, SIGNAL_TRACES))
        return;
    span_finish(&w, (recorder_span *)scope->span, 0);
    thread_leave(&w);
}

static NOINLINE void leave_recorded(sonde_span_scope *scope)
{
    recorder_span *span = (recorder_span *)scope->span;
    thread_self *t = thread_get();
    if (UNLIKELY(t->busy)) {
        leave_slowly(scope);
        return;
    }
    bool shared = t->current.span != scope->span || (t->current.flags & CONTEXT_SHARED);
    restore_current(t, scope);
    if (UNLIKELY(!span))
        return;
    t->busy = 1;
    COMPILER_BARRIER();
    writer w = { t, t->ring, t->recorder, t->generation, false };
    if (LIKELY(!shared && span->word == RECORDER_SLOT_LIVE)) {
        record_span(&w, span, tsc_now(), true);
        release(&w, span, scope->slot);
    } else {
        span_finish(&w, span, 0);
    }
    thread_leave(&w);
}

void sonde_span_leave_(sonde_span_scope *scope)
{
    thread_self *t = thread_get();
    if (UNLIKELY(scope->generation != t->generation) ||
        UNLIKELY(t->generation != state_shared_page->generation))
        leave_slowly(scope);
    else if (LIKELY(scope->slot != SLOT_QUIET))
        leave_recorded(scope);
    else
        restore_current(t, scope);
}

_Static_assert(sizeof(void *) == 8 && offsetof(sonde_current_, span) == 32,
               "what is current in a thread is words");

/* ---- without scopes ---- */

sonde_span *sonde_span_start(const char *name, const sonde_span_options *options)
{
    static const sonde_span_options none;
    const sonde_span_options *o = options ? options : &none;
    writer w;
    if (sonde_gate_.level == GATE_OFF || !thread_enter(&w, SIGNAL_TRACES))
        return NULL;
    const sonde_current_ *now = &w.thread->current;
    const sonde_context *parent = o->parent;
    span_start start = { .name = str_slice(str_c(name), 0, SPAN_NAME_BYTES),
                         .kind = o->kind ? (int)o->kind : SONDE_INTERNAL,
                         .flags = parent ? parent->flags : now->flags,
                         .bag = parent && parent->used ? parent : now->bag,
                         .parent = parent,
                         .kvs = o->attrs,
                         .count = o->attr_count,
                         .options = o };
    span_ids ids;
    uint32_t slot;
    recorder_span *span = NULL;
    bool sampled = choose_ids(&w, parent ? parent->trace_id : now->trace_id,
                              parent ? parent->span_id : now->span_id, start.flags, &ids);
    if (ids.parent == 0)
        start.flags &= ~CONTEXT_REMOTE;
    if (sampled)
        span = begin_sampled(&w, &start, &ids, &slot);
    else if (state_one.sampler.on_error)
        span = begin_tentative(&w, &start, &ids, parent ? parent->span : now->span, &slot);
    if (!sampled && !span)
        span = begin_handle(&w, &ids);
    thread_leave(&w);
    return (sonde_span *)span;
}

void sonde_span_end_at(sonde_span *span, int64_t end_ns)
{
    writer w;
    if (!span || !thread_enter(&w, SIGNAL_TRACES))
        return;
    span_finish(&w, (recorder_span *)span, end_ns);
    thread_leave(&w);
}

void sonde_span_end(sonde_span *span)
{
    sonde_span_end_at(span, 0);
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
    c.flags = CONTEXT_SHARED | (s->flags & RECORDER_FLAG_SAMPLED ? CONTEXT_SAMPLED : 0);
    c.span = span;
    return c;
}

sonde_span *sonde_span_current(void)
{
    thread_self *t = thread_context();
    if (t->current.span)
        t->current.flags |= CONTEXT_SHARED;
    return t->current.span;
}
