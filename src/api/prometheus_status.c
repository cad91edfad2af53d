// SPDX-License-Identifier: Apache-2.0
/* /api/v1/status/…: what the server is, what limits it has and which labels have many values. */
#include "api/prometheus.h"

#include "base/clock.h"
#include "net/server.h"
#include "query/promql/print.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Clients choose their features by `version`; it names the Prometheus whose API this is. */
void prometheus_build_info(api_request *r)
{
    prometheus_begin(r);
    json_begin_object(&r->json);
    JSON_PUT(&r->json, str, "version", STR("3.0.0"));
    JSON_PUT(&r->json, str, "revision", STR(""));
    JSON_PUT(&r->json, str, "branch", STR(""));
    JSON_PUT(&r->json, str, "buildUser", STR(""));
    JSON_PUT(&r->json, str, "buildDate", STR(""));
    JSON_PUT(&r->json, str, "goVersion", STR(""));
    JSON_PUT(&r->json, str, "application", STR("sonde"));
    JSON_PUT(&r->json, str, "applicationVersion", STR(SONDE_VERSION));
    json_end_object(&r->json);
    prometheus_end(r);
}

static void put_time(json_writer *w, str key, int64_t time_ns)
{
    buf text;
    buf_init(&text, 64);
    clock_format_rfc3339(&text, time_ns, 3);
    json_key(w, key);
    json_str(w, buf_view(&text));
    buf_done(&text);
}

/* The folder has a link for itself and one from the folder above, and one for each thread. */
static int64_t thread_count(void)
{
    struct stat tasks;
    return stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink > 2 ? (int64_t)tasks.st_nlink - 2
                                                                      : 0;
}

/* Empty where everything is kept. */
static void put_retention(json_writer *w, int64_t ns)
{
    buf text;
    buf_init(&text, 64);
    if (ns > 0)
        promql_print_milliseconds(&text, ns / NS_PER_MS);
    JSON_PUT(w, str, "storageRetention", buf_view(&text));
    buf_done(&text);
}

void prometheus_runtime_info(api_request *r)
{
    store_stats stats;
    char folder[512], host[256] = "";
    json_writer *w = &r->json;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    store_get_stats(r->store, &stats);
    pthread_mutex_lock(&r->api->lock);
    bool refused = r->api->config_refused;
    int64_t config_ns = r->api->config_ns;
    pthread_mutex_unlock(&r->api->lock);
    if (gethostname(host, sizeof(host) - 1) != 0)
        host[0] = '\0';
    prometheus_begin(r);
    json_begin_object(w);
    put_time(w, STR("startTime"), r->api->started_ns);
    JSON_PUT(w, str, "CWD", getcwd(folder, sizeof(folder)) ? str_c(folder) : STR(""));
    JSON_PUT(w, str, "hostname", str_c(host));
    put_time(w, STR("serverTime"), clock_now_ns());
    JSON_PUT(w, bool, "reloadConfigSuccess", !refused);
    put_time(w, STR("lastConfigTime"), config_ns);
    JSON_PUT(w, u64, "timeSeriesCount", stats.series);
    JSON_PUT(w, u64, "corruptionCount", stats.corrupt_parts);
    JSON_PUT(w, i64, "goroutineCount", thread_count());
    JSON_PUT(w, i64, "GOMAXPROCS", cores);
    JSON_PUT(w, i64, "GOMEMLIMIT", 0);
    JSON_PUT(w, str, "GOGC", STR(""));
    JSON_PUT(w, str, "GODEBUG", STR(""));
    put_retention(w, r->api->options.retention_ns);
    json_end_object(w);
    prometheus_end(r);
}

static void put_number(json_writer *w, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    json_key(w, str_c(name));
    json_str(w, str_c(text));
}

static void put_duration(json_writer *w, const char *name, int64_t ns)
{
    buf text;
    buf_init(&text, 64);
    clock_format_duration(&text, ns);
    json_key(w, str_c(name));
    json_str(w, buf_view(&text));
    buf_done(&text);
}

/* Those of the command line, and the limits of queries by Prometheus's names, which clients look
 * for. */
void prometheus_flags(api_request *r)
{
    json_writer *w = &r->json;
    const api_options *o = &r->api->options;
    prometheus_begin(r);
    json_begin_object(w);
    put_duration(w, "query.lookback-delta", o->lookback_ns ? o->lookback_ns : 300 * NS_PER_S);
    put_duration(w, "query.timeout", o->query_timeout_ns);
    put_number(w, "query.max-samples", o->query_samples ? o->query_samples : 50000000);
    put_number(w, "query.max-concurrency", HTTP_QUERY_THREADS);
    put_number(w, "query.max-memory", o->query_memory);
    for (uint32_t i = 0; i < o->flag_count; i++) {
        json_key(w, o->flags[i].name);
        json_str(w, o->flags[i].value);
    }
    json_end_object(w);
    prometheus_end(r);
}

void prometheus_config(api_request *r)
{
    prometheus_begin(r);
    json_begin_object(&r->json);
    pthread_mutex_lock(&r->api->lock);
    JSON_PUT(&r->json, str, "yaml", buf_view(&r->api->config));
    pthread_mutex_unlock(&r->api->lock);
    json_end_object(&r->json);
    prometheus_end(r);
}

void prometheus_replay(api_request *r)
{
    prometheus_begin(r);
    json_begin_object(&r->json);
    JSON_PUT(&r->json, u64, "min", 0);
    JSON_PUT(&r->json, u64, "max", 0);
    JSON_PUT(&r->json, u64, "current", 0);
    json_end_object(&r->json);
    prometheus_end(r);
}

/* ---- cardinality ---- */

typedef struct {
    str name;
    uint64_t value;
} tally;

typedef struct {
    tally *items;
    uint32_t count;
} tallies;

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const tally *)a)->name, ((const tally *)b)->name);
}

static int by_value(const void *a, const void *b)
{
    const tally *x = a, *y = b;
    return x->value == y->value ? by_name(a, b) : x->value < y->value ? 1 : -1;
}

/* Equal names become one with the sum of the values; the largest stand first. */
static void gather(tallies *t)
{
    uint32_t n = 0;
    qsort(t->items, t->count, sizeof(tally), by_name);
    for (uint32_t i = 0; i < t->count; i++) {
        if (n && str_eq(t->items[n - 1].name, t->items[i].name))
            t->items[n - 1].value += t->items[i].value;
        else
            t->items[n++] = t->items[i];
    }
    t->count = n;
    qsort(t->items, t->count, sizeof(tally), by_value);
}

static void put_tallies(json_writer *w, str key, const tallies *t, uint64_t limit)
{
    json_key(w, key);
    json_begin_array(w);
    for (uint32_t i = 0; i < t->count && i < limit; i++) {
        json_begin_object(w);
        JSON_PUT(w, str, "name", t->items[i].name);
        JSON_PUT(w, u64, "value", t->items[i].value);
        json_end_object(w);
    }
    json_end_array(w);
}

typedef struct {
    uint64_t series, pairs;
    tallies metrics, by_pair, values, bytes;
} cardinality;

/* Each label of each series, as "name=value". */
static status count_pairs(api_request *r, const series_set *set, cardinality *c)
{
    size_t total = 0;
    for (uint32_t i = 0; i < set->count; i++)
        total += set->items[i].label_count;
    c->by_pair.items = ARENA_ARRAY(r->arena, tally, total + 1);
    c->metrics.items = ARENA_ARRAY(r->arena, tally, set->count + 1u);
    if (!c->by_pair.items || !c->metrics.items)
        return fail(&r->err, STATUS_LIMIT, "too many series for the query's memory limit");
    for (uint32_t i = 0; i < set->count; i++) {
        for (uint32_t k = 0; k < set->items[i].label_count; k++) {
            const label *l = &set->items[i].labels[k];
            str pair = arena_fmt(r->arena, "%.*s=%.*s", STR_ARG(l->name), STR_ARG(l->value));
            if (!pair.ptr)
                return fail(&r->err, STATUS_LIMIT, "too many series for the query's memory limit");
            c->by_pair.items[c->by_pair.count++] = (tally){ pair, 1 };
            if (str_is(l->name, "__name__"))
                c->metrics.items[c->metrics.count++] = (tally){ l->value, 1 };
        }
    }
    gather(&c->metrics);
    gather(&c->by_pair);
    return STATUS_OK;
}

/* Of the distinct pairs: how many values a label has, and their bytes. */
static status count_values(api_request *r, cardinality *c)
{
    c->pairs = c->by_pair.count;
    c->values.items = ARENA_ARRAY(r->arena, tally, c->by_pair.count + 1u);
    c->bytes.items = ARENA_ARRAY(r->arena, tally, c->by_pair.count + 1u);
    if (!c->values.items || !c->bytes.items)
        return fail(&r->err, STATUS_LIMIT, "too many series for the query's memory limit");
    for (uint32_t i = 0; i < c->by_pair.count; i++) {
        str pair = c->by_pair.items[i].name;
        size_t equals = str_find_char(pair, '=');
        str name = str_slice(pair, 0, equals);
        c->values.items[c->values.count++] = (tally){ name, 1 };
        c->bytes.items[c->bytes.count++] = (tally){ name, pair.len - equals - 1 };
    }
    gather(&c->values);
    gather(&c->bytes);
    return STATUS_OK;
}

#define TSDB_LIMIT 10000

void prometheus_tsdb(api_request *r)
{
    int64_t limit = 10;
    series_set set;
    cardinality c = { 0 };
    str asked = request_param(r, "limit");
    if (asked.len && !str_to_i64(asked, &limit))
        limit = 0;
    if (limit < 1 || limit > TSDB_LIMIT) {
        request_fail(r, STATUS_INVALID, "limit must %s",
                     limit < 1 ? "be a positive number" : "not exceed 10000");
        return;
    }
    series_query q = { .from_ms = clock_now_ns() / NS_PER_MS - INT64_C(7200000),
                       .to_ms = TIME_LAST_NS / NS_PER_MS,
                       .labels_only = true,
                       .control = &r->control };
    status st = store_series(r->store, &q, r->arena, &set, &r->err);
    if (st == STATUS_OK)
        st = count_pairs(r, &set, &c);
    if (st == STATUS_OK)
        st = count_values(r, &c);
    if (st != STATUS_OK) {
        request_fail_status(r, st);
        return;
    }
    json_writer *w = &r->json;
    prometheus_begin(r);
    json_begin_object(w);
    json_key(w, STR("headStats"));
    json_begin_object(w);
    JSON_PUT(w, u64, "numSeries", set.count);
    JSON_PUT(w, u64, "numLabelPairs", c.pairs);
    JSON_PUT(w, u64, "chunkCount", 0);
    JSON_PUT(w, i64, "minTime", q.from_ms);
    JSON_PUT(w, i64, "maxTime", clock_now_ns() / NS_PER_MS);
    json_end_object(w);
    put_tallies(w, STR("seriesCountByMetricName"), &c.metrics, limit);
    put_tallies(w, STR("labelValueCountByLabelName"), &c.values, limit);
    put_tallies(w, STR("memoryInBytesByLabelName"), &c.bytes, limit);
    put_tallies(w, STR("seriesCountByLabelValuePair"), &c.by_pair, limit);
    json_end_object(w);
    prometheus_end(r);
}
