// SPDX-License-Identifier: Apache-2.0
/* Listeners that come, change and go while the server runs, and what stands in front of handlers:
 * prefixes, authentication, cross-origin requests, limits of one table. */
#include "net_fixture.h"

static atomic_int sets_done;

static void count_done(void *user)
{
    (void)user;
    atomic_fetch_add(&sets_done, 1);
}

static void handle_text(http_exchange *x, void *user)
{
    buf_str(http_out(x), str_c(user));
}

static void handle_who(http_exchange *x, void *user)
{
    (void)user;
    buf_fmt(http_out(x), "%.*s|%.*s|%d", STR_ARG(http_client_address(x)), STR_ARG(http_peer(x)),
            http_is_encrypted(x));
}

static const http_route text_rows[] = {
    { "GET", "/text", handle_text, NULL, POOL_INGEST, "" },
    { "GET", "/who", handle_who, NULL, POOL_INGEST, "" },
    { "GET|POST", "/block", handle_block, NULL, POOL_QUERY, "" },
};

/* Routes that answer /text with `text`. */
static http_route_table text_table(const char *text)
{
    return (http_route_table){ .rows = text_rows,
                               .count = ARRAY_LEN(text_rows),
                               .user = (void *)(uintptr_t)text };
}

static http_routes routes_of(const http_route_table *table)
{
    return (http_routes){ .tables = table, .table_count = 1, .done = count_done };
}

typedef struct {
    http_server *server;
    http_listener *listener;
    unsigned port;
} opened;

static opened open_with(const http_route_table *table)
{
    opened o = { 0 };
    error err;
    http_routes routes = routes_of(table);
    atomic_store(&sets_done, 0);
    atomic_store(&gate_open, 0);
    assert_int_equal(http_server_new(&o.server, NULL, &err), STATUS_OK);
    assert_int_equal(http_server_start(o.server, &err), STATUS_OK);
    /* After the start, as a reload does. */
    assert_int_equal(
        http_server_open(o.server, &o.listener, "127.0.0.1:0", &routes, NULL, &o.port, &err),
        STATUS_OK);
    return o;
}

static void close_it(opened *o)
{
    fixture f = { o->server, o->port };
    fixture_stop(&f);
}

static str request_of(char *to, size_t size, const char *method, const char *path,
                      const char *fields)
{
    int n = snprintf(to, size, "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, path, fields);
    assert_true(n > 0 && (size_t)n < size);
    return str_n(to, (size_t)n);
}

static answer ask(int fd, const char *method, const char *path, const char *fields)
{
    char text[1024];
    client_send(fd, request_of(text, sizeof(text), method, path, fields));
    return client_read(fd, false);
}

static void expect(int fd, const char *path, const char *fields, int code, const char *body)
{
    answer a = ask(fd, "GET", path, fields);
    assert_int_equal(a.code, code);
    if (body) {
        buf_char(&a.body, 0);
        assert_string_equal(a.body.ptr, body);
    }
    answer_done(&a);
}

/* ---- replacing routes ---- */

static void new_routes_hold_for_new_requests_on_open_connections(void **state)
{
    (void)state;
    error err;
    http_route_table first = text_table("one"), second = text_table("two");
    opened o = open_with(&first);
    http_routes routes = routes_of(&second);
    int fd = client_connect(o.port), busy = client_connect(o.port);
    char text[200];
    expect(fd, "/text", "", 200, "one");
    client_send(busy, request_of(text, sizeof(text), "GET", "/block", ""));
    WAIT_FOR(atomic_load(&blocked) == 1);
    assert_int_equal(http_server_set_routes(o.server, o.listener, &routes, &err), STATUS_OK);
    expect(fd, "/text", "", 200, "two");
    /* The request that began before keeps the old set. */
    assert_int_equal(atomic_load(&sets_done), 0);
    assert_false(http_server_settle(o.server, 20));
    atomic_store(&gate_open, 1);
    assert_true(http_server_settle(o.server, 5000));
    assert_int_equal(atomic_load(&sets_done), 1);
    answer a = client_read(busy, false);
    assert_int_equal(a.code, 200);
    answer_done(&a);
    close(busy);
    close(fd);
    close_it(&o);
    assert_int_equal(atomic_load(&sets_done), 2);
}

typedef struct {
    uint64_t text, none;
} counted;

static void count_routes(void *user, str listener, str path, int code, uint64_t count)
{
    counted *c = user;
    (void)listener;
    if (str_is(path, "/text") && code == 200)
        c->text += count;
    if (path.len == 0)
        c->none += count;
}

static void counts_go_on_when_routes_are_replaced(void **state)
{
    (void)state;
    error err;
    http_route_table first = text_table("one"), second = text_table("two");
    opened o = open_with(&first);
    http_routes routes = routes_of(&second);
    counted c = { 0 };
    int fd = client_connect(o.port);
    expect(fd, "/text", "", 200, "one");
    expect(fd, "/nothing", "", 404, NULL);
    assert_int_equal(http_server_set_routes(o.server, o.listener, &routes, &err), STATUS_OK);
    expect(fd, "/text", "", 200, "two");
    http_server_counts(o.server, count_routes, &c);
    assert_int_equal(c.text, 2);
    assert_int_equal(c.none, 1);
    close(fd);
    close_it(&o);
}

/* Asks over and over while the routes change. */
static atomic_int asking;
static unsigned asked_port;

static void *ask_often(void *arg)
{
    int fd = client_connect(asked_port);
    (void)arg;
    while (atomic_load(&asking))
        expect(fd, "/text", "", 200, NULL);
    close(fd);
    return NULL;
}

static void no_request_is_refused_while_routes_change(void **state)
{
    (void)state;
    enum { THREADS = 3, ROUNDS = 200 };
    error err;
    http_route_table table = text_table("x");
    opened o = open_with(&table);
    http_routes routes = routes_of(&table);
    pthread_t threads[THREADS];
    atomic_store(&asking, 1);
    asked_port = o.port;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, NULL), 0);
    for (int i = 0; i < ROUNDS; i++)
        assert_int_equal(http_server_set_routes(o.server, o.listener, &routes, &err), STATUS_OK);
    atomic_store(&asking, 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(http_server_settle(o.server, 5000));
    assert_int_equal(atomic_load(&sets_done), ROUNDS);
    close_it(&o);
}

/* ---- listeners that go ---- */

static void a_closed_listener_answers_what_is_in_flight(void **state)
{
    (void)state;
    error err;
    char text[200];
    http_route_table table = text_table("one");
    opened o = open_with(&table);
    int idle = client_connect(o.port), busy = client_connect(o.port);
    expect(idle, "/text", "", 200, "one");
    client_send(busy, request_of(text, sizeof(text), "GET", "/block", ""));
    WAIT_FOR(atomic_load(&blocked) == 1);
    http_server_unlisten(o.server, o.listener);
    expect_closed(idle);
    /* The address is free at once. */
    char address[40];
    unsigned port = 0;
    http_listener *again;
    http_routes routes = routes_of(&table);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", o.port);
    assert_int_equal(http_server_open(o.server, &again, address, &routes, NULL, &port, &err),
                     STATUS_OK);
    assert_int_equal(port, o.port);
    int fresh = client_connect(port);
    expect(fresh, "/text", "", 200, "one");
    assert_false(http_server_settle(o.server, 20));
    atomic_store(&gate_open, 1);
    answer a = client_read(busy, false);
    assert_int_equal(a.code, 200);
    assert_true(str_is(answer_header(&a, "connection"), "close"));
    answer_done(&a);
    expect_closed(busy);
    assert_true(http_server_settle(o.server, 5000));
    assert_int_equal(atomic_load(&sets_done), 1);
    close(fresh);
    close(idle);
    close(busy);
    close_it(&o);
}

static void a_listener_that_cannot_be_opened_changes_nothing(void **state)
{
    (void)state;
    error err;
    http_listener *l = NULL;
    http_route_table table = text_table("one"), wrong = table;
    opened o = open_with(&table);
    http_routes routes = routes_of(&table), bad = routes_of(&wrong);
    char address[40];
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", o.port);
    assert_int_equal(http_server_open(o.server, &l, address, &routes, NULL, NULL, &err), STATUS_IO);
    wrong.prefix = "zipkin/";
    assert_int_equal(http_server_set_routes(o.server, o.listener, &bad, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "zipkin/"));
    http_tls tls = { .cert_pem = STR("nothing"), .key_pem = STR("nothing") };
    assert_int_equal(http_server_set_tls(o.server, o.listener, &tls, &err), STATUS_INVALID);
    assert_null(l);
    assert_int_equal(atomic_load(&sets_done), 0);
    int fd = client_connect(o.port);
    expect(fd, "/text", "", 200, "one");
    close(fd);
    close_it(&o);
}

/* ---- in front of handlers ---- */

static void a_prefix_stands_before_all_paths(void **state)
{
    (void)state;
    http_route_table tables[] = { text_table("bare"), text_table("below") };
    tables[1].prefix = "/zipkin";
    http_routes routes = { .tables = tables, .table_count = 2 };
    error err;
    opened o = open_with(&tables[0]);
    assert_int_equal(http_server_set_routes(o.server, o.listener, &routes, &err), STATUS_OK);
    int fd = client_connect(o.port);
    expect(fd, "/text", "", 200, "bare");
    expect(fd, "/zipkin/text", "", 200, "below");
    expect(fd, "/zipkin", "", 404, NULL);
    expect(fd, "/zipkin/zipkin/text", "", 404, NULL);
    close(fd);
    close_it(&o);
}

static status let_in(void *user, http_exchange *x, error *err)
{
    if (str_is(http_header(x, "authorization"), user))
        return STATUS_OK;
    return (fail)(err, STATUS_INVALID, "the token is not the right one");
}

static void only_who_is_authenticated_reaches_a_handler(void **state)
{
    (void)state;
    http_route_table table = text_table("secret");
    table.authenticate = let_in;
    table.authenticate_user = (void *)(uintptr_t) "Bearer good";
    opened o = open_with(&table);
    http_server_stats stats;
    int fd = client_connect(o.port);
    answer a = ask(fd, "GET", "/text", "Authorization: Bearer bad\r\n");
    assert_int_equal(a.code, 401);
    assert_true(str_is(answer_header(&a, "www-authenticate"), "Bearer"));
    assert_true(str_contains(buf_view(&a.body), STR("not the right one")));
    answer_done(&a);
    expect(fd, "/text", "", 401, NULL);
    expect(fd, "/text", "Authorization: Bearer good\r\n", 200, "secret");
    http_server_get_stats(o.server, &stats);
    assert_int_equal(stats.refused_auth, 2);
    close(fd);
    close_it(&o);
}

static void the_client_address_is_known(void **state)
{
    (void)state;
    http_route_table table = text_table("");
    opened o = open_with(&table);
    int fd = client_connect(o.port);
    expect(fd, "/who", "", 200, "127.0.0.1||0");
    close(fd);
    close_it(&o);
}

static void a_table_has_its_own_body_limit(void **state)
{
    (void)state;
    http_route_table table = text_table("");
    opened o;
    table.body_bytes = 10;
    o = open_with(&table);
    atomic_store(&gate_open, 1);
    expect_answer(o.port,
                  STR("POST /block HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789"),
                  200, NULL);
    expect_answer(o.port,
                  STR("POST /block HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n0123456789x"),
                  413, NULL);
    expect_answer(o.port,
                  STR("POST /block HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "b\r\n0123456789x\r\n0\r\n\r\n"),
                  413, NULL);
    close_it(&o);
}

static void a_client_over_its_rate_is_told_when_to_come_back(void **state)
{
    (void)state;
    http_route_table table = text_table("x");
    table.rate = 0.01;
    table.burst = 3;
    opened o = open_with(&table);
    http_server_stats stats;
    int fd = client_connect(o.port);
    for (int i = 0; i < 3; i++)
        expect(fd, "/text", "", 200, "x");
    answer a = ask(fd, "GET", "/text", "");
    uint64_t seconds = 0;
    assert_int_equal(a.code, 429);
    assert_true(str_to_u64(answer_header(&a, "retry-after"), &seconds));
    assert_true(seconds > 90 && seconds <= 101);
    answer_done(&a);
    http_server_get_stats(o.server, &stats);
    assert_int_equal(stats.refused_rate, 1);
    close(fd);
    close_it(&o);
}

/* ---- cross-origin requests ---- */

static const str origins[] = { STR_INIT("https://app.example"),
                               STR_INIT("https://*.shop.example") };
static const str allowed_headers[] = { STR_INIT("X-Token") };
static const http_cors cors = { origins, 2, allowed_headers, 1, 600 };

static void expect_cors(int fd, const char *method, const char *fields, int code,
                        const char *origin, const char *headers)
{
    answer a = ask(fd, method, "/text", fields);
    assert_int_equal(a.code, code);
    if (!str_is(answer_header(&a, "access-control-allow-origin"), origin) ||
        !str_is(answer_header(&a, "access-control-allow-headers"), headers))
        fail_msg("%s answered with %.*s", fields, STR_ARG(buf_view(&a.head)));
    if (headers[0])
        assert_true(str_is(answer_header(&a, "access-control-max-age"), "600"));
    answer_done(&a);
}

#define PREFLIGHT "Access-Control-Request-Method: GET\r\n"

static void pages_of_listed_origins_may_read_answers(void **state)
{
    (void)state;
    http_route_table table = text_table("x");
    table.cors = &cors;
    table.authenticate = let_in;
    table.authenticate_user = (void *)(uintptr_t) "good";
    opened o = open_with(&table);
    int fd = client_connect(o.port);
    expect_cors(fd, "GET", "Authorization: good\r\nOrigin: https://app.example\r\n", 200,
                "https://app.example", "");
    /* The page may also read why it was refused. */
    expect_cors(fd, "GET", "Origin: https://a.shop.example\r\n", 401, "https://a.shop.example", "");
    expect_cors(fd, "GET", "Authorization: good\r\nOrigin: https://evil.example\r\n", 200, "", "");
    expect_cors(fd, "GET", "Authorization: good\r\nOrigin: https://app.example.evil\r\n", 200, "",
                "");
    expect_cors(fd, "GET", "Authorization: good\r\nOrigin: https://.shop.example.evil\r\n", 200, "",
                "");
    close(fd);
    close_it(&o);
}

static void preflights_are_answered_without_authentication(void **state)
{
    (void)state;
    http_route_table table = text_table("x");
    table.cors = &cors;
    table.authenticate = let_in;
    table.authenticate_user = (void *)(uintptr_t) "good";
    opened o = open_with(&table);
    int fd = client_connect(o.port);
    expect_cors(fd, "OPTIONS",
                PREFLIGHT "Origin: https://app.example\r\n"
                          "Access-Control-Request-Headers: content-type, x-token\r\n",
                204, "https://app.example", "content-type, x-token");
    expect_cors(fd, "OPTIONS",
                PREFLIGHT "Origin: https://app.example\r\n"
                          "Access-Control-Request-Headers: x-other\r\n",
                204, "", "");
    expect_cors(fd, "OPTIONS", PREFLIGHT "Origin: https://evil.example\r\n", 204, "", "");
    /* A method that the path does not have. */
    expect_cors(fd, "OPTIONS",
                "Access-Control-Request-Method: DELETE\r\nOrigin: https://app.example\r\n", 204, "",
                "");
    close(fd);
    close_it(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_routes_hold_for_new_requests_on_open_connections),
        cmocka_unit_test(counts_go_on_when_routes_are_replaced),
        cmocka_unit_test(no_request_is_refused_while_routes_change),
        cmocka_unit_test(a_closed_listener_answers_what_is_in_flight),
        cmocka_unit_test(a_listener_that_cannot_be_opened_changes_nothing),
        cmocka_unit_test(a_prefix_stands_before_all_paths),
        cmocka_unit_test(only_who_is_authenticated_reaches_a_handler),
        cmocka_unit_test(the_client_address_is_known),
        cmocka_unit_test(a_table_has_its_own_body_limit),
        cmocka_unit_test(a_client_over_its_rate_is_told_when_to_come_back),
        cmocka_unit_test(pages_of_listed_origins_may_read_answers),
        cmocka_unit_test(preflights_are_answered_without_authentication),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
