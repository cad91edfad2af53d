// SPDX-License-Identifier: Apache-2.0
/* The route tables of one listener, made ready for matching, and the count of answers per route and
 * status code. Built before the server starts, then read by all; the counts are atomic. */
#ifndef SONDE_NET_ROUTE_H
#define SONDE_NET_ROUTE_H

#include "net/server.h"

#include <stdatomic.h>

enum { ROUTE_PARAMS = 8, ROUTE_CODES = 16 };

typedef struct {
    str name, value;
} http_field;

/* The methods that a route can have; HEAD is answered wherever GET is. */
typedef enum {
    METHOD_GET = 1,
    METHOD_HEAD = 2,
    METHOD_POST = 4,
    METHOD_PUT = 8,
    METHOD_DELETE = 16,
    METHOD_PATCH = 32,
    METHOD_OPTIONS = 64
} method_bit;

unsigned method_from_name(str name);          /* 0: another */
str method_names(arena *a, unsigned methods); /* "GET, HEAD" for Allow */

typedef struct {
    atomic_int code; /* 0: free */
    atomic_uint_fast64_t count;
} route_code;

typedef struct {
    const http_route *row; /* NULL: the answers of requests that matched no route */
    void *user;
    unsigned methods;
    size_t literal; /* bytes of literal text: decides between several matches */
    route_code codes[ROUTE_CODES];
} route;

typedef struct {
    route *items; /* the last one is that of requests without a route */
    size_t count; /* without it */
} route_set;

typedef struct {
    route *found;     /* NULL: see `allowed` */
    unsigned allowed; /* methods of the routes whose path matches; 0: none matches, 404 */
    http_field params[ROUTE_PARAMS];
    unsigned param_count;
} route_match;

MUST_USE status route_set_init(route_set *set, const http_route_table *tables, size_t count,
                               error *err);
void route_set_done(route_set *set);
/* `path`: as sent, still encoded. Parameter values are decoded into `a`. */
route_match route_find(const route_set *set, arena *a, str method, str path);
void route_count(route *r, int code);

#endif
