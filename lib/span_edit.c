// SPDX-License-Identifier: Apache-2.0
/* Changing an open span: attributes, events, links, status, name, from any thread. */
#include "lib/log_attr.h"
#include "lib/span_internal.h"
#include "lib/tsc.h"

#define EVENT_NAME_BYTES 255u

static bool is_recording(const recorder_span *span)
{
    uint64_t state =
        atomic_load_explicit(atomic_u64((void *)(uintptr_t)&span->word), memory_order_relaxed);
    return state == RECORDER_SLOT_LIVE || state == RECORDER_SLOT_TENTATIVE;
}

/* Locks `given`, or the current span when NULL, if it is open and its own; else false. */
static bool span_edit(writer *w, sonde_span *given, recorder_span **ret)
{
    thread_self *t = thread_context();
    recorder_span *span = (recorder_span *)(given ? given : t->current.span);
    if (!span || !thread_enter(w, SIGNAL_TRACES))
        return false;
    if (slot_number(w->recorder, span) != SLOT_NONE && span_lock(w, span)) {
        bool own = given || memcmp(span->span_id, t->current.span_id, 8) == 0;
        if (is_recording(span) && own) {
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

bool sonde_span_is_recording_on(sonde_span *span)
{
    recorder *r = span ? state_recorder() : NULL;
    return r && slot_number(r, span) != SLOT_NONE && is_recording((recorder_span *)span);
}

bool sonde_span_is_recording(void)
{
    const thread_self *t = thread_context();
    const recorder_span *span = (const recorder_span *)t->current.span;
    return sonde_span_is_recording_on(t->current.span) &&
           memcmp(span->span_id, t->current.span_id, 8) == 0;
}

/* ---- entries ---- */

void span_add_text(span_stream *s, uint8_t tag, str text)
{
    text = str_slice(text, 0, RECORDER_RECORD_MAX / 2);
    char head[3] = { (char)tag };
    memcpy(head + 1, &(uint16_t){ (uint16_t)text.len }, 2);
    span_stream_add(s, head, sizeof(head));
    span_stream_add(s, text.ptr, text.len);
    span_stream_commit(s);
}

void span_add_time(span_stream *s, uint8_t tag, int64_t unix_ns)
{
    char entry[1 + 8] = { (char)tag };
    memcpy(entry + 1, &unix_ns, 8);
    span_stream_add(s, entry, sizeof(entry));
    span_stream_commit(s);
}

/* u16 count, and the attributes with their keys. */
static void add_counted(span_stream *s, const sonde_attr *kvs, size_t count)
{
    count = MIN(count, (size_t)UINT16_MAX);
    span_stream_add(s, &(uint16_t){ (uint16_t)count }, 2);
    for (size_t i = 0; i < count; i++)
        span_stream_attr(s, &kvs[i]);
}

void span_add_link(span_stream *s, const sonde_context *link, const sonde_attr *kvs, size_t count)
{
    char bytes[1 + 16 + 8 + 4] = { RECORDER_TAG_LINK };
    static const uint8_t zero[16];
    if (memcmp(link->trace_id, zero, 16) == 0 || memcmp(link->span_id, zero, 8) == 0)
        return;
    str tracestate = link->hidden ? context_tracestate(link) : STR_EMPTY;
    if (count || tracestate.len)
        bytes[0] = RECORDER_TAG_LINK_FULL;
    /* trace/v1: bit 8 says that bit 9 is known; bit 9 that the span is in another process. */
    uint32_t flags = (link->flags & CONTEXT_SAMPLED ? 1u : 0u) | 0x100u |
                     (link->flags & CONTEXT_REMOTE ? 0x200u : 0u);
    memcpy(bytes + 1, link->trace_id, 16);
    memcpy(bytes + 17, link->span_id, 8);
    memcpy(bytes + 25, &flags, 4);
    span_stream_add(s, bytes, sizeof(bytes));
    if (count || tracestate.len) {
        span_stream_add(s, &(uint16_t){ (uint16_t)tracestate.len }, 2);
        span_stream_add(s, tracestate.ptr, tracestate.len);
        add_counted(s, kvs, count);
    }
    span_stream_commit(s);
}

static void add_attrs(writer *w, recorder_span *span, const sonde_attr *kvs, size_t count)
{
    span_stream s = span_stream_open(w, span);
    for (size_t i = 0; i < count; i++) {
        span_stream_attr(&s, &kvs[i]);
        span_stream_commit(&s);
    }
}

/* `when` is in ticks, or in ns since 1970 with RECORDER_TAG_EVENT_AT. */
static void add_event(span_stream *s, uint8_t tag, uint64_t when, const char *name)
{
    str text = str_slice(str_c(name), 0, EVENT_NAME_BYTES);
    char head[1 + 8 + 1] = { (char)tag };
    memcpy(head + 1, &when, 8);
    head[9] = (char)text.len;
    s->is_event = true;
    span_stream_add(s, head, sizeof(head));
    span_stream_add(s, text.ptr, text.len);
}

/* ---- attributes and events ---- */

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
    writer w;
    recorder_span *span;
    if (!span_edit(&w, NULL, &span))
        return;
    add_attrs(&w, span, kvs, count);
    span_edit_done(&w, span);
}

static void put_event(sonde_span *given, uint8_t tag, uint64_t when, const char *name,
                      const sonde_attr *kvs, size_t count)
{
    writer w;
    recorder_span *span;
    if (!span_edit(&w, given, &span))
        return;
    span_stream s = span_stream_open(&w, span);
    add_event(&s, tag, when, name);
    add_counted(&s, kvs, count);
    span_stream_commit(&s);
    span_edit_done(&w, span);
}

void sonde_span_event_on(sonde_span *span, const char *name, const sonde_attr *kvs, size_t count)
{
    if (span)
        put_event(span, RECORDER_TAG_EVENT, tsc_now(), name, kvs, count);
}

void sonde_span_event_at(sonde_span *span, int64_t time_ns, const char *name, const sonde_attr *kvs,
                         size_t count)
{
    if (span)
        put_event(span, RECORDER_TAG_EVENT_AT, (uint64_t)time_ns, name, kvs, count);
}

void sonde_span_event_(const char *name, const sonde_attr *kvs, size_t count)
{
    put_event(NULL, RECORDER_TAG_EVENT, tsc_now(), name, kvs, count);
}

static void put_link(sonde_span *given, const sonde_context *to, const sonde_attr *kvs,
                     size_t count)
{
    writer w;
    recorder_span *span;
    if (!to || !span_edit(&w, given, &span))
        return;
    span_stream s = span_stream_open(&w, span);
    span_add_link(&s, to, kvs, count);
    span_edit_done(&w, span);
}

void sonde_span_link_on(sonde_span *span, const sonde_context *to, const sonde_attr *kvs,
                        size_t count)
{
    if (span)
        put_link(span, to, kvs, count);
}

void sonde_span_link_(const sonde_context *to, const sonde_attr *kvs, size_t count)
{
    put_link(NULL, to, kvs, count);
}

/* ---- status ---- */

/* A status ok is final. */
static void set_error(writer *w, recorder_span *span, const char *message)
{
    if (span->status == SPAN_STATUS_OK)
        return;
    span->status = SPAN_STATUS_ERROR;
    if (message) {
        span_stream s = span_stream_open(w, span);
        span_add_text(&s, RECORDER_TAG_STATUS, str_c(message));
    }
}

static void span_fail(sonde_span *given, const char *message, const sonde_attr *kvs, size_t count)
{
    writer w;
    recorder_span *span;
    if (!span_edit(&w, given, &span))
        return;
    add_attrs(&w, span, kvs, count);
    set_error(&w, span, message);
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

/* The attributes given come last: of two with one key the last one counts. */
static void add_exception(writer *w, recorder_span *span, const char *type, const char *message,
                          const sonde_attr *kvs, size_t count)
{
    sonde_attr own[2];
    size_t owned = 0;
    if (type)
        own[owned++] = sonde_kv_str("exception.type", type);
    if (message)
        own[owned++] = sonde_kv_str("exception.message", message);
    count = MIN(count, UINT16_MAX - owned);
    span_stream s = span_stream_open(w, span);
    add_event(&s, RECORDER_TAG_EVENT, tsc_now(), "exception");
    span_stream_add(&s, &(uint16_t){ (uint16_t)(owned + count) }, 2);
    for (size_t i = 0; i < owned; i++)
        span_stream_attr(&s, &own[i]);
    for (size_t i = 0; i < count; i++)
        span_stream_attr(&s, &kvs[i]);
    span_stream_commit(&s);
}

static void span_error(sonde_span *given, const char *type, const char *message,
                       const sonde_attr *kvs, size_t count)
{
    writer w;
    recorder_span *span;
    if (!span_edit(&w, given, &span))
        return;
    add_exception(&w, span, type, message, kvs, count);
    if (type) {
        sonde_attr class = sonde_kv_str("error.type", type);
        add_attrs(&w, span, &class, 1);
    }
    set_error(&w, span, message);
    span_edit_done(&w, span);
}

void sonde_span_error_on(sonde_span *span, const char *type, const char *message,
                         const sonde_attr *kvs, size_t count)
{
    if (span)
        span_error(span, type, message, kvs, count);
}

void sonde_span_error_(const char *type, const char *message, const sonde_attr *kvs, size_t count)
{
    span_error(NULL, type, message, kvs, count);
}

static void span_ok(sonde_span *given)
{
    writer w;
    recorder_span *span;
    if (!span_edit(&w, given, &span))
        return;
    span->status = SPAN_STATUS_OK;
    span_edit_done(&w, span);
}

void sonde_span_ok_on(sonde_span *span)
{
    if (span)
        span_ok(span);
}

void sonde_span_ok(void)
{
    span_ok(NULL);
}

/* ---- name ---- */

static void span_rename(sonde_span *given, const char *name)
{
    writer w;
    recorder_span *span;
    if (!name || !span_edit(&w, given, &span))
        return;
    span_stream s = span_stream_open(&w, span);
    span_add_text(&s, RECORDER_TAG_NAME, str_slice(str_c(name), 0, SPAN_NAME_BYTES));
    span_edit_done(&w, span);
}

void sonde_span_rename_on(sonde_span *span, const char *name)
{
    if (span)
        span_rename(span, name);
}

void sonde_span_rename(const char *name)
{
    span_rename(NULL, name);
}
