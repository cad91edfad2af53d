// SPDX-License-Identifier: Apache-2.0
/* A connection: its socket, what is to be sent, its deadline, and the protocol that is spoken on
 * it. All of it belongs to the network thread. A closed one stays in memory (`dead`) until the
 * events at hand are handled. */
#ifndef SONDE_NET_CONN_H
#define SONDE_NET_CONN_H

#include "net/listener.h"

#include <sys/socket.h>

/* What a protocol does with a connection; `state` is its own. */
typedef struct {
    /* Bytes came. */
    void (*input)(conn *c, const char *bytes, size_t n);
    /* The output has room again (also after each write): add more when there is any. */
    void (*output)(conn *c);
    /* x has something to send, or the end. */
    void (*answer)(conn *c, http_exchange *x);
    /* The client sends no more. */
    void (*eof)(conn *c);
    /* The deadline has passed. */
    void (*timeout)(conn *c);
    /* The server is stopping: finish what is in flight, then close. */
    void (*drain)(conn *c);
    /* The connection was held and is not any more. NULL: never is. */
    void (*resume)(conn *c);
    /* Frees the state and lets go of all exchanges. */
    void (*done)(conn *c);
} protocol;

extern const protocol http1_protocol, http2_protocol, websocket_protocol;

struct conn {
    event_kind kind;
    int fd;
    http_server *server;
    http_listener *listener; /* counts its connections */
    ip_address client;
    const transport *transport;
    const protocol *protocol; /* NULL until the first bytes tell */
    void *state;
    struct ssl_st *tls; /* OpenSSL's; NULL: plain, or its handshake has not begun */
    char *peer;         /* subject of the client's certificate, or NULL */
    conn *next, **link;
    out_queue out;
    int64_t deadline_ns;       /* the protocol's */
    int64_t write_deadline_ns; /* while output waits */
    uint32_t interest;         /* registered with epoll */
    bool paused;               /* do not read: the protocol is not ready for more */
    bool held; /* not read, or its window not opened, until memory is free; see server_pressed */
    bool input_waits; /* some came while paused: epoll need not say it again */
    bool half_closed; /* the client sends no more */
    bool end_after_out;
    bool lingering; /* all sent and said so; what still comes is thrown away */
    bool dead;
    bool handshaking;
    bool wants_write; /* the transport cannot read before it has written */
    char first[24];   /* bytes before the protocol is known */
    unsigned first_len;
};

enum {
    OUT_HIGH = 256 << 10, /* a protocol adds no more when this much waits */
    PROGRESS = 8 << 10    /* fewer bytes of a body within stall_ms are none */
};

/* Of a protocol that takes no more now: its `resume` follows. */
void conn_hold(conn *c);
void conn_release(conn *c);
/* Looks at the deadlines. */
void conn_check_time(conn *c);
/* from: the client's address, or NULL. NULL: no memory; fd stays the caller's. */
conn *conn_new(http_listener *l, int fd, const struct sockaddr *from);
/* The server stops, or the listener is gone: the request at hand is the last. */
bool conn_draining(const conn *c);
/* Lets it finish what is in flight, then ends it. */
void conn_drain(conn *c);
void conn_event(conn *c, uint32_t events);
bool conn_send(conn *c, const void *bytes, size_t n); /* queues a copy; closes when out of memory */
/* Sends what can be sent now. */
void conn_flush(conn *c);
/* Closes as soon as all output is sent, politely: shuts down, then waits for the client's end. */
void conn_end(conn *c);
void conn_close(conn *c);                     /* now */
void conn_free(conn *c);                      /* of a dead one */
void conn_set_deadline(conn *c, unsigned ms); /* 0: none */
/* Makes epoll's registration what the flags say. */
void conn_update(conn *c);
/* Another protocol takes over (upgrade); state of the old one was freed. */
void conn_switch(conn *c, const protocol *p, void *state);

/* Makes the state and the connection's protocol. False: no memory, the connection is closed. */
bool http1_start(conn *c);
bool http2_start(conn *c);
/* The handler of the request at hand has accepted an upgrade. */
void http1_upgrade(conn *c, struct websocket *ws);
/* Makes c, an HTTP/1.1 connection whose state is gone, a WebSocket; key: the client's. Takes over
 * the connection's reference to ws. */
void websocket_start(conn *c, struct websocket *ws, str key);
/* As if it had been started and closed: the client went before. */
void websocket_abandon(struct websocket *ws);

#endif
