// SPDX-License-Identifier: Apache-2.0
/* What answers the library's own paths: one table of routes, one page per request. Handlers append
 * to the page's buffer and return the HTTP status; each may run on many threads at once. */
#ifndef SONDE_LIB_HTTP_HANDLE_H
#define SONDE_LIB_HTTP_HANDLE_H

#include "base/buf.h"
#include "sonde/http.h"

/* Where a request came in, which decides about /debug when there is no token. */
typedef enum {
    DOOR_PROGRAM,  /* sonde_http_handle: the request itself must tell */
    DOOR_LOOPBACK, /* an admin port that only this machine reaches */
    DOOR_PUBLIC    /* an admin port on another address */
} http_door;

typedef struct {
    const sonde_http_request *request;
    str query; /* still encoded, without '?' */
    str body;
    bool head; /* only the status matters: nothing dear is done for the body */
    buf *out;
    const char *content_type; /* "text/plain; charset=utf-8" until the handler says another */
    sonde_http_header headers[SONDE_HTTP_HEADERS];
} page;

/* As sonde_http_handle. */
bool http_answer(const sonde_http_request *request, http_door door, sonde_http_response *ret);

/* The error envelope (sonde/error.h) in place of what the page has: what was wrong, by the format,
 * and what would be right. Its ids are those of the current request, or those that came with this
 * one. Returns `status`. */
int page_fail(page *p, int status, const char *help, const char *format, ...) PRINTF_LIKE(4, 5);
/* An answer that is nothing but that error, for a request that reaches no page. */
void http_refuse(const sonde_http_request *request, int status, const char *help,
                 const char *message, sonde_http_response *ret);
/* Adds a header to the answer; texts must be static. */
void page_header(page *p, const char *name, const char *value);

/* ---- http_query.c: what stands behind '?' ---- */

#define QUERY_TEXT_MAX 256

/* The next key and value, decoded, cut to QUERY_TEXT_MAX - 1 bytes; false at the end. */
bool query_next(str *rest, char key[QUERY_TEXT_MAX], char value[QUERY_TEXT_MAX]);
/* The first value of that key; false when there is none. */
bool query_get(str query, const char *key, char value[QUERY_TEXT_MAX]);
/* A whole number from `least` to `most`; `initial` when absent. False when it is none: the page
 * then has status 400 and says what would be right. */
bool query_number(page *p, const char *key, uint64_t initial, uint64_t least, uint64_t most,
                  uint64_t *ret);

#endif
