// SPDX-License-Identifier: Apache-2.0
/* WebSockets: the handshake, text from any thread, the bounded queue, and every way of ending. The
 * client writes frames by hand: RFC 6455 with a mask of zeros. */
#include "net/ws_client.h"
#include "net_fixture.h"

static const str upgrade = STR_INIT(
    "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");

/* A connected socket and the server's end of it. */
static websocket *open_socket_sized(unsigned port, int receive_bytes, int *ret_fd)
{
    int fd = client_connect_sized(port, receive_bytes);
    client_send(fd, upgrade);
    answer a = client_read(fd, false);
    assert_int_equal(a.code, 101);
    /* The example of RFC 6455, 1.3. */
    assert_true(str_is(answer_header(&a, "sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    answer_done(&a);
    WAIT_FOR(atomic_load(&socket_accepted) != NULL);
    *ret_fd = fd;
    return atomic_load(&socket_accepted);
}

static websocket *open_socket(unsigned port, int *ret_fd)
{
    return open_socket_sized(port, 0, ret_fd);
}

/* Reads one unmasked frame; its opcode. */
static int read_frame(int fd, buf *payload)
{
    buf head;
    buf_init(&head, 0);
    read_exactly(fd, &head, 2);
    size_t n = head.ptr[1] & 127;
    if (n == 126) {
        read_exactly(fd, &head, 2);
        n = (size_t)(uint8_t)head.ptr[2] << 8 | (uint8_t)head.ptr[3];
    }
    int opcode = head.ptr[0] & 15;
    buf_done(&head);
    buf_clear(payload);
    read_exactly(fd, payload, n);
    return opcode;
}

static void expect_text(int fd, const char *text)
{
    buf b;
    buf_init(&b, 0);
    assert_int_equal(read_frame(fd, &b), 1);
    assert_true(str_is(buf_view(&b), text));
    buf_done(&b);
}

static void sends_text_and_answers_pings(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd;
    buf b;
    websocket *ws = open_socket(f.port, &fd);
    assert_true(ws_send_text(ws, STR("one")));
    assert_true(ws_send_text(ws, STR("two")));
    expect_text(fd, "one");
    expect_text(fd, "two");
    client_send(fd, STR("\x89\x82\0\0\0\0hi")); /* ping */
    buf_init(&b, 0);
    assert_int_equal(read_frame(fd, &b), 10);
    assert_true(str_is(buf_view(&b), "hi"));
    client_send(fd, STR("\x81\x83\0\0\0\0abc")); /* text, which is ignored */
    assert_true(ws_send_text(ws, STR("three")));
    expect_text(fd, "three");
    client_send(fd, STR("\x88\x82\0\0\0\0\x03\xe8")); /* close 1000 */
    assert_int_equal(read_frame(fd, &b), 8);
    expect_closed(fd);
    close(fd);
    WAIT_FOR(atomic_load(&socket_closed) && ws_is_closed(ws));
    assert_false(ws_send_text(ws, STR("four")));
    buf_done(&b);
    ws_unref(ws);
    fixture_stop(&f);
}

static void closes_after_what_is_queued(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd;
    buf b;
    websocket *ws = open_socket(f.port, &fd);
    assert_true(ws_send_text(ws, STR("last")));
    ws_close(ws, 1011, STR("why"));
    assert_false(ws_send_text(ws, STR("late")));
    ws_unref(ws);
    expect_text(fd, "last");
    buf_init(&b, 0);
    assert_int_equal(read_frame(fd, &b), 8);
    assert_memory_equal(b.ptr, "\x03\xf3why", 5);
    client_send(fd, STR("\x88\x82\0\0\0\0\x03\xf3"));
    expect_closed(fd);
    close(fd);
    WAIT_FOR(atomic_load(&socket_closed));
    buf_done(&b);
    fixture_stop(&f);
}

static void a_slow_client_fills_its_queue_and_no_more(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd;
    websocket *ws = open_socket_sized(f.port, 8192, &fd);
    char text[1000];
    memset(text, 'x', sizeof(text));
    /* The kernel's buffers and the server's take some, then the queue of 10,000 bytes fills. */
    uint64_t sent = 0;
    int refused = 0;
    int64_t until = clock_mono_ns() + 10 * NS_PER_S;
    while (refused < 100 && clock_mono_ns() < until) {
        if (ws_send_text(ws, str_n(text, sizeof(text)))) {
            sent++;
            refused = 0;
        } else {
            refused++;
            (void)poll(NULL, 0, 1);
        }
    }
    assert_int_equal(refused, 100);
    buf b;
    buf_init(&b, 0);
    for (uint64_t i = 0; i < sent; i++) {
        assert_int_equal(read_frame(fd, &b), 1);
        assert_int_equal(b.len, sizeof(text));
    }
    buf_done(&b);
    ws_unref(ws);
    close(fd);
    WAIT_FOR(atomic_load(&socket_closed));
    fixture_stop(&f);
}

static void a_client_that_vanishes_closes_the_socket(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd;
    websocket *ws = open_socket(f.port, &fd);
    close(fd);
    WAIT_FOR(ws_is_closed(ws) && atomic_load(&socket_closed));
    ws_unref(ws);
    fixture_stop(&f);
}

static void refuses_what_is_no_upgrade(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    expect_answer(f.port, STR("GET /socket HTTP/1.1\r\nHost: a\r\n\r\n"), 426, NULL);
    expect_answer(f.port,
                  STR("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket"
                      "\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: "
                      "dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
                  426, NULL);
    assert_null(atomic_load(&socket_accepted));
    fixture_stop(&f);
}

static void bad_frames_end_the_connection(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd;
    buf b;
    websocket *ws = open_socket(f.port, &fd);
    client_send(fd, STR("\x81\x03"
                        "abc")); /* a client must mask */
    buf_init(&b, 0);
    assert_int_equal(read_frame(fd, &b), 8);
    close(fd);
    WAIT_FOR(ws_is_closed(ws));
    buf_done(&b);
    ws_unref(ws);
    fixture_stop(&f);
}

static void stopping_says_goodbye(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd;
    buf b;
    websocket *ws = open_socket(f.port, &fd);
    /* The answer to the server's close frame may already be on its way. */
    client_send(fd, STR("\x88\x82\0\0\0\0\x03\xe9"));
    fixture_stop(&f);
    buf_init(&b, 0);
    assert_int_equal(read_frame(fd, &b), 8);
    expect_closed(fd);
    assert_true(ws_is_closed(ws));
    ws_unref(ws);
    buf_done(&b);
    close(fd);
}

static bool count_down(void *user, str text)
{
    int *left = user;
    char expected[16];
    snprintf(expected, sizeof(expected), "line %d", *left);
    assert_true(str_is(text, expected));
    return --*left > 0;
}

static void the_client_reads_what_the_server_sends(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    ws_client *c = NULL;
    error err;
    char base[64];
    int left = 3;
    snprintf(base, sizeof(base), "http://127.0.0.1:%u/", f.port);
    assert_int_equal(ws_client_open(&c, base, STR("/none?x=1"), &err), STATUS_INVALID);
    assert_true(str_contains(str_c(err.message), STR("404")));
    assert_true(str_contains(str_c(err.message), STR("no such path")));
    assert_int_equal(ws_client_open(&c, base, STR("/socket"), &err), STATUS_OK);
    WAIT_FOR(atomic_load(&socket_accepted) != NULL);
    websocket *ws = atomic_load(&socket_accepted);
    for (int i = 3; i > 0; i--) {
        char text[16];
        snprintf(text, sizeof(text), "line %d", i);
        assert_true(ws_send_text(ws, str_c(text)));
    }
    assert_int_equal(ws_client_run(c, count_down, &left, &err), STATUS_OK);
    assert_int_equal(left, 0);
    ws_client_close(c);
    WAIT_FOR(ws_is_closed(ws));
    ws_unref(ws);
    fixture_stop(&f);
}

static void the_client_says_why_the_server_closed(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    ws_client *c = NULL;
    error err;
    char base[64];
    int left = 1;
    snprintf(base, sizeof(base), "http://127.0.0.1:%u", f.port);
    assert_int_equal(ws_client_open(&c, base, STR("/socket"), &err), STATUS_OK);
    WAIT_FOR(atomic_load(&socket_accepted) != NULL);
    ws_close(atomic_load(&socket_accepted), 1011, STR("out of luck"));
    assert_int_equal(ws_client_run(c, count_down, &left, &err), STATUS_IO);
    assert_true(str_contains(str_c(err.message), STR("out of luck")));
    ws_client_close(c);
    ws_unref(atomic_load(&socket_accepted));
    fixture_stop(&f);
}

static void the_client_refuses_urls_that_it_cannot_use(void **state)
{
    (void)state;
    static const char *const wrong[] = { "https://a:1", "http://", "http://a:b", "http://a:99999" };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        ws_client *c = NULL;
        error err;
        assert_int_equal(ws_client_open(&c, wrong[i], STR("/"), &err), STATUS_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_text_and_answers_pings),
        cmocka_unit_test(closes_after_what_is_queued),
        cmocka_unit_test(a_slow_client_fills_its_queue_and_no_more),
        cmocka_unit_test(a_client_that_vanishes_closes_the_socket),
        cmocka_unit_test(refuses_what_is_no_upgrade),
        cmocka_unit_test(bad_frames_end_the_connection),
        cmocka_unit_test(stopping_says_goodbye),
        cmocka_unit_test(the_client_reads_what_the_server_sends),
        cmocka_unit_test(the_client_says_why_the_server_closed),
        cmocka_unit_test(the_client_refuses_urls_that_it_cannot_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
