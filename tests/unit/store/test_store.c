// SPDX-License-Identifier: Apache-2.0
/* The store from outside: what was ingested is found, in memory, sealed, and after a restart. */
#include "fixture.h"

static void ingest_logs(store *s, const char *service, int64_t from_ms, uint32_t count)
{
    batch b;
    batch_init(&b, SIGNAL_LOGS, MiB(64));
    uint32_t scope = add_service(&b, service);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = add_log(&b, scope, T0_NS + (from_ms + i) * NS_PER_MS, 9 + (i % 3) * 4,
                             text(&b, "line %u of %s", i, service));
        add_attr(&b, &b.logs.attributes[k], "request.id", VALUE_S(text(&b, "req-%u", i)));
        b.logs.trace[k] = trace_n(i);
    }
    ingest_result r = ingest(s, &b);
    assert_int_equal(r.accepted, count);
    assert_int_equal(r.rejected, 0);
    batch_done(&b);
}

static void ingest_spans(store *s, const char *service, uint32_t traces)
{
    batch b;
    batch_init(&b, SIGNAL_TRACES, MiB(64));
    uint32_t scope = add_service(&b, service);
    for (uint32_t i = 0; i < traces; i++) {
        for (uint32_t k = 0; k < 3; k++) {
            uint32_t at = add_span(&b, scope, T0_NS + (i * 10 + k) * NS_PER_MS,
                                   (i % 7 + 1) * NS_PER_MS, i, i * 10 + k, k ? "step" : "root");
            add_attr(&b, &b.spans.attributes[at], "user.id", VALUE_I((int64_t)i % 5));
        }
    }
    ingest(s, &b);
    batch_done(&b);
}

static void ingest_gauge(store *s, const char *service, int64_t from_ms, uint32_t count)
{
    batch b;
    batch_init(&b, SIGNAL_METRICS, MiB(64));
    uint32_t scope = add_service(&b, service);
    uint32_t m = add_gauge(&b, scope, "queue.size");
    for (uint32_t i = 0; i < count; i++)
        add_point(&b, m, T0_NS + (from_ms + i * 1000) * NS_PER_MS, i + 0.5);
    ingest(s, &b);
    batch_done(&b);
}

static const char *three_series = "{__name__=queue_size,job=api,service_name=api} 0:0.5 1000:1.5 "
                                  "2000:2.5\n"
                                  "{__name__=queue_size,job=worker,service_name=worker} 0:0.5\n";

static void check_everything(store *s)
{
    collected c = run_rows(s, all_rows(SIGNAL_LOGS));
    assert_int_equal(c.rows, 300);
    buf_done(&c.text);
    matcher api = { STR("service_name"), MATCH_EQ, STR("api") };
    row_query q = all_rows(SIGNAL_LOGS);
    q.matchers = &api;
    q.matcher_count = 1;
    assert_int_equal(count_rows(s, q), 200);
    q.limit = 2;
    q.newest_first = true;
    assert_rows(s, q, "api 199 line 199 of api\napi 198 line 198 of api\n");
    matcher id[] = { { STR("request_id"), MATCH_EQ, STR("req-7") } };
    q = all_rows(SIGNAL_LOGS);
    q.matchers = id;
    q.matcher_count = 1;
    assert_rows(s, q, "api 7 line 7 of api\nworker 57 line 7 of worker\n");
    batch trace;
    batch_init(&trace, SIGNAL_TRACES, MiB(16));
    assert_int_equal(store_trace(s, trace_n(42), &trace, NULL), STATUS_OK);
    assert_int_equal(batch_row_count(&trace), 3);
    assert_int_equal(trace.spans.start_ns[0], T0_NS + 420 * NS_PER_MS);
    assert_int_equal(trace.spans.end_ns[0], T0_NS + 421 * NS_PER_MS);
    assert_true(str_is(trace.spans.name[0], "root"));
    assert_int_equal(trace.spans.attributes[0].items[0].value.i64, 2);
    batch_clear(&trace);
    assert_int_equal(store_trace(s, trace_n(4242), &trace, NULL), STATUS_NOT_FOUND);
    batch_done(&trace);
    q = all_rows(SIGNAL_TRACES);
    q.min_duration_ns = 7 * NS_PER_MS;
    assert_int_equal(count_rows(s, q), 14 * 3);
    matcher m = { STR("__name__"), MATCH_EQ, STR("queue_size") };
    series_query sq = all_series();
    sq.matchers = &m;
    sq.matcher_count = 1;
    assert_series(s, sq, three_series);
}

static void ingested_rows_are_found_in_memory_sealed_and_after_restart(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_store(dir);
    ingest_logs(s, "api", 0, 200);
    ingest_logs(s, "worker", 50, 100);
    ingest_spans(s, "api", 100);
    ingest_gauge(s, "api", 0, 3);
    ingest_gauge(s, "worker", 0, 1);
    check_everything(s);
    store_close(s);
    s = open_store(dir); /* replayed */
    check_everything(s);
    seal(s);
    check_everything(s);
    store_stats st = stats_of(s);
    assert_int_equal(st.rows[SIGNAL_LOGS], 300);
    assert_int_equal(st.rows[SIGNAL_TRACES], 300);
    assert_int_equal(st.parts[SIGNAL_LOGS], 1);
    assert_int_equal(st.memory_bytes, 0);
    assert_int_equal(st.intake_bytes, 0);
    store_close(s);
    s = open_store(dir); /* from parts */
    check_everything(s);
    assert_int_equal(stats_of(s).rows[SIGNAL_LOGS], 300);
    store_close(s);
    remove_dir(dir);
}

static void a_directory_in_use_is_refused(void **state)
{
    (void)state;
    char *dir = make_dir();
    store *s = open_store(dir), *other;
    error err;
    assert_int_equal(store_open(&other, &(store_options){ .dir = dir }, &err), STATUS_BUSY);
    assert_non_null(strstr(err.message, dir));
    store_close(s);
    remove_dir(dir);
}

static void a_directory_that_cannot_be_is_refused(void **state)
{
    (void)state;
    store *s;
    error err;
    assert_int_equal(store_open(&s, &(store_options){ .dir = "" }, &err), STATUS_INVALID);
    assert_int_not_equal(store_open(&s, &(store_options){ .dir = "/proc/nothing" }, &err),
                         STATUS_OK);
    assert_true(strlen(err.message) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ingested_rows_are_found_in_memory_sealed_and_after_restart),
        cmocka_unit_test(a_directory_in_use_is_refused),
        cmocka_unit_test(a_directory_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
