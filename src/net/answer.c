// SPDX-License-Identifier: Apache-2.0
/* The answer to a request: what handlers say, and how it is handed to the network thread. Before
 * the first flush all of it belongs to the worker; pieces change hands under the exchange's lock.
 */
#include "net/server_impl.h"

#include <stdarg.h>
#include <stdio.h>

/* Answers smaller than this are not worth compressing. */
enum { GZIP_MIN = 1024 };

void http_set_status(http_exchange *x, int code)
{
    if (!x->streaming)
        x->code = code;
}

/* A line break in a value would let the value write headers of its own. */
static str safe_value(arena *a, str value)
{
    str copy = arena_str(a, value);
    for (size_t i = 0; copy.ptr && i < copy.len; i++)
        if ((unsigned char)copy.ptr[i] < ' ' || copy.ptr[i] == 127)
            ((char *)(uintptr_t)copy.ptr)[i] = ' ';
    return copy;
}

void http_set_header(http_exchange *x, const char *name, str value)
{
    if (x->streaming)
        return;
    str safe = safe_value(&x->head, value), key = arena_str(&x->head, str_c(name));
    if (!safe.ptr || !key.ptr)
        return;
    for (unsigned i = 0; i < x->answer_count; i++) {
        if (str_eq_nocase(x->answer[i].name, key)) {
            x->answer[i].value = safe;
            return;
        }
    }
    if (x->answer_count == x->answer_capacity) {
        unsigned capacity = MAX(8u, 2 * x->answer_capacity);
        http_field *grown = arena_grow(&x->head, x->answer, x->answer_count * sizeof(http_field),
                                       capacity * sizeof(http_field));
        if (!grown)
            return;
        x->answer = grown;
        x->answer_capacity = capacity;
    }
    x->answer[x->answer_count++] = (http_field){ key, safe };
}

str exchange_answer_field(const http_exchange *x, const char *name)
{
    for (unsigned i = 0; i < x->answer_count; i++)
        if (str_eq_nocase(x->answer[i].name, str_c(name)))
            return x->answer[i].value;
    return STR_EMPTY;
}

void exchange_vary(http_exchange *x, str name)
{
    str have = exchange_answer_field(x, "Vary");
    http_set_header(x, "Vary",
                    have.len ? arena_fmt(&x->head, "%.*s, %.*s", STR_ARG(have), STR_ARG(name))
                             : name);
}

buf *http_out(http_exchange *x)
{
    return &x->out;
}

static void json_string(buf *out, str s)
{
    buf_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            buf_fmt(out, "\\%c", c);
        else if (c < ' ')
            buf_fmt(out, "\\u%04x", c);
        else
            buf_char(out, (char)c);
    }
    buf_char(out, '"');
}

/* The gRPC code that says the same as an HTTP code (grpc's http-grpc-status-mapping, and the OTLP
 * specification where it says more). */
static int grpc_code_of(int http)
{
    switch (http) {
    case 400:
        return 3; /* INVALID_ARGUMENT */
    case 404:
    case 405:
    case 415:
        return 12; /* UNIMPLEMENTED */
    case 401:
        return 16; /* UNAUTHENTICATED */
    case 403:
        return 7; /* PERMISSION_DENIED */
    case 413:
    case 507:
        return 8; /* RESOURCE_EXHAUSTED */
    case 408:
    case 429:
    case 503:
        return 14; /* UNAVAILABLE */
    default:
        return 13; /* INTERNAL */
    }
}

void http_fail(http_exchange *x, int code, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    str text = { message, n < 0 ? 0 : MIN((size_t)n, sizeof(message) - 1) };
    text.len = utf8_valid_prefix(text);
    if (x->streaming) { /* the head is gone: only breaking off can say it */
        x->aborted = true;
        return;
    }
    buf_clear(&x->out);
    if (x->is_grpc) {
        http_set_status(x, 200);
        http_set_header(x, "Content-Type", STR("application/grpc"));
        http_set_grpc_status(x, grpc_code_of(code), text);
        return;
    }
    http_set_status(x, code);
    http_set_header(x, "Content-Type", STR("application/json"));
    buf_fmt(&x->out, "{\"error\":{\"code\":%d,\"message\":", code);
    json_string(&x->out, text);
    buf_lit(&x->out, "}}\n");
}

void http_set_grpc_status(http_exchange *x, int code, str message)
{
    x->has_grpc_status = true;
    x->grpc_code = code;
    x->grpc_message = safe_value(&x->head, message);
    if (!x->grpc_message.ptr)
        x->grpc_message = STR_EMPTY;
}

/* ---- handing over ---- */

static bool worth_compressing(const http_exchange *x)
{
    static const char *const kinds[] = { "text/",
                                         "application/json",
                                         "application/javascript",
                                         "application/openmetrics-text",
                                         "image/svg+xml",
                                         "application/x-protobuf" };
    str type = exchange_answer_field(x, "Content-Type");
    if (x->out.len < GZIP_MIN || x->is_grpc || exchange_answer_field(x, "Content-Encoding").len ||
        !encoding_accepts_gzip(http_header(x, "accept-encoding")))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_starts(type, str_c(kinds[i])))
            return true;
    return false;
}

static void compress_answer(http_exchange *x)
{
    buf packed;
    buf_init(&packed, x->out.limit);
    if (encoding_gzip(buf_view(&x->out), GZIP_FAST, &packed, NULL) == STATUS_OK &&
        packed.len < x->out.len) {
        buf_done(&x->out);
        x->out = packed;
        http_set_header(x, "Content-Encoding", STR("gzip"));
    } else {
        buf_done(&packed);
    }
    exchange_vary(x, STR("Accept-Encoding"));
}

/* With the first piece of a streamed answer. Without memory for it the answer goes as it is. */
static void begin_compressing(http_exchange *x)
{
    x->gzip = gzip_stream_new();
    if (x->gzip)
        http_set_header(x, "Content-Encoding", STR("gzip"));
    exchange_vary(x, STR("Accept-Encoding"));
}

/* Replaces x->out by its compressed bytes. */
static void compress_piece(http_exchange *x, gzip_step step)
{
    buf packed;
    buf_init(&packed, x->out.limit);
    if (gzip_stream_add(x->gzip, buf_view(&x->out), step, &packed, NULL) != STATUS_OK)
        x->aborted = true;
    buf_done(&x->out);
    x->out = packed;
}

/* Whether all that was handed over has been sent: then the client waits for the next bytes. */
static bool is_drained(http_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool drained = x->pieces.bytes == 0;
    pthread_mutex_unlock(&x->lock);
    return drained;
}

static void wake(http_exchange *x)
{
    exchange_ref(x);
    if (!server_wake(x->server, &x->wake))
        exchange_unref(x);
}

void exchange_finish(http_exchange *x)
{
    if (x->out.failed)
        http_fail(x, 500, "the answer would be larger than %zu bytes", x->out.limit);
    if (x->gzip)
        compress_piece(x, GZIP_END);
    else if (!x->streaming && worth_compressing(x))
        compress_answer(x);
    if (x->out.len && !exchange_answer_field(x, "Content-Type").len)
        http_set_header(x, "Content-Type", STR("text/plain; charset=utf-8"));
    pthread_mutex_lock(&x->lock);
    if (!x->streaming)
        x->length = x->out.len;
    if (!out_queue_move(&x->pieces, &x->out))
        x->aborted = true;
    x->head_ready = true;
    x->finished = true;
    pthread_mutex_unlock(&x->lock);
    wake(x);
}

bool http_flush(http_exchange *x)
{
    if (x->out.failed) {
        x->aborted = true;
        return false;
    }
    if (!x->streaming && worth_compressing(x))
        begin_compressing(x);
    if (x->gzip)
        compress_piece(x, is_drained(x) ? GZIP_SYNC : GZIP_GATHER);
    pthread_mutex_lock(&x->lock);
    if (!x->streaming)
        x->streaming = true; /* once: the network thread reads it from now on */
    if (!out_queue_move(&x->pieces, &x->out))
        x->aborted = true;
    x->head_ready = true;
    pthread_mutex_unlock(&x->lock);
    wake(x);
    size_t limit = x->server->options.stream_bytes;
    pthread_mutex_lock(&x->lock);
    while (!x->canceled && x->pieces.bytes > limit)
        pthread_cond_wait(&x->drained, &x->lock);
    bool going = !x->canceled && !x->aborted;
    pthread_mutex_unlock(&x->lock);
    return going;
}

answer_state exchange_answer_state(http_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    answer_state state = { x->head_ready, x->ws != NULL, x->streaming, x->finished };
    pthread_mutex_unlock(&x->lock);
    return state;
}

bool exchange_take(http_exchange *x, out_queue *ret)
{
    out_piece *p;
    pthread_mutex_lock(&x->lock);
    while ((p = out_queue_pop(&x->pieces)))
        out_queue_push(ret, p);
    bool complete = x->finished;
    pthread_cond_broadcast(&x->drained);
    pthread_mutex_unlock(&x->lock);
    return complete;
}
