// SPDX-License-Identifier: Apache-2.0
/* The route tables of one listener, made ready for matching, with what stands in front of each
 * table, and the counts of answers per route and status code. A set never changes after it was
 * made; every request holds a reference to the one that it began with. */
#ifndef SONDE_NET_ROUTE_H
#define SONDE_NET_ROUTE_H

#include "net/policy.h"

#include <pthread.h>
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

/* Belongs to the listener, so that it goes on counting when the routes are replaced. */
typedef struct route_counter {
    struct route_counter *next;
    char *path; /* with the prefix; "" for requests without a route */
    route_code codes[ROUTE_CODES];
} route_counter;

void route_counters_free(route_counter *first);
/* Network thread. */
void route_count(route_counter *r, int code);

typedef struct {
    const http_route *row;
    void *user;
    str path; /* with the prefix; the counter's */
    unsigned methods;
    size_t literal; /* bytes of literal text: decides between several matches */
    policy *policy; /* NULL: nothing is asked */
    route_counter *counter;
} route;

typedef struct route_set {
    atomic_int refs;
    route *items;
    size_t count;
    route_counter *unmatched; /* of requests without a route */
    policy *policies;         /* one a table */
    size_t policy_count;
    void (*done)(void *user);
    void *done_user;
    struct route_set *next, **link; /* among the replaced ones; see retired_sets */
    struct retired_sets *retired;   /* NULL: in use */
} route_set;

/* Sets that no listener has any more, but requests do. */
typedef struct retired_sets {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    route_set *first;
} retired_sets;

void retired_sets_init(retired_sets *r);
void retired_sets_done(retired_sets *r);
/* False: some were left after limit_ms. */
bool retired_sets_wait(retired_sets *r, unsigned limit_ms);

typedef struct {
    route *found;     /* NULL: see `allowed` */
    unsigned allowed; /* methods of the routes whose path matches; 0: none matches, 404 */
    http_field params[ROUTE_PARAMS];
    unsigned param_count;
} route_match;

/* Counters are taken from *counters, or added in front of it; nobody else may look at the list
 * meanwhile. The result has one reference. */
MUST_USE status route_set_new(route_set **ret, const http_routes *routes, route_counter **counters,
                              error *err);
route_set *route_set_ref(route_set *set);
void route_set_unref(route_set *set);
/* Gives up a listener's reference: waited for by retired_sets_wait. */
void route_set_retire(route_set *set, retired_sets *r);
/* `path`: as sent, still encoded. Parameter values are decoded into `a`. */
route_match route_find(const route_set *set, arena *a, str method, str path);

#endif
