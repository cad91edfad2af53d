// SPDX-License-Identifier: Apache-2.0
/* Exponential histograms and exemplars, read back through the reader. */
#include "tests/unit/lib/metric_support.h"

#include "codec/exp_histogram.h"
#include "lib/metric_exemplar.h"
#include "sonde/span.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static const exp_histogram_value *exp_in(const batch *b, const char *name, const char *labels)
{
    uint32_t i = find_point(b, name, labels);
    assert_int_not_equal(i, UINT32_MAX);
    assert_int_equal(b->metrics[b->points.metric[i]].type, METRIC_EXP_HISTOGRAM);
    return b->points.value[i].exp;
}

static uint64_t total_of(const exp_buckets *b)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < b->count; i++)
        n += b->counts[i];
    return n;
}

/* That each value is in the bucket where it belongs at the scale that was come to. */
static void assert_buckets(const exp_buckets *got, int scale, const double *values, size_t count)
{
    for (uint32_t i = 0; i < got->count; i++) {
        uint64_t expected = 0;
        for (size_t k = 0; k < count; k++)
            expected += exp_index(values[k], scale) == got->offset + (int32_t)i;
        assert_int_equal(got->counts[i], expected);
    }
    assert_int_equal(total_of(got), count);
}

static void values_of_any_size_find_their_buckets(void **state)
{
    (void)state;
    static const double spreads[] = { 1.0000001, 1.003, 1.1, 3, 1000 };
    for (size_t s = 0; s < ARRAY_LEN(spreads); s++) {
        char name[32];
        double values[100], sum = 0;
        (void)snprintf(name, sizeof(name), "spread_%zu", s);
        sonde_histogram *h = sonde_histogram_new(name, "S.", SONDE_LABELS(), .exponential = true);
        for (size_t i = 0; i < ARRAY_LEN(values); i++) {
            /* from the middle to both ends */
            values[i] = pow(spreads[s], (i % 2 ? 1.0 : -1.0) * (double)i);
            sonde_histogram_record(h, values[i]);
            sum += values[i];
        }
        batch b;
        read_metrics(&b);
        const exp_histogram_value *v = exp_in(&b, name, "");
        assert_true(v->positive.count <= 160);
        assert_buckets(&v->positive, v->scale, values, ARRAY_LEN(values));
        assert_int_equal(v->count, 100);
        assert_true(v->has_min && v->min == values[98]);
        assert_true(v->has_max && v->max == values[99]);
        assert_true(fabs(v->sum - sum) <= 1e-9 * sum);
        batch_done(&b);
    }
}

static void the_scale_is_the_highest_that_fits(void **state)
{
    (void)state;
    sonde_histogram *h = sonde_histogram_new("fits", "F.", SONDE_LABELS(), .exponential = true,
                                             .max_size = 4, .max_scale = 3);
    batch b;
    sonde_histogram_record(h, 1.05);
    sonde_histogram_record(h, 1.3);
    read_metrics(&b);
    assert_int_equal(exp_in(&b, "fits", "")->scale, 3);
    batch_done(&b);
    sonde_histogram_record(h, 15.9);
    read_metrics(&b);
    const exp_histogram_value *v = exp_in(&b, "fits", "");
    assert_int_equal(v->scale, 0);
    static const uint64_t expected[] = { 2, 0, 0, 1 };
    assert_int_equal(v->positive.count, 4);
    assert_int_equal(v->positive.offset, 0);
    assert_memory_equal(v->positive.counts, expected, sizeof(expected));
    batch_done(&b);
}

static void zero_and_negative_values_have_their_place(void **state)
{
    (void)state;
    sonde_histogram *h = sonde_histogram_new("signs", "S.", SONDE_LABELS("k"), .exponential = true);
    static const double below[] = { 2, 3, 400 };
    for (size_t i = 0; i < ARRAY_LEN(below); i++)
        sonde_histogram_record(h, -below[i], "v");
    sonde_histogram_record(h, 0, "v");
    sonde_histogram_record(h, -0.0, "v");
    sonde_histogram_record(h, 1.5, "v");
    sonde_histogram_record(h, INFINITY, "v");
    sonde_histogram_record(h, NAN, "v");
    batch b;
    read_metrics(&b);
    const exp_histogram_value *v = exp_in(&b, "signs", "k=v");
    static const double above[] = { 1.5 };
    assert_int_equal(v->zero_count, 2);
    assert_buckets(&v->negative, v->scale, below, ARRAY_LEN(below));
    assert_buckets(&v->positive, v->scale, above, 1);
    assert_int_equal(v->count, 6);
    assert_true(v->min == -400 && v->max == 1.5);
    assert_true(fabs(v->sum + 403.5) < 1e-9);
    assert_true(number_in(&b, "sonde_dropped_total", "signal=metrics,reason=invalid") == 2);
    batch_done(&b);
}

static void what_came_before_the_start_is_moved_in(void **state)
{
    (void)state;
    stop_recorder();
    sonde_histogram *h = sonde_histogram_new("early", "E.", SONDE_LABELS(), .exponential = true);
    sonde_histogram_record(h, 2);
    sonde_histogram_record(h, 0);
    sonde_histogram_record(h, -700);
    start_recorder(0);
    sonde_histogram_record(h, 1e6);
    batch b;
    read_metrics(&b);
    const exp_histogram_value *v = exp_in(&b, "early", "");
    static const double values[] = { 2, 1e6 }, below[] = { 700 };
    assert_buckets(&v->positive, v->scale, values, 2);
    assert_buckets(&v->negative, v->scale, below, 1);
    assert_int_equal(v->zero_count, 1);
    assert_true(v->min == -700 && v->max == 1e6 && v->sum == 1e6 + 2 - 700);
    batch_done(&b);
}

enum { THREADS = 20, EACH = 4000 };
static _Atomic int running;

static void *record_all(void *histogram)
{
    unsigned seed = (unsigned)atomic_fetch_add(&running, 1) * 2654435761u;
    for (int i = 0; i < EACH; i++) {
        seed = seed * 1103515245u + 12345u;
        sonde_histogram_record((sonde_bound_histogram *)histogram,
                               pow(1.001 + i / 100.0, (seed >> 16) % 100 / 10.0 - 5));
    }
    atomic_fetch_sub(&running, 1);
    return NULL;
}

/* More threads than shards: both ways of updating. What is read meanwhile only grows. */
static void threads_lose_nothing_while_scales_fall(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    sonde_histogram *h = sonde_histogram_new("many", "M.", SONDE_LABELS("k"), .exponential = true);
    sonde_bound_histogram *bound = sonde_histogram_bind(h, "v");
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, record_all, bound), 0);
    uint64_t last = 0;
    do {
        batch b;
        read_metrics(&b);
        uint32_t i = find_point(&b, "many", "k=v");
        if (i != UINT32_MAX) {
            assert_true(b.points.value[i].exp->count >= last);
            last = b.points.value[i].exp->count;
        }
        batch_done(&b);
    } while (atomic_load(&running) > 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    batch b;
    read_metrics(&b);
    const exp_histogram_value *v = exp_in(&b, "many", "k=v");
    assert_int_equal(v->count, THREADS * EACH);
    assert_true(v->positive.count <= 160);
    assert_true(number_in(&b, "sonde_dropped_total", "signal=metrics,reason=recorder_full") == 0);
    batch_done(&b);
}

static void wrong_sizes_and_scales_make_no_histogram(void **state)
{
    (void)state;
    sonde_metric_options o = { .name = "wrong", .exponential = true };
    o.max_size = 321;
    assert_null(sonde_histogram_create(&o));
    o.max_size = 1;
    assert_null(sonde_histogram_create(&o));
    o.max_size = 0;
    o.max_scale = 21;
    assert_null(sonde_histogram_create(&o));
    o.max_scale = -11;
    assert_null(sonde_histogram_create(&o));
}

/* ---- exemplars ---- */

static const exemplars *exemplars_in(const batch *b, const char *name, const char *labels)
{
    uint32_t i = find_point(b, name, labels);
    assert_int_not_equal(i, UINT32_MAX);
    return &b->points.exemplars[i];
}

static void updates_in_a_span_leave_exemplars(void **state)
{
    (void)state;
    char trace[33], hex[33];
    sonde_counter *c = sonde_counter_new("things_total", "T.", SONDE_LABELS("k"));
    sonde_histogram *h = sonde_histogram_new("took_seconds", "T.", SONDE_LABELS());
    sonde_histogram *e = sonde_histogram_new("took_exp", "T.", SONDE_LABELS(), .exponential = true);
    sonde_counter_add(c, 1, "v");
    sonde_histogram_record(h, 0.3);
    batch b;
    read_metrics(&b);
    assert_int_equal(exemplars_in(&b, "things_total", "k=v")->count, 0);
    assert_int_equal(exemplars_in(&b, "took_seconds", "")->count, 0);
    batch_done(&b);
    SONDE_SPAN ("work") {
        assert_true(sonde_trace_id(trace));
        sonde_counter_add(c, 41, "v");
        sonde_histogram_record(h, 0.3);
        sonde_histogram_record(h, 7);
        sonde_histogram_record(e, 0.25);
    }
    read_metrics(&b);
    const exemplars *of_counter = exemplars_in(&b, "things_total", "k=v");
    assert_int_equal(of_counter->count, 1);
    assert_true(of_counter->items[0].is_int && of_counter->items[0].i64 == 41);
    str_to_hex(of_counter->items[0].trace.bytes, 16, hex);
    hex[32] = 0;
    assert_string_equal(hex, trace);
    assert_true(span_id_is_set(of_counter->items[0].span));
    assert_true(of_counter->items[0].time_ns > 0);
    const exemplars *of_histogram = exemplars_in(&b, "took_seconds", "");
    assert_int_equal(of_histogram->count, 2);
    assert_true(of_histogram->items[0].f64 + of_histogram->items[1].f64 == 7.3);
    assert_int_equal(exemplars_in(&b, "took_exp", "")->count, 1);
    batch_done(&b);
}

static void exemplars_come_by_the_filter(void **state)
{
    (void)state;
    sonde_counter *off = sonde_counter_new("off_total", "O.", SONDE_LABELS());
    sonde_counter *on = sonde_counter_new("on_total", "O.", SONDE_LABELS());
    metric_exemplars_configure(EXEMPLARS_ALWAYS_OFF);
    SONDE_SPAN ("work") {
        sonde_counter_add(off, 1);
    }
    metric_exemplars_configure(EXEMPLARS_ALWAYS_ON);
    sonde_counter_add(on, 2.5);
    metric_exemplars_configure(EXEMPLARS_TRACE_BASED);
    batch b;
    read_metrics(&b);
    assert_int_equal(exemplars_in(&b, "off_total", "")->count, 0);
    assert_int_equal(exemplars_in(&b, "on_total", "")->count, 1);
    const exemplar *e = &exemplars_in(&b, "on_total", "")->items[0];
    assert_true(!e->is_int && e->f64 == 2.5 && !trace_id_is_set(e->trace));
    batch_done(&b);
}

/* ---- expiry ---- */

static void wait_ms(int ms)
{
    struct timespec t = { 0, ms * NS_PER_MS };
    nanosleep(&t, NULL);
}

static void wait_for_expiry(const char *name, const char *labels)
{
    for (int i = 0; i < 400 && is_exported(name, labels); i++)
        wait_ms(10);
    assert_false(is_exported(name, labels));
}

static void an_idle_series_goes_and_comes_back_from_zero(void **state)
{
    (void)state;
    sonde_counter *c =
        sonde_counter_new("idle_total", "I.", SONDE_LABELS("k"), .expire_s = 1, .series_limit = 2);
    sonde_bound_counter *bound = sonde_counter_bind(c, "bound");
    sonde_counter_add(bound, 5);
    sonde_counter_add(c, 3, "busy");
    assert_number("idle_total", "k=bound", 5);
    for (int i = 0; i < 400 && is_exported("idle_total", "k=bound"); i++) {
        sonde_counter_add(c, 1, "busy");
        wait_ms(10);
    }
    batch b;
    read_metrics(&b);
    assert_int_equal(find_point(&b, "idle_total", "k=bound"), UINT32_MAX);
    uint32_t busy = find_point(&b, "idle_total", "k=busy");
    assert_int_not_equal(busy, UINT32_MAX);
    int64_t start = b.points.start_ns[busy];
    batch_done(&b);
    sonde_counter_add(c, 1, "third"); /* in the place that became free */
    assert_number("idle_total", "k=third", 1);
    sonde_counter_add(bound, 2);
    read_metrics(&b);
    assert_true(number_in(&b, "idle_total", "k=bound") == 2);
    assert_true(b.points.start_ns[find_point(&b, "idle_total", "k=bound")] > start);
    batch_done(&b);
}

static void every_kind_expires(void **state)
{
    (void)state;
    sonde_gauge *g = sonde_gauge_new("idle_gauge", "I.", SONDE_LABELS(), .expire_s = 1);
    sonde_histogram *h = sonde_histogram_new("idle_h", "I.", SONDE_LABELS(), .expire_s = 1);
    sonde_histogram *e =
        sonde_histogram_new("idle_e", "I.", SONDE_LABELS(), .expire_s = 1, .exponential = true);
    sonde_gauge_set(g, 1);
    sonde_histogram_record(h, 1);
    sonde_histogram_record(e, 1);
    sonde_histogram_record(e, -1);
    assert_true(is_exported("idle_gauge", "") && is_exported("idle_h", "") &&
                is_exported("idle_e", ""));
    wait_for_expiry("idle_gauge", "");
    wait_for_expiry("idle_h", "");
    wait_for_expiry("idle_e", "");
    sonde_gauge_set(g, 7);
    sonde_histogram_record(h, 2);
    sonde_histogram_record(e, 2);
    assert_number("idle_gauge", "", 7);
    batch b;
    read_metrics(&b);
    assert_int_equal(b.points.value[find_point(&b, "idle_h", "")].histogram->count, 1);
    assert_int_equal(exp_in(&b, "idle_e", "")->count, 1);
    batch_done(&b);
}

/* ---- damage ---- */

/* Every byte that is not zero, of the metric area and all else, changed in two ways: whatever comes
 * of it is a value or none, never a read outside of the file. */
static void damaged_cells_and_exemplars_are_read_as_far_as_they_are_good(void **state)
{
    (void)state;
    sonde_histogram *h =
        sonde_histogram_new("hurt", "H.", SONDE_LABELS("k"), .exponential = true, .max_size = 4);
    SONDE_SPAN ("work") {
        sonde_histogram_record(h, 0.5, "v");
        sonde_histogram_record(h, 900, "v");
        sonde_histogram_record(h, -4, "v");
    }
    metric_collect();
    size_t bytes = MiB(1);
    unsigned char *copy = malloc(bytes);
    assert_int_equal(pread(recorder_fd(test_recorder), copy, bytes, 0), bytes);
    uint32_t whole = 0;
    for (size_t at = KiB(12); at < bytes; at++) {
        for (int how = 0; copy[at] && how < 2; how++) {
            unsigned char good = copy[at];
            copy[at] = how ? 0xff : (unsigned char)(good ^ 0x41);
            recorder_reader *r;
            batch b;
            batch_init(&b, SIGNAL_METRICS, MiB(8));
            if (recorder_reader_open_memory(&r, copy, bytes, NULL, &err) == STATUS_OK) {
                whole += recorder_metrics_read(r, &b, &err) == STATUS_OK;
                recorder_reader_close(r);
            }
            batch_done(&b);
            copy[at] = good;
        }
    }
    assert_true(whole > 100);
    free(copy);
}

#define metric_test(f) cmocka_unit_test_setup_teardown(f, with_recorder, without_recorder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        metric_test(values_of_any_size_find_their_buckets),
        metric_test(the_scale_is_the_highest_that_fits),
        metric_test(zero_and_negative_values_have_their_place),
        metric_test(what_came_before_the_start_is_moved_in),
        metric_test(threads_lose_nothing_while_scales_fall),
        metric_test(wrong_sizes_and_scales_make_no_histogram),
        metric_test(updates_in_a_span_leave_exemplars),
        metric_test(exemplars_come_by_the_filter),
        metric_test(an_idle_series_goes_and_comes_back_from_zero),
        metric_test(every_kind_expires),
        metric_test(damaged_cells_and_exemplars_are_read_as_far_as_they_are_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
