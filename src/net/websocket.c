// SPDX-License-Identifier: Apache-2.0
/* WebSockets on the server's side, framed by wslay; see websocket.h. The queue is guarded by
 * `lock`, wslay's context and the connection belong to the network thread. References: the
 * handler's, the connection's, the wake list's. */
#include "net/websocket.h"

#include "net/conn.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <wslay/wslay.h>

enum { INPUT_MAX = 64 << 10, PING_MS = 30000, DRAIN_MS = 500, TEXT_OVERHEAD = 64 };

typedef struct message {
    struct message *next;
    size_t len;
    char text[];
} message;

struct websocket {
    wake_item wake; /* first, so that one is the other */
    atomic_int refs;
    http_server *server;
    ws_options options;
    atomic_bool closed;

    pthread_mutex_t lock;
    message *head, **tail;
    size_t queued;       /* bytes of the list, with TEXT_OVERHEAD each */
    unsigned close_code; /* 0: stay open */
    char close_reason[124];

    conn *conn;
    wslay_event_context_ptr frames;
    const char *input;
    size_t input_len;
    bool pinged; /* and nothing came since */
};

void ws_ref(websocket *ws)
{
    atomic_fetch_add_explicit(&ws->refs, 1, memory_order_relaxed);
}

void ws_unref(websocket *ws)
{
    if (atomic_fetch_sub_explicit(&ws->refs, 1, memory_order_acq_rel) != 1)
        return;
    while (ws->head) {
        message *next = ws->head->next;
        free(ws->head);
        ws->head = next;
    }
    pthread_mutex_destroy(&ws->lock);
    free(ws);
}

/* ---- any thread ---- */

static void wake(websocket *ws)
{
    ws_ref(ws);
    if (!server_wake(ws->server, &ws->wake))
        ws_unref(ws);
}

static void websocket_wake(wake_item *item);

websocket *ws_accept(http_exchange *x, const ws_options *options)
{
    str key = http_header(x, "sec-websocket-key");
    if (!x->upgrade || x->streaming || !str_is(http_header(x, "sec-websocket-version"), "13") ||
        key.len != 24) {
        http_fail(x, 426, "this path speaks WebSocket: send Upgrade: websocket, version 13");
        http_set_header(x, "Upgrade", STR("websocket"));
        return NULL;
    }
    websocket *ws = calloc(1, sizeof(*ws));
    if (!ws) {
        http_fail(x, 503, "no memory for a WebSocket");
        return NULL;
    }
    atomic_init(&ws->refs, 2); /* the caller's and the connection's */
    ws->wake.run = websocket_wake;
    ws->server = x->server;
    ws->options = *options;
    if (!ws->options.queue_bytes)
        ws->options.queue_bytes = MiB(1);
    ws->tail = &ws->head;
    pthread_mutex_init(&ws->lock, NULL);
    pthread_mutex_lock(&x->lock);
    x->ws = ws;
    pthread_mutex_unlock(&x->lock);
    exchange_ref(x);
    if (!server_wake(x->server, &x->wake)) { /* the server has ended */
        exchange_unref(x);
        x->ws = NULL;
        ws_unref(ws);
        ws_unref(ws);
        http_fail(x, 503, "the server is stopping");
        return NULL;
    }
    return ws;
}

bool ws_send_text(websocket *ws, str text)
{
    if (ws_is_closed(ws))
        return false;
    message *m = malloc(sizeof(*m) + text.len);
    if (!m)
        return false;
    m->next = NULL;
    m->len = text.len;
    memcpy(m->text, text.ptr, text.len);
    pthread_mutex_lock(&ws->lock);
    bool taken =
        !ws->close_code && ws->queued + text.len + TEXT_OVERHEAD <= ws->options.queue_bytes;
    if (taken) {
        *ws->tail = m;
        ws->tail = &m->next;
        ws->queued += text.len + TEXT_OVERHEAD;
    }
    pthread_mutex_unlock(&ws->lock);
    if (taken)
        wake(ws);
    else
        free(m);
    return taken;
}

bool ws_is_closed(const websocket *ws)
{
    return atomic_load(&ws->closed);
}

void ws_close(websocket *ws, unsigned code, str reason)
{
    pthread_mutex_lock(&ws->lock);
    if (!ws->close_code) {
        ws->close_code = code;
        str_copy_c(ws->close_reason, sizeof(ws->close_reason), reason);
    }
    pthread_mutex_unlock(&ws->lock);
    wake(ws);
}

/* ---- network thread ---- */

static ssize_t frames_recv(wslay_event_context_ptr frames, uint8_t *to, size_t n, int flags,
                           void *user)
{
    websocket *ws = user;
    (void)flags;
    if (!ws->input_len) {
        wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    n = MIN(n, ws->input_len);
    memcpy(to, ws->input, n);
    ws->input += n;
    ws->input_len -= n;
    return (ssize_t)n;
}

static ssize_t frames_send(wslay_event_context_ptr frames, const uint8_t *bytes, size_t n,
                           int flags, void *user)
{
    websocket *ws = user;
    (void)flags;
    if (ws->conn->dead || !out_queue_add(&ws->conn->out, bytes, n)) {
        wslay_event_set_error(frames, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    return (ssize_t)n;
}

/* Moves messages from the queue to wslay while the output has room. False: the end. */
static bool move_messages(websocket *ws)
{
    bool ok = true;
    pthread_mutex_lock(&ws->lock);
    while (ok && ws->head && ws->conn->out.bytes < OUT_HIGH) {
        message *m = ws->head;
        struct wslay_event_msg text = { WSLAY_TEXT_FRAME, (const uint8_t *)m->text, m->len };
        ws->head = m->next;
        if (!ws->head)
            ws->tail = &ws->head;
        ws->queued -= m->len + TEXT_OVERHEAD;
        ok = wslay_event_queue_msg(ws->frames, &text) == 0 && wslay_event_send(ws->frames) == 0;
        free(m);
    }
    if (ok && !ws->head && ws->close_code && !wslay_event_get_close_sent(ws->frames))
        wslay_event_queue_close(ws->frames, (uint16_t)ws->close_code,
                                (const uint8_t *)ws->close_reason, strlen(ws->close_reason));
    pthread_mutex_unlock(&ws->lock);
    return ok;
}

static void websocket_output(conn *c)
{
    websocket *ws = c->state;
    if (!move_messages(ws) || wslay_event_send(ws->frames) != 0) {
        conn_close(c);
        return;
    }
    if (wslay_event_get_close_sent(ws->frames) && wslay_event_get_close_received(ws->frames))
        conn_end(c);
}

static void websocket_input(conn *c, const char *bytes, size_t n)
{
    websocket *ws = c->state;
    ws->input = bytes;
    ws->input_len = n;
    ws->pinged = false;
    if (wslay_event_recv(ws->frames) != 0)
        conn_close(c);
}

static void websocket_timeout(conn *c)
{
    websocket *ws = c->state;
    struct wslay_event_msg ping = { WSLAY_PING, NULL, 0 };
    if (conn_draining(c) || ws->pinged || wslay_event_queue_msg(ws->frames, &ping) != 0) {
        conn_close(c);
        return;
    }
    ws->pinged = true;
    conn_set_deadline(c, PING_MS);
    conn_flush(c);
}

static void websocket_drain(conn *c)
{
    ws_close(c->state, WSLAY_CODE_GOING_AWAY, STR("the server is stopping"));
    conn_set_deadline(c, DRAIN_MS); /* for its answer */
}

static void websocket_over(websocket *ws)
{
    atomic_store(&ws->closed, true);
    if (ws->options.closed)
        ws->options.closed(ws->options.user);
    ws_unref(ws);
}

static void websocket_done(conn *c)
{
    websocket *ws = c->state;
    wslay_event_context_free(ws->frames);
    ws->frames = NULL;
    ws->conn = NULL;
    c->state = NULL;
    atomic_fetch_sub(&c->server->websockets, 1);
    websocket_over(ws);
}

static void websocket_wake(wake_item *item)
{
    websocket *ws = (websocket *)item;
    if (ws->conn)
        conn_flush(ws->conn);
    ws_unref(ws);
}

static void websocket_answer(conn *c, http_exchange *x)
{
    (void)c;
    (void)x; /* the exchange that asked for the upgrade has let go of the connection */
}

const protocol websocket_protocol = { websocket_input,
                                      websocket_output,
                                      websocket_answer,
                                      conn_close,
                                      websocket_timeout,
                                      websocket_drain,
                                      NULL,
                                      websocket_done };

void websocket_abandon(websocket *ws)
{
    websocket_over(ws);
}

static void send_handshake(conn *c, str key)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
    unsigned char digest[SHA_DIGEST_LENGTH], accept[32];
    char text[24 + sizeof(guid)];
    buf out;
    str_copy_c(text, sizeof(text), key);
    memcpy(text + key.len, guid, sizeof(guid));
    SHA1((const unsigned char *)text, strlen(text), digest);
    EVP_EncodeBlock(accept, digest, sizeof(digest));
    buf_init(&out, 0);
    buf_fmt(&out,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: %s\r\n\r\n",
            (const char *)accept);
    if (out.failed)
        conn_close(c);
    else
        conn_send(c, out.ptr, out.len);
    buf_done(&out);
}

void websocket_start(conn *c, websocket *ws, str key)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = frames_recv,
        .send_callback = frames_send,
    };
    if (wslay_event_context_server_init(&ws->frames, &callbacks, ws) != 0) {
        c->protocol = NULL;
        websocket_abandon(ws);
        conn_close(c);
        return;
    }
    wslay_event_config_set_max_recv_msg_length(ws->frames, INPUT_MAX);
    ws->conn = c;
    atomic_fetch_add(&c->server->websockets, 1);
    conn_switch(c, &websocket_protocol, ws);
    conn_set_deadline(c, PING_MS);
    send_handshake(c, key);
    if (!c->dead && c->server->draining)
        websocket_drain(c);
}
