// SPDX-License-Identifier: Apache-2.0
/* OTLP points as Prometheus series: names, histograms, summaries, deltas, stale markers, order and
 * doubles; before and after sealing. */
#include "fixture.h"

#include "codec/prometheus_scope.h"
#include "store/store_internal.h"

#include <math.h>

typedef struct {
    char *dir;
    store *s;
} env;

static int set_up(void **state)
{
    env *e = calloc(1, sizeof(*e));
    e->dir = make_dir();
    e->s = open_store(e->dir);
    *state = e;
    return 0;
}

static int tear_down(void **state)
{
    env *e = *state;
    store_close(e->s);
    remove_dir(e->dir);
    free(e);
    return 0;
}

/* The same answer from memory, from parts, and after a restart. */
static void assert_series_everywhere(env *e, const char *expected)
{
    assert_series(e->s, all_series(), expected);
    seal(e->s);
    assert_series(e->s, all_series(), expected);
    store_close(e->s);
    e->s = open_store(e->dir);
    assert_series(e->s, all_series(), expected);
}

static void a_counter_gets_its_suffix_and_its_attributes_as_labels(void **state)
{
    env *e = *state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t scope = add_service(&b, "api");
    add_attr(&b, &b.resources[0].attributes, "service.namespace", VALUE_S(STR("shop")));
    add_attr(&b, &b.resources[0].attributes, "service.instance.id", VALUE_S(STR("i1")));
    add_attr(&b, &b.resources[0].attributes, "host.name", VALUE_S(STR("h1")));
    uint32_t m = add_gauge(&b, scope, "http.requests");
    b.metrics[m].type = METRIC_SUM;
    b.metrics[m].monotonic = true;
    b.metrics[m].temporality = TEMPORALITY_CUMULATIVE;
    b.metrics[m].description = STR("Requests.");
    uint32_t p = add_point(&b, m, T0_NS, 0);
    b.points.value[p] = (point_value){ .is_int = true, .i64 = 17 };
    add_attr(&b, &b.points.attributes[p], "http.route", VALUE_S(STR("/x")));
    ingest(e->s, &b);
    assert_series_everywhere(
        e, "{__name__=http_requests_total,http_route=/x,instance=i1,job=shop/api,service_name=api}"
           " 0:17\n"
           "{__name__=target_info,host_name=h1,instance=i1,job=shop/api} 0:1\n");
    arena a;
    arena_init(&a, MiB(1));
    metric_metadata *meta;
    uint32_t count;
    assert_int_equal(store_metadata(e->s, &a, &meta, &count, NULL), STATUS_OK);
    assert_int_equal(count, 1);
    assert_true(str_is(meta[0].metric, "http_requests_total"));
    assert_true(str_is(meta[0].type, "counter"));
    assert_true(str_is(meta[0].help, "Requests."));
    arena_done(&a);
    batch_done(&b);
}

static void a_histogram_becomes_cumulative_buckets_count_and_sum(void **state)
{
    env *e = *state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t m = add_gauge(&b, add_service(&b, "api"), "latency");
    b.metrics[m].type = METRIC_HISTOGRAM;
    b.metrics[m].unit = STR("s");
    b.metrics[m].temporality = TEMPORALITY_CUMULATIVE;
    uint32_t p = add_point(&b, m, T0_NS, 0);
    uint64_t buckets[] = { 1, 2, 3 };
    double bounds[] = { 0.5, 2 };
    histogram_value h = { .count = 6,
                          .sum = 7.25,
                          .has_sum = true,
                          .bucket_count = 3,
                          .bound_count = 2,
                          .buckets = buckets,
                          .bounds = bounds };
    b.points.value[p].histogram = &h;
    ingest(e->s, &b);
    batch_done(&b);
    assert_series_everywhere(
        e, "{__name__=latency_seconds_bucket,job=api,le=+Inf,service_name=api} 0:6\n"
           "{__name__=latency_seconds_bucket,job=api,le=0.5,service_name=api} 0:1\n"
           "{__name__=latency_seconds_bucket,job=api,le=2,service_name=api} 0:3\n"
           "{__name__=latency_seconds_count,job=api,service_name=api} 0:6\n"
           "{__name__=latency_seconds_sum,job=api,service_name=api} 0:7.25\n");
}

static void a_summary_becomes_quantiles_count_and_sum(void **state)
{
    env *e = *state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t m = add_gauge(&b, add_service(&b, "api"), "size");
    b.metrics[m].type = METRIC_SUMMARY;
    uint32_t p = add_point(&b, m, T0_NS, 0);
    quantile_value q[] = { { 0.5, 10 }, { 0.99, 20 } };
    summary_value sv = { .count = 3, .sum = 33, .quantiles = q, .quantile_count = 2 };
    b.points.value[p].summary = &sv;
    ingest(e->s, &b);
    batch_done(&b);
    assert_series_everywhere(e, "{__name__=size,job=api,quantile=0.5,service_name=api} 0:10\n"
                                "{__name__=size,job=api,quantile=0.99,service_name=api} 0:20\n"
                                "{__name__=size_count,job=api,service_name=api} 0:3\n"
                                "{__name__=size_sum,job=api,service_name=api} 0:33\n");
}

/* Names that the OTLP rules would change, and a resource that would give target_info. */
static void the_prometheus_scope_keeps_names_and_labels(void **state)
{
    env *e = *state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t scope = add_service(&b, "shop/api");
    add_attr(&b, &b.resources[0].attributes, "service.instance.id", VALUE_S(STR("h:1")));
    add_attr(&b, &b.resources[0].attributes, "host.name", VALUE_S(STR("h")));
    b.scopes[scope].name = STR(PROMETHEUS_SCOPE);
    uint32_t m = add_gauge(&b, scope, "http.requests");
    b.metrics[m].type = METRIC_SUM;
    b.metrics[m].monotonic = true;
    b.metrics[m].temporality = TEMPORALITY_CUMULATIVE;
    b.metrics[m].unit = STR("s");
    uint32_t p = add_point(&b, m, T0_NS, 7);
    add_attr(&b, &b.points.attributes[p], "http.route", VALUE_S(STR("/x")));
    add_attr(&b, &b.points.attributes[p], "_x", VALUE_S(STR("1")));
    add_attr(&b, &b.points.attributes[p], "1st", VALUE_S(STR("2")));
    add_attr(&b, &b.points.attributes[p], "empty", VALUE_S(STR("")));
    add_point(&b, add_gauge(&b, scope, "size:sum"), T0_NS, 1);
    m = add_gauge(&b, scope, "\xe2\x82\xac");
    add_point(&b, m, T0_NS, 2);
    /* The same resource, by OpenTelemetry's rules. */
    uint32_t other = batch_add_scope(&b, 0);
    m = add_gauge(&b, other, "http.requests");
    b.metrics[m].type = METRIC_SUM;
    b.metrics[m].monotonic = true;
    b.metrics[m].temporality = TEMPORALITY_CUMULATIVE;
    b.metrics[m].unit = STR("s");
    add_point(&b, m, T0_NS, 8);
    ingest(e->s, &b);
    batch_done(&b);
    assert_series_everywhere(
        e, "{1st=2,__name__=http.requests,_x=1,http.route=/x,instance=h:1,job=shop/api} 0:7\n"
           "{__name__=http_requests_seconds_total,instance=h:1,job=shop/api,service_name=shop/api}"
           " 0:8\n"
           "{__name__=size:sum,instance=h:1,job=shop/api} 0:1\n"
           "{__name__=target_info,host_name=h,instance=h:1,job=shop/api} 0:1\n"
           "{__name__=\xe2\x82\xac,instance=h:1,job=shop/api} 0:2\n");
}

/* A point of a sum that a sender tells in deltas. */
static void ingest_delta(store *s, int64_t time_ns, double v, bool monotonic, int pid)
{
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t m = add_gauge(&b, add_service(&b, "api"), "done");
    b.metrics[m].type = METRIC_SUM;
    b.metrics[m].monotonic = monotonic;
    b.metrics[m].temporality = TEMPORALITY_DELTA;
    add_attr(&b, &b.resources[0].attributes, "process.pid", VALUE_I(pid));
    add_point(&b, m, time_ns, v);
    ingest(s, &b);
    batch_done(&b);
}

static void assert_sum(env *e, const char *name, const char *expected)
{
    matcher done = { STR("__name__"), MATCH_EQ, str_c(name) };
    series_query q = all_series();
    q.matchers = &done;
    q.matcher_count = 1;
    assert_series(e->s, q, expected);
}

static void deltas_are_added_up(void **state)
{
    env *e = *state;
    /* Other resources of the same labels: what no label says does not begin a new sum. */
    for (int i = 1; i <= 3; i++)
        ingest_delta(e->s, T0_NS + i * NS_PER_S, i, true, i);
    for (int sealed = 0; sealed < 2; sealed++) {
        assert_sum(e, "done_total",
                   "{__name__=done_total,job=api,service_name=api} 1000:1 2000:3 3000:6\n");
        seal(e->s);
    }
}

static void reopen(env *e)
{
    store_close(e->s);
    e->s = open_store(e->dir);
}

static void sums_of_deltas_go_on_after_a_start(void **state)
{
    env *e = *state;
    ingest_delta(e->s, T0_NS + 1 * NS_PER_S, 4, false, 1);
    ingest_delta(e->s, T0_NS + 2 * NS_PER_S, -3, false, 1);
    seal(e->s);
    ingest_delta(e->s, T0_NS + 3 * NS_PER_S, -2, false, 1); /* in the log only */
    reopen(e);
    ingest_delta(e->s, T0_NS + 4 * NS_PER_S, 10, false, 1);
    seal(e->s);
    reopen(e);
    /* An older part is not asked where a newer one has the series. */
    ingest_delta(e->s, T0_NS + 86400 * NS_PER_S, 1, false, 1);
    assert_sum(e, "done",
               "{__name__=done,job=api,service_name=api} "
               "1000:4 2000:1 3000:-1 4000:9 86400000:10\n");
}

/* Keys of series that nobody sends any more are forgotten, but not what is only in memory. */
static void sums_of_deltas_go_on_when_keys_were_forgotten(void **state)
{
    env *e = *state;
    batch b;
    ingest_delta(e->s, T0_NS + 1 * NS_PER_S, 5, true, 1);
    batch_init(&b, SIGNAL_METRICS, MiB(64));
    uint32_t m = add_gauge(&b, add_service(&b, "api"), "many");
    for (uint32_t i = 0; i < 12000; i++) {
        uint32_t p = add_point(&b, m, T0_NS, i);
        add_attr(&b, &b.points.attributes[p], "n", VALUE_I(i));
    }
    ingest(e->s, &b);
    batch_done(&b);
    seal(e->s);
    assert_true(e->s->series.keys.count > 12000);
    ingest_delta(e->s, T0_NS + 2 * NS_PER_S, 1, true, 1);
    seal(e->s);
    assert_in_range(e->s->series.keys.count, 1, 10); /* this one among them */
    ingest_delta(e->s, T0_NS + 3 * NS_PER_S, 1, true, 1);
    assert_sum(e, "done_total",
               "{__name__=done_total,job=api,service_name=api} 1000:5 2000:6 3000:7\n");
}

static void no_recorded_value_is_a_stale_marker(void **state)
{
    env *e = *state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t m = add_gauge(&b, add_service(&b, "api"), "g");
    add_point(&b, m, T0_NS, 5);
    uint32_t p = add_point(&b, m, T0_NS + NS_PER_S, 0);
    b.points.flags[p] = POINT_FLAG_NO_RECORDED_VALUE;
    ingest(e->s, &b);
    batch_done(&b);
    for (int sealed = 0; sealed < 2; sealed++) {
        arena a;
        series_set set;
        series_query q = all_series();
        arena_init(&a, MiB(1));
        assert_int_equal(store_series(e->s, &q, &a, &set, NULL), STATUS_OK);
        assert_int_equal(set.items[0].sample_count, 2);
        uint64_t bits;
        memcpy(&bits, &set.items[0].value[1], 8);
        assert_true(bits == STALE_NAN_BITS);
        arena_done(&a);
        seal(e->s);
    }
}

static void ingest_one(store *s, int64_t ms, double v)
{
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    add_point(&b, add_gauge(&b, add_service(&b, "api"), "g"), T0_NS + ms * NS_PER_MS, v);
    ingest(s, &b);
    batch_done(&b);
}

static void samples_out_of_order_are_kept_and_the_last_of_a_time_counts(void **state)
{
    env *e = *state;
    ingest_one(e->s, 3000, 3);
    ingest_one(e->s, 1000, 1);
    ingest_one(e->s, 2000, 99);
    ingest_one(e->s, 2000, 2);
    assert_series(e->s, all_series(),
                  "{__name__=g,job=api,service_name=api} 1000:1 2000:2 3000:3\n");
    seal(e->s);
    ingest_one(e->s, 0, 0);
    ingest_one(e->s, 3000, 33); /* over a sealed one */
    assert_series_everywhere(e,
                             "{__name__=g,job=api,service_name=api} 0:0 1000:1 2000:2 3000:33\n");
}

static void days_are_separate_parts(void **state)
{
    env *e = *state;
    const int64_t day_ms = 86400000;
    for (int i = 0; i < 3; i++)
        ingest_one(e->s, i * day_ms, i);
    assert_series_everywhere(e,
                             "{__name__=g,job=api,service_name=api} 0:0 86400000:1 172800000:2\n");
    assert_int_equal(stats_of(e->s).parts[SIGNAL_METRICS], 3);
    series_query q = all_series();
    q.from_ms = T0_MS + 1;
    q.to_ms = T0_MS + day_ms;
    assert_series(e->s, q, "{__name__=g,job=api,service_name=api} 86400000:1\n");
}

static void matchers_work_in_memory_and_in_parts_alike(void **state)
{
    env *e = *state;
    static const char *services[] = { "api", "worker", "web" };
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    for (size_t i = 0; i < 3; i++) {
        uint32_t m = add_gauge(&b, add_service(&b, services[i]), "g");
        uint32_t p = add_point(&b, m, T0_NS, (double)i);
        if (i == 1)
            add_attr(&b, &b.points.attributes[p], "zone", VALUE_S(STR("z1")));
    }
    ingest(e->s, &b);
    batch_done(&b);
    static const struct {
        matcher m;
        const char *jobs; /* of the answer, in order */
    } cases[] = {
        { { STR_INIT("job"), MATCH_EQ, STR_INIT("api") }, "api " },
        { { STR_INIT("job"), MATCH_NE, STR_INIT("api") }, "web worker " },
        { { STR_INIT("job"), MATCH_RE, STR_INIT("w.*") }, "web worker " },
        { { STR_INIT("job"), MATCH_RE, STR_INIT("w") }, "" }, /* anchored */
        { { STR_INIT("job"), MATCH_NRE, STR_INIT("api|web") }, "worker " },
        { { STR_INIT("zone"), MATCH_EQ, STR_INIT("") }, "api web " }, /* absent is empty */
        { { STR_INIT("zone"), MATCH_NE, STR_INIT("") }, "worker " },
        { { STR_INIT("zone"), MATCH_NE, STR_INIT("z1") }, "api web " },
        { { STR_INIT("zone"), MATCH_RE, STR_INIT("z1|") }, "api web worker " },
        { { STR_INIT("zone"), MATCH_RE, STR_INIT(".+") }, "worker " },
        { { STR_INIT("nothing"), MATCH_EQ, STR_INIT("x") }, "" },
        { { STR_INIT("nothing"), MATCH_NRE, STR_INIT("x") }, "api web worker " },
    };
    for (int sealed = 0; sealed < 2; sealed++) {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            matcher m[] = { { STR("__name__"), MATCH_EQ, STR("g") }, cases[i].m };
            series_query q = all_series();
            q.matchers = m;
            q.matcher_count = 2;
            arena a;
            series_set set;
            buf jobs;
            arena_init(&a, MiB(1));
            buf_init(&jobs, 0);
            assert_int_equal(store_series(e->s, &q, &a, &set, NULL), STATUS_OK);
            for (uint32_t k = 0; k < set.count; k++) {
                for (uint32_t l = 0; l < set.items[k].label_count; l++) {
                    if (str_is(set.items[k].labels[l].name, "job"))
                        buf_fmt(&jobs, "%.*s ", STR_ARG(set.items[k].labels[l].value));
                }
            }
            buf_char(&jobs, 0);
            assert_string_equal(jobs.ptr, cases[i].jobs);
            buf_done(&jobs);
            arena_done(&a);
        }
        seal(e->s);
    }
    matcher bad = { STR("job"), MATCH_RE, STR("a(") };
    series_query q = all_series();
    q.matchers = &bad;
    q.matcher_count = 1;
    arena a;
    series_set set;
    error err;
    arena_init(&a, MiB(1));
    assert_int_equal(store_series(e->s, &q, &a, &set, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "a("));
    arena_done(&a);
}

static void limits_of_a_query_are_kept(void **state)
{
    env *e = *state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(4));
    uint32_t m = add_gauge(&b, add_service(&b, "api"), "g");
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t p = add_point(&b, m, T0_NS, i);
        add_attr(&b, &b.points.attributes[p], "n", VALUE_I(i));
    }
    ingest(e->s, &b);
    batch_done(&b);
    arena a;
    series_set set;
    error err;
    arena_init(&a, MiB(4));
    series_query q = all_series();
    q.series_limit = 99;
    assert_int_equal(store_series(e->s, &q, &a, &set, &err), STATUS_LIMIT);
    q.series_limit = 0;
    q.sample_limit = 50;
    assert_int_equal(store_series(e->s, &q, &a, &set, &err), STATUS_LIMIT);
    q.sample_limit = 0;
    q.labels_only = true;
    assert_int_equal(store_series(e->s, &q, &a, &set, &err), STATUS_OK);
    assert_int_equal(set.count, 100);
    _Atomic int canceled = 1;
    query_control c = { .canceled = &canceled };
    q.control = &c;
    assert_int_equal(store_series(e->s, &q, &a, &set, &err), STATUS_CANCELED);
    c = (query_control){ .deadline_mono_ns = 1 };
    assert_int_equal(store_series(e->s, &q, &a, &set, &err), STATUS_CANCELED);
    arena_done(&a);
    arena tiny;
    arena_init(&tiny, 5000);
    q.control = NULL;
    q.labels_only = false;
    assert_int_equal(store_series(e->s, &q, &tiny, &set, &err), STATUS_LIMIT);
    arena_done(&tiny);
}

static void names_and_values_of_labels_are_listed(void **state)
{
    env *e = *state;
    ingest_one(e->s, 0, 1);
    for (int sealed = 0; sealed < 2; sealed++) {
        arena a;
        str_list l;
        names_query q = { .signal = SIGNAL_METRICS, .from_ns = 0, .to_ns = INT64_MAX };
        arena_init(&a, MiB(1));
        assert_int_equal(store_label_names(e->s, &q, &a, &l, NULL), STATUS_OK);
        assert_int_equal(l.count, 3);
        assert_true(str_is(l.items[0], "__name__"));
        assert_int_equal(store_label_values(e->s, &q, STR("job"), &a, &l, NULL), STATUS_OK);
        assert_int_equal(l.count, 1);
        assert_true(str_is(l.items[0], "api"));
        arena_done(&a);
        seal(e->s);
    }
}

static void a_point_that_cannot_be_a_series_is_refused_by_itself(void **state)
{
    env *e = *state;
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    uint32_t scope = add_service(&b, "api");
    add_point(&b, add_gauge(&b, scope, "good"), T0_NS, 1);
    add_point(&b, add_gauge(&b, scope, ""), T0_NS, 2);
    ingest_result r = ingest(e->s, &b);
    assert_int_equal(r.accepted, 1);
    assert_int_equal(r.rejected, 1);
    assert_non_null(strstr(r.reason, "name"));
    batch_done(&b);
    assert_series_everywhere(e, "{__name__=good,job=api,service_name=api} 0:1\n");
}

static void ingest_at(store *s, int64_t time_ns)
{
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(1));
    add_point(&b, add_gauge(&b, add_service(&b, "api"), "g"), time_ns, 1);
    ingest(s, &b);
    batch_done(&b);
}

static void the_store_tells_what_changed_since(void **state)
{
    env *e = *state;
    int64_t t0 = T0_NS / NS_PER_MS;
    uint64_t before = store_generation(e->s);
    assert_false(store_changed_since(e->s, before, INT64_MAX));
    ingest_at(e->s, T0_NS + 60 * NS_PER_S);
    assert_true(store_changed_since(e->s, before, t0 + 60000));
    assert_false(store_changed_since(e->s, before, t0 + 59000));
    uint64_t later = store_generation(e->s);
    seal(e->s);
    assert_false(store_changed_since(e->s, later, INT64_MAX));
    ingest_at(e->s, T0_NS - 60 * NS_PER_S);
    assert_true(store_changed_since(e->s, before, t0));
    assert_true(store_changed_since(e->s, later, t0));
    assert_false(store_changed_since(e->s, later, t0 - 61000));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_counter_gets_its_suffix_and_its_attributes_as_labels),
        TEST(a_histogram_becomes_cumulative_buckets_count_and_sum),
        TEST(a_summary_becomes_quantiles_count_and_sum),
        TEST(the_prometheus_scope_keeps_names_and_labels),
        TEST(deltas_are_added_up),
        TEST(sums_of_deltas_go_on_after_a_start),
        TEST(sums_of_deltas_go_on_when_keys_were_forgotten),
        TEST(no_recorded_value_is_a_stale_marker),
        TEST(samples_out_of_order_are_kept_and_the_last_of_a_time_counts),
        TEST(days_are_separate_parts),
        TEST(matchers_work_in_memory_and_in_parts_alike),
        TEST(limits_of_a_query_are_kept),
        TEST(the_store_tells_what_changed_since),
        TEST(names_and_values_of_labels_are_listed),
        TEST(a_point_that_cannot_be_a_series_is_refused_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
