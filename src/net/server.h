// SPDX-License-Identifier: Apache-2.0
/* The HTTP server: one network thread (epoll) for all sockets, and two pools of worker threads
 * that run handlers. HTTP/1.1 and HTTP/2 (prior knowledge, or ALPN under TLS) share every listener.
 * Listeners may come, change and go while it runs: http_server_listen, _open, _set_routes, _set_tls
 * and _unlisten are for one thread at a time, and not for handlers. http_server_stop may be called
 * by any thread. Limits are those of http_server_options; a request beyond one is refused with the
 * reason. */
#ifndef SONDE_NET_SERVER_H
#define SONDE_NET_SERVER_H

#include "net/http.h"

/* Whether x may be handled; called before the body is decoded and before the handler, on the same
 * thread. A failure is answered with 401 and the message (gRPC: UNAUTHENTICATED); the function may
 * set WWW-Authenticate itself, else it says Bearer. */
typedef status http_authenticate(void *user, http_exchange *x, error *err);

/* Cross-origin requests (the Fetch standard's protocol). Preflights are answered with 204. */
typedef struct {
    const str *origins; /* "https://app.example", "*.example", "*" */
    size_t origin_count;
    const str *headers; /* beyond those that need no permission; "*": any */
    size_t header_count;
    int64_t max_age_s; /* 0: not said */
} http_cors;

/* Rows, the `user` for those of them whose own is NULL, and what is in front of them. The rows and
 * users must live until the route set they are in is done; the rest is copied. */
typedef struct {
    const http_route *rows;
    size_t count;
    void *user;
    const char *prefix;              /* before all paths: "/zipkin"; NULL or "": nothing */
    http_authenticate *authenticate; /* NULL: everybody may */
    void *authenticate_user;
    const http_cors *cors; /* NULL: other origins' pages may not read the answers */
    size_t body_bytes;     /* 0: the server's; before and after decompression */
    double rate;           /* requests a second of one client address (IPv6: /64); 0: no limit */
    double burst;          /* at once; 0: those of one second */
} http_route_table;

#define HTTP_QUERY_THREADS 4

/* 0 means the default, which stands behind each. */
typedef struct {
    unsigned ingest_threads; /* 16; started when first needed */
    unsigned query_threads;  /* HTTP_QUERY_THREADS */
    unsigned ingest_queue;   /* 1,024 requests waiting; beyond: 503 */
    unsigned query_queue;    /* 4,096: some hundred dashboards at once */
    size_t header_bytes;     /* 16 KiB of names and values, request target included */
    unsigned header_count;   /* 100 */
    size_t body_bytes;       /* 64 MiB, before and after decompression */
    size_t bodies_bytes;     /* 256 MiB of all bodies in flight together; from 3/4 of it (and of the
                              * ingest queue) on, bodies are read only when others are done with */
    unsigned connections;    /* 16,384, and never more than descriptors allow */
    unsigned streams;        /* 256 at once on one HTTP/2 connection */
    unsigned idle_ms;        /* 75,000: a connection without a request */
    unsigned header_ms;      /* 10,000: from a request's first byte to its last header */
    unsigned handshake_ms;   /* 10,000: of TLS */
    unsigned stall_ms;       /* 30,000: a body or an answer that makes no progress */
    unsigned resets;         /* 200 streams reset by the client in a burst, then 33 a second */
    size_t stream_bytes;     /* 1 MiB of a streamed answer waiting for a slow client */
} http_server_options;

MUST_USE status http_server_new(http_server **ret, const http_server_options *options, error *err);

/* ---- listening ---- */

typedef struct http_listener http_listener;

/* Of each of cert, key and client_ca one of the two. Files are PEM and are read again when they
 * have changed (looked at when a client connects, at most once a second); when the new ones are
 * wrong the old ones stay in use and tls_reload_failed counts. All is copied. */
typedef struct {
    str cert_file, key_file;
    str cert_pem, key_pem;
    str client_ca_file, client_ca_pem; /* clients must show a certificate that it signed */
    str min_version;                   /* "1.2" (default), "1.3" */
} http_tls;

/* What a listener answers. Routes are matched over all tables: the row with most literal text wins.
 */
typedef struct {
    const http_route_table *tables;
    size_t table_count;
    /* Called once, when the set is no listener's any more and its last request is finished (or the
     * server is freed): quick, on any thread. NULL: nobody wants to know. */
    void (*done)(void *user);
    void *done_user;
} http_routes;

/* Opens a listening socket on each address that `address` ("127.0.0.1:4319", "[::1]:0",
 * "localhost:80", ":4319" for all) names; port 0 lets the system choose. tls: NULL for none.
 * After a failure `done` is not called. *ret lives until http_server_unlisten. */
MUST_USE status http_server_open(http_server *s, http_listener **ret, const char *address,
                                 const http_routes *routes, const http_tls *tls, unsigned *ret_port,
                                 error *err);
/* The same for a listener without TLS that stays until the end. */
MUST_USE status http_server_listen(http_server *s, const char *address,
                                   const http_route_table *tables, size_t table_count,
                                   unsigned *ret_port, error *err);
/* Other routes for all requests that begin from now on, also on open connections; those in flight
 * keep the old ones. Counts of routes that stay go on. On failure nothing changes. */
MUST_USE status http_server_set_routes(http_server *s, http_listener *l, const http_routes *routes,
                                       error *err);
/* Other certificates or rules for connections that are made from now on; NULL: no TLS any more. */
MUST_USE status http_server_set_tls(http_server *s, http_listener *l, const http_tls *tls,
                                    error *err);
/* Whether its files can be read and used now. */
MUST_USE status http_tls_check(const http_tls *tls, error *err);
/* Closes the listening sockets at once (the address is free on return) and each of the listener's
 * connections when its requests in flight are answered. */
void http_server_unlisten(http_server *s, http_listener *l);
/* Waits until no request of a route set that was replaced or whose listener is gone is in flight.
 * An accepted WebSocket is no request any more. False: there still was one after limit_ms. */
MUST_USE bool http_server_settle(http_server *s, unsigned limit_ms);

/* Whether the text has the form HOST:PORT; names are not looked up. */
bool http_address_is_written(str address);
/* Whether every address that the text names is a loopback address. */
MUST_USE status http_address_is_loopback(const char *address, bool *ret, error *err);

/* ---- running ---- */

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
    uint64_t refused_auth; /* requests answered 401 */
    uint64_t refused_rate; /* requests answered 429 because their client's rate was too high */
    uint64_t held;         /* connections that are not read now, or read less, as memory is short */
    uint64_t tls_handshakes;
    uint64_t tls_failed; /* handshakes: not TLS, no common version, no valid certificate, too slow
                          */
    uint64_t tls_reload_failed; /* changed certificate files that could not be used */
} http_server_stats;
void http_server_get_stats(http_server *s, http_server_stats *ret);

/* Answers counted since the start, by listener, route and status code; `path` with its table's
 * prefix, empty for requests that matched no route. */
typedef void http_count_sink(void *user, str listener, str path, int code, uint64_t count);
void http_server_counts(http_server *s, http_count_sink *sink, void *user);

#endif
