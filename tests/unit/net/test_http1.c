// SPDX-License-Identifier: Apache-2.0
/* HTTP/1.1 over real sockets: what is answered, what is refused, and that neither depends on how
 * the bytes are cut. */
#include "net_fixture.h"

#include <zlib.h>

#define GET(path) STR("GET " path " HTTP/1.1\r\nHost: a\r\n\r\n")

static void answers_a_request_with_its_parts(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd = client_connect(f.port);
    client_send(fd, STR("POST /echo?p=a%20b+c HTTP/1.1\r\nHost: a\r\nHello:  you \r\n"
                        "Content-Length: 5\r\n\r\nhello"));
    answer a = client_read(fd, false);
    assert_int_equal(a.code, 200);
    assert_true(str_is(buf_view(&a.body), "hello"));
    assert_true(str_is(answer_header(&a, "x-method"), "POST"));
    assert_true(str_is(answer_header(&a, "x-path"), "/echo"));
    assert_true(str_is(answer_header(&a, "x-hello"), "you"));
    assert_true(str_is(answer_header(&a, "x-param"), "a b c"));
    assert_int_equal(answer_header(&a, "date").len, 29);
    answer_done(&a);
    close(fd);
    fixture_stop(&f);
}

static void gives_the_same_answer_however_the_bytes_are_cut(void **state)
{
    (void)state;
    static const str request =
        STR_INIT("POST /echo?p=1 HTTP/1.1\r\nHost: a\r\nHello: world\r\nTransfer-Encoding: chunked"
                 "\r\n\r\n5\r\nhello\r\n1;x=y\r\n \r\n6\r\nworld!\r\n0\r\nTransfer-Encoding: "
                 "chunked\r\n\r\n");
    fixture f = fixture_start(NULL);
    int fd = client_connect(f.port);
    for (size_t cut = 1; cut < request.len; cut++) {
        client_send(fd, str_slice(request, 0, cut));
        /* The server has to see the first part alone: once in a while, wait until it has. */
        int unread = 1;
        if (cut % 8 == 0)
            (void)poll(NULL, 0, unread);
        client_send(fd, str_slice(request, cut, request.len));
        answer a = client_read(fd, false);
        assert_int_equal(a.code, 200);
        assert_true(str_is(buf_view(&a.body), "hello world!"));
        assert_true(str_is(answer_header(&a, "x-hello"), "world"));
        answer_done(&a);
    }
    for (size_t i = 0; i < request.len; i++)
        client_send(fd, str_slice(request, i, i + 1));
    answer a = client_read(fd, false);
    assert_true(str_is(buf_view(&a.body), "hello world!"));
    answer_done(&a);
    close(fd);
    fixture_stop(&f);
}

static void answers_pipelined_requests_in_order(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd = client_connect(f.port);
    buf all;
    buf_init(&all, 0);
    for (int i = 0; i < 50; i++)
        buf_fmt(&all,
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n%02d"
                "GET /none%d HTTP/1.1\r\nHost: a\r\n\r\n",
                i, i);
    client_send(fd, buf_view(&all));
    for (int i = 0; i < 50; i++) {
        char text[16];
        answer a = client_read(fd, false);
        snprintf(text, sizeof(text), "%02d", i);
        assert_true(str_is(buf_view(&a.body), text));
        answer_done(&a);
        a = client_read(fd, false);
        assert_int_equal(a.code, 404);
        answer_done(&a);
    }
    buf_done(&all);
    close(fd);
    fixture_stop(&f);
}

static void answers_what_was_pipelined_before_the_client_shut_its_side(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd = client_connect(f.port);
    client_send(fd, STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
                        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n2"));
    shutdown(fd, SHUT_WR);
    for (int i = 1; i <= 2; i++) {
        answer a = client_read(fd, false);
        assert_int_equal(a.code, 200);
        assert_int_equal(a.body.ptr[0], '0' + i);
        answer_done(&a);
    }
    expect_closed(fd);
    close(fd);
    fixture_stop(&f);
}

static void keeps_alive_as_versions_and_headers_say(void **state)
{
    (void)state;
    static const struct {
        str request;
        bool stays;
    } cases[] = {
        { STR_INIT("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"), true },
        { STR_INIT("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), false },
        { STR_INIT("GET /echo HTTP/1.0\r\n\r\n"), false },
        { STR_INIT("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), true },
    };
    fixture f = fixture_start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int fd = client_connect(f.port);
        for (int round = 0; round < (cases[i].stays ? 3 : 1); round++) {
            client_send(fd, cases[i].request);
            answer a = client_read(fd, false);
            assert_int_equal(a.code, 200);
            answer_done(&a);
        }
        if (!cases[i].stays)
            expect_closed(fd);
        close(fd);
    }
    fixture_stop(&f);
}

static void head_has_the_headers_of_get_and_no_body(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd = client_connect(f.port);
    client_send(fd, STR("HEAD /big?n=1000 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /stream?n=5&count=3 "
                        "HTTP/1.1\r\nHost: a\r\n\r\nGET /big?n=3 HTTP/1.1\r\nHost: a\r\n\r\n"));
    answer a = client_read(fd, true);
    assert_int_equal(a.code, 200);
    assert_true(str_is(answer_header(&a, "content-length"), "1000"));
    answer_done(&a);
    a = client_read(fd, true);
    assert_int_equal(a.code, 200);
    answer_done(&a);
    a = client_read(fd, false);
    assert_true(str_is(buf_view(&a.body), "abc"));
    answer_done(&a);
    close(fd);
    fixture_stop(&f);
}

static void matches_routes_by_the_most_literal_text(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    expect_answer(f.port, GET("/named/a%2Fb/and/c"), 200, "a/b/c");
    expect_answer(f.port, GET("/named/a/or/c"), 200, "rest=a/or/c");
    expect_answer(f.port, GET("/named"), 404, NULL);
    expect_answer(f.port, GET("/nothing"), 404,
                  "{\"error\":{\"code\":404,\"message\":\"no such path: /nothing\"}}\n");
    expect_answer(f.port, GET("/fail"), 422,
                  "{\"error\":{\"code\":422,\"message\":\"no \\\"good\\\"\\u000a\"}}\n");
    int fd = client_connect(f.port);
    client_send(fd, STR("DELETE /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
    answer a = client_read(fd, false);
    assert_int_equal(a.code, 405);
    assert_true(str_is(answer_header(&a, "allow"), "GET, HEAD, POST, OPTIONS"));
    answer_done(&a);
    client_send(fd, STR("OPTIONS /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
    a = client_read(fd, false);
    assert_int_equal(a.code, 204);
    assert_true(str_is(answer_header(&a, "allow"), "GET, HEAD, POST, OPTIONS"));
    answer_done(&a);
    close(fd);
    fixture_stop(&f);
}

static void refuses_what_is_not_http_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        str request;
        int code;
        const char *reason;
    } cases[] = {
        { STR_INIT("\x16\x03\x01\x02\x00\x01"), 400, "invalid" },
        { STR_INIT("GET\r\n\r\n"), 400, "invalid" },
        { STR_INIT("GET /echo HTTP/1.1\r\n\r\n"), 400, "one Host header" },
        { STR_INIT("GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400, "one Host header" },
        { STR_INIT("GET /echo HTTP/2.0\r\nHost: a\r\n\r\n"), 400, "HTTP/2.0" },
        { STR_INIT("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), 400, "" },
        { STR_INIT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: "
                   "chunked\r\n\r\n0\r\n\r\n"),
          400, "content-length" },
        { STR_INIT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n"
                   "\r\nhello"),
          400, "content-length" },
        { STR_INIT("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
          400, "chunk" },
        { STR_INIT("GET /echo HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n"), 400, "header" },
        { STR_INIT("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n"), 413,
          "99999999" },
    };
    fixture f = fixture_start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int fd = client_connect(f.port);
        client_send(fd, cases[i].request);
        answer a = client_read(fd, false);
        assert_int_equal(a.code, cases[i].code);
        if (!str_contains(buf_view(&a.body), str_c(cases[i].reason)))
            fail_msg("case %zu: %.*s", i, STR_ARG(buf_view(&a.body)));
        assert_true(str_is(answer_header(&a, "connection"), "close"));
        expect_closed(fd);
        answer_done(&a);
        close(fd);
    }
    fixture_stop(&f);
}

static void refuses_heads_beyond_the_limits(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    buf b;
    buf_init(&b, 0);
    buf_lit(&b, "GET /echo HTTP/1.1\r\nHost: a\r\nX: ");
    for (int i = 0; i < 17000; i++)
        buf_char(&b, 'x');
    buf_lit(&b, "\r\n\r\n");
    expect_answer(f.port, buf_view(&b), 431, NULL);
    buf_clear(&b);
    buf_lit(&b, "GET /");
    for (int i = 0; i < 17000; i++)
        buf_char(&b, 'x');
    buf_lit(&b, " HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_answer(f.port, buf_view(&b), 431, NULL);
    for (int fields = 99; fields <= 100; fields++) {
        buf_clear(&b);
        buf_lit(&b, "GET /echo HTTP/1.1\r\nHost: a\r\n");
        for (int i = 0; i < fields; i++)
            buf_fmt(&b, "X%d: y\r\n", i);
        buf_lit(&b, "\r\n");
        expect_answer(f.port, buf_view(&b), fields == 99 ? 200 : 431, NULL);
    }
    buf_done(&b);
    fixture_stop(&f);
}

static void refuses_bodies_beyond_the_limits(void **state)
{
    (void)state;
    fixture f = fixture_start(&(http_server_options){ .body_bytes = 1000, .bodies_bytes = 1500 });
    buf b;
    buf_init(&b, 0);
    buf_lit(&b, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 11; i++)
        buf_fmt(&b, "64\r\n%0100d\r\n", i);
    buf_lit(&b, "0\r\n\r\n");
    expect_answer(f.port, buf_view(&b), 413, NULL);
    buf_clear(&b);
    buf_lit(&b, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    expect_answer(f.port, buf_view(&b), 413, NULL);

    /* Two of 800 bytes are more than may be held at once. */
    int first = client_connect(f.port);
    buf_clear(&b);
    buf_fmt(&b, "POST /block HTTP/1.1\r\nHost: a\r\nContent-Length: 800\r\n\r\n%0800d", 1);
    client_send(first, buf_view(&b));
    WAIT_FOR(atomic_load(&blocked) == 1);
    int second = client_connect(f.port);
    client_send(second, buf_view(&b));
    answer a = client_read(second, false);
    assert_int_equal(a.code, 503);
    assert_true(str_is(answer_header(&a, "retry-after"), "1"));
    answer_done(&a);
    atomic_store(&gate_open, 1);
    a = client_read(first, false);
    assert_int_equal(a.code, 200);
    answer_done(&a);
    close(first);
    close(second);
    buf_done(&b);
    fixture_stop(&f);
}

static void continues_only_when_the_body_is_wanted(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd = client_connect(f.port);
    client_send(fd, STR("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                        "Content-Length: 3\r\n\r\n"));
    answer a = client_read(fd, false);
    assert_int_equal(a.code, 100);
    answer_done(&a);
    client_send(fd, STR("abc"));
    a = client_read(fd, false);
    assert_int_equal(a.code, 200);
    assert_true(str_is(buf_view(&a.body), "abc"));
    answer_done(&a);
    client_send(fd, STR("POST /none HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                        "Content-Length: 3\r\n\r\n"));
    a = client_read(fd, false);
    assert_int_equal(a.code, 404);
    answer_done(&a);
    expect_closed(fd);
    close(fd);
    fixture_stop(&f);
}

static void ignores_upgrades_that_it_does_not_speak(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    expect_answer(f.port,
                  STR("GET /big?n=3 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                      "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
                  200, "abc");
    fixture_stop(&f);
}

static void reads_form_bodies_as_parameters(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd = client_connect(f.port);
    client_send(fd, STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nContent-Type: "
                        "application/x-www-form-urlencoded\r\n\r\nq=1&p=x%3Dy"));
    answer a = client_read(fd, false);
    assert_true(str_is(answer_header(&a, "x-param"), "x=y"));
    answer_done(&a);
    close(fd);
    fixture_stop(&f);
}

static void header_values_cannot_make_headers(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd = client_connect(f.port);
    client_send(fd, GET("/echo?p=a%0d%0aSet-Cookie:%20x"));
    answer a = client_read(fd, false);
    assert_int_equal(a.code, 200);
    assert_int_equal(answer_header(&a, "set-cookie").len, 0);
    answer_done(&a);
    close(fd);
    fixture_stop(&f);
}

static void gzip_append(buf *out, str in)
{
    z_stream z = { 0 };
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_true(buf_reserve(out, deflateBound(&z, in.len)));
    z.next_in = (Bytef *)(uintptr_t)in.ptr;
    z.avail_in = (uInt)in.len;
    z.next_out = (Bytef *)out->ptr + out->len;
    z.avail_out = (uInt)(out->cap - out->len);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len += z.total_out;
    deflateEnd(&z);
}

static void decompresses_bodies_and_refuses_bombs(void **state)
{
    (void)state;
    fixture f = fixture_start(&(http_server_options){ .body_bytes = MiB(2) });
    buf packed, request, zeros;
    buf_init(&packed, 0);
    buf_init(&request, 0);
    buf_init(&zeros, 0);
    gzip_append(&packed, STR("hello"));
    buf_fmt(
        &request,
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
        packed.len);
    buf_str(&request, buf_view(&packed));
    expect_answer(f.port, buf_view(&request), 200, "hello");
    request.ptr[request.len - 1] ^= 1;
    expect_answer(f.port, buf_view(&request), 400, NULL);

    assert_true(buf_reserve(&zeros, MiB(20)));
    memset(zeros.ptr, 0, MiB(20));
    zeros.len = MiB(20);
    buf_clear(&packed);
    gzip_append(&packed, buf_view(&zeros));
    buf_clear(&request);
    buf_fmt(
        &request,
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
        packed.len);
    buf_str(&request, buf_view(&packed));
    expect_answer(f.port, buf_view(&request), 413, NULL);
    expect_answer(f.port,
                  STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\n"
                      "Content-Length: 1\r\n\r\nx"),
                  415, NULL);
    buf_done(&packed);
    buf_done(&request);
    buf_done(&zeros);
    fixture_stop(&f);
}

static void compresses_large_answers_when_asked(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd = client_connect(f.port);
    client_send(fd,
                STR("GET /big?n=5000 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br, gzip\r\n\r\n"));
    answer a = client_read(fd, false);
    assert_true(str_is(answer_header(&a, "content-encoding"), "gzip"));
    assert_true(a.body.len < 1000);
    answer_done(&a);
    client_send(fd, STR("GET /big?n=5000 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0\r\n\r\n"
                        "GET /big?n=500 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"));
    a = client_read(fd, false);
    assert_int_equal(a.body.len, 5000);
    answer_done(&a);
    a = client_read(fd, false);
    assert_int_equal(a.body.len, 500);
    answer_done(&a);
    close(fd);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_a_request_with_its_parts),
        cmocka_unit_test(gives_the_same_answer_however_the_bytes_are_cut),
        cmocka_unit_test(answers_pipelined_requests_in_order),
        cmocka_unit_test(answers_what_was_pipelined_before_the_client_shut_its_side),
        cmocka_unit_test(keeps_alive_as_versions_and_headers_say),
        cmocka_unit_test(head_has_the_headers_of_get_and_no_body),
        cmocka_unit_test(matches_routes_by_the_most_literal_text),
        cmocka_unit_test(refuses_what_is_not_http_with_the_reason),
        cmocka_unit_test(refuses_heads_beyond_the_limits),
        cmocka_unit_test(refuses_bodies_beyond_the_limits),
        cmocka_unit_test(continues_only_when_the_body_is_wanted),
        cmocka_unit_test(ignores_upgrades_that_it_does_not_speak),
        cmocka_unit_test(reads_form_bodies_as_parameters),
        cmocka_unit_test(header_values_cannot_make_headers),
        cmocka_unit_test(decompresses_bodies_and_refuses_bombs),
        cmocka_unit_test(compresses_large_answers_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
