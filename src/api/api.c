// SPDX-License-Identifier: Apache-2.0
/* Joins the tables of all APIs into the routes of one listener, and runs a request: memory,
 * deadline, handler, and everything freed after it. */
#include "api/api.h"

#include "api/request.h"
#include "api/tail.h"
#include "base/clock.h"
#include "query/promql/cache.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_QUERY_TIMEOUT_NS (30 * NS_PER_S)
#define DEFAULT_TAIL_CLIENTS     64
#define FLUSH_BYTES              KiB(128)

static const api_table *const tables[] = { &prometheus_api, &loki_api, &jaeger_api, &sonde_api,
                                           &alertmanager_api };

static void run(http_exchange *x, void *user)
{
    const api_route *route = user;
    arena memory;
    arena_init(&memory, route->api->options.query_memory);
    api_request r = {
        .api = route->api,
        .route = route,
        .x = x,
        .store = route->api->options.store,
        .arena = &memory,
        .started_mono_ns = clock_mono_ns(),
        .control = { .deadline_mono_ns =
                         http_begun_mono_ns(x) + route->api->options.query_timeout_ns,
                     .canceled = http_canceled(x) },
        .json = json_write(http_out(x)),
    };
    route->row->handler(&r);
    arena_done(&memory);
}

static void bind(api *a)
{
    size_t n = 0;
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (size_t i = 0; i < tables[t]->count; i++, n++) {
            const api_row *row = &tables[t]->rows[i];
            a->bound[n] = (api_route){ a, row, tables[t] };
            a->routes[n] = (http_route){ .method = row->method,
                                         .path = row->path,
                                         .handler = run,
                                         .user = &a->bound[n],
                                         .pool = POOL_QUERY,
                                         .help = row->help };
        }
    }
    a->route_count = n;
}

status api_new(api **ret, const api_options *options, error *err)
{
    size_t count = 0;
    for (size_t t = 0; t < ARRAY_LEN(tables); t++)
        count += tables[t]->count;
    api *a = calloc(1, sizeof(*a));
    http_route *routes = calloc(count, sizeof(*routes));
    api_route *bound = calloc(count, sizeof(*bound));
    if (!a || !routes || !bound) {
        free(a);
        free(routes);
        free(bound);
        return fail(err, STATUS_NO_MEMORY, "no memory for the query API");
    }
    a->options = *options;
    if (!a->options.query_timeout_ns)
        a->options.query_timeout_ns = DEFAULT_QUERY_TIMEOUT_NS;
    if (!a->options.query_memory)
        a->options.query_memory = MiB(512);
    if (!a->options.tail_clients)
        a->options.tail_clients = DEFAULT_TAIL_CLIENTS;
    a->started_ns = clock_now_ns();
    a->routes = routes;
    a->bound = bound;
    status st = promql_cache_new(&a->cache, 0, err);
    if (st != STATUS_OK) {
        free(a);
        free(routes);
        free(bound);
        return st;
    }
    pthread_mutex_init(&a->lock, NULL);
    bind(a);
    api_set_config(a, options->config);
    *ret = a;
    return STATUS_OK;
}

const http_route *api_routes(const api *a, size_t *ret_count)
{
    *ret_count = a->route_count;
    return a->routes;
}

void api_set_config(api *a, str text)
{
    pthread_mutex_lock(&a->lock);
    buf_done(&a->config);
    buf_init(&a->config, text.len);
    buf_str(&a->config, text);
    a->config_ns = clock_now_ns();
    a->config_refused = false;
    pthread_mutex_unlock(&a->lock);
}

void api_config_refused(api *a)
{
    pthread_mutex_lock(&a->lock);
    a->config_refused = true;
    pthread_mutex_unlock(&a->lock);
}

struct promql_cache *api_cache(const api *a)
{
    return a->cache;
}

void api_stop(api *a)
{
    tail_stop_all(a);
}

void api_free(api *a)
{
    if (!a)
        return;
    tail_stop_all(a);
    pthread_mutex_destroy(&a->lock);
    promql_cache_free(a->cache);
    buf_done(&a->config);
    free(a->routes);
    free(a->bound);
    free(a);
}

/* ---- parameters ---- */

str request_param(api_request *r, const char *name)
{
    return http_param(r->x, name, 0, NULL);
}

bool request_u64(api_request *r, const char *name, uint64_t fallback, uint64_t *ret)
{
    str text = request_param(r, name);
    *ret = fallback;
    if (text.len && !str_to_u64(text, ret)) {
        request_fail(r, STATUS_INVALID,
                     "invalid parameter \"%s\": \"%.*s\" is not a number of at least 0", name,
                     STR_ARG(str_slice(text, 0, 80)));
        return false;
    }
    return true;
}

bool parse_time_s(str text, int64_t *ret_ns)
{
    double seconds;
    int64_t whole;
    if (str_to_i64(text, &whole) && whole > -9000000000 && whole < 9000000000) {
        *ret_ns = whole * NS_PER_S;
        return true;
    }
    if (str_to_f64(text, &seconds) && seconds > -9e9 && seconds < 9e9) {
        /* To milliseconds, as Prometheus has them: more digits than a double holds mean nothing. */
        double ms = seconds * 1000;
        *ret_ns = (int64_t)(ms < 0 ? ms - 0.5 : ms + 0.5) * NS_PER_MS;
        return true;
    }
    return clock_parse_rfc3339(text, ret_ns);
}

bool parse_duration_s(str text, int64_t *ret_ns)
{
    double seconds;
    if (str_to_f64(text, &seconds) && seconds > -9e9 && seconds < 9e9) {
        *ret_ns = (int64_t)(seconds * 1e9 + (seconds < 0 ? -0.5 : 0.5));
        return true;
    }
    return clock_parse_duration(text, ret_ns);
}

bool request_time_s(api_request *r, const char *name, int64_t fallback_ns, int64_t *ret_ns)
{
    str text = request_param(r, name);
    *ret_ns = fallback_ns;
    if (text.len && !parse_time_s(text, ret_ns)) {
        request_fail(
            r, STATUS_INVALID,
            "invalid parameter \"%s\": invalid time value for '%s': cannot parse \"%.*s\" to "
            "a valid timestamp",
            name, name, STR_ARG(str_slice(text, 0, 80)));
        return false;
    }
    return true;
}

bool request_timeout(api_request *r)
{
    str text = request_param(r, "timeout");
    int64_t ns;
    if (!text.len)
        return true;
    if (!parse_duration_s(text, &ns) || ns <= 0) {
        request_fail(r, STATUS_INVALID,
                     "invalid parameter \"timeout\": cannot parse \"%.*s\" to a valid duration",
                     STR_ARG(str_slice(text, 0, 80)));
        return false;
    }
    r->control.deadline_mono_ns = MIN(r->control.deadline_mono_ns, http_begun_mono_ns(r->x) + ns);
    return true;
}

/* ---- answers ---- */

void request_fail(api_request *r, status code, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    buf_clear(http_out(r->x));
    r->json = json_write(http_out(r->x));
    r->route->table->show_error(r, code, message);
}

void request_fail_status(api_request *r, status st)
{
    request_fail(r, st, "%s", r->err.message);
}

void request_json(api_request *r)
{
    http_set_header(r->x, "Content-Type", STR("application/json"));
    r->json = json_write(http_out(r->x));
}

bool request_flush(api_request *r)
{
    if (!r->gone && http_out(r->x)->len >= FLUSH_BYTES)
        r->gone = !http_flush(r->x);
    return !r->gone;
}
