// SPDX-License-Identifier: Apache-2.0
/* Matchers and time intervals of Alertmanager's configuration. */
#include "base/clock.h"
#include "rules/notify/interval.h"
#include "rules/notify/matcher.h"
#include "settings/option_read.h"
#include "support.h"

static arena memory;

static int set_up(void **state)
{
    (void)state;
    arena_init(&memory, MiB(8));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&memory);
    return 0;
}

static const char *print(const char *text)
{
    static char shown[512];
    notify_matchers list = { 0 };
    error err;
    buf out;
    if (notify_matchers_parse(&memory, str_c(text), &list, &err) != STATUS_OK)
        return "wrong";
    buf_init(&out, 500);
    notify_matchers_print(&out, &list);
    str_copy_c(shown, sizeof(shown), buf_view(&out));
    buf_done(&out);
    return shown;
}

static void matchers_are_read_in_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
    } cases[] = {
        { "a=b", "{a=\"b\"}" },
        { " { a = \"b\" , c!=\"d\", } ", "{a=\"b\",c!=\"d\"}" },
        { "a=~\"x|y\",b!~z.*", "{a=~\"x|y\",b!~\"z.*\"}" },
        { "a=", "{a=\"\"}" },
        { "a=\"q\\\"u\\\\o\\n\"", "{a=\"q\\\"u\\\\o\\n\"}" },
        { "\"odd name\"=x", "{odd name=\"x\"}" },
        { "{a=b}", "{a=\"b\"}" },
        { "a=x{2}", "{a=\"x{2}\"}" },
        { "{}", "{}" },
        { "a", "wrong" },
        { "=b", "wrong" },
        { "a=\"b", "wrong" },
        { "a=b\"c", "wrong" },
        { "{a=b", "wrong" },
        { "{a=\"b\"} x", "wrong" },
        { "a=\"b\" c=\"d\"", "wrong" },
        { "a=~\"(\"", "wrong" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(print(cases[i].text), cases[i].printed);
}

static bool takes(const char *text, const char *value)
{
    notify_matchers list = { 0 };
    error err;
    label l = { STR("a"), str_c(value) };
    assert_int_equal(notify_matchers_parse(&memory, str_c(text), &list, &err), STATUS_OK);
    return notify_matchers_take(&list, (labels){ &l, *value != 0 });
}

static void matchers_match_whole_values_and_absent_labels_as_empty(void **state)
{
    (void)state;
    assert_true(takes("a=b", "b"));
    assert_false(takes("a=b", "bb"));
    assert_true(takes("a!=b", ""));
    assert_true(takes("a=~b.", "bc"));
    assert_false(takes("a=~b", "bc"));
    assert_true(takes("a!~b", "bc"));
    assert_true(takes("a=\"\"", ""));
    assert_false(takes("a=~.+", ""));
}

/* ---- intervals ---- */

static void ignore_issue(void *user, bool warning, unsigned line, unsigned column, const char *text)
{
    (void)warning, (void)line, (void)column, (void)text;
    ++*(unsigned *)user;
}

static bool make(const char *yaml, const interval **ret)
{
    yaml_document doc;
    yaml_error wrong;
    error err;
    unsigned issues = 0;
    char where[64];
    interval_settings s = { 0 };
    option_reader r = {
        .arena = &memory, .issue = ignore_issue, .user = &issues, .nodes = 1000, .who = "test"
    };
    assert_int_equal(yaml_parse(&memory, str_c(yaml), &doc, &wrong), STATUS_OK);
    option_fill(&r, &interval_options, doc.root, doc.root, &s);
    return !issues && interval_make(&memory, &s, ret, where, sizeof(where), &err) == STATUS_OK;
}

static bool holds(const char *yaml, const char *time)
{
    const interval *i;
    int64_t ns;
    assert_true(make(yaml, &i));
    assert_true(clock_parse_rfc3339(str_c(time), &ns));
    return interval_holds(i, ns / NS_PER_MS);
}

static void intervals_hold_times_days_months_and_years(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *time;
        bool held;
    } cases[] = {
        { "times: [{start_time: '09:00', end_time: '17:00'}]", "2024-02-27T09:00:00Z", true },
        { "times: [{start_time: '09:00', end_time: '17:00'}]", "2024-02-27T17:00:00Z", false },
        { "times: [{start_time: '23:00', end_time: '24:00'}]", "2024-02-27T23:59:59Z", true },
        { "weekdays: ['monday:friday']", "2024-03-01T00:00:00Z", true },
        { "weekdays: ['monday:friday']", "2024-03-02T00:00:00Z", false },
        { "weekdays: [Sunday]", "2024-03-03T00:00:00Z", true },
        { "days_of_month: ['-1']", "2024-02-29T12:00:00Z", true },
        { "days_of_month: ['-1']", "2023-02-28T12:00:00Z", true },
        { "days_of_month: ['-1']", "2024-02-28T12:00:00Z", false },
        { "days_of_month: ['1:-2']", "2024-02-28T12:00:00Z", true },
        { "days_of_month: ['31']", "2024-02-29T12:00:00Z", false },
        { "months: ['march:may', '12']", "2024-12-01T00:00:00Z", true },
        { "months: ['march:may']", "2024-06-01T00:00:00Z", false },
        { "years: ['2020:2022', '2030']", "2030-06-01T00:00:00Z", true },
        { "years: ['2020:2022']", "2023-01-01T00:00:00Z", false },
        { "{}", "2023-01-01T00:00:00Z", true },
        { "weekdays: [monday]\nyears: ['2020']", "2024-01-01T00:00:00Z", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (holds(cases[i].yaml, cases[i].time) != cases[i].held)
            fail_msg("%s at %s", cases[i].yaml, cases[i].time);
}

static void intervals_know_time_zones(void **state)
{
    (void)state;
    const interval *i;
    if (!make("location: Europe/Berlin", &i)) {
        print_message("skipped: no tzdata\n");
        skip();
    }
    static const char *const nine = "times: [{start_time: '09:00', end_time: '10:00'}]\n"
                                    "location: Europe/Berlin";
    assert_true(holds(nine, "2024-01-15T08:30:00Z")); /* winter: one hour */
    assert_false(holds(nine, "2024-01-15T09:30:00Z"));
    assert_true(holds(nine, "2024-07-15T07:30:00Z")); /* summer: two */
    assert_true(holds(nine, "2051-07-17T07:30:00Z")); /* beyond the file */
    assert_true(holds(nine, "2051-01-16T08:30:00Z"));
}

static void wrong_intervals_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "times: [{start_time: '17:00', end_time: '09:00'}]",
        "times: [{start_time: '9:00', end_time: '17:00'}]",
        "times: [{start_time: '09:00'}]",
        "weekdays: [caturday]",
        "weekdays: ['friday:monday']",
        "days_of_month: ['0']",
        "days_of_month: ['32']",
        "days_of_month: ['-5:5']",
        "months: ['13']",
        "months: ['may:april']",
        "years: [abc]",
        "location: Nowhere/City",
        "location: ../../etc/passwd",
    };
    const interval *ignored;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (make(cases[i], &ignored))
            fail_msg("taken: %s", cases[i]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(matchers_are_read_in_every_form),
        TEST(matchers_match_whole_values_and_absent_labels_as_empty),
        TEST(intervals_hold_times_days_months_and_years),
        TEST(intervals_know_time_zones),
        TEST(wrong_intervals_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
