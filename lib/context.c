// SPDX-License-Identifier: Apache-2.0
/* Contexts: what is current in a thread, its scopes, and copies of it that travel. A scope's
 * storage is on the caller's stack; the thread points at the innermost one. */
#include "lib/context.h"

#include "lib/log_attr.h"
#include "lib/state_thread.h"

/* Length of the encoded attribute at p, which this file wrote. */
static size_t entry_length(const uint8_t *p)
{
    size_t n = 2 + p[1];
    uint16_t text;
    switch (RECORDER_TAG_TYPE(p[0])) {
    case RECORDER_TAG_I64:
    case RECORDER_TAG_U64:
    case RECORDER_TAG_F64:
        return n + 8;
    case RECORDER_TAG_STR:
    case RECORDER_TAG_BYTES:
        memcpy(&text, p + n, 2);
        return n + 2 + text;
    default:
        return n;
    }
}

static const uint8_t *find_entry(const sonde_context *c, str key)
{
    for (size_t at = 0; at < c->used; at += entry_length(c->bytes + at)) {
        if (str_eq(str_n(c->bytes + at + 2, c->bytes[at + 1]), key))
            return c->bytes + at;
    }
    return NULL;
}

static void remove_entry(sonde_context *c, str key)
{
    const uint8_t *entry = find_entry(c, key);
    if (!entry)
        return;
    size_t at = (size_t)(entry - c->bytes), n = entry_length(entry);
    memmove(c->bytes + at, c->bytes + at + n, c->used - at - n);
    c->used = (uint16_t)(c->used - n);
    c->count--;
}

bool context_put(sonde_context *c, const sonde_attr *attribute)
{
    remove_entry(c, str_n(attribute->key, attribute->key_len));
    if (attribute->type == SONDE_TYPE_GROUP)
        return false;
    size_t room = SONDE_CONTEXT_BYTES - c->used - c->hidden;
    size_t fixed = 12u + attribute->key_len;
    if (fixed > room || (attribute->type != SONDE_TYPE_STR && fixed + attribute->len > room))
        return false;
    char *start = (char *)c->bytes + c->used;
    uint32_t longest = (uint32_t)MIN(room - fixed, SONDE_CONTEXT_BYTES / 2);
    char *end = attr_encode_keyed(start, attribute, longest);
    c->used = (uint16_t)(c->used + (end - start));
    c->count++;
    return true;
}

bool context_put_hidden(sonde_context *c, context_hidden kind, str key, str text)
{
    size_t n = 4 + key.len + text.len;
    if (key.len > 255 || n > SONDE_CONTEXT_BYTES - (size_t)c->used - c->hidden)
        return false;
    uint8_t *p = c->bytes + SONDE_CONTEXT_BYTES - c->hidden - n;
    memcpy(p, &(uint16_t){ (uint16_t)(n - 2) }, 2);
    p[2] = (uint8_t)kind;
    p[3] = (uint8_t)key.len;
    memcpy(p + 4, key.ptr, key.len);
    memcpy(p + 4 + key.len, text.ptr, text.len);
    c->hidden = (uint16_t)(c->hidden + n);
    return true;
}

void context_remove_hidden(sonde_context *c, context_hidden kind)
{
    size_t at = SONDE_CONTEXT_BYTES - c->hidden;
    while (at < SONDE_CONTEXT_BYTES) {
        uint16_t rest;
        memcpy(&rest, c->bytes + at, 2);
        size_t n = 2u + rest, begin = SONDE_CONTEXT_BYTES - c->hidden;
        if (c->bytes[at + 2] == (uint8_t)kind) {
            memmove(c->bytes + begin + n, c->bytes + begin, at - begin);
            c->hidden = (uint16_t)(c->hidden - n);
        }
        at += n;
    }
}

void context_count_lost(uint64_t lost)
{
    recorder *r = lost ? state_recorder() : NULL;
    if (r)
        recorder_count_drop(r, SIGNAL_LOGS, RECORDER_DROP_CONTEXT, lost);
}

bool context_hidden_at(const sonde_context *c, size_t n, context_hidden *ret_kind, str *ret_key,
                       str *ret_value)
{
    size_t at = SONDE_CONTEXT_BYTES - c->hidden;
    for (; at < SONDE_CONTEXT_BYTES; n--) {
        const uint8_t *p = c->bytes + at;
        uint16_t rest;
        memcpy(&rest, p, 2);
        if (n == 0) {
            *ret_kind = (context_hidden)p[2];
            *ret_key = str_n(p + 4, p[3]);
            *ret_value = str_n(p + 4 + p[3], rest - 2u - p[3]);
            return true;
        }
        at += 2u + rest;
    }
    return false;
}

str context_tracestate(const sonde_context *c)
{
    context_hidden kind;
    str key, text;
    for (size_t n = 0; context_hidden_at(c, n, &kind, &key, &text); n++) {
        if (kind == CONTEXT_TRACESTATE)
            return text;
    }
    return STR_EMPTY;
}

bool context_text(const sonde_context *c, str key, str *ret)
{
    const uint8_t *entry = find_entry(c, key);
    if (!entry || RECORDER_TAG_TYPE(entry[0]) != RECORDER_TAG_STR)
        return false;
    uint16_t n;
    memcpy(&n, entry + 2 + entry[1], 2);
    *ret = str_n(entry + 4 + entry[1], n);
    return true;
}

const sonde_current_ *context_current(void)
{
    return &thread_context()->current;
}

/* Never half a change: a signal handler that comes in between sees no trace, and what it records
 * begins one. */
static void replace(thread_self *t, const sonde_current_ *with)
{
    memset(t->current.trace_id, 0, sizeof(t->current.trace_id));
    COMPILER_BARRIER();
    memcpy(t->current.span_id, with->span_id, sizeof(with->span_id));
    t->current.flags = with->flags;
    t->current.generation = with->generation;
    t->current.span = with->span;
    t->current.bag = with->bag;
    COMPILER_BARRIER();
    memcpy(t->current.trace_id, with->trace_id, sizeof(with->trace_id));
}

void context_set_current(const sonde_current_ *current)
{
    replace(thread_context(), current);
}

static void copy_bag(sonde_context *to, const sonde_context *from)
{
    to->count = from->count;
    to->used = from->used;
    to->hidden = from->hidden;
    memcpy(to->bytes, from->bytes, from->used);
    size_t at = SONDE_CONTEXT_BYTES - from->hidden;
    memcpy(to->bytes + at, from->bytes + at, from->hidden);
}

sonde_context sonde_context_capture(void)
{
    thread_self *t = thread_context();
    if (t->current.span)
        t->current.flags |= CONTEXT_SHARED;
    sonde_context c = { .flags = t->current.flags, .span = t->current.span };
    memcpy(c.trace_id, t->current.trace_id, sizeof(c.trace_id));
    memcpy(c.span_id, t->current.span_id, sizeof(c.span_id));
    if (t->current.bag)
        copy_bag(&c, t->current.bag);
    return c;
}

sonde_context_scope *sonde_context_enter_(sonde_context_scope *scope, const sonde_attr *kvs,
                                          size_t count)
{
    thread_self *t = thread_context();
    scope->saved_bag = t->current.bag;
    scope->generation = t->fork_id;
    scope->bag.count = scope->bag.used = scope->bag.hidden = 0;
    if (t->current.bag)
        copy_bag(&scope->bag, t->current.bag);
    uint64_t lost = 0;
    for (size_t i = 0; i < count; i++)
        lost += !context_put(&scope->bag, &kvs[i]);
    context_count_lost(lost);
    COMPILER_BARRIER();
    t->current.bag = &scope->bag;
    return scope;
}

void sonde_context_leave_(sonde_context_scope *scope)
{
    thread_self *t = thread_context();
    if (scope->generation == t->fork_id)
        t->current.bag = scope->saved_bag;
}

sonde_with_scope *sonde_with_enter_(sonde_with_scope *scope, const sonde_context *context)
{
    thread_self *t = thread_context();
    scope->saved = t->current;
    scope->saved.generation = t->fork_id;
    sonde_current_ with = { .flags = context->flags,
                            .generation = t->current.generation,
                            .span = context->span,
                            .bag = context->used || context->hidden ? context : NULL };
    memcpy(with.trace_id, context->trace_id, sizeof(with.trace_id));
    memcpy(with.span_id, context->span_id, sizeof(with.span_id));
    replace(t, &with);
    return scope;
}

void sonde_with_leave_(sonde_with_scope *scope)
{
    thread_self *t = thread_context();
    if (scope->saved.generation == t->fork_id)
        replace(t, &scope->saved);
}

void sonde_context_attach(sonde_attachment *ret, const sonde_context *context)
{
    static const sonde_context empty;
    if (ret)
        sonde_with_enter_(&ret->scope, context ? context : &empty);
}

void sonde_context_detach(sonde_attachment *attachment)
{
    if (attachment)
        sonde_with_leave_(&attachment->scope);
}

bool sonde_context_set(sonde_context *context, const sonde_attr *attribute)
{
    return context && attribute && context_put(context, attribute);
}

sonde_context sonde_context_of_ids(const char *trace_id, const char *span_id, bool sampled)
{
    sonde_context c = { .flags = CONTEXT_REMOTE | (sampled ? CONTEXT_SAMPLED : 0) };
    static const uint8_t zero[16];
    bool good = str_from_hex(str_c(trace_id), c.trace_id, 16) &&
                str_from_hex(str_c(span_id), c.span_id, 8) && memcmp(c.trace_id, zero, 16) != 0 &&
                memcmp(c.span_id, zero, 8) != 0;
    return good ? c : (sonde_context){ 0 };
}

bool sonde_trace_id(char ret[33])
{
    if (!ret)
        return false;
    thread_self *t = thread_context();
    bool has = context_has_trace(&t->current);
    if (has)
        str_to_hex(t->current.trace_id, 16, ret);
    ret[has ? 32 : 0] = 0;
    return has;
}

bool sonde_span_id(char ret[17])
{
    if (!ret)
        return false;
    thread_self *t = thread_context();
    bool has = context_has_trace(&t->current);
    if (has)
        str_to_hex(t->current.span_id, 8, ret);
    ret[has ? 16 : 0] = 0;
    return has;
}

sonde_str sonde_context_get(const char *key)
{
    const sonde_context *bag = thread_context()->current.bag;
    str text;
    if (!bag || !context_text(bag, str_c(key), &text))
        return (sonde_str){ "", 0 };
    return (sonde_str){ text.ptr, text.len };
}

sonde_str sonde_request_id(void)
{
    return sonde_context_get("request_id");
}
