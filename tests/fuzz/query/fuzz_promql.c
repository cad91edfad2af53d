// SPDX-License-Identifier: Apache-2.0
/* PromQL: what parses, prints as something that parses and prints the same again; and it evaluates
 * over a small store without harm, within its limits; a range query has at each step what an
 * instant query at that time has. */
#include "fuzz/fuzz.h"

#include "query/promql/promql.h"
#include "unit/query/fake_store.h"

#include <math.h>

enum { START_MS = 60000, END_MS = 240000, STEP_MS = 30000, STEPS = 7 };

/* Of a counter that restarts, at times that are not regular. */
static void add_uneven(store *s)
{
    const label l[] = { { STR("__name__"), STR("c") } };
    int64_t times[40];
    double v[40];
    for (int k = 0; k < 40; k++) {
        times[k] = k * 7000 + k % 3 * 1000;
        v[k] = k % 11 * 1.5 - (k > 30);
    }
    fake_add_samples(s, (labels){ l, 1 }, times, v, 40);
}

static store *some_series(void)
{
    static const char *const names[] = { "a", "b_bucket" };
    store *s = fake_store_new();
    add_uneven(s);
    for (size_t n = 0; n < ARRAY_LEN(names); n++) {
        for (int i = 0; i < 3; i++) {
            char le[8];
            snprintf(le, sizeof(le), i == 2 ? "+Inf" : "%d", i);
            label l[] = { { STR("__name__"), str_c(names[n]) }, { STR("le"), str_c(le) } };
            int64_t times[20];
            double v[20];
            for (int k = 0; k < 20; k++) {
                times[k] = k * 15000;
                v[k] = k % 7 ? k * (i + 1) : (double)NAN;
            }
            fake_add_samples(s, (labels){ l, 2 }, times, v, 20);
        }
    }
    return s;
}

static void print(const promql_node *n, buf *out)
{
    buf_init(out, MiB(4));
    promql_print(out, n);
    FUZZ_CHECK(!out->failed);
}

/* The tree printed, read and printed again is the same text. */
static void print_again(str text, str want, uint32_t features, arena *a)
{
    const promql_node *n;
    error err;
    buf again;
    FUZZ_CHECK(promql_parse(&n, text, features, a, &err) == STATUS_OK);
    print(n, &again);
    FUZZ_CHECK(str_eq(buf_view(&again), want));
    buf_done(&again);
}

static void print_all_ways(const promql_node *n, uint32_t features, arena *a)
{
    buf line, lines, tree;
    print(n, &line);
    print_again(buf_view(&line), buf_view(&line), features, a);
    buf_init(&lines, MiB(4));
    promql_print_pretty(&lines, n);
    FUZZ_CHECK(!lines.failed);
    if (buf_view(&lines).len <= PROMQL_QUERY_LIMIT) /* indents may make it too long */
        print_again(buf_view(&lines), buf_view(&line), features, a);
    buf_init(&tree, MiB(16));
    promql_print_json(&tree, n);
    FUZZ_CHECK(!tree.failed);
    buf_done(&tree);
    buf_done(&lines);
    buf_done(&line);
}

/* Whether the query may ask for its own range. */
static bool knows_range(str query, arena *a)
{
    static const str words[] = { STR_INIT("start"), STR_INIT("end"), STR_INIT("step"),
                                 STR_INIT("range") };
    char *lower = arena_alloc(a, query.len + 1);
    bool found = !lower;
    for (size_t i = 0; lower && i < query.len; i++)
        lower[i] = (char)(query.ptr[i] | 0x20);
    for (size_t i = 0; lower && i < ARRAY_LEN(words); i++)
        found |= str_contains(str_n(lower, query.len), words[i]);
    return found;
}

static uint32_t points_at(const promql_result *r, int64_t time_ms)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->count; i++)
        for (uint32_t k = 0; k < r->series[i].count; k++)
            n += r->series[i].time_ms[k] == time_ms;
    return n;
}

static bool has_point(const promql_result *r, const promql_series *one, int64_t time_ms)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const promql_series *s = &r->series[i];
        for (uint32_t k = 0; labels_eq(s->labels, one->labels) && k < s->count; k++)
            if (s->time_ms[k] == time_ms)
                return (s->histograms && s->histograms[k]) ||
                       memcmp(&s->value[k], one->value, sizeof(double)) == 0 ||
                       (isnan(s->value[k]) && isnan(*one->value));
    }
    return false;
}

static void check_steps(store *s, const promql_node *n, str query, promql_options o,
                        const promql_result *range, arena *a)
{
    for (int64_t at = START_MS; at <= END_MS; at += STEP_MS) {
        promql_result r;
        error err;
        o.start_ms = o.end_ms = at;
        status st = promql_instant(s, n, query, &o, a, &r, &err);
        FUZZ_CHECK(st == STATUS_OK || st == STATUS_LIMIT || a->used > MiB(16));
        if (st != STATUS_OK)
            return;
        FUZZ_CHECK(points_at(range, at) == r.count);
        for (uint32_t i = 0; i < r.count; i++)
            FUZZ_CHECK(has_point(range, &r.series[i], at));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str query = str_n(data, size);
    const promql_node *n;
    promql_result r;
    /* Everything that --enable-feature has; names of every script only now and then. */
    uint32_t features = UINT32_MAX & ~(size % 4 ? (uint32_t)PROMQL_UNQUOTED_UTF8_NAMES : 0);
    error err;
    arena a;
    arena_init(&a, MiB(32));
    if (size > KiB(4) || promql_parse(&n, query, features, &a, &err) != STATUS_OK) {
        arena_done(&a);
        return 0;
    }
    print_all_ways(n, features, &a);
    store *s = some_series();
    promql_options o = { .start_ms = START_MS,
                         .end_ms = END_MS,
                         .step_ms = STEP_MS,
                         .sample_limit = 20000,
                         .features = features };
    if (promql_range_query(s, n, query, &o, &a, &r, &err) == STATUS_OK) {
        for (uint32_t i = 0; i < r.count; i++)
            FUZZ_CHECK(r.series[i].count > 0 && r.series[i].count <= STEPS);
        if (!knows_range(query, &a))
            check_steps(s, n, query, o, &r, &a);
    }
    o.end_ms = o.start_ms;
    (void)!promql_instant(s, n, query, &o, &a, &r, &err);
    fake_store_free(s);
    arena_done(&a);
    return 0;
}
