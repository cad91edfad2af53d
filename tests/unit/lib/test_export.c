// SPDX-License-Identifier: Apache-2.0
/* What is sent, what is sent again and when, what is refused: over HTTP from a scripted server, and
 * the judges of all protocols from tables. */
#include "codec/json.h"
#include "codec/protobuf.h"
#include "lib/export_internal.h"
#include "unit/lib/stub_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <zlib.h>

#include <cmocka.h>

typedef struct {
    int done;
    export_result last;
} outcome;

static void on_done(void *user, lane_id lane, const export_result *result)
{
    outcome *o = user;
    assert_int_equal(lane, LANE_LOGS);
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
    assert_int_equal(exporter_send(f->exporter, LANE_LOGS, body, 10, &err), STATUS_OK);
}

/* Steps until the lane has that state, at most 10 s. */
static bool step_until(fixture *f, lane_state wanted)
{
    int64_t end = clock_mono_ns() + 10 * NS_PER_S;
    while (clock_mono_ns() < end) {
        exporter_step(f->exporter);
        if (exporter_state(f->exporter, LANE_LOGS) == wanted)
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
    while (exporter_state(f.exporter, LANE_LOGS) != LANE_WAITING && clock_mono_ns() < end) {
        int64_t start = clock_mono_ns();
        exporter_step(f.exporter);
        slowest = MAX(slowest, clock_mono_ns() - start);
        exporter_wait(f.exporter, 5);
    }
    assert_int_equal(exporter_state(f.exporter, LANE_LOGS), LANE_WAITING);
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
    assert_int_equal(exporter_state(f.exporter, LANE_LOGS), LANE_WAITING);
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

/* ---- the judges ---- */

static export_verdict judged(const export_protocol *p, export_answer *a)
{
    export_verdict v = { .wait_ms = -7 };
    p->judge(a, SIGNAL_LOGS, &v);
    return v;
}

static void every_http_status_has_its_verdict(void **state UNUSED)
{
    static const struct {
        long http;
        verdict_kind kind;
    } cases[] = {
        { 200, VERDICT_TAKEN },   { 202, VERDICT_TAKEN },   { 204, VERDICT_TAKEN },
        { 301, VERDICT_REFUSED }, { 400, VERDICT_REFUSED }, { 401, VERDICT_REFUSED },
        { 404, VERDICT_REFUSED }, { 413, VERDICT_REFUSED }, { 429, VERDICT_AGAIN },
        { 500, VERDICT_REFUSED }, { 501, VERDICT_REFUSED }, { 502, VERDICT_AGAIN },
        { 503, VERDICT_AGAIN },   { 504, VERDICT_AGAIN },
    };
    static const export_protocol *const all[] = { &export_http_protobuf, &export_http_json,
                                                  &export_zipkin };
    export_answer a = { 0 };
    for (size_t p = 0; p < ARRAY_LEN(all); p++)
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            a.http = cases[i].http;
            export_verdict v = judged(all[p], &a);
            if (v.kind != cases[i].kind)
                fail_msg("%s: HTTP %ld is judged %d", all[p]->name, a.http, v.kind);
            assert_true(v.kind == VERDICT_TAKEN || strstr(v.why, "HTTP "));
            assert_int_equal(v.wait_ms, -1);
        }
}

/* google.rpc.Status with one detail, as grpc-status-details-bin has it: base64 without padding. */
static void details_put(export_answer *a, const char *type, int64_t seconds, int64_t nanos)
{
    buf bytes, text;
    buf_init(&bytes, 0);
    buf_init(&text, 0);
    pb_put_varint(&bytes, 1, 8);
    pb_mark any = pb_begin(&bytes, 3, 64);
    pb_put_bytes(&bytes, 1, str_c(type));
    pb_mark info = pb_begin(&bytes, 2, 32);
    pb_mark delay = pb_begin(&bytes, 1, 16);
    pb_put_varint(&bytes, 1, (uint64_t)seconds);
    pb_put_varint(&bytes, 2, (uint64_t)nanos);
    pb_end(&bytes, delay);
    pb_end(&bytes, info);
    pb_end(&bytes, any);
    json_writer w = json_write(&text);
    json_base64(&w, buf_view(&bytes));
    str quoted = buf_view(&text), plain = str_slice(quoted, 1, quoted.len - 1);
    while (str_ends(plain, STR("=")))
        plain.len--;
    str_copy_c(a->field[ANSWER_GRPC_DETAILS], sizeof(a->field[ANSWER_GRPC_DETAILS]), plain);
    buf_done(&bytes);
    buf_done(&text);
}

static void every_grpc_status_has_its_verdict(void **state UNUSED)
{
    static const verdict_kind kinds[] = {
        VERDICT_TAKEN,   VERDICT_AGAIN,   VERDICT_REFUSED, VERDICT_REFUSED, VERDICT_AGAIN,
        VERDICT_REFUSED, VERDICT_REFUSED, VERDICT_REFUSED, VERDICT_REFUSED, VERDICT_REFUSED,
        VERDICT_AGAIN,   VERDICT_AGAIN,   VERDICT_REFUSED, VERDICT_REFUSED, VERDICT_AGAIN,
        VERDICT_AGAIN,   VERDICT_REFUSED,
    };
    export_answer a = { .http = 200 };
    for (size_t code = 0; code < ARRAY_LEN(kinds); code++) {
        snprintf(a.field[ANSWER_GRPC_STATUS], 8, "%zu", code);
        export_verdict v = judged(&export_grpc, &a);
        if (v.kind != kinds[code])
            fail_msg("grpc-status %zu is judged %d", code, v.kind);
        assert_int_equal(v.wait_ms, -1);
    }
    snprintf(a.field[ANSWER_GRPC_MESSAGE], 64, "the disk is full");
    assert_non_null(strstr(judged(&export_grpc, &a).why, "UNAUTHENTICATED: the disk is full"));
}

static void exhausted_is_passing_only_with_a_retry_info(void **state UNUSED)
{
    static const char info[] = "type.googleapis.com/google.rpc.RetryInfo";
    export_answer a = { .http = 200, .field = { [ANSWER_GRPC_STATUS] = "8" } };
    assert_int_equal(judged(&export_grpc, &a).kind, VERDICT_REFUSED);
    details_put(&a, "type.googleapis.com/google.rpc.QuotaFailure", 1, 0);
    assert_int_equal(judged(&export_grpc, &a).kind, VERDICT_REFUSED);
    details_put(&a, info, 2, 500000000);
    export_verdict v = judged(&export_grpc, &a);
    assert_int_equal(v.kind, VERDICT_AGAIN);
    assert_int_equal(v.wait_ms, 2500);
    details_put(&a, info, 86400, 0);
    assert_int_equal(judged(&export_grpc, &a).wait_ms, 300000);
    details_put(&a, info, -5, 0);
    assert_int_equal(judged(&export_grpc, &a).wait_ms, 0);
    snprintf(a.field[ANSWER_GRPC_DETAILS], 64, "not base64!");
    assert_int_equal(judged(&export_grpc, &a).kind, VERDICT_REFUSED);
    /* UNAVAILABLE needs none, but takes its time. */
    snprintf(a.field[ANSWER_GRPC_STATUS], 8, "14");
    details_put(&a, info, 1, 0);
    assert_int_equal(judged(&export_grpc, &a).wait_ms, 1000);
}

static void an_answer_without_grpc_status_is_judged_by_http(void **state UNUSED)
{
    static const struct {
        long http;
        verdict_kind kind;
    } cases[] = { { 200, VERDICT_REFUSED }, { 404, VERDICT_REFUSED }, { 401, VERDICT_REFUSED },
                  { 429, VERDICT_AGAIN },   { 502, VERDICT_AGAIN },   { 503, VERDICT_AGAIN },
                  { 504, VERDICT_AGAIN },   { 500, VERDICT_REFUSED } };
    export_answer a = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        a.http = cases[i].http;
        export_verdict v = judged(&export_grpc, &a);
        assert_int_equal(v.kind, cases[i].kind);
        assert_non_null(strstr(v.why, "without a grpc-status"));
    }
}

static void grpc_bodies_have_their_prefix(void **state UNUSED)
{
    buf out;
    buf_init(&out, BODY_MAX);
    assert_true(export_grpc.pack(&out, STR("hello"), false));
    assert_int_equal(out.len, 10);
    assert_memory_equal(out.ptr, "\0\0\0\0\5hello", 10);
    buf_clear(&out);
    assert_true(export_grpc.pack(&out, STR("hello hello hello"), true));
    assert_int_equal(out.ptr[0], 1);
    assert_int_equal((unsigned char)out.ptr[4], out.len - 5);
    assert_memory_equal(out.ptr + 5, "\x1f\x8b", 2);
    buf_done(&out);
    export_answer a = { .http = 200, .field = { [ANSWER_GRPC_STATUS] = "0" } };
    otlp_partial partial = { .rejected = 4, .message = "too old" };
    buf message;
    buf_init(&message, 0);
    buf_init(&a.body, 0);
    otlp_encode_response(OTLP_PROTOBUF, SIGNAL_LOGS, &partial, &message);
    assert_true(export_grpc.pack(&a.body, buf_view(&message), false));
    export_verdict v = judged(&export_grpc, &a);
    assert_int_equal(v.kind, VERDICT_TAKEN);
    assert_int_equal(v.rejected, 4);
    assert_string_equal(v.why, "too old");
    buf_done(&message);
    buf_done(&a.body);
}

static void a_report_names_the_failure_and_hides_credentials(void **state UNUSED)
{
    fixture f;
    lane_report r;
    fixture_start(&f, (const char *const[]){ STUB_503, STUB_OK, NULL });
    f.settings.signal[SIGNAL_LOGS].url =
        arena_fmt(&f.settings.arena, "http://me:secret@127.0.0.1:%d/v1/logs", f.server.port);
    fixture_send(&f, STR("x"));
    assert_true(step_until(&f, LANE_WAITING));
    exporter_report(f.exporter, LANE_LOGS, &r);
    assert_null(strstr(r.url, "secret"));
    assert_string_equal(r.failure, "HTTP 503");
    assert_true(r.waiting_ns && r.failed_ns && !r.taken_ns && r.retries == 1);
    assert_true(step_until(&f, LANE_IDLE));
    exporter_report(f.exporter, LANE_LOGS, &r);
    assert_true(!r.waiting_ns && r.taken_ns && r.rows_taken == 10 && r.rows_refused == 0);
    fixture_stop(&f);
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
        cmocka_unit_test(every_http_status_has_its_verdict),
        cmocka_unit_test(every_grpc_status_has_its_verdict),
        cmocka_unit_test(exhausted_is_passing_only_with_a_retry_info),
        cmocka_unit_test(an_answer_without_grpc_status_is_judged_by_http),
        cmocka_unit_test(grpc_bodies_have_their_prefix),
        cmocka_unit_test(a_report_names_the_failure_and_hides_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
