// SPDX-License-Identifier: Apache-2.0
/* The life of a request: filled by the network thread, routed, run by a worker; see exchange.h.
 * What the handler says is in answer.c. */
#include "net/exchange.h"

#include "base/clock.h"
#include "net/conn.h"
#include "net/grpc.h"
#include "net/url.h"

#include <arpa/inet.h>
#include <stdlib.h>

/* Memory that one request may take beside its body. */
static const size_t head_limit = KiB(512), work_limit = MiB(512), answer_limit = MiB(512);

/* A worker has something for the client. */
static void exchange_wake(wake_item *item)
{
    http_exchange *x = (http_exchange *)item;
    pthread_mutex_lock(&x->lock);
    struct websocket *ws = x->ws;
    x->ws = NULL;
    pthread_mutex_unlock(&x->lock);
    if (ws && x->conn)
        http1_upgrade(x->conn, ws);
    else if (ws)
        websocket_abandon(ws);
    else if (x->conn)
        x->conn->protocol->answer(x->conn, x);
    exchange_unref(x);
}

http_exchange *exchange_new(conn *c)
{
    http_server *s = c->server;
    http_exchange *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    atomic_init(&x->refs, 1);
    x->wake.run = exchange_wake;
    x->server = s;
    x->routes = route_set_ref(c->listener->routes);
    x->conn = c;
    x->client = c->client;
    x->encrypted = c->tls != NULL;
    x->body_limit = s->options.body_bytes;
    x->code = 200;
    x->begun_mono_ns = s->now_mono_ns;
    arena_init(&x->head, head_limit);
    arena_init(&x->work, work_limit);
    buf_init(&x->body, 0);    /* exchange_add_body bounds it */
    buf_init(&x->decoded, 0); /* encoding_decode bounds it */
    buf_init(&x->out, answer_limit);
    if (c->peer)
        x->peer = arena_str(&x->head, str_c(c->peer));
    pthread_mutex_init(&x->lock, NULL);
    pthread_cond_init(&x->drained, NULL);
    atomic_fetch_add(&s->in_flight, 1);
    return x;
}

void exchange_ref(http_exchange *x)
{
    atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
}

/* Gives the request's memory back; the answer stays. */
static void exchange_drop_request(http_exchange *x)
{
    buf_done(&x->body);
    buf_done(&x->decoded);
    x->body_view = STR_EMPTY;
    budget_give(&x->server->bodies, x->charged);
    x->charged = 0;
    arena_done(&x->work);
}

void exchange_unref(http_exchange *x)
{
    if (atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) != 1)
        return;
    exchange_drop_request(x);
    atomic_fetch_sub(&x->server->in_flight, 1);
    out_queue_done(&x->pieces);
    buf_done(&x->out);
    gzip_stream_free(x->gzip);
    arena_done(&x->head);
    pthread_cond_destroy(&x->drained);
    pthread_mutex_destroy(&x->lock);
    route_set_unref(x->routes);
    free(x);
}

/* ---- filling ---- */

static status head_charge(http_exchange *x, size_t n, error *err)
{
    x->header_bytes += n;
    if (x->header_bytes > x->server->options.header_bytes)
        return fail(err, STATUS_LIMIT, "the request's head is larger than %zu bytes",
                    x->server->options.header_bytes);
    return STATUS_OK;
}

status exchange_set_target(http_exchange *x, str method, str target, error *err)
{
    status st = head_charge(x, method.len + target.len, err);
    if (st != STATUS_OK)
        return st;
    x->method = arena_str(&x->head, method);
    x->target = arena_str(&x->head, target);
    if (!x->method.ptr || !x->target.ptr)
        return fail(err, STATUS_NO_MEMORY, "no memory for a request");
    str rest = x->target;
    /* The absolute form, as a proxy gets it: scheme and host say nothing new. */
    size_t scheme = str_find(rest, STR("://"));
    if (rest.len && rest.ptr[0] != '/' && scheme != SIZE_MAX) {
        rest = str_slice(rest, scheme + 3, rest.len);
        size_t slash = str_find_char(rest, '/');
        rest = slash == SIZE_MAX ? STR("/") : str_slice(rest, slash, rest.len);
    }
    x->raw_path = str_cut(str_cut(rest, '#', &(str){ 0 }), '?', &x->query);
    x->path = url_decode(&x->head, x->raw_path, false);
    x->is_head = str_is(x->method, "HEAD");
    if (!x->path.ptr)
        return fail(err, STATUS_NO_MEMORY, "no memory for a request");
    if (x->raw_path.len == 0 || (x->raw_path.ptr[0] != '/' && !str_is(x->raw_path, "*")))
        return fail(err, STATUS_INVALID, "the request target must be a path that starts with /");
    return STATUS_OK;
}

status exchange_add_header(http_exchange *x, str name, str value, error *err)
{
    if (x->header_count >= x->server->options.header_count)
        return fail(err, STATUS_LIMIT, "the request has more than %u header fields",
                    x->server->options.header_count);
    status st = head_charge(x, name.len + value.len, err);
    if (st != STATUS_OK)
        return st;
    if (x->header_count == x->header_capacity) {
        unsigned capacity = MAX(16u, 2 * x->header_capacity);
        x->headers = arena_grow(&x->head, x->headers, x->header_count * sizeof(http_field),
                                capacity * sizeof(http_field));
        x->header_capacity = x->headers ? capacity : 0;
    }
    http_field f = { arena_str(&x->head, name), arena_str(&x->head, str_trim(value)) };
    if (!x->headers || !f.name.ptr || !f.value.ptr) {
        x->header_count = 0;
        return fail(err, STATUS_NO_MEMORY, "no memory for a request");
    }
    x->headers[x->header_count++] = f;
    if (str_eq_nocase(f.name, STR("content-type")) && str_starts(f.value, STR("application/grpc")))
        x->is_grpc = x->is_http2;
    return STATUS_OK;
}

status exchange_add_body(http_exchange *x, const char *bytes, size_t n, size_t expected, error *err)
{
    buf *b = &x->body;
    size_t limit = x->body_limit;
    if (n > limit - b->len)
        return fail(err, STATUS_LIMIT, "the body is larger than %zu bytes", limit);
    if (n > b->cap - b->len) {
        /* A stated length is trusted for the first 64 KiB only: memory follows bytes. */
        size_t cap = MAX(b->len + n, MAX(2 * b->cap, MIN(expected, KiB(64))));
        cap = MIN(cap, MIN(limit, MAX(expected, b->len + n)));
        if (!budget_take(&x->server->bodies, cap - b->cap))
            return fail(err, STATUS_BUSY, "the server holds %zu bytes of request bodies, its limit",
                        x->server->bodies.limit);
        x->charged += cap - b->cap;
        b->limit = cap; /* it grows by what was charged, and no more */
        if (!buf_reserve(b, cap - b->len))
            return fail(err, STATUS_NO_MEMORY, "no memory for a body of %zu bytes", cap);
    }
    buf_add(b, bytes, n);
    return STATUS_OK;
}

/* ---- routing ---- */

void exchange_refuse(http_exchange *x, const error *err)
{
    static const struct {
        status code;
        int http;
    } codes[] = {
        { STATUS_INVALID, 400 },   { STATUS_LIMIT, 413 },     { STATUS_BUSY, 503 },
        { STATUS_NOT_FOUND, 404 }, { STATUS_NO_MEMORY, 503 }, { STATUS_UNSUPPORTED, 415 },
        { STATUS_FULL, 507 },      { STATUS_IO, 503 },
    };
    int http = 500;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (codes[i].code == err->code)
            http = codes[i].http;
    x->refused = true;
    http_fail(x, http, "%s", err->message);
    if (http != 503)
        return;
    atomic_fetch_add(&x->server->refused_busy, 1);
    http_set_header(x, "Retry-After", STR("1"));
    if (x->is_grpc) /* its clients try again only where this is said */
        grpc_fail_retry(x, GRPC_RESOURCE_EXHAUSTED, 1, str_c(err->message));
}

static void refuse_route(http_exchange *x, unsigned allowed)
{
    x->refused = true;
    bool options = str_is(x->method, "OPTIONS");
    if (options && str_is(x->raw_path, "*")) {
        http_set_status(x, 204);
    } else if (!allowed) {
        http_fail(x, 404, "no such path: %.*s", (int)MIN(x->path.len, (size_t)200), x->path.ptr);
    } else {
        str names = method_names(&x->head, allowed | METHOD_OPTIONS);
        if (options)
            http_set_status(x, 204);
        else
            http_fail(x, 405, "%.*s does not allow %.*s; it allows %.*s",
                      (int)MIN(x->path.len, (size_t)200), x->path.ptr,
                      (int)MIN(x->method.len, (size_t)32), x->method.ptr, STR_ARG(names));
        http_set_header(x, "Allow", names);
    }
}

/* A page asks whether it may make a request that is not simple. False: x is not that question, or
 * there is no such route. */
static bool answer_preflight(http_exchange *x)
{
    str method = http_header(x, "access-control-request-method");
    if (!method.len || !str_is(x->method, "OPTIONS") || !http_header(x, "origin").len)
        return false;
    route_match m = route_find(x->routes, &x->head, method, x->raw_path);
    if (!m.found || !m.found->policy || !m.found->policy->origins)
        return false;
    x->refused = true; /* no handler */
    x->route = m.found;
    policy_cors_preflight(m.found->policy, x, method);
    return true;
}

static bool policy_admits(policy *p, http_exchange *x)
{
    if (p->body_bytes)
        x->body_limit = p->body_bytes;
    policy_cors_answer(p, x);
    return policy_rate(p, x);
}

void exchange_route(http_exchange *x, size_t expected)
{
    error err;
    if (answer_preflight(x))
        return;
    route_match m = route_find(x->routes, &x->head, x->method, x->raw_path);
    if (!m.found) {
        refuse_route(x, m.allowed);
        return;
    }
    x->route = m.found;
    x->param_count = m.param_count;
    memcpy(x->params, m.params, sizeof(x->params));
    if (m.found->policy && !policy_admits(m.found->policy, x))
        return;
    if (expected != SIZE_MAX && expected > x->body_limit) {
        (void)fail(&err, STATUS_LIMIT, "the body has %zu bytes, the limit is %zu", expected,
                   x->body_limit);
        exchange_refuse(x, &err);
    }
}

void exchange_dispatch(http_exchange *x)
{
    if (!x->refused) {
        error err;
        exchange_ref(x); /* the worker's */
        atomic_fetch_add(&x->server->working, 1);
        if (x->route->row->pool == POOL_NONE) {
            exchange_run(x);
            return;
        }
        if (pool_submit(x->server->pools[x->route->row->pool], x))
            return;
        exchange_unref(x);
        atomic_fetch_sub(&x->server->working, 1);
        (void)fail(&err, STATUS_BUSY, "too many requests are waiting; try again later");
        exchange_refuse(x, &err);
    }
    exchange_finish(x);
}

void exchange_count(http_exchange *x, int code)
{
    route_count(x->route ? x->route->counter : x->routes->unmatched, code);
}

/* ---- the worker's side ---- */

static status decode_body(http_exchange *x, error *err)
{
    str encoding = http_header(x, "content-encoding");
    x->body_view = buf_view(&x->body);
    if (encoding_is_identity(encoding))
        return STATUS_OK;
    status st = encoding_decode(encoding, x->body_view, x->body_limit, &x->server->bodies,
                                &x->charged, &x->decoded, err);
    if (st != STATUS_OK)
        return st;
    size_t raw = x->body.cap;
    buf_done(&x->body);
    x->charged -= MIN(raw, x->charged);
    budget_give(&x->server->bodies, raw);
    x->body_view = buf_view(&x->decoded);
    return STATUS_OK;
}

void exchange_run(void *arg)
{
    http_exchange *x = arg;
    error err;
    if (atomic_load(&x->gone)) {
        http_fail(x, 503, "the client went away before its request was looked at");
    } else if (x->route->policy && !policy_authenticate(x->route->policy, x)) {
        /* answered */
    } else if (x->route->row->pool == POOL_NONE) {
        x->route->row->handler(x, x->route->user);
    } else {
        if (decode_body(x, &err) == STATUS_OK)
            x->route->row->handler(x, x->route->user);
        else
            exchange_refuse(x, &err);
    }
    exchange_drop_request(x);
    atomic_fetch_sub(&x->server->working, 1);
    exchange_finish(x); /* wakes the network thread, which may then read more */
    exchange_unref(x);
}

void exchange_cancel(http_exchange *x, bool gone)
{
    if (gone)
        atomic_store(&x->gone, true);
    pthread_mutex_lock(&x->lock);
    x->canceled = 1;
    pthread_cond_broadcast(&x->drained);
    pthread_mutex_unlock(&x->lock);
}

/* ---- what handlers read ---- */

str http_method(const http_exchange *x)
{
    return x->method;
}

str http_path(const http_exchange *x)
{
    return x->path;
}

str http_header(const http_exchange *x, const char *name)
{
    str wanted = str_c(name);
    for (unsigned i = 0; i < x->header_count; i++)
        if (str_eq_nocase(x->headers[i].name, wanted))
            return x->headers[i].value;
    return STR_EMPTY;
}

str http_path_param(const http_exchange *x, const char *name)
{
    for (unsigned i = 0; i < x->param_count; i++)
        if (str_is(x->params[i].name, name))
            return x->params[i].value;
    return STR_EMPTY;
}

enum { FORM_FIELDS = 4096 };

static void split_fields(http_exchange *x, str text)
{
    str name, value, rest = text;
    unsigned room = x->field_count;
    while (url_next_param(&rest, &name, &value))
        room++;
    room = MIN(room, (unsigned)FORM_FIELDS);
    http_field *fields = arena_grow(&x->work, x->fields, x->field_count * sizeof(*fields),
                                    (room + 1) * sizeof(*fields));
    if (!fields)
        return;
    x->fields = fields;
    rest = text;
    while (x->field_count < room && url_next_param(&rest, &name, &value)) {
        http_field f = { url_decode(&x->work, name, true), url_decode(&x->work, value, true) };
        if (!f.name.ptr || !f.value.ptr)
            return;
        fields[x->field_count++] = f;
    }
}

str http_param(const http_exchange *x, const char *name, unsigned index, bool *ret_found)
{
    http_exchange *mine = (http_exchange *)(uintptr_t)x; /* split lazily, by the one worker */
    if (!x->fields_ready) {
        mine->fields_ready = true;
        split_fields(mine, x->query);
        str type = http_header(x, "content-type");
        if (str_is(x->method, "POST") &&
            str_eq_nocase(str_slice(type, 0, 33), STR("application/x-www-form-urlencoded")))
            split_fields(mine, x->body_view);
    }
    for (unsigned i = 0; i < x->field_count; i++) {
        if (!str_is(x->fields[i].name, name) || index-- > 0)
            continue;
        if (ret_found)
            *ret_found = true;
        return x->fields[i].value;
    }
    if (ret_found)
        *ret_found = false;
    return STR_EMPTY;
}

str http_body(const http_exchange *x)
{
    return x->body_view;
}

arena *http_arena(http_exchange *x)
{
    return &x->work;
}

str http_client_address(http_exchange *x)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }, unknown[16];
    const uint8_t *ip = x->client.bytes;
    bool v4 = memcmp(ip, mapped, sizeof(mapped)) == 0;
    char text[INET6_ADDRSTRLEN];
    if (memcmp(ip, unknown, sizeof(unknown)) == 0 ||
        !inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + 12 : ip, text, sizeof(text)))
        return STR_EMPTY;
    str copy = arena_str(&x->work, str_c(text));
    return copy.ptr ? copy : STR_EMPTY;
}

str http_peer(const http_exchange *x)
{
    return x->peer;
}

bool http_is_encrypted(const http_exchange *x)
{
    return x->encrypted;
}

int64_t http_begun_mono_ns(const http_exchange *x)
{
    return x->begun_mono_ns;
}

const _Atomic int *http_canceled(const http_exchange *x)
{
    return &x->canceled;
}
