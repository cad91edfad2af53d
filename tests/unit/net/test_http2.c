// SPDX-License-Identifier: Apache-2.0
/* HTTP/2 and gRPC over real sockets, with nghttp2's client side to speak to the server. */
#include "net_fixture.h"

#include "net/grpc.h"

#include <nghttp2/nghttp2.h>

#include <zlib.h>

/* ---- a client with several requests on one connection ---- */

enum { REQUESTS = 64 };

typedef struct {
    int32_t id;
    str body;       /* to be sent */
    bool keep_open; /* the request's end is not sent */
    int code, grpc_code;
    char grpc_message[256], details[256];
    buf received;
    bool closed;
    uint32_t close_code;
} request;

typedef struct {
    int fd;
    nghttp2_session *session;
    request requests[REQUESTS];
    unsigned count, open;
    bool goaway;
    uint32_t goaway_code;
} client;

static request *request_of(client *c, int32_t id)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->requests[i].id == id)
            return &c->requests[i];
    return NULL;
}

static ssize_t client_write(nghttp2_session *s, const uint8_t *bytes, size_t n, int flags, void *u)
{
    client *c = u;
    (void)s;
    (void)flags;
    return client_try_send(c->fd, str_n(bytes, n)) ? (ssize_t)n : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name, size_t n,
                     const uint8_t *text, size_t text_len, uint8_t flags, void *u)
{
    request *r = request_of(u, frame->hd.stream_id);
    str key = str_n(name, n), content = str_n(text, text_len);
    uint64_t number = 0;
    (void)s;
    (void)flags;
    if (str_is(key, ":status") && str_to_u64(content, &number))
        r->code = (int)number;
    if (str_is(key, "grpc-status") && str_to_u64(content, &number))
        r->grpc_code = (int)number;
    if (str_is(key, "grpc-message"))
        str_copy_c(r->grpc_message, sizeof(r->grpc_message), content);
    if (str_is(key, "grpc-status-details-bin"))
        str_copy_c(r->details, sizeof(r->details), content);
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n,
                   void *u)
{
    (void)s;
    (void)flags;
    buf_add(&request_of(u, id)->received, bytes, n);
    return 0;
}

static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *u)
{
    client *c = u;
    request *r = request_of(c, id);
    (void)s;
    r->closed = true;
    r->close_code = code;
    c->open--;
    return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *u)
{
    client *c = u;
    (void)s;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->goaway = true;
        c->goaway_code = frame->goaway.error_code;
    }
    return 0;
}

static void client_start(client *c, unsigned port)
{
    nghttp2_session_callbacks *callbacks = NULL;
    memset(c, 0, sizeof(*c));
    c->fd = client_connect(port);
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_send_callback(callbacks, client_write);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    assert_int_equal(nghttp2_session_client_new(&c->session, callbacks, c), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(c->session, 0, NULL, 0), 0);
}

static void client_end(client *c)
{
    nghttp2_session_del(c->session);
    for (unsigned i = 0; i < c->count; i++)
        buf_done(&c->requests[i].received);
    close(c->fd);
}

static ssize_t read_body(nghttp2_session *s, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *u)
{
    request *r = source->ptr;
    size_t n = MIN(room, r->body.len);
    (void)s;
    (void)id;
    (void)u;
    memcpy(to, r->body.ptr, n);
    r->body = str_slice(r->body, n, r->body.len);
    if (n == 0 && r->keep_open)
        return NGHTTP2_ERR_DEFERRED;
    if (r->body.len == 0 && !r->keep_open)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

#define NV(k, v) \
    (nghttp2_nv) \
    { \
        (uint8_t *)(uintptr_t)(k), (uint8_t *)(uintptr_t)(v), strlen(k), strlen(v), 0 \
    }

/* extra: one more header, or NULL. */
static request *submit(client *c, const char *method, const char *path, str body, const char *type,
                       const char *extra_name, const char *extra)
{
    assert_true(c->count < REQUESTS);
    request *r = &c->requests[c->count++];
    nghttp2_nv head[8] = { NV(":method", method), NV(":scheme", "http"), NV(":path", path),
                           NV(":authority", "test") };
    size_t n = 4;
    if (type)
        head[n++] = NV("content-type", type);
    if (extra_name)
        head[n++] = NV(extra_name, extra);
    *r = (request){ .body = body, .grpc_code = -1 };
    buf_init(&r->received, 0);
    nghttp2_data_provider data = { .source.ptr = r, .read_callback = read_body };
    bool has_body = str_is(str_c(method), "POST");
    r->id = nghttp2_submit_request(c->session, NULL, head, n, has_body ? &data : NULL, NULL);
    assert_true(r->id > 0);
    c->open++;
    return r;
}

/* Sends and reads until every request was answered, or the connection has ended. */
static void client_run(client *c)
{
    uint8_t bytes[16384];
    while (c->open && !c->goaway) {
        if (nghttp2_session_send(c->session) != 0 || !c->open)
            return; /* sending can close the last stream */
        ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
        assert_true(n >= 0 || errno == ECONNRESET);
        if (n <= 0)
            return;
        assert_int_equal(nghttp2_session_mem_recv(c->session, bytes, (size_t)n), n);
    }
    (void)nghttp2_session_send(c->session);
}

/* ---- tests ---- */

static void answers_many_streams_at_once(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    client c;
    client_start(&c, f.port);
    for (int i = 0; i < 40; i++)
        (void)submit(&c, "POST", "/echo?p=1", STR("hello"), "text/plain", "hello", "x");
    request *big = submit(&c, "GET", "/big?n=300000", STR_EMPTY, NULL, NULL, NULL);
    request *streamed = submit(&c, "GET", "/stream?n=1000&count=500", STR_EMPTY, NULL, NULL, NULL);
    request *head = submit(&c, "HEAD", "/big?n=300000", STR_EMPTY, NULL, NULL, NULL);
    request *none = submit(&c, "POST", "/none", STR("body"), NULL, NULL, NULL);
    request *method = submit(&c, "DELETE", "/echo", STR_EMPTY, NULL, NULL, NULL);
    client_run(&c);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(c.requests[i].code, 200);
        assert_true(str_is(buf_view(&c.requests[i].received), "hello"));
    }
    assert_int_equal(big->received.len, 300000);
    assert_int_equal(streamed->received.len, 500000);
    assert_int_equal(head->code, 200);
    assert_int_equal(head->received.len, 0);
    assert_int_equal(none->code, 404);
    assert_int_equal(method->code, 405);
    client_end(&c);
    fixture_stop(&f);
}

static void takes_large_bodies_and_refuses_larger(void **state)
{
    (void)state;
    fixture f = fixture_start(&(http_server_options){ .body_bytes = MiB(3) });
    client c;
    buf body;
    buf_init(&body, 0);
    assert_true(buf_reserve(&body, MiB(4)));
    memset(body.ptr, 'x', MiB(4));
    client_start(&c, f.port);
    request *fits = submit(&c, "POST", "/echo", str_n(body.ptr, MiB(3)), NULL, NULL, NULL);
    request *over = submit(&c, "POST", "/echo", str_n(body.ptr, MiB(4)), NULL, NULL, NULL);
    request *announced =
        submit(&c, "POST", "/echo", str_n(body.ptr, MiB(4)), NULL, "content-length", "4194304");
    client_run(&c);
    assert_int_equal(fits->code, 200);
    assert_int_equal(fits->received.len, MiB(3));
    assert_int_equal(over->code, 413);
    assert_int_equal(announced->code, 413);
    client_end(&c);
    buf_done(&body);
    fixture_stop(&f);
}

static void refuses_heads_beyond_the_limits(void **state)
{
    (void)state;
    fixture f = fixture_start(&(http_server_options){ .header_bytes = 2000 });
    client c;
    char text[2100];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    text[0] = '/';
    client_start(&c, f.port);
    request *header = submit(&c, "GET", "/echo", STR_EMPTY, NULL, "long", text);
    request *path = submit(&c, "GET", text, STR_EMPTY, NULL, NULL, NULL);
    request *fine = submit(&c, "GET", "/echo", STR_EMPTY, NULL, NULL, NULL);
    client_run(&c);
    assert_int_equal(header->code, 431);
    assert_int_equal(path->code, 431);
    assert_int_equal(fine->code, 200);
    client_end(&c);
    fixture_stop(&f);
}

static void a_reset_stream_cancels_its_handler(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    client c;
    client_start(&c, f.port);
    request *r = submit(&c, "GET", "/wait-cancel", STR_EMPTY, NULL, NULL, NULL);
    assert_int_equal(nghttp2_session_send(c.session), 0);
    WAIT_FOR(atomic_load(&blocked) == 1);
    assert_int_equal(nghttp2_submit_rst_stream(c.session, 0, r->id, NGHTTP2_CANCEL), 0);
    assert_int_equal(nghttp2_session_send(c.session), 0);
    WAIT_FOR(atomic_load(&canceled_seen));
    client_end(&c);
    fixture_stop(&f);
}

static void ends_a_connection_that_resets_streams_rapidly(void **state)
{
    (void)state;
    fixture f = fixture_start(&(http_server_options){ .resets = 20 });
    client c;
    client_start(&c, f.port);
    for (int i = 0; i < 40; i++) {
        request *r = submit(&c, "GET", "/echo", STR_EMPTY, NULL, NULL, NULL);
        assert_int_equal(nghttp2_session_send(c.session), 0);
        (void)nghttp2_submit_rst_stream(c.session, 0, r->id, NGHTTP2_CANCEL);
        (void)nghttp2_session_send(c.session);
    }
    c.open = 1;
    client_run(&c);
    assert_true(c.goaway);
    assert_int_equal(c.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    client_end(&c);
    fixture_stop(&f);
}

static void knows_the_preface_however_it_is_cut(void **state)
{
    (void)state;
    /* The preface and an empty SETTINGS frame; the answer starts with the server's SETTINGS. */
    static const char bytes[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    fixture f = fixture_start(NULL);
    for (size_t cut = 1; cut < sizeof(bytes) - 1; cut++) {
        int fd = client_connect(f.port);
        buf got;
        buf_init(&got, 0);
        client_send(fd, str_n(bytes, cut));
        (void)poll(NULL, 0, 1);
        client_send(fd, str_n(bytes + cut, sizeof(bytes) - 1 - cut));
        read_exactly(fd, &got, 9);
        assert_int_equal(got.ptr[3], NGHTTP2_SETTINGS);
        buf_done(&got);
        close(fd);
    }
    /* Nearly the preface: HTTP/1.1 with an unknown method. */
    expect_answer(f.port, STR("PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n"), 400, NULL);
    fixture_stop(&f);
}

static void stopping_lets_streams_finish(void **state)
{
    (void)state;
    fixture f = fixture_start(NULL);
    client c;
    client_start(&c, f.port);
    request *r = submit(&c, "GET", "/block", STR_EMPTY, NULL, NULL, NULL);
    assert_int_equal(nghttp2_session_send(c.session), 0);
    WAIT_FOR(atomic_load(&blocked) == 1);
    fixture_stop(&f); /* opens the gate */
    uint8_t all[16384];
    ssize_t n;
    while ((n = recv(c.fd, all, sizeof(all), 0)) > 0)
        assert_int_equal(nghttp2_session_mem_recv(c.session, all, (size_t)n), n);
    assert_true(c.goaway);
    assert_int_equal(r->code, 200);
    assert_true(str_is(buf_view(&r->received), "opened"));
    client_end(&c);
}

/* The stream's window stays shut while others hold most of the memory. */
static void gives_no_window_while_memory_is_short(void **state)
{
    (void)state;
    fixture f =
        fixture_start(&(http_server_options){ .bodies_bytes = MiB(8), .body_bytes = MiB(7) });
    int holder = client_hold(f.port, MiB(6) + MiB(1) / 2);
    client c;
    uint8_t got[16384];
    char *bytes = calloc(MiB(3), 1);
    assert_non_null(bytes);
    client_start(&c, f.port);
    request *r = submit(&c, "POST", "/echo", str_n(bytes, MiB(3)), NULL, NULL, NULL);
    while (!fixture_stats(&f).held ||
           nghttp2_session_get_stream_remote_window_size(c.session, r->id) > 0) {
        struct pollfd p = { .fd = c.fd, .events = POLLIN };
        assert_int_equal(nghttp2_session_send(c.session), 0);
        if (poll(&p, 1, 10) == 0)
            continue;
        ssize_t n = recv(c.fd, got, sizeof(got), 0);
        assert_true(n > 0);
        assert_int_equal(nghttp2_session_mem_recv(c.session, got, (size_t)n), n);
    }
    assert_true(r->body.len >= MiB(2) - 1);
    assert_true(fixture_stats(&f).body_bytes < MiB(8));
    atomic_store(&gate_open, 1);
    client_run(&c);
    assert_int_equal(r->code, 200);
    assert_int_equal(r->received.len, MiB(3));
    assert_int_equal(fixture_stats(&f).held, 0);
    assert_int_equal(fixture_stats(&f).refused_busy, 0);
    client_end(&c);
    free(bytes);
    close(holder);
    fixture_stop(&f);
}

/* ---- gRPC ---- */

static void handle_grpc_echo(http_exchange *x, void *user)
{
    str message;
    (void)user;
    if (!grpc_request(x, &message))
        return;
    if (str_is(message, "busy"))
        grpc_fail_retry(x, GRPC_UNAVAILABLE, 7, STR("100% busy"));
    else if (str_is(message, "bad"))
        grpc_fail(x, GRPC_INVALID_ARGUMENT, "bad: %s", "caf\xc3\xa9\n");
    else
        grpc_reply(x, message);
}

static const http_route grpc_rows[] = {
    { "POST", "/test.Echo/Echo", handle_grpc_echo, NULL, POOL_INGEST, "" },
};

static fixture grpc_start(const http_server_options *options)
{
    fixture f = { 0 };
    error err;
    http_route_table table = { .rows = grpc_rows, .count = ARRAY_LEN(grpc_rows) };
    assert_int_equal(http_server_new(&f.server, options, &err), STATUS_OK);
    assert_int_equal(http_server_listen(f.server, "127.0.0.1:0", &table, 1, &f.port, &err),
                     STATUS_OK);
    assert_int_equal(http_server_start(f.server, &err), STATUS_OK);
    return f;
}

static request *grpc_call(client *c, const char *path, str framed, const char *encoding)
{
    return submit(c, "POST", path, framed, "application/grpc+proto",
                  encoding ? "grpc-encoding" : NULL, encoding);
}

static void answers_grpc_calls(void **state)
{
    (void)state;
    fixture f = grpc_start(NULL);
    client c;
    client_start(&c, f.port);
    request *ok = grpc_call(&c, "/test.Echo/Echo", STR("\0\0\0\0\2hi"), NULL);
    request *empty = grpc_call(&c, "/test.Echo/Echo", STR("\0\0\0\0\0"), NULL);
    request *busy = grpc_call(&c, "/test.Echo/Echo", STR("\0\0\0\0\4busy"), NULL);
    request *bad = grpc_call(&c, "/test.Echo/Echo", STR("\0\0\0\0\3bad"), NULL);
    request *unknown = grpc_call(&c, "/test.Echo/Other", STR("\0\0\0\0\2hi"), NULL);
    request *cut = grpc_call(&c, "/test.Echo/Echo", STR("\0\0\0\0\3hi"), NULL);
    request *none = grpc_call(&c, "/test.Echo/Echo", STR(""), NULL);
    request *coding = grpc_call(&c, "/test.Echo/Echo", STR("\1\0\0\0\2hi"), "br");
    request *plain = submit(&c, "POST", "/test.Echo/Echo", STR("x"), "text/plain", NULL, NULL);
    client_run(&c);
    assert_int_equal(ok->code, 200);
    assert_int_equal(ok->grpc_code, 0);
    assert_int_equal(ok->received.len, 7);
    assert_memory_equal(ok->received.ptr, "\0\0\0\0\2hi", 7);
    assert_int_equal(empty->grpc_code, 0);
    assert_int_equal(empty->received.len, 5);
    assert_int_equal(busy->grpc_code, 14);
    assert_string_equal(busy->grpc_message, "100%25 busy");
    /* google.rpc.Status { 14, "100% busy", RetryInfo { 7 s } } */
    assert_string_equal(busy->details,
                        "CA4SCTEwMCUgYnVzeRowCih0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuUmV0cnlJ"
                        "bmZvEgQKAggH");
    assert_int_equal(bad->grpc_code, 3);
    assert_string_equal(bad->grpc_message, "bad: caf%C3%A9");
    assert_int_equal(unknown->code, 200);
    assert_int_equal(unknown->grpc_code, 12);
    assert_int_equal(cut->grpc_code, 3);
    assert_int_equal(none->grpc_code, 3);
    assert_int_equal(coding->grpc_code, 12);
    assert_int_equal(plain->code, 415);
    client_end(&c);
    fixture_stop(&f);
}

static void decompresses_grpc_messages_and_refuses_bombs(void **state)
{
    (void)state;
    fixture f = grpc_start(&(http_server_options){ .body_bytes = MiB(1) });
    client c;
    uint8_t small[200], bomb[20000];
    static uint8_t zeros[4 << 20];
    uLongf small_len = sizeof(small) - 5, bomb_len = sizeof(bomb) - 5;
    assert_int_equal(compress(small + 5, &small_len, (const Bytef *)"hello", 5), Z_OK);
    assert_int_equal(compress(bomb + 5, &bomb_len, zeros, sizeof(zeros)), Z_OK);
    memcpy(small, (const uint8_t[]){ 1, 0, 0, 0, (uint8_t)small_len }, 5);
    memcpy(bomb, (const uint8_t[]){ 1, 0, 0, (uint8_t)(bomb_len >> 8), (uint8_t)bomb_len }, 5);
    client_start(&c, f.port);
    request *ok = grpc_call(&c, "/test.Echo/Echo", str_n(small, small_len + 5), "deflate");
    request *over = grpc_call(&c, "/test.Echo/Echo", str_n(bomb, bomb_len + 5), "deflate");
    client_run(&c);
    assert_int_equal(ok->grpc_code, 0);
    assert_int_equal(ok->received.len, 10);
    assert_int_equal(over->grpc_code, 8);
    client_end(&c);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_no_window_while_memory_is_short),
        cmocka_unit_test(answers_many_streams_at_once),
        cmocka_unit_test(takes_large_bodies_and_refuses_larger),
        cmocka_unit_test(refuses_heads_beyond_the_limits),
        cmocka_unit_test(a_reset_stream_cancels_its_handler),
        cmocka_unit_test(ends_a_connection_that_resets_streams_rapidly),
        cmocka_unit_test(knows_the_preface_however_it_is_cut),
        cmocka_unit_test(stopping_lets_streams_finish),
        cmocka_unit_test(answers_grpc_calls),
        cmocka_unit_test(decompresses_grpc_messages_and_refuses_bombs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
