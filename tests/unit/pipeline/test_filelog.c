// SPDX-License-Identifier: Apache-2.0
/* The parts of filelog by themselves: where entries end, which paths match, times, expressions,
 * operators and what is said about wrong ones. */
#include "support.h"

#include "pipeline/receivers/filelog.h"

/* ---- entries ---- */

static void assert_split(const filelog_splitter *s, const char *data, bool flush,
                         const char *const *wanted, size_t left)
{
    str rest = str_c(data), text;
    size_t n;
    for (; (n = filelog_split(s, rest, flush, &text)) > 0; rest = str_slice(rest, n, rest.len)) {
        if (!text.len)
            continue;
        if (!*wanted)
            fail_msg("\"%.*s\" is one too many", STR_ARG(text));
        assert_str(text, str_c(*wanted++));
    }
    if (*wanted)
        fail_msg("\"%s\" is missing", *wanted);
    assert_int_equal(rest.len, left);
}

#define TEXTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void lines_end_at_line_ends(void **state UNUSED)
{
    filelog_splitter s = { .max = 10 };
    assert_split(&s, "a\n  b \r\n\nc", false, TEXTS("a", "b"), 1);
    assert_split(&s, "a\nc", true, TEXTS("a", "c"), 0);
    assert_split(&s, "part", false, (const char *const[]){ NULL }, 4);
    assert_split(&s, "0123456789abc\nd\n", false, TEXTS("0123456789", "abc", "d"), 0);
    assert_split(&s, "0123456789abc", false, TEXTS("0123456789"), 3);
    assert_split(&s, "012345678\xc3\xa9z\n", false, TEXTS("012345678", "\xc3\xa9z"), 0);
    s.keep_leading = s.keep_trailing = true;
    assert_split(&s, "  b \r\n", false, TEXTS("  b "), 0);
}

static void patterns_begin_or_end_entries(void **state UNUSED)
{
    error err;
    filelog_splitter s = { .max = 100 };
    assert_ok(pattern_new(&s.start, STR("(?m)^\\["), false, &err));
    assert_split(&s, "x\n[1] a\n b\n[2] c\n", false, TEXTS("x", "[1] a\n b"), 6);
    assert_split(&s, "[1] a\n b\n[2] c\n", true, TEXTS("[1] a\n b", "[2] c"), 0);
    s.omit = true;
    assert_split(&s, "[1] a\n[2] c\n", true, TEXTS("1] a", "2] c"), 0);
    pattern_free(s.start);
    s = (filelog_splitter){ .max = 100 };
    assert_ok(pattern_new(&s.end, STR("(?m);;"), false, &err));
    assert_split(&s, "a\nb;;c;;d", false, TEXTS("a\nb;;", "c;;"), 1);
    assert_split(&s, "a;;", false, (const char *const[]){ NULL }, 3);
    s.omit = true;
    assert_split(&s, "a;;b;;", true, TEXTS("a", "b"), 0);
    pattern_free(s.end);
}

static void paths_match_patterns(void **state UNUSED)
{
    static const struct {
        const char *pattern, *path;
        bool matches;
    } cases[] = {
        { "/var/log/*.log", "/var/log/a.log", true },
        { "/var/log/*.log", "/var/log/x/a.log", false },
        { "/var/log/**/*.log", "/var/log/a.log", true },
        { "/var/log/**/*.log", "/var/log/x/y/a.log", true },
        { "/var/log/**/*.log", "/var/lib/a.log", false },
        { "/var/**", "/var/log/a.log", true },
        { "/v/{a,b}.{log,txt}", "/v/b.txt", true },
        { "/v/{a,b}.{log,txt}", "/v/c.txt", false },
        { "/v/[ab]?.log", "/v/b1.log", true },
        { "/v/*.log", "/v/.hidden.log", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (filelog_path_matches(str_c(cases[i].pattern), str_c(cases[i].path)) != cases[i].matches)
            fail_msg("%s and %s", cases[i].pattern, cases[i].path);
}

/* ---- times ---- */

static void times_are_read_by_layouts(void **state UNUSED)
{
    static const struct {
        layout_type type;
        const char *layout, *text;
        int64_t ns; /* -1: does not fit */
    } cases[] = {
        { LAYOUT_STRPTIME, "%Y-%m-%dT%H:%M:%S.%L%z", "2025-10-12T22:30:00.125+02:00",
          1760301000125000000 },
        { LAYOUT_STRPTIME, "%Y-%m-%d %H:%M:%S,%f", "2025-10-12 20:30:00,125001",
          1760301000125001000 },
        { LAYOUT_STRPTIME, "%d/%b/%Y:%T %z", "12/Oct/2025:20:30:00 +0000", 1760301000000000000 },
        { LAYOUT_STRPTIME, "%a, %e %B %y %I:%M %p %Z", "Sun,  2 March 25 12:05 AM UTC",
          1740873900000000000 },
        { LAYOUT_STRPTIME, "%Y%%%m-%d", "2025%10-12", 1760227200000000000 },
        { LAYOUT_STRPTIME, "%Y-%m-%d", "2025-13-12", -1 },
        { LAYOUT_STRPTIME, "%Y-%m-%d", "2025-10-12x", -1 },
        { LAYOUT_STRPTIME, "%Y-%m-%d", "", -1 },
        { LAYOUT_STRPTIME, "%b %d %H:%M:%S", "Dec 31 23:59:59", 1735689599000000000 },
        { LAYOUT_GOTIME, "2006-01-02T15:04:05.000Z07:00", "2025-10-12T20:30:00.5Z",
          1760301000500000000 },
        { LAYOUT_GOTIME, "2006-01-02T15:04:05Z07:00", "2025-10-12T20:30:00Z", 1760301000000000000 },
        { LAYOUT_GOTIME, "Jan _2 2006 03:04PM -0700", "Oct 12 2025 08:30PM -0000",
          1760301000000000000 },
        { LAYOUT_GOTIME, "02 Jan 06", "12 Oct 25", 1760227200000000000 },
        { LAYOUT_EPOCH, "s", "1760301000", 1760301000000000000 },
        { LAYOUT_EPOCH, "ms", "1760301000125", 1760301000125000000 },
        { LAYOUT_EPOCH, "s.ns", "1760301000.000000007", 1760301000000000007 },
        { LAYOUT_EPOCH, "ns", "1760301000000000007", 1760301000000000007 },
        { LAYOUT_EPOCH, "s", "99999999999999999", -1 },
        { LAYOUT_EPOCH, "s", "soon", -1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        filelog_layout l;
        error err;
        int64_t ns = -1;
        value v = VALUE_S(str_c(cases[i].text));
        assert_ok(
            filelog_layout_parse(&l, cases[i].type, str_c(cases[i].layout), STR("UTC"), &err));
        /* Now is the 3rd of January 2025. */
        if (!filelog_time_parse(&l, &v, 1735862400000000000, &ns))
            ns = -1;
        if (ns != cases[i].ns)
            fail_msg("%s by %s gave %lld", cases[i].text, cases[i].layout, (long long)ns);
    }
}

static void layouts_that_are_wrong_are_refused(void **state UNUSED)
{
    filelog_layout l;
    error err;
    assert_int_equal(filelog_layout_parse(&l, LAYOUT_STRPTIME, STR("%Y %Q"), STR("UTC"), &err),
                     STATUS_INVALID);
    assert_string_equal(err.message, "layout \"%Y %Q\": %Q is not known");
    assert_int_equal(filelog_layout_parse(&l, LAYOUT_STRPTIME, STR("%"), STR("UTC"), &err),
                     STATUS_INVALID);
    assert_int_equal(filelog_layout_parse(&l, LAYOUT_EPOCH, STR("minutes"), STR(""), &err),
                     STATUS_INVALID);
    assert_int_equal(
        filelog_layout_parse(&l, LAYOUT_STRPTIME, STR("%Y"), STR("America/New_York"), &err),
        STATUS_UNSUPPORTED);
}

/* ---- expressions ---- */

static void make_entry(arena *a, filelog_entry *e, const char *body)
{
    uint32_t capacity = 0;
    arena_init(a, MiB(4));
    *e = (filelog_entry){ .arena = a, .body = VALUE_S(str_c(body)) };
    assert_true(attrs_append(a, &e->attributes, &capacity, STR("n"), VALUE_I(5)));
    assert_true(attrs_append(a, &e->attributes, &capacity, STR("a.b"), VALUE_S(STR("dotted"))));
}

static void expressions_are_evaluated(void **state UNUSED)
{
    static const struct {
        const char *text;
        bool holds;
    } cases[] = {
        { "body == \"hello world\"", true },
        { "body != 'hello world'", false },
        { "body matches \"^hello\"", true },
        { "body matches '^world' or body contains \"o w\"", true },
        { "body startsWith 'hello' and body endsWith 'x'", false },
        { "not (attributes.n == 5)", false },
        { "!(attributes.n < 5) && attributes.n <= 5.5", true },
        { "attributes[\"a.b\"] == 'dotted'", true },
        { "attributes.absent == nil", true },
        { "attributes.n != nil && attributes.absent != nil", false },
        { "attributes.absent > 3", false },
        { "true", true },
        { "attributes.n", false },
    };
    arena a;
    filelog_entry e;
    make_entry(&a, &e, "hello world");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        filelog_expr *x;
        error err;
        assert_ok(filelog_expr_parse(&x, str_c(cases[i].text), &err));
        if (filelog_expr_true(x, &e) != cases[i].holds)
            fail_msg("%s", cases[i].text);
        filelog_expr_free(x);
    }
    arena_done(&a);
}

static void expressions_that_are_wrong_are_refused_with_the_column(void **state UNUSED)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "body ==", "expression \"body ==\", column 8: a field (body, attributes.name, "
                     "resource.name), a text, a number, true, false or nil was expected" },
        { "body matches attributes.x",
          "expression \"body matches attributes.x\", column 26: matches needs a text with a "
          "regular expression" },
        { "(body == 'x'", "expression \"(body == 'x'\", column 13: ')' is missing" },
        { "body = 'x'",
          "expression \"body = 'x'\", column 6: an operator or the end was expected" },
        { "body == 'x", "expression \"body == 'x\", column 11: a text has no end" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        filelog_expr *x;
        error err;
        assert_int_equal(filelog_expr_parse(&x, str_c(cases[i].text), &err), STATUS_INVALID);
        assert_string_equal(err.message, cases[i].message);
    }
}

/* ---- operators ---- */

static filelog_operators *build(filelog_operator_settings *list, uint32_t count)
{
    filelog_operators *o;
    char where[128];
    error err;
    for (uint32_t i = 0; i < count; i++)
        list[i].drop_ratio = 1;
    section_list sections = { list, count };
    if (filelog_operators_new(&o, &sections, where, sizeof(where), &err) != STATUS_OK)
        fail_msg("%s: %s", where, err.message);
    return o;
}

static void json_lines_become_fields(void **state UNUSED)
{
    filelog_operator_settings list[] = {
        { .type = STR_INIT("json_parser"),
          .has_timestamp = true,
          .timestamp = { STR_INIT("attributes.ts"), STR_INIT("ms"), { 0 }, LAYOUT_EPOCH },
          .has_severity = true,
          .severity = { .parse_from = STR_INIT("attributes.level") },
          .has_trace = true,
          .body = STR_INIT("attributes.msg") },
        { .type = STR_INIT("flatten"), .field = STR_INIT("attributes.user") },
        { .type = STR_INIT("copy"),
          .from = STR_INIT("attributes.app"),
          .to = STR_INIT("resource[\"service.name\"]") },
    };
    filelog_operators *o = build(list, ARRAY_LEN(list));
    filelog_trouble trouble = { 0 };
    arena a;
    filelog_entry e;
    make_entry(&a, &e,
               "{\"ts\":1760301000125,\"level\":\"warn\",\"msg\":\"m\",\"app\":\"shop\","
               "\"trace_id\":\"0102030405060708090a0b0c0d0e0f10\",\"span_id\":\"0102030405060708\","
               "\"user\":{\"id\":7,\"x\":{\"y\":\"z\"}}}");
    assert_int_equal(filelog_operators_run(o, 0, &e, 1, &trouble), ENTRY_PASS);
    assert_int_equal(trouble.failures, 0);
    assert_int_equal(e.time_ns, 1760301000125000000);
    assert_int_equal(e.severity, 13);
    assert_str(e.body.s, STR("m"));
    assert_int_equal(e.trace.bytes[15], 16);
    assert_int_equal(e.span.bytes[7], 8);
    const value *user = attrs_get(&e.attributes, STR("user"));
    assert_int_equal(user->map.count, 2);
    assert_str(attrs_get_str(&user->map, STR("x.y")), STR("z"));
    assert_str(attrs_get_str(&e.resource, STR("service.name")), STR("shop"));
    filelog_operators_free(o);
    arena_done(&a);
}

static void pairs_and_groups_become_fields(void **state UNUSED)
{
    value ranges = { .type = VALUE_MAP,
                     .map = { (attr[]){ { STR("error"), VALUE_S(STR("5xx")) } }, 1, 0 } };
    filelog_operator_settings list[] = {
        { .type = STR_INIT("regex_parser"),
          .regex = STR_INIT("^(?P<method>\\w+) (?P<code>\\d+) (?P<rest>.*)$") },
        { .type = STR_INIT("severity_parser"),
          .parse_from = STR_INIT("attributes.code"),
          .mapping = ranges },
        { .type = STR_INIT("key_value_parser"),
          .parse_from = STR_INIT("attributes.rest"),
          .parse_to = STR_INIT("attributes.kv") },
        { .type = STR_INIT("retain"),
          .fields = { (str[]){ STR("attributes.method"), STR("attributes.kv") }, 2 } },
    };
    filelog_operators *o = build(list, ARRAY_LEN(list));
    filelog_trouble trouble = { 0 };
    arena a;
    filelog_entry e;
    make_entry(&a, &e, "GET 503 a=1 b=\"two words\"  c='x=y'");
    assert_int_equal(filelog_operators_run(o, 0, &e, 1, &trouble), ENTRY_PASS);
    assert_int_equal(trouble.failures, 0);
    assert_int_equal(e.severity, 17);
    assert_int_equal(e.attributes.count, 2);
    const value *kv = attrs_get(&e.attributes, STR("kv"));
    assert_str(attrs_get_str(&kv->map, STR("a")), STR("1"));
    assert_str(attrs_get_str(&kv->map, STR("b")), STR("two words"));
    assert_str(attrs_get_str(&kv->map, STR("c")), STR("x=y"));
    filelog_operators_free(o);
    arena_done(&a);
}

static void what_fails_is_sent_on_or_dropped_and_said(void **state UNUSED)
{
    static const entry_fate fates[] = { ENTRY_PASS, ENTRY_DROP, ENTRY_PASS, ENTRY_DROP };
    for (int on_error = 0; on_error < 4; on_error++) {
        filelog_operator_settings list[] = {
            { .type = STR_INIT("json_parser"), .on_error = on_error },
            { .type = STR_INIT("filter"), .expr = STR_INIT("body == 'out'") },
        };
        filelog_operators *o = build(list, ARRAY_LEN(list));
        filelog_trouble trouble = { 0 };
        arena a;
        filelog_entry e;
        make_entry(&a, &e, "no json");
        assert_int_equal(filelog_operators_run(o, 0, &e, 1, &trouble), fates[on_error]);
        assert_int_equal(trouble.failures, on_error < 2);
        if (on_error < 2)
            assert_string_equal(trouble.reason, "operators[0] (json_parser): the text is no JSON");
        assert_str(e.body.s, STR("no json"));
        e.body = VALUE_S(STR("out"));
        assert_int_equal(filelog_operators_run(o, 1, &e, 1, &trouble), ENTRY_DROP);
        filelog_operators_free(o);
        arena_done(&a);
    }
}

static void operators_that_are_wrong_are_named(void **state UNUSED)
{
    const struct {
        filelog_operator_settings settings;
        const char *where, *message;
    } cases[] = {
        { { .type = STR_INIT("router") },
          "operators[1].type",
          "operator router is not supported here: list the operators with `if` instead" },
        { { .type = STR_INIT("json_parser"), .regex = STR_INIT("x") },
          "operators[1].regex",
          "operator json_parser has no option regex" },
        { { .type = STR_INIT("regex_parser"), .regex = STR_INIT("x") },
          "operators[1].regex",
          "it has no named group, as (?P<name>…): nothing would be parsed" },
        { { .type = STR_INIT("move"), .from = STR_INIT("thing"), .to = STR_INIT("body") },
          "operators[1].from",
          "field \"thing\" must begin with body, attributes or resource" },
        { { .type = STR_INIT("noop"), .output = STR_INIT("far") },
          "operators[1].output",
          "operators run in the order of the list: output can only name the next one" },
        { { .type = STR_INIT("time_parser"), .parse_from = STR_INIT("body") },
          "operators[1].layout",
          "a layout is needed, as '%Y-%m-%dT%H:%M:%S.%L%z'" },
        { { .type = STR_INIT("recombine") },
          "operators[1].is_first_entry",
          "either is_first_entry or is_last_entry is needed" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        filelog_operator_settings list[] = { { .type = STR_INIT("noop") }, cases[i].settings };
        filelog_operators *o;
        char where[128];
        error err;
        section_list sections = { list, 2 };
        assert_int_not_equal(filelog_operators_new(&o, &sections, where, sizeof(where), &err),
                             STATUS_OK);
        assert_string_equal(where, cases[i].where);
        assert_string_equal(err.message, cases[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_at_line_ends),
        cmocka_unit_test(patterns_begin_or_end_entries),
        cmocka_unit_test(paths_match_patterns),
        cmocka_unit_test(times_are_read_by_layouts),
        cmocka_unit_test(layouts_that_are_wrong_are_refused),
        cmocka_unit_test(expressions_are_evaluated),
        cmocka_unit_test(expressions_that_are_wrong_are_refused_with_the_column),
        cmocka_unit_test(json_lines_become_fields),
        cmocka_unit_test(pairs_and_groups_become_fields),
        cmocka_unit_test(what_fails_is_sent_on_or_dropped_and_said),
        cmocka_unit_test(operators_that_are_wrong_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
