// SPDX-License-Identifier: Apache-2.0
/* The error envelope: its shape, its ids, what is redacted and cut, and what it does to the
 * request.
 */
#include "unit/lib/live_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_envelope(const sonde_error *e, const char *expected)
{
    char *text = sonde_error_envelope(e);
    assert_string_equal(text, expected);
    free(text);
}

static void it_has_all_members_also_when_empty(void **state UNUSED)
{
    assert_envelope(NULL, "{\"error\":{\"code\":\"INTERNAL\",\"message\":null,\"request_id\":null,"
                          "\"trace_id\":null,\"details\":{},\"help\":null}}");
    assert_envelope(&(sonde_error){ .code = "A", .message = "say \"no\"", .help = "x" },
                    "{\"error\":{\"code\":\"A\",\"message\":\"say \\\"no\\\"\",\"request_id\":null,"
                    "\"trace_id\":null,\"details\":{},\"help\":\"x\"}}");
}

static void it_carries_the_ids_of_the_request(void **state UNUSED)
{
    sonde_options o = live_options();
    char trace[33], expected[256];
    assert_int_equal(sonde_start(&o), 0);
    sonde_http_begin(&(sonde_http_request){ .method = "GET", .path = "/" });
    sonde_str id = sonde_request_id();
    assert_true(sonde_trace_id(trace));
    char *text = sonde_error_envelope(&(sonde_error){ .code = "NOT_FOUND" });
    snprintf(expected, sizeof(expected), "\"request_id\":\"%.*s\",\"trace_id\":\"%s\"", (int)id.len,
             id.ptr, trace);
    assert_non_null(strstr(text, expected));
    free(text);
    sonde_http_end(404);
}

static void details_are_typed_and_secrets_are_not_told(void **state UNUSED)
{
    char *text = sonde_error_envelope(&(sonde_error){
        .code = "X",
        .message = "upstream said Authorization: Bearer abcdefghijklmnopqrstuvwxyz012345",
        .details = SONDE_DETAILS(sonde_kv("id", "gen_1"), sonde_kv("n", -3), sonde_kv("f", 0.5),
                                 sonde_kv("ok", true), sonde_kv("api_key", "s3cret"),
                                 sonde_kv("none", (const char *)NULL)) });
    assert_non_null(strstr(text, "\"details\":{\"id\":\"gen_1\",\"n\":-3,\"f\":0.5,\"ok\":true,"
                                 "\"api_key\":\"[REDACTED]\",\"none\":null}"));
    assert_null(strstr(text, "s3cret"));
    assert_null(strstr(text, "abcdefghij"));
    free(text);
}

static void it_has_an_end_whatever_it_is_given(void **state UNUSED)
{
    static char big[300000];
    memset(big, '\x01', sizeof(big) - 1);
    char *text = sonde_error_envelope(&(sonde_error){
        .code = big, .message = big, .help = big, .details = SONDE_DETAILS(sonde_kv("a", big)) });
    assert_true(strlen(text) < SONDE_ERROR_BYTES);
    assert_non_null(strstr(text, "ERROR_TOO_LONG"));
    free(text);
    memset(big, 'x', sizeof(big) - 1);
    text = sonde_error_envelope(&(sonde_error){
        .message = big, .details = SONDE_DETAILS(sonde_kv("a", big), sonde_kv("b", 1)) });
    assert_true(strlen(text) < SONDE_ERROR_BYTES);
    assert_non_null(strstr(text, "\"b\":1}"));
    free(text);
}

static void an_envelope_is_logged_once_and_keeps_the_request(void **state UNUSED)
{
    sonde_options o = live_options();
    setenv("OTEL_TRACES_EXPORTER", "console", 1);
    assert_int_equal(sonde_start(&o), 0);
    sonde_http_begin(&(sonde_http_request){ .method = "GET", .path = "/a" });
    for (int i = 0; i < 2; i++)
        free(sonde_error_envelope(
            &(sonde_error){ .code = "ALREADY_TERMINAL", .message = "it is over", .log = true }));
    sonde_http_end(409);
    SONDE_SPAN ("job")
        free(sonde_error_envelope(
            &(sonde_error){ .code = "BROKEN", .message = "no", .fail_span = true }));
    sonde_stop();
    assert_int_equal(live_count("\"message\":\"error_envelope\""), 1);
    assert_int_equal(live_count("\"level\":\"warn\""), 1);
    assert_int_equal(live_count("\"status\":409"), 2); /* that line and the access line */
    assert_int_equal(live_count("sonde.request\""), 1);
    assert_int_equal(live_count("\"error.type\":\"BROKEN\""), 1);
}

static void codes_tell_their_status(void **state UNUSED)
{
    static const struct {
        const char *code;
        int status;
    } codes[] = {
        { "GENERATION_ALREADY_TERMINAL", 409 },
        { "USER_NOT_FOUND", 404 },
        { "INVALID_ORDER", 400 },
        { "UNAUTHENTICATED", 401 },
        { "RATE_LIMITED", 429 },
        { "METHOD_NOT_ALLOWED", 405 },
        { "DATABASE_UNAVAILABLE", 503 },
        { "not_found", 404 },
        { "NOTFOUND", 500 },
        { "", 500 },
        { NULL, 500 },
    };
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        assert_int_equal(sonde_error_status(codes[i].code), codes[i].status);
    /* A code comes from outside, too: a long one costs no more than a short one. */
    char text[300];
    memset(text, 'A', sizeof(text));
    memcpy(text + sizeof(text) - 11, "_NOT_FOUND", 11);
    assert_int_equal(sonde_error_status(text), 500);
}

int main(void)
{
#define LIVE(f) cmocka_unit_test_setup_teardown(f, live_make, live_remove)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_all_members_also_when_empty),
        LIVE(it_carries_the_ids_of_the_request),
        cmocka_unit_test(details_are_typed_and_secrets_are_not_told),
        cmocka_unit_test(it_has_an_end_whatever_it_is_given),
        LIVE(an_envelope_is_logged_once_and_keeps_the_request),
        cmocka_unit_test(codes_tell_their_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
