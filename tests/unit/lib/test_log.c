// SPDX-License-Identifier: Apache-2.0
/* Log calls, read back through the recorder's reader: what a program says is what a sink gets. */
#include "lib/site.h"
#include "tests/unit/lib/recorder_fixture.h"

static void log_record_has_level_event_and_typed_attributes(void **state)
{
    fixture *f = *state;
    sonde_str text = { "by length!", 9 };
    uint8_t bytes[3] = { 1, 0, 255 };
    _Bool flag = 1;
    sonde_warn("order_placed", sonde_kv("order_id", 42), sonde_kv("total", 99.5),
               sonde_kv("express", true), sonde_kv("flag", flag), sonde_kv("name", "Ann"),
               sonde_kv("text", text), sonde_kv("big", UINT64_MAX), sonde_kv("small", INT64_MIN),
               sonde_kv_bytes("raw", bytes, 3), sonde_kv("none", (const char *)NULL));
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 1);
    const attrs *a = &f->logs.logs.attributes[0];
    assert_int_equal(f->logs.logs.severity[0], SONDE_WARN);
    assert_text(f->logs.logs.severity_text[0], "WARN");
    assert_text(f->logs.logs.event_name[0], "order_placed");
    assert_text(f->logs.logs.body[0].s, "order_placed");
    assert_int_equal(attrs_get(a, STR("order_id"))->i64, 42);
    assert_true(attrs_get(a, STR("total"))->f64 == 99.5);
    assert_int_equal(attrs_get(a, STR("express"))->type, VALUE_BOOL);
    assert_true(attrs_get(a, STR("express"))->b);
    assert_int_equal(attrs_get(a, STR("flag"))->type, VALUE_BOOL);
    assert_text(attrs_get_str(a, STR("name")), "Ann");
    assert_text(attrs_get_str(a, STR("text")), "by length");
    assert_text(attrs_get_str(a, STR("big")), "18446744073709551615");
    assert_int_equal(attrs_get(a, STR("small"))->i64, INT64_MIN);
    assert_int_equal(attrs_get(a, STR("raw"))->type, VALUE_BYTES);
    assert_memory_equal(attrs_get(a, STR("raw"))->s.ptr, bytes, 3);
    assert_int_equal(attrs_get(a, STR("none"))->type, VALUE_EMPTY);
}

static void log_record_time_is_the_time_of_the_call(void **state)
{
    fixture *f = *state;
    int64_t before = clock_now_ns();
    sonde_info("now");
    int64_t after = clock_now_ns();
    fixture_poll(f);
    assert_true(f->logs.logs.time_ns[0] > before - 5 * NS_PER_MS);
    assert_true(f->logs.logs.time_ns[0] < after + 5 * NS_PER_MS);
}

static void formatted_and_errno_attributes(void **state)
{
    fixture *f = *state;
    char row[8] = "seven";
    sonde_error("db_failed", sonde_kv_errno(ENOENT), sonde_kv_fmt("detail", "%s of %d", row, 9));
    fixture_poll(f);
    const attrs *a = &f->logs.logs.attributes[0];
    assert_text(attrs_get_str(a, STR("error")), "ENOENT: No such file or directory");
    assert_text(attrs_get_str(a, STR("detail")), "seven of 9");
}

static void keys_of_secrets_are_redacted_and_never_in_the_file(void **state)
{
    fixture *f = *state;
    char key[16];
    snprintf(key, sizeof(key), "API-%s", "Key");
    for (int i = 0; i < 2; i++) {
        sonde_info("login", sonde_kv("user_password", "hunter2secret"),
                   sonde_kv("accessToken", "hunter2secret"), sonde_kv("token_count", 17),
                   sonde_kv(key, "hunter2secret"), sonde_kv("set-cookie", "hunter2secret"));
    }
    SONDE_CONTEXT (sonde_kv("authorization", "hunter2secret")) {
        SONDE_SPAN ("s", sonde_kv("client_secret", "hunter2secret")) {
            sonde_span_set(sonde_kv("passwd", "hunter2secret"));
            sonde_info("inside");
        }
    }
    fixture_poll(f);
    for (uint32_t i = 0; i < 2; i++) {
        const attrs *a = &f->logs.logs.attributes[i];
        assert_text(attrs_get_str(a, STR("user_password")), "[REDACTED]");
        assert_text(attrs_get_str(a, STR("accessToken")), "[REDACTED]");
        assert_text(attrs_get_str(a, STR("API-Key")), "[REDACTED]");
        assert_text(attrs_get_str(a, STR("set-cookie")), "[REDACTED]");
        assert_int_equal(attrs_get(a, STR("token_count"))->i64, 17);
    }
    assert_text(attrs_get_str(&f->logs.logs.attributes[2], STR("authorization")), "[REDACTED]");
    assert_text(attrs_get_str(&f->spans.spans.attributes[0], STR("client_secret")), "[REDACTED]");
    assert_text(attrs_get_str(&f->spans.spans.attributes[0], STR("passwd")), "[REDACTED]");
    buf file;
    buf_init(&file, MiB(32));
    assert_int_equal(file_read(recorder_path(f->recorder), &file, NULL), STATUS_OK);
    assert_false(str_contains(buf_view(&file), STR("hunter2secret")));
    assert_true(str_contains(buf_view(&file), STR("user_password")));
    buf_done(&file);
}

static void keys_that_name_secrets_are_told_from_those_that_do_not(void **state)
{
    (void)state;
    static const char *const secrets[] = {
        "access_key",  "aws.AccessKeyId", "api_key",
        "x-api-key",   "Authorization",   "bearer",
        "card_number", "Cookie",          "set-cookie",
        "credentials", "creditCard",      "cvv",
        "jwt",         "passphrase",      "passwd",
        "PASSWORD",    "db.password.old", "private_key",
        "pwd",         "client_secret",   "CLIENT-SECRET",
        "ssn",         "token",           "csrf-Token",
    };
    static const char *const others[] = {
        "",      "a",          "user_id", "tokens",     "token_count", "prompt_tokens", "key",
        "path",  "passenger",  "bearers", "jwt_alg",    "keyboard",    "compass",       "api",
        "total", "session_id", "assn_id", "request_id", "tokenizer",   "http.route",
    };
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        if (!site_key_is_secret(str_c(secrets[i])))
            fail_msg("%s is a secret", secrets[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (site_key_is_secret(str_c(others[i])))
            fail_msg("%s is no secret", others[i]);
    }
}

static void a_key_in_a_reused_buffer_is_not_taken_for_the_last_one(void **state)
{
    fixture *f = *state;
    char key[8];
    for (int i = 0; i < 3; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        sonde_info("loop", sonde_kv(key, i));
    }
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 3);
    for (int i = 0; i < 3; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(attrs_get(&f->logs.logs.attributes[i], str_c(key))->i64, i);
    }
}

static void long_values_are_cut_and_marked(void **state)
{
    fixture *f = *state;
    static char text[200000];
    memset(text, 'x', sizeof(text) - 1);
    sonde_info("long", sonde_kv("text", text), sonde_kv("after", 7));
    sonde_str most = { text, 60000 };
    sonde_info("nearly", sonde_kv("text", most));
    fixture_poll(f);
    const attrs *a = &f->logs.logs.attributes[0];
    str cut = attrs_get_str(a, STR("text"));
    assert_true(cut.len >= 30000 && cut.len < KiB(64));
    assert_true(str_ends(cut, STR("x\xe2\x80\xa6")));
    assert_true(attrs_get(a, STR("sonde.cut"))->b);
    assert_int_equal(attrs_get(a, STR("after"))->i64, 7);
    assert_int_equal(attrs_get_str(&f->logs.logs.attributes[1], STR("text")).len, 60000);
    assert_null(attrs_get(&f->logs.logs.attributes[1], STR("sonde.cut")));
}

static void a_cut_never_splits_a_character(void **state)
{
    fixture *f = *state;
    static char text[90001];
    for (size_t i = 0; i + 3 <= 90000; i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3);
    sonde_info("euros", sonde_kv("text", text));
    fixture_poll(f);
    str cut = attrs_get_str(&f->logs.logs.attributes[0], STR("text"));
    assert_int_equal(utf8_valid_prefix(cut), cut.len);
    assert_false(str_contains(cut, STR("\xef\xbf\xbd")));
}

static void text_that_is_not_utf8_becomes_valid(void **state)
{
    fixture *f = *state;
    sonde_info("bytes", sonde_kv("text", "a\xff\xfe"
                                         "b"));
    fixture_poll(f);
    assert_text(attrs_get_str(&f->logs.logs.attributes[0], STR("text")), "a\xef\xbf\xbd\xef\xbf\xbd"
                                                                         "b");
}

static int evaluations;
static int counted(void)
{
    return ++evaluations;
}

static void a_disabled_level_evaluates_and_records_nothing(void **state)
{
    fixture *f = *state;
    evaluations = 0;
    sonde_log_level_set(SONDE_WARN);
    sonde_info("no", sonde_kv("n", counted()));
    sonde_debug("no", sonde_kv("n", counted()));
    assert_false(sonde_log_enabled(SONDE_INFO));
    sonde_log_level_set(SONDE_INFO);
    sonde_info("yes", sonde_kv("n", counted()));
    fixture_poll(f);
    assert_int_equal(evaluations, 1);
    assert_int_equal(f->logs.logs.count, 1);
    assert_int_equal(recorder_drops(f->reader, SIGNAL_LOGS, RECORDER_DROP_NOT_STARTED), 0);
}

static void the_plain_function_logs_what_is_known_at_run_time(void **state)
{
    fixture *f = *state;
    sonde_attr list[2] = { sonde_kv_i64("n", 1), sonde_kv_str("s", "two") };
    sonde_log(SONDE_FATAL, (sonde_str){ "dynamic", 7 }, list, 2);
    sonde_log(SONDE_DEBUG, (sonde_str){ "hidden", 6 }, list, 2);
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 1);
    assert_text(f->logs.logs.event_name[0], "dynamic");
    assert_text(f->logs.logs.severity_text[0], "FATAL");
    assert_text(attrs_get_str(&f->logs.logs.attributes[0], STR("s")), "two");
}

static void more_keys_than_a_site_remembers(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        sonde_info("many", sonde_kv("a", 1), sonde_kv("b", 2), sonde_kv("c", 3), sonde_kv("d", 4),
                   sonde_kv("e", 5), sonde_kv("f", 6), sonde_kv("g", 7), sonde_kv("h", 8),
                   sonde_kv("i", 9), sonde_kv("j", 10), sonde_kv("k", 11), sonde_kv("l", 12),
                   sonde_kv("m", 13), sonde_kv("n", 14));
    }
    fixture_poll(f);
    for (int row = 0; row < 2; row++) {
        for (int i = 0; i < 14; i++) {
            char key[2] = { (char)('a' + i), 0 };
            assert_int_equal(attrs_get(&f->logs.logs.attributes[row], str_c(key))->i64, i + 1);
        }
    }
}

static void groups_are_maps_and_hide_their_secrets(void **state)
{
    fixture *f = *state;
    SONDE_CONTEXT (sonde_kv("request_id", "r-1"), sonde_kv_group("g", sonde_kv("lost", 1))) {
        sonde_info("changed", sonde_kv("before", 1),
                   sonde_kv_group("data", sonde_kv("old", "processing"), sonde_kv("n", 7),
                                  sonde_kv("password", "hunter2secret"),
                                  sonde_kv_group("deep", sonde_kv("ok", true))),
                   sonde_kv_group("empty"),
                   sonde_kv_group("secret", sonde_kv("word", "hunter2secret")),
                   sonde_kv("after", 2));
    }
    fixture_poll(f);
    const attrs *a = &f->logs.logs.attributes[0];
    assert_int_equal(attrs_get(a, STR("before"))->i64, 1);
    assert_int_equal(attrs_get(a, STR("after"))->i64, 2);
    const value *data = attrs_get(a, STR("data"));
    assert_int_equal(data->type, VALUE_MAP);
    assert_text(attrs_get_str(&data->map, STR("old")), "processing");
    assert_int_equal(attrs_get(&data->map, STR("n"))->i64, 7);
    assert_text(attrs_get_str(&data->map, STR("password")), "[REDACTED]");
    assert_true(attrs_get(&attrs_get(&data->map, STR("deep"))->map, STR("ok"))->b);
    assert_int_equal(attrs_get(a, STR("empty"))->map.count, 0);
    assert_text(attrs_get_str(a, STR("secret")), "[REDACTED]");
    assert_text(attrs_get_str(a, STR("request_id")), "r-1");
    assert_null(attrs_get(a, STR("g")));
    assert_int_equal(recorder_drops(f->reader, SIGNAL_LOGS, RECORDER_DROP_CONTEXT), 1);
}

static void a_group_that_is_too_large_is_cut_or_left_empty(void **state)
{
    fixture *f = *state;
    static char text[100000];
    static sonde_attr many[5000];
    memset(text, 'x', sizeof(text) - 1);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = sonde_kv_i64("number", (int64_t)i);
    sonde_info("long", sonde_kv_group("g", sonde_kv("text", text)), sonde_kv("after", 1));
    sonde_info("many", sonde_kv_group_("g", many, ARRAY_LEN(many)), sonde_kv("after", 1));
    SONDE_SPAN ("s", sonde_kv_group("g", sonde_kv("n", 1)),
                sonde_kv_group("large", sonde_kv("text", text))) {
        sonde_span_set(sonde_kv_group("late", sonde_kv("n", 2)));
    }
    fixture_poll(f);
    const value *group = attrs_get(&f->logs.logs.attributes[0], STR("g"));
    assert_true(str_ends(attrs_get_str(&group->map, STR("text")), STR("x\xe2\x80\xa6")));
    assert_int_equal(attrs_get(&f->logs.logs.attributes[0], STR("after"))->i64, 1);
    assert_int_equal(attrs_get(&f->logs.logs.attributes[1], STR("g"))->map.count, 0);
    assert_int_equal(attrs_get(&f->logs.logs.attributes[1], STR("after"))->i64, 1);
    const attrs *span = &f->spans.spans.attributes[0];
    assert_int_equal(attrs_get(&attrs_get(span, STR("g"))->map, STR("n"))->i64, 1);
    assert_int_equal(attrs_get(&attrs_get(span, STR("late"))->map, STR("n"))->i64, 2);
    assert_null(attrs_get(span, STR("large")));
}

static void the_contexts_attributes_are_told_from_the_calls_own(void **state)
{
    fixture *f = *state;
    SONDE_CONTEXT (sonde_kv("request_id", "r-1"), sonde_kv("user_id", "u-1")) {
        sonde_info("inside", sonde_kv("n", 1), sonde_kv("user_id", "own"));
    }
    sonde_info("outside", sonde_kv("n", 1));
    fixture_poll(f);
    const attr_range *c = f->logs.logs.context;
    assert_int_equal(c[0].from, 2);
    assert_int_equal(c[0].count, 1);
    assert_text(f->logs.logs.attributes[0].items[2].key, "request_id");
    assert_text(attrs_get_str(&f->logs.logs.attributes[0], STR("user_id")), "own");
    assert_int_equal(c[1].count, 0);
}

__attribute__((noinline)) static void fail_here(void)
{
    sonde_error("operation_failed", sonde_kv_exception("db_error", "no such table"));
}

static void an_exception_has_type_message_and_stack(void **state)
{
    fixture *f = *state;
    fail_here();
    fixture_poll(f);
    const attrs *a = &f->logs.logs.attributes[0];
    assert_text(attrs_get_str(a, STR("exception.type")), "db_error");
    assert_text(attrs_get_str(a, STR("exception.message")), "no such table");
    str rest = attrs_get_str(a, STR("exception.stacktrace"));
    unsigned lines = 0;
    while (rest.len) {
        str number, line = str_cut(rest, '\n', &rest);
        number = str_cut(line, ' ', &line);
        assert_true(str_starts(number, STR("#")));
        assert_true(str_contains(line, STR("+0x")));
        /* The first line is in this program, not in the library's own function. */
        assert_false(str_contains(line, STR("sonde_kv_backtrace_")));
        assert_true(lines > 0 || str_starts(line, STR("unit_lib_log(")));
        lines++;
    }
    assert_true(lines >= 3);
}

static void every_length_of_text_and_context_is_copied_whole(void **state)
{
    fixture *f = *state;
    char text[140];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    for (size_t n = 0; n < sizeof(text); n++) {
        sonde_str part = { text, n };
        SONDE_CONTEXT (sonde_kv("c", part)) {
            sonde_info("lengths", sonde_kv("before", (int)n), sonde_kv("text", part));
        }
    }
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, sizeof(text));
    for (uint32_t n = 0; n < sizeof(text); n++) {
        const attrs *a = &f->logs.logs.attributes[n];
        assert_int_equal(attrs_get(a, STR("before"))->i64, n);
        assert_str(attrs_get_str(a, STR("text")), str_n(text, n));
        assert_str(attrs_get_str(a, STR("c")), str_n(text, n));
    }
}

/* Records of all lengths until some extents were filled: the way that writes without asking first
 * must leave the next extent's first record to the other way. */
static void records_fill_extents_to_their_ends(void **state)
{
    fixture *f = *state;
    static char text[3000];
    memset(text, 'y', sizeof(text));
    for (int i = 0; i < 2000; i++) {
        sonde_str part = { text, (size_t)(i * 37 % 2999) };
        sonde_info("fill", sonde_kv("i", i), sonde_kv("text", part));
    }
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 2000);
    for (uint32_t i = 0; i < 2000; i++) {
        const attrs *a = &f->logs.logs.attributes[i];
        assert_int_equal(attrs_get(a, STR("i"))->i64, i);
        assert_int_equal(attrs_get_str(a, STR("text")).len, i * 37 % 2999);
    }
}

static void calls_before_start_and_after_stop_are_counted(void **state)
{
    (void)state;
    uint64_t before = state_early_drops(SIGNAL_LOGS);
    sonde_info("too_early", sonde_kv("n", 1));
    sonde_warn("too_early");
    SONDE_SPAN ("too_early") {
    }
    assert_int_equal(state_early_drops(SIGNAL_LOGS), before + 2);
    fixture *f = fixture_start(0);
    sonde_info("in_time");
    fixture_poll(f);
    assert_int_equal(f->logs.logs.count, 1);
    assert_int_equal(recorder_drops(f->reader, SIGNAL_LOGS, RECORDER_DROP_NOT_STARTED), before + 2);
    assert_true(recorder_drops(f->reader, SIGNAL_TRACES, RECORDER_DROP_NOT_STARTED) >= 1);
    fixture_stop(f);
    sonde_info("too_late");
    assert_int_equal(state_early_drops(SIGNAL_LOGS), before + 3);
}

static void a_site_registers_again_after_a_restart(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        fixture *f = fixture_start(0);
        for (int i = 0; i < 2; i++)
            sonde_info("same_site", sonde_kv("round", round));
        fixture_poll(f);
        assert_int_equal(f->logs.logs.count, 2);
        assert_int_equal(attrs_get(&f->logs.logs.attributes[1], STR("round"))->i64, round);
        assert_text(f->logs.logs.event_name[1], "same_site");
        fixture_stop(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(groups_are_maps_and_hide_their_secrets),
        FIXTURE_TEST(a_group_that_is_too_large_is_cut_or_left_empty),
        FIXTURE_TEST(the_contexts_attributes_are_told_from_the_calls_own),
        FIXTURE_TEST(an_exception_has_type_message_and_stack),
        FIXTURE_TEST(every_length_of_text_and_context_is_copied_whole),
        FIXTURE_TEST(records_fill_extents_to_their_ends),
        FIXTURE_TEST(log_record_has_level_event_and_typed_attributes),
        FIXTURE_TEST(log_record_time_is_the_time_of_the_call),
        FIXTURE_TEST(formatted_and_errno_attributes),
        FIXTURE_TEST(keys_of_secrets_are_redacted_and_never_in_the_file),
        cmocka_unit_test(keys_that_name_secrets_are_told_from_those_that_do_not),
        FIXTURE_TEST(a_key_in_a_reused_buffer_is_not_taken_for_the_last_one),
        FIXTURE_TEST(long_values_are_cut_and_marked),
        FIXTURE_TEST(a_cut_never_splits_a_character),
        FIXTURE_TEST(text_that_is_not_utf8_becomes_valid),
        FIXTURE_TEST(a_disabled_level_evaluates_and_records_nothing),
        FIXTURE_TEST(the_plain_function_logs_what_is_known_at_run_time),
        FIXTURE_TEST(more_keys_than_a_site_remembers),
        cmocka_unit_test(calls_before_start_and_after_stop_are_counted),
        cmocka_unit_test(a_site_registers_again_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
