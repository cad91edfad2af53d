// SPDX-License-Identifier: Apache-2.0
/* WebSockets (RFC 6455) on libwslay: the server's side behind web_server, the client's side by
 * itself, and a loop that serves many of either.
 *
 * Every socket has limits: bytes of a message, bytes that wait to be sent, the time without a sign
 * of life. A reader that is too slow loses messages, not memory: they are counted, and the socket
 * is told how many before the next one that fits. */
#ifndef EXAMPLES_COMMON_WEB_SOCKET_H
#define EXAMPLES_COMMON_WEB_SOCKET_H

#include "examples/common/web_server.h"

typedef struct web_socket web_socket;

enum {
    WEB_SOCKET_NORMAL = 1000,
    WEB_SOCKET_GOING_AWAY = 1001,
    WEB_SOCKET_LOST = 1006, /* no close frame came; never sent */
    WEB_SOCKET_POLICY = 1008,
    WEB_SOCKET_TOO_BIG = 1009,
    WEB_SOCKET_OVERLOAD = 1013,
};

typedef struct {
    size_t message_bytes; /* of one that comes in; more closes with 1009. 0: 64 KiB */
    size_t queued_bytes;  /* waiting to be sent; 0: 256 KiB */
    int ping_ms;          /* after so long without a sign of life; 0: 15,000 */
    int pong_ms;          /* and this much later the socket counts as lost; 0: 10,000 */
} web_socket_limits;

/* What happened on a socket so far. */
typedef struct {
    uint64_t messages_in, messages_out, bytes_in, bytes_out, dropped;
} web_socket_counts;

/* Called by whoever works on the socket: web_socket_work, or the loop with its lock held. They may
 * send and close, but free nothing. */
typedef struct {
    /* `text` is valid during the call, not terminated. */
    void (*message)(web_socket *s, const char *text, size_t len, void *user);
    /* Once, as the last call. `code` is the peer's, else this side's, else 1006. */
    void (*closed)(web_socket *s, int code, const char *reason, void *user);
    /* May be NULL. All that waited since `waited_ns` ago is sent now. */
    void (*drained)(web_socket *s, int64_t waited_ns, void *user);
    /* May be NULL. `count` messages were dropped since the last time, and there is room again: send
     * what tells the peer. */
    void (*told)(web_socket *s, uint64_t count, void *user);
} web_socket_handlers;

/* ---- one socket ---- */

/* Connects to "ws://host:port/path" with more headers (name, value, …, NULL; may be NULL), and the
 * trace. NULL when it cannot be had within timeout_ms: *ret_status is then the HTTP status of the
 * answer, or 0, and `error` says why. */
web_socket *web_socket_connect(const char *url, const char *const *headers, int timeout_ms,
                               const web_socket_limits *limits, const web_socket_handlers *handlers,
                               void *user, int *ret_status, char *error, size_t size);
void web_socket_free(web_socket *s); /* NULL is fine */

/* For a poll() of one's own: the descriptor, and POLLIN | POLLOUT as it needs them. */
int web_socket_fd(const web_socket *s);
short web_socket_events(const web_socket *s);
/* Reads, calls the handlers, writes, pings. False when the socket has ended. Never blocks. Call it
 * before the first poll: the handshake may have brought messages along. */
bool web_socket_work(web_socket *s);

/* Queues one text. False when it was dropped: too much waits already, or the socket is closing.
 * `urgent` may take a sixteenth beyond the limit. In a loop: with its lock held. */
bool web_socket_send(web_socket *s, const char *text, size_t len, bool urgent);
/* Sends a close frame after what is queued; the socket ends when the peer answers or the time for a
 * pong is over. `reason` is at most 120 bytes. */
void web_socket_close(web_socket *s, int code, const char *reason);
/* Bytes that wait to be sent. */
size_t web_socket_queued(const web_socket *s);
web_socket_counts web_socket_count(const web_socket *s);

/* ---- a loop: one thread serves all sockets of a server ---- */

typedef struct web_sockets web_sockets;

/* At most `most` sockets. NULL without memory or a thread. */
web_sockets *web_sockets_start(unsigned most);
/* Closes all with 1001, and waits a second at most for their answers; then no more are accepted.
 * Call it before web_server_stop, which waits for each socket to be closed. */
void web_sockets_stop(web_sockets *loop);
/* After web_server_stop, when nobody can ask for a socket any more. */
void web_sockets_free(web_sockets *loop);
/* Handlers run with the loop's lock held; others take it to send, close or look. */
void web_sockets_lock(web_sockets *loop);
void web_sockets_unlock(web_sockets *loop);
/* Wakes the loop after something was queued from outside. */
void web_sockets_wake(web_sockets *loop);

/* In a handler of web_server: answers the request with 101 and makes it a socket of the loop.
 * `opened` is called once (lock held) when it is one, with NULL when it could not be; what it
 * returns is the handlers' `user`, NULL ends the socket at once. When the request asks for no
 * WebSocket it is answered with 426 or 400; 503 when there are too many. */
typedef void *web_socket_opened(web_socket *s, void *user);
/* True: answered with 101. `user` is the caller's again when it is false. */
bool web_socket_accept(web_request *r, web_sockets *loop, const web_socket_limits *limits,
                       const web_socket_handlers *handlers, web_socket_opened *opened, void *user);

#endif
