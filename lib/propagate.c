// SPDX-License-Identifier: Apache-2.0
/* Contexts into headers and out of them; see sonde/propagate.h. The syntax of the headers is in
 * propagate_w3c.c. */
#include "lib/propagate.h"

#include "lib/context.h"

#include "base/buf.h"
#include "codec/json.h"
#include "lib/propagate_w3c.h"

#include <stdatomic.h>
#include <strings.h>

static _Atomic uint32_t chosen = 1u << PROPAGATE_TRACECONTEXT | 1u << PROPAGATE_BAGGAGE;

void propagate_configure(uint32_t propagators)
{
    chosen = propagators;
}

static bool uses(propagator_kind kind)
{
    return chosen >> kind & 1;
}

/* ---- from outside ---- */

typedef struct {
    str traceparent, tracestate, baggage, request_id;
} carried;

static void take_trace(sonde_context *c, const carried *in)
{
    w3c_parent parent;
    char state[W3C_TRACESTATE_MAX];
    if (!uses(PROPAGATE_TRACECONTEXT) || !w3c_parse_traceparent(in->traceparent, &parent))
        return;
    memcpy(c->trace_id, parent.trace.bytes, sizeof(c->trace_id));
    memcpy(c->span_id, parent.span.bytes, sizeof(c->span_id));
    c->flags = CONTEXT_REMOTE | (parent.flags & W3C_FLAG_SAMPLED ? CONTEXT_SAMPLED : 0);
    size_t n = w3c_tracestate(in->tracestate, state);
    if (n)
        (void)context_put_hidden(c, CONTEXT_TRACESTATE, STR_EMPTY, str_n(state, n));
}

/* Baggage that could break a header out of its line is not handed on. */
static bool baggage_is_good(str baggage)
{
    for (size_t i = 0; i < baggage.len; i++)
        if (baggage.ptr[i] < 0x20 || baggage.ptr[i] > 0x7e)
            return false;
    return baggage.len > 0 && baggage.len <= W3C_BAGGAGE_MAX;
}

static sonde_context context_of(const carried *in)
{
    sonde_context c;
    memset(&c, 0, sizeof(c));
    take_trace(&c, in);
    if (request_id_is_good(in->request_id)) {
        sonde_str id = { in->request_id.ptr, in->request_id.len };
        sonde_attr attribute = sonde_kv_text("request_id", id);
        (void)context_put(&c, &attribute);
    }
    if (uses(PROPAGATE_BAGGAGE) && baggage_is_good(in->baggage))
        (void)context_put_hidden(&c, CONTEXT_BAGGAGE, STR_EMPTY, in->baggage);
    return c;
}

/* The getter's results are valid only until its next call, so that each is copied. */
static str take_header(sonde_header_get *get, void *user, const char *name, char *copy, size_t size)
{
    const char *text = get(user, name);
    size_t n = text ? strlen(text) : 0;
    if (n == 0 || n >= size)
        return STR_EMPTY;
    memcpy(copy, text, n + 1);
    return str_n(copy, n);
}

sonde_context sonde_extract(sonde_header_get *get, void *user)
{
    char parent[256], state[2048], baggage[SONDE_CONTEXT_BYTES], id[REQUEST_ID_MAX + 2];
    carried in = { STR_EMPTY, STR_EMPTY, STR_EMPTY, STR_EMPTY };
    if (get) {
        in.traceparent = take_header(get, user, "traceparent", parent, sizeof(parent));
        in.tracestate = take_header(get, user, "tracestate", state, sizeof(state));
        in.baggage = take_header(get, user, "baggage", baggage, sizeof(baggage));
        in.request_id = take_header(get, user, "x-request-id", id, sizeof(id));
    }
    return context_of(&in);
}

static const char *pair_get(void *user, const char *name)
{
    for (const char *const *pair = user; pair && pair[0] && pair[1]; pair += 2)
        if (strcasecmp(pair[0], name) == 0)
            return pair[1];
    return NULL;
}

sonde_context sonde_extract_pairs(const char *const *pairs)
{
    return sonde_extract(pair_get, (void *)(uintptr_t)pairs);
}

sonde_context sonde_extract_json(const char *json, size_t len)
{
    carried in = { STR_EMPTY, STR_EMPTY, STR_EMPTY, STR_EMPTY };
    const struct {
        str name;
        str *field;
    } members[] = { { STR("traceparent"), &in.traceparent },
                    { STR("tracestate"), &in.tracestate },
                    { STR("baggage"), &in.baggage },
                    { STR("request_id"), &in.request_id } };
    arena memory;
    json_reader r;
    str key;
    arena_init(&memory, MiB(1));
    json_read(&r, json ? str_n(json, len) : STR_EMPTY, &memory, 0);
    if (json_next(&r) == JSON_OBJECT)
        while (json_next_key(&r, &key)) {
            size_t m = 0;
            while (m < ARRAY_LEN(members) && !str_eq(members[m].name, key))
                m++;
            json_type type = json_next(&r);
            if (m < ARRAY_LEN(members) && type == JSON_STRING)
                *members[m].field = r.text;
            else if (!json_skip(&r))
                break;
        }
    if (r.type == JSON_ERROR)
        in = (carried){ STR_EMPTY, STR_EMPTY, STR_EMPTY, STR_EMPTY };
    sonde_context c = context_of(&in);
    arena_done(&memory);
    return c;
}

/* ---- to the outside ---- */

/* Views that are valid while the current context is; traceparent is written into `text`. */
static carried current_carried(char text[W3C_TRACEPARENT_SIZE])
{
    const sonde_current_ *now = context_current();
    carried out = { STR_EMPTY, STR_EMPTY, STR_EMPTY, STR_EMPTY };
    w3c_parent parent;
    memcpy(parent.trace.bytes, now->trace_id, sizeof(parent.trace.bytes));
    memcpy(parent.span.bytes, now->span_id, sizeof(parent.span.bytes));
    parent.flags = now->flags & CONTEXT_SAMPLED ? W3C_FLAG_SAMPLED : 0;
    bool traced = trace_id_is_set(parent.trace) && span_id_is_set(parent.span);
    if (uses(PROPAGATE_TRACECONTEXT) && traced) {
        w3c_format_traceparent(&parent, text);
        out.traceparent = str_n(text, W3C_TRACEPARENT_SIZE - 1);
    }
    if (!now->bag)
        return out;
    context_hidden kind;
    str key, content, id;
    for (size_t i = 0; context_hidden_at(now->bag, i, &kind, &key, &content); i++) {
        if (kind == CONTEXT_TRACESTATE && out.traceparent.len && !out.tracestate.len)
            out.tracestate = content;
        if (kind == CONTEXT_BAGGAGE && uses(PROPAGATE_BAGGAGE) && !out.baggage.len)
            out.baggage = content;
    }
    if (context_text(now->bag, STR("request_id"), &id) && request_id_is_good(id))
        out.request_id = id;
    return out;
}

void sonde_inject_pairs(sonde_carrier *ret)
{
    if (!ret)
        return;
    char traceparent[W3C_TRACEPARENT_SIZE];
    carried out = current_carried(traceparent);
    const struct {
        const char *name;
        str text;
    } headers[] = { { "traceparent", out.traceparent },
                    { "tracestate", out.tracestate },
                    { "baggage", out.baggage },
                    { "x-request-id", out.request_id } };
    size_t count = 0, used = 0;
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        str text = headers[i].text;
        if (text.len == 0 || text.len >= sizeof(ret->text) - used)
            continue;
        str_copy_c(ret->text + used, sizeof(ret->text) - used, text);
        ret->pairs[count++] = headers[i].name;
        ret->pairs[count++] = ret->text + used;
        used += text.len + 1;
    }
    ret->pairs[count] = NULL;
}

void sonde_inject(sonde_header_set *set, void *user)
{
    sonde_carrier out;
    sonde_inject_pairs(&out);
    for (size_t i = 0; out.pairs[i] && set; i += 2)
        set(user, out.pairs[i], out.pairs[i + 1]);
}

size_t sonde_inject_json(char *ret, size_t size)
{
    char traceparent[W3C_TRACEPARENT_SIZE];
    carried out = current_carried(traceparent);
    buf b;
    buf_init(&b, KiB(16));
    json_writer w = json_write(&b);
    if (out.traceparent.len)
        JSON_PUT(&w, str, "traceparent", out.traceparent);
    if (out.tracestate.len)
        JSON_PUT(&w, str, "tracestate", out.tracestate);
    if (out.baggage.len)
        JSON_PUT(&w, str, "baggage", out.baggage);
    if (out.request_id.len)
        JSON_PUT(&w, str, "request_id", out.request_id);
    size_t n = b.failed || b.len >= size || !ret ? 0 : b.len;
    if (ret && size)
        str_copy_c(ret, size, str_slice(buf_view(&b), 0, n));
    buf_done(&b);
    return n;
}
