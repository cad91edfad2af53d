// SPDX-License-Identifier: Apache-2.0
/* One request and its answer, inside the network layer.
 * The network thread fills the request, a worker runs the handler, and what it says goes back in
 * pieces under `lock`. Reference counted: the connection holds one, the worker one, the wake list
 * one. `conn` belongs to the network thread and is NULL once the client is gone. */
#ifndef SONDE_NET_EXCHANGE_H
#define SONDE_NET_EXCHANGE_H

#include "net/encoding.h"
#include "net/route.h"

#include <pthread.h>

typedef struct conn conn;

/* Bytes on their way out; `moved` ones are a handler's buffer, taken as it is. */
typedef struct out_piece {
    struct out_piece *next;
    buf bytes;
    size_t sent;
    bool moved;
} out_piece;

typedef struct {
    out_piece *head, *tail;
    size_t bytes; /* not sent yet */
} out_queue;

void out_queue_done(out_queue *q);
/* Appends a copy. False: no memory. */
bool out_queue_add(out_queue *q, const void *bytes, size_t n);
/* Takes b's memory and leaves it empty. False: no memory, b is unchanged. */
bool out_queue_move(out_queue *q, buf *b);
void out_queue_push(out_queue *q, out_piece *piece);
out_piece *out_queue_pop(out_queue *q);
/* Forgets the first n bytes, which were sent. */
void out_queue_sent(out_queue *q, size_t n);

/* Something that the network thread has to look at; see server_wake. */
typedef struct wake_item {
    struct wake_item *next;
    bool queued;
    void (*run)(struct wake_item *item); /* on the network thread; drops the list's reference */
} wake_item;

struct http_exchange {
    wake_item wake; /* first, so that one is the other */
    atomic_int refs;
    http_server *server;
    route_set *routes; /* those that the listener had when it began */
    conn *conn;
    ip_address client;
    bool encrypted;
    str peer;       /* subject of its certificate */
    int32_t stream; /* HTTP/2; 0 otherwise */
    int64_t begun_mono_ns;

    /* the request: complete before a worker sees it */
    arena head; /* request head, parameters, answer headers */
    arena work; /* the handler's */
    str method, target, raw_path, path, query;
    http_field *headers;
    unsigned header_count, header_capacity;
    size_t header_bytes;
    buf body, decoded;
    str body_view;
    size_t body_limit;
    size_t charged; /* taken from the server's budget for body and decoded */
    route *route;
    http_field params[ROUTE_PARAMS];
    unsigned param_count;
    http_field *fields; /* query string and form; split when first asked for */
    unsigned field_count;
    bool fields_ready;
    bool is_head, is_grpc, is_http2;
    bool upgrade; /* HTTP/1.1 asking for a WebSocket */
    bool refused; /* answered without a handler; the rest of the body is thrown away */

    _Atomic int canceled; /* the client sends no more, or is gone */
    atomic_bool gone;     /* nobody waits for the answer */

    /* the answer: the worker's until handed over */
    int code;
    http_field *answer;
    unsigned answer_count, answer_capacity;
    buf out;
    bool has_grpc_status;
    int grpc_code;
    str grpc_message, grpc_details;
    bool streaming;    /* http_flush was called: the head is gone */
    gzip_stream *gzip; /* of a streamed answer that is compressed; else NULL */

    pthread_mutex_t lock;
    pthread_cond_t drained;
    out_queue pieces; /* handed over, not taken by the protocol */
    bool head_ready, finished;
    struct websocket *ws; /* accepted, the connection has not changed its protocol yet */
    atomic_bool aborted;  /* nothing more can be said: the connection or stream breaks off */

    /* network thread */
    bool head_sent, counted;
    size_t length; /* of the whole body, when not streaming */
};

http_exchange *exchange_new(conn *c);
void exchange_ref(http_exchange *x);
void exchange_unref(http_exchange *x);

/* Copies. STATUS_LIMIT when the head is larger than the server's limits. */
MUST_USE status exchange_set_target(http_exchange *x, str method, str target, error *err);
MUST_USE status exchange_add_header(http_exchange *x, str name, str value, error *err);
/* Charges the budget. `expected`: Content-Length, or SIZE_MAX. */
MUST_USE status exchange_add_body(http_exchange *x, const char *bytes, size_t n, size_t expected,
                                  error *err);
/* Finds the route; a request without one, or with a wrong method or too long a body, gets its error
 * answer here and `refused`. Content-Length as for exchange_add_body. */
void exchange_route(http_exchange *x, size_t expected);
/* The whole request is there: hands it to a worker, or answers. */
void exchange_dispatch(http_exchange *x);
/* The worker's side: decodes the body, runs the handler, hands the answer over. */
void exchange_run(void *x);
/* An error answer for a failed step, by status. */
void exchange_refuse(http_exchange *x, const error *err);
/* Hands over the answer as it is; no handler may touch x any more. */
void exchange_finish(http_exchange *x);
/* The client sends no more; gone: it takes no answer either (or its stream was reset). */
void exchange_cancel(http_exchange *x, bool gone);
/* What was handed over by now. Network thread. */
typedef struct {
    bool ready;     /* status and headers */
    bool upgrading; /* a WebSocket was accepted: no answer of this protocol follows */
    bool streaming;
    bool finished;
} answer_state;
answer_state exchange_answer_state(http_exchange *x);
/* Takes all pieces handed over, and lets a waiting handler go on. True: the answer is complete with
 * them. */
bool exchange_take(http_exchange *x, out_queue *ret);

/* The answer's field, or empty. */
str exchange_answer_field(const http_exchange *x, const char *name);
/* Adds to Vary. */
void exchange_vary(http_exchange *x, str name);
/* Counts the answer of x, by its route and code. Network thread, while the connection lives. */
void exchange_count(http_exchange *x, int code);

#endif
