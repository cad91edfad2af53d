// SPDX-License-Identifier: Apache-2.0
/* Deltas between batches that were taken, with others in between that were not. */
#include "tests/unit/lib/metric_support.h"

#include "lib/metric_delta.h"

static sonde_counter *counter;
static sonde_histogram *plain, *exponential;

static void read_delta(metric_delta *d, batch *b)
{
    read_metrics(b);
    metric_delta_apply(d, b);
}

static void record(int times)
{
    for (int i = 0; i < times; i++) {
        sonde_counter_add(counter, 2, "v");
        sonde_histogram_record(plain, 3);
        sonde_histogram_record(exponential, i % 2 ? 1.5 : -1000.0 * (i + 1));
        sonde_histogram_record(exponential, 0);
    }
}

/* What a batch says of the three since the last that was taken. */
static void assert_delta(const batch *b, int times)
{
    assert_true(number_in(b, "things_total", "k=v") == 2.0 * times);
    const histogram_value *h = b->points.value[find_point(b, "plain", "")].histogram;
    assert_int_equal(h->count, times);
    assert_int_equal(h->buckets[1], times);
    assert_true(h->sum == 3.0 * times);
    const exp_histogram_value *e = b->points.value[find_point(b, "exp", "")].exp;
    assert_int_equal(e->count, 2 * times);
    assert_int_equal(e->zero_count, times);
    uint64_t below = 0;
    for (uint32_t i = 0; i < e->negative.count; i++)
        below += e->negative.counts[i];
    assert_int_equal(below, (times + 1) / 2);
    uint32_t p = find_point(b, "things_total", "k=v");
    assert_int_equal(b->metrics[b->points.metric[p]].temporality, TEMPORALITY_DELTA);
}

static void what_was_not_taken_comes_again(void **state)
{
    (void)state;
    batch b;
    metric_delta *d = metric_delta_new(PREFER_DELTA);
    assert_non_null(d);
    counter = sonde_counter_new("things_total", "T.", SONDE_LABELS("k"));
    plain = sonde_histogram_new("plain", "P.", SONDE_LABELS());
    exponential = sonde_histogram_new("exp", "E.", SONDE_LABELS(), .exponential = true);
    sonde_counter *falls = sonde_updown_counter_new("falls", "F.", SONDE_LABELS());
    sonde_counter_add(falls, 7);
    record(4);
    read_delta(d, &b);
    assert_delta(&b, 4);
    int64_t time_ns = b.points.time_ns[0];
    metric_delta_commit(d);
    batch_done(&b);
    record(10);
    read_delta(d, &b); /* refused: not committed */
    assert_delta(&b, 10);
    uint32_t p = find_point(&b, "things_total", "k=v");
    assert_true(b.points.start_ns[p] == time_ns);
    batch_done(&b);
    record(2);
    read_delta(d, &b);
    assert_true(number_in(&b, "things_total", "k=v") == 24);
    metric_delta_commit(d);
    batch_done(&b);
    read_delta(d, &b);
    assert_true(number_in(&b, "things_total", "k=v") == 0);
    assert_true(number_in(&b, "falls", "") == 7);
    p = find_point(&b, "falls", "");
    assert_int_equal(b.metrics[b.points.metric[p]].temporality, TEMPORALITY_CUMULATIVE);
    batch_done(&b);
    metric_delta_free(d);
}

static void a_series_that_began_anew_counts_from_its_start(void **state)
{
    (void)state;
    batch b;
    metric_delta *d = metric_delta_new(PREFER_LOWMEMORY);
    counter = sonde_counter_new("anew_total", "A.", SONDE_LABELS());
    sonde_counter_add(counter, 100);
    read_delta(d, &b);
    metric_delta_commit(d);
    batch_done(&b);
    stop_recorder();
    start_recorder(0);
    sonde_counter_add(counter, 3.5);
    read_delta(d, &b);
    assert_true(number_in(&b, "anew_total", "") == 3.5);
    metric_delta_commit(d);
    batch_done(&b);
    sonde_counter_add(counter, 1);
    read_delta(d, &b);
    assert_true(number_in(&b, "anew_total", "") == 1);
    batch_done(&b);
    metric_delta_free(d);
}

static void cumulative_needs_nothing(void **state)
{
    (void)state;
    assert_null(metric_delta_new(PREFER_CUMULATIVE));
    metric_delta_commit(NULL);
    metric_delta_free(NULL);
}

#define metric_test(f) cmocka_unit_test_setup_teardown(f, with_recorder, without_recorder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        metric_test(what_was_not_taken_comes_again),
        metric_test(a_series_that_began_anew_counts_from_its_start),
        metric_test(cumulative_needs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
