// SPDX-License-Identifier: Apache-2.0
/* A small HTTP server on libmicrohttpd, observed by libsonde: each request is a server span with
 * X-Request-ID, RED metrics and an access log line; /metrics and the health paths are libsonde's.
 * Handlers run on a pool of threads. A path that exists for other methods answers 405 and names
 * them (HEAD is there where GET is), a body of more than 1 MiB 413. */
#ifndef EXAMPLES_COMMON_WEB_SERVER_H
#define EXAMPLES_COMMON_WEB_SERVER_H

#include <jansson.h>
#include <sonde/sonde.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct web_server web_server;
typedef struct web_request web_request;

typedef void web_handler(web_request *r, void *user);

/* One row of the route table: in "/v1/images/{id}" and "/v1/images/{id}/cancel" {id} is one
 * segment.
 */
typedef struct {
    const char *method;
    const char *path;
    web_handler *handler;
} web_route;

/* Listens on BIND_ADDRESS (127.0.0.1), port `port`. `routes` must live as long as the server. NULL
 * after a message on stderr. */
web_server *web_server_start(uint16_t port, unsigned threads, const web_route *routes, size_t count,
                             void *user);
/* Finishes what runs. */
void web_server_stop(web_server *s);
/* Call before web_server_start: this path of libsonde ("/metrics") is none of the server's. `path`
 * is static; at most 4. */
void web_server_hide(const char *path);

/* NULL when absent. */
const char *web_header(const web_request *r, const char *name);
/* The segment that stood for {…}; "" when the route has none. */
const char *web_segment(const web_request *r);
/* The value of a parameter in the query string; NULL when absent. */
const char *web_query(const web_request *r, const char *name);
/* The body as JSON; NULL when it is none. To be released by json_decref. */
json_t *web_body(const web_request *r);
/* Why web_body gave NULL: "there is no body", or what is wrong with it, and at which line and
 * column. */
typedef struct {
    char text[224];
} web_problem;
web_problem web_body_problem(const web_request *r);

/* Answers with JSON; takes the reference. Every handler answers once. */
void web_answer(web_request *r, int status, json_t *body);
/* The error envelope (sonde/error.h): {"error":{"code","message","request_id","trace_id",…}}. */
void web_fail(web_request *r, int status, const char *code, const char *message);
/* Answers with a response of libmicrohttpd that the handler made, and takes it. An upgrade (101)
 * ends the request: what goes on over its socket is no part of it. */
struct MHD_Response;
void web_answer_with(web_request *r, int status, struct MHD_Response *response);
/* The same with details and help; a status of 0 is that of the code. */
void web_fail_with(web_request *r, const sonde_error *e);

#endif
