// SPDX-License-Identifier: Apache-2.0
/* OTLP over HTTP: what is sent, what is sent again and when, what is refused. */
#include "lib/export.h"
#include "unit/lib/stub_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <zlib.h>

#include <cmocka.h>

typedef struct {
    int done;
    export_result last;
} outcome;

static void on_done(void *user, signal_kind signal, const export_result *result)
{
    outcome *o = user;
    assert_int_equal(signal, SIGNAL_LOGS);
    o->done++;
    o->last = *result;
}

typedef struct {
    stub_server server;
    settings settings;
    exporter *exporter;
    outcome outcome;
} fixture;

static void fixture_start(fixture *f, const char *const *answers)
{
    error err;
    char url[64];
    memset(f, 0, sizeof(*f));
    stub_start(&f->server, answers);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", f->server.port);
    assert_int_equal(settings_load(&f->settings, &(sonde_options){ .otlp_endpoint = url }, &err),
                     0);
    f->settings.signal[SIGNAL_LOGS].headers = STR("X-Key: one\n");
}

static void fixture_send(fixture *f, str body)
{
    error err;
    if (!f->exporter)
        assert_int_equal(exporter_new(&f->exporter, &f->settings, on_done, &f->outcome, &err), 0);
    assert_int_equal(exporter_send(f->exporter, SIGNAL_LOGS, body, 10, &err), STATUS_OK);
}

/* Steps until the lane has that state, at most 10 s. */
static bool step_until(fixture *f, lane_state wanted)
{
    int64_t end = clock_mono_ns() + 10 * NS_PER_S;
    while (clock_mono_ns() < end) {
        exporter_step(f->exporter);
        if (exporter_state(f->exporter, SIGNAL_LOGS) == wanted)
            return true;
        exporter_wait(f->exporter, 5);
    }
    return false;
}

static void fixture_stop(fixture *f)
{
    exporter_free(f->exporter);
    settings_done(&f->settings);
    stub_stop(&f->server);
}

static void a_body_arrives_with_type_and_headers(void **state UNUSED)
{
    fixture f;
    fixture_start(&f, (const char *const[]){ STUB_OK, NULL });
    fixture_send(&f, STR("hello"));
    assert_true(step_until(&f, LANE_IDLE));
    assert_int_equal(f.server.count, 1);
    const stub_request *r = &f.server.requests[0];
    assert_int_equal(strncmp(r->head, "POST /v1/logs HTTP/1.1\r\n", 24), 0);
    assert_non_null(strstr(r->head, "Content-Type: application/x-protobuf\r\n"));
    assert_non_null(strstr(r->head, "X-Key: one\r\n"));
    assert_null(strstr(r->head, "Expect:"));
    assert_true(str_is(buf_view(&r->body), "hello"));
    assert_int_equal(f.outcome.done, 1);
    assert_true(f.outcome.last.taken);
    assert_int_equal(f.outcome.last.rejected, 0);
    fixture_stop(&f);
}

static void a_503_is_sent_again_until_it_is_taken(void **state UNUSED)
{
    fixture f;
    fixture_start(&f, (const char *const[]){ STUB_503, STUB_503, STUB_OK, NULL });
    fixture_send(&f, STR("again"));
    assert_true(step_until(&f, LANE_WAITING));
    assert_int_equal(f.outcome.done, 0);
    assert_true(step_until(&f, LANE_IDLE));
    assert_int_equal(f.server.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(str_is(buf_view(&f.server.requests[i].body), "again"));
    assert_true(f.outcome.last.taken);
    fixture_stop(&f);
}

static void retry_after_decides_when(void **state UNUSED)
{
    fixture f;
    fixture_start(&f,
                  (const char *const[]){ "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\n"
                                         "Content-Length: 0\r\n\r\n",
                                         STUB_OK, NULL });
    fixture_send(&f, STR("later"));
    assert_true(step_until(&f, LANE_WAITING));
    assert_in_range(exporter_next_ms(f.exporter), 110000, 120000);
    fixture_stop(&f);
}

static void other_answers_refuse_for_good(void **state UNUSED)
{
    fixture f;
    fixture_start(
        &f, (const char *const[]){ "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", NULL });
    fixture_send(&f, STR("bad"));
    assert_true(step_until(&f, LANE_IDLE));
    assert_int_equal(f.server.count, 1);
    assert_false(f.outcome.last.taken);
    assert_int_equal(f.outcome.last.rejected, 10);
    fixture_stop(&f);
}

static void partial_success_is_counted(void **state UNUSED)
{
    char answer[256];
    otlp_partial partial = { .rejected = 3, .message = "too old" };
    buf body;
    buf_init(&body, 0);
    otlp_encode_response(OTLP_JSON, SIGNAL_LOGS, &partial, &body);
    snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%.*s", body.len,
             STR_ARG(buf_view(&body)));
    buf_done(&body);
    fixture f;
    fixture_start(&f, (const char *const[]){ answer, NULL });
    f.settings.signal[SIGNAL_LOGS].format = OTLP_JSON;
    fixture_send(&f, STR("{}"));
    assert_true(step_until(&f, LANE_IDLE));
    assert_non_null(strstr(f.server.requests[0].head, "Content-Type: application/json\r\n"));
    assert_true(f.outcome.last.taken);
    assert_int_equal(f.outcome.last.rejected, 3);
    fixture_stop(&f);
}

static void gzip_bodies_unpack_to_what_was_given(void **state UNUSED)
{
    fixture f;
    char unpacked[256];
    fixture_start(&f, (const char *const[]){ STUB_OK, NULL });
    f.settings.signal[SIGNAL_LOGS].gzip = true;
    fixture_send(&f, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    assert_true(step_until(&f, LANE_IDLE));
    const stub_request *r = &f.server.requests[0];
    assert_non_null(strstr(r->head, "Content-Encoding: gzip\r\n"));
    z_stream z = { .next_in = (Bytef *)r->body.ptr,
                   .avail_in = (uInt)r->body.len,
                   .next_out = (Bytef *)unpacked,
                   .avail_out = sizeof(unpacked) };
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, 59);
    inflateEnd(&z);
    fixture_stop(&f);
}

static void a_hanging_or_absent_receiver_blocks_nobody(void **state UNUSED)
{
    fixture f;
    fixture_start(&f, (const char *const[]){ "hang", NULL });
    f.settings.signal[SIGNAL_LOGS].timeout_ms = 150;
    fixture_send(&f, STR("x"));
    int64_t slowest = 0, end = clock_mono_ns() + 10 * NS_PER_S;
    while (exporter_state(f.exporter, SIGNAL_LOGS) != LANE_WAITING && clock_mono_ns() < end) {
        int64_t start = clock_mono_ns();
        exporter_step(f.exporter);
        slowest = MAX(slowest, clock_mono_ns() - start);
        exporter_wait(f.exporter, 5);
    }
    assert_int_equal(exporter_state(f.exporter, SIGNAL_LOGS), LANE_WAITING);
    assert_in_range(slowest, 0, 100 * NS_PER_MS);
    fixture_stop(&f);
}

static void a_connection_closed_without_answer_is_sent_again(void **state UNUSED)
{
    fixture f;
    fixture_start(&f, (const char *const[]){ "", STUB_OK, NULL });
    fixture_send(&f, STR("x"));
    assert_true(step_until(&f, LANE_IDLE));
    assert_int_equal(f.server.count, 2);
    assert_true(f.outcome.last.taken);
    fixture_stop(&f);
}

static void a_newer_body_takes_the_place_of_a_waiting_one(void **state UNUSED)
{
    fixture f;
    fixture_start(&f, (const char *const[]){ STUB_503, STUB_OK, NULL });
    fixture_send(&f, STR("old"));
    assert_true(step_until(&f, LANE_WAITING));
    fixture_send(&f, STR("new"));
    assert_int_equal(exporter_state(f.exporter, SIGNAL_LOGS), LANE_WAITING);
    assert_true(step_until(&f, LANE_IDLE));
    assert_true(str_is(buf_view(&f.server.requests[1].body), "new"));
    fixture_stop(&f);
}

static void the_delay_doubles_and_has_a_limit(void **state UNUSED)
{
    assert_in_range(export_backoff_ms(1, 0), 250, 250);
    assert_in_range(export_backoff_ms(1, 250), 500, 500);
    assert_in_range(export_backoff_ms(3, 12345), 1000, 2000);
    assert_in_range(export_backoff_ms(7, UINT64_MAX), 15000, 30000);
    assert_in_range(export_backoff_ms(UINT32_MAX, 99), 15000, 30000);
}

static void retry_after_is_read_in_both_forms(void **state UNUSED)
{
    int64_t now = 784111777 * NS_PER_S; /* Sun, 06 Nov 1994 08:49:37 GMT */
    assert_int_equal(export_retry_after_ms(STR("2"), now), 2000);
    assert_int_equal(export_retry_after_ms(STR("999999"), now), 300000);
    assert_int_equal(export_retry_after_ms(STR("Sun, 06 Nov 1994 08:49:40 GMT"), now), 3000);
    assert_int_equal(export_retry_after_ms(STR("Sun, 06 Nov 1994 08:49:00 GMT"), now), 0);
    assert_int_equal(export_retry_after_ms(STR("soon"), now), -1);
    static const long again[] = { 429, 502, 503, 504 }, never[] = { 400, 401, 404, 413, 500, 501 };
    for (size_t i = 0; i < ARRAY_LEN(again); i++)
        assert_true(export_status_is_retryable(again[i]));
    for (size_t i = 0; i < ARRAY_LEN(never); i++)
        assert_false(export_status_is_retryable(never[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_arrives_with_type_and_headers),
        cmocka_unit_test(a_503_is_sent_again_until_it_is_taken),
        cmocka_unit_test(retry_after_decides_when),
        cmocka_unit_test(other_answers_refuse_for_good),
        cmocka_unit_test(partial_success_is_counted),
        cmocka_unit_test(gzip_bodies_unpack_to_what_was_given),
        cmocka_unit_test(a_hanging_or_absent_receiver_blocks_nobody),
        cmocka_unit_test(a_connection_closed_without_answer_is_sent_again),
        cmocka_unit_test(a_newer_body_takes_the_place_of_a_waiting_one),
        cmocka_unit_test(the_delay_doubles_and_has_a_limit),
        cmocka_unit_test(retry_after_is_read_in_both_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
