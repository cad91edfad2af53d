// SPDX-License-Identifier: Apache-2.0
/* HTTP/1.1 (RFC 9112) on http-parser: keep-alive, pipelining, chunked bodies, 100-continue, HEAD.
 * One request at a time: input stays paused from a request's last byte until its answer is sent,
 * what had already been read waits in `pending`. Network thread only. */
#include "net/conn.h"
#include "net/http1_framing.h"

#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>

typedef enum { FIELD_NONE, FIELD_TARGET, FIELD_NAME, FIELD_VALUE } field_kind;

typedef struct {
    http_parser parser;
    http_exchange *x; /* received or answered now; NULL between requests */
    buf pending;      /* bytes read after the request at hand */
    buf field;        /* the target, or a header name and its value, as they come in parts */
    size_t name_len;  /* of the header name at the start of `field` */
    field_kind in;
    http1_framing framing;
    size_t expected; /* Content-Length (the parser counts its own down), or SIZE_MAX */
    size_t progress; /* bytes of the body since its deadline was set */
    bool receiving;  /* between the first byte and the last */
    bool head_done;  /* what looks like a header now is a trailer, which nobody here reads */
    bool waiting;    /* the request is complete or refused; its answer is not sent */
    bool keep_alive;
    bool chunked;
    bool body_chunked; /* says the head; the parser's own flag changes with what trailers say */
    bool expects_continue;
    error problem; /* why a callback stopped the parser; code 0: it did not */
} http1;

/* ---- receiving ---- */

static int stop(http1 *h)
{
    (void)h;
    return -1; /* makes http_parser_execute return with an error */
}

static int field_add(http1 *h, const char *at, size_t n)
{
    conn *c = h->parser.data;
    size_t limit = c->server->options.header_bytes;
    if (h->field.len + n > limit) {
        (void)fail(&h->problem, STATUS_LIMIT, "the request's head is larger than %zu bytes", limit);
        return stop(h);
    }
    buf_add(&h->field, at, n);
    if (buf_check(&h->field, &h->problem, "the request's head") != STATUS_OK)
        return stop(h);
    return 0;
}

/* A header (or the target) is complete in `field`. */
static int field_end(http1 *h)
{
    str all = buf_view(&h->field);
    status st = STATUS_OK;
    if (h->in == FIELD_TARGET)
        st = exchange_set_target(h->x, str_c(http_method_str((enum http_method)h->parser.method)),
                                 all, &h->problem);
    else if (h->in == FIELD_VALUE || h->in == FIELD_NAME)
        st = exchange_add_header(h->x, str_slice(all, 0, h->name_len),
                                 str_slice(all, h->name_len, all.len), &h->problem);
    h->in = FIELD_NONE;
    buf_clear(&h->field);
    return st == STATUS_OK ? 0 : stop(h);
}

static int on_begin(http_parser *p)
{
    conn *c = p->data;
    http1 *h = c->state;
    h->x = exchange_new(c);
    h->receiving = true;
    h->head_done = false;
    h->in = FIELD_NONE;
    buf_clear(&h->field);
    h->problem.code = STATUS_OK;
    if (!h->x)
        return -1;
    conn_set_deadline(c, c->server->options.header_ms);
    return 0;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
    http1 *h = ((conn *)p->data)->state;
    h->in = FIELD_TARGET;
    return field_add(h, at, n);
}

static int on_header_name(http_parser *p, const char *at, size_t n)
{
    http1 *h = ((conn *)p->data)->state;
    if (h->head_done)
        return 0;
    if (h->in != FIELD_NAME && field_end(h) != 0)
        return -1;
    h->in = FIELD_NAME;
    if (field_add(h, at, n) != 0)
        return -1;
    h->name_len = h->field.len;
    return 0;
}

static int on_header_value(http_parser *p, const char *at, size_t n)
{
    http1 *h = ((conn *)p->data)->state;
    if (h->head_done)
        return 0;
    h->in = FIELD_VALUE;
    return field_add(h, at, n);
}

static status check_head(http1 *h)
{
    http_exchange *x = h->x;
    unsigned hosts = 0, encodings = 0;
    for (unsigned i = 0; i < x->header_count; i++) {
        str name = x->headers[i].name;
        hosts += str_eq_nocase(name, STR("host"));
        encodings += str_eq_nocase(name, STR("transfer-encoding"));
        if (name.len == 0 || name.ptr[name.len - 1] == ' ' || name.ptr[name.len - 1] == '\t')
            return fail(&h->problem, STATUS_INVALID, "a header's name and its colon are apart");
    }
    if (encodings > 1 ||
        (encodings && !str_eq_nocase(http_header(x, "transfer-encoding"), STR("chunked"))))
        return fail(&h->problem, STATUS_INVALID,
                    "the transfer encoding must be \"chunked\", and be said once");
    if (h->parser.http_major != 1 || h->parser.http_minor > 1)
        return fail(&h->problem, STATUS_INVALID,
                    "HTTP/%u.%u is not spoken here; 1.0, 1.1 and 2 are", h->parser.http_major,
                    h->parser.http_minor);
    if (hosts != 1 && h->parser.http_minor == 1)
        return fail(&h->problem, STATUS_INVALID,
                    "an HTTP/1.1 request must have one Host header, this has %u", hosts);
    if (h->parser.method == HTTP_CONNECT)
        return fail(&h->problem, STATUS_INVALID, "this server is no proxy");
    return STATUS_OK;
}

static int on_head(http_parser *p)
{
    conn *c = p->data;
    http1 *h = c->state;
    http_exchange *x = h->x;
    if (field_end(h) != 0 || check_head(h) != STATUS_OK)
        return -1;
    buf_done(&h->field);
    h->head_done = true;
    /* Only a WebSocket upgrade ends HTTP here; for others (h2c) the request is answered as it is.
     */
    x->upgrade = p->upgrade && str_eq_nocase(http_header(x, "upgrade"), STR("websocket"));
    p->upgrade = 0;
    h->keep_alive = http_should_keep_alive(p);
    h->body_chunked = p->flags & F_CHUNKED;
    h->expected = p->flags & F_CONTENTLENGTH ? (size_t)p->content_length : SIZE_MAX;
    exchange_route(x, h->expected);
    bool expects = str_eq_nocase(http_header(x, "expect"), STR("100-continue"));
    h->progress = 0;
    h->expects_continue = expects && p->http_minor == 1 && !x->refused;
    conn_set_deadline(c, c->server->options.stall_ms);
    if (x->refused && (expects || (h->expected != SIZE_MAX && h->expected > x->body_limit))) {
        h->problem.code = STATUS_CANCELED; /* answered already; its body is not read */
        return stop(h);
    }
    return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
    conn *c = p->data;
    http1 *h = c->state;
    h->progress += n;
    if (h->progress >= PROGRESS) {
        h->progress = 0;
        conn_set_deadline(c, c->server->options.stall_ms);
    }
    if (h->x->refused)
        return 0;
    return exchange_add_body(h->x, at, n, h->expected, &h->problem) == STATUS_OK ? 0 : -1;
}

static int on_complete(http_parser *p)
{
    conn *c = p->data;
    http1 *h = c->state;
    h->receiving = false;
    h->waiting = true;
    c->paused = true;
    conn_set_deadline(c, 0);
    http_parser_pause(p, 1);
    exchange_dispatch(h->x);
    return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_header_name,
    .on_header_value = on_header_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* Answers what cannot be understood (or taken), then ends the connection. */
static void refuse(conn *c, http1 *h)
{
    if (!h->x)
        h->x = exchange_new(c);
    if (!h->x) {
        conn_close(c);
        return;
    }
    h->receiving = false;
    h->waiting = true;
    h->keep_alive = false;
    c->paused = true;
    h->x->is_head &= h->head_done; /* how far a bad head was read depends on how it was cut */
    if (h->problem.code == STATUS_OK) {
        enum http_errno e = HTTP_PARSER_ERRNO(&h->parser);
        status code = e == HPE_HEADER_OVERFLOW ? STATUS_LIMIT : STATUS_INVALID;
        (void)fail(&h->problem, code, "not a valid HTTP request: %s", http_errno_description(e));
    }
    /* A head that is too large has its own code. */
    if (h->problem.code == STATUS_LIMIT && h->x->body.len == 0 &&
        str_starts(str_c(h->problem.message), STR("the request")))
        http_fail(h->x, 431, "%s", h->problem.message);
    else if (h->problem.code != STATUS_CANCELED)
        exchange_refuse(h->x, &h->problem);
    exchange_finish(h->x);
}

/* Parses what comes next: up to the end of the head, or of the body. False: it is wrong. */
static bool read_part(http1 *h, const char *bytes, size_t n, size_t *ret_used)
{
    status st = STATUS_OK;
    if (!h->framing.head_done)
        st = framing_head(&h->framing, bytes, n, &n, &h->problem);
    else if (h->body_chunked)
        st = framing_chunks(&h->framing, bytes, n, &n, &h->problem);
    if (st != STATUS_OK)
        return false;
    *ret_used = http_parser_execute(&h->parser, &settings, bytes, n);
    enum http_errno e = HTTP_PARSER_ERRNO(&h->parser);
    if (e == HPE_PAUSED)
        http_parser_pause(&h->parser, 0);
    return e == HPE_PAUSED || e == HPE_OK;
}

static void http1_input(conn *c, const char *bytes, size_t n)
{
    http1 *h = c->state;
    if (h->waiting) {
        buf_add(&h->pending, bytes, n);
        if (h->pending.failed)
            conn_close(c);
        return;
    }
    while (n && !h->waiting && !c->dead) {
        size_t used = 0;
        if (!read_part(h, bytes, n, &used)) {
            refuse(c, h);
            return;
        }
        bytes += used;
        n -= used;
    }
    if (n)
        buf_add(&h->pending, bytes, n);
    if (h->pending.failed)
        conn_close(c);
    else if (h->expects_continue && h->receiving) {
        h->expects_continue = false;
        if (h->x->body.len == 0)
            conn_send(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    } else if (h->receiving && h->head_done && !h->x->refused && server_pressed(c->server)) {
        c->paused = true;
        conn_hold(c);
    }
}

static void http1_resume(conn *c)
{
    c->paused = false;
    conn_set_deadline(c, c->server->options.stall_ms);
}

/* ---- answering ---- */

static const char *reason_of(int code)
{
    switch (code) {
#define REASON(number, name, text) \
    case number: \
        return #text;
        HTTP_STATUS_MAP(REASON)
#undef REASON
    default:
        return "Unknown";
    }
}

static bool has_no_body(int code)
{
    return code == 204 || code == 304 || code < 200;
}

static void add_head(conn *c, http1 *h)
{
    http_exchange *x = h->x;
    buf out;
    buf_init(&out, MiB(1));
    buf_fmt(&out, "HTTP/1.1 %d %s\r\nDate: ", x->code, reason_of(x->code));
    buf_str(&out, server_date(c->server));
    buf_lit(&out, "\r\n");
    for (unsigned i = 0; i < x->answer_count; i++)
        buf_fmt(&out, "%.*s: %.*s\r\n", STR_ARG(x->answer[i].name), STR_ARG(x->answer[i].value));
    h->chunked = false;
    if (has_no_body(x->code)) {
        /* neither length nor body */
    } else if (!x->streaming) {
        buf_fmt(&out, "Content-Length: %zu\r\n", x->length);
    } else if (h->parser.http_minor == 1) {
        h->chunked = true;
        buf_lit(&out, "Transfer-Encoding: chunked\r\n");
    } else {
        h->keep_alive = false;
    }
    h->keep_alive &= !conn_draining(c);
    if (!h->keep_alive)
        buf_lit(&out, "Connection: close\r\n");
    else if (h->parser.http_minor == 0)
        buf_lit(&out, "Connection: keep-alive\r\n");
    buf_lit(&out, "\r\n");
    if (out.failed)
        conn_close(c);
    else if (conn_send(c, out.ptr, out.len))
        x->head_sent = true;
    buf_done(&out);
}

static void add_pieces(conn *c, http1 *h, out_queue *pieces)
{
    bool silent = h->x->is_head || has_no_body(h->x->code);
    out_piece *p;
    while (!c->dead && (p = out_queue_pop(pieces))) {
        out_queue one = { 0 };
        char size[20];
        size_t n = p->bytes.len - p->sent;
        if (!silent && h->chunked)
            conn_send(c, size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", n));
        out_queue_push(silent || c->dead ? &one : &c->out, p);
        if (!silent && h->chunked)
            conn_send(c, "\r\n", 2);
        out_queue_done(&one);
    }
    out_queue_done(pieces);
}

/* The answer is sent or in the output: on to the next request, or the end. */
static void http1_finish(conn *c, http1 *h)
{
    http_exchange *x = h->x;
    if (h->chunked && !x->is_head)
        conn_send(c, "0\r\n\r\n", 5);
    exchange_count(x, x->code);
    h->x = NULL;
    x->conn = NULL;
    exchange_unref(x);
    if (c->dead)
        return;
    h->waiting = false;
    framing_begin(&h->framing);
    if (!h->keep_alive) {
        conn_end(c);
        return;
    }
    c->paused = false;
    conn_set_deadline(c, c->server->options.idle_ms);
    if (h->pending.len) {
        buf rest = h->pending;
        buf_init(&h->pending, rest.limit);
        http1_input(c, rest.ptr, rest.len);
        buf_done(&rest);
    }
}

static void http1_output(conn *c)
{
    http1 *h = c->state;
    http_exchange *x = h->x;
    out_queue pieces = { 0 };
    if (!x || !h->waiting)
        return;
    answer_state state = exchange_answer_state(x);
    if (!state.ready || state.upgrading || (state.streaming && c->out.bytes >= OUT_HIGH))
        return;
    bool complete = exchange_take(x, &pieces);
    if (x->aborted) {
        out_queue_done(&pieces);
        conn_close(c);
        return;
    }
    if (!x->head_sent)
        add_head(c, h);
    add_pieces(c, h, &pieces);
    if (!c->dead && complete)
        http1_finish(c, h);
}

/* The handler has accepted an upgrade: this protocol's part is over. */
static void http1_done(conn *c);

static void http1_answer(conn *c, http_exchange *x)
{
    (void)x; /* the only one */
    conn_flush(c);
}

void http1_upgrade(conn *c, struct websocket *ws)
{
    http1 *h = c->state;
    http_exchange *x = h->x;
    buf rest = h->pending;
    buf_init(&h->pending, 0);
    exchange_count(x, 101);
    x->conn = NULL;
    h->x = NULL;
    http1_done(c);
    c->paused = false;
    websocket_start(c, ws, http_header(x, "sec-websocket-key"));
    if (!c->dead && rest.len)
        c->protocol->input(c, rest.ptr, rest.len);
    buf_done(&rest);
    exchange_unref(x);
    conn_flush(c);
}

/* ---- the rest of a connection's life ---- */

static void http1_eof(conn *c)
{
    http1 *h = c->state;
    if (h->x && h->waiting)
        exchange_cancel(h->x, false);
    else
        conn_end(c);
}

static void http1_timeout(conn *c)
{
    http1 *h = c->state;
    if (h->receiving && h->x && !c->out.bytes) {
        http_exchange *x = h->x;
        h->receiving = false;
        h->waiting = true;
        h->keep_alive = false;
        c->paused = true;
        conn_set_deadline(c, c->server->options.stall_ms);
        http_fail(x, 408, "the request did not arrive in time");
        exchange_finish(x);
        return;
    }
    conn_close(c);
}

static void http1_drain(conn *c)
{
    http1 *h = c->state;
    if (!h->x && c->out.bytes)
        conn_end(c);
    else if (!h->x)
        conn_close(c); /* idle: there is nothing that waiting could save */
}

static void http1_done(conn *c)
{
    http1 *h = c->state;
    if (h->x) {
        h->x->conn = NULL;
        exchange_cancel(h->x, true);
        exchange_unref(h->x);
    }
    buf_done(&h->pending);
    buf_done(&h->field);
    free(h);
    c->state = NULL;
}

const protocol http1_protocol = { http1_input,   http1_output, http1_answer, http1_eof,
                                  http1_timeout, http1_drain,  http1_resume, http1_done };

bool http1_start(conn *c)
{
    http1 *h = calloc(1, sizeof(*h));
    if (!h) {
        conn_close(c);
        return false;
    }
    http_parser_init(&h->parser, HTTP_REQUEST);
    h->parser.data = c;
    buf_init(&h->field, 0); /* bounded by field_add */
    buf_init(&h->pending, READ_BYTES);
    conn_switch(c, &http1_protocol, h);
    return true;
}
