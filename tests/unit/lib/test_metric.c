// SPDX-License-Identifier: Apache-2.0
/* Counters, gauges and histograms as a program uses them. */
#include "tests/unit/lib/metric_support.h"

#include <math.h>

static void labels_and_bound_handles_reach_one_series(void **state)
{
    (void)state;
    sonde_counter *c = sonde_counter_new("orders_total", "Orders.", SONDE_LABELS("currency"));
    sonde_bound_counter *eur = sonde_counter_bind(c, "EUR");
    assert_non_null(eur);
    sonde_counter_add(c, 1, "EUR");
    sonde_counter_add(eur, 2);
    char text[] = "EUR"; /* the text decides, not its address */
    sonde_counter_add(c, 4, text);
    text[0] = 'X';
    sonde_counter_add(c, 8, text);
    assert_number("orders_total", "currency=EUR", 7);
    assert_number("orders_total", "currency=XUR", 8);
    assert_ptr_equal(sonde_counter_bind(c, "EUR"), eur);
}

static void several_labels_are_told_apart(void **state)
{
    (void)state;
    sonde_counter *c =
        sonde_counter_new("requests_total", "R.", SONDE_LABELS("route", "method", "status"));
    sonde_counter_add(c, 1, "/a", "b", "c");
    sonde_counter_add(c, 2, "/ab", "", "c");
    sonde_counter_add(c, 4, "/a", "bc", "");
    sonde_counter_add(c, 8, "/a", "bc", NULL); /* NULL is the empty text */
    assert_number("requests_total", "route=/a,method=b,status=c", 1);
    assert_number("requests_total", "route=/ab,status=c", 2);
    assert_number("requests_total", "route=/a,method=bc", 12);
}

static void a_counter_is_an_integer_until_it_is_given_a_fraction(void **state)
{
    (void)state;
    sonde_counter *c = sonde_counter_new("revenue_total", "R.", SONDE_LABELS());
    batch b;
    read_metrics(&b);
    uint32_t i = find_point(&b, "revenue_total", "");
    assert_int_not_equal(i, UINT32_MAX); /* there before the first sale, as 0 */
    assert_true(b.points.value[i].is_int);
    assert_int_equal(b.points.value[i].i64, 0);
    assert_true(b.points.start_ns[i] > 0 && b.points.start_ns[i] <= b.points.time_ns[i]);
    batch_metric *m = &b.metrics[b.points.metric[i]];
    assert_true(m->monotonic && m->temporality == TEMPORALITY_CUMULATIVE);
    assert_str(m->description, STR("R."));
    batch_done(&b);
    sonde_counter_add(c, 3);
    sonde_counter_add(c, 0.25);
    sonde_counter_add(c, 0.5f);
    assert_number("revenue_total", "", 3.75);
}

static void what_makes_no_sense_is_dropped_and_counted(void **state)
{
    (void)state;
    sonde_counter *c = sonde_counter_new("strict_total", "S.", SONDE_LABELS("a"));
    sonde_histogram *h = sonde_histogram_new("strict_seconds", "S.", SONDE_LABELS());
    sonde_counter_add(c, 5, "x");
    sonde_counter_add(c, -1, "x");
    sonde_counter_add(c, -0.5, "x");
    sonde_counter_add(c, (double)NAN, "x");
    sonde_counter_add(c, 1);
    sonde_counter_add(c, 1, "x", "y");
    sonde_histogram_record(h, (double)NAN);
    assert_null(sonde_counter_bind(c, "x", "y"));
    assert_number("strict_total", "a=x", 5);
    assert_number("sonde_dropped_total", "signal=metrics,reason=invalid", 7);
}

static void an_updown_counter_falls(void **state)
{
    (void)state;
    sonde_counter *c =
        sonde_updown_counter_new("connections", "C.", SONDE_LABELS(), .unit = "{connection}");
    sonde_counter_add(c, 5);
    sonde_counter_add(c, -7);
    assert_number("connections", "", -2);
    batch b;
    read_metrics(&b);
    batch_metric *m = &b.metrics[b.points.metric[find_point(&b, "connections", "")]];
    assert_false(m->monotonic);
    assert_int_equal(m->type, METRIC_SUM);
    assert_str(m->unit, STR("{connection}"));
    batch_done(&b);
}

static void a_gauge_shows_once_it_is_set(void **state)
{
    (void)state;
    sonde_gauge *g = sonde_gauge_new("depth", "D.", SONDE_LABELS("queue"));
    sonde_bound_gauge *jobs = sonde_gauge_bind(g, "jobs");
    assert_false(is_exported("depth", "queue=jobs"));
    sonde_gauge_set(jobs, 0);
    assert_number("depth", "queue=jobs", 0);
    sonde_gauge_set(g, 2.5, "jobs");
    sonde_gauge_add(g, -1, "jobs");
    sonde_gauge_add(jobs, 0.25);
    assert_number("depth", "queue=jobs", 1.75);
}

static void read_depth(sonde_gauge *g, void *user)
{
    int *calls = user;
    ++*calls;
    sonde_gauge_set(g, *calls * 10, "a");
}

static void a_callback_is_asked_at_each_collection(void **state)
{
    (void)state;
    int calls = 0;
    sonde_gauge *g = sonde_gauge_callback("asked", "A.", read_depth, &calls, SONDE_LABELS("x"));
    assert_int_equal(calls, 0);
    assert_number("asked", "x=a", 10);
    assert_number("asked", "x=a", 20);
    sonde_gauge_free(g);
    assert_false(is_exported("asked", "x=a"));
    assert_int_equal(calls, 2);
}

static const histogram_value *histogram_in(const batch *b, const char *name, const char *labels)
{
    uint32_t i = find_point(b, name, labels);
    assert_int_not_equal(i, UINT32_MAX);
    return b->points.value[i].histogram;
}

static void a_histogram_counts_up_to_and_including_its_bounds(void **state)
{
    (void)state;
    sonde_histogram *h =
        sonde_histogram_new("sizes", "S.", SONDE_LABELS("k"), .bounds = SONDE_BOUNDS(-1, 0, 2.5));
    static const double values[] = { -5, -1, -0.5, 0, 0.1, 2.5, 2.6, INFINITY };
    sonde_bound_histogram *bound = sonde_histogram_bind(h, "v");
    for (size_t i = 0; i < ARRAY_LEN(values) - 1; i++)
        if (i % 2)
            sonde_histogram_record(bound, values[i]);
        else
            sonde_histogram_record(h, values[i], "v");
    batch b;
    read_metrics(&b);
    const histogram_value *v = histogram_in(&b, "sizes", "k=v");
    assert_int_equal(v->bound_count, 3);
    assert_int_equal(v->bucket_count, 4);
    static const uint64_t expected[] = { 2, 2, 2, 1 };
    assert_memory_equal(v->buckets, expected, sizeof(expected));
    assert_int_equal(v->count, 7);
    assert_true(fabs(v->sum - (-1.3)) < 1e-12);
    batch_done(&b);
}

/* Against the plain definition, for every length of list. */
static void every_value_finds_its_bucket(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= SONDE_METRIC_BOUNDS_MAX; count += count < 40 ? 1 : 11) {
        double bounds[SONDE_METRIC_BOUNDS_MAX];
        uint64_t expected[SONDE_METRIC_BOUNDS_MAX + 1] = { 0 };
        char name[32];
        (void)snprintf(name, sizeof(name), "bounds_%u", count);
        for (uint32_t i = 0; i < count; i++)
            bounds[i] = i * 2.0;
        sonde_histogram *h =
            sonde_histogram_new(name, "B.", SONDE_LABELS(), .bounds = { bounds, count });
        for (double v = -1; v <= count * 2.0 + 1; v += 0.5) {
            uint32_t bucket = 0;
            while (bucket < count && v > bounds[bucket])
                bucket++;
            expected[bucket]++;
            sonde_histogram_record(h, v);
        }
        batch b;
        read_metrics(&b);
        const histogram_value *v = histogram_in(&b, name, "");
        assert_int_equal(v->bucket_count, count + 1);
        assert_memory_equal(v->buckets, expected, (count + 1) * sizeof(expected[0]));
        batch_done(&b);
        sonde_histogram_free(h);
    }
}

static double first_bound(const char *name, const char *unit)
{
    sonde_histogram *h = sonde_histogram_new(name, "H.", SONDE_LABELS(), .unit = unit);
    batch b;
    read_metrics(&b);
    const histogram_value *v = histogram_in(&b, name, "");
    double first = v->bounds[0];
    assert_int_equal(v->bound_count, first > 0 ? 14 : 15);
    batch_done(&b);
    sonde_histogram_free(h);
    return first;
}

static void seconds_get_the_bounds_of_http(void **state)
{
    (void)state;
    assert_true(first_bound("http_request_duration_seconds", NULL) == 0.005);
    assert_true(first_bound("http.server.request.duration", "s") == 0.005);
    assert_true(first_bound("body.size", "By") == 0);
    assert_true(first_bound("lag_seconds", "ms") == 0);
}

static int timed(sonde_histogram *h, sonde_bound_histogram *bound, int how)
{
    SONDE_TIMER (h, "/a") {
        if (how == 0)
            return 1;
        if (how == 1)
            break;
        SONDE_TIMER (bound) {
        }
    }
    return 0;
}

static void a_timer_records_however_its_scope_is_left(void **state)
{
    (void)state;
    sonde_histogram *h = sonde_histogram_new("took_seconds", "T.", SONDE_LABELS("route"));
    sonde_bound_histogram *bound = sonde_histogram_bind(h, "/b");
    assert_int_equal(timed(h, bound, 0), 1);
    timed(h, bound, 1);
    timed(h, bound, 2);
    sonde_timer t = sonde_timer_start(bound);
    sonde_timer_stop(&t);
    sonde_timer_stop(&t);
    batch b;
    read_metrics(&b);
    assert_int_equal(histogram_in(&b, "took_seconds", "route=/a")->count, 3);
    const histogram_value *v = histogram_in(&b, "took_seconds", "route=/b");
    assert_int_equal(v->count, 2);
    assert_true(v->sum >= 0 && v->sum < 10);
    batch_done(&b);
}

static void the_same_name_is_the_same_metric(void **state)
{
    (void)state;
    sonde_counter *c = sonde_counter_new("twice_total", "T.", SONDE_LABELS("a"));
    assert_ptr_equal(sonde_counter_new("twice_total", "other", SONDE_LABELS("a")), c);
    assert_null(sonde_counter_new("twice_total", "T.", SONDE_LABELS("b")));
    assert_null(sonde_counter_new("twice_total", "T.", SONDE_LABELS()));
    assert_null(sonde_gauge_new("twice_total", "T.", SONDE_LABELS("a")));
    sonde_counter_add(c, 3, "x");
    sonde_counter_free(c);
    assert_number("twice_total", "a=x", 3);
    sonde_counter_free(c);
    assert_false(is_exported("twice_total", "a=x"));
    assert_ptr_equal(sonde_counter_new("twice_total", "T.", SONDE_LABELS("a")), c);
    assert_number("twice_total", "a=x", 3);
}

static void wrong_options_make_no_metric(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = 0;
    assert_null(sonde_counter_create(NULL));
    assert_null(sonde_counter_new("", "E.", SONDE_LABELS()));
    assert_null(sonde_counter_new(name, "L.", SONDE_LABELS()));
    assert_null(sonde_counter_new("same_total", "S.", SONDE_LABELS("a", "a")));
    assert_null(sonde_counter_new("empty_total", "S.", SONDE_LABELS("a", "")));
    assert_null(sonde_histogram_new("falls", "F.", SONDE_LABELS(), .bounds = SONDE_BOUNDS(2, 1)));
    assert_null(
        sonde_histogram_new("nan", "F.", SONDE_LABELS(), .bounds = SONDE_BOUNDS((double)NAN)));
    assert_non_null(
        sonde_histogram_new("ends", "F.", SONDE_LABELS(), .bounds = SONDE_BOUNDS(1, INFINITY)));
}

static void null_handles_do_nothing(void **state)
{
    (void)state;
    sonde_counter *c = NULL;
    sonde_gauge *g = NULL;
    sonde_histogram *h = NULL;
    sonde_bound_counter *bc = sonde_counter_bind(c, "x");
    sonde_bound_gauge *bg = sonde_gauge_bind(g, "x");
    sonde_bound_histogram *bh = sonde_histogram_bind(h, "x");
    assert_null(bc);
    sonde_counter_add(c, 1, "x");
    sonde_counter_add(bc, 1);
    sonde_counter_add(bc, 1.5);
    sonde_gauge_set(g, 1, "x");
    sonde_gauge_set(bg, 1);
    sonde_gauge_add(bg, 1);
    sonde_histogram_record(h, 1, "x");
    sonde_histogram_record(bh, 1);
    SONDE_TIMER (h, "x") {
    }
    sonde_counter_free(c);
    sonde_gauge_free(g);
    sonde_histogram_free(h);
}

static void series_beyond_the_limit_share_one(void **state)
{
    (void)state;
    sonde_counter *c =
        sonde_counter_new("wide_total", "W.", SONDE_LABELS("id"), .series_limit = 100);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 150; i++) {
            char id[16];
            (void)snprintf(id, sizeof(id), "%d", i);
            sonde_counter_add(c, 1, id);
        }
    assert_number("wide_total", "id=0", 2);
    assert_number("wide_total", "id=99", 2);
    assert_false(is_exported("wide_total", "id=100"));
    assert_number("wide_total", "otel.metric.overflow=true", 100);
    assert_number("sonde_dropped_total", "signal=metrics,reason=too_many_series", 100);
}

static void two_thousand_series_are_found_again(void **state)
{
    (void)state;
    sonde_counter *c = sonde_counter_new("many_total", "M.", SONDE_LABELS("id"));
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 2000; i++) {
            char id[16];
            (void)snprintf(id, sizeof(id), "id-%d", i);
            sonde_counter_add(c, i, id);
        }
    batch b;
    read_metrics(&b);
    for (int i = 0; i < 2000; i += 97) {
        char labels[32];
        (void)snprintf(labels, sizeof(labels), "id=id-%d", i);
        assert_true(number_in(&b, "many_total", labels) == 3.0 * i);
    }
    assert_int_equal(find_point(&b, "many_total", "otel.metric.overflow=true"), UINT32_MAX);
    batch_done(&b);
}

static void long_and_broken_label_values_are_cut_and_mended(void **state)
{
    (void)state;
    sonde_counter *c = sonde_counter_new("texts_total", "T.", SONDE_LABELS("t"));
    char text[3000];
    memset(text, 'y', sizeof(text));
    text[sizeof(text) - 1] = 0;
    sonde_counter_add(c, 1, text);
    text[2000] = 0; /* another text with the same first 1,024 bytes */
    sonde_counter_add(c, 2, text);
    sonde_counter_add(c, 4,
                      "a\xff"
                      "b");
    char labels[1100] = "t=";
    memset(labels + 2, 'y', 1024);
    labels[1026] = 0;
    assert_number("texts_total", labels, 3);
    assert_number("texts_total",
                  "t=a\xef\xbf\xbd"
                  "b",
                  4);
}

int main(void)
{
#define metric_test(f) cmocka_unit_test_setup_teardown(f, with_recorder, without_recorder)
    const struct CMUnitTest tests[] = {
        metric_test(labels_and_bound_handles_reach_one_series),
        metric_test(several_labels_are_told_apart),
        metric_test(a_counter_is_an_integer_until_it_is_given_a_fraction),
        metric_test(what_makes_no_sense_is_dropped_and_counted),
        metric_test(an_updown_counter_falls),
        metric_test(a_gauge_shows_once_it_is_set),
        metric_test(a_callback_is_asked_at_each_collection),
        metric_test(a_histogram_counts_up_to_and_including_its_bounds),
        metric_test(every_value_finds_its_bucket),
        metric_test(seconds_get_the_bounds_of_http),
        metric_test(a_timer_records_however_its_scope_is_left),
        metric_test(the_same_name_is_the_same_metric),
        metric_test(wrong_options_make_no_metric),
        metric_test(null_handles_do_nothing),
        metric_test(series_beyond_the_limit_share_one),
        metric_test(two_thousand_series_are_found_again),
        metric_test(long_and_broken_label_values_are_cut_and_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
