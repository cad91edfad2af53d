// SPDX-License-Identifier: Apache-2.0
/* The admin port: its address, and that it answers over HTTP. */
#include "unit/lib/live_fixture.h"

#include "lib/admin.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

static void addresses_are_loopback_unless_told_otherwise(void **state UNUSED)
{
    static const struct {
        const char *text;
        const char *want; /* NULL: refused */
    } cases[] = {
        { "9464", "127.0.0.1:9464" },
        { "localhost:80", "127.0.0.1:80" },
        { ":9464", "0.0.0.0:9464" },
        { "*:9464", "0.0.0.0:9464" },
        { "192.0.2.1:1", "192.0.2.1:1" },
        { "[::1]:9464", "::1:9464" },
        { "127.0.0.1:0", "127.0.0.1:0" },
        { "", NULL },
        { ":", NULL },
        { "host.example:80", NULL },
        { "127.0.0.1:65536", NULL },
        { "::1:80", NULL },
        { "[::1", NULL },
        { "[]:1", NULL },
        { "127.0.0.1", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sockaddr_storage at;
        socklen_t size;
        char host[64] = "", got[80] = "";
        bool good = admin_parse_addr(str_c(cases[i].text), &at, &size);
        if (good && at.ss_family == AF_INET6) {
            struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&at;
            inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
            snprintf(got, sizeof(got), "%s:%d", host, ntohs(in6->sin6_port));
        } else if (good) {
            struct sockaddr_in *in = (struct sockaddr_in *)&at;
            inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
            snprintf(got, sizeof(got), "%s:%d", host, ntohs(in->sin_port));
        }
        if (good != (cases[i].want != NULL) || (good && strcmp(got, cases[i].want) != 0))
            fail_msg("%s: got %s", cases[i].text, good ? got : "a refusal");
    }
}

/* The whole answer to a request, which must close the connection. */
static const char *ask(const char *request)
{
    static char answer[65536];
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(sonde_admin_port()),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_true(send(fd, request, strlen(request), MSG_NOSIGNAL) > 0);
    size_t used = 0;
    ssize_t n;
    while ((n = recv(fd, answer + used, sizeof(answer) - 1 - used, 0)) > 0)
        used += (size_t)n;
    answer[used] = '\0';
    close(fd);
    return answer;
}

#define GET(path, headers) \
    "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" headers "\r\n"

static bool broken(void *user UNUSED, char *detail UNUSED, size_t size UNUSED)
{
    return false;
}

static void the_port_answers(void **state UNUSED)
{
    sonde_options o = live_options();
    o.admin_addr = "127.0.0.1:0";
    o.version = "1.2.3";
    assert_int_equal(sonde_admin_port(), 0);
    assert_int_equal(sonde_start(&o), 0);
    assert_int_not_equal(sonde_admin_port(), 0);
    sonde_counter *c = sonde_counter_new("things_total", "Things.", SONDE_LABELS());
    sonde_counter_add(c, 5);

    const char *answer = ask(GET("/metrics", ""));
    assert_int_equal(strncmp(answer, "HTTP/1.1 200 ", 13), 0);
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4"));
    assert_non_null(strstr(answer, "\nthings_total 5\n"));
    answer = ask(GET("/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n"));
    assert_non_null(strstr(answer, "Content-Type: application/openmetrics-text; version=1.0.0"));
    assert_non_null(strstr(answer, "# EOF\n"));
    answer = ask(GET("/healthz", ""));
    assert_non_null(strstr(answer, "Content-Type: application/json"));
    assert_non_null(strstr(answer, "\"version\":\"1.2.3\""));
    assert_int_equal(strncmp(ask(GET("/readyz", "")), "HTTP/1.1 200 ", 13), 0);
    sonde_health_check *check = sonde_health_check_new("db", broken, NULL, 0);
    assert_int_equal(strncmp(ask(GET("/readyz", "")), "HTTP/1.1 503 ", 13), 0);
    answer = ask(GET("/nothing", "X-Request-ID: r-7\r\n"));
    assert_int_equal(strncmp(answer, "HTTP/1.1 404 ", 13), 0);
    assert_non_null(strstr(answer, "Content-Type: application/json"));
    assert_non_null(strstr(answer, "\"code\":\"NOT_FOUND\""));
    assert_non_null(strstr(answer, "\"request_id\":\"r-7\""));
    answer = ask("POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                 "Content-Length: 3\r\n\r\nabc");
    assert_int_equal(strncmp(answer, "HTTP/1.1 405 ", 13), 0);
    assert_non_null(strstr(answer, "Allow: GET, HEAD"));
    sonde_health_check_free(check);
    sonde_stop();
    assert_int_equal(sonde_admin_port(), 0);
    sonde_counter_free(c);
}

static void a_port_in_use_is_no_failure(void **state UNUSED)
{
    char addr[32];
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    snprintf(addr, sizeof(addr), "127.0.0.1:%d", ntohs(at.sin_port));
    sonde_options o = live_options();
    o.admin_addr = addr;
    assert_int_equal(sonde_start(&o), 0);
    assert_int_equal(sonde_admin_port(), 0);
    sonde_info("runs_on");
    sonde_stop();
    assert_int_equal(live_count("runs_on"), 1);
    close(fd);
}

int main(void)
{
#define LIVE(f) cmocka_unit_test_setup_teardown(f, live_make, live_remove)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_loopback_unless_told_otherwise),
        LIVE(the_port_answers),
        LIVE(a_port_in_use_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
