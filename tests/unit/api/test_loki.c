// SPDX-License-Identifier: Apache-2.0
/* The Loki API over the fake store: streams, metrics, labels, errors, live tail. */
#include "unit/api/api_support.h"

#define ATTRS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int set_up(void **state)
{
    api_set_up(state);
    fake_add_log(db, S(1), "api", 9, "Image created", ATTRS("user.id", "u1"));
    fake_add_log(db, S(2), "api", 17, "database is gone", NULL);
    fake_add_log(db, S(3), "worker", 9, "job done", NULL);
    fake_add_log(db, S(4), "api", 9, "Image deleted", NULL);
    return 0;
}

static void answers_with_streams(void **state)
{
    (void)state;
    assert_answer(
        "/loki/api/v1/query_range?query=%7Bservice=%22api%22%7D%20%7C=%20%22Image%22&start=0&"
        "end=10",
        200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"streams\",\"encodingFlags\":["
        "\"categorize-labels\"],\"result\":[{\"stream\":{\"level\":\"info\",\"service_name\":"
        "\"api\"},\"values\":[[\"4000000000\",\"Image deleted\",{\"structuredMetadata\":{"
        "\"scope_name\":\"fake\"}}],[\"1000000000\",\"Image created\",{\"structuredMetadata\":{"
        "\"scope_name\":\"fake\",\"user_id\":\"u1\"}}]]}],\"stats\":{\"summary\":{"
        "\"totalBytesProcessed\":26,\"totalLinesProcessed\":2,\"totalEntriesReturned\":2}}}}");
    assert_answer_has(
        "/loki/api/v1/query_range?query=%7Bservice=%22api%22%7D&start=0&end=10&limit=1&"
        "direction=forward",
        200, "\"values\":[[\"1000000000\",\"Image created\"");
    assert_answer_has("/loki/api/v1/query_range?query=%7Bservice=%22api%22%7D&start=0&end=4", 200,
                      "\"totalEntriesReturned\":2");
    /* The end is exclusive. */
    assert_false(str_contains(fake_body(), STR("deleted")));
    assert_answer_has(
        "/loki/api/v1/query_range?query=%7Bservice=%22api%22%7D%7Clogfmt%7Cuser_id=%22u1%22&"
        "start=1970-01-01T00:00:00Z&end=1970-01-01T00:00:09.5Z",
        200, "\"totalEntriesReturned\":1");
}

static void answers_with_metrics(void **state)
{
    (void)state;
    assert_answer(
        "/loki/api/v1/query?query=vector(1)%2Bvector(1)&time=5000000000000", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},"
        "\"value\":[5000,\"2\"]}],\"stats\":{}}}");
    assert_answer(
        "/loki/api/v1/query_range?query=sum%20by%20(level)%20(count_over_time(%7Bservice=%22api%"
        "22%7D%5B5s%5D))&start=0&end=10&step=5s",
        200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":["
        "{\"metric\":{\"level\":\"error\"},\"values\":[[5,\"1\"]]},"
        "{\"metric\":{\"level\":\"info\"},\"values\":[[5,\"2\"]]}],\"stats\":{}}}");
    assert_answer(
        "/loki/api/v1/query?query=1%2B1&time=5", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[5,\"2\"],"
        "\"stats\":{}}}");
}

static void says_errors_in_plain_text(void **state)
{
    (void)state;
    assert_answer(
        "/loki/api/v1/query_range?query=%7Bservice=~%22.*%22%7D", 400,
        "parse error at line 1, col 1: queries require at least one regexp or equality matcher "
        "that does not have an empty-compatible value. For instance, app=~\".*\" does not meet "
        "this requirement, but app=~\".+\" will\n");
    assert_string_equal(fake_x.content_type, "text/plain; charset=utf-8");
    assert_answer_has("/loki/api/v1/query?query=%7Bservice=%22api%22%7D", 400,
                      "not supported as an instant query type");
    assert_answer_has("/loki/api/v1/query_range?query=%7Bservice=%22api%22%7D&limit=5001", 400,
                      "(5001 > 5000)");
    assert_answer_has("/loki/api/v1/query_range?query=%7Bservice=%22api%22%7D&direction=up", 400,
                      "invalid direction 'up'");
    assert_answer_has("/loki/api/v1/query_range?query=%7Bservice=%22api%22%7D&start=5&end=1", 400,
                      "end timestamp");
    assert_answer_has("/loki/api/v1/query_range?query=%7Bservice=%22api%22%7D&start=x", 400,
                      "could not parse 'start'");
    assert_answer_has("/loki/api/v1/query_range?query=vector(1)&start=0&end=20000&step=1", 400,
                      "exceeded maximum resolution");
    assert_answer_has("/loki/api/v1/query_range", 400, "the query is empty");
    db->fail_with = STATUS_CANCELED;
    assert_answer_has("/loki/api/v1/query_range?query=%7Bservice=%22api%22%7D", 503, "fake store");
}

static void lists_labels_and_streams(void **state)
{
    (void)state;
    assert_answer("/loki/api/v1/labels?start=0&end=10", 200,
                  "{\"status\":\"success\",\"data\":[\"level\",\"service_name\"]}");
    assert_answer("/loki/api/v1/label/service_name/values?start=0&end=10", 200,
                  "{\"status\":\"success\",\"data\":[\"api\",\"worker\"]}");
    assert_answer(
        "/loki/api/v1/label/service_name/values?start=0&end=10&query=%7Blevel=%22error%22%7D", 200,
        "{\"status\":\"success\",\"data\":[\"api\"]}");
    assert_answer(
        "/loki/api/v1/series?match%5B%5D=%7Bservice=%22api%22%7D&match%5B%5D=%7Blevel=%22info%22%"
        "7D&start=0&end=10",
        200,
        "{\"status\":\"success\",\"data\":[{\"level\":\"info\",\"service_name\":\"api\"},"
        "{\"level\":\"error\",\"service_name\":\"api\"},"
        "{\"level\":\"info\",\"service_name\":\"worker\"}]}");
    assert_answer("/loki/api/v1/index/stats?query=%7Bservice=%22api%22%7D&start=0&end=10", 200,
                  "{\"streams\":2,\"chunks\":2,\"entries\":3,\"bytes\":42}");
}

/* ---- live tail ---- */

#define TAIL "/loki/api/v1/tail?query=%7Bservice=%22api%22%7D&start=0"

static void arrive(int64_t time_ns, const char *service, const char *body)
{
    batch rows;
    uint32_t row = fake_add_log(db, time_ns, service, 9, body, NULL);
    batch_init(&rows, SIGNAL_LOGS, 0);
    fake_copy_row(&rows, &db->rows[SIGNAL_LOGS], row);
    for (int i = 0; i < FAKE_WATCHERS; i++)
        if (db->watchers[i].wake)
            db->watchers[i].wake(db->watchers[i].user, &rows);
    batch_done(&rows);
}

static void tails_the_backlog_then_what_arrives(void **state)
{
    (void)state;
    assert_int_equal(get(TAIL "&limit=2"), 101);
    str sent = buf_view(&fake_ws->sent);
    assert_false(str_contains(sent, STR("Image created")));
    assert_true(str_find(sent, STR("database is gone")) < str_find(sent, STR("Image deleted")));
    assert_false(str_contains(sent, STR("job done")));
    unsigned before = fake_ws->messages;
    arrive(S(5), "worker", "not for us");
    assert_int_equal(fake_ws->messages, before);
    arrive(S(6), "api", "a new line");
    assert_int_equal(fake_ws->messages, before + 1);
    assert_true(
        str_contains(buf_view(&fake_ws->sent),
                     STR("{\"streams\":[{\"stream\":{\"level\":\"info\",\"service_name\":\"api\"},"
                         "\"values\":[[\"6000000000\",\"a new line\",")));
    fake_ws_gone(fake_ws);
}

static void tells_a_slow_client_what_it_lost(void **state)
{
    (void)state;
    assert_int_equal(get(TAIL), 101);
    fake_ws->full = true;
    arrive(S(5), "api", "lost one");
    arrive(S(6), "api", "lost two");
    fake_ws->full = false;
    arrive(S(7), "api", "there again");
    str sent = buf_view(&fake_ws->sent);
    assert_false(str_contains(sent, STR("lost")));
    str last = str_slice(sent, str_find(sent, STR("there again")), sent.len);
    size_t entries = 0;
    for (size_t at; (at = str_find(last, STR("\"timestamp\""))) != SIZE_MAX; entries++)
        last = str_slice(last, at + 1, last.len);
    assert_int_equal(entries, 2);
    arrive(S(8), "api", "and again");
    sent = buf_view(&fake_ws->sent);
    last = str_slice(sent, str_find(sent, STR("and again")), sent.len);
    assert_false(str_contains(last, STR("dropped_entries")));
    fake_ws_gone(fake_ws);
}

static unsigned watchers(void)
{
    unsigned n = 0;
    for (int i = 0; i < FAKE_WATCHERS; i++)
        n += db->watchers[i].wake != NULL;
    return n;
}

static void limits_tails_and_ends_them(void **state)
{
    (void)state;
    assert_int_equal(get(TAIL), 101);
    websocket *first = fake_ws;
    assert_int_equal(get(TAIL), 101);
    websocket *second = fake_ws;
    assert_answer_has(TAIL, 503, "2 live tails are open");
    assert_int_equal(watchers(), 2);
    /* A place is free again when a client has gone. */
    fake_ws_gone(first);
    arrive(S(5), "api", "nobody is there");
    assert_int_equal(get(TAIL), 101);
    websocket *third = fake_ws;
    assert_int_equal(watchers(), 2);
    api_stop(queries);
    assert_int_equal(watchers(), 0);
    assert_true(second->closed && second->close_code == 1001 && third->closed);
    assert_answer_has(TAIL, 503, "the server stops");
    fake_ws_gone(second);
    fake_ws_gone(third);
}

static void refuses_what_cannot_be_followed(void **state)
{
    (void)state;
    assert_answer_has("/loki/api/v1/tail?query=vector(1)", 400, "only log queries");
    assert_answer_has("/loki/api/v1/tail?query=%7B", 400, "parse error at line 1");
    fake_refuse_upgrade = true;
    assert_answer_has(TAIL, 400, "no upgrade");
    fake_refuse_upgrade = false;
    assert_int_equal(watchers(), 0);
    assert_int_equal(get(TAIL), 101);
    fake_ws_gone(fake_ws);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, api_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_with_streams),
        TEST(answers_with_metrics),
        TEST(says_errors_in_plain_text),
        TEST(lists_labels_and_streams),
        TEST(tails_the_backlog_then_what_arrives),
        TEST(tells_a_slow_client_what_it_lost),
        TEST(limits_tails_and_ends_them),
        TEST(refuses_what_cannot_be_followed),
    };
    return cmocka_run_group_tests_name("loki", tests, NULL, NULL);
}
