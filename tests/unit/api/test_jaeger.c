// SPDX-License-Identifier: Apache-2.0
/* The Jaeger API and sonde's own over the fake store. */
#include "unit/api/api_support.h"

#define ATTRS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define TRACE_1    "01010101010101010101010101010101"
#define TRACE_2    "02020202020202020202020202020202"

/* Trace 1: the API calls the worker over a queue. Trace 2: one failing request. */
static int set_up(void **state)
{
    api_set_up(state);
    span_rows *s = &db->rows[SIGNAL_TRACES].spans;
    fake_add_span(db, 1, 0x11, 0, "api", "POST /images", SPAN_KIND_SERVER, S(10), 200 * NS_PER_MS,
                  ATTRS("request_id", "req-7", "http.route", "/images"));
    fake_add_span(db, 1, 0x12, 0x11, "api", "enqueue", SPAN_KIND_PRODUCER, S(10) + 1000,
                  5 * NS_PER_MS, NULL);
    uint32_t row = fake_add_span(db, 1, 0x13, 0x12, "worker", "process", SPAN_KIND_CONSUMER, S(11),
                                 1500 * NS_PER_MS, ATTRS("job.id", "42"));
    static span_event event;
    static span_link link;
    event = (span_event){ .time_ns = S(11) + 5000, .name = STR("retry") };
    memset(&link.trace, 2, sizeof(link.trace));
    memset(&link.span, 0x21, sizeof(link.span));
    s->events[row] = (span_events){ &event, 1, 0 };
    s->links[row] = (span_links){ &link, 1, 0 };
    row = fake_add_span(db, 2, 0x21, 0, "api", "GET /images", SPAN_KIND_SERVER, S(20),
                        40 * NS_PER_MS, ATTRS("http.route", "/images"));
    s->status[row] = SPAN_STATUS_ERROR;
    s->status_message[row] = STR("database is gone");
    return 0;
}

static void lists_services_and_operations(void **state)
{
    (void)state;
    assert_answer(
        "/jaeger/api/services", 200,
        "{\"data\":[\"api\",\"worker\"],\"total\":2,\"limit\":0,\"offset\":0,\"errors\":null}");
    assert_answer(
        "/jaeger/api/services/api/operations", 200,
        "{\"data\":[\"GET /images\",\"POST /images\",\"enqueue\"],\"total\":3,\"limit\":0,"
        "\"offset\":0,\"errors\":null}");
    assert_answer(
        "/jaeger/api/operations?service=api&spanKind=producer", 200,
        "{\"data\":[{\"name\":\"enqueue\",\"spanKind\":\"producer\"}],\"total\":1,\"limit\":0,"
        "\"offset\":0,\"errors\":null}");
    assert_answer_has("/jaeger/api/operations", 400, "parameter 'service' is required");
}

static void writes_spans_as_jaeger_does(void **state)
{
    (void)state;
    assert_answer(
        "/jaeger/api/traces/" TRACE_2, 200,
        "{\"data\":[{\"traceID\":\"" TRACE_2 "\",\"spans\":[{\"traceID\":\"" TRACE_2 "\","
        "\"spanID\":\"2121212121212121\",\"flags\":0,\"operationName\":\"GET /images\","
        "\"references\":[],\"startTime\":20000000,\"duration\":40000,\"tags\":["
        "{\"key\":\"http.route\",\"type\":\"string\",\"value\":\"/images\"},"
        "{\"key\":\"span.kind\",\"type\":\"string\",\"value\":\"server\"},"
        "{\"key\":\"otel.scope.name\",\"type\":\"string\",\"value\":\"fake\"},"
        "{\"key\":\"otel.status_code\",\"type\":\"string\",\"value\":\"ERROR\"},"
        "{\"key\":\"error\",\"type\":\"bool\",\"value\":true},"
        "{\"key\":\"otel.status_description\",\"type\":\"string\",\"value\":\"database is gone\"}],"
        "\"logs\":[],"
        "\"processID\":\"p1\",\"warnings\":null}],\"processes\":{\"p1\":{\"serviceName\":\"api\","
        "\"tags\":[]}},\"warnings\":null}],\"total\":0,\"limit\":0,\"offset\":0,"
        "\"errors\":null}");
    assert_int_equal(get("/jaeger/api/traces/" TRACE_1), 200);
    str body = fake_body();
    assert_true(
        str_contains(body, STR("\"processes\":{\"p1\":{\"serviceName\":\"api\",\"tags\":[]},"
                               "\"p2\":{\"serviceName\":\"worker\",\"tags\":[]}}")));
    assert_true(str_contains(
        body,
        STR("\"references\":[{\"refType\":\"CHILD_OF\",\"traceID\":\"" TRACE_1 "\",\"spanID\":"
            "\"1212121212121212\"},{\"refType\":\"FOLLOWS_FROM\",\"traceID\":\"" TRACE_2 "\","
            "\"spanID\":\"2121212121212121\"}]")));
    assert_true(
        str_contains(body, STR("\"logs\":[{\"timestamp\":11000005,\"fields\":[{\"key\":\"event\","
                               "\"type\":\"string\",\"value\":\"retry\"}]}]")));
}

static void a_missing_trace_is_404(void **state)
{
    (void)state;
    assert_answer(
        "/jaeger/api/traces/ff", 404,
        "{\"data\":null,\"total\":0,\"limit\":0,\"offset\":0,\"errors\":[{\"code\":404,\"msg\":"
        "\"trace not found\"}]}");
    assert_answer_has("/jaeger/api/traces/xyz", 400, "malformed parameter 'traceID'");
    assert_answer_has("/jaeger/api/traces/" TRACE_1 "00", 400, "malformed parameter 'traceID'");
}

#define SEARCH "/jaeger/api/traces?start=0&end=100000000"

static void assert_traces(const char *target, bool first, bool second)
{
    assert_int_equal(get(target), 200);
    if (str_contains(fake_body(), STR("{\"traceID\":\"" TRACE_1 "\",\"spans\"")) != first ||
        str_contains(fake_body(), STR("{\"traceID\":\"" TRACE_2 "\",\"spans\"")) != second)
        fail_msg("%s: %.*s", target, STR_ARG(fake_body()));
}

static void searches_traces(void **state)
{
    (void)state;
    assert_traces(SEARCH, true, true);
    assert_traces(SEARCH "&service=worker", true, false);
    assert_traces(SEARCH "&service=api&operation=GET%20/images", false, true);
    assert_traces(SEARCH "&service=api&minDuration=100ms", true, false);
    assert_traces(SEARCH "&service=api&minDuration=10ms&maxDuration=50ms", false, true);
    assert_traces(SEARCH "&service=api&tags=%7B%22error%22:%22true%22%7D", false, true);
    assert_traces(SEARCH "&service=api&tags=%7B%22error%22:false%7D", true, false);
    assert_traces(SEARCH "&tags=%7B%22job.id%22:42%7D", true, false);
    assert_traces(SEARCH "&tag=http.route:/images&tag=span.kind:server", true, true);
    assert_traces(SEARCH "&limit=1", false, true);
    assert_traces("/jaeger/api/traces?start=0&end=15000000", true, false);
    assert_traces("/jaeger/api/traces?traceID=" TRACE_2, false, true);
    assert_traces("/jaeger/api/traces?lookback=1h", false, false);
    assert_answer_has(SEARCH "&minDuration=fast", 400, "unable to parse param 'minDuration'");
    assert_answer_has(SEARCH "&minDuration=2s&maxDuration=1s", 400, "should be greater");
    assert_answer_has(SEARCH "&tags=%5B%5D", 400, "malformed 'tags' parameter");
    assert_answer_has(SEARCH "&tag=novalue", 400, "malformed 'tag' parameter");
    assert_answer_has(SEARCH "&limit=0", 400, "limit must be");
    db->fail_with = STATUS_CANCELED;
    assert_answer_has(SEARCH, 503, "\"code\":503");
}

static void tells_who_calls_whom(void **state)
{
    (void)state;
    assert_answer(
        "/jaeger/api/dependencies?endTs=100000&lookback=100000", 200,
        "{\"data\":[{\"parent\":\"api\",\"child\":\"worker\",\"callCount\":1}],\"total\":1,"
        "\"limit\":0,\"offset\":0,\"errors\":null}");
    assert_answer("/jaeger/api/dependencies?endTs=5000&lookback=1000", 200,
                  "{\"data\":[],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}");
}

/* ---- sonde's own ---- */

static void sums_up_services(void **state)
{
    (void)state;
    fake_add_log(db, S(10), "api", 9, "hello", NULL);
    fake_add_log(db, S(10), "cron", 9, "tick", NULL);
    assert_int_equal(get("/api/sonde/v1/services?start=0&end=100"), 200);
    str body = fake_body();
    assert_true(
        str_contains(body, STR("{\"service\":\"api\",\"requests\":2,\"rate\":0.02,\"errors\":1,"
                               "\"error_ratio\":0.5,\"p50_ms\":")));
    assert_true(str_contains(body, STR("\"spans\":3,\"logs\":1}")));
    assert_true(
        str_contains(body, STR("{\"service\":\"cron\",\"requests\":0,\"rate\":0,\"errors\":0,"
                               "\"error_ratio\":0,\"p50_ms\":0,\"p95_ms\":0,\"p99_ms\":0,"
                               "\"spans\":0,\"logs\":1}")));
    assert_true(str_contains(body, STR("{\"service\":\"worker\",\"requests\":1,")));
    assert_answer("/api/sonde/v1/services?start=50&end=100", 200, "{\"data\":[]}");
    assert_answer_has("/api/sonde/v1/services?start=5&end=1", 400, "start must be before end");
}

static double number_after(str text, const char *key)
{
    double number = -1;
    str at = str_slice(text, str_find(text, str_c(key)) + strlen(key), text.len);
    size_t n = strspn(at.ptr, "0123456789.e+-");
    assert_true(str_to_f64(str_slice(at, 0, n), &number));
    return number;
}

static void quantiles_are_within_two_percent(void **state)
{
    (void)state;
    for (int i = 1; i <= 1000; i++)
        fake_add_span(db, 9, 9, 0, "many", "op", SPAN_KIND_SERVER, S(500), i * NS_PER_MS, NULL);
    assert_int_equal(get("/api/sonde/v1/services?start=400&end=600"), 200);
    double p50 = number_after(fake_body(), "\"p50_ms\":"),
           p95 = number_after(fake_body(), "\"p95_ms\":");
    double p99 = number_after(fake_body(), "\"p99_ms\":");
    assert_true(p50 > 490 && p50 < 510);
    assert_true(p95 > 931 && p95 < 969);
    assert_true(p99 > 970 && p99 < 1010);
}

static void finds_traces_by_any_id(void **state)
{
    (void)state;
    uint32_t row = fake_add_log(db, S(10), "api", 9, "x", ATTRS("request_id", "only-in-logs"));
    memset(&db->rows[SIGNAL_LOGS].logs.trace[row], 2, 16);
#define FOUND(id) "{\"data\":{\"trace_ids\":[\"" id "\"]}}"
    assert_answer("/api/sonde/v1/find?id=" TRACE_1, 200, FOUND(TRACE_1));
    assert_answer("/api/sonde/v1/find?id=req-7", 200, FOUND(TRACE_1));
    assert_answer("/api/sonde/v1/find?id=42", 200, FOUND(TRACE_1));
    assert_answer("/api/sonde/v1/find?id=only-in-logs", 200, FOUND(TRACE_2));
    assert_answer("/api/sonde/v1/find?id=nothing", 200, "{\"data\":{\"trace_ids\":[]}}");
    assert_answer("/api/sonde/v1/find?id=0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f", 200,
                  "{\"data\":{\"trace_ids\":[]}}");
    assert_answer_has("/api/sonde/v1/find", 400, "is missing");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, api_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lists_services_and_operations),
        TEST(writes_spans_as_jaeger_does),
        TEST(a_missing_trace_is_404),
        TEST(searches_traces),
        TEST(tells_who_calls_whom),
        TEST(sums_up_services),
        TEST(quantiles_are_within_two_percent),
        TEST(finds_traces_by_any_id),
    };
    return cmocka_run_group_tests_name("jaeger", tests, NULL, NULL);
}
