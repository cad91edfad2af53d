// SPDX-License-Identifier: Apache-2.0
/* Limits of a PromQL query: samples, memory, time, cancellation; and what it asks of the store. */
#include "support.h"

#include "query/promql/promql.h"
#include "unit/query/fake_store.h"

static store *db;
static arena memory;

static int set_up(void **state)
{
    (void)state;
    db = fake_store_new();
    arena_init(&memory, MiB(64));
    for (int s = 0; s < 50; s++) {
        char name[8];
        snprintf(name, sizeof(name), "%d", s);
        label l[] = { { STR("__name__"), STR("m") }, { STR("s"), str_c(name) } };
        int64_t times[100];
        double v[100];
        for (int i = 0; i < 100; i++) {
            times[i] = i * 1000;
            v[i] = i;
        }
        fake_add_samples(db, (labels){ l, 2 }, times, v, 100);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_store_free(db);
    arena_done(&memory);
    return 0;
}

static status ask(const char *query, const promql_options *o, arena *a, error *ret_err)
{
    const promql_node *n;
    promql_result r;
    error err;
    assert_ok(promql_parse(&n, str_c(query), 0, &memory, &err));
    return promql_range_query(db, n, str_c(query), o, a, &r, ret_err);
}

static void stops_at_the_sample_limit(void **state)
{
    (void)state;
    error err;
    promql_options o = { .end_ms = 99000, .step_ms = 1000, .sample_limit = 5000 };
    assert_int_equal(ask("m", &o, &memory, &err), STATUS_LIMIT);
    assert_non_null(strstr(err.message, "too many samples"));
    assert_non_null(strstr(err.message, "5000"));
    o.sample_limit = 20000;
    assert_ok(ask("m", &o, &memory, &err));
    /* Produced cells count as well: few samples, many steps. */
    o = (promql_options){ .end_ms = 1000000, .step_ms = 1, .sample_limit = 20000 };
    assert_int_equal(ask("m{s=\"1\"} + m{s=\"1\"}", &o, &memory, &err), STATUS_LIMIT);
}

static void stops_at_the_memory_limit(void **state)
{
    (void)state;
    error err;
    arena small;
    arena_init(&small, KiB(64));
    promql_options o = { .end_ms = 99000, .step_ms = 100 };
    assert_int_equal(ask("m * 2", &o, &small, &err), STATUS_LIMIT);
    assert_true(strlen(err.message) > 0);
    arena_done(&small);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const queries[] = {
        "sum by (s) (rate(m[10s])) / on (s) group_left m > bool 1",
        "topk(2, m) or bottomk(1, m) unless on (s) m",
        "histogram_quantile(0.5, label_replace(m, \"le\", \"$1\", \"s\", \"(.*)\"))",
        "max_over_time(label_join(count_values(\"v\", m), \"a\", \"-\", \"v\")[20s:5s])",
        "absent(m) or absent_over_time(m[5s]) or vector(scalar(m)) or sort(clamp(m, 0, 1))",
    };
    error err;
    promql_options o = { .end_ms = 20000, .step_ms = 5000 };
    for (size_t q = 0; q < ARRAY_LEN(queries); q++) {
        status st = STATUS_LIMIT;
        size_t limit = 256;
        for (; st == STATUS_LIMIT && limit < MiB(8); limit += limit / 4) {
            arena small;
            arena_init(&small, limit);
            st = ask(queries[q], &o, &small, &err);
            arena_done(&small);
        }
        if (st != STATUS_OK)
            fail_msg("%s: %s", queries[q], err.message);
    }
}

static void stops_at_the_deadline_and_when_canceled(void **state)
{
    (void)state;
    error err;
    _Atomic int canceled = 1;
    query_control late = { .deadline_mono_ns = 1 }, gone = { .canceled = &canceled };
    promql_options o = { .end_ms = 99000, .step_ms = 1000, .control = &late };
    assert_int_equal(ask("m + m", &o, &memory, &err), STATUS_CANCELED);
    assert_string_equal(err.message, "query timed out in expression evaluation");
    o.control = &gone;
    assert_int_equal(ask("m + m", &o, &memory, &err), STATUS_CANCELED);
    assert_string_equal(err.message, "query was canceled in expression evaluation");
}

static void passes_on_what_the_store_says(void **state)
{
    (void)state;
    error err;
    promql_options o = { .end_ms = 99000, .step_ms = 1000 };
    db->fail_with = STATUS_CORRUPT;
    assert_int_equal(ask("m", &o, &memory, &err), STATUS_CORRUPT);
    assert_string_equal(err.message, "the fake store fails as told");
}

static void asks_only_for_the_time_that_it_needs(void **state)
{
    (void)state;
    error err;
    promql_options o = { .start_ms = 600000, .end_ms = 660000, .step_ms = 1000 };
    assert_ok(ask("m", &o, &memory, &err));
    assert_int_equal(db->last_series.from_ms, 300001);
    assert_int_equal(db->last_series.to_ms, 660000);
    assert_ok(ask("rate(m[1m] offset 1m)", &o, &memory, &err));
    assert_int_equal(db->last_series.from_ms, 480001);
    assert_int_equal(db->last_series.to_ms, 600000);
    assert_ok(ask("m @ 100", &o, &memory, &err));
    assert_int_equal(db->last_series.from_ms, -199999);
    assert_int_equal(db->last_series.to_ms, 100000);
    o.lookback_ms = 10000;
    assert_ok(ask("m", &o, &memory, &err));
    assert_int_equal(db->last_series.from_ms, 590001);
}

static void a_range_query_must_be_a_vector(void **state)
{
    (void)state;
    error err;
    promql_options o = { .end_ms = 1000, .step_ms = 1000 };
    assert_int_equal(ask("m[5m]", &o, &memory, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "range vector"));
    assert_int_equal(ask("\"text\"", &o, &memory, &err), STATUS_INVALID);
}

static void an_instant_query_may_be_a_range_vector(void **state)
{
    (void)state;
    error err;
    const promql_node *n;
    promql_result r;
    promql_options o = { .start_ms = 10000, .end_ms = 10000, .step_ms = 1 };
    str query = STR("m{s=\"3\"}[3s]");
    assert_ok(promql_parse(&n, query, 0, &memory, &err));
    assert_ok(promql_instant(db, n, query, &o, &memory, &r, &err));
    assert_int_equal(r.type, PROMQL_MATRIX);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.series[0].count, 3);
    assert_int_equal(r.series[0].time_ms[0], 8000);
    assert_true(r.series[0].value[2] == 10);
}

static void add_host(const char *metric, const char *job, uint32_t host, label more)
{
    char name[32];
    const int64_t time = 0;
    const double value = host;
    snprintf(name, sizeof(name), "host-%u.example.com:9100", host);
    label l[] = { { STR("__name__"), str_c(metric) },
                  { STR("instance"), str_c(name) },
                  { STR("job"), str_c(job) },
                  more };
    fake_add_samples(db, (labels){ l, more.name.len ? 4 : 3 }, &time, &value, 1);
}

/* More hosts than fit into a regular expression of the store's matchers. */
static void info_takes_thousands_of_series(void **state)
{
    (void)state;
    const uint32_t hosts = 2000;
    error err;
    const promql_node *n;
    promql_result r;
    arena large; /* the store here compiles expressions for each series */
    arena_init(&large, MiB(512));
    promql_options o = { .step_ms = 1 };
    str query = STR("info(load)");
    for (uint32_t i = 0; i < hosts; i++) {
        label zone = { STR("zone"), i % 2 ? STR("odd") : STR("even") };
        add_host("load", "node", i, (label){ 0 });
        add_host("target_info", i % 3 ? "node" : "other", i, zone);
    }
    assert_ok(promql_parse(&n, query, PROMQL_EXPERIMENTAL_FUNCTIONS, &memory, &err));
    assert_ok(promql_instant(db, n, query, &o, &large, &r, &err));
    assert_int_equal(r.count, hosts);
    for (uint32_t i = 0; i < hosts; i++) {
        uint32_t host = (uint32_t)r.series[i].value[0];
        const char *zone = host % 3 == 0 ? "" : host % 2 ? "odd" : "even";
        assert_true(str_is(labels_get(r.series[i].labels, STR("zone")), zone));
    }
    arena_done(&large);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stops_at_the_sample_limit),      TEST(stops_at_the_memory_limit),
        TEST(every_allocation_may_fail),      TEST(stops_at_the_deadline_and_when_canceled),
        TEST(passes_on_what_the_store_says),  TEST(asks_only_for_the_time_that_it_needs),
        TEST(a_range_query_must_be_a_vector), TEST(an_instant_query_may_be_a_range_vector),
        TEST(info_takes_thousands_of_series),
    };
    return cmocka_run_group_tests_name("promql_limits", tests, NULL, NULL);
}
