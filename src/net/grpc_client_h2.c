// SPDX-License-Identifier: Apache-2.0
/* One HTTP/2 connection of the gRPC client, on a non-blocking socket, plain or TLS: frames out,
 * frames in, and what of them belongs to the call that runs. Nothing here waits. */
#include "base/clock.h"
#include "net/client_tls.h"
#include "net/grpc_client_impl.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OUT_ENOUGH = KiB(256), READ_STEP = KiB(64), FRAME_MOST = KiB(64), DETAILS_MOST = KiB(8) };
/* What the server may send before it has to wait: an answer fits whole. */
enum { STREAM_WINDOW = MiB(5), CONNECTION_WINDOW = MiB(6) };

/* ---- callbacks: out ---- */

static ssize_t on_length(nghttp2_session *s, uint8_t type, int32_t stream, int32_t session_window,
                         int32_t stream_window, uint32_t frame_size, void *user)
{
    (void)s, (void)type, (void)stream, (void)user;
    return MIN(MIN(session_window, stream_window), (int32_t)MIN(frame_size, (uint32_t)FRAME_MOST));
}

static grpc_call *call_of(const grpc_connection *c, int32_t stream)
{
    return c->call && c->call->stream == stream ? c->call : NULL;
}

static ssize_t on_read(nghttp2_session *s, int32_t stream, uint8_t *out, size_t size,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)s, (void)out, (void)source;
    const grpc_call *call = call_of(user, stream);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t left = GRPC_FRAME_HEAD + call->message.len - call->sent;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (left <= size)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)MIN(left, size);
}

/* A DATA frame without padding: its head, then `length` bytes of the call's message. */
static int on_send_data(nghttp2_session *s, nghttp2_frame *frame, const uint8_t *head,
                        size_t length, nghttp2_data_source *source, void *user)
{
    (void)s, (void)source;
    grpc_connection *c = user;
    grpc_call *call = call_of(c, frame->hd.stream_id);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (c->out.len >= OUT_ENOUGH)
        return NGHTTP2_ERR_WOULDBLOCK;
    buf_add(&c->out, head, 9);
    if (call->sent < GRPC_FRAME_HEAD) {
        size_t n = MIN(GRPC_FRAME_HEAD - call->sent, length);
        buf_add(&c->out, call->head + call->sent, n);
        call->sent += n;
        length -= n;
    }
    buf_add(&c->out, call->message.ptr + call->sent - GRPC_FRAME_HEAD, length);
    call->sent += length;
    return c->out.failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* ---- callbacks: in ---- */

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    (void)s, (void)flags;
    grpc_call *call = call_of(user, frame->hd.stream_id);
    str n = str_n(name, name_len), v = str_n(value, value_len);
    uint64_t number;
    if (!call || frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (str_is(n, ":status") && str_to_u64(v, &number))
        call->http_status = (int)number;
    else if (str_is(n, "content-type"))
        call->is_grpc = str_starts(v, STR("application/grpc"));
    else if (str_is(n, "grpc-status"))
        call->code = str_to_u64(v, &number) && number < 1000 ? (int)number : 2;
    else if (str_is(n, "grpc-encoding"))
        str_copy_c(call->encoding, sizeof(call->encoding), v);
    else if (str_is(n, "grpc-message") && !call->text.len)
        buf_str(&call->text, str_slice(v, 0, DETAILS_MOST));
    else if (str_is(n, "grpc-status-details-bin") && !call->details.len)
        buf_str(&call->details, str_slice(v, 0, DETAILS_MOST));
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *bytes,
                   size_t n, void *user)
{
    (void)s, (void)flags;
    grpc_call *call = call_of(user, stream);
    if (call)
        buf_add(&call->body, bytes, n);
    if (call && call->body.failed)
        call->ended = true;
    return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *user)
{
    (void)s;
    grpc_connection *c = user;
    grpc_call *call = call_of(c, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_GOAWAY)
        c->leaving = true;
    if (frame->hd.type == NGHTTP2_PING && frame->hd.flags & NGHTTP2_FLAG_ACK)
        c->ping_ns = 0;
    if (call && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        call->ended = true;
    return 0;
}

static int on_close(nghttp2_session *s, int32_t stream, uint32_t reason, void *user)
{
    (void)s;
    grpc_call *call = call_of(user, stream);
    if (call && !call->ended) {
        call->reset = true;
        call->reason = reason;
    }
    if (call)
        call->ended = true;
    return 0;
}

/* ---- opening and closing ---- */

static int session_new(grpc_connection *c)
{
    nghttp2_session_callbacks *on = NULL;
    static const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, KiB(64) },
    };
    if (nghttp2_session_callbacks_new(&on))
        return NGHTTP2_ERR_NOMEM;
    nghttp2_session_callbacks_set_data_source_read_length_callback(on, on_length);
    nghttp2_session_callbacks_set_send_data_callback(on, on_send_data);
    nghttp2_session_callbacks_set_on_header_callback(on, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(on, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(on, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(on, on_close);
    int rc = nghttp2_session_client_new(&c->session, on, c);
    nghttp2_session_callbacks_del(on);
    if (!rc)
        rc = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    if (!rc)
        rc = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                   CONNECTION_WINDOW);
    return rc;
}

status grpc_connection_open(grpc_connection *c, int fd, SSL *ssl, error *err)
{
    *c = (grpc_connection){ .fd = fd, .ssl = ssl, .received_ns = clock_mono_ns() };
    buf_init(&c->out, MiB(1));
    int rc = session_new(c);
    if (!rc)
        return STATUS_OK;
    grpc_connection_close(c);
    return fail(err, STATUS_NO_MEMORY, "an HTTP/2 session: %s", nghttp2_strerror(rc));
}

void grpc_connection_close(grpc_connection *c)
{
    if (c->fd < 0)
        return;
    nghttp2_session_del(c->session);
    SSL_free(c->ssl);
    close(c->fd);
    buf_done(&c->out);
    *c = (grpc_connection){ .fd = -1 };
}

/* ---- bytes ---- */

static status fill(grpc_connection *c, error *err)
{
    while (c->out.len < OUT_ENOUGH) {
        const uint8_t *bytes;
        size_t before = c->out.len;
        ssize_t n = nghttp2_session_mem_send(c->session, &bytes);
        if (n < 0)
            return fail(err, STATUS_IO, "HTTP/2: %s", nghttp2_strerror((int)n));
        buf_add(&c->out, bytes, (size_t)n);
        if (c->out.failed)
            return fail(err, STATUS_NO_MEMORY, "no memory for frames");
        if (c->out.len == before)
            break;
    }
    return STATUS_OK;
}

static status lost(const grpc_connection *c, ssize_t n, int problem, const char *doing, error *err)
{
    char reason[160];
    const char *text = n == 0 ? "the server closed it" : errno_text(problem);
    if (c->ssl && n < 0 && ERR_peek_error())
        text = client_tls_reason(reason, sizeof(reason));
    return fail(err, STATUS_IO, "connection lost while %s: %s", doing, text ? text : "unknown");
}

/* As write and read: -1 with EAGAIN when it has to wait, 0 at the end of what comes in. */
static ssize_t tls_result(SSL *ssl, int n)
{
    if (n > 0)
        return n;
    int why = SSL_get_error(ssl, n);
    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (why != SSL_ERROR_SYSCALL || !errno)
        errno = ECONNRESET;
    return -1;
}

static ssize_t write_some(grpc_connection *c, const char *bytes, size_t n)
{
    if (!c->ssl)
        return send(c->fd, bytes, n, MSG_NOSIGNAL);
    ERR_clear_error();
    return tls_result(c->ssl, SSL_write(c->ssl, bytes, (int)n));
}

static ssize_t read_some(grpc_connection *c, void *bytes, size_t n)
{
    if (!c->ssl)
        return recv(c->fd, bytes, n, 0);
    ERR_clear_error();
    return tls_result(c->ssl, SSL_read(c->ssl, bytes, (int)n));
}

/* Until there is nothing more to write or the socket takes no more. */
static status pump(grpc_connection *c, error *err)
{
    for (;;) {
        status st = c->out.len ? STATUS_OK : fill(c, err);
        if (st != STATUS_OK || !c->out.len)
            return st;
        while (c->out_sent < c->out.len) {
            ssize_t n = write_some(c, c->out.ptr + c->out_sent, c->out.len - c->out_sent);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0 && errno == EAGAIN)
                return STATUS_OK;
            if (n <= 0)
                return lost(c, n, errno, "sending", err);
            c->out_sent += (size_t)n;
        }
        buf_clear(&c->out);
        c->out_sent = 0;
    }
}

static status drain(grpc_connection *c, error *err)
{
    uint8_t bytes[READ_STEP];
    for (;;) {
        ssize_t n = read_some(c, bytes, sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return STATUS_OK;
        if (n <= 0)
            return lost(c, n, errno, "waiting for the answer", err);
        c->received += (size_t)n;
        c->received_ns = clock_mono_ns();
        ssize_t taken = nghttp2_session_mem_recv(c->session, bytes, (size_t)n);
        if (taken < 0)
            return fail(err, STATUS_IO, "what the server sends is not HTTP/2: %s",
                        nghttp2_strerror((int)taken));
        if ((size_t)n < sizeof(bytes) && !c->ssl)
            return STATUS_OK;
    }
}

status grpc_connection_step(grpc_connection *c, error *err)
{
    status sent = pump(c, err);
    error reading;
    status st = drain(c, &reading); /* also when sending failed: the answer may be there */
    if (sent != STATUS_OK)
        return sent;
    return st == STATUS_OK ? pump(c, err) : fail(err, st, "%s", reading.message);
}

short grpc_connection_events(const grpc_connection *c)
{
    bool more = c->out_sent < c->out.len;
    return (short)(more ? POLLIN | POLLOUT : POLLIN);
}

/* ---- calls ---- */

status grpc_connection_submit(grpc_connection *c, grpc_call *call, const nghttp2_nv *nv,
                              size_t count, error *err)
{
    nghttp2_data_provider data = { .read_callback = on_read };
    int32_t stream = nghttp2_submit_request(c->session, NULL, nv, count, &data, NULL);
    if (stream < 0)
        return fail(err, STATUS_IO, "HTTP/2: %s", nghttp2_strerror(stream));
    call->stream = stream;
    c->call = call;
    return STATUS_OK;
}

void grpc_connection_forget(grpc_connection *c)
{
    const grpc_call *call = c->call;
    c->call = NULL;
    if (c->fd >= 0 && call && call->sent < GRPC_FRAME_HEAD + call->message.len)
        (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, call->stream,
                                        NGHTTP2_CANCEL);
}
