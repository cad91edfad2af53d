// SPDX-License-Identifier: Apache-2.0
/* WebSockets (RFC 6455) on the server's side, for sending text: a route's handler accepts the
 * upgrade, hands the socket to whoever has something to say, and returns; no worker is held.
 * All functions may be called from any thread. What the client sends is read and ignored (at most
 * 64 KiB a message); pings are sent and answered here. */
#ifndef SONDE_NET_WEBSOCKET_H
#define SONDE_NET_WEBSOCKET_H

#include "net/http.h"

typedef struct websocket websocket;

typedef struct {
    /* Called once, when the connection is gone for any reason, possibly before the handler has
     * returned. On the network thread: it must be quick and must not wait for a query.
     * ws_unref of the handler's own reference may be called in it. May be NULL. */
    void (*closed)(void *user);
    void *user;
    size_t queue_bytes; /* text waiting to be sent, at most; 0: 1 MiB */
} ws_options;

/* Answers the upgrade with 101. NULL: x asks for no WebSocket (or memory ran out) and has been
 * answered with an error: the handler just returns. The reference returned is the caller's. */
websocket *ws_accept(http_exchange *x, const ws_options *options);

/* Queues one text message (copied). False: nothing was queued, because the socket is closed or the
 * queue is full (a slow client): count it as dropped, or close. */
bool ws_send_text(websocket *ws, str text);

bool ws_is_closed(const websocket *ws);

/* Sends what is queued and a close frame (1000: done; 1011: failed), then ends the connection. */
void ws_close(websocket *ws, unsigned code, str reason);

void ws_ref(websocket *ws);
void ws_unref(websocket *ws); /* an open connection stays open: close it first */

#endif
