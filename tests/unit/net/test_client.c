// SPDX-License-Identifier: Apache-2.0
/* Outgoing HTTP requests, against our own server and against servers that misbehave. */
#include "net/client.h"
#include "net/client_encoding.h"
#include "raw_server.h"

typedef struct {
    http_client *client;
    http_answer answer;
    char url[200];
    error err;
} asking;

static void start(asking *a)
{
    *a = (asking){ 0 };
    http_client_options o = { 0 };
    assert_int_equal(http_client_new(&a->client, &o, &a->err), STATUS_OK);
}

static void stop(asking *a)
{
    http_answer_done(&a->answer);
    http_client_free(a->client);
}

static status ask(asking *a, unsigned port, const char *path, http_request r)
{
    snprintf(a->url, sizeof(a->url), "http://127.0.0.1:%u%s", port, path);
    r.url = r.url ? r.url : a->url;
    http_answer_done(&a->answer);
    return http_client_send(a->client, &r, &a->answer, &a->err);
}

#define assert_said(a, part) assert_non_null(strstr((a)->err.message, part))

static void posts_and_keeps_the_connection(void **state)
{
    (void)state;
    asking a;
    fixture f = fixture_start(NULL);
    const char *const headers[] = { "Hello: world", "Content-Type: text/plain", NULL };
    start(&a);
    for (int i = 0; i < 3; i++) {
        http_request r = { .method = "POST", .headers = headers, .body = STR("some bytes") };
        assert_int_equal(ask(&a, f.port, "/echo?p=1", r), STATUS_OK);
        assert_int_equal(a.answer.code, 200);
        assert_string_equal(a.answer.content_type, "text/plain");
        assert_true(str_is(buf_view(&a.answer.body), "some bytes"));
    }
    http_server_stats stats;
    http_server_get_stats(f.server, &stats);
    assert_int_equal(stats.accepted, 1);
    assert_int_equal(ask(&a, f.port, "/named/a/and/b", (http_request){ .method = "GET" }),
                     STATUS_OK);
    assert_true(str_is(buf_view(&a.answer.body), "a/b"));
    stop(&a);
    WAIT_FOR((http_server_get_stats(f.server, &stats), stats.connections == 0));
    fixture_stop(&f);
}

static void decodes_and_bounds_answers(void **state)
{
    (void)state;
    asking a;
    fixture f = fixture_start(NULL);
    start(&a);
    http_request r = { .method = "GET", .answer_limit = 100000 };
    assert_int_equal(ask(&a, f.port, "/big?n=100000", r), STATUS_OK);
    assert_int_equal(a.answer.body.len, 100000);
    assert_int_equal(ask(&a, f.port, "/big?n=100001", r), STATUS_LIMIT);
    assert_said(&a, "larger than 100000 bytes");
    assert_int_equal(ask(&a, f.port, "/big?n=10", r), STATUS_OK); /* and goes on */
    stop(&a);
    WAIT_FOR(({
        http_server_stats s;
        http_server_get_stats(f.server, &s);
        s.connections == 0;
    }));
    fixture_stop(&f);
}

static void gives_up_when_told_to_or_late(void **state)
{
    (void)state;
    asking a;
    later l;
    raw_server s;
    const raw_step steps[] = { { .hold = true }, { .hold = true } };
    raw_start(&s, steps, ARRAY_LEN(steps));
    start(&a);
    later_start(&l, 50);
    int64_t begin = clock_mono_ns();
    http_request r = { .method = "POST", .body = STR("x"), .canceled = &l.flag };
    assert_int_equal(ask(&a, s.port, "/", r), STATUS_CANCELED);
    assert_true(clock_mono_ns() - begin < 2 * NS_PER_S);
    pthread_join(l.thread, NULL);
    r = (http_request){ .method = "POST", .timeout_ns = 80 * NS_PER_MS };
    assert_int_equal(ask(&a, s.port, "/", r), STATUS_IO);
    assert_said(&a, "timed out");
    stop(&a);
    raw_stop(&s);
}

static void names_host_and_reason_but_no_secret(void **state)
{
    (void)state;
    asking a;
    start(&a);
    http_request r = { .method = "POST", .url = "http://user:hush@127.0.0.1:1/in?token=hush" };
    assert_int_equal(ask(&a, 1, "", r), STATUS_IO);
    assert_said(&a, "http://127.0.0.1:1/in: ");
    assert_said(&a, "connect");
    assert_null(strstr(a.err.message, "hush"));
    r.url = "http://no-such-host.invalid/in";
    assert_int_equal(ask(&a, 1, "", r), STATUS_IO);
    assert_said(&a, "no-such-host.invalid");
    r.url = "ftp://127.0.0.1/in";
    assert_int_equal(ask(&a, 1, "", r), STATUS_INVALID);
    http_answer said = { .code = 404 };
    buf_init(&said.body, 0);
    buf_lit(&said.body, "no such\npath\n");
    assert_int_equal(http_answer_check(&said, "https://u:hush@host:1/v1?key=hush", &a.err),
                     STATUS_INVALID);
    assert_string_equal(a.err.message, "https://host:1/v1 answered 404: no such path");
    http_answer_done(&said);
    stop(&a);
}

static void says_which_answers_ask_for_another_try(void **state)
{
    (void)state;
    error err;
    static const struct {
        int code;
        status expected;
    } rows[] = { { 200, STATUS_OK },      { 204, STATUS_OK },      { 400, STATUS_INVALID },
                 { 401, STATUS_INVALID }, { 408, STATUS_BUSY },    { 413, STATUS_INVALID },
                 { 429, STATUS_BUSY },    { 500, STATUS_INVALID }, { 502, STATUS_BUSY },
                 { 503, STATUS_BUSY },    { 504, STATUS_BUSY },    { 302, STATUS_INVALID } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        http_answer a = { .code = rows[i].code };
        assert_int_equal(http_answer_check(&a, "http://h/", &err), rows[i].expected);
    }
}

#define LATER(value) \
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: " value "\r\nContent-Length: 0\r\n\r\n"

static void reads_when_to_come_back(void **state)
{
    (void)state;
    asking a;
    raw_server s;
    const raw_step steps[] = { { .answer = STR(LATER("7")) },
                               { .answer = STR(LATER("Fri, 31 Dec 9998 23:59:59 GMT")) },
                               { .answer = STR(LATER("Sat, 01 Jan 2000 00:00:00 GMT")) },
                               { .answer = STR(LATER("soon")) } };
    const int64_t expected[] = { 7 * NS_PER_S, 3600 * NS_PER_S, 0, 0 };
    raw_start(&s, steps, ARRAY_LEN(steps));
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        start(&a);
        assert_int_equal(ask(&a, s.port, "/", (http_request){ .method = "POST" }), STATUS_OK);
        assert_int_equal(a.answer.code, 503);
        assert_int_equal(a.answer.retry_after_ns, expected[i]);
        stop(&a);
    }
    raw_stop(&s);
}

static void survives_servers_that_misbehave(void **state)
{
    (void)state;
    asking a;
    raw_server s;
    const raw_step steps[] = {
        { .answer = STR("") },
        { .answer = STR("this is no HTTP at all, and it goes on for a while\r\n\r\n") },
        { .answer = STR("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort") },
        { .answer = STR("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n"
                        "bad!!") },
        { .answer = STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n") },
        { .reset = true },
    };
    raw_start(&s, steps, ARRAY_LEN(steps));
    start(&a);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        http_request r = { .method = "POST", .body = STR("x"), .timeout_ns = 10 * NS_PER_S };
        assert_int_equal(ask(&a, s.port, "/", r), STATUS_IO);
        assert_said(&a, "http://127.0.0.1:");
    }
    stop(&a);
    raw_stop(&s);
}

static void asks_again_when_a_kept_connection_was_closed(void **state)
{
    (void)state;
    asking a;
    raw_server s;
    const raw_step steps[] = { { .answer = STR("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1") },
                               { .answer = STR("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2") } };
    raw_start(&s, steps, ARRAY_LEN(steps));
    start(&a);
    for (int i = 0; i < 2; i++) {
        http_request r = { .method = "POST", .body = STR("x") };
        assert_int_equal(ask(&a, s.port, "/", r), STATUS_OK);
        assert_int_equal(a.answer.body.ptr[0], '1' + i);
    }
    assert_int_equal(atomic_load(&s.accepted), 2);
    stop(&a);
    raw_stop(&s);
}

static void refuses_certificates_that_cannot_be_used(void **state)
{
    (void)state;
    error err;
    http_client *k = NULL;
    static const tls_client bad[] = { { .ca_file = "/nonexistent/ca.pem" },
                                      { .ca_pem = "no certificate" },
                                      { .cert_pem = "x" },
                                      { .cert_pem = "x", .key_pem = "y" },
                                      { .min_version = "1.9" } };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        http_client_options o = { .tls = bad[i] };
        assert_int_equal(http_client_new(&k, &o, &err), STATUS_INVALID);
        assert_non_null(strstr(err.message, "tls: "));
    }
    assert_null(k);
}

static void compresses_what_servers_can_read(void **state)
{
    (void)state;
    asking a;
    buf text, packed;
    fixture f = fixture_start(NULL);
    start(&a);
    buf_init(&text, 0);
    buf_init(&packed, MiB(1));
    for (int i = 0; i < 5000; i++)
        buf_fmt(&text, "line %d of a text\n", i);
    static const char *const names[] = { "gzip", "zstd", "deflate", "snappy" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char line[60];
        const char *const headers[] = { line, NULL };
        snprintf(line, sizeof(line), "Content-Encoding: %s", names[i]);
        buf_clear(&packed);
        assert_int_equal(client_compress(names[i], buf_view(&text), &packed, &a.err), STATUS_OK);
        assert_true(packed.len < text.len / 2);
        http_request r = { .method = "POST", .headers = headers, .body = buf_view(&packed) };
        assert_int_equal(ask(&a, f.port, "/echo", r), STATUS_OK);
        assert_int_equal(a.answer.code, 200);
        assert_true(str_eq(buf_view(&a.answer.body), buf_view(&text)));
    }
    assert_int_equal(client_compress("br", STR("x"), &packed, &a.err), STATUS_UNSUPPORTED);
    buf_done(&text);
    buf_done(&packed);
    stop(&a);
    WAIT_FOR(({
        http_server_stats s;
        http_server_get_stats(f.server, &s);
        s.connections == 0;
    }));
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_and_keeps_the_connection),
        cmocka_unit_test(decodes_and_bounds_answers),
        cmocka_unit_test(gives_up_when_told_to_or_late),
        cmocka_unit_test(names_host_and_reason_but_no_secret),
        cmocka_unit_test(says_which_answers_ask_for_another_try),
        cmocka_unit_test(reads_when_to_come_back),
        cmocka_unit_test(survives_servers_that_misbehave),
        cmocka_unit_test(asks_again_when_a_kept_connection_was_closed),
        cmocka_unit_test(refuses_certificates_that_cannot_be_used),
        cmocka_unit_test(compresses_what_servers_can_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
