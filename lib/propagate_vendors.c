// SPDX-License-Identifier: Apache-2.0
/* The headers of Zipkin (B3, in one header and in several), AWS X-Ray and Jaeger.
 *
 * A decision that the sender left open (CONTEXT_DEFERRED) is made here by the first span. Ids are
 * read in both cases, since the senders differ, and written in lower case. */
#include "lib/propagate_internal.h"

#include <stdio.h>
#include <strings.h>

static bool is_zero(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i])
            return false;
    return true;
}

/* Hexadecimal of at most 2 * n digits, taken as a number with zeros before it. */
static bool padded_hex(str text, uint8_t *ret, size_t n)
{
    char digits[32];
    if (text.len == 0 || text.len > 2 * n)
        return false;
    memset(digits, '0', 2 * n);
    memcpy(digits + 2 * n - text.len, text.ptr, text.len);
    return str_from_hex(str_n(digits, 2 * n), ret, n) && !is_zero(ret, n);
}

static void take_sampling(sonde_context *c, bool known, bool sampled)
{
    c->flags = CONTEXT_REMOTE | (sampled ? CONTEXT_SAMPLED : 0) | (known ? 0 : CONTEXT_DEFERRED);
}

/* ---- B3 ---- */

/* 1, 0, d; the older true and false too. False when it is something else. */
static bool take_b3_state(str text, sonde_context *c)
{
    if (text.len == 0)
        take_sampling(c, false, false);
    else if (str_is(text, "1") || str_is(text, "d") || str_is(text, "true"))
        take_sampling(c, true, true);
    else if (str_is(text, "0") || str_is(text, "false"))
        take_sampling(c, true, false);
    else
        return false;
    if (str_is(text, "d"))
        c->flags |= CONTEXT_DEBUG;
    return true;
}

static bool take_b3_ids(str trace, str span, sonde_context *c)
{
    return (trace.len == 16 || trace.len == 32) && span.len == 16 &&
           padded_hex(trace, c->trace_id, 16) && padded_hex(span, c->span_id, 8);
}

/* trace-span, trace-span-state, trace-span-state-parent; a state alone has no trace to go on
 * with. */
static bool take_b3_single(str text, sonde_context *c)
{
    str trace = str_cut(text, '-', &text), span = str_cut(text, '-', &text);
    str sampling = str_cut(text, '-', &text);
    bool parent_good = text.len == 0 || text.len == 16;
    return parent_good && take_b3_ids(trace, span, c) && take_b3_state(sampling, c);
}

static bool take_b3_multi(const carried *in, sonde_context *c)
{
    if (!take_b3_ids(in->of[HEADER_B3_TRACE], in->of[HEADER_B3_SPAN], c) ||
        !take_b3_state(in->of[HEADER_B3_SAMPLED], c))
        return false;
    if (str_is(in->of[HEADER_B3_FLAGS], "1"))
        take_sampling(c, true, true), c->flags |= CONTEXT_DEBUG;
    return true;
}

bool b3_extract(const carried *in, sonde_context *c)
{
    return take_b3_single(in->of[HEADER_B3], c) || take_b3_multi(in, c);
}

size_t b3_format(const sonde_current_ *now, char *ret)
{
    char trace[33] = "", span[17] = "";
    str_to_hex(now->trace_id, 16, trace);
    str_to_hex(now->span_id, 8, span);
    const char *state = now->flags & CONTEXT_DEBUG ? "d" : now->flags & CONTEXT_SAMPLED ? "1" : "0";
    return (size_t)snprintf(ret, SHORT_HEADER_MAX, "%.32s-%.16s-%s", trace, span, state);
}

/* ---- AWS X-Ray: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1 ----
 */

static bool take_xray_root(str root, sonde_context *c)
{
    char digits[32];
    if (root.len != 35 || !str_starts(root, STR("1-")) || root.ptr[10] != '-')
        return false;
    memcpy(digits, root.ptr + 2, 8);
    memcpy(digits + 8, root.ptr + 11, 24);
    return padded_hex(str_n(digits, 32), c->trace_id, 16);
}

bool xray_extract(const carried *in, sonde_context *c)
{
    str rest = in->of[HEADER_XRAY], sampled = STR("?");
    bool has_root = false, has_parent = false;
    while (rest.len) {
        str value, part = str_trim(str_cut(rest, ';', &rest));
        str key = str_cut(part, '=', &value);
        if (str_is(key, "Root"))
            has_root = take_xray_root(value, c);
        else if (str_is(key, "Parent"))
            has_parent = value.len == 16 && padded_hex(value, c->span_id, 8);
        else if (str_is(key, "Sampled"))
            sampled = value;
    }
    take_sampling(c, !str_is(sampled, "?"), str_is(sampled, "1"));
    return has_root && has_parent;
}

size_t xray_format(const sonde_current_ *now, char *ret)
{
    char trace[33] = "", span[17] = "";
    str_to_hex(now->trace_id, 16, trace);
    str_to_hex(now->span_id, 8, span);
    return (size_t)snprintf(ret, SHORT_HEADER_MAX, "Root=1-%.8s-%.24s;Parent=%.16s;Sampled=%d",
                            trace, trace + 8, span, now->flags & CONTEXT_SAMPLED ? 1 : 0);
}

/* ---- Jaeger: trace:span:parent:flags, without leading zeros, the colons perhaps as %3A ---- */

static str cut_colon(str text, str *rest)
{
    for (size_t i = 0; i < text.len; i++) {
        str here = str_slice(text, i, text.len);
        size_t n = here.ptr[0] == ':'                                      ? 1
                   : here.len >= 3 && strncasecmp(here.ptr, "%3a", 3) == 0 ? 3
                                                                           : 0;
        if (n) {
            *rest = str_slice(text, i + n, text.len);
            return str_slice(text, 0, i);
        }
    }
    *rest = STR_EMPTY;
    return text;
}

bool jaeger_extract(const carried *in, sonde_context *c)
{
    enum { SAMPLED = 1, DEBUG = 2 };
    str rest = in->of[HEADER_JAEGER];
    str trace = cut_colon(rest, &rest), span = cut_colon(rest, &rest);
    cut_colon(rest, &rest); /* the parent's parent: out of use */
    uint8_t flags = 0;
    char digits[2] = { '0', '0' };
    if (rest.len == 0 || rest.len > 2)
        return false;
    memcpy(digits + 2 - rest.len, rest.ptr, rest.len);
    if (!str_from_hex(str_n(digits, 2), &flags, 1) || !padded_hex(trace, c->trace_id, 16) ||
        !padded_hex(span, c->span_id, 8))
        return false;
    take_sampling(c, true, flags & (SAMPLED | DEBUG));
    if (flags & DEBUG)
        c->flags |= CONTEXT_DEBUG;
    return true;
}

size_t jaeger_format(const sonde_current_ *now, char *ret)
{
    char trace[33] = "", span[17] = "";
    str_to_hex(now->trace_id, 16, trace);
    str_to_hex(now->span_id, 8, span);
    unsigned flags = now->flags & CONTEXT_DEBUG ? 3 : now->flags & CONTEXT_SAMPLED ? 1 : 0;
    return (size_t)snprintf(ret, SHORT_HEADER_MAX, "%.32s:%.16s:0:%u", trace, span, flags);
}
