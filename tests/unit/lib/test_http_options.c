// SPDX-License-Identifier: Apache-2.0
/* What the options of the HTTP server side change: names of metrics and labels, the access log's
 * fields, the context's headers, ids; and the request that is kept for an error; the client side.
 */
#include "unit/lib/live_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <strings.h>

#include <cmocka.h>

typedef struct {
    const char *headers[17];
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

static void set_header(void *user, const char *name UNUSED, const char *content)
{
    exchange *x = user;
    snprintf(x->request_id, sizeof(x->request_id), "%s", content);
}

static void begin(exchange *x, const char *method, const char *path)
{
    sonde_http_begin(&(sonde_http_request){ .method = method,
                                            .path = path,
                                            .protocol_version = "1.1",
                                            .header = header_of,
                                            .set_header = set_header,
                                            .user = x });
}

static void start(sonde_http_options http)
{
    sonde_options o = live_options();
    o.http = http;
    setenv("OTEL_TRACES_EXPORTER", "console", 1);
    assert_int_equal(sonde_start(&o), 0);
}

static void assert_page_has(const char *const *parts, bool has)
{
    sonde_http_response page;
    assert_true(sonde_http_handle(&(sonde_http_request){ .path = "/metrics" }, &page));
    for (; *parts; parts++)
        if (str_contains(str_n(page.body, page.body_len), str_c(*parts)) != has)
            fail_msg("%s %s in\n%.*s", *parts, has ? "is not" : "is", (int)page.body_len,
                     page.body);
    sonde_http_response_free(&page);
}

static void assert_lines_have(const char *const *parts)
{
    for (; *parts; parts++)
        if (!live_count(*parts))
            fail_msg("%s is not in\n%s", *parts, live_lines());
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void metrics_and_labels_have_the_names_they_are_given(void **state UNUSED)
{
    exchange x = { .headers = { "Host", "shop.example:8080" } };
    start((sonde_http_options){ .requests_metric = "api_requests_total",
                                .duration_metric = "api_request_duration_seconds",
                                .route_label = "endpoint",
                                .otel_metrics = true });
    begin(&x, "GET", "/users/7");
    sonde_http_route("/users/{id}");
    sonde_http_end(503);
    assert_page_has(
        LIST("api_requests_total{endpoint=\"/users/{id}\",method=\"GET\",status=\"503\"} 1",
             "api_request_duration_seconds_count{endpoint=\"/users/{id}\",method=\"GET\"} 1",
             "http_server_request_duration_seconds_count{", "http_route=\"/users/{id}\"",
             "http_response_status_code=\"503\"", "error_type=\"503\"",
             "network_protocol_version=\"1.1\"", "url_scheme=\"http\""),
        true);
    assert_page_has(LIST("http_requests_total"), false);
}

static void one_histogram_can_carry_the_status(void **state UNUSED)
{
    exchange x = { 0 };
    start((sonde_http_options){ .requests_metric = "none",
                                .duration_metric = "sixty_api_latency_seconds",
                                .route_label = "endpoint",
                                .status_label = "status_code",
                                .duration_has_status = true });
    begin(&x, "POST", "/c");
    sonde_http_route("/c");
    sonde_http_end(201);
    assert_page_has(LIST("sixty_api_latency_seconds_count{endpoint=\"/c\",method=\"POST\",status_"
                         "code=\"201\"} 1"),
                    true);
    assert_page_has(LIST("http_requests_total", "http_request_duration"), false);
}

static void the_access_line_has_the_fields_it_is_given(void **state UNUSED)
{
    exchange x = { .headers = { "X-User-ID", "u-17", "X-Team-ID", "tm 1", "Host", "h" } };
    start((sonde_http_options){ .access_event = "request completed",
                                .access_level = SONDE_WARN,
                                .access_fields = "route, method,code=status,latency_ms,nonsense",
                                .request_id_prefix = "req_",
                                .user_header = "X-User-ID",
                                .team_header = "X-Team-ID" });
    begin(&x, "GET", "/a");
    sonde_http_route("/a");
    sonde_http_set(sonde_kv("plan", "pro"));
    sonde_info("inside");
    sonde_http_end(200);
    sonde_stop();
    assert_int_equal(strncmp(x.request_id, "req_", 4), 0);
    assert_int_equal(strlen(x.request_id), 24);
    assert_lines_have(LIST("\"level\":\"warn\"", "\"message\":\"request completed\"",
                           "\"route\":\"/a\"", "\"method\":\"GET\"", "\"code\":200",
                           "\"latency_ms\":"));
    assert_int_equal(live_count("\"user_id\":\"u-17\""), 3); /* two lines and the span */
    assert_int_equal(live_count("\"plan\":\"pro\""), 3);
    assert_int_equal(live_count("tm 1"), 0); /* a header's value must be one word */
    assert_int_equal(live_count("\"client_address\""), 0);
}

static void spans_have_the_attributes_of_both_conventions(void **state UNUSED)
{
    exchange x = { .headers = { "Host", "[::1]:8080", "User-Agent", "curl/8" } };
    setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http/dup", 1);
    start((sonde_http_options){ .url_query = true });
    begin(&x, "GET", "/a?q=1&token=s3cret");
    sonde_http_end(404);
    sonde_stop();
    assert_lines_have(LIST("\"server.address\":\"::1\"", "\"server.port\":8080",
                           "\"net.host.name\":\"::1\"", "\"net.host.port\":8080",
                           "\"http.host\":\"::1\"", "\"http.method\":\"GET\"",
                           "\"http.target\":\"/a\"", "\"http.scheme\":\"http\"",
                           "\"http.status_code\":404", "\"network.protocol.version\":\"1.1\"",
                           "\"http.flavor\":\"1.1\"", "\"url.query\":\"q=1&token=[REDACTED]\""));
    assert_int_equal(live_count("error.type"), 0);
    assert_int_equal(live_count("s3cret"), 0);
}

static void key_patterns_of_the_user_hold_for_our_own_keys_too(void **state UNUSED)
{
    sonde_options o = live_options();
    exchange x = { 0 };
    o.redact_keys = "url.path,db.namespace";
    setenv("OTEL_TRACES_EXPORTER", "console", 1);
    assert_int_equal(sonde_start(&o), 0);
    begin(&x, "GET", "/hidden");
    sonde_db_call call = sonde_db_begin(&(sonde_db_query){ .system = "x", .name_space = "hidden" });
    sonde_db_end(&call, NULL);
    sonde_http_end(200);
    sonde_stop();
    assert_lines_have(LIST("\"url.path\":\"[REDACTED]\"", "\"db.namespace\":\"[REDACTED]\""));
    assert_int_equal(live_count("hidden"), 1); /* the access log's field is called path */
}

static void a_failed_request_is_kept_redacted(void **state UNUSED)
{
    static const char body[] = "{\"item\":7,\"password\":\"s3cret\"}";
    exchange x = { .headers = { "Content-Type", "application/json", "Authorization",
                                "Bearer s3cret", "Accept", "*/*", "Host", "shop.example" } };
    start((sonde_http_options){ 0 });
    for (int status = 200; status <= 500; status += 300) {
        begin(&x, "POST", "/orders?dry=1&api_key=s3cret");
        sonde_http_body(body, 10);
        sonde_http_body(body + 10, sizeof(body) - 11);
        sonde_http_end(status);
    }
    sonde_stop();
    assert_int_equal(live_count("sonde.request\""), 1);
    assert_lines_have(LIST("\"url.query\":\"dry=1&api_key=[REDACTED]\"",
                           "\"http.request.header.authorization\":\"[REDACTED]\"",
                           "\"http.request.header.accept\":\"*/*\"",
                           "\\\"password\\\":\\\"[REDACTED]\\\"", "\\\"item\\\":7",
                           "\"http.request.body.size\":30"));
    assert_int_equal(live_count("s3cret"), 0);
}

static void only_the_start_of_a_text_body_is_kept(void **state UNUSED)
{
    exchange text = { .headers = { "Content-Type", "text/plain" } };
    exchange bytes = { .headers = { "Content-Type", "image/png" } };
    start((sonde_http_options){ .reproduce_body_bytes = 8, .reproduce_from = 400 });
    begin(&text, "POST", "/a");
    sonde_http_body("0123456789", 10);
    sonde_http_end(400);
    begin(&bytes, "POST", "/b");
    sonde_http_body("\x89PNGPNG", 7);
    sonde_http_end(400);
    sonde_stop();
    assert_lines_have(LIST("\"sonde.request.body\":\"01234567\"", "\"sonde.request.cut\":true",
                           "\"http.request.body.size\":7"));
    assert_int_equal(live_count("\"sonde.request.body\""), 1);
}

static void a_request_without_an_answer_is_a_disconnect(void **state UNUSED)
{
    exchange x = { 0 };
    start((sonde_http_options){ 0 });
    begin(&x, "GET", "/a");
    sonde_http_end(0);
    begin(&x, "GET", "/b");
    sonde_http_status(201);
    sonde_http_end(0);
    sonde_stop();
    assert_lines_have(LIST("\"error.type\":\"disconnected\"", "\"status\":499",
                           "\"http.response.status_code\":201"));
    assert_int_equal(live_count("sonde.request"), 0);
}

static void keep_traceparent(void *user, const char *name, const char *content)
{
    if (strcmp(name, "traceparent") == 0)
        snprintf(user, 64, "%s", content);
}

static void a_call_of_another_service_is_a_client_span(void **state UNUSED)
{
    char parent[64] = "";
    start((sonde_http_options){ .otel_metrics = true });
    sonde_http_call call = sonde_http_call_begin(
        &(sonde_http_call_options){ .method = "GET",
                                    .url = "https://me:s3cret@api.example/v1?token=s3cret&a=1",
                                    .set_header = keep_traceparent,
                                    .user = parent });
    sonde_http_call_end(&call, &(sonde_http_call_result){ .status = 404, .protocol_version = "2" });
    sonde_http_call_end(&call, NULL);
    call = sonde_http_call_begin(NULL);
    sonde_http_call_end(&call, &(sonde_http_call_result){ .error_type = "timeout",
                                                          .method = "POST",
                                                          .url = "http://other.example:81/" });
    assert_page_has(LIST("http_client_request_duration_seconds_count{error_type=\"404\"",
                         "server_address=\"api.example\"", "server_port=\"443\"",
                         "server_port=\"81\"", "error_type=\"timeout\""),
                    true);
    sonde_stop();
    assert_int_equal(strlen(parent), 55);
    parent[52] = '\0';
    assert_int_equal(live_count(parent + 36), 1); /* the span's own id */
    assert_lines_have(LIST("\"url.full\":\"https://api.example/v1?token=[REDACTED]&a=1\"",
                           "\"kind\":\"client\"", "\"name\":\"POST\"", "\"error.type\":\"404\""));
    assert_int_equal(live_count("s3cret"), 0);
}

static void client_spans_are_named_as_the_options_say(void **state UNUSED)
{
    sonde_options o = live_options();
    o.http.client_span_prefix = "http_";
    setenv("OTEL_TRACES_EXPORTER", "console", 1);
    assert_int_equal(sonde_start(&o), 0);
    sonde_http_call call = sonde_http_call_begin(
        &(sonde_http_call_options){ .method = "GET", .url = "http://other.example/" });
    sonde_http_call_end(&call, &(sonde_http_call_result){ .status = 200 });
    sonde_stop();
    assert_lines_have(LIST("\"name\":\"http_get\"", "\"http.request.method\":\"GET\""));
}

int main(void)
{
#define LIVE(f) cmocka_unit_test_setup_teardown(f, live_make, live_remove)
    const struct CMUnitTest tests[] = {
        LIVE(metrics_and_labels_have_the_names_they_are_given),
        LIVE(one_histogram_can_carry_the_status),
        LIVE(the_access_line_has_the_fields_it_is_given),
        LIVE(spans_have_the_attributes_of_both_conventions),
        LIVE(key_patterns_of_the_user_hold_for_our_own_keys_too),
        LIVE(a_failed_request_is_kept_redacted),
        LIVE(only_the_start_of_a_text_body_is_kept),
        LIVE(a_request_without_an_answer_is_a_disconnect),
        LIVE(a_call_of_another_service_is_a_client_span),
        LIVE(client_spans_are_named_as_the_options_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
