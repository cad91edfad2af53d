// SPDX-License-Identifier: Apache-2.0
/* What programs register for the debug paths, and who may ask: through sonde_http_handle. */
#include "lib/debug.h"
#include "lib/http_handle.h"

#include "sonde/sonde.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *authorization, *traceparent, *request_id;

static const char *header_of(void *user UNUSED, const char *name)
{
    return strcmp(name, "authorization") == 0  ? authorization
           : strcmp(name, "traceparent") == 0  ? traceparent
           : strcmp(name, "x-request-id") == 0 ? request_id
                                               : NULL;
}

static const char *ask_as(const sonde_http_request *request, int want)
{
    static char text[1 << 16];
    sonde_http_response r;
    if (!sonde_http_handle(request, &r)) {
        assert_int_equal(want, 0);
        return "";
    }
    str_copy_c(text, sizeof(text), str_n(r.body, r.body_len));
    if (r.status != want)
        fail_msg("%s: %d: %s", request->path, r.status, text);
    sonde_http_response_free(&r);
    return text;
}

static const char *ask(const char *path, int want)
{
    return ask_as(&(sonde_http_request){ .path = path, .debug_allowed = true }, want);
}

static void query_strings_are_decoded(void **state UNUSED)
{
    char value[QUERY_TEXT_MAX], key[QUERY_TEXT_MAX];
    assert_true(query_get(STR("a=1&b=x%20y+z%3d&b=2"), "b", value));
    assert_string_equal(value, "x y z=");
    assert_true(query_get(STR("&&flag&c=%4"), "flag", value));
    assert_string_equal(value, "");
    assert_true(query_get(STR("c=%4"), "c", value));
    assert_string_equal(value, "%4");
    assert_true(query_get(STR("c=%zz%41"), "c", value));
    assert_string_equal(value, "%zzA");
    assert_false(query_get(STR("a=1"), "b", value));
    str rest = STR("");
    assert_false(query_next(&rest, key, value));
    char longer[1000];
    memset(longer, 'x', sizeof(longer));
    longer[1] = '=';
    assert_true(query_get(str_n(longer, sizeof(longer)), "x", value));
    assert_int_equal(strlen(value), QUERY_TEXT_MAX - 1);
}

static void configure(const char *token, const char *environment)
{
    settings s = { .admin_token = str_c(token), .environment = str_c(environment) };
    debug_configure(&s);
}

static void the_token_is_compared_whole(void **state UNUSED)
{
    configure("abc", "");
    assert_int_equal(debug_check_token(STR("Bearer abc")), TOKEN_RIGHT);
    assert_int_equal(debug_check_token(STR("bearer abc")), TOKEN_RIGHT);
    static const char *const wrong[] = { "",           "abc",         "Bearer",        "Bearer ",
                                         "Bearer ab",  "Bearer abcd", "Bearer abcabc", "Basic abc",
                                         "Bearer  abc" };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(debug_check_token(str_c(wrong[i])), TOKEN_WRONG);
    sonde_http_request r = { .path = "/debug/status",
                             .header = header_of,
                             .client_address = "127.0.0.1",
                             .debug_allowed = true };
    authorization = "Bearer abd";
    ask_as(&r, 401);
    authorization = "Bearer abc";
    ask_as(&r, 200);
    authorization = NULL;
    configure("", "");
    assert_int_equal(debug_check_token(STR("Bearer ")), TOKEN_NONE_SET);
}

static void without_a_token_the_request_must_be_of_this_machine(void **state UNUSED)
{
    configure("", "");
    sonde_http_request r = { .path = "/debug/status" };
    ask_as(&r, 403);
    static const char *const local[] = { "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1" };
    for (size_t i = 0; i < ARRAY_LEN(local); i++) {
        r.client_address = local[i];
        ask_as(&r, 200);
    }
    r.client_address = "192.0.2.7";
    ask_as(&r, 403);
    r.debug_allowed = true;
    ask_as(&r, 200);
}

static void errors_are_envelopes(void **state UNUSED)
{
    configure("", "");
    sonde_http_request r = { .path = "/debug/logs?lines=ten&x=y",
                             .header = header_of,
                             .debug_allowed = true };
    assert_string_equal(
        ask_as(&r, 400),
        "{\"error\":{\"code\":\"INVALID_REQUEST\",\"message\":\"lines=ten is wrong\","
        "\"request_id\":null,\"trace_id\":null,\"details\":{\"path\":\"/debug/logs\"},"
        "\"help\":\"lines must be a whole number from 1 to 10000\"}}\n");
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request_id = "req_7";
    const char *ids = "\"request_id\":\"req_7\",\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\"";
    assert_non_null(strstr(ask_as(&r, 400), ids));
    sonde_http_begin(&r);
    traceparent = NULL;
    request_id = "not this one";
    assert_non_null(strstr(ask_as(&r, 400), ids));
    sonde_http_end(400);
    request_id = NULL;
    r.method = "PATCH";
    r.path = "/debug/status";
    assert_non_null(strstr(ask_as(&r, 405), "\"code\":\"METHOD_NOT_ALLOWED\""));
    assert_true(sonde_request_id().len == 0);
}

static void production_hides_three_paths(void **state UNUSED)
{
    configure("", "production");
    ask("/debug/config", 0);
    ask("/debug/connections", 0);
    ask("/debug/log-level", 0);
    ask("/debug/status", 200);
    configure("", "Production");
    ask("/debug/config", 0);
    configure("", "staging");
    ask("/debug/config", 200);
}

static void never_called(void *user, sonde_json *json UNUSED)
{
    *(int *)user = 1;
}

static void unregister(void *user, sonde_json *json)
{
    sonde_debug_provider_free(*(sonde_debug_provider **)user);
    sonde_json_put(json, sonde_kv("left", true));
}

static void a_callback_may_take_itself_out(void **state UNUSED)
{
    static sonde_debug_provider *self;
    int called = 0;
    self = sonde_debug_status("self", unregister, &self);
    assert_non_null(self);
    assert_string_equal(ask("/debug/status", 200), "{\"self\":{\"left\":true}}\n");
    assert_null(strstr(ask("/debug/status", 200), "self"));
    sonde_debug_provider_free(sonde_debug_status(NULL, never_called, &called));
    ask("/debug/status", 200);
    assert_int_equal(called, 0);
    assert_null(sonde_debug_status("x", NULL, NULL));
    assert_null(sonde_debug_queue(NULL, (sonde_debug_queue_fn *)abort, NULL));
    sonde_debug_provider_free(NULL);
}

static void nothing_said(void *user UNUSED, sonde_json *json UNUSED)
{
}

static void there_are_at_most_64_of_a_kind(void **state UNUSED)
{
    sonde_debug_provider *all[65];
    for (int i = 0; i < 65; i++)
        all[i] = sonde_debug_status("same", nothing_said, NULL);
    assert_non_null(all[63]);
    assert_null(all[64]);
    ask("/debug/status", 200);
    for (int i = 0; i < 65; i++)
        sonde_debug_provider_free(all[i]);
}

static void workflows_add_up(void **state UNUSED)
{
    sonde_workflow *a = sonde_workflow_new("train"), *b = sonde_workflow_new(NULL);
    sonde_workflow_expect(a, 3);
    assert_true(sonde_workflow_node(a, "load", NULL));
    assert_true(sonde_workflow_node(a, "load", "completed"));
    assert_true(sonde_workflow_progress(b, "x", 5, 0));
    assert_string_equal(ask("/debug/workflow", 200),
                        "{\"nodes_total\":4,\"nodes_completed\":1,\"nodes\":["
                        "{\"id\":\"load\",\"status\":\"completed\",\"workflow\":\"train\"},"
                        "{\"id\":\"x\",\"status\":\"running\",\"progress\":{\"steps\":5}}]}\n");
    for (int i = 0; i < 4096; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(sonde_workflow_node(a, id, "pending"), i < 4095);
    }
    sonde_workflow_free(a);
    sonde_workflow_free(b);
    assert_string_equal(ask("/debug/workflow", 200),
                        "{\"nodes_total\":0,\"nodes_completed\":0,\"nodes\":[]}\n");
    assert_false(sonde_workflow_node(NULL, "x", "y"));
    assert_false(sonde_workflow_progress(NULL, "x", 1, 2));
    sonde_workflow_expect(NULL, 1);
    sonde_workflow_free(NULL);
}

static void configuration_is_replaced_taken_out_and_redacted(void **state UNUSED)
{
    configure("", "");
    assert_true(sonde_debug_config("mode", "one"));
    assert_true(sonde_debug_config("mode", "two"));
    assert_true(sonde_debug_config("api_key", "k1"));
    const char *page = ask("/debug/config", 200);
    assert_non_null(strstr(page, "{\"program\":{\"mode\":\"two\",\"api_key\":\"[REDACTED]\"}"));
    assert_true(sonde_debug_config("mode", NULL));
    assert_true(sonde_debug_config("api_key", NULL));
    assert_non_null(strstr(ask("/debug/config", 200), "{\"program\":{},"));
    assert_false(sonde_debug_config(NULL, "x"));
    assert_false(sonde_debug_config("", "x"));
}

static void paths_of_others_are_not_ours(void **state UNUSED)
{
    ask("/debug/other", 0);
    ask("/", 0);
    ask_as(&(sonde_http_request){ 0 }, 0);
    sonde_http_response r;
    assert_false(sonde_http_handle(NULL, &r));
    assert_non_null(strstr(ask("/debug", 200), "/debug/spans"));
    ask("/debug/spans", 503); /* not started */
    assert_string_equal(ask("/debug/logs", 200), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(query_strings_are_decoded),
        cmocka_unit_test(the_token_is_compared_whole),
        cmocka_unit_test(without_a_token_the_request_must_be_of_this_machine),
        cmocka_unit_test(errors_are_envelopes),
        cmocka_unit_test(production_hides_three_paths),
        cmocka_unit_test(a_callback_may_take_itself_out),
        cmocka_unit_test(there_are_at_most_64_of_a_kind),
        cmocka_unit_test(workflows_add_up),
        cmocka_unit_test(configuration_is_replaced_taken_out_and_redacted),
        cmocka_unit_test(paths_of_others_are_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
