// SPDX-License-Identifier: Apache-2.0
/* What stands in front of handlers; see policy.h. The CORS part answers as the Fetch standard asks;
 * credentials are allowed only to origins that are listed, not to "*". */
#include "net/policy.h"

#include "base/clock.h"
#include "net/grpc.h"
#include "net/server_impl.h"

#include <stdlib.h>

/* Allowed without being listed, as a page can send no OTLP without the second. */
static const str usual_headers[] = { STR_INIT("accept"), STR_INIT("content-type"),
                                     STR_INIT("x-requested-with"), STR_INIT("origin") };

static status copy_list(str **ret, const str *from, size_t n, error *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += from[i].len;
    str *list = malloc(n * sizeof(str) + bytes + 1);
    if (!list)
        return fail(err, STATUS_NO_MEMORY, "no memory for the CORS settings of a route table");
    char *text = (char *)(list + n);
    for (size_t i = 0; i < n; i++) {
        if (from[i].len)
            memcpy(text, from[i].ptr, from[i].len);
        list[i] = str_n(text, from[i].len);
        text += from[i].len;
    }
    *ret = list;
    return STATUS_OK;
}

status policy_init(policy *p, const http_route_table *table, error *err)
{
    const http_cors *cors = table->cors;
    *p = (policy){ .authenticate = table->authenticate,
                   .user = table->authenticate_user,
                   .body_bytes = table->body_bytes };
    if (cors && cors->origin_count) {
        status st = copy_list(&p->origins, cors->origins, cors->origin_count, err);
        if (st == STATUS_OK)
            st = copy_list(&p->headers, cors->headers, cors->header_count, err);
        if (st != STATUS_OK)
            return st;
        p->origin_count = cors->origin_count;
        p->header_count = cors->header_count;
        p->max_age_s = cors->max_age_s;
    }
    if (table->rate > 0) {
        double burst = table->burst > 0 ? table->burst : table->rate;
        p->rate = rate_limiter_new(table->rate, MAX(burst, 1.0));
        if (!p->rate)
            return fail(err, STATUS_NO_MEMORY, "no memory for the rates of clients");
    }
    return STATUS_OK;
}

void policy_done(policy *p)
{
    free(p->origins);
    free(p->headers);
    rate_limiter_free(p->rate);
}

/* ---- cross-origin requests ---- */

/* `pattern` with one "*" for any text; origins are compared without regard to case. */
static bool origin_matches(str pattern, str origin)
{
    size_t star = str_find_char(pattern, '*');
    if (star == SIZE_MAX)
        return str_eq_nocase(pattern, origin);
    str head = str_slice(pattern, 0, star), tail = str_slice(pattern, star + 1, pattern.len);
    return origin.len >= head.len + tail.len &&
           str_eq_nocase(str_slice(origin, 0, head.len), head) &&
           str_eq_nocase(str_slice(origin, origin.len - tail.len, origin.len), tail);
}

static bool allow_origin(const policy *p, http_exchange *x)
{
    str origin = http_header(x, "origin");
    bool any = false, listed = false;
    for (size_t i = 0; i < p->origin_count; i++) {
        any |= str_is(p->origins[i], "*");
        listed |= origin_matches(p->origins[i], origin);
    }
    if (any) {
        http_set_header(x, "Access-Control-Allow-Origin", STR("*"));
        return origin.len != 0;
    }
    exchange_vary(x, STR("Origin"));
    if (!origin.len || !listed)
        return false;
    http_set_header(x, "Access-Control-Allow-Origin", origin);
    http_set_header(x, "Access-Control-Allow-Credentials", STR("true"));
    return true;
}

void policy_cors_answer(const policy *p, http_exchange *x)
{
    if (p->origins)
        (void)allow_origin(p, x);
}

static bool header_allowed(const policy *p, str name)
{
    bool allowed = name.len == 0;
    for (size_t i = 0; i < ARRAY_LEN(usual_headers); i++)
        allowed |= str_eq_nocase(name, usual_headers[i]);
    for (size_t i = 0; i < p->header_count; i++)
        allowed |= str_is(p->headers[i], "*") || str_eq_nocase(name, p->headers[i]);
    return allowed;
}

void policy_cors_preflight(const policy *p, http_exchange *x, str method)
{
    str headers = http_header(x, "access-control-request-headers"), rest = headers;
    bool allowed = true;
    http_set_status(x, 204);
    while (rest.len)
        allowed &= header_allowed(p, str_trim(str_cut(rest, ',', &rest)));
    if (!allowed || !allow_origin(p, x))
        return; /* without Access-Control-Allow-Origin the page's request is not made */
    http_set_header(x, "Vary",
                    STR("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"));
    http_set_header(x, "Access-Control-Allow-Methods", method);
    if (headers.len)
        http_set_header(x, "Access-Control-Allow-Headers", headers);
    if (p->max_age_s > 0)
        http_set_header(x, "Access-Control-Max-Age",
                        arena_fmt(&x->head, "%lld", (long long)p->max_age_s));
}

/* ---- how often ---- */

bool policy_rate(policy *p, http_exchange *x)
{
    if (!p->rate)
        return true;
    int64_t wait_ns = rate_limiter_take(p->rate, &x->client, x->server->now_mono_ns);
    if (wait_ns == 0)
        return true;
    unsigned seconds = (unsigned)MIN(wait_ns / NS_PER_S + 1, 3600);
    static const char message[] = "this client sends requests faster than this server allows";
    atomic_fetch_add(&x->server->refused_rate, 1);
    x->refused = true;
    if (x->is_grpc) {
        grpc_fail_retry(x, GRPC_RESOURCE_EXHAUSTED, seconds, str_c(message));
        return false;
    }
    http_fail(x, 429, "%s", message);
    http_set_header(x, "Retry-After", arena_fmt(&x->head, "%u", seconds));
    return false;
}

/* ---- who ---- */

bool policy_authenticate(const policy *p, http_exchange *x)
{
    error err = { .message = "" };
    if (!p->authenticate || p->authenticate(p->user, x, &err) == STATUS_OK)
        return true;
    atomic_fetch_add(&x->server->refused_auth, 1);
    if (!exchange_answer_field(x, "WWW-Authenticate").len)
        http_set_header(x, "WWW-Authenticate", STR("Bearer"));
    http_fail(x, 401, "%s", err.message[0] ? err.message : "this request is not authenticated");
    return false;
}
