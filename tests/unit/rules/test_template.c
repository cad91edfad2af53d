// SPDX-License-Identifier: Apache-2.0
/* Templates: tests/unit/rules/template_cases.txt holds texts and what Go's template package makes
 * of them with the same data; limits and sets are tested beside it. */
#include "rules/template.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW_MS 1700000000000

static const label alert_labels[] = { { STR_INIT("instance"), STR_INIT("host.example.com:9090") },
                                      { STR_INIT("job"), STR_INIT("api") },
                                      { STR_INIT("severity"), STR_INIT("page") } };
static const label external[] = { { STR_INIT("region"), STR_INIT("eu") } };
static const label sample_b[] = { { STR_INIT("__name__"), STR_INIT("m") },
                                  { STR_INIT("__value__"), STR_INIT("x") },
                                  { STR_INIT("instance"), STR_INIT("b") } };
static const label sample_a[] = { { STR_INIT("__name__"), STR_INIT("m") },
                                  { STR_INIT("instance"), STR_INIT("a") } };

static status query(void *user, str expression, arena *a, template_value *ret, error *err)
{
    static const double values[] = { 11, 21.5 };
    (void)user;
    if (str_is(expression, "bad"))
        return (fail)(err, STATUS_INVALID, "bad query");
    promql_series series[] = { { .labels = { sample_b, 3 }, .value = &values[0], .count = 1 },
                               { .labels = { sample_a, 2 }, .value = &values[1], .count = 1 } };
    promql_result result = { .type = PROMQL_VECTOR,
                             .series = series,
                             .count = str_is(expression, "none") ? 0 : 2 };
    assert_true(template_vector(a, &result, ret));
    return STATUS_OK;
}

static const template_context context = { .now_ms = NOW_MS,
                                          .external_url = STR_INIT("http://prom.example.org/path"),
                                          .query = query };

static template_value labels_of(arena *a, const label *items, uint32_t count)
{
    template_value v;
    assert_true(template_label_map(a, items, count, &template_type_kv, &v));
    return v;
}

static void put(template_member *members, size_t *n, const char *name, template_value v)
{
    members[(*n)++] = (template_member){ str_c(name), v };
}

static template_value one_alert(arena *a, bool firing)
{
    template_member *m = ARENA_ARRAY(a, template_member, 7);
    label *labels = ARENA_ARRAY(a, label, 3);
    labels[0] = (label){ STR("alertname"), STR("Down") };
    labels[1] = (label){ STR("instance"), firing ? STR("a:1") : STR("b:1") };
    labels[2] = (label){ STR("severity"), STR("page") };
    static const label summary[] = { { STR_INIT("summary"), STR_INIT("<a> & 'b' is down") } };
    int64_t start = 1699990000123 * NS_PER_MS;
    size_t n = 0;
    put(m, &n, "Status", template_text(firing ? STR("firing") : STR("resolved")));
    put(m, &n, "Labels", labels_of(a, labels, 3));
    put(m, &n, "Annotations", labels_of(a, summary, firing ? 1 : 0));
    put(m, &n, "StartsAt", template_time(firing ? start : start + 60 * NS_PER_S));
    put(m, &n, "EndsAt", template_time(firing ? 1700003600 * NS_PER_S : start + 3600 * NS_PER_S));
    put(m, &n, "GeneratorURL", template_text(firing ? STR("http://p/graph?a=1&b=2") : STR_EMPTY));
    put(m, &n, "Fingerprint", template_text(firing ? STR("abc") : STR("def")));
    return template_struct(m, n, &template_type_alert);
}

static template_value notification(arena *a)
{
    static const label common[] = { { STR_INIT("severity"), STR_INIT("page") },
                                    { STR_INIT("alertname"), STR_INIT("Down") } };
    template_value *alerts = ARENA_ARRAY(a, template_value, 2);
    template_member *m = ARENA_ARRAY(a, template_member, 7);
    alerts[0] = one_alert(a, true);
    alerts[1] = one_alert(a, false);
    size_t n = 0;
    put(m, &n, "Receiver", template_text(STR("team-x")));
    put(m, &n, "Status", template_text(STR("firing")));
    put(m, &n, "Alerts", template_list(alerts, 2, &template_type_alerts));
    put(m, &n, "GroupLabels", labels_of(a, &common[1], 1));
    put(m, &n, "CommonLabels", labels_of(a, common, 2));
    put(m, &n, "CommonAnnotations", labels_of(a, common, 0));
    put(m, &n, "ExternalURL", template_text(STR("http://am:9093")));
    return template_struct(m, n, &template_type_data);
}

/* What a case's text gives, an error as "ERROR …". */
static void run_rule(arena *a, str text, buf *out)
{
    error err;
    template_set *set = NULL;
    if (template_parse_alert(&set, a, STR("A"), text, &err) != STATUS_OK) {
        buf_fmt(out, "ERROR error parsing template __alert_A: %s", err.message);
        return;
    }
    template_alert data = { .labels = { alert_labels, ARRAY_LEN(alert_labels) },
                            .external_labels = { external, ARRAY_LEN(external) },
                            .value = 1234.5678 };
    size_t start = out->len;
    if (template_expand_alert(set, &data, &context, a, out, &err) != STATUS_OK) {
        assert_true(str_starts(str_n(out->ptr + start, out->len - start),
                               STR("<error expanding template: error executing template ")));
        out->len = start;
        buf_fmt(out, "ERROR error executing template __alert_A: %s", err.message);
    }
}

static void run_notification(arena *a, str text, bool html, buf *out)
{
    error err;
    template_context c = context;
    c.html = html;
    template_set *set = template_set_new(a, TEMPLATE_ALERTMANAGER);
    template_value data = notification(a);
    status st = template_parse(set, STR(""), text, &err);
    if (st == STATUS_OK)
        st = template_execute(set, STR(""), &data, &c, a, out, &err);
    if (st != STATUS_OK)
        buf_fmt(out, "ERROR %s", err.message);
}

static bool check_case(str kind, str text, str wanted)
{
    arena a;
    buf out;
    arena_init(&a, MiB(16));
    buf_init(&out, MiB(1));
    if (str_is(kind, "prometheus"))
        run_rule(&a, text, &out);
    else
        run_notification(&a, text, str_is(kind, "html"), &out);
    bool same = str_eq(buf_view(&out), wanted);
    if (!same)
        print_error("%.*s\n  wanted %.*s\n  got    %.*s\n", STR_ARG(text), STR_ARG(wanted),
                    STR_ARG(buf_view(&out)));
    buf_done(&out);
    arena_done(&a);
    return same;
}

static void templates_give_what_go_gives(void **state)
{
    (void)state;
    buf file;
    buf_init(&file, MiB(4));
    assert_int_equal(file_read(SOURCE_DIR "/tests/unit/rules/template_cases.txt", &file, NULL),
                     STATUS_OK);
    str rest = buf_view(&file);
    size_t cases = 0, wrong = 0;
    rest = str_slice(rest, str_find(rest, STR("--- ")), rest.len);
    while (rest.len) {
        size_t next = str_find(str_slice(rest, 1, rest.len), STR("\n--- "));
        str one = str_slice(rest, 0, next == SIZE_MAX ? rest.len : next + 1);
        rest = str_slice(rest, one.len + 1, rest.len);
        size_t line = str_find_char(one, '\n'), mid = str_find(one, STR("\n===\n"));
        assert_true(line != SIZE_MAX && mid != SIZE_MAX);
        str wanted = str_slice(one, mid + 5, one.len);
        if (next == SIZE_MAX && str_ends(wanted, STR("\n")))
            wanted.len--;
        wrong += !check_case(str_slice(one, 4, line), str_slice(one, line + 1, mid), wanted);
        cases++;
    }
    buf_done(&file);
    assert_int_equal(wrong, 0);
    assert_true(cases > 200);
}

static status execute(arena *a, template_set *set, const char *name, const template_context *c,
                      buf *out, error *err)
{
    template_value data = template_text(STR("data"));
    return template_execute(set, str_c(name), &data, c, a, out, err);
}

static void what_a_template_may_use_is_limited(void **state)
{
    static const char *const greedy[] = {
        "{{ range 1000000000 }}x{{ end }}",
        "{{ range 1000000000 }}{{ end }}",
        "{{ define \"d\" }}{{ template \"d\" }}{{ end }}{{ template \"d\" }}",
        "{{ printf \"%9999d%9999d%9999d%9999d%9999d%9999d%9999d\" 1 1 1 1 1 1 1 }}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(greedy); i++) {
        arena a;
        buf out;
        error err = { 0 };
        arena_init(&a, MiB(16));
        buf_init(&out, MiB(1));
        buf_lit(&out, "before");
        template_set *set = template_set_new(&a, TEMPLATE_PROMETHEUS);
        template_context c = context;
        c.output_limit = KiB(64);
        c.step_limit = 20000;
        assert_int_equal(template_parse(set, STR("t"), str_c(greedy[i]), &err), STATUS_OK);
        status st = execute(&a, set, "t", &c, &out, &err);
        assert_true(st == STATUS_LIMIT || st == STATUS_INVALID);
        if (!strstr(err.message, i == 2 ? "maximum template depth" : "limit is"))
            fail_msg("%s", err.message);
        assert_int_equal(out.len, 6);
        buf_done(&out);
        arena_done(&a);
    }
}

static void deep_texts_are_refused(void **state)
{
    (void)state;
    arena a;
    buf text;
    error err;
    arena_init(&a, MiB(16));
    buf_init(&text, MiB(1));
    for (int i = 0; i < 5000; i++)
        buf_lit(&text, "{{ if (1) }}");
    template_set *set = template_set_new(&a, TEMPLATE_PROMETHEUS);
    assert_int_equal(template_parse(set, STR("t"), buf_view(&text), &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "max expression depth exceeded"));
    buf_done(&text);
    arena_done(&a);
}

static void sets_grow_and_extend_others(void **state)
{
    (void)state;
    arena a, b;
    buf out;
    error err;
    arena_init(&a, MiB(16));
    arena_init(&b, MiB(16));
    buf_init(&out, MiB(1));
    template_set *base = template_set_new(&a, TEMPLATE_ALERTMANAGER);
    assert_int_equal(template_parse(base, STR("f"), STR("{{ define \"x\" }}1{{ end }}"), &err),
                     STATUS_OK);
    template_set *more = template_set_extend(base, &b);
    assert_int_equal(template_parse(more, STR(""), STR("{{ template \"x\" }}{{ . }}"), &err),
                     STATUS_OK);
    assert_false(template_has(base, STR("")));
    assert_int_equal(execute(&b, more, "", &context, &out, &err), STATUS_OK);
    assert_true(str_is(buf_view(&out), "1data"));
    /* What fails to parse changes nothing; what follows takes the place of what was. */
    assert_int_equal(
        template_parse(base, STR("g"), STR("{{ define \"x\" }}2{{ end }}{{ end }}"), &err),
        STATUS_INVALID);
    buf_clear(&out);
    assert_int_equal(execute(&a, base, "x", &context, &out, &err), STATUS_OK);
    assert_true(str_is(buf_view(&out), "1"));
    assert_int_equal(template_parse(base, STR("g"), STR("{{ define \"x\" }}2{{ end }}"), &err),
                     STATUS_OK);
    buf_clear(&out);
    assert_int_equal(execute(&a, base, "x", &context, &out, &err), STATUS_OK);
    assert_true(str_is(buf_view(&out), "2"));
    buf_done(&out);
    arena_done(&b);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_give_what_go_gives),
        cmocka_unit_test(what_a_template_may_use_is_limited),
        cmocka_unit_test(deep_texts_are_refused),
        cmocka_unit_test(sets_grow_and_extend_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
