// SPDX-License-Identifier: Apache-2.0
/* Results of range queries over time that is past: a query that comes again, later by some steps,
 * evaluates the new steps only. Exact: the store tells whether rows came or went since (store.h,
 * store_changed_since), and then the query is evaluated. Bounded in bytes, the longest unused goes.
 * Any thread.
 *
 * The API calls promql_cached_range where it would call promql_range_query, with NULL for the cache
 * when the request says nocache=1. */
#ifndef SONDE_QUERY_PROMQL_CACHE_H
#define SONDE_QUERY_PROMQL_CACHE_H

#include "query/promql/promql.h"

typedef struct promql_cache promql_cache;

/* limit: bytes; 0: 64 MiB. */
MUST_USE status promql_cache_new(promql_cache **ret, size_t limit, error *err);
void promql_cache_free(promql_cache *c); /* NULL is fine; no query may be under way */

/* As promql_range_query. Not cached: what has start(), end(), range() or step() in it and is not
 * bound yet, info(), results with notes that count over the whole range or with more notes than are
 * kept, and the steps of the last minutes, whose rows may still come. */
MUST_USE status promql_cached_range(promql_cache *c, store *s, const promql_node *query, str text,
                                    const promql_options *options, arena *a, promql_result *ret,
                                    error *err);

typedef struct {
    uint64_t hits;      /* some steps were there */
    uint64_t partial;   /* of these: some others had to be evaluated */
    uint64_t misses;    /* all were evaluated, of queries that may be cached */
    uint64_t stale;     /* of these: rows had come or gone */
    uint64_t evictions; /* entries that made room for others */
    size_t bytes;
    uint32_t entries;
} promql_cache_stats;
void promql_cache_get_stats(promql_cache *c, promql_cache_stats *ret);

#endif
