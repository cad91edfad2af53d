// SPDX-License-Identifier: Apache-2.0
/* LogQL over the fake store: selectors on any field, pipelines, metrics, and errors. */
#include "support.h"

#include "query/logql/logql.h"
#include "unit/query/fake_store.h"

#define S(n) ((n)*NS_PER_S)

static store *db;
static arena memory;

static int set_up(void **state)
{
    (void)state;
    db = fake_store_new();
    arena_init(&memory, MiB(64));
#define ATTRS(...) ((const char *const[]){ __VA_ARGS__, NULL })
    fake_add_log(db, S(1), "api", 9, "Image created successfully",
                 ATTRS("user_id", "user_xyz", "duration_ms", "45", "request.id", "r-1"));
    fake_add_log(db, S(2), "api", 17, "database is gone", ATTRS("user_id", "u2", "took", "1.5s"));
    fake_add_log(db, S(3), "worker", 9, "job done", ATTRS("job.id", "7", "size", "20MB"));
    fake_add_log(db, S(4), "api", 9,
                 "{\"method\":\"GET\",\"http\":{\"status\":200},\"level\":\"x\","
                 "\"list\":[1,2]}",
                 ATTRS("user_id", "u3"));
    fake_add_log(db, S(5), "api", 13, "level=warn method=PUT msg=\"slow request\" n=3", NULL);
    fake_add_log(db, S(6), "api", 9, "{broken", NULL);
    uint32_t row = fake_add_log(db, S(7), "worker", 21, "dying", NULL);
    memset(&db->rows[SIGNAL_LOGS].logs.trace[row], 0xab, 16);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_store_free(db);
    arena_done(&memory);
    return 0;
}

/* The seconds of the lines found, as "1 2 4". */
static str found_by(const char *query, uint32_t limit, bool newest_first)
{
    error err;
    logql_query q;
    logql_lines lines;
    logql_options o = { 0, S(100), limit, newest_first, NULL };
    if (logql_parse(&q, str_c(query), &memory, &err) != STATUS_OK)
        return arena_fmt(&memory, "%s", err.message);
    assert_non_null(q.pipeline);
    assert_ok(logql_select(db, q.pipeline, &o, &memory, &lines, &err));
    str text = STR_EMPTY;
    for (uint32_t i = 0; i < lines.count; i++)
        text = arena_fmt(&memory, "%.*s%s%d", STR_ARG(text), i ? " " : "",
                         (int)(lines.lines[i].time_ns / NS_PER_S));
    return text;
}

#define assert_found(query, expected) assert_str(found_by(query, 100, false), STR(expected))

static void selects_by_any_field(void **state)
{
    (void)state;
    assert_found("{service=\"api\"}", "1 2 4 5 6");
    assert_found("{service=\"api\", level=\"error\"}", "2");
    assert_found("{service=\"api\"} |= \"Image created\"", "1");
    assert_found("{service_name=~\"work.*\"}", "3 7");
    assert_found("{user_id=~\".+\"}", "1 2 4");
    assert_found("{service=\"api\", user_id=\"\"}", "5 6");
    assert_found("{request_id=\"r-1\"}", "1");
    assert_found("{job_id=\"7\"}", "3");
    assert_found("{level=~\"error|fatal\"}", "2 7");
    assert_found("{trace_id=\"abababababababababababababababab\"}", "7");
}

static void filters_lines(void **state)
{
    (void)state;
    assert_found("{service=\"api\"} != \"{\"", "1 2 5");
    assert_found("{service=\"api\"} |~ \"(GET|PUT)\"", "4 5");
    assert_found("{service=\"api\"} !~ \"^[{l]\"", "1 2");
    assert_found("{service=\"api\"} |= \"GET\" or \"PUT\"", "4 5");
    assert_found("{service=\"api\"} |= \"method\" != \"PUT\"", "4");
    /* Behind a stage that cannot go to the store as well. */
    assert_found("{service=\"api\"} | level=\"info\" |= \"method\"", "4");
}

static void filters_labels(void **state)
{
    (void)state;
    assert_found("{service=\"api\"} | level=\"error\"", "2");
    assert_found("{service=\"api\"} | level!=\"info\"", "2 5");
    assert_found("{service=\"api\"} | duration_ms > 40", "1");
    assert_found("{service=\"api\"} | duration_ms > 45 or level=\"error\"", "2");
    assert_found("{service=\"api\"} | (duration_ms >= 45, level=\"info\") or user_id=\"u2\"",
                 "1 2");
    assert_found("{service=\"api\"} | took > 1s and took <= 1500ms", "2");
    assert_found("{service=\"worker\"} | size > 10MB", "3");
    assert_found("{service=\"worker\"} | size < 10KiB", "");
    assert_found("{service=\"api\"} | user_id=~\"u[0-9]\"", "2 4");
    assert_found("{service=\"api\"} | user_id=\"\"", "5 6");
    /* A text that is no number passes, marked with an error, as in Loki. */
    assert_found("{service=\"api\"} | user_id > 5", "1 2 4");
    assert_found("{service=\"api\"} | user_id > 5 | __error__=\"\"", "");
}

static void extracts_json_and_logfmt(void **state)
{
    (void)state;
    assert_found("{service=\"api\"} | json | method=\"GET\"", "4");
    assert_found("{service=\"api\"} | json | http_status = 200", "4");
    assert_found("{service=\"api\"} | json | level_extracted=\"x\"", "4");
    assert_found("{service=\"api\"} | json | __error__=\"JSONParserErr\"", "6");
    assert_found("{service=\"api\"} | json | list=\"\" | method=~\".+\"", "4");
    assert_found("{service=\"api\"} | logfmt | method=\"PUT\" | msg=\"slow request\"", "5");
    assert_found("{service=\"api\"} | logfmt | n >= 3", "5");
    /* A record whose body is no JSON has its fields already. */
    assert_found("{service=\"api\"} | json | duration_ms = 45", "1");
}

static void orders_and_limits(void **state)
{
    (void)state;
    assert_str(found_by("{service=\"api\"}", 2, true), STR("6 5"));
    assert_str(found_by("{service=\"api\"}", 2, false), STR("1 2"));
    assert_str(found_by("{service=\"api\"} | json | level=\"info\"", 2, true), STR("6 4"));
}

static void tells_streams_from_metadata(void **state)
{
    (void)state;
    error err;
    logql_query q;
    logql_lines lines;
    logql_options o = { 0, S(3), 10, false, NULL };
    assert_ok(logql_parse(&q, STR("{service=\"api\"} | json"), &memory, &err));
    assert_ok(logql_select(db, q.pipeline, &o, &memory, &lines, &err));
    assert_int_equal(lines.count, 2);
    assert_int_equal(lines.stream_count, 2);
    assert_str(labels_get(lines.streams[0], STR("level")), STR("info"));
    assert_str(labels_get(lines.streams[0], STR("service_name")), STR("api"));
    assert_int_equal(lines.streams[0].count, 2);
    assert_str(labels_get(lines.lines[0].structured, STR("user_id")), STR("user_xyz"));
    assert_str(labels_get(lines.lines[0].structured, STR("request_id")), STR("r-1"));
    assert_int_equal(labels_get(lines.lines[0].structured, STR("service_name")).len, 0);
    /* drop hides labels of all three kinds. */
    assert_ok(logql_parse(&q, STR("{service=\"api\"} | drop level, user_id"), &memory, &err));
    assert_ok(logql_select(db, q.pipeline, &o, &memory, &lines, &err));
    assert_int_equal(lines.stream_count, 1);
    assert_int_equal(labels_get(lines.lines[0].structured, STR("user_id")).len, 0);
}

/* ---- metrics ---- */

/* "{labels} v v _ v" of each series, one a line. */
static str metric(const char *query, int64_t start_s, int64_t end_s, int64_t step_s)
{
    error err;
    logql_query q;
    promql_result r;
    buf out;
    promql_options o = { .start_ms = start_s * 1000,
                         .end_ms = end_s * 1000,
                         .step_ms = step_s * 1000 };
    if (logql_parse(&q, str_c(query), &memory, &err) != STATUS_OK ||
        logql_range_query(db, &q, str_c(query), &o, &memory, &r, &err) != STATUS_OK)
        return arena_fmt(&memory, "%s", err.message);
    buf_init(&out, 0);
    for (uint32_t i = 0; i < r.count; i++) {
        uint32_t k = 0;
        if (i)
            buf_char(&out, '\n');
        labels_print(&out, r.series[i].labels);
        for (int64_t t = o.start_ms; t <= o.end_ms; t += o.step_ms) {
            buf_char(&out, ' ');
            if (k < r.series[i].count && r.series[i].time_ms[k] == t)
                buf_f64(&out, r.series[i].value[k++]);
            else
                buf_char(&out, '_');
        }
    }
    str copy = arena_str(&memory, buf_view(&out));
    buf_done(&out);
    return copy;
}

static void counts_lines(void **state)
{
    (void)state;
    /* The window is open to the left: a line at 1 s counts from 1 s until before 3 s. */
    assert_str(metric("sum(count_over_time({service=\"api\"}[2s]))", 0, 8, 1),
               STR("{} _ 1 2 1 1 2 2 1 _"));
    assert_str(metric("sum by (level) (count_over_time({service=\"api\"}[10s]))", 6, 6, 1),
               STR("{level=\"error\"} 1\n{level=\"info\"} 3\n{level=\"warn\"} 1"));
    assert_str(
        metric("sum by (level) (count_over_time({service=\"api\"} |= \"Image\" [5s]))", 0, 10, 5),
        STR("{level=\"info\"} _ 1 _"));
    assert_str(metric("sum by (level, detected_level) (count_over_time({service=\"worker\"} | drop "
                      "__error__[10s]))",
                      7, 7, 1),
               STR("{detected_level=\"fatal\", level=\"fatal\"} 1\n"
                   "{detected_level=\"info\", level=\"info\"} 1"));
    assert_str(metric("count_over_time({service=\"worker\"}[10s])", 7, 7, 1),
               STR("{level=\"fatal\", service_name=\"worker\"} 1\n"
                   "{level=\"info\", service_name=\"worker\"} 1"));
    assert_str(metric("rate({service=\"api\", level=\"error\"}[10s])", 5, 5, 1),
               STR("{level=\"error\", service_name=\"api\"} 0.1"));
    assert_str(metric("sum(bytes_over_time({service=\"worker\"}[10s]))", 7, 7, 1), STR("{} 13"));
    assert_str(metric("sum(bytes_rate({service=\"worker\"}[10s]))", 7, 7, 1), STR("{} 1.3"));
    assert_str(metric("sum(count_over_time({service=\"api\"}[2s] offset 2s))", 2, 4, 1),
               STR("{} _ 1 2"));
    assert_str(metric("sum(count_over_time({service=\"api\"}[10s] |= \"Image\"))", 5, 5, 1),
               STR("{} 1"));
}

static void groups_by_any_field(void **state)
{
    (void)state;
    assert_str(metric("sum by (user_id) (count_over_time({service=\"api\"}[10s]))", 7, 7, 1),
               STR("{} 2\n{user_id=\"u2\"} 1\n{user_id=\"u3\"} 1\n{user_id=\"user_xyz\"} 1"));
    assert_str(metric("max by (service) (count_over_time({level=\"info\"}[10s]))", 7, 7, 1),
               STR("{service=\"api\"} 3\n{service=\"worker\"} 1"));
    assert_str(
        metric("sum by (msg) (count_over_time({service=\"api\"} | logfmt | msg=~\".+\"[10s]))", 7,
               7, 1),
        STR("{msg=\"slow request\"} 1"));
    assert_str(metric("topk(1, sum by (service) (count_over_time({level=~\".+\"}[10s])))", 7, 7, 1),
               STR("{service=\"api\"} 5"));
    assert_str(metric("count(count_over_time({service=\"api\"}[10s]))", 7, 7, 1), STR("{} 3"));
}

static void computes_with_metrics(void **state)
{
    (void)state;
    assert_str(metric("vector(1)+vector(1)", 0, 0, 1), STR("{} 2"));
    assert_str(metric("sum(count_over_time({service=\"api\", level=\"error\"}[10s])) / "
                      "sum(count_over_time({service=\"api\"}[10s]))",
                      7, 7, 1),
               STR("{} 0.2"));
    assert_str(metric("sum by (service) (count_over_time({level=~\".+\"}[10s])) > 2", 7, 7, 1),
               STR("{service=\"api\"} 5"));
    assert_str(metric("(2 + 3) * 2", 0, 1, 1), STR("{} 10 10"));
    assert_str(metric("sum(count_over_time({service=\"none\"}[1s])) or vector(0)", 0, 1, 1),
               STR("{} 0 0"));
}

static void a_broken_line_fails_a_metric(void **state)
{
    (void)state;
    assert_true(str_starts(metric("sum(count_over_time({service=\"api\"} | json [10s]))", 7, 7, 1),
                           STR("pipeline error: 'JSONParserErr'")));
    assert_str(
        metric("sum(count_over_time({service=\"api\"} | json | __error__=\"\" [10s]))", 7, 7, 1),
        STR("{} 4"));
}

static void says_what_is_wrong_and_where(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "{service=~\".*\"}",
          "parse error at line 1, col 1: queries require at least one regexp or equality matcher "
          "that "
          "does not have an empty-compatible value. For instance, app=~\".*\" does not meet this "
          "requirement, but app=~\".+\" will" },
        { "{service=\"\"}",
          "parse error at line 1, col 1: queries require at least one regexp or equality matcher "
          "that "
          "does not have an empty-compatible value. For instance, app=~\".*\" does not meet this "
          "requirement, but app=~\".+\" will" },
        { "{service=\"api\"} |=", "parse error at line 1, col 19: unexpected end of input in line "
                                  "filter, expected string" },
        { "{service=\"api\"} | line_format \"x\"",
          "parse error at line 1, col 19: the stage \"line_format\" is not supported by this "
          "version" },
        { "{service=\"api\"} | level", "parse error at line 1, col 24: unexpected end of input in "
                                       "label filter, expected an operator "
                                       "like = or >" },
        { "count_over_time({service=\"api\"})", "parse error at line 1, col 32: missing range: "
                                                "expected a duration in brackets, like [5m]" },
        { "rate({service=\"api\"}[5x])",
          "parse error at line 1, col 22: bad number or duration syntax: \"5x\"" },
        { "sum({service=\"api\"})", "parse error at line 1, col 5: expected type instant vector in "
                                    "aggregation expression, got log "
                                    "lines" },
        { "abs(vector(1))", "parse error at line 1, col 1: unknown function with name \"abs\"" },
        { "up", "parse error at line 1, col 1: unexpected identifier \"up\"" },
        { "{a=\"b\"} | x > \"y\"", "parse error at line 1, col 15: unexpected string \"y\" in "
                                   "label filter, expected string, "
                                   "number, duration or bytes" },
        { "{a=~\"(\"}", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        logql_query q;
        error err;
        assert_int_equal(logql_parse(&q, str_c(pairs[i][0]), &memory, &err), STATUS_INVALID);
        if (pairs[i][1])
            assert_str(str_c(err.message), str_c(pairs[i][1]));
    }
}

static void refuses_what_is_too_deep(void **state)
{
    (void)state;
    static const char *const opens[] = { "(", "count_over_time(", "{a=\"b\"} | (", "sum(" };
    for (size_t k = 0; k < ARRAY_LEN(opens); k++) {
        buf query;
        error err;
        logql_query q;
        buf_init(&query, 0);
        buf_str(&query, str_c(opens[k]));
        for (int i = 0; i < 3000; i++)
            buf_str(&query, k == 3 ? STR("sum(") : STR("("));
        buf_str(&query, k == 2 ? STR("x=1") : STR("{a=\"b\"}"));
        for (int i = 0; i <= 3000; i++)
            buf_char(&query, ')');
        assert_int_equal(logql_parse(&q, buf_view(&query), &memory, &err), STATUS_INVALID);
        assert_non_null(strstr(err.message, "nested deeper"));
        buf_done(&query);
    }
}

static void counts_streams(void **state)
{
    (void)state;
    error err;
    logql_streams streams;
    logql_query q;
    logql_streams_init(&streams, &memory);
    assert_ok(logql_count_streams(db, NULL, 0, S(100), NULL, &streams, &err));
    assert_int_equal(streams.groups.count, 5);
    assert_int_equal(streams.entries, 7);
    logql_streams_init(&streams, &memory);
    assert_ok(logql_parse(&q, STR("{service=\"worker\"}"), &memory, &err));
    assert_ok(logql_count_streams(db, q.pipeline, 0, S(100), NULL, &streams, &err));
    assert_int_equal(streams.groups.count, 2);
    assert_int_equal(streams.bytes, 13);
}

static void accepts_rows_that_no_store_has_filtered(void **state)
{
    (void)state;
    error err;
    logql_query q;
    logql_lines lines;
    assert_ok(logql_parse(&q, STR("{service=\"api\", level=~\"e.*\"} |= \"gone\""), &memory, &err));
    assert_ok(logql_accept(q.pipeline, &db->rows[SIGNAL_LOGS], 100, &memory, &lines, &err));
    assert_int_equal(lines.count, 1);
    assert_str(lines.lines[0].line, STR("database is gone"));
    assert_ok(logql_parse(&q, STR("{service=\"api\"} | user_id=\"\""), &memory, &err));
    assert_ok(logql_accept(q.pipeline, &db->rows[SIGNAL_LOGS], 1, &memory, &lines, &err));
    assert_int_equal(lines.count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(selects_by_any_field),
        TEST(filters_lines),
        TEST(filters_labels),
        TEST(extracts_json_and_logfmt),
        TEST(orders_and_limits),
        TEST(tells_streams_from_metadata),
        TEST(counts_lines),
        TEST(groups_by_any_field),
        TEST(computes_with_metrics),
        TEST(a_broken_line_fails_a_metric),
        TEST(says_what_is_wrong_and_where),
        TEST(refuses_what_is_too_deep),
        TEST(counts_streams),
        TEST(accepts_rows_that_no_store_has_filtered),
    };
    return cmocka_run_group_tests_name("logql", tests, NULL, NULL);
}
