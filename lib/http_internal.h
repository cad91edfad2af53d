// SPDX-License-Identifier: Apache-2.0
/* What the files of the HTTP side share: the configuration of a start, and a request. */
#ifndef SONDE_LIB_HTTP_INTERNAL_H
#define SONDE_LIB_HTTP_INTERNAL_H

#include "lib/http.h"

#include "base/str.h"
#include "sonde/metric.h"
#include "sonde/span.h"

enum {
    METHOD_SIZE = 16,
    ROUTE_SIZE = 128,
    PATH_SIZE = 512,
    QUERY_SIZE = 1024,
    CLIENT_SIZE = 64,
    HOST_SIZE = 256,
    HEADERS_SIZE = 1024,
    ACCESS_FIELDS_MAX = 16,
    KEPT_HEADERS_MAX = 12,
    HEADER_NAME_SIZE = 48,
    BODY_DEFAULT = 4096,
    BODY_MOST = 32768,
};

typedef struct {
    char key[HEADER_NAME_SIZE];
    uint8_t source; /* row of the table in http_access.c */
} http_access_field;

/* Immutable once published; earlier ones stay, because a request may still look at them. */
typedef struct http_config {
    const struct http_config *earlier;
    sonde_counter *requests;
    sonde_histogram *duration, *server_duration, *client_duration;
    bool duration_has_status, old_names, url_query, no_access_log, default_access, no_reproduce;
    bool plain_keys; /* no pattern of the user can be meant for our own keys */
    sonde_level access_level;
    int reproduce_from;
    uint32_t body_most;
    uint32_t access_field_count, kept_header_count;
    char request_id_prefix[16];
    char client_span_prefix[32];
    char access_event[64];
    char context_header[3][HEADER_NAME_SIZE]; /* lower case; "" is none */
    char kept_header[KEPT_HEADERS_MAX][HEADER_NAME_SIZE];
    bool kept_is_secret[KEPT_HEADERS_MAX]; /* kept without the value */
    int8_t kept_content_type;              /* its index; -1: not kept */
    http_access_field access_field[ACCESS_FIELDS_MAX];
} http_config;

/* Never NULL: before the first start everything is off in it. */
const http_config *http_config_now(void);

struct sonde_http {
    sonde_http *outer;
    sonde_current_ saved; /* what the thread had before */
    unsigned active;      /* the request's own context is context[active] */
    uint32_t fork_id;     /* of the process it belongs to */
    bool is_error, path_cut, query_cut, headers_cut;
    sonde_span *span;
    int64_t start_ns; /* monotonic */
    int status;       /* by sonde_http_status */
    int port;         /* of `host`; 0: not given */
    const char *known_method;
    /* For the reproduction of an error. */
    char *body; /* NULL: none, or not text */
    size_t body_len, body_total;
    size_t headers_len; /* of `headers`: name, 0, value, 0, … */
    bool body_is_text;
    char route[ROUTE_SIZE];
    /* From here on it is not zeroed, only filled. */
    char method[METHOD_SIZE]; /* as it came */
    char scheme[8];
    char version[8];
    char client[CLIENT_SIZE];
    char host[HOST_SIZE]; /* without port */
    char path[PATH_SIZE];
    char query[QUERY_SIZE];
    sonde_context context[2];
    char headers[HEADERS_SIZE];
};

typedef struct {
    int status; /* 499: the client went away */
    char status_text[16];
    const char *error_type; /* NULL: no error */
    double seconds;
} http_outcome;

/* A name of our own for the method; any unknown one is "_OTHER", so that senders make no series. */
const char *http_known_method(const char *method);
/* Spares the search for secrets in keys of our own; not for keys made of names from outside. */
void http_plain_keys(const http_config *c, sonde_attr *attrs, size_t count);
/* "shop.example:8080", "[::1]:80": the host to `ret`, the port or 0 returned. */
int http_split_host(str text, char *ret, size_t size);
/* Appends for each attribute that has an older name a copy under it; `room` is the array's size.
 * Returns the new count. */
size_t http_add_old_names(sonde_attr *attrs, size_t count, size_t room, bool client);

void http_metrics_make(http_config *c, const sonde_http_options *o);
void http_metrics_record(const http_config *c, const sonde_http *x, const http_outcome *end);

void http_access_parse(http_config *c, const sonde_http_options *o);
void http_access_log(const http_config *c, const sonde_http *x, const http_outcome *end);

void http_keep_parse(http_config *c, const sonde_http_options *o);
void http_keep(const http_config *c, sonde_http *x, const sonde_http_request *request);
void http_keep_body(const http_config *c, sonde_http *x, const void *bytes, size_t len);
/* The kept request as the event sonde.request of the request's span. */
void http_keep_record(const sonde_http *x, int status);

#endif
