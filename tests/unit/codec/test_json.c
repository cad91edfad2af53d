// SPDX-License-Identifier: Apache-2.0
/* JSON: the public test suite, texts and numbers at their bounds, positions of errors, the writer,
 * and typed values. */
#include "codec/json_value.h"

#include "base/file.h"

#include <dirent.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static status parse_all(str text, uint32_t depth, error *err)
{
    arena memory;
    json_reader r;
    arena_init(&memory, MiB(1));
    json_read(&r, text, &memory, depth);
    json_type t;
    do {
        t = json_next(&r);
    } while (t != JSON_END && t != JSON_ERROR);
    status st = json_fail_status(&r, err, "test");
    assert_int_equal(st == STATUS_OK, t == JSON_END);
    arena_done(&memory);
    return st;
}

static void accepts_and_refuses_what_the_public_suite_says(void **state)
{
    (void)state;
    const char *folder = SOURCE_DIR "/../shared/conformance/json/test_parsing";
    DIR *dir = opendir(folder);
    if (!dir) {
        print_message("skipped: no %s\n", folder);
        skip();
    }
    int yes = 0, no = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char path[1024];
        buf text;
        error err;
        if (!str_ends(str_c(e->d_name), STR(".json")))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        buf_init(&text, 0);
        assert_int_equal(file_read(path, &text, &err), STATUS_OK);
        bool accepted = parse_all(buf_view(&text), 0, &err) == STATUS_OK;
        if (e->d_name[0] == 'y' && ++yes && !accepted)
            fail_msg("%s: refused: %s", e->d_name, err.message);
        if (e->d_name[0] == 'n' && ++no && accepted)
            fail_msg("%s: accepted", e->d_name);
        buf_done(&text);
    }
    closedir(dir);
    assert_true(yes > 50 && no > 100);
}

static void texts_are_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
    } cases[] = {
        { "\"\"", "" },
        { "\"plain\"", "plain" },
        { "\"a longer text without any escapes in it\"",
          "a longer text without any escapes in it" },
        { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
        { "\"12345678\\n12345678\\u0041\"", "12345678\n12345678A" },
        { "\"\\u00e9\\u20AC\\ud83d\\ude00\"", "é€😀" },
        { "\"é€😀\"", "é€😀" },
        { "\"\\ud83d\"", "\xEF\xBF\xBD" },
        { "\"\\ud83dx\\ude00\"", "\xEF\xBF\xBDx\xEF\xBF\xBD" },
        { "\"\\ud83d\\u0041\"", "\xEF\xBF\xBD"
                                "A" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        arena memory;
        json_reader r;
        arena_init(&memory, 0);
        json_read(&r, str_c(cases[i].json), &memory, 0);
        assert_int_equal(json_next(&r), JSON_STRING);
        if (!str_is(r.text, cases[i].text))
            fail_msg("%s gives %.*s", cases[i].json, STR_ARG(r.text));
        assert_int_equal(json_next(&r), JSON_END);
        arena_done(&memory);
    }
}

static void numbers_are_exact_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool is_i64, is_u64, is_f64;
        int64_t i64;
        uint64_t u64;
        double f64;
    } cases[] = {
        { "0", true, true, true, 0, 0, 0 },
        { "-0", true, true, true, 0, 0, -0.0 },
        { "12", true, true, true, 12, 12, 12 },
        { "\"12\"", true, true, true, 12, 12, 12 },
        { "-9223372036854775808", true, false, true, INT64_MIN, 0, -0x1p63 },
        { "9223372036854775807", true, true, true, INT64_MAX, INT64_MAX, 0x1p63 },
        { "9223372036854775808", false, true, true, 0, UINT64_C(1) << 63, 0x1p63 },
        { "18446744073709551615", false, true, true, 0, UINT64_MAX, 0x1p64 },
        { "18446744073709551616", false, false, true, 0, 0, 0x1p64 },
        { "1e3", true, true, true, 1000, 1000, 1000 },
        { "1.0", true, true, true, 1, 1, 1 },
        { "1.5", false, false, true, 0, 0, 1.5 },
        { "0.1", false, false, true, 0, 0, 0.1 },
        { "-123456.789", false, false, true, 0, 0, -123456.789 },
        { "123456789012345678", true, true, true, 123456789012345678, 123456789012345678,
          123456789012345678.0 },
        { "1.7976931348623157e308", false, false, true, 0, 0, 1.7976931348623157e308 },
        { "5e-324", false, false, true, 0, 0, 5e-324 },
        { "1e400", false, false, false, 0, 0, 0 },
        { "\"Infinity\"", false, false, true, 0, 0, INFINITY },
        { "\"-Infinity\"", false, false, true, 0, 0, -INFINITY },
        { "\"0x10\"", false, false, false, 0, 0, 0 },
        { "\"inf\"", false, false, false, 0, 0, 0 },
        { "\"\"", false, false, false, 0, 0, 0 },
        { "\" 1\"", false, false, false, 0, 0, 0 },
        { "true", false, false, false, 0, 0, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        arena memory;
        json_reader r;
        int64_t i64 = 0;
        uint64_t u64 = 0;
        double f64 = 0;
        arena_init(&memory, 0);
        json_read(&r, str_c(cases[i].json), &memory, 0);
        json_next(&r);
        if (json_get_i64(&r, &i64) != cases[i].is_i64 || i64 != cases[i].i64)
            fail_msg("%s as int64: %lld", cases[i].json, (long long)i64);
        if (json_get_u64(&r, &u64) != cases[i].is_u64 || u64 != cases[i].u64)
            fail_msg("%s as uint64: %llu", cases[i].json, (unsigned long long)u64);
        if (json_get_f64(&r, &f64) != cases[i].is_f64 || f64 != cases[i].f64 ||
            signbit(f64) != signbit(cases[i].f64))
            fail_msg("%s as double: %.17g", cases[i].json, f64);
        arena_done(&memory);
    }
}

static int run(const char *const argv[])
{
    pid_t pid;
    int status = -1;
    if (posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ) != 0 ||
        waitpid(pid, &status, 0) != pid)
        return -1;
    return status;
}

enum { SAME = 0, DIFFERENT = 1, NO_LOCALE = 2 };

/* In a process of its own: glibc keeps memory for LOCPATH that the leak check would report. */
static void write_and_read_in_german(const char *locale_dir)
{
    setenv("LOCPATH", locale_dir, 1);
    locale_t german = newlocale(LC_ALL_MASK, "de", (locale_t)0);
    if (!german)
        _exit(NO_LOCALE);
    uselocale(german);
    buf out;
    double v = 0, wrong;
    buf_init(&out, 0);
    json_writer w = json_write(&out);
    json_f64(&w, -2.5e-9);
    bool good = str_is(buf_view(&out), "-2.5e-09") && str_to_f64(STR("2.5"), &v) && v == 2.5 &&
                !str_to_f64(STR("2,5"), &wrong);
    _exit(good ? SAME : DIFFERENT);
}

/* libsonde lives in programs that set a locale, where printf and strtod may want a comma. */
static void numbers_do_not_depend_on_the_locale(void **state)
{
    (void)state;
    char dir[] = "/tmp/sonde-locale-XXXXXX", path[64];
    int result = -1;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/de", dir);
    run((const char *const[]){ "localedef", "-i", "de_DE", "-f", "UTF-8", path, NULL });
    pid_t pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0)
        write_and_read_in_german(dir);
    assert_int_equal(waitpid(pid, &result, 0), pid);
    assert_int_equal(run((const char *const[]){ "rm", "-rf", dir, NULL }), 0);
    assert_true(WIFEXITED(result));
    if (WEXITSTATUS(result) == NO_LOCALE) {
        print_message("skipped: localedef cannot make de_DE here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(result), SAME);
}

static void nan_is_read_from_its_name(void **state)
{
    (void)state;
    json_reader r;
    double f64 = 0;
    json_read(&r, STR("\"NaN\""), NULL, 0);
    json_next(&r);
    assert_true(json_get_f64(&r, &f64) && isnan(f64));
}

static void errors_name_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *json, *message;
    } cases[] = {
        { "{\"a\":1,}", "test: line 1, column 8: a member must begin with its name in quotes" },
        { "[1,\n 2\n x]", "test: line 3, column 2: expected ',' or ']'" },
        { "{\"a\" 1}", "test: line 1, column 6: a member's name must be followed by ':'" },
        { "[01]", "test: line 1, column 2: a number must be like -12, 0.5 or 1e-9" },
        { "[\"a\tb\"]", "test: line 1, column 4: control characters in strings must be escaped" },
        { "[\"\xc3(\"]", "test: line 1, column 3: text must be UTF-8" },
        { "[1] 2", "test: line 1, column 5: nothing may follow the value" },
        { "[nul]",
          "test: line 1, column 2: a value must be an object, array, string, number, true, "
          "false or null" },
        { "[\"abc", "test: line 1, column 6: the text ends in the middle of a value" },
        { "", "test: line 1, column 1: the text ends in the middle of a value" },
        { "[[[[1]]]]",
          "test: line 1, column 4: objects and arrays are nested deeper than the limit" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        error err;
        assert_int_not_equal(parse_all(str_c(cases[i].json), 3, &err), STATUS_OK);
        assert_string_equal(err.message, cases[i].message);
    }
}

static void values_are_skipped_whole(void **state)
{
    (void)state;
    arena memory;
    json_reader r;
    str key;
    arena_init(&memory, 0);
    json_read(&r, STR("{\"a\":{\"x\":[1,{\"y\":[]}]},\"b\":[[],[2]],\"c\":\"s\",\"d\":4}"), &memory,
              0);
    assert_int_equal(json_next(&r), JSON_OBJECT);
    for (const char *name = "abc"; *name; name++) {
        assert_true(json_next_key(&r, &key));
        assert_true(key.len == 1 && key.ptr[0] == *name);
        assert_true(json_skip_next(&r));
    }
    assert_true(json_next_key(&r, &key) && str_is(key, "d"));
    assert_int_equal(json_next(&r), JSON_NUMBER);
    assert_false(json_next_key(&r, &key));
    assert_int_equal(r.type, JSON_OBJECT_END);
    assert_int_equal(json_next(&r), JSON_END);
    arena_done(&memory);
}

static void a_refusal_stands_at_its_token(void **state)
{
    (void)state;
    json_reader r;
    error err;
    str key;
    json_read(&r, STR("{\n  \"a\": true}"), NULL, 0);
    json_next(&r);
    assert_true(json_next_key(&r, &key));
    json_next(&r);
    assert_false(json_refuse(&r, "expected a string"));
    assert_int_equal(json_next(&r), JSON_ERROR);
    assert_int_equal(json_fail_status(&r, &err, "config"), STATUS_INVALID);
    assert_string_equal(err.message, "config: line 2, column 8: expected a string");
}

static void texts_are_quoted(void **state)
{
    (void)state;
    static const struct {
        str text;
        const char *json;
    } cases[] = {
        { STR_INIT(""), "\"\"" },
        { STR_INIT("plain text of some length"), "\"plain text of some length\"" },
        { STR_INIT("\"\\/\b\f\n\r\t\x01\x1f\x7f"),
          "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"" },
        { STR_INIT("12345678\n\0x"), "\"12345678\\n\\u0000x\"" },
        { STR_INIT("é€😀"), "\"é€😀\"" },
        { STR_INIT("a\xff"
                   "b\xc3"),
          "\"a\xEF\xBF\xBD"
          "b\xEF\xBF\xBD\"" },
        { STR_INIT("\xed\xa0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf out;
        buf_init(&out, 0);
        json_quote(&out, cases[i].text);
        if (!str_is(buf_view(&out), cases[i].json))
            fail_msg("case %zu gives %.*s", i, STR_ARG(buf_view(&out)));
        buf_done(&out);
    }
}

static void every_byte_is_quoted_so_that_it_reads_back(void **state)
{
    (void)state;
    for (size_t length = 1; length <= 24; length++) {
        for (int c = 0; c < 128; c++) {
            for (size_t at = 0; at < length; at++) {
                char text[24];
                arena memory;
                buf out;
                json_reader r;
                memset(text, 'x', sizeof(text));
                text[at] = (char)c;
                arena_init(&memory, 0);
                buf_init(&out, 0);
                json_quote(&out, str_n(text, length));
                json_read(&r, buf_view(&out), &memory, 0);
                assert_int_equal(json_next(&r), JSON_STRING);
                assert_true(str_eq(r.text, str_n(text, length)));
                arena_done(&memory);
                buf_done(&out);
            }
        }
    }
}

static void the_writer_puts_the_commas(void **state)
{
    (void)state;
    buf out;
    buf_init(&out, 0);
    json_writer w = json_write(&out);
    json_begin_object(&w);
    JSON_PUT(&w, str, "s", STR("x"));
    json_key(&w, STR("a"));
    json_begin_array(&w);
    json_i64(&w, INT64_MIN);
    json_u64(&w, UINT64_MAX);
    json_begin_object(&w);
    json_end_object(&w);
    json_null(&w);
    json_f64(&w, NAN);
    json_f64(&w, -INFINITY);
    json_f64(&w, 0.1);
    json_f64(&w, -0.0);
    json_end_array(&w);
    JSON_PUT(&w, bool, "b", true);
    JSON_PUT(&w, i64_quoted, "i", -5);
    JSON_PUT(&w, base64, "y", STR("hello!!"));
    JSON_PUT(&w, raw, "r", STR("[1]"));
    json_end_object(&w);
    assert_true(str_is(buf_view(&out),
                       "{\"s\":\"x\",\"a\":[-9223372036854775808,18446744073709551615,{},null,"
                       "\"NaN\",\"-Infinity\",0.1,-0.0],\"b\":true,\"i\":\"-5\","
                       "\"y\":\"aGVsbG8hIQ==\",\"r\":[1]}"));
    buf_clear(&out);
    w = json_write(&out);
    w.nonfinite = JSON_NONFINITE_NULL;
    json_f64(&w, INFINITY);
    assert_true(str_is(buf_view(&out), "null"));
    buf_done(&out);
}

static void base64_is_decoded_in_both_alphabets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        str bytes;
        bool ok;
    } cases[] = {
        { "", STR_INIT(""), true },
        { "AA==", STR_INIT("\0"), true },
        { "AA", STR_INIT("\0"), true },
        { "Zm8=", STR_INIT("fo"), true },
        { "Zm9v", STR_INIT("foo"), true },
        { "+/+/", STR_INIT("\xfb\xff\xbf"), true },
        { "-_-_", STR_INIT("\xfb\xff\xbf"), true },
        { "A", STR_INIT(""), false },
        { "A===", STR_INIT(""), false },
        { "AA=", STR_INIT(""), false },
        { "A*==", STR_INIT(""), false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        arena memory;
        str bytes = STR_EMPTY;
        arena_init(&memory, 0);
        if (base64_decode(&memory, str_c(cases[i].text), &bytes) != cases[i].ok)
            fail_msg("%s", cases[i].text);
        assert_true(str_eq(bytes, cases[i].bytes));
        arena_done(&memory);
    }
}

static void values_become_text(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
    } cases[] = {
        { "\"as it \\\"is\\\"\"", "as it \"is\"" },
        { "5", "5" },
        { "-2.5", "-2.5" },
        { "true", "true" },
        { "null", "" },
        { "[1,\"a\",null,{\"k\":[]}]", "[1,\"a\",null,{\"k\":[]}]" },
        { "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"c\"}}" },
        { "99999999999999999999", "1e+20" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        arena memory;
        json_reader r;
        value v;
        buf out;
        arena_init(&memory, 0);
        buf_init(&out, 0);
        json_read(&r, str_c(cases[i].json), &memory, 0);
        assert_true(value_from_json(&r, &memory, &v));
        value_to_text(&v, &out);
        if (!str_is(buf_view(&out), cases[i].text))
            fail_msg("%s gives %.*s", cases[i].json, STR_ARG(buf_view(&out)));
        arena_done(&memory);
        buf_done(&out);
    }
    buf out;
    buf_init(&out, 0);
    value bytes = { .type = VALUE_BYTES, .s = STR("hello") };
    value nan = VALUE_D(NAN);
    value_to_text(&bytes, &out);
    value_to_text(&nan, &out);
    assert_true(str_is(buf_view(&out), "aGVsbG8=NaN"));
    buf_done(&out);
}

static void memory_limits_hold_for_values(void **state)
{
    (void)state;
    arena memory;
    json_reader r;
    value v;
    buf text;
    buf_init(&text, 0);
    buf_char(&text, '[');
    for (int i = 0; i < 1000; i++)
        buf_lit(&text, "1,");
    buf_lit(&text, "1]");
    arena_init(&memory, KiB(8));
    json_read(&r, buf_view(&text), &memory, 0);
    assert_false(value_from_json(&r, &memory, &v));
    assert_non_null(r.problem);
    arena_done(&memory);
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_and_refuses_what_the_public_suite_says),
        cmocka_unit_test(texts_are_decoded),
        cmocka_unit_test(numbers_are_exact_or_refused),
        cmocka_unit_test(numbers_do_not_depend_on_the_locale),
        cmocka_unit_test(nan_is_read_from_its_name),
        cmocka_unit_test(errors_name_line_and_column),
        cmocka_unit_test(values_are_skipped_whole),
        cmocka_unit_test(a_refusal_stands_at_its_token),
        cmocka_unit_test(texts_are_quoted),
        cmocka_unit_test(every_byte_is_quoted_so_that_it_reads_back),
        cmocka_unit_test(the_writer_puts_the_commas),
        cmocka_unit_test(base64_is_decoded_in_both_alphabets),
        cmocka_unit_test(values_become_text),
        cmocka_unit_test(memory_limits_hold_for_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
