// SPDX-License-Identifier: Apache-2.0
/* The query APIs over HTTP: Prometheus, Loki, Jaeger and sonde's own. `sonde serve` opens one api
 * on its store and gives its routes to the listener of the query port. Handlers keep no state
 * between requests, so any number may run at once; every one has a memory limit and a deadline. */
#ifndef SONDE_API_API_H
#define SONDE_API_API_H

#include "net/http.h"
#include "settings/option.h"
#include "store/store.h"

typedef struct api api;
struct promql_cache;

typedef struct {
    store *store;
    int64_t query_timeout_ns; /* longest that one query may wait and run; 0: 30 s */
    size_t query_memory;      /* bytes that one query may use; 0: 512 MiB */
    uint64_t query_samples;   /* samples that one PromQL query may touch; 0: 50 million */
    int64_t lookback_ns;      /* how far an instant vector looks back; 0: 5 min */
    int64_t retention_ns;     /* of the store, for users to see; 0: it keeps everything */
    uint32_t tail_clients;    /* live tails at once; 0: 64 */
    uint32_t features;        /* PROMQL_… of query/promql/ast.h that are switched on */
    str config;               /* what api_set_config says, at first */
    const text_pair *flags;   /* of the command line: names without dashes, values */
    uint32_t flag_count;
    struct rules *rules;                     /* NULL: there are none */
    struct alertmanager *alertmanager;       /* NULL: there is none */
    struct alert_forwarder *alert_forwarder; /* to external Alertmanagers; NULL: there are none */
} api_options;

/* The store must outlive the api. */
MUST_USE status api_new(api **ret, const api_options *options, error *err);
/* After the HTTP server has stopped; NULL is fine. */
void api_free(api *a);

/* The route rows (path, handler, help); they live as long as the api. */
const http_route *api_routes(const api *a, size_t *ret_count);

/* The configuration that runs now, as YAML without secrets; copied. */
void api_set_config(api *a, str text);
/* Another one was asked for and refused. */
void api_config_refused(api *a);

/* Of range queries; for its counters. */
struct promql_cache *api_cache(const api *a);

/* Makes live tails end and refuses new ones: call it before the HTTP server stops. */
void api_stop(api *a);

#endif
