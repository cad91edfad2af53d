// SPDX-License-Identifier: Apache-2.0
/* What the parts of the network thread share: the server, its listeners, and how to wake it. */
#ifndef SONDE_NET_SERVER_IMPL_H
#define SONDE_NET_SERVER_IMPL_H

#include "net/exchange.h"
#include "net/pool.h"

#include <pthread.h>

/* What epoll's user pointer points to starts with its kind. */
typedef enum { EVENT_LISTENER, EVENT_CONN, EVENT_WAKE } event_kind;

enum { READ_BYTES = 64 << 10 };

struct http_server {
    http_server_options options;
    pthread_mutex_t listeners_lock; /* of the list and of the listeners' counters */
    http_listener *listeners;
    route_set *no_routes; /* what a closed listener answers */
    route_counter *no_counters;
    retired_sets retired;
    pthread_mutex_t call_lock; /* see server_call */
    pthread_cond_t call_done;
    pool *pools[2]; /* by http_pool */
    byte_budget bodies;

    pthread_t thread;
    atomic_bool started;
    int epoll, wake_fd, spare_fd; /* spare_fd: given up to refuse a connection at EMFILE */
    event_kind wake_kind;
    pthread_mutex_t wake_lock;
    wake_item *wake_head, **wake_tail;
    bool wake_closed; /* the network thread has ended */
    atomic_int stopping;
    atomic_int working; /* requests that a handler has or will have */
    int64_t stop_at_mono_ns;

    /* network thread */
    conn *conns;
    conn *dead;
    http_listener *dead_listeners;
    int64_t now_mono_ns;
    int64_t tick_ns; /* how often deadlines are looked at */
    bool draining;
    char date[40]; /* value of Date, for the second `date_s` */
    int64_t date_s;
    char read_buffer[READ_BYTES];
    char record[16 << 10]; /* of TLS, being put together */

    atomic_uint_fast64_t connections, accepted, refused_connections, in_flight, refused_busy,
        websockets, refused_auth, refused_rate, held, tls_handshakes, tls_failed, tls_reload_failed;
};

/* Has item->run called on the network thread, once however often it is asked before. The caller's
 * reference passes to the list; true: it did, false: it was queued already (or the server ended).
 */
bool server_wake(http_server *s, wake_item *item);
/* Calls run on the network thread and waits for it; directly where that does not run. */
void server_call(http_server *s, void (*run)(void *arg), void *arg);
/* Bodies should not be read now: memory or the queue is nearly full, and requests at work will give
 * some back. Where none is at work, waiting would help nobody. */
bool server_pressed(const http_server *s);
/* What the network thread does between two waits: runs what was woken, frees what is closed. For
 * tests that drive connections themselves. */
void server_turn(http_server *s);
/* "Sun, 06 Nov 1994 08:49:37 GMT", now. */
str server_date(http_server *s);

#endif
