// SPDX-License-Identifier: Apache-2.0
/* What the HTTP server does about clients that are slow, gone, or too many, and how it stops. */
#include "net_fixture.h"

#define GET(path) STR("GET " path " HTTP/1.1\r\nHost: a\r\n\r\n")

static void cuts_off_a_head_that_never_ends(void **state)
{
    (void)state;
    fixture f = fixture_start(&(http_server_options){ .header_ms = 50 });
    int fd = client_connect(f.port), silent = client_connect(f.port);
    client_send(fd, STR("GET /echo HTTP/1.1\r\nHos"));
    answer a = client_read(fd, false);
    assert_int_equal(a.code, 408);
    answer_done(&a);
    expect_closed(fd);
    expect_closed(silent);
    close(fd);
    close(silent);
    fixture_stop(&f);
}

static void cuts_off_a_body_that_stalls(void **state)
{
    (void)state;
    fixture f = fixture_start(&(http_server_options){ .stall_ms = 50 });
    int fd = client_connect(f.port);
    client_send(fd, STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"));
    answer a = client_read(fd, false);
    assert_int_equal(a.code, 408);
    answer_done(&a);
    expect_closed(fd);
    close(fd);
    fixture_stop(&f);
}

static void closes_idle_connections(void **state)
{
    (void)state;
    fixture f = fixture_start(&(http_server_options){ .idle_ms = 50 });
    int fd = client_connect(f.port);
    client_send(fd, GET("/echo"));
    answer a = client_read(fd, false);
    assert_int_equal(a.code, 200);
    answer_done(&a);
    expect_closed(fd);
    close(fd);
    fixture_stop(&f);
}

static void a_slow_handler_is_not_idle(void **state)
{
    (void)state;
    fixture f =
        fixture_start(&(http_server_options){ .idle_ms = 20, .stall_ms = 20, .header_ms = 20 });
    int fd = client_connect(f.port);
    client_send(fd, GET("/block"));
    WAIT_FOR(atomic_load(&blocked) == 1);
    int64_t until = clock_mono_ns() + 100 * NS_PER_MS; /* five times each limit */
    WAIT_FOR(clock_mono_ns() > until);
    atomic_store(&gate_open, 1);
    answer a = client_read(fd, false);
    assert_int_equal(a.code, 200);
    answer_done(&a);
    close(fd);
    fixture_stop(&f);
}

static void streams_without_holding_more_than_the_limit(void **state)
{
    (void)state;
    fixture f = fixture_start(&(http_server_options){ .stream_bytes = 10000 });
    int fd = client_connect(f.port);
    client_send(fd, GET("/stream?n=7000&count=1000"));
    answer a = client_read(fd, false);
    assert_int_equal(a.code, 200);
    assert_int_equal(a.body.len, 7000000);
    answer_done(&a);
    client_send(fd, STR("GET /stream?n=3&count=2 HTTP/1.0\r\n\r\n"));
    a = client_read(fd, false);
    assert_true(str_is(buf_view(&a.body), "abcabc"));
    answer_done(&a);
    close(fd);
    fixture_stop(&f);
}

static void tells_a_streaming_handler_that_its_client_went(void **state)
{
    (void)state;
    fixture f = fixture_start(&(http_server_options){ .stream_bytes = 10000 });
    int fd = client_connect(f.port);
    client_send(fd, GET("/stream?n=100000&count=1000000"));
    char some[1000];
    assert_true(recv(fd, some, sizeof(some), 0) > 0);
    close(fd);
    WAIT_FOR(atomic_load(&canceled_seen));
    fixture_stop(&f);
}

static void a_client_that_reads_nothing_is_cut_off(void **state)
{
    (void)state;
    fixture f = fixture_start(&(http_server_options){ .stream_bytes = 10000, .stall_ms = 100 });
    int fd = client_connect(f.port);
    client_send(fd, GET("/stream?n=100000&count=1000000"));
    WAIT_FOR(atomic_load(&canceled_seen));
    close(fd);
    fixture_stop(&f);
}

static void cancels_a_query_whose_client_went(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd = client_connect(f.port);
    client_send(fd, GET("/wait-cancel"));
    WAIT_FOR(atomic_load(&blocked) == 1);
    close(fd);
    WAIT_FOR(atomic_load(&canceled_seen));
    fixture_stop(&f);
}

static void answers_503_when_the_queue_is_full(void **state)
{
    (void)state;
    fixture f = fixture_start(&(http_server_options){ .query_threads = 1, .query_queue = 2 });
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = client_connect(f.port);
        client_send(fds[i], GET("/block"));
        /* The first is with the worker, the others wait. */
        if (i == 0)
            WAIT_FOR(atomic_load(&blocked) == 1);
    }
    http_server_stats stats;
    WAIT_FOR((http_server_get_stats(f.server, &stats), stats.requests_in_flight == 3));
    int fd = client_connect(f.port);
    client_send(fd, GET("/block"));
    answer a = client_read(fd, false);
    assert_int_equal(a.code, 503);
    assert_true(str_is(answer_header(&a, "retry-after"), "1"));
    answer_done(&a);
    /* The other pool still works, on the same connection. */
    client_send(fd, GET("/echo"));
    a = client_read(fd, false);
    assert_int_equal(a.code, 200);
    answer_done(&a);
    http_server_get_stats(f.server, &stats);
    assert_int_equal(stats.refused_busy, 1);
    close(fd);
    atomic_store(&gate_open, 1);
    for (int i = 0; i < 3; i++) {
        a = client_read(fds[i], false);
        assert_int_equal(a.code, 200);
        answer_done(&a);
        close(fds[i]);
    }
    fixture_stop(&f);
}

static void refuses_connections_beyond_the_limit(void **state)
{
    (void)state;
    fixture f = fixture_start(&(http_server_options){ .connections = 2 });
    int first = client_connect(f.port), second = client_connect(f.port);
    client_send(first, GET("/echo"));
    client_send(second, GET("/echo"));
    answer a = client_read(first, false);
    answer_done(&a);
    a = client_read(second, false);
    answer_done(&a);
    int third = client_connect(f.port);
    a = client_read(third, false);
    assert_int_equal(a.code, 503);
    answer_done(&a);
    close(first);
    close(second);
    close(third);
    fixture_stop(&f);
}

static void *stop_thread(void *arg)
{
    return (void *)(uintptr_t)http_server_stop(arg, 5000);
}

static void stopping_finishes_what_is_in_flight(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd = client_connect(f.port), idle = client_connect(f.port);
    client_send(idle, GET("/echo"));
    answer a = client_read(idle, false);
    answer_done(&a);
    client_send(fd, GET("/block"));
    WAIT_FOR(atomic_load(&blocked) == 1);
    pthread_t thread;
    void *ended = NULL;
    assert_int_equal(pthread_create(&thread, NULL, stop_thread, f.server), 0);
    expect_closed(idle); /* so stopping has begun */
    atomic_store(&gate_open, 1);
    a = client_read(fd, false);
    assert_int_equal(a.code, 200);
    assert_true(str_is(answer_header(&a, "connection"), "close"));
    answer_done(&a);
    expect_closed(fd);
    close(fd);
    close(idle);
    pthread_join(thread, &ended);
    assert_true(ended != NULL);
    http_server_free(f.server);
}

static void stopping_gives_up_at_its_limit(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    int fd = client_connect(f.port);
    client_send(fd, GET("/block"));
    WAIT_FOR(atomic_load(&blocked) == 1);
    assert_false(http_server_stop(f.server, 10));
    expect_closed(fd);
    close(fd);
    atomic_store(&gate_open, 1);
    WAIT_FOR(atomic_load(&blocked) == 0);
    assert_true(http_server_stop(f.server, 5000)); /* now the worker has come back */
    http_server_free(f.server);
}

static void refuses_addresses_that_are_none(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "4319", "127.0.0.1", "127.0.0.1:x", "::1:80", "127.0.0.1:70000", "[::1]"
    };
    http_server *s = NULL;
    error err;
    bool loopback;
    assert_int_equal(http_server_new(&s, NULL, &err), STATUS_OK);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(http_server_listen(s, wrong[i], NULL, 0, NULL, &err), STATUS_INVALID);
    assert_int_equal(http_address_is_loopback("127.0.0.2:1", &loopback, &err), STATUS_OK);
    assert_true(loopback);
    assert_int_equal(http_address_is_loopback("[::1]:1", &loopback, &err), STATUS_OK);
    assert_true(loopback);
    assert_int_equal(http_address_is_loopback(":1", &loopback, &err), STATUS_OK);
    assert_false(loopback);
    assert_int_equal(http_address_is_loopback("0.0.0.0:1", &loopback, &err), STATUS_OK);
    assert_false(loopback);
    http_server_free(s);
}

/* A body is not read while others hold most of the memory, and is read when they are done. */
static void reads_no_body_while_memory_is_short(void **state)
{
    (void)state;
    enum { SIZE = 3 << 20 };
    fixture f = fixture_start(
        &(http_server_options){ .bodies_bytes = MiB(8), .body_bytes = MiB(7), .stall_ms = 200 });
    int holder = client_hold(f.port, MiB(6) + MiB(1) / 2), fd = client_connect(f.port);
    char *bytes = calloc(SIZE, 1);
    assert_non_null(bytes);
    client_send(fd, STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3145728\r\n\r\n"));
    size_t sent = 0;
    while (sent < SIZE) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        if (poll(&p, 1, 300) == 0) /* longer than a stalled body is waited for */
            break;
        ssize_t n = send(fd, bytes + sent, SIZE - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        assert_true(n > 0);
        sent += (size_t)n;
    }
    WAIT_FOR(fixture_stats(&f).held == 1);
    assert_true(fixture_stats(&f).body_bytes < MiB(8));
    /* Others are served, and the held one only waits. */
    expect_answer(f.port, GET("/named/1"), 200, "rest=1");
    atomic_store(&gate_open, 1);
    client_send(fd, str_n(bytes + sent, SIZE - sent));
    answer a = client_read(fd, false);
    assert_int_equal(a.code, 200);
    assert_int_equal(a.body.len, SIZE);
    answer_done(&a);
    a = client_read(holder, false);
    assert_int_equal(a.code, 200);
    answer_done(&a);
    assert_int_equal(fixture_stats(&f).held, 0);
    assert_int_equal(fixture_stats(&f).refused_busy, 0);
    free(bytes);
    close(fd);
    close(holder);
    fixture_stop(&f);
}

/* Where no request is at work nothing will get better by waiting: the limit is said. */
static void refuses_bodies_when_all_memory_is_held_by_unfinished_ones(void **state)
{
    (void)state;
    fixture f =
        fixture_start(&(http_server_options){ .bodies_bytes = MiB(2), .body_bytes = MiB(2) });
    int fds[3];
    char *bytes = calloc(MiB(1), 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = client_connect(f.port);
        client_send(fds[i],
                    STR("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n"));
        (void)client_try_send(fds[i], str_n(bytes, MiB(1) - 1));
    }
    WAIT_FOR(fixture_stats(&f).refused_busy >= 1);
    unsigned answered = 0;
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        (void)client_try_send(fds[i], STR("x"));
        answer a = client_read(fds[i], false);
        answered += a.code == 200;
        if (a.code != 200) {
            assert_int_equal(a.code, 503);
            assert_true(str_is(answer_header(&a, "retry-after"), "1"));
        }
        answer_done(&a);
        close(fds[i]);
    }
    assert_true(answered + fixture_stats(&f).refused_busy == 3);
    free(bytes);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_no_body_while_memory_is_short),
        cmocka_unit_test(refuses_bodies_when_all_memory_is_held_by_unfinished_ones),
        cmocka_unit_test(cuts_off_a_head_that_never_ends),
        cmocka_unit_test(cuts_off_a_body_that_stalls),
        cmocka_unit_test(closes_idle_connections),
        cmocka_unit_test(a_slow_handler_is_not_idle),
        cmocka_unit_test(streams_without_holding_more_than_the_limit),
        cmocka_unit_test(tells_a_streaming_handler_that_its_client_went),
        cmocka_unit_test(a_client_that_reads_nothing_is_cut_off),
        cmocka_unit_test(cancels_a_query_whose_client_went),
        cmocka_unit_test(answers_503_when_the_queue_is_full),
        cmocka_unit_test(refuses_connections_beyond_the_limit),
        cmocka_unit_test(stopping_finishes_what_is_in_flight),
        cmocka_unit_test(stopping_gives_up_at_its_limit),
        cmocka_unit_test(refuses_addresses_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
