// SPDX-License-Identifier: Apache-2.0
/* Contexts into headers and out of them; see sonde/propagate.h. The syntax of the headers is in
 * propagate_w3c.c, propagate_vendors.c and baggage.c; JSON payloads are in propagate_json.c. */
#include "lib/propagate_internal.h"
#include "lib/propagate_w3c.h"

#include <stdatomic.h>
#include <strings.h>

#define BIT(kind) (1u << (kind))
#define B3_BITS   (BIT(PROPAGATE_B3) | BIT(PROPAGATE_B3_MULTI))

static _Atomic uint32_t chosen = BIT(PROPAGATE_TRACECONTEXT) | BIT(PROPAGATE_BAGGAGE);

void propagate_configure(uint32_t propagators)
{
    chosen = propagators;
}

typedef struct {
    const char *name;
    uint32_t propagators; /* that read it; 0: always */
    size_t max;
    bool is_list; /* may come several times, which means the same as one with commas */
} header;

static const header headers[HEADER_COUNT] = {
    [HEADER_TRACEPARENT] = { "traceparent", BIT(PROPAGATE_TRACECONTEXT), SHORT_HEADER_MAX, false },
    [HEADER_TRACESTATE] = { "tracestate", BIT(PROPAGATE_TRACECONTEXT), 4096, true },
    [HEADER_BAGGAGE] = { "baggage", BIT(PROPAGATE_BAGGAGE), BAGGAGE_BYTES_MAX, true },
    [HEADER_REQUEST_ID] = { "x-request-id", 0, REQUEST_ID_MAX + 1, false },
    [HEADER_B3] = { "b3", B3_BITS, SHORT_HEADER_MAX, false },
    [HEADER_B3_TRACE] = { "x-b3-traceid", B3_BITS, SHORT_HEADER_MAX, false },
    [HEADER_B3_SPAN] = { "x-b3-spanid", B3_BITS, SHORT_HEADER_MAX, false },
    [HEADER_B3_SAMPLED] = { "x-b3-sampled", B3_BITS, SHORT_HEADER_MAX, false },
    [HEADER_B3_FLAGS] = { "x-b3-flags", B3_BITS, SHORT_HEADER_MAX, false },
    [HEADER_XRAY] = { "x-amzn-trace-id", BIT(PROPAGATE_XRAY), SHORT_HEADER_MAX, false },
    [HEADER_JAEGER] = { "uber-trace-id", BIT(PROPAGATE_JAEGER), SHORT_HEADER_MAX, false },
};

static bool is_chosen(uint32_t propagators)
{
    return propagators == 0 || (chosen & propagators);
}

/* ---- from outside ---- */

static bool tracecontext_extract(const carried *in, sonde_context *c)
{
    w3c_parent parent;
    char state[W3C_TRACESTATE_MAX];
    if (!w3c_parse_traceparent(in->of[HEADER_TRACEPARENT], &parent))
        return false;
    memcpy(c->trace_id, parent.trace.bytes, sizeof(c->trace_id));
    memcpy(c->span_id, parent.span.bytes, sizeof(c->span_id));
    c->flags = CONTEXT_REMOTE | (parent.flags & W3C_FLAG_SAMPLED ? CONTEXT_SAMPLED : 0) |
               (parent.flags & W3C_FLAG_RANDOM ? CONTEXT_RANDOM : 0);
    size_t n = w3c_tracestate(in->of[HEADER_TRACESTATE], state);
    if (n && !context_put_hidden(c, CONTEXT_TRACESTATE, STR_EMPTY, str_n(state, n)))
        context_count_lost(1);
    return true;
}

/* In this order: the first one that finds a trace decides. */
static const struct {
    uint32_t propagators;
    bool (*extract)(const carried *in, sonde_context *c);
} extractors[] = {
    { BIT(PROPAGATE_TRACECONTEXT), tracecontext_extract },
    { B3_BITS, b3_extract },
    { BIT(PROPAGATE_XRAY), xray_extract },
    { BIT(PROPAGATE_JAEGER), jaeger_extract },
};

static void take_trace(sonde_context *c, const carried *in)
{
    for (size_t i = 0; i < ARRAY_LEN(extractors); i++) {
        if (!is_chosen(extractors[i].propagators))
            continue;
        if (extractors[i].extract(in, c))
            return;
        memset(c->trace_id, 0, sizeof(c->trace_id));
        memset(c->span_id, 0, sizeof(c->span_id));
        c->flags = 0;
    }
}

/* Headers that could break out of their line are not handed on. */
static bool is_printable(str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((text.ptr[i] < 0x20 && text.ptr[i] != '\t') || text.ptr[i] > 0x7e)
            return false;
    return true;
}

sonde_context propagate_extract(const carried *in)
{
    sonde_context c;
    memset(&c, 0, sizeof(c));
    take_trace(&c, in);
    str id = in->of[HEADER_REQUEST_ID], baggage = in->of[HEADER_BAGGAGE];
    if (request_id_is_good(id)) {
        sonde_attr attribute = sonde_kv_text("request_id", (sonde_str){ id.ptr, id.len });
        (void)context_put(&c, &attribute);
    }
    if (is_chosen(BIT(PROPAGATE_BAGGAGE)) && baggage.len <= BAGGAGE_BYTES_MAX &&
        is_printable(baggage))
        context_count_lost(baggage_put(&c, baggage));
    return c;
}

/* The results of the getter are valid only until its next call, so that each is copied. */
typedef struct {
    sonde_header_nth *get;
    void *user;
    char *at, *end;
} fetcher;

/* All values of the header, joined by commas where it is a list. One that comes twice and is none
 * is worth nothing, nor is one that is too long. */
static str fetch(fetcher *f, const header *h)
{
    char *begin = f->at, *p = begin;
    for (size_t i = 0;; i++) {
        const char *text = f->get(f->user, h->name, i);
        str value = str_c(text);
        size_t n = value.len;
        if (!text)
            break;
        if ((i && !h->is_list) || n + 1 > (size_t)(f->end - p) ||
            (size_t)(p - begin) + n + 1 > h->max)
            return STR_EMPTY;
        if (i)
            *p++ = ',';
        memcpy(p, value.ptr, n);
        p += n;
    }
    f->at = p;
    return str_n(begin, (size_t)(p - begin));
}

sonde_context sonde_extract_all(sonde_header_nth *get, void *user)
{
    char text[BAGGAGE_BYTES_MAX + 6144];
    fetcher f = { get, user, text, text + sizeof(text) };
    carried in;
    for (size_t i = 0; i < HEADER_COUNT; i++) {
        bool wanted = get && is_chosen(headers[i].propagators);
        in.of[i] = wanted ? fetch(&f, &headers[i]) : STR_EMPTY;
    }
    return propagate_extract(&in);
}

typedef struct {
    sonde_header_get *get;
    void *user;
} single;

static const char *first_only(void *user, const char *name, size_t n)
{
    single *s = user;
    return n == 0 ? s->get(s->user, name) : NULL;
}

sonde_context sonde_extract(sonde_header_get *get, void *user)
{
    return sonde_extract_all(get ? first_only : NULL, &(single){ get, user });
}

static const char *pair_nth(void *user, const char *name, size_t n)
{
    for (const char *const *pair = user; pair && pair[0] && pair[1]; pair += 2)
        if (strcasecmp(pair[0], name) == 0 && n-- == 0)
            return pair[1];
    return NULL;
}

sonde_context sonde_extract_pairs(const char *const *pairs)
{
    return sonde_extract_all(pair_nth, (void *)(uintptr_t)pairs);
}

/* ---- to the outside ---- */

static size_t traceparent_format(const sonde_current_ *now, char *ret)
{
    w3c_parent parent;
    memcpy(parent.trace.bytes, now->trace_id, sizeof(parent.trace.bytes));
    memcpy(parent.span.bytes, now->span_id, sizeof(parent.span.bytes));
    parent.flags = (uint8_t)((now->flags & CONTEXT_SAMPLED ? W3C_FLAG_SAMPLED : 0) |
                             (now->flags & CONTEXT_RANDOM ? W3C_FLAG_RANDOM : 0));
    w3c_format_traceparent(&parent, ret);
    return W3C_TRACEPARENT_SIZE - 1;
}

static const struct {
    propagator_kind kind;
    header_kind header;
    size_t (*format)(const sonde_current_ *now, char *ret);
} formats[] = {
    { PROPAGATE_TRACECONTEXT, HEADER_TRACEPARENT, traceparent_format },
    { PROPAGATE_B3, HEADER_B3, b3_format },
    { PROPAGATE_XRAY, HEADER_XRAY, xray_format },
    { PROPAGATE_JAEGER, HEADER_JAEGER, jaeger_format },
};

static void put_b3_multi(const sonde_current_ *now, carried *out, char *text)
{
    str_to_hex(now->trace_id, 16, text);
    str_to_hex(now->span_id, 8, text + 33);
    out->of[HEADER_B3_TRACE] = str_n(text, 32);
    out->of[HEADER_B3_SPAN] = str_n(text + 33, 16);
    if (now->flags & CONTEXT_DEBUG)
        out->of[HEADER_B3_FLAGS] = STR("1");
    else
        out->of[HEADER_B3_SAMPLED] = now->flags & CONTEXT_SAMPLED ? STR("1") : STR("0");
}

void propagate_current(carried *ret, char text[PROPAGATE_TEXT])
{
    const sonde_current_ *now = context_current();
    static const uint8_t zero[8];
    memset(ret, 0, sizeof(*ret));
    if (context_has_trace(now) && memcmp(now->span_id, zero, 8) != 0) {
        for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
            char *to = text + i * SHORT_HEADER_MAX;
            if (is_chosen(BIT(formats[i].kind)))
                ret->of[formats[i].header] = str_n(to, formats[i].format(now, to));
        }
        if (is_chosen(BIT(PROPAGATE_B3_MULTI)))
            put_b3_multi(now, ret, text + ARRAY_LEN(formats) * SHORT_HEADER_MAX);
    }
    if (!now->bag)
        return;
    str id;
    if (ret->of[HEADER_TRACEPARENT].len)
        ret->of[HEADER_TRACESTATE] = context_tracestate(now->bag);
    if (is_chosen(BIT(PROPAGATE_BAGGAGE)))
        ret->of[HEADER_BAGGAGE] = baggage_of(now->bag);
    if (context_text(now->bag, STR("request_id"), &id) && request_id_is_good(id))
        ret->of[HEADER_REQUEST_ID] = id;
}

_Static_assert(PROPAGATE_TEXT >= (ARRAY_LEN(formats) + 1) * SHORT_HEADER_MAX, "each has room");

void sonde_inject_pairs(sonde_carrier *ret)
{
    char text[PROPAGATE_TEXT];
    carried out;
    if (!ret)
        return;
    propagate_current(&out, text);
    size_t count = 0, used = 0;
    for (size_t i = 0; i < HEADER_COUNT; i++) {
        str value = out.of[i];
        if (value.len == 0 || value.len >= sizeof(ret->text) - used)
            continue;
        str_copy_c(ret->text + used, sizeof(ret->text) - used, value);
        ret->pairs[count++] = headers[i].name;
        ret->pairs[count++] = ret->text + used;
        used += value.len + 1;
    }
    ret->pairs[count] = NULL;
}

_Static_assert(sizeof(((sonde_carrier *)0)->pairs) / sizeof(char *) > 2 * HEADER_COUNT,
               "all headers and a NULL");

void sonde_inject(sonde_header_set *set, void *user)
{
    sonde_carrier out;
    sonde_inject_pairs(&out);
    for (size_t i = 0; out.pairs[i] && set; i += 2)
        set(user, out.pairs[i], out.pairs[i + 1]);
}
