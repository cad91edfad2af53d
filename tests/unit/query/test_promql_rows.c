// SPDX-License-Identifier: Apache-2.0
/* What is computed for a whole row at once is equal, to the last bit, to what the plain definition
 * gives for each window and each cell: rate and increase over samples that come regularly, with
 * gaps, jitter, restarts and special values; sums, means, least and largest values of rows and
 * windows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "query/promql/aggregate.h"
#include "query/promql/rate_windows.h"
#include "query/promql/sum_windows.h"

#include <math.h>

#include <cmocka.h>

enum { SAMPLES = 300, STEPS = 70, ROUNDS = 3000 };

static uint64_t state;

static uint32_t below(uint32_t n)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(state >> 33) % n;
}

static double special(void)
{
    static const double values[] = { NAN, INFINITY, -INFINITY, 0.0, -0.0, 1e308, -1e308, 5e-324 };
    return values[below(ARRAY_LEN(values))];
}

/* ---- rate, increase, sums ---- */

typedef struct {
    int64_t times[SAMPLES];
    double values[SAMPLES];
} samples;

static void make_samples(samples *s, uint32_t kind)
{
    int64_t t = 1000 + below(20000);
    double v = below(3) ? below(1000) : 0;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        s->times[i] = t;
        s->values[i] = v;
        t += 15000 + ((kind & 1) && !below(9) ? 15000 * below(30) : 0) +
             ((kind & 2) ? below(40) : 0);
        v = (kind & 4) && !below(40) ? below(5) : v + below(50);
        if ((kind & 8) && !below(20))
            s->values[i] = special();
    }
}

static void check_windows(promql_engine *e, const samples *from, uint32_t count, const char *name,
                          const promql_steps *steps, int64_t range_ms, rate_windows *p)
{
    promql_node call = { .kind = NODE_CALL };
    promql_samples s = { .time_ms = from->times, .value = from->values, .count = count };
    promql_window w = { .engine = e, .call = &call };
    double cells[STEPS], expected;
    call.call.function = promql_function_find(str_c(name));
    for (uint32_t i = 0; i < STEPS; i++)
        set_absent(&cells[i]);
    bool sums = sum_windows_for(call.call.function->range);
    status st = sums ? sum_windows_row(&w, &s, steps, range_ms, cells)
                     : rate_windows_row(p, &w, &s, steps, range_ms, cells);
    assert_int_equal(st, STATUS_OK);
    for (uint32_t i = 0; i < steps->count; i++) {
        uint32_t first = 0, end = 0;
        w.end_ms = steps->first_ms + (int64_t)i * steps->step_ms;
        w.start_ms = w.end_ms - range_ms;
        while (end < count && from->times[end] <= w.end_ms)
            end++;
        while (first < end && from->times[first] <= w.start_ms)
            first++;
        w.time_ms = from->times + first;
        w.value = from->values + first;
        w.count = end - first;
        set_absent(&expected);
        if (w.count)
            (void)call.call.function->range(&w, &expected);
        if (isnan(expected) && !is_absent(expected))
            assert_true(isnan(cells[i]) && !is_absent(cells[i]));
        else
            assert_int_equal(bits_of(cells[i]), bits_of(expected));
    }
}

static void test_windows(void **unused)
{
    static const char *const names[] = { "rate", "increase", "sum_over_time", "avg_over_time" };
    arena a;
    samples s;
    (void)unused;
    arena_init(&a, 0);
    query_control control = { 0 };
    promql_options options = { .control = &control };
    promql_engine e = { .arena = &a, .options = &options };
    for (uint32_t n = 0; n < ROUNDS; n++) {
        static const int64_t step_list[] = { 15000, 60000, 10000, 15001, 7, 0, 300000, 30000 };
        promql_steps steps = { below(5000000), step_list[below(8)], 1 + below(STEPS) };
        int64_t range_ms = 1000 + below(below(2) ? 3600000 : 300000);
        rate_windows p = { 0 };
        state = n;
        for (uint32_t again = 0; again < 3; again++) {
            uint32_t kind = below(16), count = 1 + below(SAMPLES);
            make_samples(&s, below(2) ? 0 : kind);
            check_windows(&e, &s, count, names[n % ARRAY_LEN(names)], &steps, range_ms, &p);
        }
        arena_clear(&a);
    }
    arena_done(&a);
}

/* ---- aggregations ---- */

static double cell(uint32_t kind)
{
    double v = below(10) / 10.0 + below(1000000);
    if (kind & 1 && !below(50))
        v = special();
    if (kind & 2 && !below(9))
        set_absent(&v);
    return v;
}

/* Steps one by one are too few for what goes several at once. */
static void check_aggregation(promql_engine *e, uint8_t kind, uint32_t rows, uint32_t special_kind)
{
    accumulators whole, single;
    double cells[STEPS], one[STEPS], all[STEPS];
    assert_int_equal(aggregate_accumulators(e, STEPS, &whole), STATUS_OK);
    assert_int_equal(aggregate_accumulators(e, STEPS, &single), STATUS_OK);
    for (uint32_t i = 0; i < STEPS; i++) {
        set_absent(&one[i]);
        set_absent(&all[i]);
    }
    whole.value = all;
    single.value = one;
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t i = 0; i < STEPS; i++)
            cells[i] = cell(special_kind);
        aggregate_add(kind, &whole, cells, STEPS);
        for (uint32_t i = 0; i < STEPS; i++) {
            accumulators at = { single.value + i, single.lost + i, single.mean + i,
                                single.count + i, single.incremental + i };
            aggregate_add(kind, &at, cells + i, 1);
        }
    }
    aggregate_finish(kind, &whole, STEPS);
    aggregate_finish(kind, &single, STEPS);
    for (uint32_t i = 0; i < STEPS; i++)
        assert_true(bits_of(all[i]) == bits_of(one[i]) ||
                    (isnan(all[i]) && isnan(one[i]) && is_absent(all[i]) == is_absent(one[i])));
}

static void test_aggregations(void **unused)
{
    static const uint8_t kinds[] = { AGG_SUM,   AGG_AVG,   AGG_MIN,    AGG_MAX,
                                     AGG_COUNT, AGG_GROUP, AGG_STDVAR, AGG_STDDEV };
    arena a;
    (void)unused;
    arena_init(&a, 0);
    promql_engine e = { .arena = &a };
    state = 1;
    for (uint32_t n = 0; n < ROUNDS; n++) {
        check_aggregation(&e, kinds[n % ARRAY_LEN(kinds)], 1 + below(9), n / 8 % 4);
        arena_clear(&a);
    }
    arena_done(&a);
}

/* ---- windows ---- */

static void test_extremes(void **unused)
{
    double v[64], least, most;
    (void)unused;
    state = 2;
    for (uint32_t n = 0; n < 10 * ROUNDS; n++) {
        promql_window w = { .value = v, .count = 1 + below(64) };
        for (uint32_t i = 0; i < w.count; i++)
            v[i] = n % 3 == 0 ? special() : n % 3 == 1 ? below(5) - 4.0 : below(1000) - 500.0;
        double min = v[0], max = v[0];
        for (uint32_t i = 1; i < w.count; i++) {
            min = v[i] < min || isnan(min) ? v[i] : min;
            max = v[i] > max || isnan(max) ? v[i] : max;
        }
        assert_true(promql_min_over_time(&w, &least) && promql_max_over_time(&w, &most));
        assert_int_equal(bits_of(least), bits_of(min));
        assert_int_equal(bits_of(most), bits_of(max));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_aggregations),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
