// SPDX-License-Identifier: Apache-2.0
/* Results of queries as JSON: random ones beside what a simple printer makes of them. */
#include "unit/api/api_support.h"

#include "api/prometheus.h"
#include "base/number_text.h"
#include "query/promql/histogram.h"

#include <math.h>

#define STEP_MS 15000

static arena memory;
static uint64_t seed;

static uint64_t next(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % below;
}

/* ---- random results ---- */

static double some_value(double before)
{
    static const double special[] = { 0,      -0.0,    NAN,    INFINITY, -INFINITY, 5e-324,
                                      1e-310, 1e15,    -1e300, 1e-300,   1e15 + 2,  1e21,
                                      0.1,    1.0 / 3, -1,     1e85,     -1e-53 };
    double v;
    uint64_t bits;
    switch (next(5)) {
    case 0:
        return special[next(ARRAY_LEN(special))];
    case 1:
        return before;
    case 2:
        return (double)next(1000000) / 64;
    case 3:
        bits = next(UINT64_MAX);
        memcpy(&v, &bits, sizeof(v));
        return v;
    default:
        return (double)(int64_t)next(1000) - 500;
    }
}

static labels some_labels(void)
{
    static const char *const texts[] = { "a",
                                         "node-17:9100",
                                         "say \"no\"\n",
                                         "caf\xc3\xa9\\",
                                         "\xff",
                                         "a value that is longer than the others are" };
    static const char *const names[] = { "__name__", "cpu", "instance", "job" };
    uint32_t count = (uint32_t)next(ARRAY_LEN(names) + 1);
    label *items = arena_alloc(&memory, (count + 1) * sizeof(label));
    for (uint32_t i = 0; i < count; i++)
        items[i] = (label){ str_c(names[i]), str_c(texts[next(ARRAY_LEN(texts))]) };
    return (labels){ items, count };
}

static const histogram *some_histogram(void)
{
    static const native_span spans[] = { { -1, 2 }, { 3, 1 } };
    double *counts = arena_alloc(&memory, 3 * sizeof(double));
    histogram *h = arena_alloc(&memory, sizeof(*h));
    for (int i = 0; i < 3; i++)
        counts[i] = (double)next(3) / 2;
    *h = (histogram){ .zero_threshold = 0.001,
                      .zero_count = (double)next(3),
                      .count = (double)next(1000),
                      .sum = some_value(0),
                      .positive = { spans, counts, 2, 3 } };
    if (next(2))
        h->negative = h->positive;
    return h;
}

/* Points at some of the steps, or at any times. */
static promql_series some_series(const promql_options *o, bool instant, uint32_t most)
{
    promql_series s = { .labels = some_labels() };
    int64_t *times = arena_alloc(&memory, most * sizeof(int64_t));
    double *values = arena_alloc(&memory, most * sizeof(double)), v = 1;
    const histogram **histograms = arena_alloc(&memory, most * sizeof(*histograms));
    bool steps = next(4) > 0, mixed = next(8) == 0, full = next(2);
    int64_t t = o->start_ms + (steps || instant ? 0 : (int64_t)next(900));
    for (uint32_t i = 0; i < most; i++, t += steps ? STEP_MS : 1 + (int64_t)next(1500)) {
        if (!full && !instant && next(3) == 0)
            continue;
        times[s.count] = t;
        histograms[s.count] = mixed && next(2) ? some_histogram() : NULL;
        values[s.count++] = v = some_value(v);
    }
    s.time_ms = times;
    s.value = values;
    s.histograms = mixed ? histograms : NULL;
    return s;
}

/* ---- the simple printer ---- */

static void put_number(buf *out, double v)
{
    char text[NUMBER_ROOM];
    buf_char(out, '"');
    buf_add(out, text, f64_sample_text(text, v));
    buf_char(out, '"');
}

static void put_time(buf *out, int64_t ms)
{
    buf_str(out, ms < 0 ? STR("-") : STR(""));
    ms = ms < 0 ? -ms : ms;
    buf_fmt(out, "%lld", (long long)(ms / 1000));
    if (ms % 1000)
        buf_fmt(out, ".%03d", (int)(ms % 1000));
}

static void put_histogram(buf *out, const histogram *h)
{
    histogram_buckets all;
    histogram_bucket b;
    bool any = false;
    buf_lit(out, "{\"count\":");
    put_number(out, h->count);
    buf_lit(out, ",\"sum\":");
    put_number(out, h->sum);
    histogram_buckets_start(&all, h, false);
    while (histogram_buckets_next(&all, &b)) {
        if (b.count == 0)
            continue;
        buf_fmt(out, "%s[%d,", any ? "," : ",\"buckets\":[", histogram_boundary_rule(&b));
        any = true;
        put_number(out, b.lower);
        buf_char(out, ',');
        put_number(out, b.upper);
        buf_char(out, ',');
        put_number(out, b.count);
        buf_char(out, ']');
    }
    buf_str(out, any ? STR("]}") : STR("}"));
}

static void put_points(buf *out, const promql_series *s, bool histograms, const char *key,
                       bool matrix)
{
    bool open = false;
    for (uint32_t k = 0; k < s->count; k++) {
        const histogram *h = s->histograms ? s->histograms[k] : NULL;
        if (histograms != (h != NULL))
            continue;
        if (open)
            buf_char(out, ',');
        else
            buf_fmt(out, ",\"%s\":%s", key, matrix ? "[" : "");
        open = true;
        buf_char(out, '[');
        put_time(out, s->time_ms[k]);
        buf_char(out, ',');
        if (h)
            put_histogram(out, h);
        else
            put_number(out, s->value[k]);
        buf_char(out, ']');
    }
    if (open && matrix)
        buf_char(out, ']');
}

static void print_simply(buf *out, const promql_result *result, uint32_t limit)
{
    bool matrix = result->type == PROMQL_MATRIX;
    buf_char(out, '[');
    for (uint32_t i = 0; i < MIN(result->count, limit); i++) {
        const promql_series *s = &result->series[i];
        buf_str(out, i ? STR(",{\"metric\":{") : STR("{\"metric\":{"));
        for (uint32_t l = 0; l < s->labels.count; l++) {
            buf_str(out, l ? STR(",") : STR(""));
            json_quote(out, s->labels.items[l].name);
            buf_char(out, ':');
            json_quote(out, s->labels.items[l].value);
        }
        buf_char(out, '}');
        put_points(out, s, false, matrix ? "values" : "value", matrix);
        put_points(out, s, true, matrix ? "histograms" : "histogram", matrix);
        buf_char(out, '}');
    }
    buf_char(out, ']');
}

/* ---- the tests ---- */

/* The answer is in fake_body(). */
static bool print(const promql_result *result, const promql_options *o, uint32_t limit, bool gone)
{
    fake_done();
    fake_x.gone = gone;
    api_request r = { .x = &fake_x, .arena = &memory, .json = json_write(http_out(&fake_x)) };
    prometheus_series(&r, result, o, limit);
    buf_str(&fake_x.sent, buf_view(&fake_x.out));
    return !r.gone;
}

static void check(const promql_result *result, const promql_options *o, uint32_t limit)
{
    buf expected;
    buf_init(&expected, 0);
    print_simply(&expected, result, limit);
    assert_true(print(result, o, limit, false));
    assert_true(str_eq(fake_body(), buf_view(&expected)));
    buf_done(&expected);
}

static promql_result some_result(promql_options *o, bool matrix, uint32_t count, uint32_t most)
{
    int64_t start = (int64_t)next(4) * 850000000000 - 5000 + (next(2) ? 0 : (int64_t)next(1000));
    *o = (promql_options){ .start_ms = start, .end_ms = start, .step_ms = 1 };
    if (matrix && next(8)) {
        o->step_ms = STEP_MS;
        o->end_ms = start + (int64_t)(most - 1) * STEP_MS;
    }
    promql_result result = { .type = matrix ? PROMQL_MATRIX : PROMQL_VECTOR, .count = count };
    result.series = arena_alloc(&memory, (count + 1) * sizeof(promql_series));
    for (uint32_t i = 0; i < count; i++)
        result.series[i] = some_series(o, !matrix, matrix ? 1 + (uint32_t)next(most) : 1);
    return result;
}

static void random_results_are_printed_alike(void **state)
{
    (void)state;
    seed = 88172645463325252u;
    for (int i = 0; i < 300; i++) {
        promql_options o;
        arena_init(&memory, 0);
        promql_result result =
            some_result(&o, next(3) > 0, (uint32_t)next(20), 1 + (uint32_t)next(300));
        check(&result, &o, next(4) ? UINT32_MAX : (uint32_t)next(20));
        arena_done(&memory);
    }
}

static void long_answers_go_out_in_pieces(void **state)
{
    (void)state;
    seed = 362436069;
    for (int i = 0; i < 4; i++) {
        promql_options o;
        arena_init(&memory, 0);
        /* Many short series, or few that are longer than a piece; up to 10 MB. */
        promql_result result =
            i % 2 ? some_result(&o, true, 5, 60000) : some_result(&o, i == 0, 4000, 100);
        check(&result, &o, UINT32_MAX);
        assert_true(fake_x.flushes > 1);
        arena_done(&memory);
    }
}

static void a_client_that_is_gone_ends_it(void **state)
{
    promql_options o;
    (void)state;
    seed = 521288629;
    arena_init(&memory, 0);
    promql_result result = some_result(&o, true, 2000, 200);
    assert_false(print(&result, &o, UINT32_MAX, true));
    assert_int_equal(fake_x.flushes, 1);
    arena_done(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(random_results_are_printed_alike),
        API_TEST(long_answers_go_out_in_pieces),
        API_TEST(a_client_that_is_gone_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
