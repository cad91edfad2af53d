// SPDX-License-Identifier: Apache-2.0
/* Database calls: how SQL texts are read, spans and metrics, pools, calls kept by handle. */
#include "unit/lib/live_fixture.h"

#include "lib/db.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct {
    const char *in, *out, *summary, *collection;
} example;

static void check(const example *examples, size_t count, bool quotes_are_text)
{
    for (size_t i = 0; i < count; i++) {
        sql_summary s;
        buf out;
        buf_init(&out, 0);
        sql_clean(str_c(examples[i].in), quotes_are_text, &out, &s);
        buf_char(&out, '\0');
        assert_string_equal(out.ptr, examples[i].out);
        assert_string_equal(s.summary, examples[i].summary);
        assert_string_equal(s.collection, examples[i].collection);
        buf_done(&out);
    }
}

static void literals_leave_the_text_and_tables_are_found(void **state UNUSED)
{
    static const example examples[] = {
        { "", "", "", "" },
        { "select * from users where id = 7", "select * from users where id = ?", "SELECT users",
          "users" },
        { "SELECT a FROM t WHERE b = 'it''s' -- s3cret\n AND c = $1",
          "SELECT a FROM t WHERE b = ? AND c = $1", "SELECT t", "t" },
        { "INSERT INTO shop.orders (a, b) VALUES (1, 'x'), (2, 'y')",
          "INSERT INTO shop.orders (a, b) VALUES (?), (?)", "INSERT shop.orders", "shop.orders" },
        { "UPDATE \"images\" SET status = E'a\\'b', n = -1.5e+3 WHERE id IN (1,2,3)",
          "UPDATE \"images\" SET status = ?, n = -? WHERE id IN (?)", "UPDATE images", "images" },
        { "DELETE FROM q WHERE id = (SELECT id FROM p ORDER BY id LIMIT 1) RETURNING job",
          "DELETE FROM q WHERE id = (SELECT id FROM p ORDER BY id LIMIT ?) RETURNING job",
          "DELETE q SELECT p", "q" },
        { "WITH x AS (SELECT 1 FROM a) INSERT INTO b SELECT * FROM x",
          "WITH x AS (SELECT ? FROM a) INSERT INTO b SELECT * FROM x", "SELECT a INSERT b x", "a" },
        { "SELECT * FROM a, b JOIN c ON a.x = c.x", "SELECT * FROM a, b JOIN c ON a.x = c.x",
          "SELECT a b c", "a" },
        { "CREATE TABLE IF NOT EXISTS jobs (id int)", "CREATE TABLE IF NOT EXISTS jobs (id int)",
          "CREATE jobs", "jobs" },
        { "SELECT $$s3cret$$, $t$ s3'cret $t$ /* s3cret /* nested */ */ FROM t", "SELECT ? FROM t",
          "SELECT t", "t" },
        { "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = x'ff'",
          "INSERT INTO t VALUES (?) ON CONFLICT DO UPDATE SET a = ?", "INSERT t", "t" },
        { "BEGIN", "BEGIN", "BEGIN", "" },
        { "SELECT 'cut s3cret", "SELECT ?", "SELECT", "" },
        { "PRAGMA user_version=4", "PRAGMA user_version=?", "PRAGMA", "" },
    };
    static const example mysql[] = {
        { "SELECT \"s3\\\"cret\" FROM `t`", "SELECT ? FROM `t`", "SELECT t", "t" },
    };
    check(examples, ARRAY_LEN(examples), false);
    check(mysql, ARRAY_LEN(mysql), true);
}

static void a_text_that_comes_again_is_read_once_but_not_one_with_secrets(void **state UNUSED)
{
    static const char *const plain = "SELECT a FROM again WHERE b = $1 LIMIT 1",
                             *const secret = "SELECT a FROM again WHERE b = 's3cret'",
                             *const comment = "SELECT a FROM again /* s3cret */";
    const char *const texts[] = { plain, secret, comment };
    char cleaned[3][100];
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 3; i++) {
            sql_summary found;
            buf out;
            buf_init(&out, 0);
            assert_true((round == 2 && i == 0) == (sql_text_find(str_c(texts[i]), false) != NULL));
            sql_clean(str_c(texts[i]), false, &out, &found);
            str_copy_c(cleaned[i], sizeof(cleaned[i]), buf_view(&out));
            sql_text_keep(str_c(texts[i]), false, buf_view(&out), &found);
            buf_done(&out);
        }
    const sql_text *known = sql_text_find(str_c(plain), false);
    assert_string_equal(known->clean, cleaned[0]);
    assert_string_equal(known->found.summary, "SELECT again");
    assert_null(sql_text_find(str_c(plain), true)); /* another dialect reads it in another way */
}

static void assert_page_has(const char *part, bool has)
{
    sonde_http_response page;
    assert_true(sonde_http_handle(&(sonde_http_request){ .path = "/metrics" }, &page));
    if (str_contains(str_n(page.body, page.body_len), str_c(part)) != has)
        fail_msg("%s %s in\n%.*s", part, has ? "is not" : "is", (int)page.body_len, page.body);
    sonde_http_response_free(&page);
}

static void assert_lines_have(const char *const *parts)
{
    for (; *parts; parts++)
        if (!live_count(*parts))
            fail_msg("%s is not in\n%s", *parts, live_lines());
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void start(sonde_db_options db)
{
    sonde_options o = live_options();
    o.db = db;
    setenv("OTEL_TRACES_EXPORTER", "console", 1);
    assert_int_equal(sonde_start(&o), 0);
}

static const sonde_db_query users = { .system = "postgresql",
                                      .name_space = "shop",
                                      .text = "SELECT * FROM users WHERE name = 's3cret'",
                                      .server_address = "db.example",
                                      .server_port = 5432 };

static void a_statement_is_a_span_and_a_sample(void **state UNUSED)
{
    setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "database/dup", 1);
    start((sonde_db_options){ .query_metric = "db_query_duration_seconds" });
    sonde_db_call call = sonde_db_begin(&users);
    sonde_db_end(&call, &(sonde_db_result){ .rows = 3 });
    sonde_db_end(&call, NULL);
    call = sonde_db_begin(&users);
    sonde_db_end(
        &call, &(sonde_db_result){ .failed = true, .status_code = "57014", .message = "canceled" });
    assert_page_has("db_client_operation_duration_seconds_bucket{", true);
    assert_page_has("le=\"0.001\"", true);
    assert_page_has("error_type=\"57014\"", true);
    assert_page_has("db_collection_name=\"users\"", true);
    assert_page_has("db_query_duration_seconds_count 2", true);
    sonde_stop();
    assert_int_equal(live_count("\"name\":\"SELECT users\",\"kind\":\"client\""), 2);
    assert_lines_have(LIST("\"db.system.name\":\"postgresql\"", "\"db.namespace\":\"shop\"",
                           "\"db.query.text\":\"SELECT * FROM users WHERE name = ?\"",
                           "\"db.statement\":\"SELECT * FROM users WHERE name = ?\"",
                           "\"db.system\":\"postgresql\"", "\"db.name\":\"shop\"",
                           "\"db.operation\":\"SELECT\"", "\"db.query.summary\":\"SELECT users\"",
                           "\"server.address\":\"db.example\"", "\"server.port\":5432",
                           "\"db.response.status_code\":\"57014\"", "\"error.type\":\"57014\"",
                           "\"db.response.returned_rows\":3"));
    assert_int_equal(live_count("s3cret"), 0);
}

static void text_and_metric_can_be_left_out(void **state UNUSED)
{
    start((sonde_db_options){ .no_otel_metric = true, .no_query_text = true });
    sonde_db_call call = sonde_db_begin(&(sonde_db_query){
        .system = "redis", .operation = "GET", .text = "GET ?", .text_is_clean = true });
    sonde_db_end(&call, NULL);
    assert_page_has("db_client_operation_duration", false);
    sonde_stop();
    assert_lines_have(LIST("\"name\":\"GET\"", "\"db.operation.name\":\"GET\""));
    assert_int_equal(live_count("db.query.text"), 0);
    assert_int_equal(live_count("\"db.system\":"), 0);
}

static void pools_tell_what_they_hold(void **state UNUSED)
{
    start((sonde_db_options){ 0 });
    sonde_db_pool *pool = sonde_db_pool_new("main", 8);
    sonde_db_pool_set(pool, 3, 5, 1);
    sonde_db_pool_waited(pool, 0.02, false);
    sonde_db_pool_waited(pool, 5, true);
    assert_page_has(
        "db_client_connection_pool_name=\"main\",db_client_connection_state=\"used\"} 5", true);
    assert_page_has("db_client_connection_max{", true);
    assert_page_has(
        "db_client_connection_timeouts_total{db_client_connection_pool_name=\"main\"} 1", true);
    sonde_db_pool_free(pool);
    sonde_db_pool_free(NULL);
}

static void calls_are_found_again_by_their_handle(void **state UNUSED)
{
    int a, b;
    sonde_db_call call;
    start((sonde_db_options){ 0 });
    call = sonde_db_begin(&users);
    sonde_db_keep_(&a, &call);
    assert_true(sonde_db_kept_(&a));
    assert_false(sonde_db_take_(&b, &call));
    call = sonde_db_begin(&users);
    sonde_db_keep_(&a, &call); /* ends the first */
    assert_true(sonde_db_take_(&a, &call));
    assert_false(sonde_db_take_(&a, &call));
    sonde_db_end(&call, NULL);
    sonde_stop();
    assert_int_equal(live_count("\"name\":\"SELECT users\""), 2);
}

static void without_start_nothing_breaks(void **state UNUSED)
{
    sonde_db_call call = sonde_db_begin(NULL);
    sonde_db_end(&call, NULL);
    sonde_db_end(NULL, NULL);
    sonde_db_pool_set(NULL, 1, 1, 1);
    char text[4];
    assert_int_equal(sonde_db_clean_text(NULL, "SELECT 1", text, sizeof(text)), 3);
    assert_string_equal(text, "SEL");
}

int main(void)
{
#define LIVE(f) cmocka_unit_test_setup_teardown(f, live_make, live_remove)
    const struct CMUnitTest tests[] = {
        LIVE(without_start_nothing_breaks),
        cmocka_unit_test(literals_leave_the_text_and_tables_are_found),
        cmocka_unit_test(a_text_that_comes_again_is_read_once_but_not_one_with_secrets),
        /* First: a metric that was made stays until the process ends. */
        LIVE(text_and_metric_can_be_left_out),
        LIVE(a_statement_is_a_span_and_a_sample),
        LIVE(pools_tell_what_they_hold),
        LIVE(calls_are_found_again_by_their_handle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
