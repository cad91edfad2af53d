// SPDX-License-Identifier: Apache-2.0
/* TLS on a listener, with OpenSSL's client side and certificates that the openssl program makes. */
#include "net_fixture.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

/* ---- certificates ---- */

static char dir[] = "/tmp/sonde-tls-XXXXXX";

static void shell(const char *format, ...)
{
    char command[1200], text[1000];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)snprintf(command, sizeof(command), "cd %s && (%s) >/dev/null 2>&1", dir, text);
    assert_int_equal(system(command), 0);
}

/* NAME.pem and NAME.key, signed by itself. */
static void make_ca(const char *name)
{
    shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 "
          "-subj /O=Example/CN=%s -keyout %s.key -out %s.pem",
          name, name, name);
}

/* Signed by `ca`; days may be negative, for one that is over. */
static void make_cert(const char *name, const char *ca, int days)
{
    shell("openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
          "-subj /O=Example/CN=%s -keyout %s.key -out %s.csr && "
          "openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days %d "
          "-out %s.pem",
          name, name, name, name, ca, ca, days, name);
}

static const char *path_of(const char *file)
{
    static char paths[8][200];
    static unsigned next;
    char *to = paths[next++ % ARRAY_LEN(paths)];
    (void)snprintf(to, sizeof(paths[0]), "%s/%s", dir, file);
    return to;
}

static int make_all(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    make_ca("ca");
    make_ca("strangers");
    make_cert("server", "ca", 30);
    make_cert("renewed", "ca", 30);
    make_cert("sender", "ca", 30);
    make_cert("expired", "ca", -1);
    make_cert("stranger", "strangers", 30);
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    shell("rm -rf %s", dir);
    return 0;
}

/* ---- the server ---- */

static void handle_peer(http_exchange *x, void *user)
{
    (void)user;
    buf_fmt(http_out(x), "%.*s|%d", STR_ARG(http_peer(x)), http_is_encrypted(x));
}

static const http_route rows[] = {
    { "POST", "/echo", handle_echo, NULL, POOL_INGEST, "" },
    { "GET", "/peer", handle_peer, NULL, POOL_INGEST, "" },
    { "GET", "/big", handle_big, NULL, POOL_INGEST, "" },
};

typedef struct {
    http_server *server;
    http_listener *listener;
    unsigned port;
} tls_fixture;

static http_tls usual(void)
{
    return (http_tls){ .cert_file = str_c(path_of("server.pem")),
                       .key_file = str_c(path_of("server.key")) };
}

static tls_fixture start(const http_tls *tls, const http_server_options *options)
{
    tls_fixture f = { 0 };
    error err;
    http_route_table table = { .rows = rows, .count = ARRAY_LEN(rows) };
    http_routes routes = { .tables = &table, .table_count = 1 };
    assert_int_equal(http_server_new(&f.server, options, &err), STATUS_OK);
    if (http_server_open(f.server, &f.listener, "127.0.0.1:0", &routes, tls, &f.port, &err) !=
        STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(http_server_start(f.server, &err), STATUS_OK);
    return f;
}

static void stop(tls_fixture *f)
{
    fixture plain = { f->server, f->port };
    fixture_stop(&plain);
}

static http_server_stats stats_of(tls_fixture *f)
{
    http_server_stats s;
    http_server_get_stats(f->server, &s);
    return s;
}

/* ---- the client ---- */

typedef struct {
    const char *cert;    /* "sender": its .pem and .key; NULL: none */
    const char *alpn;    /* in wire form; NULL: not offered */
    int max_version;     /* 0: any */
    SSL_SESSION *resume; /* NULL: a fresh handshake */
} how;

typedef struct {
    SSL_CTX *context;
    SSL *ssl; /* NULL: the handshake failed */
    int fd;
} tls_client_conn;

/* In TLS 1.3 a client learns only when it reads that its certificate was refused. */
static tls_client_conn tls_connect(unsigned port, const how *h)
{
    tls_client_conn c = { .fd = client_connect(port) };
    char cert[100], key[100];
    c.context = SSL_CTX_new(TLS_client_method());
    assert_non_null(c.context);
    assert_int_equal(SSL_CTX_load_verify_locations(c.context, path_of("ca.pem"), NULL), 1);
    SSL_CTX_set_verify(c.context, SSL_VERIFY_PEER, NULL);
    if (h->cert) {
        (void)snprintf(cert, sizeof(cert), "%s.pem", h->cert);
        (void)snprintf(key, sizeof(key), "%s.key", h->cert);
        assert_int_equal(SSL_CTX_use_certificate_file(c.context, path_of(cert), SSL_FILETYPE_PEM),
                         1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(c.context, path_of(key), SSL_FILETYPE_PEM), 1);
    }
    if (h->max_version)
        SSL_CTX_set_max_proto_version(c.context, h->max_version);
    if (h->alpn)
        SSL_CTX_set_alpn_protos(c.context, (const unsigned char *)h->alpn,
                                (unsigned)strlen(h->alpn));
    c.ssl = SSL_new(c.context);
    assert_non_null(c.ssl);
    SSL_set_fd(c.ssl, c.fd);
    if (h->resume)
        SSL_set_session(c.ssl, h->resume);
    if (SSL_connect(c.ssl) != 1) {
        SSL_free(c.ssl);
        c.ssl = NULL;
    }
    ERR_clear_error();
    return c;
}

static void tls_close(tls_client_conn *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->context);
    close(c->fd);
}

static void tls_send(tls_client_conn *c, str bytes)
{
    while (bytes.len) {
        int n = SSL_write(c->ssl, bytes.ptr, (int)MIN(bytes.len, (size_t)100000));
        assert_true(n > 0);
        bytes = str_slice(bytes, (size_t)n, bytes.len);
    }
}

/* Reads an answer with Content-Length into `body`; the code, or 0 when the connection ended. */
static int tls_answer(tls_client_conn *c, buf *body)
{
    buf all;
    size_t head = SIZE_MAX, length = 0;
    char bytes[20000];
    buf_init(&all, 0);
    while (head == SIZE_MAX || all.len < head + length) {
        int n = SSL_read(c->ssl, bytes, sizeof(bytes));
        if (n <= 0) {
            buf_done(&all);
            ERR_clear_error();
            return 0;
        }
        buf_add(&all, bytes, (size_t)n);
        size_t end = str_find(buf_view(&all), STR("\r\n\r\n"));
        size_t at = str_find(buf_view(&all), STR("Content-Length: "));
        if (head == SIZE_MAX && end != SIZE_MAX && at != SIZE_MAX) {
            head = end + 4;
            buf_char(&all, 0);
            all.len--;
            length = strtoul(all.ptr + at + 16, NULL, 10);
        }
    }
    int code = (int)strtol(all.ptr + 9, NULL, 10);
    if (body)
        buf_add(body, all.ptr + head, length);
    buf_done(&all);
    return code;
}

static void expect_peer(tls_client_conn *c, const char *text)
{
    buf body;
    buf_init(&body, 0);
    assert_non_null(c->ssl);
    tls_send(c, STR("GET /peer HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_int_equal(tls_answer(c, &body), 200);
    buf_char(&body, 0);
    assert_string_equal(body.ptr, text);
    buf_done(&body);
}

static void expect_refused(unsigned port, const how *h)
{
    tls_client_conn c = tls_connect(port, h);
    if (c.ssl) {
        (void)SSL_write(c.ssl, "GET /peer HTTP/1.1\r\nHost: a\r\n\r\n", 31);
        assert_int_equal(tls_answer(&c, NULL), 0);
    }
    tls_close(&c);
}

/* ---- tests ---- */

static void answers_over_tls(void **state)
{
    (void)state;
    http_tls tls = usual();
    tls_fixture f = start(&tls, NULL);
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        tls_client_conn c = tls_connect(f.port, &(how){ .max_version = versions[i] });
        expect_peer(&c, "|1");
        expect_peer(&c, "|1");
        assert_int_equal(SSL_version(c.ssl), versions[i]);
        tls_close(&c);
    }
    assert_int_equal(stats_of(&f).tls_handshakes, 2);
    stop(&f);
}

static void large_bodies_pass_in_both_directions(void **state)
{
    (void)state;
    enum { SIZE = 3000000 };
    http_tls tls = usual();
    tls_fixture f = start(&tls, NULL);
    tls_client_conn c = tls_connect(f.port, &(how){ 0 });
    char head[200];
    char *bytes = malloc(SIZE);
    buf back;
    buf_init(&back, 0);
    assert_non_null(bytes);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 7 + i / 1000);
    (void)snprintf(head, sizeof(head),
                   "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", SIZE);
    for (int round = 0; round < 2; round++) {
        tls_send(&c, str_c(head));
        tls_send(&c, str_n(bytes, SIZE));
        buf_clear(&back);
        assert_int_equal(tls_answer(&c, &back), 200);
        assert_true(str_eq(buf_view(&back), str_n(bytes, SIZE)));
    }
    free(bytes);
    buf_done(&back);
    tls_close(&c);
    stop(&f);
}

static void expect_alpn(unsigned port, const char *offered, const char *chosen)
{
    const unsigned char *name;
    unsigned n;
    tls_client_conn c = tls_connect(port, &(how){ .alpn = offered });
    if (!chosen) {
        assert_null(c.ssl);
    } else {
        assert_non_null(c.ssl);
        SSL_get0_alpn_selected(c.ssl, &name, &n);
        assert_true(str_is(str_n(name, n), chosen));
    }
    tls_close(&c);
}

static void http2_is_chosen_where_the_client_offers_it(void **state)
{
    (void)state;
    http_tls tls = usual();
    tls_fixture f = start(&tls, NULL);
    expect_alpn(f.port, "\x08http/1.1\x02h2", "h2");
    expect_alpn(f.port, "\x08http/1.1", "http/1.1");
    expect_alpn(f.port, "\x03xyz", NULL);
    stop(&f);
}

static void clients_show_a_certificate_where_one_is_asked_for(void **state)
{
    (void)state;
    http_tls tls = usual();
    tls.client_ca_file = str_c(path_of("ca.pem"));
    tls_fixture f = start(&tls, NULL);
    tls_client_conn c = tls_connect(f.port, &(how){ .cert = "sender" });
    expect_peer(&c, "CN=sender,O=Example|1");
    tls_close(&c);
    static const char *const wrong[] = { NULL, "stranger", "expired" };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
            expect_refused(f.port, &(how){ .cert = wrong[i], .max_version = version });
    WAIT_FOR(stats_of(&f).tls_failed == 2 * ARRAY_LEN(wrong));
    assert_int_equal(stats_of(&f).tls_handshakes, 1);
    stop(&f);
}

static void old_versions_are_refused(void **state)
{
    (void)state;
    http_tls tls = usual();
    tls.min_version = STR("1.3");
    tls_fixture f = start(&tls, NULL);
    expect_refused(f.port, &(how){ .max_version = TLS1_2_VERSION });
    tls_client_conn c = tls_connect(f.port, &(how){ 0 });
    expect_peer(&c, "|1");
    tls_close(&c);
    assert_int_equal(stats_of(&f).tls_failed, 1);
    stop(&f);
}

static void plain_http_is_told_to_use_tls(void **state)
{
    (void)state;
    http_tls tls = usual();
    tls_fixture f = start(&tls, NULL);
    int fd = client_connect(f.port);
    client_send(fd, STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    answer a = client_read(fd, false);
    assert_int_equal(a.code, 400);
    assert_true(str_contains(buf_view(&a.body), STR("TLS")));
    assert_true(str_ends(buf_view(&a.body), STR("}\n")));
    answer_done(&a);
    expect_closed(fd);
    close(fd);
    stop(&f);
}

static void garbage_and_silence_end_a_handshake(void **state)
{
    (void)state;
    static const str garbage[] = { STR_INIT("\x16\x03\x01\xff\xff garbage that is no record"),
                                   STR_INIT("\x80\x2e\x01\x00\x02"), STR_INIT("\x00\x00\x00"),
                                   STR_INIT("\x16\x03\x01\x00\x04\x01\x00\x00\x00") };
    http_tls tls = usual();
    tls_fixture f = start(&tls, &(http_server_options){ .handshake_ms = 100 });
    char bytes[100];
    for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
        int fd = client_connect(f.port);
        client_send(fd, garbage[i]);
        while (recv(fd, bytes, sizeof(bytes), 0) > 0)
            ; /* an alert, perhaps */
        close(fd);
    }
    int silent = client_connect(f.port), half = client_connect(f.port);
    client_send(half, STR("\x16\x03\x01\x02"));
    expect_closed(silent);
    expect_closed(half);
    close(silent);
    close(half);
    WAIT_FOR(stats_of(&f).tls_failed == ARRAY_LEN(garbage) + 2);
    stop(&f);
}

static bool subject_is(unsigned port, const char *name)
{
    tls_client_conn c = tls_connect(port, &(how){ 0 });
    char text[100] = "";
    assert_non_null(c.ssl);
    X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(c.ssl)),
                              NID_commonName, text, sizeof(text));
    tls_close(&c);
    return strcmp(text, name) == 0;
}

static void expect_subject(unsigned port, const char *name)
{
    assert_true(subject_is(port, name));
}

static void changed_certificates_are_read_again(void **state)
{
    (void)state;
    shell("cp server.pem used.pem && cp server.key used.key");
    http_tls tls = { .cert_file = str_c(path_of("used.pem")),
                     .key_file = str_c(path_of("used.key")) };
    tls_fixture f = start(&tls, NULL);
    expect_subject(f.port, "server");
    tls_client_conn old = tls_connect(f.port, &(how){ 0 });
    /* One file first, as it happens: the two do not fit, the old pair stays in use. */
    shell("cp renewed.pem used.pem");
    WAIT_FOR(subject_is(f.port, "server") && stats_of(&f).tls_reload_failed == 1);
    shell("cp renewed.key used.key");
    WAIT_FOR(subject_is(f.port, "renewed"));
    expect_peer(&old, "|1");
    tls_close(&old);
    stop(&f);
}

static void a_listener_takes_other_certificates(void **state)
{
    (void)state;
    error err;
    http_tls tls = usual(), other = { .cert_file = str_c(path_of("renewed.pem")),
                                      .key_file = str_c(path_of("renewed.key")) };
    tls_fixture f = start(&tls, NULL);
    expect_subject(f.port, "server");
    assert_int_equal(http_server_set_tls(f.server, f.listener, &other, &err), STATUS_OK);
    expect_subject(f.port, "renewed");
    assert_int_equal(http_server_set_tls(f.server, f.listener, NULL, &err), STATUS_OK);
    expect_answer(f.port, STR("GET /peer HTTP/1.1\r\nHost: a\r\n\r\n"), 200, "|0");
    stop(&f);
}

/* The session that a client kept is used again; its certificate is known then, too. */
static void sessions_are_resumed_by_tickets(void **state)
{
    (void)state;
    http_tls tls = usual();
    tls.client_ca_file = str_c(path_of("ca.pem"));
    tls_fixture f = start(&tls, NULL);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        how h = { .cert = "sender", .max_version = version };
        tls_client_conn c = tls_connect(f.port, &h);
        expect_peer(&c, "CN=sender,O=Example|1");
        h.resume = SSL_get1_session(c.ssl);
        SSL_shutdown(c.ssl);
        tls_close(&c);
        c = tls_connect(f.port, &h);
        expect_peer(&c, "CN=sender,O=Example|1");
        assert_int_equal(SSL_session_reused(c.ssl), 1);
        tls_close(&c);
        SSL_SESSION_free(h.resume);
    }
    stop(&f);
}

static void expect_wrong(const http_tls *tls, const char *word)
{
    error err;
    http_server *s;
    http_listener *l;
    http_routes none = { 0 };
    assert_int_equal(http_server_new(&s, NULL, &err), STATUS_OK);
    assert_int_not_equal(http_server_open(s, &l, "127.0.0.1:0", &none, tls, NULL, &err), STATUS_OK);
    if (!strstr(err.message, word))
        fail_msg("no \"%s\" in: %s", word, err.message);
    http_server_free(s);
}

static void wrong_settings_are_explained(void **state)
{
    (void)state;
    http_tls tls = usual();
    tls.key_file = str_c(path_of("renewed.key"));
    expect_wrong(&tls, "does not belong");
    tls = usual();
    tls.cert_file = str_c(path_of("nowhere.pem"));
    expect_wrong(&tls, "nowhere.pem");
    tls = usual();
    tls.client_ca_file = str_c(path_of("server.key"));
    expect_wrong(&tls, "client CA certificate");
    tls = usual();
    tls.min_version = STR("1.1");
    expect_wrong(&tls, "\"1.1\"");
    tls = usual();
    tls.cert_pem = STR("x");
    expect_wrong(&tls, "twice");
    shell("openssl ec -aes128 -passout pass:secret -in server.key -out locked.key");
    tls = usual();
    tls.key_file = str_c(path_of("locked.key"));
    expect_wrong(&tls, "passphrase");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_over_tls),
        cmocka_unit_test(large_bodies_pass_in_both_directions),
        cmocka_unit_test(http2_is_chosen_where_the_client_offers_it),
        cmocka_unit_test(clients_show_a_certificate_where_one_is_asked_for),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(plain_http_is_told_to_use_tls),
        cmocka_unit_test(garbage_and_silence_end_a_handshake),
        cmocka_unit_test(changed_certificates_are_read_again),
        cmocka_unit_test(a_listener_takes_other_certificates),
        cmocka_unit_test(sessions_are_resumed_by_tickets),
        cmocka_unit_test(wrong_settings_are_explained),
    };
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
