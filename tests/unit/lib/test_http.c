// SPDX-License-Identifier: Apache-2.0
/* The HTTP server side: span, context, request id, metrics and log line of a request; and the paths
 * that the library answers itself. */
#include "unit/lib/live_fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <strings.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tsan.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"

typedef struct {
    const char *headers[9];
    char request_id[200];
} exchange;

static const char *header_of(void *user, const char *name)
{
    exchange *x = user;
    for (int i = 0; x->headers[i]; i += 2)
        if (strcasecmp(x->headers[i], name) == 0)
            return x->headers[i + 1];
    return NULL;
}

static void set_header(void *user, const char *name, const char *content)
{
    exchange *x = user;
    assert_string_equal(name, "X-Request-ID");
    snprintf(x->request_id, sizeof(x->request_id), "%s", content);
}

static void begin(exchange *x, const char *method, const char *path)
{
    sonde_http_begin(&(sonde_http_request){ .method = method,
                                            .path = path,
                                            .client_address = "192.0.2.7",
                                            .header = header_of,
                                            .set_header = set_header,
                                            .user = x });
}

static void start(void)
{
    sonde_options o = live_options();
    setenv("OTEL_TRACES_EXPORTER", "console", 1);
    assert_int_equal(sonde_start(&o), 0);
}

static void a_request_gives_a_span_a_line_and_metrics(void **state UNUSED)
{
    exchange x = { .headers = { "traceparent", "00-" TRACE "-00f067aa0ba902b7-01", "x-request-id",
                                "req-1", "User-Agent", "curl/8" } };
    start();
    begin(&x, "GET", "/users/7?token=s3cret");
    assert_string_equal(x.request_id, "req-1");
    sonde_http_route("/users/{id}");
    sonde_info("user_found");
    sonde_http_end(200);
    sonde_info("outside");

    sonde_http_response page;
    exchange none = { 0 };
    sonde_http_request ask = { .path = "/metrics", .header = header_of, .user = &none };
    assert_true(sonde_http_handle(&ask, &page));
    assert_int_equal(page.status, 200);
    str text = str_n(page.body, page.body_len);
    assert_true(str_contains(
        text, STR("http_requests_total{method=\"GET\",route=\"/users/{id}\",status=\"200\"} 1")));
    assert_true(str_contains(text, STR("http_request_duration_seconds_bucket{")));
    sonde_http_response_free(&page);
    sonde_stop();

    const char *lines = live_lines();
    assert_non_null(strstr(lines, "\"trace_id\":\"" TRACE "\",\"span_id\""));
    assert_int_equal(live_count("\"request_id\":\"req-1\""), 3); /* two lines and the span */
    assert_int_equal(live_count("\"message\":\"http_request\""), 1);
    lines = live_lines();
    assert_non_null(strstr(lines, "\"method\":\"GET\",\"path\":\"/users/7\""));
    assert_non_null(strstr(lines, "\"name\":\"GET /users/{id}\",\"kind\":\"server\""));
    assert_non_null(strstr(lines, "\"parent_span_id\":\"00f067aa0ba902b7\""));
    assert_non_null(strstr(lines, "\"http.request.method\":\"GET\""));
    assert_non_null(strstr(lines, "\"http.response.status_code\":200"));
    assert_non_null(strstr(lines, "\"user_agent.original\":\"curl/8\""));
    assert_null(strstr(lines, "s3cret"));
    assert_null(strstr(lines, "http.status_code\""));
    const char *outside = strstr(lines, "\"message\":\"outside\"");
    assert_non_null(outside);
    assert_false(str_contains(str_n(outside, strcspn(outside, "\n")), STR("req-1")));
}

static void ids_are_made_when_absent_or_ill_formed(void **state UNUSED)
{
    exchange x = { .headers = { "x-request-id", "no good" } }, y = { 0 };
    start();
    begin(&x, "GET", "/");
    sonde_http_end(204);
    begin(&y, "GET", "/");
    sonde_http_end(204);
    assert_int_equal(strlen(x.request_id), 36);
    assert_int_equal(x.request_id[14], '4');
    assert_string_not_equal(x.request_id, y.request_id);
}

static void a_5xx_fails_the_span_and_unknown_methods_make_no_series(void **state UNUSED)
{
    exchange x = { 0 };
    setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http/dup", 1);
    start();
    begin(&x, "BREW", "/pot");
    sonde_http_end(503);
    sonde_stop();
    const char *lines = live_lines();
    assert_non_null(strstr(lines, "\"name\":\"HTTP\""));
    assert_non_null(strstr(lines, "\"status\":\"error\""));
    assert_non_null(strstr(lines, "\"error.type\":\"503\""));
    assert_non_null(strstr(lines, "\"http.status_code\":503"));
    assert_non_null(strstr(lines, "\"http.method\":\"_OTHER\""));
    assert_non_null(strstr(lines, "\"level\":\"error\""));
}

static void *end_elsewhere(void *request)
{
    sonde_http_resume(request);
    sonde_info("elsewhere");
    sonde_http_end(200);
    assert_int_equal(sonde_request_id().len, 0);
    return NULL;
}

static void a_request_can_move_to_another_thread(void **state UNUSED)
{
    exchange x = { .headers = { "x-request-id", "moved" } };
    pthread_t thread;
    start();
    begin(&x, "GET", "/");
    sonde_http *request = sonde_http_suspend();
    assert_int_equal(sonde_request_id().len, 0);
    assert_int_equal(pthread_create(&thread, NULL, end_elsewhere, request), 0);
    pthread_join(thread, NULL);
    sonde_http_end(500); /* nothing is current here */
    sonde_stop();
    assert_int_equal(live_count("\"request_id\":\"moved\""), 3);
    assert_int_equal(live_count("\"message\":\"http_request\""), 1);
}

static void a_child_of_fork_does_not_go_on_with_it(void **state UNUSED)
{
    exchange x = { .headers = { "x-request-id", "parents" } };
    int status;
    SKIP_WHERE_FORK_IS_NOT_KNOWN();
    start();
    begin(&x, "GET", "/");
    pid_t child = fork();
    if (child == 0) {
        sonde_http_route("/childs");
        sonde_http_end(500);
        _exit(sonde_flush(5000) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    sonde_http_end(200);
    sonde_stop();
    assert_int_equal(live_count("\"message\":\"http_request\""), 1);
    assert_int_equal(live_count("/childs"), 0);
}

static void without_start_nothing_breaks(void **state UNUSED)
{
    exchange x = { .headers = { "x-request-id", "early" } };
    begin(&x, "GET", "/");
    assert_int_equal(sonde_request_id().len, 5);
    sonde_http_end(200);
    assert_string_equal(x.request_id, "early");
    sonde_http_end(200);
}

static int page_status(const char *method, const char *path)
{
    sonde_http_response page;
    sonde_http_request ask = { .method = method, .path = path };
    if (!sonde_http_handle(&ask, &page))
        return 0;
    int code = page.status;
    sonde_http_response_free(&page);
    return code;
}

static bool never(void *user UNUSED, char *detail UNUSED, size_t size UNUSED)
{
    return false;
}

static void the_paths_of_the_library_are_answered_and_no_others(void **state UNUSED)
{
    start();
    sonde_health_check *check = sonde_health_check_new("db", never, NULL, 0);
    assert_int_equal(page_status("GET", "/metrics"), 200);
    assert_int_equal(page_status("HEAD", "/healthz"), 200);
    assert_int_equal(page_status("GET", "/health?verbose"), 200);
    assert_int_equal(page_status("GET", "/readyz"), 503);
    assert_int_equal(page_status("GET", "/ready"), 503);
    assert_int_equal(page_status("POST", "/metrics"), 405);
    assert_int_equal(page_status("GET", "/"), 0);
    assert_int_equal(page_status("GET", "/metricsx"), 0);
    assert_int_equal(page_status("GET", NULL), 0);
    sonde_health_check_free(check);
}

int main(void)
{
#define LIVE(f) cmocka_unit_test_setup_teardown(f, live_make, live_remove)
    const struct CMUnitTest tests[] = {
        LIVE(without_start_nothing_breaks),
        LIVE(a_request_gives_a_span_a_line_and_metrics),
        LIVE(ids_are_made_when_absent_or_ill_formed),
        LIVE(a_5xx_fails_the_span_and_unknown_methods_make_no_series),
        LIVE(a_request_can_move_to_another_thread),
        LIVE(a_child_of_fork_does_not_go_on_with_it),
        LIVE(the_paths_of_the_library_are_answered_and_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
