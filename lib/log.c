// SPDX-License-Identifier: Apache-2.0
/* The log call: a record is encoded straight into the thread's ring. docs/internals/hot-path.md
 * says what it costs and why. */
#include "sonde/log.h"

#include "lib/context.h"
#include "lib/log_attr.h"
#include "lib/state_thread.h"
#include "lib/tsc.h"

#include <stdarg.h>
#include <stdio.h>

#define FIXED_BYTES (sizeof(recorder_log) + 24)
#define BODY_MAX    (RECORDER_RECORD_MAX - FIXED_BYTES - SONDE_CONTEXT_BYTES - 512)

/* A record that is too long: the length to which every text is cut so that all fit. When even that
 * does not help, *count loses its last attributes. */
static uint32_t cut_to_fit(const sonde_attr *kvs, size_t *count)
{
    for (uint32_t longest = 32768; longest >= 16; longest /= 2) {
        size_t sum = 0;
        for (size_t i = 0; i < *count; i++)
            sum += 12u + kvs[i].key_len + MIN(kvs[i].len, longest);
        if (sum <= BODY_MAX)
            return longest;
    }
    *count = MIN(*count, BODY_MAX / (12 + 255 + 16));
    return 16;
}

static char *put_context(char *p, recorder_log *record, const sonde_current_ *current)
{
    const sonde_context *bag = current->bag;
    if (bag) {
        memcpy(p, bag->bytes, bag->used);
        p += bag->used;
        record->attributes = (uint16_t)(record->attributes + bag->count);
    }
    return p;
}

typedef struct {
    sonde_site *site; /* NULL: `event` names it */
    str event;
    uint8_t severity;
    const sonde_attr *kvs;
    size_t count;
} log_call;

/* `need` bounds the record's size. */
static void write_log(writer *w, const log_call *call, uint32_t number, size_t need,
                      uint32_t longest, size_t dropped)
{
    thread_self *t = w->thread;
    char *start = ring_reserve(w->recorder, w->ring, need);
    if (UNLIKELY(!start)) {
        recorder_count_drop(w->recorder, SIGNAL_LOGS, RECORDER_DROP_FULL, 1);
        return;
    }
    recorder_log *record = (recorder_log *)start;
    record->ticks = tsc_now();
    record->site = number;
    record->attributes = (uint16_t)call->count;
    record->dropped = (uint16_t)MIN(dropped, (size_t)UINT16_MAX);
    record->severity = call->severity;
    record->flags = 0;
    char *p = start + sizeof(*record);
    if (context_has_trace(&t->current)) {
        record->flags =
            (uint8_t)(RECORDER_FLAG_TRACE | (t->current.flags & 1 ? RECORDER_FLAG_SAMPLED : 0));
        memcpy(p, t->current.trace_id, 24);
        p += 24;
    }
    if (UNLIKELY(!number)) {
        record->flags |= RECORDER_FLAG_INLINE;
        *p++ = (char)call->event.len;
        memcpy(p, call->event.ptr, call->event.len);
        p += call->event.len;
    }
    if (LIKELY(number)) {
        for (size_t i = 0; i < call->count; i++)
            p = attr_encode_at(p, call->site, i, &call->kvs[i], longest);
    } else {
        for (size_t i = 0; i < call->count; i++)
            p = attr_encode_keyed(p, &call->kvs[i], longest);
    }
    p = put_context(p, record, &t->current);
    size_t size = (size_t)(p - start);
    record->bytes = (uint16_t)(size - sizeof(*record));
    ring_commit(w->ring, size, RECORDER_LOG);
}

static void log_call_write(const log_call *given)
{
    writer w;
    if (UNLIKELY(!thread_enter(&w, SIGNAL_LOGS)))
        return;
    log_call call = *given;
    uint32_t number = 0, longest = ATTR_VALUE_MAX;
    size_t dropped = 0;
    if (LIKELY(call.site != NULL)) {
        number = site_number(w.recorder, w.generation, call.site, call.kvs, call.count);
        if (UNLIKELY(!number))
            call.event = str_slice(str_c(call.site->name), 0, 255);
    }
    size_t sum = attrs_bound(call.kvs, call.count);
    if (UNLIKELY(sum > BODY_MAX)) {
        size_t had = call.count;
        longest = cut_to_fit(call.kvs, &call.count);
        dropped = had - call.count;
        sum = BODY_MAX;
        if (dropped)
            recorder_count_drop(w.recorder, SIGNAL_LOGS, RECORDER_DROP_CUT, dropped);
    }
    const sonde_context *bag = w.thread->current.bag;
    size_t need = FIXED_BYTES + sum + (bag ? bag->used : 0) + call.event.len + 1;
    write_log(&w, &call, number, need, longest, dropped);
    thread_leave(&w);
}

void sonde_log_(sonde_site *site, const sonde_attr *kvs, size_t count)
{
    log_call_write(
        &(log_call){ .site = site, .severity = site->level, .kvs = kvs, .count = count });
}

void sonde_log(sonde_level level, sonde_str event, const sonde_attr *kvs, size_t count)
{
    if ((unsigned)level < sonde_gate_.level) {
        if (sonde_gate_.level == GATE_NOT_STARTED)
            sonde_early_(SIGNAL_LOGS);
        return;
    }
    log_call_write(&(log_call){ .event = str_slice(str_n(event.ptr, event.len), 0, 255),
                                .severity = (uint8_t)level,
                                .kvs = kvs,
                                .count = count });
}

sonde_attr sonde_kv_fmt_(const char *key, char *buffer, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(buffer, size, format, args);
    va_end(args);
    return sonde_kv_text(key, (sonde_str){ buffer, n < 0 ? 0 : MIN((size_t)n, size - 1) });
}

sonde_attr sonde_kv_errno_(char *buffer, size_t size, int errnum)
{
    const char *name = strerrorname_np(errnum), *text = strerrordesc_np(errnum);
    str parts[] = { str_c(name ? name : "unknown error"), STR(": "), str_c(text) };
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts) && (i == 0 || text); i++) {
        size_t take = MIN(parts[i].len, size - n);
        memcpy(buffer + n, parts[i].ptr, take);
        n += take;
    }
    return sonde_kv_text("error", (sonde_str){ buffer, n });
}
