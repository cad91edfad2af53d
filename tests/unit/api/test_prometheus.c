// SPDX-License-Identifier: Apache-2.0
/* The Prometheus API over the fake store: shapes, parameters, error codes. */
#include "unit/api/api_support.h"

static void add(const char *name, const char *job, double first, double step)
{
    label l[] = { { STR("__name__"), str_c(name) }, { STR("job"), str_c(job) } };
    int64_t times[61];
    double v[61];
    for (int i = 0; i <= 60; i++) {
        times[i] = i * 10000;
        v[i] = first + step * i;
    }
    fake_add_samples(db, (labels){ l, 2 }, times, v, 61);
}

static void answers_instant_queries(void **state)
{
    (void)state;
    add("up", "api", 1, 0);
    add("up", "db", 0.5, 0);
    assert_answer(
        "/api/v1/query?query=up&time=60.5", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
        "{\"metric\":{\"__name__\":\"up\",\"job\":\"api\"},\"value\":[60.500,\"1\"]},"
        "{\"metric\":{\"__name__\":\"up\",\"job\":\"db\"},\"value\":[60.500,\"0.5\"]}]}}");
    assert_string_equal(fake_x.content_type, "application/json");
    assert_answer(
        "/api/v1/query?query=1%2B1&time=60", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[60,\"2\"]}}");
    assert_answer(
        "/api/v1/query?query=%22a%5C%22b%22&time=60", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"string\",\"result\":[60,\"a\\\"b\"]}}");
    assert_answer("/api/v1/query?query=up%7Bjob=%22db%22%7D%5B15s%5D&time=60", 200,
                  "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":["
                  "{\"metric\":{\"__name__\":\"up\",\"job\":\"db\"},"
                  "\"values\":[[50,\"0.5\"],[60,\"0.5\"]]}]}}");
    assert_answer("/api/v1/query?query=vector(1/0)&time=1970-01-01T00:01:00Z", 200,
                  "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
                  "{\"metric\":{},\"value\":[60,\"+Inf\"]}]}}");
    assert_answer("/api/v1/query?query=gone&time=60", 200,
                  "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}");
    assert_answer_has("/api/v1/query?query=up&time=60&limit=1", 200,
                      "\"warnings\":[\"results truncated due to limit\"]");
}

static void answers_range_queries(void **state)
{
    (void)state;
    add("requests_total", "api", 0, 10);
    assert_answer(
        "/api/v1/query_range?query=rate(requests_total%5B1m%5D)&start=60&end=120&step=30", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":["
        "{\"metric\":{\"job\":\"api\"},\"values\":[[60,\"1\"],[90,\"1\"],[120,\"1\"]]}]}}");
    assert_answer("/api/v1/query_range?query=time()&start=0&end=1&step=500ms", 200,
                  "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":["
                  "{\"metric\":{},\"values\":[[0,\"0\"],[0.500,\"0.5\"],[1,\"1\"]]}]}}");
    assert_answer_has("/api/v1/query_range?query=rate(up%5B1m%5D)&start=60&end=120&step=30", 200,
                      "\"result\":[]");
}

static void tells_warnings_and_infos(void **state)
{
    (void)state;
    add("depth", "api", 0, 1);
    assert_answer_has(
        "/api/v1/query?query=rate(depth%5B1m%5D)&time=60", 200,
        ",\"infos\":[\"PromQL info: metric might not be a counter, name does not end in "
        "_total/_sum/_count/_bucket: \\\"depth\\\" (1:6)\"]}");
    assert_answer_has(
        "/api/v1/query?query=quantile(2,depth)&time=60", 200,
        ",\"warnings\":[\"PromQL warning: quantile value should be between 0 and 1, got 2 "
        "(1:10)\"]}");
}

static void refuses_bad_parameters(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "/api/v1/query?query=rate(up)", "invalid parameter \\\"query\\\": 1:6: parse error: "
                                          "expected type range vector in call to "
                                          "function \\\"rate\\\", got instant vector" },
        { "/api/v1/query",
          "invalid parameter \\\"query\\\": unknown position: parse error: no expression found in "
          "input" },
        { "/api/v1/query?query=up&time=noon", "invalid parameter \\\"time\\\": invalid time value "
                                              "for 'time': cannot parse \\\"noon\\\" to a "
                                              "valid timestamp" },
        { "/api/v1/query?query=up&timeout=-1",
          "invalid parameter \\\"timeout\\\": cannot parse \\\"-1\\\" to a valid duration" },
        { "/api/v1/query_range?query=up&end=1&step=1",
          "invalid parameter \\\"start\\\": cannot parse \\\"\\\" to a valid timestamp" },
        { "/api/v1/query_range?query=up&start=2&end=1&step=1",
          "invalid parameter \\\"end\\\": end timestamp must not be before start time" },
        { "/api/v1/query_range?query=up&start=0&end=1&step=0",
          "invalid parameter \\\"step\\\": zero or negative query resolution step widths are not "
          "accepted. Try a positive integer" },
        { "/api/v1/query_range?query=up&start=0&end=11001&step=1",
          "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
          "resolution (?step=XX)" },
        { "/api/v1/query_range?query=up%5B5m%5D&start=0&end=1&step=1",
          "invalid parameter \\\"query\\\": invalid expression type \\\"range vector\\\" for range "
          "query, "
          "must be Scalar or instant Vector" },
        { "/api/v1/series", "no match[] parameter provided" },
        { "/api/v1/labels?match%5B%5D=1%2B1", "1:1: parse error: unexpected number \\\"1\\\"" },
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        char body[600];
        snprintf(body, sizeof(body),
                 "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"%s\"}", pairs[i][1]);
        assert_answer(pairs[i][0], 400, body);
    }
}

static void tells_failures_apart(void **state)
{
    (void)state;
    add("a_total", "api", 1, 0);
    add("b_total", "api", 1, 0);
    assert_answer(
        "/api/v1/"
        "query?query=a_total*on()b_total%2Bon()%7B__name__=~%22._total%22%7D&time=60",
        422,
        "{\"status\":\"error\",\"errorType\":\"execution\",\"error\":\"found duplicate "
        "series for "
        "the match group {} on the right hand-side of the operation: [{__name__=\\\"a_total\\\", "
        "job=\\\"api\\\"}, {__name__=\\\"b_total\\\", job=\\\"api\\\"}];many-to-many matching not "
        "allowed: matching labels must be unique on one side\"}");
    db->fail_with = STATUS_CANCELED;
    assert_answer_has("/api/v1/query?query=up", 503, "\"errorType\":\"timeout\"");
    db->fail_with = STATUS_IO;
    assert_answer_has("/api/v1/query?query=up", 500, "\"errorType\":\"internal\"");
    db->fail_with = STATUS_LIMIT;
    assert_answer_has("/api/v1/labels", 422, "\"errorType\":\"execution\"");
}

static void waiting_uses_up_the_time(void **state)
{
    (void)state;
    add("up", "api", 1, 0);
    fake_waited_ns = S(20);
    assert_answer_has("/api/v1/query?query=up&time=0", 200, "\"success\"");
    assert_answer_has("/api/v1/query?query=up&time=0&timeout=10s", 503, "timed out");
    fake_waited_ns = S(31);
    assert_answer_has("/api/v1/query?query=up&time=0", 503, "query timed out");
    fake_waited_ns = 0;
}

static void lists_series_and_labels(void **state)
{
    (void)state;
    add("up", "api", 1, 0);
    add("up", "db", 1, 0);
    add("down", "api", 1, 0);
    assert_answer("/api/v1/labels", 200,
                  "{\"status\":\"success\",\"data\":[\"__name__\",\"job\"]}");
    assert_answer("/api/v1/label/job/values", 200,
                  "{\"status\":\"success\",\"data\":[\"api\",\"db\"]}");
    assert_answer("/api/v1/label/job/values?match%5B%5D=down&match%5B%5D=gone", 200,
                  "{\"status\":\"success\",\"data\":[\"api\"]}");
    assert_answer("/api/v1/label/__name__/values?limit=1", 200,
                  "{\"status\":\"success\",\"data\":[\"down\"],"
                  "\"warnings\":[\"results truncated due to limit\"]}");
    assert_answer("/api/v1/series?match%5B%5D=up&match%5B%5D=%7Bjob=%22api%22%7D", 200,
                  "{\"status\":\"success\",\"data\":["
                  "{\"__name__\":\"down\",\"job\":\"api\"},{\"__name__\":\"up\",\"job\":\"api\"},"
                  "{\"__name__\":\"up\",\"job\":\"db\"}]}");
    assert_answer("/api/v1/series?match%5B%5D=up&start=1000", 200,
                  "{\"status\":\"success\",\"data\":[]}");
    assert_answer(
        "/api/v1/metadata", 200,
        "{\"status\":\"success\",\"data\":{\"http_requests_total\":[{\"type\":\"counter\","
        "\"help\":\"Requests.\",\"unit\":\"\"}]}}");
    assert_answer("/api/v1/metadata?metric=other", 200, "{\"status\":\"success\",\"data\":{}}");
    assert_answer("/api/v1/format_query?query=sum(up)by(job)", 200,
                  "{\"status\":\"success\",\"data\":\"sum by (job) (up)\"}");
    assert_answer_has("/api/v1/status/buildinfo", 200, "\"application\":\"sonde\"");
    assert_answer_has("/api/v1/status/runtimeinfo", 200, "\"timeSeriesCount\":3");
}

static void streams_long_answers(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        char job[16];
        snprintf(job, sizeof(job), "%03d", i);
        add("up", job, i, 1);
    }
    assert_int_equal(get("/api/v1/query_range?query=up&start=0&end=600&step=10"), 200);
    assert_true(fake_x.flushes >= 1);
    assert_true(str_ends(fake_body(), STR("\"]]}]}}")));
    assert_true(str_contains(fake_body(), STR("\"job\":\"299\"")));
}

static void every_route_is_explained(void **state)
{
    (void)state;
    size_t count;
    const http_route *rows = api_routes(queries, &count);
    assert_true(count > 20);
    for (size_t i = 0; i < count; i++) {
        assert_true(rows[i].path[0] == '/' && strlen(rows[i].help) > 10);
        assert_int_equal(rows[i].pool, POOL_QUERY);
        for (size_t k = 0; k < i; k++)
            assert_true(strcmp(rows[i].path, rows[k].path) || rows[i].method != rows[k].method);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(answers_instant_queries),  API_TEST(answers_range_queries),
        API_TEST(tells_warnings_and_infos), API_TEST(refuses_bad_parameters),
        API_TEST(tells_failures_apart),     API_TEST(waiting_uses_up_the_time),
        API_TEST(lists_series_and_labels),  API_TEST(streams_long_answers),
        API_TEST(every_route_is_explained),
    };
    return cmocka_run_group_tests_name("prometheus", tests, NULL, NULL);
}
