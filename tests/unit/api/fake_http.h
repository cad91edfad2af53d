// SPDX-License-Identifier: Apache-2.0
/* HTTP in memory for the tests of route handlers: it implements src/net/http.h and websocket.h.
 * fake_get runs the handler of the row that matches and keeps the answer. Include it in one file of
 * a test program, instead of linking the network. */
#ifndef SONDE_TESTS_FAKE_HTTP_H
#define SONDE_TESTS_FAKE_HTTP_H

#include "net/http.h"
#include "net/websocket.h"
#include "pipeline/receivers/prometheus.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    str name, text;
} fake_param;

struct http_exchange {
    const char *method;
    str path;
    fake_param params[64], path_params[4];
    unsigned param_count, path_param_count;
    arena arena;
    buf out;
    buf sent; /* what was flushed */
    unsigned flushes;
    int code;
    char content_type[64];
    _Atomic int canceled;
    bool gone; /* http_flush answers false */
};

static int64_t fake_waited_ns; /* how long ago the next requests came in */

struct websocket {
    ws_options options;
    buf sent; /* messages, a newline behind each */
    unsigned messages;
    bool full, closed;
    unsigned close_code;
    int refs;
};

/* The last answer and the last socket. */
static http_exchange fake_x;
static websocket *fake_ws;
static bool fake_refuse_upgrade;

static inline str fake_decode(arena *a, str text)
{
    char *out = arena_alloc(a, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte;
        if (text.ptr[i] == '%' && i + 2 < text.len + 0 &&
            str_from_hex(str_slice(text, i + 1, i + 3), &byte, 1)) {
            out[n++] = (char)byte;
            i += 2;
        } else {
            out[n++] = text.ptr[i] == '+' ? ' ' : text.ptr[i];
        }
    }
    return str_n(out, n);
}

static inline bool fake_route_matches(http_exchange *x, str pattern, str path)
{
    x->path_param_count = 0;
    while (pattern.len && path.len) {
        str want = str_cut(pattern, '/', &pattern), got = str_cut(path, '/', &path);
        if (str_starts(want, STR("{")) && got.len)
            x->path_params[x->path_param_count++] =
                (fake_param){ str_slice(want, 1, want.len - 1), fake_decode(&x->arena, got) };
        else if (!str_eq(want, got))
            return false;
    }
    return pattern.len == path.len;
}

static inline void fake_done(void)
{
    arena_done(&fake_x.arena);
    buf_done(&fake_x.out);
    buf_done(&fake_x.sent);
    fake_x = (http_exchange){ 0 };
}

/* Runs the handler for "/path?a=b&c=d"; the code is returned, 404 when no row matches. */
static inline int fake_get(const http_route *rows, size_t count, const char *target)
{
    fake_done();
    http_exchange *x = &fake_x;
    arena_init(&x->arena, 0);
    buf_init(&x->out, 0);
    buf_init(&x->sent, 0);
    x->method = "GET";
    x->code = 404;
    str query, path = str_cut(arena_str(&x->arena, str_c(target)), '?', &query);
    x->path = path;
    while (query.len) {
        str text, name = str_cut(str_cut(query, '&', &query), '=', &text);
        x->params[x->param_count++] =
            (fake_param){ fake_decode(&x->arena, name), fake_decode(&x->arena, text) };
    }
    for (size_t i = 0; i < count; i++) {
        if (!fake_route_matches(x, str_c(rows[i].path), path))
            continue;
        x->code = 200;
        rows[i].handler(x, rows[i].user);
        buf_str(&x->sent, buf_view(&x->out));
        return x->code;
    }
    return x->code;
}

static inline str fake_body(void)
{
    return buf_view(&fake_x.sent);
}

/* ---- http.h ---- */

str http_method(const http_exchange *x)
{
    return str_c(x->method);
}

str http_path(const http_exchange *x)
{
    return x->path;
}

str http_header(const http_exchange *x, const char *name)
{
    (void)x, (void)name;
    return STR_EMPTY;
}

str http_path_param(const http_exchange *x, const char *name)
{
    for (unsigned i = 0; i < x->path_param_count; i++)
        if (str_is(x->path_params[i].name, name))
            return x->path_params[i].text;
    return STR_EMPTY;
}

str http_param(const http_exchange *x, const char *name, unsigned index, bool *ret_found)
{
    for (unsigned i = 0; i < x->param_count; i++) {
        if (!str_is(x->params[i].name, name) || index-- > 0)
            continue;
        if (ret_found)
            *ret_found = true;
        return x->params[i].text;
    }
    if (ret_found)
        *ret_found = false;
    return STR_EMPTY;
}

str http_body(const http_exchange *x)
{
    (void)x;
    return STR_EMPTY;
}

arena *http_arena(http_exchange *x)
{
    return &x->arena;
}

int64_t http_begun_mono_ns(const http_exchange *x)
{
    (void)x;
    return clock_mono_ns() - fake_waited_ns;
}

const _Atomic int *http_canceled(const http_exchange *x)
{
    return &x->canceled;
}

void http_set_status(http_exchange *x, int code)
{
    x->code = code;
}

void http_set_header(http_exchange *x, const char *name, str value_text)
{
    if (str_is(str_c(name), "Content-Type"))
        str_copy_c(x->content_type, sizeof(x->content_type), value_text);
}

buf *http_out(http_exchange *x)
{
    return &x->out;
}

bool http_flush(http_exchange *x)
{
    x->flushes++;
    buf_str(&x->sent, buf_view(&x->out));
    buf_clear(&x->out);
    return !x->gone;
}

void http_fail(http_exchange *x, int code, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    x->code = code;
    buf_clear(&x->out);
    buf_fmt(&x->out, "{\"error\":{\"code\":%d,\"message\":\"%s\"}}", code, text);
}

void http_set_grpc_status(http_exchange *x, int code, str message)
{
    (void)x, (void)code, (void)message;
}

/* ---- websocket.h ---- */

websocket *ws_accept(http_exchange *x, const ws_options *options)
{
    if (fake_refuse_upgrade) {
        http_fail(x, 400, "no upgrade");
        return NULL;
    }
    fake_ws = calloc(1, sizeof(*fake_ws));
    assert(fake_ws);
    fake_ws->options = *options;
    fake_ws->refs = 2; /* the handler's and the connection's */
    buf_init(&fake_ws->sent, 0);
    x->code = 101;
    return fake_ws;
}

bool ws_send_text(websocket *ws, str text)
{
    if (ws->closed || ws->full)
        return false;
    buf_str(&ws->sent, text);
    buf_char(&ws->sent, '\n');
    ws->messages++;
    return true;
}

bool ws_is_closed(const websocket *ws)
{
    return ws->closed;
}

void ws_ref(websocket *ws)
{
    ws->refs++;
}

void ws_unref(websocket *ws)
{
    if (--ws->refs > 0)
        return;
    buf_done(&ws->sent);
    free(ws);
}

void ws_close(websocket *ws, unsigned code, str reason)
{
    (void)reason;
    ws->close_code = code;
    ws->closed = true;
}

/* What the network does when the connection ends. */
static inline void fake_ws_gone(websocket *ws)
{
    ws->closed = true;
    if (ws->options.closed)
        ws->options.closed(ws->options.user);
    ws_unref(ws);
}

/* Nothing is scraped. The receiver itself would bring the real network along. */
void prometheus_receiver_targets(prometheus_target_sink *sink, void *user)
{
    (void)sink, (void)user;
}

void prometheus_receiver_pools(prometheus_pool_sink *sink, void *user)
{
    (void)sink, (void)user;
}

#endif
