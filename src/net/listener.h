// SPDX-License-Identifier: Apache-2.0
/* A listener: the sockets of one address, its routes and its TLS. The network thread owns all but
 * `address` and the list that it is in; it is freed when it was closed and its last connection is
 * gone. */
#ifndef SONDE_NET_LISTENER_H
#define SONDE_NET_LISTENER_H

#include "net/server_impl.h"
#include "net/tls.h"

typedef struct {
    event_kind kind;
    int fd; /* -1: closed */
    http_listener *listener;
} listen_socket;

struct http_listener {
    http_listener *next; /* in the server's list, or among the dead */
    http_server *server;
    char *address;
    route_set *routes;
    route_counter *counters;
    tls_context *tls; /* NULL: none */
    listen_socket sockets[8];
    unsigned socket_count;
    unsigned refs; /* connections, and the server's list */
    bool closing;
};

/* Without sockets and in no list. */
MUST_USE status listener_new(http_listener **ret, http_server *s, const char *address,
                             const http_routes *routes, const http_tls *tls, error *err);
void listener_ref(http_listener *l);
void listener_unref(http_listener *l);
void listener_free(http_listener *l);
void listener_close_sockets(http_listener *l);
void listener_accept(listen_socket *socket);

#endif
