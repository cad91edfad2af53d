// SPDX-License-Identifier: Apache-2.0
/* Rule files: what is good, and every way of being wrong with its place. */
#include "support.h"

#include "rules/file.h"
#include "rules/file_internal.h"

typedef struct {
    char errors[8192], warnings[4096];
} findings;

static void collect(void *user, bool warning, const char *text)
{
    findings *f = user;
    char *to = warning ? f->warnings : f->errors;
    size_t size = warning ? sizeof(f->warnings) : sizeof(f->errors), n = strlen(to);
    snprintf(to + n, size - n, "%s\n", text);
}

static findings judge(const char *text)
{
    findings f = { 0 };
    rule_file file;
    error err;
    if (rule_file_parse(&file, "r.yaml", str_c(text), UINT32_MAX, collect, &f, &err) == STATUS_OK)
        rule_file_done(&file);
    else if (!*f.errors)
        fail_msg("refused without a finding: %s", err.message);
    return f;
}

static void expect_error(const char *text, const char *wanted)
{
    findings f = judge(text);
    if (!str_contains(str_c(f.errors), str_c(wanted)))
        fail_msg("wanted \"%s\", got \"%s\"", wanted, f.errors);
}

#define GROUP "groups:\n  - name: g\n    rules:\n"

static void every_field_is_read(void **state)
{
    error err;
    rule_file f;
    (void)state;
    const char *text = "groups:\n"
                       "  - name: g\n"
                       "    interval: 1m30s\n"
                       "    query_offset: 0s\n"
                       "    limit: 7\n"
                       "    labels: {team: a, severity: low}\n"
                       "    rules:\n"
                       "      - alert: A\n"
                       "        expr: up == 0\n"
                       "        for: 5m\n"
                       "        keep_firing_for: 1h\n"
                       "        labels: {severity: high}\n"
                       "        annotations: {summary: '{{ $value }}'}\n"
                       "      - record: a:b\n"
                       "        expr: sum(up)\n";
    assert_ok(rule_file_parse(&f, "r.yaml", str_c(text), 0, NULL, NULL, &err));
    assert_int_equal(f.group_count, 1);
    assert_int_equal(f.rule_count, 2);
    const rule_group_definition *g = &f.groups[0];
    assert_int_equal(g->interval_ms, 90000);
    assert_true(g->has_query_offset);
    assert_int_equal(g->limit, 7);
    assert_str(g->rules[0].alert, STR("A"));
    assert_int_equal(g->rules[0].for_ms, 300000);
    assert_int_equal(g->rules[0].keep_firing_for_ms, 3600000);
    assert_int_equal(g->rules[0].line, 8);
    assert_str(g->rules[1].record, STR("a:b"));
    labels l;
    assert_true(rule_labels(&f.arena, g, &g->rules[0], &l));
    assert_int_equal(l.count, 2);
    assert_str(labels_get(l, STR("severity")), STR("high"));
    assert_str(labels_get(l, STR("team")), STR("a"));
    rule_file_done(&f);
}

static void what_is_printed_is_read_back_equal(void **state)
{
    error err;
    rule_file f, again;
    buf once, twice;
    (void)state;
    const char *text = "groups:\n"
                       "  - name: \"true\"\n"
                       "    type: logql\n"
                       "    rules:\n"
                       "      - alert: \"1.5\"\n"
                       "        expr: |\n"
                       "          sum(\n"
                       "            count_over_time({a=\"b\"}[5m])\n"
                       "          ) > 5\n"
                       "        labels: {\"a b\": \"x: #\", empty: \"\"}\n"
                       "        annotations: {d: \"a\\n  b\\n\", e: \" \\t\\u00e4\\\\\"}\n"
                       "  - name: none\n"
                       "    query_offset: 1h\n"
                       "    rules: []\n";
    assert_ok(rule_file_parse(&f, "r.yaml", str_c(text), 0, NULL, NULL, &err));
    buf_init(&once, MiB(1));
    buf_init(&twice, MiB(1));
    rule_file_print(&once, &f, false);
    assert_ok(rule_file_parse(&again, "p.yaml", buf_view(&once), 0, NULL, NULL, &err));
    rule_file_print(&twice, &again, false);
    assert_str(buf_view(&twice), buf_view(&once));
    assert_str(again.groups[0].rules[0].expr, f.groups[0].rules[0].expr);
    assert_true(labels_eq(again.groups[0].rules[0].labels, f.groups[0].rules[0].labels));
    assert_true(labels_eq(again.groups[0].rules[0].annotations, f.groups[0].rules[0].annotations));
    assert_int_equal(again.groups[0].language, RULE_LOGQL);
    assert_true(again.groups[1].has_query_offset);
    buf_done(&once);
    buf_done(&twice);
    rule_file_done(&again);
    rule_file_done(&f);
}

static void wrong_files_are_told_with_their_place(void **state)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        { "grops: []\n", "r.yaml:1:1: rules: unknown option \"grops\"; did you mean \"groups\"?" },
        { GROUP "      - record: a\n        exp: b\n", "r.yaml:5:9: rules: groups[0].rules[0]: "
                                                       "unknown option \"exp\"; did you mean" },
        { GROUP "      - record: a\n        expr: b\n        for: 5x\n",
          "r.yaml:6:14: for: not a valid duration string: \"5x\"" },
        { GROUP "      - record: a\n        expr: sum(\n",
          "r.yaml:5:15: group \"g\", rule 1, \"a\": could not parse expression: 1:5: parse error" },
        { GROUP "      - record: a\n", "field 'expr' must be set in rule" },
        { GROUP "      - expr: a\n", "one of 'record' or 'alert' must be set" },
        { GROUP "      - {record: a, alert: b, expr: c}\n",
          "only one of 'record' and 'alert' must be set" },
        { GROUP "      - {record: a, expr: c, for: 1m}\n",
          "invalid field 'for' in recording rule" },
        { GROUP "      - {record: a, expr: c, annotations: {a: b}}\n",
          "invalid field 'annotations' in recording rule" },
        { GROUP "      - {record: 'a{b}', expr: c}\n",
          "braces present in the recording rule name; should it be in expr?: a{b}" },
        { GROUP "      - {alert: a, expr: c, labels: {__name__: x}}\n",
          "invalid label name: __name__" },
        { GROUP "      - {alert: a, expr: c, annotations: {s: '{{ foo }}'}}\n",
          "annotation \"s\": template: __alert_a:1: function \"foo\" not defined" },
        { "groups:\n  - name: g\n    rules: []\n  - name: g\n    rules: []\n",
          "r.yaml:4:5: groupname: \"g\" is repeated in the same file" },
        { "groups:\n  - rules: []\n", "Groupname must not be empty" },
        { "groups:\n  - name: g\n    limit: 10kb\n    rules: []\n", "is no whole number" },
        { "groups:\n  - name: g\n    type: graphite\n    rules: []\n", "is no choice" },
        { "groups:\n  - name: g\n    type: logql\n    rules:\n"
          "      - {alert: a, expr: '{a=\"b\"}'}\n",
          "a rule wants a number per series" },
        { "groups: [\n", "r.yaml:" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_error(cases[i].text, cases[i].wanted);
}

static void rules_that_stand_twice_are_warned_of(void **state)
{
    (void)state;
    findings f = judge(GROUP "      - {record: a, expr: b}\n"
                             "      - {record: a, expr: c, labels: {x: y}}\n"
                             "      - {record: a, expr: d}\n"
                             "      - {alert: v, expr: d, labels: {x: '{{ $value }}'}}\n");
    assert_string_equal(f.errors, "");
    assert_true(str_contains(str_c(f.warnings), STR("r.yaml:6:9: duplicate rule: \"a\"")));
    assert_true(str_contains(str_c(f.warnings), STR("label \"x\" has the value in it")));
}

static void durations_are_those_of_prometheus(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: none */
    } cases[] = { { "0", 0 },
                  { "5m", 300000 },
                  { "1h30m", 5400000 },
                  { "1d", 86400000 },
                  { "1y2w", 32745600000 },
                  { "10ms", 10 },
                  { "1.5h", -1 },
                  { "5", -1 },
                  { "30m1h", -1 },
                  { "", -1 },
                  { "1m1m", -1 },
                  { "99999999999y", -1 },
                  { "-1m", -1 } };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = -1;
        bool good = rule_parse_duration(str_c(cases[i].text), &ms);
        if (good != (cases[i].ms >= 0) || ms != cases[i].ms)
            fail_msg("%s gave %lld", cases[i].text, (long long)ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(what_is_printed_is_read_back_equal),
        cmocka_unit_test(wrong_files_are_told_with_their_place),
        cmocka_unit_test(rules_that_stand_twice_are_warned_of),
        cmocka_unit_test(durations_are_those_of_prometheus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
