// SPDX-License-Identifier: Apache-2.0
/* One WebSocket on libwslay; see web_socket.h. The descriptor is non-blocking: libwslay keeps what
 * the peer does not take, and `web_socket_send` looks at how much that is. */
#include "examples/common/web_socket_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <wslay/wslay.h>

enum { REASON_BYTES = 121 };

struct web_socket {
    int fd;
    wslay_event_context_ptr frames;
    web_socket_limits limits;
    web_socket_handlers handlers;
    void *user;
    char *first; /* bytes that came with the handshake */
    size_t first_len, first_used;
    void (*release)(void *handle);
    void *handle;
    web_socket_counts counts;
    uint64_t untold;                     /* dropped, and the peer was not told */
    int64_t alive_ns, ping_ns, close_ns; /* last sign of life; ping, close sent at; 0: none */
    int64_t waits_since_ns;              /* since when something waits to be sent; 0: nothing */
    int code;
    char reason[REASON_BYTES];
    bool close_waits; /* libwslay would send a close frame before the texts that wait */
    bool broken, ended;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ---- what libwslay asks for ---- */

static ssize_t on_recv(wslay_event_context_ptr frames, uint8_t *bytes, size_t size, int flags,
                       void *user)
{
    web_socket *s = user;
    (void)flags;
    if (s->first_used < s->first_len) {
        size_t n = s->first_len - s->first_used < size ? s->first_len - s->first_used : size;
        memcpy(bytes, s->first + s->first_used, n);
        s->first_used += n;
        return (ssize_t)n;
    }
    ssize_t n;
    do
        n = recv(s->fd, bytes, size, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        s->alive_ns = now_ns();
        s->ping_ns = 0;
        return n;
    }
    wslay_event_set_error(frames, n < 0 && errno == EAGAIN ? WSLAY_ERR_WOULDBLOCK
                                                           : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr frames, const uint8_t *bytes, size_t size, int flags,
                       void *user)
{
    web_socket *s = user;
    ssize_t n;
    do
        n = send(s->fd, bytes, size,
                 MSG_NOSIGNAL | (flags & WSLAY_MSG_MORE ? MSG_MORE : 0)); /* one packet a frame */
    while (n < 0 && errno == EINTR);
    if (n < 0)
        wslay_event_set_error(frames,
                              errno == EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return n;
}

static int on_mask(wslay_event_context_ptr frames, uint8_t *bytes, size_t size, void *user)
{
    (void)frames, (void)user;
    return getrandom(bytes, size, 0) == (ssize_t)size ? 0 : -1;
}

static void keep_close(web_socket *s, int code, const void *reason, size_t len)
{
    s->code = code ? code : WEB_SOCKET_NORMAL;
    snprintf(s->reason, sizeof(s->reason), "%.*s", (int)len, (const char *)reason);
}

static void on_message(wslay_event_context_ptr frames, const struct wslay_event_on_msg_recv_arg *m,
                       void *user)
{
    web_socket *s = user;
    (void)frames;
    if (m->opcode == WSLAY_CONNECTION_CLOSE) {
        size_t skip = m->msg_length >= 2 ? 2 : m->msg_length; /* the code in two bytes */
        keep_close(s, m->status_code, m->msg + skip, m->msg_length - skip);
    } else if (!wslay_is_ctrl_frame(m->opcode)) {
        s->counts.messages_in++;
        s->counts.bytes_in += m->msg_length;
        s->handlers.message(s, (const char *)m->msg, m->msg_length, s->user);
    }
}

/* ---- the socket ---- */

static size_t or_default(size_t value, size_t otherwise)
{
    return value ? value : otherwise;
}

web_socket *web_socket_new(int fd, bool is_client, const void *first, size_t first_len,
                           const web_socket_limits *limits, const web_socket_handlers *handlers,
                           void *user)
{
    static const struct wslay_event_callbacks calls = { .recv_callback = on_recv,
                                                        .send_callback = on_send,
                                                        .genmask_callback = on_mask,
                                                        .on_msg_recv_callback = on_message };
    web_socket *s = calloc(1, sizeof(*s));
    char *copy = malloc(first_len + 1);
    if (!s || !copy ||
        (is_client ? wslay_event_context_client_init
                   : wslay_event_context_server_init)(&s->frames, &calls, s) != 0) {
        free(copy);
        free(s);
        return NULL;
    }
    s->fd = fd;
    s->limits = (web_socket_limits){ or_default(limits->message_bytes, 64 << 10),
                                     or_default(limits->queued_bytes, 256 << 10),
                                     (int)or_default((size_t)limits->ping_ms, 15000),
                                     (int)or_default((size_t)limits->pong_ms, 10000) };
    s->handlers = *handlers;
    s->user = user;
    s->first = copy;
    s->first_len = first_len;
    if (first_len)
        memcpy(copy, first, first_len);
    s->alive_ns = now_ns();
    wslay_event_config_set_max_recv_msg_length(s->frames, s->limits.message_bytes);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return s;
}

void web_socket_on_release(web_socket *s, void (*release)(void *handle), void *handle)
{
    s->release = release;
    s->handle = handle;
}

void web_socket_set_user(web_socket *s, void *user)
{
    s->user = user;
}

void web_socket_free(web_socket *s)
{
    if (!s)
        return;
    wslay_event_context_free(s->frames);
    if (s->release)
        s->release(s->handle);
    else
        close(s->fd);
    free(s->first);
    free(s);
}

int web_socket_fd(const web_socket *s)
{
    return s->fd;
}

short web_socket_events(const web_socket *s)
{
    return (short)((wslay_event_want_read(s->frames) ? POLLIN : 0) |
                   (wslay_event_want_write(s->frames) ? POLLOUT : 0));
}

size_t web_socket_queued(const web_socket *s)
{
    return wslay_event_get_queued_msg_length(s->frames);
}

web_socket_counts web_socket_count(const web_socket *s)
{
    return s->counts;
}

static bool queue_frame(web_socket *s, int opcode, const void *bytes, size_t len)
{
    struct wslay_event_msg m = { .opcode = (uint8_t)opcode, .msg = bytes, .msg_length = len };
    return wslay_event_queue_msg(s->frames, &m) == 0;
}

/* Whether `len` more bytes may wait. */
static bool has_room(const web_socket *s, size_t len, bool urgent)
{
    size_t limit = s->limits.queued_bytes + (urgent ? s->limits.queued_bytes / 16 : 0);
    return web_socket_queued(s) + len <= limit;
}

/* Has the peer told what it did not get. */
static void tell(web_socket *s)
{
    uint64_t count = s->untold, dropped = s->counts.dropped;
    if (!count || !s->handlers.told)
        return;
    s->untold = 0;
    s->handlers.told(s, count, s->user);
    if (s->untold) { /* no room for that either */
        s->untold = count;
        s->counts.dropped = dropped;
    }
}

bool web_socket_send(web_socket *s, const char *text, size_t len, bool urgent)
{
    if (s->ended || s->broken || s->close_ns)
        return false;
    if (urgent || has_room(s, s->limits.queued_bytes / 2, false))
        tell(s);
    if (!(s->untold && !urgent) && has_room(s, len, urgent) &&
        queue_frame(s, WSLAY_TEXT_FRAME, text, len)) {
        s->counts.messages_out++;
        s->counts.bytes_out += len;
        if (!s->waits_since_ns)
            s->waits_since_ns = now_ns();
        return true;
    }
    s->untold++;
    s->counts.dropped++;
    return false;
}

static void queue_close(web_socket *s)
{
    s->close_waits = false;
    wslay_event_queue_close(s->frames, (uint16_t)s->code, (const uint8_t *)s->reason,
                            strlen(s->reason));
}

void web_socket_close(web_socket *s, int code, const char *reason)
{
    if (s->ended || s->close_ns)
        return;
    s->close_ns = now_ns();
    if (!s->code)
        keep_close(s, code, reason, strlen(reason));
    if (web_socket_queued(s))
        s->close_waits = true;
    else
        queue_close(s);
}

/* Pings who was silent, and gives up who stays so. */
static void look_alive(web_socket *s)
{
    int64_t now = now_ns(), ping = s->limits.ping_ms * 1000000LL,
            pong = s->limits.pong_ms * 1000000LL;
    if (s->close_ns && now - s->close_ns > pong) {
        s->broken = true;
    } else if (s->ping_ns && now - s->ping_ns > pong) {
        keep_close(s, WEB_SOCKET_LOST, "no pong", 7);
        s->broken = true;
    } else if (!s->ping_ns && now - s->alive_ns > ping && queue_frame(s, WSLAY_PING, NULL, 0)) {
        s->ping_ns = now;
    }
}

int web_socket_next_ms(const web_socket *s)
{
    int64_t now = now_ns(), at = s->alive_ns + s->limits.ping_ms * 1000000LL;
    if (s->ping_ns)
        at = s->ping_ns + s->limits.pong_ms * 1000000LL;
    if (s->close_ns)
        at = s->close_ns + s->limits.pong_ms * 1000000LL;
    return at <= now ? 1 : (int)((at - now) / 1000000 + 1);
}

static void note_drained(web_socket *s)
{
    if (!s->waits_since_ns || web_socket_queued(s))
        return;
    int64_t waited = now_ns() - s->waits_since_ns;
    s->waits_since_ns = 0;
    if (s->handlers.drained)
        s->handlers.drained(s, waited, s->user);
    if (!s->close_ns)
        tell(s);
}

bool web_socket_work(web_socket *s)
{
    if (s->ended)
        return false;
    if (wslay_event_want_read(s->frames) && wslay_event_recv(s->frames) != 0)
        s->broken = true;
    look_alive(s);
    if (!s->broken && wslay_event_want_write(s->frames) && wslay_event_send(s->frames) != 0)
        s->broken = true;
    if (!s->broken && s->close_waits && !web_socket_queued(s)) {
        queue_close(s);
        s->broken = wslay_event_send(s->frames) != 0;
    }
    if (!s->broken)
        note_drained(s);
    if (!s->broken && (wslay_event_want_read(s->frames) || wslay_event_want_write(s->frames)))
        return true;
    if (!s->code)
        s->code = wslay_event_get_status_code_sent(s->frames);
    if (!s->code || s->code == WSLAY_CODE_ABNORMAL_CLOSURE)
        s->code = WEB_SOCKET_LOST;
    s->ended = true;
    s->handlers.closed(s, s->code, s->reason, s->user);
    return false;
}

void web_socket_answer_key(const char *key, char ret[WEB_SOCKET_KEY_BYTES])
{
    char text[128];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int n = snprintf(text, sizeof(text), "%.64s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    EVP_Digest(text, (size_t)n, digest, &len, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)ret, digest, (int)len);
}
