// SPDX-License-Identifier: Apache-2.0
/* gRPC calls out, against our own server and against servers that misbehave. */
#include "net/grpc.h"
#include "net/grpc_client.h"
#include "raw_server.h"

static void grpc_echo(http_exchange *x, void *user)
{
    (void)user;
    str message;
    atomic_fetch_add(&handled, 1);
    if (grpc_request(x, &message))
        grpc_reply(x, message);
}

static void grpc_header(http_exchange *x, void *user)
{
    (void)user;
    grpc_reply(x, http_header(x, "authorization"));
}

static void grpc_later(http_exchange *x, void *user)
{
    (void)user;
    grpc_fail_retry(x, GRPC_RESOURCE_EXHAUSTED, 7, STR("come back, 100% later \xc3\xa4"));
}

static void grpc_refuse(http_exchange *x, void *user)
{
    (void)user;
    grpc_fail(x, GRPC_INVALID_ARGUMENT, "no \"%s\"", "good");
}

static void grpc_large(http_exchange *x, void *user)
{
    (void)user;
    buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < MiB(4) + 1; i++)
        buf_char(&b, 'x');
    grpc_reply(x, buf_view(&b));
    buf_done(&b);
}

static const http_route grpc_rows[] = {
    { "POST", "/test.T/Echo", grpc_echo, NULL, POOL_INGEST, "" },
    { "POST", "/test.T/Header", grpc_header, NULL, POOL_INGEST, "" },
    { "POST", "/test.T/Later", grpc_later, NULL, POOL_INGEST, "" },
    { "POST", "/test.T/Refuse", grpc_refuse, NULL, POOL_INGEST, "" },
    { "POST", "/test.T/Large", grpc_large, NULL, POOL_INGEST, "" },
    { "GET|POST", "/block", handle_block, NULL, POOL_QUERY, "" },
};

typedef struct {
    fixture f;
    grpc_client *client;
    grpc_answer answer;
    char target[64];
    error err;
} calling;

static void client_for(calling *c, unsigned port)
{
    snprintf(c->target, sizeof(c->target), "127.0.0.1:%u", port);
    const char *const headers[] = { "Authorization: Bearer hush", NULL };
    grpc_client_options o = { .target = c->target, .headers = headers };
    assert_int_equal(grpc_client_new(&c->client, &o, &c->err), STATUS_OK);
}

static void start_server(calling *c, unsigned port)
{
    char address[64];
    http_server_options o = { .body_bytes = MiB(256), .bodies_bytes = MiB(512) };
    http_route_table table = { .rows = grpc_rows, .count = ARRAY_LEN(grpc_rows) };
    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    atomic_store(&gate_open, 0);
    atomic_store(&handled, 0);
    assert_int_equal(http_server_new(&c->f.server, &o, &c->err), STATUS_OK);
    assert_int_equal(http_server_listen(c->f.server, address, &table, 1, &c->f.port, &c->err),
                     STATUS_OK);
    assert_int_equal(http_server_start(c->f.server, &c->err), STATUS_OK);
}

static void stop_server(calling *c)
{
    atomic_store(&gate_open, 1);
    assert_true(http_server_stop(c->f.server, 5000));
    http_server_free(c->f.server);
}

static void start(calling *c)
{
    *c = (calling){ 0 };
    start_server(c, 0);
    client_for(c, c->f.port);
}

static void stop(calling *c)
{
    grpc_answer_done(&c->answer);
    grpc_client_free(c->client);
    stop_server(c);
}

static status call(calling *c, const char *path, str message, const char *encoding)
{
    grpc_answer_done(&c->answer);
    return grpc_client_call(c->client, path, message, encoding, 20 * NS_PER_S, NULL, &c->answer,
                            &c->err);
}

static uint64_t accepted(const calling *c)
{
    http_server_stats stats;
    http_server_get_stats(c->f.server, &stats);
    return stats.accepted;
}

static void calls_follow_each_other_on_one_connection(void **state)
{
    (void)state;
    calling c;
    start(&c);
    for (int i = 0; i < 20; i++) {
        char text[30];
        snprintf(text, sizeof(text), "message %d", i);
        assert_int_equal(call(&c, "/test.T/Echo", str_c(text), NULL), STATUS_OK);
        assert_int_equal(c.answer.code, 0);
        assert_true(str_is(buf_view(&c.answer.body), text));
    }
    assert_int_equal(call(&c, "/test.T/Echo", STR_EMPTY, "identity"), STATUS_OK);
    assert_int_equal(c.answer.code, 0);
    assert_int_equal(c.answer.body.len, 0);
    assert_int_equal(call(&c, "/test.T/Header", STR_EMPTY, NULL), STATUS_OK);
    assert_true(str_is(buf_view(&c.answer.body), "Bearer hush"));
    assert_int_equal(accepted(&c), 1);
    stop(&c);
}

static void large_messages_pass_the_windows(void **state)
{
    (void)state;
    calling c;
    buf b;
    static const char *const encodings[] = { NULL, "gzip", "zstd", "deflate", "snappy" };
    start(&c);
    buf_init(&b, 0);
    for (uint32_t i = 0; b.len < MiB(4) - 100; i++)
        buf_fmt(&b, "%u,", i * 2654435761u);
    for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
        assert_int_equal(call(&c, "/test.T/Echo", buf_view(&b), encodings[i]), STATUS_OK);
        assert_int_equal(c.answer.code, 0);
        assert_true(str_eq(buf_view(&c.answer.body), buf_view(&b)));
    }
    assert_true(buf_reserve(&b, MiB(41)));
    while (b.len < MiB(40))
        buf_str(&b, str_slice(buf_view(&b), 0, MiB(1)));
    assert_int_equal(call(&c, "/test.T/Later", buf_view(&b), NULL), STATUS_OK);
    assert_int_equal(c.answer.code, 8);
    assert_int_equal(call(&c, "/test.T/Large", STR_EMPTY, NULL), STATUS_LIMIT);
    assert_int_equal(call(&c, "/test.T/Echo", STR("on"), NULL), STATUS_OK);
    buf_done(&b);
    stop(&c);
}

static void reads_status_message_and_retry_info(void **state)
{
    (void)state;
    calling c;
    start(&c);
    assert_int_equal(call(&c, "/test.T/Later", STR("x"), NULL), STATUS_OK);
    assert_int_equal(c.answer.code, 8);
    assert_int_equal(c.answer.retry_after_ns, 7 * NS_PER_S);
    assert_string_equal(c.answer.message, "come back, 100% later \xc3\xa4");
    assert_int_equal(grpc_answer_check(&c.answer, "host:1", &c.err), STATUS_BUSY);
    c.answer.retry_after_ns = 0;
    assert_int_equal(grpc_answer_check(&c.answer, "host:1", &c.err), STATUS_INVALID);
    assert_int_equal(call(&c, "/test.T/Refuse", STR("x"), NULL), STATUS_OK);
    assert_int_equal(c.answer.code, 3);
    assert_int_equal(grpc_answer_check(&c.answer, "host:1", &c.err), STATUS_INVALID);
    assert_string_equal(c.err.message, "host:1 answered INVALID_ARGUMENT (3): no \"good\"");
    assert_int_equal(call(&c, "/no.Such/Method", STR("x"), NULL), STATUS_OK);
    assert_int_equal(c.answer.code, 12);
    stop(&c);
}

static void retryable_codes_are_otlps(void **state)
{
    (void)state;
    error err;
    for (int code = 0; code < 20; code++) {
        bool later = code == 1 || code == 4 || code == 10 || code == 11 || code == 14 || code == 15;
        grpc_answer a = { .code = code };
        assert_int_equal(grpc_answer_check(&a, "h", &err), code == 0 ? STATUS_OK
                                                           : later   ? STATUS_BUSY
                                                                     : STATUS_INVALID);
    }
}

static void connects_again_after_the_server_was_away(void **state)
{
    (void)state;
    calling c;
    start(&c);
    assert_int_equal(call(&c, "/test.T/Echo", STR("1"), NULL), STATUS_OK);
    unsigned port = c.f.port;
    stop_server(&c);
    assert_int_equal(call(&c, "/test.T/Echo", STR("2"), NULL), STATUS_IO);
    assert_non_null(strstr(c.err.message, c.target));
    assert_non_null(strstr(c.err.message, "refused"));
    assert_null(strstr(c.err.message, "hush"));
    start_server(&c, port);
    assert_int_equal(call(&c, "/test.T/Echo", STR("3"), NULL), STATUS_OK);
    assert_true(str_is(buf_view(&c.answer.body), "3"));
    stop(&c);
}

static void gives_up_when_told_to_or_late(void **state)
{
    (void)state;
    calling c;
    later l;
    start(&c);
    later_start(&l, 50);
    int64_t begin = clock_mono_ns();
    assert_int_equal(grpc_client_call(c.client, "/block", STR("x"), NULL, 20 * NS_PER_S, &l.flag,
                                      &c.answer, &c.err),
                     STATUS_CANCELED);
    assert_true(clock_mono_ns() - begin < 2 * NS_PER_S);
    pthread_join(l.thread, NULL);
    grpc_answer_done(&c.answer);
    assert_int_equal(grpc_client_call(c.client, "/block", STR("x"), NULL, 80 * NS_PER_MS, NULL,
                                      &c.answer, &c.err),
                     STATUS_IO);
    assert_non_null(strstr(c.err.message, "no answer in time"));
    assert_int_equal(call(&c, "/test.T/Echo", STR("3"), NULL), STATUS_OK);
    stop(&c);
}

/* ---- servers that misbehave ---- */

static status call_raw(const raw_step *steps, size_t count, size_t *ret_accepted, char *message)
{
    calling c = { 0 };
    raw_server s;
    raw_start(&s, steps, count);
    client_for(&c, s.port);
    status st =
        grpc_client_call(c.client, "/t/T", STR("x"), NULL, 2 * NS_PER_S, NULL, &c.answer, &c.err);
    snprintf(message, 500, "%d %s %s", c.answer.code, c.answer.message,
             st == STATUS_OK ? "" : c.err.message);
    grpc_answer_done(&c.answer);
    grpc_client_free(c.client);
    *ret_accepted = atomic_load(&s.accepted);
    raw_stop(&s);
    return st;
}

static void survives_servers_that_misbehave(void **state)
{
    (void)state;
    char said[500];
    size_t n;
    static const raw_step bad[] = {
        { .answer = STR_INIT("") },
        { .reset = true },
        { .answer = STR_INIT("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") },
        { .answer = STR_INIT("\xff\xff\xff\x04\x00\x00\x00\x00\x00garbage") },
        { .answer = STR_INIT("\0\0\0\4\0\0\0\0\0\0\0\4\1\5\0\0\0\1\xff\xff\xff\xff") }, /* HPACK */
        /* RST_STREAM(CANCEL) of the call */
        { .answer = STR_INIT("\0\0\0\4\0\0\0\0\0\0\0\4\3\0\0\0\0\1\0\0\0\x8") },
        { .answer = STR_INIT("\0\0\0\4\0\0\0\0\0\0\0\4"), .hold = true }, /* and silence */
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(call_raw(&bad[i], 1, &n, said), STATUS_IO);
        assert_non_null(strstr(said, "127.0.0.1:"));
    }
}

/* :status 200 is 0x88; the other headers are literals. */
static void answers_of_other_protocols_are_told_apart(void **state)
{
    (void)state;
    char said[500];
    size_t n;
    /* HEADERS with END_STREAM, :status 404 (0x8d) and nothing of gRPC */
    static const raw_step not_found = { .answer =
                                            STR_INIT("\0\0\0\4\0\0\0\0\0\0\0\1\1\5\0\0\0\1\x8d"),
                                        .hold = true };
    assert_int_equal(call_raw(&not_found, 1, &n, said), STATUS_OK);
    assert_string_equal(said, "12 answered with HTTP status 404, not gRPC ");
    /* :status 200, grpc-status 16 without a message */
    static const raw_step denied = { .answer = STR_INIT("\0\0\0\4\0\0\0\0\0\0\0\x11\1\5\0\0\0\1\x88"
                                                        "\0\xbgrpc-status\2"
                                                        "16"),
                                     .hold = true };
    assert_int_equal(call_raw(&denied, 1, &n, said), STATUS_OK);
    assert_string_equal(said, "16  ");
}

/* A server that refuses the stream, by GOAWAY before it or by REFUSED_STREAM, has not worked on it:
 * the call is made again on a new connection. */
static void refused_streams_are_tried_once_more(void **state)
{
    (void)state;
    char said[500];
    size_t n;
    static const str ok = STR_INIT("\0\0\0\4\0\0\0\0\0\0\0\x11\1\5\0\0\0\1\x88"
                                   "\0\xbgrpc-status\2"
                                   "16");
    const raw_step refused[] = {
        { .answer = STR("\0\0\0\4\0\0\0\0\0\0\0\4\3\0\0\0\0\1\0\0\0\7") },
        { .answer = ok, .hold = true },
    };
    assert_int_equal(call_raw(refused, 2, &n, said), STATUS_OK);
    assert_int_equal(n, 2);
    const raw_step going[] = {
        { .answer = STR("\0\0\0\4\0\0\0\0\0\0\0\x8\7\0\0\0\0\0\0\0\0\0\0\0\0\0") },
        { .answer = ok, .hold = true },
    };
    assert_int_equal(call_raw(going, 2, &n, said), STATUS_OK);
    assert_int_equal(n, 2);
    const raw_step always[] = { refused[0], refused[0] };
    assert_int_equal(call_raw(always, 2, &n, said), STATUS_IO);
    assert_int_equal(n, 2);
}

static void targets_must_be_host_and_port(void **state)
{
    (void)state;
    error err;
    grpc_client *k = NULL;
    static const char *const bad[] = {
        "", "host", "host:", ":1", "host:0", "host:65536", "host:x"
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        grpc_client_options o = { .target = bad[i] };
        assert_int_equal(grpc_client_new(&k, &o, &err), STATUS_INVALID);
        assert_non_null(strstr(err.message, "HOST:PORT"));
    }
    grpc_answer answer;
    grpc_client_options o = { .target = "no-such-host.invalid:4317" };
    assert_int_equal(grpc_client_new(&k, &o, &err), STATUS_OK);
    assert_int_equal(grpc_client_call(k, "/t/T", STR("x"), NULL, 5 * NS_PER_S, NULL, &answer, &err),
                     STATUS_IO);
    assert_non_null(strstr(err.message, "no-such-host.invalid"));
    grpc_answer_done(&answer);
    grpc_client_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_follow_each_other_on_one_connection),
        cmocka_unit_test(large_messages_pass_the_windows),
        cmocka_unit_test(reads_status_message_and_retry_info),
        cmocka_unit_test(retryable_codes_are_otlps),
        cmocka_unit_test(connects_again_after_the_server_was_away),
        cmocka_unit_test(gives_up_when_told_to_or_late),
        cmocka_unit_test(survives_servers_that_misbehave),
        cmocka_unit_test(answers_of_other_protocols_are_told_apart),
        cmocka_unit_test(refused_streams_are_tried_once_more),
        cmocka_unit_test(targets_must_be_host_and_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
