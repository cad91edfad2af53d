// SPDX-License-Identifier: Apache-2.0
/* HTTP/2 (RFC 9113) on nghttp2: a stream is an exchange, several at once. nghttp2 keeps the
 * protocol; here are the limits, the bodies, the answers and gRPC's trailers. Network thread only.
 */
#include "net/conn.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STREAM_WINDOW = 1 << 20,
    CONN_WINDOW = 16 << 20,
    RESETS_PER_SECOND = 33,
    DISCARD = 256 << 10, /* bytes of a refused body that are thrown away before the answer */
    MAX_FIELDS = 64      /* of an answer */
};

typedef struct stream stream;

typedef struct {
    nghttp2_session *session;
    stream *first;
    unsigned streams; /* open */
    bool timing;      /* the connection's deadline is when to look at those of the streams */
    size_t withheld;  /* bytes of the connection's window that the client did not get back */
    double resets;    /* that the client may still make now */
    int64_t resets_at_ns;
} http2;

struct stream {
    stream *next, **link;
    http_exchange *x;
    str method, target;
    int64_t deadline_ns; /* of the step at hand; INT64_MAX while a handler has its time */
    size_t progress;     /* bytes since it was set */
    size_t discarded;    /* of a body whose answer is known */
    size_t withheld;
    out_queue pieces; /* of the answer, not framed yet */
    bool head_read;
    bool complete; /* the request */
    bool answered; /* nothing more that comes in matters */
    bool finished; /* the answer was handed over, or the request to a handler */
    bool ended;    /* `pieces` has the answer's end */
    status head;   /* whether it can be taken; why not stands in `problem` */
    error problem;
};

static stream *stream_of(http2 *h, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h->session, id);
}

static void stream_deadline(stream *s, unsigned ms)
{
    s->deadline_ns = s->x->server->now_mono_ns + (int64_t)ms * NS_PER_MS;
    s->progress = 0;
}

/* ---- receiving ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    conn *c = user;
    http2 *h = c->state;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    stream *s = calloc(1, sizeof(*s));
    if (s)
        s->x = exchange_new(c);
    if (!s || !s->x) {
        free(s);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    s->x->is_http2 = true;
    stream_deadline(s, c->server->options.header_ms);
    s->x->stream = frame->hd.stream_id;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, s);
    s->next = h->first;
    s->link = &h->first;
    if (s->next)
        s->next->link = &s->next;
    h->first = s;
    h->streams++;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *text, size_t text_len, uint8_t flags,
                     void *user)
{
    conn *c = user;
    stream *s = stream_of(c->state, frame->hd.stream_id);
    str key = str_n(name, name_len), content = str_n(text, text_len);
    (void)session;
    (void)flags;
    if (!s || frame->headers.cat != NGHTTP2_HCAT_REQUEST || s->head != STATUS_OK)
        return 0; /* trailers, or a head that is refused already */
    if (str_is(key, ":method"))
        s->method = arena_str(&s->x->head, content);
    else if (str_is(key, ":path") && text_len <= c->server->options.header_bytes)
        s->target = arena_str(&s->x->head, content);
    else if (str_is(key, ":path"))
        s->head = fail(&s->problem, STATUS_LIMIT, "the request's path is longer than %zu bytes",
                       c->server->options.header_bytes);
    else if (str_is(key, ":authority"))
        s->head = exchange_add_header(s->x, STR("host"), content, &s->problem);
    else if (key.len && key.ptr[0] != ':')
        s->head = exchange_add_header(s->x, key, content, &s->problem);
    return 0;
}

/* Before the request's end. */
static void answer_early(stream *s)
{
    s->answered = s->finished = true;
    exchange_finish(s->x);
}

static void on_head(stream *s)
{
    http_exchange *x = s->x;
    size_t length = SIZE_MAX;
    uint64_t number;
    s->head_read = true;
    stream_deadline(s, x->server->options.stall_ms);
    if (s->head == STATUS_OK)
        s->head = exchange_set_target(x, s->method, s->target, &s->problem);
    if (s->head == STATUS_LIMIT) {
        x->refused = true;
        http_fail(x, 431, "%s", s->problem.message);
    } else if (s->head != STATUS_OK) {
        exchange_refuse(x, &s->problem);
    } else {
        if (str_to_u64(http_header(x, "content-length"), &number))
            length = (size_t)number;
        exchange_route(x, length);
    }
    /* A refusal waits for the request's end when that may be near: some clients forget an answer
     * that comes before it. */
    s->answered = x->refused;
    if (x->refused && length != SIZE_MAX && length > x->body_limit)
        answer_early(s);
}

static void on_complete(stream *s)
{
    s->complete = true;
    s->deadline_ns = INT64_MAX;
    if (!s->finished)
        exchange_dispatch(s->x);
    s->answered = s->finished = true;
}

/* CVE-2023-44487: streams that are opened and reset cost us more than the client. */
static void on_reset(conn *c, http2 *h)
{
    double burst = c->server->options.resets;
    double passed = (double)(c->server->now_mono_ns - h->resets_at_ns) / 1e9;
    h->resets = MIN(burst, h->resets + passed * RESETS_PER_SECOND) - 1;
    h->resets_at_ns = c->server->now_mono_ns;
    if (h->resets < 0)
        (void)nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    conn *c = user;
    http2 *h = c->state;
    (void)session;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        on_reset(c, h);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    stream *s = stream_of(h, frame->hd.stream_id);
    if (!s)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        on_head(s);
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && !s->complete)
        on_complete(s);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t n, void *user)
{
    conn *c = user;
    error err;
    stream *s = stream_of(c->state, id);
    uint64_t length = SIZE_MAX;
    (void)flags;
    if (!s || s->answered || !server_pressed(c->server)) {
        (void)nghttp2_session_consume(session, id, n);
    } else {
        s->withheld += n;
        ((http2 *)c->state)->withheld += n;
        conn_hold(c);
    }
    if (s && (s->progress += n) >= PROGRESS && !s->answered)
        stream_deadline(s, c->server->options.stall_ms);
    if (s && s->answered && (s->discarded += n) > DISCARD && !s->finished)
        answer_early(s);
    if (!s || s->answered)
        return 0;
    if (!str_to_u64(http_header(s->x, "content-length"), &length))
        length = SIZE_MAX;
    if (exchange_add_body(s->x, (const char *)bytes, n, length, &err) != STATUS_OK) {
        exchange_refuse(s->x, &err);
        answer_early(s);
    }
    return 0;
}

static void stream_free(http2 *h, stream *s)
{
    h->streams--;
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    s->x->conn = NULL;
    exchange_cancel(s->x, true);
    exchange_unref(s->x);
    out_queue_done(&s->pieces);
    free(s);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    conn *c = user;
    stream *s = stream_of(c->state, id);
    (void)code;
    if (s) {
        nghttp2_session_set_stream_user_data(session, id, NULL);
        stream_free(c->state, s);
    }
    return 0;
}

/* An answer that was complete before its request: the rest of the request is not wanted. */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    conn *c = user;
    stream *s = stream_of(c->state, frame->hd.stream_id);
    if (s && !s->complete && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS))
        (void)nghttp2_submit_rst_stream(session, 0, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

/* Streams have deadlines of their own, looked at when the first of them may have passed. */
static void set_deadline(conn *c, http2 *h)
{
    const http_server_options *o = &c->server->options;
    if (h->streams == 0)
        conn_set_deadline(c, o->idle_ms);
    else if (!h->timing && !c->held)
        conn_set_deadline(c, MIN(o->header_ms, o->stall_ms));
    h->timing = h->streams != 0 && !c->held;
}

static void http2_resume(conn *c)
{
    http2 *h = c->state;
    for (stream *s = h->first; s; s = s->next) {
        (void)nghttp2_session_consume_stream(h->session, s->x->stream, s->withheld);
        s->withheld = 0;
        if (!s->complete)
            stream_deadline(s, c->server->options.stall_ms);
    }
    (void)nghttp2_session_consume_connection(h->session, h->withheld);
    h->withheld = 0;
    h->timing = false;
    set_deadline(c, h);
}

static void http2_input(conn *c, const char *bytes, size_t n)
{
    http2 *h = c->state;
    ssize_t used = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes, n);
    if (used < 0)
        conn_close(c);
    else
        set_deadline(c, h);
}

/* ---- answering ---- */

typedef struct {
    nghttp2_nv items[MAX_FIELDS];
    size_t count;
} fields;

static void add_field(fields *f, str name, str text)
{
    if (f->count < MAX_FIELDS)
        f->items[f->count++] =
            (nghttp2_nv){ (uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)text.ptr, name.len,
                          text.len, NGHTTP2_NV_FLAG_NONE };
}

static str lower(arena *a, str name)
{
    str copy = arena_str(a, name);
    for (size_t i = 0; copy.ptr && i < copy.len; i++)
        if (copy.ptr[i] >= 'A' && copy.ptr[i] <= 'Z')
            ((char *)(uintptr_t)copy.ptr)[i] |= 0x20;
    return copy.ptr ? copy : STR_EMPTY;
}

/* grpc-message: percent-encoded where it is not printable ASCII. A header may not start or end with
 * a space. */
static str grpc_text(arena *a, str message)
{
    message = str_trim(message);
    static const char digits[] = "0123456789ABCDEF";
    char *out = arena_alloc_aligned(a, 3 * message.len + 1, 1);
    size_t n = 0;
    for (size_t i = 0; out && i < message.len; i++) {
        unsigned char b = (unsigned char)message.ptr[i];
        if (b >= ' ' && b < 127 && b != '%') {
            out[n++] = (char)b;
        } else {
            out[n++] = '%';
            out[n++] = digits[b >> 4];
            out[n++] = digits[b & 15];
        }
    }
    return out ? str_n(out, n) : STR_EMPTY;
}

static void add_grpc_status(http_exchange *x, fields *f)
{
    add_field(f, STR("grpc-status"), arena_fmt(&x->head, "%d", x->grpc_code));
    if (x->grpc_message.len)
        add_field(f, STR("grpc-message"), grpc_text(&x->head, x->grpc_message));
    if (x->grpc_details.len)
        add_field(f, STR("grpc-status-details-bin"), x->grpc_details);
}

/* Copies answer bytes into a frame; at the end of a gRPC answer, the trailers. */
static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    stream *s = source->ptr;
    http_exchange *x = s->x;
    size_t n = 0;
    (void)user;
    if (!s->ended && !s->pieces.head)
        s->ended = exchange_take(x, &s->pieces);
    if (atomic_load(&x->aborted))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    while (n < room && s->pieces.head) {
        out_piece *p = s->pieces.head;
        size_t part = MIN(room - n, p->bytes.len - p->sent);
        memcpy(to + n, p->bytes.ptr + p->sent, part);
        out_queue_sent(&s->pieces, part);
        n += part;
    }
    if (n)
        stream_deadline(s, x->server->options.stall_ms);
    if (s->ended && !s->pieces.head) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (x->has_grpc_status) {
            fields trailers = { .count = 0 };
            add_grpc_status(x, &trailers);
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nghttp2_submit_trailer(session, id, trailers.items, trailers.count) != 0)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    } else if (n == 0) {
        s->deadline_ns = INT64_MAX; /* the handler's turn */
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)n;
}

static void submit_head(conn *c, http2 *h, stream *s, const answer_state *state)
{
    http_exchange *x = s->x;
    fields f = { .count = 0 };
    bool bodyless = x->is_head || x->code == 204 || x->code == 304;
    add_field(&f, STR(":status"), arena_fmt(&x->head, "%d", x->code));
    add_field(&f, STR("date"), arena_str(&x->head, server_date(c->server)));
    for (unsigned i = 0; i < x->answer_count && i < MAX_FIELDS - 8; i++)
        if (!str_eq_nocase(x->answer[i].name, STR("connection")))
            add_field(&f, lower(&x->head, x->answer[i].name), x->answer[i].value);
    if (!state->streaming && !x->is_grpc && x->code != 204 && x->code != 304)
        add_field(&f, STR("content-length"), arena_fmt(&x->head, "%zu", x->length));
    if (x->has_grpc_status && !state->streaming && x->length == 0) {
        add_grpc_status(x, &f); /* "trailers only" */
        bodyless = true;
    }
    if (!state->streaming && x->length == 0)
        bodyless = true;
    nghttp2_data_provider body = { .source.ptr = s, .read_callback = read_answer };
    x->head_sent = true;
    stream_deadline(s, x->server->options.stall_ms);
    exchange_count(x, x->code);
    if (nghttp2_submit_response(h->session, x->stream, f.items, f.count, bodyless ? NULL : &body) !=
        0)
        (void)nghttp2_submit_rst_stream(h->session, 0, x->stream, NGHTTP2_INTERNAL_ERROR);
}

static void http2_answer(conn *c, http_exchange *x)
{
    http2 *h = c->state;
    stream *s = stream_of(h, x->stream);
    answer_state state = exchange_answer_state(x);
    if (!s || !state.ready)
        return;
    if (x->head_sent && s->deadline_ns == INT64_MAX)
        stream_deadline(s, c->server->options.stall_ms);
    if (x->head_sent)
        (void)nghttp2_session_resume_data(h->session, x->stream);
    else
        submit_head(c, h, s, &state);
    conn_flush(c);
}

static void http2_output(conn *c)
{
    http2 *h = c->state;
    while (!c->dead && c->out.bytes < OUT_HIGH) {
        const uint8_t *bytes;
        ssize_t n = nghttp2_session_mem_send(h->session, &bytes);
        if (n < 0)
            conn_close(c);
        if (n <= 0)
            break;
        conn_send(c, bytes, (size_t)n);
    }
    if (c->dead)
        return;
    bool over = !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
    if (over || (conn_draining(c) && h->streams == 0))
        conn_end(c);
    else if (h->streams == 0 && h->timing)
        set_deadline(c, h); /* idle from now on */
}

/* ---- the rest of a connection's life ---- */

static void http2_end(conn *c, uint32_t code)
{
    http2 *h = c->state;
    (void)nghttp2_session_terminate_session(h->session, code);
    http2_output(c);
    conn_end(c);
}

/* A body that does not come is answered; an answer that is not taken ends its stream. */
static void expire(http2 *h, stream *s)
{
    s->deadline_ns = INT64_MAX;
    if (!s->finished) {
        if (!s->x->refused)
            http_fail(s->x, 408, "the request did not arrive in time");
        s->x->refused = true;
        answer_early(s);
    } else {
        (void)nghttp2_submit_rst_stream(h->session, 0, s->x->stream, NGHTTP2_CANCEL);
    }
}

static void http2_timeout(conn *c)
{
    http2 *h = c->state;
    const http_server_options *o = &c->server->options;
    int64_t now = c->server->now_mono_ns, next = INT64_MAX;
    if (h->streams == 0) {
        http2_end(c, NGHTTP2_NO_ERROR);
        return;
    }
    for (stream *s = h->first; s; s = s->next) {
        if (s->deadline_ns <= now && !s->head_read) {
            http2_end(c, NGHTTP2_ENHANCE_YOUR_CALM); /* nothing else may be sent within a head */
            return;
        }
        if (s->deadline_ns <= now)
            expire(h, s);
        next = MIN(next, s->deadline_ns);
    }
    conn_set_deadline(c, MIN(o->header_ms, o->stall_ms)); /* new streams may have shorter ones */
    c->deadline_ns = MIN(c->deadline_ns, next);
    conn_flush(c);
}

static void http2_drain(conn *c)
{
    http2 *h = c->state;
    int32_t last = nghttp2_session_get_last_proc_stream_id(h->session);
    (void)nghttp2_submit_goaway(h->session, 0, last, NGHTTP2_NO_ERROR, NULL, 0);
    conn_flush(c);
}

static void http2_done(conn *c)
{
    http2 *h = c->state;
    while (h->first)
        stream_free(h, h->first);
    nghttp2_session_del(h->session);
    free(h);
    c->state = NULL;
}

const protocol http2_protocol = { http2_input,   http2_output, http2_answer, conn_close,
                                  http2_timeout, http2_drain,  http2_resume, http2_done };

static int session_new(conn *c, http2 *h)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int rc = nghttp2_session_callbacks_new(&callbacks);
    if (rc == 0)
        rc = nghttp2_option_new(&option);
    if (rc != 0) {
        nghttp2_session_callbacks_del(callbacks);
        return rc;
    }
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    rc = nghttp2_session_server_new2(&h->session, callbacks, c, option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (rc != 0)
        return rc;
    const http_server_options *o = &c->server->options;
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->streams },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
        /* 32 bytes a field are counted beside name and value (RFC 9113, 6.5.2). */
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)o->header_bytes + 32 * o->header_count },
    };
    rc = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    if (rc == 0)
        rc = nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW);
    return rc;
}

bool http2_start(conn *c)
{
    http2 *h = calloc(1, sizeof(*h));
    if (!h || session_new(c, h) != 0) {
        if (h)
            nghttp2_session_del(h->session);
        free(h);
        conn_close(c);
        return false;
    }
    h->resets = c->server->options.resets;
    h->resets_at_ns = c->server->now_mono_ns;
    conn_switch(c, &http2_protocol, h);
    set_deadline(c, h);
    return true;
}
