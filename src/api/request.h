// SPDX-License-Identifier: Apache-2.0
/* One API request: its memory, deadline and parameters, and the JSON answer under construction.
 * Each API is a table of rows; a row's handler gets this. Freed when the handler returns. */
#ifndef SONDE_API_REQUEST_H
#define SONDE_API_REQUEST_H

#include "api/api.h"
#include "codec/json.h"

#include <pthread.h>

typedef struct api_request api_request;

typedef struct {
    const char *method;
    const char *path;
    void (*handler)(api_request *r);
    const char *help;
} api_row;

/* How an API shows an error to its clients. */
typedef void api_error_shape(api_request *r, status code, const char *message);

typedef struct {
    const api_row *rows;
    size_t count;
    api_error_shape *show_error;
} api_table;
extern const api_table prometheus_api, loki_api, jaeger_api, sonde_api, alertmanager_api;

typedef struct {
    api *api;
    const api_row *row;
    const api_table *table;
} api_route;

typedef struct tail tail;

struct api {
    api_options options;
    int64_t started_ns;
    http_route *routes;
    api_route *bound; /* what the routes' `user` points to */
    size_t route_count;
    struct promql_cache *cache; /* of range queries */
    pthread_mutex_t lock;       /* of what follows */
    tail *tails;
    uint32_t tail_count;
    bool stopping;
    buf config; /* the running one, for people */
    int64_t config_ns;
    bool config_refused; /* the last one that was asked for */
};

struct api_request {
    api *api;
    const api_route *route;
    http_exchange *x;
    store *store;
    arena *arena; /* limit: options.query_memory */
    query_control control;
    int64_t started_mono_ns;
    error err; /* where a handler's failures are written */
    json_writer json;
    bool gone; /* the client is: stop writing */
};

/* ---- parameters ---- */

/* Empty when absent. */
str request_param(api_request *r, const char *name);
/* Unsigned number; false (and an answer given) when it is none. */
MUST_USE bool request_u64(api_request *r, const char *name, uint64_t fallback, uint64_t *ret);
/* Unix seconds with fraction, or RFC 3339. */
MUST_USE bool parse_time_s(str text, int64_t *ret_ns);
/* Seconds with fraction, or 1h30m. */
MUST_USE bool parse_duration_s(str text, int64_t *ret_ns);
MUST_USE bool request_time_s(api_request *r, const char *name, int64_t fallback_ns,
                             int64_t *ret_ns);
/* Shortens the request's deadline to the parameter `timeout`, when there is one. */
MUST_USE bool request_timeout(api_request *r);

/* ---- answers ---- */

/* Answers with the error in the shape of the request's API. */
void request_fail(api_request *r, status code, const char *format, ...) PRINTF_LIKE(3, 4);
/* As request_fail with r->err; `st` is what a function returned. */
void request_fail_status(api_request *r, status st);
void request_json(api_request *r); /* sets the content type and starts the writer */
/* Between elements of long lists: sends what has gathered; false when the client is gone. */
bool request_flush(api_request *r);

/* A time range wide enough for everything, for requests that name none. */
#define TIME_FIRST_NS 0
#define TIME_LAST_NS  INT64_C(4102444800000000000) /* 2100-01-01 */

#endif
