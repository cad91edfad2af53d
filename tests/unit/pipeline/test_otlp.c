// SPDX-License-Identifier: Apache-2.0
/* The OTLP receivers on a real store: what senders are told, and that what was acknowledged is
 * stored. */
#include "codec/otlp.h"
#include "pipeline/pipelines.h"

#include "unit/net/net_fixture.h"

#include <ftw.h>

typedef struct {
    char dir[64];
    store *store;
    collector *collector;
    http_server *server;
    unsigned port;
} receiver;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static const char *const configuration =
    "receivers: { otlp: { protocols: { http: { endpoint: '127.0.0.1:0' } } } }\n"
    "exporters: { sonde: {} }\n"
    "service:\n"
    "  pipelines:\n"
    "    traces: { receivers: [otlp], exporters: [sonde] }\n"
    "    metrics: { receivers: [otlp], exporters: [sonde] }\n"
    "    logs: { receivers: [otlp], exporters: [sonde] }\n";

static void print_issue(void *user, bool warning, const char *text)
{
    (void)user;
    (void)warning;
    print_message("%s\n", text);
}

static void take_port(void *user, const char *endpoint, unsigned port, const char *components)
{
    unsigned *ret = user;
    (void)endpoint;
    (void)components;
    *ret = port;
}

static void receiver_start(receiver *r, const store_options *options)
{
    error err;
    config file;
    store_options with_dir = *options;
    collector_web no_web = { 0 };
    *r = (receiver){ .dir = "/tmp/sonde-test-otlp-XXXXXX" };
    assert_non_null(mkdtemp(r->dir));
    with_dir.dir = r->dir;
    assert_int_equal(collector_new(&r->collector, &(collector_options){ .data = r->dir }, &err),
                     STATUS_OK);
    assert_int_equal(
        config_parse(&file, "test", str_c(configuration), NULL, print_issue, NULL, &err),
        STATUS_OK);
    assert_int_equal(collector_configure(r->collector, &file, &err), STATUS_OK);
    with_dir.router = collector_router(r->collector);
    assert_int_equal(store_open(&r->store, &with_dir, &err), STATUS_OK);
    assert_int_equal(http_server_new(&r->server, NULL, &err), STATUS_OK);
    assert_int_equal(collector_start(r->collector, r->store, r->server, &no_web, &err), STATUS_OK);
    collector_ports(r->collector, take_port, &r->port);
    assert_int_equal(http_server_start(r->server, &err), STATUS_OK);
}

static void receiver_stop(receiver *r)
{
    assert_true(http_server_stop(r->server, 5000));
    http_server_free(r->server);
    collector_stop(r->collector);
    store_close(r->store);
    collector_free(r->collector);
    assert_int_equal(nftw(r->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The answer to a POST; free with answer_done. */
static answer post(const receiver *r, const char *path, const char *type, str body)
{
    int fd = client_connect(r->port);
    buf request;
    buf_init(&request, 0);
    buf_fmt(&request,
            "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", path,
            type, body.len);
    buf_str(&request, body);
    client_send(fd, buf_view(&request));
    answer a = client_read(fd, false);
    buf_done(&request);
    close(fd);
    return a;
}

static str log_json(buf *to, int64_t time_ns)
{
    buf_clear(to);
    buf_fmt(
        to,
        "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
        "\"stringValue\":\"shop\"}}]},\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"%lld\","
        "\"severityNumber\":9,\"body\":{\"stringValue\":\"hello\"}}]}]}]}",
        (long long)time_ns);
    return buf_view(to);
}

typedef struct {
    signal_kind signal;
    uint64_t sum;
} counted_items;

static void add_line(void *user, const count_line *line)
{
    counted_items *c = user;
    c->sum += line->signal == c->signal ? line->value : 0;
}

static uint64_t counted(const receiver *r, count_kind what, signal_kind signal)
{
    counted_items c = { .signal = signal };
    collector_counts(r->collector, what, add_line, &c);
    return c.sum;
}

static bool sees_hello(void *user, const batch *rows)
{
    int *seen = user;
    for (uint32_t i = 0; i < rows->logs.count; i++)
        *seen += str_is(rows->logs.body[i].s, "hello");
    return true;
}

static void stores_json_and_protobuf_before_it_answers(void **state)
{
    (void)state;
    receiver r;
    error err;
    batch b;
    buf json, protobuf;
    int seen = 0;
    receiver_start(&r, &(store_options){ 0 });
    buf_init(&json, 0);
    buf_init(&protobuf, 0);
    answer a = post(&r, "/v1/logs", "application/json", log_json(&json, clock_now_ns()));
    assert_int_equal(a.code, 200);
    assert_true(str_is(answer_header(&a, "content-type"), "application/json"));
    assert_true(str_is(buf_view(&a.body), "{}"));
    answer_done(&a);

    batch_init(&b, SIGNAL_LOGS, MiB(16));
    assert_int_equal(otlp_decode_json(&b, buf_view(&json), NULL, NULL, &err), STATUS_OK);
    assert_int_equal(otlp_encode(&b, &protobuf, &err), STATUS_OK);
    a = post(&r, "/v1/logs", "application/x-protobuf", buf_view(&protobuf));
    assert_int_equal(a.code, 200);
    assert_true(str_is(answer_header(&a, "content-type"), "application/x-protobuf"));
    assert_int_equal(a.body.len, 0);
    answer_done(&a);

    row_query all = { .signal = SIGNAL_LOGS, .from_ns = 0, .to_ns = INT64_MAX };
    assert_int_equal(store_rows(r.store, &all, sees_hello, &seen, &err), STATUS_OK);
    assert_int_equal(seen, 2);
    assert_int_equal(counted(&r, COUNT_ACCEPTED, SIGNAL_LOGS), 2);
    batch_done(&b);
    buf_done(&json);
    buf_done(&protobuf);
    receiver_stop(&r);
}

static void an_empty_request_is_fine(void **state)
{
    (void)state;
    receiver r;
    receiver_start(&r, &(store_options){ 0 });
    static const char *const paths[] = { "/v1/logs", "/v1/metrics", "/v1/traces" };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        answer a = post(&r, paths[i], "application/x-protobuf", STR_EMPTY);
        assert_int_equal(a.code, 200);
        answer_done(&a);
        a = post(&r, paths[i], "application/json; charset=utf-8", STR("{}"));
        assert_int_equal(a.code, 200);
        answer_done(&a);
    }
    receiver_stop(&r);
}

static void malformed_input_gets_400_with_a_status_in_its_format(void **state)
{
    (void)state;
    receiver r;
    error err;
    int code = 0;
    char message[256];
    receiver_start(&r, &(store_options){ 0 });
    answer a = post(&r, "/v1/traces", "application/x-protobuf", STR("\xff\xff"));
    assert_int_equal(a.code, 400);
    assert_true(str_is(answer_header(&a, "content-type"), "application/x-protobuf"));
    assert_int_equal(
        otlp_decode_status(OTLP_PROTOBUF, buf_view(&a.body), &code, message, sizeof(message), &err),
        STATUS_OK);
    assert_int_equal(code, 3);
    assert_true(strlen(message) > 10);
    answer_done(&a);
    a = post(&r, "/v1/traces", "application/json", STR("{\"resourceSpans\": 1}"));
    assert_int_equal(a.code, 400);
    assert_int_equal(
        otlp_decode_status(OTLP_JSON, buf_view(&a.body), &code, message, sizeof(message), &err),
        STATUS_OK);
    assert_int_equal(code, 3);
    answer_done(&a);
    assert_int_equal(counted(&r, COUNT_FAILED_REQUESTS, SIGNAL_TRACES), 2);
    assert_int_equal(counted(&r, COUNT_ACCEPTED, SIGNAL_TRACES), 0);
    receiver_stop(&r);
}

static void other_content_types_get_415(void **state)
{
    (void)state;
    receiver r;
    receiver_start(&r, &(store_options){ 0 });
    answer a = post(&r, "/v1/logs", "text/plain", STR("hello"));
    assert_int_equal(a.code, 415);
    assert_true(str_contains(buf_view(&a.body), STR("application/x-protobuf")));
    answer_done(&a);
    receiver_stop(&r);
}

static void rows_older_than_the_retention_are_refused_with_the_reason(void **state)
{
    (void)state;
    receiver r;
    error err;
    buf json;
    otlp_partial partial;
    buf_init(&json, 0);
    receiver_start(&r, &(store_options){ .retention_ns = 86400 * NS_PER_S });
    answer a = post(&r, "/v1/logs", "application/json", log_json(&json, NS_PER_S));
    assert_int_equal(a.code, 200);
    assert_int_equal(
        otlp_decode_response(OTLP_JSON, SIGNAL_LOGS, buf_view(&a.body), &partial, &err), STATUS_OK);
    assert_int_equal(partial.rejected, 1);
    assert_true(strlen(partial.message) > 10);
    assert_int_equal(counted(&r, COUNT_REFUSED, SIGNAL_LOGS), 1);
    assert_int_equal(counted(&r, COUNT_ACCEPTED, SIGNAL_LOGS), 0);
    answer_done(&a);
    buf_done(&json);
    receiver_stop(&r);
}

/* One log record with a body of that many bytes. */
static void large_log(buf *out, size_t bytes)
{
    error err;
    batch b;
    char *text = malloc(bytes);
    assert_non_null(text);
    memset(text, 'x', bytes);
    batch_init(&b, SIGNAL_LOGS, MiB(16));
    uint32_t row = batch_add_log(&b, batch_add_scope(&b, batch_add_resource(&b)));
    b.logs.time_ns[row] = clock_now_ns();
    b.logs.body[row] = VALUE_S(str_n(text, bytes));
    assert_int_equal(otlp_encode(&b, out, &err), STATUS_OK);
    batch_done(&b);
    free(text);
}

static void a_full_intake_log_asks_for_another_try(void **state)
{
    (void)state;
    receiver r;
    error err;
    buf body;
    int code = 0, grpc = 0;
    char message[256];
    receiver_start(&r, &(store_options){ .intake_limit = MiB(1) });
    buf_init(&body, 0);
    large_log(&body, KiB(700)); /* a second one has no room until the first is sealed */
    for (int i = 0; i < 200 && code != 429; i++) {
        answer a = post(&r, "/v1/logs", "application/x-protobuf", buf_view(&body));
        code = a.code;
        if (code == 429) {
            assert_true(str_is(answer_header(&a, "retry-after"), "1"));
            assert_int_equal(otlp_decode_status(OTLP_PROTOBUF, buf_view(&a.body), &grpc, message,
                                                sizeof(message), &err),
                             STATUS_OK);
        }
        answer_done(&a);
    }
    assert_int_equal(code, 429);
    assert_int_equal(grpc, 8); /* RESOURCE_EXHAUSTED */
    assert_int_equal(counted(&r, COUNT_FAILED_REQUESTS, SIGNAL_LOGS), 1);

    buf_clear(&body);
    large_log(&body, MiB(2)); /* will never fit */
    answer a = post(&r, "/v1/logs", "application/x-protobuf", buf_view(&body));
    assert_int_equal(a.code, 413);
    assert_int_equal(answer_header(&a, "retry-after").len, 0);
    answer_done(&a);
    buf_done(&body);
    receiver_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_json_and_protobuf_before_it_answers),
        cmocka_unit_test(an_empty_request_is_fine),
        cmocka_unit_test(malformed_input_gets_400_with_a_status_in_its_format),
        cmocka_unit_test(other_content_types_get_415),
        cmocka_unit_test(rows_older_than_the_retention_are_refused_with_the_reason),
        cmocka_unit_test(a_full_intake_log_asks_for_another_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
