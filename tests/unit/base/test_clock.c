// SPDX-License-Identifier: Apache-2.0
/* Times and durations as text, and files. */
#include "support.h"

#include "base/file.h"
#include "base/random.h"

static void rfc3339_goes_both_ways(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        { "1970-01-01T00:00:00.000000000Z", 0 },
        { "2025-10-12T20:30:00.125000000Z", 1760301000125000000 },
        { "2000-02-29T23:59:59.999999999Z", 951868799999999999 },
        { "1969-12-31T23:59:59.500000000Z", -500000000 },
    };
    buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ns;
        buf_clear(&b);
        clock_format_rfc3339(&b, cases[i].ns, 9);
        assert_str(buf_view(&b), str_c(cases[i].text));
        assert_true(clock_parse_rfc3339(str_c(cases[i].text), &ns));
        assert_int_equal(ns, cases[i].ns);
    }
    buf_done(&b);
}

static void rfc3339_refuses_what_is_no_time(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "2025-10-12",
                                       "2025-13-01T00:00:00Z",
                                       "2025-02-29T00:00:00Z",
                                       "2025-01-01T24:00:00Z",
                                       "2025-01-01T00:00:00",
                                       "2025-01-01T00:00:00.Z",
                                       "2025-01-01T00:00:00+2:00",
                                       "9999-01-01T00:00:00Z" };
    int64_t ns;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(clock_parse_rfc3339(str_c(bad[i]), &ns));
    assert_true(clock_parse_rfc3339(STR("2025-01-01T02:00:00+02:00"), &ns));
    assert_int_equal(ns, 1735689600 * NS_PER_S);
}

static void durations_are_prometheus_durations(void **state)
{
    (void)state;
    int64_t ns;
    assert_true(clock_parse_duration(STR("1h30m"), &ns) && ns == 5400 * NS_PER_S);
    assert_true(clock_parse_duration(STR("250ms"), &ns) && ns == 250 * NS_PER_MS);
    assert_true(clock_parse_duration(STR("0"), &ns) && ns == 0);
    assert_true(clock_parse_duration(STR("1.5h"), &ns) && ns == 5400 * NS_PER_S);
    assert_false(clock_parse_duration(STR("30m1h"), &ns) || clock_parse_duration(STR("5"), &ns));
    assert_false(clock_parse_duration(STR("h"), &ns) || clock_parse_duration(STR("1y1y"), &ns));
    assert_false(clock_parse_duration(STR("999999y"), &ns));
}

static void a_file_is_replaced_whole(void **state)
{
    (void)state;
    char dir[64], path[160], deep[80];
    error err;
    buf b;
    test_make_dir(dir);
    snprintf(deep, sizeof(deep), "%s/a/b/c", dir);
    assert_ok(file_make_dirs(deep, 0700, &err));
    assert_ok(file_make_dirs(deep, 0700, &err));
    assert_ok(file_replace(deep, "state", STR("one"), &err));
    assert_ok(file_replace(deep, "state", STR("twotwo"), &err));
    snprintf(path, sizeof(path), "%s/state", deep);
    buf_init(&b, 6);
    assert_ok(file_read(path, &b, &err));
    assert_str(buf_view(&b), STR("twotwo"));
    buf_done(&b);
    buf_init(&b, 5);
    assert_int_equal(file_read(path, &b, &err), STATUS_LIMIT);
    buf_done(&b);
    snprintf(path, sizeof(path), "%s/none", deep);
    assert_int_equal(file_read(path, &b, &err), STATUS_NOT_FOUND);
    snprintf(path, sizeof(path), "%s/a/b/c/state/x", dir);
    assert_int_equal(file_make_dirs(path, 0700, &err), STATUS_IO);
    test_remove_dir(dir);
}

static void compares_in_constant_time_and_rightly(void **state)
{
    (void)state;
    assert_true(constant_time_eq("abc", "abc", 3));
    assert_false(constant_time_eq("abc", "abd", 3));
    assert_true(constant_time_eq("", "", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc3339_goes_both_ways),
        cmocka_unit_test(rfc3339_refuses_what_is_no_time),
        cmocka_unit_test(durations_are_prometheus_durations),
        cmocka_unit_test(a_file_is_replaced_whole),
        cmocka_unit_test(compares_in_constant_time_and_rightly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
