// SPDX-License-Identifier: Apache-2.0
/* The log call: a record is encoded straight into the thread's ring. docs/internals/hot-path.md
 * says what it costs and why. */
#include "sonde/log.h"

#include "lib/context.h"
#include "lib/log.h"
#include "lib/log_attr.h"
#include "lib/state_thread.h"
#include "lib/tsc.h"

#include <stdarg.h>
#include <stdio.h>

#define FIXED_BYTES (sizeof(recorder_log) + 24)
/* It has no array, and the check would be a tenth of the call. */
#if defined(__GNUC__) && (__GNUC__ >= 11 || defined(__clang__))
#define NO_STACK_PROTECTOR __attribute__((no_stack_protector))
#else
#define NO_STACK_PROTECTOR
#endif
/* Of attributes; beside them a record holds its fixed part, names, "suppressed", the context. */
#define BODY_MAX    (RECORDER_RECORD_MAX - FIXED_BYTES - SONDE_CONTEXT_BYTES - 640)
#define NAMES_BYTES 520u /* event and logger of a record without a site, "suppressed" */

typedef struct {
    sonde_site *site; /* NULL: `event` names it */
    str event, logger;
    uint8_t severity;
    const sonde_attr *kvs;
    size_t count;
    uint64_t suppressed; /* 0: no such attribute */
} log_call;

/* ---- the way of nearly all calls ---- */

/* Up to 32 bytes by two copies of a fixed size that may overlap; never a byte beyond n. */
static inline char *put_text(char *p, const char *from, uint32_t n)
{
    if (LIKELY(n <= 32)) {
        if (n >= 16) {
            memcpy(p, from, 16);
            memcpy(p + n - 16, from + n - 16, 16);
        } else if (n >= 8) {
            memcpy(p, from, 8);
            memcpy(p + n - 8, from + n - 8, 8);
        } else if (n >= 4) {
            memcpy(p, from, 4);
            memcpy(p + n - 4, from + n - 4, 4);
        } else if (n) {
            p[0] = from[0];
            p[n / 2] = from[n / 2];
            p[n - 1] = from[n - 1];
        }
    } else {
        memcpy(p, from, n);
    }
    return p + n;
}

/* The context's attributes: 32 bytes at a time, the last piece overlapping. */
static inline char *put_bag(char *p, const sonde_context *bag)
{
    const char *from = (const char *)bag->bytes;
    uint32_t n = bag->used;
    if (UNLIKELY(n < 32))
        return put_text(p, from, n);
    char *end = p + n;
    const char *last = from + n - 32;
    for (; from < last; from += 32, p += 32)
        memcpy(p, from, 32);
    memcpy(end - 32, last, 32);
    return end;
}

/* A number or a text without its key; NULL for anything else, and when it does not fit before
 * `limit`. */
static inline char *put_known(char *p, const char *limit, const sonde_attr *a)
{
    uint32_t n = a->len; /* of a number: 0 */
    if (UNLIKELY(p + n + 12 > limit))
        return NULL;
    *p = (char)a->type;
    if (a->type == SONDE_TYPE_STR) {
        memcpy(p + 1, &(uint16_t){ (uint16_t)n }, 2);
        return put_text(p + 3, a->value.ptr, n);
    }
    if (UNLIKELY(a->type - SONDE_TYPE_I64 > SONDE_TYPE_F64 - SONDE_TYPE_I64))
        return NULL;
    memcpy(p + 1, &a->value, 8);
    return p + 9;
}

/* Other types and keys. */
static __attribute__((noinline)) char *put_other(char *p, const char *limit, const sonde_site *site,
                                                 size_t i, const sonde_attr *a)
{
    if (limit < p || (size_t)(limit - p) < attr_bound(a))
        return NULL;
    return attr_encode_at(p, site, i, a, ATTR_VALUE_MAX);
}

static inline char *put_attrs(char *p, const char *limit, const sonde_site *site,
                              const sonde_attr *kvs, size_t count)
{
    /* A site with a secret among its keys takes the longer way for all of them. */
    size_t known = UNLIKELY(site->redacted) ? 0 : MIN(count, site->key_count), i = 0;
    for (; i < known; i++) {
        char *next = LIKELY(kvs[i].key == site->keys[i]) ? put_known(p, limit, &kvs[i]) : NULL;
        if (UNLIKELY(!next) && !(next = put_other(p, limit, site, i, &kvs[i])))
            return NULL;
        p = next;
    }
    for (; UNLIKELY(i < count); i++)
        if (!(p = put_other(p, limit, site, i, &kvs[i])))
            return NULL;
    return p;
}

/* The fixed part behind the clock, in two stores. */
static inline void put_fixed(char *start, uint32_t site, uint32_t attributes, uint8_t severity,
                             uint8_t flags, size_t bytes, uint32_t context)
{
    uint64_t words[2] = { (uint64_t)site | (uint64_t)attributes << 32,
                          (uint64_t)severity | (uint64_t)flags << 8 | (uint64_t)bytes << 16 |
                              (uint64_t)context << 32 };
    memcpy(start + offsetof(recorder_log, site), words, sizeof(words));
}
_Static_assert(offsetof(recorder_log, attributes) == 20 && offsetof(recorder_log, severity) == 24 &&
                   offsetof(recorder_log, flags) == 25 && offsetof(recorder_log, bytes) == 26 &&
                   offsetof(recorder_log, context) == 28 && sizeof(recorder_log) == 32,
               "put_fixed");

static void log_call_write(const log_call *given);

static __attribute__((noinline, cold)) void log_slow(sonde_site *site, const sonde_attr *kvs,
                                                     size_t count)
{
    log_call_write(
        &(log_call){ .site = site, .severity = site->level, .kvs = kvs, .count = count });
}

/* One pass over the attributes into the extent that the thread has. Whatever is not as usual (no
 * room, a new site, a signal handler within a call, after a fork, values to be cut) is left to
 * log_slow, which begins anew: nothing is there before the commit. */
NO_STACK_PROTECTOR void sonde_log_(sonde_site *site, const sonde_attr *kvs, size_t count)
{
    thread_self *t = thread_get();
    uint32_t generation = t->generation;
    uint64_t slot = __atomic_load_n(&site->slot, __ATOMIC_ACQUIRE);
    uint32_t number = (uint32_t)slot;
    if (UNLIKELY(generation != state_shared_page->generation || t->busy ||
                 (uint32_t)(slot >> 32) != generation || number - 1 >= UINT32_MAX - 1)) {
        log_slow(site, kvs, count);
        return;
    }
    t->busy = 1;
    COMPILER_BARRIER();
    ring *g = t->ring;
    const sonde_context *bag = t->current.bag;
    char *start = g->at, *limit = start ? g->end - (bag ? bag->used : 0) : NULL, *p = start;
    if (UNLIKELY(!start || limit - start < (ptrdiff_t)FIXED_BYTES))
        goto slow;
    limit = MIN(limit, start + FIXED_BYTES + BODY_MAX);
    ((recorder_log *)start)->ticks = tsc_now();
    uint8_t flags = 0;
    p += sizeof(recorder_log);
    if (context_has_trace(&t->current)) {
        flags = (uint8_t)(RECORDER_FLAG_TRACE | (t->current.flags & 1) * RECORDER_FLAG_SAMPLED);
        memcpy(p, t->current.trace_id, 24);
        p += 24;
    }
    p = put_attrs(p, limit, site, kvs, count);
    if (UNLIKELY(!p))
        goto slow;
    uint32_t shared = 0;
    if (bag) {
        shared = bag->count;
        p = put_bag(p, bag);
    }
    size_t size = (size_t)(p - start);
    put_fixed(start, number, (uint32_t)count + shared, site->level, flags,
              size - sizeof(recorder_log), shared);
    ring_commit(g, size, RECORDER_LOG);
    COMPILER_BARRIER();
    t->busy = 0;
    return;
slow:
    COMPILER_BARRIER();
    t->busy = 0;
    log_slow(site, kvs, count);
}

/* ---- everything else ---- */

/* A record that is too long: the length to which every text is cut so that all fit. When even that
 * does not help, groups are left empty and *count loses its last attributes. */
static uint32_t cut_to_fit(const sonde_attr *kvs, size_t *count)
{
    for (uint32_t longest = 32768; longest >= ATTR_GROUPS_FROM; longest /= 2) {
        size_t sum = 0;
        for (size_t i = 0; i < *count; i++)
            sum += attr_group_bound(&kvs[i], longest);
        if (sum <= BODY_MAX)
            return longest;
    }
    *count = MIN(*count, BODY_MAX / (12 + 255 + ATTR_GROUPS_FROM));
    return ATTR_GROUPS_FROM - 1;
}

static char *put_name(char *p, str name)
{
    *p++ = (char)name.len;
    memcpy(p, name.ptr, name.len);
    return p + name.len;
}

static char *put_head(char *p, recorder_log *record, const log_call *call, uint32_t number,
                      const sonde_current_ *current)
{
    if (context_has_trace(current)) {
        record->flags =
            (uint8_t)(RECORDER_FLAG_TRACE | (current->flags & 1 ? RECORDER_FLAG_SAMPLED : 0));
        memcpy(p, current->trace_id, 24);
        p += 24;
    }
    if (!number) {
        record->flags |= RECORDER_FLAG_INLINE | (call->logger.len ? RECORDER_FLAG_LOGGER : 0);
        p = put_name(p, call->event);
        if (call->logger.len)
            p = put_name(p, call->logger);
    }
    return p;
}

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
    record->ticks = tsc_now(); /* the word is the commit's: a reader may look at it meanwhile */
    put_fixed(start, number,
              (uint16_t)call->count | (uint32_t)MIN(dropped, (size_t)UINT16_MAX) << 16,
              call->severity, 0, 0, 0);
    char *p = put_head(start + sizeof(*record), record, call, number, &t->current);
    for (size_t i = 0; i < call->count; i++)
        p = number ? attr_encode_at(p, call->site, i, &call->kvs[i], longest)
                   : attr_encode_keyed(p, &call->kvs[i], longest);
    if (call->suppressed) {
        sonde_attr left_out = sonde_kv_u64("suppressed", call->suppressed);
        p = attr_encode(p, &left_out, true, false, longest);
        record->attributes++;
    }
    const sonde_context *bag = t->current.bag;
    if (bag) {
        p = put_bag(p, bag);
        record->attributes = (uint16_t)(record->attributes + bag->count);
        record->context = bag->count;
    }
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
        if (UNLIKELY(!number)) {
            call.event = str_slice(str_c(call.site->name), 0, 255);
            call.logger = str_slice(str_c(call.site->logger), 0, 255);
        }
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
    size_t need = FIXED_BYTES + NAMES_BYTES + sum + (bag ? bag->used : 0);
    write_log(&w, &call, number, need, longest, dropped);
    thread_leave(&w);
}

void sonde_log_after_(sonde_throttle *throttle, sonde_site *site, const sonde_attr *kvs,
                      size_t count)
{
    uint64_t suppressed = log_throttle_take(throttle);
    if (LIKELY(!suppressed)) {
        sonde_log_(site, kvs, count);
        return;
    }
    log_call_write(&(log_call){ .site = site,
                                .severity = site->level,
                                .kvs = kvs,
                                .count = count,
                                .suppressed = suppressed });
}

void sonde_log_as(sonde_str logger, sonde_level level, sonde_str event, const sonde_attr *kvs,
                  size_t count)
{
    if (sonde_gate_.level >= GATE_OFF) {
        if (sonde_gate_.level == GATE_NOT_STARTED)
            sonde_early_(SIGNAL_LOGS);
        return;
    }
    str name = event.ptr ? str_slice(str_n(event.ptr, event.len), 0, 255) : STR_EMPTY;
    str from = logger.ptr ? str_slice(str_n(logger.ptr, logger.len), 0, 255) : STR_EMPTY;
    if ((unsigned)level < (from.len ? log_level_of(from) : sonde_gate_.level))
        return;
    log_call_write(&(log_call){ .event = name,
                                .logger = from,
                                .severity = (uint8_t)level,
                                .kvs = kvs,
                                .count = kvs ? count : 0 });
}

void sonde_log(sonde_level level, sonde_str event, const sonde_attr *kvs, size_t count)
{
    sonde_log_as((sonde_str){ NULL, 0 }, level, event, kvs, count);
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
    const char *name = errno_name(errnum), *text = errno_text(errnum);
    str parts[] = { str_c(name ? name : "unknown error"), STR(": "), str_c(text) };
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts) && (i == 0 || text); i++) {
        size_t take = MIN(parts[i].len, size - n);
        memcpy(buffer + n, parts[i].ptr, take);
        n += take;
    }
    return sonde_kv_text("error", (sonde_str){ buffer, n });
}
