// SPDX-License-Identifier: Apache-2.0
/* What the tests of the store share: a temporary directory, small batches, and queries that return
 * what a test compares. Texts are literals or live in the batch's arena. */
#ifndef SONDE_TESTS_STORE_FIXTURE_H
#define SONDE_TESTS_STORE_FIXTURE_H

#include "base/clock.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>
#undef fail /* base/error.h has one */
#define FAIL(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define T0_NS INT64_C(1760000000000000000) /* 2025-10-09T08:53:20Z */
#define T0_MS (T0_NS / 1000000)

UNUSED static char *make_dir(void)
{
    char path[] = "/tmp/sonde-store-XXXXXX";
    assert_non_null(mkdtemp(path));
    return strdup(path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

UNUSED static void remove_dir(char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(dir);
}

UNUSED static store *open_with(store_options o)
{
    store *s = NULL;
    error err = { 0 };
    if (store_open(&s, &o, &err) != STATUS_OK)
        FAIL("store_open: %s", err.message);
    return s;
}

UNUSED static store *open_store(const char *dir)
{
    return open_with((store_options){ .dir = dir });
}

UNUSED static void seal(store *s)
{
    error err = { 0 };
    if (store_seal(s, &err) != STATUS_OK)
        FAIL("store_seal: %s", err.message);
}

UNUSED static ingest_result ingest(store *s, const batch *b)
{
    ingest_result r = { 0 };
    error err = { 0 };
    if (store_ingest(s, b, STR_EMPTY, &r, &err) != STATUS_OK)
        FAIL("store_ingest: %s", err.message);
    return r;
}

/* ---- batches ---- */

UNUSED static void add_attr(batch *b, attrs *a, const char *key, value v)
{
    attr *items = ARENA_ARRAY(&b->arena, attr, a->count + 1);
    if (a->count)
        memcpy(items, a->items, a->count * sizeof(attr));
    items[a->count] = (attr){ str_c(key), v };
    a->items = items;
    a->count++;
}

UNUSED static str text(batch *b, const char *format, ...)
{
    char out[4096];
    va_list ap;
    va_start(ap, format);
    vsnprintf(out, sizeof(out), format, ap);
    va_end(ap);
    return arena_str(&b->arena, str_c(out));
}

/* A scope under a resource with service.name. */
UNUSED static uint32_t add_service(batch *b, const char *service)
{
    uint32_t r = batch_add_resource(b);
    add_attr(b, &b->resources[r].attributes, "service.name", VALUE_S(str_c(service)));
    uint32_t s = batch_add_scope(b, r);
    b->scopes[s].name = STR("test");
    return s;
}

UNUSED static uint32_t add_log(batch *b, uint32_t scope, int64_t time_ns, uint8_t severity,
                               str message)
{
    uint32_t i = batch_add_log(b, scope);
    b->logs.time_ns[i] = time_ns;
    b->logs.severity[i] = severity;
    b->logs.body[i] = VALUE_S(message);
    return i;
}

UNUSED static trace_id trace_n(uint32_t n)
{
    trace_id id = { { 0xAB } };
    memcpy(id.bytes + 4, &n, 4);
    memcpy(id.bytes + 12, &n, 4);
    return id;
}

UNUSED static uint32_t add_span(batch *b, uint32_t scope, int64_t start_ns, int64_t duration_ns,
                                uint32_t trace, uint32_t span, const char *name)
{
    uint32_t i = batch_add_span(b, scope);
    b->spans.trace[i] = trace_n(trace);
    memcpy(b->spans.span[i].bytes, &span, 4);
    b->spans.span[i].bytes[7] = 1;
    b->spans.name[i] = str_c(name);
    b->spans.kind[i] = SPAN_KIND_SERVER;
    b->spans.start_ns[i] = start_ns;
    b->spans.end_ns[i] = start_ns + duration_ns;
    return i;
}

UNUSED static uint32_t add_gauge(batch *b, uint32_t scope, const char *name)
{
    uint32_t m = batch_add_metric(b, scope);
    b->metrics[m].type = METRIC_GAUGE;
    b->metrics[m].name = str_c(name);
    return m;
}

UNUSED static uint32_t add_point(batch *b, uint32_t metric, int64_t time_ns, double v)
{
    uint32_t i = batch_add_point(b, metric);
    b->points.time_ns[i] = time_ns;
    b->points.value[i].f64 = v;
    return i;
}

/* ---- queries ---- */

typedef struct {
    buf text; /* one line a row */
    uint64_t rows;
    int64_t last_ns;
    bool ordered;
    bool newest_first;
} collected;

static bool collect(void *user, const batch *b)
{
    collected *c = user;
    for (uint32_t i = 0; i < batch_row_count(b); i++, c->rows++) {
        bool logs = b->signal == SIGNAL_LOGS;
        int64_t t = logs ? b->logs.time_ns[i] : b->spans.start_ns[i];
        if (c->rows && (c->newest_first ? t > c->last_ns : t < c->last_ns))
            c->ordered = false;
        c->last_ns = t;
        uint32_t scope = logs ? b->logs.scope[i] : b->spans.scope[i];
        const attrs *resource = &b->resources[b->scopes[scope].resource].attributes;
        str what = logs ? b->logs.body[i].s : b->spans.name[i];
        buf_fmt(&c->text, "%.*s %lld %.*s\n", STR_ARG(attrs_get_str(resource, STR("service.name"))),
                (long long)((t - T0_NS) / 1000000), STR_ARG(what));
    }
    return true;
}

UNUSED static row_query all_rows(signal_kind signal)
{
    return (row_query){ .signal = signal, .from_ns = 0, .to_ns = INT64_MAX };
}

/* Runs the query; the caller frees text. */
UNUSED static collected run_rows(store *s, row_query q)
{
    collected c = { .ordered = true, .newest_first = q.newest_first };
    buf_init(&c.text, 0);
    error err = { 0 };
    if (store_rows(s, &q, collect, &c, &err) != STATUS_OK)
        FAIL("store_rows: %s", err.message);
    assert_true(c.ordered);
    return c;
}

UNUSED static uint64_t count_rows(store *s, row_query q)
{
    collected c = run_rows(s, q);
    buf_done(&c.text);
    return c.rows;
}

/* "{a=\"b\",…} time:value …" relative to T0, a line per series. */
UNUSED static void series_text(store *s, series_query q, buf *out)
{
    arena a;
    series_set set;
    error err = { 0 };
    arena_init(&a, MiB(256));
    if (store_series(s, &q, &a, &set, &err) != STATUS_OK)
        FAIL("store_series: %s", err.message);
    for (uint32_t i = 0; i < set.count; i++) {
        const series *x = &set.items[i];
        buf_char(out, '{');
        for (uint32_t k = 0; k < x->label_count; k++)
            buf_fmt(out, "%s%.*s=%.*s", k ? "," : "", STR_ARG(x->labels[k].name),
                    STR_ARG(x->labels[k].value));
        buf_char(out, '}');
        for (uint32_t k = 0; k < x->sample_count; k++) {
            buf_fmt(out, " %lld:", (long long)(x->time_ms[k] - T0_MS));
            buf_f64(out, x->value[k]);
        }
        buf_char(out, '\n');
    }
    arena_done(&a);
}

UNUSED static series_query all_series(void)
{
    return (series_query){ .from_ms = 0, .to_ms = INT64_MAX / 2 };
}

UNUSED static void assert_series(store *s, series_query q, const char *expected)
{
    buf out;
    buf_init(&out, 0);
    series_text(s, q, &out);
    buf_char(&out, 0);
    assert_string_equal(out.ptr, expected);
    buf_done(&out);
}

UNUSED static void assert_rows(store *s, row_query q, const char *expected)
{
    collected c = run_rows(s, q);
    buf_char(&c.text, 0);
    assert_string_equal(c.text.ptr, expected);
    buf_done(&c.text);
}

UNUSED static store_stats stats_of(store *s)
{
    store_stats st;
    store_get_stats(s, &st);
    return st;
}

#endif
