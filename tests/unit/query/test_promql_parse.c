// SPDX-License-Identifier: Apache-2.0
/* The PromQL parser: canonical form, positions of errors, limits, and the tables behind it. */
#include "support.h"

#include "query/promql/promql.h"

static arena memory;

static int set_up(void **state)
{
    (void)state;
    arena_init(&memory, MiB(64));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&memory);
    return 0;
}

static str canonical(const char *query)
{
    error err;
    const promql_node *n;
    buf text;
    if (promql_parse(&n, str_c(query), 0, &memory, &err) != STATUS_OK)
        return arena_fmt(&memory, "%s", err.message);
    buf_init(&text, MiB(1));
    promql_print(&text, n);
    str copy = arena_str(&memory, buf_view(&text));
    buf_done(&text);
    return copy;
}

static void prints_the_canonical_form(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "1+2*3", "1 + 2 * 3" },
        { "-(a)", "-(a)" },
        { "  foo {  a = 'b' , c!~\"d\" , } ", "foo{a=\"b\",c!~\"d\"}" },
        { "{__name__=\"foo\"}", "{__name__=\"foo\"}" },
        { "{\"a.b\", x=`y`}", "{__name__=\"a.b\",x=\"y\"}" },
        { "rate(foo[90s])", "rate(foo[1m30s])" },
        { "foo[1d12h] offset -90s", "foo[1d12h] offset -1m30s" },
        { "foo @ 12.5 offset 1w", "foo @ 12.500 offset 1w" },
        { "foo offset 1w @ start()", "foo @ start() offset 1w" },
        { "sum(a)by(x,y)", "sum by (x, y) (a)" },
        { "SUM without(x) (a)", "sum without (x) (a)" },
        { "topk(5,a)", "topk(5, a)" },
        { "a*on(x,y)group_left(z)b", "a * on (x, y) group_left (z) b" },
        { "a > bool ignoring(x) b", "a > bool ignoring (x) b" },
        { "max_over_time(rate(a[1m])[5m:30s] offset 1m)",
          "max_over_time(rate(a[1m])[5m:30s] offset 1m)" },
        { "a AND b oR c", "a and b or c" },
        { "label_replace(a, \"b\", '$1', \"c\", `\\d`)",
          "label_replace(a, \"b\", \"$1\", \"c\", \"\\\\d\")" },
        { "sum", "sum" },
        { "by + without", "by + without" },
        { "job:rate:5m", "job:rate:5m" },
        { "Inf", "+Inf" },
        { "1h", "1h" },
        { "sum by (\"a.b\") (x)", "sum by (\"a.b\") (x)" },
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        assert_str(canonical(pairs[i][0]), str_c(pairs[i][1]));
        /* The canonical form is its own canonical form. */
        assert_str(canonical(pairs[i][1]), str_c(pairs[i][1]));
    }
}

static void says_what_is_wrong_and_where(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "", "unknown position: parse error: no expression found in input" },
        { "# only a comment", "1:1: parse error: no expression found in input" },
        { "a +", "1:4: parse error: unexpected end of input" },
        { "a\n  + %", "2:5: parse error: unexpected <op:%>" },
        { "sum(a", "1:6: parse error: unclosed left parenthesis" },
        { "a)", "1:3: parse error: unexpected right parenthesis ')'" },
        { "a[5m", "1:5: parse error: unclosed left bracket" },
        { "a[5q]", "1:3: parse error: bad number or duration syntax: \"5\"" },
        { "a[]", "1:3: parse error: unexpected \"]\" in subquery or range selector, expected "
                 "number, duration, step(), or range()" },
        { "a{b=\"c}", "1:5: parse error: unterminated quoted string" },
        { "a{b=\"\\q\"}", "1:5: parse error: unknown escape sequence U+0071 'q'" },
        { "a ! b", "1:3: parse error: unexpected character after '!': ' '" },
        { "a | b", "1:3: parse error: unexpected character: '|'" },
        { "a{b~\"c\"}", "1:4: parse error: unexpected character inside braces: '~'" },
        { "{}", "1:1: parse error: vector selector must contain at least one non-empty matcher" },
        { "{x!=\"y\"}",
          "1:1: parse error: vector selector must contain at least one non-empty matcher" },
        { "a{\"b\"}", "1:1: parse error: metric name must not be set twice: \"a\" or \"b\"" },
        { "a[5m] @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times" },
        { "a @ nan", "1:1: parse error: timestamp out of bounds for @ modifier: NaN" },
        { "(a)[5m]", "1:4: parse error: ranges only allowed for vector selectors" },
        { "a offset 5m [5m]", "1:13: parse error: no offset modifiers allowed before range" },
        { "rate(a[5m],)", "1:11: parse error: trailing commas not allowed in function call args" },
        { "sum by a (b)",
          "1:8: parse error: unexpected identifier \"a\" in grouping opts, expected \"(\"" },
        { "a + on(x) group_left(x) b",
          "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once" },
        { "-\"a\"", "1:1: parse error: unary expression only allowed on expressions of type scalar "
                    "or instant vector, got \"string\"" },
        { "on", "1:1: parse error: unexpected <on>" },
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        assert_str(canonical(pairs[i][0]), str_c(pairs[i][1]));
}

static void refuses_what_is_too_deep_or_too_long(void **state)
{
    (void)state;
    buf query;
    error err;
    const promql_node *n;
    buf_init(&query, 0);
    for (int i = 0; i < 5000; i++)
        buf_char(&query, '(');
    buf_char(&query, '1');
    for (int i = 0; i < 5000; i++)
        buf_char(&query, ')');
    assert_int_equal(promql_parse(&n, buf_view(&query), 0, &memory, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "nested deeper"));
    buf_clear(&query);
    for (int i = 0; i < 5000; i++)
        buf_lit(&query, "1 + ");
    buf_char(&query, '1');
    assert_int_equal(promql_parse(&n, buf_view(&query), 0, &memory, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "operations deep"));
    buf_clear(&query);
    for (int i = 0; i < 5000; i++)
        buf_lit(&query, "[1m:]");
    assert_int_equal(promql_parse(&n, buf_view(&query), 0, &memory, &err), STATUS_INVALID);
    buf_clear(&query);
    while (query.len <= PROMQL_QUERY_LIMIT)
        buf_lit(&query, "                ");
    assert_int_equal(promql_parse(&n, buf_view(&query), 0, &memory, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "the limit is"));
    buf_done(&query);
}

static void runs_out_of_memory_with_a_message(void **state)
{
    (void)state;
    arena small;
    error err;
    const promql_node *n;
    arena_init(&small, 200);
    assert_int_equal(promql_parse(&n, STR("sum by (a) (rate(b{c=\"d\"}[5m]))"), 0, &small, &err),
                     STATUS_LIMIT);
    assert_true(strlen(err.message) > 0);
    arena_done(&small);
}

static void tables_are_in_order_and_explained(void **state)
{
    (void)state;
    size_t functions, aggregations;
    const promql_function *f = promql_function_list(&functions);
    const promql_aggregation *a = promql_aggregation_list(&aggregations);
    for (size_t i = 0; i < functions; i++) {
        assert_ptr_equal(promql_function_find(str_c(f[i].name)), &f[i]);
        assert_true(i == 0 || strcmp(f[i - 1].name, f[i].name) < 0);
        assert_true(strlen(f[i].help) > 0);
        assert_int_equal((f[i].math != NULL) + (f[i].range != NULL) + (f[i].general != NULL), 1);
    }
    for (size_t i = 0; i < aggregations; i++)
        assert_true(strlen(a[i].help) > 0);
    for (int op = OP_NONE + 1; op < OP_COUNT; op++)
        assert_true(promql_operators[op].text && strlen(promql_operators[op].help) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(prints_the_canonical_form, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_what_is_wrong_and_where, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_is_too_deep_or_too_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(runs_out_of_memory_with_a_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tables_are_in_order_and_explained, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("promql_parse", tests, NULL, NULL);
}
