// SPDX-License-Identifier: Apache-2.0
/* The HTTP server: one network thread (epoll) for all sockets, and two pools of worker threads
 * that run handlers. HTTP/1.1 and HTTP/2 (prior knowledge) share every listener.
 * Created, given listeners and started by one thread; then http_server_stop may be called by any.
 * Limits are those of http_server_options; a request beyond one is refused with the reason. */
#ifndef SONDE_NET_SERVER_H
#define SONDE_NET_SERVER_H

#include "net/http.h"

/* Rows and the `user` for those of them whose own is NULL. The rows outlive the server. */
typedef struct {
    const http_route *rows;
    size_t count;
    void *user;
} http_route_table;

/* 0 means the default, which stands behind each. */
typedef struct {
    unsigned ingest_threads; /* 16; started when first needed */
    unsigned query_threads;  /* 4 */
    unsigned ingest_queue;   /* 1,024 requests waiting; beyond: 503 */
    unsigned query_queue;    /* 256 */
    size_t header_bytes;     /* 16 KiB of names and values, request target included */
    unsigned header_count;   /* 100 */
    size_t body_bytes;       /* 64 MiB, before and after decompression */
    size_t bodies_bytes;     /* 256 MiB of all bodies in flight together */
    unsigned connections;    /* 4,096 */
    unsigned streams;        /* 256 at once on one HTTP/2 connection */
    unsigned idle_ms;        /* 75,000: a connection without a request */
    unsigned header_ms;      /* 10,000: from a request's first byte to its last header */
    unsigned stall_ms;       /* 30,000: a body or an answer that makes no progress */
    unsigned resets;         /* 200 streams reset by the client in a burst, then 33 a second */
    size_t stream_bytes;     /* 1 MiB of a streamed answer waiting for a slow client */
} http_server_options;

MUST_USE status http_server_new(http_server **ret, const http_server_options *options, error *err);

/* Opens a listening socket on each address that `address` ("127.0.0.1:4319", "[::1]:0",
 * "localhost:80", ":4319" for all) names; port 0 lets the system choose. Routes are matched over
 * all tables: the row with most literal text wins. */
MUST_USE status http_server_listen(http_server *s, const char *address,
                                   const http_route_table *tables, size_t table_count,
                                   unsigned *ret_port, error *err);
/* Whether every address that the text names is a loopback address. */
MUST_USE status http_address_is_loopback(const char *address, bool *ret, error *err);

MUST_USE status http_server_start(http_server *s, error *err);

/* Takes no new requests, finishes those in flight for at most limit_ms, then ends the threads.
 * False: handlers were still running at the limit; the server must not be freed then. */
bool http_server_stop(http_server *s, unsigned limit_ms);
void http_server_free(http_server *s); /* NULL is fine; after stop, or never started */

typedef struct {
    uint64_t connections; /* open now */
    uint64_t accepted;
    uint64_t refused_connections;
    uint64_t requests_in_flight;
    uint64_t body_bytes;   /* held now by requests in flight */
    uint64_t refused_busy; /* requests answered 503 because a queue or the memory was full */
    uint64_t websockets;
} http_server_stats;
void http_server_get_stats(http_server *s, http_server_stats *ret);

/* Answers counted since the start, by route and status code; path "" are those without a route. */
typedef void http_count_sink(void *user, str listener, const http_route *route, int code,
                             uint64_t count);
void http_server_counts(http_server *s, http_count_sink *sink, void *user);

#endif
