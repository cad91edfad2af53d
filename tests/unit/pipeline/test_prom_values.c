// SPDX-License-Identifier: Apache-2.0
/* The values that a scraped page shows: the last of each series, deltas added up, ends and expiry,
 * limits, and many threads. */
#include "tests/support.h"

#include "codec/exposition.h"
#include "codec/native_convert.h"
#include "codec/prometheus_scope.h"
#include "pipeline/exporters/prom_options.h"
#include "pipeline/exporters/prom_values.h"

#include <pthread.h>

static error err;

static prom_values *new_values(prom_values_options o)
{
    prom_values *v;
    assert_ok(prom_values_new(&v, &o, &err));
    return v;
}

static uint32_t begin(batch *b, const char *scope)
{
    batch_init(b, SIGNAL_METRICS, MiB(64));
    uint32_t r = batch_add_resource(b), capacity = 0;
    assert_true(attrs_append(&b->arena, &b->resources[r].attributes, &capacity, STR("service.name"),
                             VALUE_S(STR("shop"))));
    uint32_t s = batch_add_scope(b, r);
    b->scopes[s].name = str_c(scope);
    return s;
}

static uint32_t add_metric(batch *b, const char *name, metric_type type, temporality t)
{
    uint32_t m = batch_add_metric(b, 0);
    b->metrics[m].name = str_c(name);
    b->metrics[m].description = STR("Help.");
    b->metrics[m].type = type;
    b->metrics[m].temporality = t;
    b->metrics[m].monotonic = type == METRIC_SUM;
    return m;
}

static uint32_t add_number(batch *b, uint32_t metric, int64_t time_ns, int64_t n)
{
    uint32_t p = batch_add_point(b, metric);
    b->points.time_ns[p] = time_ns;
    b->points.value[p] = (point_value){ .is_int = true, .i64 = n };
    return p;
}

static prom_values_refused put(prom_values *v, const batch *b, int64_t now_ns)
{
    prom_values_refused refused;
    assert_ok(prom_values_put(v, b, now_ns, &refused, &err));
    return refused;
}

/* The page without its comments. */
static void assert_page(prom_values *v, int64_t now_ns, const char *expected)
{
    buf out, seen;
    buf_init(&out, 0);
    buf_init(&seen, 0);
    assert_ok(prom_values_page(v, &(prom_choice){ 0 }, false, now_ns, &out, &err));
    str rest = buf_view(&out);
    while (rest.len) {
        str line = str_cut(rest, '\n', &rest);
        if (line.ptr[0] != '#')
            buf_fmt(&seen, "%.*s\n", STR_ARG(line));
    }
    assert_str(buf_view(&seen), str_c(expected));
    buf_done(&out);
    buf_done(&seen);
}

static void put_one(prom_values *v, metric_type type, temporality t, int64_t time_ns, int64_t n,
                    uint32_t flags, int64_t now_ns)
{
    batch b;
    begin(&b, "");
    uint32_t p = add_number(&b, add_metric(&b, "n", type, t), time_ns, n);
    b.points.flags[p] = flags;
    (void)put(v, &b, now_ns);
    batch_done(&b);
}

static void the_newest_value_stands(void **state)
{
    (void)state;
    prom_values *v = new_values((prom_values_options){ 0 });
    put_one(v, METRIC_GAUGE, TEMPORALITY_UNSPECIFIED, 5, 50, 0, 1);
    put_one(v, METRIC_GAUGE, TEMPORALITY_UNSPECIFIED, 3, 30, 0, 1);
    assert_page(v, 1, "n{job=\"shop\"} 50\n");
    put_one(v, METRIC_GAUGE, TEMPORALITY_UNSPECIFIED, 6, 60, 0, 1);
    assert_page(v, 1, "n{job=\"shop\"} 60\n");
    prom_values_free(v);
}

static void deltas_are_added_up(void **state)
{
    (void)state;
    prom_values *v = new_values((prom_values_options){ 0 });
    for (int i = 1; i <= 3; i++)
        put_one(v, METRIC_SUM, TEMPORALITY_DELTA, 10 - i, i, 0, 1);
    assert_page(v, 1, "n_total{job=\"shop\"} 6\n");
    prom_values_free(v);
}

static void histograms_are_added_up(void **state)
{
    (void)state;
    uint64_t buckets[] = { 1, 2 }, counts[] = { 1, 0, 3 };
    double bounds[] = { 0.5 };
    histogram_value h = { .count = 3,
                          .sum = 2,
                          .has_sum = true,
                          .bucket_count = 2,
                          .bound_count = 1,
                          .buckets = buckets,
                          .bounds = bounds };
    exp_histogram_value e = { .count = 5,
                              .sum = 9,
                              .has_sum = true,
                              .scale = 1,
                              .zero_count = 1,
                              .positive = { 4, 3, counts } };
    prom_values *v = new_values((prom_values_options){ 0 });
    for (int i = 0; i < 3; i++) {
        batch b;
        begin(&b, "");
        uint32_t p = add_number(&b, add_metric(&b, "h", METRIC_HISTOGRAM, TEMPORALITY_DELTA), i, 0);
        b.points.value[p].histogram = &h;
        p = add_number(&b, add_metric(&b, "e", METRIC_EXP_HISTOGRAM, TEMPORALITY_DELTA), i, 0);
        b.points.value[p].exp = &e;
        e.scale = 1 - i;
        (void)put(v, &b, 1);
        batch_done(&b);
    }
    assert_page(v, 1,
                "e_bucket{job=\"shop\",le=\"+Inf\"} 15\ne_sum{job=\"shop\"} 27\n"
                "e_count{job=\"shop\"} 15\n"
                "h_bucket{job=\"shop\",le=\"0.5\"} 3\nh_bucket{job=\"shop\",le=\"+Inf\"} 9\n"
                "h_sum{job=\"shop\"} 6\nh_count{job=\"shop\"} 9\n");
    prom_values_free(v);
}

/* Its floats come out of the protobuf page as they came in, when the batch is long gone. */
static void native_histograms_are_kept_exactly(void **state)
{
    (void)state;
    static const native_span spans[] = { { -3, 2 } };
    static const double counts[] = { 0.25, 1.5 };
    exposition_page page;
    exposition_options native = { .native = true };
    buf out;
    prom_values *v = new_values((prom_values_options){ 0 });
    for (int i = 0; i < 2; i++) {
        batch b;
        begin(&b, "");
        uint32_t m = add_metric(&b, "e", METRIC_EXP_HISTOGRAM, TEMPORALITY_CUMULATIVE);
        uint32_t p = add_number(&b, m, i, 0);
        histogram *h = ARENA_NEW(&b.arena, histogram);
        *h = (histogram){ .schema = 2,
                          .zero_threshold = 0.5,
                          .zero_count = 0.125,
                          .count = 1.875,
                          .sum = 3,
                          .positive = { spans, counts, 1, 2 } };
        metric_type type;
        assert_true(native_to_point(&b.arena, h, &type, &b.points.value[p]));
        (void)put(v, &b, 1);
        batch_done(&b);
    }
    buf_init(&out, 0);
    prom_choice choice = { .format = PROM_PROTOBUF };
    assert_ok(prom_values_page(v, &choice, false, 1, &out, &err));
    assert_ok(exposition_read(&page, EXPOSITION_PROTOBUF, buf_view(&out), &native, &err));
    assert_int_equal(page.sample_count, 1);
    const histogram *h = page.samples[0].native->native;
    assert_memory_equal(h->positive.counts, counts, sizeof(counts));
    assert_int_equal(h->positive.spans[0].offset, -3);
    assert_true(h->count == 1.875 && h->zero_count == 0.125 && h->zero_threshold == 0.5);
    exposition_done(&page);
    buf_done(&out);
    prom_values_free(v);
}

/* Other bounds begin anew: what was counted by the old ones cannot be told by the new. */
static void other_bounds_begin_anew(void **state)
{
    (void)state;
    uint64_t buckets[] = { 1, 2, 3 };
    double bounds[] = { 1, 2 };
    prom_values *v = new_values((prom_values_options){ 0 });
    for (uint32_t n = 0; n < 3; n++) {
        histogram_value h = { .count = 3,
                              .bucket_count = n + 1,
                              .bound_count = n,
                              .buckets = buckets,
                              .bounds = bounds };
        batch b;
        begin(&b, "");
        uint32_t p = add_number(&b, add_metric(&b, "h", METRIC_HISTOGRAM, TEMPORALITY_DELTA), n, 0);
        b.points.value[p].histogram = &h;
        (void)put(v, &b, 1);
        batch_done(&b);
    }
    assert_page(v, 1,
                "h_bucket{job=\"shop\",le=\"1\"} 1\nh_bucket{job=\"shop\",le=\"2\"} 3\n"
                "h_bucket{job=\"shop\",le=\"+Inf\"} 3\nh_count{job=\"shop\"} 3\n");
    prom_values_free(v);
}

static void what_ended_or_is_not_heard_of_leaves_the_page(void **state)
{
    (void)state;
    prom_values *v = new_values((prom_values_options){ .expiration_ns = 10 });
    put_one(v, METRIC_GAUGE, TEMPORALITY_UNSPECIFIED, 1, 1, 0, 100);
    assert_page(v, 110, "n{job=\"shop\"} 1\n");
    assert_page(v, 111, "");
    assert_int_equal(prom_values_count(v), 0);
    put_one(v, METRIC_GAUGE, TEMPORALITY_UNSPECIFIED, 1, 1, 0, 100);
    put_one(v, METRIC_GAUGE, TEMPORALITY_UNSPECIFIED, 2, 0, POINT_FLAG_NO_RECORDED_VALUE, 100);
    assert_page(v, 100, "");
    assert_int_equal(prom_values_count(v), 0);
    prom_values_free(v);
}

static void scopes_and_targets_are_shown_and_native_names_kept(void **state)
{
    (void)state;
    prom_values *v = new_values((prom_values_options){ .scope_labels = true, .target_info = true });
    batch b;
    uint32_t capacity = 1;
    begin(&b, "lib");
    assert_true(attrs_append(&b.arena, &b.resources[0].attributes, &capacity, STR("host.name"),
                             VALUE_S(STR("h"))));
    add_number(&b, add_metric(&b, "n", METRIC_GAUGE, TEMPORALITY_UNSPECIFIED), 1, 1);
    (void)put(v, &b, 1);
    batch_done(&b);
    begin(&b, PROMETHEUS_SCOPE);
    add_number(&b, add_metric(&b, "x_count", METRIC_SUM, TEMPORALITY_CUMULATIVE), 1, 2);
    (void)put(v, &b, 1);
    batch_done(&b);
    assert_page(v, 1,
                "n{job=\"shop\",otel_scope_name=\"lib\"} 1\n"
                "target_info{host_name=\"h\",job=\"shop\"} 1\n"
                "x_count{job=\"shop\"} 2\n");
    prom_values_free(v);
}

static void a_full_page_takes_no_more_and_says_so(void **state)
{
    (void)state;
    prom_values *v = new_values((prom_values_options){ .max_series = 10, .expiration_ns = 10 });
    batch b;
    begin(&b, "");
    for (int i = 0; i < 15; i++)
        add_number(&b, add_metric(&b, arena_fmt(&b.arena, "n%d", i).ptr, METRIC_GAUGE, 0), 1, i);
    add_number(&b, add_metric(&b, "..", METRIC_GAUGE, 0), 1, 1);
    prom_values_refused r = put(v, &b, 100);
    assert_int_equal(r.over_limit, 5);
    assert_int_equal(r.unusable, 1);
    assert_int_equal(prom_values_count(v), 10);
    assert_int_equal(put(v, &b, 105).over_limit, 5);
    assert_int_equal(put(v, &b, 200).over_limit, 5); /* the old ones made room */
    batch_done(&b);
    prom_values_free(v);
    v = new_values((prom_values_options){ .max_bytes = 1000 });
    begin(&b, "");
    for (int i = 0; i < 15; i++)
        add_number(&b, add_metric(&b, arena_fmt(&b.arena, "n%d", i).ptr, METRIC_GAUGE, 0), 1, i);
    assert_in_range(put(v, &b, 100).over_limit, 5, 14);
    batch_done(&b);
    prom_values_free(v);
}

static void settings_become_labels_and_names(void **state)
{
    (void)state;
    arena a;
    prom_series_options o;
    text_pair pairs[] = { { STR_INIT("z"), STR_INIT("1") }, { STR_INIT("a.b"), STR_INIT("2") } };
    pair_list labels = { pairs, 2 };
    prom_name_settings s = { .namespace = STR_INIT("ns"), .add_metric_suffixes = false };
    arena_init(&a, MiB(1));
    assert_true(prom_series_settings(&a, &s, &labels, &o));
    assert_true(o.without_suffixes && !o.utf8);
    assert_int_equal(o.more.count, 2);
    assert_str(o.more.items[0].name, STR("a_b"));
    s.translation_strategy = 3;
    assert_true(prom_series_settings(&a, &s, &labels, &o));
    assert_true(!o.without_suffixes && o.utf8);
    assert_str(o.more.items[0].name, STR("a.b"));
    arena_done(&a);
}

/* ---- a writer and scrapers at once ---- */

static void *scrape(void *user)
{
    for (int i = 0; i < 50; i++) {
        buf out;
        buf_init(&out, 0);
        if (prom_values_page(user, &(prom_choice){ .format = PROM_PROTOBUF }, true, i, &out, NULL))
            abort();
        buf_done(&out);
    }
    return NULL;
}

static void pages_are_made_while_values_come_and_go(void **state)
{
    (void)state;
    prom_values *v = new_values((prom_values_options){ .expiration_ns = 5, .target_info = true });
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, scrape, v), 0);
    for (int i = 0; i < 200; i++) {
        batch b;
        begin(&b, "");
        for (int k = 0; k < 20; k++)
            add_number(&b,
                       add_metric(&b, arena_fmt(&b.arena, "n%d", (i + k) % 40).ptr, METRIC_SUM,
                                  TEMPORALITY_DELTA),
                       i, 1);
        (void)put(v, &b, i / 4);
        batch_done(&b);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    prom_values_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_value_stands),
        cmocka_unit_test(deltas_are_added_up),
        cmocka_unit_test(histograms_are_added_up),
        cmocka_unit_test(other_bounds_begin_anew),
        cmocka_unit_test(what_ended_or_is_not_heard_of_leaves_the_page),
        cmocka_unit_test(scopes_and_targets_are_shown_and_native_names_kept),
        cmocka_unit_test(a_full_page_takes_no_more_and_says_so),
        cmocka_unit_test(settings_become_labels_and_names),
        cmocka_unit_test(pages_are_made_while_values_come_and_go),
        cmocka_unit_test(native_histograms_are_kept_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
